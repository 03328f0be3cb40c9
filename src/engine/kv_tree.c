/* The prefix tree: nodes, who holds them, and which goes first. */
#include "engine/kv_private.h"

#include <stdlib.h>
#include <string.h>

static uint64_t node_bytes(const kv *k, const kv_node *n) {
    uint64_t bytes = 0;
    for (int g = 0; g < k->o.n_groups; g++)
        if (n->page[g] != KV_NONE) bytes += k->pool[g].stride;
    return bytes;
}

/* A node becomes idle (sign 1), or ceases to be (-1). */
static void idle_count(kv *k, const kv_node *n, int sign) {
    for (int g = 0; g < k->o.n_groups; g++)
        if (n->page[g] != KV_NONE) k->n_pages_idle += (uint64_t)sign;
    k->idle_bytes += (uint64_t)sign * node_bytes(k, n);
}

/* ---- the list of idle leaves, by stamp ---- */

static void lru_remove(kv *k, kv_node *n) {
    if (!n->in_lru) return;
    if (n->lru_prev) n->lru_prev->lru_next = n->lru_next;
    else k->lru_head = n->lru_next;
    if (n->lru_next) n->lru_next->lru_prev = n->lru_prev;
    else k->lru_tail = n->lru_prev;
    n->lru_prev = n->lru_next = NULL;
    n->in_lru = false;
}

static void lru_insert(kv *k, kv_node *n) {
    kv_node *before = k->lru_tail;
    while (before && before->stamp > n->stamp) before = before->lru_prev;
    n->lru_prev = before;
    n->lru_next = before ? before->lru_next : k->lru_head;
    if (n->lru_next) n->lru_next->lru_prev = n;
    else k->lru_tail = n;
    if (before) before->lru_next = n;
    else k->lru_head = n;
    n->in_lru = true;
}

/* ---- family ---- */

static void child_link(kv_node *parent, kv_node *n) {
    n->parent = parent;
    n->prev = NULL;
    n->next = parent->child;
    if (n->next) n->next->prev = n;
    parent->child = n;
}

static void child_unlink(kv_node *n) {
    if (n->prev) n->prev->next = n->next;
    else n->parent->child = n->next;
    if (n->next) n->next->prev = n->prev;
}

/* ---- full nodes by parent and tokens: a node may have any number of children ---- */

static uint64_t place_of(const kv_node *parent, const int32_t *tokens) {
    uint64_t h = (uint64_t)(uintptr_t)parent;
    for (int i = 0; i < KV_PAGE; i++)
        h = (h ^ (uint64_t)(uint32_t)tokens[i]) * 0x9E3779B97F4A7C15u + (h >> 29);
    return h ^ h >> 32;
}

/* One bucket a node; where memory is short there are fewer. False: there is none at all. */
static bool buckets_fit(kv *k) {
    if ((size_t)k->n_nodes < k->n_buckets) return true;
    size_t n = k->n_buckets ? 2 * k->n_buckets : 64;
    kv_node **more = calloc(n, sizeof(kv_node *));
    if (!more) return k->n_buckets > 0;
    for (size_t i = 0; i < k->n_buckets; i++)
        for (kv_node *at = k->bucket[i], *next; at; at = next) {
            next = at->hash_next;
            at->hash_next = more[at->hash & (n - 1)];
            more[at->hash & (n - 1)] = at;
        }
    free(k->bucket);
    k->bucket = more;
    k->n_buckets = n;
    return true;
}

static void hash_insert(kv *k, kv_node *n) {
    n->hash = place_of(n->parent, n->token);
    kv_node **at = &k->bucket[n->hash & (k->n_buckets - 1)];
    n->hash_next = *at;
    *at = n;
}

static void hash_remove(kv *k, const kv_node *n) {
    kv_node **at = &k->bucket[n->hash & (k->n_buckets - 1)];
    while (*at != n) at = &(*at)->hash_next;
    *at = n->hash_next;
}

static void root_free_if_empty(kv *k, kv_node *root) {
    if (root->refs > 0 || root->child) return;
    if (root->prev) root->prev->next = root->next;
    else k->roots = root->next;
    if (root->next) root->next->prev = root->prev;
    free(root->owner);
    free(root);
}

kv_node *kv_root_get(kv *k, const char *owner) {
    for (kv_node *r = k->roots; r; r = r->next)
        if (strcmp(r->owner, owner) == 0) {
            r->refs++;
            return r;
        }
    kv_node *r = calloc(1, sizeof *r);
    char *name = strdup(owner);
    if (!r || !name) {
        free(r);
        free(name);
        return NULL;
    }
    for (int g = 0; g < MODEL_MAX_KV_GROUPS; g++) r->page[g] = KV_NONE;
    r->owner = name;
    r->refs = 1;
    r->next = k->roots;
    if (r->next) r->next->prev = r;
    k->roots = r;
    return r;
}

void kv_node_hold(kv *k, kv_node *n) {
    if (n->refs++ == 0 && !n->owner) {
        lru_remove(k, n);
        idle_count(k, n, -1);
    }
    n->stamp = k->clock;
}

void kv_node_release(kv *k, kv_node *n) {
    n->refs--;
    if (n->owner) {
        root_free_if_empty(k, n);
        return;
    }
    n->stamp = k->clock;
    if (n->refs > 0) return;
    idle_count(k, n, 1);
    if (!n->child) lru_insert(k, n);
}

/* An idle leaf ceases to be. Its parent may become one, or, as an empty root, go too. */
static void node_remove(kv *k, kv_node *n) {
    kv_node *parent = n->parent;
    lru_remove(k, n);
    idle_count(k, n, -1);
    if (n->n_tokens == KV_PAGE) hash_remove(k, n);
    for (int g = 0; g < k->o.n_groups; g++)
        if (n->page[g] != KV_NONE) kv_page_give(k, g, n->page[g]);
    child_unlink(n);
    free(n);
    k->n_nodes--;
    if (parent->owner) root_free_if_empty(k, parent);
    else if (!parent->child && parent->refs == 0) lru_insert(k, parent);
}

bool kv_evict(kv *k) {
    if (!k->lru_head) return false;
    node_remove(k, k->lru_head);
    k->n_evicted++;
    return true;
}

void kv_tree_clear(kv *k) {
    while (k->lru_head) node_remove(k, k->lru_head);
}

/* ---- finding and putting ---- */

kv_node *kv_node_find(const kv *k, const kv_node *parent, const int32_t *tokens) {
    if (k->n_buckets == 0) return NULL;
    uint64_t hash = place_of(parent, tokens);
    for (kv_node *c = k->bucket[hash & (k->n_buckets - 1)]; c; c = c->hash_next)
        if (c->hash == hash && c->parent == parent &&
            memcmp(c->token, tokens, sizeof c->token) == 0)
            return c;
    return NULL;
}

static int32_t same_tokens(const kv_node *c, const int32_t *tokens, int32_t n) {
    int32_t limit = c->n_tokens < n ? c->n_tokens : n, i = 0;
    while (i < limit && c->token[i] == tokens[i]) i++;
    return i;
}

kv_node *kv_node_closest(const kv_node *parent, const int32_t *tokens, int32_t n, int32_t *n_same) {
    kv_node *best = NULL;
    *n_same = 0;
    for (kv_node *c = parent->child; c; c = c->next) {
        int32_t same = same_tokens(c, tokens, n);
        if (same > *n_same) {
            *n_same = same;
            best = c;
        }
    }
    return best;
}

static void pages_give(kv *k, const int32_t *pages) {
    for (int g = 0; g < k->o.n_groups; g++)
        if (pages[g] != KV_NONE) kv_page_give(k, g, pages[g]);
}

/* The node is there already: it gets what it lost to its window, the rest goes back. The bytes of
 * both are the same, whoever computed them. */
static void node_mend(kv *k, kv_node *n, const int32_t *pages) {
    for (int g = 0; g < k->o.n_groups; g++) {
        if (pages[g] == KV_NONE) continue;
        if (n->page[g] == KV_NONE) {
            n->page[g] = pages[g];
            if (n->refs == 0) {
                k->idle_bytes += k->pool[g].stride;
                k->n_pages_idle++;
            }
        } else {
            kv_page_give(k, g, pages[g]);
        }
    }
}

static kv_node *node_new(kv *k, kv_node *parent, const int32_t *tokens, int32_t n,
                         const int32_t *pages) {
    kv_node *c = n < KV_PAGE || buckets_fit(k) ? calloc(1, sizeof *c) : NULL;
    if (!c) return NULL;
    for (int g = 0; g < MODEL_MAX_KV_GROUPS; g++)
        c->page[g] = g < k->o.n_groups ? pages[g] : KV_NONE;
    memcpy(c->token, tokens, (size_t)n * sizeof *tokens);
    c->n_tokens = n;
    c->stamp = k->clock;
    lru_remove(k, parent);
    child_link(parent, c);
    if (n == KV_PAGE) hash_insert(k, c);
    k->n_nodes++;
    return c;
}

/* Tails that say nothing that the n tokens do not say. */
static void tails_remove(kv *k, kv_node *parent, const kv_node *except, const int32_t *tokens,
                         int32_t n) {
    for (kv_node *c = parent->child, *next; c; c = next) {
        next = c->next;
        if (c != except && c->n_tokens < KV_PAGE && c->n_tokens <= n &&
            same_tokens(c, tokens, n) == c->n_tokens)
            node_remove(k, c);
    }
}

kv_node *kv_node_put(kv *k, kv_node *parent, const int32_t *tokens, int32_t n,
                     const int32_t *pages) {
    kv_node *c;
    if (n < KV_PAGE) {
        int32_t same;
        kv_node *there = kv_node_closest(parent, tokens, n, &same);
        if (there && same == n) {
            pages_give(k, pages);
            return there;
        }
        if (!(c = node_new(k, parent, tokens, n, pages))) return NULL;
        idle_count(k, c, 1);
        lru_insert(k, c);
    } else if ((c = kv_node_find(k, parent, tokens))) {
        kv_node_hold(k, c);
        node_mend(k, c, pages);
    } else {
        if (!(c = node_new(k, parent, tokens, n, pages))) return NULL;
        c->refs = 1;
    }
    tails_remove(k, parent, c, tokens, n);
    return c;
}

/* ---- checking ---- */

typedef struct tree_count {
    const kv *k;
    int32_t *const *owners; /* [group][page]: owners found */
    int32_t n_nodes, n_lru;
    uint64_t idle_bytes, n_pages_idle;
} tree_count;

static int32_t holders(const kv *k, const kv_node *n) {
    int32_t count = 0;
    for (const kv_seq *s = k->seqs; s; s = s->next) {
        if (s->root == n) count++;
        for (int32_t b = 0; b < s->n_nodes; b++) count += s->node[b] == n;
    }
    return count;
}

static bool node_check(tree_count *t, const kv_node *n, err *e) {
    const kv *k = t->k;
    t->n_nodes++;
    if (n->refs != holders(k, n))
        return err_set(e, ERR_FAILED, "kv: a node has %d holders and counts %d", holders(k, n),
                       n->refs);
    if (n->n_tokens < 1 || n->n_tokens > KV_PAGE)
        return err_set(e, ERR_FAILED, "kv: a node of %d tokens", n->n_tokens);
    if (n->n_tokens < KV_PAGE && (n->child || n->refs))
        return err_set(e, ERR_FAILED, "kv: a tail that is held or has children");
    if (n->n_tokens == KV_PAGE && kv_node_find(k, n->parent, n->token) != n)
        return err_set(e, ERR_FAILED, "kv: a full node is not found by its tokens");
    if (n->in_lru != (n->refs == 0 && !n->child))
        return err_set(e, ERR_FAILED, "kv: idle leaf %d, in the list %d", n->refs == 0 && !n->child,
                       n->in_lru);
    if (!n->parent->owner && (n->parent->refs < n->refs || n->parent->stamp < n->stamp))
        return err_set(e, ERR_FAILED, "kv: a node is held more, or later, than its parent");
    for (int g = 0; g < k->o.n_groups; g++)
        if (n->page[g] != KV_NONE) t->owners[g][n->page[g]]++;
    if (n->refs == 0) t->idle_bytes += node_bytes(k, n);
    for (int g = 0; n->refs == 0 && g < k->o.n_groups; g++)
        t->n_pages_idle += n->page[g] != KV_NONE;
    t->n_lru += n->in_lru;
    return true;
}

/* Depth-first without recursion: a chain is as long as a context. */
static bool family_check(tree_count *t, const kv_node *root, err *e) {
    const kv_node *n = root->child;
    while (n) {
        if (!node_check(t, n, e)) return false;
        if (n->child) {
            n = n->child;
            continue;
        }
        while (n != root && !n->next) n = n->parent;
        n = n == root ? NULL : n->next;
    }
    return true;
}

bool kv_tree_check(const kv *k, int32_t *const owners[], err *e) {
    tree_count t = {.k = k, .owners = owners};
    for (const kv_node *r = k->roots; r; r = r->next) {
        if (r->refs != holders(k, r) || (r->refs == 0 && !r->child))
            return err_set(e, ERR_FAILED, "kv: root \"%s\" has %d holders and counts %d", r->owner,
                           holders(k, r), r->refs);
        if (!family_check(&t, r, e)) return false;
    }
    int32_t n_lru = 0;
    for (const kv_node *n = k->lru_head; n; n = n->lru_next) {
        n_lru++;
        if (n->lru_next && n->lru_next->stamp < n->stamp)
            return err_set(e, ERR_FAILED, "kv: the idle leaves are out of order");
    }
    if (n_lru != t.n_lru || t.n_nodes != k->n_nodes || t.idle_bytes != k->idle_bytes ||
        t.n_pages_idle != k->n_pages_idle)
        return err_set(e, ERR_FAILED,
                       "kv: %d nodes, %d idle leaves, %llu idle bytes; counted %d, %d, %llu",
                       k->n_nodes, n_lru, (unsigned long long)k->idle_bytes, t.n_nodes, t.n_lru,
                       (unsigned long long)t.idle_bytes);
    return true;
}
