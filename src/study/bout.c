#include "study/bout.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define ANSWER_BYTES (1u << 20)

/* What the users share. */
typedef struct crowd {
    study_bout *b;
    pthread_mutex_t lock;                  /* of b->request, failed and e */
    atomic_int n_first, n_left;            /* users that had a token; that still ask */
    atomic_uint_fast64_t begin_ns, end_ns; /* the window; 0: not yet */
    atomic_bool over;
    bool failed;
    err *e;
} crowd;

typedef struct user {
    crowd *crowd;
    pthread_t thread;
    int number;
    bool had_token;
    int64_t in_window; /* tokens of the present answer */
} user;

/* On the user's thread, at every token. */
static bool heard(void *ud, int n) {
    user *u = ud;
    crowd *c = u->crowd;
    uint64_t now = clock_now_ns(), begin = atomic_load(&c->begin_ns), end = atomic_load(&c->end_ns);
    if (begin && now >= begin && (!end || now < end)) u->in_window += n;
    if (n > 0 && !u->had_token) {
        u->had_token = true;
        atomic_fetch_add(&c->n_first, 1);
    }
    return !atomic_load(&c->over);
}

static int64_t micros(double s) {
    return isnan(s) ? -1 : llround(s * 1e6);
}

static int64_t since(const study_bout *b, uint64_t ns) {
    return ns ? (int64_t)(ns - b->began_ns) / 1000 : -1;
}

static bool keep(user *u, const study_reply *r) {
    study_bout *b = u->crowd->b;
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        study_request *more = realloc(b->request, cap * sizeof *more);
        if (!more) return false;
        b->request = more;
        b->cap = cap;
    }
    b->request[b->n++] = (study_request){.user = u->number,
                                         .submit_us = since(b, r->submit_ns),
                                         .first_us = since(b, r->first_ns),
                                         .end_us = since(b, r->end_ns),
                                         .prompt = r->prompt,
                                         .cached = r->cached,
                                         .out = r->out,
                                         .out_in_window = u->in_window,
                                         .queued_us = micros(r->queued_s),
                                         .prefill_us = micros(r->prefill_s),
                                         .decode_us = micros(r->decode_s),
                                         .bytes_in = r->bytes_in,
                                         .bytes_out = r->bytes_out,
                                         .finish = r->finish,
                                         .bill = r->bill};
    return true;
}

static void give_up(crowd *c, const err *e) {
    pthread_mutex_lock(&c->lock);
    if (e->code == ERR_NO_FIT && strcmp(c->b->arm->name, "there") == 0) c->b->capped = true;
    else if (!c->failed && c->e) *c->e = *e;
    if (!c->b->capped) c->failed = true;
    pthread_mutex_unlock(&c->lock);
    atomic_store(&c->over, true);
}

/* One ask and its answer. */
static bool one(user *u, const study_ask *ask, study_reply *r) {
    crowd *c = u->crowd;
    err e = {0};
    *r = (study_reply){.text = r->text, .finish = "error", .bill = -1};
    buf_clear(&r->text);
    u->in_window = 0;
    bool ok = c->b->arm->ask(c->b->arm, u->number, ask, heard, u, r, &e);
    pthread_mutex_lock(&c->lock);
    bool kept = !ok || keep(u, r);
    pthread_mutex_unlock(&c->lock);
    if (!ok || !kept) {
        if (ok) err_set(&e, ERR_FAILED, "out of memory");
        give_up(c, &e);
    }
    return ok && kept;
}

static void *live(void *ud) {
    user *u = ud;
    crowd *c = u->crowd;
    study_bout *b = c->b;
    study_flow f;
    study_reply r = {0};
    const study_ask *ask;
    err e = {0};
    buf_init(&r.text, ANSWER_BYTES);
    study_flow_begin(&f, b->text, b->work, b->sizes, b->seed, b->run, (uint64_t)u->number);
    f.whole = b->whole;
    while (!atomic_load(&c->over) && study_flow_next(&f, buf_str(&r.text), &ask, &e) &&
           one(u, ask, &r))
        continue;
    if (e.code) give_up(c, &e);
    study_flow_end(&f);
    buf_deinit(&r.text);
    atomic_fetch_sub(&c->n_left, 1);
    return NULL;
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Whether there is nothing to wait for: an end, an error, somebody who wants to stop. */
static bool over(crowd *c) {
    study_bout *b = c->b;
    if (!atomic_load(&c->over) && b->stop && b->stop(b->ud)) {
        b->stopped = true;
        atomic_store(&c->over, true);
    }
    return atomic_load(&c->over) || atomic_load(&c->n_left) == 0;
}

/* What the meter has counted so far; *lost: seconds that it could not tell. */
static double joules_now(const study_bout *b, double *lost) {
    if (!b->meter) return NAN;
    meter_status s;
    meter_read(b->meter);
    meter_status_get(b->meter, &s);
    *lost = s.lost_s;
    return s.boundary == METER_NONE ? NAN : s.joules;
}

/* On the caller's thread: waits for the ramp, then for the window's end. */
static void watch(crowd *c) {
    study_bout *b = c->b;
    uint64_t start = clock_now_ns(), ramp = (uint64_t)(b->ramp_s * 1e9);
    while (!b->whole && !over(c) && atomic_load(&c->n_first) < b->users &&
           clock_now_ns() - start < ramp)
        nap();
    b->ramped = atomic_load(&c->n_first) == b->users;
    double lost[2] = {0}, joules = joules_now(b, &lost[0]);
    uint64_t begin = b->whole ? start : clock_now_ns();
    atomic_store(&c->begin_ns, begin);
    uint64_t window = (uint64_t)(b->window_s * 1e9);
    while (!over(c) && (b->whole || clock_now_ns() - begin < window)) nap();
    uint64_t end = clock_now_ns();
    if (!b->whole && end - begin > window && !b->stopped) end = begin + window;
    atomic_store(&c->end_ns, end);
    joules = joules_now(b, &lost[1]) - joules;
    b->joules = lost[1] > lost[0] ? NAN : joules; /* a window is known as a whole, or not at all */
    atomic_store(&c->over, true);
    b->begin_us = since(b, begin);
    b->end_us = since(b, end);
}

bool study_bout_run(study_bout *b, err *e) {
    crowd c = {.b = b, .e = e};
    user *u = calloc((size_t)b->users, sizeof *u);
    int n = 0;
    if (!u) return err_set(e, ERR_FAILED, "out of memory");
    if (!b->arm->begin(b->arm, b->users, e)) {
        free(u);
        return false;
    }
    pthread_mutex_init(&c.lock, NULL);
    atomic_store(&c.n_left, b->users);
    for (; n < b->users; n++) {
        u[n] = (user){.crowd = &c, .number = n};
        if (pthread_create(&u[n].thread, NULL, live, &u[n]) != 0) break;
    }
    if (n < b->users) {
        atomic_store(&c.over, true);
        c.failed = true;
        err_set(e, ERR_FAILED, "cannot start %d threads", b->users);
    } else {
        watch(&c);
    }
    for (int i = 0; i < n; i++) pthread_join(u[i].thread, NULL);
    b->arm->end(b->arm);
    pthread_mutex_destroy(&c.lock);
    free(u);
    return !c.failed;
}

void study_bout_deinit(study_bout *b) {
    free(b->request);
    b->request = NULL;
    b->n = b->cap = 0;
}
