/* A conversation to a model's tokens by a recipe's own template: Go's language, as models of
 * Ollama's have it, or Jinja. What the template says may be control tokens; what it was given never
 * is. Any thread; no state.
 *
 *     if (hub_talk_wins(r, m)) ok = hub_talk_encode(m, r->template, list, NULL, &how, &p, &e);
 */
#ifndef HEARTH_HUB_TALK_H
#define HEARTH_HUB_TALK_H

#include "hearth.h"
#include "hub/recipe.h"

/* Whether the recipe's template is used instead of what the model's file has: always when whoever
 * made the model here said so; of a model that came from elsewhere only where its file has none. r
 * may be NULL. */
bool hub_talk_wins(const hub_recipe *r, const hearth_model *m);
/* messages, tools: in OpenAI's shape; tools and how may be NULL. *out by hearth_chat_prompt_free.
 * ERR_USAGE: the template refuses. */
bool hub_talk_encode(const hearth_model *m, const char *template, const json_t *messages,
                     const json_t *tools, const hearth_chat *how, hearth_chat_prompt *out, err *e);

#endif
