#include "base/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"

enum { PATH_BYTES = 4096 };

bool beneath_fail(err *e, const char *path, const char *what, int error) {
    fd_fail(e, path, what, error);
    if (e && (error == ELOOP || error == EXDEV)) e->code = ERR_DENIED; /* it leads outside */
    return false;
}

int beneath_root(const char *path, bool make, err *e) {
    if (make && !file_make_dirs(path, 0755, e)) return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) beneath_fail(e, path, "cannot open the folder", errno);
    return fd;
}

/* ---- opening ---- */

/* Without openat2: a part at a time, never through a link, never upwards. */
static int open_by_parts(int root, const char *path, int flags, unsigned mode) {
    char part[NAME_MAX + 1];
    int at = root, fd = -1;
    if (path[0] == '/') {
        errno = EXDEV;
        return -1;
    }
    for (;;) {
        size_t n = strcspn(path, "/");
        bool last = path[n] == 0;
        if (n == 0 || n > NAME_MAX || (n == 2 && memcmp(path, "..", 2) == 0)) {
            errno = n > NAME_MAX ? ENAMETOOLONG : EXDEV;
            break;
        }
        memcpy(part, path, n);
        part[n] = 0;
        fd = last ? openat(at, part, flags, (mode_t)mode)
                  : openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || last) break;
        if (at != root) close(at);
        at = fd;
        fd = -1;
        path += n + 1;
    }
    int error = errno;
    if (at != root) close(at);
    errno = error;
    return fd;
}

static int open_resolved(int root, const char *path, int flags, unsigned mode, uint64_t resolve) {
    static atomic_bool missing;
    if (!atomic_load(&missing)) {
        struct open_how how = {.flags = (uint64_t)(unsigned)flags,
                               .mode = flags & O_CREAT ? mode : 0,
                               .resolve = resolve};
        long fd;
        do {
            fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)fd;
        if (errno == EPERM && (resolve & RESOLVE_NO_SYMLINKS)) { /* a sandbox, or the file itself */
            return open_by_parts(root, path, flags, mode);
        }
        if (errno == ENOSYS) atomic_store(&missing, true);
    }
    return open_by_parts(root, path, flags, mode);
}

int beneath_open(int root, const char *path, int flags, unsigned mode) {
    if (!(flags & O_PATH)) flags |= O_NONBLOCK;
    return open_resolved(root, path, flags | O_CLOEXEC | O_NOFOLLOW, mode,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int beneath_open_links(int root, const char *path) {
    return open_resolved(root, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0,
                         RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int beneath_open_file(int root, const char *path, struct stat *st, err *e) {
    struct stat own;
    if (!st) st = &own;
    int fd = beneath_open(root, path, O_RDONLY, 0);
    if (fd < 0) {
        beneath_fail(e, path, "cannot open", errno);
        return -1;
    }
    if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) return fd;
    close(fd);
    beneath_fail(e, path, "not a regular file", EISDIR);
    return -1;
}

bool beneath_read(buf *b, int root, const char *path, err *e) {
    struct stat st;
    int fd = beneath_open_file(root, path, &st, e);
    if (fd < 0) return false;
    bool ok = fd_read_all(fd, b) || beneath_fail(e, path, "cannot read", errno);
    if (ok && b->failed)
        ok = err_set(e, ERR_NO_FIT, "%s: too large: %lld bytes, at most %zu are read", path,
                     (long long)st.st_size, b->max);
    close(fd);
    return ok;
}

/* ---- folders ---- */

/* The folder of a path as a descriptor, and where its last part begins. */
static int parent_open(int root, const char *path, const char **last) {
    char dir[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    *last = slash ? slash + 1 : path;
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir || !**last || strcmp(*last, "..") == 0 || (slash && n == 0)) {
        errno = n >= sizeof dir ? ENAMETOOLONG : EXDEV;
        return -1;
    }
    memcpy(dir, path, n);
    dir[n] = 0;
    return beneath_open(root, n ? dir : ".", O_RDONLY | O_DIRECTORY, 0);
}

bool beneath_make_dirs(int root, const char *path, err *e) {
    char part[PATH_BYTES];
    size_t n = strlen(path);
    if (n >= sizeof part) return beneath_fail(e, path, "cannot make the folder", ENAMETOOLONG);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        part[i] = 0;
        const char *last;
        int at = parent_open(root, part, &last);
        bool made = at >= 0 && mkdirat(at, last, 0755) == 0;
        bool ok = made || (at >= 0 && errno == EEXIST);
        int error = errno;
        if (made) fsync(at);
        if (at >= 0) close(at);
        if (!ok) return beneath_fail(e, part, "cannot make the folder", error);
        if (i < n) part[i] = '/';
    }
    return true;
}

bool beneath_sync_dir(int root, const char *folder, err *e) {
    int fd = beneath_open(root, folder, O_RDONLY | O_DIRECTORY, 0);
    bool ok = fd >= 0 && fd_sync_folder(fd);
    if (!ok) beneath_fail(e, folder, "cannot sync the folder", errno);
    if (fd >= 0) close(fd);
    return ok;
}

bool beneath_rename(int root, const char *from, const char *to, err *e) {
    const char *from_last, *to_last;
    int a = parent_open(root, from, &from_last), b = -1;
    bool ok = a >= 0 && (b = parent_open(root, to, &to_last)) >= 0 &&
              renameat(a, from_last, b, to_last) == 0 && fd_sync_folder(b) && fd_sync_folder(a);
    if (!ok) beneath_fail(e, to, "cannot rename the new file", errno);
    if (a >= 0) close(a);
    if (b >= 0) close(b);
    return ok;
}

bool beneath_remove(int root, const char *path, err *e) {
    const char *last;
    int at = parent_open(root, path, &last);
    if (at < 0 && errno == ENOENT) return true;
    bool ok = at >= 0 && (unlinkat(at, last, 0) == 0 || errno == ENOENT) && fd_sync_folder(at);
    if (!ok) beneath_fail(e, path, "cannot remove", errno);
    if (at >= 0) close(at);
    return ok;
}

bool beneath_remove_dir(int root, const char *path) {
    const char *last;
    int at = parent_open(root, path, &last);
    bool ok = at >= 0 && unlinkat(at, last, AT_REMOVEDIR) == 0;
    if (at >= 0) close(at);
    return ok;
}

bool beneath_each(int root, const char *folder, bool (*each)(void *ud, const char *name), void *ud,
                  err *e) {
    int fd = beneath_open(root, folder, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return true;
        return beneath_fail(e, folder, "cannot open the folder", errno);
    }
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = errno;
        close(fd);
        return beneath_fail(e, folder, "cannot list the folder", error);
    }
    bool go_on = true;
    for (struct dirent *f; go_on && (f = readdir(d));)
        if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0)
            go_on = each(ud, f->d_name);
    closedir(d);
    return true;
}

/* ---- replacing ---- */

bool beneath_replace(int root, const char *path, const void *data, size_t n, unsigned mode,
                     err *e) {
    char tmp[64];
    const char *last;
    int at = parent_open(root, path, &last);
    if (at < 0) return beneath_fail(e, path, "cannot write", errno);
    int fd = fd_temporary(at, "", mode, tmp, sizeof tmp);
    bool ok = fd >= 0 && fd_write_all(fd, data, n) && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (ok && (renameat(at, tmp, at, last) != 0 || !fd_sync_folder(at))) {
        ok = false;
        error = errno;
    }
    if (!ok) {
        if (fd >= 0) unlinkat(at, tmp, 0);
        beneath_fail(e, path, "cannot write", error);
        if (e && e->code == ERR_NO_FIT && error == ENOSPC)
            err_set(e, ERR_NO_FIT, "%s: the disk is full: %zu bytes are needed", path, n);
    }
    close(at);
    return ok;
}
