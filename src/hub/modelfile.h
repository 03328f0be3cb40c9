/* Modelfiles: how a person says what a model is made of, in Ollama's language.
 *
 *     # a comment
 *     FROM qwen3:8b
 *     PARAMETER temperature 0.7
 *     SYSTEM """You are brief."""
 *     MESSAGE user Hello!
 *
 * Commands in any case: FROM, PARAMETER, TEMPLATE, SYSTEM, ADAPTER, LICENSE, MESSAGE, DRAFT,
 * RENDERER, PARSER, REQUIRES. A value goes to the end of its line, or from "..." or """...""" over
 * several. Any thread; no state.
 *
 *     hub_modelfile m;
 *     if (!hub_modelfile_parse(&m, text, &e)) ...      // "line 3: what is wrong"
 *     hub_modelfile_deinit(&m);
 */
#ifndef HEARTH_HUB_MODELFILE_H
#define HEARTH_HUB_MODELFILE_H

#include "base/buf.h"
#include "base/err.h"

typedef enum hub_command {
    HUB_FROM,
    HUB_PARAMETER,
    HUB_TEMPLATE,
    HUB_SYSTEM,
    HUB_ADAPTER,
    HUB_LICENSE,
    HUB_MESSAGE,
    HUB_DRAFT,
    HUB_RENDERER,
    HUB_PARSER,
    HUB_REQUIRES
} hub_command;

typedef struct hub_line {
    hub_command command;
    int line;    /* where it begins, from 1 */
    char *name;  /* of a PARAMETER; the role of a MESSAGE; else NULL. Owned, as value */
    char *value; /* NUL-terminated, holds none */
} hub_line;

typedef struct hub_modelfile {
    hub_line *line; /* [n], in the file's order; owned */
    size_t n;
} hub_modelfile;

/* ERR_USAGE names the line. Values are not judged here but for roles: see recipe.h. */
bool hub_modelfile_parse(hub_modelfile *m, str text, err *e);
void hub_modelfile_deinit(hub_modelfile *m);
/* The last value of a command; NULL: there is none. */
const char *hub_modelfile_value(const hub_modelfile *m, hub_command c);
/* Appends one command that parse reads back the same; name may be NULL. False, and nothing is
 * appended: no quotes can hold this text. */
bool hub_modelfile_write(buf *out, hub_command c, const char *name, const char *value);

#endif
