/* Architectures: one short file each, which reads a model's hyper-parameters and emits its plan
 * (plan.h), and one row each in the table of arch.c. An architecture calls no kernel and touches no
 * weight.
 *
 * common.c has the blocks that most of them share. The style is llama's; an architecture changes
 * what is its own. To add one: write arch/<name>.c, declare its function below, add its row.
 */
#ifndef HEARTH_MODEL_ARCH_H
#define HEARTH_MODEL_ARCH_H

#include "model/plan.h"

typedef struct arch {
    const char *name; /* general.architecture */
    void (*emit)(plan *pl, const params *p);
    bool encoder; /* sees whole sequences and generates nothing */
} arch;

const arch *arch_find(str name); /* NULL when not known */

void arch_llama(plan *pl, const params *p);
void arch_qwen2(plan *pl, const params *p);
void arch_qwen3(plan *pl, const params *p);
void arch_qwen3moe(plan *pl, const params *p);
void arch_gemma2(plan *pl, const params *p);
void arch_gemma3(plan *pl, const params *p);
void arch_phi3(plan *pl, const params *p);
void arch_smollm3(plan *pl, const params *p);
void arch_gpt_oss(plan *pl, const params *p);
void arch_glm4moe(plan *pl, const params *p);
void arch_bert(plan *pl, const params *p);
void arch_nomic_bert(plan *pl, const params *p);

/* ---- shared blocks (common.c) ---- */

/* How the layers of an architecture are made. arch_style_of gives llama's. */
typedef struct arch_style {
    bool qkv_bias;        /* Q, K and V have biases: required; else taken where the file has them */
    bool out_bias;        /* the attention output has one: required */
    bool head_norm;       /* Q and K are normed head by head */
    bool packed;          /* attn_qkv and ffn_up hold Q, K, V and gate, up one after another */
    bool sinks;           /* one more logit a head in the softmax */
    const char *ffn_norm; /* in front of the feed-forward */
    const char *attn_post; /* norm of the attention branch's output, or NULL */
    const char *ffn_post;  /* norm of the feed-forward branch's output, or NULL */
    plan_glu glu;
    bool expert_bias; /* router and experts have biases */
    bool sigmoid;     /* experts are chosen and weighted by sigmoids; the router has a `choose` */
} arch_style;

arch_style arch_style_of(void);
/* The embedding, and the head's matrix, which is the same where the file has no output.weight. */
void arch_begin(plan *pl, const params *p);
/* Final norm and head; then, where the file has one, the layer that guesses the token after the
 * next, which is made like the last of the others. */
void arch_end(plan *pl, const params *p, const arch_style *s);
/* Heads of layer il as the keys say: scale 1/sqrt(head_dim) unless given, no window, no cap. */
plan_heads arch_heads_of(const params *p, int il);
/* Rope as the keys say, with rope_freqs or the long and short factors where the file has them. */
plan_rope arch_rope_of(plan *pl, const params *p, bool neox);
/* One layer: attention branch, then feed-forward or experts as the file has them. */
void arch_layer(plan *pl, const params *p, int il, const plan_heads *h, const arch_style *s);
/* A whole architecture whose layers are all alike, from embedding to head; windowed: with the
 * window that the file may name. */
void arch_alike(plan *pl, const params *p, const arch_style *s, bool neox, bool windowed);

#endif
