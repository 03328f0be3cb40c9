/* An AMD SMI for tests: one card, whose count and resolution in microjoules are in the file that
 * HEARTH_FAKE_AMDSMI names. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int amdsmi_init(uint64_t flags);
int amdsmi_init(uint64_t flags) {
    return flags == 2 ? 0 : 1;
}

int amdsmi_shut_down(void);
int amdsmi_shut_down(void) {
    return 0;
}

int amdsmi_get_socket_handles(uint32_t *n, void **out);
int amdsmi_get_socket_handles(uint32_t *n, void **out) {
    *n = 1;
    out[0] = (void *)1;
    return 0;
}

int amdsmi_get_processor_handles(void *socket, uint32_t *n, void **out);
int amdsmi_get_processor_handles(void *socket, uint32_t *n, void **out) {
    *n = 1;
    out[0] = socket;
    return 0;
}

int amdsmi_get_energy_count(void *p, uint64_t *count, float *uj, uint64_t *stamp);
int amdsmi_get_energy_count(void *p, uint64_t *count, float *uj, uint64_t *stamp) {
    const char *path = getenv("HEARTH_FAKE_AMDSMI");
    FILE *f = path ? fopen(path, "r") : NULL;
    unsigned long long c;
    int ok = f && fscanf(f, "%llu %f", &c, uj) == 2;
    (void)p;
    if (f) fclose(f);
    if (!ok) return 1;
    *count = c;
    *stamp = 0;
    return 0;
}
