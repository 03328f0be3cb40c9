#include "model/arch/arch.h"

/* The table: one row an architecture. */
#define ARCHITECTURES(ROW)                                                                         \
    ROW("llama", arch_llama, false)                                                                \
    ROW("qwen2", arch_qwen2, false)                                                                \
    ROW("qwen3", arch_qwen3, false)                                                                \
    ROW("gemma2", arch_gemma2, false)                                                              \
    ROW("gemma3", arch_gemma3, false)                                                              \
    ROW("phi3", arch_phi3, false)                                                                  \
    ROW("smollm3", arch_smollm3, false)                                                            \
    ROW("qwen3moe", arch_qwen3moe, false)                                                          \
    ROW("gpt-oss", arch_gpt_oss, false)                                                            \
    ROW("bert", arch_bert, true)                                                                   \
    ROW("nomic-bert", arch_nomic_bert, true)

#define AS_ARCH(name, emit, encoder) {name, emit, encoder},
#define AS_NAME(name, emit, encoder) name,

static const arch table[] = {ARCHITECTURES(AS_ARCH)};
static const char *const names[] = {ARCHITECTURES(AS_NAME) NULL};

const arch *arch_find(str name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_eq(name, str_of(table[i].name))) return &table[i];
    return NULL;
}

const char *const *model_arch_names(void) {
    return names;
}
