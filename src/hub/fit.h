/* Whether a model fits this machine, before it is fetched too: of a file that is elsewhere only its
 * head is read, into sparse files of the right length, so that the same code checks and counts it.
 * One thread.
 *
 *     hub_fit_file f;
 *     if (!hub_fit_open(&f, &wire, "qwen3:8b", &e)) ...
 *     hub_fit r;
 *     if (hub_fit_count(f.g, NULL, 8192, &r, &e)) ... hub_fit_needs(&r) ...
 *     hub_fit_close(&f);
 */
#ifndef HEARTH_HUB_FIT_H
#define HEARTH_HUB_FIT_H

#include "gguf/gguf.h"
#include "hub/wire.h"

typedef struct hub_fit {
    uint64_t weight_bytes; /* of the file; what it takes in memory */
    uint64_t kv_bytes;     /* for one conversation of ctx tokens, 16-bit */
    uint64_t work_bytes;   /* what a step of 512 tokens needs besides; about */
    uint64_t draft_bytes;  /* weights, and keys and values, of its draft model */
    uint64_t adapter_bytes;
    int32_t ctx;         /* counted with */
    int32_t ctx_train;   /* the model's own */
    int32_t ctx_fits;    /* the longest that fits in have_bytes; 0: none does */
    uint64_t have_bytes; /* of memory that is free; UINT64_MAX: not known */
    bool fits;
    double token_bytes;      /* that one token reads of weights: sets the speed */
    double token_bytes_full; /* and with a context of ctx tokens */
} hub_fit;

/* What a model has beside its weights; all may be nothing. */
typedef struct hub_fit_beside {
    gguf *draft;          /* to be closed */
    uint64_t draft_bytes; /* in its place where only its size is known */
    uint64_t adapter_bytes;
} hub_fit_beside;
/* Of a model that is here, by its name. A draft that cannot be read is left out, as when it runs.
 */
bool hub_fit_beside_of(hub_fit_beside *b, const char *name, err *e);

/* ctx 0: the model's own, at most 8192. beside may be NULL. */
bool hub_fit_count(const gguf *g, const hub_fit_beside *beside, int32_t ctx, hub_fit *out, err *e);
uint64_t hub_fit_needs(const hub_fit *f); /* all together */

typedef struct hub_fit_variant {
    char name[80]; /* "Q4_K_M" */
    uint64_t bytes;
} hub_fit_variant;

typedef struct hub_fit_file {
    gguf *g;
    uint64_t bytes; /* of the whole model */
    hub_fit_beside beside;
    char folder[64]; /* of the sparse files; "": none */
    size_t n_parts;
    hub_fit_variant *list; /* [n] what else the repository has, the smallest first; owned */
    size_t n;
} hub_fit_file;

/* name: one that hearth pull takes. f is to be closed whatever the result. */
bool hub_fit_open(hub_fit_file *f, hub_wire *w, const char *name, err *e);
void hub_fit_close(hub_fit_file *f);
/* A message about the sparse files says the model's name instead of theirs. */
void hub_fit_name(const hub_fit_file *f, const char *name, err *e);

#endif
