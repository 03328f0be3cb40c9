/* hearth cost setup: what the machine costs, into one commented file; and hearth cost compare: what
 * other machines do. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "meter/hardware.h"
#include "meter/tariff.h"

typedef struct question {
    const char *option, *ask;
    int64_t *amount; /* or */
    double *figure;
} question;

/* The line without its end; false: no more. */
static bool read_line(char *dst, size_t cap) {
    if (!fgets(dst, (int)cap, stdin)) return false;
    dst[strcspn(dst, "\r\n")] = '\0';
    return true;
}

static bool put_answer(const question *q, const char *text, err *e) {
    double v;
    str s = str_trim(str_of(text));
    if (s.n == 0) return true;
    if (q->amount && money_micro(text, q->amount)) return true;
    if (q->figure && str_to_f64(s, &v) && v >= 0) {
        *q->figure = v;
        return true;
    }
    return err_set(e, ERR_USAGE, "--%s: \"%.40s\" is no number like 12.50", q->option, text);
}

/* From the options, else from whoever sits at the terminal. */
static bool ask(const question *q, const cli_args *a, err *e) {
    char line[128];
    const char *given = cli_text(a, q->option, NULL);
    if (given) return put_answer(q, given, e);
    if (!in_is_terminal() || !err_is_terminal()) return true;
    fprintf(stderr, "%s (nothing: not known) ", q->ask);
    fflush(stderr);
    return !read_line(line, sizeof line) || put_answer(q, line, e);
}

static bool setup(const cli_args *a, char *path, size_t cap, err *e) {
    tariff t;
    int64_t kwh = -1, hour = 0;
    double hours = 0;
    tariff_empty(&t);
    const question questions[] = {
        {"price", "What did the machine cost?", &t.price, NULL},
        {"years", "How many years will it be used?", NULL, &t.years},
        {"resale", "What will it sell for then?", &t.resale, NULL},
        {"kwh-price", "What does a kilowatt-hour cost?", &kwh, NULL},
        {"idle-watts", "How many watts does it draw with a model loaded and no work?", NULL,
         &t.idle_w},
        {"load-watts", "And at work?", NULL, &t.load_w},
        {"hours", "How many hours a month does looking after it take?", NULL, &hours},
        {"hour-price", "What is such an hour worth?", &hour, NULL},
    };
    if (!tariff_path(path, cap, e)) return false;
    if (access(path, F_OK) == 0 && !cli_flag(a, "force"))
        return err_set(e, ERR_USAGE, "%s is there already: edit it, or --force makes it anew",
                       path);
    snprintf(t.currency, sizeof t.currency, "%s", cli_text(a, "currency", "USD"));
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        if (!ask(&questions[i], a, e)) return false;
    t.kwh_known = kwh >= 0;
    for (int i = 0; i < TARIFF_SLOTS; i++) t.kwh[i] = kwh;
    t.labour = llround(hours * (double)hour);
    buf b;
    buf_init(&b, 1 << 20);
    tariff_write(&t, &b);
    tariff check;
    bool ok = !b.failed ? tariff_read(&check, buf_str(&b), "cost.toml", e)
                        : err_set(e, ERR_FAILED, "out of memory");
    ok = ok && file_make_dirs(file_home(), 0700, e) && file_replace(path, b.data, b.len, 0600, e);
    buf_deinit(&b);
    return ok;
}

static int run_setup(const cli_args *a) {
    err e = {0};
    char path[4200];
    if (!setup(a, path, sizeof path, &e)) return cli_fail(&e);
    note("%s is written; times of use, solar power and what to compare with are set there", path);
    return ERR_NONE;
}

static const cli_option setup_options[] = {
    {"price", 0, CLI_TEXT, "AMOUNT", "what the machine cost", 0, 0},
    {"years", 0, CLI_TEXT, "N", "of its life; default 3", 0, 0},
    {"resale", 0, CLI_TEXT, "AMOUNT", "what comes back for it then", 0, 0},
    {"kwh-price", 0, CLI_TEXT, "AMOUNT", "of a kilowatt-hour", 0, 0},
    {"idle-watts", 0, CLI_TEXT, "W", "declared: a model loaded, no work", 0, 0},
    {"load-watts", 0, CLI_TEXT, "W", "declared: at work", 0, 0},
    {"hours", 0, CLI_TEXT, "N", "a month of looking after it", 0, 0},
    {"hour-price", 0, CLI_TEXT, "AMOUNT", "what such an hour is worth", 0, 0},
    {"currency", 0, CLI_TEXT, "CODE", "of all amounts; default USD", 0, 0},
    {"force", 0, CLI_FLAG, NULL, "also when the file is there", 0, 0},
    {0},
};

const cli_command cmd_cost_setup = {
    .name = "cost setup",
    .summary = "say once what this machine costs",
    .args = "",
    .about =
        "Asks the few things that hearth cost cannot know, and writes them into cost.toml in "
        "Hearth's folder, with a comment on each. Whatever is left open stays unknown. Prices by "
        "the time of use, solar power with its export price, another currency's rate, and which "
        "hosted models to compare with are set in the file.",
    .examples = "  hearth cost setup\n  hearth cost setup --price 1200 --kwh-price 0.30 "
                "--idle-watts 9 --load-watts 120",
    .options = setup_options,
    .run = run_setup,
};

/* ---- compare ---- */

static void cell(table *t, double v) {
    char text[40];
    snprintf(text, sizeof text, "%.*g", v >= 1000 ? 6 : 4, v);
    table_cell(t, "%s", isfinite(v) ? text : "-");
}

static void machine_row(table *t, const machine *m, const owning *usual) {
    owning o = *usual;
    double price = m->price < 0 ? NAN : (double)m->price / 1e6;
    double mtok = m->decode_tps * 31.536;
    o.price = m->by_hour ? 0 : price;
    o.repairs = m->by_hour ? price * 8760 : 0; /* rent runs whether it works or not */
    o.idle_w = m->by_hour ? 0 : m->idle_w;
    o.load_w = m->by_hour ? 0 : m->load_w;
    table_cell(t, "%s", m->name);
    cell(t, price);
    cell(t, m->memory_gb);
    cell(t, m->idle_w);
    cell(t, m->load_w);
    table_cell(t, "%s", *m->speed_model ? m->speed_model : "-");
    cell(t, m->decode_tps);
    cell(t, m->load_w / m->decode_tps);
    cell(t, m->load_w / m->decode_tps / 3.6 * o.kwh_price);
    cell(t, owning_cost(&o, 1) / mtok);
    cell(t, owning_cost(&o, 0.1) / (mtok * 0.1));
}

/* Each of the names between commas; all machines when there is none. */
static bool compare(table *t, const hardware *h, const char *names, const owning *o, err *e) {
    for (size_t i = 0; !names && i < h->n; i++) machine_row(t, &h->row[i], o);
    for (const char *p = names; p && *p;) {
        const machine *found[32];
        char words[200];
        size_t k = strcspn(p, ",");
        snprintf(words, sizeof words, "%.*s", (int)(k < 199 ? k : 199), p);
        size_t n = hardware_match(h, words, found, 32);
        if (n == 0)
            return err_set(e, ERR_NOT_FOUND, "--hardware: no machine has all the words of \"%s\"",
                           words);
        for (size_t i = 0; n > 1 && i < n && i < 32; i++) note("  %s", found[i]->name);
        if (n > 1)
            return err_set(e, ERR_USAGE, "--hardware: \"%s\" can mean any of these %zu: which?",
                           words, n);
        machine_row(t, found[0], o);
        p += k + (p[k] == ',');
    }
    return true;
}

static int run_compare(const cli_args *a) {
    err e = {0};
    hardware h = {0};
    tariff t;
    owning o = {.years = 3, .resale = 0.4, .kwh_price = 0.17};
    if (!tariff_open(&t, NULL, &e) || !hardware_open(&h, &e)) return cli_fail(&e);
    if (t.kwh_known && strcmp(t.currency, "USD") == 0) o.kwh_price = tariff_kwh_mean(&t);
    table *out = table_new("machine|>price|>GB|>idle W|>work W|model|>tokens/s|>J/token|>power "
                           "$/Mtok|>$/Mtok, 100 %|>10 %");
    bool ok = compare(out, &h, cli_text(a, "hardware", NULL), &o, &e);
    if (ok) {
        table_print(out);
        out_printf("\nDollars; three years, 40 %% resale, %.2f a kilowatt-hour; one stream, tokens "
                   "written alone; - is not sourced.\nA machine's tokens/s are of the model beside "
                   "them: rows of different models are no comparison of machines.\n",
                   o.kwh_price);
    }
    table_free(out);
    hardware_close(&h);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option compare_options[] = {
    {"hardware", 0, CLI_TEXT, "A,B",
     "machines of the table, each by words of its name; default all", 0, 0},
    {0},
};

const cli_command cmd_cost_compare = {
    .name = "cost compare",
    .summary = "what other machines cost and do",
    .args = "",
    .about = "Machines with their prices, watts and speeds as far as somebody has published them "
             "(data/hardware.csv has the sources), and what a million tokens costs on each.",
    .examples = "  hearth cost compare --hardware \"essay,DGX Spark\"",
    .options = compare_options,
    .run = run_compare,
};
