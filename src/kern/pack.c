/* Packing GGUF rows into panels. A chunk of each row is first decoded into a byte per weight (w as
 * in kern.h, or the index for types by table) and its scales put in place; then the bytes of 64
 * rows are woven into planes. Both go eight bytes at a time in a machine word: little-endian, like
 * the file. Rows past the end are zero rows.
 */
#include "kern/kern_panel.h"

#include "quant/quant.h"

#include <string.h>

/* ---- one chunk of one row: bytes and scales ---- */

typedef struct pack_row {
    uint8_t w[KERN_CHUNK_K];
    uint16_t d[8], m[8]; /* FORMAT_F16: per block of 32; FORMAT_K: [0] */
    uint8_t e[8];        /* FORMAT_E8M0 */
    uint8_t scale[16], min[16];
} pack_row;

static uint16_t load16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}
static void store64(uint8_t *p, uint64_t v) {
    memcpy(p, &v, 8);
}

/* Eight bytes at a time: bits shift .. of each, as many as `mask` (of one byte) has. */
#define BYTES(x) (0x0101010101010101u * (x))
static uint64_t bits_of(uint64_t v, int shift, uint64_t mask) {
    return v >> shift & BYTES(mask);
}

/* 2n nibbles: low halves first, then high halves; n a multiple of 8. */
static void nibbles(const uint8_t *qs, int n, uint8_t *w) {
    for (int i = 0; i < n; i += 8) {
        uint64_t v = load64(qs + i);
        store64(w + i, bits_of(v, 0, 15));
        store64(w + i + n, bits_of(v, 4, 15));
    }
}

/* Adds bit i of `bits` to w[i] as 16. */
static void fifth32(uint32_t bits, uint8_t *w) {
    for (int i = 0; i < 32; i += 8) {
        uint64_t own = BYTES(bits >> i & 255) & 0x8040201008040201u; /* byte j keeps bit j */
        store64(w + i, load64(w + i) | bits_of(own + BYTES(0x7f), 7, 1) << 4);
    }
}

/* The types with blocks of 32: one block. */
static void block32(uint32_t type, const uint8_t *p, int b, pack_row *o) {
    uint8_t *w = o->w + b * 32;
    if (type == QUANT_MXFP4) {
        o->e[b] = p[0];
        nibbles(p + 1, 16, w);
        return;
    }
    o->d[b] = load16(p), p += 2;
    if (type == QUANT_Q4_1 || type == QUANT_Q5_1) o->m[b] = load16(p), p += 2;
    if (type == QUANT_Q8_0) {
        for (int i = 0; i < 32; i++) w[i] = p[i] ^ 0x80;
        return;
    }
    bool five = type == QUANT_Q5_0 || type == QUANT_Q5_1;
    nibbles(five ? p + 4 : p, 16, w);
    if (five) fifth32(load32(p), w);
}

static void block_q2k(const uint8_t *p, pack_row *o) {
    memcpy(o->scale, p, 16);
    const uint8_t *qs = p + 16;
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l += 8)
                store64(o->w + 128 * h + 32 * j + l, bits_of(load64(qs + 32 * h + l), 2 * j, 3));
    o->d[0] = load16(p + 80), o->m[0] = load16(p + 82);
}

static void block_q3k(const uint8_t *p, pack_row *o) {
    const uint8_t *hmask = p, *qs = p + 32;
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 4; j++)
            for (int l = 0; l < 32; l += 8)
                store64(o->w + 128 * h + 32 * j + l, bits_of(load64(qs + 32 * h + l), 2 * j, 3) |
                                                         bits_of(load64(hmask + l), 4 * h + j, 1)
                                                             << 2);
    int8_t scale[16];
    quant_q3k_scales(p + 96, scale);
    memcpy(o->scale, scale, 16);
    o->d[0] = load16(p + 108);
}

static void block_q45k(const uint8_t *p, bool five, pack_row *o) {
    o->d[0] = load16(p), o->m[0] = load16(p + 2);
    for (int j = 0; j < 8; j++) quant_k4_scale_min(p + 4, j, &o->scale[j], &o->min[j]);
    const uint8_t *qh = p + 16, *qs = five ? p + 48 : p + 16;
    for (int q = 0; q < 4; q++) {
        uint8_t *w = o->w + 64 * q;
        nibbles(qs + 32 * q, 32, w);
        for (int l = 0; five && l < 32; l += 8) {
            uint64_t high = load64(qh + l);
            store64(w + l, load64(w + l) | bits_of(high, 2 * q, 1) << 4);
            store64(w + l + 32, load64(w + l + 32) | bits_of(high, 2 * q + 1, 1) << 4);
        }
    }
}

static void block_q6k(const uint8_t *p, pack_row *o) {
    for (int h = 0; h < 2; h++) {
        const uint8_t *ql = p + 64 * h, *qh = p + 128 + 32 * h;
        uint8_t *w = o->w + 128 * h;
        for (int l = 0; l < 32; l += 8) {
            uint64_t a = load64(ql + l), b = load64(ql + l + 32), high = load64(qh + l);
            store64(w + l, bits_of(a, 0, 15) | bits_of(high, 0, 3) << 4);
            store64(w + l + 32, bits_of(b, 0, 15) | bits_of(high, 2, 3) << 4);
            store64(w + l + 64, bits_of(a, 4, 15) | bits_of(high, 4, 3) << 4);
            store64(w + l + 96, bits_of(b, 4, 15) | bits_of(high, 6, 3) << 4);
        }
    }
    memcpy(o->scale, p + 192, 16);
    o->d[0] = load16(p + 208);
}

static void block_iq4xs(const uint8_t *p, pack_row *o) {
    o->d[0] = load16(p);
    unsigned high = load16(p + 2);
    for (int b = 0; b < 8; b++) {
        int s = (p[4 + b / 2] >> 4 * (b & 1) & 15) | (int)(high >> 2 * b & 3) << 4;
        o->scale[b] = (uint8_t)(s - 32);
        nibbles(p + 8 + 16 * b, 16, o->w + 32 * b);
    }
}

static void row_decode(const kern_format *f, const uint8_t *src, size_t block_bytes, int kc,
                       pack_row *o) {
    switch (f->type) {
    case QUANT_Q2_K: block_q2k(src, o); break;
    case QUANT_Q3_K: block_q3k(src, o); break;
    case QUANT_Q4_K: block_q45k(src, false, o); break;
    case QUANT_Q5_K: block_q45k(src, true, o); break;
    case QUANT_Q6_K: block_q6k(src, o); break;
    case QUANT_IQ4_XS: block_iq4xs(src, o); break;
    default:
        for (int b = 0; b < kc / 32; b++) block32(f->type, src + (size_t)b * block_bytes, b, o);
    }
}

/* A row of zeros: weights equal to the offset (index 0 in types by table, whose scale is 0 or, in
 * MXFP4, whose value is 0), all scales zero. */
static void row_zero(const kern_format *f, pack_row *o) {
    memset(o, 0, sizeof *o);
    if (!f->table) memset(o->w, f->offset, sizeof o->w);
}

/* ---- weaving one row's bytes into the planes ---- */

static void weave_nibbles(const uint8_t *w, int kc, int r, uint8_t *dst) {
    for (int p = 0; p < kc / 8; p++) {
        uint32_t lo = load32(w + 8 * p) & 0x0f0f0f0f, hi = load32(w + 8 * p + 4) & 0x0f0f0f0f;
        uint32_t v = lo | hi << 4;
        memcpy(dst + p * 256 + r * 4, &v, 4);
    }
}

static void weave_bytes(const uint8_t *w, int kc, int r, uint8_t *dst) {
    for (int g = 0; g < kc / 4; g++) memcpy(dst + g * 256 + r * 4, w + 4 * g, 4);
}

/* Two rows share a byte; rows come in ascending order, so an even row sets it and an odd one adds.
 * */
static void weave_bits(const uint8_t *w, int kc, int r, int shift, uint8_t *dst) {
    dst += r / 2;
    for (int g = 0; g < kc / 4; g += 2, dst += 64) {
        uint64_t eight = bits_of(load64(w + 4 * g), shift, 1) * 0x0102040810204080u >> 56;
        unsigned low = eight & 15, high = (unsigned)eight >> 4; /* bit i of byte i */
        dst[0] = (uint8_t)(r & 1 ? dst[0] | low << 4 : low);
        dst[32] = (uint8_t)(r & 1 ? dst[32] | high << 4 : high);
    }
}

static void weave_pairs(const uint8_t *w, int kc, int r, int shift, uint8_t *dst) {
    for (int p = 0; p < kc / 16; p++) {
        uint32_t v = 0;
        for (int i = 0; i < 4; i++)
            v |= (load32(w + 16 * p + 4 * i) >> shift & 0x03030303) << 2 * i;
        memcpy(dst + p * 256 + r * 4, &v, 4);
    }
}

static void place_scales(const kern_format *f, const pack_row *o, int kc, int r, uint8_t *p) {
    size_t subs = (size_t)kc / f->sub, row = (size_t)r;
    if (f->kind == FORMAT_F16) {
        for (size_t s = 0; s < subs; s++) memcpy(p + (s * 64 + row) * 2, &o->d[s], 2);
        p += subs * 128;
        for (size_t s = 0; f->has_min && s < subs; s++) memcpy(p + (s * 64 + row) * 2, &o->m[s], 2);
        return;
    }
    if (f->kind == FORMAT_E8M0) {
        for (size_t s = 0; s < subs; s++) p[s * 64 + row] = o->e[s];
        return;
    }
    memcpy(p + row * 2, &o->d[0], 2), p += 128;
    if (f->has_min) memcpy(p + row * 2, &o->m[0], 2), p += 128;
    for (size_t s = 0; s < subs; s++) p[s * 64 + row] = o->scale[s];
    p += subs * 64;
    for (size_t s = 0; f->has_min && !f->packed_min && s < subs; s++) p[s * 64 + row] = o->min[s];
}

static void chunk_pack(const kern_format *f, const pack_row *o, int kc, int r, uint8_t *dst) {
    size_t k = (size_t)kc;
    if (f->nibbles) weave_nibbles(o->w, kc, r, dst), dst += k * 32;
    if (f->bytes) weave_bytes(o->w, kc, r, dst), dst += k * 64;
    if (f->bits) weave_bits(o->w, kc, r, f->bit_shift, dst), dst += k * 8;
    if (f->pairs) weave_pairs(o->w, kc, r, f->pair_shift, dst), dst += k * 16;
    place_scales(f, o, kc, r, dst);
}

/* ---- panels of plain numbers: a transposition ---- */

static void plain_pack(size_t elem, const uint8_t *src, int64_t n_rows, int64_t k, int64_t row0,
                       uint8_t *dst) {
    const int64_t step = 16; /* elements per visit of a row: a cache line or less */
    for (int64_t k0 = 0; k0 < k; k0 += step) {
        int64_t end = k0 + step < k ? k0 + step : k;
        for (int64_t r = 0; r < KERN_ROWS; r++) {
            uint8_t *to = dst + (size_t)(k0 * KERN_ROWS + r) * elem;
            if (row0 + r >= n_rows) {
                for (int64_t i = k0; i < end; i++, to += KERN_ROWS * elem) memset(to, 0, elem);
                continue;
            }
            const uint8_t *from = src + (size_t)((row0 + r) * k + k0) * elem;
            for (int64_t i = k0; i < end; i++, to += KERN_ROWS * elem, from += elem) {
                if (elem == 2) memcpy(to, from, 2);
                else memcpy(to, from, 4);
            }
        }
    }
}

void kern_panel_pack(const kern_format *f, const void *src, int64_t n_rows, int64_t k, int64_t row0,
                     void *dst) {
    if (f->kind == FORMAT_PLAIN) {
        plain_pack(f->elem_bytes, src, n_rows, k, row0, dst);
        return;
    }
    const quant_info *q = quant_info_of(f->type);
    size_t row_bytes = (size_t)(k / q->block) * q->block_bytes;
    uint8_t *chunk = dst;
    pack_row o;
    for (int64_t k0 = 0; k0 < k; k0 += KERN_CHUNK_K) {
        int kc = panel_chunk_k(k, k0);
        for (int r = 0; r < KERN_ROWS; r++) {
            if (row0 + r >= n_rows) {
                row_zero(f, &o);
            } else {
                const uint8_t *row = (const uint8_t *)src + (size_t)(row0 + r) * row_bytes;
                row_decode(f, row + (size_t)(k0 / q->block) * q->block_bytes, q->block_bytes, kc,
                           &o);
            }
            chunk_pack(f, &o, kc, r, chunk);
        }
        chunk += panel_chunk_bytes(f, kc);
    }
}
