/* A template as a tree, in the arena of its jinja. Nodes in a list hang together by `next`. */
#ifndef HEARTH_TEMPLATE_JINJA_TREE_H
#define HEARTH_TEMPLATE_JINJA_TREE_H

#include "template/jinja.h"
#include "template/jinja_value.h"

typedef enum jkind {
    /* expressions */
    JN_CONST,   /* value */
    JN_NAME,    /* sym */
    JN_TUPLE,   /* list */
    JN_LIST,    /* list */
    JN_DICT,    /* list: key, value, key, value ... */
    JN_ATTR,    /* a . value */
    JN_ITEM,    /* a [ b ] */
    JN_SLICE,   /* list of three, JN_NONE where left out; only as the b of JN_ITEM */
    JN_CALL,    /* a ( args in list, keywords in list2 ) */
    JN_FILTER,  /* a | filter (the same) ; a NULL: the text of a block */
    JN_TEST,    /* a is test (the same) */
    JN_NOT,     /* a */
    JN_NEG,     /* a */
    JN_POS,     /* a */
    JN_BINARY,  /* a op b */
    JN_CONCAT,  /* list */
    JN_COMPARE, /* a, then list of JN_OPERAND */
    JN_OPERAND, /* op a */
    JN_AND,     /* a, b */
    JN_OR,
    JN_COND,    /* a if b else c (NULL) */
    JN_ABSENT,  /* a slice's bound that is left out */
    JN_KEYWORD, /* value = a, in calls */
    JN_SPREAD,  /* *a, in calls */
    JN_SPREAD_DICT,
    JN_NSREF, /* sym . value, to assign to */
    /* statements */
    JN_TEXT,         /* value */
    JN_OUTPUT,       /* a */
    JN_IF,           /* a, list: then; list2: else; op: that is the next elif */
    JN_FOR,          /* a: target, b: items, c: condition; list: body; list2: else; op: recursive */
    JN_SET,          /* a: target, b */
    JN_SET_BLOCK,    /* a: target, b: filter; list: body */
    JN_MACRO,        /* sym, args: list2 of JN_NAME, with its default in a; list: body */
    JN_CALL_BLOCK,   /* a: JN_CALL; macro as JN_MACRO in b */
    JN_FILTER_BLOCK, /* a: filter; list: body */
    JN_WITH,         /* list2: JN_SETs; list: body */
    JN_SCOPE,        /* list: body, names of its own (generation, block) */
    JN_BREAK,
    JN_CONTINUE,
    JN_NO_LOADER /* include, import, extends */
} jkind;

typedef enum jcompare { JC_EQ, JC_NE, JC_LT, JC_LE, JC_GT, JC_GE, JC_IN, JC_NOT_IN } jcompare;

typedef struct jnode jnode;
struct jnode {
    uint8_t kind; /* jkind */
    uint8_t op;
    uint16_t height; /* of the tree below: evaluation needs as many levels */
    uint32_t line;
    uint32_t sym; /* index of a name */
    uint32_t n;   /* items in list */
    jv value;
    jnode *a, *b, *c, *list, *list2, *next;
    union {
        const jfilter *filter; /* NULL: no filter of the name in value */
        const jtest *test;
    } u;
};

/* Names that every template has first. */
enum { JS_LOOP, JS_CALLER, JS_VARARGS, JS_KWARGS };

/* What a macro uses of its surplus arguments: bits of JN_MACRO's op. */
enum { JM_VARARGS = 1, JM_KWARGS = 2, JM_CALLER = 4 };

struct jinja {
    arena *memory;
    jnode *body;
    str *name; /* [n_names] of variables */
    uint32_t n_names;
};

#endif
