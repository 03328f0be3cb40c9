#include "hub/places.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/limits.h"
#include "hub/split.h"

enum { MOST_STORES = 4 };

struct hub_places {
    hub_store *own;
    hub_store *ollama[MOST_STORES];
    int n_ollama;
    int cache;    /* folder of Hugging Face's cache; -1: none */
    char *folder; /* its path */
};

const char *hub_place_name(hub_place p) {
    return p == HUB_OWN ? "hearth" : p == HUB_OLLAMA ? "ollama" : "huggingface";
}

void hub_entry_deinit(hub_entry *x) {
    free(x->file);
    *x = (hub_entry){0};
}

void hub_entries_free(hub_entry *list, size_t n) {
    for (size_t i = 0; i < n; i++) hub_entry_deinit(&list[i]);
    free(list);
}

/* ---- opening ---- */

static void ollama_add(hub_places *p, const char *folder) {
    if (p->n_ollama == MOST_STORES || !folder || !*folder) return;
    hub_store *s = hub_store_open(folder, HUB_STORE_READ, NULL);
    if (!s) return;
    bool known = p->own && strcmp(hub_store_folder(p->own), hub_store_folder(s)) == 0;
    for (int i = 0; i < p->n_ollama; i++)
        known = known || strcmp(hub_store_folder(p->ollama[i]), hub_store_folder(s)) == 0;
    if (known) hub_store_close(s);
    else p->ollama[p->n_ollama++] = s;
}

static const char *beside_home(const char *tail, char dst[PATH_MAX]) {
    const char *home = getenv("HOME");
    if (!home || !*home || snprintf(dst, PATH_MAX, "%s/%s", home, tail) >= PATH_MAX) return NULL;
    return dst;
}

static const char *cache_folder(char dst[PATH_MAX]) {
    static const char *const whole[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"};
    for (size_t i = 0; i < 2; i++) {
        const char *v = getenv(whole[i]);
        if (v && *v) return v;
    }
    const char *home = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME");
    int n = PATH_MAX;
    if (home && *home) n = snprintf(dst, PATH_MAX, "%s/hub", home);
    else if (cache && *cache == '/') n = snprintf(dst, PATH_MAX, "%s/huggingface/hub", cache);
    else return beside_home(".cache/huggingface/hub", dst);
    return n < PATH_MAX ? dst : NULL;
}

hub_places *hub_places_open(err *e) {
    char path[PATH_MAX], real[PATH_MAX];
    hub_places *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    err why = {0};
    p->cache = -1;
    p->own = hub_store_open(NULL, HUB_STORE_READ, &why);
    if (!p->own && why.code != ERR_NOT_FOUND && why.code != ERR_FAILED) {
        if (e) *e = why;
        hub_places_close(p);
        return NULL;
    }
    const char *named = getenv("OLLAMA_MODELS");
    if (named && *named) {
        ollama_add(p, named);
    } else {
        ollama_add(p, beside_home(".ollama/models", path));
        ollama_add(p, "/usr/share/ollama/.ollama/models");
    }
    const char *cache = cache_folder(path);
    if (cache && (p->cache = beneath_root(cache, false, NULL)) >= 0)
        p->folder = strdup(realpath(cache, real) ? real : cache);
    return p;
}

void hub_places_close(hub_places *p) {
    if (!p) return;
    hub_store_close(p->own);
    for (int i = 0; i < p->n_ollama; i++) hub_store_close(p->ollama[i]);
    if (p->cache >= 0) close(p->cache);
    free(p->folder);
    free(p);
}

hub_store *hub_places_own(hub_places *p) {
    return p->own;
}

/* ---- stores ---- */

static bool entry_read(const hub_store *s, hub_place place, const hub_name *n, hub_entry *x,
                       err *e) {
    hub_manifest m;
    *x = (hub_entry){.name = *n, .place = place, .store = s};
    if (!hub_store_manifest(s, HUB_READY, n, &m, e)) return false;
    x->bytes = m.bytes;
    x->id = m.id;
    x->modified_s = hub_store_when(s, HUB_READY, n);
    while (hub_manifest_layer(&m, HUB_LAYER_ADAPTER, x->n_adapters)) x->n_adapters++;
    bool ok = hub_split_count(&m) == 0 || (x->file = hub_split_path(s, &m, e)) != NULL;
    hub_manifest_deinit(&m);
    return ok;
}

/* ---- Hugging Face's cache ----
 *
 *     models--user--repo/refs/main                 a revision's name
 *     models--user--repo/snapshots/<rev>/x.gguf    a link to ../../blobs/<sha256>
 */

typedef struct cache_walk {
    hub_places *p;
    hub_entry *list;
    size_t n, cap;
    const hub_name *one; /* only what may be this; NULL: all */
    char user[HUB_PART_MAX + 1], repo[HUB_PART_MAX + 1];
    char folder[1024];
    int depth;
    bool failed;
} cache_walk;

static bool cache_add(cache_walk *w, const hub_entry *x) {
    for (size_t i = 0; i < w->n; i++) /* of several revisions the newest file */
        if (hub_name_eq(&w->list[i].name, &x->name)) {
            if (w->list[i].modified_s >= x->modified_s) return false;
            hub_entry_deinit(&w->list[i]);
            w->list[i] = *x;
            return true;
        }
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        hub_entry *more = cap <= LIMIT_STORE_MODELS ? realloc(w->list, cap * sizeof *more) : NULL;
        w->failed = !more;
        if (!more) return false;
        w->list = more;
        w->cap = cap;
    }
    w->list[w->n++] = *x;
    return true;
}

/* Bytes of all parts; 0: one is not there. */
static uint64_t parts_bytes(const hub_places *p, const char *path, hub_entry *x) {
    uint64_t sum = 0;
    unsigned parts = 1;
    char one[1400];
    const char *first = strstr(path, "-00001-of-");
    if (first && sscanf(first, "-00001-of-%5u", &parts) != 1) parts = 1;
    for (unsigned i = 1; i <= parts && i <= LIMIT_GGUF_PARTS; i++) {
        struct stat st;
        snprintf(one, sizeof one, "%s", path);
        if (first) {
            size_t at = (size_t)(first - path) + 1;
            char number[8];
            snprintf(number, sizeof number, "%05u", i % 100000);
            memcpy(one + at, number, 5);
        }
        int fd = beneath_open_links(p->cache, one);
        bool ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        if (fd >= 0) close(fd);
        if (!ok) return 0;
        sum += (uint64_t)st.st_size;
        if (i == 1) x->modified_s = (int64_t)st.st_mtime;
    }
    return sum;
}

static void cache_file(cache_walk *w, const char *path, const char *name) {
    hub_entry x = {.place = HUB_HUGGING_FACE_CACHE};
    char tag[HUB_PART_MAX + 1], to[300];
    str quant = hub_quant_of(str_of(name)), stem = str_of(name);
    stem.n -= 5;
    if (!quant.n) quant = stem;
    if (quant.n > HUB_PART_MAX) return;
    snprintf(tag, sizeof tag, "%.*s", STR_ARG(quant));
    if (!hub_name_of_path(&x.name, HUB_HUGGING_FACE, w->user, w->repo, tag)) return;
    if (!(x.bytes = parts_bytes(w->p, path, &x))) return;
    ssize_t n = readlinkat(w->p->cache, path, to, sizeof to - 1);
    if (n > 64) { /* the blob's name is its SHA-256 */
        char text[80];
        to[n] = 0;
        snprintf(text, sizeof text, "sha256:%s", to + n - 64);
        hub_digest_parse(&x.id, str_of(text), NULL);
    }
    if (asprintf(&x.file, "%s/%s", w->p->folder, path) < 0) x.file = NULL;
    if (!x.file || !cache_add(w, &x)) hub_entry_deinit(&x);
}

/* Files of a revision, and of folders in it. */
static bool snapshot_each(void *ud, const char *name) {
    cache_walk *w = ud;
    char path[1300];
    struct stat st;
    str s = str_of(name);
    if (name[0] == '.' || strlen(name) > 255) return true;
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    if (str_ends(s, STR(".gguf"))) {
        bool later = strstr(name, "-of-") && !strstr(name, "-00001-of-");
        bool side = strncasecmp(name, "mmproj", 6) == 0 || strstr(name, ".imatrix");
        if (!later && !side) cache_file(w, path, name);
        return !w->failed;
    }
    if (w->depth >= 2) return true;
    int fd = beneath_open(w->p->cache, path, O_RDONLY | O_DIRECTORY, 0);
    bool folder = fd >= 0 && fstat(fd, &st) == 0;
    if (fd >= 0) close(fd);
    size_t k = strlen(w->folder);
    if (!folder || strlen(path) >= sizeof w->folder) return true;
    snprintf(w->folder, sizeof w->folder, "%s", path);
    w->depth++;
    beneath_each(w->p->cache, path, snapshot_each, w, NULL);
    w->depth--;
    w->folder[k] = 0;
    return !w->failed;
}

/* "models--user--repo" */
static bool repo_each(void *ud, const char *name) {
    cache_walk *w = ud;
    str s = str_of(name);
    if (!str_starts(s, STR("models--"))) return true;
    s = (str){s.p + 8, s.n - 8};
    size_t at = str_find(s, STR("--"), 0);
    if (at == (size_t)-1 || at > HUB_PART_MAX || s.n - at - 2 > HUB_PART_MAX) return true;
    snprintf(w->user, sizeof w->user, "%.*s", (int)at, s.p);
    snprintf(w->repo, sizeof w->repo, "%.*s", (int)(s.n - at - 2), s.p + at + 2);
    if (w->one && (strcasecmp(w->one->ns, w->user) != 0 || strcasecmp(w->one->model, w->repo) != 0))
        return true;
    snprintf(w->folder, sizeof w->folder, "%s/snapshots", name);
    w->depth = 0;
    beneath_each(w->p->cache, w->folder, snapshot_each, w, NULL);
    return !w->failed;
}

static bool cache_list(hub_places *p, const hub_name *one, hub_entry **list, size_t *n, err *e) {
    cache_walk w = {.p = p, .one = one};
    *list = NULL;
    *n = 0;
    if (p->cache < 0 || !p->folder) return true;
    if (!beneath_each(p->cache, ".", repo_each, &w, e) || w.failed) {
        hub_entries_free(w.list, w.n);
        return w.failed ? err_set(e, ERR_NO_FIT, "out of memory") : false;
    }
    *list = w.list;
    *n = w.n;
    return true;
}

/* hf.co/user/repo without a tag is the only file there is, or Q4_K_M among several. */
static bool cache_find(hub_places *p, const hub_name *n, hub_entry *out) {
    hub_entry *list;
    size_t count, best = SIZE_MAX;
    if (!hub_name_is_hugging_face(n) || !cache_list(p, n, &list, &count, NULL)) return false;
    for (size_t i = 0; i < count; i++) {
        bool same = n->tag_given ? strcasecmp(list[i].name.tag, n->tag) == 0
                                 : count == 1 || strcasecmp(list[i].name.tag, "Q4_K_M") == 0;
        if (same && best == SIZE_MAX) best = i;
    }
    if (best != SIZE_MAX) {
        *out = list[best];
        list[best] = (hub_entry){0};
    }
    hub_entries_free(list, count);
    return best != SIZE_MAX;
}

/* ---- all of them ---- */

bool hub_places_find(hub_places *p, const hub_name *n, hub_entry *out, err *e) {
    char shown[HUB_NAME_BYTES];
    *out = (hub_entry){0};
    for (int i = -1; i < p->n_ollama; i++) {
        hub_name found = *n;
        hub_store *s = i < 0 ? p->own : p->ollama[i];
        if (!s || !hub_store_existing(s, HUB_READY, &found)) continue;
        if (entry_read(s, i < 0 ? HUB_OWN : HUB_OLLAMA, &found, out, e)) return true;
        hub_entry_deinit(out);
        return false;
    }
    if (cache_find(p, n, out)) return true;
    return err_set(e, ERR_NOT_FOUND, "there is no model \"%s\"", hub_name_show(n, shown));
}

typedef struct all {
    hub_entry *list;
    size_t n, cap;
} all;

/* Takes *x over. */
static bool all_add(all *a, hub_entry *x) {
    for (size_t i = 0; i < a->n; i++)
        if (hub_name_eq(&a->list[i].name, &x->name)) {
            hub_entry_deinit(x);
            return true;
        }
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 32;
        hub_entry *more = realloc(a->list, cap * sizeof *more);
        if (!more) {
            hub_entry_deinit(x);
            return false;
        }
        a->list = more;
        a->cap = cap;
    }
    a->list[a->n++] = *x;
    return true;
}

static bool store_list(all *a, const hub_store *s, hub_place place, err *e) {
    hub_name *names;
    size_t n;
    bool ok = hub_store_names(s, HUB_READY, &names, &n, e);
    if (!ok) return false;
    for (size_t i = 0; ok && i < n; i++) {
        hub_entry x;
        if (entry_read(s, place, &names[i], &x, NULL)) ok = all_add(a, &x);
        else hub_entry_deinit(&x);
    }
    free(names);
    return ok || err_set(e, ERR_NO_FIT, "out of memory");
}

bool hub_places_list(hub_places *p, hub_entry **list, size_t *n, err *e) {
    all a = {0};
    hub_entry *cached;
    size_t n_cached;
    bool ok = !p->own || store_list(&a, p->own, HUB_OWN, e);
    for (int i = 0; ok && i < p->n_ollama; i++) {
        /* somebody else's folder that cannot be read is no fault of ours */
        if (!store_list(&a, p->ollama[i], HUB_OLLAMA, NULL)) continue;
    }
    if (ok && cache_list(p, NULL, &cached, &n_cached, NULL)) {
        for (size_t i = 0; i < n_cached; i++) ok = all_add(&a, &cached[i]) && ok;
        free(cached);
        if (!ok) err_set(e, ERR_NO_FIT, "out of memory");
    }
    if (!ok) {
        hub_entries_free(a.list, a.n);
        return false;
    }
    *list = a.list ? a.list : calloc(1, sizeof **list);
    *n = a.n;
    return *list || err_set(e, ERR_NO_FIT, "out of memory");
}
