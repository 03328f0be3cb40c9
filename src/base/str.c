#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

size_t str_find(str hay, str needle, size_t from) {
    if (from > hay.n) return (size_t)-1;
    if (needle.n == 0) return from;
    if (needle.n > hay.n - from) return (size_t)-1;
    const char *at = memmem(hay.p + from, hay.n - from, needle.p, needle.n);
    return at ? (size_t)(at - hay.p) : (size_t)-1;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

str str_trim(str s) {
    while (s.n > 0 && is_space(s.p[0])) s.p++, s.n--;
    while (s.n > 0 && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

bool str_to_u64(str s, uint64_t *out) {
    if (s.n == 0) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (__builtin_mul_overflow(v, 10u, &v)) return false;
        if (__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) return false;
    }
    *out = v;
    return true;
}

static locale_t c_locale;
static void make_c_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* sign? digits with at most one point and at least one digit, then exponent? : strtod alone would
 * also take white space, hexadecimal, "inf" and "nan". */
static bool looks_like_number(str s) {
    size_t i = 0, digits = 0;
    bool point = false;
    if (i < s.n && (s.p[i] == '+' || s.p[i] == '-')) i++;
    for (; i < s.n; i++) {
        if (s.p[i] >= '0' && s.p[i] <= '9') digits++;
        else if (s.p[i] == '.' && !point) point = true;
        else break;
    }
    if (digits == 0) return false;
    if (i == s.n) return true;
    if (s.p[i] != 'e' && s.p[i] != 'E') return false;
    i++;
    if (i < s.n && (s.p[i] == '+' || s.p[i] == '-')) i++;
    if (i == s.n) return false;
    for (; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return true;
}

bool str_to_f64(str s, double *out) {
    char text[512]; /* far longer than any number that means something */
    if (s.n >= sizeof text || !looks_like_number(s)) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    if (!c_locale) return false;
    double v = strtod_l(text, NULL, c_locale);
    if (!isfinite(v)) return false;
    *out = v;
    return true;
}

/* Characters that are valid but would move the cursor, break the line or reorder what stands around
 * them: C0, DEL, C1, line and paragraph separators, bidirectional controls, the byte-order mark. */
static bool is_unprintable(uint32_t cp) {
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029 ||
           (cp >= 0x200e && cp <= 0x200f) || (cp >= 0x202a && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

/* Writes the shown form of the character at p into piece, says how many bytes of input it
 * covers. */
static size_t printable_piece(const char *p, size_t n, char piece[16], size_t *piece_n) {
    uint32_t cp;
    int len = utf8_decode(p, n, &cp);
    if (len > 0 && !is_unprintable(cp)) {
        memcpy(piece, p, (size_t)len);
        *piece_n = (size_t)len;
        return (size_t)len;
    }
    int written;
    if (len == 0) written = snprintf(piece, 16, "\\x%02x", (unsigned char)*p);
    else if (cp == '\n') written = snprintf(piece, 16, "\\n");
    else if (cp == '\r') written = snprintf(piece, 16, "\\r");
    else if (cp == '\t') written = snprintf(piece, 16, "\\t");
    else if (cp < 0x80) written = snprintf(piece, 16, "\\x%02x", (unsigned)cp);
    else written = snprintf(piece, 16, "\\u%04x", (unsigned)cp);
    *piece_n = (size_t)written;
    return len > 0 ? (size_t)len : 1;
}

char *str_printable(str s, char *dst, size_t cap) {
    if (cap == 0) return dst;
    size_t room = cap - 1, len = 0;
    size_t cut = 0; /* length of the longest prefix after which "..." still fits */
    for (size_t i = 0; i < s.n;) {
        char piece[16];
        size_t piece_n;
        size_t used = printable_piece(s.p + i, s.n - i, piece, &piece_n);
        if (piece_n > room - len) {
            len = cut;
            for (int dots = 0; dots < 3 && len < room; dots++) dst[len++] = '.';
            break;
        }
        memcpy(dst + len, piece, piece_n);
        len += piece_n;
        if (len + 3 <= room) cut = len;
        i += used;
    }
    dst[len] = 0;
    return dst;
}

/* Well-formed byte sequences, Unicode 15 table 3-7: the second byte's range depends on the first,
 * which is what keeps out overlong forms, surrogates and code points past U+10FFFF. */
static int sequence_len(unsigned char first, unsigned char *lo, unsigned char *hi) {
    *lo = 0x80;
    *hi = 0xbf;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    if (first < 0xe0) return 2;
    if (first == 0xe0) *lo = 0xa0;
    if (first == 0xed) *hi = 0x9f;
    if (first < 0xf0) return 3;
    if (first == 0xf0) *lo = 0x90;
    if (first == 0xf4) *hi = 0x8f;
    return 4;
}

int utf8_len(const char *p, size_t n) {
    if (n == 0) return -1;
    const unsigned char *u = (const unsigned char *)p;
    unsigned char lo, hi;
    int len = sequence_len(u[0], &lo, &hi);
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= n) return -1;
        if (u[i] < lo || u[i] > hi) return 0;
        lo = 0x80;
        hi = 0xbf;
    }
    return len;
}

int utf8_decode(const char *p, size_t n, uint32_t *cp) {
    int len = utf8_len(p, n);
    if (len <= 0) return 0;
    static const unsigned char first_mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t v = (unsigned char)p[0] & first_mask[len];
    for (int i = 1; i < len; i++) v = v << 6 | ((unsigned char)p[i] & 0x3fu);
    *cp = v;
    return len;
}

int utf8_encode(uint32_t cp, char *dst) {
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) cp = 0xfffd;
    if (cp < 0x80) {
        dst[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char first_bits[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = len - 1; i > 0; i--, cp >>= 6) dst[i] = (char)(0x80 | (cp & 0x3f));
    dst[0] = (char)(first_bits[len] | cp);
    return len;
}
