/* See obey.h. */
#include "cli/obey.h"

#include <stdlib.h>

#include "base/clock.h"

static int ascending(const void *pa, const void *pb) {
    double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

bool obey_times_add(obey_times *t, double us, err *e) {
    if (t->n == t->cap) {
        size_t cap = t->cap * 2 + 256;
        double *v = realloc(t->us, cap * sizeof *v);
        if (!v) return err_set(e, ERR_NO_FIT, "out of memory");
        t->us = v, t->cap = cap;
    }
    t->us[t->n++] = us;
    return true;
}

void obey_times_deinit(obey_times *t) {
    free(t->us);
    *t = (obey_times){0};
}

obey_figures obey_figures_of(obey_times *t) {
    obey_figures f = {0};
    if (t->n == 0) return f;
    qsort(t->us, t->n, sizeof *t->us, ascending);
    for (size_t i = 0; i < t->n; i++) f.mean += t->us[i] / (double)t->n;
    f.median = t->us[t->n / 2];
    f.p99 = t->us[(t->n - 1) * 99 / 100];
    f.max = t->us[t->n - 1];
    return f;
}

static void by_bytes(grammar_state *s, str text, obey_check *c) {
    for (; c->n < text.n; c->n++)
        if (!grammar_state_accept_bytes(s, (str){text.p + c->n, 1})) break;
    c->stopped = c->n;
    c->accepted = c->n == text.n && grammar_state_may_end(s);
}

/* Each token must be in the mask of its place; the mask of the end is made as well. */
static bool by_tokens(grammar_state *s, const tok *t, const tok_ids *ids, uint64_t *bits,
                      obey_times *times, obey_check *c, err *e) {
    bool fits = true;
    while (fits) {
        uint64_t start = clock_now_ns();
        if (!grammar_state_mask(s, bits))
            return err_set(e, ERR_NO_FIT, "the schema allows too many ways to read this answer");
        double us = (double)(clock_now_ns() - start) * 1e-3;
        if (times && !obey_times_add(times, us, e)) return false;
        if (c->n == ids->n) break;
        int32_t id = ids->id[c->n];
        fits = (bits[id / 64] >> (id % 64) & 1) && grammar_state_accept(s, id);
        if (fits) c->stopped += tok_piece(t, id, false).n, c->n++;
    }
    c->accepted = fits && grammar_state_may_end(s);
    return true;
}

bool obey(grammar *g, const tok *t, const grammar_vocab *v, str text, obey_times *times,
          obey_check *out, err *e) {
    tok_ids ids = {0};
    *out = (obey_check){0};
    grammar_state *s = grammar_state_new(g, v, e);
    if (!s) return false;
    bool ok = true;
    if (!t) by_bytes(s, text, out);
    else {
        uint64_t *bits = calloc(grammar_mask_words(v), sizeof *bits);
        ok = bits ? tok_encode(t, text, TOK_NO_PREFIX, &ids, e)
                  : err_set(e, ERR_NO_FIT, "out of memory");
        ok = ok && by_tokens(s, t, &ids, bits, times, out, e);
        free(bits);
    }
    tok_ids_deinit(&ids);
    grammar_state_free(s);
    return ok;
}
