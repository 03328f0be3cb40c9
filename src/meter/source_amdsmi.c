/* AMD's cards by their own library, which is loaded only where it is found. Its energy counter is
 * wrong on older cards and drivers, so it is believed only after it agreed with the power that the
 * kernel tells (hwmon) over half a second; where there is nothing to compare it with, it is not
 * used, and the kernel's power is.
 */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "meter/source.h"

typedef void *smi_handle;

/* As the library declares them; 0 is success. */
typedef struct smi_calls {
    source_library library; /* first */
    int (*init)(uint64_t flags);
    int (*sockets)(uint32_t *n, smi_handle *out);
    int (*processors)(smi_handle socket, uint32_t *n, smi_handle *out);
    int (*energy)(smi_handle p, uint64_t *count, float *resolution_uj, uint64_t *stamp);
} smi_calls;

#define INIT_GPUS 2
#define MOST 32
#define PROBE_NS (500 * MS_NS)

static bool calls_load(smi_calls *c, const char *library) {
    source_library *l = &c->library;
    if (!source_library_open(l, library)) return false;
    source_library_symbol(l, "amdsmi_init", &c->init);
    source_library_symbol(l, "amdsmi_shut_down", &l->shut_down);
    source_library_symbol(l, "amdsmi_get_socket_handles", &c->sockets);
    source_library_symbol(l, "amdsmi_get_processor_handles", &c->processors);
    source_library_symbol(l, "amdsmi_get_energy_count", &c->energy);
    return c->init && l->shut_down && c->sockets && c->processors && c->energy;
}

static bool card_read(source *s, energy_reading *r, const char **why) {
    const source_card *card = s->ud;
    const smi_calls *c = (const smi_calls *)card->library;
    uint64_t stamp;
    float resolution;
    *why = "amd-smi tells nothing of this card any more";
    r->has_count = c->energy(card->device, &r->count, &resolution, &stamp) == 0;
    return r->has_count;
}

static void card_add(source_list *l, smi_calls *c, smi_handle p, int index) {
    uint64_t count, stamp;
    float uj = 0;
    source *s = source_add(l, "amd-smi", METER_PARTS, "GPU %d", index);
    if (!s) return;
    if (c->energy(p, &count, &uj, &stamp) != 0 || !(uj > 0 && uj < 1e6f)) {
        source_refuse(s, "amd-smi has no energy counter for this card");
        return;
    }
    s->rules = (energy_rules){
        .unit_j = (double)uj * 1e-6, .max_watts = 3000, .fresh_ns = 500 * MS_NS};
    s->step_j = s->rules.unit_j;
    source_card_set(s, &c->library, p, card_read);
}

/* ---- the comparison ---- */

/* Watts of all cards as the kernel tells them; NAN when it does not. */
static double kernel_watts(source_list *l) {
    double sum = 0;
    bool any = false;
    for (size_t i = 0; i < l->n; i++) {
        source *s = &l->item[i];
        energy_reading r = {0};
        const char *why;
        if (strcmp(s->kind, "amd-gpu") != 0 || s->why_not[0]) continue;
        if (!s->read(s, &r, &why)) return NAN;
        sum += r.watts;
        any = true;
    }
    return any ? sum : NAN;
}

/* Joules of all counters since whenever. */
static double counted_joules(source_list *l) {
    double sum = 0;
    for (size_t i = 0; i < l->n; i++) {
        source *s = &l->item[i];
        energy_reading r = {0};
        const char *why;
        if (strcmp(s->kind, "amd-smi") == 0 && !s->why_not[0] && s->read(s, &r, &why))
            sum += (double)r.count * s->rules.unit_j;
    }
    return sum;
}

static void compare(source_list *l) {
    char why[160] = "";
    double watts = kernel_watts(l), joules = counted_joules(l);
    uint64_t from = source_now_ns(l);
    if (isnan(watts)) {
        snprintf(why, sizeof why, "its counter cannot be compared with the kernel's power");
    } else {
        if (l->clock && l->clock->spin) l->clock->spin(l->clock->ud);
        else nanosleep(&(struct timespec){.tv_nsec = (long)PROBE_NS}, NULL);
        double after = kernel_watts(l), dt = (double)(source_now_ns(l) - from) * 1e-9;
        double told = dt > 0 ? (counted_joules(l) - joules) / dt : 0, mean = (watts + after) / 2;
        if (!(told > mean / 2 && told < mean * 2))
            snprintf(why, sizeof why, "its counter says %.3g W where the kernel says %.3g W", told,
                     mean);
    }
    for (size_t i = 0; why[0] && i < l->n; i++)
        if (strcmp(l->item[i].kind, "amd-smi") == 0 && !l->item[i].why_not[0])
            source_refuse(&l->item[i], "%s", why);
}

void source_find_amdsmi(source_list *l) {
    smi_calls *c = l->from.amdsmi[0] ? calloc(1, sizeof *c) : NULL;
    if (!c) return;
    c->library.users = 1;
    if (!calls_load(c, l->from.amdsmi) || c->init(INIT_GPUS) != 0) {
        c->library.shut_down = NULL;
        source_library_release(&c->library);
        return;
    }
    smi_handle socket[MOST], processor[MOST];
    uint32_t n_sockets = MOST;
    int index = 0;
    if (c->sockets(&n_sockets, socket) != 0 || n_sockets > MOST) n_sockets = 0;
    for (uint32_t i = 0; i < n_sockets; i++) {
        uint32_t n = MOST;
        if (c->processors(socket[i], &n, processor) != 0 || n > MOST) continue;
        for (uint32_t k = 0; k < n; k++) card_add(l, c, processor[k], index++);
    }
    if (index > 0) compare(l);
    source_library_release(&c->library);
}
