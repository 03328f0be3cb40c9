/* Filters on sequences: map, select, sort, group, join and their like. */
#include <string.h>

#include "template/jinja_filters.h"

/* ---- attributes by path: "function.name", 0, "a.0.b" ---- */

typedef struct getter {
    jv path; /* JV_MISSING: the item itself */
    jv otherwise;
    bool fold_case;
} getter;

static bool path_part(R *r, str part, jv *out) {
    uint64_t i;
    bool digits = part.n > 0;
    for (size_t k = 0; k < part.n; k++) digits = digits && part.p[k] >= '0' && part.p[k] <= '9';
    if (digits && str_to_u64(part, &i) && i < INT64_MAX) {
        *out = jv_int((int64_t)i);
        return true;
    }
    return jv_str(r, part, false, out);
}

static bool fold(R *r, jv *v, bool fold_case) {
    return !fold_case || v->type != JV_STR || jstr_case(r, v->u.s, JCASE_LOWER, v);
}

static bool get_path(R *r, jv item, str path, jv otherwise, jv *out) {
    size_t at = 0;
    while (at <= path.n) {
        size_t dot = str_find(path, STR("."), at);
        if (dot == (size_t)-1) dot = path.n;
        jv key;
        if (!path_part(r, (str){path.p + at, dot - at}, &key) || !jv_item(r, item, key, &item))
            return false;
        if (item.type == JV_UNDEFINED && otherwise.type != JV_MISSING && otherwise.type != JV_NONE)
            item = otherwise;
        at = dot + 1;
    }
    *out = item;
    return true;
}

static bool get(R *r, const getter *g, jv item, jv *out) {
    *out = item;
    if (!jinja_spend(r, 1)) return false;
    if (g->path.type == JV_STR) {
        if (!get_path(r, item, jstr_str(g->path.u.s), g->otherwise, out)) return false;
    } else if (g->path.type != JV_MISSING && g->path.type != JV_NONE) {
        if (!jv_item(r, item, g->path, out)) return false;
        if (out->type == JV_UNDEFINED && g->otherwise.type > JV_NONE) *out = g->otherwise;
    }
    return fold(r, out, g->fold_case);
}

/* "age,name": a list of both, as sort has it. A single key is a list too: what is equal need not be
 * comparable then. */
static bool get_several(R *r, const getter *g, jv item, jv *out) {
    jv one;
    if (!jv_list(r, JL_LIST, 1, out)) return false;
    if (g->path.type != JV_STR) return get(r, g, item, &one) && jlist_push(r, out->u.list, one);
    str s = jstr_str(g->path.u.s);
    for (size_t at = 0; at <= s.n;) {
        size_t comma = str_find(s, STR(","), at);
        if (comma == (size_t)-1) comma = s.n;
        jv v, none = {0};
        if (!get_path(r, item, (str){s.p + at, comma - at}, none, &v) ||
            !fold(r, &v, g->fold_case) || !jlist_push(r, out->u.list, v) || !jinja_spend(r, 1))
            return false;
        at = comma + 1;
    }
    return true;
}

static bool getter_of(R *r, jv path, jv case_sensitive, getter *g) {
    bool sensitive;
    if (!jarg_truth(r, case_sensitive, &sensitive)) return false;
    *g = (getter){.path = path, .fold_case = !sensitive};
    return true;
}

static bool copy_items(R *r, jv in, jlist_kind kind, jv *out) {
    jlist *l;
    if (!jv_items(r, in, &l) || !jinja_spend(r, l->n / 16) || !jv_list(r, kind, l->n, out))
        return false;
    if (l->n) memcpy(out->u.list->v, l->v, l->n * sizeof *l->v);
    out->u.list->n = l->n;
    return true;
}

/* ---- whole sequences ---- */

bool jfilter_length(R *r, jv in, const jv *arg, jv *out) {
    int64_t n;
    (void)arg;
    if (!jv_length(r, in, &n)) return false;
    *out = jv_int(n);
    return true;
}

bool jfilter_list(R *r, jv in, const jv *arg, jv *out) {
    (void)arg;
    return copy_items(r, in, JL_LIST, out);
}

bool jfilter_first(R *r, jv in, const jv *arg, jv *out) {
    (void)arg;
    if (in.type == JV_LIST && in.u.list->kind == JL_GENERATOR && in.u.list->n) {
        *out = *in.u.list->v++;
        in.u.list->n--;
        return true;
    }
    if (in.type == JV_STR && in.u.s->n) {
        uint32_t cp;
        return jv_sub(r, in.u.s, 0, jchar_at(in.u.s, 0, &cp), out);
    }
    jlist *l;
    if (!jv_items(r, in, &l)) return false;
    if (l->n == 0) return jv_undef_hint(r, "No first item, sequence was empty.", out);
    *out = l->v[0];
    return true;
}

bool jfilter_last(R *r, jv in, const jv *arg, jv *out) {
    jlist *l;
    (void)arg;
    if (in.type == JV_LIST && in.u.list->kind == JL_GENERATOR)
        return jinja_fail(r, "'generator' object is not reversible");
    if (!jv_items(r, in, &l)) return false;
    if (l->n == 0) return jv_undef_hint(r, "No last item, sequence was empty.", out);
    *out = l->v[l->n - 1];
    return true;
}

bool jfilter_reverse(R *r, jv in, const jv *arg, jv *out) {
    (void)arg;
    if (in.type == JV_STR) return jv_slice(r, in, (jv){0}, (jv){0}, jv_int(-1), out);
    if (!copy_items(r, in, JL_GENERATOR, out)) return false;
    jlist *l = out->u.list;
    for (size_t i = 0; i < l->n / 2; i++) {
        jv t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
    return true;
}

bool jdict_items(R *r, const jdict *d, jv *out) {
    if (!jinja_spend(r, d->n) || !jv_list(r, JL_ITEMS, d->n, out)) return false;
    for (size_t i = 0; i < d->n; i++) {
        jv pair;
        if (!jv_list(r, JL_TUPLE, 2, &pair) || !jlist_push(r, pair.u.list, d->pair[i].key) ||
            !jlist_push(r, pair.u.list, d->pair[i].value) || !jlist_push(r, out->u.list, pair))
            return false;
    }
    return true;
}

bool jfilter_items(R *r, jv in, const jv *arg, jv *out) {
    (void)arg;
    if (in.type == JV_UNDEFINED) return jv_list(r, JL_GENERATOR, 0, out);
    if (in.type != JV_DICT) return jinja_fail(r, "Can only get item pairs from a mapping.");
    if (!jdict_items(r, in.u.dict, out)) return false;
    out->u.list->kind = JL_GENERATOR;
    return true;
}

bool jfilter_join(R *r, jv in, const jv *arg, jv *out) {
    jlist *l;
    const jstr *d = NULL;
    getter g = {.path = arg[1]};
    if (arg[0].type != JV_MISSING && !jv_to_str(r, arg[0], &d)) return false;
    if (!jv_items(r, in, &l)) return false;
    jsb b;
    jsb_init(&b, r);
    for (size_t i = 0; i < l->n; i++) {
        jv v;
        if (!get(r, &g, l->v[i], &v)) return false;
        if (i && d) jsb_str(&b, d);
        jsb_value(&b, v);
    }
    return jsb_done(&b, out);
}

bool jfilter_sum(R *r, jv in, const jv *arg, jv *out) {
    jlist *l;
    getter g = {.path = arg[0]};
    *out = arg[1].type == JV_MISSING ? jv_int(0) : arg[1];
    if (out->type == JV_STR)
        return jinja_fail(r, "sum() can't sum strings [use ''.join(seq) instead]");
    if (!jv_items(r, in, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        jv v;
        if (!get(r, &g, l->v[i], &v) || !jv_binary(r, JOP_ADD, *out, v, out)) return false;
    }
    return true;
}

/* ---- in order ---- */

static bool keys_of(R *r, const getter *g, const jlist *l, bool several, jv **out) {
    *out = jinja_alloc(r, (l->n + 1) * sizeof **out);
    if (!*out) return false;
    for (size_t i = 0; i < l->n; i++)
        if (several ? !get_several(r, g, l->v[i], &(*out)[i]) : !get(r, g, l->v[i], &(*out)[i]))
            return false;
    return true;
}

bool jfilter_sort(R *r, jv in, const jv *arg, jv *out) {
    bool reverse;
    getter g;
    jv *key;
    return jarg_truth(r, arg[0], &reverse) && getter_of(r, arg[2], arg[1], &g) &&
           copy_items(r, in, JL_LIST, out) && keys_of(r, &g, out->u.list, true, &key) &&
           jv_sort(r, out->u.list->v, key, out->u.list->n, reverse);
}

bool jfilter_dictsort(R *r, jv in, const jv *arg, jv *out) {
    bool sensitive, reverse, by_value = jv_is(arg[1], "value");
    if (!jarg_truth(r, arg[0], &sensitive) || !jarg_truth(r, arg[2], &reverse)) return false;
    if (!by_value && arg[1].type != JV_MISSING && !jv_is(arg[1], "key"))
        return jinja_fail(r, "You can only sort by either \"key\" or \"value\"");
    if (in.type == JV_UNDEFINED) return jv_undef_fail(r, in);
    if (in.type != JV_DICT)
        return jinja_fail(r, "'%s' object has no attribute 'items'", jv_type_name(in));
    if (!jdict_items(r, in.u.dict, out)) return false;
    jlist *l = out->u.list;
    l->kind = JL_LIST;
    jv *key = jinja_alloc(r, (l->n + 1) * sizeof *key);
    if (!key) return false;
    for (size_t i = 0; i < l->n; i++) {
        key[i] = l->v[i].u.list->v[by_value];
        if (!fold(r, &key[i], !sensitive)) return false;
    }
    return jv_sort(r, l->v, key, l->n, reverse);
}

static bool extreme(R *r, jv in, const jv *arg, bool largest, jv *out) {
    jlist *l;
    getter g;
    jv best;
    if (!getter_of(r, arg[1], arg[0], &g) || !jv_items(r, in, &l)) return false;
    if (l->n == 0) return jv_undef_hint(r, "No aggregated item, sequence was empty.", out);
    *out = l->v[0];
    if (!get(r, &g, l->v[0], &best)) return false;
    for (size_t i = 1; i < l->n; i++) {
        jv key;
        bool better;
        if (!get(r, &g, l->v[i], &key)) return false;
        if (!(largest ? jv_less(r, best, key, ">", &better) : jv_less(r, key, best, "<", &better)))
            return false;
        if (!better) continue;
        best = key;
        *out = l->v[i];
    }
    return true;
}

bool jfilter_min(R *r, jv in, const jv *arg, jv *out) {
    return extreme(r, in, arg, false, out);
}

bool jfilter_max(R *r, jv in, const jv *arg, jv *out) {
    return extreme(r, in, arg, true, out);
}

bool jfilter_unique(R *r, jv in, const jv *arg, jv *out) {
    jlist *l;
    getter g;
    jv seen;
    if (!getter_of(r, arg[1], arg[0], &g) || !jv_items(r, in, &l) || !jv_dict(r, &seen) ||
        !jv_list(r, JL_GENERATOR, 0, out))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        jv key;
        const jv *there;
        if (!get(r, &g, l->v[i], &key) || !jdict_find(r, seen.u.dict, key, &there)) return false;
        if (there) continue;
        if (!jdict_set(r, seen.u.dict, key, jv_none()) || !jlist_push(r, out->u.list, l->v[i]))
            return false;
    }
    return true;
}

bool jfilter_groupby(R *r, jv in, const jv *arg, jv *out) {
    getter g, plain;
    jv sorted, *key;
    if (!getter_of(r, arg[0], arg[2], &g) || !copy_items(r, in, JL_LIST, &sorted)) return false;
    g.otherwise = arg[1];
    plain = g;
    plain.fold_case = false;
    jlist *l = sorted.u.list;
    if (!keys_of(r, &g, l, false, &key) || !jv_sort(r, l->v, key, l->n, false) ||
        !keys_of(r, &g, l, false, &key) || !jv_list(r, JL_LIST, 0, out))
        return false;
    jlist *members = NULL;
    for (size_t i = 0; i < l->n; i++) {
        bool same = false;
        jv pair, name, list;
        if (i && !jv_equal(r, key[i - 1], key[i], &same)) return false;
        if (!same) {
            if (!get(r, &plain, l->v[i], &name) || !jv_list(r, JL_GROUP, 2, &pair) ||
                !jv_list(r, JL_LIST, 0, &list) || !jlist_push(r, pair.u.list, name) ||
                !jlist_push(r, pair.u.list, list) || !jlist_push(r, out->u.list, pair))
                return false;
            members = list.u.list;
        }
        if (!jlist_push(r, members, l->v[i])) return false;
    }
    return true;
}

/* ---- in parts ---- */

bool jfilter_batch(R *r, jv in, const jv *arg, jv *out) {
    jlist *l;
    int64_t size;
    jv row = {0};
    if (!jv_to_int(r, arg[0], &size) || !jv_items(r, in, &l) || !jv_list(r, JL_GENERATOR, 0, out))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        if (i == 0 || (int64_t)row.u.list->n == size) {
            if (!jv_list(r, JL_LIST, 0, &row) || !jlist_push(r, out->u.list, row)) return false;
        }
        if (!jlist_push(r, row.u.list, l->v[i])) return false;
    }
    bool fills = arg[1].type != JV_MISSING && arg[1].type != JV_NONE;
    while (fills && l->n && (int64_t)row.u.list->n < size)
        if (!jinja_spend(r, 1) || !jlist_push(r, row.u.list, arg[1])) return false;
    return true;
}

bool jfilter_slice(R *r, jv in, const jv *arg, jv *out) {
    jlist *l;
    int64_t slices;
    if (!jv_to_int(r, arg[0], &slices) || !jv_items(r, in, &l) || !jv_list(r, JL_GENERATOR, 0, out))
        return false;
    if (slices == 0) return jinja_fail(r, "integer division or modulo by zero");
    if (slices < 0) return true;
    size_t each = l->n / (size_t)slices, extra = l->n % (size_t)slices, at = 0;
    bool fills = arg[1].type != JV_MISSING && arg[1].type != JV_NONE;
    for (size_t k = 0; k < (size_t)slices; k++) {
        jv row;
        size_t n = each + (k < extra);
        if (!jinja_spend(r, 1) || !jv_list(r, JL_LIST, n, &row)) return false;
        for (size_t i = 0; i < n; i++)
            if (!jlist_push(r, row.u.list, l->v[at++])) return false;
        if (fills && k >= extra && !jlist_push(r, row.u.list, arg[1])) return false;
        if (!jlist_push(r, out->u.list, row)) return false;
    }
    return true;
}

/* ---- by filter or test ---- */

static jv keyword(const jargs *a, const char *name) {
    for (size_t i = 0; i < a->n_kw; i++)
        if (str_eq(jstr_str(a->kw[i].name), str_of(name))) return a->kw[i].value;
    return (jv){0};
}

bool jfilter_map(R *r, jv in, const jargs *a, jv *out) {
    jlist *l;
    getter g = {.path = keyword(a, "attribute"), .otherwise = keyword(a, "default")};
    bool yes;
    if (!jv_list(r, JL_GENERATOR, 0, out) || !jv_truth(r, in, &yes)) return false;
    if (!yes) return true;
    const jfilter *f = NULL;
    jargs rest = *a;
    if (a->n == 0 && g.path.type != JV_MISSING) {
        size_t known = 1 + (g.otherwise.type != JV_MISSING);
        if (a->n_kw > known) return jinja_fail(r, "Unexpected keyword argument");
    } else {
        if (a->n == 0) return jinja_fail(r, "map requires a filter argument");
        if (a->pos[0].type != JV_STR || !(f = jfilter_find(jstr_str(a->pos[0].u.s))))
            return jinja_fail(r, "No filter of this name for map.");
        rest.pos++;
        rest.n--;
    }
    if (!jv_items(r, in, &l) || !jinja_enter(r)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < l->n; i++) {
        jv v;
        ok = jinja_spend(r, 1) &&
             (f ? jfilter_apply(r, f, l->v[i], &rest, &v) : get(r, &g, l->v[i], &v)) &&
             jlist_push(r, out->u.list, v);
    }
    jinja_leave(r);
    return ok;
}

static bool choose(R *r, jv in, const jargs *a, bool by_attribute, bool wanted, jv *out) {
    jlist *l;
    getter g = {0};
    jargs rest = *a;
    const jtest *t = NULL;
    bool yes;
    if (!jv_list(r, JL_GENERATOR, 0, out) || !jv_truth(r, in, &yes)) return false;
    if (!yes) return true;
    if (by_attribute) {
        if (a->n == 0) return jinja_fail(r, "Missing parameter for attribute name");
        g.path = rest.pos[0];
        rest.pos++;
        rest.n--;
    }
    if (rest.n > 0) {
        if (rest.pos[0].type != JV_STR || !(t = jtest_find(jstr_str(rest.pos[0].u.s))))
            return jinja_fail(r, "No test of this name.");
        rest.pos++;
        rest.n--;
    }
    if (!jv_items(r, in, &l)) return false;
    for (size_t i = 0; i < l->n; i++) {
        jv v;
        if (!get(r, &g, l->v[i], &v)) return false;
        if (t ? !jtest_apply(r, t, v, &rest, &yes) : !jv_truth(r, v, &yes)) return false;
        if (yes == wanted && !jlist_push(r, out->u.list, l->v[i])) return false;
    }
    return true;
}

bool jfilter_select(R *r, jv in, const jargs *a, jv *out) {
    return choose(r, in, a, false, true, out);
}

bool jfilter_reject(R *r, jv in, const jargs *a, jv *out) {
    return choose(r, in, a, false, false, out);
}

bool jfilter_selectattr(R *r, jv in, const jargs *a, jv *out) {
    return choose(r, in, a, true, true, out);
}

bool jfilter_rejectattr(R *r, jv in, const jargs *a, jv *out) {
    return choose(r, in, a, true, false, out);
}
