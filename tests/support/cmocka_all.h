/* cmocka with the headers that it wants before it. */
#ifndef HEARTH_TESTS_SUPPORT_CMOCKA_ALL_H
#define HEARTH_TESTS_SUPPORT_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Says why, and skips; tests/run.sh collects these lines at its end. */
#define skip_because(...)                                                                          \
    do {                                                                                           \
        print_message("skipped: " __VA_ARGS__);                                                    \
        print_message("\n");                                                                       \
        skip();                                                                                    \
    } while (0)

#endif
