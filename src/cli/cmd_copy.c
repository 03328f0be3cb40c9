/* hearth cp and hearth rm. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/storing.h"
#include "hub/make.h"
#include "hub/sweep.h"

static int run_copy(const cli_args *a) {
    err e = {0};
    hub_name from, to;
    char x[HUB_NAME_BYTES], y[HUB_NAME_BYTES];
    hub_store *s = storing_open(&e);
    bool ok = s && storing_name(&from, a->arg[0], &e) && storing_name(&to, a->arg[1], &e) &&
              hub_copy(s, &from, &to, &e);
    hub_store_close(s);
    if (!ok) return cli_fail(&e);
    note("copied %s to %s", hub_name_show(&from, x), hub_name_show(&to, y));
    return ERR_NONE;
}

const cli_command cmd_cp = {
    .name = "cp",
    .summary = "give a model a second name",
    .args = "MODEL NAME",
    .about = "The copy shares its weights with the original and takes no room. A model of Ollama's "
             "or of Hugging Face's cache is copied into Hearth's store.",
    .examples = "  hearth cp qwen3:8b mine",
    .complete = "model",
    .min_args = 2,
    .max_args = 2,
    .run = run_copy,
};

/* All names are looked at before the first is removed. */
static int run_remove(const cli_args *a) {
    err e = {0};
    hub_name n;
    uint64_t freed = 0, one;
    char shown[HUB_NAME_BYTES], bytes[32];
    hub_store *s = storing_open(&e);
    bool ok = s != NULL;
    for (int i = 0; ok && i < a->n_args; i++) ok = storing_existing(s, &n, a->arg[i], &e);
    for (int i = 0; ok && i < a->n_args; i++) {
        ok = storing_existing(s, &n, a->arg[i], &e) && hub_store_rm(s, &n, &one, &e);
        if (!ok) break;
        freed += one;
        note("removed %s", hub_name_show(&n, shown));
    }
    hub_store_close(s);
    if (!ok) return cli_fail(&e);
    note("%s are free again", human_bytes(freed, bytes, sizeof bytes));
    return ERR_NONE;
}

const cli_command cmd_rm = {
    .name = "rm",
    .summary = "remove models",
    .args = "MODEL...",
    .about = "Removes names from Hearth's store, and the weights that no other name needs. Models "
             "that lie with Ollama or in Hugging Face's cache are left to those programs.",
    .examples = "  hearth rm mine",
    .complete = "model",
    .min_args = 1,
    .max_args = -1,
    .run = run_remove,
};
