/* Making values, and lists and dicts; see jinja_value.h. */
#include "template/jinja_value.h"

#include <math.h>
#include <stdlib.h>

/* ---- undefined ---- */

static bool undef_new(R *r, jundef u, jv *out) {
    jundef *copy = jinja_alloc(r, sizeof *copy);
    if (!copy) return false;
    *copy = u;
    *out = JV_OF(JV_UNDEFINED, undef, copy);
    return true;
}

bool jv_undef_named(R *r, const char *owner, jv name, jv *out) {
    return undef_new(r, (jundef){.owner = owner, .name = name}, out);
}

bool jv_undef_hint(R *r, const char *hint, jv *out) {
    return undef_new(r, (jundef){.hint = hint}, out);
}

bool jv_undef_unsafe(R *r, const char *owner, jv name, jv *out) {
    return undef_new(r, (jundef){.owner = owner, .name = name, .unsafe = true}, out);
}

bool jv_undef_fail(R *r, jv v) {
    const jundef *u = v.u.undef;
    if (!u) return jinja_fail(r, "an undefined value is used");
    if (u->hint) return jinja_fail(r, "%s", u->hint);
    jsb b;
    jv text;
    jsb_init(&b, r);
    bool plain = u->name.type == JV_STR && !u->owner;
    if (plain) jsb_str(&b, u->name.u.s);
    else jsb_repr(&b, u->name);
    if (!jsb_done(&b, &text)) return false;
    const jstr *s = text.u.s;
    int n = (int)(s->n < 200 ? s->n : 200);
    if (u->unsafe) {
        const char *end = strstr(u->owner, " object");
        int k = end ? (int)(end - u->owner) : (int)strlen(u->owner);
        return jinja_fail(r, "access to attribute %.*s of '%.*s' object is unsafe.", n, s->p, k,
                          u->owner);
    }
    if (!u->owner) return jinja_fail(r, "'%.*s' is undefined", n, s->p);
    if (u->name.type != JV_STR) return jinja_fail(r, "%s has no element %.*s", u->owner, n, s->p);
    return jinja_fail(r, "'%s' has no attribute %.*s", u->owner, n, s->p);
}

/* ---- strings ---- */

static bool str_new(R *r, jstr s, jv *out) {
    jstr *copy = jinja_alloc(r, sizeof *copy);
    if (!copy) return false;
    *copy = s;
    if (!copy->p) copy->p = "";
    *out = JV_OF(JV_STR, s, copy);
    return true;
}

bool jv_str(R *r, str s, bool content, jv *out) {
    return str_new(r, (jstr){.p = s.p, .n = s.n, .content = content}, out);
}

bool jv_str_copy(R *r, str s, bool content, jv *out) {
    char *p = jinja_alloc(r, s.n);
    if (!p) return false;
    if (s.n) memcpy(p, s.p, s.n);
    return jv_str(r, (str){p, s.n}, content, out);
}

bool jv_lit(R *r, const char *s, jv *out) {
    return jv_str(r, str_of(s), false, out);
}

bool jv_sub(R *r, const jstr *s, size_t from, size_t to, jv *out) {
    if (from > to) from = to;
    if (from == 0 && to == s->n) {
        *out = JV_OF(JV_STR, s, s);
        return true;
    }
    jstr part = *s;
    part.p += from;
    part.n = to - from;
    if (part.mark) part.mark += from;
    return str_new(r, part, out);
}

/* ---- lists ---- */

bool jv_list(R *r, jlist_kind kind, size_t cap, jv *out) {
    jlist *l = jinja_alloc(r, sizeof *l);
    if (!l) return false;
    l->kind = kind;
    if (cap > SIZE_MAX / sizeof *l->v / 2)
        return jinja_fail(r, "a list of %zu items is too long", cap);
    if (cap > 0 && !(l->v = jinja_alloc(r, cap * sizeof *l->v))) return false;
    l->cap = cap;
    *out = JV_OF(JV_LIST, list, l);
    return true;
}

bool jlist_push(R *r, jlist *l, jv v) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        jv *more = jinja_alloc(r, cap * sizeof *more);
        if (!more) return false;
        if (l->n) memcpy(more, l->v, l->n * sizeof *more);
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return true;
}

/* ---- dicts ---- */

enum { DICT_SMALL = 8 };

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(str s) {
    uint64_t h = 0x9ae16a3b2f90404full ^ s.n;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, 8);
        h = mix(h ^ w);
    }
    for (; i < s.n; i++) h = h * 0x100000001b3ull ^ (unsigned char)s.p[i];
    return mix(h);
}

/* Equal keys have equal hashes: 1, 1.0 and true are one key. */
static uint64_t hash_of(jv v) {
    switch (v.type) {
    case JV_STR: return hash_bytes(jstr_str(v.u.s));
    case JV_BOOL:
    case JV_INT: return mix((uint64_t)jv_as_int(v));
    case JV_FLOAT:
        if (v.u.f >= -9e18 && v.u.f <= 9e18 && v.u.f == floor(v.u.f))
            return mix((uint64_t)(int64_t)v.u.f);
        else {
            uint64_t bits;
            memcpy(&bits, &v.u.f, sizeof bits);
            return mix(bits);
        }
    case JV_LIST: {
        uint64_t h = 77;
        if (!jv_is_tuple(v)) return h;
        for (size_t i = 0; i < v.u.list->n; i++) h = mix(h ^ hash_of(v.u.list->v[i]));
        return h;
    }
    default: return 3 + (uint64_t)v.type;
    }
}

/* Refuses lists and dicts; bounds the nesting of tuples, on which hash_of recurses. */
static bool hashable(R *r, jv v, int depth) {
    bool changes = v.type == JV_LIST && (v.u.list->kind == JL_LIST || v.u.list->kind == JL_KEYS ||
                                         v.u.list->kind == JL_ITEMS);
    if (v.type == JV_DICT || changes)
        return jinja_fail(r, "unhashable type: '%s'", jv_type_name(v));
    if (!jv_is_tuple(v)) return true;
    if (depth == 0) return jinja_fail(r, "a key of tuples nests too deep");
    for (size_t i = 0; i < v.u.list->n; i++)
        if (!hashable(r, v.u.list->v[i], depth - 1)) return false;
    return jinja_spend(r, v.u.list->n);
}

bool jv_hashable(R *r, jv v) {
    return hashable(r, v, 16);
}

bool jv_dict(R *r, jv *out) {
    jdict *d = jinja_alloc(r, sizeof *d);
    if (!d) return false;
    *out = JV_OF(JV_DICT, dict, d);
    return true;
}

static bool same_key(R *r, jv a, jv b, bool *same) {
    if (a.type == JV_STR && b.type == JV_STR) {
        *same = str_eq(jstr_str(a.u.s), jstr_str(b.u.s));
        return true;
    }
    return jv_equal(r, a, b, same);
}

/* The index of a key; d->n when it is absent. */
static bool dict_index(R *r, const jdict *d, jv key, size_t *index) {
    bool same = false;
    *index = d->n;
    if (!jv_hashable(r, key)) return false;
    if (!d->slot) {
        for (size_t i = 0; i < d->n; i++) {
            if (!same_key(r, d->pair[i].key, key, &same)) return false;
            if (!same) continue;
            *index = i;
            return true;
        }
        return true;
    }
    size_t probes = 1;
    for (size_t at = hash_of(key) & d->mask; d->slot[at]; at = (at + 1) & d->mask, probes++) {
        if (!same_key(r, d->pair[d->slot[at] - 1].key, key, &same)) return false;
        if (!same) continue;
        *index = d->slot[at] - 1;
        break;
    }
    return probes < 16 || jinja_spend(r, probes);
}

static bool dict_reindex(R *r, jdict *d) {
    size_t want = 16;
    while (want < 2 * d->cap) want *= 2;
    if (want != d->mask + 1 || !d->slot) {
        d->slot = jinja_alloc(r, want * sizeof *d->slot);
        if (!d->slot) return false;
        d->mask = want - 1;
    } else {
        memset(d->slot, 0, want * sizeof *d->slot);
    }
    for (size_t i = 0; i < d->n; i++) {
        size_t at = hash_of(d->pair[i].key) & d->mask;
        while (d->slot[at]) at = (at + 1) & d->mask;
        d->slot[at] = (uint32_t)i + 1;
    }
    return true;
}

bool jdict_set(R *r, jdict *d, jv key, jv value) {
    size_t i;
    if (!dict_index(r, d, key, &i)) return false;
    if (i < d->n) {
        d->pair[i].value = value;
        return true;
    }
    if (d->n >= UINT32_MAX - 1) return jinja_fail(r, "a dict has too many items");
    bool grown = d->n == d->cap;
    if (grown) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        jpair *more = jinja_alloc(r, cap * sizeof *more);
        if (!more) return false;
        if (d->n) memcpy(more, d->pair, d->n * sizeof *more);
        d->pair = more;
        d->cap = cap;
    }
    d->pair[d->n++] = (jpair){key, value};
    if (d->n <= DICT_SMALL) return true;
    if (grown || !d->slot) return dict_reindex(r, d);
    size_t at = hash_of(key) & d->mask;
    while (d->slot[at]) at = (at + 1) & d->mask;
    d->slot[at] = (uint32_t)d->n;
    return true;
}

bool jdict_remove(R *r, jdict *d, jv key, jv *value, bool *found) {
    size_t i;
    if (!dict_index(r, d, key, &i)) return false;
    *found = i < d->n;
    if (!*found) return true;
    *value = d->pair[i].value;
    memmove(d->pair + i, d->pair + i + 1, (d->n - i - 1) * sizeof *d->pair);
    d->n--;
    return jinja_spend(r, d->n) && (!d->slot || dict_reindex(r, d));
}

bool jdict_find(R *r, const jdict *d, jv key, const jv **value) {
    size_t i;
    if (!dict_index(r, d, key, &i)) return false;
    *value = i < d->n ? &d->pair[i].value : NULL;
    return true;
}

const jv *jdict_get(const jdict *d, str key) {
    if (!d->slot) {
        for (size_t i = 0; i < d->n; i++)
            if (d->pair[i].key.type == JV_STR && str_eq(jstr_str(d->pair[i].key.u.s), key))
                return &d->pair[i].value;
        return NULL;
    }
    for (size_t at = hash_bytes(key) & d->mask; d->slot[at]; at = (at + 1) & d->mask) {
        const jpair *p = &d->pair[d->slot[at] - 1];
        if (p->key.type == JV_STR && str_eq(jstr_str(p->key.u.s), key)) return &p->value;
    }
    return NULL;
}

/* ---- from JSON ---- */

/* Names of speakers are words of the template's, whoever writes them: templates put them inside
 * their turn markers. Only these. */
static bool is_known_role(str s) {
    static const char *const roles[] = {"system",   "developer", "user",  "assistant",   "tool",
                                        "function", "ipython",   "model", "observation", "context",
                                        "document", "documents", "root"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_eq(s, str_of(roles[i]))) return true;
    return false;
}

static bool object_from_json(R *r, json_t *j, bool content, int depth, jv *out) {
    const char *key;
    json_t *item;
    if (!jv_dict(r, out)) return false;
    json_object_foreach(j, key, item) {
        jv k, v;
        bool role = strcmp(key, "role") == 0 && json_is_string(item) &&
                    is_known_role((str){json_string_value(item), json_string_length(item)});
        if (!jv_str(r, str_of(key), content, &k) ||
            !jv_from_json(r, item, content && !role, depth - 1, &v) ||
            !jdict_set(r, out->u.dict, k, v))
            return false;
    }
    return true;
}

bool jv_from_json(R *r, json_t *j, bool content, int depth, jv *out) {
    if (depth == 0) return jinja_fail(r, "the variables nest too deep");
    switch (json_typeof(j)) {
    case JSON_NULL: *out = jv_none(); return true;
    case JSON_TRUE: *out = jv_bool(true); return true;
    case JSON_FALSE: *out = jv_bool(false); return true;
    case JSON_INTEGER: *out = jv_int(json_integer_value(j)); return true;
    case JSON_REAL: *out = jv_float(json_real_value(j)); return true;
    case JSON_STRING:
        return jv_str(r, (str){json_string_value(j), json_string_length(j)}, content, out);
    case JSON_OBJECT: return object_from_json(r, j, content, depth, out);
    case JSON_ARRAY: break;
    }
    if (!jv_list(r, JL_LIST, json_array_size(j), out)) return false;
    for (size_t i = 0; i < json_array_size(j); i++) {
        jv v;
        if (!jv_from_json(r, json_array_get(j, i), content, depth - 1, &v) ||
            !jlist_push(r, out->u.list, v))
            return false;
    }
    return true;
}
