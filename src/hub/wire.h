/* How the hub talks to servers: the options that every transfer has, what it tells while it goes
 * on, short questions with their retries. One thread for a hub_wire; big blobs are fetched by
 * several, each with its own client (fetch.h).
 *
 *     hub_wire w;
 *     if (!hub_wire_open(&w, &options, &e)) ...
 *     hub_reply r;
 *     if (!hub_wire_ask(&w, &(http_ask){.url = url}, &r, &e)) ...
 *     hub_wire_close(&w);
 */
#ifndef HEARTH_HUB_WIRE_H
#define HEARTH_HUB_WIRE_H

#include "hub/digest.h"
#include "net/client.h"

typedef enum hub_event_kind {
    HUB_EVENT_STATUS, /* text: a step begins */
    HUB_EVENT_NOTE,   /* text: something that a person should know */
    HUB_EVENT_RETRY,  /* text: why, and which try begins; try, tries and wait_s too */
    HUB_EVENT_BLOB    /* how far a blob is */
} hub_event_kind;

typedef struct hub_event {
    hub_event_kind kind;
    const char *text;   /* of BLOB: what it is, "model", or a file's name */
    hub_digest digest;  /* of BLOB; empty: not known yet */
    uint64_t completed; /* bytes; never less than before for the same blob */
    uint64_t total;
    uint64_t resumed; /* bytes that an earlier call had fetched */
    bool verified;    /* complete, and its digest is right */
    int attempt;      /* of RETRY: 1 for the first after a failure */
    int attempts;     /* more there are not, unless something comes in between */
    double wait_s;    /* before it */
} hub_event;

typedef struct hub_wire_options {
    int max_parallel;     /* connections for one blob; 0: 4 */
    uint64_t limit_rate;  /* bytes a second over all of them; 0: none */
    uint64_t chunk_bytes; /* at most so much is fetched again after a kill; 0: HUB_CHUNK */
    int retries;          /* in a row without progress, before it gives up; 0: 6; -1: none */
    double retry_wait_s;  /* before the first, doubled for each that follows; 0: 1 */
    int stall_s;          /* without 1 KB more; 0: 30 */
    bool insecure;        /* plain http, and certificates that nobody vouches for */
    const char *agent;    /* User-Agent; NULL: "hearth" */
    void (*event)(void *ud, const hub_event *x); /* on the calling thread; may be NULL */
    bool (*stopped)(void *ud);                   /* true ends it; any thread; may be NULL */
    void *ud;
} hub_wire_options;

#define HUB_CHUNK ((uint64_t)16 << 20)

typedef struct hub_wire {
    hub_wire_options o;
    http_client *client;
    http_rate *rate; /* NULL: no limit */
} hub_wire;

bool hub_wire_open(hub_wire *w, const hub_wire_options *o, err *e);
void hub_wire_close(hub_wire *w);
/* Another client with the same rules, for another thread. */
http_client *hub_wire_client(const hub_wire *w, err *e);

/* One question, asked again where that may help (cut, stalled, 5xx, 429). True: an answer of any
 * other status. a by http_answer_deinit, whatever the result. */
bool hub_wire_ask(hub_wire *w, const http_ask *q, http_answer *a, err *e);
/* Says what a status that is no success means: code and message from it and what the body says.
 * Always false. what: "hf.co/user/repo". */
bool hub_wire_refused(const http_answer *a, const char *what, err *e);
/* The same; advice: what a person can do about a 401 or 403, NULL or "": nothing is known. */
bool hub_wire_denied(const http_answer *a, const char *what, const char *advice, err *e);

void hub_wire_status(const hub_wire *w, const char *text);
void hub_wire_note(const hub_wire *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool hub_wire_stopped(const hub_wire *w);
/* Seconds to wait before a try that follows n failed ones (from 0); a: the last answer, for its
 * Retry-After; NULL: none. */
double hub_wire_pause_s(const hub_wire *w, int n, const http_answer *a);
/* Tells of a try that follows n + 1 failed ones in wait_s. On the thread that uses the wire. */
void hub_wire_tell_retry(const hub_wire *w, const char *why, int n, double wait_s);
/* "connection lost": why a, which may help if it is tried again, is no answer. */
char *hub_wire_why(const http_answer *a, int stall_s, char dst[64]);
/* Whether asking again may help. */
bool hub_wire_passing(const http_answer *a);

#endif
