/* Items of a conversation, as /v1/responses has them, and messages, as templates take them. What
 * the assistant thought, said and called without somebody else between is one message. */
#include <stdio.h>
#include <stdlib.h>

#include "api/openai/responses.h"
#include "base/limits.h"

/* ---- names ---- */

#define NAME "resp_"

void response_item_name(char *dst, size_t cap, const char *prefix, const char *response, int at) {
    snprintf(dst, cap, "%s_%s_%d", prefix, response + sizeof NAME - 1, at);
}

bool response_of_item(const char *name, char *response, size_t cap) {
    const char *from = strchr(name, '_'), *to = strrchr(name, '_');
    if (!from || to <= from + 1) return false;
    int n = snprintf(response, cap, NAME "%.*s", (int)(to - from - 1), from + 1);
    return n > 0 && (size_t)n < cap;
}

/* ---- in ---- */

static bool message_add(json_t *talk, const char *role, const char *text, api_error *e) {
    json_t *m = json_pack("{s:s, s:s}", "role", role, "content", text);
    return (m && json_array_append_new(talk, m) == 0) || api_no_memory(e);
}

/* The message that the assistant's next item belongs to; NULL: out of memory. */
static json_t *assistant_of(json_t *talk) {
    json_t *last = json_array_get(talk, json_array_size(talk) - 1);
    if (strcmp(api_get_text(last, "role", ""), "assistant") == 0) return last;
    json_t *m = json_pack("{s:s, s:s}", "role", "assistant", "content", "");
    return m && json_array_append_new(talk, m) == 0 ? m : NULL;
}

/* Adds to a text of a message, on a new line. */
static bool member_add(json_t *m, const char *key, const char *text) {
    const char *before = api_get_text(m, key, "");
    buf both;
    buf_init(&both, LIMIT_CALL_BYTES);
    buf_puts(&both, before);
    if (*before && *text) buf_putc(&both, '\n');
    buf_puts(&both, text);
    bool ok = !both.failed &&
              json_object_set_new(m, key, json_stringn(both.data ? both.data : "", both.len)) == 0;
    buf_deinit(&both);
    return ok;
}

static bool message_read(api_call *c, json_t *talk, const json_t *item, const char *where,
                         api_error *e) {
    char at[80];
    const char *role = api_get_text(item, "role", NULL), *text;
    snprintf(at, sizeof at, "%s.role", where);
    if (!role) return api_fail(e, 400, "missing_field", at, "%s is missing", at);
    snprintf(at, sizeof at, "%s.content", where);
    if (!api_content_text(c, api_get(item, "content"), at, &text, e)) return false;
    if (strcmp(role, "assistant") != 0)
        return message_add(talk, strcmp(role, "developer") == 0 ? "system" : role, text, e);
    json_t *m = assistant_of(talk);
    return (m && member_add(m, "content", text)) || api_no_memory(e);
}

/* Its own text where it has one, else the summary. What is encrypted nobody can read. */
static bool thought_read(json_t *talk, const json_t *item, api_error *e) {
    const json_t *list = api_get(item, "content"), *part;
    size_t i;
    if (json_array_size(list) == 0) list = api_get(item, "summary");
    if (json_array_size(list) == 0) return true;
    json_t *m = assistant_of(talk);
    bool ok = m != NULL;
    json_array_foreach(list, i, part)
        ok = ok && member_add(m, "reasoning_content", api_get_text(part, "text", ""));
    return ok || api_no_memory(e);
}

static const char *member(const json_t *item, const char *key, const char *where, api_error *e) {
    char at[80];
    const char *text = api_get_text(item, key, NULL);
    snprintf(at, sizeof at, "%s.%s", where, key);
    if (!text) api_fail(e, 400, "missing_field", at, "%s is missing", at);
    return text;
}

static bool call_read(json_t *talk, const json_t *item, bool custom, const char *where,
                      api_error *e) {
    const char *id = member(item, "call_id", where, e);
    const char *name = id ? member(item, "name", where, e) : NULL;
    const char *given = name ? member(item, custom ? "input" : "arguments", where, e) : NULL;
    if (!given) return false;
    json_t *input = custom ? json_pack("{s:s}", RESPONSE_CUSTOM_INPUT, given) : NULL;
    char *args = input ? json_dumps(input, JSON_COMPACT) : strdup(given);
    json_t *m = assistant_of(talk), *calls = api_get(m, "tool_calls");
    if (m && !calls) {
        calls = json_array();
        if (json_object_set_new(m, "tool_calls", calls) != 0) calls = NULL;
    }
    bool ok = calls && args &&
              json_array_append_new(calls, json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", id, "type",
                                                     "function", "function", "name", name,
                                                     "arguments", args)) == 0;
    free(args);
    json_decref(input);
    return ok || api_no_memory(e);
}

static bool result_read(api_call *c, json_t *talk, const json_t *item, const char *where,
                        api_error *e) {
    char at[80];
    const char *id = member(item, "call_id", where, e), *text;
    snprintf(at, sizeof at, "%s.output", where);
    if (!id || !api_content_text(c, api_get(item, "output"), at, &text, e)) return false;
    json_t *m = json_pack("{s:s, s:s, s:s}", "role", "tool", "tool_call_id", id, "content", text);
    return (m && json_array_append_new(talk, m) == 0) || api_no_memory(e);
}

bool response_item_read(api_call *c, json_t *talk, const json_t *item, const char *where,
                        api_error *e) {
    char shown[60], at[80];
    const char *type = api_get_text(item, "type", "message");
    if (strcmp(type, "message") == 0) return message_read(c, talk, item, where, e);
    if (strcmp(type, "reasoning") == 0) return thought_read(talk, item, e);
    if (strcmp(type, "function_call") == 0) return call_read(talk, item, false, where, e);
    if (strcmp(type, "custom_tool_call") == 0) return call_read(talk, item, true, where, e);
    if (strcmp(type, "function_call_output") == 0 || strcmp(type, "custom_tool_call_output") == 0)
        return result_read(c, talk, item, where, e);
    snprintf(at, sizeof at, "%s.type", where);
    return api_fail(e, 400, "unsupported_value", at,
                    "%s: items of type \"%s\" cannot be given to this model", at,
                    str_printable(str_of(type), shown, sizeof shown));
}

/* ---- out ---- */

static bool item_put(json_t *list, json_t *item, const char *prefix, const char *id) {
    char name[160];
    snprintf(name, sizeof name, "%s_%s_%zu", prefix, id, json_array_size(list));
    return item && json_object_set_new(item, "id", json_string(name)) == 0 &&
           json_array_append_new(list, item) == 0;
}

static json_t *thought_item(const json_t *text) {
    return json_pack("{s:s, s:[], s:[{s:s, s:O}]}", "type", "reasoning", "summary", "content",
                     "type", "reasoning_text", "text", text);
}

static json_t *message_item(const json_t *m) {
    const json_t *text = api_get(m, "content");
    bool own = strcmp(api_get_text(m, "role", ""), "assistant") == 0;
    json_t *part = json_pack("{s:s, s:O}", "type", own ? "output_text" : "input_text", "text",
                             text);
    if (own && part) {
        json_object_set_new(part, "annotations", json_array());
        json_object_set_new(part, "logprobs", json_array());
    }
    return json_pack("{s:s, s:s, s:O, s:[o]}", "type", "message", "status", "completed", "role",
                     api_get(m, "role"), "content", part);
}

static json_t *call_item(const json_t *call) {
    const json_t *f = api_get(call, "function");
    return json_pack("{s:s, s:s, s:O, s:O, s:O}", "type", "function_call", "status", "completed",
                     "call_id", api_get(call, "id"), "name", api_get(f, "name"), "arguments",
                     api_get(f, "arguments"));
}

static json_t *result_item(const json_t *m) {
    return json_pack("{s:s, s:s, s:O, s:O}", "type", "function_call_output", "status", "completed",
                     "call_id", api_get(m, "tool_call_id"), "output", api_get(m, "content"));
}

static bool message_items(json_t *list, const json_t *m, const char *id) {
    const json_t *call, *calls = api_get(m, "tool_calls"), *thought;
    size_t i;
    bool ok = true;
    if (strcmp(api_get_text(m, "role", ""), "tool") == 0)
        return item_put(list, result_item(m), "fco", id);
    if ((thought = api_get(m, "reasoning_content")))
        ok = item_put(list, thought_item(thought), "rs", id);
    if (*api_get_text(m, "content", "") || json_array_size(calls) == 0)
        ok = ok && item_put(list, message_item(m), "msg", id);
    json_array_foreach(calls, i, call) ok = ok && item_put(list, call_item(call), "fc", id);
    return ok;
}

json_t *response_items(const json_t *talk, const char *id) {
    json_t *list = json_array(), *m;
    size_t i;
    bool ok = list != NULL;
    json_array_foreach(talk, i, m) ok = ok && message_items(list, m, id);
    if (ok) return list;
    json_decref(list);
    return NULL;
}
