/* Where models come from: the one table of hosts that Hearth knows by name. A name with another
 * host in it is a registry of Ollama's kind at that host. Any thread; no state.
 *
 *     char base[HUB_BASE_BYTES];
 *     const hub_source *s = hub_source_of(&name);
 *     if (!hub_source_base(s, &name, insecure, base, &e)) ...
 */
#ifndef HEARTH_HUB_SOURCES_H
#define HEARTH_HUB_SOURCES_H

#include "hub/names.h"

typedef enum hub_protocol {
    HUB_PROTOCOL_REGISTRY, /* manifests and blobs: /v2/... */
    HUB_PROTOCOL_HUGGING_FACE
} hub_protocol;

typedef struct hub_source {
    const char *host; /* as in names; NULL: every other one */
    hub_protocol protocol;
    const char *base;     /* NULL: https:// and the host */
    const char *base_env; /* a variable that names another base, for mirrors; NULL: none */
    const char *search;   /* path of its search, to be followed by the words; NULL: it has none */
} hub_source;

extern const hub_source hub_sources[]; /* the last one has host NULL */

const hub_source *hub_source_of(const hub_name *n);
/* "https://host". ERR_DENIED: http without insecure. */
#define HUB_BASE_BYTES 300
bool hub_source_base(const hub_source *s, const hub_name *n, bool insecure,
                     char base[HUB_BASE_BYTES], err *e);
/* What is sent as Authorization there, "" for nothing: of Hugging Face HF_TOKEN, or the file that
 * its own programs keep; of registries what HEARTH_REGISTRY_AUTH says, "host=user:password", as
 * Basic. */
#define HUB_SECRET_BYTES 600
void hub_source_secret(const hub_source *s, const hub_name *n, char secret[HUB_SECRET_BYTES]);

#endif
