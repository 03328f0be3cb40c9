/* What model is meant by a name: one of the store's (or found beside it), a path to a file, or
 * "bard", the model inside the program. Any thread; no state.
 *
 *     hub_model r;
 *     if (!hub_find(&r, "qwen3:8b", &e)) ...
 *     hearth_model *m = hub_open(&r, &o, &he);
 */
#ifndef HEARTH_HUB_FIND_H
#define HEARTH_HUB_FIND_H

#include "base/err.h"
#include "base/str.h"
#include "hearth.h"

typedef struct hub_model {
    const char *name; /* as given; borrowed */
    const void *data; /* the bundled model's bytes; NULL: there is a path */
    size_t n;
    bool stored;       /* it is a model with a name, and may have a recipe (recipe.h) */
    size_t n_adapters; /* LoRA that belongs to it: such a model is not opened */
    bool in_cwd;       /* a name that was taken as that of a file */
    char path[4096];   /* what to open; "bard" for the bundled one */
} hub_model;

/* ERR_NOT_FOUND says what is known. */
bool hub_find(hub_model *r, const char *name, err *e);
bool hub_have_bundled(void);
/* Whether it can be opened as it was made: else ERR_FAILED says why. */
bool hub_runs(const hub_model *r, err *e);
hearth_model *hub_open(const hub_model *r, const hearth_model_options *o, hearth_err *e);
/* The name by which a server knows a file: without folders, ".gguf" and the number of a part. */
str hub_stem(const char *path);

#endif
