/* Samplers against slow versions that sort everything, their edges, and what is drawn in the
 * long run. */
#include "support/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/rng.h"
#include "engine/sample.h"

#define MAX_VOCAB 3000

/* ---- the slow sampler ---- */

typedef struct cand {
    int32_t id;
    float logit, key;
    uint64_t weight;
} cand;

typedef struct slow {
    cand c[MAX_VOCAB];
    int32_t n;
    double mu;
} slow;

static int by_key(const void *a, const void *b) {
    const cand *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->id - y->id;
}

static int by_id(const void *a, const void *b) {
    return ((const cand *)a)->id - ((const cand *)b)->id;
}

static void sort_likeliest(slow *s) {
    for (int32_t i = 0; i < s->n; i++) s->c[i].key = -s->c[i].logit;
    qsort(s->c, (size_t)s->n, sizeof *s->c, by_key);
}

static void weigh(slow *s, double t) {
    double max = -INFINITY;
    for (int32_t i = 0; i < s->n; i++) max = fmax(max, (double)s->c[i].logit);
    for (int32_t i = 0; i < s->n; i++) {
        double x = ((double)s->c[i].logit - max) / t;
        s->c[i].weight = x < -28 ? 0 : (uint64_t)(exp(x) * 0x1p40);
    }
}

static uint64_t total(const slow *s) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < s->n; i++) sum += s->c[i].weight;
    return sum;
}

/* Of a sorted list the first that reach the share p. */
static void keep_share(slow *s, float p) {
    double want = ceil((double)p * (double)total(s));
    uint64_t sum = 0;
    int32_t n = 0;
    while (n < s->n && (n == 0 || (double)sum < want)) sum += s->c[n++].weight;
    s->n = n;
}

static void slow_typical(slow *s, float p) {
    double sum = (double)total(s), entropy = 0;
    qsort(s->c, (size_t)s->n, sizeof *s->c, by_id);
    for (int32_t i = 0; i < s->n; i++)
        if (s->c[i].weight)
            entropy -= (double)s->c[i].weight / sum * log((double)s->c[i].weight / sum);
    for (int32_t i = 0; i < s->n; i++)
        s->c[i].key = s->c[i].weight ? (float)fabs(-log((double)s->c[i].weight / sum) - entropy)
                                     : INFINITY;
    qsort(s->c, (size_t)s->n, sizeof *s->c, by_key);
    keep_share(s, p);
}

static void slow_xtc(slow *s, float threshold) {
    sort_likeliest(s);
    double least = (double)threshold * (double)total(s);
    int32_t above = 0;
    while (above < s->n && (double)s->c[above].weight >= least) above++;
    if (above < 2) return;
    memmove(s->c, s->c + above - 1, (size_t)(s->n - above + 1) * sizeof *s->c);
    s->n -= above - 1;
}

static int32_t slow_pick(slow *s, uint64_t r, uint64_t *weight) {
    qsort(s->c, (size_t)s->n, sizeof *s->c, by_id);
    unsigned __int128 at = (unsigned __int128)r * total(s) >> 64, sum = 0;
    for (int32_t i = 0; i < s->n; i++) {
        sum += s->c[i].weight;
        if (sum > at) {
            *weight = s->c[i].weight;
            return s->c[i].id;
        }
    }
    return -1;
}

/* Token texts of the DRY tests: ids 0..3 hold breakers, or halves of one. */
static str piece(const void *ud, int32_t id) {
    (void)ud;
    static const char *const special[] = {"\n", "a:b", "<", "br>"};
    static char word[16];
    if (id < 4) return str_of(special[id]);
    snprintf(word, sizeof word, " w%d", id);
    return str_of(word);
}

/* True when a breaker's text ends within token at. */
static bool breaks_at(const hearth_params *p, const int32_t *tokens, int32_t at) {
    static const char *const usual[] = {"\n", ":", "\"", "*", NULL};
    const char *const *list = p->dry_breakers ? p->dry_breakers : usual;
    char whole[1 << 16];
    size_t before = 0, n = 0;
    for (int32_t i = 0; i <= at; i++) {
        str s = piece(NULL, tokens[i]);
        before = n;
        memcpy(whole + n, s.p, s.n);
        n += s.n;
    }
    for (size_t end = before + 1; end <= n; end++)
        for (size_t b = 0; list[b]; b++) {
            size_t len = strlen(list[b]);
            if (len <= end && memcmp(whole + end - len, list[b], len) == 0) return true;
        }
    return false;
}

static void slow_dry(const hearth_params *p, float *logits, const int32_t *t, int32_t n,
                     int32_t n_vocab) {
    int32_t first = p->dry_last_n < 0 || p->dry_last_n > n ? 0 : n - p->dry_last_n, reach = 0;
    while (reach < n && !breaks_at(p, t, n - 1 - reach)) reach++;
    int32_t *best = calloc((size_t)n_vocab, sizeof *best);
    for (int32_t next = first + 1; next < n; next++) {
        int32_t len = 0;
        while (len < reach && next - 1 - len >= first && t[next - 1 - len] == t[n - 1 - len]) len++;
        if (len >= p->dry_allowed_length && len > best[t[next]]) best[t[next]] = len;
    }
    for (int32_t i = 0; i < n_vocab; i++)
        if (best[i])
            logits[i] -= (float)((double)p->dry_multiplier *
                                 pow((double)p->dry_base,
                                     (double)(best[i] - p->dry_allowed_length)));
    free(best);
}

static void slow_penalties(const hearth_params *p, float *logits, const int32_t *t, int32_t n,
                           int32_t n_vocab) {
    int32_t first = p->penalty_last_n < 0 || p->penalty_last_n > n ? 0 : n - p->penalty_last_n;
    for (int32_t id = 0; id < n_vocab; id++) {
        int32_t count = 0;
        for (int32_t i = first; i < n; i++) count += t[i] == id;
        if (count == 0) continue;
        logits[id] = logits[id] > 0 ? logits[id] / p->repeat_penalty
                                    : logits[id] * p->repeat_penalty;
        logits[id] -= (float)count * p->frequency_penalty + p->presence_penalty;
    }
}

static int32_t slow_draw(slow *s, const hearth_params *p, float *logits, int32_t n_vocab,
                         const int32_t *t, int32_t n) {
    for (size_t i = 0; i < p->n_bias; i++) logits[p->bias[i].token] += p->bias[i].bias;
    slow_penalties(p, logits, t, n, n_vocab);
    if (p->dry_multiplier > 0) slow_dry(p, logits, t, n, n_vocab);
    s->n = 0;
    for (int32_t i = 0; i < n_vocab; i++)
        if (logits[i] != -INFINITY) s->c[s->n++] = (cand){i, logits[i], 0, 0};
    sort_likeliest(s);
    if (p->temperature == 0) return s->c[0].id;
    uint32_t u[4];
    rng_philox(p->seed, p->choice, (uint64_t)n, u);
    uint64_t r = (uint64_t)u[1] << 32 | u[0], r_xtc = (uint64_t)u[3] << 32 | u[2], weight = 0;
    if (p->mirostat == 2) {
        weigh(s, (double)p->temperature);
        double sum = (double)total(s);
        int32_t keep = 1;
        while (keep < s->n && (double)s->c[keep].weight >= exp2(-s->mu) * sum) keep++;
        s->n = keep;
        int32_t id = slow_pick(s, r, &weight);
        double surprise = -log2((double)weight / (double)total(s));
        s->mu -= (double)p->mirostat_eta * (surprise - (double)p->mirostat_tau);
        return id;
    }
    if (p->top_k > 0 && p->top_k < s->n) s->n = p->top_k;
    weigh(s, 1);
    if (p->typical_p < 1) slow_typical(s, p->typical_p);
    sort_likeliest(s);
    if (p->top_p < 1) keep_share(s, p->top_p);
    while (p->min_p > 0 &&
           (double)s->c[s->n - 1].logit < (double)s->c[0].logit + log((double)p->min_p))
        s->n--;
    if ((double)(r_xtc >> 11) * 0x1p-53 < (double)p->xtc_probability) slow_xtc(s, p->xtc_threshold);
    weigh(s, (double)p->temperature);
    return slow_pick(s, r, &weight);
}

/* ---- comparing ---- */

static hearth_params plain(void) {
    hearth_params p = hearth_params_default();
    p.temperature = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.min_p = 0;
    return p;
}

static float normal(uint64_t seed, uint64_t i) {
    double u = rng_f64(seed, 1, i), v = rng_f64(seed, 2, i);
    return (float)(sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v));
}

/* Random logits; every other seed makes many of them equal. */
static void fill(float *logits, int32_t n, uint64_t seed) {
    for (int32_t i = 0; i < n; i++) {
        logits[i] = 4 * normal(seed, (uint64_t)i);
        if (seed & 1) logits[i] = rintf(logits[i]);
    }
}

/* A history over few tokens, so that it repeats. */
static void history(int32_t *t, int32_t n, uint64_t seed) {
    for (int32_t i = 0; i < n; i++) t[i] = (int32_t)(rng_u64(seed, 3, (uint64_t)i) % 7);
    for (int32_t i = n / 2; i < n; i++)
        if (i % 11) t[i] = t[i - n / 2];
}

static void compare(const char *what, const hearth_params *p0, int32_t n_vocab) {
    static float a[MAX_VOCAB], b[MAX_VOCAB];
    static slow s;
    static int32_t t[400];
    hearth_params p = *p0;
    err e = {0};
    if (!sampler_check(&p, n_vocab, &e)) fail_msg("%s: %s", what, e.msg);
    uint64_t seeds = n_vocab > 1000 ? 4 : 12;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        p.seed = seed;
        p.choice = seed % 3;
        sampler *fast = sampler_new(&p, n_vocab, piece, NULL, &e);
        assert_non_null(fast);
        s.mu = 2 * (double)p.mirostat_tau;
        history(t, 400, seed);
        for (int32_t n = 370; n < 400; n++) {
            fill(a, n_vocab, seed * 1000 + (uint64_t)n);
            memcpy(b, a, sizeof b);
            int32_t x = sampler_draw(fast, a, t, n, &e), y = slow_draw(&s, &p, b, n_vocab, t, n);
            if (x != y)
                fail_msg("%s, %d tokens, seed %d, position %d: %d, slow %d", what, n_vocab,
                         (int)seed, n, x, y);
        }
        sampler_free(fast);
    }
}

#define EACH(what, setting)                                                                        \
    do {                                                                                           \
        hearth_params p = plain();                                                                 \
        setting;                                                                                   \
        compare(what, &p, 1);                                                                      \
        compare(what, &p, 2);                                                                      \
        compare(what, &p, 37);                                                                     \
        compare(what, &p, 2999);                                                                   \
    } while (0)

static void filters_agree_with_slow_ones(void **state) {
    (void)state;
    EACH("nothing", p.temperature = 1);
    EACH("greedy", p.temperature = 0);
    EACH("temperature", p.temperature = 0.7f);
    EACH("hot", p.temperature = 3);
    EACH("cold", p.temperature = 1e-6f);
    EACH("top_k", p.top_k = 5);
    EACH("top_k of many", p.top_k = 1000);
    EACH("top_k of more than there are", p.top_k = INT32_MAX);
    EACH("top_p", p.top_p = 0.9f);
    EACH("top_p 0", p.top_p = 0);
    EACH("top_p small", p.top_p = 1e-4f);
    EACH("min_p", p.min_p = 0.1f);
    EACH("min_p 1", p.min_p = 1);
    EACH("typical", p.typical_p = 0.5f);
    EACH("typical 0", p.typical_p = 0);
    EACH("xtc", (p.xtc_probability = 0.5f, p.xtc_threshold = 0.02f));
    EACH("xtc always", (p.xtc_probability = 1, p.xtc_threshold = 0));
    EACH("all", (p.temperature = 0.8f, p.top_k = 40, p.typical_p = 0.95f, p.top_p = 0.9f,
                 p.min_p = 0.05f, p.xtc_probability = 0.5f));
    EACH("mirostat", (p.mirostat = 2, p.mirostat_tau = 3));
    EACH("mirostat low",
         (p.mirostat = 2, p.mirostat_tau = 0.5f, p.mirostat_eta = 0.5f, p.temperature = 0.9f));
}

static void penalties_agree_with_slow_ones(void **state) {
    (void)state;
    static const int32_t looks[] = {-1, 0, 1, 5, 64, 380};
    static const char *const breakers[] = {"<br>", "w5 w6", NULL};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        hearth_params p = plain();
        p.repeat_penalty = 1.3f;
        p.frequency_penalty = 0.2f;
        p.presence_penalty = -0.4f;
        p.penalty_last_n = looks[i];
        p.top_k = 20;
        compare("penalties", &p, 37);
        p = plain();
        p.temperature = 0;
        p.dry_multiplier = 0.8f;
        p.dry_last_n = looks[i];
        compare("dry", &p, 37);
        p.dry_allowed_length = 1;
        p.dry_breakers = breakers;
        compare("dry with breakers", &p, 37);
    }
}

static void bias_adds_and_bans(void **state) {
    (void)state;
    hearth_bias bias[] = {{3, 2}, {3, 1.5f}, {4, -INFINITY}, {0, -3}};
    hearth_params p = plain();
    p.bias = bias;
    p.n_bias = 4;
    compare("bias", &p, 37);
    float logits[5] = {0, 0, 0, 0, 50};
    err e = {0};
    p.temperature = 0;
    sampler *s = sampler_new(&p, 5, NULL, NULL, &e);
    int32_t one = 1;
    assert_int_equal(sampler_draw(s, logits, &one, 1, &e), 3);
    sampler_free(s);
}

static int32_t draw_once(const hearth_params *p, float *logits, int32_t n, err *e) {
    int32_t t[2] = {0, 0};
    sampler *s = sampler_new(p, n, NULL, NULL, e);
    int32_t id = sampler_draw(s, logits, t, 2, e);
    sampler_free(s);
    return id;
}

static void ties_go_to_the_lower_id(void **state) {
    (void)state;
    hearth_params p = plain();
    err e = {0};
    float same[300];
    for (int i = 0; i < 300; i++) same[i] = i % 2 ? 0.0f : -0.0f;
    p.temperature = 0;
    assert_int_equal(draw_once(&p, same, 300, &e), 0);
    p.temperature = 1;
    for (p.seed = 0; p.seed < 200; p.seed++) {
        p.top_k = 3;
        p.top_p = 1;
        assert_in_range(draw_once(&p, same, 300, &e), 0, 2);
        p.top_k = 0;
        p.top_p = 0.01f; /* 3 of 300 */
        assert_in_range(draw_once(&p, same, 300, &e), 0, 2);
    }
}

static void what_cannot_be_drawn_is_an_error(void **state) {
    (void)state;
    hearth_params p = plain();
    hearth_bias ban[] = {{0, -INFINITY}, {1, -INFINITY}, {2, -INFINITY}};
    for (int greedy = 0; greedy < 2; greedy++) {
        p = plain();
        p.temperature = greedy ? 0.0f : 1.0f;
        for (int at = 0; at < 3; at++) {
            err e = {0};
            float bad[3] = {1, 2, 3}, infinite[3] = {1, 2, 3};
            bad[at] = NAN;
            infinite[at] = INFINITY;
            assert_int_equal(draw_once(&p, bad, 3, &e), -1);
            assert_non_null(strstr(e.msg, "not a number"));
            assert_int_equal(draw_once(&p, infinite, 3, &e), -1);
        }
        err e = {0};
        float logits[3] = {1, 2, 3};
        p.bias = ban;
        p.n_bias = 3;
        assert_int_equal(draw_once(&p, logits, 3, &e), -1);
        assert_non_null(strstr(e.msg, "every token is banned"));
        p.n_bias = 2;
        float left[3] = {1, 2, -90};
        assert_int_equal(draw_once(&p, left, 3, &e), 2);
    }
}

#define REFUSED(word, setting)                                                                     \
    do {                                                                                           \
        hearth_params p = hearth_params_default();                                                 \
        err e = {0};                                                                               \
        setting;                                                                                   \
        assert_false(sampler_check(&p, 100, &e));                                                  \
        assert_int_equal(e.code, ERR_USAGE);                                                       \
        if (!strstr(e.msg, word)) fail_msg("\"%s\" does not name %s", e.msg, word);                \
    } while (0)

static void values_out_of_range_are_refused(void **state) {
    (void)state;
    hearth_bias outside[] = {{100, 1}}, odd[] = {{1, NAN}}, large[] = {{1, INFINITY}};
    const char *const empty[] = {"", NULL};
    REFUSED("temperature", p.temperature = -0.1f);
    REFUSED("temperature", p.temperature = NAN);
    REFUSED("temperature", p.temperature = INFINITY);
    REFUSED("top_k", p.top_k = -1);
    REFUSED("top_p", p.top_p = 1.01f);
    REFUSED("min_p", p.min_p = -1);
    REFUSED("typical_p", p.typical_p = 2);
    REFUSED("xtc_probability", p.xtc_probability = 1.5f);
    REFUSED("xtc_threshold", p.xtc_threshold = -1);
    REFUSED("repeat_penalty", p.repeat_penalty = 0);
    REFUSED("frequency_penalty", p.frequency_penalty = NAN);
    REFUSED("presence_penalty", p.presence_penalty = 1e9f);
    REFUSED("penalty_last_n", p.penalty_last_n = -2);
    REFUSED("dry_multiplier", p.dry_multiplier = -1);
    REFUSED("dry_base", p.dry_base = 0.5f);
    REFUSED("dry_allowed_length", p.dry_allowed_length = 0);
    REFUSED("dry_last_n", p.dry_last_n = -2);
    REFUSED("dry_breakers", p.dry_breakers = empty);
    REFUSED("mirostat", p.mirostat = 1);
    REFUSED("mirostat_tau", p.mirostat_tau = -1);
    REFUSED("mirostat_eta", p.mirostat_eta = 11);
    REFUSED("max_tokens", p.max_tokens = -2);
    REFUSED("n_logprobs", p.n_logprobs = LIMIT_TOP_LOGPROBS + 1);
    REFUSED("n_logprobs", p.n_logprobs = 101); /* of 100 tokens */
    REFUSED("token 100", (p.bias = outside, p.n_bias = 1));
    REFUSED("bias", (p.bias = odd, p.n_bias = 1));
    REFUSED("bias", (p.bias = large, p.n_bias = 1));
    hearth_params p = hearth_params_default();
    err e = {0};
    assert_true(sampler_check(&p, 100, &e));
}

/* Pearson's statistic of 40,000 draws against the softmax; 5 sigma of its distribution. */
static void draws_follow_the_distribution(void **state) {
    (void)state;
    enum { N = 30, DRAWS = 40000 };
    float logits[N], copy[N];
    int32_t count[N] = {0}, zero[2] = {0};
    fill(logits, N, 2);
    for (int i = 0; i < N; i++) logits[i] /= 3;
    hearth_params p = plain();
    p.temperature = 0.8f;
    err e = {0};
    double sum = 0, chi2 = 0;
    for (int i = 0; i < N; i++) sum += exp((double)logits[i] / 0.8);
    for (p.seed = 0; p.seed < 4; p.seed++)
        for (p.choice = 0; p.choice < DRAWS / 4; p.choice++) {
            sampler *s = sampler_new(&p, N, NULL, NULL, &e);
            memcpy(copy, logits, sizeof copy);
            count[sampler_draw(s, copy, zero, 2, &e)]++;
            sampler_free(s);
        }
    for (int i = 0; i < N; i++) {
        double expected = DRAWS * exp((double)logits[i] / 0.8) / sum;
        chi2 += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    }
    if (chi2 > N - 1 + 5 * sqrt(2.0 * (N - 1))) fail_msg("chi-square is %g for %d values", chi2, N);
}

static void seeds_choices_and_positions_differ(void **state) {
    (void)state;
    enum { N = 2000 };
    static float flat[N];
    static int32_t t[64];
    hearth_params p = plain();
    err e = {0};
    int32_t first = draw_once(&p, flat, N, &e), same = 0;
    assert_int_equal(draw_once(&p, flat, N, &e), first);
    for (int i = 1; i <= 20; i++) {
        p = plain();
        p.seed = (uint64_t)i;
        same += draw_once(&p, flat, N, &e) == first;
        p.seed = 0;
        p.choice = (uint64_t)i;
        same += draw_once(&p, flat, N, &e) == first;
        p.choice = 0;
        sampler *s = sampler_new(&p, N, NULL, NULL, &e);
        same += sampler_draw(s, flat, t, 2 + i, &e) == first;
        sampler_free(s);
    }
    assert_in_range(same, 0, 2);
}

static void logprobs_are_those_of_the_raw_logits(void **state) {
    (void)state;
    static float logits[MAX_VOCAB];
    for (uint64_t seed = 0; seed < 6; seed++) {
        int32_t n = seed < 3 ? 50 : MAX_VOCAB;
        fill(logits, n, seed);
        double sum = 0;
        for (int32_t i = 0; i < n; i++) sum += exp((double)logits[i]);
        hearth_logprob top[20];
        float chosen;
        assert_true(sample_logprobs(logits, n, 7, &chosen, top, 20));
        assert_true(fabs((double)chosen - ((double)logits[7] - log(sum))) < 1e-5);
        for (int k = 0; k < 20; k++) {
            int32_t above = 0; /* how many go before it */
            for (int32_t i = 0; i < n; i++)
                above += logits[i] > logits[top[k].token] ||
                         (logits[i] == logits[top[k].token] && i < top[k].token);
            assert_int_equal(above, k);
            assert_true(fabs((double)top[k].logprob - ((double)logits[top[k].token] - log(sum))) <
                        1e-5);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_agree_with_slow_ones),
        cmocka_unit_test(penalties_agree_with_slow_ones),
        cmocka_unit_test(bias_adds_and_bans),
        cmocka_unit_test(ties_go_to_the_lower_id),
        cmocka_unit_test(what_cannot_be_drawn_is_an_error),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(seeds_choices_and_positions_differ),
        cmocka_unit_test(logprobs_are_those_of_the_raw_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
