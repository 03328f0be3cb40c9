/* hearth update: newer versions of models, and the way back; hearth search. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/storing.h"
#include "hub/pull.h"
#include "hub/sources.h"
#include "net/url.h"

/* ---- update ---- */

static bool renew(hub_store *s, const hub_name *n, const hub_wire_options *wire, err *e) {
    buf name;
    hub_pull_report r;
    hub_pull_options o = {.wire = *wire};
    buf_init(&name, 8192);
    bool ok = hub_update_name(s, n, &name, e) && hub_pull(s, name.data, &o, &r, e);
    buf_deinit(&name);
    return ok;
}

static void say(progress *p, const char *shown, const char *state, uint64_t bytes) {
    char size[32];
    if (!p->json) {
        if (bytes)
            out_printf("%-40s %s (%s to fetch)\n", shown, state,
                       human_bytes(bytes, size, sizeof size));
        else out_printf("%-40s %s\n", shown, state);
        return;
    }
    buf b;
    jsonw w;
    buf_init(&b, 4096);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(shown));
    jsonw_key(&w, "state"), jsonw_str(&w, str_of(state));
    jsonw_key(&w, "bytes"), jsonw_uint(&w, bytes);
    jsonw_end(&w);
    out_json(&b);
}

static bool update_one(hub_store *s, const hub_name *n, const cli_args *a, progress *p,
                       const hub_wire_options *o, err *e) {
    static const char *const states[] = {"up to date", "has a newer version",
                                         "came from nowhere that can be asked", "is gone upstream",
                                         "came from an address, which cannot say: pull fetches it "
                                         "again"};
    char shown[HUB_NAME_BYTES];
    hub_newer newer;
    uint64_t bytes;
    hub_name_show(n, shown);
    if (!hub_update_look(s, n, o, &newer, &bytes, e)) return err_wrap(e, "%s", shown);
    say(p, shown, states[newer], newer == HUB_NEWER_YES ? bytes : 0);
    out_flush();
    if (newer != HUB_NEWER_YES || !cli_flag(a, "yes")) return true;
    if (!renew(s, n, o, e)) return false;
    say(p, shown, "updated; --rollback goes back", 0);
    return true;
}

static bool update_all(hub_store *s, const cli_args *a, progress *p, const hub_wire_options *o,
                       err *e) {
    hub_name *list = NULL, one;
    size_t n = 0;
    bool ok = true;
    if (a->n_args > 0) {
        return storing_existing(s, &one, a->arg[0], e) && update_one(s, &one, a, p, o, e);
    }
    if (!hub_store_names(s, HUB_READY, &list, &n, e)) return false;
    for (size_t i = 0; ok && i < n; i++) {
        err why = {0};
        if (update_one(s, &list[i], a, p, o, &why)) continue;
        if (e->code) note("hearth: %s", e->msg); /* the last one is the caller's to say */
        *e = why;
        ok = why.code != ERR_INTERRUPTED;
    }
    free(list);
    return ok && !e->code;
}

static bool back(hub_store *s, const cli_args *a, bool forget, err *e) {
    hub_name n;
    if (a->n_args == 0)
        return err_set(e, ERR_USAGE, "update --%s: of which model?",
                       forget ? "forget" : "rollback");
    return storing_existing(s, &n, a->arg[0], e) &&
           (forget ? hub_update_forget(s, &n, e) : hub_update_rollback(s, &n, e));
}

static int update(const cli_args *a) {
    err e = {0};
    progress p;
    hub_wire_options o;
    if (!progress_options(a, &p, &o, &e)) return cli_fail(&e);
    hub_store *s = storing_open(&e);
    if (!s) return cli_fail(&e);
    bool forget = cli_flag(a, "forget"), rollback = cli_flag(a, "rollback"), ok;
    if (forget || rollback) {
        ok = back(s, a, forget, &e);
    } else {
        progress_begin(&p, cli_flag(a, "json"));
        ok = update_all(s, a, &p, &o, &e);
        progress_end(&p);
    }
    hub_store_close(s);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option update_options[] = {
    {"yes", 'y', CLI_FLAG, NULL, "fetch what is newer and put it in place", 0, 0},
    {"rollback", 0, CLI_FLAG, NULL, "go back to the version before; again: forward", 0, 0},
    {"forget", 0, CLI_FLAG, NULL, "give up the version before (hearth gc frees its room)", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "one JSON object a line", 0, 0},
    PROGRESS_OPTIONS,
    {0},
};

const cli_command cmd_update = {
    .name = "update",
    .summary = "tell which models have newer versions, fetch them, go back",
    .args = "[NAME]",
    .about =
        "Asks where each model came from whether it is still the newest. With --yes newer ones "
        "are fetched, and replace the old from one moment to the next; the old one is kept "
        "until --forget, and --rollback goes back to it without a network. Nothing is asked "
        "unless this command is given.",
    .examples = "  hearth update\n  hearth update --yes qwen3:8b\n"
                "  hearth update --rollback qwen3:8b",
    .complete = "model",
    .options = update_options,
    .max_args = 1,
    .run = update,
};

/* ---- search ---- */

static bool print_found(const http_answer *a, const hub_source *s, bool json, err *e) {
    size_t i;
    const json_t *x;
    json_t *list = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
    if (!json_is_array(list)) {
        json_decref(list);
        return err_set(e, ERR_DAMAGED, "%s: its answer cannot be understood", s->host);
    }
    buf b;
    jsonw w;
    buf_init(&b, 1 << 20);
    jsonw_init(&w, &b);
    if (json) jsonw_array(&w);
    json_array_foreach(list, i, x) {
        char name[300], shown[300];
        const char *id = json_string_value(json_object_get(x, "id"));
        json_int_t fetched = json_integer_value(json_object_get(x, "downloads"));
        if (!id) continue;
        snprintf(name, sizeof name, "%s/%.200s", s->host, id);
        str_printable(str_of(name), shown, sizeof shown);
        if (json) {
            jsonw_object(&w);
            jsonw_key(&w, "name"), jsonw_str(&w, str_of(shown));
            jsonw_key(&w, "downloads"), jsonw_int(&w, fetched);
            jsonw_end(&w);
        } else {
            buf_printf(&b, "%-64s %lld\n", shown, (long long)fetched);
        }
    }
    if (json) {
        jsonw_end(&w);
        out_json(&b);
    } else {
        out_buf(&b);
        buf_deinit(&b);
    }
    json_decref(list);
    return true;
}

static bool search_in(hub_wire *w, const hub_source *s, const cli_args *a, err *e) {
    hub_name n = {.kind = HUB_NAME};
    char base[HUB_BASE_BYTES], secret[HUB_SECRET_BYTES];
    buf address;
    http_answer got;
    snprintf(n.host, sizeof n.host, "%s", s->host);
    if (!hub_source_base(s, &n, w->o.insecure, base, e)) return false;
    hub_source_secret(s, &n, secret);
    buf_init(&address, LIMIT_HTTP_URI);
    buf_printf(&address, "%s%s", base, s->search);
    for (int i = 0; i < a->n_args; i++) {
        if (i) buf_puts(&address, "%20");
        url_quote(&address, str_of(a->arg[i]));
    }
    http_ask q = {.url = address.data, .authorization = secret[0] ? secret : NULL};
    bool ok = !address.failed || err_set(e, ERR_USAGE, "the words are too many");
    if (ok) {
        ok = hub_wire_ask(w, &q, &got, e);
        if (ok && got.status != 200) ok = hub_wire_refused(&got, s->host, e);
        ok = ok && print_found(&got, s, cli_flag(a, "json"), e);
        http_answer_deinit(&got);
    }
    buf_deinit(&address);
    return ok;
}

static int search(const cli_args *a) {
    err e = {0};
    progress p;
    hub_wire w;
    hub_wire_options o;
    if (!progress_options(a, &p, &o, &e) || !hub_wire_open(&w, &o, &e)) return cli_fail(&e);
    progress_begin(&p, cli_flag(a, "json"));
    bool ok = true;
    for (const hub_source *s = hub_sources; ok && s->host; s++)
        if (s->search) ok = search_in(&w, s, a, &e);
    progress_end(&p);
    hub_wire_close(&w);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option search_options[] = {
    {"json", 0, CLI_FLAG, NULL, "print a JSON array", 0, 0},
    PROGRESS_OPTIONS,
    {0},
};

const cli_command cmd_search = {
    .name = "search",
    .summary = "find models to fetch",
    .args = "TEXT...",
    .about =
        "Asks the places that have a search (Hugging Face: repositories with GGUF files, those "
        "fetched most first) and prints names that hearth pull and hearth fit take, with how "
        "often they were fetched. Ollama's registry has no search.",
    .examples = "  hearth search qwen3 4b",
    .options = search_options,
    .min_args = 1,
    .max_args = -1,
    .run = search,
};
