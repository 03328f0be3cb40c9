/* hearth bench: tokens per second, prefill and decode apart, and how near that is to what this
 * machine can do. bench.h says how it is measured.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench.h"
#include "cli/bench_grammar.h"
#include "cli/commands.h"
#include "cli/direct.h"

enum { MAX_REPETITIONS = 1000 };

typedef struct spread {
    double median, min, max;
} spread;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of one member of every sample, `offset` bytes into it. */
static spread spread_of(const bench_sample *s, int n, size_t offset) {
    double v[MAX_REPETITIONS];
    for (int i = 0; i < n; i++)
        v[i] = *(const double *)(const void *)((const char *)&s[i] + offset);
    if (n == 0 || isnan(v[0])) return (spread){NAN, NAN, NAN};
    qsort(v, (size_t)n, sizeof *v, by_size);
    return (spread){n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n - 1]};
}
#define SPREAD(s, n, member) spread_of(s, n, offsetof(bench_sample, member))

/* What came out. */
typedef struct outcome {
    const bench *b;
    bench_sample *sample; /* [n] */
    int n;
    limits_at limit[LIMITS_ROWS];
    int n_limits;
    bench_profile profile;
} outcome;

/* ---- as text ---- */

static void print_rate(const char *what, int tokens, spread r, const char *of, spread share) {
    if (isnan(r.median)) return;
    out_printf("%-8s %6d tokens  %10.1f tokens/s  (%.1f to %.1f)", what, tokens, r.median, r.min,
               r.max);
    if (!isnan(share.median))
        out_printf("  %.0f %% of the %s (%.0f to %.0f)", 100 * share.median, of, 100 * share.min,
                   100 * share.max);
    out_puts("\n");
}

static void print_samples(const outcome *o) {
    const bench_shape *s = &o->b->shape;
    const bench_sample *v = o->sample;
    const spread none = {NAN, NAN, NAN};
    int n_threads = hearth_engine_threads(o->b->engine);
    out_printf("%s: %s kernels, %d thread%s, median (min to max) of %d\n", o->b->info.name,
               kern_get()->name, n_threads, PLURAL(n_threads), o->n);
    print_rate("prefill", s->prompt, SPREAD(v, o->n, prefill), "8-bit peak",
               SPREAD(v, o->n, prefill_share));
    if (s->rewrite) {
        print_rate("rewrite", o->b->written, SPREAD(v, o->n, decode), "", none);
        print_rate("unguided", o->b->written, SPREAD(v, o->n, plain), "", none);
        out_printf("%d of %d guesses right, the same tokens: %.2f times as fast\n", o->b->accepted,
                   o->b->drafted, SPREAD(v, o->n, decode).median / SPREAD(v, o->n, plain).median);
        out_printf("%.0f %% of the page was written as asked\n", 100 * o->b->agrees);
        return;
    }
    print_rate("decode", s->tokens, SPREAD(v, o->n, decode), "read bandwidth",
               SPREAD(v, o->n, decode_share));
    if (s->constrained) {
        print_rate("free", s->tokens, SPREAD(v, o->n, plain), "", none);
        out_printf("decode is under a JSON schema: %.3f of the free rate\n",
                   SPREAD(v, o->n, decode).median / SPREAD(v, o->n, plain).median);
    }
    if (s->context > 1) out_printf("decoded after %d tokens of context\n", s->context);
    if (s->sequences > 1) out_printf("decoded %d sequences together\n", s->sequences);
}

static void print(const outcome *o, bool profiled) {
    if (o->n_limits) limits_print(o->limit, o->n_limits);
    if (o->n_limits && o->b) out_puts("\n");
    if (o->b) print_samples(o);
    if (profiled) bench_profile_print(&o->profile, &o->b->shape);
}

/* ---- as JSON ---- */

static void json_spread(jsonw *w, const char *key, spread s) {
    jsonw_key(w, key);
    if (isnan(s.median)) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    jsonw_key(w, "median"), jsonw_f64(w, s.median);
    jsonw_key(w, "min"), jsonw_f64(w, s.min);
    jsonw_key(w, "max"), jsonw_f64(w, s.max);
    jsonw_end(w);
}

static void json_samples(jsonw *w, const outcome *o) {
    const bench_shape *s = &o->b->shape;
    const bench_sample *v = o->sample;
    jsonw_key(w, "model"), jsonw_str(w, str_of(o->b->info.name));
    jsonw_key(w, "threads"), jsonw_int(w, hearth_engine_threads(o->b->engine));
    jsonw_key(w, "prompt_tokens"), jsonw_int(w, s->prompt);
    jsonw_key(w, "decode_tokens"), jsonw_int(w, s->rewrite ? o->b->written : s->tokens);
    jsonw_key(w, "context"), jsonw_uint(w, s->rewrite ? o->b->n_ids : (uint64_t)s->context);
    jsonw_key(w, "sequences"), jsonw_int(w, s->sequences);
    jsonw_key(w, "repetitions"), jsonw_int(w, o->n);
    json_spread(w, "prefill_tokens_per_s", SPREAD(v, o->n, prefill));
    json_spread(w, "decode_tokens_per_s", SPREAD(v, o->n, decode));
    json_spread(w, "prefill_share_of_peak", SPREAD(v, o->n, prefill_share));
    json_spread(w, "decode_share_of_read", SPREAD(v, o->n, decode_share));
    if (s->constrained) json_spread(w, "free_tokens_per_s", SPREAD(v, o->n, plain));
    if (!s->rewrite) return;
    json_spread(w, "unguided_tokens_per_s", SPREAD(v, o->n, plain));
    jsonw_key(w, "guesses"), jsonw_int(w, o->b->drafted);
    jsonw_key(w, "guesses_right"), jsonw_int(w, o->b->accepted);
    jsonw_key(w, "rewrite_agrees"), jsonw_f64(w, o->b->agrees);
}

static void print_json(const outcome *o, bool profiled) {
    buf b;
    buf_init(&b, 1 << 20);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "kernels"), jsonw_str(&w, str_of(kern_get()->name));
    if (o->n_limits) jsonw_key(&w, "limits"), limits_json(&w, o->limit, o->n_limits);
    if (o->b) json_samples(&w, o);
    if (profiled) bench_profile_json(&w, &o->profile);
    jsonw_end(&w);
    out_json(&b);
}

/* One line for whoever sets the pace; s NULL: ready. */
static void print_line(const bench *of, const bench_sample *s) {
    buf b;
    buf_init(&b, 1 << 16);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "ready"), jsonw_bool(&w, s == NULL);
    if (s) {
        jsonw_key(&w, "prefill"), jsonw_f64(&w, s->prefill);
        jsonw_key(&w, "decode"), jsonw_f64(&w, s->decode);
        jsonw_key(&w, "unguided"), jsonw_f64(&w, s->plain);
        if (of->shape.rewrite) jsonw_key(&w, "agrees"), jsonw_f64(&w, of->agrees);
        jsonw_key(&w, "prefill_share"), jsonw_f64(&w, s->prefill_share);
        jsonw_key(&w, "decode_share"), jsonw_f64(&w, s->decode_share);
        jsonw_key(&w, "limits"), limits_json(&w, &s->limit, 1);
    }
    jsonw_end(&w);
    buf_putc(&b, '\n');
    out_buf(&b);
    out_flush();
    buf_deinit(&b);
}

/* ---- running ---- */

/* Waits for a line; false at the end of input. */
static bool line_wait(void) {
    for (int c; (c = getchar()) != EOF;)
        if (c == '\n') return true;
    return false;
}

static bool measure(bench *b, outcome *o, int repetitions, bool paced, err *e) {
    bench_sample warm;
    o->sample = calloc((size_t)repetitions, sizeof *o->sample);
    if (!o->sample) return err_set(e, ERR_NO_FIT, "out of memory");
    if (!bench_repeat(b, -1, &warm, e)) return false;
    if (paced) print_line(b, NULL);
    for (; o->n < repetitions; o->n++) {
        if (paced && !line_wait()) break;
        if (!bench_repeat(b, o->n, &o->sample[o->n], e)) return false;
        if (paced) print_line(b, &o->sample[o->n]);
    }
    o->b = b;
    return true;
}

static bool run_model(const cli_args *a, const bench_shape *s, limits *l, outcome *o, bench *b,
                      err *e) {
    models_ref ref;
    bool paced = cli_flag(a, "paced"), profiled = cli_flag(a, "profile");
    bool ok = models_find(&ref, a->arg[0], e) && bench_open(b, &ref, s, l, e) &&
              measure(b, o, (int)cli_int(a, "repeat", 5), paced, e);
    if (ok && profiled) ok = bench_profile_run(&ref, s, &o->profile, e);
    return ok;
}

static int run_grammar(const cli_args *a) {
    err e = {0};
    models_ref ref;
    bench_grammar b = {0};
    bool ok = a->n_args > 0 || err_set(&e, ERR_USAGE, "give the model whose vocabulary is masked");
    ok = ok && models_find(&ref, a->arg[0], &e) &&
         bench_grammar_run(&ref, cli_text(a, "grammar", NULL), &b, &e);
    if (ok) bench_grammar_print(&b, a->arg[0], cli_flag(a, "json"));
    bench_grammar_deinit(&b);
    return ok ? ERR_NONE : cli_fail(&e);
}

static int run(const cli_args *a) {
    if (cli_text(a, "grammar", NULL)) return run_grammar(a);
    err e = {0};
    bench b = {0};
    outcome o = {0};
    limits *l = NULL;
    hub_adapters lora = {0};
    const char *kv = cli_text(a, "kv", "f16");
    bool want_limits = cli_flag(a, "limits"), profiled = a->n_args && cli_flag(a, "profile");
    bench_shape s = {.prompt = (int)cli_int(a, "prompt", 512),
                     .rewrite = cli_text(a, "rewrite", NULL),
                     .change = cli_text(a, "change", NULL),
                     .draft = cli_text(a, "draft", NULL),
                     .context = (int)cli_int(a, "context", 1),
                     .sequences = (int)cli_int(a, "sequences", 1),
                     .threads = (int)cli_int(a, "threads", 0),
                     .kv = kv_type_named(kv),
                     .constrained = cli_flag(a, "constrained"),
                     .lora = &lora,
                     .lora_turns = cli_flag(a, "lora-turns"),
                     .no_pack = cli_flag(a, "no-pack")};
    s.tokens = (int)cli_int(a, "tokens", s.rewrite ? 512 : 128);
    int threads = s.threads ? s.threads : team_default_size();
    bool ok = true;
    if (!a->n_args && !want_limits)
        ok = err_set(&e, ERR_USAGE, "give a model, or --limits to measure the machine alone");
    else if (s.rewrite && (s.sequences > 1 || s.context > 1 || s.tokens < 2 || s.constrained))
        ok = err_set(&e, ERR_USAGE, "--rewrite has one sequence and a context of its own");
    else if (s.change && !s.rewrite) ok = err_set(&e, ERR_USAGE, "--change is for --rewrite");
    else if (s.draft && !s.rewrite)
        ok = err_set(&e, ERR_USAGE, "--draft is for --rewrite: random tokens cannot be guessed");
    const cli_value *adapters = cli_get(a, "lora");
    for (int i = 0; ok && i < adapters->n_list; i++)
        ok = hub_adapters_add(&lora, adapters->list[i], '=', &e);
    if (ok && want_limits) ok = (l = limits_begin(&e)) != NULL;
    if (ok && l && !cli_flag(a, "paced"))
        ok = (o.n_limits = limits_table(l, threads, o.limit, &e)) > 0;
    if (ok && a->n_args) ok = run_model(a, &s, l, &o, &b, &e);
    if (ok && !cli_flag(a, "paced")) {
        if (cli_flag(a, "json")) print_json(&o, profiled);
        else print(&o, profiled);
    }
    bench_close(&b);
    limits_end(l);
    hub_adapters_deinit(&lora);
    free(o.sample);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option options[] = {
    {"prompt", 'p', CLI_INT, "N", "tokens of the prompt (default 512); 0: no prefill", 0, 1 << 20},
    {"tokens", 'n', CLI_INT, "N", "tokens to decode (default 128); 0: none", 0, 1 << 20},
    {"context", 'c', CLI_INT, "N", "tokens in front of what is decoded (default 1)", 1, 1 << 20},
    {"sequences", 's', CLI_INT, "N", "decode so many sequences together (default 1)", 1, 256},
    {"rewrite", 0, CLI_FILE, "FILE",
     "write FILE's text again with a word changed, guessing ahead and not", 0, 0},
    {"change", 0, CLI_TEXT, "OLD=NEW", "with --rewrite: the word to change, and to what", 0, 0},
    {"draft", 0, CLI_FILE, "MODEL", "with --rewrite: a smaller model that guesses ahead too", 0, 0},
    {"lora", 0, CLI_LIST, "FILE[=SCALE]", "an adapter beside the weights; several: again", 0, 0},
    {"lora-turns", 0, CLI_FLAG, NULL,
     "sequences take turns with the adapters, one each, instead of all having all", 0, 0},
    {"constrained", 0, CLI_FLAG, NULL,
     "decode under a JSON schema, and freely beside it, to see what that costs", 0, 0},
    {"grammar", 0, CLI_FILE, "FILE",
     "check the schemas and instances of a JSON-lines file, and time the masks", 0, 0},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {"repeat", 'r', CLI_INT, "N", "repetitions (default 5)", 1, MAX_REPETITIONS},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache (default f16)", 0, 0},
    {"limits", 0, CLI_FLAG, NULL,
     "measure this machine's limits too, and the share of them that is reached", 0, 0},
    {"no-pack", 0, CLI_FLAG, NULL, "leave the weights in the file: little memory, much slower", 0,
     0},
    {"profile", 0, CLI_FLAG, NULL, "also where the time goes: by kind of work, and waiting", 0, 0},
    {"paced", 0, CLI_FLAG, NULL,
     "wait for a line on stdin before each repetition; print each as a line of JSON", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_bench = {
    .name = "bench",
    .summary = "tokens per second on this machine, and its limits",
    .args = "[MODEL]",
    .about =
        "Measures prefill and decode apart: median, smallest and largest of the repetitions. "
        "Prefill is the time from a new random prompt to the first token after it; decode is that "
        "of the tokens after a context of --context, all greedy. The output matrix and the "
        "sampling are included; nothing is guessed ahead, but for --rewrite.\n\n"
        "--limits measures how fast memory is read (an area far beyond the caches, in huge pages) "
        "and the peak of the instructions that the kernels use, with 1, 2, 4 ... threads; without "
        "MODEL that is all. With MODEL it is measured again around each repetition, and every "
        "line says its share: of the peak, multiply-adds of the matrices a token, and behind the "
        "last layer's attention those of the prompt's last token alone; of the read bandwidth, "
        "bytes of weights, keys and values a token. What is not known is not printed.\n\n"
        "--grammar reads lines of {\"schema\": ..., \"tests\": [{\"data\": ..., \"valid\": "
        "true}]}, compiles each schema, follows each instance token by token under MODEL's "
        "vocabulary (the weights are not needed), and counts what is refused and what is judged "
        "wrongly.\n\n"
        "--profile runs the model once more and splits its time by kind of work, as the first "
        "thread sees it; \"wait\" is its waiting for the others, \"other\" what lies between. "
        "Prefill is told by the token; decoding by the step, which has a token of each of the "
        "--sequences, and then by the token too.",
    .examples = "  hearth bench bard\n"
                "  hearth bench --limits\n"
                "  hearth bench model.gguf -p 512 -n 128 -t 2 -r 5 --limits --json\n"
                "  hearth bench model.gguf -p 0 -n 64 --context 8192 --kv q8\n"
                "  hearth bench model.gguf -p 0 -n 64 -s 8 --constrained\n"
                "  hearth bench model.gguf --grammar schemas.jsonl --json",
    .complete = "model",
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
