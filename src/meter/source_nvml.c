/* NVIDIA's cards by their own library, which is loaded only where it is found. Cards from Volta on
 * count millijoules since the driver was loaded, anew about every 100 ms; older ones tell watts.
 * It is the board alone, with whoever else uses it. A card that is divided (MIG) or shared (vGPU)
 * cannot say whose energy it was, so it is not counted.
 */
#include <stdio.h>

#include "meter/source.h"

typedef void *nvml_device;

/* As the library declares them; 0 is success. */
typedef struct nvml_calls {
    source_library library; /* first */
    int (*init)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned i, nvml_device *out);
    int (*name)(nvml_device d, char *dst, unsigned cap);
    int (*energy)(nvml_device d, unsigned long long *mj);
    int (*power)(nvml_device d, unsigned *mw);
    int (*mig)(nvml_device d, unsigned *now, unsigned *pending);
    int (*virtualization)(nvml_device d, int *mode);
    const char *(*error)(int code);
} nvml_calls;

#define MODE_VGPU 2 /* this is a guest with a part of a card */

static bool calls_load(nvml_calls *c, const char *library) {
    source_library *l = &c->library;
    if (!source_library_open(l, library)) return false;
    source_library_symbol(l, "nvmlInit_v2", &c->init);
    source_library_symbol(l, "nvmlShutdown", &l->shut_down);
    source_library_symbol(l, "nvmlDeviceGetCount_v2", &c->count);
    source_library_symbol(l, "nvmlDeviceGetHandleByIndex_v2", &c->handle);
    source_library_symbol(l, "nvmlDeviceGetName", &c->name);
    source_library_symbol(l, "nvmlDeviceGetTotalEnergyConsumption", &c->energy);
    source_library_symbol(l, "nvmlDeviceGetPowerUsage", &c->power);
    source_library_symbol(l, "nvmlDeviceGetMigMode", &c->mig);
    source_library_symbol(l, "nvmlDeviceGetVirtualizationMode", &c->virtualization);
    source_library_symbol(l, "nvmlErrorString", &c->error);
    return c->init && l->shut_down && c->count && c->handle;
}

static bool card_read(source *s, energy_reading *r, const char **why) {
    const source_card *card = s->ud;
    const nvml_calls *c = (const nvml_calls *)card->library;
    unsigned long long mj;
    unsigned mw;
    *why = "NVML tells nothing of this card any more";
    if (!s->rules.by_power) {
        r->has_count = c->energy(card->device, &mj) == 0;
        r->count = r->has_count ? mj : 0;
        return r->has_count;
    }
    r->has_watts = c->power(card->device, &mw) == 0;
    r->watts = r->has_watts ? mw * 1e-3 : 0;
    return r->has_watts;
}

static void card_judge(source *s, const nvml_calls *c, nvml_device d) {
    unsigned now = 0, pending = 0, mw;
    unsigned long long mj;
    int mode = 0;
    if (c->mig && c->mig(d, &now, &pending) == 0 && now == 1)
        source_refuse(s, "the card is divided (MIG): its energy cannot be told apart");
    else if (c->virtualization && c->virtualization(d, &mode) == 0 && mode == MODE_VGPU)
        source_refuse(s, "a part of a card (vGPU): its energy cannot be told apart");
    else if (c->energy && c->energy(d, &mj) == 0) {
        s->rules = (energy_rules){.unit_j = 1e-3, .max_watts = 3000, .fresh_ns = 500 * MS_NS};
        s->step_j = 1e-3;
        s->spins = true;
    } else if (c->power && c->power(d, &mw) == 0) {
        s->rules = (energy_rules){.max_watts = 3000, .by_power = true, .max_gap_ns = 10000 * MS_NS};
    } else {
        source_refuse(s, "NVML tells neither energy nor power of this card");
    }
}

static void card_add(source_list *l, nvml_calls *c, unsigned i) {
    nvml_device d;
    char name[96] = "";
    int rc = c->handle(i, &d);
    if (rc == 0 && c->name && c->name(d, name, sizeof name) != 0) name[0] = 0;
    name[sizeof name - 1] = 0;
    source *s = source_add(l, "nvml", METER_PARTS, "GPU %u%s%s", i, name[0] ? " " : "", name);
    if (!s) return;
    if (rc != 0) {
        source_refuse(s, "NVML: %s", c->error ? c->error(rc) : "no access");
        return;
    }
    card_judge(s, c, d);
    source_card_set(s, &c->library, d, card_read);
}

void source_find_nvml(source_list *l) {
    nvml_calls *c = l->from.nvml[0] ? calloc(1, sizeof *c) : NULL;
    if (!c) return;
    bool loaded = calls_load(c, l->from.nvml);
    int rc = loaded ? c->init() : -1;
    unsigned n = 0;
    c->library.users = 1;
    if (rc != 0) {
        source *s = loaded ? source_add(l, "nvml", METER_PARTS, "NVML") : NULL;
        if (s) source_refuse(s, "NVML: %s", c->error ? c->error(rc) : "does not begin");
        c->library.shut_down = NULL;
    } else if (c->count(&n) == 0) {
        for (unsigned i = 0; i < n && i < 64; i++) card_add(l, c, i);
    }
    source_library_release(&c->library);
}
