/* What stands beside a model's weights and is opened with them: adapters (LoRA), by its Modelfile
 * and by the command line, and a smaller model that guesses ahead (DRAFT). One thread a list; what
 * is open is for any.
 *
 *     hub_adapters more = {0};
 *     if (!hub_adapters_add(&more, "style.gguf=0.5", '=', &e)) ...
 *     hearth_lora_use *use; size_t n;
 *     if (!hub_loras_open(m, &recipe, &more, &use, &n, &e)) ...
 *     hub_loras_close(use, n); hub_adapters_deinit(&more);
 */
#ifndef HEARTH_HUB_BESIDE_H
#define HEARTH_HUB_BESIDE_H

#include "hearth.h"
#include "hub/recipe.h"

typedef struct hub_adapter {
    char *path;
    float scale;
} hub_adapter;

typedef struct hub_adapters {
    hub_adapter *item; /* [n]; owned */
    size_t n;
} hub_adapters;

/* "FILE" or "FILE", `sep`, "SCALE"; several with commas between them, unless a file is called so.
 * A sep of ':' wants a scale, as llama-server's --lora-scaled does. ERR_USAGE. */
bool hub_adapters_add(hub_adapters *l, const char *text, char sep, err *e);
void hub_adapters_deinit(hub_adapters *l);

/* Opens the recipe's, at scale 1, then the others, which may be NULL. *use [*n]: NULL where there
 * are none. Both may be closed while requests still use them. */
bool hub_loras_open(hearth_model *m, const hub_recipe *r, const hub_adapters *more,
                    hearth_lora_use **use, size_t *n, err *e);
/* The same for a model by its name. */
bool hub_loras_of(hearth_model *m, const char *name, const hub_adapters *more,
                  hearth_lora_use **use, size_t *n, err *e);
void hub_loras_close(hearth_lora_use *use, size_t n);
/* The recipe's draft model. *out NULL: it has none, or does not want it (draft_num_predict 0). It
 * changes when tokens come, never which: so who cannot have it may go on without. */
bool hub_draft_open(const hub_recipe *r, const hearth_model_options *o, hearth_model **out, err *e);
/* What the recipe says of how an engine computes, where o says nothing: num_ctx, num_batch,
 * num_thread (of those that the machine gives), draft_num_predict. */
void hub_engine_settle(const hub_recipe *r, hearth_engine_options *o);
/* The file of the i-th, without its folders. */
const char *hub_lora_file(const hub_recipe *r, const hub_adapters *more, size_t i);

#endif
