/* What follows a text byte by byte: the private side of grammar.h.
 *
 * A *place* is one way to have read the text so far: where in the rules it stands, and what is open
 * around it. A *spot_set* is all the ways at once. Places never change: a step makes new ones in a
 * pool, which is cut back to a mark when a walk over the vocabulary backs out.
 */
#ifndef HEARTH_GRAMMAR_MATCH_H
#define HEARTH_GRAMMAR_MATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "grammar/grammar.h"
#include "grammar/object.h"
#include "grammar/schema.h"
#include "grammar/written.h"

/* ---- places ---- */

typedef struct gbnf gbnf;

typedef struct gbnf_frame {
    const struct gbnf_frame *up;
    uint32_t at; /* element of the rules that comes next */
} gbnf_frame;

/* What is open around a value. At the bottom is a *base*: the value is the answer, or one that
 * rules ask for. Where the same value may stand in several of them, it is read once
 * for all: a *join* is a list of frames, each in `up`, the next in `other`; without it the ways to
 * read nested values would multiply. */
typedef struct json_frame {
    const struct json_frame *up, *other;
    schema *s;
    bool join, base;
    const gbnf *rules;       /* base: what goes on behind the value, NULL: nothing */
    const gbnf_frame *back;  /* base: and where */
    object *o;               /* an object, else */
    const arr_spec *a;       /* an array */
    uint32_t count;          /* properties or elements begun */
    uint32_t last;           /* rank of the last name, when the order counts */
    uint32_t some;           /* object: clauses of o->some that are served */
    const uint64_t *seen;    /* object: names */
    const written_set *used; /* object: keys that it does not name; array: elements, if unique */
    const uint32_t *counted; /* array: for each contains */
} json_frame;

typedef struct json_number {
    bool negative;
    uint8_t phase, n_int, n_frac;
    dec_wide m; /* the digits so far */
} json_number;

enum place_kind {
    AT_DONE,
    AT_VALUE,
    AT_STRING,
    AT_KEY,
    AT_NUMBER,
    AT_LITERAL,
    AT_OBJECT, /* after { */
    AT_NAME,   /* after a comma in an object */
    AT_COLON,
    AT_ARRAY, /* after [ */
    AT_AFTER, /* after an element or a property */
    AT_RULE,  /* rules: before a character */
    AT_FREE,  /* rules: in a text that goes by an automaton */
    AT_TEXT   /* regular expression */
};

typedef struct place {
    const json_frame *up;
    uint8_t kind;
    uint8_t space;  /* white space just read: 0, 1, or how far an indented line has got */
    uint8_t escape; /* how far into a character; see lex.h */
    uint8_t literal, at;
    uint32_t cp; /* of the character */
    expr value;  /* VALUE, COLON */
    const str_spec *str;
    int32_t state;  /* STRING, FREE, TEXT: the automaton's */
    uint32_t count; /* STRING: code points; RULE, FREE: the element */
    int32_t node, extra, lang[LIMIT_SCHEMA_KEY_PATTERNS]; /* KEY */
    const written *text; /* KEY: what is read of it, while extra lives; of an element: if unique */
    const num_spec *num;
    const json_number *number;
    const gbnf_frame *rule;
} place;

typedef struct spot_set {
    place *v;
    uint32_t n, cap;
    uint32_t n_index; /* a power of two */
    uint32_t *index;  /* hash table: a place's number + 1; NULL while they are few */
} spot_set;

/* An automaton's state over the vocabulary; see mask.c. */
typedef struct lex_mask lex_mask;

struct grammar {
    atomic_int refs;
    pthread_mutex_t lock; /* everything below */
    schema *schema;       /* one of the three */
    gbnf *gbnf;
    dfa *text;
    lex_mask *mask; /* cached; a hash table */
    size_t n_masks, cap_masks, mask_bytes;
};

struct grammar_state {
    grammar *g;
    const grammar_vocab *v;
    pool mem;
    spot_set now;
    size_t tidy_at; /* bytes of mem at which it is tidied next */
    bool ended;     /* a token that ends the text was accepted */
    pool scratch;
};

/* One byte further: `to` gets every place that it leads to, made in p. */
void match_step(grammar *g, pool *p, const spot_set *from, uint8_t byte, spot_set *to);
void match_place(grammar *g, pool *p, const place *c, uint8_t byte, spot_set *to); /* of one */
/* Those places of a set that stand before a character of rules. */
void match_ruled(pool *p, const spot_set *from, spot_set *to);
bool match_may_end(grammar *g, const spot_set *s);
bool match_start(grammar *g, pool *p, spot_set *to);
place *spot_add(pool *p, spot_set *to, const place *v); /* a copy; not when it is there already */

/* match_json.c */
/* A value that x describes; behind it `rules` go on at `back`. */
bool json_start(pool *p, schema *s, const gbnf *rules, const gbnf_frame *back, expr x,
                spot_set *to);
void json_step(grammar *g, pool *p, const place *c, uint8_t byte, spot_set *to);
bool json_may_end(const place *c);
/* The places after a whole value. */
void json_after(pool *p, const json_frame *up, spot_set *to);
/* Where a string or key that ends here leads: the places after its closing quote. */
void json_close(pool *p, const place *c, spot_set *to);

/* unique.c: elements of arrays in which none comes twice. */
static inline bool unique_in(const json_frame *up) {
    return up->a && up->a->unique && up->a->max > 1;
}
bool unique_string_lives(const place *c);
bool unique_string_lives_between(const place *c, uint32_t lo, uint32_t hi);
const written *unique_number(pool *p, const written *raw); /* the same for equal numbers */
/* How many numbers of n that are used lie in [lo, hi). mirror: n is for those below 0, negated. */
uint32_t unique_numbers_in(const written_set *used, const num_spec *n, bool mirror, dec_wide lo,
                           dec_wide hi);

/* gbnf.c, gbnf_match.c. `rules`: with %json and %except, and control tokens by their text. */
gbnf *gbnf_parse(str text, bool rules, err *e);
void gbnf_free(gbnf *b);
size_t gbnf_bytes(const gbnf *b);
bool gbnf_is_rules(const gbnf *b);
void gbnf_start(const gbnf *b, pool *p, spot_set *to);
void gbnf_step(const gbnf *b, pool *p, const place *c, uint8_t byte, spot_set *to);
/* What follows a value that was asked for. */
void gbnf_resume(const gbnf *b, pool *p, const gbnf_frame *back, spot_set *to);
bool gbnf_ends(const gbnf *b, const gbnf_frame *back);    /* whether that may be nothing */
const dfa *gbnf_free_text(const gbnf *b, const place *c); /* FREE: its automaton */

/* mask.c */
void mask_free(grammar *g);

#endif
