/* Any bytes as a price sheet: read or refused with a line; what was read can be found again. */
#include <stdlib.h>

#include "meter/prices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    err e = {0};
    price_sheet s;
    if (!price_sheet_read(&s, (str){(const char *)data, size}, "fuzz", &e)) {
        if (e.code == ERR_NONE || !*e.msg || strchr(e.msg, '\n')) abort();
        return 0;
    }
    const price_usage u = {.in = INT32_MAX, .cached = 1, .out = INT32_MAX};
    for (size_t i = 0; i < s.n; i++) {
        const price_row *r = &s.row[i], *found[4];
        if (r->in < 0 || r->out < 0 || !*r->source || !price_is_day(r->as_of)) abort();
        if (price_bill(&s, r, &u, "2026-11-22") < 0) abort();
        price_match(&s, r->model, "2026-11-22", found, 4);
    }
    price_sheet_close(&s);
    return 0;
}
