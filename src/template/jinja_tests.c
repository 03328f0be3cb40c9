/* Tests: x is defined, x is divisibleby 3. */
#include <math.h>

#include "template/jinja_value.h"

#define TEST(name) static bool t_##name(R *r, jv in, const jv *arg, bool *out)
#define IS(name, condition)                                                                        \
    TEST(name) {                                                                                   \
        (void)r, (void)arg;                                                                        \
        *out = (condition);                                                                        \
        return true;                                                                               \
    }

IS(defined, in.type != JV_UNDEFINED)
IS(undefined, in.type == JV_UNDEFINED)
IS(none, in.type == JV_NONE)
IS(boolean, in.type == JV_BOOL)
IS(is_true, in.type == JV_BOOL && in.u.b)
IS(is_false, in.type == JV_BOOL && !in.u.b)
IS(integer, in.type == JV_INT)
IS(float, in.type == JV_FLOAT)
IS(number, jv_is_number(in))
IS(string, in.type == JV_STR)
IS(mapping, in.type == JV_DICT)
IS(iterable, jv_iterable(in))
IS(sequence,
   in.type == JV_STR || in.type == JV_DICT || in.type == JV_UNDEFINED ||
       (in.type == JV_LIST && (in.u.list->kind <= JL_RANGE || in.u.list->kind == JL_GROUP)))
IS(callable, in.type == JV_FUNC || in.type == JV_MACRO || in.type == JV_LOOP ||
                 in.type == JV_JOINER || in.type == JV_UNDEFINED)
IS(escaped, in.type == JV_STR && in.u.s->markup)

TEST(filter) {
    (void)arg;
    *out = in.type == JV_STR && jfilter_find(jstr_str(in.u.s)) != NULL;
    return jv_hashable(r, in);
}

TEST(test) {
    (void)arg;
    *out = in.type == JV_STR && jtest_find(jstr_str(in.u.s)) != NULL;
    return jv_hashable(r, in);
}

static bool remainder_of(R *r, jv in, jv by, jv *out) {
    return jv_binary(r, JOP_MOD, in, by, out);
}

TEST(odd) {
    jv v;
    (void)arg;
    return remainder_of(r, in, jv_int(2), &v) && jv_equal(r, v, jv_int(1), out);
}

TEST(even) {
    jv v;
    (void)arg;
    return remainder_of(r, in, jv_int(2), &v) && jv_equal(r, v, jv_int(0), out);
}

TEST(divisibleby) {
    jv v;
    return remainder_of(r, in, arg[0], &v) && jv_equal(r, v, jv_int(0), out);
}

static bool has_case(R *r, jv in, bool upper, bool *out) {
    const jstr *s;
    bool some = false, all = true;
    if (!jv_to_str(r, in, &s) || !jinja_spend(r, s->n / 16)) return false;
    for (size_t at = 0, n; at < s->n; at += n) {
        uint32_t cp;
        n = jchar_at(s, at, &cp);
        bool up = jchar_is_upper(cp), low = jchar_is_lower(cp);
        some |= upper ? up : low;
        all &= !(upper ? low : up);
    }
    *out = some && all;
    return true;
}

TEST(upper) {
    (void)arg;
    return has_case(r, in, true, out);
}

TEST(lower) {
    (void)arg;
    return has_case(r, in, false, out);
}

TEST(eq) {
    return jv_equal(r, in, arg[0], out);
}

TEST(ne) {
    if (!jv_equal(r, in, arg[0], out)) return false;
    *out = !*out;
    return true;
}

TEST(lt) {
    return jv_less(r, in, arg[0], "<", out);
}

TEST(gt) {
    return jv_less(r, arg[0], in, ">", out);
}

TEST(le) {
    bool same;
    if (!jv_less(r, in, arg[0], "<=", out) || !jv_equal(r, in, arg[0], &same)) return false;
    *out |= same;
    return true;
}

TEST(ge) {
    bool same;
    if (!jv_less(r, arg[0], in, ">=", out) || !jv_equal(r, in, arg[0], &same)) return false;
    *out |= same;
    return true;
}

TEST(in) {
    return jv_contains(r, in, arg[0], out);
}

TEST(sameas) {
    (void)r;
    jv a = in, b = arg[0];
    if (a.type != b.type) *out = false;
    else if (a.type == JV_NONE) *out = true;
    else if (a.type == JV_BOOL) *out = a.u.b == b.u.b;
    else if (a.type == JV_INT) *out = a.u.i == b.u.i && a.u.i >= -5 && a.u.i <= 256;
    else if (a.type == JV_FLOAT) *out = false;
    else *out = a.u.s == b.u.s;
    return true;
}

static const jtest tests[] = {
    {"!=", t_ne, 1},
    {"<", t_lt, 1},
    {"<=", t_le, 1},
    {"==", t_eq, 1},
    {">", t_gt, 1},
    {">=", t_ge, 1},
    {"boolean", t_boolean, 0},
    {"callable", t_callable, 0},
    {"defined", t_defined, 0},
    {"divisibleby", t_divisibleby, 1},
    {"eq", t_eq, 1},
    {"equalto", t_eq, 1},
    {"escaped", t_escaped, 0},
    {"even", t_even, 0},
    {"false", t_is_false, 0},
    {"filter", t_filter, 0},
    {"float", t_float, 0},
    {"ge", t_ge, 1},
    {"greaterthan", t_gt, 1},
    {"gt", t_gt, 1},
    {"in", t_in, 1},
    {"integer", t_integer, 0},
    {"iterable", t_iterable, 0},
    {"le", t_le, 1},
    {"lessthan", t_lt, 1},
    {"lower", t_lower, 0},
    {"lt", t_lt, 1},
    {"mapping", t_mapping, 0},
    {"ne", t_ne, 1},
    {"none", t_none, 0},
    {"number", t_number, 0},
    {"odd", t_odd, 0},
    {"sameas", t_sameas, 1},
    {"sequence", t_sequence, 0},
    {"string", t_string, 0},
    {"test", t_test, 0},
    {"true", t_is_true, 0},
    {"undefined", t_undefined, 0},
    {"upper", t_upper, 0},
};

const jtest *jtest_find(str name) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (str_eq(name, str_of(tests[i].name))) return &tests[i];
    return NULL;
}

bool jtest_apply(R *r, const jtest *t, jv in, const jargs *a, bool *out) {
    jv arg[JARGS_MOST];
    return jargs_bind(r, t->name, a, t->n_args ? "other" : "", t->n_args, arg) &&
           t->test(r, in, arg, out);
}
