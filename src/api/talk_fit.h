/* Conversations that are longer than the context: whole old turns are left out.
 *
 * A turn is what a user says with everything up to what the user says next; in the last one, after
 * what the user said, each answer with the results of its calls. They go from the oldest on, as few
 * as will do. What the system says, what the user said last, and the newest of its answers stay.
 */
#ifndef HEARTH_API_TALK_FIT_H
#define HEARTH_API_TALK_FIT_H

#include "api/talk.h"

/* The rendering of all that fits beside an answer of max_tokens (-1, or more than half of the
 * context: a quarter is left for it). c->n_dropped says how many turns went. When not even the
 * least fits, that is rendered: it will be refused for its length. */
bool talk_fit(api_call *c, const api_talk *t, int32_t max_tokens, hearth_chat_prompt *out,
              api_error *e);

/* talk.c: without the messages whose unit is one of the first n_drop. unit: [messages], or NULL. */
bool talk_render_without(api_call *c, const api_talk *t, const int *unit, int n_drop,
                         hearth_chat_prompt *out, api_error *e);

#endif
