#include "meter/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void cost_begin(cost *c, const tariff *t, const price_sheet *s, const char *day, int64_t since_ms,
                int64_t until_ms) {
    *c = (cost){.tariff = t, .sheet = s, .since_ms = since_ms, .until_ms = until_ms};
    snprintf(c->day, sizeof c->day, "%s", day);
    snprintf(c->sum.label, sizeof c->sum.label, "all");
    c->all_measured = true;
    c->hosted[COST_CHEAP] = price_find(s, t->cheap, day);
    c->hosted[COST_FLAGSHIP] = price_find(s, t->flagship, day);
    for (int i = 0; i < COST_HOSTED; i++) c->hosted_known[i] = i == COST_SAME || c->hosted[i];
}

void cost_deinit(cost *c) {
    free(c->row);
    free(c->span);
    *c = (cost){0};
}

/* ---- requests ---- */

static cost_row *row_of(cost *c, const char *label) {
    for (size_t i = 0; i < c->n_rows; i++)
        if (strcmp(c->row[i].label, label) == 0) return &c->row[i];
    if (c->n_rows == c->cap_rows) {
        size_t cap = c->cap_rows ? 2 * c->cap_rows : 16;
        cost_row *more = realloc(c->row, cap * sizeof *more);
        if (!more) return NULL;
        c->row = more;
        c->cap_rows = cap;
    }
    cost_row *r = &c->row[c->n_rows++];
    *r = (cost_row){0};
    snprintf(r->label, sizeof r->label, "%s", label);
    return r;
}

static bool add_span(cost *c, int64_t begin, int64_t end) {
    if (begin < c->since_ms) begin = c->since_ms;
    if (end > c->until_ms) end = c->until_ms;
    if (end <= begin) return true;
    if (c->n_spans == c->cap_spans) {
        size_t cap = c->cap_spans ? 2 * c->cap_spans : 256;
        int64_t(*more)[2] = realloc(c->span, cap * sizeof *more);
        if (!more) return false;
        c->span = more;
        c->cap_spans = cap;
    }
    c->span[c->n_spans][0] = begin;
    c->span[c->n_spans++][1] = end;
    return true;
}

static const price_row *same_weights(cost *c, const char *model) {
    const char *named = tariff_stand_in(c->tariff, model);
    const price_row *r = named ? price_find(c->sheet, named, c->day)
                               : price_same_weights(c->sheet, model, c->day);
    if (r) return r;
    c->stand_in = true;
    return price_cheapest_open(c->sheet, c->day);
}

/* An entry of several requests is billed as so many equal ones; what does not divide is one
 * more. */
static money bill(const cost *c, const price_row *p, const cost_request *r) {
    int64_t n = r->requests > 1 ? r->requests : 1;
    price_usage one = {.in = r->in / n, .cached = r->cached / n, .out = r->out / n};
    price_usage rest = {.in = r->in % n, .cached = r->cached % n, .out = r->out % n};
    if (rest.cached > rest.in) rest.cached = rest.in;
    money m = price_bill(c->sheet, p, &one, c->day) * n + price_bill(c->sheet, p, &rest, c->day);
    return tariff_of_usd(c->tariff, m);
}

bool cost_add(cost *c, const char *label, const cost_request *r, err *e) {
    cost_row *row = row_of(c, label);
    int64_t ms = r->end_ms > r->begin_ms ? r->end_ms - r->begin_ms : 0;
    if (!row || !add_span(c, r->begin_ms, r->end_ms))
        return err_set(e, ERR_FAILED, "out of memory");
    row->requests += r->requests;
    row->in += r->in, row->cached += r->cached, row->out += r->out;
    row->busy_ms += ms;
    c->hosted[COST_SAME] = same_weights(c, r->model);
    if (!c->hosted[COST_SAME]) c->hosted_known[COST_SAME] = false;
    for (int i = 0; i < COST_HOSTED; i++)
        if (c->hosted[i]) row->hosted[i] += bill(c, c->hosted[i], r);
    if (isnan(r->joules)) {
        c->all_measured = false;
    } else {
        c->any_measured = true;
        if (c->tariff->kwh_known)
            row->measured += tariff_electricity(c->tariff, r->begin_ms, r->begin_ms + ms,
                                                llround(r->joules * 1000));
    }
    return true;
}

/* ---- the machine ---- */

static int by_begin(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* Spans that touch become one. */
static void merge(cost *c) {
    size_t n = 0;
    if (c->n_spans) qsort(c->span, c->n_spans, sizeof *c->span, by_begin);
    for (size_t i = 0; i < c->n_spans; i++) {
        if (n > 0 && c->span[i][0] <= c->span[n - 1][1]) {
            if (c->span[i][1] > c->span[n - 1][1]) c->span[n - 1][1] = c->span[i][1];
            continue;
        }
        c->span[n][0] = c->span[i][0];
        c->span[n++][1] = c->span[i][1];
    }
    c->n_spans = n;
    for (size_t i = 0; i < n; i++) c->busy_ms += c->span[i][1] - c->span[i][0];
}

bool cost_split(money whole, const int64_t *weight, size_t n, money *part) {
    if (n == 0) return true;
    money sum = 0, left = whole;
    money *rest = malloc(n * sizeof *rest);
    if (!rest) return false;
    for (size_t i = 0; i < n; i++) sum += weight[i];
    for (size_t i = 0; i < n; i++) {
        money share = sum ? whole * weight[i] : whole, by = sum ? sum : (money)n;
        part[i] = share / by;
        rest[i] = share % by;
        left -= part[i];
    }
    while (left > 0) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (rest[i] > rest[best]) best = i;
        part[best]++;
        rest[best] = -1;
        left--;
    }
    free(rest);
    return true;
}

/* Electricity by declared watts: waiting all the time, and the rest while anything was computed. */
static money declared_work(const cost *c) {
    money m = 0;
    double watts = c->tariff->load_w - c->tariff->idle_w;
    for (size_t i = 0; i < c->n_spans; i++) {
        int64_t begin = c->span[i][0], end = c->span[i][1];
        m += tariff_electricity(c->tariff, begin, end, llround(watts * (double)(end - begin)));
    }
    return m;
}

static money declared_idle(const cost *c) {
    int64_t ms = c->until_ms - c->since_ms;
    return tariff_electricity(c->tariff, c->since_ms, c->until_ms,
                              llround(c->tariff->idle_w * (double)ms));
}

static bool share_out(cost *c, money whole, size_t offset, const int64_t *weight, money *part) {
    if (!cost_split(whole, weight, c->n_rows, part)) return false;
    for (size_t i = 0; i < c->n_rows; i++)
        *(money *)(void *)((char *)&c->row[i] + offset) = part[i];
    return true;
}

static bool divide_all(cost *c, int64_t *weight, money *part) {
    const tariff *t = c->tariff;
    int64_t ms = c->until_ms - c->since_ms;
    for (size_t i = 0; i < c->n_rows; i++) weight[i] = c->row[i].busy_ms;
    bool watts = t->kwh_known && !isnan(t->idle_w) && !isnan(t->load_w) && t->load_w >= t->idle_w;
    bool measured = t->kwh_known && c->all_measured && c->any_measured;
    c->declared = watts && !measured;
    c->work_known = measured || watts;
    c->idle_known = t->kwh_known && !isnan(t->idle_w);
    c->capital_known = t->price >= 0;
    if (measured)
        for (size_t i = 0; i < c->n_rows; i++) c->row[i].work = c->row[i].measured;
    return (measured || !watts ||
            share_out(c, declared_work(c), offsetof(cost_row, work), weight, part)) &&
           (!c->idle_known ||
            share_out(c, declared_idle(c), offsetof(cost_row, idle), weight, part)) &&
           share_out(c, tariff_capital(t, ms), offsetof(cost_row, capital), weight, part) &&
           share_out(c, tariff_upkeep(t, ms), offsetof(cost_row, upkeep), weight, part);
}

static void add_up(cost_row *sum, const cost_row *r) {
    sum->requests += r->requests;
    sum->in += r->in, sum->cached += r->cached, sum->out += r->out;
    sum->busy_ms += r->busy_ms;
    sum->work += r->work, sum->idle += r->idle;
    sum->capital += r->capital, sum->upkeep += r->upkeep;
    for (int i = 0; i < COST_HOSTED; i++) sum->hosted[i] += r->hosted[i];
}

bool cost_end(cost *c, err *e) {
    merge(c);
    int64_t *weight = calloc(c->n_rows + 1, sizeof *weight);
    money *part = calloc(c->n_rows + 1, sizeof *part);
    bool ok = weight && part && divide_all(c, weight, part);
    free(weight);
    free(part);
    for (size_t i = 0; i < c->n_rows; i++) add_up(&c->sum, &c->row[i]);
    return ok || err_set(e, ERR_FAILED, "out of memory");
}

money cost_sunk(const cost_row *r) {
    return r->work;
}

money cost_full(const cost_row *r) {
    return r->work + r->idle + r->capital + r->upkeep;
}

/* ---- break-even ---- */

bool cost_owning(const cost *c, owning *o) {
    const tariff *t = c->tariff;
    bool power = t->kwh_known && !isnan(t->idle_w) && !isnan(t->load_w);
    *o = (owning){.price = t->price < 0 ? 0 : (double)t->price / 1e6,
                  .years = t->years,
                  .resale = t->price > 0 ? (double)t->resale / (double)t->price : 0,
                  .labour = (double)t->labour * 12 / 1e6,
                  .repairs = (double)t->repairs / 1e6,
                  .kwh_price = power ? tariff_kwh_mean(t) : 0,
                  .idle_w = power ? t->idle_w : 0,
                  .load_w = power ? t->load_w : 0};
    return power && t->price >= 0;
}

double cost_full_value(const cost *c, int hosted) {
    const double year_ms = 365 * 86400e3;
    if (c->busy_ms == 0 || !c->hosted_known[hosted]) return NAN;
    return money_f64(c->sum.hosted[hosted]) * year_ms / (double)c->busy_ms;
}
