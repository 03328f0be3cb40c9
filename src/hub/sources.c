/* The table of sources. */
#include "hub/sources.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

const hub_source hub_sources[] = {
    {HUB_REGISTRY, HUB_PROTOCOL_REGISTRY, NULL, NULL, NULL},
    {HUB_HUGGING_FACE, HUB_PROTOCOL_HUGGING_FACE, "https://huggingface.co", "HF_ENDPOINT",
     "/api/models?filter=gguf&sort=downloads&limit=20&search="},
    {NULL, HUB_PROTOCOL_REGISTRY, NULL, NULL, NULL},
};

const hub_source *hub_source_of(const hub_name *n) {
    const hub_source *s = hub_sources;
    while (s->host && strcmp(s->host, n->host) != 0) s++;
    return s;
}

bool hub_source_base(const hub_source *s, const hub_name *n, bool insecure,
                     char base[HUB_BASE_BYTES], err *e) {
    const char *env = s->base_env ? getenv(s->base_env) : NULL;
    if (env && *env) {
        size_t len = strlen(env);
        while (len > 0 && env[len - 1] == '/') len--;
        if (len >= HUB_BASE_BYTES) return err_set(e, ERR_USAGE, "%s is too long", s->base_env);
        memcpy(base, env, len);
        base[len] = 0;
    } else if (s->base) {
        snprintf(base, HUB_BASE_BYTES, "%s", s->base);
    } else {
        snprintf(base, HUB_BASE_BYTES, "http%s://%s", n->http ? "" : "s", n->host);
    }
    if (strncmp(base, "http://", 7) == 0 && !insecure)
        return err_set(e, ERR_DENIED,
                       "%s speaks plain http, where anybody between can change what comes: "
                       "--insecure allows it",
                       base);
    return true;
}

/* ---- secrets ---- */

/* The token that Hugging Face's own programs have stored. */
static void stored_token(buf *b) {
    const char *path = getenv("HF_TOKEN_PATH"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    const char *cache = getenv("XDG_CACHE_HOME");
    char at[4096];
    if (path && *path) snprintf(at, sizeof at, "%s", path);
    else if (home && *home) snprintf(at, sizeof at, "%s/token", home);
    else if (cache && *cache == '/') snprintf(at, sizeof at, "%s/huggingface/token", cache);
    else if (user && *user) snprintf(at, sizeof at, "%s/.cache/huggingface/token", user);
    else return;
    err e = {0};
    if (!file_read(b, at, &e)) buf_clear(b);
}

static void hugging_face(char *secret) {
    const char *env = getenv("HF_TOKEN");
    buf b;
    buf_init(&b, 500);
    if (env && *env) buf_puts(&b, env);
    else stored_token(&b);
    str token = str_trim(buf_str(&b));
    if (!b.failed && token.n > 0) snprintf(secret, HUB_SECRET_BYTES, "Bearer %.*s", STR_ARG(token));
    buf_deinit(&b);
}

static void registry(const hub_name *n, char *secret) {
    const char *env = getenv("HEARTH_REGISTRY_AUTH");
    const char *equals = env ? strchr(env, '=') : NULL;
    if (!equals || (size_t)(equals - env) != strlen(n->host) ||
        strncmp(env, n->host, strlen(n->host)) != 0)
        return;
    size_t len = strlen(equals + 1);
    unsigned char coded[HUB_SECRET_BYTES];
    if (len == 0 || len > 400) return;
    EVP_EncodeBlock(coded, (const unsigned char *)equals + 1, (int)len);
    snprintf(secret, HUB_SECRET_BYTES, "Basic %.580s", (const char *)coded);
}

void hub_source_secret(const hub_source *s, const hub_name *n, char secret[HUB_SECRET_BYTES]) {
    secret[0] = 0;
    if (s->protocol == HUB_PROTOCOL_HUGGING_FACE) hugging_face(secret);
    else registry(n, secret);
}
