/* The workloads: what the users of a study ask. A *flow* is one user: it makes one ask after the
 * other, from nothing but the seed, the run and the user's number, so that every arm gets the same
 * ones. One thread a flow.
 *
 *     study_flow f;
 *     study_flow_begin(&f, &text, WORK_CHAT, &sizes, seed, run, user);
 *     while (study_flow_next(&f, answer_before, &ask, &e)) ...
 *     study_flow_end(&f);
 */
#ifndef HEARTH_STUDY_WORK_H
#define HEARTH_STUDY_WORK_H

#include <stdatomic.h>

#include "base/arena.h"
#include "study/study.h"
#include "study/text.h"

typedef enum study_work {
    WORK_SHAKESPEARE, /* a piece of the works, to be given back word by word */
    WORK_CHAT,        /* short questions behind one shared system prompt */
    WORK_DOCUMENT,    /* questions about a long text */
    WORK_AGENT,       /* a conversation that grows, each turn read from the cache */
    WORK_SUMMARY,     /* many texts, each once */
    WORKS
} study_work;

const char *study_work_name(study_work w);
const char *study_work_about(study_work w);    /* one sentence */
study_work study_work_named(const char *name); /* WORKS: none */

/* In tokens; what fits the model's context. */
typedef struct study_sizes {
    int piece;
    int chat_system, chat_out;
    int document, document_out;
    int agent_start, agent_turn, agent_out, agent_turns;
    int summary, summary_out;
} study_sizes;
/* False: the context is too short for the study. */
bool study_sizes_of(study_sizes *s, study_size size, int32_t n_ctx, err *e);

typedef struct study_ask {
    hearth_message message[66]; /* [n] borrowed until the next ask */
    size_t n;
    int max_tokens;
    bool exactly;       /* the end token does not end it: as many as asked for are written */
    const char *schema; /* JSON Schema that the answer obeys, or NULL */
} study_ask;

typedef struct study_flow {
    const study_text *text;
    const study_sizes *sizes;
    study_work work;
    uint64_t seed, run, user, count;
    atomic_size_t *whole; /* the next piece of the whole works, shared; NULL: a sample */
    arena *memory;        /* of the present conversation */
    study_ask ask;        /* as it grows */
    int turn;
} study_flow;

void study_flow_begin(study_flow *f, const study_text *t, study_work w, const study_sizes *s,
                      uint64_t seed, uint64_t run, uint64_t user);
/* answer: of the ask before, or NULL. False: no more, or with e->code set an error. */
bool study_flow_next(study_flow *f, str answer, const study_ask **ask, err *e);
void study_flow_end(study_flow *f);

#endif
