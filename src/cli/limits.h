/* The machine's limits, measured in this process: how fast memory is read, and how many
 * multiply-adds the CPU does with the instructions of the kernels in force. One thread.
 *
 *     limits *l = limits_begin(&e);
 *     limits_at at;
 *     if (l && limits_measure(l, 2, 0.3, &at, &e)) ... at.read ...
 *     limits_end(l);
 */
#ifndef HEARTH_CLI_LIMITS_H
#define HEARTH_CLI_LIMITS_H

#include "base/err.h"
#include "base/jsonw.h"

typedef struct limits limits;

/* With so many threads; a rate is over all of them. NAN: not known for this variant. */
typedef struct limits_at {
    int threads;
    double read; /* bytes a second, from memory: the area read is far larger than the caches */
    double dot;  /* multiply-adds a second of 8-bit integers */
    double fma;  /* of 32-bit floats */
} limits_at;

#define LIMITS_ROWS 16

/* Takes memory to read: four times the last cache, at least 256 MiB, in huge pages. */
limits *limits_begin(err *e);
void limits_end(limits *l); /* NULL is fine */
/* About `seconds` for each of the three; the rate is what was sustained that long. */
bool limits_measure(limits *l, int threads, double seconds, limits_at *out, err *e);
/* The best of three for 1, 2, 4 ... threads and for `most`. The number of rows; 0: error. */
int limits_table(limits *l, int most, limits_at row[LIMITS_ROWS], err *e);

void limits_print(const limits_at *row, int n);
void limits_json(jsonw *w, const limits_at *row, int n);

#endif
