/* hearth prices: the price sheet in force, a newer one, and what changed between two. */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "meter/prices.h"

static void json_micro(jsonw *w, const char *key, int64_t micro) {
    char text[MONEY_TEXT];
    jsonw_key(w, key);
    if (micro < 0) jsonw_null(w);
    else jsonw_raw(w, str_of(money_micro_text(micro, text)));
}

static void json_row(jsonw *w, const price_row *r) {
    jsonw_object(w);
    jsonw_put_text(w, "id", r->id);
    jsonw_put_text(w, "tier", r->tier);
    json_micro(w, "input_usd_per_mtok", r->in);
    json_micro(w, "cached_input_usd_per_mtok", r->cached);
    json_micro(w, "output_usd_per_mtok", r->out);
    json_micro(w, "cache_write_factor", r->write_factor);
    json_micro(w, "batch_factor", r->batch_factor);
    jsonw_key(w, "above_tokens"), jsonw_int(w, r->above_tokens);
    jsonw_put_text(w, "valid_from", r->valid_from);
    jsonw_put_text(w, "valid_until", r->valid_to);
    jsonw_put_text(w, "as_of", r->as_of);
    jsonw_key(w, "open_weights"), jsonw_bool(w, r->open_weights);
    jsonw_put_text(w, "source", r->source);
    jsonw_end(w);
}

static void list_json(const price_sheet *s) {
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_put_text(&w, "sheet", s->name);
    jsonw_put_text(&w, "sha256", s->sha256);
    jsonw_key(&w, "imported"), jsonw_bool(&w, s->imported);
    jsonw_key(&w, "rows");
    jsonw_array(&w);
    for (size_t i = 0; i < s->n; i++) json_row(&w, &s->row[i]);
    jsonw_end(&w);
    jsonw_end(&w);
    out_json(&b);
}

/* How many rows in force are older than they should be. */
static void warn_of_age(const price_sheet *s, const char *today) {
    size_t stale = 0;
    for (size_t i = 0; i < s->n; i++)
        stale += price_in_force(&s->row[i], today) &&
                 price_days_between(s->row[i].as_of, today) > PRICE_STALE_DAYS;
    if (stale)
        note("%zu of %zu prices are older than %d days: hearth prices import FILE puts a newer "
             "sheet in force",
             stale, s->n, PRICE_STALE_DAYS);
}

static void price_cell(table *t, int64_t micro) {
    char text[MONEY_TEXT];
    table_cell(t, "%s", micro < 0 ? "-" : money_micro_text(micro, text));
}

static const char *range_of(const price_row *r, char *dst, size_t cap) {
    if (r->above_tokens) snprintf(dst, cap, "prompts above %lld", (long long)r->above_tokens);
    else if (*r->valid_from || *r->valid_to)
        snprintf(dst, cap, "%s%s%s%s", *r->valid_from ? "from " : "", r->valid_from,
                 *r->valid_to ? "until " : "", r->valid_to);
    else *dst = '\0';
    return dst;
}

static int list_table(const price_sheet *s) {
    char today[PRICE_DAY_BYTES], range[80];
    price_today(today);
    table *t = table_new("price|>in|>cached|>out|>batch|checked|>days ago|for");
    for (size_t i = 0; i < s->n; i++) {
        const price_row *r = &s->row[i];
        table_cell(t, "%s", r->id);
        price_cell(t, r->in);
        price_cell(t, r->cached);
        price_cell(t, r->out);
        if (r->batch_factor < 0) table_cell(t, "-");
        else table_cell(t, "x %g", (double)r->batch_factor / 1e6);
        table_cell(t, "%s", r->as_of);
        table_cell(t, "%d", price_days_between(r->as_of, today));
        table_cell(t, "%s", range_of(r, range, sizeof range));
    }
    table_print(t);
    table_free(t);
    out_printf("\nUSD a million tokens; %s%s, SHA-256 %s\n", s->imported ? "imported: " : "",
               s->name, s->sha256);
    warn_of_age(s, today);
    return ERR_NONE;
}

static int run_list(const cli_args *a) {
    err e = {0};
    price_sheet s;
    if (!price_sheet_open(&s, &e)) return cli_fail(&e);
    int code = ERR_NONE;
    if (cli_flag(a, "json")) list_json(&s);
    else code = list_table(&s);
    price_sheet_close(&s);
    return code;
}

static int run_import(const cli_args *a) {
    err e = {0};
    price_sheet s;
    if (!price_sheet_import(a->arg[0], &s, &e)) return cli_fail(&e);
    note("%zu prices from %s are in force; SHA-256 %s", s.n, s.name, s.sha256);
    price_sheet_close(&s);
    return ERR_NONE;
}

/* ---- diff ---- */

/* The row of another sheet for the same offer in the same time. */
static const price_row *partner(const price_sheet *s, const price_row *r) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->row[i].id, r->id) == 0 && strcmp(s->row[i].valid_from, r->valid_from) == 0)
            return &s->row[i];
    return NULL;
}

static bool differ(const price_row *a, const price_row *b) {
    return a->in != b->in || a->cached != b->cached || a->out != b->out ||
           a->batch_factor != b->batch_factor || a->write_factor != b->write_factor ||
           a->above_tokens != b->above_tokens || strcmp(a->valid_to, b->valid_to) != 0;
}

static void change_cell(table *t, int64_t from, int64_t to) {
    char was[MONEY_TEXT], is[MONEY_TEXT];
    money_micro_text(from < 0 ? 0 : from, was);
    money_micro_text(to < 0 ? 0 : to, is);
    if (from == to) table_cell(t, "%s", from < 0 ? "-" : was);
    else if (from <= 0 || to < 0)
        table_cell(t, "%s to %s", from < 0 ? "-" : was, to < 0 ? "-" : is);
    else
        table_cell(t, "%s to %s (%+.0f %%)", was, is,
                   100 * ((double)to - (double)from) / (double)from);
}

static void diff_row(table *t, const char *what, const price_row *from, const price_row *to) {
    table_cell(t, "%s", what);
    table_cell(t, "%s", to->id);
    change_cell(t, from->in, to->in);
    change_cell(t, from->cached, to->cached);
    change_cell(t, from->out, to->out);
    change_cell(t, from->batch_factor, to->batch_factor);
    table_cell(t, "%s", from == to ? to->as_of : from->as_of);
    table_cell(t, "%s", to->as_of);
}

static int diff(const price_sheet *old, const price_sheet *new) {
    size_t changes = 0;
    table *t = table_new("|price|>in|>cached|>out|>batch|checked|then");
    for (size_t i = 0; i < new->n; i++) {
        const price_row *to = &new->row[i], *from = partner(old, to);
        if (from && !differ(from, to)) continue;
        diff_row(t, from ? "changed" : "new", from ? from : to, to);
        changes++;
    }
    for (size_t i = 0; i < old->n; i++) {
        if (partner(new, &old->row[i])) continue;
        diff_row(t, "gone", &old->row[i], &old->row[i]);
        changes++;
    }
    if (changes) table_print(t);
    else note("the sheets have the same prices");
    table_free(t);
    return ERR_NONE;
}

static int run_diff(const cli_args *a) {
    err e = {0};
    price_sheet from = {0}, to = {0};
    bool ok = a->n_args == 0 ? price_sheet_load(&from, NULL, &e) && price_sheet_open(&to, &e)
              : a->n_args == 1
                  ? price_sheet_open(&from, &e) && price_sheet_load(&to, a->arg[0], &e)
                  : price_sheet_load(&from, a->arg[0], &e) && price_sheet_load(&to, a->arg[1], &e);
    int code = ok ? diff(&from, &to) : cli_fail(&e);
    price_sheet_close(&from);
    price_sheet_close(&to);
    return code;
}

static const cli_option list_options[] = {
    {"json", 0, CLI_FLAG, NULL, "print one JSON object, with sources", 0, 0},
    {0},
};

const cli_command cmd_prices_list = {
    .name = "prices list",
    .summary = "the price sheet in force",
    .args = "",
    .about = "Prints the price sheet in force, in dollars a million tokens, with the day on which "
             "each price was checked, and the sheet's SHA-256, which stands in every result that "
             "was reckoned with it.",
    .examples = "  hearth prices list\n  hearth prices list --json",
    .options = list_options,
    .run = run_list,
};

const cli_command cmd_prices_import = {
    .name = "prices import",
    .summary = "put another price sheet in force",
    .args = "FILE",
    .about =
        "Checks a price sheet (CSV, docs/cost.md has the columns) and puts it in force, instead of "
        "the one that came with the program. One sheet is in force at a time, so that no table "
        "mixes two dates. Removing prices.csv from Hearth's folder brings the first one back.",
    .examples = "  hearth prices diff new.csv\n  hearth prices import new.csv",
    .min_args = 1,
    .max_args = 1,
    .complete = "",
    .run = run_import,
};

const cli_command cmd_prices_diff = {
    .name = "prices diff",
    .summary = "what changed between two price sheets",
    .args = "[[OLD] NEW]",
    .about = "Compares two price sheets; with one, the sheet in force with it; with none, the one "
             "that came with the program with the one in force.",
    .examples = "  hearth prices diff\n  hearth prices diff new.csv",
    .max_args = 2,
    .run = run_diff,
};

const cli_command cmd_prices = {
    .name = "prices",
    .summary = "what hosted models cost: list, import, diff",
    .args = "COMMAND",
    .about = "What hosted models cost: a dated sheet, each row with its source. One comes with the "
             "program; nothing is ever fetched.",
    .examples = "  hearth prices list\n  hearth prices import new.csv",
    .max_args = -1,
};
