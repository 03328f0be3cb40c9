/* Asking a server: where it is, whether it has the model, and reading its answers. */
#include "cli/far.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "net/client.h"

#define DEFAULT_PORT 11434
#define EVENT_MAX ((size_t)8 << 20) /* one event: the last one repeats the prompt */

struct far {
    http_client *client;
    char base[300]; /* "http://127.0.0.1:11434" */
    char shown[300];
    char *model;
    char key[300]; /* "Bearer ..."; "": none */
    int32_t ctx;
    char family[64];
    char name[128]; /* the model's own */
};

void far_close(far *f) {
    if (!f) return;
    http_client_free(f->client);
    free(f->model);
    free(f);
}

const char *far_address(const far *f) {
    return f->shown;
}

int32_t far_ctx(const far *f) {
    return f->ctx;
}

const char *far_name(const far *f) {
    return f->name;
}

const char *far_family(const far *f) {
    return f->family[0] ? f->family : NULL;
}

/* ---- where ---- */

/* "host", "host:port", ":port", "http://host:port", "unix:/path". An address to listen on, such as
 * 0.0.0.0, is one to ask at its loopback. */
static bool place(far *f, const char *where, http_client_options *o, err *e) {
    bool url = strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
    snprintf(f->shown, sizeof f->shown, "%s", where);
    if (strncmp(where, "unix:", 5) == 0) {
        o->unix_path = where + 5;
        snprintf(f->base, sizeof f->base, "http://localhost");
        return true;
    }
    const char *scheme = url ? "" : "http://", *rest = url ? strchr(where, ':') + 3 : where;
    size_t n = strcspn(rest, "/");
    const char *bracket = memchr(rest, ']', n);
    const char *from = bracket ? bracket : rest;
    const char *colon = memchr(from, ':', n - (size_t)(from - rest));
    int host = (int)(colon ? colon - rest : (ptrdiff_t)n), before = url ? (int)(rest - where) : 0;
    const char *name = rest;
    if (host == 0 || (host == 7 && strncmp(rest, "0.0.0.0", 7) == 0)) {
        name = "127.0.0.1";
        host = 9;
    } else if (host == 4 && strncmp(rest, "[::]", 4) == 0) {
        name = "[::1]";
        host = 5;
    }
    char port[16] = "";
    if (!colon && !url) snprintf(port, sizeof port, ":%d", DEFAULT_PORT);
    int k = snprintf(f->base, sizeof f->base, "%s%.*s%.*s%s%.*s", scheme, before, where, host, name,
                     port, (int)(n - (size_t)(colon ? colon - rest : (ptrdiff_t)n)),
                     colon ? colon : "");
    if (k < 0 || (size_t)k >= sizeof f->base)
        return err_set(e, ERR_USAGE, "the server's address is too long: %.80s", where);
    return true;
}

/* ---- asking ---- */

static bool ask_stopped(void *ud) {
    (void)ud;
    return interrupt_seen();
}

/* Why the server refused, in its own words. */
static bool refused(const far *f, const http_answer *a, err *e) {
    json_t *j = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
    const json_t *error = json_object_get(j, "error");
    const char *text = json_is_string(error) ? json_string_value(error)
                                             : json_string_value(json_object_get(error, "message"));
    char shown[400];
    err_code code = a->status == 401 || a->status == 403   ? ERR_DENIED
                    : a->status == 404                     ? ERR_NOT_FOUND
                    : a->status == 429 || a->status == 503 ? ERR_BUSY
                    : a->status < 500                      ? ERR_USAGE
                                                           : ERR_FAILED;
    str_printable(str_of(text ? text : "it does not say why"), shown, sizeof shown);
    err_set(e, code, "the server at %s says %d: %s", f->shown, a->status, shown);
    json_decref(j);
    return false;
}

/* One question with a JSON answer; *out by json_decref. body may be NULL. */
static bool ask_json(far *f, const char *path, const buf *body, json_t **out, err *e) {
    char url[400];
    snprintf(url, sizeof url, "%s%s", f->base, path);
    http_ask q = {.url = url,
                  .authorization = f->key[0] ? f->key : NULL,
                  .content_type = "application/json",
                  .stopped = ask_stopped,
                  .max_redirects = -1};
    if (body) q.body = buf_str(body);
    http_answer a;
    *out = NULL;
    bool ok = http_client_fetch(f->client, &q, &a, e);
    if (ok && a.status != 200) ok = refused(f, &a, e);
    if (ok && !(*out = json_loadb(a.body.data ? a.body.data : "", a.body.len, 0, NULL)))
        ok = err_set(e, ERR_DAMAGED, "the server at %s answers with what is no JSON", f->shown);
    http_answer_deinit(&a);
    return ok;
}

/* ---- is it there, is it Hearth, has it the model ---- */

static bool has_model(const json_t *list, const char *model, bool *ours) {
    size_t i;
    const json_t *m, *data = json_object_get(list, "data");
    bool found = false;
    *ours = false;
    json_array_foreach(data, i, m) {
        const char *id = json_string_value(json_object_get(m, "id"));
        const char *by = json_string_value(json_object_get(m, "owned_by"));
        if (by && strcmp(by, "hearth") == 0) *ours = true;
        if (!id) continue;
        size_t n = strlen(id);
        bool latest = strncmp(model, id, n) == 0 && strcmp(model + n, ":latest") == 0;
        if (strcmp(id, model) == 0 || latest) found = true;
    }
    return found;
}

static bool read_props(far *f, err *e) {
    json_t *j;
    buf path;
    buf_init(&path, 1024);
    buf_puts(&path, "/props?model=");
    for (const char *p = f->model; *p; p++) buf_printf(&path, "%%%02X", (unsigned char)*p);
    bool ok = !path.failed && ask_json(f, path.data, NULL, &j, e);
    buf_deinit(&path);
    if (!ok) return false;
    json_int_t ctx = json_integer_value(
        json_object_get(json_object_get(j, "default_generation_settings"), "n_ctx"));
    const char *family = json_string_value(json_object_get(j, "chat_family"));
    const char *name = json_string_value(json_object_get(j, "model_name"));
    str_printable(str_of(name ? name : f->model), f->name, sizeof f->name);
    f->ctx = ctx > 0 && ctx <= LIMIT_CONTEXT ? (int32_t)ctx : 0;
    snprintf(f->family, sizeof f->family, "%s", family ? family : "");
    json_decref(j);
    return true;
}

/* *usable: it is a Hearth that has the model; false without one: *e says what is wrong. */
static bool look(far *f, bool *usable, bool demanded, err *e) {
    json_t *list;
    bool ours;
    *usable = false;
    if (!ask_json(f, "/v1/models", NULL, &list, e)) return false;
    bool found = has_model(list, f->model, &ours);
    json_decref(list);
    if (!ours)
        return demanded ? err_set(e, ERR_NO_SERVER, "what answers at %s is not Hearth", f->shown)
                        : true;
    if (!found)
        return demanded ? err_set(e, ERR_NOT_FOUND, "the server at %s has no model \"%s\"",
                                  f->shown, f->model)
                        : true;
    *usable = true;
    return read_props(f, e);
}

static far *make(const char *where, const char *model, err *e) {
    const char *key = getenv("HEARTH_API_KEY");
    far *f = calloc(1, sizeof *f);
    http_client_options o = {.connect_timeout_ms = 2000, .stall_timeout_ms = -1, .direct = true};
    if (!f || !(f->model = strdup(model))) {
        free(f);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    if (key && *key) snprintf(f->key, sizeof f->key, "Bearer %s", key);
    if (place(f, where, &o, e) && (f->client = http_client_new(&o, e))) return f;
    far_close(f);
    return NULL;
}

bool far_open(far **out, const char *model, err *e) {
    const char *where = getenv("HEARTH_HOST");
    bool demanded = where && *where;
    *out = NULL;
    if (!demanded) where = getenv("OLLAMA_HOST");
    if (!where || !*where) where = "127.0.0.1:11434";
    if (strcmp(where, "off") == 0) return true;
    far *f = make(where, model, e);
    bool usable = false;
    bool ok = f && look(f, &usable, demanded, e);
    if (ok && usable) {
        *out = f;
        return true;
    }
    far_close(f);
    if (ok) return true;
    if (demanded) return err_wrap(e, "HEARTH_HOST (--local runs the model here)");
    /* Whatever is there is none that can be used; what it said is no concern of this model. */
    *e = (err){0};
    return true;
}

bool far_get(const char *path, const buf *body, json_t **out, err *e) {
    const char *where = getenv("HEARTH_HOST");
    if (!where || !*where) where = getenv("OLLAMA_HOST");
    if (!where || !*where) where = "127.0.0.1:11434";
    if (strcmp(where, "off") == 0)
        return err_set(e, ERR_NO_SERVER, "HEARTH_HOST is off: no server is asked");
    far *f = make(where, "", e);
    bool ok = f && ask_json(f, path, body, out, e);
    if (!ok && e && e->code == ERR_NO_SERVER)
        err_wrap(e, "no server answers (hearth serve starts one; HEARTH_HOST says where it is)");
    far_close(f);
    return ok;
}

bool far_token_text(far *f, int32_t id, char *dst, size_t cap) {
    buf b;
    jsonw w;
    json_t *j = NULL;
    err e = {0};
    buf_init(&b, 2048);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(f->model));
    jsonw_key(&w, "tokens"), jsonw_array(&w), jsonw_int(&w, id), jsonw_end(&w);
    jsonw_end(&w);
    bool ok = ask_json(f, "/detokenize", &b, &j, &e);
    const char *text = json_string_value(json_object_get(j, "content"));
    str_printable(str_of(text ? text : ""), dst, cap);
    json_decref(j);
    buf_deinit(&b);
    return ok;
}

/* ---- the request ---- */

/* The prompt's value: the conversation as token numbers, made there; or the text. */
static bool prompt_write(far *f, const far_ask *q, jsonw *w, err *e) {
    if (!q->messages) {
        jsonw_str(w, q->text);
        return true;
    }
    buf b;
    jsonw m;
    json_t *j = NULL;
    buf_init(&b, LIMIT_TEXT_BYTES);
    jsonw_init(&m, &b);
    jsonw_object(&m);
    jsonw_key(&m, "model"), jsonw_str(&m, str_of(f->model));
    jsonw_key(&m, "return_tokens"), jsonw_bool(&m, true);
    jsonw_key(&m, "messages");
    jsonw_array(&m);
    for (size_t i = 0; i < q->n_messages; i++) {
        jsonw_object(&m);
        jsonw_key(&m, "role"), jsonw_str(&m, str_of(q->messages[i].role));
        jsonw_key(&m, "content"), jsonw_str(&m, str_of(q->messages[i].text));
        jsonw_end(&m);
    }
    jsonw_end(&m);
    jsonw_end(&m);
    bool ok = !b.failed || err_set(e, ERR_NO_FIT, "the conversation is too long to be sent");
    ok = ok && ask_json(f, "/apply-template", &b, &j, e);
    const json_t *tokens = json_object_get(j, "tokens"), *t;
    if (ok && !json_is_array(tokens))
        ok = err_set(e, ERR_DAMAGED, "the server at %s gives no tokens: it is of another version",
                     f->shown);
    size_t i;
    jsonw_array(w);
    json_array_foreach(tokens, i, t) jsonw_int(w, json_integer_value(t));
    jsonw_end(w);
    json_decref(j);
    buf_deinit(&b);
    return ok;
}

static void params_write(jsonw *w, const hearth_params *p) {
    const struct {
        const char *name;
        float value;
    } reals[] = {{"temperature", p->temperature},
                 {"top_p", p->top_p},
                 {"min_p", p->min_p},
                 {"typical_p", p->typical_p},
                 {"xtc_probability", p->xtc_probability},
                 {"xtc_threshold", p->xtc_threshold},
                 {"repeat_penalty", p->repeat_penalty},
                 {"frequency_penalty", p->frequency_penalty},
                 {"presence_penalty", p->presence_penalty},
                 {"dry_multiplier", p->dry_multiplier},
                 {"dry_base", p->dry_base},
                 {"mirostat_tau", p->mirostat_tau},
                 {"mirostat_eta", p->mirostat_eta}};
    const struct {
        const char *name;
        int64_t value;
    } wholes[] = {{"top_k", p->top_k},
                  {"repeat_last_n", p->penalty_last_n},
                  {"dry_allowed_length", p->dry_allowed_length},
                  {"dry_penalty_last_n", p->dry_last_n},
                  {"mirostat", p->mirostat},
                  {"seed", (int64_t)p->seed},
                  {"n_predict", p->max_tokens},
                  {"n_probs", p->n_logprobs < 0 ? 0
                              : p->n_logprobs   ? p->n_logprobs
                                                : 1}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        jsonw_key(w, reals[i].name), jsonw_f32(w, reals[i].value);
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++)
        jsonw_key(w, wholes[i].name), jsonw_int(w, wholes[i].value);
    jsonw_key(w, "ignore_eos"), jsonw_bool(w, p->ignore_eos);
    jsonw_key(w, "stop");
    jsonw_array(w);
    for (const char *const *s = p->stop; s && *s; s++) jsonw_str(w, str_of(*s));
    jsonw_end(w);
}

/* ---- the answer ---- */

typedef struct reading {
    far *f;
    const far_ask *q;
    bool (*each)(void *ud, const hearth_token *t);
    void *ud;
    hearth_usage *usage;
    http_lines lines;
    bool ended, unwanted; /* the last event was there; each said no */
    err *e;
} reading;

static float logprob_of(const json_t *v) {
    return (float)json_number_value(json_object_get(v, "logprob"));
}

static bool give_token(reading *r, const json_t *j) {
    const json_t *text = json_object_get(j, "content");
    const json_t *ids = json_object_get(j, "tokens"), *id = json_array_get(ids, 0), *v;
    const json_t *prob = json_array_get(json_object_get(j, "completion_probabilities"), 0);
    hearth_logprob top[LIMIT_TOP_LOGPROBS];
    hearth_token t = {.id = id ? (int32_t)json_integer_value(id) : -1,
                      .text = json_string_value(text) ? json_string_value(text) : "",
                      .text_len = json_string_length(text),
                      .logprob = prob ? logprob_of(prob) : NAN,
                      .top = top};
    size_t i;
    json_array_foreach(json_object_get(prob, "top_logprobs"), i, v) {
        if (t.n_top >= LIMIT_TOP_LOGPROBS || t.n_top >= r->q->params->n_logprobs) break;
        top[t.n_top++] = (hearth_logprob){(int32_t)json_integer_value(json_object_get(v, "id")),
                                          logprob_of(v)};
    }
    if (t.id >= 0) r->usage->n_generated++;
    r->unwanted = !r->each(r->ud, &t);
    return !r->unwanted;
}

static int32_t count(const json_t *j, const char *name) {
    double v = json_number_value(json_object_get(j, name));
    return v > 0 && v < 2e9 ? (int32_t)v : 0;
}

static void take_usage(reading *r, const json_t *j) {
    const json_t *t = json_object_get(j, "timings");
    const char *how = json_string_value(json_object_get(j, "stop_type"));
    hearth_usage *u = r->usage;
    u->n_prompt = count(j, "tokens_evaluated");
    u->n_generated = count(j, "tokens_predicted");
    u->n_cached = count(t, "cache_n");
    u->n_drafted = count(t, "draft_n");
    u->n_accepted = count(t, "draft_n_accepted");
    u->prefill_s = json_number_value(json_object_get(t, "prompt_ms")) / 1e3;
    u->decode_s = json_number_value(json_object_get(t, "predicted_ms")) / 1e3;
    u->finish = !how                        ? HEARTH_FINISH_NONE
                : strcmp(how, "eos") == 0   ? HEARTH_FINISH_END
                : strcmp(how, "word") == 0  ? HEARTH_FINISH_STOP
                : strcmp(how, "limit") == 0 ? HEARTH_FINISH_LENGTH
                                            : HEARTH_FINISH_CANCELLED;
}

static bool on_line(void *ud, str line) {
    reading *r = ud;
    if (!str_starts(line, STR("data: "))) return true; /* a comment that keeps the line open */
    json_t *j = json_loadb(line.p + 6, line.n - 6, 0, NULL);
    const json_t *error = json_object_get(j, "error");
    const char *why = json_string_value(json_object_get(error, "message"));
    char shown[400];
    bool ok = true;
    if (!j) {
        ok = err_set(r->e, ERR_DAMAGED, "the server at %s sends what is no JSON", r->f->shown);
    } else if (error) {
        str_printable(str_of(why ? why : "it does not say why"), shown, sizeof shown);
        ok = err_set(r->e, ERR_FAILED, "the server at %s: %s", r->f->shown, shown);
    } else if (json_is_true(json_object_get(j, "stop"))) {
        take_usage(r, j);
        r->ended = true;
    } else {
        ok = give_token(r, j);
    }
    json_decref(j);
    return ok;
}

static bool on_body(void *ud, const char *p, size_t n) {
    reading *r = ud;
    if (http_lines_feed(&r->lines, p, n)) return true;
    if (r->lines.rest.failed)
        err_set(r->e, ERR_DAMAGED, "the server at %s sends a line without end", r->f->shown);
    return false;
}

static bool stopped(void *ud) {
    reading *r = ud;
    return r->q->stopped && r->q->stopped();
}

static bool read_answer(reading *r, const buf *body) {
    char url[400];
    snprintf(url, sizeof url, "%s/completion", r->f->base);
    http_ask q = {.url = url,
                  .authorization = r->f->key[0] ? r->f->key : NULL,
                  .content_type = "application/json",
                  .body = buf_str(body),
                  .max_redirects = -1,
                  .on_body = on_body,
                  .stopped = stopped,
                  .ud = r};
    http_answer a;
    bool ok = http_client_fetch(r->f->client, &q, &a, r->e);
    bool cancelled = r->unwanted || a.fault == HTTP_FAULT_STOPPED;
    if (ok && a.status != 200) ok = refused(r->f, &a, r->e);
    else if (ok && !r->ended)
        ok = err_set(r->e, ERR_NO_SERVER, "the server at %s left before the answer was complete",
                     r->f->shown);
    http_answer_deinit(&a);
    if (cancelled) r->usage->finish = HEARTH_FINISH_CANCELLED;
    return ok || cancelled;
}

bool far_answer(far *f, const far_ask *q, bool (*each)(void *ud, const hearth_token *t), void *ud,
                hearth_usage *usage, err *e) {
    *usage = (hearth_usage){0};
    buf b;
    jsonw w;
    buf_init(&b, LIMIT_TEXT_BYTES);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(f->model));
    jsonw_key(&w, "stream"), jsonw_bool(&w, true);
    jsonw_key(&w, "return_tokens"), jsonw_bool(&w, true);
    params_write(&w, q->params);
    jsonw_key(&w, "prompt");
    bool ok = prompt_write(f, q, &w, e);
    jsonw_end(&w);
    if (ok && b.failed) ok = err_set(e, ERR_NO_FIT, "the prompt is too long to be sent");
    if (ok) {
        reading r = {.f = f, .q = q, .each = each, .ud = ud, .usage = usage, .e = e};
        r.lines = (http_lines){.line = on_line, .ud = &r};
        buf_init(&r.lines.rest, EVENT_MAX + 8 * (size_t)b.len);
        ok = read_answer(&r, &b);
        buf_deinit(&r.lines.rest);
    }
    buf_deinit(&b);
    return ok;
}
