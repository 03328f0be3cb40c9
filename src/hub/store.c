/* The store's folder: opening, its lock, manifests by name. */
#include "hub/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/limits.h"
#include "hub/store_private.h"

const char *const hub_area_folder[] = {"manifests", "pending", "previous", "origins"};

/* ---- opening ---- */

static bool make_folders(hub_store *s, err *e) {
    static const char *const all[] = {"blobs",   "manifests", "pending", "previous",
                                      "origins", "partial",   "tmp"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!beneath_make_dirs(s->root, all[i], e)) return false;
    return true;
}

hub_store *hub_store_open(const char *folder, hub_mode mode, err *e) {
    char own[PATH_MAX], real[PATH_MAX];
    if (!folder) {
        const char *home = file_home();
        if (!home || snprintf(own, sizeof own, "%s/models", home) >= (int)sizeof own) {
            err_set(e, ERR_FAILED, "no home folder is known: set HEARTH_HOME");
            return NULL;
        }
        folder = own;
    }
    hub_store *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&s->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    s->lock_fd = -1;
    s->edit = mode == HUB_STORE_EDIT;
    s->root = beneath_root(folder, s->edit, e);
    if (s->root >= 0) s->folder = strdup(realpath(folder, real) ? real : folder);
    if (s->root >= 0 && s->folder && (!s->edit || make_folders(s, e))) return s;
    if (s->root >= 0 && !s->folder) err_set(e, ERR_NO_FIT, "out of memory");
    hub_store_close(s);
    return NULL;
}

void hub_store_close(hub_store *s) {
    if (!s) return;
    if (s->lock_fd >= 0) close(s->lock_fd);
    if (s->root >= 0) close(s->root);
    pthread_mutex_destroy(&s->mutex);
    free(s->folder);
    free(s);
}

const char *hub_store_folder(const hub_store *s) {
    return s->folder;
}

bool hub_store_editable(const hub_store *s, err *e) {
    return s->edit || err_set(e, ERR_DENIED, "%s is only read", s->folder);
}

uint64_t hub_store_free_bytes(const hub_store *s) {
    struct statvfs v;
    if (fstatvfs(s->root, &v) != 0) return UINT64_MAX;
    return (uint64_t)v.f_bavail * (uint64_t)v.f_frsize;
}

bool hub_store_room(const hub_store *s, uint64_t bytes, err *e) {
    const uint64_t spare = 64u << 20;
    uint64_t have = hub_store_free_bytes(s);
    if (have == UINT64_MAX || bytes == 0 || (have >= spare && bytes <= have - spare)) return true;
    /* a small disk may be filled: what fits, fits */
    if (bytes <= have && bytes < spare) return true;
    return err_set(e, ERR_NO_FIT,
                   "%s: the disk has no room: %llu bytes are needed and %llu are free", s->folder,
                   (unsigned long long)bytes, (unsigned long long)have);
}

/* ---- the lock ---- */

bool hub_store_lock(hub_store *s, err *e) {
    if (!hub_store_editable(s, e)) return false;
    pthread_mutex_lock(&s->mutex);
    if (s->depth > 0) {
        s->depth++;
        return true;
    }
    if (s->lock_fd < 0) s->lock_fd = beneath_open(s->root, "lock", O_RDWR | O_CREAT, 0644);
    int error = errno;
    bool held = false;
    for (int tries = 0; s->lock_fd >= 0 && !held && tries < 1000; tries++) {
        held = flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0;
        error = errno;
        if (!held && error != EWOULDBLOCK && error != EINTR) break;
        if (!held) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (held) {
        s->depth = 1;
        return true;
    }
    pthread_mutex_unlock(&s->mutex);
    if (s->lock_fd >= 0 && error == EWOULDBLOCK)
        return err_set(e, ERR_BUSY, "%s: another process is changing it: try again", s->folder);
    return beneath_fail(e, "lock", "cannot lock the store", error);
}

void hub_store_unlock(hub_store *s) {
    if (--s->depth == 0) flock(s->lock_fd, LOCK_UN);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- manifests by name ---- */

char *hub_area_path(hub_area area, const hub_name *n, char dst[HUB_AREA_PATH_BYTES]) {
    char name[HUB_NAME_BYTES];
    snprintf(dst, HUB_AREA_PATH_BYTES, "%s/%s", hub_area_folder[area], hub_name_path(n, name));
    return dst;
}

static int64_t when(const hub_store *s, const char *path) {
    struct stat st;
    int fd = beneath_open_file(s->root, path, &st, NULL);
    if (fd < 0) return 0;
    close(fd);
    return (int64_t)st.st_mtime;
}

int64_t hub_store_when(const hub_store *s, hub_area area, const hub_name *n) {
    char path[HUB_AREA_PATH_BYTES];
    return when(s, hub_area_path(area, n, path));
}

/* A name of a folder that differs from the one that is looked for by case alone. */
typedef struct same {
    const char *want;
    char found[HUB_HOST_MAX + 1];
} same;

static bool same_each(void *ud, const char *name) {
    same *f = ud;
    if (strcasecmp(name, f->want) != 0 || strlen(name) >= sizeof f->found) return true;
    snprintf(f->found, sizeof f->found, "%s", name);
    return false;
}

bool hub_store_existing(const hub_store *s, hub_area area, hub_name *n) {
    char folder[HUB_AREA_PATH_BYTES];
    char *part[] = {n->host, n->ns, n->model, n->tag};
    if (n->kind != HUB_NAME) return false;
    if (hub_store_when(s, area, n) > 0) return true;
    hub_name found = *n;
    char *to[] = {found.host, found.ns, found.model, found.tag};
    snprintf(folder, sizeof folder, "%s", hub_area_folder[area]);
    for (int i = 0; i < 4; i++) {
        same f = {.want = part[i]};
        if (!beneath_each(s->root, folder, same_each, &f, NULL) || !f.found[0]) return false;
        snprintf(to[i], strlen(part[i]) + 1, "%s", f.found);
        size_t k = strlen(folder);
        snprintf(folder + k, sizeof folder - k, "/%s", f.found);
    }
    if (hub_store_when(s, area, &found) == 0) return false;
    *n = found;
    return true;
}

static bool not_there(err *e, const hub_name *n) {
    char shown[HUB_NAME_BYTES];
    return err_set(e, ERR_NOT_FOUND, "there is no model \"%s\"", hub_name_show(n, shown));
}

bool hub_store_get(const hub_store *s, hub_area area, const hub_name *n, buf *out, err *e) {
    char path[HUB_AREA_PATH_BYTES];
    err why = {0};
    if (beneath_read(out, s->root, hub_area_path(area, n, path), &why)) return true;
    if (why.code == ERR_NOT_FOUND) return not_there(e, n);
    if (e) *e = why;
    return false;
}

bool hub_store_manifest(const hub_store *s, hub_area area, const hub_name *n, hub_manifest *m,
                        err *e) {
    char shown[HUB_NAME_BYTES];
    buf b;
    buf_init(&b, LIMIT_MANIFEST_BYTES);
    *m = (hub_manifest){0};
    bool ok = hub_store_get(s, area, n, &b, e) &&
              (hub_manifest_parse(m, buf_str(&b), e) || err_wrap(e, "%s", hub_name_show(n, shown)));
    buf_deinit(&b);
    return ok;
}

static bool layer_there(const hub_store *s, const hub_layer *l, err *e) {
    char text[HUB_DIGEST_BYTES];
    if (!l->digest.hex[0] || hub_store_has(s, &l->digest, l->size)) return true;
    return err_set(e, ERR_DAMAGED, "the blob %s of %llu bytes is not in the store",
                   hub_digest_text(&l->digest, text), (unsigned long long)l->size);
}

static bool complete(const hub_store *s, str bytes, err *e) {
    hub_manifest m;
    if (!hub_manifest_parse(&m, bytes, e)) return false;
    bool ok = layer_there(s, &m.config, e);
    for (size_t i = 0; ok && i < m.n; i++) ok = layer_there(s, &m.layer[i], e);
    hub_manifest_deinit(&m);
    return ok;
}

/* Folders may be removed by another process between making and using them: both under the lock. */
bool hub_store_put(hub_store *s, hub_area area, const hub_name *n, str bytes, err *e) {
    char path[HUB_AREA_PATH_BYTES], folder[HUB_AREA_PATH_BYTES], tmp[64];
    if (n->kind != HUB_NAME) return err_set(e, ERR_USAGE, "a model's name is wanted");
    /* where gc finds what a kill leaves */
    snprintf(tmp, sizeof tmp, "tmp/manifest-%ld", (long)getpid());
    snprintf(folder, sizeof folder, "%s", hub_area_path(area, n, path));
    *strrchr(folder, '/') = 0;
    if (!hub_store_lock(s, e)) return false;
    bool ok = (area != HUB_READY || complete(s, bytes, e)) &&
              beneath_make_dirs(s->root, folder, e) &&
              beneath_replace(s->root, tmp, bytes.p, bytes.n, 0644, e) &&
              beneath_rename(s->root, tmp, path, e);
    if (ok && area == HUB_READY) ok = hub_store_remove(s, HUB_PENDING, n, e);
    hub_store_unlock(s);
    return ok;
}

bool hub_store_remove(hub_store *s, hub_area area, const hub_name *n, err *e) {
    char path[HUB_AREA_PATH_BYTES];
    if (!hub_store_lock(s, e)) return false;
    bool ok = beneath_remove(s->root, hub_area_path(area, n, path), e);
    for (int up = 0; ok && up < 3; up++) { /* folders that hold nothing any more */
        *strrchr(path, '/') = 0;
        if (!beneath_remove_dir(s->root, path)) break;
    }
    hub_store_unlock(s);
    return ok;
}

bool hub_store_set_aside(hub_store *s, const hub_name *n, err *e) {
    char from[HUB_AREA_PATH_BYTES], to[HUB_AREA_PATH_BYTES], folder[HUB_AREA_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", hub_area_path(HUB_PENDING, n, to));
    *strrchr(folder, '/') = 0;
    if (!hub_store_lock(s, e)) return false;
    bool ok = beneath_make_dirs(s->root, folder, e) &&
              beneath_rename(s->root, hub_area_path(HUB_READY, n, from), to, e) &&
              hub_store_remove(s, HUB_READY, n, e); /* its folders */
    hub_store_unlock(s);
    return ok;
}

/* ---- all names ---- */

typedef struct walk {
    const hub_store *s;
    const char *part[4];
    int depth;
    char folder[HUB_AREA_PATH_BYTES];
    hub_name *list;
    size_t n, cap;
    bool full;
} walk;

static bool walk_add(walk *w) {
    hub_name n;
    if (!hub_name_of_path(&n, w->part[0], w->part[1], w->part[2], w->part[3])) return true;
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 32;
        hub_name *more = cap <= LIMIT_STORE_MODELS ? realloc(w->list, cap * sizeof *more) : NULL;
        w->full = !more;
        if (!more) return false;
        w->list = more;
        w->cap = cap;
    }
    w->list[w->n++] = n;
    return true;
}

static bool walk_each(void *ud, const char *name) {
    walk *w = ud;
    if (name[0] == '.' || strlen(name) > HUB_HOST_MAX) return true;
    w->part[w->depth] = name;
    if (w->depth == 3) {
        char path[HUB_AREA_PATH_BYTES + HUB_HOST_MAX + 2];
        snprintf(path, sizeof path, "%s/%s", w->folder, name);
        return when(w->s, path) == 0 || walk_add(w);
    }
    size_t k = strlen(w->folder);
    if (k + strlen(name) + 2 > sizeof w->folder) return true;
    snprintf(w->folder + k, sizeof w->folder - k, "/%s", name);
    w->depth++;
    beneath_each(w->s->root, w->folder, walk_each, w, NULL);
    w->depth--;
    w->folder[k] = 0;
    return !w->full;
}

static int by_name(const void *a, const void *b) {
    char x[HUB_NAME_BYTES], y[HUB_NAME_BYTES];
    return strcmp(hub_name_path(a, x), hub_name_path(b, y));
}

bool hub_store_names(const hub_store *s, hub_area area, hub_name **list, size_t *n, err *e) {
    walk w = {.s = s};
    snprintf(w.folder, sizeof w.folder, "%s", hub_area_folder[area]);
    bool ok = beneath_each(s->root, w.folder, walk_each, &w, e) &&
              (!w.full ||
               err_set(e, ERR_NO_FIT, "%s: more than %d models", s->folder, LIMIT_STORE_MODELS));
    if (ok && !w.list) w.list = calloc(1, sizeof *w.list);
    if (ok && !w.list) ok = err_set(e, ERR_NO_FIT, "out of memory");
    if (!ok) {
        free(w.list);
        return false;
    }
    qsort(w.list, w.n, sizeof *w.list, by_name);
    *list = w.list;
    *n = w.n;
    return true;
}
