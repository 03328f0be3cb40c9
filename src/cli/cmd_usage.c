/* hearth usage: what was used, by key, model or day. */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/amounts.h"
#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/metering.h"
#include "cli/table.h"
#include "store/store.h"

static const char *const by_names[] = {
    [STORE_BY_KEY] = "key",
    [STORE_BY_MODEL] = "model",
    [STORE_BY_DAY] = "day",
    [STORE_BY_FINISH] = "finish",
};

static void json_row(jsonw *w, const char *by, const store_usage_row *r) {
    jsonw_object(w);
    jsonw_key(w, by);
    jsonw_str(w, str_of(r->label));
    jsonw_put_int(w, "requests", r->n_requests);
    jsonw_put_int(w, "running", r->n_running);
    jsonw_put_int(w, "failed", r->n_failed);
    jsonw_put_int(w, "tokens_in", r->tokens_in);
    jsonw_put_int(w, "tokens_cached", r->tokens_cached);
    jsonw_put_int(w, "tokens_out", r->tokens_out);
    jsonw_put_f64(w, "queue_seconds", r->queue_s);
    jsonw_put_f64(w, "prefill_seconds", r->prefill_s);
    jsonw_put_f64(w, "decode_seconds", r->decode_s);
    jsonw_key(w, "joules");
    if (store_usage_measured(r)) jsonw_f64(w, r->joules);
    else jsonw_null(w);
    jsonw_key(w, "boundary");
    if (r->boundary[0]) jsonw_str(w, str_of(r->boundary));
    else jsonw_null(w);
    jsonw_end(w);
}

static void print_json(const char *by, const store_usage_row *rows, size_t n) {
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) json_row(&w, by, &rows[i]);
    jsonw_end(&w);
    out_json(&b);
}

static void count_cell(table *t, int64_t n) {
    char count[32];
    table_cell(t, "%s", human_count((uint64_t)n, count, sizeof count));
}

static void energy_cell(table *t, const store_usage_row *r) {
    char energy[32];
    if (store_usage_measured(r)) table_cell(t, "%s", human_joules(r->joules, energy));
    else table_cell(t, "%s", r->n_measured > 0 ? "in part" : "-");
}

static double tokens_of(const store_usage_row *r) {
    return (double)(r->tokens_in + r->tokens_out);
}

/* bar_width 0: no bars. */
static void add_row(table *t, const store_usage_row *r, double most, int bar_width, bool energy) {
    char bar[CHART_BAR_BYTES] = "";
    table_cell(t, "%s", r->label);
    count_cell(t, r->n_requests);
    count_cell(t, r->tokens_in);
    count_cell(t, r->tokens_cached);
    count_cell(t, r->tokens_out);
    table_cell(t, "%.1f", r->queue_s);
    table_cell(t, "%.1f", r->prefill_s + r->decode_s);
    if (energy) energy_cell(t, r);
    table_cell(t, "%s", most > 0 ? chart_bar(tokens_of(r), most, bar_width, bar) : bar);
}

static double joules_of(const store_usage_row *r) {
    return store_usage_measured(r) ? r->joules : 0;
}

static table *table_of(const char *by, const store_usage_row *rows, size_t n,
                       const store_usage_row *sum, int bar_width) {
    char columns[160];
    double most = 0;
    bool energy = sum->n_measured > 0;
    for (size_t i = 0; i < n && bar_width > 0; i++)
        if (tokens_of(&rows[i]) > most) most = tokens_of(&rows[i]);
    snprintf(columns, sizeof columns,
             "%s|>requests|>tokens in|>of them cached|>tokens out|>waited s|>computed s%s|", by,
             energy ? "|>energy" : "");
    table *t = table_new(columns);
    for (size_t i = 0; i < n; i++) add_row(t, &rows[i], most, bar_width, energy);
    if (n > 1) add_row(t, sum, 0, 0, energy);
    return t;
}

/* What the days look like together. */
static void print_days(const char *title, const store_usage_row *rows, size_t n,
                       double (*of)(const store_usage_row *r)) {
    const char **label = calloc(n, sizeof *label);
    double *value = calloc(n, sizeof *value);
    for (size_t i = 0; label && value && i < n; i++) {
        label[i] = rows[i].label;
        value[i] = of(&rows[i]);
    }
    if (label && value) chart_columns(title, label, value, n);
    free(label);
    free(value);
}

static int print_table(const char *by, const store_usage_row *rows, size_t n) {
    store_usage_row sum = {.label = "all"};
    for (size_t i = 0; i < n; i++) store_usage_add(&sum, &rows[i]);
    table *t = table_of(by, rows, n, &sum, 0);
    int room = out_is_terminal() ? terminal_width() - (int)table_width(t) : 0;
    if (room >= 4) { /* bars where they do not break the lines */
        table_free(t);
        t = table_of(by, rows, n, &sum, room < 16 ? room : 16);
    }
    table_print(t);
    table_free(t);
    if (strcmp(by, "day") == 0 && out_is_terminal()) {
        print_days("tokens by day", rows, n, tokens_of);
        print_days("energy by day", rows, n, joules_of);
    }
    if (sum.n_measured > 0) note("energy: boundary %s", sum.boundary);
    if (sum.n_running || sum.n_failed)
        note("%lld still running, %lld failed", (long long)sum.n_running, (long long)sum.n_failed);
    return ERR_NONE;
}

static bool read_filter(store_usage_filter *f, const cli_args *a, store *s, err *e) {
    const char *by = cli_text(a, "by", "key"), *since = cli_text(a, "since", NULL);
    const char *until = cli_text(a, "until", NULL), *name = cli_text(a, "key", NULL);
    *f = (store_usage_filter){.key_id = -1, .model = cli_text(a, "model", NULL)};
    for (int i = 0; i < (int)(sizeof by_names / sizeof *by_names); i++)
        if (strcmp(by_names[i], by) == 0) f->by = (store_by)i;
    if ((since && !amount_moment("--since", since, true, &f->since_s, e)) ||
        (until && !amount_moment("--until", until, true, &f->until_s, e)))
        return false;
    store_key k;
    if (name && strcmp(name, "local") == 0) store_key_local(&k);
    else if (name && !store_key_find(s, name, &k, e)) return false;
    if (name) f->key_id = k.id;
    return true;
}

static int run(const cli_args *a) {
    err e = {0};
    store_usage_filter f;
    store_usage_row *rows = NULL;
    size_t n = 0;
    store *s = store_open(&(store_options){.mode = STORE_READ}, &e);
    bool ok = s && read_filter(&f, a, s, &e) && store_usage(s, &f, &rows, &n, &e);
    store_close(s, NULL);
    int code = ok ? ERR_NONE : cli_fail(&e);
    if (ok && cli_flag(a, "json")) print_json(by_names[f.by], rows, n);
    else if (ok && n == 0) note("nothing was used in that time");
    else if (ok) code = print_table(by_names[f.by], rows, n);
    free(rows);
    return code;
}

static const cli_option options[] = {
    {"by", 0, CLI_CHOICE, "key|model|day|finish", "what to add up by; default key", 0, 0},
    {"since", 0, CLI_TEXT, "TIME", "from then on: 7d, 12h, today, or a day like 2026-12-31", 0, 0},
    {"until", 0, CLI_TEXT, "TIME", "before then", 0, 0},
    {"key", 0, CLI_TEXT, "NAME", "only this key; local: requests without a key", 0, 0},
    {"model", 0, CLI_TEXT, "NAME", "only this model", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON array", 0, 0},
    {0},
};

const cli_command cmd_usage = {
    .name = "usage",
    .summary = "what was used, by key, model or day",
    .args = "",
    .about =
        "Adds up the ledger: requests, tokens and seconds, counted by the engine whatever "
        "became of the client. A request counts where it began. Cached are those tokens of a "
        "prompt that were taken from earlier work; computed is the time from the beginning of "
        "the prompt to the last token. Energy is told where all requests of a row were measured "
        "at one boundary (hearth meter).",
    .examples = "  hearth usage\n  hearth usage --by day --since 30d\n"
                "  hearth usage --by model --key anna --json",
    .options = options,
    .run = run,
};
