/* A strict reader of HTTP/1.1 requests: a state machine over bytes, without sockets or clocks.
 *
 * It is Hearth's own because libevent 2.1's evhttp is blind to a client that leaves while its
 * request waits, ends the whole process when such a client sends one more byte, has no deadline for
 * a whole header, takes a signed or repeated Content-Length and any Transfer-Encoding, and accepts
 * bare line feeds and folded lines. Behind a proxy each of those is a way to have one stream of
 * bytes read as two different series of requests. Here a request has one meaning or is refused:
 *
 *   - lines end in CR LF; control bytes, folded lines, and space around a field's name are refused
 *   - at most one Content-Length, of digits only, and never beside a Transfer-Encoding
 *   - no Transfer-Encoding but "chunked", not in HTTP/1.0, and no trailer fields
 *   - exactly one Host (HTTP/1.0: at most one), equal to the target's where the target names one
 *   - one at most of the fields that say who asks: Authorization, X-Api-Key, Origin, Content-Type
 *
 * Bytes may come in any pieces: the outcome is a function of the bytes alone. One thread.
 *
 *     http1 p; http1_init(&p, max_body);
 *     used = http1_feed(&p, data, n);         // never more than one request
 *     if (p.state == HTTP1_HEAD) ...          // once, before the body: p.req is known; feed on
 *     if (p.state == HTTP1_DONE) { http1_request r; http1_take(&p, &r); ... }
 *     if (p.state == HTTP1_BAD) answer(p.bad_status, p.bad_reason), then close
 *
 * A request whose body streams (p.streams says so once its head is known) is taken in two steps:
 * its head at HTTP1_HEAD, then what each feed adds to p.req.body, which the caller clears.
 */
#ifndef HEARTH_NET_HTTP1_H
#define HEARTH_NET_HTTP1_H

#include "base/buf.h"

typedef enum {
    HTTP1_IDLE,  /* not one byte yet */
    HTTP1_LINES, /* inside the head */
    HTTP1_HEAD,  /* the head is whole and there is a body; the next feed goes on */
    HTTP1_BODY,
    HTTP1_DONE,
    HTTP1_BAD
} http1_state;

typedef struct http1_field {
    uint32_t name, value; /* offsets of C strings in head */
} http1_field;

typedef struct http1_request {
    buf head; /* the head's bytes, cut into C strings in place */
    http1_field *fields;
    int n_fields;
    uint32_t method, target; /* offsets in head */
    char *path;              /* percent-decoded C string; owns the query's pairs behind it */
    char *query;             /* "name\0value\0..." up to query_end, decoded */
    char *query_end;
    buf body;
    uint64_t content_length; /* as announced; 0 when chunked */
    bool is_http10, keep_alive, chunked, expects_continue;
    bool streams; /* its body comes in pieces, without a limit */
} http1_request;

typedef struct http1 {
    http1_state state;
    int bad_status;         /* 400, 413, ... */
    const char *bad_reason; /* static text, one line without its newline */
    http1_request req;
    uint64_t max_body;
    /* Whether the body of this request streams; NULL: no request's does. */
    bool (*streams)(void *ud, const http1_request *r);
    void *ud;
    /* inside */
    size_t n_head;     /* bytes of the head so far, blank line in front included */
    size_t line_start; /* in head */
    bool after_cr, had_blank_line;
    uint8_t chunk_state;
    uint16_t chunk_line; /* bytes of the present chunk's first line */
    uint64_t left;       /* of the body or of the present chunk */
} http1;

void http1_init(http1 *p, uint64_t max_body);
void http1_deinit(http1 *p);
size_t http1_feed(http1 *p, const char *data, size_t n);
/* Hands a DONE request over and begins the next one. */
void http1_take(http1 *p, http1_request *out);
/* Hands over all but the body of a request that streams, at HTTP1_HEAD. */
void http1_take_head(http1 *p, http1_request *out);
/* Begins the next request, whatever came of this one. */
void http1_reset(http1 *p);

void http1_request_deinit(http1_request *r);
const char *http1_header(const http1_request *r, const char *name); /* NULL: absent; any case */
const char *http1_query(const http1_request *r, const char *name);  /* NULL: absent */

/* What an answer may carry: a token, and text without control characters. */
bool http1_is_token(str s);
bool http1_is_field_value(str s);

#endif
