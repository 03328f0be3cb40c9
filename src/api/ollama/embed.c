/* /api/embed and /api/embeddings: texts to vectors. */
#include "api/embed.h"
#include "api/adapters.h"
#include "api/ollama/ollama.h"
#include "base/limits.h"

static const api_field common_fields[] = {
    {.include = ollama_model_fields},
    {.name = "options",
     .types = API_OBJECT,
     .of = ollama_options,
     .doc = "of them lora has an effect"},
    {0},
};

static const api_field embed_fields[] = {
    {.name = "input",
     .types = API_STRING | API_ARRAY,
     .items = API_STRING,
     .len_max = LIMIT_TEXTS,
     .doc = "a text or several; none: only the model is loaded"},
    {.name = "truncate",
     .types = API_BOOL,
     .doc = "cut what is too long; false: it is an error; default true"},
    {.name = "dimensions",
     .types = API_INT,
     .min = 1,
     .max = 1048576,
     .doc = "keep so many numbers of each vector, and make it of length 1 again"},
    {.include = common_fields},
    {0},
};

static const api_field embeddings_fields[] = {
    {.name = "prompt", .types = API_STRING, .doc = "the text; none: only the model is loaded"},
    {.include = common_fields},
    {0},
};

/* ---- the answer ---- */

static void vector_write(const api_embedding *s, jsonw *w, size_t i, int32_t dim) {
    jsonw_array(w);
    for (int32_t k = 0; k < dim; k++) jsonw_f32(w, s->vectors[i * (size_t)s->dim + (size_t)k]);
    jsonw_end(w);
}

static void several_write(api_call *c, jsonw *w, int32_t dim) {
    const api_embedding *s = c->state;
    jsonw_key(w, "model");
    jsonw_str(w, str_of(api_get_text(c->body, "model", c->model_name)));
    jsonw_key(w, "embeddings");
    jsonw_array(w);
    for (size_t i = 0; i < s->n; i++) vector_write(s, w, i, dim);
    jsonw_end(w);
    ollama_duration(w, "total_duration", (double)ollama_waited_ns(c) / 1e9);
    ollama_duration(w, "load_duration", (double)s->load_ns / 1e9);
    jsonw_key(w, "prompt_eval_count");
    jsonw_int(w, s->n_tokens);
    api_energy_write(c, NULL, w);
}

static void answer_write(api_call *c, bool single) {
    const api_embedding *s = c->state;
    int32_t dim = single ? s->dim : api_embed_shorten(c);
    jsonw w;
    if (s->failure.status) {
        api_reply_error(c, &s->failure);
        return;
    }
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    if (!single) {
        several_write(c, &w, dim);
    } else {
        jsonw_key(&w, "embedding");
        if (s->n) vector_write(s, &w, 0, dim);
        else jsonw_raw(&w, STR("[]"));
    }
    jsonw_end(&w);
    api_embed_reply(c);
}

/* ---- the request ---- */

static bool input_read(api_call *c, const char *field, api_error *e) {
    const json_t *v = api_get(c->body, field);
    size_t n = json_is_array(v) ? json_array_size(v) : json_string_length(v) > 0;
    api_embedding *s = api_embed_new(c, n, field, e);
    if (!s || !api_adapters_read(c, api_get(c->body, "options"), "lora", &s->lora, &s->n_lora, e))
        return false;
    s->truncate = api_get_bool(c->body, "truncate", true);
    s->load_ns = ollama_waited_ns(c);
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_is_array(v) ? json_array_get(v, i) : v;
        s->in[i] = (hearth_input){.text = json_string_value(text),
                                  .n_text = json_string_length(text)};
        if (s->in[i].n_text == 0)
            return api_fail(e, 400, "invalid_value", field, "%s[%zu] is empty", field, i);
    }
    return true;
}

static void run(api_call *c, const char *field, void (*done)(api_call *c)) {
    api_error e = {0};
    if (!input_read(c, field, &e)) api_reply_error(c, &e);
    else if (((api_embedding *)c->state)->n == 0) done(c);
    else api_embed_run(c, done);
}

static void several_done(api_call *c) {
    answer_write(c, false);
}

static void single_done(api_call *c) {
    answer_write(c, true);
}

static void embed(api_call *c) {
    run(c, "input", several_done);
}

static void embeddings(api_call *c) {
    run(c, "prompt", single_done);
}

const api_route api_routes_ollama_embed[] = {
    {"POST", "/api/embed", &api_dialect_ollama, API_INFERENCE, .run = embed, .fields = embed_fields,
     .model = true, .summary = "texts to vectors"},
    {"POST", "/api/embeddings", &api_dialect_ollama, API_INFERENCE, .run = embeddings,
     .fields = embeddings_fields, .model = true, .summary = "one text to a vector"},
    {0},
};
