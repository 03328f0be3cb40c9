/* Making a model of what is there: weights of another model or of a file, and a recipe beside them.
 * Bytes are copied into the store (shared where the file system can), checked and hashed on the
 * way; the model appears under its name when it is complete. One thread a call.
 *
 *     hub_plan p = {0};
 *     if (!hub_plan_of(&p, &modelfile, &e)) ...
 *     hub_make_options o = {.paths = true, .base = "."};
 *     hub_make(s, &name, &p, &o, &e);
 *     hub_plan_deinit(&p);
 */
#ifndef HEARTH_HUB_MAKE_H
#define HEARTH_HUB_MAKE_H

#include "hub/recipe.h"

typedef struct hub_plan {
    char *from;          /* a name or a path; NULL: weights */
    hub_recipe recipe;   /* what it says itself; adapter and draft are names or paths as given */
    hub_digest *weights; /* [n_weights] blobs of the store; owned */
    size_t n_weights;
    hub_digest *adapters; /* [n_adapters] blobs of the store; owned */
    size_t n_adapters;
    hub_digest draft; /* likewise; empty: none */
} hub_plan;

bool hub_plan_of(hub_plan *p, const hub_modelfile *m, err *e);
void hub_plan_deinit(hub_plan *p);

typedef struct hub_make_options {
    bool paths;                 /* FROM, ADAPTER and DRAFT may be paths: never for a stranger */
    const char *base;           /* relative paths begin there */
    const char *quantize;       /* "Q4_K_M"; NULL: as they are */
    bool from_quantized;        /* also weights that are quantised already */
    const char *draft_quantize; /* the same for the draft */
    int n_threads;              /* 0: what there is */
    /* What is being done, with bytes where they are known; true: stop. May be NULL. */
    bool (*status)(void *ud, const char *what, uint64_t done, uint64_t total);
    void *ud;
} hub_make_options;

bool hub_make(hub_store *s, const hub_name *n, const hub_plan *p, const hub_make_options *o,
              err *e);
/* The same model under another name. */
bool hub_copy(hub_store *s, const hub_name *from, const hub_name *to, err *e);
/* What REQUIRES says: a version; ERR_USAGE. */
bool hub_requires_set(hub_recipe *r, const char *value, err *e);
/* A text in Go's language or Jinja's that can be read; ERR_USAGE. */
bool hub_template_check(const char *text, err *e);
bool hub_template_is_jinja(const char *text);

#endif
