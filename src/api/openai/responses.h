/* What the files of /v1/responses share.
 *
 *   responses.c       what a request may hold, until the engine has it; kept responses
 *   response_items.c  items of a conversation into messages, and messages back into items
 *   response_text.c   the answer, whole or in events
 *
 * An answer is a list of items: a thought, a message, a call of a tool. Each part of a choice (see
 * api_part) becomes one.
 */
#ifndef HEARTH_API_OPENAI_RESPONSES_H
#define HEARTH_API_OPENAI_RESPONSES_H

#include "api/openai/openai.h"

typedef struct response_item {
    char id[48];
    api_piece_kind kind;              /* API_PIECE_TEXT, _REASONING, _TOOL_BEGIN */
    int part;                         /* of the choice; -1: a message without text */
    size_t logprobs_from, logprobs_n; /* of a message, in choice->extra */
} response_item;

typedef struct response_state {
    int64_t n_events; /* sequence_number of the next */
    bool logprobs, store;
    double temperature, top_p;
    json_t *talk;        /* messages: all that the model is shown, but instructions; owned */
    json_t *referred;    /* the response that an item_reference led to last; owned */
    response_item *item; /* [n_items], in the arena; the last may still grow */
    int n_items, cap_items;
    size_t logprobs_told; /* of choice->extra, in events */
} response_state;

extern const api_writer response_writer;
/* The response as it stands. */
void response_write(api_call *c, jsonw *w, bool done);
/* The answer as a message, new; NULL: out of memory. */
json_t *response_message(const api_call *c);

/* "msg_<the response's letters>_2": an item that is kept is found by its name alone. */
void response_item_name(char *dst, size_t cap, const char *prefix, const char *response, int at);
/* The response in which an item of that name is; false: that is no such name. */
bool response_of_item(const char *name, char *response, size_t cap);

/* Adds an item of "input" to the conversation. where: "input[3]". */
bool response_item_read(api_call *c, json_t *talk, const json_t *item, const char *where,
                        api_error *e);
/* The conversation's items, oldest first, new; ids are made of `id`. NULL: out of memory. */
json_t *response_items(const json_t *talk, const char *id);

/* Tools that take a text instead of arguments: the model is told of one argument of this name. */
#define RESPONSE_CUSTOM_INPUT "input"
bool response_is_custom(const api_call *c, const char *name);
/* Of such a call, new; NULL: out of memory, or no such argument yet. */
char *response_custom_input(const api_tool_call *t);

#endif
