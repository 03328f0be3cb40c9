/* hearth usage: what was used, by key, model or day. */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/amounts.h"
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

static void json_count(jsonw *w, const char *name, int64_t n) {
    jsonw_key(w, name);
    jsonw_int(w, n);
}

static void json_seconds(jsonw *w, const char *name, double s) {
    jsonw_key(w, name);
    jsonw_f64(w, s);
}

/* Of a part of the requests, or of two boundaries, it would be a wrong sum for all of them. */
static bool has_joules(const store_usage_row *r) {
    return r->n_requests > 0 && r->n_measured == r->n_requests && strcmp(r->boundary, "mixed") != 0;
}

static void json_row(jsonw *w, const char *by, const store_usage_row *r) {
    jsonw_object(w);
    jsonw_key(w, by);
    jsonw_str(w, str_of(r->label));
    json_count(w, "requests", r->n_requests);
    json_count(w, "running", r->n_running);
    json_count(w, "failed", r->n_failed);
    json_count(w, "tokens_in", r->tokens_in);
    json_count(w, "tokens_cached", r->tokens_cached);
    json_count(w, "tokens_out", r->tokens_out);
    json_seconds(w, "queue_seconds", r->queue_s);
    json_seconds(w, "prefill_seconds", r->prefill_s);
    json_seconds(w, "decode_seconds", r->decode_s);
    jsonw_key(w, "joules");
    if (has_joules(r)) jsonw_f64(w, r->joules);
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
    if (has_joules(r)) table_cell(t, "%s", human_joules(r->joules, energy));
    else table_cell(t, "%s", r->n_measured > 0 ? "in part" : "-");
}

static double tokens_of(const store_usage_row *r) {
    return (double)(r->tokens_in + r->tokens_out);
}

static void add_row(table *t, const store_usage_row *r, double most, bool bars, bool energy) {
    enum { WIDTH = 16 };
    char bar[4 * WIDTH + 1] = "";
    table_cell(t, "%s", r->label);
    count_cell(t, r->n_requests);
    count_cell(t, r->tokens_in);
    count_cell(t, r->tokens_cached);
    count_cell(t, r->tokens_out);
    table_cell(t, "%.1f", r->queue_s);
    table_cell(t, "%.1f", r->prefill_s + r->decode_s);
    if (energy) energy_cell(t, r);
    table_cell(t, "%s", bars ? table_bar(tokens_of(r), most, WIDTH, bar) : bar);
}

static void add_up(store_usage_row *sum, const store_usage_row *r) {
    sum->n_requests += r->n_requests;
    sum->n_running += r->n_running;
    sum->n_failed += r->n_failed;
    sum->tokens_in += r->tokens_in;
    sum->tokens_cached += r->tokens_cached;
    sum->tokens_out += r->tokens_out;
    sum->queue_s += r->queue_s;
    sum->prefill_s += r->prefill_s;
    sum->decode_s += r->decode_s;
    sum->n_measured += r->n_measured;
    sum->joules += r->joules;
    if (!r->boundary[0]) return;
    bool same = !sum->boundary[0] || strcmp(sum->boundary, r->boundary) == 0;
    snprintf(sum->boundary, sizeof sum->boundary, "%s", same ? r->boundary : "mixed");
}

/* One column a row, eight steps a line: what the figures look like together. For terminals. */
static void print_columns(const char *title, const store_usage_row *rows, size_t n,
                          double (*of)(const store_usage_row *r)) {
    static const char *const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    enum { LINES = 4 };
    size_t width = (size_t)terminal_width(), skip = n > width ? n - width : 0;
    double most = 0;
    for (size_t i = skip; i < n; i++)
        if (of(&rows[i]) > most) most = of(&rows[i]);
    if (most <= 0 || n - skip < 2) return;
    out_printf("\n%s, %s to %s\n", title, rows[skip].label, rows[n - 1].label);
    for (int line = LINES - 1; line >= 0; line--) {
        for (size_t i = skip; i < n; i++) {
            int steps = (int)(of(&rows[i]) / most * LINES * 8 + 0.5) - 8 * line;
            if (steps < 1 && line == 0 && of(&rows[i]) > 0) steps = 1; /* it is not nothing */
            out_puts(eighths[steps < 0 ? 0 : steps > 8 ? 8 : steps]);
        }
        out_puts("\n");
    }
}

static double joules_of(const store_usage_row *r) {
    return has_joules(r) ? r->joules : 0;
}

static int print_table(const char *by, const store_usage_row *rows, size_t n) {
    char columns[160];
    store_usage_row sum = {.label = "all"};
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        if (tokens_of(&rows[i]) > most) most = tokens_of(&rows[i]);
        add_up(&sum, &rows[i]);
    }
    bool energy = sum.n_measured > 0, days = strcmp(by, "day") == 0 && out_is_terminal();
    snprintf(columns, sizeof columns,
             "%s|>requests|>tokens in|>of them cached|>tokens out|>waited s|>computed s%s|", by,
             energy ? "|>energy" : "");
    table *t = table_new(columns);
    for (size_t i = 0; i < n; i++) add_row(t, &rows[i], most, out_is_terminal(), energy);
    if (n > 1) add_row(t, &sum, 0, false, energy);
    table_print(t);
    table_free(t);
    if (days) print_columns("tokens by day", rows, n, tokens_of);
    if (days && energy) print_columns("energy by day", rows, n, joules_of);
    if (energy) note("energy: boundary %s", sum.boundary);
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
