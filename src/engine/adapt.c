/* Adapters: opened for a model, held by whoever opened them and by the requests that use them.
 *
 * Keys and values depend on the adapters in force. So a request with any shares prefixes in a
 * namespace of its own: the owner's name, the hash of each adapter and its scale, in the order of
 * the hashes.
 */
#include "engine/engine_private.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

hearth_lora *hearth_lora_open(hearth_model *m, const char *path, hearth_err *e) {
    err inner = {0};
    hearth_lora *l = calloc(1, sizeof *l);
    if (!l) err_set(&inner, ERR_NO_FIT, "out of memory");
    else l->inner = model_lora_open(m->inner, path, &inner);
    if (l && l->inner) {
        l->model = m;
        atomic_init(&l->holders, 1);
        return l;
    }
    free(l);
    engine_err_out(e, &inner);
    return NULL;
}

void hearth_lora_close(hearth_lora *l) {
    if (!l || atomic_fetch_sub(&l->holders, 1) != 1) return;
    model_lora_close(l->inner);
    free(l);
}

void hearth_lora_info_get(const hearth_lora *l, hearth_lora_info *out) {
    const model_lora_info *i = model_lora_info_of(l->inner);
    *out = (hearth_lora_info){.name = i->name,
                              .task = i->task,
                              .n_matrices = i->n_pairs,
                              .rank = i->rank,
                              .alpha = i->alpha,
                              .memory_bytes = i->memory_bytes};
}

/* ---- of a request ---- */

static bool uses_check(const hearth_engine *g, const hearth_lora_use *use, size_t n, err *e) {
    if (n > LIMIT_LORAS)
        return err_set(e, ERR_USAGE, "%zu adapters; a request has at most %d", n, LIMIT_LORAS);
    for (size_t i = 0; i < n; i++) {
        if (use[i].lora->model != g->model)
            return err_set(e, ERR_USAGE, "adapter %zu was opened for another model", i);
        if (!isfinite(use[i].scale))
            return err_set(e, ERR_USAGE, "the scale of adapter %zu is no number", i);
        for (size_t j = 0; j < i; j++)
            if (use[j].lora == use[i].lora)
                return err_set(e, ERR_USAGE, "adapter %zu is named twice", i);
    }
    return true;
}

static int by_hash(const void *a, const void *b) {
    const hearth_lora_use *x = a, *y = b;
    return memcmp(model_lora_print(x->lora->inner), model_lora_print(y->lora->inner),
                  MODEL_LORA_PRINT);
}

/* A control character ends the owner's name: no owner has one in its name. */
static char *space_of(const hearth_request *r) {
    buf b;
    char hex[2 * MODEL_LORA_PRINT + 1];
    uint32_t bits;
    buf_init(&b, 1 << 20);
    buf_puts(&b, r->owner);
    for (int32_t i = 0; i < r->n_lora; i++) {
        sodium_bin2hex(hex, sizeof hex, model_lora_print(r->lora[i].lora->inner), MODEL_LORA_PRINT);
        memcpy(&bits, &r->lora[i].scale, sizeof bits);
        buf_printf(&b, "\002%s*%08x", hex, bits);
    }
    buf_putc(&b, 0);
    char *text = b.failed ? NULL : buf_take(&b, NULL);
    buf_deinit(&b);
    return text;
}

bool adapt_begin(hearth_engine *g, hearth_request *r, const hearth_lora_use *use, size_t n,
                 err *e) {
    if (n == 0) return true;
    if (!uses_check(g, use, n, e)) return false;
    r->lora = calloc(n, sizeof *r->lora);
    r->lora_inner = calloc(n, sizeof *r->lora_inner);
    if (!r->lora || !r->lora_inner) return err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (use[i].scale == 0) continue;
        r->lora[r->n_lora++] = use[i];
        atomic_fetch_add(&use[i].lora->holders, 1);
    }
    if (r->n_lora == 0) return true;
    qsort(r->lora, (size_t)r->n_lora, sizeof *r->lora, by_hash);
    for (int32_t i = 0; i < r->n_lora; i++)
        r->lora_inner[i] = (model_lora_use){r->lora[i].lora->inner, r->lora[i].scale};
    char *space = space_of(r);
    if (!space) return err_set(e, ERR_FAILED, "out of memory");
    free(r->space);
    r->space = space;
    return true;
}

const char *adapt_print(const hearth_request *r) {
    return r->space + strlen(r->owner);
}

void adapt_end(hearth_request *r) {
    for (int32_t i = 0; i < r->n_lora; i++) hearth_lora_close(r->lora[i].lora);
    free(r->lora);
    free(r->lora_inner);
}
