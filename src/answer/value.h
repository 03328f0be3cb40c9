/* Inside the answer room: values as models write them, turned into JSON while they are read.
 *
 * A value reader takes bytes one at a time and appends strict JSON. It reads JSON and forgives what
 * models get wrong in it (line breaks in strings, unknown escapes, trailing commas), Python's
 * literals (single quotes, True, None, tuples), the arguments of a Python call, and Gemma's form
 * with bare keys and a quote mark of its own. What it has written can be closed at any point into a
 * whole value.
 *
 *     value_reader r; value_init(&r, VALUE_JSON, NULL);
 *     while ((got = value_step(&r, *p, out)) == VALUE_MORE) p++;
 *     if (got == VALUE_BAD) value_close(&r, out);
 */
#ifndef HEARTH_ANSWER_VALUE_H
#define HEARTH_ANSWER_VALUE_H

#include "base/buf.h"

/* Text into the inside of a JSON string: escapes, and U+FFFD for bytes that are no UTF-8. */
typedef struct value_text {
    char part[4]; /* the beginning of a character */
    uint8_t n;
} value_text;
void value_text_put(value_text *t, str s, buf *out);
void value_text_end(value_text *t, buf *out);
void value_quote(str s, buf *out); /* s as a whole JSON string */

typedef enum value_form {
    VALUE_JSON,   /* white space is kept as it is */
    VALUE_PYTHON, /* the same values; written with ", " and ": " */
    VALUE_KWARGS, /* a Python call's arguments, from after "(" to ")" */
    VALUE_BARE    /* Gemma: bare keys, strings between `quote` */
} value_form;

typedef enum value_got {
    VALUE_MORE,
    VALUE_DONE,   /* with this byte */
    VALUE_BEFORE, /* before this byte, which is not part of it */
    VALUE_BAD     /* this byte cannot be; what was written can still be closed */
} value_got;

#define VALUE_MAX_DEPTH 128
#define VALUE_MAX_WORD 400

typedef struct value_reader {
    value_form form;
    str quote; /* VALUE_BARE: the quote mark */
    int state;
    int depth;
    char stack[VALUE_MAX_DEPTH]; /* '{' or '[' */
    char closer[VALUE_MAX_DEPTH];
    bool comma;                /* one is due before the next item */
    bool key;                  /* the string or word being read is a key */
    char mark;                 /* the string's quote; 'g' for `quote` */
    uint8_t matched;           /* bytes of `quote` read */
    char word[VALUE_MAX_WORD]; /* number, name, escape, or white space held back */
    size_t n_word;
    unsigned high; /* first half of a surrogate pair, or 0 */
    int hex;       /* digits of an escape still to come */
    unsigned code;
    value_text text;
} value_reader;

void value_init(value_reader *r, value_form form, const char *quote);
value_got value_step(value_reader *r, char c, buf *out);
/* As many bytes as the value takes; *n says how many were used. VALUE_BEFORE is told as
 * VALUE_DONE. */
value_got value_read(value_reader *r, str s, size_t *n, buf *out);
void value_close(value_reader *r, buf *out);
bool value_started(const value_reader *r); /* a byte of the value was read */

#endif
