/* Adapters beside a step: A x of its input before it, B (A x) on top of each of its panels.
 *
 * The rows of a batch are listed once for each adapter that any of them uses, so an adapter's
 * weights are read once however many sequences share it. Adapters stand in the order of their
 * hashes: where a row has several, what they add is added in the same order in every batch.
 */
#include "model/exec_private.h"

#include <stdlib.h>

#include "base/checked.h"
#include "model/memory.h"

#define LORA_TILE 32 /* rows that one call of a product takes */

/* ---- before a run: who uses what ---- */

static int lora_order(const model_lora *a, const model_lora *b) {
    int by_hash = memcmp(a->print, b->print, sizeof a->print);
    return by_hash ? by_hash : (a > b) - (a < b);
}

/* The adapter's place among those in force; it is put there if need be. -1: memory. */
static int place_of(model_exec *x, const model_lora *l) {
    int i = 0;
    while (i < x->n_loras && lora_order(x->lora_all[i].l, l) < 0) i++;
    if (i < x->n_loras && x->lora_all[i].l == l) return i;
    if (x->n_loras == x->cap_loras) {
        int cap = x->cap_loras ? 2 * x->cap_loras : 8;
        exec_lora *all = realloc(x->lora_all, (size_t)cap * sizeof *all);
        if (all) x->lora_all = all;
        exec_lora *want = all ? realloc(x->lora_want, (size_t)cap * sizeof *want) : NULL;
        if (want) x->lora_want = want;
        if (!want) return -1;
        x->cap_loras = cap;
    }
    memmove(x->lora_all + i + 1, x->lora_all + i, (size_t)(x->n_loras - i) * sizeof *x->lora_all);
    x->lora_all[i] = (exec_lora){.l = l};
    x->n_loras++;
    return i;
}

static bool uses_check(const model_exec *x, const model_seq *s, int seq, err *e) {
    for (int i = 0; i < s->n_lora; i++) {
        if (s->lora[i].lora->m != x->m)
            return err_set(e, ERR_USAGE, "sequence %d names an adapter of another model", seq);
        for (int j = 0; j < i; j++)
            if (s->lora[j].lora == s->lora[i].lora)
                return err_set(e, ERR_USAGE, "sequence %d names an adapter twice", seq);
    }
    return true;
}

/* Buffers of the run: lists of rows, A x of a step, and what a member needs for itself. */
static bool buffers_fit(model_exec *x, err *e) {
    uint64_t lists = 0, part = 0, most_rank = 1, own, all;
    for (int i = 0; i < x->n_loras; i++) {
        const exec_lora *u = &x->lora_all[i];
        lists += (uint64_t)u->n + 32; /* each begins on a cache line */
        part += (uint64_t)u->n * (uint64_t)u->l->part_floats;
        if ((uint64_t)u->l->info.rank > most_rank) most_rank = (uint64_t)u->l->info.rank;
    }
    own = LORA_TILE * (most_rank + 16 + KERN_ROWS);
    all = 4 * lists + part + own * (uint64_t)x->n_threads; /* rows and scales, twice */
    if (all > SIZE_MAX / 64 || all * sizeof(float) > x->lora_map_bytes) {
        memory_unmap(x->lora_map, x->lora_map_bytes);
        x->lora_map_bytes = 0;
        x->lora_map = all > SIZE_MAX / 64 ? NULL : memory_map((size_t)all * sizeof(float));
        if (!x->lora_map)
            return err_set(e, ERR_NO_FIT, "no memory for the adapters of a batch of %d rows",
                           x->b->n_rows);
        x->lora_map_bytes = (size_t)all * sizeof(float);
    }
    float *at = x->lora_map;
    for (int i = 0; i < x->n_loras; i++) {
        exec_lora *lists_of[] = {&x->lora_all[i], &x->lora_want[i]};
        size_t n = ((size_t)x->lora_all[i].n + 15) / 16 * 16;
        x->lora_want[i] = x->lora_all[i];
        for (int k = 0; k < 2; k++) {
            lists_of[k]->n = 0;
            lists_of[k]->row = (int32_t *)(void *)at;
            lists_of[k]->scale = at + n;
            at += 2 * n;
        }
    }
    for (int i = 0; i < x->n_loras; i++) {
        x->lora_all[i].part = x->lora_want[i].part = at;
        at += (size_t)(x->lora_all[i].cap * x->lora_all[i].l->part_floats);
    }
    for (int i = 0; i < x->n_threads; i++, at += own) {
        x->local[i].lora_in = at;
        x->local[i].lora_out = at + LORA_TILE * ((most_rank + 15) / 16 * 16);
    }
    return true;
}

static void rows_list(const model_exec *x, exec_lora *list, const exec_seg *seg, int n_seg) {
    for (int s = 0; s < n_seg; s++) {
        const model_seq *q = &x->b->seqs[seg[s].seq];
        for (int k = 0; k < q->n_lora; k++) {
            exec_lora *u = list;
            while (u->l != q->lora[k].lora) u++;
            for (int i = 0; i < seg[s].n; i++) {
                u->row[u->n] = seg[s].i0 + i;
                u->scale[u->n++] = q->lora[k].scale;
            }
        }
    }
}

bool exec_lora_begin(model_exec *x, err *e) {
    x->n_loras = 0;
    for (int s = 0; s < x->n_seg_all; s++) {
        const model_seq *q = &x->b->seqs[x->seg_all[s].seq];
        if (q->n_lora > 0 && !uses_check(x, q, x->seg_all[s].seq, e)) return false;
        for (int k = 0; k < q->n_lora; k++)
            if (place_of(x, q->lora[k].lora) < 0)
                return err_set(e, ERR_NO_FIT, "no memory for the adapters of a batch");
    }
    if (x->n_loras == 0) return true;
    for (int s = 0; s < x->n_seg_all; s++) {
        const model_seq *q = &x->b->seqs[x->seg_all[s].seq];
        for (int k = 0; k < q->n_lora; k++)
            x->lora_all[place_of(x, q->lora[k].lora)].n += x->seg_all[s].n;
    }
    for (int i = 0; i < x->n_loras; i++) x->lora_all[i].cap = x->lora_all[i].n;
    if (!buffers_fit(x, e)) return false;
    rows_list(x, x->lora_all, x->seg_all, x->n_seg_all);
    rows_list(x, x->lora_want, x->seg_want, x->n_seg_want);
    return true;
}

void exec_lora_free(model_exec *x) {
    memory_unmap(x->lora_map, x->lora_map_bytes);
    free(x->lora_all);
    free(x->lora_want);
}

/* The first place in the list whose row is `row` or later. */
static int list_find(const exec_lora *u, int32_t row) {
    int low = 0, high = u->n;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (u->row[mid] < row) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* ---- A x ---- */

/* What the matrices of a step read, as floats. */
static kern_act input_of(const exec_walk *w, const plan_step *s) {
    bool down = s->op == PLAN_DOWN || s->op == PLAN_EXP_DOWN;
    kern_act a = s->op == PLAN_OUT ? w->x->a : down ? w->x->f : *exec_h(w);
    if (s->op == PLAN_OUT || down) a.k = exec_mat(w->x, s->w)->k;
    return a;
}

static int n_items(const exec_lora *u, const lora_group *g) {
    return g ? g->n_panels * g->n_spans * ((u->n + LORA_TILE - 1) / LORA_TILE) : 0;
}

/* One span of one panel, for a tile of the rows that use it. A row of x is n_spans rows of a span's
 * length. */
static void span_run(const exec_walk *w, const exec_lora *u, const lora_group *g, kern_act in,
                     int item) {
    int32_t rows[LORA_TILE];
    int tile = item / (g->n_panels * g->n_spans), at = item % (g->n_panels * g->n_spans);
    int j0 = tile * LORA_TILE, n = u->n - j0 < LORA_TILE ? u->n - j0 : LORA_TILE;
    for (int j = 0; j < n; j++) rows[j] = u->row[j0 + j] * g->n_spans + at % g->n_spans;
    in.k = g->k / g->n_spans;
    w->x->k->matmul(g->f, g->a + (size_t)at * g->a_bytes, &in, rows, 0, n,
                    u->part + ((int64_t)at * u->n + j0) * KERN_ROWS);
}

/* ---- A x, of a mixture ---- */

/* The rows of a tile that chose expert e and use the adapter. */
typedef struct expert_tile {
    int32_t at[LORA_TILE]; /* pairs */
    int32_t in[LORA_TILE]; /* rows of the step's input */
    int32_t to[LORA_TILE]; /* places among the experts of the adapter's rows */
    float scale[LORA_TILE];
    int n, next; /* next: the pair behind the tile */
} expert_tile;

/* The place of expert e among those that row i has chosen. */
static int32_t choice_of(const exec_walk *w, int32_t i, int32_t n_used, int32_t e) {
    const int32_t *top = (w->small ? w->l->top : w->x->top) + (int64_t)i * n_used;
    int32_t k = 0;
    while (k < n_used - 1 && top[k] != e) k++;
    return k;
}

/* Pairs [from, to) of expert e, until the tile is full. */
static void tile_gather(const exec_walk *w, const exec_lora *u, const plan_step *s, int32_t e,
                        int from, int to, expert_tile *tile) {
    const int32_t *row = w->l->pair_row;
    int32_t n_used = u->l->n_used;
    int j = from < to ? list_find(u, row[from]) : u->n;
    tile->n = 0;
    for (; from < to && tile->n < LORA_TILE && j < u->n; from++) {
        while (j < u->n && u->row[j] < row[from]) j++;
        if (j == u->n || u->row[j] != row[from]) continue;
        tile->at[tile->n] = from;
        tile->in[tile->n] = s->op == PLAN_EXP_DOWN ? from : row[from];
        tile->to[tile->n] = j * n_used + choice_of(w, row[from], n_used, e);
        tile->scale[tile->n++] = u->scale[j];
    }
    tile->next = j == u->n ? to : from;
}

/* One span of the panels that hold one expert's lanes of a pair. */
static void expert_span_run(const exec_walk *w, const exec_lora *u, const plan_step *s,
                            const lora_group *g, const lora_pair *p, kern_act in, int32_t e,
                            int span) {
    int32_t n_panels, panel = lora_panel_of(p, e, &n_panels);
    int64_t places = (int64_t)u->n * u->l->n_used;
    expert_tile t = {.next = w->l->pair_first[e]};
    in.k = g->k / g->n_spans;
    while (t.next < w->l->pair_first[e + 1]) {
        tile_gather(w, u, s, e, t.next, w->l->pair_first[e + 1], &t);
        for (int i = 0; i < t.n; i++) t.in[i] = t.in[i] * g->n_spans + span;
        for (int32_t i = 0; i < n_panels && t.n > 0; i++) {
            int64_t at = (int64_t)(panel + i) * g->n_spans + span;
            float *part = u->part + ((p->part0 + i) * g->n_spans + span) * places * KERN_ROWS;
            w->x->k->matmul(g->f, g->a + (size_t)at * g->a_bytes, &in, t.in, 0, t.n,
                            w->l->lora_out);
            for (int j = 0; j < t.n; j++)
                memcpy(part + (int64_t)t.to[j] * KERN_ROWS, w->l->lora_out + j * KERN_ROWS,
                       KERN_ROWS * sizeof(float));
        }
    }
}

/* Items: adapters, by experts that have rows, by spans. */
static bool experts_in(exec_walk *w, const plan_step *s) {
    int step = (int)(s - w->x->m->pl.step), n_spans = 0;
    for (int k = 0; k < w->n_lora; k++) {
        const lora_group *g = lora_group_of(w->lora[k].l, step);
        if (g) n_spans += g->n_spans;
    }
    if (n_spans == 0) return true;
    kern_act in = input_of(w, s);
    for (int item; (item = team_next(w->x->t)) < n_spans * w->l->n_active;) {
        int32_t e = w->l->active[item / n_spans];
        int span = item % n_spans, k = 0;
        for (const lora_group *g;; k++) {
            g = lora_group_of(w->lora[k].l, step);
            if (g && span < g->n_spans) break;
            if (g) span -= g->n_spans;
        }
        const model_lora *l = w->lora[k].l;
        const plan_ref refs[] = {s->w, s->w2};
        for (int i = 0; i < 2; i++) {
            const lora_pair *p = refs[i] == PLAN_NONE ? NULL : lora_pair_of(l, refs[i]);
            if (p) expert_span_run(w, &w->lora[k], s, lora_group_of(l, step), p, in, e, span);
        }
    }
    return exec_sync(w);
}

bool exec_lora_in(exec_walk *w, const plan_step *s) {
    int step = (int)(s - w->x->m->pl.step), total = 0, k = 0, before = 0;
    if (s->op == PLAN_EXP_UP || s->op == PLAN_EXP_DOWN) return experts_in(w, s);
    for (int i = 0; i < w->n_lora; i++)
        total += n_items(&w->lora[i], lora_group_of(w->lora[i].l, step));
    if (total == 0) return true;
    kern_act in = input_of(w, s);
    for (int item; (item = team_next(w->x->t)) < total;) {
        const lora_group *g;
        for (;; before += n_items(&w->lora[k++], g)) {
            g = lora_group_of(w->lora[k].l, step);
            if (item < before + n_items(&w->lora[k], g)) break;
        }
        span_run(w, &w->lora[k], g, in, item - before);
    }
    return exec_sync(w);
}

/* ---- B (A x) ---- */

/* A x of place j of `places`, times the scale: the spans in their order. Lanes are counted from the
 * first panel that is in `part`. */
static void gather(const lora_group *g, const float *part, int64_t places, int64_t j, int32_t lane0,
                   int32_t rank, float scale, float *dst) {
    int64_t next = places * KERN_ROWS; /* from a span to the next one */
    for (int32_t r = 0, n; r < rank; r += n) {
        int32_t panel = (lane0 + r) / KERN_ROWS, lane = (lane0 + r) % KERN_ROWS;
        n = rank - r < KERN_ROWS - lane ? rank - r : KERN_ROWS - lane;
        const float *at = part + panel * g->n_spans * next + j * KERN_ROWS + lane;
        memcpy(dst + r, at, (size_t)n * sizeof *dst);
        for (int32_t s = 1; s < g->n_spans; s++)
            for (int32_t i = 0; i < n; i++) dst[r + i] += at[s * next + i];
        for (int32_t i = 0; i < n; i++) dst[r + i] *= scale;
    }
}

/* The tile's m rows times panel p of B, added to the rows of c that `to` names. */
static void tile_add(const exec_walk *w, const lora_pair *pair, int64_t p, int m, const int32_t *to,
                     float *c) {
    kern_act in = {.k = pair->rank, .x = w->l->lora_in};
    w->x->k->matmul(pair->f, pair->b + (size_t)p * pair->b_bytes, &in, NULL, 0, m, w->l->lora_out);
    for (int i = 0; i < m; i++)
        w->x->k->add(c + (int64_t)to[i] * KERN_ROWS, w->l->lora_out + i * KERN_ROWS, KERN_ROWS);
}

void exec_lora_out(const exec_walk *w, const plan_step *s, plan_ref ref, int64_t p,
                   const int32_t *rows, int t0, int n, float *c) {
    int step = (int)(s - w->x->m->pl.step);
    for (int k = 0; k < w->n_lora; k++) {
        const exec_lora *u = &w->lora[k];
        const lora_pair *pair = lora_pair_of(u->l, ref);
        if (!pair || n == 0) continue;
        const lora_group *g = lora_group_of(u->l, step);
        int32_t to[LORA_TILE];
        int m = 0, j = list_find(u, rows ? rows[0] : t0);
        for (int i = 0; i < n && j < u->n; i++) {
            int32_t row = rows ? rows[i] : t0 + i;
            while (j < u->n && u->row[j] < row) j++;
            if (j == u->n || u->row[j] != row) continue;
            gather(g, u->part, u->n, j, pair->lane0, pair->rank, u->scale[j] * pair->gain,
                   w->l->lora_in + (int64_t)m * pair->rank);
            to[m++] = i;
            if (m < LORA_TILE) continue;
            tile_add(w, pair, p, m, to, c);
            m = 0;
        }
        if (m > 0) tile_add(w, pair, p, m, to, c);
    }
}

void exec_lora_expert_out(const exec_walk *w, const plan_step *s, plan_ref ref, int32_t e,
                          int64_t p, int t0, int n, float *c) {
    int step = (int)(s - w->x->m->pl.step);
    for (int k = 0; k < w->n_lora; k++) {
        const exec_lora *u = &w->lora[k];
        const lora_pair *pair = lora_pair_of(u->l, ref);
        if (!pair) continue;
        const lora_group *g = lora_group_of(u->l, step);
        int64_t places = (int64_t)u->n * u->l->n_used;
        const float *part = u->part + (int64_t)pair->part0 * g->n_spans * places * KERN_ROWS;
        expert_tile t = {.next = t0};
        while (t.next < t0 + n) {
            int32_t to[LORA_TILE];
            tile_gather(w, u, s, e, t.next, t0 + n, &t);
            for (int i = 0; i < t.n; i++) {
                to[i] = t.at[i] - t0;
                gather(g, part, places, t.to[i], (pair->lane0 + e * pair->rank) % KERN_ROWS,
                       pair->rank, t.scale[i] * pair->gain,
                       w->l->lora_in + (int64_t)i * pair->rank);
            }
            if (t.n > 0) tile_add(w, pair, e * pair->n_panels + p, t.n, to, c);
        }
    }
}

/* ---- the embedding ---- */

void exec_lora_embed(const exec_walk *w, int32_t row, int32_t token, float *dst) {
    int64_t embd = w->x->m->p.pub.n_embd;
    for (int k = 0; k < w->n_lora; k++) {
        const exec_lora *u = &w->lora[k];
        int j = list_find(u, row);
        if (!u->l->embd_a || j == u->n || u->row[j] != row) continue;
        const lora_pair *pair = &u->l->pair[u->l->embd_pair];
        model_row_read(u->l->embd_a, token, pair->rank, w->l->lora_in);
        w->x->k->scale(w->l->lora_in, u->scale[j] * pair->gain, pair->rank);
        kern_act in = {.k = pair->rank, .x = w->l->lora_in};
        for (int32_t p = 0; p < pair->n_panels; p++) {
            int64_t col = (int64_t)p * KERN_ROWS,
                    width = embd - col < KERN_ROWS ? embd - col : KERN_ROWS;
            w->x->k->matmul(pair->f, pair->b + (size_t)p * pair->b_bytes, &in, NULL, 0, 1,
                            w->l->lora_out);
            w->x->k->add(dst + col, w->l->lora_out, width);
        }
    }
}
