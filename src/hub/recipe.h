/* A model's recipe: what its layers say beside the weights, the parameters, system text, template,
 * first messages, licences and adapters; and the texts by which a Modelfile says the same. Read
 * once, then constant: any thread.
 *
 *     hub_recipe r;
 *     if (!hub_recipe_of(&r, "qwen3:8b", &e)) ...      // empty for a file, or for bard
 *     double t = json_number_value(json_object_get(r.params, "temperature"));
 *     hub_recipe_deinit(&r);
 */
#ifndef HEARTH_HUB_RECIPE_H
#define HEARTH_HUB_RECIPE_H

#include <jansson.h>

#include "hub/modelfile.h"
#include "hub/store.h"

typedef struct hub_recipe {
    json_t *params;   /* object: known parameters with values of their kind; NULL: none */
    json_t *messages; /* array of {"role", "content"}; NULL: none */
    char *system;     /* NULL: none; so below */
    char *template;   /* in Go's language, or Jinja where it has "{%" */
    bool
        template_own; /* by the Modelfile of whoever made the model here: it wins over the file's */
    char **license;   /* [n_license] */
    size_t n_license;
    char **adapter; /* [n_adapter] paths of LoRA files in GGUF */
    size_t n_adapter;
    char *draft; /* path */
    char renderer[64], parser[64], requires[32];
} hub_recipe;

/* By the model's name as people give it. */
bool hub_recipe_of(hub_recipe *r, const char *name, err *e);
bool hub_recipe_read(hub_recipe *r, const hub_store *s, const hub_manifest *m, err *e);
void hub_recipe_deinit(hub_recipe *r);
bool hub_recipe_is_empty(const hub_recipe *r);

/* ---- parameters ---- */

typedef enum hub_param_kind {
    HUB_PARAM_INT,
    HUB_PARAM_REAL,
    HUB_PARAM_BOOL,
    HUB_PARAM_TEXTS,
    HUB_PARAM_IGNORED
} hub_param_kind;
typedef struct hub_param {
    const char *name;
    hub_param_kind kind;
    double min, max;
} hub_param;
extern const hub_param hub_params[]; /* ends with a NULL name */
const hub_param *hub_param_named(const char *name);
/* A value as text ("0.7") into the object, as its kind says; of HUB_PARAM_TEXTS one more. ERR_USAGE
 * for what is unknown or out of range. */
bool hub_param_put(json_t *params, const char *name, const char *value, err *e);
/* A whole object from outside: checked, what is null or has no effect left out. */
bool hub_params_check(const json_t *from, json_t **out, err *e);

/* ---- conversations ---- */

/* The conversation with the recipe's first messages, and its system text where there is none: a new
 * array in the shape of `messages`. NULL: out of memory. */
json_t *hub_recipe_talk(const hub_recipe *r, const json_t *messages);

/* The Modelfile that makes the same model; from: what FROM says. */
bool hub_recipe_write(buf *out, const hub_recipe *r, const char *from, err *e);
/* "temperature 0.7\n...": the parameters a line each, as Ollama shows them. */
void hub_recipe_write_params(buf *out, const hub_recipe *r);

#endif
