/* Sending models, and newer versions of them. */
#include "hub/pull_private.h"

#include <jansson.h>
#include <stdlib.h>

bool hub_push(hub_store *s, const char *name, const hub_wire_options *o, err *e) {
    hub_name n;
    hub_wire w;
    hub_registry r;
    buf manifest;
    if (!hub_name_parse_strict(&n, str_of(name), e)) return false;
    if (hub_source_of(&n)->protocol != HUB_PROTOCOL_REGISTRY)
        return err_set(e, ERR_USAGE,
                       "%.200s: Hugging Face takes models by git and its own programs; copy it to "
                       "the name of a registry first (hearth cp)",
                       name);
    if (!hub_store_existing(s, HUB_READY, &n))
        return err_set(e, ERR_NOT_FOUND, "%.200s: there is no such model here", name);
    if (!hub_wire_open(&w, o, e)) return false;
    buf_init(&manifest, (size_t)4 << 20);
    bool ok = hub_store_get(s, HUB_READY, &n, &manifest, e);
    if (ok) hub_wire_status(&w, "retrieving manifest");
    ok = ok && hub_registry_open(&r, &w, &n, e) && hub_registry_push(&r, s, buf_str(&manifest), e);
    if (ok) hub_wire_status(&w, "success");
    buf_deinit(&manifest);
    hub_wire_close(&w);
    return ok;
}

/* ---- newer versions ---- */

/* What to ask for, as the note of its origin says; "" : nobody knows. http: it came that way. */
static void origin_of(const hub_store *s, const hub_name *n, buf *text, bool *http) {
    char shown[HUB_NAME_BYTES];
    buf b;
    hub_name at = *n;
    buf_init(&b, 65536);
    *http = false;
    json_t *o = NULL;
    if (hub_store_get(s, HUB_ORIGIN, &at, &b, NULL)) o = json_loadb(b.data, b.len, 0, NULL);
    const char *kind = json_string_value(json_object_get(o, "kind"));
    const char *address = json_string_value(json_object_get(o, "address"));
    if (kind && strcmp(kind, "address") == 0 && address) {
        buf_puts(text, address);
    } else if (kind && (strcmp(kind, "registry") == 0 || strcmp(kind, "huggingface") == 0)) {
        *http = json_is_true(json_object_get(o, "http"));
        buf_printf(text, "%s%s", *http ? "http://" : "", hub_name_show(n, shown));
    }
    json_decref(o);
    buf_deinit(&b);
}

static bool look(hub_store *s, hub_errand *p, hub_newer *out, uint64_t *bytes, err *e) {
    if (!hub_errand_is_known(p)) { /* an address tells no digest: only fetching would */
        *out = HUB_NEWER_UNTOLD;
        return true;
    }
    if (!hub_errand_manifest(p, s, e)) return false;
    *out = hub_errand_is_there(p, s) ? HUB_NEWER_SAME : HUB_NEWER_YES;
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n; i++)
        if (!hub_store_has(s, &p->item[i].digest, p->item[i].size)) sum += p->item[i].size;
    if (bytes) *bytes = sum;
    return true;
}

bool hub_update_look(hub_store *s, const hub_name *n, const hub_wire_options *o, hub_newer *out,
                     uint64_t *bytes, err *e) {
    buf text;
    bool http;
    hub_wire w;
    hub_errand p;
    hub_wire_options quiet = *o;
    quiet.event = NULL;
    if (bytes) *bytes = 0;
    buf_init(&text, 8192);
    origin_of(s, n, &text, &http);
    *out = HUB_NEWER_UNKNOWN;
    if (text.len == 0 || text.failed) {
        buf_deinit(&text);
        return true;
    }
    bool ok = hub_wire_open(&w, &quiet, e);
    if (ok) {
        err why = {0};
        hub_pull_options how = {.wire = quiet};
        ok = hub_errand_make(&p, &w, text.data, &how, &why) && look(s, &p, out, bytes, &why);
        if (!ok && why.code == ERR_NOT_FOUND) {
            *out = HUB_NEWER_GONE;
            ok = true;
        } else if (!ok && e) {
            *e = why;
        }
        hub_errand_deinit(&p);
        hub_wire_close(&w);
    }
    buf_deinit(&text);
    return ok;
}

bool hub_update_name(hub_store *s, const hub_name *n, buf *out, err *e) {
    bool http;
    char shown[HUB_NAME_BYTES];
    origin_of(s, n, out, &http);
    return (out->len > 0 && !out->failed) ||
           err_set(e, ERR_USAGE, "%s was not fetched from anywhere that is known",
                   hub_name_show(n, shown));
}

static bool swap(hub_store *s, hub_name *n, err *e) {
    char shown[HUB_NAME_BYTES];
    buf now, before;
    buf_init(&now, (size_t)4 << 20);
    buf_init(&before, (size_t)4 << 20);
    hub_name there = *n;
    bool ok = hub_store_existing(s, HUB_READY, n) ||
              err_set(e, ERR_NOT_FOUND, "%s: there is no such model", hub_name_show(n, shown));
    ok = ok && (hub_store_existing(s, HUB_PREVIOUS, &there) ||
                err_set(e, ERR_NOT_FOUND, "%s: no version before this one is kept",
                        hub_name_show(n, shown)));
    ok = ok && hub_store_get(s, HUB_READY, n, &now, e) &&
         hub_store_get(s, HUB_PREVIOUS, &there, &before, e) &&
         hub_store_put(s, HUB_READY, n, buf_str(&before), e) &&
         hub_store_put(s, HUB_PREVIOUS, &there, buf_str(&now), e);
    buf_deinit(&now);
    buf_deinit(&before);
    return ok;
}

/* Between the two puts both areas name the version before, so a kill there loses the way back to
 * the newer one, and nothing else: its blobs stay until gc. */
bool hub_update_rollback(hub_store *s, const hub_name *n, err *e) {
    hub_name name = *n;
    if (!hub_store_lock(s, e)) return false;
    bool ok = swap(s, &name, e);
    hub_store_unlock(s);
    return ok;
}

bool hub_update_forget(hub_store *s, const hub_name *n, err *e) {
    hub_name there = *n;
    char shown[HUB_NAME_BYTES];
    if (!hub_store_existing(s, HUB_PREVIOUS, &there))
        return err_set(e, ERR_NOT_FOUND, "%s: no version before this one is kept",
                       hub_name_show(n, shown));
    return hub_store_remove(s, HUB_PREVIOUS, &there, e);
}
