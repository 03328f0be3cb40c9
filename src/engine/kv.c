/* Pages and the sequences that fill them; see kv.h. The tree is in kv_tree.c. */
#include "engine/kv_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/memory.h"

static int32_t blocks_of(int32_t n) {
    return n / KV_PAGE + (n % KV_PAGE != 0);
}

static size_t page_stride(size_t bytes) {
    size_t system = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + system - 1) / system * system;
}

/* Blocks of a group that a sequence of n positions occupies at most at a time. */
static int32_t blocks_needed(const kv_options *o, int g, int32_t n, int32_t chunk) {
    int32_t all = blocks_of(n);
    if (o->window[g] == 0) return all;
    int64_t span = (int64_t)o->window[g] + chunk;
    int64_t some = (span + KV_PAGE - 1) / KV_PAGE + 1;
    return some < all ? (int32_t)some : all;
}

uint64_t kv_need_bytes(const kv_options *o, int32_t n, int32_t chunk) {
    uint64_t bytes = 0;
    for (int g = 0; g < o->n_groups; g++)
        bytes += (uint64_t)blocks_needed(o, g, n, chunk) * page_stride(o->page_bytes[g]);
    return bytes;
}

/* ---- pools ---- */

static bool pool_init(kv_pool *p, size_t page_bytes, uint64_t budget, err *e) {
    p->stride = page_stride(page_bytes);
    p->warm = p->cold = KV_NONE;
    uint64_t cap = budget / p->stride;
    p->cap = cap < INT32_MAX / 2 ? (int32_t)cap : INT32_MAX / 2;
    if (p->cap == 0) return true;
    size_t bytes = (size_t)p->cap * p->stride;
    void *base = memory_map(bytes);
    p->next = calloc((size_t)p->cap, sizeof *p->next);
    if (!base || !p->next) {
        memory_unmap(base, bytes);
        return err_set(e, ERR_NO_FIT, "cannot reserve %zu MB for keys and values", bytes >> 20);
    }
    p->base = base;
    return true;
}

static void pool_deinit(kv_pool *p) {
    memory_unmap(p->base, (size_t)p->cap * p->stride);
    free(p->next);
}

static int32_t list_pop(kv_pool *p, int32_t *head) {
    int32_t page = *head;
    *head = p->next[page];
    p->next[page] = KV_USED;
    return page;
}

/* Gives the memory of one free page of some group back to the system. */
static bool pools_cool(kv *k) {
    for (int g = 0; g < k->o.n_groups; g++) {
        kv_pool *p = &k->pool[g];
        if (p->warm == KV_NONE) continue;
        int32_t page = list_pop(p, &p->warm);
        madvise(kv_page_at(k, g, page), p->stride, MADV_DONTNEED);
        p->next[page] = p->cold;
        p->cold = page;
        p->n_warm--;
        k->resident_bytes -= p->stride;
        return true;
    }
    return false;
}

/* KV_NONE: the budget is used up. */
static int32_t page_take(kv *k, int g) {
    kv_pool *p = &k->pool[g];
    int32_t page;
    if (p->warm != KV_NONE) {
        page = list_pop(p, &p->warm);
        p->n_warm--;
    } else {
        if (p->cold == KV_NONE && p->n_fresh == p->cap) return KV_NONE;
        while (k->resident_bytes + p->stride > k->o.budget_bytes)
            if (!pools_cool(k)) return KV_NONE;
        page = p->cold != KV_NONE ? list_pop(p, &p->cold) : p->n_fresh++;
        p->next[page] = KV_USED;
        k->resident_bytes += p->stride;
    }
    p->n_used++;
    k->used_bytes += p->stride;
    return page;
}

void kv_page_give(kv *k, int g, int32_t page) {
    kv_pool *p = &k->pool[g];
    p->next[page] = p->warm;
    p->warm = page;
    p->n_warm++;
    p->n_used--;
    k->used_bytes -= p->stride;
}

kv *kv_new(const kv_options *o, err *e) {
    kv *k = calloc(1, sizeof *k);
    if (!k) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    k->o = *o;
    for (int g = 0; g < o->n_groups; g++)
        if (!pool_init(&k->pool[g], o->page_bytes[g], o->budget_bytes, e)) {
            kv_free(k);
            return NULL;
        }
    return k;
}

void kv_free(kv *k) {
    if (!k) return;
    kv_tree_clear(k);
    free(k->bucket);
    for (int g = 0; g < k->o.n_groups; g++) pool_deinit(&k->pool[g]);
    free(k);
}

/* ---- winning pages back ---- */

int32_t kv_first_block(const kv *k, int g, int32_t pos) {
    int32_t w = k->o.window[g];
    return w == 0 || pos < w ? 0 : (pos - w + 1) / KV_PAGE;
}

/* Own pages of a window group that no later row of s sees: only where nothing enters the tree. */
static bool seq_strip_own(kv *k, kv_seq *s, int g, int32_t first) {
    bool any = false;
    for (int32_t b = s->n_nodes; b < first && b < s->n_blocks; b++) {
        if (s->own[g][b] == KV_NONE) continue;
        kv_page_give(k, g, s->own[g][b]);
        s->own[g][b] = KV_NONE;
        s->page[g][b] = NULL;
        k->n_stripped++;
        any = true;
    }
    return any;
}

/* Of those that s still wants. */
static int32_t seq_first_block(const kv *k, const kv_seq *s, int g) {
    return s->keep ? 0 : kv_first_block(k, g, s->filled);
}

/* Gives back window pages that are out of the sight of every sequence that holds them. */
static bool pages_strip(kv *k) {
    bool any = false;
    k->pass++;
    for (kv_seq *s = k->seqs; s; s = s->next)
        for (int g = 0; g < k->o.n_groups; g++)
            for (int32_t b = seq_first_block(k, s, g); b < s->n_nodes; b++)
                s->node[b]->keep[g] = k->pass;
    for (kv_seq *s = k->seqs; s; s = s->next)
        for (int g = 0; g < k->o.n_groups; g++) {
            int32_t first = seq_first_block(k, s, g);
            for (int32_t b = 0; b < first && b < s->n_nodes; b++) {
                kv_node *n = s->node[b];
                if (n->keep[g] == k->pass) continue;
                s->page[g][b] = NULL;
                if (n->page[g] == KV_NONE) continue;
                kv_page_give(k, g, n->page[g]);
                n->page[g] = KV_NONE;
                k->n_stripped++;
                any = true;
            }
            any |= seq_strip_own(k, s, g, first);
        }
    return any;
}

static int32_t page_win(kv *k, int g) {
    for (;;) {
        int32_t page = page_take(k, g);
        if (page != KV_NONE) return page;
        if (!kv_evict(k) && !pages_strip(k)) return KV_NONE;
    }
}

/* ---- sequences ---- */

kv_seq *kv_seq_new(kv *k, const char *owner) {
    kv_seq *s = calloc(1, sizeof *s);
    if (!s || !(s->root = kv_root_get(k, owner))) {
        free(s);
        return NULL;
    }
    s->next = k->seqs;
    if (s->next) s->next->prev = s;
    k->seqs = s;
    k->n_seqs++;
    return s;
}

int32_t kv_seq_filled(const kv_seq *s) {
    return s->filled;
}

void *const *kv_seq_pages(const kv_seq *s, int group) {
    return s->page[group];
}

bool kv_seq_same_until(const kv_seq *a, const kv_seq *b, int32_t pos) {
    int32_t n = pos / KV_PAGE;
    if (a->root != b->root || n > a->n_nodes || n > b->n_nodes) return false;
    return n == 0 || a->node[n - 1] == b->node[n - 1];
}

static bool seq_reserve(kv *k, kv_seq *s, int32_t n_blocks) {
    if (n_blocks <= s->cap) return true;
    int32_t cap = s->cap ? s->cap : 8;
    while (cap < n_blocks) cap *= 2;
    void *p = realloc(s->node, (size_t)cap * sizeof *s->node);
    if (!p) return false;
    s->node = p;
    for (int g = 0; g < k->o.n_groups; g++) {
        if (!(p = realloc(s->page[g], (size_t)cap * sizeof *s->page[g]))) return false;
        s->page[g] = p;
        if (!(p = realloc(s->own[g], (size_t)cap * sizeof *s->own[g]))) return false;
        s->own[g] = p;
    }
    s->cap = cap;
    return true;
}

/* Own pages for the block after the last; all groups or none. */
static bool seq_add_block(kv *k, kv_seq *s) {
    int32_t b = s->n_blocks;
    if (!seq_reserve(k, s, b + 1)) return false;
    for (int g = 0; g < k->o.n_groups; g++) {
        int32_t page = page_win(k, g);
        if (page == KV_NONE) {
            while (g-- > 0) kv_page_give(k, g, s->own[g][b]);
            return false;
        }
        s->own[g][b] = page;
        s->page[g][b] = kv_page_at(k, g, page);
    }
    s->n_blocks++;
    return true;
}

static void seq_give_own(kv *k, kv_seq *s) {
    for (int32_t b = s->n_nodes; b < s->n_blocks; b++)
        for (int g = 0; g < k->o.n_groups; g++)
            if (s->own[g][b] != KV_NONE) kv_page_give(k, g, s->own[g][b]);
    s->n_blocks = s->n_nodes;
}

/* The next block is the tree's; the node is held already. */
static void seq_add_node(kv *k, kv_seq *s, kv_node *n) {
    int32_t b = s->n_nodes++;
    s->node[b] = n;
    for (int g = 0; g < k->o.n_groups; g++) {
        s->own[g][b] = KV_NONE;
        s->page[g][b] = n->page[g] == KV_NONE ? NULL : kv_page_at(k, g, n->page[g]);
    }
}

bool kv_seq_extend(kv *k, kv_seq *s, int32_t n) {
    if (k->o.no_reuse)
        for (int g = 0; g < k->o.n_groups; g++)
            seq_strip_own(k, s, g, kv_first_block(k, g, s->filled));
    while (s->n_blocks < blocks_of(n))
        if (!seq_add_block(k, s)) return false;
    return true;
}

/* Follows the tree from the node that s ends with. Returns how many more blocks can be taken, so
 * that everything that the next row sees is there; *last, *walked: how far the tree goes on at all.
 */
static int32_t seq_follow(const kv *k, const kv_seq *s, const int32_t *tokens, int32_t n,
                          kv_node **last, int32_t *walked) {
    int32_t present[MODEL_MAX_KV_GROUPS]; /* blocks from here on have their page */
    for (int g = 0; g < k->o.n_groups; g++) present[g] = kv_first_block(k, g, s->filled);
    kv_node *at = s->n_nodes ? s->node[s->n_nodes - 1] : s->root;
    int32_t usable = 0, b = s->n_nodes;
    for (; b < n / KV_PAGE; b++) {
        kv_node *child = kv_node_find(k, at, tokens + (size_t)b * KV_PAGE);
        if (!child) break;
        at = child;
        bool good = true;
        for (int g = 0; g < k->o.n_groups; g++) {
            if (at->page[g] == KV_NONE) present[g] = b + 1;
            good &= present[g] <= kv_first_block(k, g, (b + 1) * KV_PAGE);
        }
        if (good) usable = b + 1 - s->n_nodes;
    }
    *last = at;
    *walked = b - s->n_nodes;
    return usable;
}

static bool node_whole(const kv *k, const kv_node *n) {
    for (int g = 0; g < k->o.n_groups; g++)
        if (n->page[g] == KV_NONE) return false;
    return true;
}

/* Copies the tokens that some child of the last node begins with as the rest does. */
static void seq_copy_tail(kv *k, kv_seq *s, kv_node *last, const int32_t *tokens, int32_t n) {
    int32_t same;
    kv_node *from = kv_node_closest(last, tokens + s->filled, n - s->filled, &same);
    if (!from || !node_whole(k, from)) return;
    /* Held meanwhile, or the room for the copy might be made by evicting it; but room may still
     * be made by taking a page that its other holders no longer see. */
    kv_node_hold(k, from);
    if (seq_add_block(k, s)) {
        if (node_whole(k, from)) {
            for (int g = 0; g < k->o.n_groups; g++)
                memcpy(s->page[g][s->n_blocks - 1], kv_page_at(k, g, from->page[g]),
                       k->o.page_bytes[g]);
            s->filled += same;
        } else {
            seq_give_own(k, s);
        }
    }
    kv_node_release(k, from);
}

static int32_t seq_reuse(kv *k, kv_seq *s, const int32_t *tokens, int32_t n, bool tail) {
    if (k->o.no_reuse || s->filled != s->n_nodes * KV_PAGE) return s->filled;
    kv_node *last;
    int32_t walked, usable = seq_follow(k, s, tokens, n, &last, &walked);
    if (usable > 0 && !seq_reserve(k, s, s->n_nodes + usable)) return s->filled;
    seq_give_own(k, s);
    k->clock++;
    for (int32_t b = 0; b < s->n_nodes; b++) s->node[b]->stamp = k->clock;
    for (int32_t i = 0; i < usable; i++) {
        kv_node *at = s->n_nodes ? s->node[s->n_nodes - 1] : s->root;
        kv_node *child = kv_node_find(k, at, tokens + (size_t)s->n_nodes * KV_PAGE);
        kv_node_hold(k, child);
        seq_add_node(k, s, child);
    }
    s->n_blocks = s->n_nodes;
    s->filled = s->n_nodes * KV_PAGE;
    if (tail && usable == walked && s->filled < n) seq_copy_tail(k, s, last, tokens, n);
    return s->filled;
}

int32_t kv_seq_reuse(kv *k, kv_seq *s, const int32_t *tokens, int32_t n) {
    return seq_reuse(k, s, tokens, n, true);
}

int32_t kv_seq_reuse_full(kv *k, kv_seq *s, const int32_t *tokens, int32_t n) {
    return seq_reuse(k, s, tokens, n, false);
}

void kv_seq_keep(kv_seq *s, bool keep) {
    s->keep = keep;
}

/* Own pages of block b, as kv_node_put takes them. */
static void own_of(const kv *k, const kv_seq *s, int32_t b, int32_t *pages) {
    for (int g = 0; g < k->o.n_groups; g++) pages[g] = s->own[g][b];
}

void kv_seq_commit(kv *k, kv_seq *s, const int32_t *tokens, int32_t n) {
    s->filled = n;
    if (k->o.no_reuse) return;
    k->clock++;
    if (s->n_nodes < n / KV_PAGE) /* a parent's stamp is never older than a child's */
        for (int32_t b = 0; b < s->n_nodes; b++) s->node[b]->stamp = k->clock;
    while (s->n_nodes < n / KV_PAGE) {
        int32_t b = s->n_nodes, pages[MODEL_MAX_KV_GROUPS];
        own_of(k, s, b, pages);
        kv_node *parent = b ? s->node[b - 1] : s->root;
        kv_node *node = kv_node_put(k, parent, tokens + (size_t)b * KV_PAGE, KV_PAGE, pages);
        if (!node) return; /* memory is short: the pages stay ours, and it is tried again */
        seq_add_node(k, s, node);
    }
}

static void seq_leave_nodes(kv *k, kv_seq *s) {
    k->clock++;
    for (int32_t b = 0; b < s->n_nodes; b++) s->node[b]->stamp = k->clock;
    while (s->n_nodes > 0) kv_node_release(k, s->node[--s->n_nodes]);
    s->n_blocks = 0;
    s->filled = 0;
}

void kv_seq_drop(kv *k, kv_seq *s) {
    seq_give_own(k, s);
    seq_leave_nodes(k, s);
}

void kv_seq_free(kv *k, kv_seq *s, const int32_t *tokens) {
    if (!s) return;
    int32_t b = s->n_nodes, tail = s->filled - b * KV_PAGE;
    if (!k->o.no_reuse && tail > 0 && tail < KV_PAGE && b < s->n_blocks) {
        int32_t pages[MODEL_MAX_KV_GROUPS];
        own_of(k, s, b, pages);
        k->clock++;
        for (int32_t i = 0; i < b; i++) s->node[i]->stamp = k->clock;
        kv_node *parent = b ? s->node[b - 1] : s->root;
        if (kv_node_put(k, parent, tokens + (size_t)b * KV_PAGE, tail, pages))
            for (int g = 0; g < k->o.n_groups; g++) s->own[g][b] = KV_NONE;
    }
    kv_seq_drop(k, s);
    if (s->prev) s->prev->next = s->next;
    else k->seqs = s->next;
    if (s->next) s->next->prev = s->prev;
    k->n_seqs--;
    kv_node_release(k, s->root);
    for (int g = 0; g < k->o.n_groups; g++) {
        free(s->page[g]);
        free(s->own[g]);
    }
    free(s->node);
    free(s);
}

/* ---- figures ---- */

uint64_t kv_needs(const kv *k, int32_t n, int32_t chunk) {
    return kv_need_bytes(&k->o, n, chunk);
}

uint64_t kv_free_bytes(const kv *k) {
    return k->o.budget_bytes - k->used_bytes + k->idle_bytes;
}

uint64_t kv_seq_missing_bytes(const kv *k, const kv_seq *s, int32_t n, int32_t chunk) {
    uint64_t bytes = 0;
    for (int g = 0; g < k->o.n_groups; g++) {
        int32_t want = blocks_needed(&k->o, g, n, chunk);
        int32_t have = s->n_blocks - kv_first_block(k, g, s->filled);
        if (want > have) bytes += (uint64_t)(want - have) * k->pool[g].stride;
    }
    return bytes;
}

void kv_stats_get(const kv *k, kv_stats *out) {
    size_t strides = 0;
    *out = (kv_stats){.budget_bytes = k->o.budget_bytes,
                      .used_bytes = k->used_bytes,
                      .idle_bytes = k->idle_bytes,
                      .resident_bytes = k->resident_bytes,
                      .n_nodes = k->n_nodes,
                      .n_seqs = k->n_seqs,
                      .n_evicted = k->n_evicted,
                      .n_stripped = k->n_stripped,
                      .n_pages_idle = k->n_pages_idle};
    for (int g = 0; g < k->o.n_groups; g++) {
        strides += k->pool[g].stride;
        out->n_pages_used += (uint64_t)k->pool[g].n_used;
    }
    if (strides) out->n_pages = k->o.budget_bytes / strides * (uint64_t)k->o.n_groups;
}

/* ---- checking ---- */

static bool seq_check(const kv *k, const kv_seq *s, int32_t *const owners[], err *e) {
    if (s->n_nodes > s->n_blocks || s->n_blocks > s->cap || s->filled > s->n_blocks * KV_PAGE)
        return err_set(e, ERR_FAILED, "kv: a sequence of %d nodes, %d blocks, %d positions",
                       s->n_nodes, s->n_blocks, s->filled);
    for (int32_t b = 0; b < s->n_blocks; b++)
        for (int g = 0; g < k->o.n_groups; g++) {
            int32_t page = b < s->n_nodes ? s->node[b]->page[g] : s->own[g][b];
            bool seen = b >= kv_first_block(k, g, s->filled);
            if (page == KV_NONE && (seen || s->page[g][b]))
                return err_set(e, ERR_FAILED, "kv: a sequence lacks a page that it sees");
            if (page != KV_NONE && (seen || s->page[g][b]) &&
                s->page[g][b] != kv_page_at(k, g, page))
                return err_set(e, ERR_FAILED, "kv: a sequence points at somebody else's page");
            if (b >= s->n_nodes && page != KV_NONE) owners[g][page]++;
        }
    return true;
}

static bool pool_check(const kv *k, int g, const int32_t *owners, err *e) {
    const kv_pool *p = &k->pool[g];
    int32_t n_used = 0, n_warm = 0, n_cold = 0;
    for (int32_t i = p->warm; i != KV_NONE; i = p->next[i]) n_warm++;
    for (int32_t i = p->cold; i != KV_NONE; i = p->next[i]) n_cold++;
    for (int32_t i = 0; i < p->n_fresh; i++) {
        bool used = p->next[i] == KV_USED;
        if (owners[i] != (used ? 1 : 0))
            return err_set(e, ERR_FAILED, "kv: page %d of group %d, %s, has %d owners", i, g,
                           used ? "in use" : "free", owners[i]);
        n_used += used;
    }
    if (n_used != p->n_used || n_warm != p->n_warm || n_used + n_warm + n_cold != p->n_fresh)
        return err_set(e, ERR_FAILED, "kv: group %d: %d used, %d warm, %d cold pages of %d", g,
                       n_used, n_warm, n_cold, p->n_fresh);
    return true;
}

bool kv_check(const kv *k, err *e) {
    int32_t *owners[MODEL_MAX_KV_GROUPS] = {0};
    bool ok = true;
    uint64_t used = 0, resident = 0;
    for (int g = 0; g < k->o.n_groups; g++) {
        owners[g] = calloc((size_t)k->pool[g].n_fresh + 1, sizeof *owners[g]);
        if (!owners[g]) ok = err_set(e, ERR_FAILED, "out of memory");
        used += (uint64_t)k->pool[g].n_used * k->pool[g].stride;
        resident += (uint64_t)(k->pool[g].n_used + k->pool[g].n_warm) * k->pool[g].stride;
    }
    for (const kv_seq *s = k->seqs; ok && s; s = s->next) ok = seq_check(k, s, owners, e);
    ok = ok && kv_tree_check(k, owners, e);
    for (int g = 0; ok && g < k->o.n_groups; g++) ok = pool_check(k, g, owners[g], e);
    if (ok &&
        (used != k->used_bytes || resident != k->resident_bytes || resident > k->o.budget_bytes))
        ok = err_set(e, ERR_FAILED,
                     "kv: %llu bytes used, %llu resident of %llu; counted %llu and %llu",
                     (unsigned long long)k->used_bytes, (unsigned long long)k->resident_bytes,
                     (unsigned long long)k->o.budget_bytes, (unsigned long long)used,
                     (unsigned long long)resident);
    for (int g = 0; g < k->o.n_groups; g++) free(owners[g]);
    return ok;
}
