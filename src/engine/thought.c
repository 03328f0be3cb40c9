/* See thought.h. */
#include "engine/thought.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static bool marker_fits(const char *s, const char *name, err *e) {
    size_t n = s ? strnlen(s, LIMIT_STOP_BYTES + 1) : 0;
    return n <= LIMIT_STOP_BYTES ||
           err_set(e, ERR_USAGE, "%s is longer than %d bytes", name, LIMIT_STOP_BYTES);
}

bool thought_init(thought *x, const hearth_params *p, err *e) {
    *x = (thought){.left = p->thought_budget, .open = p->thought_open};
    if (p->thought_budget < 0) return true;
    if (!p->thought_end || !*p->thought_end || !p->thought_close || !*p->thought_close)
        return err_set(e, ERR_USAGE,
                       "a budget for thoughts needs the texts that end and close one");
    if (!marker_fits(p->thought_begin, "thought_begin", e) ||
        !marker_fits(p->thought_end, "thought_end", e) ||
        !marker_fits(p->thought_close, "thought_close", e))
        return false;
    buf_init(&x->tail, LIMIT_TEXT_BYTES);
    x->begin = strdup(p->thought_begin ? p->thought_begin : "");
    x->end = strdup(p->thought_end);
    x->close = strdup(p->thought_close);
    return (x->begin && x->end && x->close) || err_set(e, ERR_FAILED, "out of memory");
}

void thought_deinit(thought *x) {
    free(x->begin);
    free(x->end);
    free(x->close);
    buf_deinit(&x->tail);
    *x = (thought){.left = -1};
}

/* Forgets what no marker can still begin in. */
static void tail_trim(thought *x) {
    size_t keep = strlen(x->begin) > strlen(x->end) ? strlen(x->begin) : strlen(x->end);
    if (x->tail.len >= keep) buf_remove_front(&x->tail, x->tail.len - keep + 1);
}

/* The marker is over; what stands behind it is kept. */
static bool tail_take(thought *x, const char *marker) {
    size_t at = *marker ? str_find(buf_str(&x->tail), str_of(marker), 0) : (size_t)-1;
    if (at == (size_t)-1) return false;
    buf_remove_front(&x->tail, at + strlen(marker));
    return true;
}

bool thought_follow(thought *x, str piece) {
    if (x->left < 0) return false;
    buf_put_str(&x->tail, piece);
    bool was_open = x->open;
    while (tail_take(x, x->open ? x->end : x->begin)) x->open = !x->open;
    tail_trim(x);
    if (!x->open) {
        x->closing = false;
        return false;
    }
    if (was_open && piece.n > 0 && x->left > 0) x->left--;
    if (x->left > 0 || x->closing) return false;
    x->closing = true;
    return true;
}
