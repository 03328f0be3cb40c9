/* Deterministic automata over Unicode code points: what a string may be, as a table.
 *
 * A dfa is immutable once built. State 0 is dead; every other state can still reach an accepting
 * one (automata are trimmed), so "not dead" means "can be completed". Code points fall into
 * classes; the table has one column a class. Languages are closed under and, or, and-not, so a
 * string's pattern, format, length and enum become one automaton.
 *
 *     dfa *d = dfa_regex(STR("^[a-z]+$"), &e);
 *     int32_t s = d->start;
 *     while (s && next_code_point(&cp)) s = dfa_step(d, s, cp);
 *     bool whole = s && d->accept[s];
 *     dfa_free(d);
 */
#ifndef HEARTH_GRAMMAR_DFA_H
#define HEARTH_GRAMMAR_DFA_H

#include "base/err.h"
#include "base/str.h"

#define DFA_MAX_CP 0x10FFFFu

typedef struct dfa {
    int32_t n_states, n_classes, start; /* start 0: the language is empty */
    int32_t n_ranges;
    uint32_t *lo;        /* [n_ranges] first code point of each range, ascending from 0 */
    uint16_t *class_of;  /* [n_ranges] */
    uint16_t ascii[128]; /* classes of the first code points */
    int32_t *next;       /* [n_states][n_classes] */
    uint8_t *accept;     /* [n_states] */
    uint64_t work;       /* steps that making it took, and those that it was made of */
    uint32_t *texts;     /* [n_states] dfa_count's, where somebody keeps them here; or NULL */
} dfa;

typedef struct dfa_range {
    uint32_t lo, hi; /* inclusive */
} dfa_range;

void dfa_free(dfa *d);

/* ECMA-262 pattern as JSON Schema uses it: matches anywhere unless anchored. Errors (ERR_USAGE)
 * name what is not supported (back references, look-around but at the pattern's start, \b) or
 * that the automaton is too large. */
dfa *dfa_regex(str pattern, err *e);
/* The same, but the whole text must match. */
dfa *dfa_regex_whole(str pattern, err *e);
/* Exactly these texts (UTF-8). */
dfa *dfa_strings(const str *text, size_t n, err *e);
/* Between min and max code points; max UINT32_MAX: no limit. */
dfa *dfa_length(uint32_t min, uint32_t max, err *e);

typedef enum dfa_op { DFA_AND, DFA_OR, DFA_AND_NOT } dfa_op;
/* NULL stands for "every text". */
dfa *dfa_combine(const dfa *a, const dfa *b, dfa_op op, err *e);
bool dfa_equal(const dfa *a, const dfa *b); /* same table: the same language */

/* How many texts lead from each state to an accepting one; DFA_MANY: that many or more. out has
 * n_states. False: memory. */
#define DFA_MANY UINT32_MAX
bool dfa_count(const dfa *d, uint32_t *out);
/* How many of the texts from state s begin with a code point in [lo, hi], by these counts. */
uint32_t dfa_count_between(const dfa *d, const uint32_t *count, int32_t s, uint32_t lo,
                           uint32_t hi);

size_t dfa_bytes(const dfa *d); /* memory held, about */
int dfa_class(const dfa *d, uint32_t cp);
static inline int32_t dfa_step(const dfa *d, int32_t s, uint32_t cp) {
    int c = cp < 128 ? d->ascii[cp] : dfa_class(d, cp);
    return d->next[s * d->n_classes + c];
}
/* Whether some code point in [lo, hi] leads on. */
bool dfa_live_between(const dfa *d, int32_t s, uint32_t lo, uint32_t hi);
bool dfa_accepts(const dfa *d, str text); /* UTF-8 */

/* ---- for dfa.c and regex.c ---- */

/* Builds an automaton by exploring states that are n_words integers long: `step` fills `to` for a
 * class, false when it leads nowhere. Used for subset construction and products. */
typedef struct dfa_source {
    void *ud;
    int32_t n_ranges, n_classes;
    const uint32_t *lo;
    const uint16_t *class_of;
    uint64_t *work; /* steps beside reading and comparing keys are added here; or NULL */
    /* The state's key for a class; returns its length in words, 0: dead. */
    size_t (*step)(void *ud, const int32_t *from, size_t n, int cls, const int32_t **to);
    bool (*accepts)(void *ud, const int32_t *state, size_t n);
} dfa_source;
dfa *dfa_explore(const dfa_source *s, const int32_t *start, size_t n, err *e);

#endif
