/* Who does the work in a study: this machine (here.c), or a service elsewhere (there.c). Both get
 * the same asks and tell the same things about their answers; what one of them cannot know is NAN
 * or -1. Users ask from threads of their own at the same time.
 */
#ifndef HEARTH_STUDY_ARM_H
#define HEARTH_STUDY_ARM_H

#include "base/buf.h"
#include "study/work.h"

typedef struct study_reply {
    buf text;                             /* of the answer */
    int64_t prompt, cached, out;          /* tokens; -1: not told */
    uint64_t submit_ns, first_ns, end_ns; /* first: 0 when there was no token */
    double queued_s, prefill_s, decode_s; /* NAN: not told */
    const char *finish;                   /* static: "end", "length", "cancelled", ... */
    uint64_t bytes_in, bytes_out;         /* of texts */
    money bill;                           /* dollars; -1: nothing is billed */
} study_reply;

/* Told of every token, or of every piece of text; false: the answer is to end here. */
typedef bool (*study_heard)(void *ud, int n);

typedef struct study_arm study_arm;
struct study_arm {
    const char *name; /* "here", "there" */
    /* For another number of users; nothing is running. */
    bool (*begin)(study_arm *a, int users, err *e);
    /* r->text must be ready to be appended to. ERR_NO_FIT: the spending cap allows no more. */
    bool (*ask)(study_arm *a, int user, const study_ask *q, study_heard heard, void *ud,
                study_reply *r, err *e);
    void (*end)(study_arm *a); /* of begin; twice is fine */
    void *self;
};

/* This machine. The model stays the caller's; free after end. */
bool study_here_new(study_arm *a, hearth_model *m, err *e);
void study_here_free(study_arm *a);
/* Tokens of an ask in a model's vocabulary and template. */
bool study_here_render(const hearth_model *m, const study_ask *q, int32_t **ids, size_t *n, err *e);

/* A service. What it has cost so far, and how much of the cap is promised to open requests. */
bool study_there_new(study_arm *a, const study_service *s, err *e);
void study_there_free(study_arm *a);
money study_there_spent(const study_arm *a);

#endif
