/* The server's OpenAPI document: nothing in it is written by hand but the frame. */
#include <ctype.h>
#include <stdio.h>

#include "api/api_private.h"
#include "api/pages/core_routes.h"

static void parameters(const char *path, jsonw *w) {
    if (!strchr(path, '{')) return;
    jsonw_key(w, "parameters");
    jsonw_array(w);
    for (const char *p = path; (p = strchr(p, '{')); p++) {
        jsonw_object(w);
        jsonw_key(w, "name");
        jsonw_str(w, (str){p + 1, strcspn(p + 1, "}")});
        jsonw_key(w, "in");
        jsonw_str(w, STR("path"));
        jsonw_key(w, "required");
        jsonw_bool(w, true);
        jsonw_key(w, "schema");
        jsonw_raw(w, STR("{\"type\":\"string\"}"));
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void operation(const api_route *r, jsonw *w) {
    char method[16] = {0};
    for (size_t i = 0; r->method[i] && i < sizeof method - 1; i++)
        method[i] = (char)tolower((unsigned char)r->method[i]);
    jsonw_key(w, method);
    jsonw_object(w);
    jsonw_key(w, "summary");
    jsonw_str(w, str_of(r->summary));
    jsonw_key(w, "tags");
    jsonw_array(w);
    jsonw_str(w, str_of(r->needs == API_OPEN ? "server" : r->dialect->name));
    jsonw_end(w);
    parameters(r->path, w);
    if (r->fields) {
        jsonw_key(w, "requestBody");
        jsonw_object(w);
        jsonw_key(w, "required");
        jsonw_bool(w, true);
        jsonw_key(w, "content");
        jsonw_object(w);
        jsonw_key(w, "application/json");
        jsonw_object(w);
        jsonw_key(w, "schema");
        api_fields_schema(r->fields, w);
        jsonw_end(w);
        jsonw_end(w);
        jsonw_end(w);
    }
    jsonw_key(w, "responses");
    jsonw_raw(w, STR("{\"200\":{\"description\":\"the answer\"},"
                     "\"default\":{\"description\":\"an error in the dialect's shape\"}}"));
    if (r->needs != API_OPEN) {
        jsonw_key(w, "security");
        jsonw_raw(w, STR("[{},{\"bearer\":[]},{\"x-api-key\":[]}]"));
    }
    jsonw_end(w);
}

/* The first row of a path opens its object and writes the others' methods too. */
static bool is_first(size_t at, const char *path) {
    const api_route *r;
    for (size_t i = 0; i < at && (r = route_at(i)); i++)
        if (r->summary && strcmp(r->path, path) == 0) return false;
    return true;
}

/* Of rows with one path and method (told apart by a header) the last is the usual one. */
static bool is_last_of_method(size_t at, const api_route *r) {
    const api_route *o;
    for (size_t i = at + 1; (o = route_at(i)); i++)
        if (o->summary && strcmp(o->path, r->path) == 0 && strcmp(o->method, r->method) == 0)
            return false;
    return true;
}

void openapi_write(buf *out) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "openapi");
    jsonw_str(&w, STR("3.1.0"));
    jsonw_key(&w, "info");
    jsonw_raw(&w, STR("{\"title\":\"Hearth\",\"version\":\"" HEARTH_VERSION "\"}"));
    jsonw_key(&w, "paths");
    jsonw_object(&w);
    const api_route *r, *o;
    for (size_t i = 0; (r = route_at(i)); i++) {
        if (!r->summary || !is_first(i, r->path)) continue;
        jsonw_key(&w, r->path);
        jsonw_object(&w);
        for (size_t k = i; (o = route_at(k)); k++)
            if (o->summary && strcmp(o->path, r->path) == 0 && is_last_of_method(k, o))
                operation(o, &w);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_key(&w, "components");
    jsonw_raw(&w, STR("{\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
                      "\"x-api-key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":"
                      "\"x-api-key\"}}}"));
    jsonw_end(&w);
}
