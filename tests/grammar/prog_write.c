/* Writes documents by schemas with a model that may know no JSON, so that whatever is right about
 * them is the grammar's doing.
 *
 *     grammar_write MODEL FILE.jsonl EACH MOST EVERY
 *
 * For every EVERY-th line of {"schema": ...}: EACH documents of at most MOST tokens, drawn at
 * temperature 1. Prints {"line": n, "text": "..."} for each that was completed, {"line": n,
 * "refused": "..."} for a schema that was not taken, and at the end {"cut": n}. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "hearth.h"

enum { TOGETHER = 16, MAX_BIAS = 4096 };

typedef struct writer {
    hearth_engine *g;
    int32_t *ids; /* the prompt */
    size_t n_ids;
    hearth_bias closing[4][MAX_BIAS]; /* helps it to come to an end: little, to much */
    size_t n_closing;
    int each, most;
} writer;

/* How much likelier a token is that begins with this character, little or much. A quotation mark
 * must win against all that a text may go on with, a bracket against a comma. */
static float push_of(char c, int k) {
    if (c == '"' || c == '}') return 25 + 10 * (float)k;
    if (c == ']') return 5 + 8 * (float)k;
    return c == ',' ? 4 * (float)k : 0;
}

static bool closing_find(writer *w, const hearth_model *m) {
    hearth_model_info info;
    hearth_model_info_get(m, &info);
    for (int32_t i = 0; i < info.n_vocab && w->n_closing < MAX_BIAS; i++) {
        char *text = NULL;
        size_t n = 0;
        if (!hearth_detokenize(m, &i, 1, false, &text, &n, NULL)) return false;
        if (n > 0 && push_of(*text, 3) > 0) {
            for (int k = 0; k < 4; k++)
                w->closing[k][w->n_closing] = (hearth_bias){i, push_of(*text, k)};
            w->n_closing++;
        }
        hearth_free(text);
    }
    return true;
}

static void print_line(json_t *j) {
    char *text = json_dumps(j, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(j);
}

/* Reads it to its end; true when it was completed. */
static int finish(hearth_request *r, int line) {
    char text[1 << 16];
    size_t n = 0;
    hearth_token t;
    hearth_err e = {0};
    hearth_usage u;
    int more;
    while ((more = hearth_next(r, &t, &e)) == 1) {
        size_t k = t.text_len < sizeof text - n ? t.text_len : sizeof text - n;
        for (size_t i = 0; i < k; i++) text[n++] = t.text[i];
    }
    hearth_request_usage(r, &u);
    hearth_request_free(r);
    if (more < 0) fprintf(stderr, "line %d: %s\n", line, e.msg);
    if (more < 0) return -1;
    if (u.finish != HEARTH_FINISH_END) return 0;
    print_line(json_pack("{s:i,s:s#}", "line", line, "text", text, (int)n));
    return 1;
}

/* How many were cut off; -1: an error. */
static int write_some(const writer *w, const hearth_grammar *by, int line) {
    int cut = 0;
    for (int from = 0; from < w->each; from += TOGETHER) {
        int n = w->each - from < TOGETHER ? w->each - from : TOGETHER;
        hearth_request *r[TOGETHER];
        hearth_err e = {0};
        for (int i = 0; i < n; i++) {
            hearth_params p = hearth_params_default();
            p.prompt = w->ids, p.n_prompt = w->n_ids;
            p.max_tokens = w->most;
            p.bias = w->closing[(from + i) % 4], p.n_bias = w->n_closing;
            p.temperature = 1, p.top_k = 0, p.top_p = 1, p.min_p = 0;
            p.seed = (uint64_t)line, p.choice = (uint64_t)(from + i);
            p.grammar = by;
            if (!(r[i] = hearth_submit(w->g, &p, &e))) {
                fprintf(stderr, "line %d: %s\n", line, e.msg);
                return -1;
            }
        }
        for (int i = 0; i < n; i++) {
            int done = finish(r[i], line);
            if (done < 0) return -1;
            cut += !done;
        }
    }
    return cut;
}

static int write_line(const writer *w, const json_t *schema, int line) {
    hearth_err e = {0};
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t n = 0;
    while (text[n]) n++;
    hearth_grammar *by = hearth_grammar_new(HEARTH_GRAMMAR_JSON_SCHEMA, text, n, &e);
    free(text);
    int cut = 0;
    if (by) cut = write_some(w, by, line);
    else print_line(json_pack("{s:i,s:s}", "line", line, "refused", e.msg));
    hearth_grammar_free(by);
    return cut;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    hearth_err e = {0};
    static writer w;
    int every = atoi(argv[5]), cut = 0, line = 0;
    w.each = atoi(argv[3]), w.most = atoi(argv[4]);
    hearth_model *m = hearth_model_open(argv[1], NULL, &e);
    hearth_engine_options o = {.max_requests = TOGETHER};
    w.g = m ? hearth_engine_new(m, &o, &e) : NULL;
    FILE *f = fopen(argv[2], "r");
    bool ok = w.g && f && closing_find(&w, m) &&
              hearth_tokenize(m, "Enter ", 6, HEARTH_TOK_BOS, &w.ids, &w.n_ids, &e);
    if (!ok) fprintf(stderr, "%s\n", f ? e.msg : "no such file");
    json_t *j;
    size_t flags = JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL;
    for (long at = 0; ok && f; line++) {
        at = ftell(f);
        j = json_loadf(f, flags, NULL);
        if (!j && !fseek(f, at, SEEK_SET)) j = json_loadf(f, flags | JSON_DECODE_INT_AS_REAL, NULL);
        if (!j) break;
        int more = 0;
        if (line % every == 0) more = write_line(&w, json_object_get(j, "schema"), line + 1);
        json_decref(j);
        if (more < 0) ok = false;
        else cut += more;
    }
    if (ok) print_line(json_pack("{s:i,s:i}", "cut", cut, "lines", line));
    if (f) fclose(f);
    hearth_free(w.ids);
    hearth_engine_free(w.g);
    hearth_model_close(m);
    return ok ? 0 : 1;
}
