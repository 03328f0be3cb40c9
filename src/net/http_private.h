/* Inside the HTTP server. Three things and who may touch them:
 *
 *   server      made and freed by its owner; `lock` guards what its comment says, the rest belongs
 *               to the network thread once that runs. Counted: exchanges hold it too, so that a
 *               worker may still release one after http_server_free.
 *   connection  one socket; network thread only. Reads, lets http1.h find requests, runs one
 *               exchange at a time, writes.
 *   exchange    one request and its answer. Any thread adds to the answer under the server's lock;
 *               the network thread moves it to the socket.
 *
 * A write from another thread goes: lock, append to the exchange's `pending`, put the exchange on
 * the server's ready list, unlock, and wake the network thread when the list was empty.
 */
#ifndef HEARTH_NET_HTTP_PRIVATE_H
#define HEARTH_NET_HTTP_PRIVATE_H

#include "net/http.h"
#include "net/http1.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define HTTP_READ_HIGH (64u << 10)    /* unread bytes a connection holds; then the client waits */
#define HTTP_BACKLOG_HIGH (16u << 10) /* on_drained is called when the backlog falls below */
#define HTTP_LINGER_MS 2000           /* after an error: time for the client to read it */
#define HTTP_LINGER_BYTES (16u << 20) /* and what it may send meanwhile */
#define HTTP_GLANCE_MS 100            /* how often a client that we do not read from is looked at */
#define HTTP_REFUSALS 16              /* connections over the limit that are told so at once */
#define HTTP_FDS_RESERVED 48          /* descriptors left to the rest of the process */

typedef struct http_conn http_conn;

/* ---- listeners (listen.c) ---- */

typedef struct http_listener {
    struct http_listener *next;
    http_server *server;
    int fd;
    bool is_unix;
    char *address;   /* as bound */
    char *unix_path; /* removed at the end if it is still this file */
    uint64_t unix_dev, unix_ino;
    struct event *ev;
} http_listener;

/* Binds every address that the text stands for, appending listeners to *list. */
bool http_listen_open(http_listener **list, const char *address, err *e);
void http_listen_close(http_listener *l); /* socket and event; the address stays */
void http_listen_free(http_listener *list);
/* "ollama (process 712)", or "" where /proc does not tell. */
void http_listen_owner(const struct sockaddr *sa, char *dst, size_t cap);

/* ---- the server (server.c) ---- */

struct http_server {
    http_options o;
    char *tls_cert, *tls_key;
    SSL_CTX *tls;
    atomic_int refs;
    http_listener *listeners;

    pthread_mutex_t lock;               /* what follows, and the exchanges' answers */
    http_exchange *ready, **ready_last; /* exchanges with something new for the network thread */
    bool is_waking;                     /* a wake is under way */
    bool wants_drain, wants_end;        /* stop, its two steps */
    bool has_drained, has_ended;        /* and how far it is; `moved` tells of both */
    pthread_cond_t moved;

    bool is_started; /* the owner's */
    pthread_t thread;
    int wake_fd;

    /* network thread */
    struct event_base *base;
    struct event *wake_ev, *accept_retry;
    http_conn *conns;
    int n_conns, n_refusals;
    int spare_fd; /* given up for a moment to accept and refuse when descriptors run out */
    bool is_draining;

    atomic_ullong accepted, refused, requests, body_bytes;
    atomic_int connections, exchanges;
};

void http_server_unref(http_server *s);
/* With the lock held: the network thread will look at this exchange. */
void http_server_make_ready(http_server *s, http_exchange *x);
void http_server_run_ready(http_server *s); /* network thread: moves what is ready to the sockets */
void http_server_check_drained(http_server *s); /* network thread: tells http_server_stop */

/* ---- accepting (accept.c), network thread ---- */

bool http_accept_begin(http_server *s, err *e); /* owner, before the thread runs */
void http_accept_end(http_server *s);           /* closes the listening sockets */
/* How many connections fit in the descriptors this process may have; raises the soft limit. */
int http_accept_room(void);

/* ---- connections (conn.c) ---- */

typedef enum {
    CONN_READ,   /* no exchange: waiting for a request, or inside one */
    CONN_BODY,   /* an exchange whose body still comes */
    CONN_BUSY,   /* an exchange waits or streams */
    CONN_FLUSH,  /* its answer is complete, but the socket has not taken all of it */
    CONN_LINGER, /* an error was sent; what still comes is thrown away */
} conn_state;

struct http_conn {
    http_server *s;
    http_conn *next, **link; /* in the server's list */
    struct bufferevent *bev;
    struct event timer;
    conn_state state;
    bool is_refusal, is_local, has_had_request, has_eof;
    char peer[INET6_ADDRSTRLEN];
    http1 in;
    http_exchange *x;     /* in CONN_BODY, CONN_BUSY and CONN_FLUSH; one reference */
    bool has_more;        /* the answer came before the end of the body */
    bool wants_continue;  /* the client waits for leave to send its body */
    uint64_t counted;     /* bytes of in.req.body that s->body_bytes has */
    uint64_t body_ns;     /* since when that body has been coming */
    uint64_t lingered;    /* bytes thrown away */
    uint64_t deadline_ns; /* 0: none */
    uint64_t timer_ns;    /* when the timer goes off, at the deadline or before; 0: not set */
};

/* Takes the socket over. With is_refusal the answer is 503 whatever it asks. */
void http_conn_open(http_server *s, int fd, const struct sockaddr *sa, bool is_refusal);
void http_conn_close(http_conn *c); /* frees it; its exchange is gone unless it was answered */
/* Its exchange has something to send. False: the connection was closed. */
bool http_conn_answer(http_conn *c);

/* ---- exchanges (exchange.c) ---- */

struct http_exchange {
    http_server *s;
    atomic_int refs;
    atomic_bool gone;
    atomic_size_t pending_bytes, output_bytes; /* in `pending`, and in the socket's buffer */

    /* constant once the handler was called */
    http1_request req;
    uint64_t body_bytes; /* its share of s->body_bytes */
    char peer[INET6_ADDRSTRLEN];
    bool is_local, is_tls, is_head;

    /* under s->lock */
    http_exchange *next_ready;
    bool is_ready;    /* on the ready list, which holds a reference */
    bool has_begun;   /* http_reply or http_stream_begin was called */
    bool is_stream;   /* the latter */
    bool is_released; /* the status line may leave */
    bool has_ended;   /* nothing will be added */
    bool is_chunked, has_no_body;
    bool is_overrun; /* its backlog passed LIMIT_HTTP_BACKLOG, or memory ran out */
    bool keep_alive;
    buf fields;  /* further header lines */
    buf pending; /* bytes for the network thread to take */
    /* of a body that streams */
    buf incoming;        /* what has come and is not taken yet */
    http_piece body;     /* how it stands once that is empty: LATER, END, BROKEN */
    const char *fault;   /* of BROKEN; static */
    bool wants_body;     /* somebody takes it */
    bool is_held;        /* the network thread waits for room */
    pthread_cond_t more; /* incoming, body or gone has changed */

    /* network thread */
    http_conn *conn; /* NULL once it is over */
    bool was_high;   /* on_drained is due */
    http_event on_gone, on_drained, on_tick, on_end;
    void *gone_ud, *drained_ud, *tick_ud, *end_ud;
    struct event *tick;
};

/* The connection's finished request becomes an exchange with one reference. NULL: no memory. */
http_exchange *http_exchange_new(http_conn *c);
/* It is over: no more events. is_lost: the client left before the answer was complete. */
void http_exchange_detach(http_exchange *x, bool is_lost);
/* Bytes of a body that streams, which are taken out of the reader; and how it stands. */
void http_exchange_feed(http_exchange *x, http1 *in);
void http_exchange_break(http_exchange *x, const char *fault);
/* Whether there is room for more; if not, the exchange becomes ready when there is. */
bool http_exchange_has_room(http_exchange *x);
/* Nobody is left who could complete the answer. others: references that do not count. */
bool http_exchange_is_abandoned(http_exchange *x, int others);
/* A whole plain answer of the server's own, which then closes. */
void http_error_answer(buf *out, int status, const char *reason);

#endif
