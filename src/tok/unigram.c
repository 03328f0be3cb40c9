/* Unigram: of all ways to cut the text into tokens, the one with the highest sum of scores
 * (Viterbi).
 *
 * For a position only the last token of its best way is kept, its length telling where that began;
 * sums of scores live in a ring as long as the longest token. So the lattice takes 4 bytes a byte
 * of normalised text, and the trie bounds the work per position. */
#include "tok/tok_private.h"

#include <math.h>
#include <stdlib.h>

enum { STEP_UNKNOWN = -1 }; /* one unknown character */

typedef struct lattice {
    const tok *t;
    str text;
    int32_t *step; /* [text.n + 1] the token that ends here */
    double *sum;   /* ring: best sum at a position, -INFINITY: not reached */
    size_t mask;
} lattice;

static size_t char_len(str s, size_t at) {
    int n = utf8_len(s.p + at, s.n - at);
    return n > 0 ? (size_t)n : 1;
}

static void offer(lattice *l, size_t to, double sum, int32_t step) {
    if (!(sum > l->sum[to & l->mask])) return;
    l->sum[to & l->mask] = sum;
    l->step[to] = step;
}

static void extend(lattice *l, size_t at) {
    const tok *t = l->t;
    double here = l->sum[at & l->mask];
    size_t one = char_len(l->text, at);
    bool one_known = false;
    uint32_t node = TRIE_ROOT;
    for (size_t end = at; end < l->text.n;) {
        node = trie_step(&t->words, node, (unsigned char)l->text.p[end]);
        if (node == TRIE_NONE) break;
        end++;
        int32_t id = t->words.value[node];
        if (id < 0) continue;
        if (end - at == one) one_known = true;
        offer(l, end, here + (t->attr[id] == TOK_USER_DEFINED ? 0.0 : (double)t->score[id]), id);
    }
    if (!one_known) offer(l, at + one, here + (double)t->unknown_score, STEP_UNKNOWN);
}

static void forward(lattice *l) {
    for (size_t i = 0; i <= l->mask; i++) l->sum[i] = -INFINITY;
    l->sum[0] = 0;
    for (size_t at = 0; at < l->text.n; at++) {
        if (l->sum[at & l->mask] > -INFINITY) extend(l, at);
        l->sum[at & l->mask] = -INFINITY; /* the ring's place is free for at + mask + 1 */
    }
}

/* The length of the unknown character that ends at `to`. */
static size_t unknown_len(str s, size_t to) {
    for (size_t n = 4; n > 1; n--)
        if (n <= to && utf8_len(s.p + to - n, n) == (int)n) return n;
    return 1;
}

/* Walks back from the end, leaving ids in reverse. */
static bool backward(encoder *x, const lattice *l) {
    const tok *t = x->t;
    bool after_unknown = false;
    for (size_t to = l->text.n; to > 0;) {
        int32_t id = l->step[to];
        size_t n = id == STEP_UNKNOWN ? unknown_len(l->text, to) : tok_text(t, id).n;
        if (id != STEP_UNKNOWN) {
            if (!encoder_push(x, id)) return false;
        } else if (t->has_bytes) {
            for (size_t i = 0; i < n; i++)
                if (!encoder_push(x, t->byte_id[(unsigned char)l->text.p[to - 1 - i]]))
                    return false;
        } else if (!after_unknown && !encoder_push(x, t->unk)) {
            return false;
        }
        after_unknown = id == STEP_UNKNOWN;
        to -= n;
    }
    return true;
}

static bool best_reserve(encoder *x, size_t n) {
    if (n <= x->best_cap) return true;
    free(x->best);
    x->best = malloc(n * sizeof *x->best);
    x->best_cap = x->best ? n : 0;
    return x->best || tok_oom(x->e);
}

bool encode_unigram(encoder *x, str text, bool prefix) {
    const tok *t = x->t;
    buf_clear(&x->text);
    if (!normalise_text(t->chars_map, text, t->squeeze_spaces, prefix, &x->text))
        return tok_oom(x->e);
    lattice l = {.t = t, .text = buf_str(&x->text), .mask = 7};
    while (l.mask < t->longest + 4) l.mask = l.mask * 2 + 1;
    if (!best_reserve(x, l.text.n + 1)) return false;
    l.step = x->best;
    l.sum = malloc((l.mask + 1) * sizeof *l.sum);
    if (!l.sum) return tok_oom(x->e);
    forward(&l);
    free(l.sum);

    size_t first = x->ids->n;
    if (!backward(x, &l)) return false;
    for (size_t i = first, k = x->ids->n; i + 1 < k; i++) {
        int32_t swap = x->ids->id[i];
        x->ids->id[i] = x->ids->id[--k];
        x->ids->id[k] = swap;
    }
    return true;
}
