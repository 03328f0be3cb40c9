/* Chooses the variant: what the CPU and the operating system have, best first, unless HEARTH_CPU
 * names another. The choice is made once, by whoever asks first.
 */
#include "kern/kern_variants.h"

#include "base/log.h"
#include "kern/kern_panel.h"
#include "quant/quant.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what this CPU can run ---- */

typedef struct cpu_has { /* with everything that the variant's files are compiled for */
    bool avx2, avxvnni, avx512, amx;
    bool neon_base, neon, neon_i8mm;
} cpu_has;

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(reg, n) (((reg) >> (n)) & 1u)

/* Register state that the operating system saves: bits 1-2 for AVX, also 5-7 for AVX-512, 17-18 for
 * AMX. */
static uint32_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Linux gives the 8 KiB of tile registers only to a process that asked; it then holds for all of
 * its threads. */
static bool tiles_granted(void) {
    const long arch_req_xcomp_perm = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, arch_req_xcomp_perm, tile_data) == 0;
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
    bool tile = BIT(d, 24), int8 = BIT(d, 25);
    has.amx = has.avx512 && tile && int8 && (state & 0x60000) == 0x60000 && tiles_granted();
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) has.avxvnni = has.avx2 && BIT(a, 4);
    return has;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* The kernel's bits of AT_HWCAP and AT_HWCAP2; older headers lack some of the names. */
#define HAS_ASIMD (1ul << 1)
#define HAS_ATOMICS (1ul << 8)
#define HAS_ASIMDRDM (1ul << 12)
#define HAS_ASIMDDP (1ul << 20)
#define HAS2_I8MM (1ul << 13)

static cpu_has cpu_probe(void) {
    cpu_has has = {0};
    const unsigned long base = HAS_ATOMICS | HAS_ASIMDRDM; /* -march=armv8.2-a may use them */
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    has.neon_base = caps & HAS_ASIMD;
    has.neon = (caps & base) == base && (caps & HAS_ASIMDDP);
    has.neon_i8mm = has.neon && (caps2 & HAS2_I8MM);
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
static struct {
    const kern *k;
    const kern_peak *peak;
} variants[MAX_VARIANTS]; /* [n_variants] that run here, best first */
static int n_variants;
static const char *names[MAX_VARIANTS + 1];
static const kern *chosen;

static void add(bool runs, const kern *k, const kern_peak *peak) {
    if (!runs) return;
    variants[n_variants].k = k;
    variants[n_variants].peak = peak;
    names[n_variants++] = k->name;
}

/* -1: it does not run here. */
static int find(const char *name) {
    int i = n_variants - 1;
    while (i >= 0 && strcmp(names[i], name) != 0) i--;
    return i;
}

static void choose(void) {
    cpu_has has = cpu_probe();
    (void)has;
#if defined(__x86_64__)
    static kern amx;
    if (has.amx) amx = kern_amx();
    add(has.avx512, &kern_avx512, &kern_peak_avx512);
    /* After AVX-512: it has run only with its instructions emulated, so it is for those who ask. */
    add(has.amx, &amx, &kern_peak_amx);
    add(has.avxvnni, &kern_avxvnni, &kern_peak_avxvnni);
    add(has.avx2, &kern_avx2, &kern_peak_avx2);
#elif defined(__aarch64__)
    add(has.neon_i8mm, &kern_neon_i8mm, &kern_peak_neon_i8mm);
    add(has.neon, &kern_neon, &kern_peak_neon);
    add(has.neon_base, &kern_neon_base, &kern_peak_neon_base);
#endif
    add(true, &kern_ref, &kern_peak_ref);
    const char *want = getenv("HEARTH_CPU");
    int i = want && *want ? find(want) : 0;
    chosen = variants[i < 0 ? 0 : i].k;
    if (i >= 0) return;
    char list[128] = "";
    for (i = 0; i < n_variants; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    log_once("HEARTH_CPU", "HEARTH_CPU=%s is no variant that runs here (%s do); using %s", want,
             list, chosen->name);
}

void kern_matmul_by_ref(const char *variant, const kern_format *f, const void *panel,
                        const kern_act *a, const int32_t *rows, int t0, int n, float *c) {
    const char *type = quant_info_of(f->type)->name;
    char key[64];
    snprintf(key, sizeof key, "kern %s %s", variant, type);
    log_once(key, "the %s kernels have nothing for %s weights: the reference computes them, slowly",
             variant, type);
    kern_ref.matmul(f, panel, a, rows, t0, n, c);
}

const kern *kern_get(void) {
    pthread_once(&once, choose);
    return chosen;
}

const kern *kern_named(const char *name) {
    pthread_once(&once, choose);
    int i = find(name);
    return i < 0 ? NULL : variants[i].k;
}

const kern_peak *kern_peak_of(const kern *k) {
    pthread_once(&once, choose);
    int i = find(k->name);
    return i < 0 ? &kern_peak_ref : variants[i].peak;
}

const char *const *kern_names(void) {
    pthread_once(&once, choose);
    return names;
}
