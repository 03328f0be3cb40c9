/* Running: a row's result is the same bytes whatever else is in the batch, however a prompt is cut
 * and on however many threads; cancelling; damaged numbers; ties of experts. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "quant/quant.h"
#include "rig.h"
#include "support/cmocka_all.h"

static const int lengths[RIG_SEQS] = {64, 50, 9};

static int32_t token_of(const rig *r, int seq, int i) {
    return (r->t.prompt[i % r->t.n_prompt] * (seq + 1) + 31 * (i / r->t.n_prompt)) % r->n_vocab;
}

/* Each sequence by itself, in one batch: logits [length][n_vocab]. */
static void alone(rig *r, float **want) {
    for (int s = 0; s < RIG_SEQS; s++) {
        int32_t ids[64];
        for (int i = 0; i < lengths[s]; i++) ids[i] = token_of(r, s, i);
        want[s] = malloc((size_t)lengths[s] * (size_t)r->n_vocab * sizeof **want);
        rig_feed(r, s, ids, lengths[s], want[s]);
    }
}

typedef struct asked {
    int seq, pos;
} asked;

/* The next rows of each sequence, the last sequence first; some of them with logits. Returns how
 * many. */
static int batch_fill(const rig *r, const int *take, model_row *rows, asked *out, int *n_out) {
    int n = 0;
    *n_out = 0;
    for (int s = RIG_SEQS - 1; s >= 0; s--) {
        int left = lengths[s] - r->pos[s], k = left < take[s] ? left : take[s];
        for (int i = 0; i < k; i++) {
            int pos = r->pos[s] + i;
            bool wants = pos % 3 == 0 || i == k - 1;
            rows[n++] = (model_row){token_of(r, s, pos), pos, s, wants, 0};
            if (wants) out[(*n_out)++] = (asked){s, pos};
        }
    }
    return n;
}

/* Three sequences side by side in batches of changing make-up. */
static void mixed(rig *r, const char *what, float *const *want) {
    static const int take[][RIG_SEQS] = {
        {40, 3, 1}, {1, 1, 1}, {7, 20, 2}, {1, 0, 1}, {64, 64, 64}};
    size_t n_vocab = (size_t)r->n_vocab;
    float *logits = malloc(128 * n_vocab * sizeof *logits);
    for (int s = 0; s < RIG_SEQS; s++) {
        r->pos[s] = 0;
        rig_pages(r, s, lengths[s]);
    }
    for (size_t step = 0; step < sizeof take / sizeof *take; step++) {
        model_row rows[128];
        asked out[128];
        int n_out, n = batch_fill(r, take[step], rows, out, &n_out);
        model_batch b = {.seqs = r->seq, .n_seqs = RIG_SEQS, .rows = rows, .n_rows = n};
        err e = {0};
        if (!model_exec_run(r->x, &b, logits, NULL, &e)) fail_msg("%s: %s", what, e.msg);
        for (int i = 0; i < n; i++) r->pos[rows[i].seq]++;
        for (int i = 0; i < n_out; i++) {
            const float *one = want[out[i].seq] + (size_t)out[i].pos * n_vocab;
            if (memcmp(one, logits + (size_t)i * n_vocab, n_vocab * sizeof *one) != 0)
                fail_msg("%s: step %zu: sequence %d differs at position %d", what, step, out[i].seq,
                         out[i].pos);
        }
    }
    for (int s = 0; s < RIG_SEQS; s++) assert_int_equal(r->pos[s], lengths[s]);
    free(logits);
}

static void company(const char *name, uint32_t type, kern_kv_type kv) {
    char what[64];
    float *want[RIG_SEQS];
    rig r;
    snprintf(what, sizeof what, "%s %s", name, quant_info_of(type)->name);
    rig_open(&r, name, type, kv, 1, 256, NULL);
    alone(&r, want);
    mixed(&r, what, want);
    rig_close(&r);
    rig_open(&r, name, type, kv, 3, 256, NULL);
    mixed(&r, what, want);
    rig_close(&r);
    for (int s = 0; s < RIG_SEQS; s++) free(want[s]);
}

static void same_bytes_in_company(void **state) {
    (void)state;
    const char *sanitizer = getenv("HEARTH_SANITIZE");
    bool slow = sanitizer && strcmp(sanitizer, "thread") == 0; /* then every type once */
    int turn = 0;
    for (const char *const *name = tiny_names; *name; name++, turn++) {
        if (!slow || turn % 3 == 0) company(*name, QUANT_F32, KERN_KV_F32);
        if (!slow || turn % 3 == 1) company(*name, QUANT_Q8_0, KERN_KV_F16);
        if (!slow || turn % 3 == 2) company(*name, QUANT_Q4_K, KERN_KV_Q8);
    }
}

/* ---- long contexts: several chunks of attention, pages behind the window gone ---- */

#define LONG 1300

static void drop_pages(rig *r) {
    for (int g = 0; g < model_n_kv_groups(r->m); g++) {
        int window = model_kv_group_at(r->m, g)->window;
        for (int i = 0; window > 0 && (i + 1) * KERN_PAGE <= r->pos[0] - window + 1; i++) {
            free(r->page[0][g][i]);
            r->page[0][g][i] = NULL;
        }
    }
}

/* Logits of the last token of each step that ends at a multiple of 100, [13][n_vocab]. */
static float *long_run(const char *name, int n_threads, int step, bool drop) {
    rig r;
    rig_open(&r, name, QUANT_F32, KERN_KV_F16, n_threads, 2048, NULL);
    float *out = calloc(LONG / 100, (size_t)r.n_vocab * sizeof *out);
    float *logits = malloc(128 * (size_t)r.n_vocab * sizeof *logits);
    while (r.pos[0] < LONG) {
        int32_t ids[128];
        int next = (r.pos[0] / 100 + 1) * 100, n = next - r.pos[0] < step ? next - r.pos[0] : step;
        for (int i = 0; i < n; i++) ids[i] = token_of(&r, 0, r.pos[0] + i);
        rig_feed(&r, 0, ids, n, logits);
        if (drop) drop_pages(&r);
        if (r.pos[0] % 100 == 0)
            memcpy(out + (size_t)(r.pos[0] / 100 - 1) * (size_t)r.n_vocab,
                   logits + (size_t)(n - 1) * (size_t)r.n_vocab, (size_t)r.n_vocab * sizeof *out);
    }
    free(logits);
    rig_close(&r);
    return out;
}

static void same_bytes_in_long_contexts(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "mistral", "gemma3", "gpt-oss", NULL};
    for (const char *const *name = names; *name; name++) {
        float *want = long_run(*name, 1, 100, false);
        float *few = long_run(*name, 3, 1, true), *some = long_run(*name, 2, 37, true);
        size_t bytes = LONG / 100 * 272 * sizeof(float);
        if (memcmp(want, few, bytes) != 0) fail_msg("%s: token by token differs", *name);
        if (memcmp(want, some, bytes) != 0) fail_msg("%s: pieces of 37 differ", *name);
        free(want);
        free(few);
        free(some);
    }
}

/* ---- sequences on the same pages ---- */

/* Sequence 0 is by itself; 1 begins with 512 of its tokens, a chunk of attention; 2 with 64. */
static const int same_until[RIG_SEQS] = {0, 512, 64}, fed[RIG_SEQS] = {700, 640, 601};

static int32_t shared_token(const rig *r, int seq, int i) {
    return token_of(r, i < same_until[seq] ? 0 : seq, i);
}

static void shared_feed(rig *r, int seq, int end) {
    while (r->pos[seq] < end) {
        int32_t ids[128];
        int n = end - r->pos[seq] < 100 ? end - r->pos[seq] : 100;
        for (int i = 0; i < n; i++) ids[i] = shared_token(r, seq, r->pos[seq] + i);
        rig_feed(r, seq, ids, n, NULL);
    }
}

/* All go on by 1 + seq tokens at a time, in turning order; logits of each row, [3][6][n_vocab]. */
static void shared_run(rig *r, bool together, float *out) {
    size_t n_vocab = (size_t)r->n_vocab;
    float *logits = malloc(8 * n_vocab * sizeof *logits);
    for (int round = 0; round < 2; round++)
        for (int k = 0; k < (together ? 1 : RIG_SEQS); k++) {
            model_row rows[8];
            int n = 0;
            for (int i = 0; i < RIG_SEQS; i++) {
                int s = (i + round) % RIG_SEQS;
                if (!together && s != k) continue;
                rig_pages(r, s, r->pos[s] + s + 1);
                for (int j = 0; j <= s; j++, n++)
                    rows[n] = (model_row){shared_token(r, s, r->pos[s] + j), r->pos[s] + j, s, true,
                                          0};
            }
            model_batch b = {r->seq, RIG_SEQS, rows, n, NULL};
            err e = {0};
            if (!model_exec_run(r->x, &b, logits, NULL, &e)) fail_msg("%s: %s", r->t.name, e.msg);
            for (int i = 0; i < n; i++) {
                int s = rows[i].seq, at = rows[i].pos - fed[s];
                memcpy(out + (size_t)(s * 6 + at) * n_vocab, logits + (size_t)i * n_vocab,
                       n_vocab * sizeof *out);
                r->pos[s]++;
            }
        }
    free(logits);
}

static void pages_lend(rig *r, int to, bool lend) {
    for (int g = 0; g < model_n_kv_groups(r->m); g++)
        for (int i = 0; i < same_until[to] / KERN_PAGE; i++)
            r->page[to][g][i] = lend ? r->page[0][g][i] : NULL;
    if (lend) r->pos[to] = same_until[to];
}

static void same_bytes_on_shared_pages(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "qwen3", "gemma3", "gpt-oss", NULL};
    for (const char *const *name = names; *name; name++) {
        float *out[2];
        for (int share = 0; share < 2; share++) {
            rig r;
            rig_open(&r, *name, QUANT_F32, KERN_KV_F16, 1, 1024, NULL);
            out[share] = calloc((size_t)(RIG_SEQS * 6) * (size_t)r.n_vocab, sizeof **out);
            for (int s = 0; s < RIG_SEQS; s++) {
                if (share && s > 0) pages_lend(&r, s, true);
                shared_feed(&r, s, fed[s]);
            }
            shared_run(&r, share, out[share]);
            for (int s = 1; s < RIG_SEQS && share; s++) pages_lend(&r, s, false);
            rig_close(&r);
        }
        if (memcmp(out[0], out[1], RIG_SEQS * 6 * 272 * sizeof(float)) != 0)
            fail_msg("%s: rows on shared pages differ", *name);
        free(out[0]);
        free(out[1]);
    }
}

/* Outputs wanted far apart in one sequence, where the last layer has a window. */
static void sparse_outputs(void **state) {
    (void)state;
    rig r;
    rig_open(&r, "mistral", QUANT_F32, KERN_KV_F32, 2, 256, NULL);
    int32_t ids[128];
    size_t n_vocab = (size_t)r.n_vocab;
    float *all = malloc(128 * n_vocab * sizeof *all), *some = malloc(128 * n_vocab * sizeof *some);
    for (int i = 0; i < 128; i++) ids[i] = token_of(&r, 0, i);
    rig_feed(&r, 0, ids, 128, all);
    model_row rows[128];
    for (int i = 0; i < 128; i++) rows[i] = (model_row){ids[i], i, 0, i % 60 == 5, 0};
    model_batch b = {.seqs = r.seq, .n_seqs = 1, .rows = rows, .n_rows = 128};
    err e = {0};
    assert_true(model_exec_run(r.x, &b, some, NULL, &e));
    for (int i = 0; i < 3; i++)
        assert_memory_equal(some + (size_t)i * n_vocab, all + (size_t)(i * 60 + 5) * n_vocab,
                            n_vocab * sizeof *all);
    free(all);
    free(some);
    rig_close(&r);
}

/* ---- the normed state ---- */

static void hidden_state(void **state) {
    (void)state;
    rig r;
    rig_open(&r, "llama", QUANT_F32, KERN_KV_F32, 2, 256, NULL);
    int n_embd = model_params_of(r.m)->n_embd;
    int32_t ids[12];
    for (int i = 0; i < 12; i++) ids[i] = token_of(&r, 0, i);
    float *logits = malloc(12 * (size_t)r.n_vocab * sizeof *logits);
    float *again = malloc((size_t)r.n_vocab * sizeof *again);
    float *hidden = calloc(12, (size_t)n_embd * sizeof *hidden);
    float *one = calloc(1, (size_t)n_embd * sizeof *one);
    rig_feed(&r, 0, ids, 12, logits);
    model_row rows[12];
    for (int i = 0; i < 12; i++) rows[i] = (model_row){ids[i], i, 0, i == 7, 0};
    model_batch b = {.seqs = r.seq, .n_seqs = 1, .rows = rows, .n_rows = 12};
    err e = {0};
    assert_true(model_exec_run(r.x, &b, again, hidden, &e));
    assert_memory_equal(again, logits + 7 * r.n_vocab, (size_t)r.n_vocab * sizeof *again);
    b.rows = rows + 11; /* one row: the other way of norming */
    b.n_rows = 1;
    assert_true(model_exec_run(r.x, &b, NULL, one, &e));
    assert_memory_equal(one, hidden + 11 * n_embd, (size_t)n_embd * sizeof *one);
    double square = 0;
    for (int i = 0; i < n_embd; i++) square += (double)one[i] * (double)one[i];
    assert_true(square > 0);
    free(logits);
    free(again);
    free(hidden);
    free(one);
    rig_close(&r);
}

/* ---- what can go wrong ---- */

static void cancelled(void **state) {
    (void)state;
    rig r;
    rig_open(&r, "llama", QUANT_F32, KERN_KV_F32, 2, 256, NULL);
    int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float *logits = malloc(8 * (size_t)r.n_vocab * sizeof *logits);
    rig_feed(&r, 0, ids, 8, logits);
    _Atomic bool flag = true;
    for (int n = 1; n <= 8; n += 7) {
        model_row rows[8];
        for (int i = 0; i < n; i++) rows[i] = (model_row){ids[i], i, 0, true, 0};
        model_batch b = {.seqs = r.seq, .n_seqs = 1, .rows = rows, .n_rows = n, .cancel = &flag};
        err e = {0};
        assert_false(model_exec_run(r.x, &b, logits, NULL, &e));
        assert_int_equal(e.code, ERR_INTERRUPTED);
    }
    r.pos[0] = 0;
    rig_feed(&r, 0, ids, 8, logits); /* and it still runs */
    free(logits);
    rig_close(&r);
}

static void poison(buf *file) {
    uint64_t n;
    rig_tensor(file, "output_norm.weight", &n)[3] = NAN;
}

static void not_finite(void **state) {
    (void)state;
    rig r;
    rig_open(&r, "llama", QUANT_F32, KERN_KV_F32, 2, 256, poison);
    float *logits = malloc((size_t)r.n_vocab * sizeof *logits);
    int32_t id = 5;
    rig_feed(&r, 0, &id, 1, NULL); /* nobody asks for a number */
    model_row row = {5, 1, 0, true, 0};
    model_batch b = {.seqs = r.seq, .n_seqs = 1, .rows = &row, .n_rows = 1};
    err e = {0};
    assert_false(model_exec_run(r.x, &b, logits, NULL, &e));
    assert_int_equal(e.code, ERR_FAILED);
    assert_non_null(strstr(e.msg, "logit"));
    float *hidden = malloc((size_t)model_params_of(r.m)->n_embd * sizeof *hidden);
    assert_false(model_exec_run(r.x, &b, NULL, hidden, &e));
    assert_non_null(strstr(e.msg, "value 3 of the final state of row 0"));
    free(hidden);
    free(logits);
    rig_close(&r);
}

static void bad_batches(void **state) {
    (void)state;
    rig r;
    rig_open(&r, "llama", QUANT_F32, KERN_KV_F32, 1, 256, NULL);
    int32_t ids[2] = {1, 2};
    float *logits = malloc(2 * (size_t)r.n_vocab * sizeof *logits);
    rig_feed(&r, 0, ids, 2, logits);
    const struct {
        model_row row[2];
        int n;
        err_code code;
    } bad[] = {
        {{{-1, 0, 0, true, 0}}, 1, ERR_USAGE},
        {{{272, 0, 0, true, 0}}, 1, ERR_USAGE},
        {{{1, -1, 0, true, 0}}, 1, ERR_NO_FIT},
        {{{1, 256, 0, true, 0}}, 1, ERR_NO_FIT},
        {{{1, 0, 3, true, 0}}, 1, ERR_USAGE},
        {{{1, 0, -1, true, 0}}, 1, ERR_USAGE},
        {{{1, 0, 0, true, 0}, {1, 0, 0, true, 0}}, 2, ERR_USAGE},
        {{{1, 64, 0, true, 0}}, 1, ERR_USAGE},
        {{{1, 0, 1, true, 0}}, 1, ERR_USAGE},
        {{{1, 0, 0, true, 0}}, 0, ERR_USAGE},
        {{{1, 0, 0, true, 0}}, 129, ERR_USAGE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        model_batch b = {.seqs = r.seq, .n_seqs = RIG_SEQS, .rows = bad[i].row, .n_rows = bad[i].n};
        err e = {0};
        assert_false(model_exec_run(r.x, &b, logits, NULL, &e));
        if (e.code != bad[i].code) fail_msg("case %zu: code %d: %s", i, e.code, e.msg);
    }
    free(logits);
    rig_close(&r);
}

/* ---- experts ---- */

/* A router that finds all experts alike, and all experts but the first few unusable. */
static void equal_experts(buf *file) {
    uint64_t n;
    for (int layer = 0; layer < 2; layer++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", layer);
        float *router = rig_tensor(file, name, &n);
        for (uint64_t i = 0; i < n; i++) router[i] = 0;
        snprintf(name, sizeof name, "blk.%d.ffn_up_exps.weight", layer);
        float *up = rig_tensor(file, name, &n);
        err e = {0};
        gguf *g = gguf_open_memory(file->data, file->len, "file", &e);
        uint64_t used = 0, all = 0;
        assert_true(gguf_get_u64(g, "qwen3moe.expert_used_count", &used));
        assert_true(gguf_get_u64(g, "qwen3moe.expert_count", &all));
        gguf_close(g);
        for (uint64_t i = n / all * used; i < n; i++) up[i] = NAN;
    }
}

static void ties_go_to_the_first_experts(void **state) {
    (void)state;
    rig r;
    rig_open(&r, "qwen3moe", QUANT_F32, KERN_KV_F32, 2, 256, equal_experts);
    int32_t ids[20];
    float *logits = malloc(20 * (size_t)r.n_vocab * sizeof *logits);
    for (int i = 0; i < 20; i++) ids[i] = token_of(&r, 0, i);
    rig_feed(&r, 0, ids, 20, logits); /* fails when another expert was used */
    rig_feed(&r, 1, ids, 2, logits);
    free(logits);
    rig_close(&r);
}

/* What is shown of a run: how many rows each tensor had, and the head's rows. */
typedef struct shown {
    const char *head;
    int rows, heads, experts;
    float *head_row; /* [rows][k] */
    double sum;
} shown;

static void on_shown(void *ud, const gguf_tensor *t, int32_t n_expert, int32_t expert,
                     const float *x, int64_t k) {
    shown *s = ud;
    assert_true(expert >= 0 && expert < n_expert && k == (int64_t)t->ne[0]);
    s->rows++;
    s->experts += n_expert > 1;
    for (int64_t i = 0; i < k; i++) s->sum += (double)fabsf(x[i]);
    if (!str_eq(t->name, str_of(s->head))) return;
    memcpy(s->head_row + (int64_t)s->heads++ * k, x, (size_t)k * sizeof *x);
}

/* One by one and together the same is shown, and for the head it is the final state. */
static void what_matrices_read_is_shown(void **state) {
    (void)state;
    static const char *const models[] = {"llama", "qwen3moe", "gpt-oss"};
    enum { N = 12 };
    for (int i = 0; i < 3; i++) {
        shown s[2] = {0};
        rig r;
        rig_open(&r, models[i], QUANT_F32, KERN_KV_F32, 2, 2048, NULL);
        int64_t embd = model_params_of(r.m)->n_embd;
        float *hidden = malloc((size_t)(N * embd) * sizeof *hidden);
        for (int turn = 0; turn < 2; turn++) {
            s[turn].head = gguf_tensor_find(model_gguf(r.m), "output.weight") ? "output.weight"
                                                                              : "token_embd.weight";
            s[turn].head_row = malloc((size_t)(N * embd) * sizeof(float));
            err e = {0};
            assert_true(model_exec_watch(r.x, on_shown, &s[turn], &e));
            rig_pages(&r, turn, N);
            for (int at = 0, step = turn ? 1 : N; at < N; at += step) {
                model_row rows[N];
                for (int k = 0; k < step; k++)
                    rows[k] = (model_row){token_of(&r, 0, at + k), at + k, turn, false, 0};
                model_batch b = {r.seq, RIG_SEQS, rows, step, NULL};
                if (!model_exec_run(r.x, &b, NULL, hidden + at * embd, &e)) fail_msg("%s", e.msg);
            }
            assert_int_equal(s[turn].heads, N);
            assert_memory_equal(s[turn].head_row, hidden, (size_t)(N * embd) * sizeof(float));
        }
        assert_int_equal(s[0].rows, s[1].rows);
        assert_true(s[0].rows > N * 8 && fabs(s[0].sum / s[1].sum - 1) < 1e-9);
        assert_int_equal(s[0].experts > 0, i > 0);
        free(s[0].head_row), free(s[1].head_row), free(hidden);
        rig_close(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_in_company),
        cmocka_unit_test(same_bytes_in_long_contexts),
        cmocka_unit_test(same_bytes_on_shared_pages),
        cmocka_unit_test(sparse_outputs),
        cmocka_unit_test(hidden_state),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(bad_batches),
        cmocka_unit_test(what_matrices_read_is_shown),
        cmocka_unit_test(ties_go_to_the_first_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
