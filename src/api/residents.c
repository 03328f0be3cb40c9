/* Residents: a list of names, a thread that loads and unloads, and one lock over all of it. */
#include "api/residents.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/find.h"
#include "hub/places.h"
#include "model/memory.h"

typedef struct waiter {
    struct waiter *next;
    resident_ready fn;
    void *ud;
} waiter;

struct resident {
    char *name, *path; /* constant; path as hub_find wants it */
    bool given;        /* at start */
    bool first;        /* the first of these: the adapters of the command line are for it */
    bool stored;       /* in the store, or found beside it: constant, as id */
    hub_digest id;     /* of the manifest */
    uint64_t bytes;    /* of all that it is made of; of a stored one */
    int64_t modified_s;

    /* guarded by the lock; model and engine are constant while somebody holds it */
    hearth_model *model;
    hearth_engine *engine; /* NULL: not in memory */
    bool coming;           /* waits to be loaded, or is being loaded */
    bool leaving;          /* being unloaded */
    uint64_t wanted;       /* when it was asked for: the earliest is loaded first */
    int n_users;
    int64_t keep_alive_s; /* -1: for ever */
    double idle_since_s;  /* by clock_now_s */
    waiter *waiters;
    bool bare;
    bool gone;             /* removed from the store, or replaced: another resident has the name */
    hub_recipe recipe;     /* constant while loaded */
    hearth_lora_use *lora; /* [n_lora] as well; NULL: not in memory. Not the scales in it: */
    size_t n_lora;
    hearth_model *draft; /* of its recipe; NULL: none */
    float *scale;        /* [n_lora] in force; stays when the model goes */
    double load_s;
};

struct residents {
    residents_options o;
    char *folder;
    pthread_mutex_t lock; /* guards all below, and of each resident what it says */
    pthread_cond_t wake;  /* the thread has something to do */
    pthread_cond_t done;  /* something was loaded, or failed */
    resident **entry;     /* grows only; a resident stays where it is */
    size_t n, cap, n_given;
    uint64_t n_wanted;
    double used_s;   /* when a model was last in use, by clock_now_s */
    bool heap_grown; /* and the heap was not looked after since */
    bool stop, started;
    pthread_t thread;
};

/* ---- names ---- */

static resident *entry_named(const residents *rs, str name) {
    for (size_t i = 0; i < rs->n; i++)
        if (!rs->entry[i]->gone && str_eq(str_of(rs->entry[i]->name), name)) return rs->entry[i];
    return NULL;
}

/* With the lock held, or before there is a thread. A name that is there already stays as it is. */
static resident *entry_add(residents *rs, str name, const char *path) {
    resident *r = entry_named(rs, name);
    if (r || name.n == 0) return r;
    if (rs->n == rs->cap) {
        size_t cap = rs->cap ? 2 * rs->cap : 8;
        resident **more = realloc(rs->entry, cap * sizeof *more);
        if (!more) return NULL;
        rs->entry = more;
        rs->cap = cap;
    }
    r = calloc(1, sizeof *r);
    if (r) {
        r->name = strndup(name.p, name.n);
        r->path = strdup(path);
        r->keep_alive_s = rs->o.keep_alive_s;
    }
    if (!r || !r->name || !r->path) {
        if (r) free(r->name), free(r->path);
        free(r);
        return NULL;
    }
    rs->entry[rs->n++] = r;
    return r;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* New files of the folder, in order of their names. */
static void folder_scan(residents *rs) {
    DIR *d = rs->folder ? opendir(rs->folder) : NULL;
    if (!d) return;
    enum { MOST = 1024 };
    char *found[MOST];
    size_t n = 0;
    for (struct dirent *f; n < MOST && (f = readdir(d));) {
        str s = str_of(f->d_name);
        bool later_part = str_find(s, STR("-of-"), 0) != (size_t)-1 &&
                          str_find(s, STR("-00001-of-"), 0) == (size_t)-1;
        if (f->d_name[0] == '.' || !str_ends(s, STR(".gguf")) || later_part) continue;
        if (asprintf(&found[n], "%s/%s", rs->folder, f->d_name) > 0) n++;
    }
    closedir(d);
    qsort(found, n, sizeof *found, by_text);
    for (size_t i = 0; i < n; i++) {
        entry_add(rs, hub_stem(found[i]), found[i]);
        free(found[i]);
    }
}

/* ---- the store ---- */

/* Without the tag that goes without saying. */
static char *stored_name(const hub_name *n, char dst[HUB_NAME_BYTES]) {
    hub_name_show(n, dst);
    str s = str_of(dst);
    if (str_ends(s, STR(":latest"))) dst[s.n - 7] = 0;
    return dst;
}

/* With the lock held. A model that has changed is another resident; the old one stays until it is
 * idle. */
static void stored_take(residents *rs, const hub_entry *x) {
    char name[HUB_NAME_BYTES];
    if (!x->file) return;
    resident *old = entry_named(rs, str_of(stored_name(&x->name, name)));
    if (old &&
        (!old->stored || (hub_digest_eq(&old->id, &x->id) && strcmp(old->path, x->file) == 0)))
        return;
    if (old) old->gone = true;
    resident *r = entry_add(rs, str_of(name), x->file);
    if (!r) return;
    r->stored = true;
    r->id = x->id;
    r->bytes = x->bytes;
    r->modified_s = x->modified_s;
    if (!old) return;
    r->given = old->given;
    r->first = old->first;
    old->first = false;
    r->keep_alive_s = old->given ? -1 : r->keep_alive_s;
    old->given = false;
    old->keep_alive_s = 0;
    pthread_cond_signal(&rs->wake);
}

/* Reads the store's folders: not with the lock held. */
void residents_refresh(residents *rs) {
    hub_entry *list;
    size_t n;
    hub_places *p = hub_places_open(NULL);
    if (p && hub_places_list(p, &list, &n, NULL)) {
        pthread_mutex_lock(&rs->lock);
        for (size_t i = 0; i < n; i++) stored_take(rs, &list[i]);
        for (size_t k = 0; k < rs->n; k++) {
            resident *r = rs->entry[k];
            bool there = !r->stored || r->gone;
            for (size_t i = 0; !there && i < n; i++) {
                char name[HUB_NAME_BYTES];
                there = strcmp(stored_name(&list[i].name, name), r->name) == 0;
            }
            if (there) continue;
            r->gone = true;
            r->keep_alive_s = 0;
            pthread_cond_signal(&rs->wake);
        }
        pthread_mutex_unlock(&rs->lock);
        hub_entries_free(list, n);
    }
    hub_places_close(p);
}

/* What the store says of one name, now; into *canonical as it is listed. */
static void stored_refresh(residents *rs, const char *asked, char canonical[HUB_NAME_BYTES]) {
    hub_name n;
    hub_entry x;
    canonical[0] = 0;
    if (!hub_name_parse_strict(&n, str_of(asked), NULL)) return;
    stored_name(&n, canonical);
    hub_places *p = hub_places_open(NULL);
    if (!p) return;
    bool found = hub_places_find(p, &n, &x, NULL);
    if (found) stored_name(&x.name, canonical);
    pthread_mutex_lock(&rs->lock);
    if (found) {
        stored_take(rs, &x);
    } else {
        resident *r = entry_named(rs, str_of(canonical));
        if (r && r->stored) {
            r->gone = true;
            r->keep_alive_s = 0;
            pthread_cond_signal(&rs->wake);
        }
    }
    pthread_mutex_unlock(&rs->lock);
    if (found) hub_entry_deinit(&x);
    hub_places_close(p);
}

static bool names_init(residents *rs, err *e) {
    const char *const *given = rs->o.models;
    static const char *const only_bard[] = {"bard", NULL};
    if (!given || !given[0]) given = only_bard;
    for (; *given; given++) {
        hub_model m;
        if (!hub_find(&m, *given, e)) return false;
        char canonical[HUB_NAME_BYTES];
        if (m.stored) {
            stored_refresh(rs, *given, canonical);
            resident *known = entry_named(rs, str_of(canonical));
            if (!known) return err_set(e, ERR_NO_FIT, "out of memory");
            known->given = true;
            known->keep_alive_s = -1;
            continue;
        }
        str name = m.data ? STR("bard") : hub_stem(*given);
        if (entry_named(rs, name)) {
            return err_set(e, ERR_USAGE,
                           "two models are called \"%.*s\": give one of the files another name",
                           STR_ARG(name));
        }
        resident *r = entry_add(rs, name, *given);
        if (!r) return err_set(e, ERR_NO_FIT, "out of memory");
        r->given = true;
        r->keep_alive_s = -1;
    }
    rs->n_given = rs->n;
    rs->entry[0]->first = true;
    if (hub_have_bundled()) entry_add(rs, STR("bard"), "bard");
    folder_scan(rs);
    return true;
}

const char *residents_find(residents *rs, const char *name) {
    char canonical[HUB_NAME_BYTES] = "";
    if (name && *name) stored_refresh(rs, name, canonical);
    pthread_mutex_lock(&rs->lock);
    resident *r = NULL;
    str s = str_of(name);
    if (s.n == 0 || str_eq(s, STR("default"))) r = rs->n ? rs->entry[0] : NULL;
    for (int pass = 0; !r && pass < 2; pass++) {
        if (pass) folder_scan(rs);
        r = entry_named(rs, s);
        if (!r && canonical[0]) r = entry_named(rs, str_of(canonical));
        if (!r && str_ends(s, STR(":latest"))) r = entry_named(rs, (str){s.p, s.n - 7});
    }
    pthread_mutex_unlock(&rs->lock);
    return r ? r->name : NULL;
}

/* ---- room ---- */

/* About what a model needs beside the pages of its engine, which takes what it finds. */
static uint64_t bytes_needed(const residents *rs, const resident *r) {
    struct stat st;
    hub_model m;
    if (!hub_find(&m, r->path, NULL)) return 0;
    uint64_t size = r->stored                 ? r->bytes
                    : m.data                  ? m.n
                    : stat(r->path, &st) == 0 ? (uint64_t)st.st_size
                                              : 0;
    int parts = 1;
    const char *of = m.data || r->stored ? NULL : strstr(r->path, "-00001-of-");
    if (of && sscanf(of, "-00001-of-%5d", &parts) != 1) parts = 1;
    size *= (uint64_t)(parts > 0 ? parts : 1);
    for (size_t i = 0; r->first && rs->o.lora && i < rs->o.lora->n; i++)
        if (stat(rs->o.lora->item[i].path, &st) == 0) size += (uint64_t)st.st_size;
    if (rs->o.draft && !rs->o.engine.draft && hub_find(&m, rs->o.draft, NULL) &&
        stat(m.path, &st) == 0)
        size += (uint64_t)st.st_size;
    return size + size / 4 + (128u << 20);
}

/* The one that has been idle for the longest time. */
static resident *oldest_idle(const residents *rs) {
    resident *best = NULL;
    for (size_t i = 0; i < rs->n; i++) {
        resident *r = rs->entry[i];
        if (!r->engine || r->n_users > 0 || r->leaving) continue;
        if (!best || r->idle_since_s < best->idle_since_s) best = r;
    }
    return best;
}

static int n_loaded(const residents *rs) {
    int n = 0;
    for (size_t i = 0; i < rs->n; i++) n += rs->entry[i]->engine != NULL;
    return n;
}

/* How long a model stays when no request has said; what one said ends with the model's stay. */
static int64_t usual_stay(const residents *rs, const resident *r) {
    return r->given ? -1 : rs->o.keep_alive_s;
}

/* With the lock held; lets go of it while the memory is given back. */
static void unload(residents *rs, resident *r) {
    hearth_engine *g = r->engine;
    hearth_model *m = r->model;
    hearth_lora_use *lora = r->lora;
    hearth_model *draft = r->draft;
    r->lora = NULL;
    r->draft = NULL;
    r->leaving = true;
    pthread_mutex_unlock(&rs->lock);
    hearth_engine_free(g);
    hub_loras_close(lora, r->n_lora);
    hearth_model_close(m);
    hearth_model_close(draft);
    log_msg(LOG_INFO, "unloaded %s", r->name);
    pthread_mutex_lock(&rs->lock);
    r->engine = NULL;
    r->model = NULL;
    hub_recipe_deinit(&r->recipe);
    r->keep_alive_s = usual_stay(rs, r);
    r->leaving = false;
}

/* Whether there is room for r; gives up one idle model at a time. False: somebody must go first. */
static bool room_make(residents *rs, const resident *r) {
    for (;;) {
        bool many = rs->o.max_models > 0 && n_loaded(rs) >= rs->o.max_models;
        if (!many && (n_loaded(rs) == 0 || memory_available() > bytes_needed(rs, r))) return true;
        resident *old = oldest_idle(rs);
        if (!old) return !many && n_loaded(rs) == 0;
        unload(rs, old);
    }
}

/* ---- the thread ---- */

/* Opens the draft model once. Only the loading thread comes here. */
static bool open_draft(residents *rs, err *e) {
    hub_model ref;
    hearth_err he = {0};
    if (!rs->o.draft || rs->o.engine.draft) return true;
    if (!hub_find(&ref, rs->o.draft, e)) return false;
    hearth_model_options o = {
        .n_threads = rs->o.engine.n_threads, .n_ctx = rs->o.engine.n_ctx, .no_pack = rs->o.no_pack};
    rs->o.engine.draft = hub_open(&ref, &o, &he);
    if (rs->o.engine.draft) return true;
    e->code = (err_code)he.code;
    snprintf(e->msg, sizeof e->msg, "%s", he.msg);
    return false;
}

/* What loading a model gives. */
typedef struct opened {
    hearth_model *m;
    hearth_engine *g;
    hub_recipe recipe;
    hearth_lora_use *lora;
    size_t n_lora;
    hearth_model *draft;
} opened;

static void opened_deinit(opened *o) {
    hearth_engine_free(o->g);
    hub_loras_close(o->lora, o->n_lora);
    hearth_model_close(o->m);
    hearth_model_close(o->draft);
    hub_recipe_deinit(&o->recipe);
}

/* The model's own draft, else that of the command line. One of another vocabulary is left out, but
 * for the latter beside a model that was given at the start. */
static bool engine_make(const residents *rs, const resident *r, opened *x,
                        const hearth_engine_options *eo, err *e) {
    hearth_engine_options o = *eo;
    hearth_err he = {0};
    if (x->draft) {
        o.draft = x->draft;
        if ((x->g = hearth_engine_new(x->m, &o, &he))) return true;
        if (he.code != HEARTH_USAGE) return err_set(e, (err_code)he.code, "%s", he.msg);
        log_msg(LOG_WARN, "%s: its draft model is not used: %s", r->name, he.msg);
        hearth_model_close(x->draft);
        x->draft = NULL;
        o.draft = rs->o.engine.draft;
    }
    x->g = hearth_engine_new(x->m, &o, &he);
    if (!x->g && o.draft && !r->given && he.code == HEARTH_USAGE) {
        log_msg(LOG_INFO, "%s", he.msg);
        o.draft = NULL;
        x->g = hearth_engine_new(x->m, &o, &he);
    }
    return x->g || err_set(e, (err_code)he.code, "%s", he.msg);
}

static bool open_all(residents *rs, const resident *r, opened *x, err *e) {
    hub_model ref;
    hearth_err he = {0};
    err why = {0};
    if (!hub_find(&ref, r->path, e) || !open_draft(rs, e)) return false;
    if (r->stored && !hub_recipe_of(&x->recipe, r->name, e)) return false;
    hearth_engine_options eo = rs->o.engine;
    hub_engine_settle(&x->recipe, &eo);
    hearth_model_options o = {
        .n_threads = eo.n_threads, .n_ctx = eo.n_ctx, .no_pack = rs->o.no_pack};
    ref.n_adapters = 0; /* they are opened here */
    x->m = hub_open(&ref, &o, &he);
    if (!x->m) return err_set(e, (err_code)he.code, "%s", he.msg);
    if (!hub_loras_open(x->m, &x->recipe, r->first ? rs->o.lora : NULL, &x->lora, &x->n_lora, e))
        return false;
    if (!eo.no_speculation && !hub_draft_open(&x->recipe, &o, &x->draft, &why))
        log_msg(LOG_WARN, "%s: its draft model is not used: %s", r->name, why.msg);
    return engine_make(rs, r, x, &eo, e);
}

/* With the lock held: the model is there, or *why says why not. */
static void waiters_tell(residents *rs, resident *r, const err *why) {
    waiter *list = r->waiters, *first = NULL;
    r->waiters = NULL;
    r->coming = false;
    while (list) { /* in the order in which they came */
        waiter *next = list->next;
        list->next = first;
        first = list;
        list = next;
        if (r->engine) r->n_users++;
    }
    if (!r->engine) r->keep_alive_s = usual_stay(rs, r);
    r->idle_since_s = clock_now_s();
    pthread_cond_broadcast(&rs->done);
    pthread_mutex_unlock(&rs->lock);
    while (first) {
        waiter *w = first;
        first = w->next;
        w->fn(w->ud, why ? NULL : r, why);
        free(w);
    }
    pthread_mutex_lock(&rs->lock);
}

/* With the lock held. The scales are those that were in force when it was last here. */
static bool scales_keep(resident *r, const opened *x, err *e) {
    if (r->scale && r->n_lora == x->n_lora) return true;
    float *scale = calloc(x->n_lora + 1, sizeof *scale);
    if (!scale) return err_set(e, ERR_NO_FIT, "out of memory");
    for (size_t i = 0; i < x->n_lora; i++) scale[i] = x->lora[i].scale;
    free(r->scale);
    r->scale = scale;
    return true;
}

/* A conversation in a form that the file does not name is told of, once. */
static void template_warn(const resident *r, const opened *x) {
    const char *family = hearth_chat_family(x->m);
    hearth_model_info info;
    size_t n;
    hearth_model_info_get(x->m, &info);
    if (!info.generates) return;
    if (!family)
        log_once(r->name, "%s has no chat template that is known: it is served as chatml", r->path);
    else if (!x->recipe.template && !hearth_model_meta(x->m, "tokenizer.chat_template", &n))
        log_once(r->name,
                 "%s has no chat template: its tokens are those of %s, and it is served so",
                 r->path, family);
}

static void load(residents *rs, resident *r) {
    opened x = {0};
    err why = {0};
    pthread_mutex_unlock(&rs->lock);
    double began = clock_now_s();
    bool ok = open_all(rs, r, &x, &why);
    bool bare = ok && !hearth_chat_family(x.m);
    if (ok) template_warn(r, &x);
    const char *problem = ok ? hearth_chat_problem(x.m) : NULL;
    if (problem) log_once(r->path, "%s: its own chat template is not used: %s", r->path, problem);
    pthread_mutex_lock(&rs->lock);
    ok = ok && scales_keep(r, &x, &why);
    if (ok) {
        r->model = x.m;
        r->engine = x.g;
        r->bare = bare;
        r->recipe = x.recipe;
        r->lora = x.lora;
        r->n_lora = x.n_lora;
        r->draft = x.draft;
        r->load_s = clock_now_s() - began;
        log_msg(LOG_INFO, "loaded %s in %.1f s", r->name, r->load_s);
    } else {
        opened_deinit(&x);
        log_msg(LOG_WARN, "%s cannot be loaded: %s", r->name, why.msg);
    }
    waiters_tell(rs, r, ok ? NULL : &why);
}

static resident *next_wanted(const residents *rs) {
    resident *best = NULL;
    for (size_t i = 0; i < rs->n; i++)
        if (rs->entry[i]->coming && (!best || rs->entry[i]->wanted < best->wanted))
            best = rs->entry[i];
    return best;
}

/* One that nobody has used for its time; *soon: seconds until the next is due. */
static resident *next_expired(const residents *rs, double *soon) {
    double now = clock_now_s();
    *soon = 3600;
    for (size_t i = 0; i < rs->n; i++) {
        resident *r = rs->entry[i];
        if (!r->engine || r->n_users > 0 || r->leaving || r->keep_alive_s < 0) continue;
        double left = r->idle_since_s + (double)r->keep_alive_s - now;
        if (left <= 0) return r;
        if (left < *soon) *soon = left;
    }
    return NULL;
}

/* Seconds of rest after which memory that calls have left behind in the heap is given back. */
#define HEAP_REST_S 2

/* True when that was done now; else *soon may be less: until it is due. */
static bool heap_give_back(residents *rs, double *soon) {
    if (!rs->heap_grown) return false;
    for (size_t i = 0; i < rs->n; i++)
        if (rs->entry[i]->n_users > 0) return false; /* the last one wakes this thread */
    double left = rs->used_s + HEAP_REST_S - clock_now_s();
    if (left > 0) {
        if (left < *soon) *soon = left;
        return false;
    }
    rs->heap_grown = false;
    pthread_mutex_unlock(&rs->lock);
    memory_give_back();
    pthread_mutex_lock(&rs->lock);
    return true;
}

static void sleep_until_news(residents *rs, double s) {
    struct timespec until = clock_after_ms((int64_t)(s * 1000) + 1);
    pthread_cond_timedwait(&rs->wake, &rs->lock, &until);
}

static void *thread_main(void *ud) {
    residents *rs = ud;
    pthread_mutex_lock(&rs->lock);
    while (!rs->stop) {
        double soon;
        resident *r = next_expired(rs, &soon), *w;
        if (r) {
            unload(rs, r);
        } else if ((w = next_wanted(rs))) {
            if (room_make(rs, w)) load(rs, w);
            else sleep_until_news(rs, 1);
        } else if (!heap_give_back(rs, &soon)) {
            sleep_until_news(rs, soon);
        }
    }
    err why;
    err_set(&why, ERR_INTERRUPTED, "the server is shutting down");
    for (resident *w; (w = next_wanted(rs));) waiters_tell(rs, w, &why);
    pthread_mutex_unlock(&rs->lock);
    return NULL;
}

/* ---- wanting ---- */

resident_state residents_want(residents *rs, const char *name, resident_ready later, void *ud,
                              resident **out, err *e) {
    resident_state state = RESIDENT_COMING;
    pthread_mutex_lock(&rs->lock);
    resident *r = entry_named(rs, str_of(name));
    waiter *w = NULL;
    if (r && r->engine && !r->leaving) {
        r->n_users++;
        *out = r;
        state = RESIDENT_READY;
    } else if (!r || rs->stop || !(w = calloc(1, sizeof *w))) {
        err_set(e, ERR_INTERRUPTED, "the server is shutting down");
        state = RESIDENT_FAILED;
    } else {
        *w = (waiter){r->waiters, later, ud};
        r->waiters = w;
        if (!r->coming) {
            r->coming = true;
            r->wanted = ++rs->n_wanted;
        }
        pthread_cond_signal(&rs->wake);
    }
    pthread_mutex_unlock(&rs->lock);
    return state;
}

void residents_release(residents *rs, resident *r, int64_t keep_alive_s) {
    pthread_mutex_lock(&rs->lock);
    if (keep_alive_s != RESIDENT_KEEP) r->keep_alive_s = keep_alive_s;
    if (--r->n_users == 0) {
        rs->used_s = r->idle_since_s = clock_now_s();
        rs->heap_grown = true;
        pthread_cond_signal(&rs->wake);
    }
    pthread_mutex_unlock(&rs->lock);
}

typedef struct first_load {
    residents *rs;
    bool done;
    err why;
} first_load;

static void on_first(void *ud, resident *r, const err *e) {
    first_load *f = ud;
    if (r) residents_release(f->rs, r, RESIDENT_KEEP);
    pthread_mutex_lock(&f->rs->lock);
    f->done = true;
    if (e) f->why = *e;
    pthread_cond_broadcast(&f->rs->done);
    pthread_mutex_unlock(&f->rs->lock);
}

bool residents_load(residents *rs, err *e) {
    for (size_t i = 0; i < rs->n_given; i++) {
        first_load f = {.rs = rs};
        resident *r = NULL;
        resident_state s = residents_want(rs, rs->entry[i]->name, on_first, &f, &r, &f.why);
        if (s == RESIDENT_READY) residents_release(rs, r, RESIDENT_KEEP);
        pthread_mutex_lock(&rs->lock);
        while (s == RESIDENT_COMING && !f.done) pthread_cond_wait(&rs->done, &rs->lock);
        pthread_mutex_unlock(&rs->lock);
        if (f.why.code != ERR_NONE) {
            *e = f.why;
            return false;
        }
    }
    return true;
}

/* ---- looking ---- */

int32_t residents_parallel(const residents *rs) {
    enum { USUAL = 16 }; /* hearth_engine_options */
    return rs->o.engine.max_requests > 0 ? rs->o.engine.max_requests : USUAL;
}

const char *resident_name(const resident *r) {
    return r->name;
}

hearth_model *resident_model(const resident *r) {
    return r->model;
}

hearth_engine *resident_engine(const resident *r) {
    return r->engine;
}

const hub_recipe *resident_recipe(const resident *r) {
    return &r->recipe;
}

bool resident_is_bare(const resident *r) {
    return r->bare;
}

double resident_load_s(const resident *r) {
    return r->load_s;
}

size_t resident_loras(residents *rs, const resident *r, hearth_lora_use *use) {
    pthread_mutex_lock(&rs->lock);
    for (size_t i = 0; i < r->n_lora; i++) use[i] = (hearth_lora_use){r->lora[i].lora, r->scale[i]};
    pthread_mutex_unlock(&rs->lock);
    return r->n_lora;
}

const char *resident_lora_file(const residents *rs, const resident *r, size_t i) {
    return hub_lora_file(&r->recipe, rs->o.lora, i);
}

void residents_lora_scale(residents *rs, resident *r, const float *scale) {
    pthread_mutex_lock(&rs->lock);
    memcpy(r->scale, scale, r->n_lora * sizeof *scale);
    pthread_mutex_unlock(&rs->lock);
}

static uint64_t memory_of(const resident *r) {
    hearth_model_info own, draft = {0};
    hearth_lora_info lora;
    hearth_model_info_get(r->model, &own);
    if (r->draft) hearth_model_info_get(r->draft, &draft);
    uint64_t bytes = own.weight_bytes + draft.weight_bytes;
    for (size_t i = 0; i < r->n_lora; i++) {
        hearth_lora_info_get(r->lora[i].lora, &lora);
        bytes += lora.memory_bytes;
    }
    return bytes;
}

static void row_fill(const resident *r, resident_row *row) {
    struct stat st;
    hub_model m;
    snprintf(row->name, sizeof row->name, "%s", r->name);
    snprintf(row->path, sizeof row->path, "%s", r->path);
    row->loaded = r->engine && !r->leaving;
    row->coming = r->coming;
    row->n_users = r->n_users;
    row->stored = r->stored;
    row->id = r->id;
    if (!hub_find(&m, r->path, NULL)) return;
    bool here = stat(m.data ? "/proc/self/exe" : r->path, &st) == 0;
    if (here) row->modified_s = (int64_t)st.st_mtime;
    row->file_bytes = r->stored ? r->bytes : m.data ? m.n : here ? (uint64_t)st.st_size : 0;
    if (r->stored) row->modified_s = r->modified_s;
    if (!row->loaded) return;
    hearth_model_info_get(r->model, &row->info);
    if (!r->stored) row->file_bytes = row->info.file_bytes;
    row->info.arch = row->info.name = NULL;
    row->n_ctx = hearth_engine_ctx(r->engine);
    row->memory_bytes = memory_of(r);
    double idle = r->n_users > 0 ? 0 : clock_now_s() - r->idle_since_s;
    row->expires_s = r->keep_alive_s < 0
                         ? -1
                         : clock_unix_s() + (int64_t)((double)r->keep_alive_s - idle);
}

bool residents_list(residents *rs, resident_row **rows, size_t *n, err *e) {
    residents_refresh(rs);
    pthread_mutex_lock(&rs->lock);
    folder_scan(rs);
    *n = 0;
    *rows = calloc(rs->n + 1, sizeof **rows);
    for (size_t i = 0; *rows && i < rs->n; i++)
        if (!rs->entry[i]->gone) row_fill(rs->entry[i], &(*rows)[(*n)++]);
    pthread_mutex_unlock(&rs->lock);
    return *rows || err_set(e, ERR_NO_FIT, "out of memory");
}

void residents_stats(residents *rs, void (*each)(void *ud, const char *name, const hearth_stats *s),
                     void *ud) {
    pthread_mutex_lock(&rs->lock);
    for (size_t i = 0; i < rs->n; i++) {
        hearth_stats s;
        if (!rs->entry[i]->engine || rs->entry[i]->leaving) continue;
        hearth_engine_stats(rs->entry[i]->engine, &s);
        each(ud, rs->entry[i]->name, &s);
    }
    pthread_mutex_unlock(&rs->lock);
}

/* ---- beginning and end ---- */

residents *residents_new(const residents_options *o, err *e) {
    residents *rs = calloc(1, sizeof *rs);
    if (!rs) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    rs->o = *o;
    pthread_mutex_init(&rs->lock, NULL);
    clock_cond_init(&rs->wake);
    pthread_cond_init(&rs->done, NULL);
    if (o->folder) rs->folder = strdup(o->folder);
    if (names_init(rs, e)) {
        rs->started = pthread_create(&rs->thread, NULL, thread_main, rs) == 0;
        if (rs->started) return rs;
        err_set(e, ERR_NO_FIT, "cannot start a thread");
    }
    residents_free(rs);
    return NULL;
}

void residents_free(residents *rs) {
    if (!rs) return;
    pthread_mutex_lock(&rs->lock);
    rs->stop = true;
    pthread_cond_signal(&rs->wake);
    pthread_mutex_unlock(&rs->lock);
    if (rs->started) pthread_join(rs->thread, NULL);
    for (size_t i = 0; i < rs->n; i++) {
        resident *r = rs->entry[i];
        hearth_engine_free(r->engine);
        hub_loras_close(r->lora, r->lora ? r->n_lora : 0);
        hearth_model_close(r->model);
        hearth_model_close(r->draft);
        hub_recipe_deinit(&r->recipe);
        free(r->scale);
        free(r->name);
        free(r->path);
        free(r);
    }
    hearth_model_close(rs->o.engine.draft);
    free(rs->entry);
    free(rs->folder);
    pthread_cond_destroy(&rs->done);
    pthread_cond_destroy(&rs->wake);
    pthread_mutex_destroy(&rs->lock);
    free(rs);
}
