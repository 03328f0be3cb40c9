/* GGUF bytes as a tokenizer: an error or a tokenizer that encodes, decodes and closes. */
#include "base/buf.h"
#include "tok/tok.h"

static const char TEXT[] =
    "The quick\tbrown \xe4\xb8\x96\xe7\x95\x8c  f\xc3\xb6x <s></s> 12345 aaaa\n\n\xff<|end|>";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    err e = {0};
    gguf *g = gguf_open_memory(data, size, "fuzz", &e);
    if (!g) return 0;
    tok *t = tok_open(g, &e);
    gguf_close(g);
    if (!t) return 0;
    for (unsigned flags = 0; flags < 8; flags++) {
        tok_ids ids = {0};
        buf out;
        buf_init(&out, 1u << 20);
        if (tok_encode(t, (str){TEXT, sizeof TEXT}, flags, &ids, &e)) {
            tok_decode(t, ids.id, ids.n, flags & TOK_SPECIAL, &out, &e);
            for (size_t i = 0; i < ids.n; i++) tok_piece(t, ids.id[i], true);
        }
        buf_deinit(&out);
        tok_ids_deinit(&ids);
    }
    size_t n;
    tok_ends(t, &n);
    tok_find(t, STR("a"));
    tok_close(t);
    return 0;
}
