/* One run of a study: some users who ask without a pause, watched for one window of time. What they
 * did becomes lines of raw.jsonl. One thread calls; the users have theirs.
 *
 *     study_bout b = {.arm = &here, .text = &t, .work = WORK_CHAT, .users = 4, .window_s = 20,
 *     ...};
 *     if (!study_bout_run(&b, &e)) ...
 *     study_bout_deinit(&b);
 */
#ifndef HEARTH_STUDY_BOUT_H
#define HEARTH_STUDY_BOUT_H

#include "meter/energy.h"
#include "study/arm.h"

typedef struct study_request { /* one line */
    int user;
    int64_t submit_us, first_us, end_us; /* since the study began; first -1: no token */
    int64_t prompt, cached, out, out_in_window;
    int64_t queued_us, prefill_us, decode_us; /* -1: not told */
    uint64_t bytes_in, bytes_out;
    const char *finish;
    money bill;
} study_request;

typedef struct study_bout {
    /* what to do */
    study_arm *arm;
    const study_text *text;
    const study_sizes *sizes;
    study_work work;
    int users;
    double window_s, ramp_s; /* ramp: longest wait for a first token of every user */
    uint64_t seed, run;
    uint64_t began_ns;    /* when the study began */
    meter *meter;         /* not started; NULL: energy is not measured */
    atomic_size_t *whole; /* the whole works instead of a window; else NULL */
    bool (*stop)(void *ud);
    void *ud;
    /* what came out */
    int64_t begin_us, end_us; /* the window */
    double joules;            /* of the window; NAN: not measured */
    bool ramped;              /* every user had a token when it began */
    bool stopped;             /* it was cut short */
    bool capped;              /* the spending cap allowed no more */
    study_request *request;   /* [n] owned */
    size_t n, cap;
} study_bout;

bool study_bout_run(study_bout *b, err *e);
void study_bout_deinit(study_bout *b);

#endif
