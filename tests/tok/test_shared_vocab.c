/* Every case of the shared vocabularies: the short ones of NAME.inp against NAME.out, and the
 * counts and hashes of the long texts. Special tokens are not parsed and nothing is added. */
#include "support/cmocka_all.h"
#include "vocab_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const NAMES[] = {"bert-bge",  "deepseek-llm", "falcon", "gpt-2",    "llama-bpe",
                                    "llama-spm", "phi-3",        "qwen2",  "starcoder"};
enum { N_NAMES = sizeof NAMES / sizeof *NAMES };
#define SEPARATOR "\n__ggml_vocab_test__\n"

static tok *open_shared(const char *name) {
    char file[128];
    snprintf(file, sizeof file, "vocab/ggml-vocab-%s.gguf", name);
    const char *path = shared_path(file);
    return path ? tok_from_file(path) : NULL;
}

static void print_ids(const char *what, const int32_t *id, size_t n) {
    print_message("  %s:", what);
    for (size_t i = 0; i < n && i < 60; i++) print_message(" %d", id[i]);
    print_message("\n");
}

/* One case against one line of numbers; false when they differ. */
static bool case_holds(const char *name, const tok *t, size_t number, str text, char *line) {
    tok_ids got = ids_of(t, text, 0);
    int32_t want[1024];
    size_t n = 0;
    for (char *p = line, *end; n < 1024; p = end) {
        long v = strtol(p, &end, 10);
        if (end == p) break;
        want[n++] = (int32_t)v;
    }
    bool same = n == got.n && (n == 0 || memcmp(want, got.id, n * sizeof *want) == 0);
    if (!same) {
        char shown[256];
        print_message("%s case %zu '%s'\n", name, number, str_printable(text, shown, sizeof shown));
        print_ids("want", want, n);
        print_ids("got ", got.id, got.n);
    }
    tok_ids_deinit(&got);
    return same;
}

static size_t cases_run(const char *name, const tok *t, size_t *failed) {
    char file[128];
    size_t n, done = 0;
    snprintf(file, sizeof file, "vocab/ggml-vocab-%s.gguf.inp", name);
    char *inputs = file_bytes(shared_path(file), &n);
    snprintf(file, sizeof file, "vocab/ggml-vocab-%s.gguf.out", name);
    char *outputs = file_bytes(shared_path(file), NULL);
    str all = {inputs, n};
    char *line = outputs;
    for (size_t at = 0, end; at < n; at = end + sizeof SEPARATOR - 1) {
        end = str_find(all, STR(SEPARATOR), at);
        if (end == (size_t)-1) break;
        char *next = strchr(line, '\n');
        assert_non_null(next);
        *next = 0;
        if (!case_holds(name, t, done, (str){inputs + at, end - at}, line)) (*failed)++;
        line = next + 1;
        done++;
    }
    free(inputs);
    free(outputs);
    return done;
}

static void test_cases(void **state) {
    (void)state;
    size_t done = 0, failed = 0;
    if (!shared_path("vocab")) skip_because("46 cases of each of 9 vocabularies: no shared folder");
    for (int i = 0; i < N_NAMES; i++) {
        tok *t = open_shared(NAMES[i]);
        assert_non_null(t);
        done += cases_run(NAMES[i], t, &failed);
        tok_close(t);
    }
    print_message("%zu cases, %zu failed\n", done, failed);
    assert_int_equal(failed, 0);
    assert_int_equal(done, 46 * N_NAMES);
}

static bool text_holds(const char *name, const tok *t, const char *text, const json_t *want) {
    char file[128], hex[65];
    size_t n;
    snprintf(file, sizeof file, "%s/%s", strcmp(text, "mixed.txt") ? "shakespeare" : "vocab", text);
    char *bytes = file_bytes(shared_path(file), &n);
    tok_ids got = ids_of(t, (str){bytes, n}, 0);
    ids_sha256(&got, hex);
    json_int_t count = json_integer_value(json_object_get(want, "count"));
    const char *hash = json_string_value(json_object_get(want, "sha256_of_ids_joined_by_space"));
    bool same = (json_int_t)got.n == count && hash && !strcmp(hex, hash);
    if (!same) {
        print_message("%s %s: %zu ids, want %lld\n", name, text, got.n, (long long)count);
        print_ids("got first", got.id, got.n < 24 ? got.n : 24);
        if (got.n > 24) print_ids("got last", got.id + got.n - 24, 24);
    }
    tok_ids_deinit(&got);
    free(bytes);
    return same;
}

static void test_texts(void **state) {
    (void)state;
    static const char *const texts[] = {"hamlet.txt", "sonnets.txt", "mixed.txt"};
    const char *path = shared_path("vocab/texts.expected.json");
    if (!path) skip_because("3 texts with each of 9 vocabularies: no shared folder");
    json_t *all = json_load_file(path, 0, NULL);
    assert_non_null(all);
    int failed = 0;
    for (int i = 0; i < N_NAMES; i++) {
        tok *t = open_shared(NAMES[i]);
        assert_non_null(t);
        for (int k = 0; k < 3; k++) {
            json_t *want = json_object_get(json_object_get(all, NAMES[i]), texts[k]);
            assert_non_null(want);
            if (!text_holds(NAMES[i], t, texts[k], want)) failed++;
        }
        tok_close(t);
    }
    json_decref(all);
    assert_int_equal(failed, 0);
}

static void test_sha256(void **state) {
    (void)state;
    char hex[65];
    ids_sha256(&(tok_ids){0}, hex); /* of nothing: a published value */
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha256), cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
