/* Any bytes as a configuration file: read or refused with the number of a line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    err e = {0};
    config c;
    if (!config_parse(&c, (str){(const char *)data, size}, "fuzz", &e)) {
        int line;
        if (sscanf(e.msg, "fuzz:%d: ", &line) != 1 || line < 1) abort();
        return 0;
    }
    for (size_t i = 0; i < c.n_items; i++) {
        const config_item *item = &c.item[i];
        if (config_find(&c, item->section, item->name) != item) abort(); /* a name twice */
        for (size_t k = 0; k < item->n_values; k++)
            if (!item->value[k].text || item->value[k].line < item->line) abort();
    }
    config_deinit(&c);
    return 0;
}
