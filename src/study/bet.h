/* The bet: the collected works of Shakespeare go to an API and back, all day, every day, for a
 * year, and the bill is a fraction of a machine's price. Said so it is several bets; each reading
 * gets its arithmetic, its verdict, and what would turn the verdict. Any thread; no state.
 *
 *     bet b;
 *     bet_ask(&b, &(bet_question){.machine = m, .price = p, .sheet = &s, .api = row, ...});
 *     for (int i = 0; i < BET_READINGS; i++) show(&b.reading[i]);
 */
#ifndef HEARTH_STUDY_BET_H
#define HEARTH_STUDY_BET_H

#include "meter/hardware.h"
#include "meter/prices.h"

#define BET_TOKENS 1500000       /* of the works; vocabularies count 1.35 to 1.73 million */
#define BET_STREAM_TPS 50.0      /* of one stream of an API */
#define BET_SHORT_ANSWER 1000    /* tokens of an answer that is no echo */
#define BET_FRACTION (2.0 / 3.0) /* above this share of the price a bill is no fraction of it */

typedef enum bet_pace {
    BET_ONE_A_DAY, /* one round trip a day */
    BET_SATURATED, /* one stream that never rests */
    BET_OWN,       /* as many as the machine itself can do */
    BET_BATCH,     /* one a day, at the price for work that may wait */
    BET_SHORT,     /* one a day, answered shortly */
    BET_CACHED,    /* the same, the works kept in the API's cache */
    BET_READINGS
} bet_pace;

typedef enum bet_verdict { BET_UNKNOWN, BET_TRUE, BET_BARELY, BET_FALSE } bet_verdict;

typedef struct bet_question {
    const machine *machine; /* its name, draw and speed */
    money price;            /* that the bill is held against */
    const price_sheet *sheet;
    const price_row *api;
    const char *day;
    int64_t tokens;
    double stream_tps;
} bet_question;

typedef struct bet_reading {
    const char *name, *what; /* "one-a-day", a sentence's end */
    double trips;            /* a year */
    int64_t in, out;         /* tokens a year */
    money bill_in, bill_out, bill;
    double ratio; /* of the bill to the price */
    bet_verdict verdict;
    const char *unknown; /* why there is no verdict, or NULL */
} bet_reading;

typedef struct bet {
    bet_question q;
    bet_reading reading[BET_READINGS];
    bet_verdict verdict; /* of the first three; BET_UNKNOWN: they differ, so the pace decides */
    double trip_seconds; /* a round trip on the machine; NAN: not known */
} bet;

void bet_ask(bet *b, const bet_question *q);
const char *bet_verdict_text(bet_verdict v); /* "TRUE", "barely TRUE", "FALSE", "not known" */
/* Values at which bill and price are the same, everything else as it is. NAN: this reading does not
 * depend on it. */
typedef struct bet_turn {
    double trips_a_day, tokens, stream_tps; /* tokens: of the works */
    double
        factor; /* of the prices, of the years, of streams side by side, of the machine's speed */
    money machine_price;
} bet_turn;
bet_turn bet_turn_of(const bet *b, const bet_reading *r);

#endif
