/* /api/pull and /api/push: what `hearth pull` and `hearth push` do, for programs that speak
 * Ollama's. Progress is written by the thread that fetches, as it comes; with "stream" false only
 * the end is told. A client that leaves ends it, and what has come stays for the next. */
#include <stdio.h>

#include "api/api_private.h"
#include "api/ollama/ollama.h"
#include "base/clock.h"
#include "hub/pull.h"
#include "model/memory.h"

#define REPORT_S 0.06 /* as often as Ollama tells it */

typedef struct transfer {
    const char *model;
    bool push, stream, insecure;
    bool begun; /* the stream */
    double told;
    err why;
} transfer;

static bool unwanted(void *ud) {
    return api_call_unwanted(ud);
}

static void send_line(api_call *c, buf *b) {
    transfer *t = c->state;
    buf_putc(b, '\n');
    if (!t->begun) {
        call_id_send(c);
        http_stream_begin(c->x, 200, "application/x-ndjson");
        c->core->begun = t->begun = true;
    }
    if (!b->failed) http_stream_write(c->x, b->data, b->len);
}

static void event_write(buf *b, const hub_event *x, bool push) {
    char text[HUB_DIGEST_BYTES], status[64];
    jsonw w;
    jsonw_init(&w, b);
    jsonw_object(&w);
    jsonw_key(&w, "status");
    if (x->kind != HUB_EVENT_BLOB) {
        jsonw_str(&w, str_of(x->text));
        jsonw_end(&w);
        return;
    }
    snprintf(status, sizeof status, "%s %.12s", push ? "pushing" : "pulling",
             x->digest.hex[0] ? x->digest.hex : x->text);
    jsonw_str(&w, str_of(status));
    jsonw_key(&w, "digest");
    jsonw_str(&w, str_of(x->digest.hex[0] ? hub_digest_text(&x->digest, text) : ""));
    jsonw_key(&w, "total"), jsonw_uint(&w, x->total);
    if (x->completed > 0) jsonw_key(&w, "completed"), jsonw_uint(&w, x->completed);
    jsonw_end(&w);
}

static void on_event(void *ud, const hub_event *x) {
    api_call *c = ud;
    transfer *t = c->state;
    double now = clock_now_s();
    bool last = x->kind != HUB_EVENT_BLOB || x->verified || x->completed == 0;
    /* "success" is told once the model is known to the server */
    if (!t->stream || (x->kind == HUB_EVENT_STATUS && strcmp(x->text, "success") == 0)) return;
    if (!last && now - t->told < REPORT_S) return;
    t->told = now;
    buf b;
    buf_init(&b, 65536);
    event_write(&b, x, t->push);
    send_line(c, &b);
    buf_deinit(&b);
}

static void work(api_call *c) {
    transfer *t = c->state;
    hub_wire_options o = {.insecure = t->insecure,
                          .agent = "hearth/" HEARTH_VERSION,
                          .event = on_event,
                          .stopped = unwanted,
                          .ud = c};
    hub_store *s = hub_store_open(NULL, t->push ? HUB_STORE_READ : HUB_STORE_EDIT, &t->why);
    if (!s) return;
    if (t->push) {
        hub_push(s, t->model, &o, &t->why);
    } else {
        hub_pull_report r;
        uint64_t memory = memory_available();
        hub_pull_options p = {.wire = o,
                              .most_bytes = memory == UINT64_MAX ? 0 : memory / 10 * 8,
                              .names_only = true};
        hub_pull(s, t->model, &p, &r, &t->why);
    }
    hub_store_close(s);
}

static void done(api_call *c) {
    transfer *t = c->state;
    api_error e = {0};
    if (!t->push) residents_refresh(c->api->models);
    if (t->why.code == ERR_NOT_FOUND) {
        api_fail(&e, 404, "not_found", "model", "%s", t->why.msg);
    } else if (t->why.code == ERR_USAGE || t->why.code == ERR_DENIED) {
        api_fail(&e, 400, "invalid_value", "model", "%s", t->why.msg);
    } else if (t->why.code == ERR_NO_FIT) {
        api_fail(&e, 507, "no_room", NULL, "%s", t->why.msg);
    } else if (t->why.code) {
        api_fail_err(&e, &t->why);
    } else if (!t->begun) {
        buf_puts(&c->out, "{\"status\":\"success\"}");
        if (t->stream) buf_putc(&c->out, '\n');
        api_reply(c, 200, t->stream ? "application/x-ndjson" : "application/json", NULL);
        return;
    } else {
        static const char line[] = "{\"status\":\"success\"}\n";
        atomic_fetch_add(&c->api->counts.answered, 1);
        http_stream_write(c->x, line, sizeof line - 1);
        http_stream_end(c->x);
        call_finish(c);
        return;
    }
    api_reply_error(c, &e);
}

static void begin(api_call *c, bool push) {
    api_error e = {0};
    transfer *t = arena_calloc(c->arena, 1, sizeof *t);
    const char *model = api_get_text(c->body, "model", NULL);
    if (!model) model = api_get_text(c->body, "name", "");
    if (!t || !*model) {
        if (!t) api_no_memory(&e);
        else api_fail(&e, 400, "invalid_value", "model", "model: which one?");
        api_reply_error(c, &e);
        return;
    }
    *t = (transfer){.model = model,
                    .push = push,
                    .stream = api_get_bool(c->body, "stream", true),
                    .insecure = api_get_bool(c->body, "insecure", false)};
    c->state = t;
    api_wait(c, work, done);
}

static void pull(api_call *c) {
    begin(c, false);
}

static void push(api_call *c) {
    begin(c, true);
}

static const api_field fields[] = {
    {.name = "model",
     .types = API_STRING,
     .len_max = 512,
     .doc = "its name, as hearth pull takes it"},
    {.name = "name", .types = API_STRING, .len_max = 512, .doc = "the same, under its older name"},
    {.name = "insecure",
     .types = API_BOOL,
     .doc = "allow plain http, and certificates that nobody vouches for"},
    {.name = "stream", .types = API_BOOL, .doc = "a line for each step; default true"},
    {0},
};

const api_route api_routes_ollama_pull[] = {
    {"POST", "/api/pull", &api_dialect_ollama, API_ADMIN, .run = pull, .fields = fields,
     .summary = "a model is fetched"},
    {"POST", "/api/push", &api_dialect_ollama, API_ADMIN, .run = push, .fields = fields,
     .summary = "a model is sent to a registry"},
    {0},
};
