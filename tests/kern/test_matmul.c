/* Products: every variant that can be tested here (test_kern) against ref, bit for bit, in every
 * type, on odd sizes, with and without a list of rows; ref against a double-precision sum over
 * dequantised weights.
 */
#include "amx_emulated.h"
#include "kern_test.h"
#include "vnni256.h"

#include "support/cmocka_all.h"

static const int64_t ks[] = {32, 64, 96, 256, 288, 576, 896, 1024, 2048};
static const int64_t row_counts[] = {1, 63, 64, 65, 200};
static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 33, 64, 100};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
#define MAX_TOKENS 100
/* Tokens where values matter more than counts: a tile of every variant, and a rest. */
#define FEW 18

/* One panel, n tokens from t0 or by rows: same bits as ref's columns for those tokens. */
static void check_panel(const kern *k, const kern_format *f, const uint8_t *panel,
                        const kern_act *a, const int32_t *rows, int t0, int n, const float *want,
                        float *got) {
    memset(got, 0xa5, (size_t)(n + 1) * 64 * 4);
    k->matmul(f, panel, a, rows, t0, n, got);
    for (int i = 0; i < n; i++) {
        int token = rows ? rows[i] : t0 + i;
        for (int r = 0; r < 64; r++)
            if (!test_same_float(want[token * 64 + r], got[i * 64 + r]))
                fail_msg("%s %s k %d n %d: token %d row %d is %.9g, not %.9g", k->name,
                         quant_info_of(f->type)->name, (int)a->k, n, token, r,
                         (double)got[i * 64 + r], (double)want[token * 64 + r]);
    }
    uint32_t past;
    memcpy(&past, got + n * 64, 4);
    assert_int_equal(past, 0xa5a5a5a5);
}

static void check_type(uint32_t type, int64_t n_rows, int64_t k, bool all_counts, trng *g) {
    const kern_format *f = kern_format_of(type);
    const kern *ref = kern_named("ref");
    uint8_t *src = test_weights(type, n_rows, k, g);
    uint8_t *panels = test_panels(f, src, n_rows, k);
    kern_act a = test_act(ref, MAX_TOKENS, k, g);
    float *want = test_alloc(MAX_TOKENS * 64 * 4), *got = test_alloc((MAX_TOKENS + 1) * 64 * 4);
    int32_t rows[MAX_TOKENS];
    for (int64_t p = 0; p * 64 < n_rows; p++) {
        const uint8_t *panel = panels + (size_t)p * kern_panel_bytes(f, k);
        int most = all_counts ? MAX_TOKENS : 13;
        ref->matmul(f, panel, &a, NULL, 0, most, want);
        const kern *v;
        for (int each = 0; (v = test_kern(each)); each++) {
            for (int c = 0; c < COUNT(counts) && counts[c] <= most; c++) {
                int n = counts[c], t0 = (int)(trng_u32(g) % (uint32_t)(most - n + 1));
                check_panel(v, f, panel, &a, NULL, t0, n, want, got);
                for (int i = 0; i < n; i++) rows[i] = (int32_t)(trng_u32(g) % (uint32_t)most);
                check_panel(v, f, panel, &a, rows, 0, n, want, got);
            }
        }
    }
    free(src), free(panels), free(want), free(got);
    test_act_free(&a);
}

static void test_variants_equal_ref(void **state) {
    (void)state;
    for (int t = 0; t < test_types_n; t++) {
        trng g = {500 + (uint64_t)t};
        for (int i = 0; i < COUNT(ks); i++)
            if (test_type_allows(test_types[t], ks[i]) &&
                (ks[i] % 256 == 32 || ks[i] == 256 || !test_small()))
                check_type(test_types[t], 64, ks[i], ks[i] <= (test_small() ? 64 : 576), &g);
        for (int i = 0; i < COUNT(row_counts) && !test_small(); i++)
            check_type(test_types[t], row_counts[i], 256, false, &g);
    }
}

/* Element e of row i as its roundings have it. */
static double rounded_value(const kern_act *a, int64_t i, int64_t e) {
    int64_t at = i * a->k + e;
    double x = (double)a->d[at / 32] * a->q[at];
    return a->twice[at / 32] ? x + (double)a->d2[at / 32] * a->q2[at] : x;
}

/* The definition once more, from the file's side: dequantised rows, activations as quantised, in
 * doubles. The bound is float rounding along k. */
static void test_ref_equals_double(void **state) {
    (void)state;
    const int64_t k = 512;
    const kern *ref = kern_named("ref");
    for (int t = 0; t < test_types_n; t++) {
        trng g = {900 + (uint64_t)t};
        const kern_format *f = kern_format_of(test_types[t]);
        uint8_t *src = test_weights(test_types[t], 64, k, &g), *panel = test_panels(f, src, 64, k);
        kern_act a = test_act(ref, 3, k, &g);
        float row[512], got[3 * 64];
        ref->matmul(f, panel, &a, NULL, 0, 3, got);
        for (int r = 0; r < 64; r++) {
            quant_info_of(test_types[t])
                ->dequantize(src + r * test_row_bytes(test_types[t], k), row, k);
            for (int i = 0; i < 3; i++) {
                double sum = 0, size = 0;
                for (int64_t e = 0; e < k; e++) {
                    double x = kern_format_quantized_input(f) ? rounded_value(&a, i, e)
                                                              : (double)a.x[i * k + e];
                    sum += x * (double)row[e], size += fabs(x * (double)row[e]);
                }
                if (fabs(sum - (double)got[i * 64 + r]) > size * 4e-6)
                    fail_msg("%s row %d: %.9g, not %.9g", quant_info_of(test_types[t])->name, r,
                             (double)got[i * 64 + r], sum);
            }
        }
        free(src), free(panel);
        test_act_free(&a);
    }
}

/* Zero, tiny, huge and broken activations and scales: the same bits, NaN where a block has one. */
static void test_extremes(void **state) {
    (void)state;
    const int64_t k = 256;
    const kern *ref = kern_named("ref");
    static const float specials[] = {0.0f, 1e-45f, 1e-38f, 1e30f, INFINITY, NAN};
    for (int t = 0; t < test_types_n; t++) {
        trng g = {77};
        const kern_format *f = kern_format_of(test_types[t]);
        uint8_t *src = test_weights(test_types[t], 64, k, &g);
        for (int r = 0; r < 6; r++) {
            static const uint16_t scales[] = {0x0000, 0x8001, 0x7bff, 0x7c00, 0x7e00, 0xfc00};
            if (quant_info_of(test_types[t])->block > 1)
                test_row_set_scale(test_types[t], src + r * test_row_bytes(test_types[t], k), k,
                                   scales[r]);
        }
        uint8_t *panel = test_panels(f, src, 64, k);
        kern_act a = test_act(ref, FEW, k, &g);
        for (int i = 0; i < 6; i++) {
            for (int e = 32; e < 96; e++)
                a.x[i * k + e] = i == 0 ? 0.0f : a.x[i * k + e] * specials[i];
        }
        test_act_round(ref, &a, FEW);
        float *want = test_alloc(FEW * 64 * 4), *got = test_alloc((FEW + 1) * 64 * 4);
        ref->matmul(f, panel, &a, NULL, 0, FEW, want);
        assert_true(isnan(want[5 * 64 + 20]));
        assert_true(isfinite(want[6 * 64 + 20]));
        const kern *v;
        for (int each = 0; (v = test_kern(each)); each++) {
            for (int n = 1; n <= 7; n++) check_panel(v, f, panel, &a, NULL, 7 - n, n, want, got);
            check_panel(v, f, panel, &a, NULL, 0, FEW, want, got);
        }
        free(src), free(panel), free(want), free(got);
        test_act_free(&a);
    }
}

/* Values of the greatest size everywhere: integer sums must not saturate. */
static void test_largest_products(void **state) {
    (void)state;
    const int64_t k = 512;
    const kern *ref = kern_named("ref");
    for (int t = 0; t < test_types_n; t++) {
        if (quant_info_of(test_types[t])->block == 1) continue;
        const kern_format *f = kern_format_of(test_types[t]);
        for (int fill = 0; fill < 3; fill++) {
            trng g = {5};
            uint8_t *src = test_weights(test_types[t], 64, k, &g);
            memset(src,
                   fill == 0   ? 0xff
                   : fill == 1 ? 0x00
                               : 0x80,
                   (size_t)(64 * test_row_bytes(test_types[t], k)));
            for (int r = 0; r < 64; r++)
                test_row_set_scale(test_types[t], src + r * test_row_bytes(test_types[t], k), k,
                                   test_types[t] == QUANT_MXFP4 ? 120 : 0x2c00);
            uint8_t *panel = test_panels(f, src, 64, k);
            kern_act a = test_act(ref, FEW, k, &g);
            for (int64_t e = 0; e < FEW * k; e++) a.x[e] = e / k % 2 ? 1.0f : e % 2 ? 1.0f : -1.0f;
            test_act_round(ref, &a, FEW);
            float *want = test_alloc(FEW * 64 * 4), *got = test_alloc((FEW + 1) * 64 * 4);
            ref->matmul(f, panel, &a, NULL, 0, FEW, want);
            const kern *v;
            for (int each = 0; (v = test_kern(each)); each++) {
                for (int n = 1; n <= 7; n++) check_panel(v, f, panel, &a, NULL, 0, n, want, got);
                check_panel(v, f, panel, &a, NULL, 0, FEW, want, got);
            }
            free(src), free(panel), free(want), free(got);
            test_act_free(&a);
        }
    }
}

/* Says what the tests above could not go through. */
static void test_nothing_left_out(void **state) {
    (void)state;
    if (!vnni256_kern() || !amx_emulated_kern())
        skip_because("AVX-VNNI and AMX in other instructions' place: no AVX-512 here");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants_equal_ref), cmocka_unit_test(test_ref_equals_double),
        cmocka_unit_test(test_extremes),           cmocka_unit_test(test_largest_products),
        cmocka_unit_test(test_nothing_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
