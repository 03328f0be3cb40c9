/* See jinja_lex.h. White space around tags follows Jinja2 with trim_blocks and lstrip_blocks. */
#include "template/jinja_lex.h"

#include <stdio.h>
#include <stdlib.h>

void jlex_init(jlex *x, str source, arena *memory, err *e) {
    *x = (jlex){.s = source, .line = 1, .line_start = true, .memory = memory, .e = e};
}

static bool lex_fail(jlex *x, const char *what) {
    return err_set(x->e, ERR_DAMAGED, "%s (line %u of the template)", what, x->line);
}

static bool here(const jlex *x, const char *text) {
    size_t n = strlen(text);
    return x->s.n - x->at >= n && memcmp(x->s.p + x->at, text, n) == 0;
}

static int peek(const jlex *x, size_t k) {
    return x->at + k < x->s.n ? (unsigned char)x->s.p[x->at + k] : -1;
}

static size_t space_at(str s, size_t at) { /* bytes of white space there, 0: none */
    jstr view = {.p = s.p, .n = s.n};
    if (at >= s.n) return 0;
    uint32_t cp;
    size_t n = jchar_at(&view, at, &cp);
    return jchar_is_space(cp) ? n : 0;
}

static void advance(jlex *x, size_t to) {
    for (; x->at < to; x->at++) x->line += x->s.p[x->at] == '\n';
}

static void skip_space(jlex *x) {
    for (size_t n; (n = space_at(x->s, x->at)) > 0;) advance(x, x->at + n);
}

static str trim_end(str s) {
    while (s.n > 0) {
        size_t k = s.n - 1;
        while (k > 0 && ((unsigned char)s.p[k] & 0xC0) == 0x80) k--;
        if (!space_at(s, k)) break;
        s.n = k;
    }
    return s;
}

/* The text before a tag, as the tag's sign and the line want it. */
static str text_before(str text, char sign, bool variable, bool line_start) {
    if (sign == '-') return trim_end(text);
    if (sign == '+' || variable) return text;
    size_t line = text.n;
    while (line > 0 && text.p[line - 1] != '\n') line--;
    if (line == 0 && !line_start) return text;
    for (size_t at = line, n; at < text.n; at += n)
        if (!(n = space_at(text, at))) return text;
    return (str){text.p, line};
}

/* After the end of a block, comment or raw: -%} swallows white space, %} one newline, +%} nothing.
 */
static void after_end(jlex *x, char sign, bool trims) {
    if (sign == '-') skip_space(x);
    else if (trims && sign != '+' && peek(x, 0) == '\n') advance(x, x->at + 1);
    x->line_start = x->at > 0 && x->s.p[x->at - 1] == '\n';
}

static bool find_comment_end(jlex *x) {
    size_t end = str_find(x->s, STR("#}"), x->at);
    if (end == (size_t)-1) return lex_fail(x, "Missing end of comment tag");
    char sign = end > x->at ? x->s.p[end - 1] : 0;
    advance(x, end + 2);
    after_end(x, sign, true);
    return true;
}

/* Whether "{%", a sign, a word and the tag's end stand at `at`; its length and signs. */
static size_t word_tag(const jlex *x, size_t at, const char *word, char *open, char *close) {
    str s = x->s;
    size_t start = at, n = strlen(word), k;
    if (s.n - at < 2 || memcmp(s.p + at, "{%", 2) != 0) return 0;
    at += 2;
    *open = at < s.n && (s.p[at] == '-' || s.p[at] == '+') ? s.p[at++] : 0;
    while ((k = space_at(s, at)) > 0) at += k;
    if (s.n - at < n || memcmp(s.p + at, word, n) != 0) return 0;
    at += n;
    while ((k = space_at(s, at)) > 0) at += k;
    *close = at < s.n && (s.p[at] == '-' || s.p[at] == '+') ? s.p[at++] : 0;
    if (s.n - at < 2 || memcmp(s.p + at, "%}", 2) != 0) return 0;
    return at + 2 - start;
}

static bool raw_block(jlex *x, str *text) {
    size_t start = x->at;
    bool line_start = x->line_start;
    for (size_t at = start;; at++) {
        const char *p = at < x->s.n ? memchr(x->s.p + at, '{', x->s.n - at) : NULL;
        if (!p) return lex_fail(x, "Missing end of raw directive");
        at = (size_t)(p - x->s.p);
        char open, close;
        size_t n = word_tag(x, at, "endraw", &open, &close);
        if (!n) continue;
        *text = text_before((str){x->s.p + start, at - start}, open, false, line_start);
        advance(x, at + n);
        after_end(x, close, true);
        return true;
    }
}

/* The next thing outside of tags: text, or the beginning of a tag. */
static bool root_next(jlex *x, jlexeme *out) {
    while (x->at < x->s.n) {
        size_t start = x->at, at = start;
        uint32_t line = x->line;
        bool line_start = x->line_start;
        for (;; at++) {
            const char *p = at < x->s.n ? memchr(x->s.p + at, '{', x->s.n - at) : NULL;
            at = p ? (size_t)(p - x->s.p) : x->s.n;
            if (!p || (at + 1 < x->s.n && strchr("{%#", x->s.p[at + 1]) && x->s.p[at + 1])) break;
        }
        str text = {x->s.p + start, at - start};
        if (at == x->s.n) {
            advance(x, at);
            *out = (jlexeme){.type = JT_DATA, .text = text, .line = line};
            return true;
        }
        char kind = x->s.p[at + 1], open = 0, close = 0;
        size_t raw = kind == '%' ? word_tag(x, at, "raw", &open, &close) : 0;
        if (raw && close == '+') raw = 0; /* as Jinja2, which then knows no such tag */
        if (!raw) {
            char c = at + 2 < x->s.n ? x->s.p[at + 2] : 0;
            open = c == '-' || c == '+' ? c : 0;
        }
        text = text_before(text, open, kind == '{', line_start);
        advance(x, raw ? at + raw : at + 2 + (open != 0));
        x->line_start = false;
        if (kind == '#') {
            if (!find_comment_end(x)) return false;
        } else if (raw) {
            if (close == '-') skip_space(x);
            x->line_start = x->s.p[x->at - 1] == '\n';
            str inside;
            if (!raw_block(x, &inside)) return false;
            x->pending[x->n_pending++] = (jlexeme){.type = JT_DATA, .text = inside, .line = line};
        } else {
            x->state = kind == '{' ? JL_IN_VAR : JL_IN_BLOCK;
            x->n_open = 0;
            x->pending[x->n_pending++] = (jlexeme){
                .type = kind == '{' ? JT_VAR_BEGIN : JT_BLOCK_BEGIN, .line = x->line};
        }
        if (text.n > 0) {
            *out = (jlexeme){.type = JT_DATA, .text = text, .line = line};
            return true;
        }
        if (x->n_pending > 0) {
            *out = x->pending[--x->n_pending];
            return true;
        }
    }
    *out = (jlexeme){.type = JT_EOF, .line = x->line};
    return true;
}

/* ---- inside of tags ---- */

static bool is_name_start(uint32_t cp) {
    return cp == '_' || (cp < 128 ? (cp | 32) >= 'a' && (cp | 32) <= 'z' : jchar_is_alpha(cp));
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool read_name(jlex *x, jlexeme *out) {
    jstr s = {.p = x->s.p, .n = x->s.n};
    size_t start = x->at, at = start;
    uint32_t cp;
    while (at < x->s.n) {
        size_t n = jchar_at(&s, at, &cp);
        if (!is_name_start(cp) &&
            !(at > start && (cp < 128 ? is_digit((int)cp) : jchar_is_digit(cp))))
            break;
        at += n;
    }
    out->type = JT_NAME;
    out->text = (str){x->s.p + start, at - start};
    x->at = at;
    return true;
}

/* Length of digits with single underscores between them, of a base up to 16. */
static size_t digits_len(const jlex *x, size_t k, int base) {
    size_t start = k;
    for (;; k++) {
        int c = peek(x, k);
        if (c == '_' && k > start) c = peek(x, ++k);
        int v = is_digit(c)                                   ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' && c > 0 ? (c | 32) - 'a' + 10
                                                              : 99;
        if (v >= base) {
            if (k > start && peek(x, k - 1) == '_') k--;
            return k - start;
        }
    }
}

static size_t exponent_len(const jlex *x, size_t k) {
    if ((peek(x, k) | 32) != 'e') return 0;
    size_t sign = peek(x, k + 1) == '+' || peek(x, k + 1) == '-' ? 1 : 0;
    size_t n = digits_len(x, k + 1 + sign, 10);
    return n ? 1 + sign + n : 0;
}

static bool read_number(jlex *x, jlexeme *out, bool after_dot) {
    static const struct {
        char letter;
        int base;
    } bases[] = {{'b', 2}, {'o', 8}, {'x', 16}};
    char text[128];
    size_t n = digits_len(x, 0, 10), start = 0;
    int base = 10;
    for (size_t i = 0; i < 3 && peek(x, 0) == '0'; i++) {
        size_t skip = 2 + (peek(x, 2) == '_'), k;
        if ((peek(x, 1) | 32) != bases[i].letter || !(k = digits_len(x, skip, bases[i].base)))
            continue;
        base = bases[i].base;
        start = 2;
        n = skip + k;
    }
    bool is_float = false;
    if (base == 10 && !after_dot) {
        size_t fraction = peek(x, n) == '.' ? digits_len(x, n + 1, 10) : 0;
        size_t whole = n + (fraction ? 1 + fraction : 0);
        size_t exponent = exponent_len(x, whole);
        is_float = fraction || exponent;
        n = whole + exponent;
    }
    size_t k = 0;
    for (size_t i = start; i < n && k + 1 < sizeof text; i++)
        if (peek(x, i) != '_') text[k++] = (char)peek(x, i);
    text[k] = 0;
    out->type = is_float ? JT_FLOAT : JT_INT;
    out->text = (str){x->s.p + x->at, n};
    if (k + 1 >= sizeof text) return lex_fail(x, "a number has too many digits");
    if (is_float) {
        out->f = strtod(text, NULL);
    } else {
        uint64_t v = 0;
        for (size_t i = 0; i < k; i++) {
            int c = text[i] | 32;
            uint64_t d = (uint64_t)(is_digit(text[i]) ? text[i] - '0' : c - 'a' + 10);
            if (v > (INT64_MAX - d) / (uint64_t)base)
                return lex_fail(x, "a whole number has more than 64 bits");
            v = v * (uint64_t)base + d;
        }
        out->i = (int64_t)v;
    }
    x->at += n;
    return true;
}

static int hex_value(int c) {
    return is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One escape at s.p[at] (after the backslash) to dst; its length, 0: a broken one. */
static size_t read_escape(str s, size_t at, char *dst, size_t *n) {
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = s.p[at];
    const char *hit = c ? strchr(from, c) : NULL;
    *n = 1;
    if (c == '\n') {
        *n = 0;
        return 1;
    }
    if (hit) {
        dst[0] = to[hit - from];
        return 1;
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t cp = 0;
    if (digits) {
        for (size_t i = 0; i < digits; i++) {
            int v = at + 1 + i < s.n ? hex_value((unsigned char)s.p[at + 1 + i]) : -1;
            if (v < 0) return 0;
            cp = cp << 4 | (uint32_t)v;
        }
        *n = (size_t)utf8_encode(cp, dst);
        return 1 + digits;
    }
    size_t k = 0;
    while (k < 3 && at + k < s.n && s.p[at + k] >= '0' && s.p[at + k] <= '7')
        cp = cp * 8 + (uint32_t)(s.p[at + k++] - '0');
    if (k > 0) {
        *n = (size_t)utf8_encode(cp, dst);
        return k;
    }
    dst[0] = '\\'; /* an unknown one stays as it is */
    dst[1] = c;
    *n = 2;
    return 1;
}

static bool read_string(jlex *x, jlexeme *out) {
    char quote = x->s.p[x->at];
    size_t end = x->at + 1;
    bool escapes = false;
    while (end < x->s.n && x->s.p[end] != quote) {
        escapes |= x->s.p[end] == '\\';
        end += x->s.p[end] == '\\' ? 2 : 1;
    }
    if (end >= x->s.n) return lex_fail(x, "a string does not end");
    str body = {x->s.p + x->at + 1, end - x->at - 1};
    advance(x, end + 1);
    out->type = JT_STRING;
    out->text = body;
    if (!escapes) return true;
    char *dst = arena_alloc(x->memory, 2 * body.n + 8);
    if (!dst) return lex_fail(x, "the template is too large");
    size_t n = 0, k;
    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] != '\\') {
            dst[n++] = body.p[i];
            continue;
        }
        size_t len = read_escape(body, i + 1, dst + n, &k);
        if (!len) return lex_fail(x, "a string has a broken escape");
        n += k;
        i += len;
    }
    out->text = (str){dst, n};
    return true;
}

static bool read_op(jlex *x, jlexeme *out) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    int c = peek(x, 0);
    out->type = JT_OP;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        if (!here(x, two[i])) continue;
        out->op = JOP2(two[i][0], two[i][1]);
        x->at += 2;
        return true;
    }
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c)) {
        char what[64], shown[16];
        str_printable((str){x->s.p + x->at, 1}, shown, sizeof shown);
        snprintf(what, sizeof what, "unexpected char '%s'", shown);
        return lex_fail(x, what);
    }
    const char *pairs = "()[]{}";
    const char *at = strchr(pairs, c);
    if (at && (at - pairs) % 2 == 0) {
        if (x->n_open == (int)sizeof x->closer) return lex_fail(x, "brackets nest too deep");
        x->closer[x->n_open++] = at[1];
    } else if (at) {
        if (x->n_open == 0) {
            char what[32];
            snprintf(what, sizeof what, "unexpected '%c'", c);
            return lex_fail(x, what);
        }
        if (x->closer[--x->n_open] != c) {
            char what[48];
            snprintf(what, sizeof what, "unexpected '%c', expected '%c'", c, x->closer[x->n_open]);
            return lex_fail(x, what);
        }
    }
    out->op = c;
    x->at++;
    return true;
}

/* The end of the present tag, if it is here. */
static bool tag_end(jlex *x, jlexeme *out) {
    bool variable = x->state == JL_IN_VAR;
    const char *end = variable ? "}}" : "%}";
    char sign = 0;
    if (x->n_open > 0) return false;
    int c = peek(x, 0);
    if (c == '-' || (c == '+' && !variable)) sign = (char)c;
    if (x->s.n - x->at < 2u + (sign != 0) || memcmp(x->s.p + x->at + (sign != 0), end, 2) != 0)
        return false;
    advance(x, x->at + 2 + (sign != 0));
    after_end(x, sign, !variable);
    out->type = variable ? JT_VAR_END : JT_BLOCK_END;
    x->state = JL_ROOT;
    return true;
}

static bool tag_next(jlex *x, jlexeme *out) {
    bool after_dot = x->at > 0 && x->s.p[x->at - 1] == '.';
    skip_space(x);
    *out = (jlexeme){.line = x->line};
    if (x->at >= x->s.n) return true; /* JT_EOF */
    if (tag_end(x, out)) return true;
    int c = peek(x, 0);
    jstr s = {.p = x->s.p, .n = x->s.n};
    uint32_t cp;
    jchar_at(&s, x->at, &cp);
    if (is_digit(c)) return read_number(x, out, after_dot);
    if (is_name_start(cp)) return read_name(x, out);
    if (c == '\'' || c == '"') return read_string(x, out);
    return read_op(x, out);
}

bool jlex_next(jlex *x, jlexeme *out) {
    if (x->n_pending > 0) {
        *out = x->pending[--x->n_pending];
        return true;
    }
    return x->state == JL_ROOT ? root_next(x, out) : tag_next(x, out);
}

const char *jlexeme_show(const jlexeme *t, char dst[64]) {
    switch (t->type) {
    case JT_EOF: return "end of template";
    case JT_DATA: return "template data / text";
    case JT_VAR_BEGIN: return "begin of print statement";
    case JT_VAR_END: return "end of print statement";
    case JT_BLOCK_BEGIN: return "begin of statement block";
    case JT_BLOCK_END: return "end of statement block";
    case JT_NAME:
    case JT_STRING:
    case JT_INT:
    case JT_FLOAT: return str_printable(t->text, dst, 60);
    case JT_OP: break;
    }
    if (t->op > 255) snprintf(dst, 64, "%c%c", t->op >> 8, t->op & 255);
    else snprintf(dst, 64, "%c", t->op);
    return dst;
}
