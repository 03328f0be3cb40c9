/* A rendering from begin to end, and its budgets. */
#include "template/jinja_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"

enum {
    RUN_DEPTH = 1200,         /* evaluations inside each other: a few hundred bytes of stack each */
    RUN_STEPS = 200000,       /* with no input; some 10 ms */
    RUN_STEPS_A_VALUE = 4000, /* more for each value of the input */
    RUN_MEMORY = 8 << 20,     /* with no input */
    RUN_MEMORY_A_BYTE = 96,   /* more for each byte of the input */
    RUN_CLOCK_EVERY = 20000   /* steps between two looks at the clock */
};
static const uint64_t run_time_ns = 3000000000u; /* steps end a rendering far sooner, as a rule */

/* ---- errors and budgets ---- */

bool jinja_fail(R *r, const char *fmt, ...) {
    if (r->failed) return false;
    r->failed = true;
    char what[400], shown[420];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    str_printable(str_of(what), shown, sizeof shown);
    return err_set(r->e, ERR_FAILED, "%s (line %u of the template)", shown, r->line);
}

bool jinja_raise(R *r, const jstr *message) {
    bool first = !r->failed;
    jinja_fail(r, "%.*s", (int)(message->n < 300 ? message->n : 300), message->p);
    if (first && r->e) r->e->code = ERR_USAGE;
    return false;
}

static bool over_budget(R *r, const char *what) {
    if (r->failed) return false;
    r->failed = true;
    return err_set(r->e, ERR_NO_FIT, "the template %s (line %u)", what, r->line);
}

bool jinja_spend(R *r, size_t steps) {
    if (steps > r->steps) return over_budget(r, "takes too many steps");
    r->steps -= steps;
    if (steps < r->until_clock) {
        r->until_clock -= steps;
        return true;
    }
    r->until_clock = RUN_CLOCK_EVERY;
    return clock_now_ns() < r->deadline_ns || over_budget(r, "takes too long");
}

void *jinja_alloc(R *r, size_t n) {
    void *p = r->failed ? NULL : arena_alloc(r->memory, n);
    if (!p) over_budget(r, "needs too much memory");
    return p;
}

arena *jinja_arena(R *r) {
    return r->memory;
}

bool jinja_changeable(const R *r) {
    return r->how->changeable;
}

struct tm jinja_now(const R *r) {
    return r->now;
}

bool jinja_enter(R *r) {
    if (r->depth >= RUN_DEPTH) return over_budget(r, "nests too deep");
    r->depth++;
    return !r->failed || (r->depth--, false);
}

void jinja_leave(R *r) {
    r->depth--;
}

bool jinja_call(R *r, jv callee, const jargs *a, jv *out) {
    if (!jinja_spend(r, 1)) return false;
    if (callee.type == JV_MACRO) return jmacro_call(r, callee.u.macro, a, out);
    if (callee.type == JV_LOOP) return jloop_call(r, callee.u.loop, a, out);
    if (callee.type == JV_UNDEFINED) return jv_undef_fail(r, callee);
    if (callee.type == JV_JOINER) {
        bool used = callee.u.joiner->used;
        callee.u.joiner->used = true;
        *out = callee.u.joiner->separator;
        return used || jv_lit(r, "", out);
    }
    if (callee.type != JV_FUNC)
        return jinja_fail(r, "'%s' object is not callable", jv_type_name(callee));
    const jfunc *f = callee.u.func;
    if (f->call) return f->call(r, f->self, a, out);
    jv arg[JARGS_MOST];
    return jargs_bind(r, f->name, a, f->params, f->required, arg) && f->bound(r, f->self, arg, out);
}

/* ---- rendering ---- */

/* Values in the input, and its bytes: what a rendering may cost grows with them. */
static void measure(json_t *j, int depth, size_t *values, size_t *bytes) {
    const char *key;
    json_t *item;
    size_t i;
    (*values)++;
    if (depth == 0) return;
    if (json_is_string(j)) *bytes += json_string_length(j);
    else if (json_is_array(j)) {
        json_array_foreach(j, i, item) measure(item, depth - 1, values, bytes);
    } else if (json_is_object(j)) {
        json_object_foreach(j, key, item) {
            *bytes += strlen(key);
            measure(item, depth - 1, values, bytes);
        }
    }
}

static bool set_globals(R *r) {
    const jinja *t = r->t;
    r->global = jinja_alloc(r, (t->n_names + 1) * sizeof *r->global);
    if (!r->global) return false;
    for (uint32_t i = 0; i < t->n_names; i++) {
        char name[256];
        jv *v = &r->global[i];
        if (t->name[i].n < sizeof name) {
            memcpy(name, t->name[i].p, t->name[i].n);
            name[t->name[i].n] = 0;
            json_t *j = json_object_get(r->how->vars, name);
            json_t *own = r->how->own ? json_object_get(r->how->own, name) : NULL;
            if (j || own) {
                if (!jv_from_json(r, j ? j : own, j != NULL, LIMIT_JSON_DEPTH, v)) return false;
                continue;
            }
        }
        *v = jglobal_find(t->name[i]);
    }
    return true;
}

static void set_budget(R *r) {
    size_t values = 0, bytes = 0, most = SIZE_MAX / 4;
    measure(r->how->vars, LIMIT_JSON_DEPTH, &values, &bytes);
    if (r->how->own) measure(r->how->own, LIMIT_JSON_DEPTH, &values, &bytes);
    size_t memory = RUN_MEMORY + (bytes < most / 200 ? bytes * RUN_MEMORY_A_BYTE : most / 2);
    memory += values < most / 2000 ? values * 1000 : most / 4;
    r->memory = arena_new(memory);
    r->steps = RUN_STEPS + values * RUN_STEPS_A_VALUE + bytes;
    r->until_clock = RUN_CLOCK_EVERY;
    r->deadline_ns = clock_now_ns() + run_time_ns;
    if (r->how->now) {
        r->now = *r->how->now;
    } else {
        time_t now = (time_t)clock_unix_s();
        localtime_r(&now, &r->now);
    }
}

bool jinja_run_begin(R *r, const jinja *t, const jinja_how *how, err *e) {
    *r = (R){.t = t, .how = how, .e = e, .line = 1};
    if (!json_is_object(how->vars)) return err_set(e, ERR_USAGE, "the variables are no object");
    set_budget(r);
    return r->memory || err_set(e, ERR_NO_FIT, "out of memory for a template");
}

bool jinja_render(const jinja *t, const jinja_how *how, jinja_result *out, err *e) {
    R r;
    jsb text;
    *out = (jinja_result){0};
    if (!jinja_run_begin(&r, t, how, e)) return false;
    jsb_init(&text, &r);
    r.out = &text;
    bool ok = set_globals(&r) && jrun_body(&r, t->body) == JF_ON && !text.failed && !r.failed;
    if (ok) {
        *out = (jinja_result){.text = {text.p ? text.p : "", text.n},
                              .mark = text.mark,
                              .content = text.content,
                              .memory = r.memory};
        return true;
    }
    if (!r.failed) err_set(e, ERR_FAILED, "the template cannot be rendered");
    arena_free(r.memory);
    return false;
}

void jinja_result_deinit(jinja_result *r) {
    arena_free(r->memory);
    *r = (jinja_result){0};
}
