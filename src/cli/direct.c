/* One sequence on a model_exec, with pages of its own. */
#include "cli/direct.h"

#include <stdlib.h>

kern_kv_type kv_type_named(const char *name) {
    return strcmp(name, "q8") == 0    ? KERN_KV_Q8
           : strcmp(name, "f32") == 0 ? KERN_KV_F32
                                      : KERN_KV_F16;
}

bool direct_open(direct *d, const models_ref *r, int threads, bool as_f32, err *e) {
    *d = (direct){0};
    d->team = team_new(threads > 0 ? threads : team_default_size(), e);
    if (!d->team) return false;
    d->m = models_open_inner(r, d->team, as_f32, e);
    if (d->m) return true;
    direct_close(d);
    return false;
}

bool direct_pages(direct *d, int32_t n_ctx, int max_rows, kern_kv_type kv, err *e) {
    d->kv = kv;
    d->n_ctx = n_ctx;
    d->max_rows = max_rows;
    d->n_pages = (n_ctx + KERN_PAGE - 1) / KERN_PAGE;
    d->rows = calloc((size_t)max_rows, sizeof *d->rows);
    if (!d->rows) return err_set(e, ERR_NO_FIT, "out of memory");
    for (int g = 0; g < model_n_kv_groups(d->m); g++) {
        size_t bytes = model_kv_page_bytes(model_kv_group_at(d->m, g), kv);
        d->page[g] = calloc((size_t)d->n_pages, sizeof *d->page[g]);
        for (int32_t i = 0; d->page[g] && i < d->n_pages; i++) {
            d->page[g][i] = aligned_alloc(64, bytes);
            if (!d->page[g][i])
                return err_set(e, ERR_NO_FIT,
                               "the KV cache of %d tokens needs %zu MB: no memory for it", n_ctx,
                               bytes / 1000000 * (size_t)d->n_pages);
            memset(d->page[g][i], 0, bytes);
        }
        if (!d->page[g]) return err_set(e, ERR_NO_FIT, "out of memory");
    }
    d->x = model_exec_new(d->m, d->team, kv, max_rows, e);
    return d->x != NULL;
}

void direct_close(direct *d) {
    model_exec_free(d->x);
    for (int g = 0; g < MODEL_MAX_KV_GROUPS; g++) {
        for (int32_t i = 0; d->page[g] && i < d->n_pages; i++) free(d->page[g][i]);
        free(d->page[g]);
    }
    free(d->rows);
    model_close(d->m);
    team_free(d->team);
    *d = (direct){0};
}

static model_seq seq_at(const direct *d, int32_t first_page) {
    model_seq seq = {0};
    for (int g = 0; g < model_n_kv_groups(d->m); g++) seq.page[g] = d->page[g] + first_page;
    return seq;
}

bool direct_run(direct *d, const int32_t *ids, int n, int32_t pos, int n_logits, float *logits,
                err *e) {
    model_seq seq = seq_at(d, d->first_page);
    for (int i = 0; i < n; i++)
        d->rows[i] = (model_row){.token = ids[i], .pos = pos + i, .want_logits = i >= n - n_logits};
    model_batch b = {.seqs = &seq, .n_seqs = 1, .rows = d->rows, .n_rows = n};
    return model_exec_run(d->x, &b, logits, d->hidden, e);
}

bool direct_step(direct *d, const int32_t *ids, int n, int32_t pos, int32_t each, float *logits,
                 err *e) {
    model_seq *seqs = malloc((size_t)n * sizeof *seqs);
    if (!seqs) return err_set(e, ERR_NO_FIT, "out of memory");
    for (int i = 0; i < n; i++) {
        seqs[i] = seq_at(d, i * each);
        d->rows[i] = (model_row){.token = ids[i], .pos = pos, .seq = i, .want_logits = true};
    }
    model_batch b = {.seqs = seqs, .n_seqs = n, .rows = d->rows, .n_rows = n};
    bool ok = model_exec_run(d->x, &b, logits, NULL, e);
    free(seqs);
    return ok;
}

bool direct_check_ids(const direct *d, const int32_t *ids, size_t n, err *e) {
    int32_t n_vocab = model_params_of(d->m)->n_vocab;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return err_set(e, ERR_USAGE, "token %d is not in the vocabulary of %d tokens", ids[i],
                           n_vocab);
    return true;
}
