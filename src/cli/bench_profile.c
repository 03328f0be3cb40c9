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

/* Tokens [from, to) of a sequence whose pages d->first_page says, CHUNK at a time; the logits of
 * the last one when `wants`. */
static bool read_tokens(direct *d, const int32_t *ids, int32_t from, int32_t to, bool wants,
                        float *logits, err *e) {
    for (int32_t rows; from < to; from += rows) {
        rows = to - from < CHUNK ? to - from : CHUNK;
        if (!direct_run(d, ids + from, rows, from, wants && from + rows == to, logits, e))
            return false;
    }
    return true;
}

/* ids: [sequences][n]. A sequence has `each` pages. */
static bool run(direct *d, const bench_shape *s, const int32_t *ids, int32_t n, int32_t each,
                float *logits, int32_t *token, bench_profile *p, err *e) {
    size_t n_vocab = (size_t)model_params_of(d->m)->n_vocab;
    double unused[BENCH_MAX_KINDS];
    model_exec_profile(d->x, p->name, unused, BENCH_MAX_KINDS, true);
    double t0 = clock_now_s();
    if (!read_tokens(d, ids, 0, s->prompt, true, logits, e)) return false;
    p->prefill_s = clock_now_s() - t0;
    take(d, p, p->prefill, p->prefill_s);
    /* The context of decoding: what is missing is filled, what is too much is written over. */
    for (int i = 0; i < s->sequences; i++) {
        const int32_t *own = ids + (size_t)i * (size_t)n;
        d->first_page = i * each;
        if (!read_tokens(d, own, i ? 0 : s->prompt, s->context, false, logits, e)) return false;
        token[i] = own[0];
    }
    model_exec_profile(d->x, p->name, unused, BENCH_MAX_KINDS, true);
    t0 = clock_now_s();
    for (int32_t step = 0; step < s->tokens; step++) {
        if (!direct_step(d, token, s->sequences, s->context + step, each, logits, e)) return false;
        for (int i = 0; i < s->sequences; i++)
            token[i] = (int32_t)kern_get()->argmax(logits + (size_t)i * n_vocab, (int64_t)n_vocab);
    }
    p->decode_s = clock_now_s() - t0;
    take(d, p, p->decode, p->decode_s);
    return true;
}

bool bench_profile_run(const models_ref *r, const bench_shape *s, bench_profile *out, err *e) {
    direct d = {0};
    int32_t n = s->prompt > s->context ? s->prompt : s->context;
    int32_t each = (n + s->tokens + KERN_PAGE - 1) / KERN_PAGE;
    size_t n_seqs = (size_t)s->sequences;
    *out = (bench_profile){0};
    if (!direct_open(&d, r, s->threads, false, e)) return false;
    int32_t n_vocab = model_params_of(d.m)->n_vocab;
    int32_t *ids = malloc(sizeof *ids * n_seqs * (size_t)n), *token = calloc(n_seqs, sizeof *token);
    float *logits = malloc(sizeof *logits * n_seqs * (size_t)n_vocab);
    bool ok = (ids && token && logits) || err_set(e, ERR_NO_FIT, "out of memory");
    for (int i = 0; ok && i < s->sequences; i++)
        bench_random_ids(ids + (size_t)i * (size_t)n, n, n_vocab, (uint64_t)i);
    ok = ok && direct_pages(&d, s->sequences * each * KERN_PAGE, CHUNK, s->kv, e) &&
         run(&d, s, ids, n, each, logits, token, out, e);
    free(ids);
    free(token);
    free(logits);
    direct_close(&d);
    return ok;
}

/* ---- printing ---- */

static double per(double seconds, int tokens) {
    return tokens > 0 ? 1e3 * seconds / tokens : 0;
}

static double share(double seconds, double whole) {
    return whole > 0 ? 100 * seconds / whole : 0;
}

static void print_row(const char *name, double a, double b, const bench_profile *p,
                      const bench_shape *s) {
    out_printf("%-16s %12.4f %6.1f%% %12.4f %6.1f%%", name, per(a, s->prompt),
               share(a, p->prefill_s), per(b, s->tokens), share(b, p->decode_s));
    if (s->sequences > 1) out_printf(" %12.4f", per(b, s->tokens * s->sequences));
    out_puts("\n");
}

void bench_profile_print(const bench_profile *p, const bench_shape *s) {
    bool several = s->sequences > 1;
    out_printf("\none more run: a prompt of %d tokens; then %d steps of decoding, of %d %s\n",
               s->prompt, s->tokens, s->sequences,
               several ? "sequences with a token each" : "token each");
    out_printf("%-16s %12s %7s %12s %7s", "ms", "prefill", "share", "decode", "share");
    out_puts(several ? "       decode\n" : "\n");
    out_printf("%-16s %12s %7s %12s %7s", "", "a token", "", several ? "a step" : "a token", "");
    out_puts(several ? "      a token\n" : "\n");
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
