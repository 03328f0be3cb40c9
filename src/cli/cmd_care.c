/* hearth du, gc and verify: looking after the store. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/storing.h"
#include "cli/table.h"
#include "hub/places.h"
#include "hub/sweep.h"

static const cli_option json_only[] = {
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

/* ---- du ---- */

static void du_json(const hub_store *s, const hub_usage *u, const hub_name *list, size_t n) {
    buf b;
    jsonw w;
    char shown[HUB_NAME_BYTES];
    buf_init(&b, (size_t)1 << 30);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "folder"), jsonw_str(&w, str_of(hub_store_folder(s)));
    jsonw_key(&w, "bytes"), jsonw_uint(&w, u->bytes);
    jsonw_key(&w, "blobs"), jsonw_uint(&w, u->n_blobs);
    jsonw_key(&w, "blob_bytes"), jsonw_uint(&w, u->blob_bytes);
    jsonw_key(&w, "unused_blobs"), jsonw_uint(&w, u->n_unused);
    jsonw_key(&w, "unused_bytes"), jsonw_uint(&w, u->unused_bytes);
    jsonw_key(&w, "partial"), jsonw_uint(&w, u->n_partial);
    jsonw_key(&w, "partial_bytes"), jsonw_uint(&w, u->partial_bytes);
    jsonw_key(&w, "left_over_bytes"), jsonw_uint(&w, u->tmp_bytes);
    uint64_t have = hub_store_free_bytes(s);
    jsonw_key(&w, "free_bytes");
    have == UINT64_MAX ? jsonw_null(&w) : jsonw_uint(&w, have);
    jsonw_key(&w, "models");
    jsonw_array(&w);
    for (size_t i = 0; i < n; i++) {
        hub_manifest m;
        uint64_t own;
        if (!hub_store_manifest(s, HUB_READY, &list[i], &m, NULL)) continue;
        jsonw_object(&w);
        jsonw_key(&w, "name"), jsonw_str(&w, str_of(hub_name_show(&list[i], shown)));
        jsonw_key(&w, "bytes"), jsonw_uint(&w, m.bytes);
        jsonw_key(&w, "own_bytes");
        hub_store_own_bytes(s, &list[i], &own, NULL) ? jsonw_uint(&w, own) : jsonw_null(&w);
        jsonw_end(&w);
        hub_manifest_deinit(&m);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    out_json(&b);
}

static void du_print(const hub_store *s, const hub_usage *u, const hub_name *list, size_t n) {
    char x[32], y[32], shown[HUB_NAME_BYTES];
    table *t = table_new("NAME|>SIZE|>REMOVING FREES");
    for (size_t i = 0; i < n; i++) {
        hub_manifest m;
        uint64_t own = 0;
        if (!hub_store_manifest(s, HUB_READY, &list[i], &m, NULL)) continue;
        hub_store_own_bytes(s, &list[i], &own, NULL);
        table_cell(t, "%s", hub_name_show(&list[i], shown));
        table_cell(t, "%s", human_bytes(m.bytes, x, sizeof x));
        table_cell(t, "%s", human_bytes(own, y, sizeof y));
        hub_manifest_deinit(&m);
    }
    table_print(t);
    table_free(t);
    out_printf("\n%s: %s in %llu blob%s", hub_store_folder(s), human_bytes(u->bytes, x, sizeof x),
               (unsigned long long)u->n_blobs, PLURAL(u->n_blobs));
    if (u->partial_bytes)
        out_printf(", of it %s half fetched", human_bytes(u->partial_bytes, x, sizeof x));
    if (u->unused_bytes + u->tmp_bytes)
        out_printf(", of it %s that no model needs (hearth gc)",
                   human_bytes(u->unused_bytes + u->tmp_bytes, x, sizeof x));
    uint64_t have = hub_store_free_bytes(s);
    if (have != UINT64_MAX) out_printf("; %s are free", human_bytes(have, x, sizeof x));
    out_puts("\n");
}

static int run_du(const cli_args *a) {
    err e = {0};
    hub_usage u;
    hub_name *list = NULL;
    size_t n = 0;
    hub_store *s = storing_open(&e);
    bool ok = s && hub_store_usage(s, &u, &e) && hub_store_names(s, HUB_READY, &list, &n, &e);
    if (ok && cli_flag(a, "json")) du_json(s, &u, list, n);
    else if (ok) du_print(s, &u, list, n);
    free(list);
    hub_store_close(s);
    return ok ? ERR_NONE : cli_fail(&e);
}

const cli_command cmd_du = {
    .name = "du",
    .summary = "what the models take on disk",
    .args = "",
    .about = "Models may share their weights: SIZE counts them for each, REMOVING FREES what no "
             "other needs.",
    .examples = "  hearth du\n  hearth du --json",
    .options = json_only,
    .run = run_du,
};

/* ---- gc ---- */

static void gc_each(void *ud, const char *path, uint64_t bytes) {
    char shown[32];
    (void)ud;
    out_printf("%s  %s\n", path, human_bytes(bytes, shown, sizeof shown));
}

static int run_gc(const cli_args *a) {
    err e = {0};
    hub_gc_report r;
    char bytes[32];
    bool json = cli_flag(a, "json"), dry = cli_flag(a, "dry-run");
    hub_gc_options o = {.dry_run = dry,
                        .partial = cli_flag(a, "partial"),
                        .min_age_s = cli_flag(a, "all") ? 0 : HUB_YOUNG_S,
                        .each = json ? NULL : gc_each};
    hub_store *s = storing_open(&e);
    bool ok = s && hub_store_gc(s, &o, &r, &e);
    hub_store_close(s);
    if (!ok) return cli_fail(&e);
    if (json) {
        buf b;
        jsonw w;
        buf_init(&b, 4096);
        jsonw_init(&w, &b);
        jsonw_object(&w);
        jsonw_key(&w, "dry_run"), jsonw_bool(&w, dry);
        jsonw_key(&w, "files"), jsonw_uint(&w, r.n);
        jsonw_key(&w, "bytes"), jsonw_uint(&w, r.bytes);
        jsonw_key(&w, "spared"), jsonw_uint(&w, r.n_young);
        jsonw_end(&w);
        out_json(&b);
    } else {
        note(dry ? "%llu files of %s would go" : "%llu files of %s removed",
             (unsigned long long)r.n, human_bytes(r.bytes, bytes, sizeof bytes));
        if (r.n_young)
            note("%llu more came within the last hour, when a model may be made of them: --all "
                 "takes them too",
                 (unsigned long long)r.n_young);
    }
    return ERR_NONE;
}

static const cli_option gc_options[] = {
    {"dry-run", 'n', CLI_FLAG, NULL, "say what would go, and leave it", 0, 0},
    {"partial", 0, CLI_FLAG, NULL, "also what is half fetched and could be gone on with", 0, 0},
    {"all", 0, CLI_FLAG, NULL, "also what came within the last hour", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_gc = {
    .name = "gc",
    .summary = "remove what no model needs",
    .args = "",
    .about =
        "Removes blobs that no model needs, and what killed processes left. Never removes what "
        "a model needs, one that is being fetched included, nor anything in another program's "
        "folder; where a manifest cannot be read it removes nothing. Nothing is ever removed "
        "without this command or hearth rm.",
    .examples = "  hearth gc --dry-run\n  hearth gc",
    .options = gc_options,
    .run = run_gc,
};

/* ---- verify ---- */

typedef struct verifying {
    storing_bar progress;
    jsonw *w; /* NULL: lines */
} verifying;

static void on_fault(void *ud, hub_fault f, const hub_name *n, const char *what) {
    static const char *const kinds[] = {"manifest", "missing", "length", "bytes"};
    verifying *v = ud;
    char shown[HUB_NAME_BYTES] = "";
    if (n->host[0]) hub_name_show(n, shown);
    if (v->w) {
        jsonw_object(v->w);
        jsonw_key(v->w, "kind"), jsonw_str(v->w, str_of(kinds[f]));
        jsonw_key(v->w, "model");
        *shown ? jsonw_str(v->w, str_of(shown)) : jsonw_null(v->w);
        jsonw_key(v->w, "what"), jsonw_str(v->w, str_of(what));
        jsonw_end(v->w);
    } else {
        out_printf("%s%s%s\n", shown, *shown ? ": " : "", what);
    }
}

static bool on_bytes(void *ud, uint64_t done, uint64_t total) {
    verifying *v = ud;
    return storing_bar_draw(&v->progress, done, total);
}

static void verify_say(const hub_verify_report *r, bool repair) {
    char bytes[32];
    note("%llu models, %llu blobs, %s: %llu faults", (unsigned long long)r->n_models,
         (unsigned long long)r->n_blobs, human_bytes(r->bytes, bytes, sizeof bytes),
         (unsigned long long)r->n_faults);
    if (!r->n_faults) return;
    if (repair) note("damaged parts were taken out; hearth pull NAME fetches them again");
    else note("hearth verify --repair takes out what is damaged, so that it can be fetched again");
}

static int run_verify(const cli_args *a) {
    err e = {0};
    buf b;
    jsonw w;
    hub_name one;
    hub_verify_report r = {0};
    verifying v = {.w = cli_flag(a, "json") ? &w : NULL};
    hub_verify_options o = {.repair = cli_flag(a, "repair"),
                            .quick = cli_flag(a, "quick"),
                            .fault = on_fault,
                            .each = on_bytes,
                            .ud = &v};
    buf_init(&b, (size_t)1 << 28);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "faults");
    jsonw_array(&w);
    hub_store *s = storing_open(&e);
    bool ok = s != NULL;
    if (ok && a->n_args) {
        ok = storing_existing(s, &one, a->arg[0], &e);
        o.one = &one;
    }
    if (ok) {
        storing_bar_begin(&v.progress, a->n_args ? a->arg[0] : "the store");
        ok = hub_store_verify(s, &o, &r, &e);
        storing_bar_end(&v.progress);
    }
    hub_store_close(s);
    jsonw_end(&w);
    jsonw_key(&w, "models"), jsonw_uint(&w, r.n_models);
    jsonw_key(&w, "blobs"), jsonw_uint(&w, r.n_blobs);
    jsonw_key(&w, "bytes"), jsonw_uint(&w, r.bytes);
    jsonw_key(&w, "repaired"), jsonw_uint(&w, r.n_repaired);
    jsonw_end(&w);
    if (ok && v.w) out_json(&b);
    else buf_deinit(&b);
    if (!ok) return cli_fail(&e);
    if (!v.w) verify_say(&r, o.repair);
    return r.n_faults && !o.repair ? ERR_DAMAGED : ERR_NONE;
}

static const cli_option verify_options[] = {
    {"repair", 0, CLI_FLAG, NULL, "take out what is damaged", 0, 0},
    {"quick", 0, CLI_FLAG, NULL, "look at lengths only", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_verify = {
    .name = "verify",
    .summary = "check that models are whole",
    .args = "[MODEL]",
    .about =
        "Hashes every blob of Hearth's store, or of one model, and compares it with its name. "
        "The exit code is 7 when something is damaged. --repair removes damaged blobs and sets "
        "the models that need them aside; hearth pull NAME then fetches what is missing, and "
        "nothing else.",
    .examples = "  hearth verify\n  hearth verify qwen3:8b --json",
    .complete = "model",
    .options = verify_options,
    .max_args = 1,
    .run = run_verify,
};
