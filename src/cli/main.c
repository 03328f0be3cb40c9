/* hearth: finds the command and runs it. The table below is all there is. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "hearth.h"

const cli_command *const cli_commands[] = {
    &cmd_run,    &cmd_serve,      &cmd_show,     &cmd_tokenize, &cmd_detokenize, &cmd_template,
    &cmd_logits, &cmd_perplexity, &cmd_quantize, &cmd_bench,    &cmd_help,       &cmd_completion,
    NULL,
};

const cli_command *cli_command_find(const char *name) {
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static int unknown_command(const char *given) {
    const char *names[32];
    size_t n = 0;
    for (const cli_command *const *c = cli_commands; *c; c++) names[n++] = (*c)->name;
    char shown[80];
    str_printable(str_of(given), shown, sizeof shown);
    const char *near = cli_nearest(given, names, n);
    if (near) note("hearth: there is no command \"%s\": did you mean \"%s\"?", shown, near);
    else note("hearth: there is no command \"%s\" (hearth help lists them)", shown);
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

/* Characters of the terminal are UTF-8; numbers keep their points. */
static void set_locale(void) {
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
}

int main(int argc, char **argv) {
    set_locale();
    out_init();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write */
    interrupt_end_process();
    const char *first = argc > 1 ? argv[1] : "";
    int code = ERR_NONE;
    const cli_command *c = cli_command_find(first);
    if (c) {
        code = run_command(c, argc - 2, argv + 2);
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
        code = unknown_command(first);
    }
    return out_finish(code);
}
