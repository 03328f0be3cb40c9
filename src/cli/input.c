/* Reading what a person pipes in. */
#include "cli/input.h"

#include <errno.h>
#include <unistd.h>

#include "base/file.h"

bool input_stdin(buf *b, err *e) {
    if (isatty(STDIN_FILENO)) return true;
    for (;;) {
        char *p = buf_reserve(b, 1 << 16);
        if (!p) return err_set(e, ERR_NO_FIT, "stdin holds more than %zu MB", b->max >> 20);
        ssize_t n = read(STDIN_FILENO, p, 1 << 16);
        if (n == 0 || (n < 0 && errno == EBADF)) return true;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(e, ERR_FAILED, "cannot read stdin: %s", strerror(errno));
        buf_commit(b, (size_t)n);
    }
}

bool input_file(buf *b, const char *path, err *e) {
    return strcmp(path, "-") == 0 ? input_stdin(b, e) : file_read(b, path, e);
}
