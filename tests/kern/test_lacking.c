/* A weight type that a variant has no code for: ref's bits, and one warning for the process that
 * names the variant and the type, however often and for however many tokens it is met.
 */
#include "kern_test.h"
#include "lacking.h"

#include "support/cmocka_all.h"

#include <unistd.h>

static void product(const kern *k, uint32_t type, int n) {
    trng g = {5};
    const kern_format *f = kern_format_of(type);
    const kern *ref = kern_named("ref");
    uint8_t *src = test_weights(type, 64, 512, &g), *panel = test_panels(f, src, 64, 512);
    kern_act a = test_act(ref, n, 512, &g);
    float *want = test_alloc((size_t)n * 64 * 4), *got = test_alloc((size_t)n * 64 * 4);
    ref->matmul(f, panel, &a, NULL, 0, n, want);
    k->matmul(f, panel, &a, NULL, 0, n, got);
    assert_memory_equal(want, got, (size_t)n * 64 * 4);
    free(src), free(panel), free(want), free(got);
    test_act_free(&a);
}

/* What the products of these types, each with 1, 5 and 20 tokens, write to stderr. */
static void said_of(const kern *k, const uint32_t *types, int n_types, char *said, size_t size) {
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int was = dup(2);
    assert_true(was >= 0 && dup2(fileno(file), 2) == 2);
    for (int t = 0; t < n_types; t++)
        for (int n = 1; n <= 20; n = n == 1 ? 5 : n + 15) product(k, types[t], n);
    dup2(was, 2), close(was);
    rewind(file);
    said[fread(said, 1, size - 1, file)] = 0;
    fclose(file);
}

static int lines(const char *s) {
    int n = 0;
    for (; *s; s++) n += *s == '\n';
    return n;
}

static void test_one_warning(void **state) {
    (void)state;
    const kern *k = lacking_kern();
    if (!k) skip_because("no vector instructions here for a variant with holes");
    static const uint32_t has[] = {QUANT_Q8_0, QUANT_F32, QUANT_F16},
                          lacks[] = {QUANT_Q4_0, QUANT_Q6_K, QUANT_Q4_0};
    char said[1024];
    said_of(k, has, 3, said, sizeof said);
    assert_string_equal(said, "");
    said_of(k, lacks, 3, said, sizeof said);
    assert_int_equal(lines(said), 2);
    const char *second = strchr(said, '\n') + 1;
    assert_true(strstr(said, "lacking") && strstr(said, "Q4_0") && strstr(said, "Q4_0") < second);
    assert_true(strstr(second, "lacking") && strstr(second, "Q6_K"));
    said_of(k, lacks, 3, said, sizeof said);
    assert_string_equal(said, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_warning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
