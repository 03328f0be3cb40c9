/* What the files that find sources share. */
#include "meter/source.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define SPIN_NS (200 * MS_NS)

source *source_add(source_list *l, const char *kind, meter_boundary b, const char *fmt, ...) {
    char name[200];
    va_list ap;
    if (l->n == SOURCES_MAX) return NULL;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    source *s = &l->item[l->n++];
    *s = (source){.kind = kind, .boundary = b};
    str_printable(str_of(name), s->name, sizeof s->name);
    return s;
}

void source_refuse(source *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->why_not, sizeof s->why_not, fmt, ap);
    va_end(ap);
}

uint64_t source_now_ns(const source_list *l) {
    return l->clock && l->clock->now_ns ? l->clock->now_ns(l->clock->ud) : clock_now_ns();
}

void source_path(const source_list *l, const char *path, char *dst, size_t cap) {
    snprintf(dst, cap, "%s%s", l->from.root, path);
}

/* One read is enough for what the kernel tells. */
static bool file_text(const char *path, char *dst, size_t cap) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    ssize_t n = read(fd, dst, cap - 1);
    int error = errno;
    close(fd);
    errno = error;
    if (n < 0) return false;
    while (n > 0 && (dst[n - 1] == '\n' || dst[n - 1] == ' ')) n--;
    dst[n] = 0;
    return true;
}

bool source_file_text(const source_list *l, const char *path, char *dst, size_t cap) {
    char full[1024];
    source_path(l, path, full, sizeof full);
    return file_text(full, dst, cap);
}

bool source_file_u64(const char *full_path, uint64_t *out) {
    char text[64];
    if (!file_text(full_path, text, sizeof text)) return false;
    if (str_to_u64(str_of(text), out)) return true;
    errno = EINVAL;
    return false;
}

static int by_name(const void *a, const void *b) {
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

size_t source_folder(const source_list *l, const char *path, char ***names) {
    char full[1024];
    size_t n = 0;
    source_path(l, path, full, sizeof full);
    *names = calloc(SOURCES_MAX, sizeof **names);
    DIR *d = *names ? opendir(full) : NULL;
    if (!d) return 0;
    for (struct dirent *f; n < SOURCES_MAX && (f = readdir(d));)
        if (f->d_name[0] != '.' && ((*names)[n] = strdup(f->d_name))) n++;
    closedir(d);
    qsort(*names, n, sizeof **names, by_name);
    return n;
}

void source_names_free(char **names, size_t n) {
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
}

bool source_read_uj_file(source *s, energy_reading *r, const char **why) {
    r->has_count = source_file_u64(s->ud, &r->count);
    *why = errno == EACCES ? "the counter may not be read any more" : "the counter is gone";
    return r->has_count;
}

bool source_read_uw_file(source *s, energy_reading *r, const char **why) {
    uint64_t uw;
    r->has_watts = source_file_u64(s->ud, &uw);
    r->watts = r->has_watts ? (double)uw * 1e-6 : 0;
    *why = "the power is not told any more";
    return r->has_watts;
}

/* POSIX wants a function's address to come this way; ISO C has no conversion for it. */
void source_close_free(source *s) {
    free(s->ud);
    s->ud = NULL;
}

/* ---- cards that a library reads ---- */

bool source_library_open(source_library *l, const char *path) {
    l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return l->handle != NULL;
}

void source_library_symbol(const source_library *l, const char *name, void *function) {
    void *found = dlsym(l->handle, name);
    memcpy(function, &found, sizeof found);
}

void source_library_release(source_library *l) {
    if (--l->users > 0) return;
    if (l->shut_down) l->shut_down();
    if (l->handle) dlclose(l->handle);
    free(l);
}

static void card_close(source *s) {
    source_card *card = s->ud;
    if (card) source_library_release(card->library);
    source_close_free(s);
}

void source_card_set(source *s, source_library *l, void *device,
                     bool (*read)(source *s, energy_reading *r, const char **why)) {
    source_card *card = calloc(1, sizeof *card);
    if (!card) {
        source_refuse(s, "out of memory");
        return;
    }
    *card = (source_card){l, device};
    l->users++;
    s->ud = card;
    s->read = read;
    s->close = card_close;
}

/* ---- settling ---- */

static void spin(const source_list *l) {
    if (l->clock && l->clock->spin) {
        l->clock->spin(l->clock->ud);
        return;
    }
    volatile double x = 1;
    for (uint64_t until = clock_now_ns() + SPIN_NS; clock_now_ns() < until;)
        for (int i = 0; i < 1000; i++) x = x * 1.0000001 + 1e-9;
}

static bool count_now(const source_list *l, source *s, uint64_t *count) {
    energy_reading r = {.t_ns = source_now_ns(l)};
    const char *why = "";
    bool ok = s->read(s, &r, &why) && r.has_count;
    *count = r.count;
    if (!ok) source_refuse(s, "%s", why);
    return ok;
}

/* A counter that does not move while the processor works hard counts nothing. */
static void probe_all(source_list *l) {
    bool any = false;
    for (size_t i = 0; i < l->n; i++) {
        source *s = &l->item[i];
        if (s->spins && source_usable(s)) any |= count_now(l, s, &s->probe);
    }
    if (!any) return;
    spin(l);
    for (size_t i = 0; i < l->n; i++) {
        source *s = &l->item[i];
        uint64_t now;
        if (!s->spins || !source_usable(s) || !count_now(l, s, &now)) continue;
        if (now == s->probe) source_refuse(s, "it did not move while the processor was busy");
    }
}

void sources_settle(source_list *l) {
    probe_all(l);
    for (size_t i = 0; i < l->n; i++) {
        source *s = &l->item[i];
        for (size_t k = 0; s->instead_of && k < l->n && source_usable(s); k++) {
            const source *o = &l->item[k];
            if (source_usable(o) && !o->instead_of && !o->apart &&
                strncmp(o->kind, s->instead_of, strlen(s->instead_of)) == 0)
                source_refuse(s, "%s", s->instead_why);
        }
    }
}
