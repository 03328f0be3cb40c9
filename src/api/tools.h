/* Tools, and the choice among them, as requests of every dialect come to have them; and calls of
 * earlier turns with what came of them.
 *
 * All of it is brought into OpenAI's shape, which the models' templates take: the tools are
 * [{"type": "function", "function": {"name", "description", "parameters", "strict"}}].
 */
#ifndef HEARTH_API_TOOLS_H
#define HEARTH_API_TOOLS_H

#include "answer/answer.h"
#include "api/fields.h"

/* A function as requests name it (name, description, parameters, strict), and a call that is told
 * again in a message: {"id", "type", "function": {"name", "arguments"}}. */
extern const api_field tool_function_fields[];
extern const api_field tool_called_fields[];
extern const api_field tool_call_fields[];

typedef struct tool_ask {
    json_t *tools;    /* what the model is told of; owned; NULL: none */
    json_t *callable; /* those of them that it may call; owned; NULL: all */
    answer_choice choice;
    const char *name; /* of the one that it must call; in the request's body */
    bool one_call;    /* no second call in one answer */
} tool_ask;
void tool_ask_deinit(tool_ask *t);

/* Adds one. parameters NULL: it takes none. where: "tools[2]", for errors: a name that was there
 * already. */
bool tool_add(tool_ask *t, const char *name, const char *description, json_t *parameters,
              bool strict, const char *where, api_error *e);
/* [{"type": "function", "function": {...}}]. */
bool tools_read(tool_ask *t, const json_t *tools, api_error *e);
/* "none", "auto", "required", an object that names one, or the allowed ones; in the shapes of chat
 * completions and of responses. After the tools. NULL is "auto". */
bool tool_choice_read(tool_ask *t, const json_t *choice, api_error *e);
/* One that must be called. */
bool tool_choice_name(tool_ask *t, const char *name, const char *param, api_error *e);
/* Ends reading: with the choice "none" there are no tools. A choice that needs some is refused. */
bool tool_choice_settle(tool_ask *t, api_error *e);

/* Messages in OpenAI's shape, in place: calls get ids and types, results the id and the name of
 * their calls, and stand in the order of the calls. The older function_call and role "function"
 * too. */
bool tool_turns_settle(json_t *messages, api_error *e);
/* Ids of nine letters and digits, as some templates want them: the same one for the same id. */
bool tool_ids_shorten(json_t *messages);
/* For templates without a place for tools: calls and results become text. Also says which tools
 * there are, in the first message of the system. */
bool tool_turns_as_text(json_t *messages, const answer_format *f, const json_t *tools,
                        api_error *e);

#endif
