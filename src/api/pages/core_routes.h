/* The server's own routes: health, metrics, the OpenAPI document, the front page. They answer on
 * the network thread, from memory.
 */
#ifndef HEARTH_API_PAGES_CORE_ROUTES_H
#define HEARTH_API_PAGES_CORE_ROUTES_H

#include "api/call.h"

extern const api_route api_routes_core[];

/* openapi.c: the document, made of every table of routes and fields. */
void openapi_write(buf *out);
/* metrics.c: the text format of Prometheus. */
void metrics_write(api *a, buf *out);

#endif
