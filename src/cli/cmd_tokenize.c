/* hearth tokenize: text to token numbers, with any file that holds a vocabulary. */
#include <stdlib.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/models.h"

static void put_json(const tok_ids *ids) {
    out_puts("[");
    for (size_t i = 0; i < ids->n && !out_broken(); i++)
        out_printf("%s%d", i ? "," : "", ids->id[i]);
    out_puts("]\n");
}

static void put_table(const tok *t, const tok_ids *ids) {
    for (size_t i = 0; i < ids->n && !out_broken(); i++) {
        char shown[400];
        str_printable(tok_piece(t, ids->id[i], true), shown, sizeof shown);
        out_printf("%7d  \"%s\"\n", ids->id[i], shown);
    }
}

static bool read_text(const cli_args *a, buf *text, err *e) {
    const char *file = cli_text(a, "file", NULL);
    if (file && a->n_args > 1)
        return err_set(e, ERR_USAGE, "tokenize: either TEXT or --file, not both");
    if (file) return input_file(text, file, e);
    if (a->n_args > 1) {
        buf_puts(text, a->arg[1]);
        return !text->failed || err_set(e, ERR_NO_FIT, "out of memory");
    }
    if (in_is_terminal())
        return err_set(e, ERR_USAGE, "tokenize: no text: give TEXT or --file, or pipe it in");
    return input_stdin(text, e);
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    gguf *g = NULL;
    tok *t = NULL;
    tok_ids ids = {0};
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    unsigned flags = (cli_flag(a, "special") ? TOK_SPECIAL : 0u) |
                     (cli_flag(a, "bos") ? TOK_BOS : 0u);
    bool ok = read_text(a, &text, &e) && models_find(&r, a->arg[0], &e) &&
              (g = models_open_file(&r, &e)) && (t = tok_open(g, &e)) &&
              tok_encode(t, buf_str(&text), flags, &ids, &e);
    int code = ok ? ERR_NONE : cli_fail(&e);
    if (ok && cli_flag(a, "json")) put_json(&ids);
    else if (ok) put_table(t, &ids);
    if (ok && !cli_flag(a, "json")) note("%zu tokens, %zu bytes", ids.n, text.len);
    tok_ids_deinit(&ids);
    buf_deinit(&text);
    tok_close(t);
    gguf_close(g);
    return code;
}

static const cli_option options[] = {
    {"file", 'f', CLI_FILE, "FILE", "take the text from FILE, byte for byte; - is stdin", 0, 0},
    {"special", 0, CLI_FLAG, NULL, "control tokens written out in the text become their numbers", 0,
     0},
    {"bos", 0, CLI_FLAG, NULL, "add begin- and end-of-text tokens by the model's own rule", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON array of token numbers and nothing else", 0, 0},
    {0},
};

const cli_command cmd_tokenize = {
    .name = "tokenize",
    .summary = "text to token numbers",
    .args = "MODEL [TEXT]",
    .about = "Prints the tokens of a text. The text is TEXT, or a file's (--file), or what is "
             "piped in. Any file "
             "with a vocabulary will do, also one without weights and of any architecture. Control "
             "tokens are "
             "ordinary text, and no begin-of-text token is added, unless asked for.",
    .examples = "  hearth tokenize bard \"To be, or not to be\"\n  hearth tokenize model.gguf "
                "--file hamlet.txt --json",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
