#include "hub/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"

enum { BLOCK = 512, PIECE = 1 << 20 };

/* One block of ustar; sizes past 8 GB in base 256, as GNU tar and others write and read them. */
typedef struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
} header;

_Static_assert(sizeof(header) == BLOCK, "a block of tar has 512 bytes");

static unsigned sum_of(const header *h) {
    header copy = *h;
    unsigned sum = 0;
    memset(copy.sum, ' ', sizeof copy.sum);
    const unsigned char *p = (const unsigned char *)&copy;
    for (size_t i = 0; i < BLOCK; i++) sum += p[i];
    return sum;
}

/* ---- writing ---- */

typedef struct packer {
    const hub_store *s;
    file_new *f;
    const hub_archive_options *o;
    uint64_t done, total;
} packer;

static bool header_write(packer *w, const char *name, uint64_t size, err *e) {
    header h = {0};
    char text[32];
    size_t n = strlen(name), cut = 0;
    if (n > sizeof h.name) { /* the folder part goes into the prefix */
        for (size_t i = 0; i < n; i++)
            if (name[i] == '/' && i <= sizeof h.prefix && n - i - 1 <= sizeof h.name) cut = i;
        if (!cut) return err_set(e, ERR_FAILED, "%s: a name that is too long for tar", name);
        memcpy(h.prefix, name, cut);
        cut++;
    }
    memcpy(h.name, name + cut, n - cut);
    memcpy(h.mode, "0000644", 8);
    memcpy(h.uid, "0000000", 8);
    memcpy(h.gid, "0000000", 8);
    if (size < (1ull << 33)) {
        snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
        memcpy(h.size, text, 12);
    } else {
        h.size[0] = (char)0x80;
        for (int i = 11; i >= 4; i--, size >>= 8) h.size[i] = (char)(size & 0xff);
    }
    snprintf(text, sizeof text, "%011llo", (unsigned long long)clock_unix_s());
    memcpy(h.mtime, text, 12);
    h.type = '0';
    memcpy(h.magic, "ustar", 6);
    memcpy(h.version, "00", 2);
    snprintf(text, sizeof text, "%06o", sum_of(&h));
    memcpy(h.sum, text, 7);
    h.sum[7] = ' ';
    return file_new_write(w->f, &h, sizeof h, e);
}

static bool pad_write(packer *w, uint64_t size, err *e) {
    static const char zeros[BLOCK];
    return file_new_write(w->f, zeros, (BLOCK - size % BLOCK) % BLOCK, e);
}

static bool blob_write(packer *w, const hub_layer *l, err *e) {
    char path[HUB_BLOB_PATH_BYTES], *piece = NULL;
    uint64_t size = 0, left;
    hub_hash *hash = NULL;
    hub_digest got;
    if (!l->digest.hex[0]) return true;
    int fd = hub_store_blob(w->s, &l->digest, &size, e);
    if (fd < 0) return false;
    bool ok = (piece = malloc(PIECE)) && (hash = hub_hash_new(e));
    ok = ok && header_write(w, hub_digest_path(&l->digest, path), size, e);
    for (left = size; ok && left > 0;) {
        ssize_t n = read(fd, piece, left < PIECE ? left : PIECE);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) ok = beneath_fail(e, path, "cannot read", n ? errno : EIO);
        if (!ok) break;
        hub_hash_add(hash, piece, (size_t)n);
        ok = file_new_write(w->f, piece, (size_t)n, e);
        left -= (uint64_t)n;
        w->done += (uint64_t)n;
        if (w->o->each && w->o->each(w->o->ud, w->done, w->total))
            ok = err_set(e, ERR_INTERRUPTED, "interrupted");
    }
    ok = ok && pad_write(w, size, e);
    if (ok) {
        hub_hash_end(hash, &got);
        hash = NULL;
        if (!hub_digest_eq(&got, &l->digest))
            ok = err_set(e, ERR_DAMAGED, "%s is damaged: hearth verify --repair", path);
    }
    hub_hash_abort(hash);
    free(piece);
    close(fd);
    return ok;
}

static bool all_write(packer *w, const hub_name *n, const hub_manifest *m, str bytes, err *e) {
    static const char end[2 * BLOCK];
    char name[HUB_NAME_BYTES], path[HUB_NAME_BYTES + 16];
    bool ok = blob_write(w, &m->config, e);
    for (size_t i = 0; ok && i < m->n; i++) { /* a blob that two layers share: once */
        bool before = hub_digest_eq(&m->layer[i].digest, &m->config.digest);
        for (size_t k = 0; k < i; k++)
            before = before || hub_digest_eq(&m->layer[i].digest, &m->layer[k].digest);
        ok = before || blob_write(w, &m->layer[i], e);
    }
    snprintf(path, sizeof path, "manifests/%s", hub_name_path(n, name));
    return ok && header_write(w, path, bytes.n, e) && file_new_write(w->f, bytes.p, bytes.n, e) &&
           pad_write(w, bytes.n, e) && file_new_write(w->f, end, sizeof end, e);
}

bool hub_export(const hub_store *s, const hub_name *n, const char *file,
                const hub_archive_options *o, err *e) {
    hub_name found = *n;
    hub_manifest m = {0};
    buf b;
    packer w = {.s = s, .o = o};
    buf_init(&b, LIMIT_MANIFEST_BYTES);
    hub_store_existing(s, HUB_READY, &found);
    bool ok = hub_store_get(s, HUB_READY, &found, &b, e) && hub_manifest_parse(&m, buf_str(&b), e);
    if (ok && !o->replace && access(file, F_OK) == 0)
        ok = err_set(e, ERR_USAGE, "%s is there already: --force replaces it", file);
    w.total = m.bytes;
    ok = ok && (w.f = file_new_open(file, 0644, e)) != NULL;
    /* a header and a part of a block for each, and the end */
    uint64_t all = m.bytes + (uint64_t)b.len + (m.n + 4) * 2 * BLOCK;
    if (ok && (!file_new_expect(w.f, all, e) || !all_write(&w, &found, &m, buf_str(&b), e))) {
        file_new_abort(w.f);
        ok = false;
    } else if (ok) {
        ok = file_new_commit(w.f, e);
    }
    hub_manifest_deinit(&m);
    buf_deinit(&b);
    return ok;
}

/* ---- reading ---- */

typedef struct unpacker {
    hub_store *s;
    int fd;
    const char *file;
    const hub_archive_options *o;
    uint64_t done, total; /* bytes of the file; total 0: not known */
    buf manifest;
    hub_name name;
    bool named;
} unpacker;

static bool bad(const unpacker *u, err *e, const char *why) {
    return err_set(e, ERR_DAMAGED, "%s: byte %llu: %s", u->file, (unsigned long long)u->done, why);
}

static bool bytes_read(unpacker *u, void *p, size_t n, err *e) {
    for (size_t at = 0; at < n;) {
        ssize_t got = read(u->fd, (char *)p + at, n - at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return beneath_fail(e, u->file, "cannot read", errno);
        if (got == 0) return bad(u, e, "the archive ends here, too early");
        at += (size_t)got;
        u->done += (uint64_t)got;
    }
    return true;
}

static bool number_read(const char *p, size_t n, uint64_t *out) {
    *out = 0;
    if ((unsigned char)p[0] & 0x80) {
        if ((unsigned char)p[0] != 0x80) return false;
        for (size_t i = 1; i < n; i++) {
            if (*out >> 55) return false;
            *out = *out << 8 | (unsigned char)p[i];
        }
        return true;
    }
    size_t i = 0, digits = 0;
    while (i < n && p[i] == ' ') i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++, digits++)
        *out = *out * 8 + (uint64_t)(p[i] - '0');
    return digits > 0 && (i == n || p[i] == 0 || p[i] == ' ');
}

static bool rest_skip(unpacker *u, uint64_t n, err *e) {
    char piece[BLOCK * 8];
    while (n > 0) {
        size_t k = n < sizeof piece ? (size_t)n : sizeof piece;
        if (!bytes_read(u, piece, k, e)) return false;
        n -= k;
    }
    return true;
}

static bool blob_read(unpacker *u, str name, uint64_t size, err *e) {
    hub_digest want, got;
    char *piece = NULL;
    hub_blob *b = NULL;
    if (!hub_digest_parse(&want, (str){name.p + 6, name.n - 6}, e))
        return bad(u, e, "no blob's name");
    if (hub_store_has(u->s, &want, size)) return rest_skip(u, size, e);
    bool ok = ((piece = malloc(PIECE)) || err_set(e, ERR_NO_FIT, "out of memory")) &&
              (b = hub_blob_begin(u->s, size, e)) != NULL;
    for (uint64_t left = size; ok && left > 0;) {
        size_t n = left < PIECE ? (size_t)left : PIECE;
        ok = bytes_read(u, piece, n, e) && hub_blob_write(b, piece, n, e);
        left -= n;
        if (ok && u->o->each && u->o->each(u->o->ud, u->done, u->total))
            ok = err_set(e, ERR_INTERRUPTED, "interrupted");
    }
    ok = ok && hub_blob_finish(b, &got, NULL, e);
    if (ok && !hub_digest_eq(&got, &want))
        ok = bad(u, e, "a blob whose bytes do not give its name");
    if (ok) ok = hub_blob_commit(b, e);
    else hub_blob_abort(b);
    free(piece);
    return ok;
}

static bool manifest_read(unpacker *u, str name, uint64_t size, err *e) {
    char path[HUB_NAME_BYTES], *part[4];
    size_t n = 0;
    if (u->named) return bad(u, e, "a second manifest");
    if (size > LIMIT_MANIFEST_BYTES || name.n - 10 >= sizeof path)
        return bad(u, e, "a manifest that is too large");
    snprintf(path, sizeof path, "%.*s", (int)(name.n - 10), name.p + 10);
    for (char *p = path; n < 4; p++) {
        part[n++] = p;
        p = strchr(p, '/');
        if (!p) break;
        *p = 0;
    }
    if (n != 4 || !hub_name_of_path(&u->name, part[0], part[1], part[2], part[3]))
        return bad(u, e, "a manifest whose name is none");
    u->named = true;
    char *to = buf_reserve(&u->manifest, (size_t)size);
    if (!to) return err_set(e, ERR_NO_FIT, "out of memory");
    if (!bytes_read(u, to, (size_t)size, e)) return false;
    buf_commit(&u->manifest, (size_t)size);
    return true;
}

/* Files under other names, folders, links and what else tar has are passed over: none is made. */
static bool entry_read(unpacker *u, const header *h, err *e) {
    char text[sizeof h->prefix + sizeof h->name + 2];
    uint64_t size, sum;
    if (memcmp(h->magic, "ustar", 5) != 0 || !number_read(h->sum, sizeof h->sum, &sum) ||
        sum != sum_of(h))
        return bad(u, e, "no header of a tar archive");
    if (!number_read(h->size, sizeof h->size, &size) || size > INT64_MAX)
        return bad(u, e, "a size that cannot be");
    size_t k = strnlen(h->prefix, sizeof h->prefix);
    snprintf(text, sizeof text, "%.*s%s%.*s", (int)k, h->prefix, k ? "/" : "",
             (int)strnlen(h->name, sizeof h->name), h->name);
    str name = str_of(text);
    if (str_starts(name, STR("./"))) name = (str){name.p + 2, name.n - 2};
    bool file = h->type == '0' || h->type == 0;
    bool ok = file && str_starts(name, STR("blobs/"))       ? blob_read(u, name, size, e)
              : file && str_starts(name, STR("manifests/")) ? manifest_read(u, name, size, e)
                                                            : rest_skip(u, size, e);
    return ok && rest_skip(u, (BLOCK - size % BLOCK) % BLOCK, e);
}

static bool is_end(const header *h) {
    static const header zero;
    return memcmp(h, &zero, sizeof zero) == 0;
}

static bool model_put(unpacker *u, err *e) {
    char shown[HUB_NAME_BYTES];
    hub_digest now, then = {{0}};
    buf old;
    if (!u->named) return err_set(e, ERR_DAMAGED, "%s: it holds no model", u->file);
    buf_init(&old, LIMIT_MANIFEST_BYTES);
    if (hub_store_get(u->s, HUB_READY, &u->name, &old, NULL))
        hub_digest_of(&then, old.data, old.len);
    buf_deinit(&old);
    hub_digest_of(&now, u->manifest.data, u->manifest.len);
    if (then.hex[0] && !hub_digest_eq(&now, &then) && !u->o->replace)
        return err_set(e, ERR_USAGE, "there is another model called %s: --force replaces it",
                       hub_name_show(&u->name, shown));
    return hub_store_put(u->s, HUB_READY, &u->name, buf_str(&u->manifest), e) ||
           err_wrap(e, "%s", u->file);
}

bool hub_import(hub_store *s, const char *file, const hub_archive_options *o, hub_name *n, err *e) {
    unpacker u = {.s = s, .file = file, .o = o};
    struct stat st;
    header h;
    u.fd = open(file, O_RDONLY | O_CLOEXEC);
    if (u.fd < 0) return beneath_fail(e, file, "cannot open", errno);
    if (fstat(u.fd, &st) == 0 && S_ISREG(st.st_mode)) u.total = (uint64_t)st.st_size;
    buf_init(&u.manifest, LIMIT_MANIFEST_BYTES);
    bool ok = true;
    for (size_t entries = 0; ok; entries++) {
        ok = bytes_read(&u, &h, sizeof h, e);
        if (!ok || is_end(&h)) break;
        if (entries > 2 * LIMIT_MANIFEST_LAYERS) ok = bad(&u, e, "too many files");
        ok = ok && entry_read(&u, &h, e);
    }
    ok = ok && model_put(&u, e);
    if (ok) *n = u.name;
    buf_deinit(&u.manifest);
    close(u.fd);
    return ok;
}

bool hub_is_archive(const char *file) {
    header h = {0};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && read(fd, &h, sizeof h) == (ssize_t)sizeof h &&
              memcmp(h.magic, "ustar", 5) == 0;
    if (fd >= 0) close(fd);
    return ok;
}
