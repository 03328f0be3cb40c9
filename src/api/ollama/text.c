/* The answers of /api/generate and /api/chat, in pieces or whole. */
#include "api/ollama/ollama.h"

/* ---- events ---- */

static void call_write(jsonw *w, const api_tool_call *t, int index) {
    jsonw_object(w);
    jsonw_key(w, "id");
    jsonw_str(w, str_of(t->id));
    jsonw_key(w, "function");
    jsonw_object(w);
    jsonw_key(w, "index");
    jsonw_int(w, index);
    jsonw_key(w, "name");
    jsonw_str(w, str_of(t->name));
    jsonw_key(w, "arguments");
    api_arguments_write(t, w);
    jsonw_end(w);
    jsonw_end(w);
}

/* The content of an event: a message, or a response; with calls [from, to) of the choice. */
static void content_write(const ollama_state *s, jsonw *w, str text, str thinking,
                          const api_choice *ch, int from, int to) {
    if (s->chat) {
        jsonw_key(w, "message");
        jsonw_object(w);
        jsonw_key(w, "role");
        jsonw_str(w, STR("assistant"));
    }
    jsonw_key(w, s->chat ? "content" : "response");
    jsonw_str(w, text);
    if (thinking.n) {
        jsonw_key(w, "thinking");
        jsonw_str(w, thinking);
    }
    if (from < to) {
        jsonw_key(w, "tool_calls");
        jsonw_array(w);
        for (int i = from; i < to; i++) call_write(w, &ch->tool[i], i);
        jsonw_end(w);
    }
    if (s->chat) jsonw_end(w);
}

static void piece(api_call *c, api_choice *ch, const api_piece *p) {
    ollama_state *s = c->state;
    const hearth_token *t = p->token;
    bool logprob = s->logprobs && t && t->id >= 0;
    jsonw w;
    if (s->gives_context && t && t->id >= 0) buf_append(&s->context, &t->id, sizeof t->id);
    if (!c->stream) {
        if (logprob) api_logprob_keep(c, ch, t, false);
        return;
    }
    /* a call is told as a whole: its arguments are an object here */
    bool call = p->kind == API_PIECE_TOOL_END;
    str none = STR(""), text = p->kind == API_PIECE_TEXT ? p->text : none,
        thought = p->kind == API_PIECE_REASONING ? p->text : none;
    if (text.n == 0 && thought.n == 0 && !call && !logprob) return;
    jsonw_init(&w, &c->out);
    ollama_head(c, &w);
    content_write(s, &w, text, thought, ch, p->tool, call ? p->tool + 1 : p->tool);
    jsonw_key(&w, "done");
    jsonw_bool(&w, false);
    if (logprob) {
        jsonw_key(&w, "logprobs");
        jsonw_array(&w);
        api_logprob_write(c, &w, t, false);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    buf_putc(&c->out, '\n');
}

static void context_write(const ollama_state *s, jsonw *w) {
    jsonw_key(w, "context");
    jsonw_array(w);
    for (size_t i = 0; i + sizeof(int32_t) <= s->context.len; i += sizeof(int32_t)) {
        int32_t id;
        memcpy(&id, s->context.data + i, sizeof id);
        jsonw_int(w, id);
    }
    jsonw_end(w);
}

static void figures_write(const api_call *c, jsonw *w, const hearth_usage *u) {
    const ollama_state *s = c->state;
    ollama_duration(w, "total_duration", (double)ollama_waited_ns(c) / 1e9);
    ollama_duration(w, "load_duration", (double)s->load_ns / 1e9);
    jsonw_key(w, "prompt_eval_count");
    jsonw_int(w, u->n_prompt);
    ollama_duration(w, "prompt_eval_duration", u->prefill_s);
    jsonw_key(w, "eval_count");
    jsonw_int(w, u->n_generated);
    ollama_duration(w, "eval_duration", u->decode_s);
    api_energy_write(c, NULL, w);
}

/* The last event, or the whole answer. */
static void finish(api_call *c) {
    ollama_state *s = c->state;
    const api_choice *ch = &c->choice[0];
    jsonw w;
    jsonw_init(&w, &c->out);
    ollama_head(c, &w);
    str none = STR("");
    content_write(s, &w, c->stream ? none : buf_str(&ch->text),
                  c->stream ? none : buf_str(&ch->reasoning), ch, 0, c->stream ? 0 : ch->n_tools);
    jsonw_key(&w, "done");
    jsonw_bool(&w, true);
    jsonw_key(&w, "done_reason");
    jsonw_str(&w, str_of(ch->usage.finish == HEARTH_FINISH_LENGTH ? "length" : "stop"));
    if (s->gives_context) context_write(s, &w);
    figures_write(c, &w, &ch->usage);
    if (s->logprobs && !c->stream) {
        jsonw_key(&w, "logprobs");
        api_logprobs_write(&w, buf_str(&ch->extra));
    }
    api_notes_write(c, &w);
    jsonw_end(&w);
    if (c->stream) buf_putc(&c->out, '\n');
}

const api_writer ollama_writer = {.piece = piece, .finish = finish};
