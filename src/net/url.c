/* Addresses, by libcurl's parser, narrowed to what Hearth speaks. */
#include "net/url.h"

#include "base/limits.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>

void url_deinit(url *u) {
    free(u->text);
    free(u->scheme);
    free(u->host);
    free(u->path);
    free(u->query);
    *u = (url){0};
}

static bool refuse(err *e, const char *text, const char *why) {
    char shown[160];
    return err_set(e, ERR_USAGE, "the address \"%s\" %s",
                   str_printable(str_of(text), shown, sizeof shown), why);
}

static char *part(CURLU *h, CURLUPart what, unsigned flags) {
    char *got = NULL, *copy = NULL;
    if (curl_url_get(h, what, &got, flags) == CURLUE_OK) copy = strdup(got);
    curl_free(got);
    return copy;
}

static bool good_host(const char *p) {
    if (!*p) return false;
    for (; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-._[]:%", *p)) return false;
    return true;
}

static bool good_text(const char *text, err *e) {
    size_t n = strlen(text);
    if (n > LIMIT_HTTP_URI)
        return err_set(e, ERR_USAGE, "an address of %zu bytes is longer than %d", n,
                       LIMIT_HTTP_URI);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return refuse(e, text, "has a blank or a control character in it");
    return true;
}

/* Everything of u from h. */
static bool take(url *u, CURLU *h, const char *text, err *e) {
    *u = (url){0};
    curl_url_set(h, CURLUPART_FRAGMENT, NULL, 0);
    u->scheme = part(h, CURLUPART_SCHEME, 0);
    u->host = part(h, CURLUPART_HOST, 0);
    for (char *p = u->host; p && *p; p++) *p = (char)tolower((unsigned char)*p);
    if (u->host) curl_url_set(h, CURLUPART_HOST, u->host, 0);
    u->path = part(h, CURLUPART_PATH, 0);
    u->query = part(h, CURLUPART_QUERY, 0);
    u->text = part(h, CURLUPART_URL, 0);
    if (!u->query) u->query = strdup("");
    char *port = part(h, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    uint64_t number = 0;
    bool ok = port && str_to_u64(str_of(port), &number) && number > 0 && number < 65536;
    free(port);
    u->port = (unsigned)number;
    if (!u->scheme || (strcmp(u->scheme, "http") != 0 && strcmp(u->scheme, "https") != 0))
        refuse(e, text, "is neither http nor https");
    else if (!ok || !u->host || !good_host(u->host)) refuse(e, text, "has no host as it should be");
    else if (!u->path || !u->query || !u->text) err_set(e, ERR_FAILED, "out of memory");
    else return true;
    url_deinit(u);
    return false;
}

static bool read_into(url *u, CURLU *h, const char *text, err *e) {
    CURLUcode code = curl_url_set(h, CURLUPART_URL, text,
                                  CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_USER_NOT_ALLOWED)
        return refuse(e, "(not shown)", "has a name or password in it: tokens are given otherwise");
    if (code != CURLUE_OK) return refuse(e, text, "is none (http:// or https://, host, path)");
    return take(u, h, text, e);
}

bool url_parse(url *u, const char *text, err *e) {
    *u = (url){0};
    if (!good_text(text, e)) return false;
    const char *colon = strstr(text, ":///"); /* libcurl would look for the host further on */
    if (colon && !memchr(text, '/', (size_t)(colon - text))) return refuse(e, text, "has no host");
    CURLU *h = curl_url();
    bool ok = h ? read_into(u, h, text, e) : err_set(e, ERR_FAILED, "out of memory");
    curl_url_cleanup(h);
    return ok;
}

bool url_join(url *out, const url *base, const char *reference, err *e) {
    *out = (url){0};
    if (!good_text(reference, e)) return false;
    CURLU *h = curl_url();
    bool ok = h && curl_url_set(h, CURLUPART_URL, base->text, 0) == CURLUE_OK;
    ok = ok ? read_into(out, h, reference, e) : err_set(e, ERR_FAILED, "out of memory");
    curl_url_cleanup(h);
    return ok;
}

bool url_same_origin(const url *a, const url *b) {
    return a->port == b->port && strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0;
}

bool url_is_secure(const url *u) {
    return strcmp(u->scheme, "https") == 0;
}

void url_quote(buf *b, str s) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 128 && (isalnum(c) || strchr("-._~", c)) && c) {
            buf_putc(b, (char)c);
        } else {
            buf_putc(b, '%');
            buf_putc(b, hex[c >> 4]);
            buf_putc(b, hex[c & 15]);
        }
    }
}
