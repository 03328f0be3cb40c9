/* Every dequantiser, bit for bit, against values that another implementation computed, and the
 * plain quantisers, byte for byte. tests/reference/make_quant_vectors.py wrote vectors.bin and
 * tells its format.
 */
#include "base/file.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

enum { DECODE = 0, ENCODE = 1 };
#define DECODED_TYPES 15
#define ENCODED_TYPES 7

static buf vectors;

typedef struct record {
    uint32_t kind, type, n_blocks;
    const quant_info *info;
    const uint8_t *blocks, *floats; /* unaligned */
    size_t n_bytes, n_floats;
} record;

/* The record at *at, which moves behind it; false at the end. */
static bool next_record(size_t *at, record *r) {
    uint32_t head[3];
    if (*at == vectors.len) return false;
    assert_true(vectors.len - *at >= sizeof head);
    memcpy(head, vectors.data + *at, sizeof head);
    *r = (record){head[0], head[1], head[2], quant_info_of(head[1]), NULL, NULL, 0, 0};
    assert_non_null(r->info);
    r->n_bytes = (size_t)r->n_blocks * r->info->block_bytes;
    r->n_floats = (size_t)r->n_blocks * r->info->block;
    r->blocks = (const uint8_t *)vectors.data + *at + sizeof head;
    r->floats = r->blocks + r->n_bytes;
    *at += sizeof head + r->n_bytes + r->n_floats * sizeof(float);
    assert_true(*at <= vectors.len);
    return true;
}

static void check_decode(const record *r) {
    float *got = malloc(r->n_floats * sizeof *got);
    r->info->dequantize(r->blocks, got, (int64_t)r->n_floats);
    for (size_t i = 0; i < r->n_floats; i++) {
        float want;
        memcpy(&want, r->floats + i * sizeof want, sizeof want);
        bool same = memcmp(&want, &got[i], sizeof want) == 0 || (want != want && got[i] != got[i]);
        if (!same)
            fail_msg("%s: element %zu of block %zu is %a, not %a", r->info->name,
                     i % r->info->block, i / r->info->block, (double)got[i], (double)want);
    }
    free(got);
}

static void check_encode(const record *r) {
    float *x = malloc(r->n_floats * sizeof *x);
    uint8_t *got = malloc(r->n_bytes);
    memcpy(x, r->floats, r->n_floats * sizeof *x);
    r->info->quantize(x, NULL, got, (int64_t)r->n_floats);
    for (size_t i = 0; i < r->n_bytes; i++)
        if (got[i] != r->blocks[i])
            fail_msg("%s: byte %zu of block %zu is %02x, not %02x", r->info->name,
                     i % r->info->block_bytes, i / r->info->block_bytes, got[i], r->blocks[i]);
    free(got);
    free(x);
}

static void test_decode(void **state) {
    (void)state;
    record r;
    int n = 0;
    for (size_t at = 0; next_record(&at, &r);)
        if (r.kind == DECODE) {
            check_decode(&r);
            n++;
        }
    assert_int_equal(n, DECODED_TYPES);
}

static void test_encode(void **state) {
    (void)state;
    record r;
    int n = 0;
    for (size_t at = 0; next_record(&at, &r);)
        if (r.kind == ENCODE) {
            check_encode(&r);
            n++;
        }
    assert_int_equal(n, ENCODED_TYPES);
}

/* A block in a mapping may stand at any byte, and the result may not depend on it. */
static void test_unaligned(void **state) {
    (void)state;
    record r;
    for (size_t at = 0; next_record(&at, &r);) {
        if (r.kind != DECODE) continue;
        float a[256], b[256];
        uint8_t *copy = malloc(r.info->block_bytes + 3);
        for (int shift = 0; shift < 4; shift++) {
            memcpy(copy + shift, r.blocks, r.info->block_bytes);
            r.info->dequantize(copy + shift, shift ? b : a, r.info->block);
            if (shift) assert_memory_equal(a, b, r.info->block * sizeof *a);
        }
        free(copy);
    }
}

static int load(void **state) {
    (void)state;
    char path[4096];
    const char *root = getenv("HEARTH_SOURCE");
    err e = {0};
    snprintf(path, sizeof path, "%s/tests/quant/vectors.bin", root ? root : ".");
    buf_init(&vectors, 1 << 20);
    if (file_read(&vectors, path, &e)) return 0;
    print_error("%s\n", e.msg);
    return -1;
}

static int unload(void **state) {
    (void)state;
    buf_deinit(&vectors);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_unaligned),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
