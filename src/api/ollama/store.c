/* /api/create, /api/copy and /api/delete: making and removing models over HTTP. What
 * needs the disk for long runs where it may wait. A client names models and blobs, never a path. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "api/ollama/ollama.h"
#include "base/limits.h"
#include "hub/make.h"

/* ---- what they share ---- */

static void reply_err(api_call *c, const err *why, const char *model) {
    api_error e = {0};
    char shown[120];
    if (why->code == ERR_NOT_FOUND)
        api_fail(&e, 404, "not_found", "model", "model '%s' not found: %s",
                 str_printable(str_of(model), shown, sizeof shown), why->msg);
    else if (why->code == ERR_USAGE || why->code == ERR_DENIED || why->code == ERR_DAMAGED)
        api_fail(&e, 400, "invalid_value", NULL, "%s", why->msg);
    else if (why->code == ERR_NO_FIT) api_fail(&e, 507, "no_room", NULL, "%s", why->msg);
    else api_fail_err(&e, why);
    api_reply_error(c, &e);
}

static void reply_done(api_call *c) {
    api_reply(c, 200, "application/json", NULL);
}

/* The outcome of what ran where it may wait; c->state. */
typedef struct store_work {
    err why;
    hub_plan plan;
    hub_name name;
    const char *model; /* as asked */
    buf steps;         /* a line of JSON each */
} store_work;

static void work_cleanup(api_call *c) {
    store_work *w = c->state;
    hub_plan_deinit(&w->plan);
    buf_deinit(&w->steps);
}

static store_work *work_new(api_call *c, const char *model) {
    api_error e = {0};
    store_work *w = arena_calloc(c->arena, 1, sizeof *w);
    if (!w) {
        api_no_memory(&e);
        api_reply_error(c, &e);
        return NULL;
    }
    buf_init(&w->steps, 1 << 20);
    w->model = model;
    c->state = w;
    c->cleanup = work_cleanup;
    return w;
}

static const char *model_asked(const api_call *c) {
    return api_get_text(c->body, "model", api_get_text(c->body, "name", ""));
}

/* ---- create ---- */

static bool text_take(char **dst, const json_t *v, err *e) {
    if (!json_is_string(v)) return true;
    *dst = strdup(json_string_value(v));
    return *dst || err_set(e, ERR_NO_FIT, "out of memory");
}

/* {"file.gguf": "sha256:..."}: the names are the client's own; in their order, as parts are. */
static bool digests_take(const json_t *o, hub_digest **list, size_t *n, err *e) {
    const char *names[LIMIT_GGUF_PARTS];
    size_t count = json_object_size(o), k = 0;
    const char *key;
    json_t *v;
    if (count == 0) return true;
    if (count > LIMIT_GGUF_PARTS) return err_set(e, ERR_USAGE, "too many files");
    json_object_foreach((json_t *)o, key, v) {
        size_t at = k++;
        for (; at > 0 && strcmp(names[at - 1], key) > 0; at--) names[at] = names[at - 1];
        names[at] = key;
    }
    *list = calloc(count, sizeof **list);
    if (!*list) return err_set(e, ERR_NO_FIT, "out of memory");
    for (; *n < count; (*n)++) {
        const char *d = json_string_value(json_object_get(o, names[*n]));
        if (!str_ends(str_of(names[*n]), STR(".gguf")) && strstr(names[*n], "safetensors"))
            return err_set(e, ERR_USAGE, "safetensors are not read: convert them to GGUF first");
        if (!hub_digest_parse(&(*list)[*n], str_of(d ? d : ""), e)) return false;
    }
    return true;
}

static bool draft_take(const json_t *o, hub_digest *out, err *e) {
    hub_digest *list = NULL;
    size_t n = 0;
    bool ok = digests_take(o, &list, &n, e);
    if (ok && n > 1) ok = err_set(e, ERR_USAGE, "draft_files: a draft is one file");
    if (ok && n) *out = list[0];
    free(list);
    return ok;
}

static bool licenses_take(hub_recipe *r, const json_t *v, err *e) {
    size_t n = json_is_array(v) ? json_array_size(v) : json_is_string(v);
    r->license = calloc(n + 1, sizeof *r->license);
    if (!r->license) return err_set(e, ERR_NO_FIT, "out of memory");
    for (; r->n_license < n; r->n_license++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, r->n_license) : v;
        if (!json_is_string(one)) return err_set(e, ERR_USAGE, "license: texts are wanted");
        if (!text_take(&r->license[r->n_license], one, e)) return false;
    }
    return true;
}

static bool messages_take(hub_recipe *r, const json_t *list, err *e) {
    const json_t *m;
    size_t i;
    if (json_array_size(list) == 0) return true;
    r->messages = json_array();
    json_array_foreach(list, i, m) {
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *content = json_string_value(json_object_get(m, "content"));
        if (!role || !content ||
            (strcmp(role, "system") && strcmp(role, "user") && strcmp(role, "assistant")))
            return err_set(e, ERR_USAGE, "messages: item %zu needs role and content", i);
        if (json_array_append_new(r->messages,
                                  json_pack("{ssss}", "role", role, "content", content)) != 0)
            return err_set(e, ERR_NO_FIT, "out of memory");
    }
    return true;
}

static bool plan_of_modelfile(store_work *w, const char *text, err *e) {
    hub_modelfile m;
    if (!hub_modelfile_parse(&m, str_of(text), e)) return false;
    bool ok = hub_plan_of(&w->plan, &m, e);
    hub_modelfile_deinit(&m);
    return ok;
}

static bool plan_take(api_call *c, store_work *w, err *e) {
    const json_t *b = c->body;
    hub_plan *p = &w->plan;
    hub_recipe *r = &p->recipe;
    const char *modelfile = api_get_text(b, "modelfile", NULL);
    if (modelfile) return plan_of_modelfile(w, modelfile, e);
    r->template_own = true;
    snprintf(r->renderer, sizeof r->renderer, "%s", api_get_text(b, "renderer", ""));
    snprintf(r->parser, sizeof r->parser, "%s", api_get_text(b, "parser", ""));
    const char *template = api_get_text(b, "template", "");
    const char *requires = api_get_text(b, "requires", "");
    return (!*requires || hub_requires_set(r, requires, e)) &&
           text_take(&p->from, api_get(b, "from"), e) &&
           digests_take(api_get(b, "files"), &p->weights, &p->n_weights, e) &&
           digests_take(api_get(b, "adapters"), &p->adapters, &p->n_adapters, e) &&
           draft_take(api_get(b, "draft_files"), &p->draft, e) &&
           (!*template || hub_template_check(template, e)) &&
           text_take(&r->template, *template ? api_get(b, "template") : NULL, e) &&
           text_take(&r->system, api_get(b, "system"), e) &&
           licenses_take(r, api_get(b, "license"), e) &&
           (!api_get(b, "parameters") ||
            hub_params_check(api_get(b, "parameters"), &r->params, e)) &&
           messages_take(r, api_get(b, "messages"), e);
}

static void step_add(store_work *w, const char *what) {
    jsonw j;
    jsonw_init(&j, &w->steps);
    jsonw_object(&j);
    jsonw_key(&j, "status");
    jsonw_str(&j, str_of(what));
    jsonw_end(&j);
    buf_putc(&w->steps, '\n');
}

static bool on_status(void *ud, const char *what, uint64_t done, uint64_t total) {
    api_call *c = ud;
    store_work *w = c->state;
    (void)total;
    if (done == 0) step_add(w, what);
    return api_call_unwanted(c);
}

/* A type's name, which clients write as they like; NULL: none. */
static const char *upper(const api_call *c, const char *name, char dst[32]) {
    const char *s = api_get_text(c->body, name, "");
    size_t n = 0;
    for (; s[n] && n < 31; n++) dst[n] = (char)(s[n] >= 'a' && s[n] <= 'z' ? s[n] - 32 : s[n]);
    dst[n] = 0;
    return n ? dst : NULL;
}

static void create_work(api_call *c) {
    store_work *w = c->state;
    char type[32], draft_type[32];
    hub_make_options o = {.quantize = upper(c, "quantize", type),
                          .draft_quantize = upper(c, "draft_quantize", draft_type),
                          .status = on_status,
                          .ud = c};
    hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, &w->why);
    if (s) hub_make(s, &w->name, &w->plan, &o, &w->why);
    hub_store_close(s);
}

static void create_done(api_call *c) {
    store_work *w = c->state;
    if (w->why.code) {
        reply_err(c, &w->why, w->plan.from ? w->plan.from : w->model);
        return;
    }
    bool stream = api_get_bool(c->body, "stream", true);
    if (stream) buf_put_str(&c->out, buf_str(&w->steps));
    buf_puts(&c->out, "{\"status\":\"success\"}");
    if (stream) buf_putc(&c->out, '\n');
    api_reply(c, 200, stream ? "application/x-ndjson" : "application/json", NULL);
}

static void create(api_call *c) {
    store_work *w = work_new(c, model_asked(c));
    if (!w) return;
    if (!hub_name_parse_strict(&w->name, str_of(w->model), &w->why) || !plan_take(c, w, &w->why))
        reply_err(c, &w->why, w->model);
    else api_wait(c, create_work, create_done);
}

static const api_field create_fields[] = {
    {.name = "model", .types = API_STRING, .len_max = 512, .doc = "the name of the new model"},
    {.name = "name", .types = API_STRING, .len_max = 512, .doc = "the same, under its older name"},
    {.name = "from", .types = API_STRING, .len_max = 512, .doc = "the model that it is made of"},
    {.name = "files", .types = API_OBJECT, .doc = "or blobs: file names with their digests"},
    {.name = "adapters", .types = API_OBJECT, .doc = "LoRA files: names with digests of blobs"},
    {.name = "template", .types = API_STRING, .doc = "in Go's language, or Jinja"},
    {.name = "license", .types = API_STRING | API_ARRAY},
    {.name = "system", .types = API_STRING},
    {.name = "parameters", .types = API_OBJECT, .doc = "as in options of /api/chat"},
    {.name = "messages", .types = API_ARRAY, .items = API_OBJECT, .len_max = 4096},
    {.name = "quantize",
     .types = API_STRING,
     .len_max = 31,
     .doc = "store weights as, say, Q4_K_M"},
    {.name = "draft_files",
     .types = API_OBJECT,
     .doc = "a model that guesses ahead: its file's name with the digest of a blob"},
    {.name = "draft_quantize", .types = API_STRING, .len_max = 31, .doc = "the same for the draft"},
    {.name = "renderer", .types = API_STRING, .len_max = 63},
    {.name = "parser", .types = API_STRING, .len_max = 63},
    {.name = "requires", .types = API_STRING, .len_max = 31},
    {.name = "modelfile", .types = API_STRING, .doc = "all of it as a Modelfile instead"},
    {.name = "stream", .types = API_BOOL, .doc = "a line for each step; default true"},
    {0},
};

/* ---- copy and delete ---- */

static void copy_work(api_call *c) {
    store_work *w = c->state;
    hub_name from;
    hub_store *s = NULL;
    if (hub_name_parse(&from, str_of(w->model), &w->why) &&
        (from.kind == HUB_NAME || from.kind == HUB_BUNDLED ||
         hub_name_parse_strict(&from, str_of(w->model), &w->why)) &&
        (s = hub_store_open(NULL, HUB_STORE_EDIT, &w->why)))
        hub_copy(s, &from, &w->name, &w->why);
    hub_store_close(s);
}

static void delete_work(api_call *c) {
    store_work *w = c->state;
    hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, &w->why);
    if (s) {
        hub_store_existing(s, HUB_READY, &w->name);
        hub_store_rm(s, &w->name, NULL, &w->why);
    }
    hub_store_close(s);
}

static void plain_done(api_call *c) {
    store_work *w = c->state;
    residents_refresh(c->api->models);
    if (w->why.code) reply_err(c, &w->why, w->model);
    else reply_done(c);
}

static void copy(api_call *c) {
    store_work *w = work_new(c, api_get_text(c->body, "source", ""));
    if (!w) return;
    if (!hub_name_parse_strict(&w->name, str_of(api_get_text(c->body, "destination", "")), &w->why))
        reply_err(c, &w->why, w->model);
    else api_wait(c, copy_work, plain_done);
}

static void delete (api_call *c) {
    store_work *w = work_new(c, model_asked(c));
    if (!w) return;
    if (!hub_name_parse_strict(&w->name, str_of(w->model), &w->why))
        reply_err(c, &w->why, w->model);
    else api_wait(c, delete_work, plain_done);
}

static const api_field copy_fields[] = {
    {.name = "source", .types = API_STRING, .len_max = 512},
    {.name = "destination", .types = API_STRING, .len_max = 512},
    {0},
};

static const api_field delete_fields[] = {
    {.name = "model", .types = API_STRING, .len_max = 512, .doc = "the model to be removed"},
    {.name = "name", .types = API_STRING, .len_max = 512, .doc = "the same, under its older name"},
    {0},
};

const api_route api_routes_ollama_store[] = {
    {"POST", "/api/create", &api_dialect_ollama, API_ADMIN, .run = create, .fields = create_fields,
     .summary = "a model made of another, or of blobs"},
    {"POST", "/api/copy", &api_dialect_ollama, API_ADMIN, .run = copy, .fields = copy_fields,
     .summary = "a second name for a model"},
    {"DELETE", "/api/delete", &api_dialect_ollama, API_ADMIN, .run = delete,
     .fields = delete_fields, .summary = "removes a model"},
    {0},
};
