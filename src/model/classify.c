/* The head that some files add to judge a text: cls and cls.output. Small, computed once a text. */
#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "model/model_private.h"
#include "quant/quant.h"

/* The tensor's floats, n_in x n_out; NULL with e unset when it is absent. */
static float *tensor_load(const gguf *g, const char *name, int64_t n_in, int64_t n_out, err *e) {
    const gguf_tensor *t = gguf_tensor_find(g, name);
    if (!t) return NULL;
    const quant_info *q = quant_info_of(t->type);
    if (t->ne[0] != (uint64_t)n_in || t->ne[1] != (uint64_t)n_out || t->ne[2] != 1 ||
        t->ne[3] != 1 || !q || !q->dequantize || n_in % q->block || !t->data) {
        err_set(e, ERR_DAMAGED, "%s: tensor %s is not %lld x %lld numbers", gguf_path(g), name,
                (long long)n_in, (long long)n_out);
        return NULL;
    }
    float *x = malloc((size_t)n_in * (size_t)n_out * sizeof *x);
    if (x) q->dequantize(t->data, x, n_in * n_out);
    else err_set(e, ERR_NO_FIT, "%s: no memory for its classifier", gguf_path(g));
    return x;
}

bool classifier_load(classifier *c, const gguf *g, int32_t n_embd, err *e) {
    err inner = {0};
    const gguf_tensor *out = gguf_tensor_find(g, "cls.output.weight");
    if (!out) return true;
    if (out->ne[1] < 1 || out->ne[1] > LIMIT_SCORES)
        return err_set(e, ERR_DAMAGED,
                       "%s: tensor cls.output.weight has %llu outputs; it may have "
                       "1 to %d",
                       gguf_path(g), (unsigned long long)out->ne[1], LIMIT_SCORES);
    c->n_scores = (int32_t)out->ne[1];
    c->out = tensor_load(g, "cls.output.weight", n_embd, c->n_scores, &inner);
    c->out_bias = tensor_load(g, "cls.output.bias", c->n_scores, 1, &inner);
    c->dense = tensor_load(g, "cls.weight", n_embd, n_embd, &inner);
    if (c->dense) c->dense_bias = tensor_load(g, "cls.bias", n_embd, 1, &inner);
    if (inner.code == ERR_NONE) return true;
    if (e) *e = inner;
    return false;
}

void classifier_deinit(classifier *c) {
    free(c->dense);
    free(c->dense_bias);
    free(c->out);
    free(c->out_bias);
    *c = (classifier){0};
}

int model_n_scores(const model *m) {
    return m->cls.n_scores;
}

static double product(const float *w, const float *x, int64_t n, const float *bias, int64_t i) {
    double sum = bias ? (double)bias[i] : 0;
    for (int64_t k = 0; k < n; k++) sum += (double)w[i * n + k] * (double)x[k];
    return sum;
}

void model_classify(const model *m, const float *hidden, float *scores) {
    const classifier *c = &m->cls;
    int64_t n = m->p.pub.n_embd;
    double total[LIMIT_SCORES] = {0};
    for (int64_t k = 0; k < n; k++) {
        double h = c->dense ? tanh(product(c->dense, hidden, n, c->dense_bias, k)) : hidden[k];
        for (int32_t i = 0; i < c->n_scores; i++) total[i] += (double)c->out[i * n + k] * h;
    }
    for (int32_t i = 0; i < c->n_scores; i++)
        scores[i] = (float)(total[i] + (c->out_bias ? (double)c->out_bias[i] : 0));
}
