/* Finding and opening models for the commands. */
#include "cli/models.h"

#include <stdio.h>

#include "cli/bar.h"
#include "cli/cli.h"

bool models_have_bundled(void) {
    return hub_have_bundled();
}

bool models_find(models_ref *r, const char *name, err *e) {
    return hub_find(r, name, e);
}

/* ---- opening ---- */

hearth_model *models_open(const models_ref *r, int threads, int32_t ctx, bool no_pack,
                          hearth_err *e) {
    bar b;
    bar_begin(&b, "loading", r->name);
    hearth_model_options o = {.n_threads = threads,
                              .n_ctx = ctx,
                              .no_pack = no_pack,
                              .progress = bar_draw,
                              .progress_ud = &b};
    hearth_model *m = hub_open(r, &o, e);
    bar_end(&b);
    return m;
}

model *models_open_inner(const models_ref *r, team *t, bool as_f32, err *e) {
    bar b;
    if (!hub_runs(r, e)) return NULL;
    bar_begin(&b, "loading", r->name);
    model_options o = {.team = t, .as_f32 = as_f32, .progress = bar_draw, .progress_ud = &b};
    model *m = r->data ? model_open_memory(r->data, r->n, r->name, &o, e)
                       : model_open(r->path, &o, e);
    bar_end(&b);
    return m;
}

gguf *models_open_file(const models_ref *r, err *e) {
    return r->data ? gguf_open_memory(r->data, r->n, r->name, e) : gguf_open(r->path, e);
}

void err_from_hearth(err *e, const hearth_err *from) {
    e->code = (err_code)from->code;
    snprintf(e->msg, sizeof e->msg, "%s", from->msg);
}
