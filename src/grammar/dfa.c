#include "grammar/dfa.h"

#include <stdlib.h>

#include "base/limits.h"

void dfa_free(dfa *d) {
    if (!d) return;
    free(d->lo);
    free(d->class_of);
    free(d->next);
    free(d->accept);
    free(d->texts);
    free(d);
}

size_t dfa_bytes(const dfa *d) {
    return (size_t)d->n_states * (size_t)d->n_classes * sizeof *d->next;
}

int dfa_class(const dfa *d, uint32_t cp) {
    int32_t lo = 0, hi = d->n_ranges;
    while (hi - lo > 1) {
        int32_t mid = (lo + hi) / 2;
        if (d->lo[mid] <= cp) lo = mid;
        else hi = mid;
    }
    return d->class_of[lo];
}

bool dfa_live_between(const dfa *d, int32_t s, uint32_t lo, uint32_t hi) {
    const int32_t *row = d->next + (size_t)s * (size_t)d->n_classes;
    for (int32_t i = 0; i < d->n_ranges; i++) {
        uint32_t end = i + 1 < d->n_ranges ? d->lo[i + 1] - 1 : DFA_MAX_CP;
        if (d->lo[i] > hi) break;
        if (end >= lo && row[d->class_of[i]]) return true;
    }
    return false;
}

/* ---- counting ---- */

static uint32_t add_up(uint32_t sum, uint64_t width, uint32_t count) {
    uint64_t n = sum + width * count; /* at most 2^32 + 2^21 * 2^32 */
    return count == DFA_MANY && width ? DFA_MANY : n < DFA_MANY ? (uint32_t)n : DFA_MANY;
}

/* Code points in [lo, hi] that a text can have. */
static uint32_t width_of(uint32_t lo, uint32_t hi) {
    uint32_t n = hi - lo + 1, from = lo > 0xD800 ? lo : 0xD800, to = hi < 0xDFFF ? hi : 0xDFFF;
    return from <= to ? n - (to - from + 1) : n;
}

uint32_t dfa_count_between(const dfa *d, const uint32_t *count, int32_t s, uint32_t lo,
                           uint32_t hi) {
    const int32_t *row = d->next + (size_t)s * (size_t)d->n_classes;
    uint32_t n = 0;
    for (int32_t i = 0; i < d->n_ranges && d->lo[i] <= hi; i++) {
        uint32_t end = i + 1 < d->n_ranges ? d->lo[i + 1] - 1 : DFA_MAX_CP;
        uint32_t from = d->lo[i] > lo ? d->lo[i] : lo, to = end < hi ? end : hi;
        int32_t next = row[d->class_of[i]];
        if (from <= to && next) n = add_up(n, width_of(from, to), count[next]);
    }
    return n;
}

bool dfa_count(const dfa *d, uint32_t *out) {
    enum { UNKNOWN, OPEN, KNOWN };
    typedef struct step {
        int32_t state, cls;
    } step;
    uint8_t *is = calloc((size_t)d->n_states, 1);
    step *stack = malloc(((size_t)d->n_states + 1) * sizeof *stack);
    uint32_t *width = calloc((size_t)d->n_classes, sizeof *width);
    bool ok = is && stack && width;
    for (int32_t i = 0; ok && i < d->n_ranges; i++)
        width[d->class_of[i]] += width_of(d->lo[i],
                                          i + 1 < d->n_ranges ? d->lo[i + 1] - 1 : DFA_MAX_CP);
    if (ok) memset(out, 0, (size_t)d->n_states * sizeof *out);
    for (int32_t root = 1; ok && root < d->n_states; root++) {
        size_t n = 0;
        if (is[root] == UNKNOWN) stack[n++] = (step){root, 0}, is[root] = OPEN;
        while (n > 0) {
            step *top = &stack[n - 1];
            if (top->cls == d->n_classes) {
                out[top->state] = add_up(out[top->state], 1, d->accept[top->state]);
                is[top->state] = KNOWN;
                n--;
                continue;
            }
            int32_t next = d->next[top->state * d->n_classes + top->cls];
            if (next && is[next] == UNKNOWN) {
                stack[n++] = (step){next, 0}, is[next] = OPEN;
                continue; /* the class is looked at again when that is known */
            }
            if (next) /* what leads back to itself has no end of texts */
                out[top->state] = add_up(out[top->state], width[top->cls],
                                         is[next] == OPEN ? DFA_MANY : out[next]);
            top->cls++;
        }
    }
    free(is), free(stack), free(width);
    return ok;
}

bool dfa_accepts(const dfa *d, str text) {
    int32_t s = d->start;
    for (size_t at = 0; s && at < text.n;) {
        uint32_t cp;
        int n = utf8_decode(text.p + at, text.n - at, &cp);
        if (n == 0) return false;
        s = dfa_step(d, s, cp);
        at += (size_t)n;
    }
    return s && d->accept[s];
}

/* ---- exploring ---- */

typedef struct explorer {
    const dfa_source *src;
    int32_t *pool; /* keys of all states, one after the other */
    size_t n_pool, cap_pool;
    size_t *at; /* [n_states + 1] where a state's key begins */
    int32_t n_states, cap_states;
    int32_t *table; /* hash of keys: state or 0 */
    size_t table_size;
    int32_t *next;
    uint64_t work;
} explorer;

static uint64_t key_hash(const int32_t *k, size_t n) {
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint32_t)k[i]) * 1099511628211u;
    return h ^ (h >> 29);
}

static void table_put(explorer *x, int32_t state) {
    size_t at = x->at[state], n = x->at[state + 1] - at;
    size_t i = key_hash(x->pool + at, n) & (x->table_size - 1);
    while (x->table[i]) i = (i + 1) & (x->table_size - 1);
    x->table[i] = state;
}

static bool grow(explorer *x, size_t key) {
    if (x->n_pool + key > x->cap_pool) {
        size_t cap = (x->n_pool + key) / 2 * 3 + 256;
        int32_t *p = realloc(x->pool, cap * sizeof *p);
        if (!p) return false;
        x->pool = p, x->cap_pool = cap;
    }
    if (x->n_states + 2 <= x->cap_states) return true;
    int32_t cap = x->cap_states / 2 * 3 + 64;
    size_t *at = realloc(x->at, sizeof *at * ((size_t)cap + 1));
    if (at) x->at = at;
    int32_t *next = realloc(x->next, sizeof *next * (size_t)cap * (size_t)x->src->n_classes);
    if (next) x->next = next;
    int32_t *table = calloc((size_t)cap * 4, sizeof *table);
    if (!at || !next || !table) {
        free(table);
        return false;
    }
    free(x->table);
    x->table = table;
    x->table_size = 1;
    while (x->table_size * 2 <= (size_t)cap * 4) x->table_size *= 2;
    x->cap_states = cap;
    for (int32_t s = 1; s < x->n_states; s++) table_put(x, s);
    return true;
}

/* The state of a key, new or known; 0: memory or limit. */
static int32_t state_of(explorer *x, const int32_t *key, size_t n, err *e) {
    size_t i = x->table_size ? key_hash(key, n) & (x->table_size - 1) : 0;
    for (; x->table_size && x->table[i]; i = (i + 1) & (x->table_size - 1)) {
        int32_t s = x->table[i];
        if (x->at[s + 1] - x->at[s] == n && memcmp(x->pool + x->at[s], key, n * sizeof *key) == 0)
            return s;
    }
    int64_t cells = ((int64_t)x->n_states + 1) * x->src->n_classes;
    if (x->n_states > LIMIT_DFA_STATES || cells > LIMIT_DFA_CELLS) {
        err_set(e, ERR_USAGE, "the automaton is too large (over %d states)",
                (int)(cells > LIMIT_DFA_CELLS ? LIMIT_DFA_CELLS / x->src->n_classes
                                              : LIMIT_DFA_STATES));
        return 0;
    }
    x->work += n;
    if (x->n_pool + n > LIMIT_DFA_KEYS ||
        x->work + (x->src->work ? *x->src->work : 0) > LIMIT_DFA_WORK) {
        err_set(e, ERR_USAGE,
                "the automaton takes too long to make: fewer or smaller repetitions help");
        return 0;
    }
    if (!grow(x, n)) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return 0;
    }
    int32_t s = x->n_states++;
    memcpy(x->pool + x->n_pool, key, n * sizeof *key);
    x->at[s] = x->n_pool;
    x->n_pool += n;
    x->at[s + 1] = x->n_pool;
    table_put(x, s);
    return s;
}

/* ---- trimming and merging ---- */

/* Which states can reach an accepting one: fills useful[]. */
static bool co_accessible(const dfa *d, uint8_t *useful, err *e) {
    int64_t budget = LIMIT_DFA_WORK + (int64_t)d->n_states * d->n_classes;
    memcpy(useful, d->accept, (size_t)d->n_states);
    useful[0] = 0;
    bool more = true;
    while (more) { /* states were numbered breadth first: backwards nearly always ends in a few */
        more = false;
        if ((budget -= (int64_t)d->n_states * d->n_classes) < 0)
            return err_set(e, ERR_USAGE, "the automaton takes too long to make");
        for (int32_t s = d->n_states - 1; s > 0; s--) {
            if (useful[s]) continue;
            const int32_t *row = d->next + (size_t)s * (size_t)d->n_classes;
            for (int c = 0; c < d->n_classes && !useful[s]; c++)
                if (useful[row[c]]) useful[s] = 1, more = true;
        }
    }
    return true;
}

/* Equivalence classes of states by repeated refinement; block[s] for each state, count returned;
 * 0 when it would take too long. */
static int32_t refine(const dfa *d, int32_t *block, int32_t *table, size_t table_size,
                      int32_t *fresh) {
    int32_t n_blocks = 0, before = -1;
    int64_t budget = LIMIT_DFA_WORK / 2;
    for (int32_t s = 0; s < d->n_states; s++) block[s] = s ? 1 + d->accept[s] : 0;
    while (n_blocks != before) {
        budget -= (int64_t)d->n_states * d->n_classes;
        if (budget < 0) return 0;
        before = n_blocks;
        n_blocks = 1;
        memset(table, 0, table_size * sizeof *table);
        fresh[0] = 0;
        for (int32_t s = 1; s < d->n_states; s++) {
            const int32_t *row = d->next + (size_t)s * (size_t)d->n_classes;
            uint64_t h = (uint64_t)block[s] * 0x9E3779B97F4A7C15u;
            for (int c = 0; c < d->n_classes; c++)
                h = (h ^ (uint64_t)block[row[c]]) * 0x100000001B3u, h ^= h >> 31;
            size_t i = h & (table_size - 1);
            int32_t same = 0;
            for (; table[i]; i = (i + 1) & (table_size - 1)) {
                int32_t o = table[i];
                const int32_t *other = d->next + (size_t)o * (size_t)d->n_classes;
                bool equal = block[o] == block[s];
                for (int c = 0; equal && c < d->n_classes; c++)
                    equal = block[row[c]] == block[other[c]];
                if (equal) {
                    same = o;
                    break;
                }
            }
            if (same) fresh[s] = fresh[same];
            else table[i] = s, fresh[s] = n_blocks++;
        }
        memcpy(block, fresh, sizeof *block * (size_t)d->n_states);
    }
    return n_blocks;
}

/* Drops useless states and merges equal ones. */
static bool tidy(dfa *d, err *e) {
    size_t n = (size_t)d->n_states, table_size = 1;
    while (table_size < n * 2) table_size *= 2;
    uint8_t *useful = malloc(n);
    int32_t *block = malloc(n * sizeof *block), *fresh = malloc(n * sizeof *fresh);
    int32_t *table = malloc(table_size * sizeof *table);
    bool ok = (useful && block && fresh && table) || err_set(e, ERR_NO_FIT, "out of memory");
    if (ok && (ok = co_accessible(d, useful, e))) {
        for (size_t i = 0; i < n * (size_t)d->n_classes; i++)
            if (!useful[d->next[i]]) d->next[i] = 0;
        for (size_t s = 1; s < n; s++)
            if (!useful[s]) {
                d->accept[s] = 0;
                memset(d->next + s * (size_t)d->n_classes, 0,
                       sizeof *d->next * (size_t)d->n_classes);
            }
        int32_t blocks = refine(d, block, table, table_size, fresh);
        /* Useless states share a block with nothing useful; give them the dead state. */
        int32_t *to = fresh, count = 1;
        int32_t *first = table;
        memset(first, 0, table_size * sizeof *first);
        for (size_t s = 0; s < n; s++) {
            int32_t b = blocks ? block[s] : (int32_t)s;
            if (!useful[s]) to[s] = 0;
            else if (first[b]) to[s] = first[b];
            else to[s] = first[b] = count++;
        }
        size_t width = (size_t)d->n_classes;
        for (size_t s = 0, done = 0; s < n; s++) {
            if ((size_t)to[s] <= done && s) continue; /* a copy, or dead */
            done = (size_t)to[s];
            d->accept[done] = d->accept[s];
            for (size_t c = 0; c < width; c++)
                d->next[done * width + c] = to[d->next[s * width + c]];
        }
        d->start = to[d->start];
        d->n_states = count;
    }
    free(useful), free(block), free(fresh), free(table);
    return ok;
}

dfa *dfa_explore(const dfa_source *src, const int32_t *start, size_t n, err *e) {
    explorer x = {.src = src, .n_states = 1};
    dfa *d = calloc(1, sizeof *d);
    bool ok = d && grow(&x, 0);
    if (!ok) err_set(e, ERR_NO_FIT, "out of memory");
    if (ok) {
        x.at[0] = x.at[1] = 0;
        memset(x.next, 0, sizeof *x.next * (size_t)src->n_classes);
        ok = state_of(&x, start, n, e) == 1;
    }
    int32_t *key = NULL;
    size_t cap_key = 0;
    for (int32_t s = 1; ok && s < x.n_states; s++) {
        for (int c = 0; ok && c < src->n_classes; c++) {
            size_t len = x.at[s + 1] - x.at[s];
            if (len > cap_key) {
                free(key);
                key = malloc(sizeof *key * (cap_key = len * 2));
                if (!key) ok = err_set(e, ERR_NO_FIT, "out of memory");
            }
            if (!ok) break;
            memcpy(key, x.pool + x.at[s], len * sizeof *key); /* the pool may move */
            x.work += len + 1;
            const int32_t *to;
            size_t m = src->step(src->ud, key, len, c, &to);
            int32_t t = m ? state_of(&x, to, m, e) : 0;
            ok = t || !m;
            x.next[(size_t)s * (size_t)src->n_classes + (size_t)c] = t;
        }
    }
    if (ok) {
        d->n_states = x.n_states;
        d->n_classes = src->n_classes;
        d->start = 1;
        d->n_ranges = src->n_ranges;
        d->next = x.next;
        x.next = NULL;
        d->lo = malloc(sizeof *d->lo * (size_t)src->n_ranges);
        d->class_of = malloc(sizeof *d->class_of * (size_t)src->n_ranges);
        d->accept = calloc((size_t)x.n_states, 1);
        ok = (d->lo && d->class_of && d->accept) || err_set(e, ERR_NO_FIT, "out of memory");
    }
    if (ok) {
        memcpy(d->lo, src->lo, sizeof *d->lo * (size_t)src->n_ranges);
        memcpy(d->class_of, src->class_of, sizeof *d->class_of * (size_t)src->n_ranges);
        for (uint32_t cp = 0; cp < 128; cp++) d->ascii[cp] = (uint16_t)dfa_class(d, cp);
        for (int32_t s = 1; ok && s < x.n_states; s++) {
            d->accept[s] = src->accepts(src->ud, x.pool + x.at[s], x.at[s + 1] - x.at[s]);
            if (src->work && *src->work > 2 * LIMIT_DFA_WORK)
                ok = err_set(e, ERR_USAGE, "the automaton takes too long to make");
        }
        d->work = x.work + (src->work ? *src->work : 0);
        ok = ok && tidy(d, e);
    }
    free(key), free(x.pool), free(x.at), free(x.table), free(x.next);
    if (!ok) {
        dfa_free(d);
        return NULL;
    }
    return d;
}

/* ---- products ---- */

typedef struct product {
    const dfa *a, *b; /* NULL: every text */
    dfa_op op;
    uint16_t *class_a, *class_b; /* of each joint class */
    int32_t pair[2];
} product;

static size_t product_step(void *ud, const int32_t *from, size_t n, int cls, const int32_t **to) {
    product *p = ud;
    (void)n;
    p->pair[0] = p->a ? p->a->next[from[0] * p->a->n_classes + p->class_a[cls]] : 1;
    p->pair[1] = p->b ? p->b->next[from[1] * p->b->n_classes + p->class_b[cls]] : 1;
    *to = p->pair;
    bool a = p->pair[0], b = p->pair[1];
    return (p->op == DFA_AND ? a && b : p->op == DFA_OR ? a || b : a) ? 2 : 0;
}

static bool product_accepts(void *ud, const int32_t *s, size_t n) {
    const product *p = ud;
    (void)n;
    bool a = s[0] && (!p->a || p->a->accept[s[0]]), b = s[1] && (!p->b || p->b->accept[s[1]]);
    return p->op == DFA_AND ? a && b : p->op == DFA_OR ? a || b : a && !b;
}

dfa *dfa_combine(const dfa *a, const dfa *b, dfa_op op, err *e) {
    size_t na = a ? (size_t)a->n_ranges : 1, nb = b ? (size_t)b->n_ranges : 1;
    uint32_t *lo = malloc(sizeof *lo * (na + nb));
    uint16_t *cls = malloc(sizeof *cls * (na + nb));
    product p = {.a = a, .b = b, .op = op};
    p.class_a = malloc(sizeof *cls * (na + nb));
    p.class_b = malloc(sizeof *cls * (na + nb));
    dfa *d = NULL;
    int32_t n = 0, n_classes = 0;
    if (!lo || !cls || !p.class_a || !p.class_b) {
        err_set(e, ERR_NO_FIT, "out of memory");
        goto out;
    }
    for (size_t i = 0, j = 0; i < na || j < nb;) {
        uint32_t la = i < na ? (a ? a->lo[i] : 0) : UINT32_MAX;
        uint32_t lb = j < nb ? (b ? b->lo[j] : 0) : UINT32_MAX;
        lo[n] = la < lb ? la : lb;
        if (la == lo[n]) i++;
        if (lb == lo[n]) j++;
        uint16_t ca = a ? a->class_of[i - 1] : 0, cb = b ? b->class_of[j - 1] : 0;
        int c = 0;
        while (c < n_classes && (p.class_a[c] != ca || p.class_b[c] != cb)) c++;
        if (c == n_classes) p.class_a[c] = ca, p.class_b[c] = cb, n_classes++;
        cls[n++] = (uint16_t)c;
    }
    dfa_source src = {.ud = &p,
                      .n_ranges = n,
                      .n_classes = n_classes,
                      .lo = lo,
                      .class_of = cls,
                      .step = product_step,
                      .accepts = product_accepts};
    int32_t start[2] = {a ? a->start : 1, b ? b->start : 1};
    d = dfa_explore(&src, start, 2, e);
out:
    free(lo), free(cls), free(p.class_a), free(p.class_b);
    return d;
}

/* ---- simple languages ---- */

typedef struct length_range {
    uint32_t min, max;
    int32_t key;
} length_range;

static size_t length_step(void *ud, const int32_t *from, size_t n, int cls, const int32_t **to) {
    length_range *r = ud;
    (void)n, (void)cls;
    uint32_t count = (uint32_t)from[0] + 1;
    if (r->max == UINT32_MAX && count > r->min) count = r->min;
    if (count > r->max) return 0;
    r->key = (int32_t)count;
    *to = &r->key;
    return 1;
}

static bool length_accepts(void *ud, const int32_t *s, size_t n) {
    const length_range *r = ud;
    (void)n;
    return (uint32_t)s[0] >= r->min && (uint32_t)s[0] <= r->max;
}

dfa *dfa_length(uint32_t min, uint32_t max, err *e) {
    length_range r = {min, max, 0};
    uint32_t lo = 0;
    uint16_t cls = 0;
    dfa_source src = {.ud = &r,
                      .n_ranges = 1,
                      .n_classes = 1,
                      .lo = &lo,
                      .class_of = &cls,
                      .step = length_step,
                      .accepts = length_accepts};
    int32_t start = 0;
    return dfa_explore(&src, &start, 1, e);
}

/* A set of texts: a state is a run of the sorted texts and how many code points are behind. */
typedef struct text_set {
    const str *text; /* sorted, distinct */
    size_t n;
    const uint32_t *class_cp; /* [n_classes]; class 0: none of them */
    int32_t key[3];
} text_set;

static size_t text_step(void *ud, const int32_t *from, size_t n, int cls, const int32_t **to) {
    text_set *t = ud;
    (void)n;
    if (cls == 0) return 0;
    char enc[4];
    size_t len = (size_t)utf8_encode(t->class_cp[cls], enc), at = (size_t)from[2];
    int32_t lo = from[0], hi = from[1];
    /* Texts in [lo, hi) share their first `at` bytes: find those that go on with enc. */
    while (lo < hi && (t->text[lo].n < at + len || memcmp(t->text[lo].p + at, enc, len) != 0)) lo++;
    int32_t end = lo;
    while (end < hi && t->text[end].n >= at + len && memcmp(t->text[end].p + at, enc, len) == 0)
        end++;
    if (lo == end) return 0;
    t->key[0] = lo, t->key[1] = end, t->key[2] = (int32_t)(at + len);
    *to = t->key;
    return 3;
}

static bool text_accepts(void *ud, const int32_t *s, size_t n) {
    const text_set *t = ud;
    (void)n;
    return t->text[s[0]].n == (size_t)s[2]; /* the shortest of a run comes first */
}

static int text_order(const void *pa, const void *pb) {
    const str *a = pa, *b = pb;
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->p, b->p, n) : 0;
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

static int cp_order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

dfa *dfa_strings(const str *text, size_t n, err *e) {
    size_t bytes = 0, n_cp = 0;
    for (size_t i = 0; i < n; i++) bytes += text[i].n;
    if (bytes > LIMIT_DFA_CELLS) {
        err_set(e, ERR_USAGE, "too much text (%zu bytes; at most %d)", bytes, LIMIT_DFA_CELLS);
        return NULL;
    }
    str *sorted = malloc(sizeof *sorted * (n + 1));
    uint32_t *cps = malloc(sizeof *cps * (bytes + 1));
    uint32_t *lo = malloc(sizeof *lo * (2 * bytes + 2)), *class_cp = NULL;
    uint16_t *cls = malloc(sizeof *cls * (2 * bytes + 2));
    dfa *d = NULL;
    if (!sorted || !cps || !lo || !cls || !n) {
        err_set(e, n ? ERR_NO_FIT : ERR_USAGE, n ? "out of memory" : "no texts");
        goto out;
    }
    memcpy(sorted, text, sizeof *sorted * n);
    qsort(sorted, n, sizeof *sorted, text_order);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++)
        if (!str_eq(sorted[i], sorted[kept - 1])) sorted[kept++] = sorted[i];
    for (size_t i = 0; i < kept; i++)
        for (size_t at = 0; at < sorted[i].n;) {
            int len = utf8_decode(sorted[i].p + at, sorted[i].n - at, &cps[n_cp]);
            if (len == 0) {
                err_set(e, ERR_USAGE, "a text that is not UTF-8");
                goto out;
            }
            at += (size_t)len;
            n_cp++;
        }
    qsort(cps, n_cp, sizeof *cps, cp_order);
    size_t distinct = 0;
    for (size_t i = 0; i < n_cp; i++)
        if (i == 0 || cps[i] != cps[i - 1]) cps[distinct++] = cps[i];
    class_cp = malloc(sizeof *class_cp * (distinct + 1));
    if (!class_cp || distinct > UINT16_MAX - 1) {
        err_set(e, ERR_NO_FIT, "too many different characters");
        goto out;
    }
    int32_t n_ranges = 0;
    uint32_t from = 0;
    for (size_t i = 0; i < distinct; i++) {
        if (cps[i] > from || n_ranges == 0) {
            if (cps[i] > from) lo[n_ranges] = from, cls[n_ranges++] = 0;
        }
        lo[n_ranges] = cps[i];
        cls[n_ranges++] = (uint16_t)(i + 1);
        class_cp[i + 1] = cps[i];
        from = cps[i] + 1;
    }
    if (from <= DFA_MAX_CP) lo[n_ranges] = from, cls[n_ranges++] = 0;
    text_set t = {.text = sorted, .n = kept, .class_cp = class_cp};
    dfa_source src = {.ud = &t,
                      .n_ranges = n_ranges,
                      .n_classes = (int32_t)distinct + 1,
                      .lo = lo,
                      .class_of = cls,
                      .step = text_step,
                      .accepts = text_accepts};
    int32_t start[3] = {0, (int32_t)kept, 0};
    d = dfa_explore(&src, start, 3, e);
out:
    free(sorted), free(cps), free(lo), free(cls), free(class_cp);
    return d;
}

bool dfa_equal(const dfa *a, const dfa *b) {
    if (a == b) return true;
    if (!a || !b || a->n_states != b->n_states || a->n_classes != b->n_classes ||
        a->n_ranges != b->n_ranges || a->start != b->start)
        return false;
    size_t cells = (size_t)a->n_states * (size_t)a->n_classes, r = (size_t)a->n_ranges;
    return !memcmp(a->next, b->next, cells * sizeof *a->next) &&
           !memcmp(a->accept, b->accept, (size_t)a->n_states) &&
           !memcmp(a->lo, b->lo, r * sizeof *a->lo) &&
           !memcmp(a->class_of, b->class_of, r * sizeof *a->class_of);
}
