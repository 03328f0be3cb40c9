/* Inside the engine room: what stands behind the opaque types of hearth.h, who touches what, and
 * how the files divide the work.
 *
 *   api.c      models: open, describe, tokenize
 *   request.c  a request as its client sees it: submit, read, cancel, free; and its tokens' way out
 *   engine.c   the engine's thread: new and free, the queue, admission, settling
 *   turns.c    whose turn it is: owners' shares, and the rows of a step; cost.c: what a step costs
 *   step.c     one step: who takes part, pages for it, the model, the samplers
 *   fill.c     pages that come from elsewhere: published ones, and those on disk (disk.c)
 *   embed.c    calls that want vectors: their requests, and what becomes of them; rerank.c: what a
 *              judge is asked; encode.c: steps of an encoder, and summing up
 *   constrain.c answers that obey a grammar; thought.c: thoughts that have a limit; force.c: tokens
 *              that either puts in
 *   shift.c    answers that go on when the context is full
 *   guess.c    guesses at the next tokens, which a step may try: from the text's past (draft.c),
 *              by a smaller model (drafter.c), or by a layer of the model itself (nextn.c)
 *   adapt.c    adapters: open, and the requests that use them
 *   stats.c    what it counts
 *
 * Threads. The engine's thread owns everything that is not marked otherwise, and is member 0 of the
 * team that computes. Clients touch a request through its `lock`, and the engine through `lock` of
 * the engine, which guards the inbox and the two flags beside it. No thread holds both. Samplers
 * run on the team, one request on one member at a time, with the engine's thread waiting.
 *
 * A request's tokens are prompt and answer in one row. Positions before `computed` have their keys
 * and values; a step computes some of the rest, and when it reaches the end, the next token is
 * drawn from the last row's logits. So a prompt, a single token, and everything again after a
 * preemption are one case.
 *
 * Drafts. A request that only waits for its next token may add guesses at those after it as further
 * rows of the step. Each position is then drawn in order, as if it came alone; when what was drawn
 * is what was guessed, the next row's logits are already there, and the first difference ends it.
 * Nobody sees a guess: it is not among the tokens, and its keys and values count as computed only
 * once it was drawn; others are written over. So drafts change when tokens come, never which.
 */
#ifndef HEARTH_ENGINE_PRIVATE_H
#define HEARTH_ENGINE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/team.h"
#include "engine/cost.h"
#include "engine/disk.h"
#include "engine/draft.h"
#include "engine/drafter.h"
#include "engine/kv.h"
#include "engine/nextn.h"
#include "engine/sample.h"
#include "engine/text.h"
#include "engine/thought.h"
#include "engine/turns.h"
#include "grammar/grammar.h"
#include "hearth.h"
#include "model/model.h"
#include "prompt/chat.h"

struct hearth_model {
    model *inner;
    prompt_chat *chat; /* NULL: no tokenizer */
    pthread_mutex_t vocab_lock;
    grammar_vocab *vocab; /* for grammars; NULL until one is used. Lock: vocab_lock */
};

struct hearth_lora {
    model_lora *inner;
    const hearth_model *model;
    _Atomic int holders; /* who opened it, and requests */
};

/* hearth_err and err are one thing to those inside. Both return false. */
bool engine_err_out(hearth_err *to, const err *from);

/* One token on its way to the client; one allocation with its text and its likeliest. */
typedef struct token_item token_item;
struct token_item {
    token_item *next;
    hearth_token token;
};

typedef struct request_list {
    hearth_request *first, *last;
} request_list;

/* One call of hearth_embed: it waits until none of its requests is left. */
typedef struct embed_call {
    pthread_mutex_t lock; /* guards left and usage */
    pthread_cond_t done;
    int32_t left;
    hearth_usage usage; /* of all */
    bool opened;        /* the engine's: reported */
    void *tag;
} embed_call;

/* What a request carries whose text is summed up. */
typedef struct summing {
    embed_call *call;
    hearth_pooling how;
    int32_t n_first; /* tokens of the first of two texts */
    int32_t yes, no; /* tokens whose logits are wanted, or -1 */
    int32_t n_done;  /* positions in vec */
    float yes_no[2];
    float vec[]; /* [n_embd] */
} summing;

typedef enum guess_by { GUESS_PAST, GUESS_DRAFTER, GUESS_NEXTN } guess_by;

struct hearth_request {
    /* set at submit, constant afterwards */
    hearth_engine *g;
    char *owner;
    char *space;           /* whose prefixes it shares: the owner's, with the same adapters */
    hearth_lora_use *lora; /* [n_lora] held */
    model_lora_use *lora_inner;
    int32_t n_lora;
    int32_t weight;
    void *tag;
    int32_t n_prompt, max_tokens; /* max_tokens -1: no limit of its own */
    int32_t n_logprobs;
    bool ignore_eos, special_text;
    bool shifts; /* goes on when the context is full */
    int32_t n_keep;
    bool pin;     /* the engine's own: its pages are to be published, and nobody is told of it */
    bool fresh;   /* every position is computed, also what others have computed already */
    summing *sum; /* NULL: it generates */

    _Atomic bool cancel;
    _Atomic int holders; /* the client and the engine; the last one frees */

    pthread_mutex_t lock; /* guards the next seven */
    pthread_cond_t news;
    token_item *first, *last; /* waiting to be read */
    bool ended, left;         /* left: its client has freed it */
    bool unread;              /* something came since the client was last told */
    hearth_usage usage;
    err failure; /* when usage.finish is ERROR */

    token_item *current; /* the client's: what it reads now */

    /* the engine's */
    hearth_request *next; /* in the inbox or the queue */
    int32_t *tokens;      /* [cap_tokens] prompt, then answer */
    int32_t n_tokens, cap_tokens;
    int32_t computed;
    int32_t computed_before; /* the present step */
    kv_seq *seq;             /* while running */
    bool filled;             /* nothing more comes from elsewhere */
    disk_page disk_at;
    int32_t disk_blocks; /* pages that disk_at names */
    sampler *sampler;
    grammar_state *grammar; /* what the answer obeys, as far as it goes; NULL: anything */
    uint64_t *allowed;      /* [n_allowed] tokens, one bit each; with a grammar */
    int32_t n_allowed;
    text_out text;
    thought thought;
    tok_ids forced; /* tokens to be put in instead of drawing, from n_forced on */
    size_t n_forced;
    int32_t n_put;  /* tokens put in since the last step: they are not computed yet */
    uint64_t rank;  /* order of first admission; 0: never admitted */
    bool active;    /* in `running`, and not settled */
    bool preempted; /* at some time: what it finds in the tree may be its own work */
    turns_owner *owner_turns;
    uint64_t served;   /* step in which it last took part */
    uint64_t passed;   /* tokens that others of its owner were given before it */
    int32_t step_rows; /* of this step; 0: it does not take part */
    int32_t n_draft;   /* rows of this step after those: guesses */
    int32_t n_planned; /* as many were in the batch; n_draft may have been given up since */
    int32_t n_right;   /* guesses of this step that were right */
    int32_t guess[DRAFT_MOST];
    draft draft;
    drafter_seq drafted;  /* by a draft model */
    nextn_seq ahead;      /* by the model's next-n layer */
    guess_by guess_by;    /* whose the guesses of this step are */
    float *logits;        /* of its last row in this step, then of its drafts; NULL: none wanted */
    float *raw;           /* [n_vocab] when log-probabilities are wanted */
    hearth_finish finish; /* what it will end with; NONE while it goes on */
    double submitted_s, admitted_s, first_token_s;
    hearth_usage account;  /* as usage, the engine's copy */
    hearth_usage reported; /* what of it is in the engine's own figures */
};

#define ENGINE_PINS 256

typedef struct engine_pin {
    kv_seq *seq;
    int32_t *tokens, n_pages;
    char *space;          /* owned */
    const char *adapters; /* in it: those that it was computed with */
} engine_pin;

struct hearth_engine {
    /* constant */
    hearth_model *model;
    const tok *tok; /* NULL: the model has no text */
    int32_t n_vocab, n_ctx, batch_tokens, max_requests, max_queued;
    double step_s; /* wanted at most between two tokens */
    bool reuse;    /* of prefixes */
    bool speculate;
    bool encoder;
    int32_t n_embd;
    hearth_hooks hooks;
    team *team;
    model_exec *exec;
    kv *kv;
    drafter *drafter;   /* NULL: none */
    int32_t draft_most; /* guesses of it at a time */
    nextn *nextn;       /* NULL: none, or there is a drafter */
    disk *disk;         /* NULL: none */
    pthread_t thread;

    _Atomic int32_t n_queued; /* submitted, never admitted, not settled */

    pthread_mutex_t lock; /* guards the next four */
    pthread_cond_t wake;
    request_list inbox;
    bool stop, poked;   /* poked: something was cancelled */
    hearth_stats shown; /* what others may see */

    /* the engine's thread */
    request_list queue;       /* opened, never admitted, in order of arrival */
    hearth_request **running; /* [max_requests] by rank: the oldest first */
    int32_t n_running;
    int32_t n_active;         /* of those, not settled yet */
    hearth_request **waiting; /* [2 max_requests] preempted, by rank; go before the queue */
    int32_t n_waiting;
    bool full; /* the next one does not fit before somebody leaves */
    turns turns;
    cost cost;
    engine_pin pin[ENGINE_PINS];
    int32_t n_pins;
    size_t page_bytes[MODEL_MAX_KV_GROUPS];
    _Atomic int64_t pinned_bytes; /* taken when one is asked for */
    uint64_t n_admitted;          /* gives ranks */
    hearth_stats stats;
    /* one step */
    drafter_job *jobs;      /* [max_requests] */
    nextn_job *nextn_jobs;  /* [max_requests] */
    turns_item *items;      /* [max_requests] */
    hearth_request **batch; /* [max_requests] those that take part */
    int32_t n_batch;
    cost_shape shape;        /* of the step */
    hearth_step_part *parts; /* [max_requests] of the step, for the hook; NULL: no hook */
    uint64_t step_began_ns;
    model_seq *seqs;  /* [max_requests] */
    model_row *rows;  /* [batch_tokens] */
    float *logits;    /* [max_requests + DRAFT_MOST][n_vocab] */
    float *hidden;    /* [batch_tokens][n_embd] */
    bool states;      /* the step has requests that want it */
    uint8_t *scratch; /* an encoder's pages */
    size_t hidden_bytes, scratch_bytes, scratch_page;
    void **scratch_at;      /* [batch_tokens / KV_PAGE + max_requests] */
    hearth_request **drawn; /* [max_requests] whose logits they are */
    int32_t n_drawn;
};

/* request.c */
void request_list_add(request_list *l, hearth_request *r);
void request_release(hearth_request *r); /* one holder less */
/* Appends the token drawn, or an item without a token when id is -1 and there is text. False:
 * memory. */
bool request_emit(hearth_request *r, int32_t id, float logprob, const hearth_logprob *top,
                  int n_top);
void request_usage_publish(hearth_request *r);
void request_end(hearth_request *r);
void request_ready(hearth_request *r); /* tells its client of what came since it was last told */
void request_fail(hearth_request *r, const err *e);

/* adapt.c */
bool adapt_begin(hearth_engine *g, hearth_request *r, const hearth_lora_use *use, size_t n, err *e);
const char *adapt_print(const hearth_request *r); /* which are in force; "": none. r's own */
void adapt_end(hearth_request *r);

/* engine.c */
void engine_poke(hearth_engine *g);
kern_kv_type engine_kv_type(hearth_kv type);
void engine_preempt(hearth_engine *g); /* the youngest goes from running to waiting */

/* One more place of `n` in the queue, if it is not full. */
bool queue_enter(hearth_engine *g, int32_t n, err *e);
/* Requests [0, n), in a list, come in. */
void queue_submit(hearth_engine *g, request_list *l);
/* A request with a copy of the tokens and nothing else; the caller's. */
hearth_request *request_blank(hearth_engine *g, const char *owner, const int32_t *ids, size_t n,
                              err *e);

/* embed.c */
void embed_opened(hearth_engine *g, hearth_request *r);
void embed_settled(hearth_engine *g, hearth_request *r); /* the call may be gone afterwards */
bool input_encode(const hearth_engine *g, const hearth_input *in, tok_ids *ids, err *e);
/* Runs n texts, of which texts[i] has first[i] tokens of the first kind; yes, no: as in summing. On
 * success req[0 .. n) are the caller's, to read and to free. */
bool embed_run(hearth_engine *g, tok_ids *texts, const int32_t *first, size_t n,
               const hearth_embed_params *p, hearth_pooling how, int32_t yes, int32_t no,
               hearth_request **req, err *e);

/* fill.c */
bool fill_open(hearth_engine *g, const hearth_engine_options *o, err *e);
void fill_close(hearth_engine *g); /* the thread has ended */
/* Takes pages of r from elsewhere, until `until_s`. True: there are more, r is to wait for them. */
bool fill_more(hearth_engine *g, hearth_request *r, double until_s);
/* Whether there may be something: a partly filled page is taken from the tree only when not. */
static inline bool fill_wanted(const hearth_engine *g, const hearth_request *r) {
    return (g->disk || g->n_pins > 0) && !r->filled && !r->fresh;
}
/* r ends: what becomes of its pages. */
void fill_part(hearth_engine *g, hearth_request *r);
/* Takes back what has been written, or, `now`, one that may not have been. False: there was
 * none. */
bool fill_take_back(hearth_engine *g, bool now);

/* encode.c */
bool encode_buffers(hearth_engine *g, err *e);
void encode_step(hearth_engine *g);
/* Rows [row0, row0 + step_rows) of g->hidden, and the last one's logits, are r's. */
void sum_take(const hearth_engine *g, hearth_request *r, int32_t row0);

/* step.c */
void engine_step(hearth_engine *g);

/* guess.c */
void guess_plan(hearth_engine *g);   /* guesses of all that decode, within the rows that are free */
void guess_learn(hearth_request *r); /* n_right of its n_draft guesses were right */
/* Whether r's states are wanted, and handing them on after a step. */
bool guess_follows(const hearth_engine *g, const hearth_request *r);
void guess_follow(hearth_engine *g);

/* stats.c */
void stats_step(hearth_engine *g, int32_t n_rows, double seconds); /* one more step */
/* The batch is built, and computed: for the hook. */
void stats_step_began(hearth_engine *g);
void stats_step_ended(hearth_engine *g);
void stats_publish(hearth_engine *g); /* with g->lock held */

/* constrain.c */
bool constrain_begin(hearth_engine *g, hearth_request *r, const hearth_grammar *by, err *e);
bool constrain_logits(hearth_request *r, float *logits, int32_t n_vocab, err *e);
bool constrain_accept(hearth_request *r, int32_t id, err *e);
void constrain_end(hearth_request *r);

/* shift.c: contexts that are full */
bool shift_may(const hearth_engine *g, const hearth_request *r);
void shift_full(hearth_engine *g); /* after a step: those of its batch that go on all the same */

/* force.c: in front of the first token, and after each. False: memory. */
bool force_begin(const hearth_engine *g, hearth_request *r, err *e);
bool force_more(const hearth_engine *g, hearth_request *r, int32_t drawn, err *e);
/* The next token to be put in; -1: none, it is to be drawn. */
int32_t force_take(hearth_request *r);

#endif
