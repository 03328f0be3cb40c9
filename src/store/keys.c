/* Keys: "hk-<id>-<secret>". The id is public: it names the key in logs and lists, and finds its
 * row. The secret is 43 random digits of base 62 (256 bits). What is kept of it is its BLAKE2b
 * hash, unsalted and fast, which is right for secrets that are drawn at random: there is no
 * dictionary to try, and 2^256 guesses are as far away at a nanosecond each as at a second; a slow
 * password hash would only make every request slower. Whoever steals the file gets no key.
 *
 * Living keys are kept in memory, so that checking one touches no disk; the writing thread reads
 * the table again when any process has changed it.
 */
#include <fnmatch.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store_private.h"

#define OWNER_DIGITS 8
#define SECRET_DIGITS 43

#define KEY_COLUMNS                                                                                \
    "id, owner, name, hash, old_hash, old_until, created, expires, revoked, models, budget_day, "  \
    "budget_week, budget_month, rate_per_minute, priority, admin"

/* ---- the credential ---- */

static void draw_digits(char *dst, int n) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 0; i < n; i++) dst[i] = digits[randombytes_uniform(62)];
    dst[n] = 0;
}

static void hash_secret(uint8_t hash[STORE_HASH_BYTES], str secret) {
    crypto_generichash(hash, STORE_HASH_BYTES, (const uint8_t *)secret.p, secret.n, NULL, 0);
}

/* A new secret for the owner: the whole credential for the person, the hash for the file. */
static void draw_credential(const char *owner, char credential[STORE_SECRET_BYTES],
                            uint8_t hash[STORE_HASH_BYTES]) {
    char secret[SECRET_DIGITS + 1];
    draw_digits(secret, SECRET_DIGITS);
    hash_secret(hash, str_of(secret));
    snprintf(credential, STORE_SECRET_BYTES, "hk-%s-%s", owner, secret);
    sodium_memzero(secret, sizeof secret);
}

static bool split_credential(str c, str *owner, str *secret) {
    if (c.n != 3 + OWNER_DIGITS + 1 + SECRET_DIGITS || memcmp(c.p, "hk-", 3) != 0 ||
        c.p[3 + OWNER_DIGITS] != '-')
        return false;
    *owner = (str){c.p + 3, OWNER_DIGITS};
    *secret = (str){c.p + 4 + OWNER_DIGITS, SECRET_DIGITS};
    return true;
}

/* ---- living keys in memory; lock is held ---- */

static int compare_ids(const void *a, const void *b) {
    int64_t x = (*(key_state *const *)a)->key.id, y = (*(key_state *const *)b)->key.id;
    return (x > y) - (x < y);
}

static int compare_owners(const void *a, const void *b) {
    return strcmp((*(key_state *const *)a)->key.owner, (*(key_state *const *)b)->key.owner);
}

key_state *keys_by_id(const store *s, int64_t id) {
    key_state probe = {.key.id = id}, *p = &probe;
    key_state **at = s->n_keys ? bsearch(&p, s->by_id, s->n_keys, sizeof *at, compare_ids) : NULL;
    return at ? *at : NULL;
}

static key_state *by_owner(const store *s, str owner) {
    key_state probe = {0}, *p = &probe;
    if (owner.n >= sizeof probe.key.owner) return NULL;
    memcpy(probe.key.owner, owner.p, owner.n);
    key_state **at = s->n_keys ? bsearch(&p, s->by_owner, s->n_keys, sizeof *at, compare_owners)
                               : NULL;
    return at ? *at : NULL;
}

static bool in_force(const store_key *k, int64_t now_s) {
    return k->revoked_s == 0 && (k->expires_s == 0 || now_s < k->expires_s);
}

bool store_key_check(store *s, str credential, store_key *out) {
    static const key_state nobody; /* whose hash no secret has: unknown ids take the same steps */
    str owner = {0}, secret = {0};
    uint8_t hash[STORE_HASH_BYTES];
    int64_t now_s = store_now_ms(s) / 1000;
    bool shaped = split_credential(credential, &owner, &secret);
    hash_secret(hash, secret);
    pthread_mutex_lock(&s->lock);
    const key_state *k = shaped ? by_owner(s, owner) : NULL;
    bool known = k && k->key.id != STORE_LOCAL;
    if (!known) k = &nobody;
    bool now_right = sodium_memcmp(hash, k->hash, sizeof hash) == 0;
    bool old_right = sodium_memcmp(hash, k->old_hash, sizeof hash) == 0;
    bool good = known && (now_right || (old_right && now_s < k->old_until_s)) &&
                in_force(&k->key, now_s);
    if (good) *out = k->key;
    pthread_mutex_unlock(&s->lock);
    sodium_memzero(hash, sizeof hash);
    return good;
}

bool store_key_alive(store *s, int64_t key_id) {
    int64_t now_s = store_now_ms(s) / 1000;
    pthread_mutex_lock(&s->lock);
    const key_state *k = keys_by_id(s, key_id);
    bool alive = k && in_force(&k->key, now_s);
    pthread_mutex_unlock(&s->lock);
    return alive;
}

void store_key_local(store_key *out) {
    *out = (store_key){.id = STORE_LOCAL, .owner = "local", .name = "local"};
}

static bool any_key(store *s, bool admin) {
    int64_t now_s = store_now_ms(s) / 1000;
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_keys && !found; i++) {
        const store_key *k = &s->by_id[i]->key;
        found = k->id != STORE_LOCAL && in_force(k, now_s) && (k->admin || !admin);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool store_keys_exist(store *s) {
    return any_key(s, false);
}

bool store_keys_admin_exists(store *s) {
    return any_key(s, true);
}

bool store_key_allows(const store_key *k, const char *model) {
    if (!k->models[0]) return true;
    char glob[STORE_MODELS_BYTES];
    for (const char *p = k->models; *p;) {
        size_t n = strcspn(p, ",");
        str one = str_trim((str){p, n});
        memcpy(glob, one.p, one.n);
        glob[one.n] = 0;
        if (one.n > 0 && fnmatch(glob, model, 0) == 0) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

/* ---- reading the table ---- */

static void read_hash(uint8_t dst[STORE_HASH_BYTES], sqlite3_stmt *q, int column) {
    const void *p = sqlite3_column_blob(q, column);
    if (p && sqlite3_column_bytes(q, column) == STORE_HASH_BYTES) memcpy(dst, p, STORE_HASH_BYTES);
}

static void read_key(store_key *k, sqlite3_stmt *q) {
    *k = (store_key){.id = sqlite3_column_int64(q, 0)};
    store_strcpy(k->owner, sizeof k->owner, sql_text(q, 1));
    store_strcpy(k->name, sizeof k->name, sql_text(q, 2));
    k->created_s = sqlite3_column_int64(q, 6);
    k->expires_s = sqlite3_column_int64(q, 7);
    k->revoked_s = sqlite3_column_int64(q, 8);
    store_strcpy(k->models, sizeof k->models, sql_text(q, 9));
    for (int i = 0; i < STORE_WINDOWS; i++) k->budget[i] = sqlite3_column_int64(q, 10 + i);
    k->rate_per_minute = sqlite3_column_int(q, 13);
    k->priority = sqlite3_column_int(q, 14);
    k->admin = sqlite3_column_int(q, 15) != 0;
}

typedef struct key_list {
    key_state **k;
    size_t n, cap;
} key_list;

static key_state *list_add(key_list *l) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        key_state **more = realloc(l->k, cap * sizeof *more);
        if (!more) return NULL;
        l->k = more;
        l->cap = cap;
    }
    key_state *k = calloc(1, sizeof *k);
    if (k) l->k[l->n++] = k;
    return k;
}

static bool read_living(store *s, key_list *l, err *e) {
    key_state *local = list_add(l);
    if (!local) return err_set(e, ERR_FAILED, "out of memory");
    store_key_local(&local->key);
    if (!s->db) return true;
    sqlite3_stmt *q = sql_query(s->db, e, "SELECT " KEY_COLUMNS " FROM key WHERE revoked = 0", "");
    if (!q) return false;
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        key_state *k = list_add(l);
        if (!k) {
            sqlite3_finalize(q);
            return err_set(e, ERR_FAILED, "out of memory");
        }
        read_key(&k->key, q);
        read_hash(k->hash, q, 3);
        read_hash(k->old_hash, q, 4);
        k->old_until_s = sqlite3_column_int64(q, 5);
    }
    return sql_done(q, rc, e);
}

/* What is counted in memory stays with a key that lives on. */
static void take_over(key_state *now, key_state *before) {
    now->rate_left = before->rate_left;
    now->rate_ns = before->rate_ns;
    now->days = before->days;
    now->n_days = before->n_days;
    before->days = NULL;
    before->n_days = 0;
}

void keys_free(key_state **ids, key_state **owners, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(ids[i]->days);
        free(ids[i]);
    }
    free(ids);
    free(owners);
}

bool keys_load(store *s, err *e) {
    key_list l = {0};
    bool ok = read_living(s, &l, e);
    key_state **owners = ok ? malloc(l.n * sizeof *owners) : NULL;
    if (!owners) {
        keys_free(l.k, NULL, l.n);
        return ok ? err_set(e, ERR_FAILED, "out of memory") : false;
    }
    memcpy(owners, l.k, l.n * sizeof *owners);
    qsort(l.k, l.n, sizeof *l.k, compare_ids);
    qsort(owners, l.n, sizeof *owners, compare_owners);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < l.n; i++) {
        key_state *before = keys_by_id(s, l.k[i]->key.id);
        if (before) take_over(l.k[i], before);
    }
    key_state **old_ids = s->by_id, **old_owners = s->by_owner;
    size_t old_n = s->n_keys;
    s->by_id = l.k;
    s->by_owner = owners;
    s->n_keys = l.n;
    pthread_mutex_unlock(&s->lock);
    keys_free(old_ids, old_owners, old_n);
    return true;
}

/* ---- changing the table ---- */

static bool check_name(const char *name, err *e) {
    size_t n = strlen(name);
    bool good = n > 0 && n < STORE_NAME_BYTES && strcmp(name, "local") != 0;
    for (size_t i = 0; good && i < n;) {
        uint32_t cp;
        int k = utf8_decode(name + i, n - i, &cp);
        good = k > 0 && cp >= 0x20 && cp != 0x7f;
        i += k > 0 ? (size_t)k : 1;
    }
    char shown[80];
    return good || err_set(e, ERR_USAGE,
                           "\"%s\" cannot be a key's name: 1 to %d bytes of printable text, not "
                           "\"local\"",
                           str_printable(str_of(name), shown, sizeof shown), STORE_NAME_BYTES - 1);
}

static bool check_writable(const store *s, err *e) {
    return s->mode != STORE_READ || err_set(e, ERR_FAILED, "the store was opened for reading");
}

static bool no_such_key(const char *name, err *e) {
    char shown[80];
    return err_set(e, ERR_NOT_FOUND, "there is no key \"%s\" (hearth key list shows them)",
                   str_printable(str_of(name), shown, sizeof shown));
}

/* db_lock is held. A name wins over an owner of the same letters. */
static bool find_row(store *s, const char *name, store_key *out, err *e) {
    if (!s->db) return no_such_key(name, e);
    sqlite3_stmt *q = sql_query(s->db, e,
                                "SELECT " KEY_COLUMNS " FROM key WHERE revoked = 0 AND "
                                "(name = ?1 OR owner = ?1) ORDER BY name = ?1 DESC LIMIT 1",
                                "s", name);
    if (!q) return false;
    int rc = sqlite3_step(q);
    bool found = rc == SQLITE_ROW;
    if (found) read_key(out, q);
    if (!sql_done(q, found ? SQLITE_DONE : rc, e)) return false;
    return found || no_such_key(name, e);
}

bool store_key_find(store *s, const char *name, store_key *out, err *e) {
    pthread_mutex_lock(&s->db_lock);
    bool ok = find_row(s, name, out, e);
    pthread_mutex_unlock(&s->db_lock);
    return ok;
}

static bool insert_key(store *s, store_key *k, const uint8_t hash[STORE_HASH_BYTES], err *e) {
    char shown[80];
    store_key other;
    if (find_row(s, k->name, &other, NULL))
        return err_set(e, ERR_USAGE, "there is a key \"%s\" already: revoke it, or rotate it",
                       str_printable(str_of(k->name), shown, sizeof shown));
    if (!sql_run(s->db, e,
                 "INSERT INTO key(owner, name, hash, created, expires, models, budget_day, "
                 "budget_week, budget_month, rate_per_minute, priority, admin) "
                 "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                 "ssbiisiiiiii", k->owner, k->name, hash, STORE_HASH_BYTES, k->created_s,
                 k->expires_s, k->models, k->budget[STORE_DAY], k->budget[STORE_WEEK],
                 k->budget[STORE_MONTH], (int64_t)k->rate_per_minute, (int64_t)k->priority,
                 (int64_t)k->admin))
        return false;
    k->id = sqlite3_last_insert_rowid(s->db);
    return true;
}

bool store_key_create(store *s, store_key *k, char credential[STORE_SECRET_BYTES], err *e) {
    uint8_t hash[STORE_HASH_BYTES];
    if (!check_writable(s, e) || !check_name(k->name, e)) return false;
    draw_digits(k->owner, OWNER_DIGITS);
    draw_credential(k->owner, credential, hash);
    k->created_s = store_now_ms(s) / 1000;
    k->revoked_s = 0;
    pthread_mutex_lock(&s->db_lock);
    bool ok = store_write_begin(s, e);
    if (ok) {
        ok = insert_key(s, k, hash, e);
        ok = store_write_end(s, ok, e) && ok;
    }
    ok = ok && keys_load(s, e);
    pthread_mutex_unlock(&s->db_lock);
    if (!ok) sodium_memzero(credential, STORE_SECRET_BYTES);
    return ok;
}

bool store_key_revoke(store *s, const char *name, store_key *out, err *e) {
    if (!check_writable(s, e)) return false;
    pthread_mutex_lock(&s->db_lock);
    bool ok = store_write_begin(s, e);
    if (ok) {
        ok = find_row(s, name, out, e);
        out->revoked_s = store_now_ms(s) / 1000;
        ok = ok &&
             sql_run(s->db, e,
                     "UPDATE key SET revoked = ?, hash = x'', old_hash = NULL WHERE id = ?", "ii",
                     out->revoked_s, out->id) &&
             sql_run(s->db, e, "DELETE FROM response WHERE owner = ?", "s", out->owner);
        ok = store_write_end(s, ok, e) && ok;
    }
    ok = ok && keys_load(s, e);
    pthread_mutex_unlock(&s->db_lock);
    return ok;
}

bool store_key_rotate(store *s, const char *name, int64_t overlap_s, store_key *out,
                      char credential[STORE_SECRET_BYTES], err *e) {
    uint8_t hash[STORE_HASH_BYTES];
    if (!check_writable(s, e)) return false;
    pthread_mutex_lock(&s->db_lock);
    bool ok = store_write_begin(s, e);
    if (ok) {
        ok = find_row(s, name, out, e);
        if (ok) {
            int64_t until = overlap_s > 0 ? store_now_ms(s) / 1000 + overlap_s : 0;
            draw_credential(out->owner, credential, hash);
            ok = sql_run(s->db, e,
                         "UPDATE key SET old_hash = iif(?2 > 0, hash, NULL), old_until = ?2, "
                         "hash = ?1 WHERE id = ?3",
                         "bii", hash, STORE_HASH_BYTES, until, out->id);
        }
        ok = store_write_end(s, ok, e) && ok;
    }
    ok = ok && keys_load(s, e);
    pthread_mutex_unlock(&s->db_lock);
    return ok;
}

/* ---- the list ---- */

static bool read_used(sqlite3 *db, store_key_row *r, int64_t now_s, err *e) {
    for (int w = 0; w < STORE_WINDOWS; w++) {
        int32_t first;
        int64_t end_s;
        budget_window(w, now_s, &first, &end_s);
        sqlite3_stmt *q = sql_query(db, e,
                                    "SELECT total(tokens_in + tokens_out) FROM request WHERE "
                                    "key = ? AND day BETWEEN ? AND ?",
                                    "iii", r->key.id, (int64_t)first, (int64_t)store_day_of(now_s));
        if (!q) return false;
        int rc = sqlite3_step(q);
        r->used[w] = sqlite3_column_int64(q, 0);
        if (!sql_done(q, rc == SQLITE_ROW ? SQLITE_DONE : rc, e)) return false;
    }
    sqlite3_stmt *q = sql_query(db, e, "SELECT max(started_ms) / 1000 FROM request WHERE key = ?",
                                "i", r->key.id);
    if (!q) return false;
    int rc = sqlite3_step(q);
    r->last_used_s = sqlite3_column_int64(q, 0);
    return sql_done(q, rc == SQLITE_ROW ? SQLITE_DONE : rc, e);
}

static bool read_rows(sqlite3 *db, bool also_revoked, store_key_row **rows, size_t *n, err *e) {
    sqlite3_stmt *q = sql_query(db, e,
                                "SELECT " KEY_COLUMNS " FROM key WHERE revoked = 0 OR ? "
                                "ORDER BY id",
                                "i", (int64_t)also_revoked);
    if (!q) return false;
    size_t cap = 0;
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (*n == cap) {
            cap = cap ? 2 * cap : 16;
            store_key_row *more = realloc(*rows, cap * sizeof *more);
            if (!more) break;
            *rows = more;
        }
        (*rows)[*n] = (store_key_row){0};
        read_key(&(*rows)[(*n)++].key, q);
    }
    if (rc == SQLITE_ROW) {
        sqlite3_finalize(q);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    return sql_done(q, rc, e);
}

bool store_key_list(store *s, bool also_revoked, store_key_row **rows, size_t *n, err *e) {
    *rows = NULL;
    *n = 0;
    sqlite3 *db = store_reader_open(s, e);
    if (!db) return s->mode == STORE_READ; /* an absent file has no keys */
    bool ok = read_rows(db, also_revoked, rows, n, e);
    int64_t now_s = store_now_ms(s) / 1000;
    for (size_t i = 0; ok && i < *n; i++) ok = read_used(db, &(*rows)[i], now_s, e);
    store_reader_close(s, db);
    if (!ok) {
        free(*rows);
        *rows = NULL;
        *n = 0;
    }
    return ok;
}
