/* The models that a server has in memory, each with its engine: loaded when a request needs them,
 * kept for a while, and given up for others, never while somebody uses them.
 *
 * There are a few *names*: those given at start, in that order, then the model inside the program
 * ("bard"), the files of a folder, and the models of the store and beside it (hub/places.h), which
 * come and go: a name whose model was replaced is loaded anew when nobody uses the old one. One
 * thread loads and unloads; it is the only one that waits. Somebody who wants a model that is not
 * there leaves a function to be called. A resident that residents_want gave, or that the function
 * was told, is the caller's until residents_release. When nothing has been asked for a moment, it
 * gives back to the system what malloc has kept.
 *
 *     residents *rs = residents_new(&o, &e);
 *     switch (residents_want(rs, "bard", later, ud, &r, &e)) {
 *     case RESIDENT_READY: ... residents_release(rs, r, 300); break;
 *     case RESIDENT_COMING: break;       // later(ud, r, &e) will be called, once
 *     case RESIDENT_FAILED: ...
 *     }
 */
#ifndef HEARTH_API_RESIDENTS_H
#define HEARTH_API_RESIDENTS_H

#include "base/err.h"
#include "hearth.h"
#include "hub/beside.h"

typedef struct residents residents;
typedef struct resident resident;

typedef struct residents_options {
    const char *const *models; /* names or paths, NULL-terminated, or NULL */
    const char *folder;        /* every .gguf file in it is a model by its stem; NULL: none */
    hearth_engine_options engine;
    const char *draft;        /* name or path of a model that guesses ahead for those with the same
                        * vocabulary, or NULL; engine.draft is set from it */
    const hub_adapters *lora; /* beside those of the first model's Modelfile; NULL: none */
    int keep_alive_s;         /* of models that a request brought in; -1: for ever */
    bool no_pack;             /* weights stay in their files */
    int max_models;           /* in memory at the same time; 0: as many as memory allows */
} residents_options;

residents *residents_new(const residents_options *o, err *e);
void residents_free(residents *rs); /* everything is released by then */

/* Loads those given at start, in their order, and waits for it. */
bool residents_load(residents *rs, err *e);

/* What "model" in a request means: a name, also with ":latest"; "", "default" and NULL are the
 * first model. The name as listed; NULL: no such model. Lives as long as the residents. */
const char *residents_find(residents *rs, const char *name);

typedef enum resident_state { RESIDENT_READY, RESIDENT_COMING, RESIDENT_FAILED } resident_state;
typedef void (*resident_ready)(void *ud, resident *r, const err *e); /* r NULL: *e says why */
/* name: from residents_find. `later` is called on the loading thread and must return at once. */
resident_state residents_want(residents *rs, const char *name, resident_ready later, void *ud,
                              resident **out, err *e);
/* keep_alive_s: seconds to keep it when nobody uses it; -1: for ever; RESIDENT_KEEP: as it is. */
#define RESIDENT_KEEP (-2)
void residents_release(residents *rs, resident *r, int64_t keep_alive_s);
/* Looks at the store anew: what was removed is forgotten, what is new is known. */
void residents_refresh(residents *rs);

/* Constant while the caller holds it. */
const char *resident_name(const resident *r);
hearth_model *resident_model(const resident *r);
hearth_engine *resident_engine(const resident *r);
const hub_recipe *resident_recipe(const resident *r); /* never NULL */
bool resident_is_bare(const resident *r);             /* no chat template: served as chatml */
double resident_load_s(const resident *r);            /* how long loading took */

/* Adapters of a model that the caller holds, in their order, with the scales in force now for
 * requests that name none; use: [LIMIT_LORAS]. Gives how many there are. */
size_t resident_loras(residents *rs, const resident *r, hearth_lora_use *use);
/* The file of one, without its folders. */
const char *resident_lora_file(const residents *rs, const resident *r, size_t i);
/* Other scales, one for each; they outlive its stay in memory. */
void residents_lora_scale(residents *rs, resident *r, const float *scale);

/* For lists: one row a name, in order. */
typedef struct resident_row {
    char name[128];
    bool loaded, coming;
    int n_users;            /* who hold it now */
    int64_t modified_s;     /* of the file, unix */
    uint64_t file_bytes;    /* 0: not known */
    int64_t expires_s;      /* unix; 0: not loaded; -1: never */
    hearth_model_info info; /* when loaded; its strings are NULL */
    int32_t n_ctx;          /* in force when loaded, else 0 */
    uint64_t memory_bytes;  /* when loaded: weights, with those of adapters and of its own draft */
    char path[1024];        /* as hub_find wants it */
    hub_digest id;          /* of its manifest; empty: a file */
    bool stored;            /* a model with a name, see hub/store.h */
} resident_row;
int32_t residents_parallel(const residents *rs); /* requests of a model that run at once */
/* Each loaded model's figures; `each` must return at once. Touches no disk. */
void residents_stats(residents *rs, void (*each)(void *ud, const char *name, const hearth_stats *s),
                     void *ud);
/* *rows by free. */
bool residents_list(residents *rs, resident_row **rows, size_t *n, err *e);

#endif
