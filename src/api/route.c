/* Which route a request means. The tables are the dialects' own; this is the list of them. */
#include <stdio.h>

#include "api/anthropic/anthropic.h"
#include "api/api_private.h"
#include "api/llamacpp/llamacpp.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/pages/core_routes.h"
#include "api/pages/usage_page.h"

const api_route *const api_route_tables[] = {
    api_routes_core,              /* /health, /metrics, /openapi.json */
    api_routes_usage,             /* /usage */
    api_routes_anthropic,         /* /v1/models, to programs that speak Anthropic's */
    api_routes_anthropic_text,    /* /v1/messages */
    api_routes_openai,            /* /v1/models */
    api_routes_openai_chat,       /* /v1/chat/completions */
    api_routes_openai_text,       /* /v1/completions */
    api_routes_openai_responses,  /* /v1/responses */
    api_routes_openai_embed,      /* /v1/embeddings, /v1/rerank */
    api_routes_ollama,            /* /api/version and the store's routes */
    api_routes_ollama_pull,       /* /api/pull, /api/push */
    api_routes_ollama_text,       /* /api/generate, /api/chat */
    api_routes_ollama_models,     /* /api/tags, /api/ps, /api/show */
    api_routes_ollama_store,      /* /api/create, copy, delete */
    api_routes_ollama_blobs,      /* /api/blobs */
    api_routes_ollama_embed,      /* /api/embed, /api/embeddings */
    api_routes_llamacpp,          /* /tokenize, /props, /slots and so on */
    api_routes_llamacpp_text,     /* /completion, /infill */
    api_routes_llamacpp_adapters, /* /lora-adapters */
    NULL,
};

const api_route *route_at(size_t i) {
    for (const api_route *const *t = api_route_tables; *t; t++)
        for (const api_route *r = *t; r->path; r++)
            if (i-- == 0) return r;
    return NULL;
}

/* "/v1/models/{id}" against a path. {..} takes one segment, and at the end all that is left. */
static bool path_matches(const char *pattern, const char *path, str *arg) {
    int n = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        pattern += strcspn(pattern, "}") + 1;
        size_t k = *pattern ? strcspn(path, "/") : strlen(path);
        if (k == 0 || n >= API_MAX_ARGS) return false;
        arg[n++] = (str){path, k};
        path += k;
    }
    return !*path;
}

static bool method_matches(const char *have, const char *asked) {
    return strcmp(have, asked) == 0 || (strcmp(have, "GET") == 0 && strcmp(asked, "HEAD") == 0);
}

static void allow_add(route_match *m, const char *method) {
    size_t n = strlen(m->allow);
    if (strstr(m->allow, method)) return;
    snprintf(m->allow + n, sizeof m->allow - n, "%s%s", n ? ", " : "", method);
}

/* The dialect in which a stranger to this path is answered: that of a route that begins alike. */
static const api_dialect *dialect_near(const char *path) {
    const api_route *r, *best = NULL;
    size_t most = 0;
    for (size_t i = 0; (r = route_at(i)); i++) {
        size_t n = 0;
        if (r->if_header) continue; /* those paths are another dialect's too */
        while (r->path[n] && r->path[n] == path[n]) n++;
        if (n > most) {
            most = n;
            best = r;
        }
    }
    return best && most > 1 ? best->dialect : &api_dialect_openai;
}

bool api_uploads(void *ud, const char *method, const char *path) {
    (void)ud;
    const api_route *r;
    str arg[API_MAX_ARGS];
    for (size_t i = 0; (r = route_at(i)); i++)
        if (r->upload && strcmp(r->method, method) == 0 && path_matches(r->path, path, arg))
            return true;
    return false;
}

void route_find(http_exchange *x, route_match *m) {
    *m = (route_match){.status = 404};
    const char *path = http_path(x), *method = http_method(x);
    const api_route *r;
    for (size_t i = 0; (r = route_at(i)); i++) {
        str arg[API_MAX_ARGS] = {{0}};
        if (!path_matches(r->path, path, arg)) continue;
        if (r->if_header && !http_header(x, r->if_header)) continue;
        if (!m->dialect) m->dialect = r->dialect;
        m->status = 405;
        allow_add(m, r->method);
        if (strcmp(r->method, "GET") == 0) allow_add(m, "HEAD");
        if (!method_matches(r->method, method)) continue;
        m->route = r;
        m->dialect = r->dialect;
        memcpy(m->arg, arg, sizeof arg);
        return;
    }
    if (!m->dialect) m->dialect = dialect_near(path);
}
