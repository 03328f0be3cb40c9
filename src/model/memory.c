#include "model/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"

/* Reads a small file of /proc or /sys; false when it is not there. */
static bool slurp(const char *path, char *dst, size_t cap) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(dst, 1, cap - 1, f);
    fclose(f);
    dst[n] = 0;
    return n > 0;
}

/* The number behind "name" at the start of a line; false when there is none. */
static bool field(const char *text, const char *name, uint64_t *out) {
    size_t n = strlen(name);
    for (const char *p = text; p; p = strchr(p, '\n')) {
        if (*p == '\n') p++;
        if (strncmp(p, name, n) != 0 || (p[n] != ' ' && p[n] != ':')) continue;
        unsigned long long v;
        if (sscanf(p + n + 1, "%llu", &v) != 1) return false;
        *out = v;
        return true;
    }
    return false;
}

static uint64_t machine_available(void) {
    char text[4096];
    uint64_t kib;
    if (!slurp("/proc/meminfo", text, sizeof text) || !field(text, "MemAvailable", &kib))
        return UINT64_MAX;
    return kib * 1024;
}

static bool number_of(const char *folder, const char *name, uint64_t *out) {
    char path[600], text[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return slurp(path, text, sizeof text) && str_to_u64(str_trim(str_of(text)), out);
}

/* What one group leaves: its limit less what it uses, file pages not counted since they can go. */
static uint64_t group_available(const char *folder, const char *limit_name,
                                const char *usage_name) {
    char path[600], text[8192];
    uint64_t limit, used, file = 0, active = 0;
    if (!number_of(folder, limit_name, &limit) || !number_of(folder, usage_name, &used))
        return UINT64_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    if (slurp(path, text, sizeof text)) {
        field(text, "inactive_file", &file);
        field(text, "active_file", &active);
        file += active;
    }
    used = used > file ? used - file : 0;
    return limit > used ? limit - used : 0;
}

/* This process's group of the hierarchy, and every group above it, may have a limit. */
static uint64_t groups_available(const char *root, const char *line, const char *limit_name,
                                 const char *usage_name) {
    char folder[512];
    uint64_t least = UINT64_MAX;
    size_t base = strlen(root);
    snprintf(folder, sizeof folder, "%s%.*s", root, (int)strcspn(line, "\n"), line);
    for (;;) {
        uint64_t left = group_available(folder, limit_name, usage_name);
        if (left < least) least = left;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < base) return least;
        *slash = 0;
    }
}

/* What the limit on address space (ulimit -v) leaves. */
static uint64_t address_space_available(void) {
    struct rlimit limit;
    char text[128];
    unsigned long long pages;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    if (!slurp("/proc/self/statm", text, sizeof text) || sscanf(text, "%llu", &pages) != 1)
        return limit.rlim_cur;
    uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

uint64_t memory_available(void) {
    char text[4096];
    uint64_t least = machine_available(), space = address_space_available();
    if (space < least) least = space;
    if (!slurp("/proc/self/cgroup", text, sizeof text)) return least;
    for (const char *p = text; *p; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n')) {
        uint64_t left = UINT64_MAX;
        const char *path = strchr(p, ':');
        path = path ? strchr(path + 1, ':') : NULL;
        if (!path) break;
        if (strncmp(p, "0::", 3) == 0)
            left = groups_available("/sys/fs/cgroup", path + 1, "memory.max", "memory.current");
        else if (strstr(p, ":memory:") && strstr(p, ":memory:") < path)
            left = groups_available("/sys/fs/cgroup/memory", path + 1, "memory.limit_in_bytes",
                                    "memory.usage_in_bytes");
        if (left < least) least = left;
    }
    return least;
}

void *memory_map(size_t n) {
    if (n == 0) n = 1;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, n, MADV_HUGEPAGE);
    return p;
}

void memory_unmap(void *p, size_t n) {
    if (p) munmap(p, n ? n : 1);
}

void memory_give_back(void) {
    malloc_trim(0);
}
