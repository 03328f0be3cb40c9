/* llama-server's dialect: errors, tokens, templates, properties, figures. */
#include "api/llamacpp/llamacpp.h"

#include <stdlib.h>

#include "api/adapters.h"
#include "api/api_private.h"
#include "api/ids.h"
#include "api/talk.h"
#include "base/limits.h"

/* ---- errors ---- */

static const char *error_type(const api_error *e) {
    if (e->code && strcmp(e->code, "context_length_exceeded") == 0)
        return "exceed_context_size_error";
    switch (e->status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 501: return "not_supported_error";
    case 429:
    case 503: return "unavailable_error";
    default: return e->status < 500 ? "invalid_request_error" : "server_error";
    }
}

static void llamacpp_error(const api_error *e, buf *out) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "error");
    jsonw_object(&w);
    jsonw_key(&w, "code");
    jsonw_int(&w, e->status);
    jsonw_key(&w, "message");
    jsonw_str(&w, str_of(e->msg));
    jsonw_key(&w, "type");
    jsonw_str(&w, str_of(error_type(e)));
    jsonw_end(&w);
    jsonw_end(&w);
}

static void llamacpp_stream_error(api_call *c, const api_error *e) {
    buf_puts(&c->out, "data: ");
    llamacpp_error(e, &c->out);
    buf_puts(&c->out, "\n\n");
}

const api_dialect api_dialect_llamacpp = {
    .name = "llamacpp",
    .stream_type = "text/event-stream",
    .error = llamacpp_error,
    .stream_error = llamacpp_stream_error,
};

/* ---- tokens ---- */

static const api_field tokenize_fields[] = {
    {.include = api_model_fields},
    {.name = "content",
     .types = API_STRING | API_ARRAY,
     .doc = "a text, or texts and token numbers"},
    {.name = "add_special",
     .types = API_BOOL,
     .doc = "begin and end tokens by the model's rule; default false"},
    {.name = "parse_special",
     .types = API_BOOL,
     .doc = "control tokens in the text become their numbers; default true"},
    {.name = "with_pieces", .types = API_BOOL, .doc = "each token with its text"},
    {0},
};

/* A token whose bytes are no text by themselves is an array of bytes. */
static void piece_write(api_call *c, jsonw *w, int32_t id) {
    str s = api_token_text(c, id);
    size_t i = 0;
    for (int n; i < s.n && (n = utf8_len(s.p + i, s.n - i)) > 0;) i += (size_t)n;
    jsonw_object(w);
    jsonw_key(w, "id");
    jsonw_int(w, id);
    jsonw_key(w, "piece");
    if (i == s.n) {
        jsonw_str(w, s);
    } else {
        jsonw_array(w);
        for (i = 0; i < s.n; i++) jsonw_int(w, (unsigned char)s.p[i]);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void tokenize(api_call *c) {
    api_error e = {0};
    api_prompt p = {0};
    const json_t *v = api_get(c->body, "content");
    bool pieces = api_get_bool(c->body, "with_pieces", false), ok = true;
    unsigned flags = (api_get_bool(c->body, "parse_special", true) ? HEARTH_TOK_SPECIAL : 0u) |
                     (api_get_bool(c->body, "add_special", false) ? HEARTH_TOK_BOS : 0u);
    str text = {json_string_value(v), json_string_length(v)};
    if (json_is_array(v)) ok = api_ids_prompt_mixed(c, v, "content", flags, &p, &e);
    else if (v) ok = api_ids_add_text(c, &p, text, flags, "content", &e);
    if (!ok) {
        hearth_free(p.ids);
        api_reply_error(c, &e);
        return;
    }
    jsonw w;
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "tokens");
    jsonw_array(&w);
    for (size_t i = 0; i < p.n; i++)
        if (pieces) piece_write(c, &w, p.ids[i]);
        else jsonw_int(&w, p.ids[i]);
    jsonw_end(&w);
    jsonw_end(&w);
    hearth_free(p.ids);
    api_reply_json(c, 200, NULL);
}

static const api_field detokenize_fields[] = {
    {.include = api_model_fields},
    {.name = "tokens", .types = API_ARRAY, .items = API_INT, .doc = "token numbers"},
    {0},
};

static void detokenize(api_call *c) {
    api_error e = {0};
    hearth_err he = {0};
    api_prompt p = {0};
    char *text = NULL;
    size_t n = 0;
    if (!api_ids_prompt(c, api_get(c->body, "tokens"), "tokens", &p, &e)) {
        api_reply_error(c, &e);
        return;
    }
    bool ok = hearth_detokenize(resident_model(c->model), p.ids, p.n, true, &text, &n, &he);
    hearth_free(p.ids);
    if (!ok) {
        api_fail(&e, 400, "invalid_value", "tokens", "%s", he.msg);
        api_reply_error(c, &e);
        return;
    }
    jsonw w;
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "content");
    jsonw_str(&w, (str){text, n});
    jsonw_end(&w);
    hearth_free(text);
    api_reply_json(c, 200, NULL);
}

/* ---- the template ---- */

static const api_field template_messages[] = {
    {.name = "role", .types = API_STRING, .required = true},
    {.name = "content", .types = API_STRING | API_ARRAY},
    {0},
};

static const api_field template_fields[] = {
    {.include = api_model_fields},
    {.name = "messages",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = template_messages,
     .required = true,
     .len_min = 1,
     .len_max = 65536,
     .doc = "the conversation"},
    {.name = "tools", .types = API_ARRAY, .items = API_OBJECT, .len_max = 4096},
    {.include = api_talk_fields},
    {.name = "add_generation_prompt",
     .types = API_BOOL,
     .doc = "end where the model's answer begins; default true"},
    {.name = "return_tokens",
     .types = API_BOOL,
     .doc = "give token numbers instead, in which no message is a control token; for /completion"},
    {0},
};

static void apply_template(api_call *c) {
    api_error e = {0};
    hearth_chat_prompt p = {0};
    api_talk t = api_talk_default();
    jsonw w;
    t.messages = json_deep_copy(api_get(c->body, "messages"));
    t.how.answer = api_get_bool(c->body, "add_generation_prompt", true);
    bool ok = t.messages || api_no_memory(&e);
    ok = ok && api_talk_read(&t, c->body, &e) &&
         tools_read(&t.ask, api_get(c->body, "tools"), &e) && api_talk_render(c, &t, &p, &e);
    api_talk_deinit(&t);
    if (!ok) {
        api_reply_error(c, &e);
        return;
    }
    jsonw_init(&w, &c->out);
    bool tokens = api_get_bool(c->body, "return_tokens", false);
    jsonw_object(&w);
    jsonw_key(&w, tokens ? "tokens" : "prompt");
    if (tokens) {
        jsonw_array(&w);
        for (size_t i = 0; i < p.n_ids; i++) jsonw_int(&w, p.ids[i]);
        jsonw_end(&w);
    } else {
        jsonw_str(&w, (str){p.text, p.text_len});
    }
    jsonw_end(&w);
    hearth_chat_prompt_free(&p);
    api_reply_json(c, 200, NULL);
}

/* ---- properties ---- */

void llamacpp_settings(jsonw *w, const hearth_params *p) {
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"temperature", (double)p->temperature},
                   {"top_k", p->top_k},
                   {"top_p", (double)p->top_p},
                   {"min_p", (double)p->min_p},
                   {"xtc_probability", (double)p->xtc_probability},
                   {"xtc_threshold", (double)p->xtc_threshold},
                   {"typical_p", (double)p->typical_p},
                   {"repeat_last_n", p->penalty_last_n},
                   {"repeat_penalty", (double)p->repeat_penalty},
                   {"presence_penalty", (double)p->presence_penalty},
                   {"frequency_penalty", (double)p->frequency_penalty},
                   {"dry_multiplier", (double)p->dry_multiplier},
                   {"dry_base", (double)p->dry_base},
                   {"dry_allowed_length", p->dry_allowed_length},
                   {"dry_penalty_last_n", p->dry_last_n},
                   {"mirostat", p->mirostat},
                   {"mirostat_tau", (double)p->mirostat_tau},
                   {"mirostat_eta", (double)p->mirostat_eta},
                   {"max_tokens", p->max_tokens},
                   {"n_predict", p->max_tokens},
                   {"n_probs", p->n_logprobs > 0 ? p->n_logprobs : 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        jsonw_key(w, numbers[i].name);
        jsonw_f32(w, (float)numbers[i].value);
    }
    jsonw_key(w, "seed");
    jsonw_uint(w, p->seed);
    jsonw_key(w, "ignore_eos");
    jsonw_bool(w, p->ignore_eos);
    jsonw_key(w, "stop");
    jsonw_array(w);
    for (const char *const *s = p->stop; s && *s; s++) jsonw_str(w, str_of(*s));
    jsonw_end(w);
    jsonw_key(w, "lora");
    api_adapters_write(w, p->lora, p->n_lora);
    jsonw_key(w, "samplers");
    jsonw_raw(w, p->mirostat ? STR("[\"penalties\",\"temperature\",\"mirostat\"]")
                             : STR("[\"penalties\",\"dry\",\"top_k\",\"typ_p\",\"top_p\","
                                   "\"min_p\",\"xtc\",\"temperature\"]"));
}

static void token_write(api_call *c, jsonw *w, const char *key, int32_t id) {
    jsonw_key(w, key);
    jsonw_str(w, id >= 0 ? api_token_text(c, id) : STR(""));
}

static void abilities_write(jsonw *w, unsigned can) {
    jsonw_key(w, "chat_template_caps");
    jsonw_object(w);
    jsonw_key(w, "supports_system_role");
    jsonw_bool(w, can & HEARTH_CHAT_SYSTEM);
    jsonw_key(w, "supports_tools");
    jsonw_bool(w, can & HEARTH_CHAT_TOOLS);
    jsonw_end(w);
}

static void props(api_call *c) {
    const hearth_model *m = resident_model(c->model);
    hearth_params p = hearth_params_default();
    hearth_model_info info;
    hearth_lora_use use[LIMIT_LORAS];
    size_t n = 0;
    p.lora = use;
    p.n_lora = resident_loras(c->api->models, c->model, use);
    const char *template = hearth_model_meta(m, "tokenizer.chat_template", &n);
    jsonw w;
    hearth_model_info_get(m, &info);
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "default_generation_settings");
    jsonw_object(&w);
    jsonw_key(&w, "params");
    jsonw_object(&w);
    llamacpp_settings(&w, &p);
    jsonw_end(&w);
    jsonw_key(&w, "n_ctx");
    jsonw_int(&w, hearth_engine_ctx(resident_engine(c->model)));
    jsonw_end(&w);
    jsonw_key(&w, "total_slots");
    jsonw_int(&w, residents_parallel(c->api->models));
    jsonw_key(&w, "model_alias");
    jsonw_str(&w, str_of(c->model_name));
    jsonw_key(&w, "model_path");
    jsonw_str(&w, str_of(c->model_name));
    jsonw_key(&w, "modalities");
    jsonw_raw(&w, STR("{\"vision\":false,\"audio\":false}"));
    jsonw_key(&w, "chat_template");
    jsonw_str(&w, (str){template ? template : "", n});
    jsonw_key(&w, "model_name");
    jsonw_str(&w, str_of(info.name));
    jsonw_key(&w, "chat_family");
    if (resident_is_bare(c->model)) jsonw_null(&w);
    else jsonw_str(&w, str_of(hearth_chat_family(m) ? hearth_chat_family(m) : "own"));
    abilities_write(&w, hearth_chat_abilities(m));
    token_write(c, &w, "bos_token", info.bos);
    token_write(c, &w, "eos_token", info.eos);
    jsonw_key(&w, "build_info");
    jsonw_str(&w, STR("hearth-" HEARTH_VERSION));
    jsonw_key(&w, "is_sleeping");
    jsonw_bool(&w, false);
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

static void props_set(api_call *c) {
    api_error e = {0};
    api_fail(&e, 501, "not_supported", NULL,
             "properties are not changed over the network; each request has its own");
    api_reply_error(c, &e);
}

/* A slot is one of the requests that may run at the same time; none has a place of its own. */
static void slots(api_call *c) {
    api_error e = {0};
    hearth_stats s;
    jsonw w;
    int32_t n = residents_parallel(c->api->models);
    hearth_engine_stats(resident_engine(c->model), &s);
    const char *ask = http_query(c->x, "fail_on_no_slot");
    if (ask && strcmp(ask, "0") != 0 && s.n_running >= n) {
        api_fail(&e, 503, "server_busy", NULL, "all %d requests that may run do", n);
        api_reply_error(c, &e);
        return;
    }
    jsonw_init(&w, &c->out);
    jsonw_array(&w);
    for (int32_t i = 0; i < n; i++) {
        jsonw_object(&w);
        jsonw_key(&w, "id");
        jsonw_int(&w, i);
        jsonw_key(&w, "n_ctx");
        jsonw_int(&w, hearth_engine_ctx(resident_engine(c->model)));
        jsonw_key(&w, "is_processing");
        jsonw_bool(&w, i < s.n_running);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

/* ---- figures ---- */

static void add_up(void *ud, const char *name, const hearth_stats *s) {
    hearth_stats *sum = ud;
    (void)name;
    sum->n_prefilled += s->n_prefilled;
    sum->n_decoded += s->n_decoded;
    sum->n_running += s->n_running;
    sum->n_waiting += s->n_waiting;
    sum->n_steps += s->n_steps;
    sum->n_rows += s->n_rows;
    sum->n_drafted += s->n_drafted;
    sum->n_accepted += s->n_accepted;
}

static double per_second(uint64_t n, uint64_t us) {
    return us ? (double)n * 1e6 / (double)us : 0;
}

void llamacpp_metrics(api *a, buf *out) {
    hearth_stats s = {0};
    api_counts *n = &a->counts;
    uint64_t prefill_us = atomic_load(&n->prefill_us), decode_us = atomic_load(&n->decode_us);
    uint64_t asked = atomic_load(&n->prompt_tokens), reused = atomic_load(&n->cached_tokens);
    residents_stats(a->models, add_up, &s);
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"prompt_tokens_total", "counter", "prompt tokens computed", (double)s.n_prefilled},
        {"prompt_seconds_total", "counter", "time that requests spent on their prompts",
         (double)prefill_us / 1e6},
        {"tokens_predicted_total", "counter", "tokens generated", (double)s.n_decoded},
        {"tokens_predicted_seconds_total", "counter", "time that requests spent on their answers",
         (double)decode_us / 1e6},
        {"prompt_tokens_seconds", "gauge", "prompt tokens a second of a request, on average",
         per_second(asked > reused ? asked - reused : 0, prefill_us)},
        {"predicted_tokens_seconds", "gauge", "tokens a second of an answer, on average",
         per_second(atomic_load(&n->generated_tokens), decode_us)},
        {"n_decode_total", "counter", "steps of the engines", (double)s.n_steps},
        {"spec_decode_num_draft_tokens_total", "counter", "tokens guessed ahead",
         (double)s.n_drafted},
        {"spec_decode_num_accepted_tokens_total", "counter", "and guessed right",
         (double)s.n_accepted},
        {"n_busy_slots_per_decode", "gauge", "rows of a step, on average",
         s.n_steps ? (double)s.n_rows / (double)s.n_steps : 0},
        {"requests_processing", "gauge", "requests in the batch now", s.n_running},
        {"requests_deferred", "gauge", "requests that wait to be in it", s.n_waiting},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        buf_printf(out, "# HELP llamacpp:%s %s\n# TYPE llamacpp:%s %s\nllamacpp:%s %.17g\n",
                   rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
                   rows[i].value);
}

const api_route api_routes_llamacpp[] = {
    {"POST", "/tokenize", &api_dialect_llamacpp, API_INFERENCE, .run = tokenize,
     .fields = tokenize_fields, .model = true, .summary = "a text as token numbers"},
    {"POST", "/detokenize", &api_dialect_llamacpp, API_INFERENCE, .run = detokenize,
     .fields = detokenize_fields, .model = true, .summary = "token numbers as text"},
    {"POST", "/apply-template", &api_dialect_llamacpp, API_INFERENCE, .run = apply_template,
     .fields = template_fields, .model = true, .summary = "a conversation as the model reads it"},
    {"GET", "/props", &api_dialect_llamacpp, API_INFERENCE, .run = props, .model = true,
     .summary = "a model's template, context and default samplers"},
    {"POST", "/props", &api_dialect_llamacpp, API_ADMIN, .run = props_set,
     .summary = "refused: properties are not changed over the network"},
    {"GET", "/slots", &api_dialect_llamacpp, API_INFERENCE, .run = slots, .model = true,
     .summary = "how many requests run, of those that may"},
    {0},
};
