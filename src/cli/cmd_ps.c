/* hearth ps and hearth stop: what a server has in memory. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/far.h"
#include "cli/storing.h"
#include "cli/table.h"

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print(const json_t *models) {
    table *t = table_new("NAME|ID|>SIZE|>CONTEXT|UNTIL");
    const json_t *m;
    size_t i;
    json_array_foreach(models, i, m) {
        char bytes[32], day[20];
        json_int_t size = json_integer_value(json_object_get(m, "size"));
        snprintf(day, sizeof day, "%.16s", text_of(m, "expires_at"));
        bool ever = strcmp(day, "2100") > 0;
        table_cell(t, "%s", text_of(m, "name"));
        table_cell(t, "%.12s", text_of(m, "digest"));
        table_cell(t, "%s", human_bytes((uint64_t)size, bytes, sizeof bytes));
        table_cell(t, "%lld", (long long)json_integer_value(json_object_get(m, "context_length")));
        table_cell(t, "%s", ever ? "for ever" : day);
    }
    table_print(t);
    table_free(t);
}

static int run_ps(const cli_args *a) {
    err e = {0};
    json_t *j = NULL;
    if (!far_get("/api/ps", NULL, &j, &e)) return cli_fail(&e);
    char *text = cli_flag(a, "json") ? json_dumps(j, JSON_COMPACT) : NULL;
    if (text) out_printf("%s\n", text);
    else print(json_object_get(j, "models"));
    free(text);
    json_decref(j);
    return ERR_NONE;
}

static const cli_option options[] = {
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_ps = {
    .name = "ps",
    .summary = "the models that a server has in memory",
    .args = "",
    .about = "Asks the server at HEARTH_HOST, or this machine's.",
    .examples = "  hearth ps\n  hearth ps --json",
    .options = options,
    .run = run_ps,
};

static int run_stop(const cli_args *a) {
    err e = {0};
    buf b;
    jsonw w;
    json_t *j = NULL;
    buf_init(&b, 8192);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(a->arg[0]));
    jsonw_key(&w, "keep_alive"), jsonw_int(&w, 0);
    jsonw_key(&w, "stream"), jsonw_bool(&w, false);
    jsonw_end(&w);
    bool ok = far_get("/api/generate", &b, &j, &e);
    json_decref(j);
    buf_deinit(&b);
    return ok ? ERR_NONE : cli_fail(&e);
}

const cli_command cmd_stop = {
    .name = "stop",
    .summary = "take a model out of a server's memory",
    .args = "MODEL",
    .about = "The server at HEARTH_HOST, or this machine's, gives the model up as soon as nobody "
             "uses it, and loads it again when somebody asks for it.",
    .examples = "  hearth stop qwen3:8b",
    .complete = "model",
    .min_args = 1,
    .max_args = 1,
    .run = run_stop,
};
