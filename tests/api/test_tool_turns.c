/* Calls of earlier turns and their results: ids, names, order; short ids; tools that are read and
 * chosen. */
#include <stdlib.h>

#include "api/tools.h"
#include "support/cmocka_all.h"

static json_t *read_json(const char *text) {
    json_t *v = json_loads(text, 0, NULL);
    assert_non_null(v);
    return v;
}

static void expect_json(const json_t *v, const char *text) {
    json_t *want = read_json(text);
    if (!json_equal(v, want)) {
        char *got = json_dumps(v, 0);
        fail_msg("%s\nis not\n%s", got, text);
    }
    json_decref(want);
}

#define CALL(id, name, args)                                                                       \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name                      \
    "\",\"arguments\":" args "}}"

static void settle(const char *in, const char *out) {
    api_error e = {0};
    json_t *messages = read_json(in);
    assert_true(tool_turns_settle(messages, &e));
    expect_json(messages, out);
    json_decref(messages);
}

static void results_find_their_calls(void **state) {
    (void)state;
    /* by id, whatever the order */
    settle(
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL("a", "f", "{}") "," CALL(
            "b", "g", "{}") "]},{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"2\"},"
                            "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]",
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL("a", "f", "{}") "," CALL(
            "b", "g",
            "{}") "]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"name\":\"f\",\"content\":\"1\"},"
                  "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"name\":\"g\",\"content\":\"2\"}]");
    /* by name, then in order; ids are made where there are none */
    settle("[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}},{\"function\":"
           "{\"name\":\"g\",\"arguments\":{\"x\":1}}}]},"
           "{\"role\":\"tool\",\"name\":\"g\",\"content\":\"2\"},{\"role\":\"tool\",\"content\":"
           "\"1\"}]",
           "[{\"role\":\"assistant\",\"tool_calls\":[" CALL("call_1", "f", "\"{}\"") "," CALL(
               "call_2", "g", "{\"x\":1}") "]},"
                                           "{\"role\":\"tool\",\"tool_call_id\":\"call_1\","
                                           "\"name\":\"f\",\"content\":\"1\"},"
                                           "{\"role\":\"tool\",\"tool_call_id\":\"call_2\","
                                           "\"name\":\"g\",\"content\":\"2\"}]");
    /* of no call: as they are, at the end */
    settle(
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL(
            "a", "f", "{}") "]},{\"role\":\"tool\",\"tool_call_id\":\"z\",\"content\":\"?\"},"
                            "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]",
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL(
            "a", "f",
            "{}") "]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"name\":\"f\",\"content\":\"1\"},"
                  "{\"role\":\"tool\",\"tool_call_id\":\"z\",\"content\":\"?\"}]");
}

static void the_older_form(void **state) {
    (void)state;
    settle("[{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\","
           "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"1\"}]",
           "[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL(
               "call_1", "f", "\"{}\"") "]},"
                                        "{\"role\":\"tool\",\"name\":\"f\",\"tool_call_id\":\"call_"
                                        "1\",\"content\":\"1\"}]");
}

static void arguments_that_were_cut(void **state) {
    (void)state;
    settle(
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL("a", "f", "\"{\\\"x\\\": \\\"un\"") "]}]",
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL(
            "a", "f", "\"{\\\"arguments\\\":\\\"{\\\\\\\"x\\\\\\\": \\\\\\\"un\\\"}\"") "]}]");
}

static void short_ids(void **state) {
    (void)state;
    json_t *m = read_json(
        "[{\"role\":\"assistant\",\"tool_calls\":[" CALL("call_12345678", "f", "{}") "," CALL(
            "abcdEFG12", "g", "{}") "]},{\"role\":\"tool\",\"tool_call_id\":\"call_12345678\"}]");
    assert_true(tool_ids_shorten(m));
    const json_t *calls = json_object_get(json_array_get(m, 0), "tool_calls");
    const char *first = json_string_value(json_object_get(json_array_get(calls, 0), "id"));
    assert_int_equal(strlen(first), 9);
    assert_int_equal(
        strspn(first, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), 9);
    assert_string_equal(json_string_value(json_object_get(json_array_get(calls, 1), "id")),
                        "abcdEFG12");
    assert_string_equal(json_string_value(json_object_get(json_array_get(m, 1), "tool_call_id")),
                        first);
    json_decref(m);
}

static const char two[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
                          "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"strict\":true}}]";

static void chosen(const char *choice, answer_choice want, const char *name, const char *refused) {
    api_error e = {0};
    tool_ask t = {0};
    json_t *tools = read_json(two), *c = json_loads(choice, JSON_DECODE_ANY, NULL);
    assert_true(tools_read(&t, tools, &e));
    bool ok = tool_choice_read(&t, c, &e) && tool_choice_settle(&t, &e);
    if (refused) {
        assert_false(ok);
        assert_non_null(strstr(e.msg, refused));
    } else {
        assert_true(ok);
        assert_int_equal(t.choice, want);
        if (name) assert_string_equal(t.name, name);
        assert_int_equal(json_array_size(t.tools), want == ANSWER_CHOICE_NONE ? 0 : 2);
    }
    tool_ask_deinit(&t);
    json_decref(tools);
    json_decref(c);
}

static void choices(void **state) {
    (void)state;
    chosen("\"auto\"", ANSWER_CHOICE_AUTO, NULL, NULL);
    chosen("\"none\"", ANSWER_CHOICE_NONE, NULL, NULL);
    chosen("{\"type\":\"any\"}", ANSWER_CHOICE_REQUIRED, NULL, NULL);
    chosen("{\"type\":\"tool\",\"name\":\"g\"}", ANSWER_CHOICE_NAMED, "g", NULL);
    chosen("{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", ANSWER_CHOICE_NAMED, "f", NULL);
    chosen("{\"type\":\"function\",\"name\":\"h\"}", ANSWER_CHOICE_NAMED, NULL, "\"h\"");
    chosen("{\"type\":\"web_search\"}", ANSWER_CHOICE_AUTO, NULL, "web_search");
    chosen("{\"type\":\"allowed_tools\",\"mode\":\"required\",\"tools\":[{\"type\":\"function\","
           "\"name\":\"g\"}]}",
           ANSWER_CHOICE_REQUIRED, NULL, NULL);
    chosen("{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[]}", ANSWER_CHOICE_AUTO, NULL,
           "no tool");
    api_error e = {0};
    tool_ask none = {.choice = ANSWER_CHOICE_REQUIRED};
    assert_false(tool_choice_settle(&none, &e));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_find_their_calls),
        cmocka_unit_test(the_older_form),
        cmocka_unit_test(arguments_that_were_cut),
        cmocka_unit_test(short_ids),
        cmocka_unit_test(choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
