/* What the files of this room share, and nobody else includes: the parts of an opened model, and
 * the result of reading one part's header.
 *
 * gguf_read.c   one part's bytes -> gguf_head, everything checked
 * gguf_split.c  names of the parts of a split model
 * gguf_forms.c  files of Ollama's library under the names of all others
 * gguf.c        opening, joining parts, look-up, getters
 */
#ifndef HEARTH_GGUF_PRIVATE_H
#define HEARTH_GGUF_PRIVATE_H

#include "base/arena.h"
#include "base/file.h"
#include "gguf/gguf.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF values are read in place");

#define GGUF_MAGIC "GGUF"
#define GGUF_ALIGNMENT_DEFAULT 32
/* The shortest pair: key length, type, one byte of value. The shortest tensor: name length, number
 * of axes, one axis, type, offset. A count is believed only if the file can hold as many. */
#define GGUF_KV_MIN_BYTES (8 + 4 + 1)
#define GGUF_TENSOR_MIN_BYTES (8 + 4 + 8 + 4 + 8)

typedef struct gguf_part {
    char *path; /* ours */
    const uint8_t *data;
    uint64_t size;
    file_map map; /* unused when the bytes are the caller's */
    bool is_mapped;
} gguf_part;

/* Open addressing; a slot holds 1 + index, 0 is empty. At most half full. */
typedef struct gguf_table {
    uint32_t *slot;
    uint64_t mask;
} gguf_table;

typedef struct gguf_head {
    uint32_t version;
    uint32_t alignment;
    uint64_t n_kv;
    gguf_kv *kv;
    uint64_t *kv_bytes;   /* [n_kv] size of each value as stored */
    uint64_t **str_index; /* [n_kv] for strings: where each one's length stands, from kv.data */
    uint64_t n_tensors;
    gguf_tensor *tensors;
} gguf_head;

struct gguf {
    gguf_part *parts;
    uint32_t n_parts;
    gguf_head head; /* of the first part, with the tensors of all */
    gguf_table keys, names;
    const char *form; /* see gguf_form */
    arena *own;       /* names and values that are not in the file; NULL: none */
};

/* Reads and checks the whole header of p; tensors get `part` as their part number. On failure
 * nothing is left in h. */
bool gguf_head_read(gguf_head *h, const gguf_part *p, uint32_t part, err *e);
void gguf_head_deinit(gguf_head *h);
const gguf_kv *gguf_head_find(const gguf_head *h, const char *key); /* by a walk */

/* ERR_DAMAGED, "FILE: byte OFFSET: ...". `where` points into p. Always false. */
bool gguf_damaged(err *e, const gguf_part *p, const uint8_t *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Before the look-up tables are made. */
bool gguf_forms_apply(gguf *g, err *e);

/* The bytes of a scalar of this type; 0 for strings, arrays and unknown types. */
uint32_t gguf_scalar_bytes(uint32_t type);
bool gguf_scalar_i64(const uint8_t *p, gguf_type type, int64_t *out);
bool gguf_scalar_u64(const uint8_t *p, gguf_type type, uint64_t *out);
bool gguf_scalar_f64(const uint8_t *p, gguf_type type, double *out);

/* Value bytes of a pair of g, for copying it. */
uint64_t gguf_kv_bytes(const gguf *g, const gguf_kv *kv);

/* Is `path` named like part `no` (from 0) of `count`? Then *stem_n is the length before "-0000". */
bool gguf_split_match(const char *path, uint64_t no, uint64_t count, size_t *stem_n);
/* The name of part `no` (from 0) of `count`; the caller frees it; NULL when memory is short. */
char *gguf_split_path(const char *path, size_t stem_n, uint64_t no, uint64_t count);

static inline uint32_t gguf_load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t gguf_load_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
