/* Where models are: Hearth's own store, and beside it what others have fetched: stores of Ollama
 * ($OLLAMA_MODELS, ~/.ollama/models, /usr/share/ollama/.ollama/models) and the cache of Hugging
 * Face ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub). Those are only read: their models
 * are listed and used where they lie, and never changed. A name that several places have is the own
 * store's, then in that order. One thread.
 *
 *     hub_places *p = hub_places_open(&e);
 *     hub_entry x;
 *     if (hub_places_find(p, &name, &x, &e)) { puts(x.file); hub_entry_deinit(&x); }
 *     hub_places_close(p);
 */
#ifndef HEARTH_HUB_PLACES_H
#define HEARTH_HUB_PLACES_H

#include "hub/store.h"

typedef enum hub_place { HUB_OWN, HUB_OLLAMA, HUB_HUGGING_FACE_CACHE } hub_place;

typedef struct hub_entry {
    hub_name name;
    hub_place place;
    const hub_store *store; /* whose manifest it is; NULL: a file of the cache */
    uint64_t bytes;         /* all of its blobs */
    int64_t modified_s;     /* unix */
    hub_digest id;          /* of the manifest; in the cache: of the weights, or empty */
    size_t n_adapters;
    char *file; /* what to open; owned. NULL: it has no weights that can be opened */
} hub_entry;
void hub_entry_deinit(hub_entry *x);
void hub_entries_free(hub_entry *list, size_t n);

typedef struct hub_places hub_places;
hub_places *hub_places_open(err *e);
void hub_places_close(hub_places *p);     /* after the entries, whose store dies with it */
hub_store *hub_places_own(hub_places *p); /* NULL: there is none yet; only read */

/* ERR_NOT_FOUND. What is there and cannot be read is ERR_DAMAGED. */
bool hub_places_find(hub_places *p, const hub_name *n, hub_entry *out, err *e);
/* Own ones first, each place in order of names; manifests that cannot be read are left out. */
bool hub_places_list(hub_places *p, hub_entry **list, size_t *n, err *e);
const char *hub_place_name(hub_place p); /* "hearth", "ollama", "huggingface" */

#endif
