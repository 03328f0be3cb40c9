/* Attention: against a softmax in doubles over what the page holds, for every variant, page type,
 * shape and limits; and that a row's bits do not depend on the rows beside it, nor on what lies in
 * slots that it does not see.
 */
#include "kern_test.h"

#define MAX_ROWS 13
#define MAX_DIM 512
#define MAX_BLOCKS 8

typedef struct scene {
    kern_kv_shape shape;
    int n_tokens, n_blocks, n_rows;
    float *k, *v; /* [tokens][dim] as given */
    void *block[MAX_BLOCKS];
    float q[MAX_ROWS][MAX_DIM];
    int32_t lo[MAX_ROWS], hi[MAX_ROWS];
    float m[MAX_ROWS], l[MAX_ROWS], acc[MAX_ROWS][MAX_DIM];
    const float *qp[MAX_ROWS];
    float *accp[MAX_ROWS];
} scene;

static scene *scene_new(const kern *by, kern_kv_shape shape, int n_tokens, int n_rows, trng *g) {
    scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->shape = shape, s->n_tokens = n_tokens, s->n_rows = n_rows,
    s->n_blocks = (n_tokens + 63) / 64;
    s->k = test_alloc((size_t)(n_tokens * shape.head_dim_k) * 4);
    s->v = test_alloc((size_t)(n_tokens * shape.head_dim_v) * 4);
    for (int i = 0; i < n_tokens * shape.head_dim_k; i++) s->k[i] = trng_normal(g);
    for (int i = 0; i < n_tokens * shape.head_dim_v; i++) s->v[i] = trng_normal(g);
    for (int b = 0; b < s->n_blocks; b++) { /* unwritten slots hold NaN in every type */
        s->block[b] = test_alloc(kern_kv_block_bytes(&shape));
        memset(s->block[b], 0xff, kern_kv_block_bytes(&shape));
    }
    for (int t = 0; t < n_tokens; t++)
        by->kv_write(&shape, s->block[t / 64], t % 64, s->k + t * shape.head_dim_k,
                     s->v + t * shape.head_dim_v);
    for (int i = 0; i < n_rows; i++) {
        for (int e = 0; e < shape.head_dim_k; e++) s->q[i][e] = trng_normal(g);
        s->qp[i] = s->q[i], s->accp[i] = s->acc[i];
        s->lo[i] = 0, s->hi[i] = n_tokens;
    }
    return s;
}

static void scene_free(scene *s) {
    for (int b = 0; b < s->n_blocks; b++) free(s->block[b]);
    free(s->k), free(s->v), free(s);
}

/* Rows [first, first + n) on the scene's blocks, as positions from pos0. */
static void scene_run(const kern *k, scene *s, int first, int n, int32_t pos0, float softcap) {
    kern_attn a = {.shape = s->shape,
                   .scale = 0.125f,
                   .softcap = softcap,
                   .n_rows = n,
                   .q = s->qp + first,
                   .lo = s->lo + first,
                   .hi = s->hi + first,
                   .block = (const void *const *)s->block,
                   .pos0 = pos0,
                   .n_blocks = s->n_blocks,
                   .m = s->m + first,
                   .l = s->l + first,
                   .acc = s->accp + first};
    k->attn(&a);
}

/* A value as the page holds it. */
static double rounded(kern_kv_type type, const float *row, int n, int i) {
    if (type == KERN_KV_F32) return (double)row[i];
    if (type == KERN_KV_F16) return (double)quant_f16_to_f32(quant_f32_to_f16(row[i]));
    float amax = 0;
    for (int e = 0; e < n; e++)
        if (fabsf(row[e]) > amax) amax = fabsf(row[e]);
    return (double)(amax / 127.0f) * (double)rintf(row[i] * (127.0f / amax));
}

static void naive(const scene *s, int row, int32_t pos0, float softcap, double *out) {
    const int dk = s->shape.head_dim_k, dv = s->shape.head_dim_v;
    double sum = 0, top = -INFINITY, *w = calloc((size_t)s->n_tokens, sizeof *w);
    for (int e = 0; e < dv; e++) out[e] = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int t = 0; t < s->n_tokens; t++) {
            if (pos0 + t < s->lo[row] || pos0 + t >= s->hi[row]) continue;
            if (pass == 1) {
                w[t] = exp(w[t] - top), sum += w[t];
                continue;
            }
            for (int e = 0; e < dk; e++)
                w[t] += (double)s->q[row][e] * rounded(s->shape.type, s->k + t * dk, dk, e);
            w[t] *= 0.125;
            if (softcap > 0) w[t] = (double)softcap * tanh(w[t] / (double)softcap);
            if (w[t] > top) top = w[t];
        }
    }
    for (int t = 0; t < s->n_tokens && sum > 0; t++)
        for (int e = 0; e < dv && w[t] != 0; e++)
            if (pos0 + t >= s->lo[row] && pos0 + t < s->hi[row])
                out[e] += w[t] / sum * rounded(s->shape.type, s->v + t * dv, dv, e);
    free(w);
}

/* Values are about 1. Over Q8 pages the query and the weights are rounded to 16 bits. */
static void compare(const scene *s, const char *name, int32_t pos0, float softcap) {
    double want[MAX_DIM];
    float out[MAX_DIM];
    for (int i = 0; i < s->n_rows; i++) {
        naive(s, i, pos0, softcap, want);
        const float *acc = s->acc[i];
        kern_attn_merge(1, &s->m[i], &s->l[i], &acc, s->shape.head_dim_v, NULL, out);
        for (int e = 0; e < s->shape.head_dim_v; e++)
            if (!(fabs(want[e] - (double)out[e]) < (s->shape.type == KERN_KV_Q8 ? 2e-4 : 2e-5)))
                fail_msg("%s type %d dims %d %d row %d of %d [%d, %d) channel %d: %.9g, not %.9g",
                         name, (int)s->shape.type, s->shape.head_dim_k, s->shape.head_dim_v, i,
                         s->n_rows, s->lo[i], s->hi[i], e, (double)out[e], want[e]);
    }
}

static const kern_kv_shape dims[] = {
    {.head_dim_k = 64, .head_dim_v = 64},  {.head_dim_k = 128, .head_dim_v = 128},
    {.head_dim_k = 16, .head_dim_v = 16},  {.head_dim_k = 96, .head_dim_v = 80},
    {.head_dim_k = 256, .head_dim_v = 48}, {.head_dim_k = 512, .head_dim_v = 512}};
/* The last two are for those who have the time. */
#define N_DIMS ((int)(sizeof dims / sizeof *dims) - 2 * test_small())

static void random_limits(scene *s, int32_t pos0, trng *g) {
    for (int i = 0; i < s->n_rows; i++) {
        int a = (int)(trng_u32(g) % (uint32_t)(s->n_tokens + 1)),
            b = (int)(trng_u32(g) % (uint32_t)(s->n_tokens + 1));
        bool sliding = trng_u32(g) % 2;
        s->lo[i] = sliding ? pos0 + (a < b ? a : b) : 0;
        s->hi[i] = pos0 + (a < b ? b : a);
    }
}

static void test_equals_softmax(void **state) {
    (void)state;
    static const int tokens[] = {1, 17, 64, 65, 200, 512};
    const kern *k;
    for (int v = 0; (k = test_kern(v)); v++) {
        trng g = {11};
        for (int type = KERN_KV_F32; type <= KERN_KV_Q8; type++)
            for (int d = 0; d < N_DIMS; d++)
                for (int t = 0; t < (test_small() ? 4 : 6); t++) {
                    kern_kv_shape shape = dims[d];
                    shape.type = (kern_kv_type)type;
                    int32_t pos0 = t % 2 ? 1024 : 0;
                    float cap = t % 3 == 2 ? 1.5f : 0;
                    scene *s = scene_new(k, shape, tokens[t], 1 + (int)(trng_u32(&g) % MAX_ROWS),
                                         &g);
                    for (int i = 0; i < s->n_rows; i++) s->lo[i] = 0, s->hi[i] = pos0 + tokens[t];
                    if (t > 0) random_limits(s, pos0, &g);
                    scene_run(k, s, 0, s->n_rows, pos0, cap);
                    compare(s, k->name, pos0, cap);
                    scene_free(s);
                }
    }
}

/* Each row alone, and in groups of every size, gives the bits that it gave beside all others. */
static void test_rows_alone_or_together(void **state) {
    (void)state;
    const kern *k;
    for (int v = 0; (k = test_kern(v)); v++) {
        trng g = {12};
        for (int type = KERN_KV_F32; type <= KERN_KV_Q8; type++)
            for (int d = 0; d < N_DIMS; d++) {
                kern_kv_shape shape = dims[d];
                shape.type = (kern_kv_type)type;
                scene *s = scene_new(k, shape, 300, MAX_ROWS, &g), *was = malloc(sizeof *was);
                assert_non_null(was);
                random_limits(s, 0, &g);
                for (int i = 0; i < 6; i++) s->lo[i] = 0, s->hi[i] = 290 + i; /* as in prefill */
                scene_run(k, s, 0, MAX_ROWS, 0, 0);
                *was = *s;
                for (int size = 1; size <= 5; size++) {
                    memset(s->acc, 0xa5, sizeof s->acc);
                    for (int i = 0; i < MAX_ROWS; i += size)
                        scene_run(k, s, i, MAX_ROWS - i < size ? MAX_ROWS - i : size, 0, 0);
                    assert_memory_equal(s->m, was->m, sizeof s->m);
                    assert_memory_equal(s->l, was->l, sizeof s->l);
                    for (int i = 0; i < MAX_ROWS; i++)
                        assert_memory_equal(s->acc[i], was->acc[i], (size_t)shape.head_dim_v * 4);
                }
                free(was);
                scene_free(s);
            }
    }
}

/* Tokens outside every row's limits may hold anything, also infinities that one row of the group
 * sees. */
static void test_unseen_tokens_do_not_matter(void **state) {
    (void)state;
    const kern *k;
    for (int v = 0; (k = test_kern(v)); v++)
        for (int type = KERN_KV_F32; type <= KERN_KV_Q8; type++) {
            trng g = {13};
            kern_kv_shape shape = {.type = (kern_kv_type)type, .head_dim_k = 64, .head_dim_v = 64};
            scene *s = scene_new(k, shape, 100, 4, &g);
            float before[3][64], big[64];
            for (int i = 0; i < 4; i++) s->hi[i] = 70 + 3 * i;
            scene_run(k, s, 0, 4, 0, 0);
            for (int i = 0; i < 3; i++) memcpy(before[i], s->acc[i], sizeof before[i]);
            for (int e = 0; e < 64; e++) big[e] = INFINITY;
            k->kv_write(&shape, s->block[1], 77 - 64, s->k, big);
            scene_run(k, s, 0, 4, 0, 0);
            for (int i = 0; i < 3; i++) assert_memory_equal(before[i], s->acc[i], sizeof before[i]);
            for (int e = 0; e < 64; e++) assert_true(!isfinite(s->acc[3][e]));
            scene_free(s);
        }
}

static void expect_ref(const scene *s, const scene *ref, const char *name, const char *what) {
    for (int i = 0; i < s->n_rows; i++) {
        const float *a = s->acc[i], *b = ref->acc[i];
        bool same = test_same_float(s->m[i], ref->m[i]);
        for (int e = 0; e < s->shape.head_dim_v; e++) same = same && test_same_float(a[e], b[e]);
        bool sum = test_same_float(s->l[i], ref->l[i]) ||
                   fabsf(s->l[i] - ref->l[i]) < 1e-6f * fabsf(ref->l[i]);
        if (!same || !sum)
            fail_msg("%s %s: dims %d %d row %d [%d, %d): m %.9g, not %.9g; l %.9g, not %.9g; "
                     "acc[0] %.9g, not %.9g",
                     name, what, s->shape.head_dim_k, s->shape.head_dim_v, i, s->lo[i], s->hi[i],
                     (double)s->m[i], (double)ref->m[i], (double)s->l[i], (double)ref->l[i],
                     (double)a[0], (double)b[0]);
    }
}

/* Over Q8 pages all but the order of l's sum is stated: the reference's bits. */
static void test_q8_is_ref(void **state) {
    (void)state;
    const kern *k, *ref = kern_named("ref");
    for (int v = 0; (k = test_kern(v)); v++) {
        trng g = {16};
        for (int d = 0; d < N_DIMS; d++)
            for (int t = 0; t < 6; t++) {
                kern_kv_shape shape = dims[d];
                shape.type = KERN_KV_Q8;
                int32_t pos0 = t % 2 ? 512 : 0;
                scene *s = scene_new(ref, shape, 1 + (int)(trng_u32(&g) % 200),
                                     1 + (int)(trng_u32(&g) % MAX_ROWS), &g),
                      *want = malloc(sizeof *want);
                assert_non_null(want);
                random_limits(s, pos0, &g);
                for (int e = 0; e < shape.head_dim_k && t == 4; e++) s->q[0][e] = 0;
                if (t == 5) s->q[0][3] = NAN;
                *want = *s;
                for (int i = 0; i < s->n_rows; i++) want->accp[i] = want->acc[i];
                scene_run(k, s, 0, s->n_rows, pos0, t % 3 == 2 ? 1.5f : 0);
                scene_run(ref, want, 0, s->n_rows, pos0, t % 3 == 2 ? 1.5f : 0);
                expect_ref(s, want, k->name, "random");
                free(want), scene_free(s);
            }
    }
}

/* Keys, queries, values and weights at their largest: nothing overflows, and nothing cancels. */
static void test_q8_largest(void **state) {
    (void)state;
    const kern *k, *ref = kern_named("ref");
    const kern_kv_shape shape = {.type = KERN_KV_Q8, .head_dim_k = 512, .head_dim_v = 16};
    for (int v = 0; (k = test_kern(v)); v++) {
        trng g = {17};
        scene *s = scene_new(ref, shape, 64, 2, &g), *want = malloc(sizeof *want);
        assert_non_null(want);
        for (int t = 0; t < 64; t++) {
            float key[512], value[16];
            for (int e = 0; e < 512; e++) key[e] = t % 2 ? -3.0f : 3.0f;
            for (int e = 0; e < 16; e++) value[e] = e % 2 ? -2.0f : 2.0f;
            ref->kv_write(&shape, s->block[0], t, key, value);
        }
        for (int e = 0; e < 512; e++) s->q[0][e] = 0.25f, s->q[1][e] = -0.25f;
        *want = *s;
        for (int i = 0; i < 2; i++) want->accp[i] = want->acc[i];
        scene_run(k, s, 0, 2, 0, 1.0f);
        scene_run(ref, want, 0, 2, 0, 1.0f);
        expect_ref(s, want, k->name, "largest");
        assert_true(fabsf(s->acc[0][0] / s->l[0] - 2.0f) < 1e-5f);
        assert_true(fabsf(s->acc[1][1] / s->l[1] + 2.0f) < 1e-5f);
        scene_run(k, s, 0, 2, 0, 0); /* 48: the other sign counts for nothing */
        assert_true(fabsf(s->m[0] - 48.0f) < 1e-4f && fabsf(s->l[1] - 32.0f) < 1e-4f);
        free(want), scene_free(s);
    }
}

/* Chunks computed apart and merged equal one softmax over all; a row that saw nothing gives zeros.
 * */
static void test_merge(void **state) {
    (void)state;
    const kern *k = kern_get();
    trng g = {14};
    kern_kv_shape shape = {.type = KERN_KV_F32, .head_dim_k = 32, .head_dim_v = 32};
    scene *s = scene_new(k, shape, 512, 1, &g);
    double want[32];
    float out[32], m[4], l[4], part[4][32], sink = 2.0f;
    const float *acc[4];
    for (int c = 0; c < 4; c++) { /* two blocks each; the last chunk is empty for this row */
        s->lo[0] = 0, s->hi[0] = 384;
        kern_attn a = {.shape = shape,
                       .scale = 0.125f,
                       .n_rows = 1,
                       .q = s->qp,
                       .lo = s->lo,
                       .hi = s->hi,
                       .block = (const void *const *)s->block + 2 * c,
                       .pos0 = 128 * c,
                       .n_blocks = 2,
                       .m = &m[c],
                       .l = &l[c],
                       .acc = s->accp};
        k->attn(&a);
        memcpy(part[c], s->acc[0], sizeof part[c]);
        acc[c] = part[c];
    }
    assert_true(m[3] == -INFINITY && l[3] == 0);
    naive(s, 0, 0, 0, want);
    kern_attn_merge(4, m, l, acc, 32, NULL, out);
    for (int e = 0; e < 32; e++) assert_true(fabs(want[e] - (double)out[e]) < 1e-5);
    double sum = 0; /* a sink takes its share of the sum */
    for (int c = 0; c < 3; c++) sum += (double)l[c] * exp((double)m[c]);
    kern_attn_merge(4, m, l, acc, 32, &sink, out);
    for (int e = 0; e < 32; e++)
        assert_true(fabs(want[e] * sum / (sum + exp(2.0)) - (double)out[e]) < 1e-5);
    kern_attn_merge(1, &m[3], &l[3], &acc[3], 32, &sink, out);
    for (int e = 0; e < 32; e++) assert_true(out[e] == 0);
    scene_free(s);
}

/* What a page holds is the same whoever wrote it. */
static void test_pages_equal(void **state) {
    (void)state;
    const kern *ref = kern_named("ref"), *k;
    for (int v = 0; (k = test_kern(v)); v++)
        for (int type = KERN_KV_F32; type <= KERN_KV_Q8; type++)
            for (int d = 0; d < N_DIMS; d++) {
                kern_kv_shape shape = dims[d];
                shape.type = (kern_kv_type)type;
                trng g = {15}, h = {15};
                scene *a = scene_new(ref, shape, 70, 1, &g), *b = scene_new(k, shape, 70, 1, &h);
                for (int i = 0; i < 2; i++)
                    assert_memory_equal(a->block[i], b->block[i], kern_kv_block_bytes(&shape));
                assert_int_equal(kern_kv_block_bytes(&shape) % 64, 0);
                scene_free(a), scene_free(b);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_softmax),
        cmocka_unit_test(test_rows_alone_or_together),
        cmocka_unit_test(test_unseen_tokens_do_not_matter),
        cmocka_unit_test(test_q8_is_ref),
        cmocka_unit_test(test_q8_largest),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_pages_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
