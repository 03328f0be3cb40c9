/* What the files of the OpenAI dialect share: the shape of errors, heads and usage.
 *
 *   openai.c     errors, /v1/models, shared pieces
 *   chat.c       /v1/chat/completions
 *   text.c       /v1/completions
 *   responses.c  /v1/responses
 *   embed.c      /v1/embeddings, /v1/rerank
 */
#ifndef HEARTH_API_OPENAI_OPENAI_H
#define HEARTH_API_OPENAI_OPENAI_H

#include "api/talk.h"

extern const api_dialect api_dialect_openai;
extern const api_route api_routes_openai[];
extern const api_route api_routes_openai_chat[];
extern const api_route api_routes_openai_text[];
extern const api_route api_routes_openai_responses[];
extern const api_route api_routes_openai_embed[];

extern const api_field openai_common_fields[]; /* the model, and what the ledger keeps */
extern const api_field openai_stream_fields[];
/* Sets c->stream. Whether there is to be a last event with the usage. */
bool openai_stream_read(api_call *c, bool *include_usage, api_error *e);

void openai_error(const api_error *e, buf *out); /* the body of an error */
/* "stop" or "length". */
const char *openai_finish(hearth_finish f);
int32_t openai_reasoning(const api_call *c);    /* tokens of thoughts, of all choices */
void openai_usage(const api_call *c, jsonw *w); /* the object, of all choices */
/* Opens {"object": "list", "data": [. */
void openai_list_open(api_call *c, jsonw *w);
/* Opens an answer, or an event of one, up to its choices: an open array. */
void openai_head(const api_call *c, jsonw *w, const char *object);
/* Ends an event whose choices are closed; with include_usage they say it, as null but in the
 * last. */
void openai_event_end(api_call *c, jsonw *w, bool include_usage, bool is_last);
/* Reads max_tokens and max_completion_tokens; the latter goes before. */
int32_t openai_max_tokens(const json_t *body);
/* response_format, and text.format of responses: the schema stands in `holder`. */
bool openai_format_read(api_talk *t, const json_t *format, const json_t *holder, const char *param,
                        api_error *e);

#endif
