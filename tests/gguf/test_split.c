/* A split model opens as the whole one does, from any of its parts; what does not fit together is
 * refused. */
#include "base/limits.h"
#include "bytes.h"
#include "damage.h"

#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <stdio.h>
#include <unistd.h>

#define N_TENSORS 7
#define N_PARTS 3

/* Tensor i: one row of 32 to 224 elements, all types of 32. */
static const uint32_t types[N_TENSORS] = {QUANT_F32,  QUANT_Q8_0, QUANT_Q4_0, QUANT_F16,
                                          QUANT_Q5_1, QUANT_BF16, QUANT_MXFP4};

static size_t tensor_bytes(int i) {
    uint64_t n = 0;
    assert_true(quant_bytes(types[i], 32 * (uint64_t)(i + 1), &n));
    return (size_t)n;
}

/* Tensors from..to-1 with their data, aligned to align. */
static void put_tensors(buf *b, int from, int to, size_t align) {
    uint64_t offset = 0;
    for (int i = from; i < to; i++) {
        char name[16];
        snprintf(name, sizeof name, "t.%d", i);
        bytes_tensor(b, name, 1, (uint64_t[]){32 * (uint64_t)(i + 1)}, types[i], offset);
        offset = (offset + tensor_bytes(i) + align - 1) / align * align;
    }
    for (int i = from; i < to; i++) {
        bytes_align(b, align);
        for (size_t k = 0; k < tensor_bytes(i); k++) bytes_u8(b, (uint8_t)(i * 40 + (int)k % 39));
    }
}

static void put_model_keys(buf *b) {
    bytes_key(b, "general.architecture", GGUF_STRING);
    bytes_str(b, "split-test");
    bytes_key(b, "general.alignment", GGUF_U32);
    bytes_u32(b, 64);
}

typedef struct lies {
    int no[N_PARTS], count[N_PARTS]; /* added to what is right */
    int total;
} lies;

/* Part 0 holds the metadata and no tensors; parts 1 and 2 have no alignment of their own. */
static void write_parts(const char *stem, const lies *l) {
    static const int first[N_PARTS + 1] = {0, 2, 5, N_TENSORS};
    for (int p = 0; p < N_PARTS; p++) {
        buf b;
        char name[64];
        bytes_begin(&b, 3, (uint64_t)(first[p + 1] - first[p]), p == 0 ? 5 : 3);
        if (p == 0) put_model_keys(&b);
        bytes_key(&b, "split.no", GGUF_U16);
        bytes_u16(&b, (uint16_t)(p + l->no[p]));
        bytes_key(&b, "split.count", GGUF_U16);
        bytes_u16(&b, (uint16_t)(N_PARTS + l->count[p]));
        bytes_key(&b, "split.tensors.count", GGUF_I32);
        bytes_u32(&b, (uint32_t)(N_TENSORS + l->total));
        put_tensors(&b, first[p], first[p + 1], p == 0 ? 64 : 32);
        snprintf(name, sizeof name, "%s-%05d-of-%05d.gguf", stem, p + 1, N_PARTS);
        scratch_write(name, b.data, b.len);
        buf_deinit(&b);
    }
}

static const char *part_path(const char *stem, int p) {
    char name[64];
    snprintf(name, sizeof name, "%s-%05d-of-%05d.gguf", stem, p + 1, N_PARTS);
    return scratch_path(name);
}

static void test_same_as_whole(void **state) {
    (void)state;
    buf b;
    err e = {0};
    bytes_begin(&b, 3, N_TENSORS, 2);
    put_model_keys(&b);
    put_tensors(&b, 0, N_TENSORS, 64);
    gguf *whole = gguf_open(scratch_write("whole.gguf", b.data, b.len), &e);
    if (!whole) fail_msg("%s", e.msg);
    buf_deinit(&b);
    write_parts("m", &(lies){0});
    for (int p = 0; p < N_PARTS; p++) {
        gguf *g = gguf_open(part_path("m", p), &e);
        if (!g) fail_msg("%s", e.msg);
        assert_string_equal(gguf_path(g), part_path("m", 0));
        assert_int_equal(gguf_alignment(g), 64);
        assert_int_equal(gguf_n_tensors(g), N_TENSORS);
        assert_int_equal(gguf_n_kv(g), 5);
        str s;
        assert_true(gguf_get_str(g, "general.architecture", &s) && str_eq(s, STR("split-test")));
        for (uint64_t i = 0; i < N_TENSORS; i++) {
            const gguf_tensor *a = gguf_tensor_at(whole, i), *t = gguf_tensor_at(g, i);
            assert_true(str_eq(a->name, t->name) && a->type == t->type && a->ne[0] == t->ne[0]);
            assert_int_equal(a->size_bytes, t->size_bytes);
            assert_memory_equal(a->data, t->data, a->size_bytes);
            assert_int_equal(t->part, i < 2 ? 0 : i < 5 ? 1 : 2);
        }
        assert_ptr_equal(gguf_tensor_find(g, "t.6"), gguf_tensor_at(g, 6));
        uint64_t sum = survivor_walk(g);
        assert_int_equal(survivor_walk(g), sum);
        gguf_close(g);
    }
    gguf_close(whole);
}

static void refused(int p, err_code code, const char *text) {
    err e = {0};
    gguf *g = gguf_open(part_path("bad", p), &e);
    if (g || e.code != code || !strstr(e.msg, text))
        fail_msg("%s, code %d: %s; expected: %s", g ? "opened" : "refused", e.code, e.msg, text);
}

static void test_faults(void **state) {
    (void)state;
    write_parts("bad", &(lies){.no = {0, 1, 0}});
    refused(0, ERR_DAMAGED,
            "00002-of-00003.gguf: byte 44: split.no is not 1 as the file's name says");
    refused(1, ERR_NOT_FOUND, "this is part 3 of 3; its name must end in -00003-of-00003.gguf");
    write_parts("bad", &(lies){.no = {0, 0, 1}});
    refused(2, ERR_DAMAGED, "split.no is 3 of 3 parts");
    write_parts("bad", &(lies){.count = {0, 0, 2}});
    refused(0, ERR_DAMAGED,
            "00003-of-00003.gguf: byte 69: split.count is not 3 as in the other parts");
    write_parts("bad", &(lies){.count = {0, -2, 0}});
    refused(0, ERR_DAMAGED, "split.count is not 3 as in the other parts");
    write_parts("bad", &(lies){.count = {LIMIT_GGUF_PARTS + 1 - N_PARTS, 0, 0}});
    refused(0, ERR_DAMAGED, "split.count is 1025; at most 1024");
    write_parts("bad", &(lies){.total = 1});
    refused(1, ERR_DAMAGED, "split.tensors.count is 8, the parts hold 7");
    write_parts("bad", &(lies){0});
    unlink(part_path("bad", 1));
    refused(0, ERR_NOT_FOUND, "bad-00002-of-00003.gguf");
    refused(2, ERR_NOT_FOUND, "bad-00002-of-00003.gguf");
}

/* The same tensor in two parts. */
static void test_duplicate_across_parts(void **state) {
    (void)state;
    for (int p = 0; p < 2; p++) {
        buf b;
        char name[64];
        bytes_begin(&b, 3, 1, 2);
        bytes_key(&b, "split.no", GGUF_U16);
        bytes_u16(&b, (uint16_t)p);
        bytes_key(&b, "split.count", GGUF_U16);
        bytes_u16(&b, 2);
        put_tensors(&b, 3, 4, 32);
        snprintf(name, sizeof name, "twin-%05d-of-00002.gguf", p + 1);
        scratch_write(name, b.data, b.len);
        buf_deinit(&b);
    }
    err e = {0};
    assert_null(gguf_open(scratch_path("twin-00001-of-00002.gguf"), &e));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_non_null(
        strstr(e.msg, "twin-00002-of-00002.gguf: byte 71: two tensors are named \"t.3\""));
}

/* One part that says it is the only one is whole, whatever its name; a part in memory is not. */
static void test_alone(void **state) {
    (void)state;
    for (uint16_t count = 0; count < 3; count++) {
        buf b;
        err e = {0};
        bytes_begin(&b, 3, 1, 1);
        bytes_key(&b, "split.count", GGUF_U16);
        bytes_u16(&b, count);
        put_tensors(&b, 0, 1, 32);
        gguf *g = gguf_open_memory(b.data, b.len, "bytes", &e);
        assert_int_equal(g != NULL, count < 2);
        gguf_close(g);
        if (!g) assert_non_null(strstr(e.msg, "one part of a split model"));
        g = gguf_open(scratch_write("alone.gguf", b.data, b.len), &e);
        assert_int_equal(g != NULL, count < 2);
        gguf_close(g);
        buf_deinit(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_whole),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_duplicate_across_parts),
        cmocka_unit_test(test_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
