#include "hub/make.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "base/team.h"
#include "hub/facts.h"
#include "hub/find.h"
#include "hub/places.h"
#include "hub/requantize.h"
#include "hub/split.h"
#include "template/gotmpl.h"

/* ---- the plan ---- */

void hub_plan_deinit(hub_plan *p) {
    free(p->from);
    free(p->weights);
    free(p->adapters);
    hub_recipe_deinit(&p->recipe);
    *p = (hub_plan){0};
}

static bool text_set(char **dst, const char *value, err *e) {
    free(*dst);
    *dst = strdup(value);
    return *dst || err_set(e, ERR_NO_FIT, "out of memory");
}

static bool text_add(char ***list, size_t *n, const char *value, err *e) {
    char **more = realloc(*list, (*n + 1) * sizeof *more), *copy = strdup(value);
    if (more) *list = more;
    if (!more || !copy) {
        free(copy);
        return err_set(e, ERR_NO_FIT, "out of memory");
    }
    more[(*n)++] = copy;
    return true;
}

static bool word_set(char *dst, size_t cap, const char *value, const char *what, err *e) {
    bool ok = *value && strlen(value) < cap;
    for (const char *p = value; *p; p++) ok = ok && (unsigned char)*p > ' ' && *p != '"';
    if (!ok) return err_set(e, ERR_USAGE, "%s: one word of under %zu letters is wanted", what, cap);
    snprintf(dst, cap, "%s", value);
    return true;
}

bool hub_requires_set(hub_recipe *r, const char *value, err *e) {
    unsigned major, minor, patch;
    int end = 0;
    const char *v = value + (*value == 'v');
    if (sscanf(v, "%9u.%9u.%9u%n", &major, &minor, &patch, &end) == 3 && (!v[end] || v[end] == '-'))
        return word_set(r->requires, sizeof r->requires, v, "REQUIRES", e);
    char shown[60];
    return err_set(e, ERR_USAGE, "REQUIRES \"%s\": a version of Ollama like 0.14.0 is wanted",
                   str_printable(str_of(value), shown, sizeof shown));
}

bool hub_template_is_jinja(const char *text) {
    return strstr(text, "{%") != NULL;
}

bool hub_template_check(const char *text, err *e) {
    if (hub_template_is_jinja(text)) {
        jinja *j = jinja_parse(str_of(text), e);
        jinja_free(j);
        return j != NULL;
    }
    gotmpl *t = gotmpl_parse(str_of(text), e);
    gotmpl_free(t);
    return t != NULL;
}

static bool line_take(hub_plan *p, const hub_line *l, err *e) {
    hub_recipe *r = &p->recipe;
    switch (l->command) {
    case HUB_FROM:
        if (p->from)
            return err_set(e, ERR_USAGE,
                           "a second FROM: models with a part for images are not made "
                           "here");
        return text_set(&p->from, l->value, e);
    case HUB_PARAMETER:
        if (!r->params) r->params = json_object();
        return r->params ? hub_param_put(r->params, l->name, l->value, e)
                         : err_set(e, ERR_NO_FIT, "out of memory");
    case HUB_TEMPLATE:
        r->template_own = true;
        return (!*l->value || hub_template_check(l->value, e)) &&
               text_set(&r->template, l->value, e);
    case HUB_SYSTEM: return text_set(&r->system, l->value, e);
    case HUB_ADAPTER: return text_add(&r->adapter, &r->n_adapter, l->value, e);
    case HUB_LICENSE: return text_add(&r->license, &r->n_license, l->value, e);
    case HUB_MESSAGE:
        if (!r->messages) r->messages = json_array();
        return (r->messages &&
                json_array_append_new(
                    r->messages, json_pack("{ssss}", "role", l->name, "content", l->value)) == 0) ||
               err_set(e, ERR_USAGE, "a message that is no UTF-8 text");
    case HUB_DRAFT: return text_set(&r->draft, l->value, e);
    case HUB_RENDERER: return word_set(r->renderer, sizeof r->renderer, l->value, "RENDERER", e);
    case HUB_PARSER: return word_set(r->parser, sizeof r->parser, l->value, "PARSER", e);
    case HUB_REQUIRES: return hub_requires_set(r, l->value, e);
    }
    return false;
}

bool hub_plan_of(hub_plan *p, const hub_modelfile *m, err *e) {
    *p = (hub_plan){0};
    for (size_t i = 0; i < m->n; i++)
        if (!line_take(p, &m->line[i], e)) {
            err_wrap(e, "line %d", m->line[i].line);
            hub_plan_deinit(p);
            return false;
        }
    return true;
}

/* ---- weights ---- */

typedef struct maker {
    hub_store *s;
    const hub_plan *p;
    const hub_make_options *o;
    hub_manifest m;    /* what comes */
    const char *doing; /* for status */
    uint64_t total;
    hub_recipe old; /* of the model that it is made from */
} maker;

static bool tell(void *ud, uint64_t done) {
    maker *k = ud;
    return k->o->status && k->o->status(k->o->ud, k->doing, done, k->total);
}

static bool go_on(void *ud, uint64_t done, uint64_t total) {
    maker *k = ud;
    k->total = total;
    return !tell(k, done);
}

/* Whether the bytes of a blob are a GGUF of the kind that is wanted. */
static bool gguf_check(const hub_store *s, const hub_digest *d, hub_layer_kind kind, err *e) {
    str type = STR("model");
    char *path = hub_store_blob_file(s, d, e);
    gguf *g = path ? gguf_open(path, e) : NULL;
    free(path);
    if (!g) return false;
    gguf_get_str(g, "general.type", &type);
    bool adapter = str_eq(type, STR("adapter"));
    gguf_close(g);
    if (adapter && kind != HUB_LAYER_ADAPTER)
        return err_set(e, ERR_USAGE, "%s: that is an adapter: name it with ADAPTER",
                       kind == HUB_LAYER_DRAFT ? "DRAFT" : "FROM");
    if (!adapter && kind == HUB_LAYER_ADAPTER)
        return err_set(e, ERR_USAGE, "ADAPTER: that is no adapter (general.type is not adapter)");
    return true;
}

static bool add_path(maker *k, const char *path, hub_layer_kind kind, bool check, err *e) {
    struct stat st = {0};
    hub_digest d;
    uint64_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return beneath_fail(e, path, "cannot open", errno);
    bool ok = fstat(fd, &st) == 0;
    k->doing = "copying";
    k->total = (uint64_t)st.st_size;
    if (ok && S_ISDIR(st.st_mode))
        ok = err_set(
            e, ERR_USAGE,
            "%s: a folder. Safetensors are not read: convert them to GGUF first (llama.cpp "
            "has convert_hf_to_gguf.py), or pull a repository that has GGUF files",
            path);
    ok = ok && hub_store_add_file(k->s, fd, path, tell, k, &d, &size, e) &&
         (!check || gguf_check(k->s, &d, kind, e) || err_wrap(e, "%s", path)) &&
         hub_manifest_add(&k->m, kind, &d, size, e);
    close(fd);
    return ok;
}

/* All parts of a split file; they cannot be opened one by one. */
static bool add_weights_path(maker *k, const char *path, err *e) {
    size_t n = strlen(path);
    const char *first = n > 20 ? path + n - 20 : "";
    unsigned parts = 0;
    int end = 0;
    if (sscanf(first, "-00001-of-%5u.gguf%n", &parts, &end) != 1 || end != 20 || parts < 2 ||
        parts > LIMIT_GGUF_PARTS)
        return add_path(k, path, HUB_LAYER_MODEL, true, e);
    gguf *g = gguf_open(path, e); /* checks all of them */
    if (!g) return false;
    gguf_close(g);
    char *one = strdup(path);
    bool ok = one || err_set(e, ERR_NO_FIT, "out of memory");
    for (unsigned i = 1; ok && i <= parts; i++) {
        char number[16];
        snprintf(number, sizeof number, "%05u", i);
        memcpy(one + (first - path) + 1, number, 5);
        ok = add_path(k, one, HUB_LAYER_MODEL, false, e);
    }
    free(one);
    return ok;
}

static bool add_bundled(maker *k, hub_layer_kind kind, err *e) {
    hub_model b;
    hub_digest d;
    return hub_find(&b, "bard", e) && hub_store_add(k->s, (str){b.data, b.n}, &d, e) &&
           hub_manifest_add(&k->m, kind, &d, b.n, e);
}

/* A layer of another store is copied; one of ours is only named. */
static bool take_layer(maker *k, const hub_store *from, const hub_layer *l, err *e) {
    hub_digest d;
    uint64_t size;
    if (hub_store_has(k->s, &l->digest, l->size))
        return hub_manifest_add(&k->m, l->kind, &l->digest, l->size, e);
    int fd = hub_store_blob(from, &l->digest, NULL, e);
    if (fd < 0) return false;
    k->doing = "copying";
    k->total = l->size;
    bool ok = hub_store_add_file(k->s, fd, l->digest.hex, tell, k, &d, &size, e);
    close(fd);
    if (ok && !hub_digest_eq(&d, &l->digest))
        ok = err_set(e, ERR_DAMAGED, "the blob sha256:%s has other bytes than its name says",
                     l->digest.hex);
    return ok && hub_manifest_add(&k->m, l->kind, &d, size, e);
}

/* What a model is made of besides texts, which the new recipe settles. */
static bool is_bulk(hub_layer_kind kind) {
    return kind == HUB_LAYER_MODEL || kind == HUB_LAYER_PROJECTOR || kind == HUB_LAYER_ADAPTER ||
           kind == HUB_LAYER_DRAFT;
}

static bool take_model(maker *k, const hub_name *n, err *e) {
    hub_entry x = {0};
    hub_manifest m = {0};
    hub_places *p = hub_places_open(e);
    bool ok = p && hub_places_find(p, n, &x, e);
    if (ok && !x.store) {
        ok = add_weights_path(k, x.file, e);
    } else if (ok) {
        ok = hub_store_manifest(x.store, HUB_READY, &x.name, &m, e) &&
             hub_recipe_read(&k->old, x.store, &m, e);
        for (size_t i = 0; ok && i < m.n; i++) {
            bool draft = m.layer[i].kind == HUB_LAYER_DRAFT &&
                         (k->p->recipe.draft || k->p->draft.hex[0]);
            if (is_bulk(m.layer[i].kind) && !draft) ok = take_layer(k, x.store, &m.layer[i], e);
            if (m.layer[i].kind == HUB_LAYER_TENSOR)
                ok = err_set(e, ERR_USAGE, "it is made of safetensors, which are not read");
        }
    }
    hub_manifest_deinit(&m);
    hub_entry_deinit(&x);
    hub_places_close(p);
    return ok;
}

static char *path_of(const maker *k, const char *text, err *e) {
    char *out;
    int n = text[0] == '/' || !k->o->base || !*k->o->base
                ? asprintf(&out, "%s", text)
                : asprintf(&out, "%s/%s", k->o->base, text);
    if (n >= 0) return out;
    err_set(e, ERR_NO_FIT, "out of memory");
    return NULL;
}

static bool add_named_path(maker *k, const char *text, hub_layer_kind kind, err *e) {
    if (!k->o->paths)
        return err_set(e, ERR_DENIED, "no path is opened for a client: upload the file as a blob");
    char *path = path_of(k, text, e);
    bool ok = path && (kind == HUB_LAYER_MODEL ? add_weights_path(k, path, e)
                                               : add_path(k, path, kind, true, e));
    free(path);
    return ok;
}

/* Blobs that are to be the parts of one file, in their order. */
static bool split_check(maker *k, err *e) {
    char *path = hub_split_path(k->s, &k->m, e);
    gguf *g = path ? gguf_open(path, e) : NULL;
    free(path);
    gguf_close(g);
    if (!g && e && e->code == ERR_NOT_FOUND) e->code = ERR_DAMAGED; /* the blobs are there */
    return g != NULL;
}

static bool weights(maker *k, err *e) {
    hub_name n;
    err why = {0};
    struct stat st;
    for (size_t i = 0; i < k->p->n_weights; i++) {
        uint64_t size = 0;
        int fd = hub_store_blob(k->s, &k->p->weights[i], &size, e);
        if (fd < 0) return false;
        close(fd);
        if (!hub_manifest_add(&k->m, HUB_LAYER_MODEL, &k->p->weights[i], size, e)) return false;
    }
    if (k->p->n_weights == 1) return gguf_check(k->s, &k->p->weights[0], HUB_LAYER_MODEL, e);
    if (k->p->n_weights) return split_check(k, e);
    if (!k->p->from) return err_set(e, ERR_USAGE, "nothing is said to make the model of");
    bool named = hub_name_parse(&n, str_of(k->p->from), &why);
    if (named && n.kind == HUB_BUNDLED) return add_bundled(k, HUB_LAYER_MODEL, e);
    if (named && n.kind == HUB_URL)
        return err_set(e, ERR_USAGE, "FROM a URL: fetch it first (hearth pull), then name it");
    if (named && n.kind == HUB_NAME) {
        err no = {0};
        if (take_model(k, &n, &no)) return true;
        bool path = no.code == ERR_NOT_FOUND && k->o->paths;
        char *as = path ? path_of(k, k->p->from, NULL) : NULL;
        path = as && stat(as, &st) == 0;
        free(as);
        if (!path) {
            if (e) *e = no;
            return false;
        }
    } else if (!named && !k->o->paths) {
        if (e) *e = why;
        return false;
    }
    return add_named_path(k, k->p->from, HUB_LAYER_MODEL, e);
}

/* ---- another type of weights ---- */

/* Of the model, or of the draft. */
static bool quantize(maker *k, hub_layer_kind kind, const char *type, err *e) {
    char out[PATH_MAX];
    const mix *m = type ? mix_named(type) : NULL;
    hub_layer *w = (hub_layer *)hub_manifest_layer(&k->m, kind, 0);
    if (!type) return true;
    if (!m) return err_set(e, ERR_USAGE, "quantize: there is no type \"%s\"", type);
    if (!w)
        return err_set(e, ERR_USAGE, "quantize: there is %s",
                       kind == HUB_LAYER_DRAFT ? "no draft" : "nothing that could be");
    /* where gc spares what is young */
    snprintf(out, sizeof out, "%s/partial/quantize-%ld.gguf", hub_store_folder(k->s),
             (long)getpid());
    char *path = kind == HUB_LAYER_MODEL ? hub_split_path(k->s, &k->m, e)
                                         : hub_store_blob_file(k->s, &w->digest, e);
    gguf *g = path ? gguf_open(path, e) : NULL;
    int n_threads = k->o->n_threads > 0 ? k->o->n_threads : team_default_size();
    team *t = g ? team_new(n_threads, e) : NULL;
    requantize_options ro = {.mix = m,
                             .team = t,
                             .from_quantized = k->o->from_quantized,
                             .replace = true,
                             .progress = go_on,
                             .progress_ud = k};
    requantize_report report;
    k->doing = "quantizing";
    bool ok = t && hub_store_room(k->s, gguf_file_bytes(g) / 4, e) &&
              requantize(g, out, &ro, &report, e);
    team_free(t);
    gguf_close(g);
    free(path);
    if (!ok) return false;
    int fd = open(out, O_RDONLY | O_CLOEXEC);
    k->doing = "hashing";
    ok = fd >= 0 ? hub_store_add_file(k->s, fd, out, NULL, NULL, &w->digest, &w->size, e)
                 : beneath_fail(e, out, "cannot open", errno);
    if (fd >= 0) close(fd);
    unlink(out);
    size_t n = 0; /* one file, whatever number of parts it was */
    for (size_t i = 0; i < k->m.n; i++)
        if (k->m.layer[i].kind != kind || &k->m.layer[i] == w) k->m.layer[n++] = k->m.layer[i];
    k->m.n = n;
    return ok;
}

/* ---- texts ---- */

static bool add_text(maker *k, hub_layer_kind kind, str text, err *e) {
    hub_digest d;
    if (!hub_store_add(k->s, text, &d, e)) return false;
    for (size_t i = 0; i < k->m.n; i++)
        if (k->m.layer[i].kind == kind && hub_digest_eq(&k->m.layer[i].digest, &d)) return true;
    return hub_manifest_add(&k->m, kind, &d, text.n, e);
}

static bool add_json(maker *k, hub_layer_kind kind, const json_t *v, err *e) {
    char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    bool ok = text ? add_text(k, kind, str_of(text), e) : err_set(e, ERR_NO_FIT, "out of memory");
    free(text);
    return ok;
}

/* The new recipe's word counts, the old one's where it is silent; parameters one by one. */
static bool texts(maker *k, err *e) {
    const hub_recipe *r = &k->p->recipe, *old = &k->old;
    const char *template = r->template ? r->template : old->template;
    const char *system = r->system ? r->system : old->system;
    const json_t *messages = r->messages ? r->messages : old->messages;
    json_t *params = old->params ? json_copy(old->params) : json_object();
    bool ok = params && (!r->params || json_object_update(params, r->params) == 0);
    if (!ok) err_set(e, ERR_NO_FIT, "out of memory");
    ok = ok && (!template || !*template || add_text(k, HUB_LAYER_TEMPLATE, str_of(template), e)) &&
         (!system || !*system || add_text(k, HUB_LAYER_SYSTEM, str_of(system), e)) &&
         (!json_object_size(params) || add_json(k, HUB_LAYER_PARAMS, params, e)) &&
         (!json_array_size(messages) || add_json(k, HUB_LAYER_MESSAGES, messages, e));
    for (size_t i = 0; ok && i < old->n_license; i++)
        ok = add_text(k, HUB_LAYER_LICENSE, str_of(old->license[i]), e);
    for (size_t i = 0; ok && i < r->n_license; i++)
        ok = add_text(k, HUB_LAYER_LICENSE, str_of(r->license[i]), e);
    json_decref(params);
    return ok;
}

static void config_key(jsonw *w, const char *key, const char *own, const char *old) {
    const char *v = *own ? own : old;
    if (!*v) return;
    jsonw_key(w, key);
    jsonw_str(w, str_of(v));
}

static bool config(maker *k, err *e) {
    facts f = {.family = "unknown"};
    hub_digest d;
    buf b;
    jsonw w;
    char *path = hub_split_path(k->s, &k->m, NULL);
    gguf *g = path ? gguf_open(path, NULL) : NULL;
    free(path);
    if (g) facts_read(g, &f);
    gguf_close(g);
    buf_init(&b, LIMIT_LAYER_TEXT);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model_format"), jsonw_str(&w, STR("gguf"));
    jsonw_key(&w, "model_family"), jsonw_str(&w, str_of(f.family));
    jsonw_key(&w, "model_families");
    jsonw_array(&w);
    jsonw_str(&w, str_of(f.family));
    jsonw_end(&w);
    jsonw_key(&w, "model_type"), jsonw_str(&w, str_of(f.size));
    jsonw_key(&w, "file_type"), jsonw_str(&w, str_of(f.quant));
    if (f.n_ctx_train) jsonw_key(&w, "context_length"), jsonw_int(&w, f.n_ctx_train);
    if (f.n_embd) jsonw_key(&w, "embedding_length"), jsonw_int(&w, f.n_embd);
    config_key(&w, "renderer", k->p->recipe.renderer, k->old.renderer);
    config_key(&w, "parser", k->p->recipe.parser, k->old.parser);
    config_key(&w, "requires", k->p->recipe.requires, k->old.requires);
    bool own = k->p->recipe.template ? k->p->recipe.template_own : k->old.template_own;
    if (own) jsonw_key(&w, "hearth_template"), jsonw_bool(&w, true);
    jsonw_end(&w);
    bool ok = !b.failed && hub_store_add(k->s, buf_str(&b), &d, e);
    if (ok) hub_manifest_set_config(&k->m, &d, b.len);
    buf_deinit(&b);
    return ok;
}

static bool add_blob(maker *k, const hub_digest *d, hub_layer_kind kind, err *e) {
    uint64_t size = 0;
    int fd = hub_store_blob(k->s, d, &size, e);
    if (fd >= 0) close(fd);
    return fd >= 0 && gguf_check(k->s, d, kind, e) && hub_manifest_add(&k->m, kind, d, size, e);
}

/* The weights of a model that is here by name, as a draft. */
static bool add_draft_of(maker *k, const hub_name *n, err *e) {
    hub_entry x = {0};
    hub_manifest m = {0};
    hub_places *p = hub_places_open(e);
    bool ok = p && hub_places_find(p, n, &x, e);
    if (ok && !x.store) {
        ok = add_path(k, x.file, HUB_LAYER_DRAFT, true, e);
    } else if (ok && (ok = hub_store_manifest(x.store, HUB_READY, &x.name, &m, e))) {
        const hub_layer *w = hub_manifest_layer(&m, HUB_LAYER_MODEL, 0);
        if (!w || hub_manifest_layer(&m, HUB_LAYER_MODEL, 1))
            ok = err_set(e, ERR_USAGE, "a draft is one file");
        hub_layer as = w ? *w : (hub_layer){0};
        as.kind = HUB_LAYER_DRAFT;
        ok = ok && take_layer(k, x.store, &as, e);
    }
    hub_manifest_deinit(&m);
    hub_entry_deinit(&x);
    hub_places_close(p);
    return ok;
}

/* A name or a path, as FROM has it. */
static bool add_draft(maker *k, const char *text, err *e) {
    hub_name n;
    err why = {0};
    bool named = hub_name_parse(&n, str_of(text), &why);
    if (named && n.kind == HUB_BUNDLED) return add_bundled(k, HUB_LAYER_DRAFT, e);
    if (named && n.kind == HUB_NAME) {
        if (add_draft_of(k, &n, &why)) return true;
        if (why.code != ERR_NOT_FOUND || !k->o->paths)
            return err_set(e, why.code, "DRAFT: %s", why.msg);
    }
    return add_named_path(k, text, HUB_LAYER_DRAFT, e) || err_wrap(e, "DRAFT");
}

static bool side_files(maker *k, err *e) {
    const hub_recipe *r = &k->p->recipe;
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_adapter; i++)
        ok = add_named_path(k, r->adapter[i], HUB_LAYER_ADAPTER, e);
    for (size_t i = 0; ok && i < k->p->n_adapters; i++)
        ok = add_blob(k, &k->p->adapters[i], HUB_LAYER_ADAPTER, e);
    if (ok && k->p->draft.hex[0]) return add_blob(k, &k->p->draft, HUB_LAYER_DRAFT, e);
    return ok && (!r->draft || add_draft(k, r->draft, e));
}

bool hub_make(hub_store *s, const hub_name *n, const hub_plan *p, const hub_make_options *o,
              err *e) {
    maker k = {.s = s, .p = p, .o = o};
    buf b;
    buf_init(&b, LIMIT_MANIFEST_BYTES);
    bool ok = weights(&k, e) && quantize(&k, HUB_LAYER_MODEL, o->quantize, e) &&
              side_files(&k, e) && quantize(&k, HUB_LAYER_DRAFT, o->draft_quantize, e);
    if (ok && o->status) o->status(o->ud, "writing manifest", 0, 0);
    /* texts and manifest in one go: no rm between them takes what they share with another model */
    if (ok && (ok = hub_store_lock(s, e))) {
        ok = texts(&k, e) && config(&k, e);
        if (ok) hub_manifest_write(&b, &k.m);
        ok = ok && hub_store_put(s, HUB_READY, n, buf_str(&b), e);
        hub_store_unlock(s);
    }
    buf_deinit(&b);
    hub_recipe_deinit(&k.old);
    hub_manifest_deinit(&k.m);
    return ok;
}

bool hub_copy(hub_store *s, const hub_name *from, const hub_name *to, err *e) {
    hub_name source = *from;
    buf b;
    buf_init(&b, LIMIT_MANIFEST_BYTES);
    bool ok = hub_store_lock(s, e);
    if (!ok) return false;
    if (hub_store_existing(s, HUB_READY, &source)) {
        ok = hub_store_get(s, HUB_READY, &source, &b, e) &&
             hub_store_put(s, HUB_READY, to, buf_str(&b), e);
        hub_store_unlock(s);
    } else { /* of another place: its blobs have to come too */
        hub_store_unlock(s);
        char shown[HUB_NAME_BYTES];
        hub_plan p = {.from = strdup(hub_name_show(from, shown))};
        hub_make_options o = {0};
        ok = p.from ? hub_make(s, to, &p, &o, e) : err_set(e, ERR_NO_FIT, "out of memory");
        hub_plan_deinit(&p);
    }
    buf_deinit(&b);
    return ok;
}
