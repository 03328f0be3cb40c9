/* Go templates of strangers: reading one, and rendering it as it is and with a conversation. */
#include <stdint.h>
#include <stdlib.h>

#include "template/gotmpl.h"

typedef bool render_fn(const gotmpl *t, const jinja_how *how, jinja_result *out, err *e);

static void render(render_fn *fn, const gotmpl *t, json_t *vars) {
    static const struct tm now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 22};
    err e = {0};
    jinja_result r;
    if (!fn(t, &(jinja_how){.vars = vars, .now = &now}, &r, &e)) {
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
    err e = {0};
    gotmpl *t = gotmpl_parse((str){(const char *)data, size}, &e);
    if (!t) {
        if (e.code == ERR_NONE || !e.msg[0]) abort();
        return 0;
    }
    json_t *vars = json_pack("{s:[{s:s,s:s},{s:s,s:s},{s:s,s:s}],s:[{s:{s:s}}],s:s,s:s,s:i,s:n}",
                             "messages", "role", "system", "content", "Be brief.", "role", "user",
                             "content", "Hi {{ .X }}", "role", "assistant", "content", "Hello.",
                             "tools", "function", "name", "f", "System", "S", "Prompt", "P", "N", 3,
                             "X");
    if (vars) {
        render(gotmpl_render, t, vars);
        render(gotmpl_render_chat, t, vars);
    }
    json_decref(vars);
    gotmpl_free(t);
    return 0;
}
