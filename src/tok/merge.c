#include "tok/merge.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table of pairs ---- */

static uint32_t pair_hash(int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key ^= key >> 29;
    key *= 0x9e3779b97f4a7c15ull;
    return (uint32_t)(key >> 32);
}

static merge_rule *rules_new(size_t slots) {
    merge_rule *rule = malloc(slots * sizeof *rule);
    for (size_t i = 0; rule && i < slots; i++) rule[i].rank = -1;
    return rule;
}

static void rule_place(merge_rule *rule, uint32_t mask, const merge_rule *r) {
    uint32_t at = pair_hash(r->left, r->right) & mask;
    while (rule[at].rank >= 0) at = (at + 1) & mask;
    rule[at] = *r;
}

bool merge_table_init(merge_table *t, size_t expected) {
    *t = (merge_table){0};
    size_t slots = 64;
    while (slots < expected * 2) slots *= 2;
    t->rule = rules_new(slots);
    t->mask = (uint32_t)(slots - 1);
    return t->rule != NULL;
}

void merge_table_deinit(merge_table *t) {
    free(t->rule);
    *t = (merge_table){0};
}

const merge_rule *merge_table_find(const merge_table *t, int32_t left, int32_t right) {
    for (uint32_t at = pair_hash(left, right) & t->mask;; at = (at + 1) & t->mask) {
        const merge_rule *r = &t->rule[at];
        if (r->rank < 0) return NULL;
        if (r->left == left && r->right == right) return r;
    }
}

bool merge_table_put(merge_table *t, int32_t left, int32_t right, int32_t rank, int32_t sym) {
    if (merge_table_find(t, left, right)) return true;
    if ((uint64_t)t->n * 8 >= (uint64_t)t->mask * 5) {
        uint32_t mask = t->mask * 2 + 1;
        if (t->mask >= UINT32_MAX / 4) return false;
        merge_rule *bigger = rules_new((size_t)mask + 1);
        if (!bigger) return false;
        for (uint32_t i = 0; i <= t->mask; i++)
            if (t->rule[i].rank >= 0) rule_place(bigger, mask, &t->rule[i]);
        free(t->rule);
        t->rule = bigger;
        t->mask = mask;
    }
    merge_rule r = {left, right, rank, sym};
    rule_place(t->rule, t->mask, &r);
    t->n++;
    if (rank >= t->n_ranks) t->n_ranks = rank + 1;
    return true;
}

/* ---- working memory ---- */

enum { NONE = -1, UNLINKED = -2 };

struct merge_node {
    int32_t prev, next; /* neighbours in the word; NONE at its ends */
    int32_t rank;       /* of the pair (this, next); NONE when it has none or this was swallowed */
    int32_t before, after; /* neighbours in the rank's list; before is UNLINKED outside any list */
};

void merge_work_deinit(merge_work *w) {
    free(w->sym);
    free(w->node);
    free(w->order);
    free(w->spare);
    free(w->head);
    free(w->tail);
    free(w->waiting);
    free(w->early);
    *w = (merge_work){0};
}

bool merge_work_reserve(merge_work *w, size_t n) {
    if (n <= w->cap) return true;
    size_t cap = w->cap + w->cap / 2;
    if (cap < n) cap = n;
    if (cap < 256) cap = 256;
    if (cap > INT32_MAX) return false;
    int32_t *sym = realloc(w->sym, cap * sizeof *sym);
    if (!sym) return false;
    w->sym = sym;
    w->cap = cap;
    return true;
}

static bool long_reserve(merge_work *w, const merge_table *t) {
    size_t ranks = (size_t)t->n_ranks;
    if (!w->head) {
        w->head = malloc((ranks + 1) * sizeof *w->head);
        w->tail = malloc((ranks + 1) * sizeof *w->tail);
        w->waiting = calloc(ranks / 64 + 1, sizeof *w->waiting);
        if (!w->head || !w->tail || !w->waiting) return false;
        memset(w->head, 0xff, (ranks + 1) * sizeof *w->head);
    }
    if (w->n <= w->node_cap) return true;
    free(w->node); /* nothing in them outlives a word */
    free(w->order);
    free(w->spare);
    w->node_cap = 0;
    w->spare = NULL;
    w->node = malloc(w->n * sizeof *w->node);
    w->order = malloc(w->n * sizeof *w->order);
    if (!w->node || !w->order) return false;
    w->node_cap = w->n;
    return true;
}

/* ---- short words ---- */

enum { SHORT_WORD = 32 };

static int32_t rank_between(const merge_table *t, int32_t left, int32_t right, int32_t *sym) {
    const merge_rule *r = merge_table_find(t, left, right);
    if (!r) return INT32_MAX;
    *sym = r->sym;
    return r->rank;
}

static void merge_short(merge_work *w, const merge_table *t) {
    int32_t rank[SHORT_WORD], into[SHORT_WORD];
    int32_t *sym = w->sym;
    size_t n = w->n;
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_between(t, sym[i], sym[i + 1], &into[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == INT32_MAX) break;
        sym[best] = into[best];
        size_t moved = n - best - 2;
        memmove(sym + best + 1, sym + best + 2, moved * sizeof *sym);
        memmove(rank + best, rank + best + 1, moved * sizeof *rank);
        memmove(into + best, into + best + 1, moved * sizeof *into);
        n--;
        if (best > 0) rank[best - 1] = rank_between(t, sym[best - 1], sym[best], &into[best - 1]);
        if (best + 1 < n) rank[best] = rank_between(t, sym[best], sym[best + 1], &into[best]);
    }
    w->n = n;
}

/* ---- long words ---- */

static void list_append(merge_work *w, int32_t rank, int32_t pos) {
    merge_node *node = w->node;
    int32_t last = w->head[rank] == NONE ? NONE : w->tail[rank];
    node[pos].before = last;
    node[pos].after = NONE;
    if (last == NONE) {
        w->head[rank] = pos;
        w->waiting[rank / 64] |= 1ull << (rank % 64);
    } else {
        node[last].after = pos;
    }
    w->tail[rank] = pos;
}

static void list_remove(merge_work *w, int32_t pos) {
    merge_node *x = &w->node[pos];
    if (x->before == UNLINKED) return;
    if (x->before == NONE) w->head[x->rank] = x->after;
    else w->node[x->before].after = x->after;
    if (x->after == NONE) w->tail[x->rank] = x->before;
    else w->node[x->after].before = x->before;
    if (w->head[x->rank] == NONE) w->waiting[x->rank / 64] &= ~(1ull << (x->rank % 64));
    x->before = UNLINKED;
}

static uint64_t early_key(int32_t rank, int32_t pos) {
    return (uint64_t)(uint32_t)rank << 32 | (uint32_t)pos;
}

static bool early_push(merge_work *w, uint64_t key) {
    if (w->n_early == w->early_cap) {
        size_t cap = w->early_cap ? w->early_cap * 2 : 64;
        uint64_t *heap = realloc(w->early, cap * sizeof *heap);
        if (!heap) return false;
        w->early = heap;
        w->early_cap = cap;
    }
    size_t i = w->n_early++;
    for (; i > 0 && w->early[(i - 1) / 2] > key; i = (i - 1) / 2)
        w->early[i] = w->early[(i - 1) / 2];
    w->early[i] = key;
    return true;
}

static uint64_t early_pop(merge_work *w) {
    uint64_t top = w->early[0], last = w->early[--w->n_early];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n_early; i = child) {
        if (child + 1 < w->n_early && w->early[child + 1] < w->early[child]) child++;
        if (w->early[child] >= last) break;
        w->early[i] = w->early[child];
    }
    w->early[i] = last;
    return top;
}

/* The pair that starts at pos is new: files it under its rank. `now` is the rank whose turn it is.
 */
static bool pair_update(merge_work *w, const merge_table *t, int32_t pos, int32_t now) {
    merge_node *x = &w->node[pos];
    list_remove(w, pos);
    const merge_rule *r = x->next == NONE ? NULL
                                          : merge_table_find(t, w->sym[pos], w->sym[x->next]);
    x->rank = r ? r->rank : NONE;
    if (!r) return true;
    if (r->rank > now) list_append(w, r->rank, pos);
    else return early_push(w, early_key(r->rank, pos));
    return true;
}

static bool merge_at(merge_work *w, const merge_table *t, int32_t pos, int32_t now) {
    merge_node *x = &w->node[pos];
    int32_t right = x->next;
    w->sym[pos] = merge_table_find(t, w->sym[pos], w->sym[right])->sym;
    list_remove(w, right);
    w->node[right].rank = NONE;
    x->next = w->node[right].next;
    if (x->next != NONE) w->node[x->next].prev = pos;
    if (x->prev != NONE && !pair_update(w, t, x->prev, now)) return false;
    return pair_update(w, t, pos, now);
}

/* Least significant digit first, 11 bits at a time; positions are below 2^31. */
static bool order_sort(merge_work *w, size_t n) {
    if (n < 64) {
        for (size_t i = 1; i < n; i++) {
            int32_t v = w->order[i];
            size_t j = i;
            for (; j > 0 && w->order[j - 1] > v; j--) w->order[j] = w->order[j - 1];
            w->order[j] = v;
        }
        return true;
    }
    if (!w->spare) w->spare = malloc(w->node_cap * sizeof *w->spare);
    if (!w->spare) return false;
    for (int shift = 0; shift < 33; shift += 11) {
        size_t start[2049] = {0};
        for (size_t i = 0; i < n; i++) start[((uint32_t)w->order[i] >> shift & 2047) + 1]++;
        for (int d = 0; d < 2048; d++) start[d + 1] += start[d];
        for (size_t i = 0; i < n; i++)
            w->spare[start[(uint32_t)w->order[i] >> shift & 2047]++] = w->order[i];
        int32_t *swap = w->order;
        w->order = w->spare;
        w->spare = swap;
    }
    return true;
}

/* Empties the list of a rank into w->order, ascending. */
static bool list_drain(merge_work *w, int32_t rank, size_t *n) {
    bool sorted = true;
    *n = 0;
    for (int32_t pos = w->head[rank]; pos != NONE; pos = w->node[pos].after) {
        if (*n && w->order[*n - 1] > pos) sorted = false;
        w->order[(*n)++] = pos;
        w->node[pos].before = UNLINKED;
    }
    w->head[rank] = NONE;
    w->waiting[rank / 64] &= ~(1ull << (rank % 64));
    return sorted || order_sort(w, *n);
}

static int32_t next_rank(const merge_work *w, const merge_table *t, int32_t from) {
    size_t words = (size_t)t->n_ranks / 64 + 1, i = (size_t)from / 64;
    if (i >= words) return NONE;
    uint64_t bits = w->waiting[i] & ~0ull << (from % 64);
    while (!bits && ++i < words) bits = w->waiting[i];
    return bits ? (int32_t)(i * 64) + __builtin_ctzll(bits) : NONE;
}

/* One rank's turn. New pairs of a later rank go to their lists. A vocabulary that nobody trained
 * may make pairs of this or an earlier rank: those wait in a heap and are taken in their order. */
static bool merge_rank(merge_work *w, const merge_table *t, int32_t rank) {
    size_t n, i = 0;
    if (!list_drain(w, rank, &n)) return false;
    while (i < n || w->n_early) {
        uint64_t key = i < n ? early_key(rank, w->order[i]) : UINT64_MAX;
        if (w->n_early && w->early[0] < key) key = early_pop(w);
        else i++;
        int32_t pos = (int32_t)(uint32_t)key;
        if (w->node[pos].rank != (int32_t)(key >> 32)) continue; /* its pair is gone */
        if (!merge_at(w, t, pos, rank)) return false;
    }
    return true;
}

static bool merge_long(merge_work *w, const merge_table *t) {
    if (!long_reserve(w, t)) return false;
    int32_t n = (int32_t)w->n;
    for (int32_t i = 0; i < n; i++) {
        const merge_rule *r = i + 1 < n ? merge_table_find(t, w->sym[i], w->sym[i + 1]) : NULL;
        w->node[i] = (merge_node){i - 1, i + 1 < n ? i + 1 : NONE, r ? r->rank : NONE, UNLINKED,
                                  NONE};
        if (r) list_append(w, r->rank, i);
    }
    for (int32_t rank = 0; (rank = next_rank(w, t, rank)) != NONE; rank++)
        if (!merge_rank(w, t, rank)) return false;
    size_t kept = 0;
    for (int32_t i = 0; i != NONE; i = w->node[i].next) w->sym[kept++] = w->sym[i];
    w->n = kept;
    return true;
}

bool merge_run(merge_work *w, const merge_table *t) {
    if (w->n > SHORT_WORD) return merge_long(w, t);
    if (w->n > 1) merge_short(w, t);
    return true;
}
