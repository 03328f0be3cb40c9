/* Reading: every type, the getters' conversions, the limits, and what each kind of fault says. */
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "bytes.h"
#include "damage.h"

#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <math.h>
#include <stdio.h>

static gguf *open_buf(const buf *b, err *e) {
    *e = (err){0};
    return gguf_open_memory(b->data, b->len, "m.gguf", e);
}

/* The file is refused with this code and a message that holds this text. */
static void assert_refused(buf *b, err_code code, const char *text) {
    err e;
    gguf *g = open_buf(b, &e);
    if (g || e.code != code || !strstr(e.msg, text))
        fail_msg("%s, code %d: %s; expected: %s", g ? "opened" : "refused", e.code, e.msg, text);
    buf_deinit(b);
}

static void test_every_type(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    err e;
    bytes_everything(&b, &header_n);
    gguf *g = open_buf(&b, &e);
    if (!g) fail_msg("%s", e.msg);
    uint64_t u;
    int64_t i;
    double f;
    bool flag;
    str s;
    assert_string_equal(gguf_path(g), "m.gguf");
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_alignment(g), 64);
    assert_int_equal(gguf_file_bytes(g), b.len);
    assert_int_equal(gguf_n_kv(g), 19);
    assert_true(gguf_get_u64(g, "u8", &u) && u == 200);
    assert_true(gguf_get_i64(g, "i8", &i) && i == -123);
    assert_true(gguf_get_u64(g, "u16", &u) && u == 60000);
    assert_true(gguf_get_i64(g, "i16", &i) && i == -32767);
    assert_true(gguf_get_u64(g, "u32", &u) && u == 4000000000u);
    assert_true(gguf_get_i64(g, "i32", &i) && i == -2147483646);
    assert_true(gguf_get_f64(g, "f32", &f) && f == 1.5);
    assert_true(gguf_get_bool(g, "bool", &flag) && flag);
    assert_true(gguf_get_u64(g, "u64", &u) && u == 0xfedcba9876543210u);
    assert_true(gguf_get_i64(g, "i64", &i) && i == -5);
    assert_true(gguf_get_f64(g, "f64", &f) && f == -0.25);
    assert_true(gguf_get_str(g, "string", &s) && str_eq(s, STR("h\xc3\xa9 \xe2\x82\xac")));
    assert_int_equal(gguf_find(g, "u8")->type, GGUF_U8);
    assert_int_equal(gguf_find(g, "u8")->offset, (const char *)gguf_find(g, "u8")->data - b.data);
    gguf_close(g);
    buf_deinit(&b);
}

static void test_conversions(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    err e;
    bytes_everything(&b, &header_n);
    gguf *g = open_buf(&b, &e);
    assert_non_null(g);
    uint64_t u = 77;
    int64_t i = 77;
    double f = 77;
    bool flag = true;
    str s = STR("as it was");
    /* What does not fit or is of another kind leaves *out alone. */
    assert_false(gguf_get_u64(g, "i8", &u) || gguf_get_u64(g, "i64", &u) ||
                 gguf_get_u64(g, "f32", &u));
    assert_false(gguf_get_u64(g, "string", &u) || gguf_get_u64(g, "strings", &u));
    assert_false(gguf_get_u64(g, "absent", &u) || gguf_get_i64(g, "u64", &i));
    assert_false(gguf_get_i64(g, "f64", &i) || gguf_get_f64(g, "string", &f));
    assert_false(gguf_get_f64(g, "floats", &f) || gguf_get_bool(g, "u8", &flag));
    assert_false(gguf_get_bool(g, "f32", &flag) || gguf_get_str(g, "u8", &s));
    assert_false(gguf_get_str(g, "strings", &s));
    assert_true(u == 77 && i == 77 && f == 77 && flag && str_eq(s, STR("as it was")));
    assert_true(gguf_get_i64(g, "u32", &i) && i == 4000000000);
    assert_true(gguf_get_u64(g, "bool", &u) && u == 1);
    assert_true(gguf_get_f64(g, "i8", &f) && f == -123);
    assert_true(gguf_get_f64(g, "u64", &f) && f == 0xfedcba9876543210p0);
    gguf_close(g);
    buf_deinit(&b);
}

static void test_items(void **state) {
    (void)state;
    static const char *const want[] = {"one", "", "three", "\xe2\x96\x81 four"};
    buf b;
    size_t header_n;
    err e;
    bytes_everything(&b, &header_n);
    gguf *g = open_buf(&b, &e);
    assert_non_null(g);
    str s = {0};
    int64_t i;
    double f;
    const gguf_kv *kv = gguf_find(g, "strings");
    assert_true(kv->type == GGUF_ARRAY && kv->elem == GGUF_STRING && kv->n == 4);
    for (uint64_t k = 0; k < 4; k++)
        assert_true(gguf_item_str(kv, g, k, &s) && str_eq(s, str_of(want[k])));
    assert_false(gguf_item_str(kv, g, 4, &s) || gguf_item_i64(kv, 0, &i));
    kv = gguf_find(g, "floats");
    assert_true(kv->n == 3 && gguf_item_f64(kv, 2, &f) && f == -2.0);
    assert_false(gguf_item_f64(kv, 3, &f) || gguf_item_i64(kv, 0, &i) ||
                 gguf_item_str(kv, g, 0, &s));
    kv = gguf_find(g, "bools");
    assert_true(gguf_item_i64(kv, 1, &i) && i == 1 && gguf_item_i64(kv, 2, &i) && i == 0);
    kv = gguf_find(g, "shorts");
    assert_true(gguf_item_i64(kv, 1, &i) && i == -2 && gguf_item_f64(kv, 0, &f) && f == 7);
    kv = gguf_find(g, "nested");
    assert_true(kv->elem == GGUF_ARRAY && kv->n == 2);
    assert_false(gguf_item_i64(kv, 0, &i) || gguf_item_str(kv, g, 0, &s));
    assert_false(gguf_item_i64(gguf_find(g, "u8"), 0, &i));
    gguf_close(g);
    buf_deinit(&b);
}

static void test_tensors(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    err e;
    bytes_everything(&b, &header_n);
    gguf *g = open_buf(&b, &e);
    assert_non_null(g);
    assert_int_equal(gguf_n_tensors(g), 21);
    uint64_t at = (header_n + 63) / 64 * 64;
    for (uint64_t i = 0; i < 21; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const quant_info *q = quant_info_of(t->type);
        assert_true(str_eq(t->name, str_of(q->name)));
        assert_ptr_equal(gguf_tensor_find(g, q->name), t);
        assert_int_equal(t->n_dims, i % 3 ? 2 : 4);
        assert_true(t->ne[0] == q->block && t->ne[1] == 1 + i % 3 && t->ne[2] == 1 &&
                    t->ne[3] == 1);
        assert_int_equal(t->size_bytes, t->ne[1] * q->block_bytes);
        assert_int_equal(t->file_offset, at);
        assert_ptr_equal(t->data, b.data + at);
        assert_int_equal(t->part, 0);
        at = (at + t->size_bytes + 63) / 64 * 64;
    }
    assert_null(gguf_tensor_find(g, "absent"));
    gguf_close(g);
    buf_deinit(&b);
}

static void test_version_2_and_empty(void **state) {
    (void)state;
    buf b;
    err e;
    bytes_begin(&b, 2, 0, 1);
    bytes_key(&b, "k", GGUF_ARRAY);
    bytes_array(&b, GGUF_STRING, 0);
    gguf *g = open_buf(&b, &e);
    assert_non_null(g);
    assert_int_equal(gguf_version(g), 2);
    assert_int_equal(gguf_alignment(g), 32);
    str s;
    assert_false(gguf_item_str(gguf_find(g, "k"), g, 0, &s));
    gguf_close(g);
    buf_deinit(&b);
    bytes_begin(&b, 3, 0, 0);
    g = open_buf(&b, &e);
    assert_non_null(g);
    assert_true(gguf_n_kv(g) == 0 && gguf_n_tensors(g) == 0 && !gguf_find(g, "k"));
    gguf_close(g);
    buf_deinit(&b);
}

static void test_bad_beginnings(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 100);
    buf_puts(&b, "");
    assert_refused(&b, ERR_DAMAGED, "m.gguf: byte 0: the file ends inside the magic number");
    buf_init(&b, 100);
    buf_puts(&b, "GGML\3\0\0\0");
    assert_refused(&b, ERR_DAMAGED, "byte 0: this is not a GGUF file");
    static const uint32_t versions[] = {0, 1, 4, 0xffffffffu};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        snprintf(text, sizeof text, "byte 4: GGUF version %u; Hearth reads versions 2 and 3",
                 versions[i]);
        bytes_begin(&b, versions[i], 0, 0);
        assert_refused(&b, ERR_DAMAGED, text);
    }
    bytes_begin(&b, 0x03000000, 0, 0);
    assert_refused(&b, ERR_DAMAGED, "byte 4: the file is big endian (version 3)");
    bytes_begin(&b, 3, LIMIT_GGUF_TENSORS + 1, 0);
    assert_refused(&b, ERR_DAMAGED, "byte 8: the number of tensors is 131073; at most 131072");
    bytes_begin(&b, 3, 1000, 0);
    assert_refused(&b, ERR_DAMAGED, "byte 8: the number of tensors is 1000, more than the rest");
    bytes_begin(&b, 3, 0, LIMIT_GGUF_KV + 1);
    assert_refused(&b, ERR_DAMAGED, "byte 16: the number of metadata pairs is 65537; at most");
}

/* One pair of key "k", given as type and raw value; where the value starts is byte 37. */
static void pair_refused(uint32_t type, const void *value, size_t n, const char *text) {
    buf b;
    bytes_begin(&b, 3, 0, 1);
    bytes_key(&b, "k", type);
    buf_append(&b, value, n);
    assert_refused(&b, ERR_DAMAGED, text);
}

static void test_bad_pairs(void **state) {
    (void)state;
    buf v;
    pair_refused(13, "\0\0\0\0\0\0\0", 8, "byte 33: the type of a value is 13");
    pair_refused(GGUF_BOOL, "\2", 1, "byte 37: a bool is 2");
    pair_refused(GGUF_U64, "\1\2\3", 3,
                 "byte 37: the file ends inside a value: 8 bytes needed, 3 left");
    pair_refused(GGUF_STRING, "\5\0\0\0\0\0\0\0abcd", 12, "byte 45: the file ends inside a string");
    pair_refused(GGUF_STRING, "\xff\xff\xff\xff\xff\xff\xff\xff", 8,
                 "byte 37: the length of a string");
    buf_init(&v, 1000);
    bytes_array(&v, GGUF_U32, 3);
    bytes_u64(&v, 0);
    pair_refused(GGUF_ARRAY, v.data, v.len, "byte 41: the length of an array is 3, more than");
    buf_clear(&v);
    bytes_array(&v, GGUF_U8, LIMIT_GGUF_ARRAY_ITEMS + 1);
    pair_refused(GGUF_ARRAY, v.data, v.len, "byte 41: the length of an array is 67108865; at most");
    buf_clear(&v);
    bytes_array(&v, 99, 0);
    pair_refused(GGUF_ARRAY, v.data, v.len, "byte 37: the element type of an array is 99");
    buf_clear(&v);
    for (int depth = 0; depth < LIMIT_GGUF_ARRAY_DEPTH; depth++) bytes_array(&v, GGUF_ARRAY, 1);
    bytes_array(&v, GGUF_U8, 1);
    bytes_u8(&v, 1);
    pair_refused(GGUF_ARRAY, v.data, v.len, "arrays are nested more than 4 deep (key \"k\")");
    buf_clear(&v);
    bytes_array(&v, GGUF_STRING, 2);
    bytes_str(&v, "fine");
    bytes_u64(&v, 5);
    pair_refused(GGUF_ARRAY, v.data, v.len, "byte 69: the file ends inside a string of an array");
    buf_deinit(&v);
}

static void test_deepest_nesting(void **state) {
    (void)state;
    buf b;
    err e;
    bytes_begin(&b, 3, 0, 1);
    bytes_key(&b, "k", GGUF_ARRAY);
    for (int depth = 1; depth < LIMIT_GGUF_ARRAY_DEPTH; depth++) bytes_array(&b, GGUF_ARRAY, 1);
    bytes_array(&b, GGUF_U8, 1);
    bytes_u8(&b, 1);
    gguf *g = open_buf(&b, &e);
    if (!g) fail_msg("%s", e.msg);
    gguf_close(g);
    buf_deinit(&b);
}

static void test_bad_keys(void **state) {
    (void)state;
    buf b;
    bytes_begin(&b, 3, 0, 3);
    for (int i = 0; i < 3; i++) {
        bytes_key(&b, i == 1 ? "other" : "same", GGUF_U8);
        bytes_u8(&b, 1);
    }
    assert_refused(&b, ERR_DAMAGED, "byte 59: the key \"same\" occurs twice");
    char *longest = malloc(LIMIT_GGUF_KEY_BYTES + 2);
    memset(longest, 'k', LIMIT_GGUF_KEY_BYTES + 1);
    longest[LIMIT_GGUF_KEY_BYTES + 1] = 0;
    bytes_begin(&b, 3, 0, 1);
    bytes_key(&b, longest, GGUF_U8);
    bytes_u8(&b, 1);
    assert_refused(&b, ERR_DAMAGED, "byte 24: the length of a key is 65536 bytes; at most 65535");
    longest[LIMIT_GGUF_KEY_BYTES] = 0;
    bytes_begin(&b, 3, 0, 1);
    bytes_key(&b, longest, GGUF_U8);
    bytes_u8(&b, 1);
    err e;
    gguf *g = open_buf(&b, &e);
    assert_non_null(g);
    assert_non_null(gguf_find(g, longest));
    gguf_close(g);
    buf_deinit(&b);
    free(longest);
}

static void test_alignment(void **state) {
    (void)state;
    static const uint32_t good[] = {8, 16, 32, 64, 4096, 65536};
    static const uint32_t bad[] = {0, 1, 4, 7, 33, 96, 131072, 0x80000000u};
    const uint64_t ne[] = {3};
    buf b;
    err e;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        bytes_begin(&b, 3, 2, 1);
        bytes_key(&b, "general.alignment", GGUF_U32);
        bytes_u32(&b, good[i]);
        bytes_tensor(&b, "a", 1, ne, QUANT_F32, 0);
        bytes_tensor(&b, "b", 1, ne, QUANT_F32, good[i] < 16 ? 16 : good[i]);
        bytes_align(&b, good[i]);
        bytes_fill(&b, (good[i] < 16 ? 16 : good[i]) + 12);
        gguf *g = open_buf(&b, &e);
        if (!g) fail_msg("%s", e.msg);
        assert_int_equal(gguf_alignment(g), good[i]);
        assert_int_equal(gguf_tensor_at(g, 0)->file_offset % good[i], 0);
        gguf_close(g);
        buf_deinit(&b);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bytes_begin(&b, 3, 0, 1);
        bytes_key(&b, "general.alignment", GGUF_U32);
        bytes_u32(&b, bad[i]);
        assert_refused(&b, ERR_DAMAGED, "it must be a power of two from 8 to 65536");
    }
    bytes_begin(&b, 3, 0, 1);
    bytes_key(&b, "general.alignment", GGUF_F32);
    bytes_f32(&b, 32);
    assert_refused(&b, ERR_DAMAGED, "general.alignment is not a whole number");
}

/* One tensor "t" (its record at byte 24, its axes at 33), in a file with 64 bytes of data. */
static void tensor_refused(uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset,
                           err_code code, const char *text) {
    buf b;
    bytes_begin(&b, 3, 1, 0);
    bytes_str(&b, "t");
    bytes_u32(&b, n_dims);
    for (uint32_t d = 0; d < n_dims && d < 8; d++) bytes_u64(&b, ne[d]);
    bytes_u32(&b, type);
    bytes_u64(&b, offset);
    bytes_align(&b, 32);
    bytes_fill(&b, 64);
    assert_refused(&b, code, text);
}

static void test_bad_tensors(void **state) {
    (void)state;
    static const uint64_t good[8] = {32, 1, 1, 1, 1, 1, 1, 1};
    tensor_refused(0, good, QUANT_F16, 0, ERR_DAMAGED, "byte 33: a tensor has 0 axes");
    tensor_refused(5, good, QUANT_F16, 0, ERR_DAMAGED, "byte 33: a tensor has 5 axes");
    tensor_refused(UINT32_MAX, good, QUANT_F16, 0, ERR_DAMAGED, "4294967295 axes");
    tensor_refused(2, (uint64_t[]){32, 0}, QUANT_F16, 0, ERR_DAMAGED,
                   "byte 45: axis 1 of tensor \"t\" has 0");
    tensor_refused(1, (uint64_t[]){UINT64_MAX}, QUANT_F16, 0, ERR_DAMAGED, "byte 37: axis 0");
    tensor_refused(3, (uint64_t[]){1ull << 32, 1ull << 32, 2}, QUANT_I8, 0, ERR_DAMAGED,
                   "overflows");
    tensor_refused(2, (uint64_t[]){1ull << 32, 1ull << 31}, QUANT_F32, 0, ERR_DAMAGED, "overflows");
    tensor_refused(1, (uint64_t[]){48}, QUANT_Q8_0, 0, ERR_DAMAGED,
                   "byte 37: tensor \"t\" has rows of 48 elements, no multiple of Q8_0's 32");
    tensor_refused(2, (uint64_t[]){16, 2}, QUANT_Q8_0, 0, ERR_DAMAGED, "no multiple of Q8_0's 32");
    tensor_refused(1, good, 16, 0, ERR_FAILED,
                   "byte 45: tensor \"t\" has type 16, which Hearth does not read");
    tensor_refused(1, good, 4, 0, ERR_FAILED, "has type 4, which");
    tensor_refused(1, good, 4711, 0, ERR_DAMAGED, "has type 4711, which");
    tensor_refused(1, good, QUANT_F16, 8, ERR_DAMAGED,
                   "byte 24: the offset of tensor \"t\", 8, is not a multiple of 32");
    tensor_refused(1, good, QUANT_F16, 32, ERR_DAMAGED,
                   "byte 24: the data of tensor \"t\" (64 bytes from byte 32");
    tensor_refused(1, good, QUANT_F16, UINT64_MAX - 31, ERR_DAMAGED, "past the end of the file");
    tensor_refused(1, (uint64_t[]){33}, QUANT_F16, 0, ERR_DAMAGED, "past the end of the file");
}

static void test_tensor_names(void **state) {
    (void)state;
    const uint64_t ne[] = {4};
    char name[LIMIT_GGUF_NAME_BYTES + 2];
    buf b;
    bytes_begin(&b, 3, 3, 0);
    bytes_tensor(&b, "a", 1, ne, QUANT_F32, 0);
    bytes_tensor(&b, "b", 1, ne, QUANT_F32, 0);
    bytes_tensor(&b, "a", 1, ne, QUANT_F32, 0);
    bytes_align(&b, 32);
    bytes_fill(&b, 16);
    assert_refused(&b, ERR_DAMAGED, "byte 90: two tensors are named \"a\"");
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    bytes_begin(&b, 3, 1, 0);
    bytes_tensor(&b, name, 1, ne, QUANT_F32, 0);
    assert_refused(&b, ERR_DAMAGED,
                   "byte 24: the length of a tensor's name is 257 bytes; at most 256");
}

/* Names from outside stay on one line of printable text. */
static void test_messages_are_one_line(void **state) {
    (void)state;
    const uint64_t ne[] = {4};
    buf b;
    err e;
    bytes_begin(&b, 3, 1, 0);
    bytes_tensor(&b, "a\nb\x1b[31m\xff", 1, ne, 4711, 0);
    assert_null(open_buf(&b, &e));
    for (const char *p = e.msg; *p; p++) assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    buf_deinit(&b);
    buf_init(&b, 100);
    buf_puts(&b, "no model");
    char path[600];
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 10, "tail.gguf", 10);
    assert_null(gguf_open_memory(b.data, b.len, path, &e));
    assert_non_null(strstr(e.msg, "tail.gguf: byte 0: this is not a GGUF file"));
    buf_deinit(&b);
}

static void test_files(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    err e = {0};
    bytes_everything(&b, &header_n);
    const char *path = scratch_write("all.gguf", b.data, b.len);
    gguf *g = gguf_open(path, &e);
    if (!g) fail_msg("%s", e.msg);
    assert_string_equal(gguf_path(g), path);
    uint64_t sum = survivor_walk(g); /* releases each tensor's pages */
    assert_memory_equal(gguf_tensor_find(g, "Q6_K")->data,
                        b.data + gguf_tensor_find(g, "Q6_K")->file_offset,
                        gguf_tensor_find(g, "Q6_K")->size_bytes);
    assert_int_equal(survivor_walk(g), sum);
    gguf_close(g);
    assert_null(gguf_open(scratch_path("absent.gguf"), &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_null(gguf_open(scratch_dir(), &e));
    assert_int_equal(e.code, ERR_FAILED);
    assert_null(gguf_open(scratch_write("empty.gguf", "", 0), &e));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_null(gguf_open(scratch_path("absent.gguf"), NULL));
    gguf_close(NULL);
    buf_deinit(&b);
}

/* Many names that differ in one byte or only in length all find their own. */
static void test_look_up(void **state) {
    (void)state;
    const uint64_t ne[] = {1};
    const int n = 5000;
    char name[64];
    buf b;
    err e;
    bytes_begin(&b, 3, (uint64_t)n, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%.*s.key.%d", i % 20, "aaaaaaaaaaaaaaaaaaaa", i);
        bytes_key(&b, name, GGUF_I32);
        bytes_u32(&b, (uint32_t)i);
    }
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        bytes_tensor(&b, name, 1, ne, QUANT_F32, 0);
    }
    bytes_align(&b, 32);
    bytes_fill(&b, 4);
    gguf *g = open_buf(&b, &e);
    if (!g) fail_msg("%s", e.msg);
    for (int i = 0; i < n; i++) {
        int64_t v = -1;
        snprintf(name, sizeof name, "%.*s.key.%d", i % 20, "aaaaaaaaaaaaaaaaaaaa", i);
        assert_true(gguf_get_i64(g, name, &v) && v == i);
        snprintf(name, sizeof name, "blk.%d.weight", i);
        assert_ptr_equal(gguf_tensor_find(g, name), gguf_tensor_at(g, (uint64_t)i));
        snprintf(name, sizeof name, "blk.%d.weighs", i);
        assert_null(gguf_tensor_find(g, name));
    }
    gguf_close(g);
    buf_deinit(&b);
}

static void test_vocabularies(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t n_tokens;
    } vocabs[] = {{"bert-bge", 30522}, {"deepseek-llm", 102400}, {"falcon", 65024},
                  {"gpt-2", 50257},    {"llama-bpe", 128256},    {"llama-spm", 32000},
                  {"phi-3", 32064},    {"qwen2", 151936},        {"starcoder", 49152}};
    const char *shared = getenv("HEARTH_SHARED");
    if (!shared || !*shared) skip_because("9 vocabularies: no reference data here");
    for (size_t i = 0; i < sizeof vocabs / sizeof vocabs[0]; i++) {
        char path[4096];
        err e = {0};
        snprintf(path, sizeof path, "%s/vocab/ggml-vocab-%s.gguf", shared, vocabs[i].name);
        uint64_t before = clock_now_ns();
        gguf *g = gguf_open(path, &e);
        double ms = (double)(clock_now_ns() - before) / 1e6;
        if (!g) fail_msg("%s", e.msg);
        const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
        assert_non_null(tokens);
        assert_int_equal(tokens->n, vocabs[i].n_tokens);
        assert_int_equal(gguf_n_tensors(g), 0);
        print_message("%-13s %llu tokens, opened in %.1f ms\n", vocabs[i].name,
                      (unsigned long long)tokens->n, ms);
        survivor_walk(g);
        gguf_close(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_version_2_and_empty),
        cmocka_unit_test(test_bad_beginnings),
        cmocka_unit_test(test_bad_pairs),
        cmocka_unit_test(test_deepest_nesting),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_tensor_names),
        cmocka_unit_test(test_messages_are_one_line),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_look_up),
        cmocka_unit_test(test_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
