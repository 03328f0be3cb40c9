#include "meter/tariff.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/config.h"
#include "base/file.h"
#include "base/limits.h"

#define SLOT_MS (15 * 60 * 1000)
#define YEAR_MS (INT64_C(365) * 86400 * 1000)

void tariff_empty(tariff *t) {
    *t = (tariff){.currency = "USD",
                  .usd_rate = 1000000,
                  .price = -1,
                  .years = 3,
                  .idle_w = NAN,
                  .load_w = NAN,
                  .cheap = "openai/gpt-5.6-luna",
                  .flagship = "anthropic/claude-opus-5"};
}

/* ---- times of the week ---- */

static int day_named(const char *p) {
    static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    for (int i = 0; i < 7; i++)
        if (strncasecmp(p, days[i], 3) == 0) return i;
    return -1;
}

/* "07:00" at p, in quarters of an hour; -1: none. */
static int quarter_at(const char *p) {
    for (int i = 0; i < 5; i++)
        if (i == 2 ? p[i] != ':' : p[i] < '0' || p[i] > '9') return -1;
    int hour = (p[0] - '0') * 10 + p[1] - '0', minute = (p[3] - '0') * 10 + p[4] - '0';
    int quarter = hour * 4 + minute / 15;
    return minute % 15 == 0 && minute < 60 && quarter <= 96 ? quarter : -1;
}

static void set_times(int64_t slot[TARIFF_SLOTS], int first, int last, int from, int to,
                      int64_t v) {
    for (int i = 0; i <= (last - first + 7) % 7; i++) {
        int day = (first + i) % 7;
        int n = from < to ? to - from : 96 - from + to; /* 22:00-06:00 goes on into the next day */
        for (int q = 0; q < n; q++) slot[(day * 96 + from + q) % TARIFF_SLOTS] = v;
    }
}

bool tariff_times(const char *text, int64_t slot[TARIFF_SLOTS], err *e) {
    const char *p = text, *equals = strchr(text, '=');
    int first = 0, last = 6, from, to;
    char value[40] = "";
    int64_t v;
    while (*p == ' ') p++;
    if (isalpha((unsigned char)*p)) {
        first = last = day_named(p);
        p += 3;
        if (first >= 0 && *p == '-') {
            last = day_named(p + 1);
            p += 4;
        }
        if (first < 0 || last < 0) goto bad;
        while (*p == ' ') p++;
    }
    from = quarter_at(p);
    to = from >= 0 && p[5] == '-' ? quarter_at(p + 6) : -1;
    if (from < 0 || from == 96 || to < 0 || from == to || !equals) goto bad;
    for (p += 11; *p == ' '; p++) continue;
    snprintf(value, sizeof value, "%.*s", (int)str_trim(str_of(equals + 1)).n,
             str_trim(str_of(equals + 1)).p);
    if (p != equals || !money_micro(value, &v)) goto bad;
    set_times(slot, first, last, from, to, v);
    return true;
bad:
    return err_set(e, ERR_USAGE,
                   "\"%.80s\" is none like \"mon-fri 07:00-21:00 = 0.28\" (in quarters of an hour)",
                   text);
}

/* ---- reading ---- */

typedef struct reader {
    const config *c;
    const char *name;
} reader;

static bool one_text(const reader *r, const char *section, const char *name, const char **to,
                     int *line, err *e) {
    const config_item *i = config_find(r->c, section, name);
    *to = NULL;
    if (!i) return true;
    *line = i->line;
    if (i->array || i->value->kind == CONFIG_BOOL)
        return err_set(e, ERR_USAGE, "%s:%d: %s wants one value", r->name, i->line, name);
    *to = i->value->text;
    return true;
}

static bool amount(const reader *r, const char *section, const char *name, int64_t *to, err *e) {
    const char *text;
    int line = 0;
    if (!one_text(r, section, name, &text, &line, e) || !text)
        return text == NULL && !(e && e->code);
    return money_micro(text, to) ||
           err_set(e, ERR_USAGE, "%s:%d: %s: \"%.40s\" is no amount", r->name, line, name, text);
}

static bool figure(const reader *r, const char *section, const char *name, double min, double max,
                   double *to, err *e) {
    const char *text;
    int line = 0;
    if (!one_text(r, section, name, &text, &line, e) || !text)
        return text == NULL && !(e && e->code);
    double v;
    if (!str_to_f64(str_of(text), &v) || v < min || v > max)
        return err_set(e, ERR_USAGE, "%s:%d: %s: \"%.40s\" is not between %g and %g", r->name, line,
                       name, text, min, max);
    *to = v;
    return true;
}

static bool words(const reader *r, const char *section, const char *name, char *to, size_t cap,
                  err *e) {
    const char *text;
    int line = 0;
    if (!one_text(r, section, name, &text, &line, e) || !text)
        return text == NULL && !(e && e->code);
    int n = snprintf(to, cap, "%s", text);
    return (n > 0 && (size_t)n < cap) ||
           err_set(e, ERR_USAGE, "%s:%d: %s: empty, or longer than %zu bytes", r->name, line, name,
                   cap - 1);
}

static bool times(const reader *r, const char *name, int64_t slot[TARIFF_SLOTS], bool *any,
                  err *e) {
    const config_item *i = config_find(r->c, "tariff", name);
    for (size_t k = 0; i && k < i->n_values; k++) {
        if (!tariff_times(i->value[k].text, slot, e))
            return err_wrap(e, "%s:%d: %s", r->name, i->value[k].line, name);
        *any = true;
    }
    return true;
}

static bool stand_ins(const reader *r, tariff *t, err *e) {
    const config_item *i = config_find(r->c, "compare", "same-weights");
    for (size_t k = 0; i && k < i->n_values; k++) {
        tariff_pair *p = &t->stand_in[t->n_stand_ins];
        str text = str_of(i->value[k].text);
        size_t at = str_find(text, STR("="), 0);
        str model = str_trim((str){text.p, at == (size_t)-1 ? 0 : at});
        str id = at == (size_t)-1 ? (str){0} : str_trim((str){text.p + at + 1, text.n - at - 1});
        if (t->n_stand_ins == TARIFF_STAND_INS || !model.n || !id.n || model.n >= sizeof p->model ||
            id.n >= sizeof p->id)
            return err_set(e, ERR_USAGE,
                           "%s:%d: same-weights: at most %d like \"qwen3-8b* = groq/gpt-oss-20b\"",
                           r->name, i->value[k].line, TARIFF_STAND_INS);
        snprintf(p->model, sizeof p->model, "%.*s", STR_ARG(model));
        snprintf(p->id, sizeof p->id, "%.*s", STR_ARG(id));
        t->n_stand_ins++;
    }
    return true;
}

static bool read_prices(const reader *r, tariff *t, err *e) {
    int64_t flat = -1, export = 0, sun[TARIFF_SLOTS] = {0};
    bool varies = false;
    if (!amount(r, "tariff", "price-per-kwh", &flat, e) ||
        !amount(r, "tariff", "export-price", &export, e))
        return false;
    for (int i = 0; i < TARIFF_SLOTS; i++) t->kwh[i] = flat;
    if (!times(r, "time-of-use", t->kwh, &varies, e) || !times(r, "solar", sun, &varies, e))
        return false;
    t->kwh_known = true;
    for (int i = 0; i < TARIFF_SLOTS; i++) {
        if (t->kwh[i] < 0) t->kwh_known = false;
        if (sun[i] > 1000000)
            return err_set(e, ERR_USAGE, "%s: solar: a share above 1 of what the machine uses",
                           r->name);
        /* A kilowatt-hour of one's own sun costs what the grid would have paid for it. */
        t->kwh[i] = (int64_t)(money_ratio(t->kwh[i], 1000000 - sun[i], 1000000) +
                              money_ratio(export, sun[i], 1000000));
    }
    t->varies = varies;
    if (!t->kwh_known && varies)
        return err_set(e, ERR_USAGE, "%s: price-per-kwh is missing, for the times left open",
                       r->name);
    return true;
}

static bool known_names(const reader *r, err *e) {
    static const char *const names[][2] = {
        {"machine", "purchase-price"}, {"machine", "years"},
        {"machine", "resale"},         {"machine", "repairs-per-year"},
        {"machine", "watts-idle"},     {"machine", "watts-load"},
        {"labour", "hours-per-month"}, {"labour", "price-per-hour"},
        {"tariff", "currency"},        {"tariff", "units-per-usd"},
        {"tariff", "price-per-kwh"},   {"tariff", "time-of-use"},
        {"tariff", "solar"},           {"tariff", "export-price"},
        {"compare", "cheap"},          {"compare", "flagship"},
        {"compare", "same-weights"}};
    for (size_t i = 0; i < r->c->n_items; i++) {
        const config_item *item = &r->c->item[i];
        bool found = false;
        for (size_t k = 0; k < sizeof names / sizeof *names && !found; k++)
            found = strcmp(names[k][0], item->section) == 0 && strcmp(names[k][1], item->name) == 0;
        if (!found)
            return err_set(e, ERR_USAGE, "%s:%d: there is no setting \"%.60s\" in [%.60s]", r->name,
                           item->line, item->name, item->section);
    }
    return true;
}

bool tariff_read(tariff *t, str text, const char *name, err *e) {
    config c;
    err mine = {0};
    if (!e) e = &mine;
    *e = (err){0};
    tariff_empty(t);
    if (!config_parse(&c, text, name, e)) return false;
    reader r = {&c, name};
    double hours = 0, watts_max = 1e7;
    int64_t hour_price = 0;
    bool ok = known_names(&r, e) && amount(&r, "machine", "purchase-price", &t->price, e) &&
              figure(&r, "machine", "years", 0.1, 100, &t->years, e) &&
              amount(&r, "machine", "resale", &t->resale, e) &&
              amount(&r, "machine", "repairs-per-year", &t->repairs, e) &&
              figure(&r, "machine", "watts-idle", 0, watts_max, &t->idle_w, e) &&
              figure(&r, "machine", "watts-load", 0, watts_max, &t->load_w, e) &&
              figure(&r, "labour", "hours-per-month", 0, 1000, &hours, e) &&
              amount(&r, "labour", "price-per-hour", &hour_price, e) &&
              words(&r, "tariff", "currency", t->currency, sizeof t->currency, e) &&
              amount(&r, "tariff", "units-per-usd", &t->usd_rate, e) && read_prices(&r, t, e) &&
              words(&r, "compare", "cheap", t->cheap, sizeof t->cheap, e) &&
              words(&r, "compare", "flagship", t->flagship, sizeof t->flagship, e) &&
              stand_ins(&r, t, e);
    t->labour = llround(hours * (double)hour_price);
    if (ok && t->price >= 0 && t->resale > t->price)
        ok = err_set(e, ERR_USAGE, "%s: resale is more than purchase-price", name);
    if (ok && t->usd_rate == 0) ok = err_set(e, ERR_USAGE, "%s: units-per-usd is 0", name);
    config_deinit(&c);
    return ok;
}

bool tariff_path(char *path, size_t cap, err *e) {
    const char *home = file_home();
    if (!home) return err_set(e, ERR_NOT_FOUND, "no folder for Hearth's files: set HEARTH_HOME");
    int n = snprintf(path, cap, "%s/cost.toml", home);
    return (n > 0 && (size_t)n < cap) || err_set(e, ERR_FAILED, "HEARTH_HOME is too long a path");
}

bool tariff_open(tariff *t, const char *path, err *e) {
    char usual[4200];
    err why = {0};
    buf b;
    tariff_empty(t);
    if (!path && !tariff_path(usual, sizeof usual, &why)) return true;
    buf_init(&b, LIMIT_CONFIG_BYTES);
    bool ok = file_read(&b, path ? path : usual, &why) &&
              tariff_read(t, buf_str(&b), path ? path : "cost.toml", &why);
    buf_deinit(&b);
    t->found = ok;
    if (!ok && why.code == ERR_NOT_FOUND && !path) return true;
    if (!ok && e) *e = why;
    return ok;
}

/* ---- money ---- */

int64_t tariff_kwh(const tariff *t, int64_t unix_ms) {
    time_t s = (time_t)(unix_ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    return t->kwh[(tm.tm_wday + 6) % 7 * 96 + tm.tm_hour * 4 + tm.tm_min / 15];
}

double tariff_kwh_mean(const tariff *t) {
    double sum = 0;
    for (int i = 0; i < TARIFF_SLOTS; i++) sum += (double)t->kwh[i];
    return sum / TARIFF_SLOTS / 1e6;
}

money tariff_electricity(const tariff *t, int64_t begin_ms, int64_t end_ms, int64_t millijoules) {
    if (!t->varies || end_ms <= begin_ms) return money_energy(millijoules, tariff_kwh(t, begin_ms));
    money sum = 0;
    int64_t given = 0, whole = end_ms - begin_ms;
    for (int64_t at = begin_ms; at < end_ms;) {
        int64_t next = (at / SLOT_MS + 1) * SLOT_MS;
        if (next > end_ms) next = end_ms;
        int64_t until = (int64_t)((__int128)millijoules * (next - begin_ms) / whole);
        sum += money_energy(until - given, tariff_kwh(t, at));
        given = until;
        at = next;
    }
    return sum;
}

static money of_a_year(int64_t micro, int64_t ms) {
    return money_ratio((money)micro * MONEY_MICRO, ms, YEAR_MS);
}

money tariff_capital(const tariff *t, int64_t ms) {
    int64_t life_ms = llround(t->years * (double)YEAR_MS);
    return t->price < 0 ? 0 : money_ratio((money)(t->price - t->resale) * MONEY_MICRO, ms, life_ms);
}

money tariff_upkeep(const tariff *t, int64_t ms) {
    return of_a_year(t->repairs + 12 * t->labour, ms);
}

money tariff_of_usd(const tariff *t, money usd) {
    return t->usd_rate == 1000000 ? usd : money_ratio(usd, t->usd_rate, 1000000);
}

const char *tariff_stand_in(const tariff *t, const char *model) {
    for (int i = 0; i < t->n_stand_ins; i++)
        if (fnmatch(t->stand_in[i].model, model, 0) == 0) return t->stand_in[i].id;
    return NULL;
}

/* ---- writing ---- */

static void put_amount(buf *b, const char *name, int64_t micro, const char *why) {
    char text[MONEY_TEXT];
    money_micro_text(micro < 0 ? 0 : micro, text);
    buf_printf(b, "%s%s = %s%*s# %s\n", micro < 0 ? "# " : "", name, text,
               (int)(30 - strlen(name) - strlen(text) - (micro < 0 ? 2 : 0)), "", why);
}

static void put_watts(buf *b, const char *name, double watts, const char *why) {
    buf_printf(b, "%s%s = %g%*s# %s\n", isnan(watts) ? "# " : "", name, isnan(watts) ? 0 : watts,
               isnan(watts) ? 17 : 15, "", why);
}

void tariff_write(const tariff *t, buf *b) {
    buf_puts(b, "# What this machine costs, for hearth cost and hearth study. Amounts are in the "
                "currency\n# below. A line that is missing or begins with # is not known, and no "
                "figure is put in its place.\n\n[machine]\n");
    put_amount(b, "purchase-price", t->price, "what was paid for it");
    buf_printf(b, "years = %g                        # of its life\n", t->years);
    put_amount(b, "resale", t->resale, "what comes back for it then");
    put_amount(b, "repairs-per-year", t->repairs, "spare parts");
    put_watts(b, "watts-idle", t->idle_w,
              "declared, where no meter measures; model loaded, no work");
    put_watts(b, "watts-load", t->load_w, "declared, at work");
    buf_puts(b, "\n[labour]\n");
    put_amount(b, "hours-per-month", t->labour > 0 ? 1000000 : 0, "of looking after it");
    put_amount(b, "price-per-hour", t->labour, "what an hour of it is worth; 0: it is fun");
    buf_printf(b, "\n[tariff]\ncurrency = \"%s\"\n", t->currency);
    put_amount(b, "units-per-usd", t->usd_rate, "prices of hosted models are in dollars");
    put_amount(b, "price-per-kwh", t->kwh_known && !t->varies ? t->kwh[0] : -1, "from the bill");
    buf_puts(b,
             "# Other prices at some times, local time, in quarters of an hour; later lines win:\n"
             "# time-of-use = [\"mon-fri 07:00-21:00 = 0.28\", \"22:00-06:00 = 0.12\"]\n"
             "# One's own sun: the share of the machine's use that it covers at some times, and "
             "what the\n# grid pays for a kilowatt-hour that is not used.\n"
             "# solar = [\"09:00-16:00 = 0.8\"]\n# export-price = 0.08\n");
    buf_printf(b,
               "\n[compare]\n# Prices of `hearth prices list` that answers from here are held "
               "against, beside the same\n# weights hosted by others.\ncheap = \"%s\"\n"
               "flagship = \"%s\"\n"
               "# Which price is that of a model's own weights, where its name does not say:\n"
               "# same-weights = [\"my-model* = openrouter/llama-3.1-8b-instruct\"]\n",
               t->cheap, t->flagship);
}
