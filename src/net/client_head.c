/* The head of an answer: its fields, and what must hold of them before the body counts. */
#include "net/client_private.h"

#include "base/limits.h"

#include <stdlib.h>
#include <strings.h>

bool http_status_redirects(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

const char *http_answer_header(const http_answer *a, const char *name) {
    for (int i = 0; i < a->n_fields; i++)
        if (strcasecmp(a->field[i].name, name) == 0) return a->field[i].value;
    return NULL;
}

void fetch_head_clear(fetch *f) {
    http_answer *a = f->a;
    for (int i = 0; i < a->n_fields; i++) {
        free(a->field[i].name);
        free(a->field[i].value);
    }
    a->n_fields = 0;
    a->status = 0;
    a->partial = a->has_total = a->has_length = false;
    a->range_first = a->range_last = a->range_total = a->content_length = 0;
    f->framed = false;
}

static bool is(str s, const char *word) {
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* "bytes 0-99/200", "bytes 0-99/\*" or "bytes *\/200". */
static bool read_range(fetch *f, str v) {
    http_answer *a = f->a;
    if (v.n < 6 || strncasecmp(v.p, "bytes ", 6) != 0) return false;
    v = str_trim((str){v.p + 6, v.n - 6});
    size_t slash = str_find(v, STR("/"), 0), dash = str_find(v, STR("-"), 0);
    if (slash == (size_t)-1) return false;
    str total = {v.p + slash + 1, v.n - slash - 1};
    a->has_total = !str_eq(total, STR("*"));
    if (a->has_total && !str_to_u64(total, &a->range_total)) return false;
    if (v.p[0] == '*') return a->status == 416;
    return dash < slash && str_to_u64((str){v.p, dash}, &a->range_first) &&
           str_to_u64((str){v.p + dash + 1, slash - dash - 1}, &a->range_last) &&
           a->range_first <= a->range_last && (!a->has_total || a->range_last < a->range_total);
}

/* What a field means for the body. */
static bool heed(fetch *f, str name, str value) {
    http_answer *a = f->a;
    if (is(name, "content-length")) {
        uint64_t n;
        if (!str_to_u64(value, &n) || (a->has_length && n != a->content_length))
            return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED, "%s: its length makes no sense",
                               f->at.host);
        a->has_length = true;
        a->content_length = n;
    } else if (is(name, "content-encoding")) {
        if (!is(value, "identity") && value.n > 0)
            return fetch_fault(f, HTTP_FAULT_REFUSED, ERR_DAMAGED,
                               "%s: sends an encoded body, which was not asked for", f->at.host);
    } else if (is(name, "transfer-encoding")) {
        if (!is(value, "chunked") && !is(value, "identity"))
            return fetch_fault(f, HTTP_FAULT_REFUSED, ERR_DAMAGED,
                               "%s: sends an encoded body, which was not asked for", f->at.host);
        f->framed = is(value, "chunked");
    } else if (is(name, "content-range")) {
        if ((a->status == 206 || a->status == 416) && !read_range(f, value))
            return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED,
                               "%s: its Content-Range makes no "
                               "sense",
                               f->at.host);
    }
    return true;
}

static bool add_field(fetch *f, str name, str value) {
    http_answer *a = f->a;
    if (a->n_fields >= LIMIT_HTTP_FIELDS)
        return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED, "%s: more than %d header fields",
                           f->at.host, LIMIT_HTTP_FIELDS);
    if (!a->field) a->field = calloc(LIMIT_HTTP_FIELDS, sizeof *a->field);
    http_field new_field = {strndup(name.p, name.n), strndup(value.p, value.n)};
    if (!a->field || !new_field.name || !new_field.value) {
        free(new_field.name);
        free(new_field.value);
        return fetch_fault(f, HTTP_FAULT_FAILED, ERR_FAILED, "out of memory");
    }
    a->field[a->n_fields++] = new_field;
    return heed(f, name, value);
}

/* A 206 is the range that was asked for, or it is of no use. */
static bool check_range(fetch *f) {
    const http_ask *q = f->q;
    http_answer *a = f->a;
    if (a->status != 206) return true;
    bool there = http_answer_header(a, "content-range") != NULL;
    bool wanted = q->ranged && there && a->range_first == q->first &&
                  (a->range_last == q->last || (a->range_last < q->last && a->has_total &&
                                                a->range_last + 1 == a->range_total));
    if (!wanted)
        return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED,
                           "%s: sends another range than was asked for", f->at.host);
    uint64_t n = a->range_last - a->range_first + 1; /* a whole file of 2^64 bytes: 0 */
    if (n == 0 || (a->has_length && a->content_length != n))
        return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED,
                           "%s: the length of its range makes no sense", f->at.host);
    a->partial = true;
    return true;
}

/* The empty line. */
static bool complete(fetch *f) {
    const http_ask *q = f->q;
    http_answer *a = f->a;
    if (a->status >= 100 && a->status < 200) return true; /* the answer is yet to come */
    if (!check_range(f)) return false;
    if (f->framed) a->has_length = false; /* chunks win, as in every client */
    bool follows = http_status_redirects(a->status) && q->max_redirects >= 0 &&
                   http_answer_header(a, "location");
    f->to_caller = !follows && a->status >= 200 && a->status < 300;
    if (follows || f->headed) return true;
    f->headed = true;
    if (f->to_caller && q->max_bytes && a->has_length && a->content_length > q->max_bytes &&
        strcmp(q->method ? q->method : "GET", "HEAD") != 0)
        return fetch_fault(f, HTTP_FAULT_TOO_BIG, ERR_NO_FIT,
                           "%s: sends %llu bytes, more than the %llu that are allowed here",
                           f->at.host, (unsigned long long)a->content_length,
                           (unsigned long long)q->max_bytes);
    if (q->on_head && !q->on_head(q->ud, a)) {
        a->fault = HTTP_FAULT_CALLER;
        return false;
    }
    return true;
}

bool fetch_head_line(fetch *f, const char *p, size_t n) {
    f->head_bytes += n;
    if (f->head_bytes > LIMIT_HTTP_HEAD)
        return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED, "%s: its header is longer than %u KB",
                           f->at.host, LIMIT_HTTP_HEAD >> 10);
    str line = {p, n};
    while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n')) line.n--;
    if (line.n == 0) return f->headed || f->a->status == 0 || complete(f);
    if (str_starts(line, STR("HTTP/"))) { /* of the answer, or of one after a 1xx */
        size_t blank = str_find(line, STR(" "), 0);
        uint64_t status = 0;
        fetch_head_clear(f);
        if (blank == (size_t)-1 || line.n < blank + 4 ||
            !str_to_u64((str){line.p + blank + 1, 3}, &status) || status < 100)
            return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED, "%s: this is no HTTP", f->at.host);
        f->a->status = (int)status;
        return true;
    }
    if (f->headed) return true; /* a trailer: counted, not kept */
    size_t colon = str_find(line, STR(":"), 0);
    if (colon == (size_t)-1 || colon == 0 || memchr(line.p, 0, line.n))
        return fetch_fault(f, HTTP_FAULT_BAD, ERR_DAMAGED, "%s: a header field that is none",
                           f->at.host);
    return add_field(f, str_trim((str){line.p, colon}),
                     str_trim((str){line.p + colon + 1, line.n - colon - 1}));
}

/* ---- lines ---- */

static bool give(http_lines *l, str s) {
    if (s.n > 0 && s.p[s.n - 1] == '\r') s.n--;
    return l->line(l->ud, s);
}

bool http_lines_feed(http_lines *l, const char *p, size_t n) {
    while (n > 0) {
        const char *end = memchr(p, '\n', n);
        size_t k = end ? (size_t)(end - p) : n;
        if (end && l->rest.len == 0) {
            if (!give(l, (str){p, k})) return false;
        } else {
            if (!buf_append(&l->rest, p, k)) return false;
            if (end) {
                bool more = give(l, buf_str(&l->rest));
                buf_clear(&l->rest);
                if (!more) return false;
            }
        }
        if (!end) return true;
        p += k + 1;
        n -= k + 1;
    }
    return true;
}

bool http_lines_end(http_lines *l) {
    bool more = l->rest.len == 0 || give(l, buf_str(&l->rest));
    buf_clear(&l->rest);
    return more;
}
