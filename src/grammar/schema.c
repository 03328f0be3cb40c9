/* The context: expressions, their canonical forms, what is empty, automata that are kept. */
#include "grammar/schema.h"

#include <stdlib.h>

#include "base/limits.h"
#include "grammar/schema_private.h"

/* ---- expressions ---- */

static uint64_t expr_hash(const expr_node *n) {
    uint64_t h = (uint64_t)n->kind * 0x9E3779B97F4A7C15u;
    h ^= (uint64_t)(uintptr_t)n->j ^ ((uint64_t)(uint32_t)n->base << 7);
    for (uint32_t i = 0; i < n->n_of; i++) h = (h ^ (uint32_t)n->of[i]) * 0x100000001B3u;
    return h ^ (h >> 32);
}

static bool expr_same(const expr_node *a, const expr_node *b) {
    return a->kind == b->kind && a->j == b->j && a->base == b->base && a->n_of == b->n_of &&
           (a->n_of == 0 || memcmp(a->of, b->of, a->n_of * sizeof *a->of) == 0);
}

static void table_put(schema *s, expr x) {
    size_t i = expr_hash(&s->x[x]) & (s->table_size - 1);
    while (s->table[i] >= 0) i = (i + 1) & (s->table_size - 1);
    s->table[i] = x;
}

static bool grow(schema *s) {
    if (s->n_x < s->cap_x) return true;
    if (s->n_x >= LIMIT_SCHEMA_EXPRESSIONS) return false;
    size_t cap = s->cap_x * 2 + 256, size = 512;
    while (size < cap * 2) size *= 2;
    expr_node *x = realloc(s->x, cap * sizeof *x);
    if (x) s->x = x;
    expr *t = malloc(size * sizeof *t);
    if (!x || !t) {
        free(t);
        return false;
    }
    free(s->table);
    s->table = t, s->table_size = size, s->cap_x = cap;
    for (size_t i = 0; i < size; i++) t[i] = -1;
    for (size_t i = 0; i < s->n_x; i++) table_put(s, (expr)i);
    return true;
}

/* The expression equal to *n, new or known. When memory is short: EXPR_NONE, and the context stays
 * failed, so that nothing is ever accepted by mistake. */
static expr intern(schema *s, const expr_node *n) {
    if (s->table_size)
        for (size_t i = expr_hash(n) & (s->table_size - 1); s->table[i] >= 0;
             i = (i + 1) & (s->table_size - 1))
            if (expr_same(&s->x[s->table[i]], n)) return s->table[i];
    expr *of = n->n_of ? arena_calloc(s->mem, n->n_of, sizeof *of) : NULL;
    if (!grow(s) || (n->n_of && !of)) {
        s->failed = true;
        return EXPR_NONE;
    }
    if (of) memcpy(of, n->of, n->n_of * sizeof *of);
    s->x[s->n_x] = *n;
    s->x[s->n_x].of = of;
    table_put(s, (expr)s->n_x);
    return (expr)s->n_x++;
}

expr expr_of(schema *s, const json_t *j, int32_t base) {
    if (json_is_true(j)) return EXPR_ANY;
    if (json_is_false(j)) return EXPR_NONE;
    if (json_is_object(j) && json_object_size(j) == 0) return EXPR_ANY;
    return intern(s, &(expr_node){.kind = X_SCHEMA, .j = j, .base = base});
}

expr expr_const(schema *s, const json_t *value) {
    return intern(s, &(expr_node){.kind = X_CONST, .j = value});
}

expr expr_not(schema *s, expr a) {
    if (a == EXPR_ANY) return EXPR_NONE;
    if (a == EXPR_NONE) return EXPR_ANY;
    if (s->x[a].kind == X_NOT) return s->x[a].of[0];
    return intern(s, &(expr_node){.kind = X_NOT, .of = &a, .n_of = 1});
}

static int expr_order(const void *a, const void *b) {
    expr x = *(const expr *)a, y = *(const expr *)b;
    return (x > y) - (x < y);
}

/* Flat, sorted, without repetition: one form for each set of operands. */
static expr combine(schema *s, expr_kind kind, const expr *x, size_t n) {
    expr unit = kind == X_AND ? EXPR_ANY : EXPR_NONE, zero = kind == X_AND ? EXPR_NONE : EXPR_ANY;
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += s->x[x[i]].kind == kind ? s->x[x[i]].n_of : 1;
    expr *all = malloc((total + 1) * sizeof *all);
    if (!all) {
        s->failed = true;
        return EXPR_NONE;
    }
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const expr_node *v = &s->x[x[i]];
        if (v->kind == kind)
            for (uint32_t k = 0; k < v->n_of; k++) all[m++] = v->of[k];
        else if (x[i] != unit) all[m++] = x[i];
    }
    qsort(all, m, sizeof *all, expr_order);
    size_t kept = 0;
    bool is_zero = false;
    for (size_t i = 0; i < m; i++) {
        if (kept && all[i] == all[kept - 1]) continue;
        is_zero |= all[i] == zero;
        all[kept++] = all[i];
    }
    for (size_t i = 0; i < kept && !is_zero; i++) /* x and not x */
        if (s->x[all[i]].kind == X_NOT)
            for (size_t k = 0; k < kept; k++) is_zero |= all[k] == s->x[all[i]].of[0];
    expr out = is_zero     ? zero
               : kept == 0 ? unit
               : kept == 1
                   ? all[0]
                   : intern(s, &(expr_node){.kind = kind, .of = all, .n_of = (uint32_t)kept});
    free(all);
    return out;
}

expr expr_and(schema *s, expr a, expr b) {
    if (a == b || b == EXPR_ANY) return a;
    if (a == EXPR_ANY) return b;
    return combine(s, X_AND, (expr[]){a, b}, 2);
}

expr expr_or(schema *s, const expr *x, size_t n) {
    return combine(s, X_OR, x, n);
}

/* ---- canonical forms ---- */

static const canon *expand_list(schema *s, expr x, err *e) {
    const canon *c = NULL;
    for (uint32_t i = 0; i < s->x[x].n_of; i++) {
        const canon *next = schema_expand(s, s->x[x].of[i], e);
        if (!next) return NULL;
        if (!c) {
            c = next;
            continue;
        }
        canon *both = canon_new(s);
        if (!both) err_set(e, ERR_NO_FIT, "the schema needs too much memory");
        if (!both || !(s->x[x].kind == X_AND ? canon_and : canon_or)(s, c, next, both, e))
            return NULL;
        c = both;
    }
    return c;
}

const canon *schema_expand(schema *s, expr x, err *e) {
    if (s->failed) {
        err_set(e, ERR_NO_FIT, "the schema needs too much memory");
        return NULL;
    }
    if (s->x[x].form) return s->x[x].form;
    if (s->dfa_work > LIMIT_SCHEMA_WORK) {
        err_set(e, ERR_USAGE, "pattern, format or enum: all of them take too long to compile");
        return NULL;
    }
    if (s->x[x].busy || s->depth >= LIMIT_SCHEMA_DEPTH) {
        err_set(e, ERR_USAGE,
                s->x[x].busy ? "$ref, allOf or not lead back to themselves (%s)"
                             : "too many schemas within schemas (%s)",
                s->x[x].j ? schema_path(s, s->x[x].j) : "#");
        return NULL;
    }
    s->x[x].busy = true;
    s->depth++;
    const canon *c = NULL;
    switch (s->x[x].kind) {
    case X_ANY: c = canon_any(s); break;
    case X_NONE: c = canon_new(s); break;
    case X_SCHEMA: c = schema_read(s, s->x[x].j, s->x[x].base, e); break;
    case X_CONST: c = schema_read_const(s, s->x[x].j, e); break;
    case X_AND:
    case X_OR: c = expand_list(s, x, e); break;
    case X_NOT: {
        const canon *a = schema_expand(s, s->x[x].of[0], e);
        canon *out = a ? canon_new(s) : NULL;
        if (out && canon_not(s, a, out, e)) c = out;
        break;
    }
    }
    s->depth--;
    s->x[x].busy = false;
    s->x[x].form = c;
    if (!c && e && !e->code) err_set(e, ERR_NO_FIT, "the schema needs too much memory");
    return c;
}

/* ---- what is empty ---- */

bool key_has(const key_set *k, str name) {
    switch (k->kind) {
    case KEY_NAME: return str_eq(k->name, name);
    case KEY_LANG: return dfa_accepts(k->lang, name);
    case KEY_NOT_LANG: return !dfa_accepts(k->lang, name);
    case KEY_EVERY: return true;
    case KEY_REST: break;
    }
    for (uint32_t i = 0; i < k->n_other; i++)
        if (key_has(k->other[i], name)) return false;
    return true;
}

expr schema_obj_value(schema *s, const obj_spec *o, str name) {
    expr v = EXPR_ANY;
    for (uint32_t i = 0; i < o->n_all; i++)
        if (key_has(o->all[i].keys, name)) v = expr_and(s, v, o->all[i].value);
    return v;
}

/* At most how many keys a set has that o lets in. */
static uint32_t keys_most(schema *s, const obj_spec *o, const key_set *k) {
    if (k->kind == KEY_NAME) return !schema_empty(s, schema_obj_value(s, o, k->name));
    const uint32_t *texts = k->kind == KEY_LANG ? schema_texts(s, k->lang) : NULL;
    return texts ? texts[k->lang->start] : DFA_MANY;
}

/* At most how many properties. */
static uint32_t obj_most(schema *s, const obj_spec *o) {
    uint32_t most = o->max;
    for (uint32_t i = 0; i < o->n_all; i++) {
        const key_set *k = o->all[i].keys;
        if (!schema_empty(s, o->all[i].value)) continue;
        if (k->kind == KEY_EVERY) return 0;
        const uint32_t *texts = k->kind == KEY_NOT_LANG ? schema_texts(s, k->lang) : NULL;
        uint64_t n = texts ? texts[k->lang->start] : k->kind == KEY_REST ? 0 : DFA_MANY;
        for (uint32_t x = 0; k->kind == KEY_REST && x < k->n_other && n < most; x++)
            n += keys_most(s, o, k->other[x]);
        if (n < most) most = (uint32_t)n;
    }
    return most;
}

bool schema_obj_empty(schema *s, const obj_spec *o) {
    uint32_t required = 0;
    for (uint32_t i = 0; i < o->n_some; i++) {
        const obj_clause *c = &o->some[i];
        expr v = c->value;
        if (c->keys->kind == KEY_NAME) v = expr_and(s, v, schema_obj_value(s, o, c->keys->name));
        if (schema_empty(s, v)) return true;
        bool again = c->keys->kind != KEY_NAME;
        for (uint32_t k = 0; k < i && !again; k++)
            again = o->some[k].keys->kind == KEY_NAME &&
                    str_eq(o->some[k].keys->name, c->keys->name);
        required += !again;
    }
    uint32_t least = o->min > required ? o->min : required;
    if (least == 0 && o->n_some) least = 1;
    return least > o->max || (least && least > obj_most(s, o));
}

bool schema_arr_empty(schema *s, const arr_spec *a) {
    if (a->min > a->max || (a->unique && a->min > 1 && a->min > unique_values(s, a))) return true;
    for (uint32_t i = 0; i < a->n_prefix && i < a->min; i++)
        if (schema_empty(s, a->prefix[i])) return true;
    if (a->min > a->n_prefix && schema_empty(s, a->rest)) return true;
    for (uint32_t i = 0; i < a->n_some; i++) {
        const arr_some *c = &a->some[i];
        if (c->min == 0) continue;
        if (c->min > c->max || c->from >= a->max || c->min > a->max - c->from) return true;
        bool found = !schema_empty(s, expr_and(s, a->rest, c->item));
        for (uint32_t k = c->from; k < a->n_prefix && !found; k++)
            found = !schema_empty(s, expr_and(s, a->prefix[k], c->item));
        if (!found) return true;
    }
    return false;
}

/* A least fixed point: what is met again on the way down adds nothing. An answer "empty" that
 * leant on that is only kept at the top. */
bool schema_empty(schema *s, expr x) {
    if (x == EXPR_ANY) return false;
    if (x == EXPR_NONE || s->x[x].empty == EMPTY_YES) return true;
    if (s->x[x].empty == EMPTY_NO) return false;
    if (s->x[x].empty == EMPTY_BUSY) return true;
    if (s->empty_depth >= LIMIT_SCHEMA_DEPTH) return false;
    const canon *c = schema_expand(s, x, NULL);
    if (!c) return false;
    if (c->lits || c->n_num || c->n_str) {
        s->x[x].empty = EMPTY_NO;
        return false;
    }
    s->x[x].empty = EMPTY_BUSY;
    s->empty_depth++;
    bool found = false;
    for (uint32_t i = 0; i < c->n_arr && !found; i++) found = !schema_arr_empty(s, &c->arr[i]);
    for (uint32_t i = 0; i < c->n_obj && !found; i++) found = !schema_obj_empty(s, &c->obj[i]);
    s->empty_depth--;
    s->x[x].empty = found ? EMPTY_NO : s->empty_depth == 0 ? EMPTY_YES : EMPTY_UNKNOWN;
    return !found;
}

/* ---- automata ---- */

const dfa *schema_keep(schema *s, dfa *d, err *e) {
    s->dfa_work += d ? d->work : LIMIT_DFA_WORK;
    if (!d) return NULL;
    if (s->dfa_work > LIMIT_SCHEMA_WORK) {
        dfa_free(d);
        err_set(e, ERR_USAGE, "pattern, format or enum: all of them take too long to compile");
        return NULL;
    }
    for (size_t i = 0; i < s->n_dfas; i++)
        if (dfa_equal(s->dfas[i].d, d)) {
            dfa_free(d);
            return s->dfas[i].d;
        }
    s->dfa_bytes += (size_t)d->n_states * (size_t)d->n_classes * sizeof *d->next;
    size_t cap = s->n_dfas + 1;
    kept_dfa *v = s->n_dfas % 16 ? s->dfas : realloc(s->dfas, (cap + 15) * sizeof *v);
    if (!v || s->dfa_bytes > LIMIT_SCHEMA_MEMORY) {
        if (v) s->dfas = v;
        dfa_free(d);
        err_set(e, ERR_NO_FIT, "the schema's patterns need too much memory");
        return NULL;
    }
    s->dfas = v;
    v[s->n_dfas++] = (kept_dfa){.d = d};
    return d;
}

const uint32_t *schema_texts(schema *s, const dfa *kept) {
    for (size_t i = 0; i < s->n_dfas && !kept->texts; i++) {
        dfa *d = s->dfas[i].d;
        if (d != kept) continue;
        uint32_t *texts = malloc((size_t)d->n_states * sizeof *texts);
        if (texts && dfa_count(d, texts)) d->texts = texts, s->dfa_bytes += (size_t)d->n_states * 4;
        else free(texts);
        break;
    }
    return kept->texts;
}

const dfa *schema_strings(schema *s, expr x, bool *any, err *e) {
    const canon *c = schema_expand(s, x, e);
    const dfa *lang = NULL;
    *any = false;
    for (uint32_t i = 0; c && i < c->n_str; i++) {
        const str_spec *t = &c->str[i];
        if (!t->lang && t->min == 0 && t->max == UINT32_MAX) {
            *any = true;
            return NULL;
        }
        dfa *d = t->lang ? dfa_combine(t->lang, NULL, DFA_AND, e) : dfa_length(t->min, t->max, e);
        if (d && lang) {
            dfa *both = dfa_combine(d, lang, DFA_OR, e);
            dfa_free(d);
            d = both;
        }
        lang = schema_keep(s, d, e);
        if (!lang) return NULL;
    }
    return lang;
}

const dfa *schema_regex(schema *s, str pattern, err *e) {
    for (size_t i = 0; i < s->n_dfas; i++)
        if (s->dfas[i].pattern.p && str_eq(s->dfas[i].pattern, pattern)) return s->dfas[i].d;
    dfa *d = dfa_regex(pattern, e);
    const dfa *kept = schema_keep(s, d, e);
    for (size_t i = 0; kept && i < s->n_dfas; i++)
        if (s->dfas[i].d == kept) s->dfas[i].pattern = pattern; /* lives in the schema's JSON */
    return kept;
}

/* ---- the context ---- */

expr schema_root(const schema *s) {
    return s->root;
}

bool schema_is_ordered(const schema *s) {
    return s->ordered;
}

arena *schema_arena(schema *s) {
    return s->mem;
}

size_t schema_bytes(const schema *s) {
    return arena_used(s->mem) + s->dfa_bytes + s->n_x * sizeof *s->x;
}

static bool open_context(schema *s, bool ordered, err *e) {
    s->mem = arena_new(LIMIT_SCHEMA_MEMORY);
    s->extra = json_array();
    s->ordered = ordered;
    if (!s->mem || !s->extra) return err_set(e, ERR_NO_FIT, "out of memory");
    intern(s, &(expr_node){.kind = X_ANY});
    intern(s, &(expr_node){.kind = X_NONE});
    return !s->failed || err_set(e, ERR_NO_FIT, "out of memory");
}

/* Expands everything that can be reached, so that whatever cannot be enforced is said now. */
static bool explore(schema *s, err *e) {
    for (size_t i = 0; i < s->n_seen; i++) {
        const canon *c = schema_expand(s, s->seen[i], e);
        if (!c) return false;
        for (uint32_t k = 0; k < c->n_arr; k++) {
            const arr_spec *a = &c->arr[k];
            if (!schema_see(s, a->rest, e) || !unique_check(s, a, e)) return false;
            for (uint32_t p = 0; p < a->n_prefix; p++)
                if (!schema_see(s, a->prefix[p], e)) return false;
            for (uint32_t p = 0; p < a->n_some; p++)
                if (!schema_see(s, expr_and(s, a->rest, a->some[p].item), e)) return false;
        }
        for (uint32_t k = 0; k < c->n_obj; k++)
            if (!object_prepare(s, &c->obj[k], e)) return false;
    }
    return true;
}

bool schema_see(schema *s, expr x, err *e) {
    if (x <= EXPR_NONE || s->x[x].seen || s->n_seen >= LIMIT_SCHEMA_EXPLORED) return true;
    if (s->n_seen == s->cap_seen) {
        size_t cap = s->cap_seen * 2 + 64;
        expr *v = realloc(s->seen, cap * sizeof *v);
        if (!v) return err_set(e, ERR_NO_FIT, "out of memory");
        s->seen = v, s->cap_seen = cap;
    }
    s->x[x].seen = true;
    s->seen[s->n_seen++] = x;
    return true;
}

static json_t *parse(str text, err *e) {
    json_error_t je;
    if (text.n > LIMIT_SCHEMA_BYTES) {
        err_set(e, ERR_USAGE, "a schema of %zu bytes; at most %u are taken", text.n,
                LIMIT_SCHEMA_BYTES);
        return NULL;
    }
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    json_t *j = json_loadb(text.p, text.n, flags, &je);
    if (!j && json_error_code(&je) == json_error_numeric_overflow)
        j = json_loadb(text.p, text.n, flags | JSON_DECODE_INT_AS_REAL, &je);
    if (!j)
        err_set(e, ERR_USAGE, "the schema is not JSON: line %d, column %d: %s", je.line, je.column,
                je.text);
    return j;
}

schema *schema_new(str text, bool ordered, err *e) {
    schema *s = calloc(1, sizeof *s);
    err mine = {0};
    if (!e) e = &mine;
    if (!s || !open_context(s, ordered, e)) goto fail;
    s->json = parse(text, e);
    if (!s->json || !schema_index(s, s->json, e)) goto fail;
    s->root = expr_of(s, s->json, schema_base_of(s, s->json, 0));
    if (!schema_see(s, s->root, e) || !explore(s, e)) goto fail;
    if (s->failed) {
        err_set(e, ERR_NO_FIT, "the schema needs too much memory");
        goto fail;
    }
    if (ordered && schema_empty(s, s->root)) { /* to be written; a check just says no */
        err_set(e, ERR_USAGE, "no value can satisfy this schema");
        goto fail;
    }
    return s;
fail:
    schema_free(s);
    return NULL;
}

schema *schema_any_object(err *e) {
    return schema_new(STR("{\"type\":\"object\"}"), true, e);
}

void schema_free(schema *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n_dfas; i++) dfa_free(s->dfas[i].d);
    free(s->dfas);
    free(s->x);
    free(s->table);
    free(s->seen);
    free(s->places);
    json_decref(s->json);
    json_decref(s->extra);
    arena_free(s->mem);
    free(s);
}
