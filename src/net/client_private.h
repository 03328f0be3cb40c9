/* What client.c and client_head.c share: a fetch under way. The rest of the program includes
 * net/client.h.
 */
#ifndef HEARTH_NET_CLIENT_PRIVATE_H
#define HEARTH_NET_CLIENT_PRIVATE_H

#include "net/client.h"
#include "net/url.h"

/* One request and its answer, over all redirects. */
typedef struct fetch {
    http_client *c;
    const http_ask *q;
    http_answer *a;
    err *e;
    url at; /* where this hop goes */
    size_t head_bytes;
    bool headed;      /* on_head was called */
    bool framed;      /* a Transfer-Encoding was there */
    bool to_caller;   /* the body of this hop is the answer's */
    bool private_ok;  /* this hop may reach private addresses */
    uint64_t sent;    /* bytes of the request's body */
    uint64_t busy_ns; /* spent in on_body and in keeping to the rate: no stall */
} fetch;

/* Notes the fault and writes the message; the first one stays. Always false. */
bool fetch_fault(fetch *f, http_fault fault, err_code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* One line of the answer's head, as libcurl gives them, its end included. */
bool fetch_head_line(fetch *f, const char *p, size_t n);
void fetch_head_clear(fetch *f); /* before another answer's head */

/* An address (digits) of this machine or network: a public server has no business to name it. */
bool http_address_is_private(const char *ip);

bool http_status_redirects(int status); /* one with a Location that can be followed */

#endif
