/* A limit on thinking: a thought that has had its tokens is closed, and the answer goes on.
 *
 * It follows the tokens of one answer by their text, control tokens included, and says when the
 * text that closes the thought is to be put in instead of drawing on. One thread.
 *
 *     thought_init(&x, params, &e);
 *     if (thought_follow(&x, piece)) put in x.close
 *     thought_deinit(&x);
 */
#ifndef HEARTH_ENGINE_THOUGHT_H
#define HEARTH_ENGINE_THOUGHT_H

#include "base/buf.h"
#include "base/err.h"
#include "hearth.h"

typedef struct thought {
    int32_t left; /* tokens; -1: no limit, nothing is followed */
    bool open, closing;
    char *begin, *end, *close; /* begin "": the thought is open from the start, or never */
    buf tail;                  /* the latest text, long enough to find a marker in */
} thought;

bool thought_init(thought *x, const hearth_params *p, err *e);
void thought_deinit(thought *x);
/* Before the first token, with piece.n 0; then after each. True, once a thought: close it now. */
bool thought_follow(thought *x, str piece);

#endif
