/* The packed form of a weight matrix, byte by byte. Inside the kern room only.
 *
 * A panel of a block type is ceil(k / 256) chunks, one after the other; each but the last covers
 * 256 elements of each of 64 rows, the last kc = what is left (a multiple of 32). All parts of a
 * chunk are multiples of 64 bytes, in this order (w is the unsigned weight of row r at element e of
 * the chunk, as kern.h has it; types by table store the index into their table):
 *
 *   nibbles  kc*32 bytes   byte [e/8][r][e%4]: w & 15, in the low half where e%8 < 4, else in
 *                          the high half: a group of four elements and the next share bytes
 *   bytes    kc*64 bytes   byte [e/4][r][e%4] = w (Q8_0, instead of nibbles)
 *   bits     kc*8 bytes    uint64 [e/4][r/16], bit (r%16)*4 + e%4: one more bit of w, at bit_shift
 *   pairs    kc*16 bytes   byte [e/16][r][e%4], bits 2*(e/4%4): two more bits of w, at pair_shift
 *   scales   by kind       FORMAT_F16:  f16 d [kc/32][64], then f16 m [kc/32][64] if with minimum
 *                          FORMAT_E8M0: u8 e [kc/32][64]
 *                          FORMAT_K:    f16 d [64], f16 dmin [64] if with minimum; int8 scale
 *                                       [kc/sub][64]; then u8 min [kc/sub][64]. In Q2_K both
 *                                       share a byte (low and high half), as in the file
 * A panel of F32, F16 or BF16 is elements [k][64 rows].
 */
#ifndef HEARTH_KERN_PANEL_H
#define HEARTH_KERN_PANEL_H

#include "kern/kern.h"

typedef enum { FORMAT_F16, FORMAT_E8M0, FORMAT_K, FORMAT_PLAIN } format_kind;

struct kern_format {
    uint32_t type;       /* quant_type */
    format_kind kind;    /* of the scales; FORMAT_PLAIN: not a block type */
    uint8_t elem_bytes;  /* FORMAT_PLAIN: 4 or 2 */
    bool nibbles, bytes; /* which planes there are: one of these two, */
    bool bits, pairs;    /* and perhaps one of these */
    uint8_t bit_shift, pair_shift;
    uint8_t offset; /* w - offset is the signed weight */
    uint8_t max_w;  /* largest w */
    uint8_t sub;    /* elements that share a scale: 32 or 16 */
    bool has_min;
    bool packed_min;      /* scale and min in one byte (Q2_K) */
    const uint8_t *table; /* [16] index to w, or NULL */
};

/* Offsets inside a chunk of kc elements. */
typedef struct panel_chunk {
    const uint8_t *nibbles, *bytes, *bits, *pairs;
    const uint16_t *d, *m;   /* FORMAT_F16: [kc/32][64]; FORMAT_K: [64] (m is dmin) */
    const uint8_t *e;        /* FORMAT_E8M0 */
    const int8_t *sub_scale; /* FORMAT_K: [kc/sub][64] */
    const uint8_t *sub_min;  /* FORMAT_K with an own minimum plane */
} panel_chunk;

static inline size_t panel_chunk_bytes(const kern_format *f, int kc) {
    size_t n = 0, k = (size_t)kc, subs = k / f->sub;
    if (f->nibbles) n += k * 32;
    if (f->bytes) n += k * 64;
    if (f->bits) n += k * 8;
    if (f->pairs) n += k * 16;
    switch (f->kind) {
    case FORMAT_F16: n += subs * 128 * (f->has_min ? 2 : 1); break;
    case FORMAT_E8M0: n += subs * 64; break;
    case FORMAT_K:
        n += f->has_min ? 256 : 128;
        n += subs * 64 * (f->has_min && !f->packed_min ? 2 : 1);
        break;
    case FORMAT_PLAIN: break;
    }
    return n;
}

static inline panel_chunk panel_chunk_at(const kern_format *f, const void *chunk, int kc) {
    const uint8_t *p = chunk;
    size_t k = (size_t)kc, subs = k / f->sub;
    panel_chunk c = {0};
    if (f->nibbles) c.nibbles = p, p += k * 32;
    if (f->bytes) c.bytes = p, p += k * 64;
    if (f->bits) c.bits = p, p += k * 8;
    if (f->pairs) c.pairs = p, p += k * 16;
    switch (f->kind) {
    case FORMAT_F16:
        c.d = (const uint16_t *)(const void *)p;
        c.m = c.d + subs * 64;
        break;
    case FORMAT_E8M0: c.e = p; break;
    case FORMAT_K:
        c.d = (const uint16_t *)(const void *)p, p += 128;
        if (f->has_min) c.m = (const uint16_t *)(const void *)p, p += 128;
        c.sub_scale = (const int8_t *)(const void *)p, p += subs * 64;
        c.sub_min = p;
        break;
    case FORMAT_PLAIN: break;
    }
    return c;
}

/* Elements of the chunk that starts at element k0. */
static inline int panel_chunk_k(int64_t k, int64_t k0) {
    return k - k0 < KERN_CHUNK_K ? (int)(k - k0) : KERN_CHUNK_K;
}

/* One chunk unpacked: w [kc/4][64][4], scale [kc/sub][64], min [kc/sub][64] (only with a minimum).
 * Plain C; the variants have their own. */
void panel_unpack(const kern_format *f, const void *chunk, int kc, uint8_t *w, float *scale,
                  float *min);

#endif
