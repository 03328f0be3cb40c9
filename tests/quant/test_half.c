/* The 16-bit floats and the table of types: all 65,536 halves against their definition, and for
 * every pair of neighbours what lies between them.
 */
#include "quant/quant.h"
#include "support/cmocka_all.h"

#include <float.h>
#include <math.h>
#include <string.h>

static uint32_t bits(float f) {
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}
static float of_bits(uint32_t b) {
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

static double half_value(unsigned h) {
    int exp = (int)(h >> 10 & 31), man = (int)(h & 1023);
    double v = exp ? ldexp(1024 + man, exp - 25) : ldexp(man, -24);
    return h & 0x8000 ? -v : v;
}

static void test_half_to_float(void **state) {
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = quant_f16_to_f32((uint16_t)h);
        assert_int_equal(bits(f) >> 31, h >> 15);
        if ((h & 0x7c00) != 0x7c00) assert_true((double)f == half_value(h));
        else if (h & 0x3ff) assert_true(isnan(f));
        else assert_true(isinf(f));
        if (!isnan(f)) assert_int_equal(quant_f32_to_f16(f), h);
    }
}

/* Between two neighbours: below the middle the lower, above it the upper, on it the even one. */
static void test_float_to_half(void **state) {
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        double above = h == 0x7bff ? 65536.0 : half_value(h + 1);
        float middle = (float)((half_value(h) + above) / 2); /* exact: a float has bits to spare */
        unsigned even = h & 1 ? h + 1 : h;
        assert_int_equal(quant_f32_to_f16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(quant_f32_to_f16(middle), even);
        assert_int_equal(quant_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(quant_f32_to_f16(-middle), even | 0x8000);
    }
    assert_int_equal(quant_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(quant_f32_to_f16(-FLT_MAX), 0xfc00);
    assert_int_equal(quant_f32_to_f16(of_bits(1)), 0);
    assert_true(isnan(quant_f16_to_f32(quant_f32_to_f16(NAN))));
    assert_true(isnan(quant_f16_to_f32(quant_f32_to_f16(of_bits(0x7f800001)))));
}

static void test_bf16(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = quant_bf16_to_f32((uint16_t)h);
        assert_int_equal(bits(f), h << 16);
        if (isnan(f)) {
            assert_true(isnan(quant_bf16_to_f32(quant_f32_to_bf16(f))));
            continue;
        }
        assert_int_equal(quant_f32_to_bf16(f), h);
        if ((h & 0x7fff) >= 0x7f80) continue;
        assert_int_equal(quant_f32_to_bf16(of_bits((h << 16) + 0x7fff)), h);
        assert_int_equal(quant_f32_to_bf16(of_bits((h << 16) + 0x8000)), h + (h & 1));
        assert_int_equal(quant_f32_to_bf16(of_bits((h << 16) + 0x8001)), h + 1);
    }
    assert_true(isnan(quant_bf16_to_f32(quant_f32_to_bf16(of_bits(0x7f800001)))));
}

static void test_e8m0(void **state) {
    (void)state;
    for (int e = 0; e < 256; e++)
        assert_true((double)quant_e8m0_half((uint8_t)e) == ldexp(1.0, e - 128));
}

static void test_table(void **state) {
    (void)state;
    uint64_t bytes = 7;
    uint32_t type = 0;
    int n = 0;
    for (uint32_t t = 0; t < QUANT_TYPE_END + 10; t++) {
        const quant_info *q = quant_info_of(t);
        if (!q) {
            assert_false(quant_bytes(t, 256, &bytes));
            continue;
        }
        n++;
        assert_ptr_equal(quant_info_named(q->name, &type), q);
        assert_int_equal(type, t);
        assert_true(quant_bytes(t, 3 * (uint64_t)q->block, &bytes));
        assert_int_equal(bytes, 3 * q->block_bytes);
        if (q->block > 1) assert_false(quant_bytes(t, q->block + 1, &bytes));
        assert_int_equal(q->is_weight, q->dequantize != NULL);
        assert_int_equal(q->is_weight, q->quantize != NULL);
    }
    assert_int_equal(n, 21);
    assert_ptr_equal(quant_info_named("q4_k", NULL), quant_info_of(QUANT_Q4_K));
    assert_null(quant_info_named("q4", &type));
    assert_null(quant_info_of(UINT32_MAX));
    assert_false(quant_bytes(QUANT_F64, UINT64_MAX / 4, &bytes));
    assert_true(quant_bytes(QUANT_F32, 0, &bytes));
    assert_int_equal(bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_to_float), cmocka_unit_test(test_float_to_half),
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_e8m0),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
