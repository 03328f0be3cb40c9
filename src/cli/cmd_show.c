/* hearth show: what a model file is, what it needs, and whether that fits here. Says what it can
 * about any GGUF file: also one with a vocabulary only, or of an architecture that Hearth does
 * not run.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/direct.h"
#include "cli/sight.h"
#include "hub/recipe.h"

static void line(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *label, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    out_printf("%-15s %s\n", label, text);
}

static const char *ctx_source(const sight *s) {
    return s->ctx_asked ? "as asked" : "the model's own";
}

static void print_model(const sight *s) {
    char a[32], b[32];
    line("name", "%s", s->name);
    line("file", "%s, GGUF %u, %s", gguf_path(s->g), gguf_version(s->g),
         human_bytes(gguf_file_bytes(s->g), a, sizeof a));
    line("architecture", "%s%s", s->arch, s->arch_known ? "" : ", which Hearth does not run");
    if (s->n_params > 0) line("parameters", "%s", human_count(s->n_params, a, sizeof a));
    if (!s->known) {
        if (s->arch_known && s->n_types > 0) line("note", "%s", s->why.msg);
        return;
    }
    const model_params *p = &s->params;
    line("layers", "%d, %d wide, feed-forward %d", p->n_layer, p->n_embd, p->n_ff);
    if (p->guesses_ahead) line("", "one more that guesses the token after the next");
    line("heads", "%d for queries, %d for keys and values, %d wide", p->n_head, p->n_head_kv,
         p->head_dim_k);
    if (p->n_expert > 0)
        line("experts", "%d, %d used for each token, feed-forward %d", p->n_expert,
             p->n_expert_used, p->n_ff_expert);
    line("context", "%s tokens", human_count((uint64_t)p->n_ctx, a, sizeof a));
    if (p->window > 0)
        line("window", "%s tokens in some layers", human_count((uint64_t)p->window, b, sizeof b));
}

static void print_types(const sight *s) {
    for (int i = 0; i < s->n_types; i++) {
        char bytes[32], count[32];
        const sight_type *t = &s->type[i];
        line(i == 0 ? "tensor types" : "",
             "%-8s %5.1f %% of the bytes, %s parameters in %d tensor%s (%s)", t->name,
             100.0 * (double)t->bytes / (double)s->tensor_bytes,
             human_count(t->elements, count, sizeof count), t->tensors, PLURAL(t->tensors),
             human_bytes(t->bytes, bytes, sizeof bytes));
    }
    if (s->n_types == 0) line("tensors", "none: a vocabulary only");
}

static void token_label(const sight *s, int32_t id, const char *label) {
    char shown[100];
    if (id >= 0)
        line(label, "%d \"%s\"", id, str_printable(tok_text(s->t, id), shown, sizeof shown));
}

static void print_tokens(const sight *s) {
    char a[32];
    if (!s->t) {
        line("tokenizer", "none that can be used: %s", s->no_tok.msg);
        return;
    }
    line("tokenizer", "%s%s%s, %s tokens", tok_model(s->t), *tok_pre(s->t) ? ", " : "",
         tok_pre(s->t), human_count((uint64_t)tok_n_vocab(s->t), a, sizeof a));
    token_label(s, tok_bos(s->t), "begins with");
    token_label(s, tok_eos(s->t), "ends with");
    if (s->prompt.family)
        line("chat template", "%s%s", prompt_family_name(s->prompt.family),
             s->prompt.source.n ? "" : " (by its vocabulary: the file has no template)");
    else
        line("chat template", "%s",
             s->prompt.source.n ? "of a family that Hearth does not recognise" : "none");
}

static void print_memory(const sight *s) {
    char a[32], b[32], c[32], d[32];
    if (!s->known || s->n_types == 0) return;
    line("weights", "%s in memory", human_bytes(s->weight_bytes, a, sizeof a));
    line("KV cache", "%s for %s tokens (%s), as %s", human_bytes(s->kv_bytes, a, sizeof a),
         human_count((uint64_t)s->ctx, b, sizeof b), ctx_source(s), s->kv_name);
    uint64_t need = s->weight_bytes + s->kv_bytes;
    human_bytes(need, a, sizeof a);
    human_bytes(s->available, b, sizeof b);
    if (s->available == UINT64_MAX) {
        line("memory", "%s; how much there is here is not known", a);
    } else if (need <= s->available) {
        line("memory", "%s: fits here, where %s are available", a, b);
    } else if (s->weight_bytes >= s->available) {
        line("memory", "%s: does not fit here: %s are available and the weights alone need %s", a,
             b, human_bytes(s->weight_bytes, c, sizeof c));
    } else {
        line("memory", "%s: does not fit here, where %s are available; a context of %s tokens does",
             a, b, human_count((uint64_t)s->ctx_fits, d, sizeof d));
    }
}

/* ---- JSON ---- */

static void json_tokens(jsonw *w, const sight *s) {
    jsonw_key(w, "tokenizer");
    if (!s->t) {
        jsonw_null(w);
    } else {
        jsonw_object(w);
        jsonw_key(w, "model"), jsonw_str(w, str_of(tok_model(s->t)));
        jsonw_key(w, "pre"), jsonw_str(w, str_of(tok_pre(s->t)));
        jsonw_key(w, "tokens"), jsonw_int(w, tok_n_vocab(s->t));
        jsonw_key(w, "bos"), jsonw_int(w, tok_bos(s->t));
        jsonw_key(w, "eos"), jsonw_int(w, tok_eos(s->t));
        jsonw_key(w, "adds_bos"), jsonw_bool(w, tok_adds_bos(s->t));
        jsonw_key(w, "adds_eos"), jsonw_bool(w, tok_adds_eos(s->t));
        jsonw_end(w);
    }
    jsonw_key(w, "chat_family");
    if (s->prompt.family) jsonw_str(w, str_of(prompt_family_name(s->prompt.family)));
    else jsonw_null(w);
    jsonw_key(w, "chat_template");
    if (s->prompt.source.n) jsonw_str(w, s->prompt.source);
    else jsonw_null(w);
}

static void json_types(jsonw *w, const sight *s) {
    jsonw_key(w, "tensor_types");
    jsonw_array(w);
    for (int i = 0; i < s->n_types; i++) {
        const sight_type *t = &s->type[i];
        jsonw_object(w);
        jsonw_key(w, "type"), jsonw_str(w, str_of(t->name));
        jsonw_key(w, "tensors"), jsonw_int(w, t->tensors);
        jsonw_key(w, "parameters"), jsonw_uint(w, t->elements);
        jsonw_key(w, "bytes"), jsonw_uint(w, t->bytes);
        jsonw_key(w, "share"), jsonw_f64(w, (double)t->bytes / (double)s->tensor_bytes);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void json_model(jsonw *w, const sight *s) {
    const model_params *p = &s->params;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"layers", p->n_layer},     {"width", p->n_embd},
        {"feed_forward", p->n_ff},  {"heads", p->n_head},
        {"kv_heads", p->n_head_kv}, {"head_size", p->head_dim_k},
        {"context", p->n_ctx},      {"window", p->window},
        {"experts", p->n_expert},   {"experts_used", p->n_expert_used},
        {"vocabulary", p->n_vocab},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        jsonw_key(w, numbers[i].key);
        jsonw_int(w, numbers[i].value);
    }
    jsonw_key(w, "guesses_ahead"), jsonw_bool(w, p->guesses_ahead);
}

static void json_memory(jsonw *w, const sight *s) {
    jsonw_key(w, "memory");
    if (!s->known || s->n_types == 0) {
        jsonw_null(w);
        return;
    }
    jsonw_object(w);
    jsonw_key(w, "ctx"), jsonw_int(w, s->ctx);
    jsonw_key(w, "kv_type"), jsonw_str(w, str_of(s->kv_name));
    jsonw_key(w, "weight_bytes"), jsonw_uint(w, s->weight_bytes);
    jsonw_key(w, "kv_bytes"), jsonw_uint(w, s->kv_bytes);
    jsonw_key(w, "total_bytes"), jsonw_uint(w, s->weight_bytes + s->kv_bytes);
    bool known = s->available != UINT64_MAX;
    jsonw_key(w, "available_bytes");
    known ? jsonw_uint(w, s->available) : jsonw_null(w);
    jsonw_key(w, "fits");
    known ? jsonw_bool(w, s->weight_bytes + s->kv_bytes <= s->available) : jsonw_null(w);
    jsonw_key(w, "largest_ctx_that_fits"), jsonw_int(w, s->ctx_fits);
    jsonw_end(w);
}

static void json_tensors(jsonw *w, const gguf *g) {
    jsonw_key(w, "tensors");
    jsonw_array(w);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const quant_info *q = quant_info_of(t->type);
        jsonw_object(w);
        jsonw_key(w, "name"), jsonw_str(w, t->name);
        jsonw_key(w, "type"), jsonw_str(w, str_of(q ? q->name : "?"));
        jsonw_key(w, "shape");
        jsonw_array(w);
        for (uint32_t d = 0; d < t->n_dims; d++) jsonw_uint(w, t->ne[d]);
        jsonw_end(w);
        jsonw_key(w, "bytes"), jsonw_uint(w, t->size_bytes);
        jsonw_end(w);
    }
    jsonw_end(w);
}

static void json_value(jsonw *w, const gguf *g, const gguf_kv *kv, const char *key) {
    str s;
    uint64_t u;
    int64_t n;
    double x;
    if (kv->type == GGUF_ARRAY) {
        jsonw_object(w);
        jsonw_key(w, "array_of"), jsonw_str(w, str_of(gguf_type_name(kv->elem)));
        jsonw_key(w, "length"), jsonw_uint(w, kv->n);
        jsonw_end(w);
    } else if (gguf_get_str(g, key, &s)) {
        jsonw_str(w, s);
    } else if (kv->type == GGUF_BOOL) {
        jsonw_bool(w, kv->data[0]);
    } else if (gguf_get_u64(g, key, &u)) {
        jsonw_uint(w, u);
    } else if (gguf_get_i64(g, key, &n)) {
        jsonw_int(w, n);
    } else if (gguf_get_f64(g, key, &x)) {
        kv->type == GGUF_F32 ? jsonw_f32(w, (float)x) : jsonw_f64(w, x);
    } else {
        jsonw_null(w); /* only a key that holds a NUL is not found by its name */
    }
}

/* Values as they are; of an array its type and length, since some hold a whole vocabulary. */
static bool json_metadata(jsonw *w, const gguf *g) {
    jsonw_key(w, "metadata");
    jsonw_object(w);
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char *key = malloc(kv->key.n + 1);
        if (!key) return false;
        memcpy(key, kv->key.p, kv->key.n);
        key[kv->key.n] = 0;
        jsonw_key(w, key);
        json_value(w, g, kv, key);
        free(key);
    }
    jsonw_end(w);
    return true;
}

/* What a GGUF file beside the model says of itself. */
typedef struct companion {
    char name[120], note[80];
    uint64_t bytes;
    double alpha; /* of an adapter */
    bool read;
} companion;

static companion companion_of(const char *path) {
    companion c = {.name = "?"};
    str s;
    char count[32];
    gguf *g = gguf_open(path, NULL);
    if (!g) return c;
    c.read = true;
    c.bytes = gguf_file_bytes(g);
    str stem = hub_stem(path);
    str_printable(gguf_get_str(g, "general.name", &s) ? s : stem, c.name, sizeof c.name);
    if (!gguf_get_f64(g, "adapter.lora.alpha", &c.alpha)) c.alpha = 0;
    snprintf(c.note, sizeof c.note, "%s tensors", human_count(gguf_n_tensors(g), count, 32));
    gguf_close(g);
    return c;
}

static void json_companion(jsonw *w, const char *path, bool adapter) {
    companion c = companion_of(path);
    jsonw_object(w);
    jsonw_key(w, "name"), jsonw_str(w, str_of(c.name));
    jsonw_key(w, "path"), jsonw_str(w, str_of(path));
    jsonw_key(w, "file_bytes"), jsonw_uint(w, c.bytes);
    if (adapter) jsonw_key(w, "alpha"), jsonw_f64(w, c.alpha);
    jsonw_end(w);
}

static void json_recipe(jsonw *w, const hub_recipe *c) {
    jsonw_key(w, "adapters");
    jsonw_array(w);
    for (size_t i = 0; i < c->n_adapter; i++) json_companion(w, c->adapter[i], true);
    jsonw_end(w);
    jsonw_key(w, "draft");
    if (c->draft) json_companion(w, c->draft, false);
    else jsonw_null(w);
    jsonw_key(w, "settings");
    char *text = c->params ? json_dumps(c->params, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    jsonw_raw(w, str_of(text ? text : "{}"));
    free(text);
}

static bool print_json(const sight *s, const hub_recipe *recipe, bool tensors, bool metadata) {
    buf b;
    buf_init(&b, (size_t)1 << 30);
    jsonw w;
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "name"), jsonw_str(&w, str_of(s->name));
    jsonw_key(&w, "path"), jsonw_str(&w, str_of(gguf_path(s->g)));
    jsonw_key(&w, "gguf_version"), jsonw_uint(&w, gguf_version(s->g));
    jsonw_key(&w, "file_bytes"), jsonw_uint(&w, gguf_file_bytes(s->g));
    jsonw_key(&w, "architecture"), jsonw_str(&w, str_of(s->arch));
    jsonw_key(&w, "runs"), jsonw_bool(&w, s->known && s->n_types > 0);
    jsonw_key(&w, "parameters"), jsonw_uint(&w, s->n_params);
    if (s->known) json_model(&w, s);
    json_types(&w, s);
    json_tokens(&w, s);
    json_memory(&w, s);
    json_recipe(&w, recipe);
    if (tensors) json_tensors(&w, s->g);
    bool ok = !metadata || json_metadata(&w, s->g);
    jsonw_end(&w);
    ok = ok && !b.failed;
    if (ok) out_json(&b);
    else buf_deinit(&b);
    return ok;
}

/* ---- the whole file ---- */

static void print_tensors(const gguf *g) {
    for (uint64_t i = 0; i < gguf_n_tensors(g) && !out_broken(); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const quant_info *q = quant_info_of(t->type);
        char name[300], shape[100];
        int k = 0;
        for (uint32_t d = 0; d < t->n_dims; d++)
            k += snprintf(shape + k, sizeof shape - (size_t)k, "%s%llu", d ? " x " : "",
                          (unsigned long long)t->ne[d]);
        out_printf("%-40s %-8s %s\n", str_printable(t->name, name, sizeof name), q ? q->name : "?",
                   shape);
    }
}

/* Item i of an array, or the value of anything else (i 0). */
static void print_value(const gguf *g, const gguf_kv *kv, uint64_t i, gguf_type type) {
    char key[LIMIT_GGUF_NAME_BYTES], shown[120];
    str s = {"", 0};
    int64_t n = 0;
    double x = 0;
    bool item = kv->type == GGUF_ARRAY;
    snprintf(key, sizeof key, "%.*s", (int)(kv->key.n < sizeof key ? kv->key.n : sizeof key - 1),
             kv->key.p);
    bool real = type == GGUF_F32 || type == GGUF_F64;
    if (type == GGUF_STRING && (item ? gguf_item_str(kv, g, i, &s) : gguf_get_str(g, key, &s)))
        out_printf("\"%s\"", str_printable(s, shown, sizeof shown));
    else if (type == GGUF_BOOL && !item) out_puts(kv->data[0] ? "true" : "false");
    else if (!real && (item ? gguf_item_i64(kv, i, &n) : gguf_get_i64(g, key, &n)))
        out_printf("%lld", (long long)n);
    else if (item ? gguf_item_f64(kv, i, &x) : gguf_get_f64(g, key, &x)) out_printf("%g", x);
    else out_puts("?");
}

static void print_metadata(const gguf *g) {
    for (uint64_t i = 0; i < gguf_n_kv(g) && !out_broken(); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char key[300];
        out_printf("%-44s ", str_printable(kv->key, key, sizeof key));
        if (kv->type == GGUF_ARRAY) {
            out_printf("%llu x %s:", (unsigned long long)kv->n, gguf_type_name(kv->elem));
            for (uint64_t k = 0; k < kv->n && k < 4; k++) {
                out_puts(" ");
                print_value(g, kv, k, kv->elem);
            }
            if (kv->n > 4) out_puts(" ...");
        } else {
            print_value(g, kv, 0, kv->type);
        }
        out_puts("\n");
    }
}

/* What a stored model has beside its file. True: that was asked for, and *ok says how it went. */
static bool print_recipe(const cli_args *a, const models_ref *r, const hub_recipe *c, bool *ok,
                         err *e) {
    buf b;
    buf_init(&b, (size_t)1 << 30);
    bool asked = true;
    *ok = true;
    if (cli_flag(a, "modelfile")) *ok = hub_recipe_write(&b, c, r->path, e);
    else if (cli_flag(a, "parameters")) hub_recipe_write_params(&b, c);
    else if (cli_flag(a, "system")) buf_puts(&b, c->system ? c->system : "");
    else if (cli_flag(a, "template") && c->template) buf_puts(&b, c->template);
    else if (cli_flag(a, "license"))
        for (size_t i = 0; i < c->n_license; i++) buf_printf(&b, "%s\n", c->license[i]);
    else asked = false;
    if (asked && b.len && b.data[b.len - 1] != '\n') buf_putc(&b, '\n');
    if (asked && *ok) out_buf(&b);
    buf_deinit(&b);
    return asked;
}

static void print_companion(const char *what, const char *path) {
    companion c = companion_of(path);
    char bytes[32];
    if (c.read) line(what, "%s, %s, %s", c.name, human_bytes(c.bytes, bytes, 32), c.note);
    else line(what, "%s, which cannot be read", path);
}

static void print_settings(const hub_recipe *c) {
    buf b;
    buf_init(&b, 1 << 20);
    hub_recipe_write_params(&b, c);
    for (char *p = b.data, *next; p && *p; p = next) {
        next = strchr(p, '\n');
        if (next) *next++ = 0;
        line(p == b.data ? "parameters" : "", "%s", p);
        if (!next) break;
    }
    buf_deinit(&b);
    char shown[200];
    if (c->system) line("system", "%s", str_printable(str_of(c->system), shown, sizeof shown));
    if (c->template) line("template", "of its own: hearth show --template prints it");
    if (json_array_size(c->messages)) line("messages", "%zu", json_array_size(c->messages));
    for (size_t i = 0; i < c->n_adapter; i++) print_companion("adapter", c->adapter[i]);
    if (c->draft) print_companion("draft", c->draft);
    if (c->renderer[0]) line("renderer", "%s", c->renderer);
    if (c->parser[0]) line("parser", "%s", c->parser);
    if (c->requires[0]) line("requires", "Ollama %s", c->requires);
}

static int run(const cli_args *a) {
    err e = {0};
    models_ref r;
    sight s = {0};
    hub_recipe recipe = {0};
    bool done;
    if (!models_find(&r, a->arg[0], &e) || (r.stored && !hub_recipe_of(&recipe, a->arg[0], &e)))
        return cli_fail(&e);
    bool there = r.stored || r.data ||
                 access(r.path, R_OK) == 0; /* else sight says what is wrong */
    if (there && print_recipe(a, &r, &recipe, &done, &e)) {
        hub_recipe_deinit(&recipe);
        return done ? ERR_NONE : cli_fail(&e);
    }
    if (!sight_open(&s, &r, (int32_t)cli_int(a, "ctx", 0), cli_text(a, "kv", "f16"), &e)) {
        hub_recipe_deinit(&recipe);
        return cli_fail(&e);
    }
    bool ok = true;
    if (cli_flag(a, "json")) {
        ok = print_json(&s, &recipe, cli_flag(a, "tensors"), cli_flag(a, "metadata")) ||
             err_set(&e, ERR_NO_FIT, "out of memory");
    } else if (cli_flag(a, "template")) {
        out_write(s.prompt.source.p, s.prompt.source.n);
        if (!str_ends(s.prompt.source, STR("\n"))) out_puts("\n");
    } else if (cli_flag(a, "tensors")) {
        print_tensors(s.g);
    } else if (cli_flag(a, "metadata")) {
        print_metadata(s.g);
    } else {
        print_model(&s);
        print_types(&s);
        print_tokens(&s);
        print_memory(&s);
        print_settings(&recipe);
    }
    sight_close(&s);
    hub_recipe_deinit(&recipe);
    return ok ? ERR_NONE : cli_fail(&e);
}

static const cli_option options[] = {
    {"ctx", 'c', CLI_INT, "N", "count the KV cache for N tokens (default: the model's own context)",
     1, LIMIT_CONTEXT},
    {"kv", 0, CLI_CHOICE, "f16|q8|f32", "type of the KV cache (default f16)", 0, 0},
    {"template", 0, CLI_FLAG, NULL, "print the chat template and nothing else", 0, 0},
    {"modelfile", 0, CLI_FLAG, NULL, "print the Modelfile that makes the same model", 0, 0},
    {"parameters", 0, CLI_FLAG, NULL, "print the parameters that it was made with", 0, 0},
    {"system", 0, CLI_FLAG, NULL, "print its system text", 0, 0},
    {"license", 0, CLI_FLAG, NULL, "print its licences", 0, 0},
    {"tensors", 0, CLI_FLAG, NULL, "list every tensor: name, type, shape", 0, 0},
    {"metadata", 0, CLI_FLAG, NULL, "list every key of the file", 0, 0},
    {"json", 0, CLI_FLAG, NULL,
     "print one JSON object, with --tensors and --metadata as members of it", 0, 0},
    {0},
};

const cli_command cmd_show = {
    .name = "show",
    .summary = "what a model file is, and whether it fits here",
    .args = "MODEL",
    .about = "Tells a file's architecture, sizes, tensor types, tokenizer and chat template, the "
             "memory that its "
             "weights and its KV cache need, and whether that fits on this machine now.",
    .examples = "  hearth show bard\n  hearth show model.gguf --ctx 32768 --json",
    .complete = "model",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
