/* Methods of strings, lists and dicts. What changes a value is only there where the caller of the
 * rendering allows it; else it exists, as in Jinja2's sandbox, but using it is an error.
 */
#include "template/jinja_filters.h"

/* Parameters that begin with $ have no name to be called by. */
typedef bool method_fn(R *r, jv self, const jv *arg, jv *out);
typedef bool raw_fn(R *r, jv self, const jargs *a, jv *out);
typedef struct method {
    const char *name;
    method_fn *fn;
    const char *params;
    int required;
    raw_fn *raw;
    bool changes;
} method;

#define M(name) static bool name(R *r, jv self, const jv *arg, jv *out)

static bool str_arg(R *r, jv v, const char *what, const jstr **out) {
    static const jstr nothing = {.p = ""};
    *out = &nothing;
    if (v.type == JV_UNDEFINED) return jv_undef_fail(r, v);
    if (v.type != JV_STR) return jinja_fail(r, "%s must be str, not %s", what, jv_type_name(v));
    *out = v.u.s;
    return true;
}

/* ---- strings: case and trimming ---- */

M(s_upper) {
    (void)arg;
    return jstr_case(r, self.u.s, JCASE_UPPER, out);
}
M(s_lower) {
    (void)arg;
    return jstr_case(r, self.u.s, JCASE_LOWER, out);
}
M(s_title) {
    (void)arg;
    return jstr_case(r, self.u.s, JCASE_TITLE, out);
}
M(s_capitalize) {
    (void)arg;
    return jstr_case(r, self.u.s, JCASE_CAPITAL, out);
}
M(s_casefold) {
    (void)arg;
    return jstr_case(r, self.u.s, JCASE_FOLD, out);
}
M(s_swapcase) {
    (void)arg;
    return jstr_case(r, self.u.s, JCASE_SWAP, out);
}

static bool trim(R *r, jv self, jv chars, int sides, jv *out) {
    const jstr *c = NULL;
    if (chars.type != JV_MISSING && chars.type != JV_NONE && !str_arg(r, chars, "strip arg", &c))
        return false;
    return jstr_trim(r, self.u.s, c, sides, out);
}
M(s_strip) {
    return trim(r, self, arg[0], JTRIM_LEFT | JTRIM_RIGHT, out);
}
M(s_lstrip) {
    return trim(r, self, arg[0], JTRIM_LEFT, out);
}
M(s_rstrip) {
    return trim(r, self, arg[0], JTRIM_RIGHT, out);
}

M(s_removeprefix) {
    const jstr *p;
    if (!str_arg(r, arg[0], "removeprefix() argument", &p)) return false;
    size_t n = str_starts(jstr_str(self.u.s), jstr_str(p)) ? p->n : 0;
    return jv_sub(r, self.u.s, n, self.u.s->n, out);
}
M(s_removesuffix) {
    const jstr *p;
    if (!str_arg(r, arg[0], "removesuffix() argument", &p)) return false;
    size_t n = str_ends(jstr_str(self.u.s), jstr_str(p)) ? p->n : 0;
    return jv_sub(r, self.u.s, 0, self.u.s->n - n, out);
}

/* ---- strings: searching ---- */

/* The part [start, end) in bytes, of characters as a slice has them. *past: start lies behind the
 * end. */
static bool window(R *r, const jstr *s, const jv *arg, size_t *from, size_t *to, bool *past) {
    int64_t n = (int64_t)jstr_length(s), a = 0, b = n;
    if (arg[0].type != JV_NONE && !jarg_int(r, arg[0], 0, &a)) return false;
    if (arg[1].type != JV_NONE && !jarg_int(r, arg[1], n, &b)) return false;
    if (a < 0) a = a < -n ? 0 : a + n;
    if (b < 0) b = b < -n ? 0 : b + n;
    if (b > n) b = n;
    *past = a > b;
    *from = jstr_offset(s, (size_t)a);
    *to = jstr_offset(s, (size_t)b);
    return jinja_spend(r, s->n / 64);
}

static bool affix(R *r, jv self, const jv *arg, bool front, jv *out) {
    size_t from, to;
    bool past;
    if (!window(r, self.u.s, arg + 1, &from, &to, &past)) return false;
    str part = {self.u.s->p + from, past ? 0 : to - from};
    const char *what = front ? "startswith first arg" : "endswith first arg";
    const jv *one = &arg[0];
    size_t n = 1;
    bool yes = false;
    if (jv_is_tuple(arg[0])) {
        one = arg[0].u.list->v;
        n = arg[0].u.list->n;
    }
    for (size_t i = 0; i < n && !yes; i++) {
        const jstr *s;
        if (!str_arg(r, one[i], what, &s)) return false;
        yes = !past && (front ? str_starts(part, jstr_str(s)) : str_ends(part, jstr_str(s)));
    }
    *out = jv_bool(yes);
    return true;
}
M(s_startswith) {
    return affix(r, self, arg, true, out);
}
M(s_endswith) {
    return affix(r, self, arg, false, out);
}

/* Byte offset of the first or last needle in the window; -1: none. */
static bool find_in(R *r, jv self, const jv *arg, bool last, int64_t *out) {
    const jstr *needle;
    size_t from, to;
    bool past;
    *out = -1;
    if (!str_arg(r, arg[0], "substring", &needle)) return false;
    if (!window(r, self.u.s, arg + 1, &from, &to, &past)) return false;
    if (past || to - from < needle->n) return true;
    if (!last) {
        str part = {self.u.s->p, to};
        size_t at = str_find(part, jstr_str(needle), from);
        *out = at == (size_t)-1 ? -1 : (int64_t)at;
        return true;
    }
    for (size_t at = to - needle->n + 1; at-- > from;)
        if (needle->n == 0 || memcmp(self.u.s->p + at, needle->p, needle->n) == 0) {
            *out = (int64_t)at;
            return true;
        }
    return true;
}

static bool find_char(R *r, jv self, const jv *arg, bool last, bool must, jv *out) {
    int64_t at;
    if (!find_in(r, self, arg, last, &at)) return false;
    if (at < 0 && must) return jinja_fail(r, "substring not found");
    jstr before = {.p = self.u.s->p, .n = at < 0 ? 0 : (size_t)at};
    *out = jv_int(at < 0 ? -1 : (int64_t)jstr_length(&before));
    return true;
}
M(s_find) {
    return find_char(r, self, arg, false, false, out);
}
M(s_rfind) {
    return find_char(r, self, arg, true, false, out);
}
M(s_index) {
    return find_char(r, self, arg, false, true, out);
}
M(s_rindex) {
    return find_char(r, self, arg, true, true, out);
}

M(s_count) {
    const jstr *needle;
    size_t from, to;
    bool past;
    int64_t n = 0;
    if (!str_arg(r, arg[0], "substring", &needle)) return false;
    if (!window(r, self.u.s, arg + 1, &from, &to, &past)) return false;
    str part = {self.u.s->p, to};
    jstr inside = {.p = self.u.s->p + from, .n = past ? 0 : to - from};
    if (needle->n == 0) n = past ? 0 : (int64_t)jstr_length(&inside) + 1;
    else if (!past)
        for (size_t at = from; (at = str_find(part, jstr_str(needle), at)) != (size_t)-1;
             at += needle->n)
            n++;
    *out = jv_int(n);
    return true;
}

/* ---- strings: taking apart and putting together ---- */

M(s_replace) {
    const jstr *from, *to;
    int64_t count;
    return str_arg(r, arg[0], "replace() argument 1", &from) &&
           str_arg(r, arg[1], "replace() argument 2", &to) && jarg_int(r, arg[2], -1, &count) &&
           jstr_replace(r, self.u.s, from, to, count, out);
}

static bool split(R *r, jv self, const jv *arg, bool right, jv *out) {
    const jstr *sep = NULL;
    int64_t max;
    if (arg[0].type != JV_MISSING && arg[0].type != JV_NONE &&
        !str_arg(r, arg[0], "must be str or None, so it", &sep))
        return false;
    return jarg_int(r, arg[1], -1, &max) && jstr_split(r, self.u.s, sep, max, right, out);
}
M(s_split) {
    return split(r, self, arg, false, out);
}
M(s_rsplit) {
    return split(r, self, arg, true, out);
}

M(s_splitlines) {
    bool keep;
    return jarg_truth(r, arg[0], &keep) && jstr_lines(r, self.u.s, keep, out);
}

static bool partition(R *r, jv self, jv sep, bool last, jv *out) {
    const jstr *s = self.u.s, *d;
    int64_t at;
    const jv arg[3] = {sep};
    if (!str_arg(r, sep, "partition() argument", &d)) return false;
    if (d->n == 0) return jinja_fail(r, "empty separator");
    if (!find_in(r, self, arg, last, &at) || !jv_list(r, JL_TUPLE, 3, out)) return false;
    size_t a = at < 0 ? (last ? 0 : s->n) : (size_t)at;
    size_t b = at < 0 ? a : a + d->n;
    jv v;
    return jv_sub(r, s, 0, a, &v) && jlist_push(r, out->u.list, v) && jv_sub(r, s, a, b, &v) &&
           jlist_push(r, out->u.list, v) && jv_sub(r, s, b, s->n, &v) &&
           jlist_push(r, out->u.list, v);
}
M(s_partition) {
    return partition(r, self, arg[0], false, out);
}
M(s_rpartition) {
    return partition(r, self, arg[0], true, out);
}

M(s_join) {
    jlist *l;
    jsb b;
    if (!jv_iterable(arg[0])) return jinja_fail(r, "can only join an iterable");
    if (!jv_items(r, arg[0], &l)) return false;
    jsb_init(&b, r);
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].type == JV_UNDEFINED) return jv_undef_fail(r, l->v[i]);
        if (l->v[i].type != JV_STR)
            return jinja_fail(r, "sequence item %zu: expected str instance, %s found", i,
                              jv_type_name(l->v[i]));
        if (i) jsb_str(&b, self.u.s);
        jsb_str(&b, l->v[i].u.s);
    }
    return jsb_done(&b, out);
}

static bool pad(R *r, jv self, const jv *arg, char align, jv *out) {
    int64_t width;
    str fill = STR(" ");
    if (!jv_to_int(r, arg[0], &width)) return false;
    if (arg[1].type != JV_MISSING) {
        const jstr *f;
        if (!str_arg(r, arg[1], "The fill character", &f)) return false;
        if (jstr_length(f) != 1)
            return jinja_fail(r, "The fill character must be exactly one character long");
        fill = jstr_str(f);
    }
    return jstr_pad(r, self.u.s, width, fill, align, out);
}
M(s_ljust) {
    return pad(r, self, arg, '<', out);
}
M(s_rjust) {
    return pad(r, self, arg, '>', out);
}
M(s_center) {
    return pad(r, self, arg, 'c', out);
}
M(s_zfill) {
    int64_t width;
    return jv_to_int(r, arg[0], &width) && jstr_pad(r, self.u.s, width, STR("0"), '=', out);
}

M(s_expandtabs) {
    int64_t size;
    size_t column = 0;
    jsb b;
    const jstr *s = self.u.s;
    if (!jarg_int(r, arg[0], 8, &size)) return false;
    if (size > 1000) return jinja_fail(r, "a width is too large");
    jsb_init(&b, r);
    for (size_t at = 0, n; at < s->n && !b.failed; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        if (cp == '\t') {
            size_t blanks = size > 0 ? (size_t)size - column % (size_t)size : 0;
            for (size_t i = 0; i < blanks; i++) jsb_lit(&b, " ");
            column += blanks;
            continue;
        }
        column = cp == '\n' || cp == '\r' ? 0 : column + 1;
        jsb_part(&b, s, at, at + n);
    }
    return jinja_spend(r, s->n / 16) && jsb_done(&b, out);
}

static bool s_format(R *r, jv self, const jargs *a, jv *out) {
    return jstr_format(r, self.u.s, a, out);
}

/* ---- strings: what they are made of ---- */

static bool every(R *r, const jstr *s, bool (*is)(uint32_t cp), bool empty, jv *out) {
    bool yes = s->n > 0 || empty;
    for (size_t at = 0, n; yes && at < s->n; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        yes = is(cp);
    }
    *out = jv_bool(yes);
    return jinja_spend(r, s->n / 16);
}

static bool is_numeric(uint32_t cp) {
    return jchar_is_digit(cp) || jchar_is_numeral(cp);
}
static bool is_alnum(uint32_t cp) {
    return jchar_is_alpha(cp) || is_numeric(cp);
}
/* Digits that are not decimal: raised, lowered, in circles. */
static bool is_any_digit(uint32_t cp) {
    return jchar_is_digit(cp) || cp == 0xb2 || cp == 0xb3 || cp == 0xb9 || cp == 0x2070 ||
           (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089) ||
           (cp >= 0x2460 && cp <= 0x2468) || (cp >= 0x2474 && cp <= 0x247c) ||
           (cp >= 0x2488 && cp <= 0x2490);
}
static bool is_ascii(uint32_t cp) {
    return cp < 128;
}
M(s_isalpha) {
    (void)arg;
    return every(r, self.u.s, jchar_is_alpha, false, out);
}
M(s_isdigit) {
    (void)arg;
    return every(r, self.u.s, is_any_digit, false, out);
}
M(s_isdecimal) {
    (void)arg;
    return every(r, self.u.s, jchar_is_digit, false, out);
}
M(s_isnumeric) {
    (void)arg;
    return every(r, self.u.s, is_numeric, false, out);
}
M(s_isalnum) {
    (void)arg;
    return every(r, self.u.s, is_alnum, false, out);
}
M(s_isspace) {
    (void)arg;
    return every(r, self.u.s, jchar_is_space, false, out);
}
M(s_isascii) {
    (void)arg;
    return every(r, self.u.s, is_ascii, true, out);
}
M(s_isprintable) {
    (void)arg;
    return every(r, self.u.s, jchar_is_printable, true, out);
}

static bool by_test(R *r, jv self, const char *test, jv *out) {
    jargs none = {0};
    bool yes;
    if (!jtest_apply(r, jtest_find(str_of(test)), self, &none, &yes)) return false;
    *out = jv_bool(yes);
    return true;
}
M(s_isupper) {
    (void)arg;
    return by_test(r, self, "upper", out);
}
M(s_islower) {
    (void)arg;
    return by_test(r, self, "lower", out);
}

M(s_istitle) {
    const jstr *s = self.u.s;
    bool in_word = false, some = false, yes = true;
    (void)arg;
    for (size_t at = 0, n; at < s->n; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        bool up = jchar_is_upper(cp), low = jchar_is_lower(cp);
        if (up ? in_word : low && !in_word) yes = false;
        some |= up || low;
        in_word = up || low;
    }
    *out = jv_bool(yes && some);
    return jinja_spend(r, s->n / 16);
}

M(s_isidentifier) {
    const jstr *s = self.u.s;
    bool yes = s->n > 0;
    (void)arg;
    for (size_t at = 0, n; yes && at < s->n; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        yes = cp == '_' || jchar_is_alpha(cp) || (at > 0 && jchar_is_digit(cp));
    }
    *out = jv_bool(yes);
    return jinja_spend(r, s->n / 16);
}

static const method str_methods[] = {
    {"capitalize", s_capitalize, "", 0, NULL, false},
    {"casefold", s_casefold, "", 0, NULL, false},
    {"center", s_center, "$width $fillchar", 1, NULL, false},
    {"count", s_count, "$sub $start $end", 1, NULL, false},
    {"endswith", s_endswith, "$suffix $start $end", 1, NULL, false},
    {"expandtabs", s_expandtabs, "tabsize", 0, NULL, false},
    {"find", s_find, "$sub $start $end", 1, NULL, false},
    {"format", NULL, NULL, 0, s_format, false},
    {"index", s_index, "$sub $start $end", 1, NULL, false},
    {"isalnum", s_isalnum, "", 0, NULL, false},
    {"isalpha", s_isalpha, "", 0, NULL, false},
    {"isascii", s_isascii, "", 0, NULL, false},
    {"isdecimal", s_isdecimal, "", 0, NULL, false},
    {"isdigit", s_isdigit, "", 0, NULL, false},
    {"isidentifier", s_isidentifier, "", 0, NULL, false},
    {"islower", s_islower, "", 0, NULL, false},
    {"isnumeric", s_isnumeric, "", 0, NULL, false},
    {"isprintable", s_isprintable, "", 0, NULL, false},
    {"isspace", s_isspace, "", 0, NULL, false},
    {"istitle", s_istitle, "", 0, NULL, false},
    {"isupper", s_isupper, "", 0, NULL, false},
    {"join", s_join, "$iterable", 1, NULL, false},
    {"ljust", s_ljust, "$width $fillchar", 1, NULL, false},
    {"lower", s_lower, "", 0, NULL, false},
    {"lstrip", s_lstrip, "$chars", 0, NULL, false},
    {"partition", s_partition, "$sep", 1, NULL, false},
    {"removeprefix", s_removeprefix, "$prefix", 1, NULL, false},
    {"removesuffix", s_removesuffix, "$suffix", 1, NULL, false},
    {"replace", s_replace, "$old $new $count", 2, NULL, false},
    {"rfind", s_rfind, "$sub $start $end", 1, NULL, false},
    {"rindex", s_rindex, "$sub $start $end", 1, NULL, false},
    {"rjust", s_rjust, "$width $fillchar", 1, NULL, false},
    {"rpartition", s_rpartition, "$sep", 1, NULL, false},
    {"rsplit", s_rsplit, "sep maxsplit", 0, NULL, false},
    {"rstrip", s_rstrip, "$chars", 0, NULL, false},
    {"split", s_split, "sep maxsplit", 0, NULL, false},
    {"splitlines", s_splitlines, "keepends", 0, NULL, false},
    {"startswith", s_startswith, "$prefix $start $end", 1, NULL, false},
    {"strip", s_strip, "$chars", 0, NULL, false},
    {"swapcase", s_swapcase, "", 0, NULL, false},
    {"title", s_title, "", 0, NULL, false},
    {"upper", s_upper, "", 0, NULL, false},
    {"zfill", s_zfill, "$width", 1, NULL, false},
    {0},
};

/* ---- lists ---- */

M(l_count) {
    int64_t n = 0;
    for (size_t i = 0; i < self.u.list->n; i++) {
        bool same;
        if (!jv_equal(r, self.u.list->v[i], arg[0], &same)) return false;
        n += same;
    }
    *out = jv_int(n);
    return true;
}

static bool list_find(R *r, const jlist *l, jv what, size_t *at) {
    for (*at = 0; *at < l->n; ++*at) {
        bool same;
        if (!jv_equal(r, l->v[*at], what, &same)) return false;
        if (same) return true;
    }
    return jinja_fail(r, "the value is not in the list");
}

M(l_index) {
    size_t at;
    if (!list_find(r, self.u.list, arg[0], &at)) return false;
    *out = jv_int((int64_t)at);
    return true;
}

M(l_copy) {
    const jlist *l = self.u.list;
    (void)arg;
    if (!jinja_spend(r, l->n / 16) || !jv_list(r, JL_LIST, l->n, out)) return false;
    if (l->n) memcpy(out->u.list->v, l->v, l->n * sizeof *l->v);
    out->u.list->n = l->n;
    return true;
}

M(l_append) {
    *out = jv_none();
    return jlist_push(r, self.u.list, arg[0]);
}

M(l_extend) {
    jlist *l;
    *out = jv_none();
    if (!jv_items(r, arg[0], &l)) return false;
    size_t n = l->n; /* of a list that extends itself, as it was */
    for (size_t i = 0; i < n; i++)
        if (!jinja_spend(r, 1) || !jlist_push(r, self.u.list, l->v[i])) return false;
    return true;
}

static void list_take(jlist *l, size_t at) {
    memmove(l->v + at, l->v + at + 1, (l->n - at - 1) * sizeof *l->v);
    l->n--;
}

M(l_pop) {
    jlist *l = self.u.list;
    int64_t at;
    if (!jarg_int(r, arg[0], -1, &at)) return false;
    if (l->n == 0) return jinja_fail(r, "pop from empty list");
    if (at < 0) at += (int64_t)l->n;
    if (at < 0 || (uint64_t)at >= l->n) return jinja_fail(r, "pop index out of range");
    *out = l->v[at];
    list_take(l, (size_t)at);
    return jinja_spend(r, l->n / 16);
}

M(l_insert) {
    jlist *l = self.u.list;
    int64_t at;
    *out = jv_none();
    if (!jv_to_int(r, arg[0], &at) || !jlist_push(r, l, arg[1])) return false;
    int64_t n = (int64_t)l->n - 1;
    if (at < 0) at = at < -n ? 0 : at + n;
    if (at > n) at = n;
    memmove(l->v + at + 1, l->v + at, (size_t)(n - at) * sizeof *l->v);
    l->v[at] = arg[1];
    return jinja_spend(r, l->n / 16);
}

M(l_remove) {
    size_t at;
    *out = jv_none();
    if (!list_find(r, self.u.list, arg[0], &at)) return false;
    list_take(self.u.list, at);
    return true;
}

M(l_reverse) {
    jlist *l = self.u.list;
    (void)arg;
    *out = jv_none();
    for (size_t i = 0; i < l->n / 2; i++) {
        jv t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
    return jinja_spend(r, l->n / 16);
}

M(l_sort) {
    jlist *l = self.u.list;
    bool reverse;
    *out = jv_none();
    jv *key = jinja_alloc(r, (l->n + 1) * sizeof *key);
    if (!key || !jarg_truth(r, arg[1], &reverse)) return false;
    if (arg[0].type != JV_MISSING && arg[0].type != JV_NONE)
        return jinja_fail(r, "sort() takes no key here");
    if (l->n) memcpy(key, l->v, l->n * sizeof *key);
    return jv_sort(r, l->v, key, l->n, reverse);
}

M(l_clear) {
    (void)arg, (void)r;
    self.u.list->n = 0;
    *out = jv_none();
    return true;
}

static const method list_methods[] = {
    {"append", l_append, "$object", 1, NULL, true},
    {"clear", l_clear, "", 0, NULL, true},
    {"copy", l_copy, "", 0, NULL, false},
    {"count", l_count, "$value", 1, NULL, false},
    {"extend", l_extend, "$iterable", 1, NULL, true},
    {"index", l_index, "$value", 1, NULL, false},
    {"insert", l_insert, "$index $object", 2, NULL, true},
    {"pop", l_pop, "$index", 0, NULL, true},
    {"remove", l_remove, "$value", 1, NULL, true},
    {"reverse", l_reverse, "", 0, NULL, true},
    {"sort", l_sort, "key reverse", 0, NULL, true},
    {0},
};
static const method tuple_methods[] = {
    {"count", l_count, "$value", 1, NULL, false},
    {"index", l_index, "$value", 1, NULL, false},
    {0},
};

/* ---- dicts ---- */

M(d_get) {
    const jv *v;
    if (!jdict_find(r, self.u.dict, arg[0], &v)) return false;
    *out = v ? *v : arg[1].type == JV_MISSING ? jv_none() : arg[1];
    return true;
}

M(d_items) {
    (void)arg;
    return jdict_items(r, self.u.dict, out);
}

static bool column(R *r, const jdict *d, jlist_kind kind, jv *out) {
    if (!jinja_spend(r, d->n / 16) || !jv_list(r, kind, d->n, out)) return false;
    for (size_t i = 0; i < d->n; i++)
        if (!jlist_push(r, out->u.list, kind == JL_KEYS ? d->pair[i].key : d->pair[i].value))
            return false;
    return true;
}
M(d_keys) {
    (void)arg;
    return column(r, self.u.dict, JL_KEYS, out);
}
M(d_values) {
    (void)arg;
    return column(r, self.u.dict, JL_VALUES, out);
}

static bool update(R *r, jdict *d, const jargs *a) {
    if (a->n > 1) return jinja_fail(r, "update expected at most 1 argument, got %zu", a->n);
    if (a->n == 1 && a->pos[0].type == JV_DICT) {
        const jdict *from = a->pos[0].u.dict;
        for (size_t i = 0, n = from->n; i < n; i++)
            if (!jinja_spend(r, 1) || !jdict_set(r, d, from->pair[i].key, from->pair[i].value))
                return false;
    } else if (a->n == 1) {
        jlist *pairs, *pair;
        if (!jv_items(r, a->pos[0], &pairs)) return false;
        for (size_t i = 0; i < pairs->n; i++) {
            if (!jv_items(r, pairs->v[i], &pair)) return false;
            if (pair->n != 2)
                return jinja_fail(r,
                                  "dictionary update sequence element #%zu has length %zu; 2 is "
                                  "required",
                                  i, pair->n);
            if (!jinja_spend(r, 1) || !jdict_set(r, d, pair->v[0], pair->v[1])) return false;
        }
    }
    for (size_t i = 0; i < a->n_kw; i++)
        if (!jdict_set(r, d, JV_OF(JV_STR, s, a->kw[i].name), a->kw[i].value)) return false;
    return true;
}

static bool d_update(R *r, jv self, const jargs *a, jv *out) {
    *out = jv_none();
    return update(r, self.u.dict, a);
}

M(d_copy) {
    jargs a = {.pos = &self, .n = 1};
    (void)arg;
    return jv_dict(r, out) && update(r, out->u.dict, &a);
}

M(d_pop) {
    bool found;
    if (!jdict_remove(r, self.u.dict, arg[0], out, &found)) return false;
    if (found) return true;
    if (arg[1].type == JV_MISSING) return jinja_fail(r, "KeyError: no such key to pop");
    *out = arg[1];
    return true;
}

M(d_setdefault) {
    const jv *v;
    if (!jdict_find(r, self.u.dict, arg[0], &v)) return false;
    *out = v ? *v : arg[1].type == JV_MISSING ? jv_none() : arg[1];
    return v || jdict_set(r, self.u.dict, arg[0], *out);
}

M(d_popitem) {
    bool found;
    jv value;
    (void)arg;
    jdict *d = self.u.dict;
    if (d->n == 0) return jinja_fail(r, "popitem(): dictionary is empty");
    jv key = d->pair[d->n - 1].key;
    return jdict_remove(r, d, key, &value, &found) && jv_list(r, JL_TUPLE, 2, out) &&
           jlist_push(r, out->u.list, key) && jlist_push(r, out->u.list, value);
}

M(d_clear) {
    (void)arg, (void)r;
    *self.u.dict = (jdict){0};
    *out = jv_none();
    return true;
}

static const method dict_methods[] = {
    {"clear", d_clear, "", 0, NULL, true},
    {"copy", d_copy, "", 0, NULL, false},
    {"get", d_get, "$key $default", 1, NULL, false},
    {"items", d_items, "", 0, NULL, false},
    {"keys", d_keys, "", 0, NULL, false},
    {"pop", d_pop, "$key $default", 1, NULL, true},
    {"popitem", d_popitem, "", 0, NULL, true},
    {"setdefault", d_setdefault, "$key $default", 1, NULL, true},
    {"update", NULL, NULL, 0, d_update, true},
    {"values", d_values, "", 0, NULL, false},
    {0},
};

/* ---- the others ---- */

M(c_next) {
    jcycler *c = self.u.cycler;
    (void)arg, (void)r;
    *out = c->items->v[c->at];
    c->at = (c->at + 1) % c->items->n;
    return true;
}

M(c_reset) {
    (void)arg, (void)r;
    self.u.cycler->at = 0;
    *out = jv_none();
    return true;
}

static const method cycler_methods[] = {
    {"next", c_next, "", 0, NULL, false},
    {"reset", c_reset, "", 0, NULL, false},
    {0},
};

M(f_is_integer) {
    (void)arg, (void)r;
    double f = self.type == JV_FLOAT ? self.u.f : 0;
    *out = jv_bool(self.type != JV_FLOAT || (f == (double)(int64_t)f && f < 9e18 && f > -9e18));
    return true;
}

static const method number_methods[] = {
    {"is_integer", f_is_integer, "", 0, NULL, false},
    {0},
};

static const method *methods_of(jv v) {
    switch (v.type) {
    case JV_STR: return str_methods;
    case JV_DICT: return dict_methods;
    case JV_CYCLER: return cycler_methods;
    case JV_FLOAT: return number_methods;
    case JV_LIST:
        if (v.u.list->kind == JL_LIST) return list_methods;
        return jv_is_tuple(v) || v.u.list->kind == JL_RANGE ? tuple_methods : NULL;
    default: return NULL;
    }
}

bool jmethod_find(R *r, jv v, str name, jv *out) {
    *out = (jv){0};
    if (v.type == JV_CYCLER && str_eq(name, STR("current"))) {
        *out = v.u.cycler->items->v[v.u.cycler->at];
        return true;
    }
    const method *m = methods_of(v);
    while (m && m->name && !str_eq(name, str_of(m->name))) m++;
    if (!m || !m->name) return true;
    if (m->changes && !jinja_changeable(r)) {
        jv called;
        return jv_lit(r, m->name, &called) && jv_undef_unsafe(r, jv_owner_name(v), called, out);
    }
    jfunc *f = jinja_alloc(r, sizeof *f);
    if (!f) return false;
    *f = (jfunc){.name = m->name,
                 .call = m->raw,
                 .bound = m->fn,
                 .params = m->params,
                 .required = m->required,
                 .self = v};
    *out = JV_OF(JV_FUNC, func, f);
    return true;
}

/* ---- global functions ---- */

static bool g_range(R *r, jv self, const jargs *a, jv *out) {
    int64_t from = 0, to, step = 1;
    enum { MOST = 100000 }; /* as Jinja2's sandbox has it */
    (void)self;
    if (a->n < 1 || a->n > 3 || a->n_kw)
        return jinja_fail(r, "range expected 1 to 3 arguments, got %zu", a->n);
    if (!jv_to_int(r, a->pos[a->n > 1], &to) || (a->n > 1 && !jv_to_int(r, a->pos[0], &from)) ||
        (a->n > 2 && !jv_to_int(r, a->pos[2], &step)))
        return false;
    if (step == 0) return jinja_fail(r, "range() arg 3 must not be zero");
    if (step == INT64_MIN) step++;
    uint64_t n = 0;
    if (step > 0 && to > from) n = ((uint64_t)to - (uint64_t)from - 1) / (uint64_t)step + 1;
    if (step < 0 && to < from) n = ((uint64_t)from - (uint64_t)to - 1) / (uint64_t)-step + 1;
    if (n > MOST)
        return jinja_fail(r,
                          "Range too big. The sandbox blocks ranges larger than MAX_RANGE "
                          "(%d).",
                          MOST);
    if (!jinja_spend(r, n / 8) || !jv_list(r, JL_RANGE, n, out)) return false;
    for (uint64_t i = 0; i < n; i++)
        if (!jlist_push(r, out->u.list, jv_int(from + (int64_t)i * step))) return false;
    int64_t *range = jinja_alloc(r, 3 * sizeof *range);
    if (!range) return false;
    range[0] = from;
    range[1] = to;
    range[2] = step;
    out->u.list->range = range;
    return true;
}

static bool g_dict(R *r, jv self, const jargs *a, jv *out) {
    (void)self;
    if (a->n > 0 && a->pos[0].type == JV_UNDEFINED) return jv_undef_fail(r, a->pos[0]);
    return jv_dict(r, out) && update(r, out->u.dict, a);
}

static bool g_namespace(R *r, jv self, const jargs *a, jv *out) {
    (void)self;
    if (!jv_dict(r, out) || !update(r, out->u.dict, a)) return false;
    out->type = JV_NAMESPACE;
    return true;
}

static bool g_cycler(R *r, jv self, const jargs *a, jv *out) {
    jv items;
    (void)self;
    if (a->n == 0) return jinja_fail(r, "at least one item has to be provided");
    jcycler *c = jinja_alloc(r, sizeof *c);
    if (!c || !jv_list(r, JL_LIST, a->n, &items)) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jlist_push(r, items.u.list, a->pos[i])) return false;
    c->items = items.u.list;
    *out = JV_OF(JV_CYCLER, cycler, c);
    return true;
}

M(g_joiner) {
    (void)self;
    jjoiner *j = jinja_alloc(r, sizeof *j);
    if (!j) return false;
    j->separator = arg[0];
    if (arg[0].type == JV_MISSING && !jv_lit(r, ", ", &j->separator)) return false;
    *out = JV_OF(JV_JOINER, joiner, j);
    return true;
}

M(g_raise) {
    const jstr *s;
    (void)self, (void)out;
    return jv_to_str(r, arg[0], &s) && jinja_raise(r, s);
}

/* The time has no zone and no fractions: as in Python, %z and %Z are then nothing, %f zeros. */
M(g_strftime) {
    const jstr *format;
    char how[1024], text[8192];
    size_t used = 0;
    struct tm now = jinja_now(r);
    (void)self;
    if (!str_arg(r, arg[0], "strftime_now() argument", &format)) return false;
    if (format->n > 256 || memchr(format->p, 0, format->n))
        return jinja_fail(r, "strftime_now: the format is too long");
    for (size_t i = 0; i < format->n; i++) {
        char next = i + 1 < format->n && format->p[i] == '%' ? format->p[i + 1] : 0;
        if (next == 'f') memcpy(how + used, "000000", 6), used += 6;
        else if (next && next != 'z' && next != 'Z') how[used++] = '%', how[used++] = next;
        else if (!next) how[used++] = format->p[i];
        i += next != 0;
    }
    how[used] = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, how, &now);
#pragma GCC diagnostic pop
    return jv_str_copy(r, (str){text, n}, false, out);
}

jv jglobal_find(str name) {
    static const jfunc functions[] = {
        {.name = "range", .call = g_range},
        {.name = "dict", .call = g_dict},
        {.name = "namespace", .call = g_namespace},
        {.name = "cycler", .call = g_cycler},
        {.name = "joiner", .bound = g_joiner, .params = "sep"},
        {.name = "raise_exception", .bound = g_raise, .params = "message", .required = 1},
        {.name = "strftime_now", .bound = g_strftime, .params = "format", .required = 1},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (str_eq(name, str_of(functions[i].name))) return JV_OF(JV_FUNC, func, &functions[i]);
    return (jv){0};
}
