/* hearth schema: compiles what an answer must obey, checks one against it, and times both. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/models.h"
#include "cli/obey.h"

typedef struct rules {
    tok *t;
    grammar_vocab *vocab;
    grammar *g;
    double compile_us;
} rules;

static double us_since(uint64_t start) {
    return (double)(clock_now_ns() - start) * 1e-3;
}

static bool compile(const cli_args *a, rules *r, err *e) {
    buf text;
    buf_init(&text, LIMIT_SCHEMA_BYTES);
    bool ok = input_file(&text, a->arg[0], e);
    str s = buf_str(&text);
    uint64_t start = clock_now_ns();
    if (ok && cli_flag(a, "regex")) {
        if (s.n && s.p[s.n - 1] == '\n') s.n--;
        r->g = grammar_regex(s, e);
    } else if (ok && cli_flag(a, "gbnf")) r->g = grammar_gbnf(s, e);
    else if (ok) r->g = grammar_json_schema(s, cli_flag(a, "ordered") ? GRAMMAR_ORDERED : 0u, e);
    r->compile_us = us_since(start);
    buf_deinit(&text);
    return ok && r->g;
}

static bool open_vocab(const cli_args *a, rules *r, err *e) {
    const char *name = cli_text(a, "vocab", NULL);
    models_ref ref;
    gguf *g = NULL;
    bool ok = !name || (models_find(&ref, name, e) && (g = models_open_file(&ref, e)) &&
                        (r->t = tok_open(g, e)) && (r->vocab = grammar_vocab_new(r->t, e)));
    gguf_close(g);
    return ok;
}

static bool check_instance(const cli_args *a, const rules *r, obey_times *times, obey_check *c,
                           err *e) {
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    bool ok = input_file(&text, cli_text(a, "instance", NULL), e);
    str t = buf_str(&text);
    if (t.n && t.p[t.n - 1] == '\n') t.n--;
    ok = ok && obey(r->g, r->t, r->vocab, t, times, c, e);
    buf_deinit(&text);
    return ok;
}

static void put_json(const rules *r, const obey_check *c, bool has_instance, obey_figures f) {
    buf out;
    jsonw w;
    buf_init(&out, LIMIT_TEXT_BYTES);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    if (has_instance) {
        jsonw_key(&w, "accepted"), jsonw_bool(&w, c->accepted);
        if (!c->accepted) jsonw_key(&w, "stopped_at_byte"), jsonw_uint(&w, c->stopped);
    }
    jsonw_key(&w, "compile_us"), jsonw_f64(&w, r->compile_us);
    if (f.max > 0) {
        jsonw_key(&w, "mask_us"), jsonw_object(&w);
        jsonw_key(&w, "mean"), jsonw_f64(&w, f.mean);
        jsonw_key(&w, "p99"), jsonw_f64(&w, f.p99);
        jsonw_end(&w);
    }
    if (has_instance) jsonw_key(&w, r->t ? "tokens" : "bytes"), jsonw_uint(&w, c->n);
    jsonw_end(&w);
    out_buf(&out);
    out_puts("\n");
    buf_deinit(&out);
}

static void put_text(const rules *r, const obey_check *c, bool has_instance, obey_figures f) {
    out_printf("compiled in %.0f us\n", r->compile_us);
    if (!has_instance) return;
    const char *unit = r->t ? "tokens" : "bytes";
    if (c->accepted) out_printf("accepted: %zu %s\n", c->n, unit);
    else
        out_printf("not accepted: it stops fitting at byte %zu, after %zu %s\n", c->stopped, c->n,
                   unit);
    if (f.max > 0) out_printf("masks: mean %.1f us, p99 %.1f us\n", f.mean, f.p99);
}

static int run(const cli_args *a) {
    err e = {0};
    rules r = {0};
    obey_times times = {0};
    obey_check c = {0};
    bool has_instance = cli_text(a, "instance", NULL) != NULL;
    bool ok = true;
    if (cli_flag(a, "regex") && cli_flag(a, "gbnf"))
        ok = err_set(&e, ERR_USAGE, "schema: either --regex or --gbnf, not both");
    ok = ok && compile(a, &r, &e) && open_vocab(a, &r, &e) &&
         (!has_instance || check_instance(a, &r, &times, &c, &e));
    obey_figures f = obey_figures_of(&times);
    if (ok && cli_flag(a, "json")) put_json(&r, &c, has_instance, f);
    else if (ok) put_text(&r, &c, has_instance, f);
    int code = !ok ? cli_fail(&e) : has_instance && !c.accepted ? ERR_FAILED : ERR_NONE;
    obey_times_deinit(&times);
    grammar_free(r.g);
    grammar_vocab_free(r.vocab);
    tok_close(r.t);
    return code;
}

static const cli_option options[] = {
    {"instance", 'i', CLI_FILE, "FILE", "the answer to check; a last newline is not part of it", 0,
     0},
    {"vocab", 0, CLI_TEXT, "MODEL", "check it token by token with this model's vocabulary", 0, 0},
    {"ordered", 0, CLI_FLAG, NULL, "properties come in the schema's order, as when writing", 0, 0},
    {"gbnf", 0, CLI_FLAG, NULL, "the file holds GBNF rules", 0, 0},
    {"regex", 0, CLI_FLAG, NULL, "the file holds a regular expression", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_schema = {
    .name = "schema",
    .summary = "check an answer against a JSON Schema",
    .args = "FILE.json",
    .about = "Compiles a JSON Schema as for structured answers, checks an answer against it, and "
             "times both. With --vocab the answer goes through the masks token by token; any file "
             "with a vocabulary will do, also one without weights and of any architecture.\n\n"
             "What a schema asks that cannot be enforced is an error that names the keyword, with "
             "exit code 2. An answer that is not accepted gives exit code 1 and the byte where it "
             "stops fitting.",
    .examples = "  hearth schema person.json\n  hearth schema person.json --instance answer.json "
                "--vocab bard --json",
    .complete = NULL,
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
