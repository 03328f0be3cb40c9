/* Penalties on tokens that occurred lately: repeat, frequency, presence. */
#include "engine/sample_private.h"

#include <stdlib.h>
#include <string.h>

void tally_deinit(tally *t) {
    free(t->token);
    free(t->count);
    *t = (tally){0};
}

static int32_t slot_of(const tally *t, int32_t token) {
    uint32_t i = (uint32_t)token * 2654435761u;
    for (;; i++) {
        int32_t at = (int32_t)(i & (uint32_t)(t->cap - 1));
        if (t->token[at] == token || t->token[at] < 0) return at;
    }
}

/* Twice the room (or the first), and tokens that no longer occur are left behind. */
static bool tally_grow(tally *t) {
    int32_t live = 0;
    for (int32_t i = 0; i < t->cap; i++) live += t->token[i] >= 0 && t->count[i] > 0;
    int32_t cap = 64;
    while (cap < 4 * live + 4) cap *= 2;
    tally old = *t;
    int32_t *token = malloc((size_t)cap * sizeof *token),
            *count = calloc((size_t)cap, sizeof *count);
    if (!token || !count) {
        free(token);
        free(count);
        return false;
    }
    memset(token, 0xff, (size_t)cap * sizeof *token);
    t->token = token;
    t->count = count;
    t->cap = cap;
    t->n = live;
    for (int32_t i = 0; i < old.cap; i++) {
        if (old.token[i] < 0 || old.count[i] == 0) continue;
        int32_t at = slot_of(t, old.token[i]);
        t->token[at] = old.token[i];
        t->count[at] = old.count[i];
    }
    free(old.token);
    free(old.count);
    return true;
}

static bool tally_add(tally *t, int32_t token, int32_t by) {
    if (2 * (t->n + 1) > t->cap && !tally_grow(t)) return false;
    int32_t at = slot_of(t, token);
    if (t->token[at] < 0) {
        t->token[at] = token;
        t->n++;
    }
    t->count[at] += by;
    return true;
}

bool tally_follow(tally *t, const int32_t *tokens, int32_t n, int32_t last_n) {
    if (t->seen == 0 && last_n >= 0 && n > last_n) {
        for (int32_t i = n - last_n; i < n; i++)
            if (!tally_add(t, tokens[i], 1)) return false;
        t->seen = n;
        return true;
    }
    for (; t->seen < n; t->seen++) {
        if (!tally_add(t, tokens[t->seen], 1)) return false;
        if (last_n >= 0 && t->seen >= last_n && !tally_add(t, tokens[t->seen - last_n], -1))
            return false;
    }
    return true;
}

void tally_penalize(const tally *t, float *logits, float repeat, float frequency, float presence) {
    for (int32_t i = 0; i < t->cap; i++) {
        if (t->token[i] < 0 || t->count[i] <= 0) continue;
        float *x = &logits[t->token[i]];
        *x = *x > 0 ? *x / repeat : *x * repeat;
        *x -= (float)t->count[i] * frequency + presence;
    }
}
