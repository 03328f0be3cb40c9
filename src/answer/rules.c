/* The grammar of an answer, from the same patterns that the parser walks: text is free up to the
 * marker that begins a call, and from there on everything is the tool's. */
#include <stdlib.h>
#include <string.h>

#include "answer/answer_private.h"
#include "base/limits.h"

typedef answer_rules_writer writer;

void answer_put_literal(buf *out, str s) {
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\n') {
            buf_puts(out, "\\n");
        } else if (c == '"' || c == '\\') {
            buf_putc(out, '\\');
            buf_putc(out, c);
        } else if (c >= 0 && c < 0x20) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_putc(out, c);
        }
    }
    buf_puts(out, "\" ");
}

static void literal(buf *out, const char *s) {
    answer_put_literal(out, str_of(s));
}

/* ---- one call ---- */

/* {"name": "f", "arguments": {...}} as the format spells it. */
static void put_object(writer *w, buf *out) {
    bool tool_name = w->f->flags & FORMAT_TOOL_NAME;
    buf head;
    buf_init(&head, LIMIT_JSON_BYTES);
    if (tool_name && strcmp(w->f->name, "command-r7b") == 0) {
        literal(out, "{\"tool_call_id\": \"");
        buf_puts(out, "[0-9]+ ");
        literal(out, "\", ");
    } else {
        literal(out, "{");
    }
    buf_puts(&head, tool_name ? "\"tool_name\": " : "\"name\": ");
    value_quote(w->name, &head);
    buf_printf(&head, ", \"%s\": ", w->f->arguments ? w->f->arguments : "arguments");
    answer_put_literal(out, buf_str(&head));
    answer_rules_json(w, w->root, out);
    literal(out, "}");
    if (head.failed) w->failed = true;
    buf_deinit(&head);
}

/* The steps from..to with the tool at hand filled in; a list of calls is one of its objects. */
static void put_steps(writer *w, const answer_pattern *p, int from, int to, buf *out) {
    for (int i = from; i < to; i++) {
        const answer_op *op = &p->op[i];
        switch (op->kind) {
        case OP_TEXT: answer_put_literal(out, op->text); break;
        case OP_BLANK:
            w->lines = i + 1 < to && op[1].kind == OP_XML;
            answer_put_literal(out, op->text);
            break;
        case OP_NAME: answer_put_literal(out, w->name); break;
        case OP_ID: buf_printf(out, "%s ", w->f->id_rule ? w->f->id_rule : "[a-z0-9]+"); break;
        case OP_KIMI:
            literal(out, "functions.");
            answer_put_literal(out, w->name);
            buf_puts(out, "\":\" [0-9]+ ");
            break;
        case OP_ARGS: answer_rules_json(w, w->root, out); break;
        case OP_CALL:
        case OP_LIST: put_object(w, out); break;
        case OP_XML: answer_rules_xml(w, out); break;
        case OP_NESTED: answer_rules_nested(w, out); break;
        case OP_PYTHON:
            answer_put_literal(out, w->name);
            literal(out, "(");
            answer_rules_kwargs(w, out);
            literal(out, ")");
            break;
        case OP_GEMMA: answer_rules_gemma(w, out); break;
        case OP_OPTION: i = op->to - 1; break; /* what may be missing is not written */
        default: break;
        }
    }
}

static bool is_wanted(const writer *w, str name) {
    return w->d->choice != ANSWER_CHOICE_NAMED || str_eq(name, str_of(w->d->name));
}

static void set_tool(writer *w, const json_t *tool) {
    const json_t *f = answer_tool_function(tool), *name = json_object_get(f, "name");
    w->name = (str){json_string_value(name), json_string_length(name)};
    answer_tool(w->tools, w->name, &w->root);
    w->strict = w->d->strict || json_is_true(json_object_get(f, "strict"));
}

/* A rule `label`: one of the tools, each by the steps from..to. */
static void put_tools(writer *w, const char *label, const answer_pattern *p, int from, int to) {
    buf line;
    size_t i;
    const json_t *tool;
    bool any = false;
    buf_init(&line, LIMIT_JSON_BYTES);
    json_array_foreach((json_t *)w->tools, i, tool) {
        set_tool(w, tool);
        if (w->name.n == 0 || !is_wanted(w, w->name)) continue;
        buf_puts(&line, any ? "| " : "");
        put_steps(w, p, from, to, &line);
        any = true;
    }
    buf_printf(w->out, "%s ::= %.*s\n", label, STR_ARG(buf_str(&line)));
    if (line.failed) w->failed = true;
    buf_deinit(&line);
}

/* ---- a format's calls: rule "calls", one or, where the demand allows it, several ---- */

static int find_op(const answer_pattern *p, answer_op_kind kind) {
    for (int i = 0; i < p->n; i++)
        if (p->op[i].kind == kind) return i;
    return -1;
}

static void put_texts(const answer_pattern *p, int from, int to, buf *out) {
    for (int i = from; i < to; i++)
        if (p->op[i].kind == OP_TEXT || p->op[i].kind == OP_BLANK)
            answer_put_literal(out, p->op[i].text);
}

/* Items within one pair of markers. */
static void put_group(writer *w, const answer_pattern *p, int from, int to, const char *open,
                      const char *between, const char *close) {
    int last = find_op(p, OP_LAST);
    put_tools(w, "item", p, from, to);
    buf_puts(w->out, "calls ::= ");
    put_texts(p, 0, from, w->out);
    literal(w->out, open);
    buf_puts(w->out, "item ");
    if (w->many) {
        buf_puts(w->out, "(");
        literal(w->out, between);
        buf_puts(w->out, "item)* ");
    }
    literal(w->out, close);
    put_texts(p, to, last < 0 ? p->n : last, w->out);
    buf_puts(w->out, "\n");
}

/* A list of calls as JSON or Python, a section of calls, or a call that stands alone. */
static void put_calls(writer *w, const answer_pattern *p, bool opened) {
    int repeat = find_op(p, OP_REPEAT), list = find_op(p, OP_LIST), python = find_op(p, OP_PYTHON);
    if (repeat >= 0) {
        put_group(w, p, repeat + 1, p->op[repeat].to - 1, "", "", "");
    } else if (list >= 0) {
        put_group(w, p, list, list + 1, "[", ", ", "]");
    } else if (python >= 0) {
        bool lines = python > 0 && p->op[python - 1].kind == OP_BLANK;
        put_group(w, p, python, python + 1, lines ? "" : "[", lines ? "\n" : ", ",
                  lines ? "" : "]");
    } else {
        bool bare = p->op[0].kind != OP_TEXT;
        put_tools(w, "item", p, 0, p->n);
        buf_puts(w->out, "calls ::= item");
        if (w->many && opened) {
            buf_puts(w->out, " (");
            answer_put_literal(w->out, str_of(w->f->opening));
            buf_puts(w->out, "item)*");
        } else if (w->many) {
            buf_puts(w->out, bare ? " ((\"\\n\" | \"; \") item)*" : " (\"\\n\"? item)*");
        }
        buf_puts(w->out, "\n");
    }
}

/* ---- free text ---- */

static void put_except(buf *out, const char *const *texts, size_t n) {
    buf_puts(out, "%except(");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) buf_puts(out, "| ");
        literal(out, texts[i]);
    }
    buf_puts(out, ")");
}

/* Rule "free": text up to whatever begins a call. */
static void put_free(writer *w) {
    char copy[ANSWER_PATTERNS][96];
    const char *texts[ANSWER_PATTERNS + 1];
    size_t n = 0;
    for (int i = 0; i < ANSWER_PATTERNS && w->f->call[i]; i++) {
        size_t len = strcspn(w->f->call[i], "%\n");
        bool fence = i > 0 && strncmp(w->f->call[i], "```", 3) == 0;
        if (len == 0 || len >= sizeof copy[i] || fence) continue;
        memcpy(copy[i], w->f->call[i], len);
        copy[i][len] = 0;
        texts[n++] = copy[i];
    }
    if (n == 0) texts[n++] = "<tool_call>";
    buf_puts(w->out, "free ::= ");
    put_except(w->out, texts, n);
    buf_puts(w->out, "\n");
}

/* Whatever goes on other than `mark` does, of which the first byte has been. */
static void put_unlike(writer *w, const char *mark) {
    size_t n = strlen(mark);
    for (size_t i = 1; i < n; i++) {
        char c[3] = {mark[i], 0, 0};
        if (strchr("\"\\]^-", mark[i])) c[0] = '\\', c[1] = mark[i];
        buf_printf(w->out, "([^%s] free", c);
        if (i + 1 < n) buf_printf(w->out, " | \"%s\" ", c);
    }
    for (size_t i = 1; i < n; i++) buf_puts(w->out, ")?");
}

/* Rule "words": text that begins neither as a bare call does, {"name" or [f, nor as a thought. */
static void put_words(writer *w, bool python) {
    const char *think = w->f->thought[0].begin ? w->f->thought[0].begin : "<think>";
    buf_printf(w->out, "words ::= [ \\n]{0,4} ([^%c%c \\n] free | \"%c\" ", python ? '[' : '{',
               think[0], think[0]);
    put_unlike(w, think);
    if (python) {
        buf_puts(w->out, " | \"[\" ([^a-zA-Z_] free)?)?\n");
        return;
    }
    buf_puts(w->out, " | \"{\" [ \\n]{0,4} ([^\" \\n] free | \"\\\"\" ");
    put_unlike(w, "\"name\"");
    buf_puts(w->out, ")?)?\n");
}

/* ---- the whole answer ---- */

/* Rule "thought": one that is open must be closed, another may be had. */
static void put_thought(writer *w, str tail) {
    answer_thought_info info;
    if (!answer_thought(w->f, tail, &info) || (w->d->no_thought && !info.open)) {
        buf_puts(w->out, "thought ::= \"\"\n");
        return;
    }
    buf_puts(w->out, "thought ::= ");
    if (!info.open) {
        buf_puts(w->out, "([ \\n]{0,2} ");
        literal(w->out, info.begin);
    }
    put_except(w->out, &info.end, 1);
    buf_puts(w->out, " ");
    literal(w->out, info.end);
    if (w->f->after_thought) literal(w->out, w->f->after_thought);
    buf_printf(w->out, "[ \\n]{0,4}%s\n", info.open ? "" : ")?");
}

static void put_value(writer *w) {
    buf_puts(w->out, "value ::= %json ");
    char *text = w->d->schema ? json_dumps(w->d->schema, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    if (w->d->schema && !text) w->failed = true;
    buf_printf(w->out, "%s\n", text ? text : "{\"type\":\"object\"}");
    free(text);
}

/* gpt-oss: messages with headers, the last of them a call or the final one. */
static void put_harmony(writer *w, str tail, bool call, bool must, bool value) {
    static const char *const end = "<|end|>";
    static const answer_pattern args = {.op = {{.kind = OP_ARGS, .text = {NULL, 0}, .to = 0}},
                                        .n = 1};
    answer_thought_info info;
    answer_thought(w->f, tail, &info);
    buf_puts(w->out, "root ::= ");
    if (info.open) buf_puts(w->out, "body \"<|end|><|start|>assistant\" ");
    buf_puts(w->out, "(aside \"<|start|>assistant\")* ");
    buf_puts(w->out, call ? (must ? "calls\n" : "(calls | final)\n") : "final\n");
    buf_puts(w->out, "body ::= ");
    put_except(w->out, &end, 1);
    buf_puts(w->out, "\naside ::= \"<|channel|>\" (\"analysis\" | \"commentary\") \"<|message|>\" "
                     "body \"<|end|>\"\n");
    if (!must) {
        buf_puts(w->out, "final ::= \"<|channel|>final\" \" <|constrain|>json\"? \"<|message|>\" ");
        buf_puts(w->out, value ? "value\n" : "body\n");
    }
    if (!call) return;
    buf line;
    size_t i;
    const json_t *tool;
    bool any = false;
    buf_init(&line, LIMIT_JSON_BYTES);
    json_array_foreach((json_t *)w->tools, i, tool) {
        set_tool(w, tool);
        if (w->name.n == 0 || !is_wanted(w, w->name)) continue;
        buf_puts(&line, any ? "| (\"<|channel|>commentary to=functions."
                            : "(\"<|channel|>commentary to=functions.");
        buf_puts(&line, "\" ");
        answer_put_literal(&line, w->name);
        buf_puts(&line, "\" <|constrain|>json\" | \" to=functions.\" ");
        answer_put_literal(&line, w->name);
        buf_puts(
            &line,
            "\"<|channel|>commentary\" (\" <|constrain|>json\" | \" json\")) \"<|message|>\" ");
        put_steps(w, &args, 0, 1, &line);
        any = true;
    }
    buf_printf(w->out, "calls ::= %.*s\n", STR_ARG(buf_str(&line)));
    if (line.failed) w->failed = true;
    buf_deinit(&line);
}

/* What may stand where a text is: free text with calls in it, or a value or calls. */
static void put_root(writer *w, const answer_pattern *p, bool opened, bool call, bool must,
                     bool value) {
    const answer_format *f = w->f;
    bool bare = call && p->op[0].kind != OP_TEXT;
    buf text;
    buf_init(&text, LIMIT_JSON_BYTES);
    if (f->text_begin) literal(&text, f->text_begin);
    buf_puts(&text, value ? "value " : bare ? "words " : "free ");
    if (f->text_end) {
        literal(&text, f->text_end);
        buf_puts(&text, "? ");
    }
    str t = buf_str(&text);
    buf_puts(w->out, "root ::= thought ");
    if (!call) buf_printf(w->out, "%.*s\n", STR_ARG(t));
    else if (must) buf_puts(w->out, "calls\n");
    else if (value || bare) buf_printf(w->out, "(calls | %.*s)\n", STR_ARG(t));
    else if (opened) buf_printf(w->out, "(calls | %.*s(\"%s\" calls)?)\n", STR_ARG(t), f->opening);
    else if (f->text_begin) buf_printf(w->out, "(calls | %.*scalls?)\n", STR_ARG(t));
    else buf_puts(w->out, w->many ? "free (calls free)*\n" : "free calls?\n");
    if (text.failed) w->failed = true;
    buf_deinit(&text);
}

/* Functionary: the first call has no ">>>" when the prompt ends with it. */
static void without_opening(answer_pattern *p) {
    memmove(p->op, p->op + 1, (size_t)(p->n - 1) * sizeof p->op[0]);
    p->n--;
}

static bool check(const writer *w, err *e) {
    const json_t *schema;
    const answer_demand *d = w->d;
    if (d->choice == ANSWER_CHOICE_NAMED && !answer_tool(w->tools, str_of(d->name), &schema))
        return err_set(e, ERR_USAGE, "tool_choice names \"%.100s\", which is not among the tools",
                       d->name ? d->name : "");
    if (d->choice == ANSWER_CHOICE_REQUIRED && json_array_size(w->tools) == 0)
        return err_set(e, ERR_USAGE, "tool_choice is required, but there are no tools");
    return true;
}

bool answer_rules(const answer_how *how, const answer_demand *d, buf *out, err *e) {
    bool value = d->schema || d->any_json, call = json_array_size(how->tools) > 0;
    bool must = d->choice == ANSWER_CHOICE_REQUIRED || d->choice == ANSWER_CHOICE_NAMED;
    if (d->choice == ANSWER_CHOICE_NONE) call = false;
    err own = {0};
    writer w = {.f = how->format,
                .tools = how->tools,
                .d = d,
                .out = out,
                .e = e ? e : &own,
                .many = d->parallel && d->choice != ANSWER_CHOICE_NAMED};
    if (!check(&w, e)) return false;
    if (!call && !value) return true;

    answer_pattern p;
    answer_pattern_read(w.f->call[0], &p);
    bool opened = w.f->opening && !(w.f->flags & FORMAT_HEADERS) &&
                  str_ends(str_trim(how->prompt_tail), str_of(w.f->opening));
    if (w.f->flags & FORMAT_HEADERS) {
        put_harmony(&w, how->prompt_tail, call, must, value);
    } else {
        put_root(&w, &p, opened, call, must, value);
        put_thought(&w, how->prompt_tail);
        if (call && !must && !value) {
            put_free(&w);
            if (p.op[0].kind != OP_TEXT) put_words(&w, p.op[0].kind == OP_PYTHON);
        }
        if (call && opened) without_opening(&p);
        if (call) put_calls(&w, &p, opened);
    }
    if (value) put_value(&w);
    if (w.e->code != ERR_NONE) return false;
    if (w.failed || out->failed)
        return err_set(e, ERR_NO_FIT, "the tools are too large for a grammar");
    return true;
}
