/* /v1/chat/completions. */
#include <stdio.h>
#include <stdlib.h>

#include "api/openai.h"
#include "base/limits.h"

/* ---- what a request may hold ---- */

static const api_field function_fields[] = {
    {.name = "name", .types = API_STRING, .required = true, .len_min = 1, .len_max = 256},
    {.name = "description", .types = API_STRING},
    {.name = "parameters", .types = API_OBJECT, .doc = "a JSON Schema"},
    {.name = "strict", .types = API_BOOL},
    {0},
};

static const api_field tool_fields[] = {
    {.name = "type", .types = API_STRING, .required = true},
    {.name = "function", .types = API_OBJECT, .of = function_fields},
    {0},
};

static const api_field message_fields[] = {
    {.name = "role",
     .types = API_STRING,
     .required = true,
     .words = "system|developer|user|assistant|tool|function"},
    {.name = "content",
     .types = API_STRING | API_ARRAY,
     .doc = "text, or an array of parts of type text"},
    {.name = "name", .types = API_STRING},
    {.name = "tool_calls", .types = API_ARRAY, .items = API_OBJECT},
    {.name = "tool_call_id", .types = API_STRING},
    {.name = "reasoning_content", .types = API_STRING},
    {0},
};

static const api_field stream_fields[] = {
    {.name = "include_usage", .types = API_BOOL, .doc = "a last event with the usage"},
    {.name = "include_obfuscation", .types = API_BOOL},
    {0},
};

static const api_field format_fields[] = {
    {.name = "type",
     .types = API_STRING,
     .required = true,
     .words = "text|json_object|json_schema"},
    {.name = "json_schema", .types = API_OBJECT},
    {0},
};

static const api_field chat_fields[] = {
    {.name = "model",
     .types = API_STRING,
     .len_max = 512,
     .doc = "a name that /v1/models lists; none or \"default\": the first of them"},
    {.name = "messages",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = message_fields,
     .required = true,
     .len_min = 1,
     .len_max = 65536,
     .doc = "the conversation"},
    {.name = "max_tokens",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "longest answer; -1 or none: until the model ends or the context is full"},
    {.name = "max_completion_tokens",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "the same, under its newer name"},
    {.name = "n", .types = API_INT, .min = 1, .max = LIMIT_CHOICES, .doc = "number of answers"},
    {.name = "stream", .types = API_BOOL, .doc = "send the answer as it is made"},
    {.name = "stream_options", .types = API_OBJECT, .of = stream_fields},
    {.name = "logprobs", .types = API_BOOL, .doc = "tell each token's log-probability"},
    {.name = "top_logprobs",
     .types = API_INT,
     .max = 20,
     .doc = "and those of so many likeliest tokens; needs logprobs"},
    {.name = "response_format", .types = API_OBJECT, .of = format_fields},
    {.name = "tools", .types = API_ARRAY, .items = API_OBJECT, .of = tool_fields, .len_max = 4096},
    {.name = "tool_choice", .types = API_STRING | API_OBJECT, .words = "none|auto|required"},
    {.name = "parallel_tool_calls", .types = API_BOOL},
    {.name = "functions", .types = API_ARRAY, .items = API_OBJECT},
    {.name = "reasoning_effort",
     .types = API_STRING,
     .words = "none|minimal|low|medium|high|xhigh|max"},
    {.name = "chat_template_kwargs",
     .types = API_OBJECT,
     .doc = "further variables of the model's chat template"},
    {.name = "modalities", .types = API_ARRAY, .items = API_STRING},
    {.name = "metadata", .types = API_OBJECT, .doc = "kept in the ledger"},
    {.name = "user", .types = API_STRING, .doc = "kept in the ledger"},
    {.name = "store", .types = API_BOOL},
    {.name = "service_tier", .types = API_STRING},
    {.name = "keep_alive",
     .types = API_NUMBER | API_STRING,
     .doc = "how long the model stays in memory: seconds or \"5m\"; negative: for ever"},
    {.include = api_sampler_fields},
    {0},
};

/* ---- the answer ---- */

typedef struct chat_state {
    bool include_usage, logprobs;
} chat_state;

static void head(api_call *c, jsonw *w, const char *object) {
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
    jsonw_str(w, STR(OPENAI_FINGERPRINT));
}

static void event_open(api_call *c, jsonw *w) {
    buf_puts(&c->out, "data: ");
    jsonw_init(w, &c->out);
    head(c, w, "chat.completion.chunk");
    jsonw_key(w, "choices");
    jsonw_array(w);
}

static void event_close(api_call *c, jsonw *w, const hearth_usage *u) {
    const chat_state *s = c->state;
    jsonw_end(w);
    if (s->include_usage) {
        jsonw_key(w, "usage");
        if (u) openai_usage(c, w, u);
        else jsonw_null(w);
    }
    jsonw_end(w);
    buf_puts(&c->out, "\n\n");
}

static void choice_open(jsonw *w, const api_choice *ch) {
    jsonw_object(w);
    jsonw_key(w, "index");
    jsonw_int(w, ch->index);
    jsonw_key(w, "delta");
    jsonw_object(w);
}

static void choice_close(jsonw *w, const char *finish) {
    jsonw_key(w, "finish_reason");
    if (finish) jsonw_str(w, str_of(finish));
    else jsonw_null(w);
    jsonw_end(w);
}

static void chat_begin(api_call *c) {
    if (!c->stream) return;
    for (int i = 0; i < c->n_choices; i++) {
        jsonw w;
        event_open(c, &w);
        choice_open(&w, &c->choice[i]);
        jsonw_key(&w, "role");
        jsonw_str(&w, STR("assistant"));
        jsonw_key(&w, "content");
        jsonw_str(&w, STR(""));
        jsonw_end(&w);
        jsonw_key(&w, "logprobs");
        jsonw_null(&w);
        choice_close(&w, NULL);
        event_close(c, &w, NULL);
    }
}

static bool shows_logprob(const api_call *c, const api_piece *p) {
    const chat_state *s = c->state;
    return s->logprobs && p->token && p->token->id >= 0;
}

/* Log-probabilities without streaming: gathered until the end, as the items of an array. */
static void logprob_keep(api_call *c, api_choice *ch, const hearth_token *t) {
    jsonw w;
    if (ch->extra.len) buf_putc(&ch->extra, ',');
    jsonw_init(&w, &ch->extra);
    openai_logprob(c, &w, t);
}

static void delta_write(jsonw *w, const api_piece *p) {
    if (p->kind == API_PIECE_REASONING) {
        jsonw_key(w, "reasoning_content");
        jsonw_str(w, p->text);
        jsonw_key(w, "reasoning");
        jsonw_str(w, p->text);
    } else {
        jsonw_key(w, "content");
        jsonw_str(w, p->text);
    }
}

static void chat_piece(api_call *c, api_choice *ch, const api_piece *p) {
    bool logprob = shows_logprob(c, p);
    if (!c->stream) {
        if (logprob) logprob_keep(c, ch, p->token);
        return;
    }
    if (p->text.n == 0 && !logprob) return;
    jsonw w;
    event_open(c, &w);
    choice_open(&w, ch);
    delta_write(&w, p);
    jsonw_end(&w);
    jsonw_key(&w, "logprobs");
    if (logprob) {
        jsonw_object(&w);
        jsonw_key(&w, "content");
        jsonw_array(&w);
        openai_logprob(c, &w, p->token);
        jsonw_end(&w);
        jsonw_key(&w, "refusal");
        jsonw_null(&w);
        jsonw_end(&w);
    } else {
        jsonw_null(&w);
    }
    choice_close(&w, NULL);
    event_close(c, &w, NULL);
}

static void chat_end(api_call *c, api_choice *ch) {
    if (!c->stream) return;
    jsonw w;
    event_open(c, &w);
    choice_open(&w, ch);
    jsonw_end(&w);
    jsonw_key(&w, "logprobs");
    jsonw_null(&w);
    choice_close(&w, openai_finish(ch->usage.finish));
    event_close(c, &w, NULL);
}

static void message_write(api_call *c, jsonw *w, const api_choice *ch) {
    const chat_state *s = c->state;
    jsonw_object(w);
    jsonw_key(w, "index");
    jsonw_int(w, ch->index);
    jsonw_key(w, "message");
    jsonw_object(w);
    jsonw_key(w, "role");
    jsonw_str(w, STR("assistant"));
    jsonw_key(w, "content");
    jsonw_str(w, buf_str(&ch->text));
    jsonw_key(w, "refusal");
    jsonw_null(w);
    if (ch->reasoning.len) {
        jsonw_key(w, "reasoning_content");
        jsonw_str(w, buf_str(&ch->reasoning));
        jsonw_key(w, "reasoning");
        jsonw_str(w, buf_str(&ch->reasoning));
    }
    jsonw_end(w);
    jsonw_key(w, "logprobs");
    if (s->logprobs) {
        jsonw_object(w);
        jsonw_key(w, "content");
        buf_putc(w->out, '[');
        buf_put_str(w->out, buf_str(&ch->extra));
        jsonw_raw(w, STR("]"));
        jsonw_key(w, "refusal");
        jsonw_null(w);
        jsonw_end(w);
    } else {
        jsonw_null(w);
    }
    choice_close(w, openai_finish(ch->usage.finish));
}

static void chat_finish(api_call *c) {
    const chat_state *s = c->state;
    hearth_usage u = openai_usage_sum(c);
    jsonw w;
    if (c->stream) {
        if (s->include_usage) {
            event_open(c, &w);
            event_close(c, &w, &u);
        }
        buf_puts(&c->out, "data: [DONE]\n\n");
        return;
    }
    jsonw_init(&w, &c->out);
    head(c, &w, "chat.completion");
    jsonw_key(&w, "choices");
    jsonw_array(&w);
    for (int i = 0; i < c->n_choices; i++) message_write(c, &w, &c->choice[i]);
    jsonw_end(&w);
    jsonw_key(&w, "usage");
    openai_usage(c, &w, &u);
    jsonw_end(&w);
}

static const api_writer chat_writer = {chat_begin, chat_piece, chat_end, chat_finish};

/* ---- the request ---- */

/* Their contents; the template says what else it takes. */
static bool messages_ok(const json_t *body, api_error *e) {
    const json_t *list = api_get(body, "messages"), *m;
    char where[64];
    size_t i;
    json_array_foreach(list, i, m) {
        snprintf(where, sizeof where, "messages[%zu].content", i);
        if (!api_content_check(api_get(m, "content"), where, e)) return false;
    }
    return true;
}

static bool prompt_of(api_call *c, api_prompt *out, api_error *e) {
    hearth_chat how = hearth_chat_default();
    const json_t *kwargs = api_get(c->body, "chat_template_kwargs");
    how.effort = api_get_text(c->body, "reasoning_effort", NULL);
    if (how.effort && strcmp(how.effort, "none") == 0) {
        how.effort = NULL;
        how.think = 0;
    }
    char *text = kwargs ? json_dumps(kwargs, JSON_COMPACT) : NULL;
    how.kwargs = text;
    how.kwargs_len = text ? strlen(text) : 0;
    bool ok = api_chat_prompt(c, api_get(c->body, "messages"), &how, out, e);
    free(text);
    return ok;
}

static bool options_read(api_call *c, hearth_params *p, chat_state *s, api_error *e) {
    const json_t *b = c->body, *modalities = api_get(b, "modalities");
    if (!openai_unsupported(b, e)) return false;
    if (json_array_size(modalities) > 1)
        return api_fail(e, 400, "unsupported_value", "modalities",
                        "modalities: this model answers in text alone");
    const json_t *format = api_get(b, "response_format");
    if (!api_sampler_read(c, b, p, e) ||
        !openai_format_read(c, format, api_get(format, "json_schema"), "response_format", p, e))
        return false;
    s->logprobs = api_get_bool(b, "logprobs", false);
    if (api_get(b, "top_logprobs") && !s->logprobs && api_get_int(b, "top_logprobs", 0) > 0)
        return api_fail(e, 400, "invalid_value", "top_logprobs",
                        "top_logprobs needs logprobs to be true");
    p->n_logprobs = s->logprobs ? (int32_t)api_get_int(b, "top_logprobs", 0) : -1;
    p->max_tokens = openai_max_tokens(b);
    c->stream = api_get_bool(b, "stream", false);
    s->include_usage = api_get_bool(api_get(b, "stream_options"), "include_usage", false);
    if (api_get(b, "stream_options") && !c->stream)
        return api_fail(e, 400, "invalid_value", "stream_options",
                        "stream_options needs stream to be true");
    return true;
}

static void chat(api_call *c) {
    api_error e = {0};
    hearth_params p;
    api_prompt prompt = {0};
    chat_state *s = arena_alloc(c->arena, sizeof *s);
    api_call_name(c, "chatcmpl-");
    c->state = s;
    bool ok = s || api_fail(&e, 503, "out_of_memory", NULL, "out of memory");
    ok = ok && options_read(c, &p, s, &e) && messages_ok(c->body, &e) &&
         prompt_of(c, &prompt, &e) &&
         api_generate(c, &chat_writer, &p, &prompt, 1, (int)api_get_int(c->body, "n", 1), &e);
    if (!ok) api_reply_error(c, &e);
}

const api_route api_routes_openai_chat[] = {
    {"POST", "/v1/chat/completions", &api_dialect_openai, API_INFERENCE, .run = chat,
     .fields = chat_fields, .model = true, .summary = "an answer to a conversation"},
    {"POST", "/chat/completions", &api_dialect_openai, API_INFERENCE, .run = chat,
     .fields = chat_fields, .model = true},
    {0},
};
