/* What the schema_*.c files share; see schema.h. */
#ifndef HEARTH_GRAMMAR_SCHEMA_PRIVATE_H
#define HEARTH_GRAMMAR_SCHEMA_PRIVATE_H

#include "grammar/object.h"
#include "grammar/schema.h"

typedef enum expr_kind { X_ANY, X_NONE, X_SCHEMA, X_CONST, X_AND, X_OR, X_NOT } expr_kind;
typedef enum empty_state { EMPTY_UNKNOWN, EMPTY_BUSY, EMPTY_YES, EMPTY_NO } empty_state;

typedef struct expr_node {
    expr_kind kind;
    const json_t *j; /* SCHEMA, CONST; lives as long as the context */
    int32_t base;    /* SCHEMA */
    const expr *of;  /* AND, OR: sorted; NOT: one */
    uint32_t n_of;
    bool busy, seen;
    empty_state empty;
    const canon *form;
} expr_node;

typedef struct kept_dfa {
    dfa *d;
    str pattern;        /* when it is exactly this pattern's */
    const char *format; /* or this format's */
} kept_dfa;

typedef struct named_place {
    str uri; /* absolute, with the anchor after # where there is one */
    const json_t *j;
    int32_t base;
} named_place;

typedef enum draft { DRAFT_4 = 4, DRAFT_6 = 6, DRAFT_7 = 7, DRAFT_2019 = 8, DRAFT_2020 = 9 } draft;

struct schema {
    json_t *json;
    json_t *extra; /* small schemas that keywords stand for */
    arena *mem;
    bool ordered, failed;
    draft draft;
    expr root;
    expr_node *x;
    size_t n_x, cap_x;
    expr *table; /* hash of expressions; -1: free */
    size_t table_size;
    int depth, empty_depth;
    expr *seen; /* to be explored */
    size_t n_seen, cap_seen;
    kept_dfa *dfas;
    size_t n_dfas, dfa_bytes;
    uint64_t dfa_work;
    named_place *places;
    size_t n_places, cap_places;
};

/* unique.c: whether the array's uniqueItems can be enforced; how many values its elements have. */
bool unique_check(schema *s, const arr_spec *a, err *e);
uint32_t unique_values(schema *s, const arr_spec *a);
/* What an unevaluated keyword of j asks of the rest; *out NULL: nothing. */
bool schema_unevaluated(schema *s, const json_t *j, int32_t base, bool items, const canon **out,
                        err *e);
bool schema_see(schema *s, expr x, err *e);
bool key_has(const key_set *k, str name);
/* What the value of the property `name` must be. */
expr schema_obj_value(schema *s, const obj_spec *o, str name);

#endif
