/* unevaluatedProperties and unevaluatedItems, where what is evaluated can be said without a value:
 * by the schema itself and what always holds beside it ($ref, allOf). Where it would depend on the
 * value (a branch of anyOf, oneOf, if or dependentSchemas that evaluates something; contains) they
 * are refused by name. */
#include "base/limits.h"
#include "grammar/schema_private.h"

typedef struct evaluated {
    schema *s;
    err *e;
    bool items;    /* which of the two is asked */
    bool all;      /* everything is evaluated */
    uint32_t n;    /* items: so many at the front; properties: of these kinds */
    uint32_t room; /* for kinds */
    const key_set **keys;
    int depth;
    uint32_t steps;
    bool depends; /* on the value */
} evaluated;

static void look(evaluated *v, const json_t *j, int32_t base, bool always);

static void look_each(evaluated *v, const json_t *list, int32_t base, bool always) {
    size_t i;
    const char *key;
    json_t *x;
    json_array_foreach(list, i, x) look(v, x, base, always);
    if (json_is_object(list))
        json_object_foreach((json_t *)(uintptr_t)list, key, x) look(v, x, base, always);
}

static void add_keys(evaluated *v, key_set k) {
    key_set *kept = arena_alloc(schema_arena(v->s), sizeof *kept);
    if (v->n == v->room) {
        uint32_t room = v->room * 2 + 16;
        const key_set **more = arena_calloc(schema_arena(v->s), room, sizeof *more);
        if (more && v->n) memcpy(more, v->keys, v->n * sizeof *more);
        v->keys = more, v->room = more ? room : 0;
    }
    if (!kept || !v->keys) {
        v->s->failed = true;
        return;
    }
    *kept = k;
    v->keys[v->n++] = kept;
}

static bool has(const json_t *j, const char *key) {
    return json_object_get(j, key) != NULL;
}

static void look_properties(evaluated *v, const json_t *j, bool always) {
    const json_t *names = json_object_get(j, "properties");
    const json_t *patterns = json_object_get(j, "patternProperties");
    bool all = has(j, "additionalProperties") || has(j, "unevaluatedProperties");
    if (!always) {
        v->depends |= all || json_object_size(names) || json_object_size(patterns);
        return;
    }
    const char *key;
    size_t len;
    json_t *x;
    v->all |= all;
    json_object_keylen_foreach((json_t *)(uintptr_t)names, key, len, x)
        add_keys(v, (key_set){.kind = KEY_NAME, .name = {key, len}});
    json_object_keylen_foreach((json_t *)(uintptr_t)patterns, key, len, x) {
        const dfa *lang = schema_regex(v->s, (str){key, len}, v->e);
        if (lang) add_keys(v, (key_set){.kind = KEY_LANG, .lang = lang});
    }
}

static void look_items(evaluated *v, const json_t *j, bool always) {
    const json_t *items = json_object_get(j, "items");
    bool modern = v->s->draft >= DRAFT_2020;
    const json_t *prefix = modern ? json_object_get(j, "prefixItems") : items;
    bool all = has(j, "unevaluatedItems") || (items && !json_is_array(items)) ||
               (json_is_array(items) && has(j, "additionalItems"));
    if (modern && has(j, "contains")) v->depends = true; /* what it counts is evaluated */
    if (!always) v->depends |= all || json_array_size(prefix) > 0;
    else if (all) v->all = true;
    else if (json_array_size(prefix) > v->n) v->n = (uint32_t)json_array_size(prefix);
}

static void look(evaluated *v, const json_t *j, int32_t base, bool always) {
    if (!json_is_object(j)) return;
    if (v->depth >= LIMIT_SCHEMA_DEPTH || ++v->steps > LIMIT_SCHEMA_CLAUSES) {
        v->depends = true;
        return;
    }
    v->depth++;
    base = schema_base_of(v->s, j, base);
    (v->items ? look_items : look_properties)(v, j, always);
    const json_t *ref = json_object_get(j, "$ref");
    schema_place to;
    if (json_is_string(ref) &&
        schema_resolve(v->s, (str){json_string_value(ref), json_string_length(ref)}, base, &to,
                       v->e))
        look(v, to.j, to.base, always);
    look_each(v, json_object_get(j, "allOf"), base, always);
    look_each(v, json_object_get(j, "anyOf"), base, false);
    look_each(v, json_object_get(j, "oneOf"), base, false);
    look_each(v, json_object_get(j, "dependentSchemas"), base, false);
    if (has(j, "if")) {
        look(v, json_object_get(j, "if"), base, false);
        look(v, json_object_get(j, "then"), base, false);
        look(v, json_object_get(j, "else"), base, false);
    }
    v->depth--;
}

/* What j's own keyword leaves of *c: an object or array in which the rest is x. */
static bool narrow(evaluated *v, expr x, canon *c) {
    arena *mem = schema_arena(v->s);
    if (v->items) {
        expr *prefix = arena_calloc(mem, v->n + 1u, sizeof *prefix); /* EXPR_ANY is 0 */
        c->arr = arena_alloc(mem, sizeof *c->arr);
        if (!prefix || !c->arr) return false;
        *c->arr = (arr_spec){.prefix = prefix, .n_prefix = v->n, .rest = x, .max = UINT32_MAX};
        return true;
    }
    key_set *rest = arena_alloc(mem, sizeof *rest);
    obj_clause *all = arena_alloc(mem, sizeof *all);
    c->obj = arena_alloc(mem, sizeof *c->obj);
    if (!rest || !all || !c->obj) return false;
    *rest = (key_set){.kind = KEY_REST, .other = v->keys, .n_other = v->n};
    *all = (obj_clause){rest, x};
    *c->obj = (obj_spec){.all = all, .n_all = 1, .max = UINT32_MAX};
    return true;
}

bool schema_unevaluated(schema *s, const json_t *j, int32_t base, bool items, const canon **out,
                        err *e) {
    const char *keyword = items ? "unevaluatedItems" : "unevaluatedProperties";
    const json_t *value = json_object_get(j, keyword);
    *out = NULL;
    if (!value || json_is_true(value) || s->draft < DRAFT_2019) return true;
    if (!json_is_object(value) && !json_is_false(value))
        return err_set(e, ERR_USAGE, "%s (in %s): must be a schema", keyword, schema_path(s, j));
    err mine = {0};
    evaluated v = {.s = s, .e = &mine, .items = items};
    json_t *bare = json_copy((json_t *)(uintptr_t)j); /* as if the keyword were not there */
    if (!bare || json_array_append_new(s->extra, bare) != 0 || json_object_del(bare, keyword) != 0)
        return err_set(e, ERR_NO_FIT, "out of memory");
    look(&v, bare, base, true);
    if (mine.code) return *e = mine, false;
    if (v.depends && !v.all)
        return err_set(
            e, ERR_USAGE,
            "%s (in %s): what is evaluated depends on the value, which cannot be enforced", keyword,
            schema_path(s, j));
    if (v.all) return true;
    canon *c = canon_new(s);
    const canon *any = canon_any(s);
    bool ok = c && any;
    if (ok) *c = *any;
    ok = ok && narrow(&v, expr_of(s, value, schema_base_of(s, value, base)), c);
    *out = c;
    return ok || err_set(e, ERR_NO_FIT, "the schema needs too much memory");
}
