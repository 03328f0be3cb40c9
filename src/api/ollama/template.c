/* /api/generate with a template of its own, in Ollama's language. */
#include "api/ollama/ollama.h"
#include "hub/talk.h"

bool ollama_template_prompt(api_call *c, json_t *messages, api_prompt *out, api_error *e) {
    err why = {0};
    hearth_chat_prompt p;
    const char *template = api_get_text(c->body, "template", "");
    if (!hub_talk_encode(resident_model(c->model), template, messages, NULL, NULL, &p, &why))
        return api_fail(e, 400, "invalid_value", "template", "%s", why.msg);
    *out = (api_prompt){p.ids, p.n_ids};
    p.ids = NULL;
    hearth_chat_prompt_free(&p);
    return true;
}
