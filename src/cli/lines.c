/* Line editing. libedit reads characters through get_char, which turns Ctrl-C and the markers of
 * a paste into something the editor can be told about.
 */
#include "cli/lines.h"

#include <errno.h>
#include <histedit.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

#include "base/file.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/cli.h"

enum { HISTORY = 1000, CTRL_C = 3 };

struct lines {
    EditLine *el;
    HistoryW *history;
    FILE *out;
    bool more;      /* prompt for the rest of a text */
    bool cancelled; /* Ctrl-C ended this line */
    bool was_empty; /* there was nothing on it */
    bool pasting;   /* between the terminal's marks of a paste */
    char ahead[8];  /* bytes read while looking for a mark */
    int n_ahead, at_ahead;
    char *entry[HISTORY]; /* oldest first; owned */
    int n_entries;
};

/* ---- characters ---- */

/* 1, 0 at the end, -1 when interrupted. */
static int get_byte(lines *l, char *c) {
    if (l->at_ahead < l->n_ahead) {
        *c = l->ahead[l->at_ahead++];
        return 1;
    }
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                          {.fd = interrupt_fd(), .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR) return 0;
        if (interrupt_seen()) return -1;
        if (!p[0].revents) continue;
        ssize_t n = read(STDIN_FILENO, c, 1);
        if (n >= 0) return (int)n;
        if (errno != EINTR) return 0;
    }
}

/* After ESC: takes "[200~" or "[201~" away; anything else stays to be read. */
static bool paste_mark(lines *l) {
    static const char head[] = "[20";
    if (l->at_ahead < l->n_ahead) return false;
    l->n_ahead = l->at_ahead = 0;
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    while (l->n_ahead < 5 && poll(&p, 1, 20) == 1) {
        char c;
        if (read(STDIN_FILENO, &c, 1) != 1) break;
        int k = l->n_ahead;
        l->ahead[l->n_ahead++] = c;
        bool fits = k < 3 ? c == head[k] : k == 3 ? c == '0' || c == '1' : c == '~';
        if (!fits) return false;
    }
    if (l->n_ahead < 5) return false;
    l->pasting = l->ahead[3] == '0';
    l->n_ahead = l->at_ahead = 0;
    return true;
}

static int get_char(EditLine *el, wchar_t *out) {
    lines *l;
    el_wget(el, EL_CLIENTDATA, &l);
    char part[4];
    for (int n = 0;;) {
        int got = get_byte(l, &part[n]);
        if (got < 0) {
            *out = CTRL_C;
            return 1;
        }
        if (got == 0) return 0;
        if (n == 0 && part[0] == 27 && paste_mark(l)) continue;
        n++;
        int k = utf8_len(part, (size_t)n);
        if (k < 0) continue;
        uint32_t cp = 0xfffd;
        if (k > 0) utf8_decode(part, (size_t)k, &cp);
        *out = (wchar_t)(cp == '\t' && l->pasting ? ' ' : cp);
        return 1;
    }
}

/* Bound to Ctrl-C: ends the line; lines_read drops it. */
static unsigned char cancel_line(EditLine *el, wint_t c) {
    (void)c;
    lines *l;
    el_wget(el, EL_CLIENTDATA, &l);
    const LineInfoW *line = el_wline(el);
    l->cancelled = true;
    l->was_empty = line->lastchar == line->buffer;
    return CC_NEWLINE;
}

static wchar_t *show_prompt(EditLine *el) {
    lines *l;
    el_wget(el, EL_CLIENTDATA, &l);
    static wchar_t first[] = L">>> ", more[] = L"... ";
    return l->more ? more : first;
}

/* ---- history ---- */

static bool history_path(char *dst, size_t cap) {
    const char *home = file_home();
    return home && snprintf(dst, cap, "%s/history", home) < (int)cap;
}

static void remember(lines *l, const char *text) {
    if (!*text || (l->n_entries > 0 && strcmp(l->entry[l->n_entries - 1], text) == 0)) return;
    char *copy = strdup(text);
    size_t n = copy ? mbstowcs(NULL, copy, 0) : (size_t)-1;
    wchar_t *wide = n != (size_t)-1 ? malloc((n + 1) * sizeof *wide) : NULL;
    if (!wide) {
        free(copy);
        return;
    }
    mbstowcs(wide, copy, n + 1);
    HistEventW ev;
    history_w(l->history, &ev, H_ENTER, wide);
    free(wide);
    if (l->n_entries == HISTORY) {
        free(l->entry[0]);
        memmove(l->entry, l->entry + 1, (HISTORY - 1) * sizeof *l->entry);
        l->n_entries--;
    }
    l->entry[l->n_entries++] = copy;
}

static void load_history(lines *l) {
    char path[4096];
    buf b;
    buf_init(&b, LIMIT_JSON_BYTES);
    if (history_path(path, sizeof path) && file_read(&b, path, NULL)) {
        for (char *p = b.data; p && *p;) {
            char *end = strchr(p, '\n');
            size_t n = end ? (size_t)(end - p) : strlen(p);
            json_t *j = json_loadb(p, n, JSON_DECODE_ANY, NULL);
            if (json_is_string(j)) remember(l, json_string_value(j));
            json_decref(j);
            p = end ? end + 1 : NULL;
        }
    }
    buf_deinit(&b);
}

static void save_history(lines *l) {
    char path[4096];
    err e = {0};
    buf b;
    jsonw w;
    buf_init(&b, LIMIT_JSON_BYTES);
    for (int i = 0; i < l->n_entries; i++) {
        jsonw_init(&w, &b);
        jsonw_str(&w, str_of(l->entry[i]));
        buf_putc(&b, '\n');
    }
    if (l->n_entries > 0 && history_path(path, sizeof path) &&
        (!file_make_dirs(file_home(), 0700, &e) || !file_replace(path, b.data, b.len, 0600, &e)))
        note("hearth: the history is not saved: %s", e.msg);
    buf_deinit(&b);
}

/* ---- reading ---- */

lines *lines_open(err *e) {
    lines *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    l->out = out_is_terminal() ? stdout : stderr;
    l->el = el_init("hearth", stdin, l->out, stderr);
    l->history = history_winit();
    if (!l->el || !l->history) {
        err_set(e, ERR_FAILED, "the terminal cannot be used for line editing");
        if (l->el) el_end(l->el);
        free(l);
        return NULL;
    }
    HistEventW ev;
    history_w(l->history, &ev, H_SETSIZE, HISTORY);
    el_wset(l->el, EL_CLIENTDATA, l);
    el_wset(l->el, EL_EDITOR, L"emacs");
    el_wset(l->el, EL_HIST, history_w, l->history);
    el_wset(l->el, EL_PROMPT, show_prompt);
    el_wset(l->el, EL_GETCFN, get_char);
    el_wset(l->el, EL_ADDFN, L"hearth-cancel", L"drop the line", cancel_line);
    el_wset(l->el, EL_BIND, L"^C", L"hearth-cancel", NULL);
    el_wset(l->el, EL_BIND, L"^R", L"em-inc-search-prev", NULL);
    el_wset(l->el, EL_BIND, L"^W", L"ed-delete-prev-word", NULL);
    load_history(l);
    return l;
}

void lines_close(lines *l) {
    save_history(l);
    for (int i = 0; i < l->n_entries; i++) free(l->entry[i]);
    history_wend(l->history);
    el_end(l->el);
    free(l);
}

static void paste_marks(lines *l, bool on) {
    if (l->out == stdout ? out_is_terminal() : err_is_terminal()) {
        fputs(on ? "\033[?2004h" : "\033[?2004l", l->out);
        fflush(l->out);
    }
}

/* One line of the editor, appended without its newline. */
static lines_result read_line(lines *l, buf *out) {
    int n = 0;
    l->cancelled = false;
    interrupt_remember();
    paste_marks(l, true);
    el_wset(l->el, EL_PREP_TERM, 1); /* before the prompt: what is typed then is echoed once */
    const wchar_t *wide = el_wgets(l->el, &n);
    paste_marks(l, false);
    interrupt_end_process();
    if (l->cancelled) {
        fputs("\n", l->out);
        return l->was_empty && out->len == 0 ? LINES_INTERRUPTED : LINES_DROPPED;
    }
    if (!wide || n <= 0) return LINES_END;
    for (int i = 0; i < n && wide[i] && wide[i] != L'\n'; i++) {
        char c[4];
        buf_append(out, c, (size_t)utf8_encode((uint32_t)wide[i], c));
    }
    return LINES_TEXT;
}

static bool opens_block(str s) {
    return str_starts(s, STR("\"\"\"")) && !(s.n >= 6 && str_ends(s, STR("\"\"\"")));
}

lines_result lines_read(lines *l, buf *out) {
    l->more = false;
    lines_result r = read_line(l, out);
    bool block = r == LINES_TEXT && opens_block(buf_str(out));
    while (r == LINES_TEXT && (l->pasting || block)) {
        l->more = true;
        buf_putc(out, '\n');
        r = read_line(l, out);
        if (block && str_ends(buf_str(out), STR("\"\"\""))) break;
    }
    if (r == LINES_END && out->len > 0) r = LINES_DROPPED; /* Ctrl-D inside a block drops it */
    if (r != LINES_TEXT) {
        l->pasting = false;
        buf_clear(out);
        return r;
    }
    remember(l, out->data ? out->data : "");
    str s = buf_str(out);
    if (s.n >= 6 && str_starts(s, STR("\"\"\"")) && str_ends(s, STR("\"\"\""))) {
        buf_remove_front(out, 3);
        out->len -= 3;
        out->data[out->len] = 0;
        if (out->len > 0 && out->data[0] == '\n') buf_remove_front(out, 1);
        if (out->len > 0 && out->data[out->len - 1] == '\n') out->data[--out->len] = 0;
    }
    return LINES_TEXT;
}
