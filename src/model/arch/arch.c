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
    ROW("glm4moe", arch_glm4moe, false)                                                            \
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

/* What Ollama's library and others have, and what to pull in its place: near it in size and use. */
static const struct {
    const char *arch, *instead;
} near[] = {{"clip", NULL},
            {"command-r", "qwen3:14b"},
            {"cohere2", "qwen3:8b"},
            {"deepseek2", "qwen3:30b-a3b"},
            {"deepseekocr", NULL},
            {"falcon", "llama3.1:8b"},
            {"gemma", "gemma2:2b"},
            {"gemma-embedding", "nomic-embed-text"},
            {"gemma3n", "gemma3:4b"},
            {"gemma4", "gemma3:4b"},
            {"glm4moelite", "qwen3:30b-a3b"},
            {"glmocr", NULL},
            {"granite", "llama3.1:8b"},
            {"granitemoe", "qwen3:1.7b"},
            {"granitehybrid", "qwen3:4b"},
            {"jina-bert-v2", "nomic-embed-text"},
            {"laguna", "qwen3-coder:30b"},
            {"lfm2", "qwen3:1.7b"},
            {"lfm2moe", "qwen3:8b"},
            {"llama4", "llama3.3:70b"},
            {"mistral3", "mistral-small3.2:24b"},
            {"mllama", "llama3.1:8b"},
            {"nemotron", "qwen3:4b"},
            {"nemotron_h", "qwen3:8b"},
            {"nemotron_h_moe", "qwen3:30b-a3b"},
            {"nemotron_h_omni", "qwen3:30b-a3b"},
            {"nomic-bert-moe", "nomic-embed-text"},
            {"olmo2", "llama3.1:8b"},
            {"olmo3", "qwen3:8b"},
            {"phi2", "phi4-mini"},
            {"qwen3next", "qwen3:30b-a3b"},
            {"qwen35", "qwen3:8b"},
            {"qwen35moe", "qwen3:30b-a3b"},
            {"stablelm", "qwen3:1.7b"},
            {"starcoder2", "qwen2.5-coder:7b"}};

bool model_arch_refused(str kind, const char **instead) {
    *instead = NULL;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        if (str_eq(kind, str_of(near[i].arch))) {
            *instead = near[i].instead;
            return true;
        }
    return false;
}

bool model_arch_refuse(const char *what, const char *kind, const char *instead, err *e) {
    if (instead)
        return err_set(e, ERR_FAILED,
                       "%s: models of the kind \"%s\" are not run by this version; one that is, "
                       "near it: hearth pull %s",
                       what, kind, instead);
    return err_set(e, ERR_FAILED,
                   "%s: files of the kind \"%s\" read pictures, which this version does not: pull "
                   "a model of text, such as qwen3:4b",
                   what, kind);
}

const char *const *model_arch_names(void) {
    return names;
}
