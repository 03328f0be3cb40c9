/* A buf is bytes that grow, with a maximum given at birth. It is always NUL-terminated, so `data`
 * can be used as a C string when no NUL was appended. When an append would pass the maximum, or
 * memory is short, nothing is appended, `failed` is set and stays set: check once at the end. One
 * thread.
 *
 *     buf b; buf_init(&b, 1 << 20);
 *     buf_puts(&b, "x = "); buf_printf(&b, "%d", x);
 *     if (b.failed) ...
 *     char *s = buf_take(&b, NULL);   // caller frees; or buf_deinit(&b)
 */
#ifndef HEARTH_BASE_BUF_H
#define HEARTH_BASE_BUF_H

#include "base/str.h"

typedef struct buf {
    char *data; /* NULL until the first append */
    size_t len, cap, max;
    bool failed;
} buf;

void buf_init(buf *b, size_t max);
void buf_deinit(buf *b);
void buf_clear(buf *b); /* length 0, failed cleared, memory kept */
bool buf_append(buf *b, const void *p, size_t n);
bool buf_putc(buf *b, char c);
bool buf_puts(buf *b, const char *s);
bool buf_put_str(buf *b, str s);
bool buf_printf(buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more bytes at the returned pointer, which the caller fills and then adds by
 * buf_commit. */
char *buf_reserve(buf *b, size_t n);
void buf_commit(buf *b, size_t n);
void buf_remove_front(buf *b, size_t n);
static inline str buf_str(const buf *b) {
    return (str){b->data ? b->data : "", b->len};
}
/* Hands the bytes over (never NULL unless memory is short); the buf is empty afterwards. */
char *buf_take(buf *b, size_t *len);

#endif
