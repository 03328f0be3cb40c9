/* hearth help: what the commands do, as text, as a manual page, as Markdown. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/commands.h"

static int run(const cli_args *a) {
    if (cli_flag(a, "man")) {
        help_man();
    } else if (cli_flag(a, "markdown")) {
        help_markdown();
    } else if (a->n_args == 0) {
        help_all();
    } else {
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", a->arg[0], a->n_args > 1 ? " " : "",
                 a->n_args > 1 ? a->arg[1] : "");
        const cli_command *c = cli_command_find(name);
        if (!c) {
            note("hearth: there is no command \"%s\" (hearth help lists them)", name);
            return ERR_USAGE;
        }
        help_command(c);
    }
    return ERR_NONE;
}

static const cli_option options[] = {
    {"man", 0, CLI_FLAG, NULL, "print the manual page (roff): hearth help --man | man -l -", 0, 0},
    {"markdown", 0, CLI_FLAG, NULL, "print what docs/cli.md holds", 0, 0},
    {0},
};

const cli_command cmd_help = {
    .name = "help",
    .summary = "what the commands do",
    .args = "[COMMAND...]",
    .about = "Lists the commands, or tells about one of them.",
    .examples = "  hearth help run\n  hearth help --man | man -l -",
    .complete = "command",
    .options = options,
    .max_args = 2,
    .run = run,
};
