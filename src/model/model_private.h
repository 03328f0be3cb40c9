/* What an open model holds. Inside the model room only. */
#ifndef HEARTH_MODEL_PRIVATE_H
#define HEARTH_MODEL_PRIVATE_H

#include "model/plan.h"
#include "model/rope.h"
#include "model/weights.h"

struct model {
    gguf *g;
    tok *t; /* NULL when the file has no tokenizer */
    params p;
    plan pl;
    weights w;
    rope rope[PLAN_MAX_ROPES];
};

/* Row `token` of the embedding as floats, [n_embd], before any scale. */
void model_embd_row(const model *m, int32_t token, float *dst);

#endif
