#include "base/log.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int real_stderr;
static char said[1 << 16];

static void begin(void) {
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    int fd = open(scratch_path("stderr"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static const char *end(void) {
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    FILE *f = fopen(scratch_path("stderr"), "r");
    size_t n = fread(said, 1, sizeof said - 1, f);
    said[n] = 0;
    fclose(f);
    return said;
}

/* First of all tests: nothing has read the environment yet. */
static void test_level_from_environment(void **state) {
    (void)state;
    setenv("HEARTH_LOG", "info", 1);
    begin();
    log_msg(LOG_INFO, "listening on %d", 8080);
    log_msg(LOG_DEBUG, "not wanted");
    assert_string_equal(end(), "hearth: info: listening on 8080\n");
}

static void test_levels(void **state) {
    (void)state;
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        log_set_level((log_level)level);
        begin();
        for (int l = LOG_ERROR; l <= LOG_DEBUG; l++) log_msg((log_level)l, "x");
        int lines = 0;
        for (const char *p = end(); (p = strchr(p, '\n')); p++) lines++;
        assert_int_equal(lines, level + 1);
    }
}

static void test_one_safe_line(void **state) {
    (void)state;
    log_set_level(LOG_WARN);
    char text[5000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    begin();
    log_msg(LOG_WARN, "a\nb\x1b[2J\xff");
    assert_string_equal(end(), "hearth: warning: a\\nb\\x1b[2J\\xff\n");
    begin();
    log_msg(LOG_WARN, "%s", text);
    const char *line = end();
    assert_true(strlen(line) < 1400);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_once(void **state) {
    (void)state;
    log_set_level(LOG_WARN);
    begin();
    for (int i = 0; i < 3; i++) log_once("rope", "rope scaling %s is unknown", "zigzag");
    log_once("other", "other");
    assert_string_equal(end(), "hearth: warning: rope scaling zigzag is unknown\n"
                               "hearth: warning: other\n");
    log_set_level(LOG_ERROR);
    begin();
    log_once("silent", "not now"); /* a message nobody saw is not spent */
    log_set_level(LOG_WARN);
    log_once("silent", "now");
    assert_string_equal(end(), "hearth: warning: now\n");
}

static void *talk(void *arg) {
    (void)arg;
    for (int i = 0; i < 100; i++) {
        log_msg(LOG_WARN, "0123456789012345678901234567890123456789");
        log_once("threads", "once");
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    pthread_t threads[4];
    begin();
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, talk, NULL);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    const char *p = end();
    int whole = 0, once = 0;
    for (; *p; p = strchr(p, '\n') + 1) {
        whole += strncmp(p, "hearth: warning: 0123456789012345678901234567890123456789\n", 58) == 0;
        once += strncmp(p, "hearth: warning: once\n", 22) == 0;
    }
    assert_int_equal(whole, 400); /* lines never mix */
    assert_int_equal(once, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_from_environment),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_one_safe_line),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
