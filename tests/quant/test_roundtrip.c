/* Quantisers: what comes back after a round trip, within a stated error for each type; and input
 * that no honest model holds.
 */
#include "base/rng.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 8192 /* 32 super-blocks */

/* Root mean square of the error over that of the values, for normally distributed values: about 4 %
 * more than each type showed when this was written, so a search that gets worse is noticed. The
 * comparison for the searched types: a peer's quantiser loses, in this measure, 0.297 (Q2_K), 0.151
 * (Q3_K), 0.0715 (Q4_K), 0.0362 (Q5_K), 0.0178 (Q6_K), 0.0762 (IQ4_NL), 0.0768 (IQ4_XS), 0.114
 * (MXFP4). */
typedef struct bound {
    uint32_t type;
    double rel; /* bound of the relative error */
    double row; /* bound of the error of one element, as a share of its block's largest magnitude */
} bound;
static const bound bounds[] = {
    {QUANT_F32, 0.0, 0.0},        {QUANT_F16, 0.00025, 0.0005}, {QUANT_BF16, 0.0019, 0.004},
    {QUANT_Q8_0, 0.0056, 0.0042}, {QUANT_Q4_0, 0.090, 0.13},    {QUANT_Q4_1, 0.082, 0.069},
    {QUANT_Q5_0, 0.045, 0.064},   {QUANT_Q5_1, 0.040, 0.034},   {QUANT_Q2_K, 0.279, 0.5},
    {QUANT_Q3_K, 0.1511, 0.3},    {QUANT_Q4_K, 0.0714, 0.15},   {QUANT_Q5_K, 0.0361, 0.08},
    {QUANT_Q6_K, 0.0177, 0.04},   {QUANT_IQ4_NL, 0.0761, 0.15}, {QUANT_IQ4_XS, 0.0767, 0.15},
    {QUANT_MXFP4, 0.116, 0.2},
};
#define N_TYPES (sizeof bounds / sizeof bounds[0])

static float x[N], y[N];
static uint8_t blocks[N * sizeof(float)];

static void round_trip(const quant_info *q) {
    memset(blocks, 0xaa, sizeof blocks);
    q->quantize(x, NULL, blocks, N);
    q->dequantize(blocks, y, N);
}

/* Sum of twelve uniform numbers, less six: near enough to normal. */
static float normal(uint64_t stream, uint64_t i) {
    double sum = -6.0;
    for (uint64_t k = 0; k < 12; k++) sum += rng_f64(7, stream, 12 * i + k);
    return (float)sum;
}

static void test_error(void **state) {
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const quant_info *q = quant_info_of(bounds[t].type);
        for (float size = 1e-3f; size < 2e3f; size *= 1e3f) {
            double miss2 = 0, sum2 = 0;
            for (int i = 0; i < N; i++) x[i] = size * normal(1, (uint64_t)i);
            round_trip(q);
            for (int i = 0; i < N; i++) {
                double miss = (double)x[i] - (double)y[i];
                miss2 += miss * miss;
                sum2 += (double)x[i] * (double)x[i];
            }
            double rel = sqrt(miss2 / sum2);
            if (size == 1e-3f)
                print_message("%-7s %.5f (bound %.5f)\n", q->name, rel, bounds[t].rel);
            if (!(rel <= bounds[t].rel))
                fail_msg("%s at size %g: error %.5f", q->name, (double)size, rel);
        }
    }
}

/* Blocks with outliers, and sub-blocks of very different sizes: no element may be far off. */
static void test_worst_element(void **state) {
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const quant_info *q = quant_info_of(bounds[t].type);
        for (int i = 0; i < N; i++) {
            float size = (float)exp(4.0 * rng_f64(8, 1, (uint64_t)i / 32) - 2.0);
            x[i] = size * normal(2, (uint64_t)i) * (i % 61 == 7 ? 6.0f : 1.0f);
        }
        round_trip(q);
        int block = q->block == 1 ? 32 : (int)q->block;
        double worst = 0;
        for (int i = 0; i < N; i += block) {
            double amax = 0, miss = 0;
            for (int e = i; e < i + block; e++) {
                amax = fmax(amax, fabs((double)x[e]));
                miss = fmax(miss, fabs((double)x[e] - (double)y[e]));
            }
            worst = fmax(worst, miss / amax);
        }
        if (!(worst <= bounds[t].row)) fail_msg("%s: an element is off by %.4f", q->name, worst);
    }
}

static void test_zeros(void **state) {
    (void)state;
    memset(x, 0, sizeof x);
    for (size_t t = 0; t < N_TYPES; t++) {
        round_trip(quant_info_of(bounds[t].type));
        for (int i = 0; i < N; i++) assert_true(y[i] == 0.0f);
    }
    for (int i = 0; i < N; i++) x[i] = -0.0f;
    for (size_t t = 0; t < N_TYPES; t++) {
        round_trip(quant_info_of(bounds[t].type));
        for (int i = 0; i < N; i++) assert_true(y[i] == 0.0f);
    }
}

/* All elements alike: every format but MXFP4, whose scales are powers of two, comes close. (A small
 * super-block's scale is a denormal half of a few bits; hence not closer.) */
static void test_constant(void **state) {
    (void)state;
    static const float values[] = {1.0f, -1.0f, 0.3f, -0.3f, 1234.5f, -0.02f};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            const quant_info *q = quant_info_of(bounds[t].type);
            double rel = bounds[t].type == QUANT_MXFP4  ? 0.26
                         : bounds[t].type == QUANT_BF16 ? 0.004
                                                        : 0.006;
            for (int i = 0; i < N; i++) x[i] = values[v];
            round_trip(q);
            for (int i = 0; i < N; i++)
                if (fabs((double)y[i] / (double)values[v] - 1.0) > rel)
                    fail_msg("%s: %g became %g", q->name, (double)values[v], (double)y[i]);
        }
}

static bool keeps_non_finite(uint32_t type) {
    return type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16;
}

/* Larger than a half can scale, up to infinity: saturates with the right sign, stays finite. */
static void test_huge(void **state) {
    (void)state;
    static const float sizes[] = {1e5f, 1e8f, 1e20f, FLT_MAX, INFINITY};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const quant_info *q = quant_info_of(bounds[t].type);
            if (keeps_non_finite(bounds[t].type)) continue;
            for (int i = 0; i < N; i++) x[i] = i % 3 ? (i % 2 ? sizes[s] : -sizes[s]) : 1.0f;
            round_trip(q);
            for (int i = 0; i < N; i++) {
                assert_true(isfinite(y[i]));
                if (i % 3 && !(fabsf(y[i]) >= 6e4f && (y[i] > 0) == (x[i] > 0)))
                    fail_msg("%s: %g became %g", q->name, (double)x[i], (double)y[i]);
            }
        }
}

/* Smaller than a half can scale, down to the smallest float: small or zero, never something else.
 */
static void test_tiny(void **state) {
    (void)state;
    static const float sizes[] = {1e-6f, 3e-8f, 2e-8f, 1e-12f, 1e-20f, 1e-38f, 1e-42f, 1.4e-45f};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const quant_info *q = quant_info_of(bounds[t].type);
            for (int i = 0; i < N; i++) x[i] = sizes[s] * normal(3, (uint64_t)i);
            round_trip(q);
            for (int i = 0; i < N; i++)
                if (!(fabsf(y[i]) <= 8.0f * sizes[s] + 1e-6f))
                    fail_msg("%s: %g became %g", q->name, (double)x[i], (double)y[i]);
        }
}

/* NaN and infinity among ordinary numbers: what is read back is finite. */
static void test_non_finite(void **state) {
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const quant_info *q = quant_info_of(bounds[t].type);
        for (int i = 0; i < N; i++) x[i] = normal(4, (uint64_t)i);
        for (int i = 0; i < N; i += 5) x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        round_trip(q);
        if (keeps_non_finite(bounds[t].type)) {
            for (int i = 0; i < N; i++) assert_int_equal(isfinite(x[i]), isfinite(y[i]));
            continue;
        }
        for (int i = 0; i < N; i++) assert_true(isfinite(y[i]));
        for (int i = 0; i < N; i++) x[i] = NAN;
        round_trip(q);
        for (int i = 0; i < N; i++) assert_true(y[i] == 0.0f);
    }
}

/* Any bit pattern at all: nothing crashes, and the bytes depend on the input alone. */
static void test_any_bits(void **state) {
    (void)state;
    static uint8_t again[sizeof blocks];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < N; i++) {
            uint32_t b = (uint32_t)rng_u64(9, (uint64_t)round, (uint64_t)i);
            memcpy(&x[i], &b, sizeof b);
        }
        for (size_t t = 0; t < N_TYPES; t++) {
            const quant_info *q = quant_info_of(bounds[t].type);
            size_t n = N / q->block * q->block_bytes;
            round_trip(q);
            memcpy(again, blocks, n);
            memset(y, 0, sizeof y);
            q->quantize(x, NULL, blocks, N);
            assert_memory_equal(again, blocks, n);
        }
    }
}

static uint32_t fnv(const uint8_t *p, size_t n) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    return h;
}

/* Every compiler and processor writes the same bytes. A change of a search changes its line, and
 * must be meant. */
static void test_same_everywhere(void **state) {
    (void)state;
    static const uint32_t want[N_TYPES] = {
        0x3ee267be, 0x2373e31c, 0x6c042dbd, 0x76abfdec, 0x3ce26def, 0x20a8c188,
        0xe81b22ea, 0xd6aa5290, 0x4acf4c99, 0xd7edf208, 0x35ecb335, 0xddc2f790,
        0xee6d66f4, 0x85cbe4bf, 0x08183035, 0x245c18b6,
    };
    for (int i = 0; i < N; i++)
        x[i] = normal(5, (uint64_t)i) * (float)(1 + i / 256) * (i % 97 == 3 ? 0.05f : 0.01f);
    for (size_t t = 0; t < N_TYPES; t++) {
        const quant_info *q = quant_info_of(bounds[t].type);
        round_trip(q);
        uint32_t got = fnv(blocks, N / q->block * q->block_bytes);
        if (got != want[t]) fail_msg("%s: the bytes' hash is 0x%08x", q->name, got);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_worst_element),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_non_finite),
        cmocka_unit_test(test_any_bits),
        cmocka_unit_test(test_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
