#include "base/csv.h"

#include "base/limits.h"

typedef struct reader {
    str text;
    size_t at;
    int line;
    const char *name; /* of the file */
    buf field;
} reader;

/* One field into r->field; *last is whether its record ends here. */
static bool read_field(reader *r, bool *last, err *e) {
    buf_clear(&r->field);
    str t = r->text;
    bool quoted = r->at < t.n && t.p[r->at] == '"';
    int began = r->line;
    if (quoted) {
        for (r->at++;; r->at++) {
            if (r->at >= t.n)
                return err_set(e, ERR_DAMAGED, "%s:%d: a quote is never closed", r->name, began);
            char c = t.p[r->at];
            if (c == '"' && r->at + 1 < t.n && t.p[r->at + 1] == '"') r->at++;
            else if (c == '"') break;
            if (c == '\n') r->line++;
            buf_putc(&r->field, c);
        }
        r->at++;
    }
    while (r->at < t.n && t.p[r->at] != ',' && t.p[r->at] != '\n') {
        char c = t.p[r->at++];
        if (c == '\0') return err_set(e, ERR_DAMAGED, "%s:%d: a NUL byte", r->name, r->line);
        if (quoted && c != '\r' && c != ' ')
            return err_set(e, ERR_DAMAGED, "%s:%d: text after a closed quote", r->name, r->line);
        if (!quoted) buf_putc(&r->field, c);
    }
    *last = r->at >= t.n || t.p[r->at] == '\n';
    if (*last) r->line++;
    r->at++;
    if (r->field.failed || memchr(r->field.data ? r->field.data : "", 0, r->field.len))
        return err_set(e, ERR_DAMAGED, "%s:%d: a field is longer than %u bytes, or has a NUL",
                       r->name, began, LIMIT_CSV_FIELD);
    return true;
}

/* One record: at most LIMIT_CSV_COLUMNS fields into cell. */
static bool read_record(reader *r, csv *c, const char **cell, size_t *n, err *e) {
    bool last = false;
    for (*n = 0; !last;) {
        int line = r->line;
        if (*n == LIMIT_CSV_COLUMNS)
            return err_set(e, ERR_DAMAGED, "%s:%d: more than %d fields", r->name, line,
                           LIMIT_CSV_COLUMNS);
        if (!read_field(r, &last, e)) return false;
        cell[*n] = arena_strdup(c->memory, str_trim(buf_str(&r->field)));
        if (!cell[(*n)++]) return err_set(e, ERR_NO_FIT, "%s: too large to be read", r->name);
    }
    return true;
}

static bool blank_line(reader *r) {
    size_t end = r->at;
    while (end < r->text.n && r->text.p[end] != '\n') end++;
    if (str_trim((str){r->text.p + r->at, end - r->at}).n > 0) return false;
    r->at = end + 1;
    r->line++;
    return true;
}

static bool read_rows(csv *c, reader *r, err *e) {
    const char *cell[LIMIT_CSV_COLUMNS];
    size_t n, cap = 1;
    for (size_t i = 0; i < r->text.n; i++) cap += r->text.p[i] == '\n';
    if (!read_record(r, c, cell, &c->n_columns, e)) return false;
    size_t width = c->n_columns * sizeof *cell;
    c->name = arena_alloc(c->memory, width);
    c->cell = arena_calloc(c->memory, cap, sizeof *c->cell);
    c->line = arena_calloc(c->memory, cap, sizeof *c->line);
    if (!c->name || !c->cell || !c->line)
        return err_set(e, ERR_NO_FIT, "%s: too large to be read", r->name);
    memcpy(c->name, cell, width);
    while (r->at < r->text.n) {
        if (blank_line(r)) continue;
        int line = r->line;
        if (!read_record(r, c, cell, &n, e)) return false;
        if (n != c->n_columns)
            return err_set(e, ERR_DAMAGED, "%s:%d: %zu fields; the first line has %zu", r->name,
                           line, n, c->n_columns);
        const char **row = arena_alloc(c->memory, width);
        if (!row) return err_set(e, ERR_NO_FIT, "%s: too large to be read", r->name);
        memcpy(row, cell, width);
        c->cell[c->n_rows] = row;
        c->line[c->n_rows++] = line;
    }
    return true;
}

bool csv_read(csv *c, str text, const char *name, err *e) {
    reader r = {.text = text, .line = 1, .name = name};
    buf_init(&r.field, LIMIT_CSV_FIELD);
    *c = (csv){.memory = arena_new(LIMIT_CSV_MEMORY)};
    if (str_starts(text, STR("\xEF\xBB\xBF"))) r.at = 3; /* a mark that spreadsheets put in front */
    bool ok = c->memory ? read_rows(c, &r, e) : err_set(e, ERR_FAILED, "out of memory");
    buf_deinit(&r.field);
    if (!ok) csv_deinit(c);
    return ok;
}

void csv_deinit(csv *c) {
    arena_free(c->memory);
    *c = (csv){0};
}

int csv_column(const csv *c, const char *name) {
    for (size_t i = 0; i < c->n_columns; i++)
        if (strcmp(c->name[i], name) == 0) return (int)i;
    return -1;
}

const char *csv_cell(const csv *c, size_t row, int column) {
    return column < 0 ? "" : c->cell[row][column];
}

void csv_write(buf *b, const char *field, bool last_of_the_row) {
    bool quote = field[strcspn(field, ",\"\r\n")] != '\0';
    if (quote) buf_putc(b, '"');
    for (const char *p = field; *p; p++) {
        if (*p == '"') buf_putc(b, '"');
        buf_putc(b, *p);
    }
    if (quote) buf_putc(b, '"');
    buf_putc(b, last_of_the_row ? '\n' : ',');
}
