/* The server: from HTTP requests in any dialect to requests of an engine, and back.
 *
 * An api owns the worker threads, the models that are loaded and the calls in flight. Its network
 * side is one function, api_handle, for http_options.handle. On the network thread only Host,
 * Origin and the route are looked at, and what answers from memory answers; everything else is a
 * *call* (call.h), which workers move on: keys, JSON, the model, the template, tokens out.
 *
 *     api *a = api_new(&o, &e);
 *     http_server *s = http_server_new(&(http_options){.handle = api_handle, .ud = a}, &e);
 *     http_server_listen(s, "127.0.0.1:11434", &e); http_server_start(s, &e);
 *     api_load(a, &e);                  // /health says 200 from here on
 *     ...
 *     api_drain(a, 10000);              // then http_server_stop, api_free, http_server_free
 */
#ifndef HEARTH_API_H
#define HEARTH_API_H

#include "api/residents.h"
#include "meter/energy.h"
#include "net/http.h"
#include "store/store.h"

typedef struct api api;

typedef struct api_options {
    residents_options models;
    store *store; /* borrowed; outlives the api */
    const char *const
        *allow_host;    /* names, or whole origins with "://"; NULL-terminated, or NULL */
    bool require_key;   /* also on this machine */
    bool context_shift; /* answers go on when the context is full, where a request does not say */
    meter *meter;       /* borrowed, not started, outlives the api; NULL: none */
    bool energy;        /* each answer says what it used, not only those asked to */
    const char *const *pin;   /* files of prefixes for all owners (pin.h), published in the first
                               model; NULL-terminated, or NULL; outlives the api */
    int64_t keep_responses_s; /* of /v1/responses, in the store; 0: in memory alone, and what is in
                                 the store goes; negative: for ever */
    int n_workers;            /* 0: by the machine */
    int max_calls;            /* in flight; more are refused with 503; 0: 1024 */
} api_options;

api *api_new(const api_options *o, err *e);
void api_handle(void *ud, http_exchange *x); /* ud: the api; network thread */
/* For http_options.streams: uploads of files. */
bool api_uploads(void *ud, const char *method, const char *path);
/* Loads the models that were given by name; blocks. Until then inference answers 503. */
bool api_load(api *a, err *e);
/* Takes no new calls, waits up to drain_ms for those in flight, then ends each with an error that
 * says so. Any thread but a worker's. */
void api_drain(api *a, int drain_ms);
int api_n_calls(const api *a);
void api_free(api *a); /* after the server has stopped */

/* "5m", "1h30m", "90s", "300": seconds; negative: -1, for ever. False: not such a thing. */
bool api_duration_read(const char *s, int64_t *out_s);

#endif
