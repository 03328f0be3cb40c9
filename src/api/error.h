/* What a client is told when its request cannot be done: an HTTP status, a word for programs, a
 * line for people. Each dialect writes it in its own shape. One thread at a time.
 *
 *     return api_fail(e, 400, "invalid_value", "temperature", "temperature must be at most %d", 2);
 */
#ifndef HEARTH_API_ERROR_H
#define HEARTH_API_ERROR_H

#include "base/err.h"
#include "hearth.h"

typedef struct api_error {
    int status;          /* HTTP */
    const char *code;    /* static: "context_length_exceeded"; NULL: none */
    char param[128];     /* the field it is about; "" : none */
    char msg[512];       /* one line */
    int retry_after_s;   /* for 429 and 503; 0: not said */
    char request_id[40]; /* of the call that is answered so; "": none, or not known yet */
} api_error;

/* Always false. param may be NULL. */
bool api_fail(api_error *e, int status, const char *code, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool api_no_memory(api_error *e); /* 503. Always false */
/* From an error of the rooms below: its code gives the status. Always false. */
bool api_fail_err(api_error *e, const err *from);
bool api_fail_hearth(api_error *e, const hearth_err *from);
/* OpenAI's word for a status: "invalid_request_error", ... Static. */
const char *api_error_type(int status);

#endif
