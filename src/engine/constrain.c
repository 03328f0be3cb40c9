/* Answers that obey a grammar: the public face of src/grammar, and what a request needs of it. The
 * mask is laid over a row of logits just before a token is drawn from it, so a drafted token is
 * right when it is what would have been drawn under the mask: speculation changes nothing. */
#include <math.h>
#include <stdlib.h>

#include "engine/engine_private.h"

struct hearth_grammar {
    grammar *inner;
};

hearth_grammar *hearth_grammar_new(hearth_grammar_kind kind, const char *text, size_t len,
                                   hearth_err *e) {
    err inner = {0};
    str s = {text ? text : "", text ? len : 0};
    hearth_grammar *g = calloc(1, sizeof *g);
    if (!g) err_set(&inner, ERR_FAILED, "out of memory");
    else if (kind == HEARTH_GRAMMAR_JSON_SCHEMA)
        g->inner = grammar_json_schema(s, GRAMMAR_ORDERED, &inner);
    else if (kind == HEARTH_GRAMMAR_JSON_OBJECT) g->inner = grammar_json_object(&inner);
    else if (kind == HEARTH_GRAMMAR_GBNF) g->inner = grammar_gbnf(s, &inner);
    else if (kind == HEARTH_GRAMMAR_RULES) g->inner = grammar_rules(s, &inner);
    else if (kind == HEARTH_GRAMMAR_REGEX) g->inner = grammar_regex(s, &inner);
    else err_set(&inner, ERR_USAGE, "no such kind of grammar: %d", (int)kind);
    if (g && g->inner) return g;
    engine_err_out(e, &inner);
    free(g);
    return NULL;
}

void hearth_grammar_free(hearth_grammar *g) {
    if (!g) return;
    grammar_free(g->inner);
    free(g);
}

size_t hearth_grammar_bytes(const hearth_grammar *g) {
    return sizeof *g + grammar_bytes(g->inner);
}

/* The model's vocabulary, prepared by the first request that needs it. */
static const grammar_vocab *vocab_of(hearth_model *m, err *e) {
    pthread_mutex_lock(&m->vocab_lock);
    const tok *t = model_tok(m->inner);
    if (!t) err_set(e, ERR_USAGE, "a grammar needs a model with a vocabulary");
    else if (!m->vocab) m->vocab = grammar_vocab_new(t, e);
    const grammar_vocab *v = m->vocab;
    pthread_mutex_unlock(&m->vocab_lock);
    return v;
}

bool constrain_begin(hearth_engine *g, hearth_request *r, const hearth_grammar *by, err *e) {
    const grammar_vocab *v = vocab_of(g->model, e);
    if (!v) return false;
    r->allowed = calloc(grammar_mask_words(v), sizeof *r->allowed);
    r->n_allowed = tok_n_vocab(model_tok(g->model->inner));
    if (!r->allowed) return err_set(e, ERR_FAILED, "out of memory");
    r->grammar = grammar_state_new(by->inner, v, e);
    return r->grammar != NULL;
}

bool constrain_logits(hearth_request *r, float *logits, int32_t n_vocab, err *e) {
    if (!grammar_state_mask(r->grammar, r->allowed))
        return err_set(e, ERR_FAILED, "the grammar needs too much memory for this answer");
    int32_t known = n_vocab < r->n_allowed ? n_vocab : r->n_allowed;
    for (int32_t i = 0; i < known; i++)
        if (!(r->allowed[i / 64] >> (i % 64) & 1)) logits[i] = -INFINITY;
    for (int32_t i = known; i < n_vocab; i++) logits[i] = -INFINITY; /* rows without a token */
    return true;
}

bool constrain_accept(hearth_request *r, int32_t id, err *e) {
    return grammar_state_accept(r->grammar, id) ||
           err_set(e, ERR_FAILED, "the grammar is too ambiguous to follow this answer");
}

void constrain_end(hearth_request *r) {
    grammar_state_free(r->grammar);
    free(r->allowed);
}
