#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(buf *b, size_t max) {
    if (max > SIZE_MAX / 4) max = SIZE_MAX / 4; /* so that growing by half cannot overflow */
    *b = (buf){.max = max};
}

void buf_deinit(buf *b) {
    free(b->data);
    *b = (buf){.max = b->max};
}

void buf_clear(buf *b) {
    b->len = 0;
    b->failed = false;
    if (b->data) b->data[0] = 0;
}

/* Room for n more bytes and the NUL. cap counts the NUL, max does not. */
static bool buf_grow(buf *b, size_t n) {
    if (b->failed) return false;
    if (n > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap) return true;
    size_t cap = b->cap + b->cap / 2;
    if (cap < 64) cap = 64;
    if (cap < need) cap = need;
    if (cap > b->max + 1) cap = b->max + 1;
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    if (!b->data) data[0] = 0;
    b->data = data;
    b->cap = cap;
    return true;
}

char *buf_reserve(buf *b, size_t n) {
    return buf_grow(b, n) ? b->data + b->len : NULL;
}

void buf_commit(buf *b, size_t n) {
    b->len += n;
    b->data[b->len] = 0;
}

bool buf_append(buf *b, const void *p, size_t n) {
    if (!buf_grow(b, n)) return false;
    if (n) memcpy(b->data + b->len, p, n);
    buf_commit(b, n);
    return true;
}

bool buf_putc(buf *b, char c) {
    return buf_append(b, &c, 1);
}

bool buf_puts(buf *b, const char *s) {
    return buf_append(b, s, strlen(s));
}

bool buf_put_str(buf *b, str s) {
    return buf_append(b, s.p, s.n);
}

bool buf_printf(buf *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return false;
    }
    if (!buf_grow(b, (size_t)n)) return false;
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    buf_commit(b, (size_t)n);
    return true;
}

void buf_remove_front(buf *b, size_t n) {
    if (n > b->len) n = b->len;
    if (n == 0) return;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

char *buf_take(buf *b, size_t *len) {
    char *data = b->data ? b->data : calloc(1, 1);
    if (len) *len = b->len;
    *b = (buf){.max = b->max};
    return data;
}
