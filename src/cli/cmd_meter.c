/* hearth meter: what there is to measure energy with, and what it says. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/metering.h"
#include "cli/table.h"

static void source_json(jsonw *w, const meter_source *s) {
    jsonw_object(w);
    jsonw_put_text(w, "kind", s->kind);
    jsonw_put_text(w, "name", s->name);
    jsonw_put_text(w, "boundary", meter_boundary_name(s->boundary));
    jsonw_key(w, "counted");
    jsonw_bool(w, s->counted);
    jsonw_put_text(w, "why_not", s->why_not);
    jsonw_put_f64(w, "step_j", s->step_j > 0 ? s->step_j : NAN);
    jsonw_put_f64(w, "accuracy", s->gain > 0 ? s->gain : NAN);
    jsonw_put_f64(w, "watts", s->watts);
    jsonw_put_f64(w, "joules", s->seconds > 0 && s->lost_s == 0 ? s->joules : NAN);
    jsonw_put_f64(w, "seconds", s->seconds);
    jsonw_put_f64(w, "lost_seconds", s->lost_s);
    jsonw_put_text(w, "why_lost", s->why_lost);
    jsonw_put_f64(w, "counter_disagreement", s->disagreement);
    jsonw_end(w);
}

static void status_json(jsonw *w, const meter *m) {
    meter_status st;
    meter_status_get(m, &st);
    jsonw_object(w);
    jsonw_put_text(w, "boundary", meter_boundary_name(st.boundary));
    jsonw_key(w, "status");
    jsonw_str(w, st.boundary == METER_NONE       ? STR("not_measured")
                 : st.boundary == METER_DECLARED ? STR("declared")
                                                 : STR("measured"));
    jsonw_put_text(w, "instrument", st.instrument);
    jsonw_put_text(w, "why", st.boundary == METER_NONE ? st.why_none : st.why_lost);
    jsonw_put_f64(w, "step_j", st.boundary && st.step_j > 0 ? st.step_j : NAN);
    jsonw_put_f64(w, "watts", st.watts);
    jsonw_put_f64(w, "joules", st.seconds > 0 && st.lost_s == 0 ? st.joules : NAN);
    jsonw_put_f64(w, "seconds", st.seconds);
    jsonw_put_f64(w, "lost_seconds", st.lost_s);
    jsonw_key(w, "sources");
    jsonw_array(w);
    for (size_t i = 0; i < meter_n_sources(m); i++) {
        meter_source s;
        meter_source_get(m, i, &s);
        source_json(w, &s);
    }
    jsonw_end(w);
    jsonw_end(w);
}

static void print_json(const meter *m) {
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw w;
    jsonw_init(&w, &b);
    status_json(&w, m);
    out_json(&b);
    out_flush();
}

static const char *step_text(double joules, char *dst) {
    if (!(joules > 0)) return "-";
    if (joules < 1e-3) snprintf(dst, 32, "%.3g uJ", joules * 1e6);
    else human_joules(joules, dst);
    return dst;
}

static void print_sources(const meter *m) {
    table *t = table_new("kind|name|boundary|>step|>now|");
    for (size_t i = 0; i < meter_n_sources(m); i++) {
        meter_source s;
        char step[32], now[32] = "-";
        meter_source_get(m, i, &s);
        if (!isnan(s.watts)) snprintf(now, sizeof now, "%.2f W", s.watts);
        table_cell(t, "%s", s.kind);
        table_cell(t, "%s", s.name);
        table_cell(t, "%s", meter_boundary_name(s.boundary));
        table_cell(t, "%s", step_text(s.step_j, step));
        table_cell(t, "%s", now);
        if (s.counted && s.why_lost[0]) table_cell(t, "lost %.0f s: %s", s.lost_s, s.why_lost);
        else table_cell(t, "%s", s.counted ? "counted" : s.why_not);
    }
    if (meter_n_sources(m) > 0) table_print(t);
    table_free(t);
}

static void print_status(const meter *m) {
    meter_status st;
    meter_status_get(m, &st);
    if (st.boundary == METER_NONE) {
        out_printf("energy: not measured (%s)\n", st.why_none);
        return;
    }
    const char *how = st.boundary == METER_DECLARED ? "declared, not measured" : "measured";
    out_printf("energy: %s; boundary %s, by %s\n", how, meter_boundary_name(st.boundary),
               st.instrument);
}

/* One line a second, with a bar of the largest so far. */
static void print_moment(const meter *m, double *most) {
    meter_status st;
    char bar[CHART_BAR_BYTES] = "", energy[32];
    meter_status_get(m, &st);
    const char *mark = st.boundary == METER_DECLARED ? " (declared)" : "";
    if (isnan(st.watts)) {
        out_printf("not known%s%s\n", st.why_lost[0] ? ": " : "", st.why_lost);
    } else {
        if (st.watts > *most) *most = st.watts;
        if (out_is_terminal()) chart_bar(st.watts, *most, 30, bar);
        out_printf("%8.2f W%s  %s in %.0f s%s  %s\n", st.watts, mark,
                   human_joules(st.joules, energy), st.seconds, st.lost_s > 0 ? ", some lost" : "",
                   bar);
    }
    out_flush();
}

static void pause_until(uint64_t until_ns) {
    while (!interrupt_seen()) {
        uint64_t now = clock_now_ns();
        if (now >= until_ns) return;
        struct pollfd p = {.fd = interrupt_fd(), .events = POLLIN};
        poll(&p, 1, (int)((until_ns - now) / 1000000 + 1));
    }
}

static void watch(meter *m, const cli_args *a, bool json) {
    double most = 0;
    int64_t left = cli_int(a, "times", -1);
    uint64_t next = clock_now_ns();
    interrupt_remember();
    while (!interrupt_seen() && !out_broken() && left-- != 0) {
        next += 1000000000;
        pause_until(next);
        if (interrupt_seen()) break;
        meter_read(m);
        if (json) print_json(m);
        else print_moment(m, &most);
    }
    interrupt_end_process();
}

static int run(const cli_args *a) {
    err e = {0};
    meter_options o;
    bool off, json = cli_flag(a, "json");
    if (!metering_read(a, &o, &off, &e)) return cli_fail(&e);
    meter *m = meter_open(&o, &e);
    if (!m) return cli_fail(&e);
    meter_read(m);
    if (cli_flag(a, "watch")) {
        if (!json) print_status(m);
        if (meter_boundary_of(m) != METER_NONE) watch(m, a, json);
        else if (json) print_json(m);
    } else {
        if (meter_n_sources(m) > 0) {
            pause_until(clock_now_ns() + 1000000000);
            meter_read(m);
        }
        if (json) print_json(m);
        else print_sources(m), print_status(m);
    }
    meter_close(m);
    return ERR_NONE;
}

static const cli_option options[] = {
    {"watch", 'w', CLI_FLAG, NULL, "a line each second, until Ctrl-C", 0, 0},
    {"times", 'n', CLI_INT, "N", "with --watch: so many lines", 1, 1e9},
    {"json", 0, CLI_FLAG, NULL, "print JSON, one object (with --watch: one a line)", 0, 0},
    CLI_CONFIG_OPTION,
    {0},
};

const cli_command cmd_meter = {
    .name = "meter",
    .summary = "what this machine's energy is measured with",
    .args = "",
    .about =
        "Lists every source of energy figures that is found, what of the machine it sees (its "
        "boundary), its smallest step, and why it is not counted where it is not. The sources of "
        "the widest boundary are counted, and nothing is ever added across boundaries. Where there "
        "is none, energy is not measured: nothing is guessed.\n\n"
        "hearth serve takes the same options, and divides what is measured among its requests.",
    .examples = "  hearth meter\n  hearth meter --watch\n"
                "  hearth meter --plug http://192.168.1.40 --json\n"
                "  hearth meter --watts idle=9,load=250 --watch",
    .options = options,
    .more_options = metering_options,
    .run = run,
    .config = "meter",
};
