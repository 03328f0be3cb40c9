/* Statements: what they write, and which names they set where. */
#include "template/jinja_run.h"

/* ---- names ---- */

jscope *jrun_scope_push(R *r) {
    jscope *s = r->spare;
    if (s) r->spare = s->parent;
    else if (!(s = jinja_alloc(r, sizeof *s))) return NULL;
    s->parent = r->scope;
    s->n = 0;
    r->scope = s;
    return s;
}

void jrun_scope_pop(R *r, jscope *before) {
    jscope *s = r->scope;
    r->scope = before;
    if (!s || s == before || s->kept) return;
    s->parent = r->spare;
    r->spare = s;
}

bool jrun_set(R *r, uint32_t sym, jv v) {
    jscope *s = r->scope;
    if (!s) {
        r->global[sym] = v;
        return true;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (s->var[i].sym == sym) {
            s->var[i].value = v;
            return true;
        }
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 4;
        struct jvar *more = jinja_alloc(r, cap * sizeof *more);
        if (!more) return false;
        if (s->n) memcpy(more, s->var, s->n * sizeof *more);
        s->var = more;
        s->cap = cap;
    }
    s->var[s->n].sym = sym;
    s->var[s->n++].value = v;
    return true;
}

static bool set_namespace(R *r, const jnode *target, jv v) {
    jv of;
    jnode name = {.kind = JN_NAME, .sym = target->sym, .line = target->line};
    if (!jrun_eval(r, &name, &of)) return false;
    if (of.type != JV_NAMESPACE)
        return jinja_fail(r, "cannot assign attribute on non-namespace object");
    return jdict_set(r, of.u.dict, target->value, v);
}

bool jrun_assign(R *r, const jnode *target, jv v) {
    if (target->kind == JN_NAME) return jrun_set(r, target->sym, v);
    if (target->kind == JN_NSREF) return set_namespace(r, target, v);
    jlist *l;
    if (v.type == JV_UNDEFINED && v.u.undef) return jv_undef_fail(r, v);
    if (!jv_iterable(v))
        return jinja_fail(r, "cannot unpack non-iterable %s object", jv_type_name(v));
    if (!jv_items(r, v, &l)) return false;
    if (l->n > target->n)
        return jinja_fail(r, "too many values to unpack (expected %u)", target->n);
    if (l->n < target->n)
        return jinja_fail(r, "not enough values to unpack (expected %u, got %zu)", target->n, l->n);
    size_t i = 0;
    for (const jnode *t = target->list; t; t = t->next)
        if (!jrun_assign(r, t, l->v[i++])) return false;
    return true;
}

/* ---- text that goes into a value ---- */

/* Runs a body in names of its own and takes its text. */
static jflow captured(R *r, const jnode *list, jv *out) {
    jsb text, *before = r->out;
    jscope *scope = r->scope;
    jsb_init(&text, r);
    r->out = &text;
    jflow flow = jrun_scope_push(r) ? jrun_body(r, list) : JF_FAILED;
    jrun_scope_pop(r, scope);
    r->out = before;
    return flow != JF_FAILED && jsb_done(&text, out) ? flow : JF_FAILED;
}

static jflow flow_of(bool ok) {
    return ok ? JF_ON : JF_FAILED;
}

static jflow set_block(R *r, const jnode *n) {
    jv v;
    jflow flow = captured(r, n->list, &v);
    if (flow != JF_ON) return flow;
    if (n->b && !jrun_filter_chain(r, n->b, v, &v)) return JF_FAILED;
    return flow_of(jrun_assign(r, n->a, v));
}

static jflow filter_block(R *r, const jnode *n) {
    jv v;
    jflow flow = captured(r, n->list, &v);
    if (flow != JF_ON) return flow;
    if (!jrun_filter_chain(r, n->a, v, &v)) return JF_FAILED;
    if (v.type != JV_STR) { /* as in Jinja2, where the pieces of the output are joined */
        jinja_fail(r, "expected str instance, %s found", jv_type_name(v));
        return JF_FAILED;
    }
    return flow_of(jsb_str(r->out, v.u.s));
}

/* ---- macros ---- */

static jmacro *macro_new(R *r, const jnode *n) {
    jmacro *m = jinja_alloc(r, sizeof *m);
    if (!m) return NULL;
    *m = (jmacro){.node = n, .scope = r->scope, .name = r->t->name[n->sym]};
    for (jscope *s = r->scope; s && !s->kept; s = s->parent) s->kept = true;
    return m;
}

static bool has_keyword(const jargs *a, str name, jv *out) {
    for (size_t i = 0; i < a->n_kw; i++)
        if (str_eq(jstr_str(a->kw[i].name), name)) {
            *out = a->kw[i].value;
            return true;
        }
    return false;
}

/* Sets the macro's parameters; taken counts the keywords that were used. */
static bool macro_params(R *r, const jmacro *m, const jargs *a, size_t *taken) {
    size_t i = 0;
    for (const jnode *p = m->node->list2; p; p = p->next, i++) {
        jv v;
        str name = r->t->name[p->sym];
        if (i < a->n) {
            v = a->pos[i];
        } else if (has_keyword(a, name, &v)) {
            ++*taken;
        } else if (p->a) {
            if (!jrun_eval(r, p->a, &v)) return false;
        } else {
            jv called;
            if (!jv_str(r, name, false, &called) || !jv_undef_named(r, NULL, called, &v))
                return false;
        }
        if (!jrun_set(r, p->sym, v)) return false;
    }
    return true;
}

static bool is_param(R *r, const jmacro *m, size_t given, str name) {
    size_t i = 0;
    for (const jnode *p = m->node->list2; p; p = p->next, i++)
        if (i >= given && str_eq(r->t->name[p->sym], name)) return true;
    return false;
}

/* varargs, kwargs and caller, where the macro's body asks for them. */
static bool macro_extras(R *r, const jmacro *m, const jargs *a, size_t taken) {
    jv list, dict, caller;
    unsigned uses = m->node->op, n = m->node->n;
    bool has_caller = has_keyword(a, STR("caller"), &caller) &&
                      !is_param(r, m, a->n, STR("caller"));
    if ((uses & JM_CALLER) && !is_param(r, m, 0, STR("caller"))) {
        if (has_caller) taken++;
        else if (!jv_undef_hint(r, "No caller defined", &caller)) return false;
        if (!jrun_set(r, JS_CALLER, caller)) return false;
    }
    if (uses & JM_KWARGS) {
        if (!jv_dict(r, &dict)) return false;
        for (size_t i = 0; i < a->n_kw; i++) {
            str name = jstr_str(a->kw[i].name);
            if (is_param(r, m, a->n, name) || ((uses & JM_CALLER) && str_eq(name, STR("caller"))))
                continue;
            if (!jdict_set(r, dict.u.dict, JV_OF(JV_STR, s, a->kw[i].name), a->kw[i].value))
                return false;
        }
        if (!jrun_set(r, JS_KWARGS, dict)) return false;
    } else if (taken < a->n_kw) {
        const jstr *s = a->kw[0].name;
        for (size_t i = 0; i < a->n_kw; i++)
            if (!is_param(r, m, a->n, jstr_str(a->kw[i].name))) s = a->kw[i].name;
        return jinja_fail(r, "macro '%.*s' takes no keyword argument '%.*s'", STR_ARG(m->name),
                          (int)(s->n < 60 ? s->n : 60), s->p);
    }
    if (!(uses & JM_VARARGS)) {
        return a->n <= n || jinja_fail(r, "macro '%.*s' takes not more than %u argument(s)",
                                       STR_ARG(m->name), n);
    }
    if (!jv_list(r, JL_TUPLE, a->n > n ? a->n - n : 0, &list)) return false;
    for (size_t i = n; i < a->n; i++)
        if (!jlist_push(r, list.u.list, a->pos[i])) return false;
    return jrun_set(r, JS_VARARGS, list);
}

bool jmacro_call(R *r, const jmacro *m, const jargs *a, jv *out) {
    jscope *before = r->scope;
    jsb text, *outside = r->out;
    size_t taken = 0;
    if (!jinja_enter(r)) return false;
    jsb_init(&text, r);
    r->out = &text;
    r->scope = m->scope;
    bool ok = jrun_scope_push(r) && macro_params(r, m, a, &taken) && macro_extras(r, m, a, taken) &&
              jrun_body(r, m->node->list) != JF_FAILED;
    jrun_scope_pop(r, before);
    r->out = outside;
    jinja_leave(r);
    return ok && jsb_done(&text, out);
}

bool jmacro_attr(R *r, const jmacro *m, str name, jv *out) {
    if (str_eq(name, STR("name"))) return jv_str(r, m->name, false, out);
    if (str_eq(name, STR("catch_kwargs"))) *out = jv_bool(m->node->op & JM_KWARGS);
    if (str_eq(name, STR("catch_varargs"))) *out = jv_bool(m->node->op & JM_VARARGS);
    if (str_eq(name, STR("caller"))) *out = jv_bool(m->node->op & JM_CALLER);
    if (!str_eq(name, STR("arguments"))) return true;
    if (!jv_list(r, JL_TUPLE, m->node->n, out)) return false;
    for (const jnode *p = m->node->list2; p; p = p->next) {
        jv v;
        if (!jv_str(r, r->t->name[p->sym], false, &v) || !jlist_push(r, out->u.list, v))
            return false;
    }
    return true;
}

bool jmacro_put_name(jsb *b, const jmacro *m) {
    if (m->node->sym == JS_CALLER) return jsb_lit(b, "anonymous"); /* the body of a call block */
    return jsb_put(b, m->name.p, m->name.n, false);
}

static jflow call_block(R *r, const jnode *n) {
    jv callee, v;
    jargs a;
    jmacro *m = macro_new(r, n->b);
    jv caller = JV_OF(JV_MACRO, macro, m);
    const jnode *c = n->a;
    if (!m || !jrun_eval(r, c->a, &callee) || !jrun_args(r, c, &a)) return JF_FAILED;
    jkeyword *kw = jinja_alloc(r, (a.n_kw + 1) * sizeof *kw);
    jstr *name = kw ? jinja_alloc(r, sizeof *name) : NULL;
    if (!name) return JF_FAILED;
    *name = (jstr){.p = "caller", .n = 6};
    if (a.n_kw) memcpy(kw, a.kw, a.n_kw * sizeof *kw);
    kw[a.n_kw] = (jkeyword){name, caller};
    a.kw = kw;
    a.n_kw++;
    return flow_of(jinja_call(r, callee, &a, &v) && jsb_value(r->out, v));
}

/* ---- loops ---- */

/* The items for which the condition holds. */
static bool filtered(R *r, const jnode *n, jlist *items, jlist **out) {
    jv list, v;
    bool ok = jv_list(r, JL_LIST, 0, &list);
    jscope *before = r->scope;
    for (size_t i = 0; ok && i < items->n; i++) {
        bool yes = false;
        ok = jrun_scope_push(r) && jrun_assign(r, n->a, items->v[i]) && jrun_eval(r, n->c, &v) &&
             jv_truth(r, v, &yes) && (!yes || jlist_push(r, list.u.list, items->v[i]));
        jrun_scope_pop(r, before);
    }
    *out = ok ? list.u.list : NULL;
    return ok;
}

/* whole: a turn came to its end, so that no else is due. */
static jflow loop_turns(R *r, jloop *loop, bool *whole) {
    const jnode *n = loop->node;
    jscope *before = r->scope;
    jflow flow = JF_ON;
    for (loop->at = 0; flow != JF_FAILED && loop->at < loop->items->n; loop->at++) {
        if (!jrun_scope_push(r) || !jinja_spend(r, 2) ||
            !jrun_set(r, JS_LOOP, JV_OF(JV_LOOP, loop, loop)) ||
            !jrun_assign(r, n->a, loop->items->v[loop->at]))
            flow = JF_FAILED;
        else flow = jrun_body(r, n->list);
        jrun_scope_pop(r, before);
        *whole |= flow == JF_ON;
        if (flow == JF_BREAK) break;
    }
    return flow == JF_FAILED ? flow : JF_ON;
}

static jflow loop_over(R *r, const jnode *n, jscope *scope, jv over, int64_t depth0) {
    jlist *items;
    if (!jv_items(r, over, &items) || (n->c && !filtered(r, n, items, &items))) return JF_FAILED;
    jloop *loop = jinja_alloc(r, sizeof *loop);
    jlist *own = loop ? jinja_alloc(r, sizeof *own) : NULL;
    if (!own) return JF_FAILED;
    *own = *items; /* what is appended meanwhile is not seen: no endless loops */
    *loop = (jloop){.node = n, .scope = scope, .items = own, .depth0 = depth0};
    bool whole = false;
    jflow flow = loop_turns(r, loop, &whole);
    if (whole || flow == JF_FAILED || !n->list2) return flow;
    jscope *before = r->scope;
    flow = jrun_scope_push(r) ? jrun_body(r, n->list2) : JF_FAILED;
    jrun_scope_pop(r, before);
    return flow;
}

static jflow for_loop(R *r, const jnode *n) {
    jv over;
    return jrun_eval(r, n->b, &over) ? loop_over(r, n, r->scope, over, 0) : JF_FAILED;
}

/* loop(items) of a recursive loop: the text of the loop over these. */
bool jloop_call(R *r, jloop *loop, const jargs *a, jv *out) {
    if (!loop->node->op)
        return jinja_fail(r, "The loop must have the 'recursive' marker to be called recursively.");
    if (a->n != 1 || a->n_kw) return jinja_fail(r, "loop() takes one argument");
    jscope *before = r->scope;
    jsb text, *outside = r->out;
    if (!jinja_enter(r)) return false;
    jsb_init(&text, r);
    r->out = &text;
    r->scope = loop->scope;
    jflow flow = loop_over(r, loop->node, loop->scope, a->pos[0], loop->depth0 + 1);
    r->scope = before;
    r->out = outside;
    jinja_leave(r);
    return flow != JF_FAILED && jsb_done(&text, out);
}

static bool loop_cycle(R *r, jv self, const jargs *a, jv *out) {
    if (a->n == 0) return jinja_fail(r, "no items for cycling given");
    *out = a->pos[self.u.loop->at % a->n];
    return true;
}

static bool loop_changed(R *r, jv self, const jargs *a, jv *out) {
    jv now;
    bool same = false;
    if (!jv_list(r, JL_TUPLE, a->n, &now)) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jlist_push(r, now.u.list, a->pos[i])) return false;
    jloop *l = self.u.loop;
    if (l->changed.type != JV_MISSING && !jv_equal(r, l->changed, now, &same)) return false;
    if (!same) l->changed = now;
    *out = jv_bool(!same);
    return true;
}

static bool loop_method(R *r, jloop *loop, const char *name,
                        bool (*fn)(R *r, jv self, const jargs *a, jv *out), jv *out) {
    jfunc *f = jinja_alloc(r, sizeof *f);
    if (!f) return false;
    *f = (jfunc){.name = name, .call = fn, .self = JV_OF(JV_LOOP, loop, loop)};
    *out = JV_OF(JV_FUNC, func, f);
    return true;
}

bool jloop_attr(R *r, jloop *l, str name, jv *out) {
    int64_t at = (int64_t)l->at, n = (int64_t)l->items->n;
    const struct {
        const char *name;
        jv value;
    } plain[] = {
        {"index", jv_int(at + 1)},     {"index0", jv_int(at)},
        {"revindex", jv_int(n - at)},  {"revindex0", jv_int(n - at - 1)},
        {"first", jv_bool(at == 0)},   {"last", jv_bool(at + 1 >= n)},
        {"length", jv_int(n)},         {"depth", jv_int(l->depth0 + 1)},
        {"depth0", jv_int(l->depth0)},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (str_eq(name, str_of(plain[i].name))) {
            *out = plain[i].value;
            return true;
        }
    if (str_eq(name, STR("previtem"))) {
        if (at == 0) return jv_undef_hint(r, "there is no previous item", out);
        *out = l->items->v[at - 1];
    } else if (str_eq(name, STR("nextitem"))) {
        if (at + 1 >= n) return jv_undef_hint(r, "there is no next item", out);
        *out = l->items->v[at + 1];
    } else if (str_eq(name, STR("cycle"))) {
        return loop_method(r, l, "cycle", loop_cycle, out);
    } else if (str_eq(name, STR("changed"))) {
        return loop_method(r, l, "changed", loop_changed, out);
    }
    return true;
}

/* ---- the others ---- */

static jflow if_chain(R *r, const jnode *n) {
    for (;;) {
        jv v;
        bool yes;
        r->line = n->line;
        if (!jrun_eval(r, n->a, &v) || !jv_truth(r, v, &yes)) return JF_FAILED;
        if (yes) return jrun_body(r, n->list);
        if (!n->op) return jrun_body(r, n->list2);
        n = n->list2;
    }
}

static jflow with_block(R *r, const jnode *n) {
    jscope *before = r->scope;
    jv values;
    if (!jv_list(r, JL_LIST, 0, &values)) return JF_FAILED;
    for (const jnode *s = n->list2; s; s = s->next) { /* none of them sees another */
        jv v;
        if (!jrun_eval(r, s->b, &v) || !jlist_push(r, values.u.list, v)) return JF_FAILED;
    }
    if (!jrun_scope_push(r)) return JF_FAILED;
    jflow flow = JF_ON;
    size_t i = 0;
    for (const jnode *s = n->list2; s && flow == JF_ON; s = s->next)
        flow = flow_of(jrun_assign(r, s->a, values.u.list->v[i++]));
    if (flow == JF_ON) flow = jrun_body(r, n->list);
    jrun_scope_pop(r, before);
    return flow;
}

static jflow scope_block(R *r, const jnode *n) {
    jscope *before = r->scope;
    jflow flow = jrun_scope_push(r) ? jrun_body(r, n->list) : JF_FAILED;
    jrun_scope_pop(r, before);
    return flow;
}

static jflow set(R *r, const jnode *n) {
    jv v;
    return flow_of(jrun_eval(r, n->b, &v) && jrun_assign(r, n->a, v));
}

static jflow define(R *r, const jnode *n) {
    jmacro *m = macro_new(r, n);
    return flow_of(m && jrun_set(r, n->sym, JV_OF(JV_MACRO, macro, m)));
}

static jflow output(R *r, const jnode *n) {
    jv v;
    return flow_of(jrun_eval(r, n->a, &v) && jsb_value(r->out, v));
}

static jflow exec(R *r, const jnode *n) {
    switch ((jkind)n->kind) {
    case JN_TEXT: return flow_of(jsb_str(r->out, n->value.u.s));
    case JN_OUTPUT: return output(r, n);
    case JN_IF: return if_chain(r, n);
    case JN_FOR: return for_loop(r, n);
    case JN_SET: return set(r, n);
    case JN_SET_BLOCK: return set_block(r, n);
    case JN_MACRO: return define(r, n);
    case JN_CALL_BLOCK: return call_block(r, n);
    case JN_FILTER_BLOCK: return filter_block(r, n);
    case JN_WITH: return with_block(r, n);
    case JN_SCOPE: return scope_block(r, n);
    case JN_BREAK: return JF_BREAK;
    case JN_CONTINUE: return JF_CONTINUE;
    case JN_NO_LOADER: jinja_fail(r, "there is no other template to read"); return JF_FAILED;
    default: jinja_fail(r, "this is no statement"); return JF_FAILED;
    }
}

jflow jrun_body(R *r, const jnode *list) {
    jflow flow = JF_ON;
    if (!jinja_enter(r)) return JF_FAILED;
    for (const jnode *n = list; n && flow == JF_ON; n = n->next) {
        r->line = n->line;
        flow = jinja_spend(r, 1) ? exec(r, n) : JF_FAILED;
    }
    jinja_leave(r);
    return r->failed ? JF_FAILED : flow;
}
