/* Chat templates of strangers: recognising the family and rendering a conversation. The input is
 * the template's text, then, after the first NUL, messages with a NUL between them. */
#include <stdint.h>
#include <stdlib.h>

#include "prompt/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MOST = 8 };
    static const char *const roles[] = {"system", "user", "assistant"};
    str part[MOST + 1];
    size_t n = 0;
    const char *p = (const char *)data, *end = p + size;
    while (n <= MOST && p <= end) {
        const char *q = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
        if (!q) q = end;
        part[n++] = (str){p, (size_t)(q - p)};
        p = q + 1;
    }
    prompt_message m[MOST];
    size_t turns = n > 0 ? n - 1 : 0;
    bool opens_with_system = size % 2;
    for (size_t i = 0; i < turns; i++) {
        size_t role = opens_with_system ? (i == 0 ? 0 : 2 - i % 2) : 1 + i % 2;
        m[i] = (prompt_message){str_of(roles[role]), part[i + 1]};
    }
    prompt chat;
    prompt_init(&chat, n > 0 ? part[0] : (str){"", 0}, STR("<s>"), STR("</s>"));
    for (int open = 0; open < 2; open++) {
        prompt_text text;
        prompt_text_init(&text);
        err e = {0};
        prompt_how how = {.open_answer = open, .now = 1795339800};
        if (prompt_render(&chat, m, turns, &how, &text, &e)) {
            size_t at = 0;
            for (size_t i = 0; i < text.n_spans; i++) {
                if (text.span[i].start != at) abort();
                at += text.span[i].n;
            }
            if (at != text.text.len) abort();
        } else if (e.code == ERR_NONE || !e.msg[0]) {
            abort();
        }
        prompt_text_deinit(&text);
    }
    return 0;
}
