/* Importance matrices: what is added up is found again in the file; the older form; what is no
 * importance matrix, or one of another model; and that a conversion uses it, expert by expert, with
 * the same bytes on any number of threads. */
#include "base/buf.h"
#include "gguf/gguf_write.h"
#include "hub/imatrix.h"
#include "hub/requantize.h"

#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <math.h>
#include <stdlib.h>

enum { WIDE = 512, ROWS = 40, EXPERTS = 3 };
#define NAME "blk.0.ffn_down_exps.weight"

static imatrix *sums(void) {
    imatrix *im = imatrix_new();
    err e = {0};
    float x[WIDE];
    assert_non_null(im);
    for (uint64_t mat = 0; mat < 2; mat++) /* the third expert sees nothing */
        for (int row = 0; row < 5; row++) {
            for (int i = 0; i < WIDE; i++) x[i] = (i % 7 == (int)mat ? 8.0f : 0.5f);
            assert_true(imatrix_add(im, STR(NAME), WIDE, EXPERTS, mat, x, &e));
        }
    const float two[2] = {1, 3};
    assert_true(imatrix_add(im, STR("a"), 2, 1, 0, two, &e));
    imatrix_about(im, "some.txt", 9, 512);
    return im;
}

static void check_sums(const imatrix *im) {
    err e = {0};
    float out[EXPERTS * WIDE], two[2];
    assert_int_equal(imatrix_n(im), 2);
    assert_int_equal(imatrix_chunks(im), 9);
    assert_string_equal(imatrix_dataset(im), "some.txt");
    assert_true(imatrix_importance(im, STR("a"), 2, 1, two, &e));
    assert_true(fabsf(two[0] - 0.2f) < 1e-6f && fabsf(two[1] - 1.8f) < 1e-6f);
    assert_true(imatrix_importance(im, STR(NAME), WIDE, EXPERTS, out, &e));
    for (int m = 0; m < EXPERTS; m++) {
        double mean = 0;
        for (int i = 0; i < WIDE; i++) mean += (double)out[m * WIDE + i] / WIDE;
        assert_true(fabs(mean - 1) < 1e-4);
        float large = out[m * WIDE + 7 + m], small = out[m * WIDE + 3];
        if (m < 2) assert_true(fabsf(large / small - 256) < 0.1f);
        else assert_true(large == 1 && small == 1);
    }
    assert_false(imatrix_importance(im, STR("b"), 2, 1, two, &e));
    assert_int_equal(e.code, ERR_NONE);
    assert_false(imatrix_importance(im, STR("a"), 3, 1, out, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.msg, "another model"));
}

static void test_there_and_back(void **state) {
    (void)state;
    err e = {0};
    const char *path = scratch_path("a.imatrix");
    imatrix *im = sums();
    check_sums(im);
    assert_true(imatrix_save(im, path, &e));
    imatrix_free(im);
    im = imatrix_open(path, &e);
    if (!im) fail_msg("%s", e.msg);
    check_sums(im);
    imatrix_free(im);
    /* As others look for it. */
    gguf *g = gguf_open(path, &e);
    str s;
    uint64_t n;
    assert_true(gguf_get_str(g, "general.type", &s) && str_eq(s, STR("imatrix")));
    assert_true(gguf_get_u64(g, "imatrix.chunk_size", &n) && n == 512);
    const gguf_tensor *t = gguf_tensor_find(g, NAME ".in_sum2"),
                      *c = gguf_tensor_find(g, NAME ".counts");
    assert_true(t && c && t->n_dims == 2 && t->ne[0] == WIDE && t->ne[1] == EXPERTS);
    assert_true(c->ne[0] == 1 && c->ne[1] == EXPERTS);
    const float want[EXPERTS] = {5, 5, 0};
    assert_memory_equal(c->data, want, sizeof want);
    gguf_close(g);
}

static void put_i32(buf *b, int32_t v) {
    buf_append(b, &v, 4);
}

static void test_the_older_form(void **state) {
    (void)state;
    err e = {0};
    buf b;
    buf_init(&b, 4096);
    const float values[4] = {1, 3, 5, 5};
    put_i32(&b, 1), put_i32(&b, 1), buf_puts(&b, "a"), put_i32(&b, 7), put_i32(&b, 4);
    buf_append(&b, values, sizeof values);
    put_i32(&b, 9), put_i32(&b, 8), buf_puts(&b, "some.txt");
    imatrix *im = imatrix_read(b.data, b.len, "old", &e);
    if (!im) fail_msg("%s", e.msg);
    float out[4];
    assert_int_equal(imatrix_chunks(im), 9);
    assert_string_equal(imatrix_dataset(im), "some.txt");
    /* Two experts of two columns: the tensor says so. */
    assert_true(imatrix_importance(im, STR("a"), 2, 2, out, &e));
    assert_true(out[0] == 0.5f && out[1] == 1.5f && out[2] == 1 && out[3] == 1);
    assert_false(imatrix_importance(im, STR("a"), 3, 1, out, &e));
    imatrix_free(im);
    for (size_t n = 0; n < b.len - 16; n++) { /* cut anywhere before the last parts */
        e = (err){0};
        assert_null(imatrix_read(b.data, n, "old", &e));
        assert_true(e.code == ERR_DAMAGED || e.code == ERR_USAGE);
    }
    buf_deinit(&b);
}

/* Random weights, three experts of one matrix. */
static gguf *model(uint32_t type) {
    err e = {0};
    const uint64_t ne[] = {WIDE, ROWS, EXPERTS};
    const char *path = scratch_path("model.gguf");
    gguf_writer *w = gguf_writer_open(path, &e);
    float *x = malloc(sizeof *x * WIDE * ROWS * EXPERTS);
    assert_true(w && x);
    for (int i = 0; i < WIDE * ROWS * EXPERTS; i++)
        x[i] = sinf((float)i * 0.7f) * 0.05f + cosf((float)i * 1.3f) * 0.04f;
    gguf_put_str(w, "general.architecture", STR("llama"));
    gguf_put_tensor(w, STR(NAME), type, 3, ne);
    gguf_write_data(w, x, sizeof *x * WIDE * ROWS * EXPERTS);
    if (!gguf_writer_close(w, &e)) fail_msg("%s", e.msg);
    free(x);
    return gguf_open(path, &e);
}

/* The error of every expert, each column counted as it matters. */
static void weighed_error(const gguf *g, const gguf *q, const float *by, double *miss) {
    const gguf_tensor *from = gguf_tensor_at(g, 0), *to = gguf_tensor_at(q, 0);
    const float *x = from->data;
    float *y = malloc(sizeof *y * WIDE * ROWS * EXPERTS);
    quant_info_of(to->type)->dequantize(to->data, y, WIDE * ROWS * EXPERTS);
    for (int m = 0; m < EXPERTS; m++) {
        miss[m] = 0;
        for (int i = m * WIDE * ROWS; i < (m + 1) * WIDE * ROWS; i++) {
            double d = (double)x[i] - (double)y[i];
            miss[m] += d * d * (double)by[m * WIDE + i % WIDE];
        }
    }
    free(y);
}

static gguf *converted(const gguf *g, const char *type, const imatrix *by, int threads) {
    err e = {0};
    requantize_report r;
    requantize_options o = {.mix = mix_named(type), .by = by, .replace = true};
    o.team = team_new(threads, &e);
    const char *path = scratch_path("out.gguf");
    if (!requantize(g, path, &o, &r, &e)) fail_msg("%s: %s", type, e.msg);
    assert_int_equal(r.n_by, by ? 1 : 0);
    team_free(o.team);
    return gguf_open(path, &e);
}

static void test_conversion(void **state) {
    (void)state;
    static const char *const types[] = {"Q2_K", "Q3_K_M", "Q4_K_S", "Q4_0",   "Q4_1",   "Q5_K_S",
                                        "Q5_0", "Q5_1",   "Q6_K",   "IQ4_NL", "IQ4_XS", "MXFP4"};
    err e = {0};
    imatrix *im = sums();
    float by[EXPERTS * WIDE];
    assert_true(imatrix_importance(im, STR(NAME), WIDE, EXPERTS, by, &e));
    gguf *g = model(QUANT_F32);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        double plain[EXPERTS], weighed[EXPERTS];
        gguf *q = converted(g, types[t], NULL, 1);
        weighed_error(g, q, by, plain);
        gguf_close(q);
        q = converted(g, types[t], im, 1);
        weighed_error(g, q, by, weighed);
        gguf *again = converted(g, types[t], im, 3);
        const gguf_tensor *a = gguf_tensor_at(q, 0), *b = gguf_tensor_at(again, 0);
        assert_memory_equal(a->data, b->data, a->size_bytes);
        assert_non_null(gguf_find(q, "quantize.imatrix.entries_count"));
        gguf_close(again);
        gguf_close(q);
        /* MXFP4 has only powers of two to choose from: often none is better. */
        double bound = strcmp(types[t], "MXFP4") == 0 ? 1.000001 : 0.97;
        for (int m = 0; m < 2; m++)
            if (!(weighed[m] < bound * plain[m]))
                fail_msg("%s, expert %d: %g with, %g without", types[t], m, weighed[m], plain[m]);
    }
    gguf_close(g);
    imatrix_free(im);
}

static void test_of_another_model(void **state) {
    (void)state;
    err e = {0};
    const float x[3] = {1, 2, 3};
    imatrix *im = imatrix_new();
    assert_true(imatrix_add(im, STR(NAME), 3, 1, 0, x, &e));
    gguf *g = model(QUANT_F32);
    requantize_report r;
    requantize_options o = {.mix = mix_named("Q4_0"), .by = im, .team = team_new(1, &e)};
    const char *path = scratch_path("never.gguf");
    assert_false(requantize(g, path, &o, &r, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_int_equal(scratch_count("never.gguf"), 0);
    /* A model is no importance matrix. */
    e = (err){0};
    assert_null(imatrix_open(gguf_path(g), &e));
    assert_int_equal(e.code, ERR_USAGE);
    team_free(o.team);
    gguf_close(g);
    imatrix_free(im);
}

static void test_damaged(void **state) {
    (void)state;
    err e = {0};
    const uint64_t ne[] = {4, 2}, one[] = {1, 2};
    for (int bad = 0; bad < 4; bad++) {
        float sum[8] = {1, 1, 1, 1, 1, 1, 1, 1}, count[2] = {1, 1};
        const char *path = scratch_path("bad.imatrix");
        gguf_writer *w = gguf_writer_open(path, &e);
        if (bad == 0) sum[3] = NAN;
        if (bad == 1) sum[7] = -1;
        if (bad == 2) count[1] = INFINITY;
        gguf_put_str(w, "general.type", STR("imatrix"));
        gguf_put_tensor(w, STR("a.in_sum2"), QUANT_F32, 2, ne);
        if (bad != 3) gguf_put_tensor(w, STR("a.counts"), QUANT_F32, 2, one);
        gguf_write_data(w, sum, sizeof sum);
        if (bad != 3) gguf_write_data(w, count, sizeof count);
        assert_true(gguf_writer_close(w, &e));
        e = (err){0};
        assert_null(imatrix_open(path, &e));
        assert_int_equal(e.code, ERR_DAMAGED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_the_older_form),
        cmocka_unit_test(test_conversion),     cmocka_unit_test(test_of_another_model),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
