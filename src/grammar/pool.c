#include "grammar/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

struct pool_block {
    pool_block *next;
    size_t size;
    char data[] __attribute__((aligned(16)));
};

void *pool_alloc(pool *p, size_t n) {
    n = (n + 15) & ~(size_t)15;
    if (!p->now || p->used + n > p->now->size) {
        pool_block *next = p->now ? p->now->next : p->first;
        if (!next || next->size < n) {
            size_t size = n > 60000 ? n : p->total < (1 << 20) ? 65536 - sizeof *next : 1 << 20;
            if (size < n) size = n;
            pool_block *fresh = p->total + size > LIMIT_MATCH_BYTES ? NULL
                                                                    : malloc(sizeof *fresh + size);
            if (!fresh) {
                p->failed = true;
                return NULL;
            }
            fresh->size = size;
            fresh->next = next;
            p->total += size;
            if (p->now) p->now->next = fresh;
            else p->first = fresh;
            next = fresh;
        }
        p->now = next;
        p->used = 0;
    }
    void *out = p->now->data + p->used;
    p->used += n;
    memset(out, 0, n);
    return out;
}

pool_mark pool_now(const pool *p) {
    return (pool_mark){p->now, p->used};
}

void pool_back(pool *p, pool_mark m) {
    p->now = m.now;
    p->used = m.used;
}

void pool_deinit(pool *p) {
    for (pool_block *b = p->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    memset(p, 0, sizeof *p);
}
