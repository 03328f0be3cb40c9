/* Texts to vectors, and texts to how well they answer: what the dialects' endpoints for it share.
 * The dialect reads its fields into an api_embedding, in the call's arena, and answers from it; the
 * work in between is done here, on a thread where it may wait, as one row of the ledger, whose
 * budget is looked at first. An answer that is to say its energy waits for the meter.
 *
 *     api_embedding *s = api_embed_new(c, n, "input", &e);      // NULL: *e
 *     s->in[0] = (hearth_input){.text = ..., .n_text = ...};
 *     api_embed_run(c, done);               // done: failure, or vectors; ends by api_embed_reply
 */
#ifndef HEARTH_API_EMBED_H
#define HEARTH_API_EMBED_H

#include "api/call.h"

typedef struct api_embedding { /* c->state */
    hearth_input *in;          /* [n] */
    size_t n;
    hearth_input query;          /* of a rerank */
    bool rerank, truncate;       /* truncate: what is too long loses its end */
    const char *field;           /* that the texts came in, for errors */
    const hearth_lora_use *lora; /* [n_lora], adapters beside the weights */
    size_t n_lora;
    float *vectors;        /* [n][dim]; of a rerank [n]; the call's */
    int32_t dim, n_tokens; /* n_tokens: of all */
    uint64_t load_ns;      /* for the dialect: waited for the model */
    api_error failure;     /* status 0: none */
} api_embedding;

/* Room for n texts, at most LIMIT_TEXTS; becomes the call's state. */
api_embedding *api_embed_new(api_call *c, size_t n, const char *field, api_error *e);
void api_embed_run(api_call *c, void (*done)(api_call *c));
/* How many numbers of each vector are wanted (the field "dimensions"); more than there are is a
 * failure. The vectors are of length 1 again. */
int32_t api_embed_shorten(api_call *c);
void api_embed_reply(api_call *c); /* what stands in c->out, and the header that says its energy */

#endif
