/* /completion, /completions and /infill, as llama-server has them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/ids.h"
#include "api/infill.h"
#include "api/llamacpp/llamacpp.h"
#include "base/clock.h"
#include "base/limits.h"

/* ---- what a request may hold ---- */

static const api_field common_fields[] = {
    {.include = api_model_fields},
    {.name = "grammar", .types = API_STRING, .doc = "rules in GBNF, from \"root\""},
    {.name = "json_schema", .types = API_OBJECT, .doc = "the answer is JSON that it describes"},
    {.name = "n_predict",
     .types = API_INT,
     .min = -2,
     .max = INT32_MAX,
     .doc = "longest answer in tokens; -1 and -2: until the model ends or the context is full; 0: "
            "only the prompt is read"},
    {.name = "max_tokens",
     .types = API_INT,
     .min = -1,
     .max = INT32_MAX,
     .doc = "the same as n_predict, which goes before"},
    {.name = "n_cmpl", .types = API_INT, .min = 1, .max = LIMIT_CHOICES, .doc = "answers each"},
    {.name = "n", .types = API_INT, .min = 1, .max = LIMIT_CHOICES, .doc = "the same as n_cmpl"},
    {.name = "n_indent",
     .types = API_INT,
     .max = 65536,
     .doc = "end before a line that begins with fewer blanks; 0: no such rule"},
    {.name = "t_max_predict_ms",
     .types = API_NUMBER,
     .min = -1,
     .max = 1e12,
     .doc = "once this time has gone since the first token, end with the line; 0 and -1: never"},
    {.name = "t_max_prompt_ms", .types = API_NUMBER, .doc = "has no effect"},
    {.name = "response_fields",
     .types = API_ARRAY,
     .items = API_STRING,
     .len_max = 256,
     .doc = "of the whole answer, or the stream's last event, only these members; "
            "\"timings/prompt_n\" is a member of a member, and keeps that name"},
    {.name = "stream", .types = API_BOOL, .doc = "send the answer as it is made"},
    {.name = "n_probs",
     .types = API_INT,
     .max = LIMIT_TOP_LOGPROBS,
     .doc = "tell the log-probabilities of so many likeliest tokens"},
    {.name = "post_sampling_probs",
     .types = API_BOOL,
     .doc = "refused when true: probabilities are the model's own"},
    {.name = "return_tokens", .types = API_BOOL, .doc = "tell the numbers of the tokens too"},
    {.name = "cache_prompt",
     .types = API_BOOL,
     .doc = "has no effect: the answer is the same with and without"},
    {.name = "id_slot", .types = API_INT, .min = -1, .max = INT32_MAX, .doc = "has no effect"},
    {.include = api_samplers_fields},
    {.include = api_sampler_fields},
    {0},
};

static const api_field text_fields[] = {
    {.name = "prompt",
     .types = API_STRING | API_ARRAY | API_OBJECT,
     .required = true,
     .doc = "a text, token numbers, both in one array, or an array of such prompts"},
    {.include = common_fields},
    {0},
};

static const api_field extra_fields[] = {
    {.name = "filename", .types = API_STRING},
    {.name = "text", .types = API_STRING, .required = true},
    {0},
};

static const api_field infill_fields[] = {
    {.name = "input_prefix", .types = API_STRING, .doc = "the text before the gap"},
    {.name = "input_suffix", .types = API_STRING, .doc = "the text after it"},
    {.name = "input_extra",
     .types = API_ARRAY,
     .items = API_OBJECT,
     .of = extra_fields,
     .len_max = 4096,
     .doc = "other files of the same work"},
    {.name = "prompt", .types = API_STRING, .doc = "what the gap begins with"},
    {.include = common_fields},
    {0},
};

/* ---- the answer ---- */

typedef struct native_choice {
    buf ids;           /* tokens generated, int32_t; by cleanup */
    uint64_t first_ns; /* when the first one came */
    size_t line;       /* where in the text the last line begins; 0: the first */
    bool line_ok;      /* and that it is indented enough */
} native_choice;

typedef struct native_state {
    hearth_params p; /* as asked; its lists are in the arena */
    bool return_tokens;
    int32_t n_indent;
    uint64_t time_ns;      /* t_max_predict_ms; 0: none */
    str *prompt;           /* [prompts]: as text, in the arena */
    native_choice *choice; /* [n_made] */
    int n_made;
} native_state;

static void cleanup(api_call *c) {
    native_state *s = c->state;
    for (int i = 0; i < s->n_made; i++) buf_deinit(&s->choice[i].ids);
}

static void ids_write(jsonw *w, const char *key, const int32_t *ids, size_t n) {
    jsonw_key(w, key);
    jsonw_array(w);
    for (size_t i = 0; i < n; i++) jsonw_int(w, ids[i]);
    jsonw_end(w);
}

static void head(jsonw *w, const api_choice *ch, str text) {
    jsonw_object(w);
    jsonw_key(w, "index");
    jsonw_int(w, ch->index);
    jsonw_key(w, "content");
    jsonw_str(w, text);
}

/* Bytes at the end of the text that n_indent leaves out: those of a line that is indented less,
 * from its first other character on. 0: all is well so far. */
static size_t indent_check(const native_state *s, native_choice *n, str text) {
    for (;;) {
        const char *nl = memchr(text.p + n->line, '\n', text.n - n->line);
        if (n->line && !n->line_ok) {
            size_t at = n->line;
            while (at < text.n && (text.p[at] == ' ' || text.p[at] == '\t')) at++;
            if (at == text.n) return 0;
            if (at - n->line < (size_t)s->n_indent) return text.n - at;
            n->line_ok = true;
        }
        if (!nl) return 0;
        n->line = (size_t)(nl - text.p) + 1;
        n->line_ok = false;
    }
}

/* What n_indent and t_max_predict_ms, by which editors ask for a few good lines soon, leave of a
 * piece. */
static str limits_heed(const native_state *s, api_choice *ch, str text) {
    native_choice *n = &s->choice[ch->index];
    uint64_t now = clock_now_ns();
    size_t less = 0;
    if (!n->first_ns) n->first_ns = now;
    if (s->n_indent > 0 && ch->text.len) less = indent_check(s, n, buf_str(&ch->text));
    bool late = s->time_ns && now - n->first_ns > s->time_ns && text.n &&
                memchr(text.p, '\n', text.n);
    if (!less && !late) return text;
    api_choice_cut(ch);
    ch->text.len -= less;
    return (str){text.p, text.n > less ? text.n - less : 0};
}

static void piece(api_call *c, api_choice *ch, const api_piece *p) {
    native_state *s = c->state;
    const hearth_token *t = p->token;
    bool is_token = t && t->id >= 0, prob = is_token && s->p.n_logprobs >= 0;
    str text = limits_heed(s, ch, p->text);
    jsonw w;
    if (is_token) buf_append(&s->choice[ch->index].ids, &t->id, sizeof t->id);
    if (!c->stream) {
        if (prob) api_logprob_keep(c, ch, t, true);
        return;
    }
    if (text.n == 0 && !prob && !s->return_tokens) return;
    buf_puts(&c->out, "data: ");
    jsonw_init(&w, &c->out);
    head(&w, ch, text);
    ids_write(&w, "tokens", is_token ? &t->id : NULL, is_token);
    jsonw_key(&w, "stop");
    jsonw_bool(&w, false);
    jsonw_key(&w, "id_slot");
    jsonw_int(&w, -1);
    jsonw_key(&w, "tokens_predicted");
    jsonw_int(&w, ch->n_tokens);
    if (prob) {
        jsonw_key(&w, "completion_probabilities");
        jsonw_array(&w);
        api_logprob_write(c, &w, t, true);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    buf_puts(&c->out, "\n\n");
}

static void rate_write(jsonw *w, const char *what, int32_t n, double seconds) {
    char key[48];
    const struct {
        const char *end;
        double value;
    } rows[] = {{"_n", n},
                {"_ms", seconds * 1e3},
                {"_per_token_ms", n > 0 ? seconds * 1e3 / n : NAN},
                {"_per_second", seconds > 0 ? n / seconds : NAN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(key, sizeof key, "%s%s", what, rows[i].end);
        jsonw_key(w, key);
        jsonw_f64(w, rows[i].value);
    }
}

static void timings_write(jsonw *w, const hearth_usage *u) {
    jsonw_key(w, "timings");
    jsonw_object(w);
    jsonw_key(w, "cache_n");
    jsonw_int(w, u->n_cached);
    rate_write(w, "prompt", u->n_prompt - u->n_cached, u->prefill_s);
    rate_write(w, "predicted", u->n_generated, u->decode_s);
    if (u->n_drafted > 0) {
        jsonw_key(w, "draft_n");
        jsonw_int(w, u->n_drafted);
        jsonw_key(w, "draft_n_accepted");
        jsonw_int(w, u->n_accepted);
    }
    jsonw_end(w);
}

/* Which stop string ended the answer: the one that the tokens go on with after its text. */
static str stop_of(api_call *c, const api_choice *ch) {
    const native_state *s = c->state;
    const buf *ids = &s->choice[ch->index].ids;
    char *text;
    size_t n;
    str found = STR("");
    if (ch->usage.finish != HEARTH_FINISH_STOP || !ids->data) return found;
    if (!hearth_detokenize(resident_model(c->model), (const int32_t *)(const void *)ids->data,
                           ids->len / sizeof(int32_t), s->p.special_text, &text, &n, NULL))
        return found;
    for (const char *const *stop = s->p.stop; stop && *stop && found.n == 0; stop++) {
        str rest = {text + ch->text.len, n > ch->text.len ? n - ch->text.len : 0};
        if (str_starts(rest, str_of(*stop))) found = str_of(*stop);
    }
    hearth_free(text);
    return found;
}

static const char *stop_type(hearth_finish f) {
    return f == HEARTH_FINISH_STOP     ? "word"
           : f == HEARTH_FINISH_LENGTH ? "limit"
           : f == HEARTH_FINISH_END    ? "eos"
                                       : "none";
}

/* What is known at the end, into an open object. */
static void end_members(api_call *c, jsonw *w, const api_choice *ch) {
    const native_state *s = c->state;
    const hearth_usage *u = &ch->usage;
    hearth_params p = s->p;
    jsonw_key(w, "id_slot");
    jsonw_int(w, -1);
    jsonw_key(w, "stop");
    jsonw_bool(w, true);
    jsonw_key(w, "model");
    jsonw_str(w, str_of(c->model_name));
    jsonw_key(w, "tokens_predicted");
    jsonw_int(w, u->n_generated);
    jsonw_key(w, "tokens_evaluated");
    jsonw_int(w, u->n_prompt);
    jsonw_key(w, "generation_settings");
    jsonw_object(w);
    llamacpp_settings(w, &p);
    jsonw_key(w, "stream");
    jsonw_bool(w, c->stream);
    jsonw_end(w);
    jsonw_key(w, "prompt");
    jsonw_str(w, s->prompt[ch->prompt]);
    jsonw_key(w, "has_new_line");
    jsonw_bool(w, ch->text.len && memchr(ch->text.data, '\n', ch->text.len));
    jsonw_key(w, "truncated");
    jsonw_bool(w, false);
    jsonw_key(w, "stop_type");
    jsonw_str(w, str_of(stop_type(u->finish)));
    jsonw_key(w, "stopping_word");
    jsonw_str(w, stop_of(c, ch));
    jsonw_key(w, "tokens_cached");
    jsonw_int(w, u->n_prompt + u->n_generated);
    timings_write(w, u);
    api_energy_write(c, ch, w);
}

/* The member at "a/b" of an object; NULL: none. */
static json_t *member_at(json_t *o, const char *path) {
    for (;;) {
        size_t n = strcspn(path, "/");
        o = json_object_getn(o, path, n);
        if (!o || !path[n]) return o;
        path += n + 1;
    }
}

/* Leaves of the object at c->out[from, ..] what response_fields names. */
static void members_keep(api_call *c, size_t from) {
    const json_t *names = api_get(c->body, "response_fields"), *name;
    size_t i;
    if (json_array_size(names) == 0 || c->out.failed) return;
    json_t *all = json_loadb(c->out.data + from, c->out.len - from, 0, NULL), *some = json_object();
    bool ok = all && some;
    json_array_foreach(names, i, name) {
        json_t *v = ok ? member_at(all, json_string_value(name)) : NULL;
        if (v) ok = json_object_set(some, json_string_value(name), v) == 0;
    }
    char *text = ok ? json_dumps(some, JSON_COMPACT) : NULL;
    c->out.len = from;
    if (text) buf_puts(&c->out, text);
    else c->out.failed = true;
    free(text);
    json_decref(some);
    json_decref(all);
}

static void end(api_call *c, api_choice *ch) {
    jsonw w;
    if (!c->stream) return;
    buf_puts(&c->out, "data: ");
    size_t from = c->out.len;
    jsonw_init(&w, &c->out);
    head(&w, ch, STR(""));
    ids_write(&w, "tokens", NULL, 0);
    end_members(c, &w, ch);
    jsonw_end(&w);
    members_keep(c, from);
    buf_puts(&c->out, "\n\n");
}

static void whole_write(api_call *c, jsonw *w, const api_choice *ch) {
    const native_state *s = c->state;
    const buf *ids = &s->choice[ch->index].ids;
    head(w, ch, buf_str(&ch->text));
    ids_write(w, "tokens", (const int32_t *)(const void *)ids->data,
              s->return_tokens ? ids->len / sizeof(int32_t) : 0);
    end_members(c, w, ch);
    if (s->p.n_logprobs >= 0) {
        jsonw_key(w, "completion_probabilities");
        api_logprobs_write(w, buf_str(&ch->extra));
    }
    jsonw_end(w);
}

static void finish(api_call *c) {
    jsonw w;
    if (c->stream) return;
    bool one = c->n_choices == 1;
    if (!one) buf_putc(&c->out, '[');
    for (int i = 0; i < c->n_choices; i++) {
        if (i) buf_putc(&c->out, ',');
        size_t from = c->out.len;
        jsonw_init(&w, &c->out);
        whole_write(c, &w, &c->choice[i]);
        members_keep(c, from);
    }
    if (!one) buf_putc(&c->out, ']');
}

static const api_writer writer = {.piece = piece, .end = end, .finish = finish};

/* ---- the request ---- */

static bool is_given(const json_t *v) {
    return v && !json_is_false(v) && !(json_is_number(v) && json_number_value(v) <= 0) &&
           !(json_is_string(v) && !*json_string_value(v)) &&
           !(json_is_array(v) && json_array_size(v) == 0);
}

/* What would change the answer and cannot be had. */
static bool possible(const json_t *body, api_error *e) {
    static const char *const names[] = {"image_data", "dynatemp_range", "top_n_sigma",
                                        "adaptive_target", "post_sampling_probs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_given(api_get(body, names[i])))
            return api_fail(e, 400, "unsupported_value", names[i], "%s is not supported here",
                            names[i]);
    return true;
}

static bool grammar_read(api_call *c, hearth_params *p, api_error *e) {
    const json_t *rules = api_get(c->body, "grammar"), *schema = api_get(c->body, "json_schema");
    if (is_given(rules) && !api_obey_text(c, HEARTH_GRAMMAR_GBNF, json_string_value(rules),
                                          json_string_length(rules), "grammar", p, e))
        return false;
    return !json_is_object(schema) || api_obey_schema(c, schema, "json_schema", p, e);
}

static bool options_read(api_call *c, native_state *s, int *n_each, api_error *e) {
    const json_t *b = c->body;
    if (!possible(b, e) || !api_sampler_read(c, b, &s->p, e) || !grammar_read(c, &s->p, e))
        return false;
    int64_t n = api_get_int(b, "n_predict", api_get_int(b, "max_tokens", api_usual_length(c)));
    int64_t n_probs = api_get_int(b, "n_probs", 0);
    s->p.max_tokens = n < 0 ? -1 : (int32_t)n;
    s->p.n_logprobs = n_probs > 0 ? (int32_t)n_probs : -1;
    s->return_tokens = api_get_bool(b, "return_tokens", false);
    s->n_indent = (int32_t)api_get_int(b, "n_indent", 0);
    double ms = api_get_number(b, "t_max_predict_ms", 0);
    s->time_ns = ms > 0 ? (uint64_t)(ms * 1e6) + 1 : 0;
    api_samplers_keep(b, &s->p);
    *n_each = (int)api_get_int(b, "n_cmpl", api_get_int(b, "n", 1));
    c->stream = api_get_bool(b, "stream", false);
    return true;
}

static bool prompt_read(api_call *c, const json_t *v, api_prompt *out, api_error *e) {
    const unsigned flags = HEARTH_TOK_SPECIAL | HEARTH_TOK_BOS;
    if (json_is_object(v)) {
        if (json_array_size(api_get(v, "multimodal_data")) > 0)
            return api_fail(e, 400, "unsupported_content", "prompt",
                            "prompt.multimodal_data: \"%s\" takes text alone", c->model_name);
        v = api_get(v, "prompt_string");
    }
    if (json_is_string(v))
        return api_text_prompt(c, (str){json_string_value(v), json_string_length(v)}, out, e);
    if (json_is_array(v)) return api_ids_prompt_mixed(c, v, "prompt", flags, out, e);
    return api_fail(e, 400, "invalid_type", "prompt",
                    "prompt must be a text, token numbers, or an array of such prompts");
}

/* An array that holds a number is one prompt; others are arrays of prompts. */
static bool is_one(const json_t *v) {
    size_t i;
    const json_t *item;
    if (!json_is_array(v) || json_array_size(v) == 0) return true;
    json_array_foreach(v, i, item) if (json_is_number(item)) return true;
    return false;
}

static bool prompts_read(api_call *c, api_prompt **out, int *n, api_error *e) {
    const json_t *v = api_get(c->body, "prompt");
    bool one = is_one(v);
    size_t count = one ? 1 : json_array_size(v);
    if (!api_prompts_new(c, count, out, e)) return false;
    for (size_t i = 0; i < count; i++, ++*n)
        if (!prompt_read(c, one ? v : json_array_get(v, i), &(*out)[i], e)) return false;
    return true;
}

static bool infill_read(api_call *c, api_prompt **out, int *n, api_error *e) {
    const json_t *b = c->body, *extra = api_get(b, "input_extra"), *x;
    size_t i, n_extra = json_array_size(extra);
    infill_file *files = arena_calloc(c->arena, n_extra + 1, sizeof *files);
    *out = arena_calloc(c->arena, 1, sizeof **out);
    if (!*out || !files) return api_no_memory(e);
    json_array_foreach(extra, i, x) {
        files[i].name = str_of(api_get_text(x, "filename", "file"));
        files[i].text = str_of(api_get_text(x, "text", ""));
    }
    infill_text t = {.before = str_of(api_get_text(b, "input_prefix", "")),
                     .after = str_of(api_get_text(b, "input_suffix", "")),
                     .begun = str_of(api_get_text(b, "prompt", "")),
                     .extra = files,
                     .n_extra = n_extra};
    if (!infill_prompt(c, &t, *out, e)) return false;
    *n = 1;
    return true;
}

/* The prompts as text, and a place for the tokens of each answer. */
static bool state_settle(api_call *c, native_state *s, const api_prompt *prompts, int n, int n_each,
                         api_error *e) {
    if ((int64_t)n * n_each > LIMIT_CHOICES)
        return api_fail(e, 400, "out_of_range", "n_cmpl", "%d prompts with n_cmpl %d are too many",
                        n, n_each);
    s->prompt = arena_calloc(c->arena, (size_t)n, sizeof *s->prompt);
    s->choice = arena_calloc(c->arena, (size_t)(n * n_each), sizeof *s->choice);
    if (!s->prompt || !s->choice) return api_no_memory(e);
    for (int i = 0; i < n * n_each; i++) buf_init(&s->choice[i].ids, LIMIT_CALL_BYTES);
    s->n_made = n * n_each;
    for (int i = 0; i < n; i++)
        if (!api_ids_text(c, &prompts[i], &s->prompt[i], e)) return false;
    return true;
}

static void run(api_call *c, bool (*read)(api_call *, api_prompt **, int *, api_error *)) {
    api_error e = {0};
    api_prompt *prompts = NULL;
    int n = 0, n_each = 1;
    native_state *s = arena_calloc(c->arena, 1, sizeof *s);
    bool ok = s || api_no_memory(&e);
    c->state = s;
    if (s) c->cleanup = cleanup;
    ok = ok && options_read(c, s, &n_each, &e);
    if (ok && (!read(c, &prompts, &n, &e) || !state_settle(c, s, prompts, n, n_each, &e))) {
        ok = false;
        for (int i = 0; i < n; i++) hearth_free(prompts[i].ids);
    }
    ok = ok && api_generate(c, &writer, &s->p, prompts, n, n_each, &e);
    if (!ok) api_reply_error(c, &e);
}

static void complete(api_call *c) {
    run(c, prompts_read);
}

static void infill(api_call *c) {
    run(c, infill_read);
}

const api_route api_routes_llamacpp_text[] = {
    {"POST", "/completion", &api_dialect_llamacpp, API_INFERENCE, .run = complete,
     .fields = text_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "a text goes on, as llama-server says it"},
    {"POST", "/completions", &api_dialect_llamacpp, API_INFERENCE, .run = complete,
     .fields = text_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "the same as /completion"},
    {"POST", "/infill", &api_dialect_llamacpp, API_INFERENCE, .run = infill,
     .fields = infill_fields, .model = true, .streams = API_STREAM_ASKED,
     .summary = "the text between two others"},
    {0},
};
