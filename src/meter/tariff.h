/* What this machine costs its owner: one commented file, cost.toml in Hearth's folder, in the
 * language of base/config.h. Everything in it is declared by a person; what it does not say is not
 * known, and no figure is put in its place. A tariff never changes once read: any thread.
 *
 *     tariff t;
 *     if (!tariff_open(&t, NULL, &e)) ...            // an absent file is an empty one
 *     if (t.kwh_known) price = tariff_kwh(&t, unix_ms);
 */
#ifndef HEARTH_METER_TARIFF_H
#define HEARTH_METER_TARIFF_H

#include "base/buf.h"
#include "base/err.h"
#include "meter/money.h"

#define TARIFF_SLOTS (7 * 24 * 4) /* quarters of an hour from Monday 00:00, local time */
#define TARIFF_ID_BYTES 160
#define TARIFF_STAND_INS 32

typedef struct tariff_pair { /* models of this name are hosted as that price */
    char model[TARIFF_ID_BYTES], id[TARIFF_ID_BYTES];
} tariff_pair;

/* Amounts are micro-units of the currency; -1: not said. */
typedef struct tariff {
    bool found;            /* there was a file */
    char currency[8];      /* "USD" */
    int64_t usd_rate;      /* units of it for a dollar */
    int64_t price;         /* of the machine */
    int64_t resale;        /* what comes back for it at the end */
    double years;          /* of its life */
    int64_t repairs;       /* a year */
    int64_t labour;        /* a month: hours times what an hour is worth */
    double idle_w, load_w; /* declared watts; NAN */
    bool kwh_known;
    int64_t kwh[TARIFF_SLOTS]; /* price of a kilowatt-hour used then, the sun counted */
    bool varies;               /* not the same at all times */
    char cheap[TARIFF_ID_BYTES], flagship[TARIFF_ID_BYTES]; /* prices to compare with */
    tariff_pair stand_in[TARIFF_STAND_INS];
    int n_stand_ins;
} tariff;

/* NULL: cost.toml in Hearth's folder, whose absence is no mistake. */
bool tariff_open(tariff *t, const char *path, err *e);
bool tariff_read(tariff *t, str text, const char *name, err *e);
/* Price of a kilowatt-hour at that moment, micro-units. */
int64_t tariff_kwh(const tariff *t, int64_t unix_ms);
double tariff_kwh_mean(const tariff *t); /* over a week, units */
/* Energy used evenly from one moment to another, by the prices of each quarter of an hour. */
money tariff_electricity(const tariff *t, int64_t begin_ms, int64_t end_ms, int64_t millijoules);
/* Parts of a year's costs that a span of time takes, exactly. */
money tariff_capital(const tariff *t, int64_t ms);
money tariff_upkeep(const tariff *t, int64_t ms); /* labour and repairs */
/* Dollars as the currency. */
money tariff_of_usd(const tariff *t, money usd);
/* The price that this model's name is compared with as hosted; NULL: the file does not say. */
const char *tariff_stand_in(const tariff *t, const char *model);

/* Where the file is; false: Hearth has no folder. */
bool tariff_path(char *path, size_t cap, err *e);
/* The commented file that says what *t says. */
void tariff_write(const tariff *t, buf *b);
void tariff_empty(tariff *t);
/* "mon-fri 07:00-21:00 = 0.28": sets the slots to the value, in micro. */
bool tariff_times(const char *text, int64_t slot[TARIFF_SLOTS], err *e);

#endif
