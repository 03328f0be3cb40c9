/* The table of sampler settings: name, kind, range, where it lives in hearth_params. */
#include "cli/samplers.h"

#include <stdio.h>

typedef enum field { F32, I32, U64, INT } field;

/* name, letter, kind, argument, help, min, max, member, its type, other names (space separated) */
#define SAMPLERS(X)                                                                                \
    X("temp", 0, CLI_REAL, "T", "temperature: 0 always takes the likeliest token", 0, 100,         \
      temperature, F32, "temperature")                                                             \
    X("top-k", 0, CLI_INT, "N", "draw from the N likeliest tokens; 0: all", 0, 1e6, top_k, I32,    \
      "")                                                                                          \
    X("top-p", 0, CLI_REAL, "P", "draw from the likeliest tokens that together reach P; 1: all",   \
      0, 1, top_p, F32, "")                                                                        \
    X("min-p", 0, CLI_REAL, "P", "leave out tokens under P times the likeliest one's probability", \
      0, 1, min_p, F32, "")                                                                        \
    X("typical", 0, CLI_REAL, "P", "locally typical sampling; 1: off", 0, 1, typical_p, F32,       \
      "typical-p")                                                                                 \
    X("xtc-probability", 0, CLI_REAL, "P", "chance to leave out the top choices; 0: off", 0, 1,    \
      xtc_probability, F32, "")                                                                    \
    X("xtc-threshold", 0, CLI_REAL, "P", "what counts as a top choice", 0, 1, xtc_threshold, F32,  \
      "")                                                                                          \
    X("repeat-penalty", 0, CLI_REAL, "X", "divide the score of tokens seen lately by X; 1: off",   \
      0.01, 100, repeat_penalty, F32, "repetition-penalty")                                        \
    X("frequency-penalty", 0, CLI_REAL, "X", "subtract X for each time a token was seen lately",   \
      -100, 100, frequency_penalty, F32, "")                                                       \
    X("presence-penalty", 0, CLI_REAL, "X", "subtract X when a token was seen lately", -100, 100,  \
      presence_penalty, F32, "")                                                                   \
    X("repeat-last-n", 0, CLI_INT, "N", "how many tokens lately means; -1: all, 0: none", -1,      \
      16777216, penalty_last_n, I32, "penalty-last-n")                                             \
    X("dry-multiplier", 0, CLI_REAL, "X", "DRY: strength against repeated sequences; 0: off", 0,   \
      100, dry_multiplier, F32, "")                                                                \
    X("dry-base", 0, CLI_REAL, "X", "DRY: growth with the length of the repetition", 1, 100,       \
      dry_base, F32, "")                                                                           \
    X("dry-allowed-length", 0, CLI_INT, "N", "DRY: longest repetition that costs nothing", 1,      \
      16777216, dry_allowed_length, I32, "")                                                       \
    X("dry-last-n", 0, CLI_INT, "N", "DRY: tokens looked back on; -1: all", -1, 16777216,          \
      dry_last_n, I32, "dry-penalty-last-n")                                                       \
    X("mirostat", 0, CLI_INT, "0|2", "2: mirostat, which keeps the surprise of the text constant", \
      0, 2, mirostat, INT, "")                                                                     \
    X("mirostat-tau", 0, CLI_REAL, "X", "mirostat: the surprise aimed at, in bits", 0, 100,        \
      mirostat_tau, F32, "")                                                                       \
    X("mirostat-eta", 0, CLI_REAL, "X", "mirostat: how fast it adapts", 0, 10, mirostat_eta, F32,  \
      "")                                                                                          \
    X("seed", 0, CLI_U64, "N",                                                                     \
      "the same seed gives the same text (default: another one each time)", 0, 0, seed, U64, "")   \
    X("max-tokens", 'n', CLI_INT, "N", "longest answer in tokens; -1: until the model ends", -1,   \
      16777216, max_tokens, I32, "num-predict n-predict n")

#define AS_OPTION(name, letter, kind, arg, help, min, max, member, type, other)                    \
    {name, letter, kind, arg, help, min, max},
const cli_option samplers_options[] = {SAMPLERS(AS_OPTION){0}};

typedef struct place {
    size_t offset;
    field type;
    const char *other;
} place;
#define AS_PLACE(name, letter, kind, arg, help, min, max, member, type, other)                     \
    {offsetof(hearth_params, member), type, other},
static const place places[] = {SAMPLERS(AS_PLACE)};

enum { COUNT = sizeof places / sizeof *places };

int samplers_count(void) {
    return COUNT;
}

const char *samplers_name(int i) {
    return samplers_options[i].name;
}

static void store(hearth_params *p, int i, const cli_value *v) {
    void *at = (char *)p + places[i].offset;
    switch (places[i].type) {
    case F32: *(float *)at = (float)v->real; break;
    case I32: *(int32_t *)at = (int32_t)v->integer; break;
    case INT: *(int *)at = (int)v->integer; break;
    case U64: *(uint64_t *)at = v->u64; break;
    }
}

void samplers_from_args(hearth_params *p, const cli_args *a) {
    for (int i = 0; i < COUNT; i++) {
        const cli_value *v = cli_get(a, samplers_options[i].name);
        if (v->set) store(p, i, v);
    }
}

static bool same_name(const char *a, size_t n, const char *b) {
    for (size_t i = 0; i < n; i++)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i]) || !b[i]) return false;
    return b[n] == 0;
}

int samplers_find(const char *name) {
    for (int i = 0; i < COUNT; i++) {
        if (same_name(samplers_options[i].name, strlen(samplers_options[i].name), name)) return i;
        for (const char *p = places[i].other; *p;) {
            size_t n = strcspn(p, " ");
            if (same_name(p, n, name)) return i;
            p += n + (p[n] == ' ');
        }
    }
    return -1;
}

bool samplers_set(hearth_params *p, const char *name, const char *value, err *e) {
    int i = samplers_find(name);
    if (i < 0) {
        const char *names[COUNT];
        for (int k = 0; k < COUNT; k++) names[k] = samplers_options[k].name;
        const char *near = cli_nearest(name, names, COUNT);
        if (near)
            return err_set(e, ERR_NOT_FOUND, "there is no parameter \"%s\": did you mean %s?", name,
                           near);
        return err_set(e, ERR_NOT_FOUND, "there is no parameter \"%s\" (/set lists them)", name);
    }
    cli_value v = {0};
    if (!cli_value_read(&v, &samplers_options[i], samplers_options[i].name, value, e)) return false;
    store(p, i, &v);
    return true;
}

static void print(const hearth_params *p, int i, char *dst, size_t cap) {
    const void *at = (const char *)p + places[i].offset;
    switch (places[i].type) {
    case F32: snprintf(dst, cap, "%g", (double)*(const float *)at); break;
    case I32: snprintf(dst, cap, "%d", *(const int32_t *)at); break;
    case INT: snprintf(dst, cap, "%d", *(const int *)at); break;
    case U64: snprintf(dst, cap, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    }
}

void samplers_get(const hearth_params *p, int i, char *dst, size_t cap, bool *changed) {
    hearth_params normal = hearth_params_default();
    char other[32];
    print(p, i, dst, cap);
    print(&normal, i, other, sizeof other);
    *changed = strcmp(dst, other) != 0;
}
