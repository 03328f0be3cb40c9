/* The steps of a call: its fixed texts, its name and id, and its arguments where these are values.
 * A step looks at what follows pos and advances it; STEP_MORE leaves everything so that it can be
 * taken up again with more bytes. */
#include <stdio.h>
#include <string.h>

#include "answer/answer_private.h"

#define NAME_BYTES 256
#define HEADER_BYTES 512

/* ---- patterns ---- */

static answer_op_kind kind_of_letter(char c) {
    static const char letters[] = "nikaclxmpght;";
    static const answer_op_kind kinds[] = {OP_NAME,   OP_ID,  OP_KIMI,   OP_ARGS,   OP_CALL,
                                           OP_LIST,   OP_XML, OP_NESTED, OP_PYTHON, OP_GEMMA,
                                           OP_HEADER, OP_TAG, OP_LAST};
    return kinds[strchr(letters, c) - letters];
}

void answer_pattern_read(const char *text, answer_pattern *out) {
    int group[4], depth = 0;
    out->n = 0;
    while (*text && out->n < ANSWER_OPS) {
        answer_op *op = &out->op[out->n++];
        *op = (answer_op){.kind = OP_TEXT};
        if (*text == '%' && (text[1] == '?' || text[1] == '*')) {
            op->kind = text[1] == '?' ? OP_OPTION : OP_REPEAT;
            group[depth++] = out->n - 1;
            text += 3;
        } else if (*text == '%' && text[1] == ')') {
            answer_op *head = &out->op[group[--depth]];
            op->kind = OP_BACK;
            op->to = head->kind == OP_REPEAT ? group[depth] : out->n;
            head->to = out->n;
            text += 2;
        } else if (*text == '%') {
            op->kind = kind_of_letter(text[1]);
            text += 2;
        } else {
            size_t n = *text == '\n' ? strspn(text, "\n") : strcspn(text, "%\n");
            op->kind = *text == '\n' ? OP_BLANK : OP_TEXT;
            op->text = (str){text, n};
            text += n;
        }
    }
}

/* ---- fixed texts, names, ids ---- */

answer_step answer_step_text(answer *a, str text) {
    str s = answer_rest(a);
    if (s.n < text.n) return str_starts(text, s) ? STEP_MORE : STEP_FAIL;
    if (!str_starts(s, text)) return STEP_FAIL;
    a->pos += text.n;
    if (a->open) answer_end(a, false);
    if (a->n_done > 0) a->mark = a->pos;
    return STEP_DONE;
}

static bool in_name(char c) {
    return c < 0 || (c > ' ' && c != 0x7f && !strchr("<>[]{}()\"'`,=|", c));
}

/* A run of a name's characters, up to `until` where that is given: bytes, or -1 for more. */
static int name_run(str s, char until) {
    size_t n = 0;
    while (n < s.n && n <= NAME_BYTES &&
           (until ? s.p[n] != until && s.p[n] != '\n' : in_name(s.p[n])))
        n++;
    if (n > NAME_BYTES) return 0;
    return n == s.n ? -1 : (int)n;
}

answer_step answer_step_name(answer *a, const answer_op *next) {
    str s = answer_rest(a);
    bool delimited = next && next->kind == OP_TEXT;
    int n = name_run(s, delimited ? next->text.p[0] : 0);
    if (n <= 0) return n < 0 ? STEP_MORE : STEP_FAIL;
    str name = str_trim((str){s.p, (size_t)n});
    if ((a->f->flags & FORMAT_ALL_IS_TEXT) && str_eq(name, STR("all"))) {
        a->pos += (size_t)n;
        a->at = a->pattern[a->which].n; /* the text of the answer */
        a->skip = true;
        return STEP_DONE;
    }
    if (!answer_know(a, name)) return STEP_FAIL;
    a->pos += (size_t)n;
    return STEP_DONE;
}

answer_step answer_step_id(answer *a) {
    str s = answer_rest(a);
    int n = name_run(s, 0);
    if (n <= 0) return n < 0 ? STEP_MORE : STEP_FAIL;
    buf_clear(&a->id);
    buf_append(&a->id, s.p, (size_t)n);
    a->pos += (size_t)n;
    return STEP_DONE;
}

answer_step answer_step_kimi(answer *a) {
    str s = answer_rest(a);
    int n = name_run(s, 0);
    if (n <= 0) return n < 0 ? STEP_MORE : STEP_FAIL;
    str whole = {s.p, (size_t)n}, name = whole;
    size_t end = name.n;
    while (end > 0 && name.p[end - 1] >= '0' && name.p[end - 1] <= '9') end--;
    if (end > 0 && end < name.n && name.p[end - 1] == ':') name.n = end - 1;
    if (!answer_know(a, name)) return STEP_FAIL;
    buf_clear(&a->id);
    buf_put_str(&a->id, whole);
    a->pos += whole.n;
    return STEP_DONE;
}

/* ---- arguments as one value ---- */

/* Reads on in a->value; when the value is whole, DONE. */
static answer_step read_value(answer *a, buf *out) {
    size_t used;
    value_got got = value_read(&a->value, answer_rest(a), &used, out);
    a->pos += used;
    return got == VALUE_DONE ? STEP_DONE : got == VALUE_MORE ? STEP_MORE : STEP_FAIL;
}

static answer_step read_args(answer *a) {
    answer_step got = read_value(a, &a->args);
    answer_send_args(a);
    if (got == STEP_DONE) a->writer = ARGS_WHOLE;
    return got;
}

answer_step answer_step_args(answer *a, value_form form) {
    if (a->state == 0) {
        answer_skip_blanks(a);
        str s = answer_rest(a);
        if (s.n == 0) return STEP_MORE;
        if (s.p[0] != '{') return STEP_FAIL;
        value_init(&a->value, form, a->f->quote);
        a->writer = ARGS_VALUE;
        a->state = 1;
        answer_begin(a);
    }
    answer_step got = read_args(a);
    if (got == STEP_DONE) answer_end(a, false);
    return got;
}

/* ---- calls as JSON objects ---- */

enum { KEY_NAME, KEY_ARGS, KEY_ID, KEY_CALL, KEY_MINOR, KEY_OTHER };

static int key_of(str json) {
    static const struct {
        const char *key;
        int is;
    } keys[] = {
        {"\"name\"", KEY_NAME},       {"\"tool_name\"", KEY_NAME},  {"\"arguments\"", KEY_ARGS},
        {"\"parameters\"", KEY_ARGS}, {"\"args\"", KEY_ARGS},       {"\"id\"", KEY_ID},
        {"\"call_id\"", KEY_ID},      {"\"tool_call_id\"", KEY_ID}, {"\"function\"", KEY_CALL},
        {"\"tool_call\"", KEY_CALL},  {"\"type\"", KEY_MINOR},      {"\"index\"", KEY_MINOR}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (str_eq(json, str_of(keys[i].key))) return keys[i].is;
    return KEY_OTHER;
}

enum { /* of a->state */
       J_START,
       J_NEXT, /* between the objects of a list */
       J_KEY,
       J_KEY_TEXT,
       J_COLON,
       J_VALUE,
       J_STRING, /* a name or id */
       J_ARGS,
       J_ARGS_TEXT, /* arguments as a string that holds JSON */
       J_SKIP
};

/* The name is known and arguments have come: the call is one. */
static answer_step commit(answer *a) {
    if (a->unknown) {
        answer_warn_unknown(a, buf_str(&a->key_text));
        return STEP_FAIL;
    }
    if (!a->open) answer_begin(a);
    answer_send_args(a);
    return STEP_DONE;
}

static bool have_name(const answer *a) {
    return a->name.len > 0 || a->unknown;
}

/* The JSON string in `scratch`, as text, in key_text. */
static bool unquote(answer *a) {
    json_t *s = json_loadb(a->scratch.data, a->scratch.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    buf_clear(&a->key_text);
    bool ok = json_is_string(s);
    if (ok) buf_append(&a->key_text, json_string_value(s), json_string_length(s));
    json_decref(s);
    return ok;
}

static answer_step string_done(answer *a) {
    if (a->key == KEY_ID) {
        buf_clear(&a->id);
        if (unquote(a)) buf_put_str(&a->id, buf_str(&a->key_text));
    } else {
        if (!unquote(a)) return STEP_FAIL;
        bool known = answer_know(a, buf_str(&a->key_text));
        if (!known && !answer_weak(a)) return STEP_FAIL;
        if (a->has_args && commit(a) == STEP_FAIL) return STEP_FAIL;
    }
    a->state = J_KEY;
    return STEP_DONE;
}

static answer_step args_done(answer *a) {
    a->writer = ARGS_WHOLE;
    a->state = J_KEY;
    return STEP_DONE;
}

/* Arguments that came as a string: what is in it is read as JSON. */
static answer_step args_text_done(answer *a) {
    size_t used;
    if (!unquote(a)) return STEP_FAIL;
    str text = str_trim(buf_str(&a->key_text));
    value_init(&a->value, VALUE_JSON, NULL);
    if (text.n == 0) text = STR("{}");
    bool object = text.p[0] == '{';
    value_got got = object ? value_read(&a->value, text, &used, &a->args) : VALUE_BAD;
    if (got != VALUE_DONE || used != text.n) return STEP_FAIL;
    if (have_name(a) && commit(a) == STEP_FAIL) return STEP_FAIL;
    return args_done(a);
}

static answer_step begin_value(answer *a, char c) {
    if (a->key == KEY_CALL && c == '"') a->key = KEY_NAME;
    value_init(&a->value, VALUE_JSON, NULL);
    buf_clear(&a->scratch);
    switch (a->key) {
    case KEY_CALL:
        if (c != '{' || a->nested) return STEP_FAIL;
        a->nested = true;
        a->pos++;
        a->state = J_KEY;
        return STEP_DONE;
    case KEY_NAME:
        if (c != '"' || a->open) return STEP_FAIL;
        a->state = J_STRING;
        return STEP_DONE;
    case KEY_ID: a->state = J_STRING; return STEP_DONE;
    case KEY_ARGS:
        if (a->has_args) return STEP_FAIL;
        a->has_args = true;
        if (c == '{' && have_name(a) && commit(a) == STEP_FAIL) return STEP_FAIL;
        a->writer = c == '{' ? ARGS_VALUE : ARGS_NONE;
        if (c != '{' && c != '"' && c != 'n' && c != '[') return STEP_FAIL;
        a->state = c == '{' ? J_ARGS : c == '"' ? J_ARGS_TEXT : J_SKIP;
        return STEP_DONE;
    case KEY_OTHER:
        if (answer_weak(a)) return STEP_FAIL;
        break;
    default: break;
    }
    a->state = J_SKIP;
    return STEP_DONE;
}

static answer_step object_done(answer *a) {
    a->pos++;
    if (a->nested) {
        a->nested = false;
        a->state = J_KEY;
        return STEP_DONE;
    }
    if (!have_name(a) || (!a->has_args && answer_weak(a))) return STEP_FAIL;
    if (commit(a) == STEP_FAIL) return STEP_FAIL;
    if (a->writer == ARGS_NONE) buf_puts(&a->args, "{}");
    answer_end(a, false);
    a->state = J_NEXT;
    return STEP_DONE;
}

static answer_step at_key(answer *a, char c) {
    if (c == '}') return object_done(a);
    if (c == ',') {
        a->pos++;
        return STEP_DONE;
    }
    if (c != '"') return STEP_FAIL;
    value_init(&a->value, VALUE_JSON, NULL);
    buf_clear(&a->scratch);
    a->state = J_KEY_TEXT;
    return STEP_DONE;
}

/* A whole small value into scratch, then what its key asks. */
static answer_step take_scratch(answer *a) {
    answer_step got = read_value(a, &a->scratch);
    if (got != STEP_DONE) return got;
    switch (a->state) {
    case J_KEY_TEXT:
        a->key = key_of(buf_str(&a->scratch));
        a->state = J_COLON;
        return STEP_DONE;
    case J_STRING: return string_done(a);
    case J_ARGS_TEXT: return args_text_done(a);
    default: a->state = J_KEY; return STEP_DONE;
    }
}

static answer_step between(answer *a, char c) {
    if (c == '{') {
        a->pos++;
        a->nested = a->has_args = a->unknown = false;
        a->writer = ARGS_NONE;
        buf_clear(&a->name);
        buf_clear(&a->id);
        buf_clear(&a->args);
        a->state = J_KEY;
        return STEP_DONE;
    }
    if (c == ',' || (c == ';' && !a->list)) {
        a->pos++;
        return STEP_DONE;
    }
    if (a->list && c == ']') {
        a->pos++;
        if (a->n_done > 0) a->mark = a->pos;
        a->state = -1;
        return STEP_DONE;
    }
    if (a->list || a->n_done == 0) return STEP_FAIL;
    a->pos = a->mark;
    a->state = -1;
    return STEP_DONE;
}

static answer_step json_step(answer *a) {
    if (a->state == J_KEY_TEXT || a->state == J_STRING || a->state == J_ARGS_TEXT ||
        a->state == J_SKIP)
        return take_scratch(a);
    if (a->state == J_ARGS) {
        answer_step got = read_args(a);
        return got == STEP_DONE ? args_done(a) : got;
    }
    answer_skip_blanks(a);
    if (a->pos == a->in.len) return STEP_MORE;
    char c = a->in.data[a->pos];
    switch (a->state) {
    case J_START:
        a->list = c == '[';
        if (a->list) a->pos++;
        a->state = J_NEXT;
        return STEP_DONE;
    case J_NEXT: return between(a, c);
    case J_KEY: return at_key(a, c);
    case J_COLON:
        if (c != ':') return STEP_FAIL;
        a->pos++;
        a->state = J_VALUE;
        return STEP_DONE;
    default: return begin_value(a, c);
    }
}

answer_step answer_step_calls(answer *a) {
    while (a->state >= 0) {
        answer_step got = json_step(a);
        if (got != STEP_DONE) return got;
    }
    return STEP_DONE;
}

/* ---- calls in the manner of Python ---- */

enum { P_START = 0, P_NAME, P_OPEN, P_ARGS, P_WRAP, P_NEXT };

static answer_step python_name(answer *a) {
    str s = answer_rest(a);
    int n = name_run(s, 0);
    if (n <= 0) return n < 0 ? STEP_MORE : STEP_FAIL;
    str name = {s.p, (size_t)n};
    if (s.p[n] != '(') return STEP_FAIL;
    a->pos += name.n + 1;
    if (str_eq(name, STR("print")) && !a->wrapped) {
        a->wrapped = true; /* print(f(...)): what Gemma's examples write */
        return STEP_DONE;
    }
    if (str_ends(name, STR(".call"))) name.n -= 5;
    const json_t *schema;
    size_t dot = str_find(name, STR("."), 0);
    bool prefixed = str_starts(name, STR("default_api.")) || str_starts(name, STR("tools."));
    if (prefixed && !answer_tool(a->tools, name, &schema))
        name = (str){name.p + dot + 1, name.n - dot - 1};
    if (!answer_know(a, name)) return STEP_FAIL;
    a->state = P_OPEN;
    return STEP_DONE;
}

static answer_step python_next(answer *a, char c) {
    if (a->brackets && c == ']') {
        a->pos++;
        a->mark = a->pos;
        a->state = -1;
    } else if (c == ',' || c == ';') {
        a->pos++;
        a->state = P_NAME;
        a->wrapped = false;
    } else if (!a->brackets && in_name(c) && c != '`' && name_run(answer_rest(a), 0) != 0) {
        /* another line that calls, or text: the bracket after the name tells */
        int n = name_run(answer_rest(a), 0);
        if (n < 0) return STEP_MORE;
        a->state = answer_rest(a).p[n] == '(' ? P_NAME : -1;
        a->wrapped = false;
        if (a->state < 0) a->pos = a->mark;
    } else if (a->brackets) {
        return STEP_FAIL;
    } else {
        a->pos = a->mark;
        a->state = -1;
    }
    return STEP_DONE;
}

static answer_step python_step(answer *a) {
    if (a->state == P_ARGS) {
        answer_step got = read_args(a);
        if (got == STEP_DONE) a->state = P_WRAP;
        if (got == STEP_DONE && !a->wrapped) {
            answer_end(a, false);
            a->state = P_NEXT;
        }
        return got;
    }
    answer_skip_blanks(a);
    if (a->pos == a->in.len) return STEP_MORE;
    char c = a->in.data[a->pos];
    switch (a->state) {
    case P_START:
        a->brackets = c == '[';
        a->wrapped = false;
        if (a->brackets) a->pos++;
        a->state = P_NAME;
        return STEP_DONE;
    case P_NAME: return python_name(a);
    case P_OPEN:
        if (c != ')' && !in_name(c)) return STEP_FAIL;
        value_init(&a->value, VALUE_KWARGS, NULL);
        a->writer = ARGS_VALUE;
        answer_begin(a);
        a->state = P_ARGS;
        return STEP_DONE;
    case P_WRAP:
        if (c != ')') return STEP_FAIL;
        a->pos++;
        answer_end(a, false);
        a->state = P_NEXT;
        return STEP_DONE;
    default: return python_next(a, c);
    }
}

answer_step answer_step_python(answer *a) {
    while (a->state >= 0) {
        answer_step got = python_step(a);
        if (got != STEP_DONE) return got;
    }
    return STEP_DONE;
}

/* ---- after Llama's python tag: a JSON call, name.call(...), or code ---- */

/* The tool that runs code, when there is one. */
static bool code_tool(answer *a) {
    static const char *const names[] = {"code_interpreter", "python", "ipython"};
    const json_t *schema;
    for (int i = 0; i < 3; i++)
        if (answer_tool(a->tools, str_of(names[i]), &schema))
            return answer_know(a, str_of(names[i]));
    answer_warn(a, "code was written for a tool that was not offered; it is text");
    return false;
}

static answer_step code_step(answer *a) {
    str s = answer_rest(a);
    value_text_put(&a->text, s, &a->args);
    a->pos += s.n;
    answer_send_args(a);
    return STEP_MORE;
}

answer_step answer_step_tag(answer *a) {
    if (a->writer == ARGS_CODE) return code_step(a);
    if (a->tag == 0) {
        answer_skip_blanks(a);
        str s = answer_rest(a);
        if (s.n == 0) return STEP_MORE;
        int n = s.p[0] == '{' || s.p[0] == '[' ? 0 : name_run(s, 0);
        if (n < 0 && !a->last) return STEP_MORE;
        bool call = n > 0 && s.p[n] == '(';
        const json_t *schema;
        if (call && !str_ends((str){s.p, (size_t)n}, STR(".call")))
            call = answer_tool(a->tools, (str){s.p, (size_t)n}, &schema) != NULL;
        a->tag = s.p[0] == '{' || s.p[0] == '[' ? 'c' : call ? 'p' : 0;
        if (a->tag == 0) {
            if (!code_tool(a)) return STEP_FAIL;
            a->writer = ARGS_CODE;
            a->text = (value_text){.n = 0};
            answer_begin(a);
            buf_puts(&a->args, "{\"code\": \"");
            return code_step(a);
        }
    }
    return a->tag == 'c' ? answer_step_calls(a) : answer_step_python(a);
}

/* ---- harmony: <|channel|>commentary to=functions.f <|constrain|>json<|message|> ---- */

static str word_after(str s, str mark) {
    size_t at = str_find(s, mark, 0), n = 0;
    if (at == (size_t)-1) return (str){"", 0};
    s = (str){s.p + at + mark.n, s.n - at - mark.n};
    while (n < s.n && in_name(s.p[n])) n++;
    return (str){s.p, n};
}

/* An answer that begins in a header, but is none: FAIL. */
static answer_step looks_like_header(str s) {
    static const char *const heads[] = {"<|channel|>", "to="};
    while (s.n > 0 && answer_blank(s.p[0])) s.p++, s.n--;
    for (int i = 0; i < 2; i++) {
        str head = str_of(heads[i]);
        if (str_starts(s, head)) return STEP_DONE;
        if (str_starts(head, s)) return STEP_MORE;
    }
    return STEP_FAIL;
}

answer_step answer_step_header(answer *a) {
    str s = answer_rest(a), end = STR("<|message|>");
    answer_step fits = a->by < 0 ? looks_like_header(s) : STEP_DONE;
    if (fits != STEP_DONE) return fits;
    size_t at = str_find(s, end, 0);
    if (at == (size_t)-1 || at > HEADER_BYTES) {
        if (s.n > HEADER_BYTES + end.n) return STEP_FAIL;
        return STEP_MORE;
    }
    str head = {s.p, at}, to = word_after(head, STR("to="));
    bool direct = a->by >= 0 && str_eq(a->marker[a->by].text, STR("<|channel|>"));
    str channel = direct ? word_after(head, STR("")) : word_after(head, STR("<|channel|>"));
    if (to.n > 0 && a->tools) {
        if (!answer_know(a, to)) return STEP_FAIL;
        a->pos += at + end.n;
        return STEP_DONE;
    }
    bool thinks = str_eq(channel, STR("analysis"));
    a->thought = -1;
    buf_clear(&a->blanks);
    a->skip = false;
    if (thinks && !a->split) answer_put_text(a, STR("<|channel|>analysis<|message|>"));
    a->thought = thinks ? 0 : -1;
    a->pos += at + end.n;
    a->at = a->pattern[a->which].n;
    return STEP_DONE;
}
