/* hearth key: who may use this machine, and how much. Works on the store's file, whether a server
 * runs or not: a running one notices within a second.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/amounts.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "store/store.h"

static const char *const windows[STORE_WINDOWS] = {"day", "week", "month"};

/* ---- how a key is shown ---- */

static void json_time(jsonw *w, const char *name, int64_t unix_s) {
    jsonw_key(w, name);
    if (unix_s) jsonw_int(w, unix_s);
    else jsonw_null(w);
}

static void json_models(jsonw *w, const char *models) {
    jsonw_key(w, "models");
    jsonw_array(w);
    for (const char *p = models; *p;) {
        size_t n = strcspn(p, ",");
        str one = str_trim((str){p, n});
        if (one.n) jsonw_str(w, one);
        p += n + (p[n] == ',');
    }
    jsonw_end(w);
}

/* The members of a key's object; the caller opens and closes it. */
static void json_key(jsonw *w, const store_key *k) {
    jsonw_key(w, "name");
    jsonw_str(w, str_of(k->name));
    jsonw_key(w, "id");
    jsonw_str(w, str_of(k->owner));
    json_time(w, "created", k->created_s);
    json_time(w, "expires", k->expires_s);
    json_time(w, "revoked", k->revoked_s);
    jsonw_key(w, "budget");
    jsonw_object(w);
    for (int i = 0; i < STORE_WINDOWS; i++) {
        if (!k->budget[i]) continue;
        jsonw_key(w, windows[i]);
        jsonw_int(w, k->budget[i]);
    }
    jsonw_end(w);
    jsonw_key(w, "rate_per_minute");
    if (k->rate_per_minute) jsonw_int(w, k->rate_per_minute);
    else jsonw_null(w);
    json_models(w, k->models);
    jsonw_key(w, "priority");
    jsonw_int(w, k->priority);
    jsonw_key(w, "admin");
    jsonw_bool(w, k->admin);
}

/* One key, with its credential where there is a new one: the only time that it is seen. */
static int show_key(const cli_args *a, const store_key *k, const char *credential,
                    const char *what) {
    if (cli_flag(a, "json")) {
        buf b;
        buf_init(&b, LIMIT_JSON_BYTES);
        jsonw w;
        jsonw_init(&w, &b);
        jsonw_object(&w);
        if (credential) {
            jsonw_key(&w, "key");
            jsonw_str(&w, str_of(credential));
        }
        json_key(&w, k);
        jsonw_end(&w);
        out_json(&b);
        return ERR_NONE;
    }
    if (credential) out_printf("%s\n", credential);
    note("key \"%s\" (%s) %s", k->name, k->owner, what);
    return ERR_NONE;
}

static store *open_store(store_mode mode, err *e) {
    return store_open(&(store_options){.mode = mode}, e);
}

static int finish(store *s, bool ok, err *e) {
    err closing = {0};
    if (!store_close(s, &closing) && ok) {
        *e = closing;
        ok = false;
    }
    return ok ? ERR_NONE : cli_fail(e);
}

/* ---- create ---- */

static bool read_budgets(store_key *k, const cli_value *given, err *e) {
    for (int i = 0; i < given->n_list; i++) {
        int64_t tokens;
        int window;
        if (!amount_budget("--budget", given->list[i], &tokens, &window, e)) return false;
        if (k->budget[window])
            return err_set(e, ERR_USAGE, "--budget: two for one %s", windows[window]);
        k->budget[window] = tokens;
    }
    return true;
}

static bool put_text(char *dst, size_t cap, const char *what, const char *text, err *e) {
    int n = snprintf(dst, cap, "%s", text);
    return (n >= 0 && (size_t)n < cap) ||
           err_set(e, ERR_USAGE, "%s: too long: %d bytes, at most %zu fit", what, n, cap - 1);
}

static bool read_key(store_key *k, const cli_args *a, err *e) {
    const char *expires = cli_text(a, "expires", NULL), *rate = cli_text(a, "rate", NULL);
    *k = (store_key){.priority = (int32_t)cli_int(a, "priority", 0), .admin = cli_flag(a, "admin")};
    return put_text(k->name, sizeof k->name, "NAME", a->arg[0], e) &&
           put_text(k->models, sizeof k->models, "--models", cli_text(a, "models", ""), e) &&
           read_budgets(k, cli_get(a, "budget"), e) &&
           (!rate || amount_rate("--rate", rate, &k->rate_per_minute, e)) &&
           (!expires || amount_moment("--expires", expires, false, &k->expires_s, e));
}

static int run_create(const cli_args *a) {
    err e = {0};
    store_key k;
    char credential[STORE_SECRET_BYTES];
    if (!read_key(&k, a, &e)) return cli_fail(&e);
    store *s = open_store(STORE_EDIT, &e);
    bool ok = s && store_key_create(s, &k, credential, &e);
    int code = finish(s, ok, &e);
    return code ? code
                : show_key(a, &k, credential,
                           "is made. Keep it: it is shown this once, and only its hash is stored.");
}

static const cli_option create_options[] = {
    {"budget", 0, CLI_LIST, "TOKENS/WINDOW",
     "at most so many tokens in and out, as 200k-tokens/day, 1M/week or 3M/month; one of each", 0,
     0},
    {"rate", 0, CLI_TEXT, "N/min", "at most so many requests a minute", 0, 0},
    {"models", 0, CLI_TEXT, "LIST", "only these models, separated by commas; * and ? stand for any",
     0, 0},
    {"priority", 0, CLI_INT, "N", "goes before keys with a lower number; default 0", -100, 100},
    {"expires", 0, CLI_TEXT, "TIME", "ends after 12h, 90d or 1y, or on a day like 2027-01-31", 0,
     0},
    {"admin", 0, CLI_FLAG, NULL, "may administer the server over HTTP", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object with the key and all about it", 0, 0},
    {0},
};

const cli_command cmd_key_create = {
    .name = "key create",
    .summary = "make a key for a person or a program",
    .args = "NAME",
    .about =
        "Makes a key and prints it, this once: what is stored is its hash. Programs send it as "
        "they send any API key. Windows of budgets are calendar days, weeks from Monday, and "
        "months, in local time. A running server knows the key within a second.",
    .examples = "  hearth key create anna\n"
                "  hearth key create editor --budget 200k-tokens/day --rate 60/min --expires 90d",
    .options = create_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};

/* ---- list ---- */

static void json_used(jsonw *w, const store_key_row *r) {
    jsonw_object(w);
    json_key(w, &r->key);
    jsonw_key(w, "used");
    jsonw_object(w);
    for (int i = 0; i < STORE_WINDOWS; i++) {
        jsonw_key(w, windows[i]);
        jsonw_int(w, r->used[i]);
    }
    jsonw_end(w);
    json_time(w, "last_used", r->last_used_s);
    jsonw_end(w);
}

static void list_json(const store_key_row *rows, size_t n) {
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) json_used(&w, &rows[i]);
    jsonw_end(&w);
    out_json(&b);
}

static void budget_cell(table *t, const store_key_row *r) {
    char all[200] = "", count[2][32];
    size_t n = 0;
    for (int i = 0; i < STORE_WINDOWS; i++) {
        if (!r->key.budget[i]) continue;
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s of %s/%s", n ? ", " : "",
                              human_count((uint64_t)r->used[i], count[0], sizeof count[0]),
                              human_count((uint64_t)r->key.budget[i], count[1], sizeof count[1]),
                              windows[i]);
    }
    table_cell(t, "%s", *all ? all : "-");
}

static int list_table(const store_key_row *rows, size_t n) {
    table *t = table_new("NAME|ID|CREATED|EXPIRES|LAST USED|TOKENS USED|RATE|MODELS|");
    char date[32];
    for (size_t i = 0; i < n; i++) {
        const store_key *k = &rows[i].key;
        char rate[32] = "-";
        if (k->rate_per_minute) snprintf(rate, sizeof rate, "%d/min", k->rate_per_minute);
        table_cell(t, "%s", k->name);
        table_cell(t, "%s", k->owner);
        table_cell(t, "%s", amount_date(k->created_s, "-", date));
        table_cell(t, "%s", amount_date(k->expires_s, "never", date));
        table_cell(t, "%s", amount_date(rows[i].last_used_s, "never", date));
        budget_cell(t, &rows[i]);
        table_cell(t, "%s", rate);
        table_cell(t, "%s", *k->models ? k->models : "all");
        table_cell(t, "%s%s", k->admin ? "admin " : "", k->revoked_s ? "revoked" : "");
    }
    table_print(t);
    table_free(t);
    return ERR_NONE;
}

static int run_list(const cli_args *a) {
    err e = {0};
    store_key_row *rows = NULL;
    size_t n = 0;
    store *s = open_store(STORE_READ, &e);
    bool ok = s && store_key_list(s, cli_flag(a, "all"), &rows, &n, &e);
    int code = finish(s, ok, &e);
    if (!code && cli_flag(a, "json")) list_json(rows, n);
    else if (!code && n == 0)
        note("there is no key yet: only this machine's own programs are "
             "served (hearth key create NAME makes one)");
    else if (!code) code = list_table(rows, n);
    free(rows);
    return code;
}

static const cli_option list_options[] = {
    {"all", 'a', CLI_FLAG, NULL, "revoked keys too", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON array", 0, 0},
    {0},
};

const cli_command cmd_key_list = {
    .name = "key list",
    .summary = "the keys, with their limits and what they used",
    .args = "",
    .about = "Lists the keys with their limits, and how much of each budget is used. Secrets are "
             "not shown: they are not known.",
    .examples = "  hearth key list\n  hearth key list --all --json",
    .options = list_options,
    .run = run_list,
};

/* ---- revoke, rotate ---- */

static int run_revoke(const cli_args *a) {
    err e = {0};
    store_key k;
    store *s = open_store(STORE_EDIT, &e);
    int code = finish(s, s && store_key_revoke(s, a->arg[0], &k, &e), &e);
    return code ? code : show_key(a, &k, NULL, "is revoked; what it used stays in the ledger");
}

static const cli_option revoke_options[] = {
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_key_revoke = {
    .name = "key revoke",
    .summary = "end a key",
    .args = "NAME",
    .about = "Ends a key, for good. A running server refuses it, and ends the answers that it is "
             "getting, within a second. The name is free again; what was used stays in the ledger.",
    .examples = "  hearth key revoke anna",
    .options = revoke_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_revoke,
};

static int run_rotate(const cli_args *a) {
    err e = {0};
    store_key k;
    char credential[STORE_SECRET_BYTES], what[160];
    const char *overlap = cli_text(a, "overlap", NULL);
    int64_t seconds = 0;
    if (overlap && !amount_seconds("--overlap", overlap, &seconds, &e)) return cli_fail(&e);
    store *s = open_store(STORE_EDIT, &e);
    int code = finish(s, s && store_key_rotate(s, a->arg[0], seconds, &k, credential, &e), &e);
    snprintf(what, sizeof what, "has a new secret, shown this once; the old one %s%s",
             overlap ? "works for another " : "no longer works", overlap ? overlap : "");
    return code ? code : show_key(a, &k, credential, what);
}

static const cli_option rotate_options[] = {
    {"overlap", 0, CLI_TEXT, "TIME", "let the old secret work so much longer: 1h, 2d", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object with the new key", 0, 0},
    {0},
};

const cli_command cmd_key_rotate = {
    .name = "key rotate",
    .summary = "give a key a new secret",
    .args = "NAME",
    .about =
        "Replaces a key's secret and prints the new key. Its name, id, limits and usage stay. "
        "The old secret stops at once, or after --overlap, so that programs can be changed one "
        "after the other.",
    .examples = "  hearth key rotate anna --overlap 1h",
    .options = rotate_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_rotate,
};

const cli_command cmd_key = {
    .name = "key",
    .summary = "who may use this machine: create, list, revoke, rotate",
    .args = "COMMAND",
    .about = "Keys say who may use this machine, and how much. While there is none, only programs "
             "on the machine itself are served. Keys are stored in Hearth's folder; a running "
             "server notices every change within a second.",
    .examples = "  hearth key create anna --budget 200k-tokens/day\n  hearth key list",
    .max_args = -1,
};
