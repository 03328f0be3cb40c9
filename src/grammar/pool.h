/* Memory of one answer, or of one walk over the vocabulary: taken piece by piece, and given back
 * only to a mark.
 *
 *     pool_mark m = pool_now(p);
 *     place *v = pool_alloc(p, sizeof *v);
 *     pool_back(p, m);
 */
#ifndef HEARTH_GRAMMAR_POOL_H
#define HEARTH_GRAMMAR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pool_block pool_block;
typedef struct pool {
    pool_block *first, *now;
    size_t used, total; /* of the present block; of all blocks */
    bool failed;
} pool;
typedef struct pool_mark {
    pool_block *now;
    size_t used;
} pool_mark;

void *pool_alloc(pool *p, size_t n); /* zeroed; NULL and `failed` past LIMIT_MATCH_BYTES */
pool_mark pool_now(const pool *p);
void pool_back(pool *p, pool_mark m);
void pool_deinit(pool *p);

#endif
