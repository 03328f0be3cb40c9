/* hearth logits: the numbers that a model gives for a sequence of tokens, as they are. */
#include <stdlib.h>

#include "base/jsonw.h"
#include "cli/commands.h"
#include "cli/direct.h"

enum { ROWS = 64 }; /* computed at a time: bounds the memory for --all */

static void put_json_row(const float *row, int32_t n) {
    buf b;
    buf_init(&b, (size_t)n * 24 + 64);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_array(&w);
    for (int32_t i = 0; i < n; i++) jsonw_f32(&w, row[i]);
    jsonw_end(&w);
    out_buf(&b);
    buf_deinit(&b);
}

/* The ten largest, for people. */
static void put_table(const float *row, int32_t n, const tok *t, int32_t pos) {
    enum { TOP = 10 };
    int32_t best[TOP];
    int k = 0;
    for (int32_t i = 0; i < n; i++) {
        int at = k;
        while (at > 0 && row[best[at - 1]] < row[i]) at--;
        if (at >= TOP) continue;
        if (k < TOP) k++;
        for (int j = k - 1; j > at; j--) best[j] = best[j - 1];
        best[at] = i;
    }
    out_printf("after position %d\n", pos);
    for (int i = 0; i < k; i++) {
        char shown[64];
        str piece = t ? tok_piece(t, best[i], true) : STR(""); /* a model need not have text */
        str_printable(piece, shown, sizeof shown);
        out_printf("%8d  %12.6f  \"%s\"\n", best[i], (double)row[best[i]], shown);
    }
}

static bool put_rows(direct *d, const int32_t *ids, int32_t n, bool all, bool json, err *e) {
    int32_t n_vocab = model_params_of(d->m)->n_vocab;
    float *logits = malloc(sizeof(float) * (size_t)n_vocab * (all ? ROWS : 1));
    if (!logits) return err_set(e, ERR_NO_FIT, "out of memory for the logits");
    bool ok = true;
    for (int32_t pos = 0; pos < n && ok && !out_broken(); pos += ROWS) {
        int rows = n - pos < ROWS ? n - pos : ROWS;
        int wanted = all ? rows : pos + rows == n ? 1 : 0;
        ok = direct_run(d, ids + pos, rows, pos, wanted, logits, e);
        for (int i = 0; ok && i < wanted; i++) {
            const float *row = logits + (size_t)i * (size_t)n_vocab;
            int32_t at = pos + rows - wanted + i;
            if (!json) {
                put_table(row, n_vocab, model_tok(d->m), at);
            } else {
                if (all && at > 0) out_puts(",\n");
                put_json_row(row, n_vocab);
            }
        }
    }
    free(logits);
    return ok;
}

static bool print(const cli_args *a, direct *d, const int32_t *ids, int32_t n, err *e) {
    bool json = cli_flag(a, "json"), all = cli_flag(a, "all");
    int32_t n_ctx = model_params_of(d->m)->n_ctx;
    if (!direct_check_ids(d, ids, (size_t)n, e)) return false;
    if (n > n_ctx)
        return err_set(e, ERR_NO_FIT, "%d tokens are more than the model's context of %d", n,
                       n_ctx);
    if (!direct_pages(d, n, ROWS, kv_type_named(cli_text(a, "kv", "f16")), e)) return false;
    if (!json) return put_rows(d, ids, n, all, false, e);
    out_printf("{\"n_vocab\":%d,\"tokens\":[", model_params_of(d->m)->n_vocab);
    for (int32_t i = 0; i < n; i++) out_printf("%s%d", i ? "," : "", ids[i]);
    out_puts(all ? "],\"logits\":[\n" : "],\"logits\":\n");
    if (!put_rows(d, ids, n, all, true, e)) return false;
    out_puts(all ? "]}\n" : "}\n");
    return true;
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    direct d = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    int code = ERR_NONE;
    const char *tokens = cli_text(a, "tokens", NULL);
    bool ok = tokens || err_set(&e, ERR_USAGE, "logits: which tokens? --tokens 1,2,3");
    ok = ok && cli_ids_read(tokens, &ids, &n, &e);
    if (ok && (n == 0 || n > 1 << 20))
        ok = err_set(&e, ERR_USAGE, "logits: 1 to %d tokens, not %zu", 1 << 20, n);
    ok = ok && models_find(&r, a->arg[0], &e) &&
         direct_open(&d, &r, (int)cli_int(a, "threads", 0), cli_flag(a, "f32"), &e) &&
         print(a, &d, ids, (int32_t)n, &e);
    if (!ok) code = cli_fail(&e);
    direct_close(&d);
    free(ids);
    return code;
}

static const cli_option options[] = {
    {"tokens", 0, CLI_TEXT, "IDS", "the sequence, as numbers with commas", 0, 0},
    {"all", 0, CLI_FLAG, NULL, "logits after every position, not only the last", 0, 0},
    {"json", 0, CLI_FLAG, NULL,
     "print every logit: {n_vocab, tokens, logits}; a list, with --all a list of lists", 0, 0},
    {"f32", 0, CLI_FLAG, NULL, "all weights as 32-bit floats: the reference computation, slow", 0,
     0},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache (default f16)", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {0},
};

const cli_command cmd_logits = {
    .name = "logits",
    .summary = "the raw scores that a model gives",
    .args = "MODEL --tokens IDS",
    .about = "Runs the model over a sequence of tokens and prints its raw scores (logits) for the "
             "token that comes "
             "next: without --json the ten largest, with --json all of them.",
    .examples = "  hearth logits bard --tokens 10,20,30\n  hearth logits model.gguf --tokens 1,2,3 "
                "--all --json",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
