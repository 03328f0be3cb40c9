/* What the study's workloads are made of: the works of Shakespeare as lines, with the tokens of
 * each in the vocabulary of a model, cut into pieces scene by scene. A text never changes once
 * made: any thread may read it.
 *
 *     study_text t;
 *     if (!study_text_open(&t, model, 256, &e)) ...
 *     str piece = study_text_piece(&t, 7);
 *     str passage = study_text_passage(&t, rng, 400);     // about 400 tokens from somewhere
 *     study_text_close(&t);
 */
#ifndef HEARTH_STUDY_TEXT_H
#define HEARTH_STUDY_TEXT_H

#include "base/err.h"
#include "base/str.h"
#include "hearth.h"

typedef struct study_line {
    const char *p;
    uint32_t n;      /* bytes, the newline too */
    uint16_t tokens; /* of this line alone */
    uint16_t file;   /* number of its file */
    bool begins;     /* a scene, or a file */
} study_line;

typedef struct study_piece {
    size_t first, n; /* lines */
    int tokens;
} study_piece;

typedef struct study_text {
    study_line *line;
    size_t n_lines;
    study_piece *piece;
    size_t n_pieces;
    int64_t tokens, bytes; /* of the whole works */
    char sha256[65];       /* of all files, one after the other */
} study_text;

/* Pieces have at most piece_tokens, except where one line alone has more. */
bool study_text_open(study_text *t, const hearth_model *m, int piece_tokens, err *e);
void study_text_close(study_text *t);
str study_text_piece(const study_text *t, size_t i);
/* Whole lines of one file, at least one, at most so many tokens, from a place that `at` (any
 * number) chooses. */
str study_text_passage(const study_text *t, uint64_t at, int tokens);

#endif
