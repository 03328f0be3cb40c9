/* Inside the prompt room: how a family writes. Every put_ function appends to the text and its
 * spans; a failure to grow is remembered in out->text.failed, which prompt_render looks at once,
 * at the end.
 */
#ifndef HEARTH_PROMPT_PRIVATE_H
#define HEARTH_PROMPT_PRIVATE_H

#include "prompt/prompt.h"

typedef struct prompt_writer {
    const prompt *p;
    const prompt_message *m; /* system messages included */
    size_t n;
    const prompt_how *how;
    prompt_text *out;
    err *e;
} prompt_writer;

struct prompt_family {
    const char *name;
    /* Whether this template, or this vocabulary (when the file has no template), is of the family.
     * Asked in the order of the table; the first yes wins. */
    bool (*knows_template)(str source);
    bool (*knows_vocab)(const tok *t);
    bool (*write)(prompt_writer *w);
};

extern const prompt_family prompt_families[];
extern const size_t prompt_n_families;

void put_control(prompt_writer *w, const char *name);
void put_text(prompt_writer *w, const char *text);
void put_text_str(prompt_writer *w, str text);
void put_content(prompt_writer *w, str text);
void put_bos(prompt_writer *w); /* once, where p->opens_bos */
void put_eos(prompt_writer *w);

bool source_has(str source, const char *needle);
bool is_role(const prompt_message *m, const char *role);
bool is_system(const prompt_message *m); /* system or developer */
/* ERR_USAGE unless, after leading system messages, user and assistant take turns, user first. */
bool must_alternate(prompt_writer *w);

#endif
