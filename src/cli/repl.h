/* The chat on a terminal: line editing, history, slash commands. */
#ifndef HEARTH_CLI_REPL_H
#define HEARTH_CLI_REPL_H

#include "cli/chat.h"

/* Until Ctrl-D or /bye; returns the exit code. */
int repl_run(chat *c);

#endif
