#include "api/embed.h"

#include <math.h>
#include <time.h>

#include "api/api_private.h"
#include "base/clock.h"
#include "base/limits.h"

static void cleanup(api_call *c) {
    api_embedding *s = c->state;
    if (!s->rerank) hearth_free(s->vectors);
    s->vectors = NULL;
}

api_embedding *api_embed_new(api_call *c, size_t n, const char *field, api_error *e) {
    if (n > LIMIT_TEXTS) {
        api_fail(e, 400, "too_long", field, "%s: %zu texts; at most %d in one call", field, n,
                 LIMIT_TEXTS);
        return NULL;
    }
    api_embedding *s = arena_calloc(c->arena, 1, sizeof *s);
    if (s) s->in = arena_calloc(c->arena, n + 1, sizeof *s->in);
    if (!s || !s->in) {
        api_no_memory(e);
        return NULL;
    }
    s->n = n;
    s->field = field;
    c->state = s;
    c->cleanup = cleanup;
    return s;
}

/* About how many tokens it will be, for the budget; what it was is what counts. */
static int64_t tokens_about(const api_embedding *s) {
    int64_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->in[i].ids ? (int64_t)s->in[i].n_ids : (int64_t)s->in[i].n_text / 4;
    return n + (int64_t)s->query.n_text / 4;
}

static void compute(api_call *c, api_choice *tag) {
    api_embedding *s = c->state;
    hearth_err he = {0};
    hearth_embed_params p = {.owner = c->key.owner,
                             .weight = api_weight(c),
                             .tag = tag,
                             .truncate = s->truncate,
                             .lora = s->lora,
                             .n_lora = s->n_lora,
                             .stop = api_call_unwanted,
                             .stop_ud = c};
    hearth_engine *g = resident_engine(c->model);
    int32_t *n_tokens = arena_calloc(c->arena, s->n, sizeof *n_tokens);
    if (s->rerank) s->vectors = arena_calloc(c->arena, s->n, sizeof *s->vectors);
    bool ok = n_tokens && (!s->rerank || s->vectors);
    if (!ok) api_no_memory(&s->failure);
    else if (s->rerank)
        ok = hearth_rerank(g, &s->query, s->in, s->n, &p, s->vectors, &s->n_tokens, &he);
    else ok = hearth_embed(g, s->in, s->n, &p, &s->vectors, &s->dim, n_tokens, &he);
    for (size_t i = 0; ok && !s->rerank && i < s->n; i++) s->n_tokens += n_tokens[i];
    if (!ok && he.code == HEARTH_NO_FIT)
        api_fail(&s->failure, 400, "context_length_exceeded", s->field, "%s", he.msg);
    else if (!ok && he.code) api_fail_hearth(&s->failure, &he);
}

/* The meter is read a moment after the last step. */
static void await_energy(api_call *c, api_choice *tag) {
    tag->read_ns = clock_now_ns();
    while (energy_awaited(c, tag) && !api_call_unwanted(c))
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void work(api_call *c) {
    api_embedding *s = c->state;
    c->gives_energy = energy_asked(c);
    api_choice *tag = api_work_tag(c, tokens_about(s), &s->failure);
    if (!tag) return;
    compute(c, tag);
    if (!tag->opened) {
        api_work_untag(tag);
        return;
    }
    if (s->failure.status) return;
    await_energy(c, tag);
    tag->ended = true;
    c->choice = tag; /* whose energy the answer tells */
    c->n_choices = 1;
}

void api_embed_run(api_call *c, void (*done)(api_call *c)) {
    api_wait(c, work, done);
}

/* The first n of dim numbers, of length 1 again. */
static void shorten(float *v, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 1;
    for (int32_t i = 0; i < n; i++) v[i] = (float)(v[i] * scale);
}

int32_t api_embed_shorten(api_call *c) {
    api_embedding *s = c->state;
    int64_t asked = api_get_int(c->body, "dimensions", s->dim);
    if (s->failure.status || s->n == 0) return s->dim;
    if (asked > s->dim)
        api_fail(&s->failure, 400, "out_of_range", "dimensions",
                 "dimensions: this model's vectors have %d numbers, not %lld", s->dim,
                 (long long)asked);
    else
        for (size_t i = 0; i < s->n && asked < s->dim; i++)
            shorten(s->vectors + i * (size_t)s->dim, (int32_t)asked);
    return asked < s->dim ? (int32_t)asked : s->dim;
}

void api_embed_reply(api_call *c) {
    energy_header(c);
    api_reply_json(c, 200, NULL);
}
