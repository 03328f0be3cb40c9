/* hearth study: the experiment; and what checks it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/models.h"
#include "study/study.h"

#define DEFAULT_CAP "1.00"

typedef struct job {
    const cli_args *args;
    const char **names;
    tariff tariff;
    price_sheet sheet;
    study_service service;
    char day[PRICE_DAY_BYTES];
    bool live; /* a terminal: one line that changes */
} job;

static void progress(void *ud, const study_progress *p) {
    job *j = ud;
    char left[32] = "";
    if (p->all > 0) snprintf(left, sizeof left, ", at most %.0f min left", ceil(p->left_s / 60));
    if (j->live)
        fprintf(stderr, "\r\033[K%.40s: %d of %d runs, %s%s", p->model, p->done, p->all, p->what,
                left);
    else if (p->done % 10 == 0)
        fprintf(stderr, "%.80s: %d of %d runs, %s%s\n", p->model, p->done, p->all, p->what, left);
    fflush(stderr);
}

static bool stopped(void *ud) {
    (void)ud;
    return interrupt_seen();
}

static hearth_model *open_model(void *ud, size_t i, hearth_err *e) {
    job *j = ud;
    models_ref r;
    err mine = {0};
    if (!models_find(&r, j->names[i], &mine)) {
        e->code = (int)mine.code;
        snprintf(e->msg, sizeof e->msg, "%s", mine.msg);
        return NULL;
    }
    return models_open(&r, (int)cli_int(j->args, "threads", 0), 0, false, e);
}

static bool read_service(job *j, err *e) {
    const cli_args *a = j->args;
    const char *variable = cli_text(a, "key-env", NULL), *row = cli_text(a, "price-row", NULL);
    const char *cap = cli_text(a, "cap", DEFAULT_CAP);
    int64_t micro;
    study_service *s = &j->service;
    *s = (study_service){.url = cli_text(a, "against", NULL), .sheet = &j->sheet, .day = j->day};
    if (!s->url) return true;
    if (!row) return err_set(e, ERR_USAGE, "--against needs --price-row: what the service charges");
    s->price = price_find(&j->sheet, row, j->day);
    if (!s->price)
        return err_set(e, ERR_NOT_FOUND,
                       "--price-row: \"%s\" is not in the price sheet (hearth "
                       "prices list)",
                       row);
    s->key = variable ? getenv(variable) : NULL;
    if (variable && (!s->key || !*s->key))
        return err_set(e, ERR_USAGE, "--key-env: the variable %s is not set", variable);
    if (!money_micro(cap, &micro))
        return err_set(e, ERR_USAGE, "--cap: \"%s\" is no amount of dollars like 1.00", cap);
    s->cap = (money)micro * MONEY_MICRO;
    s->model = cli_text(a, "against-model", s->price->model);
    return true;
}

static study_size size_of(const cli_args *a, err *e) {
    int n = cli_flag(a, "quick") + cli_flag(a, "full") + cli_flag(a, "smoke");
    if (n > 1) err_set(e, ERR_USAGE, "one of --quick, --full and --smoke");
    return cli_flag(a, "full") ? STUDY_FULL : cli_flag(a, "smoke") ? STUDY_SMOKE : STUDY_QUICK;
}

static bool study(job *j, err *e) {
    static const char *usual[] = {"bard"};
    const cli_args *a = j->args;
    const cli_value *models = cli_get(a, "model"), *minutes = cli_get(a, "minutes");
    const char *out = cli_text(a, "out", "study");
    study_options o = {.size = size_of(a, e),
                       .out = out,
                       .seed = cli_get(a, "seed")->set ? cli_get(a, "seed")->u64 : 1616,
                       .model = models->n_list ? models->list : usual,
                       .n_models = models->n_list ? (size_t)models->n_list : 1,
                       .open = open_model,
                       .tariff = &j->tariff,
                       .sheet = &j->sheet,
                       .day = j->day,
                       .note = cli_text(a, "note", NULL),
                       .max_minutes = minutes->set ? minutes->real : 0,
                       .progress = progress,
                       .stop = stopped,
                       .ud = j};
    if (e->code) return false;
    j->names = (const char **)o.model;
    price_today(j->day);
    if (!tariff_open(&j->tariff, NULL, e) || !price_sheet_open(&j->sheet, e) || !read_service(j, e))
        return false;
    if (j->service.url) o.against = &j->service;
    interrupt_remember();
    bool ok = study_run(&o, e);
    if (j->live) fprintf(stderr, "\r\033[K");
    interrupt_end_process();
    if (!ok || !study_write(out, e)) return false;
    note("%s/report.html, results.csv, raw.jsonl and method.json are written", out);
    return true;
}

static int run(const cli_args *a) {
    err e = {0};
    job j = {.args = a, .live = err_is_terminal()};
    int code = study(&j, &e) ? ERR_NONE : cli_fail(&e);
    price_sheet_close(&j.sheet);
    return code;
}

static int run_verify(const cli_args *a) {
    err e = {0};
    char said[400];
    if (cli_flag(a, "rewrite") && !study_write(a->arg[0], &e)) return cli_fail(&e);
    if (!study_verify(a->arg[0], said, sizeof said, &e)) return cli_fail(&e);
    out_printf("%s\n", said);
    return ERR_NONE;
}

static const cli_option options[] = {
    {"quick", 0, CLI_FLAG, NULL,
     "20 s windows, three runs, 1, 4 and 8 at once, at most 20 minutes a model; the default", 0, 0},
    {"full", 0, CLI_FLAG, NULL,
     "60 s windows, seven runs, 1 to 32 at once, the whole works once: many hours", 0, 0},
    {"smoke", 0, CLI_FLAG, NULL, "some seconds: whether it runs, not what it gives", 0, 0},
    {"model", 'm', CLI_LIST, "MODEL", "what to study; may be given several times; default bard", 0,
     0},
    {"out", 'o', CLI_FILE, "DIR", "folder for the four files; default study", 0, 0},
    {"seed", 0, CLI_U64, "N", "of the order and the texts; default 1616", 0, 0},
    {"minutes", 0, CLI_REAL, "N", "at most so long a model", 0.01, 100000},
    {"note", 0, CLI_TEXT, "TEXT", "a word about the machine, for the report", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads for packing a model; default what there is", 1, 1024},
    {"against", 0, CLI_TEXT, "URL",
     "run the same against a service: https://HOST/v1, or .../v1/messages of Anthropic's kind", 0,
     0},
    {"against-model", 0, CLI_TEXT, "NAME", "as the service calls it; default as the price row", 0,
     0},
    {"key-env", 0, CLI_TEXT, "VAR", "the variable that holds the key for it", 0, 0},
    {"price-row", 0, CLI_TEXT, "ID", "what it charges: a price of hearth prices list", 0, 0},
    {"cap", 0, CLI_TEXT, "DOLLARS", "spend no more than that on it; default " DEFAULT_CAP, 0, 0},
    {0},
};

const cli_command cmd_study = {
    .name = "study",
    .summary = "what models do and cost here, measured; the bet; verify",
    .args = "",
    .about =
        "Runs an experiment and writes a report that others can check: how fast models are here "
        "for five kinds of use, by how many use them at once; what a token costs by how much the "
        "machine works, beside the same weights hosted, a cheap model and a flagship; how many of "
        "210 checkable questions they get right. Every raw run is kept, and hearth study verify "
        "recomputes every number from them. What the machine costs is what hearth cost setup was "
        "told.\n\nNothing leaves the machine, unless --against names a service. Then the same runs "
        "there too, for real money: an ask whose worst case does not fit under --cap any more is "
        "not sent. Ctrl-C ends the study with what was measured so far.",
    .examples = "  hearth study --quick --out study\n"
                "  hearth study --full -m model.gguf --out study-full\n"
                "  hearth study --quick --against https://api.example.com/v1 --key-env KEY \\\n"
                "      --price-row openai/gpt-5.6-luna --cap 2.00",
    .options = options,
    .run = run,
};

static const cli_option verify_options[] = {
    {"rewrite", 0, CLI_FLAG, NULL, "first write results.csv and report.html anew", 0, 0},
    {0},
};

const cli_command cmd_study_verify = {
    .name = "study verify",
    .summary = "recompute every number of a study from its raw data",
    .args = "DIR",
    .about = "Makes results.csv and report.html anew from raw.jsonl and method.json alone, and "
             "compares every byte with what is there.",
    .examples = "  hearth study verify study",
    .options = verify_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_verify,
};
