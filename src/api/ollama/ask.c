/* /api/generate and /api/chat: what is asked for, until the engine has it. */
#include <stdio.h>
#include <stdlib.h>

#include "api/ids.h"
#include "api/infill.h"
#include "api/ollama/ollama.h"
#include "api/talk.h"
#include "base/limits.h"

/* ---- what a request may hold ---- */

static const api_field common_fields[] = {
    {.include = ollama_model_fields},
    {.name = "stream", .types = API_BOOL, .doc = "send the answer as it is made; default true"},
    {.name = "format",
     .types = API_STRING | API_OBJECT,
     .doc = "\"json\", or a JSON Schema that the answer follows"},
    {.name = "options", .types = API_OBJECT, .of = ollama_options},
    {.name = "think",
     .types = API_BOOL | API_STRING,
     .words = "low|medium|high|max",
     .doc = "whether, or how much, the model thinks first"},
    {.include = api_logprob_fields},
    {.name = "truncate",
     .types = API_BOOL,
     .doc = "leave out old turns where the conversation does not fit; default: that is an error"},
    {.name = "shift", .types = API_BOOL, .doc = "as options.context_shift"},
    {0},
};

static const api_field generate_fields[] = {
    {.name = "prompt",
     .types = API_STRING,
     .doc = "what is asked; none: only the model is loaded, or with keep_alive 0 given up"},
    {.name = "suffix", .types = API_STRING, .doc = "the text after what is to be filled in"},
    {.name = "system", .types = API_STRING, .doc = "the system message"},
    {.name = "template",
     .types = API_STRING,
     .doc = "instead of the model's own, in Go's language"},
    {.name = "context",
     .types = API_ARRAY,
     .items = API_INT,
     .len_max = LIMIT_CONTEXT,
     .doc = "what an earlier answer gave as context: the conversation goes on from there"},
    {.name = "raw", .types = API_BOOL, .doc = "the prompt is the whole prompt: no template"},
    {.name = "images", .types = API_ARRAY, .items = API_STRING},
    {.include = common_fields},
    {.include = api_talk_fields},
    {0},
};

static const api_field message_fields[] = {
    {.name = "role",
     .types = API_STRING,
     .required = true,
     .words = "system|developer|user|assistant|tool"},
    {.name = "content", .types = API_STRING},
    {.name = "thinking", .types = API_STRING},
    {.name = "images", .types = API_ARRAY, .items = API_STRING},
    {.name = "tool_calls", .types = API_ARRAY, .items = API_OBJECT, .of = tool_call_fields},
    {.name = "tool_name", .types = API_STRING},
    {.name = "tool_call_id", .types = API_STRING},
    {0},
};

static const api_field tool_fields[] = {
    {.name = "type", .types = API_STRING},
    {.name = "function", .types = API_OBJECT, .of = tool_function_fields, .required = true},
    {0},
};

static const api_field chat_fields[] = {
    {.name = "messages",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = message_fields,
     .len_max = 65536,
     .doc = "the conversation; none: only the model is loaded, or with keep_alive 0 given up"},
    {.name = "tools", .types = API_ARRAY, .items = API_OBJECT, .of = tool_fields, .len_max = 4096},
    {.name = "tool_choice",
     .types = API_STRING | API_OBJECT,
     .words = "none|auto|required",
     .doc = "beyond Ollama: whether a tool must be called; an object names one"},
    {.name = "parallel_tool_calls",
     .types = API_BOOL,
     .doc = "beyond Ollama: false: at most one call in an answer"},
    {.include = common_fields},
    {.include = api_talk_fields},
    {0},
};

/* ---- loading and giving up ---- */

static bool is_empty(const json_t *body) {
    const json_t *context = api_get(body, "context");
    return !*api_get_text(body, "prompt", "") && !*api_get_text(body, "suffix", "") &&
           json_array_size(context) == 0 && json_array_size(api_get(body, "messages")) == 0;
}

static bool gives_up(const json_t *body) {
    int64_t s;
    const json_t *v = api_get(body, "keep_alive");
    return v && is_empty(body) && api_keep_alive_read(v, &s) && s == 0;
}

/* To give up what is not loaded, nothing need be loaded first. */
static bool gave_up_already(api_call *c) {
    resident_row *rows;
    size_t n;
    err why = {0};
    const char *name = api_model_find(c, api_get_text(c->body, "model", NULL));
    bool is_there = false;
    if (!name || !gives_up(c->body) || !api_models_list(c, &rows, &n, &why)) return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0) is_there = rows[i].loaded || rows[i].coming;
    free(rows);
    if (is_there) return false;
    c->model_name = name;
    ollama_reply_loaded(c, ollama_is_chat(c), "unload");
    return true;
}

/* ---- what cannot be done ---- */

static bool has_images(const json_t *o) {
    return json_array_size(api_get(o, "images")) > 0;
}

static bool possible(api_call *c, api_error *e) {
    const json_t *b = c->body, *m;
    size_t i;
    bool any = has_images(b);
    json_array_foreach(api_get(b, "messages"), i, m) any = any || has_images(m);
    if (any)
        return api_fail(e, 400, "unsupported_content", "images",
                        "images: \"%s\" takes text, not images", c->model_name);
    return true;
}

/* "json", a schema, or nothing. */
static bool format_read(const api_call *c, api_talk *t, api_error *e) {
    const json_t *f = api_get(c->body, "format");
    t->format_param = "format";
    if (json_is_object(f)) t->schema = f;
    else if (json_is_string(f) && strcmp(json_string_value(f), "json") == 0) t->any_json = true;
    else if (f && (!json_is_string(f) || *json_string_value(f)))
        return api_fail(e, 400, "invalid_value", "format", "format is \"json\" or a JSON schema");
    return true;
}

/* ---- prompts ---- */

static bool think_read(api_call *c, api_talk *t, api_error *e) {
    const json_t *v = api_get(c->body, "think");
    if (!v) return true;
    bool can = hearth_chat_abilities(resident_model(c->model)) & HEARTH_CHAT_THINK;
    t->how.think = !json_is_false(v);
    if (json_is_string(v)) t->how.effort = json_string_value(v);
    if (t->how.think && !can)
        return api_fail(e, 400, "unsupported_value", "think", "\"%s\" does not support thinking",
                        c->model_name);
    return true;
}

/* What both endpoints have. */
static bool talk_read(api_call *c, api_talk *t, api_error *e) {
    t->truncate = api_get_bool(c->body, "truncate", false);
    t->n_ctx = (int32_t)api_get_int(api_get(c->body, "options"), "num_ctx", 0);
    return think_read(c, t, e) && format_read(c, t, e) && api_talk_read(t, c->body, e);
}

/* A message of Ollama's in OpenAI's shape: other names. */
static bool message_settle(json_t *m) {
    json_t *thinking = api_get(m, "thinking"), *tool = api_get(m, "tool_name");
    bool ok = !thinking || json_object_set(m, "reasoning_content", thinking) == 0;
    if (tool && !api_get(m, "name")) ok = ok && json_object_set(m, "name", tool) == 0;
    if (!api_get(m, "content")) ok = ok && json_object_set_new(m, "content", json_string("")) == 0;
    json_object_del(m, "images");
    json_object_del(m, "thinking");
    json_object_del(m, "tool_name");
    return ok;
}

static bool chat_prompt(api_call *c, api_talk *t, hearth_params *p, api_prompt *out, api_error *e) {
    const json_t *b = c->body;
    json_t *m;
    size_t i;
    t->messages = json_deep_copy(api_get(b, "messages"));
    bool ok = t->messages != NULL;
    json_array_foreach(t->messages, i, m) ok = ok && message_settle(m);
    if (!ok) return api_no_memory(e);
    const json_t *last = json_array_get(t->messages, json_array_size(t->messages) - 1);
    if (strcmp(api_get_text(last, "role", ""), "assistant") == 0 && !api_get(last, "tool_calls"))
        t->how.continue_final = true;
    t->ask.one_call = !api_get_bool(b, "parallel_tool_calls", true);
    return tools_read(&t->ask, api_get(b, "tools"), e) &&
           tool_choice_read(&t->ask, api_get(b, "tool_choice"), e) &&
           api_talk_begin(c, t, p, out, e);
}

/* Where no template says how, the answer is text from beginning to end. */
static bool obey_plain(api_call *c, const api_talk *t, hearth_params *p, api_error *e) {
    return !(t->schema || t->any_json) || api_obey_schema(c, t->schema, t->format_param, p, e);
}

/* The prompt in the model's template; a model without one goes on with the text itself. */
static bool written_prompt(api_call *c, api_talk *t, hearth_params *p, api_prompt *out,
                           api_error *e) {
    const json_t *b = c->body;
    const char *system = api_get_text(b, "system", ""), *text = api_get_text(b, "prompt", "");
    bool given = *api_get_text(b, "template", "");
    const hub_recipe *r = resident_recipe(c->model);
    bool made = r->template || r->system || r->messages;
    if (api_get_bool(b, "raw", false) ||
        (resident_is_bare(c->model) && !*system && !given && !made))
        return obey_plain(c, t, p, e) && api_text_prompt(c, str_of(text), out, e);
    t->messages = json_array();
    bool ok = t->messages != NULL;
    if (*system)
        ok = ok && json_array_append_new(
                       t->messages, json_pack("{ssss}", "role", "system", "content", system)) == 0;
    ok = ok && json_array_append_new(t->messages,
                                     json_pack("{ssss}", "role", "user", "content", text)) == 0;
    if (!ok) return api_no_memory(e);
    if (!given) return api_talk_begin(c, t, p, out, e);
    return obey_plain(c, t, p, e) && ollama_template_prompt(c, t->messages, out, e);
}

/* Puts the tokens of an earlier conversation first, and drops what begins a text after them. */
static bool context_join(api_call *c, api_prompt *p, api_error *e) {
    const json_t *v = api_get(c->body, "context");
    api_prompt before;
    if (json_array_size(v) == 0) return true;
    if (!api_ids_prompt(c, v, "context", &before, e)) return false;
    hearth_model_info info;
    hearth_model_info_get(resident_model(c->model), &info);
    size_t skip = p->n > 0 && info.bos >= 0 && p->ids[0] == info.bos;
    bool ok = api_ids_append(&before, p->ids + skip, p->n - skip);
    hearth_free(p->ids);
    *p = before;
    return ok || api_no_memory(e);
}

static bool generate_prompt(api_call *c, api_talk *t, hearth_params *p, api_prompt *out,
                            api_error *e) {
    const json_t *b = c->body;
    const char *suffix = api_get_text(b, "suffix", "");
    if (*suffix && !api_get_bool(b, "raw", false)) {
        infill_text gap = {.before = str_of(api_get_text(b, "prompt", "")),
                           .after = str_of(suffix)};
        return obey_plain(c, t, p, e) && infill_prompt(c, &gap, out, e);
    }
    if (*suffix)
        return api_fail(e, 400, "invalid_value", "suffix", "suffix and raw exclude each other");
    return written_prompt(c, t, p, out, e) && context_join(c, out, e);
}

/* ---- the request ---- */

static void ask_cleanup(api_call *c) {
    ollama_state *s = c->state;
    buf_deinit(&s->context);
}

static bool ask(api_call *c, api_error *e) {
    hearth_params p;
    api_prompt prompt = {0};
    ollama_state *s = c->state;
    api_talk t = api_talk_default();
    if (!possible(c, e) || !ollama_options_read(c, &p, e) || !talk_read(c, &t, e)) return false;
    c->stream = api_get_bool(c->body, "stream", true);
    s->logprobs = p.n_logprobs >= 0;
    bool ok = s->chat ? chat_prompt(c, &t, &p, &prompt, e) : generate_prompt(c, &t, &p, &prompt, e);
    api_talk_deinit(&t);
    if (!ok || !ollama_fit(c, prompt.n, &p, e)) {
        hearth_free(prompt.ids);
        return false;
    }
    s->gives_context = !s->chat && !api_get_bool(c->body, "raw", false);
    if (s->gives_context) buf_append(&s->context, prompt.ids, prompt.n * sizeof *prompt.ids);
    return api_generate(c, &ollama_writer, &p, &prompt, 1, 1, e);
}

static void run(api_call *c) {
    api_error e = {0};
    ollama_state *s = arena_calloc(c->arena, 1, sizeof *s);
    if (!s) {
        api_no_memory(&e);
        api_reply_error(c, &e);
        return;
    }
    buf_init(&s->context, LIMIT_CALL_BYTES);
    s->chat = ollama_is_chat(c);
    s->load_ns = ollama_waited_ns(c);
    c->state = s;
    c->cleanup = ask_cleanup;
    if (is_empty(c->body)) ollama_reply_loaded(c, s->chat, gives_up(c->body) ? "unload" : "load");
    else if (!ask(c, &e)) api_reply_error(c, &e);
}

const api_route api_routes_ollama_text[] = {
    {"POST", "/api/generate", &api_dialect_ollama, API_INFERENCE, .early = gave_up_already,
     .run = run, .fields = generate_fields, .model = true, .streams = API_STREAM_USUAL,
     .summary = "an answer to a prompt"},
    {"POST", "/api/chat", &api_dialect_ollama, API_INFERENCE, .early = gave_up_already, .run = run,
     .fields = chat_fields, .model = true, .streams = API_STREAM_USUAL,
     .summary = "an answer to a conversation"},
    {0},
};
