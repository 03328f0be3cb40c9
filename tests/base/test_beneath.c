/* Files beneath a folder: nothing outside it is read, written or removed, whatever paths say. */
#include "base/beneath.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "support/cmocka_all.h"
#include "support/scratch.h"

static int root_of(void) {
    err e = {0};
    int root = beneath_root(scratch_path("root/inner"), true, &e);
    assert_true(root >= 0);
    return root;
}

static void outside_stays_shut(void **state) {
    (void)state;
    int root = root_of();
    scratch_write("secret", "x", 1);
    scratch_write("root/near", "x", 1);
    assert_int_equal(symlinkat("../near", root, "link"), 0);
    assert_int_equal(symlinkat("..", root, "up"), 0);
    assert_true(beneath_make_dirs(root, "a/b", NULL));
    assert_true(beneath_replace(root, "a/b/f", "1", 1, 0644, NULL));
    assert_int_equal(symlinkat("f", beneath_open(root, "a/b", O_RDONLY | O_DIRECTORY, 0), "in"), 0);
    static const char *const paths[] = {
        "../near", "/etc/passwd",       "a/../../near", "up/near", "link",
        "..",      "a/b/../../../near", "a/b/in",       "",        "/proc/self/environ"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        err e = {0};
        if (beneath_open(root, paths[i], O_RDONLY, 0) >= 0) fail_msg("opened: %s", paths[i]);
        assert_false(beneath_replace(root, paths[i], "y", 1, 0644, &e) &&
                     strcmp(paths[i], "link") != 0 && strcmp(paths[i], "a/b/in") != 0);
        beneath_remove(root, paths[i], &e);
    }
    assert_int_equal(access(scratch_path("root/near"), F_OK), 0);
    int fd = beneath_open_links(root, "a/b/f");
    assert_true(fd >= 0);
    close(fd);
    assert_true(beneath_open_links(root, "up/near") < 0);
    close(root);
}

static void replaced_and_removed(void **state) {
    (void)state;
    int root = root_of();
    buf b;
    err e = {0};
    buf_init(&b, 100);
    assert_true(beneath_make_dirs(root, "x/y/z", &e));
    assert_true(beneath_replace(root, "x/y/z/f", "one", 3, 0644, &e));
    assert_true(beneath_replace(root, "x/y/z/f", "two!", 4, 0644, &e));
    assert_true(beneath_read(&b, root, "x/y/z/f", &e));
    assert_string_equal(b.data, "two!");
    b.max = 6;
    assert_false(beneath_read(&b, root, "x/y/z/f", &e));
    assert_int_equal(e.code, ERR_NO_FIT);
    assert_false(beneath_remove_dir(root, "x/y/z"));
    assert_true(beneath_rename(root, "x/y/z/f", "x/g", &e));
    assert_true(beneath_remove_dir(root, "x/y/z"));
    assert_true(beneath_remove(root, "x/g", &e));
    assert_true(beneath_remove(root, "x/g", &e));
    assert_true(beneath_remove(root, "not/there", &e));
    assert_true(beneath_open(root, "x/g", O_RDONLY, 0) < 0 && errno == ENOENT);
    assert_false(beneath_read(&b, root, "x", &e));
    buf_deinit(&b);
    close(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(outside_stays_shut),
                                       cmocka_unit_test(replaced_and_removed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
