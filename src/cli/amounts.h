/* Amounts as people write them: "90d", "200k-tokens/day", "60/min", "2026-12-31". The errors name
 * the option. Any thread.
 */
#ifndef HEARTH_CLI_AMOUNTS_H
#define HEARTH_CLI_AMOUNTS_H

#include <stdint.h>

#include "base/err.h"

/* "30m", "12h", "90d", "2w", "1y" (365 days), "45s"; above 0. */
bool amount_seconds(const char *what, const char *text, int64_t *seconds, err *e);
/* A day, "2026-12-31" (its beginning, local time), or such a time from now on; with `ago`
 * backwards, and "today" too. */
bool amount_moment(const char *what, const char *text, bool ago, int64_t *unix_s, err *e);
/* "200k-tokens/day", "3M/month", "1.5M/week": the number and which window (store.h). */
bool amount_budget(const char *what, const char *text, int64_t *tokens, int *window, err *e);
/* "512M", "4G", "1.5GiB" (k, M, G, T are powers of 1000; ki, Mi, Gi, Ti of 1024), "4096": bytes. */
bool amount_bytes(const char *what, const char *text, uint64_t *bytes, err *e);
/* "60/min", "2/s", "60": requests a minute. */
bool amount_rate(const char *what, const char *text, int32_t *per_minute, err *e);
/* "2026-11-23", local time, or `never` for 0. Returns dst, which has room for 32 bytes. */
char *amount_date(int64_t unix_s, const char *never, char *dst);

#endif
