/* The commands, one per file cmd_<name>.c. */
#ifndef HEARTH_CLI_COMMANDS_H
#define HEARTH_CLI_COMMANDS_H

#include "cli/cli.h"

extern const cli_command cmd_run, cmd_serve, cmd_key, cmd_key_create, cmd_key_list, cmd_key_revoke,
    cmd_key_rotate, cmd_usage, cmd_meter, cmd_prices, cmd_prices_list, cmd_prices_import,
    cmd_prices_diff, cmd_study, cmd_study_bet, cmd_cost, cmd_cost_setup, cmd_cost_split,
    cmd_cost_compare, cmd_study_verify, cmd_config, cmd_list, cmd_show, cmd_cp, cmd_rm, cmd_create,
    cmd_import, cmd_export, cmd_du, cmd_gc, cmd_verify, cmd_ps, cmd_stop, cmd_tokenize,
    cmd_detokenize, cmd_embed, cmd_template, cmd_schema, cmd_logits, cmd_perplexity, cmd_quantize,
    cmd_imatrix, cmd_bench, cmd_loadtest, cmd_pull, cmd_push, cmd_fit, cmd_search, cmd_update,
    cmd_help, cmd_completion;

#endif
