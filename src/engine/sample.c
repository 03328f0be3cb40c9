/* The sampler of a request: the table of ranges, and the order in which things are done to logits.
 */
#include "engine/sample_private.h"

#include "base/limits.h"
#include "base/rng.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranges ---- */

typedef struct range {
    const char *name;
    size_t offset;
    bool is_int;
    double min, max;
} range;

#define RANGE_F(field, lo, hi)                                                                     \
    { #field, offsetof(hearth_params, field), false, lo, hi }
#define RANGE_I(field, lo, hi)                                                                     \
    { #field, offsetof(hearth_params, field), true, lo, hi }

static const range ranges[] = {
    RANGE_I(max_tokens, -1, INT32_MAX),
    RANGE_F(temperature, 0, 100),
    RANGE_I(top_k, 0, INT32_MAX),
    RANGE_F(top_p, 0, 1),
    RANGE_F(min_p, 0, 1),
    RANGE_F(typical_p, 0, 1),
    RANGE_F(xtc_probability, 0, 1),
    RANGE_F(xtc_threshold, 0, 1),
    RANGE_F(repeat_penalty, 0.01, 100),
    RANGE_F(frequency_penalty, -100, 100),
    RANGE_F(presence_penalty, -100, 100),
    RANGE_I(penalty_last_n, -1, LIMIT_CONTEXT),
    RANGE_F(dry_multiplier, 0, 100),
    RANGE_F(dry_base, 1, 100),
    RANGE_I(dry_allowed_length, 1, LIMIT_CONTEXT),
    RANGE_I(dry_last_n, -1, LIMIT_CONTEXT),
    RANGE_F(mirostat_tau, 0, 100),
    RANGE_F(mirostat_eta, 0, 10),
    RANGE_I(n_logprobs, -1, LIMIT_TOP_LOGPROBS),
};

#define BIAS_MAX 1e30f

static double range_value(const range *r, const hearth_params *p) {
    const char *at = (const char *)p + r->offset;
    if (r->is_int) {
        int32_t v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    float v;
    memcpy(&v, at, sizeof v);
    return (double)v;
}

static bool biases_check(const hearth_params *p, int32_t n_vocab, err *e) {
    if (p->n_bias > 0 && !p->bias)
        return err_set(e, ERR_USAGE, "bias is NULL, n_bias %zu", p->n_bias);
    for (size_t i = 0; i < p->n_bias; i++) {
        if (p->bias[i].token < 0 || p->bias[i].token >= n_vocab)
            return err_set(e, ERR_USAGE, "bias: there is no token %d; the vocabulary has 0 to %d",
                           p->bias[i].token, n_vocab - 1);
        float b = p->bias[i].bias;
        if (b != -INFINITY && !(fabsf(b) <= BIAS_MAX))
            return err_set(e, ERR_USAGE,
                           "bias of token %d is %g; it must be -infinity or at most %g either way",
                           p->bias[i].token, (double)b, (double)BIAS_MAX);
    }
    return true;
}

bool sampler_check(const hearth_params *p, int32_t n_vocab, err *e) {
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const range *r = &ranges[i];
        double v = range_value(r, p);
        if (!(v >= r->min - 1e-9 && v <= r->max))
            return err_set(e, ERR_USAGE, "%s is %g; it must lie between %g and %g", r->name, v,
                           r->min, r->max);
    }
    if (p->mirostat != 0 && p->mirostat != 2)
        return err_set(e, ERR_USAGE, "mirostat is %d; it must be 0 (off) or 2", p->mirostat);
    if (p->n_logprobs > n_vocab)
        return err_set(e, ERR_USAGE, "n_logprobs is %d; the vocabulary has %d tokens",
                       p->n_logprobs, n_vocab);
    for (size_t i = 0; p->dry_breakers && p->dry_breakers[i]; i++)
        if (i >= LIMIT_STOP_STRINGS || !p->dry_breakers[i][0] ||
            strlen(p->dry_breakers[i]) > LIMIT_STOP_BYTES)
            return err_set(e, ERR_USAGE, "dry_breakers: at most %d, of 1 to %d bytes",
                           LIMIT_STOP_STRINGS, LIMIT_STOP_BYTES);
    return biases_check(p, n_vocab, e);
}

/* ---- the sampler ---- */

struct sampler {
    hearth_params p; /* numbers only; its pointers are NULL, but bias */
    hearth_bias *bias;
    int32_t n_vocab;
    bool penalties;
    tally tally;
    dry *dry;    /* NULL: off */
    cands cands; /* born at the first draw that needs it */
    double mu;   /* mirostat */
};

sampler *sampler_new(const hearth_params *p, int32_t n_vocab, sampler_piece_fn piece,
                     const void *ud, err *e) {
    sampler *s = calloc(1, sizeof *s);
    if (!s) goto no_memory;
    s->p = *p;
    s->p.prompt = NULL;
    s->p.stop = s->p.dry_breakers = NULL;
    s->p.bias = NULL;
    s->p.owner = NULL;
    s->n_vocab = n_vocab;
    s->mu = 2.0 * (double)p->mirostat_tau;
    s->penalties = p->penalty_last_n != 0 &&
                   (p->repeat_penalty != 1.0f || p->frequency_penalty != 0.0f ||
                    p->presence_penalty != 0.0f);
    if (p->n_bias > 0) {
        s->bias = malloc(p->n_bias * sizeof *s->bias);
        if (!s->bias) goto no_memory;
        memcpy(s->bias, p->bias, p->n_bias * sizeof *s->bias);
    }
    if (p->dry_multiplier > 0.0f && !(s->dry = dry_new(p, n_vocab, piece, ud, e))) {
        sampler_free(s);
        return NULL;
    }
    return s;
no_memory:
    sampler_free(s);
    err_set(e, ERR_FAILED, "out of memory");
    return NULL;
}

void sampler_restart(sampler *s) {
    tally_deinit(&s->tally);
    if (s->dry) dry_restart(s->dry);
    s->mu = 2.0 * (double)s->p.mirostat_tau;
}

void sampler_free(sampler *s) {
    if (!s) return;
    free(s->bias);
    tally_deinit(&s->tally);
    dry_free(s->dry);
    cands_deinit(&s->cands);
    free(s);
}

static bool logits_adjust(sampler *s, float *logits, const int32_t *tokens, int32_t n, err *e) {
    for (size_t i = 0; i < s->p.n_bias; i++) logits[s->bias[i].token] += s->bias[i].bias;
    if (s->penalties) {
        if (!tally_follow(&s->tally, tokens, n, s->p.penalty_last_n))
            return err_set(e, ERR_FAILED, "out of memory");
        tally_penalize(&s->tally, logits, s->p.repeat_penalty, s->p.frequency_penalty,
                       s->p.presence_penalty);
    }
    if (s->dry && !dry_penalize(s->dry, logits, tokens, n))
        return err_set(e, ERR_FAILED, "out of memory");
    return true;
}

/* The largest, the lowest id at a tie. -1 and an error where there is none. */
static int32_t logits_best(const float *logits, int32_t n, int32_t pos, err *e) {
    int32_t best = -1;
    float max = -INFINITY;
    for (int32_t i = 0; i < n; i++) {
        if (logits[i] <= max) continue; /* most of them */
        if (!(logits[i] < INFINITY)) {
            err_set(e, ERR_FAILED, "the logit of token %d at position %d is not a number", i, pos);
            return -1;
        }
        max = logits[i];
        best = i;
    }
    if (best < 0) err_set(e, ERR_FAILED, "every token is banned at position %d", pos);
    return best;
}

static bool cands_ready(sampler *s) {
    if (s->cands.cap > 0 || cands_init(&s->cands, s->n_vocab)) return true;
    cands_deinit(&s->cands);
    s->cands = (cands){0};
    return false;
}

/* Mirostat 2 (Basu et al., 2021): cut what surprises by more than mu, and steer mu to the surprise
 * that is wanted. */
static int32_t draw_mirostat(sampler *s, const float *logits, uint64_t r) {
    cands *c = &s->cands;
    cands_fill(c, logits, s->n_vocab);
    cands_weigh(c, (double)s->p.temperature);
    filter_surprise(c, s->mu);
    int32_t i = cands_pick(c, r);
    double surprise = -log2((double)c->weight[i] / (double)c->total);
    s->mu -= (double)s->p.mirostat_eta * (surprise - (double)s->p.mirostat_tau);
    return c->id[i];
}

static int32_t draw_filtered(sampler *s, const float *logits, uint64_t r, uint64_t r_xtc) {
    const hearth_params *p = &s->p;
    cands *c = &s->cands;
    bool weights = p->typical_p < 1.0f || p->top_p < 1.0f || p->xtc_probability > 0.0f;
    /* Before weighing: exp for 40 instead of 150,000. */
    if (p->top_k > 0 && p->top_k <= s->n_vocab / 32) {
        cands_fill_top(c, logits, s->n_vocab, p->top_k);
    } else {
        cands_fill(c, logits, s->n_vocab);
        filter_top_k(c, p->top_k);
    }
    if (weights) cands_weigh(c, 1.0);
    filter_typical(c, p->typical_p);
    filter_top_p(c, p->top_p);
    filter_min_p(c, p->min_p);
    double dice = (double)(r_xtc >> 11) * 0x1p-53;
    if (p->xtc_probability > 0.0f && dice < (double)p->xtc_probability)
        filter_xtc(c, p->xtc_threshold);
    cands_weigh(c, (double)p->temperature);
    return c->id[cands_pick(c, r)];
}

int32_t sampler_draw(sampler *s, float *logits, const int32_t *tokens, int32_t n, err *e) {
    if (!logits_adjust(s, logits, tokens, n, e)) return -1;
    int32_t best = logits_best(logits, s->n_vocab, n, e);
    if (best < 0 || s->p.temperature == 0.0f) return best;
    if (!cands_ready(s)) {
        err_set(e, ERR_FAILED, "out of memory");
        return -1;
    }
    uint32_t u[4];
    rng_philox(s->p.seed, s->p.choice, (uint64_t)n, u);
    uint64_t r = (uint64_t)u[1] << 32 | u[0], r_xtc = (uint64_t)u[3] << 32 | u[2];
    return s->p.mirostat == 2 ? draw_mirostat(s, logits, r) : draw_filtered(s, logits, r, r_xtc);
}
