/* What a request says: ids become text, and stop strings are found in it before anybody sees them.
 *
 * Text is handed on in whole UTF-8 characters, and never a beginning of a stop string: the longest
 * end of the text that some stop string begins with is held back until it is decided. One thread.
 *
 *     text_init(&x, tok, special, stop, &e);
 *     text_push(&x, id);            // x.out: what may be shown now; x.stopped: a stop string came
 *     text_flush(&x, true);         // at the end: the rest, after what the last push gave
 *     text_deinit(&x);
 */
#ifndef HEARTH_ENGINE_TEXT_H
#define HEARTH_ENGINE_TEXT_H

#include "base/buf.h"
#include "base/err.h"
#include "tok/tok.h"

typedef struct text_out {
    tok_stream stream;
    char **stop; /* NULL-terminated; NULL when there are none */
    buf held;    /* decoded, undecided */
    buf out;     /* may be shown; a push begins it anew, a flush adds to it */
    bool stopped;
} text_out;

/* Checks a list of stop strings: number, length, valid UTF-8. ERR_USAGE says which. NULL is fine.
 */
bool text_stops_check(const char *const *stop, err *e);
/* stop passed text_stops_check and is copied. */
bool text_init(text_out *x, const tok *t, bool special, const char *const *stop, err *e);
void text_deinit(text_out *x);
/* False when memory is short. */
bool text_push(text_out *x, int32_t id);
/* Nothing is held back any more; with `broken`, a character that was cut short comes as U+FFFD. */
bool text_flush(text_out *x, bool broken);

#endif
