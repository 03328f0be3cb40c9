/* Counter-based random numbers: a pure function of (seed, stream, counter), so the same request
 * draws the same numbers whatever runs beside it. Philox 4x32-10 (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011): key = seed, counter = (counter, stream). Any thread, no
 * state.
 */
#ifndef HEARTH_BASE_RNG_H
#define HEARTH_BASE_RNG_H

#include <stdint.h>

void rng_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);
uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter);
/* Uniform in [0, 1): the top 53 bits of rng_u64 times 2^-53. */
double rng_f64(uint64_t seed, uint64_t stream, uint64_t counter);

#endif
