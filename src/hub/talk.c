#include "hub/talk.h"

#include <stdio.h>
#include <stdlib.h>

#include "hub/make.h"
#include "template/gotmpl.h"

bool hub_talk_wins(const hub_recipe *r, const hearth_model *m) {
    if (!r || !r->template || !*r->template) return false;
    return r->template_own || !hearth_chat_family(m);
}

typedef struct ids_list {
    int32_t *id; /* owned */
    size_t n;
} ids_list;

static bool from_hearth(err *e, const hearth_err *he) {
    return err_set(e, (err_code)he->code, "%s", he->msg);
}

static bool text_add(const hearth_model *m, ids_list *l, str text, unsigned flags, err *e) {
    int32_t *more = NULL;
    size_t n = 0;
    hearth_err he = {0};
    if (!hearth_tokenize(m, text.p, text.n, flags, &more, &n, &he)) return from_hearth(e, &he);
    int32_t *grown = realloc(l->id, (l->n + n + 1) * sizeof *grown);
    if (grown) {
        l->id = grown;
        if (n) memcpy(l->id + l->n, more, n * sizeof *more);
        l->n += n;
    }
    hearth_free(more);
    return grown || err_set(e, ERR_NO_FIT, "out of memory");
}

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
static bool spells_control(const hearth_model *m, str text) {
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
static bool result_encode(const hearth_model *m, const jinja_result *r, ids_list *l, err *e) {
    bool safe = true, ok = text_add(m, l, STR(""), HEARTH_TOK_BOS, e);
    for (size_t at = 0, n; safe && at < r->text.n; at += n) {
        n = run_length(r, at);
        safe = !is_given(r, at) || !spells_control(m, (str){r->text.p + at, n});
    }
    if (safe) return ok && text_add(m, l, r->text, HEARTH_TOK_SPECIAL, e);
    for (size_t at = 0, n; ok && at < r->text.n; at += n) {
        n = run_length(r, at);
        ok = text_add(m, l, (str){r->text.p + at, n}, is_given(r, at) ? 0 : HEARTH_TOK_SPECIAL, e);
    }
    return ok;
}

/* A template that writes what begins every text itself. */
static void drop_second_begin(const hearth_model *m, ids_list *l) {
    hearth_model_info info;
    hearth_model_info_get(m, &info);
    if (l->n < 2 || info.bos < 0 || l->id[0] != info.bos || l->id[1] != info.bos) return;
    memmove(l->id, l->id + 1, --l->n * sizeof *l->id);
}

static bool go_encode(const hearth_model *m, const char *template, const json_t *messages,
                      const json_t *tools, const hearth_chat *how, hearth_chat_prompt *out,
                      err *e) {
    jinja_result r;
    ids_list l = {0};
    json_t *vars = json_pack("{sO}", "messages", (json_t *)messages);
    if (vars && tools) json_object_set(vars, "tools", (json_t *)tools);
    if (vars && how && how->think >= 0)
        json_object_set_new(vars, "think", json_boolean(how->think));
    gotmpl *t = gotmpl_parse(str_of(template), e);
    bool ok = vars && t && gotmpl_render_chat(t, &(jinja_how){.vars = vars}, &r, e);
    gotmpl_free(t);
    json_decref(vars);
    if (!ok) return err_wrap(e, "template");
    ok = result_encode(m, &r, &l, e);
    if (ok) drop_second_begin(m, &l);
    out->text = ok ? strndup(r.text.p, r.text.n) : NULL;
    out->text_len = r.text.n;
    jinja_result_deinit(&r);
    out->ids = l.id;
    out->n_ids = l.n;
    return out->text || (ok && err_set(e, ERR_NO_FIT, "out of memory"));
}

bool hub_talk_encode(const hearth_model *m, const char *template, const json_t *messages,
                     const json_t *tools, const hearth_chat *how, hearth_chat_prompt *out, err *e) {
    *out = (hearth_chat_prompt){0};
    if (!hub_template_is_jinja(template)) {
        if (go_encode(m, template, messages, tools, how, out, e)) return true;
        hearth_chat_prompt_free(out);
        return false;
    }
    hearth_chat chat = how ? *how : hearth_chat_default();
    hearth_err he = {0};
    char *text = json_dumps(messages, JSON_COMPACT);
    char *with = tools ? json_dumps(tools, JSON_COMPACT) : NULL;
    bool ok = text && (with || !tools);
    chat.messages = text;
    chat.messages_len = text ? strlen(text) : 0;
    chat.tools = with;
    chat.tools_len = with ? strlen(with) : 0;
    chat.chat_template = template;
    if (!ok) err_set(e, ERR_NO_FIT, "out of memory");
    else if (!(ok = hearth_chat_render(m, &chat, out, &he))) from_hearth(e, &he);
    free(text);
    free(with);
    return ok;
}
