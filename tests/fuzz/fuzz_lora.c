/* Any bytes as an adapter of a small model: opened or refused with a word; what opens is run. */
#include <stdlib.h>

#include "model/model.h"
#include "model/small.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static model *base(void) {
    static model *m;
    err e = {0};
    buf b;
    if (m) return m;
    small_model(&b);
    size_t n;
    char *bytes = buf_take(&b, &n); /* the model's, for as long as the program runs */
    m = model_open_memory(bytes, n, "base", NULL, &e);
    if (!m) abort();
    return m;
}

/* One token with the adapter in force. */
static void run(model *m, const model_lora *l) {
    static team *t;
    static model_exec *x;
    static void *page;
    err e = {0};
    float logits[40];
    if (!t) {
        t = team_new(1, &e);
        x = model_exec_new(m, t, KERN_KV_F16, 2, &e);
        page = aligned_alloc(64, model_kv_page_bytes(model_kv_group_at(m, 0), KERN_KV_F16));
    }
    model_lora_use use = {l, 1};
    model_seq seq = {.page = {&page}, .lora = &use, .n_lora = 1};
    model_row row = {3, 0, 0, true, 0};
    model_batch b = {.seqs = &seq, .n_seqs = 1, .rows = &row, .n_rows = 1};
    if (!model_exec_run(x, &b, logits, NULL, &e) && !e.msg[0]) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    err e = {0};
    model_lora *l = model_lora_open_memory(base(), data, size, "fuzz", &e);
    if (!l && (!e.code || !e.msg[0])) abort();
    if (l) run(base(), l);
    model_lora_close(l);
    return 0;
}
