#include "tok/trie.h"

#include <stdlib.h>

static bool table_new(trie *t, uint32_t slots) {
    trie_slot *fresh = malloc(slots * sizeof *fresh);
    if (!fresh) return false;
    memset(fresh, 0xff, slots * sizeof *fresh);
    uint32_t mask = slots - 1;
    for (uint32_t i = 0; t->slot && i <= t->mask; i++) {
        if (t->slot[i].parent == TRIE_NONE) continue;
        uint32_t at = trie_hash(t->slot[i].parent, t->byte[t->slot[i].child]) & mask;
        while (fresh[at].parent != TRIE_NONE) at = (at + 1) & mask;
        fresh[at] = t->slot[i];
    }
    free(t->slot);
    t->slot = fresh;
    t->mask = mask;
    return true;
}

static bool nodes_grow(trie *t) {
    if (t->cap > UINT32_MAX / 4) return false;
    uint32_t cap = t->cap ? t->cap * 2 : 64;
    unsigned char *byte = realloc(t->byte, cap);
    if (!byte) return false;
    t->byte = byte;
    int32_t *value = realloc(t->value, cap * sizeof *value);
    if (!value) return false;
    t->value = value;
    if (!table_new(t, cap * 2)) return false;
    t->cap = cap;
    return true;
}

static uint32_t node_new(trie *t, unsigned char c) {
    if (t->n == t->cap && !nodes_grow(t)) return TRIE_NONE;
    t->byte[t->n] = c;
    t->value[t->n] = -1;
    return t->n++;
}

bool trie_init(trie *t) {
    *t = (trie){0};
    return node_new(t, 0) == TRIE_ROOT;
}

void trie_deinit(trie *t) {
    free(t->slot);
    free(t->byte);
    free(t->value);
    *t = (trie){0};
}

bool trie_put(trie *t, str key, int32_t value) {
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < key.n; i++) {
        unsigned char c = (unsigned char)key.p[i];
        uint32_t next = trie_step(t, node, c);
        if (next == TRIE_NONE) {
            next = node_new(t, c);
            if (next == TRIE_NONE) return false;
            uint32_t at = trie_hash(node, c) & t->mask;
            while (t->slot[at].parent != TRIE_NONE) at = (at + 1) & t->mask;
            t->slot[at] = (trie_slot){node, next};
        }
        node = next;
    }
    if (t->value[node] < 0) t->value[node] = value;
    return true;
}
