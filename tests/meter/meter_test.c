#include "meter/meter_test.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

uint64_t test_now_ns = 1000000000000;
void (*test_spin)(void);

const char *tree_root(void) {
    static char root[300];
    snprintf(root, sizeof root, "%s/tree", scratch_dir());
    return root;
}

void tree_write(const char *path, const char *fmt, ...) {
    char full[600], folder[600];
    va_list ap;
    snprintf(full, sizeof full, "%s/%s", tree_root(), path);
    snprintf(folder, sizeof folder, "%s", full);
    *strrchr(folder, '/') = 0;
    FILE *f = fopen(full, "w");
    if (!f && file_make_dirs(folder, 0755, NULL)) f = fopen(full, "w");
    if (!f) fail_msg("cannot write %s", full);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fputc('\n', f);
    fclose(f);
}

void tree_remove(const char *path) {
    char full[600];
    snprintf(full, sizeof full, "%s/%s", tree_root(), path);
    unlink(full);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at) {
    (void)st, (void)flag, (void)at;
    return remove(path);
}

void tree_clear(void) {
    nftw(tree_root(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *tree_from(const char *more) {
    static char from[1200];
    snprintf(from, sizeof from, "root=%s%s%s", tree_root(), more[0] ? "," : "", more);
    return from;
}

const char *test_library(const char *name) {
    static char path[600];
    snprintf(path, sizeof path, "%s/tests/lib%s.so", getenv("HEARTH_BUILD"), name);
    return path;
}

static uint64_t now(void *ud) {
    (void)ud;
    return test_now_ns;
}

static void spin(void *ud) {
    (void)ud;
    test_now_ns += 200000000;
    if (test_spin) test_spin();
}

meter *test_meter_open(const meter_options *o) {
    err e = {0};
    meter_options mine = *o;
    mine.clock = (meter_clock){now, spin, NULL};
    meter *m = meter_open(&mine, &e);
    if (!m) fail_msg("%s", e.msg);
    return m;
}

meter_source test_source(const meter *m, const char *kind, const char *name) {
    meter_source s;
    for (size_t i = 0; i < meter_n_sources(m); i++) {
        meter_source_get(m, i, &s);
        if (strcmp(s.kind, kind) == 0 && strcmp(s.name, name) == 0) return s;
    }
    fail_msg("there is no source %s %s", kind, name);
    return (meter_source){0};
}

meter_status test_status(const meter *m) {
    meter_status st;
    meter_status_get(m, &st);
    return st;
}
