/* Where options come from that the command line leaves open: first the environment
 * (HEARTH_<SECTION>_<OPTION>, in capitals, - as _, lists separated by commas), then the
 * configuration file. The file is the one of --config, else of HEARTH_CONFIG, else hearth.toml in
 * Hearth's folder, where its absence is no mistake; its language is that of base/config.h. A
 * section that no command has is a mistake, and a name that the command does not know, so that a
 * typing error is not an option that silently does nothing. One thread.
 */
#ifndef HEARTH_CLI_SETTINGS_H
#define HEARTH_CLI_SETTINGS_H

#include "base/config.h"
#include "cli/cli.h"

typedef struct settings settings;

/* Fills the options that have no value yet. The settings are a->settings then. */
bool settings_apply(cli_args *a, err *e);
/* The same with the file of --config; NULL: the usual one. */
bool settings_apply_file(cli_args *a, const char *file, err *e);
void settings_free(settings *s); /* NULL is fine */

/* For those who show the settings: the file's path as given or found, and whether it is there. */
#define SETTINGS_PATH_BYTES 4096
bool settings_find(const char *given, char path[SETTINGS_PATH_BYTES], err *e);
settings *settings_open(const char *given, err *e);
const char *settings_path(const settings *s);
bool settings_found(const settings *s);
/* Every section and name in the file is known, of all commands. */
bool settings_check(const settings *s, err *e);
/* "HEARTH_SERVE_THREADS"; dst has room for 128 bytes. Returns dst. */
char *settings_variable(const cli_command *c, const cli_option *o, char *dst);
/* Whether this option can come from elsewhere: it has a name and is not --config itself. */
bool settings_concern(const cli_option *o);

#endif
