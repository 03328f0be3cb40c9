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
} lengths[DRAFT_KINDS] = {{8, DRAFT_MOST, 0.8},
                          {5, DRAFT_MOST, 0.7},
                          {3, 6, 0.5},
                          {2, 4, 0.4},
                          {1, 2, 0.2},
                          [DRAFT_NEAR] = {1, DRAFT_MOST, 0.6},
                          [DRAFT_ALONG] = {0, DRAFT_MOST, 0.5}};

#define SURE 3       /* tokens that agree by more than chance */
#define FOLLOWED 8   /* right guesses in a row that show which place is followed */
#define NEAR 8       /* tokens from that place */
#define ALONG_MOST 3 /* tokens behind the last right guess, for DRAFT_ALONG */
#define LOST 24      /* tokens without a right guess after which no place is followed */

#define EACH_S 1e-9 /* of a guess: a look into a table is nothing beside a step */

void draft_learn(draft *d, int32_t n_tried, int32_t n_right) {
    if (n_tried <= 0) return;
    pace_learn(&d->pace[d->used], n_tried, n_right);
    d->n_right = n_right > 0 ? d->n_right + n_right : 0;
    if (n_right == 0 || (d->back != d->follows && d->n_right < FOLLOWED)) return;
    d->follows = d->back;
    d->right_until = d->n + n_right;
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
    for (int i = 0; first && i < DRAFT_KINDS; i++) pace_begin(&d->pace[i], lengths[i].rate);
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

/* ---- clues ---- */

/* What was said at `place` may follow. */
typedef struct clue {
    int kind;
    int32_t place; /* 0: there is none */
} clue;

/* Where most of the last tokens ended before. */
static clue clue_anywhere(const draft *d, const int32_t *tokens, int32_t n) {
    for (int i = 0; i < DRAFT_LENGTHS; i++) {
        int32_t len = lengths[i].n;
        if (n <= len) continue;
        int32_t end = *slot_of(d, i, tokens, n);
        if (end == 0) continue;
        if (memcmp(tokens + end - len, tokens + n - len, (size_t)len * sizeof *tokens) != 0)
            continue;
        return (clue){i, end};
    }
    return (clue){0};
}

/* Tokens that agree in front of the places a < b, as far as that matters. */
static int32_t agreement(const int32_t *tokens, int32_t a, int32_t b) {
    int32_t n = 0;
    while (n < lengths[0].n && n < a && tokens[a - 1 - n] == tokens[b - 1 - n]) n++;
    return n;
}

/* Beside the place that the text follows: where most tokens agree, and of these the nearest. */
static clue clue_near(const draft *d, const int32_t *tokens, int32_t n) {
    if (d->follows == 0 || n - d->right_until > LOST) return (clue){0};
    int32_t along = n - d->follows, place = 0, most = 0;
    for (int32_t i = 0; i <= 2 * NEAR; i++) {
        int32_t at = along + (i % 2 ? (i + 1) / 2 : -i / 2);
        if (at < 1 || at >= n) continue;
        int32_t same = agreement(tokens, at, n);
        if (same > most) most = same, place = at;
    }
    for (int i = 0; most >= SURE && i < DRAFT_LENGTHS; i++)
        if (most >= lengths[i].n) return (clue){i, place};
    if (most > 0) return (clue){DRAFT_NEAR, place};
    return n - d->right_until <= ALONG_MOST ? (clue){DRAFT_ALONG, along} : (clue){0};
}

/* All that there are, the best first; their number. */
static int clues_find(const draft *d, const int32_t *tokens, int32_t n, clue out[2]) {
    clue near = clue_near(d, tokens, n), any = clue_anywhere(d, tokens, n);
    if (near.place == 0 || any.place == 0) {
        out[0] = near.place ? near : any;
        return out[0].place > 0;
    }
    bool sure = lengths[any.kind].n >= SURE;
    bool better = d->pace[near.kind].rate >= d->pace[any.kind].rate;
    if (near.kind < DRAFT_LENGTHS) better = near.kind <= any.kind; /* agrees in as many at least */
    else if (sure) better = false;
    out[0] = better ? near : any;
    out[1] = better ? any : near;
    return 2;
}

int32_t draft_guess(draft *d, const int32_t *tokens, int32_t n, int32_t most, double least,
                    const cost *target, int32_t *guess) {
    clue clues[2];
    if (most <= 0 || !tables_fit(d, n)) return 0;
    tables_follow(d, tokens, n);
    int n_clues = clues_find(d, tokens, n, clues);
    for (int c = 0; c < n_clues; c++) {
        int kind = clues[c].kind;
        int32_t from = clues[c].place, k = most < lengths[kind].most ? most : lengths[kind].most;
        if (d->pace[kind].rate < least) continue;
        k = pace_most(&d->pace[kind], EACH_S, n, k, target);
        if (k == 0) continue;
        d->used = kind;
        if (d->back != n - from) d->n_right = 0;
        d->back = n - from;
        d->n = n;
        /* A guess that reaches the end of the text goes on with its own beginning: a loop. */
        for (int32_t i = 0; i < k; i++)
            guess[i] = from + i < n ? tokens[from + i] : guess[from + i - n];
        return k;
    }
    return 0;
}
