/* Finding and opening models for the commands. */
#include "cli/models.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/bar.h"
#include "cli/cli.h"

#ifdef HEARTH_HAVE_BARD
extern const unsigned char hearth_bard_begin[], hearth_bard_end[];
#endif

bool models_have_bundled(void) {
#ifdef HEARTH_HAVE_BARD
    return true;
#else
    return false;
#endif
}

bool models_find(models_ref *r, const char *name, err *e) {
    *r = (models_ref){.name = name};
    if (strcmp(name, "bard") == 0) {
#ifdef HEARTH_HAVE_BARD
        r->data = hearth_bard_begin;
        r->n = (size_t)(hearth_bard_end - hearth_bard_begin);
        return true;
#else
        return err_set(e, ERR_NOT_FOUND,
                       "this build of hearth has no model of its own: give a path to a .gguf file");
#endif
    }
    if (strchr(name, '/') || str_ends(str_of(name), STR(".gguf")) || access(name, F_OK) == 0 ||
        errno == EACCES)
        return true;
    char shown[120];
    return err_set(e, ERR_NOT_FOUND,
                   "there is no model \"%s\": a model is a path to a .gguf file, or bard",
                   str_printable(str_of(name), shown, sizeof shown));
}

/* ---- opening ---- */

hearth_model *models_open(const models_ref *r, int threads, int32_t ctx, hearth_err *e) {
    bar b;
    bar_begin(&b, "loading", r->name);
    hearth_model_options o = {
        .n_threads = threads, .n_ctx = ctx, .progress = bar_draw, .progress_ud = &b};
    hearth_model *m = r->data ? hearth_model_open_memory(r->data, r->n, r->name, &o, e)
                              : hearth_model_open(r->name, &o, e);
    bar_end(&b);
    return m;
}

model *models_open_inner(const models_ref *r, team *t, bool as_f32, err *e) {
    bar b;
    bar_begin(&b, "loading", r->name);
    model_options o = {.team = t, .as_f32 = as_f32, .progress = bar_draw, .progress_ud = &b};
    model *m = r->data ? model_open_memory(r->data, r->n, r->name, &o, e)
                       : model_open(r->name, &o, e);
    bar_end(&b);
    return m;
}

gguf *models_open_file(const models_ref *r, err *e) {
    return r->data ? gguf_open_memory(r->data, r->n, r->name, e) : gguf_open(r->name, e);
}

void err_from_hearth(err *e, const hearth_err *from) {
    e->code = (err_code)from->code;
    snprintf(e->msg, sizeof e->msg, "%s", from->msg);
}
