/* hearth create: a model from a Modelfile. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/storing.h"
#include "hub/make.h"

/* The folder of a file's path, where its own paths begin. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup("");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static bool modelfile_read(hub_modelfile *m, const char *path, err *e) {
    buf b;
    buf_init(&b, LIMIT_MODELFILE_BYTES);
    bool ok = file_read(&b, strcmp(path, "-") == 0 ? "/dev/stdin" : path, e) &&
              (hub_modelfile_parse(m, buf_str(&b), e) || err_wrap(e, "%s", path));
    buf_deinit(&b);
    return ok;
}

static int run(const cli_args *a) {
    err e = {0};
    hub_name n;
    hub_modelfile m = {0};
    hub_plan p = {0};
    storing_bar progress;
    char shown[HUB_NAME_BYTES];
    const char *path = cli_text(a, "file", "Modelfile");
    char *base = folder_of(path);
    hub_make_options o = {.paths = true,
                          .base = base,
                          .quantize = cli_text(a, "quantize", NULL),
                          .draft_quantize = cli_text(a, "draft-quantize", NULL),
                          .from_quantized = cli_flag(a, "allow-requantize"),
                          .n_threads = (int)cli_int(a, "threads", 0),
                          .status = storing_bar_status,
                          .ud = &progress};
    hub_store *s = NULL;
    bool ok = storing_name(&n, a->arg[0], &e) && modelfile_read(&m, path, &e) &&
              (hub_plan_of(&p, &m, &e) || err_wrap(&e, "%s", path)) && (s = storing_open(&e));
    if (ok) {
        storing_bar_begin(&progress, a->arg[0]);
        ok = hub_make(s, &n, &p, &o, &e);
        storing_bar_end(&progress);
    }
    hub_store_close(s);
    hub_plan_deinit(&p);
    hub_modelfile_deinit(&m);
    free(base);
    if (!ok) return cli_fail(&e);
    note("%s is ready: hearth run %s", hub_name_show(&n, shown), a->arg[0]);
    return ERR_NONE;
}

static const cli_option options[] = {
    {"file", 'f', CLI_FILE, "FILE", "the Modelfile, - for what is piped in (default Modelfile)", 0,
     0},
    {"quantize", 'q', CLI_TEXT, "TYPE", "store the weights in this type, such as Q4_K_M", 0, 0},
    {"draft-quantize", 0, CLI_TEXT, "TYPE", "the same for the draft model", 0, 0},
    {"allow-requantize", 0, CLI_FLAG, NULL,
     "with --quantize: also weights that are quantised already", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads for --quantize (default: what this machine gives)", 1,
     256},
    {0},
};

const cli_command cmd_create = {
    .name = "create",
    .summary = "make a model from a Modelfile",
    .args = "NAME",
    .about = "A Modelfile says what a model is made of: FROM names another model or a .gguf file; "
             "PARAMETER, TEMPLATE, SYSTEM, MESSAGE, ADAPTER, DRAFT, LICENSE, RENDERER, PARSER and "
             "REQUIRES say how it is used. Paths in it begin where it lies. hearth show NAME "
             "--modelfile prints one.",
    .examples = "  hearth create mine -f Modelfile\n"
                "  printf 'FROM bard\\nSYSTEM Be brief.\\n' | hearth create brief -f -\n"
                "  hearth create small -f Modelfile --quantize Q4_K_M",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
