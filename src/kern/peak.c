/* Which peak belongs to which variant. */
#include "kern/peak_variants.h"

#include "kern/peak_loops.h"

static const kern_peak plain = {.read = peak_read};

const kern_peak *kern_peak_of(const kern *k) {
    static const struct {
        const char *variant;
        const kern_peak *peak;
    } table[] = {
#if defined(__x86_64__)
        {"amx", &kern_peak_amx},
        {"avx512", &kern_peak_avx512},
        {"avxvnni", &kern_peak_avxvnni},
        {"avx2", &kern_peak_avx2},
#elif defined(__aarch64__)
        {"neon-base", &kern_peak_neon_base},
        {"neon", &kern_peak_dotprod},
        {"neon-i8mm", &kern_peak_i8mm},
#endif
        {"ref", &plain},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].variant, k->name) == 0) return table[i].peak;
    return &plain;
}
