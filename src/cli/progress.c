/* How far a transfer is. */
#include "cli/progress.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "hearth.h"

#define LINE_EVERY_S 10.0

void progress_begin(progress *p, bool json) {
    *p = (progress){.json = json, .live = !json && err_is_terminal()};
    interrupt_remember();
}

bool progress_stopped(void *ud) {
    (void)ud;
    return interrupt_seen();
}

static void wipe(progress *p) {
    if (p->shown) fprintf(stderr, "\r\033[K");
    p->shown = false;
}

void progress_end(progress *p) {
    wipe(p);
    interrupt_end_process();
}

/* ---- as JSON ---- */

static void say_json(const hub_event *x, double rate, double left_s) {
    static const char *const kinds[] = {"status", "note", "retry", "blob"};
    char digest[HUB_DIGEST_BYTES];
    buf b;
    jsonw w;
    buf_init(&b, 8192);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "event"), jsonw_str(&w, str_of(kinds[x->kind]));
    jsonw_key(&w, x->kind == HUB_EVENT_BLOB ? "what" : "text"), jsonw_str(&w, str_of(x->text));
    if (x->kind == HUB_EVENT_RETRY) {
        jsonw_key(&w, "attempt"), jsonw_int(&w, x->attempt);
        jsonw_key(&w, "attempts"), jsonw_int(&w, x->attempts);
        jsonw_key(&w, "wait_s"), jsonw_f64(&w, x->wait_s);
    }
    if (x->kind == HUB_EVENT_BLOB) {
        jsonw_key(&w, "digest");
        if (x->digest.hex[0]) jsonw_str(&w, str_of(hub_digest_text(&x->digest, digest)));
        else jsonw_null(&w);
        jsonw_key(&w, "completed"), jsonw_uint(&w, x->completed);
        jsonw_key(&w, "total"), jsonw_uint(&w, x->total);
        jsonw_key(&w, "resumed"), jsonw_uint(&w, x->resumed);
        jsonw_key(&w, "bytes_per_s");
        if (rate > 0) jsonw_f64(&w, rate);
        else jsonw_null(&w);
        jsonw_key(&w, "seconds_left");
        if (left_s >= 0) jsonw_f64(&w, left_s);
        else jsonw_null(&w);
        jsonw_key(&w, "verified"), jsonw_bool(&w, x->verified);
    }
    jsonw_end(&w);
    buf_putc(&b, '\n');
    out_buf(&b);
    out_flush();
    buf_deinit(&b);
}

/* ---- as text ---- */

static char *human_time(double s, char *dst, size_t cap) {
    if (s < 90) snprintf(dst, cap, "%.0f s", s);
    else if (s < 5400) snprintf(dst, cap, "%.0f min", s / 60);
    else if (s < 1e8) snprintf(dst, cap, "%.1f h", s / 3600);
    else snprintf(dst, cap, "very long");
    return dst;
}

static void blob_line(const hub_event *x, double rate, double left, bool bar, char *dst,
                      size_t cap) {
    enum { CELLS = 20 };
    char done[32], total[32], speed[32], time[32], resumed[64] = "", cells[CELLS + 3] = "";
    double share = x->total ? (double)x->completed / (double)x->total : 1;
    if (bar) {
        cells[0] = '[';
        for (int i = 0; i < CELLS; i++) cells[i + 1] = (double)i < share * CELLS ? '#' : '.';
        cells[CELLS + 1] = ']';
    }
    if (x->resumed > 0) {
        human_bytes(x->resumed, done, sizeof done);
        snprintf(resumed, sizeof resumed, ", %s were there", done);
    }
    int k = snprintf(dst, cap, "%s %.12s %s%s%3.0f %% of %s", x->text, x->digest.hex, cells,
                     bar ? " " : "", 100 * share, human_bytes(x->total, total, sizeof total));
    if (k < 0 || (size_t)k >= cap) return;
    if (x->verified) snprintf(dst + k, cap - (size_t)k, "%s, verified", resumed);
    else if (rate > 0)
        snprintf(dst + k, cap - (size_t)k, ", %s/s, %s left%s",
                 human_bytes((uint64_t)rate, speed, sizeof speed),
                 human_time(left, time, sizeof time), resumed);
    else snprintf(dst + k, cap - (size_t)k, "%s", resumed);
}

/* The rate over the last seconds, and what it makes of the rest. */
static void measure(progress *p, const hub_event *x, double now) {
    char id[160];
    snprintf(id, sizeof id, "%.80s %.64s", x->text, x->digest.hex);
    if (strncmp(id, p->what, strlen(p->what)) != 0 || !p->what[0]) { /* another blob */
        snprintf(p->what, sizeof p->what, "%s", id);
        p->began = p->mark_at = now;
        p->first = p->mark_bytes = x->completed;
        p->rate = 0;
        p->drawn = now;
    }
    double span = now - p->mark_at;
    if (span < 0.5) return;
    double fresh = (double)(x->completed - p->mark_bytes) / span;
    p->rate = p->rate > 0 ? 0.7 * p->rate + 0.3 * fresh : fresh;
    p->mark_at = now;
    p->mark_bytes = x->completed;
}

void progress_event(void *ud, const hub_event *x) {
    progress *p = ud;
    double now = clock_now_s();
    if (x->kind == HUB_EVENT_BLOB) measure(p, x, now);
    double left = p->rate > 0 ? (double)(x->total - x->completed) / p->rate : -1;
    if (p->json) {
        say_json(x, x->kind == HUB_EVENT_BLOB ? p->rate : 0, left);
        return;
    }
    if (x->kind != HUB_EVENT_BLOB) {
        wipe(p);
        note("%s", x->text);
        return;
    }
    char line[512];
    blob_line(x, p->rate, left, p->live, line, sizeof line);
    if (x->verified) {
        wipe(p);
        note("%s", line);
    } else if (p->live) {
        int width = terminal_width();
        fprintf(stderr, "\r\033[K%.*s", width > 1 ? width - 1 : 1, line);
        fflush(stderr);
        p->shown = true;
    } else if (now - p->drawn >= LINE_EVERY_S) {
        p->drawn = now;
        note("%s", line);
    }
}

/* ---- options ---- */

/* "500k", "2M", "1.5G" */
static bool read_rate(const char *text, uint64_t *out, err *e) {
    size_t n = strlen(text);
    double unit = 1, x;
    str s = {text, n};
    if (n > 1 && strchr("kKmMgG", text[n - 1])) {
        char c = text[n - 1];
        unit = c == 'k' || c == 'K' ? 1e3 : c == 'm' || c == 'M' ? 1e6 : 1e9;
        s.n--;
    }
    if (!str_to_f64(s, &x) || x * unit < 1 || x * unit > 1e15)
        return err_set(e, ERR_USAGE, "--limit-rate: \"%.40s\" is no rate like 500k, 2M or 1G",
                       text);
    *out = (uint64_t)(x * unit);
    return true;
}

bool progress_options(const cli_args *a, progress *p, hub_wire_options *o, err *e) {
    const char *rate = cli_text(a, "limit-rate", NULL);
    *o = (hub_wire_options){.max_parallel = (int)cli_int(a, "max-parallel", 0),
                            .chunk_bytes = (uint64_t)cli_int(a, "chunk", 0) << 10,
                            .retries = (int)cli_int(a, "retries", 6),
                            .retry_wait_s = cli_get(a, "retry-wait")->real,
                            .stall_s = (int)cli_int(a, "stall", 0),
                            .insecure = cli_flag(a, "insecure"),
                            .agent = "hearth/" HEARTH_VERSION,
                            .event = progress_event,
                            .stopped = progress_stopped,
                            .ud = p};
    if (o->retries == 0) o->retries = -1;
    return !rate || read_rate(rate, &o->limit_rate, e);
}
