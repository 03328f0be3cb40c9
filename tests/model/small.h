/* The smallest files there are, for damage: a model of one layer, 32 x 32, with a vocabulary of 40
 * and no tokenizer, and an adapter for it. Header-only, so that fuzz targets can use it.
 *
 *     buf b;
 *     size_t header = small_model(&b);      // bytes before the tensors' data
 */
#ifndef HEARTH_TESTS_MODEL_SMALL_H
#define HEARTH_TESTS_MODEL_SMALL_H

#include <stdio.h>

#include "base/buf.h"
#include "gguf/gguf.h"
#include "quant/quant.h"

static inline void small_u32(buf *b, uint32_t v) {
    buf_append(b, &v, 4);
}

static inline void small_u64(buf *b, uint64_t v) {
    buf_append(b, &v, 8);
}

static inline void small_str(buf *b, const char *s) {
    small_u64(b, strlen(s));
    buf_puts(b, s);
}

static inline void small_pair_str(buf *b, const char *key, const char *value) {
    small_str(b, key);
    small_u32(b, GGUF_STRING);
    small_str(b, value);
}

static inline void small_pair_f32(buf *b, const char *key, float value) {
    small_str(b, key);
    small_u32(b, GGUF_F32);
    buf_append(b, &value, 4);
}

static inline void small_tensor(buf *b, const char *name, uint64_t ne0, uint64_t ne1,
                                uint64_t *offset) {
    small_str(b, name);
    small_u32(b, ne1 ? 2 : 1);
    small_u64(b, ne0);
    if (ne1) small_u64(b, ne1);
    small_u32(b, QUANT_F32);
    small_u64(b, *offset);
    *offset += (ne0 * (ne1 ? ne1 : 1) * 4 + 31) / 32 * 32;
}

/* Ends the header, and puts `bytes` of data behind it. */
static inline size_t small_end(buf *b, uint64_t bytes) {
    size_t header = b->len;
    while (b->len % 32) buf_putc(b, 0);
    for (uint64_t i = 0; i < bytes / 4; i++) {
        float v = (float)((int)(i * 37 % 101) - 50) / 64;
        buf_append(b, &v, 4);
    }
    return header;
}

static inline void small_begin(buf *b, uint64_t n_tensors, uint64_t n_pairs) {
    buf_init(b, 1 << 20);
    buf_puts(b, "GGUF");
    small_u32(b, 3);
    small_u64(b, n_tensors);
    small_u64(b, n_pairs);
}

/* Rank 2, of what a tied model has: the way to Q, the way down, the head, the embedding. */
static inline size_t small_lora(buf *b) {
    static const struct {
        const char *name;
        uint64_t k, n;
    } t[] = {{"blk.0.attn_q.weight", 32, 32},
             {"blk.0.ffn_down.weight", 32, 32},
             {"output.weight", 32, 40}};
    uint64_t offset = 0;
    char name[64];
    small_begin(b, 8, 4);
    small_pair_str(b, "general.architecture", "llama");
    small_pair_str(b, "general.type", "adapter");
    small_pair_str(b, "adapter.type", "lora");
    small_pair_f32(b, "adapter.lora.alpha", 4);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        snprintf(name, sizeof name, "%s.lora_a", t[i].name);
        small_tensor(b, name, t[i].k, 2, &offset);
        snprintf(name, sizeof name, "%s.lora_b", t[i].name);
        small_tensor(b, name, 2, t[i].n, &offset);
    }
    small_tensor(b, "token_embd.weight.lora_a", 2, 40, &offset);
    small_tensor(b, "token_embd.weight.lora_b", 2, 32, &offset);
    return small_end(b, offset);
}

/* One layer of 32 x 32, a vocabulary of 40, no tokenizer: a whole model with a short header. */
static inline size_t small_model(buf *b) {
    static const char *const names[] = {"attn_q.weight",      "attn_k.weight",   "attn_v.weight",
                                        "attn_output.weight", "ffn_gate.weight", "ffn_up.weight",
                                        "ffn_down.weight"};
    static const struct {
        const char *key;
        uint32_t v;
    } ints[] = {{"llama.context_length", 64},
                {"llama.embedding_length", 32},
                {"llama.block_count", 1},
                {"llama.feed_forward_length", 32},
                {"llama.attention.head_count", 2},
                {"llama.attention.head_count_kv", 2},
                {"llama.attention.sliding_window", 8},
                {"llama.rope.dimension_count", 16}};
    uint64_t offset = 0;
    small_begin(b, 11, 11);
    small_pair_str(b, "general.architecture", "llama");
    for (size_t i = 0; i < 8; i++) {
        small_str(b, ints[i].key);
        small_u32(b, GGUF_U32);
        small_u32(b, ints[i].v);
    }
    small_pair_f32(b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    small_pair_str(b, "llama.rope.scaling.type", "none");
    small_tensor(b, "token_embd.weight", 32, 40, &offset);
    small_tensor(b, "output_norm.weight", 32, 0, &offset);
    for (size_t i = 0; i < 7; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.0.%s", names[i]);
        small_tensor(b, name, 32, 32, &offset);
    }
    small_tensor(b, "blk.0.attn_norm.weight", 32, 0, &offset);
    small_tensor(b, "blk.0.ffn_norm.weight", 32, 0, &offset);
    return small_end(b, offset);
}

#endif
