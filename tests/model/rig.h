/* A tiny model with its executor and pages for a few sequences, for the tests of this room.
 *
 *     rig r;
 *     rig_open(&r, "qwen3", QUANT_F32, KERN_KV_F16, 2, 2048, NULL);
 *     rig_feed(&r, 0, ids, 64, logits);       // 64 tokens of sequence 0, logits of each
 *     rig_close(&r);
 */
#ifndef HEARTH_TESTS_MODEL_RIG_H
#define HEARTH_TESTS_MODEL_RIG_H

#include "base/team.h"
#include "model/model.h"
#include "support/tiny.h"

#define RIG_SEQS 3

typedef struct rig {
    tiny_model t;
    model *m;
    team *team;
    model_exec *x;
    kern_kv_type kv;
    void **page[RIG_SEQS][MODEL_MAX_KV_GROUPS];
    model_seq seq[RIG_SEQS];
    int pos[RIG_SEQS]; /* tokens fed so far */
    int n_pages, n_vocab;
} rig;

/* Opens `name` with its context length set to n_ctx, after `change` (or NULL) has had the file. */
void rig_open(rig *r, const char *name, uint32_t type, kern_kv_type kv, int n_threads, int n_ctx,
              void (*change)(buf *file));
/* The same with the model's options as given; the team is put in. */
void rig_open_with(rig *r, const char *name, uint32_t type, kern_kv_type kv, int n_threads,
                   int n_ctx, void (*change)(buf *file), model_options o);
void rig_close(rig *r);
/* n tokens of one sequence in one batch, every row with logits when `logits` is not NULL. */
void rig_feed(rig *r, int seq, const int32_t *ids, int n, float *logits);
/* Pages for all positions before `end`, filled with bytes that no result may depend on. */
void rig_pages(rig *r, int seq, int end);
/* Sets a U32 of the metadata; fails the test when the key is not there. */
void rig_set_u32(buf *file, const char *key, uint32_t value);
/* The floats of an F32 tensor, to be changed in place; *n is their number. */
float *rig_tensor(buf *file, const char *name, uint64_t *n);
/* Changes a byte of the tensor's name wherever it stands, so that it is missing. */
void rig_hide_tensor(buf *file, const char *name);

#endif
