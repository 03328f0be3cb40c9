/* The chat on a terminal. A line that begins with "/" is one of the commands in the table below;
 * all else is said to the model.
 */
#include "cli/repl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/repl_file.h"
#include "cli/samplers.h"

typedef struct repl {
    chat *c;
    bool leave;
} repl;

static void complain(const err *e) {
    note("%s", e->msg);
}

/* ---- answers ---- */

static void say_if_full(const chat *c, const chat_answer *a) {
    bool asked = c->params.max_tokens >= 0 && a->usage.n_generated >= c->params.max_tokens;
    if (a->usage.finish == HEARTH_FINISH_LENGTH && asked)
        note("(the answer has reached max-tokens, %d)", c->params.max_tokens);
    else if (a->usage.finish == HEARTH_FINISH_LENGTH)
        note("(the context of %d tokens is full: prompt %zu, answer %d; /clear begins anew, /set "
             "ctx N makes room)",
             chat_ctx(c), a->n_prompt, a->usage.n_generated);
}

/* Answers the last message, which must be a user's; false: no answer, and the reason was told. */
static bool answer(repl *r) {
    chat *c = r->c;
    err e = {0};
    chat_answer a = {0};
    bool ok = chat_answer_get(c, &a, false, &e);
    if (!ok) {
        complain(&e);
        if (e.code == ERR_NO_FIT)
            note("(nothing was dropped: /clear begins anew, /set ctx N makes room)");
    }
    bool nothing = a.interrupted && a.text.len == 0;
    if (a.interrupted)
        note(nothing ? "(stopped before the first word: the message is taken back)"
                     : "(stopped; what was written is kept)");
    if (ok) {
        say_if_full(c, &a);
        if (c->verbose) chat_say_speed(&a.usage);
    }
    /* What was written before a failure is kept as well. */
    bool keep = (ok && !nothing) || a.text.len > 0;
    if (keep && !chat_push(c, "assistant", a.text.data ? a.text.data : "", a.text.len, &e)) {
        complain(&e);
        keep = false;
    }
    chat_answer_deinit(&a);
    return keep;
}

static void say(repl *r, const char *text, size_t n) {
    err e = {0};
    r->c->params.choice = 0;
    if (!chat_push(r->c, "user", text, n, &e)) complain(&e);
    else if (!answer(r)) chat_pop(r->c); /* was not answered: is not part of the conversation */
}

static bool last_is(const chat *c, const char *role) {
    return c->n_messages > 0 && strcmp(c->message[c->n_messages - 1].role, role) == 0;
}

/* ---- /set, /show ---- */

static void list_settings(const chat *c) {
    for (int i = 0; i < samplers_count(); i++) {
        char value[32];
        bool changed;
        samplers_get(&c->params, i, value, sizeof value, &changed);
        if (strcmp(samplers_name(i), "seed") == 0 && !c->seed_given)
            snprintf(value, sizeof value, "another each time");
        note("  %-20s %-12s%s %s", samplers_name(i), value, changed ? "*" : " ",
             samplers_options[i].help);
    }
    note("  %-20s %-12d  largest context in tokens", "ctx", chat_ctx(c));
    if (!c->server) note("  %-20s %-12d  threads", "threads", chat_threads(c));
    for (int i = 0; i < c->n_stop; i++) note("  %-20s \"%s\"", "stop", c->stop[i]);
    note("  %-20s %-12s  say speed after each answer", "verbose", c->verbose ? "on" : "off");
    note("  %-20s %-12s  render Markdown", "markdown", c->markdown ? "on" : "off");
}

static bool set_switch(bool *at, const char *name, const char *value, err *e) {
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0 && *value)
        return err_set(e, ERR_USAGE, "%s is on or off", name);
    *at = strcmp(value, "off") != 0;
    return true;
}

static bool set_number(chat *c, const char *name, const char *value, err *e) {
    static const cli_option ctx = {"ctx", 0, CLI_INT, "N", "", 1, LIMIT_CONTEXT};
    static const cli_option threads = {"threads", 0, CLI_INT, "N", "", 1, 256};
    bool is_threads = strcmp(name, "threads") == 0;
    cli_value v = {0};
    if (!cli_value_read(&v, is_threads ? &threads : &ctx, name, value, e)) return false;
    int32_t old_ctx = c->ctx;
    int old_threads = c->threads;
    if (is_threads) c->threads = (int)v.integer;
    else c->ctx = (int32_t)v.integer;
    if (chat_renew_engine(c, e)) return true;
    c->ctx = old_ctx;
    c->threads = old_threads;
    return false;
}

static bool set_kv(chat *c, const char *value, err *e) {
    static const cli_option kv = {"kv", 0, CLI_CHOICE, "f16|q8|f32", "", 0, 0};
    cli_value v = {0};
    if (!cli_value_read(&v, &kv, "kv", value, e)) return false;
    hearth_kv old = c->kv;
    c->kv = *value == 'q'               ? HEARTH_KV_Q8
            : strcmp(value, "f32") == 0 ? HEARTH_KV_F32
                                        : HEARTH_KV_F16;
    if (chat_renew_engine(c, e)) return true;
    c->kv = old;
    return false;
}

static bool set_one(chat *c, const char *name, const char *value, err *e) {
    if (strcmp(name, "verbose") == 0) return set_switch(&c->verbose, name, value, e);
    if (strcmp(name, "quiet") == 0) return c->verbose = false, true;
    if (strcmp(name, "markdown") == 0) return set_switch(&c->markdown, name, value, e);
    if (strcmp(name, "nomarkdown") == 0) return c->markdown = false, true;
    if (strcmp(name, "system") == 0) return chat_set_system(c, value, e);
    if (strcmp(name, "stop") == 0) {
        if (*value) return chat_add_stop(c, value, e);
        chat_clear_stops(c);
        return true;
    }
    if (!*value) return err_set(e, ERR_USAGE, "/set %s: to what?", name);
    if (strcmp(name, "ctx") == 0 || strcmp(name, "num_ctx") == 0)
        return set_number(c, "ctx", value, e);
    if (strcmp(name, "threads") == 0 || strcmp(name, "num_thread") == 0)
        return set_number(c, "threads", value, e);
    if (strcmp(name, "kv") == 0) return set_kv(c, value, e);
    if (!samplers_set(&c->params, name, value, e)) return false;
    if (strcmp(name, "seed") == 0) c->seed_given = true;
    return true;
}

/* Cuts the first word off; *rest is what follows it, without white space in front. */
static char *first_word(char *text, char **rest) {
    text += strspn(text, " \t\n");
    char *end = text + strcspn(text, " \t\n");
    *rest = end + strspn(end, " \t\n");
    if (*end) *end = 0;
    return text;
}

static bool do_set(repl *r, char *args, err *e) {
    char *rest;
    char *name = first_word(args, &rest);
    if (strcmp(name, "parameter") == 0) name = first_word(rest, &rest);
    if (!*name) {
        list_settings(r->c);
        return true;
    }
    return set_one(r->c, name, rest, e);
}

static void show_info(const chat *c) {
    char a[32], b[32];
    if (c->server) {
        note("  %s, at the server %s", c->info.name, far_address(c->server));
        note("  context %d tokens, chat template %s", chat_ctx(c),
             c->raw      ? "off (raw)"
             : c->family ? c->family
                         : "none");
        note("  %d messages so far%s", c->n_messages, c->system ? ", with a system text" : "");
        return;
    }
    note("  %s, %s, %s parameters, %s in memory", c->info.name, c->info.arch,
         human_count(c->info.n_params, a, sizeof a),
         human_bytes(c->info.weight_bytes, b, sizeof b));
    note("  %d layers, %d wide, %d tokens in the vocabulary", c->info.n_layer, c->info.n_embd,
         c->info.n_vocab);
    note("  context %d tokens (the model's own: %d), chat template %s", chat_ctx(c),
         c->info.n_ctx_train,
         c->raw      ? "off (raw)"
         : c->family ? c->family
                     : "none");
    note("  %d messages so far%s", c->n_messages, c->system ? ", with a system text" : "");
}

static bool do_show(repl *r, char *args, err *e) {
    char *rest;
    const chat *c = r->c;
    const char *what = first_word(args, &rest);
    if (!*what || strcmp(what, "info") == 0) {
        show_info(c);
    } else if (strcmp(what, "parameters") == 0) {
        list_settings(c);
    } else if (strcmp(what, "system") == 0) {
        note("%s", c->system ? c->system : "(no system text)");
    } else if (strcmp(what, "template") == 0) {
        size_t n = 0;
        const char *t = c->server ? "(the server has it)"
                                  : hearth_model_meta(c->m, "tokenizer.chat_template", &n);
        if (c->server) n = strlen(t);
        note("family: %s\n%.*s", c->family ? c->family : "none", (int)n, t ? t : "");
    } else if (strcmp(what, "messages") == 0) {
        for (int i = 0; i < c->n_messages; i++)
            note("%s: %s", c->message[i].role, c->message[i].text);
    } else {
        return err_set(e, ERR_USAGE, "/show info, parameters, system, template or messages");
    }
    return true;
}

/* ---- /load, /save ---- */

static bool begins_with_gguf(const char *path) {
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    bool yes = f && fread(magic, 1, 4, f) == 4 && memcmp(magic, "GGUF", 4) == 0;
    if (f) fclose(f);
    return yes;
}

static bool do_load(repl *r, char *args, err *e) {
    char *end = args + strlen(args);
    while (end > args && (end[-1] == ' ' || end[-1] == '\n')) *--end = 0;
    if (!*args) return err_set(e, ERR_USAGE, "/load FILE: a saved chat or a model");
    if (strcmp(args, "bard") == 0 || begins_with_gguf(args)) {
        if (!chat_open(r->c, args, e)) return false;
        note("(now talking with %s)", r->c->info.name);
        return true;
    }
    if (!repl_file_load(r->c, args, e)) return false;
    note("(%d messages from %s)", r->c->n_messages, args);
    return true;
}

static bool do_save(repl *r, char *args, err *e) {
    char *end = args + strlen(args);
    while (end > args && (end[-1] == ' ' || end[-1] == '\n')) *--end = 0;
    if (!*args) return err_set(e, ERR_USAGE, "/save FILE: where to?");
    if (!repl_file_save(r->c, args, e)) return false;
    note("(%d messages saved to %s)", r->c->n_messages, args);
    return true;
}

/* ---- the rest ---- */

static bool do_system(repl *r, char *args, err *e) {
    if (!*args) {
        note("%s", r->c->system ? r->c->system : "(no system text)");
        return true;
    }
    if (strcmp(args, "none") == 0) args += 4;
    if (!chat_set_system(r->c, args, e)) return false;
    note(*args ? "(system text set; it holds from the next answer on)"
               : "(no system text any more)");
    return true;
}

static bool do_clear(repl *r, char *args, err *e) {
    (void)args, (void)e;
    chat_clear(r->c);
    note("(a new conversation)");
    return true;
}

/* The conversation loses its last answer while a new one is written, and gets it back when that
 * fails. */
static bool do_retry(repl *r, char *args, err *e) {
    (void)args;
    chat *c = r->c;
    chat_message old = {0};
    if (last_is(c, "assistant")) old = c->message[--c->n_messages];
    if (!last_is(c, "user")) {
        if (old.text) c->message[c->n_messages++] = old;
        return err_set(e, ERR_USAGE, "there is nothing to answer again");
    }
    c->params.choice++;
    if (!answer(r) && old.text) {
        c->message[c->n_messages++] = old;
        return true;
    }
    free(old.role);
    free(old.text);
    return true;
}

static int run_editor(const char *path) {
    const char *editor = getenv("VISUAL");
    if (!editor || !*editor) editor = getenv("EDITOR");
    if (!editor || !*editor) editor = "vi";
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        /* The variable may hold arguments: the shell takes them apart. */
        execl("/bin/sh", "sh", "-c", "exec $0 \"$1\"", editor, path, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Text through an editor: a private temporary file, read back. */
static bool edit_text(const char *text, buf *out, err *e) {
    char path[4096];
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/hearth-XXXXXX.txt", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemps(path, 4);
    if (fd < 0) return err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n && write(fd, "\n", 1) == 1;
    close(fd);
    if (!ok) err_set(e, ERR_FAILED, "%s: cannot be written", path);
    int code = ok ? run_editor(path) : 0;
    if (code != 0)
        ok = err_set(e, ERR_FAILED, "the editor ended with %d: nothing is changed", code);
    ok = ok && file_read(out, path, e);
    unlink(path);
    while (out->len > 0 && out->data[out->len - 1] == '\n') out->data[--out->len] = 0;
    return ok;
}

static bool do_edit(repl *r, char *args, err *e) {
    (void)args;
    chat *c = r->c;
    int at = c->n_messages - 1;
    while (at >= 0 && strcmp(c->message[at].role, "user") != 0) at--;
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    bool ok = edit_text(at >= 0 ? c->message[at].text : "", &text, e);
    if (ok && text.len == 0) {
        note("(empty: nothing is changed)");
    } else if (ok) {
        while (at >= 0 && c->n_messages > at) chat_pop(c);
        note(">>> %s", text.data);
        say(r, text.data, text.len);
    }
    buf_deinit(&text);
    return ok;
}

static bool do_usage(repl *r, char *args, err *e) {
    (void)args, (void)e;
    const chat *c = r->c;
    if (c->n_answers == 0) {
        note("(nothing was asked yet)");
        return true;
    }
    chat_say_speed(&c->last);
    double prefill = c->total_prefill_s, decode = c->total_decode_s;
    note("answers so far: %d; prompts %lld tokens (%lld reused), answers %lld tokens; %.1f s and "
         "%.1f s",
         c->n_answers, (long long)c->total_prompt, (long long)c->total_cached,
         (long long)c->total_generated, prefill, decode);
    note("context: %d of %d tokens used", c->last.n_prompt + c->last.n_generated, chat_ctx(c));
    return true;
}

static bool do_bye(repl *r, char *args, err *e) {
    (void)args, (void)e;
    r->leave = true;
    return true;
}

static bool do_help(repl *r, char *args, err *e);

static const struct command {
    const char *name, *args, *help;
    bool (*run)(repl *r, char *args, err *e);
} commands[] = {
    {"/set", "[NAME VALUE]",
     "a parameter (/set alone lists them all), ctx, threads, stop, verbose, markdown", do_set},
    {"/show", "[WHAT]", "info, parameters, system, template or messages", do_show},
    {"/load", "FILE", "a saved chat, or another model", do_load},
    {"/save", "FILE", "the conversation and its settings", do_save},
    {"/system", "[TEXT]", "how the model is to behave; none takes it away", do_system},
    {"/clear", "", "begin a new conversation", do_clear},
    {"/retry", "", "another answer to the last message", do_retry},
    {"/edit", "", "the last message in $EDITOR, and a new answer", do_edit},
    {"/usage", "", "tokens and speed", do_usage},
    {"/help", "", "this list", do_help},
    {"/bye", "", "leave (or Ctrl-D)", do_bye},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static bool do_help(repl *r, char *args, err *e) {
    (void)r, (void)args, (void)e;
    for (int i = 0; i < N_COMMANDS; i++)
        note("  %-8s %-13s %s", commands[i].name, commands[i].args, commands[i].help);
    note("  \"\"\" begins and ends a text of several lines; Ctrl-C stops an answer and keeps it");
    return true;
}

static void obey(repl *r, char *line) {
    err e = {0};
    char *rest;
    const char *name = first_word(line, &rest);
    if (strcmp(name, "/?") == 0) name = "/help";
    if (strcmp(name, "/exit") == 0 || strcmp(name, "/quit") == 0) name = "/bye";
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(name, names[i]) != 0) continue;
        if (!commands[i].run(r, rest, &e)) complain(&e);
        return;
    }
    const char *near = cli_nearest(name, names, N_COMMANDS);
    if (near) note("there is no command %s: did you mean %s?", name, near);
    else note("there is no command %s (/help lists them)", name);
}

int repl_run(chat *c) {
    err e = {0};
    repl r = {.c = c};
    lines *l = lines_open(&e);
    if (!l) return cli_fail(&e);
    note("%s, context %d tokens. /help lists the commands, /bye leaves.", c->info.name,
         chat_ctx(c));
    buf text;
    buf_init(&text, LIMIT_TEXT_BYTES);
    while (!r.leave && !out_broken()) {
        buf_clear(&text);
        lines_result got = lines_read(l, &text);
        if (got == LINES_END) {
            fputc('\n', stderr);
            break;
        }
        if (got == LINES_INTERRUPTED) note("(/bye or Ctrl-D leaves)");
        str s = str_trim(buf_str(&text));
        if (s.n == 0) continue;
        if (*s.p == '/') obey(&r, text.data + strspn(text.data, " \t\n"));
        else say(&r, text.data, text.len);
    }
    buf_deinit(&text);
    lines_close(l);
    return ERR_NONE;
}
