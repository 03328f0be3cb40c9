/* Answers that a client may come back to, kept in memory: the responses of /v1/responses. Each has
 * an owner, and nobody else finds it. The whole is bounded; the one that was not asked for the
 * longest goes first, and a share of the owner with most goes before others'. Any thread.
 *
 *     kept *k = kept_new(64 << 20);
 *     kept_put(k, "owner", "resp_1", body, n, talk, m);
 *     kept_copy x;
 *     if (kept_get(k, "owner", "resp_1", &x)) { ...; kept_copy_deinit(&x); }
 */
#ifndef HEARTH_API_KEPT_H
#define HEARTH_API_KEPT_H

#include "base/str.h"

typedef struct kept kept;

typedef struct kept_copy {
    char *body, *talk; /* NUL-terminated, owned */
    size_t n_body, n_talk;
} kept_copy;

kept *kept_new(size_t max_bytes); /* NULL: out of memory */
void kept_free(kept *k);
/* body: what the client is given again; talk: what is needed to go on from there. False: too
 * large, or out of memory; nothing is kept then. */
bool kept_put(kept *k, const char *owner, const char *id, str body, str talk);
bool kept_get(kept *k, const char *owner, const char *id, kept_copy *out);
bool kept_drop(kept *k, const char *owner, const char *id);
void kept_copy_deinit(kept_copy *c);

#endif
