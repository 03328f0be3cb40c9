/* NVIDIA's cards by their own library, which is loaded only where it is found. Cards from Volta on
 * count millijoules since the driver was loaded, anew about every 100 ms; older ones tell watts.
 * It is the board alone, with whoever else uses it. A card that is divided (MIG) or shared (vGPU)
 * cannot say whose energy it was, so it is not counted.
 */
#include <dlfcn.h>
#include <stdio.h>

#include "meter/source.h"

typedef void *nvml_device;

/* As the library declares them; 0 is success. */
typedef struct nvml_calls {
    void *library;
    int users; /* sources that are open */
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned i, nvml_device *out);
    int (*name)(nvml_device d, char *dst, unsigned cap);
    int (*energy)(nvml_device d, unsigned long long *mj);
    int (*power)(nvml_device d, unsigned *mw);
    int (*mig)(nvml_device d, unsigned *now, unsigned *pending);
    int (*virtualization)(nvml_device d, int *mode);
    const char *(*error)(int code);
} nvml_calls;

typedef struct nvml_card {
    nvml_calls *calls;
    nvml_device device;
} nvml_card;

#define MODE_VGPU 2 /* this is a guest with a part of a card */

static bool calls_load(nvml_calls *c, const char *library) {
    c->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!c->library) return false;
    source_symbol(c->library, "nvmlInit_v2", &c->init);
    source_symbol(c->library, "nvmlShutdown", &c->shutdown);
    source_symbol(c->library, "nvmlDeviceGetCount_v2", &c->count);
    source_symbol(c->library, "nvmlDeviceGetHandleByIndex_v2", &c->handle);
    source_symbol(c->library, "nvmlDeviceGetName", &c->name);
    source_symbol(c->library, "nvmlDeviceGetTotalEnergyConsumption", &c->energy);
    source_symbol(c->library, "nvmlDeviceGetPowerUsage", &c->power);
    source_symbol(c->library, "nvmlDeviceGetMigMode", &c->mig);
    source_symbol(c->library, "nvmlDeviceGetVirtualizationMode", &c->virtualization);
    source_symbol(c->library, "nvmlErrorString", &c->error);
    return c->init && c->shutdown && c->count && c->handle;
}

static void calls_release(nvml_calls *c) {
    if (--c->users > 0) return;
    c->shutdown();
    dlclose(c->library);
    free(c);
}

static bool card_read(source *s, energy_reading *r, const char **why) {
    const nvml_card *card = s->ud;
    unsigned long long mj;
    unsigned mw;
    *why = "NVML tells nothing of this card any more";
    if (!s->rules.by_power) {
        r->has_count = card->calls->energy(card->device, &mj) == 0;
        r->count = r->has_count ? mj : 0;
        return r->has_count;
    }
    r->has_watts = card->calls->power(card->device, &mw) == 0;
    r->watts = r->has_watts ? mw * 1e-3 : 0;
    return r->has_watts;
}

static void card_close(source *s) {
    nvml_card *card = s->ud;
    if (card) calls_release(card->calls);
    source_close_free(s);
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
    nvml_card *card = calloc(1, sizeof *card);
    if (!card) {
        source_refuse(s, "out of memory");
        return;
    }
    *card = (nvml_card){c, d};
    c->users++;
    s->ud = card;
    s->read = card_read;
    s->close = card_close;
}

void source_find_nvml(source_list *l) {
    nvml_calls *c = l->from.nvml[0] ? calloc(1, sizeof *c) : NULL;
    if (!c) return;
    if (!calls_load(c, l->from.nvml)) {
        if (c->library) dlclose(c->library);
        free(c);
        return;
    }
    int rc = c->init();
    unsigned n = 0;
    c->users = 1; /* ours, while cards are added */
    if (rc != 0) {
        source *s = source_add(l, "nvml", METER_PARTS, "NVML");
        if (s) source_refuse(s, "NVML: %s", c->error ? c->error(rc) : "does not begin");
        dlclose(c->library);
        free(c);
        return;
    }
    if (c->count(&n) == 0)
        for (unsigned i = 0; i < n && i < 64; i++) card_add(l, c, i);
    calls_release(c);
}
