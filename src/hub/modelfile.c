#include "hub/modelfile.h"

#include <stdlib.h>
#include <strings.h>

#include "base/limits.h"

static const char *const words[] = {"FROM",     "PARAMETER", "TEMPLATE", "SYSTEM",
                                    "ADAPTER",  "LICENSE",   "MESSAGE",  "DRAFT",
                                    "RENDERER", "PARSER",    "REQUIRES"};

typedef struct reader {
    str text;
    size_t at;
    int line; /* of `at` */
    err *e;
} reader;

static bool bad(reader *r, int line, const char *why, str what) {
    char shown[80];
    return err_set(r->e, ERR_USAGE, "line %d: %s%s%s%s", line, why, what.n ? ": \"" : "",
                   what.n ? str_printable(what, shown, sizeof shown) : "", what.n ? "\"" : "");
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(reader *r) {
    while (r->at < r->text.n && is_blank(r->text.p[r->at])) r->at++;
}

static str word_read(reader *r) {
    size_t from = r->at;
    while (r->at < r->text.n && !is_blank(r->text.p[r->at]) && r->text.p[r->at] != '\n') r->at++;
    return (str){r->text.p + from, r->at - from};
}

/* The rest of the line, without its end; past it. */
static str line_read(reader *r) {
    size_t from = r->at;
    while (r->at < r->text.n && r->text.p[r->at] != '\n') r->at++;
    str s = {r->text.p + from, r->at - from};
    if (r->at < r->text.n) r->at++, r->line++;
    return s;
}

/* A quoted value ends where a line ends with its quotes, as Ollama has it. */
static bool quoted_read(reader *r, str quotes, str *out) {
    int begun = r->line;
    size_t from = r->at + quotes.n;
    r->at = from;
    while (r->at < r->text.n) {
        size_t line_from = r->at;
        str s = line_read(r);
        while (s.n && is_blank(s.p[s.n - 1])) s.n--;
        if (line_from == from ? str_ends(s, quotes)
                              : str_ends(s, quotes) && s.p + s.n - quotes.n >= r->text.p + from) {
            *out = (str){r->text.p + from, (size_t)(s.p + s.n - quotes.n - (r->text.p + from))};
            return true;
        }
    }
    return bad(r, begun, "the quotes that begin here do not end", (str){"", 0});
}

static bool value_read(reader *r, str *out) {
    str rest = {r->text.p + r->at, r->text.n - r->at};
    if (str_starts(rest, STR("\"\"\""))) return quoted_read(r, STR("\"\"\""), out);
    if (str_starts(rest, STR("\""))) return quoted_read(r, STR("\""), out);
    *out = str_trim(line_read(r));
    return true;
}

static bool line_add(reader *r, hub_modelfile *m, size_t *cap, const hub_line *l) {
    if (m->n >= LIMIT_MODELFILE_LINES) return bad(r, l->line, "too many commands", (str){"", 0});
    if (m->n == *cap) {
        size_t more_cap = *cap ? 2 * *cap : 16;
        hub_line *more = realloc(m->line, more_cap * sizeof *more);
        if (!more) return err_set(r->e, ERR_NO_FIT, "out of memory");
        m->line = more;
        *cap = more_cap;
    }
    m->line[m->n++] = *l;
    return true;
}

static bool role_ok(str s) {
    return str_eq(s, STR("system")) || str_eq(s, STR("user")) || str_eq(s, STR("assistant"));
}

static bool command_read(reader *r, hub_modelfile *m, size_t *cap) {
    hub_line l = {.line = r->line};
    str word = word_read(r), name = {"", 0}, value;
    size_t c = 0;
    while (c < sizeof words / sizeof *words &&
           !(strlen(words[c]) == word.n && strncasecmp(words[c], word.p, word.n) == 0))
        c++;
    if (c == sizeof words / sizeof *words)
        return bad(r, l.line, "no command of a Modelfile (FROM, PARAMETER, ...)", word);
    l.command = (hub_command)c;
    skip_blanks(r);
    if (l.command == HUB_PARAMETER || l.command == HUB_MESSAGE) {
        name = word_read(r);
        skip_blanks(r);
        if (name.n == 0) return bad(r, l.line, "something is missing after", word);
        if (l.command == HUB_MESSAGE && !role_ok(name))
            return bad(r, l.line, "a message is by system, user or assistant, not by", name);
    }
    if (!value_read(r, &value)) return false;
    if (value.n == 0 && l.command != HUB_SYSTEM && l.command != HUB_TEMPLATE &&
        l.command != HUB_MESSAGE && l.command != HUB_LICENSE)
        return bad(r, l.line, "something is missing after", word);
    if (memchr(value.p, 0, value.n) || memchr(name.p, 0, name.n))
        return bad(r, l.line, "no text: it holds a NUL", (str){"", 0});
    l.value = strndup(value.p, value.n);
    l.name = name.n ? strndup(name.p, name.n) : NULL;
    bool ok = l.value && (l.name || !name.n) ? line_add(r, m, cap, &l)
                                             : err_set(r->e, ERR_NO_FIT, "out of memory");
    if (!ok) {
        free(l.value);
        free(l.name);
    }
    return ok;
}

bool hub_modelfile_parse(hub_modelfile *m, str text, err *e) {
    reader r = {.text = text, .line = 1, .e = e};
    size_t cap = 0;
    bool ok = true;
    *m = (hub_modelfile){0};
    if (text.n > LIMIT_MODELFILE_BYTES)
        return err_set(e, ERR_NO_FIT, "a Modelfile of %zu bytes; at most %u are read", text.n,
                       LIMIT_MODELFILE_BYTES);
    if (str_starts(text, STR("\xef\xbb\xbf"))) r.at = 3;
    while (ok && r.at < text.n) {
        skip_blanks(&r);
        if (r.at == text.n) break;
        if (text.p[r.at] == '\n') r.at++, r.line++;
        else if (text.p[r.at] == '#') line_read(&r);
        else ok = command_read(&r, m, &cap);
    }
    if (ok && !hub_modelfile_value(m, HUB_FROM))
        ok = err_set(e, ERR_USAGE, "it has no FROM: what is the model made of?");
    if (!ok) hub_modelfile_deinit(m);
    return ok;
}

void hub_modelfile_deinit(hub_modelfile *m) {
    for (size_t i = 0; i < m->n; i++) {
        free(m->line[i].name);
        free(m->line[i].value);
    }
    free(m->line);
    *m = (hub_modelfile){0};
}

const char *hub_modelfile_value(const hub_modelfile *m, hub_command c) {
    for (size_t i = m->n; i-- > 0;)
        if (m->line[i].command == c) return m->line[i].value;
    return NULL;
}

/* Whether no line inside the value ends with the quotes, where the reader would stop. */
static bool holds(const char *value, str quotes) {
    size_t n = strlen(value), from = 0;
    for (size_t i = 0; i < n; i++) {
        if (value[i] != '\n') continue;
        str line = {value + from, i - from};
        while (line.n && is_blank(line.p[line.n - 1])) line.n--;
        if (str_ends(line, quotes)) return false;
        from = i + 1;
    }
    return true;
}

bool hub_modelfile_write(buf *out, hub_command c, const char *name, const char *value) {
    const str triple = STR("\"\"\""), single = STR("\"");
    str v = str_of(value), quotes = {"", 0};
    bool plain = v.n && !strchr(value, '\n') && !strchr(value, '\r') && v.p[0] != '"' &&
                 str_trim(v).n == v.n;
    if (c == HUB_PARAMETER && v.n && v.p[0] != '"' && plain) {
        /* numbers and words as they are; texts in quotes, as people write stop words */
        double number;
        plain = str_to_f64(v, &number) || str_eq(v, STR("true")) || str_eq(v, STR("false"));
    }
    if (!plain) {
        /* """ before a quote that begins the value would make four: the reader takes the first
         * three, so that is fine; a value that begins with "" in single quotes would not be */
        if (c == HUB_PARAMETER && !strchr(value, '"') && !strchr(value, '\n')) quotes = single;
        else if (holds(value, triple)) quotes = triple;
        else if (holds(value, single) && v.p[0] != '"') quotes = single;
        else return false;
    }
    buf_puts(out, words[c]);
    buf_putc(out, ' ');
    if (name) buf_puts(out, name), buf_putc(out, ' ');
    buf_put_str(out, quotes);
    buf_put_str(out, v);
    buf_put_str(out, quotes);
    buf_putc(out, '\n');
    return true;
}
