/* Filling in the middle: which tokens a vocabulary has for it, and the prompt. */
#include "api/infill.h"

#include "api/ids.h"

/* The names that families of models gave these tokens. */
static const char *const before_names[] = {
    "<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>",    "<｜fim▁begin｜>",
    "▁<PRE>",         "<PRE>",        "<|code_prefix|>", NULL};
static const char *const after_names[] = {
    "<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>",    "<｜fim▁hole｜>",
    "▁<SUF>",         "<SUF>",        "<|code_suffix|>", NULL};
static const char *const here_names[] = {
    "<|fim_middle|>", "<fim_middle>", "<fim-middle>",    "<｜fim▁end｜>",
    "▁<MID>",         "<MID>",        "<|code_middle|>", NULL};
static const char *const repo_names[] = {"<|repo_name|>", "<|fim_repo|>", "<repo_name>",
                                         "<fim-repo>",    "<reponame>",   NULL};
static const char *const file_names[] = {"<|file_sep|>", "<file_sep>", NULL};

static int32_t token_named(const hearth_model *m, const char *const *names) {
    for (; *names; names++) {
        int32_t *ids, id;
        size_t n;
        if (!hearth_tokenize(m, *names, strlen(*names), HEARTH_TOK_SPECIAL, &ids, &n, NULL))
            continue;
        id = n == 1 ? ids[0] : -1;
        hearth_free(ids);
        if (id >= 0) return id;
    }
    return -1;
}

bool infill_tokens_find(const hearth_model *m, infill_tokens *out) {
    out->before = token_named(m, before_names);
    out->after = token_named(m, after_names);
    out->here = token_named(m, here_names);
    out->repo = token_named(m, repo_names);
    out->file = token_named(m, file_names);
    return out->before >= 0 && out->after >= 0 && out->here >= 0;
}

static bool text_add(api_call *c, api_prompt *p, str text, api_error *e) {
    return text.n == 0 || api_ids_add_text(c, p, text, 0, "prompt", e);
}

static bool id_add(api_prompt *p, int32_t id, api_error *e) {
    return id < 0 || api_ids_append(p, &id, 1) || api_no_memory(e);
}

/* Other files go first, each behind the token for a file where there is one. */
static bool extra_add(api_call *c, api_prompt *p, const infill_tokens *t, const infill_text *x,
                      api_error *e) {
    if (x->n_extra == 0) return true;
    if (!id_add(p, t->repo, e) || (t->repo >= 0 && !text_add(c, p, STR("myproject\n"), e)))
        return false;
    for (size_t i = 0; i < x->n_extra; i++) {
        bool ok = id_add(p, t->file, e) && text_add(c, p, x->extra[i].name, e) &&
                  text_add(c, p, STR("\n"), e) && text_add(c, p, x->extra[i].text, e) &&
                  text_add(c, p, STR("\n"), e);
        if (!ok) return false;
    }
    return t->file < 0 || (id_add(p, t->file, e) && text_add(c, p, STR("filename\n"), e));
}

bool infill_prompt(api_call *c, const infill_text *x, api_prompt *out, api_error *e) {
    infill_tokens t;
    api_prompt p = {0};
    if (!infill_tokens_find(resident_model(c->model), &t))
        return api_fail(e, 501, "not_supported", "suffix",
                        "\"%s\" cannot fill in: its vocabulary has no tokens for the text before "
                        "and after a gap",
                        c->model_name);
    bool ok = api_ids_add_text(c, &p, STR(""), HEARTH_TOK_BOS, "prompt", e) &&
              extra_add(c, &p, &t, x, e) && id_add(&p, t.before, e) &&
              text_add(c, &p, x->before, e) && id_add(&p, t.after, e) &&
              text_add(c, &p, x->after, e) && id_add(&p, t.here, e) && text_add(c, &p, x->begun, e);
    if (ok) *out = p;
    else hearth_free(p.ids);
    return ok;
}
