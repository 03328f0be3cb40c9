/* Graphics cards without a library: the hwmon folders of the kernel's drivers.
 *
 * Intel (i915, xe): energyN_input, microjoules, which the driver adds up; it notices one wrap of
 * the register between two readings, so it must be read often, as the meter does. A card with the
 * channels "card" and "pkg" has the second inside the first. AMD (amdgpu): power, microwatts.
 */
#include <stdio.h>

#include "meter/source.h"

#define DRM "/sys/class/drm"
#define MAX_WATTS 3000

/* The channel to count: the one labelled "card", else the first. */
static int energy_channel(const source_list *l, const char *folder) {
    char path[600], full[1200], label[32];
    uint64_t now;
    int first = 0;
    for (int i = 1; i <= 4; i++) {
        snprintf(path, sizeof path, "%s/energy%d_input", folder, i);
        source_path(l, path, full, sizeof full);
        if (!source_file_u64(full, &now)) continue;
        snprintf(path, sizeof path, "%s/energy%d_label", folder, i);
        if (source_file_text(l, path, label, sizeof label) && strcmp(label, "card") == 0) return i;
        if (!first) first = i;
    }
    return first;
}

static void keep_file(source *s, const source_list *l, const char *path) {
    char full[1200];
    source_path(l, path, full, sizeof full);
    s->ud = strdup(full);
    s->close = source_close_free;
    if (!s->ud) source_refuse(s, "out of memory");
}

static void intel_add(source_list *l, const char *card, const char *folder, const char *driver) {
    char path[600];
    int channel = energy_channel(l, folder);
    source *s = source_add(l, "intel-gpu", METER_PARTS, "%s (%s)", card, driver);
    if (!s) return;
    s->rules = (energy_rules){.unit_j = 1e-6, .max_watts = MAX_WATTS, .fresh_ns = 1000 * MS_NS};
    s->step_j = 1e-6;
    s->read = source_read_uj_file;
    if (!channel) {
        source_refuse(s, "the driver shows no energy of this card");
        return;
    }
    snprintf(path, sizeof path, "%s/energy%d_input", folder, channel);
    keep_file(s, l, path);
}

static void amd_add(source_list *l, const char *card, const char *folder) {
    static const char *const files[] = {"power1_average", "power1_input"};
    char path[600], full[1200];
    uint64_t now;
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        source_path(l, path, full, sizeof full);
        if (!source_file_u64(full, &now)) continue;
        source *s = source_add(l, "amd-gpu", METER_PARTS, "%s (amdgpu)", card);
        if (!s) return;
        s->rules = (energy_rules){
            .max_watts = MAX_WATTS, .by_power = true, .max_gap_ns = 10000 * MS_NS};
        s->read = source_read_uw_file;
        s->instead_of = "amd-smi";
        s->instead_why = "its counter is read through amd-smi";
        keep_file(s, l, path);
        return;
    }
}

static void card_add(source_list *l, const char *card) {
    char path[400], folder[500], driver[32], **names;
    snprintf(path, sizeof path, DRM "/%s/device/hwmon", card);
    size_t n = source_folder(l, path, &names);
    for (size_t i = 0; i < n; i++) {
        snprintf(folder, sizeof folder, "%s/%.60s", path, names[i]);
        char file[600];
        snprintf(file, sizeof file, "%s/name", folder);
        if (!source_file_text(l, file, driver, sizeof driver)) continue;
        if (strcmp(driver, "i915") == 0 || strcmp(driver, "xe") == 0)
            intel_add(l, card, folder, driver);
        else if (strcmp(driver, "amdgpu") == 0) amd_add(l, card, folder);
    }
    source_names_free(names, n);
}

void source_find_hwmon(source_list *l) {
    char **names;
    size_t n = source_folder(l, DRM, &names);
    for (size_t i = 0; i < n; i++) /* "card0"; "card0-DP-1" is a socket of it */
        if (strncmp(names[i], "card", 4) == 0 && !strchr(names[i], '-') && strlen(names[i]) < 40)
            card_add(l, names[i]);
    source_names_free(names, n);
}
