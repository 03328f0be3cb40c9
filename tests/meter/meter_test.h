/* Help for the tests of the meter: a tree like /sys in the scratch folder, and a clock that is set
 * by hand. One thread. */
#ifndef HEARTH_TESTS_METER_METER_TEST_H
#define HEARTH_TESTS_METER_METER_TEST_H

#include <stdint.h>

#include "meter/energy.h"

/* Writes root/path with its folders; the text may be NULL: it is removed. */
void tree_write(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tree_remove(const char *path);
void tree_clear(void); /* everything */
const char *tree_root(void);

/* "root=...,more"; lives until the next call. */
const char *tree_from(const char *more);
/* A library built with the tests, "fake_nvml"; its full path. */
const char *test_library(const char *name);

extern uint64_t test_now_ns;
extern void (*test_spin)(void);                 /* what happens while the meter spins */
meter *test_meter_open(const meter_options *o); /* with that clock; fails the test when it cannot */
meter_source test_source(const meter *m, const char *kind, const char *name); /* must be there */
meter_status test_status(const meter *m);

#endif
