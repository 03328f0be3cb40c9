#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "cli/cli.h"

#define MAX_COLUMNS 16

struct table {
    size_t n_columns, n_cells;
    bool right[MAX_COLUMNS];
    size_t *begin; /* [n_cells] of each cell in text */
    size_t cap;
    buf text; /* cells, each with a NUL; the headings are the first row */
    bool failed;
};

static void add(table *t, const char *cell) {
    char shown[600];
    str_printable(str_of(cell), shown, sizeof shown); /* names come from people */
    if (t->n_cells == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 64;
        size_t *more = realloc(t->begin, cap * sizeof *more);
        t->failed = t->failed || !more;
        if (!more) return;
        t->begin = more;
        t->cap = cap;
    }
    t->begin[t->n_cells++] = t->text.len;
    if (!buf_append(&t->text, shown, strlen(shown) + 1)) t->failed = true;
}

table *table_new(const char *columns) {
    table *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    buf_init(&t->text, 64u << 20);
    for (const char *p = columns; t->n_columns < MAX_COLUMNS;) { /* also an empty one at the end */
        char name[64];
        size_t n = strcspn(p, "|");
        bool right = *p == '>';
        snprintf(name, sizeof name, "%.*s", (int)(n - right), p + right);
        t->right[t->n_columns++] = right;
        add(t, name);
        if (!p[n]) break;
        p += n + 1;
    }
    return t;
}

void table_cell(table *t, const char *fmt, ...) {
    char cell[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cell, sizeof cell, fmt, ap);
    va_end(ap);
    if (t && !t->failed) add(t, cell);
}

static size_t columns_of(const char *s) {
    size_t sum = 0, n = strlen(s);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int k = utf8_decode(s + i, n - i, &cp);
        sum += k > 0 ? (size_t)utf8proc_charwidth((int32_t)cp) : 1;
        i += k > 0 ? (size_t)k : 1;
    }
    return sum;
}

static const char *cell_at(const table *t, size_t i) {
    return t->text.data + t->begin[i];
}

/* width[n_columns] of the columns. */
static void measure(const table *t, size_t *width) {
    memset(width, 0, t->n_columns * sizeof *width);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t w = columns_of(cell_at(t, i));
        if (w > width[i % t->n_columns]) width[i % t->n_columns] = w;
    }
}

size_t table_width(const table *t) {
    size_t width[MAX_COLUMNS], sum = 0;
    if (!t || t->failed) return 0;
    measure(t, width);
    for (size_t c = 0; c < t->n_columns; c++) sum += width[c] + (c > 0 ? 2 : 0);
    return sum;
}

void table_print(const table *t) {
    size_t width[MAX_COLUMNS];
    if (!t || t->failed) {
        note("hearth: out of memory");
        return;
    }
    measure(t, width);
    size_t owed = 0; /* blanks before the next cell: none stand at a line's end */
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t c = i % t->n_columns, pad = width[c] - columns_of(cell_at(t, i));
        bool heading = i < t->n_columns && out_has_color(), shown = cell_at(t, i)[0] != '\0';
        if (t->right[c]) owed += pad;
        if (shown) {
            out_printf("%*s%s%s%s", (int)owed, "", heading ? "\x1b[1m" : "", cell_at(t, i),
                       heading ? "\x1b[0m" : "");
            owed = 0;
        }
        if (!t->right[c]) owed += pad;
        owed += 2;
        if (c + 1 < t->n_columns) continue;
        out_puts("\n");
        owed = 0;
    }
}

void table_free(table *t) {
    if (!t) return;
    free(t->begin);
    buf_deinit(&t->text);
    free(t);
}
