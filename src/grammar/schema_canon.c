/* And, or and not of canonical forms. */
#include "base/limits.h"
#include "grammar/schema_private.h"

canon *canon_new(schema *s) {
    return arena_alloc(schema_arena(s), sizeof(canon));
}

static bool memory(err *e) {
    return err_set(e, ERR_NO_FIT, "the schema needs too much memory");
}

static bool too_many(err *e) {
    return err_set(e, ERR_USAGE, "anyOf, oneOf, allOf and not combine to over %d alternatives",
                   LIMIT_SCHEMA_ALTERNATIVES);
}

/* Room for n more elements of a list that is in the arena: copies it. */
static void *list_grow(schema *s, const void *old, size_t n_old, size_t more, size_t size) {
    char *p = arena_calloc(schema_arena(s), n_old + more + 1, size);
    if (p && n_old) memcpy(p, old, n_old * size);
    return p;
}

/* ---- numbers ---- */

static bool step_of(const num_spec *n, dec_wide *unit) {
    dec step = n->step;
    if (n->kind == NUM_INTEGER) {
        dec one = {1, 0};
        if (!n->stepped) step = one;
        else if (!dec_lcm(step, one, &step)) return false;
    } else if (!n->stepped) return false;
    *unit = dec_unit(step);
    return true;
}

/* What of the interval the bounds leave, ends included. */
static bool num_within(const num_spec *n, dec_wide *lo, dec_wide *hi, bool hi_open) {
    bool lo_open = false;
    if (n->has_lo) {
        dec_wide v = dec_unit(n->lo);
        if (v > *lo || (v == *lo && n->lo_open)) *lo = v, lo_open = n->lo_open;
    }
    if (n->has_hi) {
        dec_wide v = dec_unit(n->hi);
        if (v < *hi) *hi = v, hi_open = n->hi_open;
        else if (v == *hi) hi_open = hi_open || n->hi_open;
    }
    /* What has more digits than are written does not count. */
    *lo += lo_open, *hi -= hi_open;
    return *lo <= *hi;
}

static dec_wide multiples(dec_wide step, dec_wide lo, dec_wide hi) {
    dec_wide first = lo / step * step;
    if (first < lo) first += step;
    return first > hi ? 0 : (hi - first) / step + 1;
}

uint32_t num_count(const num_spec *n, dec_wide lo, dec_wide hi, bool hi_open) {
    dec_wide step = 1;
    if (!num_within(n, &lo, &hi, hi_open)) return 0;
    bool stepped = step_of(n, &step);
    dec_wide count = multiples(step, lo, hi);
    dec whole = {1, 0};
    if (n->kind == NUM_FRACTION && (!stepped || dec_lcm(n->step, whole, &whole)))
        count -= multiples(dec_unit(whole), lo, hi);
    return count < DFA_MANY ? (uint32_t)count : DFA_MANY;
}

bool num_meets(const num_spec *n, dec_wide lo, dec_wide hi, bool hi_open) {
    dec_wide step = 1;
    if (n->kind == NUM_FRACTION) return num_count(n, lo, hi, hi_open) > 0;
    if (!num_within(n, &lo, &hi, hi_open)) return false;
    if (!step_of(n, &step)) return true;
    dec_wide first = lo / step * step;
    return (first < lo ? first + step : first) <= hi;
}

bool num_is(const num_spec *n, dec_wide v) {
    if (n->kind == NUM_FRACTION && v % dec_pow10(DEC_SCALE) == 0) return false;
    return num_meets(n, v, v, false);
}

bool num_empty(const num_spec *n) {
    dec_wide far = dec_pow10(DEC_DIGITS + DEC_SCALE);
    return !num_meets(n, -far, far, true);
}

static bool num_and(const num_spec *a, const num_spec *b, num_spec *out, err *e) {
    *out = *a;
    if (b->kind != NUM_ANY) {
        if (a->kind != NUM_ANY && a->kind != b->kind) return false;
        out->kind = b->kind;
    }
    if (b->has_lo) {
        int c = out->has_lo ? dec_cmp(b->lo, out->lo) : 1;
        if (c > 0) out->lo = b->lo, out->lo_open = b->lo_open;
        else if (c == 0) out->lo_open |= b->lo_open;
        out->has_lo = true;
    }
    if (b->has_hi) {
        int c = out->has_hi ? dec_cmp(b->hi, out->hi) : -1;
        if (c < 0) out->hi = b->hi, out->hi_open = b->hi_open;
        else if (c == 0) out->hi_open |= b->hi_open;
        out->has_hi = true;
    }
    if (b->stepped) {
        if (!out->stepped) out->step = b->step;
        else if (!dec_lcm(out->step, b->step, &out->step)) {
            err_set(e, ERR_USAGE, "multipleOf: the common multiple is too large");
            return false;
        }
        out->stepped = b->stepped;
    }
    return !num_empty(out);
}

bool num_overlap(const num_spec *a, const num_spec *b) {
    num_spec both;
    err mine = {0};
    return num_and(a, b, &both, &mine) || mine.code;
}

/* The complement, as up to four alternatives. */
static int num_not(schema *s, const num_spec *a, num_spec out[4], err *e) {
    int n = 0;
    if (a->stepped) {
        err_set(e, ERR_USAGE,
                "multipleOf (in %s): under not (or in one branch of oneOf) it cannot be enforced",
                schema_path(s, a->stepped));
        return -1;
    }
    if (a->kind != NUM_ANY)
        out[n++] = (num_spec){.kind = a->kind == NUM_INTEGER ? NUM_FRACTION : NUM_INTEGER};
    if (a->has_lo) out[n++] = (num_spec){.has_hi = true, .hi = a->lo, .hi_open = !a->lo_open};
    if (a->has_hi) out[n++] = (num_spec){.has_lo = true, .lo = a->hi, .lo_open = !a->hi_open};
    return n;
}

/* ---- strings ---- */

/* The spec with its lengths made part of the automaton. */
static bool str_fold(schema *s, str_spec *a, err *e) {
    if (!a->lang || (a->min == 0 && a->max == UINT32_MAX)) return true;
    dfa *len = dfa_length(a->min, a->max, e);
    dfa *both = len ? dfa_combine(a->lang, len, DFA_AND, e) : NULL;
    dfa_free(len);
    a->lang = schema_keep(s, both, e);
    a->min = 0, a->max = UINT32_MAX;
    return a->lang != NULL;
}

/* 1: something is left; 0: nothing; -1: an error. */
static int str_and(schema *s, const str_spec *a, const str_spec *b, str_spec *out, err *e) {
    out->min = a->min > b->min ? a->min : b->min;
    out->max = a->max < b->max ? a->max : b->max;
    if (out->min > out->max) return 0;
    out->lang = a->lang ? a->lang : b->lang;
    if (a->lang && b->lang && a->lang != b->lang) {
        dfa *d = dfa_combine(a->lang, b->lang, DFA_AND, e);
        out->lang = schema_keep(s, d, e);
        if (!out->lang) return -1;
    }
    if (!str_fold(s, out, e)) return -1;
    return !out->lang || out->lang->start;
}

static int str_not(schema *s, const str_spec *a, str_spec out[2], err *e) {
    int n = 0;
    if (a->lang) {
        dfa *d = dfa_combine(NULL, a->lang, DFA_AND_NOT, e);
        const dfa *kept = schema_keep(s, d, e);
        if (!kept) return -1;
        out[n++] = (str_spec){kept, 0, UINT32_MAX};
        return n;
    }
    if (a->min > 0) out[n++] = (str_spec){NULL, 0, a->min - 1};
    if (a->max < UINT32_MAX) out[n++] = (str_spec){NULL, a->max + 1, UINT32_MAX};
    return n;
}

/* ---- arrays ---- */

static expr arr_item(const arr_spec *a, uint32_t i) {
    return i < a->n_prefix ? a->prefix[i] : a->rest;
}

static bool arr_and(schema *s, const arr_spec *a, const arr_spec *b, arr_spec *out, err *e) {
    out->n_prefix = a->n_prefix > b->n_prefix ? a->n_prefix : b->n_prefix;
    expr *prefix = arena_calloc(schema_arena(s), out->n_prefix + 1u, sizeof *prefix);
    arr_some *some = list_grow(s, a->some, a->n_some, b->n_some, sizeof *some);
    if (!prefix || !some) return memory(e);
    for (uint32_t i = 0; i < out->n_prefix; i++)
        prefix[i] = expr_and(s, arr_item(a, i), arr_item(b, i));
    out->prefix = prefix;
    out->rest = expr_and(s, a->rest, b->rest);
    out->min = a->min > b->min ? a->min : b->min;
    out->max = a->max < b->max ? a->max : b->max;
    for (uint32_t i = 0; i < b->n_some; i++) some[a->n_some + i] = b->some[i];
    out->some = some;
    out->n_some = a->n_some + b->n_some;
    out->unique = a->unique ? a->unique : b->unique;
    return true;
}

static const arr_spec arr_any = {.rest = EXPR_ANY, .max = UINT32_MAX};

/* Appends what breaks a: an element that does not fit, too few, too many, the wrong number of
 * those that contains counts. */
static bool arr_not(schema *s, const arr_spec *a, canon *out, err *e) {
    if (a->unique)
        return err_set(e, ERR_USAGE,
                       "uniqueItems (in %s): under not (or in one branch of oneOf) it "
                       "cannot be enforced",
                       schema_path(s, a->unique));
    size_t room = a->n_prefix + 1u + 2u + 2u * a->n_some;
    arr_spec *v = arena_calloc(schema_arena(s), room, sizeof *v);
    arr_some *some = arena_calloc(schema_arena(s), 2u * a->n_some + 1u, sizeof *some);
    if (!v || !some) return memory(e);
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->n_prefix; i++) {
        if (a->prefix[i] == EXPR_ANY) continue;
        expr *prefix = arena_calloc(schema_arena(s), i + 1u, sizeof *prefix);
        if (!prefix) return memory(e);
        prefix[i] = expr_not(s, a->prefix[i]); /* those before it: EXPR_ANY is 0 */
        v[n] = arr_any;
        v[n].prefix = prefix, v[n].n_prefix = i + 1, v[n].min = i + 1;
        n++;
    }
    uint32_t m = 0;
    if (a->rest != EXPR_ANY) {
        some[m] = (arr_some){expr_not(s, a->rest), a->n_prefix, 1, UINT32_MAX};
        v[n] = arr_any;
        v[n].some = &some[m++], v[n++].n_some = 1;
    }
    if (a->min > 0) v[n] = arr_any, v[n++].max = a->min - 1;
    if (a->max < UINT32_MAX) v[n] = arr_any, v[n++].min = a->max + 1;
    arr_some *count = arena_calloc(schema_arena(s), 2u * a->n_some + 1u, sizeof *count);
    if (!count) return memory(e);
    for (uint32_t i = 0, k = 0; i < a->n_some; i++) {
        const arr_some *c = &a->some[i];
        if (c->min > 0) {
            count[k] = (arr_some){c->item, c->from, 0, c->min - 1};
            v[n] = arr_any, v[n].some = &count[k++], v[n++].n_some = 1;
        }
        if (c->max < UINT32_MAX) {
            count[k] = (arr_some){c->item, c->from, c->max + 1, UINT32_MAX};
            v[n] = arr_any, v[n].some = &count[k++], v[n++].n_some = 1;
        }
    }
    out->arr = v, out->n_arr = n;
    return true;
}

/* ---- objects ---- */

static bool obj_and(schema *s, const obj_spec *a, const obj_spec *b, obj_spec *out, err *e) {
    obj_clause *all = list_grow(s, a->all, a->n_all, b->n_all, sizeof *all);
    obj_clause *some = list_grow(s, a->some, a->n_some, b->n_some, sizeof *some);
    if (!all || !some) return memory(e);
    *out = (obj_spec){.all = all, .some = some, .n_all = a->n_all, .n_some = a->n_some};
    for (uint32_t i = 0; i < b->n_all; i++) {
        bool known = false;
        for (uint32_t k = 0; k < out->n_all && !known; k++)
            known = all[k].keys == b->all[i].keys && all[k].value == b->all[i].value;
        if (!known) all[out->n_all++] = b->all[i];
    }
    for (uint32_t i = 0; i < b->n_some; i++) {
        bool known = false;
        for (uint32_t k = 0; k < out->n_some && !known; k++)
            known = some[k].value == b->some[i].value &&
                    (some[k].keys == b->some[i].keys ||
                     (some[k].keys->kind == KEY_NAME && b->some[i].keys->kind == KEY_NAME &&
                      str_eq(some[k].keys->name, b->some[i].keys->name)));
        if (!known) some[out->n_some++] = b->some[i];
    }
    if (out->n_all > LIMIT_SCHEMA_CLAUSES || out->n_some > LIMIT_SCHEMA_CLAUSES)
        return err_set(e, ERR_USAGE, "an object with over %d rules", LIMIT_SCHEMA_CLAUSES);
    out->min = a->min > b->min ? a->min : b->min;
    out->max = a->max < b->max ? a->max : b->max;
    return true;
}

static bool obj_not(schema *s, const obj_spec *a, canon *out, err *e) {
    obj_spec *v = arena_calloc(schema_arena(s), a->n_all + a->n_some + 2u, sizeof *v);
    obj_clause *clause = arena_calloc(schema_arena(s), a->n_all + a->n_some + 1u, sizeof *clause);
    if (!v || !clause) return memory(e);
    uint32_t n = 0, k = 0;
    for (uint32_t i = 0; i < a->n_all; i++) {
        expr broken = expr_not(s, a->all[i].value);
        if (broken == EXPR_NONE) continue;
        clause[k] = (obj_clause){a->all[i].keys, broken};
        v[n++] = (obj_spec){.some = &clause[k++], .n_some = 1, .max = UINT32_MAX};
    }
    for (uint32_t i = 0; i < a->n_some; i++) {
        clause[k] = (obj_clause){a->some[i].keys, expr_not(s, a->some[i].value)};
        v[n++] = (obj_spec){.all = &clause[k++], .n_all = 1, .max = UINT32_MAX};
    }
    if (a->min > 0) v[n++] = (obj_spec){.max = a->min - 1};
    if (a->max < UINT32_MAX) v[n++] = (obj_spec){.min = a->max + 1, .max = UINT32_MAX};
    out->obj = v, out->n_obj = n;
    return true;
}

/* ---- whole forms ---- */

const canon *canon_any(schema *s) {
    canon *c = canon_new(s);
    if (!c) return NULL;
    c->num = arena_alloc(schema_arena(s), sizeof *c->num);
    c->str = arena_alloc(schema_arena(s), sizeof *c->str);
    c->arr = arena_alloc(schema_arena(s), sizeof *c->arr);
    c->obj = arena_alloc(schema_arena(s), sizeof *c->obj);
    if (!c->num || !c->str || !c->arr || !c->obj) return NULL;
    c->lits = LIT_ALL;
    c->str->max = UINT32_MAX;
    *c->arr = arr_any;
    c->obj->max = UINT32_MAX;
    c->n_num = c->n_str = c->n_arr = c->n_obj = 1;
    return c;
}

static bool nums_and(schema *s, const canon *a, const canon *b, canon *out, err *e) {
    size_t most = (size_t)a->n_num * b->n_num;
    if (most > LIMIT_SCHEMA_ALTERNATIVES) return too_many(e);
    out->num = arena_calloc(schema_arena(s), most + 1, sizeof *out->num);
    if (!out->num) return memory(e);
    for (uint32_t i = 0; i < a->n_num; i++)
        for (uint32_t k = 0; k < b->n_num; k++) {
            err mine = {0};
            if (num_and(&a->num[i], &b->num[k], &out->num[out->n_num], &mine)) out->n_num++;
            else if (mine.code)
                return err_set(e, mine.code, "%s (in %s)", mine.msg,
                               schema_path(s, b->num[k].stepped));
        }
    return true;
}

static bool strs_and(schema *s, const canon *a, const canon *b, canon *out, err *e) {
    size_t most = (size_t)a->n_str * b->n_str;
    if (most > LIMIT_SCHEMA_ALTERNATIVES) return too_many(e);
    out->str = arena_calloc(schema_arena(s), most + 1, sizeof *out->str);
    if (!out->str) return memory(e);
    for (uint32_t i = 0; i < a->n_str; i++)
        for (uint32_t k = 0; k < b->n_str; k++) {
            int got = str_and(s, &a->str[i], &b->str[k], &out->str[out->n_str], e);
            if (got < 0) return false;
            out->n_str += (uint32_t)got;
        }
    return true;
}

bool canon_and(schema *s, const canon *a, const canon *b, canon *out, err *e) {
    out->lits = a->lits & b->lits;
    if (!nums_and(s, a, b, out, e) || !strs_and(s, a, b, out, e)) return false;
    size_t arrs = (size_t)a->n_arr * b->n_arr, objs = (size_t)a->n_obj * b->n_obj;
    if (arrs > LIMIT_SCHEMA_ALTERNATIVES || objs > LIMIT_SCHEMA_ALTERNATIVES) return too_many(e);
    out->arr = arena_calloc(schema_arena(s), arrs + 1, sizeof *out->arr);
    out->obj = arena_calloc(schema_arena(s), objs + 1, sizeof *out->obj);
    if (!out->arr || !out->obj) return memory(e);
    for (uint32_t i = 0; i < a->n_arr; i++)
        for (uint32_t k = 0; k < b->n_arr; k++) {
            arr_spec *to = &out->arr[out->n_arr];
            if (!arr_and(s, &a->arr[i], &b->arr[k], to, e)) return false;
            if (!schema_arr_empty(s, to)) out->n_arr++;
        }
    for (uint32_t i = 0; i < a->n_obj; i++)
        for (uint32_t k = 0; k < b->n_obj; k++) {
            obj_spec *to = &out->obj[out->n_obj];
            if (!obj_and(s, &a->obj[i], &b->obj[k], to, e)) return false;
            if (!schema_obj_empty(s, to)) out->n_obj++;
        }
    return true;
}

static bool num_free(const num_spec *n) {
    return n->kind == NUM_ANY && !n->has_lo && !n->has_hi && !n->stepped;
}

static bool str_free(const str_spec *t) {
    return !t->lang && t->min == 0 && t->max == UINT32_MAX;
}

static bool arr_free(const arr_spec *a) {
    bool free_prefix = true;
    for (uint32_t i = 0; i < a->n_prefix; i++) free_prefix &= a->prefix[i] == EXPR_ANY;
    return free_prefix && a->rest == EXPR_ANY && !a->min && a->max == UINT32_MAX && !a->n_some &&
           !a->unique;
}

static bool obj_free(const obj_spec *o) {
    return !o->n_all && !o->n_some && !o->min && o->max == UINT32_MAX;
}

/* One union of alternatives of one type; a free alternative swallows the others, and equal ones
 * are kept once. */
#define UNION(field, count, is_free)                                                               \
    do {                                                                                           \
        size_t size = sizeof *out->field;                                                          \
        if (a->count + b->count > LIMIT_SCHEMA_ALTERNATIVES) return too_many(e);                   \
        out->field = list_grow(s, a->field, a->count, b->count, size);                             \
        if (!out->field) return memory(e);                                                         \
        out->count = a->count;                                                                     \
        for (uint32_t i = 0; i < b->count; i++) {                                                  \
            bool known = false;                                                                    \
            for (uint32_t k = 0; k < out->count && !known; k++)                                    \
                known = memcmp(&out->field[k], &b->field[i], size) == 0;                           \
            if (!known) out->field[out->count++] = b->field[i];                                    \
        }                                                                                          \
        for (uint32_t i = 0; i < out->count; i++)                                                  \
            if (is_free(&out->field[i])) {                                                         \
                out->field[0] = out->field[i];                                                     \
                out->count = 1;                                                                    \
            }                                                                                      \
    } while (0)

bool canon_or(schema *s, const canon *a, const canon *b, canon *out, err *e) {
    out->lits = a->lits | b->lits;
    UNION(num, n_num, num_free);
    UNION(str, n_str, str_free);
    UNION(arr, n_arr, arr_free);
    UNION(obj, n_obj, obj_free);
    /* Languages of strings join into one automaton: one path to follow instead of many. */
    while (out->n_str > 1 && out->str[0].lang && out->str[out->n_str - 1].lang) {
        err ignored = {0};
        dfa *d = dfa_combine(out->str[0].lang, out->str[out->n_str - 1].lang, DFA_OR, &ignored);
        if (!d) s->dfa_work += LIMIT_DFA_WORK / 4;
        if (!d) break;
        out->str[0].lang = schema_keep(s, d, e);
        if (!out->str[0].lang) return false;
        out->n_str--;
    }
    return true;
}

/* De Morgan, alternative by alternative: the complement of each cuts down what is left. */
bool canon_not(schema *s, const canon *a, canon *out, err *e) {
    const canon *any = canon_any(s);
    if (!any) return memory(e);
    canon left = *any;
    left.lits = LIT_ALL & ~a->lits;
    uint32_t most = a->n_num;
    if (a->n_str > most) most = a->n_str;
    if (a->n_arr > most) most = a->n_arr;
    if (a->n_obj > most) most = a->n_obj;
    for (uint32_t i = 0; i < most; i++) {
        canon part = *any, next = {0};
        num_spec nums[4];
        str_spec strs[2];
        if (i < a->n_num) {
            int n = num_not(s, &a->num[i], nums, e);
            if (n < 0) return false;
            part.num = nums, part.n_num = (uint32_t)n;
        }
        if (i < a->n_str) {
            int n = str_not(s, &a->str[i], strs, e);
            if (n < 0) return false;
            part.str = strs, part.n_str = (uint32_t)n;
        }
        if (i < a->n_arr && !arr_not(s, &a->arr[i], &part, e)) return false;
        if (i < a->n_obj && !obj_not(s, &a->obj[i], &part, e)) return false;
        unsigned lits = left.lits;
        if (!canon_and(s, &left, &part, &next, e)) return false;
        left = next;
        left.lits = lits;
    }
    *out = left;
    return true;
}
