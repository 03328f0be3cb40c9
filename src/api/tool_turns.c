/* Calls of earlier turns, and what came of them: as templates want them, or as text. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer/words.h"
#include "api/tools.h"
#include "base/buf.h"
#include "base/limits.h"

static bool has_role(const json_t *m, const char *role) {
    return strcmp(api_get_text(m, "role", ""), role) == 0;
}

static bool set_text(json_t *o, const char *key, const char *text) {
    return json_object_set_new(o, key, json_string(text)) == 0;
}

/* ---- calls ---- */

/* {"function_call": {..}} was OpenAI's first form. */
static bool legacy_call(json_t *m) {
    json_t *f = api_get(m, "function_call");
    if (!f || api_get(m, "tool_calls")) return true;
    json_t *calls = json_pack("[{s:s, s:O}]", "type", "function", "function", f);
    return calls && json_object_set_new(m, "tool_calls", calls) == 0 &&
           json_object_del(m, "function_call") == 0;
}

/* Arguments that are no object (an answer that was cut short) stay readable as one. */
static bool arguments_settle(json_t *f) {
    json_t *args = api_get(f, "arguments"), *read = NULL;
    if (json_is_object(args)) return true;
    if (json_is_string(args))
        read = json_loadb(json_string_value(args), json_string_length(args), JSON_ALLOW_NUL, NULL);
    bool fine = json_is_object(read);
    json_decref(read);
    if (fine) return true;
    if (!args || (json_is_string(args) && json_string_length(args) == 0))
        return set_text(f, "arguments", "{}");
    json_t *kept = json_pack("{s:O}", "arguments", args);
    char *text = kept ? json_dumps(kept, JSON_COMPACT) : NULL;
    bool ok = text && set_text(f, "arguments", text);
    free(text);
    json_decref(kept);
    return ok;
}

static bool calls_settle(json_t *m, size_t *n_named) {
    json_t *call;
    size_t i;
    json_array_foreach(api_get(m, "tool_calls"), i, call) {
        char id[32];
        snprintf(id, sizeof id, "call_%zu", ++*n_named);
        if (!api_get(call, "type") && !set_text(call, "type", "function")) return false;
        if (!api_get(call, "id") && !set_text(call, "id", id)) return false;
        if (!arguments_settle(api_get(call, "function"))) return false;
    }
    return true;
}

/* ---- results ---- */

static const char *call_name(const json_t *call) {
    return api_get_text(api_get(call, "function"), "name", "");
}

/* Which call a result belongs to: by its id; without one by the name, the first that has no result
 * yet; without either the first. n: none. */
static size_t call_of(json_t *calls, const json_t *result, const bool *taken) {
    size_t i, n = json_array_size(calls);
    const char *id = api_get_text(result, "tool_call_id", NULL);
    const char *name = api_get_text(result, "name", NULL);
    for (i = 0; i < n; i++) {
        const json_t *call = json_array_get(calls, i);
        bool fits = id     ? strcmp(api_get_text(call, "id", ""), id) == 0
                    : name ? strcmp(call_name(call), name) == 0
                           : true;
        if (fits && (id || !taken[i])) return i;
    }
    return n;
}

static bool result_name(json_t *result, const json_t *call) {
    if (!api_get(result, "tool_call_id") &&
        json_object_set(result, "tool_call_id", api_get(call, "id")) != 0)
        return false;
    return api_get(result, "name") || set_text(result, "name", call_name(call));
}

typedef struct placed {
    json_t *result; /* owned */
    size_t call, at;
} placed;

static int by_call(const void *a, const void *b) {
    const placed *x = a, *y = b;
    if (x->call != y->call) return x->call < y->call ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The results [from, to) that follow a message with calls. */
static bool results_settle(json_t *messages, json_t *calls, size_t from, size_t to) {
    placed *list = calloc(to - from + 1, sizeof *list);
    bool *taken = calloc(json_array_size(calls) + 1, sizeof *taken), ok = list && taken;
    for (size_t i = from; ok && i < to; i++) {
        json_t *result = json_array_get(messages, i);
        size_t k = call_of(calls, result, taken);
        if (k < json_array_size(calls)) {
            taken[k] = true;
            ok = result_name(result, json_array_get(calls, k));
        }
        list[i - from] = (placed){json_incref(result), k, i};
    }
    if (ok) qsort(list, to - from, sizeof *list, by_call);
    for (size_t i = from; list && i < to; i++) {
        if (ok) ok = json_array_set(messages, i, list[i - from].result) == 0;
        json_decref(list[i - from].result);
    }
    free(list);
    free(taken);
    return ok;
}

bool tool_turns_settle(json_t *messages, api_error *e) {
    size_t n = json_array_size(messages), n_named = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        json_t *m = json_array_get(messages, i);
        if (has_role(m, "function")) ok = set_text(m, "role", "tool");
        if (has_role(m, "assistant")) ok = legacy_call(m) && calls_settle(m, &n_named);
    }
    for (size_t i = 0, to; ok && i < n; i = to) {
        json_t *calls = api_get(json_array_get(messages, i), "tool_calls");
        for (to = i + 1; to < n && has_role(json_array_get(messages, to), "tool");) to++;
        if (json_array_size(calls) > 0) ok = results_settle(messages, calls, i + 1, to);
    }
    return ok || api_no_memory(e);
}

/* ---- short ids ---- */

static bool id_shorten(json_t *o, const char *key) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned char sum[crypto_generichash_BYTES];
    const json_t *id = api_get(o, key);
    char name[10] = {0};
    size_t n = json_string_length(id);
    if (!json_is_string(id) || (n == 9 && strspn(json_string_value(id), letters) == 9)) return true;
    crypto_generichash(sum, sizeof sum, (const unsigned char *)json_string_value(id), n, NULL, 0);
    for (size_t i = 0; i < 9; i++) name[i] = letters[sum[i] % 62];
    return set_text(o, key, name);
}

bool tool_ids_shorten(json_t *messages) {
    json_t *m, *call;
    size_t i, k;
    json_array_foreach(messages, i, m) {
        if (!id_shorten(m, "tool_call_id")) return false;
        json_array_foreach(api_get(m, "tool_calls"), k, call) {
            if (!id_shorten(call, "id")) return false;
        }
    }
    return true;
}

/* ---- as text ---- */

static void content_add(buf *b, const json_t *content) {
    const json_t *part;
    size_t i;
    if (json_is_string(content))
        buf_append(b, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part) {
        const json_t *s = json_is_string(part) ? part : api_get(part, "text");
        if (json_is_string(s)) buf_append(b, json_string_value(s), json_string_length(s));
    }
}

static bool set_content(json_t *m, const buf *b) {
    return !b->failed &&
           json_object_set_new(m, "content", json_stringn(b->data ? b->data : "", b->len)) == 0;
}

static bool calls_as_text(json_t *m, const answer_format *f) {
    json_t *call;
    size_t i;
    buf text;
    buf_init(&text, LIMIT_CALL_BYTES);
    content_add(&text, api_get(m, "content"));
    json_array_foreach(api_get(m, "tool_calls"), i, call) {
        const json_t *args = api_get(api_get(call, "function"), "arguments");
        char *dumped = json_is_string(args) ? NULL : json_dumps(args, JSON_COMPACT);
        if (text.len) buf_putc(&text, '\n');
        answer_call_text(f, str_of(call_name(call)),
                         dumped ? str_of(dumped) : str_of(json_string_value(args)), &text);
        free(dumped);
    }
    bool ok = set_content(m, &text) && json_object_del(m, "tool_calls") == 0;
    buf_deinit(&text);
    return ok;
}

/* The results [from, to) become one message of the user's, in the place of the first. */
static bool results_as_text(json_t *messages, size_t from, size_t *to) {
    buf text;
    buf_init(&text, LIMIT_CALL_BYTES);
    for (size_t i = from; i < *to; i++) {
        const json_t *m = json_array_get(messages, i);
        if (text.len) buf_putc(&text, '\n');
        buf_printf(&text, "Result of %s: ", api_get_text(m, "name", "the tool"));
        content_add(&text, api_get(m, "content"));
    }
    /* what the user says next belongs to the same turn */
    json_t *next = json_array_get(messages, *to);
    if (next && has_role(next, "user")) {
        buf_puts(&text, "\n\n");
        content_add(&text, api_get(next, "content"));
        ++*to;
    }
    json_t *m = json_pack("{s:s}", "role", "user");
    bool ok = m && set_content(m, &text) && json_array_set(messages, from, m) == 0;
    json_decref(m);
    buf_deinit(&text);
    while (ok && *to > from + 1) ok = json_array_remove(messages, --*to) == 0;
    return ok;
}

/* What tools there are goes behind what the system says. */
static bool tools_as_text(json_t *messages, const answer_format *f, const json_t *tools) {
    json_t *first = json_array_get(messages, 0);
    bool has_system = has_role(first, "system") || has_role(first, "developer");
    buf text;
    buf_init(&text, LIMIT_CALL_BYTES);
    if (has_system) content_add(&text, api_get(first, "content"));
    if (text.len) buf_puts(&text, "\n\n");
    answer_tools_text(f, tools, &text);
    bool ok = true;
    if (!has_system)
        ok = json_array_insert_new(messages, 0, json_pack("{s:s}", "role", "system")) == 0;
    ok = ok && set_content(json_array_get(messages, 0), &text);
    buf_deinit(&text);
    return ok;
}

bool tool_turns_as_text(json_t *messages, const answer_format *f, const json_t *tools,
                        api_error *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(messages); i++) {
        json_t *m = json_array_get(messages, i);
        if (has_role(m, "assistant") && json_array_size(api_get(m, "tool_calls")) > 0) {
            ok = calls_as_text(m, f);
        } else if (has_role(m, "tool")) {
            size_t to = i + 1;
            while (has_role(json_array_get(messages, to), "tool")) to++;
            ok = results_as_text(messages, i, &to);
        }
    }
    if (json_array_size(tools) > 0) ok = ok && tools_as_text(messages, f, tools);
    return ok || api_no_memory(e);
}
