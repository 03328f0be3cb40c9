/* hearth perplexity: how surprised a model is by a text.
 *
 * The text's tokens are cut into windows of N; the first token of a window is replaced by the
 * begin-of-text token where the model adds one. Each token of a window's second half is scored: the
 * negative log of the probability that the model gave it, seeing all before it in the window. The
 * perplexity is exp(mean), its error the mean's standard error times it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/direct.h"
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

/* -log softmax(row)[token], in double. */
static double surprise(const float *row, int32_t n_vocab, int32_t token) {
    float top = row[0];
    for (int32_t i = 1; i < n_vocab; i++)
        if (row[i] > top) top = row[i];
    double sum = 0;
    for (int32_t i = 0; i < n_vocab; i++) sum += exp((double)(row[i] - top));
    return log(sum) - (double)(row[token] - top);
}

/* One window at ids[0..n), n tokens; scores the predictions of ids[n/2+1 .. n). */
static bool score_window(direct *d, const int32_t *ids, int32_t n, float *logits, score *s,
                         err *e) {
    int32_t n_vocab = model_params_of(d->m)->n_vocab, first = n / 2;
    for (int32_t pos = 0; pos < n; pos += ROWS) {
        int rows = n - pos < ROWS ? n - pos : ROWS;
        int wanted = pos + rows <= first ? 0 : pos >= first ? rows : pos + rows - first;
        if (!direct_run(d, ids + pos, rows, pos, wanted, logits, e)) return false;
        for (int i = 0; i < wanted; i++) {
            int32_t at = pos + rows - wanted + i;
            if (at + 1 >= n) continue; /* nothing follows in this window */
            double v = surprise(logits + (size_t)i * (size_t)n_vocab, n_vocab, ids[at + 1]);
            s->sum += v;
            s->sum_squares += v * v;
            s->n++;
        }
    }
    return true;
}

static bool score_text(direct *d, tok_ids *ids, int32_t n_ctx, score *s, err *e) {
    const tok *t = model_tok(d->m);
    size_t windows = ids->n / (size_t)n_ctx;
    float *logits = malloc(sizeof(float) * ROWS * (size_t)model_params_of(d->m)->n_vocab);
    if (!logits) return err_set(e, ERR_NO_FIT, "out of memory for the logits");
    bool ok = true, live = err_is_terminal();
    double began = clock_now_s();
    for (size_t w = 0; ok && w < windows; w++) {
        int32_t *at = ids->id + w * (size_t)n_ctx, kept = *at;
        if (tok_adds_bos(t) && tok_bos(t) >= 0) *at = tok_bos(t);
        ok = score_window(d, at, n_ctx, logits, s, e);
        *at = kept;
        double left = (clock_now_s() - began) / (double)(w + 1) * (double)(windows - w - 1);
        if (ok && live)
            fprintf(stderr, "\r\033[K%zu of %zu windows: %.4f, %.0f s left", w + 1, windows,
                    score_ppl(s), left);
    }
    if (live) fprintf(stderr, "\r\033[K");
    free(logits);
    return ok;
}

static void print(const cli_args *a, const direct *d, const score *s, size_t n_tokens,
                  int32_t n_ctx) {
    double ppl = score_ppl(s), error = score_error(s);
    if (!cli_flag(a, "json")) {
        out_printf("perplexity %.4f ± %.4f (%lld tokens scored in %zu windows of %d)\n", ppl, error,
                   (long long)s->n, n_tokens / (size_t)n_ctx, n_ctx);
        return;
    }
    buf b;
    buf_init(&b, 1 << 16);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(model_params_of(d->m)->name));
    jsonw_key(&w, "perplexity"), jsonw_f64(&w, ppl);
    jsonw_key(&w, "standard_error"), jsonw_f64(&w, error);
    jsonw_key(&w, "mean_nll"), jsonw_f64(&w, s->sum / (double)s->n);
    jsonw_key(&w, "tokens_scored"), jsonw_int(&w, s->n);
    jsonw_key(&w, "tokens"), jsonw_uint(&w, n_tokens);
    jsonw_key(&w, "windows"), jsonw_uint(&w, n_tokens / (size_t)n_ctx);
    jsonw_key(&w, "ctx"), jsonw_int(&w, n_ctx);
    jsonw_end(&w);
    buf_putc(&b, '\n');
    out_buf(&b);
    buf_deinit(&b);
}

static bool measure(const cli_args *a, direct *d, const buf *text, err *e) {
    tok_ids ids = {0};
    score s = {0};
    int32_t n_ctx = (int32_t)cli_int(a, "ctx", 512), trained = model_params_of(d->m)->n_ctx;
    bool ok = model_tok(d->m) || err_set(e, ERR_FAILED, "this model has no tokenizer");
    if (ok && n_ctx > trained)
        ok = err_set(e, ERR_NO_FIT, "a window of %d tokens is more than the model's context of %d",
                     n_ctx, trained);
    ok = ok && tok_encode(model_tok(d->m), buf_str(text), TOK_BOS, &ids, e);
    if (ok && ids.n < (size_t)n_ctx)
        ok = err_set(e, ERR_USAGE,
                     "the text has %zu tokens, a window needs %d: choose a smaller --ctx", ids.n,
                     n_ctx);
    ok = ok && direct_pages(d, n_ctx, ROWS, kv_type_named(cli_text(a, "kv", "f16")), e) &&
         score_text(d, &ids, n_ctx, &s, e);
    if (ok) print(a, d, &s, ids.n, n_ctx);
    tok_ids_deinit(&ids);
    return ok;
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    direct d = {0};
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    bool ok = models_find(&r, a->arg[0], &e) && input_file(&text, a->arg[1], &e) &&
              direct_open(&d, &r, (int)cli_int(a, "threads", 0), cli_flag(a, "f32"), &e) &&
              measure(a, &d, &text, &e);
    int code = ok ? ERR_NONE : cli_fail(&e);
    direct_close(&d);
    buf_deinit(&text);
    return code;
}

static const cli_option options[] = {
    {"ctx", 'c', CLI_INT, "N", "tokens of a window (default 512)", 4, 1 << 20},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {"f32", 0, CLI_FLAG, NULL, "all weights as 32-bit floats: the reference computation, slow", 0,
     0},
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
             "can be compared.",
    .examples = "  hearth perplexity model.gguf sonnets.txt --ctx 512",
    .complete = "model",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
