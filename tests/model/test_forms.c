/* Files in the form of Ollama's converter. A tiny model's file is written anew as that has it:
 * other names, values left out, the tensors of a half that sees, tokens for pictures. Its logits
 * are those of the plain file, bit for bit; what it writes under plain names it is asked for by
 * them. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "gguf/gguf_write.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"
#include "tok/tok.h"

typedef struct naming {
    const char *plain, *form; /* form NULL: it is left out */
} naming;

typedef struct form_case {
    const char *tiny, *plain, *arch; /* the tiny model, its architecture, and what the form says */
    naming key[4];                   /* after the architecture */
    naming tensor[4];                /* a piece of the name */
    int more_tokens;                 /* than the embedding has rows */
    const char *pre;                 /* of the tokenizer; NULL: as it is */
    bool sees;                       /* tensors of vision stand in the file too */
    const char *text_key, *text;     /* one pair more; NULL: none */
} form_case;

static const form_case *now; /* for recast, which the rig calls without arguments */

static const form_case cases[] = {
    {.tiny = "gpt-oss",
     .plain = "gpt-oss",
     .arch = "gptoss",
     .key = {{"expert_feed_forward_length", NULL}, {"rope.scaling.type", NULL}},
     .tensor = {{".attn_output.", ".attn_out."},
                {".attn_sinks.weight", ".attn_sinks"},
                {".post_attention_norm.", ".ffn_norm."}},
     .pre = "default"},
    {.tiny = "gemma3",
     .plain = "gemma3",
     .arch = "gemma3",
     .key = {{"attention.layer_norm_rms_epsilon", NULL},
             {"rope.freq_base", "rope.global.freq_base"}},
     .more_tokens = 3,
     .sees = true},
    {.tiny = "gemma3",
     .plain = "gemma3",
     .arch = "gemma3",
     .key = {{"attention.layer_norm_rms_epsilon", NULL}, {"rope.freq_base", NULL}}},
    {.tiny = "qwen2",
     .plain = "qwen2",
     .arch = "qwen25vl",
     .sees = true,
     .text_key = "rope.scaling.type",
     .text = "mrope"},
    {.tiny = "qwen2", .plain = "qwen2", .arch = "qwen2vl"},
    {.tiny = "qwen3", .plain = "qwen3", .arch = "qwen3vl", .sees = true},
    {.tiny = "qwen3moe", .plain = "qwen3moe", .arch = "qwen3vlmoe", .sees = true},
    {.tiny = "llama",
     .plain = "llama",
     .arch = "mistral3",
     .pre = "default",
     .sees = true,
     .text_key = "rope.scaling.type",
     .text = ""},
};

static str swap(char *dst, size_t cap, str name, const naming *list, size_t n) {
    for (size_t i = 0; i < n && list[i].plain; i++) {
        size_t at = str_find(name, str_of(list[i].plain), 0);
        if (at == (size_t)-1 || !list[i].form) continue;
        size_t end = at + strlen(list[i].plain);
        int k = snprintf(dst, cap, "%.*s%s%.*s", (int)at, name.p, list[i].form, (int)(name.n - end),
                         name.p + end);
        return (str){dst, (size_t)k};
    }
    return name;
}

static bool is_left_out(str rest) {
    for (int i = 0; i < 4 && now->key[i].plain; i++)
        if (!now->key[i].form && str_eq(rest, str_of(now->key[i].plain))) return true;
    return false;
}

static void put_as(gguf_writer *w, const gguf *g, const gguf_kv *kv, const char *key, str name) {
    str s;
    double x;
    uint64_t u;
    if (kv->type == GGUF_STRING && gguf_get_str(g, key, &s)) gguf_put_str(w, name.p, s);
    else if (kv->type == GGUF_F32 && gguf_get_f64(g, key, &x)) gguf_put_f32(w, name.p, (float)x);
    else if (gguf_get_u64(g, key, &u)) gguf_put_u32(w, name.p, (uint32_t)u);
    else fail_msg("%s is of a kind that this test does not write", key);
}

static void put_tokens(gguf_writer *w, const gguf *g) {
    const gguf_kv *kv = gguf_find(g, "tokenizer.ggml.tokens");
    str list[400];
    int32_t types[400];
    uint64_t n = kv->n;
    for (uint64_t i = 0; i < n; i++) {
        int64_t type;
        assert_true(gguf_item_str(kv, g, i, &list[i]));
        assert_true(gguf_item_i64(gguf_find(g, "tokenizer.ggml.token_type"), i, &type));
        types[i] = (int32_t)type;
    }
    static const char *const more[] = {"<image_a>", "<image_b>", "<image_c>"};
    for (int i = 0; i < now->more_tokens; i++, n++) {
        list[n] = str_of(more[i]);
        types[n] = 3;
    }
    gguf_put_strs(w, "tokenizer.ggml.tokens", list, n);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, n);
}

static void put_pairs(gguf_writer *w, const gguf *g) {
    char key[128], name[128];
    size_t n_plain = strlen(now->plain);
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        snprintf(key, sizeof key, "%.*s", STR_ARG(kv->key));
        if (strcmp(key, "general.architecture") == 0) {
            gguf_put_str(w, key, str_of(now->arch));
        } else if (strcmp(key, "tokenizer.ggml.tokens") == 0) {
            put_tokens(w, g);
        } else if (strcmp(key, "tokenizer.ggml.pre") == 0 && now->pre) {
            gguf_put_str(w, key, str_of(now->pre));
        } else if (strncmp(key, now->plain, n_plain) == 0 && key[n_plain] == '.') {
            char other[64];
            str rest = str_of(key + n_plain + 1);
            if (is_left_out(rest)) continue;
            rest = swap(other, sizeof other, rest, now->key, 4);
            int k = snprintf(name, sizeof name, "%s.%.*s", now->arch, STR_ARG(rest));
            put_as(w, g, kv, key, (str){name, (size_t)k});
        } else if (strcmp(key, "tokenizer.ggml.token_type") != 0) {
            gguf_put_kv(w, g, kv);
        }
    }
    if (now->text_key) {
        snprintf(name, sizeof name, "%s.%s", now->arch, now->text_key);
        gguf_put_str(w, name, str_of(now->text));
    }
}

/* The plain file as the present case has it. */
static void recast(buf *file) {
    static const float pixel[32] = {1};
    const uint64_t one = 32;
    char name[128];
    err e = {0};
    gguf *g = gguf_open_memory(file->data, file->len, "plain", &e);
    if (!g) fail_msg("%s", e.msg);
    const char *path = scratch_path("form.gguf");
    gguf_writer *w = gguf_writer_open(path, &e);
    assert_non_null(w);
    put_pairs(w, g);
    if (now->sees) gguf_put_tensor(w, STR("v.patch_embd.weight"), QUANT_F32, 1, &one);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(w, swap(name, sizeof name, t->name, now->tensor, 4), t->type, t->n_dims,
                        t->ne);
    }
    if (now->sees) {
        gguf_put_tensor(w, STR("mm.projector.weight"), QUANT_F32, 1, &one);
        gguf_write_data(w, pixel, sizeof pixel);
    }
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_write_data(w, t->data, (size_t)t->size_bytes);
    }
    if (now->sees) gguf_write_data(w, pixel, sizeof pixel);
    if (!gguf_writer_close(w, &e)) fail_msg("%s", e.msg);
    gguf_close(g);
    buf_clear(file);
    if (!file_read(file, path, &e)) fail_msg("%s", e.msg);
}

static void test_same_logits(void **state) {
    (void)state;
    enum { N = 64 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig plain, form;
        now = &cases[i];
        rig_open(&plain, now->tiny, QUANT_F32, KERN_KV_F16, 2, 256, NULL);
        rig_open(&form, now->tiny, QUANT_F32, KERN_KV_F16, 2, 256, recast);
        size_t n = (size_t)N * (size_t)plain.n_vocab;
        float *want = calloc(n, sizeof *want), *got = calloc(n, sizeof *got);
        assert_int_equal(plain.n_vocab, form.n_vocab);
        assert_string_equal(model_params_of(form.m)->arch, now->plain);
        rig_feed(&plain, 0, plain.t.prompt, N, want);
        rig_feed(&form, 0, plain.t.prompt, N, got);
        if (memcmp(want, got, n * sizeof *want) != 0)
            fail_msg("%s read as %s: other logits", now->arch, now->plain);
        free(want);
        free(got);
        rig_close(&plain);
        rig_close(&form);
    }
}

/* Under the names of all other files; and the file says what it was. */
static void test_names(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_model t;
        str s;
        err e = {0};
        now = &cases[i];
        assert_true(tiny_open(&t, now->tiny, QUANT_F32, &e));
        recast(&t.gguf);
        gguf *g = gguf_open_memory(t.gguf.data, t.gguf.len, "form", &e);
        if (!g) fail_msg("%s", e.msg);
        assert_string_equal(gguf_form(g), now->arch);
        assert_true(gguf_form_may(str_of(now->arch)));
        assert_true(gguf_get_str(g, "general.architecture", &s) && str_eq(s, str_of(now->plain)));
        const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
        const gguf_tensor *embd = gguf_tensor_find(g, "token_embd.weight");
        assert_true(tokens->n <= embd->ne[1]);
        tok *k = tok_open(g, &e);
        if (!k) fail_msg("%s: %s", now->arch, e.msg);
        tok_close(k);
        if (now->pre)
            assert_true(gguf_get_str(g, "tokenizer.ggml.pre", &s) && !str_eq(s, STR("default")));
        assert_int_equal(gguf_tensor_find(g, "v.patch_embd.weight") != NULL, now->sees);
        gguf_close(g);
        tiny_close(&t);
    }
}

/* What is written of it has the plain form and is whole: the same logits a third time. */
static void copy_again(buf *file) {
    recast(file);
    err e = {0};
    gguf *g = gguf_open_memory(file->data, file->len, "form", &e);
    if (!g) fail_msg("%s", e.msg);
    const char *path = scratch_path("again.gguf");
    gguf_writer *w = gguf_writer_open(path, &e);
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) gguf_put_kv(w, g, gguf_kv_at(g, i));
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne);
    }
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++)
        gguf_write_data(w, gguf_tensor_at(g, i)->data, (size_t)gguf_tensor_at(g, i)->size_bytes);
    if (!gguf_writer_close(w, &e)) fail_msg("%s", e.msg);
    gguf_close(g);
    buf_clear(file);
    if (!file_read(file, path, &e)) fail_msg("%s", e.msg);
    g = gguf_open_memory(file->data, file->len, "again", &e);
    if (!g) fail_msg("%s", e.msg);
    if (strcmp(now->arch, now->plain) != 0) assert_null(gguf_form(g));
    gguf_close(g);
}

static void test_a_copy_is_plain(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        now = &cases[i];
        rig_open(&r, now->tiny, QUANT_F32, KERN_KV_F16, 1, 256, copy_again);
        assert_string_equal(model_params_of(r.m)->arch, now->plain);
        rig_close(&r);
    }
}

/* ---- metadata alone ---- */

/* A file of these pairs and one tensor; the writer's pairs are put by `put`. */
static gguf *made_of(void (*put)(gguf_writer *w), const char *tensor) {
    static const float row[64];
    const uint64_t ne[2] = {32, 2};
    err e = {0};
    const char *path = scratch_path("made.gguf");
    gguf_writer *w = gguf_writer_open(path, &e);
    assert_non_null(w);
    put(w);
    gguf_put_tensor(w, str_of(tensor), QUANT_F32, 2, ne);
    gguf_write_data(w, row, sizeof row);
    if (!gguf_writer_close(w, &e)) fail_msg("%s", e.msg);
    gguf *g = gguf_open(path, &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static void put_long_gemma(gguf_writer *w) {
    gguf_put_str(w, "general.architecture", STR("gemma3"));
    gguf_put_u32(w, "gemma3.context_length", 131072);
    gguf_put_u32(w, "gemma3.mm.tokens_per_image", 256);
    gguf_put_f32(w, "gemma3.rope.local.freq_base", 10001);
    gguf_put_f32(w, "gemma3.rope.freq_base_swa", 10002);
}

static void put_llama3(gguf_writer *w) {
    static const str tokens[] = {{"a", 1}, {"<|start_header_id|>", 19}, {"<|eot_id|>", 10}};
    gguf_put_str(w, "general.architecture", STR("llama"));
    gguf_put_str(w, "tokenizer.ggml.model", STR("gpt2"));
    gguf_put_strs(w, "tokenizer.ggml.tokens", tokens, 3);
}

static void put_letters(gguf_writer *w) {
    static const str letters[] = {{"A", 1}, {"Q", 1}, {"I", 1}, {"D", 1},
                                  {"/", 1}, {"w", 1}, {"=", 1}, {"=", 1}};
    gguf_put_str(w, "general.architecture", STR("bert"));
    gguf_put_strs(w, "tokenizer.ggml.precompiled_charsmap", letters, 8);
}

static void put_ministral(gguf_writer *w) {
    gguf_put_str(w, "general.architecture", STR("mistral3"));
    gguf_put_f32(w, "mistral3.attention.temperature_scale", 0.1f);
}

static void put_embedder(gguf_writer *w) {
    gguf_put_str(w, "general.architecture", STR("gemma3"));
    gguf_put_u32(w, "gemma3.block_count", 24);
}

static void test_metadata(void **state) {
    (void)state;
    str s;
    double x;
    int64_t v;
    gguf *g = made_of(put_long_gemma, "token_embd.weight");
    assert_true(gguf_get_str(g, "gemma3.rope.scaling.type", &s) && str_eq(s, STR("linear")));
    assert_true(gguf_get_f64(g, "gemma3.rope.scaling.factor", &x) && x == 8);
    /* a name that is taken stays with whoever has it */
    assert_true(gguf_get_f64(g, "gemma3.rope.freq_base_swa", &x) && x == 10002);
    assert_true(gguf_get_f64(g, "gemma3.rope.local.freq_base", &x) && x == 10001);
    gguf_close(g);

    g = made_of(put_llama3, "token_embd.weight");
    assert_true(gguf_get_str(g, "tokenizer.ggml.pre", &s) && str_eq(s, STR("llama-bpe")));
    gguf_close(g);

    g = made_of(put_letters, "token_embd.weight");
    const gguf_kv *kv = gguf_find(g, "tokenizer.ggml.precompiled_charsmap");
    static const int64_t bytes[] = {1, 2, 3, 255};
    assert_true(kv->elem == GGUF_U8 && kv->n == 4);
    for (uint64_t i = 0; i < 4; i++) assert_true(gguf_item_i64(kv, i, &v) && v == bytes[i]);
    gguf_close(g);
}

/* What no name brings into a form that is read is refused in one line, with what to pull. */
static void test_refused(void **state) {
    (void)state;
    static const struct {
        void (*put)(gguf_writer *w);
        const char *tensor, *arch, *instead;
    } list[] = {{put_ministral, "token_embd.weight", "mistral3", "mistral-small3.2:24b"},
                {put_embedder, "dense.0.weight", "gemma-embedding", "nomic-embed-text"}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        model_params p;
        err e = {0};
        gguf *g = made_of(list[i].put, list[i].tensor);
        assert_false(model_params_read(g, &p, &e));
        assert_int_equal(e.code, ERR_FAILED);
        assert_non_null(strstr(e.msg, list[i].arch));
        assert_non_null(strstr(e.msg, list[i].instead));
        assert_null(strchr(e.msg, '\n'));
        gguf_close(g);
    }
}

/* Whoever is named in the place of another is of an architecture that is known. */
static void test_refusals(void **state) {
    (void)state;
    const char *instead;
    assert_true(model_arch_refused(STR("gemma4"), &instead));
    assert_string_equal(instead, "gemma3:4b");
    assert_true(model_arch_refused(STR("glmocr"), &instead));
    assert_null(instead);
    assert_false(model_arch_refused(STR("llama"), &instead));
    for (const char *const *a = model_arch_names(); *a; a++)
        assert_false(model_arch_refused(str_of(*a), &instead));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_logits),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_copy_is_plain), cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
