/* Questions whose answers a program can check, so that cost can be told for each right answer:
 * arithmetic, facts out of a short text, JSON by a schema, who says a line in a scene. Made from a
 * seed and the works of Shakespeare alone. Any thread; no state but the arena's.
 *
 *     study_question *q = study_questions_make(seed, STUDY_QUESTIONS, memory);
 *     bool right = study_question_right(q[3].kind, q[3].expected, answer);
 */
#ifndef HEARTH_STUDY_QUESTIONS_H
#define HEARTH_STUDY_QUESTIONS_H

#include "base/arena.h"

#define STUDY_QUESTIONS 210 /* the whole set */
#define STUDY_ANSWER_TOKENS 48

typedef struct study_question {
    const char *kind; /* static: "arithmetic", "extraction", "json", "retrieval" */
    const char *prompt, *expected;
    const char *schema; /* static; NULL: none */
} study_question;

/* Question i of the set, i below STUDY_QUESTIONS; any n are spread evenly over the kinds. NULL: out
 * of memory. */
study_question *study_questions_make(uint64_t seed, int n, arena *memory);
bool study_question_right(const char *kind, const char *expected, str answer);

#endif
