/* Conversations through the public API: the prompt room's rendering for an opened model. */
#include <stdlib.h>
#include <time.h>

#include "engine/engine_private.h"
#include "prompt/prompt.h"

static void prompt_of(const hearth_model *m, prompt *p) {
    prompt_init_file(p, model_gguf(m->inner), model_tok(m->inner));
}

const char *hearth_chat_family(const hearth_model *m) {
    prompt p;
    if (!model_tok(m->inner)) return NULL;
    prompt_of(m, &p);
    return p.family ? prompt_family_name(p.family) : NULL;
}

static bool render(const hearth_model *m, const hearth_message *messages, size_t n, bool answer,
                   prompt_text *out, err *e) {
    prompt p;
    if (!model_tok(m->inner)) return err_set(e, ERR_FAILED, "the model has no tokenizer");
    prompt_of(m, &p);
    prompt_message *view = calloc(n + 1, sizeof *view);
    if (!view) return err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < n; i++)
        view[i] = (prompt_message){str_of(messages[i].role), str_of(messages[i].text)};
    bool ok = prompt_render(
        &p, view, n, &(prompt_how){.open_answer = answer, .now = (int64_t)time(NULL)}, out, e);
    free(view);
    return ok;
}

bool hearth_chat_tokenize(const hearth_model *m, const hearth_message *messages, size_t n,
                          bool answer, int32_t **ids, size_t *n_ids, hearth_err *e) {
    err inner = {0};
    prompt_text text;
    tok_ids out = {0};
    prompt_text_init(&text);
    bool ok = render(m, messages, n, answer, &text, &inner) &&
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
    bool ok = render(m, messages, n, answer, &out, &inner);
    if (ok) {
        *text = buf_take(&out.text, len);
        if (!*text) ok = err_set(&inner, ERR_FAILED, "out of memory");
    }
    prompt_text_deinit(&out);
    if (!ok) engine_err_out(e, &inner);
    return ok;
}
