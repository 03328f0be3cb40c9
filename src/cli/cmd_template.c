/* hearth template: a chat template, a file's own or a model's, with a conversation; prints what
 * comes out and nothing else. */
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/models.h"
#include "template/gotmpl.h"
#include "template/jinja.h"
#include "tok/tok.h"

/* The first bytes of a file are enough to see what it is. */
static bool is_model(const char *name, bool *yes, err *e) {
    file_map m = {0};
    *yes = strcmp(name, "bard") == 0 && models_have_bundled();
    if (*yes || strcmp(name, "-") == 0) return true;
    if (!file_map_open(&m, name, e)) return false;
    *yes = m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    file_map_close(&m);
    return true;
}

static bool set_own(json_t *own, const char *name, str text, err *e) {
    json_t *s = json_stringn(text.p, text.n);
    if (!s || json_object_set_new(own, name, s) != 0)
        return err_set(e, ERR_USAGE, "%s is not valid UTF-8", name);
    return true;
}

static bool set_token(json_t *own, const tok *t, const char *name, int32_t id, err *e) {
    return id < 0 || set_own(own, name, tok_text(t, id), e);
}

/* The template of a model, and the texts of the tokens that templates know by name. */
static bool read_model(const char *name, buf *source, json_t *own, err *e) {
    models_ref r;
    str text;
    int64_t id;
    gguf *g = models_find(&r, name, e) ? models_open_file(&r, e) : NULL;
    tok *t = g ? tok_open(g, e) : NULL;
    bool ok = t != NULL;
    if (ok && !gguf_get_str(g, "tokenizer.chat_template", &text))
        ok = err_set(e, ERR_NOT_FOUND, "%s has no chat template", name);
    ok = ok && (buf_put_str(source, text) || err_set(e, ERR_NO_FIT, "the template is too long"));
    ok = ok && set_token(own, t, "bos_token", tok_bos(t), e) &&
         set_token(own, t, "eos_token", tok_eos(t), e) &&
         set_token(own, t, "unk_token", tok_unk(t), e);
    if (ok && gguf_get_i64(g, "tokenizer.ggml.padding_token_id", &id) && id >= 0 &&
        id < tok_n_vocab(t))
        ok = set_token(own, t, "pad_token", (int32_t)id, e);
    tok_close(t);
    gguf_close(g);
    return ok;
}

/* --set name=text */
static bool read_settings(const cli_args *a, json_t *own, err *e) {
    const cli_value *v = cli_get(a, "set");
    for (int i = 0; i < v->n_list; i++) {
        char name[256];
        const char *eq = strchr(v->list[i], '=');
        size_t n = eq ? (size_t)(eq - v->list[i]) : 0;
        if (n == 0 || n >= sizeof name)
            return err_set(e, ERR_USAGE, "--set: \"%s\" is not name=text", v->list[i]);
        memcpy(name, v->list[i], n);
        name[n] = 0;
        if (!set_own(own, name, str_of(eq + 1), e)) return false;
    }
    return true;
}

static json_t *read_case(const char *path, err *e) {
    buf text;
    json_error_t je;
    buf_init(&text, LIMIT_JSON_BYTES);
    json_t *j = NULL;
    if (input_file(&text, path, e)) {
        j = json_loadb(text.data ? text.data : "", text.len, JSON_ALLOW_NUL, &je);
        if (!j) err_set(e, ERR_DAMAGED, "%s, line %d: %s", path, je.line, je.text);
    }
    if (j && !json_is_object(j)) {
        err_set(e, ERR_DAMAGED, "%s is no JSON object with messages", path);
        json_decref(j);
        j = NULL;
    }
    buf_deinit(&text);
    return j;
}

static bool read_clock(const char *text, struct tm *now, err *e) {
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        *now = (struct tm){.tm_isdst = -1};
        const char *end = strptime(text, forms[i], now);
        if (end && (!*end || strcmp(end, "Z") == 0)) return true;
    }
    return err_set(e, ERR_USAGE, "--now: \"%s\" is no time such as 2026-11-22T09:30:00", text);
}

static bool is_go(const char *name) {
    str s = str_of(name);
    return str_ends(s, STR(".gotmpl")) || str_ends(s, STR(".tmpl"));
}

/* Old templates: with messages as a conversation, else with the variables as they are. */
static bool render_go(str source, const jinja_how *how, jinja_result *out, err *e) {
    gotmpl *t = gotmpl_parse(source, e);
    bool chat = json_object_get(how->vars, "messages") != NULL;
    bool ok = t && (chat ? gotmpl_render_chat : gotmpl_render)(t, how, out, e);
    gotmpl_free(t);
    return ok;
}

static bool render_jinja(str source, const jinja_how *how, jinja_result *out, err *e) {
    jinja *t = jinja_parse(source, e);
    bool ok = t && jinja_render(t, how, out, e);
    jinja_free(t);
    return ok;
}

/* began: the input is right; what fails from there on is the template. */
static bool render(const cli_args *a, str source, json_t *own, jinja_result *out, bool *began,
                   err *e) {
    struct tm now;
    const char *clock = cli_text(a, "now", NULL), *path = cli_text(a, "input", NULL);
    if (clock && !read_clock(clock, &now, e)) return false;
    json_t *vars = path ? read_case(path, e) : json_object();
    jinja_how how = {.vars = vars, .own = own, .now = clock ? &now : NULL};
    *began = vars != NULL;
    bool ok = vars && (is_go(a->arg[0]) ? render_go : render_jinja)(source, &how, out, e);
    json_decref(vars);
    return ok;
}

static int run(const cli_args *a) {
    err e = {0};
    buf source;
    bool carried = false, began = false;
    jinja_result out = {0};
    json_t *own = json_object();
    buf_init(&source, LIMIT_GGUF_STRING_BYTES);
    bool ok = is_model(a->arg[0], &carried, &e);
    if (ok)
        ok = carried ? read_model(a->arg[0], &source, own, &e) : input_file(&source, a->arg[0], &e);
    ok = ok && read_settings(a, own, &e) && render(a, buf_str(&source), own, &out, &began, &e);
    if (ok) out_write(out.text.p, out.text.n);
    jinja_result_deinit(&out);
    buf_deinit(&source);
    json_decref(own);
    if (ok) return ERR_NONE;
    int code = cli_fail(&e);
    return began ? ERR_FAILED : code;
}

static const cli_option options[] = {
    {"input", 'i', CLI_FILE, "CASE.json",
     "the variables, one JSON object: messages, tools, add_generation_prompt ...; - is stdin", 0,
     0},
    {"now", 0, CLI_TEXT, "TIME", "the clock that the template sees, as 2026-11-22T09:30:00", 0, 0},
    {"set", 0, CLI_LIST, "NAME=TEXT", "a variable, such as bos_token=\"<s>\"", 0, 0},
    {0},
};

const cli_command cmd_template = {
    .name = "template",
    .summary = "render a chat template",
    .args = "FILE.jinja|MODEL",
    .about = "Renders a chat template with the variables of --input and prints the result and "
             "nothing else. The template is a file's, or the one that a model carries; then "
             "bos_token and eos_token are the model's. Any file with a vocabulary will do, also "
             "one without weights and of any architecture.\n\nThe dialect is that of Jinja2 as the "
             "transformers library sets it up. When the template raises an error, or cannot be "
             "read, one line says so on stderr and the exit code is 1.\n\nA file whose name ends "
             "in .gotmpl or .tmpl is an old template in the language of Go, as Ollama has them.",
    .examples = "  hearth template model.gguf --input case.json\n  hearth template qwen3.jinja "
                "--input case.json --set bos_token=\"<s>\" --now 2026-11-22T09:30:00",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
