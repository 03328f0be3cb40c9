#include "model/params.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "model/arch/arch.h"

typedef enum { KEY_INT, KEY_FLOAT, KEY_DOUBLE, KEY_PER_LAYER } key_kind;

/* One hyper-parameter: where it goes, what it may be. A key that is absent gets `fallback`, unless
 * it is required. Ranges are those of base/limits.h where a size follows from the value. */
typedef struct key_rule {
    const char *key; /* after "<arch>." */
    key_kind kind;
    size_t offset; /* in params */
    double min, max;
    bool required;
    double fallback;
} key_rule;

#define AT(member) offsetof(params, member)

/* The order matters once: block_count comes before the keys that may be arrays over layers. */
static const key_rule rules[] = {
    {"context_length", KEY_INT, AT(pub.n_ctx), 1, LIMIT_CONTEXT, true, 0},
    {"embedding_length", KEY_INT, AT(pub.n_embd), 1, LIMIT_EMBD, true, 0},
    {"block_count", KEY_INT, AT(pub.n_layer), 1, LIMIT_LAYERS, true, 0},
    {"feed_forward_length", KEY_PER_LAYER, AT(n_ff), 0, LIMIT_FF, false, 0},
    {"attention.head_count", KEY_PER_LAYER, AT(n_head), 1, LIMIT_HEADS, true, 0},
    {"attention.head_count_kv", KEY_PER_LAYER, AT(n_head_kv), 1, LIMIT_HEADS, false, PARAM_ABSENT},
    {"attention.key_length", KEY_INT, AT(pub.head_dim_k), 1, LIMIT_HEAD_DIM, false, PARAM_ABSENT},
    {"attention.value_length", KEY_INT, AT(pub.head_dim_v), 1, LIMIT_HEAD_DIM, false, PARAM_ABSENT},
    {"attention.layer_norm_rms_epsilon", KEY_FLOAT, AT(eps), 0, 0.1, false, PARAM_ABSENT},
    {"attention.layer_norm_epsilon", KEY_FLOAT, AT(eps_layer), 0, 0.1, false, PARAM_ABSENT},
    {"pooling_type", KEY_INT, AT(pooling), 0, MODEL_POOL_RANK, false, PARAM_ABSENT},
    {"attention.sliding_window", KEY_INT, AT(window), 0, INT32_MAX, false, PARAM_ABSENT},
    {"attention.sliding_window_pattern", KEY_INT, AT(window_pattern), 1, LIMIT_LAYERS, false,
     PARAM_ABSENT},
    {"attention.scale", KEY_FLOAT, AT(attn_scale), 0, 1e6, false, PARAM_ABSENT},
    {"attn_logit_softcapping", KEY_FLOAT, AT(attn_softcap), 0, 1e6, false, PARAM_ABSENT},
    {"final_logit_softcapping", KEY_FLOAT, AT(final_softcap), 0, 1e6, false, PARAM_ABSENT},
    {"embedding_scale", KEY_FLOAT, AT(embd_scale), 1e-6, 1e6, false, PARAM_ABSENT},
    {"logit_scale", KEY_FLOAT, AT(logit_scale), 1e-6, 1e6, false, PARAM_ABSENT},
    {"no_rope_layer_interval", KEY_INT, AT(no_rope_interval), 0, LIMIT_LAYERS, false, PARAM_ABSENT},
    {"expert_count", KEY_INT, AT(n_expert), 0, LIMIT_EXPERTS, false, 0},
    {"expert_used_count", KEY_INT, AT(n_expert_used), 0, LIMIT_EXPERTS, false, 0},
    {"expert_feed_forward_length", KEY_INT, AT(n_ff_expert), 0, LIMIT_FF, false, 0},
    {"expert_shared_count", KEY_INT, AT(n_expert_shared), 0, LIMIT_EXPERTS, false, 0},
    {"expert_group_count", KEY_INT, AT(n_expert_group), 0, LIMIT_EXPERTS, false, 0},
    {"leading_dense_block_count", KEY_INT, AT(n_dense_lead), 0, LIMIT_LAYERS, false, 0},
    {"expert_gating_func", KEY_INT, AT(expert_gate), 0, 255, false, PARAM_ABSENT},
    {"expert_weights_norm", KEY_INT, AT(expert_norm), 0, 1, false, PARAM_ABSENT},
    {"expert_weights_scale", KEY_FLOAT, AT(expert_scale), 1e-6, 1e6, false, 1},
    {"nextn_predict_layers", KEY_INT, AT(n_nextn), 0, LIMIT_LAYERS, false, 0},
    {"rope.dimension_count", KEY_INT, AT(pub.n_rot), 0, LIMIT_HEAD_DIM, false, PARAM_ABSENT},
    {"rope.freq_base", KEY_DOUBLE, AT(rope_base), 1, 1e12, false, 10000},
    {"rope.freq_base_swa", KEY_DOUBLE, AT(rope_base_local), 1, 1e12, false, PARAM_ABSENT},
    {"rope.scaling.factor", KEY_DOUBLE, AT(rope_factor), 0, 1e6, false, PARAM_ABSENT},
    {"rope.scaling.attn_factor", KEY_DOUBLE, AT(rope_attn_factor), 0, 1e6, false, PARAM_ABSENT},
    {"rope.scaling.original_context_length", KEY_INT, AT(rope_ctx_orig), 1, LIMIT_CONTEXT, false,
     PARAM_ABSENT},
    {"rope.scaling.yarn_ext_factor", KEY_DOUBLE, AT(yarn_ext), -1, 1e6, false, PARAM_ABSENT},
    {"rope.scaling.yarn_attn_factor", KEY_DOUBLE, AT(yarn_attn), -1, 1e6, false, PARAM_ABSENT},
    {"rope.scaling.yarn_beta_fast", KEY_DOUBLE, AT(yarn_beta_fast), -1, 1e6, false, PARAM_ABSENT},
    {"rope.scaling.yarn_beta_slow", KEY_DOUBLE, AT(yarn_beta_slow), -1, 1e6, false, PARAM_ABSENT},
};

#undef AT

static const gguf_kv *key_find(const params *p, const char *key, char *full, size_t cap) {
    snprintf(full, cap, "%s.%s", p->pub.arch, key);
    return gguf_find(p->g, full);
}

bool params_fail(const params *p, const char *key, err *e, const char *fmt, ...) {
    char full[160], what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const gguf_kv *kv = key_find(p, key, full, sizeof full);
    if (!kv) return err_set(e, ERR_DAMAGED, "%s: %s %s", gguf_path(p->g), full, what);
    return err_set(e, ERR_DAMAGED, "%s: byte %llu: %s %s", gguf_path(p->g),
                   (unsigned long long)kv->offset, full, what);
}

static bool range_check(const params *p, const key_rule *r, double v, err *e) {
    if (v >= r->min && v <= r->max) return true; /* false for NaN */
    return params_fail(p, r->key, e, "is %.9g; it must lie in %.9g .. %.9g", v, r->min, r->max);
}

static void store(params *p, const key_rule *r, double v) {
    char *at = (char *)p + r->offset;
    switch (r->kind) {
    case KEY_INT: *(int32_t *)(void *)at = (int32_t)v; break;
    case KEY_FLOAT: *(float *)(void *)at = (float)v; break;
    case KEY_DOUBLE: *(double *)(void *)at = v; break;
    case KEY_PER_LAYER:
        for (int i = 0; i < p->pub.n_layer; i++) ((int32_t *)(void *)at)[i] = (int32_t)v;
        break;
    }
}

/* An array with one value a layer, as files with unequal layers have. */
static bool per_layer_read(params *p, const key_rule *r, const gguf_kv *kv, err *e) {
    if (kv->n < (uint64_t)p->pub.n_layer)
        return params_fail(p, r->key, e, "has %llu values for %d layers", (unsigned long long)kv->n,
                           p->pub.n_layer);
    int32_t *dst = (int32_t *)(void *)((char *)p + r->offset);
    for (int i = 0; i < p->pub.n_layer; i++) {
        int64_t v;
        if (!gguf_item_i64(kv, (uint64_t)i, &v))
            return params_fail(p, r->key, e, "is an array of something that is no integer");
        if (!range_check(p, r, (double)v, e)) return false;
        dst[i] = (int32_t)v;
    }
    return true;
}

static bool rule_apply(params *p, const key_rule *r, err *e) {
    char full[160];
    const gguf_kv *kv = key_find(p, r->key, full, sizeof full);
    if (!kv) {
        if (r->required) return params_fail(p, r->key, e, "is missing");
        store(p, r, r->fallback);
        return true;
    }
    if (kv->type == GGUF_ARRAY && r->kind == KEY_PER_LAYER) return per_layer_read(p, r, kv, e);
    /* An array of one flag a layer; only the period form is used here. */
    if (kv->type == GGUF_ARRAY && r->offset == offsetof(params, window_pattern)) {
        store(p, r, r->fallback);
        return true;
    }
    double v;
    int64_t i;
    if (r->kind == KEY_INT || r->kind == KEY_PER_LAYER) {
        if (!gguf_get_i64(p->g, full, &i)) return params_fail(p, r->key, e, "is no integer");
        v = (double)i;
    } else if (!gguf_get_f64(p->g, full, &v)) {
        return params_fail(p, r->key, e, "is no number");
    }
    if (!range_check(p, r, v, e)) return false;
    store(p, r, v);
    return true;
}

static bool scaling_read(params *p, err *e) {
    char full[160];
    str s;
    p->scaling = ROPE_PLAIN;
    if (!key_find(p, "rope.scaling.type", full, sizeof full)) {
        double v; /* files of 2023 */
        if (key_find(p, "rope.scale_linear", full, sizeof full) && gguf_get_f64(p->g, full, &v)) {
            if (!(v > 0 && v <= 1e6))
                return params_fail(p, "rope.scale_linear", e, "is %.9g; it must lie above 0", v);
            p->scaling = ROPE_LINEAR;
            p->rope_factor = v;
        }
        return true;
    }
    if (!gguf_get_str(p->g, full, &s))
        return params_fail(p, "rope.scaling.type", e, "is no string");
    if (str_eq(s, STR("linear"))) p->scaling = ROPE_LINEAR;
    else if (str_eq(s, STR("yarn"))) p->scaling = ROPE_YARN;
    else if (str_eq(s, STR("longrope"))) p->scaling = ROPE_LONG;
    else if (!str_eq(s, STR("none")) && s.n) {
        char name[64];
        return params_fail(p, "rope.scaling.type", e,
                           "is \"%s\"; known: none, linear, yarn, longrope",
                           str_printable(s, name, sizeof name));
    }
    if ((p->scaling == ROPE_LINEAR || p->scaling == ROPE_YARN) && p->rope_factor <= 0)
        return params_fail(p, "rope.scaling.factor", e,
                           p->rope_factor == PARAM_ABSENT ? "is missing" : "is 0");
    return true;
}

/* The smallest multiple of a panel that the kernels take; both are kern.h's limits. */
static bool head_dim_check(const params *p, const char *key, int32_t dim, err *e) {
    if (dim >= 16 && dim <= 512 && dim % 16 == 0) return true;
    return params_fail(p, key, e, "gives heads of %d; a head is a multiple of 16, at most 512",
                       dim);
}

static bool heads_check(params *p, err *e) {
    model_params *m = &p->pub;
    for (int i = 0; i < m->n_layer; i++) {
        if (p->n_head_kv[i] == PARAM_ABSENT) p->n_head_kv[i] = p->n_head[i];
        if (p->n_head[i] % p->n_head_kv[i])
            return params_fail(p, "attention.head_count_kv", e,
                               "is %d, which does not divide %d heads", p->n_head_kv[i],
                               p->n_head[i]);
    }
    m->n_head = p->n_head[0];
    m->n_head_kv = p->n_head_kv[0];
    m->n_ff = p->n_ff[0];
    if (m->head_dim_k == PARAM_ABSENT) {
        if (m->n_embd % m->n_head)
            return params_fail(p, "attention.head_count", e,
                               "is %d, which does not divide a width of %d", m->n_head, m->n_embd);
        m->head_dim_k = m->n_embd / m->n_head;
    }
    if (m->head_dim_v == PARAM_ABSENT)
        m->head_dim_v = m->n_embd % m->n_head == 0 ? m->n_embd / m->n_head : m->head_dim_k;
    if (!head_dim_check(p, "attention.key_length", m->head_dim_k, e) ||
        !head_dim_check(p, "attention.value_length", m->head_dim_v, e))
        return false;
    if (m->n_rot == PARAM_ABSENT) m->n_rot = m->head_dim_k;
    if (m->n_rot > m->head_dim_k || m->n_rot % 2)
        return params_fail(p, "rope.dimension_count", e, "is %d; it must be even and at most %d",
                           m->n_rot, m->head_dim_k);
    return true;
}

static bool experts_check(params *p, err *e) {
    p->pub.n_expert = p->n_expert;
    p->pub.n_expert_used = p->n_expert_used;
    if (p->n_expert == 0) return true;
    if (p->n_expert_used < 1 || p->n_expert_used > p->n_expert)
        return params_fail(p, "expert_used_count", e, "is %d of %d experts", p->n_expert_used,
                           p->n_expert);
    if (p->n_ff_expert == 0) p->n_ff_expert = p->n_ff[0];
    if (p->n_ff_expert == 0) return params_fail(p, "expert_feed_forward_length", e, "is missing");
    p->pub.n_ff_expert = p->n_ff_expert;
    return true;
}

/* block_count includes layers that take no part in what the model says. */
static bool nextn_check(params *p, err *e) {
    if (p->n_nextn >= p->pub.n_layer)
        return params_fail(p, "nextn_predict_layers", e, "is %d of %d layers", p->n_nextn,
                           p->pub.n_layer);
    p->pub.n_layer -= p->n_nextn;
    return true;
}

/* Rows of the embedding are the vocabulary; a tokenizer with more tokens than rows cannot be. */
static bool vocab_check(params *p, err *e) {
    const gguf_tensor *t = gguf_tensor_find(p->g, "token_embd.weight");
    if (!t)
        return err_set(e, ERR_DAMAGED,
                       "%s: tensor token_embd.weight is missing: this file has no weights",
                       gguf_path(p->g));
    if (t->ne[1] < 1 || t->ne[1] > LIMIT_VOCAB)
        return err_set(e, ERR_DAMAGED,
                       "%s: token_embd.weight has %llu rows; a vocabulary has 1 .. %d",
                       gguf_path(p->g), (unsigned long long)t->ne[1], LIMIT_VOCAB);
    p->pub.n_vocab = (int32_t)t->ne[1];
    const gguf_kv *kv = gguf_find(p->g, "tokenizer.ggml.tokens");
    if (kv && kv->type == GGUF_ARRAY && kv->n > t->ne[1])
        return err_set(e, ERR_DAMAGED,
                       "%s: byte %llu: tokenizer.ggml.tokens has %llu tokens, "
                       "token_embd.weight has %llu rows",
                       gguf_path(p->g), (unsigned long long)kv->offset, (unsigned long long)kv->n,
                       (unsigned long long)t->ne[1]);
    return true;
}

/* Every architecture has one kind of norm, and needs the key of that one. */
static bool norms_check(params *p, err *e) {
    bool layer = arch_find(str_of(p->pub.arch))->encoder;
    if (layer) p->eps = p->eps_layer;
    if (p->eps >= 0) return true;
    return params_fail(p,
                       layer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                       e, "is missing");
}

static void name_read(params *p) {
    str s;
    model_params *m = &p->pub;
    if (gguf_get_str(p->g, "general.name", &s) && s.n) {
        str_printable(s, m->name, sizeof m->name);
        return;
    }
    const char *path = gguf_path(p->g), *slash = strrchr(path, '/');
    s = str_of(slash ? slash + 1 : path);
    if (str_ends(s, STR(".gguf"))) s.n -= 5;
    str_printable(s, m->name, sizeof m->name);
}

static bool arch_read(params *p, err *e) {
    str s;
    if (!gguf_get_str(p->g, "general.architecture", &s))
        return err_set(e, ERR_DAMAGED, "%s: general.architecture is missing", gguf_path(p->g));
    str_printable(s, p->pub.arch, sizeof p->pub.arch);
    if (arch_find(s)) return true;
    const char *instead;
    if (model_arch_refused(s, &instead))
        return model_arch_refuse(gguf_path(p->g), p->pub.arch, instead, e);
    char list[256];
    size_t n = 0;
    for (const char *const *a = model_arch_names(); *a && n < sizeof list; a++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", *a);
    return err_set(e, ERR_FAILED, "%s: architecture \"%s\" is not known; known: %s",
                   gguf_path(p->g), p->pub.arch, list);
}

bool params_read(params *p, const gguf *g, err *e) {
    memset(p, 0, sizeof *p);
    p->g = g;
    if (!arch_read(p, e)) return false;
    name_read(p);
    p->pub.file_bytes = gguf_file_bytes(g);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        p->pub.n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rule_apply(p, &rules[i], e)) return false;
    return norms_check(p, e) && heads_check(p, e) && experts_check(p, e) && scaling_read(p, e) &&
           nextn_check(p, e) && vocab_check(p, e);
}
