/* The mixtures, as a table: for a mixture and a part of the model, the first rule that applies. */
#include "hub/mix.h"

#include <strings.h>

#include "base/buf.h"
#include "quant/quant.h"

/* In the order in which help lists them. */
const mix mix_all[] = {
    {"F16", QUANT_F16, 1},        {"BF16", QUANT_BF16, 32},   {"Q8_0", QUANT_Q8_0, 7},
    {"Q6_K", QUANT_Q6_K, 18},     {"Q5_K_M", QUANT_Q5_K, 17}, {"Q5_K_S", QUANT_Q5_K, 16},
    {"Q4_K_M", QUANT_Q4_K, 15},   {"Q4_K_S", QUANT_Q4_K, 14}, {"Q4_0", QUANT_Q4_0, 2},
    {"Q4_1", QUANT_Q4_1, 3},      {"Q5_0", QUANT_Q5_0, 8},    {"Q5_1", QUANT_Q5_1, 9},
    {"Q3_K_M", QUANT_Q3_K, 12},   {"Q2_K", QUANT_Q2_K, 10},   {"IQ4_NL", QUANT_IQ4_NL, 25},
    {"IQ4_XS", QUANT_IQ4_XS, 30}, {"MXFP4", QUANT_MXFP4, 38}, {0},
};

typedef enum part {
    PART_OTHER,
    PART_OUTPUT, /* output.weight, or the token embedding where it serves as one */
    PART_V,
    PART_K,
    PART_QKV, /* the three as one matrix */
    PART_ATTN_OUT,
    PART_DOWN,
} part;

typedef enum where {
    EVERYWHERE,
    ENDS, /* first and last eighth, every third layer between */
    FIRST_2,
    FIRST_4,
    FIRST_8TH,
    FIRST_16TH,
    SHARED_4,  /* four or more query heads read one head of values: it is small */
    SHARED_8,  /* eight, in a model of 80 layers */
    EXPERTS_8, /* a model of eight experts: what they share is small beside them */
} where;

typedef struct rule {
    const char *mix;
    part part;
    where where;
    uint32_t type;
} rule;

static const rule rules[] = {
    /* eight experts */
    {"*", PART_V, EXPERTS_8, QUANT_Q8_0},
    {"*", PART_K, EXPERTS_8, QUANT_Q8_0},
    {"Q2_K", PART_ATTN_OUT, EXPERTS_8, QUANT_Q5_K},
    {"Q3_K_M", PART_ATTN_OUT, EXPERTS_8, QUANT_Q5_K},
    {"Q4_K_S", PART_ATTN_OUT, EXPERTS_8, QUANT_Q5_K},
    {"Q4_K_M", PART_ATTN_OUT, EXPERTS_8, QUANT_Q5_K},
    {"IQ4_NL", PART_ATTN_OUT, EXPERTS_8, QUANT_Q5_K},
    {"IQ4_XS", PART_ATTN_OUT, EXPERTS_8, QUANT_Q5_K},
    /* values */
    {"Q5_K_M", PART_V, ENDS, QUANT_Q6_K},
    {"Q4_K_M", PART_V, ENDS, QUANT_Q6_K},
    {"Q4_K_M", PART_V, SHARED_8, QUANT_Q5_K},
    {"Q4_K_S", PART_V, FIRST_4, QUANT_Q5_K},
    {"Q4_K_S", PART_V, SHARED_8, QUANT_Q5_K},
    {"Q3_K_M", PART_V, FIRST_2, QUANT_Q5_K},
    {"Q3_K_M", PART_V, SHARED_8, QUANT_Q5_K},
    {"Q3_K_M", PART_V, EVERYWHERE, QUANT_Q4_K},
    {"Q2_K", PART_V, SHARED_8, QUANT_Q5_K},
    {"Q2_K", PART_V, SHARED_4, QUANT_Q4_K},
    {"Q2_K", PART_V, EVERYWHERE, QUANT_Q3_K},
    {"IQ4_NL", PART_V, SHARED_4, QUANT_Q5_K},
    {"IQ4_XS", PART_V, SHARED_4, QUANT_Q5_K},
    /* queries, keys and values as one matrix */
    {"Q5_K_M", PART_QKV, EVERYWHERE, QUANT_Q6_K},
    {"Q4_K_M", PART_QKV, EVERYWHERE, QUANT_Q5_K},
    {"Q3_K_M", PART_QKV, EVERYWHERE, QUANT_Q4_K},
    /* attention's output */
    {"Q3_K_M", PART_ATTN_OUT, EVERYWHERE, QUANT_Q4_K},
    {"Q2_K", PART_ATTN_OUT, EVERYWHERE, QUANT_Q3_K},
    /* the way down */
    {"Q5_K_M", PART_DOWN, ENDS, QUANT_Q6_K},
    {"Q4_K_M", PART_DOWN, ENDS, QUANT_Q6_K},
    {"Q4_K_S", PART_DOWN, FIRST_8TH, QUANT_Q5_K},
    {"Q3_K_M", PART_DOWN, FIRST_16TH, QUANT_Q5_K},
    {"Q3_K_M", PART_DOWN, EVERYWHERE, QUANT_Q4_K},
    {"Q2_K", PART_DOWN, EVERYWHERE, QUANT_Q3_K},
    {"IQ4_NL", PART_DOWN, FIRST_8TH, QUANT_Q5_K},
    {"IQ4_XS", PART_DOWN, FIRST_8TH, QUANT_Q5_K},
};

/* Where rows are not whole blocks of the first, the second, and at last F16. */
static const struct {
    uint32_t from, to;
} smaller_blocks[] = {
    {QUANT_Q2_K, QUANT_IQ4_NL}, {QUANT_Q3_K, QUANT_IQ4_NL}, {QUANT_IQ4_XS, QUANT_IQ4_NL},
    {QUANT_Q4_K, QUANT_Q5_0},   {QUANT_Q5_K, QUANT_Q5_1},   {QUANT_Q6_K, QUANT_Q8_0},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

const mix *mix_named(const char *name) {
    for (const mix *m = mix_all; m->name; m++)
        if (strcasecmp(m->name, name) == 0) return m;
    return NULL;
}

/* ---- what a model is ---- */

/* N of "blk.N.", or -1. */
static int layer_of(str name) {
    if (!str_starts(name, STR("blk."))) return -1;
    size_t dot = str_find(name, STR("."), 4);
    uint64_t n;
    if (dot == (size_t)-1 || !str_to_u64((str){name.p + 4, dot - 4}, &n) || n >= LIMIT_LAYERS)
        return -1;
    return (int)n;
}

static part part_of(str name, bool tied) {
    if (str_eq(name, STR("output.weight"))) return PART_OUTPUT;
    if (tied && str_eq(name, STR("token_embd.weight"))) return PART_OUTPUT;
    if (str_ends(name, STR(".attn_v.weight"))) return PART_V;
    if (str_ends(name, STR(".attn_k.weight"))) return PART_K;
    if (str_ends(name, STR(".attn_qkv.weight"))) return PART_QKV;
    if (str_ends(name, STR(".attn_output.weight"))) return PART_ATTN_OUT;
    if (str_ends(name, STR(".ffn_down.weight")) || str_ends(name, STR(".ffn_down_exps.weight")))
        return PART_DOWN;
    return PART_OTHER;
}

static uint64_t number_of(const gguf *g, str arch, const char *what) {
    char key[LIMIT_GGUF_NAME_BYTES];
    int64_t item;
    uint64_t n = 0;
    buf b;
    buf_init(&b, sizeof key);
    buf_printf(&b, "%.*s.%s", STR_ARG(arch), what);
    const gguf_kv *kv = b.failed ? NULL : gguf_find(g, b.data);
    if (kv && kv->type == GGUF_ARRAY && gguf_item_i64(kv, 0, &item) && item > 0) n = (uint64_t)item;
    else if (kv) gguf_get_u64(g, b.data, &n);
    buf_deinit(&b);
    return n;
}

void mix_model_of(mix_model *m, const gguf *g) {
    bool has_v[LIMIT_LAYERS] = {false};
    *m = (mix_model){.tied = !gguf_tensor_find(g, "output.weight")};
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        int layer = layer_of(t->name);
        part p = part_of(t->name, m->tied);
        if (t->n_dims > 2 && t->ne[2] > 1) m->has_experts = true;
        if (layer < 0) continue;
        if ((uint32_t)layer >= m->n_layer) m->n_layer = (uint32_t)layer + 1;
        if (p == PART_V || p == PART_QKV) has_v[layer] = true;
    }
    for (uint32_t i = 0; i < m->n_layer; i++) {
        m->v_rank[i] = (uint16_t)m->n_v;
        m->n_v += has_v[i];
    }
    str arch = {"", 0};
    gguf_get_str(g, "general.architecture", &arch);
    uint64_t heads = number_of(g, arch, "attention.head_count");
    uint64_t kv = number_of(g, arch, "attention.head_count_kv");
    m->heads_per_kv = kv > 0 ? heads / kv : 1;
    m->n_expert = number_of(g, arch, "expert_count");
}

/* ---- which type ---- */

static bool applies(where w, const mix_model *about, uint32_t i, uint32_t n) {
    switch (w) {
    case EVERYWHERE: return true;
    case ENDS: return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case FIRST_8TH: return i < n / 8;
    case FIRST_16TH: return i < n / 16;
    case SHARED_4: return about->heads_per_kv >= 4;
    case SHARED_8: return about->heads_per_kv >= 8 && about->n_layer == 80;
    case EXPERTS_8: return about->n_expert == 8;
    }
    return false;
}

/* "*" stands for every mixture that the usual quantisers mix: all but the 16-bit floats. */
static bool rule_is_for(const rule *r, const mix *m) {
    if (strcmp(r->mix, "*") == 0) return m->type != QUANT_F16 && m->type != QUANT_BF16;
    return strcmp(r->mix, m->name) == 0;
}

static uint32_t type_by_rule(const mix *m, const mix_model *about, const gguf_tensor *t) {
    part p = part_of(t->name, about->tied);
    if (m->type == QUANT_F16 || m->type == QUANT_BF16) return m->type;
    if (m->type == QUANT_MXFP4 && about->has_experts) /* made for experts; the rest is small */
        return t->n_dims > 2 && t->ne[2] > 1 ? QUANT_MXFP4 : QUANT_Q8_0;
    if (p == PART_OUTPUT) return m->type == QUANT_Q8_0 ? QUANT_Q8_0 : QUANT_Q6_K;
    int layer = layer_of(t->name);
    if (layer < 0) return m->type;
    uint32_t i = p == PART_V ? about->v_rank[layer] : (uint32_t)layer;
    uint32_t n = p == PART_V ? about->n_v : about->n_layer;
    for (size_t k = 0; k < COUNT(rules); k++)
        if (rules[k].part == p && rule_is_for(&rules[k], m) && applies(rules[k].where, about, i, n))
            return rules[k].type;
    return m->type;
}

static bool is_kept(const gguf_tensor *t) {
    static const char *const endings[] = {"_norm.weight", "ffn_gate_inp.weight",
                                          "ffn_gate_inp_shexp.weight", "ssm_conv1d.weight"};
    static const char *const names[] = {"position_embd.weight", "token_types.weight",
                                        "rope_freqs.weight"};
    const quant_info *q = quant_info_of(t->type);
    if (t->n_dims < 2 || !q || !q->is_weight || !str_ends(t->name, STR(".weight"))) return true;
    for (size_t i = 0; i < COUNT(endings); i++)
        if (str_ends(t->name, str_of(endings[i]))) return true;
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq(t->name, str_of(names[i]))) return true;
    return false;
}

static bool fits(const gguf_tensor *t, uint32_t type) {
    return t->ne[0] % quant_info_of(type)->block == 0;
}

uint32_t mix_type(const mix *m, const mix_model *about, const gguf_tensor *t, bool *fell_back) {
    *fell_back = false;
    if (is_kept(t)) return t->type;
    uint32_t type = type_by_rule(m, about, t);
    if (fits(t, type)) return type;
    *fell_back = true;
    for (size_t i = 0; i < COUNT(smaller_blocks); i++)
        if (smaller_blocks[i].from == type && fits(t, smaller_blocks[i].to))
            return smaller_blocks[i].to;
    return QUANT_F16;
}
