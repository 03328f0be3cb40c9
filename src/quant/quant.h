/* Block formats of tensors: how many elements and bytes a block has, and the reference dequantiser
 * and quantiser of each. Layouts are ggml's (ggml-common.h), the values are those of their
 * definitions; the table in docs/formats.md states every one. Rows are whole blocks. Scalar, exact,
 * any thread.
 *
 *     const quant_info *q = quant_info_of(t->type);
 *     float row[4096]; q->dequantize(t->data, row, 4096);
 */
#ifndef HEARTH_QUANT_H
#define HEARTH_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers as stored in GGUF. */
typedef enum quant_type {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q2_K = 10,
    QUANT_Q3_K = 11,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_IQ4_NL = 20,
    QUANT_IQ4_XS = 23,
    QUANT_I8 = 24,
    QUANT_I16 = 25,
    QUANT_I32 = 26,
    QUANT_I64 = 27,
    QUANT_F64 = 28,
    QUANT_BF16 = 30,
    QUANT_MXFP4 = 39
} quant_type;

#define QUANT_TYPE_END 43 /* one past the largest number that a file may name */

typedef struct quant_info {
    const char *name; /* "Q4_K"; NULL for numbers that Hearth does not know */
    uint32_t block;   /* elements */
    uint32_t block_bytes;
    bool is_weight; /* can be a matrix (the integer and F64 types cannot) */
    /* k elements, whole blocks; src may be unaligned. NULL for types that are not weights. */
    void (*dequantize)(const void *src, float *dst, int64_t k);
    /* One scale a block: the format's plain rule. K-quants, IQ4 and MXFP4: a search for the scales
     * that lose least. Any input: NaN becomes 0, what is too large saturates (F32, F16 and BF16
     * keep both). NULL where Hearth does not write the type.
     * by: how much an error of each element matters, k finite numbers > 0 of about 1 on average
     * (an importance matrix, hub/imatrix.h), or NULL. With it every type of fewer than 8 bits
     * searches for scales; the rest does not look at it. */
    void (*quantize)(const float *src, const float *by, void *dst, int64_t k);
} quant_info;

/* NULL when the type is unknown. */
const quant_info *quant_info_of(uint32_t type);
/* By name, any case ("q4_k"); NULL when unknown. */
const quant_info *quant_info_named(const char *name, uint32_t *type);
/* Bytes of n elements; false on overflow, an unknown type or a partial block. */
bool quant_bytes(uint32_t type, uint64_t n, uint64_t *bytes);

/* IEEE half and bfloat16. Rounds to nearest even; overflow gives infinity, NaN stays NaN. */
float quant_f16_to_f32(uint16_t h);
uint16_t quant_f32_to_f16(float f);
float quant_bf16_to_f32(uint16_t h);
uint16_t quant_f32_to_bf16(float f);

/* Tables of the 4-bit code books. */
extern const int8_t quant_iq4nl_values[16]; /* IQ4_NL and IQ4_XS */
extern const int8_t quant_mxfp4_values[16]; /* twice the E2M1 values */
float quant_e8m0_half(uint8_t e);           /* 2^(e-128), exact, denormal below e = 2 */
/* Six-bit scale j (0..7) and minimum of a Q4_K or Q5_K block's 12 scale bytes. */
void quant_k4_scale_min(const uint8_t sc[12], int j, uint8_t *scale, uint8_t *min);
/* The sixteen 6-bit scales of a Q3_K block, minus 32. */
void quant_q3k_scales(const uint8_t sc[12], int8_t out[16]);

#endif
