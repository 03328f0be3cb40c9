/* examples/hello.c as a program: with the model that comes with Hearth where it is there, and
 * always with a tiny one. */
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "quant/quant.h"
#include "support/scratch.h"
#include "support/tiny.h"

/* Runs hello with up to two arguments; its output is in two files. Returns the exit status. */
static int hello(const char *a, const char *b) {
    char program[4096];
    snprintf(program, sizeof program, "%s/examples/hello", getenv("HEARTH_BUILD"));
    const char *out = scratch_path("out"), *errors = scratch_path("err");
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(out, "w", stdout) || !freopen(errors, "w", stderr)) _exit(99);
        execl(program, "hello", a, b, (char *)NULL);
        _exit(98);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char *content(const char *name) {
    static char text[2][16384];
    static int which;
    char *dst = text[which ^= 1];
    FILE *f = fopen(scratch_path(name), "r");
    assert_non_null(f);
    size_t n = fread(dst, 1, sizeof text[0] - 1, f);
    dst[n] = 0;
    fclose(f);
    return dst;
}

static void completes_with_a_tiny_model(void **state) {
    (void)state;
    if (!getenv("HEARTH_BUILD")) skip_because("HEARTH_BUILD is not set");
    buf b;
    err e = {0};
    buf_init(&b, 64u << 20);
    if (!tiny_model_build("llama", QUANT_Q8_0, &b, &e)) fail_msg("%s", e.msg);
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch_write("tiny.gguf", b.data, b.len));
    buf_deinit(&b);
    assert_int_equal(hello(path, "Once"), 0);
    assert_int_equal(strncmp(content("out"), "Once", 4), 0);
    assert_non_null(strstr(content("err"), " written in "));
}

static void completes_with_bard(void **state) {
    (void)state;
    char path[4096];
    const char *source = getenv("HEARTH_SOURCE");
    snprintf(path, sizeof path, "%s/models/bard/bard-q8_0.gguf", source ? source : ".");
    if (!getenv("HEARTH_BUILD")) skip_because("HEARTH_BUILD is not set");
    if (access(path, R_OK) != 0) skip_because("models/bard/bard-q8_0.gguf is not there");
    assert_int_equal(hello(path, NULL), 0);
    assert_true(strlen(content("out")) > strlen("Now is the winter of our discontent") + 20);
}

static void says_what_is_wrong(void **state) {
    (void)state;
    if (!getenv("HEARTH_BUILD")) skip_because("HEARTH_BUILD is not set");
    assert_int_equal(hello(NULL, NULL), 2);
    assert_non_null(strstr(content("err"), "usage: hello MODEL.gguf"));
    assert_int_equal(hello("/nowhere/model.gguf", NULL), 3);
    assert_non_null(strstr(content("err"), "/nowhere/model.gguf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completes_with_a_tiny_model),
        cmocka_unit_test(completes_with_bard),
        cmocka_unit_test(says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
