/* The settings of a sampler, once: as options of `hearth run` and as names of /set. */
#ifndef HEARTH_CLI_SAMPLERS_H
#define HEARTH_CLI_SAMPLERS_H

#include "cli/cli.h"
#include "hearth.h"

extern const cli_option samplers_options[]; /* ends with {0} */

/* Puts the options that were given into p. */
int samplers_find(const char *name); /* by any of its names; -1: none */
void samplers_from_args(hearth_params *p, const cli_args *a);
/* By name; "-" and "_" are the same, and the names that other programs use are known too (top_k,
 * temperature, num_predict, ...). False with ERR_NOT_FOUND for an unknown name, with ERR_USAGE
 * for a bad value. */
bool samplers_set(hearth_params *p, const char *name, const char *value, err *e);
int samplers_count(void);
const char *samplers_name(int i);
/* The value as text; whether it differs from the default is told by *changed. */
void samplers_get(const hearth_params *p, int i, char *dst, size_t cap, bool *changed);

#endif
