/* Pre-tokenizers: how a byte-level BPE cuts text into words before merging.
 *
 * A pre is a list of stages, each a pattern of the model's tokenizer as published; every stage cuts
 * the pieces of the one before into matches and what lies between them. PCRE2 runs them (UTF and
 * UCP, JIT). A pre is immutable; a pre_run holds one thread's match data and JIT stack.
 *
 * No Unicode normalisation happens here, although a few of these models' tokenizers (Qwen's,
 * Cohere's) compose to NFC first: the words of this room come back byte for byte.
 *
 *     pre *p = pre_open(STR("llama-bpe"), &e);
 *     pre_run *r = pre_run_new(p, &e);
 *     pre_split(r, text, on_word, ud, &e);
 */
#ifndef HEARTH_TOK_PRE_H
#define HEARTH_TOK_PRE_H

#include "base/err.h"
#include "base/str.h"

typedef struct pre pre;
typedef struct pre_run pre_run;

typedef struct pre_traits {
    bool ignore_merges; /* a word that is a token is taken whole */
    bool adds_bos;      /* when the file does not say */
} pre_traits;

/* An unknown name is ERR_FAILED; the message lists the known ones. */
pre *pre_open(str name, pre_traits *traits, err *e);
void pre_close(pre *p);

pre_run *pre_run_new(const pre *p, err *e);
void pre_run_free(pre_run *r);

/* Called for each word in order; false stops the split and is passed on. */
typedef bool (*pre_word_fn)(void *ud, str word);
/* Any bytes. Broken UTF-8 passes through inside the words, byte for byte. */
bool pre_split(pre_run *r, str text, pre_word_fn fn, void *ud, err *e);

/* The i-th known name, NULL past the end. For messages and tests. */
const char *pre_name_at(size_t i);

#endif
