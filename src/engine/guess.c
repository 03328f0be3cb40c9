/* Guesses of a step: who makes them, how many there may be, and what becomes of them. The text's
 * own past is asked first, since it costs nothing; then a draft model, or the model's next-n
 * layer. */
#include "engine/engine_private.h"

/* Rows of a step that take about as long as one. */
#define FREE_ROWS (DRAFT_MOST + 1)

static bool may_guess(const hearth_engine *g, const hearth_request *r) {
    return r->step_rows == 1 && r->n_tokens - r->computed == 1 && r->max_tokens != 0 &&
           r->finish == HEARTH_FINISH_NONE && g->speculate;
}

/* Positions of r beyond its rows that may be had; where memory is short, only those of pages that
 * it has: a guess takes nothing from anybody. */
static int32_t guess_room(hearth_engine *g, hearth_request *r, int32_t most) {
    int32_t room = g->n_ctx - r->n_tokens - 1; /* each is followed by a draw */
    if (r->max_tokens > 0 && r->max_tokens - r->account.n_generated - 1 < room)
        room = r->max_tokens - r->account.n_generated - 1;
    if (most < room) room = most;
    int32_t in_page = (KV_PAGE - r->n_tokens % KV_PAGE) % KV_PAGE;
    if (room > in_page && (g->full || g->n_waiting > 0)) room = in_page;
    return room;
}

/* ---- who guesses ---- */

/* What this step asks of the others. */
typedef struct asked {
    int32_t n_drafter, n_nextn;
} asked;

/* Guesses from the past cost nothing: half as often right as what others say is enough. */
#define PAST_WORTH 0.5

/* From the text's own past: none, or so many. */
static int32_t by_past(hearth_engine *g, hearth_request *r, int32_t most) {
    const pace *other = g->drafter ? &r->drafted.pace : g->nextn ? &r->ahead.pace : NULL;
    double least = other && r->n_tokens >= other->rest_until ? PAST_WORTH * other->rate : 0;
    int32_t got = draft_guess(&r->draft, r->tokens, r->n_tokens, most, least, &g->cost, r->guess);
    r->guess_by = GUESS_PAST;
    return got > 0 && kv_seq_extend(g->kv, r->seq, r->n_tokens + got) ? got : 0;
}

/* Asks who is there for guesses; so many may come. */
static int32_t ask_others(hearth_engine *g, hearth_request *r, int32_t most, asked *n) {
    int32_t k = 0;
    if (most <= 0) return 0;
    if (g->drafter && r->drafted.sampler)
        k = drafter_most(g->drafter, &r->drafted, r->n_tokens,
                         most < g->draft_most ? most : g->draft_most, &g->cost);
    else if (g->nextn && r->ahead.sampler)
        k = nextn_most(g->nextn, &r->ahead, r->n_tokens, most, &g->cost);
    if (k == 0 || !kv_seq_extend(g->kv, r->seq, r->n_tokens + k)) return 0;
    if (g->drafter) {
        r->guess_by = GUESS_DRAFTER;
        g->jobs[n->n_drafter++] = (drafter_job){
            .s = &r->drafted, .tokens = r->tokens, .n = r->n_tokens, .most = k, .guess = r->guess};
    } else {
        r->guess_by = GUESS_NEXTN;
        g->nextn_jobs[n->n_nextn++] = (nextn_job){
            .s = &r->ahead, .tokens = r->tokens, .n = r->n_tokens, .most = k, .guess = r->guess};
    }
    return k;
}

/* Has the others guess, and finds whose the answers are. */
static void hear_others(hearth_engine *g, const asked *n) {
    if (n->n_drafter > 0) drafter_run(g->drafter, g->jobs, n->n_drafter);
    if (n->n_nextn > 0) nextn_run(g->nextn, g->nextn_jobs, n->n_nextn);
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->running[i];
        for (int32_t k = 0; k < n->n_drafter; k++)
            if (g->jobs[k].s == &r->drafted) r->n_draft = r->n_planned = g->jobs[k].got;
        for (int32_t k = 0; k < n->n_nextn; k++)
            if (g->nextn_jobs[k].s == &r->ahead) r->n_draft = r->n_planned = g->nextn_jobs[k].got;
    }
}

void guess_plan(hearth_engine *g) {
    int32_t room = g->batch_tokens < FREE_ROWS ? g->batch_tokens : FREE_ROWS, n = 0;
    asked others = {0};
    for (int32_t i = 0; i < g->n_running; i++) {
        g->running[i]->n_draft = g->running[i]->n_planned = 0;
        room -= g->running[i]->step_rows;
        n += may_guess(g, g->running[i]);
    }
    for (int32_t i = 0; i < g->n_running && room > 0; i++) {
        hearth_request *r = g->running[i];
        if (!may_guess(g, r)) continue;
        int32_t most = guess_room(g, r, (room + n - 1) / n), got = by_past(g, r, most);
        n--;
        r->n_draft = r->n_planned = got;
        if (got == 0) got = ask_others(g, r, most, &others);
        room -= got;
    }
    hear_others(g, &others);
}

/* ---- what became of them ---- */

void guess_learn(hearth_request *r) {
    switch (r->guess_by) {
    case GUESS_PAST: draft_learn(&r->draft, r->n_draft, r->n_right); break;
    case GUESS_DRAFTER: pace_learn(&r->drafted.pace, r->n_draft, r->n_right); break;
    case GUESS_NEXTN: pace_learn(&r->ahead.pace, r->n_draft, r->n_right); break;
    }
}

bool guess_follows(const hearth_engine *g, const hearth_request *r) {
    return g->nextn && r->ahead.sampler && r->max_tokens != 0;
}

void guess_follow(hearth_engine *g) {
    int32_t row = 0;
    for (int32_t i = 0; i < g->n_batch; i++) {
        hearth_request *r = g->batch[i];
        int32_t at = row, from = r->computed_before;
        row += r->step_rows + r->n_planned;
        if (!guess_follows(g, r) || r->finish != HEARTH_FINISH_NONE) continue;
        nextn_follow(g->nextn, &r->ahead, r->tokens, from,
                     g->hidden + (size_t)at * (size_t)g->n_embd, r->computed - from);
    }
}
