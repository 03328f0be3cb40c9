/* What gbnf.c reads and gbnf_match.c follows: rules as one array of elements. */
#ifndef HEARTH_GRAMMAR_GBNF_PRIVATE_H
#define HEARTH_GRAMMAR_GBNF_PRIVATE_H

#include "grammar/match.h"

typedef enum op {
    OP_END,  /* of an alternative */
    OP_SET,  /* one code point; a: index of the first range, b: how many */
    OP_RULE, /* a: the rule */
    OP_JSON, /* a value; a: the schema */
    OP_FREE  /* a text that the automaton a lets through */
} op;

typedef struct element {
    op kind;
    uint32_t a, b;
} element;

typedef struct rule {
    str name;
    uint32_t *alt; /* first element of each alternative */
    uint32_t n_alt, cap_alt;
    bool defined, nullable;
} rule;

struct gbnf {
    element *v;
    uint32_t n, cap;
    dfa_range *range;
    uint32_t n_ranges, cap_ranges;
    rule *rule;
    uint32_t n_rules, cap_rules, root;
    bool rules; /* %json, %except, control tokens */
    schema **json;
    uint32_t n_json, cap_json;
    dfa **free_text;
    uint32_t n_free, cap_free;
    char *text; /* holds the names */
};

/* Whether an element may stand for nothing. */
static inline bool gbnf_nullable(const gbnf *b, const element *x) {
    if (x->kind == OP_FREE) return b->free_text[x->a]->accept[b->free_text[x->a]->start];
    return (x->kind == OP_RULE && b->rule[x->a].nullable);
}

#endif
