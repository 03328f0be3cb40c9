/* Work that waits: a call lends itself to a thread of the slow pool, and takes itself back when the
 * work is done. Meanwhile its turns only note what should end it; the work asks for that. */
#include "api/api_private.h"

static void work_run(pool_job *j) {
    api_call *c = j->ud;
    c->core->work(c);
    call_tell(c, API_NEWS_WORK);
    call_release(c);
}

void api_wait(api_call *c, void (*work)(api_call *c), void (*done)(api_call *c)) {
    struct api_call_core *core = c->core;
    core->work = work;
    core->done = done;
    core->slow = (pool_job){.run = work_run, .ud = c};
    atomic_store(&core->phase, CALL_WAITS);
    call_hold(c); /* the work's */
    pool_push(c->api->slow, &core->slow);
}

bool api_call_unwanted(void *call) {
    const api_call *c = call;
    return atomic_load(&c->core->unwanted) || http_gone(c->x);
}

void work_turn(api_call *c, unsigned news) {
    struct api_call_core *core = c->core;
    api_error e = {0};
    core->ending |= news & (API_NEWS_GONE | API_NEWS_END);
    bool revoked = news & API_NEWS_TICK && c->key.id != STORE_LOCAL &&
                   !store_key_alive(c->api->store, c->key.id);
    if (core->ending || revoked) atomic_store(&core->unwanted, true);
    if (!(news & API_NEWS_WORK)) return;
    if (core->ending & API_NEWS_GONE) {
        call_finish(c);
    } else if (core->ending & API_NEWS_END) {
        api_fail(&e, 503, "shutting_down", NULL, "the server is shutting down");
        e.retry_after_s = 5;
        api_reply_error(c, &e);
    } else if (atomic_load(&core->unwanted)) {
        api_fail(&e, 401, "invalid_api_key", NULL, "the key was revoked, or has expired");
        api_reply_error(c, &e);
    } else {
        core->done(c);
    }
}

api_choice *api_work_tag(api_call *c, int64_t n_tokens, api_error *e) {
    if (!call_budget_ok(c, n_tokens, e)) return NULL;
    api_choice *ch = arena_alloc(c->arena, sizeof *ch);
    if (ch) {
        ch->call = c;
        ch->entry = pump_entry_new(c);
    }
    if (!ch || !ch->entry) {
        api_no_memory(e);
        return NULL;
    }
    call_hold(c); /* until it is settled */
    return ch;
}

void api_work_untag(api_choice *ch) {
    store_entry_drop(ch->entry);
    call_release(ch->call);
}
