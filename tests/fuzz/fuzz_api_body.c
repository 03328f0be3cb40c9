/* Bodies of requests by strangers: the JSON, and every table of fields on it. What a table
 * lets through can be read as what it says. */
#include <stdint.h>
#include <stdlib.h>

#include "api/api_private.h"

/* A field that was let through has one of its types. */
static void agrees(const api_field *table, const json_t *o) {
    for (const api_field *f = table; f->name || f->include; f++) {
        if (f->include) {
            agrees(f->include, o);
            continue;
        }
        const json_t *v = api_get(o, f->name);
        if (!v) {
            if (f->required) abort();
            continue;
        }
        double x = json_is_number(v) ? api_get_number(o, f->name, 0) : 0;
        if ((f->min != 0 || f->max != 0) && json_is_number(v) && (x < f->min || x > f->max))
            abort();
        if (f->types == API_STRING && !json_is_string(v)) abort();
        if (f->types == API_INT && json_is_number(v) && x >= -2e9 && x <= 2e9 &&
            (double)api_get_int(o, f->name, 0) != x)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    api_error e = {0};
    json_t *v = api_json_read((str){(const char *)data, size}, &e);
    const api_route *r;
    if (!v && (e.status != 400 || !e.msg[0])) abort();
    for (size_t i = 0; v && (r = route_at(i)); i++) {
        e = (api_error){0};
        if (!r->fields) continue;
        if (api_fields_check(r->fields, v, &e)) agrees(r->fields, v);
        else if (e.status != 400 || !e.msg[0]) abort();
    }
    int64_t s;
    if (v) api_keep_alive_read(api_get(v, "keep_alive"), &s);
    json_decref(v);
    return 0;
}
