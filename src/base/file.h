/* Files: reading, mapping, and replacing whole. Nothing here ever overwrites a file in place.
 * Any thread.
 */
#ifndef HEARTH_BASE_FILE_H
#define HEARTH_BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

typedef struct file_map {
    const uint8_t *data; /* read-only mapping, NULL for an empty file */
    uint64_t size;       /* bytes, as the file was when opened */
} file_map;

/* Maps a regular file read-only. Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_FAILED (a folder, a
 * device). */
bool file_map_open(file_map *m, const char *path, err *e);
void file_map_close(file_map *m);
/* Tells the kernel that [offset, offset+n) will not be needed soon: resident pages are given
 * back. */
void file_map_release(const file_map *m, uint64_t offset, uint64_t n);
/* Appends the file's bytes, at most b->max. "-" is not special. */
bool file_read(buf *b, const char *path, err *e);
/* Temporary file in the same folder, write, fsync, rename, fsync of the folder. Mode is for new
 * files. */
bool file_replace(const char *path, const void *data, size_t n, unsigned mode, err *e);
/* The same for a file that is written in pieces: nothing of it is seen under its name before
 * commit, which frees f whatever happens; abort drops it all (NULL is fine). One thread per
 * file_new. */
typedef struct file_new file_new;
file_new *file_new_open(const char *path, unsigned mode, err *e);
/* So many bytes will be written. False: the disk has no room for them, now. What it says where
 * they later do not fit names them too. */
bool file_new_expect(file_new *f, uint64_t bytes, err *e);
bool file_new_write(file_new *f, const void *p, size_t n, err *e);
bool file_new_flush(file_new *f, err *e); /* what was written can now be read at file_new_path */
const char *file_new_path(const file_new *f); /* the temporary name */
bool file_new_commit(file_new *f, err *e);
void file_new_abort(file_new *f);
bool file_make_dirs(const char *path, unsigned mode, err *e); /* like mkdir -p */
/* $HEARTH_HOME, else $XDG_DATA_HOME/hearth, else ~/.local/share/hearth. NULL when none can be
 * found. The result belongs to this module. */
const char *file_home(void);

#endif
