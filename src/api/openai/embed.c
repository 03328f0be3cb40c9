/* /v1/embeddings and /v1/rerank: texts to vectors, and texts to how well they answer. */
#include <stdlib.h>

#include "api/adapters.h"
#include "api/embed.h"
#include "api/openai/openai.h"
#include "base/limits.h"

/* ---- what requests may hold ---- */

static const api_field embed_fields[] = {
    {.name = "input",
     .types = API_STRING | API_ARRAY,
     .required = true,
     .items = API_STRING | API_INT | API_ARRAY,
     .len_min = 1,
     .len_max = LIMIT_CONTEXT,
     .doc = "a text, token numbers, or an array of either"},
    {.name = "encoding_format", .types = API_STRING, .words = "float|base64"},
    {.name = "dimensions",
     .types = API_INT,
     .min = 1,
     .max = 1048576,
     .doc = "keep so many numbers of each vector, and make it of length 1 again"},
    {.name = "truncate", .types = API_BOOL, .doc = "cut what is too long; else it is an error"},
    {.include = api_lora_fields},
    {.include = openai_common_fields},
    {0},
};

static const api_field document_fields[] = {
    {.name = "text", .types = API_STRING, .required = true},
    {0},
};

static const api_field rerank_fields[] = {
    {.name = "query", .types = API_STRING, .required = true, .doc = "what is asked"},
    {.name = "documents",
     .types = API_ARRAY,
     .items = API_STRING | API_OBJECT,
     .of = document_fields,
     .len_max = LIMIT_TEXTS,
     .doc = "texts, or objects with a text"},
    {.name = "texts",
     .types = API_ARRAY,
     .items = API_STRING,
     .len_max = LIMIT_TEXTS,
     .doc = "the same; the answer is then a plain array of index and score"},
    {.name = "top_n",
     .types = API_INT,
     .min = 1,
     .max = INT32_MAX,
     .doc = "tell only so many, the best"},
    {.name = "return_documents", .types = API_BOOL, .doc = "repeat the texts in the answer"},
    {.name = "truncate", .types = API_BOOL, .doc = "cut what is too long; else it is an error"},
    {.include = api_lora_fields},
    {.include = openai_common_fields},
    {0},
};

/* ---- embeddings ---- */

static bool input_one(api_call *c, const json_t *v, hearth_input *out, api_error *e) {
    if (json_is_string(v)) {
        *out = (hearth_input){.text = json_string_value(v), .n_text = json_string_length(v)};
        return out->n_text > 0 ||
               api_fail(e, 400, "invalid_value", "input", "input: a text is empty");
    }
    if (!json_is_array(v) || json_array_size(v) == 0)
        return api_fail(e, 400, "invalid_type", "input",
                        "input must be a text, an array of texts, or of arrays of token numbers");
    int32_t *ids = arena_calloc(c->arena, json_array_size(v), sizeof *ids);
    *out = (hearth_input){.ids = ids, .n_ids = json_array_size(v)};
    return ids ? api_ids_read(c, v, "input", ids, e) : api_no_memory(e);
}

static bool input_read(api_call *c, api_error *e) {
    const json_t *v = api_get(c->body, "input");
    bool one = json_is_string(v) || json_is_number(json_array_get(v, 0));
    api_embedding *s = api_embed_new(c, one ? 1 : json_array_size(v), "input", e);
    if (!s || !api_adapters_read(c, c->body, "lora", &s->lora, &s->n_lora, e)) return false;
    s->truncate = api_get_bool(c->body, "truncate", false);
    for (size_t i = 0; i < s->n; i++)
        if (!input_one(c, one ? v : json_array_get(v, i), &s->in[i], e)) return false;
    return true;
}

static void base64_write(buf *out, const void *data, size_t n) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    char *dst = buf_reserve(out, (n + 2) / 3 * 4);
    if (!dst) return;
    for (size_t i = 0; i < n; i += 3, dst += 4) {
        unsigned b = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0u) |
                     (i + 2 < n ? p[i + 2] : 0u);
        dst[0] = letters[b >> 18];
        dst[1] = letters[b >> 12 & 63];
        dst[2] = i + 1 < n ? letters[b >> 6 & 63] : '=';
        dst[3] = i + 2 < n ? letters[b & 63] : '=';
    }
    buf_commit(out, (n + 2) / 3 * 4);
}

static void vector_write(jsonw *w, const float *v, int32_t dim, bool base64) {
    jsonw_key(w, "embedding");
    if (base64) { /* little-endian floats: what all machines that this runs on have */
        buf_putc(w->out, '"');
        base64_write(w->out, v, (size_t)dim * sizeof *v);
        jsonw_raw(w, STR("\""));
        return;
    }
    jsonw_array(w);
    for (int32_t i = 0; i < dim; i++) jsonw_f32(w, v[i]);
    jsonw_end(w);
}

static void usage_write(const api_call *c, jsonw *w, int32_t n) {
    jsonw_key(w, "usage");
    jsonw_object(w);
    jsonw_key(w, "prompt_tokens");
    jsonw_int(w, n);
    jsonw_key(w, "total_tokens");
    jsonw_int(w, n);
    api_energy_write(c, NULL, w);
    jsonw_end(w);
}

static void embed_done(api_call *c) {
    const api_embedding *s = c->state;
    int32_t dim = api_embed_shorten(c);
    bool base64 = strcmp(api_get_text(c->body, "encoding_format", "float"), "base64") == 0;
    if (s->failure.status) {
        api_reply_error(c, &s->failure);
        return;
    }
    jsonw w;
    openai_list_open(c, &w);
    for (size_t i = 0; i < s->n; i++) {
        jsonw_object(&w);
        jsonw_key(&w, "object");
        jsonw_str(&w, STR("embedding"));
        jsonw_key(&w, "index");
        jsonw_uint(&w, i);
        vector_write(&w, s->vectors + i * (size_t)s->dim, dim, base64);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_key(&w, "model");
    jsonw_str(&w, str_of(c->model_name));
    usage_write(c, &w, s->n_tokens);
    jsonw_end(&w);
    api_embed_reply(c);
}

static void embed(api_call *c) {
    api_error e = {0};
    if (input_read(c, &e)) api_embed_run(c, embed_done);
    else api_reply_error(c, &e);
}

/* ---- reranking ---- */

typedef struct scored {
    size_t index;
    float score;
} scored;

static int by_score(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void result_write(api_call *c, jsonw *w, const scored *r, bool plain) {
    const api_embedding *s = c->state;
    jsonw_object(w);
    jsonw_key(w, "index");
    jsonw_uint(w, r->index);
    jsonw_key(w, plain ? "score" : "relevance_score");
    jsonw_f32(w, r->score);
    if (api_get_bool(c->body, "return_documents", false)) {
        str text = {s->in[r->index].text, s->in[r->index].n_text};
        jsonw_key(w, plain ? "text" : "document");
        if (!plain) {
            jsonw_object(w);
            jsonw_key(w, "text");
        }
        jsonw_str(w, text);
        if (!plain) jsonw_end(w);
    }
    jsonw_end(w);
}

static void rerank_done(api_call *c) {
    api_embedding *s = c->state;
    bool plain = api_get(c->body, "texts") != NULL;
    scored *order = arena_calloc(c->arena, s->n, sizeof *order);
    if (!s->failure.status && !order) api_no_memory(&s->failure);
    if (s->failure.status) {
        api_reply_error(c, &s->failure);
        return;
    }
    for (size_t i = 0; i < s->n; i++) order[i] = (scored){i, s->vectors[i]};
    qsort(order, s->n, sizeof *order, by_score);
    int64_t most = api_get_int(c->body, "top_n", (int64_t)s->n);
    jsonw w;
    jsonw_init(&w, &c->out);
    if (!plain) {
        jsonw_object(&w);
        jsonw_key(&w, "id");
        jsonw_str(&w, str_of(c->id));
        jsonw_key(&w, "object");
        jsonw_str(&w, STR("list"));
        jsonw_key(&w, "model");
        jsonw_str(&w, str_of(c->model_name));
        usage_write(c, &w, s->n_tokens);
        jsonw_key(&w, "results");
    }
    jsonw_array(&w);
    for (size_t i = 0; i < s->n && (int64_t)i < most; i++) result_write(c, &w, &order[i], plain);
    jsonw_end(&w);
    if (!plain) jsonw_end(&w);
    api_embed_reply(c);
}

static bool documents_read(api_call *c, api_error *e) {
    const json_t *list = api_get(c->body, "documents");
    if (!list) list = api_get(c->body, "texts");
    if (!list) return api_fail(e, 400, "missing_field", "documents", "documents is missing");
    if (json_array_size(list) == 0)
        return api_fail(e, 400, "too_short", "documents", "documents must have at least 1 items");
    api_embedding *s = api_embed_new(c, json_array_size(list), "documents", e);
    if (!s || !api_adapters_read(c, c->body, "lora", &s->lora, &s->n_lora, e)) return false;
    s->rerank = true;
    s->truncate = api_get_bool(c->body, "truncate", false);
    for (size_t i = 0; i < s->n; i++) {
        const json_t *v = json_array_get(list, i);
        if (json_is_object(v)) v = api_get(v, "text");
        s->in[i] = (hearth_input){.text = json_string_value(v), .n_text = json_string_length(v)};
    }
    const json_t *q = api_get(c->body, "query");
    s->query = (hearth_input){.text = json_string_value(q), .n_text = json_string_length(q)};
    return true;
}

static void rerank(api_call *c) {
    api_error e = {0};
    api_call_name(c, "rerank-");
    if (documents_read(c, &e)) api_embed_run(c, rerank_done);
    else api_reply_error(c, &e);
}

const api_route api_routes_openai_embed[] = {
    {"POST", "/v1/embeddings", &api_dialect_openai, API_INFERENCE, .run = embed,
     .fields = embed_fields, .model = true, .summary = "texts to vectors"},
    {"POST", "/v1/rerank", &api_dialect_openai, API_INFERENCE, .run = rerank,
     .fields = rerank_fields, .model = true, .summary = "which texts answer a query best"},
    {"POST", "/rerank", &api_dialect_openai, API_INFERENCE, .run = rerank, .fields = rerank_fields,
     .model = true, .summary = "the same as /v1/rerank"},
    {"POST", "/v1/reranking", &api_dialect_openai, API_INFERENCE, .run = rerank,
     .fields = rerank_fields, .model = true, .summary = "the same as /v1/rerank"},
    {"POST", "/reranking", &api_dialect_openai, API_INFERENCE, .run = rerank,
     .fields = rerank_fields, .model = true, .summary = "the same as /v1/rerank"},
    {0},
};
