/* The templates of old models without a Jinja one: the part of Go's text/template that Ollama's
 * `.template` layers use.
 *
 * Text with actions in {{ }}: if, else if, else, range (with break and continue), with, end, define
 * and template; variables, pipelines, fields (.Messages, $.Tools, .Function.Name), comparisons and
 * the functions and, or, not, eq, ne, lt, le, gt, ge, len, index, slice, json, print, printf,
 * println, currentDate, yesterdayDate. A field is looked up under its own name or in the
 * spelling of JSON (.ToolCalls is "tool_calls"). Bounds and origins are those of jinja.h.
 *
 * Immutable after gotmpl_parse; any thread.
 *
 *     gotmpl *t = gotmpl_parse(source, &e);
 *     gotmpl_render_chat(t, vars, NULL, &r, &e);   // vars: messages, tools, suffix ... as OpenAI's
 *     jinja_result_deinit(&r);
 *     gotmpl_free(t);
 */
#ifndef HEARTH_TEMPLATE_GOTMPL_H
#define HEARTH_TEMPLATE_GOTMPL_H

#include "template/jinja.h"

typedef struct gotmpl gotmpl;

/* ERR_DAMAGED with the line for what is no template. */
gotmpl *gotmpl_parse(str source, err *e);
void gotmpl_free(gotmpl *t);
bool gotmpl_mentions(const gotmpl *t, const char *field); /* ".Messages" is read: "Messages" */

/* With how->vars as the dot: System, Prompt, Response, Messages ... Errors as jinja_render. */
bool gotmpl_render(const gotmpl *t, const jinja_how *how, jinja_result *out, err *e);
/* A conversation in OpenAI's shape ("messages", "tools", "suffix", "think"). A template without
 * .Messages is run once for each question and its answer, the last time up to .Response. */
bool gotmpl_render_chat(const gotmpl *t, const jinja_how *how, jinja_result *out, err *e);

#endif
