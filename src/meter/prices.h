/* What hosted models cost: a price sheet, a dated CSV file. One comes with the program
 * (data/prices/), a newer one can be imported into Hearth's folder; one sheet is in force at a
 * time, so no two dates are mixed, and its SHA-256 goes into every result that was reckoned with
 * it.
 *
 * Columns (docs/cost.md): provider, model, input_usd_per_mtok, output_usd_per_mtok, as_of and
 * source must be there; tier, above_tokens, cached_input_usd_per_mtok, cache_write_factor,
 * batch_factor, context_tokens, valid_from, valid_until and weights may. A model has a row for each
 * tier: of those in force on a day, the one with the largest above_tokens that the prompt passes is
 * charged. Rows of tier "other-source" say where sources disagree, and are charged only when they
 * are named.
 *
 * A sheet never changes once read: any thread.
 *
 *     price_sheet s;
 *     if (!price_sheet_open(&s, &e)) ...
 *     const price_row *r = price_find(&s, "anthropic/claude-opus-5", "2026-11-22");
 *     money m = price_bill(&s, r, &(price_usage){.in = 1000, .out = 20}, "2026-11-22");
 *     price_sheet_close(&s);
 */
#ifndef HEARTH_METER_PRICES_H
#define HEARTH_METER_PRICES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "meter/money.h"

#define PRICE_DAY_BYTES 11 /* "2026-11-22" and a NUL */
#define PRICE_STALE_DAYS 90

typedef struct price_row {
    const char *id; /* "anthropic/claude-opus-5"; other tiers than standard: "...@intro" */
    const char *provider, *model, *tier, *source;
    int64_t in, cached, out; /* micro-dollars a million tokens; cached -1: as in */
    int64_t write_factor;    /* of the input price for tokens put in a cache, in micro */
    int64_t batch_factor;    /* of everything when it may wait, in micro; -1: no such offer */
    int64_t above_tokens;    /* prompts longer than this; 0: any */
    int64_t context_tokens;  /* -1: the sheet does not say */
    const char *valid_from, *valid_to; /* days, both included; "": open */
    const char *as_of;                 /* "2026-08-02" */
    bool open_weights;
    int line;
} price_row;

typedef struct price_sheet {
    arena *memory;
    price_row *row; /* [n] in the order of the file */
    size_t n;
    char sha256[65]; /* of the file's bytes, hexadecimal */
    char name[160];  /* of the file, as messages call it */
    bool imported;   /* from Hearth's folder, not the program's own */
} price_sheet;

/* What one request used. in includes what was cached. */
typedef struct price_usage {
    int64_t in, cached, written, out;
    bool batch;
} price_usage;

bool price_sheet_read(price_sheet *s, str text, const char *name, err *e);
bool price_sheet_open(price_sheet *s, err *e); /* the one in force */
/* From a file; NULL: the one that came with the program. */
bool price_sheet_load(price_sheet *s, const char *path, err *e);
void price_sheet_close(price_sheet *s);
/* Checks the file, then puts it into Hearth's folder as the sheet in force. */
bool price_sheet_import(const char *path, price_sheet *s, err *e);

/* By an id as above; one without "@" means whatever tier is in force that day. NULL: none. */
const price_row *price_find(const price_sheet *s, const char *id, const char *day);
/* Rows in force that day for short prompts, whose id has all the words of `words` (price_words). At
 * most max into found; returns how many there are. An id in full, or a model's full name, means its
 * row alone. */
size_t price_match(const price_sheet *s, const char *words, const char *day,
                   const price_row **found, size_t max);
bool price_in_force(const price_row *r, const char *day); /* a first choice that day */
money price_bill(const price_sheet *s, const price_row *r, const price_usage *u, const char *day);
/* The host of a model of this name with open weights: every word of the row's model is in it. The
 * cheapest by output; NULL: none. */
const price_row *price_same_weights(const price_sheet *s, const char *model, const char *day);
const price_row *price_cheapest_open(const price_sheet *s, const char *day);

/* Every blank-separated word of `words` is somewhere in text, in either case. */
bool price_words(const char *words, const char *text);
/* Days from one day to another; a month alone, "2026-05", is its first day, a year too. */
int price_days_between(const char *from, const char *to);
char *price_today(char day[PRICE_DAY_BYTES]); /* local time; returns day */
bool price_is_day(const char *text);
char *sha256_text(str bytes, char hex[65]); /* returns hex */

#endif
