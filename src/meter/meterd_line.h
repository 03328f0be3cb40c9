/* What hearth-meterd says, once a second, to whoever is connected: one line of JSON.
 *
 *     {"hearth-meterd":1,"t_ns":81234,"joules":12.5,"lost":0,"step_j":6.1e-05,
 *      "instrument":"rapl-powercap package-0"}
 *
 * joules: of everything it reads, since it began, known intervals only. lost: how many intervals
 * were not known. t_ns: the monotonic clock, the same for all programs of a machine. Any thread.
 */
#ifndef HEARTH_METER_METERD_LINE_H
#define HEARTH_METER_METERD_LINE_H

#include "base/buf.h"

#define METERD_LINE_BYTES 1024

typedef struct meterd_line {
    uint64_t t_ns, lost;
    double joules, step_j;
    char instrument[200];
} meterd_line;

bool meterd_line_read(str text, meterd_line *out); /* without the newline; false: it is none */
void meterd_line_write(const meterd_line *l, buf *out);

#endif
