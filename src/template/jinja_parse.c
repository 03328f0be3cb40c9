/* Expressions. The precedence is Jinja2's, from loosest: if-else, or, and, not, comparisons,
 * + -, ~, * / // %, **, unary - +, then . [] () and | is.
 */
#include "template/jinja_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- nodes and names ---- */

bool parse_fail(jparse *x, const char *fmt, ...) {
    if (x->failed) return false;
    x->failed = true;
    char what[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return err_set(x->e, ERR_DAMAGED, "%s (line %u of the template)", what, x->now.line);
}

jnode *parse_node(jparse *x, jkind kind) {
    if (x->failed) return NULL;
    if (++x->n_nodes > PARSE_NODES) {
        parse_fail(x, "the template has more than %d parts", PARSE_NODES);
        return NULL;
    }
    jnode *n = arena_alloc(x->t->memory, sizeof *n);
    if (!n) {
        parse_fail(x, "the template is too large");
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->line = x->now.line;
    return n;
}

static unsigned tallest(const jnode *list) {
    unsigned h = 0;
    for (; list; list = list->next)
        if (list->height > h) h = list->height;
    return h;
}

jnode *parse_done(jparse *x, jnode *n) {
    if (!n || x->failed) return NULL;
    unsigned h = tallest(n->list), k = tallest(n->list2);
    if (k > h) h = k;
    const jnode *one[3] = {n->a, n->b, n->c};
    for (int i = 0; i < 3; i++)
        if (one[i] && one[i]->height > h) h = one[i]->height;
    n->height = (uint16_t)(h + 1);
    if (n->height <= PARSE_HEIGHT) return n;
    parse_fail(x, "an expression nests deeper than %d", PARSE_HEIGHT);
    return NULL;
}

static uint32_t name_hash(str s) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.n; i++) h = (h ^ (unsigned char)s.p[i]) * 16777619u;
    return h ^ h >> 15;
}

static bool names_grow(jparse *x) {
    uint32_t cap = x->cap_names ? 2 * x->cap_names : 64;
    str *names = arena_calloc(x->t->memory, cap, sizeof *names);
    uint32_t *slot = arena_calloc(x->t->memory, 2 * cap, sizeof *slot);
    if (!names || !slot) return parse_fail(x, "the template is too large");
    x->name_mask = 2 * cap - 1;
    for (uint32_t i = 0; i < x->t->n_names; i++) {
        names[i] = x->t->name[i];
        uint32_t at = name_hash(names[i]) & x->name_mask;
        while (slot[at]) at = (at + 1) & x->name_mask;
        slot[at] = i + 1;
    }
    x->t->name = names;
    x->name_slot = slot;
    x->cap_names = cap;
    return true;
}

uint32_t parse_sym(jparse *x, str name) {
    if (x->t->n_names == x->cap_names && !names_grow(x)) return 0;
    uint32_t at = name_hash(name) & x->name_mask;
    for (; x->name_slot[at]; at = (at + 1) & x->name_mask)
        if (str_eq(x->t->name[x->name_slot[at] - 1], name)) return x->name_slot[at] - 1;
    x->t->name[x->t->n_names] = name;
    x->name_slot[at] = ++x->t->n_names;
    return x->t->n_names - 1;
}

bool parse_const_str(jparse *x, str s, jv *out) {
    jstr *copy = arena_alloc(x->t->memory, sizeof *copy);
    if (!copy) return parse_fail(x, "the template is too large");
    *copy = (jstr){.p = s.p, .n = s.n};
    *out = JV_OF(JV_STR, s, copy);
    return true;
}

/* ---- tokens ---- */

bool parse_next(jparse *x) {
    if (x->failed) return false;
    if (x->has_ahead) {
        x->now = x->ahead;
        x->has_ahead = false;
        return true;
    }
    if (jlex_next(&x->lex, &x->now)) return true;
    x->failed = true;
    return false;
}

bool parse_look(jparse *x, jlexeme *out) {
    if (!x->has_ahead) {
        if (!jlex_next(&x->lex, &x->ahead)) {
            x->failed = true;
            return false;
        }
        x->has_ahead = true;
    }
    *out = x->ahead;
    return true;
}

bool parse_skip_op(jparse *x, int op) {
    return parse_at_op(x, op) && parse_next(x);
}

bool parse_skip_name(jparse *x, const char *name) {
    return parse_at_name(x, name) && parse_next(x);
}

static bool expected(jparse *x, const char *what) {
    char shown[64];
    return parse_fail(x, "expected token '%s', got '%s'", what, jlexeme_show(&x->now, shown));
}

bool parse_expect_op(jparse *x, int op) {
    char what[3] = {(char)(op > 255 ? op >> 8 : op), (char)(op > 255 ? op & 255 : 0), 0};
    return parse_at_op(x, op) ? parse_next(x) : expected(x, what);
}

bool parse_expect(jparse *x, jtoken type, const char *what) {
    return x->now.type == type ? parse_next(x) : expected(x, what);
}

bool parse_name(jparse *x, str *out) {
    if (x->now.type != JT_NAME) return expected(x, "name");
    *out = x->now.text;
    return parse_next(x);
}

/* ---- primaries ---- */

static jnode *constant(jparse *x, jv v) {
    jnode *n = parse_node(x, JN_CONST);
    if (n) n->value = v;
    return n && parse_next(x) ? parse_done(x, n) : NULL;
}

static jnode *name_or_constant(jparse *x, bool namespaces) {
    str s = x->now.text;
    if (str_eq(s, STR("true")) || str_eq(s, STR("True"))) return constant(x, jv_bool(true));
    if (str_eq(s, STR("false")) || str_eq(s, STR("False"))) return constant(x, jv_bool(false));
    if (str_eq(s, STR("none")) || str_eq(s, STR("None"))) return constant(x, jv_none());
    jnode *n = parse_node(x, JN_NAME);
    if (!n || !parse_next(x)) return NULL;
    n->sym = parse_sym(x, s);
    if (n->sym == JS_CALLER) x->uses |= JM_CALLER;
    if (n->sym == JS_VARARGS) x->uses |= JM_VARARGS;
    if (n->sym == JS_KWARGS) x->uses |= JM_KWARGS;
    if (namespaces && parse_at_op(x, '.')) {
        str attr;
        n->kind = JN_NSREF;
        if (!parse_next(x) || !parse_name(x, &attr) || !parse_const_str(x, attr, &n->value))
            return NULL;
    }
    return parse_done(x, n);
}

/* Strings beside each other are one. */
static jnode *string(jparse *x) {
    jnode *n = parse_node(x, JN_CONST);
    str s = x->now.text;
    size_t cap = 0;
    char *own = NULL;
    if (!n || !parse_next(x)) return NULL;
    while (x->now.type == JT_STRING) {
        if (!own || s.n + x->now.text.n > cap) {
            cap = 2 * (s.n + x->now.text.n) + 1;
            own = arena_alloc(x->t->memory, cap);
            if (!own) {
                parse_fail(x, "the template is too large");
                return NULL;
            }
            memcpy(own, s.p, s.n);
        }
        memcpy(own + s.n, x->now.text.p, x->now.text.n);
        s = (str){own, s.n + x->now.text.n};
        if (!parse_next(x)) return NULL;
    }
    return parse_const_str(x, s, &n->value) ? parse_done(x, n) : NULL;
}

/* Appends to a list whose last node is at *tail. */
static bool append(jnode *parent, jnode ***tail, jnode *item) {
    if (!item) return false;
    **tail = item;
    *tail = &item->next;
    parent->n++;
    return true;
}

static jnode *list_literal(jparse *x) {
    jnode *n = parse_node(x, JN_LIST), **tail;
    if (!n || !parse_next(x)) return NULL;
    for (tail = &n->list; !parse_at_op(x, ']');) {
        if (n->n && !parse_expect_op(x, ',')) return NULL;
        if (parse_at_op(x, ']')) break;
        if (!append(n, &tail, parse_expression(x, true))) return NULL;
    }
    return parse_next(x) ? parse_done(x, n) : NULL;
}

static jnode *dict_literal(jparse *x) {
    jnode *n = parse_node(x, JN_DICT), **tail;
    if (!n || !parse_next(x)) return NULL;
    for (tail = &n->list; !parse_at_op(x, '}');) {
        if (n->n && !parse_expect_op(x, ',')) return NULL;
        if (parse_at_op(x, '}')) break;
        if (!append(n, &tail, parse_expression(x, true)) || !parse_expect_op(x, ':') ||
            !append(n, &tail, parse_expression(x, true)))
            return NULL;
    }
    return parse_next(x) ? parse_done(x, n) : NULL;
}

static jnode *primary(jparse *x, bool namespaces) {
    char shown[64];
    switch (x->now.type) {
    case JT_NAME: return name_or_constant(x, namespaces);
    case JT_STRING: return string(x);
    case JT_INT: return constant(x, jv_int(x->now.i));
    case JT_FLOAT: return constant(x, jv_float(x->now.f));
    case JT_OP:
        if (x->now.op == '[') return list_literal(x);
        if (x->now.op == '{') return dict_literal(x);
        if (x->now.op == '(') {
            jnode *n = parse_next(x) ? parse_tuple(x, true, true) : NULL;
            return n && parse_expect_op(x, ')') ? n : NULL;
        }
        break;
    default: break;
    }
    parse_fail(x, "unexpected '%s'", jlexeme_show(&x->now, shown));
    return NULL;
}

/* ---- what follows a primary ---- */

static jnode *bound_or_absent(jparse *x) {
    if (parse_at_op(x, ':') || parse_at_op(x, ']') || parse_at_op(x, ','))
        return parse_done(x, parse_node(x, JN_ABSENT));
    return parse_expression(x, true);
}

static jnode *subscribed(jparse *x) {
    jnode *from = bound_or_absent(x), *n, **tail;
    if (!from || !parse_at_op(x, ':')) {
        if (from && from->kind == JN_ABSENT) parse_fail(x, "expected an index");
        return x->failed ? NULL : from;
    }
    n = parse_node(x, JN_SLICE);
    if (!n || !parse_next(x)) return NULL;
    tail = &n->list;
    append(n, &tail, from);
    if (!append(n, &tail, bound_or_absent(x))) return NULL;
    if (parse_at_op(x, ':') && !parse_next(x)) return NULL;
    if (!append(n, &tail, bound_or_absent(x))) return NULL;
    return parse_done(x, n);
}

static jnode *subscript(jparse *x, jnode *of) {
    jnode *n = parse_node(x, JN_ITEM);
    if (!n) return NULL;
    n->a = of;
    if (parse_at_op(x, '.')) {
        if (!parse_next(x)) return NULL;
        if (x->now.type == JT_INT) {
            n->b = constant(x, jv_int(x->now.i));
        } else {
            str name;
            n->kind = JN_ATTR;
            if (x->now.type != JT_NAME) parse_fail(x, "expected name or number");
            if (!parse_name(x, &name) || !parse_const_str(x, name, &n->value)) return NULL;
        }
        return parse_done(x, n);
    }
    jnode *several = NULL, **tail = NULL;
    if (!parse_next(x)) return NULL;
    while (!parse_at_op(x, ']')) {
        if (n->b && !parse_expect_op(x, ',')) return NULL;
        jnode *one = subscribed(x);
        if (!one) return NULL;
        if (n->b && !several) {
            several = parse_node(x, JN_TUPLE);
            if (!several) return NULL;
            tail = &several->list;
            append(several, &tail, n->b);
        }
        if (several) append(several, &tail, one);
        n->b = several ? several : one;
    }
    if (!n->b) {
        n->b = parse_node(x, JN_TUPLE); /* a[] */
        if (!parse_done(x, n->b)) return NULL;
    }
    if (several && !parse_done(x, several)) return NULL;
    return parse_next(x) ? parse_done(x, n) : NULL;
}

/* One argument; false after a failure. */
static bool call_arg(jparse *x, jnode *call, jnode ***args, jnode ***kws, bool *spread) {
    jlexeme ahead;
    jnode *n = NULL;
    if (parse_at_op(x, '*') || parse_at_op(x, JOP2('*', '*'))) {
        bool dict = !parse_at_op(x, '*');
        n = parse_node(x, dict ? JN_SPREAD_DICT : JN_SPREAD);
        if (!n || !parse_next(x) || !(n->a = parse_expression(x, true))) return false;
        *spread = true;
        if (!parse_done(x, n)) return false;
        if (dict) {
            **kws = n;
            *kws = &n->next;
            return true;
        }
        return append(call, args, n);
    }
    if (x->now.type == JT_NAME && !parse_look(x, &ahead)) return false;
    if (x->now.type == JT_NAME && ahead.type == JT_OP && ahead.op == '=') {
        n = parse_node(x, JN_KEYWORD);
        if (!n || !parse_const_str(x, x->now.text, &n->value) || !parse_next(x) || !parse_next(x) ||
            !(n->a = parse_expression(x, true)) || !parse_done(x, n))
            return false;
        **kws = n;
        *kws = &n->next;
        return true;
    }
    if (call->list2 || *spread) return parse_fail(x, "invalid syntax for function call expression");
    return append(call, args, parse_expression(x, true));
}

bool parse_call_args(jparse *x, jnode *call) {
    jnode **args = &call->list, **kws = &call->list2;
    bool more = false, spread = false;
    if (!parse_expect_op(x, '(')) return false;
    while (!parse_at_op(x, ')')) {
        if (more && !parse_expect_op(x, ',')) return false;
        if (parse_at_op(x, ')')) break;
        if (!call_arg(x, call, &args, &kws, &spread)) return false;
        more = true;
    }
    return parse_next(x);
}

static jnode *call(jparse *x, jnode *callee) {
    jnode *n = parse_node(x, JN_CALL);
    if (!n) return NULL;
    n->a = callee;
    return parse_call_args(x, n) ? parse_done(x, n) : NULL;
}

static jnode *postfix(jparse *x, jnode *n) {
    while (n && x->now.type == JT_OP) {
        if (x->now.op == '.' || x->now.op == '[') n = subscript(x, n);
        else if (x->now.op == '(') n = call(x, n);
        else break;
    }
    return n;
}

/* "name" or "a.b"; unknown names with dots are unknown filters. */
static bool dotted_name(jparse *x, str *out) {
    if (!parse_name(x, out)) return false;
    while (parse_at_op(x, '.')) {
        str more;
        if (!parse_next(x) || !parse_name(x, &more)) return false;
        *out = (str){out->p, (size_t)(more.p + more.n - out->p)};
    }
    return true;
}

static jnode *filter(jparse *x, jnode *in) {
    jnode *n = parse_node(x, JN_FILTER);
    str name;
    if (!n || !dotted_name(x, &name) || !parse_const_str(x, name, &n->value)) return NULL;
    n->a = in;
    n->u.filter = jfilter_find(name);
    if (!n->u.filter && !x->soft) {
        parse_fail(x, "No filter named '%.*s'.", (int)(name.n < 60 ? name.n : 60), name.p);
        return NULL;
    }
    if (parse_at_op(x, '(') && !parse_call_args(x, n)) return NULL;
    return parse_done(x, n);
}

jnode *parse_filters(jparse *x, jnode *in, bool inline_first) {
    jnode *n = in;
    while (inline_first || parse_at_op(x, '|')) {
        if (!inline_first && !parse_next(x)) return NULL;
        inline_first = false;
        if (!(n = filter(x, n))) return NULL;
    }
    return n;
}

static bool begins_test_arg(const jparse *x) {
    switch (x->now.type) {
    case JT_NAME:
        return !parse_at_name(x, "else") && !parse_at_name(x, "or") && !parse_at_name(x, "and");
    case JT_STRING:
    case JT_INT:
    case JT_FLOAT: return true;
    case JT_OP: return x->now.op == '[' || x->now.op == '{';
    default: return false;
    }
}

static jnode *test(jparse *x, jnode *in) {
    if (!parse_next(x)) return NULL;
    bool negated = parse_at_name(x, "not");
    if (negated && !parse_next(x)) return NULL;
    jnode *n = parse_node(x, JN_TEST), **tail;
    str name;
    if (!n || !dotted_name(x, &name) || !parse_const_str(x, name, &n->value)) return NULL;
    n->a = in;
    n->u.test = jtest_find(name);
    if (!n->u.test && !x->soft) {
        parse_fail(x, "No test named '%.*s'.", (int)(name.n < 60 ? name.n : 60), name.p);
        return NULL;
    }
    if (parse_at_op(x, '(')) {
        if (!parse_call_args(x, n)) return NULL;
    } else if (begins_test_arg(x)) {
        if (parse_at_name(x, "is")) {
            parse_fail(x, "You cannot chain multiple tests with is");
            return NULL;
        }
        tail = &n->list;
        jnode *arg = primary(x, false);
        if (!append(n, &tail, arg ? postfix(x, arg) : NULL)) return NULL;
    }
    if (!parse_done(x, n) || !negated) return x->failed ? NULL : n;
    jnode *not = parse_node(x, JN_NOT);
    if (not ) not ->a = n;
    return parse_done(x, not );
}

static jnode *filter_expr(jparse *x, jnode *n) {
    while (n) {
        if (parse_at_op(x, '|')) n = parse_filters(x, n, false);
        else if (parse_at_name(x, "is")) n = test(x, n);
        else if (parse_at_op(x, '(')) n = call(x, n);
        else break;
    }
    return n;
}

jnode *parse_unary(jparse *x, bool with_filters) {
    jnode *n;
    if (x->depth >= PARSE_DEPTH) {
        parse_fail(x, "expressions nest deeper than %d", PARSE_DEPTH);
        return NULL;
    }
    x->depth++;
    if (parse_at_op(x, '-') || parse_at_op(x, '+')) {
        n = parse_node(x, x->now.op == '-' ? JN_NEG : JN_POS);
        if (n && parse_next(x)) n->a = parse_unary(x, false);
        if (n && !n->a) n = NULL;
        n = parse_done(x, n);
    } else {
        n = primary(x, false);
    }
    n = n ? postfix(x, n) : NULL;
    if (n && with_filters) n = filter_expr(x, n);
    x->depth--;
    return n;
}

/* ---- operators, from the tightest ---- */

static jnode *binary(jparse *x, jkind kind, int op, jnode *a, jnode *b) {
    jnode *n = parse_node(x, kind);
    if (!n || !a || !b) return NULL;
    n->op = (uint8_t)op;
    n->a = a;
    n->b = b;
    return parse_done(x, n);
}

static jnode *power(jparse *x) {
    jnode *n = parse_unary(x, true);
    while (n && parse_at_op(x, JOP2('*', '*')))
        n = parse_next(x) ? binary(x, JN_BINARY, JOP_POW, n, parse_unary(x, true)) : NULL;
    return n;
}

static jnode *product(jparse *x) {
    jnode *n = power(x);
    while (n && x->now.type == JT_OP) {
        int op = x->now.op == '*'              ? JOP_MUL
                 : x->now.op == '/'            ? JOP_DIV
                 : x->now.op == '%'            ? JOP_MOD
                 : x->now.op == JOP2('/', '/') ? JOP_FLOORDIV
                                               : -1;
        if (op < 0) break;
        n = parse_next(x) ? binary(x, JN_BINARY, op, n, power(x)) : NULL;
    }
    return n;
}

static jnode *concat(jparse *x) {
    jnode *first = product(x);
    if (!first || !parse_at_op(x, '~')) return first;
    jnode *n = parse_node(x, JN_CONCAT), **tail;
    if (!n) return NULL;
    tail = &n->list;
    append(n, &tail, first);
    while (parse_at_op(x, '~'))
        if (!parse_next(x) || !append(n, &tail, product(x))) return NULL;
    return parse_done(x, n);
}

static jnode *sum(jparse *x) {
    jnode *n = concat(x);
    while (n && (parse_at_op(x, '+') || parse_at_op(x, '-'))) {
        int op = x->now.op == '+' ? JOP_ADD : JOP_SUB;
        n = parse_next(x) ? binary(x, JN_BINARY, op, n, concat(x)) : NULL;
    }
    return n;
}

/* The comparison at the present token, taken; -1: none. */
static int compare_op(jparse *x) {
    static const struct {
        int op, compare;
    } ops[] = {{JOP2('=', '='), JC_EQ},
               {JOP2('!', '='), JC_NE},
               {'<', JC_LT},
               {JOP2('<', '='), JC_LE},
               {'>', JC_GT},
               {JOP2('>', '='), JC_GE}};
    jlexeme ahead;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (parse_skip_op(x, ops[i].op)) return ops[i].compare;
    if (parse_skip_name(x, "in")) return JC_IN;
    if (!parse_at_name(x, "not") || !parse_look(x, &ahead)) return -1;
    if (ahead.type != JT_NAME || !str_eq(ahead.text, STR("in"))) return -1;
    return parse_next(x) && parse_next(x) ? (int)JC_NOT_IN : -1;
}

static jnode *comparison(jparse *x) {
    jnode *first = sum(x), *n = NULL, **tail = NULL;
    for (int op; first && (op = compare_op(x)) >= 0;) {
        if (!n) {
            n = parse_node(x, JN_COMPARE);
            if (!n) return NULL;
            n->a = first;
            tail = &n->list;
        }
        jnode *operand = parse_node(x, JN_OPERAND);
        if (!operand || !(operand->a = sum(x))) return NULL;
        operand->op = (uint8_t)op;
        if (!append(n, &tail, parse_done(x, operand))) return NULL;
    }
    if (x->failed) return NULL;
    return n ? parse_done(x, n) : first;
}

static jnode *negation(jparse *x) {
    int nots = 0;
    jnode *n;
    uint32_t line = x->now.line;
    while (parse_at_name(x, "not")) {
        if (++nots > PARSE_HEIGHT)
            parse_fail(x, "an expression nests deeper than %d", PARSE_HEIGHT);
        if (!parse_next(x)) return NULL;
    }
    n = comparison(x);
    for (; n && nots > 0; nots--) {
        jnode *not = parse_node(x, JN_NOT);
        if (!not ) return NULL;
        not ->a = n;
        not ->line = line;
        n = parse_done(x, not );
    }
    return n;
}

static jnode *conjunction(jparse *x) {
    jnode *n = negation(x);
    while (n && parse_at_name(x, "and"))
        n = parse_next(x) ? binary(x, JN_AND, 0, n, negation(x)) : NULL;
    return n;
}

static jnode *disjunction(jparse *x) {
    jnode *n = conjunction(x);
    while (n && parse_at_name(x, "or"))
        n = parse_next(x) ? binary(x, JN_OR, 0, n, conjunction(x)) : NULL;
    return n;
}

jnode *parse_expression(jparse *x, bool with_if) {
    if (x->depth >= PARSE_DEPTH) {
        parse_fail(x, "expressions nest deeper than %d", PARSE_DEPTH);
        return NULL;
    }
    x->depth++;
    jnode *n = disjunction(x);
    while (n && with_if && parse_at_name(x, "if")) {
        jnode *cond = parse_node(x, JN_COND);
        if (!cond || !parse_next(x)) return NULL;
        x->soft++;
        cond->a = n;
        cond->b = disjunction(x);
        if (!cond->b) return NULL;
        if (parse_at_name(x, "else") && (!parse_next(x) || !(cond->c = parse_expression(x, true))))
            return NULL;
        x->soft--;
        n = parse_done(x, cond);
    }
    x->depth--;
    return n;
}

static bool at_tuple_end(const jparse *x) {
    return x->now.type == JT_VAR_END || x->now.type == JT_BLOCK_END || parse_at_op(x, ')');
}

static jnode *tuple_of(jparse *x, bool simple, bool with_if, bool in_parentheses, bool namespaces) {
    jnode *first = NULL, *n = NULL, **tail = NULL;
    for (;;) {
        if (first && !parse_expect_op(x, ',')) return NULL;
        if (at_tuple_end(x)) break;
        jnode *one = simple ? primary(x, namespaces) : parse_expression(x, with_if);
        if (!one) return NULL;
        if (n) append(n, &tail, one);
        if (!first) first = one;
        if (!parse_at_op(x, ',')) break;
        if (n) continue;
        n = parse_node(x, JN_TUPLE);
        if (!n) return NULL;
        tail = &n->list;
        append(n, &tail, first);
    }
    if (n) return parse_done(x, n);
    if (first) return first;
    char shown[64];
    if (!in_parentheses) {
        parse_fail(x, "Expected an expression, got '%s'", jlexeme_show(&x->now, shown));
        return NULL;
    }
    return parse_done(x, parse_node(x, JN_TUPLE));
}

jnode *parse_tuple(jparse *x, bool with_if, bool in_parentheses) {
    return tuple_of(x, false, with_if, in_parentheses, false);
}

static bool can_assign(const jnode *n, int depth) {
    if (n->kind == JN_NAME || n->kind == JN_NSREF) return true;
    if (n->kind != JN_TUPLE || depth == 0) return false;
    for (const jnode *i = n->list; i; i = i->next)
        if (!can_assign(i, depth - 1)) return false;
    return true;
}

jnode *parse_target(jparse *x, bool namespaces) {
    jnode *n = tuple_of(x, true, true, false, namespaces);
    if (n && !can_assign(n, PARSE_DEPTH)) {
        parse_fail(x, "can't assign to this");
        return NULL;
    }
    return n;
}
