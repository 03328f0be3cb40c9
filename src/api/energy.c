/* What answers used: the meter and attribution on one side, calls and the ledger on the other.
 *
 * A choice's energy is known a little after its last step, when the meter has been read. The engine
 * settles at once; the ledger's row gets its joules later, and the choice holds its call until
 * then. Only an answer that is to say its energy waits for it, and never longer than WAIT_MS.
 */
#include <math.h>
#include <stdio.h>

#include "api/api_private.h"
#include "base/clock.h"

#define WAIT_MS 5000

static const char *boundary_of(const api *a) {
    return meter_boundary_name(a->attribute ? meter_boundary_of(a->meter) : METER_NONE);
}

/* ---- from the meter ---- */

static void on_done(void *ud, void *tag, const attribute_result *r) {
    api *a = ud;
    api_choice *ch = tag;
    store_entry_joules(ch->entry, r->joules, boundary_of(a));
    ch->energy = *r;
    atomic_store(&ch->metered, true);
    if (ch->call->gives_energy) call_tell(ch->call, 0);
    call_release(ch->call);
}

static void on_wake(void *ud, bool reading) {
    api *a = ud;
    if (reading) meter_poke(a->meter);
    else meter_nudge(a->meter);
}

static void on_window(void *ud, const meter_window *w) {
    api *a = ud;
    if (w) attribute_meter(a->attribute, w);
    attribute_work(a->attribute);
}

static double on_busy(void *ud, uint64_t begin_ns, uint64_t end_ns) {
    return attribute_busy(((api *)ud)->attribute, begin_ns, end_ns);
}

static void on_step(void *ud, const hearth_step *s) {
    attribute_step(((api *)ud)->attribute, s);
}

bool energy_open(api *a, const api_options *o, hearth_hooks *h, err *e) {
    a->meter = o->meter;
    a->always_energy = o->energy;
    if (!o->meter || meter_boundary_of(o->meter) == METER_NONE) return true;
    a->attribute = attribute_new(on_done, on_wake, a);
    if (!a->attribute) return err_set(e, ERR_NO_FIT, "out of memory");
    h->ud = a;
    h->step = on_step;
    meter_listen(a->meter, on_window, on_busy, a);
    return meter_start(a->meter, e);
}

void energy_drain(api *a) {
    if (!a->attribute) return;
    meter_stop(a->meter);
    attribute_close(a->attribute);
}

void energy_close(api *a) {
    if (!a->attribute) return;
    meter_stop(a->meter);
    attribute_free(a->attribute);
    a->attribute = NULL;
}

/* ---- from the engine ---- */

void energy_settle(api_choice *ch, const hearth_usage *u) {
    attribute *t = ch->call->api->attribute;
    if (t) store_entry_await_joules(ch->entry);
    store_entry_settled(ch->entry, u);
    if (!t) {
        call_release(ch->call);
    } else if (!attribute_end(t, ch)) {
        attribute_result r = {NAN, NAN, NAN, NAN, NAN, "out of memory"};
        on_done(ch->call->api, ch, &r);
    }
}

/* ---- in answers ---- */

bool energy_asked(const api_call *c) {
    const char *asked = http_header(c->x, "x-hearth-energy");
    return asked ? strcmp(asked, "no") != 0 && strcmp(asked, "0") != 0 : c->api->always_energy;
}

bool energy_awaited(const api_call *c, const api_choice *ch) {
    return c->gives_energy && c->api->attribute && !atomic_load(&ch->metered) &&
           clock_now_ns() - ch->read_ns < WAIT_MS * 1000000ull;
}

static attribute_result energy_of(const api_call *c, const api_choice *ch) {
    if (c->api->attribute && atomic_load(&ch->metered)) return ch->energy;
    attribute_result r = {NAN, NAN, NAN, NAN, NAN, "the meter did not answer in time"};
    if (c->api->attribute) return r;
    meter_status st = {0};
    if (c->api->meter) meter_status_get(c->api->meter, &st);
    snprintf(r.why, sizeof r.why, "%.99s",
             st.why_none[0] ? st.why_none : "the server was told not to measure");
    return r;
}

/* Of some requests: sums, and what is not known of one is not known of all. Their times differ, so
 * that their shares cannot be added: it is their joules of all that the machine used in the longest
 * of those times, and never more than all. */
static attribute_result energy_sum(const api_call *c, const api_choice *only) {
    if (only) return energy_of(c, only);
    attribute_result sum = {0};
    double squares = 0, machine_j = 0;
    for (int i = 0; i < c->n_choices; i++) {
        attribute_result r = energy_of(c, &c->choice[i]);
        sum.joules += r.joules;
        sum.marginal_j += r.marginal_j;
        sum.solo_j += r.solo_j;
        sum.share += r.share;
        if (r.share > 0) machine_j = fmax(machine_j, r.joules / r.share);
        squares += r.uncertainty_j * r.uncertainty_j;
        if (r.why[0]) memcpy(sum.why, r.why, sizeof sum.why);
    }
    if (c->n_choices > 1 && machine_j > 0 && !isnan(sum.share))
        sum.share = fmin(1, sum.joules / machine_j);
    sum.uncertainty_j = sqrt(squares);
    return sum;
}

static bool all_ended(const api_call *c, const api_choice *only) {
    for (int i = 0; !only && i < c->n_choices; i++)
        if (!c->choice[i].ended) return false;
    return !only || only->ended;
}

void api_energy_write(const api_call *c, const api_choice *ch, jsonw *w) {
    if (!c->gives_energy || !all_ended(c, ch)) return;
    attribute_result r = energy_sum(c, ch);
    const char *boundary = boundary_of(c->api);
    bool known = !isnan(r.joules);
    jsonw_key(w, "energy");
    jsonw_object(w);
    jsonw_key(w, "status");
    jsonw_str(w, !known                              ? STR("not_measured")
                 : strcmp(boundary, "declared") == 0 ? STR("declared")
                                                     : STR("measured"));
    jsonw_put_f64(w, "joules", r.joules);
    jsonw_put_f64(w, "marginal_joules", r.marginal_j);
    jsonw_put_f64(w, "solo_joules", r.solo_j);
    jsonw_put_f64(w, "share", r.share);
    jsonw_put_f64(w, "uncertainty", r.uncertainty_j);
    jsonw_key(w, "boundary");
    jsonw_str(w, str_of(boundary));
    jsonw_key(w, "why");
    if (r.why[0]) jsonw_str(w, str_of(r.why));
    else jsonw_null(w);
    jsonw_end(w);
}

void energy_header(api_call *c) {
    char text[160];
    if (!c->gives_energy) return;
    attribute_result r = energy_sum(c, NULL);
    if (isnan(r.joules)) snprintf(text, sizeof text, "not-measured");
    else
        snprintf(text, sizeof text, "joules=%.6g; share=%.4g; boundary=%s; uncertainty=%.3g",
                 r.joules, r.share, boundary_of(c->api), r.uncertainty_j);
    http_set_header(c->x, "X-Hearth-Energy", text);
}

/* ---- /metrics ---- */

static void one(buf *out, const api *a, const char *type, const char *name, const char *help,
                double value) {
    if (isnan(value)) return;
    buf_printf(out,
               "# HELP hearth_energy_%s %s\n# TYPE hearth_energy_%s %s\n"
               "hearth_energy_%s{boundary=\"%s\"} %.17g\n",
               name, help, name, type, name, boundary_of(a), value);
}

void energy_metrics(api *a, buf *out) {
    one(out, a, "gauge", "measured", "0: energy is not measured, and has no figures",
        a->attribute != NULL);
    if (!a->attribute) return;
    meter_status st;
    attribute_totals t;
    meter_status_get(a->meter, &st);
    attribute_totals_get(a->attribute, &t);
    one(out, a, "counter", "joules_total", "what the meter measured", st.joules);
    one(out, a, "counter", "lost_seconds_total", "time in which it could not", st.lost_s);
    one(out, a, "counter", "requests_joules_total", "of it, what requests used", t.requests_j);
    one(out, a, "counter", "idle_joules_total", "of it, while nothing was computed", t.idle_j);
    one(out, a, "counter", "own_joules_total", "of it, work that was no request's", t.own_j);
    one(out, a, "gauge", "watts", "mean of the last window", st.watts);
    one(out, a, "gauge", "idle_watts", "median of windows without work", t.idle_w);
}
