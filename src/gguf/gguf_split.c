/* The parts of a split model lie side by side as STEM-00001-of-0000N.gguf, counted from 1. */
#include "gguf/gguf_private.h"

#include <stdio.h>
#include <stdlib.h>

#define SUFFIX_MAX 64 /* "-" + 20 digits at most + "-of-" + as many + ".gguf" */

static void suffix_of(char dst[SUFFIX_MAX], uint64_t no, uint64_t count) {
    snprintf(dst, SUFFIX_MAX, "-%05llu-of-%05llu.gguf", (unsigned long long)(no + 1),
             (unsigned long long)count);
}

bool gguf_split_match(const char *path, uint64_t no, uint64_t count, size_t *stem_n) {
    char suffix[SUFFIX_MAX];
    suffix_of(suffix, no, count);
    str p = str_of(path), s = str_of(suffix);
    if (!str_ends(p, s)) return false;
    *stem_n = p.n - s.n;
    return true;
}

char *gguf_split_path(const char *path, size_t stem_n, uint64_t no, uint64_t count) {
    char suffix[SUFFIX_MAX];
    suffix_of(suffix, no, count);
    size_t n = strlen(suffix);
    char *out = malloc(stem_n + n + 1);
    if (!out) return NULL;
    memcpy(out, path, stem_n);
    memcpy(out + stem_n, suffix, n + 1);
    return out;
}
