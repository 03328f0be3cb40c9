/* Completion for bash, zsh and fish, made from the table of commands. */
#include <stdio.h>

#include "cli/cli.h"

static bool takes_value(const cli_option *o) {
    return o->kind != CLI_FLAG && o->kind != CLI_MAYBE;
}

/* Where an option's value comes from: words, files, or anything. */
static bool takes_files(const cli_option *o) {
    return o->kind == CLI_FILE;
}

static void put_choices(const char *choices) {
    for (; *choices; choices++) out_printf("%c", *choices == '|' ? ' ' : *choices);
}

/* Of a group, or those of one word. */
static void put_names(const cli_command *group) {
    const char *separator = "";
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (group ? !cli_command_in(*c, group) : strchr((*c)->name, ' ') != NULL) continue;
        out_printf("%s%s", separator, cli_command_word(*c));
        separator = " ";
    }
}

static bool first_is(const cli_command *c, const char *what) {
    return c->run && c->complete && strcmp(c->complete, what) == 0;
}

/* What may stand first after a command: "model", "command", a group's commands, or words. */
static void put_first(const cli_command *c, const char *model) {
    if (cli_command_is_group(c)) put_names(c);
    else if (first_is(c, "command")) put_names(NULL);
    else if (c->complete) out_puts(first_is(c, "model") ? model : c->complete);
}

/* ---- bash ---- */

static void bash_command(const cli_command *c) {
    const cli_option *o;
    out_printf("    '%s')\n        case $prev in\n", c->name);
    for (int i = 0; (o = cli_option_at(c, i)); i++) {
        if (!takes_value(o)) continue;
        out_puts("        ");
        if (o->letter) out_printf("-%c%s", o->letter, o->name ? "|" : ")");
        if (o->name) out_printf("--%s)", o->name);
        if (o->kind == CLI_CHOICE) {
            out_puts(" COMPREPLY=($(compgen -W '");
            put_choices(o->arg);
            out_puts("' -- \"$cur\")); return ;;\n");
        } else if (takes_files(o)) {
            out_puts(" COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
        } else {
            out_puts(" return ;;\n");
        }
    }
    out_puts("        esac\n        words='");
    for (int i = 0; (o = cli_option_at(c, i)); i++)
        if (o->name) out_printf("--%s ", o->name);
    out_puts("--help'\n        first='");
    put_first(c, "bard");
    out_puts("' ;;\n");
}

/* "hearth key create": the first two words are the command. */
static void bash_groups(void) {
    out_puts("    local command=${COMP_WORDS[1]}\n    case $command in\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (cli_command_is_group(*c)) {
            out_printf("    %s) [ \"$COMP_CWORD\" -gt 2 ] && [[ \" ", (*c)->name);
            put_names(*c);
            out_printf(" \" == *\" ${COMP_WORDS[2]} \"* ]] && command=\"%s ${COMP_WORDS[2]}\" ;;\n",
                       (*c)->name);
        }
    out_puts("    esac\n");
}

static void bash(void) {
    out_puts("# bash completion for hearth\n"
             "_hearth() {\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' "
             "first=''\n"
             "    COMPREPLY=()\n"
             "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
             "        COMPREPLY=($(compgen -W '");
    put_names(NULL);
    out_puts(" --help --version' -- \"$cur\"))\n"
             "        return\n"
             "    fi\n");
    bash_groups();
    out_puts("    case $command in\n");
    for (const cli_command *const *c = cli_commands; *c; c++) bash_command(*c);
    out_puts(
        "    *) return ;;\n"
        "    esac\n"
        "    case $cur in\n"
        "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
        "    *) COMPREPLY=($(compgen -W \"$first\" -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n"
        "    esac\n"
        "}\n"
        "complete -o filenames -F _hearth hearth\n");
}

/* ---- zsh ---- */

/* Text inside '...[...]...' of _arguments. */
static void put_zsh(const char *s) {
    for (; *s; s++) {
        if (*s == '\'') out_puts("'\\''");
        else if (strchr("[]:\\", *s)) out_printf("\\%c", *s);
        else out_write(s, 1);
    }
}

static void zsh_spec(const cli_option *o, const char *dashes, const char *name) {
    out_printf(" \\\n            '%s%s%s[", o->kind == CLI_LIST ? "*" : "", dashes, name);
    put_zsh(o->help);
    out_puts("]");
    if (takes_value(o)) {
        out_puts(":");
        put_zsh(o->kind == CLI_CHOICE ? "value" : o->arg);
        out_puts(":");
        if (o->kind == CLI_CHOICE) {
            out_puts("(");
            put_choices(o->arg);
            out_puts(")");
        } else if (takes_files(o)) {
            out_puts("_files");
        }
    }
    out_puts("'");
}

static void zsh_command(const cli_command *c) {
    const cli_option *o;
    out_printf("        '%s')\n            _arguments -s", c->name);
    for (int i = 0; (o = cli_option_at(c, i)); i++) {
        char letter[2] = {o->letter, 0};
        if (o->letter) zsh_spec(o, "-", letter);
        if (o->name) zsh_spec(o, "--", o->name);
    }
    out_puts(" \\\n            '(-h --help)'{-h,--help}'[this text]' \\\n            ");
    if (first_is(c, "model")) {
        out_puts("'1:model:_files -g \"*.gguf\"' '*:text:_files'");
    } else {
        out_puts("'1:word:(");
        put_first(c, "");
        out_puts(")'");
    }
    out_puts(" ;;\n");
}

static void zsh_groups(void) {
    out_puts("    case $command in\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (cli_command_is_group(*c)) {
            out_printf("        %s) if (( CURRENT > 2 )) && [[ \" ", (*c)->name);
            put_names(*c);
            out_printf(" \" == *\" $words[2] \"* ]]; then\n"
                       "            command=\"%s $words[2]\"\n"
                       "            words=(\"hearth $command\" \"${(@)words[3,-1]}\")\n"
                       "            (( CURRENT -= 1 ))\n"
                       "        fi ;;\n",
                       (*c)->name);
        }
    out_puts("    esac\n");
}

static void zsh(void) {
    out_puts("#compdef hearth\n"
             "# zsh completion for hearth\n"
             "_hearth() {\n"
             "    local -a commands\n"
             "    commands=(\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (strchr((*c)->name, ' ')) continue;
        out_printf("        '%s:", (*c)->name);
        put_zsh((*c)->summary);
        out_puts("'\n");
    }
    out_puts("    )\n"
             "    if (( CURRENT == 2 )); then\n"
             "        _describe command commands\n"
             "        return\n"
             "    fi\n"
             "    local command=$words[2]\n"
             "    words=(\"hearth $command\" \"${(@)words[3,-1]}\")\n"
             "    (( CURRENT -= 1 ))\n");
    zsh_groups();
    out_puts("    case $command in\n");
    for (const cli_command *const *c = cli_commands; *c; c++) zsh_command(*c);
    out_puts("    esac\n"
             "}\n"
             "if [ \"$funcstack[1]\" = _hearth ]; then\n"
             "    _hearth \"$@\"\n"
             "elif (( $+functions[compdef] )); then\n"
             "    compdef _hearth hearth\n"
             "fi\n");
}

/* ---- fish ---- */

static void put_fish(const char *s) {
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\') out_puts("\\");
        out_write(s, 1);
    }
}

/* The condition that this command has been typed: both words of one in a group. */
static void fish_when(const cli_command *c) {
    int n = (int)strcspn(c->name, " ");
    out_printf("complete -c hearth -n '__fish_seen_subcommand_from %.*s", n, c->name);
    if (c->name[n]) out_printf("; and __fish_seen_subcommand_from %s", cli_command_word(c));
    out_puts("'");
}

static void fish_option(const cli_command *c, const cli_option *o) {
    fish_when(c);
    if (o->letter) out_printf(" -s %c", o->letter);
    if (o->name) out_printf(" -l %s", o->name);
    if (takes_value(o)) out_puts(takes_files(o) ? " -r -F" : " -x");
    if (o->kind == CLI_CHOICE) {
        out_puts(" -a '");
        put_choices(o->arg);
        out_puts("'");
    }
    out_puts(" -d '");
    put_fish(o->help);
    out_puts("'\n");
}

static void fish_command(const cli_command *c) {
    const cli_option *o;
    if (first_is(c, "model")) {
        fish_when(c);
        out_puts(" -F -a bard\n");
    } else if (cli_command_is_group(c) || (c->complete && *c->complete)) {
        fish_when(c);
        out_puts(" -a '");
        put_first(c, "");
        out_puts("'\n");
    }
    fish_when(c);
    out_puts(" -s h -l help -d 'this text'\n");
    for (int i = 0; (o = cli_option_at(c, i)); i++) fish_option(c, o);
}

static void fish(void) {
    out_puts("# fish completion for hearth\n"
             "complete -c hearth -f\n");
    for (const cli_command *const *c = cli_commands; *c; c++) {
        if (strchr((*c)->name, ' ')) continue;
        out_printf("complete -c hearth -n __fish_use_subcommand -a %s -d '", (*c)->name);
        put_fish((*c)->summary);
        out_puts("'\n");
    }
    for (const cli_command *const *c = cli_commands; *c; c++) fish_command(*c);
}

bool completion_print(const char *shell) {
    if (strcmp(shell, "bash") == 0) bash();
    else if (strcmp(shell, "zsh") == 0) zsh();
    else if (strcmp(shell, "fish") == 0) fish();
    else return false;
    return true;
}
