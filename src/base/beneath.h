/* Files beneath a folder's descriptor. A path here is relative, and whatever it holds ("..", links,
 * a "/" in front) nothing outside the folder is opened: openat2 with RESOLVE_BENEATH and no links,
 * and where the kernel has no openat2, one part after the other with O_NOFOLLOW. Writing is by
 * temporary file, fsync, rename and fsync of the folder. Any thread.
 *
 *     int root = beneath_root("/srv/models", true, &e);
 *     beneath_replace(root, "manifests/a/b", data, n, 0644, &e);
 *     int fd = beneath_open(root, "manifests/a/b", O_RDONLY, 0);   // -1: errno
 */
#ifndef HEARTH_BASE_BENEATH_H
#define HEARTH_BASE_BENEATH_H

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

/* Opens the folder itself, whose own path may have links; make: with the folders above it. */
int beneath_root(const char *path, bool make, err *e);
/* As openat; O_CLOEXEC, O_NOFOLLOW and O_NONBLOCK are added. ELOOP or EXDEV: it leads outside. */
int beneath_open(int root, const char *path, int flags, unsigned mode);
/* The same where links are followed as long as they stay beneath the folder; reading only. */
int beneath_open_links(int root, const char *path);
/* A regular file for reading; its facts in *st (may be NULL). */
int beneath_open_file(int root, const char *path, struct stat *st, err *e);
bool beneath_read(buf *b, int root, const char *path, err *e); /* appends, at most b->max */
bool beneath_make_dirs(int root, const char *path, err *e);    /* like mkdir -p */
bool beneath_sync_dir(int root, const char *folder, err *e);
/* fsync must have been done; both folders are synced. */
bool beneath_rename(int root, const char *from, const char *to, err *e);
bool beneath_replace(int root, const char *path, const void *data, size_t n, unsigned mode, err *e);
bool beneath_remove(int root, const char *path, err *e); /* a file; synced. Not there: fine */
bool beneath_remove_dir(int root, const char *path);     /* only an empty one */
/* Each name of a folder but "." and "..", in no order; `each` false ends it. Not there: none. */
bool beneath_each(int root, const char *folder, bool (*each)(void *ud, const char *name), void *ud,
                  err *e);
/* One line for a failed system call on a path: what, errno's text, and its err_code. */
bool beneath_fail(err *e, const char *path, const char *what, int error);

#endif
