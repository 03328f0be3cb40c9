/* hearth imatrix: how much each column of a model's matrices matters, measured on a text.
 *
 * The text's tokens are cut into windows as `hearth perplexity` cuts them, and every row that a
 * matrix is multiplied with is squared and added up (hub/imatrix.h). */
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/bar.h"
#include "cli/commands.h"
#include "cli/direct.h"
#include "cli/input.h"
#include "hub/imatrix.h"

enum { ROWS = 256 }; /* computed at a time */

typedef struct collection {
    imatrix *im;
    bool failed;
    err e;
} collection;

static void on_row(void *ud, const gguf_tensor *t, int32_t n_expert, int32_t expert, const float *x,
                   int64_t k) {
    collection *c = ud;
    if (!c->failed)
        c->failed = !imatrix_add(c->im, t->name, (uint64_t)k, (uint64_t)n_expert, (uint64_t)expert,
                                 x, &c->e);
}

static bool collect_window(direct *d, collection *c, const int32_t *ids, int32_t n, err *e) {
    for (int32_t pos = 0; pos < n; pos += ROWS) {
        int rows = n - pos < ROWS ? n - pos : ROWS;
        if (!direct_run(d, ids + pos, rows, pos, 0, NULL, e)) return false;
        if (c->failed) {
            *e = c->e;
            return false;
        }
        if (interrupt_seen())
            return err_set(e, ERR_INTERRUPTED, "interrupted: nothing was written");
    }
    return true;
}

static bool collect(const cli_args *a, direct *d, collection *c, tok_ids *ids, int32_t n_ctx,
                    size_t text_bytes, err *e) {
    const tok *t = model_tok(d->m);
    size_t windows = ids->n / (size_t)n_ctx;
    bool ok = model_exec_watch(d->x, on_row, c, e);
    bar b;
    interrupt_remember();
    bar_begin(&b, "measuring", a->arg[1]);
    for (size_t w = 0; ok && w < windows; w++) {
        int32_t *at = ids->id + w * (size_t)n_ctx, kept = *at;
        if (tok_adds_bos(t) && tok_bos(t) >= 0) *at = tok_bos(t);
        ok = collect_window(d, c, at, n_ctx, e);
        *at = kept;
        bar_draw(&b, text_bytes * (w + 1) / windows, text_bytes);
    }
    bar_end(&b);
    interrupt_end_process();
    imatrix_about(c->im, a->arg[1], (uint32_t)windows, (uint32_t)n_ctx);
    return ok;
}

static void print(const cli_args *a, const imatrix *im, const char *out, size_t windows,
                  int32_t n_ctx) {
    if (!cli_flag(a, "json")) {
        out_printf("%s: %zu matrices, %zu window%s of %d tokens\n", out, imatrix_n(im), windows,
                   PLURAL(windows), n_ctx);
        return;
    }
    buf b;
    buf_init(&b, 1 << 16);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "path"), jsonw_str(&w, str_of(out));
    jsonw_key(&w, "matrices"), jsonw_uint(&w, imatrix_n(im));
    jsonw_key(&w, "windows"), jsonw_uint(&w, windows);
    jsonw_key(&w, "ctx"), jsonw_int(&w, n_ctx);
    jsonw_end(&w);
    out_json(&b);
}

/* The text's tokens, whole windows of them. */
static bool tokens_read(const cli_args *a, const direct *d, const buf *text, int32_t n_ctx,
                        tok_ids *ids, err *e) {
    const model_params *p = model_params_of(d->m);
    if (!model_tok(d->m)) return err_set(e, ERR_FAILED, "this model has no tokenizer");
    if (model_is_encoder(d->m))
        return err_set(e, ERR_USAGE, "this model writes no text; windows of one say nothing of it");
    if (n_ctx > p->n_ctx)
        return err_set(e, ERR_NO_FIT,
                       "a window of %d tokens is more than the model's context of %d", n_ctx,
                       p->n_ctx);
    if (!tok_encode(model_tok(d->m), buf_str(text), TOK_BOS, ids, e)) return false;
    if (ids->n < (size_t)n_ctx)
        return err_set(e, ERR_USAGE,
                       "the text has %zu tokens, a window needs %d: choose a smaller --ctx", ids->n,
                       n_ctx);
    size_t most = (size_t)cli_int(a, "windows", 0) * (size_t)n_ctx;
    if (most && ids->n > most) ids->n = most;
    return true;
}

static bool measure(const cli_args *a, direct *d, const buf *text, const char *out, err *e) {
    int32_t n_ctx = (int32_t)cli_int(a, "ctx", 512);
    tok_ids ids = {0};
    collection c = {.im = imatrix_new()};
    d->hidden = malloc(sizeof(float) * ROWS * (size_t)model_params_of(d->m)->n_embd);
    bool ok = (c.im && d->hidden) || err_set(e, ERR_NO_FIT, "out of memory");
    ok = ok && tokens_read(a, d, text, n_ctx, &ids, e) &&
         direct_pages(d, n_ctx, ROWS, KERN_KV_F16, e) &&
         collect(a, d, &c, &ids, n_ctx, buf_str(text).n, e) && imatrix_save(c.im, out, e);
    if (ok) print(a, c.im, out, ids.n / (size_t)n_ctx, n_ctx);
    tok_ids_deinit(&ids);
    imatrix_free(c.im);
    free(d->hidden);
    return ok;
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    direct d = {0};
    const char *out = cli_text(a, "output", NULL);
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    bool ok = out || err_set(&e, ERR_USAGE, "imatrix: where to? -o FILE");
    ok = ok && models_find(&r, a->arg[0], &e) && input_file(&text, a->arg[1], &e) &&
         direct_open(&d, &r, (int)cli_int(a, "threads", 0), false, &e) &&
         measure(a, &d, &text, out, &e);
    int code = ok ? ERR_NONE : cli_fail(&e);
    direct_close(&d);
    buf_deinit(&text);
    return code;
}

static const cli_option options[] = {
    {"output", 'o', CLI_FILE, "FILE", "where the importance matrix goes; needed", 0, 0},
    {"ctx", 'c', CLI_INT, "N", "tokens of a window (default 512)", 4, 1 << 20},
    {"windows", 'w', CLI_INT, "N", "only the first N windows", 1, 1 << 30},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_imatrix = {
    .name = "imatrix",
    .summary = "measure which weights matter, for quantize --imatrix",
    .args = "MODEL TEXT -o FILE",
    .about = "Runs the model over TEXT in windows of N tokens and writes how large the numbers are "
             "that each column of each matrix is multiplied with: its importance matrix. "
             "`hearth quantize --imatrix FILE` then rounds with more care what matters more, which "
             "pays most below 4 bits. Take the model as it was before quantising, or at 8 bits, "
             "and some 100 kB of text of the kind that it will be used for.\n\n"
             "FILE is a GGUF file as llama.cpp's tools read and write it.",
    .examples = "  hearth imatrix model-f16.gguf text.txt -o model.imatrix\n"
                "  hearth quantize model-f16.gguf small.gguf Q2_K --imatrix model.imatrix",
    .complete = "model",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
