/* Money as whole numbers: amounts in 10^-12 of a currency's unit (pico), prices in 10^-6 of it
 * (micro) a million tokens, a kilowatt-hour or an hour. A token at a price of p micro a million is
 * worth exactly p pico, so bills add up without rounding; rounding to cents, halves to
 * the even one, happens where an amount is shown. Any thread; no state.
 *
 *     int64_t price;
 *     if (!money_micro("0.0028", &price)) ...
 *     money bill = money_tokens(547500000, price);
 *     printf("%s\n", money_cents(bill, text));
 */
#ifndef HEARTH_METER_MONEY_H
#define HEARTH_METER_MONEY_H

#include <stdbool.h>
#include <stdint.h>

typedef __int128 money; /* pico */

#define MONEY_TEXT 64 /* room for any of the texts below */
#define MONEY_ONE ((money)1000000000000)
#define MONEY_MICRO ((money)1000000)

/* A decimal number with at most six places, not negative, below 10^12. False: it is none. */
bool money_micro(const char *text, int64_t *micro);
static inline money money_tokens(int64_t tokens, int64_t micro_a_million) {
    return (money)tokens * micro_a_million;
}
money money_ratio(money m, int64_t by, int64_t over); /* m * by / over, rounded likewise */
/* Energy in millijoules at a price in micro a kilowatt-hour. */
money money_energy(int64_t millijoules, int64_t micro_a_kwh);
/* A part of an amount that spreads over a whole, both of any unit: m * part / whole. */
money money_share(money m, double share);
int64_t money_in_cents(money m);
double money_f64(money m); /* units; for ratios and plots */
money money_of_f64(double units);

/* Each writes into dst [MONEY_TEXT] and returns it. */
char *money_cents(money m, char *dst);            /* "1,234.56", "-0.01" */
char *money_dollars(money m, char *dst);          /* "1,235" */
char *money_exact(money m, char *dst);            /* "1234.5600003": all that is not zero */
char *money_short(money m, char *dst);            /* cents, but three digits below a unit */
char *money_micro_text(int64_t micro, char *dst); /* a price: "0.0028", "5" */
char *money_thousands(int64_t n, char *dst);      /* "547,500,000" */

#endif
