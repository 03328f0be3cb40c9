/* Texts that were written into an answer, and sets of them: which keys an object has that its
 * schema does not name, which elements an array has that may not come twice.
 *
 * A text is a chain of code points, the last one first; NULL is the empty text. A set is a short
 * list of sorted runs, each at least twice as long as the next newer one, so adding copies little
 * and looking up is a few binary searches. Both live in a pool and never change: a place that goes
 * two ways shares them.
 *
 *     const written *t = written_add(p, NULL, 'a');
 *     if (!written_set_has(seen, t)) seen = written_set_add(p, seen, t);
 */
#ifndef HEARTH_GRAMMAR_WRITTEN_H
#define HEARTH_GRAMMAR_WRITTEN_H

#include "grammar/pool.h"

typedef struct written {
    const struct written *before;
    uint64_t hash;  /* of all of it */
    uint32_t cp, n; /* the last code point; how many */
} written;

typedef struct written_set {
    const struct written_set *older;
    uint32_t n, total;  /* of this run; with the older ones */
    const written *v[]; /* by hash */
} written_set;

/* A text of which not all is known, equal to none that was written; a set that has it holds every
 * text. */
extern const written written_unknown;

const written *written_add(pool *p, const written *before,
                           uint32_t cp); /* NULL: the pool is full */
static inline uint32_t written_length(const written *t) {
    return t ? t->n : 0;
}
bool written_equal(const written *a, const written *b);
bool written_starts(const written *t, const written *prefix);
void written_copy(const written *t, uint32_t *cp); /* its code points, first to last */

/* NULL: the pool is full. */
const written_set *written_set_add(pool *p, const written_set *s, const written *t);
bool written_set_has(const written_set *s, const written *t);
static inline uint32_t written_set_count(const written_set *s) {
    return s ? s->total : 0;
}
/* How many begin with `prefix`; and go on with a code point in [lo, hi]. */
uint32_t written_set_below(const written_set *s, const written *prefix);
uint32_t written_set_between(const written_set *s, const written *prefix, uint32_t lo, uint32_t hi);

#endif
