/* hearth study: the experiment, and the bet. */
#include "cli/commands.h"

const cli_command cmd_study = {
    .name = "study",
    .summary = "is running models here worth it: the bet",
    .args = "COMMAND",
    .about = "Is it worth running models on one's own machine, in money?",
    .examples = "  hearth study bet",
    .max_args = -1,
};
