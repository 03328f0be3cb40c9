/* Getting models: from registries of Ollama's kind, from Hugging Face, and from an address. The
 * manifest waits under HUB_PENDING while blobs come, so that gc spares them and a later call goes
 * on; the model is there from one moment to the next, with all it needs, and the version that it
 * replaces stays under HUB_PREVIOUS until it is forgotten. Where it came from is noted under
 * HUB_ORIGIN. One thread; several processes may pull into one store.
 *
 *     hub_pull_options o = {.wire = {.event = on_event, .stopped = interrupted}};
 *     hub_pull_report r;
 *     if (!hub_pull(store, "qwen3:8b", &o, &r, &e)) ...
 */
#ifndef HEARTH_HUB_PULL_H
#define HEARTH_HUB_PULL_H

#include "hub/store.h"
#include "hub/wire.h"

typedef struct hub_pull_options {
    hub_wire_options wire;
    /* Where a repository has several quantisations and none is named: files of no more than so
     * many bytes; 0: any. */
    uint64_t most_bytes;
    bool names_only; /* paths and addresses are refused: for the server */
} hub_pull_options;

typedef struct hub_pull_report {
    hub_name name;    /* under which it is now; its text is empty */
    uint64_t bytes;   /* of the model */
    uint64_t fetched; /* of them now */
    bool was_there;   /* nothing had changed */
    bool replaced;    /* an older version is kept as the previous one */
} hub_pull_report;

bool hub_pull(hub_store *s, const char *name, const hub_pull_options *o, hub_pull_report *r,
              err *e);

/* Sends a model to the registry that its name says. */
bool hub_push(hub_store *s, const char *name, const hub_wire_options *o, err *e);

/* ---- newer versions ---- */

typedef enum hub_newer {
    HUB_NEWER_SAME,
    HUB_NEWER_YES,
    HUB_NEWER_UNKNOWN, /* it was made here, or came from a file */
    HUB_NEWER_GONE,    /* it is not there any more */
    HUB_NEWER_UNTOLD   /* an address, which says nothing of what lies there */
} hub_newer;
/* Whether upstream has another version; *bytes (may be NULL) of it that are not in the store. */
bool hub_update_look(hub_store *s, const hub_name *n, const hub_wire_options *o, hub_newer *out,
                     uint64_t *bytes, err *e);
/* What hub_pull is to be asked for; appended. ERR_USAGE: it came from nowhere that is known. */
bool hub_update_name(hub_store *s, const hub_name *n, buf *out, err *e);
/* Back to the version before, which becomes the previous one itself: twice is nothing. */
bool hub_update_rollback(hub_store *s, const hub_name *n, err *e);
bool hub_update_forget(hub_store *s, const hub_name *n, err *e); /* the previous version */

#endif
