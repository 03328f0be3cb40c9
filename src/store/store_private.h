/* What the files of the store share. Two locks: `lock` for everything in memory, held for
 * microseconds and never over a system call that can wait; `db_lock` for the one connection that
 * writes. Whoever needs both takes db_lock first.
 *
 * The writing thread is the only one that frees entries once they are opened. Key states live in
 * two sorted arrays, replaced whole under `lock` when the table of keys has changed.
 */
#ifndef HEARTH_STORE_PRIVATE_H
#define HEARTH_STORE_PRIVATE_H

#include <pthread.h>

#include "store/sql.h"
#include "store/store.h"

#define STORE_VERSION 3              /* of the schema: PRAGMA user_version */
#define STORE_APPLICATION 0x48525448 /* "HRTH": PRAGMA application_id */
#define STORE_HASH_BYTES 32
#define STORE_BATCH 256    /* entries a transaction */
#define STORE_DAYS_BACK 40 /* days whose sums are kept in memory: more than a month */
#define STORE_SUMS_MS 2000 /* sums of other processes are read again at most this often */
#define STORE_BUSY_MS 5000 /* patience with another process that writes */

typedef struct day_sum {
    int32_t day;          /* 20261123, local time */
    int64_t mine, others; /* tokens in and out: counted by this process; read from the file */
} day_sum;

typedef struct key_state {
    store_key key;
    uint8_t hash[STORE_HASH_BYTES];
    uint8_t old_hash[STORE_HASH_BYTES]; /* of the secret before the rotation, while old_until_s */
    int64_t old_until_s;
    double rate_left; /* requests in the bucket at rate_ns */
    uint64_t rate_ns;
    day_sum *days; /* [n_days] in no order */
    size_t n_days;
} key_state;

/* What the writing thread takes from an entry in order to write it without the lock. */
typedef struct entry_row {
    int64_t seq, day, started_ms, finished_ms, n_requests;
    int64_t n_prompt, tokens_in, cached, tokens_out; /* tokens */
    double queue_s, prefill_s, decode_s;
    double joules;        /* NAN: not measured */
    const char *boundary; /* of joules; static; NULL: not measured */
    const char *finish;   /* NULL: running */
    bool merged;          /* several requests in one row: it has no user or metadata of its own */
} entry_row;

struct store_entry {
    store *s;
    entry_row row;       /* lock */
    uint64_t version;    /* lock; grows with every change */
    uint64_t started_ns; /* monotonic */
    int64_t key_id;
    bool dirty, in_batch, written; /* lock; in the list; being written; was written once */
    bool awaits;                   /* lock; its joules are still to come */
    store_entry *dirty_before, *dirty_after, *next_merged;    /* lock */
    const char *model, *dialect, *endpoint, *user, *metadata; /* in text[] */
    char text[];
};

struct store {
    store_mode mode;
    store_clock clock;
    char *path;
    int lock_fd; /* byte 0: who writes; byte N: run N is alive */

    pthread_mutex_t db_lock;
    sqlite3 *db;           /* db_lock; NULL: STORE_READ of an absent file */
    sqlite3_stmt *upsert;  /* db_lock; the ledger's */
    int64_t run;           /* db_lock; 0: none yet (the disk is full) */
    int64_t data_version;  /* db_lock */
    bool sums_stale;       /* db_lock; others have written since sums_read_ns */
    uint64_t sums_read_ns; /* db_lock */

    pthread_mutex_t lock;
    pthread_cond_t wake, idle; /* for the writer; for those who wait for it */
    pthread_t writer;
    bool has_writer, stop, prompt; /* prompt: something was opened or settled */
    bool trim;                     /* responses older than this go, last done then */
    int64_t responses_age_s, trimmed_ms;
    uint64_t flushes_wanted, flushes_done;
    key_state **by_id, **by_owner; /* [n_keys]; living keys */
    size_t n_keys;
    store_entry *dirty, *dirty_last; /* to be written */
    store_entry *merged;             /* each stands for several requests */
    int64_t next_seq;
    store_status status;
    err write_error;
};

/* store.c */
int64_t store_now_ms(const store *s);
uint64_t store_mono_ns(const store *s);
int32_t store_day_of(int64_t unix_s);                      /* 20261123 */
void store_strcpy(char *dst, size_t cap, const char *src); /* cut at a character */
/* Between the two, this process alone writes to the file. db_lock is held. */
bool store_lock_file(store *s, err *e);
void store_unlock_file(store *s);
/* The same with a transaction around what is written; end undoes it when commit is false. */
bool store_write_begin(store *s, err *e);
/* responses.c; db_lock is held. */
bool responses_trim(store *s, int64_t age_s, err *e);
bool store_write_end(store *s, bool commit, err *e);
/* A connection for questions: the store's own, or one beside the writer's. */
sqlite3 *store_reader_open(store *s, err *e);
void store_reader_close(store *s, sqlite3 *db);

/* schema.c */
/* Brings a database to the version of the last step; steps[i] leads from i to i+1. */
bool schema_migrate(store *s, const char *const *steps, int n_steps, err *e);
extern const char *const schema_steps[STORE_VERSION];

/* keys.c */
bool keys_load(store *s, err *e); /* db_lock is held */
void keys_free(key_state **by_id, key_state **by_owner, size_t n);
key_state *keys_by_id(const store *s, int64_t id); /* lock is held */

/* budget.c */
/* db_lock is held: the sums of other processes and of earlier runs, from the file. */
bool budget_load(store *s, err *e);
void budget_count(store *s, int64_t key_id, int64_t day, int64_t tokens); /* lock is held */
void budget_window(int window, int64_t unix_s, int32_t *first_day, int64_t *end_s);

/* ledger.c */
/* db_lock is held, lock is not: what is dirty, in transactions of STORE_BATCH. */
bool ledger_write(store *s, err *e);
bool ledger_begin_run(store *s, err *e); /* db_lock and the write lock are held */
void ledger_forget_run(store *s);        /* when the transaction that began it failed */
bool ledger_end_run(store *s, err *e);   /* db_lock is held */
void ledger_free_all(store *s);

#endif
