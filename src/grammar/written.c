#include "grammar/written.h"

#include <stdlib.h>

const written written_unknown = {0};
static const written_set every = {.total = UINT32_MAX};

const written *written_add(pool *p, const written *before, uint32_t cp) {
    written *t = pool_alloc(p, sizeof *t);
    if (!t) return NULL;
    uint64_t h = ((before ? before->hash : 0) ^ (cp + 1)) * 0x9E3779B97F4A7C15u;
    *t = (written){
        .before = before, .hash = h ^ h >> 29, .cp = cp, .n = written_length(before) + 1};
    return t;
}

bool written_equal(const written *a, const written *b) {
    if (written_length(a) != written_length(b)) return false;
    for (; a != b; a = a->before, b = b->before)
        if (a->hash != b->hash || a->cp != b->cp) return false;
    return true;
}

/* Its first n code points; all of it when it is shorter. */
static const written *first_of(const written *t, uint32_t n) {
    while (written_length(t) > n) t = t->before;
    return t;
}

bool written_starts(const written *t, const written *prefix) {
    return written_length(t) >= written_length(prefix) &&
           written_equal(first_of(t, written_length(prefix)), prefix);
}

void written_copy(const written *t, uint32_t *cp) {
    for (; t; t = t->before) cp[t->n - 1] = t->cp;
}

static uint64_t hash_of(const written *t) {
    return t ? t->hash : 0;
}

static int hash_order(const void *pa, const void *pb) {
    uint64_t a = hash_of(*(const written *const *)pa), b = hash_of(*(const written *const *)pb);
    return (a > b) - (a < b);
}

const written_set *written_set_add(pool *p, const written_set *s, const written *t) {
    if (t == &written_unknown || s == &every) return &every;
    uint32_t n = 1;
    const written_set *rest = s;
    while (rest && rest->n <= n) n += rest->n, rest = rest->older;
    written_set *out = pool_alloc(p, sizeof *out + n * sizeof *out->v);
    if (!out) return NULL;
    out->older = rest;
    out->n = n;
    out->total = n + written_set_count(rest);
    uint32_t k = 0;
    out->v[k++] = t;
    for (; s != rest; s = s->older)
        for (uint32_t i = 0; i < s->n; i++) out->v[k++] = s->v[i];
    qsort(out->v, n, sizeof *out->v, hash_order);
    return out;
}

bool written_set_has(const written_set *s, const written *t) {
    if (s == &every || t == &written_unknown) return s == &every;
    uint64_t h = hash_of(t);
    for (; s; s = s->older) {
        uint32_t lo = 0, hi = s->n;
        while (lo < hi) {
            uint32_t mid = (lo + hi) / 2;
            if (hash_of(s->v[mid]) < h) lo = mid + 1;
            else hi = mid;
        }
        for (; lo < s->n && hash_of(s->v[lo]) == h; lo++)
            if (written_equal(s->v[lo], t)) return true;
    }
    return false;
}

uint32_t written_set_below(const written_set *s, const written *prefix) {
    uint32_t n = 0;
    for (; s; s = s->older)
        for (uint32_t i = 0; i < s->n; i++) n += written_starts(s->v[i], prefix);
    return n;
}

uint32_t written_set_between(const written_set *s, const written *prefix, uint32_t lo,
                             uint32_t hi) {
    uint32_t n = 0, at = written_length(prefix);
    for (; s; s = s->older)
        for (uint32_t i = 0; i < s->n; i++) {
            const written *next = first_of(s->v[i], at + 1);
            if (written_length(next) == at + 1 && next->cp >= lo && next->cp <= hi)
                n += written_equal(next->before, prefix);
        }
    return n;
}
