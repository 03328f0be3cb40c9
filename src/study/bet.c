#include "study/bet.h"

#include <math.h>

#define DAYS 365
#define YEAR_S (DAYS * 86400.0)

const char *bet_verdict_text(bet_verdict v) {
    static const char *const text[] = {"not known", "TRUE", "barely TRUE", "FALSE"};
    return text[v];
}

static bet_verdict judge(double ratio) {
    return ratio >= 1 ? BET_FALSE : ratio > BET_FRACTION ? BET_BARELY : BET_TRUE;
}

/* The works go play by play, far below any surcharge for long prompts: the short prompt's price. */
static void bill(bet *b, bet_pace p, int64_t in, int64_t out, int64_t in_price) {
    const price_row *api = b->q.api;
    bet_reading *r = &b->reading[p];
    r->in = in;
    r->out = out;
    r->bill_in = money_tokens(in, in_price);
    r->bill_out = money_tokens(out, api->out);
    if (p == BET_BATCH) {
        r->bill_in = money_ratio(r->bill_in, api->batch_factor, 1000000);
        r->bill_out = money_ratio(r->bill_out, api->batch_factor, 1000000);
    }
    r->bill = r->bill_in + r->bill_out;
    if (!r->trips && b->q.tokens) r->trips = (double)in / (double)b->q.tokens;
    if (b->q.price <= 0) {
        r->unknown = "the machine's price is not known: --price says it";
        return;
    }
    r->ratio = (double)r->bill / (double)b->q.price;
    r->verdict = judge(r->ratio);
}

static void ask_own(bet *b) {
    const machine *m = b->q.machine;
    bet_reading *r = &b->reading[BET_OWN];
    double works = (double)b->q.tokens;
    b->trip_seconds = works / m->prefill_tps + works / m->decode_tps;
    if (isnan(b->trip_seconds) || b->trip_seconds <= 0) {
        b->trip_seconds = NAN;
        r->unknown = isnan(m->decode_tps)
                         ? "the machine's speed is not known: --prefill and --decode say it"
                         : "how fast the machine reads is not known: --prefill says it";
        return;
    }
    int64_t tokens = llround(YEAR_S / b->trip_seconds * works);
    r->trips = YEAR_S / b->trip_seconds;
    bill(b, BET_OWN, tokens, tokens, b->q.api->in);
}

static bet_verdict together(const bet *b) {
    bool yes = false, no = false;
    for (int i = 0; i <= BET_OWN; i++) {
        bet_verdict v = b->reading[i].verdict;
        yes = yes || v == BET_TRUE || v == BET_BARELY;
        no = no || v == BET_FALSE;
    }
    return yes && no ? BET_UNKNOWN : no ? BET_FALSE : yes ? BET_TRUE : BET_UNKNOWN;
}

void bet_ask(bet *b, const bet_question *q) {
    static const char *const names[][2] = {
        [BET_ONE_A_DAY] = {"one-a-day", "one round trip a day"},
        [BET_SATURATED] = {"saturated", "one stream that never rests"},
        [BET_OWN] = {"own", "as many round trips as the machine itself can do"},
        [BET_BATCH] = {"batch", "one round trip a day, at the price for work that may wait"},
        [BET_SHORT] = {"short", "sent once a day, answered in 1,000 tokens"},
        [BET_CACHED] = {"cached", "the same, read from the API's cache after the first time"},
    };
    *b = (bet){.q = *q};
    for (int i = 0; i < BET_READINGS; i++)
        b->reading[i].name = names[i][0], b->reading[i].what = names[i][1];
    int64_t daily = DAYS * q->tokens, stream = llround(q->stream_tps * YEAR_S);
    bill(b, BET_ONE_A_DAY, daily, daily, q->api->in);
    bill(b, BET_SATURATED, stream, stream, q->api->in);
    ask_own(b);
    if (q->api->batch_factor >= 0) bill(b, BET_BATCH, daily, daily, q->api->in);
    else b->reading[BET_BATCH].unknown = "the sheet has no such price for this model";
    bill(b, BET_SHORT, daily, DAYS * BET_SHORT_ANSWER, q->api->in);
    if (q->api->cached >= 0) bill(b, BET_CACHED, daily, DAYS * BET_SHORT_ANSWER, q->api->cached);
    else b->reading[BET_CACHED].unknown = "the sheet has no such price for this model";
    b->verdict = together(b);
}

bet_turn bet_turn_of(const bet *b, const bet_reading *r) {
    double k = r->ratio > 0 ? 1 / r->ratio : INFINITY;
    bet_turn t = {NAN, NAN, NAN, k, r->bill};
    if (r == &b->reading[BET_SATURATED]) t.stream_tps = k * b->q.stream_tps;
    else t.trips_a_day = k * r->trips / DAYS;
    if (r != &b->reading[BET_SATURATED] && r != &b->reading[BET_OWN])
        t.tokens = k * (double)b->q.tokens;
    return t;
}
