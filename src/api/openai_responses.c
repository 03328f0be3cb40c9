/* /v1/responses: the newer of OpenAI's two ways to ask, with answers that are kept, so that the
 * next request need only say what is new. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "api/kept.h"
#include "api/openai.h"
#include "base/limits.h"

/* ---- the dialect ---- */

typedef struct response_state {
    char message_id[40];
    int64_t n_events; /* sequence_number of the next */
    bool logprobs, store;
    double temperature, top_p;
    json_t *talk; /* [{"role", "content"}] all that the model is shown, but instructions; owned */
} response_state;

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
    jsonw_int(&w, s->n_events++);
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
    {0},
};

static const api_field tool_fields[] = {
    {.name = "type", .types = API_STRING, .required = true},
    {0},
};

static const api_field response_fields[] = {
    {.name = "model",
     .types = API_STRING,
     .len_max = 512,
     .doc = "a name that /v1/models lists; none or \"default\": the first of them"},
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
    {.name = "store", .types = API_BOOL, .doc = "keep the response in memory; default true"},
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
    {.name = "truncation", .types = API_STRING, .words = "auto|disabled"},
    {.name = "background", .types = API_BOOL, .doc = "not supported: must be false"},
    {.name = "conversation", .types = API_STRING | API_OBJECT, .doc = "not supported"},
    {.name = "metadata", .types = API_OBJECT, .doc = "kept in the ledger"},
    {.name = "user", .types = API_STRING, .doc = "kept in the ledger"},
    {.name = "keep_alive",
     .types = API_NUMBER | API_STRING,
     .doc = "how long the model stays in memory: seconds or \"5m\"; negative: for ever"},
    {.include = api_sampler_fields},
    {0},
};

/* ---- the answer ---- */

static void copy_member(api_call *c, jsonw *w, const char *name, const char *otherwise) {
    const json_t *v = api_get(c->body, name);
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    jsonw_key(w, name);
    jsonw_raw(w, str_of(text ? text : otherwise));
    free(text);
}

static void part_write(jsonw *w, str text, const buf *logprobs) {
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, STR("output_text"));
    jsonw_key(w, "text");
    jsonw_str(w, text);
    jsonw_key(w, "annotations");
    jsonw_raw(w, STR("[]"));
    jsonw_key(w, "logprobs");
    buf_putc(w->out, '[');
    if (logprobs) buf_put_str(w->out, buf_str(logprobs));
    jsonw_raw(w, STR("]"));
    jsonw_end(w);
}

static bool is_cut(const api_choice *ch) {
    return ch->usage.finish == HEARTH_FINISH_LENGTH;
}

static void item_write(api_call *c, jsonw *w, bool done) {
    const response_state *s = c->state;
    const api_choice *ch = &c->choice[0];
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, STR("message"));
    jsonw_key(w, "id");
    jsonw_str(w, str_of(s->message_id));
    jsonw_key(w, "status");
    jsonw_str(w, !done ? STR("in_progress") : is_cut(ch) ? STR("incomplete") : STR("completed"));
    jsonw_key(w, "role");
    jsonw_str(w, STR("assistant"));
    jsonw_key(w, "content");
    jsonw_array(w);
    if (done) part_write(w, buf_str(&ch->text), &ch->extra);
    jsonw_end(w);
    jsonw_end(w);
}

static void usage_write(const api_call *c, jsonw *w, const hearth_usage *u) {
    jsonw_object(w);
    jsonw_key(w, "input_tokens");
    jsonw_int(w, u->n_prompt);
    jsonw_key(w, "input_tokens_details");
    jsonw_object(w);
    jsonw_key(w, "cached_tokens");
    jsonw_int(w, u->n_cached);
    jsonw_key(w, "cache_write_tokens");
    jsonw_int(w, u->n_prompt - u->n_cached);
    jsonw_end(w);
    jsonw_key(w, "output_tokens");
    jsonw_int(w, u->n_generated);
    jsonw_key(w, "output_tokens_details");
    jsonw_raw(w, STR("{\"reasoning_tokens\":0}"));
    jsonw_key(w, "total_tokens");
    jsonw_int(w, u->n_prompt + u->n_generated);
    api_energy_write(c, NULL, w);
    jsonw_end(w);
}

/* What the client asked for, said back. */
static void echo_write(api_call *c, jsonw *w) {
    const response_state *s = c->state;
    const json_t *reasoning = api_get(c->body, "reasoning");
    copy_member(c, w, "instructions", "null");
    copy_member(c, w, "max_output_tokens", "null");
    copy_member(c, w, "metadata", "{}");
    copy_member(c, w, "parallel_tool_calls", "true");
    copy_member(c, w, "previous_response_id", "null");
    copy_member(c, w, "tool_choice", "\"auto\"");
    copy_member(c, w, "tools", "[]");
    copy_member(c, w, "top_logprobs", "0");
    copy_member(c, w, "truncation", "\"disabled\"");
    if (api_get(c->body, "user")) copy_member(c, w, "user", "null");
    jsonw_key(w, "background");
    jsonw_bool(w, false);
    jsonw_key(w, "store");
    jsonw_bool(w, s->store);
    jsonw_key(w, "temperature");
    jsonw_f64(w, s->temperature);
    jsonw_key(w, "top_p");
    jsonw_f64(w, s->top_p);
    jsonw_key(w, "reasoning");
    jsonw_object(w);
    jsonw_key(w, "effort");
    if (api_get_text(reasoning, "effort", NULL))
        jsonw_str(w, str_of(api_get_text(reasoning, "effort", NULL)));
    else jsonw_null(w);
    jsonw_key(w, "summary");
    jsonw_null(w);
    jsonw_end(w);
    jsonw_key(w, "text");
    jsonw_raw(w, STR("{\"format\":{\"type\":\"text\"}}"));
}

static void response_write(api_call *c, jsonw *w, bool done) {
    const api_choice *ch = &c->choice[0];
    bool cut = done && is_cut(ch);
    jsonw_object(w);
    jsonw_key(w, "id");
    jsonw_str(w, str_of(c->id));
    jsonw_key(w, "object");
    jsonw_str(w, STR("response"));
    jsonw_key(w, "created_at");
    jsonw_int(w, c->created_s);
    jsonw_key(w, "status");
    jsonw_str(w, cut ? STR("incomplete") : done ? STR("completed") : STR("in_progress"));
    jsonw_key(w, "error");
    jsonw_null(w);
    jsonw_key(w, "incomplete_details");
    if (cut) jsonw_raw(w, STR("{\"reason\":\"max_output_tokens\"}"));
    else jsonw_null(w);
    jsonw_key(w, "model");
    jsonw_str(w, str_of(c->model_name));
    jsonw_key(w, "output");
    jsonw_array(w);
    if (done) item_write(c, w, true);
    jsonw_end(w);
    echo_write(c, w);
    if (done) {
        jsonw_key(w, "usage");
        usage_write(c, w, &ch->usage);
    }
    jsonw_end(w);
}

/* ---- events ---- */

static void event_open(api_call *c, jsonw *w, const char *type) {
    response_state *s = c->state;
    buf_printf(&c->out, "event: %s\ndata: ", type);
    jsonw_init(w, &c->out);
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, str_of(type));
    jsonw_key(w, "sequence_number");
    jsonw_int(w, s->n_events++);
}

static void event_close(api_call *c, jsonw *w) {
    jsonw_end(w);
    buf_puts(&c->out, "\n\n");
}

static void event_response(api_call *c, const char *type, bool done) {
    jsonw w;
    event_open(c, &w, type);
    jsonw_key(&w, "response");
    response_write(c, &w, done);
    event_close(c, &w);
}

static void event_item(api_call *c, const char *type, bool done) {
    jsonw w;
    event_open(c, &w, type);
    jsonw_key(&w, "output_index");
    jsonw_int(&w, 0);
    jsonw_key(&w, "item");
    item_write(c, &w, done);
    event_close(c, &w);
}

/* An event about the one part of the one message. */
static void part_open(api_call *c, jsonw *w, const char *type) {
    const response_state *s = c->state;
    event_open(c, w, type);
    jsonw_key(w, "item_id");
    jsonw_str(w, str_of(s->message_id));
    jsonw_key(w, "output_index");
    jsonw_int(w, 0);
    jsonw_key(w, "content_index");
    jsonw_int(w, 0);
}

static void responses_begin(api_call *c) {
    jsonw w;
    event_response(c, "response.created", false);
    event_response(c, "response.in_progress", false);
    event_item(c, "response.output_item.added", false);
    part_open(c, &w, "response.content_part.added");
    jsonw_key(&w, "part");
    part_write(&w, STR(""), NULL);
    event_close(c, &w);
}

static void responses_piece(api_call *c, api_choice *ch, const api_piece *p) {
    const response_state *s = c->state;
    bool logprob = s->logprobs && p->token && p->token->id >= 0;
    size_t before = ch->extra.len;
    jsonw w;
    if (logprob) {
        if (before) buf_putc(&ch->extra, ',');
        jsonw_init(&w, &ch->extra);
        openai_logprob(c, &w, p->token);
    }
    if (!c->stream || (p->text.n == 0 && !logprob)) return;
    part_open(c, &w, "response.output_text.delta");
    jsonw_key(&w, "delta");
    jsonw_str(&w, p->text);
    jsonw_key(&w, "logprobs");
    buf_putc(w.out, '[');
    size_t from = before && logprob ? before + 1 : before;
    if (logprob && ch->extra.len > from)
        buf_append(w.out, ch->extra.data + from, ch->extra.len - from);
    jsonw_raw(&w, STR("]"));
    event_close(c, &w);
}

/* Keeps what was said, for previous_response_id. */
static void keep(api_call *c) {
    const response_state *s = c->state;
    const api_choice *ch = &c->choice[0];
    if (!s->store) return;
    json_t *answer = json_pack("{s:s, s:s#}", "role", "assistant", "content",
                               ch->text.data ? ch->text.data : "", ch->text.len);
    if (!answer || json_array_append_new(s->talk, answer) != 0) return;
    char *talk = json_dumps(s->talk, JSON_COMPACT);
    buf body;
    jsonw w;
    buf_init(&body, LIMIT_CALL_BYTES);
    jsonw_init(&w, &body);
    response_write(c, &w, true);
    if (talk && !body.failed)
        kept_put(c->api->kept, c->key.owner, c->id, buf_str(&body), str_of(talk));
    buf_deinit(&body);
    free(talk);
}

static void responses_finish(api_call *c) {
    const api_choice *ch = &c->choice[0];
    jsonw w;
    keep(c);
    if (!c->stream) {
        jsonw_init(&w, &c->out);
        response_write(c, &w, true);
        return;
    }
    part_open(c, &w, "response.output_text.done");
    jsonw_key(&w, "text");
    jsonw_str(&w, buf_str(&ch->text));
    jsonw_key(&w, "logprobs");
    buf_putc(w.out, '[');
    buf_put_str(w.out, buf_str(&ch->extra));
    jsonw_raw(&w, STR("]"));
    event_close(c, &w);
    part_open(c, &w, "response.content_part.done");
    jsonw_key(&w, "part");
    part_write(&w, buf_str(&ch->text), &ch->extra);
    event_close(c, &w);
    event_item(c, "response.output_item.done", true);
    event_response(c, is_cut(ch) ? "response.incomplete" : "response.completed", true);
}

static const api_writer responses_writer = {
    .begin = responses_begin, .piece = responses_piece, .finish = responses_finish};

/* ---- the request ---- */

static bool no_memory(api_error *e) {
    return api_fail(e, 503, "out_of_memory", NULL, "out of memory");
}

static bool talk_add(response_state *s, const char *role, const char *text, api_error *e) {
    json_t *m = json_pack("{s:s, s:s}", "role", role, "content", text);
    return (m && json_array_append_new(s->talk, m) == 0) || no_memory(e);
}

static bool item_read(api_call *c, const json_t *item, size_t i, api_error *e) {
    char where[64], shown[60];
    const char *type = api_get_text(item, "type", "message"), *text;
    const char *role = api_get_text(item, "role", NULL);
    if (strcmp(type, "reasoning") == 0) return true; /* earlier thoughts are not shown again */
    snprintf(where, sizeof where, "input[%zu].type", i);
    if (strcmp(type, "message") != 0)
        return api_fail(e, 400, "unsupported_value", where,
                        "%s: items of type \"%s\" cannot be given to this model", where,
                        str_printable(str_of(type), shown, sizeof shown));
    snprintf(where, sizeof where, "input[%zu].role", i);
    if (!role) return api_fail(e, 400, "missing_field", where, "%s is missing", where);
    snprintf(where, sizeof where, "input[%zu].content", i);
    return api_content_text(c, api_get(item, "content"), where, &text, e) &&
           talk_add(c->state, strcmp(role, "developer") == 0 ? "system" : role, text, e);
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
    if (!s->talk) return no_memory(e);
    if (json_is_string(input)) return talk_add(s, "user", json_string_value(input), e);
    json_array_foreach(input, i, item) if (!item_read(c, item, i, e)) return false;
    if (json_array_size(s->talk) > 0 || *api_get_text(c->body, "instructions", "")) return true;
    return api_fail(e, 400, "missing_field", "input", "input is missing");
}

static bool prompt_of(api_call *c, api_prompt *out, api_error *e) {
    const response_state *s = c->state;
    const char *instructions = api_get_text(c->body, "instructions", NULL);
    hearth_chat how = hearth_chat_default();
    how.effort = api_get_text(api_get(c->body, "reasoning"), "effort", NULL);
    if (how.effort && strcmp(how.effort, "none") == 0) {
        how.effort = NULL;
        how.think = 0;
    }
    if (!instructions) return api_chat_prompt(c, s->talk, &how, out, e);
    json_t *all = json_array();
    bool ok = all &&
              json_array_append_new(
                  all, json_pack("{s:s, s:s}", "role", "system", "content", instructions)) == 0 &&
              json_array_extend(all, s->talk) == 0;
    ok = ok ? api_chat_prompt(c, all, &how, out, e) : no_memory(e);
    json_decref(all);
    return ok;
}

static bool has_functions(const json_t *tools) {
    const json_t *t;
    size_t i;
    json_array_foreach(tools, i, t) {
        const char *type = api_get_text(t, "type", "");
        if (strcmp(type, "function") == 0 || strcmp(type, "custom") == 0) return true;
    }
    return false;
}

static bool includes(const json_t *body, const char *what) {
    const json_t *list = api_get(body, "include"), *v;
    size_t i;
    json_array_foreach(list, i, v) if (strcmp(json_string_value(v), what) == 0) return true;
    return false;
}

static bool options_read(api_call *c, hearth_params *p, api_error *e) {
    response_state *s = c->state;
    const json_t *b = c->body, *choice = api_get(b, "tool_choice");
    const json_t *format = api_get(api_get(b, "text"), "format");
    bool none = json_is_string(choice) && strcmp(json_string_value(choice), "none") == 0;
    if (has_functions(api_get(b, "tools")) && !none)
        return api_fail(e, 400, "unsupported_value", "tools",
                        "tools: this server cannot constrain answers to tool calls; "
                        "send tool_choice \"none\" to leave them out");
    if (api_get_bool(b, "background", false))
        return api_fail(e, 400, "unsupported_value", "background",
                        "background: answers are made while the client waits");
    if (api_get(b, "conversation"))
        return api_fail(e, 400, "unsupported_value", "conversation",
                        "conversation: use previous_response_id");
    if (!api_sampler_read(c, b, p, e) ||
        !openai_format_read(c, format, format, "text.format", p, e))
        return false;
    s->temperature = round((double)p->temperature * 1e6) / 1e6; /* 0.8, not 0.800000012 */
    s->top_p = round((double)p->top_p * 1e6) / 1e6;
    s->store = api_get_bool(b, "store", true);
    s->logprobs = includes(b, "message.output_text.logprobs") ||
                  api_get_int(b, "top_logprobs", 0) > 0;
    p->n_logprobs = s->logprobs ? (int32_t)api_get_int(b, "top_logprobs", 0) : -1;
    p->max_tokens = (int32_t)api_get_int(b, "max_output_tokens", -1);
    c->stream = api_get_bool(b, "stream", false);
    return true;
}

static void respond_cleanup(api_call *c) {
    response_state *s = c->state;
    if (s) json_decref(s->talk);
}

static void respond(api_call *c) {
    api_error e = {0};
    hearth_params p;
    api_prompt prompt = {0};
    response_state *s = c->state = arena_alloc(c->arena, sizeof *s);
    api_random_name(c->id, sizeof c->id, "resp_");
    bool ok = s || no_memory(&e);
    c->cleanup = respond_cleanup;
    if (s) api_random_name(s->message_id, sizeof s->message_id, "msg_");
    ok = ok && options_read(c, &p, &e) && talk_read(c, &e) && prompt_of(c, &prompt, &e) &&
         api_generate(c, &responses_writer, &p, &prompt, 1, 1, &e);
    if (!ok) api_reply_error(c, &e);
}

/* ---- kept responses ---- */

static bool kept_of(api_call *c, kept_copy *k) {
    api_error e = {0};
    char shown[140];
    if (kept_get(c->api->kept, c->key.owner, c->arg[0], k)) return true;
    api_fail(&e, 404, "response_not_found", "response_id", "there is no response \"%s\"",
             str_printable(str_of(c->arg[0]), shown, sizeof shown));
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
    kept_copy k;
    jsonw w;
    if (!kept_of(c, &k)) return;
    kept_copy_deinit(&k);
    kept_drop(c->api->kept, c->key.owner, c->arg[0]);
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

static void input_item_write(jsonw *w, const char *id, size_t i, const json_t *m) {
    char name[160];
    bool own = strcmp(api_get_text(m, "role", ""), "assistant") == 0;
    str text = str_of(api_get_text(m, "content", ""));
    snprintf(name, sizeof name, "msg_%s_%zu", id, i);
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, STR("message"));
    jsonw_key(w, "id");
    jsonw_str(w, str_of(name));
    jsonw_key(w, "status");
    jsonw_str(w, STR("completed"));
    jsonw_key(w, "role");
    jsonw_str(w, str_of(api_get_text(m, "role", "")));
    jsonw_key(w, "content");
    jsonw_array(w);
    if (own) {
        part_write(w, text, NULL);
    } else {
        jsonw_object(w);
        jsonw_key(w, "type");
        jsonw_str(w, STR("input_text"));
        jsonw_key(w, "text");
        jsonw_str(w, text);
        jsonw_end(w);
    }
    jsonw_end(w);
    jsonw_end(w);
}

/* All that the model was shown, newest first, as OpenAI lists it. */
static void response_items(api_call *c) {
    kept_copy k;
    jsonw w;
    if (!kept_of(c, &k)) return;
    json_t *talk = json_loadb(k.talk, k.n_talk, 0, NULL);
    kept_copy_deinit(&k);
    size_t n = json_array_size(talk);
    n -= n > 0; /* the answer */
    char first[160] = "", last[160] = "";
    if (n) snprintf(first, sizeof first, "msg_%s_%zu", c->arg[0], n - 1);
    if (n) snprintf(last, sizeof last, "msg_%s_0", c->arg[0]);
    jsonw_init(&w, &c->out);
    jsonw_object(&w);
    jsonw_key(&w, "object");
    jsonw_str(&w, STR("list"));
    jsonw_key(&w, "data");
    jsonw_array(&w);
    for (size_t i = n; i-- > 0;) input_item_write(&w, c->arg[0], i, json_array_get(talk, i));
    jsonw_end(&w);
    jsonw_key(&w, "has_more");
    jsonw_bool(&w, false);
    jsonw_key(&w, "first_id");
    jsonw_str(&w, str_of(first));
    jsonw_key(&w, "last_id");
    jsonw_str(&w, str_of(last));
    jsonw_end(&w);
    json_decref(talk);
    api_reply_json(c, 200, NULL);
}

const api_route api_routes_openai_responses[] = {
    {"POST", "/v1/responses", &dialect, API_INFERENCE, .run = respond, .fields = response_fields,
     .model = true, .summary = "an answer, which is kept"},
    {"GET", "/v1/responses/{id}/input_items", &api_dialect_openai, API_INFERENCE,
     .run = response_items, .summary = "what a kept response answered"},
    {"GET", "/v1/responses/{id}", &api_dialect_openai, API_INFERENCE, .run = response_get,
     .summary = "a kept response"},
    {"DELETE", "/v1/responses/{id}", &api_dialect_openai, API_INFERENCE, .run = response_delete,
     .summary = "forget a kept response"},
    {0},
};
