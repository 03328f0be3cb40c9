/* Small vocabularies and what the reference libraries (sentencepiece, Hugging Face's tokenizers)
 * make of a list of awkward texts: the words of every pre-tokenizer, and the ids. tests/reference/
 * make_tok_vectors.py wrote the files of tests/tok/data. */
#include "support/cmocka_all.h"
#include "tok/pre.h"
#include "vocab_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *load(const char *name) {
    char file[64];
    json_error_t why;
    snprintf(file, sizeof file, "%s.json", name);
    json_t *all = json_load_file(data_path(file), JSON_ALLOW_NUL, &why);
    if (!all) fail_msg("%s: %s", file, why.text);
    return all;
}

static str text_of(const json_t *j) {
    return (str){json_string_value(j), json_string_length(j)};
}

/* ---- pre-tokenizers ---- */

typedef struct lengths {
    size_t n, length[512];
    const char *next; /* where the next word must begin */
} lengths;

static bool on_word(void *ud, str word) {
    lengths *l = ud;
    assert_ptr_equal(word.p, l->next);
    assert_true(l->n < 512);
    l->length[l->n++] = word.n;
    l->next = word.p + word.n;
    return true;
}

static bool words_hold(const char *name, pre_run *run, str text, const json_t *want) {
    lengths got = {.next = text.p};
    err e = {0};
    if (!pre_split(run, text, on_word, &got, &e)) fail_msg("%s", e.msg);
    assert_ptr_equal(got.next, text.p + text.n); /* every byte is in a word */
    bool same = json_array_size(want) == got.n;
    for (size_t i = 0; same && i < got.n; i++)
        same = (size_t)json_integer_value(json_array_get(want, i)) == got.length[i];
    if (same) return true;
    char shown[200];
    print_message("%s '%s'\n  want", name, str_printable(text, shown, sizeof shown));
    for (size_t i = 0; i < json_array_size(want); i++)
        print_message(" %lld", (long long)json_integer_value(json_array_get(want, i)));
    print_message("\n  got ");
    for (size_t i = 0; i < got.n; i++) print_message(" %zu", got.length[i]);
    print_message("\n");
    return false;
}

static void test_words(void **state) {
    (void)state;
    json_t *all = load("pre"), *texts = json_object_get(all, "texts"), *lists;
    const char *name;
    int failed = 0, done = 0;
    json_object_foreach(json_object_get(all, "words"), name, lists) {
        err e = {0};
        pre_traits traits;
        pre *p = pre_open(str_of(name), &traits, &e);
        pre_run *run = p ? pre_run_new(p, &e) : NULL;
        if (!run) fail_msg("%s", e.msg);
        for (size_t i = 0; i < json_array_size(texts); i++, done++)
            if (!words_hold(name, run, text_of(json_array_get(texts, i)), json_array_get(lists, i)))
                failed++;
        pre_run_free(run);
        pre_close(p);
    }
    print_message("%d splits, %d failed\n", done, failed);
    json_decref(all);
    assert_int_equal(failed, 0);
    assert_true(done > 1000);
}

/* Every name in the table compiles and gives back all bytes, also broken ones. */
static void test_every_name(void **state) {
    (void)state;
    str text = STR("a \xff\xfe '\xc3x\xe2\x82 12\x80\r\n\xe1\xa0\x8e \xf0\x9f\x98\x80\n\n  \x00 z");
    for (size_t i = 0; pre_name_at(i); i++) {
        err e = {0};
        pre_traits traits;
        pre *p = pre_open(str_of(pre_name_at(i)), &traits, &e);
        pre_run *run = p ? pre_run_new(p, &e) : NULL;
        if (!run) fail_msg("%s: %s", pre_name_at(i), e.msg);
        lengths got = {.next = text.p};
        assert_true(pre_split(run, text, on_word, &got, &e));
        assert_ptr_equal(got.next, text.p + text.n);
        pre_run_free(run);
        pre_close(p);
    }
}

static void test_unknown_name(void **state) {
    (void)state;
    err e = {0};
    pre_traits traits;
    assert_null(pre_open(STR("no-such-thing"), &traits, &e));
    assert_int_equal(e.code, ERR_FAILED);
    assert_non_null(strstr(e.msg, "no-such-thing"));
    assert_non_null(strstr(e.msg, "gpt-2"));
}

/* ---- ids ---- */

static bool ids_hold(const char *name, const tok *t, const json_t *one) {
    str text = text_of(json_array_get(one, 0));
    const json_t *want = json_array_get(one, 1);
    tok_ids got = ids_of(t, text, 0);
    bool same = json_array_size(want) == got.n;
    for (size_t i = 0; same && i < got.n; i++)
        same = json_integer_value(json_array_get(want, i)) == got.id[i];
    if (!same) {
        char shown[200];
        print_message("%s '%s'\n  want", name, str_printable(text, shown, sizeof shown));
        for (size_t i = 0; i < json_array_size(want); i++)
            print_message(" %lld", (long long)json_integer_value(json_array_get(want, i)));
        print_message("\n  got ");
        for (size_t i = 0; i < got.n; i++) print_message(" %d", got.id[i]);
        print_message("\n");
    }
    tok_ids_deinit(&got);
    return same;
}

static void test_ids(void **state) {
    (void)state;
    static const char *const names[] = {"bpe", "bpe-merged", "gemma4", "bert",
                                        "spm", "spm-plain",  "t5",     "t5-bytes"};
    int failed = 0, done = 0;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char file[64];
        snprintf(file, sizeof file, "%s.gguf", names[k]);
        tok *t = tok_from_file(data_path(file));
        json_t *all = load(names[k]), *cases = json_object_get(all, "cases");
        for (size_t i = 0; i < json_array_size(cases); i++, done++)
            if (!ids_hold(names[k], t, json_array_get(cases, i))) failed++;
        json_decref(all);
        tok_close(t);
    }
    print_message("%d cases, %d failed\n", done, failed);
    assert_int_equal(failed, 0);
    assert_true(done > 600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_every_name),
        cmocka_unit_test(test_unknown_name), cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
