#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Keeps the promise of one line: messages may quote bytes from outside. */
static void make_one_line(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = ' ';
}

/* Formatting goes through a local buffer, so that the arguments may quote e->msg itself. A message
 * cut at the end of the buffer must not end in half a character. */
static void copy_message(err *e, const char *text) {
    size_t n = strlen(text), room = sizeof e->msg - 1;
    if (n > room) {
        n = room;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    }
    memcpy(e->msg, text, n);
    e->msg[n] = 0;
    make_one_line(e->msg);
}

bool err_set(err *e, err_code code, const char *fmt, ...) {
    if (!e) return false;
    char text[sizeof e->msg + 8];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    e->code = code;
    copy_message(e, text);
    return false;
}

bool err_wrap(err *e, const char *fmt, ...) {
    if (!e) return false;
    char text[2 * sizeof e->msg];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof e->msg, fmt, args);
    va_end(args);
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, ": %s", e->msg);
    copy_message(e, text);
    return false;
}
