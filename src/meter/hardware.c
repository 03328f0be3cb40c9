#include "meter/hardware.h"

#include <math.h>
#include <strings.h>

#include "base/csv.h"
#include "base/data.h"
#include "base/limits.h"
#include "meter/prices.h"

static bool read_figure(const csv *c, size_t row, const char *column, const char *name, double *to,
                        err *e) {
    const char *text = csv_cell(c, row, csv_column(c, column));
    *to = NAN;
    if (!*text) return true;
    if (!str_to_f64(str_of(text), to) || *to < 0)
        return err_set(e, ERR_DAMAGED, "%s:%d: %s: no figure", name, c->line[row], column);
    return true;
}

static bool read_machine(machine *m, arena *memory, const csv *c, size_t row, const char *name,
                         err *e) {
    const char *price = csv_cell(c, row, csv_column(c, "price_usd"));
    const char *columns[] = {"name", "speed_model", "as_of", "source"};
    const char **to[] = {&m->name, &m->speed_model, &m->as_of, &m->source};
    for (int i = 0; i < 4; i++) {
        *to[i] = arena_strdup(memory, str_of(csv_cell(c, row, csv_column(c, columns[i]))));
        if (!*to[i]) return err_set(e, ERR_NO_FIT, "%s: too large to be read", name);
    }
    m->price = -1;
    m->by_hour = strcmp(csv_cell(c, row, csv_column(c, "price_per")), "hour") == 0;
    if (!*m->name) return err_set(e, ERR_DAMAGED, "%s:%d: no name", name, c->line[row]);
    if (*price && !money_micro(price, &m->price))
        return err_set(e, ERR_DAMAGED, "%s:%d: price_usd: no price", name, c->line[row]);
    return read_figure(c, row, "idle_w", name, &m->idle_w, e) &&
           read_figure(c, row, "load_w", name, &m->load_w, e) &&
           read_figure(c, row, "prefill_tps", name, &m->prefill_tps, e) &&
           read_figure(c, row, "decode_tps", name, &m->decode_tps, e) &&
           read_figure(c, row, "memory_gb", name, &m->memory_gb, e) &&
           read_figure(c, row, "mem_bandwidth_gbs", name, &m->bandwidth_gbs, e);
}

bool hardware_read(hardware *h, str text, const char *name, err *e) {
    csv c;
    *h = (hardware){0};
    if (!csv_read(&c, text, name, e)) return false;
    h->memory = arena_new(LIMIT_CSV_MEMORY);
    h->row = h->memory ? arena_calloc(h->memory, c.n_rows + 1, sizeof *h->row) : NULL;
    bool ok = h->row || err_set(e, ERR_FAILED, "out of memory");
    for (; ok && h->n < c.n_rows; h->n++)
        ok = read_machine(&h->row[h->n], h->memory, &c, h->n, name, e);
    csv_deinit(&c);
    if (!ok) hardware_close(h);
    return ok;
}

bool hardware_open(hardware *h, err *e) {
    const data_file *f = data_find("hardware.csv");
    if (f) return hardware_read(h, data_text(f), f->name, e);
    return err_set(e, ERR_NOT_FOUND, "no table of machines is built into this program");
}

void hardware_close(hardware *h) {
    arena_free(h->memory);
    *h = (hardware){0};
}

size_t hardware_match(const hardware *h, const char *words, const machine **found, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++)
        if (strcasecmp(h->row[i].name, words) == 0 && n++ < max) found[n - 1] = &h->row[i];
    if (n > 0) return n;
    for (size_t i = 0; i < h->n; i++)
        if (price_words(words, h->row[i].name) && n++ < max) found[n - 1] = &h->row[i];
    return n;
}

/* ---- owning ---- */

#define KWH_A_WATT_YEAR 8.76

double owning_cost(const owning *o, double use) {
    double watts = o->idle_w * (1 - use) + o->load_w * use;
    return o->price * (1 - o->resale) / o->years + o->labour + o->repairs +
           watts * KWH_A_WATT_YEAR * o->kwh_price;
}

owning_year owning_ask(const owning *o, double full_value) {
    owning_year y = {.fixed = owning_cost(o, 0)};
    y.variable = owning_cost(o, 1) - y.fixed;
    if (isnan(full_value)) { /* what a year's work is worth is not known */
        y.break_even = y.break_even_sunk = y.months = NAN;
        return y;
    }
    double margin = full_value - y.variable;
    double sunk = y.fixed - o->price * (1 - o->resale) / o->years;
    double cash = full_value - y.variable - sunk;
    y.break_even = margin > 0 ? y.fixed / margin : INFINITY;
    y.break_even_sunk = margin > 0 ? sunk / margin : INFINITY;
    y.months = cash > 0 ? 12 * o->price / cash : INFINITY;
    return y;
}
