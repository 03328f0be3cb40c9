/* Hyper-parameters: the `<arch>.*` keys of a file, each checked against one table of ranges
 * (params.c).
 *
 * A params is plain data, filled once while a model opens. Keys that a file may leave out and whose
 * default depends on the architecture are PARAM_ABSENT here; the architecture decides.
 *
 *     params p;
 *     if (!params_read(&p, g, &e)) ...      // "x.gguf: byte 512: llama.block_count is 0; ..."
 */
#ifndef HEARTH_MODEL_PARAMS_H
#define HEARTH_MODEL_PARAMS_H

#include "base/limits.h"
#include "model/model.h"

#define PARAM_ABSENT (-1)

typedef enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_YARN, ROPE_LONG } rope_scaling;

typedef struct params {
    model_params pub;
    const gguf *g;                /* borrowed while the plan is built */
    float eps;                    /* of every norm */
    float eps_layer;              /* of layer norms: PARAM_ABSENT where the file has the other */
    int32_t pooling;              /* a model_pooling, or PARAM_ABSENT */
    int32_t n_types;              /* token types of an encoder */
    int32_t n_head[LIMIT_LAYERS]; /* per layer, from a number or an array */
    int32_t n_head_kv[LIMIT_LAYERS];
    int32_t n_ff[LIMIT_LAYERS];
    int32_t window;           /* PARAM_ABSENT, or tokens; 0 means none */
    int32_t window_pattern;   /* every n-th layer sees everything */
    int32_t no_rope_interval; /* every n-th layer has no rope */
    int32_t n_expert, n_expert_used, n_ff_expert;
    int32_t n_expert_shared; /* experts that every row uses, as one */
    int32_t n_expert_group;
    int32_t n_dense_lead; /* layers in front that have no experts */
    int32_t expert_gate;  /* how experts are weighted: 1 softmax, 2 sigmoid; or PARAM_ABSENT */
    int32_t expert_norm;  /* whether the chosen ones' weights are normed; or PARAM_ABSENT */
    float expert_scale;   /* of their weights */
    int32_t n_nextn;      /* layers behind the n_layer that guess tokens after the next */
    float attn_softcap, final_softcap, attn_scale, embd_scale, logit_scale;
    rope_scaling scaling;
    double rope_base, rope_base_local, rope_factor, rope_attn_factor;
    double yarn_ext, yarn_attn, yarn_beta_fast, yarn_beta_slow;
    int32_t rope_ctx_orig;
} params;

bool params_read(params *p, const gguf *g, err *e);
/* "FILE: byte OFFSET: ARCH.KEY ..." for a key that is there but makes no sense beside the others.
 * */
bool params_fail(const params *p, const char *key, err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
