/* Structured answers: from what a dialect's body asks for to the grammar that the engine obeys. */
#include <stdlib.h>

#include "api/call.h"

bool api_obey_text(api_call *c, hearth_grammar_kind kind, const char *text, size_t len,
                   const char *param, hearth_params *p, api_error *e) {
    hearth_err he = {0};
    if (c->grammar)
        return api_fail(e, 400, "invalid_value", param, "%s: one form is enough", param);
    c->grammar = hearth_grammar_new(kind, text, len, &he);
    p->grammar = c->grammar;
    if (c->grammar) return true;
    if (he.code == HEARTH_USAGE)
        return api_fail(e, 400, "unsupported_value", param, "%s: %s", param, he.msg);
    return api_fail(e, 503, "out_of_memory", param, "%s: %s", param, he.msg);
}

bool api_obey_schema(api_call *c, const json_t *schema, const char *param, hearth_params *p,
                     api_error *e) {
    if (!schema) return api_obey_text(c, HEARTH_GRAMMAR_JSON_OBJECT, NULL, 0, param, p, e);
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return api_fail(e, 503, "out_of_memory", param, "out of memory");
    bool ok = api_obey_text(c, HEARTH_GRAMMAR_JSON_SCHEMA, text, strlen(text), param, p, e);
    free(text);
    return ok;
}
