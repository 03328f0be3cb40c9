/* /v1/responses: the newer of OpenAI's two ways to ask, with answers that are kept, so that the
 * next request need only say what is new. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "api/kept.h"
#include "api/openai/responses.h"

/* ---- the dialect ---- */

static void stream_error(api_call *c, const api_error *e) {
    response_state *s = c->state;
    jsonw w;
    buf_puts(&c->out, "event: error\ndata: ");
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "type");
    jsonw_str(&w, STR("error"));
    jsonw_key(&w, "code");
    jsonw_str(&w, str_of(e->code ? e->code : "server_error"));
    jsonw_key(&w, "message");
    jsonw_str(&w, str_of(e->msg));
    jsonw_key(&w, "param");
    jsonw_null(&w);
    jsonw_key(&w, "sequence_number");
    jsonw_int(&w, s ? s->n_events++ : 0); /* NULL: its model could not be loaded */
    jsonw_end(&w);
    buf_puts(&c->out, "\n\n");
}

static const api_dialect dialect = {.name = "openai",
                                    .stream_type = "text/event-stream",
                                    .error = openai_error,
                                    .stream_error = stream_error};

/* ---- what a request may hold ---- */

static const api_field format_fields[] = {
    {.name = "type", .types = API_STRING, .words = "text|json_object|json_schema"},
    {0},
};

static const api_field text_fields[] = {
    {.name = "format", .types = API_OBJECT, .of = format_fields},
    {.name = "verbosity", .types = API_STRING, .words = "low|medium|high"},
    {0},
};

static const api_field reasoning_fields[] = {
    {.name = "effort", .types = API_STRING, .words = "none|minimal|low|medium|high|xhigh|max"},
    {.name = "summary", .types = API_STRING, .words = "auto|concise|detailed"},
    {0},
};

static const api_field item_fields[] = {
    {.name = "type", .types = API_STRING},
    {.name = "role", .types = API_STRING, .words = "system|developer|user|assistant"},
    {.name = "content", .types = API_STRING | API_ARRAY},
    {.name = "id", .types = API_STRING},
    {.name = "call_id", .types = API_STRING, .doc = "of a call, and of what came of it"},
    {.name = "name", .types = API_STRING},
    {.name = "arguments", .types = API_STRING, .doc = "of a call: JSON"},
    {.name = "output",
     .types = API_STRING | API_ARRAY,
     .doc = "what came of a call: a text, or parts of type input_text"},
    {.name = "summary", .types = API_ARRAY, .items = API_OBJECT},
    {0},
};

static const api_field tool_fields[] = {
    {.name = "type",
     .types = API_STRING,
     .required = true,
     .doc = "function or custom; others are left out, with a warning"},
    {.name = "name", .types = API_STRING, .len_max = 256},
    {.name = "description", .types = API_STRING},
    {.name = "parameters", .types = API_OBJECT, .doc = "a JSON Schema"},
    {.name = "strict",
     .types = API_BOOL,
     .doc = "what cannot be enforced in the schema is an error"},
    {0},
};

static const api_field response_fields[] = {
    {.name = "input",
     .types = API_STRING | API_ARRAY,
     .items = API_OBJECT,
     .of = item_fields,
     .len_max = 65536,
     .doc = "a text, or the items of a conversation"},
    {.name = "instructions", .types = API_STRING, .doc = "a system message for this answer alone"},
    {.name = "previous_response_id",
     .types = API_STRING,
     .len_max = 128,
     .doc = "go on from a response that was kept"},
    {.name = "store", .types = API_BOOL, .doc = "keep the response for later; default true"},
    {.name = "stream", .types = API_BOOL, .doc = "send the answer as it is made"},
    {.name = "max_output_tokens",
     .types = API_INT,
     .min = 1,
     .max = INT32_MAX,
     .doc = "longest answer"},
    {.name = "top_logprobs",
     .types = API_INT,
     .max = 20,
     .doc = "log-probabilities of so many likeliest tokens; with include"},
    {.name = "include",
     .types = API_ARRAY,
     .items = API_STRING,
     .len_max = 64,
     .doc = "\"message.output_text.logprobs\": each token's log-probability"},
    {.name = "text", .types = API_OBJECT, .of = text_fields},
    {.name = "reasoning", .types = API_OBJECT, .of = reasoning_fields},
    {.name = "tools", .types = API_ARRAY, .items = API_OBJECT, .of = tool_fields, .len_max = 4096},
    {.name = "tool_choice", .types = API_STRING | API_OBJECT, .words = "none|auto|required"},
    {.name = "parallel_tool_calls", .types = API_BOOL},
    {.include = api_talk_fields},
    {.name = "background", .types = API_BOOL, .doc = "not supported: must be false"},
    {.name = "conversation", .types = API_STRING | API_OBJECT, .doc = "not supported"},
    {.include = openai_common_fields},
    {.include = api_sampler_fields},
    {0},
};

/* ---- the request ---- */

/* The item of that name, in a response that was kept for this owner; borrowed. NULL: none. */
static json_t *item_find(api_call *c, const char *name) {
    response_state *s = c->state;
    char response[64];
    kept_copy k;
    json_t *item;
    size_t i;
    if (!response_of_item(name, response, sizeof response)) return NULL;
    if (strcmp(api_get_text(s->referred, "id", ""), response) != 0) {
        json_decref(s->referred);
        s->referred = NULL;
        if (!kept_get(c->api->kept, c->key.owner, response, &k)) return NULL;
        s->referred = json_loadb(k.body, k.n_body, 0, NULL);
        kept_copy_deinit(&k);
    }
    json_array_foreach(api_get(s->referred, "output"), i, item) {
        if (strcmp(api_get_text(item, "id", ""), name) == 0) return item;
    }
    return NULL;
}

/* An item of the input, or one that was answered before and is only named here. */
static bool item_read(api_call *c, const json_t *item, const char *where, api_error *e) {
    response_state *s = c->state;
    char shown[140];
    const char *name = api_get_text(item, "id", "");
    if (strcmp(api_get_text(item, "type", ""), "item_reference") != 0)
        return response_item_read(c, s->talk, item, where, e);
    const json_t *found = item_find(c, name);
    if (found) return response_item_read(c, s->talk, found, where, e);
    return api_fail(e, 404, "item_not_found", where,
                    "%s: there is no item \"%s\" any more; send the item itself", where,
                    str_printable(str_of(name), shown, sizeof shown));
}

/* What was said before, if this goes on from a kept response; then what is new. */
static bool talk_read(api_call *c, api_error *e) {
    response_state *s = c->state;
    const char *before = api_get_text(c->body, "previous_response_id", NULL);
    const json_t *input = api_get(c->body, "input"), *item;
    char shown[140];
    size_t i;
    kept_copy k;
    if (before) {
        if (!kept_get(c->api->kept, c->key.owner, before, &k))
            return api_fail(e, 404, "previous_response_not_found", "previous_response_id",
                            "there is no response \"%s\" any more; send the whole conversation",
                            str_printable(str_of(before), shown, sizeof shown));
        s->talk = json_loadb(k.talk, k.n_talk, 0, NULL);
        kept_copy_deinit(&k);
    } else {
        s->talk = json_array();
    }
    if (!s->talk) return api_no_memory(e);
    if (json_is_string(input)) {
        json_t *m = json_pack("{s:s, s:O}", "role", "user", "content", input);
        return (m && json_array_append_new(s->talk, m) == 0) || api_no_memory(e);
    }
    json_array_foreach(input, i, item) {
        char where[40];
        snprintf(where, sizeof where, "input[%zu]", i);
        if (!item_read(c, item, where, e)) return false;
    }
    if (json_array_size(s->talk) > 0 || *api_get_text(c->body, "instructions", "")) return true;
    return api_fail(e, 400, "missing_field", "input", "input is missing");
}

/* A tool that takes a text, as one that takes arguments. */
static bool custom_add(tool_ask *ask, const json_t *tool, const char *where, api_error *e) {
    json_t *parameters = json_pack("{s:s, s:{s:{s:s}}, s:[s], s:b}", "type", "object", "properties",
                                   RESPONSE_CUSTOM_INPUT, "type", "string", "required",
                                   RESPONSE_CUSTOM_INPUT, "additionalProperties", 0);
    bool ok = parameters
                  ? tool_add(ask, api_get_text(tool, "name", ""),
                             api_get_text(tool, "description", NULL), parameters, false, where, e)
                  : api_no_memory(e);
    json_decref(parameters);
    return ok;
}

/* Tools that OpenAI's service runs itself are left out: programs send them with the others. */
static bool tools_add(api_call *c, tool_ask *ask, api_error *e) {
    const json_t *tool;
    size_t i;
    json_array_foreach(api_get(c->body, "tools"), i, tool) {
        char where[40], shown[60], text[160];
        const char *type = api_get_text(tool, "type", ""), *name = api_get_text(tool, "name", "");
        bool function = strcmp(type, "function") == 0, custom = strcmp(type, "custom") == 0;
        snprintf(where, sizeof where, "tools[%zu]", i);
        if ((function || custom) && !*name)
            return api_fail(e, 400, "missing_field", where, "%s.name is missing", where);
        if (custom && !custom_add(ask, tool, where, e)) return false;
        if (function &&
            !tool_add(ask, name, api_get_text(tool, "description", NULL),
                      api_get(tool, "parameters"), api_get_bool(tool, "strict", false), where, e))
            return false;
        if (function || custom) continue;
        snprintf(text, sizeof text, "%s: tools of type \"%s\" are not run here; left out", where,
                 str_printable(str_of(type), shown, sizeof shown));
        api_warn(c, text);
    }
    return true;
}

static bool choice_read(api_call *c, tool_ask *ask, api_error *e) {
    const json_t *b = c->body;
    ask->one_call = !api_get_bool(b, "parallel_tool_calls", true);
    return tools_add(c, ask, e) && tool_choice_read(ask, api_get(b, "tool_choice"), e);
}

static bool prompt_of(api_call *c, hearth_params *p, api_prompt *out, api_error *e) {
    const response_state *s = c->state;
    const json_t *b = c->body, *format = api_get(api_get(b, "text"), "format");
    const char *instructions = api_get_text(b, "instructions", NULL);
    api_talk t = api_talk_default();
    t.messages = json_deep_copy(s->talk);
    bool ok = t.messages != NULL;
    if (instructions)
        ok = ok && json_array_insert_new(
                       t.messages, 0,
                       json_pack("{s:s, s:s}", "role", "system", "content", instructions)) == 0;
    api_talk_effort(&t, api_get_text(api_get(b, "reasoning"), "effort", NULL));
    ok = ok ? api_talk_read(&t, b, e) && openai_format_read(&t, format, format, "text.format", e) &&
                  choice_read(c, &t.ask, e) && api_talk_begin(c, &t, p, out, e)
            : api_no_memory(e);
    api_talk_deinit(&t);
    return ok;
}

static bool includes(const json_t *body, const char *what) {
    const json_t *list = api_get(body, "include"), *v;
    size_t i;
    json_array_foreach(list, i, v) if (strcmp(json_string_value(v), what) == 0) return true;
    return false;
}

static bool options_read(api_call *c, hearth_params *p, api_error *e) {
    response_state *s = c->state;
    const json_t *b = c->body;
    if (api_get_bool(b, "background", false))
        return api_fail(e, 400, "unsupported_value", "background",
                        "background: answers are made while the client waits");
    if (api_get(b, "conversation"))
        return api_fail(e, 400, "unsupported_value", "conversation",
                        "conversation: use previous_response_id");
    if (!api_sampler_read(c, b, p, e)) return false;
    s->temperature = round((double)p->temperature * 1e6) / 1e6; /* 0.8, not 0.800000012 */
    s->top_p = round((double)p->top_p * 1e6) / 1e6;
    s->store = api_get_bool(b, "store", true);
    s->logprobs = includes(b, "message.output_text.logprobs") ||
                  api_get_int(b, "top_logprobs", 0) > 0;
    p->n_logprobs = s->logprobs ? (int32_t)api_get_int(b, "top_logprobs", 0) : -1;
    p->max_tokens = (int32_t)api_get_int(b, "max_output_tokens", api_usual_length(c));
    c->stream = api_get_bool(b, "stream", false);
    return true;
}

static void respond_cleanup(api_call *c) {
    response_state *s = c->state;
    if (!s) return;
    json_decref(s->talk);
    json_decref(s->referred);
}

static void respond(api_call *c) {
    api_error e = {0};
    hearth_params p;
    api_prompt prompt = {0};
    response_state *s = c->state = arena_alloc(c->arena, sizeof *s);
    api_random_name(c->id, sizeof c->id, "resp_");
    bool ok = s || api_no_memory(&e);
    c->cleanup = respond_cleanup;
    ok = ok && options_read(c, &p, &e) && talk_read(c, &e) && prompt_of(c, &p, &prompt, &e) &&
         api_generate(c, &response_writer, &p, &prompt, 1, 1, &e);
    if (!ok) api_reply_error(c, &e);
}

/* ---- kept responses ---- */

static bool not_there(const api_call *c, api_error *e) {
    char shown[140];
    return api_fail(e, 404, "response_not_found", "response_id", "there is no response \"%s\"",
                    str_printable(str_of(c->arg[0]), shown, sizeof shown));
}

static bool kept_of(api_call *c, kept_copy *k) {
    api_error e = {0};
    if (kept_get(c->api->kept, c->key.owner, c->arg[0], k)) return true;
    not_there(c, &e);
    api_reply_error(c, &e);
    return false;
}

static void response_get(api_call *c) {
    kept_copy k;
    if (!kept_of(c, &k)) return;
    buf_append(&c->out, k.body, k.n_body);
    kept_copy_deinit(&k);
    api_reply_json(c, 200, NULL);
}

static void response_delete(api_call *c) {
    api_error e = {0};
    err why = {0};
    jsonw w;
    if (!kept_drop(c->api->kept, c->key.owner, c->arg[0], &why)) {
        if (why.code == ERR_NOT_FOUND) not_there(c, &e);
        else api_fail_err(&e, &why);
        api_reply_error(c, &e);
        return;
    }
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "id");
    jsonw_str(&w, str_of(c->arg[0]));
    jsonw_key(&w, "object");
    jsonw_str(&w, STR("response"));
    jsonw_key(&w, "deleted");
    jsonw_bool(&w, true);
    jsonw_end(&w);
    api_reply_json(c, 200, NULL);
}

static void list_write(api_call *c, json_t *items) {
    size_t n = json_array_size(items);
    jsonw w;
    openai_list_open(c, &w);
    for (size_t i = n; i-- > 0;) {
        char *text = json_dumps(json_array_get(items, i), JSON_COMPACT);
        jsonw_raw(&w, str_of(text ? text : "null"));
        free(text);
    }
    jsonw_end(&w);
    jsonw_key(&w, "has_more");
    jsonw_bool(&w, false);
    jsonw_key(&w, "first_id");
    jsonw_str(&w, str_of(api_get_text(json_array_get(items, n - 1), "id", "")));
    jsonw_key(&w, "last_id");
    jsonw_str(&w, str_of(api_get_text(json_array_get(items, 0), "id", "")));
    jsonw_end(&w);
}

/* All that the model was shown, newest first, as OpenAI lists it. */
static void response_inputs(api_call *c) {
    kept_copy k;
    api_error e = {0};
    if (!kept_of(c, &k)) return;
    json_t *talk = json_loadb(k.talk, k.n_talk, 0, NULL);
    kept_copy_deinit(&k);
    json_array_remove(talk, json_array_size(talk) - 1); /* the answer */
    json_t *items = response_items(talk, c->arg[0]);
    json_decref(talk);
    if (!items) {
        api_no_memory(&e);
        api_reply_error(c, &e);
        return;
    }
    list_write(c, items);
    json_decref(items);
    api_reply_json(c, 200, NULL);
}

const api_route api_routes_openai_responses[] = {
    {"POST", "/v1/responses", &dialect, API_INFERENCE, .run = respond, .fields = response_fields,
     .model = true, .streams = API_STREAM_ASKED, .summary = "an answer, which is kept"},
    {"GET", "/v1/responses/{id}/input_items", &api_dialect_openai, API_INFERENCE,
     .run = response_inputs, .summary = "what a kept response answered"},
    {"GET", "/v1/responses/{id}", &api_dialect_openai, API_INFERENCE, .run = response_get,
     .summary = "a kept response"},
    {"DELETE", "/v1/responses/{id}", &api_dialect_openai, API_INFERENCE, .run = response_delete,
     .summary = "forget a kept response"},
    {0},
};
