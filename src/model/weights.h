/* Weights in memory: every matrix of a plan packed into panels, every vector as floats, in one
 * mapping.
 *
 * Packing goes slice by slice, in parallel, and gives the file's pages back behind it, so that at
 * most a few slices are in memory twice. Immutable afterwards; any thread.
 */
#ifndef HEARTH_MODEL_WEIGHTS_H
#define HEARTH_MODEL_WEIGHTS_H

#include "model/plan.h"

/* A matrix, or the matrices of all experts one after the other. */
typedef struct weight_matrix {
    const kern_format *f;
    uint8_t *base;
    size_t
        stride; /* bytes from one panel to the next (more than a panel's own where two alternate) */
    int64_t k, n_out; /* of one expert */
    int32_t n_panels; /* of one expert */
    bool reads_q;     /* the kernels read the quantised row, else the floats */
} weight_matrix;

typedef struct weights {
    weight_matrix *m; /* [plan.n_matrices] */
    float **v;        /* [plan.n_vectors] */
    void *map;
    size_t map_bytes;
} weights;

static inline const void *weight_panel(const weight_matrix *m, int64_t i) {
    return m->base + (size_t)i * m->stride;
}

/* Memory that the plan's weights take; 0 when that does not fit 64 bits. */
uint64_t weights_bytes(const plan *pl, bool as_f32);
bool weights_load(weights *w, const plan *pl, const gguf *g, const model_options *o, err *e);
void weights_deinit(weights *w);

#endif
