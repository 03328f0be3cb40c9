#include "vocab_files.h"

#include "base/file.h"
#include "base/limits.h"
#include "support/cmocka_all.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *path_in(const char *root, const char *middle, const char *rest) {
    static char paths[8][1024];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s%s%s", root, middle, rest);
    return p;
}

const char *shared_path(const char *rest) {
    const char *root = getenv("HEARTH_SHARED");
    if (!root || !*root) return NULL;
    const char *p = path_in(root, "/", rest);
    return access(p, R_OK) == 0 ? p : NULL;
}

const char *data_path(const char *rest) {
    const char *root = getenv("HEARTH_SOURCE");
    return path_in(root ? root : ".", "/tests/tok/data/", rest);
}

tok *tok_from_file(const char *path) {
    err e = {0};
    gguf *g = gguf_open(path, &e);
    if (!g) fail_msg("%s", e.msg);
    tok *t = tok_open(g, &e);
    if (!t) fail_msg("%s: %s", path, e.msg);
    gguf_close(g);
    return t;
}

char *file_bytes(const char *path, size_t *n) {
    buf b;
    err e = {0};
    buf_init(&b, LIMIT_TEXT_BYTES);
    if (!file_read(&b, path, &e)) fail_msg("%s", e.msg);
    return buf_take(&b, n);
}

tok_ids ids_of(const tok *t, str text, unsigned flags) {
    tok_ids ids = {0};
    err e = {0};
    if (!tok_encode(t, text, flags, &ids, &e)) fail_msg("%s", e.msg);
    return ids;
}

/* SHA-256, FIPS 180-4. */
typedef struct sha {
    uint32_t h[8];
    uint8_t block[64];
    uint64_t n;
} sha;

static uint32_t turn(uint32_t v, int by) {
    return v >> by | v << (32 - by);
}

/* The first 32 bits behind the point of a small prime's root: where SHA-256's constants come from.
 */
static uint32_t root_bits(int prime_index, int cube) {
    static const int primes[64] = {2,   3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,
                                   43,  47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101,
                                   103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
                                   173, 179, 181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239,
                                   241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307, 311};
    double p = primes[prime_index], root = cube ? cbrt(p) : sqrt(p);
    return (uint32_t)((root - floor(root)) * 4294967296.0);
}

static void sha_block(sha *s) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16 |
               (uint32_t)s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof v);
    static uint32_t k[64];
    for (int i = 0; i < 64 && !k[63]; i++) k[i] = root_bits(i, 1);
    for (int i = 0; i < 64; i++) {
        uint32_t a = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) +
                     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        uint32_t b = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) +
                     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += a;
        v[0] = a + b;
    }
    for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha_add(sha *s, const void *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        s->block[s->n++ % 64] = ((const uint8_t *)p)[i];
        if (s->n % 64 == 0) sha_block(s);
    }
}

void ids_sha256(const tok_ids *ids, char hex[65]) {
    sha s = {.n = 0};
    for (int i = 0; i < 8; i++) s.h[i] = root_bits(i, 0);
    for (size_t i = 0; i < ids->n; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, i ? " %" PRId32 : "%" PRId32, ids->id[i]);
        sha_add(&s, text, (size_t)n);
    }
    uint64_t bits = s.n * 8;
    sha_add(&s, "\x80", 1);
    while (s.n % 64 != 56) sha_add(&s, "", 1);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha_add(&s, length, 8);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", s.h[i]);
}
