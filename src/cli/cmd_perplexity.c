/* hearth perplexity: how surprised a model is by a text.
 *
 * The text's tokens are cut into windows of N; the first token of a window is replaced by the
 * begin-of-text token where the model adds one. Each token of a window's second half is scored: the
 * negative log of the probability that the model gave it, seeing all before it in the window. The
 * perplexity is exp(mean), its error the mean's standard error times it. With --kl every window is
 * computed twice, also with all weights as floats, and the two distributions are compared.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/direct.h"
#include "cli/divergence.h"
#include "cli/input.h"

enum { ROWS = 128 }; /* computed at a time */

typedef struct score {
    double sum, sum_squares;
    int64_t n;
} score;

static double score_ppl(const score *s) {
    return exp(s->sum / (double)s->n);
}

static double score_error(const score *s) {
    double mean = s->sum / (double)s->n;
    double variance = s->sum_squares / (double)s->n - mean * mean;
    if (s->n < 2 || variance <= 0) return 0;
    return score_ppl(s) * sqrt(variance / (double)(s->n - 1));
}

static void score_add(score *s, double surprise) {
    s->sum += surprise;
    s->sum_squares += surprise * surprise;
    s->n++;
}

/* The model as it is run, and the same weights in floats where they are compared. */
typedef struct paths {
    direct fast, exact;
    bool two;
    float *logits, *exact_logits; /* [ROWS][n_vocab] */
    score score, exact_score;
    divergence kl;
} paths;

/* One row of logits of each path, and the token that came. */
static bool score_row(paths *p, int row, int32_t n_vocab, int32_t token, err *e) {
    const float *logits = p->logits + (size_t)row * (size_t)n_vocab;
    score_add(&p->score, divergence_surprise(logits, n_vocab, token));
    if (!p->two) return true;
    const float *exact = p->exact_logits + (size_t)row * (size_t)n_vocab;
    score_add(&p->exact_score, divergence_surprise(exact, n_vocab, token));
    return divergence_add(&p->kl, exact, logits, n_vocab) ||
           err_set(e, ERR_NO_FIT, "out of memory");
}

/* One window at ids[0..n), n tokens; scores the predictions of ids[n/2+1 .. n). */
static bool score_window(paths *p, const int32_t *ids, int32_t n, err *e) {
    int32_t n_vocab = model_params_of(p->fast.m)->n_vocab, first = n / 2;
    for (int32_t pos = 0; pos < n; pos += ROWS) {
        int rows = n - pos < ROWS ? n - pos : ROWS;
        int wanted = pos + rows <= first ? 0 : pos >= first ? rows : pos + rows - first;
        if (!direct_run(&p->fast, ids + pos, rows, pos, wanted, p->logits, e)) return false;
        if (p->two && !direct_run(&p->exact, ids + pos, rows, pos, wanted, p->exact_logits, e))
            return false;
        for (int i = 0; i < wanted; i++) {
            int32_t at = pos + rows - wanted + i;
            if (at + 1 >= n) continue; /* nothing follows in this window */
            if (!score_row(p, i, n_vocab, ids[at + 1], e)) return false;
        }
    }
    return true;
}

static bool score_text(paths *p, tok_ids *ids, int32_t n_ctx, err *e) {
    const tok *t = model_tok(p->fast.m);
    size_t windows = ids->n / (size_t)n_ctx;
    bool ok = true, live = err_is_terminal();
    double began = clock_now_s();
    for (size_t w = 0; ok && w < windows; w++) {
        int32_t *at = ids->id + w * (size_t)n_ctx, kept = *at;
        if (tok_adds_bos(t) && tok_bos(t) >= 0) *at = tok_bos(t);
        ok = score_window(p, at, n_ctx, e);
        *at = kept;
        double left = (clock_now_s() - began) / (double)(w + 1) * (double)(windows - w - 1);
        if (ok && live)
            fprintf(stderr, "\r\033[K%zu of %zu windows: %.4f, %.0f s left", w + 1, windows,
                    score_ppl(&p->score), left);
    }
    if (live) fprintf(stderr, "\r\033[K");
    return ok;
}

static void print_text(const paths *p, size_t windows, int32_t n_ctx) {
    const score *s = &p->score;
    out_printf("perplexity %.4f ± %.4f (%lld tokens scored in %zu window%s of %d)\n", score_ppl(s),
               score_error(s), (long long)s->n, windows, PLURAL(windows), n_ctx);
    if (!p->two) return;
    divergence_figures f = divergence_of(&p->kl);
    out_printf("with float weights %.4f: %+.3f %%\n", score_ppl(&p->exact_score),
               100 * (score_ppl(s) / score_ppl(&p->exact_score) - 1));
    out_printf("KL divergence mean %.6f, 99 %% %.6f, largest %.6f; same likeliest token %.2f %%\n",
               f.mean, f.p99, f.max, 100 * f.same_top);
}

static void json_kl(jsonw *w, const paths *p) {
    divergence_figures f = divergence_of(&p->kl);
    jsonw_key(w, "float_perplexity"), jsonw_f64(w, score_ppl(&p->exact_score));
    jsonw_key(w, "kl_mean"), jsonw_f64(w, f.mean);
    jsonw_key(w, "kl_p99"), jsonw_f64(w, f.p99);
    jsonw_key(w, "kl_max"), jsonw_f64(w, f.max);
    jsonw_key(w, "same_top"), jsonw_f64(w, f.same_top);
}

static void print(const cli_args *a, const paths *p, size_t n_tokens, int32_t n_ctx) {
    const score *s = &p->score;
    size_t windows = n_tokens / (size_t)n_ctx;
    if (!cli_flag(a, "json")) {
        print_text(p, windows, n_ctx);
        return;
    }
    buf b;
    buf_init(&b, 1 << 16);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(model_params_of(p->fast.m)->name));
    jsonw_key(&w, "perplexity"), jsonw_f64(&w, score_ppl(s));
    jsonw_key(&w, "standard_error"), jsonw_f64(&w, score_error(s));
    jsonw_key(&w, "mean_nll"), jsonw_f64(&w, s->sum / (double)s->n);
    jsonw_key(&w, "tokens_scored"), jsonw_int(&w, s->n);
    jsonw_key(&w, "tokens"), jsonw_uint(&w, n_tokens);
    jsonw_key(&w, "windows"), jsonw_uint(&w, windows);
    jsonw_key(&w, "ctx"), jsonw_int(&w, n_ctx);
    if (p->two) json_kl(&w, p);
    jsonw_end(&w);
    out_json(&b);
}

/* Room for windows of n_ctx tokens on both paths. The float path keeps floats of keys and values
 * too. */
static bool paths_make(const cli_args *a, paths *p, int32_t n_ctx, err *e) {
    size_t n = (size_t)ROWS * (size_t)model_params_of(p->fast.m)->n_vocab;
    kern_kv_type kv = kv_type_named(cli_text(a, "kv", "f16"));
    p->logits = malloc(n * sizeof *p->logits);
    p->exact_logits = p->two ? malloc(n * sizeof *p->logits) : NULL;
    if (!p->logits || (p->two && !p->exact_logits))
        return err_set(e, ERR_NO_FIT, "out of memory for the logits");
    return direct_pages(&p->fast, n_ctx, ROWS, kv, e) &&
           (!p->two || direct_pages(&p->exact, n_ctx, ROWS, KERN_KV_F32, e));
}

static bool measure(const cli_args *a, paths *p, const buf *text, err *e) {
    tok_ids ids = {0};
    const model *m = p->fast.m;
    int32_t n_ctx = (int32_t)cli_int(a, "ctx", 512), trained = model_params_of(m)->n_ctx;
    bool ok = model_tok(m) || err_set(e, ERR_FAILED, "this model has no tokenizer");
    if (ok && n_ctx > trained)
        ok = err_set(e, ERR_NO_FIT, "a window of %d tokens is more than the model's context of %d",
                     n_ctx, trained);
    ok = ok && tok_encode(model_tok(m), buf_str(text), TOK_BOS, &ids, e);
    if (ok && ids.n < (size_t)n_ctx)
        ok = err_set(e, ERR_USAGE,
                     "the text has %zu tokens, a window needs %d: choose a smaller --ctx", ids.n,
                     n_ctx);
    size_t most = (size_t)cli_int(a, "windows", 0) * (size_t)n_ctx;
    if (most && ids.n > most) ids.n = most;
    ok = ok && paths_make(a, p, n_ctx, e) && score_text(p, &ids, n_ctx, e);
    if (ok) print(a, p, ids.n, n_ctx);
    tok_ids_deinit(&ids);
    return ok;
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    paths p = {.two = cli_flag(a, "kl")};
    int threads = (int)cli_int(a, "threads", 0);
    bool f32 = cli_flag(a, "f32");
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    bool ok = !(p.two && f32) || err_set(&e, ERR_USAGE, "--kl compares with --f32: give only one");
    ok = ok && models_find(&r, a->arg[0], &e) && input_file(&text, a->arg[1], &e) &&
         direct_open(&p.fast, &r, threads, f32, &e) &&
         (!p.two || direct_open(&p.exact, &r, threads, true, &e)) && measure(a, &p, &text, &e);
    int code = ok ? ERR_NONE : cli_fail(&e);
    direct_close(&p.fast);
    direct_close(&p.exact);
    free(p.logits);
    free(p.exact_logits);
    divergence_deinit(&p.kl);
    buf_deinit(&text);
    return code;
}

static const cli_option options[] = {
    {"ctx", 'c', CLI_INT, "N", "tokens of a window (default 512)", 4, 1 << 20},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {"f32", 0, CLI_FLAG, NULL, "all weights as 32-bit floats: the reference computation, slow", 0,
     0},
    {"kl", 0, CLI_FLAG, NULL, "compare with that computation, token by token", 0, 0},
    {"windows", 'w', CLI_INT, "N", "only the first N windows", 1, 1 << 30},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache (default f16)", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {0},
};

const cli_command cmd_perplexity = {
    .name = "perplexity",
    .summary = "how surprised a model is by a text",
    .args = "MODEL FILE",
    .about = "Cuts the text into windows of N tokens, scores the second half of each, and prints "
             "the perplexity "
             "with its standard error. Lower is better; only figures of the same text, window and "
             "vocabulary "
             "can be compared.\n\n"
             "--kl computes every window a second time with the same weights, keys and values as "
             "32-bit floats, and prints what the fast arithmetic costs: that perplexity, the "
             "Kullback-Leibler divergence of the two distributions in nats a token (mean, 99th "
             "percentile, largest), and how often both find the same token likeliest.",
    .examples = "  hearth perplexity model.gguf sonnets.txt --ctx 512\n"
                "  hearth perplexity model.gguf sonnets.txt --kl --windows 4 --json",
    .complete = "model",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
