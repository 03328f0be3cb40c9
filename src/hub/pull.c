/* Pulling: a plan of what is wanted and from where, then each blob, then the name. */
#include "hub/pull.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "gguf/gguf.h"
#include "hub/pull_private.h"
#include "model/model.h"

/* ---- the plan ---- */

void hub_errand_deinit(hub_errand *p) {
    for (size_t i = 0; i < p->n; i++) {
        free(p->item[i].address);
        free(p->item[i].what);
    }
    free(p->item);
    hub_manifest_deinit(&p->m);
    hub_repo_deinit(&p->repo);
    buf_deinit(&p->manifest);
    *p = (hub_errand){0};
}

static bool add_item(hub_errand *p, const char *address, const char *what, const hub_digest *d,
                     uint64_t size, err *e) {
    for (size_t i = 0; d && i < p->n; i++) /* the same blob twice: one licence for two parts */
        if (hub_digest_eq(&p->item[i].digest, d)) return true;
    hub_errand_item *more = realloc(p->item, (p->n + 1) * sizeof *more);
    if (more) p->item = more;
    hub_errand_item item = {.address = strdup(address), .what = strdup(what), .size = size};
    if (d) item.digest = *d;
    if (!more || !item.address || !item.what) {
        free(item.address);
        free(item.what);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    p->item[p->n++] = item;
    return true;
}

static bool add_layer(hub_errand *p, const hub_layer *l, err *e) {
    buf b;
    const char *dot = strrchr(l->media, '.');
    buf_init(&b, 8192);
    hub_registry_blob_url(&p->registry, &l->digest, &b);
    bool ok = (!b.failed || err_set(e, ERR_USAGE, "the address of a blob is too long")) &&
              add_item(p, b.data,
                       l->kind == HUB_LAYER_CONFIG ? "config"
                       : dot                       ? dot + 1
                                                   : "layer",
                       &l->digest, l->size, e);
    buf_deinit(&b);
    return ok;
}

static bool plan_registry(hub_errand *p, hub_wire *w, err *e) {
    if (!hub_registry_open(&p->registry, w, &p->name, e)) return false;
    hub_wire_status(w, "pulling manifest");
    if (!hub_registry_manifest(&p->registry, &p->manifest, e) ||
        !hub_manifest_parse(&p->m, buf_str(&p->manifest), e))
        return false;
    if (hub_manifest_layer(&p->m, HUB_LAYER_TENSOR, 0))
        return err_set(e, ERR_USAGE,
                       "%s is kept as safetensors, which Hearth does not run: look for the same "
                       "model as GGUF, for example at hf.co",
                       p->registry.shown);
    if (!hub_manifest_layer(&p->m, HUB_LAYER_MODEL, 0))
        return err_set(e, ERR_USAGE, "%s has no weights: it is no model that could be run here",
                       p->registry.shown);
    snprintf(p->secret, sizeof p->secret, "%s", p->registry.secret);
    /* the config says of what kind the weights are: first, before they are fetched in vain */
    if (p->m.config.digest.hex[0] && !add_layer(p, &p->m.config, e)) return false;
    for (size_t i = 0; i < p->m.n; i++)
        if (!add_layer(p, &p->m.layer[i], e)) return false;
    return true;
}

/* What a person can do about a repository that is not open to whoever asks. */
static void advise(hub_errand *p, const char *base) {
    const char *ns = p->name.ns, *repo = p->name.model;
    if (p->secret[0])
        snprintf(p->advice, sizeof p->advice,
                 "the token that is set (HF_TOKEN) does not open it; accept its terms at "
                 "%.120s/%s/%s with the token's account, or set a token that may read it",
                 base, ns, repo);
    else
        snprintf(p->advice, sizeof p->advice,
                 "%s at %.120s/%s/%s, then set HF_TOKEN to a token from %.120s/settings/tokens",
                 p->repo.gated ? "its makers want their terms accepted: do that"
                               : "it is private, gated, or not there: look",
                 base, ns, repo, base);
}

static bool refused_face(const hub_errand *p, const http_answer *a, const char *shown, err *e) {
    if (a->status == 404)
        return err_set(e, ERR_NOT_FOUND, "%s: there is no such repository%s", shown,
                       p->secret[0] ? ", or the token that is set (HF_TOKEN) does not see it"
                                    : " that is open to everybody (HF_TOKEN gives a token)");
    return hub_wire_denied(a, shown, p->advice, e);
}

/* The quantisation that the name asks for; NULL: none. */
static const char *asked(const hub_name *n) {
    return n->tag_given && strcmp(n->tag, HUB_TAG) != 0 ? n->tag : NULL;
}

static bool plan_face(hub_errand *p, hub_wire *w, uint64_t most, err *e) {
    char base[HUB_BASE_BYTES], shown[HUB_NAME_BYTES];
    buf b;
    http_answer a;
    const hub_source *s = hub_source_of(&p->name);
    hub_name_show(&p->name, shown);
    if (!hub_source_base(s, &p->name, w->o.insecure, base, e)) return false;
    char secret[HUB_SECRET_BYTES];
    hub_source_secret(s, &p->name, secret);
    snprintf(p->secret, sizeof p->secret, "%s", secret);
    hub_wire_status(w, "looking at the repository");
    buf_init(&b, 8192);
    hub_face_api_url(&b, base, &p->name);
    http_ask q = {.url = b.data, .authorization = p->secret[0] ? p->secret : NULL};
    bool ok = hub_wire_ask(w, &q, &a, e);
    advise(p, base);
    if (ok && a.status != 200) ok = refused_face(p, &a, shown, e);
    if (ok && !hub_repo_parse(&p->repo, buf_str(&a.body), e)) ok = err_wrap(e, "%s", shown);
    http_answer_deinit(&a);
    advise(p, base);
    if (ok && !hub_repo_choose(&p->repo, asked(&p->name), most, &p->variant, e))
        ok = err_wrap(e, "%s", shown);
    for (size_t i = 0; ok && i < p->variant.n_parts; i++) {
        const hub_repo_file *f = &p->repo.file[p->variant.first + i];
        buf_clear(&b);
        hub_face_file_url(&b, base, &p->name, p->repo.commit, f->path);
        ok = (!b.failed || err_set(e, ERR_USAGE, "the address of a file is too long")) &&
             add_item(p, b.data, f->path, f->digest.hex[0] ? &f->digest : NULL, f->size, e);
    }
    buf_deinit(&b);
    return ok;
}

/* "model-00001-of-00003.gguf": the address of part i of n; n 1 where it is whole. */
static int parts_of(const char *address) {
    size_t n = strlen(address);
    if (n < 21 || strcmp(address + n - 5, ".gguf") != 0) return 1;
    const char *p = address + n - 20;
    if (p[0] != '-' || memcmp(p + 6, "-of-", 4) != 0) return 1;
    int of = 0;
    for (int i = 0; i < 5; i++) {
        if (!isdigit((unsigned char)p[1 + i]) || !isdigit((unsigned char)p[10 + i])) return 1;
        of = 10 * of + (p[10 + i] - '0');
    }
    return of >= 1 && of <= LIMIT_GGUF_PARTS ? of : 1;
}

static bool plan_address(hub_errand *p, hub_wire *w, const char *text, err *e) {
    url u;
    if (!url_parse(&u, text, e)) return false;
    bool ok = url_is_secure(&u) || w->o.insecure ||
              err_set(e, ERR_DENIED, "%s speaks plain http: --insecure allows it", u.host);
    const char *slash = strrchr(u.path, '/');
    int n = parts_of(u.text);
    for (int i = 1; ok && i <= n; i++) {
        char number[16];
        if (n > 1) {
            snprintf(number, sizeof number, "%05d", i);
            memcpy(u.text + strlen(u.text) - 19, number, 5);
            memcpy(u.path + strlen(u.path) - 19, number, 5);
        }
        ok = add_item(p, u.text, slash ? slash + 1 : "model", NULL, 0, e);
    }
    url_deinit(&u);
    return ok;
}

/* A file's name as a model's: what cannot be in one becomes "-". */
static bool name_of_address(hub_name *n, const char *text, err *e) {
    char stem[HUB_PART_MAX + 1];
    url u;
    if (!url_parse(&u, text, e)) return false;
    const char *slash = strrchr(u.path, '/');
    str s = str_of(slash ? slash + 1 : u.path);
    if (str_ends(s, STR(".gguf"))) s.n -= 5;
    if (parts_of(u.path) > 1) s.n -= 15;
    size_t k = 0;
    for (size_t i = 0; i < s.n && k < sizeof stem - 1; i++) {
        bool good = isalnum((unsigned char)s.p[i]) || strchr("-._", s.p[i]);
        if (k > 0 || isalnum((unsigned char)s.p[i])) stem[k++] = good ? s.p[i] : '-';
    }
    stem[k] = 0;
    url_deinit(&u);
    bool ok = k > 0 && hub_name_parse_strict(n, str_of(stem), e);
    n->text = (str){"", 0};
    return ok || err_set(e, ERR_USAGE, "%.200s: names no file", text);
}

bool hub_errand_make(hub_errand *p, hub_wire *w, const char *text, const hub_pull_options *o,
                     err *e) {
    hub_name n;
    *p = (hub_errand){0};
    buf_init(&p->manifest, (size_t)4 << 20);
    if (!(o->names_only ? hub_name_parse_strict : hub_name_parse)(&n, str_of(text), e))
        return false;
    switch (n.kind) {
    case HUB_BUNDLED: return err_set(e, ERR_USAGE, "bard is inside this program already");
    case HUB_PATH:
        return err_set(e, ERR_USAGE,
                       "%.200s is a file: it can be run as it is, or taken in by hearth import",
                       text);
    case HUB_URL:
        if (!name_of_address(&p->name, text, e) || !plan_address(p, w, text, e)) return false;
        break;
    case HUB_NAME:
        p->name = n;
        p->name.text = (str){"", 0};
        bool face = hub_source_of(&n)->protocol == HUB_PROTOCOL_HUGGING_FACE;
        if (face ? !plan_face(p, w, o->most_bytes, e) : !plan_registry(p, w, e)) return false;
        p->is_registry = !face;
        break;
    }
    p->is_address = n.kind == HUB_URL;
    return true;
}

/* ---- the manifest of what came without one ---- */

/* Ollama's own form of a config, as far as it is known here. */
static bool add_config(hub_errand *p, hub_store *s, err *e) {
    buf b;
    jsonw w;
    hub_digest d;
    buf_init(&b, 65536);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model_format"), jsonw_str(&w, STR("gguf"));
    jsonw_key(&w, "model_family"), jsonw_str(&w, STR(""));
    jsonw_key(&w, "file_type"), jsonw_str(&w, p->variant.quant.p ? p->variant.quant : STR(""));
    jsonw_key(&w, "architecture"), jsonw_str(&w, STR("amd64"));
    jsonw_key(&w, "os"), jsonw_str(&w, STR("linux"));
    jsonw_key(&w, "rootfs");
    jsonw_object(&w);
    jsonw_key(&w, "type"), jsonw_str(&w, STR("layers"));
    jsonw_key(&w, "diff_ids");
    jsonw_array(&w);
    for (size_t i = 0; i < p->m.n; i++) {
        char text[HUB_DIGEST_BYTES];
        jsonw_str(&w, str_of(hub_digest_text(&p->m.layer[i].digest, text)));
    }
    jsonw_end(&w);
    jsonw_end(&w);
    jsonw_end(&w);
    bool ok = hub_store_add(s, buf_str(&b), &d, e);
    if (ok) hub_manifest_set_config(&p->m, &d, b.len);
    buf_deinit(&b);
    return ok;
}

/* Once all digests are known. The config blob is in the store then. */
bool hub_errand_manifest(hub_errand *p, hub_store *s, err *e) {
    if (p->is_registry || p->manifest.len > 0) return true;
    for (size_t i = 0; i < p->n; i++)
        if (!hub_manifest_add(&p->m, HUB_LAYER_MODEL, &p->item[i].digest, p->item[i].size, e))
            return false;
    if (!add_config(p, s, e)) return false;
    hub_manifest_write(&p->manifest, &p->m);
    return !p->manifest.failed || err_set(e, ERR_FAILED, "out of memory");
}

bool hub_errand_is_known(const hub_errand *p) {
    for (size_t i = 0; i < p->n; i++)
        if (!p->item[i].digest.hex[0]) return false;
    return true;
}

bool hub_errand_is_there(const hub_errand *p, const hub_store *s) {
    buf b;
    buf_init(&b, p->manifest.max);
    hub_name n = p->name;
    bool same = hub_store_existing(s, HUB_READY, &n) && hub_store_get(s, HUB_READY, &n, &b, NULL) &&
                str_eq(buf_str(&b), buf_str(&p->manifest));
    for (size_t i = 0; same && i < p->n; i++)
        same = hub_store_has(s, &p->item[i].digest, p->item[i].size);
    buf_deinit(&b);
    return same;
}

/* ---- fetching ---- */

static bool is_there(const hub_store *s, const hub_errand_item *x) {
    return x->digest.hex[0] && hub_store_has(s, &x->digest, x->size);
}

static hub_want want_of(hub_errand *p, size_t i) {
    return (hub_want){.url = p->item[i].address,
                      .what = p->item[i].what,
                      .digest = p->item[i].digest,
                      .size = p->item[i].size,
                      .secret = p->secret,
                      .renew = p->is_registry ? hub_registry_renew : NULL,
                      .ud = &p->registry,
                      .advice = p->advice};
}

/* Room for all that is to come, before the first byte does. */
static bool room(hub_errand *p, hub_store *s, err *e) {
    uint64_t need = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (is_there(s, &p->item[i])) continue;
        hub_want w = want_of(p, i);
        uint64_t have = p->item[i].size ? hub_fetch_resumes(s, &w) : 0;
        if (!add_u64(need, p->item[i].size - have, &need))
            return err_set(e, ERR_DAMAGED, "the model's sizes make no sense");
    }
    return hub_store_room(s, need, e);
}

static bool fetch_one(hub_errand *p, hub_wire *w, hub_store *s, size_t i, uint64_t *fetched,
                      err *e) {
    hub_errand_item *x = &p->item[i];
    hub_event done = {.kind = HUB_EVENT_BLOB,
                      .text = x->what,
                      .digest = x->digest,
                      .completed = x->size,
                      .total = x->size,
                      .resumed = x->size,
                      .verified = true};
    if (x->digest.hex[0] && x->size == 0 && p->is_registry) {
        hub_digest d;
        return hub_store_add(s, (str){"", 0}, &d, e) &&
               (hub_digest_eq(&d, &x->digest) ||
                err_set(e, ERR_DAMAGED, "manifest: a blob of no bytes has another digest"));
    }
    if (is_there(s, x)) {
        if (w->o.event) w->o.event(w->o.ud, &done);
        return true;
    }
    hub_want want = want_of(p, i);
    uint64_t had = hub_fetch_resumes(s, &want);
    if (!hub_fetch(w, s, &want, &x->digest, &x->size, e)) return false;
    if (p->is_registry) snprintf(p->secret, sizeof p->secret, "%s", p->registry.secret);
    *fetched += x->size > had ? x->size - had : 0;
    return true;
}

/* ---- the name ---- */

static void note_origin(const hub_errand *p, bool insecure, buf *b) {
    jsonw w;
    jsonw_init(&w, b);
    jsonw_object(&w);
    jsonw_key(&w, "kind");
    jsonw_str(&w, str_of(p->is_address ? "address" : p->is_registry ? "registry" : "huggingface"));
    if (p->is_address) jsonw_key(&w, "address"), jsonw_str(&w, str_of(p->item[0].address));
    if (p->repo.commit[0]) {
        jsonw_key(&w, "commit"), jsonw_str(&w, str_of(p->repo.commit));
        jsonw_key(&w, "file"), jsonw_str(&w, str_of(p->item[0].what));
        jsonw_key(&w, "license"), jsonw_str(&w, str_of(p->repo.license));
    }
    jsonw_key(&w, "http"), jsonw_bool(&w, p->name.http);
    jsonw_key(&w, "insecure"), jsonw_bool(&w, insecure);
    jsonw_key(&w, "fetched_at"), jsonw_int(&w, clock_unix_s());
    jsonw_end(&w);
}

/* From one moment to the next; what was there before is the previous one. */
static bool install(hub_errand *p, hub_wire *w, hub_store *s, bool *replaced, err *e) {
    buf old, origin;
    hub_name n = p->name;
    buf_init(&old, p->manifest.max);
    buf_init(&origin, 16384);
    note_origin(p, w->o.insecure, &origin);
    if (!hub_store_lock(s, e)) return false;
    if (hub_store_existing(s, HUB_READY, &n)) p->name = n;
    bool there = hub_store_get(s, HUB_READY, &n, &old, NULL);
    *replaced = there && !str_eq(buf_str(&old), buf_str(&p->manifest));
    bool ok = !*replaced || hub_store_put(s, HUB_PREVIOUS, &n, buf_str(&old), e);
    ok = ok && hub_store_put(s, HUB_READY, &n, buf_str(&p->manifest), e) &&
         hub_store_put(s, HUB_ORIGIN, &n, buf_str(&origin), e);
    hub_store_unlock(s);
    buf_deinit(&old);
    buf_deinit(&origin);
    return ok;
}

/* What an address gives may be anything: a page that says no, say. */
static bool looks_like_gguf(const hub_errand *p, hub_store *s, err *e) {
    for (size_t i = 0; i < p->n; i++) {
        char magic[4] = "";
        int fd = hub_store_blob(s, &p->item[i].digest, NULL, e);
        if (fd < 0) return false;
        bool ok = pread(fd, magic, 4, 0) == 4 && memcmp(magic, "GGUF", 4) == 0;
        close(fd);
        if (!ok)
            return err_set(e, ERR_DAMAGED, "%s: what came from there is no GGUF file",
                           p->item[i].what);
    }
    return true;
}

/* Of a registry's model, once its config is there: whether it is of a kind that is run here. */
static bool is_run_here(const hub_errand *p, hub_store *s, err *e) {
    const char *instead = NULL;
    char family[64];
    buf b;
    buf_init(&b, (size_t)1 << 20);
    json_t *o = hub_store_blob_read(s, &p->m.config.digest, &b, NULL) && !b.failed
                    ? json_loadb(b.data ? b.data : "", b.len, JSON_REJECT_DUPLICATES, NULL)
                    : NULL;
    const char *said = json_string_value(json_object_get(o, "model_family"));
    bool refused = said && !gguf_form_may(str_of(said)) &&
                   model_arch_refused(str_of(said), &instead);
    snprintf(family, sizeof family, "%s", refused ? said : "");
    json_decref(o);
    buf_deinit(&b);
    return !refused || model_arch_refuse(p->registry.shown, family, instead, e);
}

static bool carry_out(hub_errand *p, hub_wire *w, hub_store *s, hub_pull_report *r, err *e) {
    if (hub_errand_is_known(p)) {
        if (!hub_errand_manifest(p, s, e)) return false;
        if (hub_errand_is_there(p, s)) {
            r->was_there = true;
            return true;
        }
        if (!room(p, s, e) || !hub_store_put(s, HUB_PENDING, &p->name, buf_str(&p->manifest), e))
            return false;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (!fetch_one(p, w, s, i, &r->fetched, e)) return false;
        if (i == 0 && p->is_registry && !is_run_here(p, s, e)) {
            hub_store_remove(s, HUB_PENDING, &p->name, NULL);
            return false;
        }
    }
    hub_wire_status(w, "verifying sha256 digest"); /* it was, while they came */
    if (!p->is_registry && !looks_like_gguf(p, s, e)) return false;
    if (!hub_errand_manifest(p, s, e)) return false;
    if (r->fetched == 0 && hub_errand_is_there(p, s)) {
        r->was_there = true;
        return true;
    }
    hub_wire_status(w, "writing manifest");
    return install(p, w, s, &r->replaced, e);
}

bool hub_pull(hub_store *s, const char *name, const hub_pull_options *o, hub_pull_report *r,
              err *e) {
    hub_wire w;
    hub_errand p;
    *r = (hub_pull_report){0};
    if (!hub_wire_open(&w, &o->wire, e)) return false;
    bool ok = hub_errand_make(&p, &w, name, o, e) && carry_out(&p, &w, s, r, e);
    r->name = p.name;
    for (size_t i = 0; i < p.n; i++) r->bytes += p.item[i].size;
    if (ok) hub_wire_status(&w, "success");
    hub_errand_deinit(&p);
    hub_wire_close(&w);
    return ok;
}
