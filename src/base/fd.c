#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

bool fd_fail(err *e, const char *path, const char *what, int error) {
    char shown[256], reason[128];
    err_code code = ERR_FAILED;
    if (error == ENOENT || error == ENOTDIR) code = ERR_NOT_FOUND;
    if (error == EACCES || error == EPERM || error == EROFS) code = ERR_DENIED;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == ENOMEM) code = ERR_NO_FIT;
    return err_set(e, code, "%s: %s: %s", str_printable(str_of(path), shown, sizeof shown), what,
                   strerror_r(error, reason, sizeof reason));
}

bool fd_read_all(int fd, buf *b) {
    for (;;) {
        size_t left = b->max - b->len;
        size_t want = b->cap > b->len + 1 ? b->cap - b->len - 1 : 65536;
        if (want > left) want = left;
        char over; /* full: one more byte tells an end from an overflow */
        char *to = want ? buf_reserve(b, want) : &over;
        if (!to) {
            errno = ENOMEM;
            return false;
        }
        ssize_t got = read(fd, to, want ? want : 1);
        if (got == 0) return true;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (!want) {
            b->failed = true;
            return true;
        }
        buf_commit(b, (size_t)got);
    }
}

bool fd_write_all(int fd, const void *p, size_t n) {
    for (const char *at = p; n > 0;) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool fd_sync_folder(int fd) {
    return fsync(fd) == 0 || errno == EINVAL;
}

int fd_temporary(int at, const char *dir, unsigned mode, char *path, size_t cap) {
    static atomic_uint serial;
    for (int tries = 0; tries < 100; tries++) {
        int n = snprintf(path, cap, "%s%s.hearth-tmp-%ld-%u", dir, *dir ? "/" : "", (long)getpid(),
                         atomic_fetch_add(&serial, 1));
        if (n < 0 || (size_t)n >= cap) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        (mode_t)mode);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}
