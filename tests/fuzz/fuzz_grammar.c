/* A grammar by a stranger, and bytes that are read by it: the first byte says which kind, a NUL
 * ends the grammar. What follows it is taken byte by byte as far as it is allowed. */
#include <stddef.h>
#include <stdint.h>

#include "grammar/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 20000) return 0;
    const char *text = (const char *)data + 1;
    size_t n = 0;
    while (n < size - 1 && text[n]) n++;
    str s = {text, n};
    err e = {0};
    grammar *g = data[0] % 4 == 0   ? grammar_gbnf(s, &e)
                 : data[0] == 0x25  ? grammar_rules(s, &e)
                 : data[0] % 4 == 1 ? grammar_regex(s, &e)
                                    : grammar_json_schema(s, data[0] % 2, &e);
    grammar_state *state = g ? grammar_state_new(g, NULL, &e) : NULL;
    for (size_t i = n + 1; state && i < size - 1; i++)
        if (!grammar_state_accept_bytes(state, (str){text + i, 1})) break;
    if (state) {
        char forced[64];
        grammar_state_forced(state, forced, sizeof forced);
        grammar_state *copy = grammar_state_copy(state, &e);
        grammar_state_free(copy);
    }
    grammar_state_free(state);
    grammar_free(g);
    return 0;
}
