/* Help for tests that touch files: a folder of their own, small files in it, and a child process
 * without root's privileges for what permissions forbid. One thread.
 */
#ifndef HEARTH_TESTS_SUPPORT_SCRATCH_H
#define HEARTH_TESTS_SUPPORT_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

/* A new empty folder for this process, the same at each call, removed with all it holds at exit. */
const char *scratch_dir(void);
/* "<folder>/<name>" in one of a few rotating buffers. */
const char *scratch_path(const char *name);
/* Writes a file there and returns its path. Ends the test program when it cannot. */
const char *scratch_write(const char *name, const void *data, size_t n);
/* Entries in the folder whose names start with the prefix, "." and ".." not counted. */
int scratch_count(const char *prefix);
/* Runs fn in a child process which is not root (uid 65534 when we are) and returns fn's result, or
 * -1 when the child died by a signal. */
int scratch_as_nobody(int (*fn)(void *ud), void *ud);
/* Switches this process to a locale whose decimal point is a comma, compiled into the folder when
 * the system has none. False when there is no localedef. setlocale(LC_ALL, "C") undoes it. */
bool scratch_set_comma_locale(void);

#endif
