/* What a judge of texts is asked.
 *
 * An encoder with a classifier reads query and text as a pair, between the marks that its tokenizer
 * puts around texts. A decoder is asked in words, by the template that its file brings
 * (tokenizer.chat_template.rerank, with {query} and {document}) or else by that of Qwen3's
 * rerankers, and judges by its classifier or by the logits of "yes" and "no". Control tokens are
 * made only from the template's own text, and what stands between two of them is encoded as one
 * piece.
 */
#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "engine/engine_private.h"

static const char qwen3_template[] =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    "the Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n";

/* [CLS] query [SEP] text [SEP]; where a pair is two whole texts (XLM-R), the mark in between is
 * there twice. */
static bool pair_encode(const hearth_engine *g, str query, str doc, tok_ids *out, int32_t *first,
                        err *e) {
    tok_ids second = {0};
    bool ok = tok_encode(g->tok, query, TOK_BOS, out, e) &&
              tok_encode(g->tok, doc, TOK_BOS, &second, e);
    *first = (int32_t)out->n;
    bool twice = str_eq(str_of(tok_model(g->tok)), STR("t5"));
    for (size_t i = 0; ok && i < second.n; i++) {
        int32_t id = second.id[i];
        if (i == 0 && tok_adds_bos(g->tok)) {
            if (!twice) continue;
            id = second.id[second.n - 1];
        }
        ok = tok_ids_push(out, id) || err_set(e, ERR_FAILED, "out of memory");
    }
    tok_ids_deinit(&second);
    return ok;
}

/* The control token that s begins with: its id, and its length; -1: none. */
static int32_t control_at(const tok *t, str s, size_t *n) {
    size_t end = str_find(s, STR(">"), 0);
    if (s.p[0] != '<' || end == (size_t)-1) return -1;
    int32_t id = tok_find(t, (str){s.p, end + 1});
    if (id < 0) return -1;
    tok_attr a = tok_attr_of(t, id);
    *n = end + 1;
    return a == TOK_CONTROL || a == TOK_USER_DEFINED ? id : -1;
}

static bool words_flush(const tok *t, buf *words, tok_ids *out, err *e) {
    bool ok = !words->failed || err_set(e, ERR_NO_FIT, "the texts are too long");
    ok = ok && (words->len == 0 || tok_encode(t, buf_str(words), 0, out, e));
    buf_clear(words);
    return ok;
}

static bool ask_encode(const hearth_engine *g, str template, str query, str doc, tok_ids *out,
                       err *e) {
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    bool ok = true;
    for (size_t at = 0, n; ok && at < template.n; at += n) {
        str rest = {template.p + at, template.n - at};
        int32_t id = control_at(g->tok, rest, &n);
        if (id >= 0) {
            ok = words_flush(g->tok, &words, out, e) &&
                 (tok_ids_push(out, id) || err_set(e, ERR_FAILED, "out of memory"));
        } else if (str_starts(rest, STR("{query}"))) {
            n = sizeof "{query}" - 1;
            buf_put_str(&words, query);
        } else if (str_starts(rest, STR("{document}"))) {
            n = sizeof "{document}" - 1;
            buf_put_str(&words, doc);
        } else {
            n = 1;
            buf_putc(&words, rest.p[0]);
        }
    }
    ok = ok && words_flush(g->tok, &words, out, e);
    buf_deinit(&words);
    return ok;
}

/* The one token that is `word`; -1: none. */
static int32_t word_token(const tok *t, const char *word) {
    tok_ids ids = {0};
    bool ok = tok_encode(t, str_of(word), TOK_NO_PREFIX, &ids, NULL) && ids.n == 1;
    int32_t id = ok ? ids.id[0] : -1;
    tok_ids_deinit(&ids);
    return id;
}

typedef struct judge {
    str template; /* of a decoder */
    int32_t yes, no;
    hearth_pooling how;
} judge;

static bool judge_of(const hearth_engine *g, judge *j, err *e) {
    const model *m = g->model->inner;
    *j = (judge){.yes = -1, .no = -1};
    j->how = g->encoder ? HEARTH_POOL_CLS : HEARTH_POOL_LAST;
    if (!g->tok) return err_set(e, ERR_USAGE, "this model has no tokenizer: it cannot rerank");
    if (g->encoder) {
        if (model_n_scores(m) > 0) return true;
        return err_set(e, ERR_USAGE, "this model has no classifier: it cannot rerank");
    }
    if (!gguf_get_str(model_gguf(m), "tokenizer.chat_template.rerank", &j->template))
        j->template = (str){qwen3_template, sizeof qwen3_template - 1};
    if (model_n_scores(m) > 0) return true;
    j->yes = word_token(g->tok, "yes");
    j->no = word_token(g->tok, "no");
    if (j->yes >= 0 && j->no >= 0) return true;
    return err_set(
        e, ERR_USAGE,
        "this model has neither a classifier nor tokens for yes and no: it cannot rerank");
}

static float score_of(const hearth_engine *g, const judge *j, const hearth_request *r) {
    float s[LIMIT_SCORES];
    if (j->yes >= 0) return 1 / (1 + expf(r->sum->yes_no[1] - r->sum->yes_no[0]));
    model_classify(g->model->inner, r->sum->vec, s);
    if (g->encoder || model_n_scores(g->model->inner) != 2) return s[0];
    return 1 / (1 + expf(s[1] - s[0])); /* yes, then no */
}

static bool rerank(hearth_engine *g, str query, const hearth_input *docs, size_t n,
                   const hearth_embed_params *p, float *scores, int32_t *n_tokens, err *e) {
    judge j;
    if (!judge_of(g, &j, e)) return false;
    tok_ids *texts = calloc(n, sizeof *texts);
    int32_t *first = calloc(n, sizeof *first);
    hearth_request **req = calloc(n, sizeof *req);
    bool ok = texts && first && req;
    if (!ok) err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        str doc = {docs[i].text, docs[i].n_text};
        ok = g->encoder ? pair_encode(g, query, doc, &texts[i], &first[i], e)
                        : ask_encode(g, j.template, query, doc, &texts[i], e);
    }
    hearth_embed_params how = *p;
    if (!g->encoder) how.truncate = false; /* the question stands at the end */
    ok = ok && embed_run(g, texts, first, n, &how, j.how, j.yes, j.no, req, e);
    int64_t total = 0;
    for (size_t i = 0; ok && i < n; i++) {
        scores[i] = score_of(g, &j, req[i]);
        total += req[i]->n_prompt;
        request_release(req[i]);
    }
    if (ok && n_tokens) *n_tokens = total < INT32_MAX ? (int32_t)total : INT32_MAX;
    for (size_t i = 0; texts && i < n; i++) tok_ids_deinit(&texts[i]);
    free(texts);
    free(first);
    free(req);
    return ok;
}

bool hearth_rerank(hearth_engine *g, const hearth_input *query, const hearth_input *docs, size_t n,
                   const hearth_embed_params *p, float *scores, int32_t *n_tokens, hearth_err *e) {
    static const hearth_embed_params none = {0};
    err inner = {0};
    bool ok = true, ids = query->ids != NULL;
    for (size_t i = 0; i < n && n <= LIMIT_TEXTS; i++) ids |= docs[i].ids != NULL;
    if (n == 0 || n > LIMIT_TEXTS)
        ok = err_set(&inner, ERR_USAGE, "%zu texts; there may be 1 to %d", n, LIMIT_TEXTS);
    else if (ids) ok = err_set(&inner, ERR_USAGE, "reranking wants texts, not tokens");
    ok = ok && rerank(g, (str){query->text, query->n_text}, docs, n, p ? p : &none, scores,
                      n_tokens, &inner);
    return ok || engine_err_out(e, &inner);
}
