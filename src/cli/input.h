/* Text from a file or from a pipe, byte for byte. One thread. */
#ifndef HEARTH_CLI_INPUT_H
#define HEARTH_CLI_INPUT_H

#include "base/buf.h"
#include "base/err.h"

/* Reads stdin to its end unless it is a terminal; a closed stdin is empty. */
bool input_stdin(buf *b, err *e);
/* A file; "-" is stdin. */
bool input_file(buf *b, const char *path, err *e);

#endif
