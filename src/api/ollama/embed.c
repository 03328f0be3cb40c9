/* /api/embed and /api/embeddings: texts to vectors. */
#include <math.h>

#include "api/adapters.h"
#include "api/ollama/ollama.h"
#include "base/limits.h"

static const api_field embed_fields[] = {
    {.name = "model",
     .types = API_STRING,
     .len_max = 512,
     .doc = "a name that /api/tags lists, also without \":latest\""},
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
    {.name = "options",
     .types = API_OBJECT,
     .of = ollama_options,
     .doc = "of them lora has an effect"},
    {.name = "keep_alive",
     .types = API_NUMBER | API_STRING,
     .doc = "how long the model stays in memory: seconds or \"5m\"; negative: for ever"},
    {0},
};

static const api_field embeddings_fields[] = {
    {.name = "model", .types = API_STRING, .len_max = 512, .doc = "a name that /api/tags lists"},
    {.name = "prompt", .types = API_STRING, .doc = "the text; none: only the model is loaded"},
    {.name = "options",
     .types = API_OBJECT,
     .of = ollama_options,
     .doc = "of them lora has an effect"},
    {.name = "keep_alive",
     .types = API_NUMBER | API_STRING,
     .doc = "how long the model stays in memory: seconds or \"5m\"; negative: for ever"},
    {0},
};

typedef struct embed_state {
    hearth_input *in; /* [n] */
    size_t n;
    bool single;    /* /api/embeddings: one text, one vector */
    float *vectors; /* [n][dim], by hearth_free */
    int32_t dim, n_tokens;
    const hearth_lora_use *lora; /* [n_lora] */
    size_t n_lora;
    uint64_t load_ns;  /* waited for the model */
    api_error failure; /* status 0: none */
} embed_state;

static void cleanup(api_call *c) {
    embed_state *s = c->state;
    hearth_free(s->vectors);
}

/* ---- the work ---- */

static void compute(api_call *c, api_choice *tag) {
    embed_state *s = c->state;
    hearth_err he = {0};
    hearth_embed_params p = {.owner = c->key.owner,
                             .weight = api_weight(c),
                             .tag = tag,
                             .truncate = api_get_bool(c->body, "truncate", true),
                             .lora = s->lora,
                             .n_lora = s->n_lora,
                             .stop = api_call_unwanted,
                             .stop_ud = c};
    int32_t *n_tokens = arena_calloc(c->arena, s->n, sizeof *n_tokens);
    if (!n_tokens) {
        api_fail(&s->failure, 503, "out_of_memory", NULL, "out of memory");
        return;
    }
    bool ok = hearth_embed(resident_engine(c->model), s->in, s->n, &p, &s->vectors, &s->dim,
                           n_tokens, &he);
    for (size_t i = 0; ok && i < s->n; i++) s->n_tokens += n_tokens[i];
    if (!ok && he.code == HEARTH_NO_FIT)
        api_fail(&s->failure, 400, "context_length_exceeded", "input", "%s", he.msg);
    else if (!ok) api_fail_hearth(&s->failure, &he);
}

static void work(api_call *c) {
    embed_state *s = c->state;
    int64_t about = 0; /* tokens, for the budget */
    for (size_t i = 0; i < s->n; i++) about += (int64_t)s->in[i].n_text / 4;
    api_choice *tag = api_work_tag(c, about, &s->failure);
    if (!tag) return;
    compute(c, tag);
    if (!tag->opened) api_work_untag(tag);
}

/* ---- the answer ---- */

/* The first n numbers; fewer than there are become of length 1 again. */
static void vector_write(const embed_state *s, jsonw *w, size_t i, int32_t n) {
    const float *v = s->vectors + i * (size_t)s->dim;
    double sum = 0, scale = 1;
    for (int32_t k = 0; k < n; k++) sum += (double)v[k] * (double)v[k];
    if (n < s->dim && sum > 0) scale = 1 / sqrt(sum);
    jsonw_array(w);
    for (int32_t k = 0; k < n; k++) jsonw_f32(w, (float)((double)v[k] * scale));
    jsonw_end(w);
}

static void several_write(api_call *c, jsonw *w, int32_t n) {
    const embed_state *s = c->state;
    jsonw_key(w, "model");
    jsonw_str(w, str_of(api_get_text(c->body, "model", c->model_name)));
    jsonw_key(w, "embeddings");
    jsonw_array(w);
    for (size_t i = 0; i < s->n; i++) vector_write(s, w, i, n);
    jsonw_end(w);
    ollama_duration(w, "total_duration", (double)ollama_waited_ns(c) / 1e9);
    ollama_duration(w, "load_duration", (double)s->load_ns / 1e9);
    jsonw_key(w, "prompt_eval_count");
    jsonw_int(w, s->n_tokens);
}

static void done(api_call *c) {
    embed_state *s = c->state;
    int64_t n = api_get_int(c->body, "dimensions", s->dim);
    jsonw w;
    if (!s->failure.status && n > s->dim && s->n > 0)
        api_fail(&s->failure, 400, "out_of_range", "dimensions",
                 "dimensions: this model's vectors have %d numbers, not %lld", s->dim,
                 (long long)n);
    if (s->failure.status) {
        api_reply_error(c, &s->failure);
        return;
    }
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    if (!s->single) {
        several_write(c, &w, (int32_t)n);
    } else {
        jsonw_key(&w, "embedding");
        if (s->n) vector_write(s, &w, 0, s->dim);
        else jsonw_raw(&w, STR("[]"));
    }
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

/* ---- the request ---- */

static bool input_read(api_call *c, embed_state *s, api_error *e) {
    const json_t *v = api_get(c->body, s->single ? "prompt" : "input");
    size_t n = json_is_array(v) ? json_array_size(v) : json_string_length(v) > 0;
    s->n = n;
    s->in = arena_calloc(c->arena, n + 1, sizeof *s->in);
    if (!s->in) return api_fail(e, 503, "out_of_memory", NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_is_array(v) ? json_array_get(v, i) : v;
        s->in[i] = (hearth_input){.text = json_string_value(text),
                                  .n_text = json_string_length(text)};
        if (s->in[i].n_text == 0)
            return api_fail(e, 400, "invalid_value", "input", "input[%zu] is empty", i);
    }
    return true;
}

static void run(api_call *c, bool single) {
    api_error e = {0};
    embed_state *s = arena_calloc(c->arena, 1, sizeof *s);
    bool ok = s || api_fail(&e, 503, "out_of_memory", NULL, "out of memory");
    c->state = s;
    if (s) {
        c->cleanup = cleanup;
        s->single = single;
        s->load_ns = ollama_waited_ns(c);
    }
    ok = ok && api_adapters_read(c, api_get(c->body, "options"), "lora", &s->lora, &s->n_lora, &e);
    if (!ok || !input_read(c, s, &e)) api_reply_error(c, &e);
    else if (s->n == 0) done(c);
    else api_wait(c, work, done);
}

static void embed(api_call *c) {
    run(c, false);
}

static void embeddings(api_call *c) {
    run(c, true);
}

const api_route api_routes_ollama_embed[] = {
    {"POST", "/api/embed", &api_dialect_ollama, API_INFERENCE, .run = embed, .fields = embed_fields,
     .model = true, .summary = "texts to vectors"},
    {"POST", "/api/embeddings", &api_dialect_ollama, API_INFERENCE, .run = embeddings,
     .fields = embeddings_fields, .model = true, .summary = "one text to a vector"},
    {0},
};
