/* The tables that encoders and the detokenizer use, derived from texts, types, scores and merges.
 */
#include "tok/tok_private.h"

#include "base/limits.h"

#include <stdlib.h>

/* ---- byte-level BPE ---- */

/* GPT-2's alphabet: the printable characters of Latin-1 stand for themselves, the other bytes, in
 * ascending order, for U+0100 onwards. */
uint32_t bytelevel_char(unsigned char b) {
    if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) return b;
    if (b <= 32) return 256u + b;
    return b == 173 ? 256u + 67 : 256u + 33 + (b - 127u);
}

int bytelevel_byte(uint32_t cp) {
    if (cp >= 256 && cp <= 256 + 67) {
        uint32_t i = cp - 256;
        return (int)(i <= 32 ? i : i == 67 ? 173 : i - 33 + 127);
    }
    return cp < 256 && bytelevel_char((unsigned char)cp) == cp ? (int)cp : -1;
}

static bool merge_damaged(const gguf *g, uint64_t i, str s, err *e) {
    char shown[64];
    return tok_damaged(e, g, "tokenizer.ggml.merges", (int64_t)i,
                       "'%s' does not join two tokens to a third",
                       str_printable(s, shown, sizeof shown));
}

/* "left right": the space that parts them is the first one after the first byte. */
static bool merge_read(tok *t, const gguf *g, str s, uint64_t i, buf *joined, err *e) {
    size_t gap = str_find(s, STR(" "), 1);
    if (s.n < 3 || gap == (size_t)-1 || gap + 1 >= s.n) return merge_damaged(g, i, s, e);
    str left = {s.p, gap}, right = {s.p + gap + 1, s.n - gap - 1};
    buf_clear(joined);
    buf_put_str(joined, left);
    buf_put_str(joined, right);
    if (joined->failed) return merge_damaged(g, i, s, e);
    int32_t a = tok_find(t, left), b = tok_find(t, right), ab = tok_find(t, buf_str(joined));
    if (a < 0 || b < 0 || ab < 0) return merge_damaged(g, i, s, e);
    return merge_table_put(&t->merges, a, b, (int32_t)i, ab) || tok_oom(e);
}

static bool merges_read(tok *t, const gguf *g, err *e) {
    const gguf_kv *kv = gguf_find(g, "tokenizer.ggml.merges");
    if (!kv || kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING || kv->n > LIMIT_VOCAB) {
        return tok_damaged(e, g, "tokenizer.ggml.merges", -1, "no list of at most %d merges",
                           LIMIT_VOCAB);
    }
    if (!merge_table_init(&t->merges, (size_t)kv->n)) return tok_oom(e);
    buf joined;
    buf_init(&joined, LIMIT_TOKEN_BYTES);
    bool ok = true;
    for (uint64_t i = 0; ok && i < kv->n; i++) {
        str s = {"", 0};
        ok = gguf_item_str(kv, g, i, &s) && merge_read(t, g, s, i, &joined, e);
    }
    buf_deinit(&joined);
    return ok;
}

bool tok_build_bytelevel(tok *t, const gguf *g, err *e) {
    for (int b = 0; b < 256; b++) {
        char c[4];
        int n = utf8_encode(bytelevel_char((unsigned char)b), c);
        t->byte_id[b] = tok_find(t, (str){c, (size_t)n});
    }
    return merges_read(t, g, e);
}

/* ---- characters ---- */

/* The symbol of the character at the front of s: its code point, or a broken byte's code. */
static int32_t char_symbol(str s, size_t *len) {
    uint32_t cp;
    int n = utf8_decode(s.p, s.n, &cp);
    *len = n > 0 ? (size_t)n : 1;
    return n > 0 ? SYM_OF_CP(cp) : SYM_OF_BYTE((unsigned char)*s.p);
}

static bool space_inside(str s) { /* behind something that is no space */
    size_t at = 0;
    while (s.n - at >= 3 && !memcmp(s.p + at, SPACE_MARK, 3)) at += 3;
    return str_find(s, STR(SPACE_MARK), at) != (size_t)-1;
}

static bool chars_index(tok *t, err *e) {
    size_t n = 0;
    t->words_apart = true;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < t->n; i++) {
            str s = tok_text(t, i);
            uint32_t cp;
            if (!tok_is_text((tok_attr)t->attr[i]) || !s.n) continue;
            if (space_inside(s)) t->words_apart = false;
            if ((size_t)utf8_decode(s.p, s.n, &cp) != s.n) continue;
            if (pass) cp_map_put(&t->chars, cp, i);
            else n++;
        }
        if (!pass && !cp_map_init(&t->chars, n)) return tok_oom(e);
    }
    return true;
}

bool tok_build_chars(tok *t, const gguf *g, err *e) {
    return chars_index(t, e) && merges_read(t, g, e);
}

/* ---- SentencePiece BPE ---- */

static int float_descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Ranks from scores: the highest score is rank 0, equal scores share one. */
static bool ranks_make(const tok *t, int32_t *rank, err *e) {
    size_t n = (size_t)t->n, distinct = 0;
    float *sorted = malloc(n * sizeof *sorted);
    if (!sorted) return tok_oom(e);
    memcpy(sorted, t->score, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, float_descending);
    for (size_t i = 0; i < n; i++)
        if (!distinct || sorted[distinct - 1] != sorted[i]) sorted[distinct++] = sorted[i];
    for (size_t i = 0; i < n; i++) {
        const float *at = bsearch(&t->score[i], sorted, distinct, sizeof *sorted, float_descending);
        rank[i] = at ? (int32_t)(at - sorted) : 0;
    }
    free(sorted);
    return true;
}

/* The symbol of a part of a token: the token it is, else the code of its only character, else 0
 * with *is_symbol false: merging never stands there. */
static int32_t part_symbol(const tok *t, str s, uint64_t hash, bool *is_symbol) {
    int32_t id = tok_find_hashed(t, s, hash);
    *is_symbol = true;
    if (id >= 0 && tok_is_text((tok_attr)t->attr[id])) return id;
    size_t len;
    int32_t code = char_symbol(s, &len);
    *is_symbol = len == s.n;
    return code;
}

/* Every way to put a token together from two symbols is a rule. `prefix` is scratch of t->longest +
 * 1: with the hashes of all prefixes at hand, all splits of a token cost its length once. */
static bool rules_of_token(tok *t, int32_t id, int32_t rank, uint64_t *prefix, err *e) {
    str s = tok_text(t, id);
    prefix[0] = 0;
    for (size_t i = 0; i < s.n; i++)
        prefix[i + 1] = text_hash_step(prefix[i], (unsigned char)s.p[i]);
    uint64_t power = 1;
    size_t covered = s.n; /* power is TEXT_HASH_MUL to the (s.n - covered) */
    for (size_t at = s.n; at-- > 1;) {
        unsigned char c = (unsigned char)s.p[at];
        if ((c & 0xc0) == 0x80) continue; /* inside a character */
        for (; covered > at; covered--) power *= TEXT_HASH_MUL;
        bool left_ok, right_ok;
        int32_t left = part_symbol(t, (str){s.p, at}, prefix[at], &left_ok);
        int32_t right = part_symbol(t, (str){s.p + at, s.n - at}, prefix[s.n] - prefix[at] * power,
                                    &right_ok);
        if (left_ok && right_ok && !merge_table_put(&t->merges, left, right, rank, id)) {
            return tok_oom(e);
        }
    }
    return true;
}

bool tok_build_spm(tok *t, err *e) {
    if (!chars_index(t, e)) return false;
    if (!merge_table_init(&t->merges, (size_t)t->n * 4)) return tok_oom(e);
    int32_t *rank = malloc((size_t)t->n * sizeof *rank);
    uint64_t *prefix = malloc(((size_t)t->longest + 1) * sizeof *prefix);
    bool ok = rank && prefix ? ranks_make(t, rank, e) : tok_oom(e);
    for (int32_t i = 0; ok && i < t->n; i++)
        if (tok_is_text((tok_attr)t->attr[i])) ok = rules_of_token(t, i, rank[i], prefix, e);
    free(rank);
    free(prefix);
    return ok;
}

/* ---- WordPiece and unigram ---- */

static bool is_utf8(str s) {
    size_t at = 0;
    for (int n; at < s.n && (n = utf8_len(s.p + at, s.n - at)) > 0;) at += (size_t)n;
    return at == s.n;
}

/* Tokens of broken UTF-8 are left out: unigram.c counts on every token ending where a character
 * does. */
bool tok_build_words(tok *t, err *e) {
    if (!trie_init(&t->words)) return tok_oom(e);
    float lowest = 0;
    bool any = false;
    for (int32_t i = 0; i < t->n; i++) {
        tok_attr a = (tok_attr)t->attr[i];
        if ((a != TOK_NORMAL && a != TOK_USER_DEFINED) || !tok_text(t, i).n) continue;
        if (!is_utf8(tok_text(t, i))) continue;
        if (!trie_put(&t->words, tok_text(t, i), i)) return tok_oom(e);
        if (t->kind == KIND_UNIGRAM && a == TOK_NORMAL) {
            if (!any || t->score[i] < lowest) lowest = t->score[i];
            any = true;
        }
    }
    t->unknown_score = lowest - 10.0f; /* SentencePiece's penalty */
    return true;
}

/* ---- what a token adds to the text ---- */

static void piece_of_bytelevel(str s, buf *out) {
    size_t start = out->len;
    for (size_t i = 0; i < s.n;) {
        uint32_t cp;
        int n = utf8_decode(s.p + i, s.n - i, &cp);
        int b = n > 0 ? bytelevel_byte(cp) : -1;
        if (b < 0) { /* not in the alphabet: the token is text as it stands */
            out->len = start;
            buf_put_str(out, s);
            return;
        }
        buf_putc(out, (char)b);
        i += (size_t)n;
    }
}

static void piece_of_marked(str s, buf *out) { /* U+2581 is a space */
    for (size_t i = 0; i < s.n;) {
        if (s.n - i >= 3 && !memcmp(s.p + i, SPACE_MARK, 3)) {
            buf_putc(out, ' ');
            i += 3;
        } else {
            buf_putc(out, s.p[i++]);
        }
    }
}

/* BERT's words stand apart, its closing punctuation does not: " ." reads ".". */
static bool closes_up(str s) {
    return s.n == 4 && !memcmp(s.p, SPACE_MARK, 3) && strchr(".,!?", s.p[3]) && s.p[3];
}

static void piece_make(const tok *t, int32_t id, buf *out) {
    str s = tok_text(t, id);
    tok_attr a = (tok_attr)t->attr[id];
    if (a == TOK_CONTROL || a == TOK_UNKNOWN || a == TOK_USER_DEFINED) {
        buf_put_str(out, s);
    } else if (t->kind == KIND_BYTES) {
        piece_of_bytelevel(s, out);
    } else if (a == TOK_BYTE) {
        buf_putc(out, (char)tok_byte_value(s));
    } else if (t->kind == KIND_WORDPIECE && closes_up(s)) {
        buf_putc(out, s.p[3]);
    } else {
        piece_of_marked(s, out);
    }
}

bool tok_build_pieces(tok *t, err *e) {
    buf all;
    buf_init(&all, UINT32_MAX);
    t->piece_at = malloc(((size_t)t->n + 1) * sizeof *t->piece_at);
    for (int32_t i = 0; t->piece_at && i < t->n; i++) {
        t->piece_at[i] = (uint32_t)all.len;
        piece_make(t, i, &all);
    }
    if (!t->piece_at || all.failed) {
        buf_deinit(&all);
        return tok_oom(e);
    }
    t->piece_at[t->n] = (uint32_t)all.len;
    t->pieces = buf_take(&all, NULL);
    return t->pieces || tok_oom(e);
}
