/* The Ollama dialect, as its own programs and libraries speak it: NDJSON, durations in nanoseconds,
 * models by name and tag.
 *
 *   ollama.c    errors, dates, durations, options; version, status, what there is no store for
 *   text.c      /api/generate and /api/chat: the answer
 *   ask.c       the same: the request
 *   pull.c      /api/pull, /api/push
 *   template.c  a template that the request brings
 *   models.c    /api/tags, /api/ps, /api/show
 *   store.c     /api/create, copy, delete
 *   blobs.c     /api/blobs
 *   embed.c     /api/embed, /api/embeddings
 */
#ifndef HEARTH_API_OLLAMA_OLLAMA_H
#define HEARTH_API_OLLAMA_OLLAMA_H

#include "api/call.h"

extern const api_dialect api_dialect_ollama;
extern const api_route api_routes_ollama[];
extern const api_route api_routes_ollama_pull[];
extern const api_route api_routes_ollama_text[];
extern const api_route api_routes_ollama_models[];
extern const api_route api_routes_ollama_embed[];
extern const api_route api_routes_ollama_store[];
extern const api_route api_routes_ollama_blobs[];

/* What /api/version says: programs look whether Ollama is new enough for them, so this is the
 * version of Ollama whose API this is. */
#define OLLAMA_VERSION "0.32.0"

/* Of what models can do (api/facts.h), what this dialect serves. */
#define OLLAMA_SERVES                                                                              \
    (FACTS_COMPLETION | FACTS_EMBEDDING | FACTS_TOOLS | FACTS_THINKING | FACTS_INSERT)

extern const api_field ollama_model_fields[]; /* model, keep_alive */
extern const api_field ollama_options[];      /* of "options" */

/* The answer to one /api/generate or /api/chat; c->state. */
typedef struct ollama_state {
    bool chat, logprobs;
    bool gives_context; /* /api/generate ends with the tokens of the whole conversation */
    uint64_t load_ns;   /* waited for the model */
    buf context;        /* those tokens: the prompt's first, int32_t */
} ollama_state;

extern const api_writer ollama_writer;

bool ollama_is_chat(const api_call *c); /* of the two ways to ask for text */
/* {"model":..,"created_at":.. : an object is left open. */
void ollama_head(api_call *c, jsonw *w);
void ollama_time(jsonw *w, const char *key, int64_t unix_s, long ns);
/* A number of nanoseconds. */
void ollama_duration(jsonw *w, const char *key, double seconds);
uint64_t ollama_waited_ns(const api_call *c); /* since the request came */
/* Options into samplers with Ollama's defaults, and the longest answer. */
bool ollama_options_read(api_call *c, hearth_params *p, api_error *e);
/* Keeps the answer within "num_ctx", which also the prompt must fit. */
bool ollama_fit(api_call *c, size_t n_prompt, hearth_params *p, api_error *e);
/* Messages by the body's "template". */
bool ollama_template_prompt(api_call *c, json_t *messages, api_prompt *out, api_error *e);
/* Answers that a model was loaded or unloaded, as an answer without text. */
void ollama_reply_loaded(api_call *c, bool chat, const char *reason);

#endif
