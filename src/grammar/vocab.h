/* A vocabulary prepared for masking: private to the room; see grammar.h and mask.c. */
#ifndef HEARTH_GRAMMAR_VOCAB_H
#define HEARTH_GRAMMAR_VOCAB_H

#include "grammar/grammar.h"

/* Tokens as a trie, in depth-first order: a node's subtree is [i + 1, skip[i]). */
typedef struct token_trie {
    uint8_t *byte;
    uint16_t *depth; /* 0 for a first byte */
    uint32_t *skip;
    int32_t *token; /* [first[i], first[i + 1]) of this end at node i */
    uint32_t *first;
    uint32_t n, max_depth;
} token_trie;

typedef struct token_entry {
    str bytes;
    int32_t token;
} token_entry;
/* Sorts v. Entries without bytes end at no node: they come first in t->token, before first[0]. */
bool trie_build(token_trie *t, token_entry *v, size_t n);
void trie_free(token_trie *t);

enum { VOCAB_LEFT = 16 }; /* lengths below this have a mask of their own */

struct grammar_vocab {
    const tok *t;
    int32_t n_vocab;
    size_t words;
    token_trie all;
    token_trie controls; /* control tokens by their text, without those that end an answer */
    /* Inside a JSON string without rules: */
    uint64_t *inside;   /* [VOCAB_LEFT + 1][words] tokens that stay inside and have at most i
                            characters; [VOCAB_LEFT]: however many */
    int32_t *by_length; /* tokens that stay inside, longest first */
    uint16_t *length;   /* [n_vocab] characters of a token that stays inside */
    uint32_t n_by_length;
    token_trie leaving; /* tokens with a closing quote in them, */
    token_trie after;   /* what follows that quote; tokens are indices into leaver */
    struct {
        int32_t token;
        uint16_t before; /* characters in front of the quote */
    } * leaver;
    uint32_t n_leavers;
};

#endif
