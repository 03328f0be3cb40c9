#include "support/resident.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *line, const char *name) {
    size_t n = strcspn(line, "\n"), k = strlen(name);
    return n >= k && memcmp(line + n - k, name, k) == 0;
}

int resident_pages(const char *name) {
    unsigned long from, to, kb, sum = 0;
    char line[4096];
    bool inside = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f) return -1;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) inside = ends_with(line, name);
        if (inside && sscanf(line, "Rss: %lu kB", &kb) == 1) sum += kb;
    }
    fclose(f);
    return (int)(sum * 1024 / (unsigned long)sysconf(_SC_PAGESIZE));
}
