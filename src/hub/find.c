/* Which model a name means. */
#include "hub/find.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "hub/places.h"

#ifdef HEARTH_HAVE_BARD
extern const unsigned char hearth_bard_begin[], hearth_bard_end[];
#endif

bool hub_have_bundled(void) {
#ifdef HEARTH_HAVE_BARD
    return true;
#else
    return false;
#endif
}

static bool bundled(hub_model *r, err *e) {
    snprintf(r->path, sizeof r->path, "bard");
#ifdef HEARTH_HAVE_BARD
    (void)e;
    r->data = hearth_bard_begin;
    r->n = (size_t)(hearth_bard_end - hearth_bard_begin);
    return true;
#else
    return err_set(e, ERR_NOT_FOUND,
                   "this build of hearth has no model of its own: give a path to a .gguf file");
#endif
}

/* Of a name that a store has. False without an error: none has it. */
static bool stored(hub_model *r, const hub_name *n, err *e) {
    hub_entry x;
    err why = {0};
    hub_places *p = hub_places_open(&why);
    bool ok = p && hub_places_find(p, n, &x, &why);
    if (ok) {
        r->stored = true;
        if (!x.file)
            ok = err_set(&why, ERR_FAILED,
                         "\"%s\" has no weights in GGUF: it runs on another machine, or is made "
                         "for another program",
                         r->name);
        else if (strlen(x.file) >= sizeof r->path)
            ok = err_set(&why, ERR_FAILED, "the path of \"%s\" is too long", r->name);
        else snprintf(r->path, sizeof r->path, "%s", x.file);
        r->n_adapters = x.n_adapters;
        hub_entry_deinit(&x);
    }
    hub_places_close(p);
    if (!ok && why.code != ERR_NOT_FOUND && e) *e = why;
    return ok;
}

static bool as_path(hub_model *r, const char *name, err *e) {
    if (strlen(name) >= sizeof r->path)
        return err_set(e, ERR_USAGE, "a path of %zu bytes is too long", strlen(name));
    snprintf(r->path, sizeof r->path, "%s", name);
    return true;
}

bool hub_find(hub_model *r, const char *name, err *e) {
    hub_name n;
    err why = {0};
    char shown[120];
    *r = (hub_model){.name = name};
    bool named = hub_name_parse(&n, str_of(name), &why);
    if (named && n.kind == HUB_BUNDLED) return bundled(r, e);
    if (named && n.kind == HUB_PATH) return as_path(r, name, e);
    str_printable(str_of(name), shown, sizeof shown);
    if (named && n.kind == HUB_URL)
        return err_set(e, ERR_NOT_FOUND, "%s is on another machine: hearth pull fetches it", shown);
    why = (err){0};
    if (named && stored(r, &n, &why)) return true;
    if (why.code) {
        if (e) *e = why;
        return false;
    }
    if (access(name, F_OK) == 0 || errno == EACCES) {
        r->in_cwd = true;
        return as_path(r, name, e);
    }
    if (named)
        return err_set(e, ERR_NOT_FOUND,
                       "there is no model \"%s\": hearth list shows those that are here, hearth "
                       "pull gets one; or give a path to a .gguf file",
                       shown);
    return err_set(e, ERR_NOT_FOUND,
                   "there is no model \"%s\": a model is a name, a path to a .gguf file, or bard",
                   shown);
}

bool hub_runs(const hub_model *r, err *e) {
    if (r->n_adapters == 0) return true;
    return err_set(e, ERR_FAILED,
                   "\"%s\" has an adapter (LoRA), which is kept but not applied here: its weights "
                   "alone are another model, hearth show --modelfile says which",
                   r->name);
}

hearth_model *hub_open(const hub_model *r, const hearth_model_options *o, hearth_err *e) {
    err why = {0};
    if (!hub_runs(r, &why)) {
        if (e) e->code = (int)why.code, snprintf(e->msg, sizeof e->msg, "%s", why.msg);
        return NULL;
    }
    return r->data ? hearth_model_open_memory(r->data, r->n, r->name, o, e)
                   : hearth_model_open(r->path, o, e);
}

/* "-00001-of-00003" at the end of a split file's name. */
static size_t part_suffix(str s) {
    enum { N = 15 };
    if (s.n <= N) return 0;
    const char *p = s.p + s.n - N;
    if (p[0] != '-' || memcmp(p + 6, "-of-", 4) != 0) return 0;
    for (int i = 1; i < N; i++)
        if ((i < 6 || i > 9) && !isdigit((unsigned char)p[i])) return 0;
    return N;
}

str hub_stem(const char *path) {
    const char *slash = strrchr(path, '/');
    str s = str_of(slash ? slash + 1 : path);
    if (str_ends(s, STR(".gguf"))) s.n -= 5;
    s.n -= part_suffix(s);
    return s;
}
