/* Facts about model files, and a small table of those that were read. */
#include "api/facts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hub/find.h"

enum { KEPT = 1024 }; /* as many as a folder may have */

typedef struct kept_facts {
    char *path;
    int64_t changed_ns; /* of the file */
    uint64_t bytes;
    facts f;
} kept_facts;

struct facts_cache {
    pthread_mutex_t lock; /* guards all below */
    kept_facts *kept;     /* [n] */
    size_t n;
};

facts_cache *facts_cache_new(void) {
    facts_cache *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->kept = calloc(KEPT, sizeof *c->kept);
    if (!c->kept) {
        free(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void facts_cache_free(facts_cache *c) {
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) free(c->kept[i].path);
    pthread_mutex_destroy(&c->lock);
    free(c->kept);
    free(c);
}

/* ---- reading ---- */

gguf *facts_open(const char *path, err *e) {
    hub_model m;
    if (!hub_find(&m, path, e)) return NULL;
    return m.data ? gguf_open_memory(m.data, m.n, path, e) : gguf_open(m.path, e);
}

static bool file_read_facts(const char *path, facts *f, err *e) {
    gguf *g = facts_open(path, e);
    if (!g) return false;
    facts_read(g, f);
    gguf_close(g);
    return true;
}

/* ---- the table ---- */

static kept_facts *kept_find(facts_cache *c, const char *path) {
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->kept[i].path, path) == 0) return &c->kept[i];
    return NULL;
}

static void kept_add(facts_cache *c, const char *path, const kept_facts *k) {
    kept_facts *old = kept_find(c, path);
    char *copy = old ? old->path : c->n < KEPT ? strdup(path) : NULL;
    if (!copy) return;
    if (!old) old = &c->kept[c->n++];
    *old = *k;
    old->path = copy;
}

bool facts_get(facts_cache *c, const char *path, facts *out, err *e) {
    struct stat st = {0};
    hub_model m;
    if (!hub_find(&m, path, e)) return false;
    if (!m.data && stat(m.path, &st) != 0)
        return err_set(e, ERR_NOT_FOUND, "%s is not there any more", path);
    kept_facts k = {.bytes = (uint64_t)st.st_size,
                    .changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    pthread_mutex_lock(&c->lock);
    const kept_facts *old = kept_find(c, path);
    bool known = old && old->bytes == k.bytes && old->changed_ns == k.changed_ns;
    if (known) *out = old->f;
    pthread_mutex_unlock(&c->lock);
    if (known) return true;
    if (!file_read_facts(path, &k.f, e)) return false;
    pthread_mutex_lock(&c->lock);
    kept_add(c, path, &k);
    pthread_mutex_unlock(&c->lock);
    *out = k.f;
    return true;
}
