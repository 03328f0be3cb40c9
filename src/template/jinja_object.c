/* What values are and how they compare: truth, equality, order, length, items, attributes. */
#include "template/jinja_value.h"

#include <math.h>
#include <stdlib.h>

#include "template/jinja_run.h"

const char *jv_type_name(jv v) {
    static const char *const lists[] = {"list",      "tuple",       "range",      "generator",
                                        "dict_keys", "dict_values", "dict_items", "_GroupTuple"};
    switch (v.type) {
    case JV_MISSING:
    case JV_UNDEFINED: return "Undefined";
    case JV_NONE: return "NoneType";
    case JV_BOOL: return "bool";
    case JV_INT: return "int";
    case JV_FLOAT: return "float";
    case JV_STR: return v.u.s->markup ? "Markup" : "str";
    case JV_LIST: return lists[v.u.list->kind];
    case JV_DICT: return "dict";
    case JV_FUNC: return "function";
    case JV_MACRO: return "Macro";
    case JV_LOOP: return "LoopContext";
    case JV_NAMESPACE: return "Namespace";
    case JV_CYCLER: return "Cycler";
    case JV_JOINER: return "Joiner";
    }
    return "object";
}

const char *jv_owner_name(jv v) {
    static const char *const lists[] = {"list object",       "tuple object",
                                        "range object",      "generator object",
                                        "dict_keys object",  "dict_values object",
                                        "dict_items object", "jinja2.filters._GroupTuple object"};
    switch (v.type) {
    case JV_NONE: return "None";
    case JV_BOOL: return "bool object";
    case JV_INT: return "int object";
    case JV_FLOAT: return "float object";
    case JV_STR: return v.u.s->markup ? "markupsafe.Markup object" : "str object";
    case JV_LIST: return lists[v.u.list->kind];
    case JV_DICT: return "dict object";
    case JV_FUNC: return "function object";
    case JV_MACRO: return "jinja2.runtime.Macro object";
    case JV_LOOP: return "jinja2.runtime.LoopContext object";
    case JV_NAMESPACE: return "jinja2.utils.Namespace object";
    case JV_CYCLER: return "jinja2.utils.Cycler object";
    case JV_JOINER: return "jinja2.utils.Joiner object";
    case JV_MISSING:
    case JV_UNDEFINED: break;
    }
    return "Undefined object";
}

bool jv_truth(R *r, jv v, bool *out) {
    (void)r;
    *out = true;
    switch (v.type) {
    case JV_MISSING:
    case JV_NONE: *out = false; return true;
    case JV_UNDEFINED: *out = false; return true;
    case JV_BOOL: *out = v.u.b; return true;
    case JV_INT: *out = v.u.i != 0; return true;
    case JV_FLOAT: *out = v.u.f != 0; return true;
    case JV_STR: *out = v.u.s->n != 0; return true;
    case JV_LIST: *out = v.u.list->n != 0 || v.u.list->kind == JL_GENERATOR; return true;
    case JV_DICT: *out = v.u.dict->n != 0; return true;
    case JV_LOOP: *out = v.u.loop->items->n != 0; return true;
    default: return true;
    }
}

/* ---- equality and order ---- */

static bool numbers_equal(jv a, jv b) {
    if (a.type == JV_FLOAT || b.type == JV_FLOAT) return jv_as_f64(a) == jv_as_f64(b);
    return jv_as_int(a) == jv_as_int(b);
}

static bool lists_equal(R *r, const jlist *a, const jlist *b, bool *out) {
    *out = a->n == b->n;
    if (a == b) return true;
    for (size_t i = 0; *out && i < a->n; i++)
        if (!jv_equal(r, a->v[i], b->v[i], out)) return false;
    return true;
}

static bool dicts_equal(R *r, const jdict *a, const jdict *b, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        const jv *other;
        if (!jdict_find(r, b, a->pair[i].key, &other)) return false;
        if (!other) *out = false;
        else if (!jv_equal(r, a->pair[i].value, *other, out)) return false;
    }
    return true;
}

static bool is_sequence(jv v, jlist_kind kind) {
    return v.type == JV_LIST && v.u.list->kind == kind;
}

static bool lists_comparable(jv a, jv b) {
    return (jv_is_tuple(a) && jv_is_tuple(b)) ||
           (is_sequence(a, JL_LIST) && is_sequence(b, JL_LIST)) ||
           (is_sequence(a, JL_RANGE) && is_sequence(b, JL_RANGE));
}

bool jv_equal(R *r, jv a, jv b, bool *out) {
    *out = false;
    if (!jinja_spend(r, 1)) return false;
    if (jv_is_number(a) && jv_is_number(b)) {
        *out = numbers_equal(a, b);
        return true;
    }
    if (a.type != b.type) return true;
    switch (a.type) {
    case JV_NONE:
    case JV_UNDEFINED: *out = true; return true;
    case JV_STR:
        *out = str_eq(jstr_str(a.u.s), jstr_str(b.u.s));
        return jinja_spend(r, a.u.s->n / 256);
    case JV_LIST:
        if (!lists_comparable(a, b)) {
            *out = a.u.list == b.u.list;
            return true;
        }
        if (!jinja_enter(r)) return false;
        bool ok = lists_equal(r, a.u.list, b.u.list, out);
        jinja_leave(r);
        return ok;
    case JV_DICT:
        if (!jinja_enter(r)) return false;
        ok = dicts_equal(r, a.u.dict, b.u.dict, out);
        jinja_leave(r);
        return ok;
    default: *out = memcmp(&a.u, &b.u, sizeof(void *)) == 0; return true;
    }
}

static int compare_bytes(const jstr *a, const jstr *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->p, b->p, n) : 0;
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

bool jv_less(R *r, jv a, jv b, const char *op, bool *out) {
    *out = false;
    if (!jinja_spend(r, 1)) return false;
    if (a.type == JV_UNDEFINED) return jv_undef_fail(r, a);
    if (b.type == JV_UNDEFINED) return jv_undef_fail(r, b);
    if (jv_is_number(a) && jv_is_number(b)) {
        if (a.type == JV_FLOAT || b.type == JV_FLOAT) *out = jv_as_f64(a) < jv_as_f64(b);
        else *out = jv_as_int(a) < jv_as_int(b);
        return true;
    }
    if (a.type == JV_STR && b.type == JV_STR) {
        *out = compare_bytes(a.u.s, b.u.s) < 0;
        return jinja_spend(r, a.u.s->n / 256);
    }
    if (a.type != JV_LIST || b.type != JV_LIST || !lists_comparable(a, b) ||
        is_sequence(a, JL_RANGE))
        return jinja_fail(r, "'%s' not supported between instances of '%s' and '%s'", op,
                          jv_type_name(a), jv_type_name(b));
    if (!jinja_enter(r)) return false;
    const jlist *x = a.u.list, *y = b.u.list;
    bool ok = true, same = true;
    size_t i = 0;
    for (; ok && same && i < x->n && i < y->n; i++) ok = jv_equal(r, x->v[i], y->v[i], &same);
    if (ok && same) *out = x->n < y->n;
    else if (ok) ok = jv_less(r, x->v[i - 1], y->v[i - 1], op, out);
    jinja_leave(r);
    return ok;
}

bool jv_contains(R *r, jv needle, jv hay, bool *out) {
    *out = false;
    if (hay.type == JV_STR) {
        if (needle.type != JV_STR)
            return jinja_fail(r, "'in <string>' requires string as left operand, not %s",
                              jv_type_name(needle));
        str s = jstr_str(hay.u.s);
        *out = str_find(s, jstr_str(needle.u.s), 0) != (size_t)-1;
        return jinja_spend(r, s.n / 64);
    }
    if (hay.type == JV_DICT) {
        const jv *v;
        if (!jdict_find(r, hay.u.dict, needle, &v)) return false;
        *out = v != NULL;
        return true;
    }
    if (hay.type == JV_LOOP || !jv_iterable(hay))
        return jinja_fail(r, "argument of type '%s' is not iterable", jv_type_name(hay));
    jlist *l;
    if (!jv_items(r, hay, &l)) return false;
    for (size_t i = 0; !*out && i < l->n; i++)
        if (!jv_equal(r, l->v[i], needle, out)) return false;
    return true;
}

/* ---- sequences ---- */

bool jv_length(R *r, jv v, int64_t *out) {
    switch (v.type) {
    case JV_STR: *out = (int64_t)jstr_length(v.u.s); return jinja_spend(r, v.u.s->n / 256);
    case JV_DICT: *out = (int64_t)v.u.dict->n; return true;
    case JV_LOOP: *out = (int64_t)v.u.loop->items->n; return true;
    case JV_LIST:
        if (v.u.list->kind == JL_GENERATOR) break;
        *out = (int64_t)v.u.list->n;
        return true;
    case JV_UNDEFINED: *out = 0; return true;
    default: break;
    }
    return jinja_fail(r, "object of type '%s' has no len()", jv_type_name(v));
}

bool jv_iterable(jv v) {
    return v.type == JV_LIST || v.type == JV_STR || v.type == JV_DICT || v.type == JV_UNDEFINED ||
           v.type == JV_LOOP;
}

static bool chars_of(R *r, const jstr *s, jlist **out) {
    jv l;
    if (!jinja_spend(r, s->n) || !jv_list(r, JL_LIST, s->n, &l)) return false;
    for (size_t at = 0; at < s->n;) {
        uint32_t cp;
        size_t n = jchar_at(s, at, &cp);
        jv c;
        if (!jv_sub(r, s, at, at + n, &c) || !jlist_push(r, l.u.list, c)) return false;
        at += n;
    }
    *out = l.u.list;
    return true;
}

bool jv_items(R *r, jv v, jlist **out) {
    jv l;
    switch (v.type) {
    case JV_LIST:
        if (v.u.list->kind != JL_GENERATOR) {
            *out = v.u.list;
            return true;
        }
        if (!jv_list(r, JL_LIST, 0, &l)) return false;
        l.u.list->v = v.u.list->v;
        l.u.list->n = l.u.list->cap = v.u.list->n;
        v.u.list->n = v.u.list->cap = 0;
        v.u.list->v = NULL;
        *out = l.u.list;
        return true;
    case JV_STR: return chars_of(r, v.u.s, out);
    case JV_DICT:
        if (!jinja_spend(r, v.u.dict->n) || !jv_list(r, JL_LIST, v.u.dict->n, &l)) return false;
        for (size_t i = 0; i < v.u.dict->n; i++)
            if (!jlist_push(r, l.u.list, v.u.dict->pair[i].key)) return false;
        *out = l.u.list;
        return true;
    case JV_UNDEFINED:
        if (!jv_list(r, JL_LIST, 0, &l)) return false;
        *out = l.u.list;
        return true;
    default: return jinja_fail(r, "'%s' object is not iterable", jv_type_name(v));
    }
}

bool jv_to_int(R *r, jv v, int64_t *out) {
    if (v.type == JV_UNDEFINED) return jv_undef_fail(r, v);
    if (v.type != JV_INT && v.type != JV_BOOL)
        return jinja_fail(r, "'%s' object cannot be interpreted as an integer", jv_type_name(v));
    *out = jv_as_int(v);
    return true;
}

typedef struct sort_row {
    jv key, value;
} sort_row;

bool jv_sort(R *r, jv *v, jv *key, size_t n, bool reverse) {
    if (n < 2) return true;
    sort_row *a = jinja_alloc(r, 2 * n * sizeof *a), *b = a + n;
    if (!a) return false;
    for (size_t i = 0; i < n; i++) a[i] = (sort_row){key[i], v[i]};
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t mid = from + width < n ? from + width : n;
            size_t end = from + 2 * width < n ? from + 2 * width : n;
            size_t i = from, j = mid, k = from;
            while (i < mid && j < end) {
                bool later = false; /* the right one comes first */
                if (!(reverse ? jv_less(r, a[i].key, a[j].key, "<", &later)
                              : jv_less(r, a[j].key, a[i].key, "<", &later)))
                    return false;
                b[k++] = later ? a[j++] : a[i++];
            }
            while (i < mid) b[k++] = a[i++];
            while (j < end) b[k++] = a[j++];
        }
        sort_row *t = a;
        a = b;
        b = t;
    }
    for (size_t i = 0; i < n; i++) v[i] = a[i].value;
    return true;
}

/* ---- attributes and items ---- */

static bool no_such(R *r, jv of, jv name, jv *out) {
    return jv_undef_named(r, jv_owner_name(of), name, out);
}

/* What Python's getattr would give; *out JV_MISSING when there is none. */
static bool native_attr(R *r, jv of, str name, jv *out) {
    *out = (jv){0};
    switch (of.type) {
    case JV_NAMESPACE: {
        const jv *v = jdict_get(of.u.dict, name);
        if (v) *out = *v;
        return true;
    }
    case JV_LOOP: return jloop_attr(r, of.u.loop, name, out);
    case JV_MACRO: return jmacro_attr(r, of.u.macro, name, out);
    case JV_LIST:
        if (of.u.list->kind == JL_GROUP && of.u.list->n == 2) {
            if (str_eq(name, STR("grouper"))) *out = of.u.list->v[0];
            if (str_eq(name, STR("list"))) *out = of.u.list->v[1];
            if (out->type != JV_MISSING) return true;
        }
        return jmethod_find(r, of, name, out);
    default: return jmethod_find(r, of, name, out);
    }
}

/* Python's own attributes ("__class__") exist, but not for templates. */
static bool is_private(str name) {
    return name.n > 4 && str_starts(name, STR("__")) && str_ends(name, STR("__"));
}

bool jv_attr(R *r, jv of, jv name, jv *out) {
    if (of.type == JV_UNDEFINED) return jv_undef_fail(r, of);
    if (!native_attr(r, of, jstr_str(name.u.s), out)) return false;
    if (out->type != JV_MISSING) return true;
    if (is_private(jstr_str(name.u.s))) return jv_undef_unsafe(r, jv_owner_name(of), name, out);
    if (of.type == JV_DICT) {
        const jv *v = NULL;
        if (!jdict_find(r, of.u.dict, name, &v)) return false;
        if (v) {
            *out = *v;
            return true;
        }
    }
    return no_such(r, of, name, out);
}

static bool index_of(R *r, jv of, jv key, size_t n, size_t *at, bool *found) {
    (void)r, (void)of;
    int64_t i = jv_as_int(key);
    if (i < 0) i += (int64_t)n;
    *found = i >= 0 && (uint64_t)i < n;
    *at = (size_t)i;
    return true;
}

static bool char_item(R *r, const jstr *s, jv key, jv *out, bool *found) {
    size_t n = jstr_length(s), at;
    if (!jinja_spend(r, s->n / 256) || !index_of(r, JV_OF(JV_STR, s, s), key, n, &at, found))
        return false;
    if (!*found) return true;
    size_t from = jstr_offset(s, at);
    uint32_t cp;
    return jv_sub(r, s, from, from + jchar_at(s, from, &cp), out);
}

bool jv_item(R *r, jv of, jv key, jv *out) {
    bool found = false;
    size_t at;
    *out = (jv){0};
    if (of.type == JV_UNDEFINED) return jv_undef_fail(r, of);
    bool is_index = key.type == JV_INT || key.type == JV_BOOL;
    if (of.type == JV_DICT) {
        const jv *v = NULL;
        bool usable = key.type != JV_DICT && (key.type != JV_LIST || jv_is_tuple(key));
        if (usable && !jdict_find(r, of.u.dict, key, &v)) return false;
        if (v) {
            *out = *v;
            return true;
        }
    } else if (of.type == JV_LIST && is_index && of.u.list->kind <= JL_RANGE) {
        index_of(r, of, key, of.u.list->n, &at, &found);
        if (found) *out = of.u.list->v[at];
    } else if (of.type == JV_LIST && is_index && of.u.list->kind == JL_GROUP) {
        index_of(r, of, key, of.u.list->n, &at, &found);
        if (found) *out = of.u.list->v[at];
    } else if (of.type == JV_STR && is_index) {
        if (!char_item(r, of.u.s, key, out, &found)) return false;
    }
    if (found) return true;
    if (key.type == JV_STR) {
        if (!native_attr(r, of, jstr_str(key.u.s), out)) return false;
        if (out->type != JV_MISSING) return true;
        if (is_private(jstr_str(key.u.s))) return jv_undef_unsafe(r, jv_owner_name(of), key, out);
    }
    return no_such(r, of, key, out);
}

/* ---- slices ---- */

typedef struct range3 {
    int64_t from, step;
    size_t n; /* how many */
} range3;

static bool slice_bound(R *r, jv v, bool *given, int64_t *out) {
    *given = v.type != JV_NONE && v.type != JV_MISSING;
    if (!*given) return true;
    if (v.type != JV_INT && v.type != JV_BOOL)
        return jinja_fail(r, "slice indices must be integers or None or have an __index__ method");
    *out = jv_as_int(v);
    return true;
}

static int64_t clamp(int64_t x, int64_t n, int64_t low, int64_t high) {
    if (x < 0) x = x < -n ? -1 : x + n;
    return x < low ? low : x > high ? high : x;
}

static bool slice_plan(R *r, jv from, jv to, jv step, size_t len, range3 *out) {
    int64_t a = 0, b = 0, k = 1, n = (int64_t)len;
    bool has_a, has_b, has_k;
    if (!slice_bound(r, from, &has_a, &a) || !slice_bound(r, to, &has_b, &b) ||
        !slice_bound(r, step, &has_k, &k))
        return false;
    if (k == 0) return jinja_fail(r, "slice step cannot be zero");
    if (k == INT64_MIN) k++;
    if (k > 0) {
        a = has_a ? clamp(a, n, 0, n) : 0;
        b = has_b ? clamp(b, n, 0, n) : n;
        out->n = b > a ? (size_t)((b - a - 1) / k + 1) : 0;
    } else {
        a = has_a ? clamp(a, n, -1, n - 1) : n - 1;
        b = has_b ? clamp(b, n, -1, n - 1) : -1;
        out->n = a > b ? (size_t)((a - b - 1) / -k + 1) : 0;
    }
    out->from = a;
    out->step = k;
    return true;
}

static bool slice_str(R *r, const jstr *s, jv from, jv to, jv step, jv *out) {
    range3 p;
    if (!jinja_spend(r, s->n / 64) || !slice_plan(r, from, to, step, jstr_length(s), &p))
        return false;
    if (p.n == 0) return jv_sub(r, s, 0, 0, out);
    if (p.step == 1)
        return jv_sub(r, s, jstr_offset(s, (size_t)p.from), jstr_offset(s, (size_t)p.from + p.n),
                      out);
    jlist *chars;
    jsb b;
    if (!chars_of(r, s, &chars)) return false;
    jsb_init(&b, r);
    for (size_t i = 0; i < p.n; i++) jsb_str(&b, chars->v[p.from + (int64_t)i * p.step].u.s);
    return jsb_done(&b, out);
}

bool jv_slice(R *r, jv of, jv from, jv to, jv step, jv *out) {
    if (of.type == JV_UNDEFINED) return jv_undef_fail(r, of);
    if (of.type == JV_STR) return slice_str(r, of.u.s, from, to, step, out);
    if (of.type != JV_LIST || (of.u.list->kind > JL_RANGE && of.u.list->kind != JL_GROUP)) {
        return jinja_fail(r, "'%s' object is not subscriptable", jv_type_name(of));
    }
    range3 p;
    const jlist *l = of.u.list;
    jlist_kind kind = l->kind == JL_GROUP ? JL_TUPLE : l->kind;
    if (!slice_plan(r, from, to, step, l->n, &p) || !jinja_spend(r, p.n / 16) ||
        !jv_list(r, kind, p.n, out))
        return false;
    for (size_t i = 0; i < p.n; i++)
        if (!jlist_push(r, out->u.list, l->v[p.from + (int64_t)i * p.step])) return false;
    return true;
}
