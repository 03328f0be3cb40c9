/* Files written in pieces: whole and under their name after commit, and never before. */
#include "base/file.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static file_new *begin(const char *path) {
    err e = {0};
    file_new *f = file_new_open(path, 0640, &e);
    if (!f) fail_msg("%s", e.msg);
    return f;
}

/* Pieces smaller than, as large as, and larger than what is gathered before a write. */
static void test_pieces(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 100, 65535, 65536, 65537, 200000};
    static uint8_t data[300001];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 131 >> 3);
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        const char *path = scratch_path("pieces");
        size_t total = pieces[p] == 1 ? 70000 : sizeof data;
        file_new *f = begin(path);
        err e = {0};
        for (size_t at = 0; at < total; at += pieces[p]) {
            size_t n = total - at < pieces[p] ? total - at : pieces[p];
            assert_true(file_new_write(f, data + at, n, &e));
        }
        assert_int_not_equal(access(path, F_OK), 0);
        assert_true(file_new_commit(f, &e));
        buf b;
        buf_init(&b, 1 << 20);
        assert_true(file_read(&b, path, &e));
        assert_int_equal(b.len, total);
        assert_memory_equal(b.data, data, total);
        buf_deinit(&b);
        assert_int_equal(scratch_count(".hearth-tmp"), 0);
        unlink(path);
    }
}

static void test_flush_shows_what_is_written(void **state) {
    (void)state;
    err e = {0};
    buf b;
    file_new *f = begin(scratch_path("flushed"));
    buf_init(&b, 100);
    assert_true(file_new_write(f, "abc", 3, &e) && file_new_flush(f, &e));
    assert_true(file_read(&b, file_new_path(f), &e));
    assert_string_equal(b.data, "abc");
    assert_true(file_new_write(f, "def", 3, &e) && file_new_commit(f, &e));
    buf_clear(&b);
    assert_true(file_read(&b, scratch_path("flushed"), &e));
    assert_string_equal(b.data, "abcdef");
    buf_deinit(&b);
}

static void test_abort_leaves_the_old_one(void **state) {
    (void)state;
    err e = {0};
    struct stat st;
    const char *path = scratch_write("kept", "old", 3);
    assert_int_equal(chmod(path, 0600), 0);
    file_new *f = begin(path);
    assert_true(file_new_write(f, "newer", 5, &e));
    file_new_abort(f);
    file_new_abort(NULL);
    assert_true(stat(path, &st) == 0 && st.st_size == 3);
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
    f = begin(path);
    assert_true(file_new_write(f, "newer", 5, &e) && file_new_commit(f, &e));
    assert_true(stat(path, &st) == 0 && st.st_size == 5);
    assert_int_equal(st.st_mode & 0777, 0600); /* the mode of the one that it replaced */
}

static void test_failures(void **state) {
    (void)state;
    err e = {0};
    assert_null(file_new_open(scratch_path("absent/file"), 0600, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    /* The folder's place is taken at the end: the commit fails and cleans up. */
    const char *path = scratch_path("taken");
    file_new *f = begin(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(file_new_commit(f, &e));
    assert_non_null(strstr(e.msg, "taken"));
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_flush_shows_what_is_written),
        cmocka_unit_test(test_abort_leaves_the_old_one),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
