#include "base/config.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"

typedef struct reader {
    const char *p, *end;
    int line;
    const char *name; /* of the file, for messages */
    config *c;
    size_t cap_items, cap_sections;
    err *e;
} reader;

/* Always false. */
static bool complain(const reader *r, int line, const char *what) {
    return err_set(r->e, ERR_USAGE, "%s:%d: %s", r->name, line, what);
}

static bool complain_about(const reader *r, int line, str word, const char *what) {
    char shown[80], all[160];
    snprintf(all, sizeof all, "\"%s\" %s", str_printable(word, shown, sizeof shown), what);
    return complain(r, line, all);
}

static bool no_memory(const reader *r) {
    return complain(r, r->line, "too much for a configuration");
}

/* ---- characters ---- */

static bool at(const reader *r, char c) {
    return r->p < r->end && *r->p == c;
}

static void skip_blanks(reader *r) {
    while (at(r, ' ') || at(r, '\t')) r->p++;
}

static void skip_comment(reader *r) {
    if (at(r, '#'))
        while (r->p < r->end && *r->p != '\n') r->p++;
}

/* The end of a line, with what may stand before it. */
static bool skip_line_end(reader *r) {
    skip_blanks(r);
    skip_comment(r);
    if (r->p + 1 < r->end && r->p[0] == '\r' && r->p[1] == '\n') r->p++;
    if (r->p == r->end) return true;
    if (*r->p != '\n') return false;
    r->p++;
    r->line++;
    return true;
}

/* The whole text is UTF-8 without control characters but tabs and line ends. */
static bool check_bytes(reader *r, str text) {
    int line = 1;
    for (size_t i = 0; i < text.n;) {
        uint32_t cp;
        int k = utf8_decode(text.p + i, text.n - i, &cp);
        if (k <= 0) return complain(r, line, "bytes that are not UTF-8");
        bool line_end = cp == '\n' || (cp == '\r' && i + 1 < text.n && text.p[i + 1] == '\n');
        if ((cp < 0x20 && cp != '\t' && !line_end) || cp == 0x7f)
            return complain(r, line, "a control character");
        line += cp == '\n';
        i += (size_t)k;
    }
    return true;
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* A name of a section or setting; NULL with a message. */
static const char *read_name(reader *r, const char *what) {
    const char *from = r->p;
    while (r->p < r->end && name_char(*r->p)) r->p++;
    str name = {from, (size_t)(r->p - from)};
    if (name.n == 0) {
        complain(r, r->line, what);
        return NULL;
    }
    char *s = arena_strdup(r->c->memory, name);
    if (!s) no_memory(r);
    return s;
}

/* ---- values ---- */

static bool hex_escape(reader *r, int digits, buf *b) {
    uint32_t cp = 0;
    for (int i = 0; i < digits; i++) {
        char c = r->p < r->end ? *r->p : 0;
        uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
        if (d == 16) return complain(r, r->line, "\\u needs 4 hexadecimal digits, \\U needs 8");
        cp = cp << 4 | d;
        r->p++;
    }
    if (cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        return complain(r, r->line, "no such character");
    char utf8[4];
    buf_append(b, utf8, (size_t)utf8_encode(cp, utf8));
    return true;
}

static bool read_escape(reader *r, buf *b) {
    static const char names[] = "btnfr\"\\", means[] = "\b\t\n\f\r\"\\";
    r->p++;
    char c = r->p < r->end ? *r->p++ : 0;
    const char *known = c ? strchr(names, c) : NULL;
    if (known) return buf_putc(b, means[known - names]) || no_memory(r);
    if (c == 'u') return hex_escape(r, 4, b);
    if (c == 'U') return hex_escape(r, 8, b);
    return complain(r, r->line, "no such escape: write \\\\ for a backslash, or use single quotes");
}

static bool read_quoted(reader *r, config_value *v) {
    char quote = *r->p++;
    if (r->end - r->p >= 2 && r->p[0] == quote && r->p[1] == quote)
        return complain(r, r->line, "texts of several lines are not understood here");
    buf b;
    buf_init(&b, LIMIT_CONFIG_BYTES);
    bool ok = true;
    while (ok && r->p < r->end && *r->p != quote && *r->p != '\n') {
        if (quote == '"' && *r->p == '\\') ok = read_escape(r, &b);
        else buf_putc(&b, *r->p++);
    }
    if (ok && !at(r, quote)) ok = complain(r, r->line, "the quote is not closed");
    r->p += ok;
    v->kind = CONFIG_TEXT;
    v->text = ok && !b.failed ? arena_strdup(r->c->memory, buf_str(&b)) : NULL;
    if (ok && !v->text) ok = no_memory(r);
    buf_deinit(&b);
    return ok;
}

static bool digit(const char *p, const char *end) {
    return p < end && *p >= '0' && *p <= '9';
}

/* Digits with single underscores between them. */
static const char *skip_digits(const char *p, const char *end) {
    if (!digit(p, end)) return NULL;
    while (digit(p, end) || (p < end && *p == '_' && digit(p - 1, end) && digit(p + 1, end))) p++;
    return p;
}

/* TOML's decimal integers and floats. */
static bool is_number(str w) {
    const char *p = w.p, *end = w.p + w.n;
    if (p < end && (*p == '+' || *p == '-')) p++;
    if (p + 1 < end && *p == '0' && (digit(p + 1, end) || p[1] == '_')) return false;
    p = skip_digits(p, end);
    if (p && p < end && *p == '.') p = skip_digits(p + 1, end);
    if (p && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        p = skip_digits(p, end);
    }
    return p == end;
}

static bool read_word(reader *r, config_value *v) {
    const char *from = r->p;
    while (r->p < r->end && (name_char(*r->p) || *r->p == '.' || *r->p == '+' || *r->p == ':'))
        r->p++;
    str w = {from, (size_t)(r->p - from)};
    if (w.n == 0) return complain(r, r->line, "a value is missing");
    bool number = is_number(w);
    if (!number && !str_eq(w, STR("true")) && !str_eq(w, STR("false")))
        return complain_about(r, r->line, w,
                              "is neither a number nor true or false; text stands in quotes");
    v->kind = number ? CONFIG_NUMBER : CONFIG_BOOL;
    char *text = arena_alloc(r->c->memory, w.n + 1), *to = text;
    if (!text) return no_memory(r);
    for (size_t i = w.p[0] == '+'; i < w.n; i++)
        if (w.p[i] != '_') *to++ = w.p[i];
    v->text = text;
    return true;
}

static bool read_scalar(reader *r, config_value *v) {
    v->line = r->line;
    if (at(r, '"') || at(r, '\'')) return read_quoted(r, v);
    if (at(r, '[')) return complain(r, r->line, "an array inside an array is not understood here");
    if (at(r, '{')) return complain(r, r->line, "tables in braces are not understood here");
    return read_word(r, v);
}

/* Blanks, comments and line ends between the items of an array. */
static void skip_space(reader *r) {
    for (;;) {
        const char *p = r->p;
        if (!skip_line_end(r) || r->p == p) return;
    }
}

static bool add_value(reader *r, config_item *item, size_t *cap, const config_value *v) {
    if (item->n_values == *cap) {
        size_t more = *cap ? 2 * *cap : 4;
        config_value *values = arena_calloc(r->c->memory, more, sizeof *values);
        if (!values) return no_memory(r);
        if (*cap) memcpy(values, item->value, *cap * sizeof *values);
        item->value = values;
        *cap = more;
    }
    item->value[item->n_values++] = *v;
    return true;
}

static bool read_array(reader *r, config_item *item) {
    size_t cap = 0;
    item->array = true;
    r->p++;
    for (;;) {
        config_value v = {0};
        skip_space(r);
        if (at(r, ']')) break;
        if (r->p == r->end) return complain(r, item->line, "the array is not closed");
        if (!read_scalar(r, &v) || !add_value(r, item, &cap, &v)) return false;
        skip_space(r);
        if (r->p == r->end) return complain(r, item->line, "the array is not closed");
        if (at(r, ',')) r->p++;
        else if (!at(r, ']')) return complain(r, r->line, "a comma or ] is missing in the array");
    }
    r->p++;
    return true;
}

/* ---- lines ---- */

/* Room for one more in a list that lives in the arena; the old one is given up with it. */
static void *grow(reader *r, void *list, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return list;
    size_t more = *cap ? 2 * *cap : 16;
    void *p = arena_calloc(r->c->memory, more, size);
    if (!p) {
        no_memory(r);
        return NULL;
    }
    if (n > 0) memcpy(p, list, n * size);
    *cap = more;
    return p;
}

static bool read_section(reader *r) {
    config *c = r->c;
    r->p++;
    if (at(r, '[')) return complain(r, r->line, "[[...]] is not understood here");
    skip_blanks(r);
    const char *name = read_name(r, "a section's name is letters, digits, - and _");
    if (!name) return false;
    skip_blanks(r);
    if (!at(r, ']')) return complain(r, r->line, "] is missing after the section's name");
    r->p++;
    for (size_t i = 0; i < c->n_sections; i++)
        if (strcmp(c->section[i], name) == 0)
            return complain_about(r, r->line, str_of(name), "is a section that was there before");
    size_t cap = r->cap_sections;
    c->section = grow(r, c->section, c->n_sections, &r->cap_sections, sizeof *c->section);
    if (c->section)
        c->section_line = grow(r, c->section_line, c->n_sections, &cap, sizeof *c->section_line);
    if (!c->section || !c->section_line) return false;
    c->section[c->n_sections] = name;
    c->section_line[c->n_sections++] = r->line;
    return true;
}

static bool read_setting(reader *r) {
    config *c = r->c;
    config_item item = {.line = r->line, .section = ""};
    if (c->n_sections > 0) item.section = c->section[c->n_sections - 1];
    if (at(r, '"') || at(r, '\'')) return complain(r, r->line, "names stand without quotes");
    item.name = read_name(r, "a line is [section], name = value, or # comment");
    if (!item.name) return false;
    skip_blanks(r);
    if (!at(r, '='))
        return complain_about(r, r->line, str_of(item.name), "must be followed by = and a value");
    r->p++;
    skip_blanks(r);
    if (config_find(c, item.section, item.name))
        return complain_about(r, r->line, str_of(item.name), "was set before in this section");
    config_value v = {0};
    size_t cap = 0;
    if (at(r, '[') ? !read_array(r, &item) : !read_scalar(r, &v) || !add_value(r, &item, &cap, &v))
        return false;
    if (c->n_items == LIMIT_CONFIG_ITEMS) return no_memory(r);
    c->item = grow(r, c->item, c->n_items, &r->cap_items, sizeof *c->item);
    if (!c->item) return false;
    c->item[c->n_items++] = item;
    return true;
}

static bool read_lines(reader *r) {
    while (r->p < r->end) {
        skip_blanks(r);
        const char *p = r->p;
        int line = r->line;
        if (skip_line_end(r)) continue;
        r->p = p;
        r->line = line;
        if (!(at(r, '[') ? read_section(r) : read_setting(r))) return false;
        if (!skip_line_end(r))
            return complain(r, r->line, "something follows where the line should end");
    }
    return true;
}

bool config_parse(config *c, str text, const char *name, err *e) {
    *c = (config){.memory = arena_new(LIMIT_CONFIG_BYTES * 64)};
    reader r = {.p = text.p, .end = text.p + text.n, .line = 1, .name = name, .c = c, .e = e};
    bool ok = c->memory ? true : no_memory(&r);
    if (ok && text.n > LIMIT_CONFIG_BYTES) ok = complain(&r, 1, "too large for a configuration");
    ok = ok && check_bytes(&r, text) && read_lines(&r);
    if (!ok) config_deinit(c);
    return ok;
}

void config_deinit(config *c) {
    arena_free(c->memory);
    *c = (config){0};
}

const config_item *config_find(const config *c, const char *section, const char *name) {
    for (size_t i = 0; i < c->n_items; i++)
        if (strcmp(c->item[i].section, section) == 0 && strcmp(c->item[i].name, name) == 0)
            return &c->item[i];
    return NULL;
}
