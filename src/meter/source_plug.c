/* A smart plug, asked over the local network once a second: what the socket gives, with nothing
 * missing. Its watts are added up over time; its own counter, which has coarse steps, checks them.
 */
#include <stdio.h>

#include "meter/plug.h"
#include "meter/source.h"
#include "net/client.h"

#define AGAIN_NS (5000 * MS_NS) /* after a failure: the other sources must not wait each second */
#define TYPICAL_GAIN 0.02       /* plugs of this kind are within 1 or 2 % */

typedef struct plug {
    plug_setting setting;
    plug_kind kind; /* PLUG_ANY: not found out yet */
    http_client *client;
    const source_list *l;
    uint64_t failed_ns; /* 0: the last time it answered */
    const char *failure;
} plug;

static bool ask(plug *p, plug_kind k, plug_reading *out, bool *answers, const char **why) {
    char url[500];
    http_answer a;
    plug_url(&p->setting, k, url);
    bool ok = http_client_fetch(p->client,
                                &(http_ask){.url = url,
                                            .max_redirects = -1,
                                            .max_bytes = 65536,
                                            .timeout_ms = (int)(p->setting.timeout_s * 1e3)},
                                &a, NULL);
    *answers = a.status > 0;
    *why = *answers ? "the plug refuses the question" : "the plug does not answer";
    ok = ok && a.status == 200 && plug_reading_read(&p->setting, k, buf_str(&a.body), out, why);
    http_answer_deinit(&a);
    return ok;
}

/* Asks as each kind would be asked, until an answer makes sense. */
static bool ask_any(plug *p, plug_reading *out, const char **why) {
    bool answers = true;
    for (int k = PLUG_SHELLY2; k < PLUG_JSON && answers; k++) {
        if (!ask(p, (plug_kind)k, out, &answers, why)) continue;
        p->kind = (plug_kind)k;
        return true;
    }
    if (answers) *why = "the plug answers like none that is known: name its kind";
    return false;
}

static bool plug_read(source *s, energy_reading *r, const char **why) {
    plug *p = s->ud;
    plug_reading got;
    bool answers;
    uint64_t from = source_now_ns(p->l);
    *why = p->failure;
    if (p->failed_ns && from - p->failed_ns < AGAIN_NS) return false;
    bool ok = p->kind == PLUG_ANY ? ask_any(p, &got, why) : ask(p, p->kind, &got, &answers, why);
    /* Tasmota has moved its figures to another number. */
    if (!ok && p->setting.kind == PLUG_TASMOTA) {
        const char *again;
        plug_kind other = p->kind == PLUG_TASMOTA ? PLUG_TASMOTA10 : PLUG_TASMOTA;
        ok = ask(p, other, &got, &answers, &again);
        if (ok) p->kind = other;
    }
    uint64_t now = source_now_ns(p->l);
    p->failed_ns = ok ? 0 : now;
    p->failure = *why;
    if (!ok) return false;
    r->t_ns = from + (now - from) / 2;
    r->has_watts = got.has_watts;
    r->watts = got.watts;
    r->has_count = got.has_joules;
    r->count = got.has_joules ? (uint64_t)(got.joules * 1e3 + 0.5) : 0;
    return true;
}

static void plug_close(source *s) {
    plug *p = s->ud;
    if (p) http_client_free(p->client);
    source_close_free(s);
}

bool source_find_plug(source_list *l, const char *text, err *e) {
    plug_setting setting;
    if (!plug_setting_read(text, &setting, e)) return false;
    int timeout_ms = (int)(setting.timeout_s * 1e3);
    plug *p = calloc(1, sizeof *p);
    http_client *c = p ? http_client_new(&(http_client_options){.direct = true,
                                                                .connect_timeout_ms = timeout_ms,
                                                                .stall_timeout_ms = timeout_ms},
                                         e)
                       : NULL;
    source *s = c ? source_add(l, "plug", METER_WALL, "%s %s", plug_kind_name(setting.kind),
                               setting.address)
                  : NULL;
    if (!s) {
        http_client_free(c);
        free(p);
        return err_set(e, ERR_NO_FIT, "--plug: out of memory, or more than %d sources",
                       SOURCES_MAX);
    }
    *p = (plug){.setting = setting, .kind = setting.kind, .client = c, .l = l};
    bool by_power = setting.kind != PLUG_JSON || setting.watts[0];
    bool counts = setting.kind != PLUG_JSON || setting.energy[0];
    s->step_j = plug_step_j(&setting);
    s->gain = TYPICAL_GAIN;
    s->own_time = true;
    s->rules = (energy_rules){.unit_j = counts ? 1e-3 : 0,
                              .max_watts = 1e5,
                              .by_power = by_power,
                              .step_j = s->step_j,
                              .fresh_ns = by_power ? 180000 * MS_NS : 0,
                              .max_gap_ns = 10000 * MS_NS};
    s->ud = p;
    s->read = plug_read;
    s->close = plug_close;
    return true;
}
