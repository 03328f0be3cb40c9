/* Models of several parts. A store keeps each part as a blob under its digest, and the loader wants
 * them side by side under their numbers: a folder of links, split/<id>/model-0000k-of-0000n.gguf in
 * Hearth's own store, also for parts of another program's. It is made when it is asked for and
 * holds nothing of its own, so it may go at any time. Any thread.
 *
 *     char *path = hub_split_path(store, &manifest, &e);   // of a whole model too
 *     gguf *g = path ? gguf_open(path, &e) : NULL;
 *     free(path);
 */
#ifndef HEARTH_HUB_SPLIT_H
#define HEARTH_HUB_SPLIT_H

#include "hub/store.h"

/* The path by which the weights of m open, whose blobs are in s: the blob itself, or a view of the
 * parts. NULL: it has none (ERR_NOT_FOUND), or the links cannot be made. By free. */
char *hub_split_path(const hub_store *s, const hub_manifest *m, err *e);
size_t hub_split_count(const hub_manifest *m); /* of parts; 1: whole; 0: no weights */
/* The view of a model that goes. */
void hub_split_drop(const hub_store *s, const hub_manifest *m);
/* Every view that nobody has asked for since `before`, unix seconds. */
void hub_split_sweep(const hub_store *s, int64_t before);

#endif
