/* The study: what a model does here, measured by a method that a sceptic can repeat.
 *
 * study_run measures and writes what it saw, and nothing else: raw.jsonl, a line for every run,
 * request and answer, and method.json, everything that was decided beforehand. study_write makes
 * results.csv and report.html out of these two files alone, and study_verify does the same again
 * and compares every byte. So each number has one origin, and anybody can follow it.
 *
 * A *workload* is a kind of use; an *arm* is who does it: this machine, through hearth.h in this
 * process, or a service elsewhere. A *cell* is a workload, an arm and a number of users at once; a
 * *run* is one window of one cell. Cells go in random order, anew in every round, so that what
 * drifts on the machine drifts over all of them.
 *
 * One thread calls; the study starts its own.
 *
 *     study_options o = {.size = STUDY_QUICK, .out = "study", .seed = 1, ...};
 *     if (!study_run(&o, &e) || !study_write("study", &e)) ...
 *     if (!study_verify("study", report, sizeof report, &e)) ...
 */
#ifndef HEARTH_STUDY_STUDY_H
#define HEARTH_STUDY_STUDY_H

#include "base/err.h"
#include "hearth.h"
#include "meter/prices.h"
#include "meter/tariff.h"

typedef enum study_size { STUDY_SMOKE, STUDY_QUICK, STUDY_FULL } study_size;

typedef struct study_progress {
    const char *model, *what; /* "chat, 4 at once, round 2" */
    int done, all;            /* runs */
    double left_s;            /* of what may be needed at most; NAN: not known */
} study_progress;

typedef struct study_service { /* another arm, off unless asked for */
    const char *url;           /* "https://host/v1", or .../v1/messages of Anthropic's kind */
    const char *key;           /* secret; NULL: none */
    const char *model;         /* as the service calls it */
    const price_sheet *sheet;
    const price_row *price; /* what it charges */
    const char *day;        /* whose prices */
    money cap;              /* dollars that are never passed */
} study_service;

typedef struct study_options {
    study_size size;
    const char *out; /* folder; made where it is missing */
    uint64_t seed;
    const char *const *model; /* names, [n_models] */
    size_t n_models;
    /* Opens the i-th; the study closes it. */
    hearth_model *(*open)(void *ud, size_t i, hearth_err *e);
    const tariff *tariff;
    const price_sheet *sheet;
    const char *day;              /* whose prices are in force */
    const study_service *against; /* NULL: none */
    const char *note;             /* a person's word about the machine; NULL: none */
    double max_minutes;           /* a model; 0: as the size has it */
    void (*progress)(void *ud, const study_progress *p);
    bool (*stop)(void *ud); /* true: what was measured so far is written, and the study ends */
    void *ud;
} study_options;

bool study_run(const study_options *o, err *e);
/* From raw.jsonl and method.json in the folder. */
bool study_write(const char *folder, err *e);
/* Into said [cap]: how many runs, requests and figures were looked at. False: something differs. */
bool study_verify(const char *folder, char *said, size_t cap, err *e);

#endif
