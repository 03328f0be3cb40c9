/* Text of a request with its stop strings; see text.h. */
#include "engine/text.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

bool text_stops_check(const char *const *stop, err *e) {
    for (size_t i = 0; stop && stop[i]; i++) {
        size_t n = strnlen(stop[i], LIMIT_STOP_BYTES + 1);
        if (i == LIMIT_STOP_STRINGS)
            return err_set(e, ERR_USAGE, "more than %d stop strings", LIMIT_STOP_STRINGS);
        if (n == 0 || n > LIMIT_STOP_BYTES)
            return err_set(e, ERR_USAGE, "stop string %zu has %s%zu bytes; it must have 1 to %d",
                           i + 1, n ? "at least " : "", n, LIMIT_STOP_BYTES);
        for (size_t at = 0; at < n;) {
            int len = utf8_len(stop[i] + at, n - at);
            if (len <= 0) return err_set(e, ERR_USAGE, "stop string %zu is not valid UTF-8", i + 1);
            at += (size_t)len;
        }
    }
    return true;
}

static bool stops_copy(text_out *x, const char *const *stop) {
    size_t n = 0;
    while (stop && stop[n]) n++;
    if (n == 0) return true;
    x->stop = calloc(n + 1, sizeof *x->stop);
    if (!x->stop) return false;
    for (size_t i = 0; i < n; i++)
        if (!(x->stop[i] = strdup(stop[i]))) return false;
    return true;
}

bool text_init(text_out *x, const tok *t, bool special, const char *const *stop, err *e) {
    *x = (text_out){0};
    tok_stream_init(&x->stream, t, special, false);
    buf_init(&x->held, LIMIT_TEXT_BYTES);
    buf_init(&x->out, LIMIT_TEXT_BYTES);
    if (stops_copy(x, stop)) return true;
    text_deinit(x);
    return err_set(e, ERR_FAILED, "out of memory");
}

void text_deinit(text_out *x) {
    for (size_t i = 0; x->stop && x->stop[i]; i++) free(x->stop[i]);
    free(x->stop);
    buf_deinit(&x->held);
    buf_deinit(&x->out);
    *x = (text_out){0};
}

/* Where the first stop string begins in the held text; its length when there is none. */
static size_t stop_find(const text_out *x) {
    size_t first = x->held.len;
    for (size_t i = 0; x->stop[i]; i++) {
        str hay = {x->held.data, x->held.len};
        size_t at = str_find(hay, str_of(x->stop[i]), 0);
        if (at < first) first = at;
    }
    return first;
}

/* Length of the longest end of the held text that begins a stop string. */
static size_t stop_open(const text_out *x) {
    size_t longest = 0;
    for (size_t i = 0; x->stop[i]; i++) {
        size_t n = strlen(x->stop[i]) - 1;
        if (n > x->held.len) n = x->held.len;
        while (n > longest && memcmp(x->held.data + x->held.len - n, x->stop[i], n) != 0) n--;
        if (n > longest) longest = n;
    }
    return longest;
}

static void held_show(text_out *x, size_t n) {
    buf_append(&x->out, x->held.data, n);
    buf_remove_front(&x->held, n);
}

static bool held_decide(text_out *x) {
    if (x->held.len > 0 && !x->stop) held_show(x, x->held.len);
    if (x->held.len > 0) {
        size_t at = stop_find(x);
        x->stopped = at < x->held.len;
        held_show(x, x->stopped ? at : x->held.len - stop_open(x));
    }
    return !x->held.failed && !x->out.failed;
}

bool text_push(text_out *x, int32_t id) {
    buf_clear(&x->out);
    return tok_stream_push(&x->stream, id, &x->held) && held_decide(x);
}

bool text_flush(text_out *x, bool broken) {
    if (x->stopped) return true;
    if (broken && !tok_stream_end(&x->stream, &x->held)) return false;
    if (!held_decide(x)) return false;
    if (!x->stopped) held_show(x, x->held.len);
    return !x->out.failed;
}
