/* A model's template tried out, conversations brought into its shape, and its text in spans. */
#include "prompt/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "prompt/chat_shape.h"
#include "template/jinja.h"

enum { MARKERS_MOST = 128 };

struct prompt_chat {
    const tok *t;
    str source;
    jinja *template; /* NULL: the family, if any, writes */
    json_t *own;     /* bos_token ... */
    prompt family;
    chat_shape shape;
    char problem[512];            /* empty: none */
    int32_t marker[MARKERS_MOST]; /* user-defined tokens that the template names */
    size_t n_markers;
};

/* ---- opening ---- */

static void set_own(json_t *own, const char *name, const tok *t, int32_t id) {
    if (id < 0 || id >= tok_n_vocab(t)) return;
    str s = tok_text(t, id);
    json_t *v = json_stringn(s.p, s.n); /* NULL for what is no UTF-8: then it stays undefined */
    if (v) json_object_set_new(own, name, v);
}

/* White space that is a token of its own is ordinary text wherever it stands. */
static bool is_blank_name(str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.n - i >= 3 && memcmp(s.p + i, "\xe2\x96\x81", 3) == 0) i += 2;
        else if (s.p[i] != ' ' && (s.p[i] < '\t' || s.p[i] > '\r')) return false;
    }
    return true;
}

/* The template's name for what a message must not become. */
static void find_markers(prompt_chat *c, str source) {
    for (size_t at = 0; at < source.n;) {
        int32_t id;
        at = tok_special_next(c->t, source, at, TOK_SPECIAL, &id);
        if (id < 0) break;
        str name = tok_text(c->t, id);
        at += name.n;
        bool known = tok_attr_of(c->t, id) != TOK_USER_DEFINED || is_blank_name(name);
        for (size_t i = 0; i < c->n_markers && !known; i++) known = c->marker[i] == id;
        if (!known && c->n_markers < MARKERS_MOST) c->marker[c->n_markers++] = id;
    }
}

prompt_chat *prompt_chat_open(const gguf *g, const tok *t) {
    prompt_chat *c = calloc(1, sizeof *c);
    if (!c || !(c->own = json_object())) {
        free(c);
        return NULL;
    }
    int64_t pad;
    err e = {0};
    c->t = t;
    c->source = (str){"", 0};
    gguf_get_str(g, "tokenizer.chat_template", &c->source);
    prompt_init_file(&c->family, g, t);
    set_own(c->own, "bos_token", t, tok_bos(t));
    set_own(c->own, "eos_token", t, tok_eos(t));
    set_own(c->own, "unk_token", t, tok_unk(t));
    if (gguf_get_i64(g, "tokenizer.ggml.padding_token_id", &pad) && pad >= 0 &&
        pad < tok_n_vocab(t))
        set_own(c->own, "pad_token", t, (int32_t)pad);
    if (c->source.n == 0) return c;
    find_markers(c, c->source);
    c->template = jinja_parse(c->source, &e);
    if (c->template) chat_shape_find(&c->shape, c->template, c->source, c->own);
    else snprintf(c->problem, sizeof c->problem, "%s", e.msg);
    return c;
}

void prompt_chat_close(prompt_chat *c) {
    if (!c) return;
    jinja_free(c->template);
    json_decref(c->own);
    free(c);
}

const char *prompt_chat_name(const prompt_chat *c) {
    if (c->family.family) return prompt_family_name(c->family.family);
    return c->template ? "jinja" : NULL;
}

str prompt_chat_source(const prompt_chat *c) {
    return c->source;
}

const char *prompt_chat_problem(const prompt_chat *c) {
    return c->problem[0] ? c->problem : NULL;
}

unsigned prompt_chat_abilities(const prompt_chat *c) {
    if (!c->template) return c->family.family ? PROMPT_CAN_SYSTEM : 0;
    return (c->shape.merges_system ? 0u : PROMPT_CAN_SYSTEM) |
           (c->shape.has_tools ? PROMPT_CAN_TOOLS : 0u) |
           (c->shape.has_think ? PROMPT_CAN_THINK : 0u);
}

/* ---- text in spans ---- */

static bool is_control(const prompt_chat *c, int32_t id) {
    tok_attr a = tok_attr_of(c->t, id);
    if (a == TOK_CONTROL || a == TOK_UNKNOWN) return true;
    return a == TOK_USER_DEFINED && !is_blank_name(tok_text(c->t, id));
}

/* Text of the template's own: the control tokens in it become such. */
static void put_own(const prompt_chat *c, str s, prompt_text *out) {
    size_t from = 0;
    for (size_t at = 0; at < s.n;) {
        int32_t id;
        at = tok_special_next(c->t, s, at, TOK_SPECIAL, &id);
        if (id < 0) break;
        size_t n = tok_text(c->t, id).n;
        if (is_control(c, id)) {
            prompt_text_put(out, PROMPT_TEXT, (str){s.p + from, at - from});
            prompt_text_put(out, PROMPT_CONTROL, (str){s.p + at, n});
            from = at + n;
        }
        at += n;
    }
    prompt_text_put(out, PROMPT_TEXT, (str){s.p + from, s.n - from});
}

static void put_marked(const prompt_chat *c, const jinja_result *r, size_t n, prompt_text *out) {
    for (size_t at = 0, end; at < n; at = end) {
        bool content = r->mark ? r->mark[at] : r->content;
        for (end = at + 1; end < n && (!r->mark || r->mark[end] == r->mark[at]);) end++;
        str part = {r->text.p + at, end - at};
        if (content) prompt_text_put(out, PROMPT_CONTENT, part);
        else put_own(c, part, out);
    }
}

/* Models whose tokenizer begins every text with a token get it also where the template leaves it
 * out. */
static void put_begin(const prompt_chat *c, str text, prompt_text *out) {
    str bos = tok_bos(c->t) >= 0 ? tok_text(c->t, tok_bos(c->t)) : (str){"", 0};
    if (bos.n > 0 && tok_adds_bos(c->t) && !str_starts(text, bos))
        prompt_text_put(out, PROMPT_CONTROL, bos);
}

/* ---- rendering ---- */

/* Where the last message's text ends in what was rendered; the whole length where it has none. */
static bool end_of_last(const prompt_request *q, str text, size_t *end, err *e) {
    json_t *last = json_array_get(q->messages, json_array_size(q->messages) - 1);
    json_t *content = json_object_get(last, "content");
    str whole = {json_string_value(content), json_string_length(content)};
    str bare = str_trim(whole);
    size_t at = (size_t)-1;
    if (!json_is_string(content) || bare.n == 0)
        return err_set(e, ERR_USAGE, "the last message has no text to go on with");
    for (size_t next = 0; (next = str_find(text, bare, next)) != (size_t)-1; next++) at = next;
    if (at == (size_t)-1)
        return err_set(e, ERR_USAGE, "the template does not write the last message as it is");
    /* White space at its end counts where the template has kept it. */
    str left = {bare.p, whole.n - (size_t)(bare.p - whole.p)};
    bool kept = text.n - at >= left.n && memcmp(text.p + at, left.p, left.n) == 0;
    *end = at + (kept ? left.n : bare.n);
    return true;
}

static json_t *variables(const chat_shape *shape, const prompt_request *q, err *e) {
    json_t *vars = json_object(), *messages = chat_shape_messages(shape, q->messages, e);
    const char *key;
    json_t *value;
    if (!vars || !messages) {
        json_decref(vars);
        json_decref(messages);
        return NULL;
    }
    json_object_set_new(vars, "messages", messages);
    if (q->tools && json_array_size(q->tools) > 0) json_object_set(vars, "tools", q->tools);
    json_object_set_new(vars, "add_generation_prompt",
                        json_boolean(q->open_answer && !q->continue_last));
    if (q->think >= 0) {
        json_object_set_new(vars, "enable_thinking", json_boolean(q->think));
        json_object_set_new(vars, "thinking", json_boolean(q->think));
    }
    if (q->effort) json_object_set_new(vars, "reasoning_effort", json_string(q->effort));
    json_object_foreach(q->kwargs, key, value) if (!json_object_get(vars, key))
        json_object_set(vars, key, value);
    return vars;
}

static bool keep_markers(const prompt_chat *c, prompt_text *out, err *e) {
    free(out->marker);
    out->n_markers = c->n_markers;
    out->marker = malloc((c->n_markers + 1) * sizeof *out->marker);
    if (!out->marker) return err_set(e, ERR_NO_FIT, "out of memory");
    memcpy(out->marker, c->marker, c->n_markers * sizeof *out->marker);
    return true;
}

static bool render_with(const prompt_chat *c, const jinja *t, const chat_shape *shape,
                        const prompt_request *q, prompt_text *out, err *e) {
    time_t now = (time_t)q->now;
    struct tm clock;
    jinja_result r;
    if (q->now) localtime_r(&now, &clock);
    json_t *vars = variables(shape, q, e);
    if (!vars) return false;
    jinja_how how = {
        .vars = vars, .own = c->own, .now = q->now ? &clock : NULL, .changeable = true};
    bool ok = jinja_render(t, &how, &r, e);
    json_decref(vars);
    if (!ok) return false;
    size_t n = r.text.n;
    if (q->continue_last) ok = end_of_last(q, r.text, &n, e);
    ok = ok && keep_markers(c, out, e);
    if (ok) {
        put_begin(c, r.text, out);
        put_marked(c, &r, n, out);
        if (out->text.failed)
            ok = err_set(e, ERR_NO_FIT, "the conversation is longer than %u MB",
                         LIMIT_TEXT_BYTES >> 20);
    }
    jinja_result_deinit(&r);
    return ok;
}

/* What a family can write: roles and texts. */
static bool render_family(const prompt_chat *c, const prompt_request *q, prompt_text *out, err *e) {
    size_t n = json_array_size(q->messages), i;
    json_t *m;
    prompt_message *view = calloc(n + 1, sizeof *view);
    if (!view) return err_set(e, ERR_FAILED, "out of memory");
    json_t *plain = chat_shape_messages(&(chat_shape){0}, q->messages, e);
    bool ok = plain != NULL;
    if (ok && (q->continue_last || json_array_size(q->tools) > 0))
        ok = err_set(e, ERR_USAGE, "this model has no template that takes %s",
                     q->continue_last ? "the beginning of an answer" : "tools");
    json_array_foreach(plain, i, m) {
        json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content");
        view[i].role = (str){json_string_value(role), json_string_length(role)};
        view[i].text = (str){json_is_string(content) ? json_string_value(content) : "",
                             json_string_length(content)};
    }
    prompt_how how = {.open_answer = q->open_answer, .now = q->now ? q->now : (int64_t)time(NULL)};
    ok = ok && prompt_render(&c->family, view, n, &how, out, e);
    json_decref(plain);
    free(view);
    return ok;
}

static bool render_override(const prompt_chat *c, const prompt_request *q, prompt_text *out,
                            err *e) {
    jinja *t = jinja_parse(str_of(q->template), e);
    if (!t) {
        if (e) e->code = ERR_USAGE;
        return err_wrap(e, "the template");
    }
    prompt_chat other = *c;
    other.n_markers = 0;
    find_markers(&other, str_of(q->template));
    chat_shape_find(&other.shape, t, str_of(q->template), c->own);
    bool ok = render_with(&other, t, &other.shape, q, out, e);
    jinja_free(t);
    return ok;
}

bool prompt_chat_render(const prompt_chat *c, const prompt_request *q, prompt_text *out, err *e) {
    if (!json_is_array(q->messages)) return err_set(e, ERR_USAGE, "messages must be an array");
    if (q->template) return render_override(c, q, out, e);
    if (!c->template && !c->family.family)
        return err_set(e, ERR_FAILED, "the model has no chat template%s%s",
                       c->problem[0] ? " that can be run: " : "", c->problem);
    if (!c->template) {
        if (c->problem[0])
            log_once(c->problem,
                     "the model's chat template cannot be read (%s); its family's form "
                     "(%s) is used",
                     c->problem, prompt_family_name(c->family.family));
        return render_family(c, q, out, e);
    }
    err own = {0};
    if (render_with(c, c->template, &c->shape, q, out, &own)) return true;
    if (own.code == ERR_FAILED && c->family.family && !json_array_size(q->tools) &&
        !q->continue_last && out->text.len == 0 && render_family(c, q, out, NULL)) {
        log_once(own.msg,
                 "the model's chat template cannot be run (%s); its family's form (%s) is "
                 "used",
                 own.msg, prompt_family_name(c->family.family));
        return true;
    }
    if (e) *e = own;
    return false;
}
