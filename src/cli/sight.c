/* Gathering what a file says about itself. */
#include "cli/sight.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/direct.h"
#include "model/memory.h"

static int by_bytes(const void *a, const void *b) {
    const sight_type *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void count_tensors(sight *s) {
    for (uint64_t i = 0; i < gguf_n_tensors(s->g); i++) {
        const gguf_tensor *t = gguf_tensor_at(s->g, i);
        const quant_info *q = quant_info_of(t->type);
        const char *name = q ? q->name : "?";
        uint64_t elements = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        int k = 0;
        while (k < s->n_types && strcmp(s->type[k].name, name) != 0) k++;
        if (k == QUANT_TYPE_END) continue;
        if (k == s->n_types) s->type[s->n_types++].name = name;
        s->type[k].tensors++;
        s->type[k].elements += elements;
        s->type[k].bytes += t->size_bytes;
        s->n_params += elements;
        s->tensor_bytes += t->size_bytes;
    }
    qsort(s->type, (size_t)s->n_types, sizeof *s->type, by_bytes);
}

static void copy_text(const gguf *g, const char *key, char *dst, size_t cap,
                      const char *otherwise) {
    str v = str_of(otherwise);
    gguf_get_str(g, key, &v);
    str_printable(v, dst, cap);
}

/* The largest context whose KV cache fits into `room` bytes; the need grows with the context. */
static int32_t largest_ctx(const gguf *g, int32_t most, kern_kv_type kv, uint64_t room) {
    int32_t low = 0, high = most;
    while (low < high) {
        int32_t mid = low + (high - low + 1) / 2;
        uint64_t need = model_kv_estimate(g, mid, kv, NULL);
        if (need > 0 && need <= room) low = mid;
        else high = mid - 1;
    }
    return low;
}

static void count_memory(sight *s, int32_t ctx) {
    kern_kv_type kv = kv_type_named(s->kv_name);
    s->ctx_asked = ctx > 0;
    s->ctx = ctx > 0 ? ctx : s->params.n_ctx;
    s->weight_bytes = s->params.weight_bytes;
    err e = {0};
    s->kv_bytes = model_kv_estimate(s->g, s->ctx, kv, &e);
    if (e.code) {
        s->known = false;
        s->why = e;
        return;
    }
    s->available = memory_available();
    if (s->weight_bytes < s->available)
        s->ctx_fits = largest_ctx(s->g, s->params.n_ctx, kv, s->available - s->weight_bytes);
}

bool sight_open(sight *s, const models_ref *r, int32_t ctx, const char *kv_name, err *e) {
    *s = (sight){.kv_name = kv_name, .available = UINT64_MAX};
    s->g = models_open_file(r, e);
    if (!s->g) return false;
    s->t = tok_open(s->g, &s->no_tok);
    if (s->t) prompt_init_file(&s->prompt, s->g, s->t);
    else gguf_get_str(s->g, "tokenizer.chat_template", &s->prompt.source);
    const char *base = strrchr(gguf_path(s->g), '/');
    copy_text(s->g, "general.architecture", s->arch, sizeof s->arch, "(none)");
    copy_text(s->g, "general.name", s->name, sizeof s->name, base ? base + 1 : gguf_path(s->g));
    count_tensors(s);
    for (const char *const *n = model_arch_names(); *n && !s->arch_known; n++)
        s->arch_known = strcmp(*n, s->arch) == 0;
    s->known = model_params_read(s->g, &s->params, &s->why);
    if (s->known) count_memory(s, ctx);
    return true;
}

void sight_close(sight *s) {
    tok_close(s->t);
    gguf_close(s->g);
    *s = (sight){0};
}
