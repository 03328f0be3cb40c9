/* How fast a model reads and writes here, one request at a time, in a few seconds. What `hearth
 * study` measures at length; good enough for one line of arithmetic. One thread.
 *
 *     speed s;
 *     if (!speed_measure(model, &s, &e)) ...
 */
#ifndef HEARTH_STUDY_SPEED_H
#define HEARTH_STUDY_SPEED_H

#include "hearth.h"

typedef struct speed {
    double prefill_tps, decode_tps; /* tokens a second, medians of SPEED_RUNS */
    int prompt, tokens;             /* of each request */
} speed;

#define SPEED_RUNS 3

bool speed_measure(hearth_model *m, speed *out, hearth_err *e);

#endif
