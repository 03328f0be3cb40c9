/* A good file, broken in every way: each opens or says what is wrong and where, and nothing else
 * happens. Run under address and undefined-behaviour sanitizers by make asan.
 */
#include "bytes.h"
#include "damage.h"

#include "support/cmocka_all.h"

typedef struct tally {
    size_t opened, refused;
    uint64_t sum;
} tally;

static void load(const uint8_t *file, size_t n, void *ud) {
    tally *t = ud;
    err e = {0};
    gguf *g = gguf_open_memory(file, n, "broken.gguf", &e);
    if (g) {
        t->opened++;
        t->sum += survivor_walk(g);
        gguf_close(g);
        return;
    }
    t->refused++;
    if (e.code != ERR_DAMAGED && !(e.code == ERR_FAILED && strstr(e.msg, "does not read")))
        fail_msg("code %d: %s", e.code, e.msg);
    if (strncmp(e.msg, "broken.gguf: byte ", 18) != 0 || strchr(e.msg, '\n'))
        fail_msg("an odd message: %s", e.msg);
}

static void test_damage(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    bytes_everything(&b, &header_n);
    assert_false(b.failed);
    assert_true(header_n < 4096);

    tally good = {0}, broken = {0};
    load((const uint8_t *)b.data, b.len, &good);
    assert_int_equal(good.opened, 1);
    size_t n = damage_for_each((const uint8_t *)b.data, b.len, header_n, load, &broken);
    print_message("%zu broken files of a header of %zu bytes: %zu refused, %zu opened\n", n,
                  header_n, broken.refused, broken.opened);
    assert_int_equal(n, broken.refused + broken.opened);
    assert_true(n > 9 * header_n);
    assert_true(broken.refused > header_n && broken.opened > header_n);
    buf_deinit(&b);
}

/* A cut inside the data, as after a broken download, is told by the tensor that lacks bytes. */
static void test_cut_in_data(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    bytes_everything(&b, &header_n);
    for (size_t cut = b.len - 64; cut > header_n + 64; cut -= 97) {
        err e = {0};
        uint8_t *part = malloc(cut);
        memcpy(part, b.data, cut);
        assert_null(gguf_open_memory(part, cut, "broken.gguf", &e));
        assert_int_equal(e.code, ERR_DAMAGED);
        assert_non_null(strstr(e.msg, "past the end of the file"));
        free(part);
    }
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_cut_in_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
