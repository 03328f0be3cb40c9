/* Fetching a blob. Three kinds of thread share a `job`: the caller's, which reports, writes the
 * journal and decides when it is over; takers, each of which fetches ranges; and one that hashes.
 */
#include "hub/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define TAKERS_MAX 16
#define RANGE_MAX ((uint64_t)64 << 20) /* of one request */
#define RANGE_MIN ((uint64_t)1 << 20)  /* smaller blobs are not divided */
#define TELL_BYTES ((uint64_t)1 << 20)
#define REPORT_NS 100000000u
#define HASH_PIECE ((size_t)1 << 18)
#define PIECE_MAX ((size_t)1 << 18) /* of what came, before it is written */
#define PIECE_NS 50000000u          /* nor does it wait for longer, if more comes */
#define TRIES_UNTOLD 8
#define BLIND_MAX 2 /* answers with the whole for a range, before the whole is taken */

typedef struct job job;

typedef struct taker {
    job *j;
    http_client *client;
    pthread_t thread;
    bool started;
    hub_span at;    /* what it is fetching: first moves up. Under the job's lock */
    uint64_t asked; /* where this request's bytes begin */
    uint64_t got;   /* bytes of this request */
    uint64_t put;   /* those of them that are in the part */
    /* what came after them: libcurl gives 16 KB at a time, which is little for a write */
    char *piece;
    size_t piece_n;
    uint64_t piece_ns; /* when it was begun */
    int failures;      /* in a row, since anything came to anybody. Under the job's lock */
    unsigned luck;     /* the job's, when they were counted */
} taker;

struct job {
    hub_wire *w;
    hub_store *s;
    const hub_want *want;
    hub_part *part;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    hub_journal have;
    uint64_t journaled; /* bytes of it that the journal has */
    uint64_t untold;    /* bytes that came since the others were woken */
    uint64_t range;     /* bytes of one request */
    int n_running, blind;
    unsigned luck; /* raised whenever something comes */
    int trying;    /* the most often that one has failed since; what of it is not told yet: */
    struct {
        char why[64];
        int n;
        double wait_s;
    } untold_try[TRIES_UNTOLD];
    int n_untold_tries;
    bool ranges;  /* a range was once answered with a range */
    taker *whole; /* they are not, and this one takes it all; NULL: that is not known */
    bool hashed;  /* to the end */
    bool over;    /* nobody is to begin anything */
    bool damaged; /* what is there is of no use */
    char secret[2048];
    unsigned secret_no; /* raised whenever it is renewed */
    err e;              /* of the first failure */
    atomic_bool stop;
    hub_digest digest; /* when hashed */
    uint64_t resumed, reported;
    size_t piece_max; /* bytes of a taker's piece */
    taker taker[TAKERS_MAX];
    int n_takers;
};

/* Under lock. */
static void fail(job *j, const err *e, bool damaged) {
    if (j->e.code == ERR_NONE) j->e = *e;
    if (j->e.code == ERR_NONE) err_set(&j->e, ERR_FAILED, "%s: cannot be fetched", j->want->what);
    if (damaged) j->damaged = true;
    j->over = true;
    atomic_store(&j->stop, true);
    pthread_cond_broadcast(&j->changed);
}

static bool stopped(void *ud) {
    taker *t = ud;
    return atomic_load(&t->j->stop);
}

/* ---- which range ---- */

/* The first byte at or after p that nobody has or fetches; under lock. */
static uint64_t free_from(const job *j, uint64_t p) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < j->have.done.n; i++) {
            const hub_span *d = &j->have.done.at[i];
            if (p >= d->first && p < d->end) p = d->end, moved = true;
        }
        for (int i = 0; i < j->n_takers; i++) {
            const hub_span *d = &j->taker[i].at;
            if (d->first < d->end && p >= d->first && p < d->end) p = d->end, moved = true;
        }
    }
    return p;
}

/* The next range for a taker; under lock. */
static bool take_range(job *j, hub_span *out) {
    uint64_t p = free_from(j, 0), end;
    if (p >= j->have.size) return false;
    end = p + j->range < j->have.size ? p + j->range : j->have.size;
    for (int i = 0; i < j->have.done.n; i++)
        if (j->have.done.at[i].first > p && j->have.done.at[i].first < end)
            end = j->have.done.at[i].first;
    for (int i = 0; i < j->n_takers; i++) {
        const hub_span *d = &j->taker[i].at;
        if (d->first < d->end && d->first > p && d->first < end) end = d->first;
    }
    *out = (hub_span){p, end};
    return true;
}

/* ---- taking it ---- */

/* A server's version of the file; weak ones say nothing about bytes. */
static const char *etag_of(const http_answer *a) {
    const char *tag = http_answer_header(a, "etag");
    return tag && strncmp(tag, "W/", 2) != 0 && strlen(tag) < 256 ? tag : "";
}

static bool other_version(taker *t, const char *tag) {
    job *j = t->j;
    bool other = false;
    pthread_mutex_lock(&j->lock);
    if (!j->have.etag[0]) snprintf(j->have.etag, sizeof j->have.etag, "%s", tag);
    else if (*tag && strcmp(tag, j->have.etag) != 0 && !j->want->digest.hex[0]) {
        err e = {0};
        err_set(&e, ERR_DAMAGED,
                "%s: changed upstream while it was fetched: what was there is "
                "dropped; fetch it again",
                j->want->what);
        fail(j, &e, true);
        other = true;
    }
    pthread_mutex_unlock(&j->lock);
    return other;
}

static bool wrong_size(taker *t, uint64_t size) {
    job *j = t->j;
    if (size == j->have.size) return false;
    err e = {0};
    err_set(&e, ERR_DAMAGED, "%s: has %llu bytes there, and not the %llu that were announced",
            j->want->what, (unsigned long long)size, (unsigned long long)j->have.size);
    pthread_mutex_lock(&j->lock);
    fail(j, &e, false);
    pthread_mutex_unlock(&j->lock);
    return true;
}

static bool on_head(void *ud, const http_answer *a) {
    taker *t = ud;
    job *j = t->j;
    if (a->status < 200 || a->status > 299) return true;
    if (a->partial) {
        if (a->has_total && wrong_size(t, a->range_total)) return false;
        pthread_mutex_lock(&j->lock);
        j->ranges = true;
        pthread_mutex_unlock(&j->lock);
        return !other_version(t, etag_of(a));
    }
    if (a->has_length && wrong_size(t, a->content_length)) return false;
    pthread_mutex_lock(&j->lock);
    if (!j->whole && !j->ranges && ++j->blind > BLIND_MAX) j->whole = t;
    bool mine = j->whole == t;
    if (mine) { /* the whole comes, from its beginning */
        t->asked = 0;
        t->at = (hub_span){hub_spans_front(&j->have.done), j->have.size};
    }
    pthread_mutex_unlock(&j->lock);
    return mine && !other_version(t, etag_of(a));
}

/* Nobody is more than a chunk ahead of the journal, with what is in the pieces. */
static void wait_for_journal(job *j) {
    uint64_t most = j->w->o.chunk_bytes - (uint64_t)j->n_takers * j->piece_max;
    while (!j->over && hub_spans_bytes(&j->have.done) - j->journaled >= most)
        pthread_cond_wait(&j->changed, &j->lock);
}

static bool put(taker *t, uint64_t at, const char *p, size_t n) {
    job *j = t->j;
    while (n > 0) {
        ssize_t k = pwrite(hub_part_fd(j->part), p, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            int why = errno;
            err e = {0};
            pthread_mutex_lock(&j->lock);
            uint64_t left = j->have.size - hub_spans_bytes(&j->have.done);
            pthread_mutex_unlock(&j->lock);
            if ((why != ENOSPC && why != EDQUOT && why != EFBIG) || hub_store_room(j->s, left, &e))
                err_set(&e, why == ENOSPC || why == EDQUOT ? ERR_NO_FIT : ERR_FAILED,
                        "%s: cannot write (%llu bytes are still to come): %s",
                        hub_store_folder(j->s), (unsigned long long)left, strerror(why));
            pthread_mutex_lock(&j->lock);
            fail(j, &e, false);
            pthread_mutex_unlock(&j->lock);
            return false;
        }
        p += k, at += (uint64_t)k, n -= (size_t)k;
    }
    return true;
}

/* Puts what is not there yet of bytes [first, end). What was hashed is never written again. */
static bool fill(taker *t, uint64_t first, uint64_t end, const char *p) {
    job *j = t->j;
    while (first < end) {
        pthread_mutex_lock(&j->lock);
        uint64_t stop = end, from = first;
        for (int i = 0; i < j->have.done.n; i++) {
            const hub_span *d = &j->have.done.at[i];
            if (from >= d->first && from < d->end) from = d->end;
            else if (d->first > from && d->first < stop) stop = d->first;
        }
        pthread_mutex_unlock(&j->lock);
        if (from >= end) return true;
        if (!put(t, from, p + (from - first), (size_t)(stop - from))) return false;
        pthread_mutex_lock(&j->lock);
        bool kept = hub_spans_add(&j->have.done, from, stop);
        if (!kept) { /* of a journal that only damage can have made */
            err e = {0};
            err_set(&e, ERR_DAMAGED, "%s: what was there is in too many pieces: it is dropped",
                    j->want->what);
            fail(j, &e, true);
        }
        pthread_mutex_unlock(&j->lock);
        if (!kept) return false;
        p += stop - first;
        first = stop;
    }
    return true;
}

/* The taker's piece goes into the part. */
static bool flush(taker *t) {
    job *j = t->j;
    uint64_t first = t->asked + t->put, end = first + t->piece_n;
    if (t->piece_n == 0) return true;
    if (!fill(t, first, end, t->piece)) return false;
    pthread_mutex_lock(&j->lock);
    t->put += t->piece_n;
    if (end > t->at.first) t->at.first = end;
    j->untold += t->piece_n;
    t->piece_n = 0;
    bool due = hub_spans_bytes(&j->have.done) - j->journaled >= j->w->o.chunk_bytes / 2;
    if (j->untold >= TELL_BYTES || due || t->at.first >= t->at.end) {
        j->untold = 0;
        pthread_cond_broadcast(&j->changed);
    }
    wait_for_journal(j);
    bool more = !j->over;
    pthread_mutex_unlock(&j->lock);
    return more;
}

static bool on_body(void *ud, const char *p, size_t n) {
    taker *t = ud;
    job *j = t->j;
    uint64_t now = clock_now_ns();
    t->got += n;
    if (t->asked + t->got > j->have.size) return false; /* told apart in fetch_range */
    while (n > 0) {
        size_t k = j->piece_max - t->piece_n < n ? j->piece_max - t->piece_n : n;
        if (t->piece_n == 0) t->piece_ns = now;
        memcpy(t->piece + t->piece_n, p, k);
        t->piece_n += k, p += k, n -= k;
        bool full = t->piece_n == j->piece_max || t->asked + t->put + t->piece_n >= t->at.end;
        if ((full || now - t->piece_ns >= PIECE_NS) && !flush(t)) return false;
    }
    return true;
}

typedef enum outcome { GOT_ALL, AGAIN, NOT_COUNTED, GIVE_UP } outcome;

/* After a 401: another token, unless somebody has brought one meanwhile. */
static outcome renew(job *j, unsigned used, const http_answer *a, err *e) {
    const hub_want *want = j->want;
    const char *challenge = http_answer_header(a, "www-authenticate");
    outcome o = GIVE_UP;
    hub_wire_denied(a, want->what, want->advice, e); /* what is said if this was the last try */
    pthread_mutex_lock(&j->lock);
    if (j->secret_no != used) o = NOT_COUNTED;
    else if (want->renew && challenge && used < 64) {
        char fresh[2048];
        err why = {0};
        if (want->renew(want->ud, challenge, fresh, &why)) {
            memcpy(j->secret, fresh, sizeof fresh);
            j->secret_no++;
            o = AGAIN;
        } else {
            *e = why;
        }
    }
    pthread_mutex_unlock(&j->lock);
    return o;
}

/* One request for the range that the taker holds. */
static outcome fetch_range(taker *t, http_answer *a, err *e) {
    job *j = t->j;
    char secret[2048];
    pthread_mutex_lock(&j->lock);
    memcpy(secret, j->secret, sizeof secret);
    unsigned secret_no = j->secret_no;
    bool whole = j->whole == t, ranges = j->ranges;
    hub_span at = t->at;
    pthread_mutex_unlock(&j->lock);
    t->asked = whole ? 0 : at.first;
    t->got = t->put = 0;
    http_ask q = {.url = j->want->url,
                  .authorization = secret[0] ? secret : NULL,
                  .ranged = !whole,
                  .first = at.first,
                  .last = at.end - 1,
                  .on_head = on_head,
                  .on_body = on_body,
                  .stopped = stopped,
                  .ud = t};
    bool ok = http_client_fetch(t->client, &q, a, e);
    flush(t); /* whatever ended it, what came is good */
    t->piece_n = 0;
    if (a->fault == HTTP_FAULT_CALLER && t->asked + t->got > j->have.size)
        err_set(e, ERR_DAMAGED, "%s: more than the %llu bytes that were announced came",
                j->want->what, (unsigned long long)j->have.size);
    if (atomic_load(&j->stop)) return GIVE_UP;
    if (a->fault == HTTP_FAULT_CALLER) { /* the whole, where a range was wanted */
        if (e->code == ERR_NONE)
            err_set(e, ERR_FAILED, "%s: the server does not give the range", j->want->what);
        return ranges ? AGAIN : NOT_COUNTED;
    }
    if (ok && (a->status == 200 || a->status == 206))
        return t->at.first >= t->at.end ? GOT_ALL : AGAIN;
    if (ok && a->status == 401) return renew(j, secret_no, a, e);
    if (ok) hub_wire_denied(a, j->want->what, j->want->advice, e);
    return hub_wire_passing(a) || a->status == 416 ? AGAIN : GIVE_UP; /* the range is there */
}

/* What failed for the n-th time in a row is tried again; under lock. Connections that end together
 * are one failure to a person. */
static double begin_pause(job *j, int n, const http_answer *a) {
    double wait = hub_wire_pause_s(j->w, n, a);
    if (n < j->trying || a->status == 401) return wait; /* a token may end at any time */
    j->trying = n + 1;
    if (j->n_untold_tries == TRIES_UNTOLD) return wait;
    int i = j->n_untold_tries++;
    j->untold_try[i].n = n;
    j->untold_try[i].wait_s = wait;
    hub_wire_why(a, j->w->o.stall_s, j->untold_try[i].why);
    return wait;
}

/* Waits before another try; false: it is over. */
static bool pause_for(job *j, double seconds) {
    double until = clock_now_s() + seconds;
    while (!atomic_load(&j->stop) && clock_now_s() < until)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return !atomic_load(&j->stop);
}

/* Whether the taker has anything to do with this job any longer; under lock. */
static bool dismissed(const taker *t) {
    return t->j->over || (t->j->whole && t->j->whole != t);
}

/* Fetches what the taker holds, with tries. False: it is dismissed. */
static bool hold_on(taker *t) {
    job *j = t->j;
    for (;;) {
        http_answer a;
        err e = {0};
        uint64_t before = t->at.first;
        outcome o = fetch_range(t, &a, &e);
        pthread_mutex_lock(&j->lock);
        uint64_t came = t->at.first - before, much = j->have.size / 16;
        if (o == GOT_ALL || came > (much < 65536 ? much : 65536)) {
            j->luck++;
            j->trying = 0;
        }
        if (t->luck != j->luck) t->failures = 0;
        t->luck = j->luck;
        int n = o == AGAIN ? t->failures++ : 0;
        if (o == GIVE_UP || (o == AGAIN && n >= j->w->o.retries)) {
            if (!j->over) fail(j, &e, false);
        }
        bool go_on = !dismissed(t);
        double wait = go_on && o == AGAIN ? begin_pause(j, n, &a) : 0;
        pthread_cond_broadcast(&j->changed);
        pthread_mutex_unlock(&j->lock);
        if (go_on && o == AGAIN) go_on = pause_for(j, wait);
        http_answer_deinit(&a);
        if (o == GOT_ALL || !go_on) return go_on;
    }
}

static void *taking(void *arg) {
    taker *t = arg;
    job *j = t->j;
    pthread_mutex_lock(&j->lock);
    while (!dismissed(t) && take_range(j, &t->at)) {
        pthread_mutex_unlock(&j->lock);
        bool more = hold_on(t);
        pthread_mutex_lock(&j->lock);
        t->at = (hub_span){0, 0};
        if (!more) break;
    }
    t->at = (hub_span){0, 0};
    j->n_running--;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* ---- hashing ---- */

/* Follows the front; what an earlier call left comes first. */
static void *hashing(void *arg) {
    job *j = arg;
    err e = {0};
    uint64_t at = 0;
    hub_hash *h = hub_hash_new(&e);
    char *piece = malloc(HASH_PIECE);
    bool ok = h && piece;
    pthread_mutex_lock(&j->lock);
    while (ok && at < j->have.size) {
        while (!j->over && hub_spans_front(&j->have.done) <= at)
            pthread_cond_wait(&j->changed, &j->lock);
        uint64_t front = hub_spans_front(&j->have.done);
        if (j->over) break;
        pthread_mutex_unlock(&j->lock);
        while (ok && at < front && !atomic_load(&j->stop)) {
            size_t n = front - at < HASH_PIECE ? (size_t)(front - at) : HASH_PIECE;
            ssize_t k = pread(hub_part_fd(j->part), piece, n, (off_t)at);
            if (k < 0 && errno == EINTR) continue;
            ok = k > 0 || err_set(&e, ERR_FAILED, "%s: cannot be read back", j->want->what);
            if (!ok) break;
            hub_hash_add(h, piece, (size_t)k);
            at += (uint64_t)k;
        }
        pthread_mutex_lock(&j->lock);
    }
    if (ok && at >= j->have.size) {
        hub_hash_end(h, &j->digest);
        h = NULL;
        j->hashed = true;
    } else if (!ok) {
        fail(j, &e, true); /* what the journal says is there is not */
    }
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    hub_hash_abort(h);
    free(piece);
    return NULL;
}

/* ---- the caller's thread ---- */

static void report(job *j, uint64_t completed, bool verified) {
    if (completed > j->reported) j->reported = completed;
    if (!j->w->o.event) return;
    hub_event x = {.kind = HUB_EVENT_BLOB,
                   .text = j->want->what,
                   .digest = j->want->digest,
                   .completed = j->reported,
                   .total = j->have.size,
                   .resumed = j->resumed,
                   .verified = verified};
    if (verified) x.digest = j->digest;
    j->w->o.event(j->w->o.ud, &x);
}

/* Under lock, which is given up meanwhile. What was there when it began is in the journal then. */
static bool write_journal(job *j) {
    buf b;
    err e = {0};
    uint64_t bytes = hub_spans_bytes(&j->have.done);
    buf_init(&b, 1 << 20);
    hub_journal_write(&b, &j->have);
    pthread_mutex_unlock(&j->lock);
    bool ok = !b.failed && hub_part_journal_write(j->part, buf_str(&b), &e);
    buf_deinit(&b);
    pthread_mutex_lock(&j->lock);
    if (ok) j->journaled = bytes;
    else fail(j, &e, false);
    pthread_cond_broadcast(&j->changed);
    return ok;
}

/* Under lock, which is given up meanwhile. */
static void tell_tries(job *j) {
    while (j->n_untold_tries > 0) {
        char why[sizeof j->untold_try[0].why];
        int n = j->untold_try[0].n;
        double wait = j->untold_try[0].wait_s;
        memcpy(why, j->untold_try[0].why, sizeof why);
        memmove(j->untold_try, j->untold_try + 1,
                (size_t)--j->n_untold_tries * sizeof j->untold_try[0]);
        pthread_mutex_unlock(&j->lock);
        hub_wire_tell_retry(j->w, why, n, wait);
        pthread_mutex_lock(&j->lock);
    }
}

/* Until it is over; under lock. */
static void watch(job *j) {
    uint64_t last = 0;
    for (;;) {
        uint64_t done = hub_spans_bytes(&j->have.done);
        if (j->over || (done == j->have.size && j->hashed)) break;
        if (j->n_running == 0 && done < j->have.size) {
            err e = {0};
            err_set(&e, ERR_NO_SERVER, "%s: could not be fetched", j->want->what);
            fail(j, &e, false);
            break;
        }
        if (done - j->journaled >= j->w->o.chunk_bytes / 2 && !write_journal(j)) break;
        tell_tries(j);
        pthread_mutex_unlock(&j->lock);
        uint64_t now = clock_now_ns();
        if (now - last >= REPORT_NS) {
            report(j, done, false);
            last = now;
        }
        bool leave = hub_wire_stopped(j->w);
        pthread_mutex_lock(&j->lock);
        if (leave) {
            err e = {0};
            err_set(&e, ERR_INTERRUPTED, "stopped; what is there stays, and a later call goes on");
            fail(j, &e, false);
            break;
        }
        struct timespec until = clock_after_ms(50);
        if (hub_spans_bytes(&j->have.done) - j->journaled < j->w->o.chunk_bytes / 2)
            pthread_cond_timedwait(&j->changed, &j->lock, &until);
    }
    tell_tries(j);
    j->over = true;
    pthread_cond_broadcast(&j->changed);
}

static void start(job *j) {
    int n = j->w->o.max_parallel < TAKERS_MAX ? j->w->o.max_parallel : TAKERS_MAX;
    uint64_t left = j->have.size - hub_spans_bytes(&j->have.done);
    uint64_t each = left / (uint64_t)n;
    j->range = each > RANGE_MAX ? RANGE_MAX : each < RANGE_MIN ? RANGE_MIN : each;
    if (j->range > j->w->o.chunk_bytes * 4) j->range = j->w->o.chunk_bytes * 4;
    if (left / j->range + 1 < (uint64_t)n) n = (int)(left / j->range + 1);
    if (left == 0) n = 0;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 512 << 10);
    j->n_takers = n;
    j->piece_max = n ? j->w->o.chunk_bytes / 4 / (uint64_t)n : 0;
    if (j->piece_max > PIECE_MAX) j->piece_max = PIECE_MAX;
    for (int i = 0; i < n; i++) {
        taker *t = &j->taker[i];
        t->j = j;
        t->client = hub_wire_client(j->w, &j->e);
        t->piece = malloc(j->piece_max);
        t->started = t->client && t->piece && pthread_create(&t->thread, &a, taking, t) == 0;
        if (t->started) j->n_running++;
    }
    pthread_attr_destroy(&a);
}

static bool run(job *j, err *e) {
    pthread_t hasher;
    pthread_mutex_lock(&j->lock);
    start(j);
    j->e = (err){0};
    bool hashes = pthread_create(&hasher, NULL, hashing, j) == 0;
    if (!hashes) {
        err why = {0};
        err_set(&why, ERR_FAILED, "no thread to hash with");
        fail(j, &why, false);
    }
    watch(j);
    bool ok = j->e.code == ERR_NONE;
    if (!ok) atomic_store(&j->stop, true);
    pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->n_takers; i++) {
        if (j->taker[i].started) pthread_join(j->taker[i].thread, NULL);
        http_client_free(j->taker[i].client);
        free(j->taker[i].piece);
    }
    if (hashes) pthread_join(hasher, NULL);
    if (!ok) *e = j->e;
    return ok;
}

/* ---- one blob ---- */

/* The part's name: the blob's digest, else that of its address. */
static hub_digest key_of(const hub_want *want) {
    hub_digest key = want->digest;
    if (!key.hex[0]) hub_digest_of(&key, want->url, strlen(want->url));
    return key;
}

/* What an earlier call left, if it is of the same file. */
static void recall(job *j) {
    buf b;
    hub_journal *old = malloc(sizeof *old);
    buf_init(&b, 1 << 20);
    err e = {0};
    bool there = old && hub_part_journal_read(j->part, &b, &e) && b.len > 0 &&
                 hub_journal_read(old, buf_str(&b));
    bool same = there && old->size == j->have.size &&
                (j->want->digest.hex[0] || (old->etag[0] && strcmp(old->etag, j->have.etag) == 0));
    if (same) j->have = *old;
    else if (there && hub_spans_bytes(&old->done) > 0)
        hub_wire_note(j->w, "%s: changed upstream since it was begun: it is fetched from the start",
                      j->want->what);
    j->resumed = j->journaled = hub_spans_bytes(&j->have.done);
    free(old);
    buf_deinit(&b);
}

/* Size and ETag of what is not announced by anybody, by asking for its first byte. */
static bool probe(hub_wire *w, const hub_want *want, uint64_t *size, char etag[256], err *e) {
    http_answer a;
    http_ask q = {.url = want->url,
                  .authorization = want->secret && *want->secret ? want->secret : NULL,
                  .ranged = true,
                  .max_bytes = 1};
    bool ok = hub_wire_ask(w, &q, &a, e), whole = a.status == 200 && a.has_length;
    if (a.fault == HTTP_FAULT_TOO_BIG && whole) ok = true;
    if (ok && a.partial && a.has_total) *size = a.range_total;
    else if (ok && whole) *size = a.content_length;
    else if (ok && a.status == 416 && a.has_total) *size = a.range_total;
    else if (ok && a.status >= 300) ok = hub_wire_denied(&a, want->what, want->advice, e);
    else if (ok)
        ok = err_set(e, ERR_DAMAGED, "%s: the server does not say how long it is", want->what);
    snprintf(etag, 256, "%s", etag_of(&a));
    http_answer_deinit(&a);
    if (ok && *size == 0) ok = err_set(e, ERR_DAMAGED, "%s: is empty", want->what);
    return ok;
}

static bool settle(job *j, bool ok, err *e) {
    const hub_want *want = j->want;
    if (ok && want->digest.hex[0] && !hub_digest_eq(&j->digest, &want->digest)) {
        ok = err_set(e, ERR_DAMAGED,
                     "%s: what came is not what was promised (sha256 %.12s..., not %.12s...): it "
                     "is dropped; fetch it again",
                     want->what, j->digest.hex, want->digest.hex);
        j->damaged = true;
    }
    if (ok) {
        ok = hub_part_commit(j->part, &j->digest, e);
        if (ok) report(j, j->have.size, true);
        return ok;
    }
    err why = {0};
    if (j->damaged) {
        hub_part_drop(j->part, &why);
        return false;
    }
    pthread_mutex_lock(&j->lock);
    j->over = true;
    if (hub_spans_bytes(&j->have.done) > j->journaled) write_journal(j);
    pthread_mutex_unlock(&j->lock);
    hub_part_close(j->part);
    return false;
}

static bool begin(job *j, err *e) {
    const hub_want *want = j->want;
    hub_digest key = key_of(want);
    j->have.size = want->size;
    if ((want->size == 0 || !want->digest.hex[0]) &&
        !probe(j->w, want, &j->have.size, j->have.etag, e))
        return false;
    if (want->size > 0 && j->have.size != want->size)
        return err_set(e, ERR_DAMAGED, "%s: has %llu bytes there, and not the %llu announced",
                       want->what, (unsigned long long)j->have.size,
                       (unsigned long long)want->size);
    j->part = hub_part_open(j->s, &key, j->have.size, e);
    if (!j->part) return false;
    recall(j);
    if (ftruncate(hub_part_fd(j->part), (off_t)j->have.size) == 0) return true;
    err_set(e, ERR_NO_FIT, "%s: no room for %llu bytes: %s", hub_store_folder(j->s),
            (unsigned long long)j->have.size, strerror(errno));
    hub_part_close(j->part);
    return false;
}

/* *reported: how far was told before, and is told now. *stale: what an earlier call had left may be
 * all that is wrong. */
static bool fetch_once(hub_wire *w, hub_store *s, const hub_want *want, hub_digest *got,
                       uint64_t *size, uint64_t *reported, bool *stale, err *e) {
    job *j = calloc(1, sizeof *j);
    if (!j) return err_set(e, ERR_FAILED, "out of memory");
    j->w = w, j->s = s, j->want = want, j->reported = *reported;
    snprintf(j->secret, sizeof j->secret, "%s", want->secret ? want->secret : "");
    pthread_mutex_init(&j->lock, NULL);
    clock_cond_init(&j->changed);
    bool ok = begin(j, e);
    if (ok) {
        report(j, j->resumed, false);
        ok = run(j, e);
        ok = settle(j, ok, e);
    }
    if (ok) *got = j->digest;
    if (ok && size) *size = j->have.size;
    *reported = j->reported;
    *stale = !ok && j->damaged && j->hashed && j->resumed > 0;
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    free(j);
    return ok;
}

bool hub_fetch(hub_wire *w, hub_store *s, const hub_want *want, hub_digest *got, uint64_t *size,
               err *e) {
    uint64_t reported = 0;
    bool stale = false;
    if (fetch_once(w, s, want, got, size, &reported, &stale, e)) return true;
    if (!stale || hub_wire_stopped(w)) return false;
    hub_wire_note(w, "%s: what an earlier call had left was damaged: it is fetched from the start",
                  want->what);
    return fetch_once(w, s, want, got, size, &reported, &stale, e);
}

uint64_t hub_fetch_resumes(hub_store *s, const hub_want *want) {
    err e = {0};
    hub_digest key = key_of(want);
    hub_part *p = hub_part_open(s, &key, 0, &e);
    buf b;
    buf_init(&b, 1 << 20);
    hub_journal *j = malloc(sizeof *j);
    uint64_t n = 0;
    if (p && j && hub_part_journal_read(p, &b, &e) && hub_journal_read(j, buf_str(&b)))
        n = hub_spans_bytes(&j->done);
    free(j);
    buf_deinit(&b);
    hub_part_close(p);
    return n;
}
