/* Inside of the store: what store.c, blob.c and sweep.c share. */
#ifndef HEARTH_HUB_STORE_PRIVATE_H
#define HEARTH_HUB_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "hub/store.h"

struct hub_store {
    int root;
    char *folder; /* with links resolved */
    bool edit;
    pthread_mutex_t mutex; /* recursive: guards depth and lock_fd */
    int depth, lock_fd;
    atomic_uint serial; /* of temporary files */
};

#define HUB_AREA_PATH_BYTES (HUB_NAME_BYTES + 16)
char *hub_area_path(hub_area area, const hub_name *n, char dst[HUB_AREA_PATH_BYTES]);
extern const char *const hub_area_folder[];
bool hub_store_editable(const hub_store *s, err *e);

/* A set of digests, sorted once it is complete (sweep.c). */
typedef struct hub_refs {
    hub_digest *d;
    size_t n, cap;
} hub_refs;
/* Every blob that a manifest needs. ERR_DAMAGED: one cannot be read, so nothing may be removed. */
bool hub_refs_collect(hub_refs *r, const hub_store *s, err *e);
bool hub_refs_has(const hub_refs *r, const hub_digest *d);
void hub_refs_deinit(hub_refs *r);

#endif
