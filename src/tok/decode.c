/* Ids back to text: a token's piece, a whole sequence, and the stream that gives whole characters.
 */
#include "tok/tok_private.h"

str tok_piece(const tok *t, int32_t id, bool special) {
    if (id < 0 || id >= t->n) return STR("");
    if (!special && (t->attr[id] == TOK_CONTROL || t->attr[id] == TOK_UNKNOWN)) return STR("");
    return (str){t->pieces + t->piece_at[id], t->piece_at[id + 1] - t->piece_at[id]};
}

static bool drops_first_space(const tok *t) {
    return t->space_prefix || t->kind == KIND_WORDPIECE;
}

/* The piece as it stands in a text: the first one loses the space that was put before the text. */
static str piece_in_text(const tok *t, int32_t id, bool special, bool *at_start) {
    str s = tok_piece(t, id, special);
    if (!s.n || !*at_start) return s;
    *at_start = false;
    tok_attr a = (tok_attr)t->attr[id];
    bool text = a == TOK_NORMAL || a == TOK_UNUSED;
    if (s.p[0] == ' ' && text && drops_first_space(t)) return (str){s.p + 1, s.n - 1};
    return s;
}

bool tok_decode(const tok *t, const int32_t *ids, size_t n, bool special, buf *out, err *e) {
    bool at_start = true;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->n) {
            return err_set(e, ERR_USAGE, "token %d is not in the vocabulary of %d", ids[i], t->n);
        }
        buf_put_str(out, piece_in_text(t, ids[i], special, &at_start));
    }
    return !out->failed || err_set(e, ERR_NO_FIT, "the text is longer than %zu bytes", out->max);
}

/* ---- streaming ---- */

#define REPLACEMENT "\xef\xbf\xbd"

void tok_stream_init(tok_stream *s, const tok *t, bool special, bool at_start) {
    *s = (tok_stream){.t = t, .special = special, .at_start = at_start};
}

/* Bytes that begin a character but can never complete it count as one: Unicode's "maximal subpart".
 */
static size_t broken_len(const char *p, size_t n) {
    size_t k = 1;
    while (k < n && utf8_len(p, k + 1) < 0) k++;
    return utf8_len(p, 1) < 0 ? k : 1;
}

/* Emits all that is decided at the front of p; returns how many bytes that was. */
static size_t emit(const char *p, size_t n, buf *out) {
    size_t at = 0, valid = 0; /* [valid, at) is whole and not yet written */
    while (at < n) {
        int len = utf8_len(p + at, n - at);
        if (len < 0) break;
        if (len > 0) {
            at += (size_t)len;
            continue;
        }
        buf_append(out, p + valid, at - valid);
        buf_puts(out, REPLACEMENT);
        at += broken_len(p + at, n - at);
        valid = at;
    }
    buf_append(out, p + valid, at - valid);
    return at;
}

bool tok_stream_push(tok_stream *s, int32_t id, buf *out) {
    str piece = piece_in_text(s->t, id, s->special, &s->at_start);
    /* What is pending is the beginning of one character: bytes are added until it is decided. */
    while (s->n_pending && piece.n) {
        s->pending[s->n_pending++] = *piece.p++;
        piece.n--;
        size_t done = emit(s->pending, (size_t)s->n_pending, out);
        s->n_pending -= (int)done;
        memmove(s->pending, s->pending + done, (size_t)s->n_pending);
    }
    size_t done = emit(piece.p, piece.n, out);
    for (; done < piece.n; done++) s->pending[s->n_pending++] = piece.p[done];
    return !out->failed;
}

bool tok_stream_end(tok_stream *s, buf *out) {
    if (s->n_pending) buf_puts(out, REPLACEMENT);
    s->n_pending = 0;
    return !out->failed;
}
