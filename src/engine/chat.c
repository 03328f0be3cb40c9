/* Conversations through the public API: the prompt room's rendering for an opened model. */
#include <jansson.h>
#include <stdlib.h>

#include "base/limits.h"
#include "engine/engine_private.h"

_Static_assert((int)HEARTH_CHAT_SYSTEM == (int)PROMPT_CAN_SYSTEM &&
                   (int)HEARTH_CHAT_TOOLS == (int)PROMPT_CAN_TOOLS &&
                   (int)HEARTH_CHAT_THINK == (int)PROMPT_CAN_THINK,
               "abilities are the same inside");

const char *hearth_chat_family(const hearth_model *m) {
    return m->chat ? prompt_chat_name(m->chat) : NULL;
}

unsigned hearth_chat_abilities(const hearth_model *m) {
    return m->chat ? prompt_chat_abilities(m->chat) : 0;
}

const char *hearth_chat_problem(const hearth_model *m) {
    return m->chat ? prompt_chat_problem(m->chat) : NULL;
}

hearth_chat hearth_chat_default(void) {
    return (hearth_chat){.answer = true, .think = -1};
}

static bool render(const hearth_model *m, const prompt_request *q, prompt_text *out, err *e) {
    if (!m->chat) return err_set(e, ERR_FAILED, "the model has no tokenizer");
    return prompt_chat_render(m->chat, q, out, e);
}

/* ---- conversations in JSON ---- */

/* *out NULL when there is none. */
static bool read_json(const char *text, size_t n, const char *what, bool object, json_t **out,
                      err *e) {
    json_error_t je;
    *out = NULL;
    if (!text) return true;
    if (n > LIMIT_JSON_BYTES)
        return err_set(e, ERR_NO_FIT, "%s have %zu MB, at most %u fit", what, n >> 20,
                       LIMIT_JSON_BYTES >> 20);
    *out = json_loadb(text, n, JSON_ALLOW_NUL, &je);
    if (!*out) return err_set(e, ERR_USAGE, "%s: %s", what, je.text);
    if (object ? json_is_object(*out) : json_is_array(*out)) return true;
    return err_set(e, ERR_USAGE, "%s must be an %s", what, object ? "object" : "array");
}

bool hearth_chat_render(const hearth_model *m, const hearth_chat *c, hearth_chat_prompt *out,
                        hearth_err *e) {
    err inner = {0};
    prompt_text text;
    tok_ids ids = {0};
    prompt_request q = {.template = c->chat_template,
                        .open_answer = c->answer,
                        .continue_last = c->continue_final,
                        .think = c->think,
                        .effort = c->effort,
                        .now = c->now};
    *out = (hearth_chat_prompt){0};
    prompt_text_init(&text);
    bool ok = read_json(c->messages, c->messages_len, "messages", false, &q.messages, &inner) &&
              read_json(c->tools, c->tools_len, "tools", false, &q.tools, &inner) &&
              read_json(c->kwargs, c->kwargs_len, "kwargs", true, &q.kwargs, &inner) &&
              render(m, &q, &text, &inner) &&
              prompt_encode(&text, model_tok(m->inner), &ids, &inner);
    if (ok) {
        out->text = buf_take(&text.text, &out->text_len);
        out->ids = ids.id; /* plain memory: hearth_free is free */
        out->n_ids = ids.n;
        if (!out->text) ok = err_set(&inner, ERR_NO_FIT, "out of memory");
    }
    if (!ok) tok_ids_deinit(&ids);
    prompt_text_deinit(&text);
    json_decref(q.messages);
    json_decref(q.tools);
    json_decref(q.kwargs);
    return ok || engine_err_out(e, &inner);
}

void hearth_chat_prompt_free(hearth_chat_prompt *p) {
    free(p->ids);
    free(p->text);
    *p = (hearth_chat_prompt){0};
}

/* ---- plain conversations ---- */

/* Texts of people may hold any bytes; they are carried as they are. */
static json_t *messages_of(const hearth_message *messages, size_t n) {
    json_t *out = json_array();
    for (size_t i = 0; out && i < n; i++) {
        json_t *m = json_object();
        json_object_set_new(m, "role",
                            json_stringn_nocheck(messages[i].role, strlen(messages[i].role)));
        json_object_set_new(m, "content",
                            json_stringn_nocheck(messages[i].text, strlen(messages[i].text)));
        if (json_array_append_new(out, m) == 0) continue;
        json_decref(out);
        out = NULL;
    }
    return out;
}

static bool render_plain(const hearth_model *m, const hearth_message *messages, size_t n,
                         bool answer, prompt_text *out, err *e) {
    json_t *list = messages_of(messages, n);
    if (!list) return err_set(e, ERR_NO_FIT, "out of memory");
    bool ok = render(m, &(prompt_request){.messages = list, .open_answer = answer, .think = -1},
                     out, e);
    json_decref(list);
    return ok;
}

bool hearth_chat_tokenize(const hearth_model *m, const hearth_message *messages, size_t n,
                          bool answer, int32_t **ids, size_t *n_ids, hearth_err *e) {
    err inner = {0};
    prompt_text text;
    tok_ids out = {0};
    prompt_text_init(&text);
    bool ok = render_plain(m, messages, n, answer, &text, &inner) &&
              prompt_encode(&text, model_tok(m->inner), &out, &inner);
    prompt_text_deinit(&text);
    if (!ok) {
        tok_ids_deinit(&out);
        engine_err_out(e, &inner);
        return false;
    }
    *ids = out.id; /* plain memory: hearth_free is free */
    *n_ids = out.n;
    return true;
}

bool hearth_chat_text(const hearth_model *m, const hearth_message *messages, size_t n, bool answer,
                      char **text, size_t *len, hearth_err *e) {
    err inner = {0};
    prompt_text out;
    prompt_text_init(&out);
    bool ok = render_plain(m, messages, n, answer, &out, &inner);
    if (ok) {
        *text = buf_take(&out.text, len);
        if (!*text) ok = err_set(&inner, ERR_NO_FIT, "out of memory");
    }
    prompt_text_deinit(&out);
    if (!ok) engine_err_out(e, &inner);
    return ok;
}
