/* See chat_shape.h. */
#include "prompt/chat_shape.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"

/* ---- trying a template ---- */

static bool source_mentions(str source, const char *word) {
    return str_find(source, str_of(word), 0) != (size_t)-1;
}

/* Whether these messages render, with the needle in the text. */
static bool renders(const jinja *t, json_t *own, json_t *messages, json_t *tools,
                    const char *needle) {
    jinja_result r;
    struct tm now = {.tm_year = 126, .tm_mon = 0, .tm_mday = 1};
    json_t *vars = json_pack("{s:O, s:b}", "messages", messages, "add_generation_prompt", 0);
    if (!vars) return false;
    if (tools) json_object_set(vars, "tools", tools);
    bool found = jinja_render(
        t, &(jinja_how){.vars = vars, .own = own, .now = &now, .changeable = true}, &r, NULL);
    if (found) {
        found = !needle || str_find(r.text, str_of(needle), 0) != (size_t)-1;
        jinja_result_deinit(&r);
    }
    json_decref(vars);
    return found;
}

static bool tried(const jinja *t, json_t *own, const char *json, const char *needle) {
    json_t *messages = json_loads(json, 0, NULL);
    bool yes = messages && renders(t, own, messages, NULL, needle);
    json_decref(messages);
    return yes;
}

/* A question, a call with these arguments, and its result. */
static bool tried_call(const jinja *t, json_t *own, const char *content, const char *arguments,
                       const char *needle) {
    static const char form[] =
        "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":%s,"
        "\"tool_calls\":[{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":%s}}]},{\"role\":\"tool\",\"name\":\"f\",\"tool_call_id\":\"call00001\","
        "\"content\":\"r\"}]";
    static const char tool[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}}}}}]";
    buf text;
    buf_init(&text, 4096);
    buf_printf(&text, form, content, arguments);
    json_t *messages = text.data ? json_loads(text.data, 0, NULL) : NULL;
    json_t *tools = json_loads(tool, 0, NULL);
    bool yes = messages && tools && renders(t, own, messages, tools, needle);
    json_decref(messages);
    json_decref(tools);
    buf_deinit(&text);
    return yes;
}

static const char *thought_field(str source) {
    static const char *const fields[] = {"reasoning_content", "message.thinking", "reasoning"};
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (source_mentions(source, fields[i])) return names[i];
    return "reasoning_content";
}

void chat_shape_find(chat_shape *s, const jinja *t, str source, json_t *own) {
    *s = (chat_shape){.thought = thought_field(source)};
    s->has_tools = jinja_mentions(t, "tools");
    s->has_think = jinja_mentions(t, "enable_thinking") || jinja_mentions(t, "thinking") ||
                   jinja_mentions(t, "reasoning_effort");
    s->has_developer = source_mentions(source, "developer");
    s->wants_parts = !tried(t, own, "[{\"role\":\"user\",\"content\":\"needle-1\"}]", "needle-1") &&
                     tried(t, own,
                           "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                           "\"needle-1\"}]}]",
                           "needle-1");
    const char *with_system =
        s->wants_parts
            ? "[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"needle-2\"}]},"
              "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"needle-1\"}]}]"
            : "[{\"role\":\"system\",\"content\":\"needle-2\"},{\"role\":\"user\",\"content\":"
              "\"needle-1\"}]";
    s->merges_system = !tried(t, own, with_system, "needle-2");
    if (!s->has_tools) return;
    const char *object = "{\"k\":\"needle-3\"}", *text = "\"{\\\"k\\\":\\\"needle-3\\\"}\"";
    bool takes_object = tried_call(t, own, "\"\"", object, "needle-3");
    if (!takes_object && tried_call(t, own, "null", object, "needle-3"))
        takes_object = s->wants_null = true;
    if (takes_object) return;
    s->args_as_text = tried_call(t, own, "\"\"", text, "needle-3");
    if (!s->args_as_text && tried_call(t, own, "null", text, "needle-3"))
        s->args_as_text = s->wants_null = true;
}

/* ---- messages ---- */

static bool bad_message(err *e, size_t i, const char *what) {
    return err_set(e, ERR_USAGE, "messages[%zu]%s", i, what);
}

/* The text parts of a list, one after the other; NULL where there are others too. */
static json_t *joined_parts(json_t *parts) {
    size_t i;
    json_t *part, *out = NULL;
    buf text;
    bool plain = true;
    buf_init(&text, LIMIT_TEXT_BYTES);
    json_array_foreach(parts, i, part) {
        json_t *s = json_is_string(part) ? part : json_object_get(part, "text");
        if (!json_is_string(s)) plain = false;
        else if (text.len > 0) buf_putc(&text, '\n');
        if (plain) buf_append(&text, json_string_value(s), json_string_length(s));
    }
    if (plain && !text.failed) out = json_stringn_nocheck(text.data ? text.data : "", text.len);
    buf_deinit(&text);
    return out;
}

static bool set_content(const chat_shape *s, json_t *m, bool calls) {
    json_t *content = json_object_get(m, "content"), *now = NULL;
    if (json_is_array(content)) {
        now = joined_parts(content);
        if (!now) return true; /* pictures and the like: as they are */
        json_object_set_new(m, "content", now);
    } else if (!content || json_is_null(content)) {
        json_object_set_new(m, "content",
                            calls && s->wants_null ? json_null() : json_stringn("", 0));
    }
    content = json_object_get(m, "content");
    if (!s->wants_parts || !json_is_string(content)) return true;
    now = json_pack("[{s:s, s:O}]", "type", "text", "text", content);
    return now && json_object_set_new(m, "content", now) == 0;
}

/* Arguments come as text; most templates want the object that it stands for. */
static void set_arguments(const chat_shape *s, json_t *m) {
    size_t i;
    json_t *call;
    json_array_foreach(json_object_get(m, "tool_calls"), i, call) {
        json_t *f = json_object_get(call, "function"), *args = json_object_get(f, "arguments");
        if (s->args_as_text && args && !json_is_string(args)) {
            char *text = json_dumps(args, JSON_ENCODE_ANY);
            if (text) json_object_set_new(f, "arguments", json_string(text));
            free(text);
        } else if (!s->args_as_text && json_is_string(args)) {
            json_t *object = json_loadb(json_string_value(args), json_string_length(args),
                                        JSON_ALLOW_NUL, NULL);
            if (json_is_object(object)) json_object_set(f, "arguments", object);
            json_decref(object);
        }
    }
}

static void set_thought(const chat_shape *s, json_t *m) {
    json_t *thought = json_object_get(m, "reasoning_content");
    if (!json_is_string(thought)) thought = json_object_get(m, "reasoning");
    if (!json_is_string(thought) || !s->thought) return;
    json_incref(thought);
    json_object_del(m, "reasoning");
    json_object_set(m, s->thought, thought);
    json_decref(thought);
}

/* Puts the system text that was held back in front of this message's. */
static bool merge_held(const chat_shape *s, json_t *m, buf *held) {
    json_t *content = json_object_get(m, "content");
    if (s->wants_parts && json_is_array(content)) {
        json_t *part = json_pack("{s:s, s:s%}", "type", "text", "text", held->data, held->len);
        return part && json_array_insert_new(content, 0, part) == 0;
    }
    if (!json_is_string(content)) return true;
    buf_append(held, json_string_value(content), json_string_length(content));
    json_t *both = held->failed ? NULL : json_stringn_nocheck(held->data, held->len);
    return both && json_object_set_new(m, "content", both) == 0;
}

static bool hold_back(json_t *m, buf *held) {
    json_t *content = json_object_get(m, "content");
    if (json_is_array(content)) content = json_object_get(json_array_get(content, 0), "text");
    buf_append(held, json_string_value(content), json_string_length(content));
    return buf_puts(held, "\n\n");
}

/* One message into out, or held back for the next one. */
static bool add_message(const chat_shape *s, json_t *given, size_t i, json_t *out, buf *held,
                        err *e) {
    const char *role = json_string_value(json_object_get(given, "role"));
    if (!json_is_object(given)) return bad_message(e, i, " is no object");
    if (!role) return bad_message(e, i, ".role is missing");
    json_t *content = json_object_get(given, "content");
    if (content && !json_is_string(content) && !json_is_array(content) && !json_is_null(content))
        return bad_message(e, i, ".content is neither text nor a list of parts");
    json_t *m = json_deep_copy(given);
    if (!m) return err_set(e, ERR_NO_FIT, "out of memory");
    if (!s->has_developer && strcmp(role, "developer") == 0)
        json_object_set_new(m, "role", json_string("system"));
    role = json_string_value(json_object_get(m, "role"));
    bool ok = set_content(s, m, json_array_size(json_object_get(m, "tool_calls")) > 0);
    set_arguments(s, m);
    set_thought(s, m);
    if (s->merges_system && strcmp(role, "system") == 0) {
        ok = ok && hold_back(m, held);
    } else {
        if (held->len > 0 && strcmp(role, "user") == 0) {
            ok = ok && merge_held(s, m, held);
            buf_clear(held);
        }
        ok = ok && json_array_append(out, m) == 0;
    }
    json_decref(m);
    return ok || err_set(e, ERR_NO_FIT, "out of memory");
}

json_t *chat_shape_messages(const chat_shape *s, json_t *messages, err *e) {
    json_t *out = json_array(), *m;
    size_t i;
    buf held;
    buf_init(&held, LIMIT_TEXT_BYTES);
    bool ok = out != NULL;
    json_array_foreach(messages, i, m) {
        if (!ok) break;
        ok = add_message(s, m, i, out, &held, e);
    }
    if (ok && held.len > 2) { /* no user message came after it */
        json_t *last = json_pack("{s:s, s:s%}", "role", "user", "content", held.data, held.len - 2);
        if (last && s->wants_parts) set_content(s, last, false);
        ok = last && json_array_append_new(out, last) == 0;
    }
    buf_deinit(&held);
    if (ok) return out;
    json_decref(out);
    return NULL;
}
