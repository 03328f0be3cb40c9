/* Kept answers: two texts on a shelf. */
#include "api/kept.h"

#include <stdlib.h>

#include "api/shelf.h"

typedef struct answer_texts {
    str body, talk; /* owned */
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
};

kept *kept_new(size_t max_bytes) {
    kept *k = calloc(1, sizeof *k);
    if (k) *k = (kept){shelf_new(max_bytes, texts_free), max_bytes};
    if (k && k->shelf) return k;
    free(k);
    return NULL;
}

void kept_free(kept *k) {
    if (!k) return;
    shelf_free(k->shelf);
    free(k);
}

bool kept_put(kept *k, const char *owner, const char *id, str body, str talk) {
    size_t n = sizeof(answer_texts) + body.n + talk.n;
    answer_texts *t = n < k->max_bytes ? calloc(1, sizeof *t) : NULL;
    if (!t) return false;
    *t = (answer_texts){{strndup(body.p, body.n), body.n}, {strndup(talk.p, talk.n), talk.n}};
    if (!t->body.p || !t->talk.p) {
        texts_free(t);
        return false;
    }
    shelf_item *i = shelf_put(k->shelf, owner, id, t, n);
    shelf_back(k->shelf, i, 0);
    return i != NULL;
}

bool kept_get(kept *k, const char *owner, const char *id, kept_copy *out) {
    *out = (kept_copy){0};
    shelf_item *i = shelf_take(k->shelf, owner, id);
    if (!i) return false;
    const answer_texts *t = shelf_value(i);
    *out = (kept_copy){strndup(t->body.p, t->body.n), strndup(t->talk.p, t->talk.n), t->body.n,
                       t->talk.n};
    shelf_back(k->shelf, i, 0);
    if (out->body && out->talk) return true;
    kept_copy_deinit(out);
    return false;
}

bool kept_drop(kept *k, const char *owner, const char *id) {
    return shelf_drop(k->shelf, owner, id);
}

void kept_copy_deinit(kept_copy *c) {
    free(c->body);
    free(c->talk);
    *c = (kept_copy){0};
}
