/* What file.h and beneath.h do with descriptors alike. Inside the base room only. */
#ifndef HEARTH_BASE_FD_H
#define HEARTH_BASE_FD_H

#include "base/buf.h"
#include "base/err.h"

/* To the end, or to the byte that no longer fits: then b->failed. False: errno. */
bool fd_read_all(int fd, buf *b);
bool fd_write_all(int fd, const void *p, size_t n); /* false: errno */
/* Makes a rename in a folder last through a power cut. Some file systems cannot sync a folder and
 * say EINVAL. */
bool fd_sync_folder(int fd);
/* A new file in `dir`, a folder beneath `at` ("": itself), and its path. Its name is our own, since
 * that of the file which it is to replace may fill a name's length. -1: errno. */
int fd_temporary(int at, const char *dir, unsigned mode, char *path, size_t cap);
/* One line for a failed system call on a path: "notes.txt: cannot open: No such file or
 * directory". */
bool fd_fail(err *e, const char *path, const char *what, int error);

#endif
