/* /v1/chat/completions. */
#include <stdio.h>
#include <stdlib.h>

#include "api/openai/openai.h"
#include "api/talk.h"
#include "base/limits.h"

/* ---- what a request may hold ---- */

static const api_field tool_fields[] = {
    {.name = "type", .types = API_STRING, .required = true},
    {.name = "function", .types = API_OBJECT, .of = tool_function_fields},
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
    {.name = "tool_calls", .types = API_ARRAY, .items = API_OBJECT, .of = tool_call_fields},
    {.name = "function_call", .types = API_OBJECT, .of = tool_called_fields},
    {.name = "tool_call_id", .types = API_STRING},
    {.name = "reasoning_content",
     .types = API_STRING,
     .doc = "what was thought before this answer; it goes where the template has a place for it"},
    {.name = "reasoning", .types = API_STRING, .doc = "the same"},
    {0},
};

static const api_field format_fields[] = {
    {.name = "type",
     .types = API_STRING,
     .required = true,
     .words = "text|json_object|json_schema"},
    {.name = "json_schema", .types = API_OBJECT},
    {.name = "schema", .types = API_OBJECT, .doc = "with json_object: the object's JSON Schema"},
    {0},
};

static const api_field chat_fields[] = {
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
    {.include = openai_stream_fields},
    {.include = api_logprob_fields},
    {.name = "response_format", .types = API_OBJECT, .of = format_fields},
    {.name = "json_schema", .types = API_OBJECT, .doc = "the answer is JSON that it describes"},
    {.name = "grammar", .types = API_STRING, .doc = "rules in GBNF, from \"root\""},
    {.name = "tools", .types = API_ARRAY, .items = API_OBJECT, .of = tool_fields, .len_max = 4096},
    {.name = "tool_choice",
     .types = API_STRING | API_OBJECT,
     .words = "none|auto|required",
     .doc = "whether a tool must be called; an object names one, or those that are allowed"},
    {.name = "parallel_tool_calls",
     .types = API_BOOL,
     .doc = "false: at most one call in an answer"},
    {.name = "functions",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = tool_function_fields,
     .len_max = 4096,
     .doc = "tools in their older form; the answer then has function_call"},
    {.name = "function_call", .types = API_STRING | API_OBJECT, .words = "none|auto"},
    {.name = "reasoning_effort",
     .types = API_STRING,
     .words = "none|minimal|low|medium|high|xhigh|max",
     .doc = "how much the model thinks first, where its template knows of that"},
    {.include = api_talk_fields},
    {.name = "modalities", .types = API_ARRAY, .items = API_STRING},
    {.name = "store", .types = API_BOOL},
    {.name = "service_tier", .types = API_STRING},
    {.include = openai_common_fields},
    {.include = api_samplers_fields},
    {.include = api_sampler_fields},
    {0},
};

/* ---- the answer ---- */

typedef struct chat_state {
    bool include_usage, logprobs;
    bool functions; /* calls are told in the older form */
} chat_state;

static void event_open(api_call *c, jsonw *w) {
    buf_puts(&c->out, "data: ");
    jsonw_init(w, &c->out);
    openai_head(c, w, "chat.completion.chunk");
}

static void event_close(api_call *c, jsonw *w, bool is_last) {
    const chat_state *s = c->state;
    jsonw_end(w);
    openai_event_end(c, w, s->include_usage, is_last);
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
        event_close(c, &w, false);
    }
}

static bool shows_logprob(const api_call *c, const api_piece *p) {
    const chat_state *s = c->state;
    return s->logprobs && p->token && p->token->id >= 0;
}

/* A call in the making: its name with the first piece of it, then fragments of its arguments. */
static void delta_call(const api_choice *ch, jsonw *w, const api_piece *p, bool functions) {
    const api_tool_call *t = &ch->tool[p->tool];
    bool begins = p->kind == API_PIECE_TOOL_BEGIN;
    jsonw_key(w, functions ? "function_call" : "tool_calls");
    if (!functions) {
        jsonw_array(w);
        jsonw_object(w);
        jsonw_key(w, "index");
        jsonw_int(w, p->tool);
        if (begins) {
            jsonw_key(w, "id");
            jsonw_str(w, str_of(t->id));
            jsonw_key(w, "type");
            jsonw_str(w, STR("function"));
        }
        jsonw_key(w, "function");
    }
    jsonw_object(w);
    if (begins) {
        jsonw_key(w, "name");
        jsonw_str(w, str_of(t->name));
    }
    jsonw_key(w, "arguments");
    jsonw_str(w, p->text);
    jsonw_end(w);
    if (functions) return;
    jsonw_end(w);
    jsonw_end(w);
}

static void delta_write(const api_choice *ch, jsonw *w, const api_piece *p, bool functions) {
    if (p->kind == API_PIECE_REASONING) {
        jsonw_key(w, "reasoning_content");
        jsonw_str(w, p->text);
        jsonw_key(w, "reasoning");
        jsonw_str(w, p->text);
    } else if (p->kind == API_PIECE_TEXT) {
        jsonw_key(w, "content");
        jsonw_str(w, p->text);
    } else if (p->kind != API_PIECE_TOOL_END) {
        delta_call(ch, w, p, functions);
    }
}

static void chat_piece(api_call *c, api_choice *ch, const api_piece *p) {
    bool logprob = shows_logprob(c, p);
    if (!c->stream) {
        if (logprob) api_logprob_keep(c, ch, p->token, false);
        return;
    }
    if (p->text.n == 0 && !logprob && p->kind != API_PIECE_TOOL_BEGIN) return;
    const chat_state *s = c->state;
    jsonw w;
    event_open(c, &w);
    choice_open(&w, ch);
    delta_write(ch, &w, p, s->functions);
    jsonw_end(&w);
    jsonw_key(&w, "logprobs");
    if (logprob) {
        jsonw_object(&w);
        jsonw_key(&w, "content");
        jsonw_array(&w);
        api_logprob_write(c, &w, p->token, false);
        jsonw_end(&w);
        jsonw_key(&w, "refusal");
        jsonw_null(&w);
        jsonw_end(&w);
    } else {
        jsonw_null(&w);
    }
    choice_close(&w, NULL);
    event_close(c, &w, false);
}

static const char *finish_word(const api_call *c, const api_choice *ch) {
    const chat_state *s = c->state;
    if (api_calls_tools(ch)) return s->functions ? "function_call" : "tool_calls";
    return openai_finish(ch->usage.finish);
}

static void chat_end(api_call *c, api_choice *ch) {
    const chat_state *s = c->state;
    if (!c->stream) return;
    jsonw w;
    event_open(c, &w);
    choice_open(&w, ch);
    jsonw_end(&w);
    jsonw_key(&w, "logprobs");
    jsonw_null(&w);
    choice_close(&w, finish_word(c, ch));
    jsonw_end(&w); /* the choices: the rest is the event's own */
    api_notes_write(c, &w);
    openai_event_end(c, &w, s->include_usage, false);
}

static void called_write(jsonw *w, const api_tool_call *t) {
    jsonw_object(w);
    jsonw_key(w, "name");
    jsonw_str(w, str_of(t->name));
    jsonw_key(w, "arguments");
    jsonw_str(w, buf_str(&t->args));
    jsonw_end(w);
}

static void calls_write(const api_choice *ch, jsonw *w, bool functions) {
    jsonw_key(w, functions ? "function_call" : "tool_calls");
    if (functions) { /* of which there is one */
        called_write(w, &ch->tool[0]);
        return;
    }
    jsonw_array(w);
    for (int i = 0; i < ch->n_tools; i++) {
        jsonw_object(w);
        jsonw_key(w, "id");
        jsonw_str(w, str_of(ch->tool[i].id));
        jsonw_key(w, "type");
        jsonw_str(w, STR("function"));
        jsonw_key(w, "function");
        called_write(w, &ch->tool[i]);
        jsonw_end(w);
    }
    jsonw_end(w);
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
    if (ch->n_tools && !ch->text.len) jsonw_null(w);
    else jsonw_str(w, buf_str(&ch->text));
    jsonw_key(w, "refusal");
    jsonw_null(w);
    if (ch->n_tools) calls_write(ch, w, s->functions);
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
        api_logprobs_write(w, buf_str(&ch->extra));
        jsonw_key(w, "refusal");
        jsonw_null(w);
        jsonw_end(w);
    } else {
        jsonw_null(w);
    }
    choice_close(w, finish_word(c, ch));
}

static void chat_finish(api_call *c) {
    const chat_state *s = c->state;
    jsonw w;
    if (c->stream) {
        if (s->include_usage) {
            event_open(c, &w);
            event_close(c, &w, true);
        }
        buf_puts(&c->out, "data: [DONE]\n\n");
        return;
    }
    jsonw_init(&w, &c->out);
    openai_head(c, &w, "chat.completion");
    for (int i = 0; i < c->n_choices; i++) message_write(c, &w, &c->choice[i]);
    jsonw_end(&w);
    jsonw_key(&w, "usage");
    openai_usage(c, &w);
    api_notes_write(c, &w);
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

/* functions and function_call, as tools and tool_choice. */
static bool functions_read(const json_t *b, tool_ask *ask, api_error *e) {
    const json_t *f, *call = api_get(b, "function_call");
    size_t i;
    json_array_foreach(api_get(b, "functions"), i, f) {
        char where[40];
        snprintf(where, sizeof where, "functions[%zu]", i);
        if (!tool_add(ask, api_get_text(f, "name", ""), api_get_text(f, "description", NULL),
                      api_get(f, "parameters"), false, where, e))
            return false;
    }
    ask->one_call = true;
    if (json_is_object(call))
        return tool_choice_name(ask, api_get_text(call, "name", NULL), "function_call", e);
    return tool_choice_read(ask, call, e);
}

static bool talk_read(api_call *c, api_talk *t, chat_state *s, api_error *e) {
    const json_t *b = c->body;
    const json_t *format = api_get(b, "response_format");
    t->messages = json_deep_copy(api_get(b, "messages"));
    if (!t->messages) return api_no_memory(e);
    api_talk_effort(t, api_get_text(b, "reasoning_effort", NULL));
    s->functions = json_array_size(api_get(b, "functions")) > 0;
    if (!api_talk_read(t, b, e) ||
        !openai_format_read(t, format, api_get(format, "json_schema"), "response_format", e))
        return false;
    if (!t->schema && (t->schema = api_get(b, "json_schema"))) t->format_param = "json_schema";
    if (*api_get_text(b, "grammar", "")) t->gbnf = api_get_text(b, "grammar", NULL);
    if (s->functions && json_array_size(api_get(b, "tools")) > 0)
        return api_fail(e, 400, "invalid_value", "functions",
                        "functions and tools exclude each other");
    if (s->functions) return functions_read(b, &t->ask, e);
    t->ask.one_call = !api_get_bool(b, "parallel_tool_calls", true);
    return tools_read(&t->ask, api_get(b, "tools"), e) &&
           tool_choice_read(&t->ask, api_get(b, "tool_choice"), e);
}

static bool options_read(api_call *c, hearth_params *p, chat_state *s, api_error *e) {
    const json_t *b = c->body, *modalities = api_get(b, "modalities");
    if (json_array_size(modalities) > 1)
        return api_fail(e, 400, "unsupported_value", "modalities",
                        "modalities: this model answers in text alone");
    if (!api_sampler_read(c, b, p, e) || !api_logprob_read(b, p, e)) return false;
    api_samplers_keep(b, p);
    s->logprobs = p->n_logprobs >= 0;
    p->max_tokens = openai_max_tokens(b);
    if (p->max_tokens < 0) p->max_tokens = api_usual_length(c);
    return openai_stream_read(c, &s->include_usage, e);
}

static void chat(api_call *c) {
    api_error e = {0};
    hearth_params p;
    api_prompt prompt = {0};
    api_talk t = api_talk_default();
    chat_state *s = arena_alloc(c->arena, sizeof *s);
    api_call_name(c, "chatcmpl-");
    c->state = s;
    bool ok = s || api_no_memory(&e);
    ok = ok && options_read(c, &p, s, &e) && messages_ok(c->body, &e) && talk_read(c, &t, s, &e) &&
         api_talk_begin(c, &t, &p, &prompt, &e);
    api_talk_deinit(&t);
    ok = ok && api_generate(c, &chat_writer, &p, &prompt, 1, (int)api_get_int(c->body, "n", 1), &e);
    if (!ok) api_reply_error(c, &e);
}

const api_route api_routes_openai_chat[] = {
    {"POST", "/v1/chat/completions", &api_dialect_openai, API_INFERENCE, .run = chat,
     .fields = chat_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "an answer to a conversation"},
    {"POST", "/chat/completions", &api_dialect_openai, API_INFERENCE, .run = chat,
     .fields = chat_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "the same as /v1/chat/completions"},
    {0},
};
