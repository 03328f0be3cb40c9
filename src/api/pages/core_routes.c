/* The routes of the server itself. */
#include "api/pages/core_routes.h"

#include "api/api_private.h"
#include "api/openai/openai.h"

static void front(api *a, http_exchange *x) {
    static const char page[] =
        "Hearth is running.\n\n"
        "OpenAI's API:      /v1       (programs: set the base URL to this address and /v1)\n"
        "Anthropic's API:   /v1       (programs: ANTHROPIC_BASE_URL is this address)\n"
        "Ollama's API:      /api      (programs: OLLAMA_HOST is this address)\n"
        "What there is:     /openapi.json\n"
        "Health, figures:   /health, /metrics\n"
        "What was used:     /usage\n";
    static const char word[] = "Ollama is running"; /* its programs look for these words */
    const char *accept = http_header(x, "accept");
    bool is_browser = accept && strstr(accept, "text/html");
    (void)a;
    if (is_browser) http_reply(x, 200, "text/plain; charset=utf-8", page, sizeof page - 1);
    else http_reply(x, 200, "text/plain; charset=utf-8", word, sizeof word - 1);
}

static void health(api *a, http_exchange *x) {
    static const char ok[] = "{\"status\":\"ok\"}\n",
                      loading[] = "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":"
                                  "\"unavailable_error\"},\"status\":\"loading model\"}\n",
                      closing[] = "{\"error\":{\"code\":503,\"message\":\"Shutting down\",\"type\":"
                                  "\"unavailable_error\"},\"status\":\"shutting down\"}\n";
    bool is_closing = atomic_load(&a->closing), ready = atomic_load(&a->ready);
    const char *body = is_closing ? closing : ready ? ok : loading;
    if (!ready && !is_closing) http_set_header(x, "Retry-After", "2");
    http_reply(x, body == ok ? 200 : 503, "application/json", body, strlen(body));
}

static void metrics(api *a, http_exchange *x) {
    buf out;
    buf_init(&out, 1 << 20);
    metrics_write(a, &out);
    http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
    buf_deinit(&out);
}

static void openapi(api_call *c) {
    openapi_write(&c->out);
    api_reply_json(c, 200, NULL);
}

const api_route api_routes_core[] = {
    {"GET", "/", &api_dialect_openai, API_OPEN, .now = front,
     .summary = "that there is a server here"},
    {"GET", "/health", &api_dialect_openai, API_OPEN, .now = health,
     .summary = "200 once the models given at start are loaded, else 503"},
    {"GET", "/v1/health", &api_dialect_openai, API_OPEN, .now = health,
     .summary = "the same as /health"},
    {"GET", "/metrics", &api_dialect_openai, API_OPEN, .now = metrics,
     .summary = "figures in the text format of Prometheus"},
    {"GET", "/openapi.json", &api_dialect_openai, API_OPEN, .run = openapi,
     .summary = "this document"},
    {0},
};
