/* /v1/messages and /v1/messages/count_tokens: what is asked for, until the engine has it. */
#include <stdio.h>

#include "api/anthropic/anthropic.h"
#include "api/talk.h"
#include "base/limits.h"

/* ---- what a request may hold ---- */

static const api_field block_fields[] = {
    {.name = "type",
     .types = API_STRING,
     .required = true,
     .doc = "text; in messages also thinking, redacted_thinking, tool_use, tool_result"},
    {.name = "text", .types = API_STRING},
    {.name = "thinking", .types = API_STRING},
    {.name = "signature", .types = API_STRING},
    {.name = "id", .types = API_STRING},
    {.name = "name", .types = API_STRING},
    {.name = "input", .types = API_OBJECT},
    {.name = "tool_use_id", .types = API_STRING},
    {.name = "content", .types = API_STRING | API_ARRAY, .items = API_OBJECT},
    {.name = "is_error", .types = API_BOOL},
    {.name = "cache_control", .types = API_OBJECT, .doc = "has no effect: all prefixes are kept"},
    {0},
};

static const api_field message_fields[] = {
    {.name = "role", .types = API_STRING, .required = true, .words = "user|assistant|system"},
    {.name = "content",
     .types = API_STRING | API_ARRAY,
     .required = true,
     .items = API_OBJECT,
     .of = block_fields,
     .doc = "text, or an array of blocks"},
    {0},
};

static const api_field thinking_fields[] = {
    {.name = "type", .types = API_STRING, .required = true, .words = "enabled|disabled|adaptive"},
    {.name = "budget_tokens",
     .types = API_INT,
     .max = INT32_MAX,
     .doc = "a thought is closed after so many tokens, and the answer begins"},
    {.name = "display", .types = API_STRING, .doc = "has no effect: thoughts are shown"},
    {0},
};

static const api_field choice_fields[] = {
    {.name = "type", .types = API_STRING, .required = true, .words = "auto|any|tool|none"},
    {.name = "name", .types = API_STRING, .doc = "of the tool, with type tool"},
    {.name = "disable_parallel_tool_use",
     .types = API_BOOL,
     .doc = "at most one call in an answer"},
    {0},
};

static const api_field tool_fields[] = {
    {.name = "type", .types = API_STRING, .doc = "custom; others are left out, with a warning"},
    {.name = "name", .types = API_STRING, .required = true, .len_min = 1, .len_max = 256},
    {.name = "description", .types = API_STRING},
    {.name = "input_schema", .types = API_OBJECT, .doc = "a JSON Schema"},
    {.name = "strict",
     .types = API_BOOL,
     .doc = "what cannot be enforced in the schema is an error"},
    {0},
};

static const api_field format_fields[] = {
    {.name = "type", .types = API_STRING, .required = true, .words = "json_schema"},
    {.name = "schema", .types = API_OBJECT, .required = true},
    {0},
};

static const api_field output_fields[] = {
    {.name = "effort", .types = API_STRING, .words = "low|medium|high|xhigh|max"},
    {.name = "format",
     .types = API_OBJECT,
     .of = format_fields,
     .doc = "the answer's text is JSON that the schema describes"},
    {0},
};

static const api_field metadata_fields[] = {
    {.name = "user_id", .types = API_STRING, .doc = "kept in the ledger"},
    {0},
};

static const api_field count_fields[] = {
    {.name = "messages",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = message_fields,
     .required = true,
     .len_min = 1,
     .len_max = 65536,
     .doc = "the conversation; when the last is the assistant's, the answer goes on from there"},
    {.name = "system",
     .types = API_STRING | API_ARRAY,
     .items = API_OBJECT,
     .of = block_fields,
     .doc = "the system prompt: text, or an array of blocks of type text"},
    {.name = "tools",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = tool_fields,
     .len_max = 4096,
     .doc = "what the model may call"},
    {.name = "tool_choice", .types = API_OBJECT, .of = choice_fields},
    {.name = "thinking",
     .types = API_OBJECT,
     .of = thinking_fields,
     .doc = "whether the model thinks first, where its template knows of that; none: it does not"},
    {.name = "output_config", .types = API_OBJECT, .of = output_fields},
    {.name = "output_format",
     .types = API_OBJECT,
     .of = format_fields,
     .doc = "output_config.format under its older name"},
    {.include = api_talk_fields},
    {.include = api_model_fields},
    {0},
};

static const api_field messages_fields[] = {
    {.name = "max_tokens",
     .types = API_INT,
     .required = true,
     .min = 1,
     .max = INT32_MAX,
     .doc = "longest answer"},
    {.name = "stop_sequences",
     .types = API_ARRAY,
     .items = API_STRING,
     .len_max = LIMIT_STOP_STRINGS,
     .doc = "texts before which the answer ends"},
    {.name = "stream", .types = API_BOOL, .doc = "send the answer as it is made"},
    {.name = "metadata", .types = API_OBJECT, .of = metadata_fields, .doc = "kept in the ledger"},
    {.include = count_fields},
    {.include = api_sampler_fields},
    {0},
};

/* ---- the prompt ---- */

/* Tools that Anthropic's service runs, or that its models know without being told, are not here. */
static bool tools_add(api_call *c, tool_ask *ask, api_error *e) {
    const json_t *tool;
    size_t i;
    json_array_foreach(api_get(c->body, "tools"), i, tool) {
        char where[40], shown[60], text[160];
        const char *type = api_get_text(tool, "type", "custom");
        snprintf(where, sizeof where, "tools[%zu]", i);
        if (strcmp(type, "custom") != 0) {
            snprintf(text, sizeof text, "%s: tools of type \"%s\" are not known here; left out",
                     where, str_printable(str_of(type), shown, sizeof shown));
            api_warn(c, text);
        } else if (!tool_add(ask, api_get_text(tool, "name", ""),
                             api_get_text(tool, "description", NULL), api_get(tool, "input_schema"),
                             api_get_bool(tool, "strict", false), where, e)) {
            return false;
        }
    }
    return true;
}

static void form_read(const json_t *b, api_talk *t) {
    const json_t *format = api_get(api_get(b, "output_config"), "format");
    t->format_param = format ? "output_config.format" : "output_format";
    if (!format) format = api_get(b, "output_format");
    t->schema = api_get(format, "schema");
}

/* Without `thinking` the model does not think first. */
static void think_read(const json_t *b, api_talk *t) {
    const json_t *thinking = api_get(b, "thinking");
    t->how.think = thinking && strcmp(api_get_text(thinking, "type", ""), "disabled") != 0;
    if (t->how.think) t->how.effort = api_get_text(api_get(b, "output_config"), "effort", NULL);
    t->thought_budget = (int32_t)api_get_int(thinking, "budget_tokens", -1);
}

static bool talk_read(api_call *c, api_talk *t, api_error *e) {
    const json_t *b = c->body, *choice = api_get(b, "tool_choice");
    t->messages = anthropic_turns(b, e);
    if (!t->messages) return false;
    const json_t *last = json_array_get(t->messages, json_array_size(t->messages) - 1);
    t->how.continue_final = strcmp(api_get_text(last, "role", ""), "assistant") == 0 &&
                            !api_get(last, "tool_calls");
    think_read(b, t);
    t->ask.one_call = api_get_bool(choice, "disable_parallel_tool_use", false);
    form_read(b, t);
    return api_talk_read(t, b, e) && tools_add(c, &t->ask, e) &&
           tool_choice_read(&t->ask, choice, e);
}

/* p NULL: only the prompt is wanted. */
static bool prompt_of(api_call *c, hearth_params *p, api_prompt *out, api_error *e) {
    api_talk t = api_talk_default();
    bool ok = talk_read(c, &t, e) && api_talk_begin(c, &t, p, out, e);
    api_talk_deinit(&t);
    return ok;
}

/* ---- the request ---- */

/* stop_sequences, beside the `stop` that every dialect takes: theirs goes before. */
static bool stops_read(api_call *c, hearth_params *p, api_error *e) {
    const json_t *v = api_get(c->body, "stop_sequences"), *s;
    size_t i, n = 0;
    if (json_array_size(v) == 0) return true;
    const char **list = arena_calloc(c->arena, json_array_size(v) + 1, sizeof *list);
    if (!list) return api_no_memory(e);
    json_array_foreach(v, i, s) {
        if (json_string_length(s) > LIMIT_STOP_BYTES)
            return api_fail(e, 400, "too_long", "stop_sequences",
                            "stop_sequences: item %zu has %zu bytes; at most %d", i,
                            json_string_length(s), LIMIT_STOP_BYTES);
        if (json_string_length(s) > 0) list[n++] = json_string_value(s);
    }
    p->stop = list;
    return true;
}

/* The ledger looks for the user where other dialects have it. */
static bool user_settle(json_t *body) {
    json_t *user = api_get(api_get(body, "metadata"), "user_id");
    return !user || json_object_set(body, "user", user) == 0;
}

static bool ask(api_call *c, api_error *e) {
    hearth_params p;
    api_prompt prompt = {0};
    anthropic_state *s = arena_calloc(c->arena, 1, sizeof *s);
    if (!s || !user_settle(c->body)) return api_no_memory(e);
    c->state = s;
    api_random_name(s->id, sizeof s->id, "msg_");
    c->stream = api_get_bool(c->body, "stream", false);
    if (!api_sampler_read(c, c->body, &p, e) || !stops_read(c, &p, e)) return false;
    p.max_tokens = (int32_t)api_get_int(c->body, "max_tokens", 1);
    if (!prompt_of(c, &p, &prompt, e)) return false;
    s->stop = p.stop;
    s->max_tokens = p.max_tokens;
    s->n_prompt = (int64_t)prompt.n;
    return api_generate(c, &anthropic_writer, &p, &prompt, 1, 1, e);
}

static void messages(api_call *c) {
    api_error e = {0};
    if (!ask(c, &e)) api_reply_error(c, &e);
}

static void count_tokens(api_call *c) {
    api_error e = {0};
    api_prompt prompt = {0};
    if (!prompt_of(c, NULL, &prompt, &e)) {
        api_reply_error(c, &e);
        return;
    }
    hearth_free(prompt.ids);
    jsonw w;
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "input_tokens");
    jsonw_uint(&w, prompt.n);
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

const api_route api_routes_anthropic_text[] = {
    {"POST", "/v1/messages", &api_dialect_anthropic, API_INFERENCE, .run = messages,
     .fields = messages_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "an answer to a conversation"},
    {"POST", "/v1/messages/count_tokens", &api_dialect_anthropic, API_INFERENCE,
     .run = count_tokens, .fields = count_fields, .model = true,
     .summary = "how many tokens a conversation has"},
    {0},
};
