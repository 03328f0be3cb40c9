/* Looking after the store: what it takes, what nothing needs any more, whether it is whole. One
 * thread a call; other processes may go on using the store meanwhile.
 *
 *     hub_gc_report r;
 *     hub_store_gc(s, &(hub_gc_options){.dry_run = true}, &r, &e);
 */
#ifndef HEARTH_HUB_SWEEP_H
#define HEARTH_HUB_SWEEP_H

#include "hub/store.h"

/* ---- what it takes ---- */

typedef struct hub_usage {
    uint64_t bytes, blob_bytes, partial_bytes, tmp_bytes;
    uint64_t unused_bytes; /* blobs that no manifest needs */
    uint64_t n_blobs, n_unused, n_partial, n_tmp;
} hub_usage;
bool hub_store_usage(const hub_store *s, hub_usage *out, err *e);

/* Bytes of blobs that only this model needs: what removing it would free. */
bool hub_store_own_bytes(const hub_store *s, const hub_name *n, uint64_t *bytes, err *e);

/* ---- what nothing needs ---- */

#define HUB_YOUNG_S                                                                                \
    3600 /* blobs that came in this time are spared: a model is being made of them */

typedef struct hub_gc_options {
    bool dry_run;
    bool partial;      /* also what is half fetched, and what waits for it */
    int64_t min_age_s; /* of blobs; HUB_YOUNG_S is usual */
    void (*each)(void *ud, const char *path, uint64_t bytes); /* what goes, or would; may be NULL */
    void *ud;
} hub_gc_options;

typedef struct hub_gc_report {
    uint64_t n, bytes; /* removed, or to be */
    uint64_t n_young;  /* that nothing needs either, and were spared for their age */
} hub_gc_report;

/* Removes nothing where a manifest cannot be read: ERR_DAMAGED. */
bool hub_store_gc(hub_store *s, const hub_gc_options *o, hub_gc_report *r, err *e);

/* ---- whether it is whole ---- */

typedef enum hub_fault {
    HUB_FAULT_MANIFEST, /* cannot be read */
    HUB_FAULT_MISSING,  /* a blob that a model needs */
    HUB_FAULT_SIZE,     /* a blob of the wrong length */
    HUB_FAULT_BYTES     /* a blob whose bytes do not give its name */
} hub_fault;

typedef struct hub_verify_options {
    bool repair;         /* removes blobs that are damaged, and manifests that cannot be read */
    bool quick;          /* lengths only */
    const hub_name *one; /* this model only; NULL: all, and blobs without a model too */
    /* name may be empty: a blob that no model needs. May be NULL. */
    void (*fault)(void *ud, hub_fault f, const hub_name *name, const char *what);
    bool (*each)(void *ud, uint64_t done, uint64_t total); /* bytes; true: stop. May be NULL */
    void *ud;
} hub_verify_options;

typedef struct hub_verify_report {
    uint64_t n_models, n_blobs, n_faults, n_repaired;
    uint64_t bytes; /* hashed */
} hub_verify_report;

/* False only where it could not go on; faults are in the report. */
bool hub_store_verify(hub_store *s, const hub_verify_options *o, hub_verify_report *r, err *e);

#endif
