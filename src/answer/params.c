/* The steps of calls whose arguments are XML: one element a parameter, or elements in elements. A
 * parameter's value is text; the tool's schema says what it is. Strings are sent as they come,
 * other values once they are whole. */
#include <string.h>

#include "answer/answer_private.h"

#define KEY_BYTES 256

/* What is at the end of s that may be the beginning of `mark`. */
static size_t held_back(str s, str mark) {
    size_t n = s.n < mark.n ? s.n : mark.n - 1;
    for (; n > 0; n--)
        if (memcmp(s.p + s.n - n, mark.p, n) == 0) return n;
    return 0;
}

/* ---- one element a parameter ---- */

enum { X_BEGIN = 0, X_NEXT, X_KEY, X_AFTER_KEY, X_VALUE, X_WHOLE, X_STRING };

static str close_of(const answer *a, char space[64]) {
    const char *close = a->f->params->close;
    if (!a->cdata) return str_of(close);
    size_t n = strlen(close);
    memcpy(space, "]]>", 3);
    memcpy(space + 3, close, n);
    return (str){space, n + 3};
}

static void put_key(answer *a) {
    if (a->any_param) buf_puts(&a->args, ", ");
    a->any_param = true;
    value_quote(buf_str(&a->key_text), &a->args);
    buf_puts(&a->args, ": ");
}

static answer_step next_param(answer *a) {
    answer_skip_blanks(a);
    str s = answer_rest(a), open = str_of(a->f->params->open);
    if (s.n < open.n && str_starts(open, s)) return STEP_MORE;
    if (str_starts(s, open)) {
        a->pos += open.n;
        a->state = X_KEY;
        return STEP_DONE;
    }
    buf_putc(&a->args, '}');
    a->writer = ARGS_WHOLE;
    a->state = -1;
    answer_send_args(a);
    return STEP_DONE;
}

static answer_step read_key(answer *a) {
    str s = answer_rest(a), end = str_of(a->f->params->key_end);
    size_t at = str_find(s, end, 0);
    if (at == (size_t)-1 || at > KEY_BYTES)
        return s.n > KEY_BYTES + end.n || at != (size_t)-1 ? STEP_FAIL : STEP_MORE;
    buf_clear(&a->key_text);
    buf_put_str(&a->key_text, str_trim((str){s.p, at}));
    a->pos += at + end.n;
    a->raw_text = false;
    a->key = 0;
    a->state = X_AFTER_KEY;
    return STEP_DONE;
}

/* From the key to where the value begins. */
static answer_step after_key(answer *a) {
    const answer_params *p = a->f->params;
    str s = answer_rest(a), value = str_of(p->value);
    if (p->flags & PARAMS_TYPED) {
        size_t at = str_find(s, STR(">"), 0);
        if (at == (size_t)-1 || at > KEY_BYTES) return s.n > KEY_BYTES ? STEP_FAIL : STEP_MORE;
        str attributes = {s.p, at};
        a->raw_text = str_find(attributes, STR("string=\"true\""), 0) != (size_t)-1;
        a->key = str_find(attributes, STR("string=\"false\""), 0) != (size_t)-1;
        a->pos += at + 1;
    } else if (p->value) {
        answer_skip_blanks(a);
        s = answer_rest(a);
        if (s.n < value.n) return str_starts(value, s) ? STEP_MORE : STEP_FAIL;
        if (!str_starts(s, value)) return STEP_FAIL;
        a->pos += value.n;
    }
    a->cdata = false;
    a->state = X_VALUE;
    return STEP_DONE;
}

/* Whether a value's text must be kept until it is whole. */
static unsigned kinds_of_param(const answer *a) {
    if (a->raw_text) return KIND_STRING;
    unsigned kinds = answer_schema_kinds(
        answer_schema_property(a->schema, a->schema, buf_str(&a->key_text)), a->schema);
    if (a->key) kinds &= ~(unsigned)KIND_STRING; /* string="false" */
    return kinds ? kinds : KIND_ANY;
}

static answer_step begin_param(answer *a) {
    const answer_params *p = a->f->params;
    str s = answer_rest(a), cdata = STR("<![CDATA[");
    if (p->flags & PARAMS_LINES) {
        if (s.n == 0) return STEP_MORE;
        if (s.p[0] == '\n') a->pos++;
    }
    if (p->flags & PARAMS_CDATA) {
        if (s.n < cdata.n && str_starts(cdata, s)) return STEP_MORE;
        a->cdata = str_starts(s, cdata);
        if (a->cdata) a->pos += cdata.n;
    }
    a->state = X_WHOLE;
    if (kinds_of_param(a) != KIND_STRING) return STEP_DONE;
    put_key(a);
    buf_putc(&a->args, '"');
    a->text = (value_text){.n = 0};
    a->state = X_STRING;
    return STEP_DONE;
}

static answer_step whole_param(answer *a) {
    char space[64];
    str s = answer_rest(a), close = close_of(a, space);
    size_t at = str_find(s, close, 0);
    if (at == (size_t)-1) return STEP_MORE;
    str value = {s.p, at};
    if ((a->f->params->flags & PARAMS_LINES) && str_ends(value, STR("\n"))) value.n--;
    put_key(a);
    answer_schema_value(kinds_of_param(a), value, &a->args);
    a->pos += at + close.n;
    a->state = X_NEXT;
    answer_send_args(a);
    return STEP_DONE;
}

static answer_step string_param(answer *a) {
    char space[64], line[64];
    str s = answer_rest(a), close = close_of(a, space);
    size_t at = str_find(s, close, 0), n = at;
    bool lines = a->f->params->flags & PARAMS_LINES;
    if (at == (size_t)-1) {
        n = s.n - held_back(s, close);
        if (lines) { /* the line break in front of the end is part of it */
            line[0] = '\n';
            memcpy(line + 1, close.p, close.n);
            n = s.n - held_back(s, (str){line, close.n + 1});
            size_t bare = s.n - held_back(s, close);
            if (bare < n) n = bare;
        }
    } else if (lines && n > 0 && s.p[n - 1] == '\n') {
        n--;
    }
    value_text_put(&a->text, (str){s.p, n}, &a->args);
    if (at == (size_t)-1) {
        a->pos += n;
        answer_send_args(a);
        return STEP_MORE;
    }
    value_text_end(&a->text, &a->args);
    buf_putc(&a->args, '"');
    a->pos += at + close.n;
    a->state = X_NEXT;
    answer_send_args(a);
    return STEP_DONE;
}

static answer_step begin_xml(answer *a, answer_args writer) {
    a->any_param = false;
    a->writer = writer;
    answer_begin(a);
    buf_putc(&a->args, '{');
    answer_send_args(a);
    a->state = X_NEXT;
    return STEP_DONE;
}

answer_step answer_step_xml(answer *a) {
    while (a->state >= 0) {
        answer_step got = STEP_FAIL;
        switch (a->state) {
        case X_BEGIN: got = begin_xml(a, ARGS_XML); break;
        case X_NEXT: got = next_param(a); break;
        case X_KEY: got = read_key(a); break;
        case X_AFTER_KEY: got = after_key(a); break;
        case X_VALUE: got = begin_param(a); break;
        case X_WHOLE: got = whole_param(a); break;
        default: got = string_param(a); break;
        }
        if (got != STEP_DONE) return got;
    }
    return STEP_DONE;
}

void answer_close_xml(answer *a) {
    if (a->state == X_STRING) {
        value_text_end(&a->text, &a->args);
        buf_putc(&a->args, '"');
    }
    buf_putc(&a->args, '}');
}

/* ---- elements in elements: <k>v</k>, lists of <item>, every tag after a mark ---- */

static const char nested_mark[] = "]<]minimax[>[";

static void close_element(const answer_element *el, buf *out) {
    buf_puts(out, el->type == '{' ? "}" : el->type == '[' ? "]" : el->type == '"' ? "\"" : "null");
}

void answer_close_nested(answer *a) {
    if (a->depth > 0 && a->element[a->depth - 1].type == '"') value_text_end(&a->text, &a->args);
    while (a->depth > 0) close_element(&a->element[--a->depth], &a->args);
}

/* An element of unknown content turns out to hold others. */
static void become_container(answer *a, answer_element *el, str first) {
    bool list = str_eq(first, STR("item")) ? (el->kinds & KIND_ARRAY) != 0
                                           : !(el->kinds & KIND_OBJECT);
    el->type = list ? '[' : '{';
    buf_putc(&a->args, el->type);
}

static bool open_element(answer *a, str tag) {
    answer_element *parent = &a->element[a->depth - 1], *el = parent + 1;
    if (a->depth == ANSWER_NESTING || tag.n >= sizeof el->name || tag.n == 0) return false;
    if (parent->type == '?') become_container(a, parent, tag);
    if (parent->type == '"') return false;
    if (parent->any) buf_puts(&a->args, ", ");
    parent->any = true;
    if (parent->type == '{') {
        value_quote(tag, &a->args);
        buf_puts(&a->args, ": ");
    }
    *el = (answer_element){.type = '?'};
    memcpy(el->name, tag.p, tag.n);
    el->schema = parent->type == '{' ? answer_schema_property(parent->schema, a->schema, tag)
                                     : answer_schema_items(parent->schema, a->schema);
    el->kinds = answer_schema_kinds(el->schema, a->schema);
    if (el->kinds == KIND_STRING || el->kinds == KIND_OBJECT || el->kinds == KIND_ARRAY) {
        el->type = el->kinds == KIND_STRING ? '"' : el->kinds == KIND_OBJECT ? '{' : '[';
        buf_putc(&a->args, el->type);
    }
    a->text = (value_text){.n = 0};
    a->depth++;
    return true;
}

/* The end tag of the innermost element, after `content`. */
static bool shut_element(answer *a, str tag, str content) {
    answer_element *el = &a->element[a->depth - 1];
    if (!str_eq(tag, str_of(el->name))) return false;
    if (el->type == '"') value_text_end(&a->text, &a->args);
    if (el->type == '?') answer_schema_value(el->kinds, content, &a->args);
    else close_element(el, &a->args);
    a->depth--;
    return true;
}

/* Text in front of a tag: nothing but white space where elements are expected. */
static bool content_fits(const answer *a, str content) {
    char type = a->element[a->depth - 1].type;
    return type == '?' || type == '"' || str_trim(content).n == 0;
}

answer_step answer_step_nested(answer *a) {
    str mark = str_of(nested_mark);
    if (a->state == 0) {
        begin_xml(a, ARGS_NESTED);
        a->element[0] = (answer_element){.name = "invoke", .schema = a->schema, .type = '{'};
        a->depth = 1;
    }
    while (a->depth > 0) {
        str s = answer_rest(a);
        size_t at = str_find(s, mark, 0);
        if (a->element[a->depth - 1].type == '"') {
            size_t n = at == (size_t)-1 ? s.n - held_back(s, mark) : at;
            value_text_put(&a->text, (str){s.p, n}, &a->args);
            answer_send_args(a);
            a->pos += n;
            s = answer_rest(a);
            at = at == (size_t)-1 ? at : 0;
        }
        if (at == (size_t)-1) return STEP_MORE;
        str tag = {s.p + at + mark.n, s.n - at - mark.n}, content = {s.p, at};
        size_t end = str_find(tag, STR(">"), 0);
        if (end == (size_t)-1) return tag.n > KEY_BYTES ? STEP_FAIL : STEP_MORE;
        if (end > KEY_BYTES || tag.p[0] != '<' || !content_fits(a, content)) return STEP_FAIL;
        bool closing = end > 1 && tag.p[1] == '/';
        str name = closing ? (str){tag.p + 2, end - 2} : (str){tag.p + 1, end - 1};
        if (!(closing ? shut_element(a, name, content) : open_element(a, name))) return STEP_FAIL;
        a->pos += at + mark.n + end + 1;
        answer_send_args(a);
    }
    a->writer = ARGS_WHOLE;
    answer_end(a, false);
    return STEP_DONE;
}
