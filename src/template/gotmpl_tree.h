/* Inside gotmpl: the tree. Nodes in a list hang together by `next`. */
#ifndef HEARTH_TEMPLATE_GOTMPL_TREE_H
#define HEARTH_TEMPLATE_GOTMPL_TREE_H

#include "template/gotmpl.h"
#include "template/jinja_value.h"

typedef enum gkind {
    /* operands; the fields that follow one are in `fields` */
    GN_CONST, /* value */
    GN_DOT,
    GN_VAR,     /* name, "" for $ */
    GN_FUNC,    /* name */
    GN_PIPE,    /* list of GN_COMMAND; names of variables it sets in name, name2 */
    GN_COMMAND, /* list of operands */
    GN_FIELD,   /* name */
    /* statements */
    GN_TEXT,   /* value */
    GN_ACTION, /* a: pipe */
    GN_IF,     /* a, list, list2: else */
    GN_WITH,
    GN_RANGE,
    GN_CALL, /* {{ template name a }} */
    GN_BREAK,
    GN_CONTINUE
} gkind;

typedef struct gnode gnode;
struct gnode {
    gkind kind;
    uint32_t line;
    str name, name2;
    bool declares; /* := rather than = */
    bool answers;  /* reads .Response, itself or below */
    jv value;
    gnode *a, *list, *list2, *fields, *next;
};

typedef struct gdefine {
    str name;
    gnode *body;
} gdefine;

enum { GOTMPL_DEFINES = 64 };

struct gotmpl {
    arena *memory;
    gnode *body;
    gdefine define[GOTMPL_DEFINES];
    size_t n_defines;
};

#endif
