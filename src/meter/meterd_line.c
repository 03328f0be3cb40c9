#include "meter/meterd_line.h"

#include <jansson.h>
#include <stdio.h>

#include "base/jsonw.h"

static bool count_of(const json_t *o, const char *name, uint64_t *out) {
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static bool amount_of(const json_t *o, const char *name, double *out) {
    const json_t *v = json_object_get(o, name);
    *out = json_is_number(v) ? json_number_value(v) : -1;
    return *out >= 0 && *out < 1e15;
}

bool meterd_line_read(str text, meterd_line *out) {
    uint64_t version;
    if (text.n >= METERD_LINE_BYTES) return false;
    json_t *o = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    const char *instrument = json_string_value(json_object_get(o, "instrument"));
    bool ok = json_is_object(o) && instrument && count_of(o, "hearth-meterd", &version) &&
              version == 1 && count_of(o, "t_ns", &out->t_ns) && count_of(o, "lost", &out->lost) &&
              amount_of(o, "joules", &out->joules) && amount_of(o, "step_j", &out->step_j);
    if (ok) str_printable(str_of(instrument), out->instrument, sizeof out->instrument);
    json_decref(o);
    return ok;
}

void meterd_line_write(const meterd_line *l, buf *out) {
    jsonw w;
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "hearth-meterd");
    jsonw_int(&w, 1);
    jsonw_key(&w, "t_ns");
    jsonw_uint(&w, l->t_ns);
    jsonw_key(&w, "joules");
    jsonw_f64(&w, l->joules);
    jsonw_key(&w, "lost");
    jsonw_uint(&w, l->lost);
    jsonw_key(&w, "step_j");
    jsonw_f64(&w, l->step_j);
    jsonw_key(&w, "instrument");
    jsonw_str(&w, str_of(l->instrument));
    jsonw_end(&w);
    buf_putc(out, '\n');
}
