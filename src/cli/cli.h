/* The command line: one table of commands, from which everything that describes them is
 * generated (--help, the man page, completions, docs/cli.md), and one file per command.
 *
 * A command gets parsed arguments and returns an exit code. The answer goes to stdout through
 * out_*, which notices when nobody can read it; everything else goes to stderr. One thread.
 *
 *     static const cli_option options[] = {{"json", 0, CLI_FLAG, NULL, "print JSON", 0, 0}, {0}};
 *     const cli_command cmd_thing = {.name = "thing", .options = options, .run = run, ...};
 *     static int run(const cli_args *a) { if (cli_flag(a, "json")) ... }
 */
#ifndef HEARTH_CLI_H
#define HEARTH_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* ---- the table ----
 *
 * A name of two words, "key create", is a command of a group; the group itself, "key", has no run,
 * or, like "cost", one of its own for when no word of the group follows.
 *
 * A command with `config` takes what its command line leaves open from the environment, then from
 * the configuration file: its section is named so, its names are the options' names, its variables
 * HEARTH_<SECTION>_<OPTION> (settings.h). Such a command's flags can be undone by --no-NAME. It has
 * nothing to do for it but to name the section and to have CLI_CONFIG_OPTION among its options.
 */

typedef enum cli_kind {
    CLI_FLAG,  /* no value */
    CLI_INT,   /* whole number from min to max */
    CLI_MAYBE, /* the same, or nothing: then min */
    CLI_U64,   /* any unsigned 64-bit number */
    CLI_REAL,  /* number from min to max */
    CLI_TEXT,
    CLI_LIST,  /* text, may be given several times */
    CLI_FILE,  /* text, a path */
    CLI_CHOICE /* one of the words of arg, "f16|q8|f32" */
} cli_kind;

typedef struct cli_option {
    const char *name; /* without dashes; NULL when there is only a letter */
    char letter;      /* 0: none */
    cli_kind kind;
    const char *arg;  /* how help calls the value */
    const char *help; /* one line, lower case, no full stop */
    double min, max;
} cli_option;

#define CLI_MAX_OPTIONS 64

#define CLI_CONFIG_OPTION                                                                          \
    { "config", 0, CLI_FILE, "FILE", "settings from FILE instead of hearth.toml", 0, 0 }

typedef enum cli_source {
    CLI_FROM_NOWHERE, /* not set: the command's own default */
    CLI_FROM_ARGS,
    CLI_FROM_ENVIRONMENT,
    CLI_FROM_FILE
} cli_source;

typedef struct cli_value {
    bool set;
    int64_t integer;
    uint64_t u64;
    double real;
    const char *text;
    const char **list; /* n_list items and a NULL; owned by the cli_args */
    int n_list;
    cli_source source; /* also of a flag that was switched off */
    const char *where; /* "HEARTH_SERVE_THREADS" or "hearth.toml:12"; NULL for others */
} cli_value;

typedef struct cli_args cli_args;

typedef struct cli_command {
    const char *name;
    const char *summary;  /* one line */
    const char *args;     /* of the usage line: "MODEL [TEXT]" */
    const char *about;    /* paragraphs, separated by \n\n; wrapped where printed */
    const char *examples; /* lines */
    const char *complete; /* what a first argument may be: "model", "command", words, or NULL */
    const cli_option *options, *more_options; /* each ends with {0}; may be NULL */
    int min_args, max_args;                   /* max -1: any number */
    int (*run)(const cli_args *a);            /* NULL: a group and nothing else */
    const char *config; /* its section of the configuration file; NULL: it reads none */
} cli_command;

struct cli_args {
    const cli_command *command;
    cli_value value[CLI_MAX_OPTIONS]; /* in the order of options, then more_options */
    const char **arg;                 /* positional, NULL-terminated */
    int n_args;
    struct settings *settings; /* what values from elsewhere point into; NULL: none */
};

extern const cli_command *const cli_commands[]; /* NULL-terminated */
const cli_command *cli_command_find(const char *name);
/* Whether c is a command of this group: its name is "<group> <word>". */
bool cli_command_in(const cli_command *c, const cli_command *group);
bool cli_command_is_group(const cli_command *c);    /* there is a command in it */
const char *cli_command_word(const cli_command *c); /* its name, without the group's */
/* The i-th option of a command over both lists; NULL past the end. */
const cli_option *cli_option_at(const cli_command *c, int i);

/* ---- arguments (args.c) ---- */

/* On a mistake writes one line and returns false. "--help" sets *help. */
bool cli_args_parse(cli_args *a, const cli_command *c, int argc, char **argv, bool *help, err *e);
void cli_args_deinit(cli_args *a);
/* By name or by letter; the option must be in the table. */
const cli_value *cli_get(const cli_args *a, const char *name);
bool cli_flag(const cli_args *a, const char *name);
int64_t cli_int(const cli_args *a, const char *name, int64_t otherwise);
const char *cli_text(const cli_args *a, const char *name, const char *otherwise);
/* Reads one value as its kind says; also used by /set. */
bool cli_value_read(cli_value *v, const cli_option *o, const char *what, const char *text, err *e);
/* "1,2 3" to ids; *ids by free. */
bool cli_ids_read(const char *text, int32_t **ids, size_t *n, err *e);
/* The candidate nearest to word (edit distance), or NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t n);

/* ---- output (out.c) ---- */

void out_init(void);
void out_write(const void *p, size_t n);
void out_puts(const char *s);
void out_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void out_buf(const buf *b); /* nothing of one that has failed: then the exit code says so */
void out_json(buf *b);      /* the whole of it as a line, and frees it */
void out_flush(void);
bool out_broken(void); /* a write has failed: there is no use in going on */
/* Flushes; gives the exit code of the process: `code`, or 1 when something could not be written. */
int out_finish(int code);
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* one line on stderr */
int cli_fail(const err *e); /* says it on stderr, returns the exit code */
bool out_is_terminal(void);
#define PLURAL(n) ((n) == 1 ? "" : "s") /* "%d token%s" */
bool err_is_terminal(void);
bool in_is_terminal(void);
bool out_has_color(void); /* a terminal, and NO_COLOR is not set */
int terminal_width(void); /* of stdout, else of stderr; 80 where unknown */
/* Bytes as a person reads them, "1.2 GB"; into dst. Returns dst. */
char *human_bytes(uint64_t n, char *dst, size_t cap);
char *human_count(uint64_t n, char *dst, size_t cap); /* "1,234,567" */

/* ---- Ctrl-C (interrupt.c) ---- */

void interrupt_end_process(void); /* the next one ends the process with 130 (how it begins) */
void interrupt_remember(void); /* the next one is remembered; a third in a row ends the process */
bool interrupt_seen(void);
/* Readable once Ctrl-C has been pressed while it is remembered; -1 where there is none. */
int interrupt_fd(void);
void interrupt_clear(void);

/* ---- help (help.c, completion.c) ---- */

void help_all(void);
void help_command(const cli_command *c);
void help_man(void);
void help_markdown(void);
bool completion_print(const char *shell); /* false: not one of bash, zsh, fish */

#endif
