/* Conversations through the model's own template.
 *
 * A prompt_chat belongs to one model. It holds the model's template (tokenizer.chat_template), read
 * once, and what trying it out has shown: whether it writes system messages, wants texts in parts,
 * or arguments of calls as text. A conversation comes in OpenAI's shape and is brought into the
 * shape that this template takes. Where the file has no template, or one that cannot be run, the
 * families of prompt.h write plain conversations.
 *
 * A control token is only ever made from the template's own text: the interpreter knows of every
 * byte whether it came from the conversation, whatever the template did to it.
 *
 * Immutable after prompt_chat_open, read by any thread; borrows gguf and tok.
 *
 *     prompt_chat *c = prompt_chat_open(g, t);
 *     prompt_text x; prompt_text_init(&x);
 *     prompt_request q = {.messages = messages, .open_answer = true};
 *     prompt_chat_render(c, &q, &x, &e) && prompt_encode(&x, t, &ids, &e);
 */
#ifndef HEARTH_PROMPT_CHAT_H
#define HEARTH_PROMPT_CHAT_H

#include <jansson.h>

#include "prompt/prompt.h"

typedef struct prompt_chat prompt_chat;

prompt_chat *prompt_chat_open(const gguf *g, const tok *t); /* NULL: out of memory */
void prompt_chat_close(prompt_chat *c);
/* The family's name, "jinja" for a template of no known family, NULL: it only completes text. */
const char *prompt_chat_name(const prompt_chat *c);
str prompt_chat_source(const prompt_chat *c); /* the template's text, empty when there is none */
/* Why the file's template is not used; NULL when it is, or when there is none. */
const char *prompt_chat_problem(const prompt_chat *c);

enum {
    PROMPT_CAN_SYSTEM = 1, /* system messages have a place of their own */
    PROMPT_CAN_TOOLS = 2,
    PROMPT_CAN_THINK = 4 /* a switch for thinking */
};
unsigned prompt_chat_abilities(const prompt_chat *c);

typedef struct prompt_request {
    json_t *messages;     /* array of objects; borrowed, not changed */
    json_t *tools;        /* array, or NULL */
    json_t *kwargs;       /* object: further variables, or NULL */
    const char *template; /* instead of the model's; NULL */
    bool open_answer;     /* end with the beginning of an answer */
    bool continue_last;   /* end inside the last message, for the model to go on with it */
    int think;            /* enable_thinking: 0 or 1; -1: as the template has it */
    const char *effort;   /* reasoning_effort; NULL: as the template has it */
    int64_t now;          /* seconds since 1970; 0: the clock */
} prompt_request;

/* ERR_USAGE for what the template refuses (its own words) or what is no conversation; ERR_FAILED
 * when there is no template; ERR_NO_FIT past a bound. */
bool prompt_chat_render(const prompt_chat *c, const prompt_request *q, prompt_text *out, err *e);

#endif
