/* WordPiece: BERT's basic tokenizer (clean, lower case, strip accents, cut at white space,
 * punctuation and ideographs), then the longest known piece again and again. GGUF marks the
 * beginning of a word with U+2581 where BERT's own files mark its continuation with ##.
 *
 * Stripping accents is what the format's reference vectors ask for, a little coarser than BERT's
 * own: of a character's canonical decomposition only the first part stays (so a Hangul syllable
 * becomes its leading consonant), and marks of every kind go, not only the non-spacing ones. */
#include "tok/tok_private.h"

#include <utf8proc.h>

enum { MAX_WORD_CHARS = 100 }; /* BERT: anything longer is unknown */

typedef struct word {
    encoder *x;
    char text[3 + 4 * MAX_WORD_CHARS]; /* begins with U+2581 */
    size_t n;
    int chars;
    bool too_long;
} word;

static bool is_ideograph(
    uint32_t c) { /* the blocks of BERT's own list; 2B920 is as in its fast version */
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_space(uint32_t c) { /* white space that is no control character */
    return c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_punctuation(uint32_t c, utf8proc_category_t cat) {
    bool ascii = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                 (c >= 123 && c <= 126);
    return ascii || (cat >= UTF8PROC_CATEGORY_PC && cat <= UTF8PROC_CATEGORY_PO);
}

static bool is_control(utf8proc_category_t cat) {
    return cat == UTF8PROC_CATEGORY_CC || cat == UTF8PROC_CATEGORY_CF ||
           cat == UTF8PROC_CATEGORY_CO || cat == UTF8PROC_CATEGORY_CN;
}

/* The longest token at the front of s; -1 when there is none. */
static int32_t longest_piece(const tok *t, str s, size_t *used) {
    int32_t found = -1;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < s.n; i++) {
        node = trie_step(&t->words, node, (unsigned char)s.p[i]);
        if (node == TRIE_NONE) break;
        if (t->words.value[node] < 0) continue;
        found = t->words.value[node];
        *used = i + 1;
    }
    return found;
}

static void word_clear(word *w) {
    memcpy(w->text, SPACE_MARK, 3);
    w->n = 3;
    w->chars = 0;
    w->too_long = false;
}

/* The word so far becomes tokens: all of it or one unknown. */
static bool word_end(word *w) {
    encoder *x = w->x;
    size_t kept = x->ids->n;
    if (!w->chars) return true;
    str rest = {w->text, w->n};
    bool known = !w->too_long;
    while (known && rest.n) {
        size_t used = 0;
        int32_t id = longest_piece(x->t, rest, &used);
        known = id >= 0;
        if (known && !encoder_push(x, id)) return false;
        rest.p += used;
        rest.n -= used;
    }
    word_clear(w);
    if (known) return true;
    x->ids->n = kept;
    return encoder_push(x, x->t->unk);
}

static void word_add(word *w, uint32_t c) {
    if (w->chars == MAX_WORD_CHARS) w->too_long = true;
    if (w->too_long) return;
    w->n += (size_t)utf8_encode(c, w->text + w->n);
    w->chars++;
}

/* The first character of the canonical decomposition. */
static uint32_t base_of(uint32_t c) {
    utf8proc_int32_t part[32];
    int boundary = 0;
    if (c < 0x80) return c;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, part, 32, UTF8PROC_DECOMPOSE,
                                                 &boundary);
    return n > 0 && n <= 32 ? (uint32_t)part[0] : c;
}

/* One character, already without its accents. */
static bool char_add(word *w, uint32_t c) {
    const tok *t = w->x->t;
    utf8proc_category_t cat = utf8proc_category((utf8proc_int32_t)c);
    if (c == '\t' || c == '\n' || c == '\r') return word_end(w);
    if (c == 0xfffd || is_control(cat)) return true; /* U+0085 too, although it is a space */
    if (is_space(c)) return word_end(w);
    if (t->strip_accents && cat >= UTF8PROC_CATEGORY_MN && cat <= UTF8PROC_CATEGORY_ME) return true;
    uint32_t low = t->lowercase ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)c) : c;
    if (!is_punctuation(c, cat) && !is_ideograph(c)) {
        word_add(w, low);
        return true;
    }
    if (!word_end(w)) return false;
    word_add(w, low);
    return word_end(w);
}

bool encode_wordpiece(encoder *x, str text) {
    word w = {.x = x};
    word_clear(&w);
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        int len = utf8_decode(text.p + i, text.n - i, &c);
        i += len > 0 ? (size_t)len : 1;
        if (len <= 0) continue; /* BERT drops U+FFFD, which is what broken bytes become there */
        if (!char_add(&w, x->t->strip_accents ? base_of(c) : c)) return false;
    }
    return word_end(&w);
}
