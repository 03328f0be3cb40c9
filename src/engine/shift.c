/* Answers that are longer than the context. When it is full, the first tokens stay, the older half
 * of the others goes, and what is kept is computed afresh as a prompt is: nothing of what went is
 * left in it. So what comes then is, token for token, what a new request with the kept tokens as
 * its prompt would say. What the answer has said, and the grammar that it follows, go on. */
#include "engine/engine_private.h"

#include <string.h>

/* Without a limit of its own an answer ends after so many contexts. */
#define SHIFT_CONTEXTS 10

bool shift_may(const hearth_engine *g, const hearth_request *r) {
    return r->shifts && r->account.n_generated < (int64_t)SHIFT_CONTEXTS * g->n_ctx;
}

/* Tokens at the beginning that stay: at most half of the context. */
static int32_t kept_first(const hearth_engine *g, const hearth_request *r) {
    int32_t n = r->n_keep < 0 || r->n_keep > r->n_prompt ? r->n_prompt : r->n_keep;
    return n < g->n_ctx / 2 ? n : g->n_ctx / 2;
}

static void shift(hearth_engine *g, hearth_request *r) {
    int32_t keep = kept_first(g, r), drop = (r->n_tokens - keep + 1) / 2;
    memmove(r->tokens + keep, r->tokens + keep + drop,
            (size_t)(r->n_tokens - keep - drop) * sizeof *r->tokens);
    r->n_tokens -= drop;
    kv_seq_drop(g->kv, r->seq);
    r->computed = 0;
    r->n_put = 0;
    r->filled = false;
    r->disk_blocks = 0;
    r->preempted = true; /* what it finds in the tree is its own work */
    draft_deinit(&r->draft);
    sampler_restart(r->sampler);
}

void shift_full(hearth_engine *g) {
    for (int32_t i = 0; i < g->n_batch; i++) {
        hearth_request *r = g->batch[i];
        if (r->finish == HEARTH_FINISH_NONE && r->n_tokens == g->n_ctx && r->shifts) shift(g, r);
    }
}
