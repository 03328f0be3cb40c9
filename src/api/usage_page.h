/* The page /usage. */
#ifndef HEARTH_API_USAGE_PAGE_H
#define HEARTH_API_USAGE_PAGE_H

#include "api/call.h"

extern const api_dialect api_dialect_page; /* what a browser shows; its 401 asks for a password */
extern const api_route api_routes_usage[];

#endif
