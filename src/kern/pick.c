/* Chooses the variant: what the CPU and the operating system have, best first, unless HEARTH_CPU
 * names another. The choice is made once, by whoever asks first.
 */
#include "kern/kern_variants.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- what this CPU can run ---- */

typedef struct cpu_has {
    bool avx2, avxvnni, avx512; /* with everything that the variant's files are compiled for */
} cpu_has;

#if defined(__x86_64__)
#include <cpuid.h>

#define BIT(reg, n) (((reg) >> (n)) & 1u)

/* Register state that the operating system saves: bits 1-2 for AVX, also 5-7 for AVX-512. */
static uint32_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static cpu_has cpu_probe(void) {
    cpu_has has = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return has;
    bool osxsave = BIT(c, 27), avx = BIT(c, 28), fma = BIT(c, 12), f16c = BIT(c, 29);
    if (!osxsave || !avx || !fma || !f16c) return has;
    uint32_t state = saved_state();
    if ((state & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return has;
    has.avx2 = BIT(b, 5);
    bool f = BIT(b, 16), dq = BIT(b, 17), bw = BIT(b, 30), vl = BIT(b, 31), vnni = BIT(c, 11);
    has.avx512 = has.avx2 && f && dq && bw && vl && vnni && (state & 0xe0) == 0xe0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) has.avxvnni = has.avx2 && BIT(a, 4);
    return has;
}
#else
static cpu_has cpu_probe(void) {
    return (cpu_has){0};
}
#endif

/* ---- the choice ---- */

#define MAX_VARIANTS 8

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const kern *variants[MAX_VARIANTS];
static const char *names[MAX_VARIANTS + 1];
static const kern *chosen;

static const kern *find(const char *name) {
    for (int i = 0; i < MAX_VARIANTS && variants[i]; i++)
        if (strcmp(variants[i]->name, name) == 0) return variants[i];
    return NULL;
}

static void choose(void) {
    cpu_has has = cpu_probe();
    int n = 0;
    (void)has;
#if defined(__x86_64__)
    if (has.avx512) variants[n++] = &kern_avx512;
    if (has.avxvnni) variants[n++] = &kern_avxvnni;
    if (has.avx2) variants[n++] = &kern_avx2;
#endif
    variants[n++] = &kern_ref;
    for (int i = 0; i < n; i++) names[i] = variants[i]->name;
    chosen = variants[0];
    const char *want = getenv("HEARTH_CPU");
    if (!want || !*want) return;
    const kern *k = find(want);
    if (k) chosen = k;
    else
        log_once("HEARTH_CPU", "HEARTH_CPU=%s is no variant that runs here; using %s", want,
                 chosen->name);
}

const kern *kern_get(void) {
    pthread_once(&once, choose);
    return chosen;
}

const kern *kern_named(const char *name) {
    pthread_once(&once, choose);
    return find(name);
}

const char *const *kern_names(void) {
    pthread_once(&once, choose);
    return names;
}
