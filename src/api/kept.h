/* Answers that a client may come back to: the responses of /v1/responses. Each has an owner, and
 * nobody else finds it. With a store behind it they are on disk, so that they outlive a restart and
 * several servers share them; what kept_put has taken is there when it returns. Without one, and
 * when the disk takes nothing, they are in memory, which is bounded: the one that was not asked for
 * the longest goes first, and a share of the owner with most goes before others'. Any thread that
 * may wait for a disk.
 *
 *     kept *k = kept_new(64 << 20, s, 30 * 86400);
 *     kept_put(k, "owner", "resp_1", body, n, talk, m);
 *     kept_copy x;
 *     if (kept_get(k, "owner", "resp_1", &x)) { ...; kept_copy_deinit(&x); }
 */
#ifndef HEARTH_API_KEPT_H
#define HEARTH_API_KEPT_H

#include "base/str.h"
#include "store/store.h"

typedef struct kept kept;

typedef struct kept_copy {
    char *body, *talk; /* NUL-terminated, owned */
    size_t n_body, n_talk;
} kept_copy;

/* NULL: out of memory. s: borrowed; NULL: memory alone. age_s: kept so long, negative: for ever. */
kept *kept_new(size_t max_bytes, store *s, int64_t age_s);
void kept_free(kept *k);
/* body: what the client is given again; talk: what is needed to go on from there. False: too
 * large for both, or out of memory; nothing is kept then. */
bool kept_put(kept *k, const char *owner, const char *id, str body, str talk);
bool kept_get(kept *k, const char *owner, const char *id, kept_copy *out);
/* False: ERR_NOT_FOUND, or it cannot be deleted from the disk now. */
bool kept_drop(kept *k, const char *owner, const char *id, err *e);
void kept_copy_deinit(kept_copy *c);

#endif
