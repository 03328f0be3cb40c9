/* What a tool's schema says about its parameters, as far as it takes to turn texts into values. */
#include <string.h>

#include "answer/answer_private.h"

#define REF_HOPS 16

const json_t *answer_tool_function(const json_t *tool) {
    const json_t *function = json_object_get(tool, "function");
    return json_is_object(function) ? function : tool;
}

const json_t *answer_tool(const json_t *tools, str name, const json_t **schema) {
    size_t i;
    const json_t *tool;
    json_array_foreach((json_t *)tools, i, tool) {
        const json_t *f = answer_tool_function(tool), *n = json_object_get(f, "name");
        if (!str_eq((str){json_string_value(n), json_string_length(n)}, name) || name.n == 0)
            continue;
        const json_t *s = json_object_get(f, "parameters");
        if (!s) s = json_object_get(f, "input_schema");
        *schema = json_is_object(s) ? s : NULL;
        return tool;
    }
    return NULL;
}

static const json_t *pointed(const json_t *root, const char *ref) {
    const json_t *at = root;
    if (ref[0] != '#') return NULL;
    for (const char *p = ref + 1; at && *p == '/';) {
        const char *end = strchrnul(++p, '/');
        char key[256];
        size_t n = 0;
        for (; p < end && n + 1 < sizeof key; p++) {
            bool escape = *p == '~' && p + 1 < end && (p[1] == '0' || p[1] == '1');
            key[n++] = escape ? (p[1] == '0' ? '~' : '/') : *p;
            if (escape) p++;
        }
        key[n] = 0;
        at = json_object_get(at, key);
        p = end;
    }
    return at;
}

const json_t *answer_schema_of(const json_t *schema, const json_t *root) {
    for (int hops = 0; hops < REF_HOPS; hops++) {
        const char *ref = json_string_value(json_object_get(schema, "$ref"));
        if (!ref) return schema;
        schema = pointed(root, ref);
    }
    return NULL;
}

static unsigned kind_of_name(const char *name) {
    static const struct {
        const char *name;
        unsigned kind;
    } names[] = {{"string", KIND_STRING},   {"number", KIND_NUMBER | KIND_INTEGER},
                 {"integer", KIND_INTEGER}, {"boolean", KIND_BOOL},
                 {"null", KIND_NULL},       {"object", KIND_OBJECT},
                 {"array", KIND_ARRAY}};
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i].name) == 0) return names[i].kind;
    return KIND_ANY;
}

static unsigned kind_of_value(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_STRING: return KIND_STRING;
    case JSON_INTEGER: return KIND_INTEGER;
    case JSON_REAL: return KIND_NUMBER | KIND_INTEGER;
    case JSON_TRUE:
    case JSON_FALSE: return KIND_BOOL;
    case JSON_NULL: return KIND_NULL;
    case JSON_OBJECT: return KIND_OBJECT;
    case JSON_ARRAY: return KIND_ARRAY;
    }
    return KIND_ANY;
}

static unsigned kinds_at(const json_t *schema, const json_t *root, int depth);

static unsigned kinds_of_any(const json_t *list, const json_t *root, int depth) {
    unsigned kinds = 0;
    size_t i;
    const json_t *s;
    json_array_foreach((json_t *)list, i, s) kinds |= kinds_at(s, root, depth + 1);
    return kinds;
}

static unsigned kinds_at(const json_t *schema, const json_t *root, int depth) {
    schema = answer_schema_of(schema, root);
    if (!json_is_object(schema) || depth > REF_HOPS) return KIND_ANY;
    unsigned kinds = KIND_ANY;
    size_t i;
    const json_t *v, *type = json_object_get(schema, "type");
    if (json_is_string(type)) kinds = kind_of_name(json_string_value(type));
    if (json_is_array(type)) {
        kinds = 0;
        json_array_foreach((json_t *)type, i, v) kinds |= kind_of_name(json_string_value(v));
    }
    if (json_is_true(json_object_get(schema, "nullable"))) kinds |= KIND_NULL;
    const json_t *values = json_object_get(schema, "enum");
    if (json_is_array(values)) {
        unsigned named = 0;
        json_array_foreach((json_t *)values, i, v) named |= kind_of_value(v);
        kinds &= named;
    }
    if ((v = json_object_get(schema, "const"))) kinds &= kind_of_value(v);
    static const char *const unions[] = {"anyOf", "oneOf"};
    for (int u = 0; u < 2; u++)
        if (json_array_size(v = json_object_get(schema, unions[u])) > 0)
            kinds &= kinds_of_any(v, root, depth);
    json_array_foreach(json_object_get(schema, "allOf"), i, v)
        kinds &= kinds_at(v, root, depth + 1);
    return kinds ? kinds : KIND_ANY;
}

unsigned answer_schema_kinds(const json_t *schema, const json_t *root) {
    return schema ? kinds_at(schema, root, 0) : KIND_ANY;
}

/* The first of schema and its parts that has something under `key`. */
static const json_t *within(const json_t *schema, const json_t *root, const char *key, str property,
                            int depth) {
    static const char *const parts[] = {"anyOf", "oneOf", "allOf"};
    schema = answer_schema_of(schema, root);
    if (!schema || depth > 4) return NULL;
    const json_t *found = json_object_get(schema, key);
    if (property.p) found = json_object_getn(found, property.p, property.n);
    size_t i;
    const json_t *v;
    for (int p = 0; !found && p < 3; p++)
        json_array_foreach(json_object_get(schema, parts[p]), i, v) {
            if ((found = within(v, root, key, property, depth + 1))) break;
        }
    return found;
}

const json_t *answer_schema_property(const json_t *schema, const json_t *root, str key) {
    const json_t *found = within(schema, root, "properties", key, 0);
    if (found) return found;
    found = within(schema, root, "additionalProperties", (str){NULL, 0}, 0);
    return json_is_object(found) ? found : NULL;
}

const json_t *answer_schema_items(const json_t *schema, const json_t *root) {
    const json_t *found = within(schema, root, "items", (str){NULL, 0}, 0);
    return json_is_object(found) ? found : NULL;
}

static unsigned kind_of_text(str json) {
    char c = json.n ? json.p[0] : 0;
    bool fraction = false;
    for (size_t i = 0; i < json.n; i++)
        fraction = fraction || json.p[i] == '.' || json.p[i] == 'e' || json.p[i] == 'E';
    return c == '{'               ? KIND_OBJECT
           : c == '['             ? KIND_ARRAY
           : c == '"'             ? KIND_STRING
           : c == 't' || c == 'f' ? KIND_BOOL
           : c == 'n'             ? KIND_NULL
           : fraction             ? KIND_NUMBER
                                  : KIND_INTEGER;
}

void answer_schema_value(unsigned kinds, str text, buf *out) {
    str trimmed = str_trim(text);
    value_reader r;
    size_t used = 0, start = out->len;
    value_init(&r, VALUE_JSON, NULL);
    value_got got = value_read(&r, trimmed, &used, out);
    bool whole = got == VALUE_DONE && used == trimmed.n;
    if (got == VALUE_MORE) whole = value_read(&r, STR(" "), &used, out) == VALUE_DONE;
    if (whole && !out->failed) {
        unsigned kind = kind_of_text((str){out->data + start, out->len - start});
        bool text_fits = kinds & KIND_STRING;
        if (kind == KIND_INTEGER) kind |= kinds & KIND_NUMBER;
        if (text_fits ? (kind & kinds & ~(unsigned)KIND_STRING) != 0 : true) return;
    }
    out->len = start;
    if (out->data) out->data[start] = 0;
    value_quote(text, out);
}
