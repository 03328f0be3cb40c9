/* See words.h. */
#include "answer/words.h"

#include <stdlib.h>

#include "answer/answer_private.h"
#include "base/jsonw.h"

bool answer_has_words(const answer_format *f) {
    answer_pattern p;
    answer_pattern_read(f->call[0], &p);
    for (int i = 0; i < p.n; i++) {
        answer_op_kind k = p.op[i].kind;
        bool plain = k == OP_TEXT || k == OP_BLANK || k == OP_NAME || k == OP_ARGS ||
                     k == OP_CALL || k == OP_LIST;
        if (!plain) return false;
    }
    return !(f->flags & FORMAT_TOOL_NAME);
}

static void put_object(const answer_format *f, str name, str args, buf *out) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "name");
    jsonw_str(&w, name);
    jsonw_key(&w, f->arguments ? f->arguments : "arguments");
    jsonw_raw(&w, args);
    jsonw_end(&w);
}

void answer_call_text(const answer_format *f, str name, str args, buf *out) {
    answer_pattern p;
    answer_pattern_read(f->call[0], &p);
    for (int i = 0; i < p.n; i++) {
        const answer_op *op = &p.op[i];
        switch (op->kind) {
        case OP_TEXT:
        case OP_BLANK: buf_put_str(out, op->text); break;
        case OP_NAME: buf_put_str(out, name); break;
        case OP_ARGS: buf_put_str(out, args); break;
        case OP_LIST: buf_putc(out, '['); /* fall through */
        case OP_CALL: put_object(f, name, args, out); break;
        default: break;
        }
        if (op->kind == OP_LIST) buf_putc(out, ']');
    }
}

void answer_tools_text(const answer_format *f, const json_t *tools, buf *out) {
    const json_t *tool;
    size_t i;
    buf_puts(out, "You can call these functions:\n");
    json_array_foreach(tools, i, tool) {
        char *text = json_dumps(json_object_get(tool, "function"), JSON_COMPACT);
        buf_puts(out, text ? text : "");
        buf_putc(out, '\n');
        if (!text) out->failed = true;
        free(text);
    }
    buf_puts(out, "To call one, answer with the call alone, with the function's name and "
                  "arguments that its parameters describe:\n");
    answer_call_text(f, STR("NAME"), STR("{\"PARAMETER\": \"VALUE\"}"), out);
    buf_puts(out, "\nWhat it gives comes with the next message.");
}

/* ---- control tokens ---- */

static bool has(const char *text, str token) {
    return text && str_find(str_of(text), token, 0) != (size_t)-1;
}

bool answer_marks(const answer_format *f, str token) {
    bool found = has(f->opening, token) || has(f->quote, token);
    for (int i = 0; i < ANSWER_PAIRS && f->thought[i].begin; i++)
        found = found || has(f->thought[i].begin, token) || has(f->thought[i].end, token) ||
                has(f->thought[i].close, token);
    for (int i = 0; i < ANSWER_PATTERNS; i++) found = found || has(f->call[i], token);
    for (int i = 0; i < ANSWER_DROPS; i++) found = found || has(f->drop[i], token);
    if (f->params)
        found = found || has(f->params->open, token) || has(f->params->key_end, token) ||
                has(f->params->value, token) || has(f->params->close, token);
    return found;
}
