/* The Ollama dialect: what its endpoints share, and those that need no model. */
#include "api/ollama/ollama.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"

bool ollama_is_chat(const api_call *c) {
    return strcmp(c->route->path, "/api/chat") == 0;
}

/* ---- errors and events ---- */

static void ollama_error(const api_error *e, buf *out) {
    bool unknown = e->code && strcmp(e->code, "model_not_found") == 0;
    char text[sizeof e->msg + 32]; /* programs look for "not found" */
    snprintf(text, sizeof text, "%s%s", unknown ? "model not found: " : "", e->msg);
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "error");
    jsonw_str(&w, str_of(text));
    jsonw_end(&w);
}

static void ollama_stream_error(api_call *c, const api_error *e) {
    ollama_error(e, &c->out);
    buf_putc(&c->out, '\n');
}

/* Opens an answer of no text. */
static void empty_open(api_call *c, jsonw *w, bool chat, bool done) {
    jsonw_init(w, &c->out);
    ollama_head(c, w);
    jsonw_key(w, chat ? "message" : "response");
    if (chat) jsonw_raw(w, STR("{\"role\":\"assistant\",\"content\":\"\"}"));
    else jsonw_str(w, STR(""));
    jsonw_key(w, "done");
    jsonw_bool(w, done);
}

/* An empty line would break clients: they read each line as an object. */
static void ollama_keep_alive(api_call *c) {
    jsonw w;
    empty_open(c, &w, ollama_is_chat(c), false);
    jsonw_end(&w);
    buf_putc(&c->out, '\n');
}

const api_dialect api_dialect_ollama = {
    .name = "ollama",
    .stream_type = "application/x-ndjson",
    .error = ollama_error,
    .stream_error = ollama_stream_error,
    .keep_alive = ollama_keep_alive,
};

/* ---- dates and durations ---- */

void ollama_time(jsonw *w, const char *key, int64_t unix_s, long ns) {
    struct tm tm;
    time_t t = (time_t)unix_s;
    char day[40] = "1970-01-01T00:00:00", text[64];
    if (gmtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "%s.%09ldZ", day, ns);
    jsonw_key(w, key);
    jsonw_str(w, str_of(text));
}

void ollama_duration(jsonw *w, const char *key, double seconds) {
    jsonw_key(w, key);
    jsonw_int(w, seconds > 0 && seconds < 9e9 ? (int64_t)llround(seconds * 1e9) : 0);
}

uint64_t ollama_waited_ns(const api_call *c) {
    return clock_now_ns() - c->began_ns;
}

void ollama_head(api_call *c, jsonw *w) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    jsonw_object(w);
    jsonw_key(w, "model");
    jsonw_str(w, str_of(api_get_text(c->body, "model", c->model_name)));
    ollama_time(w, "created_at", now.tv_sec, now.tv_nsec);
}

void ollama_reply_loaded(api_call *c, bool chat, const char *reason) {
    jsonw w;
    empty_open(c, &w, chat, true);
    jsonw_key(&w, "done_reason");
    jsonw_str(&w, str_of(reason));
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

/* ---- options ---- */

const api_field ollama_model_fields[] = {
    {.name = "model",
     .types = API_STRING,
     .len_max = 512,
     .doc = "a name that /api/tags lists, also without \":latest\""},
    {.name = "keep_alive",
     .types = API_NUMBER | API_STRING,
     .doc = "how long the model stays in memory: seconds or \"5m\"; 0: not at all; negative: for "
            "ever"},
    {0},
};

const api_field ollama_options[] = {
    {.name = "num_predict",
     .types = API_INT,
     .min = -2,
     .max = INT32_MAX,
     .doc = "longest answer in tokens; -1 and -2: until the model ends or the context is full"},
    {.name = "num_ctx",
     .types = API_INT,
     .max = LIMIT_CONTEXT,
     .doc = "prompt and answer together have at most so many tokens; 0: what the server gives. "
            "Never loads a model anew"},
    {.name = "num_keep", .types = API_INT, .min = -1, .max = INT32_MAX, .doc = "as n_keep"},
    {.name = "num_batch", .types = API_INT, .max = INT32_MAX, .doc = "has no effect"},
    {.name = "num_gpu", .types = API_INT, .min = -1, .max = INT32_MAX, .doc = "has no effect"},
    {.name = "main_gpu", .types = API_INT, .max = INT32_MAX, .doc = "has no effect"},
    {.name = "num_thread", .types = API_INT, .max = INT32_MAX, .doc = "has no effect"},
    {.name = "use_mmap", .types = API_BOOL, .doc = "has no effect"},
    {.include = api_sampler_fields},
    {0},
};

bool ollama_options_read(api_call *c, hearth_params *p, api_error *e) {
    const json_t *o = api_get(c->body, "options");
    if (!api_sampler_read(c, o, p, e)) return false;
    if (!api_setting_given(c, o, "top_p")) p->top_p = 0.9f;
    if (!api_setting_given(c, o, "min_p")) p->min_p = 0;
    int64_t n = api_get_int(o, "num_predict", api_usual_length(c));
    p->max_tokens = n < 0 ? -1 : (int32_t)n;
    p->context_shift = api_get_bool(c->body, "shift", p->context_shift);
    p->n_keep = (int32_t)api_get_int(o, "num_keep", p->n_keep);
    return api_logprob_read(c->body, p, e);
}

bool ollama_fit(api_call *c, size_t n_prompt, hearth_params *p, api_error *e) {
    int64_t n_ctx = api_get_int(api_get(c->body, "options"), "num_ctx", 0);
    if (n_ctx <= 0 || n_ctx >= hearth_engine_ctx(resident_engine(c->model))) return true;
    if ((int64_t)n_prompt >= n_ctx)
        return api_fail(e, 400, "context_length_exceeded", "options.num_ctx",
                        "the prompt has %zu tokens, and options.num_ctx is %lld: at most %lld "
                        "leave room for an answer",
                        n_prompt, (long long)n_ctx, (long long)n_ctx - 1);
    int32_t room = (int32_t)(n_ctx - (int64_t)n_prompt);
    if (p->max_tokens < 0 || p->max_tokens > room) p->max_tokens = room;
    return true;
}

/* ---- what needs no model ---- */

static void version(api *a, http_exchange *x) {
    static const char body[] = "{\"version\":\"" OLLAMA_VERSION "\",\"hearth\":\"" HEARTH_VERSION
                               "\"}";
    (void)a;
    http_reply(x, 200, "application/json", body, sizeof body - 1);
}

static void status(api *a, http_exchange *x) {
    static const char body[] = "{\"cloud\":{\"disabled\":true,\"source\":\"config\"}}";
    (void)a;
    http_reply(x, 200, "application/json", body, sizeof body - 1);
}

const api_route api_routes_ollama[] = {
    {"GET", "/api/version", &api_dialect_ollama, API_OPEN, .now = version,
     .summary = "the version of Ollama whose API this is"},
    {"GET", "/api/status", &api_dialect_ollama, API_OPEN, .now = status,
     .summary = "that nothing is asked of another machine"},
    {0},
};
