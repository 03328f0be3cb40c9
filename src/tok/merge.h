/* The merge loop that both kinds of BPE share: again and again the adjacent pair of lowest rank,
 * the leftmost of equals, becomes one symbol, until no pair has a rank.
 *
 * Short words are scanned; long ones go through one list of positions per rank, so that time stays
 * linear where ranks only grow (as in every trained vocabulary) and n log n where they do not.
 * Memory of a long word: 32 bytes a symbol.
 *
 * A merge_table is read by any thread; a merge_work belongs to one.
 */
#ifndef HEARTH_TOK_MERGE_H
#define HEARTH_TOK_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct merge_rule {
    int32_t left, right;
    int32_t rank; /* -1: free slot */
    int32_t sym;  /* what the pair becomes */
} merge_rule;

typedef struct merge_table {
    merge_rule *rule; /* open addressing */
    uint32_t mask;
    uint32_t n;
    int32_t n_ranks;
} merge_table;

bool merge_table_init(merge_table *t, size_t expected);
void merge_table_deinit(merge_table *t);
/* The first rule of a pair stays. False: out of memory. */
bool merge_table_put(merge_table *t, int32_t left, int32_t right, int32_t rank, int32_t sym);
const merge_rule *merge_table_find(const merge_table *t, int32_t left,
                                   int32_t right); /* NULL: none */

typedef struct merge_node merge_node;
typedef struct merge_work {
    int32_t *sym; /* the word's symbols: filled by the caller up to n, merged in place */
    size_t n, cap;
    merge_node *node; /* long words */
    int32_t *order, *spare;
    size_t node_cap;
    int32_t *head, *tail; /* per rank */
    uint64_t *waiting;    /* a bit per rank that has positions */
    uint64_t *early;      /* heap of (rank, position) that came after their rank's turn */
    size_t n_early, early_cap;
} merge_work;

void merge_work_deinit(merge_work *w);
bool merge_work_reserve(merge_work *w, size_t n); /* room for n symbols in all */
/* Merges w->sym[0 .. n). False: out of memory. */
bool merge_run(merge_work *w, const merge_table *t);

#endif
