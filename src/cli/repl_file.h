/* A chat as a file: JSON with the messages and the settings that were changed. */
#ifndef HEARTH_CLI_REPL_FILE_H
#define HEARTH_CLI_REPL_FILE_H

#include "cli/chat.h"

bool repl_file_save(const chat *c, const char *path, err *e);
/* Replaces messages, system text, stop strings and sampler settings; the model stays. On failure
 * nothing is changed. ERR_DAMAGED when the file is no saved chat. */
bool repl_file_load(chat *c, const char *path, err *e);

#endif
