/* The figures of a study. Each row is a metric of a cell: its value in every run, then the median
 * of the runs with its interval. Money follows from the tokens a second, so its interval is theirs.
 */
#include <math.h>
#include <stdlib.h>

#include "study/calc.h"

enum { MAX_RUNS = 1024 };
#define YEAR_S 31536000.0

const int study_uses[4] = {1, 10, 50, 100};

/* What a year of the machine costs, of method.json; NAN: not declared. */
typedef struct yearly {
    double capital, upkeep, idle_kwh, load_kwh; /* units of the currency; kWh cost of a year each */
    double rate;                                /* units for a dollar */
} yearly;

static double number(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static yearly yearly_of(const study_results *r) {
    const json_t *t = json_object_get(r->method, "tariff");
    double watts = number(t, "price_per_kwh") * 8.76;
    return (yearly){.capital = (number(t, "purchase_price") - number(t, "resale")) /
                               number(t, "years"),
                    .upkeep = number(t, "upkeep_per_year"),
                    .idle_kwh = number(t, "watts_idle") * watts,
                    .load_kwh = number(t, "watts_load") * watts,
                    .rate = number(t, "units_per_usd")};
}

typedef struct adder {
    study_results *r;
    study_figure base; /* of the present cell */
    bool failed;
    err *e;
} adder;

static void add(adder *a, const char *metric, const char *unit, study_spread v) {
    study_figure f = a->base;
    f.metric = metric, f.unit = unit, f.v = v;
    if (!study_figure_add(a->r, &f, a->e)) a->failed = true;
}

static study_spread point(double v, size_t n) {
    return (study_spread){v, NAN, NAN, isnan(v) ? 0 : n};
}

/* k / s: a larger s is a smaller value. */
static study_spread inverse(double k, study_spread s) {
    return (study_spread){k / s.median, k / s.high, k / s.low, s.n};
}

static double ratio(double a, double b) {
    return b > 0 ? a / b : NAN;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_first(const study_window *w) {
    if (w->n_first == 0) return NAN;
    qsort(w->first_s, w->n_first, sizeof *w->first_s, by_size);
    size_t n = w->n_first;
    return n % 2 ? w->first_s[n / 2] : (w->first_s[n / 2 - 1] + w->first_s[n / 2]) / 2;
}

typedef double (*of_window)(const study_window *w);

static double seconds(const study_window *w) {
    return (double)(w->end_us - w->begin_us) / 1e6;
}
static double out_tps(const study_window *w) {
    return ratio(w->out, seconds(w));
}
static double in_tps(const study_window *w) {
    return ratio(w->in, seconds(w));
}
static double prefill_tps(const study_window *w) {
    return ratio(w->computed, w->prefill_s);
}
static double decode_tps(const study_window *w) {
    return ratio(w->decoded, w->decode_s);
}
static double cached_share(const study_window *w) {
    return ratio(w->cached, w->prompt);
}
static double joules_per_token(const study_window *w) {
    return ratio(w->joules, w->out);
}
static double finished(const study_window *w) {
    return ratio(w->finished * 60, seconds(w));
}

static bool same_cell(const study_window *a, const study_window *b) {
    return a->model == b->model && a->arm == b->arm && a->workload == b->workload &&
           a->users == b->users && a->round >= 0 && !a->whole;
}

static study_spread over_runs(const adder *a, const study_window *cell, of_window of) {
    double v[MAX_RUNS];
    size_t n = 0;
    for (size_t i = 0; i < a->r->n_windows && n < MAX_RUNS; i++)
        if (same_cell(&a->r->window[i], cell)) v[n++] = of(&a->r->window[i]);
    return study_spread_of(v, n);
}

/* What a million tokens written costs here, when the machine works so much of its time. */
static void add_here(adder *a, const yearly *y, study_spread tps) {
    static const char *const names[3][4] = {
        {"capital_u1", "capital_u10", "capital_u50", "capital_u100"},
        {"electricity_u1", "electricity_u10", "electricity_u50", "electricity_u100"},
        {"total_u1", "total_u10", "total_u50", "total_u100"}};
    for (int i = 0; i < 4; i++) {
        double u = study_uses[i] / 100.0, mtok = YEAR_S * u / 1e6;
        double power = y->idle_kwh * (1 - u) + y->load_kwh * u;
        double fixed = y->capital + y->upkeep;
        add(a, names[0][i], "currency/Mtok", inverse(fixed / mtok, tps));
        add(a, names[1][i], "currency/Mtok", inverse(power / mtok, tps));
        add(a, names[2][i], "currency/Mtok", inverse((fixed + power) / mtok, tps));
    }
}

/* The same requests at hosted prices, all runs of the cell together. */
static void add_hosted(adder *a, const yearly *y, const study_window *cell) {
    static const char *const names[2][3] = {
        {"hosted_same_weights", "hosted_cheap", "hosted_flagship"},
        {"cache_saves_same_weights", "cache_saves_cheap", "cache_saves_flagship"}};
    money m[3] = {0}, whole[3] = {0}, billed = 0;
    double out = 0;
    size_t n = 0;
    bool has_bill = false;
    for (size_t i = 0; i < a->r->n_windows; i++) {
        const study_window *w = &a->r->window[i];
        if (!same_cell(w, cell)) continue;
        for (int k = 0; k < 3; k++) m[k] += w->hosted[k], whole[k] += w->hosted_uncached[k];
        out += w->all_out;
        billed += w->billed;
        has_bill = has_bill || w->has_bill;
        n++;
    }
    for (int k = 0; k < 3; k++) {
        bool known = a->r->price[cell->model][k].known && out > 0;
        double by = known ? 1e6 / out * y->rate : NAN;
        add(a, names[0][k], "currency/Mtok", point(money_f64(m[k]) * by, n));
        add(a, names[1][k], "currency/Mtok", point(money_f64(whole[k] - m[k]) * by, n));
    }
    if (has_bill)
        add(a, "billed", "currency/Mtok", point(money_f64(billed) * 1e6 / out * y->rate, n));
}

/* The whole works there and back, at this rate. */
static void add_works(adder *a, const yearly *y, study_spread tps) {
    static const char *const names[] = {"works_same_weights", "works_cheap", "works_flagship"};
    const json_t *m = json_array_get(json_object_get(a->r->method, "models"),
                                     (size_t)a->base.model);
    double tokens = number(m, "works_tokens");
    add(a, "works_hours", "hours", inverse(tokens / 3600, tps));
    for (int k = 0; k < 3; k++) {
        const study_price *p = &a->r->price[a->base.model][k];
        double usd = p->known ? tokens * (double)(p->in + p->out) / 1e12 : NAN;
        add(a, names[k], "currency", point(usd * y->rate, 1));
    }
}

static void add_cell(adder *a, const yearly *y, const study_window *cell) {
    study_spread tps = over_runs(a, cell, out_tps);
    a->base = (study_figure){.model = cell->model,
                             .arm = study_arms[cell->arm],
                             .workload = study_work_name((study_work)cell->workload),
                             .users = cell->users};
    add(a, "out_tps", "tokens/s", tps);
    add(a, "in_tps", "tokens/s", over_runs(a, cell, in_tps));
    add(a, "prefill_tps", "tokens/s", over_runs(a, cell, prefill_tps));
    add(a, "decode_tps", "tokens/s/user", over_runs(a, cell, decode_tps));
    add(a, "first_token", "s", over_runs(a, cell, median_first));
    add(a, "requests", "1/min", over_runs(a, cell, finished));
    add(a, "cached_share", "1", over_runs(a, cell, cached_share));
    add(a, "joules_per_token", "J", over_runs(a, cell, joules_per_token));
    if (cell->arm == 0) add_here(a, y, tps);
    add_hosted(a, y, cell);
    if (cell->workload == WORK_SHAKESPEARE) add_works(a, y, tps);
}

/* ---- questions ---- */

/* Wilson's interval of a share. */
static study_spread share_of(double right, double n) {
    if (n == 0) return (study_spread){NAN, NAN, NAN, 0};
    const double z = 1.959964;
    double p = right / n, middle = (p + z * z / (2 * n)) / (1 + z * z / n);
    double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n);
    return (study_spread){p, fmax(0, middle - half), fmin(1, middle + half), (size_t)n};
}

/* kind -1: all of them. */
static void add_questions(adder *a, const yearly *y, int model, int arm, int kind) {
    const study_results *r = a->r;
    double n = 0, right = 0;
    int64_t begin = INT64_MAX, end = 0;
    money bill = 0;
    for (size_t i = 0; i < r->n_answers; i++) {
        const study_answer *q = &r->answer[i];
        if (q->model != model || q->arm != arm || (kind >= 0 && q->kind != kind)) continue;
        n++;
        right += q->right;
        if (q->bill > 0) bill += q->bill;
        if (q->submit_us < begin) begin = q->submit_us;
        if (q->end_us > end) end = q->end_us;
    }
    if (n == 0) return;
    a->base = (study_figure){.model = model,
                             .arm = study_arms[arm],
                             .workload = kind < 0 ? "questions" : study_kinds[kind],
                             .users = 0};
    add(a, "asked", "1", point(n, (size_t)n));
    add(a, "right", "1", point(right, (size_t)n));
    add(a, "right_share", "1", share_of(right, n));
    if (kind >= 0) return;
    double s = (double)(end - begin) / 1e6,
           here = (y->capital + y->upkeep + y->load_kwh) * s / YEAR_S;
    double cost = arm == 0 ? here : money_f64(bill) * y->rate;
    add(a, "seconds", "s", point(s, (size_t)n));
    add(a, "cost_per_right", "currency", point(right > 0 ? cost / right : NAN, (size_t)n));
}

static int by_cell(const void *a, const void *b) {
    const study_window *const *x = a, *const *y = b;
    int d[] = {(*x)->model - (*y)->model, (*x)->arm - (*y)->arm, (*x)->workload - (*y)->workload,
               (*x)->users - (*y)->users};
    for (int i = 0; i < 4; i++)
        if (d[i]) return d[i];
    return *x < *y ? -1 : 1; /* as they came */
}

bool study_sum(study_results *r, err *e) {
    adder a = {.r = r, .e = e};
    yearly y = yearly_of(r);
    study_window **cell = malloc((r->n_windows + 1) * sizeof *cell);
    size_t n = 0;
    if (!cell) return err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < r->n_windows; i++)
        if (r->window[i].round >= 0 && !r->window[i].whole) cell[n++] = &r->window[i];
    qsort(cell, n, sizeof *cell, by_cell);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !same_cell(cell[i - 1], cell[i])) add_cell(&a, &y, cell[i]);
    for (int m = 0; m < r->n_models; m++)
        for (int arm = 0; arm < STUDY_ARMS; arm++)
            for (int kind = -1; kind < 4; kind++) add_questions(&a, &y, m, arm, kind);
    free(cell);
    return !a.failed;
}
