/* Which model is meant by a name on the command line, and opening it in the way a command needs:
 * through hearth.h to generate, through model.h to look at numbers, as a bare file to inspect.
 * One thread.
 */
#ifndef HEARTH_CLI_MODELS_H
#define HEARTH_CLI_MODELS_H

#include "gguf/gguf.h"
#include "hearth.h"
#include "hub/find.h"
#include "model/model.h"

/* "bard" is the model inside the program; everything else is a path. ERR_NOT_FOUND says what is
 * known. */
typedef hub_model models_ref;
bool models_find(models_ref *r, const char *name, err *e);
bool models_have_bundled(void);

/* Each shows a progress bar on a terminal while a large model loads. threads 0: what there
 * is; ctx: the longest context that an engine will be given, 0: the model's own; no_pack:
 * weights stay in the file. */
hearth_model *models_open(const models_ref *r, int threads, int32_t ctx, bool no_pack,
                          hearth_err *e);
model *models_open_inner(const models_ref *r, team *t, bool as_f32, err *e);
gguf *models_open_file(const models_ref *r, err *e);

/* Between the two kinds of error. */
void err_from_hearth(err *e, const hearth_err *from);

#endif
