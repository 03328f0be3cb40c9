/* Answers of models taken apart: any bytes, in any format, cut anywhere. However they are cut, the
 * events are the same; the arguments of a call are JSON; and where thoughts stay in the text and
 * nothing is a call, the text is what came in, but for white space. The input: a byte for the
 * format, one for how it is asked, one for the cuts, then the answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "answer/answer.h"

static const char tools_json[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"b\":{\"type\":"
    "\"boolean\"},\"l\":{\"type\":\"array\"},\"o\":{\"type\":\"object\",\"properties\":{\"k\":{"
    "\"type\":\"string\"}}},\"u\":{\"type\":[\"string\",\"null\"]}}}}},{\"type\":\"function\","
    "\"function\":{\"name\":\"python\",\"parameters\":{}}}]";

typedef struct heard {
    buf events; /* everything, in one text, neighbours joined */
    buf text, args;
    int last;
    int n_calls;
} heard;

static void take(void *ud, const answer_event *ev) {
    heard *h = ud;
    if ((int)ev->kind != h->last) buf_printf(&h->events, "\n%d:", (int)ev->kind);
    h->last = (int)ev->kind;
    switch (ev->kind) {
    case ANSWER_TEXT:
    case ANSWER_REASONING:
        buf_put_str(&h->text, ev->text);
        buf_put_str(&h->events, ev->text);
        break;
    case ANSWER_CALL_BEGIN:
        if (ev->call != h->n_calls++) abort();
        buf_clear(&h->args);
        buf_printf(&h->events, "%.*s %.*s", STR_ARG(ev->name), STR_ARG(ev->id));
        break;
    case ANSWER_CALL_ARGS:
        buf_put_str(&h->args, ev->text);
        buf_put_str(&h->events, ev->text);
        break;
    case ANSWER_CALL_END: {
        json_t *j = json_loadb(h->args.data ? h->args.data : "", h->args.len,
                               JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
        if (!json_is_object(j)) abort();
        json_decref(j);
        buf_printf(&h->events, "%.*s %d", STR_ARG(ev->id), ev->broken);
        h->last = -1;
        break;
    }
    }
}

static void start(heard *h) {
    buf_init(&h->events, 64 << 20);
    buf_init(&h->text, 64 << 20);
    buf_init(&h->args, 64 << 20);
    h->last = -1;
    h->n_calls = 0;
}

static void stop(heard *h) {
    buf_deinit(&h->events);
    buf_deinit(&h->text);
    buf_deinit(&h->args);
}

/* step 0: all at once; else pieces whose length the seed varies up to step. */
static void read_answer(const answer_how *how, str s, unsigned step, unsigned seed, heard *h) {
    err e = {0};
    answer *a = answer_new(how, &e);
    if (!a) abort();
    start(h);
    while (s.n > 0) {
        seed = seed * 1103515245u + 12345u;
        size_t n = step == 0 ? s.n : 1 + (seed >> 16) % step;
        if (n > s.n) n = s.n;
        if (!answer_push(a, (str){s.p, n}, take, h)) abort();
        s.p += n;
        s.n -= n;
    }
    if (!answer_finish(a, take, h)) abort();
    answer_free(a);
}

static bool blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool same_but_blanks(str a, str b) {
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a.n && blank(a.p[i])) i++;
        while (k < b.n && blank(b.p[k])) k++;
        if (i == a.n || k == b.n) return i == a.n && k == b.n;
        if (a.p[i++] != b.p[k++]) return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const tails[] = {"", "<think>\n", "<|start|>assistant", "\n\n>>>"};
    static json_t *tools;
    if (size < 3) return 0;
    if (!tools) tools = json_loads(tools_json, 0, NULL);
    const char *const *names = answer_format_names();
    size_t n = 0;
    while (names[n]) n++;
    const char *tail = tails[(data[1] >> 2) & 3];
    answer_how how = {.format = answer_format_find(names[data[0] % n]),
                      .prompt_tail = {tail, strlen(tail)},
                      .tools = data[1] & 1 ? NULL : tools,
                      .split_thought = !(data[1] & 2)};
    str s = {(const char *)data + 3, size - 3};
    heard whole, bytes, pieces;
    read_answer(&how, s, 0, 0, &whole);
    read_answer(&how, s, 1, 0, &bytes);
    read_answer(&how, s, 9, data[2], &pieces);
    if (!str_eq(buf_str(&whole.events), buf_str(&bytes.events))) abort();
    if (!str_eq(buf_str(&whole.events), buf_str(&pieces.events))) abort();
    bool headers = strcmp(answer_format_name(how.format), "gpt-oss") == 0 || tail[0] == '\n';
    if (!how.split_thought && whole.n_calls == 0 && !headers &&
        !same_but_blanks(s, buf_str(&whole.text)))
        abort();
    stop(&whole);
    stop(&bytes);
    stop(&pieces);
    return 0;
}
