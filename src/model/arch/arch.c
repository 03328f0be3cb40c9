#include "model/arch/arch.h"

static const arch table[] = {
    {"llama", arch_llama},     {"qwen2", arch_qwen2},       {"qwen3", arch_qwen3},
    {"gemma2", arch_gemma2},   {"gemma3", arch_gemma3},     {"phi3", arch_phi3},
    {"smollm3", arch_smollm3}, {"qwen3moe", arch_qwen3moe}, {"gpt-oss", arch_gpt_oss},
};

#define N_ARCHS (sizeof table / sizeof *table)

const arch *arch_find(str name) {
    for (size_t i = 0; i < N_ARCHS; i++)
        if (str_eq(name, str_of(table[i].name))) return &table[i];
    return NULL;
}

const char *const *model_arch_names(void) {
    static const char *const names[] = {"llama", "qwen2",   "qwen3",    "gemma2",  "gemma3",
                                        "phi3",  "smollm3", "qwen3moe", "gpt-oss", NULL};
    _Static_assert(sizeof names / sizeof *names == N_ARCHS + 1, "one name a row");
    return names;
}
