/* Log-probabilities, as the dialects that tell them have it: each token with its bytes and with the
 * likeliest ones beside it. */
#include <math.h>

#include "api/call.h"

const api_field api_logprob_fields[] = {
    {.name = "logprobs", .types = API_BOOL, .doc = "tell each token's log-probability"},
    {.name = "top_logprobs",
     .types = API_INT,
     .max = 20,
     .doc = "and those of so many likeliest tokens; needs logprobs"},
    {0},
};

bool api_logprob_read(const json_t *body, hearth_params *p, api_error *e) {
    bool wanted = api_get_bool(body, "logprobs", false);
    int64_t n_top = api_get_int(body, "top_logprobs", 0);
    if (n_top > 0 && !wanted)
        return api_fail(e, 400, "invalid_value", "top_logprobs",
                        "top_logprobs needs logprobs to be true");
    p->n_logprobs = wanted ? (int32_t)n_top : -1;
    return true;
}

double api_logprob_finite(float logprob) {
    return isfinite(logprob) ? (double)logprob : -9999.0;
}

static void members(api_call *c, jsonw *w, int32_t id, float logprob, bool with_id) {
    str s = api_token_text(c, id);
    if (with_id) {
        jsonw_key(w, "id");
        jsonw_int(w, id);
    }
    jsonw_key(w, "token");
    jsonw_str(w, s);
    jsonw_key(w, "logprob");
    jsonw_f64(w, api_logprob_finite(logprob));
    jsonw_key(w, "bytes");
    jsonw_array(w);
    for (size_t i = 0; i < s.n; i++) jsonw_int(w, (unsigned char)s.p[i]);
    jsonw_end(w);
}

void api_logprob_write(api_call *c, jsonw *w, const hearth_token *t, bool with_id) {
    jsonw_object(w);
    members(c, w, t->id, t->logprob, with_id);
    jsonw_key(w, "top_logprobs");
    jsonw_array(w);
    for (int i = 0; i < t->n_top; i++) {
        jsonw_object(w);
        members(c, w, t->top[i].token, t->top[i].logprob, with_id);
        jsonw_end(w);
    }
    jsonw_end(w);
    jsonw_end(w);
}

void api_logprob_keep(api_call *c, api_choice *ch, const hearth_token *t, bool with_id) {
    jsonw w;
    if (ch->extra.len) buf_putc(&ch->extra, ',');
    jsonw_init(&w, &ch->extra);
    api_logprob_write(c, &w, t, with_id);
}

void api_logprobs_write(jsonw *w, str kept) {
    buf_putc(w->out, '[');
    buf_put_str(w->out, kept);
    jsonw_raw(w, STR("]"));
}
