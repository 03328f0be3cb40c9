/* Adapters beside the weights: against transformers with merged weights, against Hearth with merged
 * weights, the same bytes in any company, and what is refused, in which words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "gguf/damage.h"
#include "rig.h"
#include "small.h"
#include "support/cmocka_all.h"

/* ---- a tiny model and its adapters ---- */

typedef struct loras {
    buf file[TINY_LORAS];
    model_lora *l[TINY_LORAS];
    model_lora_use use[TINY_LORAS]; /* both, with the scales of the reference */
} loras;

static void loras_open(loras *s, const rig *r, uint32_t type) {
    for (int i = 0; i < TINY_LORAS; i++) {
        err e = {0};
        float scale;
        buf_init(&s->file[i], 64u << 20);
        if (!tiny_lora_build(r->t.name, i + 1, type, &s->file[i], &scale, &e))
            fail_msg("%s", e.msg);
        s->l[i] = model_lora_open_memory(r->m, s->file[i].data, s->file[i].len, "adapter", &e);
        if (!s->l[i]) fail_msg("%s: %s", r->t.name, e.msg);
        s->use[i] = (model_lora_use){s->l[i], scale};
    }
}

static void loras_close(loras *s) {
    for (int i = 0; i < TINY_LORAS; i++) {
        model_lora_close(s->l[i]);
        buf_deinit(&s->file[i]);
    }
}

static void seq_use(rig *r, int seq, const model_lora_use *use, int n) {
    r->seq[seq].lora = use;
    r->seq[seq].n_lora = n;
}

/* Logits of the whole prompt as sequence `seq`; the caller frees. */
static float *prompt_logits(rig *r, int seq) {
    float *out = calloc((size_t)r->t.n_prompt * (size_t)r->n_vocab, sizeof *out);
    assert_non_null(out);
    rig_feed(r, seq, r->t.prompt, r->t.n_prompt, out);
    return out;
}

static double difference(const float *a, const float *b, size_t n) {
    double lo = INFINITY, hi = -INFINITY, d = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)a[i] - (double)b[i]);
        if (a[i] < lo) lo = a[i];
        if (a[i] > hi) hi = a[i];
        if (!(x <= d)) d = x; /* a NaN stays */
    }
    return d / (hi - lo);
}

static int argmax(const float *x, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* ---- the right numbers ---- */

static void agrees_with_transformers(void **state) {
    (void)state;
    for (const char *const *name = tiny_adapted; *name; name++) {
        rig r;
        loras s;
        err e = {0};
        rig_open(&r, *name, QUANT_F32, KERN_KV_F32, 2, 256, NULL);
        loras_open(&s, &r, QUANT_F32);
        size_t n = (size_t)r.t.n_prompt * (size_t)r.n_vocab;
        float *want = tiny_adapted_logits(*name, r.t.n_prompt, r.n_vocab, &e);
        if (!want) fail_msg("%s", e.msg);
        seq_use(&r, 0, s.use, TINY_LORAS);
        float *got = prompt_logits(&r, 0);
        double diff = difference(want, got, n), without = difference(want, r.t.logits, n);
        print_message("%-13s largest difference %.1e of the range; without adapters %.1e\n", *name,
                      diff, without);
        if (!(diff <= 1e-4)) fail_msg("%s: logits differ by %.2e of their range", *name, diff);
        assert_true(without > 0.05);
        for (int p = 0; p < r.t.n_prompt; p++) {
            size_t at = (size_t)p * (size_t)r.n_vocab;
            if (argmax(got + at, r.n_vocab) != argmax(want + at, r.n_vocab))
                fail_msg("%s: another likeliest token at position %d", *name, p);
        }
        free(got);
        free(want);
        loras_close(&s);
        rig_close(&r);
    }
}

/* W + gain * B A in the place of W, for the matrices of one adapter. */
static void merge(buf *file, const buf *adapter, double scale) {
    err e = {0};
    gguf *g = gguf_open_memory(adapter->data, adapter->len, "adapter", &e);
    double alpha = 0;
    gguf_get_f64(g, "adapter.lora.alpha", &alpha);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *a = gguf_tensor_at(g, i);
        char name[128], half[160];
        if (!str_ends(a->name, STR(".lora_a"))) continue;
        snprintf(name, sizeof name, "%.*s", (int)a->name.n - 7, a->name.p);
        snprintf(half, sizeof half, "%s.lora_b", name);
        const gguf_tensor *b = gguf_tensor_find(g, half);
        uint64_t n, rank = b->ne[0], n_out = b->ne[1], k_in = a->ne[0];
        bool embd = strcmp(name, "token_embd.weight") == 0;
        float *w = rig_tensor(file, name, &n);
        const float *fa = a->data, *fb = b->data;
        double gain = scale * (alpha != 0 ? alpha / (double)rank : 1);
        for (uint64_t at = 0; at < n; at++) {
            uint64_t width = embd ? n / a->ne[1] : k_in, row = at / width, col = at % width;
            const float *own = fa + row / n_out * rank * k_in; /* the expert's */
            double sum = 0;
            for (uint64_t k = 0; k < rank; k++)
                sum += embd ? (double)fa[row * rank + k] * fb[col * rank + k]
                            : (double)fb[row * rank + k] * own[k * width + col];
            w[at] = (float)(w[at] + gain * sum);
        }
    }
    gguf_close(g);
}

static const loras *merged;
static void merge_both(buf *file) {
    for (int i = 0; i < TINY_LORAS; i++) merge(file, &merged->file[i], merged->use[i].scale);
}

/* Beside the weights or in them: nearly the same, whatever type the adapter is stored as. */
static void agrees_with_merged_weights(void **state) {
    (void)state;
    static const struct {
        const char *model; /* with a head of its own: a merged embedding would change a tied one */
        uint32_t type;
        double bound;
    } cases[] = {{"llama-untied", QUANT_F32, 1e-5},  {"llama-untied", QUANT_F16, 1e-3},
                 {"llama-untied", QUANT_BF16, 1e-2}, {"llama-untied", QUANT_Q8_0, 1e-2},
                 {"qwen3moe", QUANT_F32, 1e-5},      {"gpt-oss", QUANT_F16, 1e-2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig beside, in;
        loras exact, s;
        rig_open(&beside, cases[i].model, QUANT_F32, KERN_KV_F32, 2, 256, NULL);
        loras_open(&exact, &beside, QUANT_F32);
        loras_open(&s, &beside, cases[i].type);
        merged = &exact;
        rig_open(&in, cases[i].model, QUANT_F32, KERN_KV_F32, 2, 256, merge_both);
        seq_use(&beside, 0, s.use, TINY_LORAS);
        float *a = prompt_logits(&beside, 0), *b = prompt_logits(&in, 0);
        double diff = difference(a, b, (size_t)in.t.n_prompt * (size_t)in.n_vocab);
        print_message("%s, adapters as %s: %.1e of the range\n", cases[i].model,
                      quant_info_of(cases[i].type)->name, diff);
        if (!(diff <= cases[i].bound)) fail_msg("%.2e of the range", diff);
        if (cases[i].type != QUANT_F32) assert_true(diff > 1e-5); /* else the type did nothing */
        free(a);
        free(b);
        loras_close(&s);
        loras_close(&exact);
        rig_close(&in);
        rig_close(&beside);
    }
}

/* ---- the same bytes ---- */

/* Three sequences with other adapters each, in pieces of `step`, in one batch. */
static void feed_mixed(rig *r, int step, float *const logits[RIG_SEQS]) {
    model_row rows[128];
    size_t n_vocab = (size_t)r->n_vocab;
    float *out = malloc(sizeof *out * n_vocab * 128);
    assert_non_null(out);
    for (int done = 0; done < r->t.n_prompt; done += step) {
        err e = {0};
        int n = 0, left = r->t.n_prompt - done, k = left < step ? left : step;
        for (int s = 0; s < RIG_SEQS; s++) {
            rig_pages(r, s, done + k);
            for (int i = 0; i < k; i++)
                rows[n++] = (model_row){r->t.prompt[done + i], done + i, s, true, 0};
            r->pos[s] = done + k;
        }
        model_batch b = {.seqs = r->seq, .n_seqs = RIG_SEQS, .rows = rows, .n_rows = n};
        if (!model_exec_run(r->x, &b, out, NULL, &e)) fail_msg("%s", e.msg);
        for (int s = 0; s < RIG_SEQS; s++)
            memcpy(logits[s] + (size_t)done * n_vocab, out + (size_t)(s * k) * n_vocab,
                   (size_t)k * n_vocab * sizeof *out);
    }
    free(out);
}

static void same_bytes_in_any_company(void **state) {
    (void)state;
    static const uint32_t types[] = {QUANT_F32, QUANT_Q4_K};
    static const int steps[] = {1, 2, 7, 40};
    for (size_t i = 0; tiny_adapted[i / 2]; i++) {
        const char *name = tiny_adapted[i / 2];
        rig one, two;
        loras s1, s2;
        float *alone[RIG_SEQS], *among[RIG_SEQS];
        rig_open(&one, name, types[i % 2], KERN_KV_F16, 1, 256, NULL);
        loras_open(&s1, &one, QUANT_F16);
        size_t bytes = (size_t)one.t.n_prompt * (size_t)one.n_vocab * sizeof(float);
        model_lora_use second = {s1.l[1], 2.5f};
        seq_use(&one, 0, s1.use, 2);
        seq_use(&one, 2, &second, 1);
        for (int k = 0; k < RIG_SEQS; k++) {
            alone[k] = prompt_logits(&one, k);
            among[k] = malloc(bytes);
        }
        assert_memory_not_equal(alone[0], alone[1], bytes);
        assert_memory_not_equal(alone[2], alone[1], bytes);
        for (size_t c = 0; c < sizeof steps / sizeof *steps; c++) {
            rig_open(&two, name, types[i % 2], KERN_KV_F16, 2, 256, NULL);
            loras_open(&s2, &two, QUANT_F16);
            model_lora_use turned[] = {s2.use[1], s2.use[0]}, other = {s2.l[1], 2.5f};
            seq_use(&two, 0, turned, 2); /* the order in which they are named does not matter */
            seq_use(&two, 2, &other, 1);
            feed_mixed(&two, steps[c], among);
            for (int k = 0; k < RIG_SEQS; k++)
                if (memcmp(alone[k], among[k], bytes) != 0)
                    fail_msg("%s: sequence %d, pieces of %d: other bytes than alone", name, k,
                             steps[c]);
            loras_close(&s2);
            rig_close(&two);
        }
        for (int k = 0; k < RIG_SEQS; k++) {
            free(alone[k]);
            free(among[k]);
        }
        loras_close(&s1);
        rig_close(&one);
    }
}

/* ---- what is refused ---- */

/* The small model, its adapter, and one change to the latter. */
static void refused(const char *from, const char *to, size_t n, err_code code, const char *word) {
    buf m, a;
    err e = {0};
    small_model(&m);
    small_lora(&a);
    for (char *at = a.data, *end = a.data + a.len;
         (at = memmem(at, (size_t)(end - at), from, n)) != NULL; at += n)
        memcpy(at, to, n);
    model *base = model_open_memory(m.data, m.len, "m.gguf", NULL, &e);
    assert_non_null(base);
    model_lora *l = model_lora_open_memory(base, a.data, a.len, "a.gguf", &e);
    if (l) fail_msg("opened with %s in the place of %s", to, from);
    print_message("%s\n", e.msg);
    if (e.code != code || !strstr(e.msg, word) || !strstr(e.msg, "a.gguf") || strchr(e.msg, '\n'))
        fail_msg("code %d: %s", e.code, e.msg);
    model_close(base);
    buf_deinit(&a);
    buf_deinit(&m);
}
#define REFUSED(from, to, code, word) refused(from, to, sizeof(from) - 1, code, word)

static void each_error_is_one_clear_line(void **state) {
    (void)state;
    REFUSED("general.type", "general.typo", ERR_USAGE, "no adapter");
    REFUSED("adapter.type", "adapter.typo", ERR_FAILED, "only lora");
    REFUSED("llama", "gemma", ERR_USAGE, "architecture \"gemma\"; this model is \"llama\"");
    REFUSED("adapter.lora.alpha\6\0\0\0\0\0\x80\x40", "adapter.lora.alpha\6\0\0\0\0\0\xc0\x7f",
            ERR_DAMAGED, "adapter.lora.alpha is no number");
    REFUSED("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_c", ERR_FAILED,
            "no half of a low-rank pair");
    REFUSED("blk.0.attn_q.weight.lora_a", "blk.0.attn_k.weight.lora_a", ERR_DAMAGED,
            "its other half is missing");
    REFUSED("blk.0.attn_q.", "blk.7.attn_q.", ERR_USAGE, "the model has no tensor blk.7.attn_q");
    REFUSED("output.weight", "output_weight", ERR_USAGE, "the model has no tensor output_weight");
    REFUSED("blk.0.ffn_down.weight.lora_b\2\0\0\0\2", "blk.0.ffn_down.weight.lora_b\2\0\0\0\1",
            ERR_USAGE, "another model?");
    REFUSED("blk.0.ffn_down.weight.lora_b\2\0\0\0\2", "blk.0.ffn_down.weight.lora_b\2\0\0\0\0",
            ERR_DAMAGED, "has 0");
    REFUSED("token_embd.weight.lora_a\2\0\0\0\2\0\0\0\0\0\0\0\x28",
            "token_embd.weight.lora_a\2\0\0\0\2\0\0\0\0\0\0\0\x27", ERR_USAGE, "another model?");
    REFUSED("\0\0\x48\xbf", "\0\0\x80\x7f", ERR_DAMAGED, "is not a finite number");
}

/* What other checks do not reach: kinds of tensors that no product is made of. */
static void what_is_not_applied(void **state) {
    (void)state;
    static const struct {
        const char *model, *tensor, *word;
        uint64_t k, n;
    } cases[] = {
        {"qwen3moe", "blk.0.attn_norm.weight", "no matrix that the model multiplies with", 256, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf m, a;
        err e = {0};
        uint64_t offset = 0;
        char name[96];
        buf_init(&m, 64u << 20);
        assert_true(tiny_model_build(cases[i].model, QUANT_F32, &m, &e));
        small_begin(&a, 2, 3);
        small_pair_str(&a, "general.architecture", "qwen3moe");
        small_pair_str(&a, "general.type", "adapter");
        small_pair_str(&a, "adapter.type", "lora");
        snprintf(name, sizeof name, "%s.lora_a", cases[i].tensor);
        small_tensor(&a, name, cases[i].k, 2, &offset);
        snprintf(name, sizeof name, "%s.lora_b", cases[i].tensor);
        small_tensor(&a, name, 2, cases[i].n, &offset);
        small_end(&a, offset);
        model *base = model_open_memory(m.data, m.len, "m.gguf", NULL, &e);
        assert_non_null(base);
        assert_null(model_lora_open_memory(base, a.data, a.len, "a.gguf", &e));
        if (e.code != ERR_FAILED || !strstr(e.msg, cases[i].word)) fail_msg("%s", e.msg);
        model_close(base);
        buf_deinit(&a);
        buf_deinit(&m);
    }
}

static void batches_are_checked(void **state) {
    (void)state;
    rig r, other;
    loras s;
    err e = {0};
    float logits[512];
    rig_open(&r, "llama-untied", QUANT_F32, KERN_KV_F16, 1, 64, NULL);
    rig_open(&other, "llama-untied", QUANT_F32, KERN_KV_F16, 1, 64, NULL);
    loras_open(&s, &other, QUANT_F32);
    model_lora_use twice[] = {s.use[0], s.use[0]};
    model_row row = {1, 0, 0, true, 0};
    model_batch b = {.seqs = r.seq, .n_seqs = 1, .rows = &row, .n_rows = 1};
    rig_pages(&r, 0, 1);
    rig_pages(&other, 0, 1);
    seq_use(&r, 0, s.use, 1);
    assert_false(model_exec_run(r.x, &b, logits, NULL, &e));
    assert_non_null(strstr(e.msg, "another model"));
    seq_use(&other, 0, twice, 2);
    b.seqs = other.seq;
    assert_false(model_exec_run(other.x, &b, logits, NULL, &e));
    assert_non_null(strstr(e.msg, "twice"));
    loras_close(&s);
    rig_close(&other);
    rig_close(&r);
}

/* ---- damage ---- */

typedef struct tally {
    model *m;
    size_t refused, opened;
} tally;

static void load(const uint8_t *file, size_t n, void *ud) {
    tally *t = ud;
    err e = {0};
    model_lora *l = model_lora_open_memory(t->m, file, n, "broken.gguf", &e);
    t->opened += l != NULL;
    t->refused += l == NULL;
    if (!l && (!e.code || !e.msg[0] || strchr(e.msg, '\n'))) fail_msg("refused: \"%s\"", e.msg);
    model_lora_close(l);
}

static void damaged_headers(void **state) {
    (void)state;
    buf m, a;
    err e = {0};
    small_model(&m);
    size_t header = small_lora(&a);
    tally t = {.m = model_open_memory(m.data, m.len, "m.gguf", NULL, &e)};
    assert_non_null(t.m);
    load((const uint8_t *)a.data, a.len, &t);
    if (t.opened != 1) fail_msg("the good one does not open");
    size_t n = damage_for_each((const uint8_t *)a.data, a.len, header, load, &t);
    print_message("%zu broken adapters: %zu refused, %zu opened\n", n, t.refused, t.opened);
    assert_int_equal(n, t.refused + t.opened - 1);
    assert_true(t.refused > n / 2);
    model_close(t.m);
    buf_deinit(&a);
    buf_deinit(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_transformers),  cmocka_unit_test(agrees_with_merged_weights),
        cmocka_unit_test(same_bytes_in_any_company), cmocka_unit_test(each_error_is_one_clear_line),
        cmocka_unit_test(what_is_not_applied),       cmocka_unit_test(batches_are_checked),
        cmocka_unit_test(damaged_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
