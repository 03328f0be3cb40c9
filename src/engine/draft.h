/* Drafts: guesses at the next tokens of a text from what it has said before.
 *
 * When the last tokens have occurred earlier, what followed then is likely to follow now. The
 * longest of a few lengths is looked for, and the latest place where it occurred, in tables from
 * the hash of so many tokens to where they end; a find is compared with the tokens, so a table may
 * forget and may never lie. What the tokens are worth is not decided here: a draft is only a guess,
 * and who asks for it finds out what is true.
 *
 * Where drafts have gone well, the text follows an earlier place, and a wrong guess may be a word
 * that was replaced, put in or left out. So the place is kept: what is near it and ends with the
 * text's last tokens, be it one, goes before what is elsewhere and agrees in no more; and right
 * behind a wrong guess, where nothing agrees, it is guessed that the text goes on as far along.
 *
 * Each kind of guess keeps count of how it went, and so many are made as pay (pace.h): drafts
 * grow while they are right and shrink when they are wrong; a kind that is hardly ever right
 * rests, for longer each time.
 *
 * One thread. Memory: at most 40 bytes a token of the text, and at most 1.25 MiB.
 *
 *     draft d = {0};
 *     int32_t guess[DRAFT_MOST], n_guess = draft_guess(&d, tokens, n, DRAFT_MOST, 0, &cost, guess);
 *     ...
 *     draft_learn(&d, n_guess, n_right);   // once for each guess that was tried
 *     draft_deinit(&d);
 */
#ifndef HEARTH_ENGINE_DRAFT_H
#define HEARTH_ENGINE_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/pace.h"

#define DRAFT_MOST 10
#define DRAFT_LENGTHS 5

/* What a guess goes by: so many tokens that agree, or less, beside the place that is followed. */
typedef enum draft_kind {
    DRAFT_NEAR = DRAFT_LENGTHS, /* one or two tokens agree */
    DRAFT_ALONG,                /* none does */
    DRAFT_KINDS
} draft_kind;

typedef struct draft {
    int32_t *end[DRAFT_LENGTHS]; /* [cap] where such tokens ended last; 0: never */
    int32_t cap;                 /* a power of two */
    int32_t seen;                /* ends up to here are in the tables */
    int used;                    /* the length, or kind, that made the last draft */
    int32_t n, back;             /* behind so many tokens, from so many back */
    int32_t n_right;             /* guesses in a row that were right from as far back */
    int32_t follows;             /* how far back the text is that is followed; 0: none is */
    int32_t right_until;         /* behind the last guess from there that was right */
    pace pace[DRAFT_KINDS];
} draft;

void draft_deinit(draft *d);
/* Guesses what follows tokens[0 .. n): at most `most` tokens into guess, as far as that pays where
 * a step takes what `target` says; 0: nothing to go by, or nothing of which at least the share
 * `least` is right, lately. Between calls the text only grows. Where memory is short there are
 * fewer guesses. */
int32_t draft_guess(draft *d, const int32_t *tokens, int32_t n, int32_t most, double least,
                    const cost *target, int32_t *guess);
/* Of the last draft so many tokens were tried, and so many were right before the first wrong one.
 */
void draft_learn(draft *d, int32_t n_tried, int32_t n_right);

#endif
