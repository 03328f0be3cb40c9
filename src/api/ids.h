/* Prompts that hold token numbers: arrays of them, and arrays in which texts and numbers mix.
 *
 *     api_prompt p;
 *     if (!api_ids_prompt(c, api_get(c->body, "tokens"), "tokens", &p, &e)) ...
 *     hearth_free(p.ids);
 */
#ifndef HEARTH_API_IDS_H
#define HEARTH_API_IDS_H

#include "api/call.h"

/* An array of token numbers of c->model's vocabulary; name: the field, for errors. */
bool api_ids_prompt(api_call *c, const json_t *v, const char *name, api_prompt *out, api_error *e);
/* The same, but items may be texts. flags: HEARTH_TOK_... of the texts; begin-of-text only goes
 * before an item that is the first. */
bool api_ids_prompt_mixed(api_call *c, const json_t *v, const char *name, unsigned flags,
                          api_prompt *out, api_error *e);
/* Appends a text's tokens. */
bool api_ids_add_text(api_call *c, api_prompt *p, str text, unsigned flags, const char *name,
                      api_error *e);
/* Room for n prompts, none of them read yet, in the arena; too many are an error. */
bool api_prompts_new(api_call *c, size_t n, api_prompt **out, api_error *e);
/* A prompt as text, in the arena. */
bool api_ids_text(api_call *c, const api_prompt *p, str *out, api_error *e);
/* False: out of memory; *p is as it was. */
bool api_ids_append(api_prompt *p, const int32_t *ids, size_t n);

#endif
