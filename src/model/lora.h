/* What an open adapter holds. Inside the model room only.
 *
 * Both halves of a pair are packed like weights, and multiplied by the same kernels: so a product
 * has the same bytes on every variant, and for every number of rows.
 *
 * The A of all matrices that read the same input stand one below the other, as one group a step of
 * the plan: 64 lanes of a panel serve several pairs. A panel is cut along k into spans of equal
 * length, so that several threads share the product of a single row; what the spans give is added
 * in their order. Neither depends on who else is in the batch.
 *
 * A mixture's experts each have a pair of their own: their A stand below each other as well, expert
 * after expert, and a row meets those panels alone that hold its experts' lanes.
 */
#ifndef HEARTH_MODEL_LORA_H
#define HEARTH_MODEL_LORA_H

#include "model/model_private.h"

/* B of one matrix, or of a mixture's matrices, and where its A x stands. */
typedef struct lora_pair {
    const kern_format *f;
    uint8_t *b; /* [n_expert][n_panels] of 64 rows x rank */
    size_t b_bytes;
    int32_t n_panels, n_expert;
    int32_t lane0, rank; /* lanes [lane0 + e * rank, .. + rank) of its step's group, of expert e */
    int32_t part0;       /* of experts: the first of a row's panels of A x that are this pair's */
    float gain;          /* alpha / rank */
} lora_pair;

typedef struct lora_group {
    const kern_format *f; /* of `type`: F32, F16 or BF16 */
    uint32_t type;
    uint8_t *a; /* [n_panels][n_spans] of 64 lanes x k / n_spans */
    size_t a_bytes;
    int64_t k;
    int32_t n_lanes, n_panels, n_spans;
    int32_t n_parts; /* of a mixture: panels that hold an expert's lanes, of all pairs; else 0 */
} lora_group;

struct model_lora {
    const model *m;
    gguf *g;
    model_lora_info info;
    uint8_t print[MODEL_LORA_PRINT];
    lora_group *group; /* [n_groups] */
    lora_pair *pair;   /* [n_pairs] of matrices, then that of the embedding if there is one */
    int32_t n_groups, n_pairs;
    int32_t *group_of;         /* [plan.n_steps] index into group, or -1 */
    int32_t *pair_of;          /* [plan.n_matrices] index into pair, or -1 */
    const gguf_tensor *embd_a; /* [n_vocab][rank], read from the file row by row; NULL: none */
    int32_t embd_pair;
    int64_t part_floats; /* of one row: the most that A x of a step's spans needs */
    int32_t n_used;      /* experts of a row */
    void *map;
    size_t map_bytes;
};

/* The panels of a group that hold the lanes of a pair's expert: the first, and how many. */
static inline int32_t lora_panel_of(const lora_pair *p, int32_t expert, int32_t *n) {
    int32_t lane = p->lane0 + expert * p->rank, first = lane / KERN_ROWS;
    *n = (lane + p->rank - 1) / KERN_ROWS - first + 1;
    return first;
}
static inline const lora_group *lora_group_of(const model_lora *l, int step) {
    int32_t i = l->group_of[step];
    return i < 0 ? NULL : &l->group[i];
}
static inline const lora_pair *lora_pair_of(const model_lora *l, plan_ref matrix) {
    int32_t i = l->pair_of[matrix];
    return i < 0 ? NULL : &l->pair[i];
}

#endif
