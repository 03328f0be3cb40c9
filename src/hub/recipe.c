#include "hub/recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "hub/places.h"

/* ---- parameters ---- */

const hub_param hub_params[] = {
    {"temperature", HUB_PARAM_REAL, 0, 100},
    {"top_k", HUB_PARAM_INT, -1, INT32_MAX},
    {"top_p", HUB_PARAM_REAL, 0, 1},
    {"min_p", HUB_PARAM_REAL, 0, 1},
    {"typical_p", HUB_PARAM_REAL, 0, 1},
    {"repeat_last_n", HUB_PARAM_INT, -1, INT32_MAX},
    {"repeat_penalty", HUB_PARAM_REAL, 0.01, 100},
    {"presence_penalty", HUB_PARAM_REAL, -2, 2},
    {"frequency_penalty", HUB_PARAM_REAL, -2, 2},
    {"seed", HUB_PARAM_INT, -9e15, 9e15},
    {"stop", HUB_PARAM_TEXTS, 0, 0},
    {"num_ctx", HUB_PARAM_INT, 0, LIMIT_CONTEXT},
    {"num_predict", HUB_PARAM_INT, -2, INT32_MAX},
    {"mirostat", HUB_PARAM_INT, 0, 2},
    {"mirostat_tau", HUB_PARAM_REAL, 0, 100},
    {"mirostat_eta", HUB_PARAM_REAL, 0, 1},
    {"xtc_probability", HUB_PARAM_REAL, 0, 1},
    {"xtc_threshold", HUB_PARAM_REAL, 0, 1},
    {"dry_multiplier", HUB_PARAM_REAL, 0, 100},
    {"dry_base", HUB_PARAM_REAL, 0, 100},
    {"dry_allowed_length", HUB_PARAM_INT, 0, 65536},
    {"dry_penalty_last_n", HUB_PARAM_INT, -1, INT32_MAX},
    {"draft_num_predict", HUB_PARAM_INT, 0, INT32_MAX},
    {"num_keep", HUB_PARAM_INT, -1, INT32_MAX},
    {"num_batch", HUB_PARAM_INT, 0, INT32_MAX},
    {"num_gpu", HUB_PARAM_INT, -1, INT32_MAX},
    {"main_gpu", HUB_PARAM_INT, 0, INT32_MAX},
    {"num_thread", HUB_PARAM_INT, 0, INT32_MAX},
    {"use_mmap", HUB_PARAM_BOOL, 0, 0},
    {"use_mlock", HUB_PARAM_IGNORED, 0, 0},
    {"penalize_newline", HUB_PARAM_IGNORED, 0, 0},
    {"low_vram", HUB_PARAM_IGNORED, 0, 0},
    {"f16_kv", HUB_PARAM_IGNORED, 0, 0},
    {"logits_all", HUB_PARAM_IGNORED, 0, 0},
    {"vocab_only", HUB_PARAM_IGNORED, 0, 0},
    {"tfs_z", HUB_PARAM_IGNORED, 0, 0},
    {"numa", HUB_PARAM_IGNORED, 0, 0},
    {"num_gqa", HUB_PARAM_IGNORED, 0, 0},
    {NULL, HUB_PARAM_IGNORED, 0, 0},
};

const hub_param *hub_param_named(const char *name) {
    for (const hub_param *p = hub_params; p->name; p++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

static bool bad(err *e, const char *name, const char *value, const char *why) {
    char shown[60], shown_value[80];
    return err_set(e, ERR_USAGE, "parameter %s: \"%s\" %s",
                   str_printable(str_of(name), shown, sizeof shown),
                   str_printable(str_of(value), shown_value, sizeof shown_value), why);
}

static bool out_of_range(err *e, const hub_param *p, const char *value) {
    char why[100];
    snprintf(why, sizeof why, "is not from %.10g to %.10g", p->min, p->max);
    return bad(e, p->name, value, why);
}

static bool text_add(json_t *params, const char *name, const char *value, err *e) {
    json_t *list = json_object_get(params, name), *text = json_string(value);
    if (!text) return bad(e, name, value, "is no UTF-8 text");
    if (!list) {
        list = json_array();
        if (!list || json_object_set_new(params, name, list) != 0) {
            json_decref(text);
            return err_set(e, ERR_NO_FIT, "out of memory");
        }
    }
    if (json_array_size(list) >= LIMIT_STOP_STRINGS || strlen(value) > LIMIT_STOP_BYTES) {
        json_decref(text);
        return bad(e, name, value, "is one too many, or too long");
    }
    return json_array_append_new(list, text) == 0 || err_set(e, ERR_NO_FIT, "out of memory");
}

static bool unknown(err *e, const char *name) {
    char known[400] = "", shown[80];
    size_t n = 0;
    for (const hub_param *p = hub_params; p->name && n < sizeof known; p++)
        if (p->kind != HUB_PARAM_IGNORED)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", p->name);
    str_printable(str_of(name), shown, sizeof shown);
    return err_set(e, ERR_USAGE, "there is no parameter \"%s\"; there are %s", shown, known);
}

bool hub_param_put(json_t *params, const char *name, const char *value, err *e) {
    const hub_param *p = hub_param_named(name);
    json_t *v = NULL;
    double x;
    if (!p) return unknown(e, name);
    switch (p->kind) {
    case HUB_PARAM_IGNORED: return true;
    case HUB_PARAM_TEXTS: return text_add(params, name, value, e);
    case HUB_PARAM_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return bad(e, name, value, "is neither true nor false");
        v = json_boolean(value[0] == 't');
        break;
    case HUB_PARAM_INT:
    case HUB_PARAM_REAL:
        if (!str_to_f64(str_of(value), &x)) return bad(e, name, value, "is no number");
        if (!(x >= p->min && x <= p->max)) return out_of_range(e, p, value);
        if (p->kind == HUB_PARAM_INT && x != floor(x)) return bad(e, name, value, "is not whole");
        v = p->kind == HUB_PARAM_INT ? json_integer((json_int_t)x) : json_real(x);
        break;
    }
    return json_object_set_new(params, name, v) == 0 || err_set(e, ERR_NO_FIT, "out of memory");
}

static bool param_check(json_t *out, const hub_param *p, const json_t *v, err *e) {
    char text[64];
    size_t i;
    json_t *one;
    if (p->kind == HUB_PARAM_TEXTS) {
        if (json_is_string(v)) return text_add(out, p->name, json_string_value(v), e);
        if (!json_is_array(v)) return bad(e, p->name, "?", "is no list of texts");
        json_array_foreach(v, i, one) {
            if (!json_is_string(one)) return bad(e, p->name, "?", "is no text");
            if (!text_add(out, p->name, json_string_value(one), e)) return false;
        }
        return true;
    }
    if (json_is_boolean(v))
        return hub_param_put(out, p->name, json_is_true(v) ? "true" : "false", e);
    if (json_is_string(v)) return hub_param_put(out, p->name, json_string_value(v), e);
    if (!json_is_number(v)) return bad(e, p->name, "?", "is no number");
    snprintf(text, sizeof text, "%.17g", json_number_value(v));
    return hub_param_put(out, p->name, text, e);
}

bool hub_params_check(const json_t *from, json_t **out, err *e) {
    const char *key;
    json_t *v;
    *out = json_object();
    bool ok = *out != NULL || err_set(e, ERR_NO_FIT, "out of memory");
    json_object_foreach((json_t *)from, key, v) {
        const hub_param *p = hub_param_named(key);
        if (!ok || json_is_null(v)) continue;
        if (!p) ok = unknown(e, key);
        else if (p->kind != HUB_PARAM_IGNORED) ok = param_check(*out, p, v, e);
    }
    if (ok) return true;
    json_decref(*out);
    *out = NULL;
    return false;
}

/* ---- reading layers ---- */

/* *out by free; text as it is but for a NUL, which ends it. */
static bool layer_text(const hub_store *s, const hub_layer *l, char **out, err *e) {
    buf b;
    buf_init(&b, LIMIT_LAYER_TEXT);
    bool ok = hub_store_blob_read(s, &l->digest, &b, e);
    if (ok) *out = b.len ? strndup(b.data, b.len) : strdup("");
    buf_deinit(&b);
    return ok && (*out || err_set(e, ERR_NO_FIT, "out of memory"));
}

static bool layer_json(const hub_store *s, const hub_layer *l, json_t **out, err *e) {
    char *text = NULL;
    json_error_t why;
    char shown[120];
    if (!layer_text(s, l, &text, e)) return false;
    *out = json_loads(text, 0, &why);
    free(text);
    return *out || err_set(e, ERR_DAMAGED, "%s: not JSON: %s", l->media,
                           str_printable(str_of(why.text), shown, sizeof shown));
}

/* What others' programs wrote: a parameter that is not known has no effect, and is no error. */
static bool params_read(hub_recipe *r, const hub_store *s, const hub_layer *l, err *e) {
    json_t *all, *v;
    const char *key;
    if (!layer_json(s, l, &all, e)) return false;
    r->params = json_object();
    json_object_foreach(all, key, v) {
        const hub_param *p = hub_param_named(key);
        if (p && r->params && !json_is_null(v)) param_check(r->params, p, v, NULL);
    }
    json_decref(all);
    return r->params || err_set(e, ERR_NO_FIT, "out of memory");
}

static bool messages_read(hub_recipe *r, const hub_store *s, const hub_layer *l, err *e) {
    json_t *m;
    size_t i;
    if (!layer_json(s, l, &r->messages, e)) return false;
    bool ok = json_is_array(r->messages);
    json_array_foreach(r->messages, i, m) ok = ok && json_is_string(json_object_get(m, "role")) &&
                                               json_is_string(json_object_get(m, "content"));
    return ok || err_set(e, ERR_DAMAGED, "%s: not a list of messages", l->media);
}

static void config_text(const json_t *config, const char *key, char *dst, size_t cap) {
    const char *s = json_string_value(json_object_get(config, key));
    str_printable(str_of(s ? s : ""), dst, cap);
}

static bool config_read(hub_recipe *r, const hub_store *s, const hub_layer *l, err *e) {
    json_t *config;
    if (!l->digest.hex[0]) return true;
    if (!layer_json(s, l, &config, e)) return false;
    config_text(config, "renderer", r->renderer, sizeof r->renderer);
    config_text(config, "parser", r->parser, sizeof r->parser);
    config_text(config, "requires", r->requires, sizeof r->requires);
    r->template_own = json_is_true(json_object_get(config, "hearth_template"));
    json_decref(config);
    return true;
}

static bool path_add(char ***list, size_t *n, char *path) {
    char **more = realloc(*list, (*n + 1) * sizeof *more);
    if (!more || !path) {
        free(path);
        if (more) *list = more;
        return false;
    }
    more[(*n)++] = path;
    *list = more;
    return true;
}

static bool layer_read(hub_recipe *r, const hub_store *s, const hub_layer *l, err *e) {
    char *text = NULL;
    switch (l->kind) {
    case HUB_LAYER_PARAMS: return r->params || params_read(r, s, l, e);
    case HUB_LAYER_MESSAGES: return r->messages || messages_read(r, s, l, e);
    case HUB_LAYER_SYSTEM: return r->system || layer_text(s, l, &r->system, e);
    case HUB_LAYER_TEMPLATE: return r->template || layer_text(s, l, &r->template, e);
    case HUB_LAYER_LICENSE:
        return layer_text(s, l, &text, e) && (path_add(&r->license, &r->n_license, text) ||
                                              err_set(e, ERR_NO_FIT, "out of memory"));
    case HUB_LAYER_ADAPTER:
        text = hub_store_blob_file(s, &l->digest, e);
        return text && (path_add(&r->adapter, &r->n_adapter, text) ||
                        err_set(e, ERR_NO_FIT, "out of memory"));
    case HUB_LAYER_DRAFT:
        if (!r->draft) r->draft = hub_store_blob_file(s, &l->digest, e);
        return r->draft != NULL;
    case HUB_LAYER_MODEL:
    case HUB_LAYER_PROJECTOR:
    case HUB_LAYER_TENSOR:
    case HUB_LAYER_OTHER:
    case HUB_LAYER_CONFIG: break;
    }
    return true;
}

bool hub_recipe_read(hub_recipe *r, const hub_store *s, const hub_manifest *m, err *e) {
    *r = (hub_recipe){0};
    bool ok = config_read(r, s, &m->config, e);
    for (size_t i = 0; ok && i < m->n; i++) ok = layer_read(r, s, &m->layer[i], e);
    if (!ok) hub_recipe_deinit(r);
    return ok;
}

bool hub_recipe_of(hub_recipe *r, const char *name, err *e) {
    hub_name n;
    hub_entry x;
    hub_manifest m;
    *r = (hub_recipe){0};
    if (!hub_name_parse(&n, str_of(name), NULL) || n.kind != HUB_NAME) return true;
    hub_places *p = hub_places_open(e);
    if (!p) return false;
    bool ok = true;
    if (hub_places_find(p, &n, &x, NULL)) {
        if (x.store) {
            ok = hub_store_manifest(x.store, HUB_READY, &x.name, &m, e);
            if (ok) {
                ok = hub_recipe_read(r, x.store, &m, e);
                hub_manifest_deinit(&m);
            }
        }
        hub_entry_deinit(&x);
    }
    hub_places_close(p);
    return ok;
}

static void list_free(char **list, size_t n) {
    for (size_t i = 0; i < n; i++) free(list[i]);
    free(list);
}

void hub_recipe_deinit(hub_recipe *r) {
    json_decref(r->params);
    json_decref(r->messages);
    free(r->system);
    free(r->template);
    free(r->draft);
    list_free(r->license, r->n_license);
    list_free(r->adapter, r->n_adapter);
    *r = (hub_recipe){0};
}

bool hub_recipe_is_empty(const hub_recipe *r) {
    return !r->params && !r->messages && !r->system && !r->template && !r->n_license &&
           !r->n_adapter && !r->draft && !r->renderer[0] && !r->parser[0] && !r->requires[0];
}

/* ---- conversations ---- */

static bool is_system(const json_t *m) {
    const char *role = json_string_value(json_object_get(m, "role"));
    return role && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0);
}

/* The system text first, then the recipe's messages, then what was said. */
json_t *hub_recipe_talk(const hub_recipe *r, const json_t *messages) {
    json_t *out = json_array(), *m;
    size_t i;
    bool ok = out != NULL, given = false;
    json_array_foreach(messages, i, m) given = given || is_system(m);
    if (r->system && *r->system && !given)
        ok = ok && json_array_append_new(
                       out, json_pack("{ssss}", "role", "system", "content", r->system)) == 0;
    /* a system message of the request stays in front */
    size_t front = 0;
    while (is_system(json_array_get(messages, front))) front++;
    for (i = 0; ok && i < front; i++) ok = json_array_append(out, json_array_get(messages, i)) == 0;
    json_array_foreach(r->messages, i, m) {
        if (is_system(m) && (given || (r->system && *r->system))) continue;
        ok = ok && json_array_append(out, m) == 0;
    }
    for (i = front; ok && i < json_array_size(messages); i++)
        ok = json_array_append(out, json_array_get(messages, i)) == 0;
    if (ok) return out;
    json_decref(out);
    return NULL;
}

/* ---- as a Modelfile ---- */

typedef void (*param_fn)(void *ud, const char *name, const char *value);

static void params_each(const json_t *params, param_fn fn, void *ud) {
    for (const hub_param *p = hub_params; p->name; p++) {
        const json_t *v = json_object_get(params, p->name);
        char text[64];
        size_t i;
        json_t *one;
        if (!v) continue;
        if (json_is_array(v)) {
            json_array_foreach(v, i, one) fn(ud, p->name, json_string_value(one));
            continue;
        }
        if (json_is_boolean(v))
            snprintf(text, sizeof text, "%s", json_is_true(v) ? "true" : "false");
        else if (json_is_integer(v))
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
        else {
            for (int digits = 1; digits <= 17; digits++) { /* the shortest that reads back */
                double back;
                snprintf(text, sizeof text, "%.*g", digits, json_real_value(v));
                if (str_to_f64(str_of(text), &back) && back == json_real_value(v)) break;
            }
        }
        fn(ud, p->name, text);
    }
}

typedef struct writer {
    buf *out;
    bool failed;
} writer;

static void put(writer *w, hub_command c, const char *name, const char *value) {
    if (value && !hub_modelfile_write(w->out, c, name, value)) w->failed = true;
}

static void put_param(void *ud, const char *name, const char *value) {
    put(ud, HUB_PARAMETER, name, value);
}

bool hub_recipe_write(buf *out, const hub_recipe *r, const char *from, err *e) {
    writer w = {.out = out};
    json_t *m;
    size_t i;
    put(&w, HUB_FROM, NULL, from);
    for (i = 0; i < r->n_adapter; i++) put(&w, HUB_ADAPTER, NULL, r->adapter[i]);
    put(&w, HUB_DRAFT, NULL, r->draft);
    put(&w, HUB_TEMPLATE, NULL, r->template);
    put(&w, HUB_SYSTEM, NULL, r->system);
    if (r->renderer[0]) put(&w, HUB_RENDERER, NULL, r->renderer);
    if (r->parser[0]) put(&w, HUB_PARSER, NULL, r->parser);
    if (r->requires[0]) put(&w, HUB_REQUIRES, NULL, r->requires);
    params_each(r->params, put_param, &w);
    json_array_foreach(r->messages, i, m)
        put(&w, HUB_MESSAGE, json_string_value(json_object_get(m, "role")),
            json_string_value(json_object_get(m, "content")));
    for (i = 0; i < r->n_license; i++) put(&w, HUB_LICENSE, NULL, r->license[i]);
    if (w.failed)
        return err_set(e, ERR_FAILED,
                       "one of its texts holds both kinds of quotes at a line's end: no Modelfile "
                       "can say it");
    return !out->failed || err_set(e, ERR_NO_FIT, "out of memory");
}

static void put_param_line(void *ud, const char *name, const char *value) {
    const hub_param *p = hub_param_named(name);
    const char *quote = p && p->kind == HUB_PARAM_TEXTS ? "\"" : "";
    buf_printf(ud, "%-30s %s%s%s\n", name, quote, value, quote);
}

void hub_recipe_write_params(buf *out, const hub_recipe *r) {
    params_each(r->params, put_param_line, out);
}
