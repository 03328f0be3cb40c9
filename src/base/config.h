/* The language of the configuration file: the part of TOML that settings need, so that any file
 * which is read here means the same to any TOML reader. A file is lines:
 *
 *     # a comment
 *     [serve]                                   names are letters, digits, - and _
 *     listen = ["127.0.0.1:11434", "[::1]:11434"]   an array may span lines; a last comma is fine
 *     threads = 4                               decimal numbers, 1_000 too
 *     require-key = true
 *     tls-cert = '/etc/hearth/cert.pem'         no escapes between single quotes
 *
 * Refused, with the number of the line: everything else, a name or section that comes twice, bytes
 * that are not UTF-8. Nothing is guessed. One thread.
 *
 *     config c;
 *     if (!config_parse(&c, text, "hearth.toml", &e)) ...
 *     const config_item *i = config_find(&c, "serve", "listen");
 *     config_deinit(&c);
 */
#ifndef HEARTH_BASE_CONFIG_H
#define HEARTH_BASE_CONFIG_H

#include "base/arena.h"
#include "base/err.h"

typedef enum config_kind { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_BOOL } config_kind;

typedef struct config_value {
    config_kind kind;
    const char *text; /* without quotes and escapes; a number without _; "true" or "false" */
    int line;
} config_value;

typedef struct config_item {
    const char *section, *name; /* section "": before the first */
    config_value *value;        /* [n_values] */
    size_t n_values;            /* not an array: 1 */
    bool array;
    int line;
} config_item;

typedef struct config {
    arena *memory;
    config_item *item; /* in the order of the file */
    size_t n_items;
    const char **section; /* in the order of the file */
    int *section_line;
    size_t n_sections;
} config;

/* `name` is how messages call the file. On an error nothing is left to free. */
bool config_parse(config *c, str text, const char *name, err *e);
void config_deinit(config *c);
const config_item *config_find(const config *c, const char *section, const char *name);

#endif
