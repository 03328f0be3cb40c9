/* The table of packed formats, and the slow way back from a panel. kern_panel.h has the layout. */
#include "kern/kern_panel.h"

#include "quant/quant.h"

/* Code books plus their offset (quant_iq4nl_values + 127, quant_mxfp4_values + 12), so that w is
 * unsigned. */
static const uint8_t iq4_table[16] = {0,   23,  44,  62,  78,  92,  105, 117,
                                      128, 140, 152, 165, 180, 196, 216, 240};
static const uint8_t mxfp4_table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/* One type, one entry. */
/* clang-format off */
static const kern_format formats[] = {
    {.type = QUANT_Q4_0, .kind = FORMAT_F16, .nibbles = true, .offset = 8, .max_w = 15,
     .sub = 32},
    {.type = QUANT_Q4_1, .kind = FORMAT_F16, .nibbles = true, .max_w = 15, .sub = 32,
     .has_min = true},
    {.type = QUANT_Q5_0, .kind = FORMAT_F16, .nibbles = true, .bits = true, .bit_shift = 4,
     .offset = 16, .max_w = 31, .sub = 32},
    {.type = QUANT_Q5_1, .kind = FORMAT_F16, .nibbles = true, .bits = true, .bit_shift = 4,
     .max_w = 31, .sub = 32, .has_min = true},
    {.type = QUANT_Q8_0, .kind = FORMAT_F16, .bytes = true, .offset = 128, .max_w = 255,
     .sub = 32},
    {.type = QUANT_Q2_K, .kind = FORMAT_K, .pairs = true, .max_w = 3, .sub = 16, .has_min = true,
     .packed_min = true},
    {.type = QUANT_Q3_K, .kind = FORMAT_K, .pairs = true, .bits = true, .bit_shift = 2,
     .offset = 4, .max_w = 7, .sub = 16},
    {.type = QUANT_Q4_K, .kind = FORMAT_K, .nibbles = true, .max_w = 15, .sub = 32,
     .has_min = true},
    {.type = QUANT_Q5_K, .kind = FORMAT_K, .nibbles = true, .bits = true, .bit_shift = 4,
     .max_w = 31, .sub = 32, .has_min = true},
    {.type = QUANT_Q6_K, .kind = FORMAT_K, .nibbles = true, .pairs = true, .pair_shift = 4,
     .offset = 32, .max_w = 63, .sub = 16},
    {.type = QUANT_IQ4_NL, .kind = FORMAT_F16, .nibbles = true, .offset = 127, .max_w = 240,
     .sub = 32, .table = iq4_table},
    {.type = QUANT_IQ4_XS, .kind = FORMAT_K, .nibbles = true, .offset = 127, .max_w = 240,
     .sub = 32, .table = iq4_table},
    {.type = QUANT_MXFP4, .kind = FORMAT_E8M0, .nibbles = true, .offset = 12, .max_w = 24,
     .sub = 32, .table = mxfp4_table},
    {.type = QUANT_F32, .kind = FORMAT_PLAIN, .elem_bytes = 4, .sub = 32},
    {.type = QUANT_F16, .kind = FORMAT_PLAIN, .elem_bytes = 2, .sub = 32},
    {.type = QUANT_BF16, .kind = FORMAT_PLAIN, .elem_bytes = 2, .sub = 32},
};
/* clang-format on */

const kern_format *kern_format_of(uint32_t type) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].type == type) return &formats[i];
    return NULL;
}

bool kern_format_quantized_input(const kern_format *f) {
    return f->kind != FORMAT_PLAIN;
}

size_t kern_panel_bytes(const kern_format *f, int64_t k) {
    if (f->kind == FORMAT_PLAIN) return (size_t)k * KERN_ROWS * f->elem_bytes;
    size_t n = (size_t)(k / KERN_CHUNK_K) * panel_chunk_bytes(f, KERN_CHUNK_K);
    if (k % KERN_CHUNK_K) n += panel_chunk_bytes(f, (int)(k % KERN_CHUNK_K));
    return n;
}

/* ---- one element, one scale ---- */

static int chunk_w(const kern_format *f, const panel_chunk *c, int e, int r) {
    int w = 0;
    if (f->bytes) w = c->bytes[(e / 4) * 256 + r * 4 + e % 4];
    if (f->nibbles) {
        int b = c->nibbles[(e / 8) * 256 + r * 4 + e % 4];
        w = e % 8 < 4 ? b & 15 : b >> 4;
        if (f->table) w = f->table[w];
    }
    if (f->bits) {
        int bit = r * 4 + e % 4; /* of the group's 256 */
        w |= (c->bits[(e / 4) * 32 + bit / 8] >> bit % 8 & 1) << f->bit_shift;
    }
    if (f->pairs)
        w |= (c->pairs[(e / 16) * 256 + r * 4 + e % 4] >> 2 * (e / 4 % 4) & 3) << f->pair_shift;
    return w;
}

static float chunk_scale(const kern_format *f, const panel_chunk *c, int s, int r) {
    int i = s * KERN_ROWS + r;
    if (f->kind == FORMAT_F16) return quant_f16_to_f32(c->d[i]);
    if (f->kind == FORMAT_E8M0) return quant_e8m0_half(c->e[i]);
    int scale = f->packed_min ? c->sub_scale[i] & 15 : c->sub_scale[i];
    return quant_f16_to_f32(c->d[r]) * (float)scale;
}

static float chunk_min(const kern_format *f, const panel_chunk *c, int s, int r) {
    int i = s * KERN_ROWS + r;
    if (f->kind == FORMAT_F16) return quant_f16_to_f32(c->m[i]);
    int m = f->packed_min ? (uint8_t)c->sub_scale[i] >> 4 : c->sub_min[i];
    return -(quant_f16_to_f32(c->m[r]) * (float)m);
}

void panel_unpack(const kern_format *f, const void *chunk, int kc, uint8_t *w, float *scale,
                  float *min) {
    panel_chunk c = panel_chunk_at(f, chunk, kc);
    for (int e = 0; e < kc; e++)
        for (int r = 0; r < KERN_ROWS; r++)
            w[(e / 4) * 256 + r * 4 + e % 4] = (uint8_t)chunk_w(f, &c, e, r);
    for (int s = 0; s < kc / f->sub; s++) {
        for (int r = 0; r < KERN_ROWS; r++) {
            scale[s * KERN_ROWS + r] = chunk_scale(f, &c, s, r);
            if (f->has_min) min[s * KERN_ROWS + r] = chunk_min(f, &c, s, r);
        }
    }
}

/* ---- one row ---- */

static void plain_row(const kern_format *f, const void *panel, int64_t k, int r, float *dst) {
    const uint16_t *h = panel;
    const float *x = panel;
    for (int64_t i = 0; i < k; i++) {
        int64_t at = i * KERN_ROWS + r;
        if (f->type == QUANT_F32) dst[i] = x[at];
        else if (f->type == QUANT_F16) dst[i] = quant_f16_to_f32(h[at]);
        else dst[i] = quant_bf16_to_f32(h[at]);
    }
}

void kern_panel_row(const kern_format *f, const void *panel, int64_t k, int r, float *dst) {
    if (f->kind == FORMAT_PLAIN) {
        plain_row(f, panel, k, r, dst);
        return;
    }
    const uint8_t *chunk = panel;
    for (int64_t k0 = 0; k0 < k; k0 += KERN_CHUNK_K) {
        int kc = panel_chunk_k(k, k0);
        panel_chunk c = panel_chunk_at(f, chunk, kc);
        for (int s = 0; s < kc / f->sub; s++) {
            float scale = chunk_scale(f, &c, s, r), min = f->has_min ? chunk_min(f, &c, s, r) : 0;
            for (int e = s * f->sub; e < (s + 1) * f->sub; e++) {
                float v = scale * (float)(chunk_w(f, &c, e, r) - f->offset);
                dst[k0 + e] = f->has_min ? v + min : v;
            }
        }
        chunk += panel_chunk_bytes(f, kc);
    }
}
