/* Grammars and the states of answers: what grammar.h promises. */
#include "grammar/grammar.h"

#include <stdlib.h>

#include "grammar/match.h"
#include "grammar/vocab.h"

/* ---- grammars ---- */

static grammar *grammar_new(err *e) {
    grammar *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    atomic_init(&g->refs, 1);
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

static grammar *keep_if(grammar *g, bool ok) {
    if (ok) return g;
    grammar_free(g);
    return NULL;
}

grammar *grammar_json_schema(str text, unsigned flags, err *e) {
    grammar *g = grammar_new(e);
    if (g) g->schema = schema_new(text, flags & GRAMMAR_ORDERED, e);
    return keep_if(g, g && g->schema);
}

grammar *grammar_json_object(err *e) {
    grammar *g = grammar_new(e);
    if (g) g->schema = schema_any_object(e);
    return keep_if(g, g && g->schema);
}

grammar *grammar_gbnf(str text, err *e) {
    grammar *g = grammar_new(e);
    if (g) g->gbnf = gbnf_parse(text, false, e);
    return keep_if(g, g && g->gbnf);
}

grammar *grammar_rules(str text, err *e) {
    grammar *g = grammar_new(e);
    if (g) g->gbnf = gbnf_parse(text, true, e);
    return keep_if(g, g && g->gbnf);
}

grammar *grammar_regex(str pattern, err *e) {
    grammar *g = grammar_new(e);
    if (g) g->text = dfa_regex_whole(pattern, e);
    if (g && g->text && !g->text->start) {
        err_set(e, ERR_USAGE, "no text can match this pattern");
        return keep_if(g, false);
    }
    return keep_if(g, g && g->text);
}

grammar *grammar_retain(grammar *g) {
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void grammar_free(grammar *g) {
    if (!g || atomic_fetch_sub(&g->refs, 1) > 1) return;
    mask_free(g);
    schema_free(g->schema);
    gbnf_free(g->gbnf);
    dfa_free(g->text);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

size_t grammar_bytes(const grammar *g) {
    size_t n = sizeof *g + g->mask_bytes;
    if (g->schema) n += schema_bytes(g->schema);
    if (g->gbnf) n += gbnf_bytes(g->gbnf);
    if (g->text) n += dfa_bytes(g->text);
    return n;
}

/* ---- states ---- */

grammar_state *grammar_state_new(grammar *g, const grammar_vocab *v, err *e) {
    grammar_state *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    s->g = grammar_retain(g);
    s->v = v;
    pthread_mutex_lock(&g->lock);
    bool ok = match_start(g, &s->mem, &s->now);
    pthread_mutex_unlock(&g->lock);
    if (ok) return s;
    err_set(e, ERR_NO_FIT, "the grammar needs too much memory");
    grammar_state_free(s);
    return NULL;
}

void grammar_state_free(grammar_state *s) {
    if (!s) return;
    pool_deinit(&s->mem);
    pool_deinit(&s->scratch);
    grammar_free(s->g);
    free(s);
}

void grammar_state_reset(grammar_state *s) {
    pool_deinit(&s->mem);
    s->ended = false;
    s->tidy_at = 0;
    pthread_mutex_lock(&s->g->lock);
    match_start(s->g, &s->mem, &s->now);
    pthread_mutex_unlock(&s->g->lock);
}

/* ---- moving places into another pool ---- */

typedef struct moved {
    const void *from;
    void *to;
} moved;

typedef struct mover {
    pool *p;
    moved *v; /* a hash table by `from` */
    size_t n, cap;
    const json_frame **todo;
    size_t cap_todo;
    bool failed;
} mover;

static moved *slot(const mover *m, const void *from) {
    size_t i = ((uintptr_t)from >> 4) * 0x9E3779B97F4A7C15u >> 20 & (m->cap - 1);
    while (m->v[i].from && m->v[i].from != from) i = (i + 1) & (m->cap - 1);
    return &m->v[i];
}

static void *known(const mover *m, const void *from) {
    return m->cap && from ? slot(m, from)->to : NULL;
}

static void remember(mover *m, const void *from, void *to) {
    if (m->n * 2 >= m->cap) {
        mover big = *m;
        big.cap = m->cap ? m->cap * 2 : 64;
        big.v = calloc(big.cap, sizeof *big.v);
        if (!big.v) {
            m->failed = true;
            return;
        }
        for (size_t i = 0; i < m->cap; i++)
            if (m->v[i].from) *slot(&big, m->v[i].from) = m->v[i];
        free(m->v);
        *m = big;
    }
    *slot(m, from) = (moved){from, to};
    m->n++;
}

static void *copy(mover *m, const void *from, size_t n) {
    void *to = from ? pool_alloc(m->p, n) : NULL;
    if (to) memcpy(to, from, n);
    else if (from) m->failed = true;
    return to;
}

static bool push(mover *m, size_t n, const json_frame *f) {
    if (n == m->cap_todo) {
        size_t cap = m->cap_todo * 2 + 64;
        const json_frame **v = realloc(m->todo, cap * sizeof *v);
        if (!v) return false;
        m->todo = v, m->cap_todo = cap;
    }
    m->todo[n] = f;
    return true;
}

static const gbnf_frame *move_rules(mover *m, const gbnf_frame *f) {
    gbnf_frame *head = NULL, **link = &head;
    for (; f && !m->failed; f = f->up) {
        gbnf_frame *seen = known(m, f);
        if (seen) {
            *link = seen;
            return head;
        }
        gbnf_frame *to = copy(m, f, sizeof *to);
        if (!to) return NULL;
        to->up = NULL;
        remember(m, f, to);
        *link = to;
        link = (gbnf_frame **)(uintptr_t)&to->up;
    }
    return head;
}

static const written *move_text(mover *m, const written *t) {
    written *to = t ? known(m, t) : NULL;
    if (!t || to) return to;
    written *all = pool_alloc(m->p, t->n * sizeof *all);
    if (!all) m->failed = true;
    for (const written *at = t; all && at; at = at->before) {
        to = &all[at->n - 1];
        *to = *at;
        to->before = at->n > 1 ? to - 1 : NULL;
    }
    if (all) remember(m, t, &all[t->n - 1]);
    return all ? &all[t->n - 1] : NULL;
}

static const written_set *move_texts(mover *m, const written_set *s) {
    written_set *to = NULL, *head = NULL, **link = &head;
    for (; s && !m->failed && !(to = known(m, s)); s = s->older) {
        if (!(to = copy(m, s, sizeof *s + s->n * sizeof *s->v))) return NULL;
        for (uint32_t i = 0; i < s->n; i++) to->v[i] = move_text(m, s->v[i]);
        to->older = NULL;
        remember(m, s, to);
        *link = to;
        link = (written_set **)(uintptr_t)&to->older;
    }
    if (s) *link = to;
    return head;
}

/* What a frame stands on goes first; depth costs no stack. */
static const json_frame *move_json(mover *m, const json_frame *f) {
    size_t n = 0;
    if (f && !push(m, n++, f)) m->failed = true;
    while (n > 0 && !m->failed) {
        const json_frame *top = m->todo[n - 1];
        const json_frame *first = top->up && !known(m, top->up)         ? top->up
                                  : top->other && !known(m, top->other) ? top->other
                                                                        : NULL;
        if (known(m, top)) n--;
        else if (first) m->failed = !push(m, n++, first);
        else {
            json_frame *to = copy(m, top, sizeof *to);
            if (!to) break;
            to->up = known(m, top->up);
            to->other = known(m, top->other);
            to->back = move_rules(m, top->back);
            if (top->seen) to->seen = copy(m, top->seen, top->o->n_words * sizeof *top->seen);
            if (top->used) to->used = move_texts(m, top->used);
            if (top->counted && top->a->n_some)
                to->counted = copy(m, top->counted, top->a->n_some * sizeof *top->counted);
            remember(m, top, to);
            n--;
        }
    }
    return m->failed ? NULL : known(m, f);
}

/* Copies a set with everything that it stands on. */
static bool move_set(const spot_set *from, pool *p, spot_set *to) {
    mover m = {.p = p};
    *to = (spot_set){.n = from->n, .cap = from->n};
    to->v = copy(&m, from->v, from->n * sizeof *to->v);
    for (uint32_t i = 0; i < from->n && !m.failed; i++) {
        place *c = &to->v[i];
        c->up = move_json(&m, c->up);
        c->rule = move_rules(&m, c->rule);
        c->text = move_text(&m, c->text);
        if (c->number) c->number = copy(&m, c->number, sizeof *c->number);
    }
    free(m.v), free(m.todo);
    return !m.failed;
}

grammar_state *grammar_state_copy(const grammar_state *s, err *e) {
    grammar_state *c = calloc(1, sizeof *c);
    if (c) {
        c->g = grammar_retain(s->g);
        c->v = s->v;
        c->ended = s->ended;
        if (s->now.n == 0 || move_set(&s->now, &c->mem, &c->now)) return c;
        grammar_state_free(c);
    }
    err_set(e, ERR_NO_FIT, "out of memory");
    return NULL;
}

/* ---- following ---- */

enum { TIDY_BYTES = 1 << 20 };

bool grammar_state_accept_bytes(grammar_state *s, str bytes) {
    grammar *g = s->g;
    if (s->ended) return bytes.n == 0;
    pthread_mutex_lock(&g->lock);
    spot_set at = s->now;
    s->mem.failed = false;
    for (size_t i = 0; i < bytes.n && at.n; i++) {
        spot_set next;
        match_step(g, &s->mem, &at, (uint8_t)bytes.p[i], &next);
        at = next;
    }
    bool ok = at.n > 0;
    if (ok) s->now = at;
    if (s->tidy_at < TIDY_BYTES) s->tidy_at = TIDY_BYTES;
    if (ok && s->mem.total > s->tidy_at) { /* only what the present places stand on is kept */
        pool fresh = {0};
        spot_set kept;
        if (move_set(&s->now, &fresh, &kept)) {
            pool_deinit(&s->mem);
            s->mem = fresh;
            s->now = kept;
            s->tidy_at = 2 * fresh.total;
        } else pool_deinit(&fresh);
    }
    pthread_mutex_unlock(&g->lock);
    return ok;
}

/* A control token: only where rules have its text. */
static bool accept_control(grammar_state *s, str piece) {
    pthread_mutex_lock(&s->g->lock);
    spot_set before = s->now, ruled;
    match_ruled(&s->mem, &before, &ruled);
    s->now = ruled;
    pthread_mutex_unlock(&s->g->lock);
    if (piece.n > 0 && ruled.n > 0 && grammar_state_accept_bytes(s, piece)) return true;
    s->now = before;
    return false;
}

bool grammar_state_accept(grammar_state *s, int32_t token) {
    if (tok_is_end(s->v->t, token)) {
        if (s->ended || !grammar_state_may_end(s)) return false;
        s->ended = true;
        return true;
    }
    str piece = tok_piece(s->v->t, token, false);
    if (piece.n > 0) return grammar_state_accept_bytes(s, piece);
    return gbnf_is_rules(s->g->gbnf) && accept_control(s, tok_piece(s->v->t, token, true));
}

bool grammar_state_may_end(const grammar_state *s) {
    pthread_mutex_lock(&s->g->lock);
    bool yes = match_may_end(s->g, &s->now);
    pthread_mutex_unlock(&s->g->lock);
    return yes;
}

bool grammar_has_controls(const grammar_state *s) {
    return gbnf_is_rules(s->g->gbnf);
}

bool grammar_state_done(const grammar_state *s) {
    if (s->ended) return true;
    for (uint32_t i = 0; i < s->now.n; i++)
        if (s->now.v[i].kind != AT_DONE) return false;
    return true;
}

size_t grammar_state_forced(grammar_state *s, char *out, size_t max) {
    grammar *g = s->g;
    size_t n = 0;
    if (s->ended) return 0;
    pthread_mutex_lock(&g->lock);
    pool *p = &s->scratch;
    p->failed = false;
    pool_back(p, (pool_mark){0});
    spot_set at = s->now;
    while (n < max && !match_may_end(g, &at)) {
        spot_set only = {0};
        int found = -1;
        for (int b = 0; b < 256 && found != -2; b++) {
            pool_mark m = pool_now(p);
            spot_set next;
            match_step(g, p, &at, (uint8_t)b, &next);
            if (next.n == 0) {
                pool_back(p, m);
                continue;
            }
            if (found >= 0) found = -2;
            else found = b, only = next;
        }
        if (found < 0) break;
        out[n++] = (char)found;
        at = only;
    }
    pthread_mutex_unlock(&g->lock);
    return n;
}
