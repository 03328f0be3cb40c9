/* JSON by a schema's canonical forms, byte by byte. */
#include <stdlib.h>

#include "grammar/lex.h"
#include "grammar/match.h"
#include "grammar/schema_private.h"

enum { PHASE_SIGN, PHASE_ZERO, PHASE_INT, PHASE_DOT, PHASE_FRAC, PHASE_E, PHASE_E_SIGN, PHASE_EXP };
enum { INDENT_MOST = 64, INDENT_WRITTEN = 16 };

/* One space, or one line's end and what indents the next line. What is written, not checked, has
 * less of it, and none in front: a model that wanders must come to the point. */
static bool space_step(const schema *s, place *v, uint8_t b) {
    bool writing = schema_is_ordered(s);
    int most = writing ? INDENT_WRITTEN : INDENT_MOST;
    uint8_t *space = &v->space;
    if (writing && (v->up->base || b == '\t' || b == '\r')) return false;
    if (b == ' ' && *space == 0) return *space = 1, true;
    if (b == '\r' && *space == 0) return *space = 2, true;
    if (b == '\n' && (*space == 0 || *space == 2)) return *space = 3, true;
    if ((b == ' ' || b == '\t') && *space >= 3 && *space < 3 + most) return ++*space, true;
    return false;
}

static place *put(pool *p, spot_set *to, const json_frame *up, enum place_kind kind) {
    place v;
    memset(&v, 0, sizeof v);
    v.up = up;
    v.kind = (uint8_t)kind;
    return spot_add(p, to, &v);
}

void json_after(pool *p, const json_frame *up, spot_set *to) {
    if (up->base) {
        if (up->rules) gbnf_resume(up->rules, p, up->back, to);
        else put(p, to, NULL, AT_DONE);
    } else if (!up->join) put(p, to, up, AT_AFTER);
    else
        for (; up; up = up->other) put(p, to, up->up, AT_AFTER);
}

static const json_frame *join(pool *p, const json_frame *up, const json_frame *other) {
    json_frame *f = pool_alloc(p, sizeof *f);
    if (!f) return NULL;
    f->join = true;
    f->s = up->s;
    f->up = up, f->other = other;
    return f;
}

/* A value to be read in a new frame `up`, or the colon before it; together with those in `to` that
 * read the same. */
static void put_value(pool *p, spot_set *to, const json_frame *up, enum place_kind kind, expr x) {
    for (uint32_t i = 0; i < to->n; i++) {
        place *c = &to->v[i];
        if (c->kind != kind || c->value != x || c->space || c->up->base) continue;
        if (unique_in(c->up) || unique_in(up)) continue; /* each has elements of its own */
        const json_frame *all = c->up->join ? c->up : join(p, c->up, NULL);
        if (all) all = join(p, up, all);
        if (all) c->up = all;
        return;
    }
    place *v = put(p, to, up, kind);
    if (v) v->value = x;
}

/* The places after an element or property that ends here; of a unique element, none when there was
 * one like it. `same`: what is written of it. */
static void value_after(pool *p, const place *c, const written *same, spot_set *to) {
    const json_frame *up = c->up;
    if (unique_in(up)) {
        if (!same || written_set_has(up->used, same)) return;
        json_frame *n = pool_alloc(p, sizeof *n);
        if (!n) return;
        *n = *up;
        n->used = written_set_add(p, up->used, same);
        up = n;
        if (!n->used) return;
    }
    json_after(p, up, to);
}

/* ---- numbers ---- */

/* The spec for the number without its sign. */
static num_spec mirrored(const num_spec *n) {
    num_spec r = *n;
    r.has_lo = n->has_hi, r.lo = dec_neg(n->hi), r.lo_open = n->hi_open;
    r.has_hi = n->has_lo, r.hi = dec_neg(n->lo), r.hi_open = n->lo_open;
    return r;
}

/* Nothing to watch: any digits will do. */
static bool number_is_free(const num_spec *n) {
    bool low = n->has_lo && (n->lo.m > 0 || (n->lo.m == 0 && n->lo_open));
    return !n->has_hi && !n->stepped && n->kind != NUM_FRACTION && !low;
}

/* Whether what is written so far can become, or with `whole` is, a number of the spec. */
static bool number_fits(const num_spec *spec, const json_number *x, bool whole) {
    num_spec n = x->negative ? mirrored(spec) : *spec;
    dec_wide unit = dec_pow10(DEC_SCALE - x->n_frac);
    if (number_is_free(&n)) return true;
    if (whole) return num_is(&n, x->m * unit);
    if (x->phase == PHASE_SIGN) return num_meets(&n, 0, dec_pow10(DEC_DIGITS + DEC_SCALE), true);
    if (x->phase != PHASE_INT) return num_meets(&n, x->m * unit, (x->m + 1) * unit, true);
    for (int more = 0; more <= DEC_DIGITS - x->n_int; more++) {
        dec_wide wide = dec_pow10(more + DEC_SCALE);
        if (num_meets(&n, x->m * wide, (x->m + 1) * wide, true)) return true;
    }
    return false;
}

/* Past the digits that are kept: whether whatever follows stays between the bounds. */
static bool number_is_inside(const num_spec *spec, const json_number *x) {
    num_spec n = x->negative ? mirrored(spec) : *spec;
    return n.kind == NUM_ANY && !n.stepped && num_is(&n, x->m) && num_is(&n, x->m + 1);
}

static bool number_whole(const num_spec *spec, const json_number *x) {
    if (x->phase == PHASE_EXP) return true;
    if (x->phase != PHASE_ZERO && x->phase != PHASE_INT && x->phase != PHASE_FRAC) return false;
    return number_fits(spec, x, true);
}

/* Adds one byte; false: not part of a number here. */
static bool number_push(const num_spec *spec, json_number *x, uint8_t b, bool ordered) {
    bool digit = b >= '0' && b <= '9';
    num_spec side = x->negative ? mirrored(spec) : *spec;
    bool is_free = number_is_free(&side), integer = spec->kind == NUM_INTEGER;
    if (b == '.') {
        if ((x->phase != PHASE_ZERO && x->phase != PHASE_INT) || (integer && ordered)) return false;
        x->phase = PHASE_DOT;
    } else if (b == 'e' || b == 'E') {
        if (!is_free || (integer && ordered)) return false;
        if (x->phase != PHASE_ZERO && x->phase != PHASE_INT && x->phase != PHASE_FRAC) return false;
        x->phase = PHASE_E;
        return true;
    } else if (b == '+' || b == '-') {
        if (x->phase != PHASE_E || (integer && b == '-')) return false;
        x->phase = PHASE_E_SIGN;
        return true;
    } else if (!digit) {
        return false;
    } else {
        switch (x->phase) {
        case PHASE_SIGN: x->phase = b == '0' ? PHASE_ZERO : PHASE_INT; break;
        case PHASE_INT: break;
        case PHASE_DOT:
        case PHASE_FRAC: x->phase = PHASE_FRAC; break;
        case PHASE_E:
        case PHASE_E_SIGN:
        case PHASE_EXP: x->phase = PHASE_EXP; return true;
        default: return false;
        }
        if (is_free) return x->phase != PHASE_FRAC || !integer || b == '0';
        if (x->phase == PHASE_FRAC && x->n_frac == DEC_SCALE) return number_is_inside(spec, x);
        if (x->phase != PHASE_FRAC && x->n_int == DEC_DIGITS) return false;
        x->m = x->m * 10 + (b - '0');
        if (x->phase == PHASE_FRAC) x->n_frac++;
        else x->n_int++;
    }
    return is_free || number_fits(spec, x, false);
}

/* Whether one is left among the numbers that x can become and that no element is yet. */
static bool number_is_left(const place *c, const json_number *x) {
    const written_set *used = c->up->used;
    num_spec n = x->negative ? mirrored(c->num) : *c->num;
    dec_wide unit = dec_pow10(DEC_SCALE - x->n_frac), lo = x->m * unit, hi = (x->m + 1) * unit;
    uint64_t left = 0, taken = 0;
    if (number_is_free(&n)) return true;
    int most = x->phase == PHASE_INT ? DEC_DIGITS - x->n_int : 0;
    if (x->phase == PHASE_SIGN) lo = 0, hi = dec_pow10(DEC_DIGITS + DEC_SCALE);
    for (int more = 0; more <= most; more++, lo *= 10, hi *= 10) {
        left += num_count(&n, lo, hi, true);
        if (left > written_set_count(used)) return true;
        taken += unique_numbers_in(used, &n, x->negative, lo, hi);
    }
    return left > taken;
}

static void number_step(schema *s, pool *p, const place *c, const json_number *from, uint8_t b,
                        spot_set *to) {
    json_number x = *from;
    const written *text = c->text;
    if (!number_push(c->num, &x, b, schema_is_ordered(s))) return;
    if (unique_in(c->up) && (!number_is_left(c, &x) || !(text = written_add(p, text, b)))) return;
    json_number *kept = pool_alloc(p, sizeof *kept);
    place *v = kept ? put(p, to, c->up, AT_NUMBER) : NULL;
    if (!v) return;
    *kept = x;
    v->num = c->num;
    v->number = kept;
    v->text = text;
}

static void number_start(schema *s, pool *p, const json_frame *up, const num_spec *spec, uint8_t b,
                         spot_set *to) {
    json_number x = {.negative = b == '-', .phase = PHASE_SIGN};
    place c = {.up = up, .num = spec};
    if (b != '-') {
        number_step(s, p, &c, &x, b, to);
        return;
    }
    bool lives = number_fits(spec, &x, false) && (!unique_in(up) || number_is_left(&c, &x));
    json_number *kept = lives ? pool_alloc(p, sizeof *kept) : NULL;
    place *v = kept ? put(p, to, up, AT_NUMBER) : NULL;
    if (!v) return;
    *kept = x;
    v->num = spec;
    v->number = kept;
    if (unique_in(up)) v->text = written_add(p, NULL, b);
}

/* ---- strings ---- */

static bool string_live(const void *ud, uint32_t lo, uint32_t hi) {
    const place *c = ud;
    if (unique_in(c->up)) return unique_string_lives_between(c, lo, hi);
    if (c->str->lang) return dfa_live_between(c->str->lang, c->state, lo, hi);
    return c->count < c->str->max;
}

static bool string_whole(const place *c) {
    if (c->state < 0) return true; /* a mask asks what comes after it */
    return c->str->lang ? c->str->lang->accept[c->state] : c->count >= c->str->min;
}

static void string_step(pool *p, const place *c, uint8_t b, spot_set *to) {
    place v = *c;
    switch (lex_json(&v.escape, &v.cp, b)) {
    case LEX_BAD: return;
    case LEX_END:
        if (string_whole(c)) value_after(p, c, c->text, to);
        return;
    case LEX_MORE:
        if (lex_json_lives(v.escape, v.cp, string_live, &v)) spot_add(p, to, &v);
        return;
    case LEX_CHAR: break;
    }
    if (unique_in(c->up) && !(v.text = written_add(p, c->text, v.cp))) return;
    if (v.str->lang) v.state = dfa_step(v.str->lang, v.state, v.cp);
    else v.state = v.count < v.str->max;
    if (v.count < UINT32_MAX - 1) v.count++;
    if (v.str->lang) v.count = 0; /* not looked at: equal places stay equal */
    v.cp = 0;
    if (v.state && unique_in(c->up) && !unique_string_lives(&v)) return;
    if (v.state) spot_add(p, to, &v);
}

static void string_start(pool *p, const json_frame *up, const str_spec *spec, spot_set *to) {
    place v;
    memset(&v, 0, sizeof v);
    v.kind = AT_STRING;
    v.up = up, v.str = spec;
    v.state = spec->lang ? spec->lang->start : 1;
    if (unique_in(up)) {
        v.text = written_add(p, NULL, '"');
        if (!unique_string_lives(&v)) return;
    }
    spot_add(p, to, &v);
}

/* ---- objects ---- */

static uint32_t missing(const json_frame *f) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->o->n_words; i++)
        n += (uint32_t)__builtin_popcountll(f->o->required[i] & ~f->seen[i]);
    return n;
}

static bool has_seen(const json_frame *f, int32_t name) {
    return f->seen[name / 64] >> (name % 64) & 1;
}

static bool is_required(const object *o, int32_t name) {
    return o->required[name / 64] >> (name % 64) & 1;
}

/* Keys that no name matches, and that the object does not have yet. */
static uint32_t extras_left(const json_frame *f) {
    const object *o = f->o;
    if (!o->extra) return o->extra_any ? DFA_MANY : 0;
    uint32_t all = o->extra->texts[o->extra->start], taken = written_set_count(f->used);
    if (all == DFA_MANY) return DFA_MANY;
    taken += o->named[o->n_names];
    return all > taken ? all - taken : 0;
}

/* Whether one of them may come: as far as counts and the order go. */
static bool extras_open(schema *s, const json_frame *f, uint32_t n_missing) {
    uint32_t left = extras_left(f);
    if (f->count >= f->o->spec->max || f->o->spec->max - f->count <= n_missing) return false;
    if (!left || !schema_is_ordered(s)) return left > 0;
    return n_missing == 0 && (left == DFA_MANY || f->count + left >= f->o->spec->min);
}

static bool name_open(schema *s, const json_frame *f, int32_t name, uint32_t n_missing) {
    const object *o = f->o;
    uint32_t left = o->spec->max - f->count; /* count never passes max */
    if (!o->alive[name] || has_seen(f, name) || left == 0) return false;
    if (!is_required(o, name) && left <= n_missing) return false;
    if (!schema_is_ordered(s)) return true;
    if (o->rank[name] <= f->last) return false;
    uint32_t after = 0; /* names that can still come behind it */
    for (uint32_t i = 0; i < o->n_names; i++) {
        if (is_required(o, (int32_t)i) && !has_seen(f, (int32_t)i) && o->rank[i] < o->rank[name])
            return false;
        after += o->alive[i] && o->rank[i] > o->rank[name];
    }
    uint32_t extras = extras_left(f);
    return extras == DFA_MANY || f->count + 1 + after + extras >= o->spec->min;
}

static bool any_name_open(schema *s, const json_frame *f, int32_t lo, int32_t hi) {
    uint32_t n_missing = missing(f);
    for (int32_t i = lo; i < hi; i++)
        if (name_open(s, f, i, n_missing)) return true;
    return false;
}

static bool may_add_key(schema *s, const json_frame *f) {
    return extras_open(s, f, missing(f)) || any_name_open(s, f, 0, (int32_t)f->o->n_names);
}

static bool may_close_object(const json_frame *f) {
    uint32_t all_some = f->o->n_some == 32 ? UINT32_MAX : (1u << f->o->n_some) - 1;
    return f->count >= f->o->spec->min && f->some == all_some && missing(f) == 0;
}

static void key_start(schema *s, pool *p, const json_frame *f, spot_set *to) {
    const object *o = f->o;
    place *v = put(p, to, f, AT_KEY);
    if (!v) return;
    v->extra = !extras_open(s, f, missing(f)) ? 0 : o->extra ? o->extra->start : 1;
    for (uint32_t i = 0; i < o->n_langs; i++) v->lang[i] = o->lang[i]->start;
}

static bool node_lives(schema *s, const place *c, int32_t node) {
    const object *o = c->up->o;
    return node >= 0 && any_name_open(s, c->up, o->node[node].lo, o->node[node].hi);
}

/* Whether what is read of a key can become one that is not named and not there yet. */
static bool extra_lives(const place *c) {
    const json_frame *f = c->up;
    const object *o = f->o;
    if (!c->extra || !o->extra) return c->extra != 0;
    uint32_t n = o->extra->texts[c->extra];
    if (n == DFA_MANY || n > written_set_count(f->used) + o->named[o->n_names]) return n > 0;
    if (c->node >= 0) n -= o->named[o->node[c->node].hi] - o->named[o->node[c->node].lo];
    return n > written_set_below(f->used, c->text);
}

/* The same when its next code point is in [lo, hi]. */
static bool extra_lives_between(const place *c, uint32_t lo, uint32_t hi) {
    const json_frame *f = c->up;
    const object *o = f->o;
    if (!c->extra || !o->extra) return c->extra != 0;
    uint32_t n = dfa_count_between(o->extra, o->extra->texts, c->extra, lo, hi);
    if (n == DFA_MANY || n > written_set_count(f->used) + o->named[o->n_names]) return n > 0;
    for (int32_t k = c->node >= 0 ? o->node[c->node].child : -1; k >= 0; k = o->node[k].sibling)
        if (o->node[k].cp >= lo && o->node[k].cp <= hi)
            n -= o->named[o->node[k].hi] - o->named[o->node[k].lo];
    return n > written_set_between(f->used, c->text, lo, hi);
}

static bool key_live(const void *ud, uint32_t lo, uint32_t hi) {
    const place *c = ud;
    const object *o = c->up->o;
    if (extra_lives_between(c, lo, hi)) return true;
    for (int32_t n = c->node >= 0 ? o->node[c->node].child : -1; n >= 0; n = o->node[n].sibling)
        if (o->node[n].cp >= lo && o->node[n].cp <= hi && node_lives(c->up->s, c, n)) return true;
    return false;
}

/* The frame with one property more, and its value to be read; each way of serving the clauses of
 * `some` that the key may serve is a place of its own. */
static void property(schema *s, pool *p, const place *c, int32_t name, expr value, uint32_t may,
                     spot_set *to) {
    const json_frame *f = c->up;
    const object *o = f->o;
    const written_set *used = NULL;
    may &= ~f->some;
    for (uint32_t serve = may;; serve = (serve - 1) & may) {
        expr x = value;
        for (uint32_t i = 0; i < o->n_some; i++)
            if (serve >> i & 1) x = expr_and(s, x, o->spec->some[o->some[i]].value);
        if (!schema_empty(s, x)) {
            json_frame *n = pool_alloc(p, sizeof *n);
            uint64_t *seen = name >= 0 ? pool_alloc(p, o->n_words * sizeof *seen) : NULL;
            if (name < 0 && !used) used = written_set_add(p, f->used, c->text);
            if (!n || (name >= 0 ? !seen : !used)) return;
            *n = *f;
            if (used) n->used = used;
            n->count++;
            n->some |= serve;
            n->last = name >= 0 ? o->rank[name] : UINT32_MAX;
            if (!schema_is_ordered(s)) n->last = 0;
            if (seen) {
                memcpy(seen, f->seen, o->n_words * sizeof *seen);
                seen[name / 64] |= 1ull << (name % 64);
                n->seen = seen;
            }
            put_value(p, to, n, AT_COLON, x);
        }
        if (serve == 0) return;
    }
}

static void key_close(schema *s, pool *p, const place *c, spot_set *to) {
    object *o = c->up->o;
    int32_t name = c->node >= 0 ? o->node[c->node].name : -1;
    if (name >= 0) {
        if (name_open(s, c->up, name, missing(c->up)))
            property(s, p, c, name, o->value[name], o->some_of[name], to);
        return;
    }
    if (!c->extra || (o->extra && !o->extra->accept[c->extra])) return;
    if (written_set_has(c->up->used, c->text)) return;
    uint32_t mask = 0;
    for (uint32_t i = 0; i < o->n_langs; i++)
        if (o->lang[i]->accept[c->lang[i]]) mask |= 1u << i;
    const key_label *l = object_label(s, o, mask);
    if (l && l->alive) property(s, p, c, -1, l->value, l->some, to);
}

static void key_step(schema *s, pool *p, const place *c, uint8_t b, spot_set *to) {
    place v = *c;
    const object *o = c->up->o;
    switch (lex_json(&v.escape, &v.cp, b)) {
    case LEX_BAD: return;
    case LEX_END: key_close(s, p, c, to); return;
    case LEX_MORE:
        if (lex_json_lives(v.escape, v.cp, key_live, &v)) spot_add(p, to, &v);
        return;
    case LEX_CHAR: break;
    }
    v.node = object_child(o, v.node, v.cp);
    if (o->extra && v.extra) v.extra = dfa_step(o->extra, v.extra, v.cp);
    for (uint32_t i = 0; i < o->n_langs; i++) v.lang[i] = dfa_step(o->lang[i], v.lang[i], v.cp);
    if (v.extra && !(v.text = written_add(p, v.text, v.cp))) return;
    if (!extra_lives(&v)) v.extra = 0, v.text = NULL;
    v.cp = 0;
    if (v.extra || node_lives(s, &v, v.node)) spot_add(p, to, &v);
}

void json_close(pool *p, const place *c, spot_set *to) {
    if (c->kind == AT_KEY) key_close(c->up->s, p, c, to);
    else if (string_whole(c)) value_after(p, c, c->text, to);
}

/* ---- arrays ---- */

static bool may_close_array(const json_frame *f) {
    if (f->count < f->a->min) return false;
    for (uint32_t i = 0; i < f->a->n_some; i++)
        if (f->counted[i] < f->a->some[i].min) return false;
    return true;
}

/* The next element, in every way of counting it for the clauses of contains from k on. */
static void element(schema *s, pool *p, const json_frame *f, uint32_t k, expr x, uint32_t *counted,
                    spot_set *to) {
    const arr_spec *a = f->a;
    if (schema_empty(s, x)) return;
    if (k == a->n_some) {
        uint32_t left = a->max - f->count - 1;
        for (uint32_t i = 0; i < k; i++)
            if (counted[i] < a->some[i].min && a->some[i].min - counted[i] > left) return;
        json_frame *n = pool_alloc(p, sizeof *n);
        uint32_t *kept = k ? pool_alloc(p, k * sizeof *kept) : NULL;
        if (!n || (k && !kept)) return;
        *n = *f;
        n->count++;
        if (k) memcpy(kept, counted, k * sizeof *kept), n->counted = kept;
        put_value(p, to, n, AT_VALUE, x);
        return;
    }
    const arr_some *c = &a->some[k];
    bool limited = c->max != UINT32_MAX;
    if (f->count >= c->from && counted[k] < (limited ? c->max : c->min)) {
        counted[k]++;
        element(s, p, f, k + 1, expr_and(s, x, c->item), counted, to);
        counted[k]--;
    }
    if (limited && f->count >= c->from) x = expr_and(s, x, expr_not(s, c->item));
    element(s, p, f, k + 1, x, counted, to);
}

static void element_start(schema *s, pool *p, const json_frame *f, spot_set *to) {
    const arr_spec *a = f->a;
    uint32_t counted[64];
    if (f->count >= a->max || a->n_some > 64) return;
    if (unique_in(f)) {
        uint32_t values = unique_values(s, a);
        if (values != DFA_MANY && values <= written_set_count(f->used)) return;
    }
    if (a->n_some) memcpy(counted, f->counted, a->n_some * sizeof *counted);
    element(s, p, f, 0, f->count < a->n_prefix ? a->prefix[f->count] : a->rest, counted, to);
}

/* ---- values ---- */

static void open_object(schema *s, pool *p, const json_frame *up, obj_spec *spec, spot_set *to) {
    err e = {0};
    if (schema_obj_empty(s, spec) || !object_prepare(s, spec, &e)) return;
    json_frame *f = pool_alloc(p, sizeof *f);
    uint64_t *seen = f ? pool_alloc(p, spec->object->n_words * sizeof *seen) : NULL;
    if (!seen) return;
    f->s = s, f->up = up, f->o = spec->object, f->seen = seen;
    put(p, to, f, AT_OBJECT);
}

static void open_array(schema *s, pool *p, const json_frame *up, const arr_spec *spec,
                       spot_set *to) {
    err e = {0};
    if (schema_arr_empty(s, spec) || !unique_check(s, spec, &e)) return;
    json_frame *f = pool_alloc(p, sizeof *f);
    uint32_t *counted = f ? pool_alloc(p, (spec->n_some + 1) * sizeof *counted) : NULL;
    if (!counted) return;
    f->s = s, f->up = up, f->a = spec, f->counted = counted;
    put(p, to, f, AT_ARRAY);
}

static void literal_start(pool *p, const json_frame *up, unsigned lits, uint8_t b, spot_set *to) {
    unsigned which = b == 'n' ? LIT_NULL : b == 't' ? LIT_TRUE : LIT_FALSE;
    const written *text = unique_in(up) ? written_add(p, NULL, b) : NULL;
    if (!(lits & which) || (text && written_set_has(up->used, text))) return;
    place *v = put(p, to, up, AT_LITERAL);
    if (v) v->literal = (uint8_t)which, v->at = 1, v->text = text;
}

static void value_start(schema *s, pool *p, const json_frame *up, expr x, uint8_t b, spot_set *to) {
    err e = {0};
    const canon *c = schema_expand(s, x, &e);
    if (!c) return; /* out of memory: nothing goes on */
    switch (b) {
    case '{':
        for (uint32_t i = 0; i < c->n_obj; i++) open_object(s, p, up, &c->obj[i], to);
        return;
    case '[':
        for (uint32_t i = 0; i < c->n_arr; i++) open_array(s, p, up, &c->arr[i], to);
        return;
    case '"':
        for (uint32_t i = 0; i < c->n_str; i++) string_start(p, up, &c->str[i], to);
        return;
    case 'n':
    case 't':
    case 'f': literal_start(p, up, c->lits, b, to); return;
    default:
        if (b != '-' && (b < '0' || b > '9')) return;
        for (uint32_t i = 0; i < c->n_num; i++) number_start(s, p, up, &c->num[i], b, to);
    }
}

static void spaced(const schema *s, pool *p, const place *c, uint8_t b, spot_set *to) {
    place v = *c;
    if (space_step(s, &v, b)) spot_add(p, to, &v);
}

static void after_step(schema *s, pool *p, const place *c, uint8_t b, spot_set *to) {
    const json_frame *f = c->up;
    if (b == ',') {
        if (f->o && may_add_key(s, f)) put(p, to, f, AT_NAME);
        if (!f->o) element_start(s, p, f, to);
    } else if (b == '}') {
        if (f->o && may_close_object(f)) json_after(p, f->up, to);
    } else if (b == ']') {
        if (!f->o && may_close_array(f)) json_after(p, f->up, to);
    } else spaced(s, p, c, b, to);
}

static void first_element(schema *s, pool *p, const place *c, uint8_t b, spot_set *to) {
    spot_set first = {0};
    if (b == ']') {
        if (may_close_array(c->up)) json_after(p, c->up->up, to);
        return;
    }
    place v = *c;
    if (space_step(s, &v, b)) {
        spot_add(p, to, &v);
        return;
    }
    element_start(s, p, c->up, &first);
    for (uint32_t i = 0; i < first.n; i++)
        value_start(s, p, first.v[i].up, first.v[i].value, b, to);
}

bool json_start(pool *p, schema *s, const gbnf *rules, const gbnf_frame *back, expr x,
                spot_set *to) {
    json_frame *f = pool_alloc(p, sizeof *f);
    if (!f) return false;
    f->base = true;
    f->s = s, f->rules = rules, f->back = back;
    place *v = put(p, to, f, AT_VALUE);
    if (v) v->value = x;
    return v != NULL;
}

void json_step(grammar *g, pool *p, const place *c, uint8_t b, spot_set *to) {
    static const char *const words[] = {
        [LIT_NULL] = "null", [LIT_TRUE] = "true", [LIT_FALSE] = "false"};
    schema *s = c->up->s;
    switch (c->kind) {
    case AT_VALUE: {
        place v = *c;
        if (space_step(s, &v, b)) spot_add(p, to, &v);
        else value_start(s, p, c->up, c->value, b, to);
        return;
    }
    case AT_STRING: string_step(p, c, b, to); return;
    case AT_KEY: key_step(s, p, c, b, to); return;
    case AT_NUMBER:
        number_step(s, p, c, c->number, b, to);
        if (number_whole(c->num, c->number)) {
            spot_set after = {0};
            value_after(p, c, unique_in(c->up) ? unique_number(p, c->text) : NULL, &after);
            for (uint32_t i = 0; i < after.n; i++) match_place(g, p, &after.v[i], b, to);
        }
        return;
    case AT_LITERAL: {
        const char *w = words[c->literal];
        if (b != (uint8_t)w[c->at]) return;
        place v = *c;
        v.at++;
        if (w[v.at]) spot_add(p, to, &v);
        else value_after(p, c, c->text, to);
        return;
    }
    case AT_OBJECT:
    case AT_NAME:
        if (b == '"' && may_add_key(s, c->up)) key_start(s, p, c->up, to);
        else if (b == '}' && c->kind == AT_OBJECT) {
            if (may_close_object(c->up)) json_after(p, c->up->up, to);
        } else spaced(s, p, c, b, to);
        return;
    case AT_COLON:
        if (b == ':') {
            place *v = put(p, to, c->up, AT_VALUE);
            if (v) v->value = c->value;
        }
        return;
    case AT_ARRAY: first_element(s, p, c, b, to); return;
    case AT_AFTER: after_step(s, p, c, b, to); return;
    default: return;
    }
}

bool json_may_end(const place *c) {
    return c->kind == AT_NUMBER && c->up->base && number_whole(c->num, c->number) &&
           (!c->up->rules || gbnf_ends(c->up->rules, c->up->back));
}
