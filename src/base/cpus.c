#include "base/cpus.h"
#include "base/file.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CPU_MASK_MAX 65536 /* CPUs; the kernel refuses a mask smaller than its own */

int cpus_affinity(void) {
    for (int n = 1024; n <= CPU_MASK_MAX; n *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (!set) break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)n);
        int failed = sched_getaffinity(0, bytes, set);
        int error = errno, count = failed ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (count > 0) return count;
        if (!failed || error != EINVAL) break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

/* The start of a small file, white space trimmed, in text; empty when it cannot be read. */
static str read_small(const char *path, char *text, size_t cap) {
    buf b;
    buf_init(&b, cap);
    str s = {text, 0};
    if (file_read(&b, path, NULL)) {
        memcpy(text, b.data ? b.data : "", b.len);
        s = str_trim((str){text, b.len});
    }
    buf_deinit(&b);
    return s;
}

static double ratio(str quota, str period) {
    double q, p;
    if (!str_to_f64(quota, &q) || !str_to_f64(period, &p) || q <= 0 || p <= 0) return 0;
    return q / p; /* "max" and -1 mean none */
}

static double quota_v2(const char *folder) {
    char path[4400], text[128];
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    str s = read_small(path, text, sizeof text);
    size_t space = str_find(s, STR(" "), 0);
    if (space == (size_t)-1) return 0;
    return ratio((str){s.p, space}, str_trim((str){s.p + space, s.n - space}));
}

static double quota_v1(const char *folder) {
    char path[4400], quota[64], period[64];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    str q = read_small(path, quota, sizeof quota);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    return ratio(q, read_small(path, period, sizeof period));
}

static double smaller(double a, double b) {
    if (a <= 0) return b;
    return b > 0 && b < a ? b : a;
}

/* Asks the group and each of its parents, since a parent's quota binds too. Inside a container the
 * path is often the host's and names nothing; then only the root is there to ask. */
static double quota_upwards(const char *mount, str group, double (*quota_of)(const char *folder)) {
    double least = 0;
    for (;;) {
        char folder[4300];
        while (group.n > 0 && group.p[group.n - 1] == '/') group.n--;
        int n = snprintf(folder, sizeof folder, "%s%.*s", mount, STR_ARG(group));
        if (n > 0 && (size_t)n < sizeof folder) least = smaller(least, quota_of(folder));
        if (group.n == 0) return least;
        while (group.n > 0 && group.p[group.n - 1] != '/') group.n--;
    }
}

static bool has_item(str list, str item) {
    for (size_t from = 0; from <= list.n;) {
        size_t comma = str_find(list, STR(","), from);
        size_t end = comma == (size_t)-1 ? list.n : comma;
        if (str_eq((str){list.p + from, end - from}, item)) return true;
        from = end + 1;
    }
    return false;
}

/* One line of the membership file: "hierarchy:controllers:/path"; version 2 has no controllers. */
static double quota_of_line(str line, const char *mount) {
    size_t first = str_find(line, STR(":"), 0);
    if (first == (size_t)-1) return 0;
    size_t second = str_find(line, STR(":"), first + 1);
    if (second == (size_t)-1) return 0;
    str controllers = {line.p + first + 1, second - first - 1};
    str group = {line.p + second + 1, line.n - second - 1};
    char v1_mount[4096];
    if (controllers.n == 0) return quota_upwards(mount, group, quota_v2);
    if (!has_item(controllers, STR("cpu"))) return 0;
    int n = snprintf(v1_mount, sizeof v1_mount, "%s/cpu", mount);
    return n < (int)sizeof v1_mount ? quota_upwards(v1_mount, group, quota_v1) : 0;
}

double cpus_quota(const char *membership_file, const char *mount_folder) {
    buf b;
    buf_init(&b, 1u << 16);
    double least = 0;
    if (file_read(&b, membership_file, NULL)) {
        str rest = buf_str(&b);
        while (rest.n > 0) {
            size_t end = str_find(rest, STR("\n"), 0);
            size_t n = end == (size_t)-1 ? rest.n : end;
            least = smaller(least, quota_of_line((str){rest.p, n}, mount_folder));
            if (end == (size_t)-1) break;
            rest = (str){rest.p + n + 1, rest.n - n - 1};
        }
    }
    buf_deinit(&b);
    return least;
}

int cpus_usable(void) {
    int n = cpus_affinity();
    double quota = cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && ceil(quota) < n) n = (int)ceil(quota);
    return n < 1 ? 1 : n;
}
