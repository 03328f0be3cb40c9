#include "base/jsonw.h"
#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <float.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

static buf out;
static jsonw w;

static int setup(void **state) {
    (void)state;
    buf_init(&out, 1 << 20);
    jsonw_init(&w, &out);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_deinit(&out);
    return 0;
}

static json_t *parse(void) {
    json_error_t error;
    assert_false(out.failed);
    json_t *tree = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!tree) fail_msg("not JSON: %s at %d in %s", error.text, error.position, out.data);
    return tree;
}

static void write_sample(void) {
    jsonw_object(&w);
    jsonw_key(&w, "name");
    jsonw_str(&w, STR("a\"b"));
    jsonw_key(&w, "ids");
    jsonw_array(&w);
    jsonw_int(&w, 1);
    jsonw_int(&w, -2);
    jsonw_end(&w);
    jsonw_key(&w, "empty");
    jsonw_array(&w);
    jsonw_end(&w);
    jsonw_key(&w, "nested");
    jsonw_object(&w);
    jsonw_key(&w, "none");
    jsonw_null(&w);
    jsonw_key(&w, "yes");
    jsonw_bool(&w, true);
    jsonw_key(&w, "raw");
    jsonw_raw(&w, STR("[0]"));
    jsonw_end(&w);
    jsonw_end(&w);
}

static void test_shape(void **state) {
    (void)state;
    write_sample();
    assert_string_equal(out.data, "{\"name\":\"a\\\"b\",\"ids\":[1,-2],\"empty\":[],"
                                  "\"nested\":{\"none\":null,\"yes\":true,\"raw\":[0]}}");
    json_decref(parse());
}

static void test_pretty(void **state) {
    (void)state;
    write_sample();
    json_t *plain = parse();
    buf_clear(&out);
    jsonw_init(&w, &out);
    w.pretty = true;
    write_sample();
    json_t *pretty = parse();
    assert_true(json_equal(plain, pretty));
    assert_non_null(strstr(out.data, "\n  \"ids\": [\n    1,\n    -2\n  ],\n  \"empty\": [],\n"));
    json_decref(plain);
    json_decref(pretty);
}

static void test_strings(void **state) {
    (void)state;
    char every[128];
    for (int i = 0; i < 128; i++) every[i] = (char)i;
    const str cases[] = {STR(""),
                         {every, sizeof every},
                         STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8"),
                         STR("/\\\"")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        jsonw_init(&w, &out);
        jsonw_str(&w, cases[i]);
        json_t *back = parse();
        assert_int_equal(json_string_length(back), cases[i].n);
        assert_memory_equal(json_string_value(back), cases[i].p, cases[i].n);
        json_decref(back);
    }
}

static void test_broken_utf8(void **state) {
    (void)state;
    jsonw_str(&w, STR("a\xff"
                      "b\xe2\x82"));
    assert_string_equal(out.data, "\"a\xef\xbf\xbd"
                                  "b\xef\xbf\xbd\xef\xbf\xbd\"");
    /* whatever the bytes, what comes out is JSON */
    for (uint64_t i = 0; i < 2000; i++) {
        char bytes[24];
        for (uint64_t k = 0; k < 3; k++) {
            uint64_t r = rng_u64(7, i, k);
            memcpy(bytes + 8 * k, &r, 8);
        }
        buf_clear(&out);
        jsonw_init(&w, &out);
        jsonw_str(&w, (str){bytes, 1 + i % sizeof bytes});
        json_decref(parse());
    }
}

static void test_integers(void **state) {
    (void)state;
    jsonw_array(&w);
    jsonw_int(&w, INT64_MIN);
    jsonw_int(&w, INT64_MAX);
    jsonw_uint(&w, UINT64_MAX);
    jsonw_end(&w);
    assert_string_equal(out.data,
                        "[-9223372036854775808,9223372036854775807,18446744073709551615]");
}

static double back_f64(double v) {
    buf_clear(&out);
    jsonw_init(&w, &out);
    jsonw_f64(&w, v);
    json_t *tree = parse();
    double back = json_number_value(tree);
    json_decref(tree);
    return back;
}

static void test_floats(void **state) {
    (void)state;
    static const double edges[] = {0.0,    1.0,  -1.0,    0.1,     1.0 / 3, 1e300,
                                   1e-300, 2e21, DBL_MAX, DBL_MIN, 5e-324,  123456789012345678.0};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        assert_true(back_f64(edges[i]) == edges[i]);
    buf_clear(&out);
    jsonw_init(&w, &out);
    jsonw_f64(&w, 0.1);
    assert_string_equal(out.data, "0.1"); /* the short form where it suffices */
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = rng_u64(1, 2, i);
        uint32_t half = (uint32_t)bits;
        double d;
        float f;
        memcpy(&d, &bits, 8);
        memcpy(&f, &half, 4);
        if (isfinite(d)) assert_true(back_f64(d) == d);
        if (!isfinite(f)) continue;
        buf_clear(&out);
        jsonw_init(&w, &out);
        jsonw_f32(&w, f);
        assert_true(strtof(out.data, NULL) == f);
        json_decref(parse());
    }
}

static void test_not_finite(void **state) {
    (void)state;
    jsonw_array(&w);
    jsonw_f64(&w, (double)NAN);
    jsonw_f64(&w, (double)INFINITY);
    jsonw_f32(&w, -INFINITY);
    jsonw_end(&w);
    assert_string_equal(out.data, "[null,null,null]");
}

static void test_locale(void **state) {
    (void)state;
    if (!scratch_set_comma_locale()) skip_because("no locale with a decimal comma can be made");
    jsonw_f64(&w, 1.0 / 3);
    setlocale(LC_ALL, "C");
    assert_true(strtod(out.data, NULL) == 1.0 / 3);
}

static void test_depth(void **state) {
    (void)state;
    for (int i = 0; i < JSONW_MAX_DEPTH; i++) jsonw_array(&w);
    assert_false(out.failed);
    for (int i = 0; i < JSONW_MAX_DEPTH; i++) jsonw_end(&w);
    json_decref(parse());
    jsonw_end(&w); /* one end too many */
    assert_true(out.failed);
    buf_clear(&out);
    jsonw_init(&w, &out);
    for (int i = 0; i <= JSONW_MAX_DEPTH; i++) jsonw_object(&w);
    assert_true(out.failed);
}

static void test_full(void **state) {
    (void)state;
    buf small;
    buf_init(&small, 20);
    jsonw_init(&w, &small);
    write_sample();
    assert_true(small.failed);
    assert_true(small.len <= 20);
    buf_deinit(&small);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_shape),  T(test_pretty),     T(test_strings), T(test_broken_utf8), T(test_integers),
        T(test_floats), T(test_not_finite), T(test_locale),  T(test_depth),       T(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
