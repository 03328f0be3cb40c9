/* Sets of places, and one step of any kind of grammar. */
#include "grammar/match.h"

#include "grammar/lex.h"

/* ---- sets ---- */

static bool same_rules(const gbnf_frame *a, const gbnf_frame *b) {
    for (; a != b; a = a->up, b = b->up)
        if (!a || !b || a->at != b->at) return false;
    return true;
}

static bool same_place(const place *a, const place *b) {
    if (a->kind != b->kind) return false;
    if (a->kind == AT_RULE || a->kind == AT_FREE)
        return a->count == b->count && a->state == b->state && a->escape == b->escape &&
               a->cp == b->cp && same_rules(a->rule, b->rule);
    return a->up == b->up && memcmp(a, b, sizeof *a) == 0; /* most differ there: no call for them */
}

/* Of what is not changed once a place is in a set. */
static uint32_t place_hash(const place *c) {
    uint64_t h = (uint64_t)c->kind << 32 ^ (uint32_t)c->state ^ (uint64_t)c->cp << 8;
    if (c->kind != AT_RULE && c->kind != AT_FREE) h ^= (uint64_t)(uintptr_t)c->up;
    h = (h ^ c->count) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}

static void index_put(spot_set *s, uint32_t i) {
    uint32_t at = place_hash(&s->v[i]) & (s->n_index - 1);
    while (s->index[at]) at = (at + 1) & (s->n_index - 1);
    s->index[at] = i + 1;
}

static bool spot_grow(pool *p, spot_set *s) {
    uint32_t cap = s->cap ? s->cap * 4 : 1;
    place *room = pool_alloc(p, cap * sizeof *room);
    uint32_t n_index = cap > 16 ? 32 : 0;
    while (n_index && n_index < 2 * cap) n_index *= 2;
    uint32_t *index = n_index ? pool_alloc(p, n_index * sizeof *index) : NULL;
    if (!room || (n_index && !index)) return false;
    if (s->n) memcpy(room, s->v, s->n * sizeof *room);
    s->v = room, s->cap = cap, s->index = index, s->n_index = n_index;
    for (uint32_t i = 0; index && i < s->n; i++) index_put(s, i);
    return true;
}

static place *spot_find(const spot_set *s, const place *v) {
    if (!s->index) {
        for (uint32_t i = 0; i < s->n; i++)
            if (same_place(&s->v[i], v)) return &s->v[i];
        return NULL;
    }
    uint32_t at = place_hash(v) & (s->n_index - 1);
    for (; s->index[at]; at = (at + 1) & (s->n_index - 1))
        if (same_place(&s->v[s->index[at] - 1], v)) return &s->v[s->index[at] - 1];
    return NULL;
}

place *spot_add(pool *p, spot_set *to, const place *v) {
    place *known = spot_find(to, v);
    if (known) return known;
    if (to->n == LIMIT_MATCH_PLACES) {
        p->failed = true;
        return NULL;
    }
    if (to->n == to->cap && !spot_grow(p, to)) return NULL;
    to->v[to->n] = *v;
    if (to->index) index_put(to, to->n);
    return &to->v[to->n++];
}

/* ---- steps ---- */

static void text_step(const dfa *d, pool *p, const place *c, uint8_t byte, spot_set *to) {
    place v = *c;
    if (lex_follow(d, &v.state, &v.escape, &v.cp, byte) != LEX_BAD) spot_add(p, to, &v);
}

void match_place(grammar *g, pool *p, const place *c, uint8_t byte, spot_set *to) {
    switch (c->kind) {
    case AT_DONE: return;
    case AT_RULE:
    case AT_FREE: gbnf_step(g->gbnf, p, c, byte, to); return;
    case AT_TEXT: text_step(g->text, p, c, byte, to); return;
    default: json_step(g, p, c, byte, to);
    }
}

void match_step(grammar *g, pool *p, const spot_set *from, uint8_t byte, spot_set *to) {
    *to = (spot_set){0};
    for (uint32_t i = 0; i < from->n; i++) match_place(g, p, &from->v[i], byte, to);
    if (p->failed) to->n = 0;
}

void match_ruled(pool *p, const spot_set *from, spot_set *to) {
    *to = (spot_set){0};
    for (uint32_t i = 0; i < from->n; i++)
        if (from->v[i].kind == AT_RULE && !from->v[i].escape) spot_add(p, to, &from->v[i]);
}

bool match_may_end(grammar *g, const spot_set *s) {
    for (uint32_t i = 0; i < s->n; i++) {
        const place *c = &s->v[i];
        if (c->kind == AT_DONE || json_may_end(c) ||
            (c->kind == AT_TEXT && c->escape == 0 && g->text->accept[c->state]))
            return true;
    }
    return false;
}

bool match_start(grammar *g, pool *p, spot_set *to) {
    *to = (spot_set){0};
    if (g->gbnf) {
        gbnf_start(g->gbnf, p, to);
        return !p->failed;
    }
    if (g->schema) return json_start(p, g->schema, NULL, NULL, schema_root(g->schema), to);
    place v;
    memset(&v, 0, sizeof v);
    v.kind = AT_TEXT;
    v.state = g->text->start;
    return spot_add(p, to, &v) != NULL;
}
