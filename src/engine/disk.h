/* Pages on disk: full pages of finished prefixes, one file each, which survive a restart.
 *
 * A page's name is a keyed hash of everything that its bytes follow from: the version of this
 * format, the model, the type of the pages, the kernels' variant, the owner, and all tokens up to
 * its end. So what was made otherwise, or for somebody else, is never found, and a name tells
 * nothing. The key is a file in the folder, readable by its owner only. A file is a header, the
 * bytes of the page in every group, and a code over both by a key made from the folder's and the
 * header; what has another length or another code is said once, removed, and computed again.
 *
 * Files are written by a thread of its own, straight from the pages of a sequence that it is lent:
 * full pages never change. Reading is done by the engine's thread. When the files are more than the
 * limit, those longest unused go.
 *
 * disk_open .. disk_lend and disk_take are the engine's thread's. The thread calls `idle` whenever
 * a loan can be taken back.
 *
 *     disk_page at; disk_first(d, "alice", &at);
 *     while (...) {
 *         disk_next(d, &at, tokens);
 *         if (!disk_read(d, &at, pages)) break;
 *         tokens += KV_PAGE;
 *     }
 */
#ifndef HEARTH_ENGINE_DISK_H
#define HEARTH_ENGINE_DISK_H

#include "base/err.h"
#include "engine/kv.h"

#define DISK_ID 32
#define DISK_HEADER 128 /* bytes */
#define DISK_CODE 16

typedef struct disk disk;

typedef struct disk_options {
    const char *folder;
    uint64_t max_bytes;
    const char *model; /* whatever tells this model, type of pages and arithmetic from others */
    int n_groups;
    size_t page_bytes[MODEL_MAX_KV_GROUPS];
    void (*idle)(void *ud);
    void *ud;
} disk_options;

/* Errors: ERR_DENIED, ERR_FAILED: the folder or its key cannot be had. */
disk *disk_open(const disk_options *o, err *e);
void disk_close(disk *d); /* what was lent is written first; its loans must be taken back before */

/* Names of the pages of a text, one after the other. */
typedef struct disk_page {
    uint8_t id[DISK_ID];
} disk_page;
void disk_first(const disk *d, const char *owner, disk_page *p);    /* of no page yet */
void disk_next(const disk *d, disk_page *p, const int32_t *tokens); /* [KV_PAGE] */

bool disk_has(disk *d, const disk_page *p);
/* Fills the pages, one of each group. False: it is not there, or is damaged and gone now. */
bool disk_read(disk *d, const disk_page *p, void *const *pages);

/* Lends a sequence's full pages, to be written where they are not on disk yet. False: there is too
 * much to write already. Until it comes back by disk_take, the sequence is not touched. */
bool disk_lend(disk *d, kv_seq *s, const char *owner, const int32_t *tokens, int32_t n);
/* A sequence that is written; NULL: none. *tokens is the caller's, by free. `now`: what is not
 * being written this moment comes back unwritten, and the rest as soon as its page is; it is waited
 * for. */
kv_seq *disk_take(disk *d, int32_t **tokens, bool now);
void disk_flush(disk *d); /* waits until everything lent is written; for tests and the end */

typedef struct disk_header {
    uint8_t id[DISK_ID];
    uint32_t n_groups;
    uint64_t page_bytes[MODEL_MAX_KV_GROUPS];
    uint64_t payload; /* their sum */
    uint8_t nonce[16];
} disk_header;
/* The first bytes of a file of file_bytes. ERR_DAMAGED says what is wrong. */
bool disk_header_read(disk_header *h, const uint8_t *bytes, size_t n, uint64_t file_bytes, err *e);
void disk_header_write(const disk_header *h, uint8_t bytes[DISK_HEADER]);

#endif
