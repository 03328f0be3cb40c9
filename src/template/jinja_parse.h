/* Reading a template into its tree: expressions in jinja_parse.c, statements in jinja_stmt.c. */
#ifndef HEARTH_TEMPLATE_JINJA_PARSE_H
#define HEARTH_TEMPLATE_JINJA_PARSE_H

#include "template/jinja_lex.h"

enum {
    PARSE_DEPTH = 120,      /* brackets and blocks inside each other */
    PARSE_HEIGHT = 600,     /* of a tree: 1+1+1+... */
    PARSE_NODES = 60000,    /* in a template; real ones have under 20,000 */
    PARSE_BYTES = 4 << 20,  /* of a template's text; real ones have under 200,000 */
    PARSE_MEMORY = 96 << 20 /* for the tree */
};

typedef struct jparse {
    jlex lex;
    jlexeme now, ahead;
    bool has_ahead, failed;
    jinja *t;
    err *e;
    int depth;
    int soft;  /* inside of if: unknown filters are an error only when met */
    int loops; /* around here, for break and continue */
    int uses;  /* JM_ bits of the macro around here */
    uint32_t n_nodes, cap_names;
    uint32_t *name_slot; /* hash of names: index + 1 */
    uint32_t name_mask;
} jparse;

bool parse_fail(jparse *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool parse_next(jparse *x);
bool parse_look(jparse *x, jlexeme *out); /* the token after the present one */
jnode *parse_node(jparse *x, jkind kind);
jnode *parse_done(jparse *x, jnode *n); /* its parts are set: measures it; NULL when too tall */
uint32_t parse_sym(jparse *x, str name);
bool parse_const_str(jparse *x, str s, jv *out);

static inline bool parse_at_op(const jparse *x, int op) {
    return x->now.type == JT_OP && x->now.op == op;
}
static inline bool parse_at_name(const jparse *x, const char *name) {
    return x->now.type == JT_NAME && str_eq(x->now.text, str_of(name));
}
bool parse_skip_op(jparse *x, int op); /* takes it if it is there */
bool parse_skip_name(jparse *x, const char *name);
bool parse_expect_op(jparse *x, int op);
bool parse_expect(jparse *x, jtoken type, const char *what);
bool parse_name(jparse *x, str *out);

jnode *parse_expression(jparse *x, bool with_if);
jnode *parse_tuple(jparse *x, bool with_if, bool in_parentheses);
jnode *parse_target(jparse *x, bool namespaces);
jnode *parse_filters(jparse *x, jnode *in, bool inline_first);
jnode *parse_unary(jparse *x, bool with_filters);
bool parse_call_args(jparse *x, jnode *call);
jnode *parse_template(jparse *x);

#endif
