/* Counting what a model needs, and reading heads from afar. */
#include "hub/fit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hub/pull_private.h"
#include "hub/recipe.h"
#include "model/cost.h"
#include "model/memory.h"

#define STEP_ROWS 512
#define HEAD_FIRST ((uint64_t)1 << 20)
#define HEAD_MAX ((uint64_t)128 << 20) /* vocabularies and templates reach some 20 MB */

/* ---- counting ---- */

static uint64_t number(const gguf *g, const char *arch, const char *what) {
    char key[128];
    uint64_t v = 0;
    snprintf(key, sizeof key, "%s.%s", arch, what);
    return gguf_get_u64(g, key, &v) ? v : 0;
}

/* Activations of a step: what its widest places take, some of them at the same time. */
static uint64_t work_bytes(const gguf *g, const char *arch) {
    uint64_t embd = number(g, arch, "embedding_length"),
             ff = number(g, arch, "feed_forward_length"), vocab = 0;
    const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens) vocab = tokens->n;
    if (embd > LIMIT_EMBD) embd = LIMIT_EMBD;
    if (ff > LIMIT_FF) ff = LIMIT_FF;
    return ((uint64_t)64 << 20) + STEP_ROWS * 4 * (8 * embd + 3 * ff) + 16 * 4 * vocab;
}

static uint64_t kv_bytes(const model_cost *c, int32_t n) {
    double b = model_cost_kv_bytes(c, n) + c->nextn_bytes * n;
    return b < 1e18 ? (uint64_t)b : UINT64_MAX / 4;
}

/* With keys and values for n tokens. */
static uint64_t draft_bytes(const hub_fit_beside *b, int32_t n) {
    model_cost c;
    if (!b || !b->draft) return b ? b->draft_bytes : 0;
    uint64_t weights = gguf_file_bytes(b->draft);
    return model_cost_of(b->draft, KERN_KV_F16, &c, NULL) ? weights + kv_bytes(&c, n) : weights;
}

bool hub_fit_beside_of(hub_fit_beside *b, const char *name, err *e) {
    hub_recipe r;
    struct stat st;
    *b = (hub_fit_beside){0};
    if (!hub_recipe_of(&r, name, e)) return false;
    if (r.draft) b->draft = gguf_open(r.draft, NULL);
    for (size_t i = 0; i < r.n_adapter; i++)
        if (stat(r.adapter[i], &st) == 0) b->adapter_bytes += (uint64_t)st.st_size;
    hub_recipe_deinit(&r);
    return true;
}

uint64_t hub_fit_needs(const hub_fit *f) {
    return f->weight_bytes + f->kv_bytes + f->work_bytes + f->draft_bytes + f->adapter_bytes;
}

bool hub_fit_count(const gguf *g, const hub_fit_beside *beside, int32_t ctx, hub_fit *out, err *e) {
    model_cost c;
    str arch = {"", 0};
    char name[64];
    *out = (hub_fit){0};
    if (!model_cost_of(g, KERN_KV_F16, &c, e)) return false;
    gguf_get_str(g, "general.architecture", &arch);
    snprintf(name, sizeof name, "%.*s", (int)(arch.n < 60 ? arch.n : 60), arch.p);
    uint64_t train = number(g, name, "context_length");
    out->ctx_train = train > LIMIT_CONTEXT ? LIMIT_CONTEXT : (int32_t)train;
    if (ctx <= 0) ctx = out->ctx_train > 0 && out->ctx_train < 8192 ? out->ctx_train : 8192;
    out->ctx = ctx;
    out->weight_bytes = gguf_file_bytes(g);
    out->kv_bytes = kv_bytes(&c, ctx);
    out->work_bytes = work_bytes(g, name);
    out->draft_bytes = draft_bytes(beside, ctx);
    out->adapter_bytes = beside ? beside->adapter_bytes : 0;
    out->have_bytes = memory_available();
    uint64_t fixed = out->weight_bytes + out->work_bytes + out->adapter_bytes;
    out->fits = hub_fit_needs(out) <= out->have_bytes;
    int32_t low = 0, high = out->ctx_train > 0 ? out->ctx_train : ctx;
    while (low < high) { /* the longest context that fits */
        int32_t middle = low + (high - low + 1) / 2;
        if (fixed + kv_bytes(&c, middle) + draft_bytes(beside, middle) <= out->have_bytes)
            low = middle;
        else high = middle - 1;
    }
    out->ctx_fits = low;
    out->token_bytes = c.weight_bytes;
    out->token_bytes_full = c.weight_bytes + (double)out->kv_bytes;
    return true;
}

/* ---- heads from afar ---- */

static void head_path(const hub_fit_file *f, size_t i, char dst[160]) {
    if (f->n_parts > 1)
        snprintf(dst, 160, "%s/head-%05zu-of-%05zu.gguf", f->folder, i + 1, f->n_parts);
    else snprintf(dst, 160, "%s/head.gguf", f->folder);
}

void hub_fit_close(hub_fit_file *f) {
    char path[160];
    gguf_close(f->g);
    for (size_t i = 0; f->folder[0] && i < f->n_parts; i++) {
        head_path(f, i, path);
        unlink(path);
    }
    if (f->folder[0]) rmdir(f->folder);
    free(f->list);
    *f = (hub_fit_file){0};
}

typedef struct head_write {
    int fd;
    uint64_t at;
} head_write;

static bool on_body(void *ud, const char *p, size_t n) {
    head_write *h = ud;
    if (pwrite(h->fd, p, n, (off_t)h->at) != (ssize_t)n) return false;
    h->at += n;
    return true;
}

/* Bytes [from, to) of an item into its file, which has the whole one's length then. */
static bool read_piece(hub_errand *p, hub_errand_item *x, hub_wire *w, int fd, uint64_t from,
                       uint64_t to, err *e) {
    head_write h = {.fd = fd, .at = from};
    http_answer a;
    for (int i = 0;; i++) {
        http_ask q = {.url = x->address,
                      .authorization = p->secret[0] ? p->secret : NULL,
                      .ranged = true,
                      .first = from,
                      .last = to - 1,
                      .max_bytes = to - from,
                      .on_body = on_body,
                      .ud = &h};
        h.at = from;
        bool ok = http_client_fetch(w->client, &q, &a, e);
        bool more = i < w->o.retries && hub_wire_passing(&a);
        if (ok && a.status == 401 && p->is_registry && i == 0) {
            const char *challenge = http_answer_header(&a, "www-authenticate");
            more = hub_registry_renew(&p->registry, challenge, p->secret, e);
            if (!more) ok = false;
        } else if (ok && a.status != 206) {
            ok = a.status < 300 ? err_set(e, ERR_FAILED,
                                          "%s: the server gives no ranges: its head cannot be "
                                          "read alone",
                                          x->what)
                                : hub_wire_denied(&a, x->what, p->advice, e);
        } else if (ok) {
            if (a.has_total) x->size = a.range_total;
            more = false;
        }
        http_answer_deinit(&a);
        if (!more || hub_wire_stopped(w)) return ok;
    }
}

static bool read_head(hub_errand *p, hub_errand_item *x, hub_wire *w, const char *path,
                      uint64_t bytes, err *e) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0) close(fd);
        return err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    }
    uint64_t to = x->size && bytes > x->size ? x->size : bytes;
    bool ok = read_piece(p, x, w, fd, 0, to, e);
    if (ok && x->size < to) ok = err_set(e, ERR_DAMAGED, "%s: its size is not known", x->what);
    ok = ok && (ftruncate(fd, (off_t)x->size) == 0 ||
                err_set(e, ERR_NO_FIT, "%s: %s", path, strerror(errno)));
    close(fd);
    return ok;
}

/* The weights among what is to be fetched. */
static bool is_weights(const hub_errand *p, const hub_errand_item *x) {
    return !p->is_registry || strcmp(x->what, "model") == 0;
}

static bool read_heads(hub_fit_file *f, hub_errand *p, hub_wire *w, uint64_t bytes, err *e) {
    char path[160];
    size_t k = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (!is_weights(p, &p->item[i])) continue;
        head_path(f, k++, path);
        if (!read_head(p, &p->item[i], w, path, bytes, e)) return false;
    }
    head_path(f, 0, path);
    f->g = gguf_open(path, e);
    return f->g != NULL;
}

static bool list_variants(hub_fit_file *f, const hub_errand *p, err *e) {
    hub_variant *v = NULL;
    size_t n = 0;
    if (p->repo.n == 0) return true;
    if (!hub_repo_variants(&p->repo, &v, &n, e)) return false;
    f->list = calloc(n + 1, sizeof *f->list);
    for (size_t i = 0; f->list && i < n; i++) {
        str name = v[i].quant.n ? v[i].quant : v[i].name;
        hub_fit_variant *x = &f->list[f->n++];
        snprintf(x->name, sizeof x->name, "%.*s", (int)(name.n < 79 ? name.n : 79), name.p);
        x->bytes = v[i].bytes;
    }
    free(v);
    return f->list || err_set(e, ERR_NO_FIT, "out of memory");
}

void hub_fit_name(const hub_fit_file *f, const char *name, err *e) {
    char said[sizeof e->msg];
    const char *at = e && f->folder[0] ? strstr(e->msg, f->folder) : NULL;
    const char *end = at ? strstr(at, ".gguf") : NULL;
    if (!end) return;
    int n = snprintf(said, sizeof said, "%.*s%.200s%s", (int)(at - e->msg), e->msg, name, end + 5);
    if (n > 0) memcpy(e->msg, said, sizeof said);
}

bool hub_fit_open(hub_fit_file *f, hub_wire *w, const char *name, err *e) {
    hub_errand p;
    hub_pull_options o = {.wire = w->o};
    const char *tmp = getenv("TMPDIR");
    *f = (hub_fit_file){0};
    bool ok = hub_errand_make(&p, w, name, &o, e) && list_variants(f, &p, e);
    for (size_t i = 0; ok && i < p.n; i++)
        if (is_weights(&p, &p.item[i])) f->n_parts++;
    if (ok) {
        int k = snprintf(f->folder, sizeof f->folder, "%s/hearth-head-XXXXXX",
                         tmp && *tmp && strlen(tmp) < 40 ? tmp : "/tmp");
        ok = k > 0 && mkdtemp(f->folder);
        if (!ok) {
            err_set(e, ERR_FAILED, "%s: %s", f->folder, strerror(errno));
            f->folder[0] = 0;
        }
    }
    for (uint64_t bytes = HEAD_FIRST; ok; bytes *= 4) { /* until the head is whole */
        err why = {0};
        ok = read_heads(f, &p, w, bytes, &why);
        if (ok) break;
        ok = why.code == ERR_DAMAGED && bytes < HEAD_MAX && !hub_wire_stopped(w);
        if (!ok && e) *e = why;
    }
    for (size_t i = 0; i < p.n; i++) {
        f->bytes += p.item[i].size;
        if (strcmp(p.item[i].what, "draft") == 0) f->beside.draft_bytes += p.item[i].size;
        if (strcmp(p.item[i].what, "adapter") == 0) f->beside.adapter_bytes += p.item[i].size;
    }
    hub_errand_deinit(&p);
    if (!ok) hub_fit_name(f, name, e);
    return ok;
}
