/* RAPL through perf's "power" events: the kernel adds the counters up in 64 bits, so nothing wraps.
 *
 * That the folder of the events is there proves nothing: virtual machines show it empty. A source
 * needs an event with a name, that it opens, and that its counter moves (the meter sees to that).
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "meter/source.h"

#define FOLDER "/sys/bus/event_source/devices/power"

static const struct {
    const char *event, *name;
    bool apart;
} events[] = {
    {"energy-pkg", "package", false},
    {"energy-ram", "dram", false},
    {"energy-psys", "psys", true},
};

static bool read_counter(source *s, energy_reading *r, const char **why) {
    uint64_t value;
    r->has_count = read(*(int *)s->ud, &value, sizeof value) == (ssize_t)sizeof value;
    r->count = r->has_count ? value : 0;
    *why = "perf gives no number any more";
    return r->has_count;
}

static void close_counter(source *s) {
    if (s->ud) close(*(int *)s->ud);
    source_close_free(s);
}

/* "event=0x02" and the like. */
static bool event_number(const char *text, uint64_t *out) {
    const char *p = strstr(text, "event=");
    char *end;
    if (!p) return false;
    errno = 0;
    *out = strtoull(p + 6, &end, 0);
    return end > p + 6 && errno == 0 && (*end == 0 || *end == ',');
}

static void counter_add(source_list *l, uint32_t type, size_t which, uint64_t config, double scale,
                        int cpu, int index) {
    source *s = source_add(l, "rapl-perf", METER_PARTS, "%s-%d", events[which].name, index);
    if (!s) return;
    s->apart = events[which].apart;
    s->spins = true;
    s->rules = (energy_rules){
        .unit_j = scale, .max_watts = 1000, .fresh_ns = 100 * MS_NS}; /* as powercap */
    s->step_j = 61e-6;
    struct perf_event_attr attr = {.type = type, .size = sizeof attr, .config = config};
    int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        char reason[100];
        source_refuse(s, "perf does not open it (%s)%s", strerror_r(errno, reason, sizeof reason),
                      errno == EACCES || errno == EPERM ? ": start hearth-meterd" : "");
        return;
    }
    s->ud = malloc(sizeof fd);
    if (!s->ud) {
        close(fd);
        source_refuse(s, "out of memory");
        return;
    }
    *(int *)s->ud = fd;
    s->read = read_counter;
    s->close = close_counter;
}

/* "0,16" or "0-3": one counter a CPU that is named. */
static void counters_add(source_list *l, uint32_t type, size_t which, uint64_t config, double scale,
                         const char *mask) {
    int index = 0;
    for (const char *p = mask; *p && index < 64;) {
        char *end;
        long from = strtol(p, &end, 10), to = from;
        if (end == p) return;
        if (*end == '-') to = strtol(end + 1, &end, 10);
        for (long cpu = from; cpu <= to && index < 64; cpu++)
            counter_add(l, type, which, config, scale, (int)cpu, index++);
        p = *end == ',' ? end + 1 : end;
        if (*end && *end != ',') return;
    }
}

void source_find_perf(source_list *l) {
    char text[256], mask[256], path[256];
    uint64_t type, config;
    if (!l->from.perf || !source_file_text(l, FOLDER "/type", text, sizeof text) ||
        !str_to_u64(str_of(text), &type))
        return;
    if (!source_file_text(l, FOLDER "/cpumask", mask, sizeof mask)) return;
    bool any = false;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        double scale;
        snprintf(path, sizeof path, FOLDER "/events/%s", events[i].event);
        if (!source_file_text(l, path, text, sizeof text) || !event_number(text, &config)) continue;
        snprintf(path, sizeof path, FOLDER "/events/%s.scale", events[i].event);
        if (!source_file_text(l, path, text, sizeof text) || !str_to_f64(str_of(text), &scale) ||
            !(scale > 0 && scale < 1))
            continue;
        any = true;
        counters_add(l, (uint32_t)type, i, config, scale, mask);
    }
    source *s = any ? NULL : source_add(l, "rapl-perf", METER_PARTS, "power events");
    if (s) source_refuse(s, "the kernel shows the folder of the events, and no event in it");
}
