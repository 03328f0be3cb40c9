/* The layer that guesses the token after the next: its logits against PyTorch's, the same bytes
 * however it is fed, guesses upon guesses; and files that have it in part. */
#include <math.h>
#include <stdlib.h>

#include "quant/quant.h"
#include "rig.h"
#include "support/cmocka_all.h"

#define N_AHEAD 3 /* guesses upon guesses in the reference */

typedef struct ahead_rig {
    rig r;
    model_exec *x;
    model_seq seq;
    void *page[2];
    int n;         /* tokens of the prompt */
    float *states; /* [n][n_embd] of the model, then its logits */
    float *logits; /* [n][n_vocab] */
    int32_t *ids;  /* [n + N_AHEAD] the prompt, then the likeliest token behind it */
    size_t n_embd, n_vocab;
} ahead_rig;

static int32_t argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return (int32_t)best;
}

static void ahead_open(ahead_rig *a, const char *name, uint32_t type, int n_threads) {
    err e = {0};
    *a = (ahead_rig){0};
    rig_open(&a->r, name, type, KERN_KV_F32, n_threads, 256, NULL);
    rig *r = &a->r;
    a->n = r->t.n_prompt;
    a->n_embd = (size_t)model_params_of(r->m)->n_embd;
    a->n_vocab = (size_t)r->n_vocab;
    a->x = model_exec_new_nextn(r->m, r->team, KERN_KV_F32, a->n, &e);
    if (!a->x) fail_msg("%s: %s", name, e.msg);
    size_t bytes = model_kv_page_bytes(model_nextn_group(r->m), KERN_KV_F32);
    for (int i = 0; i < 2; i++) {
        a->page[i] = aligned_alloc(64, bytes);
        memset(a->page[i], 0x7f, bytes); /* whatever: it is written before it is read */
    }
    a->seq.page[0] = a->page;
    size_t n = (size_t)a->n;
    a->states = malloc(n * a->n_embd * sizeof *a->states);
    a->logits = malloc(n * a->n_vocab * sizeof *a->logits);
    a->ids = malloc((n + N_AHEAD) * sizeof *a->ids);
    memcpy(a->ids, r->t.prompt, n * sizeof *a->ids);
    model_row rows[64];
    for (int i = 0; i < a->n; i++) rows[i] = (model_row){a->ids[i], i, 0, true, 0};
    rig_pages(r, 0, a->n);
    model_batch b = {r->seq, 1, rows, a->n, NULL};
    if (!model_exec_run(r->x, &b, a->logits, a->states, &e)) fail_msg("%s", e.msg);
    a->ids[a->n] = argmax(a->logits + (n - 1) * a->n_vocab, a->n_vocab);
}

static void ahead_close(ahead_rig *a) {
    for (int i = 0; i < 2; i++) free(a->page[i]);
    model_exec_free(a->x);
    free(a->states);
    free(a->logits);
    free(a->ids);
    rig_close(&a->r);
}

/* States [from, from + n) with the tokens behind them; outputs of all, or of the last, or none. */
static void feed(ahead_rig *a, int from, int n, const float *states, int outputs, float *logits,
                 float *hidden) {
    err e = {0};
    model_row rows[64];
    for (int i = 0; i < n; i++)
        rows[i] = (model_row){a->ids[from + i + 1], from + i, 0, i >= n - outputs, 0};
    model_batch b = {&a->seq, 1, rows, n, NULL};
    if (!model_exec_run_nextn(a->x, &b, states, logits, hidden, &e)) fail_msg("%s", e.msg);
}

/* All logits of the reference's file, the states cut into pieces of `chunk`. */
static float *all_logits(ahead_rig *a, int chunk) {
    size_t n = (size_t)a->n;
    float *out = malloc((n + N_AHEAD - 1) * a->n_vocab * sizeof *out);
    float *hidden = malloc(n * a->n_embd * sizeof *hidden);
    for (int at = 0; at < a->n - 1; at += chunk) {
        int k = a->n - 1 - at < chunk ? a->n - 1 - at : chunk;
        feed(a, at, k, a->states + (size_t)at * a->n_embd, k, out + (size_t)at * a->n_vocab,
             hidden);
    }
    const float *state = a->states + (n - 1) * a->n_embd;
    for (int i = 0; i < N_AHEAD; i++, state = hidden) {
        float *row = out + (n - 1 + (size_t)i) * a->n_vocab;
        feed(a, a->n - 1 + i, 1, state, 1, row, hidden);
        if (i < N_AHEAD - 1) a->ids[a->n + i + 1] = argmax(row, a->n_vocab);
    }
    free(hidden);
    return out;
}

static void agrees_with_torch(void **state) {
    (void)state;
    for (const char *const *name = tiny_ahead; *name; name++) {
        ahead_rig a;
        ahead_open(&a, *name, QUANT_F32, 2);
        float *got = all_logits(&a, a.n), worst = 0, lo = 0, hi = 0;
        for (size_t i = 0; i < (size_t)(a.n + 2) * a.n_vocab; i++) {
            float want = a.r.t.ahead[i], d = fabsf(got[i] - want);
            if (!(d <= worst)) worst = d;
            lo = want < lo ? want : lo;
            hi = want > hi ? want : hi;
        }
        print_message("%-12s largest difference %.1e of the range\n", *name, worst / (hi - lo));
        if (!(worst <= 1e-4f * (hi - lo))) fail_msg("%s: %g of %g", *name, worst, hi - lo);
        for (int p = 0; p < a.n + 2; p++) {
            size_t at = (size_t)p * a.n_vocab;
            if (argmax(got + at, a.n_vocab) != argmax(a.r.t.ahead + at, a.n_vocab))
                fail_msg("%s: another guess at %d", *name, p);
        }
        free(got);
        ahead_close(&a);
    }
}

/* Also where states are read first, with no outputs, and guessed from later. */
static void same_bytes_however_fed(void **state) {
    (void)state;
    static const uint32_t types[] = {QUANT_F32, QUANT_Q4_K, QUANT_Q8_0};
    static const int chunks[] = {1, 3, 7, 40};
    for (const char *const *name = tiny_ahead; *name; name++)
        for (int k = 0; k < 3; k++) {
            ahead_rig a;
            ahead_open(&a, *name, types[k], 1 + k);
            float *whole = all_logits(&a, a.n);
            size_t bytes = (size_t)(a.n + 2) * a.n_vocab * sizeof *whole;
            for (int c = 0; c < 4; c++) {
                float *cut = all_logits(&a, chunks[c]);
                if (memcmp(whole, cut, bytes) != 0) fail_msg("%s by %d", *name, chunks[c]);
                free(cut);
            }
            float row[512];
            assert_true(a.n_vocab <= 512);
            feed(&a, 0, 20, a.states, 0, NULL, NULL);
            feed(&a, 20, a.n - 21, a.states + 20 * a.n_embd, 1, row, NULL);
            assert_memory_equal(row, whole + (size_t)(a.n - 2) * a.n_vocab,
                                a.n_vocab * sizeof *row);
            free(whole);
            ahead_close(&a);
        }
}

/* ---- files ---- */

static void no_eh_proj(buf *file) {
    rig_hide_tensor(file, "blk.2.nextn.eh_proj.weight");
}

static void no_enorm(buf *file) {
    rig_hide_tensor(file, "blk.2.nextn.enorm.weight");
}

static void files_in_part(void **state) {
    (void)state;
    rig r;
    err e = {0};
    rig_open(&r, "qwen3-nextn", QUANT_F32, KERN_KV_F32, 1, 256, NULL);
    assert_int_equal(model_params_of(r.m)->n_layer, 2); /* of three in the file */
    assert_non_null(model_nextn_group(r.m));
    assert_int_equal(model_nextn_group(r.m)->n_layers, 1);
    assert_int_equal(model_kv_group_at(r.m, 0)->n_layers, 2);
    rig_close(&r);
    /* Without it the model is the same, and nothing guesses. */
    rig_open(&r, "qwen3-nextn", QUANT_F32, KERN_KV_F32, 1, 256, no_eh_proj);
    assert_null(model_nextn_group(r.m));
    assert_null(model_exec_new_nextn(r.m, r.team, KERN_KV_F32, 8, &e));
    assert_int_equal(e.code, ERR_USAGE);
    rig_close(&r);
    tiny_model t;
    if (!tiny_open(&t, "qwen3-nextn", QUANT_F32, &e)) fail_msg("%s", e.msg);
    no_enorm(&t.gguf);
    assert_null(model_open_memory(t.gguf.data, t.gguf.len, "x", NULL, &e));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_non_null(strstr(e.msg, "blk.2.nextn.enorm.weight is missing"));
    tiny_close(&t);
    if (!tiny_open(&t, "qwen3-nextn", QUANT_F32, &e)) fail_msg("%s", e.msg);
    rig_set_u32(&t.gguf, "qwen3.nextn_predict_layers", 3);
    assert_null(model_open_memory(t.gguf.data, t.gguf.len, "x", NULL, &e));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_non_null(strstr(e.msg, "qwen3.nextn_predict_layers is 3 of 3 layers"));
    tiny_close(&t);
    if (!tiny_open(&t, "glm4moe", QUANT_F32, &e)) fail_msg("%s", e.msg);
    rig_set_u32(&t.gguf, "glm4moe.expert_gating_func", 1);
    assert_null(model_open_memory(t.gguf.data, t.gguf.len, "x", NULL, &e));
    assert_non_null(strstr(e.msg, "glm4moe.expert_gating_func is 1; known: 2 (sigmoid)"));
    tiny_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_torch),
        cmocka_unit_test(same_bytes_however_fed),
        cmocka_unit_test(files_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
