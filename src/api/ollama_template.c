/* /api/generate with a template of its own: Ollama's language, run by src/prompt. What the template
 * says may be control tokens; what it was given never is. */
#include <stdlib.h>

#include "api/ids.h"
#include "api/ollama.h"
#include "prompt/gotmpl.h"

static size_t run_length(const jinja_result *r, size_t from) {
    size_t n = 0;
    if (!r->mark) return r->text.n - from;
    while (from + n < r->text.n && r->mark[from + n] == r->mark[from]) n++;
    return n;
}

static bool is_given(const jinja_result *r, size_t at) {
    return r->mark ? r->mark[at] : r->content;
}

/* Whether a text spells a control token; also when memory is short. */
static bool spells_control(api_call *c, str text) {
    const hearth_model *m = resident_model(c->model);
    int32_t *a = NULL, *b = NULL;
    size_t n = 0, k = 0;
    bool same = hearth_tokenize(m, text.p, text.n, 0, &a, &n, NULL) &&
                hearth_tokenize(m, text.p, text.n, HEARTH_TOK_SPECIAL, &b, &k, NULL) && n == k &&
                (n == 0 || memcmp(a, b, n * sizeof *a) == 0);
    hearth_free(a);
    hearth_free(b);
    return !same;
}

/* In one piece where that is safe: then words go over from the template into what it was given as
 * the model has learnt them. */
static bool text_encode(api_call *c, const jinja_result *r, api_prompt *out, api_error *e) {
    bool safe = true, ok = api_ids_add_text(c, out, STR(""), HEARTH_TOK_BOS, "template", e);
    for (size_t at = 0, n; safe && at < r->text.n; at += n) {
        n = run_length(r, at);
        safe = !is_given(r, at) || !spells_control(c, (str){r->text.p + at, n});
    }
    if (safe) return ok && api_ids_add_text(c, out, r->text, HEARTH_TOK_SPECIAL, "template", e);
    for (size_t at = 0, n; ok && at < r->text.n; at += n) {
        n = run_length(r, at);
        ok = api_ids_add_text(c, out, (str){r->text.p + at, n},
                              is_given(r, at) ? 0 : HEARTH_TOK_SPECIAL, "template", e);
    }
    return ok;
}

/* A template that writes what begins every text itself. */
static void drop_second_begin(api_call *c, api_prompt *p) {
    hearth_model_info info;
    hearth_model_info_get(resident_model(c->model), &info);
    if (p->n < 2 || info.bos < 0 || p->ids[0] != info.bos || p->ids[1] != info.bos) return;
    memmove(p->ids, p->ids + 1, --p->n * sizeof *p->ids);
}

bool ollama_template_prompt(api_call *c, json_t *messages, api_prompt *out, api_error *e) {
    err why = {0};
    jinja_result r;
    api_prompt p = {0};
    json_t *vars = json_pack("{sO}", "messages", messages);
    gotmpl *t = gotmpl_parse(str_of(api_get_text(c->body, "template", "")), &why);
    bool ok = vars && t && gotmpl_render_chat(t, &(jinja_how){.vars = vars}, &r, &why);
    gotmpl_free(t);
    json_decref(vars);
    if (!ok) return api_fail(e, 400, "invalid_value", "template", "template: %s", why.msg);
    ok = text_encode(c, &r, &p, e);
    jinja_result_deinit(&r);
    if (!ok) {
        hearth_free(p.ids);
        return false;
    }
    drop_second_begin(c, &p);
    *out = p;
    return true;
}
