/* Where the answer goes, and whether it arrives. A failed write is remembered: the process ends
 * with exit code 1, quietly when the reader has gone (a closed pipe), with a line otherwise (a
 * full disk, or memory that did not suffice for the answer: half of one is never printed).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

static int failed_errno; /* of the first write that failed; 0: none has */

void out_init(void) {
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
}

static void wrote(bool ok) {
    if (!ok && !failed_errno) failed_errno = errno ? errno : EIO;
}

void out_write(const void *p, size_t n) {
    if (n > 0 && !failed_errno) wrote(fwrite(p, 1, n, stdout) == n);
}

void out_puts(const char *s) {
    out_write(s, strlen(s));
}

void out_printf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (!failed_errno) wrote(vfprintf(stdout, fmt, ap) >= 0);
    va_end(ap);
}

void out_buf(const buf *b) {
    errno = ENOMEM;
    if (b->failed) wrote(false);
    else out_write(b->data, b->len);
}

void out_json(buf *b) {
    buf_putc(b, '\n');
    out_buf(b);
    buf_deinit(b);
}

void out_flush(void) {
    if (!failed_errno) wrote(fflush(stdout) == 0);
}

bool out_broken(void) {
    return failed_errno != 0;
}

int out_finish(int code) {
    out_flush();
    if (!failed_errno) return code;
    if (failed_errno != EPIPE) note("hearth: cannot write to stdout: %s", strerror(failed_errno));
    return code ? code : ERR_FAILED;
}

void note(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int cli_fail(const err *e) {
    out_flush();
    note("hearth: %s", e->msg[0] ? e->msg : "failed");
    return e->code ? (int)e->code : ERR_FAILED;
}

bool out_is_terminal(void) {
    return isatty(STDOUT_FILENO);
}

bool err_is_terminal(void) {
    return isatty(STDERR_FILENO);
}

bool in_is_terminal(void) {
    return isatty(STDIN_FILENO);
}

bool out_has_color(void) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return out_is_terminal() && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

int terminal_width(void) {
    struct winsize w;
    if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 || ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0) &&
        w.ws_col > 0)
        return w.ws_col;
    return 80;
}

char *human_bytes(uint64_t n, char *dst, size_t cap) {
    static const char *const unit[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    double x = (double)n;
    size_t u = 0;
    while (x >= 999.5 && u + 1 < sizeof unit / sizeof *unit) x /= 1000, u++;
    snprintf(dst, cap, u == 0 ? "%.0f %s" : x < 99.95 ? "%.1f %s" : "%.0f %s", x, unit[u]);
    return dst;
}

char *human_count(uint64_t n, char *dst, size_t cap) {
    char digits[24];
    int k = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    size_t j = 0;
    for (int i = 0; i < k && j + 2 < cap; i++) {
        dst[j++] = digits[i];
        if ((k - 1 - i) % 3 == 0 && i + 1 < k) dst[j++] = ',';
    }
    dst[j] = 0;
    return dst;
}
