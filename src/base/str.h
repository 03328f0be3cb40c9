/* A str is a borrowed view of bytes: never owned, not NUL-terminated, may hold any byte.
 *
 *     str s = STR("key");  if (str_eq(s, STR("key"))) ...
 *     printf("%.*s", STR_ARG(s));
 */
#ifndef HEARTH_BASE_STR_H
#define HEARTH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
    const char *p;
    size_t n; /* bytes */
} str;

#define STR(lit) ((str){"" lit, sizeof(lit) - 1})
#define STR_ARG(s) (int)(s).n, (s).p

static inline str str_of(const char *cstr) {
    return (str){cstr, cstr ? strlen(cstr) : 0};
}
static inline bool str_eq(str a, str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_starts(str s, str prefix) {
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline bool str_ends(str s, str suffix) {
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}
/* Offset of the first occurrence at or after `from`; (size_t)-1 when there is none. */
size_t str_find(str hay, str needle, size_t from);
str str_trim(str s);                   /* without ASCII white space at both ends */
bool str_to_u64(str s, uint64_t *out); /* whole string, decimal, no sign; false on overflow */
bool str_to_f64(str s, double *out);   /* whole string, C locale; false on junk or non-finite */
/* Bytes from the outside made safe to print on one line: control characters and broken UTF-8 become
 * escapes. Writes at most cap-1 bytes and a NUL; ends in "..." when cut. Returns dst. */
char *str_printable(str s, char *dst, size_t cap);

/* UTF-8. Length of the character that starts at p (1-4), or 0 when the bytes are not valid UTF-8,
 * or
 * -1 when the n bytes are a valid beginning that needs more. */
int utf8_len(const char *p, size_t n);
/* Decodes one character; returns its length, 0 when invalid or cut short. */
int utf8_decode(const char *p, size_t n, uint32_t *cp);
/* Encodes; dst has room for 4 bytes. Returns the length; invalid code points become U+FFFD. */
int utf8_encode(uint32_t cp, char *dst);

#endif
