/* Manifests: the list of blobs that make a model, in the JSON of Ollama's registry (a Docker image
 * manifest, version 2). The bytes of one that came from elsewhere are kept as they are: their
 * SHA-256 is the model's ID. Any thread; no state.
 *
 *     hub_manifest m;
 *     if (!hub_manifest_parse(&m, text, &e)) ...
 *     const hub_layer *w = hub_manifest_layer(&m, HUB_LAYER_MODEL, 0);
 *     hub_manifest_deinit(&m);
 */
#ifndef HEARTH_HUB_MANIFEST_H
#define HEARTH_HUB_MANIFEST_H

#include "base/buf.h"
#include "hub/digest.h"

typedef enum hub_layer_kind {
    HUB_LAYER_MODEL, /* GGUF; several: the parts of a split model, in order */
    HUB_LAYER_PROJECTOR,
    HUB_LAYER_ADAPTER, /* LoRA in GGUF; may repeat */
    HUB_LAYER_DRAFT,
    HUB_LAYER_TEMPLATE,
    HUB_LAYER_SYSTEM,
    HUB_LAYER_PARAMS,   /* JSON object */
    HUB_LAYER_MESSAGES, /* JSON array */
    HUB_LAYER_LICENSE,  /* may repeat */
    HUB_LAYER_TENSOR,   /* safetensors: not for Hearth */
    HUB_LAYER_OTHER,
    HUB_LAYER_CONFIG
} hub_layer_kind;

typedef struct hub_layer {
    hub_layer_kind kind;
    char media[96]; /* media type */
    hub_digest digest;
    uint64_t size; /* bytes */
} hub_layer;

typedef struct hub_manifest {
    hub_layer config; /* digest empty: none */
    hub_layer *layer; /* [n]; owned */
    size_t n;
    hub_digest id;  /* SHA-256 of the bytes it was parsed from; empty for one that was built */
    uint64_t bytes; /* of all layers and the config */
} hub_manifest;

/* ERR_DAMAGED says what is wrong. */
bool hub_manifest_parse(hub_manifest *m, str json, err *e);
void hub_manifest_deinit(hub_manifest *m);
/* The i-th of a kind; NULL: there are not so many. */
const hub_layer *hub_manifest_layer(const hub_manifest *m, hub_layer_kind kind, size_t i);
/* For one that is built: zero it, add layers, write it. */
bool hub_manifest_add(hub_manifest *m, hub_layer_kind kind, const hub_digest *d, uint64_t size,
                      err *e);
void hub_manifest_set_config(hub_manifest *m, const hub_digest *d, uint64_t size);
void hub_manifest_write(buf *out, const hub_manifest *m);
const char *hub_layer_media(hub_layer_kind kind); /* its media type */

#endif
