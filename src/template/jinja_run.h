/* One rendering of a template: its budgets, its variables, where it is. One thread. */
#ifndef HEARTH_TEMPLATE_JINJA_RUN_H
#define HEARTH_TEMPLATE_JINJA_RUN_H

#include "template/jinja_tree.h"

/* Names that belong together: a loop's turn, a macro's call. The outermost names lie in
 * R.global. */
typedef struct jscope jscope;
struct jscope {
    jscope *parent;
    struct jvar {
        uint32_t sym;
        jv value;
    } * var;
    uint32_t n, cap;
    bool kept; /* a macro was made here and may look back at it */
};

struct jloop {
    const jnode *node;
    jscope *scope; /* outside the loop */
    jlist *items;
    size_t at; /* index of the present one */
    int64_t depth0;
    jv changed; /* what loop.changed was last given; JV_MISSING: nothing yet */
};

struct jmacro {
    const jnode *node;
    jscope *scope; /* where it was made */
    str name;
};

struct jinja_run {
    const jinja *t;
    const jinja_how *how;
    arena *memory;
    err *e;
    jscope *scope, *spare; /* spare: to be used again, chained by parent */
    jv *global;            /* [t->n_names] */
    jsb *out;              /* where text goes at present */
    size_t steps;          /* left */
    int depth;             /* of evaluation */
    uint32_t line;
    uint64_t deadline_ns;
    size_t until_clock; /* steps before the clock is read again */
    struct tm now;
    bool failed;
};

typedef enum jflow { JF_ON, JF_BREAK, JF_CONTINUE, JF_FAILED } jflow;

/* Budgets, memory and the clock of a rendering; t NULL: without names. r->memory is the
 * caller's. */
bool jinja_run_begin(R *r, const jinja *t, const jinja_how *how, err *e); /* jinja_run.c */
bool jrun_eval(R *r, const jnode *n, jv *out);                            /* jinja_eval.c */
bool jrun_args(R *r, const jnode *call, jargs *a);
/* A chain of filters whose innermost has no expression: that one gets `in`. */
bool jrun_filter_chain(R *r, const jnode *n, jv in, jv *out);
jflow jrun_body(R *r, const jnode *list); /* jinja_exec.c */
bool jrun_assign(R *r, const jnode *target, jv v);
bool jrun_set(R *r, uint32_t sym, jv v);
jscope *jrun_scope_push(R *r);
void jrun_scope_pop(R *r, jscope *before);
bool jmacro_call(R *r, const jmacro *m, const jargs *a, jv *out);
bool jloop_call(R *r, jloop *loop, const jargs *a, jv *out);
bool jloop_attr(R *r, jloop *loop, str name, jv *out);
bool jmacro_attr(R *r, const jmacro *m, str name, jv *out);
bool jmacro_put_name(jsb *b, const jmacro *m);

#endif
