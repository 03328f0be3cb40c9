/* Measuring: which cells there are, in which order they go, and what is written about each. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "study/study_private.h"

enum { MAX_CELLS = WORKS * 6 * STUDY_ARMS };

const study_plan *study_plan_of(study_size size) {
    static const study_plan plans[] = {
        [STUDY_SMOKE] = {.name = "smoke",
                         .window_s = 0.15,
                         .ramp_s = 5,
                         .rounds = 2,
                         .users = {1, 2},
                         .n_users = 2,
                         .questions = 20,
                         .question_users = 4},
        [STUDY_QUICK] = {.name = "quick",
                         .window_s = 20,
                         .ramp_s = 20,
                         .rounds = 3,
                         .users = {1, 4, 8},
                         .n_users = 3,
                         .questions = STUDY_QUESTIONS,
                         .question_users = 8,
                         .max_minutes = 20},
        [STUDY_FULL] = {.name = "full",
                        .window_s = 60,
                        .ramp_s = 600,
                        .rounds = 7,
                        .users = {1, 2, 4, 8, 16, 32},
                        .n_users = 6,
                        .grows = true,
                        .questions = STUDY_QUESTIONS,
                        .question_users = 8,
                        .whole = true},
    };
    return &plans[size];
}

typedef struct cell {
    study_arm *arm;
    study_work work;
    int users;
} cell;

typedef struct study {
    const study_options *o;
    const study_plan *plan;
    study_log log;
    study_arm arm[STUDY_ARMS];
    int n_arms;
    study_text text;
    study_sizes sizes;
    size_t model;
    cell cell[MAX_CELLS];
    int n_cells;
    int done, all;
    double model_began_s;
    meter *meter;
    bool stopped;
} study;

/* ---- raw.jsonl ---- */

const char *const study_columns[STUDY_COLUMNS] = {
    "run",      "user",      "submit_us",     "first_us",  "end_us",     "prompt",
    "cached",   "out",       "out_in_window", "queued_us", "prefill_us", "decode_us",
    "bytes_in", "bytes_out", "bill_pico",     "finish"};

bool study_log_line(study_log *l, err *e) {
    buf_putc(&l->line, '\n');
    bool ok = l->line.failed ? err_set(e, ERR_FAILED, "out of memory")
                             : file_new_write(l->file, l->line.data, l->line.len, e) &&
                                   file_new_flush(l->file, e);
    buf_clear(&l->line);
    return ok;
}

/* An array in the order of study_columns: there are many. */
static bool log_request(study_log *l, int run, const study_request *r, err *e) {
    const int64_t v[] = {run,
                         r->user,
                         r->submit_us,
                         r->first_us,
                         r->end_us,
                         r->prompt,
                         r->cached,
                         r->out,
                         r->out_in_window,
                         r->queued_us,
                         r->prefill_us,
                         r->decode_us,
                         (int64_t)r->bytes_in,
                         (int64_t)r->bytes_out,
                         (int64_t)r->bill};
    jsonw w;
    jsonw_init(&w, &l->line);
    jsonw_array(&w);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) jsonw_int(&w, v[i]);
    jsonw_str(&w, str_of(r->finish));
    jsonw_end(&w);
    return study_log_line(l, e);
}

bool study_log_run(study_log *l, const study_bout *b, int model, int round, err *e) {
    int run = l->runs++;
    jsonw w;
    jsonw_init(&w, &l->line);
    jsonw_object(&w);
    jsonw_key(&w, "type"), jsonw_str(&w, STR("run"));
    jsonw_put_int(&w, "run", run);
    jsonw_put_int(&w, "model", model);
    jsonw_key(&w, "arm"), jsonw_str(&w, str_of(b->arm->name));
    jsonw_key(&w, "workload"), jsonw_str(&w, str_of(study_work_name(b->work)));
    jsonw_put_int(&w, "users", b->users);
    jsonw_put_int(&w, "round", round);
    jsonw_key(&w, "whole"), jsonw_bool(&w, b->whole != NULL);
    jsonw_key(&w, "ramped"), jsonw_bool(&w, b->ramped);
    jsonw_put_int(&w, "begin_us", b->begin_us);
    jsonw_put_int(&w, "end_us", b->end_us);
    jsonw_key(&w, "joules"), jsonw_f64(&w, b->joules); /* not measured: null */
    jsonw_end(&w);
    bool ok = study_log_line(l, e);
    for (size_t i = 0; ok && i < b->n; i++) ok = log_request(l, run, &b->request[i], e);
    return ok;
}

static bool log_word(study_log *l, const char *type, size_t model, const char *why, err *e) {
    jsonw w;
    jsonw_init(&w, &l->line);
    jsonw_object(&w);
    jsonw_key(&w, "type"), jsonw_str(&w, str_of(type));
    jsonw_put_int(&w, "model", (int64_t)model);
    jsonw_key(&w, "why"), jsonw_str(&w, str_of(why));
    jsonw_end(&w);
    return study_log_line(l, e);
}

/* ---- runs ---- */

static bool stop(void *ud) {
    study *s = ud;
    if (!s->stopped && s->o->stop && s->o->stop(s->o->ud)) s->stopped = true;
    return s->stopped;
}

static void tell(study *s, const char *what) {
    double spent = clock_now_s() - s->model_began_s;
    double minutes = s->o->max_minutes > 0 ? s->o->max_minutes : s->plan->max_minutes;
    double left = (s->all - s->done) * (s->plan->window_s + s->plan->ramp_s / 4);
    if (minutes > 0 && minutes * 60 - spent < left) left = minutes * 60 - spent;
    if (s->o->progress)
        s->o->progress(s->o->ud, &(study_progress){.model = s->o->model[s->model],
                                                   .what = what,
                                                   .done = s->done,
                                                   .all = s->all,
                                                   .left_s = left > 0 ? left : 0});
}

static study_bout bout_of(study *s, const cell *c) {
    return (study_bout){.arm = c->arm,
                        .text = &s->text,
                        .sizes = &s->sizes,
                        .work = c->work,
                        .users = c->users,
                        .window_s = s->plan->window_s,
                        .ramp_s = s->plan->ramp_s,
                        .seed = s->o->seed,
                        .run = (uint64_t)s->log.runs,
                        .began_ns = s->log.began_ns,
                        .meter = strcmp(c->arm->name, "here") == 0 ? s->meter : NULL,
                        .joules = NAN,
                        .stop = stop,
                        .ud = s};
}

/* Tokens a second written in the window go to *rate. */
static bool run_cell(study *s, const cell *c, int round, double window_s, atomic_size_t *whole,
                     double *rate, bool *capped, err *e) {
    char what[120];
    study_bout b = bout_of(s, c);
    b.window_s = window_s;
    b.whole = whole;
    snprintf(what, sizeof what, "%s, %d at once, %s", study_work_name(c->work), c->users,
             round < 0 ? "how far it grows"
             : whole   ? "the whole works"
                       : c->arm->name);
    tell(s, what);
    bool ok = study_bout_run(&b, e);
    int64_t tokens = 0;
    for (size_t i = 0; i < b.n; i++) tokens += b.request[i].out_in_window;
    *rate = b.end_us > b.begin_us ? (double)tokens / ((double)(b.end_us - b.begin_us) / 1e6) : 0;
    *capped = b.capped;
    if (ok && !b.stopped && !b.capped) ok = study_log_run(&s->log, &b, (int)s->model, round, e);
    study_bout_deinit(&b);
    return ok;
}

/* How many users are worth trying with this workload: until twice as many write hardly more. */
static bool grow(study *s, study_arm *arm, study_work work, int *n, err *e) {
    double best = 0, rate;
    bool capped = false;
    for (*n = 0; *n < s->plan->n_users && !capped && !stop(s);) {
        cell c = {arm, work, s->plan->users[(*n)++]};
        if (!run_cell(s, &c, -1, 5, NULL, &rate, &capped, e)) return false;
        if (rate < best * 1.05) break;
        best = rate;
    }
    return true;
}

static bool make_cells(study *s, err *e) {
    s->n_cells = 0;
    for (int a = 0; a < s->n_arms; a++)
        for (int w = 0; w < WORKS; w++) {
            int n = s->plan->n_users;
            if (s->plan->grows && !grow(s, &s->arm[a], (study_work)w, &n, e)) return false;
            for (int i = 0; i < n; i++)
                s->cell[s->n_cells++] = (cell){&s->arm[a], (study_work)w, s->plan->users[i]};
        }
    s->done = 0;
    s->all = s->n_cells * s->plan->rounds;
    return true;
}

static void shuffle(study *s, int round) {
    for (int i = s->n_cells - 1; i > 0; i--) {
        int j = (int)(rng_u64(s->o->seed, 0x0DE5 + (uint64_t)s->model * 1000 + (uint64_t)round,
                              (uint64_t)i) %
                      (uint64_t)(i + 1));
        cell c = s->cell[i];
        s->cell[i] = s->cell[j];
        s->cell[j] = c;
    }
}

static bool time_is_over(const study *s) {
    double minutes = s->o->max_minutes > 0 ? s->o->max_minutes : s->plan->max_minutes;
    double spent = clock_now_s() - s->model_began_s;
    return minutes > 0 && spent + s->plan->window_s * 1.25 > minutes * 60;
}

static bool run_rounds(study *s, err *e) {
    double rate;
    char why[160];
    bool arm_capped = false;
    for (int round = 0; round < s->plan->rounds; round++) {
        shuffle(s, round);
        for (int i = 0; i < s->n_cells && !stop(s); i++, s->done++) {
            const cell *c = &s->cell[i];
            bool capped = false, there = strcmp(c->arm->name, "there") == 0;
            if (there && arm_capped) continue;
            if (time_is_over(s)) {
                snprintf(why, sizeof why, "the time for this model was over: %d of %d runs",
                         s->done, s->all);
                return log_word(&s->log, "cut", s->model, why, e);
            }
            if (!run_cell(s, c, round, s->plan->window_s, NULL, &rate, &capped, e)) return false;
            if (capped && !log_word(&s->log, "cut", s->model,
                                    "the spending cap allows no more of the service", e))
                return false;
            arm_capped = arm_capped || capped;
        }
    }
    return true;
}

static bool run_questions(study *s, err *e) {
    bool ok = true;
    for (int a = 0; a < s->n_arms && ok && !stop(s); a++) {
        tell(s, "questions");
        ok = study_quiz_run(&(study_quiz){.arm = &s->arm[a],
                                          .seed = s->o->seed,
                                          .n = s->plan->questions,
                                          .users = s->plan->question_users,
                                          .model = (int)s->model,
                                          .stop = stop,
                                          .ud = s},
                            &s->log, e);
    }
    return ok;
}

/* The whole works once, by the number of users that is tried last. */
static bool run_whole(study *s, err *e) {
    double rate;
    bool capped;
    atomic_size_t next = 0;
    cell c = {&s->arm[0], WORK_SHAKESPEARE, 1};
    for (int i = 0; i < s->n_cells; i++)
        if (s->cell[i].work == c.work && s->cell[i].arm == c.arm && s->cell[i].users > c.users)
            c.users = s->cell[i].users;
    return run_cell(s, &c, s->plan->rounds, 0, &next, &rate, &capped, e);
}

/* ---- a model ---- */

static bool hash_file(const char *path, char hex[65]) {
    file_map m;
    err e;
    *hex = '\0';
    if (!file_map_open(&m, path, &e)) return false;
    crypto_hash_sha256_state state;
    unsigned char hash[crypto_hash_sha256_BYTES];
    const uint64_t step = 64u << 20;
    crypto_hash_sha256_init(&state);
    for (uint64_t at = 0; at < m.size; at += step) {
        uint64_t n = m.size - at < step ? m.size - at : step;
        crypto_hash_sha256_update(&state, m.data + at, n);
        file_map_release(&m, at, n);
    }
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(hex, 65, hash, sizeof hash);
    file_map_close(&m);
    return true;
}

static void describe(study *s, hearth_model *m, study_subject *to) {
    hearth_model_info i;
    const char *name = s->o->model[s->model], *base = strrchr(name, '/');
    hearth_model_info_get(m, &i);
    *to = (study_subject){.params = i.n_params,
                          .file_bytes = i.file_bytes,
                          .n_ctx = i.n_ctx_train,
                          .n_vocab = i.n_vocab,
                          .works_tokens = s->text.tokens,
                          .works_bytes = s->text.bytes,
                          .sizes = s->sizes};
    snprintf(to->name, sizeof to->name, "%s", base ? base + 1 : name);
    snprintf(to->arch, sizeof to->arch, "%s", i.arch);
    snprintf(to->title, sizeof to->title, "%s", i.name);
    snprintf(to->text_sha256, sizeof to->text_sha256, "%s", s->text.sha256);
    hash_file(name, to->sha256);
}

static bool study_model(study *s, study_subject *to, err *e) {
    hearth_err he = {0};
    s->model_began_s = clock_now_s();
    s->done = s->all = 0;
    tell(s, "opening");
    hearth_model *m = s->o->open(s->o->ud, s->model, &he);
    if (!m) return err_set(e, (err_code)he.code, "%s", he.msg);
    hearth_model_info info;
    hearth_model_info_get(m, &info);
    bool ok = study_sizes_of(&s->sizes, s->o->size, info.n_ctx_train, e) &&
              study_text_open(&s->text, m, s->sizes.piece, e) && study_here_new(&s->arm[0], m, e);
    if (ok) describe(s, m, to);
    ok = ok && run_questions(s, e) && make_cells(s, e) && run_rounds(s, e) &&
         (!s->plan->whole || stop(s) || run_whole(s, e));
    if (!ok) err_wrap(e, "%s", s->o->model[s->model]);
    study_here_free(&s->arm[0]);
    study_text_close(&s->text);
    hearth_model_close(m);
    return ok;
}

static bool run_all(study *s, study_subject *subject, err *e) {
    char path[4200];
    snprintf(path, sizeof path, "%s/raw.jsonl", s->o->out);
    if (!file_make_dirs(s->o->out, 0755, e)) return false;
    s->log.file = file_new_open(path, 0644, e);
    if (!s->log.file) return false;
    bool ok = true;
    size_t n = 0;
    for (; ok && n < s->o->n_models && !s->stopped; n++) {
        s->model = n;
        ok = study_model(s, &subject[n], e);
    }
    if (!ok) {
        file_new_abort(s->log.file);
        return false;
    }
    money spent = s->n_arms > 1 ? study_there_spent(&s->arm[1]) : 0;
    return file_new_commit(s->log.file, e) &&
           study_method_write(s->o, s->plan, s->meter, subject, n, spent, s->stopped, e);
}

/* Users never rest while a window lasts, so a machine of declared watts works all of it. */
static double all_of_it(void *ud, uint64_t begin_ns, uint64_t end_ns) {
    (void)ud;
    return (double)(end_ns - begin_ns) / 1e9;
}

static bool open_meter(study *s, err *e) {
    const tariff *t = s->o->tariff;
    char watts[80];
    snprintf(watts, sizeof watts, "idle=%g,load=%g", t->idle_w, t->load_w);
    bool declared = !isnan(t->idle_w) && !isnan(t->load_w);
    s->meter = meter_open(&(meter_options){.watts = declared ? watts : NULL}, e);
    if (!s->meter) return false;
    meter_listen(s->meter, NULL, all_of_it, NULL);
    meter_read(s->meter);
    return true;
}

bool study_run(const study_options *o, err *e) {
    study s = {.o = o, .plan = study_plan_of(o->size), .n_arms = 1};
    if (o->n_models == 0 || o->n_models > STUDY_MAX_MODELS)
        return err_set(e, ERR_USAGE, "a study has 1 to %d models", STUDY_MAX_MODELS);
    study_subject *subject = calloc(o->n_models, sizeof *subject);
    if (!subject) return err_set(e, ERR_FAILED, "out of memory");
    s.log.began_ns = clock_now_ns();
    buf_init(&s.log.line, 8u << 20);
    bool ok = true;
    if (o->against) {
        ok = study_there_new(&s.arm[1], o->against, e);
        s.n_arms = 2;
    }
    ok = ok && open_meter(&s, e) && run_all(&s, subject, e);
    meter_close(s.meter);
    if (o->against) study_there_free(&s.arm[1]);
    buf_deinit(&s.log.line);
    free(subject);
    return ok;
}
