/* method.json: what was decided before anything was measured, and on which machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "kern/kern.h"
#include "study/study_private.h"

/* The rest of the first line of a file of /proc that begins so. */
static void proc_line(const char *path, const char *begin, char *dst, size_t cap) {
    char line[512];
    FILE *f = fopen(path, "re");
    *dst = '\0';
    while (f && fgets(line, sizeof line, f)) {
        str s = str_of(line);
        if (!str_starts(s, str_of(begin))) continue;
        size_t at = strcspn(line, ":");
        s = str_trim(*begin && line[at] ? str_of(line + at + 1) : s);
        snprintf(dst, cap, "%.*s", (int)(s.n < cap ? s.n : cap - 1), s.p);
        break;
    }
    if (f) fclose(f);
}

static void put_machine(jsonw *w, const study_options *o) {
    char text[300];
    struct utsname u;
    jsonw_key(w, "machine");
    jsonw_object(w);
    proc_line("/proc/cpuinfo", "model name", text, sizeof text);
    jsonw_put_text(w, "cpu", text);
    jsonw_put_int(w, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
    jsonw_put_f64(w, "memory_bytes",
                  (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
    proc_line("/proc/cpuinfo", "flags", text, sizeof text);
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[4096];
    bool virtual = false;
    while (f && fgets(line, sizeof line, f)) virtual = virtual || strstr(line, " hypervisor");
    if (f) fclose(f);
    jsonw_key(w, "virtual"), jsonw_bool(w, virtual);
    if (uname(&u) == 0) {
        snprintf(text, sizeof text, "%s %s %s", u.sysname, u.release, u.machine);
        jsonw_put_text(w, "system", text);
    }
    jsonw_put_text(w, "kernels", kern_get()->name);
    proc_line("/proc/loadavg", "", text, sizeof text);
    jsonw_put_text(w, "load_at_the_end", text);
    jsonw_put_text(w, "note", o->note);
    jsonw_end(w);
}

static void put_tariff(jsonw *w, const tariff *t) {
    jsonw_key(w, "tariff");
    jsonw_object(w);
    jsonw_put_text(w, "currency", t->currency);
    jsonw_put_f64(w, "units_per_usd", (double)t->usd_rate / 1e6);
    jsonw_put_f64(w, "purchase_price", t->price < 0 ? NAN : (double)t->price / 1e6);
    jsonw_put_f64(w, "resale", (double)t->resale / 1e6);
    jsonw_put_f64(w, "years", t->years);
    jsonw_put_f64(w, "upkeep_per_year", (double)(t->repairs + 12 * t->labour) / 1e6);
    jsonw_put_f64(w, "price_per_kwh", t->kwh_known ? tariff_kwh_mean(t) : NAN);
    jsonw_put_f64(w, "watts_idle", t->idle_w);
    jsonw_put_f64(w, "watts_load", t->load_w);
    jsonw_put_text(w, "watts_are", isnan(t->load_w) ? NULL : "declared");
    jsonw_end(w);
}

static void put_energy(jsonw *w, const meter *power) {
    meter_status s;
    meter_status_get(power, &s);
    bool none = s.boundary == METER_NONE;
    jsonw_key(w, "energy");
    jsonw_object(w);
    jsonw_put_text(w, "status",
                   none                           ? "not_measured"
                   : s.boundary == METER_DECLARED ? "declared"
                                                  : "measured");
    jsonw_put_text(w, "boundary", meter_boundary_name(s.boundary));
    jsonw_put_text(w, "instrument", s.instrument);
    jsonw_put_f64(w, "step_joules", none ? NAN : s.step_j);
    jsonw_key(w, "joules");
    jsonw_f64(w, none ? NAN : s.joules);
    jsonw_put_text(w, "why", none ? s.why_none : s.why_lost);
    jsonw_end(w);
}

static void put_price(jsonw *w, const char *key, const price_row *r, bool stand_in) {
    jsonw_key(w, key);
    if (!r) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    jsonw_put_text(w, "id", r->id);
    jsonw_put_int(w, "input_micro", r->in);
    jsonw_put_int(w, "cached_micro", r->cached);
    jsonw_put_int(w, "output_micro", r->out);
    jsonw_put_text(w, "as_of", r->as_of);
    jsonw_put_text(w, "source", r->source);
    jsonw_key(w, "stand_in"), jsonw_bool(w, stand_in);
    jsonw_end(w);
}

/* A model's three prices: its own weights hosted, else another small open model's, and said so. */
static void put_prices(jsonw *w, const study_options *o, const study_subject *s) {
    const char *named = tariff_stand_in(o->tariff, s->name);
    const price_row *same = named ? price_find(o->sheet, named, o->day)
                                  : price_same_weights(o->sheet, s->name, o->day);
    bool stand_in = !same;
    if (!same) same = price_cheapest_open(o->sheet, o->day);
    put_price(w, "same_weights", same, stand_in);
    put_price(w, "cheap", price_find(o->sheet, o->tariff->cheap, o->day), false);
    put_price(w, "flagship", price_find(o->sheet, o->tariff->flagship, o->day), false);
}

static void put_sizes(jsonw *w, const study_sizes *s) {
    const struct {
        const char *name;
        int v;
    } all[] = {{"piece", s->piece},
               {"chat_system", s->chat_system},
               {"chat_out", s->chat_out},
               {"document", s->document},
               {"document_out", s->document_out},
               {"agent_start", s->agent_start},
               {"agent_turn", s->agent_turn},
               {"agent_out", s->agent_out},
               {"agent_turns", s->agent_turns},
               {"summary", s->summary},
               {"summary_out", s->summary_out}};
    jsonw_key(w, "sizes_tokens");
    jsonw_object(w);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) jsonw_put_int(w, all[i].name, all[i].v);
    jsonw_end(w);
}

static void put_models(jsonw *w, const study_options *o, const study_subject *s, size_t n) {
    jsonw_key(w, "models");
    jsonw_array(w);
    for (size_t i = 0; i < n; i++) {
        jsonw_object(w);
        jsonw_put_text(w, "name", s[i].name);
        jsonw_put_text(w, "title", s[i].title);
        jsonw_put_text(w, "sha256", s[i].sha256);
        jsonw_put_text(w, "architecture", s[i].arch);
        jsonw_put_int(w, "parameters", (int64_t)s[i].params);
        jsonw_put_int(w, "file_bytes", (int64_t)s[i].file_bytes);
        jsonw_put_int(w, "context", s[i].n_ctx);
        jsonw_put_int(w, "vocabulary", s[i].n_vocab);
        jsonw_put_int(w, "works_tokens", s[i].works_tokens);
        jsonw_put_int(w, "works_bytes", s[i].works_bytes);
        jsonw_put_text(w, "works_sha256", s[i].text_sha256);
        put_sizes(w, &s[i].sizes);
        put_prices(w, o, &s[i]);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void put_plan(jsonw *w, const study_options *o, const study_plan *p) {
    jsonw_put_text(w, "size", p->name);
    jsonw_key(w, "preliminary"), jsonw_bool(w, o->size != STUDY_FULL);
    jsonw_key(w, "seed"), jsonw_uint(w, o->seed);
    jsonw_put_f64(w, "window_s", p->window_s);
    jsonw_put_f64(w, "longest_ramp_s", p->ramp_s);
    jsonw_put_int(w, "rounds", p->rounds);
    jsonw_key(w, "users");
    jsonw_array(w);
    for (int i = 0; i < p->n_users; i++) jsonw_int(w, p->users[i]);
    jsonw_end(w);
    jsonw_put_f64(w, "minutes_at_most",
                  o->max_minutes > 0   ? o->max_minutes
                  : p->max_minutes > 0 ? p->max_minutes
                                       : NAN);
    jsonw_put_int(w, "questions", p->questions);
    jsonw_put_text(w, "order", "all cells at random in every round, by the seed");
    jsonw_put_text(w, "sampler", "greedy; workloads write as many tokens as asked for");
    jsonw_put_text(w, "window",
                   "from the moment when every user has had a token (or the longest ramp is "
                   "over) for window_s; what comes before and after is not counted");
    jsonw_put_text(w, "interval", "95 % of 2000 medians of resampled runs; of shares Wilson's");
    jsonw_key(w, "request_columns");
    jsonw_array(w);
    for (int i = 0; i < STUDY_COLUMNS; i++) jsonw_str(w, str_of(study_columns[i]));
    jsonw_end(w);
    jsonw_key(w, "workloads");
    jsonw_object(w);
    for (int i = 0; i < WORKS; i++)
        jsonw_put_text(w, study_work_name((study_work)i), study_work_about((study_work)i));
    jsonw_end(w);
}

static void put_service(jsonw *w, const study_service *s, money spent) {
    char text[MONEY_TEXT];
    jsonw_key(w, "against");
    if (!s) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    jsonw_put_text(w, "url", s->url);
    jsonw_put_text(w, "model", s->model);
    put_price(w, "price", s->price, false);
    jsonw_key(w, "cap_usd"), jsonw_raw(w, str_of(money_exact(s->cap, text)));
    jsonw_key(w, "spent_usd"), jsonw_raw(w, str_of(money_exact(spent, text)));
    jsonw_end(w);
}

bool study_method_write(const study_options *o, const study_plan *p, const meter *power,
                        const study_subject *s, size_t n, money spent, bool stopped, err *e) {
    char path[4200], made[32];
    time_t now = (time_t)clock_unix_s();
    struct tm tm;
    buf b;
    jsonw w;
    gmtime_r(&now, &tm);
    strftime(made, sizeof made, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_init(&b, LIMIT_JSON_BYTES);
    jsonw_init(&w, &b);
    w.pretty = true;
    jsonw_object(&w);
    jsonw_put_text(&w, "hearth", HEARTH_VERSION);
    jsonw_put_text(&w, "made", made);
    jsonw_key(&w, "stopped_early"), jsonw_bool(&w, stopped);
    put_plan(&w, o, p);
    put_machine(&w, o);
    put_energy(&w, power);
    put_tariff(&w, o->tariff);
    jsonw_key(&w, "prices");
    jsonw_object(&w);
    jsonw_put_text(&w, "sheet", o->sheet->name);
    jsonw_put_text(&w, "sha256", o->sheet->sha256);
    jsonw_put_text(&w, "day", o->day);
    jsonw_end(&w);
    put_service(&w, o->against, spent);
    put_models(&w, o, s, n);
    jsonw_end(&w);
    buf_putc(&b, '\n');
    snprintf(path, sizeof path, "%s/method.json", o->out);
    bool ok = b.failed ? err_set(e, ERR_FAILED, "out of memory")
                       : file_replace(path, b.data, b.len, 0644, e);
    buf_deinit(&b);
    return ok;
}
