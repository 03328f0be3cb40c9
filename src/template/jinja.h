/* The template language that models carry (Jinja), interpreted.
 *
 * A jinja is a template read into a tree, once; it is immutable and rendered by any number of
 * threads. It is a stranger's program: it sees the variables it is given, the methods and filters
 * of fixed tables and nothing else, and what a rendering may use is bounded (steps, nesting,
 * memory, output, time). The dialect is that of Jinja2 3.1 as the transformers library sets it up:
 * trim_blocks, lstrip_blocks, loop controls, the generation block, tojson without escapes for HTML,
 * raise_exception, strftime_now, and undefined values that print as nothing but have no attributes.
 * Whole numbers have 64 bits; what passes them is an error.
 *
 * Every byte of a rendering knows whether it is the template's own or came from the variables; a
 * message that reads "<|im_start|>" stays a message through trim, split, tojson and the rest.
 *
 *     jinja *t = jinja_parse(source, &e);
 *     jinja_result r;
 *     if (jinja_render(t, &(jinja_how){.vars = vars}, &r, &e)) write(1, r.text.p, r.text.n);
 *     jinja_result_deinit(&r);
 *     jinja_free(t);
 */
#ifndef HEARTH_TEMPLATE_JINJA_H
#define HEARTH_TEMPLATE_JINJA_H

#include <jansson.h>
#include <time.h>

#include "base/arena.h"
#include "base/err.h"

typedef struct jinja jinja;

/* ERR_DAMAGED with the line for what is no template. */
jinja *jinja_parse(str source, err *e);
void jinja_free(jinja *t);                             /* NULL is fine */
bool jinja_mentions(const jinja *t, const char *name); /* a variable of this name is read */

typedef struct jinja_how {
    json_t *vars; /* object: the variables; read only */
    json_t *own;  /* object or NULL: variables whose text is as good as the template's own */
    const struct tm *now; /* for strftime_now; NULL: the local time */
    /* Lists and dicts may be changed by their methods (append, update, pop). Jinja2's sandbox, as
     * transformers uses it, refuses that; harmless here, where values are copies. */
    bool changeable;
} jinja_how;

typedef struct jinja_result {
    str text;
    const uint8_t *mark; /* [text.n], 1: from the variables; NULL when `content` holds for all */
    bool content;
    arena *memory; /* owns text and mark */
} jinja_result;

/* ERR_USAGE with what the template raised, ERR_FAILED with what it could not do, and the line;
 * ERR_NO_FIT when it passed a bound. *out is emptied first and needs jinja_result_deinit only on
 * success. */
bool jinja_render(const jinja *t, const jinja_how *how, jinja_result *out, err *e);
void jinja_result_deinit(jinja_result *r);

#endif
