#include "net/http1.h"

#include "base/limits.h"

#include <stdlib.h>
#include <strings.h>

/* Where a chunked body stands. */
enum {
    CHUNK_SIZE,
    CHUNK_EXT,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    CHUNK_END,
    CHUNK_END_LF
};

static bool bad(http1 *p, int status, const char *reason) {
    p->state = HTTP1_BAD;
    p->bad_status = status;
    p->bad_reason = reason;
    return false;
}

static bool is_token_byte(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http1_is_token(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_byte((unsigned char)s.p[i])) return false;
    return s.n > 0;
}

static bool is_control(unsigned char c) {
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

bool http1_is_field_value(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (is_control((unsigned char)s.p[i])) return false;
    return true;
}

static bool is_visible(char c) {
    return (unsigned char)c > 0x20 && (unsigned char)c < 0x7f;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void http1_init(http1 *p, uint64_t max_body) {
    *p = (http1){.max_body = max_body};
    buf_init(&p->req.head, LIMIT_HTTP_HEAD);
    buf_init(&p->req.body, max_body);
}

void http1_request_deinit(http1_request *r) {
    buf_deinit(&r->head);
    buf_deinit(&r->body);
    free(r->fields);
    free(r->path);
    r->fields = NULL;
    r->path = NULL;
}

void http1_deinit(http1 *p) {
    http1_request_deinit(&p->req);
}

/* A new request under the same rules. */
static void begin(http1 *p) {
    bool (*streams)(void *, const http1_request *) = p->streams;
    void *ud = p->ud;
    http1_init(p, p->max_body);
    p->streams = streams;
    p->ud = ud;
}

void http1_take(http1 *p, http1_request *out) {
    *out = p->req;
    begin(p);
}

void http1_take_head(http1 *p, http1_request *out) {
    *out = p->req;
    p->req = (http1_request){.content_length = out->content_length,
                             .chunked = out->chunked,
                             .streams = out->streams,
                             .body = out->body};
    buf_init(&p->req.head, LIMIT_HTTP_HEAD);
    buf_init(&out->body, 0);
}

void http1_reset(http1 *p) {
    http1_request_deinit(&p->req);
    begin(p);
}

const char *http1_header(const http1_request *r, const char *name) {
    for (int i = 0; i < r->n_fields; i++)
        if (strcasecmp(r->head.data + r->fields[i].name, name) == 0)
            return r->head.data + r->fields[i].value;
    return NULL;
}

const char *http1_query(const http1_request *r, const char *name) {
    for (const char *p = r->query; p && p < r->query_end;) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0) return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

/* ---- the target ---- */

/* Decodes %XX (and '+' as a space in queries) into dst, which has room for n + 1 bytes. NULL when
 * an escape is broken or gives a byte that a C string cannot hold; else the byte behind the NUL. */
static char *decode(char *dst, const char *src, size_t n, bool in_query) {
    for (size_t i = 0; i < n; i++) {
        char c = src[i];
        if (c == '%') {
            if (n - i < 3) return NULL;
            int high = hex_digit(src[i + 1]), low = hex_digit(src[i + 2]);
            if (high < 0 || low < 0) return NULL;
            c = (char)(high * 16 + low);
            if (c == 0 || (!in_query && is_control((unsigned char)c))) return NULL;
            i += 2;
        } else if (c == '+' && in_query) {
            c = ' ';
        }
        *dst++ = c;
    }
    *dst++ = 0;
    return dst;
}

/* "a=1&b" into "a\0 1\0 b\0 \0"; empty pieces are left out. */
static bool decode_query(http1_request *r, char *dst, const char *q, size_t n) {
    r->query = dst;
    while (n > 0) {
        const char *amp = memchr(q, '&', n);
        size_t len = amp ? (size_t)(amp - q) : n;
        if (len > 0) {
            const char *eq = memchr(q, '=', len);
            size_t n_name = eq ? (size_t)(eq - q) : len;
            dst = decode(dst, q, n_name, true);
            if (!dst) return false;
            dst = decode(dst, eq ? eq + 1 : q + len, eq ? len - n_name - 1 : 0, true);
            if (!dst) return false;
        }
        q += len + (amp ? 1 : 0);
        n -= len + (amp ? 1 : 0);
    }
    r->query_end = dst;
    return true;
}

/* The target "http://authority/path" as proxies send it: the authority must be the Host field's,
 * so that there is one answer to which host was asked for. */
static bool strip_authority(http1 *p, const char **target) {
    const char *t = *target;
    size_t scheme = 0;
    if (strncasecmp(t, "http://", 7) == 0) scheme = 7;
    if (strncasecmp(t, "https://", 8) == 0) scheme = 8;
    if (!scheme) return bad(p, 400, "the request's target is no path");
    t += scheme;
    size_t n = strcspn(t, "/?");
    const char *host = http1_header(&p->req, "Host");
    if (!host || strlen(host) != n || strncasecmp(host, t, n) != 0)
        return bad(p, 400, "the request's target and its Host field name different hosts");
    *target = t + n;
    return true;
}

static bool read_target(http1 *p) {
    http1_request *r = &p->req;
    const char *t = r->head.data + r->target;
    if (strcmp(r->head.data + r->method, "CONNECT") == 0)
        return bad(p, 501, "CONNECT is not supported");
    bool is_asterisk = strcmp(t, "*") == 0 && strcmp(r->head.data + r->method, "OPTIONS") == 0;
    if (t[0] != '/' && !is_asterisk && !strip_authority(p, &t)) return false;
    if (strchr(t, '#')) return bad(p, 400, "the request's target has a fragment");
    size_t n_path = strcspn(t, "?");
    size_t n_query = t[n_path] ? strlen(t) - n_path - 1 : 0;
    /* a pair needs two NULs and "a" alone is one byte: at most twice the query */
    r->path = malloc(n_path + 2 + 2 * n_query + 2);
    if (!r->path) return bad(p, 503, "out of memory");
    char *end = n_path ? decode(r->path, t, n_path, false) : decode(r->path, "/", 1, false);
    if (!end) return bad(p, 400, "the request's path has a broken escape");
    if (!decode_query(r, end, t + n_path + 1, n_query))
        return bad(p, 400, "the request's query has a broken escape");
    return true;
}

/* ---- the head ---- */

/* "GET /path HTTP/1.1", one space between, cut in place. */
static bool read_request_line(http1 *p, char *line, size_t n) {
    http1_request *r = &p->req;
    char *space = memchr(line, ' ', n);
    size_t n_method = space ? (size_t)(space - line) : 0;
    if (!space || n_method > 32 || !http1_is_token((str){line, n_method}))
        return bad(p, 400, "the request line has no method");
    char *target = space + 1, *end = line + n;
    char *last = memchr(target, ' ', (size_t)(end - target));
    if (!last || last == target) return bad(p, 400, "the request line has no target or version");
    for (char *c = target; c < last; c++)
        if (!is_visible(*c))
            return bad(p, 400, "the request's target has a byte that must be escaped");
    str version = {last + 1, (size_t)(end - last - 1)};
    if (!str_starts(version, STR("HTTP/")) || version.n != 8 || version.p[6] != '.' ||
        version.p[5] < '0' || version.p[5] > '9' || version.p[7] < '0' || version.p[7] > '9')
        return bad(p, 400, "the request line does not end in an HTTP version");
    if (version.p[5] != '1' || version.p[7] > '1')
        return bad(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    r->is_http10 = version.p[7] == '0';
    if ((size_t)(last - target) > LIMIT_HTTP_URI)
        return bad(p, 414, "the request's target is too long");
    *space = *last = 0;
    r->method = (uint32_t)(line - r->head.data);
    r->target = (uint32_t)(target - r->head.data);
    return true;
}

static bool read_field(http1 *p, char *line, size_t n) {
    http1_request *r = &p->req;
    if (line[0] == ' ' || line[0] == '\t') return bad(p, 400, "a header field is folded");
    char *colon = memchr(line, ':', n);
    if (!colon || !http1_is_token((str){line, (size_t)(colon - line)}))
        return bad(p, 400, "a header field has no proper name");
    if (r->n_fields == LIMIT_HTTP_FIELDS) return bad(p, 431, "too many header fields");
    if (r->n_fields % 8 == 0) {
        http1_field *more = realloc(r->fields, ((size_t)r->n_fields + 8) * sizeof *more);
        if (!more) return bad(p, 503, "out of memory");
        r->fields = more;
    }
    str value = str_trim((str){colon + 1, n - (size_t)(colon + 1 - line)});
    *colon = 0;
    char *at = value.n ? line + (value.p - line) : line + n;
    at[value.n] = 0; /* the CR or the white space in front of it */
    r->fields[r->n_fields++] = (http1_field){(uint32_t)(line - r->head.data),
                                             (uint32_t)(at - r->head.data)};
    return true;
}

static int count_fields(const http1_request *r, const char *name) {
    int n = 0;
    for (int i = 0; i < r->n_fields; i++)
        n += strcasecmp(r->head.data + r->fields[i].name, name) == 0;
    return n;
}

/* Whether a comma-separated list in any field of this name has the word. */
static bool list_has(const http1_request *r, const char *name, str word) {
    for (int i = 0; i < r->n_fields; i++) {
        if (strcasecmp(r->head.data + r->fields[i].name, name) != 0) continue;
        for (const char *v = r->head.data + r->fields[i].value;; v++) {
            size_t n = strcspn(v, ",");
            str item = str_trim((str){v, n});
            if (item.n == word.n && strncasecmp(item.p, word.p, word.n) == 0) return true;
            v += n;
            if (!*v) break;
        }
    }
    return false;
}

static bool check_host(http1 *p) {
    int n = count_fields(&p->req, "Host");
    if (n > 1) return bad(p, 400, "more than one Host field");
    if (n == 0) return p->req.is_http10 || bad(p, 400, "no Host field");
    const char *h = http1_header(&p->req, "Host");
    for (; *h; h++)
        if (!is_visible(*h) || strchr("/\\?#@,;\"<>{}", *h))
            return bad(p, 400, "the Host field is no host name");
    return true;
}

static bool read_length(http1 *p) {
    str s = str_of(http1_header(&p->req, "Content-Length"));
    if (s.n == 0 || (s.n > 1 && s.p[0] == '0')) return bad(p, 400, "Content-Length is no number");
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return bad(p, 400, "Content-Length is no number");
    return str_to_u64(s, &p->req.content_length) || bad(p, 413, "the request's body is too large");
}

/* How long the body is: the place where two readers must never disagree. */
static bool check_framing(http1 *p) {
    http1_request *r = &p->req;
    int lengths = count_fields(r, "Content-Length"), codings = count_fields(r, "Transfer-Encoding");
    if (lengths > 1) return bad(p, 400, "more than one Content-Length");
    if (codings > 1) return bad(p, 400, "more than one Transfer-Encoding");
    if (lengths && codings) return bad(p, 400, "both Content-Length and Transfer-Encoding");
    if (codings && r->is_http10) return bad(p, 400, "Transfer-Encoding in HTTP/1.0");
    if (codings) {
        if (strcasecmp(http1_header(r, "Transfer-Encoding"), "chunked") != 0)
            return bad(p, 501, "no Transfer-Encoding is known but chunked");
        r->chunked = true;
    }
    return !lengths || read_length(p);
}

static bool check_fields(http1 *p) {
    static const char *const once[] = {"Authorization", "X-Api-Key", "Origin", "Content-Type",
                                       "Content-Encoding"};
    http1_request *r = &p->req;
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        if (count_fields(r, once[i]) > 1)
            return bad(p, 400, "a field that may come once came twice");
    bool close = list_has(r, "Connection", STR("close"));
    r->keep_alive = !close && (!r->is_http10 || list_has(r, "Connection", STR("keep-alive")));
    const char *expect = r->is_http10 ? NULL : http1_header(r, "Expect");
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return bad(p, 417, "no expectation is known but 100-continue");
    r->expects_continue = expect != NULL;
    return true;
}

static void end_head(http1 *p) {
    if (!check_host(p) || !check_framing(p) || !check_fields(p) || !read_target(p)) return;
    http1_request *r = &p->req;
    r->streams = (r->chunked || r->content_length) && p->streams && p->streams(p->ud, r);
    if (r->streams) {
        buf_init(&r->body, SIZE_MAX);
    } else if (r->content_length > p->max_body) {
        bad(p, 413, "the request's body is too large");
        return;
    }
    p->left = p->req.content_length;
    p->chunk_state = CHUNK_SIZE;
    p->state = p->req.chunked || p->left ? HTTP1_HEAD : HTTP1_DONE;
}

/* One line is whole: head holds it from line_start, with CR LF at the end. */
static void end_line(http1 *p) {
    http1_request *r = &p->req;
    char *line = r->head.data + p->line_start;
    size_t n = r->head.len - p->line_start - 2;
    bool is_first = p->line_start == 0;
    p->line_start = r->head.len;
    if (n > 0) {
        if (is_first) read_request_line(p, line, n);
        else read_field(p, line, n);
    } else if (!is_first) {
        end_head(p);
    } else if (p->had_blank_line) { /* one is allowed: some clients end a body with it */
        bad(p, 400, "blank lines where a request should be");
    } else {
        p->had_blank_line = true;
        p->line_start = 0;
        buf_clear(&r->head);
    }
}

/* Why this byte cannot stand here, or NULL. */
static const char *wrong_byte(const http1 *p, unsigned char c) {
    if (p->after_cr) return c == '\n' ? NULL : "a CR without its LF in the header";
    if (c == '\n') return "an LF without its CR in the header";
    if (p->n_head == 0 && c == 0x16) return "this port speaks plain HTTP, not TLS";
    return c != '\r' && is_control(c) ? "a control byte in the header" : NULL;
}

static size_t feed_head(http1 *p, const char *data, size_t n) {
    size_t i = 0, from = 0;
    bool is_first = p->line_start == 0;
    size_t line_len = p->req.head.len - p->line_start;
    while (i < n) {
        unsigned char c = (unsigned char)data[i];
        const char *why = wrong_byte(p, c);
        if (why) {
            bad(p, 400, why);
            return i;
        }
        if (++p->n_head > LIMIT_HTTP_HEAD) {
            bad(p, 431, "the request's header is too large");
            return i;
        }
        /* method, version and spaces add at most some 50 bytes */
        if (is_first && ++line_len > LIMIT_HTTP_URI + 64) {
            bad(p, 414, "the request's target is too long");
            return i;
        }
        i++;
        if (c == '\n') break;
        p->after_cr = c == '\r';
    }
    bool is_end = i > from && data[i - 1] == '\n';
    if (!buf_append(&p->req.head, data + from, i - from)) {
        bad(p, 503, "out of memory");
    } else if (is_end) {
        p->after_cr = false;
        end_line(p);
    }
    return i;
}

/* ---- the body ---- */

static bool add_body(http1 *p, const char *data, size_t n) {
    return buf_append(&p->req.body, data, n) || bad(p, 503, "out of memory");
}

static size_t feed_sized(http1 *p, const char *data, size_t n) {
    if (n > p->left) n = (size_t)p->left;
    if (!add_body(p, data, n)) return 0;
    p->left -= n;
    if (p->left == 0) p->state = HTTP1_DONE;
    return n;
}

static bool chunk_size_byte(http1 *p, char c) {
    int digit = hex_digit(c);
    if (++p->chunk_line > LIMIT_HTTP_CHUNK_LINE)
        return bad(p, 400, "a chunk's first line is too long");
    if (p->chunk_state == CHUNK_SIZE && digit >= 0) {
        if (p->chunk_line > 16) return bad(p, 400, "a chunk's size is too long");
        p->left = p->left * 16 + (uint64_t)digit;
        return true;
    }
    if (p->chunk_line == 1) return bad(p, 400, "a chunk without its size");
    if (c == '\r') p->chunk_state = CHUNK_SIZE_LF;
    else if (p->chunk_state == CHUNK_SIZE && c != ';')
        return bad(p, 400, "a chunk's size is no number");
    else if (is_control((unsigned char)c))
        return bad(p, 400, "a control byte in a chunk's first line");
    else p->chunk_state = CHUNK_EXT;
    return true;
}

/* Every byte of a chunked body but the data itself. */
static bool chunk_byte(http1 *p, char c) {
    switch (p->chunk_state) {
    case CHUNK_SIZE:
    case CHUNK_EXT: return chunk_size_byte(p, c);
    case CHUNK_SIZE_LF:
        if (c != '\n') return bad(p, 400, "a CR without its LF after a chunk's size");
        if (!p->req.streams && p->left > p->max_body - p->req.body.len)
            return bad(p, 413, "the request's body is too large");
        p->chunk_state = p->left ? CHUNK_DATA : CHUNK_END;
        return true;
    case CHUNK_CR:
        if (c != '\r') return bad(p, 400, "a chunk is longer than its size");
        p->chunk_state = CHUNK_LF;
        return true;
    case CHUNK_LF:
        if (c != '\n') return bad(p, 400, "a CR without its LF after a chunk");
        p->chunk_state = CHUNK_SIZE;
        p->chunk_line = 0;
        return true;
    case CHUNK_END:
        if (c != '\r') return bad(p, 400, "trailer fields are not taken");
        p->chunk_state = CHUNK_END_LF;
        return true;
    default: /* CHUNK_END_LF */
        if (c != '\n') return bad(p, 400, "a CR without its LF after the last chunk");
        p->state = HTTP1_DONE;
        return true;
    }
}

static size_t feed_chunked(http1 *p, const char *data, size_t n) {
    size_t i = 0;
    while (i < n && p->state == HTTP1_BODY) {
        if (p->chunk_state != CHUNK_DATA) {
            if (chunk_byte(p, data[i])) i++;
            continue;
        }
        size_t take = n - i < p->left ? n - i : (size_t)p->left;
        if (!add_body(p, data + i, take)) break;
        i += take;
        p->left -= take;
        if (p->left == 0) p->chunk_state = CHUNK_CR;
    }
    return i;
}

size_t http1_feed(http1 *p, const char *data, size_t n) {
    size_t used = 0;
    if (n > 0 && p->state == HTTP1_IDLE) p->state = HTTP1_LINES;
    while (used < n && p->state == HTTP1_LINES) used += feed_head(p, data + used, n - used);
    if (p->state == HTTP1_HEAD && used == 0) p->state = HTTP1_BODY;
    if (p->state == HTTP1_BODY)
        used += p->req.chunked ? feed_chunked(p, data + used, n - used)
                               : feed_sized(p, data + used, n - used);
    return used;
}
