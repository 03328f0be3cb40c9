/* Token numbers from JSON. */
#include "api/ids.h"

#include <stdlib.h>

#include "base/limits.h"

bool api_ids_append(api_prompt *p, const int32_t *ids, size_t n) {
    int32_t *grown = realloc(p->ids, (p->n + n + 1) * sizeof *grown);
    if (!grown) return false;
    if (n) memcpy(grown + p->n, ids, n * sizeof *ids);
    p->ids = grown;
    p->n += n;
    return true;
}

/* The number of an item; false, with *e, when it is no token. */
static bool id_read(const json_t *v, const char *name, size_t i, int32_t n_vocab, int32_t *out,
                    api_error *e) {
    double x = json_is_number(v) ? json_number_value(v) : -1;
    if (!(x >= 0 && x < n_vocab) || x != (double)(int32_t)x)
        return api_fail(e, 400, "invalid_value", name,
                        "%s: item %zu is no token of the vocabulary, 0 to %d", name, i,
                        n_vocab - 1);
    *out = (int32_t)x;
    return true;
}

bool api_ids_prompt(api_call *c, const json_t *v, const char *name, api_prompt *out, api_error *e) {
    size_t n = json_array_size(v);
    int32_t *ids = calloc(n + 1, sizeof *ids);
    if (!ids) return api_no_memory(e);
    *out = (api_prompt){ids, n};
    if (api_ids_read(c, v, name, ids, e)) return true;
    free(ids);
    *out = (api_prompt){0};
    return false;
}

bool api_ids_add_text(api_call *c, api_prompt *p, str text, unsigned flags, const char *name,
                      api_error *e) {
    hearth_err he = {0};
    int32_t *ids;
    size_t n;
    if (!hearth_tokenize(resident_model(c->model), text.p, text.n, flags, &ids, &n, &he))
        return api_fail(e, 400, "invalid_value", name, "%s", he.msg);
    bool ok = api_ids_append(p, ids, n);
    hearth_free(ids);
    return ok || api_no_memory(e);
}

bool api_ids_prompt_mixed(api_call *c, const json_t *v, const char *name, unsigned flags,
                          api_prompt *out, api_error *e) {
    hearth_model_info info;
    hearth_model_info_get(resident_model(c->model), &info);
    const json_t *item;
    size_t i;
    bool ok = true;
    *out = (api_prompt){0};
    json_array_foreach(v, i, item) {
        int32_t id;
        str text = {json_string_value(item), json_string_length(item)};
        unsigned mine = i ? flags & ~(unsigned)HEARTH_TOK_BOS : flags;
        if (json_is_string(item)) ok = api_ids_add_text(c, out, text, mine, name, e);
        else
            ok = id_read(item, name, i, info.n_vocab, &id, e) &&
                 (api_ids_append(out, &id, 1) || api_no_memory(e));
        if (!ok) break;
    }
    if (ok) return true;
    free(out->ids);
    *out = (api_prompt){0};
    return false;
}

bool api_prompts_new(api_call *c, size_t n, api_prompt **out, api_error *e) {
    if (n > LIMIT_CHOICES)
        return api_fail(e, 400, "too_long", "prompt", "%zu prompts; at most %d in one call", n,
                        LIMIT_CHOICES);
    *out = arena_calloc(c->arena, n, sizeof **out);
    return *out || api_no_memory(e);
}

bool api_ids_text(api_call *c, const api_prompt *p, str *out, api_error *e) {
    char *text;
    size_t n;
    if (!hearth_detokenize(resident_model(c->model), p->ids, p->n, true, &text, &n, NULL))
        return api_no_memory(e);
    *out = (str){arena_strdup(c->arena, (str){text, n}), n};
    hearth_free(text);
    return out->p || api_no_memory(e);
}
