/* Blobs: reading, writing, and those that are being fetched. */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/beneath.h"
#include "hub/store_private.h"

/* ---- reading ---- */

int hub_store_blob(const hub_store *s, const hub_digest *d, uint64_t *size, err *e) {
    char path[HUB_BLOB_PATH_BYTES];
    struct stat st;
    if (!d->hex[0]) {
        err_set(e, ERR_NOT_FOUND, "there is no such blob");
        return -1;
    }
    int fd = beneath_open_file(s->root, hub_digest_path(d, path), &st, e);
    if (fd >= 0 && size) *size = (uint64_t)st.st_size;
    return fd;
}

bool hub_store_has(const hub_store *s, const hub_digest *d, uint64_t size) {
    uint64_t have = 0;
    int fd = hub_store_blob(s, d, &have, NULL);
    if (fd >= 0) close(fd);
    return fd >= 0 && (size == UINT64_MAX || have == size);
}

bool hub_store_blob_read(const hub_store *s, const hub_digest *d, buf *b, err *e) {
    char path[HUB_BLOB_PATH_BYTES];
    if (!d->hex[0]) return err_set(e, ERR_NOT_FOUND, "there is no such blob");
    return beneath_read(b, s->root, hub_digest_path(d, path), e);
}

char *hub_store_blob_file(const hub_store *s, const hub_digest *d, err *e) {
    char path[HUB_BLOB_PATH_BYTES], *whole;
    int fd = hub_store_blob(s, d, NULL, e);
    if (fd < 0) return NULL;
    close(fd);
    if (asprintf(&whole, "%s/%s", s->folder, hub_digest_path(d, path)) >= 0) return whole;
    err_set(e, ERR_NO_FIT, "out of memory");
    return NULL;
}

/* ---- writing ---- */

struct hub_blob {
    hub_store *s;
    int fd;
    char path[64];
    hub_hash *hash;
    uint64_t n, expected; /* bytes */
    hub_digest digest;    /* once finished */
    bool finished;
};

static bool disk_fail(err *e, const hub_store *s, uint64_t done, uint64_t expected, int error) {
    if (error != ENOSPC && error != EDQUOT && error != EFBIG)
        return beneath_fail(e, s->folder, "cannot write a blob", error);
    if (expected > done)
        return err_set(e, ERR_NO_FIT, "%s: %s after %llu of %llu bytes: %llu more are needed",
                       s->folder, error == EFBIG ? "files may not grow" : "the disk is full",
                       (unsigned long long)done, (unsigned long long)expected,
                       (unsigned long long)(expected - done));
    return err_set(e, ERR_NO_FIT, "%s: %s after %llu bytes", s->folder,
                   error == EFBIG ? "files may not grow" : "the disk is full",
                   (unsigned long long)done);
}

/* flock tells a temporary file that is being written from one that somebody left. */
hub_blob *hub_blob_begin(hub_store *s, uint64_t bytes, err *e) {
    if (!hub_store_editable(s, e) || !hub_store_room(s, bytes, e)) return NULL;
    hub_blob *b = calloc(1, sizeof *b);
    if (!b || !(b->hash = hub_hash_new(e))) {
        if (!b) err_set(e, ERR_NO_FIT, "out of memory");
        free(b);
        return NULL;
    }
    b->s = s;
    b->expected = bytes;
    b->fd = -1;
    if (!hub_store_lock(s, e)) { /* between making it and locking it, gc must not see it */
        hub_blob_abort(b);
        return NULL;
    }
    for (int tries = 0; b->fd < 0 && tries < 100; tries++) {
        snprintf(b->path, sizeof b->path, "tmp/%ld-%u", (long)getpid(),
                 atomic_fetch_add(&s->serial, 1));
        b->fd = beneath_open(s->root, b->path, O_RDWR | O_CREAT | O_EXCL, 0644);
        if (b->fd < 0 && errno != EEXIST) break;
    }
    if (b->fd < 0) disk_fail(e, s, 0, bytes, errno);
    else flock(b->fd, LOCK_EX | LOCK_NB);
    hub_store_unlock(s);
    if (b->fd >= 0) return b;
    hub_blob_abort(b);
    return NULL;
}

void hub_blob_abort(hub_blob *b) {
    if (!b) return;
    if (b->fd >= 0) {
        beneath_remove(b->s->root, b->path, NULL);
        close(b->fd);
    }
    hub_hash_abort(b->hash);
    free(b);
}

bool hub_blob_write(hub_blob *b, const void *p, size_t n, err *e) {
    const char *at = p;
    for (size_t left = n; left > 0;) {
        ssize_t done = write(b->fd, at, left);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return disk_fail(e, b->s, b->n, b->expected, errno);
        hub_hash_add(b->hash, at, (size_t)done);
        b->n += (uint64_t)done;
        at += done;
        left -= (size_t)done;
    }
    return true;
}

bool hub_blob_finish(hub_blob *b, hub_digest *d, uint64_t *size, err *e) {
    if (!b->finished) {
        hub_hash_end(b->hash, &b->digest);
        b->hash = NULL;
        if (!b->digest.hex[0]) return err_set(e, ERR_NO_FIT, "out of memory");
        if (fsync(b->fd) != 0) return disk_fail(e, b->s, b->n, b->expected, errno);
        b->finished = true;
    }
    if (d) *d = b->digest;
    if (size) *size = b->n;
    return true;
}

/* From a file beneath the root to the blob that it is; one that is there already stays. */
static bool into_place(hub_store *s, const char *from, const hub_digest *d, uint64_t size, err *e) {
    char to[HUB_BLOB_PATH_BYTES];
    if (!hub_store_lock(s, e)) return false;
    bool ok = hub_store_has(s, d, size) ? beneath_remove(s->root, from, e)
                                        : beneath_rename(s->root, from, hub_digest_path(d, to), e);
    hub_store_unlock(s);
    return ok;
}

bool hub_blob_commit(hub_blob *b, err *e) {
    bool ok = hub_blob_finish(b, NULL, NULL, e) && into_place(b->s, b->path, &b->digest, b->n, e);
    if (ok) {
        close(b->fd);
        b->fd = -1;
    }
    hub_blob_abort(b);
    return ok;
}

bool hub_store_add(hub_store *s, str bytes, hub_digest *d, err *e) {
    hub_digest_of(d, bytes.p, bytes.n);
    if (hub_store_has(s, d, bytes.n)) {
        /* it may be without a model and old: from now on it is young, so that gc spares it */
        char path[HUB_BLOB_PATH_BYTES];
        int fd = beneath_open(s->root, hub_digest_path(d, path), O_RDONLY, 0);
        if (fd >= 0) futimens(fd, NULL);
        if (fd >= 0) close(fd);
        if (hub_store_has(s, d, bytes.n)) return true;
    }
    hub_blob *b = hub_blob_begin(s, bytes.n, e);
    if (!b) return false;
    if (hub_blob_write(b, bytes.p, bytes.n, e) && hub_blob_finish(b, d, NULL, e))
        return hub_blob_commit(b, e);
    hub_blob_abort(b);
    return false;
}

/* The hash needs a pass over the bytes; the copy none where blocks can be shared. */
static bool copy_all(hub_blob *b, int fd, const char *path, bool (*each)(void *, uint64_t),
                     void *ud, err *e) {
    enum { PIECE = 1 << 20 };
    char reason[128], *piece = malloc(PIECE);
    bool shared = ioctl(b->fd, FICLONE, fd) == 0, ok = piece != NULL;
    if (!ok) err_set(e, ERR_NO_FIT, "out of memory");
    for (off_t at = 0; ok;) {
        ssize_t got = pread(fd, piece, PIECE, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            ok = err_set(e, ERR_FAILED, "%s: cannot read: %s", path,
                         strerror_r(errno, reason, sizeof reason));
        if (got <= 0) break;
        at += got;
        if (shared) {
            hub_hash_add(b->hash, piece, (size_t)got);
            b->n += (uint64_t)got;
        } else {
            ok = hub_blob_write(b, piece, (size_t)got, e);
        }
        if (ok && each && each(ud, (uint64_t)at)) ok = err_set(e, ERR_INTERRUPTED, "interrupted");
    }
    if (ok && shared && ftruncate(b->fd, (off_t)b->n) != 0)
        ok = disk_fail(e, b->s, b->n, b->expected, errno);
    free(piece);
    return ok;
}

bool hub_store_add_file(hub_store *s, int fd, const char *path,
                        bool (*each)(void *ud, uint64_t done), void *ud, hub_digest *d,
                        uint64_t *size, err *e) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_FAILED, "%s: not a regular file", path);
    hub_blob *b = hub_blob_begin(s, (uint64_t)st.st_size, e);
    if (!b) return false;
    if (copy_all(b, fd, path, each, ud, e) && hub_blob_finish(b, d, size, e))
        return hub_blob_commit(b, e);
    hub_blob_abort(b);
    return false;
}

/* ---- parts ---- */

struct hub_part {
    hub_store *s;
    int fd;
    hub_digest key;
    uint64_t bytes;
};

static char *part_path(const hub_part *p, const char *end, char dst[96]) {
    snprintf(dst, 96, "partial/sha256-%s%s", p->key.hex, end);
    return dst;
}

hub_part *hub_part_open(hub_store *s, const hub_digest *key, uint64_t bytes, err *e) {
    char path[96];
    struct stat st;
    if (!hub_store_editable(s, e)) return NULL;
    hub_part *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    *p = (hub_part){.s = s, .fd = -1, .key = *key, .bytes = bytes};
    if (hub_store_lock(s, e)) {
        p->fd = beneath_open(s->root, part_path(p, "", path), O_RDWR | O_CREAT, 0644);
        if (p->fd < 0) disk_fail(e, s, 0, bytes, errno);
        hub_store_unlock(s);
    }
    if (p->fd < 0) {
        free(p);
        return NULL;
    }
    bool ok = flock(p->fd, LOCK_EX | LOCK_NB) == 0 ||
              err_set(e, ERR_BUSY, "another process is fetching sha256:%.12s...", key->hex);
    uint64_t have = ok && fstat(p->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
    if (ok && bytes > have) ok = hub_store_room(s, bytes - have, e);
    if (ok) return p;
    hub_part_close(p);
    return NULL;
}

int hub_part_fd(const hub_part *p) {
    return p->fd;
}

bool hub_part_journal_read(const hub_part *p, buf *b, err *e) {
    char path[96];
    err why = {0};
    if (beneath_read(b, p->s->root, part_path(p, ".journal", path), &why)) return true;
    if (why.code == ERR_NOT_FOUND) return true;
    if (e) *e = why;
    return false;
}

bool hub_part_journal_write(hub_part *p, str bytes, err *e) {
    char path[96];
    if (fdatasync(p->fd) != 0) return disk_fail(e, p->s, 0, p->bytes, errno);
    return beneath_replace(p->s->root, part_path(p, ".journal", path), bytes.p, bytes.n, 0644, e);
}

void hub_part_close(hub_part *p) {
    if (!p) return;
    close(p->fd);
    free(p);
}

bool hub_part_commit(hub_part *p, const hub_digest *d, err *e) {
    char path[96];
    struct stat st;
    bool ok = (fsync(p->fd) == 0 && fstat(p->fd, &st) == 0) ||
              disk_fail(e, p->s, 0, p->bytes, errno);
    ok = ok && into_place(p->s, part_path(p, "", path), d, (uint64_t)st.st_size, e) &&
         beneath_remove(p->s->root, part_path(p, ".journal", path), e);
    hub_part_close(p);
    return ok;
}

bool hub_part_drop(hub_part *p, err *e) {
    char path[96];
    bool ok = beneath_remove(p->s->root, part_path(p, ".journal", path), e) &&
              beneath_remove(p->s->root, part_path(p, "", path), e);
    hub_part_close(p);
    return ok;
}
