/* GGUF: the only loader for every kind of model file.
 *
 * A gguf is an opened file (or several parts of one, `-00001-of-0000N.gguf`), memory-mapped,
 * checked whole: every key, type, count, offset and extent has been verified before gguf_open
 * returns, so the getters below cannot run off the mapping. It is immutable; any thread may read
 * it. Strings and tensor data are borrowed from the mapping and die with gguf_close.
 *
 * A file that breaks the format gives ERR_DAMAGED with "FILE: byte OFFSET: what is wrong".
 * Format: GGUF specification, versions 2 and 3, little endian. Files of Ollama's library that have
 * other names for the same things are seen under the plain form's names (gguf_form).
 *
 *     err e = {0};
 *     gguf *g = gguf_open("model.gguf", &e);
 *     if (!g) return cli_fail(&e);
 *     str arch; gguf_get_str(g, "general.architecture", &arch);
 *     const gguf_tensor *t = gguf_tensor_find(g, "token_embd.weight");
 *     gguf_close(g);
 */
#ifndef HEARTH_GGUF_H
#define HEARTH_GGUF_H

#include "base/err.h"
#include "base/str.h"

typedef struct gguf gguf;

typedef enum gguf_type {
    GGUF_U8 = 0,
    GGUF_I8 = 1,
    GGUF_U16 = 2,
    GGUF_I16 = 3,
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9,
    GGUF_U64 = 10,
    GGUF_I64 = 11,
    GGUF_F64 = 12
} gguf_type;

#define GGUF_MAX_DIMS 4

typedef struct gguf_tensor {
    str name;
    uint32_t type;   /* quant/quant.h; a type that Hearth does not know is an error at open */
    uint32_t n_dims; /* 1..4 */
    uint64_t ne[GGUF_MAX_DIMS]; /* elements; axis 0 is contiguous (a matrix's input width) */
    const void *data;           /* in the mapping */
    uint64_t size_bytes;
    uint64_t file_offset; /* of the data, in its part */
    uint32_t part;        /* which file of a split model */
} gguf_tensor;

/* One metadata pair. For an array, `elem` is its element type and `n` its length. */
typedef struct gguf_kv {
    str key;
    gguf_type type;
    gguf_type elem;
    uint64_t n;
    const uint8_t *data; /* the value's raw bytes, unaligned, little endian */
    uint64_t offset;     /* where the value stands in the file, for messages */
} gguf_kv;

gguf *gguf_open(const char *path, err *e);
/* The bytes stay the caller's and must outlive the gguf. `name` is used in messages. */
gguf *gguf_open_memory(const void *data, size_t n, const char *name, err *e);
void gguf_close(gguf *g);

const char *gguf_path(const gguf *g); /* of the first part, or the name given */
uint32_t gguf_version(const gguf *g);
uint64_t gguf_file_bytes(const gguf *g); /* over all parts */
uint32_t gguf_alignment(const gguf *g);

/* What the file calls its architecture where it is in a form of Ollama's own, or one that sees
 * whose text half is read; NULL: the plain form. */
const char *gguf_form(const gguf *g);
/* Whether (some) files that call their architecture so are seen under another name. */
bool gguf_form_may(str arch);

uint64_t gguf_n_kv(const gguf *g);
const gguf_kv *gguf_kv_at(const gguf *g, uint64_t i);
const gguf_kv *gguf_find(const gguf *g, const char *key); /* NULL when absent; hashed */

/* Each false when the key is absent or of another kind; *out is untouched then. Integers of any
 * width and bool convert where the value fits. */
bool gguf_get_u64(const gguf *g, const char *key, uint64_t *out);
bool gguf_get_i64(const gguf *g, const char *key, int64_t *out);
bool gguf_get_f64(const gguf *g, const char *key, double *out); /* integers too */
bool gguf_get_bool(const gguf *g, const char *key, bool *out);
bool gguf_get_str(const gguf *g, const char *key, str *out);
/* Items of an array pair; false when i is out of range or the element is of another kind. Strings
 * are indexed at open: O(1). */
bool gguf_item_str(const gguf_kv *kv, const gguf *g, uint64_t i, str *out);
bool gguf_item_i64(const gguf_kv *kv, uint64_t i, int64_t *out);
bool gguf_item_f64(const gguf_kv *kv, uint64_t i, double *out);

uint64_t gguf_n_tensors(const gguf *g);
const gguf_tensor *gguf_tensor_at(const gguf *g, uint64_t i);
const gguf_tensor *gguf_tensor_find(const gguf *g, const char *name); /* hashed */
/* Gives the tensor's resident pages back to the kernel (its data stays readable). */
void gguf_tensor_release(const gguf *g, const gguf_tensor *t);

const char *gguf_type_name(gguf_type t);

#endif
