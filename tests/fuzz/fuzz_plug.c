/* What plugs answer, what people say of them, what hearth-meterd says, and powermetrics' lists: the
 * first byte says which. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "meter/meterd_line.h"
#include "meter/plist.h"
#include "meter/plug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok) {
    if (!ok) abort();
}

static void try_setting(const char *text) {
    plug_setting s;
    char url[500];
    if (!plug_setting_read(text, &s, NULL)) return;
    check(s.share > 0 && s.share <= 1 && plug_step_j(&s) > 0);
    plug_url(&s, s.kind, url);
    check(strlen(url) < sizeof url);
}

static void try_answer(plug_kind k, str body) {
    plug_setting s = {.kind = k,
                      .watts = "meters.0.power",
                      .energy = "meters.1.total",
                      .unit_j = 3600,
                      .share = 0.5};
    plug_reading r;
    const char *why = NULL;
    bool ok = plug_reading_read(&s, k, body, &r, &why);
    check(why != NULL);
    if (!ok) return;
    check(r.has_watts || r.has_joules);
    check(isfinite(r.watts) && isfinite(r.joules) && r.joules >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) return 0;
    char *text = malloc(n);
    if (!text) return 0;
    memcpy(text, data + 1, n - 1);
    text[n - 1] = 0;
    str body = {text, n - 1};
    meterd_line l;
    double watts;
    int which = data[0] % (PLUG_KINDS + 3);
    if (which < PLUG_KINDS) try_answer((plug_kind)which, body);
    else if (which == PLUG_KINDS) try_setting(text);
    else if (which == PLUG_KINDS + 1 && meterd_line_read(body, &l)) check(l.joules >= 0);
    else if (which == PLUG_KINDS + 2 && plist_combined_watts(body, &watts)) check(watts >= 0);
    free(text);
    return 0;
}
