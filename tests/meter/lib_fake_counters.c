/* A processor's counters that are never late: loaded in front of the C library (LD_PRELOAD), it
 * answers the opening of a file "energy_uj" with what the counter says at the very time that the
 * thread was last told. So joules are watts times seconds to the microjoule, however busy the
 * machine is and whenever it lets the program run; a program that takes the wrong counters, loses
 * one or misses where it begins again is off by watts. After a counter was read the clock stands
 * still for one look: what is read in one go is read at one moment.
 *
 * The file itself holds the recipe: microwatts, the nanosecond at which it began, the count then,
 * and the range.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *t);
int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);

static _Thread_local struct timespec told;
static _Thread_local int just_read;

int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    if (id != CLOCK_MONOTONIC) return real(id, t);
    int code = just_read ? 0 : real(id, &told);
    just_read = 0;
    *t = told;
    return code;
}

/* A file of its own with the count of now. */
static int counter_open(int fd) {
    char text[200] = "";
    unsigned long long microwatts, began_ns, start, range;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0 || sscanf(text, "%llu %llu %llu %llu", &microwatts, &began_ns, &start, &range) != 4)
        return -1;
    if (told.tv_sec == 0) clock_gettime(CLOCK_MONOTONIC, &told);
    uint64_t now_ns = (uint64_t)told.tv_sec * 1000000000u + (uint64_t)told.tv_nsec;
    __extension__ typedef unsigned __int128 wide;
    uint64_t gained = (uint64_t)((wide)(now_ns - began_ns) * microwatts / 1000000000u);
    just_read = 1;
    fd = memfd_create("energy_uj", MFD_CLOEXEC);
    n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)((start + gained) % range));
    if (fd < 0 || write(fd, text, (size_t)n) != n || lseek(fd, 0, SEEK_SET) != 0) return -1;
    return fd;
}

static int open_any(const char *path, int flags, int mode) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    const char *name = strrchr(path, '/');
    return fd >= 0 && name && strcmp(name, "/energy_uj") == 0 ? counter_open(fd) : fd;
}

static int mode_of(int flags, va_list ap) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, int) : 0;
}

int open(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    int mode = mode_of(flags, ap);
    va_end(ap);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    int mode = mode_of(flags, ap);
    va_end(ap);
    return open_any(path, flags | O_LARGEFILE, mode);
}
