/* Formatting: "%5.2f" % x and "{:>8}".format(x). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "template/jinja_value.h"

enum { WIDTH_MOST = 100000, PRECISION_MOST = 300 };

typedef struct spec {
    str fill;
    char align; /* 0: by the value's type */
    char sign;
    bool alt;
    bool zeros; /* the fill is that of a width with a zero before it */
    char group; /* ',' or '_' */
    int64_t width;
    int precision; /* -1: none */
    char type;     /* 0: by the value's type */
} spec;

/* ---- numbers ---- */

/* Digits with a separator every three (or four) of them, before the point. */
static void grouped(const char *digits, char separator, int every, char *dst) {
    size_t n = strcspn(digits, ".e"), k = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % (size_t)every == 0) dst[k++] = separator;
        dst[k++] = digits[i];
    }
    memcpy(dst + k, digits + n, strlen(digits + n) + 1);
}

static void binary_digits(uint64_t v, char *dst) {
    int n = 0;
    char turned[65];
    do turned[n++] = (char)('0' + (v & 1));
    while (v >>= 1);
    for (int i = 0; i < n; i++) dst[i] = turned[n - 1 - i];
    dst[n] = 0;
}

static bool put_number(R *r, bool negative, const char *digits, const char *prefix, const spec *s,
                       jv *out) {
    char text[1600], body[1400];
    int every = prefix[0] || s->type == 'x' || s->type == 'X' || s->type == 'o' || s->type == 'b'
                    ? 4
                    : 3;
    if (s->group) grouped(digits, s->group, every, body);
    else snprintf(body, sizeof body, "%s", digits);
    const char *sign = negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
    jv plain;
    if (s->align == '=' && s->fill.n == 1 && s->fill.p[0] == '0' && !s->group) {
        int64_t zeros = s->width - (int64_t)(strlen(sign) + strlen(prefix) + strlen(body));
        jsb b;
        jsb_init(&b, r);
        jsb_lit(&b, sign);
        jsb_lit(&b, prefix);
        for (; zeros > 0 && !b.failed; zeros--) jsb_lit(&b, "0");
        jsb_lit(&b, body);
        return jsb_done(&b, out);
    }
    snprintf(text, sizeof text, "%s%s%s", sign, prefix, body);
    if (!jv_str_copy(r, str_of(text), false, &plain)) return false;
    return jstr_pad(r, plain.u.s, s->width, s->fill, s->align ? s->align : '>', out);
}

static bool put_int(R *r, int64_t v, const spec *s, jv *out) {
    char digits[80];
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    const char *prefix = "";
    switch (s->type) {
    case 'x':
        snprintf(digits, sizeof digits, "%" PRIx64, size);
        prefix = s->alt ? "0x" : "";
        break;
    case 'X':
        snprintf(digits, sizeof digits, "%" PRIX64, size);
        prefix = s->alt ? "0X" : "";
        break;
    case 'o':
        snprintf(digits, sizeof digits, "%" PRIo64, size);
        prefix = s->alt ? "0o" : "";
        break;
    case 'b':
        binary_digits(size, digits);
        prefix = s->alt ? "0b" : "";
        break;
    default: snprintf(digits, sizeof digits, "%" PRIu64, size);
    }
    if (s->precision >= 0) { /* only in "%.3d": at least so many digits */
        char wide[PRECISION_MOST + 80];
        int missing = s->precision - (int)strlen(digits);
        if (missing < 0) missing = 0;
        memset(wide, '0', (size_t)missing);
        memcpy(wide + missing, digits, strlen(digits) + 1);
        return put_number(r, v < 0, wide, prefix, s, out);
    }
    return put_number(r, v < 0, digits, prefix, s, out);
}

static bool put_float(R *r, double f, const spec *s, jv *out) {
    char digits[1000], format[] = "%#.*f";
    char type = s->type ? s->type : 'r';
    double size = fabs(f);
    int precision = s->precision < 0 ? 6 : s->precision;
    if (isnan(f) || isinf(f)) {
        bool upper = type >= 'A' && type <= 'Z';
        const char *word = isnan(f) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
        snprintf(digits, sizeof digits, "%s", word);
    } else if (type == '%') {
        snprintf(digits, sizeof digits, "%.*f%%", precision, size * 100);
    } else if (type == 'r') {
        char shortest[40];
        jfloat_repr(size, shortest);
        snprintf(digits, sizeof digits, "%s", shortest);
        if (s->precision >= 0) {
            snprintf(digits, sizeof digits, "%.*g", precision ? precision : 1, size);
            size_t n = strlen(digits);
            if (!strpbrk(digits, ".e")) memcpy(digits + n, ".0", 3);
        }
    } else {
        format[1] = s->alt ? '#' : '-'; /* to the left, where nothing is padded: no flag */
        format[4] = type;
        if ((type | 32) == 'g' && precision == 0) precision = 1;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(digits, sizeof digits, format, precision, size);
#pragma GCC diagnostic pop
    }
    return put_number(r, signbit(f) && !isnan(f), digits, "", s, out);
}

static bool put_text(R *r, const jstr *t, const spec *s, jv *out) {
    jv cut = JV_OF(JV_STR, s, t);
    if (s->precision >= 0 && !jv_sub(r, t, 0, jstr_offset(t, (size_t)s->precision), &cut))
        return false;
    return jstr_pad(r, cut.u.s, s->width, s->fill, s->align ? s->align : '<', out);
}

/* As ascii(): repr() with what is not ASCII spelt out. */
static bool put_ascii(jsb *b, R *r, jv v) {
    jsb t;
    jv whole;
    jsb_init(&t, r);
    jsb_repr(&t, v);
    if (!jsb_done(&t, &whole)) return false;
    const jstr *s = whole.u.s;
    for (size_t at = 0, n; at < s->n && !b->failed; at += n) {
        uint32_t cp;
        char text[16];
        n = jchar_at(s, at, &cp);
        snprintf(text, sizeof text,
                 cp < 0x100     ? "\\x%02x"
                 : cp < 0x10000 ? "\\u%04x"
                                : "\\U%08x",
                 cp);
        if (cp < 128) jsb_part(b, s, at, at + n);
        else jsb_put(b, text, strlen(text), s->mark ? s->mark[at] : s->content);
    }
    return !b->failed && jinja_spend(r, s->n / 16);
}

/* ---- percent ---- */

typedef struct percent {
    R *r;
    const jstr *s;
    size_t at;
    jv args;
    size_t used; /* of a tuple */
    bool named;
} percent;

static bool next_arg(percent *p, jv *out) {
    if (jv_is_tuple(p->args)) {
        if (p->used >= p->args.u.list->n)
            return jinja_fail(p->r, "not enough arguments for format string");
        *out = p->args.u.list->v[p->used++];
        return true;
    }
    if (p->used++ > 0) return jinja_fail(p->r, "not enough arguments for format string");
    *out = p->args;
    return true;
}

static bool named_arg(percent *p, jv *out) {
    size_t end = str_find(jstr_str(p->s), STR(")"), p->at);
    jv key;
    const jv *v = NULL;
    if (end == (size_t)-1) return jinja_fail(p->r, "incomplete format key");
    if (p->args.type != JV_DICT) return jinja_fail(p->r, "format requires a mapping");
    if (!jv_sub(p->r, p->s, p->at, end, &key) || !jdict_find(p->r, p->args.u.dict, key, &v))
        return false;
    if (!v) return jinja_fail(p->r, "KeyError in a format string");
    p->at = end + 1;
    p->named = true;
    *out = *v;
    return true;
}

static char percent_char(const percent *p) {
    return p->at < p->s->n ? p->s->p[p->at] : 0;
}

static bool percent_number(percent *p, int64_t most, int64_t *out) {
    *out = 0;
    if (percent_char(p) == '*') {
        jv v;
        p->at++;
        if (!next_arg(p, &v) || !jv_to_int(p->r, v, out)) return false;
    }
    while (percent_char(p) >= '0' && percent_char(p) <= '9') {
        if (*out <= most) *out = *out * 10 + (percent_char(p) - '0');
        p->at++;
    }
    return *out <= most || jinja_fail(p->r, "a width or precision is too large");
}

static bool percent_flags(percent *p, spec *s) {
    for (char c; (c = percent_char(p)) && strchr("-+ #0", c); p->at++) {
        if (c == '-') s->align = '<';
        else if (c == '+') s->sign = '+';
        else if (c == ' ') s->sign = s->sign ? s->sign : ' ';
        else if (c == '#') s->alt = true;
        else if (s->align != '<') s->align = '=', s->fill = STR("0");
    }
    if (s->align == '<') s->fill = STR(" ");
    if (!percent_number(p, WIDTH_MOST, &s->width)) return false;
    if (s->width < 0) s->width = -s->width, s->align = '<';
    if (percent_char(p) == '.') {
        int64_t n;
        p->at++;
        if (!percent_number(p, PRECISION_MOST, &n)) return false;
        s->precision = n < 0 ? 0 : (int)n;
    }
    while (percent_char(p) && strchr("hlL", percent_char(p))) p->at++;
    return true;
}

static bool percent_int(R *r, jv v, spec *s, char c, jv *out) {
    if (v.type == JV_UNDEFINED) return jv_undef_fail(r, v);
    if (v.type == JV_FLOAT && strchr("diu", c)) {
        if (!(fabs(v.u.f) < 9e18)) return jinja_fail(r, "cannot convert float to integer");
        v = jv_int((int64_t)v.u.f);
    }
    if (v.type != JV_INT && v.type != JV_BOOL)
        return jinja_fail(r, "%%%c format: a%s is required, not %s", c,
                          strchr("diu", c) ? " real number" : "n integer", jv_type_name(v));
    s->type = strchr("diu", c) ? 'd' : c;
    return put_int(r, jv_as_int(v), s, out);
}

static bool percent_one(percent *p, jsb *b) {
    spec s = {.fill = STR(" "), .precision = -1};
    jv v = {0}, text;
    R *r = p->r;
    bool given = false;
    if (percent_char(p) == '(') {
        p->at++;
        if (!named_arg(p, &v)) return false;
        given = true;
    }
    if (!percent_flags(p, &s)) return false;
    char c = percent_char(p);
    if (!c) return jinja_fail(r, "incomplete format");
    p->at++;
    if (c == '%') return jsb_lit(b, "%");
    if (!strchr("sradiuxXofFeEgGc", c))
        return jinja_fail(r, "unsupported format character '%c'", c);
    if (!given && !next_arg(p, &v)) return false;
    if (s.fill.p[0] == '0' && strchr("srac", c)) s.fill = STR(" "), s.align = '>';
    if (strchr("srac", c) && !s.align) s.align = '>';
    if (c == 'c' && (v.type == JV_INT || v.type == JV_BOOL)) {
        char bytes[4];
        int64_t i = jv_as_int(v);
        if (i < 0 || i > 0x10ffff) return jinja_fail(r, "%%c arg not in range(0x110000)");
        int n = utf8_encode((uint32_t)i, bytes);
        if (!jv_str_copy(r, (str){bytes, (size_t)n}, false, &v)) return false;
    }
    if (c == 'c' && (v.type != JV_STR || jstr_length(v.u.s) != 1))
        return jinja_fail(r, "%%c requires int or char");
    if (strchr("src", c) || c == 'a') {
        jsb t;
        jsb_init(&t, r);
        if (c == 's' || c == 'c') jsb_value(&t, v);
        else if (c == 'a') put_ascii(&t, r, v);
        else jsb_repr(&t, v);
        jv whole;
        if (!jsb_done(&t, &whole) || !put_text(r, whole.u.s, &s, &text)) return false;
    } else if (strchr("diuxXo", c)) {
        if (!percent_int(r, v, &s, c, &text)) return false;
    } else {
        if (v.type == JV_UNDEFINED) return jv_undef_fail(r, v);
        if (!jv_is_number(v)) return jinja_fail(r, "must be real number, not %s", jv_type_name(v));
        s.type = c;
        if (!put_float(r, jv_as_f64(v), &s, &text)) return false;
    }
    return jsb_str(b, text.u.s);
}

bool jstr_percent(R *r, const jstr *s, jv args, jv *out) {
    percent p = {.r = r, .s = s, .args = args};
    jsb b;
    jsb_init(&b, r);
    while (p.at < s->n && !b.failed) {
        size_t hit = str_find(jstr_str(s), STR("%"), p.at);
        if (hit == (size_t)-1) hit = s->n;
        jsb_part(&b, s, p.at, hit);
        p.at = hit + 1;
        if (hit < s->n && (!jinja_spend(r, 2) || !percent_one(&p, &b))) return false;
    }
    bool all = jv_is_tuple(args)
                   ? p.used == args.u.list->n
                   : p.used > 0 || p.named || args.type == JV_DICT || args.type == JV_UNDEFINED ||
                         (args.type == JV_LIST && !jv_is_tuple(args));
    if (!all) return jinja_fail(r, "not all arguments converted during string formatting");
    return jsb_done(&b, out);
}

/* ---- format ---- */

typedef struct braces {
    R *r;
    const jargs *a;
    size_t next; /* automatic number; SIZE_MAX: numbers are given */
} braces;

static bool is_align(char c) {
    return c && strchr("<>^=", c);
}

static bool spec_read(R *r, const jstr *t, spec *s) {
    size_t at = 0;
    const char *p = t->p;
    uint32_t cp;
    size_t n = t->n ? jchar_at(t, 0, &cp) : 0;
    *s = (spec){.fill = STR(" "), .precision = -1};
    if (n && n < t->n && is_align(p[n])) {
        s->fill = (str){p, n};
        s->align = p[n];
        at = n + 1;
    } else if (n && is_align(p[0])) {
        s->align = p[0];
        at = 1;
    }
    if (at < t->n && strchr("+- ", p[at]) && p[at]) s->sign = p[at++];
    if (at < t->n && p[at] == '#') s->alt = true, at++;
    if (at < t->n && p[at] == '0') {
        s->zeros = !s->align;
        if (s->zeros) s->align = '=', s->fill = STR("0");
        at++;
    }
    for (; at < t->n && p[at] >= '0' && p[at] <= '9'; at++)
        if (s->width <= WIDTH_MOST) s->width = s->width * 10 + (p[at] - '0');
    if (at < t->n && (p[at] == ',' || p[at] == '_')) s->group = p[at++];
    if (at < t->n && p[at] == '.') {
        s->precision = 0;
        for (at++; at < t->n && p[at] >= '0' && p[at] <= '9'; at++)
            if (s->precision <= PRECISION_MOST) s->precision = s->precision * 10 + (p[at] - '0');
    }
    if (at < t->n) s->type = p[at++];
    if (at < t->n || s->width > WIDTH_MOST || s->precision > PRECISION_MOST)
        return jinja_fail(r, "Invalid format specifier");
    return true;
}

static bool format_value(R *r, jv v, const jstr *how, jv *out) {
    spec s;
    const jstr *text;
    if (!spec_read(r, how, &s)) return false;
    bool is_int = v.type == JV_INT || (v.type == JV_BOOL && how->n > 0);
    if (s.type == 'n') s.type = is_int ? 'd' : 'g';
    if (is_int && s.type == 'c') {
        char bytes[4];
        int64_t i = jv_as_int(v);
        if (i < 0 || i > 0x10ffff) return jinja_fail(r, "%%c arg not in range(0x110000)");
        s.align = s.align && s.align != '=' ? s.align : '<';
        int n = utf8_encode((uint32_t)i, bytes);
        return jv_str_copy(r, (str){bytes, (size_t)n}, false, &v) && put_text(r, v.u.s, &s, out);
    }
    if (is_int && (!s.type || strchr("dxXob", s.type))) {
        if (s.precision >= 0)
            return jinja_fail(r, "Precision not allowed in integer format specifier");
        return put_int(r, jv_as_int(v), &s, out);
    }
    if ((is_int || v.type == JV_FLOAT) && (!s.type || strchr("fFeEgG%", s.type)))
        return put_float(r, jv_as_f64(v), &s, out);
    if (v.type == JV_STR || how->n == 0) {
        if (s.zeros) s.align = '<';
        if ((s.type && s.type != 's') || s.align == '=')
            return jinja_fail(r, "Unknown format code '%c' for object of type '%s'",
                              s.type ? s.type : '=', jv_type_name(v));
        return jv_to_str(r, v, &text) && put_text(r, text, &s, out);
    }
    if (s.type || is_int || v.type == JV_FLOAT)
        return jinja_fail(r, "Unknown format code '%c' for object of type '%s'", s.type,
                          jv_type_name(v));
    return jinja_fail(r, "unsupported format string passed to %s.__format__", jv_type_name(v));
}

static bool field_first(braces *x, str name, jv *out) {
    uint64_t i;
    bool number = str_to_u64(name, &i);
    if (name.n == 0 || number) {
        if ((name.n == 0) == (x->next == SIZE_MAX))
            return jinja_fail(x->r, "cannot switch between manual and automatic field numbering");
        if (name.n == 0) i = x->next++;
        else if (x->next > 0 && x->next != SIZE_MAX)
            return jinja_fail(x->r, "cannot switch from automatic to manual field numbering");
        else x->next = SIZE_MAX;
        if (i >= x->a->n)
            return jinja_fail(x->r, "Replacement index %zu out of range for positional args tuple",
                              (size_t)i);
        *out = x->a->pos[i];
        return true;
    }
    for (size_t k = 0; k < x->a->n_kw; k++)
        if (str_eq(jstr_str(x->a->kw[k].name), name)) {
            *out = x->a->kw[k].value;
            return true;
        }
    return jinja_fail(x->r, "KeyError: '%.*s'", (int)(name.n < 60 ? name.n : 60), name.p);
}

/* "0.name[key]" */
static bool field_value(braces *x, str field, jv *out) {
    size_t at = 0;
    while (at < field.n && field.p[at] != '.' && field.p[at] != '[') at++;
    str first = {field.p, at};
    uint64_t i;
    if (x->next == 0 && str_to_u64(first, &i)) x->next = SIZE_MAX;
    if (!field_first(x, first, out)) return false;
    while (at < field.n) {
        bool index = field.p[at] == '[';
        size_t start = ++at;
        while (at < field.n &&
               (index ? field.p[at] != ']' : field.p[at] != '.' && field.p[at] != '['))
            at++;
        str name = {field.p + start, at - start};
        jv key, v;
        if (index && at++ >= field.n) return jinja_fail(x->r, "Missing ']' in format string");
        if (!jv_str(x->r, name, false, &key)) return false;
        if (index && str_to_u64(name, &i) && i < INT64_MAX) key = jv_int((int64_t)i);
        if (index ? !jv_item(x->r, *out, key, &v) : !jv_attr(x->r, *out, key, &v)) return false;
        if (v.type == JV_UNDEFINED) return jv_undef_fail(x->r, v);
        *out = v;
    }
    return true;
}

static bool braces_text(braces *x, const jstr *s, int depth, jv *out);

/* The field between its braces, [from, to). */
static bool one_field(braces *x, const jstr *s, size_t from, size_t to, int depth, jv *out) {
    size_t colon = from;
    int open = 0;
    for (; colon < to && (open || s->p[colon] != ':'); colon++)
        open += (s->p[colon] == '[') - (s->p[colon] == ']');
    size_t end = colon;
    char convert = 0;
    if (end >= from + 2 && s->p[end - 2] == '!') {
        convert = s->p[end - 1];
        end -= 2;
    }
    jv v, how;
    if (!field_value(x, (str){s->p + from, end - from}, &v)) return false;
    if (convert) {
        jsb b;
        jsb_init(&b, x->r);
        if (convert == 's') jsb_value(&b, v);
        else if (convert == 'a') put_ascii(&b, x->r, v);
        else if (convert == 'r') jsb_repr(&b, v);
        else return jinja_fail(x->r, "Unknown conversion specifier %c", convert);
        if (!jsb_done(&b, &v)) return false;
    }
    jstr none = {.p = ""};
    how = JV_OF(JV_STR, s, &none);
    if (colon < to) {
        if (!jv_sub(x->r, s, colon + 1, to, &how)) return false;
        if (memchr(how.u.s->p, '{', how.u.s->n) && !braces_text(x, how.u.s, depth - 1, &how))
            return false;
    }
    return format_value(x->r, v, how.u.s, out);
}

static bool braces_text(braces *x, const jstr *s, int depth, jv *out) {
    jsb b;
    jsb_init(&b, x->r);
    if (depth == 0) return jinja_fail(x->r, "Max string recursion exceeded");
    for (size_t at = 0; at < s->n && !b.failed;) {
        char c = s->p[at];
        if (c != '{' && c != '}') {
            size_t end = at;
            while (end < s->n && s->p[end] != '{' && s->p[end] != '}') end++;
            jsb_part(&b, s, at, end);
            at = end;
            continue;
        }
        if (at + 1 < s->n && s->p[at + 1] == c) {
            jsb_part(&b, s, at, at + 1);
            at += 2;
            continue;
        }
        if (c == '}') return jinja_fail(x->r, "Single '}' encountered in format string");
        size_t end = at + 1;
        int open = 1;
        for (; end < s->n; end++) {
            open += (s->p[end] == '{') - (s->p[end] == '}');
            if (open == 0) break;
        }
        if (open) return jinja_fail(x->r, "Single '{' encountered in format string");
        jv text;
        if (!jinja_spend(x->r, 2) || !one_field(x, s, at + 1, end, depth, &text)) return false;
        jsb_str(&b, text.u.s);
        at = end + 1;
    }
    return jsb_done(&b, out);
}

bool jstr_format(R *r, const jstr *s, const jargs *a, jv *out) {
    braces x = {.r = r, .a = a};
    return braces_text(&x, s, 2, out);
}
