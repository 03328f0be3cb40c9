#include "model/arch/arch.h"

/* The table: one row an architecture. */
#define ARCHITECTURES(ROW)                                                                         \
    ROW("llama", arch_llama)                                                                       \
    ROW("qwen2", arch_qwen2)                                                                       \
    ROW("qwen3", arch_qwen3)                                                                       \
    ROW("gemma2", arch_gemma2)                                                                     \
    ROW("gemma3", arch_gemma3)                                                                     \
    ROW("phi3", arch_phi3)                                                                         \
    ROW("smollm3", arch_smollm3)                                                                   \
    ROW("qwen3moe", arch_qwen3moe)                                                                 \
    ROW("gpt-oss", arch_gpt_oss)

#define AS_ARCH(name, emit) {name, emit},
#define AS_NAME(name, emit) name,

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
