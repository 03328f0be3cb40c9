/* /v1/completions: a text goes on. */
#include <stdio.h>
#include <stdlib.h>

#include "api/ids.h"
#include "api/infill.h"
#include "api/openai/openai.h"
#include "base/limits.h"

static const api_field text_fields[] = {
    {.name = "prompt",
     .types = API_STRING | API_ARRAY,
     .required = true,
     .items = API_STRING | API_INT | API_ARRAY,
     .len_max = LIMIT_CONTEXT,
     .doc = "a text, token numbers, or an array of either"},
    {.name = "max_tokens",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "longest answer; default 16; -1: until the model ends or the context is full"},
    {.name = "n",
     .types = API_INT,
     .min = 1,
     .max = LIMIT_CHOICES,
     .doc = "number of answers to each prompt"},
    {.name = "best_of",
     .types = API_INT,
     .min = 1,
     .max = LIMIT_CHOICES,
     .doc = "the same as n, nothing else"},
    {.include = openai_stream_fields},
    {.name = "logprobs",
     .types = API_INT,
     .max = 20,
     .doc = "tell each token's log-probability and those of so many likeliest"},
    {.name = "echo", .types = API_BOOL, .doc = "begin the answer with the prompt"},
    {.name = "suffix",
     .types = API_STRING,
     .doc = "what follows the answer, with a model that can fill in"},
    {.include = openai_common_fields},
    {.include = api_samplers_fields},
    {.include = api_sampler_fields},
    {0},
};

typedef struct text_state {
    bool include_usage, logprobs;
    str *echo; /* [prompts] each prompt's text; NULL: not wanted */
} text_state;

/* One token's log-probabilities, as kept in a choice's `extra`: this, then n_top pairs. */
typedef struct logprob_row {
    hearth_logprob chosen;
    int32_t n_top;
    uint32_t said; /* characters that came with it: none for a control token */
} logprob_row;

/* ---- log-probabilities ---- */

static size_t characters(str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static void rows_add(buf *b, const hearth_token *t) {
    str said = {t->text, t->text_len};
    logprob_row r = {{t->id, t->logprob}, t->n_top, (uint32_t)characters(said)};
    buf_append(b, &r, sizeof r);
    if (t->n_top) buf_append(b, t->top, (size_t)t->n_top * sizeof *t->top);
}

typedef enum row_part { ROW_TOKENS, ROW_VALUES, ROW_TOP, ROW_OFFSETS } row_part;

/* One of the four arrays of all rows. */
static void rows_part(api_call *c, jsonw *w, const buf *rows, row_part part, size_t offset) {
    jsonw_array(w);
    for (size_t at = 0; at + sizeof(logprob_row) <= rows->len;) {
        logprob_row r;
        memcpy(&r, rows->data + at, sizeof r);
        at += sizeof r;
        str text = api_token_text(c, r.chosen.token);
        if (part == ROW_TOKENS) jsonw_str(w, text);
        if (part == ROW_VALUES) jsonw_f64(w, api_logprob_finite(r.chosen.logprob));
        if (part == ROW_OFFSETS) jsonw_uint(w, offset);
        offset += r.said;
        if (part == ROW_TOP) jsonw_object(w);
        for (int32_t i = 0; i < r.n_top; i++, at += sizeof(hearth_logprob)) {
            hearth_logprob l;
            memcpy(&l, rows->data + at, sizeof l);
            if (part != ROW_TOP) continue;
            char key[256];
            str s = api_token_text(c, l.token);
            snprintf(key, sizeof key, "%.*s", STR_ARG(s));
            jsonw_key(w, key);
            jsonw_f64(w, api_logprob_finite(l.logprob));
        }
        if (part == ROW_TOP) jsonw_end(w);
    }
    jsonw_end(w);
}

/* The member "logprobs" of a choice; offset: characters before the first row's token. */
static void rows_write(api_call *c, jsonw *w, const buf *rows, size_t offset) {
    const text_state *s = c->state;
    jsonw_key(w, "logprobs");
    if (!s->logprobs) {
        jsonw_null(w);
        return;
    }
    static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    jsonw_object(w);
    for (int i = 0; i < 4; i++) {
        jsonw_key(w, names[i]);
        rows_part(c, w, rows, (row_part)i, offset);
    }
    jsonw_end(w);
}

/* ---- the answer ---- */

static void head(api_call *c, jsonw *w) {
    jsonw_init(w, &c->out);
    openai_head(c, w, "text_completion");
}

static str echo_of(const api_call *c, const api_choice *ch) {
    const text_state *s = c->state;
    return s->echo ? s->echo[ch->prompt] : (str){"", 0};
}

static void choice_write(jsonw *w, const api_choice *ch, str text, const char *finish) {
    jsonw_key(w, "index");
    jsonw_int(w, ch->index);
    jsonw_key(w, "text");
    jsonw_str(w, text);
    jsonw_key(w, "finish_reason");
    if (finish) jsonw_str(w, str_of(finish));
    else jsonw_null(w);
}

static void event(api_call *c, const api_choice *ch, str text, const buf *rows, const char *finish,
                  bool is_last) {
    const text_state *s = c->state;
    jsonw w;
    buf_puts(&c->out, "data: ");
    head(c, &w);
    if (ch) {
        size_t before = characters(buf_str(&ch->text)) + characters(echo_of(c, ch));
        size_t own = characters(text);
        jsonw_object(&w);
        choice_write(&w, ch, text, finish);
        rows_write(c, &w, rows, before > own ? before - own : 0);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    openai_event_end(c, &w, s->include_usage, is_last);
}

static void text_begin(api_call *c) {
    const buf none = {0};
    for (int i = 0; c->stream && i < c->n_choices; i++) {
        str echo = echo_of(c, &c->choice[i]);
        if (echo.n) event(c, &c->choice[i], echo, &none, NULL, false);
    }
}

static void text_piece(api_call *c, api_choice *ch, const api_piece *p) {
    const text_state *s = c->state;
    bool has_row = s->logprobs && p->token && p->token->id >= 0;
    if (has_row) rows_add(&ch->extra, p->token);
    if (!c->stream || (p->text.n == 0 && !has_row)) return;
    event(c, ch, p->text, &ch->extra, NULL, false);
    buf_clear(&ch->extra);
}

static void text_end(api_call *c, api_choice *ch) {
    const buf none = {0};
    if (c->stream) event(c, ch, STR(""), &none, openai_finish(ch->usage.finish), false);
}

static void whole_choice(api_call *c, jsonw *w, const api_choice *ch) {
    str echo = echo_of(c, ch);
    buf both;
    buf_init(&both, SIZE_MAX / 4);
    buf_put_str(&both, echo);
    buf_put_str(&both, buf_str(&ch->text));
    if (both.failed) w->out->failed = true;
    jsonw_object(w);
    choice_write(w, ch, buf_str(&both), openai_finish(ch->usage.finish));
    rows_write(c, w, &ch->extra, characters(echo));
    jsonw_end(w);
    buf_deinit(&both);
}

static void text_finish(api_call *c) {
    const text_state *s = c->state;
    jsonw w;
    if (c->stream) {
        if (s->include_usage) event(c, NULL, STR(""), NULL, NULL, true);
        buf_puts(&c->out, "data: [DONE]\n\n");
        return;
    }
    head(c, &w);
    for (int i = 0; i < c->n_choices; i++) whole_choice(c, &w, &c->choice[i]);
    jsonw_end(&w);
    jsonw_key(&w, "usage");
    openai_usage(c, &w);
    jsonw_end(&w);
}

static const api_writer text_writer = {text_begin, text_piece, text_end, text_finish};

/* ---- the request ---- */

static bool prompt_read(api_call *c, const json_t *v, api_prompt *out, str *echo, api_error *e) {
    const char *suffix = api_get_text(c->body, "suffix", "");
    if (json_is_string(v)) {
        str text = {json_string_value(v), json_string_length(v)};
        infill_text gap = {.before = text, .after = str_of(suffix)};
        if (echo) *echo = text;
        return *suffix ? infill_prompt(c, &gap, out, e) : api_text_prompt(c, text, out, e);
    }
    if (*suffix)
        return api_fail(e, 400, "invalid_value", "suffix", "suffix needs prompts that are texts");
    if (!json_is_array(v))
        return api_fail(e, 400, "invalid_type", "prompt",
                        "prompt: texts and token numbers cannot be mixed");
    return api_ids_prompt(c, v, "prompt", out, e) && (!echo || api_ids_text(c, out, echo, e));
}

/* "prompt" is one prompt, or an array of prompts; an array of numbers is one prompt. */
static bool prompts_read(api_call *c, text_state *s, api_prompt **out, int *n, api_error *e) {
    const json_t *v = api_get(c->body, "prompt"), *first = json_array_get(v, 0);
    bool one = json_is_string(v) || json_is_number(first) || !first;
    size_t count = one ? 1 : json_array_size(v);
    if (!api_prompts_new(c, count, out, e)) return false;
    if (api_get_bool(c->body, "echo", false) &&
        !(s->echo = arena_calloc(c->arena, count, sizeof *s->echo)))
        return api_no_memory(e);
    for (size_t i = 0; i < count; i++) {
        *n = (int)i + 1; /* what is read of one is freed, also when its text cannot be had */
        if (!prompt_read(c, one ? v : json_array_get(v, i), &(*out)[i],
                         s->echo ? &s->echo[i] : NULL, e))
            return false;
    }
    return true;
}

static bool options_read(api_call *c, hearth_params *p, text_state *s, int *n, api_error *e) {
    const json_t *b = c->body;
    if (!api_sampler_read(c, b, p, e)) return false;
    api_samplers_keep(b, p);
    *n = (int)api_get_int(b, "n", 1);
    if (api_get_int(b, "best_of", *n) != *n)
        return api_fail(e, 400, "unsupported_value", "best_of", "best_of must be the same as n");
    s->logprobs = api_get(b, "logprobs") != NULL;
    p->n_logprobs = s->logprobs ? (int32_t)api_get_int(b, "logprobs", 0) : -1;
    p->max_tokens = (int32_t)api_get_int(b, "max_tokens",
                                         api_usual_length(c) < 0 ? 16 : api_usual_length(c));
    return openai_stream_read(c, &s->include_usage, e);
}

static void complete(api_call *c) {
    api_error e = {0};
    hearth_params p;
    api_prompt *prompts = NULL;
    int n_prompts = 0, n = 1;
    text_state *s = arena_alloc(c->arena, sizeof *s);
    api_call_name(c, "cmpl-");
    c->state = s;
    bool ok = s || api_no_memory(&e);
    ok = ok && options_read(c, &p, s, &n, &e);
    if (ok && !prompts_read(c, s, &prompts, &n_prompts, &e)) {
        ok = false;
        for (int i = 0; i < n_prompts; i++) hearth_free(prompts[i].ids);
    }
    ok = ok && api_generate(c, &text_writer, &p, prompts, n_prompts, n, &e);
    if (!ok) api_reply_error(c, &e);
}

const api_route api_routes_openai_text[] = {
    {"POST", "/v1/completions", &api_dialect_openai, API_INFERENCE, .run = complete,
     .fields = text_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "a text goes on"},
    {0},
};
