/* hearth config: the settings in force, and where each of them comes from. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/settings.h"

extern char **environ;

/* ---- one value, as the file would have it ---- */

static void put_quoted(buf *b, const char *text) {
    buf_putc(b, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') buf_printf(b, "\\%c", *p);
        else if (*p == '\n') buf_puts(b, "\\n");
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            buf_printf(b, "\\u%04x", (unsigned)(unsigned char)*p);
        else buf_putc(b, *p);
    }
    buf_putc(b, '"');
}

static bool is_number(const cli_option *o) {
    return o->kind == CLI_INT || o->kind == CLI_REAL || o->kind == CLI_MAYBE;
}

static void put_value(buf *b, const cli_option *o, const cli_value *v) {
    if (o->kind == CLI_FLAG) buf_puts(b, v->set ? "true" : "false");
    else if (o->kind == CLI_MAYBE && !v->text) buf_puts(b, "true");
    else if (o->kind == CLI_REAL) buf_printf(b, "%.15g", v->real);
    else if (is_number(o)) buf_printf(b, "%lld", (long long)v->integer);
    else if (o->kind == CLI_U64) buf_puts(b, v->text); /* digits alone */
    else if (o->kind != CLI_LIST) put_quoted(b, v->text);
    if (o->kind != CLI_LIST) return;
    buf_putc(b, '[');
    for (int i = 0; i < v->n_list; i++) {
        if (i) buf_puts(b, ", ");
        put_quoted(b, v->list[i]);
    }
    buf_putc(b, ']');
}

static void json_value(jsonw *w, const cli_option *o, const cli_value *v) {
    if (v->source == CLI_FROM_NOWHERE) jsonw_null(w);
    else if (o->kind == CLI_FLAG) jsonw_bool(w, v->set);
    else if (o->kind == CLI_MAYBE && !v->text) jsonw_bool(w, true);
    else if (o->kind == CLI_REAL) jsonw_f64(w, v->real);
    else if (is_number(o)) jsonw_int(w, v->integer);
    else if (o->kind == CLI_U64) jsonw_uint(w, v->u64);
    else if (o->kind != CLI_LIST) jsonw_str(w, str_of(v->text));
    if (o->kind != CLI_LIST || v->source == CLI_FROM_NOWHERE) return;
    jsonw_array(w);
    for (int i = 0; i < v->n_list; i++) jsonw_str(w, str_of(v->list[i]));
    jsonw_end(w);
}

/* What holds where nothing is set, in the words of the option's help; none where that has none. */
static str usual_of(const cli_option *o) {
    static char said[64];
    static const char word[] = "default";
    size_t at = str_find(str_of(o->help), str_of(word), 0);
    const char *threads = getenv("HEARTH_THREADS");
    if (strcmp(o->name, "threads") == 0 && threads && *threads) {
        snprintf(said, sizeof said, "%.20s (HEARTH_THREADS)", threads);
        return str_of(said);
    }
    if (at == (size_t)-1) return o->kind == CLI_FLAG ? STR("false") : STR("");
    const char *from = o->help + at + sizeof word - 1;
    from += strspn(from, ": ");
    return (str){from, strcspn(from, ";)")};
}

/* ---- a section ---- */

static void put_section(buf *b, const cli_args *a) {
    const cli_option *o;
    buf_printf(b, "\n[%s]\n", a->command->config);
    for (int i = 0; (o = cli_option_at(a->command, i)); i++) {
        const cli_value *v = &a->value[i];
        if (!settings_concern(o)) continue;
        if (v->source == CLI_FROM_NOWHERE) {
            str usual = usual_of(o);
            buf_printf(b, "# %s%s%.*s\n", o->name, usual.n ? ": " : "", STR_ARG(usual));
            continue;
        }
        buf_printf(b, "%s = ", o->name);
        put_value(b, o, v);
        buf_printf(b, "  # %s\n", v->where);
    }
}

static void json_section(jsonw *w, const cli_args *a) {
    static const char *const sources[] = {
        [CLI_FROM_NOWHERE] = "default",
        [CLI_FROM_ARGS] = "arguments",
        [CLI_FROM_ENVIRONMENT] = "environment",
        [CLI_FROM_FILE] = "file",
    };
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(a->command, i)); i++) {
        const cli_value *v = &a->value[i];
        if (!settings_concern(o)) continue;
        jsonw_object(w);
        jsonw_key(w, "section");
        jsonw_str(w, str_of(a->command->config));
        jsonw_key(w, "name");
        jsonw_str(w, str_of(o->name));
        jsonw_key(w, "value");
        json_value(w, o, v);
        jsonw_key(w, "default");
        if (usual_of(o).n) jsonw_str(w, usual_of(o));
        else jsonw_null(w);
        jsonw_key(w, "source");
        jsonw_str(w, str_of(sources[v->source]));
        jsonw_key(w, "where");
        if (v->where) jsonw_str(w, str_of(v->where));
        else jsonw_null(w);
        jsonw_end(w);
    }
}

/* Every command's section goes through `put`, with the values in force for it. */
static bool each_section(const char *file, const char *only, jsonw *w, buf *b, err *e) {
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (!(*c)->config || (only && strcmp(only, (*c)->config) != 0)) continue;
        cli_args a = {.command = *c};
        bool ok = settings_apply_file(&a, file, e);
        if (ok && w) json_section(w, &a);
        else if (ok) put_section(b, &a);
        cli_args_deinit(&a);
        if (!ok) return false;
    }
    return true;
}

/* ---- variables that nothing reads ---- */

static bool variable_known(const cli_command *c, const char *name, size_t n) {
    const cli_option *o;
    char known[128];
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (settings_concern(o) && strlen(settings_variable(c, o, known)) == n &&
            memcmp(known, name, n) == 0)
            return true;
    return false;
}

static void warn_of_variables(void) {
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (!(*c)->config) continue;
        char prefix[128], shown[100];
        settings_variable(*c, &(cli_option){.name = ""}, prefix);
        for (char **v = environ; *v; v++) {
            size_t n = strcspn(*v, "=");
            if (strncmp(*v, prefix, strlen(prefix)) != 0 || variable_known(*c, *v, n)) continue;
            note("hearth: %s is set, but hearth %s has no such option",
                 str_printable((str){*v, n}, shown, sizeof shown), (*c)->name);
        }
    }
}

/* ---- show ---- */

static bool known_section(const char *name, err *e) {
    const char *names[32];
    size_t n = 0;
    for (const cli_command *const *c = cli_commands; *c && n < 32; c++) {
        if ((*c)->config) names[n++] = (*c)->config;
        if ((*c)->config && strcmp((*c)->config, name) == 0) return true;
    }
    const char *near = cli_nearest(name, names, n);
    if (near)
        return err_set(e, ERR_USAGE, "config: there is no section \"%s\": did you mean \"%s\"?",
                       name, near);
    return err_set(e, ERR_USAGE, "config: there is no section \"%s\"", name);
}

static bool build(buf *b, const settings *s, const char *file, const char *only, bool json,
                  err *e) {
    char shown[300];
    jsonw w;
    if (json) {
        jsonw_init(&w, b);
        jsonw_object(&w);
        jsonw_key(&w, "file");
        jsonw_str(&w, str_of(settings_path(s)));
        jsonw_key(&w, "found");
        jsonw_bool(&w, settings_found(s));
        jsonw_key(&w, "settings");
        jsonw_array(&w);
    } else {
        buf_printf(b, "# %s%s\n", str_printable(str_of(settings_path(s)), shown, sizeof shown),
                   settings_found(s) ? "" : " (not there)");
    }
    if (!each_section(file, only, json ? &w : NULL, b, e)) return false;
    if (json) {
        jsonw_end(&w);
        jsonw_end(&w);
        buf_putc(b, '\n');
    }
    return !b->failed || err_set(e, ERR_FAILED, "out of memory");
}

static int show(const cli_args *a, const char *file) {
    err e = {0};
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    const char *only = a->n_args ? a->arg[0] : NULL;
    settings *s = settings_open(file, &e);
    bool ok = s && (!only || known_section(only, &e)) && settings_check(s, &e) &&
              build(&b, s, file, only, cli_flag(a, "json"), &e);
    if (ok) {
        warn_of_variables();
        out_buf(&b);
    }
    settings_free(s);
    buf_deinit(&b);
    return ok ? ERR_NONE : cli_fail(&e);
}

/* ---- init ---- */

static void put_sample(buf *b, const cli_command *c) {
    const cli_option *o;
    buf_printf(b, "\n# ---- hearth %s: %s ----\n\n[%s]\n", c->name, c->summary, c->config);
    for (int i = 0; (o = cli_option_at(c, i)); i++) {
        if (!settings_concern(o)) continue;
        buf_printf(b, "\n# %s\n#%s = ", o->help, o->name);
        if (o->kind == CLI_FLAG) buf_puts(b, "false");
        else if (o->kind == CLI_LIST) buf_printf(b, "[\"%s\"]", o->arg);
        else if (o->kind == CLI_INT || o->kind == CLI_REAL || o->kind == CLI_MAYBE)
            buf_printf(b, "%g", o->min > 0 ? o->min : o->max < 0 ? o->max : 0.0);
        else if (o->kind == CLI_U64) buf_puts(b, "0");
        else if (o->kind == CLI_CHOICE)
            buf_printf(b, "\"%.*s\"", (int)strcspn(o->arg, "|"), o->arg);
        else buf_printf(b, "\"%s\"", o->arg);
        buf_putc(b, '\n');
    }
}

static bool write_sample(const char *path, err *e) {
    char shown[300];
    buf b;
    buf_init(&b, 1u << 20);
    buf_puts(
        &b,
        "# Hearth's settings. Everything here is a comment: take away the # in front of a name,\n"
        "# and set its value. Options on the command line come first, then variables of the\n"
        "# environment (threads of [serve] is HEARTH_SERVE_THREADS), then this file. The values\n"
        "# below are examples, not defaults. hearth config prints what is in force.\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        if ((*c)->config) put_sample(&b, *c);
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = 0;
    bool ok = folder && !b.failed ? true : err_set(e, ERR_FAILED, "out of memory");
    if (ok && access(path, F_OK) == 0)
        ok = err_set(e, ERR_FAILED, "%s is there already, and stays as it is",
                     str_printable(str_of(path), shown, sizeof shown));
    ok = ok && (!slash || slash == folder || file_make_dirs(folder, 0700, e)) &&
         file_replace(path, b.data, b.len, 0600, e);
    free(folder);
    buf_deinit(&b);
    return ok;
}

static int init(const char *file) {
    err e = {0};
    char path[4096], shown[300];
    if (settings_find(file, path, &e) && write_sample(path, &e)) {
        note("wrote %s", str_printable(str_of(path), shown, sizeof shown));
        return ERR_NONE;
    }
    return cli_fail(&e);
}

static int run(const cli_args *a) {
    const char *file = cli_text(a, "config", NULL);
    return cli_flag(a, "init") ? init(file) : show(a, file);
}

static const cli_option options[] = {
    {"init", 0, CLI_FLAG, NULL, "write a file with every setting in it, as comments", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    CLI_CONFIG_OPTION,
    {0},
};

const cli_command cmd_config = {
    .name = "config",
    .summary = "the settings in force, and where each comes from",
    .args = "[SECTION]",
    .about =
        "Prints the settings that commands would run with, each with the variable or line that "
        "it comes from; what is not set is a comment, with what holds without it. It reads the "
        "whole file, and says the first mistake in it. The file is hearth.toml in Hearth's folder, "
        "unless HEARTH_CONFIG "
        "or --config names another; it need not be there.",
    .examples =
        "  hearth config\n  hearth config --init\n  HEARTH_SERVE_THREADS=2 hearth config serve",
    .options = options,
    .max_args = 1,
    .run = run,
};
