/* Tokenizers: text to ids and back.
 *
 * A tok is built from the tokenizer.* keys of a GGUF file, is immutable and shared by any number of
 * threads; it copies what it needs, so the file may be closed. Four algorithms: byte-level BPE
 * ("gpt2"), SentencePiece BPE ("llama"), WordPiece ("bert"), Unigram ("t5"). The pre-tokenizer of a
 * byte-level BPE is the published pattern of the model, run by PCRE2, never a rewritten form. Time
 * is linear in the text, memory at most 64 bytes a byte, the stack is flat.
 *
 *     tok *t = tok_open(g, &e);
 *     tok_ids ids = {0};
 *     if (!tok_encode(t, text, TOK_SPECIAL | TOK_BOS, &ids, &e)) ...
 *     tok_ids_deinit(&ids); tok_close(t);
 */
#ifndef HEARTH_TOK_H
#define HEARTH_TOK_H

#include "base/buf.h"
#include "base/err.h"
#include "gguf/gguf.h"

typedef struct tok tok;

typedef struct tok_ids {
    int32_t *id; /* owned; free by tok_ids_deinit */
    size_t n, cap;
} tok_ids;
void tok_ids_deinit(tok_ids *ids);
bool tok_ids_push(tok_ids *ids, int32_t id); /* false when out of memory */

enum {
    TOK_SPECIAL = 1,  /* control tokens written out in the text ("<|im_end|>") become their ids */
    TOK_BOS = 2,      /* add begin/end-of-text tokens where the model's own rule asks for them */
    TOK_NO_PREFIX = 4 /* SentencePiece: no space before the text (it continues another piece) */
};

typedef enum tok_attr {
    TOK_NORMAL = 1,
    TOK_UNKNOWN = 2,
    TOK_CONTROL = 3,
    TOK_USER_DEFINED = 4,
    TOK_UNUSED = 5,
    TOK_BYTE = 6
} tok_attr;

/* Errors: ERR_DAMAGED for keys that contradict each other, ERR_FAILED for a model or pre-tokenizer
 * name that Hearth does not know (the message lists those it does). */
tok *tok_open(const gguf *g, err *e);
void tok_close(tok *t);

/* Appends ids. Text may hold any bytes, also NUL and broken UTF-8. At most LIMIT_TEXT_BYTES. */
bool tok_encode(const tok *t, str text, unsigned flags, tok_ids *ids, err *e);

int32_t tok_n_vocab(const tok *t);
const char *tok_model(const tok *t);    /* "gpt2", "gemma4", "llama", "bert", "t5" */
const char *tok_pre(const tok *t);      /* the pre-tokenizer's name, "" when there is none */
str tok_text(const tok *t, int32_t id); /* as stored in the file; empty when out of range */
tok_attr tok_attr_of(const tok *t, int32_t id);
int32_t tok_find(const tok *t, str text); /* exact stored text; -1 when absent */
int32_t tok_bos(const tok *t);            /* -1 when the model has none; likewise below */
int32_t tok_eos(const tok *t);
int32_t tok_unk(const tok *t);
bool tok_adds_bos(const tok *t);
bool tok_adds_eos(const tok *t);
/* True for every token that ends a turn or a text (eos, eot, eom, and control tokens known to end
 * one such as <|im_end|>, <|eot_id|>, <end_of_turn>, <|end|>, <|return|>, <|call|>). */
bool tok_is_end(const tok *t, int32_t id);
/* The ids of all tokens for which tok_is_end holds, ascending. Borrowed. */
const int32_t *tok_ends(const tok *t, size_t *n);

/* Where the next token that is spelled out in text begins, at or after `from`, as tok_encode would
 * find it (with TOK_SPECIAL: control tokens too); text.n and *id -1 when there is none. */
size_t tok_special_next(const tok *t, str text, size_t from, unsigned flags, int32_t *id);

/* White space beside this control token that tok_encode swallows: TOK_STRIP_ bits. */
enum { TOK_STRIP_LEFT = 1, TOK_STRIP_RIGHT = 2 };
unsigned tok_strips(const tok *t, int32_t id);

/* The bytes that one token adds to the text, with no regard to its neighbours (a SentencePiece
 * leading space is kept). Control tokens give nothing unless `special`. Borrowed from t, O(1). */
str tok_piece(const tok *t, int32_t id, bool special);
/* Whole sequence to text, byte for byte (broken UTF-8 that was encoded comes back as it was); drops
 * the space that SentencePiece puts in front of a text. An id outside the vocabulary is ERR_USAGE.
 */
bool tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, buf *out, err *e);

/* Streaming detokenizer: feed ids one by one, take text that is whole UTF-8 characters only. Bytes
 * that can no longer become valid are emitted as U+FFFD. Lives in the caller's storage; one thread.
 */
typedef struct tok_stream {
    const tok *t;
    bool special;
    bool at_start; /* the next piece may lose its leading space */
    char pending[8];
    int n_pending;
} tok_stream;
void tok_stream_init(tok_stream *s, const tok *t, bool special, bool at_start);
bool tok_stream_push(tok_stream *s, int32_t id, buf *out); /* false: out is full */
bool tok_stream_end(tok_stream *s, buf *out);              /* what is left, as U+FFFD */

#endif
