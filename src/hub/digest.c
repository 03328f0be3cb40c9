/* SHA-256 by OpenSSL, which has the CPU's own instructions for it. */
#include "hub/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct hub_hash {
    EVP_MD_CTX *c;
    bool failed; /* memory was short: the digest is empty then */
};

bool hub_digest_parse(hub_digest *d, str text, err *e) {
    char shown[120];
    *d = (hub_digest){{0}};
    bool ok = text.n == 71 &&
              (str_starts(text, STR("sha256:")) || str_starts(text, STR("sha256-")));
    for (size_t i = 7; ok && i < 71; i++)
        ok = (text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f');
    if (!ok)
        return err_set(e, ERR_USAGE, "\"%s\" is no digest: sha256: and 64 lower-case hex digits",
                       str_printable(text, shown, sizeof shown));
    memcpy(d->hex, text.p + 7, 64);
    return true;
}

bool hub_digest_eq(const hub_digest *a, const hub_digest *b) {
    return memcmp(a->hex, b->hex, sizeof a->hex) == 0;
}

char *hub_digest_text(const hub_digest *d, char dst[HUB_DIGEST_BYTES]) {
    snprintf(dst, HUB_DIGEST_BYTES, "sha256:%s", d->hex);
    return dst;
}

char *hub_digest_path(const hub_digest *d, char dst[HUB_BLOB_PATH_BYTES]) {
    snprintf(dst, HUB_BLOB_PATH_BYTES, "blobs/sha256-%s", d->hex);
    return dst;
}

hub_hash *hub_hash_new(err *e) {
    hub_hash *h = calloc(1, sizeof *h);
    if (h) h->c = EVP_MD_CTX_new();
    if (h && h->c && EVP_DigestInit_ex(h->c, EVP_sha256(), NULL) == 1) return h;
    hub_hash_abort(h);
    err_set(e, ERR_NO_FIT, "out of memory");
    return NULL;
}

void hub_hash_add(hub_hash *h, const void *p, size_t n) {
    if (n && EVP_DigestUpdate(h->c, p, n) != 1) h->failed = true;
}

void hub_hash_abort(hub_hash *h) {
    if (!h) return;
    EVP_MD_CTX_free(h->c);
    free(h);
}

void hub_hash_end(hub_hash *h, hub_digest *out) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    *out = (hub_digest){{0}};
    if (!h->failed && EVP_DigestFinal_ex(h->c, sum, &n) == 1 && n == 32)
        for (unsigned i = 0; i < n; i++) snprintf(out->hex + 2 * i, 3, "%02x", sum[i]);
    hub_hash_abort(h);
}

hub_hash *hub_hash_copy(const hub_hash *h, err *e) {
    hub_hash *copy = hub_hash_new(e);
    if (copy && EVP_MD_CTX_copy_ex(copy->c, h->c) == 1) {
        copy->failed = h->failed;
        return copy;
    }
    if (copy) err_set(e, ERR_NO_FIT, "out of memory");
    hub_hash_abort(copy);
    return NULL;
}

void hub_digest_of(hub_digest *out, const void *p, size_t n) {
    hub_hash *h = hub_hash_new(NULL);
    *out = (hub_digest){{0}};
    if (!h) return;
    hub_hash_add(h, p, n);
    hub_hash_end(h, out);
}

bool hub_digest_fd(hub_digest *out, uint64_t *n_bytes, int fd, const char *path,
                   bool (*cancel)(void *ud, uint64_t done), void *ud, err *e) {
    enum { PIECE = 1 << 20 };
    char *piece = malloc(PIECE), reason[128];
    hub_hash *h = piece ? hub_hash_new(e) : NULL;
    uint64_t done = 0;
    bool ok = h || err_set(e, ERR_NO_FIT, "out of memory");
    while (ok) {
        ssize_t got = read(fd, piece, PIECE);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            ok = err_set(e, ERR_FAILED, "%s: cannot read: %s", path,
                         strerror_r(errno, reason, sizeof reason));
        if (got <= 0) break;
        hub_hash_add(h, piece, (size_t)got);
        done += (uint64_t)got;
        if (cancel && cancel(ud, done)) ok = err_set(e, ERR_INTERRUPTED, "interrupted");
    }
    if (ok) hub_hash_end(h, out);
    else hub_hash_abort(h);
    if (n_bytes) *n_bytes = done;
    free(piece);
    return ok && (out->hex[0] || err_set(e, ERR_NO_FIT, "out of memory"));
}
