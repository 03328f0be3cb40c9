/* The OpenAI dialect: errors, models, and what its endpoints share. */
#include "api/openai/openai.h"

#include <stdlib.h>

/* ---- errors ---- */

void openai_error(const api_error *e, buf *out) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "error");
    jsonw_object(&w);
    jsonw_key(&w, "message");
    jsonw_str(&w, str_of(e->msg));
    jsonw_key(&w, "type");
    jsonw_str(&w, str_of(e->code && strcmp(e->code, "insufficient_quota") == 0
                             ? "insufficient_quota"
                             : api_error_type(e->status)));
    jsonw_key(&w, "param");
    if (e->param[0]) jsonw_str(&w, str_of(e->param));
    else jsonw_null(&w);
    jsonw_key(&w, "code");
    if (e->code) jsonw_str(&w, str_of(e->code));
    else jsonw_null(&w);
    jsonw_end(&w);
    jsonw_end(&w);
}

static void write_stream_error(api_call *c, const api_error *e) {
    buf_puts(&c->out, "data: ");
    openai_error(e, &c->out);
    buf_puts(&c->out, "\n\n");
}

const api_dialect api_dialect_openai = {
    .name = "openai",
    .stream_type = "text/event-stream",
    .error = openai_error,
    .stream_error = write_stream_error,
};

/* ---- shared pieces ---- */

const api_field openai_common_fields[] = {
    {.include = api_model_fields},
    {.name = "metadata", .types = API_OBJECT, .doc = "kept in the ledger"},
    {.name = "user", .types = API_STRING, .doc = "kept in the ledger"},
    {0},
};

static const api_field stream_options[] = {
    {.name = "include_usage", .types = API_BOOL, .doc = "a last event with the usage"},
    {.name = "include_obfuscation", .types = API_BOOL},
    {0},
};

const api_field openai_stream_fields[] = {
    {.name = "stream", .types = API_BOOL, .doc = "send the answer as it is made"},
    {.name = "stream_options", .types = API_OBJECT, .of = stream_options},
    {0},
};

bool openai_stream_read(api_call *c, bool *include_usage, api_error *e) {
    const json_t *o = api_get(c->body, "stream_options");
    c->stream = api_get_bool(c->body, "stream", false);
    *include_usage = api_get_bool(o, "include_usage", false);
    return !o || c->stream ||
           api_fail(e, 400, "invalid_value", "stream_options",
                    "stream_options needs stream to be true");
}

const char *openai_finish(hearth_finish f) {
    return f == HEARTH_FINISH_LENGTH ? "length" : "stop";
}

/* A prompt is counted once, however many answers it gets. */
static hearth_usage usage_sum(const api_call *c) {
    hearth_usage sum = {0};
    int prompt = -1;
    for (int i = 0; i < c->n_choices; i++) {
        const api_choice *ch = &c->choice[i];
        sum.n_generated += ch->usage.n_generated;
        if (ch->prompt == prompt) continue;
        prompt = ch->prompt;
        sum.n_prompt += ch->usage.n_prompt;
        sum.n_cached += ch->usage.n_cached;
    }
    return sum;
}

int32_t openai_reasoning(const api_call *c) {
    int32_t n = 0;
    for (int i = 0; i < c->n_choices; i++) n += c->choice[i].n_reasoning;
    return n;
}

void openai_usage(const api_call *c, jsonw *w) {
    hearth_usage u = usage_sum(c);
    jsonw_object(w);
    jsonw_key(w, "prompt_tokens");
    jsonw_int(w, u.n_prompt);
    jsonw_key(w, "completion_tokens");
    jsonw_int(w, u.n_generated);
    jsonw_key(w, "total_tokens");
    jsonw_int(w, u.n_prompt + u.n_generated);
    jsonw_key(w, "prompt_tokens_details");
    jsonw_object(w);
    jsonw_key(w, "cached_tokens");
    jsonw_int(w, u.n_cached);
    jsonw_end(w);
    jsonw_key(w, "completion_tokens_details");
    jsonw_object(w);
    jsonw_key(w, "reasoning_tokens");
    jsonw_int(w, openai_reasoning(c));
    jsonw_end(w);
    api_energy_write(c, NULL, w);
    jsonw_end(w);
}

void openai_list_open(api_call *c, jsonw *w) {
    jsonw_init(w, &c->out);
    jsonw_object(w);
    jsonw_key(w, "object");
    jsonw_str(w, STR("list"));
    jsonw_key(w, "data");
    jsonw_array(w);
}

void openai_head(const api_call *c, jsonw *w, const char *object) {
    jsonw_object(w);
    jsonw_key(w, "id");
    jsonw_str(w, str_of(c->id));
    jsonw_key(w, "object");
    jsonw_str(w, str_of(object));
    jsonw_key(w, "created");
    jsonw_int(w, c->created_s);
    jsonw_key(w, "model");
    jsonw_str(w, str_of(c->model_name));
    jsonw_key(w, "system_fingerprint");
    jsonw_str(w, STR("fp_hearth_" HEARTH_VERSION));
    jsonw_key(w, "choices");
    jsonw_array(w);
}

void openai_event_end(api_call *c, jsonw *w, bool include_usage, bool is_last) {
    if (include_usage) {
        jsonw_key(w, "usage");
        if (is_last) openai_usage(c, w);
        else jsonw_null(w);
    }
    jsonw_end(w);
    buf_puts(&c->out, "\n\n");
}

int32_t openai_max_tokens(const json_t *body) {
    int64_t n = api_get_int(body, "max_tokens", -1);
    return (int32_t)api_get_int(body, "max_completion_tokens", n);
}

bool openai_format_read(api_talk *t, const json_t *format, const json_t *holder, const char *param,
                        api_error *e) {
    const char *type = format ? api_get_text(format, "type", "text") : "text";
    t->format_param = param;
    t->any_json = strcmp(type, "json_object") == 0;
    if (t->any_json) t->schema = api_get(format, "schema"); /* as llama-server has it */
    if (strcmp(type, "json_schema") != 0) return true;
    t->schema = api_get(holder, "schema");
    return json_is_object(t->schema) ||
           api_fail(e, 400, "invalid_value", param, "%s: json_schema needs a schema", param);
}

/* ---- models ---- */

static void model_write(jsonw *w, const resident_row *r) {
    jsonw_object(w);
    jsonw_key(w, "id");
    jsonw_str(w, str_of(r->name));
    jsonw_key(w, "object");
    jsonw_str(w, STR("model"));
    jsonw_key(w, "created");
    jsonw_int(w, r->modified_s);
    jsonw_key(w, "owned_by");
    jsonw_str(w, STR("hearth"));
    jsonw_key(w, "loaded");
    jsonw_bool(w, r->loaded);
    if (r->loaded) {
        jsonw_key(w, "context_length");
        jsonw_int(w, r->n_ctx);
        jsonw_key(w, "meta");
        jsonw_object(w);
        jsonw_key(w, "n_ctx_train");
        jsonw_int(w, r->info.n_ctx_train);
        jsonw_key(w, "n_vocab");
        jsonw_int(w, r->info.n_vocab);
        jsonw_key(w, "n_embd");
        jsonw_int(w, r->info.n_embd);
        jsonw_key(w, "n_params");
        jsonw_uint(w, r->info.n_params);
        jsonw_key(w, "size");
        jsonw_uint(w, r->file_bytes);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void models(api_call *c) {
    resident_row *rows;
    size_t n;
    if (!api_models_get(c, &rows, &n)) return;
    jsonw w;
    openai_list_open(c, &w);
    for (size_t i = 0; i < n; i++) model_write(&w, &rows[i]);
    jsonw_end(&w);
    jsonw_end(&w);
    free(rows);
    api_reply_json(c, 200, NULL);
}

static void model_one(api_call *c) {
    resident_row *rows;
    size_t n;
    api_error e = {0};
    char shown[120];
    if (!api_models_get(c, &rows, &n)) return;
    const char *name = api_model_find(c, c->arg[0]);
    for (size_t i = 0; name && i < n; i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        jsonw w;
        jsonw_init(&w, &c->out);
        model_write(&w, &rows[i]);
        free(rows);
        api_reply_json(c, 200, NULL);
        return;
    }
    free(rows);
    api_fail(&e, 404, "model_not_found", "model", "there is no model \"%s\" here",
             str_printable(str_of(c->arg[0]), shown, sizeof shown));
    api_reply_error(c, &e);
}

const api_route api_routes_openai[] = {
    {"GET", "/v1/models", &api_dialect_openai, API_INFERENCE, .run = models,
     .summary = "the models that there are, those given at start first"},
    {"GET", "/models", &api_dialect_openai, API_INFERENCE, .run = models,
     .summary = "the same as /v1/models"},
    {"GET", "/v1/models/{id}", &api_dialect_openai, API_INFERENCE, .run = model_one,
     .summary = "one model"},
    {0},
};
