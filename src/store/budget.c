/* How much a key may ask for. Tokens are summed up by calendar day, in memory: those of this
 * process as the engine reports them, those of others and of earlier runs from the file. A window
 * (day, week, month) is the sum of its days, so a clock that jumps there and back grants nothing
 * twice. Requests a minute are a bucket that fills by the monotonic clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/store_private.h"

/* ---- days and windows ---- */

/* The days from first_day on belong to the window of unix_s, which ends at end_s. Weeks begin on
 * Monday. mktime normalises: day 0 or 32 is in the neighbouring month. */
void budget_window(int window, int64_t unix_s, int32_t *first_day, int64_t *end_s) {
    time_t t = (time_t)unix_s;
    struct tm first = {0}, end;
    localtime_r(&t, &first);
    int days = 1;
    if (window == STORE_WEEK) {
        first.tm_mday -= (first.tm_wday + 6) % 7;
        days = 7;
    } else if (window == STORE_MONTH) {
        first.tm_mday = 1;
    }
    first.tm_hour = 12; /* a clock change never touches noon */
    first.tm_min = first.tm_sec = 0;
    first.tm_isdst = -1;
    end = first;
    if (window == STORE_MONTH) end.tm_mon++;
    else end.tm_mday += days;
    end.tm_hour = 0;
    *first_day = store_day_of((int64_t)mktime(&first));
    *end_s = (int64_t)mktime(&end);
}

static day_sum *day_at(key_state *k, int32_t day) {
    for (size_t i = 0; i < k->n_days; i++)
        if (k->days[i].day == day) return &k->days[i];
    day_sum *more = realloc(k->days, (k->n_days + 1) * sizeof *more);
    if (!more) return NULL; /* counted in the ledger all the same */
    k->days = more;
    k->days[k->n_days] = (day_sum){.day = day};
    return &k->days[k->n_days++];
}

void budget_count(store *s, int64_t key_id, int64_t day, int64_t tokens) {
    key_state *k = keys_by_id(s, key_id);
    day_sum *d = k && tokens ? day_at(k, (int32_t)day) : NULL;
    if (d) d->mine += tokens;
}

typedef struct read_sum {
    int64_t key, tokens;
    int32_t day;
} read_sum;

static bool read_sums(store *s, read_sum **sums, size_t *n, err *e) {
    int32_t since = store_day_of(store_now_ms(s) / 1000 - STORE_DAYS_BACK * 86400);
    sqlite3_stmt *q = sql_query(s->db, e,
                                "SELECT key, day, sum(tokens_in + tokens_out) FROM request "
                                "WHERE run <> ? AND day >= ? GROUP BY key, day",
                                "ii", s->run, (int64_t)since);
    if (!q) return false;
    size_t cap = 0;
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (*n == cap) {
            cap = cap ? 2 * cap : 64;
            read_sum *more = realloc(*sums, cap * sizeof *more);
            if (!more) {
                sqlite3_finalize(q);
                return err_set(e, ERR_FAILED, "out of memory");
            }
            *sums = more;
        }
        (*sums)[(*n)++] = (read_sum){.key = sqlite3_column_int64(q, 0),
                                     .day = sqlite3_column_int(q, 1),
                                     .tokens = sqlite3_column_int64(q, 2)};
    }
    return sql_done(q, rc, e);
}

bool budget_load(store *s, err *e) {
    read_sum *sums = NULL;
    size_t n = 0;
    bool ok = read_sums(s, &sums, &n, e); /* before the lock: it must not be held over a disk */
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; ok && i < s->n_keys; i++)
        for (size_t j = 0; j < s->by_id[i]->n_days; j++) s->by_id[i]->days[j].others = 0;
    for (size_t i = 0; ok && i < n; i++) {
        key_state *k = keys_by_id(s, sums[i].key);
        day_sum *d = k ? day_at(k, sums[i].day) : NULL;
        if (d) d->others = sums[i].tokens;
    }
    pthread_mutex_unlock(&s->lock);
    free(sums);
    return ok;
}

static int64_t window_used(const key_state *k, int32_t first_day, int32_t last_day) {
    int64_t sum = 0;
    for (size_t i = 0; i < k->n_days; i++)
        if (k->days[i].day >= first_day && k->days[i].day <= last_day)
            sum += k->days[i].mine + k->days[i].others;
    return sum;
}

/* ---- requests a minute ---- */

static void fill_bucket(key_state *k, uint64_t now_ns) {
    double size = k->key.rate_per_minute;
    if (k->rate_ns == 0) k->rate_left = size; /* the first request of this process */
    else if (now_ns > k->rate_ns) k->rate_left += (double)(now_ns - k->rate_ns) * 1e-9 * size / 60;
    if (k->rate_left > size) k->rate_left = size;
    k->rate_ns = now_ns > k->rate_ns ? now_ns : k->rate_ns;
    if (k->rate_ns == 0) k->rate_ns = 1;
}

bool store_rate_take(store *s, int64_t key_id, store_refusal *no) {
    uint64_t now_ns = store_mono_ns(s);
    int64_t now_s = store_now_ms(s) / 1000;
    bool ok = true;
    pthread_mutex_lock(&s->lock);
    key_state *k = keys_by_id(s, key_id);
    if (k && k->key.rate_per_minute > 0) {
        fill_bucket(k, now_ns);
        ok = k->rate_left >= 1;
        if (ok) {
            k->rate_left -= 1;
        } else {
            int64_t wait = (int64_t)((1 - k->rate_left) * 60 / k->key.rate_per_minute) + 1;
            *no = (store_refusal){.what = "rate",
                                  .limit = k->key.rate_per_minute,
                                  .used = k->key.rate_per_minute,
                                  .reset_s = now_s + wait,
                                  .retry_after_s = wait};
            snprintf(no->msg, sizeof no->msg,
                     "key \"%s\" may make %d requests a minute; the next one in %lld s",
                     k->key.name, k->key.rate_per_minute, (long long)wait);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* ---- tokens ---- */

static void refuse_tokens(store_refusal *no, const store_key *key, int window, int64_t n_tokens,
                          int64_t now_s) {
    static const char *const names[STORE_WINDOWS] = {"day", "week", "month"};
    char when[32];
    time_t t = (time_t)no->reset_s;
    struct tm tm = {0};
    localtime_r(&t, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    no->what = "budget";
    no->retry_after_s = no->reset_s > now_s ? no->reset_s - now_s : 1;
    if (no->used >= no->limit)
        snprintf(no->msg, sizeof no->msg,
                 "key \"%s\" has used %lld of its %lld tokens of this %s; there are more at %s",
                 key->name, (long long)no->used, (long long)no->limit, names[window], when);
    else
        snprintf(no->msg, sizeof no->msg,
                 "key \"%s\" has %lld of its %lld tokens of this %s left, and the prompt alone has "
                 "%lld; there are more at %s",
                 key->name, (long long)(no->limit - no->used), (long long)no->limit, names[window],
                 (long long)n_tokens, when);
}

bool store_budget_check(store *s, int64_t key_id, int64_t n_tokens, store_refusal *no) {
    int64_t now_s = store_now_ms(s) / 1000;
    int32_t today = store_day_of(now_s);
    bool ok = true;
    pthread_mutex_lock(&s->lock);
    const key_state *k = keys_by_id(s, key_id);
    for (int w = 0; k && ok && w < STORE_WINDOWS; w++) {
        int64_t limit = k->key.budget[w], end_s;
        int32_t first;
        if (limit <= 0) continue;
        budget_window(w, now_s, &first, &end_s);
        int64_t used = window_used(k, first, today);
        ok = used < limit && n_tokens <= limit - used;
        if (ok) continue;
        *no = (store_refusal){.limit = limit, .used = used, .reset_s = end_s};
        refuse_tokens(no, &k->key, w, n_tokens, now_s);
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

bool store_standing_get(store *s, int64_t key_id, store_standing *out) {
    int64_t now_s = store_now_ms(s) / 1000;
    uint64_t now_ns = store_mono_ns(s);
    *out = (store_standing){0};
    pthread_mutex_lock(&s->lock);
    key_state *k = keys_by_id(s, key_id);
    for (int w = 0; k && w < STORE_WINDOWS; w++) {
        int32_t first;
        budget_window(w, now_s, &first, &out->reset_s[w]);
        out->limit[w] = k->key.budget[w];
        out->used[w] = window_used(k, first, store_day_of(now_s));
    }
    if (k && k->key.rate_per_minute > 0) {
        fill_bucket(k, now_ns);
        out->rate_limit = k->key.rate_per_minute;
        out->rate_left = (int64_t)k->rate_left;
    }
    pthread_mutex_unlock(&s->lock);
    return k != NULL;
}
