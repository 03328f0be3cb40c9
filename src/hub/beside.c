#include "hub/beside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/team.h"

static bool add_one(hub_adapters *l, str text, char sep, err *e) {
    char shown[120];
    double scale = 1;
    size_t at = text.n;
    str_printable(text, shown, sizeof shown);
    while (at > 0 && text.p[at - 1] != sep) at--;
    bool split = at > 0 && str_to_f64((str){text.p + at, text.n - at}, &scale);
    if (!split && sep == ':')
        return err_set(e, ERR_USAGE, "adapter \"%s\": FILE:SCALE is wanted", shown);
    if (split && !(isfinite(scale) && fabs(scale) <= LIMIT_LORA_SCALE))
        return err_set(e, ERR_USAGE, "adapter \"%s\": a scale from -%d to %d is wanted", shown,
                       LIMIT_LORA_SCALE, LIMIT_LORA_SCALE);
    if (split) text.n = at - 1;
    if (text.n == 0) return err_set(e, ERR_USAGE, "adapter \"%s\": a file is wanted", shown);
    if (l->n == LIMIT_LORAS)
        return err_set(e, ERR_USAGE, "adapter \"%s\": one too many; there may be %d", shown,
                       LIMIT_LORAS);
    hub_adapter *more = realloc(l->item, (l->n + 1) * sizeof *more);
    char *path = strndup(text.p, text.n);
    if (more) l->item = more;
    if (!more || !path) {
        free(path);
        return err_set(e, ERR_NO_FIT, "out of memory");
    }
    l->item[l->n++] = (hub_adapter){path, (float)scale};
    return true;
}

bool hub_adapters_add(hub_adapters *l, const char *text, char sep, err *e) {
    if (access(text, F_OK) == 0) return add_one(l, str_of(text), sep, e);
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        if (!add_one(l, (str){p, n}, sep, e)) return false;
        p += n;
        if (!*p) return true;
    }
}

void hub_adapters_deinit(hub_adapters *l) {
    for (size_t i = 0; i < l->n; i++) free(l->item[i].path);
    free(l->item);
    *l = (hub_adapters){0};
}

static bool open_one(hearth_lora_use *u, hearth_model *m, const char *path, float scale, err *e) {
    hearth_err he = {0};
    *u = (hearth_lora_use){hearth_lora_open(m, path, &he), scale};
    return u->lora || err_set(e, (err_code)he.code, "%s", he.msg);
}

bool hub_loras_open(hearth_model *m, const hub_recipe *r, const hub_adapters *more,
                    hearth_lora_use **use, size_t *n, err *e) {
    size_t own = r->n_adapter, all = own + (more ? more->n : 0);
    *use = NULL;
    *n = 0;
    if (all == 0) return true;
    if (all > LIMIT_LORAS)
        return err_set(e, ERR_USAGE, "%zu adapters; a model has at most %d", all, LIMIT_LORAS);
    hearth_lora_use *list = calloc(all, sizeof *list);
    bool ok = list || err_set(e, ERR_NO_FIT, "out of memory");
    for (; ok && *n < all; *n += ok)
        ok = *n < own
                 ? open_one(&list[*n], m, r->adapter[*n], 1, e)
                 : open_one(&list[*n], m, more->item[*n - own].path, more->item[*n - own].scale, e);
    if (ok) {
        *use = list;
        return true;
    }
    hub_loras_close(list, *n);
    *n = 0;
    return false;
}

bool hub_loras_of(hearth_model *m, const char *name, const hub_adapters *more,
                  hearth_lora_use **use, size_t *n, err *e) {
    hub_recipe r;
    if (!hub_recipe_of(&r, name, e)) return false;
    bool ok = hub_loras_open(m, &r, more, use, n, e);
    hub_recipe_deinit(&r);
    return ok;
}

void hub_loras_close(hearth_lora_use *use, size_t n) {
    for (size_t i = 0; i < n; i++) hearth_lora_close(use[i].lora);
    free(use);
}

static int64_t number_of(const hub_recipe *r, const char *name, int64_t otherwise) {
    const json_t *v = json_object_get(r->params, name);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool hub_draft_open(const hub_recipe *r, const hearth_model_options *o, hearth_model **out,
                    err *e) {
    hearth_err he = {0};
    *out = NULL;
    if (!r->draft || number_of(r, "draft_num_predict", 1) == 0) return true;
    *out = hearth_model_open(r->draft, o, &he);
    return *out || err_set(e, (err_code)he.code, "%s", he.msg);
}

void hub_engine_settle(const hub_recipe *r, hearth_engine_options *o) {
    int64_t ctx = number_of(r, "num_ctx", 0), rows = number_of(r, "num_batch", 0);
    int64_t threads = number_of(r, "num_thread", 0), most = number_of(r, "draft_num_predict", 0);
    if (o->n_ctx == 0 && ctx > 0) o->n_ctx = (int32_t)ctx;
    if (o->batch_tokens == 0 && rows > 0)
        o->batch_tokens = (int32_t)(rows < 16                   ? 16
                                    : rows > LIMIT_BATCH_TOKENS ? LIMIT_BATCH_TOKENS
                                                                : rows);
    if (o->n_threads == 0 && threads > 0 && threads < team_default_size())
        o->n_threads = (int)threads;
    if (o->draft_most == 0 && most > 0) o->draft_most = (int32_t)most;
}

const char *hub_lora_file(const hub_recipe *r, const hub_adapters *more, size_t i) {
    const char *path = i < r->n_adapter ? r->adapter[i] : more->item[i - r->n_adapter].path;
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
