#include "model/exec_private.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "model/memory.h"

/* ---- buffers: one mapping, laid out twice (first to count, then to place) ---- */

typedef struct carver {
    uint8_t *base; /* NULL while counting */
    size_t at;
    bool overflow;
} carver;

static void *carve(carver *c, int64_t n, size_t size) {
    uint64_t bytes, end;
    if (!mul_u64((uint64_t)(n > 0 ? n : 1), size, &bytes) || !align_u64(bytes, 64, &bytes) ||
        !add_u64(c->at, bytes, &end) || end > SIZE_MAX / 4) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->base ? c->base + c->at : NULL;
    c->at = (size_t)end;
    return p;
}

static void carve_act(carver *c, kern_act *a, int64_t rows, int64_t k) {
    a->k = k;
    a->x = carve(c, rows * k, sizeof(float));
    a->q = carve(c, rows * k, sizeof(int8_t));
    a->d = carve(c, rows * (k / KERN_BLOCK), sizeof(float));
    a->sum16 = carve(c, rows * (k / 16), sizeof(int16_t));
}

/* Of rows that are refined. */
static void carve_refined(carver *c, kern_act *a, int64_t rows, int64_t k) {
    carve_act(c, a, rows, k);
    a->twice = carve(c, rows * (k / KERN_BLOCK), 1);
    a->q2 = carve(c, rows * k, sizeof(int8_t));
    a->d2 = carve(c, rows * (k / KERN_BLOCK), sizeof(float));
    a->sum16_2 = carve(c, rows * (k / 16), sizeof(int16_t));
}

/* The largest sizes over all layers. */
typedef struct extents {
    int64_t q, a, f, used, experts, head_dim_v;
    int32_t group; /* query heads of one KV head */
} extents;

static extents extents_of(const plan *pl) {
    extents x = {.used = 1};
    for (int i = 0; i < pl->n_heads; i++) {
        const plan_heads *h = &pl->heads[i];
        int64_t q = (int64_t)h->n_head * h->head_dim_k, a = (int64_t)h->n_head * h->head_dim_v;
        if (q > x.q) x.q = q;
        if (a > x.a) x.a = a;
        if (h->head_dim_v > x.head_dim_v) x.head_dim_v = h->head_dim_v;
        if (h->n_head / h->n_head_kv > x.group) x.group = h->n_head / h->n_head_kv;
    }
    for (int i = 0; i < pl->n_steps; i++) {
        const plan_step *s = &pl->step[i];
        if (s->op == PLAN_ROUTE) {
            if (s->n_used > x.used) x.used = s->n_used;
            if (pl->matrix[s->w].n_out > x.experts) x.experts = pl->matrix[s->w].n_out;
        }
    }
    for (int i = 0; i < pl->n_steps; i++) {
        const plan_step *s = &pl->step[i];
        if (s->op != PLAN_DOWN && s->op != PLAN_EXP_DOWN) continue;
        int64_t f = pl->matrix[s->w].k * (s->op == PLAN_EXP_DOWN ? x.used : 1);
        if (f > x.f) x.f = f;
    }
    return x;
}

static void local_place(model_exec *x, exec_local *l, carver *c, const extents *ex) {
    int64_t embd = x->m->p.pub.n_embd, rows = x->attn_rows;
    l->c = carve(c, EXEC_TILE_FLOATS, sizeof(float));
    l->panel = carve(c, (int64_t)x->m->w.panel_bytes, 1);
    l->x = carve(c, EXEC_SMALL * embd, sizeof(float));
    l->tmp = carve(c, embd + 2 * LIMIT_HEAD_DIM, sizeof(float));
    carve_refined(c, &l->h, EXEC_SMALL, embd);
    l->attn_q = carve(c, rows, sizeof *l->attn_q);
    l->attn_lo = carve(c, rows, sizeof *l->attn_lo);
    l->attn_hi = carve(c, rows, sizeof *l->attn_hi);
    l->attn_acc = carve(c, rows, sizeof *l->attn_acc);
    l->merge_m = carve(c, x->max_chunks, sizeof(float));
    l->merge_l = carve(c, x->max_chunks, sizeof(float));
    l->merge_acc = carve(c, x->max_chunks, sizeof *l->merge_acc);
    l->scores = carve(c, ex->experts, sizeof(float));
    l->top = carve(c, EXEC_SMALL * ex->used, sizeof *l->top);
    l->top_w = carve(c, EXEC_SMALL * ex->used, sizeof *l->top_w);
    l->pair_first = carve(c, ex->experts + 1, sizeof *l->pair_first);
    l->pair_row = carve(c, x->max_rows * ex->used, sizeof *l->pair_row);
    l->pair_w = carve(c, x->max_rows * ex->used, sizeof *l->pair_w);
    l->active = carve(c, ex->experts, sizeof *l->active);
}

static void place_all(model_exec *x, carver *c) {
    const plan *pl = &x->m->pl;
    extents ex = extents_of(pl);
    int64_t rows = x->max_rows, embd = x->m->p.pub.n_embd;
    x->x = carve(c, rows * embd, sizeof(float));
    x->y = carve(c, rows * embd, sizeof(float));
    x->q = carve(c, rows * ex.q, sizeof(float));
    carve_refined(c, &x->h, rows, embd);
    carve_act(c, &x->a, rows, ex.a);
    carve_refined(c, &x->f, rows, ex.f);
    if (x->nextn) carve_refined(c, &x->j, rows, 2 * embd);
    for (int i = 0; i < pl->n_ropes; i++) {
        x->cos[i] = carve(c, rows * (pl->rope[i].n_rot / 2), sizeof(float));
        x->sin[i] = carve(c, rows * (pl->rope[i].n_rot / 2), sizeof(float));
    }
    x->scores = carve(c, rows * ex.experts, sizeof(float));
    x->top = carve(c, rows * ex.used, sizeof *x->top);
    x->top_w = carve(c, rows * ex.used, sizeof *x->top_w);
    x->all = carve(c, rows, sizeof *x->all);
    x->want = carve(c, rows, sizeof *x->want);
    x->end = carve(c, rows, sizeof *x->end);
    x->out_row = carve(c, rows, sizeof *x->out_row);
    x->seg_all = carve(c, rows, sizeof *x->seg_all);
    x->seg_want = carve(c, rows, sizeof *x->seg_want);
    for (int i = 0; i < x->n_threads; i++) local_place(x, &x->local[i], c, &ex);
    /* Partial results of attention come last: a short context never touches them. */
    size_t before = c->at;
    x->part_m = carve(c, x->shared_slots, sizeof(float));
    x->part_l = carve(c, x->shared_slots, sizeof(float));
    x->part_acc = carve(c, x->shared_slots * ex.head_dim_v, sizeof(float));
    for (int i = 0; i < x->n_threads; i++) {
        exec_local *l = &x->local[i];
        l->part_m = carve(c, x->part_slots, sizeof(float));
        l->part_l = carve(c, x->part_slots, sizeof(float));
        l->part_acc = carve(c, x->part_slots * ex.head_dim_v, sizeof(float));
    }
    x->attn_bytes = c->at - before;
}

static model_exec *exec_new(model *m, team *t, kern_kv_type kv, int max_rows, bool nextn, err *e) {
    if (max_rows < 1 || max_rows > LIMIT_CONTEXT) {
        err_set(e, ERR_USAGE, "a batch of %d rows; it must lie in 1 .. %d", max_rows,
                LIMIT_CONTEXT);
        return NULL;
    }
    model_exec *x = calloc(1, sizeof *x);
    if (!x) goto no_memory;
    x->m = m;
    x->t = t;
    x->k = kern_get();
    x->kv = kv;
    x->max_rows = max_rows;
    x->n_threads = team_size(t);
    x->local = calloc((size_t)x->n_threads, sizeof *x->local);
    if (!x->local) goto no_memory;
    x->nextn = nextn;
    x->step0 = nextn ? m->pl.nextn_step : 0;
    x->step1 = nextn ? m->pl.n_steps : m->pl.nextn_step;
    x->n_groups = nextn ? 1 : m->pl.n_groups;
    x->group = nextn ? &m->pl.nextn_group : m->pl.group;
    for (int g = 0; g < x->n_groups; g++) {
        x->shape[g] = (kern_kv_shape){kv, x->group[g].head_dim_k, x->group[g].head_dim_v};
        x->block_bytes[g] = kern_kv_block_bytes(&x->shape[g]);
    }
    x->trim_step = plan_last_attn(&m->pl, x->step0, x->step1);
    extents ex = extents_of(&m->pl);
    x->max_chunks = (m->p.pub.n_ctx + KERN_ATTN_CHUNK - 1) / KERN_ATTN_CHUNK;
    x->attn_rows = ex.group > EXEC_ATTN_ROWS ? ex.group : EXEC_ATTN_ROWS;
    int64_t least = (int64_t)ex.group * x->max_chunks, full = (int64_t)x->attn_rows * x->max_chunks;
    x->part_slots = full < 32768 ? full : least > 32768 ? least : 32768;
    x->shared_slots = 4 * x->part_slots;
    carver c = {0};
    place_all(x, &c);
    if (c.overflow) goto no_memory;
    x->map_bytes = c.at;
    if (c.at - x->attn_bytes > memory_available()) goto no_memory;
    x->map = memory_map(c.at);
    if (!x->map) goto no_memory;
    c = (carver){.base = x->map};
    place_all(x, &c);
    return x;
no_memory:
    err_set(e, ERR_NO_FIT, "a batch of %d rows needs %.1f MB of working memory, which is not there",
            max_rows, x ? (double)x->map_bytes / 1e6 : 0.0);
    model_exec_free(x);
    return NULL;
}

model_exec *model_exec_new(model *m, team *t, kern_kv_type kv, int max_rows, err *e) {
    return exec_new(m, t, kv, max_rows, false, e);
}

model_exec *model_exec_new_nextn(model *m, team *t, kern_kv_type kv, int max_rows, err *e) {
    if (model_nextn_group(m)) return exec_new(m, t, kv, max_rows, true, e);
    err_set(e, ERR_USAGE, "%s: no layer that guesses ahead", gguf_path(m->g));
    return NULL;
}

void model_exec_free(model_exec *x) {
    if (!x) return;
    memory_unmap(x->map, x->map_bytes);
    exec_lora_free(x);
    free(x->local);
    free(x->watch_row);
    free(x);
}

size_t model_exec_bytes(const model_exec *x) {
    return x->map_bytes - x->attn_bytes;
}

int exec_block_rows(const model_exec *x, int n, int n_panels) {
    int most = EXEC_TILE_FLOATS / KERN_ROWS / n_panels, tile = x->k->tile_tokens;
    int calls = (n + most - 1) / most, rows = calls > 0 ? (n + calls - 1) / calls : 1;
    int whole = (rows + tile - 1) / tile * tile;
    return whole <= most ? whole : rows;
}

int exec_next(const exec_walk *w, exec_items *it) {
    if (it->at == it->end) {
        for (int run = team_next(w->x->t); it->runs <= run; it->runs++) {
            int left = it->n - it->dealt, share = left / (2 * w->x->n_threads);
            it->at = it->dealt;
            it->dealt += share > 0 ? share : left > 0;
        }
        it->end = it->dealt;
    }
    return it->at < it->end ? it->at++ : it->n;
}

/* ---- checking a batch ---- */

static bool row_check(const model_exec *x, int r, err *e) {
    const model_batch *b = x->b;
    const model_row *row = &b->rows[r], *before = r ? row - 1 : NULL;
    const plan *pl = &x->m->pl;
    if (row->token < 0 || row->token >= x->m->p.pub.n_vocab)
        return err_set(e, ERR_USAGE, "token %d is not in the vocabulary of %d", row->token,
                       x->m->p.pub.n_vocab);
    if (row->pos < 0 || row->pos >= x->m->p.pub.n_ctx)
        return err_set(e, ERR_NO_FIT, "position %d is past the model's context of %d tokens",
                       row->pos, x->m->p.pub.n_ctx);
    if (row->seq < 0 || row->seq >= b->n_seqs)
        return err_set(e, ERR_USAGE, "row %d names sequence %d of %d", r, row->seq, b->n_seqs);
    if (pl->encoder && row->want_logits && x->logits)
        return err_set(e, ERR_USAGE, "row %d wants logits; an encoder has no logits", r);
    if (row->type != 0 &&
        (!pl->type_embd || row->type < 0 || row->type >= (int32_t)pl->type_embd->ne[1]))
        return err_set(e, ERR_USAGE, "row %d is of type %d, which the model does not have", r,
                       row->type);
    if (before && before->seq == row->seq && before->pos + 1 != row->pos)
        return err_set(e, ERR_USAGE, "row %d is at position %d, the one before it at %d", r,
                       row->pos, before->pos);
    for (int g = 0; g < x->n_groups; g++)
        if (!b->seqs[row->seq].page[g] || !b->seqs[row->seq].page[g][row->pos / KERN_PAGE])
            return err_set(e, ERR_USAGE, "sequence %d has no page for position %d", row->seq,
                           row->pos);
    return true;
}

static int segments(const model_exec *x, const int32_t *live, int n, exec_seg *seg) {
    int n_seg = 0;
    for (int i = 0; i < n; i++) {
        int32_t seq = x->b->rows[live[i]].seq;
        if (n_seg == 0 || seg[n_seg - 1].seq != seq) seg[n_seg++] = (exec_seg){seq, i, 0};
        seg[n_seg - 1].n++;
    }
    return n_seg;
}

/* Where what a row sees ends: behind itself, or with its sequence. */
static bool ends_set(model_exec *x, err *e) {
    const model_batch *b = x->b;
    for (int s = 0; s < x->n_seg_all; s++) {
        const exec_seg *seg = &x->seg_all[s];
        const model_row *row = &b->rows[seg->i0];
        if (x->m->pl.encoder && row->pos != 0)
            return err_set(e, ERR_USAGE,
                           "row %d begins at position %d; an encoder reads whole texts", seg->i0,
                           row->pos);
        for (int i = 0; i < seg->n; i++)
            x->end[seg->i0 + i] = x->m->pl.encoder ? seg->n : row[i].pos + 1;
    }
    return true;
}

static bool run_begin(model_exec *x, const model_batch *b, float *logits, float *hidden, err *e) {
    if (b->n_rows < 1 || b->n_rows > x->max_rows)
        return err_set(e, ERR_USAGE, "a batch of %d rows; this executor takes 1 .. %d", b->n_rows,
                       x->max_rows);
    x->b = b;
    x->logits = logits;
    x->hidden = hidden;
    x->n_want = x->n_out = 0;
    bool every = hidden && !x->nextn; /* the next-n layer has states of its outputs alone */
    for (int r = 0; r < b->n_rows; r++) {
        if (!row_check(x, r, e)) return false;
        x->all[r] = r;
        if (b->rows[r].want_logits && logits) x->out_row[x->n_out++] = every ? r : x->n_want;
        if (every || (b->rows[r].want_logits && logits)) x->want[x->n_want++] = r;
    }
    x->n_seg_all = segments(x, x->all, b->n_rows, x->seg_all);
    if (!ends_set(x, e)) return false;
    x->n_seg_want = segments(x, x->want, x->n_want, x->seg_want);
    x->stop[0] = x->stop[1] = false;
    atomic_store_explicit(&x->bad, 0, memory_order_relaxed);
    return exec_lora_begin(x, e);
}

/* ---- the walk ---- */

/* Member 0 reads the cancel flag before the meeting and the others read its verdict after it. Two
 * slots take turns: a slot is written again only when everyone has passed the next meeting, so all
 * agree. */
bool exec_sync(exec_walk *w) {
    model_exec *x = w->x;
    bool *slot = &x->stop[w->phase++ & 1];
    if (w->me == 0 && x->b->cancel && atomic_load_explicit(x->b->cancel, memory_order_relaxed))
        *slot = true;
    if (w->me != 0) {
        team_barrier(x->t, w->me);
        return !*slot;
    }
    uint64_t before = clock_now_ns();
    team_barrier(x->t, 0);
    w->waited += clock_now_ns() - before;
    return !*slot;
}

/* The embedding row of batch row r, scaled, into dst. */
static void embed(const exec_walk *w, int r, float *dst) {
    const model_exec *x = w->x;
    const model_row *row = &x->b->rows[r];
    if (x->nextn) {
        memset(dst, 0, (size_t)x->m->p.pub.n_embd * sizeof *dst);
        return;
    }
    model_embd_row(x->m, row->token, dst);
    if (w->n_lora > 0) exec_lora_embed(w, r, row->token, dst);
    if (x->m->pl.encoder) model_embd_add(x->m, row->pos, row->type, w->l->tmp, dst);
    if (x->m->pl.embd_scale != 1) x->k->scale(dst, x->m->pl.embd_scale, x->m->p.pub.n_embd);
}

static void rope_rows(model_exec *x, int r) {
    for (int i = 0; i < x->m->pl.n_ropes; i++) {
        int64_t half = x->m->rope[i].n_rot / 2;
        rope_table(&x->m->rope[i], x->b->rows[r].pos, x->cos[i] + r * half, x->sin[i] + r * half);
    }
}

/* Fills the residual stream and the rope tables. */
static bool walk_begin(exec_walk *w) {
    model_exec *x = w->x;
    int64_t embd = x->m->p.pub.n_embd;
    if (w->small) {
        for (int i = 0; i < w->n; i++) {
            w->xrow[i] = w->l->x + i * embd;
            embed(w, i, w->xrow[i]);
        }
        return true; /* the caller of the run has made the tables */
    }
    for (int i; (i = team_next(x->t)) * 8 < w->n;)
        for (int r = i * 8; r < i * 8 + 8 && r < w->n; r++) {
            embed(w, r, x->x + r * embd);
            rope_rows(x, r);
        }
    return exec_sync(w);
}

/* From here on only rows with an output are alive. */
static void walk_trim(exec_walk *w) {
    model_exec *x = w->x;
    int64_t embd = x->m->p.pub.n_embd;
    bool was_small = w->small;
    w->live = x->want;
    w->n = x->n_want;
    w->seg = x->seg_want;
    w->n_seg = x->n_seg_want;
    w->lora = x->lora_want;
    w->small = w->n <= EXEC_SMALL;
    for (int i = 0; i < w->n && w->small; i++) {
        if (was_small) {
            w->xrow[i] = w->xrow[w->live[i]]; /* ascending: none is overwritten before it is read */
        } else {
            w->xrow[i] = w->l->x + i * embd;
            memcpy(w->xrow[i], x->x + w->live[i] * embd, (size_t)embd * sizeof(float));
        }
    }
}

/* Whether what a step writes is read in its quantised form. */
static bool next_reads_q(const model_exec *x, const plan_step *s) {
    return exec_mat(x, s->w)->reads_q;
}

/* One step; false when the run has been cancelled inside it. */
static bool step_run(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    switch (s->op) {
    case PLAN_NORM: exec_norm(w, s, s + 1); break;
    case PLAN_QKV: exec_qkv(w, s); break;
    case PLAN_ATTN: return exec_attn(w, s, next_reads_q(x, s + 1));
    case PLAN_OUT: exec_linear(w, s, &x->a); break;
    case PLAN_GATE_UP: exec_gate_up(w, s, s + 1); break;
    case PLAN_DOWN: exec_linear(w, s, &x->f); break;
    case PLAN_ROUTE: return exec_route(w, s);
    case PLAN_EXP_UP: exec_experts_up(w, s, s + 1); break;
    case PLAN_EXP_DOWN: exec_experts_down(w, s); break;
    case PLAN_HEAD: exec_head(w, s); break;
    case PLAN_END: break;
    case PLAN_JOIN: return exec_join(w, s);
    case PLAN_OPS: break;
    }
    return true;
}

/* Member 0 books the time since its last lap: what it waited by itself, the rest on `kind`. */
static void lap(exec_walk *w, int kind) {
    if (w->me != 0) return;
    uint64_t now = clock_now_ns();
    w->x->seconds[kind] += (double)(now - w->since - w->waited) * 1e-9;
    w->x->seconds[EXEC_WAIT] += (double)w->waited * 1e-9;
    w->since = now;
    w->waited = 0;
}

static void walk_steps(model_exec *x, int me) {
    const plan *pl = &x->m->pl;
    exec_walk w = {.x = x,
                   .l = &x->local[me],
                   .me = me,
                   .since = clock_now_ns(),
                   .live = x->all,
                   .n = x->b->n_rows,
                   .seg = x->seg_all,
                   .n_seg = x->n_seg_all,
                   .lora = x->lora_all,
                   .n_lora = x->n_loras,
                   .small = x->b->n_rows <= EXEC_SMALL};
    if (!walk_begin(&w)) return;
    lap(&w, EXEC_EMBED);
    for (int i = x->step0; i < x->step1; i++) {
        const plan_step *s = &pl->step[i];
        if (i == x->trim_step) {
            walk_trim(&w);
            if (w.n == 0) return;
        }
        if (me == 0 && x->watch) exec_watch(&w, s);
        if (w.n_lora > 0) {
            if (!exec_lora_in(&w, s)) return;
            lap(&w, EXEC_LORA);
        }
        if (!step_run(&w, s)) return;
        bool alone = w.small && (s->op == PLAN_NORM || s->op == PLAN_ROUTE);
        if (!alone && s->op != PLAN_HEAD && s->op != PLAN_END && !exec_sync(&w)) return;
        lap(&w, (int)s->op);
    }
}

/* What every member runs. */
static void walk(team *t, int me, void *ud) {
    model_exec *x = ud;
    (void)t;
    walk_steps(x, me);
    if (me == 0) x->left_ns = clock_now_ns();
}

static bool hidden_check(const model_exec *x, err *e) {
    int64_t n = x->m->p.pub.n_embd;
    for (int64_t i = 0; x->hidden && i < x->n_want * n; i++)
        if (!isfinite(x->hidden[i]))
            return err_set(e, ERR_FAILED,
                           "%s: value %lld of the final state of row %lld is not a finite number: "
                           "damaged weights",
                           gguf_path(x->m->g), (long long)(i % n), (long long)(i / n));
    return true;
}

bool model_exec_run_nextn(model_exec *x, const model_batch *b, const float *before, float *logits,
                          float *hidden, err *e) {
    x->before = before;
    return model_exec_run(x, b, logits, hidden, e);
}

bool model_exec_run(model_exec *x, const model_batch *b, float *logits, float *hidden, err *e) {
    if (!run_begin(x, b, logits, hidden, e)) return false;
    if (b->n_rows <= EXEC_SMALL)
        for (int r = 0; r < b->n_rows; r++) rope_rows(x, r);
    team_run(x->t, walk, x);
    x->seconds[EXEC_WAIT] += (double)(clock_now_ns() - x->left_ns) * 1e-9; /* for the others */
    if (x->stop[0] || x->stop[1]) return err_set(e, ERR_INTERRUPTED, "cancelled");
    if (!hidden_check(x, e)) return false;
    int64_t bad = atomic_load_explicit(&x->bad, memory_order_relaxed);
    if (!bad) return true;
    int64_t n = x->m->p.pub.n_vocab;
    return err_set(e, ERR_FAILED,
                   "%s: logit %lld of output row %lld is not a finite number: damaged weights",
                   gguf_path(x->m->g), (long long)((bad - 1) % n), (long long)((bad - 1) / n));
}

int model_exec_profile(model_exec *x, const char **names, double *seconds, int cap, bool reset) {
    static const char *const kinds[EXEC_KINDS] = {
        [PLAN_NORM] = "norm",       [PLAN_QKV] = "qkv",           [PLAN_ATTN] = "attention",
        [PLAN_OUT] = "output",      [PLAN_GATE_UP] = "gate-up",   [PLAN_DOWN] = "down",
        [PLAN_ROUTE] = "route",     [PLAN_EXP_UP] = "experts-up", [PLAN_EXP_DOWN] = "experts-down",
        [PLAN_HEAD] = "head",       [PLAN_END] = "end",           [PLAN_JOIN] = "join",
        [EXEC_EMBED] = "embedding", [EXEC_LORA] = "adapters",     [EXEC_WAIT] = "wait"};
    for (int i = 0; i < EXEC_KINDS && i < cap; i++) {
        names[i] = kinds[i];
        seconds[i] = x->seconds[i];
    }
    if (reset) memset(x->seconds, 0, sizeof x->seconds);
    return EXEC_KINDS;
}
