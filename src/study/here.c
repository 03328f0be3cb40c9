/* The arm that is this machine: an engine for each run, so that nothing is found in a cache that
 * another run has left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "study/arm.h"

typedef struct here {
    hearth_model *model;
    hearth_engine *engine;
} here;

static bool fail(err *e, const hearth_err *he) {
    return err_set(e, (err_code)he->code, "%s", he->msg);
}

static bool begin(study_arm *a, int users, err *e) {
    here *h = a->self;
    hearth_err he = {0};
    h->engine = hearth_engine_new(h->model, &(hearth_engine_options){.max_requests = users}, &he);
    return h->engine != NULL || fail(e, &he);
}

static void end(study_arm *a) {
    here *h = a->self;
    hearth_engine_free(h->engine);
    h->engine = NULL;
}

/* Without a template: the messages one below the other. */
static bool render_plain(const hearth_model *m, const study_ask *q, int32_t **ids, size_t *n,
                         err *e) {
    hearth_err he = {0};
    buf b;
    buf_init(&b, 64u << 20);
    for (size_t i = 0; i < q->n; i++) buf_puts(&b, q->message[i].text), buf_puts(&b, "\n\n");
    bool ok = b.failed
                  ? err_set(e, ERR_FAILED, "out of memory")
                  : hearth_tokenize(m, b.data, b.len, HEARTH_TOK_BOS, ids, n, &he) || fail(e, &he);
    buf_deinit(&b);
    return ok;
}

bool study_here_render(const hearth_model *m, const study_ask *q, int32_t **ids, size_t *n,
                       err *e) {
    hearth_err he = {0};
    if (!hearth_chat_family(m)) return render_plain(m, q, ids, n, e);
    return hearth_chat_tokenize(m, q->message, q->n, true, ids, n, &he) || fail(e, &he);
}

static const char *finish_name(hearth_finish f) {
    static const char *const names[] = {"none", "end", "stop", "length", "cancelled", "error"};
    return names[f];
}

static bool listen(hearth_request *r, study_heard heard, void *ud, study_reply *reply, err *e) {
    hearth_err he = {0};
    hearth_token t;
    int got;
    while ((got = hearth_next(r, &t, &he)) == 1) {
        uint64_t now = clock_now_ns();
        if (t.id >= 0 && !reply->first_ns) reply->first_ns = now;
        reply->end_ns = now;
        buf_append(&reply->text, t.text, t.text_len);
        if (!heard(ud, t.id >= 0)) hearth_cancel(r);
    }
    return got == 0 || fail(e, &he);
}

static void settle(const hearth_request *r, study_reply *reply) {
    hearth_usage u;
    hearth_request_usage(r, &u);
    reply->prompt = u.n_prompt;
    reply->cached = u.n_cached;
    reply->out = u.n_generated;
    reply->queued_s = u.queued_s;
    reply->prefill_s = u.prefill_s;
    reply->decode_s = u.decode_s;
    reply->finish = finish_name(u.finish);
    reply->bytes_out = reply->text.len;
}

static bool ask(study_arm *a, int user, const study_ask *q, study_heard heard, void *ud,
                study_reply *reply, err *e) {
    here *h = a->self;
    hearth_err he = {0};
    hearth_params p = hearth_params_default();
    hearth_grammar *g = NULL;
    int32_t *ids = NULL;
    (void)user;
    if (!study_here_render(h->model, q, &ids, &p.n_prompt, e)) return false;
    for (size_t i = 0; i < q->n; i++) reply->bytes_in += strlen(q->message[i].text);
    p.prompt = ids;
    p.max_tokens = q->max_tokens;
    p.ignore_eos = q->exactly;
    p.temperature = 0;
    if (q->schema) {
        g = hearth_grammar_new(HEARTH_GRAMMAR_JSON_SCHEMA, q->schema, strlen(q->schema), &he);
        p.grammar = g;
    }
    reply->submit_ns = reply->end_ns = clock_now_ns();
    reply->bill = -1;
    hearth_request *r = q->schema && !g ? NULL : hearth_submit(h->engine, &p, &he);
    bool ok = r ? listen(r, heard, ud, reply, e) : fail(e, &he);
    if (r) settle(r, reply);
    hearth_request_free(r);
    hearth_grammar_free(g);
    hearth_free(ids);
    return ok;
}

bool study_here_new(study_arm *a, hearth_model *m, err *e) {
    here *h = calloc(1, sizeof *h);
    if (!h) return err_set(e, ERR_FAILED, "out of memory");
    h->model = m;
    *a = (study_arm){.name = "here", .begin = begin, .ask = ask, .end = end, .self = h};
    return true;
}

void study_here_free(study_arm *a) {
    if (!a->self) return;
    end(a);
    free(a->self);
    *a = (study_arm){0};
}
