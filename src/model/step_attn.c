/* Attention: queries against the pages of their sequence.
 *
 * A unit is some query rows (positions of one sequence x heads that share a KV head). Its context
 * is cut into chunks of KERN_ATTN_CHUNK absolute positions, each computed by itself and then merged
 * in order, so how units and chunks are dealt out has no influence on any value. Many units: one
 * member does all chunks of its unit. Few: chunks are items of their own, and a second round
 * merges.
 *
 * Sequences that begin with the same pages, of which each has few rows, are one unit: a chunk whose
 * pages are the same for all of them is read once for all their rows.
 */
#include "model/exec_private.h"

#include <string.h>

typedef struct attn_job {
    const plan_heads *h;
    const float *sinks;
    kern_act a; /* with this layer's width */
    bool reads_q;
    int group;           /* query heads of one KV head */
    int tile;            /* positions of a unit */
    int family;          /* sequences of a unit at most; more than one only without a window */
    int parts, per_part; /* a unit's heads are split into parts */
    int n_units;         /* over all segments and KV heads, not counting parts */
    int32_t chunks;      /* most chunks that a row sees */
} attn_job;

/* One item's rows. */
typedef struct attn_unit {
    int32_t seq, kv_head, head0, heads; /* query heads head0 .. */
    int seg, n_seg;                     /* of these sequences, all rows; seq is the first's */
    int i0, n;                          /* rows alive */
    int32_t lo, hi;                     /* positions that any of its rows sees */
} attn_unit;

static int32_t row_hi(const exec_walk *w, int i) {
    return w->x->end[w->live[i]];
}

/* Of n rows: those of several sequences come in any order. */
static int32_t rows_hi(const exec_walk *w, int i0, int n) {
    int32_t hi = 0;
    for (int i = i0; i < i0 + n; i++)
        if (row_hi(w, i) > hi) hi = row_hi(w, i);
    return hi;
}

static int32_t row_lo(const exec_walk *w, const plan_heads *h, int i) {
    int32_t pos = w->x->b->rows[w->live[i]].pos;
    return h->window > 0 && pos >= h->window ? pos - h->window + 1 : 0;
}

static int32_t first_chunk(int32_t lo) {
    return lo / KERN_ATTN_CHUNK;
}

static int32_t end_chunk(int32_t hi) {
    return (hi + KERN_ATTN_CHUNK - 1) / KERN_ATTN_CHUNK;
}

static const void *first_page(const exec_walk *w, const attn_job *j, int s) {
    return w->x->b->seqs[w->seg[s].seq].page[j->h->group][0];
}

/* How many sequences, of which s is the last, are one unit. */
static int family_of(const exec_walk *w, const attn_job *j, int s) {
    int n = 1, rows = w->seg[s].n;
    while (n < j->family && n <= s) {
        rows += w->seg[s - n].n;
        if (rows > j->tile || first_page(w, j, s - n) != first_page(w, j, s)) break;
        n++;
    }
    return n;
}

static int tiles_of(const exec_walk *w, const attn_job *j, int s) {
    return (w->seg[s].n + j->tile - 1) / j->tile;
}

/* Units are numbered from the last rows to the first: those see most and are started first. */
static attn_unit unit_at(const exec_walk *w, const attn_job *j, int item) {
    int unit = item / j->parts, part = item % j->parts, per_tile = j->h->n_head_kv;
    for (int s = w->n_seg - 1, n; s >= 0; s -= n) {
        n = family_of(w, j, s);
        int tiles = n > 1 ? 1 : tiles_of(w, j, s);
        if (unit >= tiles * per_tile) {
            unit -= tiles * per_tile;
            continue;
        }
        const exec_seg *seg = &w->seg[s - n + 1];
        int tile = tiles - 1 - unit / per_tile, kv_head = unit % per_tile;
        attn_unit u = {.seq = seg->seq, .kv_head = kv_head, .seg = s - n + 1, .n_seg = n};
        u.i0 = seg->i0 + tile * j->tile;
        u.n = w->seg[s].i0 + w->seg[s].n - u.i0;
        if (u.n > j->tile) u.n = j->tile;
        u.head0 = kv_head * j->group + part * j->per_part;
        u.heads = j->group - part * j->per_part < j->per_part ? j->group - part * j->per_part
                                                              : j->per_part;
        u.lo = row_lo(w, j->h, u.i0);
        u.hi = rows_hi(w, u.i0, u.n);
        return u;
    }
    return (attn_unit){0};
}

/* The sequences [s, ...) of u that read the same pages in a chunk, which all their rows see whole:
 * as a unit of their own. */
static attn_unit unit_sharing(const exec_walk *w, const attn_job *j, const attn_unit *u, int s,
                              int32_t chunk) {
    const exec_seg *seg = &w->seg[s];
    attn_unit some = *u;
    if (u->n_seg == 1) return some;
    int32_t end = (chunk + 1) * KERN_ATTN_CHUNK, page = chunk * (KERN_ATTN_CHUNK / KERN_PAGE);
    size_t bytes = KERN_ATTN_CHUNK / KERN_PAGE * sizeof(void *);
    void *const *pages = w->x->b->seqs[seg->seq].page[j->h->group] + page;
    int n = 1;
    while (row_hi(w, seg->i0) >= end && s + n < u->seg + u->n_seg) {
        if (row_hi(w, seg[n].i0) < end) break;
        if (memcmp(w->x->b->seqs[seg[n].seq].page[j->h->group] + page, pages, bytes) != 0) break;
        n++;
    }
    some.seq = seg->seq, some.seg = s, some.n_seg = n, some.i0 = seg->i0;
    some.n = seg[n - 1].i0 + seg[n - 1].n - seg->i0;
    some.hi = rows_hi(w, some.i0, some.n);
    return some;
}

/* One chunk of one unit; m, l and acc are of the unit's rows. */
static void chunk_run(const exec_walk *w, const attn_job *j, const attn_unit *u, int32_t chunk,
                      float *m, float *l, float *const *acc) {
    const model_exec *x = w->x;
    const plan_heads *h = j->h;
    const void *block[KERN_ATTN_CHUNK / KERN_PAGE];
    int32_t from = chunk * KERN_ATTN_CHUNK, to = from + KERN_ATTN_CHUNK;
    if (from < u->lo) from = u->lo / KERN_PAGE * KERN_PAGE;
    if (to > u->hi) to = u->hi;
    int n_blocks = (to - from + KERN_PAGE - 1) / KERN_PAGE;
    size_t at = ((size_t)h->slot * (size_t)h->n_head_kv + (size_t)u->kv_head) *
                x->block_bytes[h->group];
    for (int b = 0; b < n_blocks; b++)
        block[b] = (const uint8_t *)x->b->seqs[u->seq].page[h->group][from / KERN_PAGE + b] + at;
    exec_local *lo = w->l;
    int n = 0;
    for (int i = u->i0; i < u->i0 + u->n; i++) {
        const float *q = x->q + (int64_t)w->live[i] * h->n_head * h->head_dim_k;
        for (int hd = u->head0; hd < u->head0 + u->heads; hd++, n++) {
            lo->attn_q[n] = q + hd * h->head_dim_k;
            lo->attn_lo[n] = row_lo(w, h, i);
            lo->attn_hi[n] = row_hi(w, i);
        }
    }
    kern_attn a = {.shape = x->shape[h->group],
                   .scale = h->scale,
                   .softcap = h->softcap,
                   .n_rows = n,
                   .q = lo->attn_q,
                   .lo = lo->attn_lo,
                   .hi = lo->attn_hi,
                   .block = block,
                   .pos0 = from,
                   .n_blocks = n_blocks,
                   .m = m,
                   .l = l,
                   .acc = acc};
    x->k->attn(&a);
}

/* One output head: its chunks merged, and quantised where the next matrix wants that. Partial
 * results of chunk c are at slot(c) = slot0 + c * step. */
static void head_merge(const exec_walk *w, attn_job *j, int i, int head, const float *m,
                       const float *l, const float *acc, int64_t slot0, int64_t step) {
    exec_local *lo = w->l;
    int dv = j->h->head_dim_v, n = 0;
    int32_t c0 = first_chunk(row_lo(w, j->h, i)), c1 = end_chunk(row_hi(w, i));
    for (int32_t c = c0; c < c1; c++, n++) {
        int64_t slot = slot0 + (int64_t)n * step;
        lo->merge_m[n] = m[slot];
        lo->merge_l[n] = l[slot];
        lo->merge_acc[n] = acc + slot * dv;
    }
    int64_t at = (int64_t)i * j->a.k + (int64_t)head * dv;
    kern_attn_merge(n, lo->merge_m, lo->merge_l, lo->merge_acc, dv,
                    j->sinks ? j->sinks + head : NULL, j->a.x + at);
    if (j->reads_q && dv % KERN_BLOCK == 0)
        w->x->k->quantize(j->a.x + at, dv, j->a.q + at, j->a.d + at / KERN_BLOCK,
                          j->a.sum16 + at / 16);
}

/* All chunks of one unit, kept and merged by one member: slot = chunk * rows + row. */
static void whole_unit(const exec_walk *w, attn_job *j, const attn_unit *u) {
    exec_local *lo = w->l;
    int rows = u->n * u->heads, dv = j->h->head_dim_v;
    int32_t c0 = first_chunk(u->lo), c1 = end_chunk(u->hi);
    for (int32_t c = c0; c < c1; c++) {
        int64_t slot = (int64_t)(c - c0) * rows;
        for (int r = 0; r < rows; r++) lo->attn_acc[r] = lo->part_acc + (slot + r) * dv;
        for (int s = u->seg; s < u->seg + u->n_seg;) {
            attn_unit some = unit_sharing(w, j, u, s, c);
            int at = (some.i0 - u->i0) * u->heads;
            if (some.hi > c * KERN_ATTN_CHUNK)
                chunk_run(w, j, &some, c, lo->part_m + slot + at, lo->part_l + slot + at,
                          lo->attn_acc + at);
            s += some.n_seg;
        }
    }
    for (int r = 0; r < rows; r++) {
        int i = u->i0 + r / u->heads;
        int64_t skip = first_chunk(row_lo(w, j->h, i)) - c0;
        head_merge(w, j, i, u->head0 + r % u->heads, lo->part_m, lo->part_l, lo->part_acc,
                   skip * rows + r, rows);
    }
}

/* One chunk of one unit, kept for the second round: slot = (chunk - the row's first) of row i,
 * head. */
static void split_unit(const exec_walk *w, attn_job *j, const attn_unit *u, int32_t c) {
    model_exec *x = w->x;
    exec_local *lo = w->l;
    int dv = j->h->head_dim_v, n = 0;
    int32_t chunk = first_chunk(u->lo) + c;
    if (chunk >= end_chunk(u->hi)) return;
    int rows = u->n * u->heads;
    for (int r = 0; r < rows; r++) lo->attn_acc[r] = lo->part_acc + (int64_t)r * dv;
    chunk_run(w, j, u, chunk, lo->part_m, lo->part_l, lo->attn_acc);
    for (int i = u->i0; i < u->i0 + u->n; i++) {
        int32_t own = chunk - first_chunk(row_lo(w, j->h, i));
        for (int hd = u->head0; hd < u->head0 + u->heads; hd++, n++) {
            if (own < 0) continue;
            int64_t slot = ((int64_t)i * j->h->n_head + hd) * j->chunks + own;
            x->part_m[slot] = lo->part_m[n];
            x->part_l[slot] = lo->part_l[n];
            memcpy(x->part_acc + slot * dv, lo->attn_acc[n], (size_t)dv * sizeof(float));
        }
    }
}

/* Most chunks that one row, or the rows of one tile, see. */
static int32_t chunks_of(const exec_walk *w, const plan_heads *h) {
    int32_t most = 1;
    for (int s = 0; s < w->n_seg; s++) {
        int last = w->seg[s].i0 + w->seg[s].n - 1;
        for (int i = w->seg[s].i0; i <= last; i++) {
            int32_t n = end_chunk(row_hi(w, i)) - first_chunk(row_lo(w, h, i));
            if (n > most) most = n;
        }
    }
    return most;
}

/* After the last layer's trim, rows of one sequence may lie far apart; with a window, what they see
 * together then has holes, and each is a unit of its own. */
static bool has_gaps(const exec_walk *w, const plan_heads *h) {
    for (int s = 0; s < w->n_seg && h->window > 0; s++) {
        int first = w->seg[s].i0, last = first + w->seg[s].n - 1;
        if (row_hi(w, last) - row_hi(w, first) != last - first) return true;
    }
    return false;
}

static int units_count(const exec_walk *w, attn_job *j) {
    j->n_units = 0;
    for (int s = w->n_seg - 1, n; s >= 0; s -= n) {
        n = family_of(w, j, s);
        j->n_units += (n > 1 ? 1 : tiles_of(w, j, s)) * j->h->n_head_kv;
    }
    return j->n_units;
}

static void job_shape(const exec_walk *w, attn_job *j) {
    const model_exec *x = w->x;
    j->group = j->h->n_head / j->h->n_head_kv;
    j->chunks = chunks_of(w, j->h);
    j->tile = EXEC_ATTN_ROWS / j->group > 1 && !has_gaps(w, j->h) ? EXEC_ATTN_ROWS / j->group : 1;
    /* A tile's rows lie up to a chunk apart, so it may see one chunk more than each of them. */
    while (j->tile > 1 && (int64_t)j->tile * j->group * (j->chunks + 1) > x->part_slots) j->tile--;
    j->family = j->h->window > 0 ? 1 : w->n_seg < j->tile ? w->n_seg : j->tile;
    while (units_count(w, j) < 4 * x->n_threads && j->family > 1) j->family--;
    j->parts = 1;
    j->per_part = j->group;
    if (j->n_units < 2 * x->n_threads) {
        int want = (2 * x->n_threads + j->n_units - 1) / j->n_units;
        j->per_part = (j->group + want - 1) / want;
        j->parts = (j->group + j->per_part - 1) / j->per_part;
    }
}

/* Rows quantised whole, where heads do not end on a block's border. */
static void rows_quantize(const exec_walk *w, const attn_job *j) {
    const model_exec *x = w->x;
    for (int i; (i = team_next(x->t)) < w->n;) {
        int64_t at = i * j->a.k;
        x->k->quantize(j->a.x + at, j->a.k, j->a.q + at, j->a.d + at / KERN_BLOCK,
                       j->a.sum16 + at / 16);
    }
}

bool exec_attn(exec_walk *w, const plan_step *s, bool reads_q) {
    model_exec *x = w->x;
    attn_job j = {.h = &x->m->pl.heads[s->heads],
                  .sinks = exec_vec(x, s->sinks),
                  .a = x->a,
                  .reads_q = reads_q};
    j.a.k = (int64_t)j.h->n_head * j.h->head_dim_v;
    job_shape(w, &j);
    int items = j.n_units * j.parts;
    bool split = j.chunks > 1 && items < 4 * x->n_threads &&
                 (int64_t)w->n * j.h->n_head * j.chunks <= x->shared_slots;
    if (split) {
        /* The chunks that all rows of a tile see together are at most one more than one row's. */
        int32_t per_unit = j.chunks + 1;
        for (int i; (i = team_next(x->t)) < items * per_unit;) {
            attn_unit u = unit_at(w, &j, i / per_unit);
            split_unit(w, &j, &u, i % per_unit);
        }
        if (!exec_sync(w)) return false;
        for (int i; (i = team_next(x->t)) < w->n * j.h->n_head;)
            head_merge(w, &j, i / j.h->n_head, i % j.h->n_head, x->part_m, x->part_l, x->part_acc,
                       (int64_t)i * j.chunks, 1);
    } else {
        for (int i; (i = team_next(x->t)) < items;) {
            attn_unit u = unit_at(w, &j, i);
            whole_unit(w, &j, &u);
        }
    }
    if (!reads_q || j.h->head_dim_v % KERN_BLOCK == 0) return true;
    if (!exec_sync(w)) return false;
    rows_quantize(w, &j);
    return true;
}
