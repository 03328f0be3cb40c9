/* Tokens that are put in instead of being drawn: what a grammar leaves no choice about (keys,
 * punctuation), and what closes a thought that has had its tokens. They cost no step of their own:
 * the next step computes them together, as it does a prompt. */
#include <stdlib.h>

#include "engine/engine_private.h"

#define FORCED_BYTES 512 /* looked ahead for at a time */

/* Whether the tokens' texts are `text`, as it stands. */
static bool says(const tok *t, const tok_ids *ids, str text) {
    size_t at = 0;
    for (size_t i = 0; i < ids->n; i++) {
        str p = tok_piece(t, ids->id[i], true);
        if (p.n > text.n - at || memcmp(p.p, text.p + at, p.n) != 0) return false;
        at += p.n;
    }
    return at == text.n;
}

/* Drops the first queued token that the grammar refuses, and what follows it: a control token whose
 * text stands in a value. */
static bool keep_allowed(hearth_request *r, err *e) {
    grammar_state *s = grammar_state_copy(r->grammar, e);
    size_t n = 0;
    while (s && n < r->forced.n && grammar_state_accept(s, r->forced.id[n])) n++;
    r->forced.n = n;
    grammar_state_free(s);
    return s != NULL;
}

/* Queues the tokens of a text; without the last one where `open`: a longer token might begin like
 * it, and that is the model's choice. Queues nothing where they are not the text. */
static bool queue_text(const hearth_engine *g, hearth_request *r, str text, unsigned flags,
                       bool open, err *e) {
    r->forced.n = r->n_forced = 0;
    if (!tok_encode(g->tok, text, flags | TOK_NO_PREFIX, &r->forced, e)) return false;
    if (!says(g->tok, &r->forced, text)) r->forced.n = 0;
    if (open && r->forced.n > 0) r->forced.n--;
    return !r->grammar || keep_allowed(r, e);
}

/* What the grammar leaves no choice about. */
static bool queue_grammar(const hearth_engine *g, hearth_request *r, err *e) {
    char text[FORCED_BYTES];
    size_t n = grammar_state_forced(r->grammar, text, sizeof text);
    if (n < 2) return true;
    bool special = grammar_has_controls(r->grammar);
    return queue_text(g, r, (str){text, n}, special ? TOK_SPECIAL : 0, true, e);
}

static bool queue_more(const hearth_engine *g, hearth_request *r, str piece, err *e) {
    if (thought_follow(&r->thought, piece))
        return queue_text(g, r, str_of(r->thought.close), TOK_SPECIAL, false, e);
    if (!r->grammar || r->n_forced < r->forced.n) return true;
    return queue_grammar(g, r, e);
}

bool force_begin(const hearth_engine *g, hearth_request *r, err *e) {
    return !g->tok || queue_more(g, r, STR(""), e);
}

bool force_more(const hearth_engine *g, hearth_request *r, int32_t drawn, err *e) {
    if (!g->tok || (!r->grammar && r->thought.left < 0)) return true;
    return queue_more(g, r, tok_piece(g->tok, drawn, true), e);
}

int32_t force_take(hearth_request *r) {
    return r->n_forced < r->forced.n ? r->forced.id[r->n_forced++] : -1;
}
