/* An arena gives memory that is all freed at once: one per request, one per model load. Allocation
 * is a bump of a pointer; blocks are 16-byte aligned and zeroed. The maximum is given at birth;
 * past it, arena_alloc returns NULL. One thread.
 */
#ifndef HEARTH_BASE_ARENA_H
#define HEARTH_BASE_ARENA_H

#include "base/str.h"

typedef struct arena arena;

arena *arena_new(size_t max_bytes);
void arena_free(arena *a); /* NULL is fine */
void *arena_alloc(arena *a, size_t n);
/* n * size with overflow checked. */
void *arena_calloc(arena *a, size_t n, size_t size);
char *arena_strdup(arena *a, str s); /* NUL-terminated copy */
size_t arena_used(const arena *a);   /* bytes handed out */

#endif
