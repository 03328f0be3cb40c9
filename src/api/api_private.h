/* Inside the api room: what stands behind its opaque types, and who touches what.
 *
 *   server.c   the network thread's side: checks, routes, starting a call
 *   route.c    the list of tables, matching, the errors of paths that are not there
 *   access.c   Host, Origin, keys
 *   call.c     calls: their table, their turns on the workers, what happens before `run`
 *   pump.c     generating: submit, read tokens, send, settle
 *   energy.c   what the meter says of that
 *   pieces.c   tokens into pieces: text, thoughts, calls of tools
 *
 * A call has turns. Whoever has news for it (the engine: tokens; the network thread: gone, drained,
 * a tick; the loading thread: the model is there) pokes it; a poke sets a flag and, if the call
 * neither runs nor waits to, lists it for the workers. So at most one worker runs a call, and a
 * poke during its turn gives it another one.
 *
 * A call lives while somebody holds it: its table entry until the exchange is answered and every
 * request is freed; each submitted request until it is settled; whoever looked it up. The network
 * thread's events carry a place in the table, not the call's address: after the call is gone they
 * find nothing there, or a call of another exchange.
 */
#ifndef HEARTH_API_PRIVATE_H
#define HEARTH_API_PRIVATE_H

#include <pthread.h>

#include "api/call.h"

#define API_TICK_MS 1000        /* how often a call that waits is looked at */
#define API_QUIET_MS 3900       /* with a tick more, a client hears something every 5 s */
#define API_BACKLOG (64u << 10) /* bytes unsent at which no more tokens are read */
#define API_SLOW_THREADS 16     /* calls that wait for embeddings at the same time */
#define API_TURN_TOKENS 256     /* tokens that a turn reads at most: others wait too */

enum { /* flags of a call: news since its last turn */
       API_NEWS_GONE = 1,
       API_NEWS_TICK = 2,
       API_NEWS_MODEL = 4,
       API_NEWS_END = 8,  /* the server stops */
       API_NEWS_WORK = 16 /* what was waited for is done */
};

typedef enum call_turns { TURN_NONE, TURN_LISTED, TURN_RUNS, TURN_AGAIN } call_turns;

typedef enum call_phase {
    CALL_NEW,     /* nothing done yet */
    CALL_LOADING, /* its model is coming */
    CALL_RUNS,    /* requests are in the engine */
    CALL_WAITS,   /* a thread that may wait works for it */
    CALL_DONE     /* answered */
} call_phase;

struct api_call_core {
    int32_t slot; /* in the table */
    _Atomic int turn, phase, holders;
    _Atomic unsigned news;
    pool_job job;
    bool begun;          /* the status line of a stream is sent */
    bool told;           /* and the writer has begun */
    uint64_t written_ns; /* last time that something was sent, or the beginning */
    unsigned ending;     /* news that must wait until the model has come, or the work is done */
    _Atomic bool unwanted;
    pool_job slow; /* on the pool of those that may wait */
    void (*work)(api_call *c);
    void (*done)(api_call *c);
    /* guards the next two and each choice's req: loading and network thread come here */
    pthread_mutex_t lock;
    resident *came; /* what the loading thread brought */
    err came_err;
};

typedef struct call_slot {
    api *api;          /* constant */
    api_call *call;    /* NULL: free */
    int32_t next_free; /* -1: last */
} call_slot;

#define API_LATENCY_CLASSES 14
typedef struct api_counts { /* for /metrics */
    _Atomic uint64_t requests, answered, failed, refused, cancelled;
    _Atomic uint64_t prompt_tokens, cached_tokens, generated_tokens;
    _Atomic uint64_t first_token_us, first_tokens; /* sum and number */
    _Atomic uint64_t prefill_us, decode_us;        /* of requests that were settled, added up */
} api_counts;

struct api {
    store *store;
    residents *models;
    pool *pool;
    pool *slow;        /* threads that may wait for an engine */
    struct kept *kept; /* responses */
    shelf *grammars;   /* compiled */
    struct facts_cache *facts;
    bool require_key, context_shift;
    bool always_energy;
    meter *meter;           /* NULL: none */
    attribute *attribute;   /* NULL: energy is not measured */
    const char *const *pin; /* files; NULL: none */
    int max_calls;
    char **hosts;         /* names that Host may be, lower case; owned, NULL-terminated */
    _Atomic bool ready;   /* the models given at start are loaded */
    _Atomic bool closing; /* no new calls */
    uint64_t began_ns;
    int64_t began_s;
    char hostname[256];
    api_counts counts;

    pthread_mutex_t lock; /* guards the table */
    pthread_cond_t fewer; /* a call went */
    call_slot *slot;      /* [max_calls] */
    int32_t first_free;
    int n_calls;
};

/* access.c */
bool access_hosts_init(api *a, const char *const *more, err *e);
void access_hosts_deinit(api *a);
/* Host, Origin and where the request comes from. Sets the headers that browsers need. */
bool access_place_ok(api *a, http_exchange *x, api_error *e);
/* Who asks: the one way from a credential to a key. */
bool access_key(api *a, http_exchange *x, api_needs needs, store_key *out, api_error *e);

/* route.c */
#define API_MAX_ARGS 2
typedef struct route_match {
    const api_route *route; /* NULL: none; *status says 404 or 405 */
    str arg[API_MAX_ARGS];
    const api_dialect *dialect; /* for errors, always set */
    int status;
    char allow[64]; /* methods that the path knows */
} route_match;
void route_find(http_exchange *x, route_match *m);
/* The i-th route over all tables; NULL past the last. */
const api_route *route_at(size_t i);
extern const api_route *const api_route_tables[];

/* server.c */
void server_reply_error(http_exchange *x, const api_dialect *d, const api_error *e);

/* call.c */
void call_start(api *a, http_exchange *x, const route_match *m);
void call_hold(api_call *c);
/* For who found it in the table, with the table's lock held. False: it is being freed. */
bool call_hold_live(api_call *c);
void call_release(api_call *c);
void call_tell(api_call *c, unsigned news);
void call_id_send(api_call *c); /* the headers that name the call */
void call_finish(api_call *c);  /* answered: nothing more will be sent */
/* Whether the key's budget has room for so many tokens more. */
bool call_budget_ok(api_call *c, int64_t n_tokens, api_error *e);

/* pieces.c */
bool pieces_init(api_call *c, api_choice *ch, api_error *e);
void pieces_deinit(api_choice *ch);
void pieces_push(api_call *c, api_choice *ch, const hearth_token *t); /* to the writer */
void pieces_end(api_call *c, api_choice *ch);                         /* what was held back */

/* format.c */
shelf *grammars_new(void); /* NULL: out of memory */
void api_obey_end(api_call *c);

/* energy.c */
bool energy_open(api *a, const api_options *o, hearth_hooks *h, err *e);
void energy_drain(api *a); /* what is not known yet will never be */
void energy_close(api *a); /* the engines are gone */
/* On the engine's thread, for a choice that was settled: its row, and its hold on the call. */
void energy_settle(api_choice *ch, const hearth_usage *u);
bool energy_asked(const api_call *c);
/* Whether the answer must wait until this choice's energy is known. */
bool energy_awaited(const api_call *c, const api_choice *ch);
void energy_header(api_call *c); /* X-Hearth-Energy */
void energy_metrics(api *a, buf *out);

/* work.c */
void work_turn(api_call *c, unsigned news);

/* pump.c */
store_entry *pump_entry_new(api_call *c);
void pump_turn(api_call *c, unsigned news);
/* While nothing comes: what keeps a stream's client waiting, once it is due. */
void pump_keep_alive(api_call *c);
void pump_cancel(api_call *c);    /* any thread */
void pump_hooks(hearth_hooks *h); /* for the engines */

#endif
