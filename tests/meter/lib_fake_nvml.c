/* An NVML for tests: one card a line of the file that HEARTH_FAKE_NVML names, "mJ mW MIG mode", a
 * figure below 0 being one that the card does not have. Without the file the cards are gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GONE 15

typedef struct card {
    long long mj, mw;
    int mig, mode;
} card;

static int cards_read(card *out, int most) {
    const char *path = getenv("HEARTH_FAKE_NVML");
    FILE *f = path ? fopen(path, "r") : NULL;
    int n = 0;
    if (!f) return 0;
    while (n < most &&
           fscanf(f, "%lld %lld %d %d", &out[n].mj, &out[n].mw, &out[n].mig, &out[n].mode) == 4)
        n++;
    fclose(f);
    return n;
}

static int card_at(void *device, card *out) {
    card all[8];
    int n = cards_read(all, 8), i = (int)(size_t)device - 1;
    if (i >= n) return GONE;
    *out = all[i];
    return 0;
}

int nvmlInit_v2(void);
int nvmlInit_v2(void) {
    card all[8];
    return cards_read(all, 8) > 0 ? 0 : 9;
}

int nvmlShutdown(void);
int nvmlShutdown(void) {
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetCount_v2(unsigned *n) {
    card all[8];
    *n = (unsigned)cards_read(all, 8);
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **out);
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **out) {
    *out = (void *)(size_t)(i + 1);
    return 0;
}

int nvmlDeviceGetName(void *device, char *dst, unsigned cap);
int nvmlDeviceGetName(void *device, char *dst, unsigned cap) {
    (void)device;
    snprintf(dst, cap, "Fake 9000");
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    card c;
    int rc = card_at(device, &c);
    if (rc == 0 && c.mj < 0) rc = 3;
    if (rc == 0) *mj = (unsigned long long)c.mj;
    return rc;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *mw);
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) {
    card c;
    int rc = card_at(device, &c);
    if (rc == 0 && c.mw < 0) rc = 3;
    if (rc == 0) *mw = (unsigned)c.mw;
    return rc;
}

int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *pending);
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *pending) {
    card c;
    int rc = card_at(device, &c);
    if (rc == 0) *now = *pending = (unsigned)c.mig;
    return rc;
}

int nvmlDeviceGetVirtualizationMode(void *device, int *mode);
int nvmlDeviceGetVirtualizationMode(void *device, int *mode) {
    card c;
    int rc = card_at(device, &c);
    if (rc == 0) *mode = c.mode;
    return rc;
}

const char *nvmlErrorString(int code);
const char *nvmlErrorString(int code) {
    return code == GONE ? "GPU is lost" : code == 9 ? "Driver Not Loaded" : "an error";
}
