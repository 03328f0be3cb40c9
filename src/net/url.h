/* http and https addresses: the only place that takes one apart. What comes in is a stranger's: a
 * name with a password in it, control characters, a host outside ASCII (its xn-- form is fine) and
 * every other scheme are refused. Any thread; no state.
 *
 *     url u;
 *     if (!url_parse(&u, "https://example.net:8443/a/b?c=d", &e)) ...
 *     url next;
 *     if (!url_join(&next, &u, location, &e)) ...
 *     url_deinit(&u);
 */
#ifndef HEARTH_NET_URL_H
#define HEARTH_NET_URL_H

#include "base/buf.h"
#include "base/err.h"

typedef struct url {
    char *text;   /* the whole, normalised: dots removed from the path, no fragment */
    char *scheme; /* "http" or "https" */
    char *host;   /* lower case; "[::1]" keeps its brackets */
    char *path;   /* begins with "/", percent signs as they came */
    char *query;  /* without "?"; "" where there is none */
    unsigned port;
} url;

bool url_parse(url *u, const char *text, err *e);
/* What a reference (of a Location field, say) means at base. */
bool url_join(url *out, const url *base, const char *reference, err *e);
void url_deinit(url *u);
bool url_same_origin(const url *a, const url *b); /* scheme, host and port */
bool url_is_secure(const url *u);                 /* https */
/* Appends s with everything percent-encoded that is not a letter, a digit or one of -._~ */
void url_quote(buf *b, str s);

#endif
