/* The loops behind peak.h, for inclusion by one file of each instruction set. Inside the kern room
 * only.
 */
#ifndef HEARTH_KERN_PEAK_LOOPS_H
#define HEARTH_KERN_PEAK_LOOPS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Twelve registers: more than latency times throughput of any CPU that these are for. `one` makes
 * the text of one of them from its number. */
#define PEAK_TWELVE(one)                                                                           \
    one("0") one("1") one("2") one("3") one("4") one("5") one("6") one("7") one("8") one("9")      \
        one("10") one("11")

/* Defines a loop of twelve `one` a round, each of `macs` multiply-adds, with everything zero. */
#define PEAK_LOOP(name, macs, clear, one, ...)                                                     \
    static double name(int64_t n) {                                                                \
        __asm__ volatile(clear ::: __VA_ARGS__);                                                   \
        for (int64_t i = 0; i < n; i++) __asm__ volatile(PEAK_TWELVE(one)::: __VA_ARGS__);         \
        return (double)n * 12 * (macs);                                                            \
    }

#if defined(__x86_64__)
#define PEAK_REGISTERS                                                                             \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
/* Zeroing a register of any width zeroes all of it. */
#define PEAK_CLEAR_ONE(r) "vpxor %%xmm" r ",%%xmm" r ",%%xmm" r "\n"
#define PEAK_CLEAR                                                                                 \
    PEAK_TWELVE(PEAK_CLEAR_ONE)                                                                    \
    PEAK_CLEAR_ONE("12") PEAK_CLEAR_ONE("13") PEAK_CLEAR_ONE("14") PEAK_CLEAR_ONE("15")
#endif

/* Four lines a turn, so that the additions never wait for each other. */
typedef uint64_t peak_line __attribute__((vector_size(64), may_alias));

static uint64_t peak_read(const void *p, size_t n) {
    const peak_line *at = p, *end = (const peak_line *)(const void *)((const char *)p + n);
    peak_line a = {0}, b = {0}, c = {0}, d = {0};
    for (; at < end; at += 4) a ^= at[0], b ^= at[1], c ^= at[2], d ^= at[3];
    uint64_t word[8], all = 0;
    a ^= b ^ c ^ d;
    memcpy(word, &a, sizeof word);
    for (int i = 0; i < 8; i++) all ^= word[i];
    return all;
}

#endif
