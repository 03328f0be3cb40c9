/* A laptop's battery, while it is the only supply: what leaves it is what the machine uses. Its
 * counter has coarse steps, seconds apart, so the power is added up where it is told, and the
 * counter only checks it: windows below ten minutes say little.
 */
#include <math.h>
#include <stdio.h>

#include "meter/source.h"

#define FOLDER "/sys/class/power_supply"
#define STEP_J 36.0 /* 10 mWh, as most tell it */

typedef struct battery {
    char folder[700]; /* full path */
    bool has_power, has_energy;
} battery;

static bool number(const battery *b, const char *file, uint64_t *out) {
    char path[800];
    snprintf(path, sizeof path, "%s/%s", b->folder, file);
    return source_file_u64(path, out);
}

static bool power_now(const battery *b, double *watts) {
    uint64_t uw, uv, ua;
    if (number(b, "power_now", &uw)) {
        *watts = (double)uw * 1e-6;
        return true;
    }
    if (!number(b, "voltage_now", &uv) || !number(b, "current_now", &ua)) return false;
    *watts = (double)uv * 1e-6 * ((double)ua * 1e-6);
    return true;
}

static bool discharges(const battery *b) {
    source_list bare = {0};
    char path[800], status[32];
    snprintf(path, sizeof path, "%s/status", b->folder);
    return source_file_text(&bare, path, status, sizeof status) &&
           strcmp(status, "Discharging") == 0;
}

static bool battery_read(source *s, energy_reading *r, const char **why) {
    const battery *b = s->ud;
    uint64_t uwh;
    *why = "the battery is not the supply now";
    if (!discharges(b)) return false;
    *why = "the battery tells nothing any more";
    r->has_watts = b->has_power && power_now(b, &r->watts);
    if (b->has_energy && number(b, "energy_now", &uwh)) { /* it runs down; a counter runs up */
        r->has_count = true;
        r->count = UINT64_MAX / 2 - uwh;
    }
    return s->rules.by_power ? r->has_watts : r->has_count;
}

static void battery_add(source_list *l, const char *name) {
    char path[400], type[32];
    uint64_t uwh;
    double watts;
    snprintf(path, sizeof path, FOLDER "/%s/type", name);
    if (!source_file_text(l, path, type, sizeof type) || strcmp(type, "Battery") != 0) return;
    snprintf(path, sizeof path, FOLDER "/%s/scope", name); /* a mouse's has "Device" */
    if (source_file_text(l, path, type, sizeof type) && strcmp(type, "Device") == 0) return;
    source *s = source_add(l, "battery", METER_DC, "%s", name);
    battery *b = s ? calloc(1, sizeof *b) : NULL;
    if (!b) return;
    snprintf(path, sizeof path, FOLDER "/%s", name);
    source_path(l, path, b->folder, sizeof b->folder);
    b->has_power = power_now(b, &watts);
    b->has_energy = number(b, "energy_now", &uwh);
    s->ud = b;
    s->close = source_close_free;
    s->read = battery_read;
    s->step_j = b->has_energy ? STEP_J : 0;
    s->rules = (energy_rules){.unit_j = 3600e-6,
                              .max_watts = 1000,
                              .by_power = b->has_power,
                              .step_j = STEP_J,
                              .max_gap_ns = 10000 * MS_NS};
    if (!b->has_power && !b->has_energy) source_refuse(s, "it tells neither power nor energy");
    else if (!discharges(b)) source_refuse(s, "it is not the supply now: pull the plug to use it");
}

void source_find_battery(source_list *l) {
    char **names;
    size_t n = source_folder(l, FOLDER, &names);
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) < 60) battery_add(l, names[i]);
    source_names_free(names, n);
}
