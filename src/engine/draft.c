/* Guesses from the text's own past; see draft.h. */
#include "engine/draft.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 1024
#define CAP_LAST 65536

/* Tokens that must agree, longest first, and how far a guess from them may go. */
static const struct {
    int32_t n, most;
} lengths[DRAFT_LENGTHS] = {{8, DRAFT_MOST}, {5, DRAFT_MOST}, {3, 6}, {2, 3}};

/* ---- how well a length does ---- */

#define RATE_FIRST 0.4
#define RATE_LOW 0.1   /* below, a length rests */
#define RATE_BACK 0.15 /* after a rest: two wrong guesses, and it rests again */
#define RATE_GOOD 0.4  /* above, rests are forgotten */
#define RATE_STEP 0.2
#define REST_FIRST 16
#define REST_LAST 1024

static void gauges_init(draft *d) {
    for (int i = 0; i < DRAFT_LENGTHS; i++)
        d->gauge[i] = (draft_gauge){
            .rate = RATE_FIRST, .most = (lengths[i].most + 1) / 2, .rest = REST_FIRST};
}

void draft_learn(draft *d, int32_t n_tried, int32_t n_right) {
    if (n_tried <= 0) return;
    draft_gauge *g = &d->gauge[d->used];
    g->rate += RATE_STEP * ((double)n_right / (double)n_tried - g->rate);
    if (n_right < n_tried) g->most = n_right + 1;
    else if (n_tried >= g->most) g->most = 2 * g->most;
    if (g->most > lengths[d->used].most) g->most = lengths[d->used].most;
    if (g->rate > RATE_GOOD) g->rest = REST_FIRST;
    if (g->rate >= RATE_LOW) return;
    g->since = d->n + n_right + 1 + g->rest;
    g->rate = RATE_BACK;
    if (g->rest < REST_LAST) g->rest *= 2;
}

/* ---- the tables ---- */

void draft_deinit(draft *d) {
    for (int i = 0; i < DRAFT_LENGTHS; i++) free(d->end[i]);
    *d = (draft){0};
}

/* Room for a text of n tokens; what the tables knew is learnt anew. */
static bool tables_fit(draft *d, int32_t n) {
    int32_t cap = d->cap ? d->cap : CAP_FIRST;
    while (cap < n && cap < CAP_LAST) cap *= 2;
    if (cap == d->cap) return true;
    for (int i = 0; i < DRAFT_LENGTHS; i++) {
        free(d->end[i]);
        d->end[i] = calloc((size_t)cap, sizeof *d->end[i]);
    }
    bool first = d->cap == 0;
    d->cap = cap;
    d->seen = 0;
    for (int i = 0; i < DRAFT_LENGTHS; i++)
        if (!d->end[i]) {
            draft_deinit(d);
            return false;
        }
    if (first) gauges_init(d);
    return true;
}

/* Where the `length` tokens that end at `end` are kept. */
static int32_t *slot_of(const draft *d, int i, const int32_t *tokens, int32_t end) {
    uint64_t h = 0;
    for (int32_t k = end - lengths[i].n; k < end; k++)
        h = (h ^ (uint64_t)(uint32_t)tokens[k]) * 0x9E3779B97F4A7C15u + 0x7F4A7C15u;
    return &d->end[i][(h >> 40) & (uint64_t)(d->cap - 1)];
}

/* The last token is left out: what ends with it is what is looked for. */
static void tables_follow(draft *d, const int32_t *tokens, int32_t n) {
    for (int32_t end = d->seen + 1; end < n; end++)
        for (int i = 0; i < DRAFT_LENGTHS; i++)
            if (end >= lengths[i].n) *slot_of(d, i, tokens, end) = end;
    if (n - 1 > d->seen) d->seen = n - 1;
}

/* Where the last tokens ended before; 0: nowhere. Sets d->used. */
static int32_t place_find(draft *d, const int32_t *tokens, int32_t n) {
    for (int i = 0; i < DRAFT_LENGTHS; i++) {
        int32_t len = lengths[i].n;
        if (n <= len) continue;
        int32_t end = *slot_of(d, i, tokens, n);
        if (end == 0) continue;
        if (memcmp(tokens + end - len, tokens + n - len, (size_t)len * sizeof *tokens) != 0)
            continue;
        d->used = i;
        return end;
    }
    return 0;
}

int32_t draft_guess(draft *d, const int32_t *tokens, int32_t n, int32_t most, int32_t *guess) {
    if (most <= 0 || !tables_fit(d, n)) return 0;
    tables_follow(d, tokens, n);
    int32_t end = place_find(d, tokens, n);
    if (end == 0) return 0;
    const draft_gauge *g = &d->gauge[d->used];
    if (n < g->since) return 0;
    d->n = n;
    if (most > g->most) most = g->most;
    /* A guess that reaches the end of the text goes on with its own beginning: a loop. */
    for (int32_t i = 0; i < most; i++)
        guess[i] = end + i < n ? tokens[end + i] : guess[end + i - n];
    return most;
}
