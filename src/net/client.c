/* The client: options, one hop at a time through libcurl, redirects. */
#include "net/client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "net/client_private.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define POLL_MS 100

struct http_client {
    http_client_options o; /* its strings are the client's */
    CURLM *multi;
    CURL *easy;
    atomic_bool stop;
};

struct http_rate {
    uint64_t bytes_per_s;
    pthread_mutex_t lock;
    uint64_t free_ns; /* when what was taken so far is paid for; under lock */
};

bool fetch_fault(fetch *f, http_fault fault, err_code code, const char *fmt, ...) {
    if (f->a->fault != HTTP_FAULT_NONE) return false;
    f->a->fault = fault;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(f->e, code, "%s", text);
}

/* ---- rate ---- */

http_rate *http_rate_new(uint64_t bytes_per_s, err *e) {
    http_rate *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    r->bytes_per_s = bytes_per_s ? bytes_per_s : 1;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void http_rate_free(http_rate *r) {
    if (!r) return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool told_to_stop(const fetch *f) {
    return atomic_load(&f->c->stop) || (f->q->stopped && f->q->stopped(f->q->ud));
}

/* Waits until n more bytes are due. Up to a tenth of a second may be saved up. */
static void keep_rate(fetch *f, size_t n) {
    http_rate *r = f->c->o.rate;
    if (!r) return;
    pthread_mutex_lock(&r->lock);
    uint64_t now = clock_now_ns(), saved = 100000000;
    if (r->free_ns + saved < now) r->free_ns = now - saved;
    r->free_ns += (uint64_t)((double)n * 1e9 / (double)r->bytes_per_s);
    uint64_t until = r->free_ns;
    pthread_mutex_unlock(&r->lock);
    while (now < until && !told_to_stop(f)) {
        uint64_t ns = until - now < 50000000 ? until - now : 50000000;
        nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
        now = clock_now_ns();
    }
}

/* ---- what libcurl calls ---- */

static size_t on_header(char *p, size_t size, size_t n, void *ud) {
    return fetch_head_line(ud, p, size * n) ? size * n : 0;
}

static bool take_body(fetch *f, const char *p, size_t n) {
    const http_ask *q = f->q;
    http_answer *a = f->a;
    if (!f->to_caller) { /* a reason, of which the beginning is enough */
        size_t room = LIMIT_HTTP_REASON -
                      (a->body.len < LIMIT_HTTP_REASON ? a->body.len : LIMIT_HTTP_REASON);
        buf_append(&a->body, p, n < room ? n : room);
        return n <= room || fetch_fault(f, HTTP_FAULT_TOO_BIG, ERR_NO_FIT,
                                        "%s: answers %d with a body of more than %u KB", f->at.host,
                                        a->status, LIMIT_HTTP_REASON >> 10);
    }
    uint64_t max = q->max_bytes ? q->max_bytes : q->on_body ? UINT64_MAX : LIMIT_JSON_BYTES;
    if (a->partial) {
        uint64_t asked = a->range_last - a->range_first + 1;
        if (n > asked - a->body_bytes)
            return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED,
                               "%s: sends more than its range of %llu bytes", f->at.host,
                               (unsigned long long)asked);
    }
    if (n > max - a->body_bytes)
        return fetch_fault(f, HTTP_FAULT_TOO_BIG, ERR_NO_FIT,
                           "%s: sends more than the %llu bytes that are allowed here", f->at.host,
                           (unsigned long long)max);
    a->body_bytes += n;
    if (!q->on_body)
        return buf_append(&a->body, p, n) ||
               fetch_fault(f, HTTP_FAULT_FAILED, ERR_FAILED, "out of memory for the answer");
    if (q->on_body(q->ud, p, n)) return true;
    a->fault = HTTP_FAULT_CALLER;
    return false;
}

static size_t on_write(char *p, size_t size, size_t n, void *ud) {
    fetch *f = ud;
    uint64_t began = clock_now_ns();
    bool ok = take_body(f, p, size * n);
    if (ok) keep_rate(f, size * n);
    f->busy_ns += clock_now_ns() - began;
    return ok ? size * n : 0;
}

static uint64_t body_bytes(const http_ask *q) {
    return q->sends ? q->send_bytes : q->body.n;
}

static size_t on_read(char *p, size_t size, size_t n, void *ud) {
    fetch *f = ud;
    const http_ask *q = f->q;
    uint64_t left = body_bytes(q) - f->sent, began = clock_now_ns();
    size_t k = left < size * n ? (size_t)left : size * n;
    if (k == 0) return 0;
    if (q->sends) k = q->send(q->ud, f->sent, p, k);
    else memcpy(p, q->body.p + f->sent, k);
    if (k == 0) {
        if (f->a->fault == HTTP_FAULT_NONE) f->a->fault = HTTP_FAULT_CALLER;
        return CURL_READFUNC_ABORT;
    }
    f->sent += k;
    keep_rate(f, k);
    f->busy_ns += clock_now_ns() - began;
    return k;
}

static int on_seek(void *ud, curl_off_t offset, int origin) {
    fetch *f = ud;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > body_bytes(f->q))
        return CURL_SEEKFUNC_FAIL;
    f->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- addresses that only this machine or network knows ---- */

static bool private_v4(uint32_t ip) { /* host order */
    return ip >> 24 == 127 || ip >> 24 == 10 || ip >> 24 == 0 || ip >> 20 == 0xac1 ||
           ip >> 16 == 0xc0a8 || ip >> 16 == 0xa9fe || (ip >> 22) == (0x64400000u >> 22);
}

static bool private_v6(const uint8_t a[16]) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t zero[15] = {0};
    if (memcmp(a, mapped, 12) == 0)
        return private_v4((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 |
                          a[15]);
    return (memcmp(a, zero, 15) == 0 && a[15] <= 1) || (a[0] & 0xfe) == 0xfc ||
           (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

static bool private_address(const struct sockaddr *s) {
    if (s->sa_family == AF_INET)
        return private_v4(ntohl(((const struct sockaddr_in *)(const void *)s)->sin_addr.s_addr));
    if (s->sa_family == AF_INET6)
        return private_v6(((const struct sockaddr_in6 *)(const void *)s)->sin6_addr.s6_addr);
    return true;
}

bool http_address_is_private(const char *ip) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (!ip || !*ip) return true;
    if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1)
        return private_address((const struct sockaddr *)(const void *)&v4);
    return inet_pton(AF_INET6, ip, &v6.sin6_addr) != 1 ||
           private_address((const struct sockaddr *)(const void *)&v6);
}

static curl_socket_t on_socket(void *ud, curlsocktype purpose, struct curl_sockaddr *to) {
    fetch *f = ud;
    if (purpose == CURLSOCKTYPE_IPCXN && !f->private_ok && private_address(&to->addr)) {
        fetch_fault(f, HTTP_FAULT_REFUSED, ERR_DENIED,
                    "%s: a public server may not redirect to an address of this network",
                    f->at.host);
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ---- a client ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void begin_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool copy_text(const char **at) {
    if (!*at) return true;
    *at = strdup(*at);
    return *at != NULL;
}

http_client *http_client_new(const http_client_options *o, err *e) {
    pthread_once(&once, begin_curl);
    http_client *c = calloc(1, sizeof *c);
    if (c) {
        c->o = *o;
        if (!c->o.user_agent) c->o.user_agent = "hearth";
        if (!c->o.ca_file || !*c->o.ca_file) c->o.ca_file = getenv("SSL_CERT_FILE");
        if (c->o.ca_file && !*c->o.ca_file) c->o.ca_file = NULL;
        bool ok = copy_text(&c->o.user_agent);
        ok = copy_text(&c->o.unix_path) && ok;
        ok = copy_text(&c->o.ca_file) && ok;
        c->multi = curl_multi_init();
        c->easy = curl_easy_init();
        if (ok && c->multi && c->easy) {
            curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 4l);
            return c;
        }
    }
    http_client_free(c);
    err_set(e, ERR_FAILED, "out of memory");
    return NULL;
}

void http_client_free(http_client *c) {
    if (!c) return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    free((char *)(uintptr_t)c->o.user_agent);
    free((char *)(uintptr_t)c->o.unix_path);
    free((char *)(uintptr_t)c->o.ca_file);
    free(c);
}

void http_client_stop(http_client *c) {
    atomic_store(&c->stop, true);
    curl_multi_wakeup(c->multi);
}

/* ---- one hop ---- */

static const char *method_of(const http_ask *q) {
    if (q->method) return q->method;
    return q->sends || q->body.n > 0 ? "POST" : "GET";
}

static bool has_body(const http_ask *q) {
    const char *m = method_of(q);
    return q->sends || q->body.n > 0 || strcmp(m, "POST") == 0 || strcmp(m, "PUT") == 0 ||
           strcmp(m, "PATCH") == 0;
}

static bool plain_line(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
    return true;
}

/* A field of the caller's: well formed, and none that this file decides about. */
static bool good_field(fetch *f, const char *line) {
    static const char *const ours[] = {
        "authorization",  "proxy-authorization", "cookie",          "cookie2", "host",
        "content-length", "transfer-encoding",   "accept-encoding", "range",   "expect",
        "connection"};
    const char *colon = strchr(line, ':');
    size_t n = colon ? (size_t)(colon - line) : 0;
    bool ok = n > 0 && plain_line(line);
    for (size_t i = 0; ok && i < n; i++)
        ok = isalnum((unsigned char)line[i]) || strchr("-_.", line[i]) != NULL;
    for (size_t i = 0; ok && i < sizeof ours / sizeof *ours; i++)
        ok = strlen(ours[i]) != n || strncasecmp(line, ours[i], n) != 0;
    return ok || fetch_fault(f, HTTP_FAULT_FAILED, ERR_USAGE,
                             "a request cannot have the header field \"%.*s\"", (int)n, line);
}

static bool add_line(struct curl_slist **list, const char *fmt, const char *value) {
    buf b;
    buf_init(&b, LIMIT_HTTP_HEAD);
    buf_printf(&b, fmt, value);
    struct curl_slist *more = b.failed ? NULL : curl_slist_append(*list, b.data);
    buf_deinit(&b);
    if (more) *list = more;
    return more != NULL;
}

/* The request's fields. What is known of the secret: it goes where the request was meant to. */
static bool make_fields(fetch *f, bool same_origin, struct curl_slist **list) {
    const http_ask *q = f->q;
    bool ok = add_line(list, "%s", "Accept-Encoding: identity") && add_line(list, "%s", "Expect:");
    for (int i = 0; ok && q->header && q->header[i]; i++) {
        if (!good_field(f, q->header[i])) return false;
        ok = add_line(list, "%s", q->header[i]);
    }
    if (q->authorization && !plain_line(q->authorization))
        return fetch_fault(f, HTTP_FAULT_FAILED, ERR_USAGE,
                           "a token has a control character in it");
    if (q->authorization && same_origin)
        ok = ok && add_line(list, "Authorization: %s", q->authorization);
    if (has_body(q))
        ok = ok && add_line(list, "Content-Type: %s",
                            q->content_type ? q->content_type : "application/octet-stream");
    return ok || fetch_fault(f, HTTP_FAULT_FAILED, ERR_FAILED, "out of memory");
}

static void set_method(fetch *f) {
    CURL *h = f->c->easy;
    const http_ask *q = f->q;
    const char *method = method_of(q);
    if (has_body(q)) {
        curl_easy_setopt(h, CURLOPT_UPLOAD, 1l);
        curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_bytes(q));
        curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(h, CURLOPT_READDATA, f);
        curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(h, CURLOPT_SEEKDATA, f);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(h, CURLOPT_NOBODY, 1l);
    }
    if (strcmp(method, "HEAD") != 0) curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    if (q->ranged) {
        char range[64];
        if (q->last == UINT64_MAX)
            snprintf(range, sizeof range, "%llu-", (unsigned long long)q->first);
        else
            snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)q->first,
                     (unsigned long long)q->last);
        curl_easy_setopt(h, CURLOPT_RANGE, range); /* libcurl copies it */
    }
}

static void set_options(fetch *f, struct curl_slist *fields, char *why) {
    CURL *h = f->c->easy;
    const http_client_options *o = &f->c->o;
    curl_easy_reset(h);
    curl_easy_setopt(h, CURLOPT_URL, f->at.text);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1l);
    curl_easy_setopt(h, CURLOPT_HTTP_CONTENT_DECODING, 0l);
    curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1l);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(o->connect_timeout_ms ? o->connect_timeout_ms : 15000));
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)f->q->timeout_ms);
    curl_easy_setopt(h, CURLOPT_USERAGENT, o->user_agent);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, o->rate ? 16384l : 262144l);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, f);
    if (o->ca_file) curl_easy_setopt(h, CURLOPT_CAINFO, o->ca_file);
    if (o->no_verify) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0l);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0l);
    }
    if (o->unix_path) curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, o->unix_path);
    if (o->direct || o->unix_path) curl_easy_setopt(h, CURLOPT_PROXY, "");
    set_method(f);
}

/* Runs the transfer; libcurl's code for it. Looks about every tenth of a second. */
static CURLcode drive(fetch *f) {
    http_client *c = f->c;
    uint64_t since = clock_now_ns(), seen = 0;
    uint64_t stall_ns = c->o.stall_timeout_ms < 0 ? 0
                        : c->o.stall_timeout_ms   ? (uint64_t)c->o.stall_timeout_ms * 1000000
                                                  : 30000000000u;
    uint64_t stall_bytes = c->o.stall_bytes ? c->o.stall_bytes : 1;
    for (;;) {
        int running = 0, left = 0;
        f->busy_ns = 0;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
        since += f->busy_ns;
        CURLMsg *m;
        while ((m = curl_multi_info_read(c->multi, &left)))
            if (m->msg == CURLMSG_DONE) return m->data.result;
        if (!running) return CURLE_RECV_ERROR;
        if (told_to_stop(f)) {
            fetch_fault(f, HTTP_FAULT_STOPPED, ERR_INTERRUPTED, "%s: stopped", f->at.host);
            return CURLE_ABORTED_BY_CALLBACK;
        }
        uint64_t now = clock_now_ns(),
                 moved = f->a->body_bytes + f->a->body.len + f->head_bytes + f->sent;
        if (moved < seen || moved - seen >= stall_bytes) { /* less: another hop */
            since = now;
            seen = moved;
        } else if (stall_ns && now > since && now - since > stall_ns) {
            fetch_fault(f, HTTP_FAULT_STALL, ERR_NO_SERVER, "%s: nothing came for %llu seconds",
                        f->at.host, (unsigned long long)(stall_ns / 1000000000u));
            return CURLE_OPERATION_TIMEDOUT;
        }
        curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
    }
}

static bool connected(const fetch *f) {
    curl_off_t us = 0;
    curl_easy_getinfo(f->c->easy, CURLINFO_CONNECT_TIME_T, &us);
    return us > 0;
}

static bool explain(fetch *f, CURLcode code, const char *why) {
    const char *host = f->at.host, *text = *why ? why : curl_easy_strerror(code);
    switch (code) {
    case CURLE_OK: return true;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return fetch_fault(f, HTTP_FAULT_CONNECT, ERR_NO_SERVER, "%s: cannot be reached: %s", host,
                           text);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return fetch_fault(f, HTTP_FAULT_TLS, ERR_DENIED, "%s: no secure connection: %s", host,
                           text);
    case CURLE_OPERATION_TIMEDOUT:
        return fetch_fault(f, connected(f) ? HTTP_FAULT_STALL : HTTP_FAULT_CONNECT, ERR_NO_SERVER,
                           "%s: took too long: %s", host, text);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return fetch_fault(f, HTTP_FAULT_CUT, ERR_NO_SERVER, "%s: the connection was cut: %s", host,
                           text);
    case CURLE_OUT_OF_MEMORY:
        return fetch_fault(f, HTTP_FAULT_FAILED, ERR_FAILED, "%s: out of memory", host);
    default: break;
    }
    return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED, "%s: %s", host, text);
}

/* Chunks and the connection's end say where a body ends: that may be before its range does. */
static bool whole_range(fetch *f) {
    const http_answer *a = f->a;
    uint64_t n = a->range_last - a->range_first + 1;
    if (!a->partial || !f->to_caller || a->body_bytes == n || strcmp(method_of(f->q), "HEAD") == 0)
        return true;
    return fetch_fault(f, HTTP_FAULT_CUT, ERR_NO_SERVER,
                       "%s: the answer ended after %llu of the %llu bytes of its range", f->at.host,
                       (unsigned long long)a->body_bytes, (unsigned long long)n);
}

static bool hop(fetch *f, bool same_origin) {
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *fields = NULL;
    bool ok = make_fields(f, same_origin, &fields);
    if (ok) {
        fetch_head_clear(f);
        buf_clear(&f->a->body);
        f->head_bytes = 0;
        f->sent = 0;
        set_options(f, fields, why);
        ok = curl_multi_add_handle(f->c->multi, f->c->easy) == CURLM_OK ||
             fetch_fault(f, HTTP_FAULT_FAILED, ERR_FAILED, "out of memory");
        if (ok) {
            ok = explain(f, drive(f), why) && f->a->fault == HTTP_FAULT_NONE && whole_range(f);
            curl_multi_remove_handle(f->c->multi, f->c->easy);
        }
    }
    curl_slist_free_all(fields);
    return ok;
}

/* ---- redirects ---- */

static bool next_hop(fetch *f, url *next) {
    const http_ask *q = f->q;
    const char *method = method_of(q), *to = http_answer_header(f->a, "location");
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    int status = f->a->status;
    if (!*to || !url_join(next, &f->at, to, f->e)) {
        if (!*to) err_set(f->e, ERR_DENIED, "no address");
        err_wrap(f->e, "%s: redirects wrongly", f->at.host);
        if (f->e) f->e->code = ERR_DENIED; /* the mistake is not the caller's */
        f->a->fault = HTTP_FAULT_REFUSED;
        return false;
    }
    int most = q->max_redirects ? q->max_redirects : LIMIT_HTTP_REDIRECTS;
    const char *why = NULL;
    if (url_is_secure(&f->at) && !url_is_secure(next)) why = "to plain http";
    else if (!reads && status != 307 && status != 308) why = "a request that is no question";
    else if (f->a->redirects >= most) why = "too many times";
    if (!why) return true;
    fetch_fault(f, HTTP_FAULT_REFUSED, ERR_DENIED, "%s: redirects %s", f->at.host, why);
    url_deinit(next);
    return false;
}

static bool follow(fetch *f) {
    url first;
    if (!url_parse(&first, f->q->url, f->e)) {
        f->a->fault = HTTP_FAULT_FAILED;
        return false;
    }
    bool ok = url_parse(&f->at, f->q->url, f->e);
    f->private_ok = true;
    while (ok) {
        ok = hop(f, url_same_origin(&f->at, &first));
        if (!ok || f->headed) break;
        if (!http_status_redirects(f->a->status)) { /* the connection ended before any head */
            ok = fetch_fault(f, HTTP_FAULT_CUT, ERR_NO_SERVER, "%s: no answer came", f->at.host);
            break;
        }
        const char *ip = NULL;
        curl_easy_getinfo(f->c->easy, CURLINFO_PRIMARY_IP, &ip);
        if (!f->c->o.unix_path && !http_address_is_private(ip)) f->private_ok = false;
        url next;
        ok = next_hop(f, &next);
        if (!ok) break;
        url_deinit(&f->at);
        f->at = next;
        f->a->redirects++;
    }
    url_deinit(&first);
    return ok;
}

bool http_client_fetch(http_client *c, const http_ask *q, http_answer *a, err *e) {
    *a = (http_answer){0};
    buf_init(&a->body, q->on_body ? LIMIT_HTTP_REASON : SIZE_MAX);
    fetch f = {.c = c, .q = q, .a = a, .e = e};
    bool ok = follow(&f);
    a->url = f.at.text;
    f.at.text = NULL;
    url_deinit(&f.at);
    return ok;
}

void http_answer_deinit(http_answer *a) {
    for (int i = 0; i < a->n_fields; i++) {
        free(a->field[i].name);
        free(a->field[i].value);
    }
    free(a->field);
    free(a->url);
    buf_deinit(&a->body);
    *a = (http_answer){0};
}
