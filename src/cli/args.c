/* Reading the command line by the table: long and short options anywhere, "--" ends them. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/settings.h"

const cli_option *cli_option_at(const cli_command *c, int i) {
    for (const cli_option *o = c->options; o && (o->name || o->letter); o++)
        if (i-- == 0) return o;
    for (const cli_option *o = c->more_options; o && (o->name || o->letter); o++)
        if (i-- == 0) return o;
    return NULL;
}

/* ---- the nearest word ---- */

/* Damerau's edit distance (insert, delete, replace, swap neighbours); words longer than 31 are
 * far. */
static size_t distance(const char *a, const char *b) {
    enum { MAX = 32 };
    size_t n = strlen(a), m = strlen(b), d[MAX][MAX];
    if (n >= MAX || m >= MAX) return MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *cli_nearest(const char *word, const char *const *candidates, size_t n) {
    const char *best = NULL;
    size_t least = strlen(word) < 4
                       ? 2
                       : 2 + strlen(word) / 4; /* at this distance words are strangers */
    if (strlen(word) >= 4) least++;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, candidates[i]);
        size_t k = strlen(word);
        if (k >= 3 && strncmp(word, candidates[i], k) == 0 && d > 1) d = 1; /* a beginning of it */
        if (d < least && d < strlen(candidates[i])) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

/* ---- values ---- */

static bool word_of(const char *choices, const char *word) {
    size_t n = strlen(word);
    for (const char *p = choices; *p;) {
        size_t k = strcspn(p, "|");
        if (k == n && memcmp(p, word, n) == 0) return true;
        p += k + (p[k] == '|');
    }
    return false;
}

static bool read_list(cli_value *v, const char *text, err *e) {
    const char **more = realloc(v->list, ((size_t)v->n_list + 2) * sizeof *more);
    if (!more) return err_set(e, ERR_FAILED, "out of memory");
    v->list = more;
    v->list[v->n_list++] = text;
    v->list[v->n_list] = NULL;
    return true;
}

static bool read_number(cli_value *v, const cli_option *o, const char *what, const char *text,
                        err *e) {
    double x;
    if (!str_to_f64(str_of(text), &x))
        return err_set(e, ERR_USAGE, "%s: \"%s\" is no number", what, text);
    if (o->kind != CLI_REAL && x != (double)(int64_t)x)
        return err_set(e, ERR_USAGE, "%s: \"%s\" is no whole number", what, text);
    if (x < o->min || x > o->max)
        return err_set(e, ERR_USAGE, "%s: %s is not between %g and %g", what, text, o->min, o->max);
    v->real = x;
    v->integer = (int64_t)x;
    return true;
}

bool cli_value_read(cli_value *v, const cli_option *o, const char *what, const char *text, err *e) {
    bool ok = true;
    switch (o->kind) {
    case CLI_FLAG: break;
    case CLI_INT:
    case CLI_MAYBE:
    case CLI_REAL: ok = read_number(v, o, what, text, e); break;
    case CLI_U64:
        if (!str_to_u64(str_of(text), &v->u64))
            ok = err_set(e, ERR_USAGE, "%s: \"%s\" is no number from 0 to 2^64-1", what, text);
        break;
    case CLI_LIST: ok = read_list(v, text, e); break;
    case CLI_CHOICE:
        if (!word_of(o->arg, text))
            ok = err_set(e, ERR_USAGE, "%s: \"%s\" is not one of %s", what, text, o->arg);
        break;
    case CLI_TEXT:
    case CLI_FILE: break;
    }
    if (!ok) return false;
    v->set = true;
    v->text = text;
    return true;
}

bool cli_ids_read(const char *text, int32_t **ids, size_t *n, err *e) {
    size_t cap = strlen(text) / 2 + 1, k = 0;
    int32_t *out = malloc(cap * sizeof *out);
    if (!out) return err_set(e, ERR_FAILED, "out of memory");
    for (const char *p = text; *p;) {
        size_t skip = strspn(p, ", \t\r\n[]"), len = strcspn(p + skip, ", \t\r\n[]");
        uint64_t id;
        if (len > 0 && (!str_to_u64((str){p + skip, len}, &id) || id > INT32_MAX)) {
            char shown[64];
            str_printable((str){p + skip, len}, shown, sizeof shown);
            free(out);
            return err_set(e, ERR_USAGE, "\"%s\" is no token number", shown);
        }
        if (len > 0) out[k++] = (int32_t)id;
        p += skip + len;
    }
    *ids = out;
    *n = k;
    return true;
}

/* ---- the command line ---- */

static int option_named(const cli_command *c, const char *name, size_t n) {
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (o->name && strlen(o->name) == n && memcmp(o->name, name, n) == 0) return i;
    return -1;
}

static int option_lettered(const cli_command *c, char letter) {
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (o->letter == letter) return i;
    return -1;
}

static bool unknown_option(const cli_command *c, const char *given, size_t n, err *e) {
    const char *names[CLI_MAX_OPTIONS + 1];
    size_t k = 0;
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (o->name) names[k++] = o->name;
    names[k++] = "help";
    char word[64], shown[80];
    snprintf(word, sizeof word, "%.*s", (int)(n < 60 ? n : 60), given);
    str_printable(str_of(word), shown, sizeof shown);
    const char *near = cli_nearest(word, names, k);
    if (near)
        return err_set(e, ERR_USAGE, "%s has no option --%s: did you mean --%s?", c->name, shown,
                       near);
    return err_set(e, ERR_USAGE, "%s has no option --%s (hearth %s --help lists them)", c->name,
                   shown, c->name);
}

/* One option with its value, from text after the name (or NULL) or from the next argument. */
static bool take(cli_args *a, int i, const char *shown, const char *value, int argc, char **argv,
                 int *at, err *e) {
    const cli_option *o = cli_option_at(a->command, i);
    a->value[i].source = CLI_FROM_ARGS;
    if (o->kind == CLI_FLAG) {
        if (value) return err_set(e, ERR_USAGE, "%s takes no value", shown);
        a->value[i].set = true;
        return true;
    }
    uint64_t number;
    bool follows = *at + 1 < argc && str_to_u64(str_of(argv[*at + 1]), &number);
    if (!value && o->kind == CLI_MAYBE && !follows) {
        a->value[i].set = true;
        a->value[i].integer = (int64_t)o->min;
        return true;
    }
    if (!value) {
        if (*at + 1 >= argc) return err_set(e, ERR_USAGE, "%s needs a value (%s)", shown, o->arg);
        value = argv[++*at];
    }
    return cli_value_read(&a->value[i], o, shown, value, e);
}

/* --no-NAME, for a flag that the configuration may have set. */
static bool undo(cli_args *a, const char *name, size_t n) {
    if (!a->command->config || n < 4 || memcmp(name, "no-", 3) != 0 || name[n]) return false;
    int i = option_named(a->command, name + 3, n - 3);
    if (i < 0 || cli_option_at(a->command, i)->kind != CLI_FLAG) return false;
    a->value[i] = (cli_value){.source = CLI_FROM_ARGS};
    return true;
}

static bool parse_long(cli_args *a, int argc, char **argv, int *at, err *e) {
    const char *name = argv[*at] + 2;
    size_t n = strcspn(name, "=");
    int i = option_named(a->command, name, n);
    if (i < 0 && undo(a, name, n)) return true;
    if (i < 0) return unknown_option(a->command, name, n, e);
    char shown[64];
    snprintf(shown, sizeof shown, "--%.*s", (int)(n < 60 ? n : 60), name);
    return take(a, i, shown, name[n] == '=' ? name + n + 1 : NULL, argc, argv, at, e);
}

/* -n 5, -n5, -n=5; flags may be joined: -vr. */
static bool parse_short(cli_args *a, int argc, char **argv, int *at, err *e) {
    for (const char *p = argv[*at] + 1; *p; p++) {
        char shown[3] = {'-', *p, 0};
        int i = option_lettered(a->command, *p);
        if (i < 0) {
            int full = option_named(a->command, argv[*at] + 1, strcspn(argv[*at] + 1, "="));
            if (full >= 0)
                return err_set(e, ERR_USAGE,
                               "%s: options of more than one letter have two dashes: -%s",
                               argv[*at], argv[*at]);
            return err_set(e, ERR_USAGE, "%s has no option %s (hearth %s --help lists them)",
                           a->command->name, shown, a->command->name);
        }
        if (cli_option_at(a->command, i)->kind == CLI_FLAG) {
            a->value[i].set = true;
            a->value[i].source = CLI_FROM_ARGS;
            continue;
        }
        const char *value = p[1] ? p + 1 + (p[1] == '=') : NULL;
        return take(a, i, shown, value, argc, argv, at, e);
    }
    return true;
}

static bool right_number(const cli_args *a, err *e) {
    const cli_command *c = a->command;
    if (a->n_args >= c->min_args && (c->max_args < 0 || a->n_args <= c->max_args)) return true;
    return err_set(e, ERR_USAGE, "%s: %s; usage: hearth %s %s", c->name,
                   a->n_args < c->min_args ? "something is missing" : "too many arguments", c->name,
                   c->args);
}

bool cli_args_parse(cli_args *a, const cli_command *c, int argc, char **argv, bool *help, err *e) {
    *a = (cli_args){.command = c};
    a->arg = calloc((size_t)argc + 1, sizeof *a->arg);
    if (!a->arg) return err_set(e, ERR_FAILED, "out of memory");
    bool options = true;
    for (int i = 0; i < argc; i++) {
        const char *s = argv[i];
        if (!options || s[0] != '-' || !s[1]) {
            a->arg[a->n_args++] = s;
        } else if (strcmp(s, "--") == 0) {
            options = false;
        } else if (strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0) {
            *help = true;
            return true;
        } else if (!(s[1] == '-' ? parse_long(a, argc, argv, &i, e)
                                 : parse_short(a, argc, argv, &i, e))) {
            return false;
        }
    }
    return right_number(a, e) && (!c->config || settings_apply(a, e));
}

void cli_args_deinit(cli_args *a) {
    settings_free(a->settings);
    for (int i = 0; i < CLI_MAX_OPTIONS; i++) free(a->value[i].list);
    free(a->arg);
    *a = (cli_args){0};
}

const cli_value *cli_get(const cli_args *a, const char *name) {
    int i = name[1] ? option_named(a->command, name, strlen(name))
                    : option_lettered(a->command, *name);
    assert(i >= 0);
    return &a->value[i];
}

bool cli_flag(const cli_args *a, const char *name) {
    return cli_get(a, name)->set;
}

int64_t cli_int(const cli_args *a, const char *name, int64_t otherwise) {
    const cli_value *v = cli_get(a, name);
    return v->set ? v->integer : otherwise;
}

const char *cli_text(const cli_args *a, const char *name, const char *otherwise) {
    const cli_value *v = cli_get(a, name);
    return v->set ? v->text : otherwise;
}
