/* Which turns go; see talk_fit.h. */
#include "api/talk_fit.h"

static bool has_role(const json_t *m, const char *role) {
    return strcmp(api_get_text(m, "role", ""), role) == 0;
}

static bool is_system(const json_t *m) {
    return has_role(m, "system") || has_role(m, "developer");
}

/* Turns before `last`, where the user spoke last. */
static int number_turns(const json_t *messages, size_t last, int *unit) {
    int n = 0;
    for (size_t i = 0; i < last; i++) {
        const json_t *m = json_array_get(messages, i);
        unit[i] = -1;
        if (is_system(m)) continue;
        if (has_role(m, "user") || n == 0) n++;
        unit[i] = n - 1;
    }
    return n;
}

/* Answers after it, but for the newest. */
static int number_answers(const json_t *messages, size_t last, int n, int *unit) {
    size_t count = json_array_size(messages);
    int first = n;
    for (size_t i = last; i < count; i++) {
        const json_t *m = json_array_get(messages, i);
        bool answers = has_role(m, "assistant");
        n += answers;
        unit[i] = i > last && n > first && (answers || has_role(m, "tool")) ? n - 1 : -1;
    }
    if (n == first) return n;
    for (size_t i = last; i < count; i++)
        if (unit[i] == n - 1) unit[i] = -1;
    return n - 1;
}

/* A number for each message: the turn that it goes with, or -1: it stays. The number of turns. */
static int units_number(const json_t *messages, int *unit) {
    size_t last = json_array_size(messages);
    while (last > 0 && !has_role(json_array_get(messages, last - 1), "user")) last--;
    if (last > 0) last--;
    int n = number_turns(messages, last, unit);
    return number_answers(messages, last, n, unit);
}

static size_t room_of(const api_call *c, const api_talk *t, int32_t max_tokens) {
    int32_t n_ctx = hearth_engine_ctx(resident_engine(c->model));
    if (t->n_ctx > 0 && t->n_ctx < n_ctx) n_ctx = t->n_ctx;
    int32_t kept = max_tokens < 0 || max_tokens > n_ctx / 2 ? n_ctx / 4 : max_tokens;
    return (size_t)(n_ctx - (kept > 0 ? kept : 1));
}

bool talk_fit(api_call *c, const api_talk *t, int32_t max_tokens, hearth_chat_prompt *out,
              api_error *e) {
    size_t room = room_of(c, t, max_tokens);
    int *unit = arena_calloc(c->arena, json_array_size(t->messages) + 1, sizeof *unit);
    if (!unit) return api_no_memory(e);
    if (!talk_render_without(c, t, NULL, 0, out, e)) return false;
    int low = 1, high = units_number(t->messages, unit), have = 0;
    if (out->n_ids <= room || high < 1) return true;
    while (have != low || low < high) { /* the least that is enough is in [low, high] */
        have = low + (high - low) / 2;
        hearth_chat_prompt_free(out);
        if (!talk_render_without(c, t, unit, have, out, e)) return false;
        if (out->n_ids <= room) high = have;
        else if (low < high) low = have + 1;
    }
    c->n_dropped = have;
    return true;
}
