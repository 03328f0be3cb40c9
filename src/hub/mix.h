/* Which type each tensor of a model gets when it is quantised: the mixtures that go by the names
 * Q4_K_M, Q3_K_M and so on. One type serves most matrices; those that hurt most when they are
 * coarse (the output, the values of attention, the feed-forward's way down) get a finer one, in all
 * layers or where it matters: at both ends of the model and in every third layer between. The
 * table in mix.c is all of it. Nothing here reads weights; any thread.
 *
 *     const mix *m = mix_named("q4_k_m");
 *     mix_model about; mix_model_of(&about, g);
 *     uint32_t type = mix_type(m, &about, t, &fell_back);
 */
#ifndef HEARTH_HUB_MIX_H
#define HEARTH_HUB_MIX_H

#include "base/limits.h"
#include "gguf/gguf.h"

typedef struct mix {
    const char *name;   /* "Q4_K_M" */
    uint32_t type;      /* of most matrices */
    uint32_t file_type; /* the mixture's number in general.file_type */
} mix;

/* What of a model decides: counted once, from names and metadata. */
typedef struct mix_model {
    uint32_t n_layer; /* one more than the largest N of "blk.N." */
    uint32_t n_v;     /* layers with values of attention; v_rank counts them */
    uint16_t v_rank[LIMIT_LAYERS];
    uint64_t n_expert;
    uint64_t heads_per_kv;
    bool tied;        /* no output.weight: the token embedding serves as one */
    bool has_experts; /* some matrix has a third axis */
} mix_model;

extern const mix mix_all[];             /* ends with a name of NULL */
const mix *mix_named(const char *name); /* any case; NULL when unknown */

void mix_model_of(mix_model *m, const gguf *g);
/* Vectors, norms, biases, routers, positions and what is no weight keep the type that they have.
 * Where rows are not whole blocks of the table's type, a type of smaller blocks is given, and
 * *fell_back is true (else it is false). */
uint32_t mix_type(const mix *m, const mix_model *about, const gguf_tensor *t, bool *fell_back);

#endif
