/* What one token costs by arithmetic and by bytes, from a file's keys and shapes alone: the other
 * half of "how near to the machine's limit". Matrices only: attention's products are not counted,
 * its reading of keys and values is. Reads the plan; any thread.
 *
 *     model_cost c;
 *     if (!model_cost_of(g, KERN_KV_F16, &c, &e)) ...
 *     double most = bandwidth / (c.weight_bytes + model_cost_kv_bytes(&c, n));
 */
#ifndef HEARTH_MODEL_COST_H
#define HEARTH_MODEL_COST_H

#include "model/model.h"

typedef struct model_cost {
    /* Multiply-adds of every token: on quantised rows, and on floats. */
    double dot_macs, fma_macs;
    /* Those of a token whose logits are wanted besides: behind the last layer's attention. */
    double last_dot_macs, last_fma_macs;
    /* Packed bytes that a token alone reads, the head too; of the experts, those that it uses. */
    double weight_bytes;
    bool routed; /* there are experts: several tokens together read more than one */
    int32_t n_groups;
    double group_bytes[MODEL_MAX_KV_GROUPS]; /* of keys and values of one position */
    int32_t window[MODEL_MAX_KV_GROUPS];     /* positions seen at most; 0: all */
    double
        nextn_bytes; /* of the layer that guesses ahead, which are memory but no part of a step */
} model_cost;

bool model_cost_of(const gguf *g, kern_kv_type kv, model_cost *c, err *e);
/* Bytes of keys and values that a token reads when it sees n positions. */
double model_cost_kv_bytes(const model_cost *c, int32_t n);

#endif
