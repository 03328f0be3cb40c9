/* hearth list: the models that are here, Hearth's own and those of others. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/storing.h"
#include "cli/table.h"
#include "hub/places.h"

static bool wanted(const hub_entry *x, const char *start) {
    char shown[HUB_NAME_BYTES];
    return !start || strncasecmp(hub_name_show(&x->name, shown), start, strlen(start)) == 0;
}

static void print_json(const hub_entry *list, size_t n, const char *start) {
    buf b;
    jsonw w;
    char shown[HUB_NAME_BYTES];
    buf_init(&b, (size_t)1 << 30);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "models");
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) {
        const hub_entry *x = &list[i];
        if (!wanted(x, start)) continue;
        jsonw_object(&w);
        jsonw_key(&w, "name"), jsonw_str(&w, str_of(hub_name_show(&x->name, shown)));
        jsonw_key(&w, "id");
        x->id.hex[0] ? jsonw_str(&w, str_of(x->id.hex)) : jsonw_null(&w);
        jsonw_key(&w, "bytes"), jsonw_uint(&w, x->bytes);
        jsonw_key(&w, "modified"), jsonw_int(&w, x->modified_s);
        jsonw_key(&w, "place"), jsonw_str(&w, str_of(hub_place_name(x->place)));
        jsonw_key(&w, "path");
        x->file ? jsonw_str(&w, str_of(x->file)) : jsonw_null(&w);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    out_json(&b);
}

static void print(const hub_entry *list, size_t n, const char *start) {
    table *t = table_new("NAME|ID|>SIZE|MODIFIED|PLACE");
    for (size_t i = 0; i < n; i++) {
        const hub_entry *x = &list[i];
        char shown[HUB_NAME_BYTES], bytes[32], when[40];
        if (!wanted(x, start)) continue;
        table_cell(t, "%s", hub_name_show(&x->name, shown));
        table_cell(t, "%.12s", x->id.hex);
        table_cell(t, "%s", human_bytes(x->bytes, bytes, sizeof bytes));
        table_cell(t, "%s", storing_ago(x->modified_s, when, sizeof when));
        table_cell(t, "%s", x->place == HUB_OWN ? "" : hub_place_name(x->place));
    }
    table_print(t);
    table_free(t);
}

static int run(const cli_args *a) {
    err e = {0};
    hub_entry *list = NULL;
    size_t n = 0;
    const char *start = a->n_args ? a->arg[0] : NULL;
    hub_places *p = hub_places_open(&e);
    bool ok = p && hub_places_list(p, &list, &n, &e);
    if (ok && cli_flag(a, "json")) print_json(list, n, start);
    else if (ok) print(list, n, start);
    if (ok && n == 0)
        note("nothing yet but bard, the model inside; hearth run proposes some for this machine, "
             "hearth pull NAME fetches one");
    hub_entries_free(list, n);
    hub_places_close(p);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option options[] = {
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_list = {
    .name = "list",
    .summary = "the models that are here",
    .args = "[START]",
    .about = "Lists the models of Hearth's store, and those that Ollama and Hugging Face's tools "
             "have fetched: these are used where they lie, and never changed. With START, only "
             "names that begin so. The model inside the program, bard, is always there.",
    .examples = "  hearth list\n  hearth list qwen --json",
    .options = options,
    .max_args = 1,
    .run = run,
};
