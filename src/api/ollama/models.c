/* /api/tags, /api/ps, /api/show: what models there are, and what is known of them. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "api/facts.h"
#include "api/ollama/ollama.h"
#include "base/limits.h"

#define FOR_EVER_S (292LL * 31556952) /* as far ahead as Ollama puts "never" */

/* Ollama's names have a tag. */
static void name_write(jsonw *w, const char *key, const char *name) {
    char text[160];
    snprintf(text, sizeof text, "%s%s", name, strchr(name, ':') ? "" : ":latest");
    jsonw_key(w, key);
    jsonw_str(w, str_of(text));
}

static void text_write(jsonw *w, const char *key, const char *text) {
    jsonw_key(w, key);
    jsonw_str(w, str_of(text));
}

static void details_write(jsonw *w, const facts *f) {
    jsonw_key(w, "details");
    jsonw_object(w);
    text_write(w, "parent_model", "");
    text_write(w, "format", "gguf");
    text_write(w, "family", f->family);
    jsonw_key(w, "families");
    jsonw_array(w);
    jsonw_str(w, str_of(f->family));
    jsonw_end(w);
    text_write(w, "parameter_size", f->size);
    text_write(w, "quantization_level", f->quant);
    jsonw_end(w);
}

/* A file that cannot be read is listed too, without what it would say. */
static facts facts_of(api_call *c, const resident_row *r) {
    facts f;
    err why = {0};
    if (facts_get(c->api->facts, r->path, &f, &why)) return f;
    return (facts){.family = "unknown", .size = "unknown", .quant = "unknown"};
}

static void tags(api_call *c) {
    resident_row *rows;
    size_t n;
    jsonw w;
    if (!api_models_get(c, &rows, &n)) return;
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "models");
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) {
        facts f = facts_of(c, &rows[i]);
        jsonw_object(&w);
        name_write(&w, "name", rows[i].name);
        name_write(&w, "model", rows[i].name);
        ollama_time(&w, "modified_at", rows[i].modified_s, 0);
        jsonw_key(&w, "size");
        jsonw_uint(&w, rows[i].file_bytes);
        text_write(&w, "digest", rows[i].id.hex[0] ? rows[i].id.hex : f.identity);
        details_write(&w, &f);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    free(rows);
    api_reply_json(c, 200, NULL);
}

static void ps(api_call *c) {
    resident_row *rows;
    size_t n;
    jsonw w;
    if (!api_models_get(c, &rows, &n)) return;
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "models");
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) {
        const resident_row *r = &rows[i];
        if (!r->loaded) continue;
        facts f = facts_of(c, r);
        jsonw_object(&w);
        name_write(&w, "name", r->name);
        name_write(&w, "model", r->name);
        jsonw_key(&w, "size");
        jsonw_uint(&w, r->memory_bytes);
        text_write(&w, "digest", r->id.hex[0] ? r->id.hex : f.identity);
        details_write(&w, &f);
        ollama_time(&w, "expires_at", r->expires_s < 0 ? c->created_s + FOR_EVER_S : r->expires_s,
                    0);
        jsonw_key(&w, "size_vram");
        jsonw_int(&w, 0);
        jsonw_key(&w, "context_length");
        jsonw_int(&w, r->n_ctx);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    free(rows);
    api_reply_json(c, 200, NULL);
}

/* ---- show ---- */

static void scalar_write(jsonw *w, const gguf *g, const gguf_kv *kv, const char *key) {
    str s;
    bool b;
    int64_t i;
    uint64_t u;
    double x;
    if (kv->type == GGUF_STRING && gguf_get_str(g, key, &s)) jsonw_str(w, s);
    else if (kv->type == GGUF_BOOL && gguf_get_bool(g, key, &b)) jsonw_bool(w, b);
    else if (kv->type == GGUF_F32 && gguf_get_f64(g, key, &x)) jsonw_f32(w, (float)x);
    else if (kv->type == GGUF_F64 && gguf_get_f64(g, key, &x)) jsonw_f64(w, x);
    else if (gguf_get_i64(g, key, &i)) jsonw_int(w, i);
    else if (gguf_get_u64(g, key, &u)) jsonw_uint(w, u);
    else jsonw_null(w);
}

/* Long lists only when asked for: a vocabulary has megabytes. */
static void list_write(jsonw *w, const gguf *g, const gguf_kv *kv, bool verbose) {
    enum { SHORT = 64 };
    bool words = kv->elem == GGUF_STRING, real = kv->elem == GGUF_F32 || kv->elem == GGUF_F64;
    if (kv->elem == GGUF_ARRAY || (!verbose && kv->n > SHORT)) {
        jsonw_null(w);
        return;
    }
    jsonw_array(w);
    for (uint64_t i = 0; i < kv->n; i++) {
        str s;
        int64_t v;
        double x;
        if (words && gguf_item_str(kv, g, i, &s)) jsonw_str(w, s);
        else if (real && gguf_item_f64(kv, i, &x)) jsonw_f64(w, x);
        else if (gguf_item_i64(kv, i, &v)) jsonw_int(w, v);
        else jsonw_null(w);
    }
    jsonw_end(w);
}

static void info_write(jsonw *w, const gguf *g, const facts *f, bool verbose) {
    jsonw_key(w, "model_info");
    jsonw_object(w);
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char key[256];
        if (kv->key.n >= sizeof key || str_eq(kv->key, STR("tokenizer.chat_template"))) continue;
        snprintf(key, sizeof key, "%.*s", STR_ARG(kv->key));
        jsonw_key(w, key);
        if (kv->type == GGUF_ARRAY) list_write(w, g, kv, verbose);
        else scalar_write(w, g, kv, key);
    }
    if (!gguf_find(g, "general.parameter_count")) {
        jsonw_key(w, "general.parameter_count");
        jsonw_uint(w, f->n_params);
    }
    jsonw_end(w);
}

static void abilities_write(jsonw *w, unsigned can) {
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{FACTS_COMPLETION, "completion"},
                 {FACTS_EMBEDDING, "embedding"},
                 {FACTS_TOOLS, "tools"},
                 {FACTS_THINKING, "thinking"},
                 {FACTS_INSERT, "insert"}};
    jsonw_key(w, "capabilities");
    jsonw_array(w);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (can & names[i].bit) jsonw_str(w, str_of(names[i].name));
    jsonw_end(w);
}

/* What the model was made with, beside its file. */
static void recipe_write(jsonw *w, const resident_row *r, const hub_recipe *c, str license,
                         str template) {
    buf b;
    buf_init(&b, LIMIT_CALL_BYTES);
    for (size_t i = 0; i < c->n_license; i++) buf_printf(&b, "%s%s", i ? "\n" : "", c->license[i]);
    jsonw_key(w, "license");
    jsonw_str(w, c->n_license ? buf_str(&b) : license);
    buf_clear(&b);
    hub_recipe_write(&b, c, r->stored ? r->path : r->name, NULL);
    jsonw_key(w, "modelfile");
    jsonw_str(w, buf_str(&b));
    buf_clear(&b);
    hub_recipe_write_params(&b, c);
    jsonw_key(w, "parameters");
    jsonw_str(w, str_trim(buf_str(&b)));
    jsonw_key(w, "template");
    jsonw_str(w, c->template ? str_of(c->template) : template);
    if (c->system) text_write(w, "system", c->system);
    if (c->renderer[0]) text_write(w, "renderer", c->renderer);
    if (c->parser[0]) text_write(w, "parser", c->parser);
    if (c->requires[0]) text_write(w, "requires", c->requires);
    char *messages = c->messages ? json_dumps(c->messages, JSON_COMPACT) : NULL;
    if (messages) {
        jsonw_key(w, "messages");
        jsonw_raw(w, str_of(messages));
    }
    free(messages);
    buf_deinit(&b);
}

static void show_write(api_call *c, const resident_row *r, const gguf *g, const facts *f,
                       const hub_recipe *recipe) {
    jsonw w;
    str license = STR(""), template = STR("");
    gguf_get_str(g, "general.license", &license);
    gguf_get_str(g, "tokenizer.chat_template", &template);
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    recipe_write(&w, r, recipe, license, template);
    details_write(&w, f);
    info_write(&w, g, f, api_get_bool(c->body, "verbose", false));
    abilities_write(&w, f->can & OLLAMA_SERVES);
    ollama_time(&w, "modified_at", r->modified_s, 0);
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

static bool row_of(api_call *c, const char *name, resident_row *out, err *e) {
    resident_row *rows;
    size_t n;
    bool found = false;
    if (!api_models_list(c, &rows, &n, e)) return false;
    for (size_t i = 0; i < n && !found; i++)
        if ((found = strcmp(rows[i].name, name) == 0)) *out = rows[i];
    free(rows);
    return found || err_set(e, ERR_NOT_FOUND, "%s is not there any more", name);
}

static void show(api_call *c) {
    api_error e = {0};
    err why = {0};
    facts f;
    resident_row row;
    char shown[120];
    const char *asked = api_get_text(c->body, "model", api_get_text(c->body, "name", ""));
    const char *name = api_model_find(c, asked);
    gguf *g = NULL;
    hub_recipe recipe = {0};
    if (!name)
        api_fail(&e, 404, "model_not_found", "model",
                 "there is no model \"%s\" here; /api/tags lists what is",
                 str_printable(str_of(asked), shown, sizeof shown));
    else if (!row_of(c, name, &row, &why) || !facts_get(c->api->facts, row.path, &f, &why) ||
             (row.stored && !hub_recipe_of(&recipe, row.name, &why)) ||
             !(g = facts_open(row.path, &why)))
        api_fail_err(&e, &why);
    if (g) show_write(c, &row, g, &f, &recipe);
    else api_reply_error(c, &e);
    hub_recipe_deinit(&recipe);
    gguf_close(g);
}

static const api_field show_fields[] = {
    {.name = "model", .types = API_STRING, .len_max = 512, .doc = "a name that /api/tags lists"},
    {.name = "name", .types = API_STRING, .len_max = 512, .doc = "the same, under its older name"},
    {.name = "verbose", .types = API_BOOL, .doc = "long lists too, like the vocabulary"},
    {.name = "system", .types = API_STRING},
    {.name = "template", .types = API_STRING},
    {.name = "options", .types = API_OBJECT},
    {0},
};

const api_route api_routes_ollama_models[] = {
    {"GET", "/api/tags", &api_dialect_ollama, API_INFERENCE, .run = tags,
     .summary = "the models that there are"},
    {"GET", "/api/ps", &api_dialect_ollama, API_INFERENCE, .run = ps,
     .summary = "those that are in memory"},
    {"POST", "/api/show", &api_dialect_ollama, API_INFERENCE, .run = show, .fields = show_fields,
     .summary = "what is known of a model"},
    {0},
};
