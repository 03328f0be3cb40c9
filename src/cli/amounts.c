#include "cli/amounts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "store/store.h"

static bool complain(const char *what, const char *text, const char *like, err *e) {
    char shown[80];
    return err_set(e, ERR_USAGE, "%s: \"%s\" is not like %s", what,
                   str_printable(str_of(text), shown, sizeof shown), like);
}

/* The number at the beginning of s, which moves behind it. Neither sign nor exponent. */
static bool take_number(str *s, double *out) {
    size_t n = 0;
    while (n < s->n && ((s->p[n] >= '0' && s->p[n] <= '9') || s->p[n] == '.')) n++;
    if (!str_to_f64((str){s->p, n}, out)) return false;
    *s = (str){s->p + n, s->n - n};
    return true;
}

bool amount_seconds(const char *what, const char *text, int64_t *seconds, err *e) {
    static const char units[] = "smhdwy";
    static const double each[] = {1, 60, 3600, 86400, 7 * 86400, 365 * 86400};
    str s = str_of(text);
    double x;
    bool ok = take_number(&s, &x) && s.n == 1 && strchr(units, s.p[0]);
    if (ok) x *= each[strchr(units, s.p[0]) - units];
    if (!ok || x < 1 || x > 100.0 * 365 * 86400) return complain(what, text, "30m, 12h or 90d", e);
    *seconds = (int64_t)x;
    return true;
}

bool amount_bytes(const char *what, const char *text, uint64_t *bytes, err *e) {
    static const char units[] = "kMGT";
    str s = str_of(text);
    double x;
    bool ok = take_number(&s, &x);
    if (ok && s.n > 0 && s.p[s.n - 1] == 'B') s.n--;
    const char *unit = ok && s.n > 0 && s.p[0] ? strchr(units, s.p[0] == 'K' ? 'k' : s.p[0]) : NULL;
    if (unit) {
        bool binary = s.n == 2 && s.p[1] == 'i';
        ok = s.n == 1 || binary;
        for (const char *u = units; u <= unit; u++) x *= binary ? 1024 : 1000;
    } else {
        ok = ok && s.n == 0;
    }
    if (!ok || x < 1 || x > 1e15) return complain(what, text, "512M, 4G or 8GiB", e);
    *bytes = (uint64_t)x;
    return true;
}

static bool read_day(const char *text, int64_t *unix_s) {
    struct tm tm = {.tm_isdst = -1};
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (!end || *end) return false;
    struct tm asked = tm;
    *unix_s = (int64_t)mktime(&tm);
    return tm.tm_mday == asked.tm_mday && tm.tm_year > 70; /* 30 February is no day */
}

bool amount_moment(const char *what, const char *text, bool ago, int64_t *unix_s, err *e) {
    int64_t now = clock_unix_s(), seconds;
    if (read_day(text, unix_s)) return true;
    if (ago && strcmp(text, "today") == 0) {
        char today[32];
        return read_day(amount_date(now, "", today), unix_s);
    }
    if (!amount_seconds(what, text, &seconds, NULL))
        return complain(what, text, ago ? "7d, today or 2026-12-31" : "90d or 2026-12-31", e);
    *unix_s = ago ? now - seconds : now + seconds;
    return true;
}

bool amount_budget(const char *what, const char *text, int64_t *tokens, int *window, err *e) {
    static const char *const names[STORE_WINDOWS] = {"day", "week", "month"};
    str s = str_of(text);
    double x, unit = 1;
    bool ok = take_number(&s, &x);
    if (ok && s.n > 0 && strchr("kKMG", s.p[0])) {
        unit = s.p[0] == 'M' ? 1e6 : s.p[0] == 'G' ? 1e9 : 1e3;
        s = (str){s.p + 1, s.n - 1};
    }
    if (ok && s.n > 0 && (s.p[0] == '-' || s.p[0] == ' ')) s = (str){s.p + 1, s.n - 1};
    if (ok && str_starts(s, STR("tokens"))) s = (str){s.p + 6, s.n - 6};
    *window = -1;
    for (int i = 0; ok && i < STORE_WINDOWS; i++)
        if (s.n > 0 && s.p[0] == '/' && str_eq((str){s.p + 1, s.n - 1}, str_of(names[i])))
            *window = i;
    x *= ok ? unit : 0;
    if (*window < 0 || x < 1 || x > 1e15 || x != (double)(int64_t)x)
        return complain(what, text, "200k-tokens/day, 1M/week or 3M/month", e);
    *tokens = (int64_t)x;
    return true;
}

bool amount_rate(const char *what, const char *text, int32_t *per_minute, err *e) {
    str s = str_of(text);
    double x;
    bool ok = take_number(&s, &x);
    if (ok && str_eq(s, STR("/s"))) x *= 60;
    else if (s.n > 0 && !str_eq(s, STR("/min"))) ok = false;
    if (!ok || x < 1 || x > 1e6 || x != (double)(int32_t)x)
        return complain(what, text, "60/min or 2/s", e);
    *per_minute = (int32_t)x;
    return true;
}

char *amount_date(int64_t unix_s, const char *never, char *dst) {
    time_t t = (time_t)unix_s;
    struct tm tm = {0};
    localtime_r(&t, &tm);
    if (unix_s == 0) snprintf(dst, 32, "%s", never);
    else strftime(dst, 32, "%Y-%m-%d", &tm);
    return dst;
}
