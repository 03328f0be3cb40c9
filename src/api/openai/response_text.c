/* /v1/responses: the answer. A stream tells when each item begins and ends; an item begins with the
 * first piece of its part. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "api/kept.h"
#include "api/openai/responses.h"
#include "base/limits.h"

/* ---- tools that take a text ---- */

bool response_is_custom(const api_call *c, const char *name) {
    const json_t *t;
    size_t i;
    json_array_foreach(api_get(c->body, "tools"), i, t) {
        if (strcmp(api_get_text(t, "name", ""), name) == 0)
            return strcmp(api_get_text(t, "type", ""), "custom") == 0;
    }
    return false;
}

char *response_custom_input(const api_tool_call *t) {
    json_t *args = json_loadb(t->args.data ? t->args.data : "", t->args.len, JSON_ALLOW_NUL, NULL);
    const char *text = api_get_text(args, RESPONSE_CUSTOM_INPUT, NULL);
    char *copy = text ? strdup(text) : NULL;
    json_decref(args);
    return copy;
}

/* ---- items ---- */

static bool is_cut(const api_choice *ch) {
    return ch->usage.finish == HEARTH_FINISH_LENGTH;
}

static const api_tool_call *call_of(const api_call *c, const response_item *x) {
    const api_choice *ch = &c->choice[0];
    return &ch->tool[ch->part[x->part].tool];
}

static str text_of(const api_call *c, const response_item *x) {
    const api_choice *ch = &c->choice[0];
    if (x->part < 0) return STR("");
    const api_part *p = &ch->part[x->part];
    const buf *b = p->kind == API_PIECE_REASONING ? &ch->reasoning : &ch->text;
    return (str){b->data + p->from, p->n};
}

static void part_write(jsonw *w, const response_item *x, str text, str logprobs) {
    bool thinks = x->kind == API_PIECE_REASONING;
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, thinks ? STR("reasoning_text") : STR("output_text"));
    jsonw_key(w, "text");
    jsonw_str(w, text);
    if (!thinks) {
        jsonw_key(w, "annotations");
        jsonw_raw(w, STR("[]"));
        jsonw_key(w, "logprobs");
        api_logprobs_write(w, logprobs);
    }
    jsonw_end(w);
}

/* Items of an array, from `from` on: without the comma that stands before them. */
static str rows_from(const api_choice *ch, size_t from) {
    str rows = {ch->extra.data + from, ch->extra.len - from};
    if (rows.n == 0) return STR("");
    return rows.p[0] == ',' ? (str){rows.p + 1, rows.n - 1} : rows;
}

static str logprobs_of(const api_call *c, const response_item *x) {
    str rows = rows_from(&c->choice[0], x->logprobs_from);
    size_t end = x->logprobs_from + x->logprobs_n;
    rows.n -= c->choice[0].extra.len - end < rows.n ? c->choice[0].extra.len - end : rows.n;
    return rows;
}

static void content_write(const api_call *c, jsonw *w, const response_item *x, bool done) {
    if (x->kind == API_PIECE_REASONING) {
        jsonw_key(w, "summary");
        jsonw_raw(w, STR("[]"));
    } else {
        jsonw_key(w, "role");
        jsonw_str(w, STR("assistant"));
    }
    jsonw_key(w, "content");
    jsonw_array(w);
    if (done) part_write(w, x, text_of(c, x), logprobs_of(c, x));
    jsonw_end(w);
}

static void call_write(const api_call *c, jsonw *w, const response_item *x, bool done) {
    const api_tool_call *t = call_of(c, x);
    bool custom = response_is_custom(c, t->name);
    jsonw_key(w, "call_id");
    jsonw_str(w, str_of(t->id));
    jsonw_key(w, "name");
    jsonw_str(w, str_of(t->name));
    jsonw_key(w, custom ? "input" : "arguments");
    char *input = done && custom ? response_custom_input(t) : NULL;
    if (custom) jsonw_str(w, str_of(input ? input : ""));
    else jsonw_str(w, done ? buf_str(&t->args) : STR(""));
    free(input);
}

static const char *type_of(const api_call *c, const response_item *x) {
    if (x->kind == API_PIECE_REASONING) return "reasoning";
    if (x->kind == API_PIECE_TEXT) return "message";
    return response_is_custom(c, call_of(c, x)->name) ? "custom_tool_call" : "function_call";
}

static void item_write(const api_call *c, jsonw *w, const response_item *x, bool done) {
    const response_state *s = c->state;
    bool last = x == &s->item[s->n_items - 1], cut = last && is_cut(&c->choice[0]);
    const char *type = type_of(c, x);
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, str_of(type));
    jsonw_key(w, "id");
    jsonw_str(w, str_of(x->id));
    if (strcmp(type, "custom_tool_call") != 0) {
        jsonw_key(w, "status");
        jsonw_str(w, !done ? STR("in_progress") : cut ? STR("incomplete") : STR("completed"));
    }
    if (x->kind == API_PIECE_TOOL_BEGIN) call_write(c, w, x, done);
    else content_write(c, w, x, done);
    jsonw_end(w);
}

/* ---- the response ---- */

static void copy_member(api_call *c, jsonw *w, const char *name, const char *otherwise) {
    const json_t *v = api_get(c->body, name);
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    jsonw_key(w, name);
    jsonw_raw(w, str_of(text ? text : otherwise));
    free(text);
}

static void usage_write(const api_call *c, jsonw *w) {
    const hearth_usage *u = &c->choice[0].usage;
    jsonw_key(w, "usage");
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
    jsonw_object(w);
    jsonw_key(w, "reasoning_tokens");
    jsonw_int(w, openai_reasoning(c));
    jsonw_end(w);
    jsonw_key(w, "total_tokens");
    jsonw_int(w, u->n_prompt + u->n_generated);
    api_energy_write(c, NULL, w);
    jsonw_end(w);
}

/* Functions have all their members in an answer, also those that the request left out. */
static void tools_write(const api_call *c, jsonw *w) {
    json_t *tools = json_deep_copy(api_get(c->body, "tools")), *t;
    size_t i;
    json_array_foreach(tools, i, t) {
        if (strcmp(api_get_text(t, "type", ""), "function") != 0) continue;
        if (!api_get(t, "strict")) json_object_set_new(t, "strict", json_false());
        if (!json_object_get(t, "parameters")) json_object_set_new(t, "parameters", json_null());
    }
    char *text = tools ? json_dumps(tools, JSON_COMPACT) : NULL;
    jsonw_key(w, "tools");
    jsonw_raw(w, str_of(text ? text : "[]"));
    free(text);
    json_decref(tools);
}

static void reasoning_write(const api_call *c, jsonw *w) {
    const char *effort = api_get_text(api_get(c->body, "reasoning"), "effort", NULL);
    jsonw_key(w, "reasoning");
    jsonw_object(w);
    jsonw_key(w, "effort");
    if (effort) jsonw_str(w, str_of(effort));
    else jsonw_null(w);
    jsonw_key(w, "summary");
    jsonw_null(w);
    jsonw_end(w);
}

/* What the client asked for, said back. */
static void echo_write(api_call *c, jsonw *w) {
    const response_state *s = c->state;
    copy_member(c, w, "instructions", "null");
    copy_member(c, w, "max_output_tokens", "null");
    copy_member(c, w, "metadata", "{}");
    copy_member(c, w, "parallel_tool_calls", "true");
    copy_member(c, w, "previous_response_id", "null");
    copy_member(c, w, "tool_choice", "\"auto\"");
    tools_write(c, w);
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
    reasoning_write(c, w);
    if (api_get(api_get(api_get(c->body, "text"), "format"), "type")) {
        copy_member(c, w, "text", "null");
        return;
    }
    jsonw_key(w, "text");
    jsonw_raw(w, STR("{\"format\":{\"type\":\"text\"}}"));
}

void response_write(api_call *c, jsonw *w, bool done) {
    const response_state *s = c->state;
    bool cut = done && is_cut(&c->choice[0]);
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
    for (int i = 0; done && i < s->n_items; i++) item_write(c, w, &s->item[i], true);
    jsonw_end(w);
    echo_write(c, w);
    if (done) {
        usage_write(c, w);
        api_notes_write(c, w);
    }
    jsonw_end(w);
}

json_t *response_message(const api_call *c) {
    const api_choice *ch = &c->choice[0];
    json_t *m = json_pack("{s:s, s:s#}", "role", "assistant", "content",
                          ch->text.data ? ch->text.data : "", ch->text.len);
    json_t *calls = ch->n_tools ? json_array() : NULL;
    bool ok = m && (calls || !ch->n_tools);
    if (ch->reasoning.len)
        ok = ok && json_object_set_new(m, "reasoning_content",
                                       json_stringn(ch->reasoning.data, ch->reasoning.len)) == 0;
    for (int i = 0; ok && i < ch->n_tools; i++) {
        const api_tool_call *t = &ch->tool[i];
        ok = json_array_append_new(calls,
                                   json_pack("{s:s, s:s, s:{s:s, s:s#}}", "id", t->id, "type",
                                             "function", "function", "name", t->name, "arguments",
                                             t->args.data ? t->args.data : "", t->args.len)) == 0;
    }
    if (calls) ok = ok && json_object_set(m, "tool_calls", calls) == 0;
    json_decref(calls);
    if (ok) return m;
    json_decref(m);
    return NULL;
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
    const response_state *s = c->state;
    jsonw w;
    event_open(c, &w, type);
    jsonw_key(&w, "output_index");
    jsonw_int(&w, s->n_items - 1);
    jsonw_key(&w, "item");
    item_write(c, &w, &s->item[s->n_items - 1], done);
    event_close(c, &w);
}

/* An event about the last item; with content also about its one part. */
static void last_open(api_call *c, jsonw *w, const char *type) {
    const response_state *s = c->state;
    const response_item *x = &s->item[s->n_items - 1];
    event_open(c, w, type);
    jsonw_key(w, "item_id");
    jsonw_str(w, str_of(x->id));
    jsonw_key(w, "output_index");
    jsonw_int(w, s->n_items - 1);
    if (x->kind == API_PIECE_TOOL_BEGIN) return;
    jsonw_key(w, "content_index");
    jsonw_int(w, 0);
}

static void event_part(api_call *c, const char *type, bool done) {
    const response_state *s = c->state;
    const response_item *x = &s->item[s->n_items - 1];
    jsonw w;
    last_open(c, &w, type);
    jsonw_key(&w, "part");
    part_write(&w, x, done ? text_of(c, x) : STR(""), done ? logprobs_of(c, x) : STR(""));
    event_close(c, &w);
}

static void event_text(api_call *c, const char *type, const char *key, str text) {
    jsonw w;
    last_open(c, &w, type);
    jsonw_key(&w, key);
    jsonw_str(&w, text);
    event_close(c, &w);
}

/* logprobs: the items of the array. */
static void event_message(api_call *c, const char *type, const char *key, str text, str logprobs) {
    jsonw w;
    last_open(c, &w, type);
    jsonw_key(&w, key);
    jsonw_str(&w, text);
    jsonw_key(&w, "logprobs");
    api_logprobs_write(&w, logprobs);
    event_close(c, &w);
}

static void call_done(api_call *c, const response_item *x) {
    const api_tool_call *t = call_of(c, x);
    jsonw w;
    if (response_is_custom(c, t->name)) { /* its text is known once all of it is there */
        char *input = response_custom_input(t);
        str text = str_of(input ? input : "");
        event_text(c, "response.custom_tool_call_input.delta", "delta", text);
        event_text(c, "response.custom_tool_call_input.done", "input", text);
        free(input);
        return;
    }
    last_open(c, &w, "response.function_call_arguments.done");
    jsonw_key(&w, "name");
    jsonw_str(&w, str_of(t->name));
    jsonw_key(&w, "arguments");
    jsonw_str(&w, buf_str(&t->args));
    event_close(c, &w);
}

/* The last item is complete. */
static void item_end(api_call *c) {
    response_state *s = c->state;
    const api_choice *ch = &c->choice[0];
    if (s->n_items == 0) return;
    response_item *x = &s->item[s->n_items - 1];
    x->logprobs_n = ch->extra.len - x->logprobs_from;
    s->logprobs_told = ch->extra.len;
    if (!c->stream) return;
    if (x->kind == API_PIECE_TOOL_BEGIN) {
        call_done(c, x);
    } else {
        if (x->kind == API_PIECE_REASONING)
            event_text(c, "response.reasoning_text.done", "text", text_of(c, x));
        else
            event_message(c, "response.output_text.done", "text", text_of(c, x), logprobs_of(c, x));
        event_part(c, "response.content_part.done", true);
    }
    event_item(c, "response.output_item.done", true);
}

static bool item_begin(api_call *c, api_piece_kind kind, int part) {
    response_state *s = c->state;
    if (s->n_items == s->cap_items) {
        int cap = s->cap_items ? 2 * s->cap_items : 8;
        response_item *more = arena_calloc(c->arena, (size_t)cap, sizeof *more);
        if (!more) {
            c->out.failed = true;
            return false;
        }
        if (s->n_items) memcpy(more, s->item, (size_t)s->n_items * sizeof *more);
        s->item = more;
        s->cap_items = cap;
    }
    response_item *x = &s->item[s->n_items++];
    *x = (response_item){.kind = kind, .part = part, .logprobs_from = s->logprobs_told};
    response_item_name(x->id, sizeof x->id,
                       kind == API_PIECE_TEXT        ? "msg"
                       : kind == API_PIECE_REASONING ? "rs"
                                                     : "fc",
                       c->id, s->n_items - 1);
    if (!c->stream) return true;
    event_item(c, "response.output_item.added", false);
    if (kind != API_PIECE_TOOL_BEGIN) event_part(c, "response.content_part.added", false);
    return true;
}

/* ---- the writer ---- */

static void begin(api_call *c) {
    event_response(c, "response.created", false);
    event_response(c, "response.in_progress", false);
}

static void delta(api_call *c, const api_choice *ch, const api_piece *p) {
    response_state *s = c->state;
    bool in_text = s->n_items && s->item[s->n_items - 1].kind == API_PIECE_TEXT;
    if (p->kind == API_PIECE_TEXT && in_text) {
        str rows = rows_from(ch, s->logprobs_told);
        if (p->text.n == 0 && rows.n == 0) return;
        event_message(c, "response.output_text.delta", "delta", p->text, rows);
        s->logprobs_told = ch->extra.len;
    } else if (p->text.n == 0) {
        return;
    } else if (p->kind == API_PIECE_REASONING) {
        event_text(c, "response.reasoning_text.delta", "delta", p->text);
    } else if (p->kind == API_PIECE_TOOL_ARGS && !response_is_custom(c, ch->tool[p->tool].name)) {
        event_text(c, "response.function_call_arguments.delta", "delta", p->text);
    }
}

static void piece(api_call *c, api_choice *ch, const api_piece *p) {
    const response_state *s = c->state;
    int last = s->n_items ? s->item[s->n_items - 1].part : -1;
    if (ch->n_parts - 1 > last) {
        item_end(c);
        if (!item_begin(c, ch->part[ch->n_parts - 1].kind, ch->n_parts - 1)) return;
    }
    if (s->logprobs && p->token && p->token->id >= 0) api_logprob_keep(c, ch, p->token, false);
    if (c->stream) delta(c, ch, p);
}

/* An answer ends with what was said or called, if only with an empty message. */
static void end(api_call *c, api_choice *ch) {
    const response_state *s = c->state;
    bool thinks = s->n_items && s->item[s->n_items - 1].kind == API_PIECE_REASONING;
    if (s->n_items == 0 || (thinks && !is_cut(ch))) {
        item_end(c);
        item_begin(c, API_PIECE_TEXT, -1);
    }
    item_end(c);
}

/* Keeps what was said, for previous_response_id. */
static void keep(api_call *c) {
    const response_state *s = c->state;
    if (!s->store) return;
    if (json_array_append_new(s->talk, response_message(c)) != 0) return;
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

static void finish(api_call *c) {
    jsonw w;
    keep(c);
    if (c->stream) {
        event_response(c, is_cut(&c->choice[0]) ? "response.incomplete" : "response.completed",
                       true);
        return;
    }
    jsonw_init(&w, &c->out);
    response_write(c, &w, true);
}

const api_writer response_writer = {.begin = begin, .piece = piece, .end = end, .finish = finish};
