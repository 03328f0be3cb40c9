/* Markdown on a terminal: what each construct looks like, that the pieces in which text arrives
 * change nothing, that nothing is taken back, and that no control character gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/buf.h"
#include "cli/md.h"

static void put(void *ud, const char *p, size_t n) {
    buf_append(ud, p, n);
}

/* Fed in pieces of `step` bytes, the first one `first` long. */
static char *rendered(const char *text, size_t n, int width, bool markup, size_t first,
                      size_t step) {
    buf b;
    buf_init(&b, 1 << 24);
    md *m = md_new(width, markup, put, &b);
    assert_non_null(m);
    for (size_t at = 0; at < n;) {
        size_t k = at == 0 ? first : step;
        if (k == 0 || k > n - at) k = n - at;
        md_feed(m, text + at, k);
        at += k;
    }
    md_finish(m);
    md_free(m);
    assert_false(b.failed);
    return buf_take(&b, NULL);
}

static char *whole(const char *text, int width) {
    return rendered(text, strlen(text), width, true, 0, 0);
}

/* Escape sequences written as {1;4} and {} for reset, so that expectations can be read. */
static void expect(const char *text, int width, const char *want) {
    char *got = whole(text, width);
    buf b;
    buf_init(&b, 1 << 20);
    for (const char *p = got; *p; p++) {
        if (strncmp(p, "\033[0", 3) == 0) {
            buf_putc(&b, '{');
            p += 3;
            if (*p == ';') p++;
            for (; *p != 'm'; p++) buf_putc(&b, *p);
            buf_putc(&b, '}');
        } else {
            buf_putc(&b, *p);
        }
    }
    if (strcmp(b.data ? b.data : "", want) != 0)
        fail_msg("%s\nbecomes\n%s\ninstead of\n%s", text, b.data, want);
    buf_deinit(&b);
    free(got);
}

static void test_constructs(void **state) {
    (void)state;
    expect("plain text\n", 80, "plain text\n");
    expect("no newline", 80, "no newline\n");
    expect("", 80, "");
    expect("a\n\nb\n", 80, "a\n\nb\n");
    expect("# Title\n", 80, "{1;4}Title{}\n");
    expect("### Third\nx\n", 80, "{1}Third{}\nx\n");
    expect("#hashtag\n", 80, "#hashtag\n");
    expect("a **bold** b\n", 80, "a {1}bold{} b\n");
    expect("an *italic* and _another_ word\n", 80, "an {3}italic{} and {3}another{} word\n");
    expect("***both***.\n", 80, "{1;3}both{}.\n");
    expect("~~gone~~\n", 80, "{9}gone{}\n");
    expect("2 * 3 * 4 and 5*6*7\n", 80, "2 * 3 * 4 and 5*6*7\n");
    expect("snake_case_name\n", 80, "snake_case_name\n");
    expect("use `x = *y*` here\n", 80, "use {36}x = *y*{} here\n");
    expect("``a ` b``\n", 80, "{36}a ` b{}\n");
    expect("\\*not italic\\*\n", 80, "*not italic*\n");
    expect("C:\\dir\n", 80, "C:\\dir\n");
    expect("- one\n- two\n  - three\n", 80, "• one\n• two\n  • three\n");
    expect("1. one\n12) two\n", 80, "1. one\n12) two\n");
    expect("-5 degrees\n1984 was\n", 80, "-5 degrees\n1984 was\n");
    expect("> said\n> > deep\n", 80, "{2}│ {}said\n{2}│ │ {}deep\n");
    expect("> - in a quote\n", 80, "{2}│ {}• in a quote\n");
    expect("```c\nint x;\n  y **z**\n```\nafter\n", 80, "{36}int x;{}\n{36}  y **z**{}\nafter\n");
    expect("~~~\n```\n~~~\n", 80, "{36}```{}\n");
    expect("```\nopen", 80, "{36}open{}\n");
    expect("[Hearth](https://x.org/a) is\n", 80, "{4}Hearth{} {2}(https://x.org/a){} is\n");
    expect("[1] and [a] (b)\n", 80, "[1] and [a] (b)\n");
    expect("an array[3](4\n", 80, "an array[3](4\n");
    expect("wow! great![x\n", 80, "wow! great![x\n");
}

static void test_rules_and_tables(void **state) {
    (void)state;
    expect("---\nx\n", 20, "{2}────────────────────{}\nx\n");
    expect("| a | b |\n|---|---|\n| **1** | two |\n\nend\n", 80,
           "{1}a{}{2} │ {}{1}b{}\n{2}──┼────{}\n{1}1{}{2} │ {}two\n\nend\n");
    expect("|x| is no table\n", 80, "|x| is no table\n");
    expect("| name | what |\n|---|---|\n| one | a text that is long |\n", 20,
           "{1}name{}: one\n{1}what{}: a text that is\n  long\n\n");
}

static void test_wrapping(void **state) {
    (void)state;
    expect("one two three four five six seven\n", 20, "one two three four\nfive six seven\n");
    expect("- one two three four five\n", 20, "• one two three four\n  five\n");
    expect("> one two three four five six\n", 20, "{2}│ {}one two three four\n{2}│ {}five six\n");
    expect("aaaaaaaaaaaaaaaaaaaaaaaaa b\n", 20, "aaaaaaaaaaaaaaaaaaaa\naaaaa b\n");
    expect("**one two three four five**\n", 20, "{1}one two three four{}\n{1}five{}\n");
    /* wide characters take two columns and may break anywhere */
    expect("日本語日本語日本語日本語\n", 20, "日本語日本語日本語日\n本語\n");
}

static const char sample[] =
    "# A *title* with `code`\n\nSome **bold, _nested_** text; a [link](http://e.org/x_y) and "
    "![p](q.png)!\n"
    "Grüße, 世界 🌍 — *em*phasis, 2*3, a_b_c, ~~no~~ ~x~ ***all***\n\n> quote **one\n> two** `x\n\n"
    "* item\n  1. sub `code *x*`\n+ plus\n-minus\n\n```python\ndef f(x):\n\treturn "
    "`x`\n``\n````\n~~~\nopen\n~~~\n"
    "| h1 | **h2** |\n|:--|--:|\n| `a|b` | c\\|d |\n| only |\n\n---\n***\n_ _ _\n|not a table\n| x "
    "|\n| y |\nend [a](b c) [[x](y)\n"
    "trailing \\";

/* Every cut into two pieces and every piece size give the same bytes. */
static void test_pieces_change_nothing(void **state) {
    (void)state;
    static const int widths[] = {20, 41, 80};
    for (size_t w = 0; w < 3; w++) {
        size_t n = strlen(sample);
        char *want = rendered(sample, n, widths[w], true, 0, 0);
        for (size_t cut = 1; cut < n; cut++) {
            char *got = rendered(sample, n, widths[w], true, cut, 0);
            assert_string_equal(got, want);
            free(got);
        }
        for (size_t step = 1; step < 9; step++) {
            char *got = rendered(sample, n, widths[w], true, step, step);
            assert_string_equal(got, want);
            free(got);
        }
        free(want);
    }
}

/* Only complete, known sequences; no line is wider than the terminal (code and tables excepted). */
static void check_terminal_safe(const char *out) {
    for (const char *p = out; *p;) {
        if (*p == '\033') {
            assert_int_equal(p[1], '[');
            p += 2;
            p += strspn(p, "0123456789;");
            assert_int_equal(*p++, 'm');
            continue;
        }
        int n = utf8_len(p, strlen(p));
        assert_true(n > 0);
        unsigned char c = (unsigned char)*p;
        assert_true(c >= 32 || c == '\n');
        assert_true(c != 127 && !(n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0));
        p += n;
    }
}

static void test_any_bytes(void **state) {
    (void)state;
    static const char pieces[][12] = {
        "*",  "**", "_",   "`",     "```", "\n",   "\n\n", " ",    "#",     "- ",      "> ", "|",
        "a",  "[",  "](",  ")",     "\\",  "\033", "\x07", "\x9b", "\xc2",  "\x9b[2J", "世", "!",
        "~~", "1.", "---", "word ", "\t",  "\r",   "\xff", "x_y",  "|-|\n", "\xf0\x9f"};
    uint32_t seed = 1616;
    for (int round = 0; round < 4000; round++) {
        buf b;
        buf_init(&b, 1 << 16);
        int n = 1 + round % 40;
        for (int i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            buf_puts(&b, pieces[(seed >> 16) % (sizeof pieces / sizeof *pieces)]);
        }
        bool markup = round % 4 != 0;
        char *want = rendered(b.data, b.len, 20 + round % 30, markup, 0, 0);
        char *got = rendered(b.data, b.len, 20 + round % 30, markup, 1, 1);
        check_terminal_safe(want);
        assert_string_equal(got, want);
        free(want);
        free(got);
        buf_deinit(&b);
    }
}

/* Whatever is written as plain words comes out as the same words. */
static void test_words_survive(void **state) {
    (void)state;
    const char *text =
        "When in disgrace with fortune and men's eyes,\nI all alone beweep my outcast state,\n";
    for (int width = 20; width < 60; width++) {
        char *got = whole(text, width);
        const char *p = got, *q = text;
        while (*p || *q) {
            while (*p == ' ' || *p == '\n') p++;
            while (*q == ' ' || *q == '\n') q++;
            assert_int_equal(*p, *q);
            if (*p) p++, q++;
        }
        free(got);
    }
    char *raw = rendered("a **b** `c`\n", 12, 80, false, 0, 0);
    assert_string_equal(raw, "a **b** `c`\n");
    free(raw);
}

/* Lines whose beginning stays open for ever, words and tables without an end: nothing is lost. */
static void test_nothing_is_lost(void **state) {
    (void)state;
    static const char *const units[] = {"-",        "`", "#", ">",  "> ",    "*", "a",
                                        "\xcc\x81", "~", "_", "|x", "|x|\n", "[", "1"};
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        buf b;
        buf_init(&b, 1 << 22);
        for (int i = 0; i < 100000; i++) buf_puts(&b, units[u]);
        buf_puts(&b, "END");
        char *got = rendered(b.data, b.len, 80, true, 0, 0);
        assert_non_null(strstr(got, "END"));
        if (strchr(units[u], 'x') || *units[u] == 'a') {
            size_t n = 0;
            for (const char *p = got; *p; p++) n += *p == 'x' || *p == 'a';
            assert_true(n >= 100000);
        }
        free(got);
        buf_deinit(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constructs),      cmocka_unit_test(test_rules_and_tables),
        cmocka_unit_test(test_wrapping),        cmocka_unit_test(test_pieces_change_nothing),
        cmocka_unit_test(test_any_bytes),       cmocka_unit_test(test_words_survive),
        cmocka_unit_test(test_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
