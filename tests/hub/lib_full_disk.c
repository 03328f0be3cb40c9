/* A disk that is full after so many bytes, for programs that it is loaded into before all else:
 * writes to files beneath FULL_DISK_UNDER are counted, all threads' together, and what goes past
 * FULL_DISK_AFTER bytes fails by ENOSPC; the write that reaches it is cut short there, as real ones
 * are. Blanks that ftruncate makes take no room, as on real file systems.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_llong used;

/* How many of n bytes there is room for; n where the file is not on that disk. */
static size_t room(int fd, size_t n) {
    const char *under = getenv("FULL_DISK_UNDER"), *after = getenv("FULL_DISK_AFTER");
    char link[64], path[4096];
    if (!under || !after) return n;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t k = readlink(link, path, sizeof path - 1);
    if (k <= 0 || strncmp(path, under, strlen(under)) != 0) return n;
    long long most = atoll(after), before = atomic_fetch_add(&used, (long long)n);
    if (before >= most) return 0;
    return before + (long long)n > most ? (size_t)(most - before) : n;
}

ssize_t write(int fd, const void *p, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    size_t k = room(fd, n);
    if (k > 0 || n == 0) return real(fd, p, k);
    errno = ENOSPC;
    return -1;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    size_t k = room(fd, n);
    if (k > 0 || n == 0) return real(fd, p, k, at);
    errno = ENOSPC;
    return -1;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) {
    return pwrite(fd, p, n, at);
}
