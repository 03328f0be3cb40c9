/* Generating: requests into the engine, tokens out of it and to the client. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "base/clock.h"
#include "base/limits.h"

/* ---- the engine's hooks: on its thread ---- */

static void on_opened(void *ud, void *tag, int32_t n_prompt) {
    (void)ud;
    api_choice *ch = tag;
    ch->opened = true;
    store_entry_opened(ch->entry, n_prompt);
}

static void on_progress(void *ud, void *tag, int32_t n_prefilled, int32_t n_generated) {
    (void)ud;
    store_entry_progress(((api_choice *)tag)->entry, n_prefilled, n_generated);
}

static void on_settled(void *ud, void *tag, const hearth_usage *u) {
    (void)ud;
    api_choice *ch = tag;
    api_counts *n = &ch->call->api->counts;
    atomic_fetch_add(&n->prompt_tokens, (uint64_t)u->n_prompt);
    atomic_fetch_add(&n->cached_tokens, (uint64_t)u->n_cached);
    atomic_fetch_add(&n->generated_tokens, (uint64_t)u->n_generated);
    atomic_fetch_add(&n->prefill_us, (uint64_t)(u->prefill_s * 1e6));
    atomic_fetch_add(&n->decode_us, (uint64_t)(u->decode_s * 1e6));
    if (u->finish == HEARTH_FINISH_CANCELLED) atomic_fetch_add(&n->cancelled, 1);
    energy_settle(ch, u);
}

static void on_ready(void *ud, void *tag) {
    (void)ud;
    call_tell(((api_choice *)tag)->call, 0);
}

void pump_hooks(hearth_hooks *h) {
    *h = (hearth_hooks){
        .opened = on_opened, .progress = on_progress, .settled = on_settled, .ready = on_ready};
}

/* ---- in ---- */

static bool prompts_fit(api_call *c, const api_prompt *prompts, int n_prompts, int n_each,
                        api_error *e) {
    int32_t n_ctx = hearth_engine_ctx(resident_engine(c->model));
    int64_t sum = 0;
    if ((int64_t)n_prompts * n_each > LIMIT_CHOICES)
        return api_fail(e, 400, "out_of_range", "n",
                        "%d prompts with n %d are %lld answers; at "
                        "most %d are made in one call",
                        n_prompts, n_each, (long long)n_prompts * n_each, LIMIT_CHOICES);
    for (int i = 0; i < n_prompts; i++) {
        if (prompts[i].n == 0)
            return api_fail(e, 400, "invalid_value", "prompt", "the prompt is empty");
        if (prompts[i].n >= (size_t)n_ctx)
            /* Programs know this error by its words, Anthropic's or OpenAI's: both are here. */
            return api_fail(e, 400, "context_length_exceeded", NULL,
                            "prompt is too long: %zu tokens > %d maximum (this model's maximum "
                            "context length is %d tokens here, with room for an answer)",
                            prompts[i].n, n_ctx - 1, n_ctx);
        sum += (int64_t)prompts[i].n * n_each;
    }
    return call_budget_ok(c, sum, e);
}

static char *metadata_text(api_call *c) {
    const json_t *m = c->body ? api_get(c->body, "metadata") : NULL;
    return json_is_object(m) && json_object_size(m) > 0 ? json_dumps(m, JSON_COMPACT) : NULL;
}

store_entry *pump_entry_new(api_call *c) {
    const json_t *user = c->body ? api_get(c->body, "user") : NULL;
    char *metadata = metadata_text(c);
    store_entry_info info = {.key_id = c->key.id,
                             .model = c->model_name,
                             .dialect = c->route->dialect->name,
                             .endpoint = c->route->path,
                             .user = json_is_string(user) ? json_string_value(user) : NULL,
                             .metadata = metadata};
    store_entry *x = store_entry_new(c->api->store, &info);
    free(metadata);
    return x;
}

static bool choice_submit(api_call *c, api_choice *ch, const hearth_params *p, api_error *e) {
    ch->entry = pump_entry_new(c);
    if (!ch->entry) return api_no_memory(e);
    hearth_err he = {0};
    call_hold(c); /* until it is settled */
    hearth_request *r = hearth_submit(resident_engine(c->model), p, &he);
    if (!r) {
        call_release(c);
        store_entry_drop(ch->entry);
        return api_fail_hearth(e, &he);
    }
    pthread_mutex_lock(&c->core->lock);
    ch->req = r;
    pthread_mutex_unlock(&c->core->lock);
    return true;
}

static bool submit_all(api_call *c, const hearth_params *p, const api_prompt *prompts,
                       int n_prompts, int n_each, api_error *e) {
    bool ok = true;
    for (int i = 0; ok && i < n_prompts * n_each; i++) {
        api_choice *ch = &c->choice[i];
        hearth_params mine = *p;
        ch->index = i;
        ch->prompt = i / n_each;
        ch->call = c;
        mine.prompt = prompts[ch->prompt].ids;
        mine.n_prompt = prompts[ch->prompt].n;
        mine.owner = c->key.owner;
        mine.weight = api_weight(c);
        mine.tag = ch;
        mine.choice = (uint64_t)i;
        ok = pieces_init(c, ch, e) && choice_submit(c, ch, &mine, e);
    }
    return ok;
}

bool api_generate(api_call *c, const api_writer *w, const hearth_params *p, api_prompt *prompts,
                  int n_prompts, int n_each, api_error *e) {
    bool ok = prompts_fit(c, prompts, n_prompts, n_each, e);
    if (ok) {
        c->writer = w;
        c->gives_energy = energy_asked(c);
        pthread_mutex_lock(&c->core->lock); /* the network thread may want to cancel */
        c->choice = arena_calloc(c->arena, (size_t)(n_prompts * n_each), sizeof *c->choice);
        if (c->choice) c->n_choices = n_prompts * n_each;
        pthread_mutex_unlock(&c->core->lock);
        ok = c->choice ? submit_all(c, p, prompts, n_prompts, n_each, e) : api_no_memory(e);
    }
    for (int i = 0; i < n_prompts; i++) hearth_free(prompts[i].ids);
    if (!ok) return false; /* what was submitted ends with the call */
    atomic_store(&c->core->phase, CALL_RUNS);
    if (http_gone(c->x)) call_tell(c, API_NEWS_GONE); /* it left before there was what to cancel */
    call_tell(c, 0);
    return true;
}

void pump_cancel(api_call *c) {
    pthread_mutex_lock(&c->core->lock);
    for (int i = 0; i < c->n_choices; i++)
        if (c->choice[i].req) hearth_cancel(c->choice[i].req);
    pthread_mutex_unlock(&c->core->lock);
}

/* ---- out ---- */

static void stream_begin(api_call *c) {
    if (c->core->begun) return;
    c->core->begun = true;
    call_id_send(c);
    http_set_header(c->x, "Cache-Control", "no-cache");
    http_set_header(c->x, "X-Accel-Buffering", "no"); /* a proxy must not collect the stream */
    http_stream_begin(c->x, 200, c->route->dialect->stream_type);
}

static void answer_begin(api_call *c) {
    stream_begin(c);
    if (c->core->told) return;
    c->core->told = true;
    if (c->writer->begin) c->writer->begin(c);
}

static void stream_flush(api_call *c) {
    if (c->out.len == 0) return;
    http_stream_write(c->x, c->out.data, c->out.len);
    buf_clear(&c->out);
    c->core->written_ns = clock_now_ns();
}

static void answer_flush(api_call *c) {
    if (c->stream) stream_flush(c);
}

void pump_keep_alive(api_call *c) {
    uint64_t quiet_ms = (clock_now_ns() - c->core->written_ns) / 1000000;
    if (quiet_ms < API_QUIET_MS) return;
    if (c->writer) answer_begin(c);
    else stream_begin(c); /* the model is still coming */
    if (c->route->dialect->keep_alive) c->route->dialect->keep_alive(c);
    else buf_puts(&c->out, ": keep-alive\n\n");
    stream_flush(c);
}

static void answer_end(api_call *c) {
    if (c->stream) answer_begin(c);
    c->writer->finish(c);
    if (!c->stream) {
        energy_header(c);
        api_reply_json(c, 200, NULL);
        return;
    }
    answer_flush(c);
    http_stream_end(c->x);
    atomic_fetch_add(&c->api->counts.answered, 1);
    call_finish(c);
}

static void token_pass(api_call *c, api_choice *ch, const hearth_token *t) {
    if (ch->n_tokens++ == 0) {
        uint64_t us = (clock_now_ns() - c->began_ns) / 1000;
        atomic_fetch_add(&c->api->counts.first_token_us, us);
        atomic_fetch_add(&c->api->counts.first_tokens, 1);
    }
    if (c->stream) answer_begin(c);
    pieces_push(c, ch, t);
}

void api_choice_cut(api_choice *ch) {
    struct api_call_core *core = ch->call->core;
    ch->cut = true;
    pthread_mutex_lock(&core->lock);
    if (ch->req) hearth_cancel(ch->req);
    pthread_mutex_unlock(&core->lock);
}

static hearth_request *request_take(api_call *c, api_choice *ch) {
    pthread_mutex_lock(&c->core->lock);
    hearth_request *r = ch->req;
    ch->req = NULL;
    pthread_mutex_unlock(&c->core->lock);
    return r;
}

/* Reads what there is of one choice. False: the call was ended by an error. */
static bool choice_read(api_call *c, api_choice *ch, int *budget) {
    hearth_token t;
    hearth_err he = {0};
    int r = 2;
    while (*budget > 0 && (!c->stream || http_backlog(c->x) < API_BACKLOG)) {
        r = hearth_next_timeout(ch->req, &t, 0, &he);
        if (r != 1) break;
        --*budget;
        if (ch->cut) continue;
        token_pass(c, ch, &t);
        if (c->stream && c->out.len > API_BACKLOG / 4) answer_flush(c);
    }
    if (r < 0) {
        api_error e = {0};
        api_fail_hearth(&e, &he);
        api_reply_error(c, &e);
        return false;
    }
    if (r != 0) return true;
    hearth_request_usage(ch->req, &ch->usage);
    if (ch->cut) {
        ch->usage.finish = HEARTH_FINISH_LENGTH;
        ch->usage.n_generated = ch->n_tokens;
    }
    hearth_request_free(request_take(c, ch));
    ch->read = true;
    ch->read_ns = clock_now_ns();
    if (c->stream) answer_begin(c);
    pieces_end(c, ch);
    return true;
}

/* An answer's end is told once what belongs into it is known. */
static void choice_end(api_call *c, api_choice *ch) {
    if (!ch->read || ch->ended || energy_awaited(c, ch)) return;
    ch->ended = true;
    c->n_ended++;
    if (!c->writer->end) return;
    if (c->stream) answer_begin(c);
    c->writer->end(c, ch);
}

/* Ends the call in the middle; its requests go with it. */
static void answer_break(api_call *c, int status, const char *code, const char *why) {
    api_error e = {0};
    answer_flush(c);
    api_fail(&e, status, code, NULL, "%s", why);
    if (status == 503) e.retry_after_s = 5;
    api_reply_error(c, &e);
}

/* False: the call is over. */
static bool news_heed(api_call *c, unsigned news) {
    if (news & API_NEWS_GONE) {
        call_finish(c);
        return false;
    }
    if (news & API_NEWS_END) {
        answer_break(c, 503, "shutting_down", "the server is shutting down");
        return false;
    }
    if (!(news & API_NEWS_TICK)) return true;
    if (c->key.id != STORE_LOCAL && !store_key_alive(c->api->store, c->key.id)) {
        answer_break(c, 401, "invalid_api_key", "the key was revoked, or has expired");
        return false;
    }
    if (c->stream) pump_keep_alive(c);
    return true;
}

void pump_turn(api_call *c, unsigned news) {
    if (!news_heed(c, news)) return;
    int budget = API_TURN_TOKENS;
    for (int i = 0; i < c->n_choices; i++) {
        if (c->choice[i].req && !choice_read(c, &c->choice[i], &budget)) return;
        choice_end(c, &c->choice[i]);
    }
    if (c->out.failed) {
        buf_clear(&c->out);
        answer_break(c, 500, "answer_too_large", "the answer does not fit in memory");
        return;
    }
    if (c->n_ended == c->n_choices) {
        answer_end(c);
        return;
    }
    answer_flush(c);
    if (budget <= 0) call_tell(c, 0);
}

void api_sse(buf *out, const char *name, const buf *json) {
    if (name) buf_printf(out, "event: %s\n", name);
    buf_puts(out, "data: ");
    buf_append(out, json->data ? json->data : "", json->len);
    buf_puts(out, "\n\n");
}
