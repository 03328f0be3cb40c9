/* From raw.jsonl and method.json to figures. Nothing else is looked at, and nothing is drawn by
 * chance, so the same two files give the same figures to the last digit anywhere. One thread.
 *
 *     study_results r;
 *     if (!study_results_open(&r, "study", &e)) ...
 *     const study_figure *f = study_figure_find(&r, 0, "here", "chat", 4, "out_tps");
 *     study_results_close(&r);
 */
#ifndef HEARTH_STUDY_CALC_H
#define HEARTH_STUDY_CALC_H

#include <jansson.h>

#include "study/stats.h"
#include "study/study_private.h"

typedef struct study_figure {
    int model;
    const char *arm, *workload, *metric, *unit; /* static */
    int users;
    study_spread v; /* NAN: not known */
} study_figure;

/* What one window has shown. */
typedef struct study_window {
    int model, arm, workload, users, round;
    bool whole, ramped;
    int64_t begin_us, end_us;
    double joules;                            /* NAN: not measured */
    double out, in;                           /* tokens written and read in it */
    double prompt, cached, computed, all_out; /* of its requests, whole */
    double prefill_s, decode_s, decoded;
    double finished; /* requests that ended in it by themselves */
    double *first_s; /* [n_first] of those asked in it: until the first token */
    size_t n_first, cap;
    money hosted[3], hosted_uncached[3]; /* of its requests: same weights, cheap, flagship */
    money billed;
    bool has_bill;
} study_window;

typedef struct study_answer {
    int model, arm, kind;
    bool right;
    int64_t submit_us, end_us;
    double prompt, out;
    money bill;
} study_answer;

typedef struct study_price { /* of method.json; micro-dollars a million */
    const char *id, *as_of;
    int64_t in, cached, out;
    bool known, stand_in;
} study_price;

typedef struct study_results {
    json_t *method;
    char raw_sha256[65], method_sha256[65];
    int n_models;
    study_price price[STUDY_MAX_MODELS][3];
    study_window *window;
    size_t n_windows, cap_windows, n_requests;
    study_answer *answer;
    size_t n_answers, cap_answers;
    char **word; /* [n_words] of what was cut, and why */
    size_t n_words;
    study_figure *figure;
    size_t n_figures, cap_figures;
} study_results;

bool study_results_open(study_results *r, const char *folder, err *e);
void study_results_close(study_results *r);
const study_figure *study_figure_find(const study_results *r, int model, const char *arm,
                                      const char *workload, int users, const char *metric);
/* As results.csv and the report have it: five digits; "" for NAN. dst has room for 32 bytes. */
char *study_figure_text(double v, char *dst);
extern const char *const study_arms[STUDY_ARMS], *const study_kinds[4];
extern const int study_uses[4]; /* per cent of the time */

/* sum.c: everything that is read is there; the figures are made of it. */
bool study_sum(study_results *r, err *e);
bool study_figure_add(study_results *r, const study_figure *f, err *e);
/* write.c */
void study_csv(const study_results *r, buf *b);
/* report.c */
void study_report(const study_results *r, buf *b);

#endif
