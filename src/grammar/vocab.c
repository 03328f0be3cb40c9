#include "grammar/vocab.h"

#include <stdlib.h>

#include "grammar/lex.h"

static int entry_order(const void *pa, const void *pb) {
    const token_entry *a = pa, *b = pb;
    size_t n = a->bytes.n < b->bytes.n ? a->bytes.n : b->bytes.n;
    int c = n ? memcmp(a->bytes.p, b->bytes.p, n) : 0;
    if (c) return c;
    if (a->bytes.n != b->bytes.n) return a->bytes.n < b->bytes.n ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

void trie_free(token_trie *t) {
    free(t->byte), free(t->depth), free(t->skip), free(t->token), free(t->first);
}

bool trie_build(token_trie *t, token_entry *v, size_t n) {
    size_t nodes = 0;
    if (n) qsort(v, n, sizeof *v, entry_order);
    for (size_t i = 0; i < n; i++) nodes += v[i].bytes.n;
    t->byte = malloc(nodes + 1);
    t->depth = malloc((nodes + 1) * sizeof *t->depth);
    t->skip = malloc((nodes + 1) * sizeof *t->skip);
    t->token = malloc((n + 1) * sizeof *t->token);
    t->first = malloc((nodes + 2) * sizeof *t->first);
    uint32_t *open = malloc((UINT16_MAX + 1) * sizeof *open); /* nodes on the present path */
    bool ok = t->byte && t->depth && t->skip && t->token && t->first && open;
    size_t depth = 0;
    for (size_t i = 0; ok && i < n; i++) {
        str b = v[i].bytes, before = i ? v[i - 1].bytes : STR("");
        size_t same = 0;
        while (same < b.n && same < before.n && b.p[same] == before.p[same]) same++;
        for (; depth > same; depth--) t->skip[open[depth - 1]] = t->n;
        for (; depth < b.n; depth++) {
            open[depth] = t->n;
            t->byte[t->n] = (uint8_t)b.p[depth];
            t->depth[t->n] = (uint16_t)depth;
            t->first[t->n++] = (uint32_t)i;
        }
        t->token[i] = v[i].token;
        if (b.n > t->max_depth) t->max_depth = (uint32_t)b.n;
    }
    for (; ok && depth > 0; depth--) t->skip[open[depth - 1]] = t->n;
    if (ok) t->first[t->n] = (uint32_t)n;
    free(open);
    return ok;
}

typedef enum stay { STAY_BAD, STAY_INSIDE, STAY_LEAVES } stay;

/* How a token goes through a string without rules; *chars: characters, also one begun. */
static stay classify(str b, size_t *quote, size_t *chars) {
    uint8_t escape = 0;
    uint32_t cp = 0;
    *chars = 0;
    for (size_t i = 0; i < b.n; i++) {
        switch (lex_json(&escape, &cp, (uint8_t)b.p[i])) {
        case LEX_BAD: return STAY_BAD;
        case LEX_END: *quote = i; return STAY_LEAVES;
        case LEX_CHAR: ++*chars; break;
        case LEX_MORE: break;
        }
    }
    if (escape) ++*chars;
    return STAY_INSIDE;
}

static int length_order(const void *a, const void *b, void *ud) {
    const uint16_t *length = ud;
    int x = length[*(const int32_t *)a], y = length[*(const int32_t *)b];
    return x != y ? y - x : *(const int32_t *)a - *(const int32_t *)b;
}

static bool build_strings(grammar_vocab *v, token_entry *all, size_t n) {
    token_entry *leaves = malloc((n + 1) * sizeof *leaves),
                *after = malloc((n + 1) * sizeof *after);
    v->inside = calloc((VOCAB_LEFT + 1) * v->words, sizeof *v->inside);
    v->by_length = malloc((n + 1) * sizeof *v->by_length);
    v->length = calloc((size_t)v->n_vocab + 1, sizeof *v->length);
    v->leaver = malloc((n + 1) * sizeof *v->leaver);
    bool ok = leaves && after && v->inside && v->by_length && v->length && v->leaver;
    for (size_t i = 0; ok && i < n; i++) {
        size_t quote = 0, chars = 0;
        int32_t id = all[i].token;
        stay s = classify(all[i].bytes, &quote, &chars);
        if (s == STAY_INSIDE) {
            v->length[id] = (uint16_t)(chars < UINT16_MAX ? chars : UINT16_MAX);
            v->by_length[v->n_by_length++] = id;
            for (size_t left = chars < VOCAB_LEFT ? chars : VOCAB_LEFT; left <= VOCAB_LEFT; left++)
                v->inside[left * v->words + (size_t)id / 64] |= 1ull << (id % 64);
        } else if (s == STAY_LEAVES) {
            str rest = {all[i].bytes.p + quote + 1, all[i].bytes.n - quote - 1};
            leaves[v->n_leavers] = all[i];
            after[v->n_leavers] = (token_entry){rest, (int32_t)v->n_leavers};
            v->leaver[v->n_leavers].token = id;
            v->leaver[v->n_leavers++].before = (uint16_t)chars;
        }
    }
    if (ok) {
        qsort_r(v->by_length, v->n_by_length, sizeof *v->by_length, length_order, v->length);
        ok = trie_build(&v->leaving, leaves, v->n_leavers) &&
             trie_build(&v->after, after, v->n_leavers);
    }
    free(leaves), free(after);
    return ok;
}

grammar_vocab *grammar_vocab_new(const tok *t, err *e) {
    grammar_vocab *v = calloc(1, sizeof *v);
    token_entry *all = malloc(((size_t)tok_n_vocab(t) + 1) * sizeof *all);
    token_entry *controls = malloc(((size_t)tok_n_vocab(t) + 1) * sizeof *controls);
    bool ok = v && all && controls;
    size_t n = 0, n_controls = 0;
    if (ok) {
        v->t = t;
        v->n_vocab = tok_n_vocab(t);
        v->words = ((size_t)v->n_vocab + 63) / 64;
        for (int32_t i = 0; i < v->n_vocab; i++) {
            str piece = tok_piece(t, i, false);
            tok_attr a = tok_attr_of(t, i);
            str shown = tok_piece(t, i, true);
            if (a == TOK_CONTROL && shown.n && shown.n <= UINT16_MAX && !tok_is_end(t, i))
                controls[n_controls++] = (token_entry){shown, i};
            if (piece.n == 0 || piece.n > UINT16_MAX || a == TOK_CONTROL || a == TOK_UNKNOWN ||
                a == TOK_UNUSED)
                continue;
            all[n++] = (token_entry){piece, i};
        }
        ok = build_strings(v, all, n) && trie_build(&v->all, all, n) &&
             trie_build(&v->controls, controls, n_controls);
    }
    free(all), free(controls);
    if (ok) return v;
    err_set(e, ERR_NO_FIT, "out of memory");
    grammar_vocab_free(v);
    return NULL;
}

void grammar_vocab_free(grammar_vocab *v) {
    if (!v) return;
    trie_free(&v->all), trie_free(&v->controls), trie_free(&v->leaving), trie_free(&v->after);
    free(v->inside), free(v->by_length), free(v->length), free(v->leaver);
    free(v);
}

size_t grammar_mask_words(const grammar_vocab *v) {
    return v->words;
}
