/* hearth usage: what was used, by key, model or day. */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/amounts.h"
#include "cli/commands.h"
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
    jsonw_key(w, "joules"); /* of a part of the requests it would be a wrong sum for all of them */
    if (r->n_requests > 0 && r->n_measured == r->n_requests) jsonw_f64(w, r->joules);
    else jsonw_null(w);
    jsonw_end(w);
}

static int print_json(const char *by, const store_usage_row *rows, size_t n) {
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) json_row(&w, by, &rows[i]);
    jsonw_end(&w);
    buf_putc(&b, '\n');
    bool failed = b.failed;
    if (!failed) out_buf(&b);
    buf_deinit(&b);
    if (failed) note("hearth: out of memory");
    return failed ? ERR_FAILED : ERR_NONE;
}

static void count_cell(table *t, int64_t n) {
    char count[32];
    table_cell(t, "%s", human_count((uint64_t)n, count, sizeof count));
}

static void add_row(table *t, const store_usage_row *r, double most, bool bars) {
    enum { WIDTH = 16 };
    char bar[4 * WIDTH + 1] = "";
    table_cell(t, "%s", r->label);
    count_cell(t, r->n_requests);
    count_cell(t, r->tokens_in);
    count_cell(t, r->tokens_cached);
    count_cell(t, r->tokens_out);
    table_cell(t, "%.1f", r->queue_s);
    table_cell(t, "%.1f", r->prefill_s + r->decode_s);
    table_cell(t, "%s",
               bars ? table_bar((double)(r->tokens_in + r->tokens_out), most, WIDTH, bar) : bar);
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
}

static int print_table(const char *by, const store_usage_row *rows, size_t n) {
    char columns[160];
    snprintf(columns, sizeof columns,
             "%s|>requests|>tokens in|>of them cached|>tokens out|>waited s|>computed s|", by);
    store_usage_row sum = {.label = "all"};
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double all = (double)(rows[i].tokens_in + rows[i].tokens_out);
        if (all > most) most = all;
        add_up(&sum, &rows[i]);
    }
    table *t = table_new(columns);
    for (size_t i = 0; i < n; i++) add_row(t, &rows[i], most, out_is_terminal());
    if (n > 1) add_row(t, &sum, 0, false);
    table_print(t);
    table_free(t);
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
    if (ok && cli_flag(a, "json")) code = print_json(by_names[f.by], rows, n);
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
    .about = "Adds up the ledger: requests, tokens and seconds, counted by the engine whatever "
             "became of the client. A request counts where it began. Cached are those tokens of a "
             "prompt that were taken from earlier work; computed is the time from the beginning of "
             "the prompt to the last token.",
    .examples = "  hearth usage\n  hearth usage --by day --since 30d\n"
                "  hearth usage --by model --key anna --json",
    .options = options,
    .run = run,
};
