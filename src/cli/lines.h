/* Lines typed by a person: editing and history by libedit, pasted blocks and """blocks""" as one
 * text. History lies in $HEARTH_HOME/history, one JSON string a line, newest last. One at a
 * time, one thread.
 */
#ifndef HEARTH_CLI_LINES_H
#define HEARTH_CLI_LINES_H

#include "base/buf.h"
#include "base/err.h"

typedef struct lines lines;

typedef enum lines_result {
    LINES_TEXT,
    LINES_END,        /* Ctrl-D at an empty prompt */
    LINES_DROPPED,    /* Ctrl-C threw away what was typed */
    LINES_INTERRUPTED /* Ctrl-C, and nothing had been typed */
} lines_result;

lines *lines_open(err *e);
void lines_close(lines *l); /* saves the history */
/* One text, without its last newline; appended to an empty out. LINES_END is Ctrl-D at an empty
 * prompt. */
lines_result lines_read(lines *l, buf *out);

#endif
