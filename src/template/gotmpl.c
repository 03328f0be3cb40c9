/* Running a Go template; see gotmpl.h. Values, budgets and origins are those of the Jinja
 * interpreter. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "template/gotmpl_tree.h"
#include "template/jinja_run.h"

enum { VARS_MOST = 256 };

typedef struct grun {
    R r;
    const gotmpl *t;
    struct {
        str name;
        jv value;
    } var[VARS_MOST];
    size_t n_vars;
    size_t first_var; /* of the present template */
    jsb *out;
    bool to_answer, answered; /* stop after what reads .Response; it came */
} grun;

static bool eval_pipe(grun *x, const gnode *n, jv dot, jv *out);

/* ---- values ---- */

static bool truth(jv v) {
    bool yes = false;
    return v.type != JV_MISSING && jv_truth(NULL, v, &yes) && yes;
}

/* "ToolCalls" as JSON spells it: "tool_calls". */
static str json_name(str name, char dst[128]) {
    size_t n = 0;
    if (name.n > 60) return name;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool upper = c >= 'A' && c <= 'Z';
        bool after_lower = i > 0 && !(name.p[i - 1] >= 'A' && name.p[i - 1] <= 'Z');
        if (upper && after_lower) dst[n++] = '_';
        dst[n++] = upper ? (char)(c | 32) : c;
    }
    return (str){dst, n};
}

static bool get_field(grun *x, jv of, str name, jv *out) {
    char spelled[128];
    *out = jv_none();
    if (of.type == JV_NONE) return true;
    if (of.type != JV_DICT)
        return jinja_fail(&x->r, "can't evaluate field %.*s in type %s",
                          (int)(name.n < 60 ? name.n : 60), name.p, jv_type_name(of));
    const jv *v = jdict_get(of.u.dict, name);
    if (!v) v = jdict_get(of.u.dict, json_name(name, spelled));
    if (v) *out = *v;
    return jinja_spend(&x->r, 1);
}

static bool to_json(grun *x, jv v, jv *out) {
    const char *const from[] = {"<", ">", "&"}, *const to[] = {"\\u003c", "\\u003e", "\\u0026"};
    jv comma, colon, list, arg[4] = {{0}};
    if (!jv_lit(&x->r, ",", &comma) || !jv_lit(&x->r, ":", &colon) ||
        !jv_list(&x->r, JL_TUPLE, 2, &list) || !jlist_push(&x->r, list.u.list, comma) ||
        !jlist_push(&x->r, list.u.list, colon))
        return false;
    arg[2] = list;
    if (!jv_tojson(&x->r, v, arg, out)) return false;
    for (int i = 0; i < 3; i++) {
        jv a, b;
        if (!jv_lit(&x->r, from[i], &a) || !jv_lit(&x->r, to[i], &b) ||
            !jstr_replace(&x->r, out->u.s, a.u.s, b.u.s, -1, out))
            return false;
    }
    return true;
}

/* As Ollama's values print: lists and objects as JSON, nothing for what is not there. */
static bool put_value(grun *x, jsb *b, jv v) {
    jv json;
    switch (v.type) {
    case JV_NONE:
    case JV_MISSING: return true;
    case JV_BOOL: return jsb_lit(b, v.u.b ? "true" : "false");
    case JV_DICT:
    case JV_LIST: return to_json(x, v, &json) && jsb_str(b, json.u.s);
    case JV_FLOAT: {
        char text[40];
        snprintf(text, sizeof text, "%g", v.u.f);
        return jsb_lit(b, text);
    }
    default: return jsb_value(b, v);
    }
}

/* ---- functions ---- */

typedef bool gfunc(grun *x, const jv *arg, size_t n, jv *out);

static bool g_not(grun *x, const jv *arg, size_t n, jv *out) {
    (void)n, (void)x;
    *out = jv_bool(!truth(arg[0]));
    return true;
}

static bool g_eq(grun *x, const jv *arg, size_t n, jv *out) {
    bool same = false;
    for (size_t i = 1; i < n && !same; i++)
        if (!jv_equal(&x->r, arg[0], arg[i], &same)) return false;
    *out = jv_bool(same);
    return true;
}

static bool g_ne(grun *x, const jv *arg, size_t n, jv *out) {
    if (!g_eq(x, arg, n, out)) return false;
    out->u.b = !out->u.b;
    return true;
}

static bool less(grun *x, jv a, jv b, bool or_equal, jv *out) {
    bool yes, same = false;
    if (!jv_less(&x->r, a, b, "<", &yes) || (or_equal && !jv_equal(&x->r, a, b, &same)))
        return false;
    *out = jv_bool(yes || same);
    return true;
}

static bool g_lt(grun *x, const jv *arg, size_t n, jv *out) {
    (void)n;
    return less(x, arg[0], arg[1], false, out);
}
static bool g_le(grun *x, const jv *arg, size_t n, jv *out) {
    (void)n;
    return less(x, arg[0], arg[1], true, out);
}
static bool g_gt(grun *x, const jv *arg, size_t n, jv *out) {
    (void)n;
    return less(x, arg[1], arg[0], false, out);
}
static bool g_ge(grun *x, const jv *arg, size_t n, jv *out) {
    (void)n;
    return less(x, arg[1], arg[0], true, out);
}

static bool g_len(grun *x, const jv *arg, size_t n, jv *out) {
    int64_t len = 0;
    (void)n;
    if (arg[0].type == JV_STR) len = (int64_t)arg[0].u.s->n; /* bytes, as in Go */
    else if (arg[0].type != JV_NONE && !jv_length(&x->r, arg[0], &len)) return false;
    *out = jv_int(len);
    return true;
}

static bool g_index(grun *x, const jv *arg, size_t n, jv *out) {
    *out = arg[0];
    for (size_t i = 1; i < n; i++) {
        const jv *v = NULL;
        if (out->type == JV_DICT) {
            if (!jdict_find(&x->r, out->u.dict, arg[i], &v)) return false;
            *out = v ? *v : jv_none();
            continue;
        }
        if (out->type != JV_LIST || arg[i].type != JV_INT || arg[i].u.i < 0 ||
            (uint64_t)arg[i].u.i >= out->u.list->n)
            return jinja_fail(&x->r, "index out of range");
        *out = out->u.list->v[arg[i].u.i];
    }
    return true;
}

static bool g_slice(grun *x, const jv *arg, size_t n, jv *out) {
    int64_t len = 0, at[2];
    jv count;
    if (!g_len(x, arg, 1, &count)) return false;
    len = count.u.i;
    at[0] = 0;
    at[1] = len;
    for (size_t i = 1; i < n && i < 3; i++) {
        if (arg[i].type != JV_INT || arg[i].u.i < 0 || arg[i].u.i > len)
            return jinja_fail(&x->r, "slice: index out of range");
        at[i - 1] = arg[i].u.i;
    }
    if (at[0] > at[1]) return jinja_fail(&x->r, "slice: invalid slice index");
    if (arg[0].type == JV_STR) return jv_sub(&x->r, arg[0].u.s, (size_t)at[0], (size_t)at[1], out);
    if (arg[0].type == JV_NONE) return jv_list(&x->r, JL_LIST, 0, out);
    return jv_slice(&x->r, arg[0], jv_int(at[0]), jv_int(at[1]), (jv){0}, out);
}

static bool g_json(grun *x, const jv *arg, size_t n, jv *out) {
    (void)n;
    return to_json(x, arg[0], out);
}

static bool print(grun *x, const jv *arg, size_t n, bool line, jv *out) {
    jsb b;
    jsb_init(&b, &x->r);
    for (size_t i = 0; i < n; i++) {
        bool words = i > 0 && arg[i].type != JV_STR && arg[i - 1].type != JV_STR;
        if (i > 0 && (line || words)) jsb_lit(&b, " ");
        if (!put_value(x, &b, arg[i])) return false;
    }
    if (line) jsb_lit(&b, "\n");
    return jsb_done(&b, out);
}

static bool g_print(grun *x, const jv *arg, size_t n, jv *out) {
    return print(x, arg, n, false, out);
}
static bool g_println(grun *x, const jv *arg, size_t n, jv *out) {
    return print(x, arg, n, true, out);
}

static bool g_printf(grun *x, const jv *arg, size_t n, jv *out) {
    jsb b;
    size_t used = 1;
    if (arg[0].type != JV_STR) return jinja_fail(&x->r, "printf needs a format");
    const jstr *f = arg[0].u.s;
    jsb_init(&b, &x->r);
    for (size_t at = 0; at < f->n; at++) {
        size_t hit = str_find(jstr_str(f), STR("%"), at);
        if (hit == (size_t)-1) hit = f->n;
        jsb_part(&b, f, at, hit);
        at = hit + 1;
        if (at >= f->n) break;
        if (f->p[at] == '%') {
            jsb_lit(&b, "%");
            continue;
        }
        if (!strchr("svdqt", f->p[at]) || !f->p[at])
            return jinja_fail(&x->r, "printf: %%%c is not known", f->p[at]);
        if (used >= n) return jinja_fail(&x->r, "printf: an argument is missing");
        jv v = arg[used++];
        if (f->p[at] == 'q' && !to_json(x, v, &v)) return false;
        if (!put_value(x, &b, v)) return false;
    }
    return jsb_done(&b, out);
}

static bool date(grun *x, int days, jv *out) {
    char text[32];
    struct tm day = x->r.now;
    day.tm_mday += days;
    day.tm_hour = 12;
    if (days) {
        time_t t = timegm(&day);
        gmtime_r(&t, &day);
    }
    strftime(text, sizeof text, "%Y-%m-%d", &day);
    return jv_str_copy(&x->r, str_of(text), false, out);
}
static bool g_today(grun *x, const jv *arg, size_t n, jv *out) {
    (void)arg, (void)n;
    return date(x, 0, out);
}
static bool g_yesterday(grun *x, const jv *arg, size_t n, jv *out) {
    (void)arg, (void)n;
    return date(x, -1, out);
}

static const struct {
    const char *name;
    gfunc *fn;
    size_t least, most;
} functions[] = {
    {"not", g_not, 1, 1},
    {"eq", g_eq, 2, 99},
    {"ne", g_ne, 2, 2},
    {"lt", g_lt, 2, 2},
    {"le", g_le, 2, 2},
    {"gt", g_gt, 2, 2},
    {"ge", g_ge, 2, 2},
    {"len", g_len, 1, 1},
    {"index", g_index, 1, 99},
    {"slice", g_slice, 1, 3},
    {"json", g_json, 1, 1},
    {"print", g_print, 0, 99},
    {"println", g_println, 0, 99},
    {"printf", g_printf, 1, 99},
    {"currentDate", g_today, 0, 1},
    {"yesterdayDate", g_yesterday, 0, 1},
};

/* ---- pipelines ---- */

/* With the fields that stand behind it. */
static bool eval_operand(grun *x, const gnode *n, jv dot, jv *out) {
    switch (n->kind) {
    case GN_CONST: *out = n->value; break;
    case GN_DOT: *out = dot; break;
    case GN_PIPE:
        if (!eval_pipe(x, n, dot, out)) return false;
        break;
    case GN_VAR: {
        size_t i = x->n_vars;
        while (i > x->first_var && !str_eq(x->var[i - 1].name, n->name)) i--;
        if (i == x->first_var)
            return jinja_fail(&x->r, "undefined variable $%.*s",
                              (int)(n->name.n < 60 ? n->name.n : 60), n->name.p);
        *out = x->var[i - 1].value;
        break;
    }
    default: return jinja_fail(&x->r, "a function stands where a value is needed");
    }
    for (const gnode *f = n->fields; f; f = f->next)
        if (!get_field(x, *out, f->name, out)) return false;
    return jinja_spend(&x->r, 1);
}

/* An argument may be a function without arguments of its own. */
static bool eval_argument(grun *x, const gnode *n, jv dot, jv *out);

/* and, or: the first that decides. */
static bool logic(grun *x, const gnode *list, bool wanted, jv dot, const jv *piped, jv *out) {
    for (const gnode *n = list; n; n = n->next) {
        if (!eval_argument(x, n, dot, out)) return false;
        if (truth(*out) == wanted) return true;
    }
    if (piped) *out = *piped;
    return true;
}

static bool call_function(grun *x, const gnode *n, jv dot, const jv *piped, jv *out) {
    jv arg[32];
    size_t k = 0;
    bool is_or = str_eq(n->name, STR("or"));
    if (is_or || str_eq(n->name, STR("and"))) {
        if (!n->next && !piped) return jinja_fail(&x->r, "and, or need arguments");
        return logic(x, n->next, is_or, dot, piped, out);
    }
    for (const gnode *i = n->next; i; i = i->next) {
        if (k + 1 >= sizeof arg / sizeof *arg) return jinja_fail(&x->r, "too many arguments");
        if (!eval_argument(x, i, dot, &arg[k++])) return false;
    }
    if (piped) arg[k++] = *piped;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!str_eq(n->name, str_of(functions[i].name))) continue;
        if (k < functions[i].least || k > functions[i].most)
            return jinja_fail(&x->r, "wrong number of arguments for %s: %zu", functions[i].name, k);
        return functions[i].fn(x, arg, k, out);
    }
    return jinja_fail(&x->r, "function \"%.*s\" is not defined",
                      (int)(n->name.n < 60 ? n->name.n : 60), n->name.p);
}

static bool eval_argument(grun *x, const gnode *n, jv dot, jv *out) {
    if (n->kind != GN_FUNC) return eval_operand(x, n, dot, out);
    gnode alone = *n;
    alone.next = NULL;
    return call_function(x, &alone, dot, NULL, out);
}

static bool set_var(grun *x, str name, jv v, bool declares) {
    for (size_t i = x->n_vars; !declares && i > x->first_var; i--)
        if (str_eq(x->var[i - 1].name, name)) {
            x->var[i - 1].value = v;
            return true;
        }
    if (!declares) return jinja_fail(&x->r, "undefined variable");
    if (x->n_vars == VARS_MOST) return jinja_fail(&x->r, "too many variables");
    x->var[x->n_vars].name = name;
    x->var[x->n_vars++].value = v;
    return true;
}

/* The value of a pipeline, without setting its variables. */
static bool pipe_value(grun *x, const gnode *n, jv dot, jv *out) {
    bool has = false;
    if (!jinja_enter(&x->r)) return false;
    x->r.line = n->line;
    bool ok = true;
    for (const gnode *c = n->list; ok && c; c = c->next) {
        jv piped = *out;
        const gnode *first = c->list;
        if (first->kind == GN_FUNC) ok = call_function(x, first, dot, has ? &piped : NULL, out);
        else if (has || first->next) ok = jinja_fail(&x->r, "a value cannot be called");
        else ok = eval_operand(x, first, dot, out);
        has = true;
    }
    jinja_leave(&x->r);
    return ok;
}

static bool eval_pipe(grun *x, const gnode *n, jv dot, jv *out) {
    *out = jv_none();
    return pipe_value(x, n, dot, out) && (n->name.n == 0 || set_var(x, n->name, *out, n->declares));
}

/* ---- statements ---- */

static jflow run(grun *x, const gnode *list, jv dot);

static jflow run_scope(grun *x, const gnode *list, jv dot) {
    size_t vars = x->n_vars;
    jflow flow = run(x, list, dot);
    x->n_vars = vars;
    return flow;
}

static bool loop_pairs(grun *x, jv over, jlist **keys, jlist **values) {
    jv k, v;
    if (over.type == JV_INT && over.u.i <= 100000) {
        if (!jv_list(&x->r, JL_LIST, 0, &v)) return false;
        for (int64_t i = 0; i < over.u.i; i++)
            if (!jlist_push(&x->r, v.u.list, jv_int(i))) return false;
        *values = v.u.list;
        *keys = NULL;
        return true;
    }
    if (over.type == JV_LIST || over.type == JV_NONE) {
        if (over.type == JV_NONE && !jv_list(&x->r, JL_LIST, 0, &over)) return false;
        *values = over.u.list;
        *keys = NULL;
        return true;
    }
    if (over.type != JV_DICT)
        return jinja_fail(&x->r, "range can't iterate over %s", jv_type_name(over));
    const jdict *d = over.u.dict;
    if (!jv_list(&x->r, JL_LIST, d->n, &k) || !jv_list(&x->r, JL_LIST, d->n, &v)) return false;
    jv *order = jinja_alloc(&x->r, (2 * d->n + 1) * sizeof *order);
    if (!order) return false;
    for (size_t i = 0; i < d->n; i++) {
        order[i] = jv_int((int64_t)i);
        order[d->n + i] = d->pair[i].key;
    }
    if (!jv_sort(&x->r, order, order + d->n, d->n, false)) return false; /* as Go: by key */
    for (size_t i = 0; i < d->n; i++)
        if (!jlist_push(&x->r, k.u.list, d->pair[order[i].u.i].key) ||
            !jlist_push(&x->r, v.u.list, d->pair[order[i].u.i].value))
            return false;
    *keys = k.u.list;
    *values = v.u.list;
    return true;
}

static jflow run_range(grun *x, const gnode *n, jv dot) {
    jv over = jv_none();
    jlist *keys = NULL, *values = NULL;
    size_t vars = x->n_vars;
    if (!pipe_value(x, n->a, dot, &over) || !loop_pairs(x, over, &keys, &values)) return JF_FAILED;
    jflow flow = JF_ON;
    for (size_t i = 0; i < values->n && flow != JF_FAILED && !x->answered; i++) {
        jv key = keys ? keys->v[i] : jv_int((int64_t)i);
        const gnode *p = n->a;
        bool two = p->name2.n > 0;
        if (two && !set_var(x, p->name, key, true)) flow = JF_FAILED;
        if (p->name.n > 0 && !set_var(x, two ? p->name2 : p->name, values->v[i], true))
            flow = JF_FAILED;
        if (flow != JF_FAILED && !jinja_spend(&x->r, 2)) flow = JF_FAILED;
        if (flow != JF_FAILED) flow = run(x, n->list, values->v[i]);
        x->n_vars = vars;
        if (flow == JF_BREAK) break;
    }
    if (flow == JF_FAILED) return flow;
    return values->n == 0 ? run_scope(x, n->list2, dot) : JF_ON;
}

static jflow run_branch(grun *x, const gnode *n, jv dot) {
    size_t vars = x->n_vars;
    jv v;
    if (!eval_pipe(x, n->a, dot, &v)) return JF_FAILED;
    jv inside = n->kind == GN_WITH && truth(v) ? v : dot;
    jflow flow = run_scope(x, truth(v) ? n->list : n->list2, inside);
    x->n_vars = vars;
    return flow;
}

static jflow run_call(grun *x, const gnode *n, jv dot) {
    jv given = jv_none();
    if (n->a && !eval_pipe(x, n->a, dot, &given)) return JF_FAILED;
    for (size_t i = 0; i < x->t->n_defines; i++) {
        if (!str_eq(x->t->define[i].name, n->name)) continue;
        size_t first = x->first_var, vars = x->n_vars;
        x->first_var = vars;
        jflow flow = set_var(x, STR(""), given, true) ? run(x, x->t->define[i].body, given)
                                                      : JF_FAILED;
        x->first_var = first;
        x->n_vars = vars;
        return flow;
    }
    jinja_fail(&x->r, "there is no template of this name");
    return JF_FAILED;
}

static jflow run_one(grun *x, const gnode *n, jv dot) {
    jv v;
    switch (n->kind) {
    case GN_TEXT: return jsb_str(x->out, n->value.u.s) ? JF_ON : JF_FAILED;
    case GN_ACTION:
        if (!eval_pipe(x, n->a, dot, &v)) return JF_FAILED;
        if (n->a->name.n == 0 && !put_value(x, x->out, v)) return JF_FAILED;
        x->answered |= x->to_answer && n->a->answers;
        return JF_ON;
    case GN_IF:
    case GN_WITH: {
        jflow flow = run_branch(x, n, dot);
        x->answered |= x->to_answer && n->a->answers;
        return flow;
    }
    case GN_RANGE: return run_range(x, n, dot);
    case GN_CALL: return run_call(x, n, dot);
    case GN_BREAK: return JF_BREAK;
    case GN_CONTINUE: return JF_CONTINUE;
    default: jinja_fail(&x->r, "this is no statement"); return JF_FAILED;
    }
}

static jflow run(grun *x, const gnode *list, jv dot) {
    jflow flow = JF_ON;
    if (!jinja_enter(&x->r)) return JF_FAILED;
    for (const gnode *n = list; n && flow == JF_ON && !x->answered; n = n->next) {
        x->r.line = n->line;
        flow = jinja_spend(&x->r, 1) ? run_one(x, n, dot) : JF_FAILED;
    }
    jinja_leave(&x->r);
    return x->r.failed || x->out->failed ? JF_FAILED : flow;
}

/* ---- a rendering ---- */

static grun *grun_new(const gotmpl *t, const jinja_how *how, jsb *text, err *e) {
    grun *x = calloc(1, sizeof *x);
    if (!x || !jinja_run_begin(&x->r, NULL, how, e)) {
        free(x);
        err_set(e, ERR_NO_FIT, "out of memory for a template");
        return NULL;
    }
    x->t = t;
    jsb_init(text, &x->r);
    x->out = text;
    return x;
}

static bool run_with(grun *x, jv dot) {
    x->n_vars = x->first_var = 0;
    return set_var(x, STR(""), dot, true) && run(x, x->t->body, dot) == JF_ON;
}

static bool grun_end(grun *x, bool ok, const jsb *text, jinja_result *out, err *e) {
    ok = ok && !text->failed && !x->r.failed;
    *out = (jinja_result){0};
    if (ok)
        *out = (jinja_result){.text = {text->p ? text->p : "", text->n},
                              .mark = text->mark,
                              .content = text->content,
                              .memory = x->r.memory};
    else arena_free(x->r.memory);
    if (!ok && !x->r.failed) err_set(e, ERR_FAILED, "the template cannot be rendered");
    free(x);
    return ok;
}

bool gotmpl_render(const gotmpl *t, const jinja_how *how, jinja_result *out, err *e) {
    jsb text;
    jv dot;
    grun *x = grun_new(t, how, &text, e);
    if (!x) return false;
    bool ok = jv_from_json(&x->r, how->vars, true, LIMIT_JSON_DEPTH, &dot) && run_with(x, dot);
    return grun_end(x, ok, &text, out, e);
}

/* ---- conversations ---- */

static bool put(grun *x, jv dict, const char *name, jv v) {
    jv key;
    return jv_lit(&x->r, name, &key) && jdict_set(&x->r, dict.u.dict, key, v);
}

static jv field_of(jv m, const char *name) {
    const jv *v = m.type == JV_DICT ? jdict_get(m.u.dict, str_of(name)) : NULL;
    return v ? *v : jv_none();
}

/* The text of a message; parts of text are one. */
static bool text_of(grun *x, jv m, jv *out) {
    jv content = field_of(m, "content");
    *out = content;
    if (content.type == JV_STR) return true;
    jsb b;
    jsb_init(&b, &x->r);
    for (size_t i = 0; content.type == JV_LIST && i < content.u.list->n; i++) {
        jv part = field_of(content.u.list->v[i], "text");
        if (part.type == JV_STR) jsb_str(&b, part.u.s);
    }
    return jsb_done(&b, out);
}

static bool common(grun *x, jv vars, jv dot) {
    jv think = field_of(vars, "think"), none;
    if (!jv_lit(&x->r, "", &none)) return false;
    jv suffix = field_of(vars, "suffix");
    return put(x, dot, "Tools", field_of(vars, "tools")) &&
           put(x, dot, "Suffix", suffix.type == JV_STR ? suffix : none) &&
           put(x, dot, "Think", jv_bool(truth(think))) &&
           put(x, dot, "ThinkLevel", think.type == JV_STR ? think : none) &&
           put(x, dot, "IsThinkSet", jv_bool(think.type != JV_NONE));
}

/* With .Messages: all at once; the system texts are joined too, for templates that want those. */
static bool run_messages(grun *x, jv vars, jlist *messages) {
    jv dot, list, system, none;
    jsb all;
    jsb_init(&all, &x->r);
    if (!jv_dict(&x->r, &dot) || !jv_list(&x->r, JL_LIST, 0, &list) || !jv_lit(&x->r, "", &none))
        return false;
    for (size_t i = 0; i < messages->n; i++) {
        jv text, m;
        if (messages->v[i].type != JV_DICT || !text_of(x, messages->v[i], &text) ||
            !jv_dict(&x->r, &m))
            return jinja_fail(&x->r, "a message is no object");
        const jdict *d = messages->v[i].u.dict;
        for (size_t k = 0; k < d->n; k++)
            if (!jdict_set(&x->r, m.u.dict, d->pair[k].key, d->pair[k].value)) return false;
        if (!put(x, m, "content", text) ||
            !put(x, m, "Thinking", field_of(messages->v[i], "reasoning_content")) ||
            !jlist_push(&x->r, list.u.list, m))
            return false;
        if (!jv_is(field_of(m, "role"), "system")) continue;
        if (all.n) jsb_lit(&all, "\n\n");
        jsb_str(&all, text.u.s);
    }
    return jsb_done(&all, &system) && put(x, dot, "Messages", list) &&
           put(x, dot, "System", system) && put(x, dot, "Response", none) && common(x, vars, dot) &&
           run_with(x, dot);
}

typedef struct triple {
    jv system, prompt, response;
} triple;

static bool run_triple(grun *x, jv vars, triple *t) {
    jv dot;
    if (!jv_dict(&x->r, &dot) || !put(x, dot, "System", t->system) ||
        !put(x, dot, "Prompt", t->prompt) || !put(x, dot, "Response", t->response) ||
        !common(x, vars, dot) || !run_with(x, dot))
        return false;
    if (!gotmpl_mentions(x->t, "Response")) jsb_str(x->out, t->response.u.s);
    return jv_lit(&x->r, "", &t->system) && jv_lit(&x->r, "", &t->prompt) &&
           jv_lit(&x->r, "", &t->response);
}

static bool run_triples(grun *x, jv vars, jlist *messages) {
    triple t;
    if (!jv_lit(&x->r, "", &t.system) || !jv_lit(&x->r, "", &t.prompt) ||
        !jv_lit(&x->r, "", &t.response))
        return false;
    for (size_t i = 0; i < messages->n; i++) {
        jv text, role = field_of(messages->v[i], "role");
        if (!text_of(x, messages->v[i], &text)) return false;
        bool answered = t.response.u.s->n > 0, asked = t.prompt.u.s->n > 0;
        if (jv_is(role, "system")) {
            if ((asked || answered) && !run_triple(x, vars, &t)) return false;
            t.system = text;
        } else if (jv_is(role, "assistant")) {
            t.response = text;
        } else {
            if ((answered || asked) && !run_triple(x, vars, &t)) return false;
            t.prompt = text;
        }
    }
    x->to_answer = true;
    return run_triple(x, vars, &t);
}

bool gotmpl_render_chat(const gotmpl *t, const jinja_how *how, jinja_result *out, err *e) {
    jsb text;
    jv vars;
    grun *x = grun_new(t, how, &text, e);
    if (!x) return false;
    bool ok = jv_from_json(&x->r, how->vars, true, LIMIT_JSON_DEPTH, &vars);
    jv messages = ok ? field_of(vars, "messages") : jv_none();
    if (ok && messages.type != JV_LIST) ok = jinja_fail(&x->r, "messages must be an array");
    ok = ok && (gotmpl_mentions(t, "Messages") ? run_messages(x, vars, messages.u.list)
                                               : run_triples(x, vars, messages.u.list));
    return grun_end(x, ok, &text, out, e);
}
