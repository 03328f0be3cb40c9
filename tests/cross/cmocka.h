/* The part of cmocka that the tests of base, quant and kern use, in one header, for CPUs whose
 * cmocka is not at hand. The first failure ends a test; the program says which failed and how many.
 *
 *     cmake -DCMOCKA_INCLUDE=tests/cross -DCMOCKA_LIBRARY=m ...
 */
#ifndef HEARTH_TESTS_CROSS_CMOCKA_H
#define HEARTH_TESTS_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f)                                                                        \
    { #f, f }

/* Weak: one for the program, though every file defines it. */
__attribute__((weak)) jmp_buf cmocka_test_end;
typedef enum { CMOCKA_PASSED, CMOCKA_FAILED, CMOCKA_SKIPPED } cmocka_outcome;

__attribute__((noreturn)) static inline void cmocka_end(cmocka_outcome outcome) {
    longjmp(cmocka_test_end, (int)outcome);
}
__attribute__((noreturn, format(printf, 3, 4))) static inline void cmocka_fail(const char *file,
                                                                               int line,
                                                                               const char *fmt,
                                                                               ...) {
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    cmocka_end(CMOCKA_FAILED);
}

#define fail_msg(...) cmocka_fail(__FILE__, __LINE__, __VA_ARGS__)
#define skip() cmocka_end(CMOCKA_SKIPPED)
#define print_message(...) printf(__VA_ARGS__)
#define cmocka_assert(c, text)                                                                     \
    do {                                                                                           \
        if (!(c)) cmocka_fail(__FILE__, __LINE__, "%s", text);                                     \
    } while (0)
#define assert_true(c) cmocka_assert(c, #c)
#define assert_false(c) cmocka_assert(!(c), "not: " #c)
#define assert_null(p) cmocka_assert((p) == NULL, #p " is not NULL")
#define assert_non_null(p) cmocka_assert((p) != NULL, #p " is NULL")
#define assert_int_equal(a, b) cmocka_assert((intmax_t)(a) == (intmax_t)(b), #a " is not " #b)
#define assert_string_equal(a, b) cmocka_assert(strcmp(a, b) == 0, #a " is not " #b)
#define assert_memory_equal(a, b, n) cmocka_assert(memcmp(a, b, n) == 0, #a " is not " #b)

static inline int cmocka_run_tests(const struct CMUnitTest *tests, size_t n) {
    volatile int failed = 0;
    for (volatile size_t i = 0; i < n; i++) {
        int outcome = setjmp(cmocka_test_end);
        if (outcome == CMOCKA_PASSED) {
            void *state = NULL;
            tests[i].run(&state);
        }
        if (outcome == CMOCKA_FAILED) failed++;
        printf("[%s] %s\n",
               outcome == CMOCKA_PASSED   ? "PASSED"
               : outcome == CMOCKA_FAILED ? "FAILED"
                                          : "SKIPPED",
               tests[i].name);
        fflush(stdout);
    }
    return failed;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run_tests(tests, sizeof(tests) / sizeof *(tests))

#endif
