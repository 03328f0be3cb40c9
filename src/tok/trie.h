/* A byte trie: longest match of stored strings at a position. Children hang in one hash table, so a
 * node costs some 20 bytes whatever its fan-out. Filled once, then read by any thread.
 */
#ifndef HEARTH_TOK_TRIE_H
#define HEARTH_TOK_TRIE_H

#include "base/str.h"

typedef struct trie_slot {
    uint32_t parent; /* UINT32_MAX: free */
    uint32_t child;
} trie_slot;

typedef struct trie {
    trie_slot *slot;
    uint32_t mask;
    unsigned char *byte; /* [n] the byte that leads to this node */
    int32_t *value;      /* [n] -1: no string ends here */
    uint32_t n, cap;
} trie;

bool trie_init(trie *t);
void trie_deinit(trie *t);
bool trie_put(trie *t, str key,
              int32_t value); /* false: out of memory. The first value of a key stays */
#define TRIE_ROOT 0u
#define TRIE_NONE UINT32_MAX

static inline uint32_t trie_hash(uint32_t parent, unsigned char c) {
    uint64_t h = ((uint64_t)parent << 8 | c) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(h >> 32);
}
static inline uint32_t trie_step(const trie *t, uint32_t node, unsigned char c) {
    for (uint32_t i = trie_hash(node, c) & t->mask;; i = (i + 1) & t->mask) {
        const trie_slot *s = &t->slot[i];
        if (s->parent == TRIE_NONE) return TRIE_NONE;
        if (s->parent == node && t->byte[s->child] == c) return s->child;
    }
}

#endif
