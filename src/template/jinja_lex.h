/* The words of a template. Text outside of tags is one token, already trimmed as the tags around
 * it ask; inside of tags, one token a word. The lexer is a cursor over the source: it gives the
 * next token each time, two can be looked ahead.
 */
#ifndef HEARTH_TEMPLATE_JINJA_LEX_H
#define HEARTH_TEMPLATE_JINJA_LEX_H

#include "template/jinja_tree.h"

typedef enum jtoken {
    JT_EOF,
    JT_DATA, /* text */
    JT_VAR_BEGIN,
    JT_VAR_END,
    JT_BLOCK_BEGIN,
    JT_BLOCK_END,
    JT_NAME,
    JT_STRING, /* text, escapes undone */
    JT_INT,
    JT_FLOAT,
    JT_OP /* op: its character, or two of them as C writes 'ab' by JOP2 */
} jtoken;
#define JOP2(a, b) ((a) << 8 | (b))

typedef struct jlexeme {
    jtoken type;
    int op;
    uint32_t line;
    str text;
    int64_t i;
    double f;
} jlexeme;

typedef enum jlex_state { JL_ROOT, JL_IN_VAR, JL_IN_BLOCK } jlex_state;

typedef struct jlex {
    str s;
    size_t at;
    uint32_t line;
    jlex_state state;
    bool line_start;  /* what was read last ended a line */
    char closer[256]; /* brackets that are open in this tag */
    int n_open;
    arena *memory;
    jlexeme pending[2]; /* a tag's begin after its text */
    int n_pending;
    err *e;
} jlex;

void jlex_init(jlex *x, str source, arena *memory, err *e);
bool jlex_next(jlex *x, jlexeme *out);
/* A token for messages, in dst. */
const char *jlexeme_show(const jlexeme *t, char dst[64]);

#endif
