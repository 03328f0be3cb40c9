/* The value of an expression. */
#include "template/jinja_run.h"

static bool name(R *r, const jnode *n, jv *out) {
    for (const jscope *s = r->scope; s; s = s->parent)
        for (uint32_t i = s->n; i-- > 0;)
            if (s->var[i].sym == n->sym) {
                *out = s->var[i].value;
                return true;
            }
    *out = r->global[n->sym];
    if (out->type != JV_MISSING) return true;
    jv called;
    return jv_str(r, r->t->name[n->sym], false, &called) && jv_undef_named(r, NULL, called, out);
}

static bool sequence(R *r, const jnode *n, jlist_kind kind, jv *out) {
    if (!jv_list(r, kind, n->n, out)) return false;
    for (const jnode *i = n->list; i; i = i->next) {
        jv v;
        if (!jrun_eval(r, i, &v) || !jlist_push(r, out->u.list, v)) return false;
    }
    return true;
}

static bool dict(R *r, const jnode *n, jv *out) {
    if (!jv_dict(r, out)) return false;
    for (const jnode *i = n->list; i; i = i->next->next) {
        jv key, value;
        if (!jrun_eval(r, i, &key) || !jrun_eval(r, i->next, &value) ||
            !jdict_set(r, out->u.dict, key, value))
            return false;
    }
    return true;
}

static bool item(R *r, const jnode *n, jv *out) {
    jv of, key;
    if (!jrun_eval(r, n->a, &of)) return false;
    if (n->b->kind != JN_SLICE) return jrun_eval(r, n->b, &key) && jv_item(r, of, key, out);
    jv bound[3] = {{0}};
    int k = 0;
    for (const jnode *i = n->b->list; i; i = i->next, k++)
        if (i->kind != JN_ABSENT && !jrun_eval(r, i, &bound[k])) return false;
    return jv_slice(r, of, bound[0], bound[1], bound[2], out);
}

/* ---- calls ---- */

static bool push_keyword(R *r, jargs *a, size_t *cap, jkeyword k) {
    if (a->n_kw == *cap) {
        size_t more = *cap ? 2 * *cap : 4;
        jkeyword *kw = jinja_alloc(r, more * sizeof *kw);
        if (!kw) return false;
        if (a->n_kw) memcpy(kw, a->kw, a->n_kw * sizeof *kw);
        a->kw = kw;
        *cap = more;
    }
    for (size_t i = 0; i < a->n_kw; i++)
        if (str_eq(jstr_str(a->kw[i].name), jstr_str(k.name)))
            return jinja_fail(r, "got multiple values for keyword argument '%.*s'",
                              (int)(k.name->n < 60 ? k.name->n : 60), k.name->p);
    a->kw[a->n_kw++] = k;
    return jinja_spend(r, a->n_kw);
}

static bool spread_dict(R *r, jv v, jargs *a, size_t *cap) {
    if (v.type != JV_DICT)
        return jinja_fail(r, "argument after ** must be a mapping, not %s", jv_type_name(v));
    for (size_t i = 0; i < v.u.dict->n; i++) {
        const jpair *p = &v.u.dict->pair[i];
        if (p->key.type != JV_STR) return jinja_fail(r, "keywords must be strings");
        if (!push_keyword(r, a, cap, (jkeyword){p->key.u.s, p->value})) return false;
    }
    return true;
}

bool jrun_args(R *r, const jnode *call, jargs *a) {
    *a = (jargs){0};
    if (!call->list && !call->list2) return true;
    jv list, v;
    size_t cap = 0;
    if (!jv_list(r, JL_LIST, call->n, &list)) return false;
    for (const jnode *i = call->list; i; i = i->next) {
        if (!jrun_eval(r, i->kind == JN_SPREAD ? i->a : i, &v)) return false;
        if (i->kind != JN_SPREAD) {
            if (!jlist_push(r, list.u.list, v)) return false;
            continue;
        }
        jlist *more;
        if (!jv_items(r, v, &more)) return false;
        for (size_t k = 0; k < more->n; k++)
            if (!jlist_push(r, list.u.list, more->v[k])) return false;
    }
    a->pos = list.u.list->v;
    a->n = list.u.list->n;
    for (const jnode *i = call->list2; i; i = i->next) {
        if (!jrun_eval(r, i->a, &v)) return false;
        if (i->kind == JN_SPREAD_DICT ? !spread_dict(r, v, a, &cap)
                                      : !push_keyword(r, a, &cap, (jkeyword){i->value.u.s, v}))
            return false;
    }
    return true;
}

static bool call(R *r, const jnode *n, jv *out) {
    jv callee;
    jargs a;
    return jrun_eval(r, n->a, &callee) && jrun_args(r, n, &a) && jinja_call(r, callee, &a, out);
}

static bool filter(R *r, const jnode *n, jv in, jv *out) {
    jargs a;
    r->line = n->line;
    if (!n->u.filter) {
        const jstr *s = n->value.u.s;
        return jinja_fail(r, "No filter named '%.*s'.", (int)(s->n < 60 ? s->n : 60), s->p);
    }
    return jrun_args(r, n, &a) && jfilter_apply(r, n->u.filter, in, &a, out);
}

bool jrun_filter_chain(R *r, const jnode *n, jv in, jv *out) {
    if (!jinja_enter(r)) return false;
    bool ok = (!n->a || jrun_filter_chain(r, n->a, in, &in)) && filter(r, n, in, out);
    jinja_leave(r);
    return ok;
}

static bool filtered(R *r, const jnode *n, jv *out) {
    jv in;
    return jrun_eval(r, n->a, &in) && filter(r, n, in, out);
}

static bool test(R *r, const jnode *n, jv *out) {
    jargs a;
    jv in;
    bool yes = false;
    if (!jrun_eval(r, n->a, &in)) return false;
    if (!n->u.test) {
        const jstr *s = n->value.u.s;
        return jinja_fail(r, "No test named '%.*s'.", (int)(s->n < 60 ? s->n : 60), s->p);
    }
    if (!jrun_args(r, n, &a) || !jtest_apply(r, n->u.test, in, &a, &yes)) return false;
    *out = jv_bool(yes);
    return true;
}

/* ---- operators ---- */

static bool compare_once(R *r, int op, jv a, jv b, bool *out) {
    bool ok = true, less = false, same = false;
    switch ((jcompare)op) {
    case JC_EQ: return jv_equal(r, a, b, out);
    case JC_NE: ok = jv_equal(r, a, b, out); break;
    case JC_LT: return jv_less(r, a, b, "<", out);
    case JC_GT: return jv_less(r, b, a, ">", out);
    case JC_LE: ok = jv_less(r, a, b, "<=", &less); break;
    case JC_GE: ok = jv_less(r, b, a, ">=", &less); break;
    case JC_IN: return jv_contains(r, a, b, out);
    case JC_NOT_IN: ok = jv_contains(r, a, b, out); break;
    }
    if (op == JC_LE || op == JC_GE) {
        ok = ok && (less || jv_equal(r, a, b, &same));
        *out = less || same;
        return ok;
    }
    *out = !*out;
    return ok;
}

static bool comparison(R *r, const jnode *n, jv *out) {
    jv a, b;
    bool yes = true;
    if (!jrun_eval(r, n->a, &a)) return false;
    for (const jnode *i = n->list; i && yes; i = i->next, a = b)
        if (!jrun_eval(r, i->a, &b) || !compare_once(r, i->op, a, b, &yes)) return false;
    *out = jv_bool(yes);
    return true;
}

static bool concat(R *r, const jnode *n, jv *out) {
    jsb b;
    jsb_init(&b, r);
    for (const jnode *i = n->list; i; i = i->next) {
        jv v;
        if (!jrun_eval(r, i, &v)) return false;
        jsb_value(&b, v);
    }
    return jsb_done(&b, out);
}

static bool logic(R *r, const jnode *n, jv *out) {
    bool yes;
    if (!jrun_eval(r, n->a, out)) return false;
    if (n->kind == JN_NOT) {
        if (!jv_truth(r, *out, &yes)) return false;
        *out = jv_bool(!yes);
        return true;
    }
    return jv_truth(r, *out, &yes) && (yes == (n->kind == JN_OR) || jrun_eval(r, n->b, out));
}

static bool condition(R *r, const jnode *n, jv *out) {
    jv v;
    bool yes;
    if (!jrun_eval(r, n->b, &v) || !jv_truth(r, v, &yes)) return false;
    if (yes) return jrun_eval(r, n->a, out);
    if (n->c) return jrun_eval(r, n->c, out);
    return jv_undef_hint(r,
                         "the inline if-expression evaluated to false and no else section was "
                         "defined.",
                         out);
}

static bool arithmetic(R *r, const jnode *n, jv *out) {
    jv a, b;
    if (!jrun_eval(r, n->a, &a)) return false;
    if (n->kind != JN_BINARY) return jv_negate(r, a, n->kind == JN_NEG, out);
    return jrun_eval(r, n->b, &b) && jv_binary(r, (jop)n->op, a, b, out);
}

static bool attribute(R *r, const jnode *n, jv *out) {
    jv of;
    if (!jrun_eval(r, n->a, &of)) return false;
    r->line = n->line;
    return jv_attr(r, of, n->value, out);
}

static bool eval_kind(R *r, const jnode *n, jv *out) {
    switch ((jkind)n->kind) {
    case JN_TUPLE: return sequence(r, n, JL_TUPLE, out);
    case JN_LIST: return sequence(r, n, JL_LIST, out);
    case JN_DICT: return dict(r, n, out);
    case JN_ATTR: return attribute(r, n, out);
    case JN_ITEM: return item(r, n, out);
    case JN_CALL: return call(r, n, out);
    case JN_FILTER: return filtered(r, n, out);
    case JN_TEST: return test(r, n, out);
    case JN_NEG:
    case JN_POS:
    case JN_BINARY: return arithmetic(r, n, out);
    case JN_CONCAT: return concat(r, n, out);
    case JN_COMPARE: return comparison(r, n, out);
    case JN_NOT:
    case JN_AND:
    case JN_OR: return logic(r, n, out);
    case JN_COND: return condition(r, n, out);
    default: return jinja_fail(r, "this is no expression");
    }
}

bool jrun_eval(R *r, const jnode *n, jv *out) {
    if (!jinja_spend(r, 1)) return false;
    if (n->kind == JN_CONST) {
        *out = n->value;
        return true;
    }
    if (n->kind == JN_NAME) return name(r, n, out);
    if (!jinja_enter(r)) return false;
    r->line = n->line;
    bool ok = eval_kind(r, n, out);
    jinja_leave(r);
    return ok && !r->failed;
}
