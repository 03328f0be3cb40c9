/* Hearth as a library, whole: open a model file, complete a text, say what it cost.
 *
 *     hello MODEL.gguf [PROMPT]
 */
#include <stdio.h>
#include <string.h>

#include "hearth.h"

static int fail(const hearth_err *e) {
    fprintf(stderr, "hello: %s\n", e->msg);
    return e->code;
}

static int complete(hearth_model *m, hearth_engine *g, const char *prompt, hearth_err *e) {
    int32_t *ids;
    size_t n;
    if (!hearth_tokenize(m, prompt, strlen(prompt), HEARTH_TOK_BOS, &ids, &n, e)) return fail(e);
    hearth_params p = hearth_params_default();
    p.prompt = ids;
    p.n_prompt = n;
    p.max_tokens = 48;
    p.seed = 1616;
    hearth_request *r = hearth_submit(g, &p, e);
    hearth_free(ids);
    if (!r) return fail(e);

    hearth_token t;
    int got;
    fputs(prompt, stdout);
    while ((got = hearth_next(r, &t, e)) == 1) {
        fwrite(t.text, 1, t.text_len, stdout);
        fflush(stdout);
    }
    putchar('\n');
    hearth_usage u;
    hearth_request_usage(r, &u);
    hearth_request_free(r);
    if (got < 0) return fail(e);
    fprintf(stderr, "%d tokens read in %.3f s, %d written in %.3f s\n", u.n_prompt, u.prefill_s,
            u.n_generated, u.decode_s);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: hello MODEL.gguf [PROMPT]\n");
        return HEARTH_USAGE;
    }
    hearth_err e = {0};
    hearth_model *m = hearth_model_open(argv[1], NULL, &e);
    if (!m) return fail(&e);
    hearth_engine *g = hearth_engine_new(m, NULL, &e);
    int code = g ? complete(m, g, argc > 2 ? argv[2] : "Now is the winter of our discontent", &e)
                 : fail(&e);
    hearth_engine_free(g);
    hearth_model_close(m);
    return code;
}
