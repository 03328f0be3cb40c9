/* Panels against the reference dequantiser: every type, odd sizes, bit for bit; and their size. */
#include "kern_test.h"

static const int64_t ks[] = {32, 64, 96, 256, 288, 576, 896, 1024};
static const int64_t row_counts[] = {1, 63, 64, 65, 200};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static void check_matrix(uint32_t type, int64_t n_rows, int64_t k, trng *g) {
    const kern_format *f = kern_format_of(type);
    uint8_t *src = test_weights(type, n_rows, k, g);
    uint8_t *panels = test_panels(f, src, n_rows, k);
    float *want = test_alloc((size_t)k * 4), *got = test_alloc((size_t)k * 4);
    int64_t padded = (n_rows + 63) / 64 * 64;
    for (int64_t r = 0; r < padded; r++) {
        kern_panel_row(f, panels + (size_t)(r / 64) * kern_panel_bytes(f, k), k, (int)(r % 64),
                       got);
        if (r < n_rows) quant_info_of(type)->dequantize(src + r * test_row_bytes(type, k), want, k);
        for (int64_t i = 0; i < k; i++) {
            if (r < n_rows ? test_same_float(want[i], got[i]) : got[i] == 0) continue;
            fail_msg("%s rows %d k %d: [%d][%d] is %.9g, not %.9g", quant_info_of(type)->name,
                     (int)n_rows, (int)k, (int)r, (int)i, (double)got[i],
                     r < n_rows ? (double)want[i] : 0.0);
        }
    }
    free(src), free(panels), free(want), free(got);
}

static void test_rows_equal_dequantiser(void **state) {
    (void)state;
    for (int t = 0; t < test_types_n; t++) {
        trng g = {100 + (uint64_t)t};
        for (int i = 0; i < COUNT(ks); i++)
            for (int j = 0; j < COUNT(row_counts); j++)
                if (test_type_allows(test_types[t], ks[i]))
                    check_matrix(test_types[t], row_counts[j], ks[i], &g);
    }
}

/* Scales that are zero, denormal, the largest, infinite, NaN, negative. */
static void test_extreme_scales(void **state) {
    (void)state;
    static const uint16_t scales[] = {0x0000, 0x8000, 0x0001, 0x83ff,
                                      0x7bff, 0xfbff, 0x7c00, 0x7e00};
    for (int t = 0; t < test_types_n; t++) {
        uint32_t type = test_types[t];
        const kern_format *f = kern_format_of(type);
        trng g = {7};
        for (int s = 0; s < COUNT(scales); s++) {
            uint8_t *src = test_weights(type, 1, 256, &g);
            test_row_set_scale(type, src, 256,
                               type == QUANT_MXFP4 ? (uint16_t)(s < 4 ? s : 251 + s - 4)
                                                   : scales[s]);
            uint8_t *panel = test_panels(f, src, 1, 256);
            float want[256], got[256];
            quant_info_of(type)->dequantize(src, want, 256);
            kern_panel_row(f, panel, 256, 0, got);
            for (int i = 0; i < 256; i++)
                if (!test_same_float(want[i], got[i]))
                    fail_msg("%s scale %04x element %d: %.9g, not %.9g", quant_info_of(type)->name,
                             scales[s], i, (double)got[i], (double)want[i]);
            free(src), free(panel);
        }
    }
}

static void test_size_near_file(void **state) {
    (void)state;
    for (int t = 0; t < test_types_n; t++) {
        const kern_format *f = kern_format_of(test_types[t]);
        double file = (double)(64 * test_row_bytes(test_types[t], 2048));
        double packed = (double)kern_panel_bytes(f, 2048);
        if (packed > file * 1.05)
            fail_msg("%s: %.0f against %.0f", quant_info_of(test_types[t])->name, packed, file);
        assert_int_equal(kern_panel_bytes(f, 2048) % 64, 0);
        if (test_type_allows(test_types[t], 288))
            assert_int_equal(kern_panel_bytes(f, 288) % 64, 0);
    }
}

/* Nothing is written past kern_panel_bytes. */
static void test_stays_inside(void **state) {
    (void)state;
    for (int t = 0; t < test_types_n; t++) {
        const kern_format *f = kern_format_of(test_types[t]);
        int64_t k = quant_info_of(test_types[t])->block == 256 ? 512 : 352;
        trng g = {3};
        uint8_t *src = test_weights(test_types[t], 70, k, &g);
        size_t n = kern_panel_bytes(f, k);
        uint8_t *dst = test_alloc(n);
        for (int64_t row0 = 0; row0 < 128; row0 += 64) {
            kern_panel_pack(f, src, 70, k, row0, dst);
            for (int i = 0; i < 64; i++) assert_int_equal(dst[n + (size_t)i], 0xa5);
        }
        free(src), free(dst);
    }
}

static void test_types_without_panel(void **state) {
    (void)state;
    assert_null(kern_format_of(QUANT_I32));
    assert_null(kern_format_of(QUANT_F64));
    assert_null(kern_format_of(9999));
    for (int t = 0; t < test_types_n; t++) {
        const kern_format *f = kern_format_of(test_types[t]);
        assert_non_null(f);
        assert_int_equal(kern_format_quantized_input(f), quant_info_of(test_types[t])->block > 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_equal_dequantiser), cmocka_unit_test(test_extreme_scales),
        cmocka_unit_test(test_size_near_file),         cmocka_unit_test(test_stays_inside),
        cmocka_unit_test(test_types_without_panel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
