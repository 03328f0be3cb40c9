/* Repositories of Hugging Face. */
#include "hub/face.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "net/url.h"

#define FILES_MAX 20000 /* of a repository; the largest that hold models have some hundreds */
#define PART_SUFFIX 15  /* "-00001-of-00003" */

void hub_repo_deinit(hub_repo *r) {
    for (size_t i = 0; i < r->n; i++) free(r->file[i].path);
    free(r->file);
    *r = (hub_repo){0};
}

/* ---- what there is ---- */

/* A path that stays within the repository, and that a person can be shown. */
static bool good_path(const char *p) {
    size_t n = strlen(p);
    if (n == 0 || n > 1024 || p[0] == '/') return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < ' ' || p[i] == 0x7f || p[i] == '\\') return false;
    for (const char *at = p; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (strcmp(at, "..") == 0 || strncmp(at, "../", 3) == 0 || *at == '/' || *at == 0)
            return false;
    return true;
}

static bool file_read_one(hub_repo_file *f, const json_t *o, err *e) {
    const char *path = json_string_value(json_object_get(o, "rfilename"));
    const json_t *lfs = json_object_get(o, "lfs"), *size = json_object_get(o, "size");
    const char *hex = json_string_value(json_object_get(lfs, "sha256"));
    if (json_is_object(lfs) && !json_is_integer(size)) size = json_object_get(lfs, "size");
    if (!path || !good_path(path)) return false;
    if (json_is_integer(size) && json_integer_value(size) < 0) return false;
    if (hex) {
        char text[80];
        snprintf(text, sizeof text, "sha256:%.65s", hex);
        if (!hub_digest_parse(&f->digest, str_of(text), e)) return false;
    }
    f->size = (uint64_t)json_integer_value(size);
    f->path = strdup(path);
    return f->path != NULL;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const hub_repo_file *)a)->path, ((const hub_repo_file *)b)->path);
}

static bool read_files(hub_repo *r, const json_t *list) {
    size_t i, n = json_array_size(list);
    const json_t *o;
    if (!json_is_array(list) || n > FILES_MAX) return false;
    r->file = calloc(n + 1, sizeof *r->file);
    if (!r->file) return false;
    json_array_foreach(list, i, o) {
        /* what has a strange name is no model's file */
        if (file_read_one(&r->file[r->n], o, NULL)) r->n++;
        else r->file[r->n] = (hub_repo_file){0};
    }
    qsort(r->file, r->n, sizeof *r->file, by_path);
    return true;
}

bool hub_repo_parse(hub_repo *r, str json, err *e) {
    *r = (hub_repo){0};
    json_t *o = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    const char *commit = json_string_value(json_object_get(o, "sha"));
    const char *license = json_string_value(
        json_object_get(json_object_get(o, "cardData"), "license"));
    const json_t *gated = json_object_get(o, "gated");
    bool ok = commit && strlen(commit) >= 7 && strlen(commit) < sizeof r->commit;
    for (const char *p = commit; ok && *p; p++) ok = isxdigit((unsigned char)*p) != 0;
    ok = ok && read_files(r, json_object_get(o, "siblings"));
    if (ok) {
        memcpy(r->commit, commit, strlen(commit) + 1);
        if (license) str_printable(str_of(license), r->license, sizeof r->license);
        r->gated = json_is_true(gated) || json_is_string(gated);
    } else {
        hub_repo_deinit(r);
        err_set(e, ERR_DAMAGED, "the list of the repository's files cannot be understood");
    }
    json_decref(o);
    return ok;
}

/* ---- which of it ---- */

static bool ends(str s, const char *end) {
    size_t n = strlen(end);
    return s.n >= n && strncasecmp(s.p + s.n - n, end, n) == 0;
}

static bool contains(str s, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= s.n; i++)
        if (strncasecmp(s.p + i, word, n) == 0) return true;
    return false;
}

/* "-00002-of-00003" before the end: which and how many; false: the file is not one of several. */
static bool part_of(str stem, int *which, int *of) {
    if (stem.n <= PART_SUFFIX) return false;
    const char *p = stem.p + stem.n - PART_SUFFIX;
    if (p[0] != '-' || memcmp(p + 6, "-of-", 4) != 0) return false;
    *which = *of = 0;
    for (int i = 0; i < 5; i++) {
        if (!isdigit((unsigned char)p[1 + i]) || !isdigit((unsigned char)p[10 + i])) return false;
        *which = 10 * *which + (p[1 + i] - '0');
        *of = 10 * *of + (p[10 + i] - '0');
    }
    return true;
}

/* The name of the model that the file is (a part of); n 0: of none. */
static str stem_of(const char *path, int *which, int *of) {
    str s = str_of(path);
    const char *slash = strrchr(path, '/');
    str base = str_of(slash ? slash + 1 : path);
    if (!ends(s, ".gguf") || contains(base, "mmproj") || contains(base, "imatrix"))
        return (str){"", 0};
    s.n -= 5;
    *which = *of = 1;
    if (part_of(s, which, of)) s.n -= PART_SUFFIX;
    return s;
}

/* The variant that begins with file i, if that is its first part and the others follow it. */
static bool variant_at(const hub_repo *r, size_t i, hub_variant *v) {
    int which, of;
    *v = (hub_variant){.name = stem_of(r->file[i].path, &which, &of)};
    if (v->name.n == 0 || which != 1 || of < 1 || of > LIMIT_GGUF_PARTS) return false;
    v->first = i;
    for (size_t k = 0; k < (size_t)of; k++) { /* parts are next to each other in order of paths */
        int w, o;
        if (i + k >= r->n) return false;
        const hub_repo_file *f = &r->file[i + k];
        if (!str_eq(stem_of(f->path, &w, &o), v->name) || w != (int)k + 1 || o != of ||
            f->size > UINT64_MAX / 2 - v->bytes)
            return false;
        v->n_parts++;
        v->bytes += f->size;
    }
    v->quant = hub_quant_of((str){r->file[i].path, strlen(r->file[i].path)});
    return true;
}

static int by_size(const void *a, const void *b) {
    const hub_variant *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

bool hub_repo_variants(const hub_repo *r, hub_variant **list, size_t *n, err *e) {
    size_t cap = 0;
    *list = NULL;
    *n = 0;
    hub_variant *v = malloc(sizeof *v);
    bool ok = v != NULL;
    for (size_t i = 0; ok && i < r->n; i++) {
        if (!variant_at(r, i, v)) continue;
        if (*n == cap) {
            cap = cap ? 2 * cap : 16;
            hub_variant *more = realloc(*list, cap * sizeof *more);
            if (!more) ok = false;
            else *list = more;
        }
        if (ok) (*list)[(*n)++] = *v;
    }
    free(v);
    if (ok && *n) qsort(*list, *n, sizeof **list, by_size);
    if (ok) return true;
    free(*list);
    *list = NULL;
    *n = 0;
    return err_set(e, ERR_NO_FIT, "out of memory");
}

static bool is_named(const hub_variant *v, const char *tag) {
    size_t n = strlen(tag);
    if (v->quant.n == n && strncasecmp(v->quant.p, tag, n) == 0) return true;
    if (!ends(v->name, tag)) return false;
    char before = v->name.n > n ? v->name.p[v->name.n - n - 1] : '/';
    return before == '/' || before == '-' || before == '.' || before == '_';
}

static bool not_found(const hub_variant *list, size_t n, const char *tag, err *e) {
    buf b;
    buf_init(&b, 300);
    for (size_t i = 0; i < n; i++) {
        str what = list[i].quant.n ? list[i].quant : list[i].name;
        if (what.n < 60) buf_printf(&b, "%s%.*s", b.len ? ", " : "", STR_ARG(what));
    }
    if (n == 0) err_set(e, ERR_NOT_FOUND, "the repository has no GGUF file");
    else
        err_set(e, ERR_NOT_FOUND, "the repository has no \"%.80s\"; it has %s", tag,
                b.data ? b.data : "");
    buf_deinit(&b);
    return false;
}

/* The first of these that there is and that fits; else the largest that fits. */
static const hub_variant *usual(const hub_variant *list, size_t n, uint64_t most) {
    static const char *const order[] = {"Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "IQ4_XS", "Q4_0", "MXFP4",
                                        "Q3_K_M", "Q2_K",       "Q5_K_M", "Q6_K",   "Q8_0"};
    const hub_variant *best = NULL;
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (size_t i = 0; i < n; i++)
            if (is_named(&list[i], order[k]) && (!most || list[i].bytes <= most)) return &list[i];
    for (size_t i = 0; i < n; i++)
        if (!most || list[i].bytes <= most) best = &list[i];
    return best;
}

bool hub_repo_choose(const hub_repo *r, const char *tag, uint64_t most, hub_variant *out, err *e) {
    hub_variant *list;
    size_t n;
    if (!hub_repo_variants(r, &list, &n, e)) return false;
    const hub_variant *v = NULL;
    for (size_t i = 0; tag && i < n; i++)
        if (is_named(&list[i], tag) && (!v || list[i].name.n < v->name.n)) v = &list[i];
    if (!tag) v = usual(list, n, most);
    if (v) *out = *v;
    else if (tag || n == 0) not_found(list, n, tag ? tag : "", e);
    else
        err_set(e, ERR_NO_FIT,
                "even the smallest file there has %llu MB, and about %llu MB of memory are free: "
                "a name with :%.*s at its end takes it all the same",
                (unsigned long long)(list[0].bytes / 1000000), (unsigned long long)(most / 1000000),
                (int)(list[0].quant.n < 40 ? list[0].quant.n : 0), list[0].quant.p);
    free(list);
    return v != NULL;
}

/* ---- addresses ---- */

void hub_face_api_url(buf *address, const char *base, const hub_name *n) {
    buf_printf(address, "%s/api/models/%s/%s?blobs=true", base, n->ns, n->model);
}

void hub_face_file_url(buf *address, const char *base, const hub_name *n, const char *commit,
                       const char *path) {
    buf_printf(address, "%s/%s/%s/resolve/%s", base, n->ns, n->model, commit);
    while (*path) {
        size_t k = strcspn(path, "/");
        buf_putc(address, '/');
        url_quote(address, (str){path, k});
        path += k + (path[k] == '/');
    }
}
