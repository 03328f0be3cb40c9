#include "hub/manifest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/jsonw.h"
#include "base/limits.h"

#define PREFIX "application/vnd.ollama.image."

static const struct {
    hub_layer_kind kind;
    const char *media;
} kinds[] = {
    {HUB_LAYER_MODEL, PREFIX "model"},
    {HUB_LAYER_PROJECTOR, PREFIX "projector"},
    {HUB_LAYER_ADAPTER, PREFIX "adapter"},
    {HUB_LAYER_DRAFT, PREFIX "draft"},
    {HUB_LAYER_TEMPLATE, PREFIX "template"},
    {HUB_LAYER_TEMPLATE, PREFIX "prompt"},
    {HUB_LAYER_SYSTEM, PREFIX "system"},
    {HUB_LAYER_PARAMS, PREFIX "params"},
    {HUB_LAYER_MESSAGES, PREFIX "messages"},
    {HUB_LAYER_LICENSE, PREFIX "license"},
    {HUB_LAYER_TENSOR, PREFIX "tensor"},
    {HUB_LAYER_TENSOR, PREFIX "json"},
    {HUB_LAYER_CONFIG, "application/vnd.docker.container.image.v1+json"},
};

const char *hub_layer_media(hub_layer_kind kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind) return kinds[i].media;
    return "application/octet-stream";
}

static hub_layer_kind kind_of(const char *media) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].media, media) == 0) return kinds[i].kind;
    return HUB_LAYER_OTHER;
}

/* One {"mediaType", "digest", "size"}. Other keys (a path on the maker's machine, a tensor's name)
 * are not looked at: a name from outside never becomes a name here. */
static bool layer_read(hub_layer *l, const json_t *o, const char *where, err *e) {
    const char *media = json_string_value(json_object_get(o, "mediaType"));
    const json_t *digest = json_object_get(o, "digest"), *size = json_object_get(o, "size");
    err why = {0};
    *l = (hub_layer){0};
    if (!json_is_object(o)) return err_set(e, ERR_DAMAGED, "manifest: %s is no object", where);
    if (media && strlen(media) >= sizeof l->media)
        return err_set(e, ERR_DAMAGED, "manifest: %s has a mediaType that is too long", where);
    if (!json_is_string(digest) ||
        !hub_digest_parse(&l->digest, (str){json_string_value(digest), json_string_length(digest)},
                          &why))
        return err_set(e, ERR_DAMAGED, "manifest: %s: %s", where,
                       why.code ? why.msg : "it has no digest");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return err_set(e, ERR_DAMAGED, "manifest: %s has no size", where);
    snprintf(l->media, sizeof l->media, "%s", media ? media : "");
    l->kind = kind_of(l->media);
    l->size = (uint64_t)json_integer_value(size);
    return true;
}

static bool layers_read(hub_manifest *m, const json_t *list, err *e) {
    size_t n = json_array_size(list);
    if (!json_is_array(list)) return err_set(e, ERR_DAMAGED, "manifest: it has no list of layers");
    if (n > LIMIT_MANIFEST_LAYERS)
        return err_set(e, ERR_DAMAGED, "manifest: %zu layers; at most %d are taken", n,
                       LIMIT_MANIFEST_LAYERS);
    m->layer = calloc(n + 1, sizeof *m->layer);
    if (!m->layer) return err_set(e, ERR_NO_FIT, "out of memory");
    for (; m->n < n; m->n++) {
        char where[40];
        snprintf(where, sizeof where, "layer %zu", m->n);
        if (!layer_read(&m->layer[m->n], json_array_get(list, m->n), where, e)) return false;
        if (!add_u64(m->bytes, m->layer[m->n].size, &m->bytes))
            return err_set(e, ERR_DAMAGED, "manifest: its sizes overflow");
    }
    return true;
}

bool hub_manifest_parse(hub_manifest *m, str text, err *e) {
    json_error_t why;
    char shown[160];
    *m = (hub_manifest){0};
    if (text.n > LIMIT_MANIFEST_BYTES)
        return err_set(e, ERR_DAMAGED, "manifest: %zu bytes; at most %d are read", text.n,
                       LIMIT_MANIFEST_BYTES);
    json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return err_set(e, ERR_DAMAGED, "manifest: not JSON: %s, line %d",
                       str_printable(str_of(why.text), shown, sizeof shown), why.line);
    bool ok = false;
    const json_t *config = json_object_get(root, "config");
    if (json_integer_value(json_object_get(root, "schemaVersion")) != 2)
        err_set(e, ERR_DAMAGED, "manifest: schemaVersion is not 2");
    else if (json_object_get(root, "manifests"))
        err_set(e, ERR_DAMAGED, "manifest: a list of manifests, not one");
    else ok = layers_read(m, json_object_get(root, "layers"), e);
    if (ok && config && !json_is_null(config)) {
        ok = layer_read(&m->config, config, "config", e) &&
             (add_u64(m->bytes, m->config.size, &m->bytes) ||
              err_set(e, ERR_DAMAGED, "manifest: its sizes overflow"));
        m->config.kind = HUB_LAYER_CONFIG;
    }
    if (ok) hub_digest_of(&m->id, text.p, text.n);
    else hub_manifest_deinit(m);
    json_decref(root);
    return ok;
}

void hub_manifest_deinit(hub_manifest *m) {
    free(m->layer);
    *m = (hub_manifest){0};
}

const hub_layer *hub_manifest_layer(const hub_manifest *m, hub_layer_kind kind, size_t i) {
    for (size_t k = 0; k < m->n; k++)
        if (m->layer[k].kind == kind && i-- == 0) return &m->layer[k];
    return NULL;
}

bool hub_manifest_add(hub_manifest *m, hub_layer_kind kind, const hub_digest *d, uint64_t size,
                      err *e) {
    hub_layer *more = m->n < LIMIT_MANIFEST_LAYERS ? realloc(m->layer, (m->n + 1) * sizeof *more)
                                                   : NULL;
    if (!more) return err_set(e, ERR_NO_FIT, "a manifest of too many layers");
    m->layer = more;
    hub_layer *l = &m->layer[m->n++];
    *l = (hub_layer){.kind = kind, .digest = *d, .size = size};
    snprintf(l->media, sizeof l->media, "%s", hub_layer_media(kind));
    m->bytes += size;
    return true;
}

void hub_manifest_set_config(hub_manifest *m, const hub_digest *d, uint64_t size) {
    m->bytes += size - m->config.size;
    m->config = (hub_layer){.kind = HUB_LAYER_CONFIG, .digest = *d, .size = size};
    snprintf(m->config.media, sizeof m->config.media, "%s", hub_layer_media(HUB_LAYER_CONFIG));
}

static void layer_write(jsonw *w, const hub_layer *l) {
    char text[HUB_DIGEST_BYTES];
    jsonw_object(w);
    jsonw_key(w, "mediaType"), jsonw_str(w, str_of(l->media));
    jsonw_key(w, "digest"), jsonw_str(w, str_of(hub_digest_text(&l->digest, text)));
    jsonw_key(w, "size"), jsonw_uint(w, l->size);
    jsonw_end(w);
}

void hub_manifest_write(buf *out, const hub_manifest *m) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "schemaVersion"), jsonw_int(&w, 2);
    jsonw_key(&w, "mediaType");
    jsonw_str(&w, STR("application/vnd.docker.distribution.manifest.v2+json"));
    if (m->config.digest.hex[0]) {
        jsonw_key(&w, "config");
        layer_write(&w, &m->config);
    }
    jsonw_key(&w, "layers");
    jsonw_array(&w);
    for (size_t i = 0; i < m->n; i++) layer_write(&w, &m->layer[i]);
    jsonw_end(&w);
    jsonw_end(&w);
}
