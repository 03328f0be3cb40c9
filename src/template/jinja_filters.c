/* Filters on single values, the table of all filters, and how arguments find their parameters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "template/jinja_filters.h"

/* ---- arguments ---- */

static int param_index(const char *params, str name) {
    int i = 0;
    while (params && *params) {
        size_t n = strcspn(params, " ");
        if (n == name.n && memcmp(params, name.p, n) == 0) return i;
        params += n + (params[n] == ' ');
        i++;
    }
    return -1;
}

static size_t param_count(const char *params) {
    size_t n = params && *params ? 1 : 0;
    for (; params && *params; params++) n += *params == ' ';
    return n;
}

bool jargs_bind(R *r, const char *who, const jargs *a, const char *params, int required, jv *arg) {
    size_t n = param_count(params);
    memset(arg, 0, JARGS_MOST * sizeof *arg);
    if (a->n > n)
        return jinja_fail(r, "%s() takes at most %zu arguments (%zu given)", who, n, a->n);
    for (size_t i = 0; i < a->n; i++) arg[i] = a->pos[i];
    for (size_t i = 0; i < a->n_kw; i++) {
        str name = jstr_str(a->kw[i].name);
        int at = param_index(params, name);
        if (at < 0)
            return jinja_fail(r, "%s() got an unexpected keyword argument '%.*s'", who,
                              (int)(name.n < 60 ? name.n : 60), name.p);
        if (arg[at].type != JV_MISSING)
            return jinja_fail(r, "%s() got multiple values for argument '%.*s'", who,
                              (int)(name.n < 60 ? name.n : 60), name.p);
        arg[at] = a->kw[i].value;
    }
    for (int i = 0; i < required; i++)
        if (arg[i].type == JV_MISSING)
            return jinja_fail(r, "%s() is missing a required argument", who);
    return true;
}

bool jarg_int(R *r, jv v, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    return v.type == JV_MISSING || jv_to_int(r, v, out);
}

bool jarg_truth(R *r, jv v, bool *out) {
    *out = false;
    return v.type == JV_MISSING || jv_truth(r, v, out);
}

/* ---- text ---- */

static bool f_upper(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    return jv_to_str(r, in, &s) && jstr_case(r, s, JCASE_UPPER, out);
}

static bool f_lower(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    return jv_to_str(r, in, &s) && jstr_case(r, s, JCASE_LOWER, out);
}

static bool f_title(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    return jv_to_str(r, in, &s) && jstr_words(r, s, out);
}

static bool f_capitalize(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    return jv_to_str(r, in, &s) && jstr_case(r, s, JCASE_CAPITAL, out);
}

static bool f_trim(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s, *chars = NULL;
    if (arg[0].type == JV_STR) chars = arg[0].u.s;
    else if (arg[0].type != JV_MISSING && arg[0].type != JV_NONE)
        return jinja_fail(r, "strip arg must be None or str");
    return jv_to_str(r, in, &s) && jstr_trim(r, s, chars, JTRIM_LEFT | JTRIM_RIGHT, out);
}

static bool f_string(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    if (!jv_to_str(r, in, &s)) return false;
    *out = JV_OF(JV_STR, s, s);
    return true;
}

static bool f_center(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    int64_t width;
    return jv_to_str(r, in, &s) && jarg_int(r, arg[0], 80, &width) &&
           jstr_pad(r, s, width, STR(" "), 'c', out);
}

static bool f_replace(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s, *from, *to;
    int64_t count = -1;
    if (arg[2].type != JV_NONE && !jarg_int(r, arg[2], -1, &count)) return false;
    return jv_to_str(r, in, &s) && jv_to_str(r, arg[0], &from) && jv_to_str(r, arg[1], &to) &&
           jstr_replace(r, s, from, to, count, out);
}

static bool f_escape(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    if (!jv_to_str(r, in, &s)) return false;
    *out = JV_OF(JV_STR, s, s);
    return s->markup || jstr_escape(r, s, out);
}

static bool f_forceescape(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    return jv_to_str(r, in, &s) && jstr_escape(r, s, out);
}

static bool f_safe(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    if (!jv_to_str(r, in, &s)) return false;
    jstr *made = jinja_alloc(r, sizeof *made);
    if (!made) return false;
    *made = *s;
    made->markup = true;
    *out = JV_OF(JV_STR, s, made);
    return true;
}

static bool f_indent(R *r, jv in, const jv *arg, jv *out) {
    bool first, blank;
    jv pad, lines;
    if (!jarg_truth(r, arg[1], &first) || !jarg_truth(r, arg[2], &blank)) return false;
    if (arg[0].type == JV_STR) {
        pad = arg[0];
    } else {
        int64_t width;
        jstr none = {.p = ""};
        if (!jarg_int(r, arg[0], 4, &width) || !jstr_pad(r, &none, width, STR(" "), '<', &pad))
            return false;
        if (width <= 0 && !jv_lit(r, "", &pad)) return false;
    }
    if (in.type == JV_UNDEFINED) return jv_undef_fail(r, in);
    if (in.type != JV_STR)
        return jinja_fail(r, "unsupported operand type(s) for +=: '%s' and 'str'",
                          jv_type_name(in));
    jv newline, whole;
    if (!jv_lit(r, "\n", &newline) || !jv_binary(r, JOP_ADD, in, newline, &whole) ||
        !jstr_lines(r, whole.u.s, false, &lines))
        return false;
    jsb b;
    jsb_init(&b, r);
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const jstr *line = lines.u.list->v[i].u.s;
        if (i) jsb_lit(&b, "\n");
        if (i ? blank || line->n > 0 : first) jsb_str(&b, pad.u.s);
        jsb_str(&b, line);
    }
    return jsb_done(&b, out);
}

static bool f_truncate(R *r, jv in, const jv *arg, jv *out) {
    int64_t length, leeway = 5, n;
    bool kill;
    jv end, cut;
    if (!jarg_int(r, arg[0], 255, &length) || !jarg_truth(r, arg[1], &kill)) return false;
    if (arg[3].type != JV_NONE && !jarg_int(r, arg[3], 5, &leeway)) return false;
    if (arg[2].type == JV_STR) end = arg[2];
    else if (!jv_lit(r, "...", &end)) return false;
    if (!jv_length(r, in, &n)) return false;
    int64_t keep = length - (int64_t)jstr_length(end.u.s);
    if (keep < 0) return jinja_fail(r, "expected length >= the length of the end");
    if (leeway < 0) return jinja_fail(r, "expected leeway >= 0");
    if (length > INT64_MAX - leeway || n <= length + leeway) {
        *out = in;
        return true;
    }
    if (in.type != JV_STR) return jinja_fail(r, "truncate needs a text");
    size_t to = jstr_offset(in.u.s, (size_t)keep);
    if (!kill)
        for (size_t at = to; at > 0; at--)
            if (in.u.s->p[at - 1] == ' ') {
                to = at - 1;
                break;
            }
    jsb b;
    jsb_init(&b, r);
    if (!jv_sub(r, in.u.s, 0, to, &cut)) return false;
    jsb_str(&b, cut.u.s);
    jsb_str(&b, end.u.s);
    return jsb_done(&b, out);
}

static bool f_wordcount(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    if (!jv_to_str(r, in, &s) || !jinja_spend(r, s->n / 16)) return false;
    int64_t n = 0;
    bool in_word = false;
    for (size_t at = 0, k; at < s->n; at += k) {
        uint32_t cp;
        k = jchar_at(s, at, &cp);
        bool word = cp == '_' || jchar_is_alpha(cp) || jchar_is_digit(cp);
        n += word && !in_word;
        in_word = word;
    }
    *out = jv_int(n);
    return true;
}

static bool f_striptags(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    (void)arg;
    if (!jv_to_str(r, in, &s)) return false;
    jsb b, words;
    jv plain, parts;
    jsb_init(&b, r);
    for (size_t at = 0; at < s->n && !b.failed;) {
        size_t open = str_find(jstr_str(s), STR("<"), at);
        size_t close = open == (size_t)-1 ? open : str_find(jstr_str(s), STR(">"), open);
        if (close == (size_t)-1) open = s->n;
        jsb_part(&b, s, at, open);
        at = open == s->n ? open : close + 1;
        if (!jinja_spend(r, 1)) return false;
    }
    if (!jsb_done(&b, &plain) || !jstr_split(r, plain.u.s, NULL, -1, false, &parts)) return false;
    jsb_init(&words, r);
    for (size_t i = 0; i < parts.u.list->n; i++) {
        if (i) jsb_lit(&words, " ");
        jsb_str(&words, parts.u.list->v[i].u.s);
    }
    return jsb_done(&words, out);
}

static void url_quote(jsb *b, const jstr *s, bool query) {
    for (size_t i = 0; i < s->n && !b->failed; i++) {
        unsigned char c = (unsigned char)s->p[i];
        bool content = s->mark ? s->mark[i] : s->content;
        char text[4];
        bool plain = (c < 128 && (jchar_is_alpha(c) || jchar_is_digit(c))) ||
                     (c && strchr("_.-~", c)) || (c == '/' && !query);
        if (plain) jsb_part(b, s, i, i + 1);
        else if (c == ' ' && query) jsb_put(b, "+", 1, content);
        else {
            snprintf(text, sizeof text, "%%%02X", c);
            jsb_put(b, text, 3, content);
        }
    }
}

static bool f_urlencode(R *r, jv in, const jv *arg, jv *out) {
    const jstr *s;
    jsb b;
    (void)arg;
    jsb_init(&b, r);
    if (in.type != JV_DICT && (in.type != JV_LIST)) {
        if (!jv_to_str(r, in, &s)) return false;
        url_quote(&b, s, false);
        return jsb_done(&b, out);
    }
    jv pairs = in;
    if (in.type == JV_DICT && !jdict_items(r, in.u.dict, &pairs)) return false;
    for (size_t i = 0; i < pairs.u.list->n; i++) {
        jv pair = pairs.u.list->v[i];
        if (pair.type != JV_LIST || pair.u.list->n != 2)
            return jinja_fail(r, "urlencode needs pairs of key and value");
        for (size_t k = 0; k < 2; k++) {
            if (i || k) jsb_lit(&b, k ? "=" : "&");
            if (!jv_to_str(r, pair.u.list->v[k], &s)) return false;
            url_quote(&b, s, true);
        }
    }
    return jsb_done(&b, out);
}

static bool f_xmlattr(R *r, jv in, const jv *arg, jv *out) {
    if (in.type != JV_DICT) return jinja_fail(r, "xmlattr needs a mapping");
    bool space = true;
    jsb b;
    jsb_init(&b, r);
    if (arg[0].type != JV_MISSING && !jv_truth(r, arg[0], &space)) return false;
    for (size_t i = 0; i < in.u.dict->n; i++) {
        const jpair *p = &in.u.dict->pair[i];
        jv key, value;
        if (p->value.type == JV_NONE || p->value.type == JV_UNDEFINED) continue;
        if (p->key.type != JV_STR) return jinja_fail(r, "xmlattr needs names of attributes");
        for (size_t k = 0; k < p->key.u.s->n; k++)
            if (strchr(" \t\n\r\f\v/>=", p->key.u.s->p[k]))
                return jinja_fail(r, "Invalid character in attribute name");
        if (!f_escape(r, p->key, arg, &key) || !f_escape(r, p->value, arg, &value)) return false;
        if (b.n > 0 || space) jsb_lit(&b, " ");
        jsb_str(&b, key.u.s);
        jsb_lit(&b, "=\"");
        jsb_str(&b, value.u.s);
        jsb_lit(&b, "\"");
    }
    return jsb_done(&b, out);
}

static bool f_format(R *r, jv in, const jargs *a, jv *out) {
    const jstr *s;
    jv args;
    if (a->n && a->n_kw)
        return jinja_fail(r, "can't handle positional and keyword arguments at the same time");
    if (!jv_to_str(r, in, &s)) return false;
    if (a->n_kw) {
        if (!jv_dict(r, &args)) return false;
        for (size_t i = 0; i < a->n_kw; i++)
            if (!jdict_set(r, args.u.dict, JV_OF(JV_STR, s, a->kw[i].name), a->kw[i].value))
                return false;
    } else {
        if (!jv_list(r, JL_TUPLE, a->n, &args)) return false;
        for (size_t i = 0; i < a->n; i++)
            if (!jlist_push(r, args.u.list, a->pos[i])) return false;
    }
    return jstr_percent(r, s, args, out);
}

/* ---- numbers ---- */

static bool f_abs(R *r, jv in, const jv *arg, jv *out) {
    (void)arg;
    if (in.type == JV_UNDEFINED) return jv_undef_fail(r, in);
    if (!jv_is_number(in))
        return jinja_fail(r, "bad operand type for abs(): '%s'", jv_type_name(in));
    if (in.type == JV_FLOAT) {
        *out = jv_float(fabs(in.u.f));
        return true;
    }
    return jv_as_int(in) < 0 ? jv_negate(r, in, true, out) : (*out = jv_int(jv_as_int(in)), true);
}

/* int(text, base); false where Python raises ValueError. */
static bool int_of_base(str s, int64_t base, int64_t *out) {
    static const struct {
        int base;
        char letter;
    } prefixes[] = {{2, 'b'}, {8, 'o'}, {16, 'x'}};
    s = str_trim(s);
    bool negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) s.p++, s.n--;
    for (size_t i = 0; i < 3; i++) {
        bool has = s.n > 2 && s.p[0] == '0' && (s.p[1] | 32) == prefixes[i].letter;
        if (!has || (base != 0 && base != prefixes[i].base)) continue;
        base = prefixes[i].base;
        s.p += 2;
        s.n -= 2;
    }
    if (base == 0) base = 10;
    if (s.n == 0 || base < 2 || base > 36) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
                                                     : 99;
        if (d >= base || v > (INT64_MAX - (uint64_t)d) / (uint64_t)base) return false;
        v = v * (uint64_t)base + (uint64_t)d;
    }
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool f_int(R *r, jv in, const jv *arg, jv *out) {
    int64_t base, i;
    jv v = in;
    *out = arg[0].type == JV_MISSING ? jv_int(0) : arg[0];
    if (!jarg_int(r, arg[1], 10, &base)) return false;
    if (in.type == JV_UNDEFINED) return jv_undef_fail(r, in);
    if (in.type == JV_STR) {
        if (base != 10) {
            if (int_of_base(jstr_str(in.u.s), base, &i)) *out = jv_int(i);
            else if (jstr_number(jstr_str(in.u.s), &v) && fabs(jv_as_f64(v)) < 9e18)
                *out = jv_int((int64_t)jv_as_f64(v)); /* by way of float() */
            return true;
        }
        if (!jstr_number(jstr_str(in.u.s), &v)) return true;
    }
    if (v.type == JV_FLOAT) {
        if (isnan(v.u.f) || isinf(v.u.f)) return true;
        if (fabs(v.u.f) >= 9.2e18) return jinja_fail(r, "a whole number passes 64 bits");
        *out = jv_int((int64_t)v.u.f);
    } else if (jv_is_number(v)) {
        *out = jv_int(jv_as_int(v));
    }
    return true;
}

static bool f_float(R *r, jv in, const jv *arg, jv *out) {
    jv v = in;
    *out = arg[0].type == JV_MISSING ? jv_float(0) : arg[0];
    if (in.type == JV_UNDEFINED) return jv_undef_fail(r, in);
    if (in.type == JV_STR && !jstr_number(jstr_str(in.u.s), &v)) {
        char text[400];
        str s = str_trim(jstr_str(in.u.s)); /* digits that pass 64 bits are still a float */
        if (s.n == 0 || s.n >= sizeof text) return true;
        memcpy(text, s.p, s.n);
        text[s.n] = 0;
        if (strspn(text, "+-0123456789") == s.n && strspn(text + 1, "0123456789") == s.n - 1)
            *out = jv_float(strtod(text, NULL));
        return true;
    }
    if (jv_is_number(v)) *out = jv_float(jv_as_f64(v));
    return true;
}

static double round_to(double f, int64_t precision) {
    char text[400];
    if (precision > 300 || isnan(f) || isinf(f)) return f;
    if (precision < 0) {
        double unit = pow(10, (double)-precision);
        return precision < -300 ? 0 : nearbyint(f / unit) * unit;
    }
    snprintf(text, sizeof text, "%.*f", (int)precision, f); /* correctly rounded, half to even */
    return strtod(text, NULL);
}

static bool f_round(R *r, jv in, const jv *arg, jv *out) {
    int64_t precision;
    jv method = arg[1];
    if (!jarg_int(r, arg[0], 0, &precision)) return false;
    if (in.type == JV_UNDEFINED) return jv_undef_fail(r, in);
    bool common = method.type == JV_MISSING || jv_is(method, "common");
    if (!common && !jv_is(method, "ceil") && !jv_is(method, "floor"))
        return jinja_fail(r, "method must be common, ceil or floor");
    if (!jv_is_number(in))
        return jinja_fail(r, "type %s doesn't define __round__ method", jv_type_name(in));
    if (common && in.type != JV_FLOAT) {
        int64_t i = jv_as_int(in), unit = 1;
        *out = jv_int(i);
        if (precision >= 0) return true;
        for (int64_t k = precision; k < 0 && unit < INT64_MAX / 10; k++) unit *= 10;
        int64_t rest = ((i % unit) + unit) % unit, low = i - rest;
        bool up = rest > unit - rest || (rest == unit - rest && (low / unit) % 2 != 0);
        *out = jv_int(precision < -18 ? 0 : up ? low + unit : low);
        return true;
    }
    double f = jv_as_f64(in);
    if (common) {
        *out = jv_float(round_to(f, precision));
        return true;
    }
    double unit = pow(10, (double)precision), v = f * unit;
    *out = jv_float(((jv_is(method, "ceil") ? ceil(v) : floor(v)) + 0.0) / unit); /* no -0 */
    return true;
}

static bool f_filesizeformat(R *r, jv in, const jv *arg, jv *out) {
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    bool binary;
    jv v;
    char text[60];
    const jv none[2] = {{0}};
    if (!jarg_truth(r, arg[0], &binary)) return false;
    if (!f_float(r, in, none, &v)) return false;
    if (!jv_is_number(in) && (in.type != JV_STR || v.u.f == 0)) {
        jv number;
        if (in.type != JV_STR || !jstr_number(jstr_str(in.u.s), &number))
            return jinja_fail(r, "could not convert %s to float", jv_type_name(in));
    }
    double base = binary ? 1024 : 1000, size = v.u.f;
    if (size == 1) snprintf(text, sizeof text, "1 Byte");
    else if (size < base) snprintf(text, sizeof text, "%lld Bytes", (long long)size);
    else {
        double unit = base;
        int i = 0;
        for (; i < 7 && size >= unit * base; i++) unit *= base;
        const char *u = units[i];
        if (binary)
            snprintf(text, sizeof text, "%.1f %c%s", size / unit, u[0] == 'k' ? 'K' : u[0], "iB");
        else snprintf(text, sizeof text, "%.1f %s", size / unit, u);
    }
    return jv_str_copy(r, str_of(text), false, out);
}

/* ---- any value ---- */

static bool f_default(R *r, jv in, const jv *arg, jv *out) {
    bool boolean, yes = true;
    if (!jarg_truth(r, arg[1], &boolean) || (boolean && !jv_truth(r, in, &yes))) return false;
    *out = in;
    if (in.type != JV_UNDEFINED && yes) return true;
    if (arg[0].type == JV_MISSING) return jv_lit(r, "", out);
    *out = arg[0];
    return true;
}

static bool f_attr(R *r, jv in, const jv *arg, jv *out) {
    if (arg[0].type != JV_STR) return jinja_fail(r, "attribute name must be string");
    if (in.type == JV_DICT) { /* not its items */
        if (!jmethod_find(r, in, jstr_str(arg[0].u.s), out)) return false;
        if (out->type != JV_MISSING) return true;
        return jv_undef_named(r, jv_owner_name(in), arg[0], out);
    }
    return jv_attr(r, in, arg[0], out);
}

static bool f_tojson(R *r, jv in, const jv *arg, jv *out) {
    return jv_tojson(r, in, arg, out);
}

/* ---- the table ---- */

static const jfilter filters[] = {
    {"abs", f_abs, "", 0, NULL},
    {"attr", f_attr, "name", 1, NULL},
    {"batch", jfilter_batch, "linecount fill_with", 1, NULL},
    {"capitalize", f_capitalize, "", 0, NULL},
    {"center", f_center, "width", 0, NULL},
    {"count", jfilter_length, "", 0, NULL},
    {"d", f_default, "default_value boolean", 0, NULL},
    {"default", f_default, "default_value boolean", 0, NULL},
    {"dictsort", jfilter_dictsort, "case_sensitive by reverse", 0, NULL},
    {"e", f_escape, "", 0, NULL},
    {"escape", f_escape, "", 0, NULL},
    {"filesizeformat", f_filesizeformat, "binary", 0, NULL},
    {"first", jfilter_first, "", 0, NULL},
    {"float", f_float, "default", 0, NULL},
    {"forceescape", f_forceescape, "", 0, NULL},
    {"format", NULL, NULL, 0, f_format},
    {"groupby", jfilter_groupby, "attribute default case_sensitive", 1, NULL},
    {"indent", f_indent, "width first blank", 0, NULL},
    {"int", f_int, "default base", 0, NULL},
    {"items", jfilter_items, "", 0, NULL},
    {"join", jfilter_join, "d attribute", 0, NULL},
    {"last", jfilter_last, "", 0, NULL},
    {"length", jfilter_length, "", 0, NULL},
    {"list", jfilter_list, "", 0, NULL},
    {"lower", f_lower, "", 0, NULL},
    {"map", NULL, NULL, 0, jfilter_map},
    {"max", jfilter_max, "case_sensitive attribute", 0, NULL},
    {"min", jfilter_min, "case_sensitive attribute", 0, NULL},
    {"reject", NULL, NULL, 0, jfilter_reject},
    {"rejectattr", NULL, NULL, 0, jfilter_rejectattr},
    {"replace", f_replace, "old new count", 2, NULL},
    {"reverse", jfilter_reverse, "", 0, NULL},
    {"round", f_round, "precision method", 0, NULL},
    {"safe", f_safe, "", 0, NULL},
    {"select", NULL, NULL, 0, jfilter_select},
    {"selectattr", NULL, NULL, 0, jfilter_selectattr},
    {"slice", jfilter_slice, "slices fill_with", 1, NULL},
    {"sort", jfilter_sort, "reverse case_sensitive attribute", 0, NULL},
    {"string", f_string, "", 0, NULL},
    {"striptags", f_striptags, "", 0, NULL},
    {"sum", jfilter_sum, "attribute start", 0, NULL},
    {"title", f_title, "", 0, NULL},
    {"tojson", f_tojson, "ensure_ascii indent separators sort_keys", 0, NULL},
    {"trim", f_trim, "chars", 0, NULL},
    {"truncate", f_truncate, "length killwords end leeway", 0, NULL},
    {"unique", jfilter_unique, "case_sensitive attribute", 0, NULL},
    {"upper", f_upper, "", 0, NULL},
    {"urlencode", f_urlencode, "", 0, NULL},
    {"wordcount", f_wordcount, "", 0, NULL},
    {"xmlattr", f_xmlattr, "autospace", 0, NULL},
};

const jfilter *jfilter_find(str name) {
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (str_eq(name, str_of(filters[i].name))) return &filters[i];
    return NULL;
}

bool jfilter_apply(R *r, const jfilter *f, jv in, const jargs *a, jv *out) {
    if (f->raw) return f->raw(r, in, a, out);
    jv arg[JARGS_MOST];
    return jargs_bind(r, f->name, a, f->params, f->required, arg) && f->bound(r, in, arg, out);
}
