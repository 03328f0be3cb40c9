/* Files of pages, and the thread that writes them; see disk.h. */
#include "engine/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#define MAGIC "HEARTHKV"
#define VERSION 2
#define KEY_BYTES 32
#define LENT_MOST 16 /* sequences that wait to be written */
#define SLOTS_FIRST 256

/* What is known of a file: an entry of a table by its id. */
typedef struct entry {
    uint8_t id[DISK_ID];
    uint64_t bytes, used; /* used: larger is later */
    bool there;           /* else the place is empty */
} entry;

typedef struct loan {
    struct loan *next;
    kv_seq *s;
    char *owner;
    int32_t *tokens, n; /* n: full pages */
} loan;

struct disk {
    disk_options o;
    char *folder;
    uint8_t key[KEY_BYTES], root[DISK_ID];
    uint64_t payload;
    pthread_t thread;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t work, rest;
    entry *slot; /* [n_slots], open addressing */
    size_t n_slots, n_entries;
    uint64_t bytes, clock;
    loan *lent, *writing, *written;
    int n_lent;
    bool stop, hurry; /* hurry: the one being written is wanted back */
};

/* ---- header ---- */

static void put(uint8_t **at, uint64_t v, int n) {
    for (int i = 0; i < n; i++) *(*at)++ = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t **at, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t) * (*at)++ << (8 * i);
    return v;
}

void disk_header_write(const disk_header *h, uint8_t bytes[DISK_HEADER]) {
    uint8_t *at = bytes;
    memset(bytes, 0, DISK_HEADER);
    memcpy(at, MAGIC, 8);
    at += 8;
    put(&at, VERSION, 4);
    put(&at, h->n_groups, 4);
    for (int g = 0; g < MODEL_MAX_KV_GROUPS; g++) put(&at, h->page_bytes[g], 8);
    put(&at, h->payload, 8);
    memcpy(at, h->nonce, sizeof h->nonce);
    memcpy(at + sizeof h->nonce, h->id, DISK_ID);
}

bool disk_header_read(disk_header *h, const uint8_t *bytes, size_t n, uint64_t file_bytes, err *e) {
    if (n < DISK_HEADER || memcmp(bytes, MAGIC, 8) != 0)
        return err_set(e, ERR_DAMAGED, "it is no page of Hearth's");
    const uint8_t *at = bytes + 8;
    uint64_t version = get(&at, 4), sum = 0;
    if (version != VERSION)
        return err_set(e, ERR_DAMAGED, "it is of version %llu, not %d", (unsigned long long)version,
                       VERSION);
    h->n_groups = (uint32_t)get(&at, 4);
    if (h->n_groups > MODEL_MAX_KV_GROUPS)
        return err_set(e, ERR_DAMAGED, "it has %u groups; at most %d are known", h->n_groups,
                       MODEL_MAX_KV_GROUPS);
    for (uint32_t g = 0; g < MODEL_MAX_KV_GROUPS; g++) {
        h->page_bytes[g] = get(&at, 8);
        if (h->page_bytes[g] > file_bytes || (g >= h->n_groups && h->page_bytes[g]))
            return err_set(e, ERR_DAMAGED, "group %u has %llu bytes", g,
                           (unsigned long long)h->page_bytes[g]);
        sum += h->page_bytes[g]; /* of at most four file sizes: no overflow below 2^62 */
    }
    h->payload = get(&at, 8);
    if (file_bytes > (uint64_t)1 << 61 || h->payload != sum ||
        file_bytes != DISK_HEADER + sum + DISK_CODE)
        return err_set(e, ERR_DAMAGED, "it has %llu bytes; its header says %llu",
                       (unsigned long long)file_bytes,
                       (unsigned long long)(DISK_HEADER + h->payload + DISK_CODE));
    memcpy(h->nonce, at, sizeof h->nonce);
    memcpy(h->id, at + sizeof h->nonce, DISK_ID);
    return true;
}

/* ---- names ---- */

static void hash(const disk *d, uint8_t out[DISK_ID], const void *a, size_t n_a, const void *b,
                 size_t n_b) {
    crypto_generichash_state s;
    crypto_generichash_init(&s, d->key, sizeof d->key, DISK_ID);
    crypto_generichash_update(&s, a, n_a);
    crypto_generichash_update(&s, b, n_b);
    crypto_generichash_final(&s, out, DISK_ID);
}

void disk_first(const disk *d, const char *owner, disk_page *p) {
    hash(d, p->id, d->root, sizeof d->root, owner, strlen(owner));
}

void disk_next(const disk *d, disk_page *p, const int32_t *tokens) {
    uint8_t before[DISK_ID];
    memcpy(before, p->id, sizeof before);
    hash(d, p->id, before, sizeof before, tokens, KV_PAGE * sizeof *tokens);
}

static void path_of(const disk *d, const uint8_t *id, char *path, size_t cap) {
    char hex[2 * DISK_ID + 1];
    sodium_bin2hex(hex, sizeof hex, id, DISK_ID);
    snprintf(path, cap, "%s/%s.page", d->folder, hex);
}

/* ---- the table; with the lock held ---- */

static entry *find(const disk *d, const uint8_t *id) {
    uint64_t h;
    memcpy(&h, id, sizeof h);
    for (size_t i = h & (d->n_slots - 1);; i = (i + 1) & (d->n_slots - 1))
        if (!d->slot[i].there || memcmp(d->slot[i].id, id, DISK_ID) == 0) return &d->slot[i];
}

static bool grow(disk *d) {
    size_t old_n = d->n_slots;
    entry *old = d->slot;
    if (2 * (d->n_entries + 1) <= old_n) return true;
    d->n_slots = old_n ? 2 * old_n : SLOTS_FIRST;
    d->slot = calloc(d->n_slots, sizeof *d->slot);
    if (!d->slot) {
        d->slot = old;
        d->n_slots = old_n;
        return false;
    }
    for (size_t i = 0; i < old_n; i++)
        if (old[i].there) *find(d, old[i].id) = old[i];
    free(old);
    return true;
}

static void add(disk *d, const uint8_t *id, uint64_t bytes, uint64_t used) {
    if (!grow(d)) return;
    entry *x = find(d, id);
    if (x->there) return;
    *x = (entry){.bytes = bytes, .used = used, .there = true};
    memcpy(x->id, id, DISK_ID);
    d->bytes += bytes;
    d->n_entries++;
}

/* Those behind it in the same run are put in anew, so that they are found. */
static void drop(disk *d, entry *x) {
    d->bytes -= x->bytes;
    d->n_entries--;
    x->there = false;
    for (size_t i = (size_t)(x - d->slot + 1) & (d->n_slots - 1); d->slot[i].there;
         i = (i + 1) & (d->n_slots - 1)) {
        entry moved = d->slot[i];
        d->slot[i].there = false;
        *find(d, moved.id) = moved;
    }
}

static void make_room(disk *d, uint64_t bytes) {
    while (d->n_entries > 0 && d->bytes + bytes > d->o.max_bytes) {
        entry *oldest = NULL;
        for (size_t i = 0; i < d->n_slots; i++)
            if (d->slot[i].there && (!oldest || d->slot[i].used < oldest->used))
                oldest = &d->slot[i];
        char path[4200];
        path_of(d, oldest->id, path, sizeof path);
        unlink(path);
        drop(d, oldest);
    }
}

bool disk_has(disk *d, const disk_page *p) {
    pthread_mutex_lock(&d->lock);
    bool there = find(d, p->id)->there;
    pthread_mutex_unlock(&d->lock);
    return there;
}

/* ---- codes ---- */

static void code_begin(const disk *d, crypto_onetimeauth_state *s, const uint8_t *header) {
    uint8_t key[crypto_onetimeauth_KEYBYTES]; /* for this file alone: the header has a nonce */
    crypto_generichash(key, sizeof key, header, DISK_HEADER, d->key, sizeof d->key);
    crypto_onetimeauth_init(s, key);
    crypto_onetimeauth_update(s, header, DISK_HEADER);
    sodium_memzero(key, sizeof key);
}

/* ---- reading ---- */

static bool read_all(int fd, void *p, size_t n) {
    for (char *at = p; n > 0;) {
        ssize_t got = read(fd, at, n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool page_read(const disk *d, int fd, const disk_page *p, void *const *pages, err *e) {
    uint8_t bytes[DISK_HEADER], code[DISK_CODE], wanted[DISK_CODE];
    struct stat st;
    disk_header h;
    crypto_onetimeauth_state s;
    if (fstat(fd, &st) != 0 || !read_all(fd, bytes, sizeof bytes))
        return err_set(e, ERR_DAMAGED, "it is cut short");
    if (!disk_header_read(&h, bytes, sizeof bytes, (uint64_t)st.st_size, e)) return false;
    bool same = h.n_groups == (uint32_t)d->o.n_groups && memcmp(h.id, p->id, DISK_ID) == 0;
    for (int g = 0; same && g < d->o.n_groups; g++) same = h.page_bytes[g] == d->o.page_bytes[g];
    if (!same) return err_set(e, ERR_DAMAGED, "it is another page than its name says");
    code_begin(d, &s, bytes);
    for (int g = 0; g < d->o.n_groups; g++) {
        if (!read_all(fd, pages[g], d->o.page_bytes[g]))
            return err_set(e, ERR_DAMAGED, "it is cut short");
        crypto_onetimeauth_update(&s, pages[g], d->o.page_bytes[g]);
    }
    crypto_onetimeauth_final(&s, wanted);
    if (!read_all(fd, code, sizeof code) || sodium_memcmp(code, wanted, sizeof code) != 0)
        return err_set(e, ERR_DAMAGED, "its bytes are not those that were written");
    return true;
}

bool disk_read(disk *d, const disk_page *p, void *const *pages) {
    char path[4200];
    err e = {0};
    if (!disk_has(d, p)) return false;
    path_of(d, p->id, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && page_read(d, fd, p, pages, &e);
    if (ok) futimens(fd, NULL); /* used now: a restart knows it from the time */
    if (fd >= 0) close(fd);
    if (!ok && fd >= 0) {
        log_once("disk-page", "%s: %s: removed, and computed again", path, e.msg);
        unlink(path);
    }
    pthread_mutex_lock(&d->lock);
    entry *x = find(d, p->id);
    if (x->there && ok) x->used = ++d->clock;
    else if (x->there) drop(d, x);
    pthread_mutex_unlock(&d->lock);
    return ok;
}

/* ---- writing ---- */

static bool page_write(disk *d, const disk_page *p, const kv_seq *s, int32_t block, err *e) {
    char path[4200];
    uint8_t bytes[DISK_HEADER], code[DISK_CODE];
    disk_header h = {.n_groups = (uint32_t)d->o.n_groups, .payload = d->payload};
    crypto_onetimeauth_state c;
    memcpy(h.id, p->id, DISK_ID);
    for (int g = 0; g < d->o.n_groups; g++) h.page_bytes[g] = d->o.page_bytes[g];
    randombytes_buf(h.nonce, sizeof h.nonce);
    disk_header_write(&h, bytes);
    path_of(d, p->id, path, sizeof path);
    file_new *f = file_new_open(path, 0600, e);
    bool ok = f && file_new_write(f, bytes, sizeof bytes, e);
    code_begin(d, &c, bytes);
    for (int g = 0; ok && g < d->o.n_groups; g++) {
        const void *page = kv_seq_pages(s, g)[block];
        crypto_onetimeauth_update(&c, page, d->o.page_bytes[g]);
        ok = file_new_write(f, page, d->o.page_bytes[g], e);
    }
    crypto_onetimeauth_final(&c, code);
    if (ok && file_new_write(f, code, sizeof code, e)) return file_new_commit(f, e);
    file_new_abort(f);
    return false;
}

static bool whole(const disk *d, const kv_seq *s, int32_t block) {
    for (int g = 0; g < d->o.n_groups; g++)
        if (!kv_seq_pages(s, g)[block]) return false;
    return true;
}

/* The thread, without the lock: it alone adds files. */
static void loan_write(disk *d, const loan *l) {
    uint64_t bytes = DISK_HEADER + d->payload + DISK_CODE;
    disk_page p;
    disk_first(d, l->owner, &p);
    for (int32_t b = 0; b < l->n && whole(d, l->s, b); b++) {
        err e = {0};
        disk_next(d, &p, l->tokens + (size_t)b * KV_PAGE);
        pthread_mutex_lock(&d->lock);
        bool there = find(d, p.id)->there, hurry = d->hurry;
        if (!there && !hurry) make_room(d, bytes);
        pthread_mutex_unlock(&d->lock);
        if (hurry || bytes > d->o.max_bytes) return;
        if (there) continue;
        if (!page_write(d, &p, l->s, b, &e)) {
            log_once("disk-write", "%s", e.msg);
            return;
        }
        pthread_mutex_lock(&d->lock);
        add(d, p.id, bytes, ++d->clock);
        pthread_mutex_unlock(&d->lock);
    }
}

static void *write_main(void *ud) {
    disk *d = ud;
    pthread_mutex_lock(&d->lock);
    for (;;) {
        while (!d->lent && !d->stop) pthread_cond_wait(&d->work, &d->lock);
        if (!d->lent) break;
        loan *l = d->lent;
        d->lent = l->next;
        d->writing = l;
        d->hurry = false;
        pthread_mutex_unlock(&d->lock);
        loan_write(d, l);
        pthread_mutex_lock(&d->lock);
        d->writing = NULL;
        l->next = d->written;
        d->written = l;
        pthread_cond_broadcast(&d->rest);
        pthread_mutex_unlock(&d->lock);
        d->o.idle(d->o.ud);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

bool disk_lend(disk *d, kv_seq *s, const char *owner, const int32_t *tokens, int32_t n) {
    loan *l = calloc(1, sizeof *l), **at;
    int32_t pages = kv_seq_filled(s) / KV_PAGE;
    if (n / KV_PAGE < pages) pages = n / KV_PAGE;
    bool ok = l && (l->owner = strdup(owner)) && (l->tokens = malloc((size_t)n * sizeof *tokens));
    if (ok) {
        memcpy(l->tokens, tokens, (size_t)n * sizeof *tokens);
        l->s = s;
        l->n = pages;
        pthread_mutex_lock(&d->lock);
        ok = d->n_lent < LENT_MOST;
        if (ok) {
            d->n_lent++;
            for (at = &d->lent; *at; at = &(*at)->next) continue;
            *at = l;
            pthread_cond_signal(&d->work);
        }
        pthread_mutex_unlock(&d->lock);
    }
    if (ok) return true;
    if (l) {
        free(l->owner);
        free(l->tokens);
    }
    free(l);
    return false;
}

kv_seq *disk_take(disk *d, int32_t **tokens, bool now) {
    pthread_mutex_lock(&d->lock);
    loan **from = d->written ? &d->written : now && d->lent ? &d->lent : NULL;
    while (!from && now && d->writing) {
        d->hurry = true;
        pthread_cond_wait(&d->rest, &d->lock);
        if (d->written) from = &d->written;
    }
    loan *l = from ? *from : NULL;
    if (l) {
        *from = l->next;
        d->n_lent--;
    }
    pthread_mutex_unlock(&d->lock);
    if (!l) return NULL;
    kv_seq *s = l->s;
    *tokens = l->tokens;
    free(l->owner);
    free(l);
    return s;
}

void disk_flush(disk *d) {
    pthread_mutex_lock(&d->lock);
    while (d->lent || d->writing) pthread_cond_wait(&d->rest, &d->lock);
    pthread_mutex_unlock(&d->lock);
}

/* ---- opening ---- */

typedef struct found {
    entry x;
    struct timespec at;
} found;

static int by_time(const void *a, const void *b) {
    const struct timespec *x = &((const found *)a)->at, *y = &((const found *)b)->at;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* The name of a page's file, and what is known without opening it. */
static bool entry_read(int dir, const char *name, found *f) {
    struct stat st;
    const char *end;
    size_t n;
    if (strlen(name) != 2 * DISK_ID + 5 || strcmp(name + 2 * DISK_ID, ".page") != 0) return false;
    if (sodium_hex2bin(f->x.id, DISK_ID, name, 2 * DISK_ID, NULL, &n, &end) != 0 || n != DISK_ID)
        return false;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return false;
    f->x.bytes = (uint64_t)st.st_size;
    f->at = st.st_mtim;
    return true;
}

static bool files_find(disk *d, err *e) {
    DIR *dir = opendir(d->folder);
    found *all = NULL;
    size_t n = 0, cap = 0;
    if (!dir) return err_set(e, ERR_DENIED, "%s: %s", d->folder, strerror(errno));
    for (struct dirent *x; (x = readdir(dir));) {
        if (n == cap) {
            found *more = realloc(all, (cap + 1024) * sizeof *all);
            if (!more) break;
            all = more;
            cap += 1024;
        }
        n += entry_read(dirfd(dir), x->d_name, &all[n]);
    }
    closedir(dir);
    if (n) qsort(all, n, sizeof *all, by_time);
    for (size_t i = 0; i < n; i++) add(d, all[i].x.id, all[i].x.bytes, ++d->clock);
    free(all);
    make_room(d, 0);
    return true;
}

/* The folder's key, made on first use. */
static bool key_get(disk *d, err *e) {
    char path[4200];
    buf b;
    err missing = {0};
    snprintf(path, sizeof path, "%s/key", d->folder);
    buf_init(&b, 4096);
    bool ok = file_read(&b, path, &missing);
    if (!ok && missing.code == ERR_NOT_FOUND) {
        randombytes_buf(d->key, sizeof d->key);
        buf_deinit(&b);
        return file_replace(path, d->key, sizeof d->key, 0600, e);
    }
    if (!ok && e) *e = missing;
    if (ok && b.len != sizeof d->key)
        ok = err_set(e, ERR_DAMAGED, "%s has %zu bytes, not %zu: remove it and the pages beside it",
                     path, b.len, sizeof d->key);
    if (ok) memcpy(d->key, b.data, sizeof d->key);
    buf_deinit(&b);
    return ok;
}

disk *disk_open(const disk_options *o, err *e) {
    disk *d = calloc(1, sizeof *d);
    if (!d || !(d->folder = strdup(o->folder)) || sodium_init() < 0) {
        err_set(e, ERR_FAILED, "out of memory");
        free(d);
        return NULL;
    }
    d->o = *o;
    for (int g = 0; g < o->n_groups; g++) d->payload += o->page_bytes[g];
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->work, NULL);
    pthread_cond_init(&d->rest, NULL);
    bool ok = file_make_dirs(d->folder, 0700, e) && key_get(d, e);
    if (ok && !grow(d)) ok = err_set(e, ERR_FAILED, "out of memory");
    if (ok) {
        char format[64];
        int n = snprintf(format, sizeof format, MAGIC " %d %d %llu ", VERSION, o->n_groups,
                         (unsigned long long)d->payload);
        hash(d, d->root, format, (size_t)n, o->model, strlen(o->model));
        ok = files_find(d, e);
    }
    if (ok && pthread_create(&d->thread, NULL, write_main, d) != 0)
        ok = err_set(e, ERR_FAILED, "cannot start a thread");
    if (ok) return d;
    free(d->slot);
    free(d->folder);
    free(d);
    return NULL;
}

void disk_close(disk *d) {
    if (!d) return;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->work);
    pthread_cond_destroy(&d->rest);
    pthread_mutex_destroy(&d->lock);
    sodium_memzero(d->key, sizeof d->key);
    free(d->slot);
    free(d->folder);
    free(d);
}
