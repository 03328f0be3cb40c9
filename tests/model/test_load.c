/* Opening: what is missing, misshapen or out of range is named; a damaged header never does worse
 * than an error; loading with a team, and the estimates that need no weights. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gguf/damage.h"
#include "model/cost.h"
#include "model/memory.h"
#include "quant/quant.h"
#include "rig.h"
#include "small.h"
#include "support/cmocka_all.h"
#include "support/resident.h"
#include "support/scratch.h"

static void refused(const buf *file, err_code code, const char *message) {
    err e = {0};
    model *m = model_open_memory(file->data, file->len, "x.gguf", NULL, &e);
    if (m) fail_msg("opened, though %s", message);
    if (e.code != code || !strstr(e.msg, message)) fail_msg("code %d: %s", e.code, e.msg);
    gguf *g = gguf_open_memory(file->data, file->len, "x.gguf", &e);
    model_params p;
    assert_non_null(g);
    assert_false(model_params_read(g, &p, &e));
    assert_int_equal(model_kv_estimate(g, 100, KERN_KV_F16, &e), 0);
    gguf_close(g);
}

static buf tiny(const char *name) {
    buf b;
    err e = {0};
    buf_init(&b, 64u << 20);
    if (!tiny_model_build(name, QUANT_F32, &b, &e)) fail_msg("%s", e.msg);
    return b;
}

static void each_missing_tensor_is_named(void **state) {
    (void)state;
    static const struct {
        const char *model, *tensor;
    } cases[] = {
        {"llama", "output_norm.weight"},
        {"llama", "token_embd.weight"},
        {"llama", "blk.1.ffn_down.weight"},
        {"llama", "blk.0.attn_v.weight"},
        {"qwen2", "blk.1.attn_k.bias"},
        {"qwen3", "blk.0.attn_q_norm.weight"},
        {"gemma2", "blk.0.post_ffw_norm.weight"},
        {"phi3", "blk.1.attn_qkv.weight"},
        {"qwen3moe", "blk.1.ffn_gate_inp.weight"},
        {"gpt-oss", "blk.0.attn_sinks.weight"},
        {"glm4moe", "blk.2.ffn_up_shexp.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[96];
        buf b = tiny(cases[i].model);
        rig_hide_tensor(&b, cases[i].tensor);
        snprintf(message, sizeof message, "tensor %s is missing", cases[i].tensor);
        refused(&b, ERR_DAMAGED, message);
        buf_deinit(&b);
    }
}

static void keys_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *message;
    } cases[] = {
        {"llama.block_count", 0, "llama.block_count is 0; it must lie in 1 .. 1024"},
        {"llama.block_count", 1u << 31, "llama.block_count"},
        {"llama.block_count", 3, "tensor blk.2.attn_norm.weight is missing"},
        {"llama.embedding_length", 255, "255"},
        {"llama.embedding_length", 512, "token_embd.weight"},
        {"llama.feed_forward_length", 100, "blk.0.ffn_gate.weight is 256 x 512"},
        {"llama.attention.head_count", 0, "llama.attention.head_count is 0"},
        {"llama.attention.head_count_kv", 3, "does not divide 4 heads"},
        {"llama.attention.key_length", 24, "a head is a multiple of 16"},
        {"llama.context_length", 0, "llama.context_length is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf b = tiny("llama");
        rig_set_u32(&b, cases[i].key, cases[i].value);
        refused(&b, ERR_DAMAGED, cases[i].message);
        buf_deinit(&b);
    }
    buf b = tiny("llama");
    memcpy(memmem(b.data, b.len, "llama.block_count", 17), "llama.block_coun_", 17);
    refused(&b, ERR_DAMAGED, "llama.block_count is missing");
    buf_deinit(&b);
    b = tiny("llama");
    memcpy(memmem(b.data, b.len, "llama", 5), "lama3", 5);
    refused(&b, ERR_FAILED, "architecture \"lama3\" is not known; known: llama, qwen2");
    buf_deinit(&b);
}

static void vocabulary_only_files(void **state) {
    (void)state;
    const char *shared = getenv("HEARTH_SHARED");
    char path[1024];
    if (!shared || !*shared) skip_because("no shared vocabularies");
    snprintf(path, sizeof path, "%s/vocab/ggml-vocab-llama-bpe.gguf", shared);
    err e = {0};
    model *m = model_open(path, NULL, &e);
    assert_null(m);
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_non_null(strstr(e.msg, "has no weights"));
}

static void counts(void *ud, uint64_t done, uint64_t total) {
    uint64_t *last = ud;
    assert_true(done > last[0] && done <= total);
    last[0] = done;
    last[1] = total;
}

/* Estimates equal what is there once loaded; a team loads the same weights; progress ends at its
 * total. */
static void estimates_and_teams(void **state) {
    (void)state;
    for (const char *const *name = tiny_names; *name; name++) {
        buf b;
        err e = {0};
        buf_init(&b, 64u << 20);
        assert_true(tiny_model_build(*name, QUANT_Q8_0, &b, &e));
        gguf *g = gguf_open_memory(b.data, b.len, *name, &e);
        model_params p;
        if (!model_params_read(g, &p, &e)) fail_msg("%s", e.msg);
        uint64_t last[2] = {0};
        model_options o = {.team = team_new(3, &e), .progress = counts, .progress_ud = last};
        model *m = model_open_memory(b.data, b.len, *name, &o, &e);
        if (!m) fail_msg("%s", e.msg);
        assert_int_equal(last[0], last[1]);
        assert_int_equal(p.weight_bytes, model_params_of(m)->weight_bytes);
        assert_true(p.weight_bytes < b.len * 2 && p.n_params > 100000);
        uint64_t kv = 0;
        for (int i = 0; i < model_n_kv_groups(m); i++) {
            const model_kv_group *kg = model_kv_group_at(m, i);
            size_t bytes = model_kv_page_bytes(kg, KERN_KV_F16);
            assert_int_equal(bytes % 64, 0);
            kv += 4 * bytes;
        }
        if (model_nextn_group(m)) kv += 4 * model_kv_page_bytes(model_nextn_group(m), KERN_KV_F16);
        assert_int_equal(kv, model_kv_estimate(g, 256, KERN_KV_F16, &e));
        assert_int_equal(model_kv_estimate(g, 0, KERN_KV_F16, &e), 0);
        model_close(m);
        team_free(o.team);
        gguf_close(g);
        buf_deinit(&b);
    }
}

/* Multiply-adds on floats [0] and on rounded rows [1]. */
static void product_count(void *ud, const gguf_tensor *t, int32_t n_expert, int32_t expert,
                          const float *x, int64_t k) {
    double *macs = ud;
    (void)n_expert, (void)expert, (void)x;
    assert_int_equal(t->ne[0], k);
    macs[kern_format_quantized_input(kern_format_of(t->type))] += (double)t->ne[0] *
                                                                  (double)t->ne[1];
}

/* What a prompt costs by the plan alone is what is done for it, its last token's logits wanted. */
static void products_are_those_done(void **state) {
    (void)state;
    enum { N = 11 };
    for (const char *const *name = tiny_names; *name; name++) {
        rig r;
        err e = {0};
        model_cost c;
        double macs[2] = {0};
        model_row rows[N];
        rig_open(&r, *name, QUANT_Q8_0, KERN_KV_F16, 2, 256, NULL);
        rig_pages(&r, 0, N);
        for (int i = 0; i < N; i++) rows[i] = (model_row){r.t.prompt[i], i, 0, i == N - 1, 0};
        float *logits = malloc((size_t)r.n_vocab * sizeof *logits);
        model_batch b = {.seqs = r.seq, .n_seqs = 1, .rows = rows, .n_rows = N};
        assert_true(model_cost_of(model_gguf(r.m), KERN_KV_F16, &c, &e));
        assert_true(model_exec_watch(r.x, product_count, macs, &e));
        if (!model_exec_run(r.x, &b, logits, NULL, &e)) fail_msg("%s: %s", *name, e.msg);
        if (macs[0] != N * c.fma_macs + c.last_fma_macs ||
            macs[1] != N * c.dot_macs + c.last_dot_macs)
            fail_msg("%s: %.0f and %.0f products were done", *name, macs[0], macs[1]);
        free(logits);
        rig_close(&r);
    }
}

/* Weights left in the file: next to no memory, and the same bits, for one row and for many. */
static void not_packed(void **state) {
    (void)state;
    static const int32_t ids[12] = {5, 9, 200, 31, 7, 7, 80, 2, 150, 33, 90, 11};
    for (const char *const *name = tiny_names; *name; name++) {
        rig r[2];
        float *logits[2];
        for (int i = 0; i < 2; i++) {
            rig_open_with(&r[i], *name, QUANT_Q4_0, KERN_KV_F16, 2, 256, NULL,
                          (model_options){.no_pack = i == 1});
            logits[i] = calloc((size_t)r[i].n_vocab * 12, sizeof(float));
            assert_non_null(logits[i]);
            rig_feed(&r[i], 0, ids, 11, logits[i]);
            rig_feed(&r[i], 0, ids + 11, 1, logits[i] + 11 * r[i].n_vocab);
        }
        size_t n = (size_t)r[0].n_vocab * 12 * sizeof(float);
        if (memcmp(logits[0], logits[1], n) != 0) fail_msg("%s: other logits", *name);
        uint64_t packed = model_params_of(r[0].m)->weight_bytes;
        assert_true(model_params_of(r[1].m)->weight_bytes < packed / 4);
        for (int i = 0; i < 2; i++) {
            free(logits[i]);
            rig_close(&r[i]);
        }
    }
}

/* One token of a model that opened, on pages of its own. */
static bool run_one(model *m, err *e) {
    team *t = team_new(1, e);
    model_exec *x = model_exec_new(m, t, KERN_KV_F16, 1, e);
    model_seq seq = {0};
    void *page[MODEL_MAX_KV_GROUPS] = {0};
    bool ok = x != NULL;
    for (int g = 0; g < model_n_kv_groups(m); g++) {
        page[g] = aligned_alloc(64, model_kv_page_bytes(model_kv_group_at(m, g), KERN_KV_F16));
        seq.page[g] = &page[g];
        ok = ok && page[g];
    }
    float *logits = malloc((size_t)model_params_of(m)->n_vocab * sizeof *logits);
    model_row row = {0, 0, 0, true, 0};
    model_batch b = {.seqs = &seq, .n_seqs = 1, .rows = &row, .n_rows = 1};
    ok = ok && logits && model_exec_run(x, &b, logits, NULL, e);
    for (int g = 0; g < MODEL_MAX_KV_GROUPS; g++) free(page[g]);
    free(logits);
    model_exec_free(x);
    team_free(t);
    return ok;
}

/* A limit on address space is seen before anything is packed, and the way out is told. */
static void address_space(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip_because("a sanitizer's own memory is larger than the limit");
#endif
    struct rlimit before, low;
    err e = {0};
    buf b = tiny("llama");
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_true(f && fscanf(f, "%llu", &pages) == 1);
    fclose(f);
    getrlimit(RLIMIT_AS, &before);
    low = before;
    low.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (1 << 20);
    setrlimit(RLIMIT_AS, &low);
    uint64_t left = memory_available();
    model *m = model_open_memory(b.data, b.len, "x.gguf", NULL, &e);
    setrlimit(RLIMIT_AS, &before);
    assert_true(left <= 1 << 20);
    assert_null(m);
    assert_int_equal(e.code, ERR_NO_FIT);
    if (!strstr(e.msg, "x.gguf: the weights need 0.") || !strstr(e.msg, "; --no-pack runs"))
        fail_msg("%s", e.msg);
    setrlimit(RLIMIT_AS, &low);
    m = model_open_memory(b.data, b.len, "x.gguf", &(model_options){.no_pack = true}, &e);
    setrlimit(RLIMIT_AS, &before);
    if (!m) fail_msg("without packing: %s", e.msg);
    assert_true(run_one(m, &e));
    model_close(m);
    buf_deinit(&b);
}

/* What is packed is given back to the file: only what is read row by row, and the ends of tensors
 * that share a page, stay. Unpacked weights stay where they are used. */
static void packed_pages_are_released(void **state) {
    (void)state;
    buf b = tiny("llama");
    err e = {0};
    long all = (long)b.len / sysconf(_SC_PAGESIZE);
    const char *path = scratch_write("released.gguf", b.data, b.len);
    for (int no_pack = 0; no_pack < 2; no_pack++) {
        model *m = model_open(path, &(model_options){.no_pack = no_pack}, &e);
        if (!m) fail_msg("%s", e.msg);
        if (no_pack) assert_true(run_one(m, &e)); /* reads all of them, but some embeddings */
        long pages = resident_pages("/released.gguf");
        if (no_pack ? pages < all * 3 / 4 : pages < 0 || pages > all / 4)
            fail_msg("%ld of %ld pages are resident, packed %d", pages, all, !no_pack);
        model_close(m);
    }
    buf_deinit(&b);
}

/* ---- damage ---- */

typedef struct tally {
    size_t refused, opened, ran;
} tally;

static void load(const uint8_t *file, size_t n, void *ud) {
    tally *t = ud;
    err e = {0};
    model_params p;
    gguf *g = gguf_open_memory(file, n, "broken.gguf", &e);
    bool known = g && model_params_read(g, &p, &e);
    if (known) (void)model_kv_estimate(g, p.n_ctx, KERN_KV_Q8, &e);
    gguf_close(g);
    model *m = model_open_memory(file, n, "broken.gguf", NULL, &e);
    if (!m) {
        t->refused++;
        assert_true(e.code == ERR_DAMAGED || e.code == ERR_FAILED || e.code == ERR_NO_FIT);
        assert_null(strchr(e.msg, '\n'));
        return;
    }
    assert_true(known);
    t->opened++;
    if (run_one(m, &e)) t->ran++;
    model_close(m);
}

static void damaged_headers(void **state) {
    (void)state;
    buf b;
    size_t header = small_model(&b);
    assert_true(header < 4096);
    tally good = {0}, broken = {0};
    load((const uint8_t *)b.data, b.len, &good);
    assert_int_equal(good.ran, 1);
    size_t n = damage_for_each((const uint8_t *)b.data, b.len, header, load, &broken);
    print_message("%zu broken files: %zu refused, %zu opened, %zu ran\n", n, broken.refused,
                  broken.opened, broken.ran);
    assert_int_equal(n, broken.refused + broken.opened);
    assert_true(broken.refused > header && broken.ran > 100);
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_missing_tensor_is_named),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(vocabulary_only_files),
        cmocka_unit_test(estimates_and_teams),
        cmocka_unit_test(products_are_those_done),
        cmocka_unit_test(not_packed),
        cmocka_unit_test(address_space),
        cmocka_unit_test(packed_pages_are_released),
        cmocka_unit_test(damaged_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
