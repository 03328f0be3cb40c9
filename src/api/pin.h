/* Prefixes that an administrator publishes: what every owner's conversations begin with, a system
 * prompt and its tools, is computed once and found by all.
 *
 * A file holds the text of a system message, or (JSON) a list of messages, or an object with
 * "messages" and "tools", in OpenAI's shape. What is published are the tokens that conversations
 * which begin so have in common, whatever the user then says.
 */
#ifndef HEARTH_API_PIN_H
#define HEARTH_API_PIN_H

#include "base/err.h"
#include "hearth.h"

/* For requests with these adapters. Waits until it is computed. *n_tokens: how many are in common.
 */
bool pin_file(hearth_model *m, hearth_engine *g, const char *path, const hearth_lora_use *lora,
              size_t n_lora, size_t *n_tokens, err *e);

#endif
