/* What a model's file says of the model, for lists: family, size, quantisation, what it can do.
 * Reading it takes as long as opening the file, so it is kept until the file changes. Any thread.
 *
 *     facts f;
 *     if (!facts_get(a->facts, row.path, &f, &e)) ...
 */
#ifndef HEARTH_API_FACTS_H
#define HEARTH_API_FACTS_H

#include "base/err.h"
#include "hub/facts.h"

typedef struct facts_cache facts_cache;
facts_cache *facts_cache_new(void); /* NULL: out of memory */
void facts_cache_free(facts_cache *c);

/* path: as hub_find wants it. */
bool facts_get(facts_cache *c, const char *path, facts *out, err *e);
/* The file itself; the caller closes it. */
gguf *facts_open(const char *path, err *e);

#endif
