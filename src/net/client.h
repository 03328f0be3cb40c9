/* An HTTP/1.1 client, over libcurl. It knows no models.
 *
 * A client keeps connections, and is used by one thread at a time; a program that wants several
 * answers at once has several clients, each in its thread. http_client_fetch sends one request and
 * returns when its answer is complete, whatever its status is: false means that there was no whole
 * answer, and a->fault says why. The body of a 2xx answer goes to on_body piece by piece as it
 * comes (on_body may take its time: that is how a stream is paused), or, without one, into a->body.
 * Bodies of other answers are short and always land in a->body, so that the reason can be told.
 *
 * What holds for every fetch:
 *   - Redirects are followed here, a few of them: never from https to plain http, never from a
 *     public address to one of this machine or network, never with another method.
 *   - `authorization` goes to the origin (scheme, host, port) of `url` and nowhere else. Fields
 *     that carry secrets (Authorization, Cookie, ...) are refused in `header`.
 *   - An encoded body (gzip, ...) is refused, never decoded. Fields, bodies and addresses are
 *     capped. A body shorter than announced is a fault, and so is a range that was not asked for.
 *   - The proxy is that of the environment (https_proxy, http_proxy, no_proxy), except for unix
 *     sockets and where the client is `direct`.
 *
 *     http_client *c = http_client_new(&(http_client_options){0}, &e);
 *     http_answer a;
 *     if (http_client_fetch(c, &(http_ask){.url = "http://127.0.0.1:11434/api/tags"}, &a, &e) &&
 *         a.status == 200) use(buf_str(&a.body));
 *     http_answer_deinit(&a);
 *     http_client_free(c);
 */
#ifndef HEARTH_NET_CLIENT_H
#define HEARTH_NET_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

typedef struct http_client http_client;
typedef struct http_rate http_rate;
typedef struct http_answer http_answer;

/* ---- how much a second, over all clients that share it ---- */

http_rate *http_rate_new(uint64_t bytes_per_s, err *e);
void http_rate_free(http_rate *r); /* NULL is fine */

/* ---- a client ---- */

typedef struct http_client_options {
    const char *user_agent; /* NULL: "hearth" */
    const char *unix_path;  /* every connection goes to this socket; NULL: none */
    const char *ca_file;    /* PEM; NULL: $SSL_CERT_FILE, else what the system trusts */
    int connect_timeout_ms; /* 0: 15,000 */
    int stall_timeout_ms;   /* longest time for stall_bytes more; 0: 30,000; -1: none */
    uint64_t stall_bytes;   /* 0: 1 */
    http_rate *rate;        /* borrowed; NULL: no limit */
    bool no_verify;         /* TLS certificates are not checked */
    bool direct;            /* no proxy, whatever the environment says */
} http_client_options;

/* The strings are copied. */
http_client *http_client_new(const http_client_options *o, err *e);
void http_client_free(http_client *c); /* NULL is fine */
/* Ends the fetch under way, and every later one, by HTTP_FAULT_STOPPED. Any thread. */
void http_client_stop(http_client *c);

/* ---- a request ---- */

typedef struct http_ask {
    const char *url;
    const char *method;        /* NULL: GET, or POST where there is a body */
    const char *const *header; /* "Name: value" each, NULL-terminated; NULL: none */
    const char *authorization; /* "Bearer ..."; NULL: none */
    const char *content_type;  /* of the body */
    str body;
    /* Instead of body: fills p with up to n bytes that begin at `at`; 0: cannot. send_bytes is the
     * whole. */
    size_t (*send)(void *ud, uint64_t at, char *p, size_t n);
    uint64_t send_bytes;
    bool sends; /* send is used, also when send_bytes is 0 */

    bool ranged;          /* bytes first to last of it, both included */
    uint64_t first, last; /* UINT64_MAX as last: to the end */
    int max_redirects;    /* 0: LIMIT_HTTP_REDIRECTS; -1: none, a 3xx is the answer */
    uint64_t max_bytes;   /* of the body; 0: LIMIT_JSON_BYTES in a->body, no limit for on_body */
    int timeout_ms;       /* for the whole; 0: none */

    /* All on the fetching thread; false ends the fetch by HTTP_FAULT_CALLER. on_head comes once,
     * with the last answer's status and fields, before its body. stopped is asked some ten times
     * a second. */
    bool (*on_head)(void *ud, const http_answer *a);
    bool (*on_body)(void *ud, const char *p, size_t n);
    bool (*stopped)(void *ud); /* true ends the fetch by HTTP_FAULT_STOPPED */
    void *ud;
} http_ask;

/* ---- its answer ---- */

typedef enum http_fault {
    HTTP_FAULT_NONE,
    HTTP_FAULT_CONNECT, /* no such host, nothing answers there: ERR_NO_SERVER */
    HTTP_FAULT_TLS,     /* the certificate, or TLS itself: ERR_DENIED */
    HTTP_FAULT_CUT,     /* the connection ended before the answer did */
    HTTP_FAULT_STALL,   /* nothing came for too long, or timeout_ms is over */
    HTTP_FAULT_BAD,     /* what came breaks HTTP, or what was asked for: ERR_DAMAGED */
    HTTP_FAULT_REFUSED, /* against the rules above: ERR_DENIED */
    HTTP_FAULT_TOO_BIG, /* over max_bytes: ERR_NO_FIT */
    HTTP_FAULT_STOPPED, /* ERR_INTERRUPTED */
    HTTP_FAULT_CALLER,  /* on_head or on_body said so; e is left alone */
    HTTP_FAULT_FAILED   /* memory, a bad request */
} http_fault;

typedef struct http_field {
    char *name, *value;
} http_field;

struct http_answer {
    int status; /* 0: none came */
    http_fault fault;
    http_field *field; /* of the last answer; owned */
    int n_fields;
    buf body;
    uint64_t body_bytes;     /* of a 2xx answer that have come */
    bool has_length;         /* Content-Length */
    uint64_t content_length; /* of the body */
    bool partial;            /* 206, and it is the range that was asked for */
    bool has_total;
    uint64_t range_first, range_last, range_total;
    char *url;     /* after redirects; owned */
    int redirects; /* that were followed */
};

/* a needs no set-up, and must be freed by http_answer_deinit also after a failure. */
bool http_client_fetch(http_client *c, const http_ask *q, http_answer *a, err *e);
void http_answer_deinit(http_answer *a);
const char *http_answer_header(const http_answer *a, const char *name); /* NULL: absent */

/* ---- streams of lines (NDJSON, server-sent events) ---- */

/* Cuts pieces into lines, which are given without their end (\n or \r\n). */
typedef struct http_lines {
    buf rest; /* the begun line; buf_init with the longest line allowed, buf_deinit at the end */
    bool (*line)(void *ud, str line); /* false: no more, http_lines_feed gives false */
    void *ud;
} http_lines;
bool http_lines_feed(http_lines *l, const char *p, size_t n);
bool http_lines_end(http_lines *l); /* the last line, if it had no end */

#endif
