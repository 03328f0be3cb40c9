/* Summing up: an encoder's steps, and what of a step's final states is kept.
 *
 * An encoder's request is read whole in one step, so it has no state between steps: its keys and
 * values are scratch, and preempting it loses nothing. A decoder's request goes through engine_step
 * like any other, and leaves behind what is taken here; a mean is added up in the order of
 * positions, however the text was cut.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "engine/engine_private.h"
#include "model/memory.h"

bool encode_buffers(hearth_engine *g, err *e) {
    const model *m = g->model->inner;
    uint64_t bytes, n_pages = (uint64_t)g->batch_tokens / KV_PAGE + (uint64_t)g->max_requests;
    bool ok = mul_u64((uint64_t)g->batch_tokens * sizeof *g->hidden, (uint64_t)g->n_embd, &bytes);
    g->hidden_bytes = ok ? (size_t)bytes : 0;
    g->hidden = ok ? memory_map(g->hidden_bytes) : NULL; /* touched where it is used */
    if (g->encoder && g->hidden) {
        g->scratch_page = model_kv_page_bytes(model_kv_group_at(m, 0), KERN_KV_F32);
        g->scratch_bytes = (size_t)n_pages * g->scratch_page;
        g->scratch = memory_map(g->scratch_bytes);
        g->scratch_at = calloc((size_t)n_pages, sizeof *g->scratch_at);
    }
    if (g->hidden && (!g->encoder || (g->scratch && g->scratch_at))) return true;
    return err_set(e, ERR_NO_FIT, "out of memory for batches of %d tokens", g->batch_tokens);
}

/* ---- what is kept ---- */

static void vec_add(float *sum, const float *x, int32_t n) {
    for (int32_t i = 0; i < n; i++) sum[i] += x[i];
}

void sum_take(const hearth_engine *g, hearth_request *r, int32_t row0) {
    summing *s = r->sum;
    const float *state = g->hidden + (size_t)row0 * (size_t)g->n_embd;
    size_t bytes = (size_t)g->n_embd * sizeof *state;
    int32_t end = r->computed + r->step_rows;
    if (s->n_done == 0) memset(s->vec, 0, bytes);
    for (int32_t pos = r->computed; pos < end; pos++, state += g->n_embd) {
        bool wanted = s->how == HEARTH_POOL_CLS ? pos == 0 : pos == r->n_tokens - 1;
        if (s->how == HEARTH_POOL_MEAN) vec_add(s->vec, state, g->n_embd);
        else if (wanted) memcpy(s->vec, state, bytes);
    }
    s->n_done = end;
    if (r->logits && s->yes >= 0) {
        s->yes_no[0] = r->logits[s->yes];
        s->yes_no[1] = r->logits[s->no];
    }
}

/* ---- an encoder's step ---- */

static void plan(hearth_engine *g) {
    turns_limits l = {.rows = g->batch_tokens, .page = KV_PAGE, .idle_s = 5 * g->step_s};
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->running[i];
        g->items[i] = (turns_item){.owner = r->owner_turns,
                                   .who = r,
                                   .rest = r->n_tokens,
                                   .served = r->served,
                                   .passed = r->passed};
    }
    turns_plan_whole(&g->turns, g->items, g->n_running, &g->cost, &l);
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->items[i].who;
        r->step_rows = g->items[i].rows;
        r->passed = g->items[i].passed;
    }
}

static int32_t build(hearth_engine *g) {
    int32_t n_rows = 0, n_pages = 0;
    g->n_batch = 0;
    g->shape = (cost_shape){0};
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->running[i];
        if (r->step_rows == 0) continue;
        int32_t s = g->n_batch++;
        g->batch[s] = r;
        g->seqs[s].page[0] = g->scratch_at + n_pages;
        for (int32_t p = 0; p < r->n_tokens; p += KV_PAGE, n_pages++)
            g->scratch_at[n_pages] = g->scratch + (size_t)n_pages * g->scratch_page;
        for (int32_t pos = 0; pos < r->n_tokens; pos++)
            g->rows[n_rows++] = (model_row){r->tokens[pos], pos, s, false,
                                            r->sum->n_first > 0 && pos >= r->sum->n_first};
        g->shape.rows += r->n_tokens;
        g->shape.context += (double)r->n_tokens * r->n_tokens;
    }
    return n_rows;
}

static bool run(hearth_engine *g, int32_t n_rows) {
    err e = {0};
    model_batch b = {g->seqs, g->n_batch, g->rows, n_rows,
                     g->n_batch == 1 ? &g->batch[0]->cancel : NULL};
    if (model_exec_run(g->exec, &b, NULL, g->hidden, &e)) return true;
    const model_row *rows = g->rows;
    for (int32_t i = 0; i < g->n_batch; i++) { /* each alone: who is to blame? */
        hearth_request *r = g->batch[i];
        float *hidden = g->hidden + (rows - g->rows) * g->n_embd;
        b = (model_batch){g->seqs, g->n_batch, rows, r->n_tokens, &r->cancel};
        e = (err){0};
        if (!model_exec_run(g->exec, &b, NULL, hidden, &e)) {
            if (e.code == ERR_INTERRUPTED) r->finish = HEARTH_FINISH_CANCELLED;
            else request_fail(r, &e);
        }
        rows += r->n_tokens;
    }
    return false;
}

void encode_step(hearth_engine *g) {
    double began = clock_now_s();
    plan(g);
    int32_t n_rows = build(g), row = 0;
    if (n_rows == 0) return;
    stats_step_began(g);
    bool whole = run(g, n_rows);
    for (int32_t i = 0; i < g->n_batch; i++) {
        hearth_request *r = g->batch[i];
        if (r->finish == HEARTH_FINISH_NONE) {
            sum_take(g, r, row);
            r->computed = r->n_tokens;
            r->finish = HEARTH_FINISH_LENGTH;
            g->stats.n_prefilled += (uint64_t)r->n_tokens;
        }
        row += r->n_tokens;
    }
    double seconds = clock_now_s() - began;
    if (whole) cost_learn(&g->cost, &g->shape, seconds);
    stats_step(g, n_rows, seconds);
    stats_step_ended(g);
}
