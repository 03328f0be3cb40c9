/* JSON Schema as algebra.
 *
 * An *expression* is a schema, or an and / or / not of expressions; it is interned, so equal ones
 * are one. Expanding it gives its *canonical* form: which literals, and for numbers, strings,
 * arrays and objects a list of alternatives, each a plain conjunction that the matcher can follow
 * byte by byte. allOf is a product of alternatives, anyOf a union, not a complement; the values of
 * properties and items stay expressions, expanded when something gets there. This is what makes
 * recursion, if/then/else, dependent keywords and oneOf exact instead of approximate.
 *
 * Objects are conjunctions of two kinds of clause over sets of keys:
 *     all  K V   each property whose key is in K has a value in V
 *     some K V   there is a property with its key in K and its value in V
 * ("required": some {name} anything; "additionalProperties": all (every other key) V) and of how
 * many properties there are. Both kinds are closed under complement. Arrays likewise, with
 * prefixes, the rest, and contains.
 *
 * All of it lives in the context's arena; one thread at a time (the grammar's lock).
 */
#ifndef HEARTH_GRAMMAR_SCHEMA_H
#define HEARTH_GRAMMAR_SCHEMA_H

#include <jansson.h>

#include "base/arena.h"
#include "base/err.h"
#include "grammar/decimal.h"
#include "grammar/dfa.h"

typedef int32_t expr; /* index into the context's expressions */
#define EXPR_ANY 0
#define EXPR_NONE 1

enum { LIT_NULL = 1, LIT_TRUE = 2, LIT_FALSE = 4, LIT_ALL = 7 };

typedef enum num_kind { NUM_ANY, NUM_INTEGER, NUM_FRACTION } num_kind;

typedef struct num_spec {
    num_kind kind;
    bool has_lo, has_hi, lo_open, hi_open;
    dec lo, hi, step;
    const json_t *stepped; /* by step: the schema with its multipleOf; NULL: none */
} num_spec;

typedef struct str_spec {
    const dfa *lang;   /* NULL: any text */
    uint32_t min, max; /* code points; UINT32_MAX: no limit. With a lang: 0 and no limit */
} str_spec;

typedef struct arr_some {
    expr item;
    uint32_t from;     /* only elements from this index on count */
    uint32_t min, max; /* how many */
} arr_some;

typedef struct arr_spec {
    const expr *prefix;
    uint32_t n_prefix;
    expr rest;
    uint32_t min, max;
    const arr_some *some;
    uint32_t n_some;
    const json_t *unique; /* no element comes twice: the schema that says so; or NULL */
} arr_spec;

typedef enum key_kind { KEY_NAME, KEY_LANG, KEY_NOT_LANG, KEY_REST, KEY_EVERY } key_kind;

typedef struct key_set {
    key_kind kind;
    str name;
    const dfa *lang;
    const struct key_set *const *other; /* REST: every key that is in none of these */
    uint32_t n_other;
} key_set;

typedef struct obj_clause {
    const key_set *keys;
    expr value;
} obj_clause;

typedef struct obj_spec {
    const obj_clause *all, *some;
    uint32_t n_all, n_some;
    uint32_t min, max;
    struct object *object; /* prepared for matching; NULL until then */
} obj_spec;

typedef struct canon {
    unsigned lits;
    num_spec *num;
    str_spec *str;
    arr_spec *arr;
    obj_spec *obj;
    uint32_t n_num, n_str, n_arr, n_obj;
} canon;

typedef struct schema schema;

/* ---- schema.c ---- */

/* Reads a schema's text; ordered: properties come in the schema's order. Errors (ERR_USAGE) name
 * the keyword and its path. */
schema *schema_new(str text, bool ordered, err *e);
schema *schema_any_object(err *e); /* any JSON object */
void schema_free(schema *s);
expr schema_root(const schema *s);
/* The strings that x lets in, as one automaton, *any: all of them. NULL and not *any: none, or an
 * error in *e. */
const dfa *schema_strings(schema *s, expr x, bool *any, err *e);
bool schema_is_ordered(const schema *s);
arena *schema_arena(schema *s);
size_t schema_bytes(const schema *s); /* memory held, about */

/* NULL: out of memory, or a limit, or something that cannot be enforced; said in *e. */
const canon *schema_expand(schema *s, expr x, err *e);
/* Whether nothing satisfies x. An error counts as "not empty", it is met again on the way. */
bool schema_empty(schema *s, expr x);
bool schema_obj_empty(schema *s, const obj_spec *o);
bool schema_arr_empty(schema *s, const arr_spec *a);

expr expr_and(schema *s, expr a, expr b);
expr expr_or(schema *s, const expr *x, size_t n);
expr expr_not(schema *s, expr a);
expr expr_of(schema *s, const json_t *j, int32_t base); /* a (sub)schema */
expr expr_const(schema *s, const json_t *value);        /* exactly this value */

/* ---- schema_read.c: one schema's keywords to canonical form ---- */
const canon *schema_read(schema *s, const json_t *j, int32_t base, err *e);
const canon *schema_read_const(schema *s, const json_t *value, err *e);

/* ---- schema_ref.c: where $ref leads ---- */
typedef struct schema_place {
    const json_t *j;
    int32_t base; /* index of the base URI in force there */
} schema_place;
bool schema_index(schema *s, const json_t *root, err *e); /* finds $id, $anchor; checks keywords */
bool schema_resolve(schema *s, str ref, int32_t base, schema_place *out, err *e);
int32_t schema_base_of(schema *s, const json_t *j, int32_t base); /* its own $id, else base */
const char *schema_path(schema *s, const json_t *j); /* "#/properties/a", for messages */

/* ---- schema_canon.c ---- */
const canon *canon_any(schema *s);
canon *canon_new(schema *s);
bool canon_and(schema *s, const canon *a, const canon *b, canon *out, err *e);
bool canon_or(schema *s, const canon *a, const canon *b, canon *out, err *e);
bool canon_not(schema *s, const canon *a, canon *out, err *e);
bool num_empty(const num_spec *n);
/* Whether [lo, hi] (mantissas at DEC_SCALE, hi_open: without hi) holds a number of the spec. */
bool num_meets(const num_spec *n, dec_wide lo, dec_wide hi, bool hi_open);
/* How many there are in it; DFA_MANY: that many or more. */
uint32_t num_count(const num_spec *n, dec_wide lo, dec_wide hi, bool hi_open);
bool num_overlap(const num_spec *a, const num_spec *b); /* or that cannot be said */
bool num_is(const num_spec *n, dec_wide v);             /* is v (at DEC_SCALE) one of them */

/* Automata live as long as the schema; equal patterns share one. */
/* d NULL: it could not be made, which costs the schema's patterns some of their time. */
const dfa *schema_keep(schema *s, dfa *d, err *e);
const uint32_t *schema_texts(schema *s, const dfa *kept); /* its ->texts, made; NULL: memory */
const dfa *schema_regex(schema *s, str pattern, err *e);
const dfa *schema_format(schema *s, const char *name, bool *known, err *e);

#endif
