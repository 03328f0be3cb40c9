/* Errors are values until main.
 *
 * A function that can fail returns bool (or a pointer) and takes an `err *` as its last argument.
 * The deepest function that knows what went wrong writes the message: what, where, and what to do,
 * in one line. Callers may add context in front. The code becomes the process's exit code (or an
 * HTTP status). Any thread; an err belongs to one thread at a time. `e` may be NULL when the caller
 * does not care.
 *
 *     err e = {0};
 *     if (!thing_open(&t, path, &e)) return cli_fail(&e);
 */
#ifndef HEARTH_BASE_ERR_H
#define HEARTH_BASE_ERR_H

#include <stdbool.h>

typedef enum {
    ERR_NONE = 0,
    ERR_FAILED = 1,       /* anything without a code of its own */
    ERR_USAGE = 2,        /* the caller asked for something that makes no sense */
    ERR_NOT_FOUND = 3,    /* no such file, model, key */
    ERR_NO_SERVER = 4,    /* nothing answers */
    ERR_DENIED = 5,       /* permission */
    ERR_NO_FIT = 6,       /* memory, context or disk too small; the message says both sizes */
    ERR_DAMAGED = 7,      /* bytes from outside that break their format */
    ERR_BUSY = 9,         /* too much is waiting already: try again later */
    ERR_INTERRUPTED = 130 /* Ctrl-C or a cancelled request */
} err_code;

typedef struct err {
    err_code code;
    char msg[512]; /* one line, no newline at the end, NUL-terminated */
} err;

/* Writes code and message. Always returns false, so that a caller can `return err_set(...)`. */
bool err_set(err *e, err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "context: " in front of the message that is there; keeps the code. Always returns false. */
bool err_wrap(err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
