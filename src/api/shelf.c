/* A list in order of use, under one lock. */
#include "api/shelf.h"

#include <pthread.h>
#include <stdlib.h>

struct shelf_item {
    shelf_item *newer, *older;
    char *owner, *key; /* owned */
    void *value;       /* constant */
    size_t bytes;
    int n_users;
    bool kept; /* in the list; else it goes with its last user */
};

struct shelf {
    pthread_mutex_t lock; /* guards all below, and the items */
    shelf_item *newest, *oldest;
    size_t bytes, max_bytes;
    void (*free_value)(void *value);
};

static void item_free(const shelf *s, shelf_item *i) {
    s->free_value(i->value);
    free(i->owner);
    free(i->key);
    free(i);
}

static void item_unlink(shelf *s, shelf_item *i) {
    if (i->newer) i->newer->older = i->older;
    else s->newest = i->older;
    if (i->older) i->older->newer = i->newer;
    else s->oldest = i->newer;
    s->bytes -= i->bytes;
    i->kept = false;
}

static void item_link(shelf *s, shelf_item *i) {
    i->newer = NULL;
    i->older = s->newest;
    if (s->newest) s->newest->newer = i;
    else s->oldest = i;
    s->newest = i;
    s->bytes += i->bytes;
    i->kept = true;
}

static shelf_item *item_find(const shelf *s, const char *owner, const char *key) {
    for (shelf_item *i = s->newest; i; i = i->older)
        if (strcmp(i->key, key) == 0 && strcmp(i->owner, owner) == 0) return i;
    return NULL;
}

/* ---- giving up ---- */

/* The only owner that can have more than half: who is left when bytes of different owners cancel
 * each other out. */
static const char *owner_of_most(const shelf *s) {
    const char *most = NULL;
    size_t lead = 0, sum = 0;
    for (const shelf_item *i = s->newest; i; i = i->older) {
        if (lead == 0) most = i->owner;
        if (strcmp(i->owner, most) == 0) lead += i->bytes;
        else if (i->bytes > lead) lead = i->bytes - lead, most = i->owner;
        else lead -= i->bytes;
    }
    for (const shelf_item *i = s->newest; i; i = i->older)
        if (strcmp(i->owner, most) == 0) sum += i->bytes;
    return sum > s->max_bytes / 2 ? most : NULL;
}

static void item_give_up(shelf *s, shelf_item *i) {
    item_unlink(s, i);
    if (i->n_users == 0) item_free(s, i);
}

static void room_make(shelf *s, size_t n) {
    while (s->oldest && s->bytes + n > s->max_bytes) {
        const char *most = owner_of_most(s);
        shelf_item *i = s->oldest;
        while (most && strcmp(i->owner, most) != 0) i = i->newer;
        item_give_up(s, i);
    }
}

/* ---- in and out ---- */

shelf *shelf_new(size_t max_bytes, void (*free_value)(void *value)) {
    shelf *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->max_bytes = max_bytes;
    s->free_value = free_value;
    return s;
}

void shelf_free(shelf *s) {
    if (!s) return;
    for (shelf_item *i = s->newest, *older; i; i = older) {
        older = i->older;
        item_free(s, i);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

shelf_item *shelf_put(shelf *s, const char *owner, const char *key, void *value, size_t n_bytes) {
    shelf_item *i = calloc(1, sizeof *i);
    if (i) {
        *i = (shelf_item){.owner = strdup(owner), .key = strdup(key), .value = value, .n_users = 1};
        i->bytes = sizeof *i + n_bytes + strlen(owner) + strlen(key) + 64;
    }
    if (!i || !i->owner || !i->key) {
        if (i) item_free(s, i);
        else s->free_value(value);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    shelf_item *old = item_find(s, owner, key);
    if (old) item_give_up(s, old);
    if (i->bytes <= s->max_bytes) {
        room_make(s, i->bytes);
        item_link(s, i);
    }
    pthread_mutex_unlock(&s->lock);
    return i;
}

shelf_item *shelf_take(shelf *s, const char *owner, const char *key) {
    pthread_mutex_lock(&s->lock);
    shelf_item *i = item_find(s, owner, key);
    if (i) {
        item_unlink(s, i);
        item_link(s, i);
        i->n_users++;
    }
    pthread_mutex_unlock(&s->lock);
    return i;
}

void *shelf_value(const shelf_item *i) {
    return i->value;
}

void shelf_back(shelf *s, shelf_item *i, size_t n_bytes) {
    if (!i) return;
    pthread_mutex_lock(&s->lock);
    i->n_users--;
    if (i->kept && n_bytes > 0) {
        s->bytes -= i->bytes;
        i->bytes = sizeof *i + n_bytes + strlen(i->owner) + strlen(i->key) + 64;
        s->bytes += i->bytes;
        room_make(s, 0);
    } else if (!i->kept && i->n_users == 0) {
        item_free(s, i);
    }
    pthread_mutex_unlock(&s->lock);
}

bool shelf_drop(shelf *s, const char *owner, const char *key) {
    pthread_mutex_lock(&s->lock);
    shelf_item *i = item_find(s, owner, key);
    if (i) item_give_up(s, i);
    pthread_mutex_unlock(&s->lock);
    return i != NULL;
}
