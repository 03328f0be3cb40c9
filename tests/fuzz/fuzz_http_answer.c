/* What a server may send to the client: the head of an answer line by line, and addresses. */
#include "net/client_private.h"

#include <stdlib.h>
#include <string.h>

static bool drop(void *ud, str line) {
    size_t *n = ud;
    *n += line.n;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 65536) return 0;
    err e = {0};
    http_answer a = {0};
    http_ask q = {.url = "http://host/", .ranged = true, .first = 5, .last = 10};
    char host[] = "host";
    fetch f = {.q = &q, .a = &a, .e = &e, .at = {.host = host}};
    const char *p = (const char *)data, *end = p + size;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) + 1 : (size_t)(end - p);
        if (!fetch_head_line(&f, p, n)) break;
        p += n;
    }
    if (a.partial && (a.range_first != 5 || a.range_last > 10)) abort();
    const char *to = http_answer_header(&a, "location");
    url base, next;
    if (to && url_parse(&base, "https://host/path?query", &e)) {
        if (url_join(&next, &base, to, &e)) {
            const char *rest = strstr(next.text, "//") + 2;
            if (!*next.host || next.path[0] != '/' || memchr(rest, '@', strcspn(rest, "/?#")))
                abort(); /* a name before the host; an "@" of the path or query is none */
            url_deinit(&next);
        }
        url_deinit(&base);
    }
    size_t total = 0;
    http_lines l = {.line = drop, .ud = &total};
    buf_init(&l.rest, 4096);
    if (http_lines_feed(&l, (const char *)data, size)) http_lines_end(&l);
    buf_deinit(&l.rest);
    http_answer_deinit(&a);
    return 0;
}
