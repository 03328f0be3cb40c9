#include "meter/money.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool money_micro(const char *text, int64_t *micro) {
    int64_t v = 0;
    int places = -1, digits = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '.' && places < 0) {
            places = 0;
            continue;
        }
        if (*p < '0' || *p > '9' || places >= 6 || v >= (int64_t)1e17) return false;
        v = v * 10 + (*p - '0');
        digits++;
        if (places >= 0) places++;
    }
    if (digits == 0) return false;
    for (int i = places < 0 ? 0 : places; i < 6; i++) {
        if (v >= (int64_t)1e17) return false;
        v *= 10;
    }
    if (v >= (int64_t)1e18) return false;
    *micro = v;
    return true;
}

/* a / b for b > 0, to the nearest, halves to the even one. */
static money divide(money a, money b) {
    money size = a < 0 ? -a : a, q = size / b, rest = size % b;
    if (rest > b - rest || (rest == b - rest && q % 2 == 1)) q++;
    return a < 0 ? -q : q;
}

money money_ratio(money m, int64_t by, int64_t over) {
    return divide(m * by, over);
}

money money_energy(int64_t millijoules, int64_t micro_a_kwh) {
    return divide((money)millijoules * micro_a_kwh, 3600); /* 3.6e9 mJ a kWh, 1e6 pico a micro */
}

money money_of_f64(double units) {
    return (money)llroundl((long double)units * 1e6L) * MONEY_MICRO;
}

money money_share(money m, double share) {
    const int64_t parts = 1000000000;
    return money_ratio(m, llround(share * (double)parts), parts);
}

int64_t money_in_cents(money m) {
    return (int64_t)divide(m, MONEY_ONE / 100);
}

double money_f64(money m) {
    return (double)m / 1e12;
}

char *money_thousands(int64_t n, char *dst) {
    char digits[32];
    uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    int k = snprintf(digits, sizeof digits, "%llu", (unsigned long long)u);
    char *to = dst;
    if (n < 0) *to++ = '-';
    for (int i = 0; i < k; i++) {
        *to++ = digits[i];
        if ((k - i) % 3 == 1 && i + 1 < k) *to++ = ',';
    }
    *to = '\0';
    return dst;
}

char *money_cents(money m, char *dst) {
    char whole[MONEY_TEXT];
    int64_t c = money_in_cents(m);
    uint64_t u = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
    money_thousands((int64_t)(u / 100), whole);
    snprintf(dst, MONEY_TEXT, "%s%.48s.%02d", c < 0 ? "-" : "", whole, (int)(u % 100));
    return dst;
}

char *money_dollars(money m, char *dst) {
    return money_thousands((int64_t)divide(m, MONEY_ONE), dst);
}

char *money_exact(money m, char *dst) {
    unsigned __int128 u = m < 0 ? -(unsigned __int128)m : (unsigned __int128)m;
    const unsigned __int128 one = (unsigned __int128)MONEY_ONE;
    uint64_t whole = (uint64_t)(u / one), rest = (uint64_t)(u % one);
    int n = snprintf(dst, MONEY_TEXT, "%s%llu.%012llu", m < 0 ? "-" : "", (unsigned long long)whole,
                     (unsigned long long)rest);
    while (n > 0 && dst[n - 1] == '0') dst[--n] = '\0';
    if (n > 0 && dst[n - 1] == '.') dst[--n] = '\0';
    return dst;
}

char *money_short(money m, char *dst) {
    double x = fabs(money_f64(m));
    if (x >= 1 || m == 0) return money_cents(m, dst);
    snprintf(dst, MONEY_TEXT, "%.3g", money_f64(m));
    if (strchr(dst, 'e')) snprintf(dst, MONEY_TEXT, "%.9f", money_f64(m));
    return dst;
}

char *money_micro_text(int64_t micro, char *dst) {
    return money_exact((money)micro * MONEY_MICRO, dst);
}
