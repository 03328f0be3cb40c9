/* Which tokens may come next.
 *
 * In general: a walk over the trie of all tokens, one step a byte, leaving a branch where nothing
 * goes on. Outside strings that is fast, as few bytes are allowed. Inside a string nearly every
 * token is allowed, and these are known beforehand: those that stay inside are one mask (per
 * state of the string's automaton, made when it is first met; for a string without rules, made
 * once a vocabulary), and of those that close the string only what follows the quote is walked,
 * once for all tokens with the same rest. A text that goes by an automaton is treated alike: what
 * the automaton lets through is known beforehand, and only the few other tokens are walked. */
#include <stdlib.h>

#include "grammar/lex.h"
#include "grammar/match.h"
#include "grammar/vocab.h"

static void set_bit(uint64_t *bits, int32_t token) {
    bits[token / 64] |= 1ull << (token % 64);
}

/* Walks a trie from `start`; each() gets a node's entries where every byte is allowed. */
static void walk(grammar *g, pool *p, const token_trie *t, const spot_set *start,
                 void (*each)(void *ud, uint32_t from, uint32_t to), void *ud) {
    typedef struct level {
        spot_set at;
        pool_mark mark;
    } level;
    pool_mark base = pool_now(p);
    level *stack = pool_alloc(p, (t->max_depth + 2) * sizeof *stack);
    if (!stack) return;
    stack[0].at = *start;
    stack[0].mark = pool_now(p);
    for (uint32_t i = 0; i < t->n && !p->failed;) {
        level *now = &stack[t->depth[i]];
        pool_back(p, now->mark);
        match_step(g, p, &now->at, t->byte[i], &now[1].at);
        if (now[1].at.n == 0) {
            i = t->skip[i];
            continue;
        }
        now[1].mark = pool_now(p);
        if (t->first[i + 1] > t->first[i]) each(ud, t->first[i], t->first[i + 1]);
        i++;
    }
    pool_back(p, base);
}

typedef struct sink {
    const token_trie *t;
    uint64_t *bits;
} sink;

static void mark_tokens(void *ud, uint32_t from, uint32_t to) {
    sink *s = ud;
    for (uint32_t i = from; i < to; i++) set_bit(s->bits, s->t->token[i]);
}

/* ---- strings with an automaton ---- */

struct lex_mask {
    const dfa *lang;
    int32_t state;
    const grammar_vocab *v;
    bool plain;        /* a text as it stands, not a JSON string */
    uint64_t *inside;  /* [words] */
    uint64_t *leavers; /* string: [n_leavers bits] whose part before the quote is a whole text */
    token_trie dying;  /* plain: tokens that the automaton does not let through */
};

static uint64_t mask_hash(const dfa *d, int32_t state, const grammar_vocab *v) {
    uint64_t h = ((uint64_t)(uintptr_t)d >> 4) * 0x9E3779B97F4A7C15u + (uint64_t)state;
    h = (h ^ ((uint64_t)(uintptr_t)v >> 4)) * 0xBF58476D1CE4E5B9u;
    return h ^ (h >> 31);
}

typedef struct lex_place {
    const dfa *lang;
    int32_t state;
    uint8_t escape;
    uint32_t cp;
} lex_place;

static bool lang_live(const void *ud, uint32_t lo, uint32_t hi) {
    const lex_place *x = ud;
    return dfa_live_between(x->lang, x->state, lo, hi);
}

/* All tokens through the automaton alone: those that stay, and those that leave rightly. */
static bool lex_fill(lex_mask *m, pool *p) {
    const grammar_vocab *v = m->v;
    pool_mark base = pool_now(p);
    uint32_t deep = v->all.max_depth + 2;
    lex_place *stack = pool_alloc(p, deep * sizeof *stack);
    if (!stack) return false;
    const token_trie *t = &v->all;
    stack[0] = (lex_place){m->lang, m->state, 0, 0};
    for (uint32_t i = 0; i < t->n;) {
        lex_place *now = &stack[t->depth[i]];
        lex_place x = *now;
        lex_result got = lex_json(&x.escape, &x.cp, t->byte[i]);
        bool lives = false;
        if (got == LEX_CHAR) {
            x.state = dfa_step(m->lang, x.state, x.cp);
            x.cp = 0;
            lives = x.state != 0;
        } else if (got == LEX_MORE) lives = lex_json_lives(x.escape, x.cp, lang_live, &x);
        if (!lives) {
            i = t->skip[i];
            continue;
        }
        now[1] = x;
        for (uint32_t k = t->first[i]; k < t->first[i + 1]; k++) set_bit(m->inside, t->token[k]);
        i++;
    }
    for (uint32_t i = 0; i < v->n_leavers; i++) {
        str b = tok_piece(v->t, v->leaver[i].token, false);
        lex_place x = {m->lang, m->state, 0, 0};
        for (size_t k = 0; k < b.n && x.state; k++) {
            lex_result got = lex_json(&x.escape, &x.cp, (uint8_t)b.p[k]);
            if (got == LEX_END) {
                if (m->lang->accept[x.state]) m->leavers[i / 64] |= 1ull << (i % 64);
                break;
            }
            if (got == LEX_CHAR) x.state = dfa_step(m->lang, x.state, x.cp), x.cp = 0;
        }
    }
    pool_back(p, base);
    return true;
}

/* How far the automaton lets a token's bytes through: all of them? */
static bool text_lives(const dfa *d, int32_t state, str bytes) {
    uint8_t escape = 0;
    uint32_t cp = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        lex_result got = lex_utf8(&escape, &cp, (uint8_t)bytes.p[i]);
        if (got == LEX_BAD) return false;
        if (got == LEX_MORE) continue;
        state = dfa_step(d, state, cp);
        cp = 0;
        if (!state) return false;
    }
    dfa_range r[2];
    if (!escape) return true;
    lex_ranges(escape, cp, r);
    return dfa_live_between(d, state, r[0].lo, r[0].hi);
}

/* The same for a plain text. What does not live may still be allowed by what follows the text. */
static bool text_fill(lex_mask *m) {
    const grammar_vocab *v = m->v;
    const token_trie *t = &v->all;
    size_t n_tokens = t->n ? t->first[t->n] : 0, n = 0;
    token_entry *dying = malloc((n_tokens + 1) * sizeof *dying);
    if (!dying) return false;
    for (size_t i = 0; i < n_tokens; i++) {
        str bytes = tok_piece(v->t, t->token[i], false);
        if (text_lives(m->lang, m->state, bytes)) set_bit(m->inside, t->token[i]);
        else dying[n++] = (token_entry){bytes, t->token[i]};
    }
    bool ok = trie_build(&m->dying, dying, n);
    free(dying);
    return ok;
}

static void lex_clear(lex_mask *m) {
    free(m->inside);
    free(m->leavers);
    trie_free(&m->dying);
    memset(m, 0, sizeof *m);
}

void mask_free(grammar *g) {
    for (size_t i = 0; i < g->cap_masks; i++) lex_clear(&g->mask[i]);
    free(g->mask);
}

static bool table_grow(grammar *g) {
    size_t cap = g->cap_masks ? g->cap_masks * 2 : 64;
    lex_mask *t = calloc(cap, sizeof *t);
    if (!t) return false;
    for (size_t k = 0; k < g->cap_masks; k++) {
        if (!g->mask[k].lang) continue;
        size_t i = mask_hash(g->mask[k].lang, g->mask[k].state, g->mask[k].v) & (cap - 1);
        while (t[i].lang) i = (i + 1) & (cap - 1);
        t[i] = g->mask[k];
    }
    free(g->mask);
    g->mask = t, g->cap_masks = cap;
    return true;
}

/* The masks of a state of an automaton; NULL: memory. */
static const lex_mask *lex_find(grammar *g, pool *p, const grammar_vocab *v, const dfa *lang,
                                int32_t state, bool plain) {
    size_t bytes = (v->words + v->n_leavers / 64 + 1) * sizeof(uint64_t);
    if (g->mask_bytes + bytes > LIMIT_MASK_BYTES) { /* all of it goes: simple, and rare */
        mask_free(g);
        g->mask = NULL;
        g->n_masks = g->cap_masks = g->mask_bytes = 0;
    }
    if (g->n_masks * 2 >= g->cap_masks && !table_grow(g)) return NULL;
    size_t i = mask_hash(lang, state, v) & (g->cap_masks - 1);
    for (; g->mask[i].lang; i = (i + 1) & (g->cap_masks - 1))
        if (g->mask[i].lang == lang && g->mask[i].state == state && g->mask[i].v == v)
            return &g->mask[i];
    lex_mask m = {.lang = lang, .state = state, .v = v, .plain = plain};
    m.inside = calloc(v->words, sizeof *m.inside);
    m.leavers = calloc(v->n_leavers / 64 + 1, sizeof *m.leavers);
    if (!m.inside || !m.leavers || !(plain ? text_fill(&m) : lex_fill(&m, p))) {
        lex_clear(&m);
        return NULL;
    }
    g->mask[i] = m;
    g->n_masks++;
    g->mask_bytes += bytes + m.dying.n * 12;
    return &g->mask[i];
}

/* ---- what closes a string ---- */

typedef struct leave_sink {
    const grammar_vocab *v;
    uint64_t *bits;
    const uint64_t *right; /* leavers whose text is whole, or NULL: */
    uint32_t min, max;     /* those with so many characters before the quote */
} leave_sink;

static void mark_leaver(const leave_sink *s, uint32_t k) {
    uint32_t before = s->v->leaver[k].before;
    if (s->right ? s->right[k / 64] >> (k % 64) & 1 : before >= s->min && before <= s->max)
        set_bit(s->bits, s->v->leaver[k].token);
}

static void mark_leavers(void *ud, uint32_t from, uint32_t to) {
    leave_sink *s = ud;
    for (uint32_t i = from; i < to; i++) mark_leaver(s, (uint32_t)s->v->after.token[i]);
}

/* `closed`: where the quote leads, the same whatever was before it. */
static void leave(grammar *g, pool *p, const spot_set *closed, leave_sink *s) {
    const token_trie *t = &s->v->after;
    if (closed->n == 0) return;
    mark_leavers(s, 0, t->n ? t->first[0] : s->v->n_leavers); /* nothing after the quote */
    walk(g, p, t, closed, mark_leavers, s);
}

/* ---- places inside strings ---- */

static void or_words(uint64_t *to, const uint64_t *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] |= from[i];
}

/* A plain text: what lives in it, and of the rest what goes on behind it. */
static bool plain_text(grammar *g, pool *p, const grammar_vocab *v, const place *c,
                       uint64_t *bits) {
    const dfa *d = c->kind == AT_TEXT ? g->text : gbnf_free_text(g->gbnf, c);
    const lex_mask *m = lex_find(g, p, v, d, c->state, true);
    if (!m) return false;
    or_words(bits, m->inside, v->words);
    if (c->kind == AT_TEXT) return true;
    spot_set here = {0};
    spot_add(p, &here, c);
    sink s = {&m->dying, bits};
    walk(g, p, &m->dying, &here, mark_tokens, &s);
    return true;
}

/* Control tokens whose text rules have here. */
static void controls(grammar *g, pool *p, const grammar_vocab *v, const spot_set *now,
                     uint64_t *bits) {
    spot_set ruled;
    sink s = {&v->controls, bits};
    match_ruled(p, now, &ruled);
    if (ruled.n) walk(g, p, &v->controls, &ruled, mark_tokens, &s);
}

/* Tokens that stay inside a string without rules. */
static void free_inside(pool *p, const grammar_vocab *v, const place *c, uint64_t *bits) {
    uint32_t left = c->str->max == UINT32_MAX ? UINT32_MAX : c->str->max - c->count;
    if (left < VOCAB_LEFT) or_words(bits, v->inside + left * v->words, v->words);
    else if (v->n_by_length == 0 || v->length[v->by_length[0]] <= left)
        or_words(bits, v->inside + VOCAB_LEFT * v->words, v->words);
    else { /* a few tokens are longer than what is left */
        uint64_t *mine = pool_alloc(p, v->words * sizeof *mine);
        if (!mine) return;
        memcpy(mine, v->inside + VOCAB_LEFT * v->words, v->words * sizeof *mine);
        for (uint32_t i = 0; i < v->n_by_length && v->length[v->by_length[i]] > left; i++)
            mine[v->by_length[i] / 64] &= ~(1ull << (v->by_length[i] % 64));
        or_words(bits, mine, v->words);
    }
}

/* Where it leads when it ends here, as if it were whole, and none that there is already. */
static void close_string(pool *p, const place *c, spot_set *closed) {
    place whole = *c;
    whole.state = -1;
    if (unique_in(c->up)) whole.text = &written_unknown;
    json_close(p, &whole, closed);
}

static void free_string(grammar *g, pool *p, const grammar_vocab *v, const place *c,
                        uint64_t *bits) {
    spot_set closed = {0};
    free_inside(p, v, c, bits);
    close_string(p, c, &closed);
    leave_sink s = {.v = v,
                    .bits = bits,
                    .max = c->str->max == UINT32_MAX ? UINT32_MAX : c->str->max - c->count,
                    .min = c->str->min > c->count ? c->str->min - c->count : 0};
    leave(g, p, &closed, &s);
}

static bool lang_string(grammar *g, pool *p, const grammar_vocab *v, const place *c,
                        uint64_t *bits) {
    const lex_mask *m = lex_find(g, p, v, c->str->lang, c->state, false);
    if (!m) return false;
    or_words(bits, m->inside, v->words);
    spot_set closed = {0};
    close_string(p, c, &closed);
    leave_sink s = {.v = v, .bits = bits, .right = m->leavers};
    leave(g, p, &closed, &s);
    return true;
}

/* Keys that no name matches yet, or that names match as well. */
typedef struct key_work {
    spot_set closed;  /* where free keys lead behind their quote */
    spot_set leaving; /* to be walked with the tokens that leave the string, */
    spot_set all;     /* with all of them */
} key_work;

/* Whether, on the way to a text that there is already, so few others are left that a token may lead
 * to where all are taken. */
static bool runs_out(pool *p, const dfa *d, int32_t state, const written *from, uint32_t total,
                     const written_set *used) {
    for (; used; used = used->older)
        for (uint32_t i = 0; i < used->n; i++) {
            if (!written_starts(used->v[i], from)) continue;
            uint32_t n = written_length(used->v[i]), *cp = pool_alloc(p, (n + 1) * sizeof *cp);
            if (!cp) return true;
            written_copy(used->v[i], cp);
            int32_t at = state;
            for (uint32_t k = written_length(from); k < n; k++) {
                at = dfa_step(d, at, cp[k]);
                if (d->texts[at] <= total) return true;
            }
        }
    return false;
}

static bool keys_run_out(pool *p, const place *c) {
    const object *o = c->up->o;
    uint32_t total = written_set_count(c->up->used) + o->named[o->n_names];
    if (o->fewest > total) return false;
    if (c->node >= 0 && o->named[o->node[c->node].lo] < o->named[o->node[c->node].hi]) return true;
    return runs_out(p, o->extra, c->extra, c->text, total, c->up->used);
}

static bool element_runs_out(pool *p, const place *c) {
    const written_set *used = c->up->used;
    if (c->str->lang)
        return runs_out(p, c->str->lang, c->state, c->text, written_set_count(used), used);
    for (; used; used = used->older)
        for (uint32_t i = 0; i < used->n; i++) /* the quotation mark in front counts as one */
            if (written_length(used->v[i]) > c->str->max && written_starts(used->v[i], c->text))
                return true;
    return false;
}

/* A unique element, when there is one that begins like it, or there may be few. */
static bool unique_string(grammar *g, pool *p, const grammar_vocab *v, const place *c,
                          uint64_t *bits, key_work *work) {
    if (element_runs_out(p, c)) return spot_add(p, &work->all, c), true;
    const dfa *d = c->str->lang;
    const lex_mask *m = d ? lex_find(g, p, v, d, c->state, false) : NULL;
    if (d && !m) return false;
    if (d) or_words(bits, m->inside, v->words);
    else free_inside(p, v, c, bits);
    spot_add(p, &work->leaving, c);
    return true;
}

static bool open_key(grammar *g, pool *p, const grammar_vocab *v, const place *c, uint64_t *bits,
                     key_work *work) {
    const dfa *extra = c->up->o->extra;
    if (!extra) {
        or_words(bits, v->inside + VOCAB_LEFT * v->words, v->words);
        if (c->node < 0 && !written_set_below(c->up->used, c->text)) {
            place any = *c; /* no token can end in a key that there was */
            any.text = &written_unknown;
            json_close(p, &any, &work->closed);
        } else spot_add(p, &work->leaving, c);
        return true;
    }
    if (keys_run_out(p, c)) {
        spot_add(p, &work->all, c);
        return true;
    }
    const lex_mask *m = lex_find(g, p, v, extra, c->extra, false);
    if (!m) return false;
    or_words(bits, m->inside, v->words);
    spot_add(p, &work->leaving, c);
    if (c->node < 0) return true;
    place named = *c; /* the names alone: few */
    named.extra = 0;
    spot_add(p, &work->all, &named);
    return true;
}

static void finish_keys(grammar *g, pool *p, const grammar_vocab *v, key_work *work,
                        uint64_t *bits) {
    leave_sink closed = {.v = v, .bits = bits, .max = UINT32_MAX};
    sink leaving = {&v->leaving, bits}, all = {&v->all, bits};
    leave(g, p, &work->closed, &closed);
    if (work->leaving.n) walk(g, p, &v->leaving, &work->leaving, mark_tokens, &leaving);
    if (work->all.n) walk(g, p, &v->all, &work->all, mark_tokens, &all);
}

bool grammar_state_mask(grammar_state *st, uint64_t *bits) {
    grammar *g = st->g;
    const grammar_vocab *v = st->v;
    memset(bits, 0, v->words * sizeof *bits);
    if (st->ended) return true;
    pthread_mutex_lock(&g->lock);
    pool *p = &st->scratch;
    p->failed = false;
    pool_back(p, (pool_mark){0});
    key_work work = {0};
    bool ok = true;
    for (uint32_t i = 0; i < st->now.n && ok; i++) {
        const place *c = &st->now.v[i];
        pool_mark m = pool_now(p);
        bool whole = c->escape == 0; /* between characters */
        if (whole && (c->kind == AT_FREE || c->kind == AT_TEXT)) {
            ok = plain_text(g, p, v, c, bits);
            pool_back(p, m);
        } else if (whole && c->kind == AT_STRING && unique_in(c->up) &&
                   (c->str->lang || written_set_below(c->up->used, c->text))) {
            ok = unique_string(g, p, v, c, bits, &work);
        } else if (whole && c->kind == AT_STRING) {
            if (c->str->lang) ok = lang_string(g, p, v, c, bits);
            else free_string(g, p, v, c, bits);
            pool_back(p, m);
        } else if (whole && c->kind == AT_KEY && c->extra) ok = open_key(g, p, v, c, bits, &work);
        else spot_add(p, &work.all, c);
    }
    if (ok) finish_keys(g, p, v, &work, bits);
    if (ok && gbnf_is_rules(g->gbnf)) controls(g, p, v, &st->now, bits);
    if (match_may_end(g, &st->now)) {
        size_t n;
        const int32_t *ends = tok_ends(v->t, &n);
        for (size_t i = 0; i < n; i++) set_bit(bits, ends[i]);
    }
    ok = ok && !p->failed;
    if (!ok) memset(bits, 0, v->words * sizeof *bits);
    pthread_mutex_unlock(&g->lock);
    return ok;
}
