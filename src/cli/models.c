/* Finding and opening models for the commands. */
#include "cli/models.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
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

/* ---- progress ---- */

typedef struct bar {
    const char *name;
    double began, drawn; /* seconds */
    bool shown;
} bar;

static void bar_draw(void *ud, uint64_t done, uint64_t total) {
    bar *b = ud;
    double now = clock_now_s();
    if (total == 0 || now - b->began < 1.0 || now - b->drawn < 0.1) return;
    b->drawn = now;
    b->shown = true;
    enum { CELLS = 24 };
    char cells[CELLS + 1], size[32];
    double share = (double)done / (double)total;
    for (int i = 0; i < CELLS; i++) cells[i] = (double)i < share * CELLS ? '#' : '.';
    cells[CELLS] = 0;
    const char *base = strrchr(b->name, '/');
    fprintf(stderr, "\r\033[Kloading %.40s [%s] %3.0f %% of %s", base ? base + 1 : b->name, cells,
            100 * share, human_bytes(total, size, sizeof size));
    fflush(stderr);
}

static void bar_end(bar *b) {
    if (b->shown) fprintf(stderr, "\r\033[K");
}

/* ---- opening ---- */

hearth_model *models_open(const models_ref *r, int threads, int32_t ctx, hearth_err *e) {
    bar b = {.name = r->name, .began = clock_now_s()};
    hearth_model_options o = {.n_threads = threads, .n_ctx = ctx, .progress_ud = &b};
    if (err_is_terminal()) o.progress = bar_draw;
    hearth_model *m = r->data ? hearth_model_open_memory(r->data, r->n, r->name, &o, e)
                              : hearth_model_open(r->name, &o, e);
    bar_end(&b);
    return m;
}

model *models_open_inner(const models_ref *r, team *t, bool as_f32, err *e) {
    bar b = {.name = r->name, .began = clock_now_s()};
    model_options o = {.team = t, .as_f32 = as_f32, .progress_ud = &b};
    if (err_is_terminal()) o.progress = bar_draw;
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
