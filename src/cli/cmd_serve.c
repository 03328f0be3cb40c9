/* hearth serve: many clients on one machine. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/api.h"
#include "base/file.h"
#include "cli/amounts.h"
#include "cli/commands.h"
#include "cli/direct.h"
#include "cli/metering.h"
#include "hub/beside.h"
#include "net/tls.h"

/* ---- what the command line says ---- */

static const char *const default_listen[] = {"127.0.0.1:11434", NULL};

/* Whether an address can only be reached from this machine. */
static bool is_local_address(const char *s) {
    return strncmp(s, "unix:", 5) == 0 || strncmp(s, "127.", 4) == 0 ||
           strncmp(s, "localhost:", 10) == 0 || strncmp(s, "[::1]:", 6) == 0;
}

static bool addresses_ok(const char *const *listen, store *s, err *e) {
    for (; *listen; listen++)
        if (!is_local_address(*listen) && !store_keys_exist(s))
            return err_set(e, ERR_DENIED,
                           "serve: %s can be reached from other machines, and there is no key yet: "
                           "make one with hearth key create NAME, or listen on 127.0.0.1",
                           *listen);
    return true;
}

static bool duration_of(const cli_args *a, const char *name, const char *usual, int *out, err *e) {
    int64_t s;
    const char *text = cli_text(a, name, usual);
    if (!api_duration_read(text, &s) || s > INT_MAX)
        return err_set(e, ERR_USAGE, "--%s: \"%s\" is no duration like 5m, 90s or -1", name, text);
    *out = (int)s;
    return true;
}

/* Adapters for the first model. */
static bool loras_of(const cli_args *a, hub_adapters *l, err *e) {
    const cli_value *plain = cli_get(a, "lora"), *scaled = cli_get(a, "lora-scaled");
    bool ok = true;
    for (int i = 0; ok && i < plain->n_list; i++) ok = hub_adapters_add(l, plain->list[i], '=', e);
    for (int i = 0; ok && i < scaled->n_list; i++)
        ok = hub_adapters_add(l, scaled->list[i], ':', e);
    for (size_t i = 0; cli_flag(a, "lora-init-without-apply") && i < l->n; i++)
        l->item[i].scale = 0;
    return ok || err_wrap(e, "--lora");
}

static bool options_of(const cli_args *a, api_options *o, hub_adapters *loras, err *e) {
    static char folder[PATH_MAX];
    const char *home = file_home();
    *o = (api_options){.allow_host = cli_get(a, "allow-host")->list,
                       .pin = cli_get(a, "pin")->list,
                       .require_key = cli_flag(a, "require-key"),
                       .energy = cli_flag(a, "energy"),
                       .context_shift = cli_flag(a, "context-shift")};
    o->models.models = cli_get(a, "model")->list;
    o->models.max_models = (int)cli_int(a, "max-models", 0);
    o->models.folder = cli_text(a, "models", NULL);
    if (!o->models.folder && home) {
        snprintf(folder, sizeof folder, "%s/models", home);
        o->models.folder = folder;
    }
    o->models.engine = (hearth_engine_options){
        .n_threads = (int)cli_int(a, "threads", 0),
        .n_ctx = (int32_t)cli_int(a, "ctx", 0),
        .kv = (hearth_kv)(kv_type_named(cli_text(a, "kv", "f16")) == KERN_KV_Q8    ? HEARTH_KV_Q8
                          : kv_type_named(cli_text(a, "kv", "f16")) == KERN_KV_F32 ? HEARTH_KV_F32
                                                                                   : HEARTH_KV_F16),
        .max_requests = (int32_t)cli_int(a, "parallel", 0),
        .no_speculation = cli_flag(a, "no-speculation"),
    };
    o->models.draft = cli_text(a, "draft", NULL);
    if (!loras_of(a, loras, e)) return false;
    o->models.lora = loras;
    o->models.no_pack = cli_flag(a, "no-pack");
    o->models.engine.step_ms = (int32_t)cli_int(a, "step-ms", 0);
    const char *ram = cli_text(a, "cache-ram", NULL);
    if (ram && !amount_bytes("--cache-ram", ram, &o->models.engine.kv_bytes, e)) return false;
    o->models.engine.cache_disk = cli_text(a, "cache-disk", NULL);
    const char *disk = cli_text(a, "cache-disk-size", NULL);
    if (disk && !amount_bytes("--cache-disk-size", disk, &o->models.engine.cache_disk_bytes, e))
        return false;
    int keep_responses_s;
    if (!duration_of(a, "keep-responses", "720h", &keep_responses_s, e)) return false;
    o->keep_responses_s = keep_responses_s;
    return duration_of(a, "keep-alive", "5m", &o->models.keep_alive_s, e);
}

/* The PEM files of HTTPS; both NULL: plain HTTP. */
typedef struct tls_files {
    const char *cert, *key;
    bool self; /* made here, signed by nobody else */
} tls_files;

static bool tls_of(const cli_args *a, tls_files *t, err *e) {
    static char folder[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
    t->cert = cli_text(a, "tls-cert", NULL);
    t->key = cli_text(a, "tls-key", NULL);
    t->self = cli_text(a, "tls", NULL) != NULL;
    if (!t->cert != !t->key || (t->self && t->cert))
        return err_set(e, ERR_USAGE,
                       "serve: HTTPS needs --tls-cert and --tls-key, or --tls self alone");
    if (!t->self) return true;
    const char *home = file_home();
    if (!home) return err_set(e, ERR_NOT_FOUND, "--tls self: no HOME to keep the certificate in");
    snprintf(folder, sizeof folder, "%s/tls", home);
    if (!tls_self_keep(folder, cert, sizeof cert, key, sizeof key, e)) return false;
    t->cert = cert;
    t->key = key;
    return true;
}

/* What measures this machine's energy; NULL when it was switched off. */
static bool meter_of(const cli_args *a, meter **m, err *e) {
    meter_options o;
    bool off;
    *m = NULL;
    if (!metering_read(a, &o, &off, e)) return false;
    return off || (*m = meter_open(&o, e)) != NULL;
}

/* ---- signals ---- */

typedef struct serving {
    api *api;
    http_server *server;
    int drain_ms;
    bool loaded_ok;
    err load_err;
} serving;

/* Blocked in every thread; the main one waits for them. A terminal that closes is an end like the
 * others, but for who was started by nohup. */
static void signals_block(sigset_t *set) {
    struct sigaction hangup;
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1); /* our own: loading failed */
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* A second signal while the first one is heeded ends the process at once. */
static void *second_signal(void *ud) {
    const sigset_t *set = ud;
    int sig;
    do {
        if (sigwait(set, &sig) != 0) return NULL;
    } while (sig == SIGUSR1);
    note("hearth: stopped at once");
    _exit(128 + sig);
}

static void *load_main(void *ud) {
    serving *s = ud;
    s->loaded_ok = api_load(s->api, &s->load_err);
    if (!s->loaded_ok) kill(getpid(), SIGUSR1);
    else note("ready");
    return NULL;
}

/* ---- serving ---- */

static void say_where(const http_server *s, const tls_files *tls) {
    const char *address;
    const char *scheme = tls->cert ? "https" : "http";
    for (int i = 0; (address = http_server_address(s, i)); i++) {
        if (strncmp(address, "unix:", 5) == 0) note("listening on %s", address);
        else note("listening on %s://%s", scheme, address);
    }
    address = http_server_address(s, 0);
    if (address && strncmp(address, "unix:", 5) != 0)
        note("point programs that speak OpenAI's API at %s://%s/v1", scheme, address);
    char print[96];
    if (tls->self && tls_fingerprint(tls->cert, print, NULL))
        note("own certificate %s, SHA-256 %s", tls->cert, print);
}

static bool listen_all(http_server *s, const char *const *addresses, err *e) {
    for (; *addresses; addresses++)
        if (!http_server_listen(s, *addresses, e)) return false;
    return http_server_start(s, e);
}

/* Until a signal; then gently to the end. */
static int serve_until_signal(serving *s, sigset_t *set, err *e) {
    pthread_t loader, second;
    int sig = 0;
    if (pthread_create(&loader, NULL, load_main, s) != 0) {
        err_set(e, ERR_NO_FIT, "cannot start a thread");
        return ERR_NO_FIT;
    }
    while (sigwait(set, &sig) != 0) continue;
    if (sig != SIGUSR1) {
        bool watched = pthread_create(&second, NULL, second_signal, set) == 0;
        note("stopping: up to %d s for what is under way; once more stops at once",
             s->drain_ms / 1000);
        if (watched) pthread_detach(second);
        api_drain(s->api, s->drain_ms);
    }
    pthread_join(loader, NULL);
    http_server_stop(s->server, 1000);
    if (s->loaded_ok) return ERR_NONE;
    *e = s->load_err;
    return sig == SIGUSR1 ? (int)e->code : ERR_NONE;
}

static int run(const cli_args *a) {
    err e = {0};
    api_options o;
    serving s = {.drain_ms = (int)cli_int(a, "drain", 10) * 1000};
    sigset_t set;
    const cli_value *given = cli_get(a, "listen");
    const char *const *listen = given->n_list ? given->list : default_listen;
    tls_files tls = {0};
    int code = ERR_FAILED;
    signals_block(&set);
    hub_adapters loras = {0};
    bool ok = options_of(a, &o, &loras, &e) && tls_of(a, &tls, &e) && meter_of(a, &o.meter, &e);
    if (ok && !(o.store = store_open(&(store_options){.mode = STORE_SERVE}, &e))) {
        meter_close(o.meter);
        ok = false;
    }
    if (!ok) {
        hub_adapters_deinit(&loras);
        return cli_fail(&e);
    }
    if (addresses_ok(listen, o.store, &e) && (s.api = api_new(&o, &e)) &&
        (s.server = http_server_new(&(http_options){.handle = api_handle,
                                                    .streams = api_uploads,
                                                    .ud = s.api,
                                                    .tls_cert = tls.cert,
                                                    .tls_key = tls.key},
                                    &e)) &&
        listen_all(s.server, listen, &e)) {
        say_where(s.server, &tls);
        code = serve_until_signal(&s, &set, &e);
    }
    api_free(s.api);
    http_server_free(s.server);
    meter_close(o.meter);
    hub_adapters_deinit(&loras);
    err last = {0};
    if (!store_close(o.store, &last) && e.code == ERR_NONE) e = last;
    return e.code != ERR_NONE ? cli_fail(&e) : code;
}

static const cli_option options[] = {
    {"model", 'm', CLI_LIST, "MODEL", "load this model at start; may be given several times", 0, 0},
    {"models", 0, CLI_FILE, "DIR",
     "each .gguf file in DIR is a model, loaded when asked for; default: models in Hearth's folder",
     0, 0},
    {"listen", 'l', CLI_LIST, "ADDR:PORT",
     "where to listen, also unix:PATH; may be given several times; default 127.0.0.1:11434", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads that compute; default: what there is", 1, 256},
    {"parallel", 0, CLI_INT, "N", "requests that run at the same time; default 16", 1, 1024},
    {"ctx", 'c', CLI_INT, "N", "longest context in tokens; default: the model's own, if it fits",
     16, 16777216},
    {"context-shift", 0, CLI_FLAG, NULL,
     "answers go on when the context is full, without their older half; else they end there", 0, 0},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache; default f16", 0, 0},
    {"cache-ram", 0, CLI_TEXT, "SIZE",
     "memory for conversations and kept prefixes of each model: 4G, 512M; default: what fits", 0,
     0},
    {"cache-disk", 0, CLI_FILE, "DIR",
     "keep what prompts have in common in files there too, so that it survives a restart", 0, 0},
    {"cache-disk-size", 0, CLI_TEXT, "SIZE", "at most so much of it, such as 20G (default 8G)", 0,
     0},
    {"pin", 0, CLI_LIST, "FILE",
     "publish what FILE's conversations begin with (a system prompt, or messages and tools as "
     "JSON) to all: computed once, found by every key",
     0, 0},
    {"step-ms", 0, CLI_INT, "MS",
     "longest time between two tokens of an answer while others' prompts are read; default 100", 1,
     600000},
    {"keep-alive", 0, CLI_TEXT, "TIME",
     "how long a model that was asked for stays without use: 5m, 1h, -1 for ever; default 5m", 0,
     0},
    {"keep-responses", 0, CLI_TEXT, "TIME",
     "how long answers of /v1/responses are kept in Hearth's database for their owner: 24h, -1 for "
     "ever; 0: in memory alone, until the server stops; default 720h",
     0, 0},
    {"max-models", 0, CLI_INT, "N", "models in memory at the same time; default: by memory", 1,
     1024},
    {"require-key", 0, CLI_FLAG, NULL, "ask this machine's own programs for a key too", 0, 0},
    {"allow-host", 0, CLI_LIST, "NAME",
     "a name by which clients know this server, or an origin like app://name whose pages may ask",
     0, 0},
    {"tls", 0, CLI_CHOICE, "self", "serve HTTPS with a certificate of this machine's own", 0, 0},
    {"tls-cert", 0, CLI_FILE, "FILE", "certificate chain in PEM: serve HTTPS", 0, 0},
    {"tls-key", 0, CLI_FILE, "FILE", "its private key", 0, 0},
    {"drain", 0, CLI_INT, "SECONDS", "how long a stop waits for what is under way; default 10", 0,
     86400},
    {"no-pack", 0, CLI_FLAG, NULL, "leave the weights in their files: little memory, much slower",
     0, 0},
    {"draft", 0, CLI_FILE, "MODEL",
     "a smaller model that guesses ahead for those with the same vocabulary", 0, 0},
    {"no-speculation", 0, CLI_FLAG, NULL, "compute one token a step, without guessing ahead", 0, 0},
    {"lora", 0, CLI_LIST, "FILE[=SCALE]",
     "an adapter (LoRA, GGUF) beside the first model's weights, which requests may name by its "
     "number; several: again, or with commas",
     0, 0},
    {"lora-scaled", 0, CLI_LIST, "FILE:SCALE", "the same, as llama-server has it", 0, 0},
    {"lora-init-without-apply", 0, CLI_FLAG, NULL,
     "their scales begin at 0: they are for requests that name them", 0, 0},
    {"energy", 0, CLI_FLAG, NULL,
     "each answer says what energy it used; else only those asked to by X-Hearth-Energy", 0, 0},
    CLI_CONFIG_OPTION,
    {0},
};

const cli_command cmd_serve = {
    .name = "serve",
    .summary = "serve models to programs over HTTP",
    .args = "",
    .about =
        "Answers in the dialects that programs already speak, beginning with OpenAI's at /v1. "
        "Without --model it serves the model that comes with Hearth (bard). Models given by "
        "--model are loaded before /health says 200, and stay; others are loaded when a request "
        "names them.\n\n"
        "Without a key only this machine is served. To serve others, make a key (hearth key "
        "create), listen on an address of the network, and use TLS.\n\n"
        "SIGTERM, Ctrl-C or the end of its terminal lets running answers end, for --drain "
        "seconds; a second one stops at once.",
    .examples = "  hearth serve\n  hearth serve -m model.gguf\n"
                "  hearth serve -m model.gguf --listen 0.0.0.0:11434 --tls-cert c.pem --tls-key "
                "k.pem",
    .options = options,
    .more_options = metering_options,
    .max_args = 0,
    .run = run,
    .config = "serve",
};
