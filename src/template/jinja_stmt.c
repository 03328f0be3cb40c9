/* Statements; and the whole template. */
#include <stdlib.h>

#include "template/jinja_parse.h"

typedef jnode *statement_fn(jparse *x);

/* Statements up to one of the words in ends (separated by blanks; NULL: the template's end). The
 * word that ended it is the present token. */
static jnode *statements(jparse *x, const char *ends, bool *ok);

static bool is_one_of(str word, const char *words) {
    while (words && *words) {
        size_t n = strcspn(words, " ");
        if (n == word.n && memcmp(words, word.p, n) == 0) return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

/* The rest of the tag, then a body; the end word becomes the present token. */
static bool body(jparse *x, const char *ends, jnode **out) {
    bool ok = false;
    parse_skip_op(x, ':');
    if (!parse_expect(x, JT_BLOCK_END, "end of statement block")) return false;
    *out = statements(x, ends, &ok);
    return ok;
}

/* The same, and the end word is taken. */
static bool whole_body(jparse *x, const char *end, jnode **out) {
    return body(x, end, out) && parse_next(x);
}

static jnode *parse_for(jparse *x) {
    jnode *n = parse_node(x, JN_FOR);
    if (!n || !parse_next(x) || !(n->a = parse_target(x, false))) return NULL;
    if (!parse_at_name(x, "in")) {
        parse_fail(x, "expected token 'in'");
        return NULL;
    }
    if (!parse_next(x) || !(n->b = parse_tuple(x, false, false))) return NULL;
    if (parse_skip_name(x, "if") && !(n->c = parse_expression(x, true))) return NULL;
    n->op = parse_skip_name(x, "recursive");
    x->loops++;
    bool ok = body(x, "endfor else", &n->list);
    x->loops--;
    if (!ok) return NULL;
    bool has_else = parse_at_name(x, "else");
    if (!parse_next(x) || (has_else && !whole_body(x, "endfor", &n->list2))) return NULL;
    return parse_done(x, n);
}

static jnode *parse_if(jparse *x) {
    jnode *first = NULL, *n = NULL;
    x->soft++;
    for (;;) {
        jnode *next = parse_node(x, JN_IF);
        if (!next || !parse_next(x) || !(next->a = parse_tuple(x, false, false)) ||
            !body(x, "elif else endif", &next->list) || !parse_done(x, next))
            return NULL;
        if (n) {
            n->list2 = next;
            n->op = 1;
        }
        if (!first) first = next;
        n = next;
        if (parse_at_name(x, "elif")) continue;
        bool has_else = parse_at_name(x, "else");
        if (!parse_next(x) || (has_else && !whole_body(x, "endif", &n->list2))) return NULL;
        break;
    }
    x->soft--;
    /* The chain of elif is walked, not descended: its height is that of its tallest part. */
    unsigned tallest = 0;
    for (const jnode *i = first; i; i = i == n ? NULL : i->list2)
        if (i->height > tallest) tallest = i->height;
    for (const jnode *i = n->list2; i; i = i->next)
        if (i->height >= tallest) tallest = i->height + 1u;
    first->height = (uint16_t)tallest;
    return first;
}

static jnode *parse_set(jparse *x) {
    jnode *n = parse_node(x, JN_SET);
    if (!n || !parse_next(x) || !(n->a = parse_target(x, true))) return NULL;
    if (parse_skip_op(x, '=')) {
        if (!(n->b = parse_tuple(x, true, false))) return NULL;
        return parse_done(x, n);
    }
    n->kind = JN_SET_BLOCK;
    if (parse_at_op(x, '|') && !(n->b = parse_filters(x, NULL, false))) return NULL;
    return whole_body(x, "endset", &n->list) ? parse_done(x, n) : NULL;
}

/* (a, b=1) of a macro or call block into n->list2. */
static bool signature(jparse *x, jnode *n) {
    jnode **tail = &n->list2;
    bool defaults = false;
    if (!parse_expect_op(x, '(')) return false;
    while (!parse_at_op(x, ')')) {
        if (n->list2 && !parse_expect_op(x, ',')) return false;
        jnode *arg = parse_node(x, JN_NAME);
        str name;
        if (!arg || !parse_name(x, &name)) return false;
        arg->sym = parse_sym(x, name);
        if (parse_skip_op(x, '=')) {
            defaults = true;
            if (!(arg->a = parse_expression(x, true))) return false;
        } else if (defaults) {
            return parse_fail(x, "non-default argument follows default argument");
        }
        if (!parse_done(x, arg)) return false;
        *tail = arg;
        tail = &arg->next;
        n->n++;
    }
    return parse_next(x);
}

/* The body, and which of its surplus arguments a macro uses. */
static bool macro_body(jparse *x, const char *end, jnode *n) {
    int loops = x->loops, uses = x->uses;
    x->loops = x->uses = 0;
    if (!whole_body(x, end, &n->list)) return false;
    n->op = (uint8_t)x->uses;
    x->uses |= uses;
    x->loops = loops;
    return true;
}

static jnode *parse_macro(jparse *x) {
    jnode *n = parse_node(x, JN_MACRO);
    str name;
    if (!n || !parse_next(x) || !parse_name(x, &name)) return NULL;
    n->sym = parse_sym(x, name);
    return signature(x, n) && macro_body(x, "endmacro", n) ? parse_done(x, n) : NULL;
}

static jnode *parse_call_block(jparse *x) {
    jnode *n = parse_node(x, JN_CALL_BLOCK), *m = parse_node(x, JN_MACRO);
    if (!n || !m || !parse_next(x)) return NULL;
    m->sym = JS_CALLER;
    if (parse_at_op(x, '(') && !signature(x, m)) return NULL;
    if (!(n->a = parse_expression(x, true))) return NULL;
    if (n->a->kind != JN_CALL) {
        parse_fail(x, "expected call");
        return NULL;
    }
    if (!macro_body(x, "endcall", m)) return NULL;
    n->b = parse_done(x, m);
    return parse_done(x, n);
}

static jnode *parse_filter_block(jparse *x) {
    jnode *n = parse_node(x, JN_FILTER_BLOCK);
    if (!n || !parse_next(x) || !(n->a = parse_filters(x, NULL, true))) return NULL;
    return whole_body(x, "endfilter", &n->list) ? parse_done(x, n) : NULL;
}

static jnode *parse_with(jparse *x) {
    jnode *n = parse_node(x, JN_WITH), **tail;
    if (!n || !parse_next(x)) return NULL;
    for (tail = &n->list2; x->now.type != JT_BLOCK_END;) {
        if (n->list2 && !parse_expect_op(x, ',')) return NULL;
        jnode *set = parse_node(x, JN_SET);
        if (!set || !(set->a = parse_target(x, false)) || !parse_expect_op(x, '=') ||
            !(set->b = parse_expression(x, true)) || !parse_done(x, set))
            return NULL;
        *tail = set;
        tail = &set->next;
    }
    return whole_body(x, "endwith", &n->list) ? parse_done(x, n) : NULL;
}

static jnode *parse_generation(jparse *x) {
    jnode *n = parse_node(x, JN_SCOPE);
    if (!n || !parse_next(x) || !whole_body(x, "endgeneration", &n->list)) return NULL;
    return parse_done(x, n);
}

static jnode *parse_block(jparse *x) {
    jnode *n = parse_node(x, JN_SCOPE);
    str name;
    if (!n || !parse_next(x) || !parse_name(x, &name)) return NULL;
    parse_skip_name(x, "scoped");
    parse_skip_name(x, "required");
    int loops = x->loops;
    x->loops = 0;
    if (!whole_body(x, "endblock", &n->list)) return NULL;
    x->loops = loops;
    if (x->now.type == JT_NAME && str_eq(x->now.text, name) && !parse_next(x)) return NULL;
    return parse_done(x, n);
}

static jnode *parse_autoescape(jparse *x) {
    jnode *n = parse_node(x, JN_SCOPE);
    if (!n || !parse_next(x)) return NULL;
    if (!parse_at_name(x, "false") && !parse_at_name(x, "False")) {
        parse_fail(x, "autoescape is not for chat templates");
        return NULL;
    }
    if (!parse_next(x) || !whole_body(x, "endautoescape", &n->list)) return NULL;
    return parse_done(x, n);
}

static jnode *parse_jump(jparse *x) {
    jnode *n = parse_node(x, parse_at_name(x, "break") ? JN_BREAK : JN_CONTINUE);
    if (x->loops == 0) {
        parse_fail(x, "'%s' outside loop", parse_at_name(x, "break") ? "break" : "continue");
        return NULL;
    }
    return n && parse_next(x) ? parse_done(x, n) : NULL;
}

/* What would read another template: there is none. */
static jnode *parse_other_template(jparse *x) {
    jnode *n = parse_node(x, JN_NO_LOADER);
    while (x->now.type != JT_BLOCK_END && x->now.type != JT_EOF)
        if (!parse_next(x)) return NULL;
    return parse_done(x, n);
}

static const struct {
    const char *word;
    statement_fn *parse;
} table[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"generation", parse_generation},
    {"break", parse_jump},
    {"continue", parse_jump},
    {"block", parse_block},
    {"autoescape", parse_autoescape},
    {"include", parse_other_template},
    {"import", parse_other_template},
    {"from", parse_other_template},
    {"extends", parse_other_template},
};

static jnode *statement(jparse *x, const char *ends) {
    char shown[64];
    if (x->now.type != JT_NAME) {
        parse_fail(x, "tag name expected");
        return NULL;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_eq(x->now.text, str_of(table[i].word))) return table[i].parse(x);
    jlexeme_show(&x->now, shown);
    if (ends) parse_fail(x, "Encountered unknown tag '%s'. Looking for: %s", shown, ends);
    else parse_fail(x, "Encountered unknown tag '%s'.", shown);
    return NULL;
}

/* The node that begins at the present token. *end is set when a closing word is there instead. */
static jnode *one(jparse *x, const char *ends, bool *end) {
    jnode *n = NULL;
    if (x->now.type == JT_DATA) {
        n = parse_node(x, JN_TEXT);
        if (!n || !parse_const_str(x, x->now.text, &n->value) || !parse_next(x)) return NULL;
        return parse_done(x, n);
    }
    if (x->now.type == JT_VAR_BEGIN) {
        n = parse_node(x, JN_OUTPUT);
        if (!n || !parse_next(x) || !(n->a = parse_tuple(x, true, false)) ||
            !parse_expect(x, JT_VAR_END, "end of print statement"))
            return NULL;
        return parse_done(x, n);
    }
    if (!parse_next(x)) return NULL;
    if (x->now.type == JT_NAME && is_one_of(x->now.text, ends)) {
        *end = true;
        return NULL;
    }
    n = statement(x, ends);
    return n && parse_expect(x, JT_BLOCK_END, "end of statement block") ? n : NULL;
}

static jnode *statements(jparse *x, const char *ends, bool *ok) {
    jnode *first = NULL, **tail = &first;
    *ok = false;
    if (x->depth >= PARSE_DEPTH) {
        parse_fail(x, "blocks nest deeper than %d", PARSE_DEPTH);
        return NULL;
    }
    x->depth++;
    while (x->now.type != JT_EOF) {
        bool end = false;
        jnode *n = one(x, ends, &end);
        if (end) {
            x->depth--;
            *ok = true;
            return first;
        }
        if (!n) return NULL;
        *tail = n;
        tail = &n->next;
    }
    x->depth--;
    *ok = !ends;
    if (ends) parse_fail(x, "Unexpected end of template. Looking for: %s", ends);
    return first;
}

jnode *parse_template(jparse *x) {
    bool ok = false;
    jnode *first = parse_next(x) ? statements(x, NULL, &ok) : NULL;
    return ok ? first : NULL;
}

/* ---- a template as a whole ---- */

/* The source with one kind of newline, without the last one, and valid UTF-8. */
static bool normal_source(arena *memory, str s, str *out) {
    char *p = arena_alloc(memory, 3 * s.n + 1);
    if (!p) return false;
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        int len = (unsigned char)s.p[i] < 0x80 ? 1 : utf8_len(s.p + i, s.n - i);
        if (s.p[i] == '\r') {
            p[n++] = '\n';
            i += i + 1 < s.n && s.p[i + 1] == '\n' ? 2 : 1;
        } else if (len > 0) {
            memcpy(p + n, s.p + i, (size_t)len);
            n += (size_t)len;
            i += (size_t)len;
        } else {
            n += (size_t)utf8_encode(0xFFFD, p + n);
            i++;
        }
    }
    if (n > 0 && p[n - 1] == '\n') n--;
    *out = (str){p, n};
    return true;
}

jinja *jinja_parse(str source, err *e) {
    if (source.n > PARSE_BYTES) {
        err_set(e, ERR_NO_FIT, "the template has %zu bytes; at most %d are read", source.n,
                PARSE_BYTES);
        return NULL;
    }
    jinja *t = calloc(1, sizeof *t);
    str s;
    if (!t || !(t->memory = arena_new(PARSE_MEMORY)) || !normal_source(t->memory, source, &s)) {
        jinja_free(t);
        err_set(e, ERR_NO_FIT, "out of memory for a template");
        return NULL;
    }
    jparse *x = calloc(1, sizeof *x);
    if (!x) {
        jinja_free(t);
        err_set(e, ERR_NO_FIT, "out of memory for a template");
        return NULL;
    }
    x->t = t;
    x->e = e;
    jlex_init(&x->lex, s, t->memory, e);
    static const char *const first[] = {"loop", "caller", "varargs", "kwargs"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) parse_sym(x, str_of(first[i]));
    t->body = parse_template(x);
    bool ok = !x->failed;
    free(x);
    if (ok) return t;
    jinja_free(t);
    return NULL;
}

void jinja_free(jinja *t) {
    if (!t) return;
    arena_free(t->memory);
    free(t);
}

bool jinja_mentions(const jinja *t, const char *name) {
    for (uint32_t i = 0; i < t->n_names; i++)
        if (str_eq(t->name[i], str_of(name))) return true;
    return false;
}
