/* Checking a body against its table, and the table as JSON Schema. */
#include "api/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

/* Where in the body the check is: "messages[2].content". */
typedef struct path {
    char text[128];
    size_t n;
} path;

static size_t path_add(path *p, const char *name, size_t index) {
    size_t before = p->n;
    int n;
    if (name) n = snprintf(p->text + p->n, sizeof p->text - p->n, "%s%s", p->n ? "." : "", name);
    else n = snprintf(p->text + p->n, sizeof p->text - p->n, "[%zu]", index);
    if (n > 0) p->n += (size_t)n;
    if (p->n >= sizeof p->text) p->n = sizeof p->text - 1;
    return before;
}

static void path_cut(path *p, size_t before) {
    p->n = before;
    p->text[before] = 0;
}

/* ---- types ---- */

static const struct {
    unsigned type;
    const char *name, *schema;
} type_names[] = {
    {API_BOOL, "true or false", "boolean"}, {API_INT, "a whole number", "integer"},
    {API_NUMBER, "a number", "number"},     {API_STRING, "a string", "string"},
    {API_ARRAY, "an array", "array"},       {API_OBJECT, "an object", "object"},
};
#define N_TYPES (sizeof type_names / sizeof *type_names)

static unsigned type_of(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_TRUE:
    case JSON_FALSE: return API_BOOL;
    case JSON_INTEGER: return API_INT | API_NUMBER;
    case JSON_REAL: {
        double x = json_real_value(v);
        return x == floor(x) && fabs(x) < 9.0e15 ? API_INT | API_NUMBER : API_NUMBER;
    }
    case JSON_STRING: return API_STRING;
    case JSON_ARRAY: return API_ARRAY;
    case JSON_OBJECT: return API_OBJECT;
    default: return 0;
    }
}

static const char *types_say(unsigned types, char *dst, size_t cap) {
    size_t n = 0;
    *dst = 0;
    for (size_t i = 0; i < N_TYPES; i++) {
        if (!(types & type_names[i].type)) continue;
        if (type_names[i].type == API_INT && (types & API_NUMBER)) continue;
        int k = snprintf(dst + n, cap - n, "%s%s", n ? ", or " : "", type_names[i].name);
        if (k < 0 || (size_t)k >= cap - n) break;
        n += (size_t)k;
    }
    return dst;
}

static bool wrong_type(const path *p, unsigned types, api_error *e) {
    char say[128];
    return api_fail(e, 400, "invalid_type", p->text, "%s must be %s", p->text,
                    types_say(types, say, sizeof say));
}

/* ---- values ---- */

static bool word_in(const char *words, const char *word) {
    size_t n = strlen(word);
    for (const char *p = words; *p;) {
        size_t k = strcspn(p, "|");
        if (k == n && memcmp(p, word, n) == 0) return true;
        p += k + (p[k] == '|');
    }
    return false;
}

static bool check_number(const api_field *f, const json_t *v, const path *p, api_error *e) {
    double x = json_number_value(v);
    if (f->min == 0 && f->max == 0) return true;
    if (x >= f->min && x <= f->max) return true;
    return api_fail(e, 400, "out_of_range", p->text, "%s must be from %.17g to %.17g, not %.6g",
                    p->text, f->min, f->max, x);
}

static bool check_length(const api_field *f, size_t n, const char *unit, const path *p,
                         api_error *e) {
    if (n < f->len_min)
        return api_fail(e, 400, "too_short", p->text, "%s must have at least %zu %s, not %zu",
                        p->text, f->len_min, unit, n);
    if (f->len_max && n > f->len_max)
        return api_fail(e, 400, "too_long", p->text, "%s must have at most %zu %s, not %zu",
                        p->text, f->len_max, unit, n);
    return true;
}

static bool check_object(const api_field *table, const json_t *o, path *p, api_error *e);

static bool check_array(const api_field *f, const json_t *v, path *p, api_error *e) {
    if (!check_length(f, json_array_size(v), "items", p, e)) return false;
    size_t i;
    json_t *item;
    json_array_foreach(v, i, item) {
        size_t before = path_add(p, NULL, i);
        if (f->items && !(type_of(item) & f->items)) return wrong_type(p, f->items, e);
        if (f->of && json_is_object(item) && !check_object(f->of, item, p, e)) return false;
        path_cut(p, before);
    }
    return true;
}

static bool check_value(const api_field *f, const json_t *v, path *p, api_error *e) {
    if (!(type_of(v) & f->types)) return wrong_type(p, f->types, e);
    if (json_is_number(v)) return check_number(f, v, p, e);
    if (json_is_string(v)) {
        if (f->words && !word_in(f->words, json_string_value(v)))
            return api_fail(e, 400, "invalid_value", p->text, "%s must be one of %s", p->text,
                            f->words);
        if (f->types & API_ARRAY) return true; /* the lengths are the array's */
        return check_length(f, json_string_length(v), "bytes", p, e);
    }
    if (json_is_array(v)) return check_array(f, v, p, e);
    if (json_is_object(v) && f->of) return check_object(f->of, v, p, e);
    return true;
}

static bool check_object(const api_field *table, const json_t *o, path *p, api_error *e) {
    for (const api_field *f = table; f->name || f->include; f++) {
        if (f->include) {
            if (!check_object(f->include, o, p, e)) return false;
            continue;
        }
        size_t before = path_add(p, f->name, 0);
        const json_t *v = json_object_get(o, f->name);
        if (!v || json_is_null(v)) {
            if (f->required)
                return api_fail(e, 400, "missing_field", p->text, "%s is missing", p->text);
        } else if (!check_value(f, v, p, e)) {
            return false;
        }
        path_cut(p, before);
    }
    return true;
}

bool api_fields_check(const api_field *table, const json_t *object, api_error *e) {
    path p = {{0}, 0};
    if (!json_is_object(object))
        return api_fail(e, 400, "invalid_type", NULL, "the body must be a JSON object");
    return check_object(table, object, &p, e);
}

/* ---- as JSON Schema ---- */

static void schema_types(unsigned types, jsonw *w) {
    if (types == API_ANY) return;
    jsonw_key(w, "type");
    jsonw_array(w);
    for (size_t i = 0; i < N_TYPES; i++)
        if (types & type_names[i].type && !(type_names[i].type == API_INT && types & API_NUMBER))
            jsonw_str(w, str_of(type_names[i].schema));
    jsonw_str(w, STR("null"));
    jsonw_end(w);
}

static void schema_words(const char *words, jsonw *w) {
    jsonw_key(w, "enum");
    jsonw_array(w);
    for (const char *p = words; *p;) {
        size_t k = strcspn(p, "|");
        jsonw_str(w, (str){p, k});
        p += k + (p[k] == '|');
    }
    jsonw_null(w);
    jsonw_end(w);
}

static void schema_items(const api_field *f, jsonw *w) {
    if (f->len_min) {
        jsonw_key(w, "minItems");
        jsonw_uint(w, f->len_min);
    }
    if (f->len_max) {
        jsonw_key(w, "maxItems");
        jsonw_uint(w, f->len_max);
    }
    if (!f->items && !f->of) return;
    jsonw_key(w, "items");
    if (f->of && (f->items == API_OBJECT || !f->items)) {
        api_fields_schema(f->of, w);
    } else {
        jsonw_object(w);
        schema_types(f->items, w);
        jsonw_end(w);
    }
}

static void schema_field(const api_field *f, jsonw *w) {
    jsonw_key(w, f->name);
    if (f->types == API_OBJECT && f->of) {
        api_fields_schema(f->of, w);
        return;
    }
    jsonw_object(w);
    schema_types(f->types, w);
    if (f->doc) {
        jsonw_key(w, "description");
        jsonw_str(w, str_of(f->doc));
    }
    if (f->words) schema_words(f->words, w);
    if (f->min != 0 || f->max != 0) {
        jsonw_key(w, "minimum");
        jsonw_f64(w, f->min);
        jsonw_key(w, "maximum");
        jsonw_f64(w, f->max);
    }
    if (f->types & API_ARRAY) {
        schema_items(f, w);
    } else if (f->types & API_STRING && f->len_max) {
        jsonw_key(w, "maxLength");
        jsonw_uint(w, f->len_max);
    }
    jsonw_end(w);
}

static void schema_properties(const api_field *table, jsonw *w) {
    for (const api_field *f = table; f->name || f->include; f++)
        if (f->include) schema_properties(f->include, w);
        else schema_field(f, w);
}

void api_fields_schema(const api_field *table, jsonw *w) {
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, STR("object"));
    jsonw_key(w, "properties");
    jsonw_object(w);
    schema_properties(table, w);
    jsonw_end(w);
    bool any = false;
    for (const api_field *f = table; f->name || f->include; f++) {
        if (!f->required) continue;
        if (!any) {
            jsonw_key(w, "required");
            jsonw_array(w);
        }
        any = true;
        jsonw_str(w, str_of(f->name));
    }
    if (any) jsonw_end(w);
    jsonw_end(w);
}

/* ---- the text ---- */

/* Brackets that are open at the same time, outside of strings: the parser is recursive. */
static bool depth_ok(str s) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        if (in_string) {
            if (ch == '\\') i++;
            else if (ch == '"') in_string = false;
        } else if (ch == '"') {
            in_string = true;
        } else if (ch == '{' || ch == '[') {
            if (++depth > LIMIT_JSON_DEPTH) return false;
        } else if (ch == '}' || ch == ']') {
            depth--;
        }
    }
    return true;
}

json_t *api_json_read(str s, api_error *e) {
    json_error_t je;
    char shown[200];
    json_t *v = NULL;
    if (s.n == 0) {
        api_fail(e, 400, "empty_body", NULL, "the request has no body");
    } else if (!depth_ok(s)) {
        api_fail(e, 400, "invalid_json", NULL, "the body has more than %d levels",
                 LIMIT_JSON_DEPTH);
    } else if (!(v = json_loadb(s.p, s.n, 0, &je)) &&
               /* a number that no integer holds is JSON all the same: the table judges it */
               !(json_error_code(&je) == json_error_numeric_overflow &&
                 (v = json_loadb(s.p, s.n, JSON_DECODE_INT_AS_REAL, &je)))) {
        api_fail(e, 400, "invalid_json", NULL, "the body is no JSON: line %d, column %d: %s",
                 je.line, je.column, str_printable(str_of(je.text), shown, sizeof shown));
    }
    return v;
}

/* ---- reading ---- */

json_t *api_get(const json_t *object, const char *name) {
    json_t *v = json_object_get(object, name);
    return json_is_null(v) ? NULL : v;
}

double api_get_number(const json_t *object, const char *name, double otherwise) {
    const json_t *v = api_get(object, name);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

int64_t api_get_int(const json_t *object, const char *name, int64_t otherwise) {
    const json_t *v = api_get(object, name);
    if (json_is_integer(v)) return json_integer_value(v);
    return json_is_real(v) && fabs(json_real_value(v)) < 9.0e15 ? (int64_t)json_real_value(v)
                                                                : otherwise;
}

bool api_get_bool(const json_t *object, const char *name, bool otherwise) {
    const json_t *v = api_get(object, name);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

const char *api_get_text(const json_t *object, const char *name, const char *otherwise) {
    const json_t *v = api_get(object, name);
    return json_is_string(v) ? json_string_value(v) : otherwise;
}
