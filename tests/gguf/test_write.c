/* Writing: what is put is read back, in pieces of any size; a failure leaves nothing behind. */
#include "bytes.h"
#include "damage.h"
#include "gguf/gguf_write.h"

#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <stdio.h>
#include <sys/stat.h>

static const uint64_t shape_a[] = {32, 3}, shape_b[] = {5};

/* Two tensors of 102 and 20 bytes: neither fills its last 32 bytes. */
static void put_tensors(gguf_writer *w) {
    gguf_put_tensor(w, STR("a"), QUANT_Q8_0, 2, shape_a);
    gguf_put_tensor(w, STR("b"), QUANT_F32, 1, shape_b);
}

static gguf *reopen(const char *path) {
    err e = {0};
    gguf *g = gguf_open(path, &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static gguf_writer *begin(const char *path) {
    err e = {0};
    gguf_writer *w = gguf_writer_open(path, &e);
    if (!w) fail_msg("%s", e.msg);
    return w;
}

static void finish(gguf_writer *w) {
    err e = {0};
    if (!gguf_writer_close(w, &e)) fail_msg("%s", e.msg);
}

/* The close fails with this in its message, and no file and no temporary one is left. */
static void assert_fails(gguf_writer *w, const char *path, const char *text) {
    err e = {0};
    struct stat st;
    assert_false(gguf_writer_close(w, &e));
    if (!e.code || !strstr(e.msg, text)) fail_msg("code %d: %s; expected: %s", e.code, e.msg, text);
    assert_int_not_equal(stat(path, &st), 0);
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

static void test_metadata(void **state) {
    (void)state;
    const char *path = scratch_path("meta.gguf");
    const str strs[] = {STR("x"), STR(""), STR("zebra")};
    const int32_t ints[] = {-1, 2, INT32_MIN};
    const float floats[] = {0.5f, -2.0f};
    gguf_writer *w = begin(path);
    gguf_put_u32(w, "u32", 7);
    gguf_put_u64(w, "u64", UINT64_MAX);
    gguf_put_i32(w, "i32", -7);
    gguf_put_f32(w, "f32", 0.1f);
    gguf_put_bool(w, "yes", true);
    gguf_put_bool(w, "no", false);
    gguf_put_str(w, "str", STR("a\0b"));
    gguf_put_strs(w, "strs", strs, 3);
    gguf_put_i32s(w, "ints", ints, 3);
    gguf_put_f32s(w, "floats", floats, 2);
    gguf_put_strs(w, "none", NULL, 0);
    finish(w);

    gguf *g = reopen(path);
    uint64_t u;
    int64_t i;
    double f;
    bool yes, no;
    str s;
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_n_kv(g), 11);
    assert_int_equal(gguf_find(g, "u32")->type, GGUF_U32);
    assert_true(gguf_get_u64(g, "u32", &u) && u == 7);
    assert_true(gguf_get_u64(g, "u64", &u) && u == UINT64_MAX);
    assert_true(gguf_get_i64(g, "i32", &i) && i == -7);
    assert_true(gguf_get_f64(g, "f32", &f) && f == (double)0.1f);
    assert_true(gguf_get_bool(g, "yes", &yes) && yes && gguf_get_bool(g, "no", &no) && !no);
    assert_true(gguf_get_str(g, "str", &s) && str_eq(s, STR("a\0b")));
    for (uint64_t k = 0; k < 3; k++) {
        assert_true(gguf_item_str(gguf_find(g, "strs"), g, k, &s) && str_eq(s, strs[k]));
        assert_true(gguf_item_i64(gguf_find(g, "ints"), k, &i) && i == ints[k]);
    }
    assert_true(gguf_item_f64(gguf_find(g, "floats"), 1, &f) && f == -2.0);
    assert_int_equal(gguf_find(g, "none")->n, 0);
    gguf_close(g);
}

static void test_tensor_data(void **state) {
    (void)state;
    uint8_t data[102 + 20];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i + 1);
    for (uint32_t align = 8; align <= 65536; align *= 4) {
        for (size_t piece = 1; piece <= sizeof data; piece += 11) {
            const char *path = scratch_path("data.gguf");
            gguf_writer *w = begin(path);
            gguf_put_u32(w, "general.alignment", align);
            put_tensors(w);
            for (size_t at = 0; at < sizeof data; at += piece)
                gguf_write_data(w, data + at, at + piece > sizeof data ? sizeof data - at : piece);
            finish(w);
            gguf *g = reopen(path);
            assert_int_equal(gguf_alignment(g), align);
            const gguf_tensor *a = gguf_tensor_find(g, "a"), *b = gguf_tensor_find(g, "b");
            assert_true(a->type == QUANT_Q8_0 && a->ne[0] == 32 && a->ne[1] == 3);
            assert_memory_equal(a->data, data, 102);
            assert_memory_equal(b->data, data + 102, 20);
            assert_int_equal(b->file_offset % align, 0);
            assert_int_equal(gguf_file_bytes(g) % align, 0); /* the last one is padded, too */
            gguf_close(g);
        }
    }
}

/* Every pair of a file that has all types, copied: the copy's header holds the same bytes. */
static void test_copy(void **state) {
    (void)state;
    buf b;
    size_t header_n;
    err e = {0};
    bytes_everything(&b, &header_n);
    gguf *from = gguf_open_memory(b.data, b.len, "from", &e);
    assert_non_null(from);
    const char *path = scratch_path("copy.gguf");
    gguf_writer *w = begin(path);
    for (uint64_t i = 0; i < gguf_n_kv(from); i++) gguf_put_kv(w, from, gguf_kv_at(from, i));
    for (uint64_t i = 0; i < gguf_n_tensors(from); i++) {
        const gguf_tensor *t = gguf_tensor_at(from, i);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne);
    }
    for (uint64_t i = 0; i < gguf_n_tensors(from); i++) {
        const gguf_tensor *t = gguf_tensor_at(from, i);
        gguf_write_data(w, t->data, (size_t)t->size_bytes);
    }
    finish(w);
    gguf *copy = reopen(path);
    assert_int_equal(gguf_file_bytes(copy), b.len);
    const gguf_tensor *first = gguf_tensor_at(copy, 0);
    assert_memory_equal((const uint8_t *)first->data - first->file_offset, b.data, header_n);
    for (uint64_t i = 0; i < gguf_n_tensors(from); i++)
        assert_memory_equal(gguf_tensor_at(copy, i)->data, gguf_tensor_at(from, i)->data,
                            gguf_tensor_at(from, i)->size_bytes);
    gguf_close(copy);
    gguf_close(from);
    buf_deinit(&b);
}

static void test_split_keys_stay_behind(void **state) {
    (void)state;
    buf b;
    err e = {0};
    bytes_begin(&b, 3, 0, 2);
    bytes_key(&b, "split.count", GGUF_U16);
    bytes_u16(&b, 1);
    bytes_key(&b, "stays", GGUF_U16);
    bytes_u16(&b, 2);
    gguf *from = gguf_open_memory(b.data, b.len, "from", &e);
    assert_non_null(from);
    const char *path = scratch_path("whole.gguf");
    gguf_writer *w = begin(path);
    for (uint64_t i = 0; i < 2; i++) gguf_put_kv(w, from, gguf_kv_at(from, i));
    finish(w);
    gguf *g = reopen(path);
    assert_true(gguf_n_kv(g) == 1 && gguf_find(g, "stays"));
    gguf_close(g);
    gguf_close(from);
    buf_deinit(&b);
}

static void test_failures(void **state) {
    (void)state;
    const char *path = scratch_path("never.gguf");
    uint8_t data[200] = {0};

    gguf_writer *w = begin(path);
    put_tensors(w);
    gguf_write_data(w, data, 100);
    assert_fails(w, path, "tensor 0 of 2 lacks 2 bytes");

    w = begin(path);
    put_tensors(w);
    gguf_write_data(w, data, 123);
    assert_fails(w, path, "more data than the declared tensors hold");

    w = begin(path);
    put_tensors(w);
    gguf_write_data(w, data, 1);
    gguf_put_u32(w, "late", 1);
    gguf_write_data(w, data, 121);
    assert_fails(w, path, "metadata put after the first tensor data");

    w = begin(path);
    gguf_put_u32(w, "twice", 1);
    gguf_put_u32(w, "twice", 2);
    assert_fails(w, path, "the key \"twice\" occurs twice");

    w = begin(path);
    gguf_put_tensor(w, STR("t"), QUANT_Q4_K, 1, (uint64_t[]){128});
    assert_fails(w, path, "tensor \"t\" has a type or shape");

    w = begin(path);
    gguf_put_tensor(w, STR("t"), QUANT_F32, 2, (uint64_t[]){4, 0});
    assert_fails(w, path, "tensor \"t\" has a type or shape");

    w = begin(path);
    gguf_put_tensor(w, STR("t"), QUANT_F32, 3, (uint64_t[]){1ull << 32, 1ull << 32, 4});
    assert_fails(w, path, "tensor \"t\" has a type or shape");

    w = begin(path);
    gguf_put_tensor(w, STR("t"), 16, 1, shape_a);
    assert_fails(w, path, "tensor \"t\" has a type or shape");

    w = begin(path);
    gguf_put_u32(w, "general.alignment", 48);
    assert_fails(w, path, "an alignment of 48");

    w = begin(path);
    put_tensors(w);
    gguf_put_u32(w, "general.alignment", 64);
    assert_fails(w, path, "put after a tensor");
}

static void test_abort_and_replace(void **state) {
    (void)state;
    const char *path = scratch_write("old.gguf", "old", 3);
    gguf_writer *w = begin(path);
    gguf_put_u32(w, "k", 1);
    gguf_writer_abort(w);
    gguf_writer_abort(NULL);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3); /* still the old one */
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
    w = begin(path);
    gguf_put_u32(w, "k", 1);
    finish(w);
    gguf_close(reopen(path));
    err e = {0};
    assert_null(gguf_writer_open(scratch_path("no/such/folder.gguf"), &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata), cmocka_unit_test(test_tensor_data),
        cmocka_unit_test(test_copy),     cmocka_unit_test(test_split_keys_stay_behind),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_abort_and_replace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
