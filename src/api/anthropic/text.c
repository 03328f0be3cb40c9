/* /v1/messages: the answer. A message is a list of blocks; a stream tells when each begins and
 * ends, and a block begins when its first text is there. */
#include <sodium.h>

#include "api/anthropic/anthropic.h"

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
    const char *word = ch && api_calls_tools(ch) ? "tool_use" : "end_turn", *found = NULL;
    if (f == HEARTH_FINISH_LENGTH)
        word = ch->usage.n_generated < s->max_tokens ? "model_context_window_exceeded"
                                                     : "max_tokens";
    if (f == HEARTH_FINISH_STOP && !api_calls_tools(ch)) {
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

/* A sum of the thought, where their service has a signature: programs want one, and send it back.
 * It is not looked at then; a thought is a text like others. */
static void signature_write(jsonw *w, const char *key, str thought) {
    unsigned char sum[crypto_generichash_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof sum, sodium_base64_VARIANT_ORIGINAL)] = "";
    crypto_generichash(sum, sizeof sum, (const unsigned char *)thought.p, thought.n, NULL, 0);
    sodium_bin2base64(text, sizeof text, sum, sizeof sum, sodium_base64_VARIANT_ORIGINAL);
    jsonw_key(w, key);
    jsonw_str(w, str_of(text));
}

static void tool_members(jsonw *w, const api_tool_call *t, bool begins) {
    jsonw_str(w, STR("tool_use"));
    jsonw_key(w, "id");
    jsonw_str(w, str_of(t->id));
    jsonw_key(w, "name");
    jsonw_str(w, str_of(t->name));
    jsonw_key(w, "caller"); /* the model itself; their service also has programs that call */
    jsonw_raw(w, STR("{\"type\":\"direct\"}"));
    jsonw_key(w, "input");
    if (begins) jsonw_raw(w, STR("{}"));
    else api_arguments_write(t, w);
}

/* A block as it is when it begins. */
static void block_begin_write(jsonw *w, const api_choice *ch, api_piece_kind kind, int tool) {
    bool thinks = kind == API_PIECE_REASONING;
    jsonw_object(w);
    jsonw_key(w, "type");
    if (kind == API_PIECE_TOOL_BEGIN) {
        tool_members(w, &ch->tool[tool], true);
    } else {
        jsonw_str(w, thinks ? STR("thinking") : STR("text"));
        jsonw_key(w, thinks ? "thinking" : "text");
        jsonw_str(w, STR(""));
        jsonw_key(w, thinks ? "signature" : "citations");
        if (thinks) jsonw_str(w, STR(""));
        else jsonw_null(w);
    }
    jsonw_end(w);
}

static void block_write(jsonw *w, const api_choice *ch, const api_part *p) {
    bool thinks = p->kind == API_PIECE_REASONING;
    const buf *from = thinks ? &ch->reasoning : &ch->text;
    str text = {from->data ? from->data + p->from : "", p->n};
    jsonw_object(w);
    jsonw_key(w, "type");
    if (p->kind == API_PIECE_TOOL_BEGIN) {
        tool_members(w, &ch->tool[p->tool], false);
    } else {
        jsonw_str(w, thinks ? STR("thinking") : STR("text"));
        jsonw_key(w, thinks ? "thinking" : "text");
        jsonw_str(w, text);
        if (thinks) {
            signature_write(w, "signature", text);
        } else {
            jsonw_key(w, "citations");
            jsonw_null(w);
        }
    }
    jsonw_end(w);
}

/* A message ends with text or a call, if only with an empty text: programs look at the last. */
static bool wants_text(const api_choice *ch) {
    return ch->n_parts == 0 || ch->part[ch->n_parts - 1].kind == API_PIECE_REASONING;
}

static void blocks_write(jsonw *w, const api_choice *ch) {
    const api_part empty = {.kind = API_PIECE_TEXT};
    for (int i = 0; i < ch->n_parts; i++) block_write(w, ch, &ch->part[i]);
    if (wants_text(ch)) block_write(w, ch, &empty);
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
    if (ch) blocks_write(w, ch);
    jsonw_end(w);
    stop_write(c, w, ch);
    jsonw_key(w, "diagnostics");
    jsonw_null(w);
    jsonw_key(w, "usage");
    usage_write(c, w, u, true);
    if (ch) api_notes_write(c, w);
    jsonw_end(w);
}

/* ---- events ---- */

static void delta_open(api_call *c, jsonw *w, const char *type) {
    const anthropic_state *s = c->state;
    anthropic_event(c, w, "content_block_delta");
    jsonw_key(w, "index");
    jsonw_int(w, s->n_blocks - 1);
    jsonw_key(w, "delta");
    jsonw_object(w);
    jsonw_key(w, "type");
    jsonw_str(w, str_of(type));
}

static void delta_close(api_call *c, jsonw *w) {
    jsonw_end(w);
    anthropic_event_end(c, w);
}

static void block_close(api_call *c) {
    anthropic_state *s = c->state;
    const buf *thoughts = &c->choice[0].reasoning;
    jsonw w;
    if (!s->is_open) return;
    s->is_open = false;
    if (s->kind == API_PIECE_REASONING) {
        delta_open(c, &w, "signature_delta");
        signature_write(&w, "signature",
                        (str){thoughts->data + s->thought_from, thoughts->len - s->thought_from});
        delta_close(c, &w);
    }
    anthropic_event(c, &w, "content_block_stop");
    jsonw_key(&w, "index");
    jsonw_int(&w, s->n_blocks - 1);
    anthropic_event_end(c, &w);
}

/* n_new: bytes of a thought that the choice has already, and no event. */
static void block_open(api_call *c, api_piece_kind kind, int tool, size_t n_new) {
    anthropic_state *s = c->state;
    jsonw w;
    if (s->is_open && s->kind == kind && kind != API_PIECE_TOOL_BEGIN) return;
    block_close(c);
    s->is_open = true;
    s->kind = kind;
    s->thought_from = c->choice[0].reasoning.len - n_new;
    anthropic_event(c, &w, "content_block_start");
    jsonw_key(&w, "index");
    jsonw_int(&w, s->n_blocks);
    jsonw_key(&w, "content_block");
    block_begin_write(&w, &c->choice[0], kind, tool);
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
    static const struct {
        const char *type, *key;
    } deltas[] = {[API_PIECE_TEXT] = {"text_delta", "text"},
                  [API_PIECE_REASONING] = {"thinking_delta", "thinking"},
                  [API_PIECE_TOOL_ARGS] = {"input_json_delta", "partial_json"}};
    const anthropic_state *s = c->state;
    jsonw w;
    if (p->token && p->token->id >= 0 && s->stop && s->stop[0] && s->stop[1])
        buf_append(&ch->extra, &p->token->id, sizeof p->token->id);
    if (!c->stream) return;
    if (p->kind == API_PIECE_TOOL_BEGIN) block_open(c, p->kind, p->tool, 0);
    if (p->kind == API_PIECE_TOOL_END) block_close(c);
    if (p->text.n == 0) return;
    if (p->kind != API_PIECE_TOOL_ARGS) block_open(c, p->kind, -1, p->text.n);
    delta_open(c, &w, deltas[p->kind].type);
    jsonw_key(&w, deltas[p->kind].key);
    jsonw_str(&w, p->text);
    delta_close(c, &w);
}

static void finish(api_call *c) {
    const api_choice *ch = &c->choice[0];
    jsonw w;
    if (!c->stream) {
        jsonw_init(&w, &c->out);
        message_write(c, &w, ch, &ch->usage);
        return;
    }
    if (wants_text(ch)) block_open(c, API_PIECE_TEXT, -1, 0);
    block_close(c);
    anthropic_event(c, &w, "message_delta");
    jsonw_key(&w, "delta");
    jsonw_object(&w);
    stop_write(c, &w, ch);
    jsonw_end(&w);
    jsonw_key(&w, "usage");
    usage_write(c, &w, &ch->usage, false);
    api_notes_write(c, &w);
    anthropic_event_end(c, &w);
    anthropic_event(c, &w, "message_stop");
    anthropic_event_end(c, &w);
}

const api_writer anthropic_writer = {begin, piece, NULL, finish};
