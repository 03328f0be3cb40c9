/* Values of a rendering: Python's, as far as templates know them. All live in the rendering's
 * arena and are never freed one by one.
 *
 * A string is bytes (UTF-8, but any bytes are carried) with their origin: `content` for all of
 * them, or byte by byte in `mark`. Cutting a string shares both; building one goes through a jsb,
 * which keeps origins. What builds text must use a jsb, so that no origin is lost.
 *
 * Every function that can fail takes the rendering `R`, where the first error stays (jinja_fail),
 * and returns false.
 */
#ifndef HEARTH_TEMPLATE_JINJA_VALUE_H
#define HEARTH_TEMPLATE_JINJA_VALUE_H

#include <jansson.h>
#include <time.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

typedef struct jinja_run R;

typedef enum jv_type {
    JV_MISSING, /* no value at all: an argument that was not given */
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STR,
    JV_LIST,
    JV_DICT,
    JV_FUNC,
    JV_MACRO,
    JV_LOOP,
    JV_NAMESPACE,
    JV_CYCLER,
    JV_JOINER
} jv_type;

typedef struct jstr {
    const char *p;
    size_t n;            /* bytes */
    const uint8_t *mark; /* [n], 1: content; NULL: as `content` says */
    bool content;
    bool markup; /* escaped for HTML */
} jstr;

typedef enum jlist_kind {
    JL_LIST,
    JL_TUPLE,
    JL_RANGE,
    JL_GENERATOR, /* what map, select and their like give: read once, has no length */
    JL_KEYS,
    JL_VALUES,
    JL_ITEMS,
    JL_GROUP /* a pair of groupby: a tuple with names */
} jlist_kind;

typedef struct jlist jlist;
typedef struct jdict jdict;
typedef struct jfunc jfunc;
typedef struct jmacro jmacro;
typedef struct jloop jloop;
typedef struct jcycler jcycler;
typedef struct jjoiner jjoiner;
typedef struct jundef jundef;

typedef struct jv {
    jv_type type;
    union {
        bool b;
        int64_t i;
        double f;
        const jstr *s;
        jlist *list;
        jdict *dict; /* also of a namespace */
        const jfunc *func;
        const jmacro *macro;
        jloop *loop;
        jcycler *cycler;
        jjoiner *joiner;
        const jundef *undef; /* NULL: nothing is known of it */
    } u;
} jv;

struct jlist {
    jv *v;
    size_t n, cap;
    jlist_kind kind;
    const int64_t *range; /* from, to, step of a whole range(); else NULL */
};

typedef struct jpair {
    jv key, value;
} jpair;

struct jdict { /* in order of insertion */
    jpair *pair;
    size_t n, cap;
    uint32_t *slot; /* [mask + 1] index + 1, 0: free; NULL while small */
    size_t mask;
};

/* What was undefined, for the message when it is used. */
struct jundef {
    const char *owner; /* "dict object"; NULL: a plain name */
    jv name;
    const char *hint; /* a whole message; NULL */
    bool unsafe;      /* there is such a method, but not for templates */
};

typedef struct jkeyword {
    const jstr *name;
    jv value;
} jkeyword;
typedef struct jargs {
    jv *pos;
    size_t n;
    jkeyword *kw;
    size_t n_kw;
} jargs;

struct jfunc {
    const char *name;
    bool (*call)(R *r, jv self, const jargs *a, jv *out);
    /* Or, with the names of its parameters separated by blanks: */
    bool (*bound)(R *r, jv self, const jv *arg, jv *out);
    const char *params;
    int required;
    jv self;
};

struct jcycler {
    jlist *items;
    size_t at;
};

struct jjoiner {
    bool used;
    jv separator;
};

/* ---- errors and budgets (jinja_run.c) ---- */

bool jinja_fail(R *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool jinja_raise(R *r, const jstr *message); /* raise_exception */
bool jinja_spend(R *r, size_t steps);        /* false when the budget is gone */
void *jinja_alloc(R *r, size_t n);           /* zeroed; NULL after jinja_fail */
arena *jinja_arena(R *r);
bool jinja_changeable(const R *r);
struct tm jinja_now(const R *r);
bool jinja_enter(R *r); /* one level deeper; every true is followed by jinja_leave */
void jinja_leave(R *r);
bool jinja_call(R *r, jv callee, const jargs *a, jv *out);

/* ---- making values (jinja_value.c) ---- */

#define JV_OF(t, field, x) ((jv){.type = (t), .u = {.field = (x)}})
static inline jv jv_none(void) {
    return (jv){.type = JV_NONE};
}
static inline jv jv_bool(bool b) {
    return JV_OF(JV_BOOL, b, b);
}
static inline jv jv_int(int64_t i) {
    return JV_OF(JV_INT, i, i);
}
static inline jv jv_float(double f) {
    return JV_OF(JV_FLOAT, f, f);
}
static inline jv jv_undef(void) {
    return (jv){.type = JV_UNDEFINED};
}
bool jv_undef_named(R *r, const char *owner, jv name, jv *out);
bool jv_undef_hint(R *r, const char *hint, jv *out);
bool jv_undef_unsafe(R *r, const char *owner, jv name, jv *out);
bool jv_undef_fail(R *r, jv v);                  /* the error of using it */
bool jv_str(R *r, str s, bool content, jv *out); /* borrows the bytes */
bool jv_str_copy(R *r, str s, bool content, jv *out);
bool jv_lit(R *r, const char *s, jv *out);                         /* borrowed */
bool jv_sub(R *r, const jstr *s, size_t from, size_t to, jv *out); /* bytes */
bool jv_list(R *r, jlist_kind kind, size_t cap, jv *out);
bool jlist_push(R *r, jlist *l, jv v);
bool jv_dict(R *r, jv *out);
bool jdict_set(R *r, jdict *d, jv key, jv value);
bool jdict_remove(R *r, jdict *d, jv key, jv *value, bool *found);
bool jdict_find(R *r, const jdict *d, jv key, const jv **value); /* *value NULL: absent */
const jv *jdict_get(const jdict *d, str key);
bool jv_from_json(R *r, json_t *j, bool content, int depth, jv *out);

static inline str jstr_str(const jstr *s) {
    return (str){s->p, s->n};
}
static inline bool jv_is(jv v, const char *text) {
    return v.type == JV_STR && str_eq(jstr_str(v.u.s), str_of(text));
}
static inline bool jv_is_tuple(jv v) {
    return v.type == JV_LIST && (v.u.list->kind == JL_TUPLE || v.u.list->kind == JL_GROUP);
}
static inline bool jv_is_number(jv v) {
    return v.type == JV_INT || v.type == JV_FLOAT || v.type == JV_BOOL;
}
static inline int64_t jv_as_int(jv v) { /* of JV_INT or JV_BOOL */
    return v.type == JV_BOOL ? v.u.b : v.u.i;
}
static inline double jv_as_f64(jv v) {
    return v.type == JV_FLOAT ? v.u.f : (double)jv_as_int(v);
}

/* ---- what values are ---- */

const char *jv_type_name(jv v);  /* Python's: "str", "NoneType" */
const char *jv_owner_name(jv v); /* "str object", "None" */
bool jv_truth(R *r, jv v, bool *out);
bool jv_equal(R *r, jv a, jv b, bool *out);
bool jv_less(R *r, jv a, jv b, const char *op, bool *out);
bool jv_contains(R *r, jv needle, jv hay, bool *out);
bool jv_length(R *r, jv v, int64_t *out);
bool jv_iterable(jv v);
/* The items, borrowed where v is a list; a generator is emptied. */
bool jv_items(R *r, jv v, jlist **out);
bool jv_hashable(R *r, jv v);
bool jv_sort(R *r, jv *v, jv *key, size_t n, bool reverse); /* stable, by key */
bool jv_attr(R *r, jv of, jv name, jv *out);                /* a.b */
bool jv_item(R *r, jv of, jv key, jv *out);                 /* a[b] */
bool jv_slice(R *r, jv of, jv from, jv to, jv step, jv *out);
bool jv_to_int(R *r, jv v, int64_t *out); /* an index: JV_INT or JV_BOOL */

/* ---- text (jinja_text.c) ---- */

typedef struct jsb {
    R *r;
    char *p;
    uint8_t *mark; /* [cap] once origins are mixed */
    size_t n, cap;
    bool content; /* of all, while mark is NULL */
    bool failed;
} jsb;
void jsb_init(jsb *b, R *r);
bool jsb_put(jsb *b, const char *p, size_t n, bool content);
bool jsb_lit(jsb *b, const char *s);
bool jsb_str(jsb *b, const jstr *s);
bool jsb_part(jsb *b, const jstr *s, size_t from, size_t to);
bool jsb_value(jsb *b, jv v); /* as str() */
bool jsb_repr(jsb *b, jv v);
bool jsb_done(jsb *b, jv *out);

bool jv_to_str(R *r, jv v, const jstr **out); /* str() */
void jfloat_repr(double f, char out[40]);
bool jv_tojson(R *r, jv v, const jv *arg, jv *out);
bool jstr_number(str s, jv *out); /* Python's int() or float() of a text; false: neither */

/* Characters. A broken byte counts as one. */
size_t jstr_length(const jstr *s);
size_t jstr_offset(const jstr *s, size_t index);         /* of a character; the end for too large */
size_t jchar_at(const jstr *s, size_t at, uint32_t *cp); /* its bytes */
bool jchar_is_space(uint32_t cp);
bool jchar_is_alpha(uint32_t cp);
bool jchar_is_digit(uint32_t cp);
bool jchar_is_numeral(uint32_t cp); /* numbers that are no decimal digits */
bool jchar_is_upper(uint32_t cp);
bool jchar_is_lower(uint32_t cp);
bool jchar_is_printable(uint32_t cp);

typedef enum jcase {
    JCASE_UPPER,
    JCASE_LOWER,
    JCASE_TITLE,
    JCASE_CAPITAL,
    JCASE_SWAP,
    JCASE_FOLD
} jcase;
bool jstr_case(R *r, const jstr *s, jcase how, jv *out);
bool jstr_words(R *r, const jstr *s, jv *out); /* the title filter */
enum { JTRIM_LEFT = 1, JTRIM_RIGHT = 2 };
bool jstr_trim(R *r, const jstr *s, const jstr *chars, int sides, jv *out);
bool jstr_replace(R *r, const jstr *s, const jstr *from, const jstr *to, int64_t count, jv *out);
bool jstr_split(R *r, const jstr *s, const jstr *sep, int64_t max, bool from_right, jv *out);
bool jstr_lines(R *r, const jstr *s, bool keep, jv *out);
bool jstr_escape(R *r, const jstr *s, jv *out);
/* align: "<", ">", "^", "=" (after the sign), or "c", as str.center. */
bool jstr_pad(R *r, const jstr *s, int64_t width, str fill, char align, jv *out);
bool jstr_percent(R *r, const jstr *s, jv args, jv *out);       /* "%s" % x */
bool jstr_format(R *r, const jstr *s, const jargs *a, jv *out); /* "{}".format(x) */

/* ---- operators (jinja_ops.c) ---- */

typedef enum jop { JOP_ADD, JOP_SUB, JOP_MUL, JOP_DIV, JOP_FLOORDIV, JOP_MOD, JOP_POW } jop;
bool jv_binary(R *r, jop op, jv a, jv b, jv *out);
bool jv_negate(R *r, jv a, bool minus, jv *out);

/* ---- tables ---- */

typedef struct jfilter {
    const char *name;
    bool (*bound)(R *r, jv in, const jv *arg, jv *out);
    const char *params; /* names separated by blanks */
    int required;
    bool (*raw)(R *r, jv in, const jargs *a, jv *out); /* instead of bound */
} jfilter;
typedef struct jtest {
    const char *name;
    bool (*test)(R *r, jv in, const jv *arg, bool *out);
    int n_args;
} jtest;
const jfilter *jfilter_find(str name);
const jtest *jtest_find(str name);
bool jfilter_apply(R *r, const jfilter *f, jv in, const jargs *a, jv *out);
bool jtest_apply(R *r, const jtest *t, jv in, const jargs *a, bool *out);
enum { JARGS_MOST = 8 };
/* Sorts arguments into the order of params; arg has room for JARGS_MOST. */
bool jargs_bind(R *r, const char *who, const jargs *a, const char *params, int required, jv *arg);
/* A method of v; *out is JV_MISSING when there is none of this name. */
bool jmethod_find(R *r, jv v, str name, jv *out);
/* range, dict, namespace, ... ; JV_MISSING when there is none. */
jv jglobal_find(str name);

#endif
