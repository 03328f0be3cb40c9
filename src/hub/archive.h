/* A model as one file, a tar archive, to carry to a machine without a network: its manifest and its
 * blobs under the names that they have in the store. Reading one trusts nothing: names are read by
 * hub_name and hub_digest, everything is hashed, and the model appears last. One thread a call.
 *
 *     hub_export(store, &name, "qwen3.tar", &o, &e);
 *     hub_import(store, "qwen3.tar", &o, &name, &e);
 */
#ifndef HEARTH_HUB_ARCHIVE_H
#define HEARTH_HUB_ARCHIVE_H

#include "hub/store.h"

typedef struct hub_archive_options {
    bool replace; /* a file, or a model of another content, that is there already */
    bool (*each)(void *ud, uint64_t done, uint64_t total); /* bytes; true: stop. May be NULL */
    void *ud;
} hub_archive_options;

bool hub_export(const hub_store *s, const hub_name *n, const char *file,
                const hub_archive_options *o, err *e);
/* *n: the model that it brought. */
bool hub_import(hub_store *s, const char *file, const hub_archive_options *o, hub_name *n, err *e);
/* Whether a file begins as an archive does. */
bool hub_is_archive(const char *file);

#endif
