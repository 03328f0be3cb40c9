/* Candidates and the filters that thin them; see sample.h for how a distribution is held. */
#include "engine/sample_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cands_init(cands *c, int32_t cap) {
    size_t n = (size_t)cap;
    *c = (cands){.cap = cap};
    c->id = malloc(n * sizeof *c->id);
    c->logit = malloc(n * sizeof *c->logit);
    c->weight = calloc(n, sizeof *c->weight); /* moved before they are weighed */
    c->key = malloc(n * sizeof *c->key);
    return c->id && c->logit && c->weight && c->key;
}

void cands_deinit(cands *c) {
    free(c->id);
    free(c->logit);
    free(c->weight);
    free(c->key);
}

uint32_t key_of(float x) {
    x += 0.0f; /* -0 becomes 0 */
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    uint32_t ascending = u & 0x80000000u ? ~u : u | 0x80000000u;
    return ~ascending;
}

static float cands_max(const cands *c) {
    float max = c->logit[0];
    for (int32_t i = 1; i < c->n; i++)
        if (c->logit[i] > max) max = c->logit[i];
    return max;
}

static void cands_sum(cands *c) {
    c->total = 0;
    for (int32_t i = 0; i < c->n; i++) c->total += c->weight[i];
}

/* 4 million candidates of 2^40 each stay under 2^62. */
void cands_weigh(cands *c, double temperature) {
    double max = (double)cands_max(c);
    c->total = 0;
    for (int32_t i = 0; i < c->n; i++) {
        double x = ((double)c->logit[i] - max) / temperature;
        c->weight[i] = x < -28.0 ? 0 : (uint64_t)(exp(x) * (double)WEIGHT_ONE);
        c->total += c->weight[i];
    }
}

static void cands_move(cands *c, int32_t to, int32_t from) {
    c->id[to] = c->id[from];
    c->logit[to] = c->logit[from];
    c->weight[to] = c->weight[from];
}

/* ---- filling ---- */

void cands_fill(cands *c, const float *logits, int32_t n) {
    c->n = 0;
    for (int32_t i = 0; i < n; i++) {
        if (logits[i] == -INFINITY) continue;
        c->id[c->n] = i;
        c->logit[c->n++] = logits[i];
    }
}

/* True when a goes before b: likelier, or as likely and of lower id. */
static bool before(const float *logits, int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

/* Sinks what is at the root of a heap of ids, whose root goes last. */
static void heap_sink(int32_t *heap, int32_t n, const float *logits) {
    int32_t at = 0, id = heap[0];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && before(logits, heap[child], heap[child + 1])) child++;
        if (before(logits, heap[child], id)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = id;
}

static void heap_raise(int32_t *heap, int32_t n, const float *logits) {
    int32_t at = n - 1, id = heap[at];
    while (at > 0 && before(logits, heap[(at - 1) / 2], id)) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = id;
}

static int compare_ids(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

void cands_fill_top(cands *c, const float *logits, int32_t n, int32_t k) {
    int32_t kept = 0;
    float least = -INFINITY; /* what the next one must exceed; an equal one of higher id does not */
    for (int32_t i = 0; i < n; i++) {
        if (!(logits[i] > least)) continue;
        if (kept < k) {
            c->id[kept++] = i;
            heap_raise(c->id, kept, logits);
        } else {
            c->id[0] = i;
            heap_sink(c->id, k, logits);
        }
        if (kept == k) least = logits[c->id[0]];
    }
    qsort(c->id, (size_t)kept, sizeof *c->id, compare_ids);
    c->n = kept;
    for (int32_t i = 0; i < kept; i++) c->logit[i] = logits[c->id[i]];
}

/* ---- the cut ---- */

/* The largest key of the smallest set, ascending by (key, place), whose masses sum up to `target`;
 * *rest is what the places with exactly this key still have to give. mass NULL: 1 each. The sum of
 * all masses is at least target, and target at least 1. */
static uint32_t cut_find(const uint32_t *key, const uint64_t *mass, int32_t n, uint64_t target,
                         uint64_t *rest) {
    static const int shift[3] = {21, 10, 0}, bits[3] = {11, 11, 10};
    uint32_t prefix = 0, mask = 0;
    uint64_t before = 0, hist[2048];
    for (int pass = 0; pass < 3; pass++) {
        uint32_t low = (1u << bits[pass]) - 1;
        memset(hist, 0, sizeof hist);
        for (int32_t i = 0; i < n; i++)
            if ((key[i] & mask) == prefix)
                hist[(key[i] >> shift[pass]) & low] += mass ? mass[i] : 1;
        uint32_t b = 0;
        while (b < low && before + hist[b] < target) before += hist[b++];
        prefix |= b << shift[pass];
        mask |= low << shift[pass];
    }
    *rest = target - before;
    return prefix;
}

/* Keeps the smallest set by (key, id) whose masses reach target. */
static void cands_cut(cands *c, const uint64_t *mass, uint64_t target) {
    uint64_t rest, given = 0;
    uint32_t cut = cut_find(c->key, mass, c->n, target, &rest);
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++) {
        if (c->key[i] > cut) continue;
        if (c->key[i] == cut) {
            if (given >= rest) continue;
            given += mass ? mass[i] : 1;
        }
        cands_move(c, n++, i);
    }
    c->n = n;
}

static void keys_by_logit(cands *c) {
    for (int32_t i = 0; i < c->n; i++) c->key[i] = key_of(c->logit[i]);
}

/* The share p of the total, rounded up, at least one unit. */
static uint64_t share_of(const cands *c, float p) {
    double share = ceil((double)p * (double)c->total);
    if (share < 1) return 1;
    return share >= (double)c->total ? c->total : (uint64_t)share;
}

/* ---- the filters ---- */

void filter_top_k(cands *c, int32_t k) {
    if (k <= 0 || k >= c->n) return;
    keys_by_logit(c);
    cands_cut(c, NULL, (uint64_t)k);
    cands_sum(c);
}

void filter_top_p(cands *c, float p) {
    if (p >= 1.0f || c->n < 2) return;
    keys_by_logit(c);
    cands_cut(c, c->weight, share_of(c, p));
    cands_sum(c);
}

/* Locally typical sampling (Meister et al., 2022): first those whose surprise is nearest to the
 * mean. */
void filter_typical(cands *c, float p) {
    if (p >= 1.0f || c->n < 2) return;
    double total = (double)c->total, entropy = 0;
    for (int32_t i = 0; i < c->n; i++) {
        if (c->weight[i] == 0) continue;
        double q = (double)c->weight[i] / total;
        entropy -= q * log(q);
    }
    for (int32_t i = 0; i < c->n; i++) {
        double away = c->weight[i] ? fabs(-log((double)c->weight[i] / total) - entropy) : INFINITY;
        c->key[i] = key_of(-(float)away);
    }
    cands_cut(c, c->weight, share_of(c, p));
    cands_sum(c);
}

void filter_min_p(cands *c, float p) {
    if (p <= 0.0f) return;
    double least = (double)cands_max(c) + log((double)p);
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++)
        if ((double)c->logit[i] >= least) cands_move(c, n++, i);
    c->n = n;
    cands_sum(c);
}

/* Exclude top choices: of all that reach the threshold only the least likely stays. */
void filter_xtc(cands *c, float threshold) {
    double least = (double)threshold * (double)c->total;
    int32_t keep = -1, n_above = 0;
    for (int32_t i = 0; i < c->n; i++) {
        if ((double)c->weight[i] < least) continue;
        n_above++;
        if (keep < 0 || c->logit[i] <= c->logit[keep]) keep = i;
    }
    if (n_above < 2) return;
    int32_t n = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (i == keep || (double)c->weight[i] < least) cands_move(c, n++, i);
    c->n = n;
    cands_sum(c);
}

void filter_surprise(cands *c, double bits) {
    double least = exp2(-bits) * (double)c->total;
    int32_t best = 0, n = 0;
    for (int32_t i = 1; i < c->n; i++)
        if (c->logit[i] > c->logit[best]) best = i;
    for (int32_t i = 0; i < c->n; i++)
        if (i == best || (double)c->weight[i] >= least) cands_move(c, n++, i);
    c->n = n;
    cands_sum(c);
}

int32_t cands_pick(const cands *c, uint64_t r) {
    uint64_t at = (uint64_t)(((unsigned __int128)r * c->total) >> 64), sum = 0;
    for (int32_t i = 0; i < c->n; i++) {
        sum += c->weight[i];
        if (sum > at) return i;
    }
    return c->n - 1;
}

/* ---- log-probabilities ---- */

static int compare_likelier(const void *a, const void *b) {
    const hearth_logprob *x = a, *y = b;
    if (x->logprob != y->logprob) return x->logprob > y->logprob ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

static bool logits_top(const float *logits, int32_t n_vocab, hearth_logprob *top, int n_top) {
    uint32_t *key = calloc((size_t)n_vocab, sizeof *key);
    if (!key) return false;
    for (int32_t i = 0; i < n_vocab; i++) key[i] = key_of(logits[i]);
    uint64_t rest;
    uint32_t cut = cut_find(key, NULL, n_vocab, (uint64_t)n_top, &rest);
    int n = 0;
    for (int32_t i = 0; i < n_vocab && n < n_top; i++) {
        if (key[i] > cut || (key[i] == cut && rest == 0)) continue;
        if (key[i] == cut) rest--;
        top[n++] = (hearth_logprob){i, logits[i]};
    }
    free(key);
    qsort(top, (size_t)n, sizeof *top, compare_likelier);
    return true;
}

bool sample_logprobs(const float *logits, int32_t n_vocab, int32_t token, float *logprob,
                     hearth_logprob *top, int n_top) {
    float max = logits[0];
    for (int32_t i = 1; i < n_vocab; i++)
        if (logits[i] > max) max = logits[i];
    double sum = 0;
    for (int32_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - (double)max);
    double norm = (double)max + log(sum);
    *logprob = (float)((double)logits[token] - norm);
    if (n_top == 0) return true;
    if (!logits_top(logits, n_vocab, top, n_top)) return false;
    for (int i = 0; i < n_top; i++) top[i].logprob = (float)((double)top[i].logprob - norm);
    return true;
}
