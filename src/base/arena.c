#include "base/arena.h"

#include <stdlib.h>

#define ALIGN 16
#define BLOCK_MIN 4096
#define BLOCK_MAX (1u << 20)

typedef struct block {
    struct block *next;
    size_t cap, used; /* bytes of data */
    _Alignas(ALIGN) char data[];
} block;

struct arena {
    block *blocks; /* the newest first; only it has room worth looking at */
    size_t used, max, next_cap;
};

arena *arena_new(size_t max_bytes) {
    arena *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->max = max_bytes;
    a->next_cap = BLOCK_MIN;
    return a;
}

void arena_free(arena *a) {
    if (!a) return;
    while (a->blocks) {
        block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    free(a);
}

/* A new block that holds at least n bytes. One made for a single large allocation goes behind the
 * current one, whose rest stays in use. */
static block *add_block(arena *a, size_t n) {
    size_t cap = n > a->next_cap / 2 ? n : a->next_cap;
    if (cap > SIZE_MAX - sizeof(block)) return NULL;
    block *b = calloc(1, sizeof *b + cap); /* calloc: everything handed out is zero */
    if (!b) return NULL;
    b->cap = cap;
    if (cap == n && a->blocks) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
        if (a->next_cap < BLOCK_MAX) a->next_cap *= 2;
    }
    return b;
}

void *arena_alloc(arena *a, size_t n) {
    if (n == 0) n = 1; /* distinct pointers, as with malloc */
    if (n > a->max - a->used) return NULL;
    size_t whole = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (whole < n || whole > a->max - a->used) return NULL;
    block *b = a->blocks;
    if (!b || whole > b->cap - b->used) b = add_block(a, whole);
    if (!b) return NULL;
    void *p = b->data + b->used;
    b->used += whole;
    a->used += whole;
    return p;
}

void *arena_calloc(arena *a, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return NULL;
    return arena_alloc(a, bytes);
}

char *arena_strdup(arena *a, str s) {
    if (s.n == SIZE_MAX) return NULL;
    char *p = arena_alloc(a, s.n + 1);
    if (p && s.n) memcpy(p, s.p, s.n);
    return p;
}

size_t arena_used(const arena *a) {
    return a->used;
}
