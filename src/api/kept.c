/* Kept answers: a list in order of use, under one lock. */
#include "api/kept.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct item item;
struct item {
    item *newer, *older;
    char *owner, *id, *body, *talk; /* owned */
    size_t n_body, n_talk, bytes;
};

struct kept {
    pthread_mutex_t lock; /* guards all below */
    item *newest, *oldest;
    size_t bytes, max_bytes;
};

static void item_free(item *i) {
    if (!i) return;
    free(i->owner);
    free(i->id);
    free(i->body);
    free(i->talk);
    free(i);
}

static void unlink_item(kept *k, item *i) {
    if (i->newer) i->newer->older = i->older;
    else k->newest = i->older;
    if (i->older) i->older->newer = i->newer;
    else k->oldest = i->newer;
    k->bytes -= i->bytes;
}

static void link_newest(kept *k, item *i) {
    i->newer = NULL;
    i->older = k->newest;
    if (k->newest) k->newest->newer = i;
    else k->oldest = i;
    k->newest = i;
    k->bytes += i->bytes;
}

static item *find(const kept *k, const char *owner, const char *id) {
    for (item *i = k->newest; i; i = i->older)
        if (strcmp(i->id, id) == 0 && strcmp(i->owner, owner) == 0) return i;
    return NULL;
}

static size_t bytes_of(const kept *k, const char *owner) {
    size_t n = 0;
    for (const item *i = k->newest; i; i = i->older)
        if (strcmp(i->owner, owner) == 0) n += i->bytes;
    return n;
}

/* The oldest of an owner that has more than half of all, else the oldest. */
static item *victim(const kept *k) {
    if (bytes_of(k, k->oldest->owner) > k->max_bytes / 2) return k->oldest;
    for (item *i = k->oldest; i; i = i->newer)
        if (bytes_of(k, i->owner) > k->max_bytes / 2) return i;
    return k->oldest;
}

kept *kept_new(size_t max_bytes) {
    kept *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    pthread_mutex_init(&k->lock, NULL);
    k->max_bytes = max_bytes;
    return k;
}

void kept_free(kept *k) {
    if (!k) return;
    for (item *i = k->newest, *older; i; i = older) {
        older = i->older;
        item_free(i);
    }
    pthread_mutex_destroy(&k->lock);
    free(k);
}

bool kept_put(kept *k, const char *owner, const char *id, str body, str talk) {
    item *i = calloc(1, sizeof *i);
    if (!i) return false;
    i->owner = strdup(owner);
    i->id = strdup(id);
    i->body = strndup(body.p, body.n);
    i->talk = strndup(talk.p, talk.n);
    i->n_body = body.n;
    i->n_talk = talk.n;
    i->bytes = sizeof *i + body.n + talk.n + 128;
    if (!i->owner || !i->id || !i->body || !i->talk || i->bytes > k->max_bytes) {
        item_free(i);
        return false;
    }
    pthread_mutex_lock(&k->lock);
    while (k->oldest && k->bytes + i->bytes > k->max_bytes) {
        item *v = victim(k);
        unlink_item(k, v);
        item_free(v);
    }
    link_newest(k, i);
    pthread_mutex_unlock(&k->lock);
    return true;
}

bool kept_get(kept *k, const char *owner, const char *id, kept_copy *out) {
    *out = (kept_copy){0};
    pthread_mutex_lock(&k->lock);
    item *i = find(k, owner, id);
    if (i) {
        unlink_item(k, i);
        link_newest(k, i);
        *out = (kept_copy){strndup(i->body, i->n_body), strndup(i->talk, i->n_talk), i->n_body,
                           i->n_talk};
    }
    pthread_mutex_unlock(&k->lock);
    if (out->body && out->talk) return true;
    kept_copy_deinit(out);
    return false;
}

bool kept_drop(kept *k, const char *owner, const char *id) {
    pthread_mutex_lock(&k->lock);
    item *i = find(k, owner, id);
    if (i) unlink_item(k, i);
    pthread_mutex_unlock(&k->lock);
    item_free(i);
    return i != NULL;
}

void kept_copy_deinit(kept_copy *c) {
    free(c->body);
    free(c->talk);
    *c = (kept_copy){0};
}
