/* Keys and values: pages, the sequences that fill them, and the prefix tree that keeps them.
 *
 * A page holds 64 positions for all layers of one KV group. Every page in use has exactly one
 * owner: a sequence that is still filling it, or a node of the tree. Memory is one reserved address
 * range per group, touched page by page; all groups share one budget in bytes.
 *
 * The tree has one root per namespace (an owner of requests). A node is one page-aligned run of 64
 * tokens with its pages of every group; it never changes, and any number of sequences may hold it.
 * A node with fewer tokens is the tail of something finished: it is always a leaf, and it is only
 * copied from. A full page enters the tree as soon as it is computed, so that a second request with
 * the same beginning finds it while the first still runs.
 *
 * When the budget is used up, pages are won back in this order: the least recently used leaf that
 * nobody holds; then pages of window groups that no sequence which holds them can still see. A node
 * that lost such a page stays, and serves a prefix only where that page is out of sight.
 *
 * All of it belongs to the engine's thread.
 *
 *     kv_seq *s = kv_seq_new(k, "alice");
 *     int32_t have = kv_seq_reuse(k, s, tokens, n - 1);       // positions that need no computing
 *     if (!kv_seq_extend(k, s, n)) ...                        // no room: preempt somebody
 *     ... run the model over [have, n) with kv_seq_pages(s, g) ...
 *     kv_seq_commit(k, s, tokens, n);
 *     kv_seq_free(k, s, tokens);
 */
#ifndef HEARTH_ENGINE_KV_H
#define HEARTH_ENGINE_KV_H

#include "base/err.h"
#include "model/model.h"

#define KV_PAGE KERN_PAGE

typedef struct kv kv;
typedef struct kv_seq kv_seq;

typedef struct kv_options {
    int n_groups;
    size_t page_bytes[MODEL_MAX_KV_GROUPS];
    int32_t window[MODEL_MAX_KV_GROUPS]; /* 0: every position stays visible */
    uint64_t budget_bytes;
    bool no_reuse; /* nothing enters the tree */
} kv_options;

/* Bytes of pages that one sequence of n positions needs at most at a time, computed in chunks of at
 * most `chunk` rows: what a budget must hold for it to run alone. */
uint64_t kv_need_bytes(const kv_options *o, int32_t n, int32_t chunk);

/* Errors: ERR_NO_FIT when the address range cannot be had. */
kv *kv_new(const kv_options *o, err *e);
void kv_free(kv *k); /* after every sequence */

/* NULL when memory is short. `owner` is copied. */
kv_seq *kv_seq_new(kv *k, const char *owner);
/* Takes what the tree has for tokens [0, n) and returns how many positions are filled now. May be
 * called again while the filled positions end at a page's limit: somebody else may have computed
 * the next. */
int32_t kv_seq_reuse(kv *k, kv_seq *s, const int32_t *tokens, int32_t n);
/* The same without a partly filled page: what is there ends at a page's limit. */
int32_t kv_seq_reuse_full(kv *k, kv_seq *s, const int32_t *tokens, int32_t n);
/* While it is kept, no page of s goes, also where a window has passed it. */
void kv_seq_keep(kv_seq *s, bool keep);
/* Makes pages for positions up to n, winning back room where needed. False: no room; what was got
 * is kept and the call may be repeated. */
bool kv_seq_extend(kv *k, kv_seq *s, int32_t n);
/* Positions [filled, n) are computed: full pages enter the tree. */
void kv_seq_commit(kv *k, kv_seq *s, const int32_t *tokens, int32_t n);
/* Gives everything up; full pages stay in the tree as long as there is room. The sequence is empty.
 */
void kv_seq_drop(kv *k, kv_seq *s);
/* The same, and a partly filled page stays too, as a tail to copy from. NULL is fine. */
void kv_seq_free(kv *k, kv_seq *s, const int32_t *tokens);

int32_t kv_seq_filled(const kv_seq *s);
void *const *kv_seq_pages(const kv_seq *s, int group); /* valid until the next call on k */
/* True when both sequences hold the same pages for all positions before `pos`, a page's limit. */
bool kv_seq_same_until(const kv_seq *a, const kv_seq *b, int32_t pos);

uint64_t kv_needs(const kv *k, int32_t n, int32_t chunk); /* kv_need_bytes of its options */
/* Bytes that could be given out now without taking them from a sequence. */
uint64_t kv_free_bytes(const kv *k);
/* Bytes more that s needs to reach n positions. */
uint64_t kv_seq_missing_bytes(const kv *k, const kv_seq *s, int32_t n, int32_t chunk);

typedef struct kv_stats {
    uint64_t budget_bytes, used_bytes, idle_bytes, resident_bytes;
    /* n_pages: were they shared out evenly among the groups. */
    uint64_t n_pages, n_pages_used, n_pages_idle;
    int32_t n_nodes, n_seqs;
    uint64_t n_evicted, n_stripped; /* nodes, pages since the start */
} kv_stats;
void kv_stats_get(const kv *k, kv_stats *out);
/* Recounts everything from scratch: every page has exactly one owner, every node exactly the
 * holders counted, the budget holds. ERR_FAILED names the first contradiction. For tests. */
bool kv_check(const kv *k, err *e);

#endif
