/* What the files of the sampler share: the candidates and their cut (filter.c), what is done to
 * logits before (penalty.c, dry.c), and the sampler itself (sample.c). */
#ifndef HEARTH_ENGINE_SAMPLE_PRIVATE_H
#define HEARTH_ENGINE_SAMPLE_PRIVATE_H

#include "engine/sample.h"

/* ---- filter.c ---- */

typedef struct cands {
    int32_t n;
    int32_t *id;      /* ascending */
    float *logit;     /* no infinity, no NaN */
    uint64_t *weight; /* see sample.h; valid after cands_weigh */
    uint64_t total;   /* their sum */
    uint32_t *key;    /* scratch */
    int32_t cap;
} cands;

#define WEIGHT_ONE (1ull << 40)

bool cands_init(cands *c, int32_t cap);
void cands_deinit(cands *c);
/* Every logit that is not banned. */
void cands_fill(cands *c, const float *logits, int32_t n);
/* The k largest of those, by a heap: for a k that is small beside n. The same as filter_top_k. */
void cands_fill_top(cands *c, const float *logits, int32_t n, int32_t k);
void cands_weigh(cands *c, double temperature);

void filter_top_k(cands *c, int32_t k);
void filter_typical(cands *c, float p);
void filter_top_p(cands *c, float p);
void filter_min_p(cands *c, float p);
void filter_xtc(cands *c, float threshold);  /* the dice have been cast */
void filter_surprise(cands *c, double bits); /* mirostat: what surprises by more goes, one stays */
/* Index of the candidate on which a uniform 64-bit number falls. */
int32_t cands_pick(const cands *c, uint64_t r);

/* Keys that ascend as the float descends; -0 and 0 are one. */
uint32_t key_of(float x);

/* ---- penalty.c ---- */

/* How often each token occurs among the last n of a history that only grows. */
typedef struct tally {
    int32_t *token, *count; /* open addressing; token -1: free */
    int32_t cap, n;
    int32_t seen; /* tokens of the history taken in so far */
} tally;

void tally_deinit(tally *t);
bool tally_follow(tally *t, const int32_t *tokens, int32_t n, int32_t last_n);
void tally_penalize(const tally *t, float *logits, float repeat, float frequency, float presence);

/* ---- dry.c ---- */

typedef struct dry dry;

dry *dry_new(const hearth_params *p, int32_t n_vocab, sampler_piece_fn piece, const void *ud,
             err *e);
void dry_free(dry *d);
void dry_restart(dry *d);
bool dry_penalize(dry *d, float *logits, const int32_t *tokens, int32_t n);

#endif
