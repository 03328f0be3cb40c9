/* The Anthropic dialect: errors, pings, the list of models. */
#include "api/anthropic/anthropic.h"

#include <stdlib.h>
#include <time.h>

/* ---- errors and events ---- */

static const char *error_type(int status) {
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static void anthropic_error(const api_error *e, buf *out) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "type");
    jsonw_str(&w, STR("error"));
    jsonw_key(&w, "error");
    jsonw_object(&w);
    jsonw_key(&w, "type");
    jsonw_str(&w, str_of(error_type(e->status)));
    jsonw_key(&w, "message");
    jsonw_str(&w, str_of(e->msg));
    jsonw_end(&w);
    jsonw_key(&w, "request_id");
    if (e->request_id[0]) jsonw_str(&w, str_of(e->request_id));
    else jsonw_null(&w);
    jsonw_end(&w);
}

void anthropic_event(api_call *c, jsonw *w, const char *type) {
    buf_printf(&c->out, "event: %s\ndata: ", type);
    jsonw_init(w, &c->out);
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, str_of(type));
}

void anthropic_event_end(api_call *c, jsonw *w) {
    jsonw_end(w);
    buf_puts(&c->out, "\n\n");
}

static void stream_error(api_call *c, const api_error *e) {
    buf_puts(&c->out, "event: error\ndata: ");
    anthropic_error(e, &c->out);
    buf_puts(&c->out, "\n\n");
}

static void ping(api_call *c) {
    jsonw w;
    anthropic_event(c, &w, "ping");
    anthropic_event_end(c, &w);
}

const api_dialect api_dialect_anthropic = {
    .name = "anthropic",
    .stream_type = "text/event-stream",
    .id_header = "request-id",
    .call_prefix = "toolu_",
    .error = anthropic_error,
    .stream_error = stream_error,
    .keep_alive = ping,
};

/* ---- models ---- */

static void model_write(jsonw *w, const resident_row *r) {
    struct tm tm;
    time_t t = (time_t)r->modified_s;
    char day[40] = "1970-01-01T00:00:00Z";
    if (gmtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%SZ", &tm);
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, STR("model"));
    jsonw_key(w, "id");
    jsonw_str(w, str_of(r->name));
    jsonw_key(w, "display_name");
    jsonw_str(w, str_of(r->name));
    jsonw_key(w, "created_at");
    jsonw_str(w, str_of(day));
    /* prompt and answer share the context: each may have nearly all of it */
    static const char *const names[] = {"max_input_tokens", "max_tokens"};
    for (int i = 0; i < 2; i++) {
        jsonw_key(w, names[i]);
        if (r->n_ctx) jsonw_int(w, r->n_ctx);
        else jsonw_null(w);
    }
    jsonw_key(w, "lifecycle");
    jsonw_str(w, STR("active"));
    static const char *const unknown[] = {"capabilities", "deprecated_at", "line", "retires_at"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        jsonw_key(w, unknown[i]);
        jsonw_null(w);
    }
    jsonw_end(w);
}

/* The row of this name; n: it is not there. */
static size_t row_find(const resident_row *rows, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0) return i;
    return n;
}

/* The rows [*from, *to) of the page that limit, after_id and before_id ask for. */
static bool page_read(api_call *c, const resident_row *rows, size_t n, size_t *from, size_t *to,
                      api_error *e) {
    const char *limit = http_query(c->x, "limit"), *after = http_query(c->x, "after_id"),
               *before = http_query(c->x, "before_id");
    double most = 20;
    if (limit && (!str_to_f64(str_of(limit), &most) || !(most >= 1 && most <= 1000) ||
                  most != (double)(size_t)most))
        return api_fail(e, 400, "out_of_range", "limit",
                        "limit must be a whole number from 1 to 1000");
    if ((after && row_find(rows, n, after) == n) || (before && row_find(rows, n, before) == n))
        return api_fail(e, 400, "invalid_value", "after_id",
                        "after_id and before_id must be names of models in the list");
    *from = after ? row_find(rows, n, after) + 1 : 0;
    *to = before ? row_find(rows, n, before) : n;
    if (*to < *from) *to = *from;
    if (*to - *from > (size_t)most) {
        if (before && !after) *from = *to - (size_t)most;
        else *to = *from + (size_t)most;
    }
    return true;
}

static void page_write(api_call *c, const resident_row *rows, size_t n, size_t from, size_t to) {
    bool backwards = http_query(c->x, "before_id") && !http_query(c->x, "after_id");
    const char *const names[] = {"first_id", "last_id"};
    jsonw w;
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "data");
    jsonw_array(&w);
    for (size_t i = from; i < to; i++) model_write(&w, &rows[i]);
    jsonw_end(&w);
    jsonw_key(&w, "has_more");
    jsonw_bool(&w, backwards ? from > 0 : to < n);
    for (int i = 0; i < 2; i++) {
        jsonw_key(&w, names[i]);
        if (from < to) jsonw_str(&w, str_of(rows[i ? to - 1 : from].name));
        else jsonw_null(&w);
    }
    jsonw_end(&w);
}

static void models(api_call *c) {
    resident_row *rows = NULL;
    size_t n = 0, from = 0, to = 0;
    api_error e = {0};
    if (!api_models_get(c, &rows, &n)) return;
    bool ok = page_read(c, rows, n, &from, &to, &e);
    if (ok) page_write(c, rows, n, from, to);
    free(rows);
    if (ok) api_reply_json(c, 200, NULL);
    else api_reply_error(c, &e);
}

static void model_one(api_call *c) {
    resident_row *rows = NULL;
    size_t n = 0, i = 0;
    api_error e = {0};
    char shown[120];
    const char *name = api_model_find(c, c->arg[0]);
    bool ok = true;
    if (!api_models_get(c, &rows, &n)) return;
    if (!name || (i = row_find(rows, n, name)) == n)
        ok = api_fail(&e, 404, "model_not_found", "model", "there is no model \"%s\" here",
                      str_printable(str_of(c->arg[0]), shown, sizeof shown));
    if (ok) {
        jsonw w;
        jsonw_init(&w, &c->out);
        model_write(&w, &rows[i]);
    }
    free(rows);
    if (ok) api_reply_json(c, 200, NULL);
    else api_reply_error(c, &e);
}

/* The paths are OpenAI's too: a request is Anthropic's when it has one of its headers. */
const api_route api_routes_anthropic[] = {
    {"GET", "/v1/models", &api_dialect_anthropic, API_INFERENCE, .run = models,
     .if_header = "anthropic-version"},
    {"GET", "/v1/models", &api_dialect_anthropic, API_INFERENCE, .run = models,
     .if_header = "x-api-key"},
    {"GET", "/v1/models/{id}", &api_dialect_anthropic, API_INFERENCE, .run = model_one,
     .if_header = "anthropic-version"},
    {"GET", "/v1/models/{id}", &api_dialect_anthropic, API_INFERENCE, .run = model_one,
     .if_header = "x-api-key"},
    {0},
};
