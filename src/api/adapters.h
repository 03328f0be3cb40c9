/* Adapters (LoRA) of the models that are served: which of them a request is answered with.
 *
 * A request names them by their numbers, as llama-server has it: [{"id": 0, "scale": 0.5}]. Those
 * that it does not name have no part in its answer. One that names none at all takes what is in
 * force for everybody: what the model was made with, or what POST /lora-adapters has set.
 */
#ifndef HEARTH_API_ADAPTERS_H
#define HEARTH_API_ADAPTERS_H

#include "api/call.h"

extern const api_field api_adapter_fields[]; /* id, scale */
extern const api_field api_lora_fields[];    /* lora: an array of them, for one answer */

/* Into the arena. False: *e names the field, which is an array at `name` of o, or absent. */
bool api_adapters_read(api_call *c, const json_t *o, const char *name, const hearth_lora_use **use,
                       size_t *n, api_error *e);
/* The scales of a list, named `name` in errors, into use [n], all that the model has; those that
 * the list does not name are 0. */
bool api_adapters_scale(api_call *c, const json_t *list, const char *name, hearth_lora_use *use,
                        size_t n, api_error *e);
/* What was read, as an array of {"id", "scale"}. */
void api_adapters_write(jsonw *w, const hearth_lora_use *use, size_t n);

#endif
