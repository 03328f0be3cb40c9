/* Conversations to the text that a model was trained on: the families of chat templates, for files
 * without a template that can be run (chat.h is for those that have one), and texts in spans.
 *
 * A prompt knows how one model wants its conversations written: which family of chat template
 * (chatml, llama3, gemma, phi, mistral, ...) and the details in which templates of a family
 * differ. Both are read from tokenizer.chat_template of the file, or, when it has none, from the
 * control tokens of its vocabulary. The family's rule is written here in C; the template itself
 * is not run.
 *
 * A rendering is text in spans. A control token is only ever made from a span of the template's
 * own: whatever people or models have written is ordinary text, even when it reads
 * "<|im_start|>".
 *
 * A prompt borrows from the gguf and the tok, is immutable after prompt_init and may be read by
 * any thread; a prompt_text belongs to one thread.
 *
 *     prompt p; prompt_init_file(&p, g, t);
 *     if (!p.family) ...                         // nothing recognised: no conversation possible
 *     prompt_text x; prompt_text_init(&x);
 *     prompt_render(&p, messages, n, &(prompt_how){.open_answer = true}, &x, &e);
 *     prompt_encode(&x, t, &ids, &e);
 *     prompt_text_deinit(&x);
 */
#ifndef HEARTH_PROMPT_H
#define HEARTH_PROMPT_H

#include "base/buf.h"
#include "base/err.h"
#include "gguf/gguf.h"
#include "tok/tok.h"

typedef struct prompt_message {
    str role; /* "system", "developer", "user", "assistant" */
    str text;
} prompt_message;

typedef enum prompt_kind {
    PROMPT_CONTROL, /* the name of one control token */
    PROMPT_TEXT,    /* the template's own ordinary text */
    PROMPT_CONTENT  /* from a message: never a control token */
} prompt_kind;

typedef struct prompt_span {
    prompt_kind kind;
    size_t start, n; /* bytes of prompt_text.text */
} prompt_span;

typedef struct prompt_text {
    buf text;
    prompt_span *span; /* in order, without gaps; owned */
    size_t n_spans, cap_spans;
    /* Further tokens that no ordinary text may become, beside those of the spans; owned. */
    int32_t *marker;
    size_t n_markers;
} prompt_text;
void prompt_text_init(prompt_text *x);
void prompt_text_deinit(prompt_text *x);
/* Appends a span; a failure is remembered in text.failed. */
void prompt_text_put(prompt_text *x, prompt_kind kind, str text);

typedef struct prompt_family prompt_family; /* one row of the table in families.c */

typedef struct prompt {
    const prompt_family *family; /* NULL: none recognised */
    str source;                  /* the template as the file has it; empty when it has none */
    str bos, eos;                /* texts of these tokens; empty when the model has none */
    bool opens_bos;              /* a conversation begins with bos */
} prompt;

/* By the template's text; bos and eos are the texts of those tokens. */
void prompt_init(prompt *p, str source, str bos, str eos);
/* By the file's template, else by the vocabulary. */
void prompt_init_file(prompt *p, const gguf *g, const tok *t);
const char *prompt_family_name(const prompt_family *f); /* "none" for NULL */
/* Names of all families, NULL-terminated. */
const char *const *prompt_family_names(void);

typedef struct prompt_how {
    bool open_answer; /* end with the beginning of an answer, for the model to go on */
    int64_t now;      /* seconds since 1970, for templates that write the date */
} prompt_how;

/* Errors: ERR_USAGE for a conversation that the family cannot write (two answers in a row where
 * turns must alternate, an unknown role), ERR_FAILED when there is no family. */
bool prompt_render(const prompt *p, const prompt_message *m, size_t n, const prompt_how *how,
                   prompt_text *out, err *e);
/* Appends the ids. Ordinary text between two control tokens is encoded as one piece, whoever
 * wrote it, so that the ids are those of the whole text wherever no message names a control
 * token. */
bool prompt_encode(const prompt_text *x, const tok *t, tok_ids *ids, err *e);

#endif
