/* The dialect of llama-server's own endpoints, field by field.
 *
 *   llamacpp.c  errors; tokenize, detokenize, apply-template; props, slots
 *   text.c      /completion, /completions, /infill
 *   adapters.c  /lora-adapters
 */
#ifndef HEARTH_API_LLAMACPP_LLAMACPP_H
#define HEARTH_API_LLAMACPP_LLAMACPP_H

#include "api/call.h"

extern const api_dialect api_dialect_llamacpp;
extern const api_route api_routes_llamacpp[];
extern const api_route api_routes_llamacpp_text[];
extern const api_route api_routes_llamacpp_adapters[];

/* What samplers are in force, as the members of an open object. */
void llamacpp_settings(jsonw *w, const hearth_params *p);
/* Its figures of /metrics, over all models. */
void llamacpp_metrics(api *a, buf *out);

#endif
