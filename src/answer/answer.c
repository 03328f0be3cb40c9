/* The machine: text is scanned for markers; a marker that may begin a call starts an attempt, which
 * walks the format's pattern. Until the tool's name is known and its arguments begin, an attempt
 * only holds bytes back, and when it fails they are text. */
#include "answer/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer/answer_private.h"
#include "base/limits.h"

/* ---- setting up ---- */

static void add_marker(answer *a, str text, answer_action action, int which, bool weak) {
    if (text.n == 0 || a->n_markers == ANSWER_MARKERS) return;
    a->marker[a->n_markers++] = (answer_marker){text, action, which, weak};
    a->first[(uint8_t)text.p[0]] = 1;
}

/* What begins a pattern, and what ends it. */
static void add_pattern(answer *a, int i) {
    const answer_pattern *p = &a->pattern[i];
    answer_op_kind begins = p->op[0].kind;
    if (begins == OP_TEXT) {
        add_marker(a, p->op[0].text, MARK_CALL, i, str_starts(p->op[0].text, STR("```")));
    } else {
        if (begins == OP_CALL || begins == OP_LIST) add_marker(a, STR("{"), MARK_CALL, i, true);
        if (begins == OP_PYTHON || begins == OP_LIST) add_marker(a, STR("["), MARK_CALL, i, true);
    }
    for (int k = p->n - 1; k > 0; k--) {
        if (p->op[k].kind != OP_TEXT) continue;
        add_marker(a, p->op[k].text, MARK_CLOSE, i, false);
        break;
    }
}

static void add_markers(answer *a) {
    const answer_format *f = a->f;
    for (int i = 0; i < ANSWER_PAIRS && f->thought[i].begin; i++) {
        add_marker(a, str_of(f->thought[i].begin), MARK_BEGIN, i, false);
        add_marker(a, str_of(f->thought[i].end), MARK_END, i, false);
    }
    for (int i = 0; i < ANSWER_PATTERNS && f->call[i]; i++) {
        answer_pattern_read(f->call[i], &a->pattern[i]);
        if (a->tools || (f->flags & FORMAT_HEADERS)) add_pattern(a, i);
    }
    for (int i = 0; a->split && i < ANSWER_DROPS && f->drop[i]; i++)
        add_marker(a, str_of(f->drop[i]), MARK_DROP, 0, false);
}

/* Where the answer begins: inside a thought, or inside a call's header. */
static void open_answer(answer *a, str tail) {
    const answer_format *f = a->f;
    answer_thought_info info;
    if (answer_thought(f, tail, &info) && info.open) {
        for (int i = 0; i < ANSWER_PAIRS && f->thought[i].begin; i++)
            if (strcmp(f->thought[i].begin, info.begin) == 0) a->thought = i;
        a->skip = a->split;
    }
    if (f->opening && str_ends(str_trim(tail), str_of(f->opening)) &&
        (a->tools || (f->flags & FORMAT_HEADERS))) {
        a->trying = true;
        a->by = -1;
        a->which = f->opening_call;
        a->at = 1;
    }
}

answer *answer_new(const answer_how *how, err *e) {
    answer *a = calloc(1, sizeof *a);
    if (!a) {
        err_set(e, ERR_NO_FIT, "memory ran out for reading an answer");
        return NULL;
    }
    buf *all[] = {&a->in,   &a->blanks,  &a->name,     &a->id,
                  &a->args, &a->scratch, &a->key_text, &a->out};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) buf_init(all[i], LIMIT_CALL_BYTES);
    a->f = how->format ? how->format : answer_format_find("generic");
    a->tools = json_array_size(how->tools) > 0 ? json_incref((json_t *)how->tools) : NULL;
    a->split = how->split_thought;
    a->plain = !a->tools && !a->split;
    a->thought = -1;
    a->fresh = a->start = true;
    if (!a->plain) {
        add_markers(a);
        open_answer(a, how->prompt_tail);
    }
    return a;
}

void answer_free(answer *a) {
    if (!a) return;
    buf *all[] = {&a->in,   &a->blanks,  &a->name,     &a->id,
                  &a->args, &a->scratch, &a->key_text, &a->out};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) buf_deinit(all[i]);
    json_decref(a->tools);
    free(a);
}

const char *answer_warning(const answer *a) {
    return a->warning[0] ? a->warning : NULL;
}

/* The first says most; the rest follows from it. */
void answer_warn(answer *a, const char *fmt, ...) {
    if (a->warning[0]) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(a->warning, sizeof a->warning, fmt, args);
    va_end(args);
}

/* ---- sending ---- */

static void flush(answer *a) {
    if (a->out.len == 0) return;
    answer_event ev = {.kind = a->out_kind, .text = buf_str(&a->out)};
    if (ev.kind == ANSWER_CALL_ARGS) ev.call = a->n_calls - 1;
    a->each(a->ud, &ev);
    buf_clear(&a->out);
}

static void send(answer *a, answer_kind kind, str s) {
    if (s.n == 0) return;
    if (a->out_kind != kind) flush(a);
    a->out_kind = kind;
    if (!buf_put_str(&a->out, s)) a->out_of_memory = true;
}

void answer_put_text(answer *a, str s) {
    answer_kind kind = a->thought >= 0 && a->split ? ANSWER_REASONING : ANSWER_TEXT;
    size_t end = s.n;
    if (a->skip)
        while (s.n > 0 && answer_blank(s.p[0])) s.p++, s.n--, end--;
    if (s.n > 0) a->skip = false;
    while (end > 0 && answer_blank(s.p[end - 1])) end--;
    if (end > 0) {
        send(a, kind, buf_str(&a->blanks));
        buf_clear(&a->blanks);
        send(a, kind, (str){s.p, end});
    }
    if (!buf_append(&a->blanks, s.p + end, s.n - end) && s.n > end) a->out_of_memory = true;
}

void answer_begin(answer *a) {
    buf_clear(&a->blanks);
    a->thought = -1;
    flush(a);
    a->n_calls++;
    a->open = true;
    a->start = false;
    answer_event ev = {.kind = ANSWER_CALL_BEGIN,
                       .call = a->n_calls - 1,
                       .name = buf_str(&a->name),
                       .id = a->f->flags & FORMAT_IDS ? buf_str(&a->id) : (str){"", 0}};
    a->each(a->ud, &ev);
}

void answer_send_args(answer *a) {
    if (!a->open) return;
    if (a->args.failed) a->out_of_memory = true;
    send(a, ANSWER_CALL_ARGS, buf_str(&a->args));
    buf_clear(&a->args);
}

void answer_end(answer *a, bool broken) {
    answer_send_args(a);
    flush(a);
    answer_event ev = {.kind = ANSWER_CALL_END,
                       .call = a->n_calls - 1,
                       .id = a->f->flags & FORMAT_IDS ? buf_str(&a->id) : (str){"", 0},
                       .broken = broken};
    a->each(a->ud, &ev);
    buf_clear(&a->id);
    a->open = a->unknown = false;
    a->writer = ARGS_NONE;
    a->n_done++;
    a->mark = a->pos;
    a->fresh = a->skip = true;
}

void answer_warn_unknown(answer *a, str name) {
    char shown[80];
    answer_warn(a, "a call of \"%s\", which is not among the tools, was delivered as text",
                str_printable(name, shown, sizeof shown));
}

bool answer_weak(const answer *a) {
    return a->by >= 0 && a->marker[a->by].weak;
}

bool answer_know(answer *a, str name) {
    const json_t *schema = NULL;
    const json_t *tool = answer_tool(a->tools, name, &schema);
    if (!tool && str_starts(name, STR("functions."))) {
        name = (str){name.p + 10, name.n - 10};
        tool = answer_tool(a->tools, name, &schema);
    }
    a->unknown = !tool;
    if (!tool) {
        if (!answer_weak(a)) answer_warn_unknown(a, name);
        return false;
    }
    a->schema = schema;
    str kept = name;
    buf_clear(&a->scratch); /* the name may lie in a->name itself */
    buf_put_str(&a->scratch, kept);
    buf_clear(&a->name);
    return buf_put_str(&a->name, buf_str(&a->scratch));
}

/* ---- attempts ---- */

static void try_marker(answer *a, int i, size_t at) {
    const answer_marker *m = &a->marker[i];
    const answer_pattern *p = &a->pattern[m->which];
    a->trying = true;
    a->by = i;
    a->mark = at;
    a->n_mark = m->text.n;
    a->which = m->which;
    a->at = p->op[0].kind == OP_TEXT;
    a->pos = at + (a->at ? m->text.n : 0);
    a->state = 0;
    a->n_done = 0;
    a->unknown = false;
    a->tag = 0;
    a->writer = ARGS_NONE;
    buf_clear(&a->name);
    buf_clear(&a->id);
    buf_clear(&a->args);
}

/* What was written of the arguments becomes a whole value. */
static void close_args(answer *a) {
    switch (a->writer) {
    case ARGS_VALUE: value_close(&a->value, &a->args); break;
    case ARGS_XML: answer_close_xml(a); break;
    case ARGS_NESTED: answer_close_nested(a); break;
    case ARGS_CODE:
        value_text_end(&a->text, &a->args);
        buf_puts(&a->args, "\"}");
        break;
    case ARGS_WHOLE: break;
    case ARGS_NONE: buf_puts(&a->args, "{}"); break;
    }
}

static void end_broken(answer *a, const char *why) {
    char shown[80];
    answer_warn(a, "the call of \"%s\" %s", str_printable(buf_str(&a->name), shown, sizeof shown),
                why);
    close_args(a);
    answer_end(a, true);
    a->trying = false;
    a->skip = false;
    a->unclosed = true;
}

/* Another pattern that begins alike. */
static bool try_next(answer *a) {
    if (a->by < 0) return false;
    const answer_marker *m = &a->marker[a->by];
    for (int i = a->by + 1; i < a->n_markers; i++) {
        const answer_marker *o = &a->marker[i];
        if (o->action != MARK_CALL || !str_eq(o->text, m->text)) continue;
        if (!a->warned) a->warning[0] = 0;
        try_marker(a, i, a->mark);
        return true;
    }
    return false;
}

/* The bytes are no call (any more): text. */
static void fail(answer *a) {
    if (a->open) {
        end_broken(a, "could not be read to its end; what was left is text");
        return;
    }
    if (a->n_done > 0) {
        a->pos = a->mark;
        a->trying = false;
        a->unclosed = true;
        answer_warn(a, "what follows a call could not be read as its end or another; it is text");
        return;
    }
    if (try_next(a)) return;
    a->trying = false;
    a->pos = a->mark;
    if (a->by < 0) return;
    const answer_marker *m = &a->marker[a->by];
    if (!m->weak) {
        char shown[60];
        answer_warn(a, "what follows \"%s\" could not be read as a call; it is text",
                    str_printable(m->text, shown, sizeof shown));
    }
    answer_put_text(a, m->text);
    a->pos += m->text.n;
    if (a->thought < 0) a->fresh = a->start = false;
}

/* Whether what follows begins like the steps from `at`: DONE yes, FAIL no. */
static answer_step looks_like(const answer *a, const answer_pattern *p, int at) {
    str s = answer_rest(a);
    if (at < p->n && p->op[at].kind == OP_BLANK) {
        while (s.n > 0 && answer_blank(s.p[0])) s.p++, s.n--;
        at++;
    }
    if (at >= p->n) return STEP_FAIL;
    str text = p->op[at].kind == OP_TEXT ? p->op[at].text : STR("{");
    if (s.n >= text.n) return str_starts(s, text) ? STEP_DONE : STEP_FAIL;
    if (!str_starts(text, s)) return STEP_FAIL;
    return a->last ? STEP_FAIL : STEP_MORE;
}

static answer_step branch(answer *a, const answer_pattern *p) {
    const answer_op *op = &p->op[a->at];
    answer_step fits = looks_like(a, p, a->at + 1);
    if (fits == STEP_MORE) return fits;
    a->at = fits == STEP_DONE ? a->at : (op->kind == OP_LAST ? p->n : op->to) - 1;
    return STEP_DONE;
}

static answer_step step(answer *a, const answer_pattern *p) {
    const answer_op *op = &p->op[a->at];
    switch (op->kind) {
    case OP_TEXT: return answer_step_text(a, op->text);
    case OP_BLANK:
        answer_skip_blanks(a);
        return a->pos < a->in.len || a->last ? STEP_DONE : STEP_MORE;
    case OP_NAME: return answer_step_name(a, a->at + 1 < p->n ? op + 1 : NULL);
    case OP_ID: return answer_step_id(a);
    case OP_KIMI: return answer_step_kimi(a);
    case OP_ARGS: return answer_step_args(a, VALUE_JSON);
    case OP_GEMMA: return answer_step_args(a, VALUE_BARE);
    case OP_CALL:
    case OP_LIST: return answer_step_calls(a);
    case OP_XML: return answer_step_xml(a);
    case OP_NESTED: return answer_step_nested(a);
    case OP_PYTHON: return answer_step_python(a);
    case OP_HEADER: return answer_step_header(a);
    case OP_TAG: return answer_step_tag(a);
    case OP_OPTION:
    case OP_REPEAT:
    case OP_LAST: return branch(a, p);
    case OP_BACK: a->at = op->to - 1; return STEP_DONE;
    }
    return STEP_FAIL;
}

/* Walks on; false when more bytes are needed. */
static bool walk(answer *a) {
    const answer_pattern *p = &a->pattern[a->which];
    while (a->at < p->n) {
        answer_step got = step(a, p);
        if (got == STEP_MORE) return false;
        if (got == STEP_FAIL) {
            fail(a);
            return true;
        }
        a->at++;
        a->state = 0;
    }
    if (a->n_done == 0 && !(a->f->flags & (FORMAT_HEADERS | FORMAT_ALL_IS_TEXT))) fail(a);
    else a->trying = false;
    return true;
}

/* Whether s is nothing, or the beginning of one of the pattern's texts. */
static bool begins_text(const answer_pattern *p, str s) {
    bool found = s.n == 0;
    for (int i = 0; i < p->n; i++)
        found = found || (p->op[i].kind == OP_TEXT && str_starts(p->op[i].text, s));
    return found;
}

/* The answer ends within an attempt. */
static void cut(answer *a) {
    const answer_pattern *p = &a->pattern[a->which];
    if (a->open && a->writer == ARGS_CODE) {
        close_args(a);
        answer_end(a, false);
        a->trying = false;
        return;
    }
    if (a->open) {
        const char *close = a->f->params ? a->f->params->close : NULL;
        str rest = str_trim(answer_rest(a));
        end_broken(a, "was cut short; its arguments were closed");
        if (close && str_starts(str_of(close), rest)) a->pos = a->in.len;
        return;
    }
    if (a->n_done > 0) {
        if (begins_text(p, str_trim(answer_rest(a)))) {
            a->pos = a->in.len;
            a->trying = false;
            return;
        }
    } else if (a->by >= 0 && !a->marker[a->by].weak) {
        answer_warn(a, "the answer ended within a call, before its arguments; it is text");
    }
    fail(a);
}

/* ---- text ---- */

static bool is_active(const answer *a, const answer_marker *m) {
    unsigned flags = a->f->flags;
    switch (m->action) {
    case MARK_BEGIN: return a->thought < 0 && (a->fresh || (flags & FORMAT_INLINE_THOUGHTS));
    case MARK_END: return a->thought == m->which || (a->thought < 0 && a->fresh && a->start);
    case MARK_CALL:
        if (m->weak && !a->start) return false;
        return a->thought < 0 || (flags & FORMAT_BREAKS_THOUGHT);
    case MARK_DROP: return a->thought < 0 || (flags & FORMAT_HEADERS);
    case MARK_CLOSE: return a->unclosed;
    }
    return false;
}

/* The marker at s: its index, -1 for none, -2 when it may be one and more bytes must tell. */
static int find_marker(const answer *a, str s) {
    int found = -1;
    for (int i = 0; i < a->n_markers; i++) {
        const answer_marker *m = &a->marker[i];
        if (!is_active(a, m)) continue;
        if (str_starts(s, m->text)) {
            if (found < 0 || m->text.n > a->marker[found].text.n) found = i;
        } else if (!a->last && s.n < m->text.n && str_starts(m->text, s)) {
            return -2;
        }
    }
    return found;
}

static void take_marker(answer *a, int i, size_t at) {
    const answer_marker *m = &a->marker[i];
    if (m->action == MARK_CALL) {
        a->warned = a->warning[0] != 0;
        try_marker(a, i, at);
        return;
    }
    a->pos = at + m->text.n;
    bool thinks = m->action == MARK_BEGIN || m->action == MARK_END;
    if (thinks && !a->split) {
        answer_put_text(a, m->text);
    } else {
        if (thinks || a->thought >= 0 || a->fresh || m->action == MARK_CLOSE) {
            buf_clear(&a->blanks);
            a->skip = true;
        }
    }
    if (m->action == MARK_BEGIN) a->thought = m->which;
    if (m->action == MARK_END || (m->action == MARK_DROP && (a->f->flags & FORMAT_HEADERS))) {
        a->thought = -1;
        a->fresh = true;
    }
    if (m->action == MARK_CLOSE) a->unclosed = false;
}

/* Text up to a marker; false when more bytes are needed. */
static bool scan(answer *a) {
    str s = answer_rest(a);
    for (size_t i = 0; i < s.n; i++) {
        int found = a->first[(uint8_t)s.p[i]] ? find_marker(a, (str){s.p + i, s.n - i}) : -1;
        if (found != -1) {
            answer_put_text(a, (str){s.p, i});
            a->pos += i;
            if (found >= 0) take_marker(a, found, a->pos);
            return found >= 0;
        }
        if (a->thought < 0 && !answer_blank(s.p[i])) a->fresh = a->start = false;
    }
    answer_put_text(a, s);
    a->pos += s.n;
    return false;
}

/* ---- from outside ---- */

static void run(answer *a) {
    for (;;) {
        if (a->out_of_memory) return;
        if (a->trying) {
            if (walk(a)) continue;
            if (!a->last) break;
            cut(a);
        } else if (!scan(a)) {
            break;
        }
    }
    if (a->open) a->mark = a->pos;
    size_t gone = a->trying ? a->mark : a->pos;
    buf_remove_front(&a->in, gone);
    a->pos -= gone;
    a->mark = 0;
}

static bool is_whole(const answer *a) {
    return !a->out_of_memory && !a->in.failed && !a->blanks.failed && !a->name.failed &&
           !a->id.failed && !a->args.failed && !a->scratch.failed && !a->key_text.failed &&
           !a->out.failed;
}

bool answer_push(answer *a, str bytes, answer_take *each, void *ud) {
    if (a->out_of_memory) return false;
    a->each = each;
    a->ud = ud;
    if (a->plain) {
        send(a, ANSWER_TEXT, bytes);
    } else if (buf_put_str(&a->in, bytes)) {
        run(a);
    }
    flush(a);
    a->out_of_memory = !is_whole(a);
    return !a->out_of_memory;
}

bool answer_finish(answer *a, answer_take *each, void *ud) {
    if (a->out_of_memory) return false;
    a->each = each;
    a->ud = ud;
    a->last = true;
    run(a);
    if (a->n_calls == 0 && (a->thought < 0 || !a->split)) {
        send(a, ANSWER_TEXT, buf_str(&a->blanks));
        buf_clear(&a->blanks);
    }
    flush(a);
    a->out_of_memory = !is_whole(a);
    return !a->out_of_memory;
}
