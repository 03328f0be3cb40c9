/* The catalogue: in order of how good the answers are, the best last. */
#include "hub/catalogue.h"

#include <stddef.h>

const hub_catalogue_row hub_catalogue[] = {
    {"smollm2:360m", 0.7, 0.7, "Apache 2.0", "short answers on very small machines"},
    {"qwen3:0.6b", 0.5, 0.5, "Apache 2.0", "quick answers, sorting and tagging text"},
    {"llama3.2:1b", 1.3, 1.3, "Llama 3.2 licence", "summaries, rewriting, chat"},
    {"qwen3:1.7b", 1.4, 1.4, "Apache 2.0", "chat and simple reasoning"},
    {"llama3.2:3b", 2.0, 2.0, "Llama 3.2 licence", "chat, summaries, following instructions"},
    {"qwen3:4b", 2.6, 2.6, "Apache 2.0", "reasoning, code, many languages"},
    {"mistral:7b", 4.4, 4.4, "Apache 2.0", "chat and writing"},
    {"qwen3:8b", 5.2, 5.2, "Apache 2.0", "reasoning, code, many languages"},
    {"hf.co/ggml-org/gpt-oss-20b-GGUF", 12.1, 2.3, "Apache 2.0",
     "reasoning, at a small model's speed"},
    {"qwen3:14b", 9.3, 9.3, "Apache 2.0", "reasoning, code, long answers"},
    {"qwen3:30b", 18.6, 2.3, "Apache 2.0", "reasoning and code, at a small model's speed"},
    {NULL, 0, 0, NULL, NULL},
};

/* The last of those that fit and read no more for each token. */
static const hub_catalogue_row *last_under(double memory_gb, double token_gb,
                                           const hub_catalogue_row *not_this) {
    const hub_catalogue_row *found = NULL;
    for (const hub_catalogue_row *r = hub_catalogue; r->name; r++)
        if (r->fetch_gb * 1.1 + 1.0 <= memory_gb && r->token_gb <= token_gb && r != not_this)
            found = r;
    return found;
}

void hub_catalogue_propose(uint64_t memory_bytes, hub_proposal *out) {
    double gb = (double)memory_bytes / 1e9;
    *out = (hub_proposal){.best = last_under(gb, 1e9, NULL)};
    if (!out->best) return;
    out->balanced = last_under(gb, out->best->token_gb / 2, out->best);
    if (out->balanced) out->fast = last_under(gb, out->balanced->token_gb / 2, out->balanced);
}
