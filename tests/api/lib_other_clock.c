/* A wall clock that somebody sets, for programs that it is loaded into before all else: it goes
 * wrong by as many seconds as the file that OTHER_CLOCK names says at the moment. The kernel's own
 * clock, by which waits end, goes on as it was. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long wrong_by(void) {
    const char *path = getenv("OTHER_CLOCK");
    long long seconds = 0;
    FILE *f = path ? fopen(path, "re") : NULL;
    if (f && fscanf(f, "%lld", &seconds) != 1) seconds = 0;
    if (f) fclose(f);
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, t);
    if (!failed && which == CLOCK_REALTIME) t->tv_sec += (time_t)wrong_by();
    return failed;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
