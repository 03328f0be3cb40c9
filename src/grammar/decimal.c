#include "grammar/decimal.h"

#include <stdio.h>
#include <stdlib.h>

int dec_parse(const char *s, dec *out) {
    bool negative = *s == '-', point = false;
    if (negative) s++;
    dec_wide m = 0;
    int scale = 0, dropped = 0;
    for (; (*s >= '0' && *s <= '9') || *s == '.'; s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        if (m >= dec_pow10(30)) { /* far beyond what is kept: only its size matters */
            if (*s != '0') return point ? 0 : 2;
            dropped += !point;
            continue;
        }
        m = m * 10 + (*s - '0');
        scale += point;
    }
    if (*s == 'e' || *s == 'E') {
        long x = strtol(s + 1, NULL, 10);
        if (x > 400 || x < -400) return m == 0 ? (*out = (dec){0, 0}, 1) : x > 0 ? 2 : 0;
        scale -= (int)x;
    }
    scale -= dropped;
    while (m && scale > 0 && m % 10 == 0) m /= 10, scale--;
    if (m == 0) scale = 0;
    while (scale < 0) {
        if (m >= dec_pow10(DEC_DIGITS)) return 2;
        m *= 10, scale++;
    }
    if (scale > DEC_SCALE) return 0;
    if (m >= dec_pow10(DEC_DIGITS))
        return scale == 0 || m / dec_pow10(scale) >= dec_pow10(DEC_DIGITS) ? 2 : 0;
    out->m = negative ? -m : m;
    out->scale = scale;
    return 1;
}

int dec_from_double(double v, dec *out) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    for (char *c = text; *c; c++)
        if (*c == ',') *c = '.'; /* a locale's decimal comma */
    return dec_parse(text, out);
}

bool dec_lcm(dec a, dec b, dec *out) {
    int scale = a.scale > b.scale ? a.scale : b.scale;
    dec_wide x = a.m * dec_pow10(scale - a.scale), y = b.m * dec_pow10(scale - b.scale);
    dec_wide p = x, q = y;
    while (q) {
        dec_wide r = p % q;
        p = q, q = r;
    }
    if (x / p >= dec_pow10(DEC_DIGITS + DEC_SCALE) / y) return false;
    dec_wide m = x / p * y;
    while (scale > 0 && m % 10 == 0) m /= 10, scale--;
    if (m >= dec_pow10(DEC_DIGITS)) return false;
    *out = (dec){m, scale};
    return true;
}
