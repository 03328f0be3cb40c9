/* Structured answers: from what a dialect's body asks for to the grammar that the engine obeys.
 * What was compiled is kept, each owner's for itself: how long it takes tells nobody what others
 * ask for. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "base/limits.h"

static void grammar_free_value(void *value) {
    hearth_grammar_free(value);
}

shelf *grammars_new(void) {
    return shelf_new(LIMIT_GRAMMARS_BYTES, grammar_free_value);
}

void api_obey_end(api_call *c) {
    if (!c->grammar) return;
    shelf_back(c->api->grammars, c->grammar, hearth_grammar_bytes(shelf_value(c->grammar)));
    c->grammar = NULL;
}

/* A grammar's name on the shelf: what kind it is, and a sum of its text. */
static void key_of(hearth_grammar_kind kind, const char *text, size_t len, char *key, size_t cap) {
    unsigned char sum[crypto_generichash_BYTES];
    char hex[2 * sizeof sum + 1];
    crypto_generichash(sum, sizeof sum, (const unsigned char *)text, text ? len : 0, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, sum, sizeof sum);
    snprintf(key, cap, "%d:%s", (int)kind, hex);
}

static shelf_item *grammar_get(api_call *c, hearth_grammar_kind kind, const char *text, size_t len,
                               hearth_err *he) {
    char key[96];
    key_of(kind, text, len, key, sizeof key);
    shelf_item *i = shelf_take(c->api->grammars, c->key.owner, key);
    if (i) return i;
    hearth_grammar *g = hearth_grammar_new(kind, text, len, he);
    if (!g) return NULL;
    i = shelf_put(c->api->grammars, c->key.owner, key, g, hearth_grammar_bytes(g));
    if (!i) *he = (hearth_err){.code = HEARTH_FAILED, .msg = "out of memory"};
    return i;
}

bool api_obey_text(api_call *c, hearth_grammar_kind kind, const char *text, size_t len,
                   const char *param, hearth_params *p, api_error *e) {
    hearth_err he = {0};
    if (c->grammar)
        return api_fail(e, 400, "invalid_value", param, "%s: one form is enough", param);
    c->grammar = grammar_get(c, kind, text, len, &he);
    p->grammar = c->grammar ? shelf_value(c->grammar) : NULL;
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
