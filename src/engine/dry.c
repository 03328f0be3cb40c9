/* DRY, "don't repeat yourself" (p-e-w, 2024): a token that would continue a repetition of the last
 * L tokens is made less likely by multiplier * base^(L - allowed_length), L at least
 * allowed_length.
 *
 * A repetition does not reach across a breaker: a text such as a newline. The rule is about the
 * text, not about how it is cut into tokens: a token breaks when a breaker's text ends within it.
 */
#include "engine/sample_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dry {
    double multiplier, base;
    int32_t allowed_length, last_n;
    sampler_piece_fn piece;
    const void *ud;
    char **breaker; /* NULL-terminated */
    size_t longest; /* of the breakers, bytes */
    char *text;     /* the end of the text so far: at most longest - 1 bytes, then the next piece */
    size_t n_text, cap_text;
    int32_t seen;       /* tokens of the history whose breakers are known */
    int32_t last_break; /* index of the last token that breaks, -1: none */
    int32_t *z;         /* [cap_z] */
    int32_t cap_z;
    int32_t n_vocab;
    int32_t
        *length; /* [n_vocab] longest repetition that this token would continue; 0 between calls */
};

static const char *const default_breakers[] = {"\n", ":", "\"", "*", NULL};

static bool breakers_copy(dry *d, const char *const *list) {
    size_t n = 0;
    while (list[n]) n++;
    d->breaker = calloc(n + 1, sizeof *d->breaker);
    if (!d->breaker) return false;
    for (size_t i = 0; i < n; i++) {
        if (!(d->breaker[i] = strdup(list[i]))) return false;
        size_t len = strlen(list[i]);
        if (len > d->longest) d->longest = len;
    }
    return true;
}

dry *dry_new(const hearth_params *p, int32_t n_vocab, sampler_piece_fn piece, const void *ud,
             err *e) {
    dry *d = calloc(1, sizeof *d);
    if (d) {
        d->multiplier = (double)p->dry_multiplier;
        d->base = (double)p->dry_base;
        d->allowed_length = p->dry_allowed_length;
        d->last_n = p->dry_last_n;
        d->piece = piece;
        d->ud = ud;
        d->last_break = -1;
        d->n_vocab = n_vocab;
        d->length = calloc((size_t)n_vocab, sizeof *d->length);
    }
    if (!d || !d->length ||
        !breakers_copy(d, p->dry_breakers ? p->dry_breakers : default_breakers)) {
        dry_free(d);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    return d;
}

void dry_restart(dry *d) {
    d->n_text = 0;
    d->seen = 0;
    d->last_break = -1;
}

void dry_free(dry *d) {
    if (!d) return;
    for (size_t i = 0; d->breaker && d->breaker[i]; i++) free(d->breaker[i]);
    free(d->breaker);
    free(d->text);
    free(d->z);
    free(d->length);
    free(d);
}

/* True when some breaker ends in the last n_new bytes of the text. */
static bool text_breaks(const dry *d, size_t n_new) {
    for (size_t i = 0; d->breaker[i]; i++) {
        size_t len = strlen(d->breaker[i]), back = n_new + len - 1;
        if (len == 0) continue;
        if (back > d->n_text) back = d->n_text;
        if (memmem(d->text + d->n_text - back, back, d->breaker[i], len)) return true;
    }
    return false;
}

static bool dry_take(dry *d, int32_t token, int32_t index) {
    str s = d->piece ? d->piece(d->ud, token) : (str){"", 0};
    if (s.n == 0 || d->longest == 0) return true;
    if (d->n_text + s.n > d->cap_text) {
        size_t cap = 2 * (d->n_text + s.n);
        char *text = realloc(d->text, cap);
        if (!text) return false;
        d->text = text;
        d->cap_text = cap;
    }
    memcpy(d->text + d->n_text, s.p, s.n);
    d->n_text += s.n;
    if (text_breaks(d, s.n)) d->last_break = index;
    size_t keep = d->longest - 1;
    if (d->n_text > keep) {
        memmove(d->text, d->text + d->n_text - keep, keep);
        d->n_text = keep;
    }
    return true;
}

/* z[i]: how many tokens before tokens[n - i], going back, are those at the end, going back; i >= 1.
 * The Z-function of the history read backwards, in linear time. */
static void repeats_find(const int32_t *tokens, int32_t n, int32_t *z) {
    const int32_t *end = tokens + n - 1;
    int32_t left = 0, right = 0;
    for (int32_t i = 1; i < n; i++) {
        int32_t len = 0;
        if (i < right) len = z[i - left] < right - i ? z[i - left] : right - i;
        while (i + len < n && end[-len] == end[-i - len]) len++;
        z[i] = len;
        if (i + len > right) {
            left = i;
            right = i + len;
        }
    }
}

static bool z_reserve(dry *d, int32_t n) {
    if (n <= d->cap_z) return true;
    int32_t *z = realloc(d->z, 2 * (size_t)n * sizeof *z);
    if (!z) return false;
    d->z = z;
    d->cap_z = 2 * n;
    return true;
}

bool dry_penalize(dry *d, float *logits, const int32_t *tokens, int32_t n) {
    for (; d->seen < n; d->seen++)
        if (!dry_take(d, tokens[d->seen], d->seen)) return false;
    int32_t look = d->last_n < 0 || d->last_n > n ? n : d->last_n;
    int32_t reach = n - 1 - d->last_break; /* tokens since the last break */
    if (look < 2 || reach < 1 || reach < d->allowed_length) return true;
    if (!z_reserve(d, look)) return false;
    repeats_find(tokens + n - look, look, d->z);
    for (int32_t i = 1; i < look; i++) {
        int32_t len = d->z[i] < reach ? d->z[i] : reach;
        int32_t follows = tokens[n - i];
        if (len > 0 && len >= d->allowed_length && len > d->length[follows])
            d->length[follows] = len;
    }
    for (int32_t i = 1; i < look; i++) {
        int32_t follows = tokens[n - i], len = d->length[follows];
        if (len == 0) continue;
        double penalty = d->multiplier * pow(d->base, (double)(len - d->allowed_length));
        logits[follows] -= (float)(penalty < 1e30 ? penalty : 1e30);
        d->length[follows] = 0;
    }
    return true;
}
