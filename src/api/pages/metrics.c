/* /metrics: what is counted, in the text format of Prometheus. Only memory is read. */
#include "api/api_private.h"
#include "api/llamacpp/llamacpp.h"
#include "api/pages/core_routes.h"
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

/* ---- engines ---- */

typedef struct engine_rows {
    buf *out;
    int row; /* of the table below */
} engine_rows;

static double seconds_busy(const hearth_stats *s) {
    return s->step_s;
}

#define OF(name, member)                                                                           \
    static double name(const hearth_stats *s) {                                                    \
        return (double)s->member;                                                                  \
    }
OF(running, n_running)
OF(waiting, n_waiting)
OF(kv_bytes, kv_bytes)
OF(kv_used, kv_used_bytes)
OF(kv_kept, kv_kept_bytes)
OF(prefilled, n_prefilled)
OF(cached, n_cached)
OF(decoded, n_decoded)
OF(drafted, n_drafted)
OF(accepted, n_accepted)
OF(steps, n_steps)
OF(preempted, n_preempted)
OF(evicted, n_evicted)
#undef OF

static const struct {
    const char *name, *type, *help;
    double (*value)(const hearth_stats *s);
} engine_table[] = {
    {"requests_running", "gauge", "requests in the batch now", running},
    {"requests_waiting", "gauge", "requests that wait to be in it", waiting},
    {"kv_bytes", "gauge", "memory that keys and values may take", kv_bytes},
    {"kv_used_bytes", "gauge", "held by requests", kv_used},
    {"kv_kept_bytes", "gauge", "kept prefixes that nobody holds", kv_kept},
    {"prefilled_tokens_total", "counter", "prompt tokens computed", prefilled},
    {"reused_tokens_total", "counter", "prompt tokens taken from earlier work", cached},
    {"decoded_tokens_total", "counter", "tokens generated", decoded},
    {"drafted_tokens_total", "counter", "tokens guessed ahead", drafted},
    {"accepted_tokens_total", "counter", "and guessed right", accepted},
    {"steps_total", "counter", "steps of the engine", steps},
    {"step_seconds_total", "counter", "time spent in them", seconds_busy},
    {"preempted_total", "counter", "requests sent back to wait", preempted},
    {"evicted_pages_total", "counter", "kept pages given up", evicted},
};

static void engine_row(void *ud, const char *name, const hearth_stats *s) {
    const engine_rows *e = ud;
    buf_printf(e->out, "hearth_engine_%s{model=\"", engine_table[e->row].name);
    for (const char *p = name; *p; p++) {
        if (*p == '"' || *p == '\\') buf_putc(e->out, '\\');
        if (*p != '\n') buf_putc(e->out, *p);
    }
    buf_printf(e->out, "\"} %.17g\n", engine_table[e->row].value(s));
}

static void engines_write(api *a, buf *out) {
    engine_rows e = {out, 0};
    for (; e.row < (int)(sizeof engine_table / sizeof *engine_table); e.row++) {
        buf_printf(out, "# HELP hearth_engine_%s %s\n# TYPE hearth_engine_%s %s\n",
                   engine_table[e.row].name, engine_table[e.row].help, engine_table[e.row].name,
                   engine_table[e.row].type);
        residents_stats(a->models, engine_row, &e);
    }
}

/* ---- the server ---- */

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
    energy_metrics(a, out);
    engines_write(a, out);
    llamacpp_metrics(a, out);
}
