/* Who may ask, and from where.
 *
 * Any web page can make a browser send requests to this machine, and can make a name of its own
 * lead here. So the Host header must be a name that is really this server's, and an Origin must be
 * a page of this machine, of the private network by address, of this server itself, or one that
 * was allowed by name. Then the key.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "api/api_private.h"

/* ---- names ---- */

static bool hosts_add(api *a, size_t *n, size_t cap, const char *name) {
    if (*n + 1 >= cap || !(a->hosts[*n] = strdup(name))) return false;
    for (char *p = a->hosts[(*n)++]; *p; p++) *p = (char)tolower((unsigned char)*p);
    return true;
}

bool access_hosts_init(api *a, const char *const *more, err *e) {
    size_t n = 0, cap = 8;
    while (more && more[n]) n++;
    cap += n;
    n = 0;
    a->hosts = calloc(cap, sizeof *a->hosts);
    if (!a->hosts) return err_set(e, ERR_NO_FIT, "out of memory");
    bool ok = hosts_add(a, &n, cap, "localhost") && hosts_add(a, &n, cap, "host.docker.internal");
    if (ok && gethostname(a->hostname, sizeof a->hostname - 1) == 0 && a->hostname[0]) {
        char local[300], base[256];
        snprintf(base, sizeof base, "%.*s", (int)strcspn(a->hostname, "."), a->hostname);
        snprintf(local, sizeof local, "%s.local", base);
        ok = hosts_add(a, &n, cap, a->hostname) && hosts_add(a, &n, cap, local) &&
             hosts_add(a, &n, cap, base);
    }
    for (size_t i = 0; ok && more && more[i]; i++) ok = hosts_add(a, &n, cap, more[i]);
    return ok || err_set(e, ERR_NO_FIT, "out of memory");
}

void access_hosts_deinit(api *a) {
    for (char **p = a->hosts; p && *p; p++) free(*p);
    free(a->hosts);
    a->hosts = NULL;
}

/* "name:port" or "[v6]:port" without port, lower case; false when it is neither. */
static bool host_of(str s, char *dst, size_t cap) {
    size_t n = 0;
    if (s.n && s.p[0] == '[') {
        while (n < s.n && s.p[n] != ']') n++;
        if (n == s.n) return false;
        s.p++;
        n--;
    } else {
        while (n < s.n && s.p[n] != ':') n++;
    }
    if (n == 0 || n >= cap) return false;
    for (size_t i = 0; i < n; i++) dst[i] = (char)tolower((unsigned char)s.p[i]);
    if (dst[n - 1] == '.') n--; /* the root's dot */
    dst[n] = 0;
    return n > 0;
}

static bool is_address(const char *host) {
    unsigned char b[16];
    return inet_pton(AF_INET, host, b) == 1 || inet_pton(AF_INET6, host, b) == 1;
}

/* Loopback, private and link-local addresses: no page on the wide web has one. */
static bool is_near_address(const char *host) {
    unsigned char b[16];
    if (inet_pton(AF_INET6, host, b) == 1) {
        static const unsigned char loopback[16] = {[15] = 1}, mapped[12] = {[10] = 255, [11] = 255};
        if (memcmp(b, mapped, 12) != 0)
            return memcmp(b, loopback, 16) == 0 || (b[0] & 0xfe) == 0xfc ||
                   (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
        memmove(b, b + 12, 4);
    } else if (inet_pton(AF_INET, host, b) != 1) {
        return false;
    }
    return b[0] == 127 || b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
           (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) ||
           (b[0] == 100 && (b[1] & 0xc0) == 64);
}

static bool is_own_name(const api *a, const char *host) {
    size_t n = strlen(host);
    if (n > 10 && strcmp(host + n - 10, ".localhost") == 0) return true;
    for (char **p = a->hosts; *p; p++)
        if (strcmp(*p, host) == 0) return true;
    return false;
}

/* ---- Host and Origin ---- */

static bool host_ok(const api *a, http_exchange *x, api_error *e) {
    const char *given = http_header(x, "host");
    char host[256], shown[120];
    if (!given || !*given) return true; /* HTTP/1.0: no browser */
    if (host_of(str_of(given), host, sizeof host) && (is_address(host) || is_own_name(a, host)))
        return true;
    return api_fail(e, 403, "host_not_allowed", NULL,
                    "this server is not known as \"%s\": start it with --allow-host to allow that",
                    str_printable(str_of(given), shown, sizeof shown));
}

static bool origin_ok(const api *a, http_exchange *x, const char *origin) {
    for (char **p = a->hosts; *p; p++)
        if (strstr(*p, "://") && strcasecmp(*p, origin) == 0) return true;
    const char *rest = strstr(origin, "://");
    if (!rest || (strncmp(origin, "http://", 7) != 0 && strncmp(origin, "https://", 8) != 0))
        return false;
    char host[256], own[256];
    if (!host_of(str_of(rest + 3), host, sizeof host)) return false;
    if (is_own_name(a, host) || is_near_address(host)) return true;
    const char *given = http_header(x, "host");
    return given && host_of(str_of(given), own, sizeof own) && strcmp(host, own) == 0;
}

bool access_place_ok(api *a, http_exchange *x, api_error *e) {
    if (!host_ok(a, x, e)) return false;
    const char *origin = http_header(x, "origin"), *site = http_header(x, "sec-fetch-site");
    char shown[120];
    if (!origin) {
        if (!site || strcmp(site, "cross-site") != 0) return true;
        return api_fail(e, 403, "origin_not_allowed", NULL,
                        "a page of another site may not ask this server");
    }
    if (!origin_ok(a, x, origin))
        return api_fail(e, 403, "origin_not_allowed", NULL,
                        "pages of \"%s\" may not ask this server: start it with --allow-host to "
                        "allow them",
                        str_printable(str_of(origin), shown, sizeof shown));
    http_set_header(x, "Access-Control-Allow-Origin", origin);
    http_set_header(x, "Access-Control-Expose-Headers",
                    "x-request-id, retry-after, x-hearth-energy");
    http_set_header(x, "Vary", "Origin");
    return true;
}

/* ---- keys ---- */

/* The password of "Basic <base64 of name:password>", which is how browsers say it; into dst. */
static str password_of(str given, char *dst, size_t cap) {
    size_t n = 0;
    if (sodium_base642bin((unsigned char *)dst, cap, given.p, given.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return (str){0};
    size_t colon = str_find((str){dst, n}, STR(":"), 0);
    return colon == (size_t)-1 ? (str){0} : (str){dst + colon + 1, n - colon - 1};
}

#define PASSWORD_BYTES 256

/* The credential that a request carries, whichever way. False: two that differ. */
static bool credential_of(http_exchange *x, char basic[PASSWORD_BYTES], str *out) {
    static const char *const names[] = {"authorization", "x-api-key", "api-key"};
    *out = (str){0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = http_header(x, names[i]);
        if (!value) continue;
        str s = str_trim(str_of(value));
        if (i == 0 && s.n > 6 && strncasecmp(s.p, "basic ", 6) == 0) {
            s = password_of(str_trim((str){s.p + 6, s.n - 6}), basic, PASSWORD_BYTES);
        } else if (i == 0) {
            if (s.n < 7 || strncasecmp(s.p, "bearer ", 7) != 0) continue;
            s = str_trim((str){s.p + 7, s.n - 7});
        }
        if (!s.n) continue;
        if (out->n && !str_eq(*out, s)) return false;
        *out = s;
    }
    return true;
}

/* From this machine, and not passed on by a proxy that speaks for somebody else. */
static bool is_here(http_exchange *x) {
    return http_peer_is_local(x) && !http_header(x, "x-forwarded-for") &&
           !http_header(x, "forwarded") && !http_header(x, "x-real-ip");
}

bool access_key(api *a, http_exchange *x, api_needs needs, store_key *out, api_error *e) {
    str given;
    char basic[PASSWORD_BYTES];
    if (needs == API_OPEN) {
        store_key_local(out);
        return true;
    }
    if (!credential_of(x, basic, &given))
        return api_fail(e, 401, "invalid_api_key", NULL, "the request carries two different keys");
    bool has_key = given.n > 0 && store_key_check(a->store, given, out);
    if (!has_key) {
        /* Clients that must send something send anything; what looks like a key must be one. */
        bool looks = str_starts(given, STR("hk-"));
        if (looks || a->require_key || !is_here(x))
            return api_fail(e, 401, "invalid_api_key", NULL,
                            given.n ? "this key is not known here, was revoked, or has expired"
                                    : "a key is needed: hearth key create NAME makes one");
        store_key_local(out);
    }
    if (needs != API_ADMIN || (has_key && out->admin)) return true;
    if (!has_key && !store_keys_exist(a->store)) return true;
    return api_fail(e, 403, "admin_key_needed", NULL, "this needs a key for administration");
}
