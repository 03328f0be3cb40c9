/* Speed of the matrix products, as shares of what this machine can do, measured in the same run.
 *
 *     bench_kern [variant [threads [type [seconds a measurement]]]]
 *
 * For each weight type and number of tokens: billions of multiply-adds a second and their share of
 * the integer dot-product peak; packed bytes a second and their share of the memory read bandwidth.
 * Weights are far larger than the caches for up to 8 tokens, so that they come from memory as in
 * decoding.
 */
#include "kern/kern.h"
#include "quant/quant.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define K 2048
#define MAX_TOKENS 512
#define MAX_THREADS 16

static double seconds = 0.15;

/* This thread's own time: what other programs take of a shared core is not counted. */
static double cpu_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- threads that all run one function and start together ---- */

typedef struct job {
    void (*fn)(struct job *j);
    pthread_barrier_t *start;
    int me, n_threads;
    double work, time; /* out: units done, seconds */
    const kern *k;
    const kern_format *f;
    const uint8_t *panels;
    size_t n_panels;
    const kern_act *a;
    int n_tokens;
} job;

static void *job_main(void *p) {
    job *j = p;
    pthread_barrier_wait(j->start);
    j->fn(j);
    return NULL;
}

/* Units a second over all threads. */
static double run_jobs(int n, void (*fn)(job *), const job *like) {
    pthread_barrier_t start;
    pthread_t th[MAX_THREADS];
    job j[MAX_THREADS];
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        j[i] = *like;
        j[i].fn = fn, j[i].start = &start, j[i].me = i, j[i].n_threads = n;
        pthread_create(&th[i], NULL, job_main, &j[i]);
    }
    double rate = 0;
    for (int i = 0; i < n; i++) pthread_join(th[i], NULL), rate += j[i].work / j[i].time;
    pthread_barrier_destroy(&start);
    return rate;
}

static double best_of(int tries, int n, void (*fn)(job *), const job *like) {
    double best = 0;
    for (int i = 0; i < tries; i++) {
        double r = run_jobs(n, fn, like);
        if (r > best) best = r;
    }
    return best;
}

/* ---- the machine ---- */

static size_t area_bytes = (size_t)256 << 20;
static uint8_t *area;

static void read_memory(job *j) {
    size_t part = area_bytes / (size_t)j->n_threads / 512 * 512;
    const uint64_t *p = (const uint64_t *)(void *)(area + part * (size_t)j->me);
    uint64_t s[8] = {0};
    double t0 = cpu_now_s();
    j->work = 0;
    do {
        for (size_t i = 0; i < part / 8; i += 64)
            for (size_t l = 0; l < 64; l += 8)
                for (int x = 0; x < 8; x++) s[x] += p[i + l + (size_t)x];
        j->work += (double)part;
        j->time = cpu_now_s() - t0;
    } while (j->time < seconds);
    volatile uint64_t sink = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
    (void)sink;
}

#if defined(__x86_64__)
#define TWELVE(op)                                                                                 \
    op " %%zmm30,%%zmm31,%%zmm0\n" op " %%zmm30,%%zmm31,%%zmm1\n" op                               \
       " %%zmm30,%%zmm31,%%zmm2\n" op " %%zmm30,%%zmm31,%%zmm3\n" op                               \
       " %%zmm30,%%zmm31,%%zmm4\n" op " %%zmm30,%%zmm31,%%zmm5\n" op                               \
       " %%zmm30,%%zmm31,%%zmm6\n" op " %%zmm30,%%zmm31,%%zmm7\n" op                               \
       " %%zmm30,%%zmm31,%%zmm8\n" op " %%zmm30,%%zmm31,%%zmm9\n" op                               \
       " %%zmm30,%%zmm31,%%zmm10\n" op " %%zmm30,%%zmm31,%%zmm11\n"

/* Twelve independent vpdpbusd of 64 multiply-adds, over and over. */
__attribute__((target("avx512f,avx512vnni"))) static void dot_peak(job *j) {
    double t0 = cpu_now_s();
    j->work = 0;
    do {
        for (int i = 0; i < 100000; i++)
            __asm__ volatile(TWELVE("vpdpbusd")::
                                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                                   "xmm8", "xmm9", "xmm10", "xmm11");
        j->work += 100000.0 * 12 * 64;
        j->time = cpu_now_s() - t0;
    } while (j->time < seconds);
}
#endif

/* ---- one type ---- */

static void multiply(job *j) {
    static _Thread_local float c[MAX_TOKENS * KERN_ROWS] __attribute__((aligned(64)));
    size_t bytes = kern_panel_bytes(j->f, K);
    double t0 = cpu_now_s();
    j->work = 0;
    size_t p = (size_t)j->me;
    do {
        for (int i = 0; i < (j->n_tokens > 64 ? 2 : 16); i++) {
            j->k->matmul(j->f, j->panels + p * bytes, j->a, NULL, 0, j->n_tokens, c);
            p += (size_t)j->n_threads;
            if (p >= j->n_panels) p = (size_t)j->me;
            j->work += 1;
        }
        j->time = cpu_now_s() - t0;
    } while (j->time < seconds);
}

static void fill_panels(uint32_t type, uint8_t *dst, size_t n_panels) {
    const kern_format *f = kern_format_of(type);
    size_t bytes = kern_panel_bytes(f, K), row = 0;
    uint64_t n = 0;
    if (quant_bytes(type, K, &n)) row = (size_t)n;
    uint8_t *src = calloc(64, row);
    if (!src) return;
    for (size_t i = 0; i < 64 * row; i++)
        src[i] = (uint8_t)(i * 7 & 0x33); /* no NaN as f16 or float */
    kern_panel_pack(f, src, 64, K, 0, dst);
    for (size_t i = 1; i < n_panels; i++) memcpy(dst + i * bytes, dst, bytes);
    free(src);
}

static double pack_rate(uint32_t type) {
    const kern_format *f = kern_format_of(type);
    uint64_t row = 0;
    if (!quant_bytes(type, K, &row)) return 0;
    int64_t n_rows = 4096;
    uint8_t *src = calloc((size_t)n_rows, row), *dst = aligned_alloc(64, kern_panel_bytes(f, K));
    double best = 0;
    for (int try = 0; src && dst && try < 3; try++) {
        double t0 = cpu_now_s();
        for (int64_t r = 0; r < n_rows; r += 64) kern_panel_pack(f, src, n_rows, K, r, dst);
        double rate = (double)n_rows * (double)row / (cpu_now_s() - t0);
        if (rate > best) best = rate;
    }
    free(src), free(dst);
    return best;
}

int main(int argc, char **argv) {
    const kern *k = argc > 1 && argv[1][0] ? kern_named(argv[1]) : kern_get();
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    const char *only = argc > 3 ? argv[3] : "";
    if (argc > 4) seconds = atof(argv[4]);
    if (!k || threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: bench_kern [variant [threads [type [seconds]]]]\n");
        return 2;
    }
    area = aligned_alloc(4096, area_bytes);
    kern_act a = {.k = K};
    a.x = aligned_alloc(64, (size_t)MAX_TOKENS * K * 4);
    a.q = aligned_alloc(64, (size_t)MAX_TOKENS * K);
    a.d = aligned_alloc(64, (size_t)MAX_TOKENS * K / 32 * 4);
    a.sum16 = aligned_alloc(64, (size_t)MAX_TOKENS * K / 16 * 2);
    if (!area || !a.x || !a.q || !a.d || !a.sum16) return 1;
    memset(area, 1, area_bytes);
    for (int i = 0; i < MAX_TOKENS * K; i++) a.x[i] = sinf((float)i);
    for (int i = 0; i < MAX_TOKENS; i++)
        k->quantize(a.x + i * K, K, a.q + i * K, a.d + i * K / 32, a.sum16 + i * K / 16);

    job like = {.k = k, .a = &a};
    double memory = best_of(3, threads, read_memory, &like), peak = 0;
#if defined(__x86_64__)
    if (kern_named("avx512")) peak = best_of(3, threads, dot_peak, &like);
#endif
    printf("%s, %d thread(s): memory read %.1f GB/s, integer dot products %.0f GMAC/s\n", k->name,
           threads, memory * 1e-9, peak * 1e-9);
    printf("%-7s %6s %9s %6s %8s %6s\n", "type", "tokens", "GMAC/s", "peak", "GB/s", "memory");
    static const uint32_t types[] = {QUANT_Q4_1,  QUANT_Q8_0, QUANT_Q4_K,   QUANT_Q6_K,
                                     QUANT_Q4_0,  QUANT_Q5_K, QUANT_Q5_0,   QUANT_Q5_1,
                                     QUANT_Q2_K,  QUANT_Q3_K, QUANT_IQ4_NL, QUANT_IQ4_XS,
                                     QUANT_MXFP4, QUANT_F16,  QUANT_BF16,   QUANT_F32};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const char *name = quant_info_of(types[t])->name;
        if (*only && strcmp(only, name) != 0) continue;
        like.f = kern_format_of(types[t]);
        size_t bytes = kern_panel_bytes(like.f, K), all = area_bytes / bytes;
        fill_panels(types[t], area, all);
        like.panels = area;
        static const int counts[] = {1, 2, 4, 8, 64, 512};
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            like.n_tokens = counts[c], like.n_panels = all;
            double panels = best_of(3, threads, multiply, &like);
            double mac = panels * K * 64 * counts[c], read = panels * (double)bytes;
            printf("%-7s %6d %9.1f %5.0f%% %8.2f %5.0f%%\n", name, counts[c], mac * 1e-9,
                   peak > 0 ? 100 * mac / peak : NAN, read * 1e-9, 100 * read / memory);
        }
        printf("%-7s packing %.2f GB/s of file\n", name, pack_rate(types[t]) * 1e-9);
        fflush(stdout);
    }
    free(area), free(a.x), free(a.q), free(a.d), free(a.sum16);
    return 0;
}
