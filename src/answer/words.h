/* What a format is made of, for those who write to the model: tools in words, for templates without
 * a place for them; and which control tokens mean something.
 *
 * What the model is told about its tools goes into the system's message; an earlier call stands in
 * its answer as the model would have written it. Both say a call as the answer_format has it.
 *
 *     if (!answer_has_words(f)) f = answer_format_find("generic");
 *     answer_tools_text(f, tools, &text);
 *     answer_call_text(f, STR("look"), STR("{\"at\":\"moon\"}"), &text);
 */
#ifndef HEARTH_ANSWER_WORDS_H
#define HEARTH_ANSWER_WORDS_H

#include "answer/answer.h"

/* Whether its calls are JSON between marks: others cannot be told in a line. */
bool answer_has_words(const answer_format *f);
/* tools: OpenAI's shape. Both append; memory is short: out->failed. */
void answer_tools_text(const answer_format *f, const json_t *tools, buf *out);
void answer_call_text(const answer_format *f, str name, str args, buf *out); /* args: JSON */

/* Whether a control token of this text is part of what the format writes. Others say nothing, and
 * nobody should see them. */
bool answer_marks(const answer_format *f, str token);

#endif
