/* hearth pull, push: models from and to other machines. */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "hearth.h"
#include "hub/catalogue.h"
#include "hub/pull.h"
#include "model/memory.h"

/* Weights of no more than that leave room for a context. */
static uint64_t most_bytes(void) {
    uint64_t free_bytes = memory_available();
    return free_bytes == UINT64_MAX ? 0 : free_bytes / 10 * 8;
}

static void say_done(const hub_pull_report *r) {
    char shown[HUB_NAME_BYTES], all[32], got[32];
    hub_name_show(&r->name, shown);
    human_bytes(r->bytes, all, sizeof all);
    human_bytes(r->fetched, got, sizeof got);
    if (r->was_there) note("%s (%s) was here already", shown, all);
    else note("%s: %s, of which %s were fetched now", shown, all, got);
    if (r->replaced)
        note("the version before is kept: hearth update --rollback %s goes back to it, --forget "
             "gives its room back",
             shown);
}

static int pull(const cli_args *a) {
    err e = {0};
    progress p;
    hub_pull_options o = {0};
    hub_pull_report r;
    if (!progress_options(a, &p, &o.wire, &e)) return cli_fail(&e);
    o.most_bytes = most_bytes();
    hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, &e);
    if (!s) return cli_fail(&e);
    progress_begin(&p, cli_flag(a, "json"));
    bool ok = hub_pull(s, a->arg[0], &o, &r, &e);
    progress_end(&p);
    hub_store_close(s);
    if (!ok) return cli_fail(&e);
    if (!p.json) say_done(&r);
    return ERR_NONE;
}

/* "0.5 GB, Apache 2.0, " of what the catalogue knows: nothing is asked of the network for it. */
static void known_of(const char *model, char *dst, size_t cap) {
    dst[0] = 0;
    size_t n;
    const hub_catalogue_row *r = hub_catalogue(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(r[i].name, model) == 0)
            snprintf(dst, cap, " (%.1f GB, %s)", r[i].fetch_gb, r[i].license);
}

bool progress_fetch_missing(const char *model, bool insecure, char **name, err *e) {
    hub_name n;
    err why = {0};
    char answer[16] = "", known[80];
    *name = NULL;
    if (!in_is_terminal() || !err_is_terminal()) return false;
    if (!hub_name_parse(&n, str_of(model), &why) || (n.kind != HUB_NAME && n.kind != HUB_URL))
        return false;
    known_of(model, known, sizeof known);
    fprintf(stderr, "%s is not here. Fetch it%s%s%s? [Y/n] ", model,
            n.kind == HUB_NAME ? " from " : "", n.kind == HUB_NAME ? n.host : "", known);
    fflush(stderr);
    if (!fgets(answer, sizeof answer, stdin) ||
        (answer[0] != '\n' && answer[0] != 'y' && answer[0] != 'Y'))
        return false;
    progress p;
    hub_pull_report r;
    hub_pull_options o = {.wire = {.insecure = insecure,
                                   .agent = "hearth/" HEARTH_VERSION,
                                   .event = progress_event,
                                   .stopped = progress_stopped,
                                   .ud = &p},
                          .most_bytes = most_bytes()};
    hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, e);
    if (!s) return false;
    progress_begin(&p, false);
    bool ok = hub_pull(s, model, &o, &r, e);
    progress_end(&p);
    hub_store_close(s);
    if (!ok) return false;
    char shown[HUB_NAME_BYTES];
    *name = strdup(hub_name_show(&r.name, shown));
    return *name || err_set(e, ERR_FAILED, "out of memory");
}

static const cli_option pull_options[] = {
    PROGRESS_OPTIONS,
    {"json", 0, CLI_FLAG, NULL, "one JSON object a line: steps, and how far each file is", 0, 0},
    {0},
};

const cli_command cmd_pull = {
    .name = "pull",
    .summary = "fetch a model, or go on fetching it",
    .args = "NAME|URL",
    .about =
        "NAME is one of Ollama's library (qwen3:8b), of another registry (host/ns/model:tag), or a "
        "repository of Hugging Face (hf.co/user/repo, with :Q4_K_M and the like at its end; else "
        "one is chosen that fits into memory). URL is that of a GGUF file.\n\n"
        "Files come in ranges over several connections and are hashed while they come; nothing is "
        "believed but their SHA-256. What is interrupted, by Ctrl-C, kill -9 or a power cut, goes "
        "on where it was, today or next week. The disk's room is looked at first. The proxy is "
        "that of https_proxy and no_proxy. HF_TOKEN opens gated repositories, HF_ENDPOINT is a "
        "mirror, HEARTH_REGISTRY_AUTH=host=user:password is for a registry that wants one.",
    .examples = "  hearth pull qwen3:0.6b\n  hearth pull hf.co/user/model-GGUF:Q5_K_M\n"
                "  hearth pull --limit-rate 2M https://example.net/model.gguf",
    .options = pull_options,
    .min_args = 1,
    .max_args = 1,
    .run = pull,
};

static int push(const cli_args *a) {
    err e = {0};
    progress p;
    hub_wire_options o;
    if (!progress_options(a, &p, &o, &e)) return cli_fail(&e);
    hub_store *s = hub_store_open(NULL, HUB_STORE_READ, &e);
    if (!s) return cli_fail(&e);
    progress_begin(&p, cli_flag(a, "json"));
    bool ok = hub_push(s, a->arg[0], &o, &e);
    progress_end(&p);
    hub_store_close(s);
    if (!ok) return cli_fail(&e);
    if (!p.json) note("%s is there now", a->arg[0]);
    return ERR_NONE;
}

const cli_command cmd_push = {
    .name = "push",
    .summary = "send a model to a registry",
    .args = "NAME",
    .about = "NAME says where: host/ns/model:tag. hearth cp gives a model such a name. What the "
             "registry has already is not sent. HEARTH_REGISTRY_AUTH=host=user:password is for a "
             "registry that wants one.",
    .examples = "  hearth cp my-model registry.example.net/me/my-model\n"
                "  hearth push registry.example.net/me/my-model",
    .complete = "model",
    .options = pull_options,
    .min_args = 1,
    .max_args = 1,
    .run = push,
};
