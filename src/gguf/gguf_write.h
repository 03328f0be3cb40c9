/* Writing a GGUF version 3 file: metadata first, then tensors are declared, then their bytes are
 * streamed in the same order. The file appears under its name only when gguf_writer_close succeeds
 * (temporary file, fsync, rename, fsync of the folder). One thread.
 *
 *     gguf_writer *w = gguf_writer_open("out.gguf", &e);
 *     gguf_put_str(w, "general.architecture", STR("llama"));
 *     gguf_put_tensor(w, STR("token_embd.weight"), QUANT_F16, 2, ne);
 *     gguf_write_data(w, bytes, n);                 // tensor after tensor, in pieces of any size
 *     if (!gguf_writer_close(w, &e)) ...            // frees w; gguf_writer_abort(w) drops it all
 */
#ifndef HEARTH_GGUF_WRITE_H
#define HEARTH_GGUF_WRITE_H

#include "gguf/gguf.h"

typedef struct gguf_writer gguf_writer;

gguf_writer *gguf_writer_open(const char *path, err *e);
/* All put functions remember the first failure; gguf_writer_close reports it. */
void gguf_put_u32(gguf_writer *w, const char *key, uint32_t v);
void gguf_put_u64(gguf_writer *w, const char *key, uint64_t v);
void gguf_put_i32(gguf_writer *w, const char *key, int32_t v);
void gguf_put_f32(gguf_writer *w, const char *key, float v);
void gguf_put_bool(gguf_writer *w, const char *key, bool v);
void gguf_put_str(gguf_writer *w, const char *key, str v);
void gguf_put_strs(gguf_writer *w, const char *key, const str *v, uint64_t n);
void gguf_put_i32s(gguf_writer *w, const char *key, const int32_t *v, uint64_t n);
void gguf_put_f32s(gguf_writer *w, const char *key, const float *v, uint64_t n);
/* Copies one pair of another file as it stands; split.* are left out: what is written is whole. */
void gguf_put_kv(gguf_writer *w, const gguf *from, const gguf_kv *kv);
void gguf_put_tensor(gguf_writer *w, str name, uint32_t type, uint32_t n_dims, const uint64_t *ne);
void gguf_write_data(gguf_writer *w, const void *p, size_t n);
bool gguf_writer_close(gguf_writer *w, err *e);
void gguf_writer_abort(gguf_writer *w);

#endif
