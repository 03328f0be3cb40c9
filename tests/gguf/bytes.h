/* A GGUF header put together byte by byte, right or wrong as the test wants it. Header-only, so
 * that any room's tests can use it.
 *
 *     buf b; bytes_begin(&b, 3, n_tensors, n_kv);
 *     bytes_key(&b, "general.alignment", GGUF_U32); bytes_u32(&b, 64);
 *     uint64_t ne[] = {32};
 *     bytes_tensor(&b, "t", 1, ne, QUANT_Q8_0, 0);
 *     bytes_align(&b, 64); bytes_fill(&b, 34);
 */
#ifndef HEARTH_TESTS_GGUF_BYTES_H
#define HEARTH_TESTS_GGUF_BYTES_H

#include "base/buf.h"
#include "gguf/gguf.h"
#include "quant/quant.h"

static inline void bytes_u8(buf *b, uint8_t v) {
    buf_append(b, &v, sizeof v);
}
static inline void bytes_u16(buf *b, uint16_t v) {
    buf_append(b, &v, sizeof v);
}
static inline void bytes_u32(buf *b, uint32_t v) {
    buf_append(b, &v, sizeof v);
}
static inline void bytes_u64(buf *b, uint64_t v) {
    buf_append(b, &v, sizeof v);
}
static inline void bytes_f32(buf *b, float v) {
    buf_append(b, &v, sizeof v);
}
static inline void bytes_f64(buf *b, double v) {
    buf_append(b, &v, sizeof v);
}
static inline void bytes_str(buf *b, const char *s) {
    bytes_u64(b, strlen(s));
    buf_puts(b, s);
}
static inline void bytes_begin(buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
    buf_init(b, 1 << 24);
    buf_puts(b, "GGUF");
    bytes_u32(b, version);
    bytes_u64(b, n_tensors);
    bytes_u64(b, n_kv);
}
static inline void bytes_key(buf *b, const char *key, uint32_t type) {
    bytes_str(b, key);
    bytes_u32(b, type);
}
static inline void bytes_array(buf *b, uint32_t elem, uint64_t n) {
    bytes_u32(b, elem);
    bytes_u64(b, n);
}
static inline void bytes_tensor(buf *b, const char *name, uint32_t n_dims, const uint64_t *ne,
                                uint32_t type, uint64_t offset) {
    bytes_str(b, name);
    bytes_u32(b, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) bytes_u64(b, ne[d]);
    bytes_u32(b, type);
    bytes_u64(b, offset);
}
static inline void bytes_align(buf *b, size_t align) {
    while (b->len % align) bytes_u8(b, 0);
}
/* n bytes that are no block's special case: small, each different from its neighbours. */
static inline void bytes_fill(buf *b, size_t n) {
    for (size_t i = 0; i < n; i++) bytes_u8(b, (uint8_t)(1 + i * 37 % 119));
}

/* One pair of every type, nested arrays included, and one row of every tensor type: the file that
 * the damage and fuzz tests start from. Its header, *header_bytes, is under 4 KB. */
static inline void bytes_everything(buf *b, size_t *header_bytes) {
    static const uint32_t types[] = {
        QUANT_F32,  QUANT_F16,  QUANT_BF16, QUANT_Q4_0,   QUANT_Q4_1,  QUANT_Q5_0, QUANT_Q5_1,
        QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K,   QUANT_Q5_K,  QUANT_Q6_K, QUANT_IQ4_NL,
        QUANT_I8,   QUANT_I16,  QUANT_I32,  QUANT_IQ4_XS, QUANT_MXFP4, QUANT_I64,  QUANT_F64};
    const size_t n_types = sizeof types / sizeof types[0];
    bytes_begin(b, 3, n_types, 19);
    bytes_key(b, "general.architecture", GGUF_STRING);
    bytes_str(b, "none");
    bytes_key(b, "general.alignment", GGUF_U32);
    bytes_u32(b, 64);
    bytes_key(b, "u8", GGUF_U8);
    bytes_u8(b, 200);
    bytes_key(b, "i8", GGUF_I8);
    bytes_u8(b, 0x85);
    bytes_key(b, "u16", GGUF_U16);
    bytes_u16(b, 60000);
    bytes_key(b, "i16", GGUF_I16);
    bytes_u16(b, 0x8001);
    bytes_key(b, "u32", GGUF_U32);
    bytes_u32(b, 4000000000u);
    bytes_key(b, "i32", GGUF_I32);
    bytes_u32(b, 0x80000002u);
    bytes_key(b, "f32", GGUF_F32);
    bytes_f32(b, 1.5f);
    bytes_key(b, "bool", GGUF_BOOL);
    bytes_u8(b, 1);
    bytes_key(b, "string", GGUF_STRING);
    bytes_str(b, "h\xc3\xa9 \xe2\x82\xac");
    bytes_key(b, "u64", GGUF_U64);
    bytes_u64(b, 0xfedcba9876543210u);
    bytes_key(b, "i64", GGUF_I64);
    bytes_u64(b, (uint64_t)-5);
    bytes_key(b, "f64", GGUF_F64);
    bytes_f64(b, -0.25);
    bytes_key(b, "strings", GGUF_ARRAY);
    bytes_array(b, GGUF_STRING, 4);
    bytes_str(b, "one");
    bytes_str(b, "");
    bytes_str(b, "three");
    bytes_str(b, "\xe2\x96\x81 four");
    bytes_key(b, "floats", GGUF_ARRAY);
    bytes_array(b, GGUF_F32, 3);
    for (int i = 0; i < 3; i++) bytes_f32(b, -1.0f * (float)i);
    bytes_key(b, "bools", GGUF_ARRAY);
    bytes_array(b, GGUF_BOOL, 3);
    for (int i = 0; i < 3; i++) bytes_u8(b, i == 1);
    bytes_key(b, "shorts", GGUF_ARRAY);
    bytes_array(b, GGUF_I16, 2);
    bytes_u16(b, 7);
    bytes_u16(b, 0xfffe);
    bytes_key(b, "nested", GGUF_ARRAY);
    bytes_array(b, GGUF_ARRAY, 2);
    bytes_array(b, GGUF_I32, 2);
    bytes_u32(b, 1);
    bytes_u32(b, 2);
    bytes_array(b, GGUF_ARRAY, 1);
    bytes_array(b, GGUF_STRING, 1);
    bytes_str(b, "deep");
    uint64_t offset = 0;
    for (size_t i = 0; i < n_types; i++) {
        const quant_info *q = quant_info_of(types[i]);
        uint64_t ne[4] = {q->block, 1 + i % 3, 1, 1},
                 size = ne[0] * ne[1] / q->block * q->block_bytes;
        bytes_tensor(b, q->name, (uint32_t)(i % 3 ? 2 : 4), ne, types[i], offset);
        offset = (offset + size + 63) / 64 * 64;
    }
    *header_bytes = b->len;
    bytes_align(b, 64);
    bytes_fill(b, offset);
}

#endif
