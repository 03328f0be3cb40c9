/* Any bytes as an importance matrix: read or refused with a word; what is read answers. */
#include <stdint.h>
#include <stdlib.h>

#include "hub/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    err e = {0};
    float out[16];
    imatrix *im = imatrix_read(data, size, "fuzz", &e);
    if (!im && (!e.code || !e.msg[0])) abort();
    if (im) {
        imatrix_importance(im, STR("a"), 4, 1, out, &e);
        imatrix_importance(im, STR("blk.0.attn_q.weight"), 2, 2, out, &e);
    }
    imatrix_free(im);
    return 0;
}
