/* The arm that is a service: OpenAI's chat completions, or Anthropic's messages where the address
 * ends so, both streamed. Before each ask its worst case, as many tokens as it has bytes and as
 * many written as are allowed, is set aside; an ask whose worst case does not fit under the cap any
 * more is not sent. Answers are read to their end, because only there a service says what it
 * counted.
 */
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "net/client.h"
#include "study/arm.h"

#define LINE_BYTES (4u << 20)
#define TRIES 5

typedef struct there {
    const study_service *s;
    char url[2048], bearer[1024], secret[1024];
    bool anthropic;
    http_client *client[64]; /* one a user */
    int n_clients;
    pthread_mutex_t lock; /* of what follows */
    money spent, promised;
} there;

/* ---- the request ---- */

static void put_messages(jsonw *w, const there *t, const study_ask *q) {
    const char *system = t->anthropic && q->n > 1 && strcmp(q->message[0].role, "system") == 0
                             ? q->message[0].text
                             : NULL;
    if (system) jsonw_key(w, "system"), jsonw_str(w, str_of(system));
    jsonw_key(w, "messages");
    jsonw_array(w);
    for (size_t i = system ? 1 : 0; i < q->n; i++) {
        jsonw_object(w);
        jsonw_key(w, "role"), jsonw_str(w, str_of(q->message[i].role));
        const char *text = q->message[i].text; /* an answer may be empty, a message may not */
        jsonw_key(w, "content"), jsonw_str(w, *text ? str_of(text) : STR("-"));
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void put_format(jsonw *w, const char *schema) {
    jsonw_key(w, "response_format");
    jsonw_object(w);
    jsonw_key(w, "type"), jsonw_str(w, STR("json_schema"));
    jsonw_key(w, "json_schema");
    jsonw_object(w);
    jsonw_key(w, "name"), jsonw_str(w, STR("answer"));
    jsonw_key(w, "strict"), jsonw_bool(w, true);
    jsonw_key(w, "schema"), jsonw_raw(w, str_of(schema));
    jsonw_end(w);
    jsonw_end(w);
}

static void put_request(buf *b, const there *t, const study_ask *q) {
    jsonw w;
    jsonw_init(&w, b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(t->s->model));
    jsonw_key(&w, "max_tokens"), jsonw_int(&w, q->max_tokens);
    jsonw_key(&w, "temperature"), jsonw_int(&w, 0);
    jsonw_key(&w, "stream"), jsonw_bool(&w, true);
    if (!t->anthropic) {
        jsonw_key(&w, "stream_options");
        jsonw_object(&w);
        jsonw_key(&w, "include_usage"), jsonw_bool(&w, true);
        jsonw_end(&w);
    }
    if (q->schema && !t->anthropic) put_format(&w, q->schema);
    put_messages(&w, t, q);
    jsonw_end(&w);
}

/* ---- the answer ---- */

typedef struct ear {
    const there *t;
    study_reply *reply;
    study_heard heard;
    void *ud;
    http_lines lines;
    int64_t written; /* tokens put into a cache */
    bool bad;
} ear;

static int64_t count_of(const json_t *o, const char *key, int64_t otherwise) {
    const json_t *v = json_object_get(o, key);
    int64_t n = json_is_integer(v) ? json_integer_value(v) : otherwise;
    return n >= 0 && n <= (INT64_C(1) << 40) ? n : otherwise;
}

static void hear_text(ear *h, const char *text) {
    if (!text || !*text) return;
    h->reply->end_ns = clock_now_ns();
    if (!h->reply->first_ns) h->reply->first_ns = h->reply->end_ns;
    buf_puts(&h->reply->text, text);
    h->heard(h->ud, 1); /* whatever it says: the end of the answer tells what it cost */
}

static void hear_openai(ear *h, const json_t *o) {
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta"), *usage = json_object_get(o, "usage");
    hear_text(h, json_string_value(json_object_get(delta, "content")));
    hear_text(h, json_string_value(json_object_get(delta, "reasoning_content")));
    if (!json_is_object(usage)) return;
    h->reply->prompt = count_of(usage, "prompt_tokens", -1);
    h->reply->out = count_of(usage, "completion_tokens", -1);
    h->reply->cached = count_of(json_object_get(usage, "prompt_tokens_details"), "cached_tokens",
                                0);
}

static void hear_anthropic(ear *h, const json_t *o) {
    const json_t *delta = json_object_get(o, "delta"), *usage = json_object_get(o, "usage");
    const json_t *begin = json_object_get(json_object_get(o, "message"), "usage");
    hear_text(h, json_string_value(json_object_get(delta, "text")));
    if (json_is_object(begin)) {
        h->reply->cached = count_of(begin, "cache_read_input_tokens", 0);
        h->written = count_of(begin, "cache_creation_input_tokens", 0);
        h->reply->prompt = count_of(begin, "input_tokens", 0) + h->reply->cached + h->written;
    }
    if (json_is_object(usage)) h->reply->out = count_of(usage, "output_tokens", h->reply->out);
}

static bool hear_line(void *ud, str line) {
    ear *h = ud;
    if (!str_starts(line, STR("data:"))) return true;
    str data = str_trim((str){line.p + 5, line.n - 5});
    if (data.n == 0 || str_eq(data, STR("[DONE]"))) return true;
    json_t *o = json_loadb(data.p, data.n, 0, NULL);
    if (!o) h->bad = true;
    else if (h->t->anthropic) hear_anthropic(h, o);
    else hear_openai(h, o);
    json_decref(o);
    return !h->bad;
}

static bool hear(void *ud, const char *p, size_t n) {
    ear *h = ud;
    return http_lines_feed(&h->lines, p, n) && !h->bad;
}

/* ---- money ---- */

static money worst_of(const there *t, const study_ask *q) {
    int64_t in = 64;
    for (size_t i = 0; i < q->n; i++) in += (int64_t)strlen(q->message[i].text) + 16;
    if (q->schema) in += (int64_t)strlen(q->schema);
    return price_bill(t->s->sheet, t->s->price,
                      &(price_usage){.in = in, .written = in, .out = q->max_tokens}, t->s->day);
}

static bool promise(there *t, money worst, err *e) {
    char cap[MONEY_TEXT];
    pthread_mutex_lock(&t->lock);
    bool fits = t->spent + t->promised + worst <= t->s->cap;
    if (fits) t->promised += worst;
    pthread_mutex_unlock(&t->lock);
    return fits || err_set(e, ERR_NO_FIT, "the spending cap of %s dollars allows no more",
                           money_cents(t->s->cap, cap));
}

static void keep_promise(there *t, money worst, money bill) {
    pthread_mutex_lock(&t->lock);
    t->promised -= worst;
    t->spent += bill;
    pthread_mutex_unlock(&t->lock);
}

money study_there_spent(const study_arm *a) {
    there *t = a->self;
    pthread_mutex_lock(&t->lock);
    money m = t->spent;
    pthread_mutex_unlock(&t->lock);
    return m;
}

/* ---- the arm ---- */

static bool worth_another_try(int status) {
    return status == 429 || status == 500 || status == 502 || status == 503 || status == 529;
}

/* One request. *again: the service was busy. */
static bool fetch(there *t, int user, str body, ear *h, bool *again, err *e) {
    const char *header[4] = {"Accept: text/event-stream", NULL, NULL, NULL};
    http_answer a;
    if (t->anthropic) header[1] = "anthropic-version: 2023-06-01";
    if (t->anthropic && *t->secret) header[2] = t->secret;
    http_ask ask = {.url = t->url,
                    .method = "POST",
                    .header = header,
                    .authorization = *t->bearer && !t->anthropic ? t->bearer : NULL,
                    .content_type = "application/json",
                    .body = body,
                    .max_redirects = -1,
                    .on_body = hear,
                    .ud = h};
    bool ok = http_client_fetch(t->client[user], &ask, &a, e);
    *again = ok && worth_another_try(a.status);
    if (ok && a.status != 200) {
        char said[200];
        ok = err_set(e, ERR_FAILED, "%s: status %d: %s", t->url, a.status,
                     str_printable(buf_str(&a.body), said, sizeof said));
    }
    if (h->bad) ok = err_set(e, ERR_DAMAGED, "%s: a stream that cannot be read", t->url);
    http_answer_deinit(&a);
    return ok;
}

static bool converse(there *t, int user, str body, ear *h, err *e) {
    for (int i = 0;; i++) {
        bool again = false;
        h->reply->submit_ns = h->reply->end_ns = clock_now_ns();
        if (fetch(t, user, body, h, &again, e)) break;
        if (!again || i + 1 == TRIES) return false;
        nanosleep(&(struct timespec){.tv_sec = 1 << i}, NULL);
    }
    if (!http_lines_end(&h->lines) || h->reply->prompt < 0 || h->reply->out < 0)
        return err_set(e, ERR_DAMAGED, "%s: the answer does not say how many tokens it counted",
                       t->url);
    if (h->reply->cached > h->reply->prompt) h->reply->cached = h->reply->prompt;
    return true;
}

static bool ask(study_arm *a, int user, const study_ask *q, study_heard heard, void *ud,
                study_reply *r, err *e) {
    there *t = a->self;
    money worst = worst_of(t, q);
    if (!promise(t, worst, e)) return false;
    ear h = {.t = t, .reply = r, .heard = heard, .ud = ud};
    buf body;
    buf_init(&body, LIMIT_JSON_BYTES);
    buf_init(&h.lines.rest, LINE_BYTES);
    h.lines.line = hear_line;
    h.lines.ud = &h;
    r->prompt = r->out = -1;
    r->queued_s = r->prefill_s = r->decode_s = NAN;
    put_request(&body, t, q);
    bool ok = !body.failed || err_set(e, ERR_FAILED, "out of memory");
    ok = ok && converse(t, user, buf_str(&body), &h, e);
    if (ok) {
        price_usage u = {.in = r->prompt, .cached = r->cached, .written = h.written, .out = r->out};
        r->bill = price_bill(t->s->sheet, t->s->price, &u, t->s->day);
        r->finish = r->out >= q->max_tokens ? "length" : "end";
        r->bytes_in = body.len;
        r->bytes_out = r->text.len;
    }
    keep_promise(t, worst, ok ? r->bill : worst);
    buf_deinit(&h.lines.rest);
    buf_deinit(&body);
    return ok;
}

static void end(study_arm *a) {
    there *t = a->self;
    while (t->n_clients > 0) http_client_free(t->client[--t->n_clients]);
}

static bool begin(study_arm *a, int users, err *e) {
    there *t = a->self;
    while (t->n_clients < users && t->n_clients < 64) {
        t->client[t->n_clients] = http_client_new(
            &(http_client_options){.stall_timeout_ms = 600000}, e);
        if (!t->client[t->n_clients]) {
            end(a);
            return false;
        }
        t->n_clients++;
    }
    return true;
}

bool study_there_new(study_arm *a, const study_service *s, err *e) {
    there *t = calloc(1, sizeof *t);
    if (!t) return err_set(e, ERR_FAILED, "out of memory");
    str url = str_of(s->url), chat = STR("/chat/completions");
    while (url.n > 0 && url.p[url.n - 1] == '/') url.n--;
    t->s = s;
    t->anthropic = str_ends(url, STR("/messages"));
    bool whole = t->anthropic || str_ends(url, chat);
    int n = snprintf(t->url, sizeof t->url, "%.*s%s", STR_ARG(url), whole ? "" : chat.p);
    if (s->key) {
        snprintf(t->bearer, sizeof t->bearer, "Bearer %s", s->key);
        snprintf(t->secret, sizeof t->secret, "x-api-key: %s", s->key);
    }
    if (n < 0 || (size_t)n >= sizeof t->url || (s->key && strlen(s->key) > 1000)) {
        free(t);
        return err_set(e, ERR_USAGE, "the service's address or key is too long");
    }
    pthread_mutex_init(&t->lock, NULL);
    *a = (study_arm){.name = "there", .begin = begin, .ask = ask, .end = end, .self = t};
    return true;
}

void study_there_free(study_arm *a) {
    there *t = a->self;
    if (!t) return;
    end(a);
    pthread_mutex_destroy(&t->lock);
    free(t);
    *a = (study_arm){0};
}
