/* What an open adapter holds. Inside the model room only.
 *
 * Both halves of a pair are packed like weights, and multiplied by the same kernels: so a product
 * has the same bytes on every variant, and for every number of rows.
 *
 * The A of all matrices that read the same input stand one below the other, as one group a step of
 * the plan: 64 lanes of a panel serve several pairs. A panel is cut along k into spans of equal
 * length, so that several threads share the product of a single row; what the spans give is added
 * in their order. Neither depends on who else is in the batch.
 */
#ifndef HEARTH_MODEL_LORA_H
#define HEARTH_MODEL_LORA_H

#include "model/model_private.h"

/* B of one matrix, and where its A x stands. */
typedef struct lora_pair {
    const kern_format *f;
    uint8_t *b; /* [n_panels] of 64 rows x rank */
    size_t b_bytes;
    int32_t n_panels;
    int32_t lane0, rank; /* lanes [lane0, lane0 + rank) of its step's group */
    float gain;          /* alpha / rank */
} lora_pair;

typedef struct lora_group {
    const kern_format *f; /* of `type`: F32, F16 or BF16 */
    uint32_t type;
    uint8_t *a; /* [n_panels][n_spans] of 64 lanes x k / n_spans */
    size_t a_bytes;
    int64_t k;
    int32_t n_lanes, n_panels, n_spans;
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
    void *map;
    size_t map_bytes;
};

static inline const lora_group *lora_group_of(const model_lora *l, int step) {
    int32_t i = l->group_of[step];
    return i < 0 ? NULL : &l->group[i];
}
static inline const lora_pair *lora_pair_of(const model_lora *l, plan_ref matrix) {
    int32_t i = l->pair_of[matrix];
    return i < 0 ? NULL : &l->pair[i];
}

#endif
