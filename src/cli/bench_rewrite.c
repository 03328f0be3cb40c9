/* What --rewrite asks of a model, and whether it did that.
 *
 * A page is to be written again with one word changed. Small models that were taught to converse
 * shorten what they should copy, and copy the word that they should change. So there is no
 * conversation: the text holds the page and says that it follows again with the word replaced; and
 * the old word is banned, so that the model has to take another there. What it writes is set beside
 * the page as it should be, token by token: a rewriting that is none is no measurement of one.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/limits.h"
#include "cli/bench.h"
#include "cli/input.h"

#define NEW_WORD "garden" /* where nothing is said of words */
#define WORD_LETTERS 5    /* then: of the old one, at least */

typedef struct page {
    buf text; /* of the file */
    str all;  /* without spaces at its end */
    str word; /* in it: to be changed */
    str by;
    int32_t *ids;
    size_t n_ids;
} page;

static str word_at(str text, size_t at) {
    size_t n = 0;
    while (at + n < text.n && isalpha((unsigned char)text.p[at + n])) n++;
    return (str){text.p + at, n};
}

/* The token that the word begins with, where that is found in the page once: then it can be banned
 * and nothing else is. -1: it is not so. */
static int32_t word_token(const bench *b, const page *p, str word) {
    size_t n = 0, at = (size_t)(word.p - p->all.p), count = 0;
    int32_t *ids = NULL, id = -1;
    hearth_err he = {0};
    if (at > 0 && p->all.p[at - 1] == ' ') at--; /* most vocabularies have it in the word */
    if (!hearth_tokenize(b->m, p->all.p, at, 0, &ids, &n, &he)) return -1;
    if (n < p->n_ids && memcmp(ids, p->ids, n * sizeof *ids) == 0) id = p->ids[n];
    hearth_free(ids);
    for (size_t i = 0; id >= 0 && i < p->n_ids; i++) count += p->ids[i] == id;
    return count == 1 ? id : -1;
}

/* The word that --change names, or else the first long one in the second half. */
static bool word_choose(bench *b, page *p, err *e) {
    str want = {0};
    p->by = str_of(NEW_WORD);
    if (b->shape.change) {
        const char *eq = strchr(b->shape.change, '=');
        if (!eq || eq == b->shape.change || !eq[1])
            return err_set(e, ERR_USAGE, "--change %s: it is OLD=NEW, two words", b->shape.change);
        want = (str){b->shape.change, (size_t)(eq - b->shape.change)};
        p->by = str_of(eq + 1);
    }
    for (size_t at = want.n ? 0 : p->all.n / 2; at < p->all.n;) {
        str word = word_at(p->all, at);
        bool inside = at > 0 && isalpha((unsigned char)p->all.p[at - 1]);
        bool may = want.n ? str_eq(word, want) : word.n >= WORD_LETTERS && !str_eq(word, p->by);
        if (may && !inside && (b->banned = word_token(b, p, word)) >= 0) {
            p->word = word;
            return true;
        }
        at += word.n ? word.n : 1;
    }
    if (want.n)
        return err_set(e, ERR_USAGE, "--change: \"%.*s\" does not come once in the text",
                       (int)want.n, want.p);
    return err_set(e, ERR_USAGE, "--rewrite: no word of %d letters comes once; --change names one",
                   WORD_LETTERS);
}

/* The text that asks, and what should follow it. */
static void ask_write(const page *p, buf *ask, buf *answer) {
    size_t at = (size_t)(p->word.p - p->all.p), end = at + p->word.n;
    buf_puts(ask, "Original text:\n\n");
    buf_append(ask, p->all.p, p->all.n);
    buf_printf(ask, "\n\nThe same text with \"%.*s\" replaced by \"%.*s\":\n\n", (int)p->word.n,
               p->word.p, (int)p->by.n, p->by.p);
    buf_append(answer, p->all.p, at);
    buf_append(answer, p->by.p, p->by.n);
    buf_append(answer, p->all.p + end, p->all.n - end);
}

bool bench_rewrite_ask(bench *b, err *e) {
    page p = {0};
    buf ask, answer;
    hearth_err he = {0};
    buf_init(&p.text, LIMIT_TEXT_BYTES);
    buf_init(&ask, 2 * LIMIT_TEXT_BYTES);
    buf_init(&answer, 2 * LIMIT_TEXT_BYTES);
    bool ok = input_file(&p.text, b->shape.rewrite, e);
    if (ok) {
        p.all = buf_str(&p.text);
        while (p.all.n && isspace((unsigned char)p.all.p[p.all.n - 1])) p.all.n--;
        ok = hearth_tokenize(b->m, p.all.p, p.all.n, 0, &p.ids, &p.n_ids, &he);
    }
    if (ok && (ok = word_choose(b, &p, e))) {
        ask_write(&p, &ask, &answer);
        ok = !(ask.failed || answer.failed) || err_set(e, ERR_NO_FIT, "out of memory");
    }
    ok = ok && hearth_tokenize(b->m, ask.data, ask.len, HEARTH_TOK_BOS, &b->ids, &b->n_ids, &he) &&
         hearth_tokenize(b->m, answer.data, answer.len, 0, &b->want, &b->n_want, &he);
    if (he.code) err_from_hearth(e, &he);
    if (ok && b->n_want < (size_t)b->shape.tokens) b->shape.tokens = (int)b->n_want;
    hearth_free(p.ids);
    buf_deinit(&p.text);
    buf_deinit(&ask);
    buf_deinit(&answer);
    return ok;
}

/* The longest sequence that both have in this order, as a share of what was wanted. */
bool bench_rewrite_check(bench *b, const int32_t *ids, int32_t n, err *e) {
    int32_t n_want = b->shape.tokens, *row = calloc((size_t)n_want + 1, sizeof *row);
    if (!row) return err_set(e, ERR_NO_FIT, "out of memory");
    for (int32_t i = 0; i < n; i++)
        for (int32_t k = 0, before = 0, above; k < n_want; k++, before = above) {
            above = row[k + 1];
            if (ids[i] == b->want[k]) row[k + 1] = before + 1;
            else if (row[k] > above) row[k + 1] = row[k];
        }
    b->agrees = (double)row[n_want] / n_want;
    free(row);
    return true;
}
