/* CSV as RFC 4180 has it: a first line of names, then records; quoted fields may hold commas,
 * quotes (twice) and line breaks. A record with another number of fields than the first line is
 * refused with the number of its line. Any thread; one thread a csv.
 *
 *     csv c;
 *     if (!csv_read(&c, text, "prices.csv", &e)) ...
 *     int model = csv_column(&c, "model");
 *     for (size_t i = 0; i < c.n_rows; i++) use(csv_cell(&c, i, model));
 *     csv_deinit(&c);
 */
#ifndef HEARTH_BASE_CSV_H
#define HEARTH_BASE_CSV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

typedef struct csv {
    arena *memory;
    const char **name;  /* [n_columns] */
    const char ***cell; /* [n_rows][n_columns], NUL-terminated, without white space around */
    int *line;          /* [n_rows] where each begins */
    size_t n_columns, n_rows;
} csv;

/* `name` is how messages call the file. On an error nothing is left to free. */
bool csv_read(csv *c, str text, const char *name, err *e);
void csv_deinit(csv *c);
int csv_column(const csv *c, const char *name);                  /* -1: there is none */
const char *csv_cell(const csv *c, size_t row, int column);      /* column -1: "" */
void csv_write(buf *b, const char *field, bool last_of_the_row); /* quoted where it must be */

#endif
