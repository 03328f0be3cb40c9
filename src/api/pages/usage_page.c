/* GET /usage: the ledger to look at, for people. One page of HTML with drawings in SVG, without a
 * script, a font or a picture from anywhere. Who asks sees their own figures; an administrator all.
 *
 * A browser sends no key by itself, so here, and only here, a 401 asks for one as a password.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/api_private.h"
#include "api/openai/openai.h"
#include "api/pages/usage_page.h"
#include "base/clock.h"

#define DAYS_MOST 366

/* What a browser shows; its 401 asks for a password. */
static const api_dialect page = {
    .name = "page",
    .stream_type = "text/html",
    .challenge = "Basic realm=\"Hearth: any name, and a key as the password\"",
    .error = openai_error,
};

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d1d1f;--soft:#5f6368;--line:#d9d9de;--ground:#fff;"
    "--in:#2f6fb0;--cached:#9cc3e8;--out:#d9822b;--joules:#2e8b57}"
    "@media(prefers-color-scheme:dark){:root{--ink:#ececf1;--soft:#a4a7ae;--line:#3a3b40;"
    "--ground:#17181b;--in:#5b9ee0;--cached:#2f5578;--out:#eb9f50;--joules:#5cc08a}}"
    "*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem 1rem 3rem;max-width:52rem;"
    "font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground)}"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .4rem}"
    "p{margin:.3rem 0}.soft{color:var(--soft)}nav a{color:inherit;margin-right:.9rem}"
    "nav a[aria-current]{font-weight:600;text-decoration:none}"
    "dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;"
    "margin:1.2rem 0}dl div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem}"
    "dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.25rem;"
    "font-variant-numeric:tabular-nums}figure{margin:0}figcaption{display:flex;flex-wrap:wrap;"
    "gap:.2rem 1rem;font-size:.85rem;color:var(--soft)}"
    "i{display:inline-block;width:.75rem;height:.75rem;border-radius:.15rem;margin-right:.35rem}"
    ".axis{display:flex;justify-content:space-between;font-size:.8rem;color:var(--soft)}"
    "svg{display:block;width:100%}.columns{height:9rem;border-bottom:1px solid var(--soft)}"
    ".bar{height:.55rem;min-width:4rem}.in{fill:var(--in);background:var(--in)}"
    ".cached{fill:var(--cached);background:var(--cached)}.out{fill:var(--out);background:var(--out)"
    "}"
    ".joules{fill:var(--joules);background:var(--joules)}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}"
    "th,td{padding:.35rem .6rem .35rem 0;text-align:right;border-bottom:1px solid var(--line);"
    "font-variant-numeric:tabular-nums;white-space:nowrap}th{font-weight:600}"
    "th:first-child,td:first-child{text-align:left;max-width:11rem;overflow:hidden;"
    "text-overflow:ellipsis}";

/* ---- pieces ---- */

static void put_text(buf *b, const char *s) {
    for (; *s; s++) {
        if (*s == '<') buf_puts(b, "&lt;");
        else if (*s == '>') buf_puts(b, "&gt;");
        else if (*s == '&') buf_puts(b, "&amp;");
        else if (*s == '"') buf_puts(b, "&quot;");
        else if ((unsigned char)*s >= ' ') buf_putc(b, *s);
    }
}

/* "12,345" */
static void put_count(buf *b, int64_t n) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) buf_putc(b, ',');
        buf_putc(b, digits[i]);
    }
}

static void put_seconds(buf *b, double s) {
    if (s < 60) buf_printf(b, "%.1f s", s);
    else if (s < 3600) buf_printf(b, "%.1f min", s / 60);
    else buf_printf(b, "%.1f h", s / 3600);
}

static void put_energy(buf *b, const store_usage_row *r) {
    double j = r->joules;
    if (!store_usage_measured(r)) {
        bool mixed = strcmp(r->boundary, "mixed") == 0;
        buf_puts(b, mixed ? "not comparable" : r->n_measured > 0 ? "in part" : "not measured");
        return;
    }
    if (j >= 3.6e6) buf_printf(b, "%.2f kWh", j / 3.6e6);
    else if (j >= 3600) buf_printf(b, "%.2f Wh", j / 3600);
    else buf_printf(b, "%.1f J", j);
    if (strcmp(r->boundary, "declared") == 0) buf_puts(b, " (declared)");
}

/* ---- drawings ---- */

typedef struct series {
    const char *class, *name;
    double (*of)(const store_usage_row *r);
} series;

static double computed_in(const store_usage_row *r) {
    return (double)(r->tokens_in - r->tokens_cached);
}
static double cached_in(const store_usage_row *r) {
    return (double)r->tokens_cached;
}
static double tokens_out(const store_usage_row *r) {
    return (double)r->tokens_out;
}
static double joules(const store_usage_row *r) {
    return store_usage_measured(r) ? r->joules : 0;
}

static const series of_tokens[] = {{"in", "read", computed_in},
                                   {"cached", "read before, from the cache", cached_in},
                                   {"out", "written", tokens_out},
                                   {0}};
static const series of_energy[] = {{"joules", "energy", joules}, {0}};

static double height_of(const store_usage_row *r, const series *s) {
    double sum = 0;
    for (; s->of; s++) sum += s->of(r);
    return sum;
}

/* One column a day, stretched to the width there is: words stand beside it, so they can be read. */
static void put_columns(buf *b, const char *title, const store_usage_row *day, int n,
                        const series *all) {
    double most = 0;
    for (int i = 0; i < n; i++)
        if (height_of(&day[i], all) > most) most = height_of(&day[i], all);
    buf_printf(b,
               "<svg class=\"columns\" role=\"img\" aria-label=\"%s\" viewBox=\"0 0 %d 100\" "
               "preserveAspectRatio=\"none\">",
               title, n * 10);
    for (int i = 0; i < n && most > 0; i++) {
        double at = 100;
        for (const series *s = all; s->of; s++) {
            double h = s->of(&day[i]) / most * 100;
            if (h <= 0) continue;
            at -= h;
            buf_printf(b,
                       "<rect class=\"%s\" x=\"%d\" y=\"%.2f\" width=\"8\" height=\"%.2f\">"
                       "<title>%s, %s: %.6g</title></rect>",
                       s->class, i * 10 + 1, at, h, day[i].label, s->name, s->of(&day[i]));
        }
    }
    buf_puts(b, "</svg><p class=\"axis\">");
    buf_printf(b, "<span>%s</span>", day[0].label);
    if (n > 2) buf_printf(b, "<span>%s</span>", day[n / 2].label);
    buf_printf(b, "<span>%s</span></p>", day[n - 1].label);
}

static void put_legend(buf *b, const series *all, const char *largest) {
    buf_puts(b, "<figcaption>");
    for (const series *s = all; s->of; s++)
        buf_printf(b, "<span><i class=\"%s\"></i>%s</span>", s->class, s->name);
    buf_printf(b, "<span>highest day: %s</span></figcaption>", largest);
}

static void put_bar(buf *b, const store_usage_row *r, double most) {
    double at = 0;
    buf_puts(b, "<svg class=\"bar\" aria-hidden=\"true\" viewBox=\"0 0 100 10\" "
                "preserveAspectRatio=\"none\">");
    for (const series *s = of_tokens; s->of && most > 0; s++) {
        double w = s->of(r) / most * 100;
        if (w > 0)
            buf_printf(b, "<rect class=\"%s\" x=\"%.2f\" width=\"%.2f\" height=\"10\"/>", s->class,
                       at, w);
        at += w;
    }
    buf_puts(b, "</svg>");
}

/* ---- parts of the page ---- */

static void put_tile(buf *b, const char *name) {
    buf_printf(b, "<div><dt>%s</dt><dd>", name);
}

static void put_tiles(buf *b, const store_usage_row *sum) {
    buf_puts(b, "<dl>");
    put_tile(b, "requests");
    put_count(b, sum->n_requests);
    buf_puts(b, "</dd></div>");
    put_tile(b, "tokens read");
    put_count(b, sum->tokens_in);
    buf_puts(b, "</dd></div>");
    put_tile(b, "of them cached");
    buf_printf(b, "%.0f %%</dd></div>",
               sum->tokens_in > 0 ? 100.0 * (double)sum->tokens_cached / (double)sum->tokens_in
                                  : 0.0);
    put_tile(b, "tokens written");
    put_count(b, sum->tokens_out);
    buf_puts(b, "</dd></div>");
    put_tile(b, "computed for");
    put_seconds(b, sum->prefill_s + sum->decode_s);
    buf_puts(b, "</dd></div>");
    put_tile(b, "energy");
    put_energy(b, sum);
    buf_puts(b, "</dd></div></dl>");
}

static void put_days(buf *b, const store_usage_row *day, int n) {
    const store_usage_row *most = &day[0], *hot = &day[0];
    char text[64];
    buf energy;
    for (int i = 1; i < n; i++) {
        if (height_of(&day[i], of_tokens) > height_of(most, of_tokens)) most = &day[i];
        if (joules(&day[i]) > joules(hot)) hot = &day[i];
    }
    buf_puts(b, "<h2>Tokens by day</h2><figure>");
    put_columns(b, "tokens by day", day, n, of_tokens);
    snprintf(text, sizeof text, "%.0f tokens", height_of(most, of_tokens));
    put_legend(b, of_tokens, text);
    buf_puts(b, "</figure><h2>Energy by day</h2>");
    if (!store_usage_measured(hot)) {
        buf_puts(b, "<p class=\"soft\">Energy: not measured. <code>hearth meter</code> says what "
                    "there is to measure it with.</p>");
        return;
    }
    buf_init(&energy, 64);
    put_energy(&energy, hot);
    buf_puts(b, "<figure>");
    put_columns(b, "energy by day", day, n, of_energy);
    put_legend(b, of_energy, energy.data ? energy.data : "");
    buf_printf(b, "<p class=\"soft\">What the requests used; boundary: %s.</p></figure>",
               hot->boundary);
    buf_deinit(&energy);
}

static void put_table(buf *b, const char *title, const char *first, const store_usage_row *rows,
                      size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (height_of(&rows[i], of_tokens) > most) most = height_of(&rows[i], of_tokens);
    buf_printf(b,
               "<h2>%s</h2><div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">"
               "<table><thead><tr><th scope=\"col\">%s</th><th scope=\"col\">share</th>"
               "<th scope=\"col\">requests</th><th scope=\"col\">read</th>"
               "<th scope=\"col\">cached</th><th scope=\"col\">written</th>"
               "<th scope=\"col\">computed</th><th scope=\"col\">energy</th></tr></thead><tbody>",
               title, title, first);
    for (size_t i = 0; i < n; i++) {
        const store_usage_row *r = &rows[i];
        buf_puts(b, "<tr><td>");
        put_text(b, r->label);
        buf_puts(b, "</td><td>");
        put_bar(b, r, most);
        const int64_t counts[] = {r->n_requests, r->tokens_in, r->tokens_cached, r->tokens_out};
        for (size_t k = 0; k < 4; k++) {
            buf_puts(b, "</td><td>");
            put_count(b, counts[k]);
        }
        buf_puts(b, "</td><td>");
        put_seconds(b, r->prefill_s + r->decode_s);
        buf_puts(b, "</td><td>");
        put_energy(b, r);
        buf_puts(b, "</td></tr>");
    }
    buf_puts(b, "</tbody></table></div>");
}

/* ---- the page ---- */

typedef struct usage_page {
    int n_days;
    int64_t since_s;
    bool all; /* whoever asks may see everybody's */
    store_usage_row *day, *model, *key, *finish;
    size_t n_day, n_model, n_key, n_finish;
} usage_page;

static bool sees_all(const api_call *c) {
    return c->key.id == STORE_LOCAL ? !store_keys_exist(c->api->store) : c->key.admin;
}

/* Local midnight, `back` days before today. */
static int64_t day_begins(int back) {
    time_t now = (time_t)clock_unix_s();
    struct tm tm = {0};
    localtime_r(&now, &tm);
    tm.tm_mday -= back;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm);
}

static bool page_read(api_call *c, usage_page *p, err *e) {
    store *s = c->api->store;
    store_usage_filter f = {.since_s = p->since_s, .key_id = p->all ? -1 : c->key.id};
    f.by = STORE_BY_DAY;
    bool ok = store_usage(s, &f, &p->day, &p->n_day, e);
    f.by = STORE_BY_MODEL;
    ok = ok && store_usage(s, &f, &p->model, &p->n_model, e);
    f.by = STORE_BY_KEY;
    ok = ok && store_usage(s, &f, &p->key, &p->n_key, e);
    f.by = STORE_BY_FINISH;
    return ok && store_usage(s, &f, &p->finish, &p->n_finish, e);
}

/* Every day of the time, also those without a request. */
static int days_fill(const usage_page *p, store_usage_row *out) {
    for (int i = 0; i < p->n_days; i++) {
        time_t t = (time_t)(day_begins(p->n_days - 1 - i) + 12 * 3600);
        struct tm tm = {0};
        localtime_r(&t, &tm);
        out[i] = (store_usage_row){.key_id = -1};
        strftime(out[i].label, sizeof out[i].label, "%Y-%m-%d", &tm);
        for (size_t k = 0; k < p->n_day; k++)
            if (strcmp(p->day[k].label, out[i].label) == 0) out[i] = p->day[k];
    }
    return p->n_days;
}

static void put_head(buf *b, const api_call *c, const usage_page *p) {
    static const int choices[] = {7, 30, 90, 365};
    buf_printf(b,
               "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
               "<title>Usage of Hearth</title><style>%s</style></head><body><main>"
               "<h1>Usage</h1><p class=\"soft\">",
               style);
    if (p->all) buf_puts(b, "of everybody");
    else if (c->key.id == STORE_LOCAL) buf_puts(b, "of this machine, without a key");
    else buf_puts(b, "of the key "), put_text(b, c->key.name);
    buf_printf(b, ", the last %d days</p><nav aria-label=\"time\">", p->n_days);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        buf_printf(b, "<a href=\"/usage?days=%d\"%s>%d days</a>", choices[i],
                   choices[i] == p->n_days ? " aria-current=\"page\"" : "", choices[i]);
    buf_puts(b, "</nav>");
}

static void put_page(api_call *c, const usage_page *p, store_usage_row *day) {
    buf *b = &c->out;
    store_usage_row sum = {.label = ""};
    for (size_t i = 0; i < p->n_model; i++) store_usage_add(&sum, &p->model[i]);
    put_head(b, c, p);
    put_tiles(b, &sum);
    if (sum.n_requests == 0) {
        buf_puts(b, "<p>Nothing was used in that time.</p>");
    } else {
        put_days(b, day, days_fill(p, day));
        put_table(b, "By model", "model", p->model, p->n_model);
        if (p->all) put_table(b, "By key", "key", p->key, p->n_key);
        put_table(b, "How requests ended", "end", p->finish, p->n_finish);
    }
    buf_puts(b, "</main></body></html>\n");
}

static void usage(api_call *c) {
    api_error e = {0};
    err why = {0};
    uint64_t days = 30;
    const char *asked = http_query(c->x, "days");
    if (asked && (!str_to_u64(str_of(asked), &days) || days < 1 || days > DAYS_MOST)) {
        api_fail(&e, 400, "out_of_range", "days", "days must lie in 1 .. %d", DAYS_MOST);
        api_reply_error(c, &e);
        return;
    }
    usage_page p = {.n_days = (int)days, .since_s = day_begins((int)days - 1), .all = sees_all(c)};
    store_usage_row *day = calloc((size_t)days, sizeof *day);
    bool ok = day ? page_read(c, &p, &why) : err_set(&why, ERR_NO_FIT, "out of memory");
    if (ok) {
        put_page(c, &p, day);
        http_set_header(c->x, "Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                        "form-action 'none'; frame-ancestors 'none'");
        http_set_header(c->x, "Cache-Control", "no-store");
        http_set_header(c->x, "Referrer-Policy", "no-referrer");
        api_reply(c, 200, "text/html; charset=utf-8", NULL);
    } else {
        api_fail_err(&e, &why);
        api_reply_error(c, &e);
    }
    free(day);
    free(p.day);
    free(p.model);
    free(p.key);
    free(p.finish);
}

const api_route api_routes_usage[] = {
    {"GET", "/usage", &page, API_INFERENCE, .run = usage,
     .summary = "a page for people: what was used, by day, model and key"},
    {0},
};
