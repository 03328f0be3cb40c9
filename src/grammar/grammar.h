/* Grammars: what an answer may be, as masks over the vocabulary.
 *
 * A *grammar* (from a JSON Schema, GBNF rules or a regular expression) says which texts are
 * allowed. It is compiled once and shared; it has a lock of its own, since it learns while it is
 * used. A *grammar_vocab* is a vocabulary prepared for masking: one per model. A *grammar_state* is
 * one answer in the making: it follows bytes, says which tokens may come next, and is owned by one
 * thread at a time. Every state that is reached can be completed: there are no dead ends.
 *
 *     grammar *g = grammar_json_schema(text, GRAMMAR_ORDERED, &e);
 *     grammar_state *s = grammar_state_new(g, vocab, &e);
 *     grammar_state_mask(s, bits);            // one bit a token: may come next
 *     grammar_state_accept(s, token);         // false: it may not
 *     if (grammar_state_may_end(s)) ...
 *     grammar_state_free(s); grammar_free(g);
 */
#ifndef HEARTH_GRAMMAR_GRAMMAR_H
#define HEARTH_GRAMMAR_GRAMMAR_H

#include "base/err.h"
#include "base/str.h"
#include "tok/tok.h"

typedef struct grammar grammar;
typedef struct grammar_vocab grammar_vocab;
typedef struct grammar_state grammar_state;

enum {
    /* JSON: properties come in the schema's order, those that it does not name last, and whole
     * numbers have no fraction: for writing. Without it any order will do: for checking. */
    GRAMMAR_ORDERED = 1
};

/* Errors are ERR_USAGE and name the keyword and its path, or the rule and byte: what cannot be
 * enforced is refused here, never ignored. Free by grammar_free, from any thread. */
grammar *grammar_json_schema(str text, unsigned flags, err *e);
grammar *grammar_json_object(err *e);    /* any JSON object */
grammar *grammar_gbnf(str text, err *e); /* rules as llama.cpp writes them; starts at "root" */
/* GBNF with two elements more, for answers that are free in part:
 *     %json {...}           a value that obeys this schema
 *     %except("a" | "b")    any text, also none, in which none of these texts occurs
 * Control tokens take part by their text: a literal "[TOOL_CALLS]" is met by the control token of
 * that text as well as by ordinary tokens. No control token stands in a %json or %except. */
grammar *grammar_rules(str text, err *e);
grammar *grammar_regex(str pattern, err *e); /* the whole answer matches */
grammar *grammar_retain(grammar *g);
void grammar_free(grammar *g);          /* the last holder's frees it; NULL is fine */
size_t grammar_bytes(const grammar *g); /* memory held, about */

/* The vocabulary must outlive it. */
grammar_vocab *grammar_vocab_new(const tok *t, err *e);
void grammar_vocab_free(grammar_vocab *v);
size_t grammar_mask_words(const grammar_vocab *v); /* 64-bit words of a mask */

grammar_state *grammar_state_new(grammar *g, const grammar_vocab *v, err *e); /* v may be NULL */
grammar_state *grammar_state_copy(const grammar_state *s, err *e);
void grammar_state_free(grammar_state *s);
void grammar_state_reset(grammar_state *s);

/* bits[grammar_mask_words]: set for each token that may come next; those that end a text when the
 * answer may end. False: memory ran out; nothing is allowed. */
bool grammar_state_mask(grammar_state *s, uint64_t *bits);
bool grammar_state_accept(grammar_state *s, int32_t token);   /* also one that ends the text */
bool grammar_state_accept_bytes(grammar_state *s, str bytes); /* all or nothing */
bool grammar_state_may_end(const grammar_state *s);
bool grammar_has_controls(const grammar_state *s); /* control tokens take part */
bool grammar_state_done(const grammar_state *s);   /* nothing but the end can follow */
/* Appends the bytes that must come next: as long as there is just one way, at most max. */
size_t grammar_state_forced(grammar_state *s, char *out, size_t max);

#endif
