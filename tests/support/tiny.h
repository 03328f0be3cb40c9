/* Tiny random models for tests, one or more for each architecture, built in memory.
 *
 * tests/reference/make_reference.py describes each in tests/model/vectors/NAME.json (metadata,
 * tensors, the prompt) and has Hugging Face transformers compute NAME.f32, the FP32 logits of every
 * position. The weights are in neither: they are drawn here, bit for bit as there (see that
 * script's story).
 *
 *     tiny_model t; err e = {0};
 *     if (!tiny_open(&t, "qwen3", QUANT_F32, &e)) fail_msg("%s", e.msg);
 *     model *m = model_open_memory(t.gguf.data, t.gguf.len, t.name, NULL, &e);
 *     ... compare with t.logits ...
 *     model_close(m); tiny_close(&t);
 */
#ifndef HEARTH_TESTS_TINY_H
#define HEARTH_TESTS_TINY_H

#include "base/buf.h"
#include "base/err.h"

typedef struct tiny_model {
    const char *name;
    buf gguf;        /* a whole GGUF file; data is page-aligned nowhere: it is a plain buffer */
    int32_t *prompt; /* [n_prompt] */
    int n_prompt, n_vocab;
    float *logits; /* [n_prompt][n_vocab] by transformers, for F32 weights; NULL of the next ones */
    /* Of models that sum up a text: */
    float *state; /* [n_prompt][n_embd] the final state of every position */
    float *score; /* [n_scores] what its classifier says of the whole prompt; part of state */
    int n_embd, n_scores;
    int n_first; /* tokens of the first of two texts */
    /* Of models with a layer that guesses ahead, its logits [n_prompt + 2][n_vocab]: of the states
     * of tokens 0 .. n_prompt - 2; then behind the prompt, following the likeliest tokens. */
    float *ahead;
} tiny_model;

/* Every model there is, NULL-terminated: "llama", "llama-yarn", ..., "gpt-oss". */
extern const char *const tiny_names[];
/* Those with a layer that guesses ahead; "qwen3-sure" is always right. NULL-terminated. */
extern const char *const tiny_ahead[];
/* Those that sum up a text: "bert", "nomic-bert", "qwen3-rank". NULL-terminated. */
extern const char *const tiny_embedders[];

/* weight_type: of every matrix but a router (those and vectors stay F32); rounded by quant's
 * quantiser. */
bool tiny_open(tiny_model *t, const char *name, uint32_t weight_type, err *e);
void tiny_close(tiny_model *t);
/* Models that have adapters (LoRA), NULL-terminated: NAME-lora1, which changes every matrix, and
 * NAME-lora2. */
extern const char *const tiny_adapted[];
#define TINY_LORAS 2
/* An adapter's file, and the scale it was used with for tiny_adapted_logits. */
bool tiny_lora_build(const char *name, int number, uint32_t type, buf *out, float *scale, err *e);
/* [n_prompt][n_vocab] by transformers with both adapters in force. NULL: *e says why. */
float *tiny_adapted_logits(const char *name, int n_prompt, int n_vocab, err *e);
/* Only the file's bytes, appended to out. */
bool tiny_model_build(const char *name, uint32_t weight_type, buf *out, err *e);

#endif
