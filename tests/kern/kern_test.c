#include "kern_test.h"

#include "amx_emulated.h"
#include "vnni256.h"

const uint32_t test_types[] = {QUANT_Q4_0,  QUANT_Q4_1, QUANT_Q5_0,   QUANT_Q5_1,
                               QUANT_Q8_0,  QUANT_Q2_K, QUANT_Q3_K,   QUANT_Q4_K,
                               QUANT_Q5_K,  QUANT_Q6_K, QUANT_IQ4_NL, QUANT_IQ4_XS,
                               QUANT_MXFP4, QUANT_F32,  QUANT_F16,    QUANT_BF16};
const int test_types_n = (int)(sizeof test_types / sizeof *test_types);

uint32_t trng_u32(trng *g) {
    g->s = g->s * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = g->s;
    x ^= x >> 33, x *= 0xff51afd7ed558ccdu, x ^= x >> 29;
    return (uint32_t)(x >> 16);
}

float trng_uniform(trng *g) {
    return (float)(trng_u32(g) >> 8) * 0x1p-23f - 1.0f;
}

float trng_normal(trng *g) {
    float s = 0;
    for (int i = 0; i < 6; i++) s += trng_uniform(g);
    return s * 0.7071f;
}

const kern *test_kern(int i) {
    const char *const *names = kern_names();
    int n = 0;
    while (names[n]) n++;
    if (i < n) return kern_named(names[i]);
    const kern *stand_ins[] = {vnni256_kern(), amx_emulated_kern(), NULL};
    const kern *const *left = stand_ins;
    for (; left < stand_ins + 2; left++)
        if (*left && i-- == n) return *left;
    return NULL;
}

void *test_alloc(size_t n) {
    n = (n + 63) / 64 * 64 + 64;
    void *p = aligned_alloc(64, n);
    assert_non_null(p);
    memset(p, 0xa5, n);
    return p;
}

bool test_type_allows(uint32_t type, int64_t k) {
    return k % quant_info_of(type)->block == 0;
}

int64_t test_row_bytes(uint32_t type, int64_t k) {
    uint64_t n = 0;
    assert_true(quant_bytes(type, (uint64_t)k, &n));
    return (int64_t)n;
}

/* Where a block's f16 scales are: up to two, -1 for none. */
static void scale_fields(uint32_t type, int at[2]) {
    at[0] = 0, at[1] = -1;
    switch (type) {
    case QUANT_Q4_1:
    case QUANT_Q5_1:
    case QUANT_Q4_K:
    case QUANT_Q5_K: at[1] = 2; break;
    case QUANT_Q2_K: at[0] = 80, at[1] = 82; break;
    case QUANT_Q3_K: at[0] = 108; break;
    case QUANT_Q6_K: at[0] = 208; break;
    case QUANT_MXFP4:
    case QUANT_F32:
    case QUANT_F16:
    case QUANT_BF16: at[0] = -1; break;
    default: break;
    }
}

void test_row_set_scale(uint32_t type, uint8_t *row, int64_t k, uint16_t h) {
    const quant_info *q = quant_info_of(type);
    int at[2];
    scale_fields(type, at);
    for (int64_t b = 0; b < k / q->block; b++) {
        for (int i = 0; i < 2; i++)
            if (at[i] >= 0) memcpy(row + b * q->block_bytes + at[i], &h, 2);
        if (type == QUANT_MXFP4) row[b * q->block_bytes] = (uint8_t)h;
    }
}

static void plain_weights(uint32_t type, uint8_t *out, int64_t n, trng *g) {
    for (int64_t i = 0; i < n; i++) {
        float v = trng_normal(g);
        uint16_t h = type == QUANT_F16 ? quant_f32_to_f16(v) : quant_f32_to_bf16(v);
        if (type == QUANT_F32) memcpy(out + 4 * i, &v, 4);
        else memcpy(out + 2 * i, &h, 2);
    }
}

uint8_t *test_weights(uint32_t type, int64_t n_rows, int64_t k, trng *g) {
    const quant_info *q = quant_info_of(type);
    int64_t bytes = n_rows * test_row_bytes(type, k);
    uint8_t *w = test_alloc((size_t)bytes);
    if (q->block == 1) {
        plain_weights(type, w, n_rows * k, g);
        return w;
    }
    for (int64_t i = 0; i < bytes; i++) w[i] = (uint8_t)trng_u32(g);
    int at[2];
    scale_fields(type, at);
    for (int64_t b = 0; b < bytes / q->block_bytes; b++) {
        uint8_t *p = w + b * q->block_bytes;
        for (int i = 0; i < 2; i++) {
            uint16_t h = quant_f32_to_f16(0.01f * trng_uniform(g));
            if (at[i] >= 0) memcpy(p + at[i], &h, 2);
        }
        if (type == QUANT_MXFP4) p[0] = (uint8_t)(118 + trng_u32(g) % 12);
    }
    return w;
}

uint8_t *test_panels(const kern_format *f, const uint8_t *src, int64_t n_rows, int64_t k) {
    size_t one = kern_panel_bytes(f, k);
    int64_t n = (n_rows + KERN_ROWS - 1) / KERN_ROWS;
    uint8_t *p = test_alloc((size_t)n * one);
    for (int64_t i = 0; i < n; i++)
        kern_panel_pack(f, src, n_rows, k, i * KERN_ROWS, p + (size_t)i * one);
    return p;
}

kern_act test_act(const kern *by, int64_t n, int64_t k, trng *g) {
    kern_act a = {.k = k};
    a.x = test_alloc((size_t)(n * k) * 4);
    a.q = test_alloc((size_t)(n * k));
    a.d = test_alloc((size_t)(n * k / 32) * 4);
    a.sum16 = test_alloc((size_t)(n * k / 16) * 2);
    a.twice = test_alloc((size_t)(n * k / 32));
    a.q2 = test_alloc((size_t)(n * k));
    a.d2 = test_alloc((size_t)(n * k / 32) * 4);
    a.sum16_2 = test_alloc((size_t)(n * k / 16) * 2);
    /* What is not written has no meaning, and is not read. */
    memset(a.q2, 0x5a, (size_t)(n * k));
    memset(a.d2, 0x5a, (size_t)(n * k / 32) * 4);
    memset(a.sum16_2, 0x5a, (size_t)(n * k / 16) * 2);
    for (int64_t i = 0; i < n * k; i++) a.x[i] = trng_normal(g);
    for (int64_t i = 0; i < n; i += 2) /* outliers, in some blocks of some rows */
        for (int64_t b = 0; b < k / 32; b++)
            if (trng_u32(g) % 3 == 0) a.x[i * k + b * 32 + trng_u32(g) % 32] *= 40.0f;
    test_act_round(by, &a, n);
    return a;
}

void test_act_round(const kern *by, kern_act *a, int64_t n) {
    for (int64_t i = 0, k = a->k; i < n; i++) {
        by->quantize(a->x + i * k, k, a->q + i * k, a->d + i * k / 32, a->sum16 + i * k / 16);
        by->refine(a->x + i * k, k, a->q + i * k, a->d + i * k / 32, KERN_TWICE_NORM,
                   a->twice + i * k / 32, a->q2 + i * k, a->d2 + i * k / 32,
                   a->sum16_2 + i * k / 16);
    }
}

void test_act_free(kern_act *a) {
    free(a->x);
    free(a->q);
    free(a->d);
    free(a->sum16);
    free(a->twice);
    free(a->q2);
    free(a->d2);
    free(a->sum16_2);
}

bool test_same_float(float a, float b) {
    return memcmp(&a, &b, 4) == 0 || (isnan(a) && isnan(b));
}

bool test_small(void) {
    const char *size = getenv("HEARTH_TEST_SIZE");
    return size && strcmp(size, "small") == 0;
}
