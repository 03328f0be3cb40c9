/* The page /usage. */
#ifndef HEARTH_API_PAGES_USAGE_PAGE_H
#define HEARTH_API_PAGES_USAGE_PAGE_H

#include "api/call.h"

extern const api_route api_routes_usage[];

#endif
