/* The files of data/ that are inside the program: price sheets, the hardware table, the works of
 * Shakespeare. They are there wherever the program is, and never change. Any thread; no state.
 *
 *     const data_file *f = data_find("hardware.csv");
 *     for (const data_file *g = data_first("shakespeare/"); g; g = data_next(g, "shakespeare/"))
 *     ...
 */
#ifndef HEARTH_BASE_DATA_H
#define HEARTH_BASE_DATA_H

#include "base/str.h"

typedef struct data_file {
    const char *name; /* below data/: "prices/2026-11-22.csv" */
    const char *begin, *end;
} data_file;

const data_file *data_find(const char *name); /* NULL: there is none */
/* Those whose names begin so, in the order of their names; NULL: no more. */
const data_file *data_first(const char *folder);
const data_file *data_next(const data_file *f, const char *folder);
str data_text(const data_file *f);

#endif
