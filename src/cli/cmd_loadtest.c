/* hearth loadtest: what many clients of a server see. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "base/rng.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/load.h"

enum { OWN_WORDS = 40000 };

/* Words for those who bring no text: common ones, drawn alike on every machine. */
static void text_make(buf *b) {
    static const char *const word[] = {
        "the",   "of",    "and",   "to",    "in",    "is",    "that",  "it",     "was",   "for",
        "on",    "with",  "as",    "his",   "they",  "be",    "at",    "one",    "have",  "this",
        "from",  "or",    "had",   "by",    "hot",   "but",   "some",  "what",   "there", "we",
        "can",   "out",   "other", "were",  "all",   "your",  "when",  "up",     "use",   "word",
        "how",   "said",  "an",    "each",  "she",   "which", "their", "time",   "if",    "will",
        "way",   "about", "many",  "then",  "them",  "would", "write", "like",   "so",    "these",
        "her",   "long",  "make",  "thing", "see",   "him",   "two",   "has",    "look",  "more",
        "day",   "could", "go",    "come",  "did",   "my",    "sound", "no",     "most",  "number",
        "who",   "over",  "know",  "water", "than",  "call",  "first", "people", "may",   "down",
        "side",  "been",  "now",   "find",  "any",   "new",   "work",  "part",   "take",  "get",
        "place", "made",  "live",  "where", "after", "back",  "little"};
    for (uint64_t i = 0; i < OWN_WORDS; i++) {
        buf_puts(b, word[rng_u64(1616, 7, i) % (sizeof word / sizeof *word)]);
        buf_putc(b, i % 13 == 12 ? '\n' : ' ');
    }
}

static const struct part {
    const char *name, *said;
} parts[] = {{"ttft_ms", "to the first token"},
             {"itl_ms", "between tokens"},
             {"latency_ms", "for a whole answer"}};

static load_times *part_of(load_result *r, int i) {
    return i == 0 ? &r->ttft : i == 1 ? &r->itl : &r->latency;
}

static void put_json(const load_plan *p, load_result *r) {
    static const int at[] = {50, 90, 99};
    buf out;
    jsonw w;
    buf_init(&out, 1 << 16);
    jsonw_init(&w, &out);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(r->model));
    jsonw_key(&w, "clients"), jsonw_int(&w, p->clients);
    jsonw_key(&w, "requests"), jsonw_uint(&w, r->latency.n);
    jsonw_key(&w, "errors"), jsonw_int(&w, r->n_errors);
    jsonw_key(&w, "seconds"), jsonw_f64(&w, r->seconds);
    jsonw_key(&w, "requests_per_s"), jsonw_f64(&w, (double)r->latency.n / r->seconds);
    jsonw_key(&w, "output_tokens_per_s"), jsonw_f64(&w, (double)r->tokens / r->seconds);
    jsonw_key(&w, "prompt_tokens_per_s"), jsonw_f64(&w, (double)r->prompt_tokens / r->seconds);
    jsonw_key(&w, "output_tokens"), jsonw_int(&w, r->tokens);
    jsonw_key(&w, "prompt_tokens"), jsonw_int(&w, r->prompt_tokens);
    jsonw_key(&w, "cached_prompt_tokens"), jsonw_int(&w, r->cached_tokens);
    for (int i = 0; i < 3; i++) {
        jsonw_key(&w, parts[i].name), jsonw_object(&w);
        for (int k = 0; k < 3; k++) {
            char name[8];
            snprintf(name, sizeof name, "p%d", at[k]);
            jsonw_key(&w, name), jsonw_f64(&w, 1e3 * load_quantile(part_of(r, i), at[k] / 100.0));
        }
        jsonw_end(&w);
    }
    jsonw_end(&w);
    out_json(&out);
}

static void put_text(const load_plan *p, load_result *r) {
    out_printf("%s: %zu request%s by %d client%s in %.1f s, %d failed\n", r->model, r->latency.n,
               PLURAL(r->latency.n), p->clients, PLURAL(p->clients), r->seconds, r->n_errors);
    out_printf("written  %10lld tokens  %10.1f tokens/s\n", (long long)r->tokens,
               (double)r->tokens / r->seconds);
    out_printf("read     %10lld tokens  %10.1f tokens/s  (%lld of them kept from before)\n",
               (long long)r->prompt_tokens, (double)r->prompt_tokens / r->seconds,
               (long long)r->cached_tokens);
    if (r->latency.n == 0) return;
    out_printf("%-24s %10s %10s %10s\n", "milliseconds", "median", "p90", "p99");
    for (int i = 0; i < 3; i++)
        out_printf("%-24s %10.1f %10.1f %10.1f\n", parts[i].said,
                   1e3 * load_quantile(part_of(r, i), 0.5), 1e3 * load_quantile(part_of(r, i), 0.9),
                   1e3 * load_quantile(part_of(r, i), 0.99));
}

typedef struct watching {
    int requests;
    double began, shown;
    bool live;
} watching;

static void on_progress(void *ud, int n_done, int64_t n_tokens) {
    watching *w = ud;
    double now = clock_now_s();
    if (!w->live || now - w->shown < 0.2) return;
    w->shown = now;
    fprintf(stderr, "\r%d of %d requests, %.1f tokens/s \x1b[K", n_done, w->requests,
            (double)n_tokens / (now - w->began));
}

static int run(const cli_args *a) {
    err e = {0};
    load_result r = {0};
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    const char *file = cli_text(a, "text", NULL), *key = cli_text(a, "key", NULL);
    if (!key) key = getenv("HEARTH_API_KEY");
    load_plan p = {.url = a->n_args ? a->arg[0] : "http://127.0.0.1:11434",
                   .model = cli_text(a, "model", NULL),
                   .key = key,
                   .clients = (int)cli_int(a, "clients", 8),
                   .requests = (int)cli_int(a, "requests", 32),
                   .prompt_words = (int)cli_int(a, "prompt-words", 400),
                   .max_tokens = (int)cli_int(a, "max-tokens", 64),
                   .timeout_s = (int)cli_int(a, "timeout", 600),
                   .progress = on_progress,
                   .stop = interrupt_seen};
    int most = p.prompt_words - 1, shared = most < 300 ? most : 300;
    p.shared_words = (int)cli_int(a, "shared-words", shared);
    watching w = {.requests = p.requests, .began = clock_now_s(), .live = err_is_terminal()};
    p.progress_ud = &w;
    bool ok = p.shared_words <= most ||
              err_set(&e, ERR_USAGE,
                      "--shared-words %d: of %d words at least one is each request's own",
                      p.shared_words, p.prompt_words);
    if (ok && file) ok = input_file(&text, file, &e);
    else text_make(&text);
    p.text = buf_str(&text);
    interrupt_remember();
    ok = ok && load_run(&p, &r, &e);
    interrupt_end_process();
    if (w.live && w.shown > 0) fputs("\r\x1b[K", stderr);
    if (ok && cli_flag(a, "json")) put_json(&p, &r);
    else if (ok) put_text(&p, &r);
    int code = !ok ? cli_fail(&e) : interrupt_seen() ? ERR_INTERRUPTED : ERR_NONE;
    if (ok && r.n_errors > 0) {
        err_set(&e, ERR_FAILED, "%d requests failed; the first: %s", r.n_errors, r.error);
        code = cli_fail(&e);
    }
    load_result_deinit(&r);
    buf_deinit(&text);
    return code;
}

static const cli_option options[] = {
    {"clients", 'c', CLI_INT, "N", "clients at a time (default 8)", 1, 1024},
    {"requests", 'n', CLI_INT, "N", "requests in all (default 32)", 1, 1000000},
    {"prompt-words", 0, CLI_INT, "N", "words of each prompt (default 400)", 1, 1000000},
    {"shared-words", 0, CLI_INT, "N", "of these, the same in every request (default 300)", 0,
     1000000},
    {"max-tokens", 0, CLI_INT, "N", "tokens of each answer (default 64)", 1, 1000000},
    {"model", 'm', CLI_TEXT, "NAME", "the model to ask (default: the server's first)", 0, 0},
    {"key", 0, CLI_TEXT, "KEY", "API key (default: the environment's HEARTH_API_KEY)", 0, 0},
    {"text", 0, CLI_FILE, "FILE", "words for the prompts (default: common ones)", 0, 0},
    {"timeout", 0, CLI_INT, "S", "seconds that one answer may take (default 600)", 1, 86400},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_loadtest = {
    .name = "loadtest",
    .summary = "what many clients of a server see",
    .args = "[URL]",
    .about =
        "Drives any server of OpenAI's dialect (Hearth at http://127.0.0.1:11434 when no URL is "
        "given) with many clients, each sending streamed chat completions one after another, and "
        "prints tokens a second over the whole run, the time to the first token and that between "
        "tokens. The first --shared-words of a prompt are the same in every request, as a system "
        "prompt would be. Temperature is 0, and answers have --max-tokens tokens where the server "
        "honours ignore_eos.\n\n"
        "Exit code 1 when a request failed. Ctrl-C ends it and prints what was seen so far.",
    .examples = "  hearth loadtest\n"
                "  hearth loadtest http://127.0.0.1:8080 --clients 16 --requests 64 --json",
    .complete = NULL,
    .options = options,
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
