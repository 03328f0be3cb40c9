/* Help for the tests of the store: a clock that is set by hand, and short words for opening the
 * database in the scratch folder. One thread.
 */
#ifndef HEARTH_TESTS_STORE_STORE_TEST_H
#define HEARTH_TESTS_STORE_STORE_TEST_H

#include "store/store.h"

typedef struct test_clock {
    int64_t unix_ms;
    uint64_t mono_ns;
} test_clock;

/* In the scratch folder, with this clock (NULL: the machine's). Fails the test when it cannot. */
store *test_store_open(const char *name, store_mode mode, test_clock *clock);
void test_store_close(store *s);
void test_clock_advance(test_clock *c, double seconds);
int64_t test_unix_ms(int year, int month, int day, int hour, int minute); /* local time */

/* A whole request as the engine reports it. */
void test_request(store *s, int64_t key_id, const char *model, int n_in, int n_out);
hearth_usage test_usage(int n_in, int n_out, hearth_finish finish);

typedef struct test_sums {
    int64_t n_requests, n_running, n_failed, tokens_in, tokens_out;
} test_sums;
test_sums test_store_sums(store *s); /* over the whole ledger, from the file */

#endif
