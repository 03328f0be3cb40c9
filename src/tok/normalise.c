#include "tok/normalise.h"

#include <stdlib.h>

#define SPACE_MARK "\xe2\x96\x81"

struct charsmap {
    uint32_t *unit; /* [n_units] */
    size_t n_units;
    char *text; /* [n_text] replacements; the last byte is NUL */
    size_t n_text;
};

void charsmap_free(charsmap *m) {
    if (!m) return;
    free(m->unit);
    free(m->text);
    free(m);
}

/* Bytes of the table of units, which stands behind its length. */
static uint32_t charsmap_trie_bytes(const uint8_t *data) {
    uint32_t n = 0;
    for (int i = 0; i < 4; i++) n |= (uint32_t)data[i] << (8 * i);
    return n;
}

bool charsmap_check(const uint8_t *data, size_t n) {
    if (n < 4 || data[n - 1]) return false;
    uint32_t trie_bytes = charsmap_trie_bytes(data);
    return trie_bytes % 4 == 0 && trie_bytes >= 4 && trie_bytes < n - 4;
}

charsmap *charsmap_new(const uint8_t *data, size_t n) {
    uint32_t trie_bytes = charsmap_trie_bytes(data);
    charsmap *m = calloc(1, sizeof *m);
    if (m) {
        m->n_units = trie_bytes / 4;
        m->n_text = n - 4 - trie_bytes;
        m->unit = malloc(trie_bytes);
        m->text = malloc(m->n_text);
    }
    if (!m || !m->unit || !m->text) {
        charsmap_free(m);
        return NULL;
    }
    for (size_t i = 0; i < m->n_units; i++) {
        const uint8_t *p = data + 4 + 4 * i;
        m->unit[i] = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }
    memcpy(m->text, data + 4 + trie_bytes, m->n_text);
    return m;
}

/* A unit: bits 0-7 the byte that leads here, bit 8 "a value hangs below", bits 10-30 the offset to
 * the children, shifted by 8 more when bit 9 is set. A value unit has bit 31 set and 31 bits of
 * value. */
static uint32_t unit_offset(uint32_t u) {
    return (u >> 10) << ((u & 1u << 9) >> 6);
}

static bool longest_replacement(const charsmap *m, str s, size_t *used, str *with) {
    bool found = false;
    size_t node = unit_offset(m->unit[0]);
    for (size_t i = 0; i < s.n && s.p[i]; i++) {
        unsigned char c = (unsigned char)s.p[i];
        node ^= c;
        if (node >= m->n_units) break;
        uint32_t u = m->unit[node];
        if ((u & (1u << 31 | 0xff)) != c) break;
        node ^= unit_offset(u);
        if (node >= m->n_units) break;
        if (!(u >> 8 & 1)) continue;
        size_t at = m->unit[node] & 0x7fffffff;
        if (at >= m->n_text) continue;
        *used = i + 1;
        *with = str_of(m->text + at);
        found = true;
    }
    return found;
}

str charsmap_next(const charsmap *m, str s, size_t *used) {
    str with;
    if (m && longest_replacement(m, s, used, &with)) return with;
    int len = utf8_len(s.p, s.n);
    *used = len > 0 ? (size_t)len : 1;
    return (str){s.p, *used};
}

bool normalise_text(const charsmap *m, str text, bool squeeze, bool prefix, buf *out) {
    bool after_space = squeeze; /* spaces here are dropped */
    bool started = false;
    size_t ink_end = out->len;
    while (text.n) {
        size_t used;
        str piece = charsmap_next(m, text, &used);
        text.p += used;
        text.n -= used;
        for (size_t i = 0; i < piece.n; i++) {
            bool space = piece.p[i] == ' ';
            if (space && after_space) continue;
            if (prefix && !started) buf_put_str(out, STR(SPACE_MARK));
            started = true;
            if (space) buf_put_str(out, STR(SPACE_MARK));
            else buf_putc(out, piece.p[i]);
            after_space = squeeze && space;
            if (!space) ink_end = out->len;
        }
    }
    if (squeeze) out->len = ink_end; /* one space may be left at the end */
    return !out->failed;
}
