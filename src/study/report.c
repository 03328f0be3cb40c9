/* report.html: one file, no network, no script. Every figure of results.csv that it shows stands in
 * a span that names it, with the very digits of results.csv. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/csv.h"
#include "base/data.h"
#include "meter/hardware.h"
#include "study/calc.h"
#include "study/report_plot.h"

typedef struct page {
    const study_results *r;
    buf *b;
    int n_plots;
} page;

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1b1f;--dim:#55555f;--paper:#fff;--rule:#c9c9d1;"
    "--warn:#8a4b00;--s0:#0b57a4;--s1:#b3261e;--s2:#1a6b3c;--s3:#6b3fa0;--s4:#8a5a00;--s5:#00696e;"
    "--s6:#8c2f6b;--s7:#444}"
    "@media (prefers-color-scheme:dark){:root{--ink:#ececf1;--dim:#b4b4bf;--paper:#16161a;"
    "--rule:#45454f;--warn:#ffb866;--s0:#7db8ff;--s1:#ff9b93;--s2:#7fd6a0;--s3:#c9a5ff;--s4:#"
    "f0c069;"
    "--s5:#6fd8dd;--s6:#f39ccd;--s7:#ccc}}"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 "
    "auto;"
    "max-width:60rem;padding:1rem}h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px "
    "solid var(--rule)}table{border-collapse:collapse;font-size:.9rem}th,td{padding:.25rem .6rem;"
    "text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}th:first-child,"
    "td:first-child,.words td,.words th{text-align:left}caption{text-align:left;color:var(--dim);"
    "padding:.3rem 0}small{color:var(--dim);white-space:nowrap}.scroll{overflow-x:auto;margin:1rem "
    "0}.note{border-left:.3rem solid var(--warn);padding:.2rem .8rem}figure{margin:1rem 0}"
    ".plot{width:100%;height:auto}.plot "
    "text{font-size:12px;fill:var(--ink)}.grid{stroke:var(--rule)"
    ";stroke-width:1}.line{fill:none;stroke-width:2}.level{stroke-width:2;stroke-dasharray:8 "
    "4}.bar{stroke-width:1.5}.legend{list-style:none;padding:0;margin:.3rem 0;display:flex;"
    "flex-wrap:wrap;gap:.2rem 1rem}.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}"
    ".s3{stroke:var(--s3)}.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}"
    ".s7{stroke:var(--s7)}.mark{fill:var(--paper);stroke-width:2}code{overflow-wrap:anywhere}"
    "@media print{body{max-width:none;font-size:10pt}.scroll{overflow:visible}figure,table{"
    "break-inside:avoid}}";

/* ---- pieces ---- */

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static const json_t *model_of(const page *p, int m) {
    return json_array_get(json_object_get(p->r->method, "models"), (size_t)m);
}

static const char *currency(const page *p) {
    return text_of(json_object_get(p->r->method, "tariff"), "currency");
}

static void figure(page *p, const study_figure *f, bool interval) {
    char a[32], b[32], c[32];
    if (!f || !isfinite(f->v.median)) {
        buf_puts(p->b, f && isinf(f->v.median) ? "never" : "not known");
        return;
    }
    buf_printf(p->b, "<span data-figure=\"%d/%s/%s/%d/%s\">%s</span>", f->model, f->arm,
               f->workload, f->users, f->metric, study_figure_text(f->v.median, a));
    if (interval && isfinite(f->v.low) && f->v.n > 1)
        buf_printf(p->b, " <small>%s to %s</small>", study_figure_text(f->v.low, b),
                   study_figure_text(f->v.high, c));
}

static void cell(page *p, int m, const char *arm, const char *work, int users, const char *metric,
                 bool interval) {
    buf_puts(p->b, "<td>");
    figure(p, study_figure_find(p->r, m, arm, work, users, metric), interval);
    buf_puts(p->b, "</td>");
}

/* Opens a table whose headings are separated by |; "words" is its class, or "". */
static void table(page *p, const char *class, const char *caption, const char *headings) {
    buf_puts(p->b, "<section class=\"scroll\" tabindex=\"0\" aria-label=\"");
    html_text(p->b, caption);
    buf_printf(p->b, "\">\n<table%s%s%s><caption>", *class ? " class=\"" : "", class,
               *class ? "\"" : "");
    html_text(p->b, caption);
    buf_puts(p->b, "</caption>\n<thead><tr>");
    for (const char *h = headings; *h;) {
        size_t n = strcspn(h, "|");
        buf_printf(p->b, "<th scope=\"col\">%.*s</th>", (int)n, h);
        h += n + (h[n] == '|');
    }
    buf_puts(p->b, "</tr></thead>\n<tbody>\n");
}

static void table_end(page *p) {
    buf_puts(p->b, "</tbody></table>\n</section>\n");
}

/* The numbers of users with which a workload was run; how many there are. */
static int users_of(const page *p, int m, const char *arm, const char *work, int users[8]) {
    int n = 0;
    for (size_t i = 0; i < p->r->n_figures && n < 8; i++) {
        const study_figure *f = &p->r->figure[i];
        if (f->model == m && strcmp(f->arm, arm) == 0 && strcmp(f->workload, work) == 0 &&
            strcmp(f->metric, "out_tps") == 0)
            users[n++] = f->users;
    }
    return n;
}

static const study_figure *best_of(const page *p, int m, const char *arm, const char *work) {
    const study_figure *best = NULL;
    int users[8], n = users_of(p, m, arm, work, users);
    for (int i = 0; i < n; i++) {
        const study_figure *f = study_figure_find(p->r, m, arm, work, users[i], "out_tps");
        if (!best || f->v.median > best->v.median) best = f;
    }
    return best;
}

/* ---- speed ---- */

static void speed(page *p, int m, const char *arm) {
    char caption[200];
    snprintf(
        caption, sizeof caption, "%s, %s: tokens a second, medians of runs with 95 %% intervals",
        text_of(model_of(p, m), "name"), strcmp(arm, "here") == 0 ? "this machine" : "service");
    table(p, "", caption,
          "workload|users at once|written/s, all|read/s, all|written/s, each|first token, s|"
          "from the cache|requests/min|J a token written|runs");
    for (int w = 0; w < WORKS; w++) {
        const char *work = study_work_name((study_work)w);
        int users[8], n = users_of(p, m, arm, work, users);
        for (int i = 0; i < n; i++) {
            const study_figure *f = study_figure_find(p->r, m, arm, work, users[i], "out_tps");
            buf_printf(p->b, "<tr><th scope=\"row\">%s</th><td>%d</td>", work, users[i]);
            cell(p, m, arm, work, users[i], "out_tps", true);
            cell(p, m, arm, work, users[i], "in_tps", true);
            cell(p, m, arm, work, users[i], "decode_tps", false);
            cell(p, m, arm, work, users[i], "first_token", false);
            cell(p, m, arm, work, users[i], "cached_share", false);
            cell(p, m, arm, work, users[i], "requests", false);
            cell(p, m, arm, work, users[i], "joules_per_token", true);
            buf_printf(p->b, "<td>%zu</td></tr>\n", f->v.n);
        }
    }
    table_end(p);
}

static void add_point(plot_series *q, double x, const study_figure *f) {
    if (!f || !isfinite(f->v.median) || q->n == PLOT_POINTS) return;
    q->x[q->n] = x;
    q->y[q->n] = f->v.median;
    q->low[q->n] = f->v.n > 1 ? f->v.low : NAN;
    q->high[q->n] = f->v.n > 1 ? f->v.high : NAN;
    q->n++;
}

static void curve(page *p, int m, const char *arm, const char *metric, const char *title,
                  const char *y_name, bool log_y, bool prices) {
    static const char *const levels[][2] = {{"hosted_same_weights", "same weights hosted (chat)"},
                                            {"hosted_cheap", "cheap hosted model (chat)"},
                                            {"hosted_flagship", "flagship (chat)"}};
    char id[32];
    snprintf(id, sizeof id, "plot-%d", p->n_plots++);
    plot q = {
        .id = id, .title = title, .x_name = "users at once", .y_name = y_name, .log_y = log_y};
    for (int w = 0; w < WORKS; w++) {
        const char *work = study_work_name((study_work)w);
        int users[8], n = users_of(p, m, arm, work, users);
        plot_series *s = &q.series[q.n];
        s->name = work;
        for (int i = 0; i < n; i++)
            add_point(s, users[i], study_figure_find(p->r, m, arm, work, users[i], metric));
        if (s->n) q.n++;
    }
    const study_figure *chat = best_of(p, m, arm, "chat");
    for (int k = 0; prices && chat && q.n > 0 && k < 3; k++) {
        plot_series *s = &q.series[q.n];
        s->name = levels[k][1];
        s->level = true;
        add_point(s, 1, study_figure_find(p->r, m, arm, "chat", chat->users, levels[k][0]));
        if (s->n) q.n++;
    }
    plot_draw(&q, p->b);
}

/* ---- money ---- */

static bool known(const page *p, int m, const char *work, int users, const char *metric) {
    const study_figure *f = study_figure_find(p->r, m, "here", work, users, metric);
    return f && isfinite(f->v.median);
}

static void money_table(page *p, int m, bool whole) {
    static const char *const total[] = {"total_u1", "total_u10", "total_u50", "total_u100"};
    static const char *const capital[] = {"capital_u1", "capital_u10", "capital_u50",
                                          "capital_u100"};
    char caption[300];
    snprintf(caption, sizeof caption,
             "%s: %s a million tokens written, reading included%s; by how much of its time the "
             "machine works, and the same requests at hosted prices",
             text_of(model_of(p, m), "name"), currency(p),
             whole ? "" : "; capital and upkeep alone, because electricity is not known");
    table(p, "", caption,
          "workload|users at once|here, 1 %|10 %|50 %|100 %|same weights hosted|cheap|flagship");
    for (int w = 0; w < WORKS; w++) {
        const char *work = study_work_name((study_work)w);
        int users[8], n = users_of(p, m, "here", work, users);
        for (int i = 0; i < n; i++) {
            buf_printf(p->b, "<tr><th scope=\"row\">%s</th><td>%d</td>", work, users[i]);
            for (int u = 0; u < 4; u++)
                cell(p, m, "here", work, users[i], whole ? total[u] : capital[u], u == 3);
            cell(p, m, "here", work, users[i], "hosted_same_weights", false);
            cell(p, m, "here", work, users[i], "hosted_cheap", false);
            cell(p, m, "here", work, users[i], "hosted_flagship", false);
            buf_puts(p->b, "</tr>\n");
        }
    }
    table_end(p);
}

static void prices_line(page *p, int m) {
    static const char *const what[] = {"Same weights hosted: ", "Cheap: ", "Flagship: "};
    buf_puts(p->b, "<p>");
    for (int i = 0; i < 3; i++) {
        const study_price *q = &p->r->price[m][i];
        char in[MONEY_TEXT], out[MONEY_TEXT];
        buf_puts(p->b, what[i]);
        if (!q->known) {
            buf_puts(p->b, "not in the price sheet. ");
            continue;
        }
        html_text(p->b, q->id);
        buf_printf(p->b, " (%s in, %s out, dollars a million, checked ",
                   money_micro_text(q->in, in), money_micro_text(q->out, out));
        html_text(p->b, q->as_of);
        buf_printf(p->b, ")%s. ",
                   q->stand_in
                       ? ", a stand-in: no host of these very weights is in the sheet, this "
                         "is the cheapest open model there"
                       : "");
    }
    buf_puts(p->b, "</p>\n");
}

static void owning_figures(const page *p, owning *o) {
    const json_t *t = json_object_get(p->r->method, "tariff");
    double price = json_number_value(json_object_get(t, "purchase_price"));
    double power = json_number_value(json_object_get(t, "price_per_kwh"));
    *o = (owning){.price = price,
                  .years = json_number_value(json_object_get(t, "years")),
                  .resale = price > 0 ? json_number_value(json_object_get(t, "resale")) / price : 0,
                  .labour = json_number_value(json_object_get(t, "upkeep_per_year")),
                  .kwh_price = power,
                  .idle_w = json_number_value(json_object_get(t, "watts_idle")),
                  .load_w = json_number_value(json_object_get(t, "watts_load"))};
}

static void break_even(page *p, int m, bool whole) {
    static const char *const hosted[][2] = {{"hosted_same_weights", "the same weights hosted"},
                                            {"hosted_cheap", "the cheap model"},
                                            {"hosted_flagship", "the flagship"}};
    owning o;
    owning_figures(p, &o);
    const study_figure *tps = best_of(p, m, "here", "chat");
    if (!tps) return;
    buf_printf(p->b, "<p>Break-even for chat, %d at once%s:</p>\n<ul>\n", tps->users,
               whole ? "" : " (at least: electricity is not counted)");
    for (int i = 0; i < 3; i++) {
        const study_figure *f = study_figure_find(p->r, m, "here", "chat", tps->users,
                                                  hosted[i][0]);
        if (!f || !isfinite(f->v.median)) continue;
        owning_year y = owning_ask(&o, f->v.median * tps->v.median * 31.536);
        buf_printf(p->b, "<li>against %s: ", hosted[i][1]);
        if (y.break_even > 1)
            buf_printf(p->b, "never%s</li>\n",
                       isfinite(y.break_even) ? " at this speed: it would have to work more than "
                                                "all of its time"
                                              : ": electricity alone costs more");
        else
            buf_printf(p->b,
                       "working %.3g %% of its time; the price is back after %.3g months of "
                       "full work</li>\n",
                       100 * y.break_even, y.months);
    }
    buf_puts(p->b, "</ul>\n");
}

static void money_part(page *p, int m) {
    const study_figure *f = best_of(p, m, "here", "chat");
    bool whole = f && known(p, m, "chat", f->users, "total_u100");
    bool capital = f && known(p, m, "chat", f->users, "capital_u100");
    buf_puts(p->b, "<h3>Money</h3>\n");
    prices_line(p, m);
    if (!capital)
        buf_puts(p->b, "<p class=\"note\">What the machine costs is not known: nobody has said it "
                       "(<code>hearth cost setup</code>). The hosted prices of the same requests "
                       "are below.</p>\n");
    money_table(p, m, whole);
    if (!capital) return;
    break_even(p, m, whole);
    curve(p, m, "here", whole ? "total_u100" : "capital_u100",
          "Economies of scale at home: cost of a million tokens against users at once, machine "
          "working all the time",
          "per million tokens written", true, true);
}

/* ---- the works, the cache, the questions ---- */

static void works_part(page *p, int m) {
    const study_figure *tps = best_of(p, m, "here", "shakespeare");
    if (!tps) return;
    char tokens[MONEY_TEXT];
    int u = tps->users;
    const study_figure *hours = study_figure_find(p->r, m, "here", "shakespeare", u, "works_hours");
    int64_t n = (int64_t)json_integer_value(json_object_get(model_of(p, m), "works_tokens"));
    buf_printf(p->b,
               "<h3>The Shakespeare round trip</h3>\n<p>The works are %s tokens in this "
               "vocabulary. By the sample, all of them go there and back in ",
               money_thousands(n, tokens));
    figure(p, hours, true);
    buf_printf(p->b, " hours, %d at once. The same at hosted prices, uncached: same weights ", u);
    figure(p, study_figure_find(p->r, m, "here", "shakespeare", u, "works_same_weights"), false);
    buf_puts(p->b, ", cheap ");
    figure(p, study_figure_find(p->r, m, "here", "shakespeare", u, "works_cheap"), false);
    buf_puts(p->b, ", flagship ");
    figure(p, study_figure_find(p->r, m, "here", "shakespeare", u, "works_flagship"), false);
    buf_puts(p->b, " ");
    html_text(p->b, currency(p));
    buf_puts(p->b, ". ");
    if (hours && hours->v.median > 0)
        buf_printf(p->b, "At this machine's own pace a year has %.4g round trips.",
                   8760 / hours->v.median);
    buf_puts(p->b, "</p>\n");
}

static void cache_part(page *p, int m) {
    char caption[200];
    snprintf(caption, sizeof caption,
             "%s: what the cache saves; at hosted prices, %s a million tokens written",
             text_of(model_of(p, m), "name"), currency(p));
    buf_puts(p->b, "<h3>Cache</h3>\n<p>Here a prompt that was read before is free; hosts charge 1 "
                   "to 50 % of the input price for it.</p>\n");
    table(p, "", caption, "workload|users at once|from the cache|same weights|cheap|flagship");
    for (int w = 0; w < WORKS; w++) {
        const char *work = study_work_name((study_work)w);
        const study_figure *f = best_of(p, m, "here", work);
        if (!f) continue;
        buf_printf(p->b, "<tr><th scope=\"row\">%s</th><td>%d</td>", work, f->users);
        cell(p, m, "here", work, f->users, "cached_share", true);
        cell(p, m, "here", work, f->users, "cache_saves_same_weights", false);
        cell(p, m, "here", work, f->users, "cache_saves_cheap", false);
        cell(p, m, "here", work, f->users, "cache_saves_flagship", false);
        buf_puts(p->b, "</tr>\n");
    }
    table_end(p);
}

static void questions_part(page *p, int m) {
    char caption[200];
    snprintf(caption, sizeof caption, "%s: questions that a program checks",
             text_of(model_of(p, m), "name"));
    buf_puts(p->b, "<h3>Quality beside cost</h3>\n");
    table(p, "", caption, "kind|where|asked|right|share|cost of a right answer");
    for (int a = 0; a < STUDY_ARMS; a++)
        for (int k = -1; k < 4; k++) {
            const char *kind = k < 0 ? "questions" : study_kinds[k], *arm = study_arms[a];
            if (!study_figure_find(p->r, m, arm, kind, 0, "asked")) continue;
            buf_printf(p->b, "<tr><th scope=\"row\">%s</th><td>%s</td>", k < 0 ? "all" : kind,
                       a == 0 ? "here" : "service");
            cell(p, m, arm, kind, 0, "asked", false);
            cell(p, m, arm, kind, 0, "right", false);
            cell(p, m, arm, kind, 0, "right_share", true);
            if (k < 0) cell(p, m, arm, kind, 0, "cost_per_right", false);
            else buf_puts(p->b, "<td>in all</td>");
            buf_puts(p->b, "</tr>\n");
        }
    table_end(p);
}

static void model_part(page *p, int m) {
    const json_t *o = model_of(p, m);
    buf_puts(p->b, "<h2>");
    html_text(p->b, text_of(o, "name"));
    buf_puts(p->b, "</h2>\n<p>");
    html_text(p->b, text_of(o, "title"));
    buf_puts(p->b, ", ");
    html_text(p->b, text_of(o, "architecture"));
    char n[MONEY_TEXT];
    buf_printf(p->b, ", %s parameters</p>\n<h3>Speed</h3>\n",
               money_thousands((int64_t)json_integer_value(json_object_get(o, "parameters")), n));
    for (int a = 0; a < STUDY_ARMS; a++) {
        int users[8];
        if (users_of(p, m, study_arms[a], "chat", users) == 0) continue;
        speed(p, m, study_arms[a]);
        curve(p, m, study_arms[a], "out_tps", "Tokens written a second against users at once",
              "tokens/s, all users", false, false);
    }
    money_part(p, m);
    works_part(p, m);
    cache_part(p, m);
    questions_part(p, m);
}

/* ---- around it ---- */

static void energy_line(page *p) {
    const json_t *o = json_object_get(p->r->method, "energy");
    bool none = strcmp(text_of(o, "status"), "not_measured") == 0;
    bool said = strcmp(text_of(o, "status"), "declared") == 0;
    buf_printf(p->b, "<p class=\"note\"><strong>Energy: %s</strong> (",
               none   ? "not measured"
               : said ? "declared, not measured"
                      : "measured");
    html_text(p->b, text_of(o, none ? "why" : "instrument"));
    buf_puts(p->b, "). ");
    if (none)
        buf_puts(p->b,
                 "Joules per token are null, not zero, and no typical wattage is put in their "
                 "place.");
    else {
        buf_puts(p->b, "Boundary: ");
        html_text(p->b, text_of(o, "boundary"));
        buf_puts(p->b, ". No figure of another boundary is set against it.");
    }
    buf_puts(p->b, "</p>\n");
}

static void head(page *p) {
    const json_t *m = p->r->method, *box = json_object_get(m, "machine");
    buf_puts(p->b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
                   "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<title>Hearth: a study of local models</title>\n<style>");
    buf_puts(p->b, style);
    buf_puts(p->b, "</style>\n</head>\n<body>\n<main>\n<h1>What models cost here</h1>\n<p>Measured "
                   "by <code>hearth study</code> ");
    html_text(p->b, text_of(m, "hearth"));
    buf_puts(p->b, ", ");
    html_text(p->b, text_of(m, "size"));
    buf_puts(p->b, ", ");
    html_text(p->b, text_of(m, "made"));
    buf_puts(p->b, ", on ");
    html_text(p->b, text_of(box, "cpu"));
    buf_printf(p->b, ", %d CPUs%s.</p>\n", (int)json_integer_value(json_object_get(box, "cpus")),
               json_is_true(json_object_get(box, "virtual")) ? ", a virtual machine" : "");
    if (json_is_true(json_object_get(m, "preliminary")))
        buf_puts(p->b,
                 "<p class=\"note\"><strong>Preliminary</strong>: short windows and few runs. "
                 "<code>hearth study --full</code> is the measurement.</p>\n");
    if (*text_of(box, "note")) {
        buf_puts(p->b, "<p class=\"note\">");
        html_text(p->b, text_of(box, "note"));
        buf_puts(p->b, "</p>\n");
    }
    energy_line(p);
}

static void declared(page *p) {
    const json_t *t = json_object_get(p->r->method, "tariff");
    static const char *const names[][2] = {{"purchase_price", "purchase price"},
                                           {"resale", "resale at the end"},
                                           {"years", "years of life"},
                                           {"upkeep_per_year", "labour and repairs a year"},
                                           {"price_per_kwh", "price of a kilowatt-hour"},
                                           {"watts_idle", "watts idle, declared"},
                                           {"watts_load", "watts at work, declared"}};
    table(p, "words", "What a person has declared of this machine", "what|value");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = json_object_get(t, names[i][0]);
        buf_printf(p->b, "<tr><th scope=\"row\">%s</th><td>", names[i][1]);
        if (json_is_number(v)) buf_printf(p->b, "%.10g", json_number_value(v));
        else buf_puts(p->b, "not declared");
        buf_puts(p->b, "</td></tr>\n");
    }
    table_end(p);
}

static void datacenter(page *p) {
    static const char *const columns[] = {"subject",
                                          "setting",
                                          "boundary",
                                          "joules_per_output_token",
                                          "usd_per_mtok_output",
                                          "tokens_per_s_per_user",
                                          "as_of",
                                          "source"};
    const data_file *f = data_find("datacenter.csv");
    csv c;
    buf_puts(
        p->b,
        "<h2>Datacenters, as others have measured them</h2>\n<p>Each figure with its boundary. "
        "None is divided by a figure of this machine: that would need the same boundary, and "
        "the same model. What their batching does is in the first three rows: the same "
        "machine, from 8 requests at once to 3072.</p>\n");
    if (!f || !csv_read(&c, data_text(f), f->name, NULL)) return;
    table(p, "words", "Sourced figures of datacenters",
          "what|setting|boundary|J a token written|dollars a million|tokens/s, each user|as of|"
          "source");
    for (size_t i = 0; i < c.n_rows; i++) {
        buf_puts(p->b, "<tr>");
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
            const char *text = csv_cell(&c, i, csv_column(&c, columns[k]));
            buf_puts(p->b, k ? "<td>" : "<th scope=\"row\">");
            html_text(p->b, *text ? text : "not told");
            buf_puts(p->b, k ? "</td>" : "</th>");
        }
        buf_puts(p->b, "</tr>\n");
    }
    table_end(p);
    csv_deinit(&c);
}

static void tail(page *p) {
    const json_t *m = p->r->method, *prices = json_object_get(m, "prices");
    buf_puts(p->b, "<h2>What would overturn this</h2>\n<ul>\n"
                   "<li>Which hosted model is replaced: the three prices differ by far more than "
                   "anything else here.</li>\n"
                   "<li>How much of its time the machine works: from 1 % to 100 % its cost a token "
                   "falls a hundredfold.</li>\n"
                   "<li>How many use it at once: the curve above.</li>\n"
                   "<li>Whether the machine is there anyway: then its price is spent, and "
                   "electricity alone counts.</li>\n"
                   "<li>Prices change: a sheet is a day's.</li>\n"
                   "<li>Whether the answers are as good: see the questions.</li>\n</ul>\n");
    buf_puts(p->b, "<h2>How it was done</h2>\n<ul>\n");
    static const char *const words[] = {"order", "sampler", "window", "interval"};
    for (size_t i = 0; i < 4; i++) {
        buf_printf(p->b, "<li>%s: ", words[i]);
        html_text(p->b, text_of(m, words[i]));
        buf_puts(p->b, "</li>\n");
    }
    buf_printf(p->b,
               "<li>%g s windows, %d rounds, seed %lld; %zu runs, %zu requests, %zu answers</li>\n",
               json_number_value(json_object_get(m, "window_s")),
               (int)json_integer_value(json_object_get(m, "rounds")),
               (long long)json_integer_value(json_object_get(m, "seed")), p->r->n_windows,
               p->r->n_requests, p->r->n_answers);
    for (size_t i = 0; i < p->r->n_words; i++) {
        buf_puts(p->b, "<li>");
        html_text(p->b, p->r->word[i]);
        buf_puts(p->b, "</li>\n");
    }
    static const char *const sheet[][2] = {
        {"<li>price sheet ", "sheet"}, {", in force on ", "day"}, {", SHA-256 ", "sha256"}};
    for (size_t i = 0; i < 3; i++) {
        buf_puts(p->b, sheet[i][0]);
        html_text(p->b, text_of(prices, sheet[i][1]));
    }
    buf_puts(p->b, "</li>\n");
    buf_printf(p->b,
               "<li>raw.jsonl SHA-256 <code>%s</code></li>\n<li>method.json SHA-256 "
               "<code>%s</code></li>\n<li>every number follows from these two files: <code>hearth "
               "study verify FOLDER</code></li>\n</ul>\n",
               p->r->raw_sha256, p->r->method_sha256);
    buf_puts(p->b, "</main>\n</body>\n</html>\n");
}

void study_report(const study_results *r, buf *b) {
    page p = {.r = r, .b = b};
    head(&p);
    for (int m = 0; m < r->n_models; m++) model_part(&p, m);
    buf_puts(b, "<h2>Declared, not measured</h2>\n");
    declared(&p);
    datacenter(&p);
    tail(&p);
}
