/* Templates of strangers: reading one and rendering it with the variables of a conversation. The
 * input is the template's text, then, after the first NUL, the text of a message. */
#include <stdint.h>
#include <stdlib.h>

#include "template/jinja.h"

static void render(const jinja *t, json_t *vars, json_t *own, bool changeable) {
    static const struct tm now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 22};
    err e = {0};
    jinja_result r;
    jinja_how how = {.vars = vars, .own = own, .now = &now, .changeable = changeable};
    if (!jinja_render(t, &how, &r, &e)) {
        if (e.code == ERR_NONE || !e.msg[0]) abort(); /* every failure says why */
        return;
    }
    unsigned sum = 0; /* every byte and its origin can be read */
    for (size_t i = 0; i < r.text.n; i++)
        sum += (unsigned char)r.text.p[i] + (unsigned)(r.mark ? r.mark[i] : r.content);
    if (sum == 1u << 31) abort();
    jinja_result_deinit(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data, *nul = size ? memchr(p, 0, size) : NULL;
    str source = {p, nul ? (size_t)(nul - p) : size};
    err e = {0};
    jinja *t = jinja_parse(source, &e);
    if (!t) {
        if (e.code == ERR_NONE || !e.msg[0]) abort();
        return 0;
    }
    json_t *text = nul ? json_stringn(nul + 1, size - source.n - 1) : NULL;
    if (!text) text = json_string("Hi <|im_start|> there");
    json_t *vars = json_pack(
        "{s:[{s:s,s:s},{s:s,s:O},{s:s,s:s,s:[{s:{s:s,s:{s:i}}}]}],s:b,s:[{s:{s:s,s:{s:s}}}]}",
        "messages", "role", "system", "content", "Be brief.", "role", "user", "content", text,
        "role", "assistant", "content", "", "tool_calls", "function", "name", "f", "arguments", "k",
        1, "add_generation_prompt", 1, "tools", "function", "name", "f", "parameters", "type",
        "object");
    json_t *own = json_pack("{s:s,s:s}", "bos_token", "<s>", "eos_token", "</s>");
    if (vars && own) {
        render(t, vars, own, false);
        render(t, vars, own, true);
    }
    json_decref(vars);
    json_decref(own);
    json_decref(text);
    jinja_free(t);
    return 0;
}
