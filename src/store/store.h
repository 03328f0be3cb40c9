/* The store is Hearth's memory of people: who may ask (keys), how much (rates and budgets), and
 * what was asked (the ledger). One SQLite file, $HEARTH_HOME/hearth.db, readable by its owner only.
 *
 * Who may call what. Every function may be called from any thread. Those marked "memory" answer
 * from memory, take one short lock, touch no disk and never wait for one: they are for the network
 * thread and the engine's. Those marked "disk" may take milliseconds, or seconds on a bad day:
 * workers and commands only.
 *
 * The ledger. An entry is made before a request is submitted, told when the engine opens it, told
 * its progress, and settled exactly once, by the engine's hooks. One thread of the store writes
 * what changed: openings and settlements within STORE_PROMPT_MS, progress every
 * STORE_CHECKPOINT_MS, each time all of it in one transaction (WAL, synchronous=FULL: one fsync a
 * transaction, so that what was written also survives a power cut). kill -9 at any moment loses at
 * most what happened since the last transaction; rows that a dead process left open are settled as
 * "crashed", with what progress said, by the next one that opens the file. When the disk is full,
 * nothing waits and nothing is lost while the process lives: entries stay in memory and are tried
 * again every second, and past STORE_MAX_PENDING settled ones are added up into one row a key and
 * model.
 *
 * Several processes may have the file open: a server, `hearth key revoke`, a second server. Every
 * write is made under a lock on hearth.db-lock, so that no two processes ever write or checkpoint
 * the log at the same moment. What another process changed is noticed within STORE_POLL_MS.
 *
 *     store *s = store_open(&(store_options){.mode = STORE_SERVE}, &e);
 *     store_key key;
 *     if (!store_key_check(s, credential, &key)) ... 401
 *     if (!store_rate_take(s, key.id, &no)) ... 429
 *     if (!store_budget_check(s, key.id, n_prompt, &no)) ... 429
 *     store_entry *x = store_entry_new(s, &(store_entry_info){.key_id = key.id, .model = "bard"});
 *     p.owner = key.owner; p.tag = x;       // hooks: store_entry_opened, _progress, _settled
 *     if (!hearth_submit(g, &p, &e)) store_entry_drop(x);
 *     store_close(s);                       // after the engines are freed: writes what is left
 */
#ifndef HEARTH_STORE_H
#define HEARTH_STORE_H

#include "base/err.h"
#include "base/str.h"
#include "hearth.h"

#define STORE_PROMPT_MS 100 /* an opening or a settlement is on disk after this, and an fsync */
#define STORE_CHECKPOINT_MS 1000 /* progress of running requests is on disk this often */
#define STORE_POLL_MS 250        /* changes by other processes are seen after this */
#define STORE_TRIM_MS 3600000    /* kept responses that have grown too old go this often */
#define STORE_MAX_PENDING 65536  /* settled entries kept one by one while the disk takes nothing */

/* ---- the file ---- */

typedef struct store store;

typedef enum store_mode {
    STORE_READ, /* queries; never writes, and an absent file is an empty one */
    STORE_EDIT, /* keys too; makes the file */
    STORE_SERVE /* everything, with the writing thread; settles what dead processes left open */
} store_mode;

typedef struct store_clock {       /* for tests; NULL functions: the machine's clocks */
    int64_t (*unix_ms)(void *ud);  /* wall clock */
    uint64_t (*mono_ns)(void *ud); /* never goes back */
    void *ud;
} store_clock;

typedef struct store_options {
    store_mode mode;
    const char *path; /* of the database; NULL: hearth.db in file_home() */
    store_clock clock;
} store_options;

/* Disk. The folder is made with mode 0700, the file with 0600. A database of a newer Hearth is
 * refused; an older one is copied aside (hearth.db.v<N>) and then brought up to date. */
store *store_open(const store_options *o, err *e);
/* Disk. Writes what is left and ends the thread; NULL is fine. Entries that are still open are
 * settled as "crashed" by the next to open. False, with *e, when something could not be written. */
bool store_close(store *s, err *e);
/* Disk. Waits until everything told so far is written, or says why it cannot be. */
bool store_flush(store *s, err *e);

typedef struct store_status {
    uint64_t n_live;    /* entries opened and not settled */
    uint64_t n_pending; /* settled, not yet on disk */
    uint64_t n_written; /* transactions of the ledger so far */
    bool failing;       /* the last attempt to write failed */
    char why[256];      /* and why */
} store_status;
void store_status_get(store *s, store_status *out); /* memory */

/* ---- keys (keys.c) ---- */

enum { STORE_DAY, STORE_WEEK, STORE_MONTH, STORE_WINDOWS }; /* calendar ones, local time */

#define STORE_LOCAL 0       /* key_id of requests without a key */
#define STORE_NAME_BYTES 65 /* of a key's name, NUL included */
#define STORE_MODELS_BYTES 512
#define STORE_SECRET_BYTES 64 /* room for a whole credential, "hk-<id>-<secret>" */

typedef struct store_key {
    int64_t id;     /* what the ledger names; never used twice; STORE_LOCAL: no key */
    char owner[16]; /* the public part of the credential; for hearth_params.owner; "local" */
    char name[STORE_NAME_BYTES];
    char models[STORE_MODELS_BYTES];         /* globs, separated by commas; empty: every model */
    int64_t created_s, expires_s, revoked_s; /* unix; 0: never */
    int64_t budget[STORE_WINDOWS];           /* tokens in and out; 0: no limit */
    int32_t rate_per_minute;                 /* requests; 0: no limit */
    int32_t priority;                        /* larger goes first; 0 is usual */
    bool admin;
} store_key;

/* Memory. Whether this credential is good now: known, secret right, not revoked, not expired. Fills
 * *out only then. The time it takes says nothing about the secret, nor whether the id exists. */
bool store_key_check(store *s, str credential, store_key *out);
/* Memory. Whether a key that was good still is; for streams in flight: ask a few times a second. */
bool store_key_alive(store *s, int64_t key_id);
/* Memory. The owner of requests without a key: no limits, no administration. */
void store_key_local(store_key *out);
/* Memory. Whether there is any key that is neither revoked nor expired; any for administration. */
bool store_keys_exist(store *s);
bool store_keys_admin_exists(store *s);
/* Whether the key may use a model of this name: glob with * and ?. */
bool store_key_allows(const store_key *k, const char *model);

/* Disk. Makes a key from name, models, expires_s, budget, rate, priority and admin of *k, and
 * fills in the rest. `credential` is all that will ever be seen of the secret: only its hash is
 * kept. A name is free again when its key is revoked. */
bool store_key_create(store *s, store_key *k, char credential[STORE_SECRET_BYTES], err *e);
/* Disk. By name or owner; ERR_NOT_FOUND when there is no such living key. */
bool store_key_find(store *s, const char *name, store_key *out, err *e);
bool store_key_revoke(store *s, const char *name, store_key *out, err *e);
/* Disk. A new secret under the same id and name; the old one still works for overlap_s. */
bool store_key_rotate(store *s, const char *name, int64_t overlap_s, store_key *out,
                      char credential[STORE_SECRET_BYTES], err *e);
typedef struct store_key_row {
    store_key key;
    int64_t used[STORE_WINDOWS]; /* tokens in the present day, week, month */
    int64_t last_used_s;         /* 0: never */
} store_key_row;
/* Disk. Every key, oldest first; *rows by free. */
bool store_key_list(store *s, bool also_revoked, store_key_row **rows, size_t *n, err *e);

/* ---- admission (budget.c) ---- */

typedef struct store_refusal {
    const char *what;      /* "rate" or "budget" */
    int64_t limit, used;   /* requests a minute, or tokens of the window */
    int64_t reset_s;       /* unix: when it is worth asking again */
    int64_t retry_after_s; /* the same as seconds from now, at least 1 */
    char msg[256];         /* one line for the client, with both numbers and the time */
} store_refusal;

/* Memory. Takes one request out of the key's minute: a bucket of rate_per_minute that fills
 * steadily. */
bool store_rate_take(store *s, int64_t key_id, store_refusal *no);
/* Memory. Whether n_tokens more (a prompt's length; 0: anything at all) fit every budget of the
 * key. Counted are tokens in, cached ones too, and out, of everything that began in the window,
 * also of what runs now: so a budget is passed by no more than what was running when it ran out. */
bool store_budget_check(store *s, int64_t key_id, int64_t n_tokens, store_refusal *no);
typedef struct store_standing {
    int64_t used[STORE_WINDOWS], limit[STORE_WINDOWS]; /* tokens; limit 0: none */
    int64_t reset_s[STORE_WINDOWS];                    /* when the window ends, unix */
    int64_t rate_limit, rate_left;                     /* requests; limit 0: none */
} store_standing;
bool store_standing_get(store *s, int64_t key_id, store_standing *out); /* memory; false: no key */

/* ---- the ledger (ledger.c) ---- */

typedef struct store_entry store_entry;

typedef struct store_entry_info { /* strings are copied; too long ones are cut at a character */
    int64_t key_id;
    const char *model;    /* as the client knows it */
    const char *dialect;  /* "openai", "anthropic", "ollama", "llamacpp", "cli" */
    const char *endpoint; /* "/v1/chat/completions" */
    const char *user;     /* the client's own tag for its user, or NULL */
    const char *metadata; /* JSON text, or NULL; dropped above 4096 bytes */
} store_entry_info;

/* Memory. NULL: out of memory. Nothing is written before it is opened. One entry a request of the
 * engine: a call with n=4 has four. */
store_entry *store_entry_new(store *s, const store_entry_info *i);
void store_entry_drop(store_entry *x); /* memory; one that was never opened */
/* Memory, for the engine's hooks. The entry is the store's own after settled: forget it.
 * What counts as tokens in: the prompt when the request ended by itself; what had been prefilled
 * when it was cancelled, failed or crashed. */
void store_entry_opened(store_entry *x, int32_t n_prompt);
void store_entry_progress(store_entry *x, int32_t n_prefilled, int32_t n_generated);
void store_entry_settled(store_entry *x, const hearth_usage *u);
/* Memory. Before settled: joules will be told later, and the entry is the store's own only after
 * that. The row is settled as ever, with joules null until then. */
void store_entry_await_joules(store_entry *x);
/* Memory. joules NAN: not measured. boundary: a static word, what the joules are of. */
void store_entry_joules(store_entry *x, double joules, const char *boundary);
/* The row's "finish": end, stop, length, cancelled, error, and crashed. */
const char *store_finish_name(hearth_finish f);

/* ---- kept responses (responses.c) ---- */

#define STORE_RESPONSES 4096             /* of one owner; the oldest go first */
#define STORE_RESPONSE_BYTES (128 << 20) /* the same in bytes */

typedef struct store_response {
    char *body, *talk; /* NUL-terminated, owned */
    size_t n_body, n_talk;
} store_response;

/* Disk. Nobody finds another owner's; those of a key that is revoked go with it. age_s: how long
 * they are kept, negative: for ever. What is put is on disk when this returns. */
bool store_response_put(store *s, const char *owner, const char *id, str body, str talk,
                        int64_t age_s, err *e);
/* False with ERR_NOT_FOUND: there is none, or it is older than that. */
bool store_response_get(store *s, const char *owner, const char *id, int64_t age_s,
                        store_response *out, err *e);
bool store_response_drop(store *s, const char *owner, const char *id, err *e);
bool store_responses_trim(store *s, int64_t age_s, err *e); /* older ones go */
/* Memory. From now on the writing thread does so too, by the hour and as soon as it has time. */
void store_responses_keep(store *s, int64_t age_s);

/* ---- questions (usage.c) ---- */

typedef enum store_by { STORE_BY_KEY, STORE_BY_MODEL, STORE_BY_DAY, STORE_BY_FINISH } store_by;

typedef struct store_usage_filter {
    store_by by;
    int64_t since_s, until_s; /* of the beginning of a request; 0: no bound */
    int64_t key_id;           /* only this key; -1: all */
    const char *model;        /* only this one; NULL: all */
} store_usage_filter;

typedef struct store_usage_row {
    char label[128]; /* a key's name, a model's, a day "2026-11-23"; "local" for no key */
    int64_t key_id;  /* with STORE_BY_KEY, else -1 */
    int64_t n_requests, n_running, n_failed; /* failed: error and crashed */
    int64_t tokens_in, tokens_cached, tokens_out;
    double queue_s, prefill_s, decode_s; /* seconds */
    int64_t n_measured;                  /* requests whose energy was measured */
    double joules;                       /* of those; meaningless when there are none */
    char boundary[16]; /* of joules; "": none measured; "mixed": not to be added up */
} store_usage_row;

typedef struct store_request {       /* one row of the ledger; texts live until the next */
    const char *key, *model, *day;   /* the key's name, "local" for none; "2026-11-23" */
    int64_t started_ms, finished_ms; /* wall clock; of a request that runs: so far */
    int64_t requests, tokens_in, tokens_cached, tokens_out;
    double queue_s;
    bool measured;
    double joules; /* when measured */
} store_request;

/* Disk. Every request that began in the time, one by one, in no order; `by` is not looked at. The
 * callback's false ends it, and is given back. */
bool store_requests(store *s, const store_usage_filter *f,
                    bool (*each)(void *ud, const store_request *r), void *ud, err *e);

/* Disk. *rows by free; largest first, days in order. */
bool store_usage(store *s, const store_usage_filter *f, store_usage_row **rows, size_t *n, err *e);
/* Adds one row to a sum; label and key of the sum stay. */
void store_usage_add(store_usage_row *sum, const store_usage_row *r);
/* Whether joules are those of all its requests, and of one boundary: else they are a wrong sum. */
bool store_usage_measured(const store_usage_row *r);

#endif
