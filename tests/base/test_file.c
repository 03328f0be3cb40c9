#include "base/file.h"
#include "support/cmocka_all.h"
#include "support/resident.h"
#include "support/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *content(const char *path) {
    buf b;
    buf_init(&b, 1 << 20);
    err e = {0};
    if (!file_read(&b, path, &e)) fail_msg("%s", e.msg);
    return buf_take(&b, NULL);
}

static void assert_content(const char *path, const char *want) {
    char *got = content(path);
    assert_string_equal(got, want);
    free(got);
}

static void test_read(void **state) {
    (void)state;
    buf b;
    err e = {0};
    const char *path = scratch_write("hello", "hello", 5);
    for (size_t max = 0; max < 10; max++) {
        buf_init(&b, max);
        bool ok = file_read(&b, path, &e);
        assert_int_equal(ok, max >= 5);
        if (!ok) assert_int_equal(e.code, ERR_NO_FIT);
        if (ok) assert_string_equal(b.data, "hello");
        buf_deinit(&b);
    }
    assert_non_null(strstr(e.msg, "at most 4 fit"));
    assert_non_null(strstr(e.msg, "5 bytes"));

    buf_init(&b, 100);
    assert_true(file_read(&b, scratch_write("empty", "", 0), &e));
    assert_int_equal(b.len, 0);
    assert_true(file_read(&b, path, &e) && file_read(&b, path, &e)); /* appends */
    assert_string_equal(b.data, "hellohello");
    assert_false(file_read(&b, scratch_path("absent"), &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_false(file_read(&b, scratch_dir(), &e));
    assert_int_equal(e.code, ERR_FAILED);
    assert_false(file_read(&b, "-", &e)); /* not special */
    buf_deinit(&b);
}

/* Files that say they have no size, and sizes around the steps that reading grows by. */
static void test_read_sizes(void **state) {
    (void)state;
    buf b;
    err e = {0};
    buf_init(&b, 1 << 20);
    assert_true(file_read(&b, "/proc/self/status", &e));
    assert_true(b.len > 100);
    buf_deinit(&b);
    static char big[200000];
    memset(big, 'b', sizeof big);
    static const size_t sizes[] = {63, 64, 4095, 65535, 65536, 65537, 131072, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *path = scratch_write("big", big, sizes[i]);
        buf_init(&b, sizes[i]);
        assert_true(file_read(&b, path, &e));
        assert_int_equal(b.len, sizes[i]);
        buf_deinit(&b);
    }
}

static void test_map(void **state) {
    (void)state;
    file_map m;
    err e = {0};
    assert_true(file_map_open(&m, scratch_write("mapped", "abc", 3), &e));
    assert_int_equal(m.size, 3);
    assert_memory_equal(m.data, "abc", 3);
    file_map_close(&m);
    assert_null(m.data);
    file_map_close(&m); /* twice is fine */
    assert_true(file_map_open(&m, scratch_write("empty", "", 0), &e));
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    file_map_release(&m, 0, 10);
    file_map_close(&m);

    assert_false(file_map_open(&m, scratch_path("absent"), &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_false(file_map_open(&m, scratch_dir(), &e));
    assert_int_equal(e.code, ERR_FAILED);
    assert_non_null(strstr(e.msg, "a folder"));
    assert_false(file_map_open(&m, "/dev/zero", &e));
    assert_int_equal(e.code, ERR_FAILED);
    const char *pipe = scratch_path("pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_false(file_map_open(&m, pipe, &e)); /* and does not wait for a writer */
    assert_int_equal(e.code, ERR_FAILED);
}

static void test_map_release(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 8 * page + 100;
    char *data = malloc(n);
    for (size_t i = 0; i < n; i++) data[i] = (char)(i * 7);
    file_map m;
    err e = {0};
    assert_true(file_map_open(&m, scratch_write("pages", data, n), &e));
    assert_memory_equal(m.data, data, n);
    assert_int_equal(resident_pages("/pages"), 9);
    file_map_release(&m, 1, page); /* no whole page inside */
    file_map_release(&m, 1, 2 * page - 2);
    assert_int_equal(resident_pages("/pages"), 9);
    file_map_release(&m, 1, 2 * page - 1);
    assert_int_equal(resident_pages("/pages"), 8);
    file_map_release(&m, 5 * page, UINT64_MAX); /* to the end, the last part of a page too */
    assert_int_equal(resident_pages("/pages"), 4);
    file_map_release(&m, n, 1);
    file_map_release(&m, UINT64_MAX, UINT64_MAX);
    assert_memory_equal(m.data, data, n); /* and they come back */
    file_map_close(&m);
    free(data);
}

static unsigned mode_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void test_replace(void **state) {
    (void)state;
    err e = {0};
    umask(022);
    const char *path = scratch_path("config");
    assert_true(file_replace(path, "one", 3, 0640, &e));
    assert_content(path, "one");
    assert_int_equal(mode_of(path), 0640);
    chmod(path, 0604);
    assert_true(file_replace(path, "", 0, 0600, &e));
    assert_content(path, "");
    assert_int_equal(mode_of(path), 0604); /* an old file keeps its mode */
    assert_true(file_replace(scratch_path("wide"), "x", 1, 0666, &e));
    assert_int_equal(mode_of(scratch_path("wide")), 0644); /* the umask holds */

    const char *link = scratch_path("link");
    assert_int_equal(symlink("config", link), 0);
    assert_true(file_replace(link, "two", 3, 0600, &e));
    struct stat st;
    assert_true(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    assert_content(path, "two");

    char long_name[256];
    memset(long_name, 'n', 255);
    long_name[255] = 0;
    assert_true(file_replace(scratch_path(long_name), "long", 4, 0600, &e));
    assert_content(scratch_path(long_name), "long");
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

/* A reader that has the old file open goes on reading the old bytes: it was replaced, not
 * overwritten. */
static void test_replace_is_not_overwrite(void **state) {
    (void)state;
    err e = {0};
    file_map m;
    const char *path = scratch_write("shared", "old old old", 11);
    assert_true(file_map_open(&m, path, &e));
    assert_true(file_replace(path, "new", 3, 0600, &e));
    assert_memory_equal(m.data, "old old old", 11);
    assert_content(path, "new");
    file_map_close(&m);
}

static void test_replace_fails_clean(void **state) {
    (void)state;
    err e = {0};
    const char *folder = scratch_path("folder");
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_false(file_replace(folder, "x", 1, 0600, &e)); /* rename onto a folder */
    assert_int_equal(e.code, ERR_FAILED);
    assert_non_null(strstr(e.msg, "folder"));
    assert_false(file_replace(scratch_path("absent/file"), "x", 1, 0600, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);

    /* a disk that is full half-way: the file size limit stands in for it */
    const char *path = scratch_write("kept", "kept", 4);
    static char big[100000];
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    bool ok = file_replace(path, big, sizeof big, 0600, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(ok);
    assert_int_equal(e.code, ERR_NO_FIT);
    assert_content(path, "kept");
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

/* Pieces of every size around the buffer: the bytes are those of one write, unseen until commit. */
static void test_new_in_pieces(void **state) {
    (void)state;
    err e = {0};
    static const size_t pieces[] = {1, 0, 65535, 65536, 3, 65537, 200000, 7};
    static char all[400000];
    size_t n = 0;
    for (size_t i = 0; i < sizeof all; i++) all[i] = (char)('a' + i % 23);
    const char *path = scratch_path("pieces");
    unlink(path);
    file_new *f = file_new_open(path, 0600, &e);
    assert_non_null(f);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        assert_true(file_new_write(f, all + n, pieces[i], &e));
        n += pieces[i];
    }
    assert_int_not_equal(access(path, F_OK), 0);
    assert_true(file_new_flush(f, &e));
    for (int round = 0; round < 2; round++) { /* flushed, then committed */
        buf b;
        buf_init(&b, sizeof all);
        assert_true(file_read(&b, round ? path : file_new_path(f), &e));
        assert_int_equal(b.len, n);
        assert_memory_equal(b.data, all, n);
        buf_deinit(&b);
        if (round == 0) assert_true(file_new_commit(f, &e));
    }
    f = file_new_open(path, 0600, &e);
    assert_true(file_new_write(f, "other", 5, &e));
    file_new_abort(f);
    file_new_abort(NULL);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, n);
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

/* As somebody without rights: the message and code say so, nothing is left behind. */
static int try_denied(void *ud) {
    (void)ud;
    err e = {0};
    file_map m;
    buf b;
    buf_init(&b, 100);
    if (file_replace(scratch_path("locked/file"), "x", 1, 0600, &e)) return 1;
    if (e.code != ERR_DENIED) return 2;
    if (file_read(&b, scratch_path("secret"), &e) || e.code != ERR_DENIED) return 3;
    if (file_map_open(&m, scratch_path("secret"), &e) || e.code != ERR_DENIED) return 4;
    if (file_make_dirs(scratch_path("locked/a/b"), 0755, &e) || e.code != ERR_DENIED) return 5;
    if (!strstr(e.msg, "locked/a") || strchr(e.msg, '\n')) return 6;
    return 0;
}

static void test_denied(void **state) {
    (void)state;
    assert_int_equal(mkdir(scratch_path("locked"), 0555), 0);
    chmod(scratch_write("locked_probe", "", 0), 0600);
    chmod(scratch_write("secret", "secret", 6), 0000);
    int result = scratch_as_nobody(try_denied, NULL);
    if (result == 125) skip_because("this root may not become another user");
    assert_int_equal(result, 0);
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

static void test_make_dirs(void **state) {
    (void)state;
    err e = {0};
    umask(022);
    assert_true(file_make_dirs(scratch_path("a/b//c/"), 0750, &e));
    assert_int_equal(mode_of(scratch_path("a/b/c")), 0750);
    assert_true(file_make_dirs(scratch_path("a/b/c"), 0700, &e)); /* already there */
    assert_int_equal(mode_of(scratch_path("a/b/c")), 0750);
    assert_true(file_make_dirs("/", 0700, &e));
    scratch_write("a/file", "", 0);
    assert_false(file_make_dirs(scratch_path("a/file"), 0700, &e));
    assert_false(file_make_dirs(scratch_path("a/file/d"), 0700, &e));
    assert_false(file_make_dirs("", 0700, &e));
    char long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    assert_false(file_make_dirs(long_path, 0700, &e));
    assert_false(file_replace(long_path, "x", 1, 0600, &e));
}

static void test_home(void **state) {
    (void)state;
    setenv("HEARTH_HOME", "/somewhere", 1);
    assert_string_equal(file_home(), "/somewhere");
    setenv("HEARTH_HOME", "", 1);
    setenv("XDG_DATA_HOME", "/data", 1);
    assert_string_equal(file_home(), "/data/hearth");
    setenv("XDG_DATA_HOME", "relative", 1); /* the XDG specification says to ignore it */
    setenv("HOME", "/people/someone", 1);
    assert_string_equal(file_home(), "/people/someone/.local/share/hearth");
    unsetenv("HEARTH_HOME");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    const char *home = file_home(); /* from the user's entry, if there is one */
    assert_true(!home || strstr(home, "/.local/share/hearth"));
    char *long_path = malloc(5000);
    memset(long_path, 'x', 4999);
    long_path[4999] = 0;
    setenv("HEARTH_HOME", long_path, 1);
    assert_null(file_home());
    free(long_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_sizes),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_release),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_is_not_overwrite),
        cmocka_unit_test(test_replace_fails_clean),
        cmocka_unit_test(test_new_in_pieces),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_make_dirs),
        cmocka_unit_test(test_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
