/* /v1/messages: the answer. A message is a list of blocks; a stream tells when each begins and
 * ends, and a block begins when its first text is there. */
#include "api/anthropic.h"

/* ---- pieces of an answer ---- */

static void usage_write(const api_call *c, jsonw *w, const hearth_usage *u, bool whole) {
    jsonw_object(w);
    jsonw_key(w, "input_tokens"); /* those that were computed: the three add up to the prompt */
    jsonw_int(w, u->n_prompt - u->n_cached);
    jsonw_key(w, "cache_creation_input_tokens");
    jsonw_int(w, 0);
    jsonw_key(w, "cache_read_input_tokens");
    jsonw_int(w, u->n_cached);
    jsonw_key(w, "output_tokens");
    jsonw_int(w, u->n_generated);
    static const char *const unused[] = {"output_tokens_details", "server_tool_use",
                                         "cache_creation", "inference_geo", "speed"};
    for (size_t i = 0; i < (whole ? 5 : 2); i++) {
        jsonw_key(w, unused[i]);
        jsonw_null(w);
    }
    if (whole) {
        jsonw_key(w, "service_tier");
        jsonw_str(w, STR("standard"));
    }
    api_energy_write(c, NULL, w);
    jsonw_end(w);
}

/* The stop sequence that ended the answer. The engine cuts at the first that appears, so of
 * several it is the one that stands first in all that was generated. */
static const char *stop_found(api_call *c, const api_choice *ch) {
    const anthropic_state *s = c->state;
    const char *found = s->stop ? s->stop[0] : NULL;
    char *text;
    size_t n, first = SIZE_MAX;
    if (!found || !s->stop[1] ||
        !hearth_detokenize(resident_model(c->model), (const int32_t *)(const void *)ch->extra.data,
                           ch->extra.len / sizeof(int32_t), false, &text, &n, NULL))
        return found;
    for (const char *const *stop = s->stop; *stop; stop++) {
        const char *at = memmem(text, n, *stop, strlen(*stop));
        if (!at || (size_t)(at - text) >= first) continue;
        first = (size_t)(at - text);
        found = *stop;
    }
    hearth_free(text);
    return found;
}

/* The members stop_reason and its kin; ch NULL: not known yet. */
static void stop_write(api_call *c, jsonw *w, const api_choice *ch) {
    const anthropic_state *s = c->state;
    hearth_finish f = ch ? ch->usage.finish : HEARTH_FINISH_NONE;
    const char *word = "end_turn", *found = NULL;
    if (f == HEARTH_FINISH_LENGTH)
        word = ch->usage.n_generated < s->max_tokens ? "model_context_window_exceeded"
                                                     : "max_tokens";
    if (f == HEARTH_FINISH_STOP) {
        word = "stop_sequence";
        found = stop_found(c, ch);
    }
    jsonw_key(w, "stop_reason");
    if (ch) jsonw_str(w, str_of(word));
    else jsonw_null(w);
    jsonw_key(w, "stop_sequence");
    if (found) jsonw_str(w, str_of(found));
    else jsonw_null(w);
    jsonw_key(w, "stop_details");
    jsonw_null(w);
    jsonw_key(w, "container");
    jsonw_null(w);
}

static void block_write(jsonw *w, api_piece_kind kind, str text) {
    bool thinks = kind == API_PIECE_REASONING;
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, thinks ? STR("thinking") : STR("text"));
    jsonw_key(w, thinks ? "thinking" : "text");
    jsonw_str(w, text);
    jsonw_key(w, thinks ? "signature" : "citations");
    if (thinks) jsonw_str(w, STR(""));
    else jsonw_null(w);
    jsonw_end(w);
}

/* The message; ch NULL: as it is when it begins, without content. */
static void message_write(api_call *c, jsonw *w, const api_choice *ch, const hearth_usage *u) {
    const anthropic_state *s = c->state;
    jsonw_object(w);
    jsonw_key(w, "id");
    jsonw_str(w, str_of(s->id));
    jsonw_key(w, "type");
    jsonw_str(w, STR("message"));
    jsonw_key(w, "role");
    jsonw_str(w, STR("assistant"));
    jsonw_key(w, "model");
    jsonw_str(w, str_of(c->model_name));
    jsonw_key(w, "content");
    jsonw_array(w);
    if (ch && ch->reasoning.len) block_write(w, API_PIECE_REASONING, buf_str(&ch->reasoning));
    if (ch) block_write(w, API_PIECE_TEXT, buf_str(&ch->text));
    jsonw_end(w);
    stop_write(c, w, ch);
    jsonw_key(w, "diagnostics");
    jsonw_null(w);
    jsonw_key(w, "usage");
    usage_write(c, w, u, true);
    jsonw_end(w);
}

/* ---- events ---- */

static void block_close(api_call *c) {
    anthropic_state *s = c->state;
    jsonw w;
    if (!s->is_open) return;
    s->is_open = false;
    anthropic_event(c, &w, "content_block_stop");
    jsonw_key(&w, "index");
    jsonw_int(&w, s->n_blocks - 1);
    anthropic_event_end(c, &w);
}

static void block_open(api_call *c, api_piece_kind kind) {
    anthropic_state *s = c->state;
    jsonw w;
    if (s->is_open && s->kind == kind) return;
    block_close(c);
    s->is_open = true;
    s->kind = kind;
    anthropic_event(c, &w, "content_block_start");
    jsonw_key(&w, "index");
    jsonw_int(&w, s->n_blocks);
    jsonw_key(&w, "content_block");
    block_write(&w, kind, STR(""));
    anthropic_event_end(c, &w);
    if (s->n_blocks++ == 0) api_dialect_anthropic.keep_alive(c); /* as their own service does */
}

/* What is known of the usage when a stream begins; the last event has it complete. */
static hearth_usage usage_now(const api_call *c) {
    const anthropic_state *s = c->state;
    hearth_usage u = c->choice[0].usage;
    if (!c->choice[0].ended) hearth_request_usage(c->choice[0].req, &u);
    u.n_prompt = (int32_t)s->n_prompt;
    return u;
}

static void begin(api_call *c) {
    jsonw w;
    if (!c->stream) return;
    hearth_usage u = usage_now(c);
    anthropic_event(c, &w, "message_start");
    jsonw_key(&w, "message");
    message_write(c, &w, NULL, &u);
    anthropic_event_end(c, &w);
}

static void piece(api_call *c, api_choice *ch, const api_piece *p) {
    const anthropic_state *s = c->state;
    bool thinks = p->kind == API_PIECE_REASONING;
    jsonw w;
    if (p->token && p->token->id >= 0 && s->stop && s->stop[0] && s->stop[1])
        buf_append(&ch->extra, &p->token->id, sizeof p->token->id);
    if (!c->stream || p->text.n == 0) return;
    block_open(c, p->kind);
    anthropic_event(c, &w, "content_block_delta");
    jsonw_key(&w, "index");
    jsonw_int(&w, s->n_blocks - 1);
    jsonw_key(&w, "delta");
    jsonw_object(&w);
    jsonw_key(&w, "type");
    jsonw_str(&w, thinks ? STR("thinking_delta") : STR("text_delta"));
    jsonw_key(&w, thinks ? "thinking" : "text");
    jsonw_str(&w, p->text);
    jsonw_end(&w);
    anthropic_event_end(c, &w);
}

static void finish(api_call *c) {
    const api_choice *ch = &c->choice[0];
    jsonw w;
    if (!c->stream) {
        jsonw_init(&w, &c->out);
        message_write(c, &w, ch, &ch->usage);
        return;
    }
    /* a message ends with text, if only an empty one: programs look at the last block's */
    block_open(c, API_PIECE_TEXT);
    block_close(c);
    anthropic_event(c, &w, "message_delta");
    jsonw_key(&w, "delta");
    jsonw_object(&w);
    stop_write(c, &w, ch);
    jsonw_end(&w);
    jsonw_key(&w, "usage");
    usage_write(c, &w, &ch->usage, false);
    anthropic_event_end(c, &w);
    anthropic_event(c, &w, "message_stop");
    anthropic_event_end(c, &w);
}

const api_writer anthropic_writer = {begin, piece, NULL, finish};
