/* What a model's file says of the model, for lists: family, size, quantisation, what it can do.
 * Reading it takes as long as opening the file, so it is kept until the file changes. Any thread.
 *
 *     facts f;
 *     if (!facts_get(a->facts, row.path, &f, &e)) ...
 */
#ifndef HEARTH_API_FACTS_H
#define HEARTH_API_FACTS_H

#include "base/err.h"
#include "gguf/gguf.h"

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
    int32_t n_ctx_train;
} facts;

typedef struct facts_cache facts_cache;
facts_cache *facts_cache_new(void); /* NULL: out of memory */
void facts_cache_free(facts_cache *c);

/* path: as hub_find wants it. */
bool facts_get(facts_cache *c, const char *path, facts *out, err *e);
/* The file itself; the caller closes it. */
gguf *facts_open(const char *path, err *e);

#endif
