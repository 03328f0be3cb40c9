/* hearth detokenize: token numbers to text. */
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/models.h"

static bool read_ids(const cli_args *a, int32_t **ids, size_t *n, err *e) {
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    bool ok = true;
    for (int i = 1; i < a->n_args; i++) {
        buf_puts(&text, a->arg[i]);
        buf_putc(&text, ' ');
    }
    if (a->n_args == 1 && in_is_terminal())
        ok = err_set(e, ERR_USAGE, "detokenize: no token numbers: give IDS or pipe them in");
    else if (a->n_args == 1) ok = input_stdin(&text, e);
    if (ok && text.failed) ok = err_set(e, ERR_NO_FIT, "out of memory");
    ok = ok && cli_ids_read(text.data ? text.data : "", ids, n, e);
    buf_deinit(&text);
    return ok;
}

static bool decode(const tok *t, const int32_t *ids, size_t n, bool special, buf *out, err *e) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= tok_n_vocab(t))
            return err_set(e, ERR_USAGE, "token %d is not in the vocabulary of %d tokens", ids[i],
                           tok_n_vocab(t));
    return tok_decode(t, ids, n, special, out, e);
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    gguf *g = NULL;
    tok *t = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    buf text, json;
    buf_init(&text, (size_t)1 << 32);
    buf_init(&json, (size_t)1 << 33);
    bool ok = read_ids(a, &ids, &n, &e) && models_find(&r, a->arg[0], &e) &&
              (g = models_open_file(&r, &e)) && (t = tok_open(g, &e)) &&
              decode(t, ids, n, cli_flag(a, "special"), &text, &e);
    int code = ok ? ERR_NONE : cli_fail(&e);
    if (ok && cli_flag(a, "json")) {
        jsonw w;
        jsonw_init(&w, &json);
        jsonw_str(&w, buf_str(&text));
        buf_putc(&json, '\n');
        out_buf(&json);
    } else if (ok) {
        out_buf(&text);
        if (out_is_terminal()) out_puts("\n");
    }
    buf_deinit(&json);
    buf_deinit(&text);
    free(ids);
    tok_close(t);
    gguf_close(g);
    return code;
}

static const cli_option options[] = {
    {"special", 0, CLI_FLAG, NULL, "write control tokens out", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON string", 0, 0},
    {0},
};

const cli_command cmd_detokenize = {
    .name = "detokenize",
    .summary = "token numbers to text",
    .args = "MODEL [IDS...]",
    .about = "Prints the text of tokens, byte for byte. IDS are numbers with commas or spaces "
             "between them, as "
             "arguments or piped in; the output of tokenize --json will do.",
    .examples = "  hearth detokenize bard 409,305\n  hearth tokenize bard --json \"To be\" | "
                "hearth detokenize bard",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
