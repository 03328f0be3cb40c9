/* /api/blobs: files for /api/create, of any length. A body goes to the disk as it comes and is
 * hashed on the way; it is a blob of the store once it is whole and has the digest that the address
 * says, and nothing of it stays otherwise. */
#include "api/api_private.h"
#include "api/ollama/ollama.h"
#include "base/limits.h"
#include "hub/store.h"

enum { LOOK_MS = 500 }; /* how often a waiting upload asks whether it is still wanted */

typedef struct upload {
    err why;
    int status; /* of the answer, where it is not why's */
    hub_digest digest;
} upload;

static void fail(api_call *c, const upload *u) {
    api_error e = {0};
    if (u->status) api_fail(&e, u->status, "invalid_value", NULL, "%s", u->why.msg);
    else if (u->why.code == ERR_NO_FIT) api_fail(&e, 507, "no_room", NULL, "%s", u->why.msg);
    else api_fail_err(&e, &u->why);
    api_reply_error(c, &e);
}

static bool digest_read(api_call *c, upload *u) {
    u->status = hub_digest_parse(&u->digest, str_of(c->arg[0]), &u->why) ? 0 : 400;
    return u->status == 0;
}

static void blob_look(api_call *c) {
    upload u = {0};
    if (!digest_read(c, &u)) {
        fail(c, &u);
        return;
    }
    hub_store *s = hub_store_open(NULL, HUB_STORE_READ, NULL);
    bool there = s && hub_store_has(s, &u.digest, UINT64_MAX);
    hub_store_close(s);
    if (there) {
        api_reply(c, 200, "application/json", NULL);
        return;
    }
    u.status = 404;
    err_set(&u.why, ERR_NOT_FOUND, "there is no such blob");
    fail(c, &u);
}

/* All that comes, into b; b NULL: it is here already, and what comes is passed over. */
static bool take_body(api_call *c, upload *u, hub_blob *b) {
    buf piece;
    buf_init(&piece, SIZE_MAX);
    http_piece got = HTTP_PIECE_LATER;
    bool ok = true;
    while (ok && (got == HTTP_PIECE || got == HTTP_PIECE_LATER)) {
        got = http_body_next(c->x, &piece, LOOK_MS);
        if (api_call_unwanted(c)) ok = err_set(&u->why, ERR_INTERRUPTED, "not wanted any more");
        else if (got == HTTP_PIECE && b) ok = hub_blob_write(b, piece.data, piece.len, &u->why);
    }
    buf_deinit(&piece);
    if (ok && got == HTTP_PIECE_BROKEN) {
        u->status = 400;
        ok = err_set(&u->why, ERR_USAGE, "%s", http_body_fault(c->x));
    }
    return ok && (got == HTTP_PIECE_END || err_set(&u->why, ERR_INTERRUPTED, "it was cut short"));
}

static bool keep(api_call *c, upload *u, hub_store *s) {
    hub_digest got;
    hub_blob *b = hub_blob_begin(s, http_body_announced(c->x), &u->why);
    bool ok = b && take_body(c, u, b) && hub_blob_finish(b, &got, NULL, &u->why);
    if (ok && !hub_digest_eq(&got, &u->digest)) {
        u->status = 400;
        ok = err_set(&u->why, ERR_USAGE, "the body has the digest sha256:%s", got.hex);
    }
    if (ok) return hub_blob_commit(b, &u->why);
    hub_blob_abort(b);
    return false;
}

static void work(api_call *c) {
    upload *u = c->state;
    hub_store *s = hub_store_open(NULL, HUB_STORE_EDIT, &u->why);
    if (s && hub_store_has(s, &u->digest, UINT64_MAX)) {
        if (take_body(c, u, NULL)) u->status = 200;
    } else if (s && keep(c, u, s)) {
        u->status = 201;
    }
    hub_store_close(s);
}

static void done(api_call *c) {
    upload *u = c->state;
    if (u->why.code) fail(c, u);
    else api_reply(c, u->status, "application/json", NULL);
}

static void blob_put(api_call *c) {
    upload *u = arena_calloc(c->arena, 1, sizeof *u);
    if (!u) {
        upload none = {0};
        err_set(&none.why, ERR_NO_FIT, "out of memory");
        fail(c, &none);
    } else if (!digest_read(c, u)) {
        fail(c, u);
    } else {
        c->state = u;
        api_wait(c, work, done);
    }
}

const api_route api_routes_ollama_blobs[] = {
    {"GET", "/api/blobs/{digest}", &api_dialect_ollama, API_ADMIN, .run = blob_look,
     .summary = "whether a blob is there (HEAD)"},
    {"POST", "/api/blobs/{digest}", &api_dialect_ollama, API_ADMIN, .run = blob_put, .upload = true,
     .summary = "a blob for /api/create, of any length"},
    {0},
};
