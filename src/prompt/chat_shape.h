/* The shape in which one template takes conversations, found by trying it with small ones, and
 * OpenAI's shape brought into it. */
#ifndef HEARTH_PROMPT_CHAT_SHAPE_H
#define HEARTH_PROMPT_CHAT_SHAPE_H

#include "template/jinja.h"

typedef struct chat_shape {
    bool wants_parts; /* texts only as [{"type": "text", "text": ...}] */
    bool
        merges_system; /* a system message is left out or refused: it goes in front of the user's */
    bool has_developer; /* it knows this role; else it becomes system */
    bool args_as_text;  /* arguments of calls as JSON text, not as an object */
    bool wants_null;    /* an answer that is only calls has no content, rather than an empty one */
    bool has_tools, has_think;
    const char *thought; /* the message's field for what was thought */
} chat_shape;

void chat_shape_find(chat_shape *s, const jinja *t, str source, json_t *own);
/* A new array for the template; ERR_USAGE names the message that is none. */
json_t *chat_shape_messages(const chat_shape *s, json_t *messages, err *e);

#endif
