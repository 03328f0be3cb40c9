/* The AMX variant with its tile instructions in plain C, so that its code is tested on CPUs that
 * have AVX-512 alone. What the CPU would refuse ends the program: shapes that do not match, tiles
 * that are not configured.
 */
#include "amx_emulated.h"

#include <stddef.h>

#if defined(__x86_64__) && !defined(__clang__)
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tile {
    int rows, row_bytes; /* 0: not configured */
    uint8_t at[16][64];
} tiles[8];

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "AMX: %s\n", what);
    abort();
}

static void tile_config(const void *config) {
    const uint8_t *g = config;
    must((uintptr_t)config % 64 == 0 && g[0] == 1 && g[1] == 0, "palette or start row");
    for (int i = 2; i < 16; i++) must(g[i] == 0, "reserved bytes");
    memset(tiles, 0, sizeof tiles);
    for (int t = 0; t < 16; t++) {
        int row_bytes = g[16 + 2 * t] | g[17 + 2 * t] << 8, rows = g[48 + t];
        must(row_bytes <= 64 && rows <= 16 && (row_bytes == 0) == (rows == 0), "tile too large");
        must(t < 8 || rows == 0, "a ninth tile");
        if (t < 8) tiles[t].rows = rows, tiles[t].row_bytes = row_bytes;
    }
}
static void tile_release(void) {
    memset(tiles, 0, sizeof tiles);
}
static struct tile *tile_of(int t) {
    must(tiles[t].rows > 0, "a tile that is not configured");
    return &tiles[t];
}
static void tile_zero(int t) {
    memset(tile_of(t)->at, 0, sizeof tiles[t].at);
}
static void tile_load(int t, const void *p, size_t step) {
    tile_zero(t);
    for (int r = 0; r < tiles[t].rows; r++)
        memcpy(tiles[t].at[r], (const uint8_t *)p + (size_t)r * step, (size_t)tiles[t].row_bytes);
}
static void tile_store(int t, void *p, size_t step) {
    for (int r = 0; r < tile_of(t)->rows; r++)
        memcpy((uint8_t *)p + (size_t)r * step, tiles[t].at[r], (size_t)tiles[t].row_bytes);
}
static void tile_dot(int to, int left, int right) {
    struct tile *c = tile_of(to), *a = tile_of(left), *b = tile_of(right);
    must(c->rows == a->rows && c->row_bytes == b->row_bytes, "shapes of C");
    must(a->row_bytes % 4 == 0 && a->row_bytes / 4 == b->rows && c->row_bytes % 4 == 0,
         "shapes of A and B");
    for (int m = 0; m < c->rows; m++)
        for (int n = 0; n < c->row_bytes / 4; n++) {
            int32_t sum;
            memcpy(&sum, &c->at[m][4 * n], 4);
            for (int k = 0; k < b->rows; k++)
                for (int i = 0; i < 4; i++)
                    sum += (int8_t)a->at[m][4 * k + i] * (int8_t)b->at[k][4 * n + i];
            memcpy(&c->at[m][4 * n], &sum, 4);
        }
}

#define TILE_CONFIG(p) tile_config(p)
#define TILE_RELEASE() tile_release()
#define TILE_ZERO(t) tile_zero(t)
#define TILE_LOAD(t, p, step) tile_load(t, p, step)
#define TILE_STORE(t, p, step) tile_store(t, p, step)
#define TILE_DOT(c, a, b) tile_dot(c, a, b)

#pragma GCC push_options
#pragma GCC optimize("O2")
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#include "kern/amx_matmul.h"

static kern emulated;

const kern *amx_emulated_kern(void) {
    if (!kern_named("avx512")) return NULL;
    emulated = amx_table("amx emulated");
    return &emulated;
}
#pragma GCC pop_options
#else
const kern *amx_emulated_kern(void) {
    return NULL;
}
#endif
