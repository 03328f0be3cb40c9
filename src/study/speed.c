#include "study/speed.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/data.h"

#define PROMPT 512
#define TOKENS 64

static bool one(hearth_engine *g, const int32_t *ids, const speed *s, hearth_usage *u,
                hearth_err *e) {
    hearth_params p = hearth_params_default();
    p.prompt = ids;
    p.n_prompt = (size_t)s->prompt;
    p.max_tokens = s->tokens;
    p.temperature = 0;
    p.ignore_eos = true;
    hearth_request *r = hearth_submit(g, &p, e);
    if (!r) return false;
    hearth_token t;
    int got;
    while ((got = hearth_next(r, &t, e)) == 1) continue;
    hearth_request_usage(r, u);
    hearth_request_free(r);
    return got == 0;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool runs(hearth_engine *g, const int32_t *ids, speed *s, hearth_err *e) {
    double prefill[SPEED_RUNS], decode[SPEED_RUNS];
    for (int i = -1; i < SPEED_RUNS; i++) { /* the first warms up */
        hearth_usage u;
        if (!one(g, ids + (i + 1) * s->prompt, s, &u, e)) return false;
        if (i < 0) continue;
        prefill[i] = u.prefill_s > 0 ? u.n_prompt / u.prefill_s : 0;
        decode[i] = u.decode_s > 0 ? (u.n_generated - 1) / u.decode_s : 0;
    }
    qsort(prefill, SPEED_RUNS, sizeof *prefill, by_size);
    qsort(decode, SPEED_RUNS, sizeof *decode, by_size);
    s->prefill_tps = prefill[SPEED_RUNS / 2];
    s->decode_tps = decode[SPEED_RUNS / 2];
    return true;
}

bool speed_measure(hearth_model *m, speed *out, hearth_err *e) {
    const data_file *f = data_find("shakespeare/hamlet.txt");
    int32_t *ids = NULL;
    size_t n = 0;
    bool ok = false;
    if (!f) {
        e->code = HEARTH_NOT_FOUND;
        snprintf(e->msg, sizeof e->msg, "there is no text built into this program to measure with");
        return false;
    }
    hearth_engine *g = hearth_engine_new(m, &(hearth_engine_options){.no_prefix_reuse = true}, e);
    if (!g) return false;
    int32_t half = hearth_engine_ctx(g) / 2;
    *out = (speed){.prompt = half < PROMPT ? half : PROMPT,
                   .tokens = half < TOKENS ? half : TOKENS};
    if (!hearth_tokenize(m, data_text(f).p, data_text(f).n, 0, &ids, &n, e)) goto out;
    ok = runs(g, ids, out, e); /* Hamlet is longer than four prompts in any vocabulary */
out:
    hearth_free(ids);
    hearth_engine_free(g);
    return ok;
}
