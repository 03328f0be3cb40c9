/* SHA-256 of what the store holds: reading a digest, hashing while bytes pass by, and the one
 * function that turns a digest into a path. Any thread; a hub_hash belongs to one.
 *
 *     hub_digest d;
 *     if (!hub_digest_parse(&d, STR("sha256:6a07..."), &e)) ...
 *     hub_hash *h = hub_hash_new(&e);
 *     hub_hash_add(h, p, n);  hub_hash_end(h, &d);       // frees h
 */
#ifndef HEARTH_HUB_DIGEST_H
#define HEARTH_HUB_DIGEST_H

#include "base/err.h"
#include "base/str.h"

typedef struct hub_digest {
    char hex[65]; /* 64 lower-case digits and a NUL; empty: none */
} hub_digest;

/* "sha256:" or "sha256-" and 64 lower-case hexadecimal digits, nothing else. */
bool hub_digest_parse(hub_digest *d, str text, err *e);
bool hub_digest_eq(const hub_digest *a, const hub_digest *b);
/* "sha256:<hex>", as manifests write it. Returns dst. */
#define HUB_DIGEST_BYTES 72
char *hub_digest_text(const hub_digest *d, char dst[HUB_DIGEST_BYTES]);
/* "blobs/sha256-<hex>", beneath a store's folder. Returns dst. */
#define HUB_BLOB_PATH_BYTES 80
char *hub_digest_path(const hub_digest *d, char dst[HUB_BLOB_PATH_BYTES]);

typedef struct hub_hash hub_hash;
hub_hash *hub_hash_new(err *e);
void hub_hash_add(hub_hash *h, const void *p, size_t n);
void hub_hash_end(hub_hash *h, hub_digest *out); /* frees h */
void hub_hash_abort(hub_hash *h);                /* NULL is fine */
/* A copy that goes on by itself, for a place to come back to. */
hub_hash *hub_hash_copy(const hub_hash *h, err *e);
void hub_digest_of(hub_digest *out, const void *p, size_t n);
/* Of a file from its present place to its end; *n_bytes may be NULL. Errors name `path`. cancel
 * (may be NULL) is asked now and then; true ends it with ERR_INTERRUPTED. */
bool hub_digest_fd(hub_digest *out, uint64_t *n_bytes, int fd, const char *path,
                   bool (*cancel)(void *ud, uint64_t done), void *ud, err *e);

#endif
