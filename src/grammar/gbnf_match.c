/* Following rules: a place is an element and a stack of what comes behind its rule, so that
 * recursion costs what its depth costs. */
#include "base/limits.h"
#include "grammar/gbnf_private.h"
#include "grammar/lex.h"

static void settle(const gbnf *b, pool *p, const gbnf_frame *up, uint32_t at, spot_set *to,
                   int depth);

static void put(pool *p, spot_set *to, enum place_kind kind, const gbnf_frame *up, uint32_t at,
                int32_t state) {
    place v;
    memset(&v, 0, sizeof v);
    v.kind = (uint8_t)kind;
    v.rule = up;
    v.count = at;
    v.state = state;
    spot_add(p, to, &v);
}

/* What to go back to behind element `at`; a last call needs no way back. False: memory. */
static bool way_back(const gbnf *b, pool *p, const gbnf_frame *up, uint32_t at,
                     const gbnf_frame **out) {
    *out = up;
    if (b->v[at + 1].kind == OP_END) return true;
    gbnf_frame *f = pool_alloc(p, sizeof *f);
    if (!f) return false;
    *f = (gbnf_frame){up, at + 1};
    *out = f;
    return true;
}

/* Every place before a character that `at`, with `up` behind it, leads to. */
static void settle(const gbnf *b, pool *p, const gbnf_frame *up, uint32_t at, spot_set *to,
                   int depth) {
    const element *x = &b->v[at];
    const gbnf_frame *back;
    if (depth > LIMIT_GBNF_DEPTH) {
        p->failed = true;
        return;
    }
    switch (x->kind) {
    case OP_END:
        if (up) settle(b, p, up->up, up->at, to, depth + 1);
        else put(p, to, AT_DONE, NULL, 0, 0);
        return;
    case OP_SET: put(p, to, AT_RULE, up, at, 0); return;
    case OP_FREE:
        put(p, to, AT_FREE, up, at, b->free_text[x->a]->start);
        if (gbnf_nullable(b, x)) settle(b, p, up, at + 1, to, depth + 1);
        return;
    case OP_JSON:
        if (way_back(b, p, up, at, &back))
            json_start(p, b->json[x->a], b, back, schema_root(b->json[x->a]), to);
        return;
    case OP_RULE: break;
    }
    if (!way_back(b, p, up, at, &back)) return;
    const rule *r = &b->rule[x->a];
    for (uint32_t i = 0; i < r->n_alt; i++) settle(b, p, back, r->alt[i], to, depth + 1);
}

void gbnf_start(const gbnf *b, pool *p, spot_set *to) {
    for (uint32_t i = 0; i < b->rule[b->root].n_alt; i++)
        settle(b, p, NULL, b->rule[b->root].alt[i], to, 0);
}

void gbnf_resume(const gbnf *b, pool *p, const gbnf_frame *back, spot_set *to) {
    if (back) settle(b, p, back->up, back->at, to, 0);
    else put(p, to, AT_DONE, NULL, 0, 0);
}

bool gbnf_ends(const gbnf *b, const gbnf_frame *back) {
    for (; back; back = back->up)
        for (uint32_t i = back->at; b->v[i].kind != OP_END; i++)
            if (!gbnf_nullable(b, &b->v[i])) return false;
    return true;
}

static void free_step(const gbnf *b, pool *p, const place *c, uint8_t byte, spot_set *to) {
    const dfa *d = gbnf_free_text(b, c);
    place v = *c;
    lex_result got = lex_follow(d, &v.state, &v.escape, &v.cp, byte);
    if (got != LEX_BAD) spot_add(p, to, &v);
    if (got == LEX_CHAR && d->accept[v.state]) settle(b, p, c->rule, c->count + 1, to, 0);
}

static void set_step(const gbnf *b, pool *p, const place *c, uint8_t byte, spot_set *to) {
    const element *x = &b->v[c->count];
    place v = *c;
    lex_result got = lex_utf8(&v.escape, &v.cp, byte);
    dfa_range want = {v.cp, v.cp};
    if (got == LEX_BAD) return;
    if (got == LEX_MORE) {
        dfa_range r[2];
        lex_ranges(v.escape, v.cp, r);
        want = r[0];
    }
    for (uint32_t i = 0; i < x->b; i++) {
        dfa_range r = b->range[x->a + i];
        if (r.lo > want.hi || r.hi < want.lo) continue;
        if (got == LEX_MORE) spot_add(p, to, &v);
        else settle(b, p, c->rule, c->count + 1, to, 0);
        return;
    }
}

void gbnf_step(const gbnf *b, pool *p, const place *c, uint8_t byte, spot_set *to) {
    if (c->kind == AT_FREE) free_step(b, p, c, byte, to);
    else set_step(b, p, c, byte, to);
}

bool gbnf_is_rules(const gbnf *b) {
    return b && b->rules;
}

const dfa *gbnf_free_text(const gbnf *b, const place *c) {
    return b->free_text[b->v[c->count].a];
}
