/* SentencePiece's text normalisation: a compiled table of replacements ("precompiled_charsmap"),
 * white space squeezed or kept, and the space in front of the text.
 *
 * The table is a stranger's bytes: a double array trie of 32-bit units, then NUL-terminated
 * replacement strings. It is copied, and every step through it stays inside.
 */
#ifndef HEARTH_TOK_NORMALISE_H
#define HEARTH_TOK_NORMALISE_H

#include "base/buf.h"
#include "base/err.h"

typedef struct charsmap charsmap;

/* Whether these bytes are such a table: asked before charsmap_new. */
bool charsmap_check(const uint8_t *data, size_t n);
charsmap *charsmap_new(const uint8_t *data, size_t n); /* copies; NULL: no memory */
void charsmap_free(charsmap *m);
/* The longest replacement at s's start: its text (borrowed); *used is how many bytes it replaces. A
 * character without one stands for itself; a byte of broken UTF-8 stays what it is. */
str charsmap_next(const charsmap *m, str s, size_t *used); /* m may be NULL; s not empty */

/* Appends the normalised text with every space as U+2581. */
bool normalise_text(const charsmap *m, str text, bool squeeze, bool prefix, buf *out);

#endif
