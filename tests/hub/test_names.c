/* Names and digests: what they mean, how they are shown, and that a hostile one is refused. */
#include "hub/digest.h"
#include "hub/names.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "support/cmocka_all.h"

static void meanings(void **state) {
    (void)state;
    static const struct {
        const char *text;
        hub_kind kind;
        const char *path, *shown;
    } rows[] = {
        {"qwen3", HUB_NAME, "registry.ollama.ai/library/qwen3/latest", "qwen3:latest"},
        {"qwen3:8b-q4_K_M", HUB_NAME, "registry.ollama.ai/library/qwen3/8b-q4_K_M",
         "qwen3:8b-q4_K_M"},
        {"me/Mine", HUB_NAME, "registry.ollama.ai/me/Mine/latest", "me/Mine:latest"},
        {"hf.co/u/R-GGUF:Q4_K_M", HUB_NAME, "hf.co/u/R-GGUF/Q4_K_M", "hf.co/u/R-GGUF:Q4_K_M"},
        {"https://huggingface.co/u/R", HUB_NAME, "hf.co/u/R/latest", "hf.co/u/R:latest"},
        {"HuggingFace.co/u/R:x", HUB_NAME, "hf.co/u/R/x", "hf.co/u/R:x"},
        {"http://localhost:5000/a/b:c", HUB_NAME, "localhost:5000/a/b/c", "localhost:5000/a/b:c"},
        {"localhost:5000/a/b", HUB_NAME, "localhost:5000/a/b/latest", "localhost:5000/a/b:latest"},
        {"registry.ollama.ai/library/x:y", HUB_NAME, "registry.ollama.ai/library/x/y", "x:y"},
        {"library/bard", HUB_NAME, "registry.ollama.ai/library/bard/latest", "library/bard:latest"},
        {"https://registry.ollama.ai/library/bard:latest", HUB_NAME,
         "registry.ollama.ai/library/bard/latest", "library/bard:latest"},
        {"bard:x", HUB_NAME, "registry.ollama.ai/library/bard/x", "bard:x"},
        {"bard", HUB_BUNDLED, NULL, "bard"},
        {"bard:latest", HUB_BUNDLED, NULL, "bard"},
        {"./x", HUB_PATH, NULL, "./x"},
        {"/x", HUB_PATH, NULL, "/x"},
        {"a/b.gguf", HUB_PATH, NULL, "a/b.gguf"},
        {"https://h/a.gguf?download=true", HUB_URL, NULL, "https://h/a.gguf?download=true"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hub_name n;
        err e = {0};
        char dst[HUB_NAME_BYTES];
        if (!hub_name_parse(&n, str_of(rows[i].text), &e)) fail_msg("%s", e.msg);
        assert_int_equal(n.kind, rows[i].kind);
        assert_string_equal(hub_name_show(&n, dst), rows[i].shown);
        assert_int_equal(hub_name_parse_strict(&n, str_of(rows[i].text), &e),
                         rows[i].kind == HUB_NAME);
        if (rows[i].path) assert_string_equal(hub_name_path(&n, dst), rows[i].path);
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const rows[] = {"",
                                       ":",
                                       "a:",
                                       ":b",
                                       "a:b:c",
                                       "a//b",
                                       "a/b/c/d",
                                       "-a",
                                       ".a",
                                       "a/.b",
                                       "../a:b/..",
                                       "a/..",
                                       "a/../b",
                                       "a\\b",
                                       "a b",
                                       "a%2fb",
                                       "a@sha256:0",
                                       "h:x/a/b",
                                       "h:/a/b",
                                       "a/b/",
                                       "\xc3\xa4",
                                       "a/b:../c",
                                       "a:..",
                                       "a:.",
                                       "hf.co/user",
                                       "a/b:c d",
                                       "a\nb",
                                       "..\\a",
                                       "C:\\x",
                                       "a/b:/etc",
                                       "https://",
                                       "http://u@h/a",
                                       "h/a/b?c",
                                       "h/a/b#c",
                                       "~root/x",
                                       "a;b",
                                       "$(x)/a",
                                       "a/b:-c",
                                       "nul\x01",
                                       "a/-b",
                                       "::1/a/b",
                                       "[::1]/a/b",
                                       "http://bard",
                                       "https://bard:latest",
                                       "http://h/m",
                                       "https://h:5000",
                                       "https://h/a/b/c",
                                       "https://h/a/b?x=1",
                                       "https://example.net/model.bin"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hub_name n;
        err e = {0};
        if (hub_name_parse_strict(&n, str_of(rows[i]), &e)) fail_msg("taken: %s", rows[i]);
        assert_int_equal(e.code, ERR_USAGE);
    }
    hub_name n;
    assert_false(hub_name_parse(&n, (str){"a\0b", 3}, NULL));
    char *big = malloc(4096);
    memset(big, 'a', 4096);
    assert_false(hub_name_parse(&n, (str){big, 4096}, NULL));
    assert_false(hub_name_parse(&n, (str){big, HUB_PART_MAX + 1}, NULL));
    assert_true(hub_name_parse(&n, (str){big, HUB_PART_MAX}, NULL));
    free(big);
}

/* Whatever is taken as a name gives a path of four parts that stay where they are. */
static void paths_stay_inside(void **state) {
    (void)state;
    static const char *const bits[] = {
        "..", ".",      "/",      ":",       "a",        "B9",           "\\", "%2e", "-",
        "_",  "@",      "hf.co",  "http://", "https://", "\x7f",         " ",  "~",   "?",
        "#",  "latest", "sha256", "[",       "]",        "\xe2\x80\xae", "C:"};
    int taken = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        char text[200] = "", path[HUB_NAME_BYTES];
        size_t k = 0;
        uint64_t n_bits = 1 + rng_u64(7, 1, i) % 8;
        for (uint64_t j = 0; j < n_bits; j++) {
            const char *b = bits[rng_u64(7, 2 + j, i) % (sizeof bits / sizeof *bits)];
            k += (size_t)snprintf(text + k, sizeof text - k, "%s", b);
        }
        hub_name n;
        if (!hub_name_parse_strict(&n, str_of(text), NULL)) continue;
        taken++;
        hub_name_path(&n, path);
        int slashes = 0;
        for (const char *p = path; *p; p++) {
            slashes += *p == '/';
            if (*p == '/' || p == path) assert_true(p[*p == '/'] != '.' && p[*p == '/'] != 0);
        }
        assert_int_equal(slashes, 3);
        hub_name again;
        char shown[HUB_NAME_BYTES];
        assert_true(hub_name_parse_strict(&again, str_of(hub_name_show(&n, shown)), NULL));
        assert_true(hub_name_eq(&n, &again));
    }
    assert_true(taken > 100);
}

static void digests(void **state) {
    (void)state;
    hub_digest d;
    char text[HUB_DIGEST_BYTES], path[HUB_BLOB_PATH_BYTES];
    static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    hub_digest_of(&d, "abc", 3);
    assert_string_equal(d.hex, hex);
    snprintf(text, sizeof text, "sha256-%s", hex);
    assert_true(hub_digest_parse(&d, str_of(text), NULL));
    assert_string_equal(hub_digest_text(&d, text) + 7, hex);
    assert_string_equal(hub_digest_path(&d, path) + 13, hex);
    hub_hash *h = hub_hash_new(NULL), *half;
    hub_hash_add(h, "ab", 2);
    half = hub_hash_copy(h, NULL);
    hub_hash_add(h, "x", 1);
    hub_hash_abort(h);
    hub_hash_add(half, "c", 1);
    hub_hash_end(half, &d);
    assert_string_equal(d.hex, hex);
    static const char *const bad[] = {
        "",
        "sha256:",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015add",
        "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:../../../../../../../../../../../../../../../../../../../etc/psswd",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(hub_digest_parse(&d, str_of(bad[i]), NULL));
}

static void quantisations(void **state) {
    (void)state;
    static const struct {
        const char *file, *quant;
    } rows[] = {{"Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"},
                {"x.IQ2_XXS.gguf", "IQ2_XXS"},
                {"m-BF16-00001-of-00003.gguf", "BF16"},
                {"m-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
                {"smollm2-135m-instruct-q8_0.gguf", "q8_0"},
                {"mxfp4-moe-MXFP4.gguf", "MXFP4"},
                {"readme.gguf", ""},
                {"Q8-is-it.gguf", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str q = hub_quant_of(str_of(rows[i].file));
        if (!str_eq(q, str_of(rows[i].quant))) fail_msg("%s: %.*s", rows[i].file, STR_ARG(q));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(meanings), cmocka_unit_test(refused),
                                       cmocka_unit_test(paths_stay_inside),
                                       cmocka_unit_test(digests), cmocka_unit_test(quantisations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
