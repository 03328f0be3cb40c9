/* hearth run: an answer to a prompt, or a chat when there is none. */
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/direct.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/repl.h"
#include "cli/samplers.h"
#include "hub/catalogue.h"
#include "model/memory.h"

/* What the arguments mean: the first is a model unless it holds white space; with -m all are
 * prompt. */
static bool gather(const cli_args *a, const char **name, buf *prompt, err *e) {
    int first = 0;
    *name = cli_text(a, "model", NULL);
    if (!*name && a->n_args > 0 && !strpbrk(a->arg[0], " \t\r\n\v\f")) *name = a->arg[first++];
    if (!*name) *name = "bard";
    if (!input_stdin(prompt, e)) return false;
    bool raw = cli_flag(a, "raw");
    if (prompt->len > 0 && first < a->n_args && !raw)
        buf_puts(prompt, prompt->data[prompt->len - 1] == '\n' ? "\n" : "\n\n");
    for (int i = first; i < a->n_args; i++) {
        if (i > first) buf_putc(prompt, ' ');
        buf_puts(prompt, a->arg[i]);
    }
    const char *nul = prompt->len > 0 ? memchr(prompt->data, 0, prompt->len) : NULL;
    if (nul)
        return err_set(e, ERR_USAGE, "run: the prompt is no text: byte %zu is a NUL",
                       (size_t)(nul - prompt->data));
    if (prompt->failed)
        return err_set(e, ERR_NO_FIT, "the prompt is longer than %u MB", LIMIT_TEXT_BYTES >> 20);
    return true;
}

/* What only an engine of our own can be told. */
static bool concerns_engine(const cli_args *a) {
    static const char *const names[] = {"ctx",   "threads", "kv", "no-pack", "no-speculation",
                                        "draft", "lora"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (cli_get(a, names[i])->source == CLI_FROM_ARGS) return true;
    return false;
}

static bool settings(const cli_args *a, chat *c, err *e) {
    samplers_from_args(&c->params, a);
    for (int i = 0; i < samplers_count(); i++)
        if (cli_get(a, samplers_name(i))->set) c->given |= 1ull << i;
    c->seed_given = cli_flag(a, "seed");
    c->params.ignore_eos = cli_flag(a, "ignore-eos");
    c->params.n_logprobs = (int32_t)cli_int(a, "logprobs", -1);
    c->ctx = (int32_t)cli_int(a, "ctx", 0);
    c->threads = (int)cli_int(a, "threads", 0);
    kern_kv_type kv = kv_type_named(cli_text(a, "kv", "f16"));
    c->kv = kv == KERN_KV_Q8 ? HEARTH_KV_Q8 : kv == KERN_KV_F32 ? HEARTH_KV_F32 : HEARTH_KV_F16;
    c->no_speculation = cli_flag(a, "no-speculation");
    c->draft = cli_text(a, "draft", NULL);
    const cli_value *lora = cli_get(a, "lora");
    for (int i = 0; i < lora->n_list; i++)
        if (!hub_adapters_add(&c->lora_arg, lora->list[i], '=', e)) return err_wrap(e, "--lora");
    c->no_pack = cli_flag(a, "no-pack");
    c->local = cli_flag(a, "local") || concerns_engine(a);
    c->raw = cli_flag(a, "raw");
    c->verbose = cli_flag(a, "verbose");
    c->markdown = !cli_flag(a, "no-markdown");
    const cli_value *stop = cli_get(a, "stop");
    for (int i = 0; i < stop->n_list; i++)
        if (!chat_add_stop(c, stop->list[i], e)) return false;
    return chat_set_system(c, cli_text(a, "system", NULL), e);
}

/* ---- after the answer ---- */

static void say_logprobs(const chat *c, const chat_answer *a) {
    char shown[80];
    for (size_t i = 0; i < a->n_ids; i++) {
        const chat_logprob *l = &a->logprobs[i];
        chat_token_text(c, l->id, shown, sizeof shown);
        fprintf(stderr, "%9.4f  \"%s\"", (double)l->logprob, shown);
        for (int k = 0; k < l->n_top; k++) {
            chat_token_text(c, l->top[k].token, shown, sizeof shown);
            fprintf(stderr, "%s%.4f \"%s\"", k ? ", " : "   of: ", (double)l->top[k].logprob,
                    shown);
        }
        fputc('\n', stderr);
    }
}

static void json_logprobs(jsonw *w, const chat_answer *a) {
    jsonw_key(w, "logprobs");
    jsonw_array(w);
    for (size_t i = 0; i < a->n_ids; i++) {
        const chat_logprob *l = &a->logprobs[i];
        jsonw_object(w);
        jsonw_key(w, "token"), jsonw_int(w, l->id);
        jsonw_key(w, "logprob"), jsonw_f32(w, l->logprob);
        jsonw_key(w, "top");
        jsonw_array(w);
        for (int k = 0; k < l->n_top; k++) {
            jsonw_object(w);
            jsonw_key(w, "token"), jsonw_int(w, l->top[k].token);
            jsonw_key(w, "logprob"), jsonw_f32(w, l->top[k].logprob);
            jsonw_end(w);
        }
        jsonw_end(w);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void print_json(const chat *c, const chat_answer *a) {
    buf b;
    buf_init(&b, (size_t)1 << 32);
    jsonw w;
    jsonw_init(&w, &b);
    const hearth_usage *u = &a->usage;
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(c->info.name));
    jsonw_key(&w, "text"), jsonw_str(&w, buf_str(&a->text));
    jsonw_key(&w, "tokens");
    jsonw_array(&w);
    for (size_t i = 0; i < a->n_ids; i++) jsonw_int(&w, a->ids[i]);
    jsonw_end(&w);
    jsonw_key(&w, "finish"), jsonw_str(&w, str_of(chat_finish_name(u->finish)));
    jsonw_key(&w, "prompt_tokens"), jsonw_int(&w, u->n_prompt);
    jsonw_key(&w, "cached_tokens"), jsonw_int(&w, u->n_cached);
    jsonw_key(&w, "answer_tokens"), jsonw_int(&w, u->n_generated);
    jsonw_key(&w, "drafted_tokens"), jsonw_int(&w, u->n_drafted);
    jsonw_key(&w, "accepted_tokens"), jsonw_int(&w, u->n_accepted);
    jsonw_key(&w, "prefill_s"), jsonw_f64(&w, u->prefill_s);
    jsonw_key(&w, "decode_s"), jsonw_f64(&w, u->decode_s);
    if (a->logprobs) json_logprobs(&w, a);
    jsonw_end(&w);
    out_json(&b);
}

static bool context_is_full(const chat *c, const chat_answer *a) {
    bool asked = c->params.max_tokens >= 0 && a->usage.n_generated >= c->params.max_tokens;
    return a->usage.finish == HEARTH_FINISH_LENGTH && !asked;
}

static int answer(const cli_args *a, chat *c, const buf *prompt) {
    err e = {0};
    chat_answer got = {0};
    bool json = cli_flag(a, "json");
    if (cli_flag(a, "echo") && !json) {
        out_buf(prompt);
        out_flush();
    }
    bool ok = chat_push(c, "user", prompt->data, prompt->len, &e) &&
              chat_answer_get(c, &got, json, &e);
    if (ok && json) print_json(c, &got);
    if (ok && got.logprobs && !json) say_logprobs(c, &got);
    if (ok && context_is_full(c, &got))
        note("hearth: the context of %d tokens is full: prompt %zu, answer %d", chat_ctx(c),
             got.n_prompt, got.usage.n_generated);
    if (ok && c->verbose) chat_say_speed(&got.usage);
    int code = !ok ? cli_fail(&e) : got.interrupted ? ERR_INTERRUPTED : ERR_NONE;
    chat_answer_deinit(&got);
    return code;
}

/* The model; what is not here is fetched, where somebody can be asked. */
static bool open_or_fetch(chat *c, const char *name, bool insecure, err *e) {
    char *fetched;
    err why = {0};
    if (chat_open(c, name, e)) return true;
    if (!e || e->code != ERR_NOT_FOUND) return false;
    if (!progress_fetch_missing(name, insecure, &fetched, &why)) {
        if (why.code) *e = why;
        return false;
    }
    *e = (err){0};
    bool ok = chat_open(c, fetched, e);
    free(fetched);
    return ok;
}

static void propose_one(const char *what, const hub_catalogue_row *r) {
    if (r)
        note("  %-9s hearth run %-32s %.1f GB, %s: %s", what, r->name, r->fetch_gb, r->license,
             r->good_for);
}

/* Bard is a toy: what would suit this machine, from the catalogue in this program. */
static void propose(void) {
    hub_proposal p;
    uint64_t memory = memory_available();
    if (memory == UINT64_MAX) return;
    hub_catalogue_propose(memory, &p);
    if (!p.best) return;
    note("Bard, the model inside, is a toy. For this machine's memory there are:");
    propose_one("fast", p.fast);
    propose_one("balanced", p.balanced);
    propose_one("best", p.best);
}

static int run(const cli_args *a) {
    err e = {0};
    chat c;
    chat_init(&c);
    const char *name = NULL;
    buf prompt;
    buf_init(&prompt, LIMIT_TEXT_BYTES);
    int code = ERR_NONE;
    bool ok = gather(a, &name, &prompt, &e) && settings(a, &c, &e);
    bool talk = prompt.len == 0 && in_is_terminal();
    if (ok && prompt.len == 0 && !talk)
        ok = err_set(&e, ERR_USAGE, "run: there is no prompt (a chat needs a terminal)");
    if (ok && talk && cli_flag(a, "json"))
        ok = err_set(&e, ERR_USAGE, "run: --json needs a prompt");
    ok = ok && open_or_fetch(&c, name, cli_flag(a, "insecure"), &e);
    if (ok && !c.raw && !c.family)
        note("hearth: no chat template is recognised in this model: it completes the text as it "
             "stands");
    if (ok && talk && a->n_args == 0 && !cli_flag(a, "model")) propose();
    if (!ok) code = cli_fail(&e);
    else code = talk ? repl_run(&c) : answer(a, &c, &prompt);
    buf_deinit(&prompt);
    chat_deinit(&c);
    return code;
}

static const cli_option options[] = {
    {"model", 'm', CLI_FILE, "MODEL", "the model: then every argument is prompt", 0, 0},
    {"system", 0, CLI_TEXT, "TEXT", "how the model is to behave", 0, 0},
    {"ctx", 'c', CLI_INT, "N",
     "largest context in tokens (default: the model's own, as far as memory allows)", 1,
     LIMIT_CONTEXT},
    {"threads", 't', CLI_INT, "N", "threads to use (default: what this machine gives)", 1, 256},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache (default f16)", 0, 0},
    {"no-pack", 0, CLI_FLAG, NULL,
     "leave the weights in the file: little memory, the same answer, much slower", 0, 0},
    {"no-speculation", 0, CLI_FLAG, NULL,
     "one token at a time: the same answer, and slower where it repeats what was said", 0, 0},
    {"draft", 0, CLI_FILE, "MODEL",
     "a smaller model with the same vocabulary that guesses ahead: the same answer, sooner", 0, 0},
    {"lora", 0, CLI_LIST, "FILE[=SCALE]",
     "an adapter (LoRA, GGUF) put beside the model's weights; may be given several times", 0, 0},
    {"local", 0, CLI_FLAG, NULL, "run the model in this process, whatever server there is", 0, 0},
    {"raw", 0, CLI_FLAG, NULL, "complete the text as it stands: no chat template", 0, 0},
    {"echo", 0, CLI_FLAG, NULL, "print the prompt in front of the answer", 0, 0},
    {"ignore-eos", 0, CLI_FLAG, NULL, "go on when the model wants to end", 0, 0},
    {"stop", 0, CLI_LIST, "TEXT", "end before TEXT is written; may be given several times", 0, 0},
    {"logprobs", 0, CLI_MAYBE, "[N]",
     "tell each token's log-probability and the N likeliest, on stderr", 0, 20},
    {"insecure", 0, CLI_FLAG, NULL,
     "where it is fetched first: plain http, and certificates that nobody vouches for", 0, 0},
    {"no-markdown", 0, CLI_FLAG, NULL, "do not render Markdown on a terminal", 0, 0},
    {"verbose", 0, CLI_FLAG, NULL, "tell tokens, seconds and seed on stderr", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object: text, tokens, finish, usage", 0, 0},
    CLI_CONFIG_OPTION,
    {0},
};

const cli_command cmd_run = {
    .name = "run",
    .summary = "answer a prompt, or open a chat",
    .args = "[MODEL|FILE.gguf] [PROMPT...]",
    .about =
        "With a prompt, prints the model's answer. Without one, opens a chat; /help tells "
        "what it can do.\n\n"
        "The first argument is the model unless it contains white space; else all of it is "
        "prompt, for the "
        "model that comes with Hearth (bard). What is piped in is put before the prompt. The "
        "context is the "
        "model's own; where memory limits it, that is said. On a terminal Markdown is "
        "rendered; into a pipe "
        "goes the text as it is. A model that is not here is fetched, after one question on a "
        "terminal (hearth help pull tells the names).\n\n"
        "Where a Hearth server answers at HEARTH_HOST (else OLLAMA_HOST, else 127.0.0.1:11434) "
        "and lists the model, it does the work, and the answer is the same; HEARTH_API_KEY is "
        "its key. --local, HEARTH_HOST=off, a path to a file, and options that concern the "
        "engine (--ctx, --threads, --kv, --no-pack, --no-speculation, --draft, --lora) run the "
        "model here.",
    .examples = "  hearth run\n  hearth run model.gguf \"Why is the sky blue?\"\n"
                "  hearth run -m model.gguf Summarise this. <letter.txt\n"
                "  hearth run --raw -n 100 --seed 1 \"Now is the winter of our discontent\"",
    .complete = "model",
    .options = options,
    .more_options = samplers_options,
    .max_args = -1,
    .run = run,
    .config = "run",
};
