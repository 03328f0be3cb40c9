/* Arithmetic on sizes that come from outside. Each returns false on overflow and leaves *out
 * alone. */
#ifndef HEARTH_BASE_CHECKED_H
#define HEARTH_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
/* a rounded up to a multiple of align (a power of two). */
static inline bool align_u64(uint64_t a, uint64_t align, uint64_t *out) {
    uint64_t r;
    if (!add_u64(a, align - 1, &r)) return false;
    *out = r & ~(align - 1);
    return true;
}

#endif
