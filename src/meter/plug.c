#include "meter/plug.h"

#include <jansson.h>
#include <stdio.h>

#define BODY_BYTES 65536 /* of an answer; real ones have under 2 KB */
#define TIMEOUT_S 0.9    /* less than the second between two readings */

/* Energy of each kind in its own unit: Wh, watt-minutes, kWh. */
static const struct {
    const char *name, *path, *watts, *energy, *valid;
    double unit_j, step_j;
} kinds[PLUG_KINDS] = {
    [PLUG_ANY] = {"plug", "", "", "", "", 0, 3600},
    [PLUG_SHELLY2] = {"shelly2", "/rpc/Switch.GetStatus?id=0", "apower", "aenergy.total", "", 3600,
                      3.6},
    [PLUG_SHELLY_PM] = {"shelly-pm", "/rpc/PM1.GetStatus?id=0", "apower", "aenergy.total", "", 3600,
                        3.6},
    [PLUG_SHELLY1] = {"shelly1", "/meter/0", "power", "total", "is_valid", 60, 60},
    [PLUG_TASMOTA] = {"tasmota", "/cm?cmnd=Status%208", "StatusSNS.ENERGY.Power",
                      "StatusSNS.ENERGY.Total", "", 3.6e6, 3600},
    [PLUG_TASMOTA10] = {"tasmota", "/cm?cmnd=Status%2010", "StatusSNS.ENERGY.Power",
                        "StatusSNS.ENERGY.Total", "", 3.6e6, 3600},
    [PLUG_JSON] = {"json", "", "", "", "", 0, 3600},
};

const char *plug_kind_name(plug_kind k) {
    return kinds[k].name;
}

double plug_step_j(const plug_setting *s) {
    return s->kind == PLUG_JSON && s->energy[0] ? s->unit_j * 1e-3 : kinds[s->kind].step_j;
}

/* ---- settings ---- */

static bool complain(const char *text, const char *what, err *e) {
    char shown[160];
    return err_set(e, ERR_USAGE, "--plug: \"%s\": %s",
                   str_printable(str_of(text), shown, sizeof shown), what);
}

static bool copy(char *dst, size_t cap, str s) {
    if (s.n >= cap) return false;
    memcpy(dst, s.p, s.n);
    dst[s.n] = 0;
    return true;
}

static bool unit_read(str s, double *joules) {
    static const struct {
        const char *name;
        double joules;
    } units[] = {{"J", 1}, {"mJ", 1e-3}, {"Wh", 3600}, {"mWh", 3.6}, {"kWh", 3.6e6}, {"Wmin", 60}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!str_eq(s, str_of(units[i].name))) continue;
        *joules = units[i].joules;
        return true;
    }
    return false;
}

static bool detail_read(plug_setting *out, str item) {
    size_t is = str_find(item, STR("="), 0);
    if (is == (size_t)-1) return false;
    str key = {item.p, is}, value = {item.p + is + 1, item.n - is - 1};
    if (str_eq(key, STR("watts"))) return copy(out->watts, sizeof out->watts, value);
    if (str_eq(key, STR("energy"))) return copy(out->energy, sizeof out->energy, value);
    if (str_eq(key, STR("unit"))) return unit_read(value, &out->unit_j);
    if (str_eq(key, STR("timeout")))
        return str_to_f64(value, &out->timeout_s) && out->timeout_s >= 0.1 && out->timeout_s <= 5;
    if (!str_eq(key, STR("share"))) return false;
    return str_to_f64(value, &out->share) && out->share > 0 && out->share <= 1;
}

bool plug_setting_read(const char *text, plug_setting *out, err *e) {
    str rest = str_of(text);
    size_t is = str_find(rest, STR("="), 0), slashes = str_find(rest, STR("://"), 0);
    *out = (plug_setting){.share = 1, .unit_j = 3600, .timeout_s = TIMEOUT_S};
    if (is != (size_t)-1 && (slashes == (size_t)-1 || is < slashes)) {
        for (int k = PLUG_SHELLY2; k < PLUG_KINDS && !out->kind; k++)
            if (str_eq((str){rest.p, is}, str_of(kinds[k].name))) out->kind = (plug_kind)k;
        if (!out->kind)
            return complain(text, "kinds are shelly1, shelly2, shelly-pm, tasmota and json", e);
        rest = (str){rest.p + is + 1, rest.n - is - 1};
    }
    size_t comma = str_find(rest, STR(","), 0);
    str address = {rest.p, comma == (size_t)-1 ? rest.n : comma};
    while (address.n > 0 && address.p[address.n - 1] == '/') address.n--;
    bool web = str_starts(address, STR("http://")) || str_starts(address, STR("https://"));
    if (!web || address.n < 9 || !copy(out->address, sizeof out->address, address))
        return complain(text, "an address like http://192.168.1.40 is wanted", e);
    while (comma != (size_t)-1) {
        rest = (str){rest.p + comma + 1, rest.n - comma - 1};
        comma = str_find(rest, STR(","), 0);
        if (!detail_read(out, (str){rest.p, comma == (size_t)-1 ? rest.n : comma}))
            return complain(text,
                            "details are watts=PATH, energy=PATH, unit=J|mJ|Wh|mWh|kWh|Wmin, "
                            "share=0.5 and timeout=0.9 (seconds, at most 5)",
                            e);
    }
    bool paths = out->watts[0] || out->energy[0];
    if (out->kind == PLUG_JSON && !paths) return complain(text, "json wants watts= or energy=", e);
    if (out->kind != PLUG_JSON && paths)
        return complain(text, "watts= and energy= are for json", e);
    return true;
}

/* Whether more than a host is named. */
static bool has_path(const char *address) {
    const char *host = strstr(address, "://");
    return host && strpbrk(host + 3, "/?");
}

void plug_url(const plug_setting *s, plug_kind k, char *dst) {
    snprintf(dst, 500, "%s%s", s->address, has_path(s->address) ? "" : kinds[k].path);
}

/* ---- answers ---- */

/* "meters.0.power" */
static const json_t *value_at(const json_t *at, const char *path) {
    str rest = str_of(path);
    while (at && rest.n > 0) {
        size_t end = str_find(rest, STR("."), 0);
        str name = {rest.p, end == (size_t)-1 ? rest.n : end};
        uint64_t index;
        rest = end == (size_t)-1 ? (str){0} : (str){rest.p + end + 1, rest.n - end - 1};
        char key[100];
        if (!copy(key, sizeof key, name)) return NULL;
        if (json_is_array(at))
            at = str_to_u64(name, &index) ? json_array_get(at, (size_t)index) : NULL;
        else at = json_object_get(at, key);
    }
    return at;
}

static bool number_at(const json_t *o, const char *path, double *out) {
    const json_t *v = path[0] ? value_at(o, path) : NULL;
    if (json_is_number(v)) *out = json_number_value(v);
    else if (!json_is_string(v) || !str_to_f64(str_of(json_string_value(v)), out)) return false;
    return *out > -1e15 && *out < 1e15;
}

bool plug_reading_read(const plug_setting *s, plug_kind k, str body, plug_reading *out,
                       const char **why) {
    *out = (plug_reading){0};
    *why = "the plug's answer is no JSON of its kind";
    if (body.n > BODY_BYTES) return false;
    json_t *o = json_loadb(body.p, body.n, 0, NULL);
    const char *watts = k == PLUG_JSON ? s->watts : kinds[k].watts;
    const char *energy = k == PLUG_JSON ? s->energy : kinds[k].energy;
    double unit_j = k == PLUG_JSON ? s->unit_j : kinds[k].unit_j, value;
    if (number_at(o, watts, &value)) {
        out->has_watts = true;
        out->watts = value * s->share;
    }
    if (number_at(o, energy, &value) && value >= 0) {
        out->has_joules = true;
        out->joules = value * unit_j * s->share;
    }
    bool ok = out->has_watts || out->has_joules;
    if (ok && watts[0] && !out->has_watts) ok = false;
    if (ok && kinds[k].valid[0] && json_is_false(json_object_get(o, kinds[k].valid))) {
        *why = "the plug says that its reading is not valid";
        ok = false;
    }
    json_decref(o);
    return ok;
}
