#include "answer/value.h"

#include <math.h>
#include <stdio.h>

/* ---- text into JSON strings ---- */

static void put_scalar(const char *p, size_t n, buf *out) {
    unsigned char c = (unsigned char)p[0];
    if (n > 1 || (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)) {
        buf_append(out, p, n);
        return;
    }
    switch (c) {
    case '"': buf_puts(out, "\\\""); break;
    case '\\': buf_puts(out, "\\\\"); break;
    case '\n': buf_puts(out, "\\n"); break;
    case '\r': buf_puts(out, "\\r"); break;
    case '\t': buf_puts(out, "\\t"); break;
    case 0: buf_puts(out, "\xef\xbf\xbd"); break; /* JSON readers stumble over it */
    default: buf_printf(out, "\\u%04x", c);
    }
}

void value_text_put(value_text *t, str s, buf *out) {
    for (size_t i = 0; i < s.n;) {
        t->part[t->n++] = s.p[i];
        int len = utf8_len(t->part, t->n);
        if (len < 0) {
            i++;
        } else if (len > 0) {
            put_scalar(t->part, t->n, out);
            t->n = 0;
            i++;
        } else if (t->n == 1) {
            buf_puts(out, "\xef\xbf\xbd");
            t->n = 0;
            i++;
        } else { /* what was there is broken; this byte begins anew */
            buf_puts(out, "\xef\xbf\xbd");
            t->n = 0;
        }
    }
}

void value_text_end(value_text *t, buf *out) {
    if (t->n > 0) buf_puts(out, "\xef\xbf\xbd");
    t->n = 0;
}

void value_quote(str s, buf *out) {
    value_text t = {0};
    buf_putc(out, '"');
    value_text_put(&t, s, out);
    value_text_end(&t, out);
    buf_putc(out, '"');
}

/* ---- values ---- */

enum {
    AT_VALUE, /* a value must come */
    AT_ITEM,  /* after "[": a value or the end */
    AT_KEY,   /* after "{" or a comma: a key or the end */
    AT_COLON, /* after a key */
    AT_AFTER, /* after an item: a comma or the end */
    IN_STRING,
    IN_ESCAPE,
    IN_HEX,
    IN_LOW, /* after the first half of a pair: its second half, "\uDC00" */
    IN_NUMBER,
    IN_WORD, /* true, None */
    IN_KEY,  /* a bare key */
    AT_OPEN, /* a Python call's arguments: not even the brace is written */
    IS_DONE
};

void value_init(value_reader *r, value_form form, const char *quote) {
    *r = (value_reader){.form = form, .quote = str_of(quote)};
    r->state = form == VALUE_KWARGS ? AT_OPEN : AT_VALUE;
}

bool value_started(const value_reader *r) {
    return r->depth > 0 || (r->state != AT_VALUE && r->state != AT_OPEN);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool keeps_blanks(const value_reader *r) {
    return r->form == VALUE_JSON;
}

/* White space between tokens: kept back, since a comma that turns out to be the last is dropped
 * together with what follows it. */
static void hold_blank(value_reader *r, char c) {
    if (keeps_blanks(r) && r->n_word < sizeof r->word) r->word[r->n_word++] = c;
}

static void put_blanks(value_reader *r, buf *out) {
    buf_append(out, r->word, r->n_word);
    r->n_word = 0;
}

/* In front of a key or value. */
static void put_comma(value_reader *r, buf *out) {
    if (r->comma) buf_puts(out, keeps_blanks(r) ? "," : ", ");
    r->comma = false;
    put_blanks(r, out);
}

static value_got item_done(value_reader *r, value_got got) {
    r->n_word = 0;
    r->state = r->depth > 0 ? AT_AFTER : IS_DONE;
    return r->depth > 0 ? VALUE_MORE : got;
}

static value_got string_done(value_reader *r, buf *out) {
    value_text_end(&r->text, out);
    buf_putc(out, '"');
    r->n_word = 0;
    if (!r->key) return item_done(r, VALUE_DONE);
    r->key = false;
    r->state = AT_COLON;
    return VALUE_MORE;
}

static bool open_bracket(value_reader *r, char c, buf *out) {
    if (r->depth == VALUE_MAX_DEPTH) return false;
    put_comma(r, out);
    r->stack[r->depth] = c == '{' ? '{' : '[';
    r->closer[r->depth++] = c == '{' ? '}' : c == '[' ? ']' : ')';
    buf_putc(out, c == '{' ? '{' : '[');
    r->state = c == '{' ? AT_KEY : AT_ITEM;
    return true;
}

static value_got close_bracket(value_reader *r, char c, buf *out) {
    if (r->depth == 0 || r->closer[r->depth - 1] != c) return VALUE_BAD;
    if (r->comma) r->n_word = 0;
    else put_blanks(r, out);
    r->comma = false;
    r->depth--;
    buf_putc(out, r->stack[r->depth] == '{' ? '}' : ']');
    return item_done(r, VALUE_DONE);
}

static void begin_string(value_reader *r, char mark, buf *out) {
    put_comma(r, out);
    buf_putc(out, '"');
    r->mark = mark;
    r->matched = 0;
    r->high = 0;
    r->state = IN_STRING;
}

/* The number in `word` as JSON has it; false when it is none. */
static bool put_number(value_reader *r, buf *out) {
    char text[VALUE_MAX_WORD + 4];
    size_t n = 0, i = 0, digits = 0;
    double v;
    if (i < r->n_word && (r->word[i] == '-' || r->word[i] == '+'))
        if (r->word[i++] == '-') text[n++] = '-';
    while (i + 1 < r->n_word && r->word[i] == '0' && is_digit(r->word[i + 1])) i++;
    if (i < r->n_word && r->word[i] == '.') text[n++] = '0', digits++;
    for (; i < r->n_word && is_digit(r->word[i]); i++, digits++) text[n++] = r->word[i];
    if (digits == 0) return false;
    if (i < r->n_word && r->word[i] == '.') {
        text[n++] = '.';
        size_t start = ++i;
        for (; i < r->n_word && is_digit(r->word[i]); i++) text[n++] = r->word[i];
        if (i == start) text[n++] = '0';
    }
    if (i < r->n_word && (r->word[i] == 'e' || r->word[i] == 'E')) {
        text[n++] = r->word[i++];
        if (i < r->n_word && (r->word[i] == '+' || r->word[i] == '-')) text[n++] = r->word[i++];
        size_t start = i;
        for (; i < r->n_word && is_digit(r->word[i]); i++) text[n++] = r->word[i];
        if (i == start) return false;
    }
    if (i != r->n_word || !str_to_f64((str){text, n}, &v)) return false;
    buf_append(out, text, n);
    return true;
}

static bool put_word(value_reader *r, buf *out) {
    static const char *const words[][2] = {{"true", "true"},   {"True", "true"}, {"false", "false"},
                                           {"False", "false"}, {"null", "null"}, {"None", "null"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!str_eq((str){r->word, r->n_word}, str_of(words[i][0]))) continue;
        buf_puts(out, words[i][1]);
        return true;
    }
    return false;
}

static void begin_word(value_reader *r, int state, char c, buf *out) {
    put_comma(r, out);
    r->word[0] = c;
    r->n_word = 1;
    r->state = state;
}

static value_got at_value(value_reader *r, char c, buf *out) {
    bool bare = r->form == VALUE_BARE;
    if (is_blank(c)) {
        if (r->depth > 0) hold_blank(r, c);
        return VALUE_MORE;
    }
    if (r->state == AT_ITEM && (c == ']' || c == ')')) return close_bracket(r, c, out);
    if (c == '"' || c == '\'') {
        begin_string(r, c, out);
    } else if (bare && c == r->quote.p[0]) {
        begin_string(r, 'G', out);
        r->matched = 1;
    } else if (c == '{' || c == '[' || c == '(') {
        return open_bracket(r, c, out) ? VALUE_MORE : VALUE_BAD;
    } else if (is_digit(c) || c == '-' || c == '+' || c == '.') {
        begin_word(r, IN_NUMBER, c, out);
    } else if (is_letter(c)) {
        begin_word(r, IN_WORD, c, out);
    } else {
        return VALUE_BAD;
    }
    return VALUE_MORE;
}

static value_got at_key(value_reader *r, char c, buf *out) {
    if (is_blank(c)) {
        hold_blank(r, c);
        return VALUE_MORE;
    }
    bool named = r->form == VALUE_KWARGS && r->depth == 1;
    if (c == '}' || (named && c == ')')) return close_bracket(r, c, out);
    r->key = true;
    if (!named && (c == '"' || c == '\'')) {
        begin_string(r, c, out);
    } else if (r->form == VALUE_BARE && c == r->quote.p[0]) {
        begin_string(r, 'G', out);
        r->matched = 1;
    } else if ((named || r->form == VALUE_BARE) && (is_letter(c) || (!named && is_digit(c)))) {
        begin_word(r, IN_KEY, c, out);
    } else {
        return VALUE_BAD;
    }
    return VALUE_MORE;
}

static value_got at_colon(value_reader *r, char c, buf *out) {
    if (is_blank(c)) {
        hold_blank(r, c);
        return VALUE_MORE;
    }
    if (c != (r->form == VALUE_KWARGS && r->depth == 1 ? '=' : ':')) return VALUE_BAD;
    put_blanks(r, out);
    buf_puts(out, keeps_blanks(r) ? ":" : ": ");
    r->state = AT_VALUE;
    return VALUE_MORE;
}

static value_got at_after(value_reader *r, char c, buf *out) {
    if (is_blank(c)) {
        hold_blank(r, c);
        return VALUE_MORE;
    }
    if (c == ',') {
        put_blanks(r, out);
        r->comma = true;
        r->state = r->stack[r->depth - 1] == '{' ? AT_KEY : AT_ITEM;
        return VALUE_MORE;
    }
    return close_bracket(r, c, out);
}

static value_got in_key(value_reader *r, char c, buf *out) {
    bool named = r->form == VALUE_KWARGS;
    if (!is_blank(c) && c != (named ? '=' : ':')) {
        bool fits = is_letter(c) || is_digit(c) || (!named && (c == '-' || c == '.' || c == '$'));
        if (!fits || r->n_word == sizeof r->word) return VALUE_BAD;
        r->word[r->n_word++] = c;
        return VALUE_MORE;
    }
    value_quote((str){r->word, r->n_word}, out);
    r->n_word = 0;
    r->key = false;
    r->state = AT_COLON;
    return at_colon(r, c, out);
}

/* The end of a number or word shows only in the byte after it. */
static value_got in_word(value_reader *r, char c, buf *out) {
    bool number = r->state == IN_NUMBER;
    if (is_letter(c) || is_digit(c) || (number && (c == '.' || c == '-' || c == '+'))) {
        if (r->n_word == sizeof r->word) return VALUE_BAD;
        r->word[r->n_word++] = c;
        return VALUE_MORE;
    }
    if (!(number ? put_number(r, out) : put_word(r, out))) return VALUE_BAD;
    if (item_done(r, VALUE_BEFORE) == VALUE_BEFORE) return VALUE_BEFORE;
    return at_after(r, c, out);
}

static void put_code(value_reader *r, unsigned code, buf *out) {
    char text[4];
    int n = utf8_encode(code, text);
    value_text_put(&r->text, (str){text, (size_t)n}, out);
}

/* Half a pair whose other half does not come. */
static void drop_high(value_reader *r, buf *out) {
    if (r->high) value_text_put(&r->text, STR("\xef\xbf\xbd"), out);
    r->high = 0;
}

static value_got in_string(value_reader *r, char c, buf *out);

static value_got in_escape(value_reader *r, char c, buf *out) {
    static const char from[] = "\"\\/bfnrt'", to[] = "\"\\/\b\f\n\r\t'";
    const char *at = c ? strchr(from, c) : NULL;
    r->state = IN_STRING;
    if (c == 'u' || (c == 'x' && r->form != VALUE_JSON)) {
        r->hex = c == 'u' ? 4 : 2;
        r->code = 0;
        r->word[0] = c;
        r->n_word = 1;
        r->state = IN_HEX;
        return VALUE_MORE;
    }
    drop_high(r, out);
    if (at) {
        value_text_put(&r->text, (str){to + (at - from), 1}, out);
        return VALUE_MORE;
    }
    if (c == '\n' && r->form != VALUE_JSON) return VALUE_MORE; /* Python: the line goes on */
    value_text_put(&r->text, STR("\\"), out); /* no escape: a backslash that was meant as one */
    return in_string(r, c, out);
}

static value_got in_hex(value_reader *r, char c, buf *out) {
    int digit = is_digit(c)              ? c - '0'
                : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                         : -1;
    if (digit < 0) { /* "\users": text */
        drop_high(r, out);
        value_text_put(&r->text, STR("\\"), out);
        value_text_put(&r->text, (str){r->word, r->n_word}, out);
        r->n_word = 0;
        r->state = IN_STRING;
        return in_string(r, c, out);
    }
    r->word[r->n_word++] = c;
    r->code = r->code * 16 + (unsigned)digit;
    if (--r->hex > 0) return VALUE_MORE;
    r->n_word = 0;
    r->state = IN_STRING;
    if (r->high && r->code >= 0xdc00 && r->code < 0xe000) {
        put_code(r, 0x10000 + ((r->high - 0xd800) << 10) + (r->code - 0xdc00), out);
        r->high = 0;
        return VALUE_MORE;
    }
    drop_high(r, out);
    if (r->code >= 0xd800 && r->code < 0xdc00) r->high = r->code;
    else put_code(r, r->code, out);
    return VALUE_MORE;
}

/* Inside a string whose quote mark has several bytes; its first occurs in it only once. */
static value_got in_marked(value_reader *r, char c, buf *out) {
    str q = r->quote;
    bool opening = r->mark == 'G';
    if (c == q.p[r->matched]) {
        if (++r->matched < q.n) return VALUE_MORE;
        r->matched = 0;
        if (!opening) return string_done(r, out);
        r->mark = 'g';
        return VALUE_MORE;
    }
    if (opening) return VALUE_BAD;
    value_text_put(&r->text, (str){q.p, r->matched}, out);
    r->matched = c == q.p[0];
    if (!r->matched) value_text_put(&r->text, (str){&c, 1}, out);
    return VALUE_MORE;
}

static value_got in_string(value_reader *r, char c, buf *out) {
    if (r->mark == 'g' || r->mark == 'G') return in_marked(r, c, out);
    if (c == '\\') {
        r->state = IN_ESCAPE;
        return VALUE_MORE;
    }
    drop_high(r, out);
    if (c == r->mark) return string_done(r, out);
    value_text_put(&r->text, (str){&c, 1}, out);
    return VALUE_MORE;
}

value_got value_step(value_reader *r, char c, buf *out) {
    switch (r->state) {
    case AT_OPEN:
        buf_putc(out, '{');
        r->stack[0] = '{';
        r->closer[0] = ')';
        r->depth = 1;
        r->state = AT_KEY;
        return at_key(r, c, out);
    case AT_VALUE:
    case AT_ITEM: return at_value(r, c, out);
    case AT_KEY: return at_key(r, c, out);
    case AT_COLON: return at_colon(r, c, out);
    case AT_AFTER: return at_after(r, c, out);
    case IN_STRING: return in_string(r, c, out);
    case IN_ESCAPE: return in_escape(r, c, out);
    case IN_HEX: return in_hex(r, c, out);
    case IN_NUMBER:
    case IN_WORD: return in_word(r, c, out);
    case IN_KEY: return in_key(r, c, out);
    default: return VALUE_BEFORE;
    }
}

value_got value_read(value_reader *r, str s, size_t *n, buf *out) {
    for (*n = 0; *n < s.n; ++*n) {
        value_got got = value_step(r, s.p[*n], out);
        if (got == VALUE_MORE) continue;
        if (got == VALUE_DONE) ++*n;
        return got == VALUE_BEFORE ? VALUE_DONE : got;
    }
    return VALUE_MORE;
}

/* A string that is open, up to its quote. */
static void close_string(value_reader *r, buf *out) {
    drop_high(r, out);
    value_text_end(&r->text, out);
    buf_putc(out, '"');
}

void value_close(value_reader *r, buf *out) {
    bool named = r->key;
    switch (r->state) {
    case AT_OPEN: buf_puts(out, "{}"); break;
    case AT_COLON: buf_puts(out, ": null"); break;
    case AT_VALUE: buf_puts(out, "null"); break;
    case IN_STRING:
    case IN_ESCAPE:
    case IN_HEX: close_string(r, out); break;
    case IN_NUMBER:
        if (!put_number(r, out)) buf_puts(out, "null");
        break;
    case IN_WORD:
        if (!put_word(r, out)) buf_puts(out, "null");
        break;
    case IN_KEY: value_quote((str){r->word, r->n_word}, out); break;
    default: break;
    }
    bool in_key_text = r->state == IN_STRING || r->state == IN_ESCAPE || r->state == IN_HEX ||
                       r->state == IN_KEY;
    if (named && in_key_text) buf_puts(out, ": null");
    while (r->depth > 0) buf_putc(out, r->stack[--r->depth] == '{' ? '}' : ']');
    r->state = IS_DONE;
}
