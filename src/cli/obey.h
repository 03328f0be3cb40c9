/* An answer followed by a grammar token by token, as while writing, with the time that each mask
 * takes. For `hearth schema`, which checks one answer, and `hearth bench --grammar`, which checks
 * many. One thread.
 *
 *     obey_times t = {0};
 *     obey_check c;
 *     obey(g, tok, vocab, text, &t, &c, &e);     // c.accepted, c.stopped
 *     obey_figures f = obey_figures_of(&t);      // f.mean, f.p99
 *     obey_times_deinit(&t);
 */
#ifndef HEARTH_CLI_OBEY_H
#define HEARTH_CLI_OBEY_H

#include "base/err.h"
#include "grammar/grammar.h"

typedef struct obey_times {
    double *us;
    size_t n, cap;
} obey_times;

typedef struct obey_check {
    bool accepted;
    size_t stopped; /* the byte that did not fit, or the length */
    size_t n;       /* tokens, or bytes without a vocabulary */
} obey_check;

typedef struct obey_figures {
    double mean, median, p99, max; /* microseconds; 0: nothing was timed */
} obey_figures;

/* t and v NULL: byte by byte, and nothing is timed. Adds to `times`, if it is given. */
bool obey(grammar *g, const tok *t, const grammar_vocab *v, str text, obey_times *times,
          obey_check *out, err *e);
bool obey_times_add(obey_times *t, double us, err *e);
obey_figures obey_figures_of(obey_times *t); /* sorts them */
void obey_times_deinit(obey_times *t);

#endif
