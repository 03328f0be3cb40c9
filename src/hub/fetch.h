/* Fetching one blob into the store: several connections take ranges of it in order, each byte goes
 * straight to its place in a part (store.h), and one thread hashes what is there without a gap, so
 * that the digest is known when the last byte is.
 *
 * The part's journal says which spans are on disk. It is written whenever half a chunk is not in it
 * yet, and nobody gets more than a chunk ahead of it: after kill -9 or a power cut at most a chunk
 * is fetched again, and after Ctrl-C or an error nothing is. What lies on disk is hashed again when
 * a later call goes on, so nothing is trusted but the digest. Where the digest is not known
 * beforehand the server's ETag must stay the same, also over days.
 *
 *     hub_want want = {.url = url, .digest = layer->digest, .size = layer->size};
 *     hub_digest got;
 *     if (!hub_fetch(&wire, store, &want, &got, &e)) ...
 */
#ifndef HEARTH_HUB_FETCH_H
#define HEARTH_HUB_FETCH_H

#include "hub/store.h"
#include "hub/wire.h"

typedef struct hub_want {
    const char *url;
    const char *what;  /* for events and messages: "model", a file's name */
    hub_digest digest; /* empty: what comes is believed, as long as its ETag stays */
    uint64_t size;     /* 0: asked for first */
    /* The Authorization for url, "" for none; renew is asked for another after a 401 with its
     * WWW-Authenticate. One thread at a time. NULL: as secret is, always. */
    const char *secret;
    bool (*renew)(void *ud, const char *challenge, char secret[2048], err *e);
    void *ud;
    const char *advice; /* about a 401 or 403; NULL: none */
} hub_want;

/* The blob is in the store; *got is its digest. ERR_DAMAGED: what came is not what was promised,
 * and is gone; ERR_INTERRUPTED, and most others: a later call goes on. */
bool hub_fetch(hub_wire *w, hub_store *s, const hub_want *want, hub_digest *got, uint64_t *size,
               err *e);
/* Bytes of it that are there from earlier calls; 0: none. */
uint64_t hub_fetch_resumes(hub_store *s, const hub_want *want);

/* ---- the journal ---- */

typedef struct hub_span {
    uint64_t first, end; /* bytes [first, end) */
} hub_span;

#define HUB_SPANS_MAX 1024

/* Spans in order, none touching another. */
typedef struct hub_spans {
    hub_span at[HUB_SPANS_MAX];
    int n;
} hub_spans;

/* False: there are too many, and nothing is changed. */
bool hub_spans_add(hub_spans *s, uint64_t first, uint64_t end);
uint64_t hub_spans_bytes(const hub_spans *s);
/* The end of what is there from 0 on without a gap. */
uint64_t hub_spans_front(const hub_spans *s);

typedef struct hub_journal {
    uint64_t size;
    char etag[256];
    hub_spans done;
} hub_journal;
/* False: it says nothing that could be used. Everything in it is checked. */
bool hub_journal_read(hub_journal *j, str text);
void hub_journal_write(buf *out, const hub_journal *j);

#endif
