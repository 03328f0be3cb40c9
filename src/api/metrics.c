/* /metrics: what is counted, in the text format of Prometheus. Only memory is read. */
#include "api/api_private.h"
#include "api/core_routes.h"
#include "base/clock.h"

static void one(buf *out, const char *type, const char *name, const char *help, double value) {
    buf_printf(out, "# HELP hearth_%s %s\n# TYPE hearth_%s %s\nhearth_%s %.17g\n", name, help, name,
               type, name, value);
}

static void counter(buf *out, const char *name, const char *help, uint64_t value) {
    one(out, "counter", name, help, (double)value);
}

static void gauge(buf *out, const char *name, const char *help, double value) {
    one(out, "gauge", name, help, value);
}

void metrics_write(api *a, buf *out) {
    api_counts *n = &a->counts;
    gauge(out, "uptime_seconds", "time since the server began",
          (double)(clock_now_ns() - a->began_ns) / 1e9);
    gauge(out, "ready", "1 once the models given at start are loaded", atomic_load(&a->ready));
    gauge(out, "calls", "calls in hand now", api_n_calls(a));
    counter(out, "requests_total", "HTTP requests", atomic_load(&n->requests));
    counter(out, "answered_total", "calls answered", atomic_load(&n->answered));
    counter(out, "failed_total", "calls that ended in an error", atomic_load(&n->failed));
    counter(out, "refused_total", "calls refused for the time being", atomic_load(&n->refused));
    counter(out, "cancelled_total", "generations that nobody waited for",
            atomic_load(&n->cancelled));
    counter(out, "prompt_tokens_total", "prompt tokens, cached ones too",
            atomic_load(&n->prompt_tokens));
    counter(out, "cached_tokens_total", "prompt tokens taken from earlier work",
            atomic_load(&n->cached_tokens));
    counter(out, "generated_tokens_total", "tokens generated", atomic_load(&n->generated_tokens));
    buf_printf(out,
               "# HELP hearth_first_token_seconds time from a request to its first token\n"
               "# TYPE hearth_first_token_seconds summary\n"
               "hearth_first_token_seconds_sum %.9g\nhearth_first_token_seconds_count %.17g\n",
               (double)atomic_load(&n->first_token_us) / 1e6,
               (double)atomic_load(&n->first_tokens));
    store_status s;
    store_status_get(a->store, &s);
    gauge(out, "ledger_live", "requests opened in the ledger and not settled", (double)s.n_live);
    gauge(out, "ledger_pending", "settled requests that are not on disk yet", (double)s.n_pending);
    gauge(out, "ledger_failing", "1 while the ledger cannot be written", s.failing);
}
