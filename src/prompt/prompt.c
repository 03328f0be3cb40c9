/* Recognising the family of a model, writing spans, and encoding them. */
#include "prompt/prompt.h"

#include <stdlib.h>

#include "base/limits.h"
#include "prompt/prompt_private.h"

void prompt_text_init(prompt_text *x) {
    *x = (prompt_text){0};
    buf_init(&x->text, LIMIT_TEXT_BYTES);
}

void prompt_text_deinit(prompt_text *x) {
    buf_deinit(&x->text);
    free(x->span);
    free(x->marker);
    *x = (prompt_text){0};
}

/* ---- recognising ---- */

bool source_has(str source, const char *needle) {
    return str_find(source, str_of(needle), 0) != (size_t)-1;
}

void prompt_init(prompt *p, str source, str bos, str eos) {
    *p = (prompt){.source = source, .bos = bos, .eos = eos};
    for (size_t i = 0; i < prompt_n_families && !p->family; i++)
        if (source.n > 0 && prompt_families[i].knows_template(source))
            p->family = &prompt_families[i];
    p->opens_bos = source_has(source, "bos_token");
}

void prompt_init_file(prompt *p, const gguf *g, const tok *t) {
    str source = {"", 0};
    gguf_get_str(g, "tokenizer.chat_template", &source);
    prompt_init(p, source, tok_text(t, tok_bos(t)), tok_text(t, tok_eos(t)));
    if (source.n == 0)
        for (size_t i = 0; i < prompt_n_families && !p->family; i++)
            if (prompt_families[i].knows_vocab(t)) p->family = &prompt_families[i];
    p->opens_bos = p->bos.n > 0 && (p->opens_bos || tok_adds_bos(t));
}

const char *prompt_family_name(const prompt_family *f) {
    return f ? f->name : "none";
}

const char *const *prompt_family_names(void) {
    static const char *names[32];
    for (size_t i = 0; i < prompt_n_families && i + 1 < sizeof names / sizeof *names; i++)
        names[i] = prompt_families[i].name;
    return names;
}

/* ---- writing ---- */

void prompt_text_put(prompt_text *x, prompt_kind kind, str text) {
    if (text.n == 0 || x->text.failed) return;
    size_t start = x->text.len;
    if (!buf_put_str(&x->text, text)) return;
    prompt_span *last = x->n_spans ? &x->span[x->n_spans - 1] : NULL;
    if (last && last->kind == kind && kind != PROMPT_CONTROL) {
        last->n += text.n;
        return;
    }
    if (x->n_spans == x->cap_spans) {
        size_t cap = x->cap_spans ? 2 * x->cap_spans : 32;
        prompt_span *more = realloc(x->span, cap * sizeof *more);
        if (!more) {
            x->text.failed = true;
            return;
        }
        x->span = more;
        x->cap_spans = cap;
    }
    x->span[x->n_spans++] = (prompt_span){kind, start, text.n};
}

void put_control(prompt_writer *w, const char *name) {
    prompt_text_put(w->out, PROMPT_CONTROL, str_of(name));
}

void put_text(prompt_writer *w, const char *text) {
    prompt_text_put(w->out, PROMPT_TEXT, str_of(text));
}

void put_text_str(prompt_writer *w, str text) {
    prompt_text_put(w->out, PROMPT_TEXT, text);
}

void put_content(prompt_writer *w, str text) {
    prompt_text_put(w->out, PROMPT_CONTENT, text);
}

void put_bos(prompt_writer *w) {
    if (w->p->opens_bos) prompt_text_put(w->out, PROMPT_CONTROL, w->p->bos);
}

void put_eos(prompt_writer *w) {
    prompt_text_put(w->out, PROMPT_CONTROL, w->p->eos);
}

bool is_role(const prompt_message *m, const char *role) {
    return str_eq(m->role, str_of(role));
}

bool is_system(const prompt_message *m) {
    return is_role(m, "system") || is_role(m, "developer");
}

bool must_alternate(prompt_writer *w) {
    size_t turn = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (turn == 0 && is_system(&w->m[i])) continue;
        if (!is_role(&w->m[i], turn % 2 == 0 ? "user" : "assistant"))
            return err_set(
                w->e, ERR_USAGE,
                "message %zu is of role %.*s: with this model (%s), user and assistant take turns",
                i + 1, STR_ARG(w->m[i].role), w->p->family->name);
        turn++;
    }
    return true;
}

bool prompt_render(const prompt *p, const prompt_message *m, size_t n, const prompt_how *how,
                   prompt_text *out, err *e) {
    if (!p->family)
        return err_set(e, ERR_FAILED, "the model has no chat template that Hearth recognises");
    for (size_t i = 0; i < n; i++)
        if (!is_system(&m[i]) && !is_role(&m[i], "user") && !is_role(&m[i], "assistant"))
            return err_set(e, ERR_USAGE, "message %zu has the unknown role \"%.*s\"", i + 1,
                           (int)(m[i].role.n < 40 ? m[i].role.n : 40), m[i].role.p);
    prompt_writer w = {p, m, n, how, out, e};
    if (!p->family->write(&w)) return false;
    if (out->text.failed)
        return err_set(e, ERR_NO_FIT, "the conversation is longer than %u MB",
                       LIMIT_TEXT_BYTES >> 20);
    return true;
}

/* ---- encoding ---- */

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The tokens that the tokenizer would recognise even in ordinary text (some files mark their turn
 * markers "user defined"), and that ordinary text must not become. */
typedef struct guarded {
    int32_t id[256];
    size_t n;
} guarded;

static bool is_guarded(const guarded *g, int32_t id) {
    for (size_t i = 0; i < g->n; i++)
        if (g->id[i] == id) return true;
    return false;
}

static void guard(guarded *g, const tok *t, int32_t id) {
    if (id < 0 || tok_attr_of(t, id) != TOK_USER_DEFINED || is_guarded(g, id)) return;
    if (g->n < sizeof g->id / sizeof *g->id) g->id[g->n++] = id;
}

static void guard_all(guarded *g, const prompt_text *x, const tok *t) {
    g->n = 0;
    for (size_t i = 0; i < x->n_markers; i++) guard(g, t, x->marker[i]);
    for (size_t i = 0; i < x->n_spans; i++)
        if (x->span[i].kind == PROMPT_CONTROL)
            guard(g, t, tok_find(t, (str){x->text.data + x->span[i].start, x->span[i].n}));
}

/* The offset in the middle of the next guarded name in text, from `from`; else text.n. */
static size_t guarded_middle(const guarded *g, str text, size_t from, const tok *t) {
    for (int32_t id; g->n > 0;) {
        size_t at = tok_special_next(t, text, from, 0, &id);
        if (id < 0) break;
        size_t n = tok_text(t, id).n;
        if (n > 1 && is_guarded(g, id)) return at + n / 2;
        from = at + n;
    }
    return text.n;
}

/* The ordinary text [from, to), less the white space that the control tokens around it swallow. */
static bool encode_run(const prompt_text *x, const guarded *g, size_t from, size_t to,
                       bool strip_left, bool strip_right, const tok *t, tok_ids *ids, err *e) {
    const char *p = x->text.data;
    while (strip_left && from < to && is_blank(p[from])) from++;
    while (strip_right && from < to && is_blank(p[to - 1])) to--;
    unsigned flags = 0;
    while (from < to) {
        size_t n = guarded_middle(g, (str){p + from, to - from}, 0, t);
        if (!tok_encode(t, (str){p + from, n}, flags, ids, e)) return false;
        from += n;
        flags = TOK_NO_PREFIX;
    }
    return true;
}

bool prompt_encode(const prompt_text *x, const tok *t, tok_ids *ids, err *e) {
    guarded g;
    guard_all(&g, x, t);
    size_t run = 0; /* where the present run of ordinary text began */
    bool after_strips = false;
    for (size_t i = 0; i < x->n_spans; i++) {
        const prompt_span *s = &x->span[i];
        if (s->kind != PROMPT_CONTROL) continue;
        int32_t id = tok_find(t, (str){x->text.data + s->start, s->n});
        tok_attr a = id >= 0 ? tok_attr_of(t, id) : TOK_NORMAL;
        /* A marker that is no token of this vocabulary is written out as text. */
        if (a != TOK_CONTROL && a != TOK_USER_DEFINED && a != TOK_UNKNOWN) continue;
        bool before_strips = tok_strips(t, id) & TOK_STRIP_LEFT;
        if (!encode_run(x, &g, run, s->start, after_strips, before_strips, t, ids, e)) return false;
        if (!tok_ids_push(ids, id))
            return err_set(e, ERR_NO_FIT, "out of memory for %zu tokens", ids->n);
        run = s->start + s->n;
        after_strips = tok_strips(t, id) & TOK_STRIP_RIGHT;
    }
    return encode_run(x, &g, run, x->text.len, after_strips, false, t, ids, e);
}
