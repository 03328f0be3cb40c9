/* Settings, messages, and the loop that turns a request into text on the screen. */
#include "cli/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/md.h"
#include "cli/samplers.h"
#include "hub/talk.h"

void chat_init(chat *c) {
    *c = (chat){.params = hearth_params_default(), .markdown = true};
}

static void close_model(chat *c) {
    hearth_engine_free(c->g);
    hub_loras_close(c->lora, c->n_lora);
    c->lora = NULL;
    c->n_lora = 0;
    hearth_model_close(c->m);
    hearth_model_close(c->draft_own);
    c->draft_own = NULL;
    far_close(c->server);
    free(c->model_name);
    c->server = NULL;
    c->g = NULL;
    c->m = NULL;
    c->model_name = NULL;
}

void chat_deinit(chat *c) {
    chat_clear(c);
    chat_clear_stops(c);
    close_model(c);
    hearth_model_close(c->draft_m);
    hub_recipe_deinit(&c->recipe);
    hub_adapters_deinit(&c->lora_arg);
    free(c->message);
    free(c->system);
    *c = (chat){0};
}

/* ---- model and engine ---- */

static hearth_engine *make_engine(const chat *c, hearth_model *m, hearth_model *own, err *e) {
    hearth_err he = {0};
    hearth_engine_options o = {.n_threads = c->threads,
                               .n_ctx = c->ctx,
                               .kv = c->kv,
                               .max_requests = 1, /* a person has one answer at a time */
                               .draft = c->draft_m ? c->draft_m : own,
                               .no_speculation = c->no_speculation};
    hub_engine_settle(&c->recipe, &o);
    hearth_engine *g = hearth_engine_new(m, &o, &he);
    if (!g && own && o.draft == own && he.code == HEARTH_USAGE) {
        note("hearth: its draft model is not used: %s", he.msg);
        o.draft = NULL;
        g = hearth_engine_new(m, &o, &he);
    }
    if (!g) {
        err_from_hearth(e, &he);
        return NULL;
    }
    hearth_model_info info;
    hearth_model_info_get(m, &info);
    int32_t want = o.n_ctx > 0 ? o.n_ctx : info.n_ctx_train, have = hearth_engine_ctx(g);
    if (have < want)
        note("hearth: the context is limited to %d tokens by the memory that is free (%s %d)", have,
             o.n_ctx > 0 ? "asked for:" : "the model's own:", want);
    return g;
}

/* The draft model stays while the larger one changes. */
static bool open_draft(chat *c, err *e) {
    models_ref r;
    hearth_err he = {0};
    if (!c->draft || c->draft_m) return true;
    if (!models_find(&r, c->draft, e)) return false;
    c->draft_m = models_open(&r, c->threads, c->ctx, c->no_pack, &he);
    if (!c->draft_m) err_from_hearth(e, &he);
    return c->draft_m != NULL;
}

/* Without it answers are the same. */
static hearth_model *open_own_draft(const chat *c) {
    hearth_model_options o = {.n_threads = c->threads, .n_ctx = c->ctx, .no_pack = c->no_pack};
    hearth_model *m;
    err why = {0};
    if (c->draft || c->no_speculation) return NULL;
    if (!hub_draft_open(&c->recipe, &o, &m, &why))
        note("hearth: its draft model is not used: %s", why.msg);
    return m;
}

static bool open_here(chat *c, const char *model_name, char *name, err *e) {
    models_ref r;
    hearth_err he = {0};
    hearth_lora_use *lora = NULL;
    size_t n_lora = 0;
    if (!models_find(&r, model_name, e) || !open_draft(c, e)) return false;
    r.n_adapters = 0; /* they are applied below */
    hearth_model *m = models_open(&r, c->threads, c->ctx, c->no_pack, &he);
    if (!m) return err_from_hearth(e, &he), false;
    if (!hub_loras_open(m, &c->recipe, &c->lora_arg, &lora, &n_lora, e))
        return hearth_model_close(m), false;
    hearth_model *draft = open_own_draft(c);
    hearth_engine *g = make_engine(c, m, draft, e);
    if (!g) {
        hub_loras_close(lora, n_lora);
        hearth_model_close(draft);
        hearth_model_close(m);
        return false;
    }
    close_model(c);
    c->m = m;
    c->g = g;
    c->draft_own = draft;
    c->lora = lora;
    c->n_lora = n_lora;
    c->model_name = name;
    hearth_model_info_get(m, &c->info);
    c->family = hearth_chat_family(m);
    if (!c->family && hub_talk_wins(&c->recipe, m)) c->family = "its own";
    return true;
}

/* ---- what a model was made with ---- */

/* One parameter, unless the command line has another. */
static bool param_take(chat *c, const char *key, const json_t *v, err *e) {
    char text[64];
    int i = samplers_find(key);
    if (i < 0 || c->given >> i & 1 || !json_is_number(v)) return true;
    double x = json_number_value(v);
    if (strcmp(key, "top_k") == 0 && x < 0) x = 0;           /* both mean all */
    if (strcmp(key, "num_predict") == 0 && x < 0) x = -1;    /* until the model ends */
    if (strcmp(key, "mirostat") == 0 && x == 1) return true; /* only the second one is there */
    if (strcmp(key, "seed") == 0) {
        if (x < 0) return true;
        c->seed_given = true;
    }
    snprintf(text, sizeof text, "%.9g", x);
    if (json_is_integer(v)) snprintf(text, sizeof text, "%lld", (long long)x);
    return samplers_set(&c->params, key, text, e) || err_wrap(e, "the model's %s", key);
}

static bool recipe_take(chat *c, const char *name, err *e) {
    hub_recipe r;
    const char *key;
    json_t *v;
    size_t i;
    if (!hub_recipe_of(&r, name, e)) return false;
    hub_recipe_deinit(&c->recipe);
    c->recipe = r;
    bool ok = true, stops = c->n_stop > 0;
    json_object_foreach(r.params, key, v) ok = ok && param_take(c, key, v, e);
    if (ok && !stops)
        json_array_foreach(json_object_get(r.params, "stop"), i, v) if (*json_string_value(v))
            ok = ok && chat_add_stop(c, json_string_value(v), e);
    int64_t ctx = json_integer_value(json_object_get(r.params, "num_ctx"));
    if (c->ctx == 0 && ctx > 0) c->ctx = (int32_t)ctx;
    if (ok && !c->system && r.system) ok = chat_set_system(c, r.system, e);
    return ok;
}

/* By the model's own template: the conversation as JSON. */
static bool talk_render(const chat *c, const hearth_message *m, size_t n, int32_t **ids,
                        size_t *n_ids, err *e) {
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(
                 list, json_pack("{ssss}", "role", m[i].role, "content", m[i].text)) == 0;
    if (!ok) err_set(e, ERR_USAGE, "the conversation is no UTF-8 text");
    hearth_chat how = hearth_chat_default();
    hearth_chat_prompt p = {0};
    ok = ok && hub_talk_encode(c->m, c->recipe.template, list, NULL, &how, &p, e);
    json_decref(list);
    *ids = p.ids;
    *n_ids = p.n_ids;
    p.ids = NULL;
    hearth_chat_prompt_free(&p);
    return ok;
}

/* A file is opened by who named it. */
static bool is_file(const char *name) {
    return name[0] == '/' || strncmp(name, "./", 2) == 0 || strncmp(name, "../", 3) == 0 ||
           str_ends(str_of(name), STR(".gguf")) || access(name, F_OK) == 0;
}

bool chat_open(chat *c, const char *model_name, err *e) {
    far *server = NULL;
    if (!recipe_take(c, model_name, e)) return false;
    if (!c->local && !is_file(model_name) && !far_open(&server, model_name, e)) return false;
    char *name = strdup(model_name);
    if (!name) {
        far_close(server);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    if (!server) {
        if (open_here(c, model_name, name, e)) return true;
        free(name);
        return false;
    }
    close_model(c);
    c->server = server;
    c->model_name = name;
    c->info = (hearth_model_info){.name = far_name(server)};
    c->family = far_family(server);
    if (c->verbose) note("(the server at %s answers)", far_address(server));
    return true;
}

int32_t chat_ctx(const chat *c) {
    return c->server ? far_ctx(c->server) : hearth_engine_ctx(c->g);
}

int chat_threads(const chat *c) {
    return c->server ? 0 : hearth_engine_threads(c->g);
}

void chat_token_text(const chat *c, int32_t id, char *dst, size_t cap) {
    char *text = NULL;
    size_t n = 0;
    hearth_err he = {0};
    if (c->server) {
        far_token_text(c->server, id, dst, cap);
        return;
    }
    if (!hearth_detokenize(c->m, &id, 1, true, &text, &n, &he)) n = 0;
    str_printable((str){text, n}, dst, cap);
    hearth_free(text);
}

bool chat_renew_engine(chat *c, err *e) {
    if (c->server)
        return err_set(e, ERR_USAGE,
                       "the server at %s decides about its context and threads: hearth run --local "
                       "has its own",
                       far_address(c->server));
    hearth_engine *g = make_engine(c, c->m, c->draft_own, e);
    if (!g) return false;
    hearth_engine_free(c->g);
    c->g = g;
    return true;
}

/* ---- settings and messages ---- */

bool chat_set_system(chat *c, const char *text, err *e) {
    char *copy = text && *text ? strdup(text) : NULL;
    if (text && *text && !copy) return err_set(e, ERR_FAILED, "out of memory");
    free(c->system);
    c->system = copy;
    return true;
}

bool chat_add_stop(chat *c, const char *text, err *e) {
    if (c->n_stop >= LIMIT_STOP_STRINGS)
        return err_set(e, ERR_USAGE, "at most %d stop strings", LIMIT_STOP_STRINGS);
    if (!*text) return err_set(e, ERR_USAGE, "a stop string cannot be empty");
    char **more = realloc(c->stop, ((size_t)c->n_stop + 2) * sizeof *more);
    if (!more) return err_set(e, ERR_FAILED, "out of memory");
    c->stop = more;
    c->stop[c->n_stop] = strdup(text);
    if (!c->stop[c->n_stop]) return err_set(e, ERR_FAILED, "out of memory");
    c->stop[++c->n_stop] = NULL;
    return true;
}

void chat_clear_stops(chat *c) {
    for (int i = 0; i < c->n_stop; i++) free(c->stop[i]);
    free(c->stop);
    c->stop = NULL;
    c->n_stop = 0;
}

bool chat_push(chat *c, const char *role, const char *text, size_t n, err *e) {
    if (c->n_messages == c->cap_messages) {
        int cap = c->cap_messages ? 2 * c->cap_messages : 16;
        chat_message *more = realloc(c->message, (size_t)cap * sizeof *more);
        if (!more) return err_set(e, ERR_FAILED, "out of memory");
        c->message = more;
        c->cap_messages = cap;
    }
    chat_message *m = &c->message[c->n_messages];
    m->role = strdup(role);
    m->text = malloc(n + 1);
    if (!m->role || !m->text) {
        free(m->role);
        free(m->text);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    memcpy(m->text, text, n);
    m->text[n] = 0;
    c->n_messages++;
    return true;
}

void chat_pop(chat *c) {
    if (c->n_messages == 0) return;
    chat_message *m = &c->message[--c->n_messages];
    free(m->role);
    free(m->text);
}

void chat_clear(chat *c) {
    while (c->n_messages > 0) chat_pop(c);
}

/* ---- answering ---- */

void chat_answer_deinit(chat_answer *a) {
    buf_deinit(&a->text);
    free(a->ids);
    free(a->logprobs);
    *a = (chat_answer){0};
}

static bool completes(const chat *c) {
    return c->raw || !c->family;
}

/* The conversation as it is sent; the texts stay the chat's. *m by free. */
static bool gather(const chat *c, hearth_message **m, size_t *n, err *e) {
    *n = 0;
    size_t first = c->server ? 0 : json_array_size(c->recipe.messages); /* a server adds them */
    *m = calloc((size_t)c->n_messages + first + 1, sizeof **m);
    if (!*m) return err_set(e, ERR_FAILED, "out of memory");
    if (c->system) (*m)[(*n)++] = (hearth_message){"system", c->system};
    for (size_t i = 0; i < first; i++) {
        const json_t *x = json_array_get(c->recipe.messages, i);
        const char *role = json_string_value(json_object_get(x, "role"));
        if (c->system && strcmp(role, "system") == 0) continue;
        (*m)[(*n)++] = (hearth_message){role, json_string_value(json_object_get(x, "content"))};
    }
    for (int i = 0; i < c->n_messages; i++)
        (*m)[(*n)++] = (hearth_message){c->message[i].role, c->message[i].text};
    return true;
}

/* The messages' text alone, into an empty buf. */
static bool join(const chat *c, buf *all, err *e) {
    buf_init(all, LIMIT_TEXT_BYTES);
    if (c->system) buf_puts(all, c->system);
    for (int i = 0; i < c->n_messages; i++) buf_puts(all, c->message[i].text);
    return !all->failed ||
           err_set(e, ERR_NO_FIT, "the text is longer than %u MB", LIMIT_TEXT_BYTES >> 20);
}

/* The prompt's tokens; *ids by hearth_free. */
static bool render(const chat *c, int32_t **ids, size_t *n, err *e) {
    hearth_err he = {0};
    hearth_message *m;
    size_t k;
    bool ok;
    if (completes(c)) {
        buf all;
        ok = join(c, &all, e) && hearth_tokenize(c->m, all.data ? all.data : "", all.len,
                                                 HEARTH_TOK_BOS | HEARTH_TOK_SPECIAL, ids, n, &he);
        buf_deinit(&all);
    } else {
        ok = gather(c, &m, &k, e);
        if (!ok) return false;
        if (hub_talk_wins(&c->recipe, c->m)) ok = talk_render(c, m, k, ids, n, e);
        else ok = hearth_chat_tokenize(c->m, m, k, true, ids, n, &he);
        free(m);
    }
    if (!ok && he.code) err_from_hearth(e, &he);
    return ok;
}

static bool keep_token(chat_answer *a, const hearth_token *t, bool logprobs) {
    if (t->id < 0) return true;
    if (a->n_ids == a->cap_ids) {
        size_t cap = a->cap_ids ? 2 * a->cap_ids : 256;
        int32_t *ids = realloc(a->ids, cap * sizeof *ids);
        if (ids) a->ids = ids;
        chat_logprob *l = logprobs ? realloc(a->logprobs, cap * sizeof *l) : NULL;
        if (l) a->logprobs = l;
        if (!ids || (logprobs && !l)) return false;
        a->cap_ids = cap;
    }
    if (logprobs) {
        chat_logprob *l = &a->logprobs[a->n_ids];
        *l = (chat_logprob){.id = t->id, .logprob = t->logprob};
        for (; l->n_top < t->n_top && l->n_top < 20; l->n_top++)
            l->top[l->n_top] = t->top[l->n_top];
    }
    a->ids[a->n_ids++] = t->id;
    return true;
}

static void put_out(void *ud, const char *p, size_t n) {
    (void)ud;
    out_write(p, n);
}

/* Text goes through the renderer on a terminal, and untouched into a pipe. */
static md *make_renderer(const chat *c, bool silent) {
    if (silent || !out_is_terminal()) return NULL;
    return md_new(terminal_width(), c->markdown && !c->raw && out_has_color(), put_out, NULL);
}

/* An answer on its way to the screen. */
typedef struct writing {
    chat *c;
    chat_answer *a;
    md *renderer;
    bool silent, ok; /* ok: memory sufficed */
} writing;

/* False: nobody wants more of it. */
static bool write_token(void *ud, const hearth_token *t) {
    writing *w = ud;
    if (interrupt_seen() || (out_broken() && !w->silent)) {
        w->a->interrupted = interrupt_seen();
        return false;
    }
    buf_append(&w->a->text, t->text, t->text_len);
    if (w->ok) w->ok = keep_token(w->a, t, w->c->params.n_logprobs >= 0);
    if (w->silent) return true;
    if (w->renderer) md_feed(w->renderer, t->text, t->text_len);
    else out_write(t->text, t->text_len);
    out_flush();
    return true;
}

static bool write_end(writing *w, err *e) {
    const buf *text = &w->a->text;
    if (w->renderer) {
        md_finish(w->renderer);
        md_free(w->renderer);
    } else if (!w->silent && (text->len == 0 || text->data[text->len - 1] != '\n')) {
        out_puts("\n");
    }
    out_flush();
    return (w->ok && !text->failed) || err_set(e, ERR_FAILED, "out of memory for the answer");
}

static bool read_tokens(hearth_request *r, writing *w, err *e) {
    hearth_err he = {0};
    hearth_token t = {.id = -1, .text = ""};
    int got;
    while ((got = hearth_next_timeout(r, &t, 100, &he)) > 0) {
        if (got == 2) t = (hearth_token){.id = -1, .text = ""};
        if (!write_token(w, &t)) hearth_cancel(r);
    }
    if (got < 0) err_from_hearth(e, &he);
    return got == 0;
}

static bool answer_here(writing *w, const hearth_params *params, err *e) {
    chat *c = w->c;
    int32_t *ids = NULL;
    size_t n = 0;
    hearth_err he = {0};
    if (!render(c, &ids, &n, e)) return false;
    if (n == 0) {
        hearth_free(ids);
        return err_set(e, ERR_USAGE, "there is nothing to go on from: the prompt is empty");
    }
    hearth_params p = *params;
    p.prompt = ids;
    p.n_prompt = n;
    p.lora = c->lora;
    p.n_lora = c->n_lora;
    w->a->n_prompt = n;
    hearth_request *r = hearth_submit(c->g, &p, &he);
    hearth_free(ids);
    if (!r) {
        err_from_hearth(e, &he);
        return false;
    }
    bool ok = read_tokens(r, w, e);
    hearth_request_usage(r, &w->a->usage);
    hearth_request_free(r);
    return ok;
}

static bool answer_there(writing *w, const hearth_params *p, err *e) {
    chat *c = w->c;
    hearth_message *m = NULL;
    buf all = {0};
    far_ask q = {.params = p, .stopped = interrupt_seen};
    bool ok;
    if (completes(c)) {
        ok = join(c, &all, e);
        q.text = buf_str(&all);
        if (ok && all.len == 0)
            ok = err_set(e, ERR_USAGE, "there is nothing to go on from: the prompt is empty");
    } else {
        ok = gather(c, &m, &q.n_messages, e);
        q.messages = m;
    }
    ok = ok && far_answer(c->server, &q, write_token, w, &w->a->usage, e);
    if (interrupt_seen()) w->a->interrupted = true;
    w->a->n_prompt = (size_t)w->a->usage.n_prompt;
    buf_deinit(&all);
    free(m);
    return ok;
}

static void count_usage(chat *c, const chat_answer *a) {
    const hearth_usage *u = &a->usage;
    c->last = *u;
    c->n_answers++;
    c->total_prompt += u->n_prompt;
    c->total_cached += u->n_cached;
    c->total_generated += u->n_generated;
    c->total_prefill_s += u->prefill_s;
    c->total_decode_s += u->decode_s;
}

/* A server takes seeds as signed numbers, of which the negative ones mean another each time. */
static bool choose_seed(const chat *c, hearth_params *p, err *e) {
    if (!c->seed_given) {
        if (getrandom(&p->seed, sizeof p->seed, 0) != (ssize_t)sizeof p->seed)
            p->seed = clock_now_ns();
        if (c->server) p->seed >>= 2;
    }
    if (c->server && p->seed > (uint64_t)9e18)
        return err_set(e, ERR_USAGE, "a server takes no seed of more than 9e18: --local does");
    if (c->verbose && p->temperature > 0) note("seed %llu", (unsigned long long)p->seed);
    return true;
}

bool chat_answer_get(chat *c, chat_answer *a, bool silent, err *e) {
    *a = (chat_answer){0};
    buf_init(&a->text, LIMIT_TEXT_BYTES);
    hearth_params p = c->params;
    p.stop = (const char *const *)c->stop;
    if (!choose_seed(c, &p, e)) return false;
    writing w = {.c = c, .a = a, .silent = silent, .ok = true};
    interrupt_remember();
    w.renderer = make_renderer(c, silent);
    bool ok = c->server ? answer_there(&w, &p, e) : answer_here(&w, &p, e);
    if (ok || a->text.len > 0) ok = write_end(&w, e) && ok;
    else md_free(w.renderer);
    if (ok) count_usage(c, a);
    interrupt_end_process();
    return ok;
}

const char *chat_finish_name(hearth_finish f) {
    switch (f) {
    case HEARTH_FINISH_END: return "end";
    case HEARTH_FINISH_STOP: return "stop";
    case HEARTH_FINISH_LENGTH: return "length";
    case HEARTH_FINISH_CANCELLED: return "cancelled";
    case HEARTH_FINISH_ERROR: return "error";
    case HEARTH_FINISH_NONE: break;
    }
    return "none";
}

void chat_say_speed(const hearth_usage *u) {
    int32_t fresh = u->n_prompt - u->n_cached;
    char prefill[40] = "", decode[40] = "", guesses[60] = "";
    if (u->prefill_s > 0)
        snprintf(prefill, sizeof prefill, ", %.1f tokens/s", fresh / u->prefill_s);
    if (u->decode_s > 0 && u->n_generated > 1)
        snprintf(decode, sizeof decode, ", %.1f tokens/s", (u->n_generated - 1) / u->decode_s);
    if (u->n_drafted > 0)
        snprintf(guesses, sizeof guesses, ", %d of %d guesses right", u->n_accepted, u->n_drafted);
    note("prompt %d tokens (%d reused) in %.2f s%s; answer %d tokens in %.2f s%s%s; ended by: %s",
         u->n_prompt, u->n_cached, u->prefill_s, prefill, u->n_generated, u->decode_s, decode,
         guesses, chat_finish_name(u->finish));
}
