#include "model/lora.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/limits.h"
#include "model/memory.h"
#include "quant/quant.h"

#define HALF_A STR(".lora_a")
#define HALF_B STR(".lora_b")
#define SPANS 16    /* a panel is cut into at most so many */
#define SPAN_K 256  /* elements of a span, at least, where there is more than one */
#define STEP_REFS 4 /* matrices of a step, at most */

/* ---- what the file says of itself ---- */

static bool str_is(const gguf *g, const char *key, const char *want) {
    str s;
    return gguf_get_str(g, key, &s) && str_eq(s, str_of(want));
}

static void copy_str(const gguf *g, const char *key, char *dst, size_t cap) {
    str s;
    if (gguf_get_str(g, key, &s)) str_printable(s, dst, cap);
}

static void name_set(model_lora *l) {
    copy_str(l->g, "general.name", l->info.name, sizeof l->info.name);
    if (l->info.name[0]) return;
    const char *path = gguf_path(l->g), *slash = strrchr(path, '/');
    str stem = str_of(slash ? slash + 1 : path);
    if (str_ends(stem, STR(".gguf"))) stem.n -= 5;
    str_printable(stem, l->info.name, sizeof l->info.name);
}

static bool header_check(model_lora *l, err *e) {
    const gguf *g = l->g;
    const char *path = gguf_path(g), *arch = l->m->p.pub.arch;
    char is[64] = "of none";
    double alpha = 0;
    if (!str_is(g, "general.type", "adapter"))
        return err_set(e, ERR_USAGE, "%s: this is no adapter (general.type is not adapter)", path);
    copy_str(g, "adapter.type", is, sizeof is);
    if (strcmp(is, "lora") != 0)
        return err_set(e, ERR_FAILED, "%s: an adapter of type \"%s\"; only lora is applied", path,
                       is);
    snprintf(is, sizeof is, "none");
    copy_str(g, "general.architecture", is, sizeof is);
    if (strcmp(is, arch) != 0)
        return err_set(e, ERR_USAGE,
                       "%s: an adapter for models of architecture \"%s\"; this model is \"%s\"",
                       path, is, arch);
    const gguf_kv *kv = gguf_find(g, "adapter.lora.alpha");
    if (kv && (!gguf_get_f64(g, "adapter.lora.alpha", &alpha) || !isfinite(alpha)))
        return err_set(e, ERR_DAMAGED, "%s: byte %llu: adapter.lora.alpha is no number", path,
                       (unsigned long long)kv->offset);
    if (gguf_find(g, "adapter.alora.invocation_tokens"))
        return err_set(e, ERR_FAILED,
                       "%s: this adapter begins to work at a certain word (aLoRA); only adapters "
                       "that work from the beginning are applied",
                       path);
    l->info.alpha = (float)alpha;
    name_set(l);
    copy_str(g, "adapter.lora.task_name", l->info.task, sizeof l->info.task);
    return true;
}

/* ---- what its tensors are ---- */

/* The name by which an adapter means a matrix of the plan. */
static str matrix_name(const model *m, plan_ref ref) {
    return ref == m->pl.head ? STR("output.weight") : m->pl.matrix[ref].src->name;
}

/* The model's tensor of that name, or, of a head that is the embedding, the embedding. */
static const gguf_tensor *base_find(const model *m, str name) {
    char text[LIMIT_GGUF_NAME_BYTES + 1];
    if (name.n >= sizeof text) return NULL;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (m->pl.tied && str_eq(name, STR("output.weight"))) return m->pl.embd;
    return gguf_tensor_find(m->g, text);
}

static bool is_embedding(const model *m, str name) {
    return str_eq(name, m->pl.embd->name);
}

/* A half of the pair of `name`; NULL: it is not there. */
static const gguf_tensor *half_find(const gguf *g, str name, str half) {
    char text[LIMIT_GGUF_NAME_BYTES + 16];
    if (name.n + half.n >= sizeof text) return NULL;
    snprintf(text, sizeof text, "%.*s%.*s", STR_ARG(name), STR_ARG(half));
    return gguf_tensor_find(g, text);
}

static bool multiplied(const model *m, str name) {
    if (is_embedding(m, name)) return true;
    for (plan_ref r = 0; r < m->pl.n_matrices; r++)
        if (str_eq(matrix_name(m, r), name)) return true;
    return false;
}

static bool is_stack(const gguf_tensor *t, uint64_t ne0, uint64_t ne1, uint64_t ne2) {
    return t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == ne2 && t->ne[3] == 1;
}

/* The two halves against the matrix that they belong to. */
static bool pair_check(const model_lora *l, str name, const gguf_tensor *w, const gguf_tensor *a,
                       const gguf_tensor *b, err *e) {
    const char *path = gguf_path(l->g);
    bool embd = is_embedding(l->m, name);
    uint64_t rank = b->ne[0];
    if (rank < 1 || rank > LIMIT_LORA_RANK)
        return err_set(e, ERR_DAMAGED, "%s: tensor %.*s has rank %llu; it must lie in 1 .. %d",
                       path, STR_ARG(name), (unsigned long long)rank, LIMIT_LORA_RANK);
    bool fits = embd ? is_stack(a, rank, w->ne[1], 1) && is_stack(b, rank, w->ne[0], 1)
                     : is_stack(a, w->ne[0], rank, w->ne[2]) &&
                           is_stack(b, rank, w->ne[1], w->ne[2]);
    if (fits) return true;
    return err_set(
        e, ERR_USAGE,
        "%s: tensor %.*s is changed by %llu x %llu and %llu x %llu; the model's is %llu x "
        "%llu: is this an adapter of another model?",
        path, STR_ARG(name), (unsigned long long)a->ne[0], (unsigned long long)a->ne[1],
        (unsigned long long)b->ne[0], (unsigned long long)b->ne[1], (unsigned long long)w->ne[0],
        (unsigned long long)w->ne[1]);
}

static bool tensor_check(const model_lora *l, const gguf_tensor *t, err *e) {
    const char *path = gguf_path(l->g);
    str name = t->name;
    bool is_a = str_ends(name, HALF_A);
    const quant_info *q = quant_info_of(t->type);
    if (!is_a && !str_ends(name, HALF_B))
        return err_set(e, ERR_FAILED,
                       "%s: tensor %.*s is no half of a low-rank pair (.lora_a, .lora_b); nothing "
                       "else is applied",
                       path, STR_ARG(name));
    if (!q || !q->dequantize)
        return err_set(e, ERR_DAMAGED, "%s: tensor %.*s is of type %s, which is no weight", path,
                       STR_ARG(name), q ? q->name : "unknown");
    name.n -= HALF_A.n;
    const gguf_tensor *other = half_find(l->g, name, is_a ? HALF_B : HALF_A);
    if (!other)
        return err_set(e, ERR_DAMAGED, "%s: tensor %.*s stands alone: its other half is missing",
                       path, STR_ARG(t->name));
    const gguf_tensor *w = base_find(l->m, name);
    if (!w)
        return err_set(e, ERR_USAGE,
                       "%s: the model has no tensor %.*s: is this an adapter of another model?",
                       path, STR_ARG(name));
    if (!multiplied(l->m, name))
        return err_set(e, ERR_FAILED,
                       "%s: tensor %.*s is no matrix that the model multiplies with: only those "
                       "can be adapted",
                       path, STR_ARG(name));
    return !is_a || pair_check(l, name, w, t, other, e);
}

/* Every number is one; and the hash of them all. */
static bool numbers_read(model_lora *l, err *e) {
    crypto_generichash_state s;
    crypto_generichash_init(&s, NULL, 0, MODEL_LORA_PRINT);
    crypto_generichash_update(&s, (const void *)&l->info.alpha, sizeof l->info.alpha);
    for (uint64_t i = 0; i < gguf_n_tensors(l->g); i++) {
        const gguf_tensor *t = gguf_tensor_at(l->g, i);
        const quant_info *q = quant_info_of(t->type);
        int64_t k = (int64_t)t->ne[0], n = (int64_t)(t->ne[1] * t->ne[2]);
        size_t row_bytes = (size_t)k / q->block * q->block_bytes;
        float *row = malloc((size_t)k * sizeof *row);
        if (!row) return err_set(e, ERR_NO_FIT, "%s: no memory for a row", gguf_path(l->g));
        for (int64_t r = 0; r < n; r++) {
            q->dequantize((const uint8_t *)t->data + (size_t)r * row_bytes, row, k);
            for (int64_t j = 0; j < k; j++) {
                if (isfinite(row[j])) continue;
                free(row);
                return err_set(e, ERR_DAMAGED,
                               "%s: tensor %.*s: element %lld of row %lld is not a finite number",
                               gguf_path(l->g), STR_ARG(t->name), (long long)j, (long long)r);
            }
        }
        free(row);
        crypto_generichash_update(&s, (const void *)t->name.p, t->name.n);
        crypto_generichash_update(&s, (const void *)&t->type, sizeof t->type);
        crypto_generichash_update(&s, (const void *)t->ne, sizeof t->ne);
        crypto_generichash_update(&s, t->data, t->size_bytes);
    }
    crypto_generichash_final(&s, l->print, sizeof l->print);
    return true;
}

static bool tensors_check(model_lora *l, err *e) {
    if (gguf_n_tensors(l->g) == 0)
        return err_set(e, ERR_DAMAGED, "%s: an adapter without tensors", gguf_path(l->g));
    for (uint64_t i = 0; i < gguf_n_tensors(l->g); i++) {
        const gguf_tensor *t = gguf_tensor_at(l->g, i);
        if (!t->data)
            return err_set(e, ERR_DAMAGED, "%s: the file has no weights", gguf_path(l->g));
        if (!tensor_check(l, t, e)) return false;
    }
    return numbers_read(l, e);
}

/* ---- its place: laid out twice, first to count ---- */

typedef struct carver {
    uint8_t *base; /* NULL while counting */
    size_t at;
    bool overflow;
} carver;

static uint8_t *carve(carver *c, int64_t n, size_t size) {
    uint64_t bytes, end;
    if (!mul_u64((uint64_t)n, size, &bytes) || !add_u64(c->at, bytes, &end) || end > SIZE_MAX / 4) {
        c->overflow = true;
        return NULL;
    }
    uint8_t *p = c->base ? c->base + c->at : NULL;
    c->at = (size_t)end; /* panels are multiples of 64 bytes */
    return p;
}

/* A pair of a step's matrix. */
typedef struct found {
    plan_ref ref;
    const gguf_tensor *a, *b;
    int32_t lane0, rank, n_expert;
    bool again; /* its A is that of a matrix before it: both are parts of one tensor */
} found;

static int step_refs(const plan_step *s, plan_ref *out) {
    const plan_ref all[STEP_REFS] = {s->w, s->wk, s->wv, s->w2};
    int n = 0;
    if (s->op != PLAN_QKV && s->op != PLAN_OUT && s->op != PLAN_GATE_UP && s->op != PLAN_DOWN &&
        s->op != PLAN_ROUTE && s->op != PLAN_EXP_UP && s->op != PLAN_EXP_DOWN && s->op != PLAN_HEAD)
        return 0;
    for (int i = 0; i < STEP_REFS; i++)
        if (all[i] != PLAN_NONE) out[n++] = all[i];
    return n;
}

/* The pairs of a step; *n_lanes of them all. */
static int step_pairs(const model_lora *l, const plan_step *s, found *out, int32_t *n_lanes) {
    plan_ref refs[STEP_REFS];
    int n_refs = step_refs(s, refs), n = 0;
    *n_lanes = 0;
    for (int i = 0; i < n_refs; i++) {
        str name = matrix_name(l->m, refs[i]);
        const gguf_tensor *a = half_find(l->g, name, HALF_A), *b = half_find(l->g, name, HALF_B);
        if (!a || !b) continue;
        found f = {.ref = refs[i],
                   .a = a,
                   .b = b,
                   .lane0 = *n_lanes,
                   .rank = (int32_t)b->ne[0],
                   .n_expert = l->m->pl.matrix[refs[i]].n_expert};
        for (int j = 0; j < n && !f.again; j++)
            if (out[j].a == a) f.again = true, f.lane0 = out[j].lane0;
        if (!f.again) *n_lanes += f.rank * f.n_expert;
        out[n++] = f;
    }
    return n;
}

static bool is_plain(uint32_t type) {
    return type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16;
}

/* What A of several pairs is packed as: the type they all have, if it is a plain one. */
static uint32_t type_of_all(const found *f, int n) {
    uint32_t type = is_plain(f[0].a->type) ? f[0].a->type : (uint32_t)QUANT_F32;
    for (int i = 1; i < n; i++)
        if (f[i].a->type != type) type = QUANT_F32;
    return type;
}

static int32_t spans_of(int64_t k) {
    int32_t n = 1;
    while (n < SPANS && k % (2 * n * 16) == 0 && k / (2 * n) >= SPAN_K) n *= 2;
    return n;
}

static float gain_of(const model_lora *l, int32_t rank) {
    return l->info.alpha != 0 ? l->info.alpha / (float)rank : 1.0f;
}

static lora_pair *pair_place(model_lora *l, carver *c, const gguf_tensor *b, int64_t n_out,
                             int32_t n_expert) {
    lora_pair *p = &l->pair[l->n_pairs++];
    p->rank = (int32_t)b->ne[0];
    p->n_expert = n_expert;
    p->f = kern_format_of(is_plain(b->type) ? b->type : (uint32_t)QUANT_F32);
    p->b_bytes = kern_panel_bytes(p->f, p->rank);
    p->n_panels = (int32_t)((n_out + KERN_ROWS - 1) / KERN_ROWS);
    p->b = carve(c, (int64_t)p->n_panels * n_expert, p->b_bytes);
    p->gain = gain_of(l, p->rank);
    if (p->rank > l->info.rank) l->info.rank = p->rank;
    return p;
}

/* The most panels that hold the lanes of one expert. */
static int32_t parts_of(const lora_pair *p) {
    int32_t most = 0, n;
    for (int32_t e = 0; e < p->n_expert; e++) {
        lora_panel_of(p, e, &n);
        if (n > most) most = n;
    }
    return most;
}

static void step_place(model_lora *l, carver *c, int step) {
    found f[STEP_REFS];
    int32_t n_lanes;
    int n = step_pairs(l, &l->m->pl.step[step], f, &n_lanes);
    l->group_of[step] = -1;
    if (n == 0) return;
    lora_group *g = &l->group[l->n_groups];
    l->group_of[step] = l->n_groups++;
    g->type = type_of_all(f, n);
    g->f = kern_format_of(g->type);
    g->k = (int64_t)f[0].a->ne[0];
    g->n_lanes = n_lanes;
    g->n_panels = (n_lanes + KERN_ROWS - 1) / KERN_ROWS;
    g->n_spans = spans_of(g->k);
    g->a_bytes = kern_panel_bytes(g->f, g->k / g->n_spans);
    g->a = carve(c, (int64_t)g->n_panels * g->n_spans, g->a_bytes);
    plan_op op = l->m->pl.step[step].op;
    bool experts = op == PLAN_EXP_UP || op == PLAN_EXP_DOWN;
    g->n_parts = 0;
    for (int i = 0; i < n; i++) {
        l->pair_of[f[i].ref] = l->n_pairs;
        lora_pair *p = pair_place(l, c, f[i].b, l->m->pl.matrix[f[i].ref].n_out, f[i].n_expert);
        p->lane0 = f[i].lane0;
        if (!experts) continue;
        p->part0 = g->n_parts;
        g->n_parts += parts_of(p);
    }
    int64_t panels = g->n_parts ? (int64_t)g->n_parts * l->n_used : g->n_panels;
    if (panels * g->n_spans * KERN_ROWS > l->part_floats)
        l->part_floats = panels * g->n_spans * KERN_ROWS;
}

static void place_all(model_lora *l, carver *c) {
    const plan *pl = &l->m->pl;
    l->n_groups = l->n_pairs = 0;
    for (plan_ref r = 0; r < pl->n_matrices; r++) l->pair_of[r] = -1;
    for (int i = 0; i < pl->n_steps; i++) step_place(l, c, i);
    l->embd_a = half_find(l->g, pl->embd->name, HALF_A);
    const gguf_tensor *b = half_find(l->g, pl->embd->name, HALF_B);
    if (!l->embd_a || !b) return;
    l->embd_pair = l->n_pairs;
    pair_place(l, c, b, l->m->p.pub.n_embd, 1);
}

static bool place(model_lora *l, err *e) {
    const plan *pl = &l->m->pl;
    carver c = {0};
    l->group = calloc((size_t)pl->n_steps + 1, sizeof *l->group);
    l->pair = calloc((size_t)pl->n_matrices + 1, sizeof *l->pair);
    l->group_of = calloc((size_t)pl->n_steps + 1, sizeof *l->group_of);
    l->pair_of = calloc((size_t)pl->n_matrices + 1, sizeof *l->pair_of);
    if (!l->group || !l->pair || !l->group_of || !l->pair_of)
        return err_set(e, ERR_NO_FIT, "%s: no memory for an adapter", gguf_path(l->g));
    place_all(l, &c);
    if (c.overflow || c.at > memory_available())
        return err_set(e, ERR_NO_FIT, "%s: the adapter needs %.3f GB of memory, %.3f GB are there",
                       gguf_path(l->g), (double)c.at / 1e9, (double)memory_available() / 1e9);
    l->map_bytes = c.at;
    l->map = memory_map(c.at);
    if (!l->map)
        return err_set(e, ERR_NO_FIT, "%s: no memory for %.1f MB of an adapter", gguf_path(l->g),
                       (double)c.at / 1e6);
    c = (carver){.base = l->map};
    place_all(l, &c);
    l->info.memory_bytes = l->map_bytes;
    l->info.n_pairs = (int32_t)(gguf_n_tensors(l->g) / 2);
    return true;
}

/* ---- packing ---- */

/* Rows [r0, r0 + n) of t, as numbers of the plain type `to`, one row after the other. */
static void rows_as(const gguf_tensor *t, uint32_t to, int64_t r0, int64_t n, uint8_t *dst) {
    const quant_info *q = quant_info_of(t->type);
    int64_t k = (int64_t)t->ne[0];
    size_t row_bytes = (size_t)k / q->block * q->block_bytes;
    const uint8_t *src = (const uint8_t *)t->data + (size_t)r0 * row_bytes;
    if (t->type == to) {
        memcpy(dst, src, (size_t)n * row_bytes);
        return;
    }
    float *floats = (float *)(void *)dst;
    for (int64_t r = 0; r < n; r++) q->dequantize(src + (size_t)r * row_bytes, floats + r * k, k);
}

/* Panel p of a group: its rows are gathered whole, then cut into spans. */
static bool group_panel_pack(const lora_group *g, const found *f, int n, int32_t p) {
    int64_t len = g->k / g->n_spans;
    size_t elem = quant_info_of(g->type)->block_bytes;
    size_t row = (size_t)g->k * elem, part = (size_t)len * elem;
    uint8_t *rows = calloc(KERN_ROWS, row), *cut = malloc(KERN_ROWS * part);
    for (int i = 0; i < n && rows && cut; i++) {
        int64_t from = p * KERN_ROWS, to = from + KERN_ROWS;
        if (from < f[i].lane0) from = f[i].lane0;
        int64_t end = f[i].lane0 + (int64_t)f[i].rank * f[i].n_expert;
        if (to > end) to = end;
        if (f[i].again || from >= to) continue;
        rows_as(f[i].a, g->type, from - f[i].lane0, to - from,
                rows + (size_t)(from - p * KERN_ROWS) * row);
    }
    for (int32_t s = 0; s < g->n_spans && rows && cut; s++) {
        for (size_t r = 0; r < KERN_ROWS; r++)
            memcpy(cut + r * part, rows + r * row + (size_t)s * part, part);
        kern_panel_pack(g->f, cut, KERN_ROWS, len, 0,
                        g->a + (size_t)(p * g->n_spans + s) * g->a_bytes);
    }
    bool ok = rows && cut;
    free(rows);
    free(cut);
    return ok;
}

/* Rows [row0, row0 + n_out) of B, or of each expert's. */
static bool pair_pack(const lora_pair *p, const gguf_tensor *b, int64_t row0, int64_t n_out) {
    int64_t all = (int64_t)(b->ne[1] * b->ne[2]);
    const void *src = b->data;
    float *floats = NULL;
    if (!is_plain(b->type)) {
        uint64_t bytes;
        if (!mul_u64((uint64_t)all * sizeof(float), b->ne[0], &bytes) ||
            !(floats = malloc((size_t)bytes)))
            return false;
        rows_as(b, QUANT_F32, 0, all, (uint8_t *)floats);
        src = floats;
    }
    for (int32_t x = 0; x < p->n_expert; x++) {
        int64_t first = x * (int64_t)b->ne[1] + row0;
        for (int32_t i = 0; i < p->n_panels; i++)
            kern_panel_pack(p->f, src, first + n_out, p->rank, first + (int64_t)i * KERN_ROWS,
                            p->b + ((size_t)x * (size_t)p->n_panels + (size_t)i) * p->b_bytes);
    }
    free(floats);
    return true;
}

static bool step_pack(const model_lora *l, int step) {
    found f[STEP_REFS];
    int32_t n_lanes;
    const plan *pl = &l->m->pl;
    const lora_group *g = lora_group_of(l, step);
    int n = g ? step_pairs(l, &pl->step[step], f, &n_lanes) : 0;
    for (int32_t p = 0; g && p < g->n_panels; p++)
        if (!group_panel_pack(g, f, n, p)) return false;
    for (int i = 0; i < n; i++) {
        const plan_matrix *m = &pl->matrix[f[i].ref];
        if (!pair_pack(lora_pair_of(l, f[i].ref), f[i].b, m->row0, m->n_out)) return false;
    }
    return true;
}

static bool pack(const model_lora *l, err *e) {
    bool ok = true;
    for (int i = 0; i < l->m->pl.n_steps && ok; i++) ok = step_pack(l, i);
    if (ok && l->embd_a)
        ok = pair_pack(&l->pair[l->embd_pair], half_find(l->g, l->m->pl.embd->name, HALF_B), 0,
                       l->m->p.pub.n_embd);
    return ok || err_set(e, ERR_NO_FIT, "%s: no memory while packing", gguf_path(l->g));
}

/* ---- opening ---- */

/* Takes over g, also on failure. */
static model_lora *open_gguf(const model *m, gguf *g, err *e) {
    if (!g) return NULL;
    model_lora *l = calloc(1, sizeof *l);
    if (!l) {
        gguf_close(g);
        err_set(e, ERR_NO_FIT, "no memory for an adapter");
        return NULL;
    }
    l->m = m;
    l->g = g;
    l->n_used = m->p.n_expert_used;
    if (header_check(l, e) && tensors_check(l, e) && place(l, e) && pack(l, e)) return l;
    model_lora_close(l);
    return NULL;
}

model_lora *model_lora_open(const model *m, const char *path, err *e) {
    return open_gguf(m, gguf_open(path, e), e);
}

model_lora *model_lora_open_memory(const model *m, const void *data, size_t n, const char *name,
                                   err *e) {
    return open_gguf(m, gguf_open_memory(data, n, name, e), e);
}

void model_lora_close(model_lora *l) {
    if (!l) return;
    memory_unmap(l->map, l->map_bytes);
    free(l->group);
    free(l->pair);
    free(l->group_of);
    free(l->pair_of);
    gguf_close(l->g);
    free(l);
}

const model_lora_info *model_lora_info_of(const model_lora *l) {
    return &l->info;
}

const uint8_t *model_lora_print(const model_lora *l) {
    return l->print;
}
