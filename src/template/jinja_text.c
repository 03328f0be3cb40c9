/* Building text that keeps the origin of its bytes, and what is done with texts. */
#include <utf8proc.h>

#include "template/jinja_value.h"

/* ---- the builder ---- */

void jsb_init(jsb *b, R *r) {
    *b = (jsb){.r = r};
}

static bool jsb_grow(jsb *b, size_t n) {
    if (n <= b->cap - b->n) return true;
    size_t cap = b->cap ? 2 * b->cap : 64;
    if (cap < b->n + n) cap = b->n + n;
    char *p = cap < b->n ? NULL : jinja_alloc(b->r, cap);
    uint8_t *mark = p && b->mark ? jinja_alloc(b->r, cap) : NULL;
    if (!p || (b->mark && !mark)) {
        b->failed = true;
        return false;
    }
    if (b->n) memcpy(p, b->p, b->n);
    if (b->n && mark) memcpy(mark, b->mark, b->n);
    b->p = p;
    b->mark = mark;
    b->cap = cap;
    return true;
}

/* From now on bytes have their own origins. */
static bool jsb_mix(jsb *b) {
    if (b->mark) return true;
    b->mark = jinja_alloc(b->r, b->cap);
    if (!b->mark) {
        b->failed = true;
        return false;
    }
    memset(b->mark, b->content, b->n);
    return true;
}

static bool jsb_append(jsb *b, const char *p, size_t n, const uint8_t *mark, bool content) {
    if (b->failed) return false;
    if (n == 0) return true;
    if (!jsb_grow(b, n) || !jinja_spend(b->r, n / 256)) {
        b->failed = true;
        return false;
    }
    if (b->n == 0 && !mark) b->content = content;
    if ((mark || b->content != content || b->mark) && !jsb_mix(b)) return false;
    memcpy(b->p + b->n, p, n);
    if (mark) memcpy(b->mark + b->n, mark, n);
    else if (b->mark) memset(b->mark + b->n, content, n);
    b->n += n;
    return true;
}

bool jsb_put(jsb *b, const char *p, size_t n, bool content) {
    return jsb_append(b, p, n, NULL, content);
}

bool jsb_lit(jsb *b, const char *s) {
    return jsb_append(b, s, strlen(s), NULL, false);
}

bool jsb_part(jsb *b, const jstr *s, size_t from, size_t to) {
    return jsb_append(b, s->p + from, to - from, s->mark ? s->mark + from : NULL, s->content);
}

bool jsb_str(jsb *b, const jstr *s) {
    return jsb_part(b, s, 0, s->n);
}

bool jsb_done(jsb *b, jv *out) {
    jstr *s = b->failed ? NULL : jinja_alloc(b->r, sizeof *s);
    if (!s) return false;
    *s = (jstr){.p = b->p ? b->p : "", .n = b->n, .mark = b->mark, .content = b->content};
    *out = JV_OF(JV_STR, s, s);
    return true;
}

/* ---- characters ---- */

size_t jchar_at(const jstr *s, size_t at, uint32_t *cp) {
    int n = utf8_decode(s->p + at, s->n - at, cp);
    if (n > 0) return (size_t)n;
    *cp = 0xFFFD;
    return 1;
}

/* Strings are valid UTF-8 (what comes in is checked), so a character is its first byte. */
static bool is_first_byte(char c) {
    return ((unsigned char)c & 0xC0) != 0x80;
}

size_t jstr_length(const jstr *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += is_first_byte(s->p[i]);
    return n;
}

size_t jstr_offset(const jstr *s, size_t index) {
    size_t at = 0;
    for (; at < s->n; at++)
        if (is_first_byte(s->p[at]) && index-- == 0) return at;
    return s->n;
}

static utf8proc_category_t category(uint32_t cp) {
    return utf8proc_category((utf8proc_int32_t)cp);
}

bool jchar_is_space(uint32_t cp) {
    if (cp < 128) return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool jchar_is_alpha(uint32_t cp) {
    if (cp < 128) return (cp | 32) >= 'a' && (cp | 32) <= 'z';
    utf8proc_category_t c = category(cp);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool jchar_is_digit(uint32_t cp) {
    if (cp < 128) return cp >= '0' && cp <= '9';
    return category(cp) == UTF8PROC_CATEGORY_ND;
}

bool jchar_is_numeral(uint32_t cp) {
    if (cp < 128) return false;
    return category(cp) == UTF8PROC_CATEGORY_NL || category(cp) == UTF8PROC_CATEGORY_NO;
}

bool jchar_is_upper(uint32_t cp) {
    if (cp < 128) return cp >= 'A' && cp <= 'Z';
    return category(cp) == UTF8PROC_CATEGORY_LU;
}

bool jchar_is_lower(uint32_t cp) {
    if (cp < 128) return cp >= 'a' && cp <= 'z';
    return category(cp) == UTF8PROC_CATEGORY_LL || cp == 0xaa || cp == 0xba;
}

bool jchar_is_printable(uint32_t cp) {
    if (cp < 128) return cp >= 32 && cp < 127;
    utf8proc_category_t c = category(cp);
    return c < UTF8PROC_CATEGORY_ZS && c != UTF8PROC_CATEGORY_CN;
}

/* ---- case ---- */

/* The characters whose upper case has two letters. */
static const char *wide_upper(uint32_t cp) {
    switch (cp) {
    case 0xDF: return "SS";
    case 0x149: return "\xCA\xBCN";
    case 0xFB00: return "FF";
    case 0xFB01: return "FI";
    case 0xFB02: return "FL";
    case 0xFB03: return "FFI";
    case 0xFB04: return "FFL";
    case 0xFB05:
    case 0xFB06: return "ST";
    default: return NULL;
    }
}

static const char *wide_title(uint32_t cp) {
    switch (cp) {
    case 0xDF: return "Ss";
    case 0xFB00: return "Ff";
    case 0xFB01: return "Fi";
    case 0xFB02: return "Fl";
    case 0xFB03: return "Ffi";
    case 0xFB04: return "Ffl";
    case 0xFB05:
    case 0xFB06: return "St";
    default: return NULL;
    }
}

static void put_folded(jsb *b, utf8proc_int32_t cp, bool content) {
    utf8proc_int32_t to[4];
    int boundary = 0;
    char bytes[4];
    utf8proc_ssize_t n = utf8proc_decompose_char(cp, to, 4, UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < n && i < 4; i++)
        jsb_put(b, bytes, (size_t)utf8_encode((uint32_t)to[i], bytes), content);
}

/* Whether the letter at `at` is a word's last: that is where sigma has a form of its own. */
static bool ends_word(const jstr *s, size_t at, size_t n) {
    uint32_t cp;
    size_t before = at;
    while (before > 0 && ((unsigned char)s->p[before - 1] & 0xc0) == 0x80) before--;
    if (before == 0) return false;
    jchar_at(s, before - 1, &cp);
    if (!jchar_is_alpha(cp)) return false;
    if (at + n >= s->n) return true;
    jchar_at(s, at + n, &cp);
    return !jchar_is_alpha(cp);
}

static void put_cased(jsb *b, const jstr *s, size_t at, size_t n, uint32_t cp, jcase how) {
    bool content = s->mark ? s->mark[at] : s->content;
    const char *wide = how == JCASE_UPPER   ? wide_upper(cp)
                       : how == JCASE_TITLE ? wide_title(cp)
                                            : NULL;
    if (wide) {
        jsb_put(b, wide, strlen(wide), content);
        return;
    }
    if (cp < 128) {
        bool changes = how == JCASE_LOWER || how == JCASE_FOLD ? jchar_is_upper(cp)
                                                               : jchar_is_lower(cp);
        char letter = (char)(changes ? cp ^ 32 : cp);
        jsb_put(b, &letter, 1, content);
        return;
    }
    utf8proc_int32_t c = (utf8proc_int32_t)cp;
    if (how == JCASE_FOLD) {
        put_folded(b, c, content);
        return;
    }
    if (cp == 0x130 && how == JCASE_LOWER) { /* the one whose lower case has two letters */
        jsb_put(b, "i\xCC\x87", 3, content);
        return;
    }
    if (cp == 0x3A3 && how == JCASE_LOWER && ends_word(s, at, n)) {
        jsb_put(b, "\xCF\x82", 2, content);
        return;
    }
    c = how == JCASE_LOWER   ? utf8proc_tolower(c)
        : how == JCASE_UPPER ? utf8proc_toupper(c)
                             : utf8proc_totitle(c);
    if ((uint32_t)c == cp) {
        jsb_part(b, s, at, at + n);
        return;
    }
    char bytes[4];
    jsb_put(b, bytes, (size_t)utf8_encode((uint32_t)c, bytes), content);
}

bool jstr_case(R *r, const jstr *s, jcase how, jv *out) {
    jsb b;
    jsb_init(&b, r);
    bool in_word = false;
    if (!jinja_spend(r, s->n)) return false;
    for (size_t at = 0, n; at < s->n && !b.failed; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        jcase c = how;
        bool cased = jchar_is_upper(cp) || jchar_is_lower(cp) ||
                     (cp >= 128 && category(cp) == UTF8PROC_CATEGORY_LT);
        if (how == JCASE_TITLE) c = in_word ? JCASE_LOWER : JCASE_TITLE;
        if (how == JCASE_CAPITAL) c = at > 0 ? JCASE_LOWER : JCASE_TITLE;
        if (how == JCASE_SWAP) c = jchar_is_upper(cp) ? JCASE_LOWER : JCASE_UPPER;
        in_word = cased;
        put_cased(&b, s, at, n, cp, c);
    }
    return jsb_done(&b, out);
}

static bool begins_word(uint32_t cp) {
    return jchar_is_space(cp) || (cp < 128 && cp && strchr("-({[<", (int)cp));
}

bool jstr_words(R *r, const jstr *s, jv *out) {
    jsb b;
    jsb_init(&b, r);
    bool first = true, in_gap = false;
    if (!jinja_spend(r, s->n)) return false;
    for (size_t at = 0, n; at < s->n && !b.failed; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        bool gap = begins_word(cp);
        if (gap != in_gap) first = true;
        in_gap = gap;
        put_cased(&b, s, at, n, cp, first ? JCASE_UPPER : JCASE_LOWER);
        first = false;
    }
    return jsb_done(&b, out);
}

/* ---- trimming, replacing, splitting ---- */

static bool is_trimmed(const jstr *s, size_t at, size_t n, uint32_t cp, const jstr *chars) {
    if (!chars) return jchar_is_space(cp);
    return str_find(jstr_str(chars), (str){s->p + at, n}, 0) != (size_t)-1;
}

bool jstr_trim(R *r, const jstr *s, const jstr *chars, int sides, jv *out) {
    size_t from = 0, to = s->n;
    uint32_t cp;
    while ((sides & JTRIM_LEFT) && from < to) {
        size_t n = jchar_at(s, from, &cp);
        if (!is_trimmed(s, from, n, cp, chars)) break;
        from += n;
    }
    while ((sides & JTRIM_RIGHT) && to > from) {
        size_t at = to - 1;
        while (at > from && !is_first_byte(s->p[at])) at--;
        size_t n = jchar_at(s, at, &cp);
        if (!is_trimmed(s, at, n, cp, chars)) break;
        to = at;
    }
    return jinja_spend(r, (from + s->n - to) / 64) && jv_sub(r, s, from, to, out);
}

bool jstr_replace(R *r, const jstr *s, const jstr *from, const jstr *to, int64_t count, jv *out) {
    jsb b;
    jsb_init(&b, r);
    if (!jinja_spend(r, s->n / 64)) return false;
    size_t at = 0, copied = 0;
    bool hits = false;
    if (count < 0) count = INT64_MAX;
    while (count > 0 && !b.failed) {
        size_t hit = at;
        if (from->n > 0) hit = str_find(jstr_str(s), jstr_str(from), at);
        if (hit == (size_t)-1 || hit > s->n || !jinja_spend(r, 2)) break;
        jsb_part(&b, s, copied, hit);
        jsb_str(&b, to);
        hits = true;
        count--;
        copied = hit + from->n;
        at = copied;
        if (from->n > 0) continue;
        if (hit >= s->n) break;
        uint32_t cp; /* between all characters */
        at = hit + jchar_at(s, hit, &cp);
        copied = hit;
    }
    if (!hits) return jv_sub(r, s, 0, s->n, out);
    jsb_part(&b, s, copied, s->n);
    return jsb_done(&b, out);
}

static bool push_part(R *r, jlist *l, const jstr *s, size_t from, size_t to) {
    jv part;
    return jinja_spend(r, 1) && jv_sub(r, s, from, to, &part) && jlist_push(r, l, part);
}

static void reverse_list(jlist *l) {
    for (size_t i = 0; i < l->n / 2; i++) {
        jv t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
}

static bool space_before(const jstr *s, size_t at, size_t *from) {
    size_t k = at - 1;
    while (k > 0 && !is_first_byte(s->p[k])) k--;
    uint32_t cp;
    jchar_at(s, k, &cp);
    *from = k;
    return jchar_is_space(cp);
}

static bool split_words_right(R *r, const jstr *s, int64_t max, jlist *l) {
    size_t end = s->n, from;
    for (;;) {
        while (end > 0 && space_before(s, end, &from)) end = from;
        if (end == 0) break;
        if (max-- == 0) {
            if (!push_part(r, l, s, 0, end)) return false;
            break;
        }
        size_t start = end;
        while (start > 0 && !space_before(s, start, &from)) start = from;
        if (!push_part(r, l, s, start, end)) return false;
        end = start;
    }
    reverse_list(l);
    return true;
}

static bool split_words(R *r, const jstr *s, int64_t max, jlist *l) {
    for (size_t at = 0;;) {
        uint32_t cp = 0;
        size_t n = 0;
        while (at < s->n && (n = jchar_at(s, at, &cp), jchar_is_space(cp))) at += n;
        if (at >= s->n) return true;
        if (max-- == 0) return push_part(r, l, s, at, s->n);
        size_t start = at;
        while (at < s->n && (n = jchar_at(s, at, &cp), !jchar_is_space(cp))) at += n;
        if (!push_part(r, l, s, start, at)) return false;
    }
}

static size_t find_last(const jstr *s, const jstr *sep, size_t end) {
    if (sep->n > end) return (size_t)-1;
    for (size_t at = end - sep->n + 1; at-- > 0;)
        if (memcmp(s->p + at, sep->p, sep->n) == 0) return at;
    return (size_t)-1;
}

bool jstr_split(R *r, const jstr *s, const jstr *sep, int64_t max, bool from_right, jv *out) {
    if (sep && sep->n == 0) return jinja_fail(r, "empty separator");
    if (max < 0) max = INT64_MAX;
    if (!jinja_spend(r, s->n / 64) || !jv_list(r, JL_LIST, 4, out)) return false;
    jlist *l = out->u.list;
    if (!sep) {
        /* What is left over keeps its trailing white space only from the left. */
        if (from_right) return split_words_right(r, s, max, l);
        return split_words(r, s, max, l);
    }
    if (from_right) {
        size_t end = s->n, hit;
        while (max-- > 0 && (hit = find_last(s, sep, end)) != (size_t)-1) {
            if (!push_part(r, l, s, hit + sep->n, end)) return false;
            end = hit;
        }
        if (!push_part(r, l, s, 0, end)) return false;
        reverse_list(l);
        return true;
    }
    size_t at = 0, hit;
    while (max-- > 0 && (hit = str_find(jstr_str(s), jstr_str(sep), at)) != (size_t)-1) {
        if (!push_part(r, l, s, at, hit)) return false;
        at = hit + sep->n;
    }
    return push_part(r, l, s, at, s->n);
}

static bool is_line_end(uint32_t cp) {
    return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

bool jstr_lines(R *r, const jstr *s, bool keep, jv *out) {
    if (!jinja_spend(r, s->n / 16) || !jv_list(r, JL_LIST, 4, out)) return false;
    size_t start = 0;
    for (size_t at = 0, n; at < s->n; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        if (!is_line_end(cp)) continue;
        if (cp == '\r' && at + 1 < s->n && s->p[at + 1] == '\n') n = 2;
        if (!push_part(r, out->u.list, s, start, keep ? at + n : at)) return false;
        start = at + n;
    }
    return start == s->n || push_part(r, out->u.list, s, start, s->n);
}

bool jstr_escape(R *r, const jstr *s, jv *out) {
    jsb b;
    jsb_init(&b, r);
    size_t plain = 0;
    for (size_t i = 0; i < s->n && !b.failed; i++) {
        const char *e = NULL;
        switch (s->p[i]) {
        case '&': e = "&amp;"; break;
        case '<': e = "&lt;"; break;
        case '>': e = "&gt;"; break;
        case '\'': e = "&#39;"; break;
        case '"': e = "&#34;"; break;
        default: continue;
        }
        jsb_part(&b, s, plain, i);
        jsb_put(&b, e, strlen(e), s->mark ? s->mark[i] : s->content);
        plain = i + 1;
    }
    jsb_part(&b, s, plain, s->n);
    if (!jsb_done(&b, out)) return false;
    jstr *made = jinja_alloc(r, sizeof *made);
    if (!made) return false;
    *made = *out->u.s;
    made->markup = true;
    out->u.s = made;
    return true;
}

/* ---- padding ---- */

static void put_fill(jsb *b, str fill, size_t n) {
    for (size_t i = 0; i < n && !b->failed; i++) jsb_put(b, fill.p, fill.n, false);
}

bool jstr_pad(R *r, const jstr *s, int64_t width, str fill, char align, jv *out) {
    int64_t len = (int64_t)jstr_length(s);
    if (width <= len) return jv_sub(r, s, 0, s->n, out);
    size_t gap = (size_t)(width - len), left = 0;
    if (gap > (64u << 20) || !jinja_spend(r, gap / 8)) return jinja_fail(r, "a width is too large");
    if (align == '>' || align == '=') left = gap;
    if (align == '^') left = gap / 2;
    /* str.center, where Python puts the odd blank on the left for odd widths */
    if (align == 'c') left = gap / 2 + (gap & (size_t)width & 1);
    size_t sign = align == '=' && s->n > 0 && (s->p[0] == '-' || s->p[0] == '+') ? 1 : 0;
    jsb b;
    jsb_init(&b, r);
    jsb_part(&b, s, 0, sign);
    put_fill(&b, fill, left);
    jsb_part(&b, s, sign, s->n);
    put_fill(&b, fill, gap - left);
    return jsb_done(&b, out);
}
