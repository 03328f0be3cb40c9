/* One schema's keywords to its canonical form: the table of what Hearth enforces. A keyword that
 * constrains and is not here is refused by name; annotations and unknown words are not rules. */
#include <math.h>
#include <stdio.h>

#include "base/limits.h"
#include "grammar/schema_private.h"

typedef struct reader {
    schema *s;
    const json_t *j; /* the schema object */
    int32_t base;
    err *e;
    /* One alternative of each type, narrowed by the keywords of that type. */
    num_spec num;
    str_spec str;
    arr_spec arr;
    obj_spec obj;
    unsigned lits;
    bool has_num, has_str, has_arr, has_obj;
} reader;

static bool refuse(reader *r, const char *keyword, const char *why) {
    return err_set(r->e, ERR_USAGE, "%s (in %s): %s", keyword, schema_path(r->s, r->j), why);
}

static bool memory(reader *r) {
    return err_set(r->e, ERR_NO_FIT, "the schema needs too much memory");
}

static str text_of(const json_t *j) {
    return (str){json_string_value(j), json_string_length(j)};
}

static const json_t *get(const reader *r, const char *key) {
    return json_object_get(r->j, key);
}

/* ---- types ---- */

static bool add_type(reader *r, const char *name, bool *integer, bool *number) {
    if (!strcmp(name, "null")) r->lits |= LIT_NULL;
    else if (!strcmp(name, "boolean")) r->lits |= LIT_TRUE | LIT_FALSE;
    else if (!strcmp(name, "integer")) *integer = true;
    else if (!strcmp(name, "number")) *number = true;
    else if (!strcmp(name, "string")) r->has_str = true;
    else if (!strcmp(name, "array")) r->has_arr = true;
    else if (!strcmp(name, "object")) r->has_obj = true;
    else if (!strcmp(name, "any")) {
        r->lits = LIT_ALL;
        r->has_str = r->has_arr = r->has_obj = *number = true;
    } else return refuse(r, "type", "not a type's name");
    return true;
}

static bool read_type(reader *r) {
    const json_t *t = get(r, "type");
    bool integer = false, number = false;
    size_t i;
    json_t *v;
    if (!t) {
        r->lits = LIT_ALL;
        r->has_num = r->has_str = r->has_arr = r->has_obj = true;
    } else if (json_is_string(t)) {
        if (!add_type(r, json_string_value(t), &integer, &number)) return false;
    } else if (json_is_array(t)) {
        json_array_foreach(t, i, v) {
            if (!json_is_string(v)) return refuse(r, "type", "must hold names of types");
            if (!add_type(r, json_string_value(v), &integer, &number)) return false;
        }
    } else return refuse(r, "type", "must be a name or a list of names");
    if (integer || number) r->has_num = true;
    if (integer && !number) r->num.kind = NUM_INTEGER;
    if (json_is_true(get(r, "nullable"))) r->lits |= LIT_NULL;
    return true;
}

/* ---- numbers ---- */

/* 1: *out; 2: too far out to matter; 0: refused. */
static int decimal_of(reader *r, const char *keyword, const json_t *v, dec *out, bool *negative) {
    char text[32];
    if (!json_is_number(v)) return refuse(r, keyword, "must be a number"), 0;
    *negative = json_number_value(v) < 0;
    int got;
    if (json_is_integer(v)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
        got = dec_parse(text, out);
    } else got = dec_from_double(json_real_value(v), out);
    if (got == 0) refuse(r, keyword, "more digits than can be enforced (16 after the point)");
    return got;
}

static bool read_bound(reader *r, const char *keyword, bool upper, bool open) {
    const json_t *v = get(r, keyword);
    bool negative = false;
    dec d = {0, 0};
    if (!v) return true;
    if (open && json_is_boolean(v) && r->s->draft <= DRAFT_4) return true; /* read with its bound */
    int got = decimal_of(r, keyword, v, &d, &negative);
    if (got == 0) return false;
    if (got == 2) {
        if (negative != upper) return true; /* beyond whatever can be written */
        return refuse(r, keyword, "beyond what can be enforced (20 digits)");
    }
    if (r->s->draft <= DRAFT_4 && !open)
        open = json_is_true(get(r, upper ? "exclusiveMaximum" : "exclusiveMinimum"));
    num_spec *n = &r->num;
    if (upper && (!n->has_hi || dec_cmp(d, n->hi) < 0 || (dec_cmp(d, n->hi) == 0 && open)))
        n->has_hi = true, n->hi = d, n->hi_open = open;
    if (!upper && (!n->has_lo || dec_cmp(d, n->lo) > 0 || (dec_cmp(d, n->lo) == 0 && open)))
        n->has_lo = true, n->lo = d, n->lo_open = open;
    return true;
}

static bool read_numbers(reader *r) {
    const json_t *step = get(r, "multipleOf");
    bool negative = false;
    if (step) {
        int got = decimal_of(r, "multipleOf", step, &r->num.step, &negative);
        if (got == 0) return false;
        if (got == 2 || r->num.step.m <= 0)
            return refuse(r, "multipleOf",
                          got == 2 ? "too large to be enforced" : "must be above 0");
        r->num.stepped = r->j;
    }
    return read_bound(r, "minimum", false, false) && read_bound(r, "maximum", true, false) &&
           read_bound(r, "exclusiveMinimum", false, true) &&
           read_bound(r, "exclusiveMaximum", true, true);
}

/* A count such as minLength. */
static bool read_count(reader *r, const char *keyword, uint32_t *out) {
    const json_t *v = get(r, keyword);
    if (!v) return true;
    double d = json_number_value(v);
    if (!json_is_number(v) || d < 0 || d != floor(d))
        return refuse(r, keyword, "must be a whole number, 0 or more");
    *out = d >= (double)(UINT32_MAX - 1) ? UINT32_MAX - 1 : (uint32_t)d;
    return true;
}

/* ---- strings ---- */

static bool narrow(reader *r, const char *keyword, const dfa *lang) {
    if (!lang) return err_wrap(r->e, "%s (in %s)", keyword, schema_path(r->s, r->j));
    if (r->str.lang && r->str.lang != lang) {
        dfa *both = dfa_combine(r->str.lang, lang, DFA_AND, r->e);
        lang = schema_keep(r->s, both, r->e);
        if (!lang) return err_wrap(r->e, "%s (in %s)", keyword, schema_path(r->s, r->j));
    }
    r->str.lang = lang;
    return true;
}

static bool read_strings(reader *r) {
    if (!read_count(r, "minLength", &r->str.min) || !read_count(r, "maxLength", &r->str.max))
        return false;
    const json_t *pattern = get(r, "pattern"), *format = get(r, "format");
    if (pattern) {
        if (!json_is_string(pattern)) return refuse(r, "pattern", "must be a string");
        if (!narrow(r, "pattern", schema_regex(r->s, text_of(pattern), r->e))) return false;
    }
    if (json_is_string(format)) {
        bool known = false;
        err mine = {0};
        const dfa *d = schema_format(r->s, json_string_value(format), &known, &mine);
        if (known && !d) return refuse(r, "format", mine.msg);
        if (d && !narrow(r, "format", d)) return false;
    } else if (format) return refuse(r, "format", "must be a string");
    if (r->str.min > r->str.max) r->has_str = false;
    if (r->str.lang && (r->str.min || r->str.max != UINT32_MAX)) {
        dfa *len = dfa_length(r->str.min, r->str.max, r->e);
        const dfa *kept = schema_keep(r->s, len, r->e);
        if (!narrow(r, "maxLength with a pattern or format", kept)) return false;
        r->str.min = 0, r->str.max = UINT32_MAX;
    }
    if (r->str.lang && !r->str.lang->start) r->has_str = false;
    return true;
}

/* ---- arrays ---- */

static bool sub_schema(reader *r, const char *keyword, const json_t *v, expr *out) {
    if (!json_is_object(v) && !json_is_boolean(v)) return refuse(r, keyword, "must be a schema");
    *out = expr_of(r->s, v, json_is_object(v) ? schema_base_of(r->s, v, r->base) : r->base);
    return true;
}

static bool read_list(reader *r, const char *keyword, const json_t *v, const expr **out,
                      uint32_t *n) {
    if (!json_is_array(v)) return refuse(r, keyword, "must be a list of schemas");
    expr *x = arena_calloc(schema_arena(r->s), json_array_size(v) + 1, sizeof *x);
    if (!x) return memory(r);
    *n = (uint32_t)json_array_size(v);
    for (uint32_t i = 0; i < *n; i++)
        if (!sub_schema(r, keyword, json_array_get(v, i), &x[i])) return false;
    *out = x;
    return true;
}

static bool read_contains(reader *r) {
    const json_t *v = get(r, "contains");
    if (!v || r->s->draft <= DRAFT_4) return true;
    arr_some *c = arena_alloc(schema_arena(r->s), sizeof *c);
    if (!c) return memory(r);
    *c = (arr_some){.min = 1, .max = UINT32_MAX};
    if (!sub_schema(r, "contains", v, &c->item)) return false;
    if (r->s->draft >= DRAFT_2019 &&
        (!read_count(r, "minContains", &c->min) || !read_count(r, "maxContains", &c->max)))
        return false;
    if (c->min == 0 && c->max == UINT32_MAX) return true;
    r->arr.some = c, r->arr.n_some = 1;
    return true;
}

static bool read_arrays(reader *r) {
    const json_t *items = get(r, "items"), *prefix = get(r, "prefixItems");
    const json_t *more = get(r, "additionalItems");
    arr_spec *a = &r->arr;
    a->rest = EXPR_ANY;
    if (!read_count(r, "minItems", &a->min) || !read_count(r, "maxItems", &a->max)) return false;
    bool tuple = json_is_array(items) && !prefix; /* the older way to write a prefix */
    if (prefix && r->s->draft >= DRAFT_2020) {
        if (!read_list(r, "prefixItems", prefix, &a->prefix, &a->n_prefix)) return false;
    } else if (tuple && !read_list(r, "items", items, &a->prefix, &a->n_prefix)) return false;
    if (tuple) {
        if (more && !sub_schema(r, "additionalItems", more, &a->rest)) return false;
    } else if (items && !sub_schema(r, "items", items, &a->rest)) return false;
    if (json_is_true(get(r, "uniqueItems")) && !(a->rest == EXPR_NONE && a->n_prefix <= 1))
        a->unique = r->j;
    if (!read_contains(r)) return false;
    if (a->min > a->max) r->has_arr = false;
    return true;
}

/* ---- objects ---- */

static key_set *new_keys(reader *r, key_kind kind) {
    key_set *k = arena_alloc(schema_arena(r->s), sizeof *k);
    if (k) k->kind = kind;
    else memory(r);
    return k;
}

static key_set *name_keys(reader *r, str name) {
    key_set *k = new_keys(r, KEY_NAME);
    if (k) k->name = name;
    return k;
}

static bool every_property(reader *r, const json_t *v, const char *keyword) {
    if (v && !json_is_object(v)) return refuse(r, keyword, "must be an object");
    return true;
}

/* properties, patternProperties, additionalProperties: one clause each, and one for the rest. */
static bool read_properties(reader *r) {
    const json_t *props = get(r, "properties"), *patterns = get(r, "patternProperties");
    const json_t *rest = get(r, "additionalProperties"), *names = get(r, "propertyNames");
    if (!every_property(r, props, "properties") ||
        !every_property(r, patterns, "patternProperties"))
        return false;
    size_t n = json_object_size(props) + json_object_size(patterns);
    if (n > LIMIT_SCHEMA_CLAUSES) return refuse(r, "properties", "too many");
    obj_clause *all = arena_calloc(schema_arena(r->s), n + 2, sizeof *all);
    const key_set **others = arena_calloc(schema_arena(r->s), n + 1, sizeof *others);
    if (!all || !others) return memory(r);
    uint32_t at = 0;
    const char *key;
    size_t len;
    json_t *v;
    json_object_keylen_foreach((json_t *)(uintptr_t)props, key, len, v) {
        all[at].keys = others[at] = name_keys(r, (str){key, len});
        if (!others[at] || !sub_schema(r, "properties", v, &all[at].value)) return false;
        at++;
    }
    json_object_keylen_foreach((json_t *)(uintptr_t)patterns, key, len, v) {
        key_set *k = new_keys(r, KEY_LANG);
        if (!k) return false;
        k->lang = schema_regex(r->s, (str){key, len}, r->e);
        if (!k->lang) return err_wrap(r->e, "patternProperties (in %s)", schema_path(r->s, r->j));
        all[at].keys = others[at] = k;
        if (!sub_schema(r, "patternProperties", v, &all[at].value)) return false;
        at++;
    }
    if (rest) {
        key_set *k = new_keys(r, KEY_REST);
        if (!k) return false;
        k->other = others, k->n_other = at;
        all[at].keys = k;
        if (!sub_schema(r, "additionalProperties", rest, &all[at].value)) return false;
        if (all[at].value != EXPR_ANY) at++;
    }
    if (names && r->s->draft > DRAFT_4) {
        expr x;
        if (!sub_schema(r, "propertyNames", names, &x)) return false;
        bool any = false;
        err mine = {0};
        const dfa *lang = schema_strings(r->s, x, &any, &mine);
        if (mine.code) {
            *r->e = mine;
            return err_wrap(r->e, "propertyNames (in %s)", schema_path(r->s, r->j));
        }
        if (!any) {
            key_set *k = new_keys(r, lang ? KEY_NOT_LANG : KEY_EVERY);
            if (!k) return false;
            k->lang = lang;
            all[at++] = (obj_clause){k, EXPR_NONE};
        }
    }
    r->obj.all = all, r->obj.n_all = at;
    return true;
}

static bool require(reader *r, const char *keyword, const json_t *list, obj_spec *o) {
    size_t i;
    json_t *v;
    if (!json_is_array(list)) return refuse(r, keyword, "must be a list of names");
    obj_clause *some = arena_calloc(schema_arena(r->s), json_array_size(list) + 1, sizeof *some);
    if (!some) return memory(r);
    if (json_array_size(list) > LIMIT_SCHEMA_CLAUSES) return refuse(r, keyword, "too many names");
    json_array_foreach(list, i, v) {
        if (!json_is_string(v)) return refuse(r, keyword, "must be a list of names");
        key_set *k = name_keys(r, text_of(v));
        if (!k) return false;
        some[o->n_some++] = (obj_clause){k, EXPR_ANY};
    }
    o->some = some;
    return true;
}

static bool read_objects(reader *r) {
    obj_spec *o = &r->obj;
    if (!read_count(r, "minProperties", &o->min) || !read_count(r, "maxProperties", &o->max) ||
        !read_properties(r))
        return false;
    const json_t *required = get(r, "required");
    if (json_is_boolean(required)) required = NULL; /* draft 3: said of the property itself */
    if (required && !require(r, "required", required, o)) return false;
    if (o->min > o->max) r->has_obj = false;
    return true;
}

/* ---- what combines schemas ---- */

static bool meet(reader *r, const canon **c, const canon *other) {
    canon *both = canon_new(r->s);
    if (!other) return false;
    if (!both) return memory(r);
    if (!canon_and(r->s, *c, other, both, r->e))
        return err_wrap(r->e, "%s", schema_path(r->s, r->j));
    *c = both;
    return true;
}

static bool meet_expr(reader *r, const canon **c, expr x) {
    return x == EXPR_ANY || meet(r, c, schema_expand(r->s, x, r->e));
}

/* oneOf: exactly one. Branches that cannot hold together need no complement. */
static expr one_of(reader *r, const expr *x, uint32_t n) {
    expr *branch = arena_calloc(schema_arena(r->s), n + 1u, sizeof *branch);
    if (!branch) {
        memory(r);
        return EXPR_NONE;
    }
    for (uint32_t i = 0; i < n; i++) {
        branch[i] = x[i];
        for (uint32_t k = 0; k < n; k++) {
            if (k == i) continue;
            expr both = expr_and(r->s, x[i], x[k]);
            if (x[i] == x[k]) branch[i] = EXPR_NONE;
            else if (!schema_empty(r->s, both))
                branch[i] = expr_and(r->s, branch[i], expr_not(r->s, x[k]));
        }
    }
    return expr_or(r->s, branch, n);
}

/* An object that has `name` must also be `then`; anything else is free. */
static bool when_present(reader *r, const canon **c, str name, expr then) {
    const canon *any = canon_any(r->s);
    obj_clause *absent = arena_alloc(schema_arena(r->s), sizeof *absent);
    canon *without = canon_new(r->s), *either = canon_new(r->s);
    if (!any || !absent || !without || !either) return memory(r);
    *absent = (obj_clause){name_keys(r, name), EXPR_NONE};
    if (!absent->keys) return false;
    *without = *any;
    obj_spec *o = arena_alloc(schema_arena(r->s), sizeof *o);
    if (!o) return memory(r);
    *o = (obj_spec){.all = absent, .n_all = 1, .max = UINT32_MAX};
    without->obj = o;
    const canon *with = schema_expand(r->s, then, r->e);
    return with && canon_or(r->s, without, with, either, r->e) && meet(r, c, either);
}

static bool read_dependencies(reader *r, const char *keyword, const canon **c) {
    const json_t *d = get(r, keyword);
    const char *key;
    size_t len;
    json_t *v;
    if (!d) return true;
    if (!json_is_object(d)) return refuse(r, keyword, "must be an object");
    json_object_keylen_foreach((json_t *)(uintptr_t)d, key, len, v) {
        str name = {key, len};
        if (json_is_object(v) || json_is_boolean(v)) {
            expr x;
            if (!sub_schema(r, keyword, v, &x) || !when_present(r, c, name, x)) return false;
            continue;
        }
        /* A list of names, or (draft 3) one: as a small schema of its own. */
        json_t *list = json_is_string(v) ? json_pack("[O]", v) : json_incref(v);
        json_t *small = json_pack("{s:O}", "required", list);
        json_decref(list);
        if (!small || json_array_append_new(r->s->extra, small) != 0) return memory(r);
        expr x = expr_of(r->s, small, r->base);
        if (!when_present(r, c, name, x)) return false;
    }
    return true;
}

static bool read_if(reader *r, const canon **c) {
    const json_t *cond = get(r, "if"), *then = get(r, "then"), *other = get(r, "else");
    expr i, t = EXPR_ANY, o = EXPR_ANY;
    if (!cond || (!then && !other) || r->s->draft < DRAFT_7) return true;
    if (!sub_schema(r, "if", cond, &i) || (then && !sub_schema(r, "then", then, &t)) ||
        (other && !sub_schema(r, "else", other, &o)))
        return false;
    expr way[2] = {expr_and(r->s, i, t), expr_and(r->s, expr_not(r->s, i), o)};
    return meet_expr(r, c, expr_or(r->s, way, 2));
}

static bool read_ref(reader *r, const char *keyword, const canon **c) {
    const json_t *v = get(r, keyword);
    schema_place p;
    if (!v) return true;
    if (!json_is_string(v)) return refuse(r, keyword, "must be a string");
    if (!schema_resolve(r->s, text_of(v), r->base, &p, r->e))
        return err_wrap(r->e, "%s", schema_path(r->s, r->j));
    if (!json_is_object(p.j) && !json_is_boolean(p.j))
        return refuse(r, keyword, "does not lead to a schema");
    return meet_expr(r, c, expr_of(r->s, p.j, p.base));
}

static bool read_combined(reader *r, const canon **c) {
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    for (int k = 0; k < 3; k++) {
        const json_t *v = get(r, lists[k]);
        const expr *x;
        uint32_t n;
        if (!v) continue;
        if (!read_list(r, lists[k], v, &x, &n)) return false;
        if (n == 0) return refuse(r, lists[k], "must not be empty");
        if (k == 1 && !meet_expr(r, c, expr_or(r->s, x, n))) return false;
        if (k == 2 && !meet_expr(r, c, one_of(r, x, n))) return false;
        for (uint32_t i = 0; k == 0 && i < n; i++)
            if (!meet_expr(r, c, x[i])) return false;
    }
    const json_t *not = get(r, "not");
    expr x;
    if (not &&(!sub_schema(r, "not", not, &x) || !meet_expr(r, c, expr_not(r->s, x)))) return false;
    return read_if(r, c) && read_dependencies(r, "dependentRequired", c) &&
           read_dependencies(r, "dependentSchemas", c) && read_dependencies(r, "dependencies", c);
}

static bool read_enum(reader *r, const canon **c) {
    const json_t *list = get(r, "enum"), *value = get(r, "const");
    if (value && r->s->draft > DRAFT_4 && !meet_expr(r, c, expr_const(r->s, value))) return false;
    if (!list) return true;
    size_t n = json_array_size(list), n_texts = 0, n_x = 0;
    if (!json_is_array(list) || n == 0) return refuse(r, "enum", "must be a list of values");
    str *text = arena_calloc(schema_arena(r->s), n + 1, sizeof *text);
    expr *x = arena_calloc(schema_arena(r->s), n + 1, sizeof *x);
    canon *texts = canon_new(r->s);
    if (!text || !x || !texts) return memory(r);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (json_is_string(v)) text[n_texts++] = text_of(v);
        else x[n_x++] = expr_const(r->s, v);
    }
    if (n_x > LIMIT_SCHEMA_ALTERNATIVES) return refuse(r, "enum", "too many values");
    if (n_texts) {
        dfa *d = dfa_strings(text, n_texts, r->e);
        texts->str = arena_alloc(schema_arena(r->s), sizeof *texts->str);
        if (!texts->str) return dfa_free(d), memory(r);
        texts->str->lang = schema_keep(r->s, d, r->e);
        if (!texts->str->lang) return err_wrap(r->e, "enum (in %s)", schema_path(r->s, r->j));
        texts->str->max = UINT32_MAX;
        texts->n_str = 1;
    }
    const canon *rest = n_x ? schema_expand(r->s, expr_or(r->s, x, n_x), r->e) : NULL;
    if (n_x && !rest) return false;
    if (!rest) return meet(r, c, texts);
    canon *both = canon_new(r->s);
    if (!both) return memory(r);
    return canon_or(r->s, texts, rest, both, r->e) && meet(r, c, both);
}

/* Keywords that constrain and are not enforced. */
static bool read_refused(reader *r) {
    static const char *const never[] = {"$dynamicRef", "$recursiveRef", "disallow", "extends",
                                        "divisibleBy"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (get(r, never[i])) return refuse(r, never[i], "is not supported");
    return true;
}

static bool read_unevaluated(reader *r, const canon **c) {
    for (int items = 0; items < 2; items++) {
        const canon *rest;
        if (!schema_unevaluated(r->s, r->j, r->base, items, &rest, r->e)) return false;
        if (rest && !meet(r, c, rest)) return false;
    }
    return true;
}

static const canon *gather(reader *r) {
    canon *c = canon_new(r->s);
    if (!c) {
        memory(r);
        return NULL;
    }
    arena *mem = schema_arena(r->s);
    c->num = arena_alloc(mem, sizeof *c->num);
    c->str = arena_alloc(mem, sizeof *c->str);
    c->arr = arena_alloc(mem, sizeof *c->arr);
    c->obj = arena_alloc(mem, sizeof *c->obj);
    if (!c->num || !c->str || !c->arr || !c->obj) {
        memory(r);
        return NULL;
    }
    *c->num = r->num, *c->str = r->str, *c->arr = r->arr, *c->obj = r->obj;
    c->lits = r->lits;
    c->n_num = r->has_num && !num_empty(&r->num);
    c->n_str = r->has_str, c->n_arr = r->has_arr, c->n_obj = r->has_obj;
    return c;
}

const canon *schema_read(schema *s, const json_t *j, int32_t base, err *e) {
    err mine = {0};
    reader r = {.s = s, .j = j, .base = base, .e = e ? e : &mine};
    r.str.max = r.arr.max = r.obj.max = UINT32_MAX;
    const canon *c = NULL;
    if (s->draft <= DRAFT_7 && json_object_get(j, "$ref")) { /* whatever is beside it is ignored */
        c = canon_any(s);
        return c && read_ref(&r, "$ref", &c) ? c : NULL;
    }
    if (!read_refused(&r) || !read_type(&r) || !read_numbers(&r) || !read_strings(&r) ||
        !read_arrays(&r) || !read_objects(&r) || !(c = gather(&r)) || !read_enum(&r, &c) ||
        !read_ref(&r, "$ref", &c) || !read_combined(&r, &c) || !read_unevaluated(&r, &c))
        return NULL;
    return c;
}

/* ---- constants ---- */

static const canon *const_object(schema *s, const json_t *v, canon *c, err *e) {
    size_t n = json_object_size(v);
    obj_spec *o = arena_alloc(schema_arena(s), sizeof *o);
    obj_clause *all = arena_calloc(schema_arena(s), n + 1, sizeof *all);
    obj_clause *some = arena_calloc(schema_arena(s), n + 1, sizeof *some);
    const key_set **others = arena_calloc(schema_arena(s), n + 1, sizeof *others);
    key_set *keys = arena_calloc(schema_arena(s), n + 1, sizeof *keys);
    if (!o || !all || !some || !others || !keys) {
        err_set(e, ERR_NO_FIT, "the schema needs too much memory");
        return NULL;
    }
    uint32_t at = 0;
    const char *key;
    size_t len;
    json_t *item;
    json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, item) {
        keys[at] = (key_set){.kind = KEY_NAME, .name = {key, len}};
        others[at] = &keys[at];
        all[at] = (obj_clause){&keys[at], expr_const(s, item)};
        some[at] = (obj_clause){&keys[at], EXPR_ANY};
        at++;
    }
    keys[n] = (key_set){.kind = KEY_REST, .other = others, .n_other = at};
    all[n] = (obj_clause){&keys[n], EXPR_NONE};
    *o = (obj_spec){.all = all, .some = some, .n_all = at + 1, .n_some = at, .max = UINT32_MAX};
    c->obj = o, c->n_obj = 1;
    return c;
}

static const canon *const_array(schema *s, const json_t *v, canon *c, err *e) {
    size_t n = json_array_size(v);
    arr_spec *a = arena_alloc(schema_arena(s), sizeof *a);
    expr *prefix = arena_calloc(schema_arena(s), n + 1, sizeof *prefix);
    if (!a || !prefix) {
        err_set(e, ERR_NO_FIT, "the schema needs too much memory");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) prefix[i] = expr_const(s, json_array_get(v, i));
    *a = (arr_spec){.prefix = prefix,
                    .n_prefix = (uint32_t)n,
                    .rest = EXPR_NONE,
                    .min = (uint32_t)n,
                    .max = (uint32_t)n};
    c->arr = a, c->n_arr = 1;
    return c;
}

const canon *schema_read_const(schema *s, const json_t *v, err *e) {
    err mine = {0};
    canon *c = canon_new(s);
    reader r = {.s = s, .j = v, .e = e ? e : &mine};
    if (!c) {
        memory(&r);
        return NULL;
    }
    switch (json_typeof(v)) {
    case JSON_NULL: c->lits = LIT_NULL; return c;
    case JSON_TRUE: c->lits = LIT_TRUE; return c;
    case JSON_FALSE: c->lits = LIT_FALSE; return c;
    case JSON_OBJECT: return const_object(s, v, c, r.e);
    case JSON_ARRAY: return const_array(s, v, c, r.e);
    case JSON_STRING: {
        str t = text_of(v);
        dfa *d = dfa_strings(&t, 1, r.e);
        c->str = arena_alloc(schema_arena(s), sizeof *c->str);
        if (!c->str) return dfa_free(d), memory(&r), NULL;
        c->str->lang = schema_keep(s, d, r.e);
        if (!c->str->lang) return NULL;
        c->str->max = UINT32_MAX, c->n_str = 1;
        return c;
    }
    default: break;
    }
    bool negative;
    num_spec *n = c->num = arena_alloc(schema_arena(s), sizeof *n);
    if (!n) return memory(&r), NULL;
    int got = decimal_of(&r, "const", v, &n->lo, &negative);
    if (got == 2) refuse(&r, "const", "a number beyond what can be enforced (20 digits)");
    if (got != 1) return NULL;
    n->hi = n->lo, n->has_lo = n->has_hi = true;
    c->n_num = 1;
    return c;
}
