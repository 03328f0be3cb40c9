#include "rig.h"

#include <stdlib.h>

#include "support/cmocka_all.h"

static char *find_bytes(buf *file, const char *what) {
    char *at = memmem(file->data, file->len, what, strlen(what));
    if (!at) fail_msg("no \"%s\" in the file", what);
    return at;
}

void rig_set_u32(buf *file, const char *key, uint32_t value) {
    char *at = find_bytes(file, key) + strlen(key);
    uint32_t type;
    memcpy(&type, at, 4);
    if (type != GGUF_U32) fail_msg("%s is no u32", key);
    memcpy(at + 4, &value, 4);
}

float *rig_tensor(buf *file, const char *name, uint64_t *n) {
    err e = {0};
    gguf *g = gguf_open_memory(file->data, file->len, "file", &e);
    if (!g) fail_msg("%s", e.msg);
    const gguf_tensor *t = gguf_tensor_find(g, name);
    if (!t) fail_msg("no tensor %s", name);
    size_t at = (size_t)((const char *)t->data - file->data);
    *n = t->size_bytes / sizeof(float);
    gguf_close(g);
    return (float *)(void *)(file->data + at);
}

void rig_hide_tensor(buf *file, const char *name) {
    char *at = find_bytes(file, name);
    at[strlen(name) - 1] = '_';
}

void rig_open(rig *r, const char *name, uint32_t type, kern_kv_type kv, int n_threads, int n_ctx,
              void (*change)(buf *file)) {
    rig_open_with(r, name, type, kv, n_threads, n_ctx, change, (model_options){0});
}

void rig_open_with(rig *r, const char *name, uint32_t type, kern_kv_type kv, int n_threads,
                   int n_ctx, void (*change)(buf *file), model_options o) {
    err e = {0};
    memset(r, 0, sizeof *r);
    if (!tiny_open(&r->t, name, type, &e)) fail_msg("%s", e.msg);
    rig_set_u32(&r->t.gguf, ".context_length", (uint32_t)n_ctx);
    if (change) change(&r->t.gguf);
    r->team = team_new(n_threads, &e);
    o.team = r->team;
    r->m = model_open_memory(r->t.gguf.data, r->t.gguf.len, name, &o, &e);
    if (!r->m) fail_msg("%s: %s", name, e.msg);
    r->kv = kv;
    r->x = model_exec_new(r->m, r->team, kv, 128, &e);
    if (!r->x) fail_msg("%s: %s", name, e.msg);
    r->n_vocab = model_params_of(r->m)->n_vocab;
    r->n_pages = (n_ctx + KERN_PAGE - 1) / KERN_PAGE;
    for (int s = 0; s < RIG_SEQS; s++) {
        for (int g = 0; g < model_n_kv_groups(r->m); g++) {
            r->page[s][g] = calloc((size_t)r->n_pages, sizeof(void *));
            r->seq[s].page[g] = r->page[s][g];
        }
    }
}

void rig_pages(rig *r, int seq, int end) {
    for (int g = 0; g < model_n_kv_groups(r->m); g++) {
        size_t bytes = model_kv_page_bytes(model_kv_group_at(r->m, g), r->kv);
        for (int i = r->pos[seq] / KERN_PAGE; i * KERN_PAGE < end; i++) {
            if (r->page[seq][g][i]) continue;
            r->page[seq][g][i] = aligned_alloc(64, bytes);
            assert_non_null(r->page[seq][g][i]);
            memset(r->page[seq][g][i], 0xff, bytes);
        }
    }
}

void rig_feed(rig *r, int seq, const int32_t *ids, int n, float *logits) {
    model_row rows[128];
    err e = {0};
    assert_true(n <= 128);
    rig_pages(r, seq, r->pos[seq] + n);
    for (int i = 0; i < n; i++)
        rows[i] = (model_row){ids[i], r->pos[seq] + i, seq, logits != NULL, 0};
    model_batch b = {.seqs = r->seq, .n_seqs = RIG_SEQS, .rows = rows, .n_rows = n};
    if (!model_exec_run(r->x, &b, logits, NULL, &e)) fail_msg("%s: %s", r->t.name, e.msg);
    r->pos[seq] += n;
}

void rig_close(rig *r) {
    for (int s = 0; s < RIG_SEQS; s++) {
        for (int g = 0; g < model_n_kv_groups(r->m); g++) {
            for (int i = 0; i < r->n_pages; i++) free(r->page[s][g][i]);
            free(r->page[s][g]);
        }
    }
    model_exec_free(r->x);
    model_close(r->m);
    team_free(r->team);
    tiny_close(&r->t);
}
