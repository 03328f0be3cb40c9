#include "engine/pace.h"

#define RATE_FIRST 0.6
#define RATE_STEP 0.08
#define REST_FIRST 32
#define REST_LAST 1024
#define PROBE 2       /* guesses after a rest */
#define WORTH 1.02    /* less is not worth the trouble */
#define SHARE_FIRST 8 /* who guesses is a good deal smaller than this part, or it does not pay */

/* Tokens expected of a step with k guesses, of which each is right with probability p. */
static double expected(double p, int k) {
    double sum = 1, right = 1;
    for (int i = 0; i < k; i++) sum += right *= p;
    return sum;
}

void pace_begin(pace *p, double rate) {
    *p = (pace){.rate = rate, .rest = REST_FIRST, .began = true};
}

int32_t pace_most(pace *p, double each_s, int32_t n, int32_t most, const cost *target) {
    if (n < p->rest_until) return 0;
    if (!p->began) pace_begin(p, RATE_FIRST);
    cost_shape shape = {.rows = 1, .context = n, .draws = 1};
    double one = cost_of(target, &shape), best = WORTH / one;
    double each = each_s > 0 ? each_s : one / SHARE_FIRST;
    int32_t best_k = 0;
    for (int32_t k = 1; k <= most; k++) {
        shape = (cost_shape){.rows = 1 + k, .context = (double)n * (1 + k), .draws = 1 + k};
        double speed = expected(p->rate, k) / (cost_of(target, &shape) + k * each);
        if (!(speed > best)) continue;
        best = speed;
        best_k = k;
    }
    if (best_k > 0) return best_k;
    bool rested = p->rest_until > 0;
    p->rest_until = n + p->rest;
    if (p->rest < REST_LAST) p->rest *= 2;
    return rested && most >= PROBE ? PROBE : 0;
}

void pace_learn(pace *p, int32_t n_tried, int32_t n_right) {
    for (int32_t i = 0; i < n_tried && i <= n_right; i++)
        p->rate += RATE_STEP * ((i < n_right ? 1.0 : 0.0) - p->rate);
    if (n_right == n_tried && n_tried > 0) p->rest = REST_FIRST;
}
