/* Asking a registry: challenges and tokens, manifests, where blobs are. */
#include "hub/registry.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "base/limits.h"
#include "hub/sources.h"
#include "net/url.h"

#define MANIFEST_TYPES                                                                             \
    "Accept: application/vnd.docker.distribution.manifest.v2+json, "                               \
    "application/vnd.oci.image.manifest.v1+json"

/* A host that was named without "http://" may speak nothing else: where that is allowed it is tried
 * once TLS is not spoken there, as `insecure` means to Ollama's programs. */
static void find_scheme(hub_registry *r) {
    char address[HUB_BASE_BYTES + 8];
    http_answer a;
    snprintf(address, sizeof address, "%s/v2/", r->base);
    http_ask q = {.url = address};
    bool answered = http_client_fetch(r->w->client, &q, &a, NULL);
    http_answer_deinit(&a);
    if (answered || hub_wire_stopped(r->w)) return;
    memmove(r->base + 7, r->base + 8, strlen(r->base + 8) + 1);
    memcpy(r->base, "http://", 7);
}

bool hub_registry_open(hub_registry *r, hub_wire *w, const hub_name *n, err *e) {
    *r = (hub_registry){.w = w, .name = *n, .actions = "pull"};
    const hub_source *s = hub_source_of(n);
    if (!hub_source_base(s, n, w->o.insecure, r->base, e)) return false;
    hub_source_secret(s, n, r->basic);
    hub_name_show(n, r->shown);
    if (w->o.insecure && !s->host && strncmp(r->base, "https://", 8) == 0) find_scheme(r);
    return true;
}

/* ---- challenges ---- */

/* One name="value" of a challenge; the rest stays in *at. */
static bool parameter(str *at, str *name, str *value, buf *store) {
    while (at->n > 0 && (*at->p == ' ' || *at->p == ',' || *at->p == '\t')) at->p++, at->n--;
    size_t n = 0;
    while (n < at->n && (isalnum((unsigned char)at->p[n]) || at->p[n] == '_' || at->p[n] == '-'))
        n++;
    if (n == 0 || n >= at->n || at->p[n] != '=') return false;
    *name = (str){at->p, n};
    at->p += n + 1, at->n -= n + 1;
    buf_clear(store);
    if (at->n > 0 && *at->p == '"') {
        size_t i = 1;
        for (; i < at->n && at->p[i] != '"'; i++) {
            if (at->p[i] == '\\' && i + 1 < at->n) i++;
            buf_putc(store, at->p[i]);
        }
        if (i >= at->n) return false;
        i++;
        at->p += i, at->n -= i;
    } else {
        size_t i = 0;
        while (i < at->n && at->p[i] != ',' && at->p[i] != ' ') buf_putc(store, at->p[i++]);
        at->p += i, at->n -= i;
    }
    *value = buf_str(store);
    return !store->failed;
}

static void query_add(buf *address, const char *name, str value) {
    buf_putc(address, memchr(address->data, '?', address->len) ? '&' : '?');
    buf_puts(address, name);
    buf_putc(address, '=');
    url_quote(address, value);
}

static bool same_origin(const char *realm, const char *base, err *e) {
    url a = {0}, b = {0};
    bool ok = url_parse(&a, realm, e) && url_parse(&b, base, e);
    if (ok && !url_same_origin(&a, &b))
        ok = err_set(e, ERR_DENIED,
                     "%s wants its tokens fetched from %s: a token is only asked for at the "
                     "registry itself",
                     base, a.host);
    url_deinit(&a);
    url_deinit(&b);
    return ok;
}

bool hub_challenge_url(buf *address, str challenge, const char *base, const char *scope, err *e) {
    buf value, realm, service;
    str name, v;
    buf_init(&value, LIMIT_HTTP_URI);
    buf_init(&realm, LIMIT_HTTP_URI);
    buf_init(&service, LIMIT_HTTP_URI);
    challenge = str_trim(challenge);
    bool ok = challenge.n > 7 && strncasecmp(challenge.p, "Bearer ", 7) == 0;
    str at = ok ? (str){challenge.p + 7, challenge.n - 7} : (str){"", 0};
    while (parameter(&at, &name, &v, &value)) {
        if (str_eq(name, STR("realm")) && realm.len == 0) buf_put_str(&realm, v);
        if (str_eq(name, STR("service")) && service.len == 0) buf_put_str(&service, v);
    }
    ok = ok && realm.len > 0 && !realm.failed && !memchr(realm.data, 0, realm.len);
    if (!ok) err_set(e, ERR_DENIED, "%s asks for a proof of a kind that is not known here", base);
    ok = ok && same_origin(realm.data, base, e);
    if (ok) {
        buf_put_str(address, buf_str(&realm));
        if (service.len > 0) query_add(address, "service", buf_str(&service));
        query_add(address, "scope", str_of(scope));
        ok = !address->failed || err_set(e, ERR_DENIED, "%s: its challenge is too long", base);
    }
    buf_deinit(&value);
    buf_deinit(&realm);
    buf_deinit(&service);
    return ok;
}

static bool take_token(hub_registry *r, const http_answer *a, err *e) {
    json_t *j = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
    const char *token = json_string_value(json_object_get(j, "token"));
    if (!token) token = json_string_value(json_object_get(j, "access_token"));
    bool ok = token && *token && strlen(token) < sizeof r->secret - 16;
    for (const char *p = token; ok && *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f) ok = false;
    if (ok) snprintf(r->secret, sizeof r->secret, "Bearer %.2000s", token);
    json_decref(j);
    return ok ||
           err_set(e, ERR_DENIED, "%s: the registry gives no token that could be used", r->shown);
}

/* What to send after a 401 with this challenge (NULL: it had none); r->secret is it. */
static bool answer_challenge(hub_registry *r, const char *challenge, err *e) {
    if (challenge && strncasecmp(challenge, "Basic", 5) == 0 && r->basic[0]) {
        snprintf(r->secret, sizeof r->secret, "%s", r->basic);
        return true;
    }
    buf address;
    char scope[400];
    http_answer a;
    snprintf(scope, sizeof scope, "repository:%s/%s:%s", r->name.ns, r->name.model, r->actions);
    buf_init(&address, LIMIT_HTTP_URI);
    bool ok = hub_challenge_url(&address, str_of(challenge ? challenge : ""), r->base, scope, e);
    if (ok) {
        http_ask q = {.url = address.data, .authorization = r->basic[0] ? r->basic : NULL};
        ok = hub_wire_ask(r->w, &q, &a, e);
        if (ok && a.status != 200) ok = hub_wire_refused(&a, r->shown, e);
        ok = ok && take_token(r, &a, e);
        http_answer_deinit(&a);
    }
    buf_deinit(&address);
    return ok;
}

/* A question with the token in force; another one is fetched once where it is refused. */
static bool ask(hub_registry *r, http_ask *q, http_answer *a, err *e) {
    for (int i = 0;; i++) {
        q->authorization = r->secret[0] ? r->secret : NULL;
        if (!hub_wire_ask(r->w, q, a, e)) return false;
        if (a->status != 401 || i > 0) return true;
        const char *header = http_answer_header(a, "www-authenticate");
        char challenge[2048];
        snprintf(challenge, sizeof challenge, "%s", header ? header : "");
        if (!header) return true;
        http_answer_deinit(a);
        if (!answer_challenge(r, challenge, e)) return false;
    }
}

bool hub_registry_renew(void *ud, const char *challenge, char secret[2048], err *e) {
    hub_registry *r = ud;
    if (!answer_challenge(r, challenge, e)) return false;
    memcpy(secret, r->secret, sizeof r->secret);
    return true;
}

/* ---- reading ---- */

bool hub_registry_manifest(hub_registry *r, buf *out, err *e) {
    buf address;
    http_answer a;
    buf_init(&address, LIMIT_HTTP_URI);
    buf_printf(&address, "%s/v2/%s/%s/manifests/%s", r->base, r->name.ns, r->name.model,
               r->name.tag);
    static const char *const accept[] = {MANIFEST_TYPES, NULL};
    http_ask q = {.url = address.data, .header = accept, .max_bytes = LIMIT_JSON_BYTES};
    bool ok = ask(r, &q, &a, e);
    if (ok && a.status == 404)
        ok = err_set(e, ERR_NOT_FOUND, "%s: there is no such model at %s", r->shown, r->base);
    else if (ok && a.status != 200) ok = hub_wire_refused(&a, r->shown, e);
    if (ok) {
        buf_put_str(out, buf_str(&a.body));
        ok = !out->failed || err_set(e, ERR_DAMAGED, "%s: its manifest is longer than %zu KB",
                                     r->shown, out->max >> 10);
    }
    http_answer_deinit(&a);
    buf_deinit(&address);
    return ok;
}

void hub_registry_blob_url(const hub_registry *r, const hub_digest *d, buf *address) {
    char text[HUB_DIGEST_BYTES];
    buf_printf(address, "%s/v2/%s/%s/blobs/%s", r->base, r->name.ns, r->name.model,
               hub_digest_text(d, text));
}

/* ---- writing ---- */

typedef struct sending {
    int fd;
    err *e;
} sending;

static size_t send_piece(void *ud, uint64_t at, char *p, size_t n) {
    sending *s = ud;
    ssize_t k = pread(s->fd, p, n, (off_t)at);
    if (k <= 0) err_set(s->e, ERR_FAILED, "a blob cannot be read");
    return k > 0 ? (size_t)k : 0;
}

/* Whether the registry has the blob. */
static bool has_blob(hub_registry *r, const hub_digest *d, bool *there, err *e) {
    buf address;
    http_answer a;
    buf_init(&address, LIMIT_HTTP_URI);
    hub_registry_blob_url(r, d, &address);
    http_ask q = {.url = address.data, .method = "HEAD"};
    bool ok = ask(r, &q, &a, e);
    *there = ok && a.status == 200;
    if (ok && a.status != 200 && a.status != 404) ok = hub_wire_refused(&a, r->shown, e);
    http_answer_deinit(&a);
    buf_deinit(&address);
    return ok;
}

/* Where the blob is to be put: the Location of a new upload. */
static bool begin_upload(hub_registry *r, const hub_digest *d, buf *to, err *e) {
    buf path;
    http_answer a;
    url base, at;
    char text[HUB_DIGEST_BYTES];
    buf_init(&path, LIMIT_HTTP_URI);
    buf_printf(&path, "%s/v2/%s/%s/blobs/uploads/", r->base, r->name.ns, r->name.model);
    http_ask q = {.url = path.data, .method = "POST"};
    bool ok = ask(r, &q, &a, e);
    const char *where = ok ? http_answer_header(&a, "location") : NULL;
    if (ok && a.status != 202) ok = hub_wire_refused(&a, r->shown, e);
    if (ok && !where)
        ok = err_set(e, ERR_DAMAGED, "%s: the registry does not say where to", r->shown);
    if (ok && (ok = url_parse(&base, r->base, e))) {
        ok = url_join(&at, &base, where, e);
        if (ok && url_is_secure(&base) && !url_is_secure(&at))
            ok = err_set(e, ERR_DENIED, "%s: the registry wants the upload over plain http",
                         r->shown);
        if (ok) {
            buf_puts(to, at.text);
            query_add(to, "digest", str_of(hub_digest_text(d, text)));
        }
        if (at.text) url_deinit(&at);
        url_deinit(&base);
    }
    http_answer_deinit(&a);
    buf_deinit(&path);
    return ok;
}

static bool push_blob(hub_registry *r, hub_store *s, const hub_layer *l, err *e) {
    bool there;
    uint64_t size;
    hub_event x = {
        .kind = HUB_EVENT_BLOB, .text = "pushing", .digest = l->digest, .total = l->size};
    if (!has_blob(r, &l->digest, &there, e)) return false;
    buf to;
    buf_init(&to, LIMIT_HTTP_URI);
    sending from = {.fd = -1, .e = e};
    bool ok = there;
    if (!there) {
        http_answer a = {0};
        from.fd = hub_store_blob(s, &l->digest, &size, e);
        ok = from.fd >= 0 && begin_upload(r, &l->digest, &to, e);
        if (ok) {
            if (r->w->o.event) r->w->o.event(r->w->o.ud, &x);
            url target = {0}, base = {0};
            bool home = url_parse(&target, to.data, e) && url_parse(&base, r->base, e) &&
                        url_same_origin(&target, &base);
            http_ask q = {.url = to.data,
                          .method = "PUT",
                          .authorization = home && r->secret[0] ? r->secret : NULL,
                          .send = send_piece,
                          .sends = true,
                          .send_bytes = size,
                          .ud = &from};
            ok = http_client_fetch(r->w->client, &q, &a, e);
            if (ok && a.status != 201 && a.status != 204) ok = hub_wire_refused(&a, r->shown, e);
            http_answer_deinit(&a);
            url_deinit(&target);
            url_deinit(&base);
        }
    }
    if (from.fd >= 0) close(from.fd);
    buf_deinit(&to);
    x.completed = x.total;
    x.resumed = there ? x.total : 0;
    x.verified = true;
    if (ok && r->w->o.event) r->w->o.event(r->w->o.ud, &x);
    return ok;
}

bool hub_registry_push(hub_registry *r, hub_store *s, str manifest, err *e) {
    hub_manifest m;
    buf address;
    http_answer a;
    r->actions = "pull,push";
    if (!hub_manifest_parse(&m, manifest, e)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < m.n; i++) ok = push_blob(r, s, &m.layer[i], e);
    if (ok && m.config.digest.hex[0]) ok = push_blob(r, s, &m.config, e);
    hub_manifest_deinit(&m);
    if (!ok) return false;
    hub_wire_status(r->w, "pushing manifest");
    buf_init(&address, LIMIT_HTTP_URI);
    buf_printf(&address, "%s/v2/%s/%s/manifests/%s", r->base, r->name.ns, r->name.model,
               r->name.tag);
    http_ask q = {.url = address.data,
                  .method = "PUT",
                  .content_type = "application/vnd.docker.distribution.manifest.v2+json",
                  .body = manifest};
    ok = ask(r, &q, &a, e);
    if (ok && a.status != 201 && a.status != 200 && a.status != 204)
        ok = hub_wire_refused(&a, r->shown, e);
    http_answer_deinit(&a);
    buf_deinit(&address);
    return ok;
}
