/* Values as text: str(), repr(), tojson, and the two ways of formatting. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "template/jinja_value.h"

#include "template/jinja_run.h"

/* ---- numbers ---- */

/* The fewest digits that read back as the same number, laid out as Python does. */
void jfloat_repr(double f, char out[40]) {
    if (isnan(f) || isinf(f)) {
        snprintf(out, 40, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    char digits[40];
    int precision = 0;
    for (; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, f);
        if (strtod(digits, NULL) == f) break;
    }
    char *e = strchr(digits, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        int decimals = precision > exponent ? precision - exponent : 0;
        snprintf(out, 40, decimals == 0 ? "%.*f.0" : "%.*f", decimals, f);
        return;
    }
    *e = 0;
    snprintf(out, 40, "%.25se%c%02d", digits, exponent < 0 ? '-' : '+', abs(exponent) % 1000);
}

static size_t skip_spaces(str s, size_t at) {
    while (at < s.n && strchr(" \t\n\r\f\v", s.p[at]) && s.p[at]) at++;
    return at;
}

/* Digits with single underscores between them, as Python allows; dst gets them without. */
static bool plain_digits(str s, char *dst, size_t cap) {
    size_t k = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') {
            bool between = i > 0 && i + 1 < s.n && s.p[i - 1] >= '0' && s.p[i - 1] <= '9' &&
                           s.p[i + 1] >= '0' && s.p[i + 1] <= '9';
            if (!between) return false;
            continue;
        }
        if (k + 1 >= cap) return false;
        dst[k++] = s.p[i];
    }
    dst[k] = 0;
    return k > 0;
}

bool jstr_number(str s, jv *out) {
    char text[400];
    size_t from = skip_spaces(s, 0);
    size_t to = s.n;
    while (to > from && s.p[to - 1] && strchr(" \t\n\r\f\v", s.p[to - 1])) to--;
    if (!plain_digits((str){s.p + from, to - from}, text, sizeof text)) return false;
    size_t sign = text[0] == '-' || text[0] == '+';
    size_t digits = strspn(text + sign, "0123456789");
    char *end;
    if (digits > 0 && !text[sign + digits]) {
        if (digits > 18) return false;
        *out = jv_int(strtoll(text, NULL, 10));
        return true;
    }
    const char *body = text + sign;
    bool word = !strcasecmp(body, "inf") || !strcasecmp(body, "infinity") ||
                !strcasecmp(body, "nan");
    if (!word && strspn(body, "0123456789.eE+-") != strlen(body)) return false;
    if (!word && strspn(body, ".eE+-") == strlen(body)) return false;
    *out = jv_float(strtod(text, &end));
    return *end == 0;
}

/* ---- repr ---- */

static void repr_char(jsb *b, const jstr *s, size_t at, size_t n, uint32_t cp, char quote) {
    bool content = s->mark ? s->mark[at] : s->content;
    char text[16] = {0};
    if (cp == (unsigned char)quote || cp == '\\') snprintf(text, sizeof text, "\\%c", (char)cp);
    else if (cp == '\n') memcpy(text, "\\n", 3);
    else if (cp == '\r') memcpy(text, "\\r", 3);
    else if (cp == '\t') memcpy(text, "\\t", 3);
    else if (jchar_is_printable(cp)) {
        jsb_part(b, s, at, at + n);
        return;
    } else if (cp < 256) snprintf(text, sizeof text, "\\x%02x", cp);
    else if (cp < 0x10000) snprintf(text, sizeof text, "\\u%04x", cp);
    else snprintf(text, sizeof text, "\\U%08x", cp);
    jsb_put(b, text, strlen(text), content);
}

static void repr_str(jsb *b, const jstr *s) {
    char quote = '\'';
    if (s->n && memchr(s->p, '\'', s->n) && !memchr(s->p, '"', s->n)) quote = '"';
    if (!jinja_spend(b->r, s->n / 16)) b->failed = true;
    if (s->markup) jsb_lit(b, "Markup(");
    jsb_put(b, &quote, 1, false);
    for (size_t at = 0, n; at < s->n && !b->failed; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        if (cp < 127 && cp >= 32 && cp != '\\' && cp != (unsigned char)quote) {
            size_t end = at + n; /* a plain run at once */
            while (end < s->n && s->p[end] >= 32 && s->p[end] < 127 && s->p[end] != '\\' &&
                   s->p[end] != quote)
                end++;
            jsb_part(b, s, at, end);
            n = end - at;
            continue;
        }
        repr_char(b, s, at, n, cp, quote);
    }
    jsb_put(b, &quote, 1, false);
    if (s->markup) jsb_lit(b, ")");
}

static void repr_items(jsb *b, const jlist *l, const char *open, const char *close) {
    jsb_lit(b, open);
    for (size_t i = 0; i < l->n && !b->failed; i++) {
        if (i) jsb_lit(b, ", ");
        jsb_repr(b, l->v[i]);
    }
    jsb_lit(b, close);
}

static void repr_list(jsb *b, const jlist *l) {
    char text[80];
    switch (l->kind) {
    case JL_LIST: repr_items(b, l, "[", "]"); return;
    case JL_TUPLE:
    case JL_GROUP: repr_items(b, l, "(", l->n == 1 ? ",)" : ")"); return;
    case JL_KEYS: repr_items(b, l, "dict_keys([", "])"); return;
    case JL_VALUES: repr_items(b, l, "dict_values([", "])"); return;
    case JL_ITEMS: repr_items(b, l, "dict_items([", "])"); return;
    case JL_GENERATOR: jsb_lit(b, "<generator object>"); return;
    case JL_RANGE: break;
    }
    if (l->range && l->range[2] == 1)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", l->range[0], l->range[1]);
    else if (l->range)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", l->range[0],
                 l->range[1], l->range[2]);
    if (l->range) {
        jsb_lit(b, text);
        return;
    }
    int64_t first = l->n ? l->v[0].u.i : 0, step = l->n > 1 ? l->v[1].u.i - first : 1;
    int64_t stop = first + (int64_t)l->n * step;
    if (step == 1) snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", first, stop);
    else
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", first, stop,
                 step);
    jsb_lit(b, text);
}

static void repr_dict(jsb *b, const jdict *d) {
    jsb_lit(b, "{");
    for (size_t i = 0; i < d->n && !b->failed; i++) {
        if (i) jsb_lit(b, ", ");
        jsb_repr(b, d->pair[i].key);
        jsb_lit(b, ": ");
        jsb_repr(b, d->pair[i].value);
    }
    jsb_lit(b, "}");
}

static void put_int(jsb *b, int64_t i) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, i);
    jsb_lit(b, text);
}

bool jsb_repr(jsb *b, jv v) {
    char text[40];
    if (b->failed || !jinja_spend(b->r, 1) || !jinja_enter(b->r)) {
        b->failed = true;
        return false;
    }
    switch (v.type) {
    case JV_MISSING: break;
    case JV_UNDEFINED: jsb_lit(b, "Undefined"); break;
    case JV_NONE: jsb_lit(b, "None"); break;
    case JV_BOOL: jsb_lit(b, v.u.b ? "True" : "False"); break;
    case JV_INT: put_int(b, v.u.i); break;
    case JV_FLOAT:
        jfloat_repr(v.u.f, text);
        jsb_lit(b, text);
        break;
    case JV_STR: repr_str(b, v.u.s); break;
    case JV_LIST: repr_list(b, v.u.list); break;
    case JV_DICT: repr_dict(b, v.u.dict); break;
    case JV_FUNC:
        jsb_lit(b, "<function ");
        jsb_lit(b, v.u.func->name);
        jsb_lit(b, ">");
        break;
    case JV_MACRO:
        jsb_lit(b, "<Macro ");
        jmacro_put_name(b, v.u.macro);
        jsb_lit(b, ">");
        break;
    case JV_LOOP: {
        char where[64];
        snprintf(where, sizeof where, "<LoopContext %zu/%zu>", v.u.loop->at + 1,
                 v.u.loop->items->n);
        jsb_lit(b, where);
        break;
    }
    case JV_NAMESPACE:
        jsb_lit(b, "<Namespace ");
        repr_dict(b, v.u.dict);
        jsb_lit(b, ">");
        break;
    case JV_CYCLER: jsb_lit(b, "<Cycler>"); break;
    case JV_JOINER: jsb_lit(b, "<Joiner>"); break;
    }
    jinja_leave(b->r);
    return !b->failed;
}

bool jsb_value(jsb *b, jv v) {
    if (v.type == JV_STR) return jsb_str(b, v.u.s);
    if (v.type == JV_UNDEFINED) return !b->failed;
    return jsb_repr(b, v);
}

bool jv_to_str(R *r, jv v, const jstr **out) {
    jv text;
    if (v.type == JV_STR) {
        *out = v.u.s;
        return true;
    }
    jsb b;
    jsb_init(&b, r);
    jsb_value(&b, v);
    if (!jsb_done(&b, &text)) return false;
    *out = text.u.s;
    return true;
}

/* ---- tojson ---- */

typedef struct json_style {
    bool ascii, sort;
    const jstr *indent; /* NULL: on one line */
    const jstr *comma, *colon;
} json_style;

static void json_escape(jsb *b, uint32_t cp, bool content) {
    char text[16];
    const char *at = cp ? strchr("\"\"\\\\\bb\ff\nn\rr\tt", (int)cp) : NULL;
    if (at && cp < 128) snprintf(text, sizeof text, "\\%c", at[1]);
    else if (cp >= 0x10000)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10),
                 0xdc00 + ((cp - 0x10000) & 0x3ff));
    else snprintf(text, sizeof text, "\\u%04x", cp);
    jsb_put(b, text, strlen(text), content);
}

static void json_str(jsb *b, const jstr *s, const json_style *how) {
    jsb_lit(b, "\"");
    if (!jinja_spend(b->r, s->n / 64)) b->failed = true;
    size_t plain = 0;
    for (size_t at = 0, n; at < s->n && !b->failed; at += n) {
        unsigned char c = (unsigned char)s->p[at];
        n = 1;
        bool high = how->ascii && c >= 127;
        if (c >= 32 && c != '"' && c != '\\' && !high) continue;
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        jsb_part(b, s, plain, at);
        json_escape(b, cp, s->mark ? s->mark[at] : s->content);
        plain = at + n;
    }
    jsb_part(b, s, plain, s->n);
    jsb_lit(b, "\"");
}

static void json_line(jsb *b, const json_style *how, int depth) {
    if (!how->indent) return;
    jsb_lit(b, "\n");
    for (int i = 0; i < depth && !b->failed; i++) jsb_str(b, how->indent);
}

static void json_put(jsb *b, jv v, const json_style *how, int depth);

static bool json_scalar(jsb *b, jv v) {
    char text[40];
    switch (v.type) {
    case JV_NONE: return jsb_lit(b, "null");
    case JV_BOOL: return jsb_lit(b, v.u.b ? "true" : "false");
    case JV_INT: put_int(b, v.u.i); return true;
    case JV_FLOAT:
        jfloat_repr(v.u.f, text);
        if (isnan(v.u.f)) return jsb_lit(b, "NaN");
        if (isinf(v.u.f)) return jsb_lit(b, v.u.f > 0 ? "Infinity" : "-Infinity");
        return jsb_lit(b, text);
    default: return false;
    }
}

static void json_dict(jsb *b, const jdict *d, const json_style *how, int depth) {
    const jpair *pair = d->pair;
    if (how->sort && d->n > 1) {
        jv *at = jinja_alloc(b->r, 2 * d->n * sizeof *at);
        jpair *sorted = jinja_alloc(b->r, d->n * sizeof *sorted);
        if (!at || !sorted) {
            b->failed = true;
            return;
        }
        for (size_t i = 0; i < d->n; i++) at[i] = jv_int((int64_t)i), at[d->n + i] = pair[i].key;
        if (!jv_sort(b->r, at, at + d->n, d->n, false)) {
            b->failed = true;
            return;
        }
        for (size_t i = 0; i < d->n; i++) sorted[i] = pair[at[i].u.i];
        pair = sorted;
    }
    jsb_lit(b, "{");
    for (size_t i = 0; i < d->n && !b->failed; i++) {
        if (i) jsb_str(b, how->comma);
        json_line(b, how, depth + 1);
        jv key = pair[i].key;
        if (key.type == JV_STR) {
            json_str(b, key.u.s, how);
        } else {
            jsb_lit(b, "\"");
            if (!json_scalar(b, key) && !b->failed)
                b->failed = !jinja_fail(b->r, "keys must be str, int, float, bool or None, not %s",
                                        jv_type_name(key));
            jsb_lit(b, "\"");
        }
        jsb_str(b, how->colon);
        json_put(b, pair[i].value, how, depth + 1);
    }
    if (d->n) json_line(b, how, depth);
    jsb_lit(b, "}");
}

static void json_list(jsb *b, const jlist *l, const json_style *how, int depth) {
    jsb_lit(b, "[");
    for (size_t i = 0; i < l->n && !b->failed; i++) {
        if (i) jsb_str(b, how->comma);
        json_line(b, how, depth + 1);
        json_put(b, l->v[i], how, depth + 1);
    }
    if (l->n) json_line(b, how, depth);
    jsb_lit(b, "]");
}

static void json_put(jsb *b, jv v, const json_style *how, int depth) {
    if (b->failed || !jinja_spend(b->r, 1) || !jinja_enter(b->r)) {
        b->failed = true;
        return;
    }
    bool is_list = v.type == JV_LIST && (v.u.list->kind == JL_LIST || jv_is_tuple(v));
    if (v.type == JV_STR) json_str(b, v.u.s, how);
    else if (v.type == JV_DICT) json_dict(b, v.u.dict, how, depth);
    else if (is_list) json_list(b, v.u.list, how, depth);
    else if (!json_scalar(b, v) && !b->failed) {
        jinja_fail(b->r, "Object of type %s is not JSON serializable", jv_type_name(v));
        b->failed = true;
    }
    jinja_leave(b->r);
}

static bool json_indent(R *r, jv v, json_style *how) {
    jv text;
    if (v.type == JV_MISSING || v.type == JV_NONE) return true;
    if (v.type == JV_STR) {
        how->indent = v.u.s;
        return true;
    }
    int64_t n;
    if (!jv_to_int(r, v, &n)) return false;
    if (n > 1000) return jinja_fail(r, "an indent of %" PRId64 " is too large", n);
    jstr none = {.p = ""};
    if (!jstr_pad(r, &none, n, STR(" "), '<', &text)) return false;
    if (n <= 0 && !jv_lit(r, "", &text)) return false;
    how->indent = text.u.s;
    return true;
}

/* arg: ensure_ascii, indent, separators, sort_keys */
bool jv_tojson(R *r, jv v, const jv *arg, jv *out) {
    json_style how = {0};
    jv comma, colon;
    if (arg[0].type != JV_MISSING && !jv_truth(r, arg[0], &how.ascii)) return false;
    if (arg[3].type != JV_MISSING && !jv_truth(r, arg[3], &how.sort)) return false;
    if (!json_indent(r, arg[1], &how) || !jv_lit(r, how.indent ? "," : ", ", &comma) ||
        !jv_lit(r, ": ", &colon))
        return false;
    if (arg[2].type != JV_MISSING && arg[2].type != JV_NONE) {
        jlist *l;
        if (!jv_items(r, arg[2], &l)) return false;
        if (l->n != 2 || l->v[0].type != JV_STR || l->v[1].type != JV_STR)
            return jinja_fail(r, "tojson: separators must be two strings");
        comma = l->v[0];
        colon = l->v[1];
    }
    how.comma = comma.u.s;
    how.colon = colon.u.s;
    jsb b;
    jsb_init(&b, r);
    json_put(&b, v, &how, 0);
    return jsb_done(&b, out);
}
