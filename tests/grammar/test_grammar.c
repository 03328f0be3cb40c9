/* Regular expressions against Python's verdicts; formats; GBNF; hostile input; and each mask
 * against trying every token of the bundled vocabulary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "gguf/gguf.h"
#include "grammar/dfa.h"
#include "grammar/grammar.h"
#include "support/cmocka_all.h"

#include "regex_table.h"

static bool takes(grammar *g, const char *text) {
    err e = {0};
    grammar_state *s = grammar_state_new(g, NULL, &e);
    assert_non_null(s);
    bool ok = grammar_state_accept_bytes(s, str_of(text)) && grammar_state_may_end(s);
    grammar_state_free(s);
    return ok;
}

static grammar *schema_of(const char *text) {
    err e = {0};
    grammar *g = grammar_json_schema(str_of(text), 0, &e);
    if (!g) fail_msg("%s: %s", text, e.msg);
    return g;
}

static void regex_agrees_with_python(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof regex_table / sizeof *regex_table; i++) {
        const regex_row *r = &regex_table[i];
        err e = {0};
        dfa *d = dfa_regex(str_of(r->pattern), &e);
        if (!d) fail_msg("%s: %s", r->pattern, e.msg);
        if (dfa_accepts(d, str_of(r->text)) != r->found)
            fail_msg("/%s/ on \"%s\": expected %d", r->pattern, r->text, r->found);
        dfa_free(d);
    }
}

static void formats_hold(void **state) {
    (void)state;
    static const char *const row[][3] = {
        {"date", "2024-02-29", "2024-13-01"},
        {"time", "09:30:00Z", "25:00:00Z"},
        {"date-time", "2026-11-22T09:30:00.5+01:00", "2026-11-22 9:30"},
        {"uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"},
        {"email", "a.b@example.org", "a.b.example.org"},
        {"ipv4", "192.168.0.255", "192.168.0.256"},
        {"ipv6", "2001:db8::1", "2001:db8:::1"},
        {"uri", "https://example.org/a?b#c", "/a b"},
        {"uri", "urn:x", "urn:"},
        {"byte", "aGVsbG8=", "aGVsbG8"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"type\":\"string\",\"format\":\"%s\"}", row[i][0]);
        grammar *g = schema_of(text);
        for (int k = 1; k < 3; k++) {
            snprintf(text, sizeof text, "\"%s\"", row[i][k]);
            if (takes(g, text) != (k == 1)) fail_msg("%s: %s", row[i][0], text);
        }
        grammar_free(g);
    }
}

static void gbnf_rules(void **state) {
    (void)state;
    err e = {0};
    grammar *g = grammar_gbnf(STR("root ::= term ([-+*/] term)*\n"
                                  "term ::= num | \"(\" root \")\"\nnum ::= [0-9]{1,3}\n"),
                              &e);
    if (!g) fail_msg("%s", e.msg);
    assert_true(takes(g, "1+2*(3-444)"));
    assert_true(takes(g, "((7))"));
    assert_false(takes(g, "1+"));
    assert_false(takes(g, "4444"));
    assert_false(takes(g, "(1"));
    grammar_free(g);
    assert_null(grammar_gbnf(STR("root ::= root \"a\" | \"b\"\n"), &e));
    assert_non_null(strstr(e.msg, "root"));
}

/* Texts that are free in part, with values by schema in between. */
static void own_rules(void **state) {
    (void)state;
    err e = {0};
    grammar *g = grammar_rules(
        STR("root ::= free (call free)*\n"
            "free ::= %except(\"<call>\" | \"[X]\")\n"
            "call ::= \"<call>\" %json {\"type\":\"object\",\"properties\":{\"n\":{\"type\":"
            "\"integer\"}},\"required\":[\"n\"],\"additionalProperties\":false} \"</call>\"\n"
            " | \"[X]\" %json {\"type\":\"number\",\"maximum\":12} \"!\"?\n"),
        &e);
    if (!g) fail_msg("%s", e.msg);
    static const struct {
        const char *text;
        bool taken;
    } rows[] = {
        {"", true},
        {"any text, \xC3\xA9, <cal", true},
        {"<call>", false},
        {"<<call>{\"n\":3}</call>", true},
        {"a<call>{\"n\":3}</call>b<call>{\"n\": -4}</call>", true},
        {"a<call>{\"n\":3}</call>b<call>{\"n\": -4}", false},
        {"a<call>{\"n\":3.5}</call>", false},
        {"a<call>{\"m\":3}</call>", false},
        {"[X]11", true},
        {"[X]12.0!", true},
        {"[X]x", false},
        {"[X]1 and more", true},
        {"[X]1[X]2!<call>{\"n\":1}</call>", true},
        {"\xC3", false}, /* in the middle of a character */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (takes(g, rows[i].text) != rows[i].taken)
            fail_msg("%s: %d", rows[i].text, !rows[i].taken);
    grammar_free(g);
    static const char *const bad[] = {
        "root ::= %json",
        "root ::= %json {\"type\":\"nothing\"}",
        "root ::= %json {\"type\":\"integer\"",
        "root ::= %except(\"\")",
        "root ::= %except(\"a\"",
        "root ::= %except()",
        "root ::= %other",
        "root ::= %except(\"a\") root",
        "root ::= %text(\"a\")",
        "root ::= %text(\"a\") {\"const\":\"bab\"}",
        "root ::= %text(\"a\") {\"type\":\"number\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (err){0};
        assert_null(grammar_rules(str_of(bad[i]), &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
    assert_null(grammar_gbnf(STR("root ::= %json true"), &e)); /* these are not llama.cpp's */
}

/* Free texts that a schema narrows. */
static void ruled_texts(void **state) {
    (void)state;
    err e = {0};
    grammar *g = grammar_rules(
        STR("root ::= \"<\" %text(\"</\") {\"type\":\"string\",\"pattern\":\"^[a-c</]"
            "*$\",\"minLength\":2} \"</>\""),
        &e);
    if (!g) fail_msg("%s", e.msg);
    assert_true(takes(g, "<ab</>"));
    assert_true(takes(g, "<a/<c</>"));
    assert_false(takes(g, "<a</>"));
    assert_false(takes(g, "<ad</>"));
    assert_false(takes(g, "<ab</cc</>"));
    grammar_free(g);
}

static void refused_by_name(void **state) {
    (void)state;
    static const char *const row[][2] = {
        {"{\"uniqueItems\":true}", "uniqueItems (in #)"},
        {"{\"$dynamicRef\":\"#a\"}", "$dynamicRef"},
        {"{\"format\":\"regex\"}", "format"},
        {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", "pattern"},
        {"{\"$ref\":\"http://example.org/s\"}", "$ref"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        err e = {0};
        assert_null(grammar_json_schema(str_of(row[i][0]), 0, &e));
        if (e.code != ERR_USAGE || !strstr(e.msg, row[i][1])) fail_msg("%s: %s", row[i][0], e.msg);
    }
}

static void bombs_are_errors(void **state) {
    (void)state;
    static char deep[60001];
    err e = {0};
    memset(deep, '[', sizeof deep - 1);
    assert_null(grammar_json_schema(str_of(deep), 0, &e));
    memset(deep, '(', sizeof deep - 1);
    assert_null(grammar_regex(str_of(deep), &e));
    assert_null(grammar_regex(STR("(a{1,9999}){9999}"), &e));
    assert_null(grammar_regex(STR("(.*a.{20})*"), &e));
    /* an answer may be deep: it costs no stack, also when the state is copied */
    grammar *g = schema_of("true");
    grammar_state *s = grammar_state_new(g, NULL, &e);
    memset(deep, '[', sizeof deep - 1);
    for (size_t i = 0; i < sizeof deep - 1; i += 100)
        assert_true(grammar_state_accept_bytes(s, (str){deep + i, 100}));
    grammar_state *c = grammar_state_copy(s, &e);
    assert_non_null(c);
    memset(deep, ']', sizeof deep - 1);
    assert_true(grammar_state_accept_bytes(c, str_of(deep)));
    assert_true(grammar_state_may_end(c));
    assert_false(grammar_state_may_end(s));
    grammar_state_free(c), grammar_state_free(s), grammar_free(g);
}

/* Nested objects with alternatives that overlap stay few; see json_frame in match.h. */
static void overlapping_alternatives(void **state) {
    (void)state;
    grammar *g = schema_of("{\"$ref\":\"#/$defs/s\",\"$defs\":{\"s\":{\"type\":\"object\","
                           "\"dependentRequired\":{\"a\":[\"p\"],\"b\":[\"q\"],\"c\":[\"r\"]},"
                           "\"additionalProperties\":{\"anyOf\":[{\"$ref\":\"#/$defs/s\"},"
                           "{\"type\":\"number\"}]}}}}");
    buf b;
    buf_init(&b, 1 << 16);
    for (int i = 0; i < 40; i++) buf_puts(&b, "{\"k\":");
    buf_puts(&b, "{\"a\":1,\"p\":1}");
    for (int i = 0; i < 40; i++) buf_puts(&b, "}");

    char *text = strndup(b.data, b.len);
    assert_true(takes(g, text));
    *strstr(text, "\"p\"") = ' ';
    assert_false(takes(g, text));
    free(text);
    buf_deinit(&b);
    grammar_free(g);
}

/* Lengths are automata too where something else is asked of the same text. */
static void lengths_are_counted(void **state) {
    (void)state;
    static const struct {
        const char *schema, *text;
        bool taken;
    } rows[] = {
        {"{\"propertyNames\":{\"maxLength\":3}}", "{\"foo\":{}}", true},
        {"{\"propertyNames\":{\"maxLength\":3}}", "{\"foo\":{},\"foobar\":{}}", false},
        {"{\"maxLength\":3,\"pattern\":\"^a*$\"}", "\"aaa\"", true},
        {"{\"maxLength\":3,\"pattern\":\"^a*$\"}", "\"aaaa\"", false},
        {"{\"minLength\":2,\"pattern\":\"^a*$\"}", "\"a\"", false},
        {"{\"minLength\":2,\"maxLength\":2,\"format\":\"hostname\"}", "\"ab\"", true},
        {"{\"minLength\":2,\"maxLength\":2,\"format\":\"hostname\"}", "\"abc\"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err e = {0};
        grammar *g = grammar_json_schema(str_of(rows[i].schema), 0, &e);
        assert_non_null(g);
        if (takes(g, rows[i].text) != rows[i].taken)
            fail_msg("%s takes %s: %d", rows[i].schema, rows[i].text, !rows[i].taken);
        grammar_free(g);
    }
}

/* A key comes once, however it is spelled and whichever rule lets it in. */
static void keys_come_once(void **state) {
    (void)state;
    static const char
        some[] = "{\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":2}",
        wide[] = "{\"patternProperties\":{\"^x\":true},\"maxProperties\":3}",
        few[] = "{\"patternProperties\":{\"^[ab\u00e9]$\":true},\"properties\":{\"a\":"
                "{\"type\":\"null\"}},\"additionalProperties\":false}",
        names[] = "{\"propertyNames\":{\"enum\":[\"p\",\"pq\",\"\u00e9\"]},"
                  "\"minProperties\":3}";
    static const struct {
        const char *schema, *text;
        bool taken;
    } rows[] = {
        {"true", "{\"a\":1,\"a\":2}", false},
        {"true", "{\"a\":1,\"b\":{\"a\":1},\"ab\":2,\"\":3}", true},
        {"true", "{\"\":1,\"a\":0,\"\":2}", false},
        {"true", "[{\"a\":{\"b\":1},\"c\":[{\"b\":2,\"b\":2}]}]", false},
        {"true", "{\"\\u00e9\":1,\"\xC3\xA9\":2}", false},
        {"true", "{\"\\ud83d\\ude00\":1,\"b\":0,\"\xF0\x9F\x98\x80\":2}", false},
        {"true", "{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x81\":2}", true},
        {"true", "{\"a/b\":1,\"a\\/b\":2}", false},
        {"true", "{\"\\n\":1,\"\\u000a\":2}", false},
        {some, "{\"a\":1,\"a\":2}", false},
        {some, "{\"a\":1,\"a\":2,\"b\":3}", false},
        {some, "{\"a\":1,\"b\":2,\"c\":3}", true},
        {wide, "{\"x\":1,\"xy\":2,\"x\":3}", false},
        {wide, "{\"y\":1,\"x\":2,\"y\":3}", false},
        {wide, "{\"y\":1,\"x\":2,\"z\":3}", true},
        {wide, "{\"y\":1,\"x\":2,\"z\":3,\"x1\":4}", false},
        {few, "{\"a\":null,\"b\":1,\"\\u00e9\":2}", true},
        {few, "{\"\xC3\xA9\":2,\"b\":1,\"\\u00E9\":1}", false},
        {few, "{\"a\":null,\"b\":1,\"a\":null}", false},
        {names, "{\"p\":1,\"pq\":2,\"\\u00e9\":3}", true},
        {names, "{\"p\":1,\"pq\":2,\"pq\":3}", false},
        {names, "{\"p\":1,\"pq\":2}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        grammar *g = schema_of(rows[i].schema);
        if (takes(g, rows[i].text) != rows[i].taken)
            fail_msg("%s takes %s: %d", rows[i].schema, rows[i].text, !rows[i].taken);
        grammar_free(g);
    }
    err e = {0};
    assert_null(
        grammar_json_schema(STR("{\"type\":\"object\",\"minProperties\":3,\"propertyNames\":"
                                "{\"enum\":[\"p\",\"q\"]}}"),
                            GRAMMAR_ORDERED, &e));
}

/* Where every key is there, nothing leads to one of them: the place before it goes on elsewhere. */
static void keys_run_out(void **state) {
    (void)state;
    static const struct {
        const char *text, *no;
    } rows[] = {
        {"{\"ab\":0,\"", "b"},
        {"{\"ab\":0,\"ac\":0,\"", "a"},
        {"{\"ab\":0,\"ac\":0,\"\xC3\xA9\":0", ","},
        {"{\"\\u00e9\":0,\"", "\xC3"},
        {"{\"\xC3\xA9\":0,\"", "\\"},
        {"{\"ab\":0,\"\\u00e9\":0,\"ac\":0", ","},
    };
    err e = {0};
    grammar *g = grammar_json_schema(
        STR("{\"type\":\"object\",\"properties\":{\"ac\":{\"const\":0}},\"additionalProperties\":"
            "false,\"patternProperties\":{\"^(ab|ac|\u00e9)$\":{\"const\":0}}}"),
        0, &e);
    if (!g) fail_msg("%s", e.msg);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        grammar_state *s = grammar_state_new(g, NULL, &e);
        if (!grammar_state_accept_bytes(s, str_of(rows[i].text))) fail_msg("%s", rows[i].text);
        if (grammar_state_accept_bytes(s, str_of(rows[i].no)))
            fail_msg("%s goes on with %s", rows[i].text, rows[i].no);
        grammar_state_free(s);
    }
    grammar_free(g);
}

/* Thousands of keys: what is remembered of them stays when the state is tidied and copied. */
static void many_keys_are_remembered(void **state) {
    (void)state;
    enum { KEYS = 6000 };
    err e = {0};
    grammar *g = schema_of("true");
    grammar_state *s = grammar_state_new(g, NULL, &e);
    char key[60];
    assert_true(grammar_state_accept_bytes(s, STR("{")));
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "%s\"a key with a number, %d\":0", i ? "," : "", i);
        assert_true(grammar_state_accept_bytes(s, str_of(key)));
    }
    grammar_state *c = grammar_state_copy(s, &e);
    assert_non_null(c);
    for (int i = 0; i < KEYS + 2; i += i < 40 || i > KEYS - 40 ? 1 : 61) {
        grammar_state *at = grammar_state_copy(c, &e);
        snprintf(key, sizeof key, ",\"a key with a number, %d\"", i);
        if (grammar_state_accept_bytes(at, str_of(key)) != (i >= KEYS)) fail_msg("%s", key);
        grammar_state_free(at);
    }
    grammar_state_free(c), grammar_state_free(s), grammar_free(g);
}

/* uniqueItems: equal values, however they are spelled, and nothing that only leads to them. */
static void elements_come_once(void **state) {
    (void)state;
    static const char
        any[] = "{\"items\":{\"type\":[\"string\",\"number\",\"null\",\"boolean\"]},"
                "\"uniqueItems\":true}",
        few[] = "{\"items\":{\"enum\":[\"a\",\"ab\",1,2,12,null]},\"uniqueItems\":true}",
        whole[] = "{\"items\":{\"type\":\"integer\",\"minimum\":-1,\"maximum\":11},"
                  "\"uniqueItems\":true,\"minItems\":2}",
        half[] = "{\"items\":{\"multipleOf\":0.5,\"minimum\":0,\"maximum\":1,\"type\":"
                 "\"number\"},\"uniqueItems\":true}",
        text[] = "{\"items\":{\"type\":\"string\",\"maxLength\":1,\"pattern\":\"^[xy]*$\"},"
                 "\"uniqueItems\":true}";
    static const struct {
        const char *schema, *text;
        bool taken;
    } rows[] = {
        {any, "[]", true},
        {any, "[\"a\",\"b\",1,true,false,null,\"1\",\"null\"]", true},
        {any, "[\"a\",\"a\"]", false},
        {any, "[\"\\u00e9\",\"\xC3\xA9\"]", false},
        {any, "[null,1,null]", false},
        {any, "[true,true]", false},
        {any, "[\"\",\"\"]", false},
        {any, "[1,1.0]", false},
        {any, "[100,1e2]", false},
        {any, "[0.015,15e-3]", false},
        {any, "[0.015,15E-4]", true},
        {any, "[0,-0]", false},
        {any, "[1,-1,10,0.1,1e400,1e401]", true},
        {any, "[10.50,1050e-2]", false},
        {any, "[123456789012345678901234567890,123456789012345678901234567890.00]", false},
        {any, "[123456789012345678901234567890,123456789012345678901234567891]", true},
        {few, "[\"a\",\"ab\",1,12,2,null]", true},
        {few, "[\"a\",\"ab\",1,12,2,null,", false},
        {few, "[1,12,1", false},
        {whole, "[1,11,10,0,-1]", true},
        {whole, "[1,1]", false},
        {whole, "[1]", false},
        {half, "[0,0.5,1]", true},
        {half, "[0,0.5,1.0]", true},
        {half, "[0,0.5,0.50]", false},
        {text, "[\"x\",\"\",\"y\"]", true},
        {text, "[\"x\",\"y\",\"x\"]", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        grammar *g = schema_of(rows[i].schema);
        if (takes(g, rows[i].text) != rows[i].taken)
            fail_msg("%s takes %s: %d", rows[i].schema, rows[i].text, !rows[i].taken);
        grammar_free(g);
    }
    static const char *const stuck[][2] = {
        {few, "[\"a\",\"ab\",\""},      {few, "[1,2,12,1"},   {few, "[1,12,\"ab\",null,\"a\",2,"},
        {whole, "[1,11,10,1"},          {whole, "[-1,0,-"},   {half, "[0,0.5,1,"},
        {text, "[\"x\",\"\",\"y\",\""}, {text, "[\"x\",\"x"},
    };
    for (size_t i = 0; i < sizeof stuck / sizeof *stuck; i++) {
        err e = {0};
        grammar *g = schema_of(stuck[i][0]);
        grammar_state *s = grammar_state_new(g, NULL, &e);
        if (grammar_state_accept_bytes(s, str_of(stuck[i][1]))) fail_msg("%s", stuck[i][1]);
        grammar_state_free(s), grammar_free(g);
    }
    static const char *const no[] = {
        "{\"items\":{\"type\":\"object\"},\"uniqueItems\":true}",
        "{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"string\"},\"uniqueItems\":"
        "true}",
        "{\"contains\":{\"const\":1},\"items\":{\"type\":\"number\"},\"uniqueItems\":true}",
        "{\"not\":{\"items\":{\"type\":\"string\"},\"uniqueItems\":true}}",
    };
    err e = {0};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        assert_null(grammar_json_schema(str_of(no[i]), 0, &e));
        if (!strstr(e.msg, "uniqueItems (in #")) fail_msg("%s", e.msg);
    }
    assert_null(grammar_json_schema(STR("{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},"
                                        "\"uniqueItems\":true,\"minItems\":3}"),
                                    GRAMMAR_ORDERED, &e));
}

/* No place is reached from which nothing goes on. */
static void numbers_can_be_completed(void **state) {
    (void)state;
    static const char *const no[][2] = {
        {"{\"type\":\"number\",\"not\":{\"type\":\"integer\"},\"minimum\":0,\"maximum\":1}",
         "0.0000000000000000"},
        {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1}", "0.0000000000000000"},
        {"{\"type\":\"number\",\"not\":{\"type\":\"integer\"},\"multipleOf\":0.5,\"maximum\":9}",
         "9"},
    };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        err e = {0};
        grammar *g = grammar_json_schema(str_of(no[i][0]), GRAMMAR_ORDERED, &e);
        if (!g) fail_msg("%s: %s", no[i][0], e.msg);
        grammar_state *s = grammar_state_new(g, NULL, &e);
        if (grammar_state_accept_bytes(s, str_of(no[i][1]))) fail_msg("%s", no[i][1]);
        grammar_state_free(s), grammar_free(g);
    }
    err e = {0};
    assert_null(grammar_json_schema(STR("{\"type\":\"number\",\"not\":{\"type\":\"integer\"},"
                                        "\"multipleOf\":4}"),
                                    GRAMMAR_ORDERED, &e));
}

/* `controls`: they take part by their text. */
static void compare_mask(grammar_state *s, const tok *t, uint64_t *bits, bool controls,
                         const char *what, size_t at) {
    err e = {0};
    assert_true(grammar_state_mask(s, bits));
    for (int32_t i = 0; i < tok_n_vocab(t); i++) {
        grammar_state *c = grammar_state_copy(s, &e);
        assert_non_null(c);
        bool in = bits[i / 64] >> (i % 64) & 1;
        tok_attr a = tok_attr_of(t, i);
        bool never = !tok_is_end(t, i) &&
                     ((a == TOK_CONTROL && !controls) || a == TOK_UNKNOWN || a == TOK_UNUSED);
        if (never ? in : in != grammar_state_accept(c, i))
            fail_msg("%s, byte %zu: token %d: mask says %d", what, at, i, in);
        grammar_state_free(c);
    }
}

/* At each byte of a text. */
static void compare_masks(grammar *g, const grammar_vocab *v, const tok *t, uint64_t *bits,
                          bool controls, const char *text) {
    err e = {0};
    grammar_state *s = grammar_state_new(g, v, &e);
    for (size_t i = 0; text[i]; i++) {
        compare_mask(s, t, bits, controls, text, i);
        if (!grammar_state_accept_bytes(s, (str){text + i, 1})) fail_msg("%s: byte %zu", text, i);
    }
    compare_mask(s, t, bits, controls, text, strlen(text));
    grammar_state_free(s), grammar_free(g);
}

static void masks_equal_acceptance(void **state) {
    (void)state;
    static const char *const row[][2] = {
        {"true", "{\"a\":[1,-2.5e3,\"x\\n\",null]}"},
        {"{\"type\":\"object\",\"properties\":{\"ab\":{\"enum\":[\"the\",\"then\"]},"
         "\"abc\":{\"type\":\"integer\",\"minimum\":12,\"maximum\":340}},"
         "\"patternProperties\":{\"^x\":{\"type\":\"boolean\"}},\"additionalProperties\":false}",
         "{\"ab\":\"then\", \"x1\":true,\"abc\":33}"},
        {"{\"type\":\"object\",\"properties\":{\"ab\":{\"maxLength\":3,\"type\":\"string\"}},"
         "\"additionalProperties\":{\"type\":\"array\",\"contains\":{\"const\":1}}}",
         "{\"q\":[0,1],\"ab\":\"\\u00e9\xC3\xA9z\"}"},
        {"true", "{\"the\":1,\"th\":2,\"\\u00e9\":{\"the\":0}, \"th\xC3\xA9\":0}"},
        {"{\"patternProperties\":{\"^(the|then|a|\u00e9.?)$\":true},\"properties\":{\"a\":true},"
         "\"additionalProperties\":false}",
         "{\"the\":1,\"then\":2, \"\xC3\xA9\":0,\"a\":true,\"\\u00e9e\":1}"},
        {"{\"items\":{\"type\":[\"string\",\"null\"]},\"uniqueItems\":true,\"type\":\"array\"}",
         "[\"the\",\"th\",null, \"\\u00e9\",\"the \"]"},
        {"{\"items\":{\"enum\":[\"the\",\"then\",\"there\",12,123,1]},\"uniqueItems\":true,"
         "\"type\":"
         "\"array\"}",
         "[\"then\",12,\"the\",\"there\",1,123]"},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[\"a\",\"b\",\"\"]}}",
         "[\"b\",\"a\",\"\"]"},
        {"{\"items\":{\"type\":\"string\",\"maxLength\":3},\"uniqueItems\":true,\"type\":"
         "\"array\"}",
         "[\"the\",\"th\",\"t\",\"tha\"]"},
        {"{\"items\":{\"type\":\"string\",\"pattern\":\"^[a-t]{0,4}$\"},\"uniqueItems\":true,"
         "\"type\":"
         "\"array\"}",
         "[\"then\",\"the\",\"that\"]"},
        {"{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^[a-e]+$\"},{\"type\":\"string\","
         "\"minLength\":3,\"maxLength\":6},{\"type\":\"string\",\"format\":\"date\"}]}",
         "\"2024-1\""},
    };
    const char *source = getenv("HEARTH_SOURCE");
    char path[600];
    snprintf(path, sizeof path, "%s/models/bard/bard-q8_0.gguf", source ? source : ".");
    if (access(path, R_OK) != 0) skip_because("models/bard/bard-q8_0.gguf is not there");
    err e = {0};
    gguf *f = gguf_open(path, &e);
    tok *t = f ? tok_open(f, &e) : NULL;
    grammar_vocab *v = t ? grammar_vocab_new(t, &e) : NULL;
    if (!v) fail_msg("%s", e.msg);
    gguf_close(f);
    uint64_t *bits = calloc(grammar_mask_words(v), sizeof *bits);
    assert_non_null(bits);
    for (size_t k = 0; k < sizeof row / sizeof *row; k++)
        compare_masks(schema_of(row[k][0]), v, t, bits, false, row[k][1]);
    static const char rules[] =
        "root ::= %except(\"<|im_start|>\" | \"th\") (\"<|im_start|>\" | \"th\" %json "
        "{\"type\":\"array\",\"items\":{\"enum\":[\"<|im_start|>\",\"the\",1]}} [a-z]*)?";
    grammar *ruled = grammar_rules(
        STR("root ::= \"x\" %text(\"</\") {\"pattern\":\"^[a-t <]{2,9}$\","
            "\"type\":\"string\"} \"</x>\" [a-z]*"),
        &e);
    if (!ruled) fail_msg("%s", e.msg);
    compare_masks(ruled, v, t, bits, true, "xthe < en</x>the");
    static const char *const texts[] = {"What? \xC3\xA9 a<|im_st", "O<|im_start|>",
                                        "so th[\"the\", 1, \"<|im_start|>\"]the"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        grammar *g = grammar_rules(str_of(rules), &e);
        if (!g) fail_msg("%s", e.msg);
        compare_masks(g, v, t, bits, true, texts[k]);
    }
    free(bits);
    grammar_vocab_free(v), tok_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regex_agrees_with_python),
        cmocka_unit_test(formats_hold),
        cmocka_unit_test(gbnf_rules),
        cmocka_unit_test(own_rules),
        cmocka_unit_test(ruled_texts),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(bombs_are_errors),
        cmocka_unit_test(overlapping_alternatives),
        cmocka_unit_test(lengths_are_counted),
        cmocka_unit_test(keys_come_once),
        cmocka_unit_test(keys_run_out),
        cmocka_unit_test(many_keys_are_remembered),
        cmocka_unit_test(elements_come_once),
        cmocka_unit_test(numbers_can_be_completed),
        cmocka_unit_test(masks_equal_acceptance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
