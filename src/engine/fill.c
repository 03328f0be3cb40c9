/* Pages that nobody here has to compute: those that an administrator has published, and those that
 * are on disk; and how pages get there.
 *
 * Published pages are copied into the owner's own part of the tree, page by page as they are
 * wanted: so what an owner goes on with stays its own, and the tree needs to know nothing of it.
 * Disk pages are read into fresh pages in the same way. Both are then like computed ones.
 *
 * When a request ends, its sequence is lent to the disk's thread instead of being given up, and
 * comes back when its full pages are written; where memory is wanted meanwhile, it is called back.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine_private.h"

#define PIN_OWNER                                                                                  \
    "\001published" /* no owner of requests: a name begins with no control character */

/* ---- taking ---- */

static const engine_pin *pin_with(const hearth_engine *g, const hearth_request *r, int32_t block) {
    size_t bytes = ((size_t)block + 1) * KV_PAGE * sizeof *r->tokens;
    for (int32_t i = 0; i < g->n_pins; i++) {
        const engine_pin *p = &g->pin[i];
        if (p->n_pages > block && memcmp(p->tokens, r->tokens, bytes) == 0 &&
            strcmp(p->adapters, adapt_print(r)) == 0)
            return p;
    }
    return NULL;
}

/* disk_at names the page `block` of r's text. */
static bool on_disk(hearth_engine *g, hearth_request *r, int32_t block) {
    if (!g->disk) return false;
    if (r->disk_blocks == 0 || r->disk_blocks > block + 1) {
        disk_first(g->disk, r->space, &r->disk_at);
        r->disk_blocks = 0;
    }
    for (; r->disk_blocks <= block; r->disk_blocks++)
        disk_next(g->disk, &r->disk_at, r->tokens + (size_t)r->disk_blocks * KV_PAGE);
    return disk_has(g->disk, &r->disk_at);
}

static void *const *pages_at(const hearth_engine *g, const kv_seq *s, int32_t block, void **page) {
    for (int i = 0; i < model_n_kv_groups(g->model->inner); i++)
        page[i] = kv_seq_pages(s, i)[block];
    return page;
}

static bool page_fill(hearth_engine *g, hearth_request *r, const engine_pin *pin, int32_t block) {
    void *to[MODEL_MAX_KV_GROUPS], *from[MODEL_MAX_KV_GROUPS];
    pages_at(g, r->seq, block, to);
    if (!pin) return disk_read(g->disk, &r->disk_at, to);
    pages_at(g, pin->seq, block, from);
    for (int i = 0; i < model_n_kv_groups(g->model->inner); i++)
        memcpy(to[i], from[i], g->page_bytes[i]);
    return true;
}

/* One page more; false: nothing comes from elsewhere any more. */
static bool fill_one(hearth_engine *g, hearth_request *r) {
    int32_t at = r->computed, block = at / KV_PAGE;
    if (at % KV_PAGE != 0 || at + KV_PAGE > r->n_tokens - 1) return false;
    const engine_pin *pin = pin_with(g, r, block);
    if (!pin && !on_disk(g, r, block)) return false;
    if (!kv_seq_extend(g->kv, r->seq, at + KV_PAGE) || !page_fill(g, r, pin, block)) return false;
    kv_seq_commit(g->kv, r->seq, r->tokens, at + KV_PAGE);
    /* the next ones may be in the tree again */
    int32_t have = kv_seq_reuse_full(g->kv, r->seq, r->tokens, r->n_tokens - 1);
    if (!r->preempted) r->account.n_cached += have - at;
    g->stats.n_cached += (uint64_t)(have - at);
    if (!pin) g->stats.n_from_disk += KV_PAGE;
    r->computed = have;
    return true;
}

bool fill_more(hearth_engine *g, hearth_request *r, double until_s) {
    if (!fill_wanted(g, r)) return false;
    while (fill_one(g, r))
        if (clock_now_s() > until_s) return true;
    r->filled = true;
    return false;
}

/* ---- giving ---- */

static bool lend(hearth_engine *g, kv_seq *s, const char *owner, const int32_t *tokens, int32_t n) {
    if (!g->disk || kv_seq_filled(s) < KV_PAGE) return false;
    kv_seq_keep(s, true);
    if (disk_lend(g->disk, s, owner, tokens, n)) return true;
    kv_seq_keep(s, false);
    return false;
}

bool fill_take_back(hearth_engine *g, bool now) {
    int32_t *tokens;
    kv_seq *s = g->disk ? disk_take(g->disk, &tokens, now) : NULL;
    if (!s) return false;
    kv_seq_keep(s, false);
    kv_seq_free(g->kv, s, tokens);
    free(tokens);
    return true;
}

/* The sequence stays for good; what is written is another one on the same pages. */
static void pin_keep(hearth_engine *g, hearth_request *r) {
    engine_pin *p = &g->pin[g->n_pins];
    *p = (engine_pin){.seq = r->seq,
                      .tokens = r->tokens,
                      .space = r->space,
                      .adapters = adapt_print(r),
                      .n_pages = r->n_prompt / KV_PAGE};
    g->n_pins++;
    kv_seq_keep(p->seq, true);
    kv_seq *twin = g->disk ? kv_seq_new(g->kv, r->space) : NULL;
    if (twin) {
        kv_seq_reuse_full(g->kv, twin, r->tokens, r->n_prompt);
        if (!lend(g, twin, r->space, r->tokens, r->n_prompt)) kv_seq_free(g->kv, twin, r->tokens);
    }
    r->seq = NULL;
    r->tokens = NULL;
    r->space = NULL;
}

void fill_part(hearth_engine *g, hearth_request *r) {
    drafter_leave(g->drafter, &r->drafted);
    nextn_leave(g->nextn, &r->ahead);
    if (r->pin && r->finish == HEARTH_FINISH_LENGTH && g->n_pins < ENGINE_PINS) pin_keep(g, r);
    else if (r->seq && !lend(g, r->seq, r->space, r->tokens, r->n_tokens))
        kv_seq_free(g->kv, r->seq, r->tokens);
    r->seq = NULL;
}

/* ---- publishing ---- */

static bool pin_room(hearth_engine *g, int32_t n, uint64_t *bytes, err *e) {
    kv_stats k;
    kv_stats_get(g->kv, &k); /* the budget never changes */
    uint64_t one = kv_needs(g->kv, g->n_ctx, g->batch_tokens);
    *bytes = kv_needs(g->kv, n, n);
    uint64_t all = (uint64_t)atomic_fetch_add(&g->pinned_bytes, (int64_t)*bytes) + *bytes;
    if (one + all <= k.budget_bytes) return true;
    atomic_fetch_sub(&g->pinned_bytes, (int64_t)*bytes);
    return err_set(
        e, ERR_NO_FIT,
        "%d tokens to publish need %.1f MiB; a request of %d tokens, what is published and "
        "that are more than the %.1f MiB for keys and values",
        n, (double)*bytes / 1048576.0, g->n_ctx, (double)k.budget_bytes / 1048576.0);
}

static bool pin(hearth_engine *g, const int32_t *tokens, size_t n, const hearth_lora_use *lora,
                size_t n_lora, err *e) {
    uint64_t bytes;
    hearth_token t;
    hearth_err he = {0};
    if (g->encoder || !g->reuse)
        return err_set(e, ERR_USAGE, "this engine keeps no prefixes: nothing can be published");
    if (n < KV_PAGE || n > (size_t)g->n_ctx)
        return err_set(e, ERR_USAGE, "a prefix of %zu tokens; it must have %d to %d", n, KV_PAGE,
                       g->n_ctx);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= g->n_vocab)
            return err_set(e, ERR_USAGE, "there is no token %d; the vocabulary has 0 to %d",
                           tokens[i], g->n_vocab - 1);
    n = n / KV_PAGE * KV_PAGE;
    if (!pin_room(g, (int32_t)n, &bytes, e)) return false;
    hearth_request *r = request_blank(g, PIN_OWNER, tokens, n, e);
    if (r && (!adapt_begin(g, r, lora, n_lora, e) || !queue_enter(g, 1, e))) {
        request_release(r);
        r = NULL;
    }
    bool ok = r != NULL;
    if (ok) {
        request_list l = {r, r};
        r->pin = true;
        queue_submit(g, &l);
        ok = hearth_next(r, &t, &he) == 0 && r->usage.finish == HEARTH_FINISH_LENGTH;
        if (!ok)
            err_set(e, ERR_FAILED, "cannot publish: %s", he.code ? he.msg : "the engine has ended");
        request_release(r);
    }
    if (!ok) atomic_fetch_sub(&g->pinned_bytes, (int64_t)bytes);
    return ok;
}

bool hearth_engine_pin(hearth_engine *g, const int32_t *tokens, size_t n,
                       const hearth_lora_use *lora, size_t n_lora, hearth_err *e) {
    err inner = {0};
    return pin(g, tokens, n, lora, n_lora, &inner) || engine_err_out(e, &inner);
}

/* ---- beginning and end ---- */

static void on_idle(void *ud) {
    engine_poke(ud);
}

bool fill_open(hearth_engine *g, const hearth_engine_options *o, err *e) {
    const model *m = g->model->inner;
    kern_kv_type type = engine_kv_type(o->kv);
    uint8_t print[MODEL_FINGERPRINT];
    char hex[2 * MODEL_FINGERPRINT + 1], name[2 * MODEL_FINGERPRINT + 32];
    for (int i = 0; i < model_n_kv_groups(m); i++)
        g->page_bytes[i] = model_kv_page_bytes(model_kv_group_at(m, i), type);
    if (!o->cache_disk || g->encoder || !g->reuse) return true;
    if (sodium_init() < 0) return err_set(e, ERR_FAILED, "no random numbers can be had");
    model_fingerprint(m, print);
    sodium_bin2hex(hex, sizeof hex, print, sizeof print);
    snprintf(name, sizeof name, "%s %d", hex, (int)type);
    disk_options d = {.folder = o->cache_disk,
                      .max_bytes = o->cache_disk_bytes ? o->cache_disk_bytes : (uint64_t)8 << 30,
                      .model = name,
                      .n_groups = model_n_kv_groups(m),
                      .idle = on_idle,
                      .ud = g};
    memcpy(d.page_bytes, g->page_bytes, sizeof d.page_bytes);
    g->disk = disk_open(&d, e);
    return g->disk != NULL;
}

void fill_close(hearth_engine *g) {
    if (g->disk) disk_flush(g->disk);
    while (fill_take_back(g, false)) continue;
    disk_close(g->disk);
    g->disk = NULL;
    for (int32_t i = 0; i < g->n_pins; i++) {
        kv_seq_free(g->kv, g->pin[i].seq, g->pin[i].tokens);
        free(g->pin[i].tokens);
        free(g->pin[i].space);
    }
    g->n_pins = 0;
}
