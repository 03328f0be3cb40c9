/* A conversation to be gone on with, whatever dialect it came in. A dialect fills in what its
 * request says; api_talk_begin makes of it the prompt, what the answer must obey, and how the
 * answer will be taken apart into text, thoughts and calls of tools (pieces.c).
 *
 *     api_talk t = api_talk_default();
 *     t.messages = ...;                        // OpenAI's shape, owned by t
 *     tools_read(&t.ask, tools, e); tool_choice_read(&t.ask, choice, e);
 *     ok = api_talk_begin(c, &t, &p, &prompt, e);
 *     api_talk_deinit(&t);
 *     ok = ok && api_generate(c, &writer, &p, &prompt, 1, n, e);
 */
#ifndef HEARTH_API_TALK_H
#define HEARTH_API_TALK_H

#include "api/call.h"
#include "api/tools.h"

typedef struct api_talk {
    json_t *messages; /* owned; changed */
    tool_ask ask;
    const json_t *schema;         /* the answer's text is JSON that it describes; borrowed. NULL: */
    bool any_json;                /* and it is a JSON object of any kind */
    const char *format_param;     /* where the request says so, for errors */
    const char *gbnf;             /* rules for all of the answer instead, as llama-server has it */
    hearth_chat how;              /* think, effort, continue_final; the rest is filled in */
    const json_t *kwargs;         /* further variables of the template, or NULL */
    int32_t thought_budget;       /* tokens; -1: none */
    bool raw_thoughts, raw_calls; /* these stay in the text as the model writes them */
    const char *format;           /* name of an answer_format; NULL: the template's own */
    bool truncate; /* drop old turns where the whole does not fit; else it is an error */
    int32_t n_ctx; /* less than the engine's; 0: the engine's */
} api_talk;

/* What conversations in every dialect may hold beside their own fields: chat_template_kwargs,
 * enable_thinking, thinking_budget, reasoning_format, parse_tool_calls, answer_format,
 * continue_final_message, truncation. */
extern const api_field api_talk_fields[];

api_talk api_talk_default(void);
void api_talk_deinit(api_talk *t);
/* Reads those fields. */
bool api_talk_read(api_talk *t, const json_t *body, api_error *e);
/* "none", "low", ... as reasoning_effort and its kin say it; NULL: nothing. */
void api_talk_effort(api_talk *t, const char *effort);
/* p NULL: only the prompt is wanted. The prompt is the caller's. */
bool api_talk_begin(api_call *c, api_talk *t, hearth_params *p, api_prompt *out, api_error *e);
/* The prompt as text too; by hearth_chat_prompt_free. */
bool api_talk_render(api_call *c, api_talk *t, hearth_chat_prompt *out, api_error *e);

#endif
