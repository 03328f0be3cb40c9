/* What an open model holds. Inside the model room only. */
#ifndef HEARTH_MODEL_PRIVATE_H
#define HEARTH_MODEL_PRIVATE_H

#include "model/plan.h"
#include "model/rope.h"
#include "model/weights.h"

/* cls.*: [n_embd][n_embd] and [n_scores][n_embd], rows are outputs. */
typedef struct classifier {
    float *dense, *dense_bias; /* NULL: there is none */
    float *out, *out_bias;     /* out_bias may be NULL */
    int32_t n_scores;
} classifier;

bool classifier_load(classifier *c, const gguf *g, int32_t n_embd, err *e);
void classifier_deinit(classifier *c);

struct model {
    gguf *g;
    tok *t; /* NULL when the file has no tokenizer */
    params p;
    plan pl;
    weights w;
    rope rope[PLAN_MAX_ROPES];
    classifier cls;
};

/* Row i, of k numbers, of a tensor that stays in its file. */
void model_row_read(const gguf_tensor *t, int64_t i, int64_t k, float *dst);
/* Row `token` of the embedding as floats, [n_embd], before any scale. */
void model_embd_row(const model *m, int32_t token, float *dst);
/* As the next-n layer has it. */
void model_nextn_embd_row(const model *m, int32_t token, float *dst);
/* Adds what an encoder adds to it for the position and the type. tmp: [n_embd]. */
void model_embd_add(const model *m, int32_t pos, int32_t type, float *tmp, float *dst);

#endif
