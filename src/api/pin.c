/* See pin.h. */
#include "api/pin.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"

/* What the file says, as an object with "messages"; NULL: *e says why. */
static json_t *conversation_of(str text, err *e) {
    size_t at = 0;
    while (at < text.n && (text.p[at] == ' ' || text.p[at] == '\n' || text.p[at] == '\r')) at++;
    if (at == text.n || (text.p[at] != '{' && text.p[at] != '[')) {
        if (text.n && text.p[text.n - 1] == '\n') text.n--; /* an editor's, not the prompt's */
        json_t *j = json_pack("{s:[{s:s,s:s%}]}", "messages", "role", "system", "content", text.p,
                              text.n);
        if (!j) err_set(e, ERR_DAMAGED, "it is not UTF-8");
        return j;
    }
    json_error_t je;
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &je);
    if (!j) {
        err_set(e, ERR_DAMAGED, "line %d: %s", je.line, je.text);
        return NULL;
    }
    if (json_is_array(j)) j = json_pack("{s:o}", "messages", j);
    const json_t *messages = json_object_get(j, "messages"), *tools = json_object_get(j, "tools");
    if (json_array_size(messages) > 0 && (!tools || json_is_array(tools))) return j;
    err_set(e, ERR_DAMAGED, "a list \"messages\" is wanted, and \"tools\" may be one");
    json_decref(j);
    return NULL;
}

/* The conversation with one more message of the user's, as tokens. */
static bool render(hearth_model *m, const json_t *conversation, const char *says,
                   hearth_chat_prompt *out, err *e) {
    hearth_err he = {0};
    hearth_chat c = hearth_chat_default();
    json_t *messages = json_copy(json_object_get(conversation, "messages"));
    json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "user", "content", says));
    const json_t *tools = json_object_get(conversation, "tools");
    char *text = json_dumps(messages, JSON_COMPACT);
    char *tools_text = tools ? json_dumps(tools, JSON_COMPACT) : NULL;
    json_decref(messages);
    bool ok = text && (tools_text || !tools);
    if (ok) {
        c.messages = text, c.messages_len = strlen(text);
        c.tools = tools_text, c.tools_len = tools_text ? strlen(tools_text) : 0;
        ok = hearth_chat_render(m, &c, out, &he);
        if (!ok) err_set(e, he.code, "%s", he.msg);
    } else err_set(e, ERR_NO_FIT, "out of memory");
    free(text);
    free(tools_text);
    return ok;
}

static bool pin_conversation(hearth_model *m, hearth_engine *g, const json_t *c,
                             const hearth_lora_use *lora, size_t n_lora, size_t *n_tokens, err *e) {
    hearth_chat_prompt a = {0}, b = {0};
    hearth_err he = {0};
    size_t n = 0;
    bool ok = render(m, c, "1", &a, e) && render(m, c, "Why?", &b, e);
    while (ok && n < a.n_ids && n < b.n_ids && a.ids[n] == b.ids[n]) n++;
    if (ok && !hearth_engine_pin(g, a.ids, n, lora, n_lora, &he))
        ok = err_set(e, he.code, "%s", he.msg);
    *n_tokens = n;
    hearth_chat_prompt_free(&a);
    hearth_chat_prompt_free(&b);
    return ok;
}

bool pin_file(hearth_model *m, hearth_engine *g, const char *path, const hearth_lora_use *lora,
              size_t n_lora, size_t *n_tokens, err *e) {
    buf text;
    buf_init(&text, LIMIT_JSON_BYTES);
    json_t *c = NULL;
    bool ok = file_read(&text, path, e);
    if (ok && !hearth_chat_family(m))
        ok = err_set(e, ERR_USAGE, "the model has no chat template, so no prompt that all share");
    ok = ok && (c = conversation_of(buf_str(&text), e)) &&
         pin_conversation(m, g, c, lora, n_lora, n_tokens, e);
    if (!ok) err_wrap(e, "%s cannot be published", path);
    json_decref(c);
    buf_deinit(&text);
    return ok;
}
