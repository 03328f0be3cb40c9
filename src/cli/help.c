/* What describes the commands, made from the table: --help, the man page, docs/cli.md. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "hearth.h"

static const char about[] = "Hearth runs language models on your own machine. `hearth run` opens a "
                            "chat with the small model that "
                            "comes with it; `hearth run FILE.gguf` does the same with a model of "
                            "yours. Nothing leaves the machine.";

static const struct {
    int code;
    const char *means;
} exit_codes[] = {
    {0, "all went well"},
    {1, "failed, or the output could not be written"},
    {2, "the command line makes no sense"},
    {3, "no such file, model or command"},
    {4, "no server answers"},
    {5, "not allowed"},
    {6, "does not fit: memory or context is too small; the message says both sizes"},
    {7, "a damaged file; the message says where"},
    {130, "interrupted by Ctrl-C"},
};

static const struct {
    const char *name, *means;
} environment[] = {
    {"HEARTH_HOME", "where Hearth keeps its state (default ~/.local/share/hearth)"},
    {"HEARTH_CONFIG", "the configuration file (default hearth.toml in HEARTH_HOME)"},
    {"HEARTH_SERVE_LISTEN", "an option of hearth serve; and so for each setting of hearth config"},
    {"HEARTH_THREADS", "number of threads where none is given"},
    {"HEARTH_CPU", "kernels to use instead of the best ones of this CPU"},
    {"HEARTH_LOG", "error, warn, info or debug: how much is told on stderr"},
    {"NO_COLOR", "when set, no colours and no rendered Markdown"},
    {"VISUAL, EDITOR", "what /edit opens"},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- plain text ---- */

/* Words of text wrapped at `width`, each line after the first indented; the first starts at column
 * `indent` already. */
static void put_wrapped(const char *text, int indent, int width) {
    int col = indent;
    for (const char *p = text; *p;) {
        if (p[0] == '\n' && p[1] == '\n') {
            out_printf("\n\n%*s", indent, "");
            col = indent;
            p += 2;
            continue;
        }
        if (*p == ' ' || *p == '\n') {
            p++;
            continue;
        }
        int n = (int)strcspn(p, " \n");
        if (col > indent && col + 1 + n > width) {
            out_printf("\n%*s", indent, "");
            col = indent;
        } else if (col > indent) {
            out_puts(" ");
            col++;
        }
        out_write(p, (size_t)n);
        col += n;
        p += n;
    }
    out_puts("\n");
}

/* "-n, --max-tokens N" */
static void option_label(const cli_option *o, char *dst, size_t cap) {
    const char *arg = o->kind == CLI_FLAG ? "" : o->arg;
    int k = 0;
    if (o->letter && o->name) k = snprintf(dst, cap, "-%c, --%s", o->letter, o->name);
    else if (o->letter) k = snprintf(dst, cap, "-%c", o->letter);
    else k = snprintf(dst, cap, "    --%s", o->name);
    if (*arg && k > 0 && (size_t)k < cap) snprintf(dst + k, cap - (size_t)k, " %s", arg);
}

static void put_group(const cli_command *group) {
    out_puts("\ncommands:\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (cli_command_in(*c, group)) out_printf("  %-26s %s\n", (*c)->name, (*c)->summary);
}

void help_command(const cli_command *c) {
    int width = terminal_width() < 100 ? terminal_width() : 100;
    if (width < 60) width = 60;
    out_printf("hearth %s: %s\n\nusage: hearth %s [OPTIONS]%s%s\n\n", c->name, c->summary, c->name,
               *c->args ? " " : "", c->args);
    put_wrapped(c->about, 0, width);
    if (cli_command_is_group(c)) put_group(c);
    out_puts("\noptions:\n");
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(c, i)); i++) {
        char label[64];
        option_label(o, label, sizeof label);
        int k = (int)strlen(label);
        out_printf("  %s%*s", label, k < 27 ? 27 - k : 0, "");
        if (k >= 27) out_printf("\n%29s", "");
        put_wrapped(o->help, 29, width);
    }
    out_printf("  %-27s%s\n", "-h, --help", "this text");
    if (c->examples) out_printf("\nexamples:\n%s\n", c->examples);
}

/* Which command begins a part of the list. */
static const struct {
    const cli_command *first;
    const char *heading;
} parts[] = {
    {&cmd_run, "Talk to models, and serve them"},
    {&cmd_pull, "Get models"},
    {&cmd_list, "The models that are here"},
    {&cmd_key, "Who uses this machine, and what it costs"},
    {&cmd_tokenize, "Look into a model"},
    {&cmd_quantize, "Make it smaller, measure it"},
    {&cmd_config, "Hearth itself"},
};

void help_all(void) {
    out_printf("Hearth %s: language models on your own machine\n\nusage: hearth COMMAND [OPTIONS] "
               "[ARGUMENTS]\n\n",
               HEARTH_VERSION);
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (strchr((*c)->name, ' ')) continue;
        for (size_t i = 0; i < COUNT(parts); i++)
            if (parts[i].first == *c) out_printf("%s%s:\n", i ? "\n" : "", parts[i].heading);
        out_printf("  %-12s %s\n", (*c)->name, (*c)->summary);
    }
    out_puts(
        "\nhearth COMMAND --help tells its options, hearth help --man prints the manual page.\n"
        "Begin with: hearth run\n");
}

/* ---- roff ---- */

static void put_roff(const char *s) {
    bool line_start = true;
    for (; *s; s++) {
        if (line_start && (*s == '.' || *s == '\'')) out_puts("\\&");
        line_start = *s == '\n';
        if (*s == '-') out_puts("\\-");
        else if (*s == '\\') out_puts("\\e");
        else if (s[0] == '\n' && s[1] == '\n') out_puts("\n.PP\n"), s++, line_start = true;
        else out_write(s, 1);
    }
}

static void roff_option(const cli_option *o) {
    out_puts(".TP\n.B ");
    if (o->letter) out_printf("\\-%c%s", o->letter, o->name ? ", " : "");
    if (o->name) {
        out_puts("\\-\\-");
        put_roff(o->name);
    }
    if (o->kind != CLI_FLAG) {
        out_puts(" \\fI");
        put_roff(o->arg);
        out_puts("\\fR");
    }
    out_puts("\n");
    put_roff(o->help);
    out_puts("\n");
}

static void roff_command(const cli_command *c) {
    out_printf(".SS hearth %s\n.B hearth %s\n[\\fIOPTIONS\\fR] ", c->name, c->name);
    put_roff(c->args);
    out_puts("\n.PP\n");
    put_roff(c->about);
    out_puts("\n");
    const cli_option *o;
    for (int i = 0; (o = cli_option_at(c, i)); i++) roff_option(o);
    if (c->examples) {
        out_puts(".PP\nExamples:\n.PP\n.nf\n");
        put_roff(c->examples);
        out_puts("\n.fi\n");
    }
}

void help_man(void) {
    out_printf(".TH HEARTH 1 \"\" \"Hearth %s\" \"User Commands\"\n.SH NAME\nhearth \\- run "
               "language models on "
               "your own machine\n.SH SYNOPSIS\n.B hearth\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR] "
               "[\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n",
               HEARTH_VERSION);
    put_roff(about);
    out_puts("\n.PP\nThe answer alone is written to standard output, everything else to standard "
             "error.\n"
             ".SH COMMANDS\n");
    for (const cli_command *const *c = cli_commands; *c; c++) roff_command(*c);
    out_puts(".SH EXIT STATUS\n");
    for (size_t i = 0; i < COUNT(exit_codes); i++)
        out_printf(".TP\n.B %d\n%s\n", exit_codes[i].code, exit_codes[i].means);
    out_puts(".SH ENVIRONMENT\n");
    for (size_t i = 0; i < COUNT(environment); i++) {
        out_printf(".TP\n.B %s\n", environment[i].name);
        put_roff(environment[i].means);
        out_puts("\n");
    }
}

/* ---- Markdown ---- */

static void put_cell(const char *s) {
    for (; *s; s++) out_printf(*s == '|' ? "\\|" : "%c", *s);
}

void help_markdown(void) {
    out_puts("# The command line\n\nWritten by `hearth help --markdown` from the table of "
             "commands.\n\n");
    out_printf("%s\n\nThe answer alone is written to stdout, everything else to stderr.\n\n",
               about);
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (strchr((*c)->name, ' '))
            out_printf("  - [hearth %s](#hearth-%.*s-%s): %s\n", (*c)->name,
                       (int)strcspn((*c)->name, " "), (*c)->name, cli_command_word(*c),
                       (*c)->summary);
        else out_printf("- [hearth %s](#hearth-%s): %s\n", (*c)->name, (*c)->name, (*c)->summary);
    for (const cli_command *const *c = cli_commands; *c; c++) {
        out_printf(
            "\n## hearth %s\n\n    hearth %s [OPTIONS]%s%s\n\n%s\n\n| option | |\n|---|---|\n",
            (*c)->name, (*c)->name, *(*c)->args ? " " : "", (*c)->args, (*c)->about);
        const cli_option *o;
        for (int i = 0; (o = cli_option_at(*c, i)); i++) {
            char label[64];
            option_label(o, label, sizeof label);
            out_puts("| `");
            put_cell(label + strspn(label, " "));
            out_puts("` | ");
            put_cell(o->help);
            out_puts(" |\n");
        }
        out_puts("| `-h, --help` | what this command does |\n");
        if ((*c)->examples) out_printf("\n```sh\n%s\n```\n", (*c)->examples);
    }
    out_puts("\n## Exit codes\n\n| code | |\n|---|---|\n");
    for (size_t i = 0; i < COUNT(exit_codes); i++)
        out_printf("| %d | %s |\n", exit_codes[i].code, exit_codes[i].means);
    out_puts("\n## Environment\n\n| variable | |\n|---|---|\n");
    for (size_t i = 0; i < COUNT(environment); i++)
        out_printf("| `%s` | %s |\n", environment[i].name, environment[i].means);
}
