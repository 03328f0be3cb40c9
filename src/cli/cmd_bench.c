/* hearth bench: tokens per second, prefill and decode apart.
 *
 * Every repetition is a request like any other: its head and its sampling are in the figures.
 * Prompts are drawn anew, so that nothing can be reused, and the engine is told not to. Prefill
 * is the time from submitting p tokens to the first token of the answer; decode is the time of
 * the n tokens after that.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/rng.h"
#include "cli/commands.h"
#include "cli/direct.h"

enum { MAX_REPETITIONS = 1000 };

typedef struct spread {
    double median, min, max;
} spread;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static spread spread_of(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_size);
    double median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    return (spread){median, v[0], v[n - 1]};
}

static void random_prompt(int32_t *ids, int n, int32_t n_vocab, uint64_t repetition) {
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)(rng_u64(1616, repetition, (uint64_t)i) % (uint64_t)n_vocab);
}

/* One request; seconds to the first token, and for the rest. */
static bool once(hearth_engine *g, const int32_t *ids, int p, int n, double *prefill_s,
                 double *decode_s, err *e) {
    hearth_err he = {0};
    hearth_params q = hearth_params_default();
    q.prompt = ids;
    q.n_prompt = (size_t)p;
    q.max_tokens = n + 1;
    q.ignore_eos = true;
    double t0 = clock_now_s(), t1 = 0, t2 = 0;
    hearth_request *r = hearth_submit(g, &q, &he);
    int got = 0, more = -1;
    hearth_token t;
    while (r && (more = hearth_next(r, &t, &he)) == 1) {
        if (t.id < 0) continue;
        t2 = clock_now_s();
        if (got++ == 0) t1 = t2;
    }
    hearth_request_free(r);
    if (!r || more < 0) {
        err_from_hearth(e, &he);
        return false;
    }
    if (got != n + 1)
        return err_set(e, ERR_FAILED, "the model wrote %d tokens instead of %d", got, n + 1);
    *prefill_s = t1 - t0;
    *decode_s = t2 - t1;
    return true;
}

typedef struct figures {
    spread prefill, decode;
    int threads;
    hearth_model_info info;
    char name[128];
} figures;

typedef struct shape {
    int p, n, r, threads;
} shape;

static bool repeat(hearth_model *m, hearth_engine *g, const shape *s, figures *f, err *e) {
    double prefill[MAX_REPETITIONS], decode[MAX_REPETITIONS];
    int32_t *ids = malloc(sizeof *ids * (size_t)s->p);
    if (!ids) return err_set(e, ERR_FAILED, "out of memory");
    hearth_model_info_get(m, &f->info);
    bool ok = true;
    for (int i = -1; ok && i < s->r; i++) { /* the first one warms up and does not count */
        double a = 0, b = 0;
        random_prompt(ids, s->p, f->info.n_vocab, (uint64_t)(i + 1));
        ok = once(g, ids, s->p, i < 0 && s->n > 4 ? 4 : s->n, &a, &b, e);
        if (i < 0) continue;
        prefill[i] = s->p / a;
        decode[i] = b > 0 ? s->n / b : 0;
    }
    free(ids);
    if (!ok) return false;
    f->prefill = spread_of(prefill, s->r);
    f->decode = spread_of(decode, s->r);
    f->threads = hearth_engine_threads(g);
    snprintf(f->name, sizeof f->name, "%s", f->info.name);
    return true;
}

static bool measure(const models_ref *ref, const shape *s, hearth_kv kv, figures *f, err *e) {
    hearth_err he = {0};
    hearth_engine *g = NULL;
    bool ok = false;
    hearth_model *m = models_open(ref, s->threads, 0, &he);
    if (m) {
        hearth_model_info info;
        hearth_model_info_get(m, &info);
        hearth_engine_options o = {.n_threads = s->threads,
                                   .kv = kv,
                                   .max_requests = 1,
                                   .no_prefix_reuse = true,
                                   .no_speculation = true,
                                   .n_ctx = s->p + s->n + 1};
        if (o.n_ctx <= info.n_ctx_train) {
            g = hearth_engine_new(m, &o, &he);
            if (g) ok = repeat(m, g, s, f, e);
        } else {
            he.code = HEARTH_NO_FIT;
            snprintf(he.msg, sizeof he.msg,
                     "%d prompt and %d further tokens are more than the model's context of %d",
                     s->p, s->n, info.n_ctx_train);
        }
    }
    if (!m || !g) err_from_hearth(e, &he);
    hearth_engine_free(g);
    hearth_model_close(m);
    return ok;
}

/* ---- where the time goes ---- */

enum { MAX_KINDS = 64, CHUNK = 512 };

typedef struct profile {
    const char *name[MAX_KINDS];
    double prefill[MAX_KINDS], decode[MAX_KINDS]; /* seconds */
    int n;
} profile;

static bool profile_run(direct *d, const shape *s, profile *out, err *e) {
    int32_t n_vocab = model_params_of(d->m)->n_vocab;
    int32_t *ids = malloc(sizeof *ids * (size_t)(s->p + s->n));
    float *logits = malloc(sizeof *logits * (size_t)n_vocab);
    bool ok = ids && logits;
    if (!ok) err_set(e, ERR_NO_FIT, "out of memory");
    if (ok) random_prompt(ids, s->p + s->n, n_vocab, 0);
    if (ok) model_exec_profile(d->x, out->name, out->prefill, MAX_KINDS, true);
    for (int at = 0; ok && at < s->p; at += CHUNK) {
        int rows = s->p - at < CHUNK ? s->p - at : CHUNK;
        ok = direct_run(d, ids + at, rows, at, at + rows == s->p ? 1 : 0, logits, e);
    }
    if (ok) out->n = model_exec_profile(d->x, out->name, out->prefill, MAX_KINDS, true);
    for (int i = 0; ok && i < s->n; i++)
        ok = direct_run(d, ids + s->p + i, 1, s->p + i, 1, logits, e);
    if (ok) out->n = model_exec_profile(d->x, out->name, out->decode, MAX_KINDS, true);
    if (out->n > MAX_KINDS) out->n = MAX_KINDS;
    free(ids);
    free(logits);
    return ok;
}

static bool profile_model(const models_ref *ref, const shape *s, kern_kv_type kv, profile *out,
                          err *e) {
    direct d = {0};
    bool ok = direct_open(&d, ref, s->threads, false, e) &&
              direct_pages(&d, s->p + s->n, CHUNK, kv, e) && profile_run(&d, s, out, e);
    direct_close(&d);
    return ok;
}

static void print_profile(const profile *p) {
    double a = 0, b = 0;
    for (int i = 0; i < p->n; i++) a += p->prefill[i], b += p->decode[i];
    out_printf("\n%-16s %12s %7s %12s %7s\n", "step", "prefill ms", "share", "decode ms", "share");
    for (int i = 0; i < p->n; i++)
        out_printf("%-16s %12.2f %6.1f%% %12.2f %6.1f%%\n", p->name[i], 1e3 * p->prefill[i],
                   a > 0 ? 100 * p->prefill[i] / a : 0, 1e3 * p->decode[i],
                   b > 0 ? 100 * p->decode[i] / b : 0);
}

/* ---- printing ---- */

static void json_spread(jsonw *w, const char *key, const spread *s) {
    jsonw_key(w, key);
    jsonw_object(w);
    jsonw_key(w, "median"), jsonw_f64(w, s->median);
    jsonw_key(w, "min"), jsonw_f64(w, s->min);
    jsonw_key(w, "max"), jsonw_f64(w, s->max);
    jsonw_end(w);
}

static void json_profile(jsonw *w, const char *key, const profile *p, const double *seconds) {
    jsonw_key(w, key);
    jsonw_object(w);
    for (int i = 0; i < p->n; i++) jsonw_key(w, p->name[i]), jsonw_f64(w, seconds[i]);
    jsonw_end(w);
}

static void print_json(const figures *f, const shape *s, const profile *p) {
    buf b;
    buf_init(&b, 1 << 16);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(f->name));
    jsonw_key(&w, "kernels"), jsonw_str(&w, str_of(kern_get()->name));
    jsonw_key(&w, "threads"), jsonw_int(&w, f->threads);
    jsonw_key(&w, "prompt_tokens"), jsonw_int(&w, s->p);
    jsonw_key(&w, "decode_tokens"), jsonw_int(&w, s->n);
    jsonw_key(&w, "repetitions"), jsonw_int(&w, s->r);
    json_spread(&w, "prefill_tokens_per_s", &f->prefill);
    json_spread(&w, "decode_tokens_per_s", &f->decode);
    if (p->n > 0) {
        json_profile(&w, "prefill_seconds_by_step", p, p->prefill);
        json_profile(&w, "decode_seconds_by_step", p, p->decode);
    }
    jsonw_end(&w);
    buf_putc(&b, '\n');
    out_buf(&b);
    buf_deinit(&b);
}

static void print(const figures *f, const shape *s, const profile *p) {
    out_printf("%s: %s kernels, %d threads, median (min to max) of %d\n", f->name, kern_get()->name,
               f->threads, s->r);
    out_printf("prefill %6d tokens  %10.1f tokens/s  (%.1f to %.1f)\n", s->p, f->prefill.median,
               f->prefill.min, f->prefill.max);
    out_printf("decode  %6d tokens  %10.1f tokens/s  (%.1f to %.1f)\n", s->n, f->decode.median,
               f->decode.min, f->decode.max);
    if (p->n > 0) print_profile(p);
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref ref;
    figures f = {0};
    profile p = {0};
    shape s = {(int)cli_int(a, "p", 512), (int)cli_int(a, "n", 128), (int)cli_int(a, "r", 5),
               (int)cli_int(a, "threads", 0)};
    const char *kv = cli_text(a, "kv", "f16");
    kern_kv_type inner = kv_type_named(kv);
    hearth_kv outer = inner == KERN_KV_Q8    ? HEARTH_KV_Q8
                      : inner == KERN_KV_F32 ? HEARTH_KV_F32
                                             : HEARTH_KV_F16;
    bool ok = models_find(&ref, a->arg[0], &e) && measure(&ref, &s, outer, &f, &e);
    if (ok && cli_flag(a, "profile")) ok = profile_model(&ref, &s, inner, &p, &e);
    if (!ok) return cli_fail(&e);
    if (cli_flag(a, "json")) print_json(&f, &s, &p);
    else print(&f, &s, &p);
    return ERR_NONE;
}

static const cli_option options[] = {
    {"prompt", 'p', CLI_INT, "N", "tokens of the prompt (default 512)", 1, 1 << 20},
    {"tokens", 'n', CLI_INT, "N", "tokens to decode after the first (default 128)", 1, 1 << 20},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {"repeat", 'r', CLI_INT, "N", "repetitions (default 5)", 1, MAX_REPETITIONS},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache (default f16)", 0, 0},
    {"profile", 0, CLI_FLAG, NULL, "also where the time goes, by kind of step", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_bench = {
    .name = "bench",
    .summary = "tokens per second on this machine",
    .args = "MODEL",
    .about = "Measures prefill and decode apart: median, smallest and largest of the repetitions. "
             "The output matrix "
             "and the sampling are included; nothing is reused between repetitions and nothing is "
             "guessed ahead.",
    .examples = "  hearth bench bard\n  hearth bench model.gguf -p 512 -n 128 -t 2 -r 5 --json",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
