/* The streaming Markdown renderer: three layers, each fed one character at a time.
 *
 *     block    what kind of line this is (heading, list, quote, fence, table row, text)
 *     inline   markers inside a line (emphasis, code, links)
 *     flow     words, wrapped at the width; styles become escape sequences only here
 */
#include "cli/md.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/buf.h"

enum { BOLD = 1, ITALIC = 2, CODE = 4, UNDER = 8, STRUCK = 16, DIM = 32 };
enum { STYLE_MARK = 1, MAX_LINK = 600, MAX_TABLE = 1 << 15, MAX_CELLS = 32, TAB = 4 };
enum { MAX_HELD = 1000 }; /* bytes of a line's beginning, or of a word, before it is let go */

typedef enum line_kind { LINE_OPEN, LINE_TEXT, LINE_CODE, LINE_SKIP, LINE_TABLE } line_kind;

struct md {
    md_put_fn put;
    void *ud;
    int width;
    bool markup;

    /* characters */
    char part[4]; /* an unfinished UTF-8 character */
    int n_part;

    /* block */
    line_kind kind;
    buf head; /* the line's beginning while its kind is open */
    bool in_fence;
    char fence_char;
    int fence_len;
    buf table; /* rows of a table that is not finished */
    int table_rows;
    bool after_text; /* the line before was text: a table needs no blank line, a rule does */

    /* inline */
    unsigned style; /* now */
    unsigned base;  /* of the whole line (a heading's) */
    char marker;    /* a run of markers that waits for what follows: * _ ~ ` or 0 */
    int n_marker;
    int code_len;     /* > 0: inside a code span opened by so many backticks */
    bool escaped;     /* a backslash came before */
    bool before_word; /* the character before the marker was part of a word */
    bool before_space;
    buf link;   /* from "[" on, while it may become a link */
    bool bang;  /* a "!" waits for "[" */
    bool image; /* it stood before the "[" of link */

    /* flow */
    buf word; /* characters and style marks since the last space */
    int word_width;
    int col;               /* columns written on this line */
    int spaces;            /* wanted before the next word */
    int indent;            /* columns that a wrapped line begins with, quote bars included */
    int quotes;            /* of which each takes two */
    unsigned shown;        /* style that the terminal has now */
    unsigned in_word;      /* style at the end of word */
    unsigned before_marks; /* and at its beginning */
};

/* ---- flow ---- */

static void emit(md *m, const char *p, size_t n) {
    if (n > 0) m->put(m->ud, p, n);
}

static void emit_spaces(md *m, int n) {
    for (; n > 0; n--) emit(m, " ", 1);
}

static void show_style(md *m, unsigned style) {
    if (m->shown == style || !m->markup) return;
    char s[40];
    int k = snprintf(s, sizeof s, "\033[0%s%s%s%s%s%sm", style & BOLD ? ";1" : "",
                     style & DIM ? ";2" : "", style & ITALIC ? ";3" : "", style & UNDER ? ";4" : "",
                     style & STRUCK ? ";9" : "", style & CODE ? ";36" : "");
    emit(m, s, (size_t)k);
    m->shown = style;
}

static void put_quote_bars(md *m) {
    for (int i = 0; i < m->quotes; i++) {
        show_style(m, DIM);
        emit(m, "\xe2\x94\x82 ", 4);
        m->col += 2;
    }
    show_style(m, 0);
}

static void new_line(md *m) {
    show_style(m, 0);
    emit(m, "\n", 1);
    m->col = 0;
    m->spaces = 0;
}

static void wrap(md *m) {
    new_line(m);
    put_quote_bars(m);
    emit_spaces(m, m->indent - 2 * m->quotes);
    m->col = m->indent;
}

static void put_word(md *m) {
    if (m->word.len == 0) return;
    if (m->word_width > 0) {
        if (m->col > m->indent && m->col + m->spaces + m->word_width > m->width) {
            wrap(m);
        } else {
            if (m->spaces > 0 && m->shown != 0 && m->shown != (unsigned char)m->in_word)
                show_style(m, 0);
            emit_spaces(m, m->spaces);
            m->col += m->spaces;
        }
        m->spaces = 0;
    }
    const char *p = m->word.data, *end = p + m->word.len;
    if (*p != STYLE_MARK) show_style(m, m->before_marks);
    m->before_marks = m->in_word;
    while (p < end) {
        if (*p == STYLE_MARK) {
            show_style(m, (unsigned char)p[1] - 2u);
            p += 2;
            continue;
        }
        const char *q = p;
        while (q < end && *q != STYLE_MARK) q++;
        emit(m, p, (size_t)(q - p));
        p = q;
    }
    m->col += m->word_width;
    buf_clear(&m->word);
    m->word_width = 0;
}

static int char_width(const char *p, int n) {
    utf8proc_int32_t cp = 0;
    if (utf8proc_iterate((const utf8proc_uint8_t *)p, n, &cp) < 0) return 1;
    int w = utf8proc_charwidth(cp);
    return w < 0 ? 0 : w;
}

/* One visible character in the present style. */
static void flow_char(md *m, const char *p, int n) {
    if (n == 1 && *p == ' ') {
        put_word(m);
        m->spaces++;
        return;
    }
    if (m->style != m->in_word) { /* marks are style + 2: never 0 and never STYLE_MARK itself */
        buf_putc(&m->word, STYLE_MARK);
        buf_putc(&m->word, (char)(m->style + 2));
        m->in_word = m->style;
    }
    int w = char_width(p, n);
    /* A word as long as the line is cut; between wide characters a line may always break. */
    bool full = m->word_width + w > m->width - m->indent || w == 2;
    if ((w > 0 && full && m->word_width > 0) || m->word.len > MAX_HELD) put_word(m);
    buf_append(&m->word, p, (size_t)n);
    m->word_width += w;
    if (w == 2) put_word(m);
}

static void flow_text(md *m, const char *s) {
    while (*s) {
        int n = utf8_len(s, strlen(s));
        if (n <= 0) n = 1;
        flow_char(m, s, n);
        s += n;
    }
}

/* ---- inline ---- */

static bool is_word_char(const char *p, int n) {
    unsigned char c = (unsigned char)*p;
    return n > 1 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static void literal(md *m, const char *p, int n) {
    m->before_word = is_word_char(p, n);
    m->before_space = n == 1 && *p == ' ';
    flow_char(m, p, n);
}

static void toggle(md *m, unsigned bits) {
    m->style ^= bits & ~m->base;
}

/* A run of markers has ended; the next character (n 0: the line's end) decides. */
static void settle_marker(md *m, const char *next, int n) {
    char c = m->marker;
    int k = m->n_marker;
    m->marker = 0;
    m->n_marker = 0;
    if (c == '`') {
        if (m->code_len == 0 && n > 0) {
            m->code_len = k;
            m->style |= CODE;
        } else if (m->code_len == k) {
            m->code_len = 0;
            m->style &= ~(unsigned)CODE;
        } else {
            for (int i = 0; i < k; i++) literal(m, "`", 1);
        }
        m->before_word = false;
        m->before_space = false;
        return;
    }
    bool space_after = n == 0 || (n == 1 && (*next == ' ' || *next == '\n'));
    bool word_after = n > 0 && is_word_char(next, n);
    unsigned bits = c == '~' ? (k == 2 ? STRUCK : 0u)
                    : k == 1 ? ITALIC
                    : k == 2 ? BOLD
                    : k == 3 ? BOLD | ITALIC
                             : 0u;
    bool open = bits && (m->style & bits & ~m->base) == bits;
    bool inside = m->before_word && word_after && (c == '_' || k == 1);
    bool acts = bits &&
                (open ? !m->before_space && !(c == '_' && inside) : !space_after && !inside);
    if (acts && c != '~' && k == 3 && !open && (m->style & bits & ~m->base)) acts = false;
    if (acts) {
        toggle(m, bits);
    } else {
        for (int i = 0; i < k; i++) literal(m, &c, 1);
    }
}

static void inline_char(md *m, const char *p, int n);

/* The held "[text](url)" or what only looked like one. */
static void settle_link(md *m, bool whole) {
    size_t n = m->link.len;
    char *s = buf_take(&m->link, NULL);
    buf_init(&m->link, MAX_LINK + 8);
    if (!s) return;
    char *close = whole ? strstr(s, "](") : NULL;
    if (close) {
        unsigned kept = m->style;
        s[n - 1] = 0;
        *close = 0;
        const char *url = close + 2;
        m->style |= UNDER;
        flow_text(m, s + 1);
        m->style = kept;
        if (strcmp(s + 1, url) != 0 && *url != '#') {
            m->style = kept | DIM;
            flow_text(m, *s == '[' && s[1] ? " (" : "(");
            flow_text(m, url);
            flow_text(m, ")");
            m->style = kept;
        }
        m->before_word = false;
        m->before_space = false;
    } else {
        if (m->image) literal(m, "!", 1);
        literal(m, "[", 1);
        for (size_t i = 1; i < n;) { /* the rest may hold markers of its own */
            int k = utf8_len(s + i, n - i);
            if (k <= 0) k = 1;
            inline_char(m, s + i, k);
            i += (size_t)k;
        }
    }
    free(s);
}

/* False when the character ended the attempt and is still to be handled. */
static bool link_char(md *m, const char *p, int n) {
    buf *b = &m->link;
    bool in_url = b->data && strstr(b->data, "](") != NULL;
    bool after_close = !in_url && b->len > 1 && b->data[b->len - 1] == ']';
    if ((after_close && *p != '(') || b->len + (size_t)n > MAX_LINK || (in_url && *p == ' ') ||
        (!in_url && *p == '[')) {
        settle_link(m, false);
        return false;
    }
    buf_append(b, p, (size_t)n);
    if (in_url && *p == ')') settle_link(m, true);
    return true;
}

static void inline_char(md *m, const char *p, int n) {
    if (m->link.len > 0 && link_char(m, p, n)) return;
    if (m->marker && n == 1 && *p == m->marker && !m->escaped) {
        m->n_marker++;
        return;
    }
    if (m->marker) settle_marker(m, p, n);
    if (m->escaped) {
        m->escaped = false;
        if (!(n == 1 && strchr("\\`*_{}[]()#+-.!~|<>", *p))) literal(m, "\\", 1);
        literal(m, p, n);
        return;
    }
    bool in_code = m->code_len > 0;
    bool image = m->bang && *p == '[';
    if (m->bang) {
        m->bang = false;
        if (*p != '[') literal(m, "!", 1);
    }
    if (n == 1 && (*p == '`' || (!in_code && (*p == '*' || *p == '_' || *p == '~')))) {
        m->marker = *p;
        m->n_marker = 1;
    } else if (!in_code && *p == '\\') {
        m->escaped = true;
    } else if (!in_code && *p == '!') {
        m->bang = true;
    } else if (!in_code && *p == '[') {
        buf_putc(&m->link, '[');
        m->image = image;
    } else {
        literal(m, p, n);
    }
}

/* The line ends: everything that waits is settled, no style goes on. */
static void inline_end(md *m) {
    if (m->link.len > 0) settle_link(m, false);
    if (m->marker) settle_marker(m, "\n", 0);
    if (m->escaped) literal(m, "\\", 1);
    if (m->bang) literal(m, "!", 1);
    m->escaped = m->bang = false;
    m->code_len = 0;
    m->style = m->base = 0;
    put_word(m);
    m->in_word = m->shown;
    m->before_word = false;
    m->before_space = true;
}

static void inline_text(md *m, const char *p, size_t n) {
    for (size_t i = 0; i < n;) {
        int k = utf8_len(p + i, n - i);
        if (k <= 0) k = 1;
        inline_char(m, p + i, k);
        i += (size_t)k;
    }
}

/* ---- tables ---- */

/* Splits a row at unescaped bars; the outer ones do not count. */
static int split_row(const char *p, size_t n, str *cell) {
    int k = 0;
    str row = str_trim((str){p, n});
    if (row.n > 0 && *row.p == '|') row.p++, row.n--;
    if (row.n > 0 && row.p[row.n - 1] == '|') row.n--;
    size_t from = 0;
    for (size_t i = 0; i <= row.n && k < MAX_CELLS; i++) {
        bool bar = i == row.n || (row.p[i] == '|' && (i == 0 || row.p[i - 1] != '\\'));
        if (!bar) continue;
        cell[k++] = str_trim((str){row.p + from, i - from});
        from = i + 1;
    }
    return k;
}

static bool is_rule_row(const char *p, size_t n) {
    bool dash = false;
    for (size_t i = 0; i < n; i++) {
        if (!strchr("|-: \t", p[i])) return false;
        dash = dash || p[i] == '-';
    }
    return dash;
}

static void put_into_buf(void *ud, const char *p, size_t n) {
    buf_append(ud, p, n);
}

/* A cell as it will look; returns its columns. */
static int render_cell(str cell, bool head, buf *out) {
    md *m = md_new(1 << 20, true, put_into_buf, out);
    if (!m) return 0;
    m->kind = LINE_TEXT;
    if (head) m->base = m->style = BOLD;
    inline_text(m, cell.p, cell.n);
    inline_end(m);
    int w = m->col;
    show_style(m, 0);
    md_free(m);
    return w;
}

static void put_row(md *m, const str *cell, int n, const int *width, int columns, bool head) {
    for (int i = 0; i < columns; i++) {
        buf b;
        buf_init(&b, 8 * MAX_TABLE);
        int w = i < n ? render_cell(cell[i], head, &b) : 0;
        emit(m, b.data ? b.data : "", b.len);
        if (i + 1 < columns) {
            emit_spaces(m, width[i] - w);
            show_style(m, DIM);
            emit(m, " \xe2\x94\x82 ", 5);
            show_style(m, 0);
        }
        buf_deinit(&b);
    }
    emit(m, "\n", 1);
}

static void put_rule_row(md *m, const int *width, int columns) {
    show_style(m, DIM);
    for (int i = 0; i < columns; i++) {
        for (int k = 0; k < width[i]; k++) emit(m, "\xe2\x94\x80", 3);
        if (i + 1 < columns) emit(m, "\xe2\x94\x80\xe2\x94\xbc\xe2\x94\x80", 9);
    }
    show_style(m, 0);
    emit(m, "\n", 1);
}

/* Too wide for the terminal: every row as a list of its cells. */
static void put_row_as_list(md *m, const str *head, int n_head, const str *cell, int n) {
    for (int i = 0; i < n; i++) {
        m->indent = 2;
        if (i < n_head && head[i].n > 0) {
            m->base = m->style = BOLD;
            inline_text(m, head[i].p, head[i].n);
            m->base = m->style = 0;
            flow_text(m, ": ");
        }
        inline_text(m, cell[i].p, cell[i].n);
        inline_end(m);
        new_line(m);
        m->indent = 0;
    }
    emit(m, "\n", 1);
}

static const char *next_row(const char *p, const char *end, size_t *n) {
    const char *q = memchr(p, '\n', (size_t)(end - p));
    *n = (size_t)((q ? q : end) - p);
    return q ? q + 1 : end;
}

static void put_table(md *m, const char *p, const char *end) {
    str head[MAX_CELLS], cell[MAX_CELLS];
    int width[MAX_CELLS] = {0}, columns = 0, total = 0, row = 0, n_head = 0;
    size_t n;
    for (const char *q = p; q < end; row++) {
        const char *start = q;
        q = next_row(q, end, &n);
        if (row == 1) continue;
        int k = split_row(start, n, cell);
        for (int i = 0; i < k; i++) {
            buf b;
            buf_init(&b, 8 * MAX_TABLE);
            int w = render_cell(cell[i], row == 0, &b);
            buf_deinit(&b);
            if (w > width[i]) width[i] = w;
        }
        if (k > columns) columns = k;
    }
    for (int i = 0; i < columns; i++) total += width[i] + (i ? 3 : 0);
    row = 0;
    for (const char *q = p; q < end; row++) {
        const char *start = q;
        q = next_row(q, end, &n);
        int k = split_row(start, n, row == 0 ? head : cell);
        if (row == 0) n_head = k;
        if (total > m->width) {
            if (row > 1) put_row_as_list(m, head, n_head, cell, k);
        } else if (row == 1) {
            put_rule_row(m, width, columns);
        } else {
            put_row(m, row == 0 ? head : cell, k, width, columns, row == 0);
        }
    }
}

/* What was held as a table is one, or was only text with bars. */
static void settle_table(md *m) {
    if (m->table_rows == 0) return;
    size_t n = m->table.len;
    char *s = buf_take(&m->table, NULL);
    buf_init(&m->table, MAX_TABLE + 8);
    int rows = m->table_rows;
    m->table_rows = 0;
    if (!s) return;
    const char *end = s + n;
    size_t first, second = 0;
    const char *q = next_row(s, end, &first);
    if (rows > 1) next_row(q, end, &second);
    if (rows > 1 && is_rule_row(q, second)) {
        put_table(m, s, end);
    } else {
        for (const char *p = s; p < end;) {
            size_t k;
            const char *start = p;
            p = next_row(p, end, &k);
            inline_text(m, start, k);
            inline_end(m);
            new_line(m);
        }
    }
    free(s);
}

/* ---- block ---- */

static void rule(md *m) {
    show_style(m, DIM);
    for (int i = 0; i < m->width - m->indent && i < 40; i++) emit(m, "\xe2\x94\x80", 3);
    show_style(m, 0);
    m->col += 1;
}

static int run_of(str s, char c) {
    int n = 0;
    while ((size_t)n < s.n && s.p[n] == c) n++;
    return n;
}

static str skip_spaces(str s, int *n) {
    *n = run_of(s, ' ');
    return (str){s.p + *n, s.n - (size_t)*n};
}

/* Whether the beginning of a line may still become c c c (fence or rule) when more arrives. */
static bool may_be_run(str s, char c) {
    return s.n > 0 && (size_t)run_of(s, c) == s.n;
}

static void begin_text(md *m, int spaces, const char *lead, int lead_width) {
    put_quote_bars(m);
    emit_spaces(m, spaces);
    m->col += spaces;
    if (lead_width > 0) {
        emit(m, lead, strlen(lead));
        emit(m, " ", 1);
        m->col += lead_width + 1;
    }
    m->indent = m->col;
    if (m->indent > m->width / 2) m->indent = 2 * m->quotes;
    m->kind = LINE_TEXT;
    m->before_space = true;
}

typedef enum verdict { WAIT, DONE, TEXT } verdict; /* TEXT: an ordinary line begins at *rest */

/* "- x", "* x", "+ x", "12. x", "12) x" */
static verdict list_head(md *m, str s, int spaces, bool complete, str *rest) {
    size_t digits = 0;
    while (digits < s.n && digits < 9 && s.p[digits] >= '0' && s.p[digits] <= '9') digits++;
    size_t mark = digits;
    if (digits > 0 && mark == s.n) return complete ? TEXT : WAIT;
    if (digits == 0 && !strchr("-*+", *s.p)) return TEXT;
    if (digits > 0 && s.p[mark] != '.' && s.p[mark] != ')') return TEXT;
    mark++;
    if (mark == s.n) return complete ? TEXT : WAIT;
    if (s.p[mark] != ' ') return TEXT;
    char lead[16];
    if (digits > 0) snprintf(lead, sizeof lead, "%.*s", (int)mark, s.p);
    else snprintf(lead, sizeof lead, "\xe2\x80\xa2");
    begin_text(m, spaces, lead, digits > 0 ? (int)mark : 1);
    *rest = (str){s.p + mark + 1, s.n - mark - 1};
    return DONE;
}

static verdict fence_head(md *m, str s, bool complete) {
    char c = *s.p;
    int n = run_of(s, c);
    if (n < 3 && (size_t)n < s.n) return TEXT;
    if (!complete)
        return c == '`' && (size_t)n < s.n && memchr(s.p + n, '`', s.n - (size_t)n) ? TEXT : WAIT;
    if (n < 3) return TEXT;
    m->in_fence = true;
    m->fence_char = c;
    m->fence_len = n;
    m->kind = LINE_SKIP;
    return DONE;
}

static verdict heading_head(md *m, str s, bool complete, str *rest) {
    int n = run_of(s, '#');
    if ((size_t)n == s.n) return complete || n > 6 ? TEXT : WAIT;
    if (n > 6 || s.p[n] != ' ') return TEXT;
    begin_text(m, 0, "", 0);
    m->base = m->style = n == 1 ? BOLD | UNDER : BOLD;
    *rest = (str){s.p + n + 1, s.n - (size_t)n - 1};
    return DONE;
}

/* Looks at the held beginning of a line; `complete`: the line ends here. */
static verdict classify(md *m, str s, bool complete, str *rest) {
    int spaces;
    m->quotes = 0;
    m->indent = 0;
    for (;;) {
        str inner = skip_spaces(s, &spaces);
        if (inner.n == 0 || *inner.p != '>' || 4 * (m->quotes + 1) > m->width) break;
        m->quotes++;
        s = (str){inner.p + 1, inner.n - 1};
        if (s.n > 0 && *s.p == ' ') s.p++, s.n--;
        m->indent = 2 * m->quotes;
    }
    s = skip_spaces(s, &spaces);
    *rest = s;
    if (s.n == 0 && !complete) return WAIT;
    if (s.n == 0) return TEXT;
    verdict v = TEXT;
    if (*s.p == '#') v = heading_head(m, s, complete, rest);
    if (*s.p == '`' || *s.p == '~') v = fence_head(m, s, complete);
    if (*s.p == '|' && m->quotes == 0) {
        m->kind = LINE_TABLE;
        return DONE;
    }
    if (strchr("-*_", *s.p) && may_be_run(s, *s.p)) {
        if (!complete) return WAIT;
        if (s.n >= 3) {
            put_quote_bars(m);
            rule(m);
            m->kind = LINE_SKIP;
            return DONE;
        }
    }
    if (v == TEXT && (strchr("-*+", *s.p) || (*s.p >= '0' && *s.p <= '9')))
        v = list_head(m, s, spaces, complete, rest);
    if (v == TEXT) {
        *rest = s;
        begin_text(m, spaces, "", 0);
    }
    return v;
}

/* Code stands at the margin, so that it can be copied. */
static void code_text(md *m, const char *p, int n) {
    m->col = 1;
    show_style(m, CODE);
    emit(m, p, (size_t)n);
}

/* Inside a fence: the line is held while it may be the closing one. */
static void code_char(md *m, const char *p, int n) {
    if (m->kind == LINE_CODE) {
        code_text(m, p, n);
        return;
    }
    buf_append(&m->head, p, (size_t)n);
    int spaces;
    str s = skip_spaces(buf_str(&m->head), &spaces);
    if (m->head.len < MAX_HELD && spaces < 4 &&
        (s.n == 0 || may_be_run(s, m->fence_char) ||
         (run_of(s, m->fence_char) >= m->fence_len &&
          str_trim(s).n == (size_t)run_of(s, m->fence_char))))
        return;
    m->kind = LINE_CODE;
    code_text(m, m->head.data, (int)m->head.len);
    buf_clear(&m->head);
}

static void code_line_end(md *m) {
    str s = str_trim(buf_str(&m->head));
    if (m->kind == LINE_OPEN && s.n > 0 && run_of(s, m->fence_char) >= m->fence_len &&
        may_be_run(s, m->fence_char)) {
        m->in_fence = false;
        m->kind = LINE_SKIP;
    } else if (m->head.len > 0) {
        code_text(m, m->head.data, (int)m->head.len);
    }
    buf_clear(&m->head);
    if (m->kind != LINE_SKIP) new_line(m);
    m->kind = LINE_OPEN;
    m->col = 0;
}

/* Part of a row; a table that grows too large is written as it is so far, and the rest as text. */
static void table_text(md *m, const char *p, size_t n) {
    if (m->table.len + n < MAX_TABLE) {
        buf_append(&m->table, p, n);
        return;
    }
    if (m->table_rows == 0) m->table_rows = 1;
    settle_table(m);
    begin_text(m, 0, "", 0);
    inline_text(m, p, n);
}

/* One whole line's beginning is understood, or still waits. */
static void settle_head(md *m, bool complete) {
    str rest = {"", 0};
    verdict v = classify(m, buf_str(&m->head), complete, &rest);
    if (v == WAIT && m->head.len < MAX_HELD) return;
    if (v == WAIT) {
        begin_text(m, 0, "", 0);
        rest = buf_str(&m->head);
    }
    if (m->kind == LINE_TABLE) {
        table_text(m, m->head.data, m->head.len);
        rest = (str){"", 0};
    }
    if (m->kind == LINE_TEXT) inline_text(m, rest.p, rest.n);
    buf_clear(&m->head);
}

static void end_line(md *m, bool newline) {
    if (m->in_fence && m->kind != LINE_SKIP) {
        code_line_end(m);
        return;
    }
    if (m->kind == LINE_OPEN) {
        str s = buf_str(&m->head);
        if (m->table_rows > 0 && (s.n == 0 || *str_trim(s).p != '|')) settle_table(m);
        settle_head(m, true);
    }
    if (m->kind == LINE_TABLE) {
        buf_putc(&m->table, '\n');
        m->table_rows++;
    } else if (m->kind != LINE_SKIP || m->col > 0) {
        inline_end(m);
        if (newline || m->col > 0) new_line(m);
    }
    m->kind = LINE_OPEN;
    m->indent = m->quotes = 0;
    m->col = 0;
    m->spaces = 0;
}

static void block_char(md *m, const char *p, int n) {
    if (m->in_fence) {
        if (m->kind != LINE_SKIP) code_char(m, p, n);
    } else if (m->kind == LINE_TEXT) {
        inline_char(m, p, n);
    } else if (m->kind == LINE_TABLE) {
        table_text(m, p, (size_t)n);
    } else if (m->kind == LINE_OPEN) {
        buf_append(&m->head, p, (size_t)n);
        if (m->table_rows > 0 && !(n == 1 && *p == ' ') &&
            !(n == 1 && *p == '|' && str_trim(buf_str(&m->head)).n == 1))
            settle_table(m);
        settle_head(m, false);
    }
}

/* ---- characters ---- */

static void one_char(md *m, const char *p, int n) {
    unsigned char c = (unsigned char)*p;
    bool control = n == 1 && c < 32 && c != '\n' && c != '\t';
    control = control || c == 127 || (n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0);
    if (n == 1 && c == '\r') return;
    if (control) p = "\xef\xbf\xbd", n = 3;
    if (!m->markup) {
        if (n == 1 && *p == '\n') {
            put_word(m);
            new_line(m);
        } else if (n == 1 && *p == '\t') {
            for (int i = 0; i < TAB; i++) flow_char(m, " ", 1);
        } else {
            flow_char(m, p, n);
        }
    } else if (n == 1 && *p == '\n') {
        end_line(m, true);
    } else if (n == 1 && *p == '\t') {
        for (int i = 0; i < TAB; i++) block_char(m, " ", 1);
    } else {
        block_char(m, p, n);
    }
}

void md_feed(md *m, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        m->part[m->n_part++] = p[i];
        int k = utf8_len(m->part, (size_t)m->n_part);
        if (k < 0) continue;
        if (k > 0) {
            one_char(m, m->part, k);
            m->n_part = 0;
            continue;
        }
        /* Not UTF-8: what was held is broken; this byte may begin something new. */
        bool retry = m->n_part > 1;
        m->n_part = 0;
        one_char(m, "\xef\xbf\xbd", 3);
        if (retry) i--;
    }
}

void md_finish(md *m) {
    if (m->n_part > 0) one_char(m, "\xef\xbf\xbd", 3);
    m->n_part = 0;
    if (!m->markup) {
        put_word(m);
        if (m->col > 0) new_line(m);
    } else {
        if (m->in_fence || m->kind != LINE_OPEN || m->head.len > 0) {
            if (m->in_fence && m->kind != LINE_SKIP && m->col == 0 && m->head.len == 0)
                m->kind = LINE_OPEN;
            else end_line(m, m->kind != LINE_OPEN);
        }
        settle_table(m);
        m->in_fence = false;
    }
    show_style(m, 0);
    m->kind = LINE_OPEN;
    m->col = m->spaces = 0;
}

md *md_new(int width, bool markup, md_put_fn put, void *ud) {
    md *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->put = put;
    m->ud = ud;
    m->width = width < 20 ? 20 : width;
    m->markup = markup;
    m->before_space = true;
    buf_init(&m->head, 1 << 16);
    buf_init(&m->table, MAX_TABLE + 8);
    buf_init(&m->link, MAX_LINK + 8);
    buf_init(&m->word, 1 << 16);
    return m;
}

void md_free(md *m) {
    if (!m) return;
    buf_deinit(&m->head);
    buf_deinit(&m->table);
    buf_deinit(&m->link);
    buf_deinit(&m->word);
    free(m);
}
