/* From tokens to the pieces of an answer. Without a parser each token is a piece of text. With one
 * its events become pieces: what it holds back comes with a later token, or at the end. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer/words.h"
#include "api/api_private.h"
#include "base/limits.h"

/* ---- beginning and end ---- */

bool pieces_init(api_call *c, api_choice *ch, api_error *e) {
    err why = {0};
    buf_init(&ch->text, LIMIT_CALL_BYTES);
    buf_init(&ch->reasoning, LIMIT_CALL_BYTES);
    buf_init(&ch->extra, LIMIT_CALL_BYTES);
    if (!c->apart) return true;
    ch->parser = answer_new(c->apart, &why);
    return ch->parser || api_fail_err(e, &why);
}

void pieces_deinit(api_choice *ch) {
    buf_deinit(&ch->text);
    buf_deinit(&ch->reasoning);
    buf_deinit(&ch->extra);
    for (int i = 0; i < ch->n_tools; i++) buf_deinit(&ch->tool[i].args);
    free(ch->tool);
    free(ch->part);
    answer_free(ch->parser);
}

/* ---- what was said so far ---- */

/* Room for one more; NULL, with ch->text.failed, when memory is short. */
static void *grown(void *list, int n, int *cap, size_t size, api_choice *ch) {
    if (n < *cap) return list;
    int more = *cap ? 2 * *cap : 8;
    void *p = realloc(list, (size_t)more * size);
    if (p) *cap = more;
    else ch->text.failed = true;
    return p;
}

static api_part *part_add(api_choice *ch, api_piece_kind kind, size_t from) {
    api_part *list = grown(ch->part, ch->n_parts, &ch->cap_parts, sizeof *list, ch);
    if (!list) return NULL;
    ch->part = list;
    list[ch->n_parts] = (api_part){.kind = kind, .from = from, .tool = -1};
    return &list[ch->n_parts++];
}

static void keep_text(api_choice *ch, api_piece_kind kind, str text) {
    buf *b = kind == API_PIECE_REASONING ? &ch->reasoning : &ch->text;
    api_part *p = ch->n_parts ? &ch->part[ch->n_parts - 1] : NULL;
    if (text.n == 0) return;
    if (!p || p->kind != kind) p = part_add(ch, kind, b->len);
    if (p && buf_put_str(b, text)) p->n += text.n;
}

static bool keep_call(api_call *c, api_choice *ch, const answer_event *ev) {
    const char *prefix = c->route->dialect->call_prefix;
    char id[40];
    api_tool_call *list = grown(ch->tool, ch->n_tools, &ch->cap_tools, sizeof *list, ch);
    api_part *p = list ? part_add(ch, API_PIECE_TOOL_BEGIN, 0) : NULL;
    if (list) ch->tool = list;
    if (!p) return false;
    api_random_name(id, sizeof id, prefix ? prefix : "call_");
    p->tool = ch->n_tools;
    api_tool_call *t = &list[ch->n_tools];
    *t = (api_tool_call){.name = arena_strdup(c->arena, ev->name),
                         .id = arena_strdup(c->arena, ev->id.n ? ev->id : str_of(id))};
    if (!t->name || !t->id) return false;
    buf_init(&t->args, LIMIT_CALL_BYTES);
    ch->n_tools++;
    return true;
}

/* ---- events ---- */

typedef struct taking {
    api_call *c;
    api_choice *ch;
    const hearth_token *token; /* not yet with a piece; else NULL */
    bool thought;              /* something of a thought came */
} taking;

static void give(taking *t, api_piece *p) {
    p->token = t->token;
    t->token = NULL;
    t->c->writer->piece(t->c, t->ch, p);
}

static void take(void *ud, const answer_event *ev) {
    static const api_piece_kind kinds[] = {API_PIECE_TEXT, API_PIECE_REASONING,
                                           API_PIECE_TOOL_BEGIN, API_PIECE_TOOL_ARGS,
                                           API_PIECE_TOOL_END};
    taking *t = ud;
    api_choice *ch = t->ch;
    api_piece p = {.kind = kinds[ev->kind], .text = ev->text, .tool = -1};
    switch (ev->kind) {
    case ANSWER_REASONING: t->thought = true; /* fall through */
    case ANSWER_TEXT: keep_text(ch, p.kind, ev->text); break;
    case ANSWER_CALL_BEGIN:
        p.text = STR("");
        if (!keep_call(t->c, ch, ev)) ch->text.failed = true;
        break;
    case ANSWER_CALL_ARGS:
        if (ch->n_tools) buf_put_str(&ch->tool[ch->n_tools - 1].args, ev->text);
        break;
    case ANSWER_CALL_END:
        p.text = STR("");
        if (ch->n_tools) ch->tool[ch->n_tools - 1].broken = ev->broken;
        if (ev->broken) api_warn(t->c, "a call was cut short: its arguments are not complete");
        break;
    }
    if (ev->kind >= ANSWER_CALL_BEGIN) p.tool = ch->n_tools - 1;
    if (ch->text.failed) t->c->out.failed = true;
    else give(t, &p);
}

/* What the parser is to see of a token: a control token that is no mark of the format says nothing
 * to anybody. */
static str text_of(api_call *c, const hearth_token *t) {
    str text = {t->text, t->text_len};
    char *plain;
    size_t n;
    bool word = text.n == 0 || isalnum((unsigned char)*text.p) || *text.p == ' ';
    if (t->id < 0 || word || answer_marks(c->apart->format, text) ||
        !hearth_detokenize(resident_model(c->model), &t->id, 1, false, &plain, &n, NULL))
        return text;
    hearth_free(plain);
    str name = n == 0 ? api_token_text(c, t->id) : STR("");
    if (str_ends(text, name)) text.n -= name.n;
    return text;
}

void pieces_push(api_call *c, api_choice *ch, const hearth_token *t) {
    taking now = {.c = c, .ch = ch, .token = t};
    if (!ch->parser) {
        api_piece p = {.kind = API_PIECE_TEXT, .text = {t->text, t->text_len}, .tool = -1};
        keep_text(ch, p.kind, p.text);
        give(&now, &p);
        return;
    }
    if (!answer_push(ch->parser, text_of(c, t), take, &now)) c->out.failed = true;
    bool silent = now.token != NULL;
    const api_part *last = ch->n_parts ? &ch->part[ch->n_parts - 1] : NULL;
    ch->n_reasoning += now.thought || (silent && last && last->kind == API_PIECE_REASONING);
    if (silent) give(&now, &(api_piece){.kind = API_PIECE_TEXT, .text = {"", 0}, .tool = -1});
}

void pieces_end(api_call *c, api_choice *ch) {
    taking now = {.c = c, .ch = ch};
    if (!ch->parser) return;
    if (!answer_finish(ch->parser, take, &now)) c->out.failed = true;
    if (answer_warning(ch->parser)) api_warn(c, answer_warning(ch->parser));
    else if (c->must_call && c->tools && ch->n_tools == 0)
        api_warn(c, "the answer ended before its call of a tool had begun");
}

/* ---- beside the answer ---- */

void api_warn(api_call *c, const char *text) {
    jsonw w;
    if (c->warnings.len) buf_putc(&c->warnings, ',');
    jsonw_init(&w, &c->warnings);
    jsonw_str(&w, str_of(text));
}

void api_notes_write(const api_call *c, jsonw *w) {
    if (c->warnings.len > 0) {
        jsonw_key(w, "warnings");
        buf_putc(w->out, '[');
        buf_put_str(w->out, buf_str(&c->warnings));
        jsonw_raw(w, STR("]"));
    }
    if (c->n_dropped > 0) {
        jsonw_key(w, "dropped_turns");
        jsonw_int(w, c->n_dropped);
    }
}

void api_arguments_write(const api_tool_call *t, jsonw *w) {
    bool in_string = false;
    str s = buf_str(&t->args);
    jsonw_raw(w, s.n ? STR("") : STR("{}"));
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (in_string && c == '\\' && i + 1 < s.n) {
            buf_append(w->out, s.p + i++, 2);
            continue;
        }
        if (c == '"') in_string = !in_string;
        if (in_string || !(c == ' ' || c == '\n' || c == '\r' || c == '\t')) buf_putc(w->out, c);
    }
}

bool api_calls_tools(const api_choice *ch) {
    return ch->n_tools > 0 && !ch->tool[ch->n_tools - 1].broken &&
           ch->usage.finish != HEARTH_FINISH_LENGTH;
}
