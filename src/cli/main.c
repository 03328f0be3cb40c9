/* hearth: finds the command and runs it. The table below is all there is. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "hearth.h"

const cli_command *const cli_commands[] = {
    &cmd_run,          &cmd_serve,    &cmd_ps,          &cmd_stop,
    &cmd_pull,         &cmd_search,   &cmd_fit,         &cmd_update,
    &cmd_list,         &cmd_show,     &cmd_cp,          &cmd_rm,
    &cmd_create,       &cmd_import,   &cmd_export,      &cmd_push,
    &cmd_du,           &cmd_gc,       &cmd_verify,      &cmd_key,
    &cmd_key_create,   &cmd_key_list, &cmd_key_revoke,  &cmd_key_rotate,
    &cmd_usage,        &cmd_cost,     &cmd_cost_setup,  &cmd_cost_split,
    &cmd_cost_compare, &cmd_prices,   &cmd_prices_list, &cmd_prices_import,
    &cmd_prices_diff,  &cmd_meter,    &cmd_study,       &cmd_study_bet,
    &cmd_study_verify, &cmd_tokenize, &cmd_detokenize,  &cmd_embed,
    &cmd_template,     &cmd_schema,   &cmd_logits,      &cmd_perplexity,
    &cmd_quantize,     &cmd_imatrix,  &cmd_bench,       &cmd_loadtest,
    &cmd_config,       &cmd_help,     &cmd_completion,  NULL,
};

const cli_command *cli_command_find(const char *name) {
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

bool cli_command_in(const cli_command *c, const cli_command *group) {
    size_t n = strlen(group->name);
    return strncmp(c->name, group->name, n) == 0 && c->name[n] == ' ';
}

bool cli_command_is_group(const cli_command *c) {
    for (const cli_command *const *d = cli_commands; *d; d++)
        if (cli_command_in(*d, c)) return true;
    return false;
}

const char *cli_command_word(const cli_command *c) {
    const char *space = strchr(c->name, ' ');
    return space ? space + 1 : c->name;
}

/* The commands of a group, or those of one word. */
static size_t names_in(const cli_command *group, const char **names, size_t max) {
    size_t n = 0;
    for (const cli_command *const *c = cli_commands; *c && n < max; c++)
        if (group ? cli_command_in(*c, group) : !strchr((*c)->name, ' '))
            names[n++] = cli_command_word(*c);
    return n;
}

static int unknown_command(const cli_command *group, const char *given) {
    const char *names[64], *before = group ? group->name : "", *blank = group ? " " : "";
    char shown[80];
    str_printable(str_of(given), shown, sizeof shown);
    const char *near = cli_nearest(given, names, names_in(group, names, 64));
    if (near)
        note("hearth: there is no command \"%s%s%s\": did you mean \"%s%s%s\"?", before, blank,
             shown, before, blank, near);
    else
        note("hearth: there is no command \"%s%s%s\" (hearth help%s%s lists them)", before, blank,
             shown, blank, before);
    return ERR_USAGE;
}

static int run_command(const cli_command *c, int argc, char **argv) {
    cli_args a;
    err e = {0};
    bool help = false;
    int code;
    if (!cli_args_parse(&a, c, argc, argv, &help, &e)) {
        code = cli_fail(&e);
    } else if (help) {
        help_command(c);
        code = ERR_NONE;
    } else {
        code = c->run(&a);
    }
    cli_args_deinit(&a);
    return code;
}

/* The word after a group's name; argv begins with it. */
static int run_group(const cli_command *group, int argc, char **argv) {
    const char *word = argc > 0 ? argv[0] : "";
    char name[128];
    snprintf(name, sizeof name, "%s %s", group->name, word);
    const cli_command *c = cli_command_find(name);
    if (c) return run_command(c, argc - 1, argv + 1);
    if (group->run) return run_command(group, argc, argv);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_command(group);
        return ERR_NONE;
    }
    if (*word) return unknown_command(group, word);
    note("hearth: %s: what is it to do? (hearth help %s lists it)", group->name, group->name);
    return ERR_USAGE;
}

/* Characters of the terminal are UTF-8; numbers keep their points. */
static void set_locale(void) {
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
}

int main(int argc, char **argv) {
    set_locale();
    out_init();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that may not grow */
    interrupt_end_process();
    const char *first = argc > 1 ? argv[1] : "";
    int code = ERR_NONE;
    const cli_command *c = cli_command_find(first);
    if (c && !strchr(first, ' ')) {
        code = (cli_command_is_group(c) ? run_group : run_command)(c, argc - 2, argv + 2);
    } else if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        out_printf("hearth %s\n", HEARTH_VERSION);
    } else if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        help_all();
    } else if (!*first) {
        note("hearth: what is it to do? (hearth help lists the commands; hearth run opens a chat)");
        code = ERR_USAGE;
    } else if (first[0] == '-') {
        note("hearth: there is no option \"%s\" before a command (hearth help lists the commands)",
             first);
        code = ERR_USAGE;
    } else {
        code = unknown_command(NULL, first);
    }
    return out_finish(code);
}
