/* A plan of what makes a model and where it is: shared by pulling and looking for newer versions.
 * The rest of the program includes hub/pull.h.
 */
#ifndef HEARTH_HUB_PULL_PRIVATE_H
#define HEARTH_HUB_PULL_PRIVATE_H

#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "hub/face.h"
#include "hub/fetch.h"
#include "hub/pull.h"
#include "hub/registry.h"
#include "hub/sources.h"
#include "net/url.h"

typedef struct hub_errand_item {
    char *address, *what; /* owned */
    hub_digest digest;    /* empty: known once it is here */
    uint64_t size;        /* 0: the same, unless the digest is known */
} hub_errand_item;

typedef struct hub_errand {
    hub_name name;
    bool is_registry, is_address; /* neither: Hugging Face */
    hub_registry registry;
    char secret[2048];
    char advice[720]; /* about a 401 or 403; "": none */
    buf manifest;     /* bytes; empty until it is known */
    hub_manifest m;
    hub_repo repo;
    hub_variant variant;
    hub_errand_item *item; /* [n], in the order of layers; owned */
    size_t n;
} hub_errand;

/* p is to be freed whatever the result. */
bool hub_errand_make(hub_errand *p, hub_wire *w, const char *text, const hub_pull_options *o,
                     err *e);
void hub_errand_deinit(hub_errand *p);
bool hub_errand_is_known(const hub_errand *p); /* all digests */
/* The manifest of what came without one; the store gets its config. */
bool hub_errand_manifest(hub_errand *p, hub_store *s, err *e);
/* The store has exactly this under this name. */
bool hub_errand_is_there(const hub_errand *p, const hub_store *s);

#endif
