#include "store/store_test.h"

#include <stdlib.h>
#include <time.h>

#include "support/cmocka_all.h"
#include "support/scratch.h"

static int64_t clock_unix_ms(void *ud) {
    return ((const test_clock *)ud)->unix_ms;
}

static uint64_t clock_mono_ns(void *ud) {
    return ((const test_clock *)ud)->mono_ns;
}

store *test_store_open(const char *name, store_mode mode, test_clock *clock) {
    err e = {0};
    store_options o = {.mode = mode, .path = scratch_path(name)};
    if (clock) o.clock = (store_clock){clock_unix_ms, clock_mono_ns, clock};
    store *s = store_open(&o, &e);
    if (!s) fail_msg("%s", e.msg);
    return s;
}

void test_store_close(store *s) {
    err e = {0};
    if (!store_close(s, &e)) fail_msg("%s", e.msg);
}

void test_clock_advance(test_clock *c, double seconds) {
    c->unix_ms += (int64_t)(seconds * 1e3);
    c->mono_ns += (uint64_t)(seconds * 1e9);
}

int64_t test_unix_ms(int year, int month, int day, int hour, int minute) {
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_isdst = -1};
    return (int64_t)mktime(&tm) * 1000;
}

hearth_usage test_usage(int n_in, int n_out, hearth_finish finish) {
    return (hearth_usage){.n_prompt = n_in,
                          .n_cached = n_in / 2,
                          .n_generated = n_out,
                          .queued_s = 0.25,
                          .prefill_s = 0.5,
                          .decode_s = 1,
                          .finish = finish};
}

void test_request(store *s, int64_t key_id, const char *model, int n_in, int n_out) {
    store_entry *x = store_entry_new(s, &(store_entry_info){.key_id = key_id,
                                                            .model = model,
                                                            .dialect = "openai",
                                                            .endpoint = "/v1/chat/completions",
                                                            .user = "u",
                                                            .metadata = "{}"});
    assert_non_null(x);
    store_entry_opened(x, n_in);
    store_entry_progress(x, n_in, n_out / 2);
    hearth_usage u = test_usage(n_in, n_out, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
}

test_sums test_store_sums(store *s) {
    err e = {0};
    store_usage_row *rows;
    size_t n;
    store_usage_filter f = {.by = STORE_BY_MODEL, .key_id = -1};
    if (!store_usage(s, &f, &rows, &n, &e)) fail_msg("%s", e.msg);
    test_sums sum = {0};
    for (size_t i = 0; i < n; i++) {
        sum.n_requests += rows[i].n_requests;
        sum.n_running += rows[i].n_running;
        sum.n_failed += rows[i].n_failed;
        sum.tokens_in += rows[i].tokens_in;
        sum.tokens_out += rows[i].tokens_out;
    }
    free(rows);
    return sum;
}
