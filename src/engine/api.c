/* The public face of models: what hearth.h promises, in terms of the rooms below. */
#include "engine/engine_private.h"

#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"

_Static_assert(sizeof((hearth_err *)0)->msg == sizeof((err *)0)->msg,
               "one line is as long everywhere");

bool engine_err_out(hearth_err *to, const err *from) {
    if (!to) return false;
    to->code = (int)from->code;
    memcpy(to->msg, from->msg, sizeof to->msg);
    return false;
}

void hearth_free(void *p) {
    free(p);
}

/* ---- opening ---- */

static hearth_model *open_any(const char *path, const void *data, size_t n, const char *name,
                              const hearth_model_options *o, hearth_err *e) {
    err inner = {0};
    hearth_model_options none = {0};
    if (!o) o = &none;
    hearth_model *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(&inner, ERR_NO_FIT, "out of memory");
        engine_err_out(e, &inner);
        return NULL;
    }
    pthread_mutex_init(&m->vocab_lock, NULL);
    team *t = team_new(o->n_threads > 0 ? o->n_threads : team_default_size(), &inner);
    if (t) {
        model_options mo = {.progress = o->progress,
                            .progress_ud = o->progress_ud,
                            .team = t,
                            .as_f32 = o->as_f32,
                            .no_pack = o->no_pack,
                            .n_ctx = o->n_ctx};
        m->inner = path ? model_open(path, &mo, &inner)
                        : model_open_memory(data, n, name, &mo, &inner);
        team_free(t);
    }
    const tok *words = m->inner ? model_tok(m->inner) : NULL;
    if (words && !(m->chat = prompt_chat_open(model_gguf(m->inner), words))) {
        model_close(m->inner);
        m->inner = NULL;
        err_set(&inner, ERR_NO_FIT, "out of memory");
    }
    if (m->inner) return m;
    free(m);
    engine_err_out(e, &inner);
    return NULL;
}

hearth_model *hearth_model_open(const char *path, const hearth_model_options *o, hearth_err *e) {
    return open_any(path, NULL, 0, NULL, o, e);
}

hearth_model *hearth_model_open_memory(const void *data, size_t n, const char *name,
                                       const hearth_model_options *o, hearth_err *e) {
    return open_any(NULL, data, n, name, o, e);
}

void hearth_model_close(hearth_model *m) {
    if (!m) return;
    prompt_chat_close(m->chat);
    grammar_vocab_free(m->vocab);
    pthread_mutex_destroy(&m->vocab_lock);
    model_close(m->inner);
    free(m);
}

/* ---- describing ---- */

void hearth_model_info_get(const hearth_model *m, hearth_model_info *out) {
    const model_params *p = model_params_of(m->inner);
    const tok *t = model_tok(m->inner);
    *out = (hearth_model_info){.arch = p->arch,
                               .name = p->name,
                               .n_vocab = p->n_vocab,
                               .n_embd = p->n_embd,
                               .n_layer = p->n_layer,
                               .n_ctx_train = p->n_ctx,
                               .n_params = p->n_params,
                               .file_bytes = p->file_bytes,
                               .weight_bytes = p->weight_bytes,
                               .bos = t ? tok_bos(t) : -1,
                               .eos = t ? tok_eos(t) : -1,
                               .generates = !model_is_encoder(m->inner),
                               .reranks = model_pooling_of(m->inner) == MODEL_POOL_RANK,
                               .pooling = (hearth_pooling)model_pooling_of(m->inner)};
}

const char *hearth_model_meta(const hearth_model *m, const char *key, size_t *n) {
    str s;
    if (!gguf_get_str(model_gguf(m->inner), key, &s)) return NULL;
    if (n) *n = s.n;
    return s.p;
}

/* ---- text and tokens ---- */

static const tok *tok_of(const hearth_model *m, err *e) {
    const tok *t = model_tok(m->inner);
    if (!t) err_set(e, ERR_FAILED, "this model has no tokenizer");
    return t;
}

bool hearth_tokenize(const hearth_model *m, const char *text, size_t len, unsigned flags,
                     int32_t **ids, size_t *n, hearth_err *e) {
    err inner = {0};
    tok_ids out = {0};
    unsigned tok_flags = (flags & HEARTH_TOK_SPECIAL ? TOK_SPECIAL : 0u) |
                         (flags & HEARTH_TOK_BOS ? TOK_BOS : 0u);
    const tok *t = tok_of(m, &inner);
    if (!t || !tok_encode(t, (str){text, len}, tok_flags, &out, &inner)) {
        tok_ids_deinit(&out);
        return engine_err_out(e, &inner);
    }
    *ids = out.id;
    *n = out.n;
    return true;
}

bool hearth_detokenize(const hearth_model *m, const int32_t *ids, size_t n, bool special,
                       char **text, size_t *len, hearth_err *e) {
    err inner = {0};
    buf out;
    buf_init(&out, SIZE_MAX / 4);
    const tok *t = tok_of(m, &inner);
    char *bytes = t && tok_decode(t, ids, n, special, &out, &inner) ? buf_take(&out, len) : NULL;
    if (bytes) {
        *text = bytes;
        return true;
    }
    if (inner.code == ERR_NONE) err_set(&inner, ERR_FAILED, "out of memory");
    buf_deinit(&out);
    return engine_err_out(e, &inner);
}
