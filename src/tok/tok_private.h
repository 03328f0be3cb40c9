/* What the files of this room share. Nobody outside src/tok includes it.
 *
 * A tok is filled once by tok_open (vocab.c) and only read afterwards. Encoding is: special.c cuts
 * the text at special tokens; what lies between goes to an encoder (two kinds of BPE in encode.c,
 * which share merge.c, that knows nothing but integers; wordpiece.c; unigram.c).
 */
#ifndef HEARTH_TOK_PRIVATE_H
#define HEARTH_TOK_PRIVATE_H

#include "tok/merge.h"
#include "tok/normalise.h"
#include "tok/pre.h"
#include "tok/tok.h"
#include "tok/trie.h"

typedef enum tok_kind {
    KIND_BYTES,     /* BPE over bytes, split by a pre-tokenizer */
    KIND_CHARS,     /* BPE with merges over characters, spaces as U+2581 ("gemma4") */
    KIND_SPM,       /* SentencePiece BPE: merges follow from the scores */
    KIND_WORDPIECE, /* BERT */
    KIND_UNIGRAM    /* SentencePiece unigram: Viterbi over the scores */
} tok_kind;

#define SPACE_MARK "\xe2\x96\x81" /* U+2581, SentencePiece's visible space */
#define SPACE_MARK_CP 0x2581u

/* A character that is no token of its own still takes part in merges and must come back as bytes:
 * its symbol is negative and says what it was. Code points first, then the 256 bytes of broken
 * UTF-8. */
#define SYM_OF_CP(cp) (-1 - (int32_t)(cp))
#define SYM_OF_BYTE(b) (-1 - 0x110000 - (int32_t)(b))

typedef struct cp_map { /* code point -> token id, open addressing */
    uint32_t *cp;       /* UINT32_MAX: free */
    int32_t *id;
    uint32_t mask;
} cp_map;

struct tok {
    tok_kind kind;
    char model[16];
    char pre[64];

    int32_t n;
    char *texts;        /* all stored texts, one after the other */
    uint32_t *text_at;  /* [n + 1] */
    char *pieces;       /* all decoded texts */
    uint32_t *piece_at; /* [n + 1] */
    uint8_t *attr;      /* [n] tok_attr */
    uint8_t *strip;     /* [n] TOK_STRIP_ bits; NULL when no token has any */
    float *score;       /* [n]; NULL when the file has none */
    int32_t *by_text;   /* hash table of ids, -1 free */
    uint32_t by_text_mask;
    uint32_t longest; /* bytes of the longest stored text */

    int32_t bos, eos, unk, sep;
    bool add_bos, add_eos, add_sep;
    bool ignore_merges;            /* a word that is a token is taken whole */
    bool space_prefix;             /* SentencePiece: a space before the text */
    bool squeeze_spaces;           /* SentencePiece: runs of spaces become one, none at the ends */
    bool lowercase, strip_accents; /* BERT */
    bool has_bytes;                /* all 256 byte tokens are there */
    int32_t byte_id[256];

    merge_table merges;
    bool words_apart;           /* no token holds a space behind something else */
    cp_map chars;               /* single-character tokens */
    pre *splitter;              /* KIND_BYTES */
    trie special;               /* control, unknown and user-defined tokens */
    bool special_first[2][256]; /* [specials parsed?][first byte]: some token starts so */
    trie words;                 /* WordPiece and unigram: every token that text can become */
    float unknown_score;        /* unigram */
    charsmap *chars_map;        /* NULL: text is taken as it is */

    int32_t *ends; /* ascending */
    size_t n_ends;
};

/* Hash of a text, one byte after the other, so that a prefix's hash is a by-product. */
#define TEXT_HASH_MUL 0x9e3779b97f4a7c15ull
static inline uint64_t text_hash_step(uint64_t h, unsigned char c) {
    return h * TEXT_HASH_MUL + c + 1;
}
static inline uint64_t text_hash_mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ull;
    return h ^ h >> 29;
}
/* The id of a text whose unmixed hash is known; -1 when absent. */
int32_t tok_find_hashed(const tok *t, str text, uint64_t hash);

static inline bool tok_is_text(tok_attr a) { /* attributes that plain text can become */
    return a == TOK_NORMAL || a == TOK_USER_DEFINED || a == TOK_UNUSED;
}

bool cp_map_init(cp_map *m, size_t n);
void cp_map_deinit(cp_map *m);
void cp_map_put(cp_map *m, uint32_t cp, int32_t id);
int32_t cp_map_get(const cp_map *m, uint32_t cp); /* -1 when absent */

int tok_byte_value(str text); /* "<0x0A>" is 10; -1 for any other text */
bool tok_oom(err *e);         /* "out of memory", false */
/* "FILE: byte OFFSET: KEY[ITEM]: ...", false; no offset when the key is missing, no item when it is
 * negative. */
bool tok_damaged(err *e, const gguf *g, const char *key, int64_t item, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* vocab_build.c: tables derived from texts, types and scores. */
bool tok_build_bytelevel(tok *t, const gguf *g, err *e);
bool tok_build_chars(tok *t, const gguf *g, err *e);
bool tok_build_spm(tok *t, err *e);
bool tok_build_words(tok *t, err *e);
bool tok_build_pieces(tok *t, err *e);
/* special.c: which tokens end a text, and which swallow white space beside them. */
bool tok_find_ends(tok *t, const gguf *g, err *e);
bool tok_build_special(tok *t, err *e);
bool tok_set_strip(tok *t, str name, str arch, err *e);
/* GPT-2's printable stand-in for each byte, and back (-1: not a stand-in). */
uint32_t bytelevel_char(unsigned char b);
int bytelevel_byte(uint32_t cp);

/* The state of one tok_encode call. */
typedef struct encoder {
    const tok *t;
    tok_ids *ids;
    merge_work work;
    pre_run *split;     /* made on first use */
    bool after_unknown; /* the last token is an unknown: the next one joins it */
    buf text;           /* normalised text, where there is normalisation */
    int32_t *best;      /* unigram lattice */
    size_t best_cap;
    err *e;
} encoder;

bool encode_bytelevel(encoder *x, str text);
bool encode_chars(encoder *x, str text);
bool encode_spm(encoder *x, str text, bool prefix);
bool encode_wordpiece(encoder *x, str text);
bool encode_unigram(encoder *x, str text, bool prefix);
bool encoder_push(encoder *x, int32_t id); /* false with an error set */

#endif
