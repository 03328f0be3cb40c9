/* The store of models: a folder ($HEARTH_HOME/models) that holds blobs by their SHA-256, and small
 * manifests that say which blobs are a model. The layout is Ollama's, so that either can be read
 * with the same eyes:
 *
 *     blobs/sha256-<hex>                      never changes once it is there
 *     manifests/<host>/<ns>/<model>/<tag>     a model that is ready
 *     pending/<host>/<ns>/<model>/<tag>       the manifest of one that is being fetched
 *     previous/<host>/<ns>/<model>/<tag>      what an update replaced
 *     origins/<host>/<ns>/<model>/<tag>       where it came from: the fetcher's own notes
 *     partial/sha256-<hex>[.journal]          a blob that is being fetched, and how far
 *     tmp/                                    blobs that are being written
 *     lock                                    flock: held for moments, by whoever adds or removes
 *
 * What holds, also after kill -9 or a power cut: a name that is listed has all its blobs, whole.
 * So blobs come before manifests and go after them; a manifest that is ready, pending or previous
 * keeps its blobs from gc; whatever is opened is opened beneath the folder's descriptor (base/
 * beneath.h). Several processes may use one store. Any thread; a hub_blob or hub_part belongs to
 * one at a time.
 *
 *     hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, &e);
 *     // fetching: pend, then part by part, then put
 *     hub_store_put(s, HUB_PENDING, &name, manifest_bytes, &e);
 *     if (!hub_store_has(s, &layer->digest, layer->size)) {
 *         hub_part *p = hub_part_open(s, &layer->digest, layer->size, &e);
 *         ... pwrite(hub_part_fd(p), ...), hub_part_journal_write(p, ...) ...
 *         hub_part_commit(p, &layer->digest, &e);
 *     }
 *     hub_store_put(s, HUB_READY, &name, manifest_bytes, &e);   // pending goes by itself
 *     hub_store_close(s);
 */
#ifndef HEARTH_HUB_STORE_H
#define HEARTH_HUB_STORE_H

#include <sys/types.h>

#include "hub/manifest.h"
#include "hub/names.h"

typedef struct hub_store hub_store;

typedef enum hub_mode {
    HUB_STORE_READ, /* never writes; a folder that is not there is ERR_NOT_FOUND */
    HUB_STORE_EDIT  /* makes the folder */
} hub_mode;

/* folder NULL: models in Hearth's home. */
hub_store *hub_store_open(const char *folder, hub_mode mode, err *e);
void hub_store_close(hub_store *s); /* NULL is fine */
const char *hub_store_folder(const hub_store *s);
/* Free bytes of its disk for this user; UINT64_MAX: not known. */
uint64_t hub_store_free_bytes(const hub_store *s);
/* ERR_NO_FIT with both figures when `bytes` more do not fit beside 64 MB that are left alone. */
bool hub_store_room(const hub_store *s, uint64_t bytes, err *e);

/* ---- manifests, and notes under a model's name ---- */

typedef enum hub_area { HUB_READY, HUB_PENDING, HUB_PREVIOUS, HUB_ORIGIN } hub_area;

/* The name as it stands on disk, whatever the case it was asked in; n is changed to it. False: not
 * there. */
bool hub_store_existing(const hub_store *s, hub_area area, hub_name *n);
/* Appends the bytes. ERR_NOT_FOUND. */
bool hub_store_get(const hub_store *s, hub_area area, const hub_name *n, buf *out, err *e);
bool hub_store_manifest(const hub_store *s, hub_area area, const hub_name *n, hub_manifest *m,
                        err *e);
/* Replaces. Into HUB_READY only what has all its blobs, of the right size (ERR_DAMAGED names the
 * one that is missing); its pending manifest is then removed. */
bool hub_store_put(hub_store *s, hub_area area, const hub_name *n, str bytes, err *e);
bool hub_store_remove(hub_store *s, hub_area area, const hub_name *n, err *e);
/* From READY to PENDING: it is not ready any more. Needs no room on the disk. */
bool hub_store_set_aside(hub_store *s, const hub_name *n, err *e);
/* When it was written, unix seconds; 0: not there. */
int64_t hub_store_when(const hub_store *s, hub_area area, const hub_name *n);
/* Every name of an area, in order; *list by free. What is no name is passed over. */
bool hub_store_names(const hub_store *s, hub_area area, hub_name **list, size_t *n, err *e);
/* Removes the model and those of its blobs that no other manifest needs; *freed (may be NULL) in
 * bytes. ERR_NOT_FOUND. */
bool hub_store_rm(hub_store *s, const hub_name *n, uint64_t *freed, err *e);

/* The lock between processes, for a step that must be whole: adding blobs and the manifest that
 * needs them. May be nested within a thread. ERR_BUSY after ten seconds. put, rm, commit and gc
 * take it themselves. */
bool hub_store_lock(hub_store *s, err *e);
void hub_store_unlock(hub_store *s);

/* ---- blobs ---- */

/* size UINT64_MAX: any. */
bool hub_store_has(const hub_store *s, const hub_digest *d, uint64_t size);
/* A descriptor for reading, the caller's; -1. *size may be NULL. */
int hub_store_blob(const hub_store *s, const hub_digest *d, uint64_t *size, err *e);
/* A small blob's bytes, at most b->max. */
bool hub_store_blob_read(const hub_store *s, const hub_digest *d, buf *b, err *e);
/* The whole path of a blob, for what opens files by path; checked to be a regular file in the
 * store. *path by free; NULL on failure. */
char *hub_store_blob_file(const hub_store *s, const hub_digest *d, err *e);

/* A blob whose digest is known once it was written. finish: nothing more comes, it is on disk and
 * *d is its digest; commit: it is in the store, and b is freed whatever happens. */
typedef struct hub_blob hub_blob;
/* bytes: how many will come, 0: not known; ERR_NO_FIT when the disk has no room for them. */
hub_blob *hub_blob_begin(hub_store *s, uint64_t bytes, err *e);
bool hub_blob_write(hub_blob *b, const void *p, size_t n, err *e);
bool hub_blob_finish(hub_blob *b, hub_digest *d, uint64_t *size, err *e);
bool hub_blob_commit(hub_blob *b, err *e);
void hub_blob_abort(hub_blob *b); /* NULL is fine */
/* All of it at once: bytes that are there, or a file (shared instead of copied where the file
 * system can; each: as in hub_digest_fd). */
bool hub_store_add(hub_store *s, str bytes, hub_digest *d, err *e);
bool hub_store_add_file(hub_store *s, int fd, const char *path,
                        bool (*each)(void *ud, uint64_t done), void *ud, hub_digest *d,
                        uint64_t *size, err *e);

/* ---- parts: blobs that are being fetched, over days if need be ---- */

typedef struct hub_part hub_part;
/* key: the blob's digest, or that of its URL where the blob's is not known. Goes on with what an
 * earlier process left. ERR_BUSY: another one is at it. bytes: the whole size, 0: not known. */
hub_part *hub_part_open(hub_store *s, const hub_digest *key, uint64_t bytes, err *e);
int hub_part_fd(const hub_part *p); /* data, for pread and pwrite; stays the part's */
/* How far it is, as the fetcher last wrote it: appended to b; nothing for a new one. */
bool hub_part_journal_read(const hub_part *p, buf *b, err *e);
/* Data that was written before is on disk first; then the journal is replaced whole. */
bool hub_part_journal_write(hub_part *p, str bytes, err *e);
/* The bytes are d: the caller has hashed them. Into the store; p is freed, and stays a part when it
 * fails. */
bool hub_part_commit(hub_part *p, const hub_digest *d, err *e);
void hub_part_close(hub_part *p);        /* resumable; NULL is fine */
bool hub_part_drop(hub_part *p, err *e); /* gone; p is freed */

#endif
