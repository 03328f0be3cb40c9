/* results.csv and report.html, and whether they are still what the raw data say. */
#include <stdio.h>
#include <stdlib.h>

#include "base/csv.h"
#include "study/calc.h"

#define OUT_BYTES (256u << 20)

void study_csv(const study_results *r, buf *b) {
    char text[32];
    buf_puts(b, "model,arm,workload,users,metric,unit,median,low,high,n\n");
    for (size_t i = 0; i < r->n_figures; i++) {
        const study_figure *f = &r->figure[i];
        const json_t *m = json_array_get(json_object_get(r->method, "models"), (size_t)f->model);
        const char *name = json_string_value(json_object_get(m, "name"));
        csv_write(b, name ? name : "", false);
        buf_printf(b, "%s,%s,%d,%s,%s,", f->arm, f->workload, f->users, f->metric, f->unit);
        buf_printf(b, "%s,", study_figure_text(f->v.median, text));
        buf_printf(b, "%s,", study_figure_text(f->v.low, text));
        buf_printf(b, "%s,%zu\n", study_figure_text(f->v.high, text), f->v.n);
    }
}

typedef struct output {
    const char *name;
    void (*make)(const study_results *r, buf *b);
} output;
static const output outputs[] = {{"results.csv", study_csv}, {"report.html", study_report}};

static bool path_of(char *path, size_t cap, const char *folder, const char *name, err *e) {
    int n = snprintf(path, cap, "%s/%s", folder, name);
    return (n > 0 && (size_t)n < cap) || err_set(e, ERR_USAGE, "%.100s...: too long", folder);
}

bool study_write(const char *folder, err *e) {
    study_results r;
    char path[4200];
    bool ok = study_results_open(&r, folder, e);
    if (!ok) return false;
    for (size_t i = 0; ok && i < sizeof outputs / sizeof *outputs; i++) {
        buf b;
        buf_init(&b, OUT_BYTES);
        outputs[i].make(&r, &b);
        ok = b.failed ? err_set(e, ERR_FAILED, "out of memory")
                      : path_of(path, sizeof path, folder, outputs[i].name, e) &&
                            file_replace(path, b.data, b.len, 0644, e);
        buf_deinit(&b);
    }
    study_results_close(&r);
    return ok;
}

/* The first line in which two texts differ. */
static int differ_at(str a, str b) {
    int line = 1;
    for (size_t i = 0; i < a.n && i < b.n && a.p[i] == b.p[i]; i++) line += a.p[i] == '\n';
    return line;
}

static bool check(const study_results *r, const char *folder, const output *o, err *e) {
    char path[4200];
    buf now, was;
    buf_init(&now, OUT_BYTES);
    buf_init(&was, OUT_BYTES);
    o->make(r, &now);
    bool ok = path_of(path, sizeof path, folder, o->name, e) && file_read(&was, path, e);
    if (ok && now.failed) ok = err_set(e, ERR_FAILED, "out of memory");
    if (ok && !str_eq(buf_str(&now), buf_str(&was)))
        ok = err_set(e, ERR_DAMAGED,
                     "%s:%d: differs from what raw.jsonl and method.json say: one of them was "
                     "changed, or another version of Hearth wrote it",
                     o->name, differ_at(buf_str(&now), buf_str(&was)));
    buf_deinit(&now);
    buf_deinit(&was);
    return ok;
}

bool study_verify(const char *folder, char *said, size_t cap, err *e) {
    study_results r;
    if (!study_results_open(&r, folder, e)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof outputs / sizeof *outputs; i++)
        ok = check(&r, folder, &outputs[i], e);
    if (ok)
        snprintf(
            said, cap,
            "%zu figures follow from %zu runs, %zu requests and %zu answers, to the last digit "
            "(raw.jsonl has SHA-256 %s)",
            r.n_figures, r.n_windows, r.n_requests, r.n_answers, r.raw_sha256);
    study_results_close(&r);
    return ok;
}
