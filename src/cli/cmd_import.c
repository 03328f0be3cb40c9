/* hearth import and hearth export: models that come and go as files. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/storing.h"
#include "hub/archive.h"
#include "hub/find.h"
#include "hub/make.h"
#include "hub/places.h"

static void imported(const hub_name *n) {
    char shown[HUB_NAME_BYTES];
    out_printf("%s\n", hub_name_show(n, shown));
}

/* All models of another program, into the store; those that are there already stay. */
static bool import_place(hub_store *s, hub_place place, storing_bar *progress, err *e) {
    hub_entry *list = NULL;
    size_t n = 0, found = 0;
    hub_places *p = hub_places_open(e);
    bool ok = p && hub_places_list(p, &list, &n, e);
    for (size_t i = 0; ok && i < n; i++) {
        char shown[HUB_NAME_BYTES];
        hub_plan plan = {0};
        hub_make_options o = {.status = storing_bar_status, .ud = progress};
        if (list[i].place != place || !list[i].file) continue;
        found++;
        plan.from = strdup(hub_name_show(&list[i].name, shown));
        ok = plan.from ? hub_make(s, &list[i].name, &plan, &o, e)
                       : err_set(e, ERR_NO_FIT, "out of memory");
        hub_plan_deinit(&plan);
        if (ok) imported(&list[i].name);
    }
    if (ok && !found)
        note("there is nothing to import where %s keeps its models (hearth help import)",
             place == HUB_OLLAMA ? "Ollama" : "Hugging Face's cache");
    hub_entries_free(list, n);
    hub_places_close(p);
    return ok;
}

/* "Qwen3-8B-Q4_K_M.gguf" becomes "Qwen3-8B:Q4_K_M", or what --name says. */
static bool name_for(hub_name *n, const char *path, const char *asked, err *e) {
    char text[300];
    if (asked) return storing_name(n, asked, e);
    str stem = hub_stem(path), quant = hub_quant_of(stem);
    if (quant.n && quant.n + 1 < stem.n)
        snprintf(text, sizeof text, "%.*s:%.*s", (int)(stem.n - quant.n - 1), stem.p,
                 STR_ARG(quant));
    else snprintf(text, sizeof text, "%.*s", STR_ARG(stem));
    return storing_name(n, text, e) || err_wrap(e, "--name NAME gives it one");
}

static bool import_file(hub_store *s, const char *path, const cli_args *a, storing_bar *progress,
                        err *e) {
    hub_name n;
    if (hub_is_archive(path)) {
        hub_archive_options o = {
            .replace = cli_flag(a, "force"), .each = storing_bar_draw, .ud = progress};
        hub_name to;
        if (cli_text(a, "name", NULL) && !storing_name(&to, cli_text(a, "name", NULL), e))
            return false;
        if (!hub_import(s, path, &o, &n, e)) return false;
        if (cli_text(a, "name", NULL)) {
            if (!hub_copy(s, &n, &to, e)) return false;
            n = to;
        }
        imported(&n);
        return true;
    }
    hub_plan plan = {.from = strdup(path)};
    char *at = NULL; /* a path, also when it looks like a name */
    if (plan.from && path[0] != '/' && asprintf(&at, "./%s", path) >= 0) {
        free(plan.from);
        plan.from = at;
    }
    hub_make_options o = {.paths = true, .status = storing_bar_status, .ud = progress};
    bool ok = plan.from ? name_for(&n, path, cli_text(a, "name", NULL), e) &&
                              hub_make(s, &n, &plan, &o, e)
                        : err_set(e, ERR_NO_FIT, "out of memory");
    hub_plan_deinit(&plan);
    if (ok) imported(&n);
    return ok;
}

static int run_import(const cli_args *a) {
    err e = {0};
    storing_bar progress;
    const char *what = a->arg[0];
    hub_store *s = storing_open(&e);
    bool ok = s != NULL;
    if (ok) {
        storing_bar_begin(&progress, what);
        if (strcmp(what, "ollama") == 0) ok = import_place(s, HUB_OLLAMA, &progress, &e);
        else if (strcmp(what, "hf") == 0)
            ok = import_place(s, HUB_HUGGING_FACE_CACHE, &progress, &e);
        else ok = import_file(s, what, a, &progress, &e);
        storing_bar_end(&progress);
    }
    hub_store_close(s);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option import_options[] = {
    {"name", 0, CLI_TEXT, "NAME", "what the model is to be called (default: as the file is)", 0, 0},
    {"force", 'f', CLI_FLAG, NULL, "replace another model of that name", 0, 0},
    {0},
};

const cli_command cmd_import = {
    .name = "import",
    .summary = "put models into Hearth's store",
    .args = "FILE|ollama|hf",
    .about =
        "FILE is a .gguf file (its first part, of a split one) or what hearth export wrote. "
        "ollama and hf copy every model that Ollama or Hugging Face's tools have fetched: they "
        "can be used without it, but then they go when those programs remove them. Where the "
        "file system can share blocks, a copy takes no room. Prints the names.",
    .examples = "  hearth import Qwen3-8B-Q4_K_M.gguf\n  hearth import qwen3.tar\n"
                "  hearth import ollama",
    .options = import_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_import,
};

static int run_export(const cli_args *a) {
    err e = {0};
    hub_name n;
    storing_bar progress;
    hub_entry x = {0};
    hub_archive_options o = {
        .replace = cli_flag(a, "force"), .each = storing_bar_draw, .ud = &progress};
    hub_places *p = hub_places_open(&e);
    bool ok = p && storing_name(&n, a->arg[0], &e) && hub_places_find(p, &n, &x, &e);
    if (ok && !x.store)
        ok = err_set(&e, ERR_USAGE, "%s is a file of another program: copy it, or import it first",
                     x.file);
    if (ok) {
        storing_bar_begin(&progress, a->arg[0]);
        ok = hub_export(x.store, &x.name, a->arg[1], &o, &e);
        storing_bar_end(&progress);
    }
    hub_entry_deinit(&x);
    hub_places_close(p);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option export_options[] = {
    {"force", 'f', CLI_FLAG, NULL, "replace FILE where it is there already", 0, 0},
    {0},
};

const cli_command cmd_export = {
    .name = "export",
    .summary = "write a model to one file",
    .args = "MODEL FILE",
    .about =
        "The file is a tar archive of everything that the model is made of. hearth import FILE "
        "reads it on another machine, without a network.",
    .examples = "  hearth export qwen3:8b qwen3.tar",
    .complete = "model",
    .options = export_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_export,
};
