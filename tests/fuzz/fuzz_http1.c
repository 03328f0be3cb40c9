/* HTTP requests of strangers. The same bytes whole and in pieces must mean the same: the pieces'
 * lengths come from the bytes themselves. */
#include <stdint.h>
#include <stdlib.h>

#include "net/http1.h"

#define MAX_BODY 4096

/* A sum over all that was understood: requests, fields, bodies, and how it ended. */
static uint64_t add(uint64_t sum, const void *p, size_t n) {
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) sum = (sum ^ c[i]) * 1099511628211u;
    return (sum ^ n) * 1099511628211u;
}

static uint64_t add_text(uint64_t sum, const char *s) {
    return add(sum, s, strlen(s));
}

static uint64_t add_request(uint64_t sum, const http1_request *r) {
    sum = add_text(sum, r->head.data + r->method);
    sum = add_text(sum, r->path);
    sum = add(sum, r->query, (size_t)(r->query_end - r->query));
    for (int i = 0; i < r->n_fields; i++) {
        const char *name = r->head.data + r->fields[i].name;
        sum = add_text(sum, name);
        sum = add_text(sum, r->head.data + r->fields[i].value);
        if (!http1_is_token(str_of(name)) || !http1_header(r, name)) abort();
        if (!http1_is_field_value(str_of(r->head.data + r->fields[i].value))) abort();
    }
    if (r->body.len > MAX_BODY || (!r->chunked && r->body.len != r->content_length)) abort();
    sum = add(sum, r->body.data, r->body.len);
    return sum * 8 + r->keep_alive * 4u + r->chunked * 2u + r->expects_continue;
}

static uint64_t read_all(const uint8_t *data, size_t size, bool in_pieces) {
    http1 p;
    http1_init(&p, MAX_BODY);
    uint64_t sum = 0;
    size_t at = 0;
    while (at < size && p.state != HTTP1_BAD) {
        size_t n = in_pieces ? 1 + data[at] % 7u : size - at;
        if (n > size - at) n = size - at;
        char *exact = malloc(n);
        if (!exact) abort();
        memcpy(exact, data + at, n);
        size_t used = http1_feed(&p, exact, n);
        free(exact);
        if (used > n || (used == 0 && p.state != HTTP1_BAD)) abort();
        at += used;
        if (p.state != HTTP1_DONE) continue;
        http1_request r;
        http1_take(&p, &r);
        sum = add_request(sum, &r);
        http1_request_deinit(&r);
    }
    if (p.state == HTTP1_BAD) {
        if (p.bad_status < 400 || p.bad_status > 505) abort();
        sum = add_text(sum + (uint64_t)p.bad_status, p.bad_reason);
    }
    http1_deinit(&p);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (read_all(data, size, false) != read_all(data, size, true)) abort();
    return 0;
}
