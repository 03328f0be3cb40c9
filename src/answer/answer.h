/* What a model wrote, taken apart while it is written: text, reasoning and calls of tools.
 *
 * Every family of models has its own way to write a call and a thought. An *answer_format* is one
 * row of a table of them, found by the text of the model's template or by name. An *answer* reads
 * one answer: bytes go in, cut anywhere, events come out. The events of an answer, with neighbours
 * of a kind joined, do not depend on the cuts, and never hold half a marker. What cannot be read
 * as a call is text, with a warning: nothing is lost and nothing is an error.
 *
 * A call's arguments are one JSON object, in fragments, whatever the format writes: parameters in
 * XML and arguments in the manner of Python are converted by the tool's schema. White space next
 * to markers belongs to them and is dropped.
 *
 * A format is constant. An answer belongs to one thread and borrows format and tools (it holds a
 * reference to these).
 *
 *     const answer_format *f = answer_format_of(prompt_chat_source(chat), arch);
 *     answer *a = answer_new(&(answer_how){.format = f, .prompt_tail = tail, .tools = tools,
 *                                          .split_thought = true}, &e);
 *     while (...) answer_push(a, bytes, take_event, ud);
 *     answer_finish(a, take_event, ud);
 *     if (answer_warning(a)) ...
 *     answer_free(a);
 */
#ifndef HEARTH_ANSWER_ANSWER_H
#define HEARTH_ANSWER_ANSWER_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct answer_format answer_format;

/* By the template's text, else by the architecture ("gpt-oss", "gemma3", ...; may be empty). Never
 * NULL: what is not recognised has the generic JSON form. */
const answer_format *answer_format_of(str template_source, str arch);
const answer_format *answer_format_find(const char *name); /* NULL when unknown */
const char *answer_format_name(const answer_format *f);
const char *const *answer_format_names(void); /* NULL-terminated */

typedef enum answer_kind {
    ANSWER_TEXT,
    ANSWER_REASONING,
    ANSWER_CALL_BEGIN, /* name, and id when the format has written one */
    ANSWER_CALL_ARGS,  /* text: a fragment of the arguments' JSON */
    ANSWER_CALL_END    /* id, when it was written after the arguments */
} answer_kind;

typedef struct answer_event {
    answer_kind kind;
    str text;
    int call;    /* 0, 1, ... */
    str name;    /* of CALL_BEGIN */
    str id;      /* empty unless the format writes one */
    bool broken; /* of CALL_END: cut short or unreadable; the JSON was closed, do not run it */
} answer_event;

typedef void answer_take(void *ud, const answer_event *ev);

typedef struct answer_how {
    const answer_format *format;
    str prompt_tail;     /* end of the rendered prompt: shows whether a thought is open */
    const json_t *tools; /* OpenAI's shape; NULL: calls are not looked for */
    bool split_thought;  /* false: thoughts stay in the text as they are */
} answer_how;

typedef struct answer answer;

answer *answer_new(const answer_how *how, err *e);
/* False: memory ran out, and later calls do nothing. */
bool answer_push(answer *a, str bytes, answer_take *each, void *ud);
/* What is held back comes out. A call that is cut short before its arguments is text; later it is
 * closed and marked broken. */
bool answer_finish(answer *a, answer_take *each, void *ud);
/* NULL, or one line: what could not be read as a call. Lives as long as the answer. */
const char *answer_warning(const answer *a);
void answer_free(answer *a); /* NULL is fine */

/* For a budget on thinking: what opens and closes a thought. */
typedef struct answer_thought_info {
    const char *begin; /* "<think>" */
    const char *end;   /* "</think>" */
    const char *close; /* what to write where the budget is spent: "\n</think>\n\n" */
    bool open;         /* the prompt ends inside a thought */
} answer_thought_info;
/* False: the format has no thoughts. */
bool answer_thought(const answer_format *f, str prompt_tail, answer_thought_info *out);

typedef enum answer_choice {
    ANSWER_CHOICE_AUTO,
    ANSWER_CHOICE_NONE,
    ANSWER_CHOICE_REQUIRED,
    ANSWER_CHOICE_NAMED
} answer_choice;

typedef struct answer_demand {
    answer_choice choice;
    const char *name;     /* of ANSWER_CHOICE_NAMED */
    bool parallel;        /* more than one call in an answer */
    bool strict;          /* what cannot be enforced in a tool's schema is an error */
    const json_t *schema; /* of the answer's text; NULL */
    bool any_json;        /* the text is any JSON object */
    bool no_thought;      /* it has none, but one that is open */
    bool loose;           /* arguments are any object, where a schema turned out too hard */
} answer_demand;

/* The rules that the answer must obey (hearth.h: HEARTH_GRAMMAR_RULES); nothing is appended when
 * none are needed. ERR_USAGE names the tool and the keyword that cannot be enforced. */
bool answer_rules(const answer_how *how, const answer_demand *d, buf *out, err *e);

#endif
