/* What a model's file says of the model, for lists: family, size, quantisation, what it can do.
 * Reading it takes as long as reading the file's head. Any thread; no state.
 *
 *     facts f;
 *     facts_read(g, &f);
 */
#ifndef HEARTH_HUB_FACTS_H
#define HEARTH_HUB_FACTS_H

#include "gguf/gguf.h"
#include "hub/digest.h"

enum {
    FACTS_COMPLETION = 1,
    FACTS_EMBEDDING = 2,
    FACTS_TOOLS = 4,
    FACTS_THINKING = 8,
    FACTS_INSERT = 16
};

typedef struct facts {
    char family[64];   /* the architecture */
    char size[16];     /* "135M", "7.6B" */
    char quant[24];    /* "Q4_K_M" */
    char identity[65]; /* SHA-256 of everything in the file but the weights, and of its length */
    unsigned can;      /* FACTS_... */
    uint64_t n_params;
    int32_t n_ctx_train, n_embd; /* 0: not said */
} facts;

void facts_read(const gguf *g, facts *f);

#endif
