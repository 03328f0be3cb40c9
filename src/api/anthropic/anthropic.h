/* What the files of the Anthropic dialect share.
 *
 *   anthropic.c  errors, pings, /v1/models as Anthropic has them
 *   ask.c        /v1/messages and its count_tokens: what a request may hold
 *   turns.c      their messages, made of blocks, into the shape that templates take
 *   text.c       the answer, whole or in events
 */
#ifndef HEARTH_API_ANTHROPIC_ANTHROPIC_H
#define HEARTH_API_ANTHROPIC_ANTHROPIC_H

#include "api/call.h"

extern const api_dialect api_dialect_anthropic;
extern const api_route api_routes_anthropic[];
extern const api_route api_routes_anthropic_text[];
extern const api_writer anthropic_writer;

typedef struct anthropic_state {
    char id[40];             /* of the message; the call's own is the request's */
    int64_t n_prompt;        /* tokens */
    int64_t max_tokens;      /* as asked for */
    const char *const *stop; /* NULL-terminated, or NULL */
    int n_blocks;            /* begun */
    bool is_open;            /* the last of them */
    api_piece_kind kind;     /* of the last; a call's is API_PIECE_TOOL_BEGIN */
    size_t thought_from;     /* where its thought begins in choice->reasoning */
} anthropic_state;

/* Opens an event up to its members; anthropic_event_end closes it. */
void anthropic_event(api_call *c, jsonw *w, const char *type);
void anthropic_event_end(api_call *c, jsonw *w);

/* The body's system and messages in OpenAI's shape, a new array. NULL, with *e. */
json_t *anthropic_turns(const json_t *body, api_error *e);

#endif
