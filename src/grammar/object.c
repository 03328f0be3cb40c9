#include "grammar/object.h"

#include <stdlib.h>

#include "grammar/schema_private.h"

static bool memory(err *e) {
    return err_set(e, ERR_NO_FIT, "the schema needs too much memory");
}

/* ---- names ---- */

typedef struct names {
    str *v;
    size_t n, cap;
    bool failed;
} names;

static void add_name(names *n, str name) {
    if (n->n == n->cap) {
        size_t cap = n->cap * 2 + 16;
        str *v = realloc(n->v, cap * sizeof *v);
        if (!v) {
            n->failed = true;
            return;
        }
        n->v = v, n->cap = cap;
    }
    n->v[n->n++] = name;
}

static bool add_lang(object *o, const dfa *lang) {
    for (uint32_t i = 0; i < o->n_langs; i++)
        if (o->lang[i] == lang) return true;
    if (o->n_langs == LIMIT_SCHEMA_KEY_PATTERNS) return false;
    o->lang[o->n_langs++] = lang;
    return true;
}

static bool collect(object *o, const key_set *k, names *n) {
    if (k->kind == KEY_NAME) add_name(n, k->name);
    if (k->kind == KEY_LANG || k->kind == KEY_NOT_LANG) return add_lang(o, k->lang);
    for (uint32_t i = 0; k->kind == KEY_REST && i < k->n_other; i++)
        if (!collect(o, k->other[i], n)) return false;
    return true;
}

static int name_order(const void *pa, const void *pb) {
    const str *a = pa, *b = pb;
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->p, b->p, n) : 0;
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

static int32_t find_name(const object *o, str name) {
    int32_t lo = 0, hi = (int32_t)o->n_names;
    while (lo < hi) {
        int32_t mid = (lo + hi) / 2;
        if (name_order(&o->name[mid], &name) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* ---- the trie ---- */

int32_t object_child(const object *o, int32_t node, uint32_t cp) {
    if (node < 0) return -1;
    int32_t c = o->node[node].child;
    while (c >= 0 && o->node[c].cp != cp) c = o->node[c].sibling;
    return c;
}

static bool build_trie(schema *s, object *o, err *e) {
    size_t bytes = 1;
    for (uint32_t i = 0; i < o->n_names; i++) bytes += o->name[i].n;
    o->node = arena_calloc(schema_arena(s), bytes, sizeof *o->node);
    if (!o->node) return memory(e);
    o->node[0] = (key_node){
        .child = -1, .sibling = -1, .name = -1, .lo = 0, .hi = (int32_t)o->n_names};
    o->n_nodes = 1;
    for (uint32_t i = 0; i < o->n_names; i++) {
        int32_t at = 0;
        for (size_t b = 0; b < o->name[i].n;) {
            uint32_t cp;
            int len = utf8_decode(o->name[i].p + b, o->name[i].n - b, &cp);
            if (len == 0) return err_set(e, ERR_USAGE, "a property's name that is not UTF-8");
            b += (size_t)len;
            int32_t next = object_child(o, at, cp);
            if (next < 0) {
                next = o->n_nodes++;
                o->node[next] = (key_node){.cp = cp,
                                           .child = -1,
                                           .sibling = o->node[at].child,
                                           .name = -1,
                                           .lo = (int32_t)i,
                                           .hi = (int32_t)i};
                o->node[at].child = next;
            }
            o->node[next].hi = (int32_t)i + 1;
            at = next;
        }
        o->node[at].name = (int32_t)i;
    }
    return true;
}

/* ---- keys that are not named ---- */

static bool unnamed_has(const object *o, const key_set *k, uint32_t mask) {
    uint32_t bit = 0;
    switch (k->kind) {
    case KEY_NAME: return false;
    case KEY_EVERY: return true;
    case KEY_LANG:
    case KEY_NOT_LANG:
        for (uint32_t i = 0; i < o->n_langs; i++)
            if (o->lang[i] == k->lang) bit = mask >> i & 1;
        return k->kind == KEY_LANG ? bit : !bit;
    case KEY_REST: break;
    }
    for (uint32_t i = 0; i < k->n_other; i++)
        if (unnamed_has(o, k->other[i], mask)) return false;
    return true;
}

const key_label *object_label(schema *s, object *o, uint32_t mask) {
    for (uint32_t i = 0; i < o->n_labels; i++)
        if (o->label[i].mask == mask) return &o->label[i];
    if (o->n_labels == o->cap_labels) {
        uint32_t cap = o->cap_labels * 2 + 4;
        key_label *v = arena_calloc(schema_arena(s), cap, sizeof *v);
        if (!v) return NULL;
        if (o->n_labels) memcpy(v, o->label, o->n_labels * sizeof *v);
        o->label = v, o->cap_labels = cap;
    }
    key_label *l = &o->label[o->n_labels++];
    *l = (key_label){.mask = mask, .value = EXPR_ANY};
    for (uint32_t i = 0; i < o->spec->n_all; i++)
        if (unnamed_has(o, o->spec->all[i].keys, mask))
            l->value = expr_and(s, l->value, o->spec->all[i].value);
    for (uint32_t i = 0; i < o->n_some; i++)
        if (unnamed_has(o, o->spec->some[o->some[i]].keys, mask)) l->some |= 1u << i;
    l->alive = !schema_empty(s, l->value);
    return l;
}

/* The product of all languages; a state's key is the state of each, 0 where dead. */
typedef struct tuple_source {
    schema *s;
    object *o;
    uint16_t *class_in[LIMIT_SCHEMA_KEY_PATTERNS]; /* of each joint class */
    int32_t key[LIMIT_SCHEMA_KEY_PATTERNS];
} tuple_source;

static size_t tuple_step(void *ud, const int32_t *from, size_t n, int cls, const int32_t **to) {
    tuple_source *t = ud;
    for (size_t i = 0; i < n; i++) {
        const dfa *d = t->o->lang[i];
        t->key[i] = d->next[from[i] * d->n_classes + t->class_in[i][cls]];
    }
    *to = t->key;
    return n;
}

static bool tuple_accepts(void *ud, const int32_t *state, size_t n) {
    tuple_source *t = ud;
    uint32_t mask = 0;
    for (size_t i = 0; i < n; i++)
        if (t->o->lang[i]->accept[state[i]]) mask |= 1u << i;
    const key_label *l = object_label(t->s, t->o, mask);
    return l && l->alive;
}

static bool build_extra(schema *s, object *o, err *e) {
    if (o->n_langs == 0) {
        const key_label *l = object_label(s, o, 0);
        if (l) o->extra_any = l->alive;
        return l || memory(e);
    }
    size_t most = 1;
    for (uint32_t i = 0; i < o->n_langs; i++) most += (size_t)o->lang[i]->n_ranges;
    uint32_t *lo = malloc(most * sizeof *lo);
    uint16_t *cls = malloc(most * sizeof *cls);
    uint16_t *cols = malloc(most * o->n_langs * sizeof *cols);
    tuple_source t = {.s = s, .o = o};
    dfa *d = NULL;
    if (lo && cls && cols) {
        int32_t n = 0, n_classes = 0;
        int32_t at[LIMIT_SCHEMA_KEY_PATTERNS] = {0}, start[LIMIT_SCHEMA_KEY_PATTERNS];
        for (uint32_t i = 0; i < o->n_langs; i++) {
            t.class_in[i] = cols + i * most;
            start[i] = o->lang[i]->start;
        }
        for (uint32_t from = 0; from <= DFA_MAX_CP;) {
            uint32_t next = DFA_MAX_CP + 1;
            for (uint32_t i = 0; i < o->n_langs; i++) {
                const dfa *g = o->lang[i];
                while (at[i] + 1 < g->n_ranges && g->lo[at[i] + 1] <= from) at[i]++;
                if (at[i] + 1 < g->n_ranges && g->lo[at[i] + 1] < next) next = g->lo[at[i] + 1];
            }
            int c = 0;
            for (; c < n_classes; c++) {
                bool same = true;
                for (uint32_t i = 0; i < o->n_langs; i++)
                    same &= t.class_in[i][c] == o->lang[i]->class_of[at[i]];
                if (same) break;
            }
            if (c == n_classes) {
                for (uint32_t i = 0; i < o->n_langs; i++)
                    t.class_in[i][c] = o->lang[i]->class_of[at[i]];
                n_classes++;
            }
            lo[n] = from, cls[n++] = (uint16_t)c;
            from = next;
        }
        dfa_source src = {.ud = &t,
                          .n_ranges = n,
                          .n_classes = n_classes,
                          .lo = lo,
                          .class_of = cls,
                          .step = tuple_step,
                          .accepts = tuple_accepts};
        d = dfa_explore(&src, start, o->n_langs, e);
    } else memory(e);
    free(lo), free(cls), free(cols);
    o->extra = schema_keep(s, d, e);
    return o->extra || err_wrap(e, "patternProperties or propertyNames");
}

/* There may be few of them, and each comes once. */
static bool count_extra(schema *s, object *o, err *e) {
    if (!o->extra) return true;
    o->named = arena_calloc(schema_arena(s), o->n_names + 1u, sizeof *o->named);
    if (!o->named || !schema_texts(s, o->extra)) return memory(e);
    o->fewest = DFA_MANY;
    for (int32_t i = 1; i < o->extra->n_states; i++)
        if (o->extra->texts[i] < o->fewest) o->fewest = o->extra->texts[i];
    for (uint32_t i = 0; i < o->n_names; i++)
        o->named[i + 1] = o->named[i] + dfa_accepts(o->extra, o->name[i]);
    return true;
}

/* ---- all of it ---- */

static bool rank_names(schema *s, object *o, err *e) {
    o->rank = arena_calloc(schema_arena(s), o->n_names + 1u, sizeof *o->rank);
    if (!o->rank) return memory(e);
    uint32_t next = 1;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t n = pass ? o->spec->n_some : o->spec->n_all;
        const obj_clause *c = pass ? o->spec->some : o->spec->all;
        for (uint32_t i = 0; i < n; i++) {
            if (c[i].keys->kind != KEY_NAME) continue;
            int32_t at = find_name(o, c[i].keys->name);
            if (o->rank[at] == 0) o->rank[at] = next++;
        }
    }
    for (uint32_t i = 0; i < o->n_names; i++)
        if (o->rank[i] == 0) o->rank[i] = next++;
    return true;
}

static bool read_some(schema *s, object *o, err *e) {
    o->n_words = (o->n_names + 63) / 64 + 1;
    o->required = arena_calloc(schema_arena(s), o->n_words, sizeof *o->required);
    o->some_of = arena_calloc(schema_arena(s), o->n_names + 1u, sizeof *o->some_of);
    if (!o->required || !o->some_of) return memory(e);
    for (uint32_t i = 0; i < o->spec->n_some; i++) {
        const obj_clause *c = &o->spec->some[i];
        if (c->keys->kind == KEY_NAME) {
            /* "there is a property x with a value in V" needs x, and V of it */
            int32_t at = find_name(o, c->keys->name);
            uint64_t bit = 1ull << (at % 64);
            if (!(o->required[at / 64] & bit)) o->n_required++;
            o->required[at / 64] |= bit;
            o->value[at] = expr_and(s, o->value[at], c->value);
            continue;
        }
        if (o->n_some == 32 || i > UINT8_MAX)
            return err_set(e, ERR_USAGE, "not or oneOf: over 32 rules of \"some property\"");
        o->some[o->n_some++] = (uint8_t)i;
    }
    for (uint32_t n = 0; n < o->n_names; n++)
        for (uint32_t i = 0; i < o->n_some; i++)
            if (key_has(o->spec->some[o->some[i]].keys, o->name[n])) o->some_of[n] |= 1u << i;
    return true;
}

bool object_prepare(schema *s, obj_spec *spec, err *e) {
    if (spec->object) return true;
    object *o = arena_alloc(schema_arena(s), sizeof *o);
    if (!o) return memory(e);
    o->spec = spec;
    names n = {0};
    bool few = true;
    for (uint32_t i = 0; i < spec->n_all && few; i++) few = collect(o, spec->all[i].keys, &n);
    for (uint32_t i = 0; i < spec->n_some && few; i++) few = collect(o, spec->some[i].keys, &n);
    bool ok = few && !n.failed;
    if (!few)
        err_set(e, ERR_USAGE, "patternProperties: over %d patterns decide about one object's keys",
                LIMIT_SCHEMA_KEY_PATTERNS);
    else if (n.failed) memory(e);
    if (ok && n.n) qsort(n.v, n.n, sizeof *n.v, name_order);
    for (size_t i = 0; ok && i < n.n; i++)
        if (i == 0 || !str_eq(n.v[i], n.v[i - 1])) n.v[o->n_names++] = n.v[i];
    o->name = ok ? arena_calloc(schema_arena(s), o->n_names + 1u, sizeof *o->name) : NULL;
    o->value = ok ? arena_calloc(schema_arena(s), o->n_names + 1u, sizeof *o->value) : NULL;
    o->alive = ok ? arena_calloc(schema_arena(s), o->n_names + 1u, sizeof *o->alive) : NULL;
    if (ok && (!o->name || !o->value || !o->alive)) ok = memory(e);
    if (ok && o->n_names) memcpy(o->name, n.v, o->n_names * sizeof *o->name);
    free(n.v);
    if (!ok) return false;
    for (uint32_t i = 0; i < o->n_names; i++) o->value[i] = schema_obj_value(s, spec, o->name[i]);
    if (!build_trie(s, o, e) || !rank_names(s, o, e) || !read_some(s, o, e) ||
        !build_extra(s, o, e) || !count_extra(s, o, e))
        return false;
    for (uint32_t i = 0; i < o->n_names; i++) {
        o->alive[i] = !schema_empty(s, o->value[i]);
        if (!schema_see(s, o->value[i], e)) return false;
    }
    for (uint32_t i = 0; i < o->n_labels; i++)
        if (o->label[i].alive && !schema_see(s, o->label[i].value, e)) return false;
    spec->object = o;
    return true;
}
