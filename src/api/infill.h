/* Filling in the middle: the text before and after a gap as the prompt of a model that was trained
 * for it, with its own tokens for "before", "after" and "here".
 *
 *     infill_text t = {.before = STR("def f("), .after = STR("    return x\n")};
 *     if (!infill_prompt(c, &t, &prompt, &e)) ...
 */
#ifndef HEARTH_API_INFILL_H
#define HEARTH_API_INFILL_H

#include "api/call.h"

typedef struct infill_file {
    str name, text;
} infill_file;

typedef struct infill_text {
    str before, after;
    str begun;                /* what the gap begins with already */
    const infill_file *extra; /* [n_extra]: other files of the same work */
    size_t n_extra;
} infill_text;

typedef struct infill_tokens {
    int32_t before, after, here; /* -1: the vocabulary has none */
    int32_t repo, file;
} infill_tokens;

/* False: the model cannot fill in. */
bool infill_tokens_find(const hearth_model *m, infill_tokens *out);
bool infill_prompt(api_call *c, const infill_text *t, api_prompt *out, api_error *e);

#endif
