/* What the files of the study share: the plan that follows from the options, and the folder's
 * files.
 *
 * run.c measures and writes raw.jsonl, quiz.c asks the questions, method.c writes method.json;
 * calc.c reads both and sum.c makes figures of them, write.c results.csv, and report*.c the
 * report. One thread.
 */
#ifndef HEARTH_STUDY_STUDY_PRIVATE_H
#define HEARTH_STUDY_STUDY_PRIVATE_H

#include "base/file.h"
#include "base/jsonw.h"
#include "study/bout.h"
#include "study/questions.h"
#include "study/study.h"

#define STUDY_MAX_USERS 32
#define STUDY_MAX_MODELS 16
#define STUDY_ARMS 2

/* ---- the plan ---- */

typedef struct study_plan {
    const char *name; /* "quick" */
    double window_s, ramp_s;
    int rounds;
    int users[6], n_users; /* numbers of users at once; --full: as far as throughput grows */
    bool grows;
    int questions, question_users;
    double max_minutes; /* a model; 0: no limit */
    bool whole;         /* the whole works once more, at the best number of users */
} study_plan;
const study_plan *study_plan_of(study_size size);

typedef struct study_subject { /* a model under study, for method.json */
    char name[256], arch[64], title[128], sha256[65];
    uint64_t params, file_bytes;
    int32_t n_ctx, n_vocab;
    int64_t works_tokens, works_bytes;
    char text_sha256[65];
    study_sizes sizes;
    int threads;
} study_subject;

/* Disk. Everything that was decided beforehand, and the machine. */
bool study_method_write(const study_options *o, const study_plan *p, const meter *power,
                        const study_subject *s, size_t n, money spent, bool stopped, err *e);

/* ---- raw.jsonl ---- */

typedef struct study_log {
    file_new *file;
    uint64_t began_ns;
    int runs;
    buf line;
} study_log;
/* A request is an array of these, the last a text; times are since the study began, -1: not
 * told. */
enum { STUDY_COLUMNS = 16 };
extern const char *const study_columns[STUDY_COLUMNS];
bool study_log_line(study_log *l, err *e); /* writes l->line and empties it */
bool study_log_run(study_log *l, const study_bout *b, int model, int round, err *e);

/* The questions, on one arm. */
typedef struct study_quiz {
    study_arm *arm;
    uint64_t seed;
    int n, users, model;
    bool (*stop)(void *ud);
    void *ud;
} study_quiz;
bool study_quiz_run(const study_quiz *q, study_log *l, err *e);

#endif
