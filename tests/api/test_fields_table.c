/* The table of fields: what it lets through, what it names when it does not. */
#include "api/fields.h"
#include "support/cmocka_all.h"

static const api_field inner[] = {
    {.name = "role", .types = API_STRING, .required = true, .words = "user|assistant"},
    {.name = "weight", .types = API_INT, .max = 1},
    {0},
};

static const api_field shared[] = {
    {.name = "top_p", .types = API_NUMBER, .max = 1},
    {0},
};

static const api_field table[] = {
    {.name = "messages",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = inner,
     .required = true,
     .len_min = 1,
     .len_max = 3},
    {.name = "n", .types = API_INT, .min = 1, .max = 128},
    {.name = "stop", .types = API_STRING | API_ARRAY, .items = API_STRING, .len_max = 2},
    {.name = "name", .types = API_STRING, .len_min = 1, .len_max = 4},
    {.name = "stream", .types = API_BOOL},
    {.name = "options", .types = API_OBJECT, .of = shared},
    {.include = shared},
    {0},
};

static const char *const good[] = {
    "{\"messages\":[{\"role\":\"user\"}]}",
    "{\"messages\":[{\"role\":\"user\",\"weight\":null}],\"n\":null,\"unknown\":[1,{}]}",
    "{\"messages\":[{\"role\":\"user\",\"weight\":1.0}],\"n\":128,\"top_p\":1}",
    "{\"messages\":[{\"role\":\"user\"}],\"stop\":\"long enough for two\"}",
    "{\"messages\":[{\"role\":\"user\"}],\"stop\":[\"a\",\"b\"],\"stream\":false}",
    "{\"messages\":[{\"role\":\"user\"}],\"name\":\"abcd\",\"options\":{\"top_p\":0.5}}",
};

static const struct {
    const char *json, *param, *code;
} bad[] = {
    {"[]", "", "invalid_type"},
    {"{}", "messages", "missing_field"},
    {"{\"messages\":null}", "messages", "missing_field"},
    {"{\"messages\":{}}", "messages", "invalid_type"},
    {"{\"messages\":[]}", "messages", "too_short"},
    {"{\"messages\":[1]}", "messages[0]", "invalid_type"},
    {"{\"messages\":[null]}", "messages[0]", "invalid_type"},
    {"{\"messages\":[{\"role\":\"user\"},{}]}", "messages[1].role", "missing_field"},
    {"{\"messages\":[{\"role\":\"use\"}]}", "messages[0].role", "invalid_value"},
    {"{\"messages\":[{\"role\":\"user|assistant\"}]}", "messages[0].role", "invalid_value"},
    {"{\"messages\":[{\"role\":\"user\",\"weight\":2}]}", "messages[0].weight", "out_of_range"},
    {"{\"messages\":[{\"role\":\"user\"}],\"n\":1.5}", "n", "invalid_type"},
    {"{\"messages\":[{\"role\":\"user\"}],\"n\":true}", "n", "invalid_type"},
    {"{\"messages\":[{\"role\":\"user\"}],\"n\":0}", "n", "out_of_range"},
    {"{\"messages\":[{\"role\":\"user\"}],\"n\":1e308}", "n", "invalid_type"},
    {"{\"messages\":[{\"role\":\"user\"}],\"stop\":[\"a\",1]}", "stop[1]", "invalid_type"},
    {"{\"messages\":[{\"role\":\"user\"}],\"stop\":[\"a\",\"b\",\"c\"]}", "stop", "too_long"},
    {"{\"messages\":[{\"role\":\"user\"}],\"name\":\"abcde\"}", "name", "too_long"},
    {"{\"messages\":[{\"role\":\"user\"}],\"name\":\"\"}", "name", "too_short"},
    {"{\"messages\":[{\"role\":\"user\"}],\"options\":{\"top_p\":2}}", "options.top_p",
     "out_of_range"},
    {"{\"messages\":[{\"role\":\"user\"}],\"top_p\":-0.1}", "top_p", "out_of_range"},
};

static void good_ones(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        json_t *v = json_loads(good[i], JSON_DECODE_ANY, NULL);
        api_error e = {0};
        assert_non_null(v);
        if (!api_fields_check(table, v, &e)) fail_msg("%s: %s", good[i], e.msg);
        json_decref(v);
    }
}

static void bad_ones(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *v = json_loads(bad[i].json, JSON_DECODE_ANY, NULL);
        api_error e = {0};
        assert_non_null(v);
        if (api_fields_check(table, v, &e)) fail_msg("%s was let through", bad[i].json);
        assert_int_equal(e.status, 400);
        assert_string_equal(e.param, bad[i].param);
        assert_string_equal(e.code, bad[i].code);
        assert_true(e.msg[0] != 0);
        json_decref(v);
    }
}

static void reading(void **state) {
    (void)state;
    json_t *v = json_loads("{\"a\":5.0,\"b\":null,\"c\":\"x\",\"d\":true,\"e\":1e300}", 0, NULL);
    assert_int_equal(api_get_int(v, "a", 1), 5);
    assert_int_equal(api_get_int(v, "b", 7), 7);
    assert_int_equal(api_get_int(v, "e", 7), 7);
    assert_true(api_get_number(v, "a", 0) == 5);
    assert_string_equal(api_get_text(v, "c", "y"), "x");
    assert_string_equal(api_get_text(v, "a", "y"), "y");
    assert_true(api_get_bool(v, "d", false));
    assert_null(api_get(v, "b"));
    assert_null(api_get(NULL, "b"));
    json_decref(v);
}

static void as_schema(void **state) {
    (void)state;
    buf out;
    jsonw w;
    buf_init(&out, 1 << 16);
    jsonw_init(&w, &out);
    api_fields_schema(table, &w);
    json_t *v = json_loadb(out.data, out.len, 0, NULL);
    assert_non_null(v);
    json_t *p = json_object_get(v, "properties");
    assert_int_equal(json_object_size(p), 7);
    assert_true(json_number_value(json_object_get(json_object_get(p, "n"), "maximum")) == 128);
    assert_int_equal(json_array_size(json_object_get(v, "required")), 1);
    json_decref(v);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(reading),
        cmocka_unit_test(as_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
