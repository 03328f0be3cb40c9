#include "hub/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/clock.h"
#include "base/limits.h"
#include "hub/split.h"
#include "hub/store_private.h"

/* ---- what is needed ---- */

static bool refs_add(hub_refs *r, const hub_digest *d) {
    if (!d->hex[0]) return true;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        hub_digest *more = realloc(r->d, cap * sizeof *more);
        if (!more) return false;
        r->d = more;
        r->cap = cap;
    }
    r->d[r->n++] = *d;
    return true;
}

static int by_hex(const void *a, const void *b) {
    return memcmp(a, b, sizeof(hub_digest));
}

static bool refs_add_manifest(hub_refs *r, const hub_manifest *m, err *e) {
    bool ok = refs_add(r, &m->config.digest);
    for (size_t i = 0; ok && i < m->n; i++) ok = refs_add(r, &m->layer[i].digest);
    return ok || err_set(e, ERR_NO_FIT, "out of memory");
}

static bool refs_area(hub_refs *r, const hub_store *s, hub_area area, const hub_name *but, err *e) {
    hub_name *list;
    size_t n;
    bool ok = hub_store_names(s, area, &list, &n, e);
    if (!ok) return false;
    for (size_t i = 0; ok && i < n; i++) {
        hub_manifest m;
        if (but && hub_name_eq(but, &list[i])) continue;
        ok = hub_store_manifest(s, area, &list[i], &m, e);
        if (!ok) continue;
        ok = refs_add_manifest(r, &m, e);
        hub_manifest_deinit(&m);
    }
    free(list);
    return ok;
}

void hub_refs_deinit(hub_refs *r) {
    free(r->d);
    *r = (hub_refs){0};
}

/* All but what this model needs, when `but` is given. */
static bool refs_collect(hub_refs *r, const hub_store *s, const hub_name *but, bool pending,
                         err *e) {
    *r = (hub_refs){0};
    bool ok = refs_area(r, s, HUB_READY, but, e) && refs_area(r, s, HUB_PREVIOUS, but, e) &&
              (!pending || refs_area(r, s, HUB_PENDING, NULL, e));
    if (!ok) {
        hub_refs_deinit(r);
        return false;
    }
    if (r->n) qsort(r->d, r->n, sizeof *r->d, by_hex);
    return true;
}

bool hub_refs_collect(hub_refs *r, const hub_store *s, err *e) {
    return refs_collect(r, s, NULL, true, e) ||
           err_wrap(e, "nothing is removed (hearth verify --repair sets it aside)");
}

bool hub_refs_has(const hub_refs *r, const hub_digest *d) {
    return r->n && bsearch(d, r->d, r->n, sizeof *r->d, by_hex);
}

/* ---- removing a model ---- */

static bool blob_remove(hub_store *s, const hub_digest *d, uint64_t *freed, err *e) {
    char path[HUB_BLOB_PATH_BYTES];
    uint64_t size;
    int fd = hub_store_blob(s, d, &size, NULL);
    if (fd < 0) return true;
    close(fd);
    if (!beneath_remove(s->root, hub_digest_path(d, path), e)) return false;
    *freed += size;
    return true;
}

bool hub_store_rm(hub_store *s, const hub_name *n, uint64_t *freed, err *e) {
    hub_manifest m = {0};
    hub_refs refs = {0};
    err why = {0};
    uint64_t bytes = 0;
    if (!hub_store_lock(s, e)) return false;
    bool there = hub_store_when(s, HUB_READY, n) > 0;
    bool readable = hub_store_manifest(s, HUB_READY, n, &m, &why);
    bool ok = there || (e ? (*e = why, false) : false);
    /* the name first: from here on nobody is told of it. Then its past, then its blobs */
    ok = ok && hub_store_remove(s, HUB_READY, n, e) && hub_store_remove(s, HUB_PREVIOUS, n, e) &&
         hub_store_remove(s, HUB_ORIGIN, n, e);
    /* where another manifest cannot be read, the blobs stay, for gc to say so */
    if (ok && readable && hub_refs_collect(&refs, s, NULL)) {
        if (!hub_refs_has(&refs, &m.config.digest))
            ok = blob_remove(s, &m.config.digest, &bytes, e);
        for (size_t i = 0; ok && i < m.n; i++)
            if (!hub_refs_has(&refs, &m.layer[i].digest))
                ok = blob_remove(s, &m.layer[i].digest, &bytes, e);
        hub_split_drop(s, &m);
    }
    hub_store_unlock(s);
    hub_refs_deinit(&refs);
    hub_manifest_deinit(&m);
    if (freed) *freed = bytes;
    return ok;
}

bool hub_store_own_bytes(const hub_store *s, const hub_name *n, uint64_t *bytes, err *e) {
    hub_manifest m;
    hub_refs refs;
    *bytes = 0;
    if (!hub_store_manifest(s, HUB_READY, n, &m, e)) return false;
    bool ok = refs_collect(&refs, s, n, true, e);
    for (size_t i = 0; ok && i < m.n; i++)
        if (!hub_refs_has(&refs, &m.layer[i].digest)) *bytes += m.layer[i].size;
    if (ok && !hub_refs_has(&refs, &m.config.digest)) *bytes += m.config.size;
    hub_refs_deinit(&refs);
    hub_manifest_deinit(&m);
    return ok;
}

/* ---- files of a folder ---- */

typedef struct file_row {
    char path[128];
    uint64_t bytes;    /* on disk for what may have holes, else the length */
    int64_t when;      /* unix */
    hub_digest digest; /* of a blob or part; empty: the name is none */
    bool journal;
} file_row;

typedef struct file_list {
    const hub_store *s;
    const char *folder;
    file_row *row;
    size_t n, cap;
    bool full;
} file_list;

static bool file_each(void *ud, const char *name) {
    file_list *l = ud;
    struct stat st;
    if (strlen(l->folder) + strlen(name) + 2 > sizeof l->row->path) return true;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        file_row *more = realloc(l->row, cap * sizeof *more);
        l->full = !more;
        if (!more) return false;
        l->row = more;
        l->cap = cap;
    }
    file_row *r = &l->row[l->n];
    *r = (file_row){0};
    snprintf(r->path, sizeof r->path, "%s/%s", l->folder, name);
    int fd = beneath_open_file(l->s->root, r->path, &st, NULL);
    if (fd < 0) return true;
    close(fd);
    str s = str_of(name);
    r->journal = str_ends(s, STR(".journal"));
    if (r->journal) s.n -= 8;
    hub_digest_parse(&r->digest, s, NULL);
    bool holes = strcmp(l->folder, "partial") == 0;
    r->bytes = holes ? (uint64_t)st.st_blocks * 512 : (uint64_t)st.st_size;
    r->when = (int64_t)st.st_mtime;
    l->n++;
    return true;
}

static bool files_of(file_list *l, const hub_store *s, const char *folder, err *e) {
    *l = (file_list){.s = s, .folder = folder};
    if (beneath_each(s->root, folder, file_each, l, e) &&
        (!l->full || err_set(e, ERR_NO_FIT, "out of memory")))
        return true;
    free(l->row);
    return false;
}

bool hub_store_usage(const hub_store *s, hub_usage *u, err *e) {
    file_list blobs = {0}, parts = {0}, tmp = {0};
    hub_refs refs = {0};
    *u = (hub_usage){0};
    bool ok = files_of(&blobs, s, "blobs", e) && files_of(&parts, s, "partial", e) &&
              files_of(&tmp, s, "tmp", e);
    /* an unreadable manifest is verify's to report: here its blobs count as unused */
    bool known = ok && refs_collect(&refs, s, NULL, true, NULL);
    for (size_t i = 0; ok && i < blobs.n; i++) {
        u->n_blobs++;
        u->blob_bytes += blobs.row[i].bytes;
        if (!known || hub_refs_has(&refs, &blobs.row[i].digest)) continue;
        u->n_unused++;
        u->unused_bytes += blobs.row[i].bytes;
    }
    for (size_t i = 0; ok && i < parts.n; i++) {
        u->n_partial += !parts.row[i].journal;
        u->partial_bytes += parts.row[i].bytes;
    }
    for (size_t i = 0; ok && i < tmp.n; i++) u->tmp_bytes += tmp.row[i].bytes;
    u->n_tmp = tmp.n;
    u->bytes = u->blob_bytes + u->partial_bytes + u->tmp_bytes;
    hub_refs_deinit(&refs);
    free(blobs.row);
    free(parts.row);
    free(tmp.row);
    return ok;
}

/* ---- gc ---- */

typedef struct gc {
    hub_store *s;
    const hub_gc_options *o;
    hub_gc_report *r;
    int64_t now;
} gc;

/* Whether some process has it open for writing: it holds the file's lock then. */
static bool in_use(const hub_store *s, const char *path) {
    int fd = beneath_open(s->root, path, O_RDONLY, 0);
    if (fd < 0) return false;
    bool used = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return used;
}

static bool gc_take(gc *g, const file_row *f, err *e) {
    if (g->o->each) g->o->each(g->o->ud, f->path, f->bytes);
    if (!g->o->dry_run && !beneath_remove(g->s->root, f->path, e)) return false;
    g->r->n++;
    g->r->bytes += f->bytes;
    return true;
}

static bool gc_blobs(gc *g, const hub_refs *refs, err *e) {
    file_list l;
    if (!files_of(&l, g->s, "blobs", e)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < l.n; i++) {
        const file_row *f = &l.row[i];
        bool needed = f->digest.hex[0] && hub_refs_has(refs, &f->digest);
        if (needed) continue;
        if (g->now - f->when >= g->o->min_age_s) ok = gc_take(g, f, e);
        else g->r->n_young++;
    }
    free(l.row);
    return ok;
}

/* What a killed process left. Parts are somebody's download: they go only when that is asked. */
static bool gc_leftovers(gc *g, const char *folder, err *e) {
    file_list l;
    bool tmp = strcmp(folder, "tmp") == 0, ok = true;
    if (!files_of(&l, g->s, folder, e)) return false;
    for (size_t i = 0; ok && i < l.n; i++) {
        const file_row *f = &l.row[i];
        char data[sizeof f->path];
        snprintf(data, sizeof data, "%s", f->path);
        if (f->journal) data[strlen(data) - 8] = 0;
        bool stray = !tmp && !f->digest.hex[0] && g->now - f->when >= HUB_YOUNG_S;
        if ((tmp || g->o->partial || stray) && !in_use(g->s, data)) ok = gc_take(g, f, e);
    }
    free(l.row);
    return ok;
}

/* Pending manifests keep what is half fetched; asked to, they go, but not under a running pull. */
static bool gc_pending(gc *g, err *e) {
    hub_name *list;
    size_t n;
    if (!g->o->partial) return true;
    if (!hub_store_names(g->s, HUB_PENDING, &list, &n, e)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        hub_manifest m;
        bool busy = false;
        if (hub_store_manifest(g->s, HUB_PENDING, &list[i], &m, NULL)) {
            for (size_t k = 0; k < m.n && !busy; k++) {
                char path[96];
                snprintf(path, sizeof path, "partial/sha256-%s", m.layer[k].digest.hex);
                busy = in_use(g->s, path);
            }
            hub_manifest_deinit(&m);
        }
        if (!busy && !g->o->dry_run) ok = hub_store_remove(g->s, HUB_PENDING, &list[i], e);
    }
    free(list);
    return ok;
}

bool hub_store_gc(hub_store *s, const hub_gc_options *o, hub_gc_report *r, err *e) {
    gc g = {.s = s, .o = o, .r = r, .now = clock_unix_s()};
    hub_refs refs = {0};
    *r = (hub_gc_report){0};
    if (!hub_store_lock(s, e)) return false;
    bool ok = gc_pending(&g, e) &&
              (o->partial && o->dry_run ? refs_collect(&refs, s, NULL, false, e)
                                        : hub_refs_collect(&refs, s, e)) &&
              gc_blobs(&g, &refs, e) && gc_leftovers(&g, "tmp", e) &&
              gc_leftovers(&g, "partial", e);
    if (ok && !o->dry_run) hub_split_sweep(s, g.now - HUB_YOUNG_S);
    hub_store_unlock(s);
    hub_refs_deinit(&refs);
    return ok;
}

/* ---- verify ---- */

typedef struct check {
    hub_store *s;
    const hub_verify_options *o;
    hub_verify_report *r;
    hub_refs good, bad; /* blobs that were looked at */
    uint64_t total, done;
} check;

static void check_fault(check *c, hub_fault f, const hub_name *n, const char *what) {
    hub_name none = {0};
    c->r->n_faults++;
    if (c->o->fault) c->o->fault(c->o->ud, f, n ? n : &none, what);
}

static bool check_go_on(void *ud, uint64_t done) {
    check *c = ud;
    return c->o->each && c->o->each(c->o->ud, c->done + done, c->total);
}

static bool refs_has_unsorted(const hub_refs *r, const hub_digest *d) {
    for (size_t i = 0; i < r->n; i++)
        if (hub_digest_eq(&r->d[i], d)) return true;
    return false;
}

/* size UINT64_MAX: not said by anybody. *whole: it is what its name says. */
static bool check_blob(check *c, const hub_digest *d, uint64_t size, const hub_name *n, bool *whole,
                       err *e) {
    char text[HUB_DIGEST_BYTES], path[HUB_BLOB_PATH_BYTES], what[200];
    uint64_t have = 0;
    hub_digest got;
    err why = {0};
    *whole = true;
    if (!d->hex[0] || refs_has_unsorted(&c->good, d)) return true;
    *whole = false;
    hub_digest_text(d, text);
    bool known_bad = refs_has_unsorted(&c->bad, d);
    int fd = known_bad ? -1 : hub_store_blob(c->s, d, &have, &why);
    hub_fault f = HUB_FAULT_BYTES;
    bool there = fd >= 0;
    if (!there) {
        f = HUB_FAULT_MISSING;
        snprintf(what, sizeof what, "%s is %s", text, known_bad ? "damaged" : "not there");
    } else if (size != UINT64_MAX && have != size) {
        f = HUB_FAULT_SIZE;
        snprintf(what, sizeof what, "%s has %llu bytes instead of %llu", text,
                 (unsigned long long)have, (unsigned long long)size);
    } else if (c->o->quick) {
        *whole = true;
    } else {
        bool ok = hub_digest_fd(&got, NULL, fd, text, check_go_on, c, &why);
        c->done += have;
        c->r->bytes += have;
        if (!ok && why.code == ERR_INTERRUPTED) {
            close(fd);
            if (e) *e = why;
            return false;
        }
        *whole = ok && hub_digest_eq(&got, d);
        snprintf(what, sizeof what, "%s: %.120s", text,
                 ok ? "its bytes are not those it was named for" : why.msg);
    }
    if (there) close(fd);
    c->r->n_blobs += there;
    if (!refs_add(*whole ? &c->good : &c->bad, d)) return err_set(e, ERR_NO_FIT, "out of memory");
    if (*whole) return true;
    check_fault(c, f, n, what);
    if (c->o->repair && there) {
        if (!beneath_remove(c->s->root, hub_digest_path(d, path), e)) return false;
        c->r->n_repaired++;
    }
    return true;
}

/* A model that lacks something is no longer one that is ready: it waits to be fetched again. */
static bool set_aside(check *c, const hub_name *n, bool readable, err *e) {
    bool ok = readable ? hub_store_set_aside(c->s, n, e) : hub_store_remove(c->s, HUB_READY, n, e);
    c->r->n_repaired += ok;
    return ok;
}

static bool check_model(check *c, const hub_name *n, err *e) {
    hub_manifest m;
    err why = {0};
    c->r->n_models++;
    if (!hub_store_manifest(c->s, HUB_READY, n, &m, &why)) {
        check_fault(c, HUB_FAULT_MANIFEST, n, why.msg);
        return !c->o->repair || set_aside(c, n, false, e);
    }
    bool whole, all = true;
    bool ok = check_blob(c, &m.config.digest, m.config.size, n, &whole, e);
    all = all && whole;
    for (size_t i = 0; ok && i < m.n; i++) {
        ok = check_blob(c, &m.layer[i].digest, m.layer[i].size, n, &whole, e);
        all = all && whole;
    }
    hub_manifest_deinit(&m);
    return ok && (all || !c->o->repair || set_aside(c, n, true, e));
}

/* Blobs that no model needs are hashed too: a model may be made of them. */
static bool check_rest(check *c, const file_list *blobs, err *e) {
    bool whole, ok = true;
    for (size_t i = 0; ok && i < blobs->n; i++)
        if (blobs->row[i].digest.hex[0] && !refs_has_unsorted(&c->bad, &blobs->row[i].digest))
            ok = check_blob(c, &blobs->row[i].digest, UINT64_MAX, NULL, &whole, e);
    return ok;
}

bool hub_store_verify(hub_store *s, const hub_verify_options *o, hub_verify_report *r, err *e) {
    check c = {.s = s, .o = o, .r = r};
    file_list blobs = {0};
    hub_name *list = NULL;
    size_t n = 0;
    *r = (hub_verify_report){0};
    bool ok = files_of(&blobs, s, "blobs", e);
    for (size_t i = 0; ok && i < blobs.n; i++) c.total += blobs.row[i].bytes;
    if (ok && o->one) {
        hub_manifest m;
        if (hub_store_manifest(s, HUB_READY, o->one, &m, NULL)) {
            c.total = m.bytes;
            hub_manifest_deinit(&m);
        }
        ok = check_model(&c, o->one, e);
    } else if (ok && (ok = hub_store_names(s, HUB_READY, &list, &n, e))) {
        for (size_t i = 0; ok && i < n; i++) ok = check_model(&c, &list[i], e);
        ok = ok && check_rest(&c, &blobs, e);
    }
    free(list);
    free(blobs.row);
    hub_refs_deinit(&c.good);
    hub_refs_deinit(&c.bad);
    return ok;
}
