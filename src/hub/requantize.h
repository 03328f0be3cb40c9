/* Writing a model anew with weights of another type.
 *
 * Each matrix is read as floats and stored in the type that its mixture gives it (mix.h); all else
 * is copied byte for byte, the metadata too but for general.file_type and
 * general.quantization_version. Every block is converted by itself, so the file has the same bytes
 * for any number of threads. Memory: some megabytes, whatever the model. The file appears when it
 * is complete. One call at a time per team.
 *
 *     requantize_options o = {.mix = mix_named("Q4_K_M"), .team = t};
 *     requantize_report r;
 *     if (!requantize(g, "out.gguf", &o, &r, &e)) ...
 */
#ifndef HEARTH_HUB_REQUANTIZE_H
#define HEARTH_HUB_REQUANTIZE_H

#include "base/team.h"
#include "hub/imatrix.h"
#include "hub/mix.h"
#include "quant/quant.h"

typedef struct requantize_options {
    const mix *mix;
    team *team;
    bool from_quantized; /* else only F32, F16 and BF16 are converted: loss adds to loss */
    const imatrix *by;   /* how much columns matter, or NULL */
    bool replace;        /* of an existing file; the model's own file never */
    /* Now and then, with bytes of tensors read; false ends it with ERR_INTERRUPTED. May be NULL. */
    bool (*progress)(void *ud, uint64_t done, uint64_t total);
    void *progress_ud;
} requantize_options;

typedef struct requantize_report {
    uint64_t tensors, converted;
    uint64_t fell_back;      /* tensors whose rows are no whole blocks of the type meant for them */
    uint64_t n_by, n_not_by; /* of those that could be weighed: with and without an importance */
    uint64_t elements, bytes_in, bytes_out;                  /* of tensors */
    uint64_t n_of[QUANT_TYPE_END], bytes_of[QUANT_TYPE_END]; /* by type, as written */
    uint64_t fell_to[QUANT_TYPE_END];
} requantize_report;

bool requantize(const gguf *g, const char *out, const requantize_options *o, requantize_report *r,
                err *e);

#endif
