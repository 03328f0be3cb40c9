/* Saving and loading a chat. */
#include "cli/repl_file.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/samplers.h"

bool repl_file_save(const chat *c, const char *path, err *e) {
    buf b;
    jsonw w;
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw_init(&w, &b);
    w.pretty = true;
    jsonw_object(&w);
    jsonw_key(&w, "hearth_chat"), jsonw_int(&w, 1);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(c->model_name));
    jsonw_key(&w, "system"), jsonw_str(&w, str_of(c->system ? c->system : ""));
    jsonw_key(&w, "parameters");
    jsonw_object(&w);
    for (int i = 0; i < samplers_count(); i++) {
        char value[32];
        bool changed;
        samplers_get(&c->params, i, value, sizeof value, &changed);
        if (changed) jsonw_key(&w, samplers_name(i)), jsonw_str(&w, str_of(value));
    }
    jsonw_end(&w);
    jsonw_key(&w, "stop");
    jsonw_array(&w);
    for (int i = 0; i < c->n_stop; i++) jsonw_str(&w, str_of(c->stop[i]));
    jsonw_end(&w);
    jsonw_key(&w, "messages");
    jsonw_array(&w);
    for (int i = 0; i < c->n_messages; i++) {
        jsonw_object(&w);
        jsonw_key(&w, "role"), jsonw_str(&w, str_of(c->message[i].role));
        jsonw_key(&w, "content"), jsonw_str(&w, str_of(c->message[i].text));
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    buf_putc(&b, '\n');
    bool ok = !b.failed ||
              err_set(e, ERR_NO_FIT, "the chat is larger than %u MB", LIMIT_JSON_BYTES >> 20);
    ok = ok && file_replace(path, b.data, b.len, 0600, e);
    buf_deinit(&b);
    return ok;
}

/* Reads j into an empty chat that holds settings and messages only. */
static bool read_chat(chat *c, json_t *j, const char *path, err *e) {
    size_t i;
    const char *key;
    json_t *v;
    if (!json_is_object(j) || !json_is_integer(json_object_get(j, "hearth_chat")) ||
        !json_is_array(json_object_get(j, "messages")))
        return err_set(e, ERR_DAMAGED, "%s: is no saved chat", path);
    if (!chat_set_system(c, json_string_value(json_object_get(j, "system")), e)) return false;
    json_object_foreach(json_object_get(j, "parameters"), key, v) {
        if (!json_is_string(v))
            return err_set(e, ERR_DAMAGED, "%s: the parameter %s is no text", path, key);
        if (!samplers_set(&c->params, key, json_string_value(v), e)) return err_wrap(e, "%s", path);
        if (strcmp(key, "seed") == 0) c->seed_given = true;
    }
    json_array_foreach(json_object_get(j, "stop"), i, v) {
        if (!json_is_string(v) || !chat_add_stop(c, json_string_value(v), e))
            return err_set(e, ERR_DAMAGED, "%s: stop string %zu is not usable", path, i + 1);
    }
    json_array_foreach(json_object_get(j, "messages"), i, v) {
        const char *role = json_string_value(json_object_get(v, "role"));
        const char *text = json_string_value(json_object_get(v, "content"));
        bool known = role && (strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0);
        if (!known || !text)
            return err_set(e, ERR_DAMAGED, "%s: message %zu lacks its role or content", path,
                           i + 1);
        if (!chat_push(c, role, text, strlen(text), e)) return false;
    }
    return true;
}

bool repl_file_load(chat *c, const char *path, err *e) {
    buf b;
    chat fresh;
    json_error_t where;
    chat_init(&fresh);
    buf_init(&b, LIMIT_JSON_BYTES);
    json_t *j = NULL;
    bool ok = file_read(&b, path, e);
    if (ok && !(j = json_loadb(b.data ? b.data : "", b.len, JSON_REJECT_DUPLICATES, &where)))
        ok = err_set(e, ERR_DAMAGED, "%s: line %d: %s", path, where.line, where.text);
    ok = ok && read_chat(&fresh, j, path, e);
    if (ok) {
        chat_clear(c);
        chat_clear_stops(c);
        free(c->message);
        free(c->system);
        c->message = fresh.message, c->n_messages = fresh.n_messages,
        c->cap_messages = fresh.cap_messages;
        c->system = fresh.system;
        c->stop = fresh.stop, c->n_stop = fresh.n_stop;
        fresh.params.n_logprobs = c->params.n_logprobs;
        fresh.params.ignore_eos = c->params.ignore_eos;
        c->params = fresh.params;
        c->seed_given = fresh.seed_given;
        fresh = (chat){0};
    }
    chat_deinit(&fresh);
    json_decref(j);
    buf_deinit(&b);
    return ok;
}
