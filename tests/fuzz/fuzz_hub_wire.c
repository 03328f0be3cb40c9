/* What servers and old files tell the hub: the list of a repository, a challenge, a journal. The
 * first byte says which. */
#include "hub/face.h"
#include "hub/fetch.h"
#include "hub/registry.h"

#include <stdlib.h>

static void repo(str s) {
    hub_repo r;
    hub_variant v;
    err e = {0};
    if (!hub_repo_parse(&r, s, &e)) return;
    for (size_t i = 0; i < r.n; i++)
        if (r.file[i].path[0] == '/' || strncmp(r.file[i].path, "../", 3) == 0) abort();
    if (hub_repo_choose(&r, NULL, 1 << 30, &v, &e) && v.first + v.n_parts > r.n) abort();
    if (hub_repo_choose(&r, "Q4_K_M", 0, &v, &e) && v.n_parts == 0) abort();
    hub_repo_deinit(&r);
}

static void challenge(str s) {
    buf b;
    err e = {0};
    buf_init(&b, 4096);
    if (hub_challenge_url(&b, s, "https://registry.example.net", "repository:a/b:pull", &e) &&
        strncmp(b.data, "https://", 8) != 0 && strncmp(b.data, "HTTPS://", 8) != 0 &&
        b.data[0] != 'h' && b.data[0] != 'H')
        abort();
    buf_deinit(&b);
}

static void journal(str s) {
    hub_journal *j = malloc(sizeof *j);
    if (j && hub_journal_read(j, s)) {
        if (hub_spans_bytes(&j->done) > j->size) abort();
        if (hub_spans_front(&j->done) > j->size) abort();
    }
    free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 65536) return 0;
    str s = {(const char *)data + 1, size - 1};
    if (data[0] == 'r') repo(s);
    else if (data[0] == 'c') challenge(s);
    else journal(s);
    return 0;
}
