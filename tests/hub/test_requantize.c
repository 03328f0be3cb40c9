/* Mixtures and conversion: types where they are expected, bytes that are the quantiser's own for
 * any number of threads, metadata, what is kept, and every refusal. */
#include "gguf/gguf_write.h"
#include "hub/requantize.h"

#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { LAYERS = 16, WIDE = 256, ROWS = 6 };

typedef struct shape {
    uint32_t layers, type;
    uint64_t wide;
    bool tied;
    uint64_t experts;
    float oddity; /* the value of one weight; 0: none */
} shape;

static float weight(uint64_t i) {
    return sinf((float)i * 0.7f) * 0.05f + cosf((float)i * 0.013f) * 0.02f;
}

static void put_floats(gguf_writer *w, uint64_t n, uint32_t type, float oddity) {
    const quant_info *q = quant_info_of(type);
    float *x = malloc(n * sizeof *x);
    uint8_t *bytes = malloc(n / q->block * q->block_bytes);
    assert_true(x && bytes);
    for (uint64_t i = 0; i < n; i++) x[i] = weight(i);
    if (oddity != 0 && n > 1000) x[1000] = oddity; /* NaN too */
    q->quantize(x, NULL, bytes, (int64_t)n);
    gguf_write_data(w, bytes, (size_t)(n / q->block * q->block_bytes));
    free(x);
    free(bytes);
}

static const char *const in_layer[] = {
    "attn_norm.weight",    "attn_q.weight",   "attn_k.weight",   "attn_v.weight",
    "attn_output.weight",  "ffn_gate.weight", "ffn_down.weight", "ffn_up.weight",
    "ffn_gate_inp.weight", "attn_q.bias"};
#define N_IN_LAYER (sizeof in_layer / sizeof *in_layer)

/* Declares the tensors (write false) or writes their bytes. */
static void tensors(gguf_writer *w, const shape *s, bool write) {
    const uint64_t vector[] = {s->wide}, matrix[] = {s->wide, ROWS},
                   experts[] = {s->wide, ROWS, s->experts};
    const char *const ends[] = {"token_embd.weight", "output.weight"};
    for (size_t i = 0; i < (s->tied ? 1u : 2u); i++) {
        if (write) put_floats(w, s->wide * ROWS, s->type, s->oddity);
        else gguf_put_tensor(w, str_of(ends[i]), s->type, 2, matrix);
    }
    for (uint32_t l = 0; l < s->layers; l++)
        for (size_t i = 0; i < N_IN_LAYER; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%u.%s", l, in_layer[i]);
            bool is_vector = strstr(name, "norm") || strstr(name, "bias");
            bool plain = is_vector || strstr(name, "gate_inp");
            uint32_t type = plain ? (uint32_t)QUANT_F32 : s->type;
            if (write) put_floats(w, is_vector ? s->wide : s->wide * ROWS, type, 0);
            else
                gguf_put_tensor(w, str_of(name), type, is_vector ? 1 : 2,
                                is_vector ? vector : matrix);
        }
    if (!s->experts) return;
    if (write) put_floats(w, s->wide * ROWS * s->experts, s->type, 0);
    else gguf_put_tensor(w, STR("blk.0.ffn_down_exps.weight"), s->type, 3, experts);
}

/* A model of the shape in the scratch folder, opened. */
static gguf *make(const char *name, const shape *s) {
    err e = {0};
    const char *path = scratch_path(name);
    gguf_writer *w = gguf_writer_open(path, &e);
    if (!w) fail_msg("%s", e.msg);
    gguf_put_str(w, "general.architecture", STR("llama"));
    gguf_put_u32(w, "general.file_type", 1);
    gguf_put_str(w, "quantize.imatrix.file", STR("old"));
    gguf_put_u32(w, "llama.attention.head_count", 8);
    gguf_put_u32(w, "llama.attention.head_count_kv", 8);
    if (s->experts) gguf_put_u32(w, "llama.expert_count", (uint32_t)s->experts);
    gguf_put_str(w, "general.name", STR("tiny"));
    tensors(w, s, false);
    tensors(w, s, true);
    if (!gguf_writer_close(w, &e)) fail_msg("%s", e.msg);
    gguf *g = gguf_open(path, &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static bool convert(const gguf *g, const char *out, const char *type, int threads,
                    requantize_options o, requantize_report *r, err *e) {
    o.mix = mix_named(type);
    assert_non_null(o.mix);
    o.team = team_new(threads, e);
    assert_non_null(o.team);
    bool ok = requantize(g, out, &o, r, e);
    team_free(o.team);
    return ok;
}

/* Converted and opened again. */
static gguf *converted(const gguf *g, const char *type, int threads, requantize_report *r) {
    char name[64];
    err e = {0};
    snprintf(name, sizeof name, "out-%s-%d.gguf", type, threads);
    const char *path = scratch_path(name);
    remove(path);
    if (!convert(g, path, type, threads, (requantize_options){.from_quantized = true}, r, &e))
        fail_msg("%s: %s", type, e.msg);
    gguf *made = gguf_open(path, &e);
    if (!made) fail_msg("%s", e.msg);
    return made;
}

static const char *type_of(const gguf *g, const char *fmt, uint32_t layer) {
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, fmt);
    const gguf_tensor *t = gguf_tensor_find(g, strchr(fmt, '!') ? fmt + 1 : name);
    if (!t) fail_msg("%s is missing", name);
    return quant_info_of(t->type)->name;
}

static void test_q4_k_m(void **state) {
    (void)state;
    gguf *g = make("f16.gguf", &(shape){.layers = LAYERS, .wide = WIDE, .type = QUANT_F16});
    requantize_report r;
    gguf *q = converted(g, "Q4_K_M", 2, &r);
    for (uint32_t l = 0; l < LAYERS; l++) {
        /* 16 layers: the first two, the last two, and of those between 4, 7, 10 and 13 */
        bool fine = l < 2 || l >= 14 || l == 4 || l == 7 || l == 10 || l == 13;
        assert_string_equal(type_of(q, "attn_v", l), fine ? "Q6_K" : "Q4_K");
        assert_string_equal(type_of(q, "ffn_down", l), fine ? "Q6_K" : "Q4_K");
        assert_string_equal(type_of(q, "attn_q", l), "Q4_K");
        assert_string_equal(type_of(q, "ffn_up", l), "Q4_K");
        assert_string_equal(type_of(q, "attn_norm", l), "F32");
        assert_string_equal(type_of(q, "ffn_gate_inp", l), "F32");
    }
    assert_string_equal(type_of(q, "!output.weight", 0), "Q6_K");
    assert_string_equal(type_of(q, "!token_embd.weight", 0), "Q4_K");
    assert_int_equal(r.n_of[QUANT_Q6_K], 17);
    assert_int_equal(r.n_of[QUANT_Q4_K], 1 + 7 * LAYERS - 16);
    assert_int_equal(r.n_of[QUANT_F32], 3 * LAYERS);
    assert_int_equal(r.fell_back, 0);
    assert_int_equal(r.converted, 2 + 7 * LAYERS);
    gguf_close(q);
    gguf_close(g);
}

/* mixture, tensor, layer, type: what is published of each, on 16 layers */
static void test_mixtures(void **state) {
    (void)state;
    static const struct {
        const char *mix, *tensor;
        uint32_t layer;
        const char *type;
    } want[] = {
        {"F16", "attn_v", 0, "F16"},       {"F16", "!output.weight", 0, "F16"},
        {"BF16", "ffn_down", 3, "BF16"},   {"Q8_0", "!output.weight", 0, "Q8_0"},
        {"Q6_K", "attn_q", 0, "Q6_K"},     {"Q5_K_M", "attn_v", 0, "Q6_K"},
        {"Q5_K_M", "attn_v", 2, "Q5_K"},   {"Q5_K_M", "ffn_down", 15, "Q6_K"},
        {"Q5_K_S", "attn_v", 0, "Q5_K"},   {"Q5_K_S", "!output.weight", 0, "Q6_K"},
        {"Q4_K_S", "attn_v", 3, "Q5_K"},   {"Q4_K_S", "attn_v", 4, "Q4_K"},
        {"Q4_K_S", "ffn_down", 1, "Q5_K"}, {"Q4_K_S", "ffn_down", 2, "Q4_K"},
        {"Q4_0", "ffn_down", 0, "Q4_0"},   {"Q4_0", "!output.weight", 0, "Q6_K"},
        {"Q4_1", "attn_v", 0, "Q4_1"},     {"Q5_0", "attn_k", 0, "Q5_0"},
        {"Q5_1", "attn_k", 0, "Q5_1"},     {"Q3_K_M", "attn_v", 1, "Q5_K"},
        {"Q3_K_M", "attn_v", 2, "Q4_K"},   {"Q3_K_M", "attn_output", 9, "Q4_K"},
        {"Q3_K_M", "ffn_down", 0, "Q5_K"}, {"Q3_K_M", "ffn_down", 1, "Q4_K"},
        {"Q3_K_M", "ffn_up", 0, "Q3_K"},   {"Q2_K", "attn_v", 5, "Q3_K"},
        {"Q2_K", "ffn_down", 5, "Q3_K"},   {"Q2_K", "attn_output", 5, "Q3_K"},
        {"Q2_K", "ffn_gate", 5, "Q2_K"},   {"IQ4_NL", "ffn_down", 1, "Q5_K"},
        {"IQ4_NL", "attn_q", 1, "IQ4_NL"}, {"IQ4_XS", "ffn_down", 2, "IQ4_XS"},
        {"MXFP4", "attn_q", 1, "MXFP4"},   {"MXFP4", "!output.weight", 0, "Q6_K"},
    };
    gguf *g = make("mixed.gguf", &(shape){.layers = LAYERS, .wide = WIDE, .type = QUANT_F16});
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char name[64];
        mix_model about;
        bool fell_back;
        mix_model_of(&about, g);
        snprintf(name, sizeof name, "blk.%u.%s.weight", want[i].layer, want[i].tensor);
        const char *full = want[i].tensor[0] == '!' ? want[i].tensor + 1 : name;
        uint32_t type = mix_type(mix_named(want[i].mix), &about, gguf_tensor_find(g, full),
                                 &fell_back);
        assert_false(fell_back);
        if (strcmp(quant_info_of(type)->name, want[i].type) != 0)
            fail_msg("%s: %s is %s, expected %s", want[i].mix, full, quant_info_of(type)->name,
                     want[i].type);
    }
    gguf_close(g);
}

static void test_tied_and_experts(void **state) {
    (void)state;
    shape s = {.layers = 1, .wide = WIDE, .type = QUANT_BF16, .tied = true, .experts = 8};
    gguf *g = make("experts.gguf", &s);
    requantize_report r;
    gguf *q = converted(g, "Q4_K_M", 1, &r);
    assert_string_equal(type_of(q, "!token_embd.weight", 0), "Q6_K");
    assert_string_equal(type_of(q, "attn_v", 0), "Q8_0");
    assert_string_equal(type_of(q, "attn_k", 0), "Q8_0");
    assert_string_equal(type_of(q, "attn_output", 0), "Q5_K");
    gguf_close(q);
    q = converted(g, "MXFP4", 1, &r);
    assert_string_equal(type_of(q, "ffn_down_exps", 0), "MXFP4");
    assert_string_equal(type_of(q, "attn_q", 0), "Q8_0");
    assert_string_equal(type_of(q, "!token_embd.weight", 0), "Q8_0");
    gguf_close(q);
    gguf_close(g);
}

static void test_rows_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        const char *mix, *type;
    } want[] = {{"Q4_K_S", "Q5_0"},   {"Q5_K_S", "Q5_1"},   {"Q6_K", "Q8_0"}, {"Q2_K", "IQ4_NL"},
                {"Q3_K_M", "IQ4_NL"}, {"IQ4_XS", "IQ4_NL"}, {"Q4_0", "Q4_0"}};
    gguf *g = make("narrow.gguf", &(shape){.layers = 1, .wide = 96, .type = QUANT_F32});
    gguf *odd = make("odd.gguf", &(shape){.layers = 1, .wide = 40, .type = QUANT_F32});
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        requantize_report r;
        gguf *q = converted(g, want[i].mix, 1, &r);
        assert_string_equal(type_of(q, "ffn_up", 0), want[i].type);
        assert_int_equal(r.fell_back, strcmp(want[i].mix, "Q4_0") == 0 ? 1 : 9);
        gguf_close(q);
        q = converted(odd, want[i].mix, 1, &r);
        assert_string_equal(type_of(q, "ffn_up", 0), "F16");
        assert_int_equal(r.fell_to[QUANT_F16], 9);
        gguf_close(q);
    }
    gguf_close(odd);
    gguf_close(g);
}

/* Against the quantiser on the whole tensor at once; more elements than one chunk holds. */
static void test_bytes_for_any_team(void **state) {
    (void)state;
    enum { LONG = 1 << 19 };
    gguf *g = make("long.gguf", &(shape){.wide = LONG, .type = QUANT_Q8_0});
    float *x = malloc(sizeof *x * LONG * ROWS);
    uint8_t *want = malloc(sizeof *x * LONG * ROWS);
    assert_true(x && want);
    const gguf_tensor *from = gguf_tensor_find(g, "token_embd.weight");
    quant_info_of(QUANT_Q8_0)->dequantize(from->data, x, LONG * ROWS);
    quant_info_of(QUANT_Q4_0)->quantize(x, NULL, want, LONG * ROWS);
    for (int threads = 1; threads <= 3; threads++) {
        requantize_report r;
        gguf *q = converted(g, "Q4_0", threads, &r);
        const gguf_tensor *t = gguf_tensor_find(q, "token_embd.weight");
        assert_int_equal(t->size_bytes, LONG * ROWS / 32 * 18);
        assert_memory_equal(t->data, want, t->size_bytes);
        gguf_close(q);
    }
    free(x);
    free(want);
    gguf_close(g);
}

static void test_metadata_and_copies(void **state) {
    (void)state;
    gguf *g = make("meta.gguf", &(shape){.layers = 1, .wide = WIDE, .type = QUANT_F16});
    requantize_report r;
    gguf *q = converted(g, "Q4_K_M", 1, &r);
    uint64_t n = 0;
    str s;
    assert_true(gguf_get_u64(q, "general.file_type", &n) && n == 15);
    assert_true(gguf_get_u64(q, "general.quantization_version", &n) && n == 2);
    assert_true(gguf_get_str(q, "general.name", &s) && str_eq(s, STR("tiny")));
    assert_null(gguf_find(q, "quantize.imatrix.file"));
    assert_int_equal(gguf_n_kv(q), gguf_n_kv(g)); /* one less, one more */
    static const char *const kept[] = {"blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight",
                                       "blk.0.attn_q.bias"};
    for (size_t i = 0; i < 3; i++) {
        const gguf_tensor *a = gguf_tensor_find(g, kept[i]), *b = gguf_tensor_find(q, kept[i]);
        assert_int_equal(a->size_bytes, b->size_bytes);
        assert_memory_equal(a->data, b->data, a->size_bytes);
    }
    gguf_close(q);
    gguf_close(g);
}

static bool stop_at_once(void *ud, uint64_t done, uint64_t total) {
    assert_true(done > 0 && done <= total);
    ++*(int *)ud;
    return false;
}

static void assert_refused(const gguf *g, const char *out, const char *type, requantize_options o,
                           err_code code, const char *text) {
    err e = {0};
    requantize_report r;
    assert_false(convert(g, out, type, 1, o, &r, &e));
    if (e.code != code || !strstr(e.msg, text))
        fail_msg("code %d: %s; expected %d, %s", (int)e.code, e.msg, (int)code, text);
    assert_int_equal(scratch_count(".hearth-tmp"), 0);
}

static void test_refusals(void **state) {
    (void)state;
    const requantize_options plain = {0}, force = {.replace = true};
    shape s = {.layers = 1, .wide = WIDE, .type = QUANT_Q8_0};
    gguf *g = make("refused.gguf", &s);
    const char *out = scratch_path("refused-out.gguf");
    struct stat st;
    assert_refused(g, out, "Q4_0", plain, ERR_USAGE, "--allow-requantize");
    assert_int_not_equal(stat(out, &st), 0);
    assert_refused(g, scratch_path("a-00001-of-00002.gguf"), "Q8_0", plain, ERR_USAGE, "part");
    assert_refused(g, gguf_path(g), "Q8_0", force, ERR_USAGE, "is the model that is read");
    assert_refused(g, scratch_dir(), "Q8_0", force, ERR_FAILED, "no file");
    assert_refused(g, scratch_path("none/x.gguf"), "Q8_0", plain, ERR_NOT_FOUND, "none");
    const char *there = scratch_write("there.gguf", "old", 3);
    assert_refused(g, there, "Q8_0", plain, ERR_FAILED, "--force");
    err e = {0};
    requantize_report r;
    if (!convert(g, there, "Q8_0", 1, force, &r, &e)) fail_msg("%s", e.msg); /* no conversion */
    assert_int_equal(r.converted, 0);
    int calls = 0;
    requantize_options stopped = {.progress = stop_at_once, .progress_ud = &calls};
    assert_refused(g, out, "Q8_0", stopped, ERR_INTERRUPTED, "interrupted");
    assert_int_equal(calls, 1);
    gguf_close(g);

    s = (shape){.wide = WIDE, .type = QUANT_F32, .oddity = NAN};
    g = make("nan.gguf", &s);
    assert_refused(g, out, "Q4_0", plain, ERR_DAMAGED, "not finite");
    gguf_close(g);
    s.oddity = 70000.0f;
    g = make("large.gguf", &s);
    assert_refused(g, out, "F16", plain, ERR_FAILED, "choose BF16");
    assert_int_not_equal(stat(out, &st), 0);
    if (!convert(g, out, "BF16", 1, plain, &r, &e)) fail_msg("%s", e.msg);
    gguf_close(g);
    assert_null(mix_named("Q4_K"));
    assert_ptr_equal(mix_named("mxfp4"), mix_named("MXFP4"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q4_k_m),
        cmocka_unit_test(test_mixtures),
        cmocka_unit_test(test_tied_and_experts),
        cmocka_unit_test(test_rows_that_do_not_fit),
        cmocka_unit_test(test_bytes_for_any_team),
        cmocka_unit_test(test_metadata_and_copies),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
