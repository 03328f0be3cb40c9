/* Helpers of the kern tests: seeded inputs, aligned memory, every weight type, every variant. */
#ifndef KERN_TEST_H
#define KERN_TEST_H

#include "kern/kern.h"
#include "kern/kern_panel.h"
#include "quant/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A small generator with its state in the test, so that each case can be repeated alone. */
typedef struct trng {
    uint64_t s;
} trng;
uint32_t trng_u32(trng *g);
float trng_uniform(trng *g); /* [-1, 1) */
float trng_normal(trng *g);  /* about: sum of uniforms */

void *test_alloc(size_t n); /* 64-byte aligned, filled with 0xa5; free() */

extern const uint32_t test_types[]; /* every type with a packed form; test_types_n of them */
extern const int test_types_n;

/* Every variant that can be tested here, until NULL: those that run here, and those that this CPU
 * lacks but whose code runs with other instructions in their place. */
const kern *test_kern(int i);

/* n_rows x k in the type's GGUF form: random bits with sane scales. free(). */
uint8_t *test_weights(uint32_t type, int64_t n_rows, int64_t k, trng *g);
int64_t test_row_bytes(uint32_t type, int64_t k);
/* Puts the same f16 bits (or E8M0 byte) in every scale field of one row. */
void test_row_set_scale(uint32_t type, uint8_t *row, int64_t k, uint16_t h);
bool test_type_allows(uint32_t type, int64_t k);
/* ceil(n_rows / 64) panels, one after the other. */
uint8_t *test_panels(const kern_format *f, const uint8_t *src, int64_t n_rows, int64_t k);

/* n rows of activations, random, quantised by `by`. */
kern_act test_act(const kern *by, int64_t n, int64_t k, trng *g);
/* Rounds and refines n rows of a->x by that variant. */
void test_act_round(const kern *by, kern_act *a, int64_t n);
void test_act_free(kern_act *a);

/* HEARTH_TEST_SIZE=small: no more sizes than an emulated CPU goes through in seconds. */
bool test_small(void);

/* True when the bits are equal, or both are NaN. */
bool test_same_float(float a, float b);

#endif
