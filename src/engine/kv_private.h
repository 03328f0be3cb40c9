/* What kv.c (memory and sequences) and kv_tree.c (nodes) share. */
#ifndef HEARTH_ENGINE_KV_PRIVATE_H
#define HEARTH_ENGINE_KV_PRIVATE_H

#include "engine/kv.h"

typedef struct kv_node kv_node;

/* One group's pages. Free pages are on one of two lists: warm ones have memory behind them, cold
 * ones gave it back to the system. */
typedef struct kv_pool {
    uint8_t *base;        /* reserved: cap * stride bytes */
    size_t stride;        /* bytes of a page, a multiple of the system's page */
    int32_t cap, n_fresh; /* pages at or past n_fresh were never used */
    int32_t warm, cold;   /* heads of the lists, -1: empty */
    int32_t n_warm, n_used;
    int32_t *next; /* [cap] of a free page: the next one; KV_USED otherwise */
} kv_pool;

#define KV_NONE (-1)
#define KV_USED (-2)

struct kv_node {
    kv_node *parent, *child, *next, *prev; /* next, prev: siblings */
    kv_node *lru_next, *lru_prev;          /* while idle and without children */
    kv_node *hash_next;                    /* full nodes: in the same bucket */
    uint64_t hash;                         /* of its parent and its tokens */
    uint64_t stamp;                        /* when it was last used; a parent's is never older */
    uint64_t keep[MODEL_MAX_KV_GROUPS];    /* pass in which some holder still sees this page */
    int32_t page[MODEL_MAX_KV_GROUPS];     /* KV_NONE: won back, out of every holder's sight */
    int32_t refs;                          /* sequences that hold it */
    int32_t n_tokens;                      /* 64, fewer in a tail, 0 in a root */
    bool in_lru;
    char *owner; /* of a root, else NULL */
    int32_t token[KV_PAGE];
};

struct kv_seq {
    kv_seq *next, *prev;
    kv_node *root;
    kv_node **node;                   /* [cap]: blocks before n_nodes are the tree's */
    void **page[MODEL_MAX_KV_GROUPS]; /* [cap]: NULL where out of sight */
    int32_t
        *own[MODEL_MAX_KV_GROUPS]; /* [cap]: own page of a block at or past n_nodes, or KV_NONE */
    int32_t n_nodes, n_blocks, cap;
    int32_t filled; /* positions */
    bool keep;      /* lent: no page of it may go, in sight or not */
};

struct kv {
    kv_options o;
    kv_pool pool[MODEL_MAX_KV_GROUPS];
    kv_node *roots;               /* by next */
    kv_node *lru_head, *lru_tail; /* oldest first */
    kv_seq *seqs;
    kv_node **bucket; /* [n_buckets] full nodes by parent and tokens */
    size_t n_buckets; /* a power of two, or 0 */
    uint64_t clock, pass;
    uint64_t used_bytes, idle_bytes, resident_bytes, n_pages_idle;
    int32_t n_nodes, n_seqs;
    uint64_t n_evicted, n_stripped;
};

/* kv.c */
static inline void *kv_page_at(const kv *k, int g, int32_t page) {
    return k->pool[g].base + (size_t)page * k->pool[g].stride;
}
void kv_page_give(kv *k, int g, int32_t page);
/* First block that a row at position pos sees in group g. */
int32_t kv_first_block(const kv *k, int g, int32_t pos);

/* kv_tree.c */
kv_node *kv_root_get(kv *k, const char *owner); /* holds it; NULL when memory is short */
void kv_node_hold(kv *k, kv_node *n);
void kv_node_release(kv *k, kv_node *n);
/* A child of `parent` with these pages, held once by the caller. An equal child that is there
 * already is taken instead: it gets the pages it lacks, the others are given back. NULL: memory is
 * short, nothing changed. A tail (n < 64) is not held, and what it makes superfluous goes. */
kv_node *kv_node_put(kv *k, kv_node *parent, const int32_t *tokens, int32_t n,
                     const int32_t *pages);
/* A full child. */
kv_node *kv_node_find(const kv *k, const kv_node *parent, const int32_t *tokens);
/* The child that agrees with most of the n tokens; *n_same says how many. NULL: with none. */
kv_node *kv_node_closest(const kv_node *parent, const int32_t *tokens, int32_t n, int32_t *n_same);
bool kv_evict(kv *k); /* the oldest idle leaf; false: there is none */
void kv_tree_clear(kv *k);
bool kv_tree_check(const kv *k, int32_t *const owners[], err *e);

#endif
