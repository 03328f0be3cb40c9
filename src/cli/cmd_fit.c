/* hearth fit: whether a model fits this machine, and how fast it could be. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "base/team.h"
#include "cli/commands.h"
#include "cli/limits.h"
#include "cli/models.h"
#include "cli/progress.h"
#include "hub/fit.h"
#include "hub/store.h"

typedef struct verdict {
    hub_fit fit;
    hub_fit_file far;                 /* when the model is not here */
    uint64_t fetch_bytes, disk_bytes; /* still to come; free. disk UINT64_MAX: not known */
    double read;                      /* bytes a second of memory; NAN: not measured */
    const hub_fit_variant *best;
} verdict;

/* What the machine reads a second, all threads together. */
static double measure(bool wanted) {
    err e = {0};
    limits_at at = {.read = NAN};
    limits *l = wanted ? limits_begin(&e) : NULL;
    if (l && !limits_measure(l, team_default_size(), 0.3, &at, &e)) at.read = NAN;
    limits_end(l);
    return at.read;
}

static void look_at_disk(verdict *v) {
    err e = {0};
    hub_store *s = hub_store_open(NULL, HUB_STORE_READ, &e);
    v->disk_bytes = s ? hub_store_free_bytes(s) : UINT64_MAX;
    hub_store_close(s);
}

/* The largest of the repository's files that leaves room for the context. */
static void choose_best(verdict *v) {
    const hub_fit *f = &v->fit;
    for (size_t i = 0; i < v->far.n; i++)
        if (v->far.list[i].bytes + f->kv_bytes + f->work_bytes <= f->have_bytes)
            v->best = &v->far.list[i];
}

static bool count(const cli_args *a, verdict *v, progress *p, const hub_wire_options *o, err *e) {
    int32_t ctx = (int32_t)cli_int(a, "ctx", 0);
    models_ref r;
    err why = {0};
    if (models_find(&r, a->arg[0], &why)) {
        gguf *g = models_open_file(&r, e);
        hub_fit_beside b = {0};
        bool ok = g && (!r.stored || hub_fit_beside_of(&b, a->arg[0], e)) &&
                  hub_fit_count(g, &b, ctx, &v->fit, e);
        gguf_close(b.draft);
        gguf_close(g);
        return ok;
    }
    if (why.code != ERR_NOT_FOUND) {
        *e = why;
        return false;
    }
    hub_wire w;
    (void)p;
    if (!hub_wire_open(&w, o, e)) return false;
    bool ok = hub_fit_open(&v->far, &w, a->arg[0], e) &&
              hub_fit_count(v->far.g, &v->far.beside, ctx, &v->fit, e);
    v->fetch_bytes = v->far.bytes;
    hub_wire_close(&w);
    if (ok) choose_best(v);
    return ok;
}

static double speed(const verdict *v, double bytes) {
    return v->read > 0 && bytes > 0 ? v->read / bytes : NAN;
}

static void print_json(const verdict *v, const char *name) {
    const hub_fit *f = &v->fit;
    buf b;
    jsonw w;
    buf_init(&b, 1 << 20);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(name));
    jsonw_key(&w, "fits"), jsonw_bool(&w, f->fits);
    jsonw_key(&w, "weight_bytes"), jsonw_uint(&w, f->weight_bytes);
    jsonw_key(&w, "kv_bytes"), jsonw_uint(&w, f->kv_bytes);
    jsonw_key(&w, "work_bytes"), jsonw_uint(&w, f->work_bytes);
    jsonw_key(&w, "draft_bytes"), jsonw_uint(&w, f->draft_bytes);
    jsonw_key(&w, "adapter_bytes"), jsonw_uint(&w, f->adapter_bytes);
    jsonw_key(&w, "need_bytes"), jsonw_uint(&w, hub_fit_needs(f));
    jsonw_key(&w, "memory_bytes");
    if (f->have_bytes == UINT64_MAX) jsonw_null(&w);
    else jsonw_uint(&w, f->have_bytes);
    jsonw_key(&w, "ctx"), jsonw_int(&w, f->ctx);
    jsonw_key(&w, "ctx_train"), jsonw_int(&w, f->ctx_train);
    jsonw_key(&w, "ctx_fits"), jsonw_int(&w, f->ctx_fits);
    jsonw_key(&w, "fetch_bytes"), jsonw_uint(&w, v->fetch_bytes);
    jsonw_key(&w, "disk_bytes");
    if (v->disk_bytes == UINT64_MAX) jsonw_null(&w);
    else jsonw_uint(&w, v->disk_bytes);
    jsonw_key(&w, "tokens_per_s_at_most"), jsonw_f64(&w, speed(v, f->token_bytes));
    jsonw_key(&w, "tokens_per_s_at_most_full"), jsonw_f64(&w, speed(v, f->token_bytes_full));
    jsonw_key(&w, "best");
    if (v->best) jsonw_str(&w, str_of(v->best->name));
    else jsonw_null(&w);
    jsonw_end(&w);
    out_json(&b);
}

static void row(const char *what, uint64_t bytes) {
    char text[32];
    if (bytes == UINT64_MAX) out_printf("%-28s not known\n", what);
    else out_printf("%-28s %10s\n", what, human_bytes(bytes, text, sizeof text));
}

static void print_text(const verdict *v) {
    const hub_fit *f = &v->fit;
    char what[64];
    row("weights", f->weight_bytes);
    snprintf(what, sizeof what, "keys and values, %d tokens", f->ctx);
    row(what, f->kv_bytes);
    row("work, about", f->work_bytes);
    if (f->draft_bytes) row("its draft model", f->draft_bytes);
    if (f->adapter_bytes) row("its adapters", f->adapter_bytes);
    row("together", hub_fit_needs(f));
    row("memory that is free", f->have_bytes);
    if (v->fetch_bytes) {
        row("to be fetched", v->fetch_bytes);
        row("disk that is free", v->disk_bytes);
    }
    double empty = speed(v, f->token_bytes), full = speed(v, f->token_bytes_full);
    if (empty > 0)
        out_printf("%-28s %.1f tokens/s, %.1f with a full context\n", "at most, by memory's speed",
                   empty, full);
    if (f->fits) out_printf("it fits\n");
    else if (f->ctx_fits > 0)
        out_printf("it fits with a context of %d tokens (the model's own: %d)\n", f->ctx_fits,
                   f->ctx_train);
    else out_printf("it does not fit\n");
    if (v->fetch_bytes && v->disk_bytes != UINT64_MAX && v->fetch_bytes > v->disk_bytes)
        out_printf("the disk has no room for it\n");
    if (v->best) out_printf("the largest there that fits: %s\n", v->best->name);
    else if (v->far.n > 0) out_printf("nothing that the repository has fits\n");
}

/* Steps are of no interest here; that it takes long, and why, is. */
static void tell_waits(void *ud, const hub_event *x) {
    if (x->kind == HUB_EVENT_RETRY) note("%s", x->text);
    (void)ud;
}

static int fit(const cli_args *a) {
    err e = {0};
    progress p;
    hub_wire_options o;
    verdict v = {0};
    if (!progress_options(a, &p, &o, &e)) return cli_fail(&e);
    o.event = tell_waits;
    progress_begin(&p, cli_flag(a, "json"));
    look_at_disk(&v);
    bool ok = count(a, &v, &p, &o, &e);
    progress_end(&p);
    if (ok) {
        v.read = measure(!cli_flag(a, "quick"));
        if (cli_flag(a, "json")) print_json(&v, a->arg[0]);
        else print_text(&v);
    }
    hub_fit_close(&v.far);
    if (!ok) return cli_fail(&e);
    return v.fit.fits || v.fit.ctx_fits > 0 ? ERR_NONE : ERR_NO_FIT;
}

static const cli_option options[] = {
    {"ctx", 'c', CLI_INT, "N",
     "count with a context of N tokens (default: 8192, or the model's own)", 1, LIMIT_CONTEXT},
    {"quick", 0, CLI_FLAG, NULL, "do not measure how fast memory is read", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    PROGRESS_OPTIONS,
    {0},
};

const cli_command cmd_fit = {
    .name = "fit",
    .summary = "tell whether a model fits this machine, fetched or not",
    .args = "NAME|FILE.gguf|URL",
    .about =
        "Counts weights, keys and values for a context, and working memory, against the memory "
        "and disk that are free, and says how many tokens a second the machine's memory "
        "allows at most (measured in a third of a second). Of a model that is not here only "
        "its head is read, a few MB; of a repository with several quantisations the largest "
        "that fits is named. The exit code is 6 when it does not fit at all.",
    .examples = "  hearth fit qwen3:8b\n  hearth fit -c 32768 hf.co/user/model-GGUF:Q5_K_M",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = fit,
};
