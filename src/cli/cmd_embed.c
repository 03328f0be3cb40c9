/* hearth embed: texts to vectors. */
#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/direct.h"
#include "cli/input.h"
#include "cli/models.h"
#include "hearth.h"
#include "hub/beside.h"

/* Texts to embed: the arguments, or the lines of a file or of what is piped in. */
typedef struct texts {
    buf bytes;
    hearth_input *in;
    size_t n, cap;
} texts;

static bool text_add(texts *t, const char *p, size_t n, err *e) {
    if (t->n == LIMIT_TEXTS)
        return err_set(e, ERR_USAGE, "embed: more than %d texts at a time", LIMIT_TEXTS);
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 16;
        hearth_input *in = realloc(t->in, cap * sizeof *in);
        if (!in) return err_set(e, ERR_NO_FIT, "out of memory");
        t->in = in;
        t->cap = cap;
    }
    t->in[t->n++] = (hearth_input){.text = p, .n_text = n};
    return true;
}

static bool lines_add(texts *t, err *e) {
    const char *p = t->bytes.data, *end = p + t->bytes.len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        if (n > 0 && !text_add(t, p, n, e)) return false;
        p += n + 1;
    }
    return t->n > 0 || err_set(e, ERR_USAGE, "embed: there is no text");
}

static bool texts_read(const cli_args *a, texts *t, err *e) {
    const char *file = cli_text(a, "file", NULL);
    if (file && a->n_args > 1)
        return err_set(e, ERR_USAGE, "embed: either TEXT or --file, not both");
    for (int i = 1; i < a->n_args; i++)
        if (!text_add(t, a->arg[i], strlen(a->arg[i]), e)) return false;
    if (t->n > 0) return true;
    if (!file && in_is_terminal())
        return err_set(e, ERR_USAGE, "embed: no text: give TEXT or --file, or pipe it in");
    return (file ? input_file(&t->bytes, file, e) : input_stdin(&t->bytes, e)) && lines_add(t, e);
}

static void put(const float *vec, size_t n, int32_t dim, bool json) {
    buf line;
    buf_init(&line, SIZE_MAX / 4);
    for (size_t i = 0; i < n && !out_broken(); i++) {
        buf_clear(&line);
        if (json) buf_puts(&line, i ? ",[" : "[[");
        for (int32_t k = 0; k < dim; k++)
            buf_printf(&line, "%s%.9g", k ? json ? "," : " " : "",
                       (double)vec[i * (size_t)dim + (size_t)k]);
        buf_puts(&line, json ? "]" : "\n");
        out_buf(&line);
    }
    if (json) out_puts("]\n");
    buf_deinit(&line);
}

static hearth_pooling pooling_of(const char *name) {
    static const char *const names[] = {"model", "mean", "cls", "last"};
    for (int i = 1; i < 4; i++)
        if (strcmp(name, names[i]) == 0) return (hearth_pooling)i;
    return HEARTH_POOL_NONE;
}

static bool embed(const cli_args *a, const texts *t, err *e) {
    models_ref ref;
    hearth_err he = {0};
    if (!models_find(&ref, a->arg[0], e)) return false;
    int threads = (int)cli_int(a, "threads", 0);
    hearth_lora_use *lora = NULL;
    size_t n_lora = 0;
    ref.n_adapters = 0; /* they are opened here */
    hearth_model *m = models_open(&ref, threads, 0, false, &he);
    hearth_engine_options o = {.n_threads = threads};
    if (m && !hub_loras_of(m, ref.name, NULL, &lora, &n_lora, e))
        return hearth_model_close(m), false;
    hearth_engine *g = m ? hearth_engine_new(m, &o, &he) : NULL;
    hearth_embed_params p = {.raw = cli_flag(a, "raw"),
                             .truncate = cli_flag(a, "truncate"),
                             .lora = lora,
                             .n_lora = n_lora,
                             .pooling = pooling_of(cli_text(a, "pooling", "model"))};
    float *vec = NULL;
    int32_t dim;
    bool ok = g && hearth_embed(g, t->in, t->n, &p, &vec, &dim, NULL, &he);
    if (ok) put(vec, t->n, dim, cli_flag(a, "json"));
    else err_from_hearth(e, &he);
    hearth_free(vec);
    hearth_engine_free(g);
    hub_loras_close(lora, n_lora);
    hearth_model_close(m);
    return ok;
}

static int run(const cli_args *a) {
    err e = {0};
    texts t = {0};
    buf_init(&t.bytes, LIMIT_TEXT_BYTES);
    bool ok = texts_read(a, &t, &e) && embed(a, &t, &e);
    int code = ok ? ERR_NONE : cli_fail(&e);
    buf_deinit(&t.bytes);
    free(t.in);
    return code;
}

static const cli_option options[] = {
    {"file", 'f', CLI_FILE, "FILE", "one text a line from FILE; - is stdin", 0, 0},
    {"pooling", 0, CLI_CHOICE, "model|mean|cls|last",
     "how the states of a text's tokens become one vector", 0, 0},
    {"raw", 0, CLI_FLAG, NULL, "vectors as they come, not of length 1", 0, 0},
    {"truncate", 0, CLI_FLAG, NULL, "a text that is too long loses its end", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads that compute", 1, 256},
    {"json", 0, CLI_FLAG, NULL, "print one JSON array of vectors and nothing else", 0, 0},
    {0},
};

const cli_command cmd_embed = {
    .name = "embed",
    .summary = "texts to vectors",
    .args = "MODEL [TEXT...]",
    .about =
        "Prints one vector a line for each TEXT, or for each line of a file (--file) or of what "
        "is piped in. Models made for it (bert, nomic-bert, qwen3 embedding) say themselves how "
        "a text is summed up; any other model gives the state of its last token.",
    .examples = "  hearth embed nomic.gguf \"search_query: what is hearth?\"\n  hearth embed "
                "bge.gguf --file notes.txt --json",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
