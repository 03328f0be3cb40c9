/* Encoding: special tokens are cut out first, what lies between goes to the kind's encoder. */
#include "tok/tok_private.h"

#include "base/limits.h"

#include <stdlib.h>

bool encoder_push(encoder *x, int32_t id) {
    return tok_ids_push(x->ids, id) || tok_oom(x->e);
}

/* ---- byte-level BPE and its relative over characters ---- */

static bool merge_and_push(encoder *x) {
    if (!merge_run(&x->work, &x->t->merges)) return tok_oom(x->e);
    for (size_t i = 0; i < x->work.n; i++)
        if (!encoder_push(x, x->work.sym[i])) return false;
    return true;
}

/* The token whose decoded bytes are this word, written in the byte alphabet as the file stores it.
 */
static int32_t whole_word(const tok *t, str word) {
    char text[256];
    size_t n = 0;
    if (word.n > sizeof text / 2 || word.n > t->longest) return -1;
    for (size_t i = 0; i < word.n; i++)
        n += (size_t)utf8_encode(bytelevel_char((unsigned char)word.p[i]), text + n);
    return tok_find(t, (str){text, n});
}

static bool word_bytes(void *ud, str word) {
    encoder *x = ud;
    const tok *t = x->t;
    if (t->ignore_merges) {
        int32_t id = whole_word(t, word);
        if (id >= 0) return encoder_push(x, id);
    }
    if (!merge_work_reserve(&x->work, word.n)) return tok_oom(x->e);
    size_t n = 0;
    for (size_t i = 0; i < word.n; i++) {
        int32_t id = t->byte_id[(unsigned char)word.p[i]];
        if (id >= 0) x->work.sym[n++] = id;
        else if (t->unk >= 0) x->work.sym[n++] = t->unk;
    }
    x->work.n = n;
    return merge_and_push(x);
}

bool encode_bytelevel(encoder *x, str text) {
    if (!x->split) x->split = pre_run_new(x->t->splitter, x->e);
    return x->split && pre_split(x->split, text, word_bytes, x, x->e);
}

/* Appends the symbols of text, a space as U+2581. */
static bool symbols_of(encoder *x, str text) {
    const tok *t = x->t;
    if (!merge_work_reserve(&x->work, x->work.n + text.n)) return tok_oom(x->e);
    int32_t *sym = x->work.sym + x->work.n;
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t cp;
        int len = utf8_decode(text.p + i, text.n - i, &cp);
        if (len <= 0) {
            sym[n++] = SYM_OF_BYTE((unsigned char)text.p[i++]);
            continue;
        }
        if (cp == ' ') cp = SPACE_MARK_CP;
        int32_t id = cp_map_get(&t->chars, cp);
        sym[n++] = id >= 0 ? id : SYM_OF_CP(cp);
        i += (size_t)len;
    }
    x->work.n += n;
    return true;
}

/* A character that is no token: its bytes where the vocabulary has byte tokens, else one unknown
 * for a run of such characters. */
static bool push_unknown(encoder *x, int32_t sym) {
    const tok *t = x->t;
    char bytes[4];
    int n = 1;
    if (sym > SYM_OF_BYTE(0)) n = utf8_encode((uint32_t)(-1 - sym), bytes);
    else bytes[0] = (char)(SYM_OF_BYTE(0) - sym);
    if (!t->has_bytes) {
        bool again = x->after_unknown;
        x->after_unknown = true;
        return again || t->unk < 0 || encoder_push(x, t->unk);
    }
    for (int i = 0; i < n; i++)
        if (!encoder_push(x, t->byte_id[(unsigned char)bytes[i]])) return false;
    return true;
}

static bool merge_and_push_chars(encoder *x) {
    if (!merge_run(&x->work, &x->t->merges)) return tok_oom(x->e);
    for (size_t i = 0; i < x->work.n; i++) {
        int32_t sym = x->work.sym[i];
        if (sym < 0) {
            if (!push_unknown(x, sym)) return false;
            continue;
        }
        if (!encoder_push(x, sym)) return false;
        x->after_unknown = false;
    }
    return true;
}

static size_t mark_len(str s, size_t at) { /* a space, visible or not */
    if (s.p[at] == ' ') return 1;
    return s.n - at >= 3 && !memcmp(s.p + at, SPACE_MARK, 3) ? 3 : 0;
}

/* The end of the word that starts at `at`: its spaces, then all up to the next space. */
static size_t word_end(str s, size_t at) {
    for (size_t n; at < s.n && (n = mark_len(s, at)) > 0;) at += n;
    while (at < s.n && !mark_len(s, at)) at++;
    return at;
}

/* Merges all of text, behind a space where `prefix`. Where no token goes on past the end of a word,
 * no merge does, and the words are done one by one: short ones are by far the fastest. */
static bool encode_merged(encoder *x, str text, bool prefix) {
    for (size_t at = 0, end; at < text.n; at = end) {
        end = x->t->words_apart ? word_end(text, at) : text.n;
        x->work.n = 0;
        if (prefix && at == 0 && !symbols_of(x, STR(" "))) return false;
        if (!symbols_of(x, (str){text.p + at, end - at}) || !merge_and_push_chars(x)) return false;
    }
    return true;
}

/* One line, or a run of newlines. Such a run that is a token is that token. */
static bool encode_line(encoder *x, str line) {
    if (line.p[0] == '\n') {
        int32_t id = tok_find(x->t, line);
        if (id >= 0 && tok_is_text((tok_attr)x->t->attr[id])) return encoder_push(x, id);
    }
    return encode_merged(x, line, false);
}

bool encode_chars(encoder *x, str text) {
    x->after_unknown = false;
    for (size_t i = 0, end; i < text.n; i = end) {
        const char *nl = memchr(text.p + i, '\n', text.n - i);
        end = nl ? (size_t)(nl - text.p) : text.n;
        while (end == i || (text.p[i] == '\n' && end < text.n && text.p[end] == '\n')) end++;
        if (!encode_line(x, (str){text.p + i, end - i})) return false;
    }
    return true;
}

/* ---- SentencePiece BPE ---- */

bool encode_spm(encoder *x, str text, bool prefix) {
    const tok *t = x->t;
    x->after_unknown = false;
    if (!t->chars_map && !t->squeeze_spaces) return encode_merged(x, text, prefix);
    buf_clear(&x->text);
    if (!normalise_text(t->chars_map, text, t->squeeze_spaces, prefix, &x->text))
        return tok_oom(x->e);
    return encode_merged(x, buf_str(&x->text), false);
}

/* ---- the whole text ---- */

/* The longest special token at s's start, -1 when there is none. */
static int32_t special_here(const tok *t, str s, bool all) {
    int32_t found = -1;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < s.n; i++) {
        node = trie_step(&t->special, node, (unsigned char)s.p[i]);
        if (node == TRIE_NONE) break;
        int32_t id = t->special.value[node];
        if (id >= 0 && (all || t->attr[id] == TOK_USER_DEFINED)) found = id;
    }
    return found;
}

/* Where the next special token begins; text.n when there is none. */
static size_t special_next(const tok *t, str text, size_t from, bool all, int32_t *id) {
    const bool *first = t->special_first[all];
    for (size_t i = from; i < text.n; i++) {
        if (!first[(unsigned char)text.p[i]]) continue;
        *id = special_here(t, (str){text.p + i, text.n - i}, all);
        if (*id >= 0) return i;
    }
    *id = -1;
    return text.n;
}

size_t tok_special_next(const tok *t, str text, size_t from, unsigned flags, int32_t *id) {
    return special_next(t, text, from, flags & TOK_SPECIAL, id);
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool encode_plain(encoder *x, str text, bool prefix) {
    if (!text.n) return true;
    switch (x->t->kind) {
    case KIND_BYTES: return encode_bytelevel(x, text);
    case KIND_CHARS: return encode_chars(x, text);
    case KIND_SPM: return encode_spm(x, text, prefix);
    case KIND_WORDPIECE: return encode_wordpiece(x, text);
    case KIND_UNIGRAM: return encode_unigram(x, text, prefix);
    }
    return true;
}

/* A space goes in front of the text and of what follows a special token. */
static bool encode_parts(encoder *x, str text, unsigned flags) {
    const tok *t = x->t;
    bool prefix = t->space_prefix && !(flags & TOK_NO_PREFIX);
    for (size_t at = 0; at < text.n;) {
        int32_t id;
        size_t begin = special_next(t, text, at, flags & TOK_SPECIAL, &id), end = begin;
        uint8_t strip = id >= 0 && t->strip ? t->strip[id] : 0;
        if (strip & TOK_STRIP_LEFT)
            while (end > at && is_blank(text.p[end - 1])) end--;
        if (!encode_plain(x, (str){text.p + at, end - at}, prefix)) return false;
        if (id < 0) break;
        if (!encoder_push(x, id)) return false;
        prefix = t->space_prefix;
        at = begin + tok_text(t, id).n;
        if (strip & TOK_STRIP_RIGHT)
            while (at < text.n && is_blank(text.p[at])) at++;
    }
    return true;
}

bool tok_encode(const tok *t, str text, unsigned flags, tok_ids *ids, err *e) {
    if (text.n > LIMIT_TEXT_BYTES) {
        return err_set(e, ERR_NO_FIT, "the text has %zu bytes, at most %u fit", text.n,
                       LIMIT_TEXT_BYTES);
    }
    encoder x = {.t = t, .ids = ids, .e = e};
    buf_init(&x.text, SIZE_MAX / 2);
    bool add = flags & TOK_BOS;
    bool ok = (!add || !t->add_bos || encoder_push(&x, t->bos)) && encode_parts(&x, text, flags) &&
              (!add || !t->add_eos || encoder_push(&x, t->eos)) &&
              (!add || !t->add_sep || encoder_push(&x, t->sep));
    merge_work_deinit(&x.work);
    pre_run_free(x.split);
    buf_deinit(&x.text);
    free(x.best);
    return ok;
}
