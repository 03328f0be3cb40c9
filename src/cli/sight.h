/* What can be seen of a model file without loading it: gathered once, for show. One thread. */
#ifndef HEARTH_CLI_SIGHT_H
#define HEARTH_CLI_SIGHT_H

#include "cli/models.h"
#include "prompt/prompt.h"
#include "quant/quant.h"

typedef struct sight_type {
    const char *name;
    int tensors;
    uint64_t elements, bytes;
} sight_type;

typedef struct sight {
    gguf *g;
    tok *t; /* NULL: see no_tok */
    err no_tok;
    prompt prompt; /* borrows from g and t */
    char arch[64], name[256];
    bool arch_known; /* Hearth runs this architecture ... */
    bool known;      /* ... and this file's numbers are in order; else why says what is wrong */
    err why;
    model_params params;
    uint64_t n_params, tensor_bytes;
    sight_type type[QUANT_TYPE_END]; /* by bytes, largest first */
    int n_types;
    int32_t ctx; /* the context that memory is counted for */
    bool ctx_asked;
    const char *kv_name;
    uint64_t weight_bytes, kv_bytes, available; /* available UINT64_MAX: not known */
    int32_t ctx_fits; /* the largest context for which memory is there, at most the model's own */
} sight;

/* ctx 0: the model's own. */
bool sight_open(sight *s, const models_ref *r, int32_t ctx, const char *kv_name, err *e);
void sight_close(sight *s);

#endif
