/* A short list of models that are worth a first try, with what is known of them beforehand:
 * data/models.csv, in order of how good the answers are, the best last. It is no advice of anybody
 * but Hearth's, and nothing is asked of the network. Any thread.
 *
 *     hub_proposal p;
 *     hub_catalogue_propose(memory_available(), &p);
 *     if (p.fast) puts(p.fast->name);
 */
#ifndef HEARTH_HUB_CATALOGUE_H
#define HEARTH_HUB_CATALOGUE_H

#include "base/csv.h"

typedef struct hub_catalogue_row {
    const char *name; /* as hearth pull takes it */
    double fetch_gb;  /* 10^9 bytes, about */
    double token_gb;  /* read for each token: less than the whole where there are experts */
    const char *license, *good_for;
} hub_catalogue_row;

/* Those of the file inside the program, *n of them. */
const hub_catalogue_row *hub_catalogue(size_t *n);
/* Such a file; the rows live as long as c. On an error nothing is left to free. */
bool hub_catalogue_read(csv *c, str text, hub_catalogue_row **row, size_t *n, err *e);

/* For this much free memory: the best that fits beside a context; the best of those that are at
 * least twice as fast as that; the best of those four times as fast as that again. NULL: none. */
typedef struct hub_proposal {
    const hub_catalogue_row *fast, *balanced, *best;
} hub_proposal;
void hub_catalogue_propose(uint64_t memory_bytes, hub_proposal *out);

#endif
