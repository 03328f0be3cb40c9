#include "meter/prices.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/csv.h"
#include "base/data.h"
#include "base/file.h"
#include "base/limits.h"

/* ---- days and names ---- */

char *sha256_text(str bytes, char hex[65]) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)bytes.p, bytes.n);
    return sodium_bin2hex(hex, 65, hash, sizeof hash);
}

char *price_today(char day[PRICE_DAY_BYTES]) {
    time_t now = (time_t)clock_unix_s();
    struct tm t;
    localtime_r(&now, &t);
    strftime(day, PRICE_DAY_BYTES, "%Y-%m-%d", &t);
    return day;
}

bool price_is_day(const char *text) {
    static const char shape[] = "dddd-dd-dd";
    size_t n = strlen(text);
    if (n != 4 && n != 7 && n != 10) return false;
    for (size_t i = 0; i < n; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i]) return false;
    int month = n >= 7 ? (text[5] - '0') * 10 + text[6] - '0' : 1;
    int day = n == 10 ? (text[8] - '0') * 10 + text[9] - '0' : 1;
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* Days since 1970 of a date, by the usual count of days in 400 years. */
static int day_number(const char *text) {
    int y = (int)strtol(text, NULL, 10), n = (int)strlen(text);
    int m = n >= 7 ? (int)strtol(text + 5, NULL, 10) : 1;
    int d = n >= 10 ? (int)strtol(text + 8, NULL, 10) : 1;
    y -= m <= 2;
    int era = y / 400, year = y - era * 400;
    int in_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + in_year - 719468;
}

int price_days_between(const char *from, const char *to) {
    return day_number(to) - day_number(from);
}

bool price_words(const char *words, const char *text) {
    char word[128];
    bool any = false;
    for (const char *p = words; *p;) {
        size_t skip = strspn(p, " \t"), n = strcspn(p + skip, " \t");
        p += skip;
        if (n == 0) break;
        if (n >= sizeof word) return false;
        memcpy(word, p, n);
        word[n] = '\0';
        if (!strcasestr(text, word)) return false;
        any = true;
        p += n;
    }
    return any;
}

/* ---- reading ---- */

typedef struct columns {
    int provider, model, tier, above, in, cached, out, write, batch, context, from, to, as_of,
        weights, source;
} columns;

static bool find_columns(columns *k, const csv *c, const char *name, err *e) {
    *k = (columns){csv_column(c, "provider"),
                   csv_column(c, "model"),
                   csv_column(c, "tier"),
                   csv_column(c, "above_tokens"),
                   csv_column(c, "input_usd_per_mtok"),
                   csv_column(c, "cached_input_usd_per_mtok"),
                   csv_column(c, "output_usd_per_mtok"),
                   csv_column(c, "cache_write_factor"),
                   csv_column(c, "batch_factor"),
                   csv_column(c, "context_tokens"),
                   csv_column(c, "valid_from"),
                   csv_column(c, "valid_until"),
                   csv_column(c, "as_of"),
                   csv_column(c, "weights"),
                   csv_column(c, "source")};
    if (k->provider >= 0 && k->model >= 0 && k->in >= 0 && k->out >= 0 && k->as_of >= 0 &&
        k->source >= 0)
        return true;
    return err_set(e, ERR_DAMAGED,
                   "%s: no price sheet: its first line must name provider, model, "
                   "input_usd_per_mtok, output_usd_per_mtok, as_of and source",
                   name);
}

typedef struct where { /* a cell, for messages */
    const csv *c;
    size_t row;
    const char *name;
} where;

static bool read_price(const where *w, int column, int64_t otherwise, int64_t *to, err *e) {
    const char *text = csv_cell(w->c, w->row, column);
    char shown[40];
    *to = otherwise;
    if (!*text && otherwise != INT64_MIN) return true;
    return money_micro(text, to) ||
           err_set(e, ERR_DAMAGED, "%s:%d: %s: \"%s\" is no price (a number, at most six places)",
                   w->name, w->c->line[w->row], w->c->name[column],
                   str_printable(str_of(text), shown, sizeof shown));
}

static bool read_tokens(const where *w, int column, int64_t otherwise, int64_t *to, err *e) {
    const char *text = csv_cell(w->c, w->row, column);
    uint64_t n;
    *to = otherwise;
    if (!*text) return true;
    if (!str_to_u64(str_of(text), &n) || n > (1ull << 40))
        return err_set(e, ERR_DAMAGED, "%s:%d: %s: no number of tokens", w->name,
                       w->c->line[w->row], w->c->name[column]);
    *to = (int64_t)n;
    return true;
}

static bool read_day(const where *w, int column, bool must, const char **to, err *e) {
    const char *text = csv_cell(w->c, w->row, column);
    *to = text;
    if (!*text && !must) return true;
    return price_is_day(text) || err_set(e, ERR_DAMAGED, "%s:%d: %s: no day like 2026-11-22",
                                         w->name, w->c->line[w->row], w->c->name[column]);
}

static bool read_id(price_row *r, arena *memory) {
    char id[300];
    bool standard = strcmp(r->tier, "standard") == 0;
    int n = snprintf(id, sizeof id, "%s/%s%s%s", r->provider, r->model, standard ? "" : "@",
                     standard ? "" : r->tier);
    r->id = n > 0 && (size_t)n < sizeof id ? arena_strdup(memory, str_of(id)) : NULL;
    return r->id != NULL;
}

static bool read_row(price_row *r, arena *memory, const where *w, const columns *k, err *e) {
    const char *texts[] = {csv_cell(w->c, w->row, k->provider), csv_cell(w->c, w->row, k->model),
                           csv_cell(w->c, w->row, k->tier), csv_cell(w->c, w->row, k->source)};
    const char *copy[4];
    *r = (price_row){.line = w->c->line[w->row],
                     .open_weights = strcmp(csv_cell(w->c, w->row, k->weights), "open") == 0};
    if (!*texts[2]) texts[2] = "standard";
    for (int i = 0; i < 4; i++) {
        if (!*texts[i])
            return err_set(e, ERR_DAMAGED, "%s:%d: a row needs provider, model and source", w->name,
                           r->line);
        copy[i] = arena_strdup(memory, str_of(texts[i]));
        if (!copy[i]) return err_set(e, ERR_NO_FIT, "%s: too large to be read", w->name);
    }
    r->provider = copy[0], r->model = copy[1], r->tier = copy[2], r->source = copy[3];
    if (!read_price(w, k->in, INT64_MIN, &r->in, e) ||
        !read_price(w, k->out, INT64_MIN, &r->out, e) ||
        !read_price(w, k->cached, -1, &r->cached, e) ||
        !read_price(w, k->write, 1000000, &r->write_factor, e) ||
        !read_price(w, k->batch, -1, &r->batch_factor, e) ||
        !read_tokens(w, k->above, 0, &r->above_tokens, e) ||
        !read_tokens(w, k->context, -1, &r->context_tokens, e) ||
        !read_day(w, k->from, false, &r->valid_from, e) ||
        !read_day(w, k->to, false, &r->valid_to, e) || !read_day(w, k->as_of, true, &r->as_of, e))
        return false;
    r->valid_from = arena_strdup(memory, str_of(r->valid_from));
    r->valid_to = arena_strdup(memory, str_of(r->valid_to));
    r->as_of = arena_strdup(memory, str_of(r->as_of));
    return (r->valid_from && r->valid_to && r->as_of && read_id(r, memory)) ||
           err_set(e, ERR_NO_FIT, "%s:%d: a name is too long", w->name, r->line);
}

/* Two rows that would be in force for the same prompt on the same day. */
static bool check_double(const price_sheet *s, const price_row *r, err *e) {
    for (const price_row *q = s->row; q < r; q++) {
        bool apart = (*r->valid_to && *q->valid_from && strcmp(r->valid_to, q->valid_from) < 0) ||
                     (*q->valid_to && *r->valid_from && strcmp(q->valid_to, r->valid_from) < 0);
        if (strcmp(q->id, r->id) == 0 && !apart)
            return err_set(e, ERR_DAMAGED, "%s:%d: %s is in line %d already; give it a tier",
                           s->name, r->line, r->id, q->line);
    }
    return true;
}

bool price_sheet_read(price_sheet *s, str text, const char *name, err *e) {
    csv c;
    columns k = {0};
    *s = (price_sheet){0};
    snprintf(s->name, sizeof s->name, "%s", name);
    sha256_text(text, s->sha256);
    if (text.n > LIMIT_SHEET_BYTES)
        return err_set(e, ERR_NO_FIT, "%s: %zu bytes; a price sheet has at most %u", name, text.n,
                       LIMIT_SHEET_BYTES);
    if (!csv_read(&c, text, name, e)) return false;
    s->memory = arena_new(LIMIT_CSV_MEMORY);
    s->row = s->memory ? arena_calloc(s->memory, c.n_rows + 1, sizeof *s->row) : NULL;
    bool ok = s->row ? find_columns(&k, &c, name, e) : err_set(e, ERR_FAILED, "out of memory");
    if (ok && c.n_rows == 0) ok = err_set(e, ERR_DAMAGED, "%s: a price sheet without rows", name);
    for (size_t i = 0; ok && i < c.n_rows; i++) {
        ok = read_row(&s->row[i], s->memory, &(where){&c, i, name}, &k, e) &&
             check_double(s, &s->row[i], e);
        s->n = i + 1;
    }
    csv_deinit(&c);
    if (!ok) price_sheet_close(s);
    return ok;
}

void price_sheet_close(price_sheet *s) {
    arena_free(s->memory);
    *s = (price_sheet){0};
}

/* ---- which sheet ---- */

static bool imported_path(char *path, size_t cap, err *e) {
    const char *home = file_home();
    if (!home) return err_set(e, ERR_NOT_FOUND, "no folder for Hearth's files: set HEARTH_HOME");
    int n = snprintf(path, cap, "%s/prices.csv", home);
    return (n > 0 && (size_t)n < cap) || err_set(e, ERR_FAILED, "HEARTH_HOME is too long a path");
}

bool price_sheet_load(price_sheet *s, const char *path, err *e) {
    if (!path) {
        const data_file *f = NULL;
        for (const data_file *g = data_first("prices/"); g; g = data_next(g, "prices/")) f = g;
        if (!f) return err_set(e, ERR_NOT_FOUND, "no price sheet is built into this program");
        return price_sheet_read(s, data_text(f), f->name, e);
    }
    buf b;
    buf_init(&b, LIMIT_SHEET_BYTES);
    bool ok = file_read(&b, path, e) && price_sheet_read(s, buf_str(&b), path, e);
    buf_deinit(&b);
    return ok;
}

bool price_sheet_open(price_sheet *s, err *e) {
    char path[4200];
    err why = {0};
    if (!imported_path(path, sizeof path, &why)) return price_sheet_load(s, NULL, e);
    if (price_sheet_load(s, path, &why)) {
        s->imported = true;
        return true;
    }
    if (why.code == ERR_NOT_FOUND) return price_sheet_load(s, NULL, e);
    if (e) *e = why;
    return false;
}

bool price_sheet_import(const char *path, price_sheet *s, err *e) {
    char to[4200];
    buf b;
    buf_init(&b, LIMIT_SHEET_BYTES);
    bool ok = imported_path(to, sizeof to, e) && file_read(&b, path, e) &&
              price_sheet_read(s, buf_str(&b), path, e);
    if (ok &&
        (!file_make_dirs(file_home(), 0700, e) || !file_replace(to, b.data, b.len, 0600, e))) {
        price_sheet_close(s);
        ok = false;
    }
    if (ok) s->imported = true;
    buf_deinit(&b);
    return ok;
}

/* ---- finding ---- */

bool price_in_force(const price_row *r, const char *day) {
    return r->above_tokens == 0 && strcmp(r->tier, "other-source") != 0 &&
           (!*r->valid_from || strcmp(r->valid_from, day) <= 0) &&
           (!*r->valid_to || strcmp(day, r->valid_to) <= 0);
}

const price_row *price_find(const price_sheet *s, const char *id, const char *day) {
    size_t n = strcspn(id, "@");
    for (size_t i = 0; i < s->n; i++) {
        const price_row *r = &s->row[i];
        if (id[n] ? strcmp(r->id, id) == 0
                  : price_in_force(r, day) && strncmp(r->id, id, n) == 0 &&
                        (r->id[n] == '\0' || r->id[n] == '@'))
            return r;
    }
    return NULL;
}

size_t price_match(const price_sheet *s, const char *words, const char *day,
                   const price_row **found, size_t max) {
    size_t n = 0;
    const price_row *whole = price_find(s, words, day);
    if (whole && max > 0) {
        found[0] = whole;
        return 1;
    }
    for (size_t i = 0; i < s->n; i++)
        if (price_in_force(&s->row[i], day) && strcasecmp(s->row[i].model, words) == 0 && n++ < max)
            found[n - 1] = &s->row[i];
    if (n > 0) return n;
    for (size_t i = 0; i < s->n; i++)
        if (price_in_force(&s->row[i], day) && price_words(words, s->row[i].id) && n++ < max)
            found[n - 1] = &s->row[i];
    return n;
}

/* Every piece of the row's name, between its hyphens, is a piece of the model's. */
static bool names_model(const char *pieces, const char *model) {
    static const char apart[] = "-_ :/.";
    for (const char *p = pieces; *p;) {
        size_t n = strcspn(p, "-");
        bool found = false;
        for (const char *q = model; *q && !found; q++)
            found = (q == model || strchr(apart, q[-1])) && strncasecmp(q, p, n) == 0 &&
                    (q[n] == '\0' || strchr(apart, q[n]));
        if (!found) return false;
        p += n + (p[n] == '-');
    }
    return true;
}

static const price_row *cheapest(const price_sheet *s, const char *model, const char *day) {
    const price_row *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const price_row *r = &s->row[i];
        if (!r->open_weights || !price_in_force(r, day) || (model && !names_model(r->model, model)))
            continue;
        if (!best || r->out < best->out) best = r;
    }
    return best;
}

const price_row *price_same_weights(const price_sheet *s, const char *model, const char *day) {
    return cheapest(s, model, day);
}

const price_row *price_cheapest_open(const price_sheet *s, const char *day) {
    return cheapest(s, NULL, day);
}

/* ---- a bill ---- */

/* The row of the same offer that a prompt of this length pays. */
static const price_row *row_for(const price_sheet *s, const price_row *r, int64_t in,
                                const char *day) {
    const price_row *best = r;
    if (strcmp(r->tier, "other-source") == 0) return r;
    for (size_t i = 0; i < s->n; i++) {
        const price_row *q = &s->row[i];
        if (strcmp(q->provider, r->provider) == 0 && strcmp(q->model, r->model) == 0 &&
            q->above_tokens > best->above_tokens && in > q->above_tokens &&
            (!*q->valid_from || strcmp(q->valid_from, day) <= 0) &&
            (!*q->valid_to || strcmp(day, q->valid_to) <= 0))
            best = q;
    }
    return best;
}

money price_bill(const price_sheet *s, const price_row *r, const price_usage *u, const char *day) {
    r = row_for(s, r, u->in, day);
    int64_t fresh = u->in - u->cached - u->written;
    money m = money_tokens(fresh, r->in) + money_tokens(u->out, r->out) +
              money_tokens(u->cached, r->cached >= 0 ? r->cached : r->in) +
              money_ratio(money_tokens(u->written, r->in), r->write_factor, 1000000);
    return u->batch && r->batch_factor >= 0 ? money_ratio(m, r->batch_factor, 1000000) : m;
}
