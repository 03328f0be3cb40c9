/* Reading the two files of a study. Every line is checked: they come from anybody. */
#include "study/calc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

#define FILE_BYTES (1u << 30)

const char *const study_arms[STUDY_ARMS] = {"here", "there"};
const char *const study_kinds[4] = {"arithmetic", "extraction", "json", "retrieval"};

typedef struct reader {
    study_results *r;
    int line;
    int64_t run; /* number of the present run; its requests follow */
    bool in_run;
} reader;

static bool bad(const reader *d, const char *what, err *e) {
    return err_set(e, ERR_DAMAGED, "raw.jsonl:%d: %s", d->line, what);
}

static bool integer(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *to) {
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v)) return false;
    *to = json_integer_value(v);
    return *to >= min && *to <= max;
}

static int named(const json_t *o, const char *key, const char *const *names, int n) {
    const char *text = json_string_value(json_object_get(o, key));
    for (int i = 0; text && i < n; i++)
        if (strcmp(names[i], text) == 0) return i;
    return -1;
}

static bool add_word(reader *d, const json_t *o, err *e) {
    study_results *r = d->r;
    const char *why = json_string_value(json_object_get(o, "why"));
    char **more = realloc(r->word, (r->n_words + 1) * sizeof *more);
    if (more) r->word = more;
    char *copy = why ? strdup(why) : NULL;
    if (!more || !copy) {
        free(copy);
        return bad(d, "a word without why, or out of memory", e);
    }
    r->word[r->n_words++] = copy;
    return true;
}

static bool add_window(reader *d, const json_t *o, err *e) {
    study_results *r = d->r;
    int64_t model, users, round;
    study_window w = {.arm = named(o, "arm", study_arms, STUDY_ARMS),
                      .whole = json_is_true(json_object_get(o, "whole")),
                      .ramped = json_is_true(json_object_get(o, "ramped"))};
    const char *work = json_string_value(json_object_get(o, "workload"));
    w.workload = work ? (int)study_work_named(work) : WORKS;
    if (w.arm < 0 || w.workload == WORKS || !integer(o, "model", 0, r->n_models - 1, &model) ||
        !integer(o, "users", 1, STUDY_MAX_USERS, &users) ||
        !integer(o, "round", -1, 1000, &round) ||
        !integer(o, "run", d->run + 1, d->run + 1, &d->run) ||
        !integer(o, "begin_us", 0, INT64_C(1) << 50, &w.begin_us) ||
        !integer(o, "end_us", w.begin_us, INT64_C(1) << 50, &w.end_us))
        return bad(d, "a run that makes no sense", e);
    const json_t *joules = json_object_get(o, "joules");
    w.joules = json_is_number(joules) ? json_number_value(joules) : NAN;
    w.model = (int)model, w.users = (int)users, w.round = (int)round;
    if (r->n_windows == r->cap_windows) {
        size_t cap = r->cap_windows ? 2 * r->cap_windows : 256;
        study_window *more = realloc(r->window, cap * sizeof *more);
        if (!more) return bad(d, "out of memory", e);
        r->window = more;
        r->cap_windows = cap;
    }
    r->window[r->n_windows++] = w;
    d->in_run = true;
    return true;
}

/* The part of [a, b] that lies in the window, as tokens of `tokens`. */
static double part_in(const study_window *w, int64_t a, int64_t b, double tokens) {
    int64_t from = a > w->begin_us ? a : w->begin_us, to = b < w->end_us ? b : w->end_us;
    return b > a && to > from ? tokens * (double)(to - from) / (double)(b - a) : 0;
}

static bool add_first(study_window *w, double s) {
    if (w->n_first == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 32;
        double *more = realloc(w->first_s, cap * sizeof *more);
        if (!more) return false;
        w->first_s = more;
        w->cap = cap;
    }
    w->first_s[w->n_first++] = s;
    return true;
}

static void add_prices(const study_results *r, study_window *w, int64_t in, int64_t cached,
                       int64_t out) {
    for (int i = 0; i < 3; i++) {
        const study_price *p = &r->price[w->model][i];
        int64_t cached_price = p->cached >= 0 ? p->cached : p->in;
        w->hosted[i] += money_tokens(in - cached, p->in) + money_tokens(cached, cached_price) +
                        money_tokens(out, p->out);
        w->hosted_uncached[i] += money_tokens(in, p->in) + money_tokens(out, p->out);
    }
}

/* Column i of a request; false: no number between these two. */
static bool column(const json_t *o, size_t i, int64_t min, int64_t max, int64_t *to) {
    const json_t *v = json_array_get(o, i);
    if (!json_is_integer(v)) return false;
    *to = json_integer_value(v);
    return *to >= min && *to <= max;
}

static bool add_request(reader *d, const json_t *o, err *e) {
    study_results *r = d->r;
    const int64_t most = INT64_C(1) << 40, late = INT64_C(1) << 50;
    int64_t run, submit, first, end, prompt, cached, out, in_window, prefill, decode, bill;
    const char *finish = json_string_value(json_array_get(o, 15));
    if (!d->in_run || json_array_size(o) != STUDY_COLUMNS || !finish ||
        !column(o, 0, d->run, d->run, &run) || !column(o, 2, 0, late, &submit) ||
        !column(o, 3, -1, late, &first) || !column(o, 4, submit, late, &end) ||
        !column(o, 5, 0, most, &prompt) || !column(o, 6, 0, prompt, &cached) ||
        !column(o, 7, 0, most, &out) || !column(o, 8, 0, most, &in_window) ||
        !column(o, 10, -1, late, &prefill) || !column(o, 11, -1, late, &decode) ||
        !column(o, 14, -1, INT64_MAX, &bill))
        return bad(d, "a request that makes no sense", e);
    study_window *w = &r->window[r->n_windows - 1];
    double computed = (double)(prompt - cached);
    r->n_requests++;
    w->out += (double)in_window;
    w->prompt += (double)prompt;
    w->cached += (double)cached;
    w->all_out += (double)out;
    add_prices(r, w, prompt, cached, out);
    if (bill >= 0) w->billed += bill, w->has_bill = true;
    if (first >= 0 && prefill > 0) {
        w->computed += computed;
        w->prefill_s += (double)prefill / 1e6;
        w->in += part_in(w, first - prefill, first, computed);
    }
    if (out > 1 && decode > 0) w->decoded += (double)(out - 1), w->decode_s += (double)decode / 1e6;
    bool inside = submit >= w->begin_us && submit < w->end_us;
    if (inside && first >= 0 && !add_first(w, (double)(first - submit) / 1e6))
        return bad(d, "out of memory", e);
    if (end >= w->begin_us && end < w->end_us && strcmp(finish, "cancelled") != 0) w->finished++;
    return true;
}

static bool add_answer(reader *d, const json_t *o, err *e) {
    study_results *r = d->r;
    int64_t model, prompt, out, bill;
    const char *expected = json_string_value(json_object_get(o, "expected"));
    const json_t *said = json_object_get(o, "answer");
    study_answer a = {.arm = named(o, "arm", study_arms, STUDY_ARMS),
                      .kind = named(o, "kind", study_kinds, 4)};
    if (a.arm < 0 || a.kind < 0 || !expected || !json_is_string(said) ||
        !integer(o, "model", 0, r->n_models - 1, &model) ||
        !integer(o, "submit_us", 0, INT64_C(1) << 50, &a.submit_us) ||
        !integer(o, "end_us", a.submit_us, INT64_C(1) << 50, &a.end_us) ||
        !integer(o, "prompt", 0, INT64_C(1) << 40, &prompt) ||
        !integer(o, "out", 0, INT64_C(1) << 40, &out) ||
        !integer(o, "bill_pico", -1, INT64_MAX, &bill))
        return bad(d, "an answer that makes no sense", e);
    a.model = (int)model;
    a.prompt = (double)prompt, a.out = (double)out, a.bill = bill;
    a.right = study_question_right(study_kinds[a.kind], expected,
                                   (str){json_string_value(said), json_string_length(said)});
    if (r->n_answers == r->cap_answers) {
        size_t cap = r->cap_answers ? 2 * r->cap_answers : 256;
        study_answer *more = realloc(r->answer, cap * sizeof *more);
        if (!more) return bad(d, "out of memory", e);
        r->answer = more;
        r->cap_answers = cap;
    }
    r->answer[r->n_answers++] = a;
    return true;
}

static bool read_line(reader *d, str line, err *e) {
    static const char *const types[] = {"run", "answer", "cut"};
    json_t *o = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    bool ok = false;
    switch (json_is_array(o) ? -2 : named(o, "type", types, 3)) {
    case -2: ok = add_request(d, o, e); break;
    case 0: ok = add_window(d, o, e); break;
    case 1: ok = add_answer(d, o, e); break;
    case 2: ok = add_word(d, o, e); break;
    default: bad(d, "no line of a study", e);
    }
    json_decref(o);
    return ok;
}

static bool read_raw(study_results *r, str text, err *e) {
    reader d = {.r = r, .run = -1};
    sha256_text(text, r->raw_sha256);
    for (size_t at = 0; at < text.n;) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end ? (size_t)(end - text.p) - at : text.n - at;
        d.line++;
        if (!read_line(&d, (str){text.p + at, n}, e)) return false;
        at += n + 1;
    }
    return true;
}

/* ---- method.json ---- */

static bool read_price(study_price *p, const json_t *o) {
    p->id = json_string_value(json_object_get(o, "id"));
    p->as_of = json_string_value(json_object_get(o, "as_of"));
    p->stand_in = json_is_true(json_object_get(o, "stand_in"));
    p->known = p->id != NULL;
    return json_is_null(o) ||
           (p->id && p->as_of && integer(o, "input_micro", 0, INT64_C(1) << 50, &p->in) &&
            integer(o, "cached_micro", -1, INT64_C(1) << 50, &p->cached) &&
            integer(o, "output_micro", 0, INT64_C(1) << 50, &p->out));
}

static bool read_method(study_results *r, str text, err *e) {
    static const char *const names[] = {"same_weights", "cheap", "flagship"};
    sha256_text(text, r->method_sha256);
    r->method = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *models = json_object_get(r->method, "models");
    size_t n = json_array_size(models);
    if (n == 0 || n > STUDY_MAX_MODELS)
        return err_set(e, ERR_DAMAGED, "method.json: it names no models");
    r->n_models = (int)n;
    for (size_t m = 0; m < n; m++)
        for (int i = 0; i < 3; i++)
            if (!read_price(&r->price[m][i], json_object_get(json_array_get(models, m), names[i])))
                return err_set(e, ERR_DAMAGED, "method.json: models[%zu].%s: no price", m,
                               names[i]);
    return true;
}

static bool read_file(buf *b, const char *folder, const char *name, err *e) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_read(b, path, e);
}

bool study_results_open(study_results *r, const char *folder, err *e) {
    buf method, raw;
    *r = (study_results){0};
    buf_init(&method, LIMIT_JSON_BYTES);
    buf_init(&raw, FILE_BYTES);
    bool ok = read_file(&method, folder, "method.json", e) &&
              read_file(&raw, folder, "raw.jsonl", e) && read_method(r, buf_str(&method), e) &&
              read_raw(r, buf_str(&raw), e) && study_sum(r, e);
    buf_deinit(&method);
    buf_deinit(&raw);
    if (!ok) study_results_close(r);
    return ok;
}

void study_results_close(study_results *r) {
    for (size_t i = 0; i < r->n_windows; i++) free(r->window[i].first_s);
    for (size_t i = 0; i < r->n_words; i++) free(r->word[i]);
    free(r->window);
    free(r->answer);
    free(r->word);
    free(r->figure);
    json_decref(r->method);
    *r = (study_results){0};
}

const study_figure *study_figure_find(const study_results *r, int model, const char *arm,
                                      const char *workload, int users, const char *metric) {
    for (size_t i = 0; i < r->n_figures; i++) {
        const study_figure *f = &r->figure[i];
        if (f->model == model && f->users == users && strcmp(f->metric, metric) == 0 &&
            strcmp(f->workload, workload) == 0 && strcmp(f->arm, arm) == 0)
            return f;
    }
    return NULL;
}

bool study_figure_add(study_results *r, const study_figure *f, err *e) {
    if (r->n_figures == r->cap_figures) {
        size_t cap = r->cap_figures ? 2 * r->cap_figures : 256;
        study_figure *more = realloc(r->figure, cap * sizeof *more);
        if (!more) return err_set(e, ERR_FAILED, "out of memory");
        r->figure = more;
        r->cap_figures = cap;
    }
    r->figure[r->n_figures++] = *f;
    return true;
}

char *study_figure_text(double v, char *dst) {
    *dst = '\0';
    if (isfinite(v)) snprintf(dst, 32, "%.5g", v);
    return dst;
}
