/* Where the time of a forward pass goes: by kind of step, waiting for the other threads, and the
 * rest, which together are the whole. */
#include <stdlib.h>

#include "base/clock.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/direct.h"

enum { CHUNK = 512 };

static double sum_of(const double *v, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += v[i];
    return sum;
}

/* Reads the executor's table and adds what it does not know: the time outside it. */
static void take(direct *d, bench_profile *p, double *seconds, double whole) {
    int n = model_exec_profile(d->x, p->name, seconds, BENCH_MAX_KINDS - 1, true);
    p->n = n < BENCH_MAX_KINDS - 1 ? n : BENCH_MAX_KINDS - 1;
    p->name[p->n] = "other";
    seconds[p->n] = whole - sum_of(seconds, p->n);
    p->n++;
}

static bool run(direct *d, const bench_shape *s, const int32_t *ids, float *logits,
                bench_profile *p, err *e) {
    int32_t at = 0, n_vocab = model_params_of(d->m)->n_vocab, fill = s->prompt;
    if (s->context > fill) fill = s->context;
    model_exec_profile(d->x, p->name, p->prefill, BENCH_MAX_KINDS, true);
    double t0 = clock_now_s();
    for (int rows; at < s->prompt; at += rows) {
        rows = s->prompt - at < CHUNK ? s->prompt - at : CHUNK;
        if (!direct_run(d, ids + at, rows, at, at + rows == s->prompt, logits, e)) return false;
    }
    p->prefill_s = clock_now_s() - t0;
    take(d, p, p->prefill, p->prefill_s);
    /* The context of decoding: what is missing is filled, what is too much is written over. */
    for (int rows; at < s->context; at += rows) {
        rows = fill - at < CHUNK ? fill - at : CHUNK;
        if (!direct_run(d, ids + at, rows, at, 0, logits, e)) return false;
    }
    double unused[BENCH_MAX_KINDS];
    model_exec_profile(d->x, p->name, unused, BENCH_MAX_KINDS, true);
    int32_t token = ids[0];
    t0 = clock_now_s();
    for (int i = 0; i < s->tokens; i++) {
        if (!direct_run(d, &token, 1, s->context + i, 1, logits, e)) return false;
        token = (int32_t)kern_get()->argmax(logits, n_vocab);
    }
    p->decode_s = clock_now_s() - t0;
    take(d, p, p->decode, p->decode_s);
    return true;
}

bool bench_profile_run(const models_ref *r, const bench_shape *s, bench_profile *out, err *e) {
    direct d = {0};
    int n = s->prompt > s->context ? s->prompt : s->context;
    *out = (bench_profile){0};
    if (!direct_open(&d, r, s->threads, false, e)) return false;
    int32_t n_vocab = model_params_of(d.m)->n_vocab;
    int32_t *ids = malloc(sizeof *ids * (size_t)n);
    float *logits = malloc(sizeof *logits * (size_t)n_vocab);
    bool ok = (ids && logits) || err_set(e, ERR_NO_FIT, "out of memory");
    if (ok) bench_random_ids(ids, n, n_vocab, 0);
    ok = ok && direct_pages(&d, n + s->tokens, CHUNK, s->kv, e) && run(&d, s, ids, logits, out, e);
    free(ids);
    free(logits);
    direct_close(&d);
    return ok;
}

/* ---- printing ---- */

static double per(double seconds, int tokens) {
    return tokens > 0 ? 1e3 * seconds / tokens : 0;
}

static void print_row(const char *name, double a, double b, const bench_profile *p,
                      const bench_shape *s) {
    out_printf("%-16s %12.4f %6.1f%% %12.4f %6.1f%%\n", name, per(a, s->prompt),
               p->prefill_s > 0 ? 100 * a / p->prefill_s : 0, per(b, s->tokens),
               p->decode_s > 0 ? 100 * b / p->decode_s : 0);
}

void bench_profile_print(const bench_profile *p, const bench_shape *s) {
    out_printf("\n%-16s %12s %7s %12s %7s\n", "ms a token", "prefill", "share", "decode", "share");
    for (int i = 0; i < p->n; i++)
        if (p->prefill[i] != 0 || p->decode[i] != 0)
            print_row(p->name[i], p->prefill[i], p->decode[i], p, s);
    print_row("all", p->prefill_s, p->decode_s, p, s);
}

static void json_half(jsonw *w, const char *key, const bench_profile *p, const double *seconds,
                      double whole) {
    jsonw_key(w, key);
    jsonw_object(w);
    for (int i = 0; i < p->n; i++) jsonw_key(w, p->name[i]), jsonw_f64(w, seconds[i]);
    jsonw_key(w, "all"), jsonw_f64(w, whole);
    jsonw_end(w);
}

void bench_profile_json(jsonw *w, const bench_profile *p) {
    json_half(w, "prefill_seconds_by_step", p, p->prefill, p->prefill_s);
    json_half(w, "decode_seconds_by_step", p, p->decode, p->decode_s);
}
