#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

/* The dimension that turns `turns` times over the original context. */
static double yarn_dim(const plan_rope *p, double turns) {
    return p->n_rot * log(p->ctx_orig / (turns * 2 * M_PI)) / (2 * log(p->base));
}

/* Share of the unscaled frequency at pair i: 1 for fast dimensions, 0 for slow ones, a ramp
 * between. */
static double yarn_keep(const plan_rope *p, int i) {
    double low = yarn_dim(p, p->beta_fast), high = yarn_dim(p, p->beta_slow);
    if (p->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    if (low < 0) low = 0;
    if (high > p->n_rot - 1) high = p->n_rot - 1;
    if (high == low) high += 0.001;
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return (1 - ramp) * p->ext;
}

bool rope_init(rope *r, const plan_rope *p, const float *factors, err *e) {
    *r = (rope){.n_rot = p->n_rot, .neox = p->neox, .magnitude = p->magnitude};
    r->freq = malloc(((size_t)p->n_rot / 2 + 1) * sizeof *r->freq);
    if (!r->freq) return err_set(e, ERR_NO_FIT, "no memory for rope frequencies");
    for (int i = 0; i < p->n_rot / 2; i++) {
        double f = pow(p->base, -2.0 * i / p->n_rot);
        if (factors) {
            if (!(fabs((double)factors[i]) >= 1e-9 && fabs((double)factors[i]) <= 1e9))
                return err_set(e, ERR_DAMAGED, "rope factor %d is %g", i, (double)factors[i]);
            f /= (double)factors[i];
        }
        if (p->scaling == ROPE_LINEAR) f /= p->factor;
        if (p->scaling == ROPE_YARN) {
            double keep = yarn_keep(p, i);
            f = f / p->factor * (1 - keep) + f * keep;
        }
        r->freq[i] = f;
    }
    return true;
}

void rope_deinit(rope *r) {
    free(r->freq);
    r->freq = NULL;
}

void rope_table(const rope *r, int32_t pos, float *cos_out, float *sin_out) {
    for (int i = 0; i < r->n_rot / 2; i++) {
        double s, c;
        sincos((double)pos * r->freq[i], &s, &c);
        cos_out[i] = (float)(c * r->magnitude);
        sin_out[i] = (float)(s * r->magnitude);
    }
}
