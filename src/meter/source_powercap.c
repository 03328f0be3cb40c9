/* RAPL through powercap: counters of microjoules in /sys/class/powercap, of Intel's processors and,
 * under the same name, of AMD's; and the same tree where a hypervisor hands it to its guest.
 *
 * The domains nest: psys holds the packages, a package holds core and uncore. Adding them would
 * count twice, so only packages and dram count; psys is shown apart. The same counters may appear
 * twice, by MSR and by MMIO: the names tell. Counters are only for root since they leak what a
 * processor computes; hearth-meterd reads them for others.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "meter/source.h"

#define FOLDER "/sys/class/powercap"
/* More than any processor package takes. With the smallest known range, 65,536 J, a gap of a
 * minute is still told from a counter that began again. */
#define MAX_WATTS 1000
#define FRESH_NS (100 * MS_NS) /* the hardware writes every millisecond */

typedef enum domain_kind { DOMAIN_PACKAGE, DOMAIN_DRAM, DOMAIN_PSYS, DOMAIN_PART } domain_kind;

static domain_kind kind_of(const char *name) {
    str s = str_of(name);
    if (str_starts(s, STR("package"))) return DOMAIN_PACKAGE;
    if (str_eq(s, STR("dram"))) return DOMAIN_DRAM;
    if (str_starts(s, STR("psys"))) return DOMAIN_PSYS;
    return DOMAIN_PART;
}

/* The name of the zone that holds zone "intel-rapl:0:1", as "package-0"; "" for outer ones. */
static void outer_name(const source_list *l, const char *zone, char *dst, size_t cap) {
    const char *first = strchr(zone, ':'), *last = strrchr(zone, ':');
    char path[400];
    dst[0] = 0;
    if (!first || first == last) return;
    snprintf(path, sizeof path, FOLDER "/%.*s/name", (int)(last - zone), zone);
    if (!source_file_text(l, path, dst, cap)) dst[0] = 0;
}

/* Whether it is there already, from perf or by its other way into the processor. */
static const source *twin_of(const source_list *l, const char *name) {
    for (size_t i = 0; i < l->n; i++) {
        const source *s = &l->item[i];
        if (strncmp(s->kind, "rapl-", 5) == 0 && !s->why_not[0] && strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static void zone_rules(source *s, const source_list *l, const char *zone) {
    char path[400], full[1024];
    uint64_t most = 0;
    snprintf(path, sizeof path, FOLDER "/%s/max_energy_range_uj", zone);
    source_path(l, path, full, sizeof full);
    s->rules = (energy_rules){.unit_j = 1e-6, .max_watts = MAX_WATTS, .fresh_ns = FRESH_NS};
    if (source_file_u64(full, &most) && most > 0) s->rules.range = most + 1;
    s->step_j = 61e-6; /* the coarser of the units that are known: 2^-14 J */
    s->spins = true;
    s->read = source_read_uj_file;
    s->close = source_close_free;
}

/* perf names its counters by package: powercap's "package-0-die-1" has no other. */
static bool perf_has(const source_list *l, domain_kind k) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->item[i].kind, "rapl-perf") == 0 && !l->item[i].why_not[0] &&
            kind_of(l->item[i].name) == k)
            return true;
    return false;
}

static void zone_add(source_list *l, const char *zone) {
    char path[400], full[1024], name[64], outer[64], whole[140];
    snprintf(path, sizeof path, FOLDER "/%s/name", zone);
    if (!source_file_text(l, path, name, sizeof name)) return;
    domain_kind k = kind_of(name);
    outer_name(l, zone, outer, sizeof outer);
    snprintf(whole, sizeof whole, "%s%s%s", outer, outer[0] ? " " : "", name);
    const source *twin = twin_of(l, whole);
    source *s = source_add(l, "rapl-powercap", METER_PARTS, "%s", whole);
    if (!s) return;
    snprintf(path, sizeof path, FOLDER "/%s/energy_uj", zone);
    source_path(l, path, full, sizeof full);
    uint64_t now;
    errno = 0;
    if (twin) source_refuse(s, "the same counter as %s %s", twin->kind, twin->name);
    else if (k == DOMAIN_PART) source_refuse(s, "a part of its package: never added");
    else if (!source_file_u64(full, &now))
        source_refuse(s, errno == EACCES || errno == EPERM
                             ? "only root may read it: start hearth-meterd (docs/energy.md)"
                             : "it gives no number");
    zone_rules(s, l, zone);
    s->apart = k == DOMAIN_PSYS;
    if (perf_has(l, k)) {
        s->instead_of = "rapl-perf";
        s->instead_why = "read through perf";
    }
    s->ud = strdup(full);
    if (!s->ud) source_refuse(s, "out of memory");
}

void source_find_powercap(source_list *l) {
    char **names;
    size_t n = source_folder(l, FOLDER, &names);
    for (int mmio = 0; mmio < 2; mmio++) /* by MSR first: all processors have it */
        for (size_t i = 0; i < n; i++) {
            bool is_mmio = strncmp(names[i], "intel-rapl-mmio:", 16) == 0;
            if ((is_mmio || strncmp(names[i], "intel-rapl:", 11) == 0) && is_mmio == mmio)
                zone_add(l, names[i]);
        }
    source_names_free(names, n);
}

/* ---- a hypervisor's ---- */

static bool guest_add(source_list *l, const char *file, const char *range_file, const char *name,
                      err *e) {
    uint64_t now, most = 0;
    char shown[200];
    str_printable(str_of(file), shown, sizeof shown);
    if (!source_file_u64(file, &now))
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED,
                       "--hypervisor: %s gives no number of microjoules", shown);
    source *s = source_add(l, "hypervisor", METER_PARTS, "%s", name);
    if (!s) return err_set(e, ERR_NO_FIT, "more than %d sources", SOURCES_MAX);
    s->rules = (energy_rules){.unit_j = 1e-6, .max_watts = MAX_WATTS, .fresh_ns = 10000 * MS_NS};
    if (range_file && source_file_u64(range_file, &most) && most > 0) s->rules.range = most + 1;
    s->step_j = 1e-6;
    s->read = source_read_uj_file;
    s->close = source_close_free;
    s->ud = strdup(file);
    return s->ud || err_set(e, ERR_NO_FIT, "out of memory");
}

bool source_find_hypervisor(source_list *l, const char *path, err *e) {
    struct stat st;
    if (stat(path, &st) != 0) {
        char shown[200];
        return err_set(e, ERR_NOT_FOUND, "--hypervisor: %s is not there",
                       str_printable(str_of(path), shown, sizeof shown));
    }
    if (!S_ISDIR(st.st_mode)) return guest_add(l, path, NULL, "host's share", e);
    char **names, file[1200], range[1200];
    source_list bare = {0}; /* the path is not below the root */
    size_t n = source_folder(&bare, path, &names), found = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        snprintf(file, sizeof file, "%s/%s/energy_uj", path, names[i]);
        snprintf(range, sizeof range, "%s/%s/max_energy_range_uj", path, names[i]);
        const char *colon = strchr(names[i], ':');
        if (stat(file, &st) != 0 || (colon && strchr(colon + 1, ':'))) continue; /* nested */
        ok = guest_add(l, file, range, names[i], e);
        found++;
    }
    source_names_free(names, n);
    if (ok && !found)
        return err_set(e, ERR_NOT_FOUND, "--hypervisor: no energy_uj in the folders of %s", path);
    return ok;
}
