/* The arguments of a call in each notation: JSON by its schema, and by it too, as far as the
 * notation allows, parameters in XML, arguments of Python and Gemma's form. What a strict tool asks
 * and the notation cannot enforce is an error. */
#include <stdlib.h>
#include <string.h>

#include "answer/answer_private.h"
#include "base/limits.h"

#define SHAPE_DEPTH 8

typedef answer_rules_writer writer;

/* ---- schemas ---- */

static void refuse(writer *w, str where, const char *keyword) {
    if (w->e->code == ERR_NONE)
        err_set(
            w->e, ERR_USAGE,
            "tool \"%.*s\": %s of \"%.*s\" cannot be enforced in the way this model writes calls",
            (int)(w->name.n < 100 ? w->name.n : 100), w->name.p, keyword,
            (int)(where.n < 100 ? where.n : 100), where.p);
}

/* What no grammar enforces, taken out of a copy. */
static void soften(json_t *schema, int depth) {
    static const char *const gone[] = {
        "uniqueItems", "unevaluatedProperties", "unevaluatedItems", "divisibleBy",   "disallow",
        "extends",     "$dynamicRef",           "$recursiveRef",    "contentSchema", "$schema"};
    static const char *const formats[] = {"regex", "idn-hostname", "uri-template"};
    const char *key;
    size_t i;
    json_t *v;
    void *next;
    if (depth > LIMIT_SCHEMA_DEPTH) return;
    if (json_is_array(schema)) json_array_foreach(schema, i, v) soften(v, depth + 1);
    if (!json_is_object(schema)) return;
    for (size_t k = 0; k < sizeof gone / sizeof gone[0]; k++) {
        json_t *at = json_object_get(schema, gone[k]);
        /* not a property of that name */
        if (at && !(json_is_object(at) && json_object_get(at, "type")))
            json_object_del(schema, gone[k]);
    }
    const char *format = json_string_value(json_object_get(schema, "format"));
    for (size_t k = 0; format && k < sizeof formats / sizeof formats[0]; k++)
        if (strcmp(format, formats[k]) == 0) {
            json_object_del(schema, "format");
            break;
        }
    json_object_foreach_safe(schema, next, key, v) soften(v, depth + 1);
}

/* A schema that stands for itself, with the definitions that its $refs need. Owned. */
static json_t *standing(writer *w, const json_t *schema) {
    static const char *const shared[] = {"$defs", "definitions"};
    if (w->d->loose || !json_is_object(schema)) return json_object();
    json_t *copy = json_deep_copy(schema);
    for (int i = 0; copy && schema != w->root && i < 2; i++) {
        const json_t *defs = json_object_get(w->root, shared[i]);
        if (defs && !json_object_get(copy, shared[i]))
            json_object_set_new(copy, shared[i], json_deep_copy(defs));
    }
    if (copy && !w->strict) soften(copy, 0);
    return copy;
}

static void put_json(writer *w, json_t *schema, buf *out) { /* takes the reference */
    char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL;
    buf_printf(out, "%%json %s ", text ? text : "{}");
    if (!text) w->failed = true;
    free(text);
    json_decref(schema);
}

void answer_rules_json(writer *w, const json_t *schema, buf *out) {
    json_t *copy = standing(w, schema);
    if (copy && !json_object_get(copy, "type") && !json_object_get(copy, "$ref"))
        json_object_set_new(copy, "type", json_string("object"));
    put_json(w, copy, out);
}

static bool is_required(const json_t *schema, const char *key) {
    size_t i;
    const json_t *v;
    json_array_foreach(json_object_get(schema, "required"), i, v) {
        if (json_is_string(v) && strcmp(json_string_value(v), key) == 0) return true;
    }
    return false;
}

static const json_t *properties_of(const writer *w, const json_t *schema) {
    return w->d->loose ? NULL : json_object_get(answer_schema_of(schema, w->root), "properties");
}

/* A text with the quotes around it; enum and const are lists of them. */
static bool put_fixed(const json_t *schema, buf *out, const char *open, const char *close) {
    const json_t *values = json_object_get(schema, "enum"), *one = json_object_get(schema, "const"),
                 *v;
    size_t i;
    bool any = false;
    if (json_is_string(one)) {
        answer_put_literal(out, str_of(open));
        answer_put_literal(out, (str){json_string_value(one), json_string_length(one)});
        answer_put_literal(out, str_of(close));
        return true;
    }
    json_array_foreach((json_t *)values, i, v) if (!json_is_string(v)) return false;
    json_array_foreach((json_t *)values, i, v) {
        buf_puts(out, any ? "| " : "(");
        any = true;
        answer_put_literal(out, str_of(open));
        answer_put_literal(out, (str){json_string_value(v), json_string_length(v)});
        answer_put_literal(out, str_of(close));
    }
    if (any) buf_puts(out, ") ");
    return any;
}

static const char *const text_words[] = {"pattern", "minLength", "maxLength", "format"};

/* Where a value may be a text or something else, the text is free. */
static void check_text(writer *w, const json_t *schema, str key) {
    for (int i = 0; w->strict && i < 4; i++)
        if (json_object_get(schema, text_words[i])) refuse(w, key, text_words[i]);
}

static bool has_rules(const json_t *schema) {
    static const char *const more[] = {"allOf", "anyOf", "oneOf", "not", "if"};
    for (int i = 0; i < 4; i++)
        if (json_object_get(schema, text_words[i])) return true;
    for (int i = 0; i < 5; i++)
        if (json_object_get(schema, more[i])) return true;
    return false;
}

static void put_except(buf *out, const char *text) {
    buf_puts(out, "%except(");
    answer_put_literal(out, str_of(text));
    buf_puts(out, ") ");
}

/* A text up to `close` that is a string by the schema. */
static void put_ruled(writer *w, const json_t *schema, const char *close, buf *out) {
    json_t *copy = standing(w, schema);
    char *text = copy ? json_dumps(copy, JSON_COMPACT) : NULL;
    buf_puts(out, "%text(");
    answer_put_literal(out, str_of(close));
    buf_printf(out, ") %s ", text ? text : "{}");
    if (!text) w->failed = true;
    free(text);
    json_decref(copy);
}

/* ---- one element a parameter ---- */

static void put_text_param(writer *w, const json_t *schema, unsigned kinds, str key, buf *out) {
    const json_t *seen = answer_schema_of(schema, w->root);
    bool ruled = kinds == KIND_STRING && has_rules(seen);
    bool cdata = w->f->params->flags & PARAMS_CDATA;
    const char *close = cdata ? "]]>" : w->f->params->close;
    if (!ruled) {
        check_text(w, seen, key);
        if (kinds != KIND_STRING && kinds != KIND_ANY && (kinds & (KIND_ARRAY | KIND_OBJECT)) &&
            w->strict)
            refuse(w, key, "the choice between text and other values");
    }
    if (cdata) buf_puts(out, ruled ? "\"<![CDATA[\" " : "(\"<![CDATA[\" ");
    if (ruled) put_ruled(w, schema, close, out);
    else put_except(out, close);
    if (cdata) buf_puts(out, ruled ? "\"]]>\" " : "\"]]>\" | %except(\"<\" | \"\\n\")) ");
}

static void put_param_value(writer *w, const json_t *schema, str key, buf *out) {
    const answer_params *p = w->f->params;
    const json_t *seen = answer_schema_of(schema, w->root);
    unsigned kinds = w->d->loose ? KIND_ANY : answer_schema_kinds(schema, w->root);
    bool typed = p->flags & PARAMS_TYPED, text = kinds & KIND_STRING;
    if (typed) answer_put_literal(out, text ? STR(" string=\"true\">") : STR(" string=\"false\">"));
    if (p->flags & PARAMS_LINES) buf_puts(out, "\"\\n\" ");
    if (!text) {
        put_json(w, standing(w, schema), out);
    } else if (!put_fixed(seen, out, "", "")) {
        put_text_param(w, schema, kinds, key, out);
    }
    if (p->flags & PARAMS_LINES) buf_puts(out, "\"\\n\" ");
    answer_put_literal(out, str_of(p->close));
    if (w->lines || (p->flags & PARAMS_LINES)) buf_puts(out, "\"\\n\" ");
}

static void put_key_end(const writer *w, buf *out) {
    const answer_params *p = w->f->params;
    answer_put_literal(out, str_of(p->key_end));
    if (p->value) {
        if (w->lines) buf_puts(out, "\"\\n\" ");
        answer_put_literal(out, str_of(p->value));
    }
}

void answer_rules_xml(writer *w, buf *out) {
    const json_t *properties = properties_of(w, w->root), *schema;
    const char *key;
    if (json_object_size(properties) == 0) {
        if (json_is_false(json_object_get(w->root, "additionalProperties"))) return;
        buf_puts(out, "(");
        answer_put_literal(out, str_of(w->f->params->open));
        buf_puts(out, "[a-zA-Z0-9_.-]+ ");
        put_key_end(w, out);
        put_param_value(w, NULL, STR("a parameter"), out);
        buf_puts(out, ")* ");
        return;
    }
    json_object_foreach((json_t *)properties, key, schema) {
        bool needed = is_required(w->root, key);
        if (!needed) buf_puts(out, "(");
        answer_put_literal(out, str_of(w->f->params->open));
        answer_put_literal(out, str_of(key));
        put_key_end(w, out);
        put_param_value(w, schema, str_of(key), out);
        if (!needed) buf_puts(out, ")? ");
    }
}

/* ---- items with commas between: f(a=1, b=2), {a:1,b:2} ---- */

typedef struct shape_item {
    const char *key;
    bool needed;
    buf text; /* key and value */
} shape_item;

/* The items in order, each once; those not needed may be missing. */
static void put_items(writer *w, shape_item *item, size_t n, const char *comma, buf *out) {
    if (n == 0) return;
    int base = w->n_rules;
    w->n_rules += (int)n + 1;
    for (size_t i = 1; i <= n; i++) { /* rest_i: what follows once something stands before it */
        buf_printf(w->out, "rest%d ::= ", base + (int)i);
        if (i == n) {
            buf_puts(w->out, "\"\"\n");
            continue;
        }
        buf_puts(w->out, "(");
        answer_put_literal(w->out, str_of(comma));
        buf_printf(w->out, "%.*s)%s rest%d\n", STR_ARG(buf_str(&item[i].text)),
                   item[i].needed ? "" : "?", base + (int)i + 1);
    }
    buf_puts(out, "(");
    bool must = false;
    for (size_t i = 0; i < n && !must; i++) {
        buf_printf(out, "%s%.*s rest%d ", i ? "| " : "", STR_ARG(buf_str(&item[i].text)),
                   base + (int)i + 1);
        must = item[i].needed;
    }
    buf_puts(out, must ? ") " : ")? ");
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const shape_item *)a)->key, ((const shape_item *)b)->key);
}

typedef void put_item(writer *w, const char *key, const json_t *schema, int depth, buf *out);

static void put_object(writer *w, const json_t *schema, put_item *put, const char *comma,
                       bool sorted, int depth, buf *out) {
    const json_t *seen = answer_schema_of(schema, w->root), *properties = properties_of(w, schema),
                 *v;
    size_t n = 0, size = json_object_size(properties);
    const char *key;
    shape_item *item = calloc(size + 1, sizeof *item);
    if (!item) {
        w->failed = true;
        return;
    }
    json_object_foreach((json_t *)properties, key, v) {
        item[n] = (shape_item){.key = key, .needed = is_required(seen, key)};
        buf_init(&item[n].text, LIMIT_JSON_BYTES);
        put(w, key, v, depth, &item[n].text);
        n++;
    }
    if (sorted) qsort(item, n, sizeof *item, by_key);
    put_items(w, item, n, comma, out);
    for (size_t i = 0; i < n; i++) {
        if (item[i].text.failed) w->failed = true;
        buf_deinit(&item[i].text);
    }
    free(item);
}

/* ---- Python ---- */

static void python_item(writer *w, const char *key, const json_t *schema, int depth, buf *out) {
    (void)depth;
    answer_put_literal(out, str_of(key));
    buf_puts(out, "\"=\" ");
    put_json(w, standing(w, schema), out);
}

void answer_rules_kwargs(writer *w, buf *out) {
    put_object(w, w->root, python_item, ", ", false, 0, out);
}

/* ---- Gemma: {key:value,...}, strings between quote marks of their own ---- */

static void gemma_value(writer *w, const json_t *schema, str key, int depth, buf *out);

static void gemma_item(writer *w, const char *key, const json_t *schema, int depth, buf *out) {
    answer_put_literal(out, str_of(key));
    buf_puts(out, "\":\" ");
    gemma_value(w, schema, str_of(key), depth + 1, out);
}

static void gemma_text(writer *w, const json_t *schema, str key, buf *out) {
    const char *quote = w->f->quote;
    const json_t *seen = answer_schema_of(schema, w->root);
    bool only = answer_schema_kinds(schema, w->root) == KIND_STRING;
    if (put_fixed(seen, out, quote, quote)) return;
    if (!only) check_text(w, seen, key);
    answer_put_literal(out, str_of(quote));
    if (only && has_rules(seen)) put_ruled(w, schema, quote, out);
    else put_except(out, quote);
    answer_put_literal(out, str_of(quote));
}

static void check_items(writer *w, const json_t *schema, str key) {
    static const char *const words[] = {"minItems", "maxItems", "prefixItems", "contains"};
    for (int i = 0; w->strict && i < 4; i++)
        if (json_object_get(schema, words[i])) refuse(w, key, words[i]);
}

/* One alternative for each kind that the value may have. */
static void gemma_value(writer *w, const json_t *schema, str key, int depth, buf *out) {
    const json_t *seen = answer_schema_of(schema, w->root);
    unsigned kinds = answer_schema_kinds(schema, w->root),
             plain = KIND_NUMBER | KIND_INTEGER | KIND_BOOL | KIND_NULL;
    const char * or = "";
    if (kinds == KIND_ANY || depth > SHAPE_DEPTH) kinds = KIND_STRING | plain;
    buf_puts(out, "(");
    if (kinds & KIND_STRING) {
        gemma_text(w, schema, key, out);
        or = "| ";
    }
    if (kinds & KIND_ARRAY) {
        check_items(w, seen, key);
        buf item;
        buf_init(&item, LIMIT_JSON_BYTES);
        gemma_value(w, answer_schema_items(schema, w->root), key, depth + 1, &item);
        buf_printf(out, "%s\"[\" (%.*s(\",\" %.*s)*)? \"]\" ", or, STR_ARG(buf_str(&item)),
                   STR_ARG(buf_str(&item)));
        if (item.failed) w->failed = true;
        buf_deinit(&item);
        or = "| ";
    }
    if (kinds & KIND_OBJECT) {
        buf_printf(out, "%s\"{\" ", or);
        put_object(w, schema, gemma_item, ",", true, depth + 1, out);
        buf_puts(out, "\"}\" ");
        or = "| ";
    }
    if (kinds & plain) {
        buf_puts(out, or);
        if ((kinds & ~plain) == 0 && schema) {
            put_json(w, standing(w, schema), out);
        } else {
            static const struct {
                unsigned kind;
                const char *name;
            } names[] = {{KIND_NUMBER, "number"},
                         {KIND_INTEGER, "integer"},
                         {KIND_BOOL, "boolean"},
                         {KIND_NULL, "null"}};
            json_t *types = json_array(), *any = json_object();
            for (int i = 0; i < 4; i++)
                if (kinds & names[i].kind) json_array_append_new(types, json_string(names[i].name));
            json_object_set_new(any, "type", types);
            put_json(w, any, out);
        }
    }
    buf_puts(out, ") ");
}

void answer_rules_gemma(writer *w, buf *out) {
    buf_puts(out, "\"{\" ");
    put_object(w, w->root, gemma_item, ",", true, 0, out);
    buf_puts(out, "\"}\" ");
}

/* ---- MiniMax M3: elements in elements ---- */

#define NESTED_MARK "]<]minimax[>["

static void nested_content(writer *w, const json_t *schema, str key, int depth, buf *out);

static void nested_element(writer *w, const char *key, const json_t *schema, int depth, buf *out) {
    buf tag;
    buf_init(&tag, LIMIT_JSON_BYTES);
    buf_printf(&tag, NESTED_MARK "<%s>", key);
    answer_put_literal(out, buf_str(&tag));
    nested_content(w, schema, str_of(key), depth + 1, out);
    buf_clear(&tag);
    buf_printf(&tag, NESTED_MARK "</%s>", key);
    answer_put_literal(out, buf_str(&tag));
    if (tag.failed) w->failed = true;
    buf_deinit(&tag);
}

static void nested_object(writer *w, const json_t *schema, int depth, buf *out) {
    const json_t *seen = answer_schema_of(schema, w->root), *v;
    const char *key;
    json_object_foreach((json_t *)properties_of(w, schema), key, v) {
        bool needed = is_required(seen, key);
        buf_puts(out, needed ? "" : "(");
        nested_element(w, key, v, depth, out);
        buf_puts(out, needed ? "" : ")? ");
    }
}

static void nested_content(writer *w, const json_t *schema, str key, int depth, buf *out) {
    const json_t *seen = answer_schema_of(schema, w->root);
    unsigned kinds = answer_schema_kinds(schema, w->root);
    if (kinds == KIND_ANY || depth > SHAPE_DEPTH || (kinds & KIND_STRING)) {
        bool ruled = kinds == KIND_STRING && depth <= SHAPE_DEPTH && has_rules(seen);
        if (put_fixed(seen, out, "", "")) return;
        if (!ruled) check_text(w, seen, key);
        if (ruled) put_ruled(w, schema, NESTED_MARK, out);
        else put_except(out, NESTED_MARK);
    } else if (kinds & KIND_OBJECT) {
        nested_object(w, schema, depth, out);
    } else if (kinds & KIND_ARRAY) {
        check_items(w, seen, key);
        buf_puts(out, "(");
        nested_element(w, "item", answer_schema_items(schema, w->root), depth + 1, out);
        buf_puts(out, ")* ");
    } else {
        put_json(w, standing(w, schema), out);
    }
}

void answer_rules_nested(writer *w, buf *out) {
    nested_object(w, w->root, 0, out);
    answer_put_literal(out, STR(NESTED_MARK "</invoke>"));
}
