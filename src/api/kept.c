/* Kept answers: two texts on a shelf, and in the store. */
#include "api/kept.h"

#include <stdlib.h>

#include "api/shelf.h"
#include "base/clock.h"
#include "base/log.h"

typedef struct answer_texts {
    str body, talk; /* owned */
    int64_t put_s;  /* unix */
} answer_texts;

static void texts_free(void *value) {
    answer_texts *t = value;
    free((char *)t->body.p);
    free((char *)t->talk.p);
    free(t);
}

struct kept {
    shelf *shelf;
    size_t max_bytes;
    store *store; /* NULL: none */
    int64_t age_s;
};

kept *kept_new(size_t max_bytes, store *s, int64_t age_s) {
    kept *k = calloc(1, sizeof *k);
    if (k) *k = (kept){shelf_new(max_bytes, texts_free), max_bytes, s, age_s};
    if (k && k->shelf) return k;
    free(k);
    return NULL;
}

void kept_free(kept *k) {
    if (!k) return;
    shelf_free(k->shelf);
    free(k);
}

static bool shelve(kept *k, const char *owner, const char *id, str body, str talk) {
    size_t n = sizeof(answer_texts) + body.n + talk.n;
    answer_texts *t = n < k->max_bytes ? calloc(1, sizeof *t) : NULL;
    if (!t) return false;
    *t = (answer_texts){
        {strndup(body.p, body.n), body.n}, {strndup(talk.p, talk.n), talk.n}, clock_unix_s()};
    if (!t->body.p || !t->talk.p) {
        texts_free(t);
        return false;
    }
    shelf_item *i = shelf_put(k->shelf, owner, id, t, n);
    shelf_back(k->shelf, i, 0);
    return i != NULL;
}

bool kept_put(kept *k, const char *owner, const char *id, str body, str talk) {
    err e = {0};
    bool on_disk = k->store && store_response_put(k->store, owner, id, body, talk, k->age_s, &e);
    if (k->store && !on_disk)
        log_once("kept responses", "a response is kept in memory alone: %s", e.msg);
    return on_disk || shelve(k, owner, id, body, talk);
}

static bool get_shelved(kept *k, const char *owner, const char *id, kept_copy *out) {
    shelf_item *i = shelf_take(k->shelf, owner, id);
    if (!i) return false;
    const answer_texts *t = shelf_value(i);
    bool old = k->store && k->age_s >= 0 && clock_unix_s() - t->put_s >= k->age_s;
    if (!old)
        *out = (kept_copy){strndup(t->body.p, t->body.n), strndup(t->talk.p, t->talk.n), t->body.n,
                           t->talk.n};
    shelf_back(k->shelf, i, 0);
    if (out->body && out->talk) return true;
    kept_copy_deinit(out);
    return false;
}

/* What is on disk is not on the shelf: another process with the same database may delete it. */
bool kept_get(kept *k, const char *owner, const char *id, kept_copy *out) {
    store_response r;
    err e = {0};
    *out = (kept_copy){0};
    if (get_shelved(k, owner, id, out)) return true;
    if (!k->store) return false;
    if (!store_response_get(k->store, owner, id, k->age_s, &r, &e)) {
        if (e.code != ERR_NOT_FOUND) log_msg(LOG_WARN, "a kept response: %s", e.msg);
        return false;
    }
    *out = (kept_copy){r.body, r.talk, r.n_body, r.n_talk};
    return true;
}

bool kept_drop(kept *k, const char *owner, const char *id, err *e) {
    err why = {0};
    bool stored = k->store && store_response_drop(k->store, owner, id, &why);
    if (k->store && !stored && why.code != ERR_NOT_FOUND) {
        *e = why;
        return false;
    }
    return shelf_drop(k->shelf, owner, id) || stored ||
           err_set(e, ERR_NOT_FOUND, "there is no such response");
}

void kept_copy_deinit(kept_copy *c) {
    free(c->body);
    free(c->talk);
    *c = (kept_copy){0};
}
