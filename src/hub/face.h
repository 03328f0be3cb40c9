/* Hugging Face: the files of a repository, and which of them make the model that is wanted. What is
 * read is a stranger's JSON. Any thread; no state.
 *
 *     hub_repo r;
 *     if (!hub_repo_parse(&r, json, &e)) ...
 *     hub_variant v;
 *     if (!hub_repo_choose(&r, "Q4_K_M", 0, &v, &e)) ...
 *     for (size_t i = 0; i < v.n_parts; i++) use(&r.file[v.first + i]);
 *     hub_repo_deinit(&r);
 */
#ifndef HEARTH_HUB_FACE_H
#define HEARTH_HUB_FACE_H

#include "base/buf.h"
#include "base/limits.h"
#include "hub/digest.h"
#include "hub/names.h"

typedef struct hub_repo_file {
    char *path;        /* within the repository */
    uint64_t size;     /* 0: not said */
    hub_digest digest; /* of large files; empty: not said */
} hub_repo_file;

typedef struct hub_repo {
    char commit[65];  /* what "main" is now */
    char license[64]; /* "" where it is not said */
    bool gated;
    hub_repo_file *file; /* [n], in order of their paths; owned */
    size_t n;
} hub_repo;

/* The answer of /api/models/USER/REPO?blobs=true. ERR_DAMAGED. */
bool hub_repo_parse(hub_repo *r, str json, err *e);
void hub_repo_deinit(hub_repo *r);

/* One GGUF model of the repository: a file, or all parts of one. */
typedef struct hub_variant {
    str name; /* path without ".gguf" and the number of a part; borrowed from the repo */
    str quant;
    uint64_t bytes;
    size_t first;   /* index of its first file; */
    size_t n_parts; /* the others follow it */
} hub_variant;

/* All of them that are complete, the smallest first; *list by free. */
bool hub_repo_variants(const hub_repo *r, hub_variant **list, size_t *n, err *e);
/* tag: a quantisation, or (the end of) a file's name; NULL: Q4_K_M, or what comes next to it, of
 * not more than `most` bytes (0: any). ERR_NOT_FOUND lists what there is; ERR_NO_FIT. */
bool hub_repo_choose(const hub_repo *r, const char *tag, uint64_t most, hub_variant *out, err *e);

/* "BASE/api/models/USER/REPO?blobs=true" and "BASE/USER/REPO/resolve/COMMIT/PATH". */
void hub_face_api_url(buf *address, const char *base, const hub_name *n);
void hub_face_file_url(buf *address, const char *base, const hub_name *n, const char *commit,
                       const char *path);

#endif
