/* hearth completion: scripts that let a shell complete hearth's command line. */
#include "cli/cli.h"
#include "cli/commands.h"

static int run(const cli_args *a) {
    if (completion_print(a->arg[0])) return ERR_NONE;
    note("hearth: completion is there for bash, zsh and fish, not for \"%s\"", a->arg[0]);
    return ERR_USAGE;
}

const cli_command cmd_completion = {
    .name = "completion",
    .summary = "print the completion script for a shell",
    .args = "bash|zsh|fish",
    .about = "Prints a script that completes commands, options and file names. Load it where the "
             "shell starts, "
             "as in the examples; make install puts the scripts where shells look by themselves.",
    .examples = "  source <(hearth completion bash)\n"
                "  hearth completion zsh >\"${fpath[1]}/_hearth\"\n"
                "  hearth completion fish >~/.config/fish/completions/hearth.fish",
    .complete = "bash zsh fish",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
