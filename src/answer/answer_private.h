/* Inside the answer room: how a format is written down, and an answer in the making.
 *
 * A call's syntax is a pattern, and the same pattern drives the parser (call.c) and the
 * grammar (rules.c). Its characters are themselves, but for:
 *
 *     \n   white space: one line break when written, any or none when read
 *     %n   the tool's name, up to the text that follows      %i   the call's id, likewise
 *     %k   Kimi's "functions.NAME:0", both in one            %a   the arguments as JSON
 *     %c   a call as a JSON object                           %l   a list of such objects
 *     %x   parameters in XML, as `params` has it             %m   the same, nested (MiniMax M3)
 *     %p   calls in the manner of Python                     %g   Gemma's {key:value}
 *     %h a header of harmony, up to <|message|> %t what may follow Llama's python tag
 *     %?(...%)  may be missing       %*(...%)  any number of times, each a call
 *     %;   from here on left to the end of the answer: the grammar ends before it
 *
 * Every rule decides by the bytes alone, never by where they were cut: a step either has seen
 * enough to know, or waits.
 */
#ifndef HEARTH_ANSWER_ANSWER_PRIVATE_H
#define HEARTH_ANSWER_ANSWER_PRIVATE_H

#include "answer/answer.h"
#include "answer/value.h"

typedef struct answer_pair {
    const char *begin, *end;
    const char *close; /* to force the end */
} answer_pair;

enum {
    PARAMS_LINES = 1, /* values stand on lines of their own */
    PARAMS_CDATA = 2, /* values may be wrapped in CDATA */
    PARAMS_TYPED = 4, /* after the key an attribute string="true" or "false" */
    PARAMS_SPACED = 8 /* white space between key and value */
};

typedef struct answer_params {
    const char *open, *key_end, *value, *close; /* value: NULL when the key's end begins it */
    unsigned flags;
} answer_params;

enum {
    FORMAT_INLINE_THOUGHTS = 1, /* thoughts may begin anywhere, not just in front of text */
    FORMAT_BREAKS_THOUGHT = 2,  /* a call ends a thought that was left open */
    FORMAT_ALL_IS_TEXT = 4,     /* Functionary: the "tool" named all is the text */
    FORMAT_HEADERS = 8,         /* patterns are headers of messages, needed without tools too */
    FORMAT_IDS = 16,            /* the ids that it writes are worth keeping */
    FORMAT_TOOL_NAME = 32       /* JSON calls say tool_name and parameters */
};

#define ANSWER_PAIRS 3
#define ANSWER_PATTERNS 4
#define ANSWER_DROPS 8

struct answer_format {
    const char *name;
    /* Alternatives; in each, all of the texts (separated by \1) must occur in the template. */
    const char *known_by[4];
    const char *arch; /* architectures, separated by spaces, for files without a template */
    answer_pair thought[ANSWER_PAIRS]; /* the first is what the format writes; .begin NULL: end */
    const char *call[ANSWER_PATTERNS]; /* the first is what the grammar writes */
    const answer_params *params;
    const char *arguments;          /* %c and %l: what the key is called; NULL: "arguments" */
    const char *quote;              /* %g: the quote mark */
    const char *drop[ANSWER_DROPS]; /* markers that say nothing */
    /* For the grammar: what an id looks like, what stands around a text, and what comes after a
     * thought when the message ends with it. */
    const char *id_rule, *text_begin, *text_end, *after_thought;
    const char *opening; /* when the prompt ends with it, the answer begins inside ... */
    int opening_call;    /* ... this pattern, after its first text */
    unsigned flags;
};

extern const answer_format answer_formats[];
extern const size_t answer_n_formats;

/* ---- patterns as steps ---- */

typedef enum answer_op_kind {
    OP_TEXT,
    OP_BLANK,
    OP_NAME,
    OP_ID,
    OP_KIMI,
    OP_ARGS,
    OP_CALL,
    OP_LIST,
    OP_XML,
    OP_NESTED,
    OP_PYTHON,
    OP_GEMMA,
    OP_HEADER,
    OP_TAG,
    OP_OPTION, /* skips to .to unless what follows fits */
    OP_REPEAT, /* likewise; comes back */
    OP_BACK,   /* to .to */
    OP_LAST    /* %; */
} answer_op_kind;

typedef struct answer_op {
    answer_op_kind kind;
    str text; /* of OP_TEXT; the blanks of OP_BLANK */
    int to;
} answer_op;

#define ANSWER_OPS 32

typedef struct answer_pattern {
    answer_op op[ANSWER_OPS];
    int n;
} answer_pattern;

void answer_pattern_read(const char *text, answer_pattern *out);

/* ---- schemas of tools (schema.c) ---- */

enum {
    KIND_STRING = 1,
    KIND_NUMBER = 2,
    KIND_INTEGER = 4,
    KIND_BOOL = 8,
    KIND_NULL = 16,
    KIND_OBJECT = 32,
    KIND_ARRAY = 64,
    KIND_ANY = 127
};

/* NULL when there is no such tool. *schema: its parameters, or NULL. */
const json_t *answer_tool(const json_t *tools, str name, const json_t **schema);
/* The tool's function object, whichever shape it has. */
const json_t *answer_tool_function(const json_t *tool);
/* Follows $ref within root; NULL stays NULL. */
const json_t *answer_schema_of(const json_t *schema, const json_t *root);
unsigned answer_schema_kinds(const json_t *schema, const json_t *root);
const json_t *answer_schema_property(const json_t *schema, const json_t *root, str key);
const json_t *answer_schema_items(const json_t *schema, const json_t *root);
/* A text as a value of one of the kinds; a string when it is nothing else. */
void answer_schema_value(unsigned kinds, str text, buf *out);

/* ---- grammar (rules.c, rules_args.c) ---- */

typedef struct answer_rules_writer {
    const answer_format *f;
    const json_t *tools;
    const answer_demand *d;
    buf *out; /* the rules */
    err *e;
    int n_rules; /* of helpers, for their names */
    /* the tool at hand */
    str name;
    const json_t *root; /* its schema */
    bool strict;
    bool many;  /* more than one call */
    bool lines; /* parameters stand on lines of their own */
    bool failed;
} answer_rules_writer;

void answer_put_literal(buf *out, str s); /* as GBNF has it, with quotes and a space */
/* A rule's right side is appended to `out`; rules of its own go to w->out. */
void answer_rules_json(answer_rules_writer *w, const json_t *schema, buf *out);
void answer_rules_xml(answer_rules_writer *w, buf *out);
void answer_rules_kwargs(answer_rules_writer *w, buf *out);
void answer_rules_gemma(answer_rules_writer *w, buf *out);
void answer_rules_nested(answer_rules_writer *w, buf *out);

/* ---- an answer in the making ---- */

typedef enum answer_step { STEP_MORE, STEP_DONE, STEP_FAIL } answer_step;

typedef enum answer_action {
    MARK_BEGIN, /* of a thought */
    MARK_END,
    MARK_CALL,
    MARK_DROP,
    MARK_CLOSE /* what should have closed a call, after something unexpected in between */
} answer_action;

typedef struct answer_marker {
    str text;
    answer_action action;
    int which; /* pair or pattern */
    bool weak; /* may as well be something else: only at the start, and no warning */
} answer_marker;

#define ANSWER_MARKERS 32

typedef struct answer_element { /* of nested XML */
    char name[64];
    const json_t *schema; /* borrowed from the tools */
    unsigned kinds;
    char type; /* '{', '[', '"', or '?' while not known */
    bool any;  /* it has had an item */
} answer_element;

#define ANSWER_NESTING 32

typedef enum answer_args { /* who is writing the arguments, and so can close them */
                           ARGS_NONE,
                           ARGS_VALUE,
                           ARGS_XML,
                           ARGS_NESTED,
                           ARGS_CODE,
                           ARGS_WHOLE
} answer_args;

struct answer {
    const answer_format *f;
    json_t *tools;
    bool split, plain; /* plain: bytes pass as they are */
    bool out_of_memory;

    answer_pattern pattern[ANSWER_PATTERNS];
    answer_marker marker[ANSWER_MARKERS];
    int n_markers;
    uint8_t first[256]; /* bytes that begin a marker */

    buf in;     /* bytes not yet decided about, from pos; before it those since mark */
    size_t pos; /* next byte */
    bool last;  /* no more bytes will come */

    /* text */
    int thought;   /* pair that is open, or -1 */
    buf blanks;    /* white space that may belong to a marker */
    bool skip;     /* drop white space */
    bool fresh;    /* nothing but white space since the start, a thought or a call */
    bool start;    /* nothing but white space and thoughts so far */
    bool unclosed; /* MARK_CLOSE is looked for */
    bool warned;   /* before the attempt */

    /* the call being tried */
    bool trying;
    int by;        /* marker that began it; -1: the prompt's end did */
    size_t mark;   /* in `in`: where to take up text when it fails */
    size_t n_mark; /* bytes of the marker itself */
    int which, at; /* pattern and step */
    int state;     /* of the step; 0 at its beginning */
    int n_done;    /* calls of this attempt that are whole */
    bool open;     /* CALL_BEGIN was sent, CALL_END not */
    bool unknown;  /* the name is not among the tools */
    answer_args writer;
    buf name, id, args, scratch; /* args: not yet sent */
    const json_t *schema;        /* of the tool */
    value_reader value;
    int n_calls;

    /* state of the steps */
    bool list, nested, has_args, brackets, wrapped;
    int key;
    int tag; /* what follows Llama's python tag: 'c', 'p', or 0 while not known */
    value_text text;
    answer_element element[ANSWER_NESTING];
    int depth;
    bool any_param, raw_text, cdata;
    buf key_text;

    /* out */
    buf out;
    answer_kind out_kind;
    answer_take *each;
    void *ud;
    char warning[256];
};

static inline str answer_rest(const answer *a) {
    return (str){a->in.data ? a->in.data + a->pos : "", a->in.len - a->pos};
}

/* answer.c */
void answer_begin(answer *a);            /* sends CALL_BEGIN with name and id */
void answer_send_args(answer *a);        /* what is in args, when the call is open */
void answer_end(answer *a, bool broken); /* sends CALL_END */
void answer_warn(answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void answer_put_text(answer *a, str s);
bool answer_weak(const answer *a); /* the attempt may as well be something else */
void answer_warn_unknown(answer *a, str name);
/* Looks the name up; false, with a warning, when there is no such tool. */
bool answer_know(answer *a, str name);

/* call.c, params.c: one step of a pattern */
answer_step answer_step_text(answer *a, str text);
answer_step answer_step_name(answer *a, const answer_op *next);
answer_step answer_step_id(answer *a);
answer_step answer_step_kimi(answer *a);
answer_step answer_step_args(answer *a, value_form form);
answer_step answer_step_calls(answer *a);
answer_step answer_step_python(answer *a);
answer_step answer_step_tag(answer *a);
answer_step answer_step_header(answer *a);
answer_step answer_step_xml(answer *a);
answer_step answer_step_nested(answer *a);
void answer_close_xml(answer *a);
void answer_close_nested(answer *a);

static inline bool answer_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
static inline void answer_skip_blanks(answer *a) {
    while (a->pos < a->in.len && answer_blank(a->in.data[a->pos])) a->pos++;
}

#endif
