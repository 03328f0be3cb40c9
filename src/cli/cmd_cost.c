/* hearth cost: what the requests of some time cost here, and what they would have cost
 * elsewhere. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/csv.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/amounts.h"
#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "meter/cost.h"
#include "store/store.h"

typedef struct bill {
    tariff tariff;
    price_sheet sheet;
    cost cost;
    const char *by; /* "key", "model", "day" */
    err *e;
} bill;

/* In JSON, and for people. */
static const char *const hosted_names[] = {"same_weights", "cheap", "flagship"};
static const char *const hosted_words[] = {"same weights", "cheap", "flagship"};

/* ---- reading ---- */

static int64_t month_begin(void) {
    time_t now = (time_t)clock_unix_s();
    struct tm t;
    localtime_r(&now, &t);
    t.tm_mday = 1;
    t.tm_hour = t.tm_min = t.tm_sec = 0;
    t.tm_isdst = -1;
    return (int64_t)mktime(&t);
}

static bool each(void *ud, const store_request *r) {
    bill *b = ud;
    const char *label = strcmp(b->by, "model") == 0 ? r->model
                        : strcmp(b->by, "day") == 0 ? r->day
                                                    : r->key;
    int64_t begin = r->started_ms + llround(r->queue_s * 1000);
    return cost_add(&b->cost, label,
                    &(cost_request){.model = r->model,
                                    .begin_ms = begin,
                                    .end_ms = r->finished_ms,
                                    .in = r->tokens_in,
                                    .cached = r->tokens_cached,
                                    .out = r->tokens_out,
                                    .requests = r->requests,
                                    .joules = r->measured ? r->joules : NAN},
                    b->e);
}

static int by_label(const void *a, const void *b) {
    return strcmp(((const cost_row *)a)->label, ((const cost_row *)b)->label);
}

static bool read_bill(bill *b, const cli_args *a, const char *by, err *e) {
    const char *since = cli_text(a, "since", NULL), *until = cli_text(a, "until", NULL);
    char day[PRICE_DAY_BYTES];
    store_usage_filter f = {.key_id = -1, .since_s = month_begin(), .until_s = clock_unix_s()};
    if ((since && !amount_moment("--since", since, true, &f.since_s, e)) ||
        (until && !amount_moment("--until", until, true, &f.until_s, e)))
        return false;
    if (f.until_s <= f.since_s) return err_set(e, ERR_USAGE, "--until is not after --since");
    b->by = by;
    b->e = e;
    if (!tariff_open(&b->tariff, NULL, e) || !price_sheet_open(&b->sheet, e)) return false;
    cost_begin(&b->cost, &b->tariff, &b->sheet, price_today(day), f.since_s * 1000,
               f.until_s * 1000);
    store *s = store_open(&(store_options){.mode = STORE_READ}, e);
    bool ok = s && store_requests(s, &f, each, b, e);
    store_close(s, NULL);
    ok = ok && cost_end(&b->cost, e);
    if (ok && strcmp(by, "day") == 0)
        qsort(b->cost.row, b->cost.n_rows, sizeof *b->cost.row, by_label);
    return ok;
}

static void close_bill(bill *b) {
    cost_deinit(&b->cost);
    price_sheet_close(&b->sheet);
}

/* ---- as text ---- */

static void money_cell(table *t, money m, bool known) {
    char text[MONEY_TEXT];
    bool nothing = m > 0 && strcmp(money_cents(m, text), "0.00") == 0;
    table_cell(t, "%s", !known ? "not known" : nothing ? "<0.01" : money_cents(m, text));
}

static void add_row(table *t, const cost *c, const cost_row *r, bool narrow) {
    char n[MONEY_TEXT];
    table_cell(t, "%s", r->label);
    table_cell(t, "%s", money_thousands(r->requests, n));
    table_cell(t, "%s", money_thousands(r->in + r->out, n));
    if (!narrow) {
        money_cell(t, r->work, c->work_known);
        money_cell(t, r->idle, c->idle_known);
        money_cell(t, r->capital, c->capital_known);
        money_cell(t, r->upkeep, true);
    }
    money_cell(t, cost_full(r), c->work_known && c->idle_known && c->capital_known);
    for (int i = 0; i < COST_HOSTED; i++) money_cell(t, r->hosted[i], c->hosted_known[i]);
}

static void print_premises(const bill *b) {
    const cost *c = &b->cost;
    char from[32], to[32], share[40];
    double use = (double)c->busy_ms / (double)(c->until_ms - c->since_ms);
    snprintf(share, sizeof share, use < 0.0001 ? "less than 0.01 %%" : "%.3g %%", 100 * use);
    out_printf("\n%s, from %s to %s; the machine worked %s of that time. Sunk view: electricity of "
               "the work\nalone. Full view: waiting, capital and labour too.\n",
               b->tariff.currency, amount_date(c->since_ms / 1000, "-", from),
               amount_date(c->until_ms / 1000, "-", to), share);
    if (!c->work_known)
        out_puts(
            "Electricity is not known: nothing measured it, and no watts or price are declared.\n");
    if (c->declared) out_puts("Electricity is by declared watts, not measured.\n");
    if (!c->capital_known || !c->work_known) out_puts("hearth cost setup says what is missing.\n");
    for (int i = 0; i < COST_HOSTED; i++)
        out_printf("%s: %s%s\n", hosted_words[i],
                   c->hosted[i] ? c->hosted[i]->id : "not in the sheet",
                   i == COST_SAME && c->stand_in
                       ? " (a stand-in: no host of these weights is in the sheet)"
                       : "");
    out_printf("prices: %s, SHA-256 %.16s\n", b->sheet.name, b->sheet.sha256);
}

static void percent(double u, char *dst, size_t cap) {
    if (isnan(u)) snprintf(dst, cap, "not known");
    else if (isinf(u)) snprintf(dst, cap, "never");
    else if (u > 1) snprintf(dst, cap, "never (%.0f %%)", 100 * u);
    else snprintf(dst, cap, "%.3g %%", 100 * u);
}

static void print_break_even(const cost *c) {
    owning o;
    bool whole = cost_owning(c, &o);
    out_printf("\nBreak-even: how much of its time the machine must work%s\n",
               whole ? "" : ", at least: what is not known is left out");
    table *t = table_new("against|>full view|>sunk view|>months to get the price back");
    for (int i = 0; i < COST_HOSTED; i++) {
        char full[40], sunk[40];
        owning_year y = owning_ask(&o, cost_full_value(c, i));
        percent(y.break_even, full, sizeof full);
        percent(y.break_even_sunk, sunk, sizeof sunk);
        table_cell(t, "%s", hosted_words[i]);
        table_cell(t, "%s", full);
        table_cell(t, "%s", sunk);
        if (isnan(y.months)) table_cell(t, "not known");
        else if (isinf(y.months)) table_cell(t, "never");
        else table_cell(t, "%.3g of full work", y.months);
    }
    table_print(t);
    table_free(t);
}

/* One premise changed at a time. */
static void print_sensitivity(const cost *c) {
    owning o;
    cost_owning(c, &o);
    const struct {
        const char *what;
        owning o;
        double value; /* factor of the hosted value */
    } cases[] = {
        {"as it is", o, 1},
        {"electricity at half its price", o, 1},
        {"electricity at twice its price", o, 1},
        {"a life two years longer", o, 1},
        {"no resale", o, 1},
        {"twice as fast (batching)", o, 2},
        {"half as fast", o, 0.5},
        {"hosted prices halved", o, 0.5},
        {"hosted prices doubled", o, 2},
    };
    out_puts("\nHow the full view's break-even depends on each premise\n");
    table *t = table_new("premise|>same weights|>cheap|>flagship");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        owning now = cases[i].o;
        if (i == 1) now.kwh_price /= 2;
        if (i == 2) now.kwh_price *= 2;
        if (i == 3) now.years += 2;
        if (i == 4) now.resale = 0;
        table_cell(t, "%s", cases[i].what);
        for (int k = 0; k < COST_HOSTED; k++) {
            char text[40];
            percent(owning_ask(&now, cost_full_value(c, k) * cases[i].value).break_even, text,
                    sizeof text);
            table_cell(t, "%s", text);
        }
    }
    table_print(t);
    table_free(t);
}

static double full_of(const cost_row *r) {
    return (double)cost_full(r);
}

static double flagship_of(const cost_row *r) {
    return (double)r->hosted[COST_FLAGSHIP];
}

static void print_days(const char *title, const cost *c, double (*of)(const cost_row *r)) {
    const char **label = calloc(c->n_rows, sizeof *label);
    double *value = calloc(c->n_rows, sizeof *value);
    for (size_t i = 0; label && value && i < c->n_rows; i++) {
        label[i] = c->row[i].label;
        value[i] = of(&c->row[i]);
    }
    if (label && value) chart_columns(title, label, value, c->n_rows);
    free(label);
    free(value);
}

/* What is known of the whole, as bars of one scale; of days also as columns. */
static void print_charts(const bill *b) {
    const cost *c = &b->cost;
    bool full = c->work_known && c->idle_known && c->capital_known;
    const struct {
        const char *name;
        money m;
        bool known;
    } bars[] = {
        {"here, full view", cost_full(&c->sum), full},
        {"here, sunk view", cost_sunk(&c->sum), c->work_known},
        {hosted_words[COST_SAME], c->sum.hosted[COST_SAME], c->hosted_known[COST_SAME]},
        {hosted_words[COST_CHEAP], c->sum.hosted[COST_CHEAP], c->hosted_known[COST_CHEAP]},
        {hosted_words[COST_FLAGSHIP], c->sum.hosted[COST_FLAGSHIP], c->hosted_known[COST_FLAGSHIP]},
    };
    enum { N_BARS = sizeof bars / sizeof *bars };
    double most = 0;
    for (size_t i = 0; i < N_BARS; i++)
        if (bars[i].known && (double)bars[i].m > most) most = (double)bars[i].m;
    out_puts("\n");
    table *t = table_new("all of it|>cost|");
    for (size_t i = 0; i < N_BARS; i++) {
        char bar[CHART_BAR_BYTES] = "";
        table_cell(t, "%s", bars[i].name);
        money_cell(t, bars[i].m, bars[i].known);
        table_cell(t, "%s", bars[i].known ? chart_bar((double)bars[i].m, most, 40, bar) : bar);
    }
    table_print(t);
    table_free(t);
    if (strcmp(b->by, "day") != 0) return;
    if (full) print_days("here, full view, by day", c, full_of);
    if (c->hosted_known[COST_FLAGSHIP]) print_days("flagship, by day", c, flagship_of);
}

/* Narrow: for a terminal that the parts of what it cost here would not fit. */
static table *rows_table(const bill *b, bool narrow) {
    const cost *c = &b->cost;
    char heading[200];
    snprintf(heading, sizeof heading, "%s|>requests|>tokens%s|>%s|>same weights|>cheap|>flagship",
             b->by, narrow ? "" : "|>work|>waiting|>capital|>upkeep", narrow ? "here" : "full");
    table *t = table_new(heading);
    for (size_t i = 0; i < c->n_rows; i++) add_row(t, c, &c->row[i], narrow);
    if (c->n_rows > 1) add_row(t, c, &c->sum, narrow);
    return t;
}

static int print_text(const bill *b) {
    const cost *c = &b->cost;
    table *t = rows_table(b, false);
    if (out_is_terminal() && (int)table_width(t) > terminal_width()) {
        table_free(t);
        t = rows_table(b, true);
    }
    table_print(t);
    table_free(t);
    if (out_is_terminal()) print_charts(b);
    print_premises(b);
    if (c->capital_known || c->work_known) {
        print_break_even(c);
        print_sensitivity(c);
    }
    return ERR_NONE;
}

/* ---- as JSON ---- */

static void json_money(jsonw *w, const char *key, money m, bool known) {
    char text[MONEY_TEXT];
    jsonw_key(w, key);
    if (known) jsonw_raw(w, str_of(money_exact(m, text)));
    else jsonw_null(w);
}

static void json_row(jsonw *w, const cost *c, const char *by, const cost_row *r) {
    jsonw_object(w);
    jsonw_key(w, by), jsonw_str(w, str_of(r->label));
    jsonw_key(w, "requests"), jsonw_int(w, r->requests);
    jsonw_key(w, "tokens_in"), jsonw_int(w, r->in);
    jsonw_key(w, "tokens_cached"), jsonw_int(w, r->cached);
    jsonw_key(w, "tokens_out"), jsonw_int(w, r->out);
    jsonw_key(w, "busy_ms"), jsonw_int(w, r->busy_ms);
    json_money(w, "electricity_work", r->work, c->work_known);
    json_money(w, "electricity_waiting", r->idle, c->idle_known);
    json_money(w, "capital", r->capital, c->capital_known);
    json_money(w, "upkeep", r->upkeep, true);
    json_money(w, "sunk", cost_sunk(r), c->work_known);
    json_money(w, "full", cost_full(r), c->work_known && c->idle_known && c->capital_known);
    for (int i = 0; i < COST_HOSTED; i++)
        json_money(w, hosted_names[i], r->hosted[i], c->hosted_known[i]);
    jsonw_end(w);
}

static void json_break_even(jsonw *w, const cost *c) {
    owning o;
    bool whole = cost_owning(c, &o);
    jsonw_key(w, "break_even");
    jsonw_object(w);
    jsonw_key(w, "complete"), jsonw_bool(w, whole);
    for (int i = 0; i < COST_HOSTED; i++) {
        owning_year y = owning_ask(&o, cost_full_value(c, i));
        jsonw_key(w, hosted_names[i]);
        jsonw_object(w);
        jsonw_key(w, "utilisation"), jsonw_f64(w, y.break_even);
        jsonw_key(w, "utilisation_sunk"), jsonw_f64(w, y.break_even_sunk);
        jsonw_key(w, "months"), jsonw_f64(w, y.months);
        jsonw_key(w, "never");
        if (isnan(y.break_even)) jsonw_null(w); /* nothing was used that could be worth it */
        else jsonw_bool(w, !(y.break_even <= 1));
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void print_json(const bill *b) {
    const cost *c = &b->cost;
    buf out;
    jsonw w;
    buf_init(&out, LIMIT_JSON_BYTES);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_key(&w, "currency"), jsonw_str(&w, str_of(b->tariff.currency));
    jsonw_key(&w, "since"), jsonw_int(&w, c->since_ms / 1000);
    jsonw_key(&w, "until"), jsonw_int(&w, c->until_ms / 1000);
    jsonw_key(&w, "busy_ms"), jsonw_int(&w, c->busy_ms);
    jsonw_key(&w, "electricity_is");
    jsonw_str(&w, !c->work_known ? STR("not_measured")
                  : c->declared  ? STR("declared")
                                 : STR("measured"));
    jsonw_key(&w, "sheet_sha256"), jsonw_str(&w, str_of(b->sheet.sha256));
    jsonw_key(&w, "stand_in"), jsonw_bool(&w, c->stand_in);
    jsonw_key(&w, "rows");
    jsonw_array(&w);
    for (size_t i = 0; i < c->n_rows; i++) json_row(&w, c, b->by, &c->row[i]);
    jsonw_end(&w);
    jsonw_key(&w, "sum"), json_row(&w, c, b->by, &c->sum);
    json_break_even(&w, c);
    jsonw_end(&w);
    out_json(&out);
}

static int run(const cli_args *a) {
    err e = {0};
    bill b = {0};
    int code = read_bill(&b, a, cli_text(a, "by", "key"), &e) ? ERR_NONE : cli_fail(&e);
    if (!code && cli_flag(a, "json")) print_json(&b);
    else if (!code && b.cost.n_rows == 0) note("nothing was used in that time");
    else if (!code) code = print_text(&b);
    close_bill(&b);
    return code;
}

/* ---- split ---- */

static bool print_shares(const cost *c, money whole, err *e) {
    int64_t *weight = calloc(c->n_rows + 1, sizeof *weight), sum = 0;
    money *part = calloc(c->n_rows + 1, sizeof *part);
    bool ok = weight && part;
    for (size_t i = 0; ok && i < c->n_rows; i++) sum += weight[i] = c->row[i].busy_ms;
    ok = ok && cost_split(money_in_cents(whole), weight, c->n_rows, part);
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    buf_puts(&b, "key,requests,tokens_in,tokens_out,seconds,share,amount\n");
    for (size_t i = 0; ok && i < c->n_rows; i++) {
        const cost_row *r = &c->row[i];
        int64_t cents = (int64_t)part[i];
        csv_write(&b, r->label, false);
        buf_printf(&b, "%lld,%lld,%lld,%.3f,%.6f,%lld.%02d\n", (long long)r->requests,
                   (long long)r->in, (long long)r->out, (double)r->busy_ms / 1e3,
                   sum ? (double)weight[i] / (double)sum : 1 / (double)c->n_rows,
                   (long long)(cents / 100), (int)(cents % 100));
    }
    ok = ok && !b.failed;
    if (ok) out_buf(&b);
    buf_deinit(&b);
    free(weight);
    free(part);
    return ok || err_set(e, ERR_FAILED, "out of memory");
}

static bool split(bill *b, const cli_args *a, err *e) {
    const char *total = cli_text(a, "total", NULL);
    int64_t micro = 0;
    if (total && !money_micro(total, &micro))
        return err_set(e, ERR_USAGE, "--total: \"%s\" is no amount like 25.00", total);
    if (!read_bill(b, a, "key", e)) return false;
    const cost *c = &b->cost;
    if (!total && !(c->work_known && c->idle_known && c->capital_known))
        return err_set(e, ERR_USAGE,
                       "what the machine cost is not fully known: hearth cost setup, "
                       "or say it by --total");
    if (c->n_rows == 0) return err_set(e, ERR_NOT_FOUND, "nobody used anything in that time");
    return print_shares(c, total ? (money)micro * MONEY_MICRO : cost_full(&c->sum), e);
}

static int run_split(const cli_args *a) {
    err e = {0};
    bill b = {0};
    int code = split(&b, a, &e) ? ERR_NONE : cli_fail(&e);
    close_bill(&b);
    return code;
}

static const cli_option options[] = {
    {"by", 0, CLI_CHOICE, "key|model|day", "what to add up by; default key", 0, 0},
    {"since", 0, CLI_TEXT, "TIME", "from then on: 7d, today, or a day; default this month", 0, 0},
    {"until", 0, CLI_TEXT, "TIME", "before then; default now", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_cost = {
    .name = "cost",
    .summary = "what was used cost here, and would have cost elsewhere",
    .args = "",
    .about =
        "Prints what the requests of this month cost here, electricity, capital and upkeep (labour "
        "and repairs) apart, and beside it what the same requests would have cost at three prices, "
        "always the three: the same weights hosted by others, a cheap fast model, and a flagship. "
        "Below it how much of its time the machine must work to be worth its price, and how that "
        "depends on each premise.\n\nThe machine's own costs are divided among rows by the time of "
        "their requests. What it costs is declared once by hearth cost setup; what is not known is "
        "said to be so, never put in by a guess.",
    .examples = "  hearth cost setup\n  hearth cost\n  hearth cost --by model --since 7d --json",
    .options = options,
    .run = run,
};

static const cli_option split_options[] = {
    {"total", 0, CLI_TEXT, "AMOUNT", "the amount to divide; default what the machine cost", 0, 0},
    {"since", 0, CLI_TEXT, "TIME", "from then on: 7d, today, or a day; default this month", 0, 0},
    {"until", 0, CLI_TEXT, "TIME", "before then; default now", 0, 0},
    {0},
};

const cli_command cmd_cost_split = {
    .name = "cost split",
    .summary = "divide a shared machine's bill by key, as CSV",
    .args = "",
    .about = "Divides what the machine cost, or --total, among the keys by the time that their "
             "requests took, to the cent and without remainder: cents that are left over go to the "
             "largest fractions.",
    .examples = "  hearth cost split > november.csv\n  hearth cost split --total 25.00 --since 30d",
    .options = split_options,
    .run = run_split,
};
