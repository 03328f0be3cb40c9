/* See bench_grammar.h. */
#include "cli/bench_grammar.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/bar.h"
#include "cli/input.h"

typedef struct work {
    tok *t;
    grammar_vocab *v;
    bench_grammar *b;
    err *e;
} work;

/* Numbers with fifteen digits, as people write them, where that is the same value. */
static char *written(const json_t *data, size_t style) {
    size_t flags = JSON_ENCODE_ANY | style;
    char *text = json_dumps(data, flags | JSON_REAL_PRECISION(15));
    json_t *back = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    bool same = back && json_equal(back, data);
    json_decref(back);
    if (same) return text;
    free(text);
    return json_dumps(data, flags);
}

static bool check(work *w, grammar *g, const json_t *data, bool valid, bool *right) {
    static const size_t style[] = {JSON_COMPACT, 0};
    for (int i = 0; i < 2; i++) {
        obey_check c;
        char *text = written(data, style[i]);
        if (!text) return err_set(w->e, ERR_NO_FIT, "out of memory");
        bool ok = obey(g, w->t, w->v, str_of(text), valid ? &w->b->mask : NULL, &c, w->e);
        free(text);
        if (!ok) return false;
        w->b->instances++;
        w->b->wrong += c.accepted != valid;
        *right = *right && c.accepted == valid;
    }
    return true;
}

static bool line_check(work *w, const json_t *line, int number) {
    const json_t *schema = json_object_get(line, "schema"), *tests = json_object_get(line, "tests");
    err why = {0};
    if (!schema || !json_is_array(tests))
        return err_set(w->e, ERR_USAGE, "line %d: \"schema\" and a list \"tests\" are wanted",
                       number);
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text) return err_set(w->e, ERR_NO_FIT, "out of memory");
    uint64_t start = clock_now_ns();
    grammar *g = grammar_json_schema(str_of(text), 0, &why);
    double us = (double)(clock_now_ns() - start) * 1e-3;
    free(text);
    w->b->schemas++;
    if (!obey_times_add(&w->b->compile, us, w->e)) return false;
    if (!g) {
        w->b->refused++;
        return true;
    }
    bool ok = true, right = true;
    size_t i;
    const json_t *x;
    json_array_foreach(tests, i, x) {
        const json_t *data = json_object_get(x, "data");
        ok = ok && data && check(w, g, data, json_is_true(json_object_get(x, "valid")), &right);
    }
    grammar_free(g);
    w->b->wrong_schemas += !right;
    return ok;
}

static bool lines_check(work *w, str text, const char *name) {
    bar progress;
    bar_begin(&progress, "checking", name);
    bool ok = true;
    int number = 0;
    for (size_t at = 0; ok && at < text.n;) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        json_error_t je;
        number++;
        json_t *line = json_loadb(text.p + at, n, JSON_ALLOW_NUL, &je);
        if (!line) line = json_loadb(text.p + at, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &je);
        if (line) ok = line_check(w, line, number);
        else ok = err_set(w->e, ERR_USAGE, "line %d is not JSON: %s", number, je.text);
        json_decref(line);
        at += n + 1;
        bar_draw(&progress, at < text.n ? at : text.n, text.n);
    }
    bar_end(&progress);
    return ok;
}

bool bench_grammar_run(const models_ref *r, const char *path, bench_grammar *out, err *e) {
    work w = {.b = out, .e = e};
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    gguf *g = models_open_file(r, e);
    bool ok = g && (w.t = tok_open(g, e)) && (w.v = grammar_vocab_new(w.t, e)) &&
              input_file(&text, path, e) && lines_check(&w, buf_str(&text), path);
    gguf_close(g);
    grammar_vocab_free(w.v);
    tok_close(w.t);
    buf_deinit(&text);
    return ok;
}

static void put_json(const bench_grammar *b, const char *name, obey_figures compile,
                     obey_figures mask) {
    buf out;
    jsonw w;
    buf_init(&out, 1 << 16);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(name));
    jsonw_key(&w, "schemas"), jsonw_int(&w, b->schemas);
    jsonw_key(&w, "refused"), jsonw_int(&w, b->refused);
    jsonw_key(&w, "schemas_wrong"), jsonw_int(&w, b->wrong_schemas);
    jsonw_key(&w, "instances"), jsonw_int(&w, b->instances);
    jsonw_key(&w, "instances_wrong"), jsonw_int(&w, b->wrong);
    const struct {
        const char *name;
        obey_figures f;
    } part[] = {{"compile_us", compile}, {"mask_us", mask}};
    for (int i = 0; i < 2; i++) {
        jsonw_key(&w, part[i].name), jsonw_object(&w);
        jsonw_key(&w, "mean"), jsonw_f64(&w, part[i].f.mean);
        jsonw_key(&w, "median"), jsonw_f64(&w, part[i].f.median);
        jsonw_key(&w, "p99"), jsonw_f64(&w, part[i].f.p99);
        jsonw_key(&w, "max"), jsonw_f64(&w, part[i].f.max);
        jsonw_end(&w);
    }
    jsonw_key(&w, "masks"), jsonw_uint(&w, b->mask.n);
    jsonw_end(&w);
    out_json(&out);
}

void bench_grammar_print(bench_grammar *b, const char *name, bool json) {
    obey_figures compile = obey_figures_of(&b->compile), mask = obey_figures_of(&b->mask);
    if (json) {
        put_json(b, name, compile, mask);
        return;
    }
    out_printf("%s: %d schemas, %d refused; %d of %d instances wrong, in %d schemas\n", name,
               b->schemas, b->refused, b->wrong, b->instances, b->wrong_schemas);
    out_printf("compile  median %8.1f us   p99 %8.1f us   largest %8.1f us\n", compile.median,
               compile.p99, compile.max);
    out_printf("mask     mean   %8.1f us   p99 %8.1f us   largest %8.1f us   (%zu masks)\n",
               mask.mean, mask.p99, mask.max, b->mask.n);
}

void bench_grammar_deinit(bench_grammar *b) {
    obey_times_deinit(&b->compile);
    obey_times_deinit(&b->mask);
}
