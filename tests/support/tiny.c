/* Builds the tiny models of tiny.h: interprets the JSON descriptions, with the shared generator. */
#include "tiny.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "gguf/gguf.h"
#include "quant/quant.h"

#define N_BYTES 256
#define ALIGN 32

const char *const tiny_names[] = {
    "llama",  "llama-untied", "llama-linear", "llama-yarn", "mistral", "qwen2",   "qwen3", "gemma2",
    "gemma3", "phi3",         "smollm3",      "qwen3moe",   "gpt-oss", "glm4moe", NULL};

const char *const tiny_ahead[] = {"glm4moe", "qwen3-nextn", "qwen3-sure", NULL};

const char *const tiny_embedders[] = {"bert", "nomic-bert", "qwen3-rank", NULL};

const char *const tiny_adapted[] = {"llama-untied", "gemma2", "phi3", "qwen3moe", "gpt-oss", NULL};

/* After the 256 bytes: eight merges, then control tokens. */
static const char *const merged[] = {"\xC4\xA0t", "he", "in", "re", "an", "er", "ou", "on"};
static const char *const merges[] = {"\xC4\xA0 t", "h e", "i n", "r e", "a n", "e r", "o u", "o n"};
static const char *const control[] = {"<|bos|>",    "<|eos|>", "<|im_start|>", "<|im_end|>",
                                      "<|system|>", "<|c5|>",  "<|c6|>",       "<|c7|>"};
enum { N_MERGED = 8, N_CONTROL = 8, BOS = N_BYTES + N_MERGED, EOS = BOS + 1 };

static uint64_t fnv1a(const char *s) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 0x100000001B3u;
    return h;
}

static void put_u32(buf *b, uint32_t v) {
    buf_append(b, &v, 4);
}

static void put_u64(buf *b, uint64_t v) {
    buf_append(b, &v, 8);
}

static void put_string(buf *b, const char *s) {
    put_u64(b, strlen(s));
    buf_puts(b, s);
}

static void put_key(buf *b, const char *key, gguf_type type, uint64_t *n) {
    put_string(b, key);
    put_u32(b, type);
    ++*n;
}

static void put_array(buf *b, const char *key, gguf_type elem, uint64_t count, uint64_t *n) {
    put_key(b, key, GGUF_ARRAY, n);
    put_u32(b, elem);
    put_u64(b, count);
}

/* GPT-2's printable stand-in for a byte: itself where printable, else 256, 257, ... in order. */
static uint32_t byte_char(int byte) {
    uint32_t extra = 0;
    for (int i = 0; i <= byte; i++) {
        bool printable = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        if (i == byte) return printable ? (uint32_t)i : 256 + extra;
        if (!printable) extra++;
    }
    return 0;
}

static void put_tokenizer(buf *b, uint64_t *n) {
    put_key(b, "tokenizer.ggml.model", GGUF_STRING, n);
    put_string(b, "gpt2");
    put_key(b, "tokenizer.ggml.pre", GGUF_STRING, n);
    put_string(b, "gpt-2");
    put_array(b, "tokenizer.ggml.tokens", GGUF_STRING, N_BYTES + N_MERGED + N_CONTROL, n);
    for (int i = 0; i < N_BYTES; i++) {
        char utf8[5] = {0};
        utf8_encode(byte_char(i), utf8);
        put_string(b, utf8);
    }
    for (int i = 0; i < N_MERGED; i++) put_string(b, merged[i]);
    for (int i = 0; i < N_CONTROL; i++) put_string(b, control[i]);
    put_array(b, "tokenizer.ggml.token_type", GGUF_I32, N_BYTES + N_MERGED + N_CONTROL, n);
    for (int i = 0; i < N_BYTES + N_MERGED + N_CONTROL; i++) put_u32(b, i < BOS ? 1 : 3);
    put_array(b, "tokenizer.ggml.merges", GGUF_STRING, N_MERGED, n);
    for (int i = 0; i < N_MERGED; i++) put_string(b, merges[i]);
    put_key(b, "tokenizer.ggml.bos_token_id", GGUF_U32, n);
    put_u32(b, BOS);
    put_key(b, "tokenizer.ggml.eos_token_id", GGUF_U32, n);
    put_u32(b, EOS);
}

static bool put_metadata(buf *b, json_t *spec, uint64_t *n) {
    const char *arch = json_string_value(json_object_get(spec, "arch"));
    put_key(b, "general.architecture", GGUF_STRING, n);
    put_string(b, arch);
    put_key(b, "general.name", GGUF_STRING, n);
    put_string(b, json_string_value(json_object_get(spec, "name")));
    size_t i;
    json_t *kv;
    json_array_foreach(json_object_get(spec, "kv"), i, kv) {
        const char *key = json_string_value(json_object_get(kv, "key"));
        const char *type = json_string_value(json_object_get(kv, "type"));
        json_t *v = json_object_get(kv, "value");
        if (strcmp(type, "u32") == 0) {
            put_key(b, key, GGUF_U32, n);
            put_u32(b, (uint32_t)json_integer_value(v));
        } else if (strcmp(type, "f32") == 0) {
            put_key(b, key, GGUF_F32, n);
            float f = (float)json_number_value(v);
            buf_append(b, &f, 4);
        } else if (strcmp(type, "str") == 0) {
            put_key(b, key, GGUF_STRING, n);
            put_string(b, json_string_value(v));
        } else {
            return false;
        }
    }
    if (!json_is_true(json_object_get(spec, "adapter"))) put_tokenizer(b, n);
    return true;
}

/* The values of one tensor, as make_reference.py draws them. Caller frees. */
static float *draw(json_t *tensor, uint64_t seed, uint64_t n) {
    float *x = malloc((size_t)(n + 4) * sizeof *x);
    if (!x) return NULL;
    json_t *values = json_object_get(tensor, "values");
    if (values) {
        for (uint64_t i = 0; i < n; i++)
            x[i] = (float)json_number_value(json_array_get(values, (size_t)i));
        return x;
    }
    json_t *eye = json_object_get(tensor, "eye");
    if (eye) {
        uint64_t row = (uint64_t)json_integer_value(
            json_array_get(json_object_get(tensor, "ne"), 0));
        for (uint64_t i = 0; i < n; i++)
            x[i] = i % row == i / row ? (float)json_number_value(eye) : 0.0f;
        return x;
    }
    json_t *named = json_object_get(tensor, "stream");
    uint64_t stream = fnv1a(json_string_value(named ? named : json_object_get(tensor, "name")));
    float centre = (float)json_number_value(json_object_get(tensor, "centre"));
    float spread = (float)json_number_value(json_object_get(tensor, "spread"));
    for (uint64_t i = 0; i < n; i += 4) {
        uint32_t w[4];
        rng_philox(seed, stream, i / 4, w);
        for (int j = 0; j < 4; j++) {
            float u = (float)(w[j] >> 8) * 0x1p-23f - 1.0f;
            float su = spread * u;
            x[i + (uint64_t)j] = centre + su;
        }
    }
    return x;
}

typedef struct tensor {
    json_t *json;
    uint32_t type;
    uint64_t n, bytes, offset;
} tensor;

/* Matrices take the wanted type where their rows are whole blocks; routers, vectors stay F32. */
static uint32_t type_of(json_t *json, uint32_t wanted) {
    const char *name = json_string_value(json_object_get(json, "name"));
    json_t *ne = json_object_get(json, "ne");
    bool matrix = json_array_size(ne) >= 2 && (str_ends(str_of(name), STR(".weight")) ||
                                               str_ends(str_of(name), STR(".lora_a")) ||
                                               str_ends(str_of(name), STR(".lora_b")));
    if (!matrix || strstr(name, "ffn_gate_inp")) return QUANT_F32;
    uint64_t row = (uint64_t)json_integer_value(json_array_get(ne, 0));
    return row % quant_info_of(wanted)->block ? QUANT_F32 : wanted;
}

static bool put_tensors(buf *b, json_t *spec, uint32_t weight_type, tensor *t, size_t n_tensors) {
    uint64_t offset = 0, seed = (uint64_t)json_integer_value(json_object_get(spec, "seed"));
    for (size_t i = 0; i < n_tensors; i++) {
        json_t *ne = json_object_get(t[i].json, "ne");
        t[i].type = type_of(t[i].json, weight_type);
        t[i].n = 1;
        t[i].offset = offset;
        put_string(b, json_string_value(json_object_get(t[i].json, "name")));
        put_u32(b, (uint32_t)json_array_size(ne));
        for (size_t d = 0; d < json_array_size(ne); d++) {
            uint64_t dim = (uint64_t)json_integer_value(json_array_get(ne, d));
            t[i].n *= dim;
            put_u64(b, dim);
        }
        if (!quant_bytes(t[i].type, t[i].n, &t[i].bytes)) return false;
        put_u32(b, t[i].type);
        put_u64(b, offset);
        offset += (t[i].bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    while (b->len % ALIGN) buf_putc(b, 0);
    size_t base = b->len;
    for (size_t i = 0; i < n_tensors; i++) {
        while (b->len < base + t[i].offset) buf_putc(b, 0);
        float *x = draw(t[i].json, seed, t[i].n);
        char *dst = buf_reserve(b, (size_t)t[i].bytes);
        if (!x || !dst) {
            free(x);
            return false;
        }
        if (t[i].type == QUANT_F32) memcpy(dst, x, (size_t)t[i].bytes);
        else quant_info_of(t[i].type)->quantize(x, NULL, dst, (int64_t)t[i].n);
        buf_commit(b, (size_t)t[i].bytes);
        free(x);
    }
    while (b->len % ALIGN) buf_putc(b, 0);
    return !b->failed;
}

static bool build(json_t *spec, uint32_t weight_type, buf *out, err *e) {
    const quant_info *q = quant_info_of(weight_type);
    if (!q || !q->quantize)
        return err_set(e, ERR_USAGE, "tiny: weight type %u cannot be written", weight_type);
    json_t *list = json_object_get(spec, "tensors");
    size_t n_tensors = json_array_size(list);
    tensor *t = calloc(n_tensors + 1, sizeof *t);
    if (!t) return err_set(e, ERR_FAILED, "tiny: out of memory");
    for (size_t i = 0; i < n_tensors; i++) t[i].json = json_array_get(list, i);

    size_t start = out->len;
    buf_append(out, "GGUF", 4);
    put_u32(out, 3);
    put_u64(out, n_tensors);
    put_u64(out, 0); /* pairs: known below */
    uint64_t n_kv = 0;
    bool ok = put_metadata(out, spec, &n_kv);
    if (ok && !out->failed) memcpy(out->data + start + 16, &n_kv, 8);
    ok = ok && put_tensors(out, spec, weight_type, t, n_tensors) && !out->failed;
    free(t);
    return ok || err_set(e, ERR_FAILED, "tiny: could not build the file");
}

static bool vector_path(char *path, size_t cap, const char *name, const char *ext, err *e) {
    const char *root = getenv("HEARTH_SOURCE");
    if (!root)
        return err_set(e, ERR_USAGE, "tiny: HEARTH_SOURCE is not set; run the tests by ctest");
    snprintf(path, cap, "%s/tests/model/vectors/%s.%s", root, name, ext);
    return true;
}

static json_t *read_spec(const char *name, err *e) {
    char path[4096];
    if (!vector_path(path, sizeof path, name, "json", e)) return NULL;
    json_error_t je;
    json_t *spec = json_load_file(path, 0, &je);
    if (!spec) err_set(e, ERR_FAILED, "%s: %s", path, je.text);
    return spec;
}

bool tiny_model_build(const char *name, uint32_t weight_type, buf *out, err *e) {
    json_t *spec = read_spec(name, e);
    bool ok = spec && build(spec, weight_type, out, e);
    json_decref(spec);
    return ok;
}

bool tiny_lora_build(const char *name, int number, uint32_t type, buf *out, float *scale, err *e) {
    char full[96];
    snprintf(full, sizeof full, "%s-lora%d", name, number);
    json_t *spec = read_spec(full, e);
    bool ok = spec && build(spec, type, out, e);
    if (ok && scale) *scale = (float)json_number_value(json_object_get(spec, "scale"));
    json_decref(spec);
    return ok;
}

/* A file of n floats; the caller's. */
static float *read_floats(const char *name, size_t n, err *e) {
    char path[4096];
    buf b;
    if (!vector_path(path, sizeof path, name, "f32", e)) return NULL;
    buf_init(&b, 64u << 20);
    bool ok = file_read(&b, path, e);
    if (ok && b.len != n * sizeof(float))
        ok = err_set(e, ERR_FAILED, "%s: %zu bytes do not fit the prompt", path, b.len);
    float *floats = ok ? (float *)(void *)buf_take(&b, NULL) : NULL;
    buf_deinit(&b);
    return floats;
}

float *tiny_adapted_logits(const char *name, int n_prompt, int n_vocab, err *e) {
    char full[96];
    snprintf(full, sizeof full, "%s-lora", name);
    return read_floats(full, (size_t)n_prompt * (size_t)n_vocab, e);
}

static bool read_logits(tiny_model *t, err *e) {
    size_t states = (size_t)t->n_prompt * (size_t)t->n_embd;
    if (!t->n_embd) {
        t->logits = read_floats(t->name, (size_t)t->n_prompt * (size_t)t->n_vocab, e);
        return t->logits != NULL;
    }
    t->state = read_floats(t->name, states + (size_t)t->n_scores, e);
    if (t->state) t->score = t->state + states;
    return t->state != NULL;
}

/* The file NAME.nextn.f32, where there is one. */
static bool read_ahead(tiny_model *t, err *e) {
    char full[96];
    bool has = false;
    for (const char *const *name = tiny_ahead; *name; name++) has |= strcmp(*name, t->name) == 0;
    if (!has) return true;
    snprintf(full, sizeof full, "%s.nextn", t->name);
    t->ahead = read_floats(full, (size_t)(t->n_prompt + 2) * (size_t)t->n_vocab, e);
    return t->ahead != NULL;
}

bool tiny_open(tiny_model *t, const char *name, uint32_t weight_type, err *e) {
    *t = (tiny_model){.name = name};
    buf_init(&t->gguf, 256u << 20);
    json_t *spec = read_spec(name, e);
    if (!spec) return false;
    json_t *prompt = json_object_get(spec, "prompt");
    t->n_prompt = (int)json_array_size(prompt);
    t->n_vocab = (int)json_integer_value(json_object_get(spec, "n_vocab"));
    t->n_embd = (int)json_integer_value(json_object_get(spec, "n_embd"));
    t->n_scores = (int)json_integer_value(json_object_get(spec, "n_scores"));
    t->n_first = (int)json_integer_value(json_object_get(spec, "n_first"));
    t->prompt = calloc((size_t)t->n_prompt, sizeof *t->prompt);
    for (int i = 0; t->prompt && i < t->n_prompt; i++)
        t->prompt[i] = (int32_t)json_integer_value(json_array_get(prompt, (size_t)i));
    bool ok = t->prompt && build(spec, weight_type, &t->gguf, e) && read_logits(t, e) &&
              read_ahead(t, e);
    json_decref(spec);
    if (!ok) tiny_close(t);
    return ok;
}

void tiny_close(tiny_model *t) {
    buf_deinit(&t->gguf);
    free(t->prompt);
    free(t->logits);
    free(t->state);
    free(t->ahead);
    *t = (tiny_model){0};
}
