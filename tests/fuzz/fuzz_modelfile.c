/* Any bytes as a Modelfile: refused, or one that is written and read back the same. */
#include <stdio.h>
#include <stdlib.h>

#include "hub/make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hub_modelfile m, again;
    hub_plan p;
    buf b;
    if (!hub_modelfile_parse(&m, (str){(const char *)data, size}, NULL)) return 0;
    buf_init(&b, 64u << 20);
    bool all = true;
    for (size_t i = 0; i < m.n; i++)
        all = hub_modelfile_write(&b, m.line[i].command, m.line[i].name, m.line[i].value) && all;
    if (all) {
        if (!hub_modelfile_parse(&again, buf_str(&b), NULL) || again.n != m.n) abort();
        for (size_t i = 0; i < m.n; i++)
            if (strcmp(again.line[i].value, m.line[i].value) != 0 ||
                again.line[i].command != m.line[i].command)
                abort();
        hub_modelfile_deinit(&again);
    }
    if (hub_plan_of(&p, &m, NULL)) hub_plan_deinit(&p);
    buf_deinit(&b);
    hub_modelfile_deinit(&m);
    return 0;
}
