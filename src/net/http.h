/* An HTTP/1.1 server with one network thread that never computes.
 *
 * The thread runs an event loop over every listener and connection. A request that is complete
 * (headers and body read, framing checked) is given to the handler on that thread; the handler
 * must return at once: it answers there and then (health, metrics, a static file) or keeps the
 * exchange and lets other threads answer. An exchange is one request and its answer; it is
 * reference counted, and everything below that takes one may be called from any thread. Answers
 * and stream bytes are copied and queued; the network thread writes them.
 *
 * A client that leaves (FIN, RST, half-close) while its request waits or streams is noticed at
 * once: on_gone is called on the network thread, exactly once, and later writes are dropped.
 *
 * A body too large to be held streams where the options say so: the handler is called once the head
 * is known, and a thread that may wait takes the body piece by piece (http_body_next). Nothing is
 * read before it asks, and at most HTTP_BODY_WINDOW bytes ahead of it.
 *
 *     static void hello(void *ud, http_exchange *x) {
 *         http_reply(x, 200, "text/plain", "hi\n", 3);
 *     }
 *     http_server *s = http_server_new(&(http_options){.handle = hello}, &e);
 *     http_server_listen(s, "127.0.0.1:8080", &e);
 *     http_server_start(s, &e);  ...  http_server_stop(s, 5000);  http_server_free(s);
 */
#ifndef HEARTH_NET_HTTP_H
#define HEARTH_NET_HTTP_H

#include "base/buf.h"
#include "base/err.h"

typedef struct http_server http_server;
typedef struct http_exchange http_exchange;

typedef struct http_options {
    void (*handle)(void *ud, http_exchange *x); /* network thread; must return at once */
    void *ud;
    /* Whether the body of such a request streams; NULL: none does. Network thread. */
    bool (*streams)(void *ud, const char *method, const char *path);
    size_t max_body_bytes;          /* 413 beyond; 0: LIMIT_HTTP_BODY. Not of what streams */
    uint64_t max_bodies_bytes;      /* of all at a time; 503 beyond; 0: LIMIT_HTTP_BODIES */
    int header_timeout_ms;          /* absolute, from the first byte (or accept); 0: 10,000 */
    int body_timeout_ms;            /* longest pause between two reads of a body; 0: 30,000 */
    int idle_timeout_ms;            /* keep-alive without a request; 0: 75,000 */
    int stall_timeout_ms;           /* a client that takes nothing of its answer; 0: 60,000 */
    int max_connections;            /* 0: what RLIMIT_NOFILE allows less a reserve; 503 beyond */
    const char *tls_cert, *tls_key; /* PEM files; NULL: no TLS. Applies to every TCP listener */
} http_options;

http_server *http_server_new(const http_options *o, err *e);
/* "127.0.0.1:11434", "[::1]:80", "localhost:0" (0: any free port), "unix:/path". Before start. The
 * message says by what process an address is taken, where that can be known. */
bool http_server_listen(http_server *s, const char *address, err *e);
/* The n-th listener's address as bound, NULL past the last; lives as long as the server. */
const char *http_server_address(const http_server *s, int n);
bool http_server_start(http_server *s, err *e);
/* The first half of stop: no new connections, idle ones closed, the last answers say so. Returns at
 * once. What is under way goes on; its owner may now end it in its own time. Any thread. */
void http_server_drain(http_server *s);
/* Drains, waits up to drain_ms for connections to end, then closes those that are left. Any thread
 * but the network's. */
void http_server_stop(http_server *s, int drain_ms);
void http_server_free(http_server *s); /* stopped first if need be */

typedef struct http_counts {
    uint64_t accepted, refused, requests; /* since start; refused: over max_connections */
    int connections, exchanges;           /* now */
} http_counts;
void http_server_counts(const http_server *s, http_counts *out);

/* ---- the request: constant after the handler was called ---- */
const char *http_method(const http_exchange *x); /* "GET", ... */
const char *http_path(const http_exchange *x);   /* percent-decoded, without the query */
const char *http_query(const http_exchange *x, const char *name);  /* decoded; NULL: absent */
const char *http_header(const http_exchange *x, const char *name); /* NULL: absent */
str http_body(const http_exchange *x);                /* lives as long as the exchange */
uint64_t http_body_announced(const http_exchange *x); /* Content-Length; 0: not said */
const char *http_peer(const http_exchange *x);        /* "127.0.0.1", "::1", "unix" */
bool http_peer_is_local(const http_exchange *x);      /* loopback or unix socket */
bool http_is_tls(const http_exchange *x);

/* ---- a body that streams ---- */
#define HTTP_BODY_WINDOW (256u << 10) /* bytes of it that are held */

typedef enum http_piece {
    HTTP_PIECE,        /* there are bytes */
    HTTP_PIECE_LATER,  /* none came within the time */
    HTTP_PIECE_END,    /* that was all of it */
    HTTP_PIECE_BROKEN, /* it cannot be understood, or came too slowly: see http_body_fault */
    HTTP_PIECE_CUT     /* the client is gone */
} http_piece;

/* Waits for what follows and moves it into b, whose own bytes are dropped. One thread, and not the
 * network's. An answer before the end of the body is the connection's last. */
http_piece http_body_next(http_exchange *x, buf *b, int wait_ms);
const char *http_body_fault(const http_exchange *x); /* after HTTP_PIECE_BROKEN */

/* ---- the answer ---- */
/* Further headers, before http_reply or http_stream_begin. A name or value with a control
 * character is refused (false). */
bool http_set_header(http_exchange *x, const char *name, const char *value);
/* The whole answer. Once per exchange, and not after http_stream_begin. */
void http_reply(http_exchange *x, int status, const char *content_type, const void *body, size_t n);
/* An answer in pieces (chunked). The status line leaves with the first byte written or at once
 * when n is 0 in the first write. */
void http_stream_begin(http_exchange *x, int status, const char *content_type);
bool http_stream_write(http_exchange *x, const void *data,
                       size_t n); /* false: the client is gone */
void http_stream_end(http_exchange *x);
/* Bytes written that the socket has not taken yet: a producer that can wait stops above 64 KB. */
size_t http_backlog(const http_exchange *x);

/* ---- events, all on the network thread; set inside the handler ----
 *
 * An event may be on its way while another thread ends the answer; what `ud` points to must live
 * until on_end. */
typedef void (*http_event)(void *ud, http_exchange *x);
/* The client left before http_reply or http_stream_end was called, or was dropped because it took
 * nothing (a backlog over LIMIT_HTTP_BACKLOG, or stall_timeout_ms). At most once. */
void http_on_gone(http_exchange *x, http_event fn, void *ud);
void http_on_drained(http_exchange *x, http_event fn, void *ud); /* backlog fell below 16 KB */
void http_on_tick(http_exchange *x, int period_ms, http_event fn, void *ud); /* until it ends */
/* The last event, exactly once: the answer is with the kernel, or the client is gone. */
void http_on_end(http_exchange *x, http_event fn, void *ud);
bool http_gone(const http_exchange *x);

void http_retain(http_exchange *x);
/* The handler's own reference is the server's: retain before the handler returns to keep x. When
 * the last one goes without an answer, the client gets a 500, or the end of the connection inside a
 * stream: it is never left waiting. */
void http_release(http_exchange *x);

#endif
