#include "base/jsonw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void jsonw_init(jsonw *w, buf *out) {
    *w = (jsonw){.out = out};
}

static void new_line(jsonw *w) {
    if (!w->pretty) return;
    buf_putc(w->out, '\n');
    for (int i = 0; i < w->depth; i++) buf_puts(w->out, "  ");
}

/* What stands between the last thing written and the next value or key. */
static void separate(jsonw *w) {
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0) return;
    if (w->has_items[w->depth - 1]) buf_putc(w->out, ',');
    w->has_items[w->depth - 1] = true;
    new_line(w);
}

/* Too deep is our own mistake; the document is marked as failed, as when it grows too long. */
static void open_level(jsonw *w, char opener, char closer) {
    separate(w);
    if (w->depth == JSONW_MAX_DEPTH) {
        w->out->failed = true;
        return;
    }
    buf_putc(w->out, opener);
    w->closer[w->depth] = closer;
    w->has_items[w->depth] = false;
    w->depth++;
}

void jsonw_object(jsonw *w) {
    open_level(w, '{', '}');
}

void jsonw_array(jsonw *w) {
    open_level(w, '[', ']');
}

void jsonw_end(jsonw *w) {
    if (w->depth == 0) {
        w->out->failed = true;
        return;
    }
    w->depth--;
    if (w->has_items[w->depth]) new_line(w);
    buf_putc(w->out, w->closer[w->depth]);
}

/* The short escape of a control character, or 0. */
static char short_escape(char c) {
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

static void write_string(buf *out, str s) {
    buf_putc(out, '"');
    size_t plain = 0; /* start of the run that needs no change */
    for (size_t i = 0; i < s.n;) {
        char c = s.p[i];
        char esc = short_escape(c);
        int len = (unsigned char)c < 0x80 ? 1 : utf8_len(s.p + i, s.n - i);
        if (len > 0 && !esc && (unsigned char)c >= 0x20) {
            i += (size_t)len;
            continue;
        }
        buf_append(out, s.p + plain, i - plain);
        if (esc) {
            buf_putc(out, '\\');
            buf_putc(out, esc);
        } else if (len > 0) {
            buf_printf(out, "\\u%04x", (unsigned char)c);
        } else {
            buf_puts(out, "\xef\xbf\xbd");
        }
        plain = ++i;
    }
    buf_append(out, s.p + plain, s.n - plain);
    buf_putc(out, '"');
}

void jsonw_key(jsonw *w, const char *key) {
    separate(w);
    write_string(w->out, str_of(key));
    buf_puts(w->out, w->pretty ? ": " : ":");
    w->after_key = true;
}

void jsonw_str(jsonw *w, str s) {
    separate(w);
    write_string(w->out, s);
}

void jsonw_int(jsonw *w, int64_t v) {
    separate(w);
    buf_printf(w->out, "%lld", (long long)v);
}

void jsonw_uint(jsonw *w, uint64_t v) {
    separate(w);
    buf_printf(w->out, "%llu", (unsigned long long)v);
}

/* printf and strtod follow the process's locale, which may have a decimal comma; JSON has a
 * point. */
static void write_number(jsonw *w, char *text) {
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.';
    separate(w);
    buf_puts(w->out, text);
}

void jsonw_f64(jsonw *w, double v) {
    if (!isfinite(v)) {
        jsonw_null(w);
        return;
    }
    char text[40];
    snprintf(text, sizeof text, "%.15g", v);
    double back = strtod(text, NULL);
    if (memcmp(&back, &v, sizeof v) != 0) snprintf(text, sizeof text, "%.17g", v);
    write_number(w, text);
}

void jsonw_f32(jsonw *w, float v) {
    if (!isfinite(v)) {
        jsonw_null(w);
        return;
    }
    char text[40];
    snprintf(text, sizeof text, "%.9g", (double)v);
    write_number(w, text);
}

void jsonw_bool(jsonw *w, bool v) {
    separate(w);
    buf_puts(w->out, v ? "true" : "false");
}

void jsonw_null(jsonw *w) {
    separate(w);
    buf_puts(w->out, "null");
}

void jsonw_raw(jsonw *w, str json) {
    separate(w);
    buf_put_str(w->out, json);
}

void jsonw_put_text(jsonw *w, const char *key, const char *text) {
    jsonw_key(w, key);
    if (text && *text) jsonw_str(w, str_of(text));
    else jsonw_null(w);
}

void jsonw_put_int(jsonw *w, const char *key, int64_t v) {
    jsonw_key(w, key);
    jsonw_int(w, v);
}

void jsonw_put_f64(jsonw *w, const char *key, double v) {
    jsonw_key(w, key);
    jsonw_f64(w, v);
}
