/* Guesses from the text's own past; see draft.h. */
#include "engine/draft.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 1024
#define CAP_LAST 65536

/* Tokens that must agree, longest first; how far a guess from them may go; and the share of its
 * tokens that is right, as long as nothing is known. */
static const struct {
    int32_t n, most;
    double rate;
} lengths[DRAFT_LENGTHS] = {
    {8, DRAFT_MOST, 0.8}, {5, DRAFT_MOST, 0.7}, {3, 6, 0.5}, {2, 4, 0.4}, {1, 2, 0.2}};

#define EACH_S 1e-9 /* of a guess: a look into a table is nothing beside a step */

void draft_learn(draft *d, int32_t n_tried, int32_t n_right) {
    if (n_tried > 0) pace_learn(&d->pace[d->used], n_tried, n_right);
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
    for (int i = 0; first && i < DRAFT_LENGTHS; i++) pace_begin(&d->pace[i], lengths[i].rate);
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

int32_t draft_guess(draft *d, const int32_t *tokens, int32_t n, int32_t most, double least,
                    const cost *target, int32_t *guess) {
    if (most <= 0 || !tables_fit(d, n)) return 0;
    tables_follow(d, tokens, n);
    int32_t end = place_find(d, tokens, n);
    if (end == 0 || d->pace[d->used].rate < least) return 0;
    if (most > lengths[d->used].most) most = lengths[d->used].most;
    most = pace_most(&d->pace[d->used], EACH_S, n, most, target);
    /* A guess that reaches the end of the text goes on with its own beginning: a loop. */
    for (int32_t i = 0; i < most; i++)
        guess[i] = end + i < n ? tokens[end + i] : guess[end + i - n];
    return most;
}
