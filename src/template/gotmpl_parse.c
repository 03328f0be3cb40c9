/* Reading a Go template into its tree. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "template/gotmpl_tree.h"

enum { PARSE_DEPTH = 100, PARSE_NODES = 50000, PARSE_BYTES = 4 << 20, PARSE_MEMORY = 48 << 20 };

typedef struct gparse {
    str s;
    size_t at;
    uint32_t line;
    gotmpl *t;
    err *e;
    int depth, loops;
    size_t n_nodes;
    bool failed, trim_next;
} gparse;

static bool fail(gparse *x, const char *what) {
    if (!x->failed) err_set(x->e, ERR_DAMAGED, "%s (line %u of the template)", what, x->line);
    x->failed = true;
    return false;
}

static gnode *node(gparse *x, gkind kind) {
    gnode *n = x->failed ? NULL : arena_alloc(x->t->memory, sizeof *n);
    if (!n || ++x->n_nodes > PARSE_NODES) {
        fail(x, "the template is too large");
        return NULL;
    }
    n->kind = kind;
    n->line = x->line;
    return n;
}

static bool const_str(gparse *x, str s, jv *out) {
    jstr *copy = arena_alloc(x->t->memory, sizeof *copy);
    if (!copy) return fail(x, "the template is too large");
    *copy = (jstr){.p = s.p, .n = s.n};
    *out = JV_OF(JV_STR, s, copy);
    return true;
}

/* ---- words ---- */

static int peek(const gparse *x, size_t k) {
    return x->at + k < x->s.n ? (unsigned char)x->s.p[x->at + k] : -1;
}

static bool is_blank(int c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(gparse *x) {
    for (; is_blank(peek(x, 0)); x->at++) x->line += peek(x, 0) == '\n';
}

static bool is_word(int c) {
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c >= 0x80;
}

static str word(gparse *x) {
    size_t start = x->at;
    while (is_word(peek(x, 0))) x->at++;
    return (str){x->s.p + start, x->at - start};
}

static bool at_end(const gparse *x) {
    if (peek(x, 0) == '-' && peek(x, 1) == '}' && peek(x, 2) == '}') return true;
    return peek(x, 0) == '}' && peek(x, 1) == '}';
}

/* Takes the end of an action. */
static bool action_end(gparse *x) {
    skip_blanks(x);
    if (!at_end(x)) return fail(x, "unexpected text in an action");
    x->trim_next = peek(x, 0) == '-';
    x->at += x->trim_next ? 3 : 2;
    return true;
}

static bool quoted(gparse *x, jv *out) {
    char quote = x->s.p[x->at++];
    size_t start = x->at, n = 0;
    while (x->at < x->s.n && x->s.p[x->at] != quote) {
        x->line += x->s.p[x->at] == '\n';
        x->at += quote != '`' && x->s.p[x->at] == '\\' ? 2 : 1;
    }
    if (x->at >= x->s.n) return fail(x, "a string does not end");
    str body = {x->s.p + start, x->at++ - start};
    if (quote == '`' || !memchr(body.p, '\\', body.n)) return const_str(x, body, out);
    char *dst = arena_alloc(x->t->memory, body.n + 8);
    if (!dst) return fail(x, "the template is too large");
    for (size_t i = 0; i < body.n; i++) {
        static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
        if (body.p[i] != '\\') {
            dst[n++] = body.p[i];
            continue;
        }
        char c = body.p[++i];
        const char *hit = c ? strchr(from, c) : NULL;
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        uint32_t cp = 0;
        if (hit) {
            dst[n++] = to[hit - from];
            continue;
        }
        if (!digits || i + digits >= body.n) return fail(x, "a string has a broken escape");
        for (size_t k = 1; k <= digits; k++) {
            char h = body.p[i + k];
            int v = h >= '0' && h <= '9'                 ? h - '0'
                    : (h | 32) >= 'a' && (h | 32) <= 'f' ? (h | 32) - 'a' + 10
                                                         : -1;
            if (v < 0) return fail(x, "a string has a broken escape");
            cp = cp << 4 | (uint32_t)v;
        }
        n += (size_t)utf8_encode(cp, dst + n);
        i += digits;
    }
    return const_str(x, (str){dst, n}, out);
}

/* ---- pipelines ---- */

static gnode *pipeline(gparse *x, char end);

static bool literal(gparse *x, gnode *n) {
    size_t start = x->at;
    if (peek(x, 0) == '-' || peek(x, 0) == '+') x->at++;
    while (is_word(peek(x, 0)) || peek(x, 0) == '.') x->at++;
    n->kind = GN_CONST;
    str text = {x->s.p + start, x->at - start};
    return jstr_number(text, &n->value) || fail(x, "not a number");
}

/* The fields behind an operand: .A.B */
static bool fields(gparse *x, gnode *n) {
    gnode **tail = &n->fields;
    while (*tail) tail = &(*tail)->next;
    while (peek(x, 0) == '.' && is_word(peek(x, 1))) {
        gnode *f = node(x, GN_FIELD);
        if (!f) return false;
        x->at++;
        f->name = word(x);
        if (str_eq(f->name, STR("Response"))) n->answers = true;
        *tail = f;
        tail = &f->next;
    }
    return true;
}

static gnode *operand(gparse *x) {
    gnode *n = node(x, GN_DOT);
    int c = peek(x, 0);
    if (!n) return NULL;
    if (c == '(') {
        x->at++;
        gnode *inner = pipeline(x, ')');
        if (!inner) return NULL;
        n = inner;
    } else if (c == '"' || c == '`' || c == '\'') {
        n->kind = GN_CONST;
        if (!quoted(x, &n->value)) return NULL;
    } else if (c == '$') {
        x->at++;
        n->kind = GN_VAR;
        n->name = word(x);
    } else if (c == '.') {
        if (!is_word(peek(x, 1))) x->at++;
    } else if ((c >= '0' && c <= '9') || ((c == '-' || c == '+') && is_word(peek(x, 1)))) {
        if (!literal(x, n)) return NULL;
    } else if (is_word(c)) {
        n->kind = GN_FUNC;
        n->name = word(x);
        bool is_true = str_eq(n->name, STR("true"));
        if (is_true || str_eq(n->name, STR("false"))) {
            n->kind = GN_CONST;
            n->value = jv_bool(is_true);
        } else if (str_eq(n->name, STR("nil"))) {
            n->kind = GN_CONST;
            n->value = jv_none();
        }
    } else {
        fail(x, "unexpected text in an action");
        return NULL;
    }
    return fields(x, n) ? n : NULL;
}

static gnode *command(gparse *x, char end) {
    gnode *n = node(x, GN_COMMAND), **tail;
    if (!n) return NULL;
    for (tail = &n->list;;) {
        skip_blanks(x);
        int c = peek(x, 0);
        if (c < 0 || c == '|' || (end ? c == end : at_end(x))) break;
        gnode *o = operand(x);
        if (!o) return NULL;
        n->answers |= o->answers;
        *tail = o;
        tail = &o->next;
    }
    if (!n->list) fail(x, "a pipeline is empty");
    return x->failed ? NULL : n;
}

/* "$a, $b :=" at the beginning of a pipeline, if it is there. */
static void declaration(gparse *x, gnode *n) {
    gparse before = *x;
    str name[2] = {{"", 0}, {"", 0}};
    for (int i = 0; i < 2; i++) {
        skip_blanks(x);
        if (peek(x, 0) != '$') break;
        x->at++;
        name[i] = word(x);
        skip_blanks(x);
        if (peek(x, 0) != ',') break;
        x->at++;
    }
    skip_blanks(x);
    bool declares = peek(x, 0) == ':' && peek(x, 1) == '=';
    if (name[0].n > 0 && (declares || peek(x, 0) == '=')) {
        x->at += declares ? 2 : 1;
        n->name = name[0];
        n->name2 = name[1];
        n->declares = declares;
        return;
    }
    x->at = before.at;
    x->line = before.line;
}

static gnode *pipeline(gparse *x, char end) {
    gnode *n = node(x, GN_PIPE), **tail;
    if (!n) return NULL;
    if (++x->depth > PARSE_DEPTH) {
        fail(x, "expressions nest too deep");
        return NULL;
    }
    declaration(x, n);
    for (tail = &n->list;;) {
        gnode *c = command(x, end);
        if (!c) return NULL;
        n->answers |= c->answers;
        *tail = c;
        tail = &c->next;
        if (peek(x, 0) != '|') break;
        x->at++;
    }
    if (end && peek(x, 0) != end) fail(x, "a bracket does not close");
    else if (end) x->at++;
    x->depth--;
    return x->failed ? NULL : n;
}

/* ---- statements ---- */

typedef enum gend { GE_EOF, GE_END, GE_ELSE } gend;
static gnode *statements(gparse *x, gend *end);

/* if, with, range from after its word; an "else if" is one more inside of else. */
static gnode *block(gparse *x, gkind kind) {
    gnode *n = node(x, kind);
    gend end;
    if (!n || !(n->a = pipeline(x, 0)) || !action_end(x)) return NULL;
    x->loops += kind == GN_RANGE;
    n->list = statements(x, &end);
    x->loops -= kind == GN_RANGE;
    if (x->failed) return NULL;
    if (end == GE_ELSE) {
        skip_blanks(x);
        size_t at = x->at;
        str next = word(x);
        bool chained = str_eq(next, STR("if")) || str_eq(next, STR("with"));
        if (chained) {
            if (++x->depth > PARSE_DEPTH) fail(x, "blocks nest too deep");
            n->list2 = block(x, next.n == 2 ? GN_IF : GN_WITH);
            x->depth--;
            return x->failed ? NULL : n;
        }
        x->at = at;
        if (!action_end(x)) return NULL;
        n->list2 = statements(x, &end);
    }
    if (!x->failed && end != GE_END) fail(x, "an end is missing");
    return x->failed ? NULL : n;
}

static bool define(gparse *x) {
    jv name;
    gend end;
    skip_blanks(x);
    if (peek(x, 0) != '"' && peek(x, 0) != '`') return fail(x, "define needs a name");
    if (!quoted(x, &name) || !action_end(x)) return false;
    if (x->t->n_defines == GOTMPL_DEFINES) return fail(x, "too many definitions");
    gnode *body = statements(x, &end);
    if (x->failed || end != GE_END) return fail(x, "an end is missing");
    x->t->define[x->t->n_defines++] = (gdefine){jstr_str(name.u.s), body};
    return true;
}

static gnode *call(gparse *x) {
    gnode *n = node(x, GN_CALL);
    skip_blanks(x);
    if (!n || (peek(x, 0) != '"' && peek(x, 0) != '`')) {
        fail(x, "template needs a name");
        return NULL;
    }
    if (!quoted(x, &n->value)) return NULL;
    n->name = jstr_str(n->value.u.s);
    skip_blanks(x);
    if (!at_end(x) && !(n->a = pipeline(x, 0))) return NULL;
    return n;
}

/* What begins with this word; *done: it has taken its own end. NULL without a failure: nothing. */
static gnode *keyword(gparse *x, str w, bool *done) {
    *done = true;
    if (str_eq(w, STR("if"))) return block(x, GN_IF);
    if (str_eq(w, STR("with"))) return block(x, GN_WITH);
    if (str_eq(w, STR("range"))) return block(x, GN_RANGE);
    if (str_eq(w, STR("define"))) return define(x), NULL;
    *done = false;
    if (str_eq(w, STR("template"))) return call(x);
    bool is_break = str_eq(w, STR("break"));
    if (x->loops == 0) fail(x, "break or continue outside of range");
    return node(x, is_break ? GN_BREAK : GN_CONTINUE);
}

static bool is_keyword(str w) {
    static const char *const words[] = {"if",       "with",  "range",   "define",
                                        "template", "break", "continue"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(w, str_of(words[i]))) return true;
    return false;
}

static gnode *text_before(gparse *x, size_t start, size_t end, bool trims_end) {
    while (x->trim_next && start < end && is_blank(x->s.p[start])) start++;
    while (trims_end && end > start && is_blank(x->s.p[end - 1])) end--;
    x->trim_next = false;
    if (start == end) return NULL;
    gnode *n = node(x, GN_TEXT);
    return n && const_str(x, (str){x->s.p + start, end - start}, &n->value) ? n : NULL;
}

/* One action; appended at *tail. *end is set when it closes the list. */
static bool action(gparse *x, gnode ***tail, gend *end) {
    bool done = false;
    gnode *n = NULL;
    skip_blanks(x);
    if (peek(x, 0) == '/' && peek(x, 1) == '*') {
        size_t close = str_find(x->s, STR("*/"), x->at + 2);
        if (close == (size_t)-1) return fail(x, "a comment does not end");
        for (; x->at < close + 2; x->at++) x->line += peek(x, 0) == '\n';
        return action_end(x);
    }
    size_t at = x->at;
    str w = word(x);
    if (str_eq(w, STR("end"))) {
        *end = GE_END;
        return action_end(x);
    }
    if (str_eq(w, STR("else"))) {
        *end = GE_ELSE; /* what follows is read by who began */
        return true;
    }
    if (is_keyword(w)) {
        n = keyword(x, w, &done);
    } else {
        x->at = at;
        n = node(x, GN_ACTION);
        if (n && !(n->a = pipeline(x, 0))) return false;
    }
    if (x->failed) return false;
    if (n) {
        **tail = n;
        *tail = &n->next;
    }
    return done || action_end(x);
}

static gnode *statements(gparse *x, gend *end) {
    gnode *first = NULL, **tail = &first;
    *end = GE_EOF;
    if (++x->depth > PARSE_DEPTH) fail(x, "blocks nest too deep");
    while (!x->failed && *end == GE_EOF) {
        size_t start = x->at, open = str_find(x->s, STR("{{"), start);
        bool last = open == (size_t)-1;
        if (last) open = x->s.n;
        bool trims = !last && open + 3 < x->s.n && x->s.p[open + 2] == '-' &&
                     is_blank((unsigned char)x->s.p[open + 3]);
        gnode *n = text_before(x, start, open, trims);
        for (; x->at < open; x->at++) x->line += x->s.p[x->at] == '\n';
        if (n) {
            *tail = n;
            tail = &n->next;
        }
        if (last) break;
        x->at = open + (trims ? 3 : 2);
        if (!action(x, &tail, end)) break;
    }
    x->depth--;
    return first;
}

gotmpl *gotmpl_parse(str source, err *e) {
    gotmpl *t = calloc(1, sizeof *t);
    gend end = GE_EOF;
    if (!t || source.n > PARSE_BYTES || !(t->memory = arena_new(PARSE_MEMORY))) {
        free(t);
        err_set(e, ERR_NO_FIT, "the template has %zu bytes; at most %d are read", source.n,
                PARSE_BYTES);
        return NULL;
    }
    char *copy = arena_strdup(t->memory, source);
    gparse x = {.s = {copy ? copy : "", copy ? source.n : 0}, .line = 1, .t = t, .e = e};
    if (!copy) fail(&x, "the template is too large");
    t->body = statements(&x, &end);
    if (!x.failed && end != GE_EOF) fail(&x, "an end or else without its beginning");
    if (!x.failed) return t;
    gotmpl_free(t);
    return NULL;
}

void gotmpl_free(gotmpl *t) {
    if (!t) return;
    arena_free(t->memory);
    free(t);
}

static bool mentions(const gnode *list, str field) {
    for (const gnode *n = list; n; n = n->next) {
        if (n->kind == GN_FIELD && str_eq(n->name, field)) return true;
        if ((n->a && mentions(n->a, field)) || mentions(n->list, field) ||
            mentions(n->list2, field) || mentions(n->fields, field))
            return true;
    }
    return false;
}

bool gotmpl_mentions(const gotmpl *t, const char *field) {
    bool yes = mentions(t->body, str_of(field));
    for (size_t i = 0; i < t->n_defines && !yes; i++)
        yes = mentions(t->define[i].body, str_of(field));
    return yes;
}
