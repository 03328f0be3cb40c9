/* Weights in memory: every matrix of a plan packed into panels, every vector as floats, in one
 * mapping.
 *
 * Packing goes slice by slice, in parallel, and gives the file's pages back behind it, so that at
 * most a few slices are in memory twice. Immutable afterwards; any thread.
 *
 * Without packing (model_options.no_pack) only the vectors are in memory; a panel is packed from
 * the file's mapping into the caller's memory each time it is needed. The same bytes, so the same
 * results, slowly.
 */
#ifndef HEARTH_MODEL_WEIGHTS_H
#define HEARTH_MODEL_WEIGHTS_H

#include "model/plan.h"

/* A matrix, or the matrices of all experts one after the other. */
typedef struct weight_matrix {
    const kern_format *f;
    uint8_t *base; /* NULL when not packed */
    size_t
        stride; /* bytes from one panel to the next (more than a panel's own where two alternate) */
    int64_t k, n_out;   /* of one expert */
    int32_t n_panels;   /* of one expert */
    bool reads_q;       /* the kernels read the quantised row, else the floats */
    const uint8_t *src; /* in the file: the first row taken; experts follow each other */
    size_t expert_bytes;
} weight_matrix;

typedef struct weights {
    weight_matrix *m; /* [plan.n_matrices] */
    float **v;        /* [plan.n_vectors] */
    void *map;
    size_t map_bytes;
    size_t panel_bytes; /* of the largest panel; 0 when the matrices are packed */
} weights;

/* Panel i, counted over all experts. `own` has weights.panel_bytes, 64-byte aligned; what is
 * returned is good until it is used again. */
static inline const void *weight_panel(const weight_matrix *m, int64_t i, void *own) {
    if (m->base) return m->base + (size_t)i * m->stride;
    const uint8_t *src = m->src + (size_t)(i / m->n_panels) * m->expert_bytes;
    kern_panel_pack(m->f, src, m->n_out, m->k, i % m->n_panels * KERN_ROWS, own);
    return own;
}

/* Memory that the plan's weights take; 0 when that does not fit 64 bits. */
uint64_t weights_bytes(const plan *pl, bool as_f32);
bool weights_load(weights *w, const plan *pl, const gguf *g, const model_options *o, err *e);
void weights_deinit(weights *w);

#endif
