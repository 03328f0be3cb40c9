/* Models that sum up a text, against Hugging Face transformers: the final state of every position
 * within 1e-4 of its range, and what a classifier says of it. An encoder's sequences do not feel
 * each other, threads change nothing, and what it may not be asked for is refused. */
#include "support/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "model/model.h"
#include "quant/quant.h"
#include "support/tiny.h"

enum { SEQS = 3, PAGES = 2 };

typedef struct rig {
    tiny_model t;
    model *m;
    team *team;
    model_exec *x;
    void *page[SEQS][PAGES];
    model_seq seq[SEQS];
} rig;

static void rig_open(rig *r, const char *name, uint32_t type, bool as_f32, int threads) {
    err e = {0};
    memset(r, 0, sizeof *r);
    if (!tiny_open(&r->t, name, type, &e)) fail_msg("%s", e.msg);
    r->team = team_new(threads, &e);
    model_options o = {.as_f32 = as_f32, .team = r->team};
    r->m = model_open_memory(r->t.gguf.data, r->t.gguf.len, name, &o, &e);
    if (!r->m) fail_msg("%s", e.msg);
    r->x = model_exec_new(r->m, r->team, KERN_KV_F32, SEQS * r->t.n_prompt, &e);
    if (!r->x) fail_msg("%s", e.msg);
    assert_int_equal(model_n_kv_groups(r->m), 1);
    size_t bytes = model_kv_page_bytes(model_kv_group_at(r->m, 0), KERN_KV_F32);
    for (int s = 0; s < SEQS; s++) {
        for (int p = 0; p < PAGES; p++) {
            r->page[s][p] = aligned_alloc(64, bytes);
            memset(r->page[s][p], 0xff, bytes); /* nothing may depend on it */
        }
        r->seq[s].page[0] = r->page[s];
    }
}

static void rig_close(rig *r) {
    for (int s = 0; s < SEQS; s++)
        for (int p = 0; p < PAGES; p++) free(r->page[s][p]);
    model_exec_free(r->x);
    model_close(r->m);
    team_free(r->team);
    tiny_close(&r->t);
}

static int rows_put(const rig *r, model_row *rows, int seq, int n) {
    for (int i = 0; i < n; i++)
        rows[i] = (model_row){.token = r->t.prompt[i],
                              .pos = i,
                              .seq = seq,
                              .type = model_is_encoder(r->m) && i >= r->t.n_first};
    return n;
}

/* Final states of the first n tokens, alone. Caller frees. */
static float *alone(rig *r, int n) {
    model_row rows[64];
    err e = {0};
    float *out = calloc((size_t)n * (size_t)r->t.n_embd, sizeof *out);
    model_batch b = {
        .seqs = r->seq, .n_seqs = SEQS, .rows = rows, .n_rows = rows_put(r, rows, 1, n)};
    if (!model_exec_run(r->x, &b, NULL, out, &e)) fail_msg("%s: %s", r->t.name, e.msg);
    return out;
}

static double range_of(const float *x, size_t n) {
    float lo = x[0], hi = x[0];
    for (size_t i = 0; i < n; i++) {
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
    }
    return (double)hi - (double)lo;
}

static double difference(const float *a, const float *b, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d;
    }
    return most;
}

static void agrees_with_transformers(void **state) {
    (void)state;
    for (const char *const *name = tiny_embedders; *name; name++) {
        rig r;
        rig_open(&r, *name, QUANT_F32, false, 2);
        size_t n = (size_t)r.t.n_prompt * (size_t)r.t.n_embd;
        float *got = alone(&r, r.t.n_prompt);
        double span = range_of(r.t.state, n), diff = difference(got, r.t.state, n) / span;
        print_message("%-11s largest difference %.1e of the range\n", *name, diff);
        if (!(diff <= 1e-4)) fail_msg("%s: states differ by %.2e of their range", *name, diff);
        assert_int_equal(model_n_scores(r.m), r.t.n_scores);
        if (r.t.n_scores) {
            float score[8];
            bool encoder = model_is_encoder(r.m);
            int at = encoder ? 0 : r.t.n_prompt - 1;
            model_classify(r.m, got + (size_t)at * (size_t)r.t.n_embd, score);
            if (!encoder) score[0] = 1 / (1 + expf(score[1] - score[0]));
            if (fabsf(score[0] - r.t.score[0]) > 1e-4f)
                fail_msg("%s: scored %g, not %g", *name, (double)score[0], (double)r.t.score[0]);
        }
        free(got);
        rig_close(&r);
    }
}

/* Several texts of different lengths in one batch; one or two threads; few rows and many. */
static void texts_do_not_feel_each_other(void **state) {
    (void)state;
    static const int lengths[SEQS] = {64, 3, 33};
    static const uint32_t types[] = {QUANT_F32, QUANT_Q8_0, QUANT_Q4_K};
    for (const char *const *name = tiny_embedders; *name; name++)
        for (size_t k = 0; k < 3; k++) {
            rig one, two;
            rig_open(&one, *name, types[k], false, 1);
            rig_open(&two, *name, types[k], false, 2);
            model_row rows[SEQS * 64];
            int n = 0;
            for (int s = 0; s < SEQS; s++) n += rows_put(&two, rows + n, s, lengths[s]);
            err e = {0};
            size_t width = (size_t)two.t.n_embd;
            float *all = calloc((size_t)n * width, sizeof *all), *at = all;
            model_batch b = {.seqs = two.seq, .n_seqs = SEQS, .rows = rows, .n_rows = n};
            if (!model_exec_run(two.x, &b, NULL, all, &e)) fail_msg("%s: %s", *name, e.msg);
            for (int s = 0; s < SEQS; s++) {
                float *wanted = alone(&one, lengths[s]);
                if (memcmp(wanted, at, (size_t)lengths[s] * width * sizeof *at) != 0)
                    fail_msg("%s: text %d differs in company", *name, s);
                at += (size_t)lengths[s] * width;
                free(wanted);
            }
            free(all);
            rig_close(&one);
            rig_close(&two);
        }
}

static double cosine(const float *a, const float *b, int n) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void quantised_points_the_same_way(void **state) {
    (void)state;
    for (const char *const *name = tiny_embedders; *name; name++) {
        rig fast, exact;
        rig_open(&fast, *name, QUANT_Q8_0, false, 2);
        rig_open(&exact, *name, QUANT_Q8_0, true, 2);
        float *a = alone(&exact, 64), *b = alone(&fast, 64);
        for (int i = 0; i < 64; i++) {
            double c = cosine(a + i * fast.t.n_embd, b + i * fast.t.n_embd, fast.t.n_embd);
            if (!(c > 0.999)) fail_msg("%s: position %d has cosine %.5f", *name, i, c);
        }
        assert_true(memcmp(a, b, (size_t)(64 * fast.t.n_embd) * sizeof *a) != 0);
        free(a);
        free(b);
        rig_close(&fast);
        rig_close(&exact);
    }
}

static void an_encoder_reads_whole_texts(void **state) {
    (void)state;
    rig r;
    err e = {0};
    rig_open(&r, "bert", QUANT_F32, false, 1);
    model_row rows[64];
    float *out = calloc(64 * (size_t)r.t.n_embd, sizeof *out);
    int n = rows_put(&r, rows, 0, 20);
    model_batch b = {.seqs = r.seq, .n_seqs = SEQS, .rows = rows + 5, .n_rows = n - 5};
    assert_false(model_exec_run(r.x, &b, NULL, out, &e));
    assert_int_equal(e.code, ERR_USAGE);
    rows[0].type = 2;
    b = (model_batch){.seqs = r.seq, .n_seqs = SEQS, .rows = rows, .n_rows = n};
    assert_false(model_exec_run(r.x, &b, NULL, out, &e));
    assert_non_null(strstr(e.msg, "type 2"));
    float logits[1];
    rows[0].type = 0;
    rows[3].want_logits = true;
    assert_false(model_exec_run(r.x, &b, logits, out, &e));
    assert_non_null(strstr(e.msg, "no logits"));
    free(out);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_transformers),
        cmocka_unit_test(texts_do_not_feel_each_other),
        cmocka_unit_test(quantised_points_the_same_way),
        cmocka_unit_test(an_encoder_reads_whole_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
