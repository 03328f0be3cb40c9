#include "hub/split.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/beneath.h"
#include "hub/store_private.h"

#define VIEWS "split"
enum { VIEW_BYTES = sizeof VIEWS + 65 };

size_t hub_split_count(const hub_manifest *m) {
    size_t n = 0;
    while (hub_manifest_layer(m, HUB_LAYER_MODEL, n)) n++;
    return n;
}

/* "split/<id>": of the parts' digests in their order, whatever else is in the manifest. */
static bool view_of(const hub_manifest *m, char dst[VIEW_BYTES], err *e) {
    hub_digest id = {0};
    hub_hash *h = hub_hash_new(e);
    if (!h) return false;
    const hub_layer *l;
    for (size_t i = 0; (l = hub_manifest_layer(m, HUB_LAYER_MODEL, i)); i++)
        hub_hash_add(h, l->digest.hex, 64);
    hub_hash_end(h, &id);
    snprintf(dst, VIEW_BYTES, VIEWS "/%s", id.hex);
    return id.hex[0] || err_set(e, ERR_NO_FIT, "out of memory");
}

/* A link that leads there; one that led elsewhere is replaced. */
static bool link_make(int folder, const char *name, const char *to, err *e) {
    char was[PATH_MAX];
    ssize_t n = readlinkat(folder, name, was, sizeof was - 1);
    if (n >= 0) {
        was[n] = 0;
        if (strcmp(was, to) == 0) return true;
        unlinkat(folder, name, 0);
    }
    return symlinkat(to, folder, name) == 0 || errno == EEXIST ||
           beneath_fail(e, name, "cannot link a part", errno);
}

static bool links_make(const hub_store *s, const hub_store *own, const hub_manifest *m, size_t n,
                       int folder, err *e) {
    char name[64], blob[HUB_BLOB_PATH_BYTES], to[PATH_MAX];
    bool same = strcmp(hub_store_folder(s), hub_store_folder(own)) == 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const hub_layer *l = hub_manifest_layer(m, HUB_LAYER_MODEL, i);
        snprintf(name, sizeof name, "model-%05zu-of-%05zu.gguf", i + 1, n);
        hub_digest_path(&l->digest, blob);
        int k = snprintf(to, sizeof to, "%s/%s", same ? "../.." : hub_store_folder(s), blob);
        ok = k > 0 && k < PATH_MAX ? link_make(folder, name, to, e)
                                   : err_set(e, ERR_FAILED, "the path of the store is too long");
    }
    return ok;
}

static char *view_make(const hub_store *s, const hub_manifest *m, size_t n, err *e) {
    char view[VIEW_BYTES], *path = NULL;
    hub_store *own = hub_store_open(NULL, HUB_STORE_EDIT, e);
    int folder = -1;
    bool ok = own && view_of(m, view, e) && beneath_make_dirs(own->root, view, e);
    if (ok) {
        folder = beneath_open(own->root, view, O_RDONLY | O_DIRECTORY, 0);
        ok = folder >= 0 || beneath_fail(e, view, "cannot open", errno);
    }
    ok = ok && links_make(s, own, m, n, folder, e);
    if (ok) futimens(folder, NULL); /* it is young again: see hub_split_sweep */
    if (ok &&
        asprintf(&path, "%s/%s/model-00001-of-%05zu.gguf", hub_store_folder(own), view, n) < 0)
        path = NULL, err_set(e, ERR_NO_FIT, "out of memory");
    if (folder >= 0) close(folder);
    hub_store_close(own);
    return path;
}

char *hub_split_path(const hub_store *s, const hub_manifest *m, err *e) {
    size_t n = hub_split_count(m);
    if (n == 1)
        return hub_store_blob_file(s, &hub_manifest_layer(m, HUB_LAYER_MODEL, 0)->digest, e);
    if (n > 1) return view_make(s, m, n, e);
    err_set(e, ERR_NOT_FOUND, "it has no weights");
    return NULL;
}

/* ---- going ---- */

typedef struct removing {
    int root;
    const char *view;
} removing;

static bool link_remove(void *ud, const char *name) {
    removing *r = ud;
    int folder = beneath_open(r->root, r->view, O_RDONLY | O_DIRECTORY, 0);
    if (folder < 0) return false;
    unlinkat(folder, name, 0);
    close(folder);
    return true;
}

static void view_remove(const hub_store *s, const char *view) {
    removing r = {s->root, view};
    beneath_each(s->root, view, link_remove, &r, NULL);
    beneath_remove_dir(s->root, view);
}

void hub_split_drop(const hub_store *s, const hub_manifest *m) {
    char view[VIEW_BYTES];
    if (hub_split_count(m) > 1 && view_of(m, view, NULL)) view_remove(s, view);
}

typedef struct sweeping {
    const hub_store *s;
    int64_t before;
} sweeping;

static bool view_look(void *ud, const char *name) {
    sweeping *w = ud;
    struct stat st;
    char view[VIEW_BYTES];
    if (strlen(name) != 64) return true;
    snprintf(view, sizeof view, VIEWS "/%s", name);
    int fd = beneath_open(w->s->root, view, O_RDONLY | O_DIRECTORY, 0);
    bool old = fd >= 0 && fstat(fd, &st) == 0 && (int64_t)st.st_mtime < w->before;
    if (fd >= 0) close(fd);
    if (old) view_remove(w->s, view);
    return true;
}

void hub_split_sweep(const hub_store *s, int64_t before) {
    sweeping w = {s, before};
    beneath_each(s->root, VIEWS, view_look, &w, NULL);
    beneath_remove_dir(s->root, VIEWS);
}
