/* An object's rules prepared for matching: which keys there may be, byte by byte, and what the
 * value of each must be.
 *
 * Named keys form a trie over code points; a node knows which run of the sorted names lies below
 * it. Keys that no name matches are told apart by the languages (patternProperties, propertyNames)
 * that contain them: one automaton runs over all of these at once and knows, in each state, how
 * many keys that are let in can still be reached.
 */
#ifndef HEARTH_GRAMMAR_OBJECT_H
#define HEARTH_GRAMMAR_OBJECT_H

#include "base/limits.h"
#include "grammar/schema.h"

typedef struct key_node {
    uint32_t cp;
    int32_t child, sibling; /* -1: none */
    int32_t name;           /* the key that ends here, or -1 */
    int32_t lo, hi;         /* names below, in sorted order */
} key_node;

typedef struct key_label {
    uint32_t mask; /* languages that hold the key */
    expr value;
    uint32_t some; /* clauses of `some` whose keys hold it */
    bool alive;    /* such a key is let in */
} key_label;

typedef struct object {
    const obj_spec *spec;
    str *name; /* [n_names] sorted */
    expr *value;
    uint32_t *some_of; /* clauses of `some` that a name may serve */
    uint32_t *rank;    /* place in the schema's own order */
    bool *alive;       /* its value can be written */
    uint64_t *required;
    uint32_t n_names, n_required, n_words;
    key_node *node; /* [0] is the root */
    int32_t n_nodes;
    const dfa *lang[LIMIT_SCHEMA_KEY_PATTERNS];
    uint32_t n_langs;
    const dfa *extra; /* keys let in by languages; NULL: see extra_any */
    uint32_t fewest;  /* texts that one of its states leads to, the least of all; see dfa_count */
    uint32_t *named;  /* [n_names + 1] how many of the names before it extra holds as well */
    bool extra_any;   /* without languages: whether other keys are let in */
    key_label *label;
    uint32_t n_labels, cap_labels;
    uint8_t some[32]; /* clauses that are not "this name is there": index into spec->some */
    uint32_t n_some;
} object;

/* Sets o->object. False: memory, or too many patterns for keys. */
bool object_prepare(schema *s, obj_spec *o, err *e);
/* The rules of keys that no name matches, by the languages that hold them. NULL: memory. */
const key_label *object_label(schema *s, object *o, uint32_t mask);
int32_t object_child(const object *o, int32_t node, uint32_t cp); /* -1: none */

#endif
