/* Arithmetic, as Python does it; whole numbers have 64 bits. */
#include <math.h>

#include "template/jinja_value.h"

static const char *const op_names[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

static bool overflow(R *r) {
    return jinja_fail(r, "a whole number passes 64 bits");
}

static bool int_power(R *r, int64_t a, int64_t n, jv *out) {
    int64_t v = 1;
    if (n < 0) {
        if (a == 0) return jinja_fail(r, "0.0 cannot be raised to a negative power");
        *out = jv_float(pow((double)a, (double)n));
        return true;
    }
    for (; n > 0; n >>= 1) {
        if ((n & 1) && __builtin_mul_overflow(v, a, &v)) return overflow(r);
        if (n > 1 && __builtin_mul_overflow(a, a, &a)) return overflow(r);
    }
    *out = jv_int(v);
    return true;
}

static bool int_binary(R *r, jop op, int64_t a, int64_t b, jv *out) {
    int64_t v = 0;
    if (b == 0 && (op == JOP_DIV || op == JOP_FLOORDIV || op == JOP_MOD))
        return jinja_fail(r, op == JOP_DIV ? "division by zero"
                                           : "integer division or modulo by zero");
    switch (op) {
    case JOP_ADD:
        if (__builtin_add_overflow(a, b, &v)) return overflow(r);
        break;
    case JOP_SUB:
        if (__builtin_sub_overflow(a, b, &v)) return overflow(r);
        break;
    case JOP_MUL:
        if (__builtin_mul_overflow(a, b, &v)) return overflow(r);
        break;
    case JOP_DIV: *out = jv_float((double)a / (double)b); return true;
    case JOP_FLOORDIV:
        if (a == INT64_MIN && b == -1) return overflow(r);
        v = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case JOP_MOD:
        v = b == -1 ? 0 : a % b;
        if (v != 0 && (v < 0) != (b < 0)) v += b;
        break;
    case JOP_POW: return int_power(r, a, b, out);
    }
    *out = jv_int(v);
    return true;
}

static bool float_binary(R *r, jop op, double a, double b, jv *out) {
    double v = 0;
    if (b == 0 && (op == JOP_DIV || op == JOP_FLOORDIV || op == JOP_MOD))
        return jinja_fail(r, op == JOP_DIV        ? "float division by zero"
                             : op == JOP_FLOORDIV ? "float floor division by zero"
                                                  : "float modulo");
    switch (op) {
    case JOP_ADD: v = a + b; break;
    case JOP_SUB: v = a - b; break;
    case JOP_MUL: v = a * b; break;
    case JOP_DIV: v = a / b; break;
    case JOP_FLOORDIV:
    case JOP_MOD: {
        double rest = fmod(a, b);
        double whole = (a - rest) / b;
        if (rest != 0 && (rest < 0) != (b < 0)) {
            rest += b;
            whole -= 1;
        }
        if (rest == 0) rest = copysign(0.0, b);
        v = op == JOP_MOD ? rest : whole == 0 ? copysign(0.0, a / b) : floor(whole + 0.5);
        break;
    }
    case JOP_POW:
        if (a == 0 && b < 0) return jinja_fail(r, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b)) return jinja_fail(r, "complex numbers are not supported");
        v = pow(a, b);
        if (isinf(v) && !isinf(a) && !isinf(b))
            return jinja_fail(r, "Numerical result out of range");
        break;
    }
    *out = jv_float(v);
    return true;
}

/* ---- on texts and lists ---- */

static bool add_strings(R *r, const jstr *a, const jstr *b, jv *out) {
    jsb text;
    if (a->markup != b->markup) { /* what is escaped stays so, the other one becomes so */
        jv v;
        if (!jstr_escape(r, a->markup ? b : a, &v)) return false;
        if (a->markup) b = v.u.s;
        else a = v.u.s;
    }
    jsb_init(&text, r);
    jsb_str(&text, a);
    jsb_str(&text, b);
    if (!jsb_done(&text, out)) return false;
    if (!a->markup) return true;
    jstr *s = jinja_alloc(r, sizeof *s);
    if (!s) return false;
    *s = *out->u.s;
    s->markup = true;
    out->u.s = s;
    return true;
}

static bool add_lists(R *r, const jlist *a, const jlist *b, jlist_kind kind, jv *out) {
    if (!jinja_spend(r, (a->n + b->n) / 16) || !jv_list(r, kind, a->n + b->n, out)) return false;
    jlist *l = out->u.list;
    if (a->n) memcpy(l->v, a->v, a->n * sizeof *a->v);
    if (b->n) memcpy(l->v + a->n, b->v, b->n * sizeof *b->v);
    l->n = a->n + b->n;
    return true;
}

static bool repeat(R *r, jv what, int64_t times, jv *out) {
    size_t n = what.type == JV_STR ? what.u.s->n : what.u.list->n, total;
    if (times < 0) times = 0;
    if (__builtin_mul_overflow(n, (size_t)times, &total) || total > SIZE_MAX / 64)
        return jinja_fail(r, "a repetition is too long");
    if (n == 0) times = 0;
    if (what.type == JV_STR) {
        jsb b;
        jsb_init(&b, r);
        if (total > (256u << 20)) return jinja_fail(r, "a repetition is too long");
        for (int64_t i = 0; i < times && !b.failed; i++)
            if (!jsb_str(&b, what.u.s) || !jinja_spend(r, 1)) return false;
        return jsb_done(&b, out);
    }
    jlist_kind kind = jv_is_tuple(what) ? JL_TUPLE : JL_LIST;
    if (!jinja_spend(r, total / 16) || !jv_list(r, kind, total, out)) return false;
    for (int64_t i = 0; i < times; i++)
        for (size_t k = 0; k < n; k++)
            if (!jlist_push(r, out->u.list, what.u.list->v[k])) return false;
    return true;
}

static bool repeatable(jv v) {
    return v.type == JV_STR || (v.type == JV_LIST && (v.u.list->kind == JL_LIST || jv_is_tuple(v)));
}

static bool is_plain_list(jv v) {
    return v.type == JV_LIST && v.u.list->kind == JL_LIST;
}

bool jv_binary(R *r, jop op, jv a, jv b, jv *out) {
    if (a.type == JV_UNDEFINED) return jv_undef_fail(r, a);
    if (op == JOP_MOD && a.type == JV_STR) return jstr_percent(r, a.u.s, b, out);
    if (b.type == JV_UNDEFINED) return jv_undef_fail(r, b);
    if (jv_is_number(a) && jv_is_number(b)) {
        if (a.type == JV_FLOAT || b.type == JV_FLOAT)
            return float_binary(r, op, jv_as_f64(a), jv_as_f64(b), out);
        return int_binary(r, op, jv_as_int(a), jv_as_int(b), out);
    }
    if (op == JOP_ADD) {
        if (a.type == JV_STR && b.type == JV_STR) return add_strings(r, a.u.s, b.u.s, out);
        if (a.type == JV_STR)
            return jinja_fail(r, "can only concatenate str (not \"%s\") to str", jv_type_name(b));
        if (is_plain_list(a) && is_plain_list(b))
            return add_lists(r, a.u.list, b.u.list, JL_LIST, out);
        if (jv_is_tuple(a) && jv_is_tuple(b))
            return add_lists(r, a.u.list, b.u.list, JL_TUPLE, out);
        if (is_plain_list(a))
            return jinja_fail(r, "can only concatenate list (not \"%s\") to list", jv_type_name(b));
    }
    if (op == JOP_MUL) {
        bool left = repeatable(a);
        jv what = left ? a : b, times = left ? b : a;
        if (repeatable(what) && (times.type == JV_INT || times.type == JV_BOOL))
            return repeat(r, what, jv_as_int(times), out);
    }
    return jinja_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op_names[op],
                      jv_type_name(a), jv_type_name(b));
}

bool jv_negate(R *r, jv a, bool minus, jv *out) {
    if (a.type == JV_UNDEFINED) return jv_undef_fail(r, a);
    if (!jv_is_number(a))
        return jinja_fail(r, "bad operand type for unary %c: '%s'", minus ? '-' : '+',
                          jv_type_name(a));
    if (a.type == JV_FLOAT) *out = jv_float(minus ? -a.u.f : a.u.f);
    else if (minus && jv_as_int(a) == INT64_MIN) return overflow(r);
    else *out = jv_int(minus ? -jv_as_int(a) : jv_as_int(a));
    return true;
}
