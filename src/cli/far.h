/* A Hearth server in place of a model in this process: `hearth run` asks it when it runs and has
 * the model, so that a model is in memory once for all who use it. Prompts are rendered there, by
 * the same code, and the answer's tokens come back as they are made: the same text as here.
 *
 * Where: HEARTH_HOST, else OLLAMA_HOST, else 127.0.0.1:11434; "off" is nowhere. A key, where the
 * server wants one, is HEARTH_API_KEY. One thread.
 *
 *     far *f;
 *     if (!far_open(&f, "bard", &e)) ...      // f NULL: there is none, run it here
 *     far_answer(f, &ask, on_token, ud, &usage, &e);
 *     far_close(f);
 */
#ifndef HEARTH_CLI_FAR_H
#define HEARTH_CLI_FAR_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "hearth.h"

typedef struct far far;

/* *out NULL, and true: this process is to do it. That nothing answers is an error only where
 * HEARTH_HOST names a server. */
bool far_open(far **out, const char *model, err *e);
void far_close(far *f); /* NULL is fine */
const char *far_address(const far *f);
const char *far_name(const far *f); /* of the model, as its file says */
int32_t far_ctx(const far *f);
const char *far_family(const far *f); /* of its chat template; NULL: it only completes */
bool far_token_text(far *f, int32_t id, char *dst, size_t cap); /* made printable */

/* One question to the server, whatever it serves: a GET, or a POST where there is a body.
 * ERR_NO_SERVER where nothing answers; *out by json_decref. */
bool far_get(const char *path, const buf *body, json_t **out, err *e);

typedef struct far_ask {
    const hearth_message *messages; /* a conversation; or, with messages NULL, */
    size_t n_messages;
    str text; /* a text to go on from, as it stands */
    const hearth_params *params;
    bool (*stopped)(void); /* asked some ten times a second */
} far_ask;

/* each: false ends the answer. usage->finish is CANCELLED when it was ended so, or by stopped. */
bool far_answer(far *f, const far_ask *q, bool (*each)(void *ud, const hearth_token *t), void *ud,
                hearth_usage *usage, err *e);

#endif
