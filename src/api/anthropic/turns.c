/* Anthropic's conversations in OpenAI's shape, which the models' templates take.
 *
 * A message's blocks are gathered: texts are joined by line breaks, thoughts and calls of tools go
 * into members of their own, and what a tool gave becomes a message of its own, in its place.
 * Messages of one role that follow each other become one, as Anthropic says; many templates take
 * nothing else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/anthropic/anthropic.h"
#include "base/limits.h"

typedef struct gathered { /* of one message */
    json_t *list;         /* where messages go; borrowed */
    const char *role;
    buf text, thought;
    json_t *calls; /* NULL: none */
} gathered;

/* ---- out ---- */

static void text_add(buf *b, str s) {
    if (b->len && s.n) buf_putc(b, '\n');
    buf_put_str(b, s);
}

static bool is_plain(const json_t *m, const char *role) {
    return strcmp(api_get_text(m, "role", ""), role) == 0 && json_object_size(m) == 2;
}

/* Whether a text went into the last message, because that is one of the same role. */
static bool joined(json_t *list, const char *role, const buf *text) {
    json_t *last = json_array_get(list, json_array_size(list) - 1);
    buf both;
    if (!last || !is_plain(last, role)) return false;
    const json_t *before = api_get(last, "content");
    buf_init(&both, LIMIT_CALL_BYTES);
    buf_append(&both, json_string_value(before), json_string_length(before));
    text_add(&both, buf_str(text));
    bool ok = !both.failed &&
              json_object_set_new(last, "content",
                                  json_stringn(both.data ? both.data : "", both.len)) == 0;
    buf_deinit(&both);
    return ok;
}

static bool set_text(json_t *m, const char *name, const buf *text) {
    return json_object_set_new(m, name, json_stringn(text->data ? text->data : "", text->len)) == 0;
}

/* Ends a message: what was gathered goes to the list. */
static bool flush(gathered *g, api_error *e) {
    bool plain = !g->thought.len && !g->calls;
    if (g->text.failed || g->thought.failed) return api_no_memory(e);
    if (!plain || !joined(g->list, g->role, &g->text)) {
        json_t *m = json_pack("{s:s}", "role", g->role);
        bool ok = m && set_text(m, "content", &g->text);
        if (g->thought.len) ok = ok && set_text(m, "reasoning_content", &g->thought);
        if (g->calls) ok = ok && json_object_set(m, "tool_calls", g->calls) == 0;
        ok = ok && json_array_append(g->list, m) == 0;
        json_decref(m);
        if (!ok) return api_no_memory(e);
    }
    buf_clear(&g->text);
    return true;
}

/* ---- in ---- */

/* A member that a block of its type must have. */
static const json_t *member(const json_t *block, const char *name, const char *where,
                            api_error *e) {
    char param[192];
    const json_t *v = api_get(block, name);
    if (v) return v;
    snprintf(param, sizeof param, "%s.%s", where, name);
    api_fail(e, 400, "missing_field", param, "%s is missing", param);
    return NULL;
}

static bool text_member(buf *out, const json_t *block, const char *name, const char *where,
                        api_error *e) {
    const json_t *v = member(block, name, where, e);
    if (!v) return false;
    text_add(out, (str){json_string_value(v), json_string_length(v)});
    return true;
}

static bool other_kind(const char *type, const char *where, api_error *e) {
    char shown[60];
    return api_fail(e, 400, "unsupported_content", where, "%s: this model takes text, not %s",
                    where, str_printable(str_of(type), shown, sizeof shown));
}

/* Content that is a text, or blocks that are texts. */
static bool texts_add(buf *out, const json_t *content, const char *where, api_error *e) {
    size_t i;
    json_t *block;
    if (json_is_string(content))
        text_add(out, (str){json_string_value(content), json_string_length(content)});
    if (!json_is_array(content)) return true;
    json_array_foreach(content, i, block) {
        char at[160];
        const char *type = api_get_text(block, "type", "");
        snprintf(at, sizeof at, "%s[%zu]", where, i);
        if (strcmp(type, "text") != 0) return other_kind(type, at, e);
        if (!text_member(out, block, "text", at, e)) return false;
    }
    return true;
}

static bool call_add(gathered *g, const json_t *block, const char *where, api_error *e) {
    const json_t *name = member(block, "name", where, e);
    const json_t *id = name ? member(block, "id", where, e) : NULL;
    if (!id) return false;
    json_t *input = api_get(block, "input");
    char *args = input ? json_dumps(input, JSON_COMPACT) : strdup("{}");
    bool ok = args != NULL;
    if (ok) {
        json_t *call = json_pack("{s:O, s:s, s:{s:O, s:s}}", "id", id, "type", "function",
                                 "function", "name", name, "arguments", args);
        if (!g->calls) g->calls = json_array();
        ok = g->calls && json_array_append_new(g->calls, call) == 0;
    }
    free(args);
    return ok || api_no_memory(e);
}

static bool result_add(gathered *g, const json_t *block, const char *where, api_error *e) {
    char at[120];
    const json_t *id = member(block, "tool_use_id", where, e), *content = api_get(block, "content");
    snprintf(at, sizeof at, "%s.content", where);
    if (!id) return false;
    if (g->text.len && !flush(g, e)) return false;
    buf text;
    buf_init(&text, LIMIT_CALL_BYTES);
    /* templates know of results alone, not whether they are good */
    if (api_get_bool(block, "is_error", false)) buf_puts(&text, "Error: ");
    json_t *m = json_pack("{s:s, s:O}", "role", "tool", "tool_call_id", id);
    bool ok = texts_add(&text, content, at, e) &&
              ((!text.failed && m && set_text(m, "content", &text) &&
                json_array_append(g->list, m) == 0) ||
               api_no_memory(e));
    json_decref(m);
    buf_deinit(&text);
    return ok;
}

static bool block_add(gathered *g, const json_t *block, const char *where, api_error *e) {
    const char *type = api_get_text(block, "type", "");
    bool answers = strcmp(g->role, "assistant") == 0;
    if (strcmp(type, "text") == 0) return text_member(&g->text, block, "text", where, e);
    if (strcmp(type, "tool_result") == 0 && !answers) return result_add(g, block, where, e);
    if (strcmp(type, "tool_use") == 0 && answers) return call_add(g, block, where, e);
    if (strcmp(type, "thinking") == 0 && answers)
        return text_member(&g->thought, block, "thinking", where, e);
    if (strcmp(type, "redacted_thinking") == 0 && answers) return true; /* nobody can read it */
    return other_kind(type, where, e);
}

static bool blocks_add(gathered *g, const json_t *content, const char *where, api_error *e) {
    size_t i;
    json_t *block;
    size_t before = json_array_size(g->list);
    json_array_foreach(content, i, block) {
        char at[96];
        snprintf(at, sizeof at, "%s[%zu]", where, i);
        if (!block_add(g, block, at, e)) return false;
    }
    /* what tools gave has gone already: an empty message after it would be one too many */
    bool nothing_left = !g->text.len && json_array_size(g->list) > before;
    return nothing_left || flush(g, e);
}

static bool message_add(json_t *list, const json_t *m, size_t i, api_error *e) {
    gathered g = {.list = list, .role = api_get_text(m, "role", "user")};
    char where[60];
    const json_t *content = api_get(m, "content");
    snprintf(where, sizeof where, "messages[%zu].content", i);
    buf_init(&g.text, LIMIT_CALL_BYTES);
    buf_init(&g.thought, LIMIT_CALL_BYTES);
    bool ok = json_is_array(content) ? blocks_add(&g, content, where, e)
                                     : texts_add(&g.text, content, where, e) && flush(&g, e);
    buf_deinit(&g.text);
    buf_deinit(&g.thought);
    json_decref(g.calls);
    return ok;
}

/* ---- the system prompt ---- */

/* Claude Code puts a line first that is another one for each request: what follows it would never
 * be found in the cache. It is for billing, not for the model. */
static str without_attribution(str s) {
    if (!str_starts(s, STR("x-anthropic-billing-header:"))) return s;
    const char *end = memchr(s.p, '\n', s.n);
    size_t skip = end ? (size_t)(end - s.p) + 1 : s.n;
    while (skip < s.n && s.p[skip] == '\n') skip++;
    return (str){s.p + skip, s.n - skip};
}

static bool system_add(json_t *list, const json_t *system, api_error *e) {
    buf text;
    size_t i;
    json_t *block;
    bool ok = true;
    buf_init(&text, LIMIT_CALL_BYTES);
    if (json_is_string(system))
        text_add(&text,
                 without_attribution((str){json_string_value(system), json_string_length(system)}));
    json_array_foreach(system, i, block) {
        char at[60];
        const char *type = api_get_text(block, "type", "");
        snprintf(at, sizeof at, "system[%zu]", i);
        if (strcmp(type, "text") != 0) ok = other_kind(type, at, e);
        const json_t *v = ok ? member(block, "text", at, e) : NULL;
        if (!(ok = v != NULL)) break;
        text_add(&text, without_attribution((str){json_string_value(v), json_string_length(v)}));
    }
    if (ok && text.len) {
        json_t *m = json_pack("{s:s}", "role", "system");
        ok = (!text.failed && m && set_text(m, "content", &text) &&
              json_array_append(list, m) == 0) ||
             api_no_memory(e);
        json_decref(m);
    }
    buf_deinit(&text);
    return ok;
}

json_t *anthropic_turns(const json_t *body, api_error *e) {
    json_t *list = json_array(), *m;
    size_t i;
    bool ok = (list || api_no_memory(e)) && system_add(list, api_get(body, "system"), e);
    json_array_foreach(api_get(body, "messages"), i, m) {
        if (!ok) break;
        ok = message_add(list, m, i, e);
    }
    if (ok) return list;
    json_decref(list);
    return NULL;
}
