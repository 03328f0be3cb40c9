/* hearth quantize: a model's weights in another type, as a new file. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "cli/bar.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "hub/requantize.h"

static bool on_progress(void *ud, uint64_t done, uint64_t total) {
    bar_draw(ud, done, total);
    return !interrupt_seen();
}

static const mix *mix_asked(const char *name, err *e) {
    const mix *m = mix_named(name);
    if (m) return m;
    const char *names[32], *near;
    size_t n = 0;
    char shown[80], upper[32], list[256] = "";
    for (const mix *k = mix_all; k->name; k++) {
        size_t len = strlen(list);
        snprintf(list + len, sizeof list - len, "%s%s", n ? ", " : "", k->name);
        names[n++] = k->name;
    }
    size_t i = 0;
    for (; name[i] && i + 1 < sizeof upper; i++)
        upper[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
    upper[i] = 0;
    near = cli_nearest(upper, names, n);
    str_printable(str_of(name), shown, sizeof shown);
    if (near)
        err_set(e, ERR_USAGE, "there is no type \"%s\": did you mean \"%s\"? (%s)", shown, near,
                list);
    else err_set(e, ERR_USAGE, "there is no type \"%s\": choose one of %s", shown, list);
    return NULL;
}

/* "3 as Q5_0, 1 as Q8_0" */
static void say_fallbacks(const requantize_report *r) {
    char list[200] = "";
    for (uint32_t t = 0; t < QUANT_TYPE_END; t++) {
        size_t n = strlen(list);
        if (r->fell_to[t])
            snprintf(list + n, sizeof list - n, "%s%llu as %s", n ? ", " : "",
                     (unsigned long long)r->fell_to[t], quant_info_of(t)->name);
    }
    if (*list)
        note("hearth: %llu tensors have rows that are no whole blocks of their type; stored %s",
             (unsigned long long)r->fell_back, list);
}

static void say_weighed(const requantize_report *r, const imatrix *by) {
    if (by && r->n_not_by)
        note("hearth: %llu of %llu tensors are not in the importance matrix: stored without",
             (unsigned long long)r->n_not_by, (unsigned long long)(r->n_by + r->n_not_by));
}

static double bits_per_weight(const requantize_report *r) {
    return 8.0 * (double)r->bytes_out / (double)r->elements;
}

static void print_json(const cli_args *a, const mix *m, const requantize_report *r, double took) {
    buf b;
    buf_init(&b, 1 << 20);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(a->arg[0]));
    jsonw_key(&w, "path"), jsonw_str(&w, str_of(a->arg[1]));
    jsonw_key(&w, "type"), jsonw_str(&w, str_of(m->name));
    jsonw_key(&w, "tensors"), jsonw_uint(&w, r->tensors);
    jsonw_key(&w, "converted"), jsonw_uint(&w, r->converted);
    jsonw_key(&w, "fell_back"), jsonw_uint(&w, r->fell_back);
    jsonw_key(&w, "weighed"), jsonw_uint(&w, r->n_by);
    jsonw_key(&w, "parameters"), jsonw_uint(&w, r->elements);
    jsonw_key(&w, "bytes_before"), jsonw_uint(&w, r->bytes_in);
    jsonw_key(&w, "bytes"), jsonw_uint(&w, r->bytes_out);
    jsonw_key(&w, "bits_per_weight"), jsonw_f64(&w, bits_per_weight(r));
    jsonw_key(&w, "seconds"), jsonw_f64(&w, took);
    jsonw_key(&w, "tensor_types");
    jsonw_array(&w);
    for (uint32_t t = 0; t < QUANT_TYPE_END; t++) {
        if (!r->n_of[t]) continue;
        jsonw_object(&w);
        jsonw_key(&w, "type"), jsonw_str(&w, str_of(quant_info_of(t)->name));
        jsonw_key(&w, "tensors"), jsonw_uint(&w, r->n_of[t]);
        jsonw_key(&w, "bytes"), jsonw_uint(&w, r->bytes_of[t]);
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
    out_json(&b);
}

static void print(const cli_args *a, const mix *m, const requantize_report *r, double took) {
    char before[32], after[32];
    out_printf("%s: %s, %s of weights (%s before), %.2f bits each, in %.1f s\n", a->arg[1], m->name,
               human_bytes(r->bytes_out, after, sizeof after),
               human_bytes(r->bytes_in, before, sizeof before), bits_per_weight(r), took);
    for (uint32_t t = 0; t < QUANT_TYPE_END; t++)
        if (r->n_of[t])
            out_printf("  %-8s %llu tensor%s, %s\n", quant_info_of(t)->name,
                       (unsigned long long)r->n_of[t], PLURAL(r->n_of[t]),
                       human_bytes(r->bytes_of[t], after, sizeof after));
}

static bool convert(const cli_args *a, const gguf *g, const mix *m, const imatrix *by, team *t,
                    err *e) {
    requantize_report r;
    bar b;
    requantize_options o = {.mix = m,
                            .team = t,
                            .by = by,
                            .from_quantized = cli_flag(a, "allow-requantize"),
                            .replace = cli_flag(a, "force"),
                            .progress = on_progress,
                            .progress_ud = &b};
    interrupt_remember(); /* the half-written file has to go */
    bar_begin(&b, "quantizing", a->arg[0]);
    bool ok = requantize(g, a->arg[1], &o, &r, e);
    double took = clock_now_s() - b.began;
    bar_end(&b);
    interrupt_end_process();
    if (!ok) return false;
    say_fallbacks(&r);
    say_weighed(&r, by);
    if (cli_flag(a, "json")) print_json(a, m, &r, took);
    else print(a, m, &r, took);
    return true;
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref ref;
    gguf *g = NULL;
    team *t = NULL;
    imatrix *by = NULL;
    const char *from = cli_text(a, "imatrix", NULL);
    int threads = (int)cli_int(a, "threads", team_default_size());
    const mix *m = mix_asked(a->arg[2], &e);
    bool ok = m && (!from || (by = imatrix_open(from, &e))) && models_find(&ref, a->arg[0], &e) &&
              (g = models_open_file(&ref, &e)) && (t = team_new(threads, &e)) &&
              convert(a, g, m, by, t, &e);
    team_free(t);
    gguf_close(g);
    imatrix_free(by);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option options[] = {
    {"allow-requantize", 0, CLI_FLAG, NULL,
     "also convert weights that are quantised already: loss adds to loss", 0, 0},
    {"imatrix", 0, CLI_FILE, "FILE",
     "importance matrix (see hearth imatrix): rounds with more care what matters more", 0, 0},
    {"force", 'f', CLI_FLAG, NULL, "replace OUT.gguf where it is there already", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_quantize = {
    .name = "quantize",
    .summary = "store a model's weights in a smaller type",
    .args = "MODEL OUT.gguf TYPE",
    .about =
        "Writes a new file with the matrices in TYPE: F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, "
        "Q4_K_M, Q4_K_S, Q4_0, Q4_1, Q5_0, Q5_1, Q3_K_M, Q2_K, IQ4_NL, IQ4_XS or MXFP4. Most "
        "types are mixtures: the matrices that matter most get finer blocks. MXFP4 is for the "
        "experts of a mixture of experts, whose other matrices become Q8_0; a model without "
        "experts "
        "gets it everywhere but in the output. Norms, biases and routers stay as they are, as "
        "does the metadata but for what names the type.\n\n"
        "Rows that are no multiple of 256 cannot be K-quants: they get the type of blocks of 32 "
        "that is next in size, and a note says how many. OUT.gguf appears when it is complete.",
    .examples = "  hearth quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M\n"
                "  hearth quantize bard small.gguf Q4_0 --allow-requantize --json\n"
                "  hearth quantize model-f16.gguf model-q3_k_m.gguf Q3_K_M --imatrix model.imatrix",
    .complete = "model",
    .options = options,
    .min_args = 3,
    .max_args = 3,
    .run = run,
};
