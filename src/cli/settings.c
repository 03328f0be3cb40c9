#include "cli/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/limits.h"

#define MEMORY (1u << 22)

struct settings {
    char path[SETTINGS_PATH_BYTES];
    bool found;
    config file;   /* empty when not found */
    arena *memory; /* of texts that are made here */
};

void settings_free(settings *s) {
    if (!s) return;
    config_deinit(&s->file);
    arena_free(s->memory);
    free(s);
}

const char *settings_path(const settings *s) {
    return s->path;
}

bool settings_found(const settings *s) {
    return s->found;
}

bool settings_concern(const cli_option *o) {
    return o->name && strcmp(o->name, "config") != 0;
}

/* ---- the file ---- */

static const char *named_file(const char *given) {
    const char *variable = getenv("HEARTH_CONFIG");
    return given ? given : variable && *variable ? variable : NULL;
}

bool settings_find(const char *given, char path[SETTINGS_PATH_BYTES], err *e) {
    const char *named = named_file(given), *home = named ? NULL : file_home();
    int k = 0;
    path[0] = 0;
    if (named) k = snprintf(path, SETTINGS_PATH_BYTES, "%s", named);
    else if (home) k = snprintf(path, SETTINGS_PATH_BYTES, "%s/hearth.toml", home);
    if (k >= 0 && k < SETTINGS_PATH_BYTES) return true;
    return err_set(e, ERR_USAGE, "the path of the configuration is too long");
}

static bool read_file(settings *s, bool must_be, err *e) {
    if (!s->path[0] || (!must_be && access(s->path, F_OK) != 0)) return true;
    char shown[200];
    buf text;
    buf_init(&text, LIMIT_CONFIG_BYTES);
    bool ok = file_read(&text, s->path, e) &&
              config_parse(&s->file, buf_str(&text),
                           str_printable(str_of(s->path), shown, sizeof shown), e);
    s->found = ok;
    buf_deinit(&text);
    return ok;
}

settings *settings_open(const char *given, err *e) {
    settings *s = calloc(1, sizeof *s);
    if (s && (s->memory = arena_new(MEMORY)) && settings_find(given, s->path, e) &&
        read_file(s, named_file(given) != NULL, e))
        return s;
    if (!s || !s->memory) err_set(e, ERR_FAILED, "out of memory");
    settings_free(s);
    return NULL;
}

/* ---- one value ---- */

static bool no_memory(err *e) {
    return err_set(e, ERR_NO_FIT, "too much for a configuration");
}

/* true and false, and what people write for them in the environment. */
static bool read_bool(const char *text, bool *out) {
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        *out = strcmp(text, yes[i]) == 0;
        if (*out || strcmp(text, no[i]) == 0) return true;
    }
    return false;
}

static bool read_flag(cli_value *v, const char *what, const char *text, err *e) {
    char shown[80];
    if (read_bool(text, &v->set)) return true;
    return err_set(e, ERR_USAGE, "%s: \"%s\" is neither true nor false", what,
                   str_printable(str_of(text), shown, sizeof shown));
}

static bool item_flag(cli_value *v, const cli_option *o, const char *what, const config_value *c,
                      err *e) {
    if (c->kind != CONFIG_BOOL)
        return err_set(e, ERR_USAGE, "%s: is switched by true or false", what);
    v->set = strcmp(c->text, "true") == 0;
    if (o->kind == CLI_MAYBE) v->integer = (int64_t)o->min;
    return true;
}

static bool item_values(cli_value *v, const cli_option *o, const char *what,
                        const config_item *item, err *e) {
    if (item->array && o->kind != CLI_LIST)
        return err_set(e, ERR_USAGE, "%s: takes one value, not an array", what);
    for (size_t i = 0; i < item->n_values; i++) {
        const config_value *c = &item->value[i];
        if (o->kind == CLI_FLAG || (o->kind == CLI_MAYBE && c->kind == CONFIG_BOOL)) {
            if (!item_flag(v, o, what, c, e)) return false;
        } else if (c->kind == CONFIG_BOOL) {
            return err_set(e, ERR_USAGE, "%s: takes a value (%s), not true or false", what, o->arg);
        } else if (!cli_value_read(v, o, what, c->text, e)) {
            return false;
        }
    }
    return true;
}

static bool from_file(settings *s, cli_value *v, const cli_option *o, const config_item *item,
                      err *e) {
    char shown[200], where[260], what[400];
    const char *slash = strrchr(s->path, '/');
    snprintf(where, sizeof where, "%s:%d",
             str_printable(str_of(slash ? slash + 1 : s->path), shown, sizeof shown), item->line);
    snprintf(what, sizeof what, "%s:%d: %s", str_printable(str_of(s->path), shown, sizeof shown),
             item->line, item->name);
    v->source = CLI_FROM_FILE;
    v->where = arena_strdup(s->memory, str_of(where));
    return v->where ? item_values(v, o, what, item, e) : no_memory(e);
}

/* ---- the environment ---- */

char *settings_variable(const cli_command *c, const cli_option *o, char *dst) {
    snprintf(dst, 128, "HEARTH_%s_%s", c->config, o->name);
    for (char *p = dst; *p; p++) {
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
        else if (*p == '-' || *p == ' ') *p = '_';
    }
    return dst;
}

static bool read_listed(settings *s, cli_value *v, const cli_option *o, const char *what,
                        const char *text, err *e) {
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        str one = str_trim((str){p, n});
        const char *copy = one.n ? arena_strdup(s->memory, one) : NULL;
        if (one.n && !copy) return no_memory(e);
        if (copy && !cli_value_read(v, o, what, copy, e)) return false;
        p += n + (p[n] == ',');
    }
    return true;
}

static bool from_environment(settings *s, cli_value *v, const cli_option *o, const char *name,
                             const char *text, err *e) {
    v->source = CLI_FROM_ENVIRONMENT;
    v->where = arena_strdup(s->memory, str_of(name));
    if (!v->where) return no_memory(e);
    if (o->kind == CLI_FLAG) return read_flag(v, name, text, e);
    if (o->kind == CLI_LIST) return read_listed(s, v, o, name, text, e);
    return cli_value_read(v, o, name, text, e);
}

/* ---- what the file may say ---- */

static const cli_option *option_of(const cli_command *c, const char *name) {
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (settings_concern(o) && strcmp(o->name, name) == 0) return o;
    return NULL;
}

static bool unknown_name(const settings *s, const cli_command *c, const config_item *item, err *e) {
    const char *names[CLI_MAX_OPTIONS];
    size_t n = 0;
    const cli_option *o;
    char shown[200];
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (settings_concern(o)) names[n++] = o->name;
    const char *near = cli_nearest(item->name, names, n);
    str_printable(str_of(s->path), shown, sizeof shown);
    if (near)
        return err_set(e, ERR_USAGE, "%s:%d: [%s] has no \"%s\": did you mean \"%s\"?", shown,
                       item->line, c->config, item->name, near);
    return err_set(e, ERR_USAGE, "%s:%d: [%s] has no \"%s\" (hearth config lists what it has)",
                   shown, item->line, c->config, item->name);
}

/* Only this command's section: a mistake in another's is not a reason to refuse this one. */
static bool check_names(const settings *s, const cli_command *c, err *e) {
    for (size_t i = 0; i < s->file.n_items; i++) {
        const config_item *item = &s->file.item[i];
        if (strcmp(item->section, c->config) == 0 && !option_of(c, item->name))
            return unknown_name(s, c, item, e);
    }
    return true;
}

static bool fill(settings *s, cli_args *a, err *e) {
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(a->command, i)); i++) {
        if (!settings_concern(o) || a->value[i].source != CLI_FROM_NOWHERE) continue;
        char name[128];
        const char *text = getenv(settings_variable(a->command, o, name));
        const config_item *item = config_find(&s->file, a->command->config, o->name);
        if (text && *text) {
            if (!from_environment(s, &a->value[i], o, name, text, e)) return false;
        } else if (item && !from_file(s, &a->value[i], o, item, e)) {
            return false;
        }
    }
    return true;
}

static const cli_command *command_of(const char *section) {
    for (const cli_command *const *c = cli_commands; *c; c++)
        if ((*c)->config && strcmp((*c)->config, section) == 0) return *c;
    return NULL;
}

static bool unknown_section(const settings *s, const char *section, int line, err *e) {
    const char *names[32];
    size_t n = 0;
    char shown[200];
    for (const cli_command *const *c = cli_commands; *c && n < 32; c++)
        if ((*c)->config) names[n++] = (*c)->config;
    const char *near = cli_nearest(section, names, n);
    str_printable(str_of(s->path), shown, sizeof shown);
    if (near)
        return err_set(e, ERR_USAGE, "%s:%d: there is no section [%s]: did you mean [%s]?", shown,
                       line, section, near);
    return err_set(e, ERR_USAGE, "%s:%d: there is no section [%s]", shown, line, section);
}

static bool check_sections(const settings *s, err *e) {
    char shown[200];
    for (size_t i = 0; i < s->file.n_sections; i++)
        if (!command_of(s->file.section[i]))
            return unknown_section(s, s->file.section[i], s->file.section_line[i], e);
    if (s->file.n_items == 0 || s->file.item->section[0]) return true;
    return err_set(e, ERR_USAGE, "%s:%d: \"%s\" stands before the first [section]",
                   str_printable(str_of(s->path), shown, sizeof shown), s->file.item->line,
                   s->file.item->name);
}

/* ---- all of a command's ---- */

bool settings_apply(cli_args *a, err *e) {
    const cli_option *o;
    const char *file = NULL;
    for (int i = 0; (o = cli_option_at(a->command, i)); i++)
        if (o->name && strcmp(o->name, "config") == 0) file = a->value[i].text;
    return settings_apply_file(a, file, e);
}

bool settings_apply_file(cli_args *a, const char *given, err *e) {
    a->settings = settings_open(given, e);
    return a->settings && check_sections(a->settings, e) &&
           check_names(a->settings, a->command, e) && fill(a->settings, a, e);
}

bool settings_check(const settings *s, err *e) {
    if (!check_sections(s, e)) return false;
    for (const cli_command *const *c = cli_commands; *c; c++)
        if ((*c)->config && !check_names(s, *c, e)) return false;
    return true;
}
