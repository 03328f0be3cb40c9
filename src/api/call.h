/* A call is one HTTP request on its way through the server. This is what a dialect builds on.
 *
 * A dialect is an api_dialect (how errors look), a table of routes, a table of fields per route,
 * and functions that workers run. When a route's `run` begins, the key is checked, the body is
 * parsed and agrees with the table of fields, and the model is in memory (c->model), if the route
 * says that it needs one. `run` answers at once by api_reply, or it renders and tokenises and
 * calls api_generate with a *writer*; then tokens come to the writer as they are made.
 *
 * One worker at a time works on a call, so `run` and the writer's functions need no locks and may
 * keep what they like in c->arena and c->state; they must not wait. What they append to c->out is
 * sent when they return: as a piece of the stream when c->stream is set, else as the answer's body
 * after `finish`. The core holds the status line back until the first token or API_QUIET_MS, sends
 * keep-alives (also while the model is loaded, before `run`), stops reading tokens while a client
 * is slow, cancels when it leaves, ends it when its key is revoked, counts, and frees.
 *
 *     static void chat(api_call *c) {
 *         api_error e = {0};
 *         hearth_params p;
 *         api_prompt prompt;
 *         if (!api_sampler_read(c, c->body, &p, &e) || !prompt_of(c, &prompt, &e) ||
 *             !api_generate(c, &writer, &p, &prompt, 1, 1, &e))
 *             api_reply_error(c, &e);
 *     }
 *     const api_route api_routes_mine[] = {
 *         {"POST", "/my/chat", &api_dialect_mine, API_INFERENCE, .run = chat, .fields = fields,
 *          .model = true, .summary = "an answer to a conversation"}, {0}};
 *     // and one line in the list of tables in route.c
 */
#ifndef HEARTH_API_CALL_H
#define HEARTH_API_CALL_H

#include <stdatomic.h>

#include "answer/answer.h"
#include "api/api.h"
#include "api/error.h"
#include "api/fields.h"
#include "api/shelf.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/pool.h"
#include "meter/attribute.h"

typedef struct api_call api_call;

/* ---- dialects and routes ---- */

typedef struct api_dialect {
    const char *name;        /* for the ledger: "openai", ... */
    const char *stream_type; /* content type of streams: "text/event-stream" */
    const char *id_header;   /* carries c->id beside x-request-id; NULL: nothing does */
    const char *call_prefix; /* of the ids of tool calls; NULL: "call_" */
    const char *challenge;   /* of a 401: how to bring a key; NULL: "Bearer" */
    void (*error)(const api_error *e, buf *out);           /* body of an answer */
    void (*stream_error)(api_call *c, const api_error *e); /* to c->out: a stream's last event */
    /* To c->out, while no token comes, also before `run` (c->state is NULL); NULL: an SSE
     * comment. */
    void (*keep_alive)(api_call *c);
} api_dialect;

typedef enum api_needs {
    API_OPEN,      /* nothing but a good Host and Origin */
    API_INFERENCE, /* a key, or this machine */
    API_ADMIN      /* a key for administration, once there are keys; else this machine */
} api_needs;

typedef enum api_streams { /* whether an answer is a stream: the member "stream" of the body */
                           API_WHOLE,        /* never */
                           API_STREAM_ASKED, /* when it is true */
                           API_STREAM_USUAL  /* unless it is false */
} api_streams;

typedef struct api_route {
    const char *method; /* "GET" also answers HEAD */
    const char *path;   /* "/v1/models/{id}": {..} is one segment, at the end all that is left */
    const api_dialect *dialect;
    api_needs needs;
    void (*now)(api *a, http_exchange *x); /* on the network thread: must not wait. Or: */
    /* On a worker, before the model is waited for. True: answered, `run` is not called. May be
     * NULL. */
    bool (*early)(api_call *c);
    void (*run)(api_call *c); /* on a worker */
    const api_field *fields;  /* of the JSON body; NULL: the body is not read */
    const char *list;         /* the field that a body which is an array stands for; NULL: none */
    bool model; /* wait for the model that "model" names, in the body or the query; see c->model */
    api_streams streams;   /* what clients hear while they wait for the model */
    const char *if_header; /* only requests that have this header; such rows go first */
    bool upload;           /* the body is taken by http_body_next, where waiting is allowed */
    const char *summary;   /* one line, for the OpenAPI document; NULL: not in it */
} api_route;

/* ---- the call ---- */

typedef enum api_piece_kind {
    API_PIECE_TEXT,
    API_PIECE_REASONING,
    API_PIECE_TOOL_BEGIN, /* name, call_id */
    API_PIECE_TOOL_ARGS,  /* text: a fragment of the arguments' JSON */
    API_PIECE_TOOL_END
} api_piece_kind;

/* What an answer is made of. A token may give several pieces, or one whose text is empty. */
typedef struct api_piece {
    api_piece_kind kind;
    str text;
    int tool;                  /* index of the tool call, from 0: choice->tool */
    const hearth_token *token; /* with the first piece that it gave; else NULL */
} api_piece;

typedef struct api_tool_call {
    char *name, *id; /* in the arena */
    buf args;        /* JSON of an object, once the call has ended */
    bool broken;     /* cut short, and closed so that it is JSON: not to be run */
} api_tool_call;

/* A stretch of an answer: text, a thought, or a call; in the order in which they came. */
typedef struct api_part {
    api_piece_kind kind; /* API_PIECE_TEXT, _REASONING or _TOOL_BEGIN */
    size_t from, n;      /* bytes of the choice's text or reasoning */
    int tool;            /* of a call */
} api_part;

typedef struct api_choice { /* one answer; the tag of its request */
    api_call *call;
    int index, prompt;   /* index over all answers of the call; which prompt it is for */
    hearth_request *req; /* NULL: read to its end */
    store_entry *entry;  /* its row in the ledger; the store's after it was settled */
    hearth_usage usage;  /* complete once `ended` */
    bool opened, ended;
    bool cut;             /* the writer wants no more: api_choice_cut */
    bool read;            /* to its end, which may wait for its energy */
    uint64_t read_ns;     /* since when */
    _Atomic bool metered; /* energy is known */
    attribute_result energy;
    int32_t n_tokens;    /* read so far */
    int32_t n_reasoning; /* of these, in thoughts */
    buf text, reasoning; /* all of it so far */
    api_part *part;      /* [n_parts] all of it so far; owned */
    int n_parts, cap_parts;
    api_tool_call *tool; /* [n_tools] owned */
    int n_tools, cap_tools;
    answer *parser; /* NULL: everything is text */
    buf extra;      /* the writer's; freed with the call */
    void *state;    /* the writer's */
} api_choice;

typedef struct api_writer {
    /* The answer begins: with c->stream its first event. Optional. */
    void (*begin)(api_call *c);
    void (*piece)(api_call *c, api_choice *ch, const api_piece *p);
    void (*end)(api_call *c, api_choice *ch); /* one choice is complete; ch->usage. Optional */
    void (*finish)(api_call *c);              /* all are: the last events, or the whole body */
} api_writer;

typedef struct api_prompt {
    int32_t *ids; /* by hearth_tokenize and its kin: the core's to free once generate was called */
    size_t n;
} api_prompt;

struct api_call {
    api *api;
    http_exchange *x;
    const api_route *route;
    const char *arg[2]; /* what the {..} of the path stand for, in order; NULL past the last */
    arena *arena;       /* freed with the call */
    store_key key;      /* who asks; key.owner for hearth_params.owner */
    json_t *body;       /* checked; NULL: the route has no fields */
    resident *model;    /* when the route asks for one */
    const char *model_name;
    char id[40];       /* "<prefix><random>", see api_call_name; also sent as x-request-id */
    int64_t created_s; /* unix */
    uint64_t began_ns; /* when the request was read, by clock_now_ns */

    bool stream;       /* set by run: events as they come, else one body */
    bool gives_energy; /* the answer says what it used */
    buf out;           /* what is to be sent next */
    const api_writer *writer;
    void *state;                  /* the dialect's, in the arena */
    void (*cleanup)(api_call *c); /* once, when the call ends, however it does; optional */
    int n_choices, n_ended;
    api_choice *choice;   /* [n_choices], in the arena */
    int64_t keep_alive_s; /* for the model; RESIDENT_KEEP unless the body says */
    json_t *settings;     /* the model's own parameters under the request's; NULL: none */

    shelf_item *grammar;     /* what the answers obey, a hearth_grammar; put back with the call */
    const answer_how *apart; /* how the answers are taken apart; NULL: everything is text */
    json_t *tools;           /* that the answers may call; freed with the call */
    bool must_call;          /* each answer is to hold a call */
    int n_dropped;           /* old turns that were left out: see api_talk.truncate */
    buf warnings;            /* items of a JSON array of texts */

    struct api_call_core *core; /* the core's own */
};

/* ---- what there is to say beside the answer: pieces.c ---- */

/* Something was not as asked, and the answer comes all the same. */
void api_warn(api_call *c, const char *text);
/* Into an open object: "warnings" and "dropped_turns", when there are any. */
void api_notes_write(const api_call *c, jsonw *w);
/* A call's arguments as an object, without white space: a line of NDJSON must have no breaks. */
void api_arguments_write(const api_tool_call *t, jsonw *w);
/* Whether calls of tools ended the answer: then the client has the word. */
bool api_calls_tools(const api_choice *ch);

/* ---- log-probabilities: logprob.c ---- */

extern const api_field api_logprob_fields[]; /* logprobs, top_logprobs */
/* Reads these into p->n_logprobs. */
bool api_logprob_read(const json_t *body, hearth_params *p, api_error *e);
double api_logprob_finite(float logprob); /* JSON has no infinity: -9999 */
/* A token's, with the likeliest: "token", "logprob", "bytes", and with_id its number as "id". */
void api_logprob_write(api_call *c, jsonw *w, const hearth_token *t, bool with_id);
/* The same, gathered in ch->extra as items of an array, */
void api_logprob_keep(api_call *c, api_choice *ch, const hearth_token *t, bool with_id);
void api_logprobs_write(jsonw *w, str kept); /* which this writes. */

/* ---- answers that obey a grammar: format.c ---- */

/* Sets p->grammar, kept in the call and for later requests of the same owner. What cannot be
 * enforced is a 400 that names `param`, the keyword and its path. */
bool api_obey_text(api_call *c, hearth_grammar_kind kind, const char *text, size_t len,
                   const char *param, hearth_params *p, api_error *e);
bool api_obey_schema(api_call *c, const json_t *schema, const char *param, hearth_params *p,
                     api_error *e); /* NULL: any JSON object */

/* Answers with the whole body: JSON from w (or c->out when body is NULL). */
void api_reply(api_call *c, int status, const char *content_type, const buf *body);
void api_reply_json(api_call *c, int status, const buf *body);
void api_reply_error(api_call *c, const api_error *e);
/* Gives c->id: prefix ("chatcmpl-"), and 24 random letters and digits. */
void api_call_name(api_call *c, const char *prefix);
void api_random_name(char *dst, size_t cap, const char *prefix);

/* Submits n_each requests for each prompt and lets the writer answer. p: everything but prompt,
 * owner, tag and choice. The ids of the prompts are taken over, also on failure. False, with *e:
 * nothing runs; answer with the error. */
bool api_generate(api_call *c, const api_writer *w, const hearth_params *p, api_prompt *prompts,
                  int n_prompts, int n_each, api_error *e);
/* From a writer's `piece`: the answer ends with this token, as by its length. What the engine has
 * made beyond it meanwhile is dropped; the ledger counts it, as of a request that was cancelled. */
void api_choice_cut(api_choice *ch);
/* For what waits without giving tokens (embeddings): `work` runs on a thread where it may wait, and
 * asks api_call_unwanted now and then; then `done`, as `run` does, answers. */
void api_wait(api_call *c, void (*work)(api_call *c), void (*done)(api_call *c));
bool api_call_unwanted(void *call); /* the client left, the key was revoked, the server stops */
/* A choice that stands for the whole of such work: the tag for the engine's hooks. Its budget is
 * checked for n_tokens. NULL, with *e: refused. The engine must open and settle it. */
api_choice *api_work_tag(api_call *c, int64_t n_tokens, api_error *e);
void api_work_untag(api_choice *ch); /* it was not opened after all */
/* The member "energy", in an answer that is to have it, once it is known; else nothing. For the
 * object in which the dialect tells its usage. ch NULL: of all choices. */
void api_energy_write(const api_call *c, const api_choice *ch, jsonw *w);
/* Wakes the call: a worker will look at it soon. Any thread. */
void api_call_poke(api_call *c);

/* Events. "data: " + JSON + blank line; name NULL: without an "event:" line. */
void api_sse(buf *out, const char *name, const buf *json);

/* The names that this key may use; *rows by free. */
bool api_models_list(api_call *c, resident_row **rows, size_t *n, err *e);
/* The same; false: answered. */
bool api_models_get(api_call *c, resident_row **rows, size_t *n);
/* As residents_find, among those. */
const char *api_model_find(api_call *c, const char *name);

/* ---- what requests have in common (sampling.c) ---- */

extern const api_field api_model_fields[]; /* model, keep_alive */
extern const api_field api_sampler_fields[];
/* Reads temperature, top_k, top_p, min_p, typical_p, penalties, seed, stop, logit_bias, dry_*,
 * xtc_*, mirostat*, ignore_eos of object `o` into *p, which begins as hearth_params_default();
 * a seed that is not given is drawn. Lists are in c->arena. */
bool api_sampler_read(api_call *c, const json_t *o, hearth_params *p, api_error *e);
/* Whether the request, or whoever made the model, says this setting. */
bool api_setting_given(const api_call *c, const json_t *o, const char *name);
/* The longest answer where the request says nothing: as the model was made; -1: none. */
int32_t api_usual_length(const api_call *c);
/* "samplers", as llama-server has it: those that the list does not name are off. What they are
 * called is known; their order is Hearth's own. */
extern const api_field api_samplers_fields[];
void api_samplers_keep(const json_t *body, hearth_params *p);
/* A text to the model's prompt, with begin-of-text by the model's rule. */
bool api_text_prompt(api_call *c, str text, api_prompt *out, api_error *e);
/* "5m", "300", 300, -1, 0 to seconds; -1: for ever. False: not such a thing. */
bool api_keep_alive_read(const json_t *v, int64_t *out_s);
/* Content that is a string or a list of parts of type "text" (or input_text, output_text), joined;
 * NUL-terminated in the arena. Parts of other kinds are an error that names them. */
bool api_content_text(api_call *c, const json_t *content, const char *where, const char **out,
                      api_error *e);
/* The same without joining: whether the content is a text, or parts that are texts. */
bool api_content_check(const json_t *content, const char *where, api_error *e);
/* An array of token numbers into ids [its size]; each must be of the vocabulary. */
bool api_ids_read(api_call *c, const json_t *v, const char *name, int32_t *ids, api_error *e);
/* The share of the engine that the key has. */
int32_t api_weight(const api_call *c);
/* A token's own bytes and text, for lists of log-probabilities. In the arena. */
str api_token_text(api_call *c, int32_t id);

#endif
