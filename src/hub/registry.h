/* A registry of Ollama's kind (Docker's, version 2): manifests and blobs over HTTP, tokens where it
 * asks for them. A token is asked for only at the registry's own origin, and sent nowhere else. One
 * thread, but for hub_registry_renew.
 *
 *     hub_registry r;
 *     if (!hub_registry_open(&r, &wire, &name, &e)) ...
 *     if (!hub_registry_manifest(&r, &bytes, &e)) ...
 *     hub_registry_blob_url(&r, &digest, &url);
 *     hub_registry_close(&r);
 */
#ifndef HEARTH_HUB_REGISTRY_H
#define HEARTH_HUB_REGISTRY_H

#include "hub/manifest.h"
#include "hub/names.h"
#include "hub/store.h"
#include "hub/wire.h"

typedef struct hub_registry {
    hub_wire *w;
    hub_name name;
    char base[300];      /* "https://host" */
    char shown[700];     /* of messages */
    char basic[600];     /* "Basic ...", what we can prove ourselves by; "": nothing */
    char secret[2048];   /* the Authorization in force; "": none */
    const char *actions; /* "pull", or "pull,push" */
} hub_registry;

bool hub_registry_open(hub_registry *r, hub_wire *w, const hub_name *n, err *e);
/* The manifest's bytes. */
bool hub_registry_manifest(hub_registry *r, buf *out, err *e);
void hub_registry_blob_url(const hub_registry *r, const hub_digest *d, buf *address);
/* Another token, as the challenge of a blob's 401 says: for hub_want.renew, with a hub_registry as
 * ud. It uses the registry's own client, so only while its owner waits. */
bool hub_registry_renew(void *ud, const char *challenge, char secret[2048], err *e);

/* Sends what the registry lacks of the model, then its manifest. */
bool hub_registry_push(hub_registry *r, hub_store *s, str manifest, err *e);

/* "Bearer realm="..",service="..",scope=".."": the address to ask for a token. Refused when realm
 * is not of the same origin as base. */
bool hub_challenge_url(buf *address, str challenge, const char *base, const char *scope, err *e);

#endif
