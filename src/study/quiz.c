/* The questions of questions.h, asked of one arm by some users at once. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "study/study_private.h"

#define MEMORY (64u << 20)

typedef struct room {
    const study_quiz *quiz;
    study_question *question;
    study_log *log;
    pthread_mutex_t lock; /* of log, e, failed */
    atomic_int next;
    atomic_bool over;
    bool failed;
    err *e;
} room;

static bool go_on(void *ud, int n) {
    room *r = ud;
    (void)n;
    return !atomic_load(&r->over);
}

static void line_of(study_log *l, const study_quiz *quiz, int i, const study_question *q,
                    const study_reply *r) {
    jsonw w;
    jsonw_init(&w, &l->line);
    jsonw_object(&w);
    jsonw_key(&w, "type"), jsonw_str(&w, STR("answer"));
    jsonw_key(&w, "model"), jsonw_int(&w, quiz->model);
    jsonw_key(&w, "arm"), jsonw_str(&w, str_of(quiz->arm->name));
    jsonw_key(&w, "question"), jsonw_int(&w, i);
    jsonw_key(&w, "kind"), jsonw_str(&w, str_of(q->kind));
    jsonw_key(&w, "expected"), jsonw_str(&w, str_of(q->expected));
    jsonw_key(&w, "answer"), jsonw_str(&w, buf_str(&r->text));
    jsonw_key(&w, "submit_us"), jsonw_int(&w, (int64_t)(r->submit_ns - l->began_ns) / 1000);
    jsonw_key(&w, "end_us"), jsonw_int(&w, (int64_t)(r->end_ns - l->began_ns) / 1000);
    jsonw_key(&w, "prompt"), jsonw_int(&w, r->prompt);
    jsonw_key(&w, "cached"), jsonw_int(&w, r->cached);
    jsonw_key(&w, "out"), jsonw_int(&w, r->out);
    jsonw_key(&w, "bill_pico"), jsonw_int(&w, (int64_t)r->bill);
    jsonw_end(&w);
}

static bool answer(room *m, int user, int i, study_reply *r, err *e) {
    const study_question *q = &m->question[i];
    study_ask ask = {.n = 1, .max_tokens = STUDY_ANSWER_TOKENS, .schema = q->schema};
    ask.message[0] = (hearth_message){"user", q->prompt};
    *r = (study_reply){.text = r->text, .bill = -1};
    buf_clear(&r->text);
    if (!m->quiz->arm->ask(m->quiz->arm, user, &ask, go_on, m, r, e)) return false;
    if (atomic_load(&m->over)) return true;
    pthread_mutex_lock(&m->lock);
    line_of(m->log, m->quiz, i, q, r);
    bool ok = study_log_line(m->log, e);
    pthread_mutex_unlock(&m->lock);
    return ok;
}

typedef struct pupil {
    room *room;
    pthread_t thread;
    int number;
} pupil;

static void *sit(void *ud) {
    pupil *p = ud;
    room *m = p->room;
    study_reply r = {0};
    err e = {0};
    int i;
    buf_init(&r.text, 1u << 20);
    while (!atomic_load(&m->over) && (i = atomic_fetch_add(&m->next, 1)) < m->quiz->n) {
        if (m->quiz->stop && m->quiz->stop(m->quiz->ud)) atomic_store(&m->over, true);
        if (answer(m, p->number, i, &r, &e)) continue;
        pthread_mutex_lock(&m->lock);
        bool capped = e.code == ERR_NO_FIT && strcmp(m->quiz->arm->name, "there") == 0;
        if (!m->failed && !capped) {
            m->failed = true;
            *m->e = e;
        }
        pthread_mutex_unlock(&m->lock);
        atomic_store(&m->over, true);
    }
    buf_deinit(&r.text);
    return NULL;
}

bool study_quiz_run(const study_quiz *q, study_log *l, err *e) {
    err mine = {0};
    room m = {.quiz = q, .log = l, .e = &mine};
    pupil p[STUDY_MAX_USERS];
    int n = 0;
    arena *memory = arena_new(MEMORY);
    m.question = memory ? study_questions_make(q->seed, q->n, memory) : NULL;
    if (!m.question) {
        arena_free(memory);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    if (!q->arm->begin(q->arm, q->users, e)) {
        arena_free(memory);
        return false;
    }
    pthread_mutex_init(&m.lock, NULL);
    for (; n < q->users; n++) {
        p[n] = (pupil){.room = &m, .number = n};
        if (pthread_create(&p[n].thread, NULL, sit, &p[n]) != 0) break;
    }
    for (int i = 0; i < n; i++) pthread_join(p[i].thread, NULL);
    if (n == 0) m.failed = !err_set(&mine, ERR_FAILED, "cannot start a thread");
    q->arm->end(q->arm);
    pthread_mutex_destroy(&m.lock);
    arena_free(memory);
    if (m.failed && e) *e = mine;
    return !m.failed;
}
