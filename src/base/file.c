#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"

#define PATH_BYTES 4096

/* O_NONBLOCK: opening a FIFO by mistake must not wait for a writer. */
static int open_for_reading(const char *path, err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) fd_fail(e, path, "cannot open", errno);
    return fd;
}

bool file_map_open(file_map *m, const char *path, err *e) {
    *m = (file_map){0};
    bool ok = false;
    struct stat st;
    int fd = open_for_reading(path, e);
    if (fd < 0) return false;
    if (fstat(fd, &st) != 0) {
        fd_fail(e, path, "cannot stat", errno);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        char shown[256];
        err_set(e, ERR_FAILED, "%s: %s, not a regular file",
                str_printable(str_of(path), shown, sizeof shown),
                S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
        goto out;
    }
    if (st.st_size > 0) {
        if ((uint64_t)st.st_size > SIZE_MAX) {
            fd_fail(e, path, "cannot map", EFBIG);
            goto out;
        }
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            fd_fail(e, path, "cannot map", errno);
            goto out;
        }
        m->data = p;
        m->size = (uint64_t)st.st_size;
    }
    ok = true;
out:
    close(fd); /* the mapping outlives the descriptor */
    return ok;
}

void file_map_close(file_map *m) {
    if (m->data) munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    *m = (file_map){0};
}

/* Only whole pages inside the range: their neighbours may still be read by someone. */
void file_map_release(const file_map *m, uint64_t offset, uint64_t n) {
    if (!m->data || offset >= m->size) return;
    if (n > m->size - offset) n = m->size - offset;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t from = (offset + page - 1) / page * page, to = offset + n;
    if (to < m->size) to = to / page * page; /* the file's last page has no neighbour behind it */
    if (from >= to) return;
    madvise((void *)(uintptr_t)(m->data + from), (size_t)(to - from), MADV_DONTNEED);
}

bool file_read(buf *b, const char *path, err *e) {
    int fd = open_for_reading(path, e);
    if (fd < 0) return false;
    /* From here on a pipe may wait for its writer, as a reader expects. */
    fcntl(fd, F_SETFL, 0);
    bool ok = false;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        fd_fail(e, path, "cannot stat", errno);
        goto out;
    }
    size_t room = b->max - b->len;
    if (S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size <= room)
        buf_reserve(b, (size_t)st.st_size); /* one allocation; failing here is noticed below */
    if (!fd_read_all(fd, b)) {
        fd_fail(e, path, "cannot read", errno);
        goto out;
    }
    if (b->failed) {
        char shown[256];
        err_set(e, ERR_NO_FIT, "%s: too large: %lld bytes, at most %zu fit",
                str_printable(str_of(path), shown, sizeof shown), (long long)st.st_size, room);
        goto out;
    }
    ok = true;
out:
    close(fd);
    return ok;
}

/* The folder part of path into dir, "." when there is none; false when it is too long. */
static bool folder_of(const char *path, char dir[PATH_BYTES]) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= PATH_BYTES) return false;
    if (!slash) return snprintf(dir, PATH_BYTES, ".") > 0;
    if (n == 0) n = 1; /* "/name" */
    memcpy(dir, path, n);
    dir[n] = 0;
    return true;
}

static bool sync_folder(const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = fd_sync_folder(fd);
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}

/* ---- A file that is written in pieces and appears whole ---- */

#define NEW_BUFFER 65536

struct file_new {
    int fd;
    bool exists;       /* a file of that name is there, whose mode is kept */
    mode_t mode;       /* of that file */
    size_t n;          /* bytes waiting in buffer */
    uint64_t expected; /* in all; 0: nobody has said */
    char *target;      /* with links resolved */
    char dir[PATH_BYTES], tmp[PATH_BYTES + 64];
    char buffer[NEW_BUFFER];
};

void file_new_abort(file_new *f) {
    if (!f) return;
    if (f->fd >= 0) {
        close(f->fd);
        unlink(f->tmp);
    }
    free(f->target);
    free(f);
}

file_new *file_new_open(const char *path, unsigned mode, err *e) {
    char real[PATH_MAX];
    struct stat old;
    const char *target = path;
    file_new *f = calloc(1, sizeof *f);
    if (!f) {
        fd_fail(e, path, "cannot write", ENOMEM);
        return NULL;
    }
    f->fd = -1;
    f->exists = lstat(path, &old) == 0;
    /* a link stays; the file that it names is replaced */
    if (f->exists && S_ISLNK(old.st_mode)) {
        if (realpath(path, real)) target = real;
        f->exists = stat(path, &old) == 0;
    }
    if (f->exists) f->mode = old.st_mode & 07777;
    if (!folder_of(target, f->dir)) {
        fd_fail(e, path, "cannot write", ENAMETOOLONG);
        goto fail;
    }
    f->target = strdup(target);
    if (!f->target) {
        fd_fail(e, path, "cannot write", ENOMEM);
        goto fail;
    }
    f->fd = fd_temporary(AT_FDCWD, f->dir, mode, f->tmp, sizeof f->tmp);
    if (f->fd >= 0) return f;
    fd_fail(e, path, "cannot make a temporary file beside it", errno);
fail:
    file_new_abort(f);
    return NULL;
}

bool file_new_expect(file_new *f, uint64_t bytes, err *e) {
    struct statvfs v;
    char shown[256];
    f->expected = bytes;
    if (fstatvfs(f->fd, &v) != 0 || bytes <= (uint64_t)v.f_bavail * v.f_frsize) return true;
    return err_set(e, ERR_NO_FIT,
                   "%s: the disk has no room: %llu bytes are needed and %llu are free",
                   str_printable(str_of(f->target), shown, sizeof shown), (unsigned long long)bytes,
                   (unsigned long long)v.f_bavail * v.f_frsize);
}

static bool new_fail(const file_new *f, const char *what, int error, err *e) {
    char shown[256];
    if (f->expected == 0 || (error != ENOSPC && error != EDQUOT))
        return fd_fail(e, f->target, what, error);
    return err_set(e, ERR_NO_FIT, "%s: the disk is full: %llu bytes are needed",
                   str_printable(str_of(f->target), shown, sizeof shown),
                   (unsigned long long)f->expected);
}

const char *file_new_path(const file_new *f) {
    return f->tmp;
}

bool file_new_flush(file_new *f, err *e) {
    size_t n = f->n;
    f->n = 0;
    return fd_write_all(f->fd, f->buffer, n) || new_fail(f, "cannot write", errno, e);
}

bool file_new_write(file_new *f, const void *p, size_t n, err *e) {
    if (n > NEW_BUFFER - f->n) {
        if (!file_new_flush(f, e)) return false;
        if (n >= NEW_BUFFER)
            return fd_write_all(f->fd, p, n) || new_fail(f, "cannot write", errno, e);
    }
    if (n) memcpy(f->buffer + f->n, p, n);
    f->n += n;
    return true;
}

bool file_new_commit(file_new *f, err *e) {
    const char *what = "cannot write";
    bool ok = (!f->exists || fchmod(f->fd, f->mode) == 0) && fd_write_all(f->fd, f->buffer, f->n) &&
              fsync(f->fd) == 0;
    int error = errno;
    if (close(f->fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    f->fd = -1;
    if (ok && rename(f->tmp, f->target) != 0) {
        ok = false;
        what = "cannot rename the new file";
        error = errno;
    }
    if (!ok) {
        unlink(f->tmp);
        new_fail(f, what, error, e);
    } else if (!sync_folder(f->dir)) {
        ok = fd_fail(e, f->dir, "cannot sync the folder", errno);
    }
    file_new_abort(f);
    return ok;
}

bool file_replace(const char *path, const void *data, size_t n, unsigned mode, err *e) {
    file_new *f = file_new_open(path, mode, e);
    if (!f) return false;
    if (!file_new_write(f, data, n, e)) {
        file_new_abort(f);
        return false;
    }
    return file_new_commit(f, e);
}

bool file_make_dirs(const char *path, unsigned mode, err *e) {
    char part[PATH_BYTES];
    size_t n = strlen(path);
    if (n == 0) return fd_fail(e, path, "cannot make the folder", ENOENT);
    if (n >= sizeof part) return fd_fail(e, path, "cannot make the folder", ENAMETOOLONG);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        part[i] = 0;
        if (mkdir(part, (mode_t)mode) != 0) {
            int error = errno;
            struct stat st;
            if (stat(part, &st) != 0) return fd_fail(e, part, "cannot make the folder", error);
            if (!S_ISDIR(st.st_mode)) return fd_fail(e, part, "is not a folder", ENOTDIR);
        }
        if (i < n) part[i] = '/';
    }
    return true;
}

/* The home folder of the user that runs this, for when $HOME is not set (services, some cron
 * jobs). */
static bool user_home(char *dst, size_t cap) {
    const char *home = getenv("HOME");
    char text[4096];
    struct passwd entry, *found = NULL;
    if (!home || !*home) {
        if (getpwuid_r(getuid(), &entry, text, sizeof text, &found) != 0 || !found) return false;
        home = entry.pw_dir;
    }
    int n = snprintf(dst, cap, "%s", home);
    return n > 0 && (size_t)n < cap;
}

const char *file_home(void) {
    static _Thread_local char path[PATH_BYTES];
    char home[PATH_BYTES - 64];
    const char *own = getenv("HEARTH_HOME"), *xdg = getenv("XDG_DATA_HOME");
    int n = -1;
    if (own && *own) n = snprintf(path, sizeof path, "%s", own);
    else if (xdg && *xdg == '/') n = snprintf(path, sizeof path, "%s/hearth", xdg);
    else if (user_home(home, sizeof home))
        n = snprintf(path, sizeof path, "%s/.local/share/hearth", home);
    return n > 0 && (size_t)n < sizeof path ? path : NULL;
}
