/* Characters out of bytes: UTF-8, and the escapes of JSON strings. Header only.
 *
 * `escape` of a place: 0 between characters; 12..14: one to three continuation bytes to come; in
 * JSON also 1: after a backslash; 2..5: in \u, with none to three digits read; 6, 7: after a high
 * surrogate, waiting for \ and for u; 8..11: in its low surrogate. ASCII that prints is never
 * written as \u (but < > & ' as some writers do), so that a name has one spelling. */
#ifndef HEARTH_GRAMMAR_LEX_H
#define HEARTH_GRAMMAR_LEX_H

#include "grammar/dfa.h"

typedef enum lex_result { LEX_BAD, LEX_MORE, LEX_CHAR, LEX_END } lex_result;

static inline lex_result lex_utf8(uint8_t *escape, uint32_t *cp, uint8_t b) {
    if (*escape == 0) {
        if (b < 0x80) {
            *cp = b;
            return LEX_CHAR;
        }
        if (b < 0xC2 || b > 0xF4) return LEX_BAD;
        int more = b < 0xE0 ? 1 : b < 0xF0 ? 2 : 3;
        *cp = b & (0x3Fu >> more);
        *escape = (uint8_t)(11 + more);
        return LEX_MORE;
    }
    if ((b & 0xC0) != 0x80) return LEX_BAD;
    if (*escape == 13 && ((*cp == 0 && b < 0xA0) || (*cp == 0xD && b > 0x9F))) return LEX_BAD;
    if (*escape == 14 && ((*cp == 0 && b < 0x90) || (*cp == 4 && b > 0x8F))) return LEX_BAD;
    *cp = *cp << 6 | (b & 0x3Fu);
    if (--*escape == 11) {
        *escape = 0;
        return LEX_CHAR;
    }
    return LEX_MORE;
}

static inline bool lex_may_escape(uint32_t cp) {
    return cp < 0x20 || cp >= 0x7F || cp == '"' || cp == '\\' || cp == '/' || cp == '<' ||
           cp == '>' || cp == '&' || cp == '\'';
}

static inline int lex_hex(uint8_t b) {
    return b >= '0' && b <= '9' ? b - '0' : (b | 32) >= 'a' && (b | 32) <= 'f' ? (b | 32) - 87 : -1;
}

static inline lex_result lex_json(uint8_t *escape, uint32_t *cp, uint8_t b) {
    static const char short_in[] = "\"\\/bfnrt", short_out[] = "\"\\/\b\f\n\r\t";
    int x = *escape;
    if (x == 0 || x >= 12) {
        if (x == 0 && b == '"') return LEX_END;
        if (x == 0 && b == '\\') {
            *escape = 1;
            *cp = 0;
            return LEX_MORE;
        }
        if (x == 0 && b < 0x20) return LEX_BAD;
        return lex_utf8(escape, cp, b);
    }
    if (x == 1) {
        const char *at = b ? strchr(short_in, b) : NULL;
        if (at) {
            *cp = (uint8_t)short_out[at - short_in];
            *escape = 0;
            return LEX_CHAR;
        }
        *escape = 2;
        return b == 'u' ? LEX_MORE : LEX_BAD;
    }
    if (x == 6 || x == 7) {
        *escape = (uint8_t)(x + 1);
        return b == (x == 6 ? '\\' : 'u') ? LEX_MORE : LEX_BAD;
    }
    int d = lex_hex(b);
    if (d < 0) return LEX_BAD;
    if (x <= 5) {
        *cp = *cp << 4 | (uint32_t)d;
        *escape = (uint8_t)(x + 1);
        if (x < 5) return LEX_MORE;
        if (*cp >= 0xDC00 && *cp <= 0xDFFF) return LEX_BAD;
        if (*cp >= 0xD800 && *cp <= 0xDBFF) return LEX_MORE; /* cp: the high surrogate */
        *escape = 0;
        return lex_may_escape(*cp) ? LEX_CHAR : LEX_BAD;
    }
    if ((x == 8 && d != 0xD) || (x == 9 && d < 0xC)) return LEX_BAD;
    if (x == 8) *cp = (*cp - 0xD800) << 10 | 0x80000000u; /* the digits are gathered below */
    else *cp |= (uint32_t)(x == 9 ? (d & 3) << 8 : x == 10 ? d << 4 : d);
    *escape = (uint8_t)(x + 1);
    if (x < 11) return LEX_MORE;
    *cp = 0x10000 + (*cp & 0xFFFFF);
    *escape = 0;
    return LEX_CHAR;
}

/* The code points that an unfinished character can still become: up to two ranges. */
static inline int lex_ranges(uint8_t escape, uint32_t cp, dfa_range out[2]) {
    if (escape >= 12) {
        int bits = 6 * (escape - 11);
        out[0].lo = cp << bits;
        out[0].hi = out[0].lo | ((1u << bits) - 1);
        if (escape == 13 && cp == 0) out[0].lo = 0x800;
        if (escape == 14 && cp == 0) out[0].lo = 0x10000;
        if (escape == 13 && cp == 0xD) out[0].hi = 0xD7FF;
        if (out[0].hi > DFA_MAX_CP) out[0].hi = DFA_MAX_CP;
        return 1;
    }
    if (escape == 1) return out[0] = (dfa_range){0, DFA_MAX_CP}, 1;
    if (escape <= 5) {
        int bits = 4 * (6 - escape);
        uint32_t lo = cp << bits, hi = lo | ((1u << bits) - 1);
        uint32_t high_lo = lo > 0xD800 ? lo : 0xD800, high_hi = hi < 0xDBFF ? hi : 0xDBFF;
        out[0] = (dfa_range){lo, hi};
        if (high_lo > high_hi) return 1;
        out[1].lo = 0x10000 + ((high_lo - 0xD800) << 10);
        out[1].hi = 0x10000 + ((high_hi - 0xD800) << 10) + 0x3FF;
        return 2;
    }
    if (escape <= 8) {
        out[0].lo = 0x10000 + ((cp - 0xD800) << 10);
        out[0].hi = out[0].lo + 0x3FF;
        return 1;
    }
    int bits = escape == 9 ? 10 : escape == 10 ? 8 : 4;
    out[0].lo = 0x10000 + (cp & 0xFFFFF);
    out[0].hi = out[0].lo + (1u << bits) - 1;
    return 1;
}

/* One byte of a plain text that an automaton follows; LEX_BAD: nothing lives on. */
static inline lex_result lex_follow(const dfa *d, int32_t *state, uint8_t *escape, uint32_t *cp,
                                    uint8_t b) {
    lex_result got = lex_utf8(escape, cp, b);
    if (got == LEX_MORE) {
        dfa_range r[2];
        lex_ranges(*escape, *cp, r);
        return dfa_live_between(d, *state, r[0].lo, r[0].hi) ? LEX_MORE : LEX_BAD;
    }
    if (got == LEX_BAD) return LEX_BAD;
    *state = dfa_step(d, *state, *cp);
    *cp = 0;
    return *state ? LEX_CHAR : LEX_BAD;
}

/* As lex_ranges, in a JSON string and exactly: without surrogates, and without what is never
 * escaped. */
enum { LEX_RANGES = 11 };
static inline int lex_json_ranges(uint8_t escape, uint32_t cp, dfa_range out[LEX_RANGES]) {
    static const char one[] =
        "\"\\/<>&'"; /* may be escaped though they print; see lex_may_escape */
    dfa_range r[2];
    int n = lex_ranges(escape, cp, r), k = 0;
    uint32_t lo = r[0].lo, hi = r[0].hi;
    if (escape > 5) {
        for (int i = 0; i < n; i++) out[k++] = r[i];
        return k;
    }
    if (lo < 0x20) out[k++] = (dfa_range){lo, hi < 0x1F ? hi : 0x1F};
    for (const char *c = one; *c; c++)
        if ((uint32_t)*c >= lo && (uint32_t)*c <= hi)
            out[k++] = (dfa_range){(uint8_t)*c, (uint8_t)*c};
    uint32_t from = lo > 0x7F ? lo : 0x7F, end = hi < 0xD7FF ? hi : 0xD7FF;
    if (from <= end) out[k++] = (dfa_range){from, end};
    from = lo > 0xE000 ? lo : 0xE000;
    if (from <= hi) out[k++] = (dfa_range){from, hi};
    if (n == 2) out[k++] = r[1];
    return k;
}

/* Whether an unfinished character of a JSON string can become one of a range that is live. */
static inline bool lex_json_lives(uint8_t escape, uint32_t cp,
                                  bool (*live)(const void *ud, uint32_t lo, uint32_t hi),
                                  const void *ud) {
    dfa_range r[LEX_RANGES];
    int n = lex_json_ranges(escape, cp, r);
    for (int i = 0; i < n; i++)
        if (live(ud, r[i].lo, r[i].hi)) return true;
    return false;
}

#endif
